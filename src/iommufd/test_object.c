/* SPDX-License-Identifier: BSD-2-Clause */
/* Objects of IOMMUFD: ids, counts, failures, and lookups that race with the end. */
#include "base/failpoint.h"
#include "iommufd/impl.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#define ALIVE 0x600d600du
#define DEAD  0xdeaddeadu

struct thing {
	struct iommufd_object obj;
	_Atomic uint32_t state;
	struct thing *below; /* whose user this is */
};

static _Atomic int destroyed, aborted, pre_destroyed;

static void thing_pre_destroy(struct iommufd_object *obj)
{
	assert_int_equal(((struct thing *)obj)->state, ALIVE);
	atomic_fetch_add(&pre_destroyed, 1);
}

static void thing_destroy(struct iommufd_object *obj)
{
	struct thing *thing = (struct thing *)obj;

	assert_int_equal(atomic_exchange(&thing->state, DEAD), ALIVE);
	if (thing->below) {
		assert_int_equal(thing->below->state, ALIVE);
		iommufd_object_unuse(&thing->below->obj);
	}
	atomic_fetch_add(&destroyed, 1);
}

static void thing_abort(struct iommufd_object *obj)
{
	(void)obj;
	aborted++;
}

static void ioas_destroy(struct iommufd_object *obj)
{
	(void)obj;
	destroyed++;
}

static void listed_destroy(struct iommufd_object *obj);

const struct iommufd_object_ops iommufd_object_ops[IOMMUFD_OBJ_MAX] = {
	[IOMMUFD_OBJ_ACCESS] = { .destroy = listed_destroy },
	[IOMMUFD_OBJ_DEVICE] = { .pre_destroy = thing_pre_destroy, .destroy = thing_destroy },
	[IOMMUFD_OBJ_VDEVICE] = { .destroy = thing_destroy, .abort = thing_abort },
	[IOMMUFD_OBJ_IOAS] = { .destroy = ioas_destroy },
};

static int setup(void **state)
{
	static struct iommufd_ctx ctx;

	ctx = (struct iommufd_ctx){ 0 };
	destroyed = aborted = pre_destroyed = 0;
	*state = &ctx;
	return iommufd_ids_init(&ctx);
}

static int teardown(void **state)
{
	iommufd_ids_destroy(*state);
	return 0;
}

static struct thing *reserve(struct iommufd_ctx *ctx, enum iommufd_object_type type)
{
	struct thing *thing;

	assert_int_equal(iommufd_object_alloc(ctx, sizeof(*thing), type, &thing), 0);
	assert_int_equal(thing->obj.type, type);
	assert_null(thing->below);
	thing->state = ALIVE;
	return thing;
}

static struct thing *make(struct iommufd_ctx *ctx, enum iommufd_object_type type)
{
	struct thing *thing = reserve(ctx, type);

	iommufd_object_finalize(ctx, &thing->obj);
	return thing;
}

static void test_lowest_free_id(void **state)
{
	struct iommufd_ctx *ctx = *state;

	assert_true(iommufd_ids_empty(ctx));
	for (uint32_t id = 1; id <= 200; id++)
		assert_int_equal(make(ctx, IOMMUFD_OBJ_DEVICE)->obj.id, id);
	assert_int_equal(iommufd_object_destroy_id(ctx, 70), 0);
	assert_int_equal(iommufd_object_destroy_id(ctx, 3), 0);
	assert_int_equal(iommufd_object_destroy_id(ctx, 3), -ENOENT);
	assert_int_equal(make(ctx, IOMMUFD_OBJ_DEVICE)->obj.id, 3);
	assert_int_equal(make(ctx, IOMMUFD_OBJ_DEVICE)->obj.id, 70);
	assert_int_equal(make(ctx, IOMMUFD_OBJ_DEVICE)->obj.id, 201);
	assert_int_equal(iommufd_object_destroy_id(ctx, 0), -ENOENT);
	assert_int_equal(iommufd_object_destroy_id(ctx, 202), -ENOENT);
	assert_int_equal(iommufd_object_destroy_id(ctx, UINT32_MAX), -ENOENT);
	iommufd_objects_destroy_all(ctx);
	assert_int_equal(destroyed, 203);
	assert_true(iommufd_ids_empty(ctx));
}

