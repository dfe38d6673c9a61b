/* SPDX-License-Identifier: BSD-2-Clause */
/* An allocator of small numbers: the lowest free one is given out. The owner's lock protects it. */
#ifndef UVFIO_BASE_ID_H
#define UVFIO_BASE_ID_H

#include "base/base.h"

struct id_allocator {
	uint64_t *bits;
	uint32_t words;
	uint32_t full;  /* so many words at the beginning have no free id, at least */
	uint32_t limit; /* ids are 0 .. limit - 1 */
};

void id_init(struct id_allocator *ids, uint32_t limit);
void id_destroy(struct id_allocator *ids);
int id_alloc(struct id_allocator *ids, uint32_t *id);  /* -ENOSPC, -ENOMEM */
int id_reserve(struct id_allocator *ids, uint32_t id); /* -EBUSY, -ENOMEM, -EINVAL */
void id_free(struct id_allocator *ids, uint32_t id);

#endif
