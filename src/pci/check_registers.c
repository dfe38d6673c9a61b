/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Are the registers that a model declares in a BAR possible ones? See check.h.
 *
 * An array is stride * count bytes from its first element to the end of its last; arrays may be interleaved,
 * as doorbells are.
 */
#include "pci/check.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

struct check {
	const struct uvfio_pci_desc *desc;
	unsigned int bar;
	char *err;
	size_t err_len;
};

static __printf(3, 4) int refuse(const struct check *check, const struct uvfio_register *reg, const char *fmt,
				 ...)
{
	size_t n = (size_t)snprintf(check->err, check->err_len, "BAR %u: register %s at 0x%llx ", check->bar,
				    reg->name, (unsigned long long)reg->offset);
	va_list ap;

	va_start(ap, fmt);
	if (n < check->err_len)
		vsnprintf(check->err + n, check->err_len - n, fmt, ap);
	va_end(ap);
	return -EINVAL;
}

static unsigned int count_of(const struct uvfio_register *reg)
{
	return MAX(reg->count, 1u);
}

static unsigned int stride_of(const struct uvfio_register *reg)
{
	return reg->count > 1 ? reg->stride : reg->size;
}

/* Behind its last byte. UINT64_MAX: far behind everything. */
static uint64_t end_of(const struct uvfio_register *reg)
{
	uint64_t length = (uint64_t)(count_of(reg) - 1) * stride_of(reg) + reg->size, end;

	return add_overflows(reg->offset, length, &end) ? UINT64_MAX : end;
}

/* ---- names */

/* Skip what the name's next conversion is, from behind its %: the character that says what it prints. */
static char conversion(const char **at)
{
	for (int i = 0; i < 2 && **at >= '0' && **at <= '9'; i++)
		(*at)++;
	return **at ? *(*at)++ : 0;
}

static int check_name(const struct check *check, const struct uvfio_register *reg)
{
	const char *at = reg->name;
	unsigned int indices = 0;

	while ((at = strchr(at, '%'))) {
		char c = (at++, conversion(&at));

		if (c == 'u')
			indices++;
		else if (c != '%' || at[-2] != '%')
			return refuse(
				check, reg,
				"has a name that printf cannot be given: in a name only %%u (the index, "
				"in arrays) and %%%% (a percent sign) are possible");
	}
	if (!*reg->name || strpbrk(reg->name, "\n\r"))
		return refuse(check, reg, "has an empty name, or one with a line break: traces print it");
	if (reg->count <= 1 && indices)
		return refuse(check, reg,
			      "has a name with %%u and is no array: give a count above 1, or write %%%%u");
	if (reg->count > 1 && indices != 1)
		return refuse(check, reg,
			      "is an array of %u: its name has to have one %%u, where the index goes",
			      reg->count);
	return 0;
}

/* ---- places */

/* Does an element of a reach into [start, start + size)? a begins no later. */
static bool reaches(const struct uvfio_register *a, uint64_t start, uint32_t size)
{
	uint64_t from = start - a->offset, index = from / stride_of(a), next;

	if (index >= count_of(a))
		return false;
	next = (index + 1) * stride_of(a);
	return from - index * stride_of(a) < a->size || (index + 1 < count_of(a) && next < from + size);
}

/* Have they a byte in common? a begins no later than b. */
static bool overlap(const struct uvfio_register *a, const struct uvfio_register *b)
{
	bool in_step = stride_of(a) == stride_of(b); /* then the first of b says it for all */
	uint64_t at = b->offset;

	for (unsigned int i = 0; i < count_of(b) && at < end_of(a); i++, at += stride_of(b)) {
		if (reaches(a, at, b->size))
			return true;
		if (in_step)
			return false;
	}
	return false;
}

static int check_order(const struct check *check, const struct uvfio_register *first,
		       const struct uvfio_register *reg)
{
	if (reg > first && reg->offset < reg[-1].offset)
		return refuse(check, reg, "stands behind %s at 0x%llx: sort the registers by their offsets",
			      reg[-1].name, (unsigned long long)reg[-1].offset);
	for (const struct uvfio_register *other = first; other < reg; other++)
		if (overlap(other, reg))
			return refuse(check, reg,
				      "overlaps register %s at 0x%llx (%u bytes): registers have bytes of "
				      "their own",
				      other->name, (unsigned long long)other->offset, other->size);
	return 0;
}

