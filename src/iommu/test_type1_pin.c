/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Mediated devices on type1: scripts of steps with what is charged after each of them, for every combination
 * of devices with and without an IOMMU.
 */
#include "iommu/test_type1_pin.h"

enum op { ATTACH, DETACH, OPEN, CLOSE, MAP, UNMAP, PIN, UNPIN, END };

struct step {
	enum op op;
	unsigned int who; /* which device, or the page that is mapped or unmapped */
	unsigned int page, n;
	int ret;
	unsigned int charge; /* in pages, afterwards */
};

#define ATTACH_BACKED(who, ret, charge)                                                                      \
	{                                                                                                    \
		ATTACH, who, 0, 0, ret, charge                                                               \
	}
#define DETACH_BACKED(who, charge)                                                                           \
	{                                                                                                    \
		DETACH, who, 0, 0, 0, charge                                                                 \
	}
#define ATTACH_MEDIATED(who, charge)                                                                         \
	{                                                                                                    \
		OPEN, who, 0, 0, 0, charge                                                                   \
	}
#define DETACH_MEDIATED(who, charge)                                                                         \
	{                                                                                                    \
		CLOSE, who, 0, 0, 0, charge                                                                  \
	}
#define DO_MAP(page, n, ret, charge)                                                                         \
	{                                                                                                    \
		MAP, 0, page, n, ret, charge                                                                 \
	}
#define DO_UNMAP(page, n, ret, charge)                                                                       \
	{                                                                                                    \
		UNMAP, 0, page, n, ret, charge                                                               \
	}
#define DO_PIN(who, page, n, ret, charge)                                                                    \
	{                                                                                                    \
		PIN, who, page, n, ret, charge                                                               \
	}
#define DO_UNPIN(who, page, n, ret, charge)                                                                  \
	{                                                                                                    \
		UNPIN, who, page, n, ret, charge                                                             \
	}
#define DONE                                                                                                 \
	{                                                                                                    \
		END, 0, 0, 0, 0, 0                                                                           \
	}

static int run_step(struct fixture *f, const struct step *step)
{
	switch (step->op) {
	case ATTACH:
		return type1_attach(f->iommu, &f->devs[step->who], 1);
	case DETACH:
		type1_detach(f->iommu, &f->devs[step->who], 1);
		return 0;
	case OPEN:
		return attach_mediated(f, step->who);
	case CLOSE:
		return detach_mediated(f, step->who);
	case MAP:
		return type1_map(f->iommu, f->mm, BASE + step->page * PG, f->va + step->page * PG,
				 step->n * PG, RW, false);
	case UNMAP:
		return unmap(f, step->page, step->n);
	case PIN:
		return pin(f, step->who, step->page, step->n);
	default:
		return unpin(f, step->who, step->page, step->n);
	}
}

static void run(struct fixture *f, const struct step *steps)
{
	for (unsigned int i = 0; steps[i].op != END; i++) {
		int ret = run_step(f, &steps[i]);
		uint64_t charge = atomic_load(&f->mm->locked_pages);
		struct mm_usages usages = { 0 };

		if (ret != steps[i].ret || charge != steps[i].charge)
			fail_msg("step %u: returned %d, not %d; charged %llu, not %u", i, ret, steps[i].ret,
				 (unsigned long long)charge, steps[i].charge);
		type1_get_usages(f->iommu, &usages);
		assert_int_equal(usages.nr ? usages.usage[0].charged : 0, charge);
		mm_usages_free(&usages);
	}
}

static void test_backed_only(void **state)
{
	static const struct step steps[] = {
		ATTACH_BACKED(0, 0, 0),   DO_MAP(0, 100, 0, 100),    DO_MAP(100, 50, 0, 150),
		ATTACH_BACKED(1, 0, 150), DO_UNMAP(0, 100, 100, 50), DETACH_BACKED(0, 50),
		DO_MAP(0, 10, 0, 60),     DETACH_BACKED(1, 0),       DONE,
	};

	run(*state, steps);
}

