/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Objects: ids, counts, and how they end.
 *
 * An id is free, reserved (an object is being made, or the id is a tombstone), or published: then objects[id]
 * is the object, and lookups find it. A lookup raises both counts under the lock, unless one is 0: without
 * users the object has been taken out, and without a wait_cnt nobody waits for calls any more.
 *
 * The lock protects ids, objects, and the step of users from 1 to 0. No other lock is taken inside it.
 */
#include "base/id.h"
#include "base/log.h"
#include "base/why.h"
#include "iommufd/impl.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define ID_LIMIT            BIT32(31)
#define DESTROY_TIMEOUT_SEC 60

struct iommufd_ids {
	pthread_mutex_t lock;
	pthread_cond_t idle; /* somebody's wait_cnt has become 0 */
	struct id_allocator ids;
	uint32_t nr; /* given out */
	struct iommufd_object **objects;
	uint32_t room; /* of objects */
};

static const char *const type_names[IOMMUFD_OBJ_MAX] = {
	[IOMMUFD_OBJ_ANY] = "an object",       [IOMMUFD_OBJ_DEVICE] = "a device",
	[IOMMUFD_OBJ_HWPT_PAGING] = "a HWPT",  [IOMMUFD_OBJ_HWPT_NESTED] = "a nested HWPT",
	[IOMMUFD_OBJ_IOAS] = "an IOAS",        [IOMMUFD_OBJ_ACCESS] = "an access",
	[IOMMUFD_OBJ_FAULT] = "a fault queue", [IOMMUFD_OBJ_VIOMMU] = "a vIOMMU",
	[IOMMUFD_OBJ_VDEVICE] = "a vdevice",   [IOMMUFD_OBJ_VEVENTQ] = "an event queue",
	[IOMMUFD_OBJ_HW_QUEUE] = "a HW queue", [IOMMUFD_OBJ_SELFTEST] = "a mock device",
};

static void init_lock(struct iommufd_ids *ids)
{
	pthread_condattr_t attr;

	pthread_mutex_init(&ids->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&ids->idle, &attr);
	pthread_condattr_destroy(&attr);
}

int iommufd_ids_init(struct iommufd_ctx *ctx)
{
	struct iommufd_ids *ids = iommufd_zalloc(sizeof(*ids));

	if (!ids)
		return -ENOMEM;
	id_init(&ids->ids, ID_LIMIT);
	if (id_reserve(&ids->ids, 0)) { /* is no id */
		free(ids);
		return -ENOMEM;
	}
	init_lock(ids);
	ctx->ids = ids;
	return 0;
}

void iommufd_ids_destroy(struct iommufd_ctx *ctx)
{
	struct iommufd_ids *ids = ctx->ids;

	pthread_cond_destroy(&ids->idle);
	pthread_mutex_destroy(&ids->lock);
	id_destroy(&ids->ids);
	free(ids->objects);
	free(ids);
}

void iommufd_ids_forked(struct iommufd_ctx *ctx)
{
	init_lock(ctx->ids);
}

void iommufd_ids_lock(struct iommufd_ctx *ctx)
{
	pthread_mutex_lock(&ctx->ids->lock);
}

void iommufd_ids_unlock(struct iommufd_ctx *ctx)
{
	pthread_mutex_unlock(&ctx->ids->lock);
}

bool iommufd_ids_empty(struct iommufd_ctx *ctx)
{
	bool empty;

	pthread_mutex_lock(&ctx->ids->lock);
	empty = !ctx->ids->nr;
	pthread_mutex_unlock(&ctx->ids->lock);
	return empty;
}

/* ---- the table. The lock is held. */

static struct iommufd_object *find(const struct iommufd_ids *ids, uint32_t id)
{
	return id < ids->room ? ids->objects[id] : NULL;
}

