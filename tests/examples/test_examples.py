#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""The examples, built outside the tree by pkg-config, each driven by its driver; the public headers as C and C++."""
import os
import re
import shutil

from common import C_COMPILERS, CXX_COMPILERS, SOURCE, STRICT, Installation, Skip, case, equal, main

HEADERS = ("option", "device", "pci", "kvm", "mdev", "machine")
PLUG_INS = {"skeleton": ["-Wno-unused-parameter"], "edu": []}
BDF = "0000:00:01.0"
installation = Installation()

CXX_DEVICE = r"""
#include <uvfio/pci.h>

static uint64_t read_one(struct uvfio_pci_func *, unsigned int, uint64_t offset, unsigned int)
{
	return offset;
}

static void write_one(struct uvfio_pci_func *, unsigned int, uint64_t, uint64_t, unsigned int)
{
}

static void reset(struct uvfio_pci_func *)
{
}

static uvfio_pci_model describe()
{
	uvfio_pci_model model = {};

	model.name = "cxx";
	model.summary = "written in C++";
	model.desc.vendor = 0x1234;
	model.desc.device = 1;
	model.desc.bar[0].size = 4096;
	model.ops.read = read_one;
	model.ops.write = write_one;
	model.ops.reset = reset;
	return model;
}

static const uvfio_pci_model model = describe();
UVFIO_PCI_PLUGIN(model);
"""


def drive(directory, name, *options, status=0, device=None):
    return installation.run("uvfio", "run", *options, "--device", device or f"./{name}.so", "--", f"./{name}_driver",
                            BDF, cwd=directory, status=status)


@case("what is installed is what the tree has")
def _(_):
    equal(sorted(os.listdir(installation.examples)), sorted(os.listdir(os.path.join(SOURCE, "examples"))), "examples")
    include = os.path.join(installation.flags()[0][2:], "uvfio")
    equal(sorted(os.listdir(include)), sorted(name + ".h" for name in HEADERS), "headers")


def compile_headers(directory, compilers, suffix, standards):
    if not compilers:
        raise Skip("there is no such compiler")
    for name in HEADERS:
        source = os.path.join(directory, name + suffix)
        with open(source, "w", encoding="utf-8") as out:
            # Twice, and alone: a header brings what it needs.
            out.write(f"#include <uvfio/{name}.h>\n#include <uvfio/{name}.h>\n")
        for compiler in compilers:
            for standard in standards:
                installation.run(compiler, f"-std={standard}", "-pedantic", *STRICT, *installation.flags(), "-c", source,
                                 "-o", "/dev/null", cwd=directory)


@case("each public header by itself as C++")
def _(directory):
    compile_headers(directory, CXX_COMPILERS, ".cc", ("c++11", "c++20"))


@case("each public header by itself as C")
def _(directory):
    compile_headers(directory, C_COMPILERS, ".c", ("gnu11", "gnu2x"))


@case("a device in C++")
def _(directory):
    if not CXX_COMPILERS:
        raise Skip("there is no C++ compiler")
    for compiler in CXX_COMPILERS:
        installation.plug_in(directory, "cxx", CXX_DEVICE, compiler)
        result = installation.run("uvfio", "run", "--device", "./cxx.so", "--", "cat",
                                  f"/sys/bus/pci/devices/{BDF}/device", cwd=directory)
        equal((result.out, result.err), ("0x0001\n", ""), compiler)


@case("every example compiles without a warning")
def _(directory):
    installation.copy_examples(directory)
    for compiler in C_COMPILERS:
        for name, options in PLUG_INS.items():
            installation.plug_in(directory, name, compiler=compiler, options=options)
            installation.run(compiler, *STRICT, "-o", f"{name}_driver", f"{name}_driver.c", cwd=directory)


@case("the emulator: its own processor, and KVM's side from the library")
def _(directory):
    installation.make_examples(directory)
    library = installation.directory_of(os.path.basename(os.path.dirname(installation.directory_of(
        "pkgconfig", "uvfio.pc"))), "libuvfio.so")
    result = installation.run("env", f"LD_LIBRARY_PATH={library}", "./emulator", cwd=directory)
    equal((result.out, result.err), ("the guest says 0x1234\nthe guest says 0x41\n", ""), "emulator")


@case("a PAPR guest's hypercalls map memory for a device")
def _(directory):
    installation.make_examples(directory)
    library = installation.directory_of(os.path.basename(os.path.dirname(installation.directory_of(
        "pkgconfig", "uvfio.pc"))), "libuvfio.so")
    result = installation.run("env", f"LD_LIBRARY_PATH={library}", "./papr", "./edu.so", cwd=directory)
    equal((result.out.splitlines()[2:4], result.out.splitlines()[-1], result.err),
          (["H_PUT_TCE 0x500001 at 0x2000: 9999", "at 0x9000: written by the guest"],
           "fast: 3, slow: 1, the program's: 1", ""), "papr")


