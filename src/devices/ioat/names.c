/* SPDX-License-Identifier: BSD-2-Clause */
/* Names of registers, fields and operations, for traces. */
#include "devices/ioat/ioat.h"

#define END                                                                                                  \
	{                                                                                                    \
		0, 0, NULL, NULL                                                                             \
	}

static const char *const states[] = { "ACTIVE", "IDLE", "SUSPENDED", "HALTED", "ARMED", NULL };

static const struct uvfio_field intrctrl[] = {
	{ 0, 0, "MASTER_INT_EN", NULL },
	{ 1, 1, "INT_STATUS", NULL },
	{ 2, 2, "INT", NULL },
	{ 3, 3, "MSIX_VECTOR_CONTROL", NULL },
	END,
};

static const struct uvfio_field cbver[] = {
	{ 0, 3, "MINOR", NULL },
	{ 4, 7, "MAJOR", NULL },
	END,
};

static const struct uvfio_field intrdelay[] = {
	{ 0, 13, "DELAY", NULL },
	{ 15, 15, "COALESCING", NULL },
	END,
};

static const struct uvfio_field dmacap[] = {
	{ 0, 0, "PAGE_BREAK", NULL }, { 4, 4, "DCA", NULL },
	{ 6, 6, "FILL", NULL },       { 8, 8, "XOR", NULL },
	{ 9, 9, "PQ", NULL },         { 10, 10, "DIF", NULL },
	{ 13, 13, "DWBES", NULL },    { 17, 17, "RAID16SS", NULL },
	{ 23, 23, "DPS", NULL },      END,
};

static const struct uvfio_field chanctrl[] = {
	{ 0, 0, "INT_REARM", NULL },        { 2, 2, "ERR_COMPLETION_EN", NULL },
	{ 3, 3, "ANY_ERR_ABORT_EN", NULL }, { 4, 4, "ERR_INT_EN", NULL },
	{ 8, 8, "CHANNEL_IN_USE", NULL },   { 9, 9, "COMPL_DCA_EN", NULL },
	{ 12, 15, "PRIORITY", NULL },       END,
};

static const struct uvfio_field dma_comp[] = {
	{ 0, 0, "V1", NULL },
	{ 1, 1, "V2", NULL },
	END,
};

static const struct uvfio_field chancmd[] = {
	{ 0, 0, "START", NULL },
	{ 1, 1, "APPEND", NULL },
	{ 2, 2, "SUSPEND", NULL },
	{ 3, 3, "ABORT", NULL },
	{ 4, 4, "RESUME", NULL },
	{ 5, 5, "RESET", NULL },
	END,
};

static const struct uvfio_field chansts[] = {
	{ 0, 2, "STATE", states },
	{ 3, 3, "UNAFFILIATED_ERR", NULL },
	{ 4, 4, "SOFT_ERR", NULL },
	{ 6, 63, "COMPLETED_64", NULL },
	END,
};

static const struct uvfio_field chanerr[] = {
	{ 0, 0, "SRC_ADDR", NULL },
	{ 1, 1, "DEST_ADDR", NULL },
	{ 2, 2, "NEXT_ADDR", NULL },
	{ 3, 3, "NEXT_DESC_ALIGN", NULL },
	{ 4, 4, "CHAIN_ADDR_VALUE", NULL },
	{ 5, 5, "CHANCMD", NULL },
	{ 6, 6, "CHIPSET_DATA_INTEGRITY", NULL },
	{ 7, 7, "DMA_DATA_INTEGRITY", NULL },
	{ 8, 8, "READ_DATA", NULL },
	{ 9, 9, "WRITE_DATA", NULL },
	{ 10, 10, "CONTROL", NULL },
	{ 11, 11, "LENGTH", NULL },
	{ 12, 12, "COMPLETION_ADDR", NULL },
	{ 13, 13, "INT_CONFIGURATION", NULL },
	{ 14, 14, "SED_ADDR", NULL },
	{ 15, 15, "UNAFFILIATED", NULL },
	{ 16, 16, "XOR_P", NULL },
	{ 17, 17, "XOR_Q", NULL },
	{ 18, 18, "DESCRIPTOR_COUNT", NULL },
	END,
};

