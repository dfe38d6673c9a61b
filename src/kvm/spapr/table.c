/* SPDX-License-Identifier: BSD-2-Clause */
/* Guest tables: KVM_CREATE_SPAPR_TCE, their files, and the guest's view. */
#include "kvm/spapr/spapr_tce.h"

#include "base/failpoint.h"
#include "base/private_fd.h"
#include "base/why.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#define ENTRIES_PER_PAGE (UVFIO_PAGE_SIZE / sizeof(uint64_t))

/* ---- the view */

static bool is_present(const struct guest_table *table, uint64_t page)
{
	return atomic_load_explicit(&table->present[page / 64], memory_order_relaxed) & BIT64(page % 64);
}

/* The program may have made it by writing there: is there anything in it? */
static bool has_data(const struct guest_table *table, uint64_t page)
{
	uint64_t entries[ENTRIES_PER_PAGE], any = 0;

	if (pread(table->fd, entries, sizeof(entries), (off_t)(page * UVFIO_PAGE_SIZE)) != sizeof(entries))
		return false;
	for (size_t i = 0; i < ARRAY_SIZE(entries); i++)
		any |= entries[i];
	return any;
}

int spapr_view_page(struct guest_table *table, uint64_t index, bool alloc, bool slow)
{
	const uint64_t page = index / ENTRIES_PER_PAGE;

	if (likely(is_present(table, page)))
		return 0;
	if (!slow)
		return -EAGAIN;
	if (!has_data(table, page)) {
		if (!alloc)
			return -ENOENT;
		if (failpoint() || fallocate(table->fd, 0, (off_t)(page * UVFIO_PAGE_SIZE), UVFIO_PAGE_SIZE))
			return -ENOMEM;
	}
	atomic_fetch_or(&table->present[page / 64], BIT64(page % 64));
	return 0;
}

static int make_view(struct guest_table *table)
{
	const size_t bytes = table->pages * UVFIO_PAGE_SIZE;
	void *view;

	table->fd = private_fd(memfd_create("uvfio-tce", MFD_CLOEXEC | MFD_ALLOW_SEALING));
	if (table->fd < 0)
		return -errno;
	view = ftruncate(table->fd, (off_t)bytes) ||
			       fcntl(table->fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW)
		       ? MAP_FAILED
		       : mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, table->fd, 0);
	if (view == MAP_FAILED)
		return WHY(-ENOMEM, "a view of %zu bytes has no room in the address space", bytes);
	table->view = view;
	/* Last: what is too large for an address space has been refused. */
	table->present = failpoint() ? NULL : calloc(table->pages / 64 + 1, sizeof(*table->present));
	return table->present ? 0 : -ENOMEM;
}

/* ---- locked memory */

/* As the kernel counts: the view, and what it has a pointer for each of its pages in. */
static uint64_t charge_for(uint64_t pages)
{
	return pages + (pages * sizeof(void *) + 128 + UVFIO_PAGE_MASK) / UVFIO_PAGE_SIZE;
}

/* A VM's tables are limited by themselves: what containers have charged may have been without a limit. */
static int charge(struct spapr_vm *vm, uint64_t pages)
{
	const uint64_t limit = mm_memlock_limit(vm->kvm->mm);
	uint64_t charged = atomic_load(&vm->charged);

	do {
		if (charged > limit || pages > limit - charged)
			return WHY(-ENOMEM, "%llu KiB of locked memory are over RLIMIT_MEMLOCK (ulimit -l)",
				   (unsigned long long)pages * 4);
	} while (!atomic_compare_exchange_weak(&vm->charged, &charged, charged + pages));
	if (!mm_charge(vm->kvm->mm, pages, UINT64_MAX))
		return 0;
	atomic_fetch_sub(&vm->charged, pages);
	return -ENOMEM;
}

static void uncharge(struct spapr_vm *vm, uint64_t pages)
{
	mm_uncharge(vm->kvm->mm, pages);
	atomic_fetch_sub(&vm->charged, pages);
}

/* ---- life */

static void free_table(struct guest_table *table)
{
	if (table->view)
		munmap((void *)table->view, table->pages * UVFIO_PAGE_SIZE);
	if (table->fd >= 0)
		private_fd_close(table->fd);
	free(table->present);
	uncharge(table->vm, table->charged);
	free(table);
}

static int new_table(struct spapr_vm *vm, const struct kvm_create_spapr_tce_64 *in, struct guest_table **out)
{
	const uint64_t pages = (in->size - 1) / ENTRIES_PER_PAGE + 1, charged = charge_for(pages);
	struct guest_table *table;
	int rc = charge(vm, charged);

	if (rc)
		return rc;
	table = failpoint() ? NULL : aligned_alloc(_Alignof(struct guest_table), sizeof(*table));
	if (!table) {
		uncharge(vm, charged);
		return -ENOMEM;
	}
	*table = (struct guest_table){ .vm = vm,
				       .liobn = in->liobn,
				       .offset = in->offset,
				       .size = in->size,
				       .page_shift = in->page_shift,
				       .fd = -1,
				       .pages = pages,
				       .charged = charged };
	CDS_INIT_LIST_HEAD(&table->attachments);
	CDS_INIT_LIST_HEAD(&table->node);
	rc = make_view(table);
	if (rc)
		free_table(table);
	else
		*out = table;
	return rc;
}

