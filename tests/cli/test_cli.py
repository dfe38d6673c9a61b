#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""The uvfio command: each wrong use with its message and exit status, exit statuses, signals, what is left behind.

    test_cli.py UVFIO PROGRAM STATIC_PROGRAM MANPAGE

Speaks TAP. Every run has a temporary directory of its own, which must be empty afterwards.
"""
import json
import os
import pty
import re
import shutil
import signal
import stat
import struct
import subprocess
import sys
import tempfile
import time

UVFIO, PROGRAM, STATIC, MANPAGE = [os.path.abspath(p) for p in sys.argv[1:5]]
TESTS = []


class Skip(Exception):
    pass


def test(function):
    TESTS.append(function)
    return function


class Place:
    """A scratch directory, and a temporary directory for sessions that has to be empty at the end."""

    def __enter__(self):
        self.dir = tempfile.mkdtemp(prefix='test-cli-')
        os.chmod(self.dir, 0o755)
        self.tmp = os.path.join(self.dir, 'tmp')
        os.mkdir(self.tmp)
        os.chmod(self.tmp, 0o1777)
        return self

    def __exit__(self, kind, value, trace):
        left = os.listdir(self.tmp) if os.path.isdir(self.tmp) else []
        shutil.rmtree(self.dir, ignore_errors=True)
        if kind is None:
            assert not left, f'left behind: {left}'

    def path(self, name, data=None, mode=0o644):
        path = os.path.join(self.dir, name)
        if data is not None:
            with open(path, 'wb') as f:
                f.write(data)
            os.chmod(path, mode)
        return path

    def copy(self, source, name, mode=0o755):
        with open(source, 'rb') as f:
            return self.path(name, f.read(), mode)

    def environment(self, extra=None):
        env = {**os.environ, 'TMPDIR': self.tmp, **(extra or {})}
        return {k: v for k, v in env.items() if v is not None}

    def run(self, *args, env=None, **how):
        return subprocess.run([UVFIO, *args], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, env=self.environment(env), timeout=60, text=True,
                              cwd=how.pop('cwd', self.dir), **how)

    def start(self, *args, **how):
        return subprocess.Popen([UVFIO, *args], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                env=self.environment(), text=True, cwd=self.dir, **how)


def expect(result, status, stderr=None, stdout=None):
    assert result.returncode == status, f'exit status {result.returncode}, not {status}: {result.stderr}'
    if stderr is not None:
        assert result.stderr == stderr, f'standard error is\n{result.stderr}instead of\n{stderr}'
    if stdout is not None:
        assert result.stdout == stdout, f'standard output is {result.stdout!r}, not {stdout!r}'


def refused(status, message, *args, **how):
    """One line, this status, and the program has not run (it would have made a file)."""
    with Place() as place:
        marker = place.path('ran')
        args = [a.replace('@', place.dir) for a in args]
        result = place.run(*args, **how)
        assert not os.path.exists(marker), 'the program ran'
        expect(result, status, 'uvfio: ' + message.replace('@', place.dir) + '\n', '')


def run_refused(message, *options, status=1, **how):
    refused(status, message, 'run', *options, '--', 'touch', '@/ran', **how)


# ---- wrong words

@test
def usage_errors():
    refused(2, 'no command: use uvfio run or uvfio devices; uvfio --help tells more')
    refused(2, 'there is no command runn: use run or devices', 'runn')
    refused(2, 'there is no option --foo: see uvfio --help', '--foo')
    refused(2, 'run: no program: write uvfio run [OPTIONS] -- PROGRAM [ARGS...]', 'run')
    refused(2, 'run: no program: write uvfio run [OPTIONS] -- PROGRAM [ARGS...]', 'run', '--summary', '--')
    refused(2, 'run: there is no option --foo: see uvfio run --help', 'run', '--foo', '--', 'true')
    refused(2, 'run: there is no option -x: see uvfio run --help', 'run', '-x', '--', 'true')
    refused(2, 'run: --device needs a value: see uvfio run --help', 'run', '--device')
    refused(2, 'run: --summary=1 takes no value: see uvfio run --help', 'run', '--summary=1', '--', 'true')
    refused(2, 'devices: at most one MODEL: see uvfio devices --help', 'devices', 'nvme', 'nvme')
    refused(2, 'devices: there is no option --all: see uvfio devices --help', 'devices', '--all')
    refused(1, 'there is no device model foo: uvfio devices lists them', 'devices', 'foo')


@test
def wrong_trace():
    run_refused('--trace: there is no category foo: use all, or some of ioctl, file, config, bar, dma, irq, cmd, '
                'fault', '--trace=ioctl,foo,dma', status=2)
    run_refused('--trace-out: @/no/x.json cannot be written: No such file or directory', '--trace-out=@/no/x.json')


@test
def wrong_models_and_options():
    run_refused('there is no device model nvm: known are nvme', '--device', 'nvm')
    run_refused('there is no device model "": known are nvme', '--device', '')
    run_refused('nvme: there is no option siz: did you mean size?', '--device', 'nvme,siz=1M')
    run_refused('nvme: "readonly" has no value: write it as key=value', '--device', 'nvme,readonly')
    run_refused('nvme: readonly=1 is not possible: use on or off', '--device', 'nvme,readonly=1')
    run_refused('nvme: addr=zz is not possible: use a PCI address like 0000:00:01.0', '--device', 'nvme,addr=zz')
    run_refused('nvme: two devices at 0000:00:01.0: give one another address with addr=',
                '--device', 'nvme,addr=0000:00:01.0', '--device', 'nvme,addr=0000:00:01.0')
    run_refused('nvme: lba=1024 is not possible: use one of 512|4096', '--device', 'nvme,lba=1024')
    run_refused('--device: a value cannot contain a line break', '--device', 'nvme,file=a\nb')
    run_refused('--iommu: width=64 is not possible: use a number from 12 to 57', '--iommu', 'width=64')
    run_refused('--iommu: there is no option foo: known are width, reserved, pgsizes, dma-entries, memlock, coherent',
                '--iommu', 'foo=1')


def check_image(options, words, setup=None):
    """The model's own message: one line with these words, and nothing runs."""
    with Place() as place:
        if setup:
            setup(place)
        result = place.run('run', '--device', 'nvme,' + options, '--', 'touch', place.path('ran'))
        assert not os.path.exists(place.path('ran')), 'the program ran'
        expect(result, 1, None, '')
        assert re.fullmatch(r'uvfio: nvme: [^\n]+\n', result.stderr), result.stderr
        for word in words:
            assert word.replace('@', place.dir) in result.stderr, f'{word} is not in {result.stderr}'


