# SPDX-License-Identifier: BSD-2-Clause
"""`uvfio run --ctl` and `uvfio ctl`: devices come and go under real programs. UVFIO CLIENT - MANPAGE as for harness.py."""
import os
import pty
import re
import signal
import socket
import stat
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'cli'))
from harness import PROGRAM, UVFIO, Place, expect, main, test  # pylint: disable=wrong-import-position
from session import Session  # pylint: disable=wrong-import-position

BDF = '0000:00:01.0'


def error(text):
    return f'uvfio: ctl: {text}\n'


@test
def orderly_removal_asks_and_waits():
    with Session('orderly', BDF) as s:
        s.says('ready')
        row = f'{BDF}  nvme      1      vfio0   open in process '
        assert row in s.ctl('devices').stdout
        assert s.ctl('groups').stdout.splitlines()[1].startswith('1      yes     open in process ')
        containers = s.ctl('containers').stdout.splitlines()
        assert re.fullmatch(r'\d+\.1 +type1v2 +1 +1 +8192', containers[-1]), containers
        mappings = s.ctl('mappings').stdout.splitlines()
        assert re.fullmatch(r'\d+\.\d+ +0x100000 +0x2000 +0x[0-9a-f]+ +rw', mappings[-1]), mappings
        expect(s.ctl('remove', BDF), 0, '', '')
        s.says('REQ', 'closed')
        assert s.entries('sys', 'bus', 'pci', 'devices') == []
        assert s.entries('dev', 'vfio') == ['vfio']
        assert s.entries('sys', 'kernel', 'iommu_groups') == []
        expect(s.ctl('remove', BDF), 1, error(f'there is no device at {BDF}: uvfio ctl devices lists them'))
        s.end()


@test
def removal_of_a_cdev():
    with Session('orderly-cdev', BDF) as s:
        s.says('ready')
        assert f'{BDF}  nvme      1      vfio0   open in process ' in s.ctl('devices').stdout
        assert re.fullmatch(rf'1      yes     bound by cdev in process \d+, {BDF}', s.ctl('groups').stdout.splitlines()[1])
        containers = s.ctl('containers').stdout.splitlines()
        assert re.fullmatch(r'\d+\.i1\.\d+ +iommufd +1 +1 +8192', containers[-1]), containers
        mappings = s.ctl('mappings').stdout.splitlines()
        assert re.fullmatch(r'\d+\.i1\.\d+ +0x100000 +0x2000 +0x[0-9a-f]+ +rw', mappings[-1]), mappings
        assert s.entries('dev', 'vfio', 'devices') == ['vfio0']
        expect(s.ctl('remove', BDF), 0, '', '')
        s.says('REQ', 'closed')
        assert s.entries('dev', 'vfio') == ['vfio']
        assert s.entries('sys', 'class', 'vfio-dev') == []
        s.end()


@test
def surprise_removal_leaves_ones():
    for kind in 'surprise', 'surprise-cdev':
        with Session(kind, BDF) as s:
            s.says('ready')
            expect(s.ctl('remove', BDF, '--surprise'), 0, '', '')
            s.says('ERR', 'mapped ffffffff', 'page ffffffff', 'config ffffffff bar ffffffff', 'reset 0',
                   'again No such device', 'closed')
            s.wait_until(lambda: not s.entries('sys', 'bus', 'pci', 'devices'), 'the device is gone')
            s.end()


@test
def an_address_is_free_again_after_removal():
    with Session('surprise', BDF) as s:
        s.says('ready')
        expect(s.ctl('--session', s.socket, '--surprise', 'remove', BDF), 0, '', '')
        for _ in range(7):
            s.process.stdout.readline()
        s.wait_until(lambda: not s.entries('sys', 'bus', 'pci', 'devices'), 'the device is gone')
        expect(s.ctl('add', f'nvme,size=16M,addr={BDF}'), 0, '', f'{BDF}\n')
        assert 'closed' in s.ctl('devices').stdout
        s.end()


@test
def error_is_reported_and_nothing_else():
    with Session('error', BDF) as s:
        s.says('ready')
        expect(s.ctl('reset', BDF), 0, '', '')
        expect(s.ctl('error', BDF), 0, '', '')
        s.says('ERR', 'vendor there')
        s.end()


@test
def added_device_is_found_by_a_running_program():
    for kind in 'late', 'forked', 'orphan', 'late-cdev', 'forked-cdev', 'orphan-cdev':
        with Session(kind, '0000:00:07.0') as s:
            s.says('ready')
            expect(s.ctl('add', 'nvme,size=16M,addr=0000:00:07.0,group=9'), 0, '', '0000:00:07.0\n')
            assert s.entries('sys', 'bus', 'pci', 'devices') == [BDF, '0000:00:07.0']
            assert s.entries('dev', 'vfio') == ['1', '9', 'devices', 'vfio']
            assert s.entries('dev', 'vfio', 'devices') == ['vfio0', 'vfio1']
            s.process.stdin.write('\n')
            s.process.stdin.flush()
            s.says('open')
            s.wait_until(lambda: '0000:00:07.0  nvme      9      vfio1   open in' in s.ctl('devices').stdout, kind)
            s.end()


