/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Random calls on IO page tables, compared with the model: what they answer, what is mapped afterwards, what
 * stands in the domains, and how many pages are pinned. In every other call the nth thing that can fail does
 * (where the build has failpoints): then either nothing has changed, or the call went on without.
 *
 * Some of the memory is another process's, which exits at times.
 *
 * UVFIO_IOMMUFD_OPERATIONS: how many; UVFIO_IOMMUFD_SEED: another sequence.
 */
#include "iommufd/test_iopt_model.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#define DOMAINS 2
#define EXITS   1000 /* calls, between exits */

struct subject {
	struct iommufd_ioas *ioas;
	struct iommufd_access *access;
	struct test_domain domains[DOMAINS];
	bool attached[DOMAINS];
};

uint64_t m_memory;
static struct iommu_params params;
static struct file *file;
static struct iommufd_ctx *ctx;
static struct mm *mms[NR_MM]; /* this process, and child */
static pid_t child;
static struct subject subjects[TABLES];
static uint64_t seed = 88172645463325252u;
static unsigned int nth; /* the failure to come in this call; 0: none */
static unsigned int failures, exits;

static uint64_t rnd(uint64_t below)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return seed % below;
}

/* ---- comparing */

struct walk {
	const struct m_table *t;
	struct subject *s;
	unsigned int i;
};

static bool same_area(void *arg, struct range *range)
{
	const struct iopt_area *area = range->value;
	struct walk *walk = arg;
	const struct m_area *want = &walk->t->areas[walk->i++];

	assert_true(walk->i <= walk->t->nr);
	assert_int_equal(area->iova, want->iova);
	assert_int_equal(area->last, want->iova + want->len - 1);
	assert_int_equal(area->iova, range->start);
	assert_int_equal(area->prot, want->prot);
	assert_int_equal(area_va(area), m_memory + m_pages[want->pages].va + want->start);
	assert_int_equal(area->pages->writable, m_pages[want->pages].writable);
	for (unsigned int d = 0; d < DOMAINS; d++) {
		if (!walk->s->attached[d])
			continue;
		test_domain_assert(&walk->s->domains[d], area->iova, area_va(area));
		test_domain_assert(&walk->s->domains[d], area->last, area_va(area) + area_size(area) - 1);
	}
	return true;
}

static bool sum_size(void *arg, struct range *range)
{
	*(uint64_t *)arg += range->last - range->start + 1;
	return true;
}

static void compare_table(unsigned int n)
{
	struct walk walk = { &m_tables[n], &subjects[n], 0 };
	struct io_pagetable *iopt = &subjects[n].ioas->iopt;
	uint64_t bytes = 0, mapped;

	range_map_each(&iopt->areas, 0, UINT64_MAX, same_area, &walk);
	assert_int_equal(walk.i, walk.t->nr);
	assert_int_equal(iopt->areas.count, walk.t->nr);
	assert_int_equal(iopt->iova_alignment, m_alignment(walk.t));
	for (unsigned int i = 0; i < walk.t->nr; i++)
		bytes += walk.t->areas[i].len;
	for (unsigned int d = 0; d < DOMAINS; d++) {
		mapped = 0;
		range_map_each(&subjects[n].domains[d].maps, 0, UINT64_MAX, sum_size, &mapped);
		assert_int_equal(mapped, subjects[n].attached[d] ? bytes : 0);
	}
}

static void compare_usages(void)
{
	struct io_pagetable *iopts[TABLES];
	struct mm_usages usages[TABLES] = { 0 };
	uint64_t charged[NR_MM] = { 0 };

	for (unsigned int n = 0; n < TABLES; n++)
		iopts[n] = &subjects[n].ioas->iopt;
	assert_int_equal(iopt_get_usages(iopts, TABLES, usages), 0);
	for (unsigned int n = 0; n < TABLES; n++) {
		uint64_t bytes = 0, mapped = 0, by_drivers = 0;

		for (unsigned int i = 0; i < m_tables[n].nr; i++)
			bytes += m_tables[n].areas[i].len;
		for (unsigned int i = 0; i < usages[n].nr; i++) {
			mapped += usages[n].usage[i].mapped;
			by_drivers += usages[n].usage[i].pinned_by_drivers;
			charged[usages[n].usage[i].mm != mms[0]] += usages[n].usage[i].charged;
		}
		assert_int_equal(mapped, bytes);
		assert_int_equal(by_drivers, m_pinned_by_drivers(&m_tables[n]));
		mm_usages_free(&usages[n]);
	}
	for (unsigned int i = 0; i < NR_MM; i++)
		assert_int_equal(charged[i], mms[i]->pinned_pages);
}

