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
#ifndef OFFSET
#define OFFSET 0
#endif
#ifndef DESC
#define DESC .vendor = 0x1234
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
	(void)func, (void)desc;
	return uvfio_create_error(err, err_len, EINVAL, "plain: the moon is full: wait until it is not");
}

const struct uvfio_option options[] = {
	{ .key = KEY, .type = UVFIO_OPTION_UINT, .offset = OFFSET, .preset = "1", .max = 9, .help = "how much" },
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
const struct uvfio_plugin uvfio_plugin = { MAJOR, MINOR, MODEL };
#endif
"""


def build(directory, name="plugin", **changes):
    options = [f"-D{key}={value}" if value is not None else f"-D{key}" for key, value in changes.items()]
    # An initializer that is empty, or a model that is not used, is part of what is tried.
    return installation.plug_in(directory, name, PLUG_IN, options=["-Wno-unused", *options])


def refused(directory, line, device="./plugin.so", listed=True):
    """line: a regular expression without what stands in front; {} is the plug-in's path."""
    pattern = "uvfio: " + line.replace("{}", re.escape(os.path.join(directory, device))) + "\n"
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
    refused(directory, r"plug-in {} is made for device interface 2\.0, this uvfio has 1\.0: compile it again")
    build(directory, MAJOR="0")
    refused(directory, r"plug-in {} is made for device interface 0\.0, this uvfio has 1\.0: compile it again")
    build(directory, MINOR="(UVFIO_DEVICE_MINOR+1)")
    refused(directory, r"plug-in {} is made for device interface 1\.1, this uvfio has 1\.0: compile it again")


@case("no entry")
def _(directory):
    build(directory, WITHOUT_ENTRY=None)
    refused(directory, r"{} is no plug-in of uvfio: a model ends with UVFIO_PCI_PLUGIN\(model\)")


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
    refused(directory, "there is no device model plugin: known are nvme, ioat, and plug-ins by their path, ./NAME.so",
            "plugin")


@case("a function that nobody has")
def _(directory):
    text = PLUG_IN.replace("return offset;", "uint64_t nobody(void); return offset + nobody();")
    installation.plug_in(directory, "plugin", text)
    refused(directory, r"plug-in cannot be loaded: {}: undefined symbol: nobody")


@case("models without what every model has")
def _(directory):
    for macro in ("MODEL", "NAME", "SUMMARY", "READ", "WRITE", "RESET"):
        build(directory, **{macro: "NULL"})
        refused(directory, "{}: its model lacks a name, a summary, or one of read, write and reset")


@case("options with reserved names, and options that lie outside")
def _(directory):
    for key in ("addr", "group", "noiommu"):
        build(directory, KEY=f'"{key}"')
        refused(directory, f"{{}}: its option {key} is one that every device has: rename it")
    for offset in ("1", "8", "(size_t)-8"):
        build(directory, OFFSET=offset)
        refused(directory, "{}: its option level lies outside its options: say how many bytes they have in options_size")


@case("options that the model does not have, or not so")
def _(directory):
    build(directory)
    refused(directory, "plain: there is no option loud: known are level, addr, group, noiommu", "./plugin.so,loud=1", False)
    refused(directory, "plain: level=10 is not possible: use a number from 0 to 9", "./plugin.so,level=10", False)


@case("a model that refuses to be made")
def _(directory):
    build(directory, CREATE="create")
    refused(directory, "plain: the moon is full: wait until it is not", listed=False)


@case("functions that cannot be")
def _(directory):
    id_ = ".vendor=0x1234"
    for desc, line in {
            "": "the model plain describes its function badly",
            f"{id_},.class_code=0x1000000": "the model plain describes its function badly",
            f"{id_},.intx=5": "the model plain describes its function badly",
            f"{id_},.msi_vectors=3": "the model plain describes its function badly",
            f"{id_},.bar[0].size=100": "BAR 0 is badly described by the model",
            f"{id_},.bar[2].size=8": "BAR 2 is badly described by the model",
            f"{id_},.bar[5]={{.size=4096,.mem64=true}}": "BAR 5 is badly described by the model",
            f"{id_},.bar[1]={{.size=4096,.plain={{{{0,8192}}}}}}": "BAR 1 is badly described by the model",
            f"{id_},.msix_vectors=4096": "MSI-X is badly described by the model",
            f"{id_},.msix_vectors=4,.msix_bar=1,.msix_pba=64": "MSI-X is badly described by the model",
            f"{id_},.bar[0].size=1u<<31": "32-bit BARs take more than 16 MiB",
    }.items():
        build(directory, DESC=desc)
        refused(directory, f"0000:00:01.0: {line}", listed=False)


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
