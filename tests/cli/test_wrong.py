#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""Wrong uses of uvfio run: each says in one line what is wrong, has its exit status, and nothing runs."""
import os
import re
import shutil
import struct
import subprocess
import sys

from harness import PROGRAM, STATIC, UVFIO, Place, Skip, expect, main, test


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
    refused(2, 'no command: use uvfio run, uvfio devices, uvfio ctl or uvfio mdev; uvfio --help tells more')
    refused(2, 'there is no command runn: use run, devices, ctl or mdev', 'runn')
    refused(2, 'there is no option --foo: see uvfio --help', '--foo')
    refused(2, 'run: no program: write uvfio run [OPTIONS] -- PROGRAM [ARGS...]', 'run')
    refused(2, 'run: no program: write uvfio run [OPTIONS] -- PROGRAM [ARGS...]', 'run', '--summary', '--')
    refused(2, 'run: there is no option --foo: see uvfio run --help', 'run', '--foo', '--', 'true')
    refused(2, 'run: there is no option -x: see uvfio run --help', 'run', '-x', '--', 'true')
    refused(2, 'run: --device needs a value: see uvfio run --help', 'run', '--device')
    refused(2, 'run: --summary=1 takes no value: see uvfio run --help', 'run', '--summary=1', '--', 'true')
    refused(2, 'devices: at most one MODEL: see uvfio devices --help', 'devices', 'nvme', 'nvme')
    refused(2, 'devices: there is no option --all: see uvfio devices --help', 'devices', '--all')
    refused(1, 'there is no device model foo: known are nvme, ioat, mtty, and plug-ins by their path, ./NAME.so', 'devices', 'foo')


@test
def wrong_trace():
    run_refused('run: --trace: there is no category foo: use all, or some of ioctl, file, config, bar, dma, irq, cmd, '
                'fault', '--trace=ioctl,foo,dma', status=2)
    run_refused('run: --trace: there is no category "": use all, or some of ioctl, file, config, bar, dma, irq, cmd, fault',
                '--trace=', status=2)
    run_refused('run: --trace-out: there is no file name: write --trace-out=FILE', '--trace-out=', status=2)
    refused(2, 'run: --trace-out needs a value: see uvfio run --help', 'run', '--trace-out', '--', 'touch', '@/ran')
    run_refused('run: --trace takes its categories after a =: write --trace=ioctl,dma', '--trace', 'ioctl,dma', status=2)
    run_refused('--trace-out: @/no/x.json cannot be written: No such file or directory', '--trace-out=@/no/x.json')


@test
def wrong_interfaces():
    run_refused('run: --legacy-only and --iommufd-only leave nothing: give one of them',
                '--legacy-only', '--iommufd-only', status=2)
    run_refused('run: with --iommufd-only there is no /dev/vfio/vfio: leave --container out',
                '--container=type1', '--iommufd-only', status=2)
    run_refused('run: --container=type2: there are type1 and iommufd', '--container=type2', status=2)
    run_refused('run: --kvm=on: there are host, soft and off', '--kvm=on', status=2)
    run_refused('run: --container needs a value: see uvfio run --help', '--container', status=2)
    run_refused('run: --container needs a value: see uvfio run --help', '--container', '--summary', status=2)
    run_refused('nvme: noiommu=on: only a group gives such a device, and there are none with --iommufd-only (nodes=iommufd): '
                'leave one of the two out', '--iommufd-only', '--device', 'nvme,size=1M,noiommu=on')
    run_refused('run: --legacy-only=1 takes no value: see uvfio run --help', '--legacy-only=1', status=2)


