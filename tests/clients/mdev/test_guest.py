#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""A mediated serial card in a Linux guest under QEMU (TCG): its kernel finds it, and its serial driver drives it.

    test_guest.py QEMU10 FOLDER INIT

QEMU10, FOLDER: where the packages are, or go. INIT: the guest's program, linked statically.
"""
import os
import subprocess
import sys
import time

from guest import CARD, UUID, Guest, making

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
import harness  # noqa: E402
from harness import MIB, case, equal, image, main  # noqa: E402

GUEST = Guest(*(os.path.abspath(word) for word in sys.argv[1:4]))
OWN, NEW = True, False
BDF = "0000:00:01.0"
DISK = "a block that only the assigned controller has"
ECHO = ["came back: what a guest sends through a card that is none", "port echoes"]


def card(ports):
    """What a guest sees of it."""
    return ["vendor 0x4348", "device 0x3253", "class 0x070002", "revision 0x10", "subsystem_vendor 0x4348",
            *["resource of 8 bytes, flags 40101"] * ports,
            "config space of 256 bytes: 4348 3253, text 'PCI Serial/UART'", *ECHO * ports]


def console(directory):
    """The lines of the guest's program so far."""
    try:
        with open(os.path.join(directory, "console"), encoding="utf-8", errors="replace") as text:
            lines = text.read().splitlines()
    except FileNotFoundError:
        return []
    return [line.partition("guest: ")[2] for line in lines if "guest: " in line]


def without_irq(lines):
    """Which line the interrupt has is the machine's affair; it has to have one."""
    equal(any(line == "irq 0" for line in lines), False, "an interrupt")
    return [line for line in lines if not line.startswith("irq ")]


def boot(directory, own, ports, *words, options=(), devices=(), extra=(), given=False, **how):
    """given: the card is there from the start, else it is made by a shell."""
    program, environment = GUEST.program(directory, own, *words, **how)
    parent = f"mtty,type=mtty-{ports},uuid={UUID}" if given else "mtty,type=none"
    arguments = harness.command(*(program if given else making(f"mtty-{ports}", program)), devices=[parent, *devices],
                                options=options)
    done = subprocess.run(arguments, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          timeout=120, check=False)
    result = harness.Result(done.returncode, "\n".join(console(directory)), done.stderr.decode(errors="replace"))
    equal(result.status, 0, f"exit status: {result.text()}")
    equal(without_irq(console(directory)), [*card(ports), *extra, "done"], f"what the guest says ({result.text()})")
    equal("uvfio" in result.err, False, f"no message of ours: {result.text()}")


def disk_of(directory):
    path = image(directory, "disk", 16 * MIB)
    with open(path, "r+b") as out:
        out.write(DISK.encode() + b"\n")
    return path


LEGACY = ["-device", f"vfio-pci,{CARD}"]
CDEV = ["-object", "iommufd,id=i", "-device", f"vfio-pci,{CARD},iommufd=i"]


@case("the system's QEMU: a card with one port, legacy container")
def _(directory):
    boot(directory, OWN, 1, *LEGACY, given=True)


@case("the system's QEMU: a card with two ports, i440fx, --legacy-only")
def _(directory):
    boot(directory, OWN, 2, *LEGACY, machine="pc", options=["--legacy-only"])


@case("the system's QEMU: a container that is an IOMMUFD")
def _(directory):
    boot(directory, OWN, 2, *LEGACY, options=["--container=iommufd"])


@case("QEMU 10: legacy container")
def _(directory):
    boot(directory, NEW, 2, *LEGACY)


@case("QEMU 10: a container that is an IOMMUFD")
def _(directory):
    boot(directory, NEW, 1, *LEGACY, options=["--container=iommufd"])


@case("QEMU 10: IOMMUFD")
def _(directory):
    boot(directory, NEW, 2, *CDEV, given=True)


@case("QEMU 10: IOMMUFD, i440fx, --iommufd-only")
def _(directory):
    boot(directory, NEW, 1, *CDEV, machine="pc", options=["--iommufd-only"])


def beside(directory, own, *words, **how):
    """A controller and a card: both are of use to the guest. They share QEMU's container or IOAS."""
    boot(directory, own, 1, *words, devices=[f"nvme,file={disk_of(directory)}"], extra=[f"disk: {DISK}"], **how)


@case("the system's QEMU: beside an NVMe controller, legacy container")
def _(directory):
    beside(directory, OWN, "-device", f"vfio-pci,host={BDF}", *LEGACY)


@case("QEMU 10: before an NVMe controller, legacy container")
def _(directory):
    beside(directory, NEW, *LEGACY, "-device", f"vfio-pci,host={BDF}")


@case("QEMU 10: beside an NVMe controller, IOMMUFD")
def _(directory):
    beside(directory, NEW, *CDEV, "-device", f"vfio-pci,host={BDF},iommufd=i")


# ---- plugged in and taken away while the guest runs


def wait_for(directory, line, client):
    end = time.monotonic() + 120
    while line not in console(directory):
        if time.monotonic() > end or client.process.poll() is not None:
            client.output += (client.process.stdout.read() or b"").decode(errors="replace")
            raise AssertionError(f"the guest has not said {line!r}, but {console(directory)}; QEMU: {client.output[-2000:]}")
        time.sleep(0.02)


def plug(directory, own, device, *words, options=()):
    """A card comes and goes beside a controller that the guest has had from the start."""
    program, environment = GUEST.program(directory, own, *words, machine="pc", append="plug=1", monitor=["-monitor", "stdio"])
    with harness.Interactive(*making("mtty-2", program), devices=["mtty", f"nvme,file={disk_of(directory)}"], options=options,
                             env=environment) as client:
        wait_for(directory, "waiting", client)
        client.send(f"device_add vfio-pci,{device},id=card")
        wait_for(directory, "driven", client)
        client.send("device_del card")
        wait_for(directory, "done", client)
        equal(client.process.wait(30), 0, "exit status")
    disk = f"disk: {DISK}"
    equal(without_irq(console(directory)), [disk, "waiting", *card(2), disk, "driven", "it is gone", disk, "done"],
          "what the guest says")


@case("the system's QEMU: plugged into a running guest beside a controller, and taken away, legacy container")
def _(directory):
    plug(directory, OWN, CARD, "-device", f"vfio-pci,host={BDF}")


@case("QEMU 10: plugged into a running guest and taken away, a container that is an IOMMUFD")
def _(directory):
    plug(directory, NEW, CARD, "-device", f"vfio-pci,host={BDF}", options=["--container=iommufd"])


@case("QEMU 10: plugged into a running guest and taken away, IOMMUFD")
def _(directory):
    plug(directory, NEW, f"{CARD},iommufd=i", "-object", "iommufd,id=i", "-device", f"vfio-pci,host={BDF},iommufd=i")


if __name__ == "__main__":
    main()
