/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The objects of IOMMUFD and what their files ask of each other. Private to iommufd/ and its mock/.
 *
 * An object has an id in its context and two counts: users, for as long as somebody depends on it (a HWPT on
 * its IOAS), which make a destroy fail with -EBUSY; and a short-term one for calls under way, for which a
 * destroy waits. Creation has two phases: iommufd_object_alloc() reserves the id, finalize publishes it when
 * nothing can fail any more; until then abort undoes it.
 *
 * Lock order: an IOAS's mutex, a device group's lock, then those of its IO page table (iopt.c), then the
 * context's lock for ids, innermost.
 */
#ifndef UVFIO_IOMMUFD_IMPL_H
#define UVFIO_IOMMUFD_IMPL_H

#include "file/ioctl.h"
#include "iommufd/iommufd.h"
#include "iommufd/iopt.h"
#include "uapi/iommufd.h"

#include <urcu/list.h>

enum iommufd_object_type {
	IOMMUFD_OBJ_ANY,
	IOMMUFD_OBJ_DEVICE,
	IOMMUFD_OBJ_HWPT_PAGING,
	IOMMUFD_OBJ_HWPT_NESTED,
	IOMMUFD_OBJ_IOAS,
	IOMMUFD_OBJ_ACCESS,
	IOMMUFD_OBJ_FAULT,
	IOMMUFD_OBJ_VIOMMU,
	IOMMUFD_OBJ_VDEVICE,
	IOMMUFD_OBJ_VEVENTQ,
	IOMMUFD_OBJ_HW_QUEUE,
	IOMMUFD_OBJ_SELFTEST, /* the mock's */
	IOMMUFD_OBJ_MAX,
};

struct iommufd_object {
	enum iommufd_object_type type;
	uint32_t id;
	_Atomic uint32_t users;    /* 1 for the id itself */
	_Atomic uint32_t wait_cnt; /* 1 for the id itself, and 1 for each call under way */
};

/* What a type does at its end. */
struct iommufd_object_ops {
	void (*pre_destroy)(struct iommufd_object *obj); /* let go of what keeps wait_cnt up */
	void (*destroy)(struct iommufd_object *obj);     /* all but the memory */
	void (*abort)(struct iommufd_object *obj);       /* instead of destroy, before it was published */
};
extern const struct iommufd_object_ops iommufd_object_ops[IOMMUFD_OBJ_MAX]; /* main.c */

struct iommufd_ctx {
	struct file *file;   /* which this is of; no reference */
	unsigned int number; /* 1, 2, ...: its name for people */
	const struct iommu_params *params;
	struct iommufd_ids *ids; /* object.c */
	pthread_mutex_t groups_lock;
	struct cds_list_head groups;         /* struct iommufd_group; under groups_lock */
	enum iopt_account_mode account_mode; /* changed under ioas_creation_lock held for writing */
	pthread_rwlock_t ioas_creation_lock; /* held for writing: no IOAS comes into being */
	bool no_iommu_mode;
	struct iommufd_ioas *vfio_ioas; /* under the lock of ids */
	pthread_mutex_t mmaps_lock;
	struct range_map mmaps; /* what can be mapped: by offset, struct iommufd_mmap; under mmaps_lock */
};

/* A call under way. arg: the structure, as large as the interface knows it; what the caller's lacks is 0. */
struct iommufd_ucmd {
	struct iommufd_ctx *ctx;
	const struct caller *caller;
	struct file *file;
	uint64_t uptr;      /* of the caller's structure */
	uint32_t user_size; /* its size */
	void *arg;
	struct iommufd_object *new_obj; /* published when the handler succeeds, else aborted and destroyed */
};
/* Copy arg back: as much as the caller's structure has of len bytes. 0 or -EFAULT. */
int iommufd_ucmd_respond(struct iommufd_ucmd *ucmd, size_t len);
bool iommufd_file_is(const struct file *file);

/* ---- memory and failures (alloc.c) */

/* Zeroed memory, or NULL: also when a failure is injected. */
void *iommufd_zalloc(size_t size);
void *iommufd_calloc(size_t nr, size_t size);
/* A failure is injected here: as base/failpoint.h has it. */
bool iommufd_should_fail(void);

/* ---- objects (object.c) */

int iommufd_ids_init(struct iommufd_ctx *ctx);
void iommufd_ids_destroy(struct iommufd_ctx *ctx); /* after iommufd_objects_destroy_all() */
void iommufd_ids_forked(struct iommufd_ctx *ctx);
/* No id is given out: not even one that is reserved, or a tombstone. */
bool iommufd_ids_empty(struct iommufd_ctx *ctx);
void iommufd_ids_lock(struct iommufd_ctx *ctx); /* for ctx->vfio_ioas */
void iommufd_ids_unlock(struct iommufd_ctx *ctx);
/* size: of the structure that begins with struct iommufd_object. obj: of a pointer to it; it is zeroed
 * otherwise. -ENOMEM. */
