/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Device accesses: translate, and copy.
 *
 * An access is cut into runs: stretches of IOVA whose targets are adjacent memory of one address space. A run
 * is copied by one call. Translations of single pages live in a direct-mapped cache, the last larger leaf
 * beside it. An access of several pages reads the entries behind its second page's from the table in one go.
 * While the domain tracks dirty pages, writes go to the page table itself and mark their leaf before anything
 * is written.
 */
#include "iommu/dma_private.h"

#include "base/fault.h"
#include "base/trace.h"

#include <endian.h>
#include <string.h>

struct access {
	struct dma_user *user;
	uint64_t iova;
	size_t len;
	bool write;
	const char *what;
};

struct run {
	uint64_t va;
	size_t len;
	uint64_t flags; /* PTE_IO and the index of the address space, as in an entry */
};

#define RUN_SELF  ((uint64_t)MM_SELF_INDEX << PTE_MM_SHIFT) /* plain memory of this process */
#define RUN_FLAGS (PTE_IO | ~(BIT64(PTE_MM_SHIFT) - 1))

static __attribute__((cold, noinline)) int fault_at(const struct access *acc, enum dma_fault_kind kind,
						    uint64_t at, uint64_t va)
{
	struct dma_fault fault = { kind, acc->write, at, acc->iova, acc->len, va, NULL, "", false };

	return dma_fault_add(acc->user, &fault, acc->what);
}

/* Mark the leaf of iova, and look again: it may have moved to a table of its own meanwhile. */
static __attribute__((noinline)) void mark_dirty(const struct pgtable *pt, uint64_t iova, struct pt_leaf leaf)
{
	const pte_t *marked;
	uint64_t pte;

	do {
		pte = leaf.pte;
		while (pte & PTE_LEAF && !(pte & PTE_DIRTY))
			if (atomic_compare_exchange_weak(leaf.word, &pte, pte | PTE_DIRTY))
				break;
		marked = leaf.word;
	} while (pgtable_walk(pt, iova, &leaf) && leaf.word != marked);
}

static void remember(struct dma_user *user, uint64_t iova, const struct pt_leaf *leaf)
{
	uint64_t page = align_down(iova, UVFIO_PAGE_SIZE);

	user->tlb[(iova >> UVFIO_PAGE_SHIFT) % TLB_SIZE] =
		(struct tlb_entry){ page | user->epoch, leaf->pte + (page - leaf->first) };
	if (leaf->last - leaf->first < UVFIO_PAGE_SIZE)
		return;
	user->big_iova = leaf->first;
	user->big_size = leaf->last - leaf->first + 1;
	user->big_pte = leaf->pte;
}

/* 0, or which enum dma_fault_kind is in the way. */
static inline __attribute__((always_inline)) int translate_walk(struct dma_user *user, uint64_t iova,
								bool write, struct run *run)
{
	struct pt_leaf leaf;

	if (unlikely(!pgtable_walk(&user->domain->pt, iova, &leaf)))
		return DMA_NOT_MAPPED;
	if (unlikely(!(leaf.pte & (write ? PTE_WRITE : PTE_READ))))
		return DMA_NO_PERMISSION;
	if (unlikely(write && user->tracking))
		mark_dirty(&user->domain->pt, iova, leaf);
	*run = (struct run){ (leaf.pte & PTE_ADDR) + (iova - leaf.first), leaf.last - iova + 1,
			     leaf.pte & RUN_FLAGS };
	remember(user, iova, &leaf);
	return 0;
}

/* What lies at iova, to the end of its leaf or page. */
static inline __attribute__((always_inline)) int translate(struct dma_user *user, uint64_t iova, bool write,
							   struct run *run)
{
	uint64_t need = write ? PTE_WRITE : PTE_READ, offset = iova & UVFIO_PAGE_MASK;
	const struct tlb_entry *entry = &user->tlb[(iova >> UVFIO_PAGE_SHIFT) % TLB_SIZE];

	if (unlikely(write && user->tracking))
		return translate_walk(user, iova, write, run);
	if (likely(entry->key == ((iova - offset) | user->epoch) && entry->pte & need)) {
		*run = (struct run){ (entry->pte & PTE_ADDR) + offset, UVFIO_PAGE_SIZE - offset,
				     entry->pte & RUN_FLAGS };
		return 0;
	}
	offset = iova - user->big_iova;
	if (offset < user->big_size && user->big_pte & need) {
		*run = (struct run){ (user->big_pte & PTE_ADDR) + offset, user->big_size - offset,
				     user->big_pte & RUN_FLAGS };
		return 0;
	}
	return translate_walk(user, iova, write, run);
}

