/* SPDX-License-Identifier: BSD-2-Clause */
/* The bench of test_rig.h. */
#include "devices/nvme/test_rig.h"

#include "base/options.h"

#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#define GUARD_BYTE 0xa7

/* Driver and device share memory by design, as with hardware: ThreadSanitizer looks at everything else. */
const char *__tsan_default_suppressions(void);
const char *__tsan_default_suppressions(void)
{
	return "race:copy_nofault\nrace:nvme_media_read\nrace:nvme_media_write\n";
}

/* ---- the function's side that pci/ would have */

static struct rig_func *to_rig(struct uvfio_pci_func *pub)
{
	return container_of(pub, struct rig_func, pub);
}

static void rig_irq(struct uvfio_pci_func *pub, unsigned int vector)
{
	assert_true(vector < NVME_VECTORS);
	atomic_fetch_add(&to_rig(pub)->irqs[vector], 1);
}

static void rig_intx(struct uvfio_pci_func *pub, bool level)
{
	atomic_store(&to_rig(pub)->line, level);
}

static enum uvfio_irq_mode rig_irq_mode(struct uvfio_pci_func *pub)
{
	return to_rig(pub)->mode;
}

static const struct uvfio_pci_calls rig_calls = {
	.irq = rig_irq,
	.intx = rig_intx,
	.irq_mode = rig_irq_mode,
};

/* ---- making one */

static void unmake(struct rig_func *func, struct nvme_options *opts)
{
	nvme_model.ops.destroy(&func->pub);
	model_host_destroy(&func->host);
	iommu_dev_destroy(&func->iommu);
	options_free(nvme_model.options, opts);
	free(func->pub.dev.priv);
}

static int make(struct rig_func *func, const char *options, struct nvme_options *opts, char *err,
		size_t err_len)
{
	struct uvfio_pci_desc desc = nvme_model.desc;
	int rc = options_parse(nvme_model.options, "nvme", options, opts, err, err_len);

	if (rc < 0)
		return rc;
	iommu_dev_init(&func->iommu, "0000:00:01.0");
	model_host_init(&func->host, &func->pub.dev, &func->iommu);
	func->pub.calls = &rig_calls;
	func->pub.dev.name = "0000:00:01.0";
	func->pub.dev.options = opts;
	func->pub.dev.priv = calloc(1, nvme_model.priv_size);
	assert_non_null(func->pub.dev.priv);
	rc = nvme_model.ops.create(&func->pub, &desc, err, err_len);
	if (rc)
		unmake(func, opts);
	return rc;
}

int rig_try(const char *options, char *err, size_t err_len)
{
	struct nvme_options opts = { 0 };
	struct rig_func func = { .mode = UVFIO_IRQ_MSIX };
	int rc = make(&func, options, &opts, err, err_len);

	if (!rc)
		unmake(&func, &opts);
	return rc;
}

static void map_memory(struct rig *rig)
{
	size_t size = RIG_MEMORY + 2 * RIG_GUARD;

	rig->map = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	assert_true(rig->map != MAP_FAILED);
	memset(rig->map, GUARD_BYTE, RIG_GUARD);
	memset(rig->map + RIG_GUARD + RIG_MEMORY, GUARD_BYTE, RIG_GUARD);
	rig->memory = rig->map + RIG_GUARD;
	iommu_params_default(&rig->params);
	rig->domain = iommu_domain_alloc(&rig->params);
	assert_non_null(rig->domain);
	rig->mm = mm_self();
	assert_int_equal(iommu_domain_map(rig->domain, RIG_IOVA, RIG_MEMORY, rig->mm, (uintptr_t)rig->memory,
					  IOMMU_READ | IOMMU_WRITE),
			 0);
	iommu_dev_attach(&rig->func.iommu, rig->domain);
	atomic_store(&rig->func.iommu.enabled, true);
}

