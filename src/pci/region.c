/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Regions: which file offset means which BAR, the cutting of accesses into registers, and what can be mapped.
 *
 * pread and pwrite do not reach the MSI-X table: reads give ones, writes are dropped, both count as done.
 * Mappings of it are plain memory that nobody looks at.
 */
#include "base/why.h"
#include "pci/func.h"

#include <linux/vfio.h>
#include <string.h>
#include <sys/mman.h>

#define BOUNCE 64

/* The largest naturally aligned access at pos that stays within len bytes. */
static unsigned int access_size(uint64_t pos, size_t len)
{
	for (unsigned int size = 8; size > 1; size /= 2)
		if (len >= size && is_aligned(pos, size))
			return size;
	return 1;
}

/* How many bytes from pos on are inside (*hidden) or outside of the MSI-X table. */
static size_t stretch(const struct pci_bar *bar, uint64_t pos, size_t len, bool *hidden)
{
	const struct pci_span *table = &bar->msix_table;

	*hidden = pos >= table->start && pos < table->end;
	if (*hidden)
		return MIN(len, (size_t)(table->end - pos));
	return pos < table->start ? MIN(len, (size_t)(table->start - pos)) : len;
}

static void load_bytes(struct pci_func *func, unsigned int bar, uint64_t pos, uint8_t *bytes, size_t len)
{
	for (size_t done = 0; done < len;) {
		unsigned int size = access_size(pos + done, len - done);
		uint64_t value = pci_bar_load(func, bar, pos + done, size);

		memcpy(bytes + done, &value, size);
		done += size;
	}
}

static void store_bytes(struct pci_func *func, unsigned int bar, uint64_t pos, const uint8_t *bytes,
			size_t len)
{
	for (size_t done = 0; done < len;) {
		unsigned int size = access_size(pos + done, len - done);
		uint64_t value = 0;

		memcpy(&value, bytes + done, size);
		pci_bar_store(func, bar, pos + done, value, size);
		done += size;
	}
}

/* One register: the case that counts. */
static ssize_t rw_one(struct pci_func *func, const struct caller *caller, unsigned int bar, uint64_t pos,
		      uint64_t buf, unsigned int size, bool write)
{
	uint64_t value = 0;

	if (write && copy_in(caller, &value, buf, size))
		return -EFAULT;
	if (pci_gate(func) & GATE_RW && !pci_gone(func))
		return -EIO;
	if (write) {
		pci_bar_store(func, bar, pos, value, size);
		return size;
	}
	value = pci_bar_load(func, bar, pos, size);
	return copy_out(caller, buf, &value, size) ? -EFAULT : (ssize_t)size;
}

/* At most BOUNCE bytes, up to a boundary of 8, on one side of the MSI-X table's edges. */
static ssize_t rw_piece(struct pci_func *func, const struct caller *caller, unsigned int bar, uint64_t pos,
			uint64_t buf, size_t len, bool write)
{
	uint8_t bytes[BOUNCE];
	bool hidden;

	len = stretch(&func->bars[bar], pos, MIN(len, sizeof(bytes) - (size_t)(pos & 7)), &hidden);
	if (!hidden && len == access_size(pos, len))
		return rw_one(func, caller, bar, pos, buf, (unsigned int)len, write);
	if (write && !hidden && copy_in(caller, bytes, buf, len))
		return -EFAULT;
	if (!hidden && (pci_gate(func) & GATE_RW) && !pci_gone(func))
		return -EIO;
	if (write) {
		if (hidden)
			return (ssize_t)len;
		store_bytes(func, bar, pos, bytes, len);
		return (ssize_t)len;
	}
	if (hidden)
		memset(bytes, 0xff, len);
	else
		load_bytes(func, bar, pos, bytes, len);
	return copy_out(caller, buf, bytes, len) ? -EFAULT : (ssize_t)len;
}

static ssize_t bar_rw(struct pci_func *func, const struct caller *caller, unsigned int bar, uint64_t buf,
		      size_t len, uint64_t pos, bool write)
{
	uint64_t end = func->desc.bar[bar].size;
	ssize_t n;

	if (pos >= end)
		return -EINVAL;
	len = MIN(len, (size_t)(end - pos));
	for (size_t done = 0; done < len; done += (size_t)n) {
		n = rw_piece(func, caller, bar, pos + done, buf + done, len - done, write);
		if (n < 0)
			return n;
	}
	return (ssize_t)len;
}

ssize_t pci_rw(struct pci_func *func, const struct caller *caller, uint64_t buf, size_t len, uint64_t off,
	       bool write)
{
	uint64_t index = off >> PCI_OFFSET_SHIFT, pos = off & PCI_OFFSET_MASK;

	if (index >= UVFIO_PCI_BARS && index != VFIO_PCI_CONFIG_REGION_INDEX)
		return -EINVAL;
	if (pci_gate(func) & GATE_LOW_POWER)
		pci_wake(func);
	if (index == VFIO_PCI_CONFIG_REGION_INDEX)
		return write ? pci_config_write(func, caller, buf, len, pos)
			     : pci_config_read(func, caller, buf, len, pos);
	return bar_rw(func, caller, (unsigned int)index, buf, len, pos, write);
}

