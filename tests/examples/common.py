# SPDX-License-Identifier: BSD-2-Clause
"""What the tests for device authors share: an installed copy, compilers, the command.

A test script is called with BUILD SOURCE, speaks TAP, and works in an empty directory outside the tree.
"""
import os
import shutil
import signal
import subprocess
import sys
import tempfile

BUILD, SOURCE = [os.path.abspath(path) for path in sys.argv[1:3]]
sys.path.insert(0, os.path.join(SOURCE, "tests", "clients"))
import harness  # noqa: E402
from harness import Skip, case, equal  # noqa: E402,F401  pylint: disable=unused-import

STRICT = ["-Wall", "-Wextra", "-Werror"]
C_COMPILERS = [compiler for compiler in ("gcc", "clang") if shutil.which(compiler)]
CXX_COMPILERS = [compiler for compiler in ("g++", "clang++") if shutil.which(compiler)]


class Installation:
    """uvfio as `meson install` leaves it, below a directory of its own."""

    def __init__(self):
        self.root = tempfile.mkdtemp(prefix="uvfio-examples-")
        os.chmod(self.root, 0o755)
        done = subprocess.run(["meson", "install", "-C", BUILD, "--no-rebuild", "--quiet", "--destdir", self.root],
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
        if done.returncode:
            raise AssertionError(f"meson install: {done.stdout}")
        self.bin = self.directory_of("bin", "uvfio")
        self.examples = self.directory_of("examples", "skeleton.c")
        self.tmp = os.path.join(self.root, "tmp")
        os.mkdir(self.tmp)
        # pkg-config puts the root in front of what uvfio.pc says.
        self.environment = {**os.environ, "PKG_CONFIG_PATH": self.directory_of("pkgconfig", "uvfio.pc"),
                            "PKG_CONFIG_SYSROOT_DIR": self.root, "TMPDIR": self.tmp, "LC_ALL": "C.UTF-8",
                            "PATH": self.bin + os.pathsep + os.environ["PATH"]}
        self.environment.pop("UVFIO_PRELOAD", None)

    def directory_of(self, name, file):
        for directory, _, files in os.walk(self.root):
            if os.path.basename(directory) == name and file in files:
                return directory
        raise AssertionError(f"{name}/{file} was not installed")

    def run(self, *words, cwd, status=0, timeout=120):
        """Run a command; its result. Its status has to be this one, None: any."""
        done = subprocess.run(words, cwd=cwd, env=self.environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, text=True, timeout=timeout, check=False)
        result = harness.Result(done.returncode, done.stdout, done.stderr)
        if status is not None and done.returncode != status:
            raise AssertionError(f"{' '.join(words)}: expected status {status}, got {result.text()}")
        return result

    def flags(self):
        return self.run("pkg-config", "--cflags", "uvfio", cwd=self.root).out.split()

    def plug_in(self, directory, name, text=None, compiler="gcc", options=()):
        """Build NAME.so from NAME.c, or from this text; its path."""
        source = os.path.join(directory, name + (".cc" if compiler in CXX_COMPILERS else ".c"))
        if text is not None:
            with open(source, "w", encoding="utf-8") as out:
                out.write(text)
        target = os.path.join(directory, name + ".so")
        self.run(compiler, *STRICT, *options, *self.flags(), "-fPIC", "-shared", "-o", target, source, cwd=directory)
        return target

    def copy_examples(self, directory):
        shutil.copytree(self.examples, directory, dirs_exist_ok=True)

    def make_examples(self, directory):
        self.copy_examples(directory)
        self.run("make", cwd=directory)

    def remove(self):
        shutil.rmtree(self.root)


class Running:
    """A program under uvfio run, in a process group of its own, until it is ended. WHOLE: a signal goes to the group."""

    def __init__(self, installation, directory, *words, stdin=subprocess.DEVNULL, whole=False):
        self.installation, self.whole = installation, whole
        self.process = subprocess.Popen(["uvfio", "run", *words], cwd=directory, env=installation.environment, stdin=stdin,
                                        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, bufsize=1,
                                        start_new_session=True)

    def __enter__(self):
        return self

    def __exit__(self, kind, value, trace):
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
            for name in os.listdir(self.installation.tmp):
                shutil.rmtree(os.path.join(self.installation.tmp, name))
        self.process.communicate()

    def looping(self):
        equal(self.process.stdout.readline(), "looping\n", "standard output")

    def error(self):
        return self.process.stderr.readline().rstrip("\n")

    def ends(self, sig, status):
        (os.killpg if self.whole else os.kill)(self.process.pid, sig)
        self.process.wait(60)  # with its standard input open: its end is another reason to end
        err = self.process.stderr.read()
        equal(self.process.returncode, status, f"the status after {sig!r}; standard error {err!r}")
        return err


def default_signals():
    """Those that a terminal sends, whatever the caller has set."""
    for sig in (signal.SIGHUP, signal.SIGQUIT):
        signal.signal(sig, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)


def main(installation):
    try:
        harness.main()
    finally:
        left = os.listdir(installation.tmp)
        installation.remove()
        if left:
            print(f"not ok - sessions are left behind: {left}")
            sys.exit(1)
