#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""Plug-ins that cannot be used: each is refused in one line with status 1, and the program does not run."""
import os
import re
import shutil

from common import Installation, case, equal, main

installation = Installation()

# A good one; what each case changes is a macro.
PLUG_IN = r"""
#include <uvfio/pci.h>

#ifndef MAJOR
#define MAJOR UVFIO_DEVICE_MAJOR
#endif
#ifndef MINOR
#define MINOR UVFIO_DEVICE_MINOR
#endif
#ifndef MODEL
#define MODEL &model
#endif
#ifndef NAME
#define NAME "plain"
#endif
#ifndef SUMMARY
#define SUMMARY "does nothing"
#endif
#ifndef READ
#define READ read_reg
#endif
#ifndef WRITE
#define WRITE write_reg
#endif
#ifndef RESET
#define RESET reset
#endif
#ifndef CREATE
#define CREATE NULL
#endif
#ifndef KEY
#define KEY "level"
#endif
#ifndef OPTION
#define OPTION .max = 9, .preset = "1"
#endif
#ifndef OFFSET
#define OFFSET 0
#endif
#ifndef DESC
#define DESC .vendor = 0x1234
#endif
#ifndef REGISTER
#define REGISTER { .name = NULL }
#endif
#ifndef CHANGE
#define CHANGE return 0
#endif

uint64_t read_reg(struct uvfio_pci_func *func, unsigned int bar, uint64_t offset, unsigned int size)
{
	(void)func, (void)bar, (void)size;
	return offset;
}

void write_reg(struct uvfio_pci_func *func, unsigned int bar, uint64_t offset, uint64_t value, unsigned int size)
{
	(void)func, (void)bar, (void)offset, (void)value, (void)size;
}

void reset(struct uvfio_pci_func *func)
{
	(void)func;
}

int create(struct uvfio_pci_func *func, struct uvfio_pci_desc *desc, char *err, size_t err_len)
{
	(void)func, (void)desc, (void)err, (void)err_len;
	CHANGE;
}

const struct uvfio_register registers[] = { REGISTER, { .name = NULL } };

const struct uvfio_option options[] = {
	{ .key = KEY, .type = UVFIO_OPTION_UINT, .offset = OFFSET, .help = "how much", OPTION },
	{ .key = NULL },
};

const struct uvfio_pci_model model = {
	.name = NAME,
	.summary = SUMMARY,
	.options = options,
	.options_size = sizeof(uint64_t),
	.desc = { DESC },
	.ops = { .create = CREATE, .reset = RESET, .read = READ, .write = WRITE },
};

#ifndef WITHOUT_ENTRY
const struct uvfio_plugin uvfio_plugin = { MAJOR, MINOR, MODEL, NULL };
#endif
"""


def build(directory, name="plugin", **changes):
    options = [f"-D{key}={value}" if value is not None else f"-D{key}" for key, value in changes.items()]
    # An initializer that is empty, or a model that is not used, is part of what is tried.
    return installation.plug_in(directory, name, PLUG_IN, options=["-Wno-unused", *options])


def refused(directory, line, device="./plugin.so", listed=True):
    """line: a regular expression without what stands in front; {} is the plug-in's path."""
    pattern = "uvfio: " + line.replace("{}", re.escape(os.path.normpath(os.path.join(directory, device)))) + "\n"
    commands = [["run", "--device", device, "--", "touch", "ran"]]
    if listed:
        commands.append(["devices", device])
    for words in commands:
        result = installation.run("uvfio", *words, cwd=directory, status=1)
        equal(result.out, "", "standard output")
        assert re.fullmatch(pattern, result.err), f"{words}: {result.err!r} is not {pattern!r}"
    assert not os.path.exists(os.path.join(directory, "ran")), "the program has run"


