/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The copy engine (I/OAT, Crystal Beach 3) as a driver writer's notes have it: one channel, registers of BAR0
 * and descriptors. Independent of the model on purpose. Addresses of the channel's registers are absolute.
 */
#ifndef UVFIO_TESTS_IOAT_REGISTERS_H
#define UVFIO_TESTS_IOAT_REGISTERS_H

#include <stdint.h>

#define CHANCNT        0x00  /* 8 bits */
#define XFERCAP        0x01  /* 8 */
#define GENCTRL        0x02  /* 8 */
#define INTRCTRL       0x03  /* 8 */
#define ATTNSTATUS     0x04  /* 32 */
#define CBVER          0x08  /* 8 */
#define INTRDELAY      0x0c  /* 16 */
#define CS_STATUS      0x0e  /* 16 */
#define DMACAP         0x10  /* 32 */
#define DCAOFFSET      0x14  /* 16 */
#define CHWPREFLMT     0x4c  /* 8, with DPS */
#define CHANCTRL       0x80  /* 16 */
#define DMA_COMP       0x82  /* 16 */
#define CHANCMD        0x84  /* 8 */
#define DMACOUNT       0x86  /* 16 */
#define CHANSTS        0x88  /* 64 */
#define CHAINADDR      0x90  /* 64 */
#define CHANCMP        0x98  /* 64 */
#define CDAR           0xa0  /* 64 */
#define CHANERR        0xa8  /* 32 */
#define CHANERRMSK     0xac  /* 32 */
#define DCACTRL        0xb0  /* 32 */
#define DRSCTL         0x136 /* 16 */
#define LTR_SWSEL      0x13c /* 8 */
#define LTR_ACTIVE     0x140 /* 32 */
#define LTR_IDLE       0x144 /* 32 */

#define INTR_MASTER    0x01
#define INTR_STATUS    0x02
#define INTR_INT       0x04
#define INTR_MSIX      0x08

#define CAP_FILL       (1u << 6)
#define CAP_XOR        (1u << 8)
#define CAP_PQ         (1u << 9)
#define CAP_RAID16SS   (1u << 17)
#define CAP_DPS        (1u << 23)

#define CTRL_REARM     0x0001
#define CTRL_ERR_COMPL 0x0004
#define CTRL_ERR_ABORT 0x0008
#define CTRL_ERR_INT   0x0010
#define CTRL_IN_USE    0x0100

#define CMD_START      0x01
#define CMD_SUSPEND    0x04
#define CMD_ABORT      0x08
#define CMD_RESUME     0x10
#define CMD_RESET      0x20

enum { ACTIVE, IDLE, SUSPENDED, HALTED, ARMED };
#define STATE(sts)     ((unsigned int)((sts)&7))

#define ERR_NEXT_ADDR  0x4u
#define ERR_NEXT_ALIGN 0x8u
#define ERR_READ_DATA  0x100u
#define ERR_WRITE_DATA 0x200u
#define ERR_CONTROL    0x400u
#define ERR_LENGTH     0x800u
#define ERR_COMPL_ADDR 0x1000u
#define ERR_XOR_P      0x10000u
#define ERR_XOR_Q      0x20000u

/* In configuration space. */
#define CFG_DMAUNCERRSTS   0x148
#define CFG_CHANERR_INT    0x180
#define CFG_CHANERRMSK_INT 0x184

/* ---- descriptors */

#define D_INT        (1u << 0)
#define D_COMPL      (1u << 3)
#define D_FENCE      (1u << 4)
#define D_NULL       (1u << 5)
#define D_SRC(n)     ((uint32_t)((n)-2) << 5) /* XOR, PQ: 2 to 8 sources */
#define D_SRC16(n)   ((uint32_t)((n)-9) << 5) /* 16-source PQ: 9 to 16 */
#define D_NO_P       (1u << 11)
#define D_NO_Q       (1u << 12)
#define D_COEF(c)    ((uint32_t)(c) << 16) /* PQ update */
#define D_OP(op)     ((uint32_t)(op) << 24)

#define OP_COPY      0x00
#define OP_FILL      0x01
#define OP_XOR       0x87
#define OP_XOR_VAL   0x88
#define OP_PQ        0x89
#define OP_PQ_VAL    0x8a
#define OP_PQ_UPDATE 0x8b
#define OP_PQ16      0xa0
#define OP_PQ16_VAL  0xa1

struct desc {
	uint32_t size, ctl;
	uint64_t src, dst, next;
	uint64_t arg[4];
};

#endif
