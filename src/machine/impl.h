/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Private to machine/: what a machine is made of. Devices come and go while it is in use; what else the
 * description says does not change.
 *
 * Lock order: mdevs_lock, adding, lock, then those of vfio/. mdevs_lock is held while instances of mediated
 * devices are made and freed, but not while one waits to be closed (mdev.h).
 * lock is held for a moment only, and by none of the calls
 * that a program makes often: opening a node, stat() of one, and what control asks for. No function is made,
 * unregistered or reset with it held.
 */
#ifndef UVFIO_MACHINE_IMPL_H
#define UVFIO_MACHINE_IMPL_H

#include "machine/config.h"
#include "machine/machine.h"
#include "vfio/vfio.h"

#include <pthread.h>

/* Device numbers of the nodes, as on a common machine. */
#define MISC_MAJOR        10
#define VFIO_MISC_MINOR   196
#define IOMMU_MISC_MINOR  127
#define KVM_MISC_MINOR    232
#define VFIO_GROUP_MAJOR  252u
#define VFIO_DEVICE_MAJOR 251u

/* Permission bits of the nodes. */
#define VFIO_MISC_MODE  0666
#define IOMMU_MISC_MODE 0660
#define KVM_MISC_MODE   0666
#define VFIO_NODE_MODE  0600 /* groups and cdevs */

struct machine_group {
	unsigned int id;
	bool noiommu;
	unsigned int minor;
	char name[24]; /* of the node: "12" or "noiommu-12" */
};

struct uvfio_machine {
	struct machine_config config; /* its devices: under lock */
	char *state_dir;
	struct vfio *vfio;
	pthread_mutex_t adding; /* held by machine_add_device() */
	pthread_mutex_t lock;
	/* under lock */
	struct pci_func **funcs; /* one for each device of config, in its order; NULL: it is being made */
	struct cds_list_head removals;
	struct mdev_parent **parents; /* one for each of config */
	pthread_mutex_t mdevs_lock;
	struct cds_list_head mdevs; /* struct machine_mdev; under mdevs_lock */
};

/* The group of a device. */
void machine_group_of(const struct device_config *dev, struct machine_group *group);
/* Is the device the first of its group? */
bool machine_first_of_group(const struct machine_config *config, unsigned int index);
bool machine_has_noiommu(const struct machine_config *config);
/* Has the device a node of its own? */
bool machine_has_cdev(const struct uvfio_machine *machine, const struct device_config *dev);
/* Make the function of a device. *func, or -errno with a line in err. */
int machine_make_function(struct uvfio_machine *machine, const struct device_config *dev,
			  struct pci_func **func, char *err, size_t err_len);

/* hotplug.c */
void removals_end(struct uvfio_machine *machine);    /* wait for all */
void removals_forked(struct uvfio_machine *machine); /* this is the child of a fork */
/* Where in config is the device? -1: nowhere. */
int machine_find(const struct uvfio_machine *machine, const char *bdf);

struct tree;
/* The directory of a function, and the rest of sysfs and /dev. Errors stay in the tree. */
void write_pci_function(const struct uvfio_machine *machine, unsigned int index, struct tree *tree);
void write_vfio_nodes(const struct uvfio_machine *machine, struct tree *tree);
void write_debugfs(struct tree *tree);
void write_group(const struct uvfio_machine *machine, const struct machine_group *group, struct tree *tree);
/* Take away what the two wrote. */
void erase_pci_function(const struct device_config *dev, struct tree *tree);
void erase_group(const struct machine_group *group, struct tree *tree);
void write_misc_nodes(const struct uvfio_machine *machine, struct tree *tree);
void write_group_node(const struct machine_group *group, struct tree *tree);
void erase_group_node(const struct machine_group *group, struct tree *tree);
void write_cdev(const struct uvfio_machine *machine, const struct device_config *dev, struct tree *tree);
/* The same for a device whose directory is dir. */
void write_cdev_below(const char *dir, unsigned int index, bool has_node, struct tree *tree);
void erase_cdev_below(const char *dir, unsigned int index, struct tree *tree);
void erase_cdev(const struct device_config *dev, struct tree *tree);

/* mdev.c */
int machine_make_parents(struct uvfio_machine *machine, char *err, size_t err_len);
void machine_free_parents(struct uvfio_machine *machine); /* and all instances; every file closed */
void machine_mdevs_forked(struct uvfio_machine *machine);
void machine_mdevs_take_over(struct uvfio_machine *machine);
/* Follow what other processes of the session have made and removed. */
void machine_mdevs_sync(struct uvfio_machine *machine);
/* Is there an instance whose group's number, or node's, this is? */
bool machine_mdev_has_group(struct uvfio_machine *machine, unsigned int group);
/* Has one that is not being removed this cdev? */
bool machine_mdev_has_cdev(struct uvfio_machine *machine, unsigned int index);

/* mdev_files.c: sysfs files that do something when they are written. -ENOENT: path is none. */
int machine_attribute_open(struct uvfio_machine *machine, const char *path, int oflags, struct file **file);
int machine_attribute_mode(const char *path, mode_t *mode);

/* Where a function lives: "sys/devices/pci0000:00/0000:00:01.0". */
void pci_function_path(const struct pci_slot *slot, char *buf, size_t len);

/* listing_memory.c: for machine_list(). */
int machine_list_memory(struct uvfio_machine *machine, FILE *out);

/* images.c: -EINVAL and one line in err when an image that is written to is behind two devices. */
int machine_check_images(const struct machine_config *config, char *err, size_t err_len);

#endif
