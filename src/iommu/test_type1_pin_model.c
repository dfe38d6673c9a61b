/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Random mapping, unmapping, pinning, unpinning, attaching, detaching, and ends of processes that mapped,
 * against a model that knows a page's mapping and its pins, and from that each answer and each charge.
 *
 * Failures are part of it: locked memory that runs out in the middle of a call, holes, memory that has gone,
 * and, in builds with failpoints, the first or nth allocation of every other call: then nothing has changed,
 * or the call went on without.
 */
#define BASE                                                                                                 \
	((uint64_t)(0x1000000 - 40 * 4096)) /* in two directories of the tables of pins: they come and go */

#include "iommu/test_type1_pin.h"

#include "base/failpoint.h"

#define PAGES    96u
#define NR_MM    4u
#define NR_STEPS 12u
#define STEPS    1000000u
#define LIMITED  60000u /* steps: what is locked is asked of the kernel then, for each charge */

struct mapping {
	unsigned int n; /* pages; 0: none starts here */
	unsigned int mm;
};

struct model {
	struct fixture *f;
	struct mm *mm[NR_MM]; /* this process, a file, which it is charged for, and two that may exit */
	bool gone[NR_MM];
	pid_t child[NR_MM];
	int file;
	struct mapping mappings[PAGES];
	bool backed[NR_BACKED], mediated[NR_MEDIATED];
	uint64_t limit;
	uint64_t seed;
	unsigned int done[NR_STEPS]; /* steps that succeeded, of each kind */
	unsigned int nth;            /* the failure that is to come; 0: none */
	unsigned int failures, exits;
};

static unsigned int rnd(struct model *m, unsigned int below)
{
	m->seed ^= m->seed << 13;
	m->seed ^= m->seed >> 7;
	m->seed ^= m->seed << 17;
	return (unsigned int)(m->seed % below);
}

/* ---- failures */

static void arm(struct model *m)
{
	m->nth = rnd(m, 2) ? 0 : 1 + (rnd(m, 3) ? 0 : rnd(m, 20));
	failpoint_set(m->nth);
}

/* The call is over. True: it said what it had to; false: an allocation failed, and it did nothing. */
static bool answered(struct model *m, int got, int expected)
{
	bool failed = m->nth && !failpoint_get();

	failpoint_set(0);
	m->nth = 0;
	m->failures += failed;
	if (failed && got == -ENOMEM && expected != -ENOMEM)
		return false;
	assert_int_equal(got, expected);
	return true;
}

/* ---- what the model knows */

/* Who pays for memory of mm. */
static unsigned int payer(unsigned int mm)
{
	return mm == 1 ? 0 : mm;
}

static uint64_t va_of(const struct model *m, unsigned int mm, unsigned int page)
{
	return (mm == 1 ? 0 : m->f->va) + page * PG;
}

static bool any(const bool *flags, unsigned int nr)
{
	for (unsigned int i = 0; i < nr; i++)
		if (flags[i])
			return true;
	return false;
}

static bool is_backed(const struct model *m)
{
	return any(m->backed, NR_BACKED);
}

static bool is_pinned(const struct model *m, unsigned int page)
{
	for (unsigned int i = 0; i < NR_MEDIATED; i++)
		if (m->mediated[i] && m->f->mediated[i].pins[page])
			return true;
	return false;
}

/* The mapping that page is in: where it starts, or PAGES. */
static unsigned int mapping_at(const struct model *m, unsigned int page)
{
	for (unsigned int i = page + 1; i--;)
		if (m->mappings[i].n)
			return i + m->mappings[i].n > page ? i : PAGES;
	return PAGES;
}

static uint64_t mapping_charge(const struct model *m, unsigned int start, bool backed)
{
	uint64_t pages = 0;

	for (unsigned int i = 0; i < m->mappings[start].n; i++)
		pages += backed || is_pinned(m, start + i);
	return pages;
}

static uint64_t charge_of(const struct model *m, unsigned int mm)
{
	uint64_t pages = 0;

	for (unsigned int i = 0; i < PAGES; i++)
		if (m->mappings[i].n && payer(m->mappings[i].mm) == mm)
			pages += mapping_charge(m, i, is_backed(m));
	return pages;
}

static void drop_if_empty(struct model *m)
{
	if (!any(m->backed, NR_BACKED) && !any(m->mediated, NR_MEDIATED))
		memset(m->mappings, 0, sizeof(m->mappings));
}

/* ---- steps. Each returns what the call has to return, and changes the model. */

static int expect_map(struct model *m, unsigned int page, unsigned int n, unsigned int mm)
{
	for (unsigned int i = page; i < page + n; i++)
		if (mapping_at(m, i) != PAGES)
			return -EEXIST;
	if (is_backed(m) && m->gone[mm])
		return -EFAULT;
	if (is_backed(m) && charge_of(m, payer(mm)) + n > m->limit)
		return -ENOMEM;
	return 0;
}

