/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Mediated devices: parents, their types, and instances, made from what a driver describes by
 * <uvfio/mdev.h>. This is what the machine sees of them: which instances there are, and their numbers, is the
 * machine's affair.
 */
#ifndef UVFIO_MDEV_MDEV_H
#define UVFIO_MDEV_MDEV_H

#include "base/base.h"

#include <uvfio/mdev.h>

struct mdev_parent;
struct mdev_device;
struct vfio;

#define UUID_STRING_LEN 36

/*
 * What is written to a type's create file: a UUID, with or without a line's end. 0 and its name, in small
 * letters; -EINVAL.
 */
int mdev_parse_uuid(const char *text, size_t len, char uuid[UUID_STRING_LEN + 1]);

/* ---- parents */

/* options: key=value,... of the driver's table. plugin: its file, or NULL. -errno with a line in err. */
int mdev_parent_create(const struct uvfio_mdev_driver *driver, const char *options, const char *plugin,
		       struct mdev_parent **out, char *err, size_t err_len);
void mdev_parent_free(struct mdev_parent *parent); /* no instance left; NULL is fine */
void mdev_parent_forked(struct mdev_parent *parent);

const struct uvfio_mdev_driver *mdev_parent_driver(const struct mdev_parent *parent);
const char *mdev_parent_name(const struct mdev_parent *parent);
/* What sysfs calls a type: "mtty-1". */
void mdev_type_name(const struct mdev_parent *parent, const struct uvfio_mdev_type *type, char *buf,
		    size_t len);
/* The type of that name, or NULL. */
const struct uvfio_mdev_type *mdev_find_type(const struct mdev_parent *parent, const char *name);
/* How many more instances there can be. Nobody makes or frees one meanwhile. */
unsigned int mdev_available(struct mdev_parent *parent, const struct uvfio_mdev_type *type);

/* ---- instances */

struct mdev_config {
	const char *uuid;
	unsigned int group_id, vfio_index;
	unsigned int instance;
	const char *state_dir;
};

/*
 * Make an instance and register it with VFIO. Nobody else makes or frees one of the parent meanwhile. 0;
 * -EUSERS: there can be no more; what the driver's create says; -EEXIST, -EBUSY, -EINVAL as
 * vfio_register_device(); -ENOMEM.
 */
int mdev_device_create(struct vfio *vfio, struct mdev_parent *parent, const struct uvfio_mdev_type *type,
		       const struct mdev_config *config, struct mdev_device **out);
void mdev_device_set_leaving(struct mdev_device *mdev, bool leaving);
/* Wait until the last file is closed. Nothing finds the instance afterwards. */
void mdev_device_unregister(struct mdev_device *mdev);
void mdev_device_free(struct mdev_device *mdev);
void mdev_device_forked(struct mdev_device *mdev);
/* After that: who had it open is gone, and this process goes on with it. */
void mdev_device_take_over(struct mdev_device *mdev);

#endif
