/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Random hypercalls, right ones and wrong ones, on a table with the windows of two containers, beside calls
 * of the program's, reboots and unplugs, against a model of the guest's view, both hardware tables and
 * registered memory; compared entry by entry at the end, and after each of many stretches. Meanwhile devices
 * copy within both windows.
 *
 * And four vCPUs that make hypercalls at once, while the guest reboots and groups come and go.
 */
#include "kvm/spapr/test_rig.h"

#include "iommu/dma.h"

#include <endian.h>
#include <pthread.h>

#define TG    (MIB / PG) /* entries of the window */
#define STEPS 1000000u
#define HW    2u
#define PAGES (32 * MIB / PG) /* of the guest; by number: */
#define FIXED 32u             /* registered all the time: below this */
#define EXTRA 48u             /* registered now and then: below this */
#define LIST  63u             /* the page for lists */
#define HERE  3u              /* permissions of a TCE */
#define MARK  0x7566696f0000u /* and its number: what is in a page */

struct model {
	struct rig *r;
	struct client other; /* group 2 */
	int fd;              /* the table */
	bool tied[HW], extra;
	uint64_t view[TG];
	uint64_t hw[HW][TG]; /* the TCE's word: guest page and permissions; 0: nothing */
	uint64_t seed;
	uint64_t tces[512];
	unsigned int answers[4]; /* success, parameter, too hard, busy */
	_Atomic bool stop;
	_Atomic uint64_t read;
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

static void model_put(struct model *m, uint64_t n, uint64_t tce)
{
	for (unsigned int i = 0; i < HW; i++)
		if (m->tied[i])
			m->hw[i][n] = tce & HERE ? tce : 0;
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

static uint64_t random_tce(struct model *m)
{
	uint64_t tce = GPA + rnd(&m->seed, 100) % LIST * PG;

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
		return (rnd(&m->seed, 8) ? GPA + rnd(&m->seed, FIXED) * PG : tce) | (1 + rnd(&m->seed, 3));
	}
}

/* ---- steps */

static void step_put(struct model *m)
{
	uint64_t n = rnd(&m->seed, TG + 2), tce = random_tce(m);
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
	uint64_t n = rnd(&m->seed, TG), count = rnd(&m->seed, 40), tce = random_tce(m);
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
	return hw ? &m->other : m->r->t;
}

/* The program's own calls: only that container's. */
static void step_program(struct model *m)
{
	unsigned int hw = rnd(&m->seed, HW);
	uint64_t n = rnd(&m->seed, TG), page = rnd(&m->seed, FIXED);

	if (rnd(&m->seed, 2)) {
		assert_int_equal(map(client_of(m, hw)->c, n * PG, m->r->t->memory + page * PG, PG, RW), 0);
		m->hw[hw][n] = (GPA + page * PG) | HERE;
	} else {
		assert_int_equal(unmap_all(client_of(m, hw), n * PG, PG), 0);
		m->hw[hw][n] = 0;
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
	rc = reg(m->r->t, m->r->t->memory + FIXED * PG, (EXTRA - FIXED) * PG, !m->extra);
	assert_int_equal(rc, m->extra && busy ? -EBUSY : 0);
	m->answers[3] += rc == -EBUSY;
	if (!rc)
		m->extra = !m->extra;
}

/* ---- comparing */

static void check(struct model *m)
{
	for (unsigned int hw = 0; hw < HW; hw++)
		for (uint64_t n = 0; n < TG; n++) {
			uint64_t tce = m->hw[hw][n];
			struct iommu_translation to;
			int rc = iommu_domain_translate(domain_of(m->r->t->bench, hw ? 2 : 0), n * PG,
							IOMMU_READ, &to);

			assert_int_equal(!rc, !!tce);
			if (rc)
				continue;
			assert_int_equal(to.va, (uintptr_t)m->r->t->memory + page_of(tce) * PG);
			assert_int_equal(!!(to.prot & IOMMU_WRITE), !!(tce & 2));
		}
	for (uint64_t n = 0; n < TG; n++) {
		uint64_t tce = 1;

		assert_int_equal(get(m->r, n * PG, &tce), 0);
		assert_int_equal(tce, m->view[n]);
	}
}

/* ---- devices */

struct device {
	struct model *m;
	struct iommu_dev *dev;
	pthread_t thread;
};

/* Whatever it gets to is a page of the guest's that is, or was a moment ago, registered. */
static void *device(void *arg)
{
	struct device *d = arg;
	struct uvfio_dma *dma = dma_user_new(d->dev, NULL);
	uint64_t seed = 88172645463325252u, page;

	while (!atomic_load(&d->m->stop)) {
		dma_begin(dma);
		if (!dma_read(dma, rnd(&seed, TG) * PG, &page, sizeof(page), "test")) {
			if (page - MARK >= EXTRA)
				abort();
			atomic_fetch_add(&d->m->read, 1);
		}
		dma_end(dma);
		usleep(20);
	}
	dma_user_free(dma);
	return NULL;
}

/* ---- all of it */

static void model_start(struct model *m, struct rig *r)
{
	m->r = r;
	m->seed = 88172645463325252u;
	m->other = *r->t;
	for (uint64_t i = 0; i < EXTRA; i++)
		*(uint64_t *)(r->t->memory + i * PG) = MARK + i;
	assert_int_equal(reg(r->t, r->t->memory, 16 * MIB, false), 0);
	assert_int_equal(reg(r->t, r->t->memory, FIXED * PG, true), 0);
	open_all(r->t->bench, 2, VFIO_SPAPR_TCE_v2_IOMMU, &m->other.c, &m->other.g);
	assert_int_equal(remove_at(&m->other, 0), 0);
	assert_int_equal(create(&m->other, 12, MIB, 2, NULL), 0);
	assert_int_equal(reg(&m->other, r->t->memory, FIXED * PG, true), 0);
	m->fd = (int)create_table(r, LIOBN, 12, 0, TG);
}

static void model_end(struct model *m)
{
	close_fd(m->fd);
	for (unsigned int i = 0; i < HW; i++)
		assert_int_equal(unmap_all(client_of(m, i), 0, MIB), 0);
	assert_int_equal(reg(&m->other, m->r->t->memory, FIXED * PG, false), 0);
	assert_int_equal(reg(m->r->t, m->r->t->memory, FIXED * PG, false), 0);
	close_fd(m->r->kv); /* which has the groups' files */
	m->r->kv = -1;
	close_fd(m->other.g);
	close_fd(m->other.c);
}

static void test_model(void **state)
{
	static void (*const steps[])(
		struct model *) = { step_put, step_put,    step_put, step_indirect, step_stuff,  step_get,
				    step_tie, step_reboot, step_put, step_register, step_program };
	struct model *m = calloc(1, sizeof(*m));
	struct device devices[HW];

	model_start(m, *state);
	for (unsigned int i = 0; i < HW; i++) {
		devices[i] = (struct device){ .m = m, .dev = &m->r->t->bench->fake[i * 2].iommu_dev };
		atomic_store(&devices[i].dev->enabled, true);
		assert_int_equal(pthread_create(&devices[i].thread, NULL, device, &devices[i]), 0);
	}
	for (unsigned int i = 0; i < STEPS; i++) {
		steps[rnd(&m->seed, ARRAY_SIZE(steps))](m);
		if (!(i % 1000))
			check(m);
	}
	check(m);
	atomic_store(&m->stop, true);
	for (unsigned int i = 0; i < HW; i++)
		pthread_join(devices[i].thread, NULL);
	for (unsigned int i = 0; i < ARRAY_SIZE(m->answers); i++)
		assert_true(m->answers[i]);
	assert_true(m->read);
	assert_true(in_tier(m->r, TCE_FAST) > STEPS / 10);
	if (m->extra) {
		assert_int_equal(hcall(m->r, UVFIO_H_STUFF_TCE, 0, 0, TG), 0);
		for (unsigned int i = 0; i < HW; i++)
			assert_int_equal(unmap_all(client_of(m, i), 0, MIB), 0);
		assert_int_equal(reg(m->r->t, m->r->t->memory + FIXED * PG, (EXTRA - FIXED) * PG, false), 0);
	}
	model_end(m);
	free(m);
}

/* ---- four vCPUs, reboots, unplugs */

#define VCPUS  4u
#define ROUNDS 3000u

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
		uint64_t in = (GPA + rnd(&seed, FIXED) * PG) | HERE;
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
	struct device d = { .m = m };
	uint64_t *list;

	model_start(m, *state);
	list = (uint64_t *)(m->r->t->memory + LIST * PG);
	for (unsigned int i = 0; i < 512; i++)
		list[i] = htobe64((GPA + i % FIXED * PG) | HERE);
	for (unsigned int i = 0; i < HW; i++)
		assert_int_equal(add_group(m->r, client_of(m, i)->g), 0);
	d.dev = &m->r->t->bench->fake[0].iommu_dev;
	atomic_store(&d.dev->enabled, true);
	assert_int_equal(pthread_create(&d.thread, NULL, device, &d), 0);
	for (unsigned int i = 0; i < VCPUS; i++) {
		vcpus[i] = (struct vcpu){ .m = m, .index = i };
		assert_int_equal(pthread_create(&vcpus[i].thread, NULL, vcpu, &vcpus[i]), 0);
	}
	for (unsigned int round = 0; round < ROUNDS; round++)
		end_and_begin(m, round);
	atomic_store(&m->stop, true);
	pthread_join(d.thread, NULL);
	for (unsigned int i = 0; i < VCPUS; i++) {
		pthread_join(vcpus[i].thread, NULL);
		assert_true(vcpus[i].done);
	}
	model_end(m);
	free(m);
}

int main(void)
{
	const struct CMUnitTest tests[] = { RIG(test_model), RIG(test_threads) };
	int null = open("/dev/null", O_WRONLY | O_CLOEXEC);

	dup2(null, STDERR_FILENO); /* reports of DMA faults */
	return cmocka_run_group_tests_name("kvm_spapr_model", tests, NULL, NULL);
}