@case("the good one is listed and runs")
def _(directory):
    build(directory)
    listed = installation.run("uvfio", "devices", "./plugin.so", cwd=directory).out
    assert listed.startswith("plain: does nothing\n  level=N                how much (0 to 9; default 1)\n"), listed
    for device in ("./plugin.so", "plugin.so,level=2", f"{directory}/plugin.so,addr=0000:02:00.0"):
        result = installation.run("uvfio", "run", "--device", device, "--", "ls", "/sys/bus/pci/devices", cwd=directory)
        assert re.fullmatch(r"0000:0[02]:0[01]\.0\n", result.out), result.out


@case("another major version, a later minor version")
def _(directory):
    build(directory, MAJOR="(UVFIO_DEVICE_MAJOR+1)")
    refused(directory, r"plug-in {} is made for device interface 2\.1, this uvfio has 1\.1: compile it again")
    build(directory, MAJOR="0")
    refused(directory, r"plug-in {} is made for device interface 0\.1, this uvfio has 1\.1: compile it again")
    build(directory, MINOR="(UVFIO_DEVICE_MINOR+1)")
    refused(directory, r"plug-in {} is made for device interface 1\.2, this uvfio has 1\.1: compile it again")


@case("no entry")
def _(directory):
    build(directory, WITHOUT_ENTRY=None)
    refused(directory, r"{} is no plug-in of uvfio: a model ends with UVFIO_PCI_PLUGIN\(model\), a mediated driver with "
            r"UVFIO_MDEV_PLUGIN\(driver\)")


