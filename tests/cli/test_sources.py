# SPDX-License-Identifier: BSD-2-Clause
"""What stands behind a table of operations is known in its own files, and where the table is registered. SOURCES: the tree's."""
import os
import re
import sys

ROOT = os.path.join(sys.argv[1], 'src')
NAME = re.compile(r'spapr|papr|\btce', re.IGNORECASE)
OWN = re.compile(r'(iommu|kvm)/spapr/|vfio/(test_)?(container_)?spapr|machine/(test_)?iommu_spapr|kvm/test_public\.c$')
LINES = {
    # each of them registers a table
    'vfio/container.c': 1,  # containers
    'vfio/vfio.h': 1,
    'kvm/arch.c': 1,  # ioctls, capabilities and attributes of VMs, hypercalls
    'machine/iommu_options.c': 1,  # --iommu type=
    'machine/config.h': 1,
    # names, for messages and traces
    'uapi/requests.c': 9,
    'uapi/type1_text.c': 2,
    # uvfio ctl tce
    'cli/ctl.c': 2,
    'cli/ctl_ops.c': 1,
    'machine/listing.c': 2,
}
CONDITION = re.compile(r'#\s*(if|elif)(?!ndef UVFIO_\w+_H$)')


def sources():
    for folder, _, names in os.walk(ROOT):
        for name in names:
            path = os.path.relpath(os.path.join(folder, name), ROOT)
            if name.endswith(('.c', '.h')):
                with open(os.path.join(ROOT, path), encoding='utf-8') as file:
                    yield path, file.read().splitlines()


def registered():
    found = {}
    for path, lines in sources():
        count = sum(1 for line in lines if NAME.search(line))
        if count and not OWN.match(path):
            found[path] = count
    assert found == LINES, {path: (found.get(path), LINES.get(path)) for path in found.keys() | LINES if found.get(path) != LINES.get(path)}


def no_conditions():
    for path, lines in sources():
        if OWN.match(path) and not os.path.basename(path).startswith('test_'):
            for line in lines:
                assert not CONDITION.match(line), (path, line)


TESTS = [registered, no_conditions]
print(f'1..{len(TESTS)}')
failed = False
for number, test in enumerate(TESTS, 1):
    try:
        test()
        print(f'ok {number} - {test.__name__}')
    except AssertionError as e:
        failed = True
        print(f'not ok {number} - {test.__name__}\n# {e}')
sys.exit(failed)
