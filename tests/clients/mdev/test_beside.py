#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""DPDK and QEMU's tools drive their devices, while other programs of the session make, use and remove mediated ones.

    test_beside.py PORTS    a program that drives the ports of all serial cards that there are
"""
import os
import sys

for _place in ("..", "../dpdk"):
    sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), _place))
from dpdk import Dpdk, dmadev_autotest  # noqa: E402
from harness import MIB, case, equal, image, main, read, run  # noqa: E402

PORTS = os.path.abspath(sys.argv[1])
MTTY = "mtty,type=none"

# In the session, beside the program in "$@": cards are made, driven, and removed. Each that was is a line in the file $0.
MEANWHILE = f"""
others() {{
    while [ ! -e "$0.end" ]; do
        for card in 1 2 3; do
            echo 83b8f4f2-509f-382f-3c1e-e6bfe0fa100$card > /sys/class/mdev_bus/mtty/mdev_supported_types/mtty-2/create || return
        done
        {PORTS} type1 > /dev/null || return
        for card in 1 2 3; do
            echo 1 > /sys/bus/mdev/devices/83b8f4f2-509f-382f-3c1e-e6bfe0fa100$card/remove || return
            echo $card >> "$0"
        done
    done
    echo end >> "$0"
}}
rm -f "$0" "$0.end"
others &
"$@"
status=$?
> "$0.end"
wait
exit $status
"""


def beside(log, *program):
    return ["sh", "-c", MEANWHILE, log, *program]


def check(log):
    with open(log, encoding="ascii") as text:
        cards = text.read().split()
    equal((cards[-1], set(cards[:-1])), ("end", {"1", "2", "3"}), "what the others did")
    print(f"# {len(cards) - 1} cards meanwhile")


@case("DPDK's tests of the copy engine")
def _(directory):
    log = os.path.join(directory, "log")

    class Beside(Dpdk):
        def program(self, name):
            return beside(log, name)

    dmadev_autotest(directory, ["3.4", "3.3"], more=[MTTY], dpdk=Beside())
    check(log)


@case("qemu-img copies a disk")
def _(directory):
    log, target = os.path.join(directory, "log"), os.path.join(directory, "copy")
    disk = image(directory, "disk", 64 * MIB, lambda offset, length: bytes([offset // MIB + 1]) * length)
    run(*beside(log, "qemu-img", "convert", "-f", "raw", "-O", "raw", "nvme://0000:00:01.0/1", target),
        devices=[f"nvme,file={disk}", MTTY])
    equal(read(target) == read(disk), True, "the copy is the disk")
    check(log)


if __name__ == "__main__":
    main()
