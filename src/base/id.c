/* SPDX-License-Identifier: BSD-2-Clause */
/* A bitmap of the ids in use; it grows by doubling, and never shrinks. */
#include "base/id.h"

#include <stdlib.h>
#include <string.h>

void id_init(struct id_allocator *ids, uint32_t limit)
{
	*ids = (struct id_allocator){ .limit = limit };
}

void id_destroy(struct id_allocator *ids)
{
	free(ids->bits);
	id_init(ids, ids->limit);
}

static int grow_to(struct id_allocator *ids, uint32_t id)
{
	uint32_t words = MAX(ids->words * 2, id / 64 + 1);
	uint64_t *bits;

	if (id / 64 < ids->words)
		return 0;
	bits = realloc(ids->bits, words * sizeof(*bits));
	if (!bits)
		return -ENOMEM;
	memset(bits + ids->words, 0, (words - ids->words) * sizeof(*bits));
	ids->bits = bits;
	ids->words = words;
	return 0;
}

static uint32_t lowest_free(struct id_allocator *ids)
{
	while (ids->full < ids->words && !~ids->bits[ids->full])
		ids->full++;
	if (ids->full == ids->words)
		return ids->words * 64;
	return ids->full * 64 + (uint32_t)__builtin_ctzll(~ids->bits[ids->full]);
}

int id_alloc(struct id_allocator *ids, uint32_t *id)
{
	uint32_t found = lowest_free(ids);
	int ret;

	if (found >= ids->limit)
		return -ENOSPC;
	ret = grow_to(ids, found);
	if (ret)
		return ret;
	ids->bits[found / 64] |= BIT64(found % 64);
	*id = found;
	return 0;
}

int id_reserve(struct id_allocator *ids, uint32_t id)
{
	int ret;

	if (id >= ids->limit)
		return -EINVAL;
	ret = grow_to(ids, id);
	if (ret)
		return ret;
	if (ids->bits[id / 64] & BIT64(id % 64))
		return -EBUSY;
	ids->bits[id / 64] |= BIT64(id % 64);
	return 0;
}

void id_free(struct id_allocator *ids, uint32_t id)
{
	if (id / 64 >= ids->words)
		return;
	ids->bits[id / 64] &= ~BIT64(id % 64);
	ids->full = MIN(ids->full, id / 64);
}
