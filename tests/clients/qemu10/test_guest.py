#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""A guest under QEMU (TCG, and KVM where it works) with the NVMe controller assigned to it: its firmware boots from there.

    test_guest.py FOLDER

The boot sector reads a block through the firmware's NVMe driver, prints it on the serial port, writes it elsewhere and
ends QEMU.
"""
import fcntl
import json
import os
import subprocess
import sys

from qemu10 import qemu

import harness
from harness import MIB, Skip, case, equal, image, main, read

FOLDER = sys.argv[1]
BDF = "0000:00:01.0"
BLOCK = 512
KNOWN, COPY = 7, 2000  # which block is read, and where it is written to
EXIT_PORT = 0xf4
DONE, FAILED = 0x10, 0x01
KVM_GET_API_VERSION, KVM_API_VERSION = 0xae00, 12
TEXT = b"a block that only the assigned controller has\n"

LOAD = 0x7c00
DATA = 0x8000  # where the block is read to
PACKETS = 0x1a0  # within the boot sector


def packet(lba):
    """A disk address packet: one block at DATA."""
    return bytes([16, 0, 1, 0]) + DATA.to_bytes(2, "little") + bytes(2) + lba.to_bytes(8, "little")


def boot_sector():
    """16-bit code. The firmware leaves the number of the drive in dl."""
    parts = [
        "31c0 8ed8 8ec0 8ed0 bc007c",  # xor ax, ax; mov ds, ax; mov es, ax; mov ss, ax; mov sp, 0x7c00
        "52",  # push dx
        "be" + (LOAD + PACKETS).to_bytes(2, "little").hex(),  # mov si, packet to read
        "b442 cd13 72",  # mov ah, 0x42; int 0x13; jc failed
        "FAILED",
        "be" + DATA.to_bytes(2, "little").hex(),  # mov si, DATA
        "ac 84c0 7406 baf803 ee ebf5",  # next: lodsb; test al, al; jz end; mov dx, 0x3f8; out dx, al; jmp next; end:
        "5a",  # pop dx
        "be" + (LOAD + PACKETS + 16).to_bytes(2, "little").hex(),  # mov si, packet to write
        "b80043 cd13 72",  # mov ax, 0x4300; int 0x13; jc failed
        "FAILED",
        f"fa b0{DONE:02x} e6{EXIT_PORT:02x} f4 ebfd",  # cli; mov al, DONE; out EXIT_PORT, al; end: hlt; jmp end
        f"fa b0{FAILED:02x} e6{EXIT_PORT:02x} f4 ebfd",  # failed: the same with FAILED; QEMU takes its time to end
    ]
    sizes = [1 if part == "FAILED" else len(bytes.fromhex(part)) for part in parts]
    failed = sum(sizes[:-1])
    code = b"".join(bytes([failed - sum(sizes[:number + 1])]) if part == "FAILED" else bytes.fromhex(part)
                    for number, part in enumerate(parts))
    sector = code.ljust(PACKETS, b"\0") + packet(KNOWN) + packet(COPY)
    return sector.ljust(510, b"\0") + b"\x55\xaa"


def disk_of(directory):
    disk = image(directory, "disk", 16 * MIB)
    with open(disk, "r+b") as out:
        out.write(boot_sector())
        out.seek(KNOWN * BLOCK)
        out.write(TEXT)
    return disk


def boot(directory, *words, device=f"host={BDF}", options=(), machine="q35", starter=(), accel="tcg"):
    """Boot from the controller, and see that the block was read and written."""
    disk, serial = disk_of(directory), os.path.join(directory, "serial")
    program, environment = qemu(FOLDER)
    arguments = [*starter, *program, "-machine", machine, "-accel", accel, "-m", "64", "-nodefaults", "-no-user-config",
                 "-display", "none", "-vga", "none", "-serial", f"file:{serial}",
                 "-device", f"isa-debug-exit,iobase={EXIT_PORT:#x},iosize=1", *words,
                 "-device", f"vfio-pci,{device},bootindex=0"]
    done = subprocess.run(harness.command(*arguments, devices=[f"nvme,file={disk}"], options=options), env=environment,
                          stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=120, check=False)
    result = harness.Result(done.returncode, read(serial).decode(errors="replace") if os.path.exists(serial) else "",
                            done.stderr.decode(errors="replace"))
    equal(result.status, DONE * 2 + 1, f"exit status: {result.text()}")
    equal(TEXT.decode() in result.out, True, f"the block was printed: {result.text()}")
    equal("uvfio" in result.err, False, f"no message of ours: {result.text()}")
    blocks = read(disk)
    equal(blocks[COPY * BLOCK:(COPY + 1) * BLOCK], blocks[KNOWN * BLOCK:(KNOWN + 1) * BLOCK], "the block that was written")
    return result


@case("a guest boots from the controller: legacy container, q35")
def _(directory):
    boot(directory)


@case("a guest boots from the controller: legacy container, i440fx")
def _(directory):
    boot(directory, machine="pc")


@case("a guest boots from the controller: legacy container, registers not mapped")
def _(directory):
    boot(directory, device=f"host={BDF},x-no-mmap=on")


@case("a guest boots from the controller: a container that is an IOMMUFD")
def _(directory):
    boot(directory, options=["--container=iommufd"])


@case("a guest boots from the controller: IOMMUFD, q35")
def _(directory):
    boot(directory, "-object", "iommufd,id=i", device=f"host={BDF},iommufd=i")


@case("a guest boots from the controller: IOMMUFD, i440fx")
def _(directory):
    boot(directory, "-object", "iommufd,id=i", device=f"host={BDF},iommufd=i", machine="pc")


# Opens the two nodes, and starts a program with their numbers in place of {device} and {iommu}.
STARTER = """
import os, subprocess, sys
cdev = next(name for name in os.listdir(f"/sys/bus/pci/devices/{sys.argv[1]}/vfio-dev") if name.startswith("vfio"))
fds = {"device": os.open(f"/dev/vfio/devices/{cdev}", os.O_RDWR), "iommu": os.open("/dev/iommu", os.O_RDWR)}
for fd in fds.values():
    os.set_inheritable(fd, True)
