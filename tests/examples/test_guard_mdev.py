#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""Mediated drivers with mistakes in their callbacks: the user is told in one line, and nothing hangs without a word."""
import os
import re
import shutil
import signal
import subprocess

from common import SOURCE, Installation, Running, case, default_signals, equal, main

HERE = os.path.join(SOURCE, "tests", "examples")
UUID = "75766669-6f00-4000-8000-000000000001"
CLIENT = ["/dev/vfio/256", UUID]

default_signals()
installation = Installation()
client = os.path.join(installation.root, "client")
installation.run("gcc", "-Wall", "-Wextra", "-Werror", "-pthread", "-o", client, os.path.join(HERE, "guard_driver.c"), cwd=HERE)


def build(directory, bug):
    shutil.copy(os.path.join(HERE, "guard_mdev.c"), os.path.join(directory, "guard.c"))
    return installation.plug_in(directory, "guard", options=[f'-DBUG="{bug}"', "-O0"])


def run(directory, bug, actions, status, options=()):
    """What is on standard error, without the launcher's line about the program's end."""
    build(directory, bug)
    result = installation.run("uvfio", "run", *options, "--device", "./guard.so", "--", client, actions, *CLIENT, cwd=directory,
                              status=status)
    return [line for line in result.err.splitlines() if ": ended by signal" not in line]


def crashed(lines, who, callback, signal_name="SEGV"):
    line = re.escape(f"uvfio: {who}: its {callback} callback crashed: SIG{signal_name} at 0x") + "[0-9a-f]+"
    if signal_name == "SEGV":
        line += ", which touched 0x[0-9a-f]+"
    assert len(lines) == 1 and re.fullmatch(line, lines[0]), lines


def start(directory, bug, words, device="./guard.so"):
    build(directory, bug)
    return Running(installation, directory, "--device", device, "--", *words, whole=True)


@case("without a mistake")
def _(directory):
    lines = run(directory, "none", "prPwuC", 0)
    assert len(lines) == 1 and lines[0].startswith(f"uvfio: {UUID}: DMA fault: read of 4096 bytes at IOVA 0 "), lines


@case("a crash names the instance, the driver's file and the callback")
def _(directory):
    who = f"{UUID} ({directory}/guard.so)"
    for callback, actions in {"open": "p", "close": "C", "reset": "r", "read": "p", "write": "P", "dma_unmap": "w",
                              "request": "R"}.items():
        lines = [line for line in run(directory, callback + "-crash", actions, 139) if "request 0" not in line]
        crashed(lines, who, callback)
    crashed(run(directory, "dma_unmap-crash", "w", 139, ["--container=iommufd"]), who, "dma_unmap")
    crashed(run(directory, "read-divide", "p", 136), who, "read", "FPE")
    crashed(run(directory, "write-abort", "P", 134), who, "write", "ABRT")


@case("crashes while the session is made are told by the launcher, which leaves nothing behind")
def _(directory):
    equal(run(directory, "create-overrun", "p", 1)[-1],
          f"uvfio: {directory}/guard.so: making the device ended in SIGABRT, not in a callback: has it written beyond its memory, "
          "of priv_size bytes?", "line")
    parent, instance = f"guard ({directory}/guard.so)", f"{UUID} ({directory}/guard.so)"
    for callback, who in {"parent_create": parent, "get_available": parent, "parent_destroy": parent, "create": instance,
                          "destroy": instance}.items():
        crashed(run(directory, callback + "-crash", "p", 1), who, callback)
    equal(os.listdir(installation.tmp), [], "sessions")


@case("results that are neither 0 nor a negative errno, and refusals")
def _(directory):
    equal(run(directory, "parent_create-text", "p", 1), ["uvfio: guard: two lines ?[31m"], "line")
    wrong = "returned 7, which is neither 0 nor a negative errno"
    equal(run(directory, "parent_create-plus", "p", 1), [f"uvfio: guard: its parent_create {wrong}"], "line")
    equal(run(directory, "parent_create-refuse", "p", 1),
          ["uvfio: guard: cannot be made: Device or resource busy (its parent_create gives no reason, by uvfio_create_error())"], "line")
    for bug, reason in {"refuse": "Device or resource busy", "plus": "Input/output error"}.items():
        equal(run(directory, "create-" + bug, "p", 1),
              ["uvfio: guard: an instance of guard-1 cannot be made: " +
               (f"the driver's create {wrong}" if bug == "plus" else reason)], "line")
        equal(run(directory, "open-" + bug, "p", 1), [f"VFIO_GROUP_GET_DEVICE_FD: {reason}"], "line")
        equal(run(directory, "reset-" + bug, "r", 1), [f"VFIO_DEVICE_RESET: {reason}"], "line")
        equal(run(directory, "read-" + bug, "p", 1), ["pread: Bad address"], "line")


