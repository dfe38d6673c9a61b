/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Pages that a driver has pinned and the program has unmapped from its memory.
 *
 * The kernel's page would stay until it is unpinned. Here it is gone, but the driver, which has done nothing
 * wrong, must not crash: where it touches such a page one of zeroes takes its place. That stays, since nobody
 * can tell later whether it is still ours.
 *
 * Found out in the signal handler. The thread is in a callback of a driver, so it holds no lock of ours; all
 * the same each lock is waited for only for a while.
 */
#include "vfio/internal.h"

#include "base/fault.h"
#include "base/log.h"
#include "base/thread.h"

#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static CDS_LIST_HEAD(holders); /* under lock */

static bool is_pinned(uint64_t va)
{
	struct vfio_page_holder *holder;

	cds_list_for_each_entry (holder, &holders, node)
		if (holder->holds(holder, va))
			return true;
	return false;
}

/* Somebody else's may be there by now, which is as good. */
static bool put_zeroes(uint64_t page)
{
	long rc = syscall(SYS_mmap, page, UVFIO_PAGE_SIZE, PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);

	return rc != -1 || errno == EEXIST;
}

static bool replace_page(uintptr_t at, const char *who)
{
	uint64_t page = align_down(at, UVFIO_PAGE_SIZE);
	bool pinned;

	if (!thread_lock_patiently(&lock))
		return false;
	pinned = is_pinned(page);
	pthread_mutex_unlock(&lock);
	if (!pinned || !put_zeroes(page))
		return false;
	uvfio_err_once(page,
		       "%s has pinned the page at 0x%llx, and the program has unmapped it from its memory: "
		       "there are zeroes now; use IOMMU_IOAS_UNMAP or VFIO_IOMMU_UNMAP_DMA before munmap",
		       who, (unsigned long long)page);
	return true;
}

void vfio_page_holder_add(struct vfio_page_holder *holder)
{
	fault_lost_handler(replace_page);
	pthread_mutex_lock(&lock);
	cds_list_add_tail(&holder->node, &holders);
	pthread_mutex_unlock(&lock);
}

void vfio_page_holder_remove(struct vfio_page_holder *holder)
{
	pthread_mutex_lock(&lock);
	cds_list_del(&holder->node);
	pthread_mutex_unlock(&lock);
}

void vfio_page_holders_forked(void)
{
	pthread_mutex_init(&lock, NULL);
}