words = sys.argv[2:]
for name, fd in fds.items():
    words = [word.replace("{%s}" % name, str(fd)) for word in words]
sys.exit(subprocess.run(words, pass_fds=list(fds.values())).returncode)
"""


@case("a guest boots from the controller: IOMMUFD, descriptors that the program which starts QEMU has opened")
def _(directory):
    boot(directory, "-object", "iommufd,id=i,fd={iommu}", device="fd={device},iommufd=i",
         starter=[sys.executable, "-c", STARTER, BDF])


# ---- the real KVM


def kvm_works():
    """Raise Skip where it does not. KVM without VMX or SVM counts, too."""
    try:
        with open("/dev/kvm", "r+b", buffering=0) as kvm:
            version = fcntl.ioctl(kvm, KVM_GET_API_VERSION, 0)
    except OSError as error:
        raise Skip(f"/dev/kvm: {error.strerror}") from None
    if version != KVM_API_VERSION:
        raise Skip(f"/dev/kvm has version {version}")


def boot_on_kvm(directory, *words, **keys):
    """The same, and see that the device was told to which VM it belongs."""
    kvm_works()
    trace = os.path.join(directory, "trace.json")
    result = boot(directory, *words, accel="kvm", **{**keys, "options": [*keys.get("options", ()), f"--trace-out={trace}"]})
    calls = [event for event in json.loads(read(trace)) if event["name"] == "KVM_SET_DEVICE_ATTR"]
    equal(["FILE ADD" in str(call["args"]) for call in calls[:1]], [True], f"the KVM-VFIO device was used: {calls}")
    equal("Failed to" in result.err, False, f"QEMU has no complaint: {result.text()}")


@case("a guest on KVM boots from the controller: legacy container, q35")
def _(directory):
    boot_on_kvm(directory)


@case("a guest on KVM boots from the controller: legacy container, i440fx, asked for")
def _(directory):
    boot_on_kvm(directory, machine="pc", options=["--kvm=host"])


@case("a guest on KVM boots from the controller: IOMMUFD, q35")
def _(directory):
    boot_on_kvm(directory, "-object", "iommufd,id=i", device=f"host={BDF},iommufd=i")


@case("a guest on KVM boots from the controller: a container that is an IOMMUFD, split interrupt controllers")
def _(directory):
    boot_on_kvm(directory, machine="q35,kernel-irqchip=split", options=["--container=iommufd"])


if __name__ == "__main__":
    main()