@case("files that are no shared objects")
def _(directory):
    def path(name):
        return os.path.join(directory, name)

    whole = build(directory, "whole")
    with open(whole, "rb") as file:
        data = file.read()
    files = {"text": b"hello, this is a text that is as long as an ELF header: sixty-four bytes", "short": data[:20],
             "empty": b""}
    for name, content in files.items():
        with open(path(name + ".so"), "wb") as out:
            out.write(content)
        refused(directory, "plug-in {} is no shared object: a device is compiled with cc -fPIC -shared", f"./{name}.so")
    for size in (64, 200, len(data) // 4, len(data) // 2):
        with open(path("cut.so"), "wb") as out:
            out.write(data[:size])
        refused(directory, "plug-in {} is a damaged shared object: build it again", "./cut.so")
    os.mkdir(path("folder.so"))
    refused(directory, "plug-in {} is not a regular file", "./folder.so")
    os.mkfifo(path("pipe.so"))
    refused(directory, "plug-in {} is not a regular file", "./pipe.so")
    shutil.copy("/bin/true", path("program.so"))
    refused(directory, r"plug-in cannot be loaded: {}: [^\n]+", "./program.so")


@case("files that are not there")
def _(directory):
    refused(directory, "plug-in {}: No such file or directory", "./missing.so")
    refused(directory, "plug-in {}: No such file or directory", "./no/such/place.so")
    os.symlink("nowhere", os.path.join(directory, "link.so"))
    refused(directory, "plug-in {}: No such file or directory", "./link.so")
    refused(directory, "there is no device model plugin: known are nvme, ioat, mtty, and plug-ins by their path, ./NAME.so",
            "plugin")


@case("a comma in the path is written twice; a path is shown without what it does not need")
def _(directory):
    os.mkdir(os.path.join(directory, "a,b"))
    os.rename(build(directory), os.path.join(directory, "a,b", "x,y.so"))
    listed = installation.run("uvfio", "devices", "a,b/x,y.so", cwd=directory).out
    assert listed.startswith("plain: does nothing\n"), listed
    for cwd, device in ((directory, "a,,b/x,,y.so,level=2"), (os.path.join(directory, "a,b"), "./x,,y.so,addr=00:07.0")):
        result = installation.run("uvfio", "run", "--device", device, "--", "ls", "/sys/bus/pci/devices", cwd=cwd)
        assert re.fullmatch(r"0000:00:0[17]\.0\n", result.out), result.out
    refused(os.path.join(directory, "a,b"), "plug-in {}: a comma in its path is written twice", "./x,y.so", False)
    result = installation.run("uvfio", "devices", "//nope.so", cwd=directory, status=1)
    equal(result.err, "uvfio: plug-in /nope.so: No such file or directory\n", "standard error")
    refused(directory, "plug-in {}: No such file or directory", ".//./nope.so")


@case("a function that nobody has")
def _(directory):
    text = PLUG_IN.replace("return offset;", "uint64_t nobody(void); return offset + nobody();")
    installation.plug_in(directory, "plugin", text)
    refused(directory, r"plug-in cannot be loaded: {}: undefined symbol: nobody")


LACKING = {
    "MODEL": r"entry names no model: write UVFIO_PCI_PLUGIN\(model\)",
    "NAME": "model has no name: give one line",
    "SUMMARY": "model has no summary: give one line",
    **{name.upper(): f"model has no callback {name}: every model has read, write and reset" for name in ("read", "write", "reset")},
}


@case("models without what every model has")
def _(directory):
    for macro in LACKING:
        build(directory, **{macro: "NULL"})
        refused(directory, f"plug-in {{}}: its {LACKING[macro]}")


@case("options that cannot be")
def _(directory):
    for key in ("addr", "group", "noiommu"):
        build(directory, KEY=f'"{key}"')
        refused(directory, f"plug-in {{}}: option {key} is one that every device has: rename it")
    for offset in ("1", "8"):
        build(directory, OFFSET=offset)
        refused(directory, rf"plug-in {{}}: option level lies outside the model's options: it has 8 bytes at {offset}, and "
                r"options_size is 8")
    for option, line in {
            '.preset="10",.max=9': "preset: level=10 is not possible: use a number from 0 to 9",
            ".min=3": "option level has min and no max, which would mean no bounds: give max, if need be UINT64_MAX",
            '.choices="a|b"': 'option level has "a" in its choices: they are numbers, as in 512[|]4096',
            '},{.key="level",.help="again"': "option level is declared twice: rename one of the two",
    }.items():
        build(directory, OPTION=option)
        refused(directory, f"plug-in {{}}: {line}")


@case("options that the model does not have, or not so")
def _(directory):
    build(directory)
    refused(directory, "plain: there is no option loud: known are level, addr, group, noiommu", "./plugin.so,loud=1", False)
    refused(directory, "plain: level=10 is not possible: use a number from 0 to 9", "./plugin.so,level=10", False)


@case("a model that refuses to be made")
def _(directory):
    for change, line in {
            'return uvfio_create_error(err, err_len, EINVAL, "the moon is full: wait")': "the moon is full: wait",
            'return uvfio_create_error(err, err_len, EINVAL, "the moon\\nis full\\n")': "the moon is full",
            "return -ENOSPC": "cannot be made: No space left on device",
            "return 7": "cannot be made: Invalid argument",
            "desc->intx = 5; return 0": "intx is 5: use 0 for none, or 1 to 4 for INTA to INTD",
            "desc->vendor = 0; return 0": "vendor is 0x0000, which nobody has: [^\\n]+",
    }.items():
        build(directory, CREATE="create", CHANGE=change)
        refused(directory, f"plug-in {{}}: {line}", listed=False)
        # Which of several it was: the words behind --device.
        result = installation.run("uvfio", "run", "--device", "nvme,size=1M", "--device", "./plugin.so,level=2,group=7", "--", "true",
                                  cwd=directory, status=1)
        assert re.fullmatch(f"uvfio: plug-in {directory}/plugin.so,level=2: {line}\n", result.err), result.err


@case("what create adds is not missed before")
def _(directory):
    build(directory, CREATE="create", DESC=".bar[1].registers = registers", REGISTER='{0,4,"ONE",0,0,NULL}',
          CHANGE="desc->vendor = 1; desc->bar[1].size = 16; return 0")
    installation.run("uvfio", "devices", "./plugin.so", cwd=directory)
    installation.run("uvfio", "run", "--device", "./plugin.so", "--", "true", cwd=directory)


@case("functions that cannot be")
def _(directory):
    id_ = ".vendor=0x1234"
    for desc, line in {
            "": "vendor is 0x0000, which nobody has: give the id of the device's maker, for example .vendor = 0x1234",
            f"{id_},.intx=5": "intx is 5: use 0 for none, or 1 to 4 for INTA to INTD",
            f"{id_},.msi_vectors=3": "msi_vectors is 3: use 0, 1, 2, 4, 8, 16 or 32",
            f"{id_},.aer=true": "aer without pcie: advanced error reporting belongs to PCI Express: set pcie, too",
            f"{id_},.bar[0].size=100": "BAR 0 has 100 bytes: use a power of two from 16 on",
            f"{id_},.bar[1]={{.size=4096,.plain={{{{0,8192}}}}}}":
                r"BAR 1: plain\[0\] at 0x0 with 0x2000 bytes ends behind the BAR, which has 0x1000: make the BAR larger",
            f"{id_},.msix_vectors=4096": "msix_vectors is 4096: use 0 to 2048",
            f"{id_},.bar[1].size=4096,.msix_vectors=4,.msix_bar=1,.msix_pba=56":
                "msix_table is 0x0 to 0x3f for 4 vectors, where msix_pba is, 0x38 to 0x3f: move one of them",
            f"{id_},.bar[0].size=1u<<31":
                "32-bit BARs have 16 MiB of addresses together, which is not enough for these: set mem64 in the large ones",
            f"{id_},.config=(const struct uvfio_pci_config_register[]){{{{0x40,4,0,0,0,0}},{{.size=0}}}}":
                "configuration register without a name at 0x40 has no place there: what is free for a model is 0xc0 to 0xff",
    }.items():
        build(directory, DESC=desc)
        refused(directory, f"plug-in {{}}: {line}")


@case("registers that cannot be")
def _(directory):
    desc = ".vendor=0x1234,.bar[0]={.size=4096,.registers=registers}"
    for register, line in {
            '{0,4,"SQ%sTDBL",2,8,NULL}': r"SQ%sTDBL at 0x0 has a name that printf cannot be given: [^\n]+",
            '{0,4,"SQ%u",0,0,NULL}': "SQ%u at 0x0 has a name with %u and is no array: give a count above 1, or write %%u",
            '{0,4,"SQ",2,8,NULL}': "SQ at 0x0 is an array of 2: its name has to have one %u, where the index goes",
            '{8,4,"TWO",0,0,NULL},{4,4,"ONE",0,0,NULL}':
                "ONE at 0x4 stands behind TWO at 0x8: sort the registers by their offsets",
            '{0,8,"TWO",0,0,NULL},{4,4,"ONE",0,0,NULL}':
                r"ONE at 0x4 overlaps register TWO at 0x0 \(8 bytes\): registers have bytes of their own",
            '{4096,4,"FAR",0,0,NULL}': "FAR at 0x1000 ends behind the BAR, which has 0x1000 bytes: make the BAR larger",
            '{2,4,"ODD",0,0,NULL}':
                "ODD at 0x2 is not aligned to its size, 4 bytes: its offset must be a multiple of 4",
            '{0,4,"A",0,0,(const struct uvfio_field[]){{32,32,"HIGH",NULL},{.name=NULL}}}':
                "A at 0x0 has a field HIGH up to bit 32: its bits are 0 to 31",
    }.items():
        build(directory, DESC=desc, REGISTER=register)
        refused(directory, f"plug-in {{}}: BAR 0: register {line}")
    build(directory, DESC=desc, REGISTER='{0,4,"100%%",0,0,NULL},{8,4,"SQ%u",4,8,NULL},{12,4,"CQ%u",4,8,NULL}')
    installation.run("uvfio", "devices", "./plugin.so", cwd=directory)


@case("a bad one among good ones")
def _(directory):
    build(directory)
    build(directory, "old", MAJOR="0")
    result = installation.run("uvfio", "run", "--device", "nvme,size=16M", "--device", "./plugin.so", "--device", "./old.so",
                              "--", "touch", "ran", cwd=directory, status=1)
    assert result.err.count("\n") == 1 and "old.so is made for" in result.err, result.err
    equal(os.path.exists(os.path.join(directory, "ran")), False, "the program has run")


if __name__ == "__main__":
    main(installation)
