/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Mappings of our files.
 *
 * One request is one contiguous range of addresses. It is reserved as a whole with pages without access;
 * where the file has plain memory, that is mapped over them, and the rest stays as it is: trapped. Each part
 * is a range of the table (io_table.h), which holds the file open as a mapping does.
 *
 * The table's lock is held over each real call, and over the notes to iommu/mm, which block on nothing: so
 * the pages, the table, and what mm believes change in one order.
 */
#include "intercept/mapping.h"

#include "base/why.h"
#include "intercept/intercept.h"
#include "intercept/io_table.h"
#include "intercept/trap.h"
#include "iommu/mm.h"

#define SUPPORTED_FLAGS                                                                                      \
	(MAP_TYPE | MAP_FIXED | MAP_FIXED_NOREPLACE | MAP_32BIT | MAP_LOCKED | MAP_NORESERVE |               \
	 MAP_POPULATE | MAP_NONBLOCK | MAP_DENYWRITE | MAP_EXECUTABLE | MAP_GROWSDOWN | MAP_STACK)

#define ADDRESS_LIMIT BIT64(47)

static void *ptr(uint64_t va)
{
	return (void *)(uintptr_t)va;
}

/* An address as the system call returns it. */
static long address_or_error(const void *p)
{
	return p == MAP_FAILED ? -errno : (long)(uintptr_t)p;
}

/* What the kernel checks before it asks the file. */
static int check_request(const struct file *file, uint64_t at, uint64_t len, int prot, int flags,
			 uint64_t off)
{
	int type = flags & MAP_TYPE, mode = file->oflags & O_ACCMODE;
	uint64_t rounded = align_up(len, UVFIO_PAGE_SIZE), end;

	if (!is_aligned(off, UVFIO_PAGE_SIZE) || !len)
		return WHY(-EINVAL, "%s", len ? "the offset is not aligned to a page" : "length is 0");
	if (!rounded || rounded > ADDRESS_LIMIT)
		return -ENOMEM;
	if (add_overflows(off, rounded, &end))
		return -EOVERFLOW;
	if ((flags & MAP_FIXED) && !is_aligned(at, UVFIO_PAGE_SIZE))
		return -EINVAL;
	if (type != MAP_SHARED && type != MAP_PRIVATE && type != MAP_SHARED_VALIDATE)
		return -EINVAL;
	if (type == MAP_SHARED_VALIDATE && (flags & ~SUPPORTED_FLAGS))
		return -EOPNOTSUPP;
	if (flags & MAP_HUGETLB)
		return -EINVAL;
	if (type != MAP_PRIVATE && (prot & PROT_WRITE) && mode == O_RDONLY)
		return WHY(-EACCES, "the descriptor was opened for reading only");
	if (mode == O_WRONLY)
		return WHY(-EACCES, "the descriptor was opened for writing only");
	return 0;
}

static bool any_trapped(const struct mmap_plan *plan)
{
	for (unsigned int i = 0; i < plan->nr; i++)
		if (plan->segments[i].fd < 0)
			return true;
	return false;
}

/* The parts that are plain memory, over the reservation. 0 or -errno. */
static int map_plain_parts(uint64_t at, const struct mmap_plan *plan)
{
	for (unsigned int i = 0; i < plan->nr; i++) {
		const struct mmap_segment *s = &plan->segments[i];

		if (s->fd >= 0 && REAL(mmap)(ptr(at + s->offset), s->length, plan->prot,
					     MAP_SHARED | MAP_FIXED | (plan->flags & MAP_POPULATE), s->fd,
					     (off_t)s->fd_offset) == MAP_FAILED)
			return -errno;
	}
	return 0;
}

static void add_parts(struct io_change *change, struct file *file, uint64_t at, const struct mmap_plan *plan)
{
	for (unsigned int i = 0; i < plan->nr; i++) {
		const struct mmap_segment *s = &plan->segments[i];
		struct io_range range = {
			.start = at + s->offset,
			.end = at + s->offset + s->length,
			.file = plan->holder ? plan->holder : file,
			.offset = plan->offset + s->offset,
			.prot = plan->prot,
			.trapped = s->fd < 0,
		};

		io_change_add(change, &range);
		mm_note_map(range.start, s->length, plan->prot, range.trapped ? MM_IO : 0);
	}
}