static bool continues(const struct run *run, const struct run *piece)
{
	return piece->va == run->va + run->len && piece->flags == run->flags;
}

/* A run up to iova that may go on there: take in what follows it in the same table, for max bytes. */
static __attribute__((noinline)) void lengthen(struct dma_user *user, uint64_t iova, size_t max, bool write,
					       struct run *run)
{
	struct pt_leaf leaf;
	struct run next;

	if (!pgtable_walk(&user->domain->pt, iova, &leaf) || !(leaf.pte & (write ? PTE_WRITE : PTE_READ)))
		return;
	next = (struct run){ (leaf.pte & PTE_ADDR) + (iova - leaf.first), leaf.last - iova + 1,
			     leaf.pte & RUN_FLAGS };
	if (continues(run, &next))
		run->len += next.len + pgtable_follow(&leaf, max);
}

/* The same as translate() for a part of an access: notes the fault. 0 or -EFAULT. */
static inline int translate_part(const struct access *acc, size_t done, struct run *run)
{
	int kind = translate(acc->user, acc->iova + done, acc->write, run);
	size_t left = acc->len - done;

	if (unlikely(kind))
		return fault_at(acc, (enum dma_fault_kind)kind, acc->iova + done, 0);
	if (run->len < left && !(acc->write && acc->user->tracking))
		lengthen(acc->user, acc->iova + done + run->len, left - run->len, acc->write, run);
	run->len = MIN(run->len, left);
	return 0;
}

/* The memory of this run refused the copy: find the page that did. */
static int run_lost(const struct access *acc, const struct run *run, uint64_t iova)
{
	struct mm *mm = mm_by_index((uint16_t)(run->flags >> PTE_MM_SHIFT));
	uint64_t step;

	if (mm_is_gone(mm))
		return fault_at(acc, DMA_EXITED, iova, run->va);
	for (uint64_t done = 0; done < run->len; done += step) {
		uint64_t va = run->va + done;

		step = MIN(run->len - done, UVFIO_PAGE_SIZE - (va & UVFIO_PAGE_MASK));
		if (!mm_check(mm, va, step, acc->write))
			continue;
		return fault_at(acc, DMA_LOST, iova + done, va);
	}
	return fault_at(acc, DMA_LOST, iova, run->va);
}

static int copy_run(const struct access *acc, const struct run *run, uint64_t iova, void *buf)
{
	struct mm *mm = mm_by_index((uint16_t)(run->flags >> PTE_MM_SHIFT));
	void *memory = (void *)(uintptr_t)run->va;
	int ret;

	if (likely(mm->self && !(run->flags & PTE_IO)))
		ret = acc->write ? copy_nofault(memory, buf, run->len) : copy_nofault(buf, memory, run->len);
	else
		ret = acc->write ? mm_write(mm, run->va, buf, run->len) : mm_read(mm, buf, run->va, run->len);
	return likely(!ret) ? 0 : run_lost(acc, run, iova);
}

static inline bool device_ready(const struct dma_user *user)
{
	return likely(user->domain && atomic_load_explicit(&user->dev->enabled, memory_order_relaxed));
}

/* Faults that no translation is needed for. */
static inline int check_device(const struct access *acc)
{
	if (device_ready(acc->user))
		return 0;
	if (atomic_load(&acc->user->dev->gone))
		return -EFAULT;
	if (acc->user->dev->mediated)
		return fault_at(acc, DMA_NO_IOMMU, acc->iova, 0);
	return fault_at(acc, acc->user->domain ? DMA_NO_MASTER : DMA_NO_DOMAIN, acc->iova, 0);
}

/* On failure everything before the place that failed has been copied. */
static int transfer(const struct access *acc, char *buf)
{
	struct run run = { 0 }, piece;
	size_t copied = 0;
	int ret = check_device(acc), bad;

	while (!ret && copied + run.len < acc->len) {
		ret = translate_part(acc, copied + run.len, &piece);
		if (ret)
			break;
		if (continues(&run, &piece)) {
			run.len += piece.len;
			continue;
		}
		if (run.len)
			ret = copy_run(acc, &run, acc->iova + copied, buf + copied);
		copied += run.len;
		run = piece;
		if (ret)
			return ret;
	}
	if (run.len) {
		bad = copy_run(acc, &run, acc->iova + copied, buf + copied);
		ret = bad ? bad : ret;
	}
	return ret;
}

