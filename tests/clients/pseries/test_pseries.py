#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""QEMU's POWER machine (TCG) with the NVMe controller assigned to it by sPAPR TCE containers: its firmware and a Linux
kernel drive it through DMA windows.

    test_pseries.py FOLDER

FOLDER: where the packages are, or go.
"""
import hashlib
import os
import re
import subprocess
import sys
import time

from pseries import Pseries

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
import harness  # noqa: E402
from harness import MIB, case, equal, image, main, read  # noqa: E402

PSERIES = Pseries(os.path.abspath(sys.argv[1]))
OWN, NEW = True, False
BDF = "0000:00:01.0"
DEVICE = ["-device", f"vfio-pci,host={BDF},id=controller"]
SPAPR = ["--iommu", "type=spapr"]
LINE = "a block that only the assigned controller has"
HIGH = "window at 8000000"  # the guest says 64 bits as two numbers of 32; this is the upper one
GONE = ["asked", "isolated: 0"]


def pattern(number):
    """A MiB that is like no other one."""
    return b"".join(hashlib.sha512(b"%d %d" % (number, i)).digest() for i in range(64)) * (MIB // 4096)


def disk_of(directory, name="disk"):
    path = image(directory, name, 16 * MIB)
    with open(path, "r+b") as out:
        out.write(LINE.encode() + b"\n")
        out.seek(MIB)
        for number in range(4):
            out.write(pattern(number))
    return path


WRITTEN = b"".join(pattern(number) for number in range(4))
SUM = f"sum: {hashlib.md5(WRITTEN).hexdigest()}"
FIRST = f"first line: {LINE}"


def console(directory):
    """The lines of the guest's program so far."""
    try:
        with open(os.path.join(directory, "console"), encoding="utf-8", errors="replace") as text:
            lines = text.read().splitlines()
    except FileNotFoundError:
        return []
    return [line.partition("guest: ")[2].rstrip("\r") for line in lines if "guest: " in line]


def written(disk, where):
    equal(read(disk)[where * MIB:(where + 4) * MIB] == WRITTEN, True, f"what the guest wrote at {where} MiB")


def boot(directory, own, what, said, *, options=(), count=1, **how):
    """count: how often the controller is assigned. Returns what ioctls there were."""
    disk = disk_of(directory)
    program, environment = PSERIES.program(directory, own, what, *DEVICE, **how)
    trace = os.path.join(directory, "trace")
    arguments = harness.command(*program, devices=[f"nvme,file={disk}"],
                                options=[*SPAPR, *options, "--trace=ioctl", f"--trace-out={trace}"])
    done = subprocess.run(arguments, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          timeout=180, check=False)
    result = harness.Result(done.returncode, "\n".join(console(directory)), done.stderr.decode(errors="replace"))
    equal(result.status, 0, f"exit status: {result.text()}")
    equal(console(directory), said, f"what the guest says ({result.text()})")
    # QEMU ends as it is: what is in its windows then is counted, as under every trace.
    ours = [line for line in result.err.splitlines() if "uvfio:" in line]
    equal([line for line in ours if not re.fullmatch(r"uvfio: \d+ of \d+ mappings were left at exit", line)], [],
          f"no message of ours: {result.text()}")
    with open(trace, encoding="utf-8") as text:
        return disk, text.read()


def uses(trace, *what):
    for word in what:
        equal(word in trace, True, f"{word} among the calls")


@case("the system's QEMU: a kernel reads and writes through a dynamic 64-bit window")
def _(directory):
    disk, trace = boot(directory, OWN, "copy", [FIRST, HIGH, SUM, "done"])
    written(disk, 8)
    uses(trace, "SPAPR_TCE_v2_IOMMU = 0", "start_addr=0x800000000000000 = 0", "VFIO_IOMMU_SPAPR_REGISTER_MEMORY", "ENABLE = 0")