static void test_mediated_only(void **state)
{
	static const struct step steps[] = {
		ATTACH_MEDIATED(0, 0),
		DO_MAP(0, 100, 0, 0), /* mapping pins nothing */
		DO_MAP(100, 100, 0, 0),
		DO_PIN(0, 0, 10, 0, 10),
		DO_PIN(0, 95, 10, 0, 20),  /* across mappings */
		DO_PIN(0, 0, 1, 0, 20),    /* again: charged once */
		DO_UNPIN(0, 0, 10, 0, 11), /* one is left */
		DO_UNPIN(0, 0, 2, -EINVAL, 11),
		DO_UNPIN(0, 0, 1, 0, 10),
		DO_UNPIN(0, 0, 1, -EINVAL, 10),
		DO_UNMAP(0, 100, 100, 5), /* the driver unpins what is in it */
		DO_UNMAP(0, 100, 0, 5),
		DO_MAP(0, 100, 0, 5), /* again, and not pinned */
		DO_PIN(0, 0, 3, 0, 8),
		DETACH_MEDIATED(0, 0), /* what is left is unpinned */
		DONE,
	};

	run(*state, steps);
}

static void test_one_each(void **state)
{
	static const struct step steps[] = {
		ATTACH_BACKED(0, 0, 0),    ATTACH_MEDIATED(0, 0),
		DO_MAP(0, 100, 0, 100),    DO_PIN(0, 10, 20, 0, 100), /* pinned and charged already */
		DO_PIN(0, 10, 20, 0, 100), DO_UNPIN(0, 10, 20, 0, 100),
		DO_UNMAP(0, 100, 100, 0),  DO_MAP(0, 50, 0, 50),
		DO_PIN(0, 0, 50, 0, 50),   DETACH_MEDIATED(0, 50),
		DETACH_BACKED(0, 0),       DONE,
	};

	run(*state, steps);
}

static void test_hot_plug_mediated(void **state)
{
	static const struct step steps[] = {
		ATTACH_BACKED(0, 0, 0),    DO_MAP(0, 100, 0, 100),
		ATTACH_MEDIATED(0, 100),   DO_PIN(0, 0, 10, 0, 100),
		DETACH_MEDIATED(0, 100), /* with pins */
		DO_UNMAP(0, 100, 100, 0),  DO_MAP(0, 20, 0, 20),
		ATTACH_MEDIATED(1, 20),    DO_PIN(1, 0, 20, 0, 20),
		DO_UNPIN(1, 0, 20, 0, 20), DETACH_MEDIATED(1, 20),
		DETACH_BACKED(0, 0),       DONE,
	};

	run(*state, steps);
}

static void test_hot_plug_backed(void **state)
{
	static const struct step steps[] = {
		ATTACH_MEDIATED(0, 0),      DO_MAP(0, 100, 0, 0),
		DO_MAP(200, 100, 0, 0),     DO_PIN(0, 10, 20, 0, 20),
		DO_PIN(0, 10, 5, 0, 20),    ATTACH_BACKED(0, 0, 200), /* each page once */
		DO_PIN(0, 200, 10, 0, 200), DO_UNPIN(0, 10, 20, 0, 200),
		DO_MAP(100, 10, 0, 210),    DETACH_BACKED(0, 15), /* 5 pages that were pinned twice, and 10 */
		DO_UNPIN(0, 10, 5, 0, 10),  ATTACH_BACKED(0, 0, 210),
		ATTACH_BACKED(1, 0, 210),   DETACH_BACKED(0, 210),
		DETACH_BACKED(1, 10),       DO_UNMAP(0, 300, 210, 0),
		DETACH_MEDIATED(0, 0),      DONE,
	};

	run(*state, steps);
}

