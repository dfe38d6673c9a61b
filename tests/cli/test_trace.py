#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""What uvfio says about a program's mistakes: reasons in the trace of ioctls, crashes, bus errors; the trace file."""
import json
import os
import re
import signal
import sys

from harness import STATIC, Place, Skip, expect, main, test

MISTAKES = os.path.abspath(sys.argv[5])

# In the order of the calls in mistakes.c: name, arguments, result.
REASONS = [
    ('VFIO_SET_IOMMU', 'TYPE1v2_IOMMU', 'EINVAL: no group is in the container: VFIO_GROUP_SET_CONTAINER comes first'),
    ('VFIO_GROUP_GET_DEVICE_FD', 'name="0000:00:01.0"',
     'EINVAL: the group is in no container: VFIO_GROUP_SET_CONTAINER comes first'),
    ('VFIO_GROUP_SET_CONTAINER', 'container=0', 'EBADFD: the descriptor is open, but neither a container (/dev/vfio/vfio) nor an IOMMUFD (/dev/iommu)'),
    ('VFIO_GROUP_SET_CONTAINER', 'container=999', 'EBADF: 999 is no open descriptor'),
    ('VFIO_GROUP_UNSET_CONTAINER', '', 'EINVAL: the group is in no container'),
    ('VFIO_GROUP_SET_CONTAINER', '', 'EINVAL: the group is in a container already'),
    ('VFIO_GROUP_GET_DEVICE_FD', '', 'EINVAL: the container has no IOMMU: VFIO_SET_IOMMU comes first'),
    ('VFIO_IOMMU_MAP_DMA', '', 'EINVAL: no IOMMU is set: VFIO_SET_IOMMU comes first'),
    ('VFIO_SET_IOMMU', '77', 'ENODEV: type 77: there are TYPE1_IOMMU (1) and TYPE1v2_IOMMU (3)'),
    ('VFIO_GROUP_GET_DEVICE_FD', 'name="0000:00:09.0"',
     'ENODEV: group 1 has no device "0000:00:09.0": names are like 0000:00:01.0'),
    ('VFIO_DEVICE_GET_INFO', 'request=0x3b6b', 'ENOTTY: VFIO_DEVICE_GET_INFO is for a device; this is /dev/vfio/1'),
    ('VFIO_IOMMU_MAP_DMA', 'request=0x3b71', 'ENOTTY: VFIO_IOMMU_MAP_DMA is for a container with an IOMMU, '
     'VFIO_DEVICE_PCI_HOT_RESET is for a device; this is /dev/vfio/1'),
    ('ioctl', 'request=0x1234', 'ENOTTY: no request of VFIO or IOMMUFD has this number'),
    ('VFIO_IOMMU_MAP_DMA', 'argsz=8 ', 'EINVAL: argsz 8, at least 32'),
    ('VFIO_IOMMU_MAP_DMA', '0x40', 'EINVAL: unknown flags 0x40: known are READ, WRITE, VADDR (0x7)'),
    ('VFIO_IOMMU_MAP_DMA', 'size=0x0', 'EINVAL: size is 0'),
    ('VFIO_IOMMU_MAP_DMA', '', 'EINVAL: neither READ nor WRITE'),
    ('VFIO_IOMMU_MAP_DMA', '', 'EINVAL: iova 0x123 is not aligned to 0x1000'),
    ('VFIO_IOMMU_MAP_DMA', '', r'EINVAL: vaddr 0x\w+001 is not aligned to 0x1000'),
    ('VFIO_IOMMU_MAP_DMA', '', 'EINVAL: size 0x1001 is not aligned to 0x1000'),
    ('VFIO_IOMMU_MAP_DMA', '', 'EOVERFLOW: iova + size goes beyond 64 bits'),
    ('VFIO_IOMMU_MAP_DMA', '',
     'EINVAL: 0x1000000000000000-0x1000000000000fff is outside of the aperture, which has 48 bits'),
    ('VFIO_IOMMU_MAP_DMA', '',
     'EINVAL: 0xfee00000-0xfee00fff touches the reserved window 0xfee00000-0xfeefffff (msi)'),
    ('VFIO_IOMMU_MAP_DMA', '', 'EEXIST: 0x100000-0x101fff is mapped already: unmap it first'),
    ('VFIO_IOMMU_MAP_DMA', '', r'EFAULT: the memory at vaddr 0x\w+000 is not writable'),
    ('VFIO_IOMMU_MAP_DMA', '', r'EFAULT: the memory at vaddr 0x\w+000 is not there, or not readable'),
    ('VFIO_IOMMU_MAP_DMA', '', 'EFAULT: the argument at 0x8 is not readable memory'),
    ('VFIO_IOMMU_MAP_DMA', '', 'ENOSPC: there are 2 mappings, as many as there can be (--iommu dma-entries=)'),
    ('VFIO_IOMMU_UNMAP_DMA', '', 'EINVAL: size is 0'),
    ('VFIO_IOMMU_UNMAP_DMA', '', 'EINVAL: iova 0x100001 is not aligned to 0x1000'),
    ('VFIO_IOMMU_UNMAP_DMA', '', 'EINVAL: the range cuts the mapping 0x100000-0x101fff'),
    ('VFIO_IOMMU_UNMAP_DMA', '', 'EINVAL: size 0x1001 is not aligned to 0x1000'),
    ('VFIO_DEVICE_GET_REGION_INFO', r'\?(12)', 'EINVAL: index 12: there are regions 0 to 7'),
    ('VFIO_DEVICE_GET_IRQ_INFO', r'\?(9)', 'EINVAL: index 9: the device has no such kind of interrupt'),
    ('VFIO_DEVICE_SET_IRQS', '', r'EINVAL: start 4000 and count 5000: this index has \d+ interrupts'),
    ('VFIO_DEVICE_SET_IRQS', '', 'EINVAL: flags 0x100: known are 0x3f'),
    ('VFIO_DEVICE_SET_IRQS', '', 'EINVAL: MSI-X is not enabled: give it eventfds first'),
    ('VFIO_DEVICE_SET_IRQS', '', 'EINVAL: argsz 20, 24 with the data of 1 interrupts'),
]


