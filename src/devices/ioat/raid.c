/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * XOR and PQ: parity over several sources, made or checked. P is the sum of the sources, which is XOR; Q is
 * the sum of the sources, each times its coefficient, in the field of 256 elements that RAID 6 uses: bytes
 * are polynomials over two elements, modulo x^8 + x^4 + x^3 + x^2 + 1.
 *
 * A block of every source is read before the results are written, so a source may be a destination too.
 */
#include "devices/ioat/ioat.h"

#include <string.h>

#define FIELD_POLYNOMIAL 0x11du

#define RESERVED_XOR     0x00fff800u
#define RESERVED_PQ      0x00ffe000u
#define RESERVED_UPDATE  0x0000e000u

#define MAX_XOR          8
#define MAX_XOR_BASE     5
#define MAX_PQ           8
#define MAX_PQ_BASE      3
#define MAX_SED_FIRST                                                                                        \
	9 /* sources, of which a super extended descriptor of 64 bytes has room for the last                 \
	   */

/* An operation, whatever its descriptors look like. */
struct job {
	unsigned int nr;
	uint64_t source[IOAT_MAX_SOURCES];
	uint8_t times[IOAT_MAX_SOURCES];
	bool p, q;     /* what there is of results; XOR has P */
	bool validate; /* compare the results with what is there */
	bool update;   /* the results begin with what is at old_p and old_q */
	uint64_t p_iova, q_iova, old_p, old_q;
};

/* ---- the field */

static uint8_t times_two(uint8_t a)
{
	return (uint8_t)(a << 1 ^ (a & 0x80 ? FIELD_POLYNOMIAL : 0));
}

/* Products of all elements with c: those of the powers of two, and sums of them. */
static void make_products(uint8_t products[256], uint8_t c)
{
	products[0] = 0;
	for (unsigned int power = 1; power < 256; power *= 2) {
		for (unsigned int i = 0; i < power; i++)
			products[power + i] = products[i] ^ c;
		c = times_two(c);
	}
}

static void add(uint8_t *sum, const uint8_t *source, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++)
		sum[i] ^= source[i];
}

static void add_products(uint8_t *sum, const uint8_t *source, const uint8_t products[256], uint32_t n)
{
	for (uint32_t i = 0; i < n; i++)
		sum[i] ^= products[source[i]];
}

/* ---- descriptors */

/* The extension that follows in the chain. */
static uint32_t read_extension(struct ioat *ioat, uint16_t pending, uint64_t words[8], unsigned int *used,
			       uint64_t *next)
{
	uint64_t iova = ioat->desc.next;

	if (pending < 2)
		return IOAT_ERR_COUNT;
	if (iova % IOAT_DESC_SIZE)
		return IOAT_ERR_ALIGN;
	if (uvfio_dma_read(ioat->worker->dma, iova, words, IOAT_DESC_SIZE, "extended descriptor"))
		return IOAT_ERR_NEXT;
	*used = 2;
	*next = words[3];
	return 0;
}

static uint32_t xor_job(struct ioat *ioat, struct job *job, uint16_t pending, unsigned int *used,
			uint64_t *next)
{
	const struct ioat_desc *desc = &ioat->desc;
	uint64_t ext[8];
	uint32_t error = 0;

	job->nr = IOAT_DESC_SRC(desc->ctl) + 2;
	job->p = true;
	job->p_iova = desc->dst;
	job->validate = IOAT_DESC_OP(desc->ctl) == IOAT_OP_XOR_VAL;
	if (job->nr > MAX_XOR || desc->ctl & RESERVED_XOR)
		return IOAT_ERR_CONTROL;
	job->source[0] = desc->src;
	memcpy(&job->source[1], desc->arg, sizeof(desc->arg));
	if (job->nr > MAX_XOR_BASE) {
		error = read_extension(ioat, pending, ext, used, next);
		if (!error)
			memcpy(&job->source[MAX_XOR_BASE], ext, 3 * sizeof(*ext));
	}
	return error;
}

static void pq_results(const struct ioat_desc *desc, struct job *job)
{
	job->p = !(desc->ctl & IOAT_DESC_NO_P);
	job->q = !(desc->ctl & IOAT_DESC_NO_Q);
	job->p_iova = desc->dst;
	job->q_iova = desc->arg[3];
	job->source[0] = desc->src;
	job->source[1] = desc->arg[0];
}

