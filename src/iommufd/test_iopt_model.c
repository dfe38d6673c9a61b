/* SPDX-License-Identifier: BSD-2-Clause */
/* The model: see the header. */
#include "iommufd/test_iopt_model.h"

struct m_table m_tables[TABLES];
struct m_pages m_pages[TABLES * AREAS_MAX];
bool m_gone[NR_MM];

static uint64_t area_last_of(const struct m_area *a)
{
	return a->iova + a->len - 1;
}

static const struct m_area *find(const struct m_table *t, uint64_t iova)
{
	for (unsigned int i = 0; i < t->nr; i++)
		if (iova >= t->areas[i].iova && iova <= area_last_of(&t->areas[i]))
			return &t->areas[i];
	return NULL;
}

static bool touches_area(const struct m_table *t, uint64_t start, uint64_t last)
{
	for (unsigned int i = 0; i < t->nr; i++)
		if (t->areas[i].iova <= last && area_last_of(&t->areas[i]) >= start)
			return true;
	return false;
}

static bool touches(const struct m_range *ranges, unsigned int nr, uint64_t start, uint64_t last)
{
	for (unsigned int i = 0; i < nr; i++)
		if (ranges[i].start <= last && ranges[i].last >= start)
			return true;
	return false;
}

uint64_t m_alignment(const struct m_table *t)
{
	uint64_t alignment = t->access || t->no_large ? PG : 1;

	for (unsigned int i = 0; i < t->nr_domains; i++)
		alignment = MAX(alignment, t->domains[i]);
	return alignment;
}

/* ---- what is pinned */

/* Does a pin, by way of this area, reach that page of its memory? */
static bool reaches(const struct m_range *pin, const struct m_area *a, uint64_t index)
{
	uint64_t from = MAX(pin->start, a->iova), to = MIN(pin->last, area_last_of(a));

	return from <= to && index >= (a->start + (from - a->iova)) / PG &&
	       index <= (a->start + (to - a->iova)) / PG;
}

static bool is_covered(unsigned int pages, uint64_t index)
{
	for (const struct m_table *t = m_tables; t < m_tables + TABLES; t++) {
		for (unsigned int i = 0; i < t->nr; i++) {
			const struct m_area *a = &t->areas[i];

			if (a->pages != pages || index < a->start / PG ||
			    index > (a->start + a->len - 1) / PG)
				continue;
			if (t->nr_domains)
				return true;
			for (unsigned int p = 0; p < t->nr_pins; p++)
				if (reaches(&t->pins[p], a, index))
					return true;
		}
	}
	return false;
}

static bool is_of(const struct m_pages *pages, unsigned int mm)
{
	return pages->refs && pages->mm == mm;
}

uint64_t m_npinned(unsigned int mm)
{
	uint64_t n = 0;

	for (unsigned int p = 0; p < ARRAY_SIZE(m_pages); p++)
		for (uint64_t i = 0; is_of(&m_pages[p], mm) && i < m_pages[p].npages; i++)
			n += is_covered(p, i);
	return n;
}

bool m_has_pages(unsigned int mm)
{
	for (unsigned int p = 0; p < ARRAY_SIZE(m_pages); p++)
		if (is_of(&m_pages[p], mm))
			return true;
	return false;
}

static bool is_driver_pinned(unsigned int pages, uint64_t index)
{
	for (const struct m_table *t = m_tables; t < m_tables + TABLES; t++)
		for (unsigned int i = 0; i < t->nr; i++)
			for (unsigned int p = 0; t->areas[i].pages == pages && p < t->nr_pins; p++)
				if (reaches(&t->pins[p], &t->areas[i], index))
					return true;
	return false;
}

static bool has_pins(const struct m_table *t, const struct m_area *a)
{
	for (unsigned int p = 0; p < t->nr_pins; p++)
		if (t->pins[p].start <= area_last_of(a) && t->pins[p].last >= a->iova)
			return true;
	return false;
}

uint64_t m_pinned_by_drivers(const struct m_table *t)
{
	uint64_t n = 0;

	for (unsigned int i = 0; i < t->nr; i++) {
		const struct m_area *a = &t->areas[i];

		for (uint64_t k = a->start / PG; has_pins(t, a) && k <= (a->start + a->len - 1) / PG; k++)
			n += is_driver_pinned(a->pages, k);
	}
	return n;
}

