#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""qemu-img over nvme://: whole images, load, and two controllers in one process."""
import json
import os
import random
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from harness import MIB, case, equal, image, main, read, run, same_bytes, same_files  # noqa: E402

NVME = "nvme://0000:00:01.0/1"
NVME2 = "nvme://0000:00:02.0/1"


def scattered(directory, name, size, stretches, seed):
    """A sparse image with random data in some places."""
    rng = random.Random(seed)
    path = image(directory, name, size)
    with open(path, "r+b") as out:
        for _ in range(stretches):
            length = int(2 ** rng.uniform(9, 22))
            out.seek(rng.randrange(0, size - length) & ~511)
            out.write(rng.randbytes(length))
    return path


@case("a sparse image of 512 MiB: converted to the controller, compared, converted back")
def _(directory):
    size = 512 * MIB
    source, disk = scattered(directory, "source", size, 150, seed=10), image(directory, "disk", size)
    device = f"nvme,file={disk}"
    run("qemu-img", "convert", "-n", "-f", "raw", "-O", "raw", source, NVME, devices=[device])
    same_files(disk, source)
    result = run("qemu-img", "compare", "-f", "raw", "-F", "raw", source, NVME, devices=[device])
    equal(result.out.strip(), "Images are identical.", "qemu-img compare")
    back = os.path.join(directory, "back")
    run("qemu-img", "convert", "-f", "raw", "-O", "raw", NVME, back, devices=[device])
    same_files(back, source)


@case("qemu-img compare finds one changed byte")
def _(directory):
    source, disk = (scattered(directory, name, 64 * MIB, 40, seed=11) for name in ("source", "disk"))
    with open(disk, "r+b") as out:
        out.seek(33 * MIB + 77)
        byte = out.read(1)[0]
        out.seek(33 * MIB + 77)
        out.write(bytes([byte ^ 1]))
    result = run("qemu-img", "compare", "-f", "raw", "-F", "raw", source, NVME, devices=[f"nvme,file={disk}"], status=1)
    equal(result.out.strip(), f"Content mismatch at offset {33 * MIB}!", "qemu-img compare")


@case("qcow2 on the controller: an image format inside the namespace")
def _(directory):
    source, disk = scattered(directory, "source", 64 * MIB, 40, seed=12), image(directory, "disk", 128 * MIB)
    qcow2 = os.path.join(directory, "image.qcow2")
    run("qemu-img", "convert", "-f", "raw", "-O", "qcow2", source, qcow2)
    with open(disk, "r+b") as out:
        out.write(read(qcow2))
    back = os.path.join(directory, "back")
    run("qemu-img", "convert", "-f", "qcow2", "-O", "raw", NVME, back, devices=[f"nvme,file={disk}"])
    same_files(back, source)


def bench(directory, *arguments):
    disk = image(directory, "disk", 64 * MIB, lambda offset, length: os.urandom(length))
    before = read(disk)
    result = run("qemu-img", "bench", "-f", "raw", *arguments, NVME, devices=[f"nvme,file={disk}"])
    if "Run completed" not in result.out:
        raise AssertionError(result.text())
    return before, read(disk)


@case("qemu-img bench: reads at depth 1")
def _(directory):
    before, after = bench(directory, "-c", "2000", "-d", "1", "-s", "4096")
    same_bytes(after, before, "the image")


@case("qemu-img bench: reads at depth 64")
def _(directory):
    before, after = bench(directory, "-c", "20000", "-d", "64", "-s", "4096")
    same_bytes(after, before, "the image")


@case("qemu-img bench: writes at depth 64, flushed on the way")
def _(directory):
    _, after = bench(directory, "-w", "-c", "4096", "-d", "64", "-s", "16384", "--pattern=0x3c", "--flush-interval=512",
                     "--no-drain")
    same_bytes(after, b"\x3c" * (64 * MIB), "the image")


@case("qemu-img bench: 2 MiB reads at depth 16, more memory than one command may move")
def _(directory):
    before, after = bench(directory, "-c", "256", "-d", "16", "-s", str(2 * MIB))
    same_bytes(after, before, "the image")


@case("from one controller to another, both in one process")
def _(directory):
    source = scattered(directory, "source", 128 * MIB, 80, seed=13)
    disk = image(directory, "disk", 128 * MIB)
    expected = os.path.join(directory, "expected")
    run("cp", "--sparse=always", source, expected)
    run("qemu-img", "convert", "-n", "-f", "raw", "-O", "raw", NVME, NVME2,
        devices=[f"nvme,file={source},readonly=on", f"nvme,file={disk},lba=4096"])
    same_files(disk, expected)
    same_files(source, expected)


def child(bdf):
    return {"driver": "raw", "file": {"driver": "nvme", "device": bdf, "namespace": 1}}


@case("a mirror of two controllers: every write reaches both, reads compare them")
def _(directory):
    disks = [image(directory, name, 32 * MIB) for name in ("a", "b")]
    mirror = "json:" + json.dumps({"driver": "quorum", "vote-threshold": 2,
                                   "children": [child("0000:00:01.0"), child("0000:00:02.0")]})
    rng = random.Random(14)
    model = bytearray(32 * MIB)
    commands = []
    for number in range(1, 60):
        length = int(2 ** rng.uniform(9, 22)) & ~511
        offset = rng.randrange(0, 32 * MIB - length) & ~511
        commands += ["-c", f"write -P {number} {offset} {length}", "-c", f"read -P {number} {offset} {length}"]
        model[offset:offset + length] = bytes([number]) * length
    result = run("qemu-io", *commands, mirror, devices=[f"nvme,file={disk}" for disk in disks])
    if "failed" in result.out + result.err:
        raise AssertionError(result.text())
    for disk in disks:
        same_bytes(read(disk), bytes(model), disk)


@case("two controllers of one group, one after the other in one process")
def _(directory):
    disks = [image(directory, name, 16 * MIB) for name in ("a", "b")]
    devices = [f"nvme,file={disks[0]},group=5", f"nvme,file={disks[1]},group=5"]
    for number, target in enumerate((NVME, NVME2), 1):
        run("qemu-io", "-f", "raw", "-c", f"write -P {number} 0 1M", target, devices=devices)
    for number, disk in enumerate(disks, 1):
        equal(read(disk)[:MIB], bytes([number]) * MIB, disk)


if __name__ == "__main__":
    main()
