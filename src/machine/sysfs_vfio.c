/* SPDX-License-Identifier: BSD-2-Clause */
/* What sysfs says about groups, the IOMMU, VFIO's modules and the vfio-pci driver; and the nodes of groups.
 */
#include "machine/impl.h"
#include "machine/tree.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

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
	if (machine->config.vfio.legacy)
		write_group_node(group, tree);
}

void erase_group(const struct machine_group *group, struct tree *tree)
{
	char path[80];

	erase_group_node(group, tree);
	snprintf(path, sizeof(path), "sys/kernel/iommu_groups/%u", group->id);
	tree_erase(tree, path);
}

/* An Intel IOMMU. */
static void write_iommu(const struct uvfio_machine *machine, struct tree *tree)
{
	static const char dir[] = "sys/devices/virtual/iommu/dmar0";

	tree_text(tree, "sys/devices/virtual/iommu/dmar0/intel-iommu/cap", 0444, "%llx",
		  (unsigned long long)iommufd_emulated_cap(&machine->config.iommu));
	tree_text(tree, "sys/devices/virtual/iommu/dmar0/intel-iommu/ecap", 0444, "%llx",
		  (unsigned long long)iommufd_emulated_ecap(&machine->config.iommu));
	tree_text(tree, "sys/devices/virtual/iommu/dmar0/intel-iommu/version", 0444, "1:0");
	tree_text(tree, "sys/devices/virtual/iommu/dmar0/intel-iommu/address", 0444, "fed90000");
	tree_link(tree, "sys/class/iommu/dmar0", dir);
	tree_link(tree, "sys/devices/virtual/iommu/dmar0/subsystem", "sys/class/iommu");
}

static void write_type1(const struct uvfio_machine *machine, struct tree *tree)
{
	static const char *const off[] = { "allow_unsafe_interrupts", "disable_hugepages" };
	char path[128];

	for (unsigned int i = 0; i < ARRAY_SIZE(off); i++) {
		snprintf(path, sizeof(path), "sys/module/vfio_iommu_type1/parameters/%s", off[i]);
		tree_text(tree, path, 0644, "N");
	}
	tree_text(tree, "sys/module/vfio_iommu_type1/parameters/dma_entry_limit", 0644, "%" PRIu64,
		  machine->config.iommu.dma_entries);
}

static void write_modules(const struct uvfio_machine *machine, struct tree *tree)
{
	static const struct {
		const char *path;
		mode_t mode;
		const char *value;
	} parameters[] = {
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
	write_misc_nodes(machine, tree);
	for (unsigned int i = 0; i < machine->config.nr_devices; i++) {
		struct machine_group group;

		machine_group_of(&machine->config.devices[i], &group);
		if (machine_first_of_group(&machine->config, i))
			write_group(machine, &group, tree);
	}
	if (!strcmp(machine->config.iommu.type, "type1")) {
		write_iommu(machine, tree);
		write_type1(machine, tree);
	}
	write_modules(machine, tree);
	write_driver(tree);
}
