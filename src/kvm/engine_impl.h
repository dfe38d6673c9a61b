/* SPDX-License-Identifier: BSD-2-Clause */
/* What the engine's files share: the library's functions, where things lie in it, and a processor. */
#ifndef UVFIO_KVM_ENGINE_IMPL_H
#define UVFIO_KVM_ENGINE_IMPL_H

#include "kvm/engine.h"

#include <unicorn/unicorn.h>
#include <unwind.h>

/* Public functions of the library, then those of its core, then the unwinder's. */
#define ENGINE_FUNCTIONS(X)                                                                                  \
	X(uc_open)                                                                                           \
	X(uc_close)                                                                                          \
	X(uc_ctl)                                                                                            \
	X(uc_hook_add)                                                                                       \
	X(uc_hook_del)                                                                                       \
	X(uc_mem_map_ptr)                                                                                    \
	X(uc_mmio_map)                                                                                       \
	X(uc_mem_unmap)                                                                                      \
	X(uc_reg_read)                                                                                       \
	X(uc_reg_write)                                                                                      \
	X(uc_emu_start)                                                                                      \
	X(uc_emu_stop)                                                                                       \
	X(uc_strerror)

struct engine_library {
#define X(name) __typeof__(name) *name;
	ENGINE_FUNCTIONS(X)
#undef X
	struct engine_region *(*memory_mapping)(uc_engine *uc, uint64_t address);
	struct engine_region *(*memory_map_ptr)(uc_engine *uc, uint64_t gpa, uint64_t size, uint32_t perms,
						void *at);
	void (*memory_unmap)(uc_engine *uc, struct engine_region *region);
	void (*g_free)(void *p);
	uint64_t (*region_ram_address)(struct engine_region *region);
	void (*invalidate_range)(uc_engine *uc, uint64_t start, uint64_t end);
	bool (*tlb_fill)(void *cpu, uint64_t address, int size, int access, int mmu, bool probe,
			 uintptr_t place);
	void (*tlb_set_page)(void *cpu, uint64_t address, uint64_t gpa, uint32_t attributes, int prot,
			     int mmu, uint64_t size);
	/* These five do not return. */
	void (*raise_error_at)(void *env, int vector, int error, uintptr_t place);
	void (*raise_error)(void *env, int vector, int error);
	void (*raise)(void *env, int vector);
	void (*loop_exit_restore)(void *cpu, uintptr_t place);
	void (*loop_exit)(void *cpu); /* the exception in flight is dropped */
	bool (*restore_state)(void *cpu, uintptr_t place, bool will_exit);
	void (*do_interrupt)(void *cpu);
	void (*do_hardirq)(void *env, int vector, int is_hw);
	void (*exec_enter)(void *cpu);
	bool (*exec_interrupt)(void *cpu, int request);
	void (*update_hflags)(void *env);
	void (*tlb_flush)(void *cpu);
	__typeof__(_Unwind_Backtrace) *unwind_backtrace;
	__typeof__(_Unwind_GetIP) *unwind_ip;
	__typeof__(_Unwind_GetGR) *unwind_register;

	/* Where things lie: of the core's processor in the library's, and so on; bytes. */
	size_t cpu, env, efer, features, exception, io_place, class;
	size_t enter_slot, interrupt_slot, fill_slot; /* in the class */
};

extern struct engine_library engine_library;

/* Of the core's processor. That they are there is tried (engine_trial.c). */
#define CPU_INTERRUPT_REQUEST 0x1c
#define INTERRUPT_HARD        2u
#define CPU_HALTED            0x8198

#define RFLAGS_TF             BIT64(8)
#define HFLAG_INHIBIT_IRQ     BIT32(3)

struct engine;

/* A region of the library's: what is used of it. */
#define ENGINE_REGION_SIZE 0xa0

struct engine_region {
	char unused1[0x40];
	uint64_t address;
	void (*destructor)(struct engine_region *region);
	char unused2[0x38];
	uint32_t perms;
	uint64_t end;
};

struct engine_ram {
	struct engine_memory memory;
	struct engine_region *region;
};

struct engine {
	uc_engine *uc;
	char *cpu; /* the core's processor */
	struct engine_state *state;
	const struct engine_ops *ops;
	void *arg;
	struct engine_ram *ram; /* ascending */
	unsigned int nr_ram;
	struct engine_code *code;
	atomic_bool kicked, wanted, attention; /* the last: one of them, for on_block() */
	uint64_t blocks;                       /* that have been begun */
	bool window, stepping;
	bool left, windowed, invalid, no_code, faulted, stepped, paused; /* how a run ended */
	unsigned int delivering; /* the exception that is being taken, plus one */
	bool taking;             /* an interrupt is */
	bool injecting, inject_more, nmi_window;
	uint8_t inject;
	int64_t inject_error;
};

/* The exception that is being taken, as the core remembers it for double faults; EXCEPTION_NONE. */
#define EXCEPTION_NONE (-1)
int32_t engine_exception(const struct engine *engine);

/* engine_probe.c: find where things lie. 0 or -ENOEXEC with the reason in why. */
int engine_probe(char *why, size_t len);
int engine_trial(char *why, size_t len); /* behind it: engine_trial.c */

/* engine_patch.c: 0 or -ENOEXEC with the reason in why. */
int engine_patch(void *library, char *why, size_t len);

/* engine_hooks.c */
int engine_add_hooks(struct engine *engine);
uint64_t engine_mmio_read(uc_engine *uc, uint64_t offset, unsigned int size, void *arg);
void engine_mmio_write(uc_engine *uc, uint64_t offset, unsigned int size, uint64_t value, void *arg);
/* In something that generated code called: end the run, with the registers as before the instruction whose
 * place it is (0: they are already). */
_Noreturn void engine_leave(struct engine *engine, uintptr_t place);
/* Take over what the core calls when a run begins, when there may be an interrupt, and for a page that it
 * does not know. */
void engine_take_calls(struct engine *engine);
extern __thread struct engine *engine_running __attribute__((tls_model("initial-exec")));

/* engine_memory.c */
int engine_map_io(struct engine *engine);
const struct engine_memory *engine_memory_at(struct engine *engine, uint64_t gpa);
struct engine_region *engine_region_at(struct engine *engine, uint64_t gpa);

/* engine_fault.c: in the thread that runs; 0 or -errno */
int engine_catch_faults(void);

/* engine_code.c: memory that code has been translated of. */
int engine_code_init(struct engine *engine);
void engine_code_free(struct engine *engine);
void engine_note_code(struct engine *engine, uint64_t gpa);
bool engine_is_code(const struct engine *engine, uint64_t gpa); /* noted */
void engine_check_code(struct engine *engine);                  /* before a run */
void engine_forget_code(struct engine *engine, struct engine_region *region);
void engine_forget_range(struct engine *engine, struct engine_region *region, uint64_t offset, uint64_t size);

/* engine_mmu.c: instead of the core's own; as it has it. */
bool engine_fill(void *cpu, uint64_t address, int size, int access, int mmu, bool probe, uintptr_t place);

/* Where writes to read-only memory go: I/O, at an address that no memory has. */
#define ENGINE_READONLY BIT64(52)
uint64_t engine_readonly_value(struct engine *engine, uint64_t gpa, unsigned int size);

#endif
