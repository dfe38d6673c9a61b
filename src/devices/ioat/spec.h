/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Registers and descriptors of Intel's I/OAT copy engine (Crystal Beach DMA), versions 3.3 and 3.4, as far
 * as this model has them. Everything is little-endian, and so is the host.
 */
#ifndef UVFIO_DEVICES_IOAT_SPEC_H
#define UVFIO_DEVICES_IOAT_SPEC_H

#include "base/base.h"

#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "the engine reads little-endian structures as they are"
#endif

/* ---- BAR0. The one channel's registers begin at 0x80. */

#define IOAT_REG_CHANCNT     0x00
#define IOAT_REG_XFERCAP     0x01
#define IOAT_REG_GENCTRL     0x02
#define IOAT_REG_INTRCTRL    0x03
#define IOAT_REG_ATTNSTATUS  0x04
#define IOAT_REG_CBVER       0x08
#define IOAT_REG_INTRDELAY   0x0c
#define IOAT_REG_CS_STATUS   0x0e
#define IOAT_REG_DMACAP      0x10
#define IOAT_REG_DCAOFFSET   0x14
#define IOAT_REG_CHWPREFLMT  0x4c
#define IOAT_REG_CHANCTRL    0x80
#define IOAT_REG_DMA_COMP    0x82
#define IOAT_REG_CHANCMD     0x84
#define IOAT_REG_DMACOUNT    0x86
#define IOAT_REG_CHANSTS     0x88
#define IOAT_REG_CHAINADDR   0x90
#define IOAT_REG_CHANCMP     0x98
#define IOAT_REG_CDAR        0xa0
#define IOAT_REG_CHANERR     0xa8
#define IOAT_REG_CHANERRMSK  0xac
#define IOAT_REG_DCACTRL     0xb0
#define IOAT_REG_DRSCTL      0x136
#define IOAT_REG_LTR_SWSEL   0x13c
#define IOAT_REG_LTR_ACTIVE  0x140
#define IOAT_REG_LTR_IDLE    0x144

#define IOAT_REGS_SIZE       0x1000 /* the rest of the BAR is MSI-X and nothing */
#define IOAT_BAR_SIZE        0x4000
#define IOAT_MSIX_TABLE      0x2000
#define IOAT_MSIX_PBA        0x3000

#define IOAT_INTRCTRL_MASTER 0x01 /* interrupts by MSI and INTx */
#define IOAT_INTRCTRL_STATUS 0x02 /* the channel wants attention */
#define IOAT_INTRCTRL_INT    0x04 /* and may have it */
#define IOAT_INTRCTRL_MSIX   0x08 /* one MSI-X vector for each channel */

#define IOAT_CAP_FILL        BIT32(6)
#define IOAT_CAP_XOR         BIT32(8)
#define IOAT_CAP_PQ          BIT32(9)
#define IOAT_CAP_PQ16        BIT32(17) /* up to 16 sources */
#define IOAT_CAP_PREFETCH    BIT32(23) /* descriptor prefetch: CHWPREFLMT and DRSCTL */

#define IOAT_DMA_COMP_V2     0x0002

#define IOAT_CTRL_REARM      0x0001 /* reads as 0 */
#define IOAT_CTRL_ERR_COMPL  0x0004 /* errors are written to CHANCMP */
#define IOAT_CTRL_ERR_ABORT  0x0008 /* an error halts the channel */
#define IOAT_CTRL_ERR_INT    0x0010 /* an error interrupts */

#define IOAT_CMD_SUSPEND     0x04
#define IOAT_CMD_ABORT       0x08
#define IOAT_CMD_RESUME      0x10
#define IOAT_CMD_RESET       0x20

/* States, in CHANSTS and in what is written to CHANCMP; an address is in the bits above. */
enum ioat_state { IOAT_ACTIVE, IOAT_IDLE, IOAT_SUSPENDED, IOAT_HALTED, IOAT_ARMED };

#define IOAT_STS_ADDR    (~(uint64_t)0x3f)

#define IOAT_ERR_NEXT    BIT32(2)  /* a descriptor cannot be read */
#define IOAT_ERR_ALIGN   BIT32(3)  /* or is not on a boundary of 64 bytes */
#define IOAT_ERR_READ    BIT32(8)  /* a source cannot be read */
#define IOAT_ERR_WRITE   BIT32(9)  /* a destination cannot be written */
#define IOAT_ERR_CONTROL BIT32(10) /* no such operation, or reserved bits */
#define IOAT_ERR_LENGTH  BIT32(11) /* 0, or more than XFERCAP allows */
#define IOAT_ERR_CHANCMP BIT32(12) /* the completion address cannot be written */
#define IOAT_ERR_SED     BIT32(14) /* a super extended descriptor cannot be read, or is not aligned */
#define IOAT_ERR_P       BIT32(16) /* validation: XOR or P is wrong */
#define IOAT_ERR_Q       BIT32(17) /* validation: Q is wrong */
#define IOAT_ERR_COUNT   BIT32(18) /* DMACOUNT ends between a descriptor and its extension */

/* Configuration space, outside all capabilities. */
#define IOAT_CFG_DMAUNCERRSTS   0x148
#define IOAT_CFG_CHANERR_INT    0x180
#define IOAT_CFG_CHANERRMSK_INT 0x184

/* ---- Descriptors */

#define IOAT_DESC_SIZE   64

#define IOAT_DESC_INT    BIT32(0)
#define IOAT_DESC_COMPL  BIT32(3)
#define IOAT_DESC_NULL   BIT32(5) /* copy and fill */
#define IOAT_DESC_NO_P   BIT32(11)
#define IOAT_DESC_NO_Q   BIT32(12)
#define IOAT_DESC_OP(c)  ((c) >> 24)
#define IOAT_DESC_SRC(c) ((c) >> 5 & 7)     /* XOR, PQ: sources less 2, or less 9 with 16-source PQ */
#define IOAT_DESC_GF(c)  ((c) >> 16 & 0xff) /* PQ update: the coefficient */

enum ioat_op {
	IOAT_OP_COPY = 0x00,
	IOAT_OP_FILL = 0x01,
	IOAT_OP_XOR = 0x87,
	IOAT_OP_XOR_VAL = 0x88,
	IOAT_OP_PQ = 0x89,
	IOAT_OP_PQ_VAL = 0x8a,
	IOAT_OP_PQ_UPDATE = 0x8b,
	IOAT_OP_PQ16 = 0xa0,
	IOAT_OP_PQ16_VAL = 0xa1,
};

/*
 * Operations differ in what the last four words mean:
 *
 *             src   dst   arg[0]  arg[1]  arg[2]        arg[3]
 *   copy      from  to
 *   fill      pattern to
 *   XOR       s0    to    s1      s2      s3            s4
 *   PQ        s0    P     s1      s2      coefficients  Q
 *   PQ16      s0    P     s1      SED     coefficients  Q
 *   PQ update old   P     new     P then  Q then        Q
 *
 * XOR with more than five sources and PQ with more than three have an extended descriptor, which is the next
 * one in the chain and counts as one; its word 3 leads on. A 16-source PQ has a super extended descriptor
 * (SED) outside the chain: 8 coefficients, sources 2 to 8, and, with more than nine, sources 9 to 15.
 */
struct ioat_desc {
	uint32_t size;
	uint32_t ctl;
	uint64_t src;
	uint64_t dst;
	uint64_t next;
	uint64_t arg[4];
};
_Static_assert(sizeof(struct ioat_desc) == IOAT_DESC_SIZE, "descriptor");

#define IOAT_MAX_SOURCES 16

#endif