int iommufd_object_alloc(struct iommufd_ctx *ctx, size_t size, enum iommufd_object_type type, void *obj);
/* The same for a handler, whose end finalizes or aborts it. */
int iommufd_object_alloc_ucmd(struct iommufd_ucmd *ucmd, size_t size, enum iommufd_object_type type,
			      void *obj);
void iommufd_object_finalize(struct iommufd_ctx *ctx, struct iommufd_object *obj);
void iommufd_object_abort(struct iommufd_ctx *ctx, struct iommufd_object *obj); /* frees it, no more */
void iommufd_object_abort_and_destroy(struct iommufd_ctx *ctx, struct iommufd_object *obj);

/* The object of that id and type, until put. NULL: there is none (-ENOENT). */
void *iommufd_get_object(struct iommufd_ctx *ctx, uint32_t id, enum iommufd_object_type type);
void iommufd_put_object(struct iommufd_ctx *ctx, struct iommufd_object *obj);
/* The same for one that is known to be there: in a list whose lock is held. False: it is going. */
bool iommufd_lock_listed_obj(struct iommufd_ctx *ctx, struct iommufd_object *obj);
bool iommufd_lock_obj(struct iommufd_object *obj); /* the lock of ids is held */
/* One more user; obj is kept by something. */
static inline void iommufd_object_use(struct iommufd_object *obj)
{
	atomic_fetch_add(&obj->users, 1);
}
static inline void iommufd_object_unuse(struct iommufd_object *obj)
{
	atomic_fetch_sub(&obj->users, 1);
}
int iommufd_try_inc_users(struct iommufd_ctx *ctx, struct iommufd_object *obj); /* -EBUSY: is going */

/* IOMMU_DESTROY: -ENOENT, -EBUSY. */
int iommufd_object_destroy_id(struct iommufd_ctx *ctx, uint32_t id);
/* The caller has one user reference and wants the object gone; it waits for calls under way. */
void iommufd_object_destroy_user(struct iommufd_ctx *ctx, struct iommufd_object *obj);
/* The same, and the id is never given out again. */
void iommufd_object_tombstone_user(struct iommufd_ctx *ctx, struct iommufd_object *obj);
/* Give one user reference back, and destroy the object if that was the last. */
void iommufd_object_put_and_try_destroy(struct iommufd_ctx *ctx, struct iommufd_object *obj);
/* Close: everything goes, users before what they use. */
void iommufd_objects_destroy_all(struct iommufd_ctx *ctx);
/* Call fn for each published object, under the lock of ids. */
void iommufd_each_object(struct iommufd_ctx *ctx, void (*fn)(void *arg, struct iommufd_object *obj),
			 void *arg);
/* In the child of a fork: for iommufd_each_object(). (forked.c) */
void iommufd_object_forked(void *arg, struct iommufd_object *obj);

/* ---- IOAS (ioas.c) */

struct iommufd_ioas {
	struct iommufd_object obj;
	struct io_pagetable iopt;
	pthread_mutex_t mutex;          /* of hwpt_list */
	struct cds_list_head hwpt_list; /* struct iommufd_hwpt_paging */
};

static inline struct iommufd_ioas *iommufd_get_ioas(struct iommufd_ctx *ctx, uint32_t id)
{
	return iommufd_get_object(ctx, id, IOMMUFD_OBJ_IOAS);
}
int iommufd_ioas_alloc(struct iommufd_ctx *ctx, struct iommufd_ioas **ioas); /* not yet finalized */
void iommufd_ioas_destroy(struct iommufd_object *obj);

int iommufd_ioas_alloc_ioctl(struct iommufd_ucmd *ucmd);
int iommufd_ioas_iova_ranges(struct iommufd_ucmd *ucmd);
int iommufd_ioas_allow_iovas(struct iommufd_ucmd *ucmd);
int iommufd_ioas_map(struct iommufd_ucmd *ucmd);
int iommufd_ioas_map_file(struct iommufd_ucmd *ucmd);
int iommufd_ioas_change_process(struct iommufd_ucmd *ucmd);
int iommufd_ioas_copy(struct iommufd_ucmd *ucmd);
int iommufd_ioas_unmap(struct iommufd_ucmd *ucmd);
int iommufd_ioas_option(struct iommufd_ucmd *ucmd); /* IOMMU_OPTION_HUGE_PAGES */

