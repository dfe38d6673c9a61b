/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Is this memory there, and may a device use it? The rules of get_user_pages: to write, the mapping must be
 * writable (and need not be readable); to read, readable; a page of a file must lie before the file's end.
 *
 * Known stretches of this process's memory are kept in a sorted array of fixed size: nothing here allocates,
 * because a program's own allocator may call an interposed mmap() and so come back to us. The array is
 * guarded by a flag that nobody waits for, because a signal handler may call mmap() too: who finds it taken
 * asks the kernel instead, or leaves word (changes) that everything may have changed. What was learnt from
 * the kernel is kept only when no change was reported meanwhile.
 *
 * A stretch of a file is known only up to the page that was seen to exist: that end can only be moved by a
 * change of the file's size, which the kernel's own check would not notice either once the page was pinned.
 */
#include "iommu/mm_private.h"

#include "base/fault.h"

#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define KNOWN_MAX   512

#define KNOWN_READ  1u
#define KNOWN_WRITE 2u
#define KNOWN_IO    4u /* a BAR: pages without access, but a legal target */
#define KNOWN_BAR   8u /* a BAR's plain memory */

struct known {
	uint64_t start, end;
	uint64_t flags;
};

static struct {
	atomic_flag busy; /* guards known[], nr and seen */
	uint32_t nr;
	uint64_t seen;            /* changes that known[] takes into account */
	_Atomic uint64_t changes; /* reported so far */
	_Atomic bool trusted;
	_Atomic bool any_io;
	struct known known[KNOWN_MAX];
} cache = { .busy = ATOMIC_FLAG_INIT };

static bool cache_enter(void)
{
	return !atomic_flag_test_and_set_explicit(&cache.busy, memory_order_acquire);
}

/* For what is better not given up at once. Bounded: the holder may be the very thread that we interrupted. */
static bool cache_insist(void)
{
	struct timespec nap = { .tv_nsec = 10000 };

	for (int i = 0; i < 120; i++) {
		if (cache_enter())
			return true;
		if (i >= 100)
			nanosleep(&nap, NULL);
	}
	return false;
}

static void cache_leave(void)
{
	atomic_flag_clear_explicit(&cache.busy, memory_order_release);
}

/* Who was changing it at the fork never ends that here: what is known has to be asked again. */
void mm_check_forked(void)
{
	if (!cache_enter())
		atomic_fetch_add(&cache.changes, 1);
	cache_leave();
}

/* The first stretch that ends after va. */
static uint32_t known_at(uint64_t va)
{
	uint32_t lo = 0, hi = cache.nr;

	while (lo < hi) {
		uint32_t mid = (lo + hi) / 2;

		if (cache.known[mid].end > va)
			hi = mid;
		else
			lo = mid + 1;
	}
	return lo;
}

static void known_remove(uint32_t i, uint32_t n)
{
	cache.nr -= n;
	memmove(&cache.known[i], &cache.known[i + n], (cache.nr - i) * sizeof(cache.known[0]));
}

/* When full, some other stretch is forgotten: it can be asked for again. BARs cannot, and stay. */
static void known_insert(uint32_t i, uint64_t start, uint64_t end, uint64_t flags)
{
	if (cache.nr == KNOWN_MAX) {
		uint32_t victim = (uint32_t)((start >> UVFIO_PAGE_SHIFT) * 2654435761u) % KNOWN_MAX;

		for (uint32_t n = 0; cache.known[victim].flags & KNOWN_IO && n < KNOWN_MAX; n++)
			victim = (victim + 1) % KNOWN_MAX;
		known_remove(victim, 1);
		i -= victim < i;
	}
	memmove(&cache.known[i + 1], &cache.known[i], (cache.nr - i) * sizeof(cache.known[0]));
	cache.known[i] = (struct known){ start, end, flags };
	cache.nr++;
}

/* Forget [start, end). Where the next stretch begins is returned. */
static uint32_t known_carve(uint64_t start, uint64_t end)
{
	uint32_t i = known_at(start), n = 0;

	if (i < cache.nr && cache.known[i].start < start) {
		struct known old = cache.known[i];

		cache.known[i].end = start;
		i++;
		if (old.end > end) {
			known_insert(i, end, old.end, old.flags);
			return known_at(start);
		}
	}
	while (i + n < cache.nr && cache.known[i + n].end <= end)
		n++;
	known_remove(i, n);
	if (i < cache.nr && cache.known[i].start < end)
		cache.known[i].start = end;
	return i;
}

static void known_set(uint64_t start, uint64_t end, uint64_t flags)
{
	uint32_t i = known_carve(start, end);
	struct known *before = i ? &cache.known[i - 1] : NULL;

	if (before && before->end == start && before->flags == flags) {
		before->end = end;
		if (i < cache.nr && cache.known[i].start == end && cache.known[i].flags == flags) {
			before->end = cache.known[i].end;
			known_remove(i, 1);
		}
	} else if (i < cache.nr && cache.known[i].start == end && cache.known[i].flags == flags) {
		cache.known[i].start = start;
	} else {
		known_insert(i, start, end, flags);
	}
}

