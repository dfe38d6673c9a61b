#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""dpdk-testpmd starts with the devices on its bus, scans it, and probes those it has drivers for."""
from dpdk import allow, check_testpmd, listed, testpmd
from harness import case, equal, main

BOTH = ("3.3", "3.4")


@case("with all devices of the bus")
def _(directory):
    check_testpmd(testpmd(directory, BOTH), BOTH)


@case("with those that are allowed")
def _(directory):
    check_testpmd(testpmd(directory, BOTH, *allow(["0000:00:02.0"])), BOTH, probed=["0000:00:02.0"])


@case("with those that are not blocked, without shared configuration")
def _(directory):
    check_testpmd(testpmd(directory, BOTH, "--no-shconf", "-b", "0000:00:02.0"), BOTH, probed=["0000:00:01.0"])


@case("with each kind of interrupt")
def _(directory):
    for kind in ("legacy", "msi", "msix"):
        check_testpmd(testpmd(directory, BOTH, f"--vfio-intr={kind}"), BOTH)


@case("devices are taken from the bus, and one is put back")
def _(directory):
    result = testpmd(directory, BOTH, commands="device detach 0000:00:01.0\nshow device info all\n"
                     "port attach 0000:00:01.0\ndevice detach 0000:00:02.0\nshow device info all")
    equal([address for address, *_ in listed(result)], ["0000:00:02.0", "0000:00:01.0"], "devices")


if __name__ == "__main__":
    main()
