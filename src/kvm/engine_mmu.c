/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Guest virtual to guest physical addresses, for the core's translation cache: the library's own function
 * checks the guest's page tables and then takes the virtual address for the physical one.
 *
 * As Intel's manual has it, volume 3, chapter 4: 32-bit, PAE and 4-level paging, 4 MiB, 2 MiB and 1 GiB
 * pages, NX, SMEP and SMAP; accessed and dirty bits are set. No protection keys, no 5 levels.
 *
 * A page is entered as writable when it has been written: the guest's dirty bit, and the log of a memory
 * slot, are due at the first store. Memory that may not be written is entered for a store as I/O, beyond all
 * physical addresses.
 */
#include "base/fault.h"
#include "kvm/engine_impl.h"

#include <string.h>

#define LIB        engine_library

#define PRESENT    BIT64(0)
#define WRITABLE   BIT64(1)
#define USER       BIT64(2)
#define ACCESSED   BIT64(5)
#define DIRTY      BIT64(6)
#define LARGE      BIT64(7)
#define NX         BIT64(63)
#define ADDRESS    (BIT64(52) - UVFIO_PAGE_SIZE)
#define IGNORED_HI (BIT64(63) - BIT64(52)) /* between address and NX */

#define CR0_WP     BIT64(16)
#define CR0_PG     BIT64(31)
#define CR4_PSE    BIT64(4)
#define CR4_PAE    BIT64(5)
#define CR4_SMEP   BIT64(20)
#define EFER_LMA   BIT64(10)
#define EFER_NXE   BIT64(11)

enum { LOAD, STORE, FETCH };                            /* the core's */
enum { PROT_LOAD = 1, PROT_STORE = 2, PROT_FETCH = 4 }; /* the core's */
enum { MMU_KERNEL_SMAP, MMU_USER, MMU_KERNEL };         /* the core's; the last: AC is set, or no SMAP */
enum { ERROR_PRESENT = 1, ERROR_WRITE = 2, ERROR_USER = 4, ERROR_RESERVED = 8, ERROR_FETCH = 16 };

struct walk {
	struct engine *engine;
	uint64_t address, efer, cr0, cr4;
	int access, mmu;
	bool look_only;
	/* out */
	uint64_t gpa, rights; /* WRITABLE, USER of all levels; NX of any */
	bool dirty;
	unsigned int error;
};

static void *memory_at(struct engine *engine, uint64_t gpa, size_t len)
{
	const struct engine_memory *memory = engine_memory_at(engine, gpa);

	if (!memory || memory->size - (gpa - memory->gpa) < len)
		return NULL;
	return (char *)memory->at + (gpa - memory->gpa);
}

uint64_t engine_readonly_value(struct engine *engine, uint64_t gpa, unsigned int size)
{
	const void *at = memory_at(engine, gpa, size);
	uint64_t value = 0;

	if (at)
		memcpy(&value, at, size);
	return value;
}

static uint64_t read_entry(struct walk *walk, uint64_t gpa, unsigned int size)
{
	const void *at = memory_at(walk->engine, gpa, size);
	uint64_t entry = 0;

	if (!at || copy_nofault(&entry, at, size))
		return 0; /* not present */
	return entry;
}

static void set_bits(struct walk *walk, uint64_t gpa, uint64_t bits)
{
	const struct engine_memory *memory = engine_memory_at(walk->engine, gpa);
	uint8_t *at = memory_at(walk->engine, gpa, 1);

	if (!at || memory->readonly || walk->look_only)
		return;
	__atomic_fetch_or(at, (uint8_t)bits, __ATOMIC_RELAXED);
	if (memory->log)
		walk->engine->ops->dirty(walk->engine->arg, gpa);
}

/* The rights that a last-level entry leaves, against what is wanted. */
static bool allowed(const struct walk *walk)
{
	bool user = walk->mmu == MMU_USER;

	if (user && !(walk->rights & USER))
		return false;
	switch (walk->access) {
	case FETCH:
		return !(walk->rights & NX) && (user || !(walk->cr4 & CR4_SMEP) || !(walk->rights & USER));
	case STORE:
		if (!(walk->rights & WRITABLE) && (user || (walk->cr0 & CR0_WP)))
			return false;
		/* fallthrough */
	default:
		return walk->mmu != MMU_KERNEL_SMAP || !(walk->rights & USER);
	}
}