@test
def removal_goes_on_without_its_client():
    with Session('late', BDF) as s:
        s.says('ready')
        s.process.stdin.write('\n')
        s.process.stdin.flush()
        s.says('open')
        client = s.start('ctl', 'remove', BDF)
        s.wait_until(lambda: 'leaving, open' in s.ctl('devices').stdout, 'it is leaving')
        client.kill()
        client.communicate()
        expect(s.ctl('remove', BDF), 1,
               error(f'{BDF} is being removed already: its user has not closed it yet'))
        expect(s.ctl('add', f'nvme,size=16M,addr={BDF[5:]}'), 1,
               error(f'{BDF} is still taken by a device that is being removed: its user has not closed it yet'))
        expect(s.ctl('add', f'nvme,addr={BDF}'), 1)
        expect(s.ctl('remove', BDF, '--surprise'), 0, '', '')
        assert 'pulled out, open' in s.ctl('devices').stdout
        s.end()


@test
def end_of_the_program_ends_a_removal():
    with Session('late', BDF) as s:
        s.says('ready')
        s.process.stdin.write('\n')
        s.process.stdin.flush()
        s.says('open')
        client = s.start('ctl', 'remove', BDF)
        s.wait_until(lambda: 'leaving' in s.ctl('devices').stdout, 'it is leaving')
        s.end()
        out, err = client.communicate(timeout=30)
        assert (client.returncode, out, err) == (0, '', ''), (client.returncode, out, err)


@test
def a_removal_that_waits_says_so_on_a_terminal():
    with Session('late', BDF) as s:
        s.says('ready')
        s.process.stdin.write('\n')
        s.process.stdin.flush()
        s.says('open')
        terminal, theirs = pty.openpty()
        client = subprocess.Popen([UVFIO, 'ctl', 'remove', BDF], stderr=theirs, env=s.environment())
        os.close(theirs)
        line = os.read(terminal, 400).decode()
        assert re.fullmatch(rf'uvfio: ctl: {BDF} is open in process \d+: asked to let go of it, and waiting until it is closed; '
                            'remove --surprise pulls it out\r\n', line), line
        s.end()
        assert client.wait(timeout=30) == 0
        os.close(terminal)


@test
def a_session_whose_launcher_was_killed_is_removed():
    with Place() as place:
        run = place.start('run', '--ctl', '--device', 'nvme,size=16M', '--', PROGRAM, 'late', BDF, stdin=subprocess.PIPE)
        assert run.stderr.readline().startswith('uvfio: ctl: ') and run.stdout.readline() == 'ready\n'
        run.kill()
        run.communicate(timeout=30)
        assert os.listdir(place.tmp), 'this test has lost its purpose'
        expect(place.run('ctl', 'list'), 0, '')
        assert not os.listdir(place.tmp)


@test
def the_socket_takes_no_files_place():
    with Place() as place:
        path = place.path('important', b'text')
        expect(place.run('run', f'--ctl={path}', '--', 'touch', place.path('ran')), 1,
               f'uvfio: --ctl: {path} exists already: give a path where nothing is, or remove it\n', '')
        assert not os.path.exists(place.path('ran')) and open(path, 'rb').read() == b'text'