/* ---- hardware page tables (hwpt.c, hwpt_dirty.c) */

struct iommufd_hw_pagetable {
	struct iommufd_object obj;
	struct iommufd_domain *domain;
	struct iommufd_fault *fault; /* NULL: page faults are not delivered */
	bool pasid_compat;
};

struct iommufd_hwpt_paging {
	struct iommufd_hw_pagetable common;
	struct iommufd_ioas *ioas;
	bool auto_domain;
	bool enforce_cache_coherency;
	bool nest_parent;
	struct cds_list_head hwpt_item; /* in ioas->hwpt_list */
};

struct iommufd_hwpt_nested {
	struct iommufd_hw_pagetable common;
	struct iommufd_hwpt_paging *parent;
	struct iommufd_viommu *viommu; /* or NULL */
};

/* The paging table that hwpt is, or is nested on. */
struct iommufd_hwpt_paging *iommufd_find_hwpt_paging(struct iommufd_hw_pagetable *hwpt);
/* ioas->mutex is held. It is filled, not yet finalized. */
int iommufd_hwpt_paging_alloc(struct iommufd_ctx *ctx, struct iommufd_ioas *ioas, struct iommufd_device *idev,
			      uint32_t flags, const struct iommufd_user_data *data,
			      struct iommufd_hwpt_paging **hwpt);
/* A user reference is given back; an automatic one may go with it. ioas->mutex is not held. */
void iommufd_hw_pagetable_put(struct iommufd_ctx *ctx, struct iommufd_hw_pagetable *hwpt);
void iommufd_hwpt_paging_destroy(struct iommufd_object *obj);
void iommufd_hwpt_paging_abort(struct iommufd_object *obj);
void iommufd_hwpt_fini(struct iommufd_hw_pagetable *hwpt); /* its domain, and its use of a fault queue */
void iommufd_hwpt_set_domain(struct iommufd_hw_pagetable *hwpt, struct iommufd_domain *domain,
			     const struct iommufd_hw_dev_ops *owner);
/* Nested ones, on parent or on a vIOMMU. Not yet finalized. */
int iommufd_hwpt_nested_alloc(struct iommufd_device *idev, struct iommufd_hwpt_paging *parent, uint32_t flags,
			      const struct iommufd_user_data *data, struct iommufd_hw_pagetable **hwpt);
int iommufd_viommu_alloc_hwpt_nested(struct iommufd_viommu *viommu, struct iommufd_device *idev,
				     uint32_t flags, const struct iommufd_user_data *data,
				     struct iommufd_hw_pagetable **hwpt);
void iommufd_hwpt_nested_destroy(struct iommufd_object *obj);
int iommufd_hwpt_alloc(struct iommufd_ucmd *ucmd);
int iommufd_hwpt_set_dirty_tracking(struct iommufd_ucmd *ucmd);
int iommufd_hwpt_get_dirty_bitmap(struct iommufd_ucmd *ucmd);
int iommufd_hwpt_invalidate(struct iommufd_ucmd *ucmd);

/* ---- devices (device.c: bind; attach.c: attach, replace, detach) */

struct iommufd_attach; /* attach.c: what a group is attached to with one PASID */

/* The devices of one iommu_group that are bound to one context. */
struct iommufd_group {
	struct cds_list_head node; /* in ctx->groups */
	unsigned int refs;         /* under ctx->groups_lock */
	struct iommufd_ctx *ctx;
	struct iommu_group *group;
	pthread_mutex_t lock;
	struct cds_list_head attaches; /* struct iommufd_attach; under lock */
	struct cds_list_head devices;  /* struct iommufd_device: all that are bound; under lock */
};

struct iommufd_device {
	struct iommufd_object obj;
	struct iommufd_ctx *ctx;
	struct iommufd_group *igroup;
	struct cds_list_head group_node; /* in igroup->devices */
	struct iommufd_hw_dev *dev;
	struct iommufd_vdevice *vdev; /* under igroup->lock */
	bool destroying;              /* under igroup->lock: no vdevice any more */
};

static inline struct iommufd_device *iommufd_get_device(struct iommufd_ctx *ctx, uint32_t id)
{
	return iommufd_get_object(ctx, id, IOMMUFD_OBJ_DEVICE);
}
void iommufd_device_pre_destroy(struct iommufd_object *obj);
void iommufd_device_destroy(struct iommufd_object *obj);
int iommufd_get_hw_info(struct iommufd_ucmd *ucmd);
/* Attach idev (the first of its group really), take a user reference of hwpt. */
int iommufd_hw_pagetable_attach(struct iommufd_hw_pagetable *hwpt, struct iommufd_device *idev,
				uint32_t pasid);