static uint32_t pq_job(struct ioat *ioat, struct job *job, uint16_t pending, unsigned int *used,
		       uint64_t *next)
{
	const struct ioat_desc *desc = &ioat->desc;
	uint64_t ext[8];
	uint32_t error = 0;

	job->nr = IOAT_DESC_SRC(desc->ctl) + 2;
	job->validate = IOAT_DESC_OP(desc->ctl) == IOAT_OP_PQ_VAL;
	if (job->nr > MAX_PQ || desc->ctl & RESERVED_PQ)
		return IOAT_ERR_CONTROL;
	pq_results(desc, job);
	job->source[2] = desc->arg[1];
	memcpy(job->times, &desc->arg[2], MAX_PQ);
	if (job->nr > MAX_PQ_BASE) {
		error = read_extension(ioat, pending, ext, used, next);
		if (error)
			return error;
		memcpy(&job->source[3], ext, 3 * sizeof(*ext));
		memcpy(&job->source[6], &ext[4], 2 * sizeof(*ext));
	}
	return 0;
}

static uint32_t pq16_job(struct ioat *ioat, struct job *job)
{
	const struct ioat_desc *desc = &ioat->desc;
	uint64_t iova = desc->arg[1], sed[16];

	job->nr = IOAT_DESC_SRC(desc->ctl) + 9;
	job->validate = IOAT_DESC_OP(desc->ctl) == IOAT_OP_PQ16_VAL;
	if (desc->ctl & RESERVED_PQ)
		return IOAT_ERR_CONTROL;
	pq_results(desc, job);
	memcpy(job->times, &desc->arg[2], 8);
	if (iova % IOAT_DESC_SIZE || uvfio_dma_read(ioat->worker->dma, iova, sed,
						    job->nr > MAX_SED_FIRST ? sizeof(sed) : sizeof(sed) / 2,
						    "super extended descriptor"))
		return IOAT_ERR_SED;
	memcpy(&job->times[8], sed, 8);
	memcpy(&job->source[2], &sed[1], 7 * sizeof(*sed));
	if (job->nr > MAX_SED_FIRST)
		memcpy(&job->source[9], &sed[8], 7 * sizeof(*sed));
	return 0;
}

/* One source's old contents and new ones; its share of Q changes by their difference. */
static uint32_t update_job(struct ioat *ioat, struct job *job)
{
	const struct ioat_desc *desc = &ioat->desc;

	if (desc->ctl & RESERVED_UPDATE)
		return IOAT_ERR_CONTROL;
	pq_results(desc, job);
	job->nr = 2;
	job->update = true;
	job->old_p = desc->arg[1];
	job->old_q = desc->arg[2];
	memset(job->times, (int)IOAT_DESC_GF(desc->ctl), 2);
	return 0;
}

static uint32_t make_job(struct ioat *ioat, struct job *job, uint16_t pending, unsigned int *used,
			 uint64_t *next)
{
	unsigned int op = IOAT_DESC_OP(ioat->desc.ctl);

	memset(job, 0, sizeof(*job));
	if ((op == IOAT_OP_XOR || op == IOAT_OP_XOR_VAL) && ioat->cap & IOAT_CAP_XOR)
		return xor_job(ioat, job, pending, used, next);
	if ((op == IOAT_OP_PQ || op == IOAT_OP_PQ_VAL) && ioat->cap & IOAT_CAP_PQ)
		return pq_job(ioat, job, pending, used, next);
	if (op == IOAT_OP_PQ_UPDATE && ioat->cap & IOAT_CAP_PQ)
		return update_job(ioat, job);
	if ((op == IOAT_OP_PQ16 || op == IOAT_OP_PQ16_VAL) && ioat->cap & IOAT_CAP_PQ16)
		return pq16_job(ioat, job);
	return IOAT_ERR_CONTROL;
}

static uint32_t check(const struct job *job, uint32_t size)
{
	uint32_t bad = job->validate ? IOAT_ERR_READ : IOAT_ERR_WRITE;

	for (unsigned int i = 0; i < job->nr; i++)
		if (ioat_wraps(job->source[i], size))
			return IOAT_ERR_READ;
	if (job->update &&
	    ((job->p && ioat_wraps(job->old_p, size)) || (job->q && ioat_wraps(job->old_q, size))))
		return IOAT_ERR_READ;
	if ((job->p && ioat_wraps(job->p_iova, size)) || (job->q && ioat_wraps(job->q_iova, size)))
		return bad;
	return 0;
}

