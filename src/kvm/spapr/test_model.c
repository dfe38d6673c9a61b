/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Random hypercalls, right ones and wrong ones, on a table with the windows of two containers, beside calls
 * of the program's, reboots and unplugs, against a model of the guest's view, both hardware tables and
 * registered memory; compared entry by entry at the end, and after each of many stretches. Meanwhile copy
 * engines copy within both windows, and never get to what is not mapped, or not for writing.
 *
 * And four vCPUs that make hypercalls at once, while the guest reboots and groups come and go.
 */
#include "kvm/spapr/test_engine.h"

#include "vfio/spapr.h"

#include <endian.h>

#define TG      (MIB / PG) /* entries of the window */
#define STEPS   1000000u
#define STRETCH 1000u
#define HW      ENGINES
#define PAGES   (32 * MIB / PG) /* of the guest; by number: */
#define FIXED   128u            /* registered all the time: below this */
#define EXTRA   192u            /* registered now and then: below this */
#define LIST    255u            /* the page for lists */
#define HERE    3u              /* permissions of a TCE */
#define MARK    0x7566696f0000u /* and its number: what is in a page, in each word */
#define WORDS   (PG / 8)

struct model {
	struct uvfio_machine *machine;
	struct engine engines[HW];
	struct rig *r;
	int fd; /* the table */
	bool tied[HW], extra;
	uint64_t view[TG];
	uint64_t hw[HW][TG]; /* the TCE's word: guest page and permissions; 0: nothing */
	uint64_t seed;
	uint64_t tces[512];
	unsigned int answers[4];     /* success, parameter, too hard, busy */
	unsigned int writers[EXTRA]; /* entries that let a device write there */
	uint64_t kept[EXTRA][WORDS]; /* what was there when the last one went */
	unsigned int compared;       /* how often that was still there */
	uint64_t awaited[HW];        /* how many chains there had been */
	_Atomic bool stop;
};

static unsigned int rnd(uint64_t *seed, unsigned int below)
{
	*seed ^= *seed << 13;
	*seed ^= *seed >> 7;
	*seed ^= *seed << 17;
	return (unsigned int)(*seed % below);
}

/* ---- what is to be expected */

static uint64_t page_of(uint64_t tce)
{
	return ((tce & ~(uint64_t)HERE) - GPA) / PG;
}

static bool is_valid(const struct model *m, uint64_t tce)
{
	if (!(tce & HERE))
		return true;
	if (tce & (PG - 1) & ~(uint64_t)HERE || tce < GPA || page_of(tce) >= PAGES)
		return false;
	return !(m->tied[0] || m->tied[1]) || page_of(tce) < (m->extra ? EXTRA : FIXED);
}

static uint64_t *words_of(const struct model *m, uint64_t page)
{
	return (uint64_t *)(m->r->t->memory + page * PG);
}

/* It is so: what cannot be written any more is not. */
static void model_set(struct model *m, unsigned int hw, uint64_t n, uint64_t tce)
{
	const uint64_t old = m->hw[hw][n];

	if (old & 2 && !--m->writers[page_of(old)])
		memcpy(m->kept[page_of(old)], words_of(m, page_of(old)), PG);
	if (tce & 2)
		m->writers[page_of(tce)]++;
	m->hw[hw][n] = tce;
}

static void model_put(struct model *m, uint64_t n, uint64_t tce)
{
	for (unsigned int i = 0; i < HW; i++)
		if (m->tied[i])
			model_set(m, i, n, tce & HERE ? tce : 0);
	m->view[n] = tce;
}

static bool in_window(uint64_t n, uint64_t count)
{
	return n <= TG && count <= TG - n;
}

static void expect(struct model *m, long rc, long answer)
{
	assert_int_equal(rc, answer);
	m->answers[!answer ? 0 : answer == UVFIO_H_PARAMETER ? 1 : 2]++;
}

/* Devices can only read some pages, ever. */
static bool is_read_only(uint64_t page)
{
	return !(page % 4);
}

static uint64_t tce_of(uint64_t page, unsigned int prot)
{
	return (GPA + page * PG) | (is_read_only(page) ? 1 : prot);
}

