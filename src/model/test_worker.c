/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Workers: no kick is lost, none runs while it is held, timers, and what a model finds through its calls.
 */
#include "model/model.h"

#include "base/trace.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

struct device {
	struct uvfio_device dev;
	struct iommu_dev iommu;
	struct model_host host;
	struct uvfio_worker *worker[3];
	_Atomic uint64_t asked, done, runs;
	_Atomic bool held, wrong, long_run, stubborn;
};

static void run(struct uvfio_worker *worker)
{
	struct device *d = worker->arg;

	if (atomic_load(&d->held))
		atomic_store(&d->wrong, true);
	atomic_fetch_add(&d->runs, 1);
	while (atomic_load(&d->stubborn))
		sched_yield();
	while (atomic_load(&d->long_run) && !uvfio_worker_stopping(worker))
		sched_yield();
	if (atomic_load(&d->held))
		atomic_store(&d->wrong, true);
	atomic_store(&d->done, atomic_load(&d->asked));
}

static int setup(void **state)
{
	struct device *d = calloc(1, sizeof(*d));

	iommu_dev_init(&d->iommu, "0000:00:01.0");
	d->dev.name = "0000:00:01.0";
	model_host_init(&d->host, &d->dev, &d->iommu);
	for (int i = 0; i < 3; i++) {
		d->worker[i] = uvfio_worker_new(&d->dev, "test", run, d);
		assert_non_null(d->worker[i]);
	}
	assert_int_equal(model_host_open(&d->host), 0);
	*state = d;
	return 0;
}

static int teardown(void **state)
{
	struct device *d = *state;

	model_host_close(&d->host);
	model_host_destroy(&d->host);
	iommu_dev_destroy(&d->iommu);
	free(d);
	return 0;
}

static void wait_for(_Atomic uint64_t *counter, uint64_t value)
{
	uint64_t end = uvfio_now() + 20000000000u;

	while (atomic_load(counter) < value) {
		assert_true(uvfio_now() < end);
		sched_yield();
	}
}

static void test_no_kick_is_lost(void **state)
{
	struct device *d = *state;

	model_host_release(&d->host);
	for (uint64_t i = 1; i <= 20000; i++) {
		atomic_store(&d->asked, i);
		uvfio_worker_kick(d->worker[i % 3]);
		if (i % 64 == 0)
			wait_for(&d->done, i);
		if (i % 5000 == 0) /* long enough to fall asleep */
			usleep(30000);
	}
	wait_for(&d->done, 20000);
}

/* Started held: nothing runs before the release, and what was kicked before a hold is forgotten. */
static void test_hold(void **state)
{
	struct device *d = *state;

	atomic_store(&d->held, true);
	uvfio_worker_kick(d->worker[0]);
	usleep(20000);
	assert_int_equal(atomic_load(&d->runs), 0);
	model_host_hold(&d->host, "reset");
	model_host_release(&d->host);
	usleep(20000);
	assert_int_equal(atomic_load(&d->runs), 0);
	atomic_store(&d->held, false);
	model_host_release(&d->host);
	usleep(20000);
	assert_int_equal(atomic_load(&d->runs), 0);
	uvfio_worker_kick(d->worker[0]);
	wait_for(&d->runs, 1);
	assert_false(atomic_load(&d->wrong));
}

/* A kick that comes during a hold is kept, whatever the worker has been woken for before. */
static void test_kick_while_held(void **state)
{
	struct device *d = *state;

	uvfio_worker_kick_after(d->worker[0], 1000000);
	usleep(20000); /* due, and waiting to begin */
	model_host_hold(&d->host, "reset");
	uvfio_worker_kick(d->worker[1]);
	model_host_release(&d->host);
	model_host_release(&d->host);
	wait_for(&d->runs, 1);
	usleep(20000);
	assert_int_equal(atomic_load(&d->runs), 1);
}

static void *kicker(void *arg)
{
	struct device *d = arg;

	for (int i = 0; i < 20000; i++)
		uvfio_worker_kick(d->worker[i % 3]);
	return NULL;
}