struct rig *rig_new(const char *options)
{
	struct rig *rig = calloc(1, sizeof(*rig));
	char err[256] = "";

	assert_non_null(rig);
	rig->func.mode = UVFIO_IRQ_MSIX;
	if (make(&rig->func, options, &rig->opts, err, sizeof(err)))
		fail_msg("%s", err);
	map_memory(rig);
	rig->ctrl = rig->func.pub.dev.priv;
	rig_reset(rig);
	rig->worker = &rig->ctrl->workers[0];
	rig->worker->dma = dma_user_new(&rig->func.iommu, &rig->func.pub.dev);
	assert_non_null(rig->worker->dma);
	worker_dma = rig->worker->dma; /* this thread is the worker */
	return rig;
}

void rig_free(struct rig *rig)
{
	struct uvfio_dma *dma = rig->threads ? NULL : rig->worker->dma;

	if (rig->threads) {
		model_host_hold(&rig->func.host, "reset");
		nvme_model.ops.reset(&rig->func.pub);
		model_host_close(&rig->func.host);
	}
	dma_user_free(dma);
	iommu_dev_attach(&rig->func.iommu, NULL);
	unmake(&rig->func, &rig->opts);
	iommu_domain_unmap(rig->domain, RIG_IOVA, RIG_MEMORY);
	iommu_domain_free(rig->domain);
	mm_put(rig->mm);
	for (uint64_t i = 0; i < RIG_GUARD; i++) {
		assert_int_equal(rig->map[i], GUARD_BYTE);
		assert_int_equal(rig->map[RIG_GUARD + RIG_MEMORY + i], GUARD_BYTE);
	}
	munmap(rig->map, RIG_MEMORY + 2 * RIG_GUARD);
	free(rig);
}

void rig_start_threads(struct rig *rig)
{
	if (!rig->threads)
		dma_user_free(rig->worker->dma);
	rig->worker->dma = NULL;
	assert_int_equal(model_host_open(&rig->func.host), 0);
	model_host_release(&rig->func.host);
	rig->threads = true;
}

void rig_reset(struct rig *rig)
{
	model_host_hold(&rig->func.host, "reset");
	nvme_model.ops.reset(&rig->func.pub);
	model_host_release(&rig->func.host);
}

void rig_run(struct rig *rig)
{
	if (rig->threads)
		return;
	while (nvme_worker_pass(rig->worker))
		;
}

/* ---- a driver */

void *rig_at(struct rig *rig, uint64_t iova)
{
	assert_true(iova >= RIG_IOVA && iova < RIG_IOVA + RIG_MEMORY);
	return rig->memory + (iova - RIG_IOVA);
}

uint64_t rig_read(struct rig *rig, uint64_t offset, unsigned int size)
{
	return nvme_model.ops.read(&rig->func.pub, 0, offset, size);
}

void rig_write(struct rig *rig, uint64_t offset, uint64_t value, unsigned int size)
{
	nvme_model.ops.write(&rig->func.pub, 0, offset, value, size);
}

static void wait_ready(struct rig *rig, unsigned int ready)
{
	time_t end = time(NULL) + 20;

	rig_run(rig);
	while ((rig_read(rig, NVME_REG_CSTS, 4) & 1) != ready) {
		assert_true(time(NULL) < end);
		sched_yield();
	}
}

void rig_enable(struct rig *rig)
{
	memset(rig->q, 0, sizeof(rig->q));
	memset(rig_at(rig, RIG_ACQ), 0, 0x1000);
	rig->q[0] = (struct rig_queue){ .size = 32, .cq_size = 32, .phase = true };
	rig_write(rig, NVME_REG_AQA, 31 << 16 | 31, 4);
	rig_write(rig, NVME_REG_ASQ, RIG_ASQ, 8);
	rig_write(rig, NVME_REG_ACQ, RIG_ACQ, 8);
	rig_write(rig, NVME_REG_CC, 0x00460001 | rig->mps << NVME_CC_MPS_SHIFT, 4);
	wait_ready(rig, 1);
}