/* ---- blocks */

static bool read_block(struct ioat *ioat, uint64_t iova, uint8_t *block, uint32_t n, const char *what)
{
	return !uvfio_dma_read(ioat->worker->dma, iova + ioat->offset, block, n, what);
}

static bool begin_sums(struct ioat *ioat, const struct job *job, uint32_t n)
{
	struct ioat_raid *raid = ioat->raid;

	memset(raid->p, 0, n);
	memset(raid->q, 0, n);
	if (!job->update)
		return true;
	return (!job->p || read_block(ioat, job->old_p, raid->p, n, "old P")) &&
	       (!job->q || read_block(ioat, job->old_q, raid->q, n, "old Q"));
}

static bool sum_up(struct ioat *ioat, const struct job *job, uint32_t n)
{
	struct ioat_raid *raid = ioat->raid;

	if (!begin_sums(ioat, job, n))
		return false;
	for (unsigned int i = 0; i < job->nr; i++) {
		if (!read_block(ioat, job->source[i], raid->source, n, "source"))
			return false;
		if (job->p)
			add(raid->p, raid->source, n);
		if (job->q)
			add_products(raid->q, raid->source, raid->times[i], n);
	}
	return true;
}

static uint32_t validate(struct ioat *ioat, const struct job *job, uint32_t n)
{
	struct ioat_raid *raid = ioat->raid;
	uint32_t error = 0;

	if (job->p) {
		if (!read_block(ioat, job->p_iova, raid->source, n, "P"))
			return IOAT_ERR_READ;
		if (memcmp(raid->p, raid->source, n))
			error |= IOAT_ERR_P;
	}
	if (job->q) {
		if (!read_block(ioat, job->q_iova, raid->source, n, "Q"))
			return IOAT_ERR_READ;
		if (memcmp(raid->q, raid->source, n))
			error |= IOAT_ERR_Q;
	}
	return error;
}

static uint32_t write_results(struct ioat *ioat, const struct job *job, uint32_t n)
{
	struct ioat_raid *raid = ioat->raid;
	struct uvfio_dma *dma = ioat->worker->dma;

	if (job->p && uvfio_dma_write(dma, job->p_iova + ioat->offset, raid->p, n, "P"))
		return IOAT_ERR_WRITE;
	if (job->q && uvfio_dma_write(dma, job->q_iova + ioat->offset, raid->q, n, "Q"))
		return IOAT_ERR_WRITE;
	return 0;
}

/* A validation goes on to the end: both results can be wrong, in different blocks. */
static uint32_t run(struct ioat *ioat, const struct job *job)
{
	while (ioat->offset < ioat->desc.size) {
		uint32_t n = MIN(ioat->desc.size - ioat->offset, (uint32_t)IOAT_BLOCK), error;

		if (!ioat_may_go_on(ioat))
			return IOAT_CUT;
		if (!sum_up(ioat, job, n))
			return IOAT_ERR_READ;
		if (job->validate) {
			error = validate(ioat, job, n);
			if (error & ~(IOAT_ERR_P | IOAT_ERR_Q))
				return error;
			ioat->wrong |= error;
		} else {
			if (!ioat_may_go_on(ioat))
				return IOAT_CUT;
			error = write_results(ioat, job, n);
			if (error)
				return error;
		}
		ioat->offset += n;
		ioat_breathe(ioat);
	}
	return ioat->wrong;
}

uint32_t ioat_raid(struct ioat *ioat, uint16_t pending, unsigned int *used, uint64_t *next)
{
	struct job job;
	uint32_t error = make_job(ioat, &job, pending, used, next);

	if (error)
		return error;
	if (!ioat->desc.size || ioat->desc.size > BIT32(ioat->xfercap))
		return IOAT_ERR_LENGTH;
	error = check(&job, ioat->desc.size);
	if (error)
		return error;
	if (job.q)
		for (unsigned int i = 0; i < job.nr; i++)
			make_products(ioat->raid->times[i], job.times[i]);
	return run(ioat, &job);
}