/* Holding ends a run that looks at uvfio_worker_stopping(), and none begins before the release. */
static void test_hold_under_kicks(void **state)
{
	struct device *d = *state;
	pthread_t thread;

	model_host_release(&d->host);
	assert_int_equal(pthread_create(&thread, NULL, kicker, d), 0);
	for (int i = 0; i < 300; i++) {
		atomic_store(&d->long_run, i % 3 == 0);
		uvfio_worker_kick(d->worker[i % 3]);
		model_host_hold(&d->host, "reset");
		atomic_store(&d->held, true);
		sched_yield();
		atomic_store(&d->held, false);
		model_host_release(&d->host);
	}
	atomic_store(&d->long_run, false);
	pthread_join(thread, NULL);
	assert_false(atomic_load(&d->wrong));
}

static void test_timer(void **state)
{
	struct device *d = *state;
	uint64_t start = uvfio_now();

	model_host_release(&d->host);
	uvfio_worker_kick_after(d->worker[0], 20000000);
	wait_for(&d->runs, 1);
	assert_true(uvfio_now() - start >= 20000000);
	/* once; replaced; taken back */
	uvfio_worker_kick_after(d->worker[0], UINT64_MAX);
	uvfio_worker_kick_after(d->worker[0], 1000000);
	wait_for(&d->runs, 2);
	uvfio_worker_kick_after(d->worker[0], 30000000);
	uvfio_worker_kick_after(d->worker[0], 0);
	usleep(60000);
	assert_int_equal(atomic_load(&d->runs), 2);
	/* forgotten by a reset */
	uvfio_worker_kick_after(d->worker[0], 30000000);
	model_host_hold(&d->host, "reset");
	model_host_release(&d->host);
	usleep(60000);
	assert_int_equal(atomic_load(&d->runs), 2);
}

static void test_open_again(void **state)
{
	struct device *d = *state;
	char byte;

	for (uint64_t i = 1; i <= 20; i++) {
		model_host_release(&d->host);
		uvfio_worker_kick(d->worker[1]);
		wait_for(&d->runs, i);
		assert_non_null(d->worker[1]->dma);
		model_host_close(&d->host);
		assert_int_equal(uvfio_dma_read(d->worker[1]->dma, 0, &byte, 1, "byte"), -EPERM);
		uvfio_worker_kick(d->worker[1]); /* nobody is there */
		assert_int_equal(model_host_open(&d->host), 0);
		model_host_hold(&d->host, "reset");
		model_host_release(&d->host);
	}
}

/* A worker that is ended at any moment of its looking for work ends. */
static void test_end_at_once(void **state)
{
	struct device *d = *state;

	for (unsigned int i = 0; i < 3000; i++) {
		model_host_release(&d->host);
		for (unsigned int k = 0; k < i % 64 * 50; k++)
			uvfio_worker_kick(d->worker[k % 3]);
		model_host_close(&d->host);
		assert_int_equal(model_host_open(&d->host), 0);
	}
}

static void test_counts(void **state)
{
	struct device *d = *state;
	uint64_t commands = atomic_load(&stats[STAT_COMMANDS]),
		 errors = atomic_load(&stats[STAT_COMMAND_ERRORS]);

	uvfio_count_command(&d->dev, false);
	uvfio_count_command(&d->dev, true);
	assert_int_equal(atomic_load(&stats[STAT_COMMANDS]) - commands, 2);
	assert_int_equal(atomic_load(&stats[STAT_COMMAND_ERRORS]) - errors, 1);
	assert_false(uvfio_trace_on(&d->dev));
	assert_int_equal(trace_start(TRACE_CMD, 0, NULL), 0);
	assert_true(uvfio_trace_on(&d->dev));
	assert_int_equal(trace_start(TRACE_DMA, 0, NULL), 0);
	assert_false(uvfio_trace_on(&d->dev));
	assert_int_equal(trace_start(0, 0, NULL), 0);
}

/* What has been told of a wait; it is over then. */
static char told[200];
static struct device *waiting;

