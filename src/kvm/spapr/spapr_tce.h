/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * TCE hypercalls of PAPR guests: between the files of this directory.
 *
 * A guest table is what KVM_CREATE_SPAPR_TCE makes: a LIOBN, and the entries as the guest has put them, in a
 * memfd that the program maps, too (table.c). Attached to it are hardware tables: those of windows of VFIO's
 * containers (iommu/spapr), one for each container whose group was tied to it (attach.c). A hypercall changes
 * all of them, then the guest's (hcall.c, tces.c).
 *
 * Tiers. The fast one allocates nothing, takes no lock and does not wait. What it cannot do so, the slow one
 * does from the start: changing an entry twice to the same is as good as once; and where a device has to be
 * waited for, the call goes on in the slow one. What that cannot do either is the program's.
 *
 * Lookups are in sections of the VM's srcu: of the list of guest tables, of the hardware tables of each, and
 * of memory slots. Changes are made under spapr_vm.lock; who has unlinked something waits for the sections
 * that are open, and frees it. The lock is inside that of the KVM-VFIO device, and outside all of VFIO's.
 *
 * Who keeps what: a guest table is its file's, and keeps the VM. A hardware table is kept while it is
 * attached; it is dead when its window is gone, and then passed over. An attachment ends with the guest
 * table's file, or when the group leaves the KVM-VFIO device, whichever is first.
 */
#ifndef UVFIO_KVM_SPAPR_TCE_H
#define UVFIO_KVM_SPAPR_TCE_H

#include "iommu/spapr/tce_table.h"
#include "kvm/impl.h"
#include "uvfio/kvm.h"

struct spapr_vm {
	struct kvm *kvm;
	pthread_mutex_t lock;
	_Atomic(struct guest_table *) tables;
	_Atomic uint64_t charged;      /* pages of locked memory, for guest tables */
	_Atomic unsigned int disabled; /* hypercalls that are the program's: bits, as hcall.c numbers them */
	struct cds_list_head all;      /* guest tables that count, also ones that nobody finds; under lock */
	struct tce_counts past;        /* of guest tables that are gone; under lock */
	struct tce_counters others;    /* hypercalls without a guest table */
};

struct guest_table {
	_Atomic(struct guest_table *) next; /* in vm->tables */
	struct spapr_vm *vm;                /* with a reference of the VM */
	uint64_t liobn, offset, size;       /* the latter in pages of 2^page_shift */
	unsigned int page_shift;
	int fd;
	size_t pages;              /* of the view */
	_Atomic uint64_t *view;    /* all of it */
	_Atomic uint64_t *present; /* pages of it that are there for sure: bits */
	uint64_t charged;
	_Atomic(struct hw_table *) hw;
	struct cds_list_head attachments; /* under vm->lock */
	struct cds_list_head node;        /* in vm->all */
	struct tce_counters counters;     /* hypercalls, by the tier that they ended in */
};

/* A hardware table of a guest table. Its pages may be smaller: each entry of the guest's is 2^shift of them.
 */
struct hw_table {
	_Atomic(struct hw_table *) next;
	struct tce_table *table; /* a reference */
	unsigned int shift;
	unsigned int attachments; /* under vm->lock */
	struct tce_source source; /* of table's: the guest table's counters */
	struct {
		_Alignas(64) _Atomic(struct tce_memory *) at;
	} hint[STRIPES]; /* where memory was found last time */
};

/* ---- table.c */

long spapr_ioctl_create(struct ioctl_call *call, void *arg);
long spapr_ioctl_create_64(struct ioctl_call *call, void *arg);
/* Behind a file, or NULL. */
struct guest_table *spapr_table_of_file(struct file *file);

/*
 * A page of the view, for n entries from index on which are all in it: 0; -EAGAIN: it may not be there, and
 * slow is false; -ENOENT: it is not there, and alloc is false: all of them are 0; -ENOMEM.
 */
int spapr_view_page(struct guest_table *table, uint64_t index, bool alloc, bool slow);

/* ---- attach.c */

bool spapr_has_file_attr(uint64_t attr);
int spapr_set_file_attr(void *arch, struct kvm_device *dev, const struct caller *caller,
			const struct kvm_device_attr *attr);
void spapr_file_removed(void *arch, struct file *file);
/* All of a guest table that nobody finds any more. */
void spapr_detach_all(struct guest_table *guest);

/* ---- hcall.c */

long spapr_hcall(void *arch, uint64_t number, const uint64_t *args, uint64_t *rets);
/* 0, or -EINVAL: it is none of them. */
int spapr_enable_hcall(struct spapr_vm *vm, uint64_t number, bool on);
/* By tier. liobn: of that guest table; NULL: of the VM's since it was made. 0, or -ENOENT. */
int spapr_get_counts(void *arch, const uint64_t *liobn, uint64_t counts[TCE_TIERS]);

#endif
