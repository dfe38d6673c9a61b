/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * libFuzzer: the NVMe controller's command path.
 *
 * The input is a little program of register stores, memory contents and queue entries for an enabled
 * controller with one I/O queue pair. The controller's work is done in this thread, so that an input always
 * does the same.
 */
#include "input.h"

#include "devices/models.h"
#include "devices/nvme/nvme.h"

#include "base/options.h"
#include "model/model.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define IOVA    0x10000ull
#define MEMORY  (256u << 10)
#define GUARD   4096u
#define ENTRIES 16u
#define ASQ     IOVA
#define ACQ     (IOVA + 0x1000)
#define SQ      (IOVA + 0x2000)
#define CQ      (IOVA + 0x3000)
#define DATA    (IOVA + 0x4000)

static struct uvfio_pci_func func;
static struct iommu_dev iommu;
static struct model_host host;
static struct nvme_ctrl *ctrl;
static uint8_t *map, *memory;
static uint32_t tails[2];

/* ---- the function's side */

static void fuzz_irq(struct uvfio_pci_func *f, unsigned int vector)
{
	(void)f;
	if (vector >= NVME_VECTORS)
		abort();
}

static void fuzz_intx(struct uvfio_pci_func *f, bool level)
{
	(void)f;
	(void)level;
}

static enum uvfio_irq_mode fuzz_irq_mode(struct uvfio_pci_func *f)
{
	(void)f;
	return UVFIO_IRQ_MSIX;
}

static const struct uvfio_pci_calls fuzz_calls = {
	.irq = fuzz_irq,
	.intx = fuzz_intx,
	.irq_mode = fuzz_irq_mode,
};

/* ---- set-up, once */

