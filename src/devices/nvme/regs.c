/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The controller's registers as clients see them. Everything here may run in a signal handler: it stores and
 * kicks.
 *
 * An access of any width is cut into the 32-bit registers it touches; a narrower write changes only its
 * bytes.
 */
#include "devices/nvme/nvme.h"

#define CC_RW 0x00fffff1u /* reserved bits read zero */

uint64_t nvme_cap(void)
{
	return (uint64_t)NVME_MQES << NVME_CAP_MQES_SHIFT | 1ull << NVME_CAP_CQR_SHIFT |
	       30ull << NVME_CAP_TO_SHIFT | (uint64_t)NVME_CAP_CSS_NVM << NVME_CAP_CSS_SHIFT |
	       4ull << NVME_CAP_MPSMAX_SHIFT;
}

void nvme_regs_reset(struct nvme_ctrl *ctrl)
{
	atomic_store(&ctrl->cc, 0);
	atomic_store(&ctrl->csts, 0);
	atomic_store(&ctrl->intms, 0);
	atomic_store(&ctrl->aqa, 0);
	for (int i = 0; i < 2; i++) {
		atomic_store(&ctrl->asq[i], 0);
		atomic_store(&ctrl->acq[i], 0);
	}
}

static uint32_t read32(struct nvme_ctrl *ctrl, uint64_t offset)
{
	switch (offset) {
	case NVME_REG_CAP:
		return (uint32_t)nvme_cap();
	case NVME_REG_CAP + 4:
		return (uint32_t)(nvme_cap() >> 32);
	case NVME_REG_VS:
		return NVME_VERSION;
	case NVME_REG_INTMS:
	case NVME_REG_INTMC:
		return atomic_load(&ctrl->intms);
	case NVME_REG_CC:
		return atomic_load(&ctrl->cc);
	case NVME_REG_CSTS:
		return atomic_load(&ctrl->csts);
	case NVME_REG_AQA:
		return atomic_load(&ctrl->aqa);
	case NVME_REG_ASQ:
	case NVME_REG_ASQ + 4:
		return atomic_load(&ctrl->asq[(offset - NVME_REG_ASQ) / 4]);
	case NVME_REG_ACQ:
	case NVME_REG_ACQ + 4:
		return atomic_load(&ctrl->acq[(offset - NVME_REG_ACQ) / 4]);
	default:
		return 0;
	}
}

uint64_t nvme_bar_read(struct uvfio_pci_func *func, unsigned int bar, uint64_t offset, unsigned int size)
{
	struct nvme_ctrl *ctrl = func->dev.priv;
	uint64_t aligned = offset & ~(uint64_t)7;
	uint64_t value;

	if (bar != 0 || offset >= NVME_DOORBELL_BASE)
		return 0;
	value = read32(ctrl, aligned) | (uint64_t)read32(ctrl, aligned + 4) << 32;
	value >>= (offset & 7) * 8;
	return size < 8 ? value & (BIT64(size * 8) - 1) : value;
}

/* Change the bits of mask; returns the old value. */
static uint32_t merge(_Atomic uint32_t *reg, uint32_t value, uint32_t mask)
{
	uint32_t old = atomic_load(reg);

	while (!atomic_compare_exchange_weak(reg, &old, (old & ~mask) | (value & mask)))
		;
	return old;
}

static void write_cc(struct nvme_ctrl *ctrl, uint32_t value, uint32_t mask)
{
	uint32_t old = merge(&ctrl->cc, value, mask & CC_RW);
	uint32_t cc = (old & ~(mask & CC_RW)) | (value & mask & CC_RW);
	unsigned int what = 0;

	if (NVME_CC_EN(old) && !NVME_CC_EN(cc))
		what |= NVME_CONTROL_RESET;
	if (!NVME_CC_EN(old) && NVME_CC_EN(cc))
		what |= NVME_CONTROL_ENABLE;
	if (NVME_CC_SHN(cc) && NVME_CC_SHN(cc) != NVME_CC_SHN(old)) {
		merge(&ctrl->csts, NVME_CSTS_SHST_OCCUR << NVME_CSTS_SHST_SHIFT,
		      NVME_CSTS_SHST_MASK << NVME_CSTS_SHST_SHIFT);
		what |= NVME_CONTROL_SHUTDOWN;
	}
	if (what)
		nvme_kick_control(ctrl, what);
}

static void write32(struct nvme_ctrl *ctrl, uint64_t offset, uint32_t value, uint32_t mask)
{
	switch (offset) {
	case NVME_REG_INTMS:
		atomic_fetch_or(&ctrl->intms, value & mask);
		break;
	case NVME_REG_INTMC:
		atomic_fetch_and(&ctrl->intms, ~(value & mask));
		break;
	case NVME_REG_CC:
		write_cc(ctrl, value, mask);
		return;
	case NVME_REG_AQA:
		merge(&ctrl->aqa, value, mask & 0x0fff0fff);
		return;
	case NVME_REG_ASQ:
	case NVME_REG_ASQ + 4:
		merge(&ctrl->asq[(offset - NVME_REG_ASQ) / 4], value,
		      offset == NVME_REG_ASQ ? mask & ~0xfffu : mask);
		return;
	case NVME_REG_ACQ:
	case NVME_REG_ACQ + 4:
		merge(&ctrl->acq[(offset - NVME_REG_ACQ) / 4], value,
		      offset == NVME_REG_ACQ ? mask & ~0xfffu : mask);
		return;
	default:
		return;
	}
	atomic_store(&ctrl->intx_check, true);
	nvme_kick(ctrl);
}

static void write_doorbell(struct nvme_ctrl *ctrl, uint64_t offset, uint32_t value)
{
	uint64_t index = (offset - NVME_DOORBELL_BASE) / 4;

	if (!nvme_running(ctrl))
		return;
	if (index / 2 > ctrl->queues)
		nvme_event_raise(ctrl, NVME_EVENT_INVALID_DB_REG);
	else if (index & 1)
		nvme_cq_doorbell(ctrl, (unsigned int)(index / 2), value & 0xffff);
	else
		nvme_sq_doorbell(ctrl, (unsigned int)(index / 2), value & 0xffff);
}

void nvme_bar_write(struct uvfio_pci_func *func, unsigned int bar, uint64_t offset, uint64_t value,
		    unsigned int size)
{
	struct nvme_ctrl *ctrl = func->dev.priv;
	uint64_t mask = size < 8 ? BIT64(size * 8) - 1 : UINT64_MAX;
	unsigned int shift = (offset & 3) * 8;
	uint64_t aligned = offset & ~(uint64_t)3;

	if (bar != 0)
		return;
	if (offset >= NVME_DOORBELL_BASE) {
		/* A doorbell is a 32-bit register; a 64-bit store reaches two of them. */
		if (size < 4)
			return;
		write_doorbell(ctrl, offset, (uint32_t)value);
		if (size == 8)
			write_doorbell(ctrl, offset + 4, (uint32_t)(value >> 32));
		return;
	}
	if ((uint32_t)(mask << shift))
		write32(ctrl, aligned, (uint32_t)(value << shift), (uint32_t)(mask << shift));
	if (size == 8)
		write32(ctrl, aligned + 4, (uint32_t)(value >> 32), UINT32_MAX);
}
