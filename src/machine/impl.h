/* SPDX-License-Identifier: BSD-2-Clause */
/* Private to machine/: what a machine is made of. Nothing in it changes after machine_new(). */
#ifndef UVFIO_MACHINE_IMPL_H
#define UVFIO_MACHINE_IMPL_H

#include "machine/config.h"
#include "machine/machine.h"
#include "vfio/vfio.h"

/* Device numbers of the nodes, as on a common machine. */
#define MISC_MAJOR       10
#define VFIO_MISC_MINOR  196
#define VFIO_GROUP_MAJOR 252

struct machine_group {
	unsigned int id;
	bool noiommu;
	unsigned int minor; /* groups count from 0 in the order of their first devices */
	char name[24];      /* of the node: "12" or "noiommu-12" */
};

struct uvfio_machine {
	struct machine_config config;
	char *state_dir;
	struct vfio *vfio;
	unsigned int nr_funcs;
	struct pci_func **funcs; /* one for each device of config, in its order */
	unsigned int nr_groups;
	struct machine_group *groups;
};

static inline const struct machine_group *machine_group_of(const struct uvfio_machine *machine,
							   const struct device_config *dev)
{
	for (unsigned int i = 0; i < machine->nr_groups; i++)
		if (machine->groups[i].id == dev->group)
			return &machine->groups[i];
	return NULL;
}

static inline bool machine_has_noiommu(const struct uvfio_machine *machine)
{
	for (unsigned int i = 0; i < machine->nr_groups; i++)
		if (machine->groups[i].noiommu)
			return true;
	return false;
}

struct tree;
/* The directory of a function, and the rest of sysfs and /dev. Errors stay in the tree. */
void write_pci_function(const struct uvfio_machine *machine, unsigned int index, struct tree *tree);
void write_vfio_nodes(const struct uvfio_machine *machine, struct tree *tree);

/* Where a function lives: "sys/devices/pci0000:00/0000:00:01.0". */
void pci_function_path(const struct pci_slot *slot, char *buf, size_t len);

/* images.c: -EINVAL and one line in err when an image that is written to is behind two devices. */
int machine_check_images(const struct machine_config *config, char *err, size_t err_len);

#endif
