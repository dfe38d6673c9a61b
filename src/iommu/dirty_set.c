/* SPDX-License-Identifier: BSD-2-Clause */
#include "iommu/dirty_set.h"

#include "base/failpoint.h"

#include <stdlib.h>

#define PIECE_WORDS 64u
#define PIECE_PAGES (64u * PIECE_WORDS)

struct piece {
	uint64_t words[PIECE_WORDS];
};

void dirty_set_init(struct dirty_set *set)
{
	range_map_init(&set->pieces);
}

static bool free_piece(void *arg, struct range *range)
{
	(void)arg;
	free(range->value);
	return true;
}

void dirty_set_destroy(struct dirty_set *set)
{
	range_map_each(&set->pieces, 0, UINT64_MAX, free_piece, NULL);
	range_map_destroy(&set->pieces);
	range_map_init(&set->pieces);
}

/* The bits of the word that begins at page which lie in [first, last]; some do. */
static uint64_t bits_between(uint64_t page, uint64_t first, uint64_t last)
{
	uint64_t bits = UINT64_MAX;

	if (first > page)
		bits &= UINT64_MAX << (first - page);
	if (last - page < 63)
		bits &= UINT64_MAX >> (63 - (last - page));
	return bits;
}

static struct piece *make_piece(struct dirty_set *set, uint64_t base)
{
	struct range range;
	struct piece *piece;

	if (range_map_find(&set->pieces, base, &range))
		return range.value;
	piece = failpoint() ? NULL : calloc(1, sizeof(*piece));
	if (piece && range_map_insert(&set->pieces, base, base + (PIECE_PAGES - 1), piece)) {
		free(piece);
		return NULL;
	}
	return piece;
}

int dirty_set_add(struct dirty_set *set, uint64_t first, uint64_t last)
{
	uint64_t base = align_down(first, PIECE_PAGES);

	for (;; base += PIECE_PAGES) {
		uint64_t end = MIN(last, base + (PIECE_PAGES - 1)), page = MAX(first, base);
		struct piece *piece = make_piece(set, base);

		if (!piece)
			return -ENOMEM;
		for (page = align_down(page, 64); page <= end; page += 64)
			piece->words[(page - base) / 64] |= bits_between(page, first, end);
		if (end == last)
			return 0;
	}
}

struct stretch {
	uint64_t first, last;
	uint64_t emptied; /* a piece that is to go, by its first page */
	bool found;       /* there is one */
	void (*fn)(void *arg, uint64_t page, uint64_t bits);
	void *arg;
};

/* Pieces that are left empty go one at a time, since they cannot while the map is walked. */
static bool clear_piece(void *arg, struct range *range)
{
	struct stretch *s = arg;
	struct piece *piece = range->value;
	uint64_t first = MAX(s->first, range->start), last = MIN(s->last, range->last), left = 0;

	for (uint64_t page = align_down(first, 64); page <= last; page += 64)
		piece->words[(page - range->start) / 64] &= ~bits_between(page, first, last);
	for (unsigned int i = 0; i < PIECE_WORDS; i++)
		left |= piece->words[i];
	s->found = !left;
	s->emptied = range->start;
	return left;
}

void dirty_set_remove(struct dirty_set *set, uint64_t first, uint64_t last)
{
	struct stretch s = { .first = first, .last = last };

	do {
		s.found = false;
		range_map_each(&set->pieces, s.first, last, clear_piece, &s);
		if (!s.found)
			return;
		free(range_map_remove(&set->pieces, s.emptied));
		s.first = s.emptied + PIECE_PAGES;
	} while (s.first <= last);
}

static bool visit_piece(void *arg, struct range *range)
{
	const struct piece *piece = range->value;
	struct stretch *s = arg;
	uint64_t first = MAX(s->first, range->start), last = MIN(s->last, range->last);

	for (uint64_t page = align_down(first, 64); page <= last; page += 64) {
		uint64_t bits = piece->words[(page - range->start) / 64] & bits_between(page, first, last);

		if (bits)
			s->fn(s->arg, page, bits);
	}
	return true;
}

void dirty_set_each(struct dirty_set *set, uint64_t first, uint64_t last,
		    void (*fn)(void *arg, uint64_t page, uint64_t bits), void *arg)
{
	struct stretch s = { .first = first, .last = last, .fn = fn, .arg = arg };

	range_map_each(&set->pieces, first, last, visit_piece, &s);
}
