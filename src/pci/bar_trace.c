/* SPDX-License-Identifier: BSD-2-Clause */
/* Traces of BAR accesses, with the names that the model gives its registers. */
#include "base/trace.h"
#include "pci/func.h"

#include <stdio.h>

static const struct pci_register *find(const struct pci_bar_desc *desc, uint64_t offset, unsigned int *index)
{
	for (unsigned int i = 0; i < desc->nr_registers; i++) {
		const struct pci_register *reg = &desc->registers[i];
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

static void name_register(const struct pci_bar_desc *desc, uint64_t offset, char *buf, size_t len)
{
	unsigned int index;
	const struct pci_register *reg = find(desc, offset, &index);
	uint64_t start;
	size_t n;

	if (!reg) {
		snprintf(buf, len, "memory");
		return;
	}
	start = reg->offset + (uint64_t)index * reg->stride;
	n = (size_t)snprintf(buf, len, reg->name, index);
	if (offset > start && n < len)
		snprintf(buf + n, len - n, "+%u", (unsigned int)(offset - start));
}

void pci_bar_trace(const struct pci_func *func, unsigned int bar, uint64_t offset, uint64_t value,
		   unsigned int size, bool write)
{
	char name[48];

	name_register(&func->desc.bar[bar], offset, name, sizeof(name));
	if (size < 8)
		value &= BIT64(size * 8) - 1;
	trace_emit(TRACE_BAR, func->name, write ? "bar write" : "bar read", 0, "BAR%u %s 0x%llx/%u = 0x%llx",
		   bar, name, (unsigned long long)offset, size, (unsigned long long)value);
}