static void compare(void)
{
	for (unsigned int n = 0; n < TABLES; n++)
		compare_table(n);
	for (unsigned int i = 0; i < NR_MM; i++) {
		assert_int_equal(mms[i]->pinned_pages, m_npinned(i));
		assert_int_equal(mms[i]->locked_pages, mms[i]->pinned_pages);
	}
}

/*
 * The call is done. True: it has to be as the model says, which may be asked now. The model is asked last, so
 * that it stays as it was when a failure was injected and obeyed.
 */
static bool counts(int got)
{
	bool failed = has_failed(nth);

	nth = 0;
	failures += failed;
	return !failed || (got != -ENOMEM && got != -EFAULT && got != -EINVAL);
}

static void arm(void)
{
	nth = rnd(2) ? 0 : 1 + (unsigned int)rnd(rnd(3) ? 4 : 14);
	fail_at(nth);
}

/* ---- the calls */

static uint64_t random_iova(const struct m_table *t)
{
	if (t->nr && rnd(3)) { /* at, in or behind what is there */
		const struct m_area *a = &t->areas[rnd(t->nr)];
		uint64_t at[] = { a->iova, a->iova + a->len, a->iova + rnd(a->len / UNIT) * UNIT };

		return at[rnd(ARRAY_SIZE(at))];
	}
	return rnd(4) ? align_down(rnd(SPACE), PG) : rnd(SPACE / UNIT) * UNIT;
}

static uint64_t random_len(void)
{
	return rnd(40) ? (rnd(4) ? (1 + rnd(8)) * PG : (1 + rnd(40)) * UNIT) : 0;
}

static unsigned int random_prot(void)
{
	return 1 + (unsigned int)rnd(3);
}

static void do_map(unsigned int n)
{
	uint64_t len = random_len(),
		 va = rnd(4) ? rnd(MEMORY - 12) * PG : rnd((MEMORY - 12) * PG / UNIT) * UNIT;
	uint64_t iova = random_iova(&m_tables[n]), want_iova = iova;
	unsigned int prot = random_prot(), whose = !rnd(m_gone[1] ? 200 : 6);
	bool choose = rnd(2);
	int got;

	if (m_tables[n].nr == AREAS_MAX)
		return;
	arm();
	got = iopt_map_user_pages(ctx, &subjects[n].ioas->iopt, mms[whose], &iova, m_memory + va, len, prot,
				  choose ? IOPT_ALLOC_IOVA : 0);
	if (!counts(got))
		return;
	assert_int_equal(got, m_map(&m_tables[n], &want_iova, whose, va, len, prot, choose));
	if (!got)
		assert_int_equal(iova, want_iova);
}

static void do_copy(unsigned int n)
{
	unsigned int from = (unsigned int)rnd(TABLES), prot = random_prot();
	uint64_t len = random_len(), src = random_iova(&m_tables[from]);
	uint64_t iova = random_iova(&m_tables[n]), want_iova = iova;
	bool choose = rnd(2);
	int got;

	if (m_tables[n].nr + 16 > AREAS_MAX)
		return;
	arm();
	got = iopt_copy(&subjects[n].ioas->iopt, &iova, &subjects[from].ioas->iopt, src, len, prot,
			choose ? IOPT_ALLOC_IOVA : 0);
	if (!counts(got))
		return;
	assert_int_equal(got, m_copy(&m_tables[n], &want_iova, &m_tables[from], src, len, prot, choose));
	if (!got)
		assert_int_equal(iova, want_iova);
}

static void do_unmap(unsigned int n)
{
	uint64_t start = random_iova(&m_tables[n]), len = rnd(4) ? 1 + random_len() : 1 + rnd(SPACE), got,
		 want;
	int ret;

	if (!rnd(60)) {
		start = 0;
		len = UINT64_MAX;
	}
	arm();
	ret = iopt_unmap_iova(&subjects[n].ioas->iopt, start, len, &got);
	has_failed(nth); /* there is nothing in it that can fail */
	assert_int_equal(ret, m_unmap(&m_tables[n], start, start + (len - 1), &want));
	assert_int_equal(got, want);
}

static void do_domain(unsigned int n)
{
	unsigned int d = (unsigned int)rnd(DOMAINS);
	struct test_domain *domain = &subjects[n].domains[d];
	struct io_pagetable *iopt = &subjects[n].ioas->iopt;
	int got;

	if (subjects[n].attached[d]) {
		iopt_table_remove_domain(iopt, &domain->base);
		m_remove_domain(&m_tables[n], domain, domain->base.pgsize);
		subjects[n].attached[d] = false;
		return;
	}
	domain->base.pgsize = rnd(2) ? PG : PG / 2;
	domain->base.aperture_first = rnd(4) ? 0 : PG;
	domain->base.aperture_last = rnd(2) ? UINT64_MAX : SPACE - 1;
	arm();
	got = iopt_table_add_domain(iopt, &domain->base);
	if (!counts(got))
		return;
	assert_int_equal(got, m_add_domain(&m_tables[n], domain, domain->base.pgsize,
					   domain->base.aperture_first, domain->base.aperture_last));
	subjects[n].attached[d] = !got;
}