static uint64_t random_tce(struct model *m)
{
	uint64_t tce = GPA + rnd(&m->seed, 2 * LIST) % LIST * PG;

	switch (rnd(&m->seed, 40)) {
	case 0:
		return tce | 1 << 8 | HERE; /* not aligned */
	case 1:
		return (GPA + PAGES * PG) | 1;
	case 2:
	case 3:
	case 4:
		return 0;
	case 5:
		return tce; /* poison */
	default:
		return tce_of(rnd(&m->seed, 8) ? rnd(&m->seed, FIXED) : page_of(tce), 1 + rnd(&m->seed, 3));
	}
}

/* ---- steps */

static uint64_t random_entry(struct model *m)
{
	return rnd(&m->seed, rnd(&m->seed, 2) ? HOT : TG + 2);
}

static void step_put(struct model *m)
{
	uint64_t n = random_entry(m), tce = random_tce(m);
	bool odd = !rnd(&m->seed, 50);
	long answer = odd || !in_window(n, 1) ? UVFIO_H_PARAMETER : is_valid(m, tce) ? 0 : UVFIO_H_TOO_HARD;

	expect(m, hcall(m->r, UVFIO_H_PUT_TCE, n * PG + odd, tce, 0), answer);
	if (!answer)
		model_put(m, n, tce);
}

static void step_indirect(struct model *m)
{
	unsigned int count = rnd(&m->seed, rnd(&m->seed, 20) ? 20 : 520);
	uint64_t *list = (uint64_t *)(m->r->t->memory + LIST * PG), n = rnd(&m->seed, TG);
	long answer = count > 512 || !in_window(n, count) ? UVFIO_H_PARAMETER : 0;
	bool wrong = !rnd(&m->seed, 4);

	for (unsigned int i = 0; i < count && i < 512; i++) {
		do
			m->tces[i] = random_tce(m);
		while (!wrong && !is_valid(m, m->tces[i]));
		list[i] = htobe64(m->tces[i]);
		if (!answer && !is_valid(m, m->tces[i]))
			answer = UVFIO_H_TOO_HARD;
	}
	expect(m, hcall(m->r, UVFIO_H_PUT_TCE_INDIRECT, n * PG, GPA + LIST * PG, count), answer);
	for (unsigned int i = 0; !answer && i < count; i++)
		model_put(m, n + i, m->tces[i]);
}

static void step_stuff(struct model *m)
{
	uint64_t n = random_entry(m), count = rnd(&m->seed, rnd(&m->seed, 2) ? 4 : 40), tce = random_tce(m);
	long answer;

	if (rnd(&m->seed, 5))
		tce &= ~(uint64_t)HERE;
	answer = tce & HERE || !in_window(n, count) ? UVFIO_H_PARAMETER : 0;
	expect(m, hcall(m->r, UVFIO_H_STUFF_TCE, n * PG, tce, count), answer);
	for (uint64_t i = 0; !answer && i < count; i++)
		model_put(m, n + i, tce);
}

static void step_get(struct model *m)
{
	uint64_t n = rnd(&m->seed, TG + 1), tce = 0;

	expect(m, get(m->r, n * PG, &tce), in_window(n, 1) ? 0 : UVFIO_H_PARAMETER);
	if (n < TG)
		assert_int_equal(tce, m->view[n]);
}

static const struct client *client_of(const struct model *m, unsigned int hw)
{
	return &m->engines[hw].t;
}

/* The program's own calls: only that container's. */
static void step_program(struct model *m)
{
	unsigned int hw = rnd(&m->seed, HW);
	uint64_t n = rnd(&m->seed, TG), page = rnd(&m->seed, FIXED);

	if (rnd(&m->seed, 2)) {
		assert_int_equal(map(client_of(m, hw)->c, n * PG, m->r->t->memory + page * PG, PG,
				     is_read_only(page) ? VFIO_DMA_MAP_FLAG_READ : RW),
				 0);
		model_set(m, hw, n, tce_of(page, HERE));
	} else {
		assert_int_equal(unmap_all(client_of(m, hw), n * PG, PG), 0);
		model_set(m, hw, n, 0);
	}
}

