/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A guest's hardware breakpoints. The core makes each one of its own breakpoints, and forgets all translated
 * code for that: also the code that is being executed, which is gone when the instruction is over. So the
 * core's calls of the two functions that do it come here, by way of the library's table of calls, and guests
 * have no hardware breakpoints. For others in this process who use the library all is as before.
 */
#include "kvm/engine_impl.h"

#include <dlfcn.h>
#include <elf.h>
#include <link.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

typedef int (*breakpoint_fn)(void *cpu, uint64_t address, int flags, void **out);
typedef int (*watchpoint_fn)(void *cpu, uint64_t address, uint64_t len, int flags, void **out);

static breakpoint_fn insert_breakpoint;
static watchpoint_fn insert_watchpoint;

static int no_breakpoint(void *cpu, uint64_t address, int flags, void **out)
{
	return engine_running ? -ENOSPC : insert_breakpoint(cpu, address, flags, out);
}

static int no_watchpoint(void *cpu, uint64_t address, uint64_t len, int flags, void **out)
{
	return engine_running ? -ENOSPC : insert_watchpoint(cpu, address, len, flags, out);
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
static bool replace(void *slot, uintptr_t old, uintptr_t new)
{
	void *page = (void *)((uintptr_t)slot & ~(uintptr_t)UVFIO_PAGE_MASK);
	uintptr_t is;

	memcpy(&is, slot, sizeof(is));
	if (is != old || mprotect(page, UVFIO_PAGE_SIZE, PROT_READ | PROT_WRITE))
		return false;
	memcpy(slot, &new, sizeof(new));
	mprotect(page, UVFIO_PAGE_SIZE, PROT_READ);
	return true;
}

static bool take_over(const struct calls *calls, void *library, const char *name, void *original,
		      uintptr_t new)
{
	void *at = dlsym(library, name), *slot = slot_of(calls, name);

	memcpy(original, &at, sizeof(at));
	return at && slot && replace(slot, (uintptr_t)at, new);
}

int engine_patch(void *library, char *why, size_t len)
{
	struct calls calls;

	if (find_calls(library, &calls) &&
	    take_over(&calls, library, "cpu_breakpoint_insert_x86_64", &insert_breakpoint,
		      (uintptr_t)no_breakpoint) &&
	    take_over(&calls, library, "cpu_watchpoint_insert_x86_64", &insert_watchpoint,
		      (uintptr_t)no_watchpoint))
		return 0;
	snprintf(why, len, "libunicorn.so.2 does not call its breakpoints as that of Debian 12 does");
	return -ENOEXEC;
}
