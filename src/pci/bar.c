/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What BARs are made of: addresses, spans of plain memory, the memory itself, single register accesses.
 *
 * The pages of the MSI-X table and PBA are plain memory as a whole unless the model describes a register in
 * them, or does not say at all where its registers are; then only the structures themselves are.
 */
#include "base/private_fd.h"
#include "base/trace.h"
#include "iommu/mm.h"
#include "pci/func.h"

#include <linux/pci_regs.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/*
 * Bus addresses, for those who look at BARs and at sysfs: functions with little register space stand below
 * the interrupt controllers, as firmware places them; others get 16 MiB of 32-bit and 64 GiB of 64-bit space
 * each.
 */
#define SMALL_BASE 0xfe800000u
#define SMALL_SIZE 0x20000u
#define SMALL_MAX  32u
#define BASE_32    0xc0000000u
#define MAX_32     60u
#define BASE_64    0x380000000000u

/* Give addresses from base on to the BARs that are 64-bit ones or not, NULL: to both; each goes to address,
 * unless that is NULL. The space that they take, from base. */
static uint64_t place_bars(const struct uvfio_pci_desc *desc, uint64_t base, const bool *mem64,
			   struct pci_bar *bars)
{
	uint64_t at = base;

	for (unsigned int i = 0; i < UVFIO_PCI_BARS; i++) {
		uint64_t size = MAX(desc->bar[i].size, UVFIO_PAGE_SIZE);

		if (!desc->bar[i].size || (mem64 && desc->bar[i].mem64 != *mem64))
			continue;
		at = align_up(at, size);
		if (bars)
			bars[i].address = at;
		at += size;
	}
	return at - base;
}

uint64_t pci_bars_space(const struct uvfio_pci_desc *desc, bool mem64)
{
	return place_bars(desc, mem64 ? BASE_64 : BASE_32, &mem64, NULL);
}

static void assign_addresses(struct pci_func *func, unsigned int instance)
{
	static const bool without = false, with = true;
	const struct uvfio_pci_desc *desc = &func->desc;

	if (instance < SMALL_MAX &&
	    place_bars(desc, SMALL_BASE + (uint64_t)instance * SMALL_SIZE, NULL, func->bars) <= SMALL_SIZE)
		return;
	place_bars(desc, BASE_32 + (uint64_t)(instance % MAX_32) * PCI_SPACE_32, &without, func->bars);
	place_bars(desc, BASE_64 + instance * PCI_SPACE_64, &with, func->bars);
}

static bool may_have_register(const struct uvfio_pci_bar *desc, uint64_t start, uint64_t end)
{
	if (!desc->registers)
		return true;
	for (const struct uvfio_register *reg = desc->registers; reg->name; reg++) {
		uint64_t last = reg->offset + (uint64_t)(MAX(reg->count, 1u) - 1) * reg->stride + reg->size;

		if (reg->offset < end && last > start)
			return true;
	}
	return false;
}

/* Insert a span in order and merge what touches. */
static void add_span(struct pci_bar *bar, uint64_t start, uint64_t end)
{
	unsigned int at = 0, drop = 0;

	while (at < bar->nr_spans && bar->spans[at].end < start)
		at++;
	while (at + drop < bar->nr_spans && bar->spans[at + drop].start <= end) {
		start = MIN(start, bar->spans[at + drop].start);
		end = MAX(end, bar->spans[at + drop].end);
		drop++;
	}
	memmove(&bar->spans[at + 1], &bar->spans[at + drop],
		(bar->nr_spans - at - drop) * sizeof(bar->spans[0]));
	bar->nr_spans += 1 - drop;
	bar->spans[at] = (struct pci_span){ start, end };
}

static void add_msix_span(struct pci_func *func, uint64_t start, uint64_t size)
{
	const struct uvfio_pci_bar *desc = &func->desc.bar[func->desc.msix_bar];
	uint64_t first = align_down(start, UVFIO_PAGE_SIZE);
	uint64_t end = MIN(align_up(start + size, UVFIO_PAGE_SIZE), desc->size);

	if (may_have_register(desc, first, end)) {
		first = start;
		end = start + size;
	}
	add_span(&func->bars[func->desc.msix_bar], first, end);
}

