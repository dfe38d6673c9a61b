# SPDX-License-Identifier: BSD-2-Clause
"""Debian packages in a folder of their own: fetched and unpacked, never installed.

apt has its lists, its state and the packages it fetches below the folder; the system's package database is neither read
nor changed. Used by scripts/conformance, and by tests with programs that are newer than the system's.
"""
import glob
import os
import re
import subprocess

# What a system does after apt has changed it.
CLEAR = ["APT::Update::Pre-Invoke", "APT::Update::Post-Invoke", "APT::Update::Post-Invoke-Success", "DPkg::Pre-Invoke",
         "DPkg::Post-Invoke", "DPkg::Pre-Install-Pkgs"]


class Unavailable(Exception):
    """The packages cannot be had: there is no network, no apt, no such release."""


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


def release():
    """Debian's name for what this system is, or None."""
    try:
        with open("/etc/os-release", encoding="utf-8") as file:
            text = file.read()
    except OSError:
        return None
    found = re.search(r"^VERSION_CODENAME=(\w+)$", text, re.M)
    return found.group(1) if found and re.search(r"^ID=debian$", text, re.M) else None


def unpack(package, root):
    subprocess.run(["dpkg", "-x", package, root], check=True)


class Apt:
    """apt with everything of its own below a folder. have: packages that are as good as installed."""

    def __init__(self, folder, suites, have=(), architecture="amd64"):
        self.folder = os.path.abspath(folder)
        self.suites = suites
        for name in ("etc", "state/lists/partial", "cache/archives/partial"):
            os.makedirs(os.path.join(self.folder, name), exist_ok=True)
        self.write("etc/sources.list", "".join(f"deb {mirror()} {suite} main\n" for suite in suites))
        self.write("etc/apt.conf", "".join(f"#clear {name};\n" for name in CLEAR))
        self.write("state/status", "".join(
            f"Package: {name}\nStatus: install ok installed\nArchitecture: amd64\nMulti-Arch: allowed\n"
            "Version: 999999\nMaintainer: none\nDescription: none\n\n" for name in have))
        options = {"Dir::Etc::sourcelist": "etc/sources.list", "Dir::State": "state", "Dir::State::status": "state/status",
                   "Dir::Cache": "cache"}
        self.options = ["-c", os.path.join(self.folder, "etc/apt.conf"), "-o", "Dir::Etc::sourceparts=/dev/null"]
        for key, name in options.items():
            self.options += ["-o", f"{key}={os.path.join(self.folder, name)}"]
        for option in ("Acquire::Languages=none", "Acquire::Retries=1", "Acquire::http::Timeout=20", "Debug::NoLocking=true",
                       f"APT::Architecture={architecture}", f"APT::Architectures={architecture}", "APT::Update::Error-Mode=any",
                       "APT::Sandbox::User=" + ("root" if os.geteuid() == 0 else "")):
            self.options += ["-o", option]

    def write(self, name, text):
        with open(os.path.join(self.folder, name), "w", encoding="utf-8") as out:
            out.write(text)

    def __call__(self, tool, *words, network=True):
        """What it prints. Without success: Unavailable, or, when that cannot be for want of a network, an assertion."""
        what = f"packages of {', '.join(self.suites)} cannot be fetched"
        try:
            done = subprocess.run([tool, *self.options, *words], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                  stderr=subprocess.PIPE, text=True, timeout=300, check=False,
                                  cwd=os.path.join(self.folder, "cache/archives"))
        except (OSError, subprocess.TimeoutExpired) as error:
            raise Unavailable(f"{what}: {error}") from error
        assert done.returncode == 0 or network, f"{tool} {' '.join(words)}: {done.stdout}{done.stderr}"
        if done.returncode:
            raise Unavailable(f"{what}: {(done.stderr.strip().splitlines() or ['no reason given'])[0]}")
        return done.stdout

    def fetched(self):
        """The package files that are there."""
        return sorted(glob.glob(os.path.join(self.folder, "cache/archives/*.deb")))
