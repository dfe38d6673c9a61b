# SPDX-License-Identifier: BSD-2-Clause
"""What the tests of the uvfio command share: TAP, a scratch place for each run, what is expected of a run.

A test script is called with UVFIO PROGRAM STATIC_PROGRAM MANPAGE MISTAKES.
"""
import os
import shutil
import signal
import subprocess
import sys
import tempfile

# Tests send them; whoever runs the tests may have ignored them (nohup, a shell's &), and programs inherit that.
for _signal in (signal.SIGHUP, signal.SIGQUIT):
    signal.signal(_signal, signal.SIG_DFL)
signal.signal(signal.SIGINT, signal.default_int_handler)

UVFIO, PROGRAM, STATIC, MANPAGE = [os.path.abspath(p) for p in sys.argv[1:5]]
TESTS = []


class Skip(Exception):
    pass


def test(function):
    TESTS.append(function)
    return function


class Place:
    """A scratch directory, and a temporary directory for sessions that has to be empty at the end."""

    def __enter__(self):
        self.dir = tempfile.mkdtemp(prefix='test-cli-')
        os.chmod(self.dir, 0o755)
        self.tmp = os.path.join(self.dir, 'tmp')
        os.mkdir(self.tmp)
        os.chmod(self.tmp, 0o1777)
        return self

    def __exit__(self, kind, value, trace):
        left = os.listdir(self.tmp) if os.path.isdir(self.tmp) else []
        shutil.rmtree(self.dir, ignore_errors=True)
        if kind is None:
            assert not left, f'left behind: {left}'

    def path(self, name, data=None, mode=0o644):
        path = os.path.join(self.dir, name)
        if data is not None:
            with open(path, 'wb') as f:
                f.write(data)
            os.chmod(path, mode)
        return path

    def copy(self, source, name, mode=0o755):
        with open(source, 'rb') as f:
            return self.path(name, f.read(), mode)

    def environment(self, extra=None):
        env = {**os.environ, 'TMPDIR': self.tmp, **(extra or {})}
        return {k: v for k, v in env.items() if v is not None}

    def run(self, *args, env=None, **how):
        return subprocess.run([UVFIO, *args], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, env=self.environment(env), timeout=60, text=True,
                              cwd=how.pop('cwd', self.dir), **how)

    def start(self, *args, **how):
        return subprocess.Popen([UVFIO, *args], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                env=self.environment(), text=True, cwd=self.dir, **how)


def expect(result, status, stderr=None, stdout=None):
    assert result.returncode == status, f'exit status {result.returncode}, not {status}: {result.stderr}'
    if stderr is not None:
        assert result.stderr == stderr, f'standard error is\n{result.stderr}instead of\n{stderr}'
    if stdout is not None:
        assert result.stdout == stdout, f'standard output is {result.stdout!r}, not {stdout!r}'


def main():
    """Run every test of the script; the exit status."""
    failed = 0
    print(f'1..{len(TESTS)}')
    for number, function in enumerate(TESTS, 1):
        try:
            function()
            print(f'ok {number} - {function.__name__}', flush=True)
        except Skip as reason:
            print(f'ok {number} - {function.__name__} # SKIP {reason}', flush=True)
        except Exception as error:  # pylint: disable=broad-except
            failed += 1
            print(f'not ok {number} - {function.__name__}')
            for line in f'{type(error).__name__}: {error}'.splitlines():
                print('#', line, flush=True)
    return 1 if failed else 0