uint64_t pci_msix_table_size(const struct uvfio_pci_desc *desc)
{
	return (uint64_t)desc->msix_vectors * PCI_MSIX_ENTRY_SIZE;
}

uint64_t pci_msix_pba_size(const struct uvfio_pci_desc *desc)
{
	return align_up(desc->msix_vectors, 64) / 8;
}

bool pci_place_msix(struct uvfio_pci_desc *desc)
{
	static const struct uvfio_register none[] = { { .name = NULL } };
	uint64_t pba = align_up(pci_msix_table_size(desc), UVFIO_PAGE_SIZE), size = 2 * UVFIO_PAGE_SIZE;
	unsigned int i = 0;

	while (i < UVFIO_PCI_BARS && desc->bar[i].size)
		i += desc->bar[i].mem64 ? 2 : 1;
	if (i >= UVFIO_PCI_BARS)
		return false;
	while (size < pba + UVFIO_PAGE_SIZE)
		size *= 2;
	desc->bar[i] = (struct uvfio_pci_bar){ .size = size, .registers = none };
	desc->msix_bar = i;
	desc->msix_pba = (uint32_t)pba;
	return true;
}

void pci_bars_init(struct pci_func *func, unsigned int instance)
{
	struct uvfio_pci_desc *desc = &func->desc;
	uint64_t table;

	if (desc->msix_vectors && !desc->msix_table && !desc->msix_pba)
		pci_place_msix(desc);
	for (unsigned int i = 0; i < UVFIO_PCI_BARS; i++) {
		const struct uvfio_pci_area *plain = desc->bar[i].plain;

		func->bars[i].fd = -1;
		for (unsigned int k = 0; k < UVFIO_PCI_AREAS && plain[k].size; k++)
			add_span(&func->bars[i], plain[k].offset, plain[k].offset + plain[k].size);
	}
	if (desc->msix_vectors) {
		table = pci_msix_table_size(desc);
		func->bars[desc->msix_bar].msix_table =
			(struct pci_span){ desc->msix_table, desc->msix_table + table };
		add_msix_span(func, desc->msix_table, table);
		add_msix_span(func, desc->msix_pba, pci_msix_pba_size(desc));
	}
	assign_addresses(func, instance);
}

static int open_bar(struct pci_func *func, unsigned int i)
{
	struct pci_bar *bar = &func->bars[i];
	size_t size = align_up(func->desc.bar[i].size, UVFIO_PAGE_SIZE);
	void *mem;
	int rc;

	if (!bar->nr_spans)
		return 0;
	bar->fd = private_fd(memfd_create(MM_BAR_MEMFD, MFD_CLOEXEC));
	if (bar->fd < 0)
		return -errno;
	if (ftruncate(bar->fd, (off_t)size) < 0) {
		rc = -errno;
		goto close_fd;
	}
	mem = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, bar->fd, 0);
	if (mem == MAP_FAILED) {
		rc = -errno;
		goto close_fd;
	}
	bar->mem = mem;
	return 0;

close_fd:
	private_fd_close(bar->fd);
	bar->fd = -1;
	return rc;
}

int pci_bars_open(struct pci_func *func)
{
	for (unsigned int i = 0; i < UVFIO_PCI_BARS; i++) {
		int rc = open_bar(func, i);

		if (rc) {
			pci_bars_close(func);
			return rc;
		}
	}
	pci_bars_reset(func);
	return 0;
}

void pci_bars_close(struct pci_func *func)
{
	for (unsigned int i = 0; i < UVFIO_PCI_BARS; i++) {
		struct pci_bar *bar = &func->bars[i];

		if (bar->mem)
			munmap(bar->mem, align_up(func->desc.bar[i].size, UVFIO_PAGE_SIZE));
		private_fd_close(bar->fd);
		bar->mem = NULL;
		bar->fd = -1;
	}
}

static void store_word(uint8_t *at, uint64_t value)
{
	__atomic_store_n((uint64_t *)(void *)at, value, __ATOMIC_RELAXED);
}

