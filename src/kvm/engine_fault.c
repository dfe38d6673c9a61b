/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Memory of the program's that is not there, when guest code uses it: the run ends, and KVM_RUN says EFAULT.
 *
 * The handler of the fault changes where the thread goes on: not at the faulting instruction but at land(),
 * outside the handler, which leaves generated code as any other callback does. The thread never returns to
 * what lies below on its stack.
 */
#include "base/fault.h"
#include "kvm/engine_impl.h"

#include <signal.h>
#include <ucontext.h>

/* A place is told by what follows the instruction. */
#define AFTER 2

static bool is_guest_memory(const struct engine *engine, uintptr_t address)
{
	for (unsigned int i = 0; i < engine->nr_ram; i++)
		if (address - (uintptr_t)engine->ram[i].memory.at < engine->ram[i].memory.size)
			return true;
	return false;
}

static _Noreturn void land(struct engine *engine, uintptr_t place)
{
	engine->faulted = true;
	engine_leave(engine, place);
}

static enum fault_verdict on_fault(siginfo_t *info, void *context)
{
	greg_t *regs = ((ucontext_t *)context)->uc_mcontext.gregs;
	struct engine *engine = engine_running;

	if (!engine || !is_guest_memory(engine, (uintptr_t)info->si_addr))
		return FAULT_NOT_OURS;
	regs[REG_RSI] = regs[REG_RIP] + AFTER;
	regs[REG_RDI] = (greg_t)(uintptr_t)engine;
	regs[REG_RIP] = (greg_t)(uintptr_t)land;
	regs[REG_RSP] = ((regs[REG_RSP] - 256) & ~(greg_t)15) - 8; /* as behind a call */
	return FAULT_DONE;
}

int engine_catch_faults(void)
{
	fault_thread_trap = on_fault;
	return fault_handler_install(NULL);
}
