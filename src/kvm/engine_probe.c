/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Where things lie in the library's structures: found with a processor of its own, by values that were put
 * there on purpose. A page of memory has code, a page behind it is I/O.
 */
#include "base/fault.h"
#include "kvm/engine_impl.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LIB   engine_library

#define CODE  0x1000
#define IO    0x10000
#define EFER  0xc0000080
#define INNER 0x20000 /* no structure of the library is larger */

struct probe {
	uc_engine *uc;
	uintptr_t place, env; /* of the last frame that could be unwound to */
	unsigned int runs;
};

static _Unwind_Reason_Code note_frame(struct _Unwind_Context *context, void *arg)
{
	struct probe *probe = arg;

	probe->place = LIB.unwind_ip(context);
	probe->env = LIB.unwind_register(context, 6); /* RBP: generated code has the processor there */
	return _URC_NO_REASON;
}

static void on_out(uc_engine *uc, uint32_t port, int size, uint32_t value, void *arg)
{
	(void)uc;
	(void)port;
	(void)size;
	(void)value;
	LIB.unwind_backtrace(note_frame, arg);
}

static uint64_t on_read(uc_engine *uc, uint64_t offset, unsigned int size, void *arg)
{
	(void)uc;
	(void)offset;
	(void)size;
	(void)arg;
	return 0;
}

/* The core has the place of this access somewhere in its processor. */
static void on_write(uc_engine *uc, uint64_t offset, unsigned int size, uint64_t value, void *arg)
{
	struct probe *probe = arg;

	(void)uc;
	(void)offset;
	(void)size;
	(void)value;
	LIB.unwind_backtrace(note_frame, arg);
	for (size_t at = 0; at < LIB.env; at += sizeof(uintptr_t)) {
		uintptr_t word;

		memcpy(&word, (const char *)(probe->env - LIB.env) + at, sizeof(word));
		if (word == probe->place)
			LIB.io_place = at;
	}
}

/* Words at p, which may be no address at all. */
static bool peek(uint64_t p, uint64_t *words, size_t nr)
{
	return p > UVFIO_PAGE_SIZE && !(p & 7) &&
	       !copy_nofault(words, (const void *)(uintptr_t)p, nr * sizeof(*words));
}

#define HEAD 512 /* words of a structure that are looked at */

/* The processor's state is a part of the core's processor, which points to it and to which uc points. */
static bool find_processor(const struct probe *probe)
{
	uint64_t uc[HEAD], cpu[HEAD];

	if (!peek((uint64_t)(uintptr_t)probe->uc, uc, HEAD))
		return false;
	for (size_t i = 0; i < HEAD; i++) {
		if (uc[i] >= probe->env || uc[i] + INNER < probe->env || !peek(uc[i], cpu, HEAD))
			continue;
		for (size_t j = 0; j < HEAD; j++) {
			if (cpu[j] == probe->env) {
				LIB.cpu = i * sizeof(uc[0]);
				LIB.env = probe->env - uc[i];
				return true;
			}
		}
	}
	return false;
}

#define CALLS 64 /* words of a class */

/* Which of the calls that we take over are there. */
static unsigned int find_calls(const uint64_t *class)
{
	const struct {
		uintptr_t call;
		size_t *slot;
	} calls[] = {
		{ (uintptr_t)LIB.exec_enter, &LIB.enter_slot },
		{ (uintptr_t)LIB.exec_interrupt, &LIB.interrupt_slot },
		{ (uintptr_t)LIB.tlb_fill, &LIB.fill_slot },
	};
	unsigned int found = 0;

	for (size_t i = 0; i < CALLS; i++) {
		for (unsigned int j = 0; j < ARRAY_SIZE(calls); j++) {
			if (class[i] == calls[j].call) {
				*calls[j].slot = i * sizeof(class[0]);
				found |= BIT32(j);
			}
		}
	}
	return found;
}

