/* SPDX-License-Identifier: BSD-2-Clause */
/* The nodes of /dev by their paths: which there are, their numbers, and opening them. */
#include "base/log.h"
#include "iommufd/iommufd.h"
#include "kvm/kvm.h"
#include "kvm/soft.h"
#include "machine/impl.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysmacros.h>

enum node_kind { NODE_NONE, NODE_CONTAINER, NODE_IOMMU, NODE_GROUP, NODE_CDEV, NODE_KVM };

struct node {
	enum node_kind kind;
	struct machine_group group;
	unsigned int index; /* of a cdev */
};

/* The group of a mediated device. Its node's minor is its number. */
static bool find_mdev_group(struct uvfio_machine *machine, const char *name, struct machine_group *group)
{
	unsigned long id;
	char *end;

	if (*name < '1' || *name > '9')
		return false;
	id = strtoul(name, &end, 10);
	if (*end || id >= NOT_GIVEN || !machine_mdev_has_group(machine, (unsigned int)id))
		return false;
	*group = (struct machine_group){ .id = (unsigned int)id, .minor = (unsigned int)id };
	return true;
}

/* The machine's lock is held. */
static bool find_group(const struct uvfio_machine *machine, const char *name, struct machine_group *group)
{
	for (unsigned int i = 0; i < machine->config.nr_devices; i++) {
		machine_group_of(&machine->config.devices[i], group);
		if (!strcmp(group->name, name))
			return true;
	}
	return false;
}

/* "vfio12" is 12; NOT_GIVEN: no such name. */
static unsigned int cdev_index(const char *name)
{
	unsigned long index;
	char *end;

	if (strncmp(name, "vfio", 4) || name[4] < '0' || name[4] > '9' || (name[4] == '0' && name[5]))
		return NOT_GIVEN;
	index = strtoul(name + 4, &end, 10);
	return *end || index >= NOT_GIVEN ? NOT_GIVEN : (unsigned int)index;
}

/* What follows dir in path, or NULL. */
static const char *below(const char *path, const char *dir)
{
	size_t len = strlen(dir);

	return strncmp(path, dir, len) ? NULL : path + len;
}

static void find_node(struct uvfio_machine *machine, const char *path, struct node *node)
{
	const struct vfio_config *config = &machine->config.vfio;
	const char *name;

	node->kind = NODE_NONE;
	machine_mdevs_sync(machine);
	if (!strcmp(path, "/dev/iommu")) {
		node->kind = config->iommufd ? NODE_IOMMU : NODE_NONE;
	} else if (!strcmp(path, "/dev/kvm")) {
		node->kind = config->kvm == MACHINE_KVM_SOFT ? NODE_KVM : NODE_NONE;
	} else if ((name = below(path, "/dev/vfio/devices/"))) {
		node->index = cdev_index(name);
		if (config->iommufd && node->index != NOT_GIVEN)
			node->kind = NODE_CDEV;
	} else if (config->legacy && (name = below(path, "/dev/vfio/"))) {
		pthread_mutex_lock(&machine->lock);
		if (!strcmp(name, "vfio"))
			node->kind = NODE_CONTAINER;
		else if (find_group(machine, name, &node->group))
			node->kind = NODE_GROUP;
		pthread_mutex_unlock(&machine->lock);
		if (node->kind == NODE_NONE && find_mdev_group(machine, name, &node->group))
			node->kind = NODE_GROUP;
	}
}

/* There is a node as long as its device is in the description, whoever can still open it. */
static bool cdev_exists(struct uvfio_machine *machine, unsigned int index)
{
	bool found = false;

	pthread_mutex_lock(&machine->lock);
	for (unsigned int i = 0; i < machine->config.nr_devices; i++)
		found |= machine->config.devices[i].index == index &&
			 machine_has_cdev(machine, &machine->config.devices[i]);
	pthread_mutex_unlock(&machine->lock);
	return found || machine_mdev_has_cdev(machine, index);
}

enum machine_kvm machine_kvm(const struct uvfio_machine *machine)
{
	return machine->config.vfio.kvm;
}

static int open_container(struct uvfio_machine *machine, int oflags, struct file **file)
{
	if (machine->config.vfio.iommufd_container)
		return iommufd_open(&machine->config.iommu, true, oflags, file);
	return vfio_container_open(machine->vfio, oflags, file);
}

static int open_kvm(int oflags, struct file **file)
{
	char why[256];
	int rc = soft_cpu_init(why, sizeof(why));

	if (rc) {
		uvfio_err("/dev/kvm: %s", why);
		return -ENODEV;
	}
	kvm_created = pci_map_for_guests;
	return kvm_dev_open(oflags, file);
}

int machine_open(struct uvfio_machine *machine, const char *path, int oflags, struct file **file)
{
	struct node node;

	if (!strncmp(path, "/sys/", 5))
		return machine_attribute_open(machine, path, oflags, file);
	find_node(machine, path, &node);
	if (node.kind != NODE_NONE && (oflags & O_DIRECTORY))
		return -ENOTDIR;
	switch (node.kind) {
	case NODE_CONTAINER:
		return open_container(machine, oflags, file);
	case NODE_IOMMU:
		return iommufd_open(&machine->config.iommu, false, oflags, file);
	case NODE_GROUP:
		return vfio_group_open(machine->vfio, node.group.id, node.group.noiommu, oflags, file);
	case NODE_CDEV:
		if (!cdev_exists(machine, node.index))
			return -ENOENT;
		return vfio_cdev_open(machine->vfio, node.index, oflags, file);
	case NODE_KVM:
		return open_kvm(oflags, file);
	case NODE_NONE:
		break;
	}
	return -ENOENT;
}

/* A cdev has its numbers as long as somebody has it open, even when its device is gone. */
int machine_node_rdev(struct uvfio_machine *machine, const char *path, dev_t *rdev, mode_t *mode)
{
	struct node node;

	*rdev = 0;
	if (!strncmp(path, "/sys/", 5))
		return machine_attribute_mode(path, mode);
	find_node(machine, path, &node);
	switch (node.kind) {
	case NODE_CONTAINER:
		*rdev = makedev(MISC_MAJOR, VFIO_MISC_MINOR);
		*mode = VFIO_MISC_MODE;
		return 0;
	case NODE_IOMMU:
		*rdev = makedev(MISC_MAJOR, IOMMU_MISC_MINOR);
		*mode = IOMMU_MISC_MODE;
		return 0;
	case NODE_GROUP:
		*rdev = makedev(VFIO_GROUP_MAJOR, node.group.minor);
		*mode = VFIO_NODE_MODE;
		return 0;
	case NODE_CDEV:
		*rdev = makedev(VFIO_DEVICE_MAJOR, node.index);
		*mode = VFIO_NODE_MODE;
		return 0;
	case NODE_KVM:
		*rdev = makedev(MISC_MAJOR, KVM_MISC_MINOR);
		*mode = KVM_MISC_MODE;
		return 0;
	case NODE_NONE:
		break;
	}
	return -ENOENT;
}