static bool is_bad(const struct m_pages *pages, uint64_t page, bool write)
{
	return m_gone[pages->mm] || page >= (write ? READ_ONLY : NO_ACCESS);
}

/* Can the bytes [start, +len) of the pages be pinned? */
static int check_pages(unsigned int pages, uint64_t start, uint64_t len)
{
	bool fresh = false, bad = false;

	for (uint64_t i = start / PG; i <= (start + len - 1) / PG; i++) {
		fresh |= !is_covered(pages, i);
		bad |= is_bad(&m_pages[pages], m_pages[pages].va / PG + i, m_pages[pages].writable);
	}
	return fresh && bad ? -EFAULT : 0;
}

/* Into a domain with pages of that size; the first checks the memory. */
static int fill_area(const struct m_area *a, uint64_t pgsize, bool check)
{
	int ret = check ? check_pages(a->pages, a->start, a->len) : 0;

	return !ret && (a->iova | a->len | a->start) & (pgsize - 1) ? -EINVAL : ret;
}

static int fill_domains(const struct m_table *t, const struct m_area *a)
{
	int ret = 0;

	for (unsigned int i = 0; i < t->nr_domains && !ret; i++)
		ret = fill_area(a, t->domains[i], !i);
	return ret;
}

/* ---- areas come and go */

static void insert(struct m_table *t, struct m_area area)
{
	unsigned int i = t->nr++;

	for (; i && t->areas[i - 1].iova > area.iova; i--)
		t->areas[i] = t->areas[i - 1];
	t->areas[i] = area;
	m_pages[area.pages].refs++;
}

static void remove_at(struct m_table *t, unsigned int i)
{
	m_pages[t->areas[i].pages].refs--;
	t->nr--;
	for (; i < t->nr; i++)
		t->areas[i] = t->areas[i + 1];
}

static void remove_area(struct m_table *t, uint64_t iova)
{
	for (unsigned int i = 0; i < t->nr; i++)
		if (t->areas[i].iova == iova)
			return remove_at(t, i);
}

static bool fits(uint64_t *start, uint64_t last, uint64_t len, uint64_t alignment, uint64_t offset)
{
	uint64_t at = align_up(*start, alignment) | offset;

	if (at >= last || last - at < len - 1)
		return false;
	*start = at;
	return true;
}

static bool is_free_unit(const struct m_table *t, uint64_t at)
{
	return !find(t, at) && !touches(t->reserved, t->nr_reserved, at, at + UNIT - 1);
}

/* Within [start, last], unit by unit up to SCAN. */
static bool choose_in(const struct m_table *t, uint64_t start, uint64_t last, uint64_t len,
		      uint64_t alignment, uint64_t offset, uint64_t *iova)
{
	if (!fits(&start, last, len, alignment, offset))
		return false;
	for (uint64_t at = start; at <= last && at <= SCAN;) {
		uint64_t end = at;

		while (end <= last && end <= SCAN && is_free_unit(t, end))
			end += UNIT;
		if (end > at) {
			*iova = at;
			if (fits(iova, end > SCAN ? last : MIN(end - 1, last), len, alignment, offset))
				return true;
		}
		at = end + UNIT;
	}
	return false;
}

static int choose_iova(const struct m_table *t, uint64_t va, uint64_t len, uint64_t *iova)
{
	uint64_t alignment = UNIT;

	while (alignment < len && alignment < (2 << 20))
		alignment *= 2;
	alignment = MIN(alignment, va & -va);
	if (alignment < m_alignment(t))
		return -EINVAL;
	if (!t->nr_allowed)
		return choose_in(t, PG, UINT64_MAX - PG, len, alignment, va % PG, iova) ? 0 : -ENOSPC;
	for (unsigned int i = 0; i < t->nr_allowed; i++) {
		struct m_range run = t->allowed[i];

		while (i + 1 < t->nr_allowed && t->allowed[i + 1].start == run.last + 1)
			run.last = t->allowed[++i].last;
		if (choose_in(t, MAX(run.start, PG), run.last, len, alignment, va % PG, iova))
			return 0;
	}
	return -ENOSPC;
}

static int place(const struct m_table *t, uint64_t *iova, uint64_t va, uint64_t len, bool choose)
{
	uint64_t mask = m_alignment(t) - 1;

	if (len & mask)
		return -EINVAL;
	if (choose)
		return choose_iova(t, va, len, iova);
	if (*iova & mask || touches(t->reserved, t->nr_reserved, *iova, *iova + len - 1))
		return -EINVAL;
	return touches_area(t, *iova, *iova + len - 1) ? -EEXIST : 0;
}