static void test_two_phases(void **state)
{
	struct iommufd_ctx *ctx = *state;
	struct thing *thing = reserve(ctx, IOMMUFD_OBJ_DEVICE);

	assert_null(iommufd_get_object(ctx, 1, IOMMUFD_OBJ_ANY));
	assert_int_equal(iommufd_object_destroy_id(ctx, 1), -ENOENT);
	assert_int_equal(iommufd_try_inc_users(ctx, &thing->obj), -EBUSY);
	assert_false(iommufd_ids_empty(ctx));
	iommufd_object_abort(ctx, &thing->obj);
	assert_int_equal(destroyed, 0);
	assert_true(iommufd_ids_empty(ctx));

	thing = reserve(ctx, IOMMUFD_OBJ_DEVICE);
	iommufd_object_abort_and_destroy(ctx, &thing->obj);
	assert_int_equal(destroyed, 1);
	thing = reserve(ctx, IOMMUFD_OBJ_VDEVICE);
	iommufd_object_abort_and_destroy(ctx, &thing->obj);
	assert_int_equal(destroyed, 1);
	assert_int_equal(aborted, 1);

	thing = make(ctx, IOMMUFD_OBJ_DEVICE);
	assert_int_equal(thing->obj.id, 1);
	assert_ptr_equal(iommufd_get_object(ctx, 1, IOMMUFD_OBJ_ANY), thing);
	assert_ptr_equal(iommufd_get_object(ctx, 1, IOMMUFD_OBJ_DEVICE), thing);
	assert_null(iommufd_get_object(ctx, 1, IOMMUFD_OBJ_IOAS));
	assert_int_equal(iommufd_object_destroy_id(ctx, 1), -EBUSY);
	iommufd_put_object(ctx, &thing->obj);
	assert_int_equal(iommufd_object_destroy_id(ctx, 1), -EBUSY);
	iommufd_put_object(ctx, &thing->obj);
	assert_int_equal(iommufd_object_destroy_id(ctx, 1), 0);
	assert_int_equal(destroyed, 2);
	assert_int_equal(pre_destroyed, 0);
}

static void test_users_go_first(void **state)
{
	struct iommufd_ctx *ctx = *state;
	struct thing *low = make(ctx, IOMMUFD_OBJ_DEVICE), *high = make(ctx, IOMMUFD_OBJ_DEVICE), *middle;

	/* The younger one first, and then the older one. */
	high->below = low;
	assert_int_equal(iommufd_try_inc_users(ctx, &low->obj), 0);
	assert_int_equal(iommufd_object_destroy_id(ctx, low->obj.id), -EBUSY);
	assert_int_equal(iommufd_object_destroy_id(ctx, high->obj.id), 0);
	middle = make(ctx, IOMMUFD_OBJ_DEVICE);
	high = make(ctx, IOMMUFD_OBJ_DEVICE);
	low->below = middle;
	iommufd_object_use(&middle->obj);
	middle->below = high;
	iommufd_object_use(&high->obj);
	iommufd_objects_destroy_all(ctx);
	assert_int_equal(destroyed, 4);
}

static void test_put_and_try_destroy(void **state)
{
	struct iommufd_ctx *ctx = *state;
	struct thing *thing = make(ctx, IOMMUFD_OBJ_DEVICE);

	iommufd_object_use(&thing->obj);
	iommufd_object_use(&thing->obj);
	iommufd_object_put_and_try_destroy(ctx, &thing->obj);
	assert_int_equal(destroyed, 0);
	iommufd_object_put_and_try_destroy(ctx, &thing->obj);
	assert_int_equal(destroyed, 1);
	assert_true(iommufd_ids_empty(ctx));
}

static void test_tombstone(void **state)
{
	struct iommufd_ctx *ctx = *state;
	struct thing *thing = make(ctx, IOMMUFD_OBJ_DEVICE);

	iommufd_object_use(&thing->obj);
	iommufd_object_tombstone_user(ctx, &thing->obj);
	assert_int_equal(destroyed, 1);
	assert_int_equal(iommufd_object_destroy_id(ctx, 1), -ENOENT);
	assert_int_equal(make(ctx, IOMMUFD_OBJ_DEVICE)->obj.id, 2);
	iommufd_objects_destroy_all(ctx);
	assert_false(iommufd_ids_empty(ctx));
}

