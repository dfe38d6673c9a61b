# SPDX-License-Identifier: BSD-2-Clause
"""A running session with --ctl, for the tests of this directory."""
import os
import subprocess
import time

from harness import PROGRAM, UVFIO, Place


class Session(Place):
    """A program in a session with --ctl, in a place of its own."""

    def __init__(self, *program, options=('--device', 'nvme,size=16M')):
        self.program = program
        self.options = options

    def __enter__(self):
        super().__enter__()
        self.process = subprocess.Popen([UVFIO, 'run', '--ctl', *self.options, '--', PROGRAM, *self.program],
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                        env=self.environment(), text=True, cwd=self.dir)
        line = self.process.stderr.readline()
        assert line.startswith('uvfio: ctl: '), line
        self.socket = line[len('uvfio: ctl: '):].rstrip()
        self.session = os.path.dirname(self.socket)
        return self

    def __exit__(self, kind, value, trace):
        if self.process.poll() is None:
            self.process.kill()
        self.process.communicate()
        if kind is not None or self.process.returncode < 0:
            for name in os.listdir(self.tmp):
                subprocess.run(['rm', '-rf', os.path.join(self.tmp, name)], check=False)
        super().__exit__(kind, value, trace)

    def ctl(self, *words):
        return self.run('ctl', *words)

    def says(self, *lines):
        for line in lines:
            said = self.process.stdout.readline().rstrip('\n')
            assert said == line, f'the program says {said!r}, not {line!r}'

    def end(self, status=0):
        out, err = self.process.communicate('\n\n', timeout=30)
        assert self.process.returncode == status, (self.process.returncode, out, err)
        return out + err

    def entries(self, *path):
        return sorted(os.listdir(os.path.join(self.session, *path)))

    def wait_until(self, condition, what):
        for _ in range(500):
            if condition():
                return
            time.sleep(0.02)
        raise AssertionError(f'never: {what}')
