#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""However a client ends: completed writes are in the image, and nothing is left behind."""
import os
import signal
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from harness import MIB, Interactive, case, command, equal, image, main, read, run, same_bytes  # noqa: E402

NVME = "nvme://0000:00:01.0/1"


def private_tmp(directory):
    """A TMPDIR of the case's own, to see what a session leaves there."""
    path = os.path.join(directory, "tmp")
    os.mkdir(path)
    return path, {**os.environ, "TMPDIR": path, "UVFIO_TEST_MARK": directory}


def marked_processes(mark):
    """Processes whose environment has our mark."""
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/environ", "rb") as environ:
                if f"UVFIO_TEST_MARK={mark}".encode() in environ.read().split(b"\0"):
                    found.append(int(pid))
        except OSError:
            pass
    return found


def nothing_left(directory, tmp):
    equal(os.listdir(tmp), [], "files in TMPDIR")
    end = time.monotonic() + 5
    while marked_processes(directory) and time.monotonic() < end:
        time.sleep(0.02)
    equal(marked_processes(directory), [], "processes")


def threads(pid):
    return len(os.listdir(f"/proc/{pid}/task"))


def descriptors(pid):
    return sorted(os.readlink(f"/proc/{pid}/fd/{fd}") for fd in os.listdir(f"/proc/{pid}/fd"))


@case("completed writes survive kill -9; the session's directory goes")
def _(directory):
    tmp, env = private_tmp(directory)
    disk = image(directory, "disk", 64 * MIB)
    with Interactive("qemu-io", "-f", "raw", NVME, devices=[f"nvme,file={disk}"], env=env) as client:
        for number in range(1, 33):
            client.send(f"write -P {number} {(number - 1) * MIB + 512} 1M")
            client.wait_for("wrote 1048576/1048576")
        os.kill(client.pid(), signal.SIGKILL)
        equal(client.process.wait(20), 128 + signal.SIGKILL, "exit status")
    model = bytearray(64 * MIB)
    for number in range(1, 33):
        model[(number - 1) * MIB + 512:number * MIB + 512] = bytes([number]) * MIB
    same_bytes(read(disk), bytes(model), "the image")
    nothing_left(directory, tmp)


@case("killed amid many writes: each block is old or new, and the controller works again")
def _(directory):
    tmp, env = private_tmp(directory)
    disk = image(directory, "disk", 64 * MIB, lambda offset, length: b"\x11" * length)
    words = command("qemu-img", "bench", "-f", "raw", "-w", "-c", "1000000", "-d", "32", "-s", "65536", "--pattern=0x22", NVME,
                    devices=[f"nvme,file={disk}"])
    with subprocess.Popen(words, env=env, stdout=subprocess.DEVNULL) as process:
        end = time.monotonic() + 20
        while read(disk)[:4096] != b"\x22" * 4096 and time.monotonic() < end:
            time.sleep(0.01)
        with open(f"/proc/{process.pid}/task/{process.pid}/children", encoding="ascii") as children:
            os.kill(int(children.read()), signal.SIGKILL)
        equal(process.wait(20), 128 + signal.SIGKILL, "exit status")
    data = read(disk)
    for block in range(0, len(data), 512):
        if data[block:block + 512] not in (b"\x11" * 512, b"\x22" * 512):
            raise AssertionError(f"block at {block:#x} is torn")
    nothing_left(directory, tmp)
    run("qemu-io", "-f", "raw", "-c", "write -P 7 0 4096", "-c", "read -P 7 0 4096", NVME, devices=[f"nvme,file={disk}"])


@case("a signal to uvfio run reaches the client and ends both")
def _(directory):
    tmp, env = private_tmp(directory)
    with Interactive("qemu-io", "-f", "raw", NVME, env=env) as client:
        client.wait_for("qemu-io>")
        os.kill(client.process.pid, signal.SIGTERM)
        equal(client.process.wait(20), 128 + signal.SIGTERM, "exit status")
    nothing_left(directory, tmp)


@case("opened and closed twenty times in one process: no thread and no descriptor stays")
def _(directory):
    tmp, env = private_tmp(directory)
    disk = image(directory, "disk", 16 * MIB)
    seen = []
    with Interactive("qemu-io", devices=[f"nvme,file={disk}"], env=env) as client:
        client.wait_for("qemu-io>")
        for number in range(1, 21):
            # One line at a time: qemu-io would keep a second one in its buffer, and wait for a third.
            for line in (f"open -o driver=raw {NVME}", f"write -P {number} 0 1M", "close"):
                client.send(line)
                client.wait_for("qemu-io>")
            time.sleep(0.02)  # a thread that has been told to end
            seen.append((threads(client.pid()), descriptors(client.pid())))
            equal(read(disk)[:MIB], bytes([number]) * MIB, f"what the {number}th write left")
        client.send("quit")
        equal(client.process.wait(20), 0, "exit status")
    equal(min(s[0] for s in seen[10:]) <= seen[1][0], True, f"threads {[s[0] for s in seen]}")
    equal(len(seen[-1][1]), len(seen[1][1]), f"descriptors {seen[-1][1]}, after the second time {seen[1][1]}")
    nothing_left(directory, tmp)


@case("a client that fails leaves nothing, and its status is passed on")
def _(directory):
    tmp, env = private_tmp(directory)
    for program, status in ((["/bin/sh", "-c", "exit 42"], 42), (["/bin/sh", "-c", "kill -SEGV $$"], 128 + signal.SIGSEGV),
                            (["qemu-io", "-f", "raw", "-c", "read 0 512", "nvme://0000:00:09.0/1"], 1)):
        done = subprocess.run(command(*program), env=env, check=False, stdout=subprocess.DEVNULL,
                              stderr=subprocess.DEVNULL, timeout=60)
        equal(done.returncode, status, f"status of {program}")
        nothing_left(directory, tmp)


@case("every mapping that was made is gone at the end, and no fault was seen")
def _(directory):
    result = run("qemu-io", "-f", "raw", "-c", "write -P 1 0 4M", "-c", "read -P 1 0 4M", NVME, options=["--summary"], quiet=False)
    lines = {line.split()[0]: line.split()[1:] for line in result.err.splitlines() if line.startswith("  ")}
    equal(lines["faults"], ["0"], "faults")
    equal(int(lines["mappings"][0]) > 0, True, "mappings were made")
    equal(lines["mappings"][-4:], ["0", "left", "at", "exit"], "mappings that were left")


if __name__ == "__main__":
    main()