@test
def failed_ioctls_say_why():
    with Place() as place:
        result = place.run('run', '--iommu', 'dma-entries=2', '--trace=ioctl', '--', MISTAKES, 'ioctls')
        assert result.returncode == 0, result.stderr
        failed = [line for line in result.stderr.splitlines() if ' = -1 ' in line]
        for line, (name, arguments, reason) in zip(failed, REASONS):
            reason = re.sub(r'[()+]', r'\\\g<0>', reason) if '\\' not in reason else reason
            arguments = re.sub(r'[()]', r'\\\g<0>', arguments)
            pattern = rf'\[ *\d+\.\d+\] ioctl  {name} .*{arguments}.* = -1 {reason} \([\d.]+ us\)'
            assert re.fullmatch(pattern, line), f'{line}\nis not\n{pattern}'
        assert len(failed) == len(REASONS), failed[len(REASONS):]


@test
def ioctls_without_argument():
    with Place() as place:
        result = place.run('run', '--trace=ioctl', '--', MISTAKES, 'ioctls')
        assert re.search(r'VFIO_DEVICE_RESET anon_inode:\[vfio-device\] = 0 ', result.stderr), result.stderr
        assert 'arg=' not in result.stderr and 'argsz=0' not in result.stderr, result.stderr


@test
def memory_limit_is_named():
    with Place() as place:
        result = place.run('run', '--iommu', 'memlock=4096', '--trace=ioctl', '--', MISTAKES, 'map')
        assert ('ENOMEM: 8 KiB of locked memory, and 4 KiB are left of --iommu memlock=' in result.stderr), result.stderr


