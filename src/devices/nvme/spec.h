/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What NVM Express 1.4 defines and libnvme's <nvme/types.h> lacks: the entries of the queues, on which its
 * users never lay hands. Everything in memory and in registers is little-endian, and so is the host.
 */
#ifndef UVFIO_DEVICES_NVME_SPEC_H
#define UVFIO_DEVICES_NVME_SPEC_H

#include "base/base.h"

#include <nvme/types.h>

#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "the controller copies little-endian structures as they are"
#endif

/* Submission queue entry. */
struct nvme_sqe {
	uint8_t opcode;
	uint8_t flags; /* FUSE in bits 1:0, PSDT in bits 7:6 */
	uint16_t cid;
	uint32_t nsid;
	uint32_t cdw2, cdw3;
	uint64_t mptr;
	uint64_t prp1, prp2;
	uint32_t cdw10, cdw11, cdw12, cdw13, cdw14, cdw15;
};
_Static_assert(sizeof(struct nvme_sqe) == 64, "submission queue entry");

#define NVME_SQE_FUSE 0x03
#define NVME_SQE_PSDT 0xc0

/* Completion queue entry. The phase tag is bit 0 of the status word. */
struct nvme_cqe {
	uint32_t result;
	uint32_t rsvd;
	uint16_t sqhd;
	uint16_t sqid;
	uint16_t cid;
	uint16_t status;
};
_Static_assert(sizeof(struct nvme_cqe) == 16, "completion queue entry");

#define NVME_SQES_SHIFT 6
#define NVME_CQES_SHIFT 4

/* Statuses as they are used here: type, code and the do-not-retry bit in one number. */
#define NVME_CMD_SPECIFIC(code) ((NVME_SCT_CMD_SPECIFIC << NVME_SCT_SHIFT) | (code))
#define NVME_MEDIA(code)        ((NVME_SCT_MEDIA << NVME_SCT_SHIFT) | (code))
#define NVME_DNR(status)        ((uint16_t)((status) | NVME_SC_DNR))

/* Create I/O queue, cdw11. */
#define NVME_QUEUE_PC      0x1 /* physically contiguous */
#define NVME_QUEUE_IEN     0x2 /* completion queue: interrupts enabled */

#define NVME_DOORBELL_BASE 0x1000

#endif
