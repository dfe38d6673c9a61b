/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What executes guest code: one processor of the Unicorn library, which is loaded when the first is made.
 *
 * Unicorn's public interface cannot leave an instruction half way with exact registers, set what is hidden in
 * a segment register, or take an interrupt. The library of Debian 12 exports the functions of its core that
 * can, and engine_load.c looks them up by name. Where things lie in its structures is not assumed: it is
 * found, and tried out, with the first processor (engine_probe.c); a library that answers otherwise is
 * refused in words.
 *
 * A processor belongs to one thread at a time; only engine_kick() may be called from any.
 */
#ifndef UVFIO_KVM_ENGINE_H
#define UVFIO_KVM_ENGINE_H

#include "base/base.h"

struct engine;

/* The beginning of the core's own state of a processor. Registers in the order of their numbers in machine
 * code. */
struct engine_segment {
	uint32_t selector;
	uint64_t base;
	uint32_t limit; /* bytes */
	uint32_t flags; /* as the upper half of a descriptor has them */
};

enum { ENGINE_ES, ENGINE_CS, ENGINE_SS, ENGINE_DS, ENGINE_FS, ENGINE_GS };

struct engine_state {
	uint64_t regs[16];
	uint64_t rip;
	uint64_t rflags; /* complete while the engine does not run */
	uint64_t cc_dst, cc_src, cc_src2;
	uint32_t cc_op;
	int32_t df;
	uint32_t hflags, hflags2; /* what is derived: engine_derive() */
	struct engine_segment segs[6], ldt, tr, gdt, idt;
	uint64_t cr[5];
};

/* What guest code asks for. */
enum engine_io { ENGINE_DONE, ENGINE_LEAVE /* the instruction has not happened; engine_run() ends */ };

struct engine_ops {
	enum engine_io (*out)(void *arg, uint16_t port, unsigned int size, uint32_t value);
	enum engine_io (*in)(void *arg, uint16_t port, unsigned int size, uint32_t *value);
	/* Physical addresses where no memory is mapped; size is 1, 2, 4 or 8. place: which access of which
	 * instruction it is, for engine_rip_of(). */
	enum engine_io (*read)(void *arg, uint64_t gpa, unsigned int size, uint64_t *value, uintptr_t place);
	enum engine_io (*write)(void *arg, uint64_t gpa, unsigned int size, uint64_t value, uintptr_t place);
	/* A page of memory that logs is about to be written; until engine_forget_translations() it can be
	 * written again without another call. */
	void (*dirty)(void *arg, uint64_t gpa);
	/* A vector to be taken now, or -1. Asked after engine_want(), when interrupts are enabled. */
	int (*interrupt)(void *arg);
	/* CPUID: eax, ebx, ecx, edx, in and out. */
	void (*cpuid)(void *arg, uint32_t regs[4]);
};

enum engine_end {
	ENGINE_KICKED,
	ENGINE_STEPPED, /* one instruction has been executed, as asked for */
	ENGINE_IO,      /* a callback said so */
	ENGINE_HALT,    /* HLT; RIP is behind it */
	ENGINE_WINDOW,  /* engine_window() was asked for, and interrupts can be taken */
	ENGINE_SHUTDOWN,
	ENGINE_FAULT, /* memory is not there */
	ENGINE_FETCH, /* there is nothing to execute at RIP */
	ENGINE_FAILED,
};

/* What a processor can do, as CPUID's bits. */
#define ENGINE_FEATURES_1_EDX                                                                                \
	0x078bfbffu /* FPU VME DE PSE TSC MSR PAE MCE CX8 APIC SEP MTRR PGE MCA CMOV PAT PSE36 CLFSH MMX     \
		       FXSR SSE SSE2 */
#define ENGINE_FEATURES_1_ECX  0x00982201u /* SSE3 SSSE3 CX16 SSE4.1 SSE4.2 POPCNT */
#define ENGINE_FEATURES_81_EDX 0x28100800u /* SYSCALL NX RDTSCP LM */
#define ENGINE_FEATURES_81_ECX 0x00000001u /* LAHF in long mode */

/* Load the library and try it. 0; -ENOENT, -ENOEXEC with the reason in why. The first call decides. */
int engine_load(char *why, size_t len);

int engine_new(const struct engine_ops *ops, void *arg, struct engine **out);
void engine_free(struct engine *engine);

/* Physical memory, all of it at once: the ranges ascend, do not overlap, and are page aligned; everything
 * else is I/O. 0 or -ENOMEM. */
struct engine_memory {
	uint64_t gpa, size;
	void *at;
	bool readonly; /* writes go to ops->write */
	bool log;
};

int engine_set_memory(struct engine *engine, const struct engine_memory *memory, unsigned int nr);
/* What is known of which pages may be accessed is looked up anew. */
void engine_forget_translations(struct engine *engine);
struct engine_state *engine_state(struct engine *engine);
/* The state was written: bring what is derived from it up to date. */
void engine_derive(struct engine *engine);

/* The physical address of a virtual one, for a load by the kernel; nothing is changed. */
bool engine_translate(struct engine *engine, uint64_t address, uint64_t *gpa);

/* Registers that are not in the state. */
uint64_t engine_msr(struct engine *engine, uint32_t number);
void engine_set_msr(struct engine *engine, uint32_t number, uint64_t value);
uint64_t engine_efer(const struct engine *engine);
void engine_set_efer(struct engine *engine, uint64_t efer);
uint64_t engine_debug_register(struct engine *engine, unsigned int n);
void engine_set_debug_register(struct engine *engine, unsigned int n, uint64_t value);

struct engine_fpu {
	uint8_t st[8][16]; /* by number from the top of the stack, 10 bytes each */
	uint16_t fcw, fsw;
	uint8_t tags; /* a bit for each physical register in use */
	uint16_t fop;
	uint64_t fip, fdp;
	uint8_t xmm[16][16];
	uint32_t mxcsr;
};

void engine_get_fpu(struct engine *engine, struct engine_fpu *fpu);
void engine_set_fpu(struct engine *engine, const struct engine_fpu *fpu);

/* Execute, from state->rip on. one: a single instruction. */
enum engine_end engine_run(struct engine *engine, bool one);
/* Leave engine_run() soon; when it does not run, the next run ends at once. Any thread, also a signal
 * handler. */
void engine_kick(struct engine *engine);
/* There may be something for ops->interrupt: ask before going on. Any thread. */
void engine_want(struct engine *engine);
/* Stop (ENGINE_WINDOW) when interrupts are enabled. The owner. */
void engine_window(struct engine *engine, bool on);
/* Raise an exception, or take an interrupt (whether they are enabled or not), before the next instruction.
 * error: the exception's code, or one of these. more: then the run ends (ENGINE_KICKED). */
#define ENGINE_NO_CODE   (-1)
#define ENGINE_INTERRUPT (-2)
#define ENGINE_NMI       (-3) /* masks NMIs until the next IRET */
void engine_inject(struct engine *engine, uint8_t vector, int64_t error, bool more);
/* A run may end before that. true: it has; nothing is to be injected any more. */
bool engine_take_back(struct engine *engine);
/* Stop (ENGINE_KICKED) when NMIs are not masked any more. */
void engine_nmi_window(struct engine *engine, bool on);
#define ENGINE_HFLAGS2_NMI 4u /* NMIs are masked */

/* Changes when a block of code begins: what an instruction accesses, it accesses within one. */
uint64_t engine_blocks(const struct engine *engine);

/* In a callback, before it returns ENGINE_LEAVE: the RIP of the instruction that made the access at place. */
uint64_t engine_rip_of(struct engine *engine, uintptr_t place);

#endif
