#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""mdevctl, which administers mediated devices on Linux by sysfs, on those of a session. Fetched, not installed.

    test_mdevctl.py FOLDER    FOLDER/mdevctl is where it is, or goes

It wants its directories below /etc: a mount namespace has an /etc with them, which is the system's otherwise.
"""
import os
import shutil
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../qemu10"))
from qemu10 import fetched  # noqa: E402

import harness  # noqa: E402
from harness import Skip, case, equal, main  # noqa: E402
from packages import Apt, Unavailable, release, unpack  # noqa: E402

FOLDER = os.path.join(os.path.abspath(sys.argv[1]), "mdevctl")
ONE, TWO = "83b8f4f2-509f-382f-3c1e-e6bfe0fa1001", "83b8f4f2-509f-382f-3c1e-e6bfe0fa1002"

IN_NAMESPACE = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c",
                'mount -t overlay overlay -o "lowerdir=/etc,upperdir=$0/upper,workdir=$0/work" /etc && exec "$@"']


def fill(folder):
    shutil.rmtree(folder, ignore_errors=True)
    here = release()
    if not here:
        raise Unavailable("this is no Debian system, for which mdevctl's package is made")
    apt = Apt(folder, [here])
    apt("apt-get", "update")
    apt("apt-get", "download", "mdevctl")
    for package in apt.fetched():
        unpack(package, os.path.join(folder, "root"))
        os.unlink(package)
    return here


def script(directory, text):
    """Run lines of the shell in a session with a parent that has four ports; mdevctl's output and errors, and statuses."""
    fetched(FOLDER, fill)
    program = os.path.join(FOLDER, "root/usr/bin/mdevctl")
    os.makedirs(os.path.join(directory, "upper/mdevctl.d/scripts.d/callouts"))
    os.makedirs(os.path.join(directory, "upper/mdevctl.d/scripts.d/notifiers"))
    os.mkdir(os.path.join(directory, "work"))
    inside = [*IN_NAMESPACE, directory]
    if not os.path.exists(program) or subprocess.run([*inside, "true"], stderr=subprocess.DEVNULL, check=False).returncode:
        raise Skip("there is no mount namespace with an /etc of its own to be had")
    shell = f"mdevctl() {{ {program} \"$@\" 2>&1 || echo \"status $?\"; }}\n{text}"
    done = subprocess.run([*inside, *harness.command("sh", "-c", shell, devices=["mtty,type=none,ports=4"])], check=False,
                          stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=60)
    equal((done.returncode, done.stderr), (0, ""), "status and errors")
    return [line.rstrip() for line in done.stdout.splitlines() if line.strip()]


def types(one, two):
    return ["mtty", "  mtty-1", f"    Available instances: {one}", "    Device API: vfio-pci", "    Name: Single port serial",
            "  mtty-2", f"    Available instances: {two}", "    Device API: vfio-pci", "    Name: Dual port serial"]


@case("types, start, list and stop")
def _(directory):
    equal(script(directory, f"""
mdevctl types
mdevctl start -u {ONE} -p mtty -t mtty-2
ls /sys/bus/mdev/devices
mdevctl list
mdevctl types
mdevctl stop -u {ONE}
mdevctl list
ls /sys/bus/mdev/devices
mdevctl types
"""), [*types(4, 2), ONE, f"{ONE} mtty mtty-2 manual", *types(2, 1), *types(4, 2)], "what it says")


@case("devices that are defined, and started by their UUID")
def _(directory):
    equal(script(directory, f"""
mdevctl define -u {TWO} -p mtty -t mtty-1
mdevctl list -d
mdevctl start -u {TWO}
mdevctl list
mdevctl undefine -u {TWO}
mdevctl list
cat /sys/bus/mdev/devices/{TWO}/mdev_type/available_instances
"""), [f"{TWO} mtty mtty-1 manual", f"{TWO} mtty mtty-1 manual (defined)", f"{TWO} mtty mtty-1 manual", "3"], "what it says")


@case("what cannot be")
def _(directory):
    equal(script(directory, f"""
mdevctl start -u {ONE} -p mtty -t mtty-1
mdevctl start -u {ONE} -p mtty -t mtty-1
mdevctl start -u {TWO} -p mtty -t mtty-3
mdevctl start -u {TWO} -p tty -t mtty-1
mdevctl stop -u {TWO}
"""), ["Error: Device already exists", "status 1", "Error: Parent mtty does not support mdev type mtty-3", "status 1",
       "Error: Unable to find parent device 'tty'", "status 1",
       f"Error: Error removing device {TWO}", "Caused by:", "    No such file or directory (os error 2)", "status 1"],
          "what it says")


if __name__ == "__main__":
    main()
