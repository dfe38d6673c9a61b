/* SPDX-License-Identifier: BSD-2-Clause */
/* Calls of several threads at once: on one container, on one device, and with close in between. */
#include "client.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <string.h>
#include <unistd.h>

#define THREADS 4
#define ROUNDS  2000

struct worker {
	struct client *client;
	int number;
	long odd; /* a result that must not be */
};

static void run(struct client *c, void *(*fn)(void *))
{
	struct worker workers[THREADS];
	pthread_t threads[THREADS];

	for (int i = 0; i < THREADS; i++) {
		workers[i] = (struct worker){ .client = c, .number = i };
		assert_int_equal(pthread_create(&threads[i], NULL, fn, &workers[i]), 0);
	}
	for (int i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	for (int i = 0; i < THREADS; i++)
		assert_int_equal(workers[i].odd, 0);
}

static void *map_own(void *arg)
{
	struct worker *w = arg;
	uint64_t iova = (uint64_t)(w->number + 1) << 30;

	for (int i = 0; i < ROUNDS && !w->odd; i++) {
		uint64_t pages = (uint64_t)(i % 16 + 1), size = pages * PG;

		if (map(w->client, RW, w->client->memory, iova, size) || unmap(w->client, 0, iova, &size) ||
		    size != pages * PG)
			w->odd = i + 1;
	}
	return NULL;
}

static void test_own_ranges(struct client *c)
{
	run(c, map_own);
}

static atomic_int holders;

/* Whoever maps the page has it until he unmaps it. */
static void *map_one(void *arg)
{
	struct worker *w = arg;

	for (int i = 0; i < ROUNDS && !w->odd; i++) {
		uint64_t size = PG;
		long rc = map(w->client, RW, w->client->memory, 0, PG);

		if (rc == -EEXIST)
			continue;
		if (rc || atomic_fetch_add(&holders, 1))
			w->odd = 1;
		atomic_fetch_sub(&holders, 1);
		if (unmap(w->client, 0, 0, &size) || size != PG)
			w->odd = 2;
	}
	return NULL;
}

static void test_one_range(struct client *c)
{
	run(c, map_one);
}

static void *open_devices(void *arg)
{
	struct worker *w = arg;

	for (int i = 0; i < ROUNDS / 20 && !w->odd; i++) {
		struct vfio_device_info info = { .argsz = sizeof(info) };
		int fd = get_device(w->client->group, bdf());

		if (fd < 0 || do_ioctl(fd, VFIO_DEVICE_GET_INFO, &info))
			w->odd = i + 1;
		close_fd(&fd);
	}
	return NULL;
}

static void test_device_files(struct client *c)
{
	run(c, open_devices);
}

static atomic_bool stop;

/* The container's number may mean nothing any more, or another open of the same thing. */
static void *use_number(void *arg)
{
	struct worker *w = arg;
	const long no_iommu = w->client->mode->compat ? -ENODEV : -EINVAL;

	while (!stop) {
		uint64_t size = PG, iova = (uint64_t)(w->number + 1) * PG;
		long rc = map(w->client, RW, w->client->memory, iova, PG);

		if (rc && rc != -EBADF && rc != -EEXIST && rc != no_iommu)
			w->odd = rc;
		rc = unmap(w->client, 0, iova, &size);
		if (rc && rc != -EBADF && rc != no_iommu)
			w->odd = rc;
	}
	return NULL;
}

static void test_close_under_calls(struct client *c)
{
	struct worker workers[2] = { { .client = c, .number = 0 }, { .client = c, .number = 1 } };
	int number = c->container;
	pthread_t threads[2];

	stop = false;
	for (int i = 0; i < 2; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, use_number, &workers[i]), 0);
	for (int i = 0; i < 200; i++) {
		int spare = open_container(c->mode);

		close_fd(&c->device);
		close_fd(&c->group);
		/* as dup2() has it: the old one is closed while it is in use, the new one takes its number */
		assert_int_equal(dup2(spare, number), number);
		close_fd(&spare);
		c->group = open_group(bdf());
		assert_true(c->group >= 0);
		assert_int_equal(set_container(c->group, number), 0);
		assert_int_equal(do_ioctl_value(number, VFIO_SET_IOMMU, c->mode->type), 0);
		sched_yield();
	}
	stop = true;
	for (int i = 0; i < 2; i++)
		pthread_join(threads[i], NULL);
	assert_int_equal(workers[0].odd, 0);
	assert_int_equal(workers[1].odd, 0);
}

int main(void)
{
	static const struct test tests[] = {
		T_ALL(test_own_ranges),
		T_ALL(test_one_range),
		T(test_device_files),
		T(test_close_under_calls),
	};

	return run_in_modes("threads", tests, COUNT(tests));
}