/* Somebody else has it in use for long: the owner's reference goes, the object stays. */
static void test_destroy_user_of_used(void **state)
{
	struct iommufd_ctx *ctx = *state;
	struct thing *thing = make(ctx, IOMMUFD_OBJ_DEVICE);

	iommufd_object_use(&thing->obj);
	iommufd_object_use(&thing->obj);
	iommufd_object_destroy_user(ctx, &thing->obj);
	assert_int_equal(destroyed, 0);
	assert_ptr_equal(iommufd_get_object(ctx, 1, IOMMUFD_OBJ_DEVICE), thing);
	iommufd_put_object(ctx, &thing->obj);
	iommufd_object_unuse(&thing->obj);
	iommufd_objects_destroy_all(ctx);
	assert_int_equal(destroyed, 1);
}

static void test_compat_ioas_is_forgotten(void **state)
{
	struct iommufd_ctx *ctx = *state;
	struct iommufd_ioas *ioas;

	assert_int_equal(iommufd_object_alloc(ctx, sizeof(*ioas), IOMMUFD_OBJ_IOAS, &ioas), 0);
	iommufd_object_finalize(ctx, &ioas->obj);
	ctx->vfio_ioas = ioas;
	make(ctx, IOMMUFD_OBJ_DEVICE);
	assert_int_equal(iommufd_object_destroy_id(ctx, 2), 0);
	assert_ptr_equal(ctx->vfio_ioas, ioas);
	assert_int_equal(iommufd_object_destroy_id(ctx, 1), 0);
	assert_null(ctx->vfio_ioas);
}

static void count(void *arg, struct iommufd_object *obj)
{
	(void)obj;
	++*(int *)arg;
}

static void test_each_object(void **state)
{
	struct iommufd_ctx *ctx = *state;
	struct thing *unfinished;
	int nr = 0;

	make(ctx, IOMMUFD_OBJ_DEVICE);
	unfinished = reserve(ctx, IOMMUFD_OBJ_DEVICE);
	make(ctx, IOMMUFD_OBJ_DEVICE);
	iommufd_each_object(ctx, count, &nr);
	assert_int_equal(nr, 2);
	iommufd_object_abort(ctx, &unfinished->obj);
	iommufd_objects_destroy_all(ctx);
}

#ifdef UVFIO_IOMMUFD_TEST
static void test_failpoints(void **state)
{
	struct iommufd_ctx *ctx = *state;
	struct thing *thing = NULL;

	for (unsigned int nth = 1; nth <= 2; nth++) { /* the object's memory; its id */
		failpoint_set(nth);
		assert_int_equal(iommufd_object_alloc(ctx, sizeof(*thing), IOMMUFD_OBJ_DEVICE, &thing),
				 -ENOMEM);
		assert_int_equal(failpoint_get(), 0);
		assert_null(thing);
		assert_true(iommufd_ids_empty(ctx));
	}
	failpoint_set(3);
	thing = make(ctx, IOMMUFD_OBJ_DEVICE);
	assert_int_equal(failpoint_get(), 1);
	assert_null(iommufd_get_object(ctx, 1, IOMMUFD_OBJ_DEVICE));
	assert_ptr_equal(iommufd_get_object(ctx, 1, IOMMUFD_OBJ_DEVICE), thing);
	iommufd_put_object(ctx, &thing->obj);
	iommufd_objects_destroy_all(ctx);
}
#endif

/* ---- threads */

struct race {
	struct iommufd_ctx *ctx;
	_Atomic bool stop;
	_Atomic unsigned int held;
	struct thing *thing;
};

static void *hold_a_while(void *arg)
{
	struct race *race = arg;

	usleep(20000);
	assert_int_equal(destroyed, 0);
	assert_int_equal(race->thing->state, ALIVE);
	iommufd_put_object(race->ctx, &race->thing->obj);
	return NULL;
}

static void test_destroy_waits_for_calls(void **state)
{
	struct race race = { .ctx = *state, .thing = make(*state, IOMMUFD_OBJ_DEVICE) };
	pthread_t thread;

	iommufd_object_use(&race.thing->obj);
	assert_ptr_equal(iommufd_get_object(race.ctx, 1, IOMMUFD_OBJ_DEVICE), race.thing);
	assert_int_equal(pthread_create(&thread, NULL, hold_a_while, &race), 0);
	iommufd_object_destroy_user(race.ctx, &race.thing->obj);
	assert_int_equal(destroyed, 1);
	assert_int_equal(pre_destroyed, 1);
	pthread_join(thread, NULL);
}

#define RACE_IDS 4

