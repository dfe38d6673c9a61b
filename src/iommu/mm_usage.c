/* SPDX-License-Identifier: BSD-2-Clause */
#include "iommu/mm_usage.h"

#include <stdlib.h>

struct mm_usage *mm_usage_of(struct mm_usages *usages, struct mm *mm)
{
	static __thread struct mm_usage lost;
	struct mm_usage *more;

	for (unsigned int i = usages->nr; i--;)
		if (usages->usage[i].mm == mm)
			return &usages->usage[i];
	more = reallocarray(usages->usage, usages->nr + 1, sizeof(*more));
	if (!more) {
		usages->no_memory = true;
		return &lost;
	}
	usages->usage = more;
	more[usages->nr] = (struct mm_usage){ .mm = mm_get(mm) };
	return &more[usages->nr++];
}

void mm_usages_free(struct mm_usages *usages)
{
	for (unsigned int i = 0; i < usages->nr; i++)
		mm_put(usages->usage[i].mm);
	free(usages->usage);
	*usages = (struct mm_usages){ 0 };
}