static void make_memory(void)
{
	static struct iommu_params params;
	struct iommu_domain *domain;

	map = mmap(NULL, MEMORY + 2 * GUARD, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (map == MAP_FAILED)
		abort();
	memset(map, 0xa7, MEMORY + 2 * GUARD);
	memory = map + GUARD;
	iommu_params_default(&params);
	domain = iommu_domain_alloc(&params);
	if (!domain ||
	    iommu_domain_map(domain, IOVA, MEMORY, mm_self(), (uintptr_t)memory, IOMMU_READ | IOMMU_WRITE))
		abort();
	iommu_dev_init(&iommu, "fuzz");
	iommu_dev_attach(&iommu, domain);
	atomic_store(&iommu.enabled, true);
	atomic_store(&iommu.faults_reported, UINT32_MAX); /* faults are expected and not worth a line */
}

static void make_controller(void)
{
	static struct nvme_options opts;
	struct uvfio_pci_desc desc = nvme_model.desc;
	char err[256];

	if (options_parse(nvme_model.options, "nvme", "size=1M,ns=2,queues=4", &opts, err, sizeof(err)) < 0)
		abort();
	model_host_init(&host, &func.dev, &iommu);
	func.calls = &fuzz_calls;
	func.dev.name = "fuzz";
	func.dev.options = &opts;
	func.dev.priv = ctrl = calloc(1, nvme_model.priv_size);
	if (!ctrl || nvme_model.ops.create(&func, &desc, err, sizeof(err)))
		abort();
	ctrl->workers[0].dma = dma_user_new(&iommu, &func.dev);
	if (!ctrl->workers[0].dma)
		abort();
	worker_dma = ctrl->workers[0].dma; /* this thread is the worker */
}

static void run(void)
{
	while (nvme_worker_pass(&ctrl->workers[0]))
		;
}

static void store(uint64_t offset, uint64_t value, unsigned int bytes)
{
	nvme_model.ops.write(&func, 0, offset, value, bytes);
}

static void submit(unsigned int q, const struct nvme_sqe *sqe)
{
	memcpy(memory + (q ? SQ : ASQ) - IOVA + tails[q] * sizeof(*sqe), sqe, sizeof(*sqe));
	tails[q] = (tails[q] + 1) % ENTRIES;
	store(NVME_DOORBELL_BASE + q * 8, tails[q], 4);
}

static void bring_up(void)
{
	struct nvme_sqe cq = {
		.opcode = nvme_admin_create_cq, .prp1 = CQ, .cdw10 = (ENTRIES - 1) << 16 | 1, .cdw11 = 3
	};
	struct nvme_sqe sq = { .opcode = nvme_admin_create_sq,
			       .prp1 = SQ,
			       .cdw10 = (ENTRIES - 1) << 16 | 1,
			       .cdw11 = 1 << 16 | 1 };

	nvme_model.ops.reset(&func);
	tails[0] = tails[1] = 0;
	store(NVME_REG_AQA, (ENTRIES - 1) << 16 | (ENTRIES - 1), 4);
	store(NVME_REG_ASQ, ASQ, 8);
	store(NVME_REG_ACQ, ACQ, 8);
	store(NVME_REG_CC, 0x00460001, 4);
	run();
	submit(0, &cq);
	run();
	submit(0, &sq);
	run();
	store(NVME_DOORBELL_BASE + 4, 2, 4);
	run();
}

/* ---- the input */

/* An address that often means something. */
static uint64_t take_address(struct input *in)
{
	uint64_t value = take(in, 4);

	return value >> 31 ? value << 20 : IOVA + value % (MEMORY + 8192);
}

static void take_entry(struct input *in, unsigned int q)
{
	struct nvme_sqe sqe = { .opcode = (uint8_t)take(in, 1), .flags = (uint8_t)take(in, 1) & 0xc3 };

	if (sqe.flags & 2) /* mostly no flags at all */
		sqe.flags = 0;
	sqe.cid = (uint16_t)take(in, 2);
	sqe.nsid = (uint32_t)take(in, 1);
	sqe.prp1 = take_address(in);
	sqe.prp2 = take_address(in);
	sqe.cdw10 = (uint32_t)take(in, 4);
	sqe.cdw11 = (uint32_t)take(in, 4);
	sqe.cdw12 = (uint32_t)take(in, 4) & 0xfff000ff;
	sqe.cdw13 = (uint32_t)take(in, 1);
	submit(q, &sqe);
}

static void take_memory(struct input *in)
{
	uint64_t at = take(in, 3) % MEMORY;
	size_t want = take(in, 1), have = MIN(want, in->left), room = MEMORY - at;

	take_bytes(in, memory + at, MIN(have, room));
}

static void take_prp(struct input *in)
{
	uint64_t at = take(in, 3) % (MEMORY / 8) * 8;
	uint64_t value = take_address(in);

	memcpy(memory + at, &value, sizeof(value));
}

static void take_step(struct input *in)
{
	unsigned int bytes;
	uint64_t offset;

	switch (take(in, 1) % 8) {
	case 0:
		bytes = 1u << take(in, 1) % 4;
		offset = take(in, 2) % 0x1220 & ~(uint64_t)(bytes - 1);
		store(offset, take(in, bytes), bytes);
		break;
	case 1:
	case 2:
		take_entry(in, 1);
		break;
	case 3:
		take_entry(in, 0);
		break;
	case 4:
		take_memory(in);
		break;
	case 5:
		take_prp(in);
		break;
	case 6:
		offset = NVME_DOORBELL_BASE + take(in, 1) % 12 * 4;
		store(offset, take(in, 1) % (ENTRIES + 2), 4);
		break;
	default:
		run();
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input in = { data, size };

	if (!ctrl) {
		make_memory();
		make_controller();
	}
	bring_up();
	if (!nvme_running(ctrl))
		abort();
	while (in.left)
		take_step(&in);
	run();
	for (unsigned int i = 0; i < GUARD; i++)
		if (map[i] != 0xa7 || memory[MEMORY + i] != 0xa7)
			abort();
	return 0;
}