static int access_memory(struct dma_user *user, uint64_t iova, void *buf, size_t len, bool write,
			 const char *what)
{
	struct access acc = { user, iova, len, write, what };
	uint64_t start = trace_on(TRACE_DMA) ? trace_now() : 0;
	int ret;

	dma_begin(&user->dma);
	ret = transfer(&acc, buf);
	if (likely(!ret))
		*(write ? &user->written : &user->read) += len;
	dma_end(&user->dma);
	if (unlikely(start))
		trace_emit(TRACE_DMA, user->dev->name, write ? "dma_write" : "dma_read", start,
			   "iova=0x%llx len=%zu what=\"%s\" ret=%d", (unsigned long long)iova, len, what,
			   ret);
	return ret;
}

int dma_read(struct uvfio_dma *dma, uint64_t iova, void *buf, size_t len, const char *what)
{
	return access_memory(to_user(dma), iova, buf, len, false, what);
}

int dma_write(struct uvfio_dma *dma, uint64_t iova, const void *buf, size_t len, const char *what)
{
	return access_memory(to_user(dma), iova, (void *)(uintptr_t)buf, len, true, what);
}

int dma_fill(struct uvfio_dma *dma, uint64_t iova, uint64_t pattern, size_t len, const char *what)
{
	uint64_t block[512];
	int ret = 0;

	for (size_t i = 0; i < MIN(ARRAY_SIZE(block), len / sizeof(pattern) + 1); i++)
		block[i] = htole64(pattern);
	for (size_t done = 0, n; !ret && done < len; done += n) {
		n = MIN(len - done, sizeof(block));
		ret = dma_write(dma, iova + done, block, n, what);
	}
	return ret;
}

/* ---- from memory to memory */

/* One side of a copy: what is adjacent from some place on. */
struct side {
	struct access acc;
	struct run run;
};

static int next_run(struct side *side, size_t done)
{
	const struct access *acc = &side->acc;
	struct run piece;
	int ret = translate_part(acc, done, &side->run);

	while (!ret && done + side->run.len < acc->len &&
	       !translate(acc->user, acc->iova + done + side->run.len, acc->write, &piece) &&
	       continues(&side->run, &piece))
		side->run.len += MIN(piece.len, acc->len - done - side->run.len);
	return ret;
}

/* Which side refused? Neither any more: then the destination did. */
static int copy_lost(const struct side *to, const struct side *from, size_t done, size_t n, bool *dst_failed)
{
	struct run run = from->run;

	run.len = n;
	*dst_failed = !mm_check(mm_by_index((uint16_t)(run.flags >> PTE_MM_SHIFT)), run.va, n, false);
	if (!*dst_failed)
		return run_lost(&from->acc, &run, from->acc.iova + done);
	run = to->run;
	run.len = n;
	return run_lost(&to->acc, &run, to->acc.iova + done);
}

/* Another process's memory, or a BAR, on either side. */
static int copy_bounced(const struct side *to, const struct side *from, size_t done, size_t n,
			bool *dst_failed)
{
	char buf[4096];
	struct run in = from->run, out = to->run;
	int ret = 0;

	for (size_t at = 0; !ret && at < n; at += in.len) {
		in.len = out.len = MIN(n - at, sizeof(buf));
		*dst_failed = false;
		ret = copy_run(&from->acc, &in, from->acc.iova + done + at, buf);
		if (!ret) {
			*dst_failed = true;
			ret = copy_run(&to->acc, &out, to->acc.iova + done + at, buf);
		}
		in.va += in.len;
		out.va += in.len;
	}
	return ret;
}

static void advance(struct run *run, size_t n)
{
	run->va += n;
	run->len -= n;
}

static int copy_sides(struct side *to, struct side *from, bool *dst_failed)
{
	size_t len = to->acc.len;
	int ret = check_device(&from->acc);

	*dst_failed = false;
	for (size_t done = 0, n; !ret && done < len; done += n) {
		if (!from->run.len)
			ret = next_run(from, done);
		if (!ret && !to->run.len) {
			ret = next_run(to, done);
			*dst_failed = ret;
		}
		if (ret)
			break;
		n = MIN(from->run.len, to->run.len);
		if (from->run.flags != RUN_SELF || to->run.flags != RUN_SELF)
			ret = copy_bounced(to, from, done, n, dst_failed);
		else if (unlikely(copy_nofault((void *)(uintptr_t)to->run.va,
					       (const void *)(uintptr_t)from->run.va, n)))
			ret = copy_lost(to, from, done, n, dst_failed);
		advance(&from->run, n);
		advance(&to->run, n);
	}
	return ret;
}