static int check_place(const struct check *check, const struct uvfio_register *reg)
{
	uint64_t size = check->desc->bar[check->bar].size;
	unsigned int alignment = MIN(reg->size & -reg->size, 8u);

	if (!reg->size)
		return refuse(check, reg, "has a size of 0: give its bytes, 1, 2, 4 or 8");
	if (reg->count > 1 && reg->stride < reg->size)
		return refuse(check, reg,
			      "is an array with %u bytes from one element of %u bytes to the next: give a "
			      "stride of %u or more",
			      reg->stride, reg->size, reg->size);
	if (reg->offset % alignment || (reg->count > 1 && reg->stride % alignment))
		return refuse(check, reg,
			      "is not aligned to its size, %u bytes: its offset%s must be a multiple of %u",
			      reg->size, reg->count > 1 ? " and stride" : "", alignment);
	if (end_of(reg) > size)
		return refuse(check, reg, "ends behind the BAR, which has 0x%llx bytes: make the BAR larger",
			      (unsigned long long)size);
	return 0;
}

/* ---- fields */

/* At most as many names as there are values, or more? */
static bool too_many_values(const struct uvfio_field *field)
{
	unsigned int bits = (unsigned int)(field->last - field->first) + 1;
	uint64_t nr = 0;

	if (!field->values || bits >= 32)
		return false;
	while (nr <= BIT64(bits) && field->values[nr])
		nr++;
	return nr > BIT64(bits);
}

static int check_field(const struct check *check, const struct uvfio_register *reg,
		       const struct uvfio_field *field)
{
	if (field->first > field->last || (unsigned int)(field->last - field->first) >= 64)
		return refuse(check, reg,
			      "has a field %s from bit %u to bit %u: give the lower one first, and at most "
			      "64 bits",
			      field->name, field->first, field->last);
	if (field->last >= (uint64_t)reg->size * 8)
		return refuse(check, reg, "has a field %s up to bit %u: its bits are 0 to %llu", field->name,
			      field->last, (unsigned long long)reg->size * 8 - 1);
	for (const struct uvfio_field *other = reg->fields; other < field; other++)
		if (other->first <= field->last && field->first <= other->last)
			return refuse(check, reg,
				      "has fields %s and %s that overlap: bits %u to %u, %u to %u",
				      other->name, field->name, other->first, other->last, field->first,
				      field->last);
	if (too_many_values(field))
		return refuse(check, reg,
			      "has a field %s with more names of values than its bits %u to %u can have: end "
			      "them with NULL",
			      field->name, field->first, field->last);
	return 0;
}

static int check_fields(const struct check *check, const struct uvfio_register *reg)
{
	for (const struct uvfio_field *field = reg->fields; field && field->name; field++) {
		int rc = check_field(check, reg, field);

		if (rc)
			return rc;
	}
	return 0;
}

/* ---- all */

int pci_check_registers(const struct uvfio_pci_desc *desc, unsigned int bar, char *err, size_t err_len)
{
	const struct check check = { desc, bar, err, err_len };
	const struct uvfio_register *first = desc->bar[bar].registers;
	int rc = 0;

	for (const struct uvfio_register *reg = first; !rc && reg && reg->name; reg++) {
		rc = check_name(&check, reg);
		if (!rc)
			rc = check_place(&check, reg);
		if (!rc)
			rc = check_order(&check, first, reg);
		if (!rc)
			rc = check_fields(&check, reg);
	}
	return rc;
}

const struct uvfio_register *pci_register_within(const struct uvfio_pci_bar *bar, uint64_t start,
						 uint32_t size)
{
	const struct uvfio_register stretch = { .offset = start, .size = size };

	for (const struct uvfio_register *reg = bar->registers; reg && reg->name; reg++)
		if (reg->offset <= start ? overlap(reg, &stretch) : overlap(&stretch, reg))
			return reg;
	return NULL;
}
