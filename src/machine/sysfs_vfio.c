/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The nodes below /dev, and what sysfs says about groups, the IOMMU, VFIO's modules and the vfio-pci driver.
 *
 * The nodes are sockets: who asks through an interposed call is told that they are character devices.
 */
#include "machine/impl.h"
#include "machine/tree.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static void write_power(struct tree *tree, const char *dir)
{
	static const struct {
		const char *name;
		mode_t mode;
		const char *value;
	} files[] = {
		{ "control", 0644, "auto" },
		{ "runtime_status", 0444, "unsupported" },
		{ "runtime_active_time", 0444, "0" },
		{ "runtime_suspended_time", 0444, "0" },
	};
	char path[128];

	for (unsigned int i = 0; i < ARRAY_SIZE(files); i++) {
		snprintf(path, sizeof(path), "%s/power/%s", dir, files[i].name);
		tree_text(tree, path, files[i].mode, "%s", files[i].value);
	}
	snprintf(path, sizeof(path), "%s/power/autosuspend_delay_ms", dir);
	tree_data(tree, path, 0644, "", 0);
}

/* The directory of a device node in sysfs, with its entries in class and dev/char, and the node. */
static void write_node(struct tree *tree, const char *class, const char *name, unsigned int major_nr,
		       unsigned int minor_nr, const char *mode_line, mode_t mode)
{
	char dir[64], path[128], node[64];

	snprintf(node, sizeof(node), "dev/vfio/%s", name);
	tree_node(tree, node, mode);
	snprintf(path, sizeof(path), "dev/char/%u:%u", major_nr, minor_nr);
	tree_link(tree, path, node);

	snprintf(dir, sizeof(dir), "sys/devices/virtual/%s/%s", class, name);
	snprintf(path, sizeof(path), "%s/dev", dir);
	tree_text(tree, path, 0444, "%u:%u", major_nr, minor_nr);
	snprintf(path, sizeof(path), "%s/uevent", dir);
	tree_text(tree, path, 0644, "MAJOR=%u\nMINOR=%u\nDEVNAME=vfio/%s%s", major_nr, minor_nr, name,
		  mode_line);
	snprintf(path, sizeof(path), "sys/class/%s/%s", class, name);
	tree_link(tree, path, dir);
	snprintf(path, sizeof(path), "sys/dev/char/%u:%u", major_nr, minor_nr);
	tree_link(tree, path, dir);
	snprintf(node, sizeof(node), "sys/class/%s", class);
	snprintf(path, sizeof(path), "%s/subsystem", dir);
	tree_link(tree, path, node);
	write_power(tree, dir);
}

static void write_reserved(const struct uvfio_machine *machine, struct tree *tree, const char *path)
{
	const struct iommu_params *iommu = &machine->config.iommu;
	char text[ARRAY_SIZE(iommu->reserved) * 64];
	size_t n = 0;

	for (unsigned int i = 0; i < iommu->nr_reserved; i++)
		n += (size_t)snprintf(text + n, sizeof(text) - n, "0x%016" PRIx64 " 0x%016" PRIx64 " %s\n",
				      iommu->reserved[i].start, iommu->reserved[i].last,
				      iommu->reserved_type[i]);
	tree_data(tree, path, 0444, text, n);
}

void write_group(const struct uvfio_machine *machine, const struct machine_group *group, struct tree *tree)
{
	char path[80];

	snprintf(path, sizeof(path), "sys/kernel/iommu_groups/%u/type", group->id);
	tree_text(tree, path, 0644, "%s", group->noiommu ? "unknown" : "DMA");
	snprintf(path, sizeof(path), "sys/kernel/iommu_groups/%u/reserved_regions", group->id);
	if (group->noiommu) {
		tree_data(tree, path, 0444, "", 0);
		snprintf(path, sizeof(path), "sys/kernel/iommu_groups/%u/name", group->id);
		tree_text(tree, path, 0444, "vfio-noiommu");
	} else {
		write_reserved(machine, tree, path);
	}
	write_node(tree, "vfio", group->name, VFIO_GROUP_MAJOR, group->minor, "", 0600);
}

void erase_group(const struct machine_group *group, struct tree *tree)
{
	char path[80], node[40];

	snprintf(node, sizeof(node), "%u:%u", VFIO_GROUP_MAJOR, group->minor);
	snprintf(path, sizeof(path), "dev/vfio/%s", group->name);
	tree_erase(tree, path);
	snprintf(path, sizeof(path), "dev/char/%s", node);
	tree_erase(tree, path);
	snprintf(path, sizeof(path), "sys/dev/char/%s", node);
	tree_erase(tree, path);
	snprintf(path, sizeof(path), "sys/class/vfio/%s", group->name);
	tree_erase(tree, path);
	snprintf(path, sizeof(path), "sys/devices/virtual/vfio/%s", group->name);
	tree_erase(tree, path);
	snprintf(path, sizeof(path), "sys/kernel/iommu_groups/%u", group->id);
	tree_erase(tree, path);
}

