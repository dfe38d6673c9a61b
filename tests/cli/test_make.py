#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""make and scripts/setup on a machine that lacks what they need, played by a directory of commands that do as told.

    test_make.py SOURCE

Speaks TAP.
"""
import os
import shutil
import subprocess
import sys
import tempfile

SOURCE = os.path.abspath(sys.argv[1])
MISSING = 'some packages are missing; as root, please run:\n    apt-get update && apt-get install -y '


class Machine:
    """Commands of the system, and instead of some of them scripts."""

    def __init__(self, **scripts):
        self.scripts = {name.replace('_', '-'): text for name, text in scripts.items()}

    def __enter__(self):
        self.dir = tempfile.mkdtemp(prefix='test-make-')
        for name in ('bash', 'sh', 'sed', 'tr', 'grep', 'cat', 'mkdir', 'touch', 'rm', 'tail', 'make', 'env'):
            os.symlink(shutil.which(name), self.path(name))
        for name, text in self.scripts.items():
            with open(self.path(name), 'w') as f:
                f.write('#!/bin/sh\n' + text)
            os.chmod(self.path(name), 0o755)
        return self

    def __exit__(self, *exc):
        shutil.rmtree(self.dir)

    def path(self, name):
        return os.path.join(self.dir, name)

    def run(self, *command):
        return subprocess.run(command, cwd=SOURCE, env={'PATH': self.dir, 'HOME': self.dir}, text=True, timeout=60,
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)


def test_no_temporary_file():
    with Machine(dpkg_query='echo installed bash', id='echo 0', mktemp='exit 1') as m:
        result = m.run('scripts/setup', 'build')
        assert result.returncode == 1, result
        assert result.stdout.splitlines()[-1] == ('scripts/setup: no temporary file can be made: set TMPDIR to a '
                                                  'directory that can be written'), result.stdout


def test_make_without_packages():
    with Machine(dpkg_query='echo installed bash', id='echo 1000') as m:
        result = m.run('make', 'BUILD=' + m.path('build'))
        assert result.returncode and result.stdout.startswith(MISSING), result
    with Machine(dpkg_query='echo installed bash', id='echo 1000', meson='echo no library; exit 1') as m:
        result = m.run('make', 'BUILD=' + m.path('build'))
        assert result.returncode and result.stdout.startswith(MISSING), result


def test_make_says_what_meson_says():
    packages = subprocess.run(['sed', '-n', r'/^packages/,/^END/s/^\([a-z0-9-]*\)  .*/\1/p', 'scripts/setup'], cwd=SOURCE,
                              stdout=subprocess.PIPE, text=True, check=True).stdout.split()
    there = 'echo "' + '\n'.join('installed ' + p for p in packages) + '"'
    with Machine(dpkg_query=there, id='echo 1000', meson='echo something else; exit 1') as m:
        result = m.run('make', 'BUILD=' + m.path('build'))
        assert result.returncode and result.stdout.startswith('something else\n'), result


def test_install_is_quiet():
    with Machine(meson='echo one; echo two; echo >> $0.log', ninja='echo three') as m:
        os.mkdir(m.path('build'))
        open(m.path('build/build.ninja'), 'w').close()
        result = m.run('make', '-s', 'install', 'BUILD=' + m.path('build'), 'PREFIX=/somewhere')
        assert result.returncode == 0 and os.path.getsize(m.path('meson.log')) == 2, result
        # ninja's own words belong to the build
        assert result.stdout == 'three\ninstalled: /somewhere/bin/uvfio\n', result
    with Machine(meson='echo bad; exit 1', ninja=':') as m:
        os.mkdir(m.path('build'))
        open(m.path('build/build.ninja'), 'w').close()
        result = m.run('make', '-s', 'install', 'BUILD=' + m.path('build'))
        assert result.returncode and result.stdout.startswith('bad\n'), result


def test_tests_are_enabled_once():
    # As the real ones do: what meson configures, ninja writes into build.ninja.
    with Machine(meson='echo words; touch $0.configured', ninja='[ ! -e ${0%ninja}meson.configured ] || '
                 '{ echo words; rm ${0%ninja}meson.configured; touch $2/build.ninja; }') as m:
        os.mkdir(m.path('build'))
        open(m.path('build/build.ninja'), 'w').close()
        for target in m.path('build/tests.enabled'), 'all':
            result = m.run('make', '-s', target, 'BUILD=' + m.path('build'))
            assert result.returncode == 0 and result.stdout == '', result
        result = m.run('make', '-q', m.path('build/tests.enabled'), 'BUILD=' + m.path('build'))
        assert result.returncode == 0, result


def main():
    tests = [test_no_temporary_file, test_make_without_packages, test_make_says_what_meson_says, test_install_is_quiet,
             test_tests_are_enabled_once]
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
