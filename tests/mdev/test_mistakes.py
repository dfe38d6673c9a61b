#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""What uvfio says of a mediated driver that makes mistakes, or is led to them. Called with UVFIO CLIENT PLUGIN PLUGIN."""
import os
import re
import subprocess
import sys

UVFIO, CLIENT, CLUMSY, UNTOLD = [os.path.abspath(p) for p in sys.argv[1:5]]
UUID = "83b8f4f2-509f-382f-3c1e-e6bfe0fa1001"
PIN, PIN_CACHED, PIN_NOTHING, UNPIN, COPY_IN, COPY_OUT, READ_AS_DMA = map(str, range(1, 8))
EPERM, EBUSY, EFAULT, EINVAL, ENOMEM, EDEADLK, ENOENT = "-1", "-16", "-14", "-22", "-12", "-35", "-2"
FAULT = UUID + r": DMA fault: %s of %d bytes at IOVA %s failed at %s \(uvfio_mdev_%s\): "
CASES = []


def run(way, *steps, options=(), plugin=CLUMSY):
    done = subprocess.run([UVFIO, "run", *options, "--device", plugin + ",type=none", "--", CLIENT, way, *steps],
                          stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=60)
    assert done.returncode == 0, f"status {done.returncode}:\n{done.stderr}"
    return done.stderr


def said(text, *patterns):
    """Each in one line, in any order, and nothing else of uvfio's."""
    lines = [line for line in text.splitlines() if line.startswith("uvfio: ")]
    for pattern in patterns:
        found = [line for line in lines if re.search(pattern, line)]
        assert len(found) == 1, f"{len(found)} lines say {pattern}:\n{text}"
        lines.remove(found[0])
    assert not lines, "also said:\n" + "\n".join(lines)


def case(function):
    CASES.append(function)
    return function


def each_way(function):
    for way in ("type1v2", "cdev"):
        def one(way=way):
            function(way)
        one.__name__ = f"{function.__name__}({way})"
        CASES.append(one)


@each_way
def not_mapped(way):
    error = EINVAL if way == "type1v2" else ENOENT
    said(run(way, "0x40000", COPY_IN, error, "0x40000", COPY_IN, error, "0x40008", COPY_IN, error, "0x11000", PIN, error),
         FAULT % ("read", 8, "0x40000", "0x40000", "dma_rw") + r"nothing is mapped there;.*; nearest: \[0x20000-0x21fff\] rw, 0x1e000 below",
         FAULT % ("write", 8192, "0x11000", "0x12000", "pin_pages") + r"nothing is mapped.*\[0x10000-0x11fff\] rw, ends just below")


@each_way
def memory_gone(way):
    said(run(way, "0x20000", PIN, EFAULT),
         FAULT % ("write", 8192, "0x20000", "0x21000", "pin_pages") + "the memory behind the mapping")
    said(run(way, "0x21010", COPY_OUT, EFAULT),
         FAULT % ("write", 8, "0x21010", "0x21010", "dma_rw") + "the memory behind the mapping")


@case
def file_too_short():
    why = r": the file ends before the mapping$"
    said(run("cdev", "file", "", "", "0x40000", COPY_IN, ENOENT, "0x30000", COPY_IN, EINVAL, "0x2f000", PIN, ENOENT,
             "0x30000", PIN_NOTHING, EINVAL),
         FAULT % ("read", 8, "0x40000", "0x40000", "dma_rw") + "nothing is mapped",
         r"uvfio_mdev_dma_rw\(\) of 0x30000, 8 bytes, returned -22 \(Invalid argument\)" + why,
         FAULT % ("write", 8192, "0x2f000", "0x2f000", "pin_pages") + "nothing is mapped",
         r"uvfio_mdev_pin_pages\(\) of 0x30000, 4096 bytes, returned -22 \(Invalid argument\)" + why)


@each_way
def prot(way):
    said(run(way, "0x10000", PIN_CACHED, EPERM, "0x10000", PIN_NOTHING, "1", "0x10000", UNPIN, "0", "0x10000", UNPIN, EINVAL),
         r"uvfio_mdev_pin_pages\(\).* returned -1 .*: prot is 0x4",
         r"uvfio_mdev_unpin_pages\(\) of 0x10000, 4096 bytes, returned -22 .*: not all of these pages were pinned by it")