@case("QEMU 10: a kernel reads and writes through a dynamic 64-bit window")
def _(directory):
    disk, trace = boot(directory, NEW, "copy", [FIRST, HIGH, SUM, "done"])
    written(disk, 8)
    uses(trace, "SPAPR_TCE_v2_IOMMU = 0", "start_addr=0x800000000000000 = 0")


def without_ddw(directory, own, **how):
    disk, trace = boot(directory, own, "copy", [FIRST, SUM, "done"], bridge="ddw=off", **how)
    written(disk, 8)
    equal("0x800000000000000" in trace, False, "a 64-bit window")
    return trace


@case("the system's QEMU: through the 32-bit window alone")
def _(directory):
    without_ddw(directory, OWN)


@case("QEMU 10: through the 32-bit window alone")
def _(directory):
    without_ddw(directory, NEW)


@case("the system's QEMU: a platform without dynamic windows, SPAPR_TCE_IOMMU (v1)")
def _(directory):
    trace = without_ddw(directory, OWN, options=["--iommu", "version=1"])
    uses(trace, "SPAPR_TCE_v2_IOMMU = -1 EINVAL", "SPAPR_TCE_IOMMU = 0", "VFIO_IOMMU_ENABLE")


@case("QEMU 10: a platform without dynamic windows, SPAPR_TCE_IOMMU (v1)")
def _(directory):
    without_ddw(directory, NEW, options=["--iommu", "version=1"])


def reboots(directory, own, **how):
    disk, _ = boot(directory, own, "copy,reboot,copy", [FIRST, HIGH, SUM, "rebooting", FIRST, HIGH, SUM, SUM, "done"], **how)
    written(disk, 8)
    written(disk, 12)


@case("the system's QEMU: the guest reboots")
def _(directory):
    reboots(directory, OWN)


@case("QEMU 10: the guest reboots")
def _(directory):
    reboots(directory, NEW)


def wait_for(directory, line, client):
    end = time.monotonic() + 90
    while line not in console(directory):
        if time.monotonic() > end or client.process.poll() is not None:
            client.output += (client.process.stdout.read() or b"").decode(errors="replace")
            raise AssertionError(f"the guest has not said {line!r}, but {console(directory)}; QEMU: {client.output[-2000:]}")
        time.sleep(0.02)


def unplug(directory, own):
    disk = disk_of(directory)
    program, environment = PSERIES.program(directory, own, "copy,unplug", *DEVICE, "-monitor", "stdio")
    with harness.Interactive(*program, devices=[f"nvme,file={disk}"], options=SPAPR, env=environment) as client:
        wait_for(directory, "waiting", client)
        client.send("device_del controller")
        wait_for(directory, "done", client)
        equal(client.process.wait(60), 0, "exit status")
    equal(console(directory), [FIRST, HIGH, SUM, "waiting", *GONE, "controllers: 0", "done"], "what the guest says")
    written(disk, 8)


@case("the system's QEMU: unplugged by the monitor")
def _(directory):
    unplug(directory, OWN)


@case("QEMU 10: unplugged by the monitor")
def _(directory):
    unplug(directory, NEW)


@case("the system's QEMU: one of two controllers is unplugged, which share a container and its windows; the other goes on")
def _(directory):
    disks = [disk_of(directory, name) for name in ("disk", "other")]
    program, environment = PSERIES.program(directory, OWN, "copy,second,unplug,second", *DEVICE, "-device",
                                           "vfio-pci,host=0000:00:02.0,id=second", "-monitor", "stdio", bridge="ddw=off")
    with harness.Interactive(*program, devices=[f"nvme,file={disk}" for disk in disks], options=SPAPR, env=environment) as client:
        wait_for(directory, "waiting", client)
        client.send("device_del controller")
        wait_for(directory, "done", client)
        equal(client.process.wait(60), 0, "exit status")
    second = [f"second: {LINE}", SUM]
    equal(console(directory), [FIRST, SUM, *second, "waiting", *GONE, "controllers: 1", *second, "done"], "what the guest says")
    for disk in disks:
        written(disk, 8)


if __name__ == "__main__":
    main()
