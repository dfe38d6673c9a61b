/* SPDX-License-Identifier: BSD-2-Clause */
/* A model's description as a whole: ids, interrupts, BARs, MSI-X. See check.h. */
#include "pci/check.h"
#include "pci/region.h"

#include <stdio.h>

#define wrong(...) uvfio_create_error(err, err_len, EINVAL, __VA_ARGS__)
#define ULL(x)     ((unsigned long long)(x))

static int check_ids(const struct uvfio_pci_desc *desc, bool complete, char *err, size_t err_len)
{
	if ((!desc->vendor && complete) || desc->vendor == UINT16_MAX)
		return wrong(
			"vendor is 0x%04x, which nobody has: give the id of the device's maker, for example "
			".vendor = 0x1234",
			desc->vendor);
	if (desc->class_code >> 24)
		return wrong("class_code 0x%x has more than 24 bits: give class, subclass and interface, for "
			     "example 0x010802",
			     desc->class_code);
	if (desc->aer && !desc->pcie)
		return wrong(
			"aer without pcie: advanced error reporting belongs to PCI Express: set pcie, too");
	if (desc->no_soft_reset && !desc->pm)
		return wrong("no_soft_reset without pm: it is about power management: set pm, too");
	return 0;
}

static int check_irqs(const struct uvfio_pci_desc *desc, char *err, size_t err_len)
{
	if (desc->intx > 4)
		return wrong("intx is %u: use 0 for none, or 1 to 4 for INTA to INTD", desc->intx);
	if (desc->msi_vectors > 32 || (desc->msi_vectors & (desc->msi_vectors - 1)))
		return wrong("msi_vectors is %u: use 0, 1, 2, 4, 8, 16 or 32", desc->msi_vectors);
	if (desc->msix_vectors > 2048)
		return wrong("msix_vectors is %u: use 0 to 2048", desc->msix_vectors);
	return 0;
}

/* ---- BARs */

static int check_size(const struct uvfio_pci_desc *desc, unsigned int i, char *err, size_t err_len)
{
	const struct uvfio_pci_bar *bar = &desc->bar[i];

	if (bar->size < PCI_BAR_MIN_SIZE || (bar->size & (bar->size - 1)))
		return wrong("BAR %u has %llu bytes: use a power of two from %u on", i, ULL(bar->size),
			     PCI_BAR_MIN_SIZE);
	if (bar->mem64 && i + 1 == UVFIO_PCI_BARS)
		return wrong(
			"BAR %u is the last and has mem64, which takes the next one's place, too: use BAR "
			"0 to %u",
			i, i - 1);
	if (bar->mem64 && desc->bar[i + 1].size)
		return wrong(
			"BAR %u has mem64 and takes the place of BAR %u, too, which has a size: leave that "
			"empty",
			i, i + 1);
	return 0;
}

/* What belongs to a BAR that is not there. */
static int check_absent(const struct uvfio_pci_bar *bar, unsigned int i, char *err, size_t err_len)
{
	if (bar->registers || bar->mem64 || bar->prefetch || bar->no_mmap || bar->plain[0].size)
		return wrong("BAR %u is described and has no size: give its bytes", i);
	return 0;
}

static int check_area(const struct uvfio_pci_bar *bar, unsigned int i, unsigned int k, char *err,
		      size_t err_len)
{
	const struct uvfio_pci_area *area = &bar->plain[k];

	if (k && area->size && !bar->plain[k - 1].size)
		return wrong("BAR %u: plain[%u] is behind one of size 0, which ends them: leave none out", i,
			     k);
	if (area->offset % 8 || area->size % 8)
		return wrong("BAR %u: plain[%u] is at 0x%llx and has 0x%llx bytes: use multiples of 8", i, k,
			     ULL(area->offset), ULL(area->size));
	if (area->size && (area->offset > bar->size || area->size > bar->size - area->offset))
		return wrong("BAR %u: plain[%u] at 0x%llx with 0x%llx bytes ends behind the BAR, which has "
			     "0x%llx: make the BAR larger",
			     i, k, ULL(area->offset), ULL(area->size), ULL(bar->size));
	for (unsigned int j = 0; area->size && j < k; j++)
		if (area->offset < bar->plain[j].offset + bar->plain[j].size &&
		    bar->plain[j].offset < area->offset + area->size)
			return wrong("BAR %u: plain[%u] and plain[%u] overlap: make one of them", i, j, k);
	return 0;
}

static int check_bar(const struct uvfio_pci_desc *desc, unsigned int i, bool complete, char *err,
		     size_t err_len)
{
	const struct uvfio_pci_bar *bar = &desc->bar[i];
	int rc;

	if (!bar->size)
		return complete ? check_absent(bar, i, err, err_len) : 0;
	rc = check_size(desc, i, err, err_len);
	for (unsigned int k = 0; k < UVFIO_PCI_AREAS && !rc; k++)
		rc = check_area(bar, i, k, err, err_len);
	return rc ? rc : pci_check_registers(desc, i, err, err_len);
}

