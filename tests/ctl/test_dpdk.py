# SPDX-License-Identifier: BSD-2-Clause
"""DPDK's hot-unplug: an application parts with its device when `uvfio ctl remove` asks for it, and when it is lost."""
import os
import shutil
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'cli'))
from harness import expect, main, test  # pylint: disable=wrong-import-position
from session import Session  # pylint: disable=wrong-import-position

BDF = '0000:00:01.0'


class Dpdk(Session):
    """The application, with DPDK's own files in the scratch directory."""

    def __init__(self):
        self.prefix = f'uvfio-ctl-{os.getpid()}'
        super().__init__('--no-huge', '-m', '64', '--iova-mode=va', '--no-telemetry', f'--file-prefix={self.prefix}', '-a', BDF,
                         options=('--device', 'ioat'))

    def environment(self, extra=None):
        return super().environment({'XDG_RUNTIME_DIR': self.dir, 'RUNTIME_DIRECTORY': self.dir, **(extra or {})})

    def __exit__(self, kind, value, trace):
        shutil.rmtree(f'/var/run/dpdk/{self.prefix}', ignore_errors=True)
        super().__exit__(kind, value, trace)

    def comes_to(self, line):
        """Read up to this line; DPDK's libraries may say things before."""
        said = []
        for text in self.process.stdout:
            said.append(text.rstrip())
            if said[-1] == line:
                return
        raise AssertionError(f'the program never says {line!r}: {said} {self.process.stderr.read()}')


def unplug(*how):
    with Dpdk() as s:
        s.comes_to('ready')
        assert 'open in process' in s.ctl('devices').stdout
        expect(s.ctl('remove', BDF, *how), 0, '', '')
        s.comes_to(f'event: remove {BDF}')
        s.comes_to('rte_dev_remove 0')
        s.wait_until(lambda: not s.entries('sys', 'bus', 'pci', 'devices'), 'the device is gone')
        assert BDF not in s.ctl('devices').stdout
        s.end()


@test
def orderly_removal_is_an_event():
    unplug()


@test
def surprise_removal_is_survived():
    unplug('--surprise')


sys.exit(main())
