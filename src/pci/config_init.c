/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The layout of config space.
 *
 *   0x00  header
 *   0x40  MSI-X      0x50  MSI (0x40 without MSI-X)
 *   0x60  power management
 *   0x80  PCI Express
 *   0xc0  the model's vendor-specific capabilities, one behind the other
 *   0x100 advanced error reporting
 *
 * The list runs MSI-X, MSI, PCI Express, power management, vendor-specific. Which bits can be written is what
 * vfio-pci lets through to a function that implements little more than it must: its rules are noted at the
 * fields where they are not those of the PCI specification.
 */
#include "pci/func.h"

#include <linux/pci_regs.h>

#define MSIX_AT 0x40u
#define MSI_AT  0x50u
#define PM_AT   0x60u
#define EXP_AT  0x80u

#define COMMAND_WRITABLE                                                                                     \
	(PCI_COMMAND_IO | PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER | PCI_COMMAND_SERR |                       \
	 PCI_COMMAND_INTX_DISABLE)
#define COMMAND_INITIAL (PCI_COMMAND_IO | PCI_COMMAND_MEMORY | PCI_COMMAND_SERR)

/* Uncorrectable errors that software may mask, clear, or give a severity. */
#define AER_UNCOR                                                                                            \
	(PCI_ERR_UNC_UND | PCI_ERR_UNC_DLP | PCI_ERR_UNC_SURPDN | PCI_ERR_UNC_POISON_TLP | PCI_ERR_UNC_FCP | \
	 PCI_ERR_UNC_COMP_TIME | PCI_ERR_UNC_COMP_ABORT | PCI_ERR_UNC_UNX_COMP | PCI_ERR_UNC_RX_OVER |       \
	 PCI_ERR_UNC_MALF_TLP | PCI_ERR_UNC_ECRC | PCI_ERR_UNC_UNSUP | PCI_ERR_UNC_ACSV | PCI_ERR_UNC_INTN | \
	 PCI_ERR_UNC_MCBTLP | PCI_ERR_UNC_ATOMEG | PCI_ERR_UNC_TLPPRE)
#define AER_COR                                                                                              \
	(PCI_ERR_COR_RCVR | PCI_ERR_COR_BAD_TLP | PCI_ERR_COR_BAD_DLLP | PCI_ERR_COR_REP_ROLL |              \
	 PCI_ERR_COR_REP_TIMER | PCI_ERR_COR_ADV_NFAT | PCI_ERR_COR_INTERNAL | PCI_ERR_COR_LOG_OVER)
#define AER_FATAL                                                                                            \
	(PCI_ERR_UNC_DLP | PCI_ERR_UNC_SURPDN | PCI_ERR_UNC_FCP | PCI_ERR_UNC_RX_OVER |                      \
	 PCI_ERR_UNC_MALF_TLP | PCI_ERR_UNC_INTN)

/* A field of size bytes within one word: its value at open and its writable bits. */
static void field(struct pci_config *config, uint32_t at, unsigned int size, uint32_t value,
		  uint32_t writable)
{
	unsigned int shift = (at & 3) * 8;
	uint32_t mask = pci_config_mask(size);

	config->initial[at / 4] |= (value & mask) << shift;
	config->wmask[at / 4] |= (writable & mask) << shift;
}

static void init_bar(struct pci_func *func, unsigned int i)
{
	const struct uvfio_pci_bar *desc = &func->desc.bar[i];
	uint64_t mask = ~(desc->size - 1) & ~(uint64_t)0xf;
	uint64_t address = func->bars[i].address;
	uint32_t at = PCI_BASE_ADDRESS_0 + 4 * i;
	uint32_t flags = PCI_BASE_ADDRESS_SPACE_MEMORY;

	if (!desc->size)
		return;
	if (desc->mem64)
		flags |= PCI_BASE_ADDRESS_MEM_TYPE_64;
	if (desc->prefetch)
		flags |= PCI_BASE_ADDRESS_MEM_PREFETCH;
	field(&func->config, at, 4, (uint32_t)address | flags, (uint32_t)mask);
	if (desc->mem64)
		field(&func->config, at + 4, 4, (uint32_t)(address >> 32), (uint32_t)(mask >> 32));
}

