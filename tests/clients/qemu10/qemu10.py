# SPDX-License-Identifier: BSD-2-Clause
"""QEMU 10 or later, which assigns devices by IOMMUFD: fetched into a folder of its own, not installed. Or the system's.

    UVFIO_QEMU_SUITE    Debian's name for where it is from; default bookworm-backports on Debian 12, else the system's own
"""
import fcntl
import functools
import os
import re
import shutil
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, ".."))
sys.path.insert(0, os.path.join(HERE, "../../../scripts"))
from harness import Skip  # noqa: E402
from packages import Apt, Unavailable, release, unpack  # noqa: E402

STATUS = "/var/lib/dpkg/status"


def suites():
    here = release()
    if not here or not os.path.exists(STATUS):
        raise Unavailable("this is no Debian system, for which QEMU's packages are made")
    return here, os.environ.get("UVFIO_QEMU_SUITE", "bookworm-backports" if here == "bookworm" else here)


def fill(folder, own):
    """What the system lacks for QEMU, below folder/root; the version. own: that of the system's own release."""
    shutil.rmtree(folder, ignore_errors=True)
    here, suite = suites()
    suite = here if own else suite
    apt = Apt(folder, [here] if suite == here else [here, suite])
    shutil.copy(STATUS, os.path.join(folder, "state/status"))
    apt("apt-get", "update")
    apt("apt-get", "install", "--download-only", "--no-install-recommends", "--reinstall", "--yes", "-t", suite,
        "qemu-system-x86", "qemu-system-common", "qemu-system-data", "seabios")
    version = re.search(r"/qemu-system-x86_(?:[0-9]+%3a)?([\d.]+)", " ".join(apt.fetched())).group(1)
    for package in apt.fetched():
        unpack(package, os.path.join(folder, "root"))
        os.unlink(package)
    return version


@functools.lru_cache(maxsize=None)
def fetch(folder, how, *words):
    """What how(folder, *words) has returned, now or once; or why it could not: that is not tried again for each case."""
    done = os.path.join(folder, "version")
    os.makedirs(os.path.dirname(folder), exist_ok=True)
    try:
        with open(folder + ".lock", "w", encoding="ascii") as lock:  # tests run side by side
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not os.path.exists(done):
                version = how(folder, *words)
                with open(done, "w", encoding="ascii") as out:
                    out.write(version)
        with open(done, encoding="ascii") as text:
            return text.read()
    except Unavailable as reason:
        return Skip(str(reason))


def fetched(*words):
    version = fetch(*words)
    if isinstance(version, Skip):
        raise version
    return version


def qemu(folder, own=False):
    """The words that start it, and its environment."""
    version = fetched(folder, fill, own)
    assert own or int(version.split(".")[0]) >= 10, f"QEMU {version} is not what was to be fetched"
    root = os.path.join(folder, "root/usr")
    libraries = os.path.join(root, "lib/x86_64-linux-gnu")
    words = [os.path.join(root, "bin/qemu-system-x86_64")]
    for data in ("qemu", "seabios"):
        words += ["-L", os.path.join(root, "share", data)]
    return words, {**os.environ, "LD_LIBRARY_PATH": libraries, "QEMU_MODULE_DIR": os.path.join(libraries, "qemu")}
