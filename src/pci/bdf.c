/* SPDX-License-Identifier: BSD-2-Clause */
/* PCI addresses in text: "0000:00:01.0", or without the domain "00:01.0". */
#include "pci/pci.h"

#include <stdio.h>
#include <string.h>

/* Exactly digits hexadecimal digits at *text, which moves behind them. */
static bool parse_hex(const char **text, unsigned int digits, unsigned int *value)
{
	static const char alphabet[] = "0123456789abcdef";

	*value = 0;
	for (unsigned int i = 0; i < digits; i++, (*text)++) {
		char c = **text;
		const char *at;

		if (c >= 'A' && c <= 'F')
			c = (char)(c - 'A' + 'a');
		at = c ? strchr(alphabet, c) : NULL;
		if (!at)
			return false;
		*value = *value * 16 + (unsigned int)(at - alphabet);
	}
	return true;
}

static bool parse_char(const char **text, char c)
{
	return *(*text)++ == c;
}

int pci_parse_bdf(const char *text, struct pci_slot *slot)
{
	unsigned int domain = 0, bus, dev, fn;
	size_t len = strlen(text);

	if (len != strlen("0000:00:01.0") && len != strlen("00:01.0"))
		return -EINVAL;
	if (len == strlen("0000:00:01.0") && !(parse_hex(&text, 4, &domain) && parse_char(&text, ':')))
		return -EINVAL;
	if (!parse_hex(&text, 2, &bus) || !parse_char(&text, ':') || !parse_hex(&text, 2, &dev) ||
	    !parse_char(&text, '.') || !parse_hex(&text, 1, &fn))
		return -EINVAL;
	if (dev > 31 || fn > 7)
		return -EINVAL;
	*slot = (struct pci_slot){ (uint16_t)domain, (uint8_t)bus, (uint8_t)dev, (uint8_t)fn };
	return 0;
}

void pci_format_bdf(const struct pci_slot *slot, char buf[16])
{
	snprintf(buf, 16, "%04x:%02x:%02x.%x", slot->domain, slot->bus, slot->dev & 31u, slot->fn & 7u);
}