/* Word by word: the driver, or a surprise removal, may be at it, too. */
static void reset_msix(struct pci_func *func)
{
	const struct uvfio_pci_desc *desc = &func->desc;
	uint8_t *mem = func->bars[desc->msix_bar].mem, *entry;

	if (!mem)
		return;
	for (unsigned int i = 0; i < desc->msix_vectors; i++) {
		entry = mem + desc->msix_table + i * PCI_MSIX_ENTRY_SIZE;
		store_word(entry, 0);
		store_word(entry + 8, (uint64_t)PCI_MSIX_ENTRY_CTRL_MASKBIT << 32);
	}
	for (uint64_t at = 0; at < pci_msix_pba_size(&func->desc); at += 8)
		store_word(mem + desc->msix_pba + at, 0);
}

/* Every vector masked, nothing pending. */
void pci_bars_reset(struct pci_func *func)
{
	if (func->desc.msix_vectors)
		reset_msix(func);
	if (pci_func_gone(func)) /* whoever of the two writes last leaves ones */
		pci_fill_ones(func);
}

bool pci_bar_is_plain(const struct pci_bar *bar, uint64_t offset)
{
	for (unsigned int i = 0; i < bar->nr_spans; i++)
		if (offset >= bar->spans[i].start && offset < bar->spans[i].end)
			return true;
	return false;
}

/* The memory at offset, or NULL where the model is to be asked. */
static uint8_t *plain_at(const struct pci_bar *bar, uint64_t offset)
{
	return pci_bar_is_plain(bar, offset) && bar->mem ? bar->mem + offset : NULL;
}

static uint64_t load_plain(const uint8_t *p, unsigned int size)
{
	switch (size) {
	case 1:
		return __atomic_load_n(p, __ATOMIC_RELAXED);
	case 2:
		return __atomic_load_n((const uint16_t *)(const void *)p, __ATOMIC_RELAXED);
	case 4:
		return __atomic_load_n((const uint32_t *)(const void *)p, __ATOMIC_RELAXED);
	default:
		return __atomic_load_n((const uint64_t *)(const void *)p, __ATOMIC_RELAXED);
	}
}

static void store_plain(uint8_t *p, uint64_t value, unsigned int size)
{
	switch (size) {
	case 1:
		__atomic_store_n(p, (uint8_t)value, __ATOMIC_RELAXED);
		break;
	case 2:
		__atomic_store_n((uint16_t *)(void *)p, (uint16_t)value, __ATOMIC_RELAXED);
		break;
	case 4:
		__atomic_store_n((uint32_t *)(void *)p, (uint32_t)value, __ATOMIC_RELAXED);
		break;
	default:
		__atomic_store_n((uint64_t *)(void *)p, value, __ATOMIC_RELAXED);
	}
}

uint64_t pci_bar_load(struct pci_func *func, unsigned int bar, uint64_t offset, unsigned int size)
{
	const uint8_t *p = plain_at(&func->bars[bar], offset);
	uint64_t value;

	stat_add(STAT_BAR_ACCESSES, 1);
	if (pci_gone(func))
		return UINT64_MAX;
	if (p)
		value = load_plain(p, size);
	else
		IN_MODEL(func, "read", value = func->model->ops.read(&func->pub, bar, offset, size));
	if (trace_on(TRACE_BAR))
		pci_bar_trace(func, bar, offset, value, size, false);
	return value;
}

void pci_bar_store(struct pci_func *func, unsigned int bar, uint64_t offset, uint64_t value,
		   unsigned int size)
{
	uint8_t *p = plain_at(&func->bars[bar], offset);

	stat_add(STAT_BAR_ACCESSES, 1);
	if (trace_on(TRACE_BAR))
		pci_bar_trace(func, bar, offset, value, size, true);
	if (pci_gone(func))
		return;
	if (p)
		store_plain(p, value, size);
	else
		IN_MODEL(func, "write", func->model->ops.write(&func->pub, bar, offset, value, size));
}

void *pci_memory(struct uvfio_pci_func *pub, unsigned int bar, uint64_t offset)
{
	struct pci_func *func = to_func(pub);

	return bar < UVFIO_PCI_BARS ? plain_at(&func->bars[bar], offset) : NULL;
}

uint64_t pci_func_bar_address(const struct pci_func *func, unsigned int bar)
{
	return bar < UVFIO_PCI_BARS ? func->bars[bar].address : 0;
}