/* Its class has them. */
static bool find_class(const struct probe *probe)
{
	const uint64_t *cpu = (const uint64_t *)(probe->env - LIB.env);
	uint64_t class[CALLS];

	for (size_t i = 0; i < LIB.env / sizeof(*cpu); i++) {
		if (peek(cpu[i], class, CALLS) && find_calls(class) == 7) {
			LIB.class = i * sizeof(*cpu);
			return true;
		}
	}
	return false;
}

/* A processor begins in long mode: where EFER's LME and LMA are, and nothing else. */
static bool find_efer(struct probe *probe)
{
	uc_x86_msr msr = { .rid = EFER };
	uint64_t *env = (uint64_t *)probe->env, was = BIT64(8) | BIT64(10);

	for (size_t i = 0; i < 0x400 / sizeof(*env); i++) {
		if (env[i] != was)
			continue;
		env[i] = 0;
		LIB.uc_reg_read(probe->uc, UC_X86_REG_MSR, &msr);
		env[i] = was;
		if (!msr.value) {
			LIB.efer = i * sizeof(*env);
			return true;
		}
	}
	return false;
}

/* What the processor has, as CPUID's leaf 1 says it: EDX, then ECX. */
static bool find_features(struct probe *probe)
{
	const uint64_t *env = (const uint64_t *)probe->env;
	uint64_t ecx = 0, edx = 0;

	LIB.uc_reg_read(probe->uc, UC_X86_REG_RCX, &ecx);
	LIB.uc_reg_read(probe->uc, UC_X86_REG_RDX, &edx);
	for (size_t i = 0x400 / sizeof(*env); edx && i < 0x2000 / sizeof(*env); i++) {
		if (env[i] == edx && env[i + 1] == ecx) {
			LIB.features = i * sizeof(*env);
			return true;
		}
	}
	return false;
}

#define BEHIND_DEBUG_REGISTERS (8 + 4) /* words: the registers, and a pointer for each breakpoint */

/* The exception in flight is behind the debug registers, and there is none. */
static bool find_exception(struct probe *probe)
{
	const uint64_t *env = (const uint64_t *)probe->env;
	uint64_t dr[4];

	for (int i = 0; i < 4; i++) {
		dr[i] = 0x123456789abc0000u + (unsigned int)i;
		LIB.uc_reg_write(probe->uc, UC_X86_REG_DR0 + i, &dr[i]);
	}
	for (size_t i = 0; i < 0x4000 / sizeof(*env); i++) {
		if (memcmp(&env[i], dr, sizeof(dr)) != 0)
			continue;
		LIB.exception = (i + BEHIND_DEBUG_REGISTERS) * sizeof(*env);
		return (int32_t)env[i + BEHIND_DEBUG_REGISTERS] == EXCEPTION_NONE;
	}
	return false;
}

/* Is struct engine_state what the library's processor begins with? */
static bool state_is_as_expected(struct probe *probe)
{
	static const int order[16] = { UC_X86_REG_RAX, UC_X86_REG_RCX, UC_X86_REG_RDX, UC_X86_REG_RBX,
				       UC_X86_REG_RSP, UC_X86_REG_RBP, UC_X86_REG_RSI, UC_X86_REG_RDI,
				       UC_X86_REG_R8,  UC_X86_REG_R9,  UC_X86_REG_R10, UC_X86_REG_R11,
				       UC_X86_REG_R12, UC_X86_REG_R13, UC_X86_REG_R14, UC_X86_REG_R15 };
	const struct engine_state *state = (const void *)probe->env;
	uc_x86_mmr tr = { .selector = 0x28, .base = 0x11223344, .limit = 0x67, .flags = 0x8b00 };
	uc_x86_mmr idt = { .base = 0x55667788, .limit = 0x3ff };
	uint64_t fs = 0x123456789000, cr3 = 0x5000, rip = 0x4321, value;
	bool same = true;

	for (unsigned int i = 0; i < 16; i++) {
		value = 0x1111111111111111u * i + 1;
		LIB.uc_reg_write(probe->uc, order[i], &value);
		same = same && state->regs[i] == value;
	}
	LIB.uc_reg_write(probe->uc, UC_X86_REG_RIP, &rip);
	LIB.uc_reg_write(probe->uc, UC_X86_REG_TR, &tr);
	LIB.uc_reg_write(probe->uc, UC_X86_REG_IDTR, &idt);
	LIB.uc_reg_write(probe->uc, UC_X86_REG_FS_BASE, &fs);
	LIB.uc_reg_write(probe->uc, UC_X86_REG_CR3, &cr3);
	return same && state->rip == rip && state->tr.selector == 0x28 && state->tr.base == tr.base &&
	       state->tr.limit == tr.limit && state->tr.flags == tr.flags && state->idt.base == idt.base &&
	       state->idt.limit == idt.limit && state->segs[ENGINE_FS].base == fs && state->cr[3] == cr3 &&
	       state->cr[0] & 1;
}