int dma_copy(struct uvfio_dma *dma, uint64_t dst, uint64_t src, size_t len, const char *what,
	     bool *dst_failed)
{
	struct dma_user *user = to_user(dma);
	struct side to = { .acc = { user, dst, len, true, what } };
	struct side from = { .acc = { user, src, len, false, what } };
	uint64_t start = trace_on(TRACE_DMA) ? trace_now() : 0;
	int ret;

	dma_begin(dma);
	ret = copy_sides(&to, &from, dst_failed);
	if (likely(!ret)) {
		user->read += len;
		user->written += len;
	}
	dma_end(dma);
	if (unlikely(start))
		trace_emit(TRACE_DMA, user->dev->name, "dma_copy", start,
			   "iova=0x%llx from=0x%llx len=%zu what=\"%s\" ret=%d", (unsigned long long)dst,
			   (unsigned long long)src, len, what, ret);
	return ret;
}

/* ---- memory for system calls */

static bool add_iov(struct iovec *iov, unsigned int *nr, unsigned int max, const struct run *piece)
{
	if (*nr) {
		struct iovec *last = &iov[*nr - 1];

		if ((uintptr_t)last->iov_base + last->iov_len == piece->va) {
			last->iov_len += piece->len;
			return true;
		}
	}
	if (*nr == max)
		return false;
	iov[(*nr)++] = (struct iovec){ (void *)(uintptr_t)piece->va, piece->len };
	return true;
}

static int collect(const struct access *acc, struct iovec *iov, unsigned int *nr, unsigned int max)
{
	struct run piece = { 0 };
	int ret = check_device(acc);

	for (size_t done = 0; !ret && done < acc->len; done += piece.len) {
		ret = translate_part(acc, done, &piece);
		if (ret)
			return ret;
		if (piece.flags != RUN_SELF)
			return -EREMOTE;
		if (!add_iov(iov, nr, max, &piece))
			return -E2BIG;
	}
	return ret;
}

/* All of it in one piece, as most are. False: nothing done, whatever the reason. */
static inline bool map_one_piece(struct dma_user *user, uint64_t iova, size_t len, bool write,
				 struct iovec *iov, unsigned int *nr, unsigned int max)
{
	struct run piece;

	if (!device_ready(user) || translate(user, iova, write, &piece) || piece.len < len ||
	    piece.flags != RUN_SELF)
		return false;
	piece.len = len;
	return add_iov(iov, nr, max, &piece);
}

static __attribute__((noinline)) int map_pieces(const struct access *acc, struct iovec *iov, unsigned int *nr,
						unsigned int max)
{
	unsigned int nr_before = *nr;
	size_t len_before = nr_before ? iov[nr_before - 1].iov_len : 0;
	int ret = collect(acc, iov, nr, max);

	if (ret) {
		*nr = nr_before;
		if (nr_before)
			iov[nr_before - 1].iov_len = len_before;
	}
	return ret;
}

int dma_map(struct uvfio_dma *dma, uint64_t iova, size_t len, bool write, struct iovec *iov, unsigned int *nr,
	    unsigned int max, const char *what)
{
	struct dma_user *user = to_user(dma);

	if (!map_one_piece(user, iova, len, write, iov, nr, max)) {
		struct access acc = { user, iova, len, write, what };
		int ret = map_pieces(&acc, iov, nr, max);

		if (ret)
			return ret;
	}
	*(write ? &user->written : &user->read) += len;
	if (trace_on(TRACE_DMA))
		trace_emit(TRACE_DMA, user->dev->name, write ? "dma_write" : "dma_read", 0,
			   "iova=0x%llx len=%zu what=\"%s\" pieces_so_far=%u", (unsigned long long)iova, len,
			   what, *nr);
	return 0;
}

void dma_report_lost(struct uvfio_dma *dma, uint64_t iova, size_t len, bool write, const char *what)
{
	struct access acc = { to_user(dma), iova, len, write, what };
	struct run piece;
	int ret;

	dma_begin(dma);
	ret = check_device(&acc);
	for (size_t done = 0; !ret && done < len; done += piece.len) {
		ret = translate_part(&acc, done, &piece);
		if (!ret && mm_check(mm_by_index((uint16_t)(piece.flags >> PTE_MM_SHIFT)), piece.va,
				     piece.len, write))
			ret = run_lost(&acc, &piece, iova + done);
	}
	dma_end(dma);
}
