/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What sysfs says about mediated devices. A parent is a virtual device of a class that is called like its
 * driver, as the kernel's samples are.
 */
#include "machine/mdev.h"
#include "machine/tree.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define ATTRIBUTE_MODE 0200

static void parent_path(const struct mdev_parent *parent, char *buf, size_t len)
{
	snprintf(buf, len, "sys/devices/virtual/%s/%s", mdev_parent_driver(parent)->name,
		 mdev_parent_name(parent));
}

static void type_path(const struct mdev_parent *parent, const struct uvfio_mdev_type *type, char *buf,
		      size_t len)
{
	char dir[160], name[64];

	parent_path(parent, dir, sizeof(dir));
	mdev_type_name(parent, type, name, sizeof(name));
	snprintf(buf, len, "%s/mdev_supported_types/%s", dir, name);
}

static void mdev_path(const struct machine_mdev *m, char *buf, size_t len)
{
	int n;

	parent_path(m->parent, buf, len);
	n = (int)strlen(buf);
	snprintf(buf + n, len - (size_t)n, "/%s", m->uuid);
}

__printf(4, 5) static void attribute(struct tree *tree, const char *dir, const char *name, const char *fmt,
				     ...)
{
	char path[400], text[1024];
	va_list args;

	va_start(args, fmt);
	vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	snprintf(path, sizeof(path), "%s/%s", dir, name);
	tree_text(tree, path, 0444, "%s", text);
}

static void link_in(struct tree *tree, const char *below, const char *name, const char *to)
{
	char link[400];

	snprintf(link, sizeof(link), "%s/%s", below, name);
	tree_link(tree, link, to);
}

static void command(struct tree *tree, const char *dir, const char *name)
{
	char path[400];

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	tree_node(tree, path, ATTRIBUTE_MODE);
}

static void power(struct tree *tree, const char *dir)
{
	attribute(tree, dir, "power/runtime_status", "unsupported");
	attribute(tree, dir, "power/runtime_active_time", "0");
	attribute(tree, dir, "power/runtime_suspended_time", "0");
	attribute(tree, dir, "power/control", "auto");
}

/* ---- parents */

static void write_type(struct mdev_parent *parent, const struct uvfio_mdev_type *type, struct tree *tree)
{
	char dir[256], path[300];

	type_path(parent, type, dir, sizeof(dir));
	command(tree, dir, "create");
	attribute(tree, dir, "device_api", "%s", mdev_parent_driver(parent)->device_api);
	attribute(tree, dir, "name", "%s", type->pretty_name ? type->pretty_name : type->name);
	if (type->description)
		attribute(tree, dir, "description", "%s", type->description);
	attribute(tree, dir, "available_instances", "%u", mdev_available(parent, type));
	snprintf(path, sizeof(path), "%s/devices", dir);
	tree_dir(tree, path);
}

static void write_driver(const char *name, struct tree *tree)
{
	static const char *const sinks[] = { "bind", "uevent", "unbind" };
	char path[160], target[120];

	for (unsigned int i = 0; i < ARRAY_SIZE(sinks); i++) {
		snprintf(path, sizeof(path), "sys/bus/mdev/drivers/%s/%s", name, sinks[i]);
		tree_data(tree, path, 0200, "", 0);
	}
	snprintf(path, sizeof(path), "sys/module/mdev/holders/%s", name);
	snprintf(target, sizeof(target), "sys/bus/mdev/drivers/%s", name);
	tree_link(tree, path, target);
}

static void write_parent(struct mdev_parent *parent, struct tree *tree)
{
	const struct uvfio_mdev_driver *driver = mdev_parent_driver(parent);
	char dir[160], path[200];

	parent_path(parent, dir, sizeof(dir));
	snprintf(path, sizeof(path), "%s/uevent", dir);
	tree_data(tree, path, 0644, "", 0);
	power(tree, dir);
	snprintf(path, sizeof(path), "sys/class/%s", driver->name);
	link_in(tree, path, mdev_parent_name(parent), dir);
	link_in(tree, dir, "subsystem", path);
	for (const struct uvfio_mdev_type *type = driver->types; type->name; type++)
		write_type(parent, type, tree);
	link_in(tree, "sys/class/mdev_bus", mdev_parent_name(parent), dir);
	write_driver(driver->name, tree);
}

