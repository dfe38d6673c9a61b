/* SPDX-License-Identifier: BSD-2-Clause */
/* Have a model's capabilities and registers a place in configuration space? See check.h and config.h. */
#include "pci/check.h"
#include "pci/config.h"

#include <stdio.h>

/* *end: behind the last one. */
static int check_caps(const struct uvfio_pci_vendor_cap *caps, uint32_t *end, char *err, size_t err_len)
{
	*end = PCI_VNDR_AT;
	for (unsigned int i = 0; caps && caps[i].len; i++) {
		if (caps[i].len < 3)
			return uvfio_create_error(
				err, err_len, EINVAL,
				"vendor_caps[%u] has len = %u: count its header of 3 bytes, too", i,
				caps[i].len);
		if (caps[i].len > 3 && !caps[i].body)
			return uvfio_create_error(err, err_len, EINVAL,
						  "vendor_caps[%u] has no body: give its %u bytes behind the "
						  "header",
						  i, caps[i].len - 3u);
		if (*end + caps[i].len > PCI_CONFIG_OLD)
			return uvfio_create_error(
				err, err_len, EINVAL,
				"vendor_caps[%u] has no place: all of them together have 64 bytes", i);
		*end += (uint32_t)align_up(caps[i].len, 4);
	}
	return 0;
}

static int check_register(const struct uvfio_pci_config_register *reg, uint32_t first, uint32_t end,
			  char *err, size_t err_len)
{
	const char *name = reg->name ? reg->name : "without a name";
	uint32_t bits = reg->initial | reg->writable | reg->clear;

	if (reg->size != 1 && reg->size != 2 && reg->size != 4)
		return uvfio_create_error(err, err_len, EINVAL,
					  "configuration register %s at 0x%x has %u bytes: use 1, 2 or 4",
					  name, reg->offset, reg->size);
	if (reg->offset % reg->size)
		return uvfio_create_error(err, err_len, EINVAL,
					  "configuration register %s at 0x%x is not aligned to its size, %u "
					  "bytes: its offset must be a multiple of that",
					  name, reg->offset, reg->size);
	if (first >= end || reg->offset < first || (uint32_t)reg->offset + reg->size > end)
		return uvfio_create_error(
			err, err_len, EINVAL,
			"configuration register %s at 0x%x has no place there: what is free "
			"for a model is 0x%x to 0x%x",
			name, reg->offset, first, end - 1);
	if (bits & ~pci_config_mask(reg->size))
		return uvfio_create_error(err, err_len, EINVAL,
					  "configuration register %s at 0x%x of %u bytes has bits above them "
					  "in initial, writable or clear",
					  name, reg->offset, reg->size);
	if (reg->writable & reg->clear)
		return uvfio_create_error(
			err, err_len, EINVAL,
			"configuration register %s at 0x%x: bits 0x%x are in writable and in "
			"clear: a bit is written, or cleared by writing 1",
			name, reg->offset, reg->writable & reg->clear);
	return 0;
}

static int check_apart(const struct uvfio_pci_config_register *all,
		       const struct uvfio_pci_config_register *reg, char *err, size_t err_len)
{
	for (; all < reg; all++)
		if (all->offset < reg->offset + reg->size && reg->offset < all->offset + all->size)
			return uvfio_create_error(
				err, err_len, EINVAL,
				"configuration registers at 0x%x and 0x%x overlap: each has "
				"bytes of its own",
				all->offset, reg->offset);
	return 0;
}

int pci_check_config(const struct uvfio_pci_desc *desc, char *err, size_t err_len)
{
	uint32_t first, end = desc->pcie ? PCI_CONFIG_MAX : PCI_CONFIG_OLD;
	int rc = check_caps(desc->vendor_caps, &first, err, err_len);

	if (desc->pcie)
		first = desc->aer ? PCI_AER_AT + PCI_AER_SIZE : PCI_AER_AT;
	for (const struct uvfio_pci_config_register *reg = desc->config; !rc && reg && reg->size; reg++) {
		rc = check_register(reg, first, end, err, err_len);
		if (!rc)
			rc = check_apart(desc->config, reg, err, err_len);
	}
	return rc;
}
