/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A bench for the copy engine: a host of a few lines behind the calls of <uvfio/device.h> and <uvfio/pci.h>.
 *
 * Memory is an array; an I/O address is an offset in it. Each page can be read, written, both or neither; the
 * first one, neither. The worker runs when the test says so (rig_run), or in a thread (rig_start).
 */
#ifndef UVFIO_DEVICES_IOAT_TEST_RIG_H
#define UVFIO_DEVICES_IOAT_TEST_RIG_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <pthread.h>

#include "devices/ioat/ioat.h"

#define RIG_MEMORY 0x800000u
#define RIG_PAGES  (RIG_MEMORY / 4096)
#define RIG_R      1
#define RIG_W      2

/* Where tests keep what. */
#define RIG_CMP  0x2000u   /* completion */
#define RIG_RING 0x10000u  /* descriptors */
#define RIG_DATA 0x100000u /* everything else */

struct rig {
	struct uvfio_pci_func func;
	struct uvfio_pci_desc desc;
	struct uvfio_worker worker;
	struct uvfio_dma dma;
	struct ioat_options options;
	struct ioat *ioat;
	uint8_t *memory;
	uint8_t access[RIG_PAGES];
	uint32_t trace_on;
	/* What the model did. */
	_Atomic unsigned int irqs, traces, done, failed, line, pieces, delays;
	enum uvfio_irq_mode mode;
	_Atomic uint32_t chanerr_int, chanerrmsk_int;
	/* Called in the worker before each copy, fill and write; where is the first I/O address. */
	void (*before_write)(struct rig *rig, uint64_t iova);
	void *arg;
	_Atomic int gate; /* for before_write */
	/* The worker's thread. */
	_Atomic bool kicked, stopping;
	bool threaded;
	pthread_t thread;
	pthread_mutex_t lock;
	pthread_cond_t cond;
};

/* A bench with a device of that profile after reset; completions go to RIG_CMP, MSI-X is enabled. */
struct rig *rig_new(const char *profile, unsigned int xfercap);
void rig_free(struct rig *rig);
/* create alone: 0 or what it says. */
int rig_try(const char *profile, char *err, size_t err_len);

/* Run the worker as long as it is kicked. */
void rig_run(struct rig *rig);
void rig_start(struct rig *rig);
void rig_stop(struct rig *rig);

uint64_t rig_read(struct rig *rig, uint64_t offset, unsigned int size);
void rig_write(struct rig *rig, uint64_t offset, uint64_t value, unsigned int size);

void rig_access(struct rig *rig, uint64_t iova, uint64_t size, unsigned int access);

/* A descriptor at slot i of RIG_RING, linked to the next slot. */
#define SLOT(i) (RIG_RING + (uint64_t)(i)*IOAT_DESC_SIZE)
struct ioat_desc *rig_desc(struct rig *rig, unsigned int i, uint32_t op, uint32_t flags, uint32_t size,
			   uint64_t src, uint64_t dst);

/* Write CHANCTRL (everything enabled), CHAINADDR (slot 0) and DMACOUNT. */
void rig_go(struct rig *rig, uint16_t count);
uint64_t rig_completion(struct rig *rig);
/* Wait for a state with a thread running; fails after ten seconds. */
void rig_await(struct rig *rig, unsigned int state);

static inline uint64_t rig_sts(struct rig *rig)
{
	return rig_read(rig, IOAT_REG_CHANSTS, 8);
}

static inline uint32_t rig_chanerr(struct rig *rig)
{
	return (uint32_t)rig_read(rig, IOAT_REG_CHANERR, 4);
}

/* Bytes that differ from place to place. */
void rig_pattern(uint8_t *buf, size_t len, unsigned int seed);

#define CTRL_ALL (IOAT_CTRL_REARM | IOAT_CTRL_ERR_COMPL | IOAT_CTRL_ERR_ABORT | IOAT_CTRL_ERR_INT)

#endif
