/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Memory for devices without an IOMMU of their own: pinned by page, or copied.
 *
 * Such a device is a pinner of its container, or has an access to an IOMMUFD, from before open_device to
 * behind close_device. vdev->pins does not change in that time, so a driver's calls take no lock to find it.
 *
 * An access believes that what it is given back was pinned: on an IOMMUFD, too, what the device has pinned is
 * counted here.
 */
#include "vfio/internal.h"

#include "base/fault.h"
#include "base/log.h"
#include "base/thread.h"
#include "base/why.h"
#include "iommu/pin_table.h"
#include "iommu/type1.h"

#include <stdlib.h>
#include <time.h>

/* A driver that has kept pages for so long keeps them: IOMMUFD asks as often before it gives up. */
#define TIMES_MAX 100u

struct vfio_pins {
	struct vfio_page_holder holder;
	/* of a container */
	struct type1_pinner *pinner;
	/* of an IOMMUFD */
	struct iommufd_ctx *ctx;
	struct iommufd_access *access;
	uint32_t id;
	bool attached;
	pthread_mutex_t calls_lock; /* innermost */
	pthread_cond_t ended;       /* with calls_lock: calls is 0 */
	unsigned int calls;         /* of dma_unmap, under way */
	bool closing;               /* it is not called any more, or not yet */
	pthread_mutex_t *lock;      /* the access's: protects what follows */
	pthread_cond_t unpinned;    /* with lock: pages were */
	uint64_t held;              /* an IOVA, and how often its unmapping found pages pinned */
	unsigned int times_held;
	uint64_t serial; /* so that each is reported once */
	struct pin_table pages;
};

static bool is_pinned(void *arg, uint64_t iova)
{
	struct vfio_pins *pins = arg;

	return pin_table_has(&pins->pages, iova / UVFIO_PAGE_SIZE, 1);
}

static bool holds(struct vfio_page_holder *holder, uint64_t va)
{
	struct vfio_pins *pins = container_of(holder, struct vfio_pins, holder);
	bool found;

	if (pins->pinner)
		return type1_pinner_holds(pins->pinner, va);
	if (!thread_lock_patiently(pins->lock))
		return false;
	found = iommufd_access_find_locked(pins->access, va, is_pinned, pins);
	pthread_mutex_unlock(pins->lock);
	return found;
}

static void init_locks(struct vfio_pins *pins)
{
	pthread_condattr_t attr;

	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&pins->unpinned, &attr);
	pthread_condattr_destroy(&attr);
	pthread_mutex_init(&pins->calls_lock, NULL);
	pthread_cond_init(&pins->ended, NULL);
}

static struct vfio_pins *pins_new(void)
{
	static _Atomic uint64_t serials;
	struct vfio_pins *pins = calloc(1, sizeof(*pins));

	if (!pins)
		return NULL;
	pins->serial = ++serials;
	pins->holder.holds = holds;
	pins->closing = true; /* until begin_calls() */
	init_locks(pins);
	pin_table_init(&pins->pages, UINT64_MAX);
	return pins;
}

static void pins_free(struct vfio_pins *pins)
{
	pin_table_destroy(&pins->pages);
	pthread_mutex_destroy(&pins->calls_lock);
	pthread_cond_destroy(&pins->ended);
	pthread_cond_destroy(&pins->unpinned);
	free(pins);
}

void vfio_pins_forked(struct vfio_device *vdev)
{
	if (!vdev->pins)
		return;
	init_locks(vdev->pins);
	vdev->pins->calls = 0;
}

/* ---- calls to the driver */

static void call_driver(struct vfio_device *vdev, uint64_t iova, uint64_t length)
{
	struct vfio_pins *pins = vdev->pins;
	bool closing;

	pthread_mutex_lock(&pins->calls_lock);
	closing = pins->closing;
	pins->calls += !closing;
	pthread_mutex_unlock(&pins->calls_lock);
	if (closing)
		return;
	vfio_notify_unmap(vdev, iova, length);
	pthread_mutex_lock(&pins->calls_lock);
	if (!--pins->calls)
		pthread_cond_broadcast(&pins->ended);
	pthread_mutex_unlock(&pins->calls_lock);
}