/* The entry that has the page. base: its physical address; shift: its size. */
static bool last_level(struct walk *walk, uint64_t at, uint64_t entry, uint64_t base, unsigned int shift)
{
	uint64_t low = BIT64(shift) - 1, want = ACCESSED;

	if (base & low & ~(UVFIO_PAGE_MASK | BIT64(12))) /* 12: PAT of large pages */
		walk->error = ERROR_PRESENT | ERROR_RESERVED;
	else if (!allowed(walk))
		walk->error = ERROR_PRESENT;
	if (walk->error)
		return false;
	if (walk->access == STORE)
		want |= DIRTY;
	if ((entry & want) != want)
		set_bits(walk, at, want);
	walk->dirty = (entry | want) & DIRTY;
	walk->gpa = (base & ~low) | (walk->address & low);
	return true;
}

static bool not_present(struct walk *walk, uint64_t entry, uint64_t reserved)
{
	if (entry & PRESENT && !(entry & reserved))
		return false;
	walk->error = entry & PRESENT ? ERROR_PRESENT | ERROR_RESERVED : 0;
	return true;
}

static bool walk_32(struct walk *walk)
{
	uint64_t at =
		(walk->engine->state->cr[3] & ~(uint64_t)UVFIO_PAGE_MASK) + ((walk->address >> 20) & 0xffc);
	uint64_t entry = read_entry(walk, at, 4);

	if (not_present(walk, entry, 0))
		return false;
	walk->rights = entry & (WRITABLE | USER);
	if ((entry & LARGE) && (walk->cr4 & CR4_PSE))
		return last_level(walk, at, entry, (entry & 0xffc00000) | ((entry & 0x1fe000) << 19), 22);
	if (!(entry & ACCESSED))
		set_bits(walk, at, ACCESSED);
	at = (entry & 0xfffff000) + ((walk->address >> 10) & 0xffc);
	entry = read_entry(walk, at, 4);
	if (not_present(walk, entry, 0))
		return false;
	walk->rights &= entry;
	return last_level(walk, at, entry, entry & 0xfffff000, 12);
}

/* From an entry's table down. levels: how many are left. */
static bool walk_64(struct walk *walk, uint64_t table, int levels, uint64_t reserved)
{
	for (int level = levels; level > 0; level--) {
		unsigned int shift = 12 + 9 * ((unsigned int)level - 1);
		uint64_t at = table + ((walk->address >> shift) & 0x1ff) * 8, entry = read_entry(walk, at, 8);

		if (not_present(walk, entry, reserved | (level == 4 ? LARGE : 0)))
			return false;
		walk->rights = (walk->rights & entry & (WRITABLE | USER)) | ((walk->rights | entry) & NX);
		if (level == 1 || ((entry & LARGE) && level < 4))
			return last_level(walk, at, entry, entry & ADDRESS, shift);
		if (!(entry & ACCESSED))
			set_bits(walk, at, ACCESSED);
		table = entry & ADDRESS;
	}
	return false;
}

static bool walk_pae(struct walk *walk)
{
	uint64_t reserved = walk->efer & EFER_NXE ? 0 : NX;
	uint64_t at = (walk->engine->state->cr[3] & 0xffffffe0) + ((walk->address >> 27) & 0x18), entry;

	walk->rights = WRITABLE | USER;
	if (walk->efer & EFER_LMA)
		return walk_64(walk, walk->engine->state->cr[3] & ADDRESS, 4, reserved);
	entry = read_entry(walk, at, 8);
	if (not_present(walk, entry, NX | IGNORED_HI))
		return false;
	return walk_64(walk, entry & ADDRESS, 2, reserved | IGNORED_HI);
}