void write_mdev_parents(const struct uvfio_machine *machine, struct tree *tree)
{
	if (!machine->config.nr_parents)
		return;
	tree_dir(tree, "sys/bus/mdev/devices");
	tree_data(tree, "sys/bus/mdev/drivers_probe", 0200, "", 0);
	tree_text(tree, "sys/bus/mdev/drivers_autoprobe", 0644, "1");
	for (unsigned int i = 0; i < machine->config.nr_parents; i++)
		write_parent(machine->parents[i], tree);
}

void update_mdev_available(struct mdev_parent *parent, struct tree *tree)
{
	const struct uvfio_mdev_type *type = mdev_parent_driver(parent)->types;
	char path[300], dir[256];

	for (; type->name; type++) {
		type_path(parent, type, dir, sizeof(dir));
		snprintf(path, sizeof(path), "%s/available_instances", dir);
		tree_replace(tree, path, 0444, "%u", mdev_available(parent, type));
	}
}

/* ---- instances */

/* Its group has no IOMMU behind it. */
static void write_group_of(const struct uvfio_machine *machine, const struct machine_mdev *m, const char *dir,
			   struct tree *tree)
{
	struct machine_group group = { .id = m->group, .minor = m->group };
	char path[80];

	snprintf(group.name, sizeof(group.name), "%u", m->group);
	snprintf(path, sizeof(path), "sys/kernel/iommu_groups/%u", m->group);
	attribute(tree, path, "name", "vfio-noiommu");
	attribute(tree, path, "type", "unknown");
	snprintf(path, sizeof(path), "sys/kernel/iommu_groups/%u/reserved_regions", m->group);
	tree_data(tree, path, 0444, "", 0);
	snprintf(path, sizeof(path), "sys/kernel/iommu_groups/%u/devices", m->group);
	link_in(tree, path, m->uuid, dir);
	if (machine->config.vfio.legacy)
		write_group_node(&group, tree);
	snprintf(path, sizeof(path), "sys/kernel/iommu_groups/%u", m->group);
	link_in(tree, dir, "iommu_group", path);
}

void write_mdev(const struct uvfio_machine *machine, const struct machine_mdev *m, struct tree *tree)
{
	const char *driver = mdev_parent_driver(m->parent)->name;
	char dir[200], type[256], path[320];

	mdev_path(m, dir, sizeof(dir));
	type_path(m->parent, m->type, type, sizeof(type));
	attribute(tree, dir, "uevent", "DRIVER=%s", driver);
	power(tree, dir);
	snprintf(path, sizeof(path), "sys/bus/mdev/drivers/%s", driver);
	link_in(tree, dir, "driver", path);
	link_in(tree, path, m->uuid, dir);
	link_in(tree, dir, "subsystem", "sys/bus/mdev");
	link_in(tree, dir, "mdev_type", type);
	write_group_of(machine, m, dir, tree);
	write_cdev_below(dir, m->index, machine->config.vfio.iommufd, tree);
	command(tree, dir, "remove");
	snprintf(path, sizeof(path), "%s/devices", type);
	link_in(tree, path, m->uuid, dir);
	link_in(tree, "sys/bus/mdev/devices", m->uuid, dir);
}

__printf(2, 3) static void erase(struct tree *tree, const char *fmt, ...)
{
	char path[400];
	va_list args;

	va_start(args, fmt);
	vsnprintf(path, sizeof(path), fmt, args);
	va_end(args);
	tree_erase(tree, path);
}

void erase_mdev_leaving(const struct machine_mdev *m, struct tree *tree)
{
	char dir[200], type[256];

	mdev_path(m, dir, sizeof(dir));
	type_path(m->parent, m->type, type, sizeof(type));
	erase(tree, "%s/remove", dir);
	erase(tree, "%s/mdev_type", dir);
	erase(tree, "%s/devices/%s", type, m->uuid);
	erase_cdev_below(dir, m->index, tree);
}

void erase_mdev(const struct machine_mdev *m, struct tree *tree)
{
	struct machine_group group = { .id = m->group, .minor = m->group };
	char dir[200];

	snprintf(group.name, sizeof(group.name), "%u", m->group);
	mdev_path(m, dir, sizeof(dir));
	erase(tree, "sys/bus/mdev/devices/%s", m->uuid);
	erase(tree, "sys/bus/mdev/drivers/%s/%s", mdev_parent_driver(m->parent)->name, m->uuid);
	erase_group(&group, tree);
	tree_erase(tree, dir);
}
