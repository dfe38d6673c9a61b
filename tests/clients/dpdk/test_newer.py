#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""DPDK 24.11 or later with the C library of its own, fetched into a folder of the build directory.

    test_newer.py FOLDER
"""
import functools
import sys

from dpdk import check_testpmd, dmadev_autotest, testpmd
from harness import Skip, case, main
from newer import Newer

FOLDER = sys.argv[1]


@functools.lru_cache(maxsize=None)
def fetched():
    """The DPDK, or why there is none: what has failed is not tried again for each case."""
    try:
        return Newer(FOLDER)
    except Skip as reason:
        return reason


def newer():
    found = fetched()
    if isinstance(found, Skip):
        raise found
    return found


@case("dpdk-testpmd finds the devices")
def _(directory):
    result = testpmd(directory, ("3.3", "3.4"), dpdk=newer())
    check_testpmd(result, ("3.3", "3.4"))


@case("dmadev_autotest with one engine")
def _(directory):
    dmadev_autotest(directory, ["3.3"], dpdk=newer())


@case("dmadev_autotest with four engines, of both kinds, beside an NVMe controller")
def _(directory):
    dmadev_autotest(directory, ["3.4", "3.3", "3.4", "3.3"], more=["nvme,size=16M"], dpdk=newer())


if __name__ == "__main__":
    main()
