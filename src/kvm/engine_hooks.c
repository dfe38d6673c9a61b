/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the library calls: port and memory-mapped I/O, exceptions, CPUID, SYSCALL; and two calls of its core,
 * which are ours instead.
 *
 * An instruction is left half way as the core itself does it for a page fault: the registers are restored
 * from the place in the generated code that made the access, and the rest of the block is jumped out of. For
 * memory the core has noted the place; for ports it is found by unwinding the stack, which takes a
 * microsecond, and only when the instruction is left.
 *
 * The core knows which exception is to be taken but leaves taking it to the callback: it has the function
 * that does it, for all modes, with all faults on the way.
 */
#include "kvm/engine_impl.h"

#include <string.h>

#define LIB  engine_library

#define RCX  1
#define R11  11
#define CS_L BIT32(21)

__thread struct engine *engine_running;

/* An exception that is being taken would be taken again and again before the core looks whether to stop. */
static _Noreturn void jump_out(struct engine *engine, uintptr_t place)
{
	LIB.uc_emu_stop(engine->uc);
	if (engine->delivering)
		LIB.loop_exit(engine->cpu);
	LIB.loop_exit_restore(engine->cpu, place);
	__builtin_unreachable();
}

_Noreturn void engine_leave(struct engine *engine, uintptr_t place)
{
	engine->left = true;
	jump_out(engine, place);
}

/*
 * A block of code begins. This is where others' wishes are looked at: the library's own way to stop from
 * another thread ends blocks behind any access to memory, and then goes on at their beginning.
 */
static void on_block(uc_engine *uc, uint64_t address, uint32_t size, void *arg)
{
	struct engine *engine = arg;
	struct engine_state *state = engine->state;

	(void)uc;
	(void)size;
	engine->blocks++;
	if (likely(!atomic_load_explicit(&engine->attention, memory_order_relaxed)))
		return;
	atomic_store(&engine->attention, false);
	state->rip = address - state->segs[ENGINE_CS].base;
	if (!(state->segs[ENGINE_CS].flags & CS_L))
		state->rip = (uint32_t)state->rip;
	engine->paused = true;
	jump_out(engine, 0);
}

static _Unwind_Reason_Code note_frame(struct _Unwind_Context *context, void *arg)
{
	*(uintptr_t *)arg = LIB.unwind_ip(context);
	return _URC_NO_REASON;
}

/* The outermost frame that can be unwound to is generated code. */
static uintptr_t generated_place(void)
{
	uintptr_t place = 0;

	LIB.unwind_backtrace(note_frame, &place);
	return place;
}

static void on_out(uc_engine *uc, uint32_t port, int size, uint32_t value, void *arg)
{
	struct engine *engine = arg;

	(void)uc;
	if (unlikely(engine->ops->out(engine->arg, (uint16_t)port, (unsigned int)size, value) ==
		     ENGINE_LEAVE))
		engine_leave(engine, generated_place());
}

static uint32_t on_in(uc_engine *uc, uint32_t port, int size, void *arg)
{
	struct engine *engine = arg;
	uint32_t value = 0;

	(void)uc;
	if (unlikely(engine->ops->in(engine->arg, (uint16_t)port, (unsigned int)size, &value) ==
		     ENGINE_LEAVE))
		engine_leave(engine, generated_place());
	return value;
}

static uintptr_t io_place(const struct engine *engine)
{
	uintptr_t place;

	memcpy(&place, engine->cpu + LIB.io_place, sizeof(place));
	return place;
}

/* Vectors, segments and stack of an exception or interrupt are memory, or nothing can go on. */
static void need_memory(struct engine *engine)
{
	if (likely(!engine->delivering && !engine->taking))
		return;
	engine->no_code = true;
	engine_leave(engine, 0);
}

uint64_t engine_mmio_read(uc_engine *uc, uint64_t offset, unsigned int size, void *arg)
{
	struct engine *engine = arg;
	uintptr_t place = io_place(engine);
	uint64_t value = 0;

	(void)uc;
	if (offset & ENGINE_READONLY)
		return engine_readonly_value(engine, offset & ~ENGINE_READONLY, size);
	need_memory(engine);
	if (engine->ops->read(engine->arg, offset, size, &value, place) == ENGINE_LEAVE)
		engine_leave(engine, place);
	return value;
}