extern uint64_t m_memory; /* where memory really is: the choice depends on it */

int m_map(struct m_table *t, uint64_t *iova, unsigned int mm, uint64_t va, uint64_t len, unsigned int prot,
	  bool choose)
{
	struct m_area area = { .len = len, .start = va % PG, .prot = prot };
	int ret;

	if (!len)
		return -EINVAL;
	ret = place(t, iova, m_memory + va, len, choose);
	if (!ret && area.start & (m_alignment(t) - 1))
		ret = -EINVAL;
	if (ret)
		return ret;
	while (m_pages[area.pages].refs)
		area.pages++;
	m_pages[area.pages] = (struct m_pages){ 0, va - area.start, (area.start + len + PG - 1) / PG,
						prot & IOMMU_WRITE, mm };
	area.iova = *iova;
	ret = fill_domains(t, &area);
	if (!ret)
		insert(t, area);
	return ret;
}

int m_copy(struct m_table *dst, uint64_t *iova, struct m_table *src, uint64_t src_iova, uint64_t len,
	   unsigned int prot, bool choose)
{
	struct m_area parts[AREAS_MAX] = { 0 };
	unsigned int nr = 0;
	uint64_t at = src_iova, end = src_iova + len, to;
	int ret = 0;

	if (!len)
		return -EINVAL;
	for (; at < end; at += parts[nr++].len) {
		const struct m_area *a = find(src, at);

		if (!a)
			return -ENOENT;
		parts[nr] = *a;
		parts[nr].start += at - a->iova;
		parts[nr].len = MIN(end - 1, area_last_of(a)) - at + 1;
		parts[nr].prot = prot;
	}
	ret = place(dst, iova, m_memory + m_pages[parts[0].pages].va + parts[0].start, len, choose);
	for (unsigned int i = 0; i < nr && !ret; i++) {
		if (prot & IOMMU_WRITE && !m_pages[parts[i].pages].writable)
			ret = -EPERM;
		else if (parts[i].start % PG & (m_alignment(dst) - 1))
			ret = -EINVAL;
	}
	to = *iova;
	for (unsigned int i = 0; i < nr && !ret; i++) {
		parts[i].iova = to;
		to += parts[i].len;
		ret = fill_domains(dst, &parts[i]);
	}
	for (unsigned int i = 0; i < nr && !ret; i++)
		insert(dst, parts[i]);
	return ret;
}

static void unpin_touching(struct m_table *t, uint64_t start, uint64_t last)
{
	for (unsigned int i = t->nr_pins; i--;)
		if (t->pins[i].start <= last && t->pins[i].last >= start)
			t->pins[i] = t->pins[--t->nr_pins];
}

int m_unmap(struct m_table *t, uint64_t start, uint64_t last, uint64_t *unmapped)
{
	*unmapped = 0;
	for (unsigned int i = 0; i < t->nr;) {
		struct m_area *a = &t->areas[i];

		if (area_last_of(a) < start || a->iova > last) {
			i++;
			continue;
		}
		if (a->iova < start || area_last_of(a) > last)
			return -ENOENT;
		unpin_touching(t, a->iova, area_last_of(a));
		*unmapped += a->len;
		remove_at(t, i);
	}
	return 0;
}

/* ---- domains, ranges */

static int check_alignment(const struct m_table *t, uint64_t alignment)
{
	for (unsigned int i = 0; alignment > m_alignment(t) && i < t->nr; i++)
		if ((t->areas[i].iova | t->areas[i].len | t->areas[i].start % PG) & (alignment - 1))
			return -EADDRINUSE;
	return 0;
}

int m_reserve(struct m_table *t, uint64_t start, uint64_t last, const void *owner)
{
	if (touches_area(t, start, last) || touches(t->allowed, t->nr_allowed, start, last))
		return -EADDRINUSE;
	t->reserved[t->nr_reserved++] = (struct m_range){ start, last, owner };
	return 0;
}

void m_unreserve(struct m_table *t, const void *owner)
{
	for (unsigned int i = t->nr_reserved; i--;)
		if (t->reserved[i].owner == owner)
			t->reserved[i] = t->reserved[--t->nr_reserved];
}