@case("a create that never returns: the launcher says so and ends; one that a program asks for is ended by a signal")
def _(directory):
    line = f"uvfio: {UUID} ({directory}/guard.so): its create callback has not returned for 5 seconds"
    with start(directory, "create-loop", ["true"]) as running:
        equal(running.process.communicate(timeout=60), ("looping\n", line + ": it has to, soon\n"), "output")
        equal(running.process.returncode, 1, "status")
    with start(directory, "create-loop", ["sh", "-c", f"exec uvfio mdev create guard-1 {UUID}"],
                 "./guard.so,type=none") as running:
        running.looping()
        equal(running.error(), line + ", and the program waits for it", "line")
        running.ends(signal.SIGINT, 130)


@case("a callback that never returns is told, and ^C ends it")
def _(directory):
    for callback, actions in {"read": "p", "dma_unmap": "w", "reset": "r", "close": "C"}.items():
        with start(directory, callback + "-loop", [client, actions, *CLIENT]) as running:
            running.looping()
            equal(running.error(), f"uvfio: {UUID} ({directory}/guard.so): its {callback} callback has not returned for 5 "
                  "seconds, and the program waits for it", "line")
            running.ends(signal.SIGINT, 130)


@case("a driver that keeps its pages is told by name, the unmapping is refused, and the close lets go of them")
def _(directory):
    for options in ((), ("--container=iommufd",)):
        lines = run(directory, "dma_unmap-keep", "UC", 0, options)
        assert len(lines) == 2 and lines[0].startswith(f"uvfio: {UUID} keeps pages of 0x0-0xfff pinned (1)"), (options, lines)
        assert lines[1].startswith(f"uvfio: {UUID} had pages pinned (1) when it was closed"), (options, lines)


@case("a removal asks the driver to ask its user")
def _(directory):
    equal(run(directory, "none", "R", 0), [f"uvfio: {UUID}: request 0"], "standard error")


@case("what a description lacks is told when it is loaded, also by uvfio devices")
def _(directory):
    with open(os.path.join(HERE, "guard_mdev.c"), encoding="utf-8") as source:
        good = source.read()
    for old, new, line in (
            ('.name = "guard"', '.name = "gu/ard"',
             "its driver's name is gu/ard: it becomes a directory's, give one word of letters, digits, - and _"),
            (".types = types,", "", "its driver has no types: give one"),
            (".get_available = get_available,", "(void)get_available,"[:0], "its driver has neither get_available nor max_instances"),
            ("[0] = { 64 }", "[0] = { 1ull << 41 }", "type 1: region 0 has more than 2^40 bytes"),
            ('{ .name = "1",', '{ .name = "1" }, { .name = "1",', "type 1: there are two of them: rename one")):
        assert old in good, old
        installation.plug_in(directory, "guard", good.replace(old, new), options=['-DBUG="none"', "-Wno-unused-function",
                                                                                "-Wno-unused-const-variable"])
        for words in (["devices", "./guard.so"], ["run", "--device", "./guard.so", "--", "true"]):
            result = installation.run("uvfio", *words, cwd=directory, status=1)
            equal(result.err, f"uvfio: plug-in {directory}/guard.so: {line}\n", "line")


@case("uvfio devices shows the driver's options and those of every mediated device")
def _(directory):
    build(directory, "none")
    out = installation.run("uvfio", "devices", "./guard.so", cwd=directory).out
    assert out.startswith("guard: makes mistakes\n  types of instances:\n    guard-1\n\n"
                          "every mediated device:\n  type=TEXT") and "  uuid=TEXT" in out, out


if __name__ == "__main__":
    main(installation)
