/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A machine with two copy engines (devices/ioat), each in a container of its own with two windows: one for
 * the test, and one with the engine's ring. And a driver for an engine, in a thread, which copies within the
 * first window, from anywhere to anywhere. Most copies end with a fault: then it begins again.
 */
#ifndef UVFIO_KVM_SPAPR_TEST_ENGINE_H
#define UVFIO_KVM_SPAPR_TEST_ENGINE_H

#include "kvm/spapr/test_rig.h"

#include "uvfio/machine.h"

#include <pthread.h>

#define ENGINES 2u
#define RINGS   (8 * MIB) /* where the rings are in the client's memory, a page each */
#define SLOTS   4u
#define HOT     16u /* pages of the window */

/* Registers of the channel. */
enum {
	CHANCTRL = 0x80,
	CHANCMD = 0x84,
	DMACOUNT = 0x86,
	CHANSTS = 0x88,
	CHAINADDR = 0x90,
	CHANCMP = 0x98,
};

struct engine {
	struct client t; /* its container and group */
	int device;
	uint64_t bar;
	uint64_t *ring;
	uint64_t seed;
	pthread_t thread;
	_Atomic bool stop;
	_Atomic uint64_t copies, faults; /* chains that were done, and that ended with a fault */
};

static inline void engine_write(const struct engine *e, unsigned int at, uint64_t value, unsigned int len)
{
	if (uvfio_mmio_write(e->device, e->bar + at, &value, len))
		abort();
}

/* Up to an open device that may do DMA, in a container that has mapped its ring. */
static inline void engine_open(struct engine *e, struct uvfio_machine *machine, unsigned int n, char *memory)
{
	struct vfio_region_info info = { .argsz = sizeof(info), .index = VFIO_PCI_CONFIG_REGION_INDEX };
	_Alignas(64) char bdf[64]; /* is read up to the next multiple of 64 */
	char node[32];
	uint16_t command = 6;

	snprintf(node, sizeof(node), "/dev/vfio/%u", n + 1);
	snprintf(bdf, sizeof(bdf), "0000:00:0%u.0", n + 1);
	*e = (struct engine){ .seed = 88172645463325252u + n, .ring = (uint64_t *)(memory + RINGS + n * PG) };
	e->t = (struct client){ .memory = memory };
	e->t.c = uvfio_open(machine, "/dev/vfio/vfio", O_RDWR);
	e->t.g = uvfio_open(machine, node, O_RDWR);
	assert_int_equal(call_ptr(e->t.g, VFIO_GROUP_SET_CONTAINER, &e->t.c), 0);
	assert_int_equal(call(e->t.c, VFIO_SET_IOMMU, VFIO_SPAPR_TCE_v2_IOMMU), 0);
	e->device = get_device(e->t.g, bdf);
	assert_true(e->device >= 0);
	small_window(&e->t);
	assert_int_equal(create(&e->t, 12, MIB, 1, NULL), 0);
	assert_int_equal(reg(&e->t, e->ring, PG, true), 0);
	assert_int_equal(map(e->t.c, HIGH, e->ring, PG, RW), 0);
	assert_int_equal(call_ptr(e->device, VFIO_DEVICE_GET_REGION_INFO, &info), 0);
	assert_int_equal(uvfio_pwrite(e->device, &command, 2, (off_t)info.offset + 4), 2);
	info.index = VFIO_PCI_BAR0_REGION_INDEX;
	assert_int_equal(call_ptr(e->device, VFIO_DEVICE_GET_REGION_INFO, &info), 0);
	e->bar = info.offset;
}

static inline void engine_close(struct engine *e)
{
	assert_int_equal(unmap_all(&e->t, HIGH, PG), 0);
	assert_int_equal(reg(&e->t, e->ring, PG, false), 0);
	close_fd(e->device);
	close_fd(e->t.g);
	close_fd(e->t.c);
}

/* ---- the driver */

static inline uint64_t engine_random(struct engine *e, uint64_t below)
{
	e->seed ^= e->seed << 13;
	e->seed ^= e->seed >> 7;
	e->seed ^= e->seed << 17;
	return e->seed % below;
}

/* Most of the time in the first pages, so that it comes to the same ones again. */
static inline uint64_t engine_address(struct engine *e)
{
	return engine_random(e, (engine_random(e, 4) ? HOT * PG : MIB - 2 * PG) / 8) * 8;
}

static inline void engine_fill(struct engine *e)
{
	for (unsigned int i = 0; i < SLOTS; i++) {
		uint64_t *desc = e->ring + (size_t)i * 8;

		desc[0] = (1 + engine_random(e, (engine_random(e, 4) ? 256 : 2 * PG) / 8)) * 8;
		desc[1] = engine_address(e);
		desc[2] = engine_address(e);
		desc[3] = HIGH + (i + 1) * 64;
	}
}

/* Its state when it is no longer active. */
static inline unsigned int engine_wait(const struct engine *e)
{
	uint64_t status = 0;

	while (!(status & 7)) {
		if (uvfio_mmio_read(e->device, e->bar + CHANSTS, &status, sizeof(status)))
			abort();
		if (!(status & 7))
			usleep(10);
	}
	return status & 7;
}

static inline void *engine_drive(void *arg)
{
	struct engine *e = arg;
	unsigned int state;

	engine_write(e, CHANCTRL, 0x0c, 2);
	engine_write(e, CHANCMP, HIGH + PG - 8, 8);
	while (!atomic_load(&e->stop)) {
		engine_write(e, CHANCMD, 0x20, 1); /* the worker is done with the ring */
		engine_fill(e);
		engine_write(e, CHAINADDR, HIGH, 8);
		engine_write(e, DMACOUNT, 1 + engine_random(e, SLOTS), 2);
		state = engine_wait(e);
		atomic_fetch_add(state == 3 ? &e->faults : &e->copies, 1);
	}
	return NULL;
}

static inline void engine_start(struct engine *e)
{
	atomic_store(&e->stop, false);
	assert_int_equal(pthread_create(&e->thread, NULL, engine_drive, e), 0);
}

static inline uint64_t engine_chains(const struct engine *e)
{
	return atomic_load(&e->copies) + atomic_load(&e->faults);
}

static inline void engine_stop(struct engine *e)
{
	atomic_store(&e->stop, true);
	pthread_join(e->thread, NULL);
}

#endif