void rig_disable(struct rig *rig)
{
	rig_write(rig, NVME_REG_CC, 0x00460000, 4);
	wait_ready(rig, 0);
}

void rig_create_queues(struct rig *rig, uint16_t qid, uint32_t sq_size, uint32_t cq_size)
{
	struct nvme_sqe cq = { .opcode = nvme_admin_create_cq,
			       .prp1 = RIG_CQ(qid),
			       .cdw10 = (cq_size - 1) << 16 | qid,
			       .cdw11 = (uint32_t)qid << 16 | NVME_QUEUE_IEN | NVME_QUEUE_PC };
	struct nvme_sqe sq = { .opcode = nvme_admin_create_sq,
			       .prp1 = RIG_SQ(qid),
			       .cdw10 = (sq_size - 1) << 16 | qid,
			       .cdw11 = (uint32_t)qid << 16 | NVME_QUEUE_PC };

	memset(rig_at(rig, RIG_CQ(qid)), 0, cq_size * sizeof(struct nvme_cqe));
	rig->q[qid] = (struct rig_queue){ .size = sq_size, .cq_size = cq_size, .phase = true };
	assert_int_equal(rig_command(rig, 0, cq, NULL), 0);
	assert_int_equal(rig_command(rig, 0, sq, NULL), 0);
}

void rig_ring(struct rig *rig, uint16_t qid, uint32_t tail)
{
	rig_write(rig, NVME_DOORBELL_BASE + qid * 8, tail, 4);
}

void rig_submit(struct rig *rig, uint16_t qid, struct nvme_sqe *sqe)
{
	struct rig_queue *q = &rig->q[qid];
	struct nvme_sqe *sq = rig_at(rig, qid ? RIG_SQ(qid) : RIG_ASQ);

	sqe->cid = q->next_cid++;
	sq[q->tail] = *sqe;
	q->tail = (q->tail + 1) % q->size;
	rig_ring(rig, qid, q->tail);
}

bool rig_poll(struct rig *rig, uint16_t qid, struct nvme_cqe *cqe)
{
	struct rig_queue *q = &rig->q[qid];
	struct nvme_cqe *cq = rig_at(rig, qid ? RIG_CQ(qid) : RIG_ACQ);
	uint16_t status = __atomic_load_n(&cq[q->head].status, __ATOMIC_ACQUIRE);

	if ((status & 1) != q->phase)
		return false;
	*cqe = cq[q->head];
	if (++q->head == q->cq_size) {
		q->head = 0;
		q->phase = !q->phase;
	}
	rig_write(rig, NVME_DOORBELL_BASE + qid * 8 + 4, q->head, 4);
	return true;
}

uint16_t rig_command(struct rig *rig, uint16_t qid, struct nvme_sqe sqe, uint32_t *result)
{
	time_t end = time(NULL) + 20;
	struct nvme_cqe cqe;

	rig_submit(rig, qid, &sqe);
	rig_run(rig);
	while (!rig_poll(rig, qid, &cqe)) {
		assert_true(time(NULL) < end);
		sched_yield();
	}
	rig_run(rig);
	assert_int_equal(cqe.cid, sqe.cid);
	assert_int_equal(cqe.sqid, qid);
	if (result)
		*result = cqe.result;
	return cqe.status >> 1;
}

uint16_t rig_rw(struct rig *rig, uint8_t opcode, uint64_t slba, uint32_t nlb, uint64_t prp1, uint64_t prp2)
{
	struct nvme_sqe sqe = { .opcode = opcode,
				.nsid = 1,
				.prp1 = prp1,
				.prp2 = prp2,
				.cdw10 = (uint32_t)slba,
				.cdw11 = (uint32_t)(slba >> 32),
				.cdw12 = nlb - 1 };

	return rig_command(rig, 1, sqe, NULL);
}
