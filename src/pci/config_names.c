/* SPDX-License-Identifier: BSD-2-Clause */
/* Names of config space registers, for traces. */
#include "pci/func.h"

#include <linux/pci_regs.h>
#include <stdio.h>

struct name {
	uint16_t offset, size;
	const char *name;
};

static const struct name header_names[] = {
	{ PCI_VENDOR_ID, 2, "VENDOR" },
	{ PCI_DEVICE_ID, 2, "DEVICE" },
	{ PCI_COMMAND, 2, "COMMAND" },
	{ PCI_STATUS, 2, "STATUS" },
	{ PCI_REVISION_ID, 1, "REVISION" },
	{ PCI_CLASS_PROG, 3, "CLASS" },
	{ PCI_CACHE_LINE_SIZE, 1, "CACHE_LINE_SIZE" },
	{ PCI_LATENCY_TIMER, 1, "LATENCY_TIMER" },
	{ PCI_HEADER_TYPE, 1, "HEADER_TYPE" },
	{ PCI_BIST, 1, "BIST" },
	{ PCI_BASE_ADDRESS_0, 4, "BAR0" },
	{ PCI_BASE_ADDRESS_1, 4, "BAR1" },
	{ PCI_BASE_ADDRESS_2, 4, "BAR2" },
	{ PCI_BASE_ADDRESS_3, 4, "BAR3" },
	{ PCI_BASE_ADDRESS_4, 4, "BAR4" },
	{ PCI_BASE_ADDRESS_5, 4, "BAR5" },
	{ PCI_CARDBUS_CIS, 4, "CARDBUS_CIS" },
	{ PCI_SUBSYSTEM_VENDOR_ID, 2, "SUBSYSTEM_VENDOR" },
	{ PCI_SUBSYSTEM_ID, 2, "SUBSYSTEM" },
	{ PCI_ROM_ADDRESS, 4, "ROM" },
	{ PCI_CAPABILITY_LIST, 1, "CAPABILITY_LIST" },
	{ PCI_INTERRUPT_LINE, 1, "INTERRUPT_LINE" },
	{ PCI_INTERRUPT_PIN, 1, "INTERRUPT_PIN" },
	{ PCI_MIN_GNT, 1, "MIN_GNT" },
	{ PCI_MAX_LAT, 1, "MAX_LAT" },
};

static const struct name msix_names[] = {
	{ 0, 2, "MSIX" },
	{ PCI_MSIX_FLAGS, 2, "MSIX.CTRL" },
	{ PCI_MSIX_TABLE, 4, "MSIX.TABLE" },
	{ PCI_MSIX_PBA, 4, "MSIX.PBA" },
};

static const struct name msi_names[] = {
	{ 0, 2, "MSI" },
	{ PCI_MSI_FLAGS, 2, "MSI.CTRL" },
	{ PCI_MSI_ADDRESS_LO, 4, "MSI.ADDRESS_LO" },
	{ PCI_MSI_ADDRESS_HI, 4, "MSI.ADDRESS_HI" },
	{ PCI_MSI_DATA_64, 2, "MSI.DATA" },
};

static const struct name pm_names[] = {
	{ 0, 2, "PM" },
	{ PCI_PM_PMC, 2, "PM.CAP" },
	{ PCI_PM_CTRL, 2, "PM.CTRL" },
};

static const struct name exp_names[] = {
	{ 0, 2, "PCIE" },
	{ PCI_EXP_FLAGS, 2, "PCIE.FLAGS" },
	{ PCI_EXP_DEVCAP, 4, "PCIE.DEVCAP" },
	{ PCI_EXP_DEVCTL, 2, "PCIE.DEVCTL" },
	{ PCI_EXP_DEVSTA, 2, "PCIE.DEVSTA" },
	{ PCI_EXP_LNKCAP, 4, "PCIE.LNKCAP" },
	{ PCI_EXP_LNKCTL, 2, "PCIE.LNKCTL" },
	{ PCI_EXP_LNKSTA, 2, "PCIE.LNKSTA" },
	{ PCI_EXP_DEVCAP2, 4, "PCIE.DEVCAP2" },
	{ PCI_EXP_DEVCTL2, 2, "PCIE.DEVCTL2" },
	{ PCI_EXP_LNKCAP2, 4, "PCIE.LNKCAP2" },
	{ PCI_EXP_LNKCTL2, 2, "PCIE.LNKCTL2" },
};

static const struct name aer_names[] = {
	{ 0, 4, "AER" },
	{ PCI_ERR_UNCOR_STATUS, 4, "AER.UNCOR_STATUS" },
	{ PCI_ERR_UNCOR_MASK, 4, "AER.UNCOR_MASK" },
	{ PCI_ERR_UNCOR_SEVER, 4, "AER.UNCOR_SEVERITY" },
	{ PCI_ERR_COR_STATUS, 4, "AER.COR_STATUS" },
	{ PCI_ERR_COR_MASK, 4, "AER.COR_MASK" },
	{ PCI_ERR_CAP, 4, "AER.CAP" },
	{ PCI_ERR_HEADER_LOG, 16, "AER.HEADER_LOG" },
};

static bool find(const struct name *names, size_t nr, uint32_t base, uint32_t offset, char *buf, size_t len)
{
	for (size_t i = 0; i < nr; i++) {
		uint32_t start = base + names[i].offset;

		if (offset < start || offset >= start + names[i].size)
			continue;
		if (offset == start)
			snprintf(buf, len, "%s", names[i].name);
		else
			snprintf(buf, len, "%s+%u", names[i].name, offset - start);
		return true;
	}
	return false;
}

void pci_config_name(const struct pci_func *func, uint32_t offset, char *buf, size_t len)
{
	const struct pci_config *config = &func->config;
	const struct {
		uint32_t base;
		const struct name *names;
		size_t nr;
	} caps[] = {
		{ config->msix, msix_names, ARRAY_SIZE(msix_names) },
		{ config->msi, msi_names, ARRAY_SIZE(msi_names) },
		{ config->pm, pm_names, ARRAY_SIZE(pm_names) },
		{ config->exp, exp_names, ARRAY_SIZE(exp_names) },
		{ config->aer, aer_names, ARRAY_SIZE(aer_names) },
	};

	if (find(header_names, ARRAY_SIZE(header_names), 0, offset, buf, len))
		return;
	for (size_t i = 0; i < ARRAY_SIZE(caps); i++)
		if (caps[i].base && find(caps[i].names, caps[i].nr, caps[i].base, offset, buf, len))
			return;
	for (const struct uvfio_pci_config_register *reg = func->desc.config; reg && reg->size; reg++) {
		const struct name name = { reg->offset, reg->size, reg->name };

		if (reg->name && find(&name, 1, 0, offset, buf, len))
			return;
	}
	snprintf(buf, len, "reserved");
}
