/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * KVM_DEV_VFIO_GROUP_SET_SPAPR_TCE: which hardware tables a guest table has.
 *
 * An attachment is a group's file and a hardware table of one guest table. There is one for each such pair,
 * however often it is asked for. A group has several in a guest table when its window was removed and made
 * anew; the old ones stay, dead, until the group or the guest table goes.
 */
#include "kvm/spapr/spapr_tce.h"

#include "base/failpoint.h"
#include "base/why.h"
#include "kvm/vfio.h"
#include "vfio/spapr.h"

#include <stdlib.h>

struct attachment {
	struct cds_list_head node; /* in the guest table's */
	struct file *group;        /* no reference: a name for it, as long as the KVM-VFIO device has it */
	struct hw_table *hw;
};

/* ---- attaching; vm->lock is held */

static struct hw_table *find_hw(struct guest_table *guest, const struct tce_table *table)
{
	struct hw_table *hw = guest->hw;

	while (hw && hw->table != table)
		hw = hw->next;
	return hw;
}

static bool is_attached(const struct guest_table *guest, const struct file *group, const struct hw_table *hw)
{
	struct attachment *a;

	cds_list_for_each_entry (a, &guest->attachments, node)
		if (a->group == group && a->hw == hw)
			return true;
	return false;
}

static struct hw_table *new_hw(struct guest_table *guest, struct tce_table *table)
{
	struct hw_table *hw = failpoint() ? NULL : aligned_alloc(_Alignof(struct hw_table), sizeof(*hw));

	if (!hw)
		return NULL;
	*hw = (struct hw_table){ .attachments = 0 };
	hw->table = tce_table_get(table);
	tce_source_add(&table->calls, &hw->source, &guest->counters);
	hw->shift = guest->page_shift - table->page_shift;
	return hw;
}

static int attach(struct guest_table *guest, struct file *group, struct tce_table *table)
{
	struct hw_table *hw = find_hw(guest, table), *made = NULL;
	struct attachment *a;

	if (hw && is_attached(guest, group, hw))
		return 0;
	a = failpoint() ? NULL : malloc(sizeof(*a));
	if (a && !hw)
		hw = made = new_hw(guest, table);
	if (!a || !hw) {
		free(a);
		return -ENOMEM;
	}
	*a = (struct attachment){ .group = group, .hw = hw };
	hw->attachments++;
	cds_list_add(&a->node, &guest->attachments);
	if (made) {
		atomic_store(&hw->next, atomic_load(&guest->hw));
		atomic_store(&guest->hw, hw);
	}
	return 0;
}

/* ---- detaching */

/* vm->lock is held. What has to be freed when no section is open is put in front of *gone. */
static void detach(struct guest_table *guest, struct attachment *a, struct cds_list_head *gone)
{
	_Atomic(struct hw_table *) *place = &guest->hw;

	cds_list_del(&a->node);
	cds_list_add(&a->node, gone);
	if (--a->hw->attachments) {
		a->hw = NULL;
		return;
	}
	while (atomic_load(place) != a->hw)
		place = &atomic_load(place)->next;
	atomic_store(place, atomic_load(&a->hw->next));
}

static void free_gone(struct spapr_vm *vm, struct cds_list_head *gone)
{
	struct attachment *a, *next;

	srcu_synchronize(&vm->kvm->srcu);
	cds_list_for_each_entry_safe (a, next, gone, node) {
		if (a->hw) {
			tce_source_remove(&a->hw->table->calls, &a->hw->source);
			tce_table_put(a->hw->table);
			free(a->hw);
		}
		free(a);
	}
}

void spapr_detach_all(struct guest_table *guest)
{
	struct attachment *a, *next;
	CDS_LIST_HEAD(gone);

	pthread_mutex_lock(&guest->vm->lock);
	cds_list_for_each_entry_safe (a, next, &guest->attachments, node)
		detach(guest, a, &gone);
	pthread_mutex_unlock(&guest->vm->lock);
	free_gone(guest->vm, &gone);
}

void spapr_file_removed(void *arch, struct file *file)
{
	struct spapr_vm *vm = arch;
	struct attachment *a, *next;
	CDS_LIST_HEAD(gone);

	pthread_mutex_lock(&vm->lock);
	for (struct guest_table *guest = vm->tables; guest; guest = guest->next)
		cds_list_for_each_entry_safe (a, next, &guest->attachments, node)
			if (a->group == file)
				detach(guest, a, &gone);
	pthread_mutex_unlock(&vm->lock);
	if (!cds_list_empty(&gone))
		free_gone(vm, &gone);
}

/* ---- the attribute */

bool spapr_has_file_attr(uint64_t attr)
{
	return attr == KVM_DEV_VFIO_GROUP_SET_SPAPR_TCE;
}

struct request {
	struct spapr_vm *vm;
	const struct caller *caller;
	struct kvm_vfio_spapr_tce in;
};

static int attach_window(struct spapr_vm *vm, struct guest_table *guest, struct file *group)
{
	struct tce_table *table = vfio_spapr_get_table(group, guest->offset << guest->page_shift,
						       guest->size << guest->page_shift, guest->page_shift);
	int rc;

	if (!table)
		return WHY(-EINVAL, "the group has no window at 0x%llx of 0x%llx bytes, in pages up to 2^%u",
			   (unsigned long long)guest->offset << guest->page_shift,
			   (unsigned long long)guest->size << guest->page_shift, guest->page_shift);
	if (table->mm != vm->kvm->mm) {
		tce_table_put(table);
		return WHY(-EINVAL, "the container serves another process");
	}
	pthread_mutex_lock(&vm->lock);
	rc = attach(guest, group, table);
	pthread_mutex_unlock(&vm->lock);
	tce_table_put(table);
	return rc;
}

/* The KVM-VFIO device's lock is held, so the group stays. */
static int attach_group(void *arg, struct file *group)
{
	const struct request *request = arg;
	const int fd = request->in.tablefd;
	struct guest_table *guest;
	struct file *file;
	int rc;

	if (!vfio_file_group(group))
		return WHY(-EIO, "descriptor %d is no group's", request->in.groupfd);
	rc = request->caller->ops->get_file(request->caller, fd, &file);
	if (rc)
		return rc == -EBADFD ? WHY(-EINVAL, "descriptor %d is no TCE table", fd)
				     : WHY(rc, "%d is no open descriptor", fd);
	guest = spapr_table_of_file(file);
	if (guest && guest->vm == request->vm)
		rc = attach_window(request->vm, guest, group);
	else
		rc = WHY(-EINVAL, "descriptor %d is no TCE table of this VM", fd);
	file_put(file);
	return rc;
}

int spapr_set_file_attr(void *arch, struct kvm_device *dev, const struct caller *caller,
			const struct kvm_device_attr *attr)
{
	struct request request = { .vm = arch, .caller = caller };

	if (copy_in(caller, &request.in, attr->addr, sizeof(request.in)))
		return WHY(-EFAULT, "addr is the address of two descriptors");
	return kvm_vfio_with_file(dev->private, caller, request.in.groupfd, attach_group, &request);
}