static void step_tie(struct model *m)
{
	unsigned int hw = rnd(&m->seed, HW);
	int group = client_of(m, hw)->g;

	if (rnd(&m->seed, 100))
		return;
	if (m->tied[hw]) {
		assert_int_equal(del_group(m->r, group), 0);
	} else {
		assert_int_equal(add_group(m->r, group), 0);
		assert_int_equal(tie(m->r, group, m->fd), 0);
	}
	m->tied[hw] = !m->tied[hw];
}

static void step_reboot(struct model *m)
{
	if (rnd(&m->seed, 500))
		return;
	close_fd(m->fd);
	m->fd = (int)create_table(m->r, LIOBN, 12, 0, TG);
	memset(m->view, 0, sizeof(m->view));
	for (unsigned int i = 0; i < HW; i++)
		if (m->tied[i])
			assert_int_equal(tie(m->r, client_of(m, i)->g, m->fd), 0);
}

/* Pages that no device can write to are the program's alone. */
static void check_kept(struct model *m, unsigned int first, unsigned int count)
{
	for (unsigned int page = first; page < first + count; page++) {
		if (m->writers[page])
			continue;
		assert_memory_equal(m->kept[page], words_of(m, page), PG);
		m->compared++;
	}
}

static void step_kept(struct model *m)
{
	check_kept(m, rnd(&m->seed, FIXED - 8), 8);
}

static void step_register(struct model *m)
{
	bool busy = false;
	long rc;

	if (rnd(&m->seed, 10))
		return;
	for (unsigned int i = 0; i < HW * TG; i++) {
		uint64_t tce = m->hw[i / TG][i % TG];

		busy |= tce && page_of(tce) >= FIXED;
	}
	check_kept(m, FIXED, EXTRA - FIXED);
	rc = reg(m->r->t, m->r->t->memory + FIXED * PG, (EXTRA - FIXED) * PG, !m->extra);
	assert_int_equal(rc, m->extra && busy ? -EBUSY : 0);
	m->answers[3] += rc == -EBUSY;
	if (!rc)
		m->extra = !m->extra;
}

/* ---- comparing */

static void check_window(const struct model *m, unsigned int hw)
{
	struct file *group = fdtable_get(client_of(m, hw)->g);
	struct tce_table *window = vfio_spapr_get_table(group, 0, MIB, 12);

	for (uint64_t n = 0; n < TG; n++) {
		uint64_t tce = m->hw[hw][n];
		struct pt_leaf leaf;

		assert_int_equal(tce_table_walk(window, n * PG, &leaf), !!tce);
		if (!tce)
			continue;
		assert_int_equal(tce_address(leaf.pte), (uintptr_t)m->r->t->memory + page_of(tce) * PG);
		assert_int_equal(!!(leaf.pte & IOMMU_WRITE), !!(tce & 2));
	}
	tce_table_put(window);
	file_put(group);
}

static void check(struct model *m)
{
	for (unsigned int hw = 0; hw < HW; hw++)
		check_window(m, hw);
	for (uint64_t n = 0; n < TG; n++) {
		uint64_t tce = 1;

		assert_int_equal(get(m->r, n * PG, &tce), 0);
		assert_int_equal(tce, m->view[n]);
	}
}

static bool is_ring(uint64_t page)
{
	return page >= RINGS / PG && page < RINGS / PG + ENGINES;
}

/* When no engine runs: they had only what they could get to, and have not changed the rest. */
static void check_memory(const struct model *m)
{
	for (uint64_t page = 0; page < PAGES; page++)
		for (unsigned int i = 0; page != LIST && !is_ring(page) && i < WORDS; i++) {
			uint64_t word = words_of(m, page)[i];

			if (page < EXTRA && !is_read_only(page))
				assert_true(word - MARK < EXTRA);
			else
				assert_int_equal(word, MARK + page);
		}
}

/* ---- all of it */