/* Of the whole group, or nothing changes. *old: what was replaced, when it was another; a user reference. */
int iommufd_hw_pagetable_replace(struct iommufd_hw_pagetable *hwpt, struct iommufd_device *idev,
				 uint32_t pasid, struct iommufd_hw_pagetable **old);
/* NULL: was not attached. The caller's user reference has been given back. */
struct iommufd_hw_pagetable *iommufd_hw_pagetable_detach(struct iommufd_device *idev, uint32_t pasid);
/* What the device's group is attached to with pasid, or NULL. igroup->lock is held. For the mock, and faults.
 */
struct iommufd_hw_pagetable *iommufd_device_hwpt(struct iommufd_device *idev, uint32_t pasid);
/* idev joins its group, and is translated as the others are; or leaves it. For device.c. */
int iommufd_group_join(struct iommufd_device *idev);
void iommufd_group_leave(struct iommufd_device *idev);

/* ---- accesses (access.c) */

struct iommufd_access {
	struct iommufd_object obj;
	struct iommufd_ctx *ctx; /* NULL: internal, that is, a HW queue's */
	pthread_mutex_t ioas_lock;
	struct iommufd_ioas *ioas;       /* under ioas_lock */
	struct iommufd_ioas *ioas_unpin; /* what pages can still be unpinned of; under ioas_lock */
	const struct iommufd_access_ops *ops;
	void *data;
	uint64_t iova_alignment;
	struct stat_slot *bytes; /* copied; under ioas_lock */
	uint32_t iopt_access_list_id;
};
void iommufd_access_destroy_object(struct iommufd_object *obj);
int iommufd_access_create_internal(struct iommufd_ctx *ctx, struct iommufd_access **access);
void iommufd_access_destroy_internal(struct iommufd_ctx *ctx, struct iommufd_access *access);
int iommufd_access_attach_internal(struct iommufd_access *access, struct iommufd_ioas *ioas);

/* ---- events (eventq.c, fault.c, veventq.c): files from which user space reads */

struct iommufd_eventq {
	struct iommufd_object obj;
	struct iommufd_ctx *ctx;
	struct file *file;            /* holds a user reference of obj until closed; NULL afterwards */
	pthread_mutex_t lock;         /* of what follows */
	struct cds_list_head deliver; /* what has not been read */
	int bell;                     /* eventq.c: what poll() hears */
	unsigned int rung;
};

struct iommufd_fault {
	struct iommufd_eventq common;
	/* One reader or answer at a time. Inside it: common.lock; outside: a device group's lock. */
	pthread_mutex_t mutex;
	struct cds_list_head partial;  /* groups whose last fault has not come; under mutex */
	struct cds_list_head response; /* groups that were read and wait for their answer; under mutex */
};

/* A page request as a device reports it, and its answer. */
struct iopf_fault {
	uint32_t flags, pasid, grpid, perm; /* IOMMU_PGFAULT_* */
	uint64_t addr;
};
struct iopf_response {
	uint32_t pasid, grpid;
	uint32_t code; /* IOMMUFD_PAGE_RESP_* */
};
/* A device reports a fault: it goes to the fault queue of what the device is attached to with that pasid.
 * -EINVAL: nothing is, or it has none; then the device is answered invalid at once. */
int iommufd_report_fault(struct iommufd_device *idev, const struct iopf_fault *iopf);
/* idev is detached from hwpt: its faults in the queue are answered invalid. For every device of a group. */
void iommufd_auto_response_faults(struct iommufd_hw_pagetable *hwpt, struct iommufd_device *idev);

int iommufd_fault_alloc(struct iommufd_ucmd *ucmd);
void iommufd_fault_destroy(struct iommufd_object *obj);
int iommufd_veventq_alloc(struct iommufd_ucmd *ucmd);
void iommufd_veventq_destroy(struct iommufd_object *obj);
void iommufd_veventq_abort(struct iommufd_object *obj);

/* ---- vIOMMUs (viommu.c) */

struct iommufd_viommu {
	struct iommufd_object obj;
	struct iommufd_ctx *ctx;
	const struct iommufd_hw_dev_ops *hw;  /* of the device by which it was made: whose IOMMU it is */
	struct iommufd_hwpt_paging *hwpt;     /* the nesting parent */
	const struct iommufd_viommu_ops *ops; /* viommu_init() sets them */
	pthread_mutex_t vdevs_lock;
	struct cds_list_head vdevs; /* struct iommufd_vdevice; under vdevs_lock */
	pthread_rwlock_t veventqs_lock;
	struct cds_list_head veventqs;
	uint32_t type;
};