/* Says why, whoever listens: an access of this kind has no other way to. */
static int refuse(const struct pci_func *func)
{
	uint32_t gate = pci_gate(func);

	why_clear();
	if (gate & GATE_DECODE)
		why_say("memory decode is off; set bit 1 of the PCI command register first");
	else if (gate & GATE_D3HOT)
		why_say("the device is in D3hot; set its power state to D0 first");
	else if (gate & GATE_LOW_POWER)
		why_say("the device is in low power; VFIO_DEVICE_FEATURE_LOW_POWER_EXIT ends that");
	return -EIO;
}

int pci_mmio(struct pci_func *func, uint64_t off, void *data, unsigned int len, bool write)
{
	uint64_t index = off >> PCI_OFFSET_SHIFT, pos = off & PCI_OFFSET_MASK;
	uint64_t size;

	if (index >= UVFIO_PCI_BARS || (pci_gate(func) && !pci_gone(func)))
		return refuse(func);
	size = func->desc.bar[index].size;
	if (pos >= size || len > size - pos) {
		/* behind a BAR that is smaller than its page */
		if (!write)
			memset(data, 0xff, len);
		return 0;
	}
	if (write)
		store_bytes(func, (unsigned int)index, pos, data, len);
	else
		load_bytes(func, (unsigned int)index, pos, data, len);
	return 0;
}

static int add_segment(struct mmap_plan *plan, uint64_t start, uint64_t end, int fd, uint64_t fd_offset)
{
	if (start == end)
		return 0;
	if (plan->nr == MMAP_MAX_SEGMENTS)
		return -ENOMEM;
	plan->segments[plan->nr++] = (struct mmap_segment){
		.offset = start, .length = end - start, .fd = fd, .fd_offset = fd_offset
	};
	return 0;
}

/* Whole pages of plain memory as such, everything between them trapped. */
static int plan_segments(const struct pci_bar *bar, struct mmap_plan *plan, uint64_t pos)
{
	uint64_t at = pos, end = pos + plan->length;
	int rc = 0;

	for (unsigned int i = 0; i < bar->nr_spans && !rc; i++) {
		uint64_t start = MAX(align_up(bar->spans[i].start, UVFIO_PAGE_SIZE), at);
		uint64_t stop = MIN(align_down(bar->spans[i].end, UVFIO_PAGE_SIZE), end);

		if (!bar->mem || start >= stop)
			continue;
		rc = add_segment(plan, at - pos, start - pos, -1, 0);
		if (!rc)
			rc = add_segment(plan, start - pos, stop - pos, bar->fd, start);
		at = stop;
	}
	return rc ? rc : add_segment(plan, at - pos, end - pos, -1, 0);
}

/* ---- a guest behind the program */

static _Atomic bool for_guests;

void pci_map_for_guests(void)
{
	atomic_store(&for_guests, true);
}

static bool has_side_effects(const struct pci_func *func, unsigned int index)
{
	const struct pci_bar *bar = &func->bars[index];

	return !bar->mem || bar->nr_spans != 1 || bar->spans[0].start ||
	       bar->spans[0].end < func->desc.bar[index].size;
}

bool pci_bar_is_mappable(const struct pci_func *func, unsigned int index)
{
	const struct uvfio_pci_bar *desc = &func->desc.bar[index];

	if (!desc->size || desc->no_mmap)
		return false;
	return !atomic_load_explicit(&for_guests, memory_order_relaxed) || !has_side_effects(func, index);
}

static int not_mappable(const struct uvfio_pci_bar *desc, unsigned int index)
{
	if (!desc->size)
		return WHY(-EINVAL, "BAR%u does not exist", index);
	if (desc->no_mmap)
		return WHY(-EINVAL, "BAR%u cannot be mapped", index);
	return WHY(-EINVAL,
		   "BAR%u has registers with side effects: a guest of KVM's must not reach it directly",
		   index);
}

int pci_mmap(struct pci_func *func, struct mmap_plan *plan)
{
	uint64_t index = plan->offset >> PCI_OFFSET_SHIFT, pos = plan->offset & PCI_OFFSET_MASK;
	const struct uvfio_pci_bar *desc;
	uint64_t end;

	plan->nr = 0;
	/* such files are on no file system that programs may be run from, and that is looked at first */
	if (plan->prot & PROT_EXEC)
		return WHY(-EPERM, "a BAR cannot be executed");
	if (index >= UVFIO_PCI_BARS)
		return WHY(-EINVAL, "the offset is in no BAR: VFIO_DEVICE_GET_REGION_INFO tells offsets");
	if ((plan->flags & MAP_TYPE) == MAP_PRIVATE)
		return WHY(-EINVAL, "a BAR is mapped with MAP_SHARED");
	desc = &func->desc.bar[index];
	if (!pci_bar_is_mappable(func, (unsigned int)index))
		return not_mappable(desc, (unsigned int)index);
	if (add_overflows(pos, plan->length, &end) || end > align_up(desc->size, UVFIO_PAGE_SIZE))
		return WHY(-EINVAL, "BAR%u has 0x%llx bytes", (unsigned int)index,
			   (unsigned long long)desc->size);
	return plan_segments(&func->bars[index], plan, pos);
}