@test
def crashes_are_told():
    with Place() as place:
        for sig in (signal.SIGSEGV, signal.SIGBUS, signal.SIGABRT, signal.SIGILL, signal.SIGFPE):
            result = place.run('run', '--', 'sh', '-c', f'ulimit -c 0; kill -{int(sig)} $$')
            expect(result, 128 + sig, None, '')
            assert re.fullmatch(rf'uvfio: sh: ended by signal {int(sig)} \({sig.name}\)( \(core dumped\))?\n',
                                result.stderr), result.stderr
        for sig in (signal.SIGTERM, signal.SIGKILL, signal.SIGINT, signal.SIGHUP, signal.SIGPIPE):
            expect(place.run('run', '--', 'sh', '-c', f'kill -{int(sig)} $$'), 128 + sig, '', '')


@test
def bus_errors_are_told():
    with Place() as place:
        result = place.run('run', '--', MISTAKES, 'bus')
        expect(result, 128 + signal.SIGBUS, None, '')
        lines = result.stderr.splitlines()
        assert lines[0] == ('uvfio: 0000:00:01.0: a read of mapped BAR0+0x1c ends in SIGBUS: memory decode is off; '
                            'set bit 1 of the PCI command register first'), lines
        assert len(lines) == 2 and 'ended by signal 7 (SIGBUS)' in lines[1], lines


@test
def valgrind_is_told():
    libraries = [os.path.join(d, 'libutil.so.1') for d in ('/lib/x86_64-linux-gnu', '/lib64', '/usr/lib64', '/usr/lib')]
    library = next((path for path in libraries if os.path.exists(path)), None)
    if not library:
        raise Skip('no library that could play valgrind\'s')
    with Place() as place:
        played = place.copy(library, 'vgpreload_core.so')
        result = place.run('run', '--', MISTAKES, 'bus', env={'LD_PRELOAD': played})
        assert result.stderr.startswith('uvfio: valgrind does not let registers be emulated: '), result.stderr


def times(text):
    return [float(time) for time in re.findall(r'^\[ *(\d+\.\d+)\]', text, re.M)]


@test
def mappings_are_traced():
    with Place() as place:
        result = place.run('run', '--trace=dma', '--', MISTAKES, 'map')
        expect(result, 0)
        lines = [line.split('] ')[1] for line in result.stderr.splitlines()]
        assert len(lines) == 2, lines
        assert re.fullmatch(r'dma    map iova=0x10000-0x11fff vaddr=0x\w+ READ WRITE', lines[0]), lines
        assert lines[1] == 'dma    unmap iova=0x10000-0x11fff unmapped=0x2000', lines
        result = place.run('run', '--trace=dma', '--', MISTAKES, 'leave')
        expect(result, 0)
        assert result.stderr.splitlines()[-1].endswith('] dma    unmap all mappings, with their container: 1'), result.stderr


@test
def lines_are_in_the_order_of_their_times():
    with Place() as place:
        # A mapping is made within an ioctl: what is printed later ended later.
        result = place.run('run', '--trace=dma,ioctl', '--', MISTAKES, 'map')
        expect(result, 0)
        assert re.search(r' map iova.*\n.*VFIO_IOMMU_MAP_DMA', result.stderr), result.stderr
        assert len(times(result.stderr)) > 6 and times(result.stderr) == sorted(times(result.stderr)), result.stderr


def metadata(events, kind):
    return [(e['pid'], e['tid'], e['args']['name']) for e in events if e['ph'] == 'M' and e['name'] == kind]


@test
def tracks_have_names():
    with Place() as place:
        result = place.run('run', '--trace-out=t.json', '--', 'sh', '-c',
                           '"$0" threads && "$0" map && python3 -c "open(\'/dev/vfio/vfio\')"', MISTAKES)
        expect(result, 0, '')
        events = json.load(open(place.path('t.json')))
        processes = metadata(events, 'process_name')
        assert [name for _, _, name in processes] == ['cli_mistakes', 'cli_mistakes', 'python3'], processes
        assert len({pid for pid, _, _ in processes}) == 3 and all(pid > 0 for pid, _, _ in processes), processes
        threads = metadata(events, 'thread_name')
        assert 'my-"thread"' in [name for _, _, name in threads], threads
        named = {(pid, tid) for pid, tid, _ in threads}
        assert len(named) == len(threads), threads
        for event in events:
            assert (event['pid'], event['tid']) in named or event['name'] == 'process_name', event