struct iommufd_vdevice {
	struct iommufd_object obj;
	struct iommufd_viommu *viommu;
	struct iommufd_device *idev;
	struct cds_list_head node; /* in viommu->vdevs */
	bool live;                 /* the driver has accepted it; under viommu->vdevs_lock */
	uint64_t virt_id;
	void (*destroy)(struct iommufd_vdevice *vdev); /* the driver's part, or NULL */
};

struct iommufd_hw_queue {
	struct iommufd_object obj;
	struct iommufd_viommu *viommu;
	struct iommufd_access *access;
	uint64_t base_addr; /* in the guest */
	uint64_t length;
	uint32_t type;
	void (*destroy)(struct iommufd_hw_queue *queue);
};

struct iommufd_viommu_ops {
	void (*destroy)(struct iommufd_viommu *viommu);
	int (*alloc_domain_nested)(struct iommufd_viommu *viommu, uint32_t flags,
				   const struct iommufd_user_data *data, struct iommufd_domain **domain);
	int (*cache_invalidate)(struct iommufd_viommu *viommu, struct iommufd_user_array *array);
	size_t vdevice_size; /* 0: a plain struct iommufd_vdevice */
	int (*vdevice_init)(struct iommufd_vdevice *vdev);
	size_t (*get_hw_queue_size)(struct iommufd_viommu *viommu, uint32_t type);
	int (*hw_queue_init)(struct iommufd_hw_queue *queue, uint32_t index, const struct mm_page *base);
};

static inline struct iommufd_viommu *iommufd_get_viommu(struct iommufd_ctx *ctx, uint32_t id)
{
	return iommufd_get_object(ctx, id, IOMMUFD_OBJ_VIOMMU);
}
int iommufd_viommu_alloc_ioctl(struct iommufd_ucmd *ucmd);
void iommufd_viommu_destroy(struct iommufd_object *obj);
int iommufd_vdevice_alloc_ioctl(struct iommufd_ucmd *ucmd);
void iommufd_vdevice_destroy(struct iommufd_object *obj);
void iommufd_vdevice_abort(struct iommufd_object *obj);
int iommufd_hw_queue_alloc_ioctl(struct iommufd_ucmd *ucmd);
void iommufd_hw_queue_destroy(struct iommufd_object *obj);
/* The vdevice of dev in viommu. -ENOENT. */
int iommufd_viommu_get_vdev_id(struct iommufd_viommu *viommu, struct iommufd_hw_dev *dev, uint64_t *virt_id);
/* NULL: none. viommu->vdevs_lock is held. */
struct iommufd_hw_dev *iommufd_viommu_find_dev(struct iommufd_viommu *viommu, uint64_t virt_id);
/* -EOPNOTSUPP: nobody listens. */
int iommufd_viommu_report_event(struct iommufd_viommu *viommu, uint32_t type, const void *event, size_t len);
/* Memory that the program may map at *offset of the iommufd (fd: a memfd of at least length). */
int iommufd_viommu_alloc_mmap(struct iommufd_viommu *viommu, int fd, size_t length, uint64_t *offset);
void iommufd_viommu_destroy_mmap(struct iommufd_viommu *viommu, uint64_t offset);
int iommufd_mmap(struct iommufd_ctx *ctx, struct mmap_plan *plan);

/* ---- VFIO's container ioctls on a context (vfio_compat.c) */

long iommufd_vfio_ioctl(struct iommufd_ctx *ctx, struct file *file, const struct caller *caller, uint32_t cmd,
			uint64_t arg);
int iommufd_vfio_ioas(struct iommufd_ucmd *ucmd);

/* ---- IOMMU_OPTION (option.c) */

int iommufd_option(struct iommufd_ucmd *ucmd);

/* ---- the mock (mock/), in builds with -Diommufd_test=enabled */

#ifdef UVFIO_IOMMUFD_TEST
int iommufd_test(struct iommufd_ucmd *ucmd);
void iommufd_selftest_destroy(struct iommufd_object *obj);
/* By how many iopt_pages is the page at va of mm pinned? Of all contexts. (iopt side) */
unsigned int iopt_test_pins(struct mm *mm, uint64_t va);
/* dmabuf.h has what IOMMU_TEST_OP_DMABUF_GET and _REVOKE need. */
/* Bytes of memory that one batch may take: IOMMU_TEST_OP_SET_TEMP_MEMORY_LIMIT. */
extern size_t iommufd_test_memory_limit;
#endif

#endif