/* An Intel IOMMU; bits 21:16 of cap hold the IOVA width less one (MGAW), which some clients look at. */
static void write_iommu(const struct uvfio_machine *machine, struct tree *tree)
{
	static const char dir[] = "sys/devices/virtual/iommu/dmar0";

	tree_text(tree, "sys/devices/virtual/iommu/dmar0/intel-iommu/cap", 0444, "%x",
		  (machine->config.iommu.width - 1) << 16);
	tree_text(tree, "sys/devices/virtual/iommu/dmar0/intel-iommu/ecap", 0444, "%x",
		  machine->config.iommu.coherent ? 1u : 0u);
	tree_text(tree, "sys/devices/virtual/iommu/dmar0/intel-iommu/version", 0444, "1:0");
	tree_text(tree, "sys/devices/virtual/iommu/dmar0/intel-iommu/address", 0444, "fed90000");
	tree_link(tree, "sys/class/iommu/dmar0", dir);
	tree_link(tree, "sys/devices/virtual/iommu/dmar0/subsystem", "sys/class/iommu");
}

static void write_modules(const struct uvfio_machine *machine, struct tree *tree)
{
	static const struct {
		const char *path;
		mode_t mode;
		const char *value;
	} parameters[] = {
		{ "vfio_iommu_type1/parameters/allow_unsafe_interrupts", 0644, "N" },
		{ "vfio_iommu_type1/parameters/disable_hugepages", 0644, "N" },
		{ "vfio_pci/parameters/disable_denylist", 0444, "N" },
		{ "vfio_pci/parameters/disable_idle_d3", 0644, "N" },
		{ "vfio_pci/parameters/disable_vga", 0444, "N" },
		{ "vfio_pci/parameters/enable_sriov", 0644, "N" },
		{ "vfio_pci/parameters/nointxmask", 0644, "N" },
	};
	char path[128];

	for (unsigned int i = 0; i < ARRAY_SIZE(parameters); i++) {
		snprintf(path, sizeof(path), "sys/module/%s", parameters[i].path);
		tree_text(tree, path, parameters[i].mode, "%s", parameters[i].value);
	}
	tree_text(tree, "sys/module/vfio_iommu_type1/parameters/dma_entry_limit", 0644, "%" PRIu64,
		  machine->config.iommu.dma_entries);
	tree_text(tree, "sys/module/vfio/parameters/enable_unsafe_noiommu_mode", 0644, "%c",
		  machine_has_noiommu(&machine->config) ? 'Y' : 'N');
}

static void write_driver(struct tree *tree)
{
	static const char *const sinks[] = { "bind", "new_id", "remove_id", "uevent", "unbind" };
	char path[64];

	for (unsigned int i = 0; i < ARRAY_SIZE(sinks); i++) {
		snprintf(path, sizeof(path), "sys/bus/pci/drivers/vfio-pci/%s", sinks[i]);
		tree_data(tree, path, 0200, "", 0);
	}
	tree_link(tree, "sys/bus/pci/drivers/vfio-pci/module", "sys/module/vfio_pci");
	tree_link(tree, "sys/module/vfio_pci/drivers/pci:vfio-pci", "sys/bus/pci/drivers/vfio-pci");
	tree_data(tree, "sys/bus/pci/drivers_probe", 0200, "", 0);
	tree_data(tree, "sys/bus/pci/rescan", 0200, "", 0);
	tree_text(tree, "sys/bus/pci/drivers_autoprobe", 0644, "1");
}

void write_vfio_nodes(const struct uvfio_machine *machine, struct tree *tree)
{
	/* Directories that exist even in a machine without a device. */
	tree_dir(tree, "sys/bus/pci/devices");
	tree_dir(tree, "sys/kernel/iommu_groups");
	tree_dir(tree, "sys/class/vfio");
	write_node(tree, "misc", "vfio", MISC_MAJOR, VFIO_MISC_MINOR, "\nDEVMODE=0666", 0666);
	for (unsigned int i = 0; i < machine->config.nr_devices; i++) {
		struct machine_group group;

		machine_group_of(&machine->config.devices[i], &group);
		if (machine_first_of_group(&machine->config, i))
			write_group(machine, &group, tree);
	}
	write_iommu(machine, tree);
	write_modules(machine, tree);
	write_driver(tree);
}