static int fill(const struct m_table *t, uint64_t pgsize)
{
	int ret = 0;

	for (unsigned int i = 0; i < t->nr && !ret; i++)
		ret = fill_area(&t->areas[i], pgsize, !t->nr_domains);
	return ret;
}

int m_add_domain(struct m_table *t, const void *owner, uint64_t pgsize, uint64_t first, uint64_t last)
{
	int ret = check_alignment(t, pgsize);

	if (!ret && first)
		ret = m_reserve(t, 0, first - 1, owner);
	if (!ret && last != UINT64_MAX)
		ret = m_reserve(t, last + 1, UINT64_MAX, owner);
	if (!ret)
		ret = fill(t, pgsize);
	if (ret)
		m_unreserve(t, owner);
	else
		t->domains[t->nr_domains++] = pgsize;
	return ret;
}

void m_remove_domain(struct m_table *t, const void *owner, uint64_t pgsize)
{
	t->nr_domains--;
	if (t->domains[0] == pgsize)
		t->domains[0] = t->domains[1];
	m_unreserve(t, owner);
}

int m_allow(struct m_table *t, const struct iommu_range *ranges, unsigned int nr)
{
	for (unsigned int i = 0; i < nr; i++)
		if (touches(t->reserved, t->nr_reserved, ranges[i].start, ranges[i].last))
			return -EADDRINUSE;
	for (unsigned int i = 0; i < nr; i++)
		t->allowed[i] = (struct m_range){ ranges[i].start, ranges[i].last, NULL };
	t->nr_allowed = nr;
	return 0;
}

/* ---- accesses, cutting */

static int check_use(const struct m_area *a, bool write)
{
	return a->prot & (write ? IOMMU_WRITE : IOMMU_READ) && (!write || m_pages[a->pages].writable)
		       ? 0
		       : -EPERM;
}

int m_pin(struct m_table *t, uint64_t iova, uint64_t len, bool write)
{
	uint64_t end = iova + len, last;

	for (uint64_t at = iova; at < end; at = last + 1) {
		const struct m_area *a = find(t, at);
		uint64_t byte;
		int ret;

		if (!a)
			return -ENOENT;
		last = MIN(end - 1, area_last_of(a));
		byte = a->start + (at - a->iova);
		if (byte % PG || (area_last_of(a) < end - 1 && (a->start + a->len) % PG))
			return -EINVAL;
		ret = check_use(a, write);
		if (!ret)
			ret = check_pages(a->pages, byte, last - at + 1);
		if (ret)
			return ret;
	}
	t->pins[t->nr_pins++] = (struct m_range){ iova, end - 1, NULL };
	return 0;
}

int m_rw(const struct m_table *t, uint64_t iova, uint64_t len, bool write)
{
	uint64_t end = iova + len, last;

	for (uint64_t at = iova; at < end; at = last + 1) {
		const struct m_area *a = find(t, at);
		uint64_t byte;

		if (!a)
			return -ENOENT;
		last = MIN(end - 1, area_last_of(a));
		if (check_use(a, write))
			return -EPERM;
		byte = m_pages[a->pages].va + a->start + (at - a->iova);
		for (uint64_t page = byte / PG; page <= (byte + (last - at)) / PG; page++)
			if (is_bad(&m_pages[a->pages], page, write))
				return -EFAULT;
	}
	return 0;
}

int m_disable_large(struct m_table *t)
{
	int ret;

	if (t->no_large)
		return 0;
	if (t->nr_domains && t->nr)
		return -EINVAL;
	ret = check_alignment(t, PG);
	if (!ret)
		t->no_large = true;
	return ret;
}

int m_cut(struct m_table *t, uint64_t iova)
{
	const struct m_area *a = find(t, iova);
	uint64_t mask = m_alignment(t) - 1;
	struct m_area left, right;

	if (!a || iova == a->iova || iova == area_last_of(a))
		return 0;
	left = right = *a;
	left.len = iova + 1 - a->iova;
	right.iova += left.len;
	right.start += left.len;
	right.len -= left.len;
	if (right.iova & mask || right.start & mask)
		return -EINVAL;
	if (touches(t->pins, t->nr_pins, a->iova, area_last_of(a)) || (t->nr_domains && !t->no_large))
		return -EINVAL;
	remove_area(t, left.iova);
	insert(t, left);
	insert(t, right);
	return 0;
}
