#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""qemu-io over nvme://: what it wrote is what it reads, and what the image file holds."""
import os
import random
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from harness import MIB, Skip, case, equal, image, main, read, run, same_bytes  # noqa: E402

NVME = "nvme://0000:00:01.0/1"


def qemu_io(commands, device, *, options=(), target=NVME, arguments=(), **more):
    """One qemu-io with these commands. An error of a command is an error of the test."""
    words = []
    for text in commands:
        words += ["-c", text]
    result = run("qemu-io", *arguments, "-f", "raw", *words, target, devices=[device], options=options, **more)
    for bad in ("Pattern verification failed", "Input/output error", "failed:", "not supported"):
        if bad in result.out + result.err:
            raise AssertionError(f"qemu-io: {result.text()}")
    return result


def random_ranges(rng, size, count, longest):
    """Offsets and lengths with every magnitude of length alike, few of them aligned to anything."""
    for _ in range(count):
        length = min(longest, int(2 ** rng.uniform(0, 23)) + rng.randrange(2))
        yield rng.randrange(0, size - length), length


def write_and_verify(directory, device_options, arguments=(), size=64 * MIB, count=120, seed=1):
    """Random writes, each read back at once, then all at the end in another process; then the file itself."""
    rng = random.Random(seed)
    disk = image(directory, "disk", size)
    model = bytearray(size)
    commands, ranges = [], list(random_ranges(rng, size, count, 8 * MIB))
    for number, (offset, length) in enumerate(ranges):
        pattern = number % 255 + 1
        commands += [f"write -P {pattern} {offset} {length}", f"read -P {pattern} {offset} {length}"]
        model[offset:offset + length] = bytes([pattern]) * length
    qemu_io(commands, f"nvme,file={disk}{device_options}", arguments=arguments)
    same_bytes(read(disk), bytes(model), "the image")
    checks = []
    for offset, length in ranges:
        stretch = model[offset:offset + length]
        same = len(stretch) - len(stretch.lstrip(stretch[:1]))
        checks.append(f"read -P {stretch[0]} {offset} {same}")
    qemu_io(checks, f"nvme,file={disk}{device_options},readonly=on", arguments=["-r", *arguments])


@case("random offsets and lengths from 1 byte to 8 MiB, blocks of 512 bytes")
def _(directory):
    write_and_verify(directory, "")


@case("the same from buffers that are not aligned")
def _(directory):
    write_and_verify(directory, "", arguments=["-m"], seed=2)


@case("the same with blocks of 4096 bytes")
def _(directory):
    write_and_verify(directory, ",lba=4096", seed=3)


@case("the same with commands of at most 64 KiB and one queue")
def _(directory):
    write_and_verify(directory, ",mdts=64K,queues=1", seed=4, count=60)


