/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Random mapping, unmapping, pinning, unpinning, attaching, detaching, and ends of the process that mapped,
 * against a model that knows a page's mapping and its pins, and from that each answer and each charge.
 *
 * Failures are part of it: locked memory that runs out in the middle of a call, holes, memory that has gone.
 */
#include "iommu/test_type1_pin.h"

#define PAGES    96u
#define NR_MM    2u
#define NR_STEPS 12u
#define STEPS    1000000u
#define LIMITED  60000u /* steps: what is locked is asked of the kernel then, for each charge */

struct mapping {
	unsigned int n; /* pages; 0: none starts here */
	unsigned int mm;
};

struct model {
	struct fixture *f;
	struct mm *mm[NR_MM]; /* this process, and one that may exit */
	bool gone[NR_MM];
	pid_t child;
	struct mapping mappings[PAGES];
	bool backed[NR_BACKED], mediated[NR_MEDIATED];
	uint64_t limit;
	uint64_t seed;
	unsigned int done[NR_STEPS]; /* steps that succeeded, of each kind */
};

static unsigned int rnd(struct model *m, unsigned int below)
{
	m->seed ^= m->seed << 13;
	m->seed ^= m->seed >> 7;
	m->seed ^= m->seed << 17;
	return (unsigned int)(m->seed % below);
}

/* ---- what the model knows */

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
		if (m->mappings[i].n && m->mappings[i].mm == mm)
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
	if (is_backed(m) && charge_of(m, mm) + n > m->limit)
		return -ENOMEM;
	m->mappings[page] = (struct mapping){ n, mm };
	return 0;
}

static int step_map(struct model *m)
{
	unsigned int page = rnd(m, PAGES), n = 1 + rnd(m, MIN(PAGES - page, 12u)), mm = !rnd(m, 8);
	int expected = expect_map(m, page, n, mm);

	assert_int_equal(
		type1_map(m->f->iommu, m->mm[mm], BASE + page * PG, m->f->va + page * PG, n * PG, RW, false),
		expected);
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
	assert_int_equal(unmap(m->f, page, n), expected);
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
		if (!is_backed(m) && ++charge[mm] > m->limit)
			return -ENOMEM;
	}
	return 0;
}

static int step_pin(struct model *m)
{
	unsigned int who = rnd(m, NR_MEDIATED), page = rnd(m, PAGES), n = 1 + rnd(m, MIN(PAGES - page, 8u));
	int expected;

	if (!m->mediated[who])
		return -1;
	expected = expect_pin(m, page, n);
	assert_int_equal(pin(m->f, who, page, n), expected);
	return expected;
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
	assert_int_equal(unpin(m->f, who, page, n), expected);
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
		charge[mm] += m->mappings[i].n - mapping_charge(m, i, false);
		if (charge[mm] > m->limit)
			return -ENOMEM;
	}
	return 0;
}

static int step_backed(struct model *m)
{
	unsigned int who = rnd(m, NR_BACKED);
	int expected = 0;

	if (m->backed[who]) {
		type1_detach(m->f->iommu, &m->f->devs[who], 1);
		m->backed[who] = false;
		drop_if_empty(m);
		return 0;
	}
	expected = expect_attach(m);
	assert_int_equal(type1_attach(m->f->iommu, &m->f->devs[who], 1), expected);
	m->backed[who] = !expected;
	return expected;
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

static void start_child(struct model *m)
{
	m->child = fork();
	if (!m->child)
		for (;;)
			pause();
	assert_int_equal(mm_of_pid(m->child, &m->mm[1]), 0);
	m->gone[1] = false;
}

static void kill_child(struct model *m)
{
	kill(m->child, SIGKILL);
	assert_int_equal(waitpid(m->child, NULL, 0), m->child);
	m->gone[1] = true;
}

/* The process exits; when nothing of its is mapped any more, another one takes its place. */
static int step_exit(struct model *m)
{
	if (!m->gone[1]) {
		kill_child(m);
		return 0;
	}
	for (unsigned int i = 0; i < PAGES; i++)
		if (m->mappings[i].n && m->mappings[i].mm == 1)
			return -1;
	assert_int_equal(atomic_load(&m->mm[1]->locked_pages), 0);
	mm_put(m->mm[1]);
	start_child(m);
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

static void run(struct fixture *f, unsigned int steps, uint64_t limit)
{
	struct model *m = calloc(1, sizeof(*m));

	m->f = f;
	m->seed = 88172645463325252u;
	m->mm[0] = f->mm;
	m->limit = limit;
	start_child(m);
	for (unsigned int i = 0; i < steps; i++)
		step(m, 100);
	for (unsigned int i = 0; i < NR_STEPS; i++)
		assert_true(m->done[i]);
	for (unsigned int i = 0; i < NR_BACKED; i++)
		if (m->backed[i])
			type1_detach(f->iommu, &f->devs[i], 1);
	for (unsigned int i = 0; i < NR_MEDIATED; i++)
		if (m->mediated[i])
			detach_mediated(f, i);
	assert_int_equal(atomic_load(&m->mm[1]->locked_pages), 0);
	if (!m->gone[1])
		kill_child(m);
	mm_put(m->mm[1]);
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