static void do_reserve(unsigned int n)
{
	struct io_pagetable *iopt = &subjects[n].ioas->iopt;
	struct m_table *t = &m_tables[n];
	uint64_t start = rnd(SPACE / UNIT) * UNIT, last = start + (1 + rnd(60)) * UNIT - 1;
	int got;

	if (t->nr_reserved >= RANGES_MAX || rnd(2)) {
		iopt_remove_reserved_iova(iopt, t);
		m_unreserve(t, t);
		return;
	}
	arm();
	got = iopt_reserve_iova(iopt, start, last, t);
	if (counts(got))
		assert_int_equal(got, m_reserve(t, start, last, t));
}

static void do_allow(unsigned int n)
{
	unsigned int nr = (unsigned int)rnd(RANGES_MAX);
	struct iommu_range ranges[RANGES_MAX];
	uint64_t at = rnd(SPACE / 4 / UNIT) * UNIT;
	int got;

	for (unsigned int i = 0; i < nr; i++) {
		ranges[i].start = at + (rnd(3) ? rnd(600) * UNIT : 0);
		ranges[i].last = ranges[i].start + (1 + rnd(900)) * UNIT - 1;
		at = ranges[i].last + 1;
	}
	arm();
	got = iopt_set_allow_iova(&subjects[n].ioas->iopt, ranges, nr);
	if (counts(got))
		assert_int_equal(got, m_allow(&m_tables[n], ranges, nr));
}

/* What drivers do when they are told. */
static void unpin_touching(void *data, uint64_t iova, uint64_t length)
{
	unsigned int n = (unsigned int)((struct subject *)data - subjects);
	struct m_table *t = &m_tables[n];

	for (unsigned int i = t->nr_pins; i--;) {
		struct m_range pin = t->pins[i];

		if (pin.start > iova + (length - 1) || pin.last < iova)
			continue;
		t->pins[i] = t->pins[--t->nr_pins];
		iommufd_access_unpin_pages(subjects[n].access, pin.start, pin.last - pin.start + 1);
	}
}

static const struct iommufd_access_ops access_ops = { .needs_pin_pages = true, .unmap = unpin_touching };

static void do_pin(unsigned int n)
{
	struct m_table *t = &m_tables[n];
	uint64_t iova = align_down(random_iova(t), PG), len = 1 + rnd(6 * PG);
	struct mm_page pages[8];
	bool write = rnd(2);
	int got;

	if (t->nr_pins == PINS_MAX || (t->nr_pins && rnd(2))) {
		unpin_touching(&subjects[n], t->pins[0].start, 1);
		return;
	}
	arm();
	got = iommufd_access_pin_pages(subjects[n].access, iova, len, pages, write);
	if (!counts(got))
		return;
	assert_int_equal(got, m_pin(t, iova, len, write));
	for (uint64_t i = 0; !got && i <= (len - 1) / PG; i++) {
		struct range range;

		assert_true(range_map_find(&subjects[n].ioas->iopt.areas, iova + i * PG, &range));
		assert_int_equal(pages[i].va, area_va(range.value) + (iova + i * PG - range.start));
	}
}

static void do_rw(unsigned int n)
{
	uint64_t iova = random_iova(&m_tables[n]) + rnd(8), len = 1 + rnd(3 * PG);
	static char buf[4 * PG]; /* all memory is 0, and stays so */
	bool write = rnd(2);
	int got = iopt_access_rw(&subjects[n].ioas->iopt, iova, buf, len, write);

	assert_int_equal(got, m_rw(&m_tables[n], iova, len, write));
	for (uint64_t i = 0; !got && i < len; i += 97)
		assert_int_equal(buf[i], 0);
}

static void do_cut(unsigned int n)
{
	struct io_pagetable *iopt = &subjects[n].ioas->iopt;
	uint64_t iova = random_iova(&m_tables[n]) + PG - 1;
	int got;

	if (!rnd(4)) {
		iopt_enable_large_pages(iopt);
		m_tables[n].no_large = false;
	} else if (!rnd(3)) {
		got = iopt_disable_large_pages(iopt);
		assert_int_equal(got, m_disable_large(&m_tables[n]));
	} else if (m_tables[n].nr < AREAS_MAX) {
		arm();
		got = iopt_cut_iova(iopt, &iova, 1);
		if (counts(got))
			assert_int_equal(got, m_cut(&m_tables[n], iova));
	}
}