void engine_mmio_write(uc_engine *uc, uint64_t offset, unsigned int size, uint64_t value, void *arg)
{
	struct engine *engine = arg;
	uintptr_t place = io_place(engine);

	(void)uc;
	need_memory(engine);
	if (engine->ops->write(engine->arg, offset & ~ENGINE_READONLY, size, value, place) == ENGINE_LEAVE)
		engine_leave(engine, place);
}

/*
 * While one instruction is executed: its end is a debug exception. Another exception is the guest's, and
 * comes without our flag. false: it is to be taken.
 */
static bool stepped(struct engine *engine, uint32_t vector)
{
	engine->stepping = false;
	engine->stepped = true;
	engine->state->rflags &= ~RFLAGS_TF;
	LIB.update_hflags(engine->state);
	LIB.uc_emu_stop(engine->uc);
	return vector == 1;
}

static void on_exception(uc_engine *uc, uint32_t vector, void *arg)
{
	struct engine *engine = arg;

	engine->taking = false;
	if (engine->stepping && stepped(engine, vector))
		return;
	engine->delivering = vector + 1;
	LIB.do_interrupt(engine->cpu);
	engine->delivering = 0;
	/* a handler that cannot be fetched is an exception again, and no block ever begins */
	if (unlikely(atomic_load(&engine->attention))) {
		atomic_store(&engine->attention, false);
		engine->paused = true;
		LIB.uc_emu_stop(uc);
	}
}

/* The library ends a run at an invalid instruction, whatever is said here. */
static bool on_invalid(uc_engine *uc, void *arg)
{
	struct engine *engine = arg;

	engine->invalid = true;
	on_exception(uc, 6, arg);
	return true;
}

static int on_cpuid(uc_engine *uc, void *arg)
{
	struct engine *engine = arg;
	uint64_t *regs = engine->state->regs;
	uint32_t abcd[4] = { (uint32_t)regs[0], (uint32_t)regs[3], (uint32_t)regs[1], (uint32_t)regs[2] };

	(void)uc;
	if (!engine->ops->cpuid)
		return 0;
	engine->ops->cpuid(engine->arg, abcd);
	regs[0] = abcd[0];
	regs[3] = abcd[1];
	regs[1] = abcd[2];
	regs[2] = abcd[3];
	return 1;
}

static void flat_segment(struct engine_segment *segment, uint16_t selector, uint32_t flags)
{
	segment->selector = selector;
	segment->base = 0;
	segment->limit = UINT32_MAX;
	segment->flags = flags;
}

/*
 * SYSCALL (AMD's manual, volume 3). The library's stops at the callback, and adds the instruction's two bytes
 * to RIP behind it.
 */
static void on_syscall(uc_engine *uc, void *arg)
{
	struct engine *engine = arg;
	struct engine_state *state = engine->state;
	uint64_t star = engine_msr(engine, 0xc0000081), flags = 0;
	bool from_64 = state->segs[ENGINE_CS].flags & CS_L;
	uint16_t selector = (uint16_t)((star >> 32) & 0xfffc);

	LIB.uc_reg_read(uc, UC_X86_REG_RFLAGS, &flags);
	state->regs[RCX] = state->rip + 2;
	if (engine_efer(engine) & BIT64(10)) {
		state->regs[R11] = flags & ~(uint64_t)BIT32(16);
		state->rip = engine_msr(engine, from_64 ? 0xc0000082 : 0xc0000083) - 2;
		flags &= ~engine_msr(engine, 0xc0000084);
		flat_segment(&state->segs[ENGINE_CS], selector, 0xa09b00);
	} else {
		state->regs[RCX] = (uint32_t)state->regs[RCX];
		state->rip = (uint32_t)star - 2;
		flags &= ~(uint64_t)(BIT32(17) | BIT32(16) | BIT32(9));
		flat_segment(&state->segs[ENGINE_CS], selector, 0xc09b00);
	}
	flat_segment(&state->segs[ENGINE_SS], (uint16_t)(selector + 8), 0xc09300);
	flags |= 2;
	LIB.uc_reg_write(uc, UC_X86_REG_RFLAGS, &flags);
	LIB.update_hflags(state);
}

