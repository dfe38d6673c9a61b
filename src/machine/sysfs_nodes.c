/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The nodes below /dev, and what sysfs says about them.
 *
 * The nodes are sockets: who asks through an interposed call is told that they are character devices.
 */
#include "machine/impl.h"
#include "machine/tree.h"

#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

/* A character device: its node below /dev, and its directory in sysfs. */
struct node {
	const char *node, *dir;
	const char *class, *name; /* its entry in sys/class */
	unsigned int major_nr, minor_nr;
	mode_t mode;
	const char *mode_line; /* of uevent */
};

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
	char path[320];

	for (unsigned int i = 0; i < ARRAY_SIZE(files); i++) {
		snprintf(path, sizeof(path), "%s/power/%s", dir, files[i].name);
		tree_text(tree, path, files[i].mode, "%s", files[i].value);
	}
	snprintf(path, sizeof(path), "%s/power/autosuspend_delay_ms", dir);
	tree_data(tree, path, 0644, "", 0);
}

/* A device of a class, with or without a node. */
static void write_class_device(struct tree *tree, const char *class, const char *name, const char *dir)
{
	char path[320], target[80];

	snprintf(path, sizeof(path), "sys/class/%s/%s", class, name);
	tree_link(tree, path, dir);
	snprintf(path, sizeof(path), "%s/subsystem", dir);
	snprintf(target, sizeof(target), "sys/class/%s", class);
	tree_link(tree, path, target);
	write_power(tree, dir);
}

static void write_node(struct tree *tree, const struct node *node)
{
	char path[320], target[80];

	snprintf(target, sizeof(target), "dev/%s", node->node);
	tree_node(tree, target, node->mode);
	snprintf(path, sizeof(path), "dev/char/%u:%u", node->major_nr, node->minor_nr);
	tree_link(tree, path, target);
	snprintf(path, sizeof(path), "%s/dev", node->dir);
	tree_text(tree, path, 0444, "%u:%u", node->major_nr, node->minor_nr);
	snprintf(path, sizeof(path), "%s/uevent", node->dir);
	tree_text(tree, path, 0644, "MAJOR=%u\nMINOR=%u\nDEVNAME=%s%s", node->major_nr, node->minor_nr,
		  node->node, node->mode_line ? node->mode_line : "");
	snprintf(path, sizeof(path), "sys/dev/char/%u:%u", node->major_nr, node->minor_nr);
	tree_link(tree, path, node->dir);
	write_class_device(tree, node->class, node->name, node->dir);
}

/* All but its directory. */
static void erase_node(struct tree *tree, const struct node *node)
{
	char path[320];

	snprintf(path, sizeof(path), "dev/%s", node->node);
	tree_erase(tree, path);
	snprintf(path, sizeof(path), "dev/char/%u:%u", node->major_nr, node->minor_nr);
	tree_erase(tree, path);
	snprintf(path, sizeof(path), "sys/dev/char/%u:%u", node->major_nr, node->minor_nr);
	tree_erase(tree, path);
	snprintf(path, sizeof(path), "sys/class/%s/%s", node->class, node->name);
	tree_erase(tree, path);
}

void write_misc_nodes(const struct uvfio_machine *machine, struct tree *tree)
{
	static const struct node container = { .node = "vfio/vfio",
					       .dir = "sys/devices/virtual/misc/vfio",
					       .class = "misc",
					       .name = "vfio",
					       .major_nr = MISC_MAJOR,
					       .minor_nr = VFIO_MISC_MINOR,
					       .mode = VFIO_MISC_MODE,
					       .mode_line = "\nDEVMODE=0666" };
	static const struct node iommu = { .node = "iommu",
					   .dir = "sys/devices/virtual/misc/iommu",
					   .class = "misc",
					   .name = "iommu",
					   .major_nr = MISC_MAJOR,
					   .minor_nr = IOMMU_MISC_MINOR,
					   .mode = IOMMU_MISC_MODE,
					   .mode_line = "\nDEVMODE=0660" };
	static const struct node kvm = { .node = "kvm",
					 .dir = "sys/devices/virtual/misc/kvm",
					 .class = "misc",
					 .name = "kvm",
					 .major_nr = MISC_MAJOR,
					 .minor_nr = KVM_MISC_MINOR,
					 .mode = KVM_MISC_MODE };

	tree_dir(tree, "sys/class/vfio-dev");
	if (machine->config.vfio.legacy) {
		tree_dir(tree, "sys/class/vfio");
		write_node(tree, &container);
	}
	if (machine->config.vfio.iommufd) {
		tree_dir(tree, "sys/module/iommufd");
		write_node(tree, &iommu);
	}
	if (machine->config.vfio.kvm == MACHINE_KVM_SOFT)
		write_node(tree, &kvm);
	else if (machine->config.vfio.kvm == MACHINE_KVM_OFF)
		tree_data(tree, "dev/kvm.off", 0444, "", 0); /* hides the host's: intercept/paths.c */
}

