/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A bench for the controller: a PCI function that counts interrupts, a domain with one stretch of memory, and
 * a small driver. The controller's work is done by rig_run() in the test's own thread, so that tests are
 * deterministic; or by its threads, after rig_start_threads().
 */
#ifndef UVFIO_DEVICES_NVME_TEST_RIG_H
#define UVFIO_DEVICES_NVME_TEST_RIG_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "devices/models.h"
#include "devices/nvme/nvme.h"
#include "model/model.h"

#define RIG_IOVA   0x100000ull
#define RIG_MEMORY (8ull << 20)
#define RIG_GUARD  (64ull << 10) /* on both sides, filled with a pattern that nothing may change */

/* Where the driver keeps its things; tests use the memory from RIG_DATA on. */
#define RIG_ASQ     (RIG_IOVA)
#define RIG_ACQ     (RIG_IOVA + 0x10000)
#define RIG_SQ(qid) (RIG_IOVA + (qid)*0x20000ull) /* on pages of 64 KiB; qid below 16 */
#define RIG_CQ(qid) (RIG_SQ(qid) + 0x10000)
#define RIG_DATA    (RIG_IOVA + 0x200000)

struct rig_func {
	struct uvfio_pci_func pub;
	struct iommu_dev iommu;
	struct model_host host;
	enum uvfio_irq_mode mode;
	_Atomic unsigned int irqs[NVME_VECTORS];
	_Atomic bool line;
};

struct rig_queue {
	uint32_t size, tail, head;
	uint32_t cq_size;
	bool phase;
	uint16_t next_cid;
};

struct rig {
	struct rig_func func;
	struct iommu_params params;
	struct iommu_domain *domain;
	struct mm *mm;
	uint8_t *map;    /* guards included */
	uint8_t *memory; /* at RIG_IOVA */
	struct nvme_options opts;
	struct nvme_ctrl *ctrl;
	struct nvme_worker *worker; /* whose work rig_run() does */
	bool threads;
	uint32_t mps; /* for CC */
	struct rig_queue q[NVME_QIDS];
};

/* options: "ns=2,lba=4096"; fails the test when the controller cannot be made. */
struct rig *rig_new(const char *options);
void rig_free(struct rig *rig);                              /* checks the guards */
int rig_try(const char *options, char *err, size_t err_len); /* only make and destroy the controller */
void rig_start_threads(struct rig *rig);
void rig_reset(struct rig *rig); /* as pci/ does it */
void rig_run(struct rig *rig);   /* until nothing is left to do; does nothing with threads */

void *rig_at(struct rig *rig, uint64_t iova);
uint64_t rig_read(struct rig *rig, uint64_t offset, unsigned int size);
void rig_write(struct rig *rig, uint64_t offset, uint64_t value, unsigned int size);
void rig_enable(struct rig *rig); /* admin queue of 32, and waits until ready */
void rig_disable(struct rig *rig);
void rig_create_queues(struct rig *rig, uint16_t qid, uint32_t sq_size, uint32_t cq_size);

void rig_submit(struct rig *rig, uint16_t qid, struct nvme_sqe *sqe); /* fills in the cid; rings */
void rig_ring(struct rig *rig, uint16_t qid, uint32_t tail);
bool rig_poll(struct rig *rig, uint16_t qid,
	      struct nvme_cqe *cqe); /* takes one if there is one; rings the head */
/* Submit, wait, and return the status without the phase; the result goes to *result when not NULL. */
uint16_t rig_command(struct rig *rig, uint16_t qid, struct nvme_sqe sqe, uint32_t *result);
uint16_t rig_rw(struct rig *rig, uint8_t opcode, uint64_t slba, uint32_t nlb, uint64_t prp1, uint64_t prp2);

#endif
