# SPDX-License-Identifier: BSD-2-Clause
"""What tests with unmodified client programs share: TAP output, `uvfio run`, images.

A test file defines functions with @case and ends with harness.main(). Environment:
    UVFIO      the command (default build/src/cli/uvfio)
    TMPDIR     where images and sessions go
"""
import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import time
import traceback

UVFIO = os.environ.get("UVFIO", os.path.join(os.path.dirname(__file__), "../../build/src/cli/uvfio"))
MIB = 1 << 20

_cases = []


class Skip(Exception):
    """Raised by a case that cannot run here; the text says why."""


def case(name):
    def add(function):
        _cases.append((name, function))
        return function

    return add


def main():
    print("TAP version 13")
    print(f"1..{len(_cases)}", flush=True)
    failed = 0
    for number, (name, function) in enumerate(_cases, 1):
        with tempfile.TemporaryDirectory(prefix="case-") as directory:
            try:
                function(directory)
                line = f"ok {number} - {name}"
            except Skip as reason:
                line = f"ok {number} - {name} # SKIP {reason}"
            except Exception:  # a case may fail in any way
                failed += 1
                line = f"not ok {number} - {name}"
                for text in traceback.format_exc().splitlines():
                    print("#", text)
        print(line, flush=True)
    sys.exit(1 if failed else 0)


def equal(got, expected, what):
    if got != expected:
        raise AssertionError(f"{what}: got {got!r}, expected {expected!r}")


class Result:
    def __init__(self, status, out, err):
        self.status, self.out, self.err = status, out, err

    def text(self):
        return f"status {self.status}\n--- stdout\n{self.out[-3000:]}\n--- stderr\n{self.err[-3000:]}"


def command(*program, devices=(), options=()):
    """The argument list of `uvfio run`."""
    words = [UVFIO, "run"]
    for device in devices:
        words += ["--device", device]
    return [*words, *options, "--", *program]


def run(*program, devices=(), options=(), status=0, quiet=True, timeout=120):
    """Run a program under uvfio. quiet: nothing of ours may appear on standard error."""
    done = subprocess.run(command(*program, devices=devices, options=options), stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=timeout, check=False)
    result = Result(done.returncode, done.stdout.decode(errors="replace"), done.stderr.decode(errors="replace"))
    if status is not None and result.status != status:
        raise AssertionError(f"{' '.join(program)[:300]}: expected status {status}, got {result.text()}")
    if quiet and "uvfio" in result.err:
        raise AssertionError(f"{' '.join(program)[:300]}: unexpected message: {result.text()}")
    return result


class Interactive:
    """A client under uvfio that reads commands from its standard input."""

    def __init__(self, *program, devices=(), options=(), env=None):
        self.process = subprocess.Popen(command(*program, devices=devices, options=options), stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=env)
        os.set_blocking(self.process.stdout.fileno(), False)
        self.output = ""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            with contextlib.suppress(ProcessLookupError, AssertionError):
                os.kill(self.pid(), signal.SIGKILL)
            try:
                self.process.wait(10)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        self.process.stdin.close()
        self.process.stdout.close()

    def pid(self):
        """The client itself: the child of `uvfio run`."""
        with open(f"/proc/{self.process.pid}/task/{self.process.pid}/children", encoding="ascii") as children:
            pids = children.read().split()
        equal(len(pids), 1, "children of uvfio run")
        return int(pids[0])

    def wait_for(self, text, timeout=30):
        """Read up to and with text; returns what came before it."""
        end = time.monotonic() + timeout
        while text not in self.output:
            chunk = self.process.stdout.read()
            if chunk:
                self.output += chunk.decode(errors="replace")
            elif chunk == b"" or time.monotonic() > end:
                raise AssertionError(f"{text!r} did not come: {self.output[-2000:]}")
            else:
                time.sleep(0.002)
        before, _, self.output = self.output.partition(text)
        return before

    def send(self, line):
        self.process.stdin.write(line.encode() + b"\n")
        self.process.stdin.flush()


def image(directory, name, size, fill=None):
    """A file of size bytes: sparse, or filled by fill(offset, length)."""
    path = os.path.join(directory, name)
    with open(path, "wb") as out:
        if fill:
            for offset in range(0, size, MIB):
                out.write(fill(offset, min(MIB, size - offset)))
        out.truncate(size)
    return path


def read(path):
    with open(path, "rb") as file:
        return file.read()


def same_bytes(got, expected, what):
    """Byte by byte; the report names the first difference."""
    if got == expected:
        return
    equal(len(got), len(expected), f"{what}: length")
    at = next(i for i in range(len(got)) if got[i] != expected[i])
    raise AssertionError(f"{what}: byte {at:#x} is {got[at]:#04x}, expected {expected[at]:#04x}")


def same_files(a, b):
    with open(a, "rb") as left, open(b, "rb") as right:
        offset = 0
        while True:
            x, y = left.read(4 * MIB), right.read(4 * MIB)
            same_bytes(x, y, f"{a} against {b}, from {offset:#x}")
            if not x:
                return
            offset += len(x)
