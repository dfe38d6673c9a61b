# SPDX-License-Identifier: BSD-2-Clause
"""`uvfio ctl tce`: DMA windows, registered memory and calls. UVFIO CLIENT - MANPAGE as for harness.py."""
import os
import re
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'cli'))
from harness import main, test  # pylint: disable=wrong-import-position
from session import Session  # pylint: disable=wrong-import-position

HEADING = 'CONTAINER    DMA WINDOWS, REGISTERED MEMORY, CALLS'
PENDING = 'window 0: the default window, not in use so far'
DEFAULT = r'window 0: 0x0-0x7fffffff, pages of 4 KiB, levels: 1, entries: {} of 524288'
TABLE = r'  put: {}, cleared: {}; tables of {} KiB, charged as {} KiB; attachments: 0'
TIERS = r'  calls: in the fast tier: 0, in the slow tier: 0, in user space: {}'
REGISTERED = r'registered: 0x[0-9a-f]+-0x[0-9a-f]+ of process \d+{}, {} KiB, for pages up to 64 KiB; entries into it: {}'
CALLS = 'calls that mapped: {}, unmapped: {}, made windows: {}, removed windows: {}'


def look(session, line, *rows, charged=None):
    """The program says line; then the listing has to have these rows, of containers by their numbers."""
    session.says(line)
    listing = session.ctl('tce').stdout.splitlines()
    assert listing[0] == HEADING, listing
    assert len(listing) == len(rows) + 1, listing
    for text, (number, row) in zip(listing[1:], rows):
        assert re.fullmatch(rf'\d+\.{number} +{row}', text), (line, text, row)
    if charged is not None:
        usage = session.ctl('memory').stdout.splitlines()[1:]
        assert [int(row.split()[4]) for row in usage] == charged, (usage, charged)
    session.process.stdin.write('\n')
    session.process.stdin.flush()


def start(*options):
    return Session(options=(*options, '--device', 'nvme,size=16M', '--device', 'nvme,size=16M', '--iommu', 'type=spapr'))


@test
def every_step():
    table = 2 * 524288 * 8  # of a default window, with its view
    with start('--summary') as s:
        look(s, 'set', (1, PENDING), (1, CALLS.format(0, 0, 0, 0)), charged=[0])
        look(s, 'registered', (1, PENDING), (1, REGISTERED.format('', 1024, 0)),
             (1, REGISTERED.format('', 16, 0).replace('up to 64', 'up to 4')), (1, CALLS.format(0, 0, 0, 0)),
             charged=[(1 << 20) + 16384])
        look(s, 'mapped', (1, r'window 0: 0x0-0x3fffffff, pages of 64 KiB, levels: 2, entries: 0 of 16384'),
             (1, TABLE.format(0, 0, 0, 264)), (1, TIERS.format(0)),
             (1, r'window 1: 0x800000000000000-0x80000003fffffff, pages of 64 KiB, levels: 2, entries: 7 of 16384'),
             (1, TABLE.format(9, 2, 12, 264)), (1, TIERS.format(3)), (1, REGISTERED.format('', 1024, 7)), (1, CALLS.format(2, 1, 2, 1)))
        look(s, 'removed', (1, r'window 0: .*'), (1, TABLE.format(0, 0, 0, 264)), (1, TIERS.format(0)),
             (1, CALLS.format(2, 1, 2, 2)))
        look(s, 'enabled', (2, DEFAULT.format(16)), (2, TABLE.format(16, 0, 8192, 8192)), (2, TIERS.format(1)),
             (2, r'enabled: 2097152 KiB are charged'), (2, CALLS.format(1, 0, 0, 0)), charged=[(2 << 30) + table])
        other = [(4, PENDING), (4, REGISTERED.format('', 128, 0)), (4, CALLS.format(0, 0, 0, 0))]
        childs = [(3, DEFAULT.format(64)), (3, TABLE.format(64, 0, 8192, 8192)), (3, TIERS.format(1)), (3, REGISTERED.format('', 256, 64)),
                  (3, CALLS.format(1, 0, 0, 0))]
        look(s, 'in a child', *childs, *other, charged=[table + (256 << 10), 128 << 10])
        childs[3] = (3, REGISTERED.format(r' \(exited\)', 256, 64))
        other = [(4, DEFAULT.format(32)), (4, TABLE.format(32, 0, 8192, 8192)), (4, TIERS.format(1)), (4, REGISTERED.format('', 128, 32)),
                 (4, CALLS.format(1, 0, 0, 0))]
        look(s, 'without it', *childs, *other)
        look(s, 'given back', (4, DEFAULT.format(16)), (4, TABLE.format(48, 16, 8192, 8192)), (4, TIERS.format(3)),
             (4, REGISTERED.format('', 128, 16)), (4, CALLS.format(2, 1, 0, 0)))
        look(s, 'its own', (5, DEFAULT.format(64)), (5, TABLE.format(64, 0, 8192, 8192)), (5, TIERS.format(1)), (5, REGISTERED.format('', 256, 64)),
             (5, CALLS.format(1, 0, 0, 0)), charged=[table + (256 << 10)])
        both = [(6, PENDING), (6, REGISTERED.format('', 256, 0)), (6, CALLS.format(0, 0, 0, 0))]
        left = [(7, PENDING), (7, REGISTERED.format('', 256, 0)), (7, CALLS.format(0, 0, 0, 0))]
        look(s, 'shared', *both, *left, charged=[256 << 10, 0])
        look(s, 'left', *left, charged=[256 << 10])
        s.process.wait(30)
        # A mapping is an entry; one that replaces another unmaps that, too.
        said = s.end()
        assert '\n  mappings    201 made, 41 unmapped by the program, 160 left to the container, 0 left at exit\n' in said, said


@test
def other_machines_have_none():
    with Session('waiting') as s:
        s.says('waiting')
        assert s.ctl('tce').stdout == HEADING + '\nno sPAPR TCE containers\n'
        assert len(s.ctl('mappings').stdout.splitlines()) == 1
        s.end()


sys.exit(main())