@each_way
def no_dma_unmap(way):
    said(run(way, "0x10000", PIN, EINVAL, "0x10000", COPY_IN, "0", plugin=UNTOLD),
         r"uvfio_mdev_pin_pages\(\).*returned -22 .*: its driver has no dma_unmap")


@each_way
def locked_memory(way):
    said(run(way, "0x10000", PIN, ENOMEM, options=["--iommu", "memlock=4K"]),
         r"uvfio_mdev_pin_pages\(\).*returned -12 .*: \d+ KiB of locked memory.*memlock=")


@each_way
def read_as_dma(way):
    said(run(way, "0x10000", READ_AS_DMA, "0", "wait", EFAULT, ""),
         r": DMA fault: .*a mediated device has no IOMMU behind it: its driver uses uvfio_mdev_dma_rw\(\)")


@each_way
def kept(way):
    said(run(way, "0x10000", PIN, "2", "unmap", "", EBUSY if way == "type1v2" else EDEADLK),
         UUID + r" keeps pages of 0x10000-0x11fff pinned \(2\), so they stay mapped: its dma_unmap has to unpin them",
         UUID + r" had pages pinned \(2\) when it was closed: .*its close has to unpin them")


@case
def detached():
    said(run("cdev", "0x10000", PIN, "2", "detach", "", "", "0x10000", COPY_IN, ENOENT),
         UUID + r" had pages pinned \(2\) when it was detached from its IOAS: .*its dma_unmap has to unpin them",
         r"DMA fault: .*the device is in no container; attach its group, or the device to an IOAS")


@case
def joined_with_bad_memory():
    text = run("type1v2", "join", "0000:00:01.0", EFAULT, options=["--trace=ioctl", "--device", "nvme,size=1M"])
    assert re.search(r"SET_CONTAINER.*EFAULT: of the mapping 0x20000-0x21fff the memory at 0x\w+000 is not there, or not writable", text), text


@case
def traced():
    text = run("type1v2", "0x10000", PIN, "2", "0x10000", UNPIN, "0", "0x40000", COPY_OUT, EINVAL, options=["--trace=dma"])
    for line in ("pin_pages iova=0x10000 len=8192 write = 2", "unpin_pages iova=0x10000 len=4096 = 0",
                 "dma_rw iova=0x40000 len=8 write = EINVAL: nothing is mapped at 0x40000"):
        assert line in text, text


@case
def requests_traced():
    text = run("type1v2", "ask", "", "", options=["--trace=ioctl"])
    for line in ("VFIO_DEVICE_GET_INFO {} flags=0x2 regions=9 irqs=5 = 0",
                 "VFIO_DEVICE_GET_REGION_INFO {} BAR0(0) size=0xc offset=0x0 READ WRITE = 0",
                 "VFIO_DEVICE_GET_IRQ_INFO {} INTX(0) = -1 EINVAL: index 0: the device has no such kind of interrupt",
                 "VFIO_DEVICE_SET_IRQS {} MSI(1) start=0 count=0 NONE TRIGGER = -1 ENOTTY",
                 "VFIO_DEVICE_FEATURE {} PCI_VF_TOKEN(0) GET = -1 ENOTTY: the device has no such feature"):
        assert line.format("anon_inode:[vfio-device]") in text, text


@each_way
def counted(way):
    steps = ["0x10000", COPY_IN, "0"] * 3 + ["0x10000", COPY_OUT, "0"] * 2
    text = run(way, *steps, "0x40000", COPY_IN, EINVAL if way == "type1v2" else ENOENT, options=["--summary"])
    for line in ("24 bytes read from memory by devices, 16 bytes written to it", "registers   18 accesses", "faults      1"):
        assert line in text, text


print(f"1..{len(CASES)}")
for number, function in enumerate(CASES, 1):
    try:
        function()
        print(f"ok {number} - {function.__name__}")
    except (AssertionError, subprocess.SubprocessError) as failure:
        print(f"not ok {number} - {function.__name__}")
        print("# " + str(failure).replace("\n", "\n# "))
    sys.stdout.flush()