/* ---- MSI-X */

/* One of its two structures. */
static int check_structure(const struct uvfio_pci_desc *desc, const char *field, uint32_t start,
			   uint64_t size, char *err, size_t err_len)
{
	const struct uvfio_pci_bar *bar = &desc->bar[desc->msix_bar];
	const struct uvfio_register *reg;

	if (start % 8)
		return wrong("%s is 0x%x: use a multiple of 8", field, start);
	if (start + size > bar->size)
		return wrong("%s is 0x%x to 0x%llx for %u vectors, and BAR %u has 0x%llx bytes: make the BAR "
			     "larger, or msix_vectors smaller",
			     field, start, ULL(start + size - 1), desc->msix_vectors, desc->msix_bar,
			     ULL(bar->size));
	reg = pci_register_within(bar, start, (uint32_t)size);
	if (reg)
		return wrong(
			"%s is 0x%x to 0x%llx of BAR %u, where register %s at 0x%llx is: move one of them",
			field, start, ULL(start + size - 1), desc->msix_bar, reg->name, ULL(reg->offset));
	return 0;
}

/* In a BAR that the model says. */
static int check_msix_place(const struct uvfio_pci_desc *desc, bool complete, char *err, size_t err_len)
{
	uint64_t table = pci_msix_table_size(desc), pba = pci_msix_pba_size(desc);
	int rc;

	if (desc->msix_bar >= UVFIO_PCI_BARS)
		return wrong("msix_bar is %u: use 0 to 5", desc->msix_bar);
	if (!desc->bar[desc->msix_bar].size)
		return complete ? wrong("msix_bar is %u, and BAR %u has no size: give it one, or leave "
					"msix_table and msix_pba 0 for a BAR of their own",
					desc->msix_bar, desc->msix_bar)
				: 0;
	rc = check_structure(desc, "msix_table", desc->msix_table, table, err, err_len);
	if (!rc)
		rc = check_structure(desc, "msix_pba", desc->msix_pba, pba, err, err_len);
	if (rc)
		return rc;
	if (desc->msix_table < desc->msix_pba + pba && desc->msix_pba < desc->msix_table + table)
		return wrong("msix_table is 0x%x to 0x%llx for %u vectors, where msix_pba is, 0x%x to "
			     "0x%llx: move "
			     "one of them",
			     desc->msix_table, ULL(desc->msix_table + table - 1), desc->msix_vectors,
			     desc->msix_pba, ULL(desc->msix_pba + pba - 1));
	return 0;
}

/* *desc gets the BAR that it leaves to us. */
static int check_msix(struct uvfio_pci_desc *desc, bool complete, char *err, size_t err_len)
{
	unsigned int asked = desc->msix_bar;

	if (!desc->msix_vectors)
		return 0;
	if (desc->msix_table || desc->msix_pba)
		return check_msix_place(desc, complete, err, err_len);
	if (!pci_place_msix(desc))
		return wrong("no BAR is free for the MSI-X table: say where in one it is with msix_bar, "
			     "msix_table "
			     "and msix_pba");
	if (asked && asked != desc->msix_bar)
		return wrong(
			"msix_bar is %u, with msix_table and msix_pba 0: give these, too, or none of the "
			"three for a BAR of their own",
			asked);
	return 0;
}

/* ---- all */

/* As many addresses as bar.c gives one function. */
static int check_addresses(const struct uvfio_pci_desc *desc, char *err, size_t err_len)
{
	if (pci_bars_space(desc, false) > PCI_SPACE_32)
		return wrong(
			"32-bit BARs have 16 MiB of addresses together, which is not enough for these: set "
			"mem64 in the large ones");
	if (pci_bars_space(desc, true) > PCI_SPACE_64)
		return wrong(
			"64-bit BARs have 64 GiB of addresses together, which is not enough for these: make "
			"them smaller");
	return 0;
}

int pci_check_desc(const struct uvfio_pci_desc *desc, bool complete, char *err, size_t err_len)
{
	struct uvfio_pci_desc placed = *desc;
	int rc = check_ids(desc, complete, err, err_len);

	if (!rc)
		rc = check_irqs(desc, err, err_len);
	for (unsigned int i = 0; i < UVFIO_PCI_BARS && !rc; i++)
		rc = check_bar(desc, i, complete, err, err_len);
	if (!rc)
		rc = check_msix(&placed, complete, err, err_len);
	if (!rc)
		rc = check_addresses(&placed, err, err_len);
	if (!rc)
		rc = pci_check_config(desc, err, err_len);
	return rc;
}