static const struct uvfio_field drsctl[] = {
	{ 0, 3, "SIZE", NULL },
	{ 8, 8, "EN", NULL },
	{ 9, 9, "AUTOWRAP", NULL },
	END,
};

const struct uvfio_register ioat_registers[] = {
	{ IOAT_REG_CHANCNT, 1, "CHANCNT", 1, 0, NULL },
	{ IOAT_REG_XFERCAP, 1, "XFERCAP", 1, 0, NULL },
	{ IOAT_REG_GENCTRL, 1, "GENCTRL", 1, 0, NULL },
	{ IOAT_REG_INTRCTRL, 1, "INTRCTRL", 1, 0, intrctrl },
	{ IOAT_REG_ATTNSTATUS, 4, "ATTNSTATUS", 1, 0, NULL },
	{ IOAT_REG_CBVER, 1, "CBVER", 1, 0, cbver },
	{ IOAT_REG_INTRDELAY, 2, "INTRDELAY", 1, 0, intrdelay },
	{ IOAT_REG_CS_STATUS, 2, "CS_STATUS", 1, 0, NULL },
	{ IOAT_REG_DMACAP, 4, "DMACAPABILITY", 1, 0, dmacap },
	{ IOAT_REG_DCAOFFSET, 2, "DCAOFFSET", 1, 0, NULL },
	{ IOAT_REG_CHWPREFLMT, 1, "CHWPREFLMT", 1, 0, NULL },
	{ IOAT_REG_CHANCTRL, 2, "CHANCTRL", 1, 0, chanctrl },
	{ IOAT_REG_DMA_COMP, 2, "DMA_COMP", 1, 0, dma_comp },
	{ IOAT_REG_CHANCMD, 1, "CHANCMD", 1, 0, chancmd },
	{ IOAT_REG_DMACOUNT, 2, "DMACOUNT", 1, 0, NULL },
	{ IOAT_REG_CHANSTS, 8, "CHANSTS", 1, 0, chansts },
	{ IOAT_REG_CHAINADDR, 8, "CHAINADDR", 1, 0, NULL },
	{ IOAT_REG_CHANCMP, 8, "CHANCMP", 1, 0, NULL },
	{ IOAT_REG_CDAR, 8, "CDAR", 1, 0, NULL },
	{ IOAT_REG_CHANERR, 4, "CHANERR", 1, 0, chanerr },
	{ IOAT_REG_CHANERRMSK, 4, "CHANERRMSK", 1, 0, chanerr },
	{ IOAT_REG_DCACTRL, 4, "DCACTRL", 1, 0, NULL },
	{ IOAT_REG_DRSCTL, 2, "DRSCTL", 1, 0, drsctl },
	{ IOAT_REG_LTR_SWSEL, 1, "LTR_SWSEL", 1, 0, NULL },
	{ IOAT_REG_LTR_ACTIVE, 4, "LTR_ACTIVE", 1, 0, NULL },
	{ IOAT_REG_LTR_IDLE, 4, "LTR_IDLE", 1, 0, NULL },
	{ 0, 0, NULL, 0, 0, NULL },
};

const char *ioat_op_name(const struct ioat_desc *desc)
{
	switch (IOAT_DESC_OP(desc->ctl)) {
	case IOAT_OP_COPY:
		return desc->ctl & IOAT_DESC_NULL ? "null" : "copy";
	case IOAT_OP_FILL:
		return desc->ctl & IOAT_DESC_NULL ? "null" : "fill";
	case IOAT_OP_XOR:
		return "xor";
	case IOAT_OP_XOR_VAL:
		return "xor validate";
	case IOAT_OP_PQ:
	case IOAT_OP_PQ16:
		return "pq";
	case IOAT_OP_PQ_VAL:
	case IOAT_OP_PQ16_VAL:
		return "pq validate";
	case IOAT_OP_PQ_UPDATE:
		return "pq update";
	default:
		return "unknown";
	}
}
