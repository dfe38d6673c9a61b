#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""Plug-ins with mistakes in their callbacks: the user is told in one line, and nothing hangs without a word."""
import os
import re
import shutil
import signal
import subprocess

from common import SOURCE, Installation, Running, case, default_signals, equal, main

HERE = os.path.join(SOURCE, "tests", "examples")
BDF = "0000:00:01.0"

default_signals()
installation = Installation()
driver = os.path.join(installation.root, "driver")
installation.run("gcc", "-Wall", "-Wextra", "-Werror", "-o", driver, os.path.join(HERE, "guard_driver.c"), cwd=HERE)


def build(directory, bug):
    shutil.copy(os.path.join(HERE, "guard_device.c"), os.path.join(directory, "guard.c"))
    return installation.plug_in(directory, "guard", options=[f'-DBUG="{bug}"', "-O0"])


def run(directory, bug, actions, status, options=()):
    """What is on standard error, without the launcher's line about the program's end."""
    build(directory, bug)
    result = installation.run("uvfio", "run", *options, "--device", "./guard.so", "--", driver, actions, cwd=directory,
                              status=status)
    return [line for line in result.err.splitlines() if ": ended by signal" not in line]


def crashed(directory, lines, callback, signal_name):
    who = re.escape(f"uvfio: {BDF} ({directory}/guard.so): its {callback} crashed: SIG{signal_name} at 0x") + "[0-9a-f]+"
    if signal_name == "SEGV":
        who += ", which touched 0x[0-9a-f]+"
    assert len(lines) == 1 and re.fullmatch(who, lines[0]), lines


def start(directory, bug, actions, options=(), device=("--device", "./guard.so")):
    build(directory, bug)
    return Running(installation, directory, *options, *device, "--", driver, actions, stdin=subprocess.PIPE)


@case("without a mistake")
def _(directory):
    equal(run(directory, "none", "pPmMr", 0), [], "standard error")


@case("a create that crashes is told by the launcher, which leaves nothing behind")
def _(directory):
    for bug, name in {"crash": "SEGV", "divide": "FPE", "abort": "ABRT", "recurse": "SEGV"}.items():
        crashed(directory, run(directory, "create-" + bug, "p", 1), "create callback", name)
    equal(run(directory, "create-exit", "p", 1), [f"uvfio: {directory}/guard.so: its create ended the process: it has to return"], "line")
    equal(os.listdir(installation.tmp), [], "sessions")


@case("a plug-in that crashes while it is loaded is told")
def _(directory):
    line = re.escape(f"uvfio: {directory}/guard.so: its loading crashed: SIGSEGV at 0x") + "[0-9a-f]+, which touched 0x0"
    lines = run(directory, "load-crash", "p", -signal.SIGSEGV)
    assert len(lines) == 1 and re.fullmatch(line, lines[0]), lines


@case("a destroy that crashes is told")
def _(directory):
    crashed(directory, run(directory, "destroy-crash", "p", 1), "destroy callback", "SEGV")


@case("a create that never returns: a line says so, and status 1; a signal ends it earlier")
def _(directory):
    for sig in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        with start(directory, "create-loop", "p") as running:
            running.looping()
            equal(running.ends(sig, 128 + sig), "uvfio: a signal came before the plug-in's create had returned\n", "line")
            equal(os.listdir(installation.tmp), [], "sessions")
    with start(directory, "create-loop", "p") as running:
        equal(running.process.communicate(timeout=60), ("looping\n", f"uvfio: {BDF} ({directory}/guard.so): its create callback has "
                                                        "not returned for 5 seconds: it has to, soon\n"), "output")
        equal(running.process.returncode, 1, "status")
        equal(os.listdir(installation.tmp), [], "sessions")


@case("a register access that never returns is ended by a signal, also in the handler of a trapped access")
def _(directory):
    for actions in "pm":
        for sig in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            with start(directory, "read-loop", actions) as running:
                running.looping()
                equal(running.ends(sig, 128 + sig), "", "standard error")


@case("a callback that never returns is told; a handler of the program waits for it")
def _(directory):
    for actions, callback in {"im": "read", "nim": "read", "ip": "read", "": "reset"}.items():
        with start(directory, callback + "-loop", actions) as running:
            running.looping()
            running.process.send_signal(signal.SIGINT if actions else signal.SIGCONT)
            equal(running.error(), f"uvfio: {BDF} ({directory}/guard.so): its {callback} callback has not returned for "
                  "5 seconds, and the program waits for it", "line")
            equal(running.process.poll(), None, "the program's end")


@case("a program that takes its default action back is ended by a signal again")
def _(directory):
    for actions in ("nidm", "idm", "idp"):
        with start(directory, "read-loop", actions) as running:
            running.looping()
            running.ends(signal.SIGINT, 130)


@case("a crash in a callback names it, however the access was made")
def _(directory):
    for bug, name, sig in (("crash", "SEGV", 11), ("divide", "FPE", 8), ("abort", "ABRT", 6)):
        for actions in "pm":
            crashed(directory, run(directory, "read-" + bug, actions, 128 + sig), "read callback", name)
    for bug, actions in {"write": "P", "reset": "r", "open": "p"}.items():
        crashed(directory, run(directory, bug + "-crash", actions, 139), bug + " callback", "SEGV")


