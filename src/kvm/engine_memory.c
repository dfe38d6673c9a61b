/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A processor's physical memory: one region of I/O that has all addresses, and above it the client's own
 * memory, which is not copied.
 *
 * The library looks for the region of an access by its virtual address, and its interface does not let
 * regions overlap. So the region of I/O is all that it is told of, and is made executable; memory is added by
 * the functions that it uses itself. It also cuts I/O into pieces of 4 bytes unless the region says
 * otherwise, which its interface cannot: the region's operations are found by the callbacks they were made
 * with, and widened.
 */
#include "kvm/engine_impl.h"

#include <stdlib.h>
#include <string.h>

#define LIB        engine_library

#define MAX_RANGES 1500 /* the library cannot have more than 4,096 sections, and stops the process */
#define HALF       BIT64(63)

/* What the library keeps for a region of I/O, and behind it the operations that its core knows. */
struct io_region {
	uc_cb_mmio_read_t read;
	void *read_arg;
	uc_cb_mmio_write_t write;
	void *write_arg;
	struct {
		void *calls[4];
		uint32_t endianness;
		struct {
			uint32_t min, max;
			bool unaligned;
			void *accepts;
		} valid;
		struct {
			uint32_t min, max;
			bool unaligned;
		} impl;
	} operations;
};

static bool widen(struct engine_region *region, const void *user)
{
	void **words = (void **)region;

	for (size_t i = 0; i < ENGINE_REGION_SIZE / sizeof(void *); i++) {
		struct io_region *io = words[i];
		bool both = false;

		for (size_t j = 0; io && j < ENGINE_REGION_SIZE / sizeof(void *); j++)
			both = both || words[j] == (void *)&io->operations;
		if (!both || io->read != engine_mmio_read || io->read_arg != user ||
		    io->write != engine_mmio_write || io->write_arg != user)
			continue;
		io->operations.impl.max = 8;
		io->operations.impl.unaligned = true;
		return true;
	}
	return false;
}

int engine_map_io(struct engine *engine)
{
	for (unsigned int i = 0; i < 2; i++) {
		uint64_t start = i * HALF;
		struct engine_region *region;

		if (LIB.uc_mmio_map(engine->uc, start, HALF - i * UVFIO_PAGE_SIZE, engine_mmio_read, engine,
				    engine_mmio_write, engine))
			return -ENOMEM;
		region = LIB.memory_mapping(engine->uc, start);
		if (!region || !widen(region, engine))
			return -ENOEXEC;
		region->perms |= UC_PROT_EXEC;
	}
	return 0;
}

/* ---- memory */

static void unmap(struct engine *engine, struct engine_region *region)
{
	engine_forget_code(engine, region);
	region->end = region->address; /* or it would go through its pages: the caller flushes them all */
	LIB.memory_unmap(engine->uc, region);
	region->destructor(region);
	LIB.g_free(region);
}

static bool same(const struct engine_memory *a, const struct engine_memory *b)
{
	return a->gpa == b->gpa && a->size == b->size && a->at == b->at;
}

/* What is in both may stay, with its region. */
static void keep_common(struct engine *engine, struct engine_ram *ram, unsigned int nr)
{
	for (unsigned int i = 0; i < engine->nr_ram; i++) {
		struct engine_ram *old = &engine->ram[i];
		unsigned int j = 0;

		while (j < nr && !same(&ram[j].memory, &old->memory))
			j++;
		if (j < nr)
			ram[j].region = old->region;
		else
			unmap(engine, old->region);
	}
}

int engine_set_memory(struct engine *engine, const struct engine_memory *memory, unsigned int nr)
{
	struct engine_ram *ram = calloc(nr + 1, sizeof(*ram));
	int rc = 0;

	if (!ram || nr > MAX_RANGES) {
		free(ram);
		return -ENOMEM;
	}
	for (unsigned int i = 0; i < nr; i++)
		ram[i].memory = memory[i];
	keep_common(engine, ram, nr);
	free(engine->ram);
	engine->ram = ram;
	engine->nr_ram = 0;
	for (unsigned int i = 0; i < nr && !rc; i++) {
		if (!ram[i].region)
			ram[i].region = LIB.memory_map_ptr(engine->uc, memory[i].gpa, memory[i].size,
							   UC_PROT_ALL, memory[i].at);
		if (ram[i].region)
			engine->nr_ram++;
		else
			rc = -ENOMEM;
	}
	engine_forget_translations(engine);
	return rc;
}

static struct engine_ram *ram_at(struct engine *engine, uint64_t gpa)
{
	unsigned int low = 0, high = engine->nr_ram;

	while (low < high) {
		unsigned int middle = (low + high) / 2;
		const struct engine_memory *memory = &engine->ram[middle].memory;

		if (gpa < memory->gpa)
			high = middle;
		else if (gpa - memory->gpa >= memory->size)
			low = middle + 1;
		else
			return &engine->ram[middle];
	}
	return NULL;
}

const struct engine_memory *engine_memory_at(struct engine *engine, uint64_t gpa)
{
	const struct engine_ram *ram = ram_at(engine, gpa);

	return ram ? &ram->memory : NULL;
}

struct engine_region *engine_region_at(struct engine *engine, uint64_t gpa)
{
	const struct engine_ram *ram = ram_at(engine, gpa);

	return ram ? ram->region : NULL;
}