static void init_header(struct pci_func *func)
{
	const struct uvfio_pci_desc *desc = &func->desc;
	struct pci_config *config = &func->config;

	field(config, PCI_VENDOR_ID, 2, desc->vendor, 0);
	field(config, PCI_DEVICE_ID, 2, desc->device, 0);
	field(config, PCI_COMMAND, 2, COMMAND_INITIAL, COMMAND_WRITABLE);
	field(config, PCI_CLASS_REVISION, 4, desc->class_code << 8 | desc->revision, 0);
	field(config, PCI_CACHE_LINE_SIZE, 1, 0, 0xff);
	for (unsigned int i = 0; i < UVFIO_PCI_BARS; i++)
		init_bar(func, i);
	field(config, PCI_SUBSYSTEM_VENDOR_ID, 2, desc->subsys_vendor, 0);
	field(config, PCI_SUBSYSTEM_ID, 2, desc->subsys_device, 0);
	field(config, PCI_INTERRUPT_LINE, 1, desc->intx ? 11 : 0, 0xff);
	field(config, PCI_INTERRUPT_PIN, 1, desc->intx, 0);
}

static void init_msix(struct pci_func *func)
{
	const struct uvfio_pci_desc *desc = &func->desc;
	struct pci_config *config = &func->config;

	config->msix = MSIX_AT;
	field(config, MSIX_AT, 1, PCI_CAP_ID_MSIX, 0);
	/* enable and mask follow the ioctls only */
	field(config, MSIX_AT + PCI_MSIX_FLAGS, 2, desc->msix_vectors - 1, 0);
	field(config, MSIX_AT + PCI_MSIX_TABLE, 4, desc->msix_table | desc->msix_bar, 0);
	field(config, MSIX_AT + PCI_MSIX_PBA, 4, desc->msix_pba | desc->msix_bar, 0);
}

static void init_msi(struct pci_func *func)
{
	struct pci_config *config = &func->config;
	uint32_t at = config->msix ? MSI_AT : MSIX_AT;
	uint32_t log2 = (uint32_t)__builtin_ctz(func->desc.msi_vectors);

	config->msi = at;
	field(config, at, 1, PCI_CAP_ID_MSI, 0);
	field(config, at + PCI_MSI_FLAGS, 2, PCI_MSI_FLAGS_64BIT | log2 << 1,
	      PCI_MSI_FLAGS_ENABLE | PCI_MSI_FLAGS_QSIZE);
	field(config, at + PCI_MSI_ADDRESS_LO, 4, 0, UINT32_MAX);
	field(config, at + PCI_MSI_ADDRESS_HI, 4, 0, UINT32_MAX);
	field(config, at + PCI_MSI_DATA_64, 2, 0, 0xffff);
}

static void init_pm(struct pci_func *func)
{
	struct pci_config *config = &func->config;

	config->pm = PM_AT;
	field(config, PM_AT, 1, PCI_CAP_ID_PM, 0);
	field(config, PM_AT + PCI_PM_PMC, 2, 3, 0);
	/* the power state is written, but by us (config.c) */
	field(config, PM_AT + PCI_PM_CTRL, 2, func->desc.no_soft_reset ? PCI_PM_CTRL_NO_SOFT_RESET : 0, 0);
}

static void init_exp(struct pci_func *func)
{
	struct pci_config *config = &func->config;

	config->exp = EXP_AT;
	field(config, EXP_AT, 1, PCI_CAP_ID_EXP, 0);
	field(config, EXP_AT + PCI_EXP_FLAGS, 2, 2 | PCI_EXP_TYPE_ENDPOINT << 4, 0);
	field(config, EXP_AT + PCI_EXP_DEVCAP, 4,
	      PCI_EXP_DEVCAP_FLR | PCI_EXP_DEVCAP_RBER | PCI_EXP_DEVCAP_EXT_TAG, 0);
	field(config, EXP_AT + PCI_EXP_DEVCTL, 2, 0,
	      PCI_EXP_DEVCTL_CERE | PCI_EXP_DEVCTL_NFERE | PCI_EXP_DEVCTL_FERE | PCI_EXP_DEVCTL_URRE |
		      PCI_EXP_DEVCTL_PAYLOAD | PCI_EXP_DEVCTL_READRQ);
	/* 2.5 GT/s, one lane, L0s */
	field(config, EXP_AT + PCI_EXP_LNKCAP, 4, 0x411, 0);
	field(config, EXP_AT + PCI_EXP_LNKSTA, 2, 0x11, 0);
	/* end-to-end TLP prefixes, and their blocking */
	field(config, EXP_AT + PCI_EXP_DEVCAP2, 4, 0x00300000, 0);
	field(config, EXP_AT + PCI_EXP_DEVCTL2, 2, 0, 0x8000);
}