void vfio_pins_begin_close(struct vfio_device *vdev)
{
	struct vfio_pins *pins = vdev->pins;

	if (!pins)
		return;
	pthread_mutex_lock(&pins->calls_lock);
	pins->closing = true;
	while (pins->calls)
		pthread_cond_wait(&pins->ended, &pins->calls_lock);
	pthread_mutex_unlock(&pins->calls_lock);
}

/* Everything is there that a driver may want when it is told of an unmap. */
static void begin_calls(struct vfio_pins *pins)
{
	pthread_mutex_lock(&pins->calls_lock);
	pins->closing = false;
	pthread_mutex_unlock(&pins->calls_lock);
}

static const char left_closed[] = "closed", left_detached[] = "detached from its IOAS";

/* A driver that goes on using them crashes, or writes what is not its own any more. */
static void report_left(const struct vfio_device *vdev, uint64_t pages, const char *when,
			const char *callback)
{
	if (pages)
		uvfio_err_once(
			(uintptr_t)vdev ^ (uintptr_t)when,
			"%s had pages pinned (%llu) when it was %s: they are unpinned now, and not the "
			"driver's any more; its %s has to unpin them",
			vdev->name, (unsigned long long)pages, when, callback);
}

/* ---- on a container */

static void pinner_unmap(void *owner, uint64_t iova, uint64_t size)
{
	call_driver(owner, iova, size);
}

int vfio_pins_open_container(struct vfio_device *vdev)
{
	struct type1 *iommu = vfio_container_pinnable(vdev->group->container);
	struct vfio_pins *pins;

	if (!iommu)
		return 0;
	pins = pins_new();
	if (!pins)
		return -ENOMEM;
	vdev->pins = pins;
	pins->pinner = type1_pinner_new(iommu, vdev->name, pinner_unmap, vdev);
	if (pins->pinner) {
		begin_calls(pins);
		vfio_page_holder_add(&pins->holder);
		return 0;
	}
	vdev->pins = NULL;
	pins_free(pins);
	return -ENOMEM;
}

/* ---- on an IOMMUFD */

/* Pages that the device has pinned. The lock is held. */
static void unpin_range(struct vfio_pins *pins, uint64_t page, uint64_t n)
{
	pin_table_put(&pins->pages, page, n);
	iommufd_access_unpin_locked(pins->access, page * UVFIO_PAGE_SIZE, n * UVFIO_PAGE_SIZE);
}

static uint64_t unpin_rest(struct vfio_pins *pins)
{
	uint64_t page, pages;
	uint32_t count;

	pthread_mutex_lock(pins->lock);
	pages = pins->pages.pages;
	while (pin_table_first(&pins->pages, 0, UINT64_MAX / UVFIO_PAGE_SIZE, &page, &count))
		unpin_range(pins, page, 1);
	pthread_mutex_unlock(pins->lock);
	return pages;
}

static uint64_t count_pins(struct vfio_pins *pins, uint64_t iova, uint64_t length)
{
	return pin_table_count(&pins->pages, iova / UVFIO_PAGE_SIZE, (iova + (length - 1)) / UVFIO_PAGE_SIZE);
}

/* A driver may unpin from another thread. False: it has not, in a time that IOMMUFD gives it again. */
static bool wait_for_unpin(struct vfio_pins *pins, uint64_t iova, uint64_t length)
{
	struct timespec until;

	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_nsec += 10000000;
	until.tv_sec += until.tv_nsec / 1000000000;
	until.tv_nsec %= 1000000000;
	while (count_pins(pins, iova, length))
		if (pthread_cond_timedwait(&pins->unpinned, pins->lock, &until))
			return false;
	return true;
}

static void check_unpinned(struct vfio_device *vdev, uint64_t iova, uint64_t length)
{
	struct vfio_pins *pins = vdev->pins;
	unsigned int times = 0;
	uint64_t pages;

	pthread_mutex_lock(pins->lock);
	if (pins->held != iova)
		pins->times_held = 0;
	pins->held = iova;
	if (wait_for_unpin(pins, iova, length))
		pins->times_held = 0;
	else
		times = ++pins->times_held;
	pages = count_pins(pins, iova, length);
	pthread_mutex_unlock(pins->lock);
	if (times == TIMES_MAX)
		uvfio_err_once(
			iova ^ pins->serial << 1,
			"%s keeps pages of 0x%llx-0x%llx pinned (%llu), so they stay mapped: its dma_unmap "
			"has to unpin them",
			vdev->name, (unsigned long long)iova, (unsigned long long)(iova + (length - 1)),
			(unsigned long long)pages);
}

