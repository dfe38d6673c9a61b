/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Guest code that somebody else has changed: the program, a device, another vCPU.
 *
 * The library notices a processor's own stores to pages that it has translated code of. For all others there
 * is a copy of each such page, which is compared before a run: the page of RIP, and PAGES_A_RUN more in turn.
 * So a guest with few pages of code is always right, and one with many after some runs.
 */
#include "base/fault.h"
#include "kvm/engine_impl.h"

#include <stdlib.h>
#include <string.h>

#define LIB         engine_library

#define MAX_PAGES   256
#define PAGES_A_RUN 8

struct engine_code {
	unsigned int nr, next;
	bool more; /* than are noted here */
	struct code_page {
		uint64_t gpa;
		uint8_t *copy;
	} pages[MAX_PAGES];
};

static const void *page_at(struct engine *engine, uint64_t gpa)
{
	const struct engine_memory *memory = engine_memory_at(engine, gpa);

	return memory ? (const char *)memory->at + (gpa - memory->gpa) : NULL;
}

/* Not the library's flush of everything: that goes through a gibibyte. */
void engine_forget_range(struct engine *engine, struct engine_region *region, uint64_t offset, uint64_t size)
{
	uint64_t start = LIB.region_ram_address(region) + offset;

	LIB.invalidate_range(engine->uc, start, start + size);
}

static void forget_page(struct engine *engine, uint64_t gpa)
{
	struct engine_region *region = engine_region_at(engine, gpa);

	if (region)
		engine_forget_range(engine, region, gpa - region->address, UVFIO_PAGE_SIZE);
}

int engine_code_init(struct engine *engine)
{
	engine->code = calloc(1, sizeof(*engine->code));
	return engine->code ? 0 : -ENOMEM;
}

void engine_code_free(struct engine *engine)
{
	while (engine->code && engine->code->nr)
		free(engine->code->pages[--engine->code->nr].copy);
	free(engine->code);
}

bool engine_is_code(const struct engine *engine, uint64_t gpa)
{
	const struct engine_code *code = engine->code;

	for (unsigned int i = 0; i < code->nr; i++)
		if (code->pages[i].gpa == gpa)
			return true;
	return false;
}

/* Code of this page is about to be executed. Without memory, or with too many pages, nobody looks at it. */
void engine_note_code(struct engine *engine, uint64_t gpa)
{
	struct engine_code *code = engine->code;
	const void *page = page_at(engine, gpa);

	if (engine_is_code(engine, gpa))
		return;
	if (code->nr < MAX_PAGES && page)
		code->pages[code->nr].copy = malloc(UVFIO_PAGE_SIZE);
	if (code->nr == MAX_PAGES || !page || !code->pages[code->nr].copy) {
		code->more = true;
		return;
	}
	code->pages[code->nr].gpa = gpa;
	memcpy(code->pages[code->nr++].copy, page, UVFIO_PAGE_SIZE);
}

/* A region goes. Its pages that have code, and not all of them, of which there may be very many. */
void engine_forget_code(struct engine *engine, struct engine_region *region)
{
	const struct engine_code *code = engine->code;

	if (!code || code->more)
		engine_forget_range(engine, region, 0, region->end - region->address);
	for (unsigned int i = 0; code && i < code->nr; i++)
		if (code->pages[i].gpa >= region->address && code->pages[i].gpa < region->end)
			engine_forget_range(engine, region, code->pages[i].gpa - region->address,
					    UVFIO_PAGE_SIZE);
}

static void check_page(struct engine *engine, struct code_page *code)
{
	const void *at = page_at(engine, code->gpa);
	uint8_t page[UVFIO_PAGE_SIZE];

	if (!at)
		return;
	if (copy_nofault(page, at, sizeof(page))) {
		forget_page(engine, code->gpa); /* or it would go on without its memory */
		return;
	}
	if (!memcmp(page, code->copy, sizeof(page)))
		return;
	forget_page(engine, code->gpa);
	memcpy(code->copy, page, sizeof(page));
}

static bool page_of_rip(struct engine *engine, uint64_t *gpa)
{
	uint64_t rip = engine->state->segs[ENGINE_CS].base + engine->state->rip;

	if (!engine_translate(engine, rip, gpa))
		return false;
	*gpa &= ~(uint64_t)UVFIO_PAGE_MASK;
	return true;
}

void engine_check_code(struct engine *engine)
{
	struct engine_code *code = engine->code;
	uint64_t gpa;

	for (unsigned int i = 0; i < MIN(code->nr, (unsigned int)PAGES_A_RUN); i++)
		check_page(engine, &code->pages[code->next++ % code->nr]);
	if (code->nr <= PAGES_A_RUN || !page_of_rip(engine, &gpa))
		return;
	for (unsigned int i = 0; i < code->nr; i++)
		if (code->pages[i].gpa == gpa)
			check_page(engine, &code->pages[i]);
}