static int grow_to(struct iommufd_ids *ids, uint32_t id)
{
	uint32_t room = MAX(ids->room * 2, id + 16);
	struct iommufd_object **objects;

	if (id < ids->room)
		return 0;
	objects = realloc(ids->objects, room * sizeof(struct iommufd_object *));
	if (!objects)
		return -ENOMEM;
	memset(objects + ids->room, 0, (room - ids->room) * sizeof(struct iommufd_object *));
	ids->objects = objects;
	ids->room = room;
	return 0;
}

static int reserve_id(struct iommufd_ids *ids, uint32_t *id)
{
	int rc = iommufd_should_fail() ? -ENOMEM : id_alloc(&ids->ids, id);

	if (rc)
		return rc;
	rc = grow_to(ids, *id);
	if (rc)
		id_free(&ids->ids, *id);
	else
		ids->nr++;
	return rc;
}

static void free_id(struct iommufd_ids *ids, uint32_t id)
{
	id_free(&ids->ids, id);
	ids->nr--;
}

/* ---- creation */

int iommufd_object_alloc(struct iommufd_ctx *ctx, size_t size, enum iommufd_object_type type, void *pobj)
{
	struct iommufd_object *obj = iommufd_zalloc(size);
	int rc;

	if (!obj)
		return -ENOMEM;
	obj->type = type;
	atomic_init(&obj->users, 1);
	atomic_init(&obj->wait_cnt, 1);
	pthread_mutex_lock(&ctx->ids->lock);
	rc = reserve_id(ctx->ids, &obj->id);
	pthread_mutex_unlock(&ctx->ids->lock);
	if (rc) {
		free(obj);
		return rc;
	}
	memcpy(pobj, &obj, sizeof(void *));
	return 0;
}

int iommufd_object_alloc_ucmd(struct iommufd_ucmd *ucmd, size_t size, enum iommufd_object_type type,
			      void *pobj)
{
	int rc;

	assert(!ucmd->new_obj && !iommufd_object_ops[type].abort); /* which may need its caller's locks */
	rc = iommufd_object_alloc(ucmd->ctx, size, type, pobj);
	if (!rc)
		memcpy(&ucmd->new_obj, pobj, sizeof(void *));
	return rc;
}

void iommufd_object_finalize(struct iommufd_ctx *ctx, struct iommufd_object *obj)
{
	pthread_mutex_lock(&ctx->ids->lock);
	ctx->ids->objects[obj->id] = obj;
	pthread_mutex_unlock(&ctx->ids->lock);
}

void iommufd_object_abort(struct iommufd_ctx *ctx, struct iommufd_object *obj)
{
	assert(atomic_load(&obj->users) == 1);
	pthread_mutex_lock(&ctx->ids->lock);
	free_id(ctx->ids, obj->id);
	pthread_mutex_unlock(&ctx->ids->lock);
	free(obj);
}

void iommufd_object_abort_and_destroy(struct iommufd_ctx *ctx, struct iommufd_object *obj)
{
	const struct iommufd_object_ops *ops = &iommufd_object_ops[obj->type];

	if (ops->abort)
		ops->abort(obj);
	else
		ops->destroy(obj);
	iommufd_object_abort(ctx, obj);
}

/* ---- use */

static bool inc_not_zero(_Atomic uint32_t *count)
{
	uint32_t n = atomic_load(count);

	while (n)
		if (atomic_compare_exchange_weak(count, &n, n + 1))
			return true;
	return false;
}

/* Under the lock: who waits for the end of calls must not find a user that only looks. */
bool iommufd_lock_obj(struct iommufd_object *obj)
{
	if (!inc_not_zero(&obj->users))
		return false;
	if (inc_not_zero(&obj->wait_cnt))
		return true;
	atomic_fetch_sub(&obj->users, 1);
	return false;
}

bool iommufd_lock_listed_obj(struct iommufd_ctx *ctx, struct iommufd_object *obj)
{
	bool locked;

	pthread_mutex_lock(&ctx->ids->lock);
	locked = iommufd_lock_obj(obj);
	pthread_mutex_unlock(&ctx->ids->lock);
	return locked;
}

