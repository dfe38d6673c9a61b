/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The driver's memory: stretches that the device may use, each between canaries, all between pages without
 * access. A window that is not mapped for the device is a canary itself: it is filled when the unmap has
 * returned.
 */
#include "hostile.h"

#include <errno.h>
#include <linux/vfio.h>
#include <string.h>
#include <sys/mman.h>

#define FENCE    (64ull << 10)
#define NR_PARTS (2 + NR_WINDOWS)

struct part {
	uint8_t *at;
	uint64_t size, iova;
	uint32_t flags; /* VFIO_DMA_MAP_FLAG_*; 0: not mapped now */
};

static struct part parts[NR_PARTS];
static uint8_t *area;
static size_t area_size;

static uint8_t pattern(const uint8_t *at)
{
	uintptr_t n = (uintptr_t)(at - area);

	return (uint8_t)(n * 31 + (n >> 8) * 7 + 0x5d);
}

static void paint(uint8_t *at, uint64_t size)
{
	for (uint64_t i = 0; i < size; i++)
		at[i] = pattern(at + i);
}

static void expect_paint(const uint8_t *at, uint64_t size, const char *what)
{
	for (uint64_t i = 0; i < size; i++)
		if (at[i] != pattern(at + i))
			die("foreign write: %s, byte %llu is %#x instead of %#x", what, (unsigned long long)i,
			    at[i], pattern(at + i));
}

void memory_make(void)
{
	uint8_t *at;

	parts[0] = (struct part){ .size = MAIN_SIZE, .iova = IOVA_MAIN };
	parts[1] = (struct part){ .size = RO_SIZE, .iova = IOVA_RO };
	for (unsigned int i = 0; i < NR_WINDOWS; i++)
		parts[2 + i] = (struct part){ .size = WINDOW_SIZE, .iova = IOVA_WINDOW + i * WINDOW_SIZE };
	area_size = 2 * FENCE + FENCE;
	for (unsigned int i = 0; i < NR_PARTS; i++)
		area_size += parts[i].size + FENCE;
	area = mmap(NULL, area_size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (area == MAP_FAILED || mprotect(area + FENCE, area_size - 2 * FENCE, PROT_READ | PROT_WRITE))
		die("no memory: %s", strerror(errno));
	paint(area + FENCE, area_size - 2 * FENCE);
	at = area + 2 * FENCE;
	for (unsigned int i = 0; i < NR_PARTS; i++) {
		parts[i].at = at;
		at += parts[i].size + FENCE;
	}
}

static void map_part(int container, struct part *part, uint32_t flags)
{
	struct vfio_iommu_type1_dma_map map = { .argsz = sizeof(map),
						.flags = flags,
						.vaddr = (uintptr_t)part->at,
						.iova = part->iova,
						.size = part->size };
	long rc = port_ioctl(container, VFIO_IOMMU_MAP_DMA, &map);

	if (rc)
		die("MAP_DMA: %s", strerror((int)-rc));
	part->flags = flags;
}

static void unmap_part(int container, struct part *part)
{
	struct vfio_iommu_type1_dma_unmap unmap = { .argsz = sizeof(unmap),
						    .iova = part->iova,
						    .size = part->size };
	long rc = port_ioctl(container, VFIO_IOMMU_UNMAP_DMA, &unmap);

	if (rc || unmap.size != part->size)
		die("UNMAP_DMA: %ld, %llu bytes", rc, (unsigned long long)unmap.size);
	part->flags = 0;
	paint(part->at, part->size);
}

void memory_map(int container)
{
	map_part(container, &parts[0], VFIO_DMA_MAP_FLAG_READ | VFIO_DMA_MAP_FLAG_WRITE);
	map_part(container, &parts[1], VFIO_DMA_MAP_FLAG_READ);
	for (unsigned int i = 2; i < NR_PARTS; i++)
		parts[i].flags = 0;
}

void memory_toggle_window(int container)
{
	struct part *part = &parts[2 + random_below(NR_WINDOWS)];

	if (part->flags)
		unmap_part(container, part);
	else
		map_part(container, part, 1 + random_below(3));
}

void memory_check(void)
{
	expect_paint(area + FENCE, FENCE, "below everything");
	for (unsigned int i = 0; i < NR_PARTS; i++) {
		struct part *part = &parts[i];

		if (!(part->flags & VFIO_DMA_MAP_FLAG_WRITE))
			expect_paint(part->at, part->size,
				     part->flags ? "read-only mapping" : "unmapped window");
		expect_paint(part->at + part->size, FENCE, "behind a mapping");
	}
}

void memory_free(void)
{
	munmap(area, area_size);
}

uint8_t *memory_main(uint64_t iova)
{
	return parts[0].at + (iova - IOVA_MAIN);
}

uint64_t random_iova(void)
{
	uint64_t mask = one_in(8) ? ~0ull : one_in(4) ? ~7ull : one_in(2) ? ~511ull : ~4095ull;

	switch (random_below(10)) {
	case 0:
		return random_odd_value() & mask;
	case 1:
		return (IOVA_RO + random_below((uint32_t)RO_SIZE)) & mask;
	case 2:
	case 3:
		return (IOVA_WINDOW + random_below(NR_WINDOWS * (uint32_t)WINDOW_SIZE)) & mask;
	case 4: /* at the very end of something */
		return (IOVA_MAIN + MAIN_SIZE - random_below(8192)) & mask;
	default:
		return (IOVA_MAIN + random_below((uint32_t)MAIN_SIZE)) & mask;
	}
}