static void model_start(struct model *m)
{
	const char *description =
		"iommu type=spapr,memlock=unlimited\ndevice ioat,addr=0000:00:01.0,group=1\n"
		"device ioat,addr=0000:00:02.0,group=2\n";
	char why[256];
	char *memory = mmap(NULL, 64 * MIB, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	m->machine = uvfio_machine_new(description, why, sizeof(why));
	assert_non_null(m->machine);
	m->seed = 88172645463325252u;
	memory = (char *)align_up((uintptr_t)memory, 32 * MIB);
	for (unsigned int i = 0; i < HW; i++)
		engine_open(&m->engines[i], m->machine, i, memory);
	m->r = rig_new(&m->engines[0].t);
	for (uint64_t i = 0; i < PAGES * WORDS; i++)
		words_of(m, 0)[i] = MARK + i / WORDS;
	for (unsigned int i = 0; i < HW; i++)
		assert_int_equal(reg(client_of(m, i), memory, FIXED * PG, true), 0);
	memcpy(m->kept, memory, sizeof(m->kept));
	m->fd = (int)create_table(m->r, LIOBN, 12, 0, TG);
}

static void model_end(struct model *m)
{
	char *memory = m->r->t->memory;
	struct mm *mm = mm_self();

	for (unsigned int i = 0; i < HW; i++) {
		engine_stop(&m->engines[i]);
		assert_true(m->engines[i].copies && m->engines[i].faults);
		printf("# engine %u: %llu chains, %llu ended by a fault\n", i,
		       (unsigned long long)(m->engines[i].copies + m->engines[i].faults),
		       (unsigned long long)m->engines[i].faults);
	}
	check_memory(m);
	close_fd(m->fd);
	for (unsigned int i = 0; i < HW; i++)
		assert_int_equal(unmap_all(client_of(m, i), 0, MIB), 0);
	if (m->extra)
		assert_int_equal(reg(m->r->t, memory + FIXED * PG, (EXTRA - FIXED) * PG, false), 0);
	for (unsigned int i = 0; i < HW; i++)
		assert_int_equal(reg(client_of(m, i), memory, FIXED * PG, false), 0);
	rig_free(m->r); /* its KVM-VFIO device has the groups' files */
	for (unsigned int i = 0; i < HW; i++)
		engine_close(&m->engines[i]);
	uvfio_machine_free(m->machine);
	assert_int_equal(mm->locked_pages, 0);
	mm_put(mm);
	munmap(memory, 32 * MIB);
	free(m);
}

/* Where there are few processors: they have done something since the last time. */
static void await_engines(struct model *m)
{
	for (unsigned int i = 0; i < HW; i++) {
		while (engine_chains(&m->engines[i]) == m->awaited[i])
			usleep(10);
		m->awaited[i] = engine_chains(&m->engines[i]);
	}
}

static void steps(struct model *m, bool calm)
{
	static void (*const all[])(struct model *) = {
		step_put, step_put,    step_put, step_indirect, step_stuff,   step_get,
		step_tie, step_reboot, step_put, step_register, step_program, step_kept,
	};
	static void (*const fast[])(struct model *) = { step_put, step_put, step_stuff, step_kept };

	for (unsigned int i = 0; i < STRETCH; i++) {
		if (calm)
			fast[rnd(&m->seed, ARRAY_SIZE(fast))](m);
		else
			all[rnd(&m->seed, ARRAY_SIZE(all))](m);
		if (!(i % (calm ? 4 : 200)))
			await_engines(m);
	}
}

static void test_model(void **state)
{
	struct model *m = calloc(1, sizeof(*m));

	(void)state;
	model_start(m);
	for (unsigned int i = 0; i < HW; i++)
		engine_start(&m->engines[i]);
	for (unsigned int i = 0; i < STEPS / STRETCH; i++) {
		steps(m, i % 50 == 49); /* in the fast tier only, with the engines close behind */
		check(m);
	}
	for (unsigned int i = 0; i < ARRAY_SIZE(m->answers); i++)
		assert_true(m->answers[i]);
	check_kept(m, 0, EXTRA);
	assert_true(m->compared > STEPS / 10);
	assert_true(in_tier(m->r, TCE_FAST) > STEPS / 10);
	model_end(m);
}

/* ---- four vCPUs, reboots, unplugs */

#define VCPUS  4u
#define ROUNDS 1000u

struct vcpu {
	struct model *m;
	unsigned int index;
	pthread_t thread;
	uint64_t done;
};

/* Its own quarter of the table; and an entry that all of them change. */
static void *vcpu(void *arg)
{
	struct vcpu *v = arg;
	struct rig *r = v->m->r;
	uint64_t seed = 88172645463325252u + v->index, tce;

	while (!atomic_load(&v->m->stop)) {
		uint64_t n = v->index * (TG / VCPUS) + rnd(&seed, TG / VCPUS);
		uint64_t in = tce_of(rnd(&seed, FIXED), HERE);
		long rc;

		switch (rnd(&seed, 5)) {
		case 0:
			rc = hcall(r, UVFIO_H_PUT_TCE, 0, in, 0);
			break;
		case 1:
			rc = hcall(r, UVFIO_H_STUFF_TCE, n * PG, 0, TG / VCPUS - n % (TG / VCPUS));
			break;
		case 2:
			rc = hcall(r, UVFIO_H_PUT_TCE_INDIRECT, v->index * (TG / VCPUS) * PG, GPA + LIST * PG,
				   TG / VCPUS);
			break;
		case 3:
			rc = get(r, n * PG, &tce);
			break;
		default:
			rc = hcall(r, UVFIO_H_PUT_TCE, n * PG, in, 0);
		}
		if (rc && rc != UVFIO_H_TOO_HARD) /* there is no table for a moment */
			abort();
		v->done += !rc;
	}
	return NULL;
}

static void end_and_begin(struct model *m, unsigned int round)
{
	unsigned int hw = round & 1;
	int group = client_of(m, hw)->g;

	if (round & 2) { /* a reboot */
		close_fd(m->fd);
		m->fd = (int)create_table(m->r, LIOBN, 12, 0, TG);
		m->tied[0] = m->tied[1] = false;
	} else { /* an unplug, of the group or of the device; windows too go in between */
		if (round & 4)
			assert_int_equal(del_group(m->r, group), 0);
		else
			close_fd(m->r->kv);
		if (!(round & 4)) {
			m->r->kv = new_device(m->r);
			assert_int_equal(add_group(m->r, client_of(m, !hw)->g), 0);
			m->tied[!hw] = false;
		}
		if (round & 8) {
			assert_int_equal(remove_at(client_of(m, hw), 0), 0);
			assert_int_equal(create(client_of(m, hw), 12, MIB, 2, NULL), 0);
		}
		assert_int_equal(add_group(m->r, group), 0);
		m->tied[hw] = false;
	}
	for (unsigned int i = 0; i < HW; i++)
		if (!m->tied[i])
			assert_int_equal(tie(m->r, client_of(m, i)->g, m->fd), 0);
	m->tied[0] = m->tied[1] = true;
}

static void test_threads(void **state)
{
	struct model *m = calloc(1, sizeof(*m));
	struct vcpu vcpus[VCPUS];
	uint64_t *list;

	(void)state;
	model_start(m);
	list = words_of(m, LIST);
	for (unsigned int i = 0; i < 512; i++)
		list[i] = htobe64(tce_of(i % FIXED, HERE));
	for (unsigned int i = 0; i < HW; i++) {
		assert_int_equal(add_group(m->r, client_of(m, i)->g), 0);
		engine_start(&m->engines[i]);
	}
	for (unsigned int i = 0; i < VCPUS; i++) {
		vcpus[i] = (struct vcpu){ .m = m, .index = i };
		assert_int_equal(pthread_create(&vcpus[i].thread, NULL, vcpu, &vcpus[i]), 0);
	}
	for (unsigned int round = 0; round < ROUNDS; round++)
		end_and_begin(m, round);
	atomic_store(&m->stop, true);
	for (unsigned int i = 0; i < VCPUS; i++) {
		pthread_join(vcpus[i].thread, NULL);
		assert_true(vcpus[i].done);
	}
	model_end(m);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_model), cmocka_unit_test(test_threads) };
	int null = open("/dev/null", O_WRONLY | O_CLOEXEC);

	dup2(null, STDERR_FILENO); /* reports of DMA faults */
	return cmocka_run_group_tests_name("kvm_spapr_model", tests, NULL, NULL);
}
