/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A machine: what exists. Devices, IOMMU, nodes and the sysfs tree, made from a description in text.
 *
 * The description is a list of lines, the same words as on the command line:
 *     device nvme,file=disk.img,addr=0000:00:01.0
 *     iommu width=48,dma-entries=65535
 * The launcher writes it to SESSION/machine, the preload library reads it from there.
 */
#ifndef UVFIO_MACHINE_MACHINE_H
#define UVFIO_MACHINE_MACHINE_H

#include "base/base.h"
#include "file/file.h"
#include "iommu/domain.h"

struct uvfio_machine;

/* What a machine has when nobody says anything: one NVMe controller with RAM behind it. */
#define MACHINE_DEFAULT_DEVICE "nvme,size=256M"

/*
 * Make a machine from a description. state_dir: for memory that the session's processes share; NULL: private.
 * Everything is checked and every image opened; no thread is started.
 * On error NULL, and one line without newline in err.
 */
struct uvfio_machine *machine_new(const char *description, const char *state_dir, char *err, size_t err_len);
void machine_free(struct uvfio_machine *machine); /* every file closed */

/*
 * Write the tree of /dev and /sys below dir ("dev/vfio/vfio", "sys/bus/pci/devices/...").
 * The nodes of /dev are sockets (mknodat S_IFSOCK, with the node's permission bits): a node that is reached
 * by a road where no path was translated fails to open with ENXIO, and the interception then knows what it
 * is. 0 or -errno.
 */
int machine_write_tree(struct uvfio_machine *machine, const char *dir);

/*
 * Open a node of /dev by its path ("/dev/vfio/vfio", "/dev/vfio/12", "/dev/vfio/noiommu-0"). *file has one
 * reference. -ENOENT when the machine has no such node.
 */
int machine_open(struct uvfio_machine *machine, const char *path, int oflags, struct file **file);

/* Device numbers of a node, for stat(): 0 and *rdev, or -ENOENT. mode: permission bits. */
int machine_node_rdev(struct uvfio_machine *machine, const char *path, dev_t *rdev, mode_t *mode);

/* This is the child of a fork: threads are gone, locks may need to be made anew. */
void machine_forked(struct uvfio_machine *machine);

/* For `uvfio devices`. */
const struct uvfio_option *machine_iommu_options(void);
const struct uvfio_option *
machine_common_device_options(void); /* addr, group, noiommu: every device has them */

#endif