@test
def wrong_models_and_options():
    run_refused('there is no device model nvm: known are nvme, ioat, mtty, and plug-ins by their path, ./NAME.so', '--device', 'nvm')
    run_refused('there is no device model "": known are nvme, ioat, mtty, and plug-ins by their path, ./NAME.so', '--device', '')
    run_refused('nvme: there is no option siz: did you mean size?', '--device', 'nvme,siz=1M')
    run_refused('nvme: "readonly" has no value: write it as key=value; a comma within a value is written '
                'twice', '--device', 'nvme,readonly')
    run_refused('nvme: readonly=1 is not possible: use on or off', '--device', 'nvme,readonly=1')
    run_refused('nvme: addr=zz is not possible: use a PCI address like 0000:00:01.0 or 00:01.0, device 00 to 1f, '
                'function 0 to 7', '--device', 'nvme,addr=zz')
    run_refused('nvme: two devices at 0000:00:01.0: give one another address with addr=',
                '--device', 'nvme,addr=0000:00:01.0', '--device', 'nvme,addr=0000:00:01.0')
    run_refused('nvme: lba=1024 is not possible: use one of 512|4096', '--device', 'nvme,lba=1024')
    run_refused('--device: a value cannot contain a line break', '--device', 'nvme,file=a\nb')
    run_refused('--iommu: width=64 is not possible: use a number from 12 to 57', '--iommu', 'width=64')
    run_refused('--iommu: there is no option foo: known are type, width, reserved, pgsizes, dma-entries, memlock, coherent, '
                'dirty-tracking', '--iommu', 'foo=1')
    run_refused('--iommu: version= goes with type=spapr, and this is type=type1', '--iommu', 'version=1')
    run_refused('--iommu: width= goes with type=type1, and this is type=spapr', '--iommu', 'type=spapr', '--iommu', 'width=39')
    run_refused('--iommu: type= is given twice: leave one of the two out', '--iommu', 'type=spapr,type=type1')
    run_refused('--iommu: width= is given twice: leave one of the two out', '--iommu', 'width=39', '--iommu', 'width=40')
    run_refused('nvme: size= is given twice: leave one of the two out', '--device', 'nvme,size=1M,addr=00:02.0,size=2M')
    run_refused('nvme: addr= is given twice: leave one of the two out', '--device', 'nvme,addr=00:02.0,addr=00:03.0')


@test
def devices_takes_a_model_alone():
    refused(2, 'devices: nvme,lba=512: give a model without options: uvfio devices nvme', 'devices', 'nvme,lba=512')
    refused(2, 'devices: ./x.so,a=1: give a model without options: uvfio devices ./x.so', 'devices', './x.so,a=1')


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
    check_image('file=missing.img', ['@/missing.img: No such file', "; make an image first: truncate -s 256M '@/missing.img'\n"])
    check_image('file=/nonexistent/x', ['/nonexistent/x', 'No such file'])
    check_image('file=.', ['@/.'])
    check_image('file=/dev/null', ['/dev/null'])
    check_image('file=odd.img', ['@/odd.img', '512'], lambda p: p.path('odd.img', bytes(1000)))
    check_image('file=odd.img,lba=4096', ['@/odd.img', '4096'], lambda p: p.path('odd.img', bytes(4608)))
    check_image('file=empty.img', ['@/empty.img'], lambda p: p.path('empty.img', b''))
    check_image('size=999999T', ['size=999999T: '])
    check_image('size=much', ['size=much', 'is not possible'])
    check_image('size=1000', ['1000', '512'])


@test
def one_image_behind_two_devices():
    with Place() as place:
        place.path('a,b.img', bytes(1 << 20))
        os.link(place.path('a,b.img'), place.path('c.img'))
        two = ['--device', 'nvme,file=a,,b.img', '--device', 'nvme,file=c.img']
        line = f'uvfio: nvme: file={place.dir}/c.img is behind two devices: use two images, or readonly=on for both\n'
        expect(place.run('run', *two, '--', 'true'), 1, line)
        two[1] += ',readonly=on'
        expect(place.run('run', *two, '--', 'true'), 1, line)
        two[3] += ',readonly=on'
        expect(place.run('run', *two, '--', 'ls', '/dev/vfio'), 0, '', '1\n2\ndevices\nvfio\n')


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
def program_of_another_user():
    if os.getuid() != 0:
        raise Skip('needs root to become nobody')
    with Place() as place:
        who = {'user': 65534, 'group': 65534, 'extra_groups': []}
        try:
            subprocess.run([UVFIO, '--version'], check=True, stdout=subprocess.DEVNULL, **who)
        except (OSError, subprocess.CalledProcessError):
            raise Skip('nobody cannot reach the build directory')
        place.path('mine', b'#!/bin/sh\n', 0o744)
        expect(place.run('run', '--', './mine', **who), 126,
               'uvfio: ./mine: may not be executed by this user: it is root\'s and has mode 744\n', '')


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
            expect(result, 0, '', '1\ndevices\nvfio\n')
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


sys.exit(main())