void *iommufd_get_object(struct iommufd_ctx *ctx, uint32_t id, enum iommufd_object_type type)
{
	enum iommufd_object_type is = IOMMUFD_OBJ_ANY;
	struct iommufd_object *obj;

	if (iommufd_should_fail())
		return NULL;
	pthread_mutex_lock(&ctx->ids->lock);
	obj = find(ctx->ids, id);
	if (obj) {
		is = obj->type;
		if ((type != IOMMUFD_OBJ_ANY && type != is) || !iommufd_lock_obj(obj))
			obj = NULL;
	}
	pthread_mutex_unlock(&ctx->ids->lock);
	if (type == IOMMUFD_OBJ_ANY) /* what it must be only the caller knows */
		return obj;
	if (!obj && is != IOMMUFD_OBJ_ANY && is != type)
		(void)WHY(-ENOENT, "id %u is %s, not %s", id, type_names[is], type_names[type]);
	else if (!obj)
		(void)WHY(-ENOENT, "no object has the id %u: it must be %s", id, type_names[type]);
	return obj;
}

void iommufd_put_object(struct iommufd_ctx *ctx, struct iommufd_object *obj)
{
	/* In this order, so that who waits for wait_cnt finds the right users. */
	atomic_fetch_sub(&obj->users, 1);
	if (atomic_fetch_sub(&obj->wait_cnt, 1) != 1)
		return;
	pthread_mutex_lock(&ctx->ids->lock);
	pthread_cond_broadcast(&ctx->ids->idle);
	pthread_mutex_unlock(&ctx->ids->lock);
}

int iommufd_try_inc_users(struct iommufd_ctx *ctx, struct iommufd_object *obj)
{
	bool there;

	pthread_mutex_lock(&ctx->ids->lock);
	there = find(ctx->ids, obj->id) == obj;
	if (there)
		iommufd_object_use(obj);
	pthread_mutex_unlock(&ctx->ids->lock);
	return there ? 0 : -EBUSY;
}

void iommufd_each_object(struct iommufd_ctx *ctx, void (*fn)(void *arg, struct iommufd_object *obj),
			 void *arg)
{
	pthread_mutex_lock(&ctx->ids->lock);
	for (uint32_t id = 0; id < ctx->ids->room; id++)
		if (ctx->ids->objects[id])
			fn(arg, ctx->ids->objects[id]);
	pthread_mutex_unlock(&ctx->ids->lock);
}

/* ---- the end */

static bool wait_until_idle(struct iommufd_ids *ids, const struct iommufd_object *obj)
{
	struct timespec until;
	int rc = 0;

	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_sec += DESTROY_TIMEOUT_SEC;
	pthread_mutex_lock(&ids->lock);
	while (atomic_load(&obj->wait_cnt) && !rc)
		rc = pthread_cond_timedwait(&ids->idle, &ids->lock, &until);
	pthread_mutex_unlock(&ids->lock);
	return !rc;
}

/* Give the id's own wait_cnt back, and wait for the others'. */
static int drop_wait(struct iommufd_ctx *ctx, struct iommufd_object *obj)
{
	if (atomic_fetch_sub(&obj->wait_cnt, 1) == 1)
		return 0;
	if (iommufd_object_ops[obj->type].pre_destroy)
		iommufd_object_ops[obj->type].pre_destroy(obj);
	if (wait_until_idle(ctx->ids, obj))
		return 0;
	uvfio_err("iommufd: %s (id %u) is in use for %d seconds after its end: it stays",
		  type_names[obj->type], obj->id, DESTROY_TIMEOUT_SEC);
	atomic_fetch_add(&obj->wait_cnt, 1);
	return -EBUSY;
}