/* Nobody could be told of some change: only the BARs, which no one else reports, are still believed. */
static void catch_up(void)
{
	uint64_t changes = atomic_load_explicit(&cache.changes, memory_order_acquire);
	uint32_t kept = 0;

	if (likely(changes == cache.seen))
		return;
	for (uint32_t i = 0; i < cache.nr; i++)
		if (cache.known[i].flags & KNOWN_IO)
			cache.known[kept++] = cache.known[i];
	cache.nr = kept;
	cache.seen = changes;
}

/* A change. flags 0: unknown now. */
static void note(uint64_t va, uint64_t len, uint64_t flags)
{
	uint64_t end, changes;

	if (add_overflows(va, len, &end) || !len)
		return;
	end = align_up(end, UVFIO_PAGE_SIZE);
	changes = atomic_fetch_add(&cache.changes, 1) + 1;
	if (!cache_insist())
		return;
	if (cache.seen + 1 == changes)
		cache.seen = changes;
	catch_up();
	if (flags)
		known_set(va, end, flags);
	else
		known_carve(va, end);
	cache_leave();
}

void mm_note_map(uint64_t va, uint64_t len, int prot, unsigned int flags)
{
	uint64_t known = (prot & PROT_READ ? KNOWN_READ : 0) | (prot & PROT_WRITE ? KNOWN_WRITE : 0);

	if (flags & MM_IO) {
		atomic_store(&cache.any_io, true);
		note(va, len, known | KNOWN_IO);
	} else if (atomic_load_explicit(&cache.trusted, memory_order_relaxed)) {
		note(va, len, flags & MM_ANON ? known : 0);
	}
}

void mm_note_change(uint64_t va, uint64_t len)
{
	note(va, len, 0);
}

void mm_trust_notes(bool on)
{
	atomic_store(&cache.trusted, on);
	atomic_fetch_add(&cache.changes, 1);
}

size_t mm_io_span(uint64_t va, size_t len, bool *io)
{
	const struct known *k;
	size_t span = len;

	*io = false;
	if (!atomic_load_explicit(&cache.any_io, memory_order_relaxed))
		return len;
	if (!cache_insist())
		return len;
	for (uint32_t i = known_at(va); i < cache.nr && cache.known[i].start < va + len; i++) {
		k = &cache.known[i];
		if (!(k->flags & KNOWN_IO))
			continue;
		*io = k->start <= va;
		span = *io ? MIN(len, k->end - va) : k->start - va;
		break;
	}
	cache_leave();
	return span;
}

/* Is all of [va, end) known to be good? */
static bool known_good(uint64_t va, uint64_t end, uint64_t need, uint64_t *seen)
{
	bool trusted = atomic_load_explicit(&cache.trusted, memory_order_relaxed);

	if (!trusted && !atomic_load_explicit(&cache.any_io, memory_order_relaxed))
		return false;
	if (!cache_enter())
		return false;
	catch_up();
	for (uint32_t i = known_at(va); va < end && i < cache.nr; i++) {
		const struct known *k = &cache.known[i];

		if (k->start > va || !(k->flags & need) || !(trusted || k->flags & KNOWN_IO))
			break;
		*seen |= k->flags;
		va = k->end;
	}
	cache_leave();
	return va >= end;
}

static void learn(uint64_t start, uint64_t end, uint64_t flags, uint64_t changes)
{
	if (!atomic_load_explicit(&cache.trusted, memory_order_relaxed) || !cache_enter())
		return;
	catch_up();
	if (cache.seen == changes)
		known_set(start, end, flags);
	cache_leave();
}

/* A page of a file that lies beyond its end is mapped, and still not there. */
static bool page_exists(uint64_t page)
{
	void *at = (void *)(uintptr_t)page;

	return !syscall(SYS_madvise, at, UVFIO_PAGE_SIZE, MADV_POPULATE_READ) || errno != EFAULT;
}

static bool is_present(uint64_t va, uint64_t len)
{
	return !syscall(SYS_msync, va, len, MS_ASYNC);
}

/* Ask about the mapping at va. Returns how far it is good, or va when it is not. */
static uint64_t ask(struct mm *mm, uint64_t va, uint64_t end, uint64_t need, uint64_t *seen)
{
	uint64_t changes = atomic_load_explicit(&cache.changes, memory_order_acquire), flags;
	struct vma vma;
	int ret = maps_query(mm, va, &vma);

	/* Without a descriptor or /proc only holes can be told; what lacks permission shows itself when used.
	 */
	if (ret == -EBADF && is_present(va, end - va))
		return end;
	if (ret)
		return va;
	flags = (vma.readable ? KNOWN_READ : 0) | (vma.writable ? KNOWN_WRITE : 0) |
		(vma.bar ? KNOWN_BAR : 0);
	if (!(flags & need))
		return va;
	*seen |= flags;
	if (!mm->self) {
		shared_note(container_of(mm, struct other_mm, mm), &vma);
		return vma.end;
	}
	if (vma.file && vma.readable) {
		vma.end = MIN(vma.end, end);
		if (!page_exists(vma.end - UVFIO_PAGE_SIZE))
			return va;
	}
	learn(vma.start, vma.end, flags, changes);
	return vma.end;
}