static void *look_up(void *arg)
{
	struct race *race = arg;
	struct thing *thing;

	while (!race->stop) {
		for (uint32_t id = 1; id <= RACE_IDS; id++) {
			thing = iommufd_get_object(race->ctx, id, IOMMUFD_OBJ_DEVICE);
			if (!thing)
				continue;
			assert_int_equal(thing->state, ALIVE);
			assert_int_equal(thing->obj.id, id);
			atomic_fetch_add(&race->held, 1);
			iommufd_put_object(race->ctx, &thing->obj);
		}
	}
	return NULL;
}

static void destroy_by_id(struct iommufd_ctx *ctx, uint32_t id)
{
	while (iommufd_object_destroy_id(ctx, id) == -EBUSY)
		;
}

static void *make_and_destroy(void *arg)
{
	struct race *race = arg;

	for (unsigned int i = 0; !race->stop; i++) {
		struct thing *thing = reserve(race->ctx, IOMMUFD_OBJ_DEVICE);
		uint32_t id = thing->obj.id;

		if (i % 3)
			iommufd_object_use(&thing->obj);
		iommufd_object_finalize(race->ctx, &thing->obj);
		if (i % 3 == 1)
			iommufd_object_destroy_user(race->ctx, &thing->obj);
		else if (i % 3 == 2)
			iommufd_object_put_and_try_destroy(race->ctx, &thing->obj);
		else
			destroy_by_id(race->ctx, id);
	}
	return NULL;
}

static void test_lookup_races_destroy(void **state)
{
	struct race race = { .ctx = *state };
	pthread_t threads[4];

	for (size_t i = 0; i < ARRAY_SIZE(threads); i++)
		assert_int_equal(pthread_create(&threads[i], NULL, i % 2 ? make_and_destroy : look_up, &race),
				 0);
	while (destroyed < 20000 || race.held < 2000)
		usleep(1000);
	race.stop = true;
	for (size_t i = 0; i < ARRAY_SIZE(threads); i++)
		pthread_join(threads[i], NULL);
	iommufd_objects_destroy_all(race.ctx);
	assert_true(iommufd_ids_empty(race.ctx));
}

/* A list of things that is not the table, as an IOAS has one of its accesses. */
static struct {
	pthread_mutex_t lock;
	struct thing *thing;
} list = { PTHREAD_MUTEX_INITIALIZER, NULL };

static void list_set(struct thing *thing)
{
	pthread_mutex_lock(&list.lock);
	list.thing = thing;
	pthread_mutex_unlock(&list.lock);
}

static void listed_destroy(struct iommufd_object *obj)
{
	(void)obj;
	list_set(NULL);
	destroyed++;
}

static void *use_what_is_listed(void *arg)
{
	struct race *race = arg;
	struct thing *thing;

	while (!race->stop) {
		pthread_mutex_lock(&list.lock);
		thing = list.thing;
		if (thing && !iommufd_lock_listed_obj(race->ctx, &thing->obj))
			thing = NULL;
		pthread_mutex_unlock(&list.lock);
		if (!thing)
			continue;
		race->held++;
		iommufd_put_object(race->ctx, &thing->obj);
	}
	return NULL;
}

/* Who only finds out that an object is going does not keep it. */
static void test_destroy_of_listed(void **state)
{
	struct race race = { .ctx = *state };
	struct thing *thing;
	pthread_t thread;
	int made = 0;

	assert_int_equal(pthread_create(&thread, NULL, use_what_is_listed, &race), 0);
	while (destroyed == made && (made < 20000 || race.held < 100)) {
		thing = make(race.ctx, IOMMUFD_OBJ_ACCESS);
		iommufd_object_use(&thing->obj);
		list_set(thing);
		iommufd_object_destroy_user(race.ctx, &thing->obj);
		made++;
	}
	race.stop = true;
	pthread_join(thread, NULL);
	assert_int_equal(destroyed, made);
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_lowest_free_id),
		TEST(test_two_phases),
		TEST(test_users_go_first),
		TEST(test_put_and_try_destroy),
		TEST(test_tombstone),
		TEST(test_destroy_user_of_used),
		TEST(test_compat_ioas_is_forgotten),
		TEST(test_each_object),
#ifdef UVFIO_IOMMUFD_TEST
		TEST(test_failpoints),
#endif
		TEST(test_destroy_waits_for_calls),
		TEST(test_lookup_races_destroy),
		TEST(test_destroy_of_listed),
	};

	return cmocka_run_group_tests_name("iommufd_object", tests, NULL, NULL);
}
