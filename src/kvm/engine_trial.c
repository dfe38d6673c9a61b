/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A library that engine_probe.c has understood is tried: an OUT and a load are left in the middle of a block
 * with exact registers, an interrupt is taken, HLT and a triple fault are told from the other ends of a run.
 */
#include "kvm/engine_impl.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SIZE    0x4000
#define OUT     0x1000
#define LOAD    0x1100
#define WAIT    0x1200
#define HANDLER 0x1300
#define INT     0x1400
#define IO      0x100000
#define VECTOR  0x20
#define FLAGS   0x8d5 /* that arithmetic sets */

struct trial {
	struct engine *engine;
	uint8_t *memory;
	uint64_t port, address; /* what was accessed */
	int vector;             /* to be taken, or -1 */
	bool no_vectors;
};

static enum engine_io on_out(void *arg, uint16_t port, unsigned int size, uint32_t value)
{
	struct trial *trial = arg;

	(void)value;
	trial->port = port * size;
	return ENGINE_LEAVE;
}

static enum engine_io on_in(void *arg, uint16_t port, unsigned int size, uint32_t *value)
{
	return on_out(arg, port, size, *value);
}

static enum engine_io on_load(void *arg, uint64_t gpa, unsigned int size, uint64_t *value, uintptr_t place)
{
	struct trial *trial = arg;

	(void)size;
	(void)value;
	(void)place;
	trial->address = gpa;
	return ENGINE_LEAVE;
}

static enum engine_io on_store(void *arg, uint64_t gpa, unsigned int size, uint64_t value, uintptr_t place)
{
	return on_load(arg, gpa, size, &value, place);
}

static void on_dirty(void *arg, uint64_t gpa)
{
	(void)arg;
	(void)gpa;
}

static int on_interrupt(void *arg)
{
	struct trial *trial = arg;
	int vector = trial->vector;

	trial->vector = -1;
	return vector;
}

static const struct engine_ops trial_ops = {
	.out = on_out,
	.in = on_in,
	.read = on_load,
	.write = on_store,
	.dirty = on_dirty,
	.interrupt = on_interrupt,
};

static enum engine_end run_at(struct trial *trial, uint64_t rip)
{
	struct engine_state *state = engine_state(trial->engine);

	memset(state->regs, 0, sizeof(state->regs));
	state->regs[2] = 0x500;
	state->regs[4] = 0x3000;
	state->rip = rip;
	state->rflags = 2;
	for (int i = 0; i < 6; i++)
		state->segs[i] = (struct engine_segment){ .limit = 0xffff, .flags = 0x9300 };
	state->segs[ENGINE_CS].flags = 0x9b00;
	state->segs[ENGINE_ES].base = IO;
	state->idt = (struct engine_segment){ .limit = trial->no_vectors ? 0 : 0xffff };
	state->cr[0] = 0x10;
	engine_set_efer(trial->engine, 0);
	engine_derive(trial->engine);
	return engine_run(trial->engine, false);
}

static void fill(uint8_t *memory)
{
	static const uint8_t out[] = { 0x83, 0xf9, 0x01, 0x43, 0xee, 0x41, 0xf4 }; /* cmp, inc, out, inc */
	static const uint8_t load[] = { 0x43, 0x26, 0xa0, 0x08, 0x00, 0x41, 0xf4 };
	static const uint8_t wait[] = { 0xfb, 0x90, 0x43, 0xf4 }, handler[] = { 0x41, 0xcf };
	static const uint8_t interrupt[] = { 0xcd, VECTOR };
	static const uint16_t vector[2] = { HANDLER, 0 };

	memcpy(memory + OUT, out, sizeof(out));
	memcpy(memory + LOAD, load, sizeof(load));
	memcpy(memory + WAIT, wait, sizeof(wait));
	memcpy(memory + HANDLER, handler, sizeof(handler));
	memcpy(memory + INT, interrupt, sizeof(interrupt));
	memcpy(memory + 4 * VECTOR, vector, sizeof(vector));
}

/* Twice: what the core remembers of the first is not there any more. */
static bool faults_three_times(struct trial *trial)
{
	trial->no_vectors = true;
	return run_at(trial, INT) == ENGINE_SHUTDOWN && engine_exception(trial->engine) == 8 &&
	       run_at(trial, INT) == ENGINE_SHUTDOWN;
}

static const char *try_all(struct trial *trial)
{
	const struct engine_state *state = engine_state(trial->engine);

	if (run_at(trial, OUT) != ENGINE_IO || trial->port != 0x500 || state->rip != OUT + 4 ||
	    state->regs[3] != 1 || state->regs[1] || (state->rflags & FLAGS) != 1)
		return "an OUT is not left as it should be";
	if (run_at(trial, LOAD) != ENGINE_IO || trial->address != IO + 8 || state->rip != LOAD + 1 ||
	    state->regs[3] != 1 || state->regs[1])
		return "a load is not left as it should be";
	trial->vector = VECTOR;
	engine_want(trial->engine);
	if (run_at(trial, WAIT) != ENGINE_HALT || state->rip != WAIT + 4 || state->regs[1] != 1 ||
	    state->regs[3] != 1 || trial->vector != -1)
		return "an interrupt is not taken";
	engine_kick(trial->engine);
	if (run_at(trial, WAIT) != ENGINE_KICKED || state->rip != WAIT)
		return "a run cannot be ended";
	if (!faults_three_times(trial))
		return "a triple fault does not end a run";
	return NULL;
}

int engine_trial(char *why, size_t len)
{
	struct trial trial = { .memory = aligned_alloc(UVFIO_PAGE_SIZE, SIZE), .vector = -1 };
	struct engine_memory memory = { .size = SIZE, .at = trial.memory };
	const char *wrong = "no memory";

	if (trial.memory && !engine_new(&trial_ops, &trial, &trial.engine)) {
		memset(trial.memory, 0, SIZE);
		fill(trial.memory);
		if (!engine_set_memory(trial.engine, &memory, 1))
			wrong = try_all(&trial);
		engine_free(trial.engine);
	}
	free(trial.memory);
	if (!wrong)
		return 0;
	snprintf(why, len, "libunicorn.so.2 does not do what Unicorn 2.0 of Debian 12 does: %s", wrong);
	return -ENOEXEC;
}
