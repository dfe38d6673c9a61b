/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Physical Region Pages: PRP1 may begin anywhere in a page, every further entry is a whole page. What follows
 * the first page is one entry (PRP2), or a list that PRP2 points to, at any multiple of 8; the last slot of a
 * list's page leads to the next page of the list when more entries follow than fit.
 */
#include "devices/nvme/nvme.h"

#define BAD_OFFSET NVME_DNR(NVME_SC_PRP_INVALID_OFFSET)

uint16_t nvme_prp_init(struct nvme_prp *it, struct nvme_worker *w, const struct nvme_sqe *sqe, uint64_t len)
{
	uint64_t page = w->ctrl->page;
	uint64_t first = page - (sqe->prp1 & (page - 1));

	*it = (struct nvme_prp){ .w = w, .page = page };
	if (sqe->prp1 & 3)
		return BAD_OFFSET;
	it->iova = sqe->prp1;
	it->len = MIN(first, len);
	it->left = len - it->len;
	if (!it->left)
		return 0;
	if (it->left <= page) {
		/* PRP2 is the entry: a list of one that has been read already. */
		w->prps[0] = sqe->prp2;
		it->nr = 1;
		return sqe->prp2 & (page - 1) ? BAD_OFFSET : 0;
	}
	if (sqe->prp2 & 7)
		return BAD_OFFSET;
	it->list = sqe->prp2;
	return 0;
}

/* Read on in the list: as much of its page as is needed and fits. */
static uint16_t read_list(struct nvme_prp *it)
{
	uint64_t needed = (it->left + it->page - 1) / it->page;
	uint64_t slots = (it->page - (it->list & (it->page - 1))) / 8;
	uint64_t fits = MIN(needed, slots);
	uint64_t nr = MIN(fits, (uint64_t)NVME_PRP_BATCH);

	if (uvfio_dma_read(it->w->dma, it->list, it->w->prps, nr * 8, "PRP list"))
		return NVME_SC_DATA_XFER_ERROR;
	it->at = 0;
	it->nr = (unsigned int)nr;
	it->list += nr * 8;
	if (nr < slots || needed <= slots)
		return 0;
	/* The page is used up and more is needed: its last slot says where the list goes on. */
	it->list = it->w->prps[--it->nr];
	return it->list & (it->page - 1) ? BAD_OFFSET : 0;
}

/* The next entry, which stays the next one until it->at moves. */
static uint16_t peek_entry(struct nvme_prp *it, uint64_t *entry)
{
	while (it->at == it->nr) {
		uint16_t status = read_list(it);

		if (status)
			return status;
	}
	*entry = it->w->prps[it->at];
	return *entry & (it->page - 1) ? BAD_OFFSET : 0;
}

uint16_t nvme_prp_fill(struct nvme_prp *it, uint64_t max)
{
	while (it->left && it->len < max) {
		uint64_t n = MIN(it->page, it->left);
		uint64_t entry;
		uint16_t status = peek_entry(it, &entry);

		if (status)
			return status;
		if (!it->len)
			it->iova = entry;
		else if (entry != it->iova + it->len)
			return 0;
		it->at++;
		it->len += n;
		it->left -= n;
	}
	return 0;
}

void nvme_prp_advance(struct nvme_prp *it, uint64_t n)
{
	it->iova += n;
	it->len -= n;
}

/* Status of a copy between buf and the client's memory. */
static uint16_t copy(struct nvme_worker *w, const struct nvme_sqe *sqe, uint8_t *buf, uint64_t len,
		     bool to_host)
{
	struct nvme_prp it;
	uint16_t status = nvme_prp_init(&it, w, sqe, len);

	while (!status && len) {
		uint64_t n;
		int rc;

		status = nvme_prp_fill(&it, len);
		if (status)
			return status;
		n = MIN(it.len, len);
		if (to_host)
			rc = uvfio_dma_write(w->dma, it.iova, buf, n, "data");
		else
			rc = uvfio_dma_read(w->dma, it.iova, buf, n, "data");
		if (rc)
			return NVME_SC_DATA_XFER_ERROR;
		nvme_prp_advance(&it, n);
		buf += n;
		len -= n;
	}
	return status;
}

uint16_t nvme_to_host(struct nvme_worker *w, const struct nvme_sqe *sqe, const void *buf, uint64_t len)
{
	return copy(w, sqe, (uint8_t *)(uintptr_t)buf, len, true);
}

uint16_t nvme_from_host(struct nvme_worker *w, const struct nvme_sqe *sqe, void *buf, uint64_t len)
{
	return copy(w, sqe, buf, len, false);
}
