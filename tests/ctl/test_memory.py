# SPDX-License-Identifier: BSD-2-Clause
"""`uvfio ctl memory`: what is mapped, pinned and charged. UVFIO CLIENT PLUGIN MANPAGE as for harness.py."""
import os
import re
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'cli'))
from harness import STATIC as PLUGIN, main, test  # pylint: disable=wrong-import-position
from session import Session  # pylint: disable=wrong-import-position

HEADING = 'CONTAINER    MAPPED       BY-DOMAINS   BY-DRIVERS   CHARGED      MEMORY-OF'


def start():
    return Session(options=('--device', f'{PLUGIN},type=none', '--device', 'nvme,size=16M'))


def look(session, line, *rows):
    """The program says line; then the listing has to have these rows: container, four numbers of pages, whose."""
    session.says(line)
    listing = session.ctl('memory').stdout.splitlines()
    assert listing[0] == HEADING, listing
    assert len(listing) == len(rows) + 1, listing
    for text, (name, *pages, whose) in zip(listing[1:], rows):
        numbers = ' +'.join(str(n * 4096) for n in pages)
        assert re.fullmatch(rf'\d+\.{name} +{numbers} +{whose}', text), (line, listing, pages)
    session.process.stdin.write('\n')
    session.process.stdin.flush()


@test
def every_step():
    own, exited = r'process \d+', r'process \d+ \(exited\)'
    with start() as s:
        look(s, 'mapped', ('1', 2, 0, 0, 0, own))
        look(s, 'pinned', ('1', 2, 0, 1, 1, own))
        look(s, 'plugged', ('1', 2, 2, 1, 2, own))
        look(s, 'unplugged', ('1', 2, 0, 1, 1, own))
        look(s, 'unmapped', ('1', 0, 0, 0, 0, '-'))
        look(s, 'in a child', ('2', 1, 1, 0, 1, own), ('2', 1, 1, 0, 1, own))
        look(s, 'without it', ('2', 1, 1, 0, 1, own), ('2', 1, 1, 0, 1, exited))
        look(s, 'killed', ('3', 0, 0, 0, 0, '-'))
        look(s, 'shared', (r'i1\.\d+', 2, 0, 0, 0, own), (r'i1\.\d+', 1, 0, 0, 0, own))
        # The second has the device; the pages that they share are charged to the first.
        look(s, 'attached', (r'i1\.\d+', 2, 0, 0, 1, own), (r'i1\.\d+', 1, 1, 0, 0, own))
        s.process.wait(30)
        assert s.ctl('memory').returncode == 1
        s.end()


sys.exit(main())