/* The last device of either kind leaves, in both orders. */
static void test_hot_unplug_of_the_last(void **state)
{
	static const struct step steps[] = {
		ATTACH_BACKED(0, 0, 0),  ATTACH_MEDIATED(0, 0),
		DO_MAP(0, 100, 0, 100),  DO_PIN(0, 0, 7, 0, 100),
		DETACH_BACKED(0, 7), /* the pins stay */
		DO_PIN(0, 50, 3, 0, 10), ATTACH_BACKED(0, 0, 100),
		DETACH_MEDIATED(0, 100), DETACH_BACKED(0, 0), /* and every mapping goes */
		DO_UNMAP(0, 100, 0, 0),  ATTACH_MEDIATED(0, 0),
		DO_MAP(0, 100, 0, 0),    DETACH_MEDIATED(0, 0),
		ATTACH_MEDIATED(0, 0),   DO_PIN(0, 0, 1, -EINVAL, 0),
		DETACH_MEDIATED(0, 0),   DONE,
	};

	run(*state, steps);
}

static void test_several_drivers(void **state)
{
	static const struct step steps[] = {
		ATTACH_MEDIATED(0, 0),          ATTACH_MEDIATED(1, 0),
		DO_MAP(0, 100, 0, 0),           DO_PIN(0, 0, 10, 0, 10),
		DO_PIN(1, 5, 10, 0, 15),        /* five pages by both */
		DO_UNPIN(1, 0, 5, -EINVAL, 15), /* the other one's */
		DO_UNPIN(1, 4, 2, -EINVAL, 15), /* half of it the other one's */
		DO_UNPIN(0, 0, 10, 0, 10),      DO_PIN(0, 0, 10, 0, 15),
		DETACH_MEDIATED(0, 10),         ATTACH_BACKED(0, 0, 100),
		DETACH_BACKED(0, 10),           DO_UNMAP(0, 100, 100, 0),
		DETACH_MEDIATED(1, 0),          DONE,
	};

	run(*state, steps);
}

/* LIMIT is 500 pages. */
static void test_failures(void **state)
{
	static const struct step steps[] = {
		ATTACH_MEDIATED(0, 0),
		DO_MAP(0, 600, 0, 0),
		DO_PIN(0, 0, 400, 0, 400),
		DO_PIN(0, 390, 111, -ENOMEM, 400), /* 101 of them are new */
		DO_PIN(0, 390, 110, 0, 500),
		DO_PIN(0, 500, 1, -ENOMEM, 500),
		DO_PIN(0, 590, 20, -ENOMEM, 500),
		DO_PIN(0, 0, 400, 0, 500),      /* these are pinned anyway */
		ATTACH_BACKED(0, -ENOMEM, 500), /* all 600 would be */
		DO_UNPIN(0, 0, 400, 0, 500),
		DO_UNPIN(0, 0, 400, 0, 110), /* as 390-399 were pinned three times */
		DO_MAP(600, 100, 0, 110),
		ATTACH_BACKED(0, -ENOMEM, 110), /* in the first mapping, and the other one untouched */
		DO_UNMAP(0, 600, 600, 0),
		DO_PIN(0, 690, 11, -EINVAL, 0), /* runs into a hole */
		DO_PIN(0, 599, 2, -EINVAL, 0),
		DO_MAP(100, 401, 0, 0),
		ATTACH_BACKED(0, -ENOMEM, 0), /* the second one does not fit, and the first one is undone */
		DO_UNMAP(100, 401, 401, 0),
		ATTACH_BACKED(0, 0, 100),
		DO_MAP(0, 401, -ENOMEM, 100),
		DETACH_BACKED(0, 0),
		DETACH_MEDIATED(0, 0),
		DONE,
	};

	run(*state, steps);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_backed_only, setup, teardown),
		cmocka_unit_test_setup_teardown(test_mediated_only, setup, teardown),
		cmocka_unit_test_setup_teardown(test_one_each, setup, teardown),
		cmocka_unit_test_setup_teardown(test_hot_plug_mediated, setup, teardown),
		cmocka_unit_test_setup_teardown(test_hot_plug_backed, setup, teardown),
		cmocka_unit_test_setup_teardown(test_hot_unplug_of_the_last, setup, teardown),
		cmocka_unit_test_setup_teardown(test_several_drivers, setup, teardown),
		cmocka_unit_test_setup_teardown(test_failures, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
