/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Guest code that somebody else has changed: the program, a device, another vCPU.
 *
 * The library notices a processor's own stores to pages that it has translated code of. For all others there
 * is a copy of each such page, which is compared before a run: the page of RIP, and PAGES_A_RUN more in turn.
 * So a guest with few pages of code is always right, and one with many after some runs.
 */
#include "kvm/engine_impl.h"

#include <stdlib.h>
#include <string.h>

#define LIB         engine_library

#define MAX_PAGES   256
#define PAGES_A_RUN 8

struct engine_code {
	unsigned int nr, next;
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

int engine_code_init(struct engine *engine)
{
	engine->code = calloc(1, sizeof(*engine->code));
	return engine->code ? 0 : -ENOMEM;
}

static void drop_copies(struct engine_code *code)
{
	while (code->nr)
		free(code->pages[--code->nr].copy);
	code->next = 0;
}

void engine_code_free(struct engine *engine)
{
	if (engine->code)
		drop_copies(engine->code);
	free(engine->code);
}

/* Code of this page is about to be executed. Without memory, or with too many pages, nobody looks at it. */
void engine_note_code(struct engine *engine, uint64_t gpa)
{
	struct engine_code *code = engine->code;
	const void *page = page_at(engine, gpa);

	for (unsigned int i = 0; i < code->nr; i++)
		if (code->pages[i].gpa == gpa)
			return;
	if (code->nr == MAX_PAGES || !page)
		return;
	code->pages[code->nr].copy = malloc(UVFIO_PAGE_SIZE);
	if (!code->pages[code->nr].copy)
		return;
	code->pages[code->nr].gpa = gpa;
	memcpy(code->pages[code->nr++].copy, page, UVFIO_PAGE_SIZE);
}

static bool changed(struct engine *engine, const struct code_page *code)
{
	const void *page = page_at(engine, code->gpa);

	return !page || memcmp(page, code->copy, UVFIO_PAGE_SIZE);
}

static bool any_changed(struct engine *engine)
{
	struct engine_code *code = engine->code;
	uint64_t rip = engine->state->segs[ENGINE_CS].base + engine->state->rip, gpa;
	bool more = code->nr > PAGES_A_RUN;

	for (unsigned int i = 0; i < MIN(code->nr, (unsigned int)PAGES_A_RUN); i++)
		if (changed(engine, &code->pages[code->next++ % code->nr]))
			return true;
	if (!more || !engine_translate(engine, rip, &gpa))
		return false;
	for (unsigned int i = 0; i < code->nr; i++)
		if (code->pages[i].gpa == (gpa & ~(uint64_t)UVFIO_PAGE_MASK))
			return changed(engine, &code->pages[i]);
	return false;
}

void engine_forget_code(struct engine *engine)
{
	drop_copies(engine->code);
	LIB.uc_ctl(engine->uc, UC_CTL_WRITE(UC_CTL_TB_FLUSH, 0));
	LIB.tlb_flush(engine->cpu); /* so that pages are noted again */
}

void engine_check_code(struct engine *engine)
{
	if (any_changed(engine))
		engine_forget_code(engine);
}