@test
def wrong_images():
    check_image('file=missing.img', ['@/missing.img', 'No such file'])
    check_image('file=/nonexistent/x', ['/nonexistent/x', 'No such file'])
    check_image('file=.', ['@/.'])
    check_image('file=/dev/null', ['/dev/null'])
    check_image('file=odd.img', ['@/odd.img', '512'], lambda p: p.path('odd.img', bytes(1000)))
    check_image('file=odd.img,lba=4096', ['@/odd.img', '4096'], lambda p: p.path('odd.img', bytes(4608)))
    check_image('file=empty.img', ['@/empty.img'], lambda p: p.path('empty.img', b''))
    check_image('size=much', ['size=much', 'is not possible'])
    check_image('size=1000', ['1000', '512'])


# ---- wrong programs

@test
def program_not_found():
    refused(127, 'no-such-program: there is no such program in PATH', 'run', '--', 'no-such-program')
    refused(127, './no/such: there is no such program', 'run', '--', './no/such')
    refused(127, '"": there is no such program in PATH', 'run', '--', '')


@test
def program_not_executable():
    with Place() as place:
        place.path('plain', b'#!/bin/sh\n', 0o644)
        place.path('binary', b'\0\1\2\3', 0o755)
        place.path('short', b'\x7fELF', 0o755)
        place.path('lost', b'#!/no/interpreter\n', 0o755)
        place.path('loop', ('#!%s\n' % place.path('loop')).encode(), 0o755)
        place.path('nothing', b'#!\n', 0o755)
        place.path('text', b'echo\n', 0o755)
        place.path('by-text', ('#!%s\n' % place.path('text')).encode(), 0o755)
        os.mkdir(place.path('folder'))
        lines = {
            './plain': './plain: is not executable: chmod +x makes it so',
            './folder': './folder: is a directory: name a program',
            './binary': './binary: is not a program: neither ELF nor a script',
            './short': './short: is a damaged ELF file: build or install it again',
            './lost': './lost: its interpreter /no/interpreter cannot be run: No such file or directory',
            './loop': place.path('loop') + ': its first line names no interpreter that can run it',
            './by-text': place.path('text') +
                         ': is an interpreter that cannot be executed itself: neither ELF nor a script with #!',
            './nothing': './nothing: its first line names no interpreter that can run it',
        }
        for program, line in lines.items():
            expect(place.run('run', '--', program), 126, f'uvfio: {line}\n', '')
        # A later directory of PATH may have it; without that, the one that cannot be run is named.
        path = {'PATH': place.dir + ':' + place.path('none')}
        expect(place.run('run', '--', 'plain', env=path), 126,
               f'uvfio: {place.dir}/plain: is not executable: chmod +x makes it so\n')


