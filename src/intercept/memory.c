/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The interposed memory calls. Every program makes them all the time: where nothing of ours is involved they
 * cost a few loads more than the system call, and, once devices may reach memory, a note of the change.
 *
 * Notes are made after the fact, and whether they are wanted is asked after the fact, too: a change that is
 * not reported was complete before anybody could have looked at what it changed.
 */
#include "file/fdtable.h"
#include "intercept/intercept.h"
#include "intercept/io_table.h"
#include "intercept/mapping.h"
#include "intercept/section.h"
#include "intercept/trap.h"
#include "iommu/mm.h"

#include <stdarg.h>
#include <sys/shm.h>

static atomic_bool notes;

void memory_notes_start(void)
{
	if (!atomic_exchange(&notes, true))
		mm_trust_notes(true);
}

static bool noted(void)
{
	return unlikely(atomic_load(&notes));
}

static uint64_t va(const void *p)
{
	return (uint64_t)(uintptr_t)p;
}

static void note_map(const void *at, size_t len, int prot, unsigned int flags)
{
	section_begin();
	mm_note_map(va(at), len, prot, flags);
	section_end();
}

static void note_change(const void *at, size_t len)
{
	section_begin();
	mm_note_change(va(at), len);
	section_end();
}

static bool touches_ours(const void *at, size_t len)
{
	uint64_t end;
	bool found;

	/* who reads the table is waited for by who changes it: a handler must not come between */
	section_begin_short();
	found = io_overlaps(va(at), add_overflows(va(at), len, &end) ? UINT64_MAX : end);
	section_end_short();
	return found;
}

static void *map_ours(void *at, size_t len, int prot, int flags, int fd, off_t off)
{
	struct file *file = fdtable_get(fd);
	long rc = -EBADF;

	if (file) {
		section_begin();
		rc = mapping_new(file, va(at), len, prot, flags, (uint64_t)off);
		file_put(file);
		section_end();
	}
	return (void *)ret_errno(rc);
}

static void *map_checked(void *at, size_t len, int prot, int flags, int fd, off_t off)
{
	void *p;

	if (!(flags & MAP_ANONYMOUS) && fdtable_is_ours(fd))
		return map_ours(at, len, prot, flags, fd, off);
	if ((flags & MAP_FIXED) && touches_ours(at, len))
		return (void *)ret_errno(
			IN_SECTION(mapping_replace(va(at), len, prot, flags, fd, (uint64_t)off)));
	p = REAL(mmap)(at, len, prot, flags, fd, off);
	if (noted() && p != MAP_FAILED)
		note_map(p, len, prot,
			 (flags & (MAP_ANONYMOUS | MAP_HUGETLB)) == MAP_ANONYMOUS ? MM_ANON : 0);
	return p;
}

EXPORT void *mmap(void *at, size_t len, int prot, int flags, int fd, off_t off)
{
	if (unlikely(!session.on))
		return REAL(mmap)(at, len, prot, flags, fd, off);
	return map_checked(at, len, prot, flags, fd, off);
}

EXPORT void *mmap64(void *at, size_t len, int prot, int flags, int fd, off64_t off)
{
	if (unlikely(!session.on))
		return REAL(mmap64)(at, len, prot, flags, fd, off);
	return map_checked(at, len, prot, flags, fd, off);
}

EXPORT int munmap(void *at, size_t len)
{
	int rc;

	if (unlikely(touches_ours(at, len)))
		return (int)ret_errno(IN_SECTION(mapping_unmap(va(at), len)));
	rc = REAL(munmap)(at, len);
	if (noted())
		note_change(at, len);
	return rc;
}

EXPORT int mprotect(void *at, size_t len, int prot)
{
	int rc;

	if (unlikely(touches_ours(at, len)))
		return (int)ret_errno(IN_SECTION(mapping_protect(va(at), len, prot)));
	rc = REAL(mprotect)(at, len, prot);
	if (noted())
		note_change(at, len);
	return rc;
}

EXPORT int pkey_mprotect(void *at, size_t len, int prot, int pkey)
{
	int rc;

	if (unlikely(touches_ours(at, len)))
		return (int)ret_errno(IN_SECTION(mapping_protect(va(at), len, prot)));
	rc = REAL(pkey_mprotect)(at, len, prot, pkey);
	if (noted())
		note_change(at, len);
	return rc;
}

EXPORT void *mremap(void *at, size_t old_len, size_t new_len, int flags, ...)
{
	void *to = NULL, *p;
	va_list ap;

	if (flags & (MREMAP_FIXED | MREMAP_DONTUNMAP)) {
		va_start(ap, flags);
		to = va_arg(ap, void *);
		va_end(ap);
	}
	if (unlikely(touches_ours(at, old_len ? old_len : 1) ||
		     ((flags & MREMAP_FIXED) && touches_ours(to, new_len))))
		return (void *)ret_errno(IN_SECTION(mapping_move(va(at), old_len, new_len, flags, va(to))));
	p = REAL(mremap)(at, old_len, new_len, flags, to);
	if (noted()) {
		note_change(at, old_len);
		if (p != MAP_FAILED)
			note_change(p, new_len);
	}
	return p;
}

EXPORT int madvise(void *at, size_t len, int advice)
{
	if (unlikely(touches_ours(at, len)))
		return (int)ret_errno(mapping_advise(advice));
	return REAL(madvise)(at, len, advice);
}

/* The kernel has nothing to lock in device memory, and passes over it; ours lacks the access that it wants.
 */
static int locked(int rc, const void *at, size_t len, int saved_errno)
{
	if (likely(!rc) || errno != ENOMEM || !touches_ours(at, len))
		return rc;
	errno = saved_errno;
	return 0;
}

EXPORT int mlock(const void *at, size_t len)
{
	int saved_errno = errno;

	return locked(REAL(mlock)(at, len), at, len, saved_errno);
}

EXPORT int mlock2(const void *at, size_t len, unsigned int flags)
{
	int saved_errno = errno;

	return locked(REAL(mlock2)(at, len, flags), at, len, saved_errno);
}

/* The size of a System V segment is not in the call: everything may have changed. */
static void note_everything(void)
{
	if (!noted())
		return;
	section_begin();
	mm_trust_notes(true);
	section_end();
}

EXPORT void *shmat(int id, const void *at, int flags)
{
	void *p = REAL(shmat)(id, at, flags);

	note_everything();
	return p;
}

EXPORT int shmdt(const void *at)
{
	int rc = REAL(shmdt)(at);

	note_everything();
	return rc;
}
