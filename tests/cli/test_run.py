#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""uvfio run done right: what the program gets, exit statuses, signals, what is left behind; help and manual."""
import json
import os
import pty
import re
import shutil
import signal
import subprocess
import sys
import time

from harness import MANPAGE, PROGRAM, UVFIO, Place, Skip, expect, main, test


def own_preload(place):
    result = place.run('run', '--', 'sh', '-c', 'echo $LD_PRELOAD')
    expect(result, 0)
    return result.stdout.strip().split(':')[0]


@test
def preload_with_odd_path():
    with Place() as place:
        library = place.copy(own_preload(place), 'a b:c.so')
        result = place.run('run', '--', 'sh', '-c', 'echo $LD_PRELOAD; ls /dev/vfio',
                           env={'UVFIO_PRELOAD': library, 'LD_PRELOAD': None})
        expect(result, 0, '')
        assert re.fullmatch(re.escape(place.tmp) + r'/uvfio-\w+/preload.so\n1\ndevices\nvfio\n', result.stdout), result.stdout


@test
def preload_is_prepended():
    with Place() as place:
        ours = own_preload(place)
        result = place.run('run', '--', 'sh', '-c', 'echo $LD_PRELOAD', env={'LD_PRELOAD': ours})
        expect(result, 0, '', ours + '\n')
        other = place.copy(ours, 'other.so')
        result = place.run('run', '--', 'sh', '-c', 'echo $LD_PRELOAD', env={'LD_PRELOAD': other})
        expect(result, 0, None, f'{ours}:{other}\n')


@test
def what_the_program_gets():
    with Place() as place:
        place.path('disk,1.img', bytes(1 << 20))
        result = place.run('run', '--device', 'nvme,file=disk,,1.img', '--device', 'nvme,group=7,addr=00:1f.0',
                           '--iommu', 'width=40', '--trace=cmd', '--', 'sh', '-c',
                           'cat $UVFIO_SESSION/machine; echo $UVFIO_TRACE; stat -c %a $UVFIO_SESSION; '
                           'ls /dev/vfio /sys/bus/pci/devices; echo "$@"', 'sh', 'a b', '--summary')
        expect(result, 0, None, f'device nvme,file={place.dir}/disk,,1.img\ndevice nvme,group=7,addr=00:1f.0\n'
               'iommu width=40\ncmd\n700\n/dev/vfio:\n1\n7\ndevices\nvfio\n\n/sys/bus/pci/devices:\n0000:00:01.0\n'
               '0000:00:1f.0\na b --summary\n')


@test
def default_device():
    with Place() as place:
        result = place.run('run', 'ls', '/sys/bus/pci/devices', '/dev/vfio')
        expect(result, 0, '', '/dev/vfio:\n1\ndevices\nvfio\n\n/sys/bus/pci/devices:\n0000:00:01.0\n')


@test
def one_interface():
    with Place() as place:
        look = 'cd /dev; ls -d iommu vfio/* vfio/devices/* 2>/dev/null; true'
        for options, nodes in (([], 'iommu vfio/1 vfio/devices vfio/devices/vfio0 vfio/vfio'),
                               (['--legacy-only'], 'vfio/1 vfio/vfio'),
                               (['--iommufd-only'], 'iommu vfio/devices vfio/devices/vfio0')):
            result = place.run('run', *options, '--', 'sh', '-c', look)
            assert sorted(result.stdout.split()) == sorted(nodes.split()), (options, result.stdout)


@test
def exit_statuses():
    with Place() as place:
        for status in (0, 1, 2, 77, 255):
            expect(place.run('run', '--', 'sh', '-c', f'exit {status}'), status, '', '')
        for sig in (signal.SIGTERM, signal.SIGKILL, signal.SIGINT):
            expect(place.run('run', '--', 'sh', '-c', f'kill -{int(sig)} $$'), 128 + sig, '', '')


@test
def scripts():
    with Place() as place:
        place.path('plain', b'echo plain "$@"\n', 0o755)
        place.path('hash', b'#! /bin/sh -e\necho hash "$@"\n', 0o755)
        place.path('twice', ('#!%s again\n' % place.path('hash')).encode(), 0o755)
        place.path('env', b'#!/usr/bin/env sh\necho env "$@"\n', 0o755)
        expect(place.run('run', '--', './plain', 'x y'), 0, '', 'plain x y\n')
        expect(place.run('run', '--', './hash', 'x'), 0, '', 'hash x\n')
        expect(place.run('run', '--', './twice', 'x'), 0, '', 'hash again ./twice x\n')
        expect(place.run('run', '--', './env', 'x'), 0, '', 'env x\n')