static int step_map(struct model *m)
{
	unsigned int page = rnd(m, PAGES), n = 1 + rnd(m, MIN(PAGES - page, 12u));
	unsigned int mm = rnd(m, 6) ? 0 : 1 + rnd(m, NR_MM - 1);
	int expected = expect_map(m, page, n, mm), got;

	arm(m);
	got = type1_map(m->f->iommu, m->mm[mm], BASE + page * PG, va_of(m, mm, page), n * PG, RW, false);
	if (!answered(m, got, expected))
		return got;
	if (!expected)
		m->mappings[page] = (struct mapping){ n, mm };
	return expected;
}

static int expect_unmap(struct model *m, unsigned int page, unsigned int n)
{
	unsigned int last = page + n - 1, first = mapping_at(m, page), end = mapping_at(m, last);
	int pages = 0;

	if (first != PAGES && first != page)
		return -EINVAL;
	if (end != PAGES && end + m->mappings[end].n - 1 != last)
		return -EINVAL;
	for (unsigned int i = page; i <= last; i++) {
		pages += (int)m->mappings[i].n;
		m->mappings[i].n = 0;
	}
	return pages;
}

static int step_unmap(struct model *m)
{
	unsigned int page = rnd(m, PAGES), n = 1 + rnd(m, MIN(PAGES - page, 20u)),
		     start = mapping_at(m, page);
	int expected;

	if (start != PAGES && rnd(m, 2)) {
		page = start;
		n = m->mappings[start].n;
	}
	expected = expect_unmap(m, page, n);
	arm(m); /* there is nothing in it that can fail */
	assert_true(answered(m, unmap(m->f, page, n), expected));
	for (unsigned int i = page; expected >= 0 && i < page + n; i++)
		assert_false(is_pinned(m, i));
	return MIN(expected, 0);
}

static int expect_pin(const struct model *m, unsigned int page, unsigned int n)
{
	uint64_t charge[NR_MM];

	for (unsigned int i = 0; i < NR_MM; i++)
		charge[i] = charge_of(m, i);
	for (unsigned int i = page; i < page + n; i++) {
		unsigned int start = mapping_at(m, i), mm;

		if (start == PAGES)
			return -EINVAL;
		mm = m->mappings[start].mm;
		if (is_pinned(m, i))
			continue;
		if (m->gone[mm])
			return -ENODEV;
		if (!is_backed(m) && ++charge[payer(mm)] > m->limit)
			return -ENOMEM;
	}
	return 0;
}

static int step_pin(struct model *m)
{
	unsigned int who = rnd(m, NR_MEDIATED), page = rnd(m, PAGES), n = 1 + rnd(m, MIN(PAGES - page, 8u));
	int expected, got;

	if (!m->mediated[who])
		return -1;
	expected = expect_pin(m, page, n);
	arm(m);
	got = pin(m->f, who, page, n);
	answered(m, got, expected);
	return got;
}

static int step_unpin(struct model *m)
{
	unsigned int who = rnd(m, NR_MEDIATED), page = rnd(m, PAGES), n = 1 + rnd(m, MIN(PAGES - page, 4u));
	int expected = 0;

	if (!m->mediated[who])
		return -1;
	while (rnd(m, 8) && page + n < PAGES && !m->f->mediated[who].pins[page])
		page++;
	for (unsigned int i = page; i < page + n; i++)
		if (!m->f->mediated[who].pins[i])
			expected = -EINVAL;
	arm(m);
	assert_true(answered(m, unpin(m->f, who, page, n), expected));
	return expected;
}

/* The first mapping that cannot be pinned whole says why. */
static int expect_attach(const struct model *m)
{
	uint64_t charge[NR_MM];

	if (is_backed(m))
		return 0;
	for (unsigned int i = 0; i < NR_MM; i++)
		charge[i] = charge_of(m, i);
	for (unsigned int i = 0; i < PAGES; i++) {
		unsigned int mm = m->mappings[i].mm;

		if (!m->mappings[i].n)
			continue;
		if (m->gone[mm])
			return -EFAULT;
		charge[payer(mm)] += m->mappings[i].n - mapping_charge(m, i, false);
		if (charge[payer(mm)] > m->limit)
			return -ENOMEM;
	}
	return 0;
}

static int step_backed(struct model *m)
{
	unsigned int who = rnd(m, NR_BACKED);
	int expected = 0, got;

	if (m->backed[who]) {
		type1_detach(m->f->iommu, &m->f->devs[who], 1);
		m->backed[who] = false;
		drop_if_empty(m);
		return 0;
	}
	expected = expect_attach(m);
	arm(m);
	got = type1_attach(m->f->iommu, &m->f->devs[who], 1);
	answered(m, got, expected);
	m->backed[who] = !got;
	return got;
}

static int step_mediated(struct model *m)
{
	unsigned int who = rnd(m, NR_MEDIATED);

	if (m->mediated[who]) {
		detach_mediated(m->f, who);
		m->mediated[who] = false;
		drop_if_empty(m);
	} else {
		assert_int_equal(attach_mediated(m->f, who), 0);
		m->mediated[who] = true;
	}
	return 0;
}

