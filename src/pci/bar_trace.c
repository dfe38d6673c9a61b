/* SPDX-License-Identifier: BSD-2-Clause */
/* Traces of BAR accesses, with the names that the model gives its registers and their fields. */
#include "base/trace.h"
#include "pci/func.h"

#include <stdio.h>

static const struct uvfio_register *find(const struct uvfio_pci_bar *desc, uint64_t offset,
					 unsigned int *index)
{
	for (const struct uvfio_register *reg = desc->registers; reg && reg->name; reg++) {
		uint64_t at = offset - reg->offset;

		*index = 0;
		if (offset < reg->offset)
			continue;
		if (reg->count > 1 && reg->stride) {
			*index = (unsigned int)MIN(at / reg->stride, (uint64_t)reg->count - 1);
			at -= (uint64_t)*index * reg->stride;
		}
		if (at < reg->size)
			return reg;
	}
	return NULL;
}

static size_t put_value(const struct uvfio_field *field, uint64_t value, char *buf, size_t len)
{
	const char *const *name = field->values;

	for (uint64_t i = 0; name && *name && i < value; i++)
		name++;
	if (name && *name)
		return (size_t)snprintf(buf, len, " %s=%s", field->name, *name);
	if (field->first == field->last)
		return value ? (size_t)snprintf(buf, len, " %s", field->name) : 0;
	return (size_t)snprintf(buf, len, " %s=0x%llx", field->name, (unsigned long long)value);
}

/* The fields that lie within [shift, shift + size * 8) of the register, whose value is shifted down to 0. */
static void put_fields(const struct uvfio_field *fields, uint64_t value, unsigned int shift,
		       unsigned int size, char *buf, size_t len)
{
	size_t n = 0;

	buf[0] = 0;
	for (const struct uvfio_field *field = fields; field && field->name && n < len; field++) {
		unsigned int bits = (unsigned int)(field->last - field->first) + 1;

		if (field->first < shift || field->last >= shift + size * 8)
			continue;
		n += put_value(field, value >> (field->first - shift) & (UINT64_MAX >> (64 - bits)), buf + n,
			       len - n);
	}
}

/* "NAME", "NAME+2"; returns where in it offset is. */
static unsigned int put_name(const struct uvfio_register *reg, unsigned int index, uint64_t offset, char *buf,
			     size_t len)
{
	unsigned int within = (unsigned int)(offset - reg->offset - (uint64_t)index * reg->stride);
	size_t n;

	n = (size_t)snprintf(buf, len, reg->name, index);
	if (within && n < len)
		snprintf(buf + n, len - n, "+%u", within);
	return within;
}

void pci_bar_trace(const struct pci_func *func, unsigned int bar, uint64_t offset, uint64_t value,
		   unsigned int size, bool write)
{
	unsigned int index;
	const struct uvfio_register *reg = find(&func->desc.bar[bar], offset, &index);
	char name[48], fields[256] = "";

	if (size < 8)
		value &= BIT64(size * 8) - 1;
	snprintf(name, sizeof(name), "%s",
		 pci_bar_is_plain(&func->bars[bar], offset) ? "memory" : "undeclared");
	if (reg) {
		unsigned int within = put_name(reg, index, offset, name, sizeof(name));

		put_fields(reg->fields, value, within * 8, size, fields, sizeof(fields));
	}
	trace_emit(TRACE_BAR, func->name, write ? "bar write" : "bar read", 0,
		   "BAR%u %s 0x%llx/%u = 0x%llx%s", bar, name, (unsigned long long)offset, size,
		   (unsigned long long)value, fields);
}