@case("a crash in a worker names it")
def _(directory):
    with start(directory, "worker-crash", "Pl") as running:
        equal(running.process.wait(60), 139, "status")
        lines = [line for line in running.process.stderr.read().splitlines() if "ended by" not in line]
        crashed(directory, lines, 'worker "busy"', "SEGV")


@case("a handler of the program gets the signal, and nothing is said; nor of a crash of its own later")
def _(directory):
    for actions in ("cp", "cm"):
        equal(run(directory, "read-crash", actions, 3), [], "standard error")
    for actions in ("fpx", "fmx"):
        equal(run(directory, "read-crash", actions, 139), [], "standard error")
    equal(run(directory, "none", "pmx", 139), [], "standard error")


@case("the program sees default actions where it has set none")
def _(directory):
    equal(run(directory, "none", "ps", 0), [], "standard error")


@case("a worker that does not return is named by the reset that waits, and by uvfio ctl")
def _(directory):
    line = (f"{BDF}: reset waits for worker \"busy\": its function has to return when uvfio_worker_stopping() is true")
    with start(directory, "worker-loop", "Plr") as running:
        running.looping()
        running.process.stdin.write("\n")
        equal(running.error(), "uvfio: " + line, "line")
        running.ends(signal.SIGTERM, 143)
    with start(directory, "worker-loop", "Pl", options=["--ctl"]) as running:
        running.error()
        running.looping()
        with subprocess.Popen(["uvfio", "ctl", "reset", BDF], env=installation.environment, stderr=subprocess.PIPE,
                              text=True) as ctl:
            equal(ctl.stderr.readline(), "uvfio: ctl: " + line + "\n", "what ctl says")
            equal(ctl.poll(), None, "the end of ctl")
            running.ends(signal.SIGTERM, 143)
            equal(ctl.wait(60), 0, "status of ctl")


@case("a DMA section that does not end is told by the unmapping that waits for it")
def _(directory):
    with start(directory, "section-loop", "Plu") as running:
        running.looping()
        running.process.stdin.write("\n")
        equal(running.error(), f"uvfio: {BDF}: the unmapping of memory waits for a DMA section: uvfio_dma_end() has to be "
              "called soon after uvfio_dma_begin()", "line")
        running.ends(signal.SIGTERM, 143)


@case("uvfio ctl add of a plug-in with a mistake: refused, and the session goes on")
def _(directory):
    build(directory, "create-crash")
    os.rename(os.path.join(directory, "guard.so"), os.path.join(directory, "crash.so"))
    build(directory, "create-loop")
    os.rename(os.path.join(directory, "guard.so"), os.path.join(directory, "loop.so"))
    with start(directory, "none", "lp", options=["--ctl"]) as running:
        running.error()
        for name, line in {"crash": "create callback crashed: SIGSEGV at 0x",
                           "loop": "create callback has not returned for 5 seconds"}.items():
            result = installation.run("uvfio", "ctl", "add", f"./{name}.so", cwd=directory, status=1)
            assert result.err.startswith("uvfio: ctl: 0000:00:02.0 (") and line in result.err, result.err
            equal(result.err.count("\n"), 1, "lines")
        result = installation.run("uvfio", "ctl", "add", "./guard.so", cwd=directory)
        equal(result.out, "0000:00:02.0\n", "the address")
        out, err = running.process.communicate("\n", timeout=60)
        equal((running.process.returncode, out.replace("looping\n", ""), err), (0, "done\n", ""), "the program")


@case("workers and DMA outside of their place")
def _(directory):
    equal(run(directory, "worker-null", "p", 1), [f"uvfio: {BDF}: uvfio_worker_new() needs a name and a function",
                                                  f"uvfio: plug-in {directory}/guard.so: cannot be made: Invalid argument"], "lines")
    equal(run(directory, "late-worker", "p", 0),
          [f"uvfio: {BDF}: uvfio_worker_new() is for create: later kick a worker that create has made",
           f"uvfio: {BDF}: open: errno 1"], "lines")
    for actions in "pm":
        lines = run(directory, "access-dma", actions, 0)
        assert len(lines) == 2 and re.fullmatch(
            rf"uvfio: {BDF}: uvfio_dma_\w+\(\) with the dma of a worker that is not the caller: memory is reached from a "
            r"worker's function, with its own worker->dma", lines[0]), lines
        equal(lines[1], f"uvfio: {BDF}: read: read -1 write -1 copy -1", "line")


@case("the trace has the reason of a model that refuses to be opened")
def _(directory):
    for bug, reason in {"refuse": "EBUSY: the model's open returned -16 (Device or resource busy) (",
                        "refuse-said": "EBUSY: the model's open returned -16 (Device or resource busy): the moon is full (",
                        "refuse-plus": "EIO: the model's open returned 7, which is neither 0 nor a negative errno ("}.items():
        lines = run(directory, bug, "p", 1, ["--trace=ioctl"])
        assert [line for line in lines if "VFIO_GROUP_GET_DEVICE_FD" in line and "= -1 " + reason in line], lines


@case("control characters of a model are not printed")
def _(directory):
    equal(run(directory, "create-text", "p", 1), [f"uvfio: plug-in {directory}/guard.so: guard: two lines ?[31m"], "lines")
    equal(run(directory, "log-text", "p", 0), [f"uvfio: {BDF}: one?uvfio: two?[31m?"], "lines")


if __name__ == "__main__":
    main(installation)
