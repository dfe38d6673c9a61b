#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""The small clients as a user without any privilege: nobody when started as root. Output is TAP.

    unprivileged.py UVFIO PRELOAD CLIENT...

All is copied into a temporary directory that the user can read but not write; a directory of its own is all it has.
"""
import os
import shutil
import subprocess
import sys
import tempfile

UVFIO, PRELOAD, CLIENTS = sys.argv[1], sys.argv[2], sys.argv[3:]
NOBODY = ["setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups", "--no-new-privs", "--inh-caps=-all",
          "--bounding-set=-all"]


def place(top, path, *where):
    target = os.path.join(top, *where, os.path.basename(path))
    os.makedirs(os.path.dirname(target), exist_ok=True)
    shutil.copy(path, target)
    os.chmod(target, 0o555)
    return target


def main():
    print(f"1..{len(CLIENTS)}")
    with tempfile.TemporaryDirectory() as top:
        os.chmod(top, 0o755)
        uvfio = place(top, UVFIO, "bin")
        place(top, PRELOAD, "lib", "uvfio")
        own = os.path.join(top, "tmp")
        os.mkdir(own, 0o700)
        user = []
        if os.geteuid() == 0:
            user = NOBODY
            shutil.chown(own, "nobody", "nogroup")
        for number, client in enumerate(CLIENTS, 1):
            name = os.path.basename(client)
            program = place(top, client, "bin")
            done = subprocess.run(user + [uvfio, "run", "--device", "nvme,size=16M", "--", program], check=False,
                                  env={**os.environ, "TMPDIR": own}, stderr=subprocess.PIPE, text=True, timeout=60)
            good = done.returncode == 0 and not done.stderr and not os.listdir(own)
            for line in done.stderr.splitlines() + os.listdir(own):
                print(f"# {line}")
            print(f"{'ok' if good else 'not ok'} {number} - {name}")


main()