int engine_add_hooks(struct engine *engine)
{
	const struct {
		int type, insn;
		void *fn;
	} hooks[] = {
		{ UC_HOOK_INSN, UC_X86_INS_OUT, (void *)on_out },
		{ UC_HOOK_INSN, UC_X86_INS_IN, (void *)on_in },
		{ UC_HOOK_INSN, UC_X86_INS_CPUID, (void *)on_cpuid },
		{ UC_HOOK_INSN, UC_X86_INS_SYSCALL, (void *)on_syscall },
		{ UC_HOOK_BLOCK, 0, (void *)on_block },
		{ UC_HOOK_INTR, 0, (void *)on_exception },
		{ UC_HOOK_INSN_INVALID, 0, (void *)on_invalid },
	};
	uc_hook hook;

	for (size_t i = 0; i < ARRAY_SIZE(hooks); i++)
		if (LIB.uc_hook_add(engine->uc, &hook, hooks[i].type, hooks[i].fn, engine, (uint64_t)1,
				    (uint64_t)0, hooks[i].insn))
			return -ENOMEM;
	return 0;
}

static uint32_t *interrupt_request(struct engine *engine)
{
	return (uint32_t *)(void *)(engine->cpu + CPU_INTERRUPT_REQUEST);
}

/* A run begins: what was asked for before is seen here, and what is asked for from now on ends the run. */
static void enter(void *cpu)
{
	struct engine *engine = engine_running;

	LIB.exec_enter(cpu);
	if (atomic_load(&engine->wanted) || engine->window || engine->injecting || engine->nmi_window)
		*interrupt_request(engine) |= INTERRUPT_HARD;
	if (atomic_load(&engine->kicked))
		LIB.uc_emu_stop(engine->uc);
}

static _Noreturn void raise_injected(struct engine *engine)
{
	if (engine->inject_error == ENGINE_NO_CODE)
		LIB.raise(engine->state, engine->inject);
	else
		LIB.raise_error(engine->state, engine->inject, (int)engine->inject_error);
	__builtin_unreachable();
}

static void take_vector(struct engine *engine, int vector)
{
	engine->taking = true;
	LIB.do_hardirq(engine->state, vector, 1);
	engine->taking = false;
}

static bool take(struct engine *engine)
{
	int vector = engine->ops->interrupt(engine->arg);

	if (vector < 0)
		return false;
	take_vector(engine, vector);
	return true;
}

static bool inject(struct engine *engine)
{
	engine->injecting = false;
	if (engine->inject_more)
		engine_kick(engine);
	if (engine->inject_error >= ENGINE_NO_CODE)
		raise_injected(engine);
	if (engine->inject_error == ENGINE_NMI)
		engine->state->hflags2 |= ENGINE_HFLAGS2_NMI;
	take_vector(engine, engine->inject);
	return true;
}

static bool interrupt(void *cpu, int request)
{
	struct engine *engine = engine_running;

	if (!((uint32_t)request & INTERRUPT_HARD))
		return LIB.exec_interrupt(cpu, request);
	if (engine->stepping)
		return false;
	if (engine->injecting)
		return inject(engine);
	if (engine->nmi_window && !(engine->state->hflags2 & ENGINE_HFLAGS2_NMI)) {
		engine->nmi_window = false;
		engine_kick(engine);
		LIB.uc_emu_stop(engine->uc);
		return false;
	}
	if (!(engine->state->rflags & BIT64(9)) || (engine->state->hflags & HFLAG_INHIBIT_IRQ))
		return false;
	if (atomic_exchange(&engine->wanted, false) && take(engine)) {
		atomic_store(&engine->wanted, true); /* there may be another one behind it */
		return true;
	}
	if (engine->window) {
		engine->windowed = true;
		LIB.uc_emu_stop(engine->uc);
		return false;
	}
	if (!engine->nmi_window)
		*interrupt_request(engine) &= ~INTERRUPT_HARD;
	return false;
}

void engine_take_calls(struct engine *engine)
{
	char *class;
	void *calls[] = { (void *)enter, (void *)interrupt, (void *)engine_fill };

	memcpy(&class, engine->cpu + LIB.class, sizeof(class));
	memcpy(class + LIB.enter_slot, &calls[0], sizeof(calls[0]));
	memcpy(class + LIB.interrupt_slot, &calls[1], sizeof(calls[0]));
	memcpy(class + LIB.fill_slot, &calls[2], sizeof(calls[0]));
}