static long place(struct file *file, uint64_t at, const struct mmap_plan *plan)
{
	int placing = plan->flags & (MAP_FIXED | MAP_FIXED_NOREPLACE | MAP_32BIT);
	struct io_change change;
	long rc = io_change_begin(&change);

	if (rc)
		return rc;
	rc = address_or_error(REAL(mmap)(ptr(at), plan->length, PROT_NONE,
					 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | placing, -1, 0));
	if (rc < 0) {
		io_change_abort(&change);
		return rc;
	}
	at = (uint64_t)rc;
	io_change_remove(&change, at, at + plan->length);
	mm_note_change(at, plan->length);
	rc = map_plain_parts(at, plan);
	if (rc)
		REAL(munmap)(ptr(at), plan->length);
	else
		add_parts(&change, file, at, plan);
	io_change_commit(&change);
	return rc ? rc : (long)at;
}

static void trace_mapping(const struct file *file, const struct mmap_plan *plan, long result)
{
	char error[256];

	if (result < 0)
		trace_emit(TRACE_FILE, NULL, "mmap", 0, "%s offset=0x%llx length=0x%llx prot=%d = -1 %s",
			   file->path, (unsigned long long)plan->offset, (unsigned long long)plan->length,
			   plan->prot, why_error(result, error, sizeof(error)));
	else
		trace_emit(TRACE_FILE, NULL, "mmap", 0, "%s offset=0x%llx length=0x%llx prot=%d -> 0x%lx%s",
			   file->path, (unsigned long long)plan->offset, (unsigned long long)plan->length,
			   plan->prot, (unsigned long)result, any_trapped(plan) ? " trapped" : "");
}

long mapping_new(struct file *file, uint64_t at, uint64_t len, int prot, int flags, uint64_t off)
{
	struct mmap_plan plan = {
		.offset = off, .length = align_up(len, UVFIO_PAGE_SIZE), .prot = prot, .flags = flags
	};
	long rc;

	if (trace_on(TRACE_FILE))
		why_clear();
	rc = check_request(file, at, len, prot, flags, off);
	if (!rc)
		rc = file_mmap(file, &plan);
	if (!rc && any_trapped(&plan))
		rc = trap_init();
	if (!rc)
		rc = place(file, at, &plan);
	if (plan.holder)
		file_put(plan.holder);
	if (trace_on(TRACE_FILE))
		trace_mapping(file, &plan, rc);
	return rc;
}

long mapping_replace(uint64_t at, uint64_t len, int prot, int flags, int fd, uint64_t off)
{
	struct io_change change;
	long rc = io_change_begin(&change);

	if (rc)
		return rc;
	rc = address_or_error(REAL(mmap)(ptr(at), len, prot, flags, fd, (off_t)off));
	if (rc < 0) {
		io_change_abort(&change);
		return rc;
	}
	io_change_remove(&change, at, at + align_up(len, UVFIO_PAGE_SIZE));
	mm_note_map(at, len, prot, flags & MAP_ANONYMOUS ? MM_ANON : 0);
	io_change_commit(&change);
	return rc;
}

long mapping_unmap(uint64_t at, uint64_t len)
{
	struct io_change change;
	long rc = io_change_begin(&change);

	if (rc)
		return rc;
	if (REAL(munmap)(ptr(at), len)) {
		rc = -errno;
		io_change_abort(&change);
		return rc;
	}
	io_change_remove(&change, at, at + align_up(len, UVFIO_PAGE_SIZE));
	mm_note_change(at, len);
	io_change_commit(&change);
	if (trace_on(TRACE_FILE))
		trace_emit(TRACE_FILE, NULL, "munmap", 0, "0x%llx length=0x%llx", (unsigned long long)at,
			   (unsigned long long)len);
	return 0;
}

/* One piece, wholly within range, or wholly foreign (NULL). */
static long protect_piece(struct io_change *change, const struct io_range *range, uint64_t at, uint64_t end,
			  int prot)
{
	bool trapped = range && range->trapped;

	if (range &&
	    ((prot & PROT_EXEC) || ((prot & PROT_WRITE) && (range->file->oflags & O_ACCMODE) == O_RDONLY)))
		return -EACCES;
	if (!trapped && REAL(mprotect)(ptr(at), end - at, prot))
		return -errno;
	if (range)
		io_change_protect(change, at, end, prot);
	if (trapped)
		mm_note_map(at, end - at, prot, MM_IO);
	else
		mm_note_change(at, end - at);
	return 0;
}

long mapping_protect(uint64_t at, uint64_t len, int prot)
{
	uint64_t end = at + align_up(len, UVFIO_PAGE_SIZE);
	struct io_change change;
	long rc;

	if (!is_aligned(at, UVFIO_PAGE_SIZE) || (prot & ~(PROT_READ | PROT_WRITE | PROT_EXEC)))
		return -EINVAL;
	rc = io_change_begin(&change);
	if (rc)
		return rc;
	while (!rc && at < end) {
		const struct io_range *range = io_change_next(&change, at);
		bool ours = range && range->start <= at;
		uint64_t to = ours ? range->end : range ? range->start : end;

		to = MIN(to, end);
		rc = protect_piece(&change, ours ? range : NULL, at, to, prot);
		at = to;
	}
	io_change_commit(&change);
	return rc;
}