@test
def program_static():
    refused(1, f'{STATIC}: is statically linked: uvfio can only run a dynamically linked program', 'run', '--', STATIC)
    with Place() as place:
        place.path('script', f'#!{STATIC} -x\n'.encode(), 0o755)
        expect(place.run('run', '--', './script'), 1,
               f'uvfio: {STATIC}: is statically linked: uvfio can only run a dynamically linked program\n')


@test
def program_static_pie():
    with Place() as place:
        data = bytearray(open(PROGRAM, 'rb').read())
        offset, = struct.unpack_from('<Q', data, 32)
        size, count = struct.unpack_from('<HH', data, 54)
        for i in range(count):
            if struct.unpack_from('<I', data, offset + i * size)[0] == 3:
                struct.pack_into('<I', data, offset + i * size, 0)
        place.path('pie', bytes(data), 0o755)
        expect(place.run('run', '--', './pie'), 1,
               'uvfio: ./pie: is statically linked: uvfio can only run a dynamically linked program\n')


@test
def program_other_architecture():
    message = 'uvfio: %s: is built for another architecture: use a 64-bit program for this machine\n'
    with Place() as place:
        data = bytearray(open(PROGRAM, 'rb').read())
        data[4] = 1
        place.path('bits32', bytes(data), 0o755)
        data[4] = 2
        struct.pack_into('<H', data, 18, 243)
        place.path('riscv', bytes(data), 0o755)
        expect(place.run('run', '--', './bits32'), 1, message % './bits32')
        expect(place.run('run', '--', './riscv'), 1, message % './riscv')


@test
def program_other_libc():
    with Place() as place:
        data = open(PROGRAM, 'rb').read()
        loader = re.search(rb'/lib64/(ld-linux[^\0]*)\0', data).group(1)
        other = b'ld-other' + loader[8:]
        place.path('musl', data.replace(loader + b'\0', other + b'\0', 1), 0o755)
        expect(place.run('run', '--', './musl'), 1,
               f'uvfio: ./musl: is built for another C library (its loader is /lib64/{other.decode()}): '
               f'use a program that is linked with {loader.decode()}\n')


@test
def program_privileged():
    tail = ': the loader would not let uvfio in; run a copy of it (cp drops that)\n'
    with Place() as place:
        place.copy(PROGRAM, 'setuid', 0o4755)
        place.copy(PROGRAM, 'setgid', 0o2755)
        expect(place.run('run', '--', './setuid'), 1, 'uvfio: ./setuid: is a set-user-ID program' + tail)
        expect(place.run('run', '--', './setgid'), 1, 'uvfio: ./setgid: is a set-group-ID program' + tail)