@case("the skeleton has at most 80 lines")
def _(_):
    with open(os.path.join(installation.examples, "skeleton.c"), encoding="utf-8") as source:
        lines = source.readlines()
    assert len(lines) <= 80, len(lines)
    assert max(len(line.expandtabs()) for line in lines) <= 111, "a line is too long"


@case("the skeleton and its driver")
def _(directory):
    installation.make_examples(directory)
    result = drive(directory, "skeleton")
    equal(result.out, "1000 bytes add up to 126516\nmemory that is not mapped cannot be added up\n", "output")
    assert re.fullmatch(r"uvfio: [^\n]* DMA fault: read of 8 bytes at IOVA 0x40000000 [^\n]*\n", result.err), result.err


# What the headers of a newer system have, of which Debian 12 has the first without cdevs and the second not at all.
NEWER_HEADERS = {
    "vfio.h": "#ifndef NEWER_VFIO_H\n#define NEWER_VFIO_H\n#include_next <linux/vfio.h>\n#include <uapi/vfio.h>\n#endif\n",
    "iommufd.h": "#include <uapi/iommufd.h>\n",
}


@case("compiled with newer headers, a driver opens the device by its own node, or by its group where it has none")
def _(directory):
    installation.make_examples(directory)
    os.mkdir(os.path.join(directory, "linux"))
    for name, text in NEWER_HEADERS.items():
        with open(os.path.join(directory, "linux", name), "w", encoding="utf-8") as out:
            out.write(text)
    for compiler in C_COMPILERS:
        for name in PLUG_INS:
            installation.run(compiler, *STRICT, "-I.", f"-I{SOURCE}/src", "-o", f"{name}_driver", f"{name}_driver.c",
                             cwd=directory)
            drive(directory, name, "--iommufd-only")
            traces = {option: drive(directory, name, "--trace=ioctl", *option).err for option in ((), ("--legacy-only",))}
            equal({option: [word in trace for word in ("VFIO_DEVICE_BIND_IOMMUFD", "VFIO_GROUP_GET_DEVICE_FD")]
                   for option, trace in traces.items()}, {(): [True, False], ("--legacy-only",): [False, True]}, "the way")


@case("edu and its driver")
def _(directory):
    installation.make_examples(directory)
    result = drive(directory, "edu")
    equal(result.out.splitlines()[-1], "everything works", "the last line")
    equal(result.err, "", "standard error")


@case("a driver that fails says why")
def _(directory):
    installation.make_examples(directory)
    for words, line in {
            ("edu_driver", "0000:00:09.0"): "/sys/bus/pci/devices/0000:00:09.0/iommu_group: No such file or directory",
            ("skeleton_driver", BDF): f"{BDF} is a skeleton: not what it should be",
    }.items():
        result = installation.run("uvfio", "run", "--device", "./edu.so", "--", f"./{words[0]}", words[1], cwd=directory, status=1)
        equal(result.err, line + "\n", "standard error")


@case("edu with other masks: an address above the mask is cut and reported, and the driver sees it")
def _(directory):
    installation.make_examples(directory)
    drive(directory, "edu", device="./edu.so,dma_mask=0xffffffffffffffff")
    result = drive(directory, "edu", device="./edu.so,dma_mask=0xfffff", status=1)
    assert "uvfio: 0000:00:01.0: DMA address 0x100000 is cut to dma_mask, 0xfffff\n" in result.err, result.err
    assert "what came back" in result.err, result.err
    result = drive(directory, "edu", device="./edu.so,dma_mask=0xff", status=1)
    assert result.err.startswith("uvfio: edu: dma_mask=0xff is not possible"), result.err


@case("a driver knows whose driver it is")
def _(directory):
    installation.make_examples(directory)
    result = drive(directory, "edu", device="./skeleton.so", status=1)
    assert result.err.startswith(f"{BDF} is an edu device"), result.err
    result = drive(directory, "skeleton", device="./edu.so", status=1)
    assert result.err.startswith(f"{BDF} is a skeleton"), result.err


@case("both at once, beside a built-in device, one driver after the other")
def _(directory):
    installation.make_examples(directory)
    result = installation.run("uvfio", "run", "--device", "nvme,size=16M", "--device", "./edu.so", "--device",
                              f"{directory}/skeleton.so,addr=0000:05:00.0,group=9", "--device", "./skeleton.so", "--",
                              "sh", "-ec", "./edu_driver 0000:00:02.0; ./skeleton_driver 0000:05:00.0; "
                              "./skeleton_driver 0000:00:03.0; ./edu_driver 0000:00:02.0", cwd=directory)
    equal(result.out.count("everything works\n"), 2, "runs of edu_driver")
    equal(result.out.count("cannot be added up\n"), 2, "runs of skeleton_driver")


