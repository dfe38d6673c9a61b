# SPDX-License-Identifier: BSD-2-Clause
"""A newer DPDK than the system's, with the C library it was built for, in a folder of its own.

apt fetches the packages as for a machine on which next to nothing is installed (scripts/packages.py).

    UVFIO_DPDK_SUITE    Debian's name for where it is from; default trixie
"""
import glob
import os
import re
import shutil
import sys

from dpdk import Dpdk, contains
from harness import Skip

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../../scripts"))
from packages import Apt, Unavailable, unpack  # noqa: E402

SUITE = os.environ.get("UVFIO_DPDK_SUITE", "trixie")
# What these bring is not needed to run two programs.
HAVE = ["adduser", "dbus", "debconf", "dpkg", "libdpdk-dev", "mount", "openssl-provider-legacy", "passwd", "pciutils",
        "perl", "python3", "systemd", "udev"]
DRIVERS = ["librte_dma_ioat", "librte_mempool_ring"]


def fetch(folder):
    """Fill folder/root, once; the version of DPDK there."""
    root = os.path.join(folder, "root")
    done = os.path.join(folder, "version-" + SUITE)
    if os.path.exists(done):
        with open(done, encoding="ascii") as version:
            return version.read()
    shutil.rmtree(folder, ignore_errors=True)
    apt = Apt(folder, [SUITE], HAVE)
    apt("apt-get", "update")
    found = apt("apt-cache", "--names-only", "search", "^librte-(dma-ioat|mempool-ring)[0-9]+$", network=False)
    drivers = [line.split()[0] for line in found.splitlines()]
    assert len(drivers) == 2, f"{SUITE} has no DPDK with the drivers: {drivers}"
    wanted = ["--no-install-recommends", "--yes", "dpdk-dev", *drivers]
    apt("apt-get", "install", "--simulate", *wanted, network=False)
    apt("apt-get", "install", "--download-only", *wanted)
    version = re.search(r"/dpdk-dev_([\d.]+)", " ".join(apt.fetched())).group(1)
    for package in apt.fetched():
        unpack(package, root)
        os.unlink(package)
    with open(done, "w", encoding="ascii") as out:
        out.write(version)
    return version


class Newer(Dpdk):
    """The programs below a folder, by the loader there: whatever they load is from there, uvfio's library apart."""

    def __init__(self, folder):
        try:
            self.version = tuple(int(number) for number in fetch(folder).split(".")[:2])
        except Unavailable as reason:
            raise Skip(str(reason)) from reason
        self.root = os.path.join(folder, "root")
        self.libraries = os.path.join(self.root, "usr/lib/x86_64-linux-gnu")
        assert self.version >= (24, 11), f"DPDK {self.version} is not what was to be fetched"
        if self.version >= (25, 11):  # before that --no-huge and --in-memory exclude each other
            self.memory = [*Dpdk.memory, "--in-memory"]

    def need(self, name):
        pass

    def program(self, name):
        loader = os.path.join(self.root, "usr/lib64/ld-linux-x86-64.so.2")
        drivers = [path for driver in DRIVERS for path in glob.glob(f"{self.libraries}/{driver}.so.[0-9][0-9]")]
        assert len(drivers) == len(DRIVERS), drivers
        # Drivers by name: DPDK looks for its own folder of them in /usr, where a system's own may be.
        return [loader, "--library-path", self.libraries, "--preload", ":".join(drivers),
                os.path.join(self.root, "usr/bin", name)]

    def check_dmadev(self, text, number, profile):
        contains(text, *[f"DMA Dev {number}: Running {what} Tests (errors expected)"
                         for what in ("copy", "stop_start", "burst_capacity", "fill")])
        ends = re.findall(r"TestCase \[ *\d+\] : error_handling (\w+)", text)
        assert len(ends) > number, f"error_handling {ends}: {text[-3000:]}"
        if profile == "3.4":
            assert "succeeded" in ends, ends