static bool region_is_as_expected(const struct probe *probe)
{
	const struct engine_region *region = LIB.memory_mapping(probe->uc, IO);

	return region && region->address == IO && region->end == IO + UVFIO_PAGE_SIZE && region->destructor &&
	       region->perms == (UC_PROT_READ | UC_PROT_WRITE);
}

/* Each piece of code has a place of its own: what has been translated stays. */
static bool run(struct probe *probe, char *memory, const char *code, size_t len)
{
	uint64_t rdi = IO, rdx = 0x500, at = CODE + 0x100 * probe->runs++;

	memcpy(memory + at, code, len);
	LIB.uc_reg_write(probe->uc, UC_X86_REG_RDI, &rdi);
	LIB.uc_reg_write(probe->uc, UC_X86_REG_RDX, &rdx);
	return !LIB.uc_emu_start(probe->uc, at, 0, 0, 0);
}

static const char *find_all(struct probe *probe, char *memory)
{
	uc_hook hook;

	if (LIB.uc_mem_map_ptr(probe->uc, 0, IO, UC_PROT_ALL, memory) ||
	    LIB.uc_mmio_map(probe->uc, IO, 0x1000, on_read, probe, on_write, probe) ||
	    LIB.uc_hook_add(probe->uc, &hook, UC_HOOK_INSN, (void *)on_out, probe, (uint64_t)1, (uint64_t)0,
			    UC_X86_INS_OUT))
		return "memory cannot be mapped";
	if (!region_is_as_expected(probe))
		return "a region is not found";
	if (!run(probe, memory, "\xee\xf4", 2) || !probe->env)
		return "an OUT is not seen";
	if (!find_processor(probe))
		return "the processor is not found";
	if (!run(probe, memory, "\x89\x07\xf4", 3) || !LIB.io_place)
		return "the place of an access is not found";
	if (!find_class(probe))
		return "the processor's calls are not found";
	if (!find_efer(probe))
		return "EFER is not found";
	if (!find_exception(probe))
		return "the exception that is being taken is not found";
	if (!run(probe, memory, "\xb8\x01\x00\x00\x00\x0f\xa2\xf4", 8) || !find_features(probe))
		return "the processor's features are not found";
	return state_is_as_expected(probe) ? NULL : "the registers are not found";
}

int engine_probe(char *why, size_t len)
{
	char *memory = aligned_alloc(0x1000, IO);
	const char *wrong = "no memory";
	struct probe probe = { 0 };

	if (memory && !LIB.uc_open(UC_ARCH_X86, UC_MODE_64, &probe.uc)) {
		wrong = find_all(&probe, memory);
		LIB.uc_close(probe.uc);
	}
	free(memory);
	if (!wrong)
		return 0;
	snprintf(why, len, "libunicorn.so.2 is not made like Unicorn 2.0 of Debian 12: %s", wrong);
	return -ENOEXEC;
}