static void note_wait(const char *device, const char *line)
{
	assert_string_equal(device, "0000:00:01.0");
	snprintf(told, sizeof(told), "%s", line);
	atomic_store(&waiting->stubborn, false);
}

/* A worker that does not return is named, and who waits for it; the wait goes on. */
static void test_wait_is_told(void **state)
{
	struct device *d = *state;

	waiting = d;
	model_patience = 1000000;
	model_waits = note_wait;
	atomic_store(&d->stubborn, true);
	model_host_release(&d->host);
	uvfio_worker_kick(d->worker[1]);
	wait_for(&d->runs, 1);
	model_host_hold(&d->host, "reset");
	assert_string_equal(told,
			    "0000:00:01.0: reset waits for worker \"test\": its function has to return when "
			    "uvfio_worker_stopping() is true");
	*told = 0;
	model_host_release(&d->host);
	atomic_store(&d->stubborn, true);
	uvfio_worker_kick(d->worker[1]);
	wait_for(&d->runs, 2);
	model_host_close(&d->host);
	assert_non_null(strstr(told, ": close waits for worker \"test\""));
	model_patience = 5000000000;
	model_waits = NULL;
}

/* A callback that does not return is named. */
static void test_call_is_told(void **state)
{
	struct device *d = *state;
	unsigned int slot;

	waiting = d;
	model_host_close(&d->host);
	model_patience = 50000000;
	model_waits = note_wait;
	*told = 0;
	d->host.who = "0000:00:01.0 (x.so)";
	d->host.watch.wanted = true;
	assert_int_equal(model_host_open(&d->host), 0);
	atomic_store(&d->stubborn, true);
	slot = model_call_begin(&d->host, "read callback");
	while (atomic_load(&d->stubborn))
		usleep(1000);
	model_call_end(&d->host, slot);
	assert_string_equal(told,
			    "0000:00:01.0 (x.so): its read callback has not returned for 0 seconds, and "
			    "the program waits for it");
	model_host_close(&d->host); /* ends the thread that looks at these */
	model_patience = 5000000000;
	model_waits = NULL;
}

static void test_no_worker_later(void **state)
{
	struct device *d = *state;

	errno = 0;
	assert_null(uvfio_worker_new(&d->dev, "none", NULL, d));
	assert_int_equal(errno, EINVAL);
	assert_null(uvfio_worker_new(&d->dev, NULL, run, d));
	assert_int_equal(errno, EINVAL);
	model_host_created(&d->host);
	assert_null(uvfio_worker_new(&d->dev, "late", run, d));
	assert_int_equal(errno, EPERM);
}

static void test_dma_of_another(void **state)
{
	struct device *d = *state;
	struct uvfio_dma *dma = d->worker[0]->dma;
	struct iovec iov[1];
	unsigned int nr = 0;
	bool dst_failed;
	char byte;

	assert_int_equal(uvfio_dma_read(dma, 0, &byte, 1, "byte"), -EPERM);
	assert_int_equal(uvfio_dma_write(dma, 0, &byte, 1, "byte"), -EPERM);
	assert_int_equal(uvfio_dma_copy(dma, 0, 8, 1, "byte", &dst_failed), -EPERM);
	assert_int_equal(uvfio_dma_fill(dma, 0, 0, 1, "byte"), -EPERM);
	assert_int_equal(uvfio_dma_map(dma, 0, 1, false, iov, &nr, 1, "byte"), -EPERM);
	uvfio_dma_begin(dma);
	uvfio_dma_report_lost(dma, 0, 1, false, "byte");
	uvfio_dma_end(dma);
	iommu_dev_attach(&d->iommu, NULL); /* waits for no section */
}

#define T(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_no_kick_is_lost),  T(test_hold),         T(test_kick_while_held),
		T(test_hold_under_kicks), T(test_timer),        T(test_open_again),
		T(test_end_at_once),      T(test_counts),       T(test_wait_is_told),
		T(test_no_worker_later),  T(test_call_is_told), T(test_dma_of_another),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