/* All of [0, UINT64_MAX]: the access is being detached. */
static void access_unmap(void *data, uint64_t iova, uint64_t length)
{
	struct vfio_device *vdev = data;

	call_driver(vdev, iova, length);
	if (iova || length != UINT64_MAX)
		check_unpinned(vdev, iova, length);
	else if (vdev->pins->closing) /* the device is locked */
		report_left(vdev, unpin_rest(vdev->pins), left_closed, "close");
	else
		report_left(vdev, unpin_rest(vdev->pins), left_detached, "dma_unmap");
}

static unsigned int access_group(void *data)
{
	return ((struct vfio_device *)data)->group->id;
}

static const struct iommufd_access_ops access_ops = {
	.needs_pin_pages = true,
	.unmap = access_unmap,
	.group = access_group,
};

int vfio_pins_open_iommufd(struct vfio_device *vdev, struct iommufd_ctx *ctx, uint32_t *devid)
{
	struct vfio_pins *pins = pins_new();
	int rc;

	if (!pins)
		return -ENOMEM;
	rc = iommufd_access_create(ctx, &access_ops, vdev, &pins->access, &pins->id);
	if (rc) {
		pins_free(pins);
		return rc;
	}
	pins->lock = iommufd_access_lock(pins->access);
	pins->ctx = ctx;
	begin_calls(pins);
	*devid = pins->id;
	vdev->pins = pins;
	vfio_page_holder_add(&pins->holder);
	return 0;
}

int vfio_pins_attach(struct vfio_device *vdev, uint32_t ioas_id)
{
	struct vfio_pins *pins = vdev->pins;
	int rc;

	if (pins->attached)
		return iommufd_access_replace(pins->access, ioas_id);
	rc = iommufd_access_attach(pins->access, ioas_id);
	pins->attached = !rc;
	return rc;
}

void vfio_pins_detach(struct vfio_device *vdev)
{
	struct vfio_pins *pins = vdev->pins;

	if (pins->attached)
		iommufd_access_detach(pins->access);
	pins->attached = false;
}

struct iommufd_ctx *vfio_pins_ctx(const struct vfio_device *vdev)
{
	return vdev->pins->ctx;
}

uint32_t vfio_pins_id(const struct vfio_device *vdev)
{
	return vdev->pins->id;
}

void vfio_pins_close(struct vfio_device *vdev)
{
	struct vfio_pins *pins = vdev->pins;

	if (!pins)
		return;
	vfio_pins_begin_close(vdev);
	vfio_page_holder_remove(&pins->holder);
	if (pins->pinner) {
		report_left(vdev, type1_pinner_free(pins->pinner), left_closed, "close");
	} else {
		vfio_pins_detach(vdev);
		iommufd_access_destroy(pins->access);
	}
	vdev->pins = NULL;
	pins_free(pins);
}

/* The lock is held. */
static int pin_range(struct vfio_pins *pins, uint64_t page, unsigned int npage, unsigned int flags,
		     struct mm_page *pages)
{
	uint64_t fresh;
	int rc = pin_table_get(&pins->pages, page, npage, &fresh);

	if (rc)
		return rc;
	rc = iommufd_access_pin_locked(pins->access, page * UVFIO_PAGE_SIZE, npage * UVFIO_PAGE_SIZE, pages,
				       flags);
	if (rc)
		pin_table_put(&pins->pages, page, npage);
	return rc;
}

static int pin_iommufd(struct vfio_pins *pins, uint64_t iova, unsigned int npage, unsigned int prot,
		       struct mm_page *pages)
{
	unsigned int flags = prot & IOMMU_WRITE ? IOMMUFD_ACCESS_RW_WRITE : IOMMUFD_ACCESS_RW_READ;
	int rc;