@test
def program_with_capabilities():
    with Place() as place:
        path = place.copy(PROGRAM, 'capable')
        try:
            os.setxattr(path, 'security.capability', struct.pack('<5I', 0x02000001, 1 << 12, 0, 0, 0))
        except OSError as error:
            raise Skip(f'cannot set file capabilities: {error.strerror}')
        expect(place.run('run', '--', './capable'), 1, 'uvfio: ./capable: has file capabilities: '
               'the loader would not let uvfio in; run a copy of it (cp drops that)\n')


# ---- wrong surroundings

@test
def temporary_directory():
    with Place() as place:
        tail = ': set TMPDIR to a directory that can be written\n'
        result = place.run('run', '--', 'true', env={'TMPDIR': '/no/such'})
        expect(result, 1, 'uvfio: temporary directory /no/such: No such file or directory' + tail)
        result = place.run('run', '--', 'true', env={'TMPDIR': place.path('file', b'')})
        expect(result, 1, f'uvfio: temporary directory {place.dir}/file: Not a directory' + tail)
        if os.getuid() != 0:
            os.mkdir(place.path('locked'), 0o555)
            result = place.run('run', '--', 'true', env={'TMPDIR': place.path('locked')})
            expect(result, 1, f'uvfio: temporary directory {place.dir}/locked: Permission denied' + tail)
        else:
            result = place.run('run', '--', 'true', env={'TMPDIR': '/proc'})
            expect(result, 1, 'uvfio: temporary directory /proc: No such file or directory' + tail)


@test
def odd_temporary_directories():
    with Place() as place:
        for name in ('a b', 'a:b', 'relative', 'deep/' + '/'.join(['x' * 200] * 10)):
            os.makedirs(os.path.join(place.tmp, name))
            tmp = os.path.join('tmp', name) if name == 'relative' else os.path.join(place.tmp, name)
            result = place.run('run', '--', 'sh', '-c', 'ls "$UVFIO_SESSION"/dev/vfio', env={'TMPDIR': tmp})
            expect(result, 0, '', '1\nvfio\n')
            assert not os.listdir(os.path.join(place.tmp, name))
        os.makedirs(os.path.join(place.tmp, 'deep/' + '/'.join(['x' * 200] * 19)), exist_ok=True)
        deepest = os.path.join(place.tmp, 'deep/' + '/'.join(['x' * 200] * 19))
        result = place.run('run', '--', 'true', env={'TMPDIR': deepest})
        assert result.returncode == 1 and 'the path is too long: set TMPDIR to a shorter one' in result.stderr
        for name in os.listdir(place.tmp):
            shutil.rmtree(os.path.join(place.tmp, name))


@test
def preload_library():
    with Place() as place:
        result = place.run('run', '--', 'true', env={'UVFIO_PRELOAD': '/no/such.so'})
        expect(result, 1, 'uvfio: UVFIO_PRELOAD: /no/such.so cannot be read: No such file or directory\n')
        os.mkdir(place.path('bin'))
        command = place.copy(UVFIO, 'bin/uvfio')
        result = subprocess.run([command, 'run', '--', 'true'], env=place.environment({'UVFIO_PRELOAD': None}),
                                stderr=subprocess.PIPE, text=True)
        expect(result, 1, f'uvfio: the preload library is missing: expected {place.dir}/bin/../lib/uvfio/'
               'libuvfio-preload.so: install uvfio again, or set UVFIO_PRELOAD to its path\n')


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
        assert re.fullmatch(re.escape(place.tmp) + r'/uvfio-\w+/preload.so\n1\nvfio\n', result.stdout), result.stdout


@test
def preload_is_prepended():
    with Place() as place:
        ours = own_preload(place)
        result = place.run('run', '--', 'sh', '-c', 'echo $LD_PRELOAD', env={'LD_PRELOAD': ours})
        expect(result, 0, '', ours + '\n')
        other = place.copy(ours, 'other.so')
        result = place.run('run', '--', 'sh', '-c', 'echo $LD_PRELOAD', env={'LD_PRELOAD': other})
        expect(result, 0, None, f'{ours}:{other}\n')


# ---- right use