@test
def odd_umasks():
    with Place() as place:
        for mask in (0, 0o777):
            result = place.run('run', '--', 'sh', '-c', 'umask; ls /dev/vfio; cat $UVFIO_SESSION/machine',
                               preexec_fn=lambda mask=mask: os.umask(mask))
            expect(result, 0, '', f'{mask:04o}\n1\ndevices\nvfio\ndevice nvme,size=256M\n')


@test
def path_search():
    with Place() as place:
        os.mkdir(place.path('one'))
        os.mkdir(place.path('two'))
        os.mkdir(place.path('one/prog'))
        place.path('two/prog', b'#!/bin/sh\necho two\n', 0o755)
        path = ':'.join([place.path('none'), place.path('one'), place.path('two'), os.environ['PATH']])
        expect(place.run('run', '--', 'prog', env={'PATH': path}), 0, '', 'two\n')
        # An empty entry is the working directory.
        expect(place.run('run', '--', 'prog', env={'PATH': ':' + os.environ['PATH']}, cwd=place.path('two')), 0, '',
               'two\n')


@test
def loader_as_program():
    loader = re.search(rb'/lib64/ld-linux[^\0]*', open(PROGRAM, 'rb').read()).group(0).decode()
    with Place() as place:
        expect(place.run('run', '--', loader, PROGRAM, 'fds'), 0, '', '')


@test
def descriptors():
    with Place() as place:
        expect(place.run('run', '--', PROGRAM, 'fds'), 0, '', '')
        read, write = os.pipe()
        result = place.run('run', '--trace-out=t.json', '--summary', '--', PROGRAM, 'fds', pass_fds=[read])
        assert result.stdout == f'{read}\n', result.stdout
        os.close(read)
        os.close(write)


@test
def closed_standard_descriptors():
    with Place() as place:
        script = 'for fd in 0 1 2; do [ -e /proc/$$/fd/$fd ] && echo $fd; done >/dev/tty; exit 5'
        script = script.replace('/dev/tty', place.path('open'))
        command = f'exec {UVFIO} run --trace-out=t.json -- sh -c "$1" <&- 2>&-'
        result = subprocess.run(['sh', '-c', command, 'sh', script], env=place.environment(), cwd=place.dir)
        assert result.returncode == 5
        assert open(place.path('open')).read() == '1\n'
        # What would have been complained about goes nowhere, and into no file of ours.
        command = f'exec {UVFIO} run --device nvme,quux=1 -- true <&- >&- 2>&-'
        assert subprocess.run(['sh', '-c', command], env=place.environment()).returncode == 1


def ignore_signals():
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)


@test
def signal_dispositions():
    with Place() as place:
        expect(place.run('run', '--', PROGRAM, 'ignored'), 0, '', 'int default\nchld default\nblocked 0\n')
        result = place.run('run', '--', PROGRAM, 'ignored', preexec_fn=ignore_signals)
        expect(result, 0, '', 'int ignored\nchld ignored\nblocked 0\n')


@test
def signals_are_passed_on():
    for sig in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGUSR1, signal.SIGUSR2,
                signal.SIGALRM, signal.SIGXCPU, signal.SIGRTMIN):
        with Place() as place:
            run = place.start('run', '--', PROGRAM, 'sleep')
            assert run.stdout.readline() == 'ready\n'
            run.send_signal(sig)
            _, err = run.communicate(timeout=20)
            assert run.returncode == 128 + sig and not err, (run.returncode, err)


def wait_for_end(pid):
    for _ in range(200):
        try:
            with open(f'/proc/{pid}/stat') as f:
                if f.read().rsplit(')', 1)[1].split()[0] == 'Z':
                    return
        except FileNotFoundError:
            return
        time.sleep(0.05)
    raise AssertionError(f'process {pid} goes on')


@test
def killed_launcher():
    with Place() as place:
        alive = place.start('run', '--', PROGRAM, 'sleep')
        assert alive.stdout.readline() == 'ready\n'
        other = set(os.listdir(place.tmp))
        run = place.start('run', '--', 'sh', '-c', f'echo $$; exec {PROGRAM} sleep')
        pid = int(run.stdout.readline())
        assert run.stdout.readline() == 'ready\n'
        left = set(os.listdir(place.tmp)) - other
        run.kill()
        run.communicate(timeout=20)
        wait_for_end(pid)
        foreign = place.path('tmp/uvfio-abcdef')
        os.mkdir(foreign)
        assert left and left < set(os.listdir(place.tmp)), 'this test has lost its purpose'
        expect(place.run('run', '--', 'true'), 0, '', '')
        # The directory of the dead is gone; those of the living, and what is no session, are not.
        assert set(os.listdir(place.tmp)) == other | {'uvfio-abcdef'}
        os.rmdir(foreign)
        alive.terminate()
        alive.communicate(timeout=20)
        assert alive.returncode == 128 + signal.SIGTERM


