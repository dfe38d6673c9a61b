/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * How the kernel's bus searches: one array for each bus, inserted into by a comparison that is no order where
 * ranges overlap, and searched by halving. Says of a write whether that search misses what is there: results
 * of such writes are not compared.
 */
#ifndef UVFIO_TEST_DIFFERENTIAL_MODEL_H
#define UVFIO_TEST_DIFFERENTIAL_MODEL_H

#include "subject.h"

#define MODEL_ENTRIES 512

struct model_entry {
	uint64_t addr, data;
	uint32_t len, flags; /* flags: as in kvm_ioeventfd */
	int event;           /* -1: a zone */
	uint64_t seq;        /* the model's: of its registration */
};

struct model {
	uint64_t seq;
	unsigned int nr[2];
	struct model_entry entry[2][MODEL_ENTRIES];
};

void model_add(struct model *model, enum bus bus, const struct model_entry *entry);
/* The ioeventfd that is exactly so. */
void model_remove(struct model *model, enum bus bus, const struct model_entry *entry);
/* All zones that have [addr, addr + size). */
void model_remove_zones(struct model *model, enum bus bus, uint64_t addr, uint32_t size);
bool model_search_misses(const struct model *model, enum bus bus, uint64_t addr, unsigned int len,
			 uint64_t value);

#endif
