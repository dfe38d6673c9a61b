/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Address spaces. A mapping is made from one and holds a reference to it: never "current", because the
 * process that mapped may be gone when the mapping is released.
 *
 * Kinds: this process (plain memory, reached by a copy that survives a fault); another process (reached by
 * process_vm_readv/writev; once it is gone, an access fails with -EFAULT, but for memory that it shared with
 * us); and a file, whose offsets are the addresses (mapped into this process, where the program does not know
 * of it).
 */
#ifndef UVFIO_IOMMU_MM_H
#define UVFIO_IOMMU_MM_H

#include "base/base.h"

#define MM_SELF_INDEX 1

struct mm {
	_Atomic uint32_t refs;
	uint16_t index; /* in the table of all address spaces; what a page-table entry stores */
	bool self;      /* this process */
	pid_t pid;      /* 0: a file's */
	char *base;     /* a file's: its first byte; else NULL */
	_Atomic uint64_t locked_pages; /* charged to RLIMIT_MEMLOCK */
	_Atomic uint64_t pinned_pages; /* by IOMMUFD: as VmPin of /proc/PID/status */
	_Atomic uint64_t vmlck_pages;  /* of these, in VFIO's accounting mode: in VmLck */
};

/* A page that is pinned: where it is in the memory of a process. */
struct mm_page {
	struct mm *mm; /* valid while pinned */
	uint64_t va;
	void *host; /* the page itself when it is in this process; NULL: use mm_read and mm_write */
};

static inline struct mm_page mm_page_at(struct mm *mm, uint64_t va)
{
	return (struct mm_page){ mm, va, mm->self ? (void *)(uintptr_t)va : mm->base ? mm->base + va : NULL };
}

struct mm *mm_self(void); /* with a reference */
/* 0; -ESRCH; -ENOMEM. The calling process's own id gives mm_self(). */
int mm_of_pid(pid_t pid, struct mm **mm);
/* The same by a descriptor, which stays the caller's. -EBADF; -EINVAL: no pidfd; -ESRCH; -ENOMEM. */
int mm_of_pidfd(int pidfd, struct mm **mm);
/*
 * Memory that is a file: fd is one of a memfd, or on tmpfs or hugetlbfs, and stays the caller's. As much of
 * it as there is now; writable when fd is. -EBADF; -EINVAL: another kind of file, or empty; -ENOMEM.
 */
int mm_of_file(int fd, struct mm **mm);
struct mm *mm_get(struct mm *mm);
void mm_put(struct mm *mm);
/* Another process that has exited. */
bool mm_is_gone(struct mm *mm);
void mm_put_many(struct mm *mm, uint32_t n);
/* In the child of a fork, first of all: what was known of the parent's descriptors is not the child's. */
void mm_forked(void);
struct mm *mm_by_index(uint16_t index); /* no reference; valid while a mapping holds one */

/* Copy. 0 or -EFAULT (a part may have been copied). */
int mm_read(struct mm *mm, void *dst, uint64_t va, size_t len);
int mm_write(struct mm *mm, uint64_t va, const void *src, size_t len);
/* The same between va and local for who holds locks: a BAR is no memory, and its device is not called. */
int mm_copy_memory(struct mm *mm, uint64_t va, void *local, size_t len, bool write);

/*
 * Is [va, va+len) mapped there with read (and write, when asked) permission, as get_user_pages would find it?
 * 0 or -EFAULT. Touches no page of anonymous memory. Costs one msync(MS_ASYNC) (it fails on holes) plus a
 * lookup in a cache of known permissions. Only for this process is the permission cache kept; others are
 * asked each time. A BAR mapping of our own counts as readable and writable memory as mapped (mm_note_map
 * with MM_IO).
 */
int mm_check(struct mm *mm, uint64_t va, uint64_t len, bool write);
/* The same; *io tells whether any of it is a BAR noted MM_IO. */
int mm_check_io(struct mm *mm, uint64_t va, uint64_t len, bool write, bool *io);
/* The same; *bars: what of it are BARs, trapped ones (io) or ones of plain memory. */
struct mm_bars {
	bool io;
	uint64_t pages; /* of either kind */
};
int mm_check_bars(struct mm *mm, uint64_t va, uint64_t len, bool write, struct mm_bars *bars);
/* The same; *bar tells whether any of it is a BAR, a trapped one or one of plain memory. */
int mm_check_bar(struct mm *mm, uint64_t va, uint64_t len, bool write, bool *bar);
/* The same for one page that is to be pinned alone: may touch it, as pinning does. */
int mm_check_page(struct mm *mm, uint64_t va, bool write, bool *bar);
/* The name of the memfds that plain memory of BARs is in: by it a mapping of them is recognized. */
#define MM_BAR_MEMFD "uvfio-bar"

/*
 * The interposed memory calls report what they did to this process, after the fact:
 * a new mapping (prot as mmap's; flags MM_*), or "anything may have changed there". Any thread, no locks
 * held.
 */
#define MM_ANON 1 /* anonymous memory: certainly present to its end */
#define MM_IO   2 /* a trapped BAR: pages without access, but a legal target */
void mm_note_map(uint64_t va, uint64_t len, int prot, unsigned int flags);
void mm_note_change(uint64_t va, uint64_t len);
/* The permission cache is trusted only when someone reports changes (the preload library does). */
void mm_trust_notes(bool on);

/* DMA to one of our own BAR mappings, for an address noted MM_IO. Set by the trap engine. */
extern int (*mm_io_access)(uint64_t va, void *data, size_t len, bool write);

/* "process 12", "process 12 (exited)", "a file of process 12". */
void mm_describe(struct mm *mm, char *buf, size_t len);

/* Who is charged for memory of mm. */
static inline struct mm *mm_payer(struct mm *mm)
{
	return mm->base ? mm_by_index(MM_SELF_INDEX) : mm;
}

/* RLIMIT_MEMLOCK accounting: charge pages to mm; limit in pages, UINT64_MAX none. 0 or -ENOMEM. */
int mm_charge(struct mm *mm, uint64_t pages, uint64_t limit_pages);
/* How many more pages could be charged now. */
uint64_t mm_memlock_room(struct mm *mm, uint64_t limit_pages);
void mm_uncharge(struct mm *mm, uint64_t pages);
/* The process's RLIMIT_MEMLOCK in pages, UINT64_MAX when unlimited. */
uint64_t mm_memlock_limit(struct mm *mm);
/* Does the process have CAP_IPC_LOCK? */
bool mm_may_lock_all(struct mm *mm);

#endif