def declared(directory, name):
    """Name, size in bytes and fields of the registers that a model declares."""
    with open(os.path.join(directory, name + ".c"), encoding="utf-8") as source:
        text = source.read()
    constants = dict(re.findall(r"(\w+) = (0x\w+)", text))
    fields = {table: re.findall(r'"(\w+)"', body)
              for table, body in re.findall(r"struct uvfio_field (\w+)\[\] = \{(.*?)\};", text, re.S)}
    body = re.search(r"struct uvfio_register registers\[\] = \{(.*?)\};", text, re.S).group(1)
    found = re.findall(r'\{ (\w+), (\d), "(\w+)", 0, 0, (\w+) \}', body)
    return [(int(constants.get(at, at), 0), int(size), register, fields.get(table, []))
            for at, size, register, table in found]


def bar_trace(text):
    """(name, offset, size, names of fields) of each access."""
    return [(name, int(at, 16), int(size), {word.split("=")[0] for word in fields.split()})
            for name, at, size, fields in re.findall(r"bar (?:read|write) BAR0 (\S+) (0x\w+)/(\d) = \S+(.*)", text)]


@case("a trace names every register that the drivers of the examples touch")
def _(directory):
    installation.make_examples(directory)
    for name, count in (("skeleton", 3), ("edu", 11)):
        registers = {register: (at, size) for at, size, register, _ in declared(directory, name)}
        equal(len(registers), count, f"registers of {name}")
        accesses = bar_trace(drive(directory, name, "--trace=bar").err)
        equal({register for register, *_ in accesses}, set(registers), name)
        for register, at, size, _ in accesses:
            equal((at, size <= registers[register][1]), (registers[register][0], True), register)


# Writes ones to registers and reads them, as a driver would.
SWEEP = r"""
import fcntl, os, struct, sys
container, group = os.open("/dev/vfio/vfio", os.O_RDWR), os.open("/dev/vfio/1", os.O_RDWR)
fcntl.ioctl(group, 0x3b68, struct.pack("i", container))
fcntl.ioctl(container, 0x3b66, 1)
device = fcntl.ioctl(group, 0x3b6a, bytearray(sys.argv[1].encode() + b"\0"))
for word in sys.argv[2:]:
    at, size = map(int, word.split(":"))
    assert os.pwrite(device, b"\xff" * size, at) == size
    assert len(os.pread(device, size, at)) == size
"""


@case("a trace names every register and every field that an example declares")
def _(directory):
    installation.make_examples(directory)
    with open(os.path.join(directory, "sweep.py"), "w", encoding="utf-8") as out:
        out.write(SWEEP)
    for name in PLUG_INS:
        registers = declared(directory, name)
        # BAR 0 is the region at offset 0 of the device file.
        words = [f"{at}:{size}" for at, size, *_ in registers]
        trace = installation.run("uvfio", "run", "--trace=bar", "--device", f"./{name}.so", "--", "python3", "sweep.py",
                                 BDF, *words, cwd=directory).err
        accesses = bar_trace(trace)
        equal(len(accesses), 2 * len(registers), f"accesses: {trace}")
        for write, read, register in zip(accesses[::2], accesses[1::2], registers):
            equal(write, (register[2], register[0], register[1], set(register[3])), "a write of ones")
            equal(read[:3], write[:3], "a read")


@case("a trace of edu shows its commands and its DMA")
def _(directory):
    installation.make_examples(directory)
    trace = drive(directory, "edu", "--trace=cmd,dma,irq").err
    for words in (r"cmd +0000:00:01.0 factorial n=12 result=479001600 ", r"cmd +0000:00:01.0 dma src=0x100000 dst=0x40000",
                  r"irq INTx", r"irq MSI", r"buffer"):
        assert re.search(words, trace), f"{words} is not in {trace}"


@case("hostile: a driver that does everything wrong leaves edu working")
def _(directory):
    installation.make_examples(directory)
    shutil.copy(os.path.join(SOURCE, "tests", "examples", "hostile_edu.c"), directory)
    installation.run("gcc", *STRICT, "-O1", "-o", "hostile_edu", "hostile_edu.c", "-pthread", cwd=directory)
    for device in ("./edu.so", "./edu.so,dma_mask=0xffffffffffffffff"):
        result = installation.run("uvfio", "run", "--device", device, "--", "sh", "-ec",
                                  f"./hostile_edu {BDF} 100000; ./edu_driver {BDF}", cwd=directory)
        equal(result.out.splitlines()[-1], "everything works", "the last line")
        lines = result.err.splitlines()
        assert all(line.startswith("uvfio: 0000:00:01.0: DMA ") for line in lines), result.err[:2000]


if __name__ == "__main__":
    main(installation)
