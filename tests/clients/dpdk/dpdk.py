# SPDX-License-Identifier: BSD-2-Clause
"""What the tests with DPDK share: its programs under `uvfio run`, and what they say.

    UVFIO_DPDK_ROUNDS    how often the long tests are done, one after the other; default 1
"""
import os
import re
import shutil
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
import harness  # noqa: E402
from harness import Skip, equal  # noqa: E402

ROUNDS = int(os.environ.get("UVFIO_DPDK_ROUNDS", "1"))
IDS = {"3.3": "2021", "3.4": "0b00"}


class Dpdk:
    """A DPDK: how its programs are called, and what they are given in front of a test's own options."""

    memory = ["--no-huge", "-m", "64", "--iova-mode=va"]
    runs = 0

    def program(self, name):
        return [name]

    def need(self, name):
        """The program and the driver for the copy engine are there, or the case is skipped."""
        if not shutil.which(name):
            raise Skip(f"there is no {name}: install dpdk-dev")
        known = subprocess.run(["ldconfig", "-p"], stdout=subprocess.PIPE, text=True, check=False,
                               env={"PATH": "/sbin:/usr/sbin:/bin:/usr/bin"}).stdout
        if "librte_dma_ioat.so" not in known:
            raise Skip("DPDK has no driver for the copy engine here: install librte-dma-ioat23")

    def check_dmadev(self, text, number, profile):
        """What dmadev_autotest says of one engine."""
        contains(text, *[f"DMA Dev {number}: Running {what} Tests" for what in ("copy", "burst capacity", "fill")],
                 f"DMA Dev {number}: Running error handling Tests (errors expected)" if profile == "3.4" else
                 f"DMA Dev {number}: device does not report errors, skipping error handling tests")

    def run(self, directory, name, *eal, more=(), devices=(), env=None, text="", timeout=400):
        """Run a program; its output comes line by line, without lines of progress. Its status has to be 0."""
        self.need(name)
        # Others may run at the same time: files have names, and a directory, of their own.
        Dpdk.runs += 1
        prefix = f"uvfio-{os.getpid()}-{Dpdk.runs}"
        words = harness.command(*self.program(name), *self.memory, f"--file-prefix={prefix}", *eal, *more, devices=devices)
        environment = {**os.environ, "XDG_RUNTIME_DIR": directory, "RUNTIME_DIRECTORY": directory, **(env or {})}
        with open(os.path.join(directory, "out"), "w+b") as out, open(os.path.join(directory, "err"), "w+b") as err:
            try:
                done = subprocess.run(words, input=text.encode(), stdout=out, stderr=err, timeout=timeout, check=False,
                                      env=environment, cwd=directory)
            finally:
                shutil.rmtree(f"/var/run/dpdk/{prefix}", ignore_errors=True)
            result = harness.Result(done.returncode, lines_of(out), lines_of(err))
        if result.status:
            raise AssertionError(f"{' '.join(words)}: {result.text()}")
        return result


def lines_of(file):
    file.seek(0)
    return "\n".join(line for line in re.split(r"[\r\n]+", file.read().decode(errors="replace"))
                     if line and not line.startswith("Ops submitted"))


def contains(text, *wanted):
    """Each of these is in a line of the text, to its end."""
    lines = [line.strip() for line in text.splitlines()]
    missing = [want for want in wanted if not any(line.endswith(want) for line in lines)]
    if missing:
        raise AssertionError(f"{missing} not in\n{text[-4000:]}")


def engines(profiles):
    """Options of --device for engines with these profiles, and their addresses."""
    return ([f"ioat,profile={profile}" for profile in profiles],
            [f"0000:00:{number:02x}.0" for number in range(1, len(profiles) + 1)])


def allow(addresses):
    return [word for address in addresses for word in ("-a", address)]


def check_probe(result, addresses):
    contains(result.err, "EAL: Selected IOVA mode 'VA'", "EAL: VFIO support initialized", "Using IOMMU type 1 (Type 1)",
             *[f": ioat_dmadev_probe(): Init {address} on NUMA node -1" for address in addresses])


def check_messages(result, profiles, addresses):
    """The tests of errors copy from address 0, once reported for each engine that has them; there is nothing else."""
    ours = [line for line in result.err.splitlines() if line.startswith("uvfio")]
    expected = [address for profile, address in zip(profiles, addresses) if profile == "3.4"]
    equal(len(ours), len(expected), f"messages {ours}")
    for line, address in zip(ours, expected):
        assert re.match(rf"uvfio: {address}: DMA fault: read of \d+ bytes at IOVA 0 failed at 0 \(copy\): ", line), line


# DPDK's driver forgets a completion when an operation is done between its restart of a failed channel and its next call:
# when it is not scheduled for longer in between than the engine waits, on a busy machine. It does so on hardware, too.
FORGOTTEN = re.compile(r"test_single_item_status_query_with_failure:\d+ - Error, incorrect number of completions received, "
                       r"got 15 not 16")


def dmadev_autotest(directory, profiles, more=(), dpdk=Dpdk()):
    """DPDK's own tests for DMA devices, on engines with these profiles beside more devices."""
    devices, addresses = engines(profiles)
    for last in (False, False, True):
        try:
            result = dpdk.run(directory, "dpdk-test", *allow(addresses), devices=[*devices, *more],
                              env={"DPDK_TEST": "dmadev_autotest"})
            break
        except AssertionError as error:
            if last or "3.4" not in profiles or not FORGOTTEN.search(str(error)):
                raise
            print("# DPDK's driver forgot a completion: again")
    check_probe(result, addresses)
    contains(result.out, "Test OK")
    for number, (profile, address) in enumerate(zip(profiles, addresses)):
        contains(result.out + result.err, f"### Test dmadev instance {number} [{address}]")
        dpdk.check_dmadev(result.out + "\n" + result.err, number, profile)
    check_messages(result, profiles, addresses)


def testpmd(directory, profiles, *eal, commands="show device info all", dpdk=Dpdk()):
    """dpdk-testpmd with engines with these profiles, and an NVMe controller, on its bus."""
    devices, _ = engines(profiles)
    result = dpdk.run(directory, "dpdk-testpmd", *eal, "--log-level=lib.eal:8", "--log-level=bus.pci:8",
                      more=["--", "-i", "--total-num-mbufs=2048"], devices=[*devices, "nvme,size=16M"],
                      text=commands + "\nquit\n", timeout=120)
    assert result.out.rstrip().endswith("Bye..."), result.out[-500:]
    check_messages(result, (), ())
    return result


def listed(result):
    """Address, vendor, device and driver of each device that testpmd knows."""
    return [(address, vendor, device.zfill(4), driver) for address, vendor, device, driver in
            re.findall(r"\* Infos for device (\S+) \*+\nBus name: pci\n"
                       r"Bus information: vendor_id=(\w+), device_id=(\w+)\nDriver name: (\w+)\n", result.out)]


def check_testpmd(result, profiles, probed=None):
    """It has found VFIO, and these devices of its bus have been probed, listed, and given back."""
    _, addresses = engines(profiles)
    pairs = [pair for pair in zip(profiles, addresses) if probed is None or pair[1] in probed]
    check_probe(result, [address for _, address in pairs])
    contains(result.err, "Probing VFIO support...", "IOMMU type 1 (Type 1) is supported", "VFIO reports MSI-X BAR as mappable",
             *[f": ioat_dmadev_remove(): Closing {address} on NUMA node -1" for _, address in pairs])
    equal(listed(result), [(address, "8086", IDS[profile], "dmadev_ioat") for profile, address in pairs], "devices")