static void start_child(struct model *m, unsigned int mm)
{
	m->child[mm] = fork();
	if (!m->child[mm]) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		for (;;)
			pause();
	}
	assert_int_equal(mm_of_pid(m->child[mm], &m->mm[mm]), 0);
	m->gone[mm] = false;
}

static void kill_child(struct model *m, unsigned int mm)
{
	kill(m->child[mm], SIGKILL);
	assert_int_equal(waitpid(m->child[mm], NULL, 0), m->child[mm]);
	m->gone[mm] = true;
}

/* The process exits; when nothing of its is mapped any more, another one takes its place. */
static int step_exit(struct model *m)
{
	unsigned int mm = 2 + rnd(m, NR_MM - 2);

	if (!m->gone[mm]) {
		kill_child(m, mm);
		return 0;
	}
	for (unsigned int i = 0; i < PAGES; i++)
		if (m->mappings[i].n && m->mappings[i].mm == mm)
			return -1;
	assert_int_equal(atomic_load(&m->mm[mm]->locked_pages), 0);
	assert_int_equal(atomic_load(&m->mm[mm]->refs), 1);
	mm_put(m->mm[mm]);
	start_child(m, mm);
	m->exits++;
	return 0;
}

static void step(struct model *m, unsigned int exits)
{
	static int (*const steps[NR_STEPS])(struct model *) = {
		step_map,   step_map,   step_unmap, step_pin,    step_pin,      step_pin,
		step_unpin, step_unpin, step_unpin, step_backed, step_mediated, step_exit,
	};
	unsigned int kind = rnd(m, rnd(m, exits) ? 9 : NR_STEPS - 1);

	if (!rnd(m, exits * 20))
		kind = NR_STEPS - 1;
	if (kind < 3 && !any(m->backed, NR_BACKED) && !any(m->mediated, NR_MEDIATED))
		kind = NR_STEPS - 2;
	m->done[kind] += !steps[kind](m);
	for (unsigned int i = 0; i < NR_MM; i++)
		assert_int_equal(atomic_load(&m->mm[i]->locked_pages), charge_of(m, i));
}

static void start(struct model *m)
{
	m->file = memfd_create("memory", MFD_CLOEXEC);
	assert_int_equal(ftruncate(m->file, PAGES * PG), 0);
	m->mm[0] = m->f->mm;
	assert_int_equal(mm_of_file(m->file, &m->mm[1]), 0);
	for (unsigned int i = 2; i < NR_MM; i++)
		start_child(m, i);
}

static void stop(struct model *m)
{
	for (unsigned int i = 0; i < NR_BACKED; i++)
		if (m->backed[i])
			type1_detach(m->f->iommu, &m->f->devs[i], 1);
	for (unsigned int i = 0; i < NR_MEDIATED; i++)
		if (m->mediated[i])
			detach_mediated(m->f, i);
	for (unsigned int i = 0; i < NR_MM; i++)
		assert_int_equal(atomic_load(&m->mm[i]->locked_pages), 0);
	for (unsigned int i = 1; i < NR_MM; i++) {
		if (i > 1 && !m->gone[i])
			kill_child(m, i);
		assert_int_equal(atomic_load(&m->mm[i]->refs), 1);
		mm_put(m->mm[i]);
	}
	close(m->file);
}

static void run(struct fixture *f, unsigned int steps, uint64_t limit)
{
	const char *seed = getenv("UVFIO_PIN_SEED"); /* another sequence */
	struct model *m = calloc(1, sizeof(*m));

	m->f = f;
	m->seed = 88172645463325252u ^ strtoull(seed ? seed : "0", NULL, 0) * 11400714819323198485u;
	m->limit = limit;
	start(m);
	for (unsigned int i = 0; i < steps; i++)
		step(m, 100);
	for (unsigned int i = 0; i < NR_STEPS; i++)
		assert_true(m->done[i] || limit < PAGES); /* then some hardly ever succeed */
	stop(m);
	print_message("# %u steps, %u of them with a failed allocation, %u exits\n", steps, m->failures,
		      m->exits);
	assert_true(m->exits);
#ifdef UVFIO_IOMMUFD_TEST
	assert_true(m->failures);
#endif
	free(m);
}

static void test_model(void **state)
{
	struct fixture *f = *state;

	type1_free(f->iommu);
	f->params.memlock_pages = UINT64_MAX;
	f->params.memlock_rlimit = true;
	f->iommu = type1_new(&f->params, true);
	run(f, STEPS, mm_memlock_limit(f->mm));
}

static void test_model_limited(void **state)
{
	struct fixture *f = *state;

	f->params.memlock_pages = 24;
	run(f, LIMITED, 24);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_model, setup, teardown),
		cmocka_unit_test_setup_teardown(test_model_limited, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
