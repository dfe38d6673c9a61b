/* SPDX-License-Identifier: BSD-2-Clause */
/* The table of our mappings: see io_table.h. */
#include "intercept/io_table.h"

#include "base/fault.h"

#include <assert.h>
#include <pthread.h>
#include <sched.h>
#include <string.h>
#include <sys/mman.h>

struct io_table {
	size_t bytes;
	unsigned int nr, max;
	struct io_range ranges[];
};

static _Atomic(struct io_table *) current;
/* Outer bounds of what is in the table: low 0, high 0 when it is empty. */
static _Atomic uint64_t low, high;
static pthread_mutex_t change_lock = PTHREAD_MUTEX_INITIALIZER;

/* Readers under way, by the epoch in which they began. */
static _Atomic unsigned int epoch;
static struct {
	_Alignas(64) _Atomic long count;
} readers[2];

unsigned int io_read_lock(void)
{
	unsigned int section = atomic_load(&epoch) & 1;

	atomic_fetch_add(&readers[section].count, 1);
	return section;
}

void io_read_unlock(unsigned int section)
{
	atomic_fetch_sub(&readers[section].count, 1);
}

/* Two turns: a reader may have read the epoch, and not yet counted itself, when the first turn came. */
static void wait_for_readers(void)
{
	for (int turn = 0; turn < 2; turn++) {
		unsigned int before = atomic_fetch_xor(&epoch, 1) & 1;

		while (atomic_load(&readers[before].count))
			sched_yield();
	}
}

/* The index of the first range that ends above va. */
static unsigned int first_above(const struct io_table *table, uint64_t va)
{
	unsigned int from = 0, to = table->nr;

	while (from < to) {
		unsigned int mid = (from + to) / 2;

		if (table->ranges[mid].end > va)
			to = mid;
		else
			from = mid + 1;
	}
	return from;
}

const struct io_range *io_find(uint64_t va)
{
	const struct io_table *table = atomic_load(&current);
	unsigned int i;

	if (!table)
		return NULL;
	i = first_above(table, va);
	return i < table->nr && table->ranges[i].start <= va ? &table->ranges[i] : NULL;
}

bool io_overlaps(uint64_t start, uint64_t end)
{
	const struct io_table *table;
	unsigned int section, i;
	bool found;

	if (likely(start >= atomic_load_explicit(&high, memory_order_relaxed) ||
		   end <= atomic_load_explicit(&low, memory_order_relaxed)))
		return false;
	section = io_read_lock();
	table = atomic_load(&current);
	i = table ? first_above(table, start) : 0;
	found = table && i < table->nr && table->ranges[i].start < end;
	io_read_unlock(section);
	return found;
}

static struct io_table *table_copy(const struct io_table *old)
{
	unsigned int nr = old ? old->nr : 0, max = 2 * nr + IO_CHANGE_EXTRA;
	size_t bytes = align_up(sizeof(*old) + max * sizeof(old->ranges[0]), UVFIO_PAGE_SIZE);
	struct io_table *table =
		mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (table == MAP_FAILED)
		return NULL;
	table->bytes = bytes;
	table->max = max;
	table->nr = nr;
	if (nr)
		memcpy(table->ranges, old->ranges, nr * sizeof(old->ranges[0]));
	return table;
}

static void before_fork(void)
{
	pthread_mutex_lock(&change_lock);
}

static void after_fork(void)
{
	pthread_mutex_unlock(&change_lock);
}

/* Readers of other threads do not exist here. */
static void in_child(void)
{
	pthread_mutex_init(&change_lock, NULL);
	atomic_store(&readers[0].count, 0);
	atomic_store(&readers[1].count, 0);
}

static void prepare_for_fork(void)
{
	pthread_atfork(before_fork, after_fork, in_child);
}

void io_table_prepare(void)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;

	pthread_once(&once, prepare_for_fork);
}

int io_change_begin(struct io_change *change)
{
	sigset_t all;

	io_table_prepare();
	fault_thread_sigmask(&all);
	pthread_sigmask(SIG_SETMASK, &all, &change->mask);
	pthread_mutex_lock(&change_lock);
	change->old = atomic_load(&current);
	change->next = table_copy(change->old);
	if (change->next)
		return 0;
	pthread_mutex_unlock(&change_lock);
	pthread_sigmask(SIG_SETMASK, &change->mask, NULL);
	return -ENOMEM;
}

static void open_gap(struct io_table *table, unsigned int i)
{
	assert(table->nr < table->max);
	memmove(&table->ranges[i + 1], &table->ranges[i], (table->nr - i) * sizeof(table->ranges[0]));
	table->nr++;
}

static void close_gap(struct io_table *table, unsigned int i)
{
	table->nr--;
	memmove(&table->ranges[i], &table->ranges[i + 1], (table->nr - i) * sizeof(table->ranges[0]));
}

/* Make a range boundary of va, if it lies within a range. */
static void split_at(struct io_table *table, uint64_t va)
{
	unsigned int i = first_above(table, va);

	if (i == table->nr || table->ranges[i].start >= va)
		return;
	open_gap(table, i);
	table->ranges[i].end = va;
	table->ranges[i + 1].offset += va - table->ranges[i].start;
	table->ranges[i + 1].start = va;
}

void io_change_remove(struct io_change *change, uint64_t start, uint64_t end)
{
	struct io_table *table = change->next;
	unsigned int i;

	split_at(table, start);
	split_at(table, end);
	i = first_above(table, start);
	while (i < table->nr && table->ranges[i].start < end)
		close_gap(table, i);
}

void io_change_add(struct io_change *change, const struct io_range *range)
{
	struct io_table *table = change->next;
	unsigned int i = first_above(table, range->start);

	open_gap(table, i);
	table->ranges[i] = *range;
}

void io_change_protect(struct io_change *change, uint64_t start, uint64_t end, int prot)
{
	struct io_table *table = change->next;

	split_at(table, start);
	split_at(table, end);
	for (unsigned int i = first_above(table, start); i < table->nr && table->ranges[i].start < end; i++)
		table->ranges[i].prot = prot;
}

const struct io_range *io_change_next(const struct io_change *change, uint64_t va)
{
	unsigned int i = first_above(change->next, va);

	return i < change->next->nr ? &change->next->ranges[i] : NULL;
}

static void publish(struct io_table *table)
{
	atomic_store(&current, table);
	atomic_store(&low, table->nr ? table->ranges[0].start : 0);
	atomic_store(&high, table->nr ? table->ranges[table->nr - 1].end : 0);
}

/* Each table holds its own references. */
static void table_free(struct io_table *table)
{
	if (!table)
		return;
	for (unsigned int i = 0; i < table->nr; i++)
		file_put(table->ranges[i].file);
	munmap(table, table->bytes);
}

void io_change_commit(struct io_change *change)
{
	for (unsigned int i = 0; i < change->next->nr; i++)
		file_get(change->next->ranges[i].file);
	publish(change->next);
	wait_for_readers();
	pthread_mutex_unlock(&change_lock);
	pthread_sigmask(SIG_SETMASK, &change->mask, NULL);
	table_free(change->old);
}

void io_change_abort(struct io_change *change)
{
	munmap(change->next, change->next->bytes);
	pthread_mutex_unlock(&change_lock);
	pthread_sigmask(SIG_SETMASK, &change->mask, NULL);
}