@case("many requests at once, completed in any order")
def _(directory):
    rng = random.Random(5)
    size, step = 64 * MIB, 256 << 10
    disk = image(directory, "disk", size)
    model = bytearray(size)
    writes, reads = [], []
    for slot in rng.sample(range(size // step), 200):
        offset, length, pattern = slot * step + rng.randrange(512), rng.randrange(1, step - 512), slot % 255 + 1
        writes.append(f"aio_write -P {pattern} {offset} {length}")
        reads.append(f"aio_read -P {pattern} {offset} {length}")
        model[offset:offset + length] = bytes([pattern]) * length
    qemu_io([*writes, "aio_flush", *reads, "aio_flush"], f"nvme,file={disk}")
    same_bytes(read(disk), bytes(model), "the image")


@case("scattered buffers: readv and writev of odd lengths")
def _(directory):
    disk = image(directory, "disk", 16 * MIB)
    lengths = [512, 1024, 4096, 65536 + 512, 512, 8192 - 512, 1 << 20]
    text = " ".join(map(str, lengths))
    qemu_io([f"writev -P 0x5a 1536 {text}", f"readv -P 0x5a 1536 {text}"], f"nvme,file={disk}")
    model = bytearray(16 * MIB)
    model[1536:1536 + sum(lengths)] = b"\x5a" * sum(lengths)
    same_bytes(read(disk), bytes(model), "the image")


@case("the first and the last block; beyond the end is refused by qemu-io")
def _(directory):
    disk = image(directory, "disk", 8 * MIB)
    end = 8 * MIB - 512
    qemu_io(["write -P 1 0 512", f"write -P 2 {end} 512", "read -P 1 0 512", f"read -P 2 {end} 512"], f"nvme,file={disk}")
    data = read(disk)
    equal((data[:512], data[-512:], len(data)), (b"\1" * 512, b"\2" * 512, 8 * MIB), "ends of the image")


def filled(directory, size=32 * MIB):
    return image(directory, "disk", size, lambda offset, length: b"\xee" * length)


def used(path):
    return os.stat(path).st_blocks * 512


def can_punch(directory):
    """Does this file system give space back?"""
    path = filled(directory, 4 * MIB)
    os.sync()
    before = used(path)
    if os.system(f"fallocate --punch-hole --offset 0 --length {2 * MIB} '{path}' 2>/dev/null") or used(path) >= before:
        raise Skip("the file system cannot punch holes")


@case("write zeroes: they are there, whatever the alignment")
def _(directory):
    disk = filled(directory)
    model = bytearray(b"\xee" * (32 * MIB))
    commands = []
    for offset, length in ((0, 4096), (1 * MIB + 512, 3 * MIB), (9 * MIB + 7, 12345), (12 * MIB, 12 * MIB)):
        commands += [f"write -z {offset} {length}", f"read -P 0 {offset} {length}"]
        model[offset:offset + length] = bytes(length)
    qemu_io(commands, f"nvme,file={disk}")
    same_bytes(read(disk), bytes(model), "the image")


# QEMU's driver offers the flag for its writes only, so what arrives is a command without the permission to unmap.
@case("write zeroes that may unmap: zeroes")
def _(directory):
    disk = filled(directory)
    qemu_io([f"write -z -u {4 * MIB} {16 * MIB}", f"read -P 0 {4 * MIB} {16 * MIB}"], f"nvme,file={disk}",
            arguments=["-d", "unmap"])
    model = bytearray(b"\xee" * (32 * MIB))
    model[4 * MIB:20 * MIB] = bytes(16 * MIB)
    same_bytes(read(disk), bytes(model), "the image")


@case("discard: really a hole in the file")
def _(directory):
    can_punch(directory)
    disk = filled(directory)
    os.sync()
    before = used(disk)
    qemu_io([f"discard {8 * MIB} {16 * MIB}"], f"nvme,file={disk}", arguments=["-d", "unmap"])
    if before - used(disk) < 15 * MIB:
        raise AssertionError(f"only {before - used(disk)} bytes came back")
    data = read(disk)
    same_bytes(data[:8 * MIB] + data[24 * MIB:], b"\xee" * (16 * MIB), "what was not discarded")
    same_bytes(data[8 * MIB:24 * MIB], bytes(16 * MIB), "what was discarded")


@case("flush reaches the controller as a command")
def _(directory):
    disk = image(directory, "disk", 8 * MIB)
    result = qemu_io(["write -P 3 0 4096", "flush"], f"nvme,file={disk}", options=["--trace=cmd"], quiet=False)
    lines = [line.lower() for line in result.err.splitlines()]
    if not any("flush" in line for line in lines) or not any("write" in line for line in lines):
        raise AssertionError(f"no flush in the trace: {result.text()}")


@case("forced unit access and a cache that writes through")
def _(directory):
    disk = image(directory, "disk", 8 * MIB)
    qemu_io(["write -f -P 9 1M 1M", "read -P 9 1M 1M"], f"nvme,file={disk}", arguments=["-t", "writethrough"])
    equal(read(disk)[MIB:2 * MIB], b"\x09" * MIB, "what was written")


@case("two namespaces are two disks in one image")
def _(directory):
    disk = image(directory, "disk", 64 * MIB)
    device = f"nvme,file={disk},ns=2"
    last = 32 * MIB - 512
    for number in (1, 2):
        qemu_io([f"write -P {number} 0 1M", f"write -P {16 + number} {last} 512"], device,
                target=f"nvme://0000:00:01.0/{number}")
    for number in (1, 2):
        qemu_io([f"read -P {number} 0 1M", f"read -P {16 + number} {last} 512"], device,
                target=f"nvme://0000:00:01.0/{number}")
    model = bytearray(64 * MIB)
    for number in (1, 2):
        start = (number - 1) * 32 * MIB
        model[start:start + MIB] = bytes([number]) * MIB
        model[start + last:start + last + 512] = bytes([16 + number]) * 512
    same_bytes(read(disk), bytes(model), "the image")


@case("a namespace that is not there is an error of qemu-io, and nothing worse")
def _(directory):
    disk = image(directory, "disk", 8 * MIB)
    result = run("qemu-io", "-f", "raw", "-c", "read 0 512", "nvme://0000:00:01.0/2", devices=[f"nvme,file={disk}"], status=1)
    if "amespace" not in result.err + result.out:
        raise AssertionError(result.text())


@case("memory behind the controller lives as long as the session")
def _(directory):
    script = (f"qemu-io -f raw -c 'write -P 0x77 1M 5M' {NVME} && "
              f"qemu-io -f raw -r -c 'read -P 0x77 1M 5M' -c 'read -P 0 6M 1M' {NVME}")
    result = run("/bin/sh", "-c", script)
    equal("verification failed" in result.out, False, "verification")
    equal(result.out.count("read "), 2, "reads")


@case("an image that is read-only cannot be written")
def _(directory):
    disk = filled(directory, 8 * MIB)
    os.chmod(disk, 0o444)
    device = f"nvme,file={disk},readonly=on"
    qemu_io(["read -P 0xee 0 8M"], device, arguments=["-r"])
    run("qemu-io", "-f", "raw", "-c", "write -P 1 0 4096", NVME, devices=[device], status=None)
    equal(read(disk), b"\xee" * (8 * MIB), "the image")


@case("a controller elsewhere on the bus, in a group of another number")
def _(directory):
    disk = image(directory, "disk", 8 * MIB)
    qemu_io(["write -P 4 0 1M", "read -P 4 0 1M"], f"nvme,file={disk},addr=0001:02:03.4,group=77",
            target="nvme://0001:02:03.4/1")
    equal(read(disk)[:MIB], b"\4" * MIB, "what was written")


if __name__ == "__main__":
    main()
