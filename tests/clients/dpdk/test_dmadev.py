#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""dmadev_autotest, DPDK's own test suite for DMA devices, on the copy engine."""
from dpdk import ROUNDS, dmadev_autotest
from harness import case, main


@case("one engine")
def _(directory):
    for _ in range(ROUNDS):
        dmadev_autotest(directory, ["3.3"])


@case("one engine that reports errors, beside an NVMe controller")
def _(directory):
    for _ in range(ROUNDS):
        dmadev_autotest(directory, ["3.4"], more=["nvme,size=16M"])


@case("four engines at once, of both kinds, beside an NVMe controller")
def _(directory):
    for _ in range(ROUNDS):
        dmadev_autotest(directory, ["3.3", "3.4", "3.4", "3.3"], more=["nvme,size=16M"])


if __name__ == "__main__":
    main()
