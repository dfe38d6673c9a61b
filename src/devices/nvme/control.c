/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Enabling, resetting and shutting down the controller: what CC asks for, done by a worker or by a reset's
 * thread. control_lock is held throughout, and the controller is frozen while its queues appear or go.
 */
#include "devices/nvme/nvme.h"

#include <string.h>

bool nvme_running(struct nvme_ctrl *ctrl)
{
	uint32_t csts = atomic_load_explicit(&ctrl->csts, memory_order_acquire);

	return NVME_CSTS_RDY(csts) && !NVME_CSTS_CFS(csts);
}

void nvme_fatal(struct nvme_ctrl *ctrl)
{
	atomic_fetch_or(&ctrl->csts, 1u << NVME_CSTS_CFS_SHIFT);
}

static uint64_t pair(_Atomic uint32_t *halves)
{
	return atomic_load(&halves[0]) | (uint64_t)atomic_load(&halves[1]) << 32;
}

/* What is wrong with the configuration, or NULL. */
static const char *config_error(uint32_t cc, uint32_t aqa, uint64_t page, uint64_t asq, uint64_t acq)
{
	if (NVME_CC_CSS(cc) != NVME_CC_CSS_NVM)
		return "CC.CSS must be 0, the NVM command set";
	if (NVME_CC_AMS(cc) != NVME_CC_AMS_RR)
		return "CC.AMS must be 0, round robin";
	if (NVME_CC_MPS(cc) > NVME_CAP_MPSMAX(nvme_cap()))
		return "CC.MPS is above CAP.MPSMAX";
	if (NVME_CC_IOSQES(cc) && NVME_CC_IOSQES(cc) != NVME_SQES_SHIFT)
		return "CC.IOSQES must be 6";
	if (NVME_CC_IOCQES(cc) && NVME_CC_IOCQES(cc) != NVME_CQES_SHIFT)
		return "CC.IOCQES must be 4";
	if (!NVME_AQA_ASQS(aqa) || !NVME_AQA_ACQS(aqa))
		return "AQA: each admin queue needs at least two entries";
	if (!is_aligned(asq, page) || !is_aligned(acq, page))
		return "ASQ and ACQ must be aligned to the page size of CC.MPS";
	return NULL;
}

static void enable(struct nvme_ctrl *ctrl)
{
	uint32_t cc = atomic_load(&ctrl->cc);
	uint32_t aqa = atomic_load(&ctrl->aqa);
	uint64_t asq = pair(ctrl->asq);
	uint64_t acq = pair(ctrl->acq);
	uint64_t page = UVFIO_PAGE_SIZE << NVME_CC_MPS(cc);
	const char *error = config_error(cc, aqa, page, asq, acq);

	if (error) {
		uvfio_log_once(&ctrl->func->dev, (uintptr_t)error,
			       "the controller cannot be enabled (CSTS.CFS): %s", error);
		nvme_fatal(ctrl);
		return;
	}
	ctrl->page = page;
	nvme_features_reset(ctrl);
	nvme_cq_create(ctrl, 0, NVME_AQA_ACQS(aqa) + 1u, acq, 0, true);
	nvme_sq_create(ctrl, 0, NVME_AQA_ASQS(aqa) + 1u, asq, &ctrl->cq[0]);
	atomic_fetch_or(&ctrl->csts, 1u << NVME_CSTS_RDY_SHIFT);
}

/* Frozen: forget everything that the driver has set up. */
static void drop(struct nvme_ctrl *ctrl)
{
	nvme_queues_drop(ctrl);
	nvme_events_reset(ctrl);
	atomic_store(&ctrl->kicks[0], 0);
	atomic_store(&ctrl->kicks[1], 0);
	atomic_store(&ctrl->unstall, false);
	if (atomic_exchange(&ctrl->line, false))
		uvfio_pci_intx(ctrl->func, false);
}

void nvme_do_control(struct nvme_ctrl *ctrl)
{
	uint32_t what;

	pthread_mutex_lock(&ctrl->control_lock);
	what = atomic_exchange(&ctrl->control, 0);
	if (what & NVME_CONTROL_RESET) {
		nvme_freeze(ctrl);
		drop(ctrl);
		atomic_store(&ctrl->intms, 0);
		atomic_store(&ctrl->csts, 0);
		nvme_thaw(ctrl);
	}
	if (what & NVME_CONTROL_SHUTDOWN && NVME_CC_SHN(atomic_load(&ctrl->cc))) {
		nvme_media_flush(&ctrl->media);
		atomic_fetch_and(&ctrl->csts, ~(uint32_t)(NVME_CSTS_SHST_MASK << NVME_CSTS_SHST_SHIFT));
		atomic_fetch_or(&ctrl->csts, NVME_CSTS_SHST_CMPLT << NVME_CSTS_SHST_SHIFT);
	}
	if (NVME_CC_EN(atomic_load(&ctrl->cc)) && what & NVME_CONTROL_ENABLE &&
	    !(atomic_load(&ctrl->csts) & (1u << NVME_CSTS_RDY_SHIFT | 1u << NVME_CSTS_CFS_SHIFT))) {
		nvme_freeze(ctrl);
		enable(ctrl);
		nvme_thaw(ctrl);
	}
	pthread_mutex_unlock(&ctrl->control_lock);
}

void nvme_full_reset(struct nvme_ctrl *ctrl)
{
	pthread_mutex_lock(&ctrl->control_lock);
	nvme_freeze(ctrl);
	atomic_store(&ctrl->control, 0);
	drop(ctrl);
	nvme_features_reset(ctrl);
	nvme_regs_reset(ctrl);
	nvme_thaw(ctrl);
	pthread_mutex_unlock(&ctrl->control_lock);
}
