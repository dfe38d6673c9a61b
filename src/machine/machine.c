/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Making a machine from its description, and finding its nodes.
 *
 * A machine is made completely or not at all; afterwards it does not change, so that its calls need no lock.
 */
#include "devices/models.h"
#include "machine/impl.h"
#include "machine/tree.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysmacros.h>
#include <unistd.h>

static int make_groups(struct uvfio_machine *machine)
{
	machine->groups = calloc(machine->config.nr_devices + 1, sizeof(*machine->groups));
	if (!machine->groups)
		return -ENOMEM;
	for (unsigned int i = 0; i < machine->config.nr_devices; i++) {
		const struct device_config *dev = &machine->config.devices[i];
		struct machine_group *group = &machine->groups[machine->nr_groups];

		if (machine_group_of(machine, dev))
			continue;
		*group = (struct machine_group){ .id = dev->group,
						 .noiommu = dev->noiommu,
						 .minor = machine->nr_groups };
		snprintf(group->name, sizeof(group->name), "%s%u", dev->noiommu ? "noiommu-" : "",
			 dev->group);
		machine->nr_groups++;
	}
	return 0;
}

static int make_functions(struct uvfio_machine *machine, char *err, size_t err_len)
{
	machine->funcs = calloc(machine->config.nr_devices + 1, sizeof(struct pci_func *));
	if (!machine->funcs) {
		snprintf(err, err_len, "out of memory");
		return -ENOMEM;
	}
	for (unsigned int i = 0; i < machine->config.nr_devices; i++) {
		const struct device_config *dev = &machine->config.devices[i];
		struct pci_func_config how = {
			.slot = dev->slot,
			.group_id = dev->group,
			.noiommu = dev->noiommu,
			.state_dir = machine->state_dir,
			.instance = i,
			.options = dev->options,
		};
		int rc;

		*err = 0;
		rc = pci_func_create(machine->vfio, dev->model, &how, &machine->funcs[i], err, err_len);
		if (rc) {
			if (!*err)
				snprintf(err, err_len, "%s: cannot be made: %s", dev->model->name,
					 strerror(-rc));
			return rc;
		}
		machine->nr_funcs++;
	}
	return 0;
}

struct uvfio_machine *machine_new(const char *description, const char *state_dir, char *err, size_t err_len)
{
	struct uvfio_machine *machine = calloc(1, sizeof(*machine));

	if (!machine) {
		snprintf(err, err_len, "out of memory");
		return NULL;
	}
	if (machine_config_parse(description, &machine->config, err, err_len) ||
	    machine_check_images(&machine->config, err, err_len))
		goto fail;
	machine->state_dir = state_dir ? strdup(state_dir) : NULL;
	if ((state_dir && !machine->state_dir) || make_groups(machine)) {
		snprintf(err, err_len, "out of memory");
		goto fail;
	}
	machine->vfio = vfio_new(&machine->config.iommu, machine_has_noiommu(machine));
	if (!machine->vfio) {
		snprintf(err, err_len, "out of memory");
		goto fail;
	}
	if (make_functions(machine, err, err_len))
		goto fail;
	return machine;
fail:
	machine_free(machine);
	return NULL;
}

void machine_free(struct uvfio_machine *machine)
{
	while (machine->nr_funcs)
		pci_func_destroy(machine->funcs[--machine->nr_funcs]);
	if (machine->vfio)
		vfio_free(machine->vfio);
	free(machine->funcs);
	free(machine->groups);
	free(machine->state_dir);
	machine_config_free(&machine->config);
	free(machine);
}

void machine_forked(struct uvfio_machine *machine)
{
	for (unsigned int i = 0; i < machine->nr_funcs; i++)
		pci_func_forked(machine->funcs[i]);
	vfio_forked(machine->vfio);
}

/* "/dev/vfio/NAME" -> NAME, or NULL. */
static const char *node_name(const char *path)
{
	static const char dir[] = "/dev/vfio/";

	return strncmp(path, dir, strlen(dir)) ? NULL : path + strlen(dir);
}

static const struct machine_group *group_node(const struct uvfio_machine *machine, const char *name)
{
	for (unsigned int i = 0; i < machine->nr_groups; i++)
		if (!strcmp(machine->groups[i].name, name))
			return &machine->groups[i];
	return NULL;
}

int machine_open(struct uvfio_machine *machine, const char *path, int oflags, struct file **file)
{
	const char *name = node_name(path);
	const struct machine_group *group;

	if (!name)
		return -ENOENT;
	if (oflags & O_DIRECTORY)
		return -ENOTDIR;
	if (!strcmp(name, "vfio"))
		return vfio_container_open(machine->vfio, oflags, file);
	group = group_node(machine, name);
	if (!group)
		return -ENOENT;
	return vfio_group_open(machine->vfio, group->id, group->noiommu, oflags, file);
}

int machine_node_rdev(struct uvfio_machine *machine, const char *path, dev_t *rdev, mode_t *mode)
{
	const char *name = node_name(path);
	const struct machine_group *group;

	if (!name)
		return -ENOENT;
	if (!strcmp(name, "vfio")) {
		*rdev = makedev(MISC_MAJOR, VFIO_MISC_MINOR);
		*mode = 0666;
		return 0;
	}
	group = group_node(machine, name);
	if (!group)
		return -ENOENT;
	*rdev = makedev(VFIO_GROUP_MAJOR, group->minor);
	*mode = 0600;
	return 0;
}

int machine_write_tree(struct uvfio_machine *machine, const char *dir)
{
	struct tree tree = { .root = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC) };

	if (tree.root < 0)
		return -errno;
	for (unsigned int i = 0; i < machine->nr_funcs; i++)
		write_pci_function(machine, i, &tree);
	write_vfio_nodes(machine, &tree);
	close(tree.root);
	return tree.error;
}