/* *seen: the flags of all of it, together. */
static int check(struct mm *mm, uint64_t va, uint64_t len, bool write, uint64_t *seen)
{
	uint64_t need = write ? KNOWN_WRITE : KNOWN_READ, end;

	*seen = 0;
	if (va >= MM_VA_END || len > MM_VA_END - va)
		return -EFAULT;
	if (unlikely(mm->base)) {
		*seen = KNOWN_READ | KNOWN_WRITE;
		return mm_file_check(mm, va, len, write);
	}
	end = align_up(va + len, UVFIO_PAGE_SIZE);
	va = align_down(va, UVFIO_PAGE_SIZE);
	if (mm->self && known_good(va, end, need, seen)) {
		if (is_present(va, end - va))
			return 0;
		mm_note_change(va, end - va);
		return -EFAULT;
	}
	while (va < end) {
		bool is_io = false;
		uint64_t part = va + (mm->self ? mm_io_span(va, end - va, &is_io) : end - va), good = part;

		if (!is_io)
			good = ask(mm, va, part, need, seen);
		else if (!known_good(va, part, need, seen))
			return -EFAULT;
		if (good == va)
			return -EFAULT;
		va = MIN(good, part);
	}
	return 0;
}

int mm_check(struct mm *mm, uint64_t va, uint64_t len, bool write)
{
	uint64_t seen;

	return check(mm, va, len, write, &seen);
}

int mm_check_io(struct mm *mm, uint64_t va, uint64_t len, bool write, bool *io)
{
	uint64_t seen;
	int ret = check(mm, va, len, write, &seen);

	*io = seen & KNOWN_IO;
	return ret;
}

/* Pages of BARs in plain memory. */
static uint64_t count_plain(struct mm *mm, uint64_t va, uint64_t end)
{
	uint64_t pages = 0;
	struct vma vma;

	for (; va < end && !maps_query(mm, va, &vma); va = vma.end)
		pages += vma.bar ? (MIN(vma.end, end) - va) / UVFIO_PAGE_SIZE : 0;
	return pages;
}

static uint64_t count_bars(struct mm *mm, uint64_t va, uint64_t end)
{
	uint64_t pages = 0, part;

	for (; va < end; va += part) {
		bool io = false;

		part = mm->self ? mm_io_span(va, end - va, &io) : end - va;
		pages += io ? part / UVFIO_PAGE_SIZE : count_plain(mm, va, va + part);
	}
	return pages;
}

int mm_check_bars(struct mm *mm, uint64_t va, uint64_t len, bool write, struct mm_bars *bars)
{
	uint64_t seen;
	int ret = check(mm, va, len, write, &seen);

	*bars = (struct mm_bars){ .io = seen & KNOWN_IO };
	if (unlikely(!ret && seen & (KNOWN_IO | KNOWN_BAR)))
		bars->pages = count_bars(mm, va, va + len);
	return ret;
}

int mm_check_bar(struct mm *mm, uint64_t va, uint64_t len, bool write, bool *bar)
{
	uint64_t seen;
	int ret = check(mm, va, len, write, &seen);

	*bar = seen & (KNOWN_IO | KNOWN_BAR);
	return ret;
}

static bool can_read(uint64_t va)
{
	uint8_t byte;

	return !copy_nofault(&byte, (const void *)(uintptr_t)va, 1);
}

/* Without notes the page itself is all that tells. BARs are mapped only where there are notes. */
static bool touch_unknown(uint64_t va, bool write)
{
	if (atomic_load_explicit(&cache.trusted, memory_order_relaxed) ||
	    atomic_load_explicit(&cache.any_io, memory_order_relaxed))
		return false;
	return write ? !touch_nofault((void *)(uintptr_t)va) : can_read(va);
}

static bool touch_known(uint64_t va, bool write, uint64_t *seen)
{
	return known_good(va, va + UVFIO_PAGE_SIZE, write ? KNOWN_WRITE : KNOWN_READ, seen) &&
	       *seen & KNOWN_READ && !(*seen & KNOWN_IO) && can_read(va);
}

int mm_check_page(struct mm *mm, uint64_t va, bool write, bool *bar)
{
	uint64_t seen = 0;

	if (!mm->self || !fault_handler_installed() || va >= MM_VA_END ||
	    !(touch_known(va, write, &seen) || touch_unknown(va, write)))
		return mm_check_bar(mm, va, UVFIO_PAGE_SIZE, write, bar);
	*bar = seen & KNOWN_BAR;
	return 0;
}