static void start_child(void)
{
	child = fork();
	if (!child) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		for (;;)
			pause();
	}
	assert_int_equal(mm_of_pid(child, &mms[1]), 0);
	m_gone[1] = false;
}

static void kill_child(void)
{
	kill(child, SIGKILL);
	assert_int_equal(waitpid(child, NULL, 0), child);
	m_gone[1] = true;
}

/* The other process exits; when nothing is mapped of it any more, another one takes its place. */
static void do_exit(void)
{
	if (!m_gone[1]) {
		kill_child();
	} else if (!m_has_pages(1)) {
		assert_int_equal(mms[1]->pinned_pages, 0);
		assert_int_equal(mms[1]->refs, 1);
		mm_put(mms[1]);
		start_child();
		exits++;
	}
}

static void step(void)
{
	unsigned int n = (unsigned int)rnd(TABLES);
	uint64_t what = rnd(100);

	if (!rnd(EXITS))
		do_exit();
	if (what < 30)
		do_map(n);
	else if (what < 45)
		do_copy(n);
	else if (what < 65)
		do_unmap(n);
	else if (what < 72)
		do_domain(n);
	else if (what < 76)
		do_reserve(n);
	else if (what < 79)
		do_allow(n);
	else if (what < 86)
		m_tables[n].access ? do_pin(n) : do_rw(n);
	else if (what < 92)
		do_rw(n);
	else
		do_cut(n);
}

/* ---- */

static void start_table(unsigned int n)
{
	struct subject *s = &subjects[n];
	uint32_t id;

	assert_int_equal(iommufd_ioas_alloc(ctx, &s->ioas), 0);
	iommufd_object_finalize(ctx, &s->ioas->obj);
	for (unsigned int d = 0; d < DOMAINS; d++)
		test_domain_init(&s->domains[d], PG);
	if (n == TABLES - 1)
		return; /* one without needs no alignment */
	assert_int_equal(iommufd_access_create(ctx, &access_ops, s, &s->access, &id), 0);
	assert_int_equal(iommufd_access_attach(s->access, s->ioas->obj.id), 0);
	m_tables[n].access = true;
}

static void stop_table(unsigned int n)
{
	struct subject *s = &subjects[n];

	if (s->access)
		iommufd_access_destroy(s->access);
	for (unsigned int d = 0; d < DOMAINS; d++) {
		if (s->attached[d])
			iopt_table_remove_domain(&s->ioas->iopt, &s->domains[d].base);
		test_domain_fini(&s->domains[d]);
	}
	iopt_remove_reserved_iova(&s->ioas->iopt, &m_tables[n]);
}

static uint64_t number(const char *name, uint64_t otherwise)
{
	const char *text = getenv(name);

	return text ? strtoull(text, NULL, 0) : otherwise;
}

static void test_random(void **state)
{
	uint64_t operations = number("UVFIO_IOMMUFD_OPERATIONS", 1000000);

	(void)state;
	seed ^= number("UVFIO_IOMMUFD_SEED", 0) * 11400714819323198485u;
	iommu_params_default(&params);
	params.memlock_pages = BIT64(40); /* never reached, but counted */
	assert_int_equal(iommufd_open(&params, false, O_RDWR, &file), 0);
	ctx = file->priv;
	mms[0] = mm_self();
	m_memory = (uint64_t)(uintptr_t)test_memory(MEMORY);
	mprotect((char *)m_memory + READ_ONLY * PG, (NO_ACCESS - READ_ONLY) * PG, PROT_READ);
	mprotect((char *)m_memory + NO_ACCESS * PG, (MEMORY - NO_ACCESS) * PG, PROT_NONE);
	start_child(); /* with the same memory at the same place */
	for (unsigned int n = 0; n < TABLES; n++)
		start_table(n);
	for (uint64_t i = 0; i < operations; i++) {
		step();
		compare();
		if (!(i % 8))
			compare_usages();
	}
	for (unsigned int n = 0; n < TABLES; n++)
		stop_table(n);
	file_put(file);
	if (!m_gone[1])
		kill_child();
	for (unsigned int i = 0; i < NR_MM; i++) {
		assert_int_equal(mms[i]->pinned_pages, 0);
		assert_int_equal(mms[i]->locked_pages, 0);
	}
	assert_int_equal(mms[1]->refs, 1);
	print_message("# %llu operations, %u of them with a failure, %u exits\n",
		      (unsigned long long)operations, failures, exits);
	for (unsigned int i = 0; i < NR_MM; i++)
		mm_put(mms[i]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_random),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
