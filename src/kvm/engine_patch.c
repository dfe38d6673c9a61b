/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Calls of the library's that come here instead, by way of its table of calls. For others in this process who
 * use the library all is as before.
 *
 * A guest's hardware breakpoints: the core makes each one of its own breakpoints, and forgets all translated
 * code for that, also the code that is being executed, which is gone when the instruction is over. So guests
 * have none.
 *
 * Blocks of code: some instructions leave a temporary variable behind until the end of their block, and the
 * core does not look whether there is room for another. Short blocks have room.
 *
 * abort() and what assert() calls: there is code that the core cannot translate, a far call by a register for
 * one. The run ends, and not the process: what has been translated so far of the block is not used.
 */
#include "kvm/engine_impl.h"

#include <assert.h>
#include <dlfcn.h>
#include <elf.h>
#include <link.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

typedef int (*breakpoint_fn)(void *cpu, uint64_t address, int flags, void **out);
typedef int (*watchpoint_fn)(void *cpu, uint64_t address, uint64_t len, int flags, void **out);

typedef void (*translate_fn)(void *cpu, void *block, int max_instructions);

#define MAX_INSTRUCTIONS 64 /* of a block; the core has room for 512 variables */

static translate_fn translate;
static breakpoint_fn insert_breakpoint;
static watchpoint_fn insert_watchpoint;
static __typeof__(abort) *abort_process;
static __typeof__(__assert_fail) *assert_fail;

static int no_breakpoint(void *cpu, uint64_t address, int flags, void **out)
{
	return engine_running ? -ENOSPC : insert_breakpoint(cpu, address, flags, out);
}

static int no_watchpoint(void *cpu, uint64_t address, uint64_t len, int flags, void **out)
{
	return engine_running ? -ENOSPC : insert_watchpoint(cpu, address, len, flags, out);
}

static void translate_short(void *cpu, void *block, int max_instructions)
{
	translate(cpu, block, engine_running ? MIN(max_instructions, MAX_INSTRUCTIONS) : max_instructions);
}

static void give_up(void)
{
	if (!engine_running)
		return;
	engine_running->no_code = true;
	engine_leave(engine_running, 0);
}

static _Noreturn void no_abort(void)
{
	give_up();
	abort_process();
	__builtin_unreachable();
}

static _Noreturn void no_assert(const char *what, const char *file, unsigned int line, const char *function)
{
	give_up();
	assert_fail(what, file, line, function);
	__builtin_unreachable();
}

struct calls {
	uintptr_t base;
	const Elf64_Sym *symbols;
	const char *names;
	const Elf64_Rela *slots;
	size_t nr;
};

static const void *address_of(const struct calls *calls, const Elf64_Dyn *entry)
{
	uintptr_t at = entry->d_un.d_ptr;

	return (const void *)(at < calls->base ? calls->base + at : at);
}

static bool find_calls(void *library, struct calls *calls)
{
	struct link_map *map;

	if (dlinfo(library, RTLD_DI_LINKMAP, &map))
		return false;
	*calls = (struct calls){ .base = map->l_addr };
	for (const Elf64_Dyn *entry = map->l_ld; entry->d_tag != DT_NULL; entry++) {
		if (entry->d_tag == DT_SYMTAB)
			calls->symbols = address_of(calls, entry);
		else if (entry->d_tag == DT_STRTAB)
			calls->names = address_of(calls, entry);
		else if (entry->d_tag == DT_JMPREL)
			calls->slots = address_of(calls, entry);
		else if (entry->d_tag == DT_PLTRELSZ)
			calls->nr = entry->d_un.d_val / sizeof(*calls->slots);
	}
	return calls->symbols && calls->names && calls->slots;
}

static void *slot_of(const struct calls *calls, const char *name)
{
	for (size_t i = 0; i < calls->nr; i++) {
		const Elf64_Sym *symbol = &calls->symbols[ELF64_R_SYM(calls->slots[i].r_info)];

		if (!strcmp(calls->names + symbol->st_name, name))
			return (void *)(calls->base + calls->slots[i].r_offset);
	}
	return NULL;
}

/* The table is not writable once the library has been loaded. */
static bool take_over(const struct calls *calls, const char *name, void *original, uintptr_t new)
{
	void *slot = slot_of(calls, name);
	void *page = (void *)((uintptr_t)slot & ~(uintptr_t)UVFIO_PAGE_MASK);

	if (!slot || mprotect(page, UVFIO_PAGE_SIZE, PROT_READ | PROT_WRITE))
		return false;
	memcpy(original, slot, sizeof(new));
	memcpy(slot, &new, sizeof(new));
	mprotect(page, UVFIO_PAGE_SIZE, PROT_READ);
	return true;
}

int engine_patch(void *library, char *why, size_t len)
{
	struct calls calls;

	if (find_calls(library, &calls) &&
	    take_over(&calls, "gen_intermediate_code_x86_64", &translate, (uintptr_t)translate_short) &&
	    take_over(&calls, "cpu_breakpoint_insert_x86_64", &insert_breakpoint, (uintptr_t)no_breakpoint) &&
	    take_over(&calls, "cpu_watchpoint_insert_x86_64", &insert_watchpoint, (uintptr_t)no_watchpoint) &&
	    take_over(&calls, "abort", &abort_process, (uintptr_t)no_abort) &&
	    take_over(&calls, "__assert_fail", &assert_fail, (uintptr_t)no_assert))
		return 0;
	snprintf(why, len, "libunicorn.so.2 does not make its calls as that of Debian 12 does");
	return -ENOEXEC;
}
