/* SPDX-License-Identifier: BSD-2-Clause */
/* Processors: their making, and running them. */
#include "kvm/engine.h"

#include "kvm/engine_impl.h"

#include <stdlib.h>
#include <string.h>

#define LIB engine_library

/*
 * The library's processor does more than it says, and refuses what it does not say: bits of EFER, for
 * instance. So it is told what it can do. In the order of the core: leaf 1 EDX, ECX, leaf 7 EBX, ECX,
 * EDX, 7.1 EAX, leaf 8000_0001 EDX, ECX.
 */
static void set_features(struct engine *engine)
{
	char *at = (char *)engine->state + LIB.features;
	uint64_t features[8];

	memcpy(features, at, sizeof(features));
	features[0] |= ENGINE_FEATURES_1_EDX;
	features[1] |= ENGINE_FEATURES_1_ECX;
	features[6] |= ENGINE_FEATURES_81_EDX;
	features[7] |= ENGINE_FEATURES_81_ECX;
	memcpy(at, features, sizeof(features));
}

static int set_up(struct engine *engine)
{
	uint64_t rip;

	/* the first of other calls makes the processor */
	if (LIB.uc_reg_read(engine->uc, UC_X86_REG_RIP, &rip))
		return -ENOMEM;
	/* no address ends a run: 0 is as good as any for code */
	if (LIB.uc_ctl(engine->uc, UC_CTL_WRITE(UC_CTL_UC_USE_EXITS, 1), 1))
		return -ENOEXEC;
	memcpy(&engine->cpu, (const char *)engine->uc + LIB.cpu, sizeof(engine->cpu));
	engine->state = (void *)(engine->cpu + LIB.env);
	set_features(engine);
	engine_take_calls(engine);
	return engine_map_io(engine) ?: engine_add_hooks(engine);
}

int engine_new(const struct engine_ops *ops, void *arg, struct engine **out)
{
	struct engine *engine = calloc(1, sizeof(*engine));
	int rc;

	if (!engine)
		return -ENOMEM;
	engine->ops = ops;
	engine->arg = arg;
	if (LIB.uc_open(UC_ARCH_X86, UC_MODE_64, &engine->uc)) {
		free(engine);
		return -ENOMEM;
	}
	rc = engine_code_init(engine);
	if (!rc)
		rc = set_up(engine);
	if (rc) {
		engine_free(engine);
		return rc;
	}
	*out = engine;
	return 0;
}

void engine_free(struct engine *engine)
{
	if (!engine)
		return;
	engine_set_memory(engine, NULL, 0);
	engine_code_free(engine);
	LIB.uc_close(engine->uc);
	free(engine->ram);
	free(engine);
}

struct engine_state *engine_state(struct engine *engine)
{
	return engine->state;
}

void engine_forget_translations(struct engine *engine)
{
	LIB.tlb_flush(engine->cpu);
}

void engine_derive(struct engine *engine)
{
	LIB.update_hflags(engine->state);
	LIB.tlb_flush(engine->cpu);
}

uint64_t engine_rip_of(struct engine *engine, uintptr_t place)
{
	LIB.restore_state(engine->cpu, place, true);
	return engine->state->rip;
}

static bool halted(const struct engine *engine)
{
	uint32_t word;

	memcpy(&word, engine->cpu + CPU_HALTED, sizeof(word));
	return word;
}

/* Which of the things that end a run has ended it. false: none that the caller need know. */
static bool ended(struct engine *engine, uc_err error, enum engine_end *end)
{
	bool paused = engine->paused;

	engine->paused = false;
	if (paused) {
		*end = ENGINE_KICKED;
		return atomic_exchange(&engine->kicked, false);
	}
	if (engine->faulted)
		*end = ENGINE_FAULT;
	else if (engine->no_code)
		*end = ENGINE_FETCH;
	else if (engine->left)
		*end = ENGINE_IO;
	else if (error)
		*end = ENGINE_FAILED;
	else if (engine->delivering == 8 + 1) /* an exception while taking a double fault */
		*end = ENGINE_SHUTDOWN;
	else if (halted(engine))
		*end = ENGINE_HALT;
	else if (engine->stepped)
		*end = ENGINE_STEPPED;
	else if (engine->windowed)
		*end = ENGINE_WINDOW;
	else if (atomic_exchange(&engine->kicked, false))
		*end = ENGINE_KICKED;
	else
		return false;
	return true;
}

int32_t engine_exception(const struct engine *engine)
{
	int32_t exception;

	memcpy(&exception, (const char *)engine->state + LIB.exception, sizeof(exception));
	return exception;
}

/* After a triple fault the core remembers the second for good, and takes each that follows for the third. */
static void forget_exception(struct engine *engine)
{
	const int32_t none = EXCEPTION_NONE;

	memcpy((char *)engine->state + LIB.exception, &none, sizeof(none));
}

static enum engine_end run(struct engine *engine, bool one)
{
	struct engine *outer = engine_running;
	enum engine_end end = ENGINE_KICKED;
	uc_err error;

	engine_check_code(engine);
	engine_catch_faults();
	forget_exception(engine);
	engine_running = engine;
	engine->left = engine->windowed = engine->no_code = engine->faulted = engine->stepped = false;
	engine->paused = false;
	engine->stepping = one;
	do {
		engine->delivering = 0;
		engine->taking = false;
		engine->invalid = false;
		error = LIB.uc_emu_start(engine->uc, engine->state->rip, 0, 0, 0);
	} while (!ended(engine, error, &end));
	engine_running = outer;
	return end;
}

/* One instruction: with the trap flag, unless that is the guest's already and stays so. */
static enum engine_end run_one(struct engine *engine)
{
	uint64_t dr6 = engine_debug_register(engine, 6);
	enum engine_end end;

	engine->state->rflags |= RFLAGS_TF;
	LIB.update_hflags(engine->state);
	end = run(engine, true);
	engine->stepping = false;
	engine->state->rflags &= ~RFLAGS_TF;
	LIB.update_hflags(engine->state);
	engine_set_debug_register(engine, 6, dr6);
	return end;
}

enum engine_end engine_run(struct engine *engine, bool one)
{
	if (one && !(engine->state->rflags & RFLAGS_TF))
		return run_one(engine);
	return run(engine, false);
}

void engine_kick(struct engine *engine)
{
	atomic_store(&engine->kicked, true);
	atomic_store(&engine->attention, true);
}

void engine_want(struct engine *engine)
{
	if (!atomic_exchange(&engine->wanted, true))
		atomic_store(&engine->attention, true);
}

uint64_t engine_blocks(const struct engine *engine)
{
	return engine->blocks;
}

void engine_window(struct engine *engine, bool on)
{
	engine->window = on;
}

bool engine_take_back(struct engine *engine)
{
	bool was = engine->injecting;

	engine->injecting = false;
	return was;
}

void engine_nmi_window(struct engine *engine, bool on)
{
	engine->nmi_window = on;
}

void engine_inject(struct engine *engine, uint8_t vector, int64_t error, bool more)
{
	engine->injecting = true;
	engine->inject_more = more;
	engine->inject = vector;
	engine->inject_error = error;
}
