# SPDX-License-Identifier: BSD-2-Clause
"""A newer DPDK than the system's, with the C library it was built for, in a folder of its own.

apt fetches the packages as for a machine on which next to nothing is installed; they are unpacked, not installed. Its
lists, its state and the packages are in the folder, and the system's package database is neither read nor changed.

    UVFIO_DPDK_SUITE    Debian's name for where it is from; default trixie
"""
import glob
import os
import re
import shutil
import subprocess

from dpdk import Dpdk, contains
from harness import Skip

SUITE = os.environ.get("UVFIO_DPDK_SUITE", "trixie")
# What these bring is not needed to run two programs.
HAVE = ["adduser", "dbus", "debconf", "dpkg", "libdpdk-dev", "mount", "openssl-provider-legacy", "passwd", "pciutils",
        "perl", "python3", "systemd", "udev"]
# What a system does after apt has changed it.
CLEAR = ["APT::Update::Pre-Invoke", "APT::Update::Post-Invoke", "APT::Update::Post-Invoke-Success", "DPkg::Pre-Invoke",
         "DPkg::Post-Invoke", "DPkg::Pre-Install-Pkgs"]
DRIVERS = ["librte_dma_ioat", "librte_mempool_ring"]


def mirror():
    """Where this system has its packages from, so that no other host is asked."""
    for path in ["/etc/apt/sources.list", *sorted(glob.glob("/etc/apt/sources.list.d/*"))]:
        try:
            with open(path, encoding="utf-8", errors="replace") as file:
                found = re.search(r"^(?:URIs:|deb(?: \[.*\])?) *(https?://\S+/debian)/?(?: |$)", file.read(), re.M)
        except OSError:
            continue
        if found:
            return found.group(1)
    return "http://deb.debian.org/debian"


class Apt:
    """apt with everything of its own below a folder."""

    def __init__(self, folder):
        self.folder = folder
        for name in ("etc", "state/lists/partial", "cache/archives/partial"):
            os.makedirs(os.path.join(folder, name), exist_ok=True)
        self.write("etc/sources.list", f"deb {mirror()} {SUITE} main\n")
        self.write("etc/apt.conf", "".join(f"#clear {name};\n" for name in CLEAR))
        self.write("state/status", "".join(
            f"Package: {name}\nStatus: install ok installed\nArchitecture: amd64\nMulti-Arch: allowed\n"
            "Version: 999999\nMaintainer: none\nDescription: none\n\n" for name in HAVE))
        options = {"Dir::Etc::sourcelist": "etc/sources.list", "Dir::State": "state", "Dir::State::status": "state/status",
                   "Dir::Cache": "cache"}
        self.options = ["-c", os.path.join(folder, "etc/apt.conf"), "-o", "Dir::Etc::sourceparts=/dev/null"]
        for key, name in options.items():
            self.options += ["-o", f"{key}={os.path.join(folder, name)}"]
        for option in ("Acquire::Languages=none", "Acquire::Retries=1", "Acquire::http::Timeout=20", "Debug::NoLocking=true",
                       "APT::Architecture=amd64", "APT::Architectures=amd64", "APT::Update::Error-Mode=any",
                       "APT::Sandbox::User=" + ("root" if os.geteuid() == 0 else "")):
            self.options += ["-o", option]

    def write(self, name, text):
        with open(os.path.join(self.folder, name), "w", encoding="utf-8") as out:
            out.write(text)

    def __call__(self, tool, *words, network=True):
        """What it prints. Without success the case is skipped, or, when that cannot be for want of a network, fails."""
        try:
            done = subprocess.run([tool, *self.options, *words], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                  stderr=subprocess.PIPE, text=True, timeout=300, check=False)
        except (OSError, subprocess.TimeoutExpired) as error:
            raise Skip(f"packages of {SUITE} cannot be fetched: {error}") from error
        assert done.returncode == 0 or network, f"{tool} {' '.join(words)}: {done.stdout}{done.stderr}"
        if done.returncode:
            reason = (done.stderr.strip().splitlines() or ["no reason given"])[0]
            raise Skip(f"packages of {SUITE} cannot be fetched: {reason}")
        return done.stdout


def fetch(folder):
    """Fill folder/root, once; the version of DPDK there."""
    root = os.path.join(folder, "root")
    done = os.path.join(folder, "version-" + SUITE)
    if os.path.exists(done):
        with open(done, encoding="ascii") as version:
            return version.read()
    shutil.rmtree(folder, ignore_errors=True)
    apt = Apt(folder)
    apt("apt-get", "update")
    found = apt("apt-cache", "--names-only", "search", "^librte-(dma-ioat|mempool-ring)[0-9]+$", network=False)
    drivers = [line.split()[0] for line in found.splitlines()]
    assert len(drivers) == 2, f"{SUITE} has no DPDK with the drivers: {drivers}"
    wanted = ["--no-install-recommends", "--yes", "dpdk-dev", *drivers]
    apt("apt-get", "install", "--simulate", *wanted, network=False)
    apt("apt-get", "install", "--download-only", *wanted)
    packages = glob.glob(os.path.join(folder, "cache/archives/*.deb"))
    version = re.search(r"/dpdk-dev_([\d.]+)", " ".join(packages)).group(1)
    for package in packages:
        subprocess.run(["dpkg", "-x", package, root], check=True)
        os.unlink(package)
    with open(done, "w", encoding="ascii") as out:
        out.write(version)
    return version


class Newer(Dpdk):
    """The programs below a folder, by the loader there: whatever they load is from there, uvfio's library apart."""

    def __init__(self, folder):
        self.version = tuple(int(number) for number in fetch(folder).split(".")[:2])
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
