#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""The example of a mediated driver, built outside the tree, with its driver, in every way that a device is opened."""
import os
import re
import subprocess

from common import C_COMPILERS, CXX_COMPILERS, SOURCE, STRICT, Installation, Skip, case, equal, main

UUID = "75766669-6f00-4000-8000-000000000001"
SECOND = "75766669-6f00-4000-8000-000000000002"
OTHER = "83b8f4f2-509f-382f-3c1e-e6bfe0fa1001"
OUTPUT = "1000 checksums are right\nmemory that is not mapped has none\nthe ring can be taken away\n"
NEWER_HEADERS = {
    "vfio.h": "#ifndef NEWER_VFIO_H\n#define NEWER_VFIO_H\n#include_next <linux/vfio.h>\n#include <uapi/vfio.h>\n#endif\n",
    "iommufd.h": "#include <uapi/iommufd.h>\n",
}
installation = Installation()


def faults(text):
    """What is said of the memory that is not mapped, in short; all other lines as they are."""
    return [re.sub("uvfio: ([-0-9a-f]+): DMA fault: read of 8 bytes at IOVA 0x40000000 .*: nothing is mapped there;.*", r"\1", line)
            for line in sorted(text.splitlines())]


CXX_DRIVER = r"""
#include <uvfio/mdev.h>

static int read_one(uvfio_mdev *, unsigned int, uint64_t, void *buf, unsigned int)
{
	*static_cast<uint8_t *>(buf) = 1;
	return 0;
}

static int write_one(uvfio_mdev *, unsigned int, uint64_t, const void *, unsigned int)
{
	return 0;
}

static uvfio_mdev_type types[2];

static uvfio_mdev_driver describe()
{
	uvfio_mdev_driver driver = {};

	types[0].name = "1";
	types[0].regions[0].size = 8;
	driver.name = "cxx";
	driver.summary = "written in C++";
	driver.device_api = "vfio-pci";
	driver.max_instances = 1;
	driver.types = types;
	driver.ops.read = read_one;
	driver.ops.write = write_one;
	return driver;
}

static const uvfio_mdev_driver driver = describe();
UVFIO_MDEV_PLUGIN(driver);
"""


def drive(directory, *options, uuid=UUID, program="./checksum_driver", status=0):
    return installation.run("uvfio", "run", *options, "--", program, uuid, cwd=directory, status=status)


@case("the example compiles without a warning")
def _(directory):
    installation.copy_examples(directory)
    for compiler in C_COMPILERS:
        installation.plug_in(directory, "checksum", compiler=compiler, options=["-Wno-unused-parameter"])
        installation.run(compiler, *STRICT, "-o", "checksum_driver", "checksum_driver.c", cwd=directory)


@case("a mediated driver in C++")
def _(directory):
    if not CXX_COMPILERS:
        raise Skip("there is no C++ compiler")
    for compiler in CXX_COMPILERS:
        installation.plug_in(directory, "cxx", CXX_DRIVER, compiler)
        result = installation.run("uvfio", "run", "--device", "./cxx.so", "--", "cat",
                                  f"/sys/bus/mdev/devices/{UUID}/mdev_type/name", cwd=directory)
        equal((result.out, result.err), ("1\n", ""), compiler)


@case("through a group: of a container, and of an IOMMUFD")
def _(directory):
    installation.make_examples(directory)
    for options in ((), ("--container=iommufd",), ("--legacy-only",)):
        result = drive(directory, *options, "--device", "./checksum.so")
        equal((result.out, faults(result.err)), (OUTPUT, [UUID]), options)


@case("through its own node")
def _(directory):
    installation.make_examples(directory)
    os.mkdir(os.path.join(directory, "linux"))
    for name, text in NEWER_HEADERS.items():
        with open(os.path.join(directory, "linux", name), "w", encoding="utf-8") as out:
            out.write(text)
    for compiler in C_COMPILERS:
        installation.run(compiler, *STRICT, "-I.", f"-I{SOURCE}/src", "-o", "newer", "checksum_driver.c", cwd=directory)
        result = drive(directory, "--iommufd-only", "--device", "./checksum.so", program="./newer")
        equal((result.out, faults(result.err)), (OUTPUT, [UUID]), compiler)


@case("several instances, given and made, driven at the same time beside other devices")
def _(directory):
    installation.make_examples(directory)
    script = f"uvfio mdev create checksum-ring {OTHER} >/dev/null; " \
             "for uuid in $(ls /sys/bus/mdev/devices); do ./checksum_driver $uuid & pids=\"$pids $!\"; done; " \
             "for pid in $pids; do wait $pid || echo failed; done; ls /sys/bus/mdev/devices | wc -l"
    result = installation.run("uvfio", "run", "--device", "./checksum.so", "--device", "./checksum.so", "--device", "nvme,size=16M",
                              "--device", "mtty,type=none", "--", "bash", "-c", script, cwd=directory)
    equal((sorted(result.out.splitlines()), faults(result.err)),
          (sorted(3 * OUTPUT.splitlines() + ["3"]), [UUID, SECOND, OTHER]), "output")


@case("the driver knows whose driver it is, and what is not there")
def _(directory):
    installation.make_examples(directory)
    equal(drive(directory, "--device", "mtty", status=1).err, f"{UUID} is a checksum engine: not what it should be\n", "mtty")
    equal(drive(directory, "--device", "./checksum.so,type=none", status=1).err,
          f"/sys/bus/mdev/devices/{UUID}/iommu_group: No such file or directory\n", "no instance")


@case("the trace has its registers and interrupts")
def _(directory):
    installation.make_examples(directory)
    trace = drive(directory, "--trace=bar,irq", "--device", "./checksum.so").err
    for words in (f"{UUID} read region0+0xc size=4 value=0x1", f"{UUID} irq MSI vector=0"):
        assert words in trace, trace[:2000]


@case("a program that is killed at work leaves nothing behind")
def _(directory):
    installation.make_examples(directory)
    with subprocess.Popen(["uvfio", "run", "--device", "./checksum.so", "--", "sh", "-c",
                           f"for i in 1 2 3 4 5; do ./checksum_driver {UUID} >/dev/null & sleep 0.0$i; kill -9 $!; wait $!; done; "
                           f"./checksum_driver {UUID}"], cwd=directory, env=installation.environment,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        out, _ = process.communicate(timeout=60)
        equal((process.returncode, out), (0, OUTPUT), "the last run")


if __name__ == "__main__":
    main(installation)
