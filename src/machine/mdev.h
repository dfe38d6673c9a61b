/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Mediated devices of a machine: which instances there are.
 *
 * Every process of a session has a machine of its own, and all agree about the instances by a file of the
 * session, SESSION/mdevs: one line "UUID TYPE GROUP INDEX REMOVER" for each. Who makes or removes one holds a
 * lock on SESSION/mdevs.lock meanwhile, and changes file and tree; the others follow when they open a node. A
 * machine without a directory (the library) has its instances in memory only.
 *
 * An instance that is being removed has a remover, a process: nobody opens it any more. It goes when the lock
 * of its group can be had, that is when no other process has its group open. When its remover has been killed
 * meanwhile, who reads the list next and finds that lock free takes it away.
 *
 * Numbers of groups and nodes begin above those that devices are given (MDEV_FIRST).
 */
#ifndef UVFIO_MACHINE_MDEV_H
#define UVFIO_MACHINE_MDEV_H

#include "machine/impl.h"
#include "mdev/mdev.h"

#define MDEV_FIRST 256u

struct machine_mdev {
	struct cds_list_head node; /* in the machine's mdevs */
	char uuid[UUID_STRING_LEN + 1];
	struct mdev_parent *parent;
	const struct uvfio_mdev_type *type;
	unsigned int group, index; /* the group's node has the same minor as it has number */
	pid_t remover;             /* 0: it stays */
	bool listed;               /* it is in the list; otherwise it goes when nobody has it open */
	bool ours;                 /* a thread of this process removes it: nobody else here frees it */
	bool unregistered;         /* dev is of no use any more; for who frees it */
	struct mdev_device *dev;   /* NULL: it could not be made in this process, which is tried again */
};

/* mdev.c. The machine's mdevs_lock is held. */
struct machine_mdev *machine_mdev_find(const struct uvfio_machine *machine, const char *uuid);
/* An instance with these numbers. -errno as mdev_device_create(). */
int machine_mdev_make(struct uvfio_machine *machine, const struct machine_mdev *as);
/* An instance that another process has made: with or without its device. */
void machine_mdev_take(struct uvfio_machine *machine, const struct machine_mdev *as);
/* Make the device of an instance that has none, if that is possible now. */
void machine_mdev_retry(struct uvfio_machine *machine, struct machine_mdev *m);
void machine_mdev_set_leaving(struct machine_mdev *m);
/* Wait until nobody in this process has it open. The lock need not be held. */
void machine_mdev_unregister(struct machine_mdev *m);
/* It is not registered any more. */
void machine_mdev_drop(struct uvfio_machine *machine, struct machine_mdev *m);
/* The type of that name and whose it is, or NULL. */
const struct uvfio_mdev_type *machine_mdev_type(const struct uvfio_machine *machine, const char *name,
						struct mdev_parent **parent);

/* mdev_list.c: the session's list. The machine's mdevs_lock is held. */
/* The lock of SESSION/mdevs.lock: a descriptor for mdevs_unlock(), or -errno. */
int mdevs_lock_session(const struct uvfio_machine *machine);
void mdevs_unlock_session(int fd);
/* Follow what the list says. */
void mdevs_read(struct uvfio_machine *machine);
/* Write the list. 0 or -errno. */
int mdevs_write(const struct uvfio_machine *machine);
/* Wait until no process of the session has the group open, and keep it so: for mdevs_unlock_session(). */
int mdevs_claim_group(const struct uvfio_machine *machine, unsigned int group);
/* The same without waiting: -EAGAIN. */
int mdevs_try_claim_group(const struct uvfio_machine *machine, unsigned int group);
/* Who has the group open, for a message: "process 12 (name)". */
void mdevs_group_holder(const struct uvfio_machine *machine, unsigned int group, char *text, size_t len);

/* sysfs_mdev.c */
struct tree;
void write_mdev_parents(const struct uvfio_machine *machine, struct tree *tree);
void write_mdev(const struct uvfio_machine *machine, const struct machine_mdev *m, struct tree *tree);
/* What goes when the removal begins, and what when it ends. */
void erase_mdev_leaving(const struct machine_mdev *m, struct tree *tree);
void erase_mdev(const struct machine_mdev *m, struct tree *tree);
/* available_instances of all types of the instance's parent. */
void update_mdev_available(struct mdev_parent *parent, struct tree *tree);

#endif
