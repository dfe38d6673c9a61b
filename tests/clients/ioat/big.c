/* SPDX-License-Identifier: BSD-2-Clause */
/* Gibibytes: in one chain, and far apart in memory that is reserved and hardly touched. */
#include "client.h"

#include <linux/vfio.h>
#include <string.h>
#include <sys/mman.h>

#define FROM  0x1000000000ull
#define TO    0x2000000000ull
#define PIECE (64 * MIB)
#define RW    (VFIO_DMA_MAP_FLAG_READ | VFIO_DMA_MAP_FLAG_WRITE)

/* A gibibyte of I/O addresses, 64 MiB of memory again and again. */
static uint8_t *map_again(uint64_t iova, uint32_t flags)
{
	uint8_t *at = mmap(NULL, PIECE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	CHECK(at != MAP_FAILED);
	for (uint64_t i = 0; i < GIB; i += PIECE)
		CHECK(!dma_map(iova + i, at, PIECE, flags));
	return at;
}

static void one_gibibyte(struct engine *e)
{
	uint8_t *from = map_again(FROM, VFIO_DMA_MAP_FLAG_READ), *to = map_again(TO, VFIO_DMA_MAP_FLAG_WRITE);
	uint32_t size = 1u << e->xfercap;
	unsigned int n = (unsigned int)(GIB / size);

	paint(from, PIECE, 9);
	for (unsigned int i = 0; i < n; i++)
		put(e, i, i == n - 1 ? D_COMPL : 0, size, FROM + (uint64_t)i * size, TO + (uint64_t)i * size);
	run(e, (uint16_t)n);
	EQUAL(completion(e) & ~7ull, slot(e, n - 1));
	CHECK(!memcmp(from, to, PIECE));
	/* Once more, off by a byte: pieces cross every border. */
	memset(to, 0, PIECE);
	for (unsigned int i = 0; i < n - 1; i++)
		put(e, i, i == n - 2 ? D_COMPL : 0, size, FROM + 1 + (uint64_t)i * size,
		    TO + (uint64_t)i * size);
	run(e, (uint16_t)(n - 1));
	CHECK(!memcmp(from + 1, to, PIECE - 1) && to[PIECE - 1] == from[0]);
	EQUAL(dma_unmap(FROM, GIB), GIB);
	EQUAL(dma_unmap(TO, GIB), GIB);
	munmap(from, PIECE);
	munmap(to, PIECE);
}

/* A tebibyte is reserved; what is touched is what is copied. */
static void far_apart(struct engine *e)
{
	const uint64_t size = 1024 * GIB, step = size / 64;
	uint8_t *at =
		mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	CHECK(at != MAP_FAILED);
	CHECK(!dma_map(FROM * 16, at, size, RW));
	paint(at + 5, 10000, 4);
	for (unsigned int i = 0; i < 63; i++)
		put(e, i, i == 62 ? D_COMPL : 0, 10000, FROM * 16 + 5 + i * step,
		    FROM * 16 + 5 + (i + 1) * step);
	run(e, 63);
	CHECK(painted(at + 5 + 63 * step, 10000, 4));
	EQUAL(dma_unmap(FROM * 16, size), size);
	munmap(at, size);
}

const struct test big_tests[] = {
	{ "big: a gibibyte in one chain", one_gibibyte, ANY },
	{ "big: over a tebibyte of reserved memory", far_apart, MAPPINGS },
	{ NULL, NULL, ANY },
};