/* Is all of [at, end) ours? */
static bool all_ours(uint64_t at, uint64_t end)
{
	unsigned int section = io_read_lock();
	const struct io_range *range = io_find(at);

	while (range && range->end < end)
		range = io_find(range->end);
	io_read_unlock(section);
	return range != NULL;
}

/* The ranges of [at, at + len) to the same places from to on. */
static long move_ranges(struct io_change *change, uint64_t at, uint64_t len, uint64_t to)
{
	uint64_t end = at + len;

	while (at < end) {
		struct io_range range = *io_change_next(change, at);
		uint64_t n = MIN(range.end, end) - at;

		if (REAL(mremap)(ptr(at), n, n, MREMAP_MAYMOVE | MREMAP_FIXED, ptr(to)) == MAP_FAILED)
			return -errno;
		io_change_remove(change, at, at + n);
		range.offset += at - range.start;
		range.start = to;
		range.end = to + n;
		io_change_add(change, &range);
		mm_note_map(to, n, range.prot, range.trapped ? MM_IO : 0);
		at += n;
		to += n;
	}
	return 0;
}

static long move_to(uint64_t at, uint64_t old_len, uint64_t new_len, uint64_t to)
{
	struct io_change change;
	long rc = io_change_begin(&change);

	if (rc)
		return rc;
	rc = address_or_error(REAL(mmap)(ptr(to), new_len, PROT_NONE,
					 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0));
	if (rc < 0) {
		io_change_abort(&change);
		return rc;
	}
	io_change_remove(&change, to, to + new_len);
	if (new_len < old_len) {
		REAL(munmap)(ptr(at + new_len), old_len - new_len);
		io_change_remove(&change, at + new_len, at + old_len);
	}
	mm_note_change(to, new_len);
	rc = move_ranges(&change, at, new_len, to);
	mm_note_change(at, old_len);
	io_change_commit(&change);
	return rc ? rc : (long)to;
}

/* Something foreign moves over something of ours. */
static long move_foreign(uint64_t at, uint64_t old_len, uint64_t new_len, int flags, uint64_t to)
{
	struct io_change change;
	long rc = io_change_begin(&change);

	if (rc)
		return rc;
	rc = address_or_error(REAL(mremap)(ptr(at), old_len, new_len, flags, ptr(to)));
	if (rc < 0) {
		io_change_abort(&change);
		return rc;
	}
	io_change_remove(&change, to, to + align_up(new_len, UVFIO_PAGE_SIZE));
	mm_note_change(at, old_len);
	mm_note_change(to, new_len);
	io_change_commit(&change);
	return rc;
}

long mapping_move(uint64_t at, uint64_t old_len, uint64_t new_len, int flags, uint64_t to)
{
	bool fixed = flags & MREMAP_FIXED;

	if (!is_aligned(at, UVFIO_PAGE_SIZE) || !new_len || (fixed && !(flags & MREMAP_MAYMOVE)) ||
	    (flags & ~(MREMAP_MAYMOVE | MREMAP_FIXED | MREMAP_DONTUNMAP)))
		return -EINVAL;
	old_len = align_up(old_len, UVFIO_PAGE_SIZE);
	new_len = align_up(new_len, UVFIO_PAGE_SIZE);
	if (fixed && (!is_aligned(to, UVFIO_PAGE_SIZE) || (to < at + old_len && at < to + new_len)))
		return -EINVAL;
	if (!io_overlaps(at, at + MAX(old_len, UVFIO_PAGE_SIZE)))
		return move_foreign(at, old_len, new_len, flags, to);
	if (flags & MREMAP_DONTUNMAP)
		return -EINVAL;
	if (new_len > old_len || !all_ours(at, at + old_len))
		return -EFAULT; /* device memory cannot grow */
	if (fixed)
		return move_to(at, old_len, new_len, to);
	if (new_len < old_len) {
		long rc = mapping_unmap(at + new_len, old_len - new_len);

		if (rc)
			return rc;
	}
	return (long)at;
}

/* As for device memory: what would take pages away is refused, hints are accepted. */
long mapping_advise(int advice)
{
	switch (advice) {
	case MADV_DONTNEED:
	case MADV_FREE:
	case MADV_REMOVE:
	case MADV_COLD:
	case MADV_PAGEOUT:
	case MADV_DODUMP:
	case MADV_DOFORK:
	case MADV_WIPEONFORK:
		return -EINVAL;
	default:
		return 0;
	}
}
