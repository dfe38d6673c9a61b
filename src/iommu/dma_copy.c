/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Device accesses: translate, and copy.
 *
 * An access is cut into runs: stretches of IOVA whose targets are adjacent memory of one address space. A run
 * is copied by one call. Translations of single pages live in a direct-mapped cache, the last larger leaf
 * beside it; while the domain tracks dirty pages, writes go to the page table itself and mark their leaf
 * before anything is written.
 */
#include "iommu/dma_private.h"

#include "base/fault.h"
#include "base/trace.h"

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

#define RUN_FLAGS (PTE_IO | ~(BIT64(PTE_MM_SHIFT) - 1))

static __attribute__((cold, noinline)) int fault_at(const struct access *acc, enum dma_fault_kind kind,
						    uint64_t at, uint64_t va)
{
	struct dma_fault fault = { kind, acc->write, at, acc->iova, acc->len, va, NULL, "" };

	return dma_fault_add(acc->user, &fault, acc->what);
}

static void mark_dirty(pte_t *slot, uint64_t pte)
{
	while (pte & PTE_LEAF && !(pte & PTE_DIRTY))
		if (atomic_compare_exchange_weak(slot, &pte, pte | PTE_DIRTY))
			return;
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

static __attribute__((noinline)) int translate_walk(const struct access *acc, uint64_t iova, uint64_t need,
						    struct run *run)
{
	struct dma_user *user = acc->user;
	struct pt_leaf leaf;

	if (unlikely(!pgtable_walk(&user->domain->pt, iova, &leaf)))
		return fault_at(acc, DMA_NOT_MAPPED, iova, 0);
	if (unlikely(!(leaf.pte & need)))
		return fault_at(acc, DMA_NO_PERMISSION, iova, 0);
	if (acc->write && user->tracking)
		mark_dirty(leaf.word, leaf.pte);
	*run = (struct run){ (leaf.pte & PTE_ADDR) + (iova - leaf.first), leaf.last - iova + 1,
			     leaf.pte & RUN_FLAGS };
	remember(user, iova, &leaf);
	return 0;
}

/* What lies at iova, to the end of its leaf or page. */
static inline int translate(const struct access *acc, uint64_t iova, struct run *run)
{
	struct dma_user *user = acc->user;
	uint64_t need = acc->write ? PTE_WRITE : PTE_READ, offset = iova & UVFIO_PAGE_MASK;
	const struct tlb_entry *entry = &user->tlb[(iova >> UVFIO_PAGE_SHIFT) % TLB_SIZE];

	if (unlikely(acc->write && user->tracking))
		return translate_walk(acc, iova, need, run);
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
	return translate_walk(acc, iova, need, run);
}

static bool continues(const struct run *run, const struct run *piece)
{
	return piece->va == run->va + run->len && piece->flags == run->flags;
}

/* The memory of this run refused the copy: find the page that did. */
static int run_lost(const struct access *acc, const struct run *run, uint64_t iova)
{
	struct mm *mm = mm_by_index((uint16_t)(run->flags >> PTE_MM_SHIFT));
	uint64_t step;

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

/* Faults that no translation is needed for. */
static inline int check_device(const struct access *acc)
{
	if (unlikely(!acc->user->domain))
		return fault_at(acc, DMA_NO_DOMAIN, acc->iova, 0);
	if (unlikely(!atomic_load_explicit(&acc->user->dev->enabled, memory_order_relaxed)))
		return fault_at(acc, DMA_NO_MASTER, acc->iova, 0);
	return 0;
}

/* On failure everything before the place that failed has been copied. */
static int transfer(const struct access *acc, char *buf)
{
	struct run run = { 0 }, piece;
	size_t copied = 0;
	int ret = check_device(acc), bad;

	while (!ret && copied + run.len < acc->len) {
		size_t at = copied + run.len;

		ret = translate(acc, acc->iova + at, &piece);
		if (ret)
			break;
		piece.len = MIN(piece.len, acc->len - at);
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

	dma_begin(user);
	ret = transfer(&acc, buf);
	if (likely(!ret))
		*(write ? &user->written : &user->read) += len;
	dma_end(user);
	if (unlikely(start))
		trace_emit(TRACE_DMA, user->dev->name, write ? "dma_write" : "dma_read", start,
			   "iova=0x%llx len=%zu what=\"%s\" ret=%d", (unsigned long long)iova, len, what,
			   ret);
	return ret;
}

int dma_read(struct dma_user *user, uint64_t iova, void *buf, size_t len, const char *what)
{
	return access_memory(user, iova, buf, len, false, what);
}

int dma_write(struct dma_user *user, uint64_t iova, const void *buf, size_t len, const char *what)
{
	return access_memory(user, iova, (void *)(uintptr_t)buf, len, true, what);
}

static bool add_iov(struct iovec *iov, unsigned int *nr, unsigned int max, const struct run *piece)
{
	struct iovec *last = *nr ? &iov[*nr - 1] : NULL;

	if (last && (uintptr_t)last->iov_base + last->iov_len == piece->va) {
		last->iov_len += piece->len;
		return true;
	}
	if (*nr == max)
		return false;
	iov[(*nr)++] = (struct iovec){ (void *)(uintptr_t)piece->va, piece->len };
	return true;
}

static int collect(const struct access *acc, struct iovec *iov, unsigned int *nr, unsigned int max)
{
	struct run piece;
	int ret = check_device(acc);

	for (size_t done = 0; !ret && done < acc->len; done += piece.len) {
		ret = translate(acc, acc->iova + done, &piece);
		if (ret)
			return ret;
		piece.len = MIN(piece.len, acc->len - done);
		if (piece.flags != (uint64_t)MM_SELF_INDEX << PTE_MM_SHIFT)
			return -EREMOTE;
		if (!add_iov(iov, nr, max, &piece))
			return -E2BIG;
	}
	return ret;
}

int dma_map_iov(struct dma_user *user, uint64_t iova, size_t len, bool write, struct iovec *iov,
		unsigned int *nr, unsigned int max, const char *what)
{
	struct access acc = { user, iova, len, write, what };
	unsigned int nr_before = *nr;
	size_t len_before = nr_before ? iov[nr_before - 1].iov_len : 0;
	int ret = collect(&acc, iov, nr, max);

	if (ret) {
		*nr = nr_before;
		if (nr_before)
			iov[nr_before - 1].iov_len = len_before;
		return ret;
	}
	*(write ? &user->written : &user->read) += len;
	if (trace_on(TRACE_DMA))
		trace_emit(TRACE_DMA, user->dev->name, write ? "dma_write" : "dma_read", 0,
			   "iova=0x%llx len=%zu what=\"%s\" pieces=%u", (unsigned long long)iova, len, what,
			   *nr - nr_before);
	return 0;
}

void dma_report_lost(struct dma_user *user, uint64_t iova, size_t len, bool write, const char *what)
{
	struct access acc = { user, iova, len, write, what };
	struct run piece;

	dma_begin(user);
	if (!check_device(&acc)) {
		for (size_t done = 0; done < len; done += piece.len) {
			if (translate(&acc, iova + done, &piece))
				break;
			piece.len = MIN(piece.len, UVFIO_PAGE_SIZE - (piece.va & UVFIO_PAGE_MASK));
			piece.len = MIN(piece.len, len - done);
			if (mm_check(mm_by_index((uint16_t)(piece.flags >> PTE_MM_SHIFT)), piece.va,
				     piece.len, write)) {
				run_lost(&acc, &piece, iova + done);
				break;
			}
		}
	}
	dma_end(user);
}
