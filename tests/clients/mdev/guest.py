# SPDX-License-Identifier: BSD-2-Clause
"""A Linux guest of two files: Debian's kernel for virtual machines, fetched and not installed, and init.c.

    FOLDER/system    QEMU as the system's own release has it (7.2 on Debian 12)
    FOLDER/kernel    the kernel
"""
import glob
import os
import re
import shutil
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../qemu10"))
from qemu10 import fetched, qemu  # noqa: E402

from packages import Apt, Unavailable, release, unpack  # noqa: E402

UUID = "83b8f4f2-509f-382f-3c1e-e6bfe0fa1001"
CREATE = "/sys/class/mdev_bus/mtty/mdev_supported_types/{}/create"
CARD = f"sysfsdev=/sys/bus/mdev/devices/{UUID}"


def fill_kernel(folder):
    shutil.rmtree(folder, ignore_errors=True)
    here = release()
    if not here:
        raise Unavailable("this is no Debian system, for which the kernel's package is made")
    apt = Apt(folder, [here])
    apt("apt-get", "update")
    name = re.search(r"Depends: (linux-image-\S+)", apt("apt-cache", "depends", "linux-image-cloud-amd64", network=False)).group(1)
    apt("apt-get", "download", name)
    for package in apt.fetched():
        unpack(package, os.path.join(folder, "root"))
        os.unlink(package)
    return name


def kernel(folder):
    fetched(folder, fill_kernel)
    return glob.glob(os.path.join(folder, "root/boot/vmlinuz-*"))[0]


def archived(name, mode, data):
    """A file in the archive that a kernel starts with: cpio's newc format."""
    words = [1, mode, 0, 0, 1, 0, len(data), 0, 0, 0, 0, len(name) + 1, 0]
    head = b"070701" + b"".join(b"%08X" % word for word in words) + name.encode() + b"\0"
    return b"".join(part + bytes(-len(part) % 4) for part in (head, data))


def archive(path, init):
    with open(init, "rb") as program, open(path, "wb") as out:
        out.write(archived("init", 0o100755, program.read()) + archived("TRAILER!!!", 0, b""))
    return path


class Guest:
    """What it takes to start one; QEMU's words come from here."""

    def __init__(self, qemu10, folder, init):
        self.qemu10, self.folder, self.init = qemu10, folder, init

    def program(self, directory, own, *words, machine="q35", append="", monitor=()):
        """QEMU's command line and environment. own: the system's release of it. The guest's console: directory/console."""
        linux = kernel(os.path.join(self.folder, "kernel"))
        start, environment = qemu(os.path.join(self.folder, "system") if own else self.qemu10, own)
        return [*start, "-machine", machine, "-accel", "tcg", "-m", "192", "-nodefaults", "-no-user-config", "-display", "none",
                "-vga", "none", "-serial", f"file:{directory}/console", "-no-reboot", "-kernel", linux,
                "-initrd", archive(os.path.join(directory, "initrd"), self.init),
                "-append", f"console=ttyS0 quiet panic=-1 {append}", *monitor, *words], environment


def making(kind, program):
    """The same program, when an instance has been made as on any Linux."""
    return ["sh", "-c", f'echo {UUID} > {CREATE.format(kind)} && exec "$@"', "sh", *program]
