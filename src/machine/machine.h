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

#include <stdio.h>

struct uvfio_machine;

/* What /dev/kvm is for the program: "vfio kvm=...". */
enum machine_kvm {
	MACHINE_KVM_HOST, /* the host's, and a KVM-VFIO device for its VMs that knows our files */
	MACHINE_KVM_SOFT, /* one of ours */
	MACHINE_KVM_OFF,  /* nothing */
};
enum machine_kvm machine_kvm(const struct uvfio_machine *machine);

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

/*
 * A file of sysfs whose descriptor fd another program had opened, before this one took its place: as
 * machine_open(). name: what the kernel calls the descriptor's memory. -ENOENT: it is no such file's.
 */
int machine_inherit(struct uvfio_machine *machine, int fd, const char *name, struct file **file);
/* Is that such a name? */
bool machine_inherits(const char *name);

/* A stream on a file has been flushed: what it wrote to one of sysfs is carried out. 1: something was; 0:
 * there was nothing, or it is another file; -errno: it was refused. */
int machine_attribute_flush(struct file *file);
/* The process ends: carry out what was written to files of sysfs that are still open. */
void machine_attributes_end(void);

/* Device numbers of a node, for stat(): 0 and *rdev, or -ENOENT. mode: permission bits. */
int machine_node_rdev(struct uvfio_machine *machine, const char *path, dev_t *rdev, mode_t *mode);

/* This is the child of a fork: threads are gone, locks may need to be made anew. */
void machine_forked(struct uvfio_machine *machine);
/* The same, when the process that had devices of it open is gone and this one goes on with them. */
void machine_take_over(struct uvfio_machine *machine);

/* ---- hot plug (hotplug.c). Any thread. Errors: -errno, and one line without newline in err. */

/*
 * Add the device of a line "device MODEL,key=value,..." ("device@INSTANCE:MINOR:INDEX ..." as
 * machine_device_line() has it). line: NULL, or where to put its complete description, allocated.
 */
int machine_add_device(struct uvfio_machine *machine, const char *text, char **line, char *err,
		       size_t err_len);

/*
 * Begin to remove a device; a thread does the rest. Orderly: its user is asked to let go of it (REQ), at once
 * and every ten seconds. Surprise: it is pulled out before this returns, and its user told so (ERR, then
 * REQ). Either way the device goes away when its last file is closed, nobody opens it any more (-ENODEV), and
 * nobody takes the removal back. done, if any, is then called with the address, by a thread without locks.
 * -ENODEV: there is no such device. -EALREADY: it is being removed; surprise then pulls it out, and is 0.
 */
int machine_remove_device(struct uvfio_machine *machine, const char *bdf, bool surprise,
			  void (*done)(void *arg, const char *bdf), void *arg, char *err, size_t err_len);
/* Wait until no removal is under way. */
void machine_wait_removed(struct uvfio_machine *machine);

/* Reset a function; report an uncorrectable error of it (ERR). -ENODEV: none there, or nobody has it open. */
int machine_reset_device(struct uvfio_machine *machine, const char *bdf, char *err, size_t err_len);
int machine_raise_error(struct uvfio_machine *machine, const char *bdf, char *err, size_t err_len);

/* The lines of all devices, complete; allocated, or NULL. */
char *machine_describe(struct uvfio_machine *machine);

/* The tree below dir, for a device that has been added, or is going to be removed. 0 or -errno. */
int machine_tree_add(struct uvfio_machine *machine, const char *dir, const char *bdf);
int machine_tree_remove(struct uvfio_machine *machine, const char *dir, const char *bdf);

/*
 * Write one row of text for each of what there is: "devices", "groups", "containers", "mappings" or "memory".
 * -EINVAL: something else; -ENOMEM.
 */
int machine_list(struct uvfio_machine *machine, const char *what, FILE *out);
const char *machine_list_heading(const char *what); /* NULL: something else */
/* What is said when there is none of these. NULL: nothing. */
const char *machine_list_none(const char *what);
/* Pages that VmLck of mm's process has for devices: all that containers charge, and IOMMUFDs in VFIO's mode.
 */
uint64_t machine_locked_pages(struct uvfio_machine *machine, struct mm *mm);

/*
 * One command as text (control.c): "list WHAT", "add LINE", "remove BDF", "pull BDF" (by surprise), "reset
 * BDF", "error BDF". removed and arg: for machine_remove_device(). Rows go to out. 0 or -errno with a line in
 * err.
 */
int machine_control(struct uvfio_machine *machine, const char *command,
		    void (*removed)(void *arg, const char *bdf), void *arg, FILE *out, char *err,
		    size_t err_len);

/*
 * ---- mediated devices (mdev.c). Any thread; state_dir is the session's directory, whose tree follows.
 *
 * Make an instance of a type ("mtty-1"). uuid: as a user writes it, len bytes with or without the line's end.
 * 0; -EINVAL: that is no UUID; -ENOENT: no such type; -EEXIST: there is one of that UUID; -EUSERS, -ENOSPC
 * and others: the driver has no more.
 */
int machine_mdev_create(struct uvfio_machine *machine, const char *type, const char *uuid, size_t len);
/*
 * Remove one, and wait until nobody has it open. 0; -ENODEV: there is none; -EALREADY: somebody removes it;
 * others: the session's list cannot be written.
 */
int machine_mdev_remove(struct uvfio_machine *machine, const char *uuid);
/* After how many ms of waiting for another process a line says so. */
extern unsigned int machine_mdev_patience;
/*
 * Make those that the description has. A machine without a session has them from machine_new() on; in a
 * session one process makes them, when the tree is there, and publishes them: they are in the list and in the
 * tree. Unpublished ones are there to see whether they can be. 0, or -errno with a line in err.
 */
int machine_make_mdevs(struct uvfio_machine *machine, bool publish, char *err, size_t err_len);
/* Why machine_mdev_create() failed, in words; to be asked at once. */
const char *machine_mdev_why(int rc);
/* Rows for `uvfio mdev`: types, or instances. */
void machine_mdev_list(struct uvfio_machine *machine, bool types, FILE *out);

/* For `uvfio devices`. */
const struct uvfio_option *
machine_common_device_options(void);                       /* addr, group, noiommu: every device has them */
const struct uvfio_option *machine_instance_options(void); /* type, uuid: of mediated devices */

#endif
