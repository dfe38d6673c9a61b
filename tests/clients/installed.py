#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""Runs client tests as a stranger would: from an installation that cannot be written, as an unprivileged user.

    installed.py BUILD TEST.py...

Installs into a temporary directory, takes away the permission to write there, and runs the tests (copies of them) with
nothing but a temporary directory of their own: as user nobody without capabilities when started as root, else as the
user who started it. The output is TAP.
"""
import os
import shutil
import subprocess
import sys
import tempfile

BUILD, TESTS = sys.argv[1], sys.argv[2:]
HERE = os.path.dirname(os.path.abspath(__file__))
NOBODY = ["setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups", "--no-new-privs", "--inh-caps=-all",
          "--bounding-set=-all"]


def bail_out(reason):
    print(f"Bail out! {reason}")
    sys.exit(1)


def install(root):
    done = subprocess.run(["meson", "install", "-C", BUILD, "--no-rebuild", "--quiet", "--destdir", root], check=False,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if done.returncode:
        bail_out(f"meson install: {done.stdout[-500:]}")
    for directory, _, files in os.walk(root):
        if "uvfio" in files and os.path.basename(directory) == "bin":
            return os.path.join(directory, "uvfio")
    bail_out("bin/uvfio was not installed")
    return None


def take_away_writing(root):
    for directory, _, files in os.walk(root):
        for name in files:
            path = os.path.join(directory, name)
            if not os.path.islink(path):
                os.chmod(path, os.stat(path).st_mode & 0o555 | 0o444)
        os.chmod(directory, 0o555)


def give_back(root):
    for directory, _, _ in os.walk(root):
        os.chmod(directory, 0o755)


def run_tests(top, uvfio):
    tmp = os.path.join(top, "tmp")
    os.mkdir(tmp, 0o700)
    as_user = []
    if os.geteuid() == 0:
        if not shutil.which("setpriv"):
            bail_out("setpriv (util-linux) is missing")
        as_user = NOBODY
        shutil.chown(tmp, "nobody", "nogroup")
    python = "/usr/bin/python3" if os.access("/usr/bin/python3", os.X_OK) else sys.executable
    environment = {"PATH": "/usr/bin:/bin", "TMPDIR": tmp, "UVFIO": uvfio, "PYTHONDONTWRITEBYTECODE": "1", "LC_ALL": "C.UTF-8"}
    lines, status = [], 0
    for test in TESTS:
        done = subprocess.run([*as_user, python, os.path.join(top, "tests", test)], env=environment, cwd=tmp, check=False,
                              stdout=subprocess.PIPE, text=True)
        status |= done.returncode
        lines += done.stdout.splitlines()
        if done.returncode and not any(line.startswith("not ok") for line in done.stdout.splitlines()):
            lines.append(f"not ok 0 - {test} ended with status {done.returncode}")
    if os.listdir(tmp):
        lines.append(f"not ok 0 - the temporary directory is empty afterwards: {os.listdir(tmp)}")
    else:
        lines.append("ok 0 - the temporary directory is empty afterwards")
    return lines, status


def main():
    os.umask(0o022)
    top = tempfile.mkdtemp(prefix="uvfio-installed-")
    try:
        os.chmod(top, 0o755)
        shutil.copytree(HERE, os.path.join(top, "tests"), ignore=shutil.ignore_patterns("__pycache__"))
        root = os.path.join(top, "root")
        uvfio = install(root)
        take_away_writing(root)
        lines, status = run_tests(top, uvfio)
    finally:
        give_back(top)
        shutil.rmtree(top)
    number = 0
    for line in lines:
        words = line.split(" ", 3 if line.startswith("not ok") else 2)
        if words[0] == "ok" or words[:2] == ["not", "ok"]:
            number += 1
            state = "ok" if words[0] == "ok" else "not ok"
            print(f"{state} {number} {words[-1]}")
        elif line.startswith("#"):
            print(line)
    print(f"1..{number}")
    sys.exit(1 if status else 0)


if __name__ == "__main__":
    main()