@test
def interrupt_by_kill_comes_once():
    with Place() as place:
        run = place.start('run', '--', PROGRAM, 'count-int')
        assert run.stdout.readline() == 'ready\n'
        run.send_signal(signal.SIGINT)
        time.sleep(0.2)
        run.send_signal(signal.SIGTERM)
        out, _ = run.communicate(timeout=20)
        assert run.returncode == 0 and out == '1\n', (run.returncode, out)


@test
def interrupt_by_terminal_comes_once():
    with Place() as place:
        pid, master = pty.fork()
        if not pid:
            os.execve(UVFIO, [UVFIO, 'run', '--', PROGRAM, 'count-int'], place.environment())
        seen = b''
        while b'ready' not in seen:
            seen += os.read(master, 100)
        os.write(master, b'\x03')
        time.sleep(0.3)
        os.kill(pid, signal.SIGTERM)
        seen = b''
        while not re.search(rb'\d+\r\n', seen):
            seen += os.read(master, 100)
        _, status = os.waitpid(pid, 0)
        os.close(master)
        assert os.waitstatus_to_exitcode(status) == 0
        assert re.search(rb'(\d+)\r\n', seen).group(1) == b'1', seen


@test
def summary():
    with Place() as place:
        result = place.run('run', '--summary', '--trace-out', 'trace.json', '--', 'sh', '-c', 'exit 3')
        expect(result, 3)
        lines = result.stderr.splitlines()
        assert lines[0] == 'uvfio: summary (exit status 3)', lines
        words = [line.split()[0] for line in lines[1:]]
        assert words == ['ioctls', 'mappings', 'commands', 'bytes', 'interrupts', 'registers', 'faults', 'trace'], words
        assert lines[-1].endswith(place.path('trace.json'))
        events = json.load(open(place.path('trace.json')))
        assert events == []


@test
def mappings_left():
    line = 'uvfio: 2 of 3 mappings were left at exit'
    with Place() as place:
        for how, status in ('exit', 0), ('_exit', 0), ('kill', 137):
            result = place.run('run', '--trace=irq', '--', PROGRAM, 'map', how)
            expect(result, status, line + '\n')
            result = place.run('run', '--trace', '--', PROGRAM, 'map', how)
            assert result.stderr.splitlines()[-1] == line, result.stderr
            result = place.run('run', '--summary', '--', PROGRAM, 'map', how)
            line_of_summary = '  mappings    3 made, 1 unmapped by the program, 0 left to the container, 2 left at exit\n'
            assert line_of_summary in result.stderr, result.stderr
        result = place.run('run', '--trace=irq', '--summary', '--', PROGRAM, 'map', 'close')
        line_of_summary = '  mappings    3 made, 1 unmapped by the program, 2 left to the container, 0 left at exit\n'
        assert line_of_summary in result.stderr, result.stderr
        expect(place.run('run', '--trace=irq', '--', PROGRAM, 'map', 'close'), 0, '', '')
        expect(place.run('run', '--', PROGRAM, 'map', 'exit'), 0, '')
        expect(place.run('run', '--trace=irq', '--', PROGRAM, 'fds'), 0, '', '')


@test
def environment_of_an_outer_run():
    with Place() as place:
        stale = {'UVFIO_TRACE': 'all', 'UVFIO_TRACE_OUT': '/tmp/x', 'UVFIO_SESSION': '/tmp/y'}
        result = place.run('run', '--', 'sh', '-c', 'echo "$UVFIO_TRACE|$UVFIO_TRACE_OUT|$UVFIO_SESSION"', env=stale)
        expect(result, 0)
        assert re.fullmatch(r'\|\|' + re.escape(place.tmp) + r'/uvfio-\w{6}\n', result.stdout), result.stdout


@test
def unprivileged_user():
    if os.getuid() != 0:
        raise Skip('needs root to become nobody')
    with Place() as place:
        who = {'user': 65534, 'group': 65534, 'extra_groups': []}
        try:
            subprocess.run([UVFIO, '--version'], check=True, stdout=subprocess.DEVNULL, **who)
        except (OSError, subprocess.CalledProcessError):
            raise Skip('nobody cannot reach the build directory')
        result = place.run('run', '--', 'sh', '-c', 'id -u; ls /dev/vfio; ls -l $UVFIO_SESSION | wc -l', **who)
        expect(result, 0, '')
        assert result.stdout.startswith('65534\n1\ndevices\nvfio\n'), result.stdout
        place.path('secret.img', bytes(4096), 0o600)
        result = place.run('run', '--device', 'nvme,file=secret.img', '--', 'true', **who)
        expect(result, 1, None, '')
        assert re.fullmatch(r'uvfio: nvme: file=\S+/secret.img: Permission denied[^\n]*\n', result.stderr), result.stderr


