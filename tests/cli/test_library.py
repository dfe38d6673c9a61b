#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""libuvfio.so: it exports what its headers declare and nothing else; a program builds from a header alone.

    test_library.py LIBRARY INCLUDE VERSION

INCLUDE is the directory of uvfio/.

Speaks TAP.
"""
import os
import re
import subprocess
import sys
import tempfile

LIBRARY, INCLUDE, VERSION = sys.argv[1:4]
HEADERS = ['machine.h', 'kvm.h']
PROGRAM = r'''
#include <uvfio/machine.h>
#include <stdio.h>

int main(void)
{
	char err[256];
	struct uvfio_machine *machine = uvfio_machine_new("device nosuch", err, sizeof(err));

	printf("%s: %s\n", uvfio_version(), machine ? "made" : err);
	return 0;
}
'''


def headers():
    return ''.join(open(os.path.join(INCLUDE, 'uvfio', name)).read() for name in HEADERS)


def exported():
    text = subprocess.run(['nm', '-D', '--defined-only', LIBRARY], check=True, capture_output=True, text=True).stdout
    return sorted(line.split()[-1] for line in text.splitlines())


def test_exports():
    declared = sorted(set(re.findall(r'^UVFIO_PUBLIC .*?\b(uvfio_\w+)\(', headers(), re.M)))
    assert len(declared) >= 10, declared
    assert exported() == declared, f'exported {exported()}, declared {declared}'


def test_every_call_is_documented():
    text = headers()
    for name in exported():
        comment = re.search(r'/\*\*\n \* ' + name + r'\(\) - .*?\*/', text, re.S)
        assert comment, f'{name} has no comment'
        declaration = re.search(name + r'\((.*?)\);', text[comment.end():], re.S).group(1)
        for argument in re.findall(r'\b(\w+)(?:,|$)', declaration):
            assert argument == 'void' or f'@{argument}:' in comment.group(0), f'{name}: {argument}'


def test_soname():
    text = subprocess.run(['readelf', '-d', LIBRARY], check=True, capture_output=True, text=True).stdout
    assert 'soname: [libuvfio.so.0]' in text, text


def test_c_program():
    with tempfile.TemporaryDirectory() as place:
        source = os.path.join(place, 'program.c')
        with open(source, 'w') as f:
            f.write(PROGRAM)
        program = os.path.join(place, 'program')
        subprocess.run(['cc', '-Wall', '-Wextra', '-Werror', '-pedantic', '-I', INCLUDE, source, LIBRARY,
                        '-o', program], check=True)
        env = dict(os.environ, LD_LIBRARY_PATH=os.path.dirname(os.path.abspath(LIBRARY)))
        result = subprocess.run([program], env=env, capture_output=True, text=True)
        expected = f'{VERSION}: there is no device model nosuch: known are nvme, ioat, mtty, and plug-ins by their path, ./NAME.so\n'
        assert result.stdout == expected and not result.stderr, result


def main():
    tests = [test_exports, test_every_call_is_documented, test_soname, test_c_program]
    failed = 0
    print(f'1..{len(tests)}')
    for number, test in enumerate(tests, 1):
        try:
            test()
            print(f'ok {number} - {test.__name__}')
        except Exception as error:  # pylint: disable=broad-except
            failed = 1
            print(f'not ok {number} - {test.__name__}')
            for line in f'{type(error).__name__}: {error}'.splitlines():
                print('#', line)
    return failed


sys.exit(main())
