#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""docs/writing-devices.md, as its reader follows it: every file and command in it, and the output it shows.

A block "```c NAME" is a file, written when the reader comes to it. A block "```console" has commands behind "$", each
with what it prints; "..." there stands for anything. There are no other blocks.
"""
import os
import pty
import re
import select
import subprocess
import time
import tty

from common import SOURCE, Installation, case, main

DOCUMENT = os.path.join(SOURCE, "docs", "writing-devices.md")
installation = Installation()


def blocks(text):
    """(kind, name, lines) of each fenced block."""
    found, current = [], None
    for line in text.splitlines():
        if not line.startswith("```"):
            if current:
                current[2].append(line)
        elif current:
            found.append(current)
            current = None
        else:
            kind, _, name = line[3:].partition(" ")
            current = (kind, name, [])
    assert current is None, "a block does not end"
    return found


def commands(lines):
    """(command, what it prints) of a console block."""
    found = []
    for line in lines:
        if line.startswith("$ "):
            found.append((line[2:], []))
        else:
            found[-1][1].append(line)
    return found


def type_in(command, directory):
    """What a terminal shows of a command."""
    terminal, program = pty.openpty()
    tty.setraw(program)
    process = subprocess.Popen(["sh", "-c", command], cwd=directory, env=installation.environment,
                               stdin=subprocess.DEVNULL, stdout=program, stderr=program)
    os.close(program)
    shown, end = b"", time.monotonic() + 120
    while True:
        ready, _, _ = select.select([terminal], [], [], max(0, end - time.monotonic()))
        try:
            data = os.read(terminal, 65536) if ready else b""
        except OSError:  # the last one has closed it
            data = b""
        if not data:
            break
        shown += data
    os.close(terminal)
    if time.monotonic() > end:
        process.kill()
    process.wait()
    return shown.decode()


def pattern(lines):
    text = "".join(line + "\n" for line in lines)
    return ".*".join(re.escape(part) for part in text.split("..."))


def check(command, expected, directory):
    shown = type_in(command, directory)
    if not re.fullmatch(pattern(expected), shown, re.S):
        raise AssertionError(f"$ {command}\n{shown}--- but the document shows\n" + "\n".join(expected))


@case("every file, every command, every output")
def _(directory):
    with open(DOCUMENT, encoding="utf-8") as document:
        found = blocks(document.read())
    count = 0
    for kind, name, lines in found:
        assert kind in ("c", "console"), f"a block of another kind: {kind}"
        if kind == "c":
            assert re.fullmatch(r"\w+\.[ch]", name), f"a file without a name: {name}"
            with open(os.path.join(directory, name), "w", encoding="utf-8") as out:
                out.write("\n".join(lines) + "\n")
        else:
            for command, expected in commands(lines):
                count += 1
                check(command, expected, directory)
    assert count >= 12, f"only {count} commands were found"


@case("the document is installed")
def _(_):
    with open(DOCUMENT, encoding="utf-8") as ours:
        with open(os.path.join(installation.examples, "..", "writing-devices.md"), encoding="utf-8") as installed:
            assert ours.read() == installed.read()


@case("a wrong output is noticed")
def _(directory):
    for command, expected in (("echo a", ["b"]), ("echo a; echo b", ["a"]), ("true", ["a"]), ("echo a b c", ["a ... d"])):
        try:
            check(command, expected, directory)
        except AssertionError:
            continue
        raise AssertionError(f"{command!r} passes for {expected}")
    check("echo a b c; echo d >&2", ["a ... c", "..."], directory)


if __name__ == "__main__":
    main(installation)