# ---- help

def option_names(text):
    return set(re.findall(r'^  --([a-z-]+)', text, re.M))


@test
def help_is_complete():
    with Place() as place:
        main = place.run('--help')
        expect(main, 0, '')
        assert option_names(main.stdout) == {'help', 'version'}
        for command in ('run', 'devices', 'ctl'):
            assert f'uvfio {command}' in main.stdout
        run = place.run('run', '--help')
        expect(run, 0, '')
        assert option_names(run.stdout) == {'device', 'iommu', 'legacy-only', 'iommufd-only', 'container', 'kvm',
                                             'trace', 'trace-out', 'summary', 'ctl', 'help'}
        for word in ('TMPDIR', 'UVFIO_PRELOAD', 'exit status', '256 MiB', 'type=spapr: version, pgsizes, window, ram-page, memlock\n',
                     'type=type1 (the default): width, reserved, pgsizes, dma-entries, memlock, coherent, dirty-tracking\n'):
            assert word in run.stdout
        expect(place.run('devices', '--help'), 0, '')
        ctl = place.run('ctl', '--help')
        expect(ctl, 0, '')
        assert option_names(ctl.stdout) >= {'session', 'surprise', 'help'}
        version = place.run('--version')
        expect(version, 0, '')
        assert re.fullmatch(r'uvfio \d+\.\d+\.\d+\n', version.stdout)


@test
def devices_list():
    with Place() as place:
        everything = place.run('devices')
        expect(everything, 0, '')
        assert everything.stdout.startswith('nvme: ')
        for key in ('file', 'size', 'ns', 'readonly', 'lba', 'mdts', 'queues', 'addr', 'group', 'noiommu', 'width',
                    'reserved', 'pgsizes', 'dma-entries', 'memlock', 'coherent', 'dirty-tracking'):
            assert re.search(rf'^  {key}=\S+ +\S', everything.stdout, re.M), key
        for line in everything.stdout.splitlines():
            if re.match('  [a-z-]+=', line):
                assert re.search(r'default \S+\)$|; without it .|; default.* RAM', line), line
        assert '\n  types of instances:\n    mtty-1               Single port serial\n' in everything.stdout
        one = place.run('devices', 'nvme')
        expect(one, 0, '')
        assert '\n--iommu' not in one.stdout and '  lba=' in one.stdout
        assert re.findall(r'^--iommu.*', everything.stdout, re.M) == ['--iommu type=type1:', '--iommu type=spapr:']


@test
def help_to_a_full_disk():
    if not os.path.exists('/dev/full'):
        raise Skip('no /dev/full')
    with open('/dev/full', 'w') as full:
        result = subprocess.run([UVFIO, 'devices'], stdout=full, stderr=subprocess.PIPE, text=True)
    expect(result, 1, 'uvfio: cannot write to standard output: No space left on device\n')


@test
def manual_mentions_every_option():
    page = open(MANPAGE).read()
    with Place() as place:
        for command in ([], ['run'], ['devices'], ['ctl'], ['mdev']):
            for name in option_names(place.run(*command, '--help').stdout):
                assert re.search(rf'^\.It Fl -{name}( |$)', page, re.M), name
        listed = place.run('devices').stdout
        for line in listed.splitlines():
            match = re.match(r'  ([a-z-]+)=.*?(?:default (\S+)\))?$', line)
            if match:
                assert re.search(rf'^\.It Cm {match.group(1)} ', page, re.M), match.group(1)
        for word in ('TMPDIR', 'UVFIO_PRELOAD', '126', '127'):
            assert word in page


@test
def manual_is_well_formed():
    if shutil.which('mandoc'):
        result = subprocess.run(['mandoc', '-T', 'lint', '-W', 'warning', MANPAGE], capture_output=True, text=True)
        assert not result.stdout, result.stdout
    elif shutil.which('groff'):
        result = subprocess.run(['groff', '-ww', '-mdoc', '-T', 'utf8', '-z', MANPAGE], capture_output=True, text=True)
        assert not result.stderr, result.stderr
    else:
        raise Skip('neither mandoc nor groff')


sys.exit(main())