@test
def wrong_words():
    with Session('late', BDF) as s:
        s.says('ready')
        expect(s.ctl('add', 'nvm'), 1,
               error('there is no device model nvm: known are nvme, ioat, mtty, and plug-ins by their path, ./NAME.so'))
        expect(s.ctl('add', f'nvme,size=16M,addr={BDF}'), 1,
               error(f'nvme: two devices at {BDF}: give one another address with addr='))
        expect(s.ctl('remove', 'nvme'), 1, error('nvme is no PCI address: use one like 0000:00:01.0 or 00:01.0'))
        expect(s.ctl('add', 'mtty,ports=2'), 1,
               error('mtty,ports=2 is a parent of mediated devices: parents are there from the start, uvfio run --device mtty,ports=2; '
                     'uvfio mdev create makes instances'))
        uuid = '83b8f4f2-509f-382f-3c1e-e6bfe0fa1001'
        expect(s.ctl('remove', uuid), 1, error(f'{uuid} is a mediated device: use uvfio mdev remove {uuid}'))
        expect(s.ctl('reset', uuid.upper()), 1, error(f'{uuid} is a mediated device, for which there is no reset'))
        expect(s.ctl('remove', '0000:00:09.0'), 1,
               error('there is no device at 0000:00:09.0: uvfio ctl devices lists them'))
        expect(s.ctl('error', BDF), 1, error(f'{BDF} is not open: there is nobody to tell'))
        expect(s.ctl('reset', BDF), 0, '', '')
        expect(s.ctl('remove'), 2, error('this command needs one ADDRESS: see uvfio ctl --help'))
        expect(s.ctl('reset', BDF, '--surprise'), 2, error('--surprise goes with remove: see uvfio ctl --help'))
        expect(s.ctl('devices', BDF), 2, error('too many words: see uvfio ctl --help'))
        expect(s.ctl('plug'), 2, error('there is no command plug: see uvfio ctl --help'))
        expect(s.ctl('--sessoin=x', 'devices'), 2)
        expect(s.ctl('--session=/nowhere/ctl', 'devices'), 1, error(
            '/nowhere/ctl: No such file or directory: is that a session that was started with --ctl?'))
        assert s.ctl('devices').stdout.splitlines()[1:] == [f'{BDF}  nvme      1      vfio0   closed']
        s.end()
    with Place() as place:
        expect(place.run('ctl', 'devices'), 1,
               error('no session is running: start one with uvfio run --ctl'))
        expect(place.run('ctl'), 2, error('no command: see uvfio ctl --help'))


@test
def several_sessions_are_told_apart():
    with Session('late', BDF) as s:
        other = os.path.join(s.dir, 'my socket')
        second = s.start('run', f'--ctl={other}', '--device', 'nvme,size=16M,addr=0000:00:03.0', '--', PROGRAM, 'late',
                         BDF, stdin=subprocess.PIPE)
        assert second.stderr.readline() == f'uvfio: ctl: {other}\n'
        assert stat.S_IMODE(os.stat(other).st_mode) == 0o600
        listed = s.ctl('list').stdout.splitlines()
        assert len(listed) == 3 and any(line.startswith(s.session + ' ') for line in listed), listed
        result = s.ctl('devices')
        expect(result, 1)
        assert re.fullmatch(r'uvfio: ctl: several sessions are running: choose one with --session: \S+, \S+\n',
                            result.stderr), result.stderr
        result = s.run('mdev', 'list')
        expect(result, 1)
        assert re.fullmatch(r'uvfio: mdev: several sessions are running: choose one with --session: \S+, \S+\n',
                            result.stderr), result.stderr
        for session in (s.session, s.session + '/ctl'):
            assert s.run('mdev', f'--session={session}', 'list').stdout.startswith('UUID '), session
        expect(s.run('mdev', f'--session={s.dir}', 'list'), 1, f'uvfio: mdev: {s.dir} is no session\'s directory\n')
        assert '0000:00:03.0' in s.ctl('devices', '--session', other).stdout
        assert BDF in s.ctl(f'--session={s.session}', 'devices').stdout
        inside = s.run('run', '--ctl', '--device', 'nvme,size=16M,addr=0000:00:05.0', '--', UVFIO, 'ctl', 'devices')
        assert inside.returncode == 0 and '0000:00:05.0' in inside.stdout, inside  # its own
        second.communicate('\n\n')
        assert not os.path.exists(other)
        s.end(0)


@test
def hostile_peers_do_no_harm():
    with Session('late', BDF) as s:
        s.says('ready')
        peers = []
        for text in (b'', b'\n', b'\0' * 40000, b'process', b'process 1 0\n', b'process 1 0\n1 = x\n9 ok\nremoved x\n\n',
                     b'process -1 18446744073709551615\n' + b'x' * 100000, b'list ' + b'y' * 15000 + b'\n',
                     b'remove \xff\xfe\n', b'add device nvme,addr=0000:00:01.0\n', b'add iommu width=40\n', b'add \n',
                     b'add device\n', b'remove ' + b'z' * 9000 + b'\n', b'session\nsession\n', b'list devices'):
            peer = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            peer.connect(s.socket)
            try:
                peer.sendall(text)
            except OSError:
                pass
            peers.append(peer)
        # One of them passes for a process and never answers.
        result = s.ctl('devices')
        expect(result, 1)
        assert 'does not answer' in result.stderr and f'{BDF}  nvme' in result.stdout, result
        for peer in peers:
            peer.close()
        expect(s.ctl('devices'), 0, '')
        s.end()


@test
def signals_still_reach_the_program():
    with Session('late', BDF) as s:
        s.says('ready')
        s.process.send_signal(signal.SIGTERM)
        s.process.wait(timeout=30)
        assert s.process.returncode == 128 + signal.SIGTERM, s.process.returncode


sys.exit(main())
