/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Everything at once: two devices of a group are attached, replaced and detached by two threads, a third
 * device comes and goes, an access pins and is moved, mappings come and go, and somebody destroys whatever
 * can be destroyed.
 */
#include "iommufd/test_bench.h"

#include <pthread.h>

#define BASE   ((uint64_t)0x40000000)
#define ROUNDS 400
#define KEPT   16 /* ids below are not destroyed by guessing */

static struct {
	struct bench *b;
	uint32_t ioas[2];
	uint32_t hwpt;
	_Atomic unsigned int bad;
} race;

/* What may happen to one of two that want different things. */
static void allow(long rc, long a, long b)
{
	if (rc < 0 && rc != a && rc != b)
		atomic_fetch_add(&race.bad, 1);
}

static uint32_t some_pt(unsigned int i)
{
	return i % 3 == 2 ? race.hwpt : race.ioas[i % 3];
}

static void *move_device(void *arg)
{
	struct bench *b = race.b;
	int dev = arg ? A : B;

	for (unsigned int i = 0; i < ROUNDS; i++) {
		allow(attach(b, dev, some_pt(i)), -EINVAL, 0);
		allow(replace(b, dev, some_pt(i + 1)), -EINVAL, 0);
		allow(replace(b, dev, some_pt(i + 2)), -EINVAL, 0);
		detach(b, dev);
	}
	return NULL;
}

static void *come_and_go(void *arg)
{
	struct bench *b = race.b;

	(void)arg;
	for (unsigned int i = 0; i < ROUNDS; i++) {
		bind_dev(b, D);
		allow(attach(b, D, race.ioas[i % 2]), 0, 0);
		allow(replace(b, D, some_pt(i)), 0, 0);
		detach(b, D);
		unbind_dev(b, D);
	}
	return NULL;
}

static void *map_and_unmap(void *arg)
{
	struct bench *b = race.b;

	(void)arg;
	for (uint64_t i = 0; i < ROUNDS; i++) {
		uint32_t ioas = race.ioas[i % 2];

		allow(map(b, ioas, BASE + i % 8 * 0x10000, 4), -EEXIST, 0);
		allow(unmap(b, ioas, BASE + (i + 3) % 8 * 0x10000, 4 * PG), -ENOENT, 0);
		usable(b, ioas, BASE);
	}
	return NULL;
}

struct user {
	pthread_mutex_t lock;
	struct iommufd_access *access;
	uint64_t at; /* pinned there, one page; 0: nothing. Under lock */
};

static void user_let_go(void *data, uint64_t iova, uint64_t length)
{
	struct user *user = data;

	pthread_mutex_lock(&user->lock);
	if (user->at && user->at - iova < length)
		iommufd_access_unpin_pages(user->access, user->at, PG);
	if (user->at && user->at - iova < length)
		user->at = 0;
	pthread_mutex_unlock(&user->lock);
}

static void *move_access(void *arg)
{
	static const struct iommufd_access_ops ops = { .needs_pin_pages = true, .unmap = user_let_go };
	struct user user = { .lock = PTHREAD_MUTEX_INITIALIZER };
	uint32_t id;

	(void)arg;
	allow(iommufd_access_create(race.b->ctx, &ops, &user, &user.access, &id), 0, 0);
	allow(iommufd_access_attach(user.access, race.ioas[0]), 0, 0);
	for (uint64_t i = 0; i < ROUNDS; i++) {
		uint64_t iova = BASE + i % 8 * 0x10000;

		pthread_mutex_lock(&user.lock);
		if (!user.at && !iommufd_access_pin_pages(user.access, iova, PG, NULL, 0))
			user.at = iova;
		pthread_mutex_unlock(&user.lock);
		allow(iommufd_access_replace(user.access, race.ioas[i % 2]), 0, 0);
	}
	iommufd_access_destroy(user.access);
	return NULL;
}

static void *make_and_destroy(void *arg)
{
	struct bench *b = race.b;

	(void)arg;
	for (unsigned int i = 0; i < ROUNDS; i++) {
		uint32_t ioas = ioas_new(b);

		allow(hwpt_new(b, A, ioas, 0), -EINVAL, 0);
		allow(hwpt_new(b, A, race.ioas[i % 2], IOMMU_HWPT_ALLOC_DIRTY_TRACKING), 0, 0);
		for (uint32_t id = KEPT; id < KEPT + 24; id++)
			allow(destroy(b, id), -ENOENT, -EBUSY);
	}
	return NULL;
}

/* How many could be destroyed; *left: how many could not. */
static unsigned int destroy_each(struct bench *b, unsigned int *left)
{
	unsigned int gone = 0;

	*left = 0;
	for (uint32_t id = 1; id < 4096; id++) {
		long rc = destroy(b, id);

		gone += !rc;
		*left += rc == -EBUSY;
	}
	return gone;
}

static void test_race(void **state)
{
	unsigned int left;
	static void *(*const mains[])(void *) = { move_device,   move_device, come_and_go,
						  map_and_unmap, move_access, make_and_destroy };
	struct bench *b = *state;
	pthread_t threads[ARRAY_SIZE(mains)];

	race.b = b;
	race.bad = 0;
	bind_dev(b, A);
	bind_dev(b, B);
	race.ioas[0] = ioas_new(b);
	race.ioas[1] = ioas_new(b);
	race.hwpt = (uint32_t)hwpt_new(b, A, race.ioas[0], 0);
	assert_true(race.hwpt && race.hwpt < KEPT);
	for (size_t i = 0; i < ARRAY_SIZE(mains); i++)
		assert_int_equal(pthread_create(&threads[i], NULL, mains[i], i ? NULL : b), 0);
	for (size_t i = 0; i < ARRAY_SIZE(mains); i++)
		pthread_join(threads[i], NULL);
	assert_int_equal(race.bad, 0);
	while (destroy_each(b, &left)) /* what is used goes after its users */
		;
	assert_int_equal(left, 2); /* the devices */
	assert_int_equal(fake_domains, 0);
	unbind_dev(b, A);
	unbind_dev(b, B);
}

/* Automatic HWPTs go with their last device, whichever of the group moves it away. */
static void test_race_auto(void **state)
{
	struct bench *b = *state;
	pthread_t threads[2];

	race.b = b;
	race.bad = 0;
	bind_dev(b, A);
	bind_dev(b, B);
	race.ioas[0] = ioas_new(b);
	race.ioas[1] = ioas_new(b);
	race.hwpt = ioas_new(b);
	for (size_t i = 0; i < ARRAY_SIZE(threads); i++)
		assert_int_equal(pthread_create(&threads[i], NULL, move_device, i ? NULL : b), 0);
	for (size_t i = 0; i < ARRAY_SIZE(threads); i++)
		pthread_join(threads[i], NULL);
	assert_int_equal(race.bad, 0);
	assert_int_equal(fake_domains, 0);
	unbind_dev(b, A);
	unbind_dev(b, B);
}

int main(void)
{
	const struct CMUnitTest tests[] = { T(test_race), T(test_race_auto) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
