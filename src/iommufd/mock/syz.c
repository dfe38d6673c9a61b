/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * MOCK_FLAGS_ACCESS_SYZ: a fuzzer cannot know IOVAs, so that with this flag one is given as the number of an
 * area (the low half), and an offset in it (the high half).
 */
#include "iommufd/mock/mock.h"

struct nth {
	uint32_t left;
	uint64_t iova;
};

static bool count_down(void *arg, struct range *range)
{
	struct nth *nth = arg;

	nth->iova = range->start;
	return nth->left-- != 0;
}

static uint64_t nth_iova(struct io_pagetable *iopt, uint64_t coded)
{
	struct nth nth = { .left = (uint32_t)coded };
	bool found;

	pthread_rwlock_rdlock(&iopt->lock);
	found = nth.left < iopt->areas.count;
	if (found)
		range_map_each(&iopt->areas, 0, UINT64_MAX, count_down, &nth);
	pthread_rwlock_unlock(&iopt->lock);
	return found ? nth.iova + (coded >> 32) : 0;
}

uint64_t mock_nth_iova(struct iommufd_access *access, uint64_t coded)
{
	uint64_t iova;

	pthread_mutex_lock(&access->ioas_lock);
	iova = access->ioas ? nth_iova(&access->ioas->iopt, coded) : 0;
	pthread_mutex_unlock(&access->ioas_lock);
	return iova;
}
