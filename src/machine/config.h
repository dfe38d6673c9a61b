/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A machine's description, parsed: which devices at which addresses in which groups, and the IOMMU.
 *
 * Everything that the text alone decides is checked here; what a model's own options mean is the model's
 * affair. Addresses and groups that the text leaves open are filled in: functions 0000:00:01.0, 02.0, ... in
 * the order of the devices, groups 1, 2, ...; both skip what the text gives to someone else.
 */
#ifndef UVFIO_MACHINE_CONFIG_H
#define UVFIO_MACHINE_CONFIG_H

#include "iommu/domain.h"
#include "machine/machine.h"
#include "pci/pci.h"

#include <uvfio/mdev.h>

#define NOT_GIVEN UINT32_MAX

struct device_config {
	const struct uvfio_pci_model *model;
	char *name;    /* of the model, as written: doubled commas */
	char *options; /* for the model: the text without the common options */
	struct pci_slot slot;
	unsigned int group;
	bool noiommu;
	bool has_addr, has_group; /* given, not filled in */
	/*
	 * Numbers that stay a device's own while others come and go, so that every process of a session
	 * agrees about them: its own, its group's node's minor, and its own node's (N of vfioN). In a line
	 * "device@INSTANCE:MINOR:INDEX ...", or counted.
	 */
	unsigned int instance, minor, index;
};

/*
 * Mediated devices: "device DRIVER,key=value,type=T,uuid=U". There is one parent at most of each driver: the
 * first line makes it, with its options; each line gives an instance of it, unless it says type=none.
 */
struct mdev_parent_config {
	const struct uvfio_mdev_driver *driver;
	char *name;    /* as written: a plug-in's path, doubled commas */
	char *options; /* the parent's own */
};

struct mdev_instance_config {
	unsigned int parent; /* in parents */
	const struct uvfio_mdev_type *type;
	char uuid[40];
};

/* Which nodes there are, and what is behind /dev/vfio/vfio: of "vfio" lines. */
struct vfio_config {
	bool legacy;  /* /dev/vfio/vfio and groups */
	bool iommufd; /* /dev/iommu and cdevs */
	bool iommufd_container;
	enum machine_kvm kvm;
};

struct machine_config {
	struct iommu_params iommu;
	struct vfio_config vfio;
	unsigned int nr_devices;
	struct device_config *devices;
	unsigned int next_instance; /* above all that there have been */
	unsigned int nr_parents;    /* fixed once it has been parsed */
	struct mdev_parent_config *parents;
	unsigned int nr_instances; /* that there are at the start */
	struct mdev_instance_config *instances;
};

/* 0, -EINVAL or -ENOMEM; on error one line in err and nothing to free. */
int machine_config_parse(const char *description, struct machine_config *config, char *err, size_t err_len);
void machine_config_free(struct machine_config *config);

/* config_fill.c: choose what the text leaves open. -EINVAL with a line in err. */
int machine_config_fill(struct machine_config *config, char *err, size_t err_len);

/* Append the device of one line "device ...", with what it leaves open filled in. On error nothing changes.
 */
int machine_config_add(struct machine_config *config, const char *line, char *err, size_t err_len);
void machine_config_remove(struct machine_config *config, unsigned int index);
/* The line that describes a device completely, with its end; allocated, or NULL. */
char *machine_config_line(const struct device_config *dev);

/* "key=value,..." of all iommu lines joined by commas. reserved= may come several times. */
int iommu_config_parse(const char *text, struct iommu_params *params, char *err, size_t err_len);

/* vfio_options.c: "key=value,..." of all vfio lines joined by commas. */
int vfio_config_parse(const char *text, struct vfio_config *vfio, char *err, size_t err_len);

/* config_parents.c: for a line "device TEXT" */
/* The mediated driver that the text begins with, or NULL. */
const struct uvfio_mdev_driver *mdev_driver_of(const char *text);
int machine_config_add_parent(struct machine_config *config, const char *text, char *err, size_t err_len);
void machine_config_free_parents(struct machine_config *config);

/* config_text.c */
/* The option text's next item, [*start, *start + *len), doubled commas kept. False at the end. */
bool option_item(const char **text, const char **start, size_t *len);

/* What [start, start + len) of an option text says: every doubled comma is one. Allocated; NULL: no memory.
 */
char *option_text(const char *start, size_t len);

/* The entry of table whose key is [key, key + len), or NULL. */
const struct uvfio_option *option_find(const struct uvfio_option *table, const char *key, size_t len);

/* config_split.c. Options of two kinds in one text. */
struct option_tables {
	const char *who; /* for complaints */
	const struct uvfio_option *own, *common;
};

/* Sort the items of text into common options and own ones; both have room for all. -EINVAL with a line. */
int options_split(const struct option_tables *tables, const char *text, char *common, char *own, char *err,
		  size_t err_len);
/* Append an item to an option text that is large enough. */
void option_append(char *text, const char *item, size_t len);
/* Is there an item "KEY" or "KEY=..." in text? */
bool option_given(const char *text, const char *key);

/* A model's own options; an empty table when it has none. */
const struct uvfio_option *model_options(const struct uvfio_pci_model *model);

/* How many letters have to change to make a from b: for "did you mean". Stops counting at 9. */
unsigned int edit_distance(const char *a, const char *b);

#endif