/* The lock is held. obj has lost its last user. */
static void take_out(struct iommufd_ctx *ctx, struct iommufd_object *obj, bool tombstone)
{
	ctx->ids->objects[obj->id] = NULL;
	if (!tombstone)
		free_id(ctx->ids, obj->id);
	if (ctx->vfio_ioas && &ctx->vfio_ioas->obj == obj)
		ctx->vfio_ioas = NULL;
}

static bool last_user(struct iommufd_object *obj)
{
	uint32_t one = 1;

	return atomic_compare_exchange_strong(&obj->users, &one, 0);
}

static void destroy(struct iommufd_object *obj)
{
	iommufd_object_ops[obj->type].destroy(obj);
	free(obj);
}

int iommufd_object_destroy_id(struct iommufd_ctx *ctx, uint32_t id)
{
	struct iommufd_object *obj;
	int rc = 0;

	pthread_mutex_lock(&ctx->ids->lock);
	obj = find(ctx->ids, id);
	if (!obj)
		rc = WHY(-ENOENT, "no object has the id %u", id);
	else if (!last_user(obj))
		rc = WHY(-EBUSY, "it is %s in use: what was made on it, or is attached to it, goes first",
			 type_names[obj->type]);
	else
		take_out(ctx, obj, false);
	pthread_mutex_unlock(&ctx->ids->lock);
	if (!rc)
		rc = drop_wait(ctx, obj);
	if (!rc)
		destroy(obj);
	return rc;
}

void iommufd_object_put_and_try_destroy(struct iommufd_ctx *ctx, struct iommufd_object *obj)
{
	bool last;

	pthread_mutex_lock(&ctx->ids->lock);
	iommufd_object_unuse(obj);
	last = last_user(obj);
	if (last)
		take_out(ctx, obj, false);
	pthread_mutex_unlock(&ctx->ids->lock);
	if (last && !drop_wait(ctx, obj))
		destroy(obj);
}

/* The calls under way end, and no new one begins; then only the caller and the id are users. */
static void wait_and_destroy(struct iommufd_ctx *ctx, struct iommufd_object *obj, bool tombstone)
{
	int rc = drop_wait(ctx, obj);
	bool last;

	pthread_mutex_lock(&ctx->ids->lock);
	iommufd_object_unuse(obj);
	last = !rc && last_user(obj);
	if (last)
		take_out(ctx, obj, tombstone);
	else if (!rc)
		atomic_store(&obj->wait_cnt, 1); /* it goes when the file is closed */
	pthread_mutex_unlock(&ctx->ids->lock);
	if (last)
		destroy(obj);
}

void iommufd_object_destroy_user(struct iommufd_ctx *ctx, struct iommufd_object *obj)
{
	wait_and_destroy(ctx, obj, false);
}

void iommufd_object_tombstone_user(struct iommufd_ctx *ctx, struct iommufd_object *obj)
{
	wait_and_destroy(ctx, obj, true);
}

/* Destroy what nobody uses, youngest first: it may have used what is older. */
static bool destroy_leaves(struct iommufd_ctx *ctx)
{
	struct iommufd_object *obj;
	bool any = false;

	for (uint32_t id = ctx->ids->room; id-- > 1;) {
		pthread_mutex_lock(&ctx->ids->lock);
		obj = ctx->ids->objects[id];
		if (obj && last_user(obj))
			take_out(ctx, obj, false);
		else
			obj = NULL;
		pthread_mutex_unlock(&ctx->ids->lock);
		if (obj)
			destroy(obj);
		any |= obj != NULL;
	}
	return any;
}

static void say_what_is_left(void *arg, struct iommufd_object *obj)
{
	(void)arg;
	uvfio_err("iommufd: %s (id %u) is in use when its file is closed: it leaks", type_names[obj->type],
		  obj->id);
}

void iommufd_objects_destroy_all(struct iommufd_ctx *ctx)
{
	while (destroy_leaves(ctx))
		;
	iommufd_each_object(ctx, say_what_is_left, NULL);
}