/* ---- groups */

struct group_node {
	struct node node;
	char path[40], dir[60];
};

static void group_node(const struct machine_group *group, struct group_node *out)
{
	snprintf(out->path, sizeof(out->path), "vfio/%s", group->name);
	snprintf(out->dir, sizeof(out->dir), "sys/devices/virtual/vfio/%s", group->name);
	out->node = (struct node){ .node = out->path,
				   .dir = out->dir,
				   .class = "vfio",
				   .name = group->name,
				   .major_nr = VFIO_GROUP_MAJOR,
				   .minor_nr = group->minor,
				   .mode = VFIO_NODE_MODE };
}

void write_group_node(const struct machine_group *group, struct tree *tree)
{
	struct group_node node = { .path = "" };

	group_node(group, &node);
	write_node(tree, &node.node);
}

void erase_group_node(const struct machine_group *group, struct tree *tree)
{
	struct group_node node = { .path = "" };

	group_node(group, &node);
	erase_node(tree, &node.node);
	tree_erase(tree, node.dir);
}

/* ---- cdevs */

struct cdev_node {
	struct node node;
	char path[40], dir[240], name[20];
};

static void cdev_node(const char *device, unsigned int index, struct cdev_node *out)
{
	snprintf(out->name, sizeof(out->name), "vfio%u", index);
	snprintf(out->path, sizeof(out->path), "vfio/devices/%s", out->name);
	snprintf(out->dir, sizeof(out->dir), "%s/vfio-dev/%s", device, out->name);
	out->node = (struct node){ .node = out->path,
				   .dir = out->dir,
				   .class = "vfio-dev",
				   .name = out->name,
				   .major_nr = VFIO_DEVICE_MAJOR,
				   .minor_nr = index,
				   .mode = VFIO_NODE_MODE };
}

bool machine_has_cdev(const struct uvfio_machine *machine, const struct device_config *dev)
{
	return machine->config.vfio.iommufd && !dev->noiommu;
}

/* A device without a node still has its directory. */
void write_cdev_below(const char *dir, unsigned int index, bool has_node, struct tree *tree)
{
	struct cdev_node node = { .path = "" };
	char path[320];

	cdev_node(dir, index, &node);
	snprintf(path, sizeof(path), "%s/device", node.dir);
	tree_link(tree, path, dir);
	if (has_node) {
		write_node(tree, &node.node);
		return;
	}
	snprintf(path, sizeof(path), "%s/uevent", node.dir);
	tree_data(tree, path, 0644, "", 0);
	write_class_device(tree, node.node.class, node.name, node.dir);
}

void write_cdev(const struct uvfio_machine *machine, const struct device_config *dev, struct tree *tree)
{
	char function[64];

	pci_function_path(&dev->slot, function, sizeof(function));
	write_cdev_below(function, dev->index, machine_has_cdev(machine, dev), tree);
}

/* Its directory goes with the device's, that of the nodes with the last of them. */
void erase_cdev_below(const char *dir, unsigned int index, struct tree *tree)
{
	struct cdev_node node = { .path = "" };

	cdev_node(dir, index, &node);
	erase_node(tree, &node.node);
	unlinkat(tree->root, "dev/vfio/devices", AT_REMOVEDIR);
}

void erase_cdev(const struct device_config *dev, struct tree *tree)
{
	char function[64];

	pci_function_path(&dev->slot, function, sizeof(function));
	erase_cdev_below(function, dev->index, tree);
}