@test
def devices_have_tracks():
    with Place() as place:
        result = place.run('run', '--trace-out=t.json', '--', MISTAKES, 'bus')
        assert result.returncode == 128 + signal.SIGBUS
        events = json.load(open(place.path('t.json')))
        assert '0000:00:01.0' in [name for _, _, name in metadata(events, 'thread_name')], events


@test
def traces_into_a_pipe_are_complete():
    with Place() as place:
        os.mkfifo(place.path('fifo'))
        reader = os.open(place.path('fifo'), os.O_RDONLY | os.O_NONBLOCK)
        expect(place.run('run', '--trace-out=fifo', '--', MISTAKES, 'map'), 0, '')
        events = json.loads(os.read(reader, 1 << 16))
        os.close(reader)
        assert len(events) > 8 and events[-1]['pid'] > 0, events


STATIC_LINE = f'uvfio: {STATIC}: is statically linked; it does not see the devices\n'


@test
def static_programs_in_a_session_are_told():
    with Place() as place:
        for how in ('execve', 'execv', 'execvp', 'execl', 'execlp', 'execle'):
            result = place.run('run', '--', MISTAKES, 'exec', how, STATIC, 'ignored')
            assert result.returncode == 0 and result.stderr == STATIC_LINE and 'int ' in result.stdout, (how, result)
        # once, whoever starts it
        place.path('script', f'#!{STATIC} fds\n'.encode(), 0o755)
        result = place.run('run', '--', 'sh', '-c', f'{STATIC} fds; {STATIC} fds; ./script; /bin/true')
        expect(result, 0, STATIC_LINE, '')
        result = place.run('run', '--', 'python3', '-c', 'import os, subprocess, sys\nsubprocess.run([sys.argv[1], "fds"])\n'
                           'os.waitpid(os.posix_spawn(sys.argv[1], [sys.argv[1], "fds"], os.environ), 0)', STATIC)
        expect(result, 0, STATIC_LINE, '')


@test
def privileged_programs_in_a_session_are_told():
    if os.getuid() != 0:
        raise Skip('needs root to make a program of another user')
    with Place() as place:
        path = place.copy(MISTAKES, 'privileged')
        os.chown(path, 65534, 65534)
        os.chmod(path, 0o4755)
        result = place.run('run', '--', 'sh', '-c', './privileged; ./privileged; exit 0')
        if os.statvfs(path).f_flag & os.ST_NOSUID:
            raise Skip('the file system knows no set-user-ID programs')
        expect(result, 0, 'uvfio: ./privileged: is a set-user-ID program; it does not see the devices\n')
        # with no other rights the loader obeys
        os.chown(path, os.getuid(), os.getgid())
        os.chmod(path, 0o4755)
        expect(place.run('run', '--', 'sh', '-c', './privileged; exit 0'), 0, '')


@test
def programs_without_our_environment_are_told():
    line = "gets an environment without uvfio's LD_PRELOAD and UVFIO_SESSION; it does not see the devices\n"
    with Place() as place:
        expect(place.run('run', '--', MISTAKES, 'exec', 'empty', '/bin/true'), 0, f'uvfio: /bin/true: {line}')
        result = place.run('run', '--', 'env', '-i', '/bin/ls', '/dev/null')
        expect(result, 0, f'uvfio: /bin/ls: {line}', '/dev/null\n')
        expect(place.run('run', '--', 'env', '-u', 'LD_PRELOAD', '/bin/true'), 0, f'uvfio: /bin/true: {line}')
        expect(place.run('run', '--', 'env', 'A=B', '/bin/true'), 0, '')
        expect(place.run('run', '--', MISTAKES, 'exec', 'empty', '/no/such/program'), 99, '')


sys.exit(main())
