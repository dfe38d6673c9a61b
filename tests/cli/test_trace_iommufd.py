#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""What traces say of cdevs and IOMMUFDs: arguments as they came, results behind "->", reasons in the caller's words."""
import os
import re
import sys

from harness import Place, expect, main, test

PROGRAM = os.path.abspath(sys.argv[5])
CDEV, UNBOUND = '/dev/vfio/devices/vfio0', 'EINVAL: the device is not bound: VFIO_DEVICE_BIND_IOMMUFD comes first'


def check(what, categories, wanted):
    """Each wanted line, {x} for a number in hexadecimal, comes in this order behind the others."""
    with Place() as place:
        result = place.run('run', '--trace=' + categories, '--', PROGRAM, what)
        expect(result, 0)
        lines = iter([re.sub(r'^\[ *[\d.]+\] (\w+ +)|( \([\d.]+ us\))?$', '', line) for line in result.stderr.splitlines()])
        for want in wanted:
            pattern = re.escape(want).replace(r'\{x\}', r'0x\w+')
            assert any(re.fullmatch(pattern, line) for line in lines), f'{want}\nis not, or not there, in\n{result.stderr}'


def map_line(words, iova=' iova=0x20000'):
    return f'IOMMU_IOAS_MAP /dev/iommu ioas=2{iova} length=0x1000 user_va={{x}} {words}'


@test
def results_do_not_hide_arguments():
    unmap = 'IOMMU_IOAS_UNMAP /dev/iommu ioas=2'
    check('calls', 'ioctl', [
        f'VFIO_DEVICE_BIND_IOMMUFD {CDEV} flags=0x0 iommufd=3 -> devid=1 = 0',
        f'VFIO_DEVICE_BIND_IOMMUFD {CDEV} flags=0x0 iommufd=3 = -1 EINVAL: this descriptor is bound already',
        'IOMMU_IOAS_ALLOC /dev/iommu -> ioas=2 = 0',
        f'VFIO_DEVICE_ATTACH_IOMMUFD_PT {CDEV} pt=2 -> hwpt=3 = 0',
        map_line('FIXED_IOVA|WRITEABLE|READABLE = 0', ' iova=0x10000'),
        map_line('WRITEABLE|READABLE -> iova=0x1000 = 0', ''),
        unmap + ' iova=0x10000 length=0x4000 -> unmapped=0x1000 = 0',
        unmap + ' iova=0x0 length=0xffffffffffffffff -> unmapped=0x1000 = 0',
        unmap + ' iova=0x10000 length=0x4000 = -1 ENOENT: nothing is mapped there',
        f'VFIO_DEVICE_GET_REGION_INFO {CDEV} ?(12) = -1 EINVAL: index 12: there are regions 0 to 7',
    ])


@test
def reasons_fit():
    every = 'FIXED_IOVA|WRITEABLE|READABLE'
    check('calls', 'ioctl', [
        f'VFIO_DEVICE_ATTACH_IOMMUFD_PT {CDEV} pt=12345 = -1 ENOENT: no object has the id 12345: it must be an IOAS or an HWPT',
        'IOMMU_HWPT_ALLOC /dev/iommu dev=1 pt=12345 = -1 EINVAL: no object has the id 12345: it must be an IOAS, an HWPT '
        'or a vIOMMU',
        'IOMMU_HWPT_ALLOC /dev/iommu dev=1 pt=2 0x100 = -1 EOPNOTSUPP: unknown flags 0x100: known are NEST_PARENT, '
        'DIRTY_TRACKING, FAULT_ID_VALID, PASID',
        map_line(every + '|0x80 = -1 EOPNOTSUPP: unknown flags 0x80: known are FIXED_IOVA, WRITEABLE, READABLE'),
        map_line(every + ' = -1 EOPNOTSUPP: __reserved is 0x1'),
        map_line(every + ' = -1 EFAULT: the memory at {x}-{x} is there, but not all of it is writable'),
        map_line(every + ' = -1 EFAULT: the memory at {x}-{x} is not all there, or not readable'),
        'IOMMU_GET_HW_INFO /dev/iommu dev=1 data_len=0 INPUT_TYPE|0x10 = -1 EOPNOTSUPP: unknown flags 0x10: '
        'known is INPUT_TYPE (1)',
        'ioctl /dev/iommu request=0x3ba5 = -1 ENOTTY: no request of VFIO or IOMMUFD has this number',
        f'ioctl {CDEV} request=0x1234 = -1 EINVAL: no request of VFIO or IOMMUFD has this number; {UNBOUND[8:]}',
    ])


@test
def vfio_on_an_iommufd_is_told_in_its_own_words():
    def mapped(size, result, iova='0x0', flags='READ|WRITE'):
        return f'VFIO_IOMMU_MAP_DMA /dev/iommu iova={iova} size={size} vaddr={{x}} {flags} = {result}'

    def unmapped(arguments):
        return 'VFIO_IOMMU_UNMAP_DMA /dev/iommu ' + arguments
    check('compat', 'ioctl', [
        mapped('0x2000', '-1 EOVERFLOW: vaddr + size goes beyond 64 bits'),
        mapped('0x2000', '-1 EOVERFLOW: iova + size goes beyond 64 bits', '0xfffffffffffff000'),
        mapped('0x0', '-1 EINVAL: size is 0'),
        mapped('0x1001', '-1 EINVAL: size 0x1001 is not aligned to 0x1000'),
        mapped('0x1000', '-1 EINVAL: vaddr {x}001 is not aligned to 0x1000'),
        mapped('0x1000', '-1 EINVAL: 0x1000000000000000-0x1000000000000fff is not usable: VFIO_IOMMU_GET_INFO tells what is',
               '0x1000000000000000'),
        mapped('0x1000', '-1 EINVAL: unknown flags 0x40: known are READ, WRITE (0x3)', flags='READ|WRITE|0x40'),
        mapped('0x2000', '0', '0x10000'),
        unmapped('iova=0x0 size=0x1000 ALL = -1 EINVAL: ALL takes no iova and no size'),
        unmapped('iova=0x0 size=0x0 = -1 EINVAL: size is 0'),
        unmapped('iova=0x10000 size=0x1000 unmapped=0x0 = -1 ENOENT: the range cuts the mapping 0x10000-0x11fff'),
        unmapped('iova=0x0 size=0x0 ALL unmapped=0x2000 = 0'),
    ])


@test
def mappings_name_their_ioas():
    check('calls', 'dma', [
        'map ioas=2 iova=0x10000-0x10fff vaddr={x} READ WRITE',
        'unmap ioas=2 iova=0x10000-0x13fff unmapped=0x1000',
    ])


@test
def failed_calls_of_files_say_why():
    check('files', 'file', [
        f'read {CDEV} offset=0x0 length=0x1 = -1 {UNBOUND}',
        f'write {CDEV} offset=0x70000000000 length=0x1 = -1 {UNBOUND}',
        f'mmap {CDEV} offset=0x0 length=0x1000 prot=1 = -1 {UNBOUND}',
        'open /dev/vfio/1 = -1 EBUSY: the group is open already, and is open once at a time',
        'read /dev/vfio/1 offset=0x0 length=0x1 = -1 EINVAL',
        'open /dev/vfio/1 = -1 EBUSY: a device of the group is bound by its cdev (/dev/vfio/devices)',
        f'mmap {CDEV} offset=0x0 length=0x1000 prot=1 = -1 EINVAL: a BAR is mapped with MAP_SHARED',
        f'mmap {CDEV} offset=0x0 length=0x100000 prot=1 = -1 EINVAL: BAR0 has 0x4000 bytes',
    ])


sys.exit(main())