@test
def what_the_program_gets():
    with Place() as place:
        place.path('disk,1.img', bytes(1 << 20))
        result = place.run('run', '--device', 'nvme,file=disk,,1.img', '--device', 'nvme,group=7,addr=00:1f.0',
                           '--iommu', 'width=40', '--trace=cmd', '--', 'sh', '-c',
                           'cat $UVFIO_SESSION/machine; echo $UVFIO_TRACE; stat -c %a $UVFIO_SESSION; '
                           'ls /dev/vfio /sys/bus/pci/devices; echo "$@"', 'sh', 'a b', '--summary')
        expect(result, 0, None, f'device nvme,file={place.dir}/disk,,1.img\ndevice nvme,group=7,addr=00:1f.0\n'
               'iommu width=40\ncmd\n700\n/dev/vfio:\n1\n7\nvfio\n\n/sys/bus/pci/devices:\n0000:00:01.0\n'
               '0000:00:1f.0\na b --summary\n')


@test
def default_device():
    with Place() as place:
        result = place.run('run', 'ls', '/sys/bus/pci/devices', '/dev/vfio')
        expect(result, 0, '', '/dev/vfio:\n1\nvfio\n\n/sys/bus/pci/devices:\n0000:00:01.0\n')


@test
def exit_statuses():
    with Place() as place:
        for status in (0, 1, 2, 77, 255):
            expect(place.run('run', '--', 'sh', '-c', f'exit {status}'), status, '', '')
        for sig in (signal.SIGTERM, signal.SIGKILL, signal.SIGSEGV, signal.SIGINT):
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
            expect(result, 0, '', f'{mask:04o}\n1\nvfio\ndevice nvme,size=256M\n')


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
                signal.SIGALRM):
        with Place() as place:
            run = place.start('run', '--', PROGRAM, 'sleep')
            assert run.stdout.readline() == 'ready\n'
            run.send_signal(sig)
            _, err = run.communicate(timeout=20)
            assert run.returncode == 128 + sig and not err, (run.returncode, err)


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
        assert isinstance(events, list) and events


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
        assert result.stdout.startswith('65534\n1\nvfio\n'), result.stdout


# ---- help

def option_names(text):
    return set(re.findall(r'^  --([a-z-]+)', text, re.M))


@test
def help_is_complete():
    with Place() as place:
        main = place.run('--help')
        expect(main, 0, '')
        assert option_names(main.stdout) == {'help', 'version'}
        for command in ('run', 'devices'):
            assert f'uvfio {command}' in main.stdout
        run = place.run('run', '--help')
        expect(run, 0, '')
        assert option_names(run.stdout) == {'device', 'iommu', 'trace', 'trace-out', 'summary', 'help'}
        for word in ('TMPDIR', 'UVFIO_PRELOAD', 'exit status', '256 MiB'):
            assert word in run.stdout
        expect(place.run('devices', '--help'), 0, '')
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
                    'reserved', 'pgsizes', 'dma-entries', 'memlock', 'coherent'):
            assert re.search(rf'^  {key}=\S+ +\S', everything.stdout, re.M), key
        for line in everything.stdout.splitlines():
            if line.startswith('  '):
                assert re.search(r'default \S+\)$|; without it .|; default.* RAM', line), line
        one = place.run('devices', 'nvme')
        expect(one, 0, '')
        assert '\n--iommu:' not in one.stdout and '  lba=' in one.stdout


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
        for command in ([], ['run'], ['devices']):
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


def main():
    failed = 0
    print(f'1..{len(TESTS)}')
    for number, function in enumerate(TESTS, 1):
        try:
            function()
            print(f'ok {number} - {function.__name__}', flush=True)
        except Skip as reason:
            print(f'ok {number} - {function.__name__} # SKIP {reason}', flush=True)
        except Exception as error:  # pylint: disable=broad-except
            failed += 1
            print(f'not ok {number} - {function.__name__}')
            for line in f'{type(error).__name__}: {error}'.splitlines():
                print('#', line, flush=True)
    return 1 if failed else 0


sys.exit(main())