static bool walk_tables(struct walk *walk)
{
	bool ok = walk->cr4 & CR4_PAE ? walk_pae(walk) : walk_32(walk);

	if (ok)
		return true;
	if (walk->access == STORE)
		walk->error |= ERROR_WRITE;
	if (walk->mmu == MMU_USER)
		walk->error |= ERROR_USER;
	if (walk->access == FETCH &&
	    ((walk->cr4 & CR4_SMEP) || ((walk->efer & EFER_NXE) && (walk->cr4 & CR4_PAE))))
		walk->error |= ERROR_FETCH;
	return false;
}

static int rights_of(const struct walk *walk)
{
	struct walk ask = *walk;
	int prot = 0;

	if (!(walk->cr0 & CR0_PG))
		return PROT_LOAD | PROT_STORE | PROT_FETCH;
	ask.access = LOAD;
	prot |= allowed(&ask) ? PROT_LOAD : 0;
	ask.access = FETCH;
	prot |= allowed(&ask) ? PROT_FETCH : 0;
	ask.access = STORE;
	prot |= allowed(&ask) && walk->dirty ? PROT_STORE : 0;
	return prot;
}

static void enter_page(const struct walk *walk)
{
	struct engine *engine = walk->engine;
	uint64_t gpa = walk->gpa & ~(uint64_t)UVFIO_PAGE_MASK;
	const struct engine_memory *memory = engine_memory_at(engine, gpa);
	int prot = rights_of(walk);

	if (walk->access == FETCH)
		engine_note_code(engine, gpa);
	else if ((prot & PROT_FETCH) && !engine_is_code(engine, gpa))
		prot &= ~PROT_FETCH; /* or nobody would hear of its code */
	if (memory && walk->access == STORE && memory->readonly) {
		gpa |= ENGINE_READONLY;
		prot &= ~PROT_FETCH;
	} else if (memory && walk->access == STORE && memory->log) {
		engine->ops->dirty(engine->arg, gpa);
	} else if (memory && (memory->readonly || memory->log)) {
		prot &= ~PROT_STORE;
	}
	LIB.tlb_set_page(engine->cpu, walk->address & ~(uint64_t)UVFIO_PAGE_MASK, gpa, 0, prot, walk->mmu,
			 UVFIO_PAGE_SIZE);
}

static bool is_canonical(const struct walk *walk)
{
	int64_t top = (int64_t)walk->address >> 47;

	return !(walk->efer & EFER_LMA) || !top || top == -1;
}

static struct walk new_walk(struct engine *engine, uint64_t address, int access, int mmu)
{
	struct walk walk = {
		.engine = engine,
		.efer = engine_efer(engine),
		.cr0 = engine->state->cr[0],
		.cr4 = engine->state->cr[4],
		.access = access,
		.mmu = mmu,
	};

	walk.address = walk.gpa = walk.efer & EFER_LMA ? address : (uint32_t)address;
	return walk;
}

bool engine_translate(struct engine *engine, uint64_t address, uint64_t *gpa)
{
	struct walk walk = new_walk(engine, address, LOAD, MMU_KERNEL);

	walk.look_only = true;
	if (!is_canonical(&walk) || ((walk.cr0 & CR0_PG) && !walk_tables(&walk)))
		return false;
	*gpa = walk.gpa;
	return true;
}

bool engine_fill(void *cpu, uint64_t address, int size, int access, int mmu, bool probe, uintptr_t place)
{
	struct engine *engine = engine_running;
	struct walk walk = new_walk(engine, address, access, mmu);

	(void)cpu;
	(void)size;
	if (!is_canonical(&walk) || ((walk.cr0 & CR0_PG) && !walk_tables(&walk))) {
		if (probe)
			return false;
		if (!is_canonical(&walk))
			LIB.raise_error_at(engine->state, 13, 0, place);
		engine->state->cr[2] = walk.address;
		LIB.raise_error_at(engine->state, 14, (int)walk.error, place);
		__builtin_unreachable();
	}
	if (access == FETCH && !engine_memory_at(engine, walk.gpa)) {
		engine->no_code = true;
		engine_leave(engine, place);
	}
	walk.address = address;
	enter_page(&walk);
	return true;
}