	pthread_mutex_lock(pins->lock);
	rc = pin_range(pins, iova / UVFIO_PAGE_SIZE, npage, flags, pages);
	pthread_mutex_unlock(pins->lock);
	return rc;
}

static int unpin_iommufd(struct vfio_pins *pins, uint64_t iova, unsigned int npage)
{
	uint64_t page = iova / UVFIO_PAGE_SIZE;
	int rc = 0;

	pthread_mutex_lock(pins->lock);
	if (pin_table_has(&pins->pages, page, npage))
		unpin_range(pins, page, npage);
	else
		rc = WHY_ALWAYS(-EINVAL, "not all of these pages were pinned by it");
	pthread_cond_broadcast(&pins->unpinned);
	pthread_mutex_unlock(pins->lock);
	return rc;
}

/* ---- what drivers call */

static int check_pages(const struct vfio_pins *pins, unsigned int npage)
{
	if (unlikely(!npage))
		return WHY_ALWAYS(-EINVAL, "npage is 0");
	if (unlikely(!pins))
		return WHY_ALWAYS(-EINVAL, "the device is not open");
	if (unlikely(npage > VFIO_PIN_PAGES_MAX_ENTRIES))
		return WHY_ALWAYS(-E2BIG, "more than %u pages", VFIO_PIN_PAGES_MAX_ENTRIES);
	return 0;
}

static int check_pin(const struct vfio_device *vdev, unsigned int npage, const struct mm_page *pages)
{
	if (unlikely(!vfio_device_told_of_unmaps(vdev)))
		return WHY_ALWAYS(-EINVAL, "its driver has no dma_unmap, so it cannot pin");
	if (unlikely(!pages))
		return WHY_ALWAYS(-EINVAL, "there is no room for the pages");
	return check_pages(vdev->pins, npage);
}

static int check_wrap(uint64_t iova, unsigned int npage)
{
	uint64_t last;

	if (unlikely(add_overflows(iova, npage * UVFIO_PAGE_SIZE - 1, &last)))
		return WHY_ALWAYS(-EOVERFLOW, "the range ends behind the last address");
	return 0;
}

int vfio_pin_pages(struct vfio_device *vdev, uint64_t iova, unsigned int npage, unsigned int prot,
		   struct mm_page *pages)
{
	struct vfio_pins *pins = vdev->pins;
	int rc = check_pin(vdev, npage, pages);

	if (rc)
		return rc;
	fault_handler_want();
	if (likely(pins->pinner != NULL))
		rc = type1_pin_pages(pins->pinner, iova, npage, prot, pages);
	else
		rc = check_wrap(iova, npage);
	if (!pins->pinner && !rc)
		rc = pin_iommufd(pins, iova, npage, prot, pages);
	return rc ? rc : (int)npage;
}

int vfio_unpin_pages(struct vfio_device *vdev, uint64_t iova, unsigned int npage)
{
	struct vfio_pins *pins = vdev->pins;
	int rc = check_pages(pins, npage);

	if (!rc)
		rc = check_wrap(iova, npage);
	if (rc)
		return rc;
	return likely(pins->pinner != NULL) ? type1_unpin_pages(pins->pinner, iova, npage)
					    : unpin_iommufd(pins, iova, npage);
}

int vfio_dma_rw(struct vfio_device *vdev, uint64_t iova, void *data, size_t len, bool write)
{
	struct vfio_pins *pins = vdev->pins;

	if (unlikely(!pins || !data || !len))
		return WHY_ALWAYS(-EINVAL, "%s",
				  pins ? "there are no bytes to copy" : "the device is not open");
	fault_handler_want();
	if (likely(pins->pinner != NULL))
		return type1_dma_rw(pins->pinner, iova, data, len, write);
	return iommufd_access_rw(pins->access, iova, data, len,
				 write ? IOMMUFD_ACCESS_RW_WRITE : IOMMUFD_ACCESS_RW_READ);
}

void vfio_describe_memory(struct vfio_device *vdev, uint64_t iova, char *buf, size_t len)
{
	struct vfio_pins *pins = vdev->pins;

	*buf = 0;
	if (!pins)
		return;
	if (pins->pinner)
		type1_pinner_describe(pins->pinner, iova, buf, len);
	else
		iommufd_access_describe(pins->access, iova, buf, len);
}
