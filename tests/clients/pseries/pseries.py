# SPDX-License-Identifier: BSD-2-Clause
"""A Linux guest on QEMU's POWER machine: Debian's ppc64el kernel and a static busybox, fetched and not installed.

    FOLDER/system    QEMU as the system's own release has it (7.2 on Debian 12)
    FOLDER/newer     QEMU 10 or later
    FOLDER/kernel    the kernel, its modules, busybox
"""
import glob
import os
import re
import shutil
import struct
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "../qemu10"))
sys.path.insert(0, os.path.join(HERE, "../mdev"))
from guest import archived  # noqa: E402
from qemu10 import fetched, qemu  # noqa: E402

from packages import Apt, Unavailable, release, unpack  # noqa: E402

MACHINE = "pseries,cap-cfpc=broken,cap-sbbc=broken,cap-ibs=broken,cap-ccf-assist=off"  # what TCG does not have


def fill_kernel(folder):
    shutil.rmtree(folder, ignore_errors=True)
    here = release()
    if not here:
        raise Unavailable("this is no Debian system, for which the packages are made")
    apt = Apt(folder, [here], architecture="ppc64el")
    apt("apt-get", "update")
    name = re.search(r"Depends: (linux-image-\S+)",
                     apt("apt-cache", "depends", "linux-image-powerpc64le", network=False)).group(1)
    apt("apt-get", "download", name, "busybox-static")
    for package in apt.fetched():
        unpack(package, os.path.join(folder, "root"))
        os.unlink(package)
    return name


def with_dependencies(modules, name, done):
    """The modules that name needs, and name itself, in the order in which they are loaded."""
    path = modules.get(name.replace("-", "_"))
    if path is None or path in done:
        return
    with open(path, "rb") as file:
        data = file.read()
    for kind in (rb"depends=([^\0]*)\0", rb"softdep=pre: ([^\0]*)\0"):
        for found in re.findall(kind, data):
            for needed in re.split(r"[, ]+", found.decode()):
                with_dependencies(modules, needed, done)
    done.append(path)


def firmware_call():
    """A program that makes one firmware call, whose arguments begin at byte 256, and ends with its status."""
    base, code, args = 0x10000000, 128, 256
    words = [0x3DC00000 | (base + args) >> 16, 0x61CE0000 | (base + args) & 0xffff,  # lis r14, args; ori r14, r14, args
             0x7DC37378, 0x380000FF, 0x44000002,  # mr r3, r14; li r0, __NR_rtas; sc
             0x806E0018, 0x38000001, 0x44000002]  # lwz r3, 24(r14); li r0, __NR_exit; sc
    size = args + 80
    head = b"\x7fELF" + bytes([2, 1, 1]) + bytes(9)
    head += struct.pack("<HHIQQQIHHHHHH", 2, 21, 1, base + code, 64, 0, 2, 64, 56, 1, 0, 0, 0)
    head += struct.pack("<IIQQQQQQ", 1, 7, 0, base, base, size, size, 0x10000)
    program = head.ljust(code, b"\0") + b"".join(struct.pack("<I", word) for word in words)
    call = struct.pack(">IIIIII", 0, 3, 1, 9001, 0, 0)  # token, arguments, results; indicator, connector, state
    return (program.ljust(args, b"\0") + call).ljust(size, b"\0")


def archive(path, root):
    names = {os.path.basename(name)[:-3].replace("-", "_"): name
             for name in glob.glob(os.path.join(root, "lib/modules/*/kernel/**/*.ko"), recursive=True)}
    modules = []
    for name in ("crct10dif_generic", "crc64_rocksoft_generic", "nvme"):
        with_dependencies(names, name, modules)

    def data(file):
        with open(file, "rb") as content:
            return content.read()

    with open(path, "wb") as out:
        for name in ("bin", "dev"):
            out.write(archived(name, 0o040755, b""))
        out.write(archived("init", 0o100755, data(os.path.join(HERE, "init"))))
        out.write(archived("bin/busybox", 0o100755, data(os.path.join(root, "bin/busybox"))))
        out.write(archived("rtas", 0o100755, firmware_call()))
        out.write(archived("modules", 0o100644, "".join(os.path.basename(name) + "\n" for name in modules).encode()))
        for name in modules:
            out.write(archived(os.path.basename(name), 0o100644, data(name)))
        out.write(archived("TRAILER!!!", 0, b""))
    return path


class Pseries:
    def __init__(self, folder):
        self.folder = folder

    def program(self, directory, own, what, *words, machine="", bridge=""):
        """QEMU's command line and environment. own: the system's release of it. The guest's console: directory/console."""
        start, environment = qemu(os.path.join(self.folder, "system" if own else "newer"), own, "ppc64")
        fetched(os.path.join(self.folder, "kernel"), fill_kernel)
        root = os.path.join(self.folder, "kernel/root")
        if bridge:
            words = ["-global", f"spapr-pci-host-bridge.{bridge}", *words]
        return [*start, "-machine", MACHINE + machine, "-accel", "tcg", "-m", "512", "-nodefaults", "-no-user-config",
                "-display", "none", "-vga", "none", "-serial", f"file:{directory}/console",
                "-kernel", glob.glob(os.path.join(root, "boot/vmlinux-*"))[0],
                "-initrd", archive(os.path.join(directory, "initrd"), root),
                "-append", f"console=hvc0 quiet panic=-1 what={what}", *words], environment