static void init_aer(struct pci_func *func)
{
	struct pci_config *config = &func->config;

	config->aer = PCI_AER_AT;
	field(config, PCI_AER_AT, 4, PCI_EXT_CAP_ID_ERR | 2 << 16, 0);
	config->w1c[(PCI_AER_AT + PCI_ERR_UNCOR_STATUS) / 4] = AER_UNCOR;
	field(config, PCI_AER_AT + PCI_ERR_UNCOR_MASK, 4, 0, AER_UNCOR);
	field(config, PCI_AER_AT + PCI_ERR_UNCOR_SEVER, 4, AER_FATAL, AER_UNCOR);
	config->w1c[(PCI_AER_AT + PCI_ERR_COR_STATUS) / 4] = AER_COR;
	field(config, PCI_AER_AT + PCI_ERR_COR_MASK, 4, PCI_ERR_COR_ADV_NFAT | PCI_ERR_COR_INTERNAL, AER_COR);
}

/* Chain a capability behind the one whose next pointer is at *previous. */
static void link_cap(struct pci_config *config, uint32_t *previous, uint32_t at)
{
	field(config, *previous, 1, at, 0);
	*previous = at + PCI_CAP_LIST_NEXT;
}

static void init_vendor_caps(struct pci_func *func, uint32_t *previous)
{
	struct pci_config *config = &func->config;
	uint32_t at = PCI_VNDR_AT;

	for (const struct uvfio_pci_vendor_cap *cap = func->desc.vendor_caps; cap && cap->len; cap++) {
		field(config, at, 1, PCI_CAP_ID_VNDR, 0);
		field(config, at + 2, 1, cap->len, 0);
		for (uint32_t i = 3; i < cap->len; i++)
			field(config, at + i, 1, cap->body[i - 3], cap->writable ? cap->writable[i - 3] : 0);
		link_cap(config, previous, at);
		at += (uint32_t)align_up(cap->len, 4);
	}
}

static void link_caps(struct pci_func *func)
{
	struct pci_config *config = &func->config;
	const uint32_t order[] = { config->msix, config->msi, config->exp, config->pm };
	uint32_t previous = PCI_CAPABILITY_LIST;

	for (size_t i = 0; i < ARRAY_SIZE(order); i++)
		if (order[i])
			link_cap(config, &previous, order[i]);
	init_vendor_caps(func, &previous);
	if (previous != PCI_CAPABILITY_LIST)
		field(config, PCI_STATUS, 2, PCI_STATUS_CAP_LIST, 0);
}

static void init_registers(struct pci_func *func)
{
	struct pci_config *config = &func->config;

	for (const struct uvfio_pci_config_register *reg = func->desc.config; reg && reg->size; reg++) {
		unsigned int shift = (reg->offset & 3) * 8;

		field(config, reg->offset, reg->size, reg->initial, reg->writable);
		config->w1c[reg->offset / 4] |= (reg->clear & pci_config_mask(reg->size)) << shift;
	}
}

const struct uvfio_pci_config_register *pci_config_register(const struct pci_func *func, uint32_t offset)
{
	for (const struct uvfio_pci_config_register *reg = func->desc.config; reg && reg->size; reg++)
		if (reg->offset == offset)
			return reg;
	return NULL;
}

void pci_config_init(struct pci_func *func)
{
	const struct uvfio_pci_desc *desc = &func->desc;
	struct pci_config *config = &func->config;

	config->size = desc->pcie ? PCI_CONFIG_MAX : PCI_CONFIG_OLD;
	pthread_mutex_init(&config->lock, NULL);
	init_header(func);
	if (desc->msix_vectors)
		init_msix(func);
	if (desc->msi_vectors)
		init_msi(func);
	if (desc->pm)
		init_pm(func);
	if (desc->pcie)
		init_exp(func);
	if (desc->pcie && desc->aer)
		init_aer(func);
	link_caps(func);
	init_registers(func);
	pci_config_restore(func);
}