static int publish(struct spapr_vm *vm, struct guest_table *table)
{
	struct guest_table *other;
	int rc = 0;

	pthread_mutex_lock(&vm->lock);
	for (other = vm->tables; other && !rc; other = other->next)
		if (other->liobn == table->liobn)
			rc = WHY(-EBUSY, "there is a table of LIOBN 0x%llx",
				 (unsigned long long)table->liobn);
	if (!rc) {
		atomic_store(&table->next, atomic_load(&vm->tables));
		atomic_store(&vm->tables, table);
		cds_list_add(&table->node, &vm->all);
	}
	pthread_mutex_unlock(&vm->lock);
	return rc;
}

/* Nobody finds it any more. */
static void unpublish(struct spapr_vm *vm, struct guest_table *table)
{
	_Atomic(struct guest_table *) *place = &vm->tables;

	pthread_mutex_lock(&vm->lock);
	while (atomic_load(place) != table)
		place = &atomic_load(place)->next;
	atomic_store(place, atomic_load(&table->next));
	pthread_mutex_unlock(&vm->lock);
}

/* ---- the file */

/* Nobody finds it any more; somebody may still be in a section with it. */
static void end_table(struct guest_table *table)
{
	struct spapr_vm *vm = table->vm;
	struct kvm *kvm = vm->kvm;

	spapr_detach_all(table);
	pthread_mutex_lock(&vm->lock);
	tce_counters_add(&table->counters, &vm->past);
	cds_list_del(&table->node);
	pthread_mutex_unlock(&vm->lock);
	free_table(table);
	kvm_put(kvm);
}

static void table_release(struct file *file)
{
	struct guest_table *table = file->priv;

	unpublish(table->vm, table);
	end_table(table);
}

/* Behind its end, an access is a bus error. */
static int table_mmap(struct file *file, struct mmap_plan *plan)
{
	const struct guest_table *table = file->priv;

	plan->segments[plan->nr++] = (struct mmap_segment){
		.length = plan->length,
		.fd = table->fd,
		.fd_offset = plan->offset,
	};
	return 0;
}

/* The view itself: who links the library maps it without further ado. */
static int table_descriptor(struct file *file, int oflags)
{
	const struct guest_table *table = file->priv;
	int fd = fcntl(table->fd, oflags & O_CLOEXEC ? F_DUPFD_CLOEXEC : F_DUPFD, 0);

	return fd < 0 ? -errno : fd;
}

static const struct file_ops table_file_ops = {
	.name = "kvm-spapr-tce",
	.release = table_release,
	.mmap = table_mmap,
	.descriptor = table_descriptor,
};

struct guest_table *spapr_table_of_file(struct file *file)
{
	return file->ops == &table_file_ops ? file->priv : NULL;
}

/* ---- the ioctls */

static bool is_valid(const struct kvm_create_spapr_tce_64 *in)
{
	return !in->flags && in->size && in->page_shift >= 12 && in->page_shift <= 34 &&
	       in->size <= UINT64_MAX - in->offset && in->offset + in->size <= UINT64_MAX >> in->page_shift;
}

long spapr_ioctl_create_64(struct ioctl_call *call, void *arg)
{
	const struct kvm_create_spapr_tce_64 *in = arg;
	struct kvm *kvm = kvm_of_call(call);
	struct guest_table *table;
	struct file *file;
	int rc;

	if (!is_valid(in))
		return WHY(-EINVAL,
			   "flags are 0, size is not, page_shift is 12 to 34, the window ends below 2^64");
	rc = new_table(kvm->arch, in, &table);
	if (rc)
		return rc;
	kvm_get(kvm);
	rc = publish(kvm->arch, table);
	file = rc ? NULL : file_alloc(&table_file_ops, table, O_RDWR, "anon_inode:kvm-spapr-tce");
	if (!file) {
		if (!rc)
			unpublish(kvm->arch, table);
		end_table(table);
		return rc ? rc : -ENOMEM;
	}
	return call->caller->ops->install(call->caller, file, O_RDWR | O_CLOEXEC);
}

long spapr_ioctl_create(struct ioctl_call *call, void *arg)
{
	const struct kvm_create_spapr_tce *in = arg;
	struct kvm_create_spapr_tce_64 wide = { .liobn = in->liobn,
						.page_shift = 12,
						.size = in->window_size >> 12 };

	return spapr_ioctl_create_64(call, &wide);
}
