/* SPDX-License-Identifier: BSD-2-Clause */
/* Accesses: what they pin and read, and that they let go when something is unmapped or they are moved. */
#include "iommufd/test_bench.h"

#define BASE ((uint64_t)0x40000000)

struct user {
	struct iommufd_access *access;
	uint32_t id;
	unsigned int told;
	uint64_t iova, length;     /* of the last notification */
	uint64_t pinned_at, pages; /* given back when told */
	bool stubborn;             /* does not move while it is told */
	uint32_t move_to;
	long moved;
};

static void user_unmap(void *data, uint64_t iova, uint64_t length)
{
	struct user *user = data;

	user->told++;
	user->iova = iova;
	user->length = length;
	if (user->move_to)
		user->moved = iommufd_access_replace(user->access, user->move_to);
	if (user->pages)
		iommufd_access_unpin_pages(user->access, user->pinned_at, user->pages * PG);
	user->pages = 0;
}

static const struct iommufd_access_ops pinning_ops = { .needs_pin_pages = true, .unmap = user_unmap };
static const struct iommufd_access_ops reading_ops = { .unmap = user_unmap };
static const struct iommufd_access_ops deaf_ops = { .needs_pin_pages = true };

static void user_new(struct bench *b, struct user *user, const struct iommufd_access_ops *ops)
{
	*user = (struct user){ 0 };
	assert_int_equal(iommufd_access_create(b->ctx, ops, user, &user->access, &user->id), 0);
	assert_int_not_equal(user->id, 0);
}

static long pin(struct user *user, uint64_t iova, uint64_t pages, struct mm_page *out)
{
	int rc = iommufd_access_pin_pages(user->access, iova, pages * PG, out, IOMMUFD_ACCESS_RW_WRITE);

	if (!rc) {
		user->pinned_at = iova;
		user->pages = pages;
	}
	return rc;
}

/* ---- attach, replace, detach */

static void test_attach(void **state)
{
	struct bench *b = *state;
	uint32_t ioas = ioas_new(b), other = ioas_new(b);
	struct user user;

	user_new(b, &user, &pinning_ops);
	assert_int_equal(destroy(b, user.id), -EBUSY);
	assert_int_equal(iommufd_access_replace(user.access, ioas), -ENOENT);
	assert_int_equal(iommufd_access_attach(user.access, 9999), -ENOENT);
	assert_int_equal(iommufd_access_attach(user.access, ioas), 0);
	assert_int_equal(iommufd_access_attach(user.access, other), -EINVAL);
	assert_int_equal(destroy(b, ioas), -EBUSY);
	assert_int_equal(iommufd_access_replace(user.access, ioas), 0);
	assert_int_equal(user.told, 0);
	assert_int_equal(iommufd_access_replace(user.access, 9999), -ENOENT);
	assert_int_equal(destroy(b, ioas), -EBUSY);
	assert_int_equal(iommufd_access_replace(user.access, other), 0);
	assert_int_equal(user.told, 1);
	assert_int_equal(user.iova, 0);
	assert_int_equal(user.length, UINT64_MAX);
	assert_int_equal(destroy(b, ioas), 0);
	assert_int_equal(destroy(b, other), -EBUSY);
	iommufd_access_detach(user.access);
	assert_int_equal(user.told, 2);
	iommufd_access_detach(user.access);
	assert_int_equal(user.told, 2);
	assert_int_equal(iommufd_access_attach(user.access, other), 0);
	iommufd_access_destroy(user.access);
	assert_int_equal(user.told, 3);
	assert_int_equal(destroy(b, other), 0);
}

/* Half a page is no place for an access that pins; nothing changes. */
static void test_attach_alignment(void **state)
{
	struct bench *b = *state;
	uint32_t ioas = ioas_new(b), other = ioas_new(b);
	struct user pinner, reader;

	assert_int_equal(map_va(b, other, BASE + 0x800, b->va + 0x800, 0x800), 0);
	user_new(b, &pinner, &pinning_ops);
	user_new(b, &reader, &reading_ops);
	assert_int_equal(iommufd_access_attach(pinner.access, ioas), 0);
	assert_int_equal(iommufd_access_replace(pinner.access, other), -EADDRINUSE);
	assert_int_equal(pinner.told, 0);
	assert_int_equal(destroy(b, ioas), -EBUSY);
	assert_int_equal(iommufd_access_attach(reader.access, other), 0);
	assert_int_equal(map_va(b, ioas, BASE + 0x800, b->va + 0x800, 0x800), -EINVAL);
	iommufd_access_destroy(pinner.access);
	assert_int_equal(map_va(b, ioas, BASE + 0x800, b->va + 0x800, 0x800), 0); /* it is one again */
	iommufd_access_destroy(reader.access);
	assert_int_equal(destroy(b, ioas), 0);
	assert_int_equal(destroy(b, other), 0);
}

/* The context stays as long as the access. */
static void test_keeps_context(void **state)
{
	struct bench *b = *state;
	uint32_t ioas = ioas_new(b);
	struct user user;
	char c = 7;

	assert_int_equal(map(b, ioas, BASE, 1), 0);
	user_new(b, &user, &reading_ops);
	assert_int_equal(iommufd_access_attach(user.access, ioas), 0);
	file_put(b->file);
	assert_int_equal(iommufd_access_rw(user.access, BASE, &c, 1, IOMMUFD_ACCESS_RW_WRITE), 0);
	assert_int_equal(b->memory[0], 7);
	iommufd_access_destroy(user.access);
	assert_int_equal(iommufd_open(&b->params, false, O_RDWR, &b->file), 0);
}

/* ---- pin */

static void test_pin(void **state)
{
	struct bench *b = *state;
	uint32_t ioas = ioas_new(b);
	struct mm_page pages[4];
	struct user user;

	assert_int_equal(map(b, ioas, BASE, 4), 0);
	user_new(b, &user, &pinning_ops);
	assert_int_equal(pin(&user, BASE, 1, pages), -ENOENT); /* not attached */
	assert_int_equal(iommufd_access_attach(user.access, ioas), 0);
	assert_int_equal(pin(&user, BASE, 0, pages), -EINVAL);
	assert_int_equal(pin(&user, UINT64_MAX - PG + 1, 2, pages), -EOVERFLOW);
	assert_int_equal(pin(&user, BASE + PG, 4, pages), -ENOENT); /* a hole at its end */
	assert_int_equal(unmap(b, ioas, BASE, 4 * PG), 0);          /* nothing stayed pinned */
	assert_int_equal(user.told, 0);
	assert_int_equal(map(b, ioas, BASE, 4), 0);
	assert_int_equal(pin(&user, BASE + PG, 2, pages), 0);
	assert_int_equal(pages[0].va, b->va + PG);
	assert_int_equal(pages[1].va, b->va + 2 * PG);
	iommufd_access_unpin_pages(user.access, BASE + PG, 2 * PG);
	user.pages = 0;
	iommufd_access_destroy(user.access);

	user_new(b, &user, &reading_ops);
	assert_int_equal(iommufd_access_attach(user.access, ioas), 0);
	assert_int_equal(pin(&user, BASE, 1, pages), -EINVAL); /* it does not pin */
	iommufd_access_destroy(user.access);
	user_new(b, &user, &deaf_ops);
	assert_int_equal(iommufd_access_attach(user.access, ioas), 0);
	assert_int_equal(pin(&user, BASE, 1, pages), -EINVAL); /* it could not be told */
	iommufd_access_destroy(user.access);
}

/* Who has pages pinned is told, with no lock held, and the unmap succeeds then. */
static void test_unmap(void **state)
{
	struct bench *b = *state;
	uint32_t ioas = ioas_new(b);
	struct user one, two;

	assert_int_equal(map(b, ioas, BASE, 4), 0);
	user_new(b, &one, &pinning_ops);
	user_new(b, &two, &pinning_ops);
	assert_int_equal(iommufd_access_attach(one.access, ioas), 0);
	assert_int_equal(iommufd_access_attach(two.access, ioas), 0);
	assert_int_equal(pin(&one, BASE, 4, NULL), 0);
	assert_int_equal(pin(&two, BASE + PG, 1, NULL), 0);
	assert_int_equal(unmap(b, ioas, BASE, 4 * PG), 0);
	assert_true(one.told >= 1 && two.told >= 1);
	assert_int_equal(one.iova, BASE);
	assert_int_equal(one.length, 4 * PG);
	assert_int_equal(one.pages, 0);
	iommufd_access_destroy(one.access);
	iommufd_access_destroy(two.access);
}

/* Replaced while pages are pinned: they are given back to where they came from. */
static void test_replace_pinned(void **state)
{
	struct bench *b = *state;
	uint32_t ioas = ioas_new(b), other = ioas_new(b);
	struct user user;

	assert_int_equal(map(b, ioas, BASE, 4), 0);
	user_new(b, &user, &pinning_ops);
	assert_int_equal(iommufd_access_attach(user.access, ioas), 0);
	assert_int_equal(pin(&user, BASE, 4, NULL), 0);
	user.move_to = ioas; /* a second change at that time */
	assert_int_equal(iommufd_access_replace(user.access, other), 0);
	assert_int_equal(user.told, 1);
	assert_int_equal(user.moved, -ENOENT);
	user.move_to = 0;
	assert_int_equal(unmap(b, ioas, BASE, 4 * PG), 0);
	assert_int_equal(user.told, 1);
	assert_int_equal(pin(&user, BASE, 1, NULL), -ENOENT);
	iommufd_access_destroy(user.access);
}

/* An attach while the detach is telling. */
static struct {
	struct user *user;
	uint32_t ioas;
	int rc;
} again;

static void attach_again(void *data, uint64_t iova, uint64_t length)
{
	(void)data;
	(void)iova;
	(void)length;
	again.rc = iommufd_access_attach(again.user->access, again.ioas);
}

static unsigned int group_of_user(void *data)
{
	return ((struct user *)data)->id ? 77 : 0;
}

static void note_groups(void *arg, const struct iommufd_ioas_info *info)
{
	unsigned int *groups = arg;

	*groups = *groups * 100 + info->nr_groups;
	for (unsigned int i = 0; i < info->nr_groups; i++)
		*groups = *groups * 100 + info->groups[i];
}

/* Who looks from outside sees the groups of those who have a group. */
static void test_groups(void **state)
{
	static const struct iommufd_access_ops ops = { .unmap = user_unmap, .group = group_of_user };
	struct bench *b = *state;
	struct user with, without;
	unsigned int groups = 0;

	ioas_new(b);
	user_new(b, &with, &ops);
	user_new(b, &without, &reading_ops);
	assert_int_equal(iommufd_each_ioas(&b->params, 0, note_groups, &groups), 0);
	assert_int_equal(groups, 177);
	iommufd_access_destroy(with.access);
	assert_int_equal(iommufd_each_ioas(&b->params, 0, note_groups, &groups), 0);
	assert_int_equal(groups, 17700);
	iommufd_access_destroy(without.access);
}

static void test_busy(void **state)
{
	static const struct iommufd_access_ops ops = { .needs_pin_pages = true, .unmap = attach_again };
	struct bench *b = *state;
	struct user user;

	user_new(b, &user, &ops);
	again.user = &user;
	again.ioas = ioas_new(b);
	assert_int_equal(iommufd_access_attach(user.access, again.ioas), 0);
	iommufd_access_detach(user.access);
	assert_int_equal(again.rc, -EBUSY);
	assert_int_equal(iommufd_access_attach(user.access, again.ioas), 0);
	iommufd_access_destroy(user.access);
	assert_int_equal(destroy(b, again.ioas), 0);
}

/* ---- read, write */

static long rw(struct user *user, uint64_t iova, void *data, size_t len, unsigned int flags)
{
	return iommufd_access_rw(user->access, iova, data, len, flags);
}

static void test_rw(void **state)
{
	struct bench *b = *state;
	uint32_t ioas = ioas_new(b);
	char buf[2 * PG + 100], want[2 * PG + 100];
	struct user user;

	/* Pages in reverse order: a copy over their border is two. */
	for (uint64_t i = 0; i < 4; i++)
		assert_int_equal(map_va(b, ioas, BASE + i * PG, b->va + (3 - i) * PG, PG), 0);
	user_new(b, &user, &reading_ops);
	assert_int_equal(rw(&user, BASE, buf, 1, 0), -ENOENT);
	assert_int_equal(iommufd_access_attach(user.access, ioas), 0);
	assert_int_equal(rw(&user, BASE, buf, 0, 0), -EINVAL);
	assert_int_equal(rw(&user, UINT64_MAX, buf, 2, 0), -EOVERFLOW);
	assert_int_equal(rw(&user, BASE + 3 * PG + 1, buf, PG, 0), -ENOENT);
	for (size_t i = 0; i < sizeof(want); i++)
		want[i] = (char)(i * 7);
	assert_int_equal(rw(&user, BASE + PG - 50, want, sizeof(want), IOMMUFD_ACCESS_RW_WRITE), 0);
	assert_memory_equal(b->memory + 4 * PG - 50, want, 50);
	assert_memory_equal(b->memory + 2 * PG, want + 50, PG);
	assert_memory_equal(b->memory + PG, want + 50 + PG, PG);
	assert_memory_equal(b->memory, want + 50 + 2 * PG, 50);
	assert_int_equal(rw(&user, BASE + PG - 50, buf, sizeof(buf), IOMMUFD_ACCESS_RW_READ), 0);
	assert_memory_equal(buf, want, sizeof(buf));
	iommufd_access_destroy(user.access);
}

/* ---- internal accesses: pages that stay, whoever unmaps */

static void test_internal(void **state)
{
	struct bench *b = *state;
	uint32_t ioas = ioas_new(b);
	struct iommufd_access *access;
	struct iommufd_ioas *obj;
	struct user user;

	assert_int_equal(map(b, ioas, BASE, 4), 0);
	assert_int_equal(iommufd_access_create_internal(b->ctx, &access), 0);
	obj = iommufd_get_ioas(b->ctx, ioas);
	assert_int_equal(iommufd_access_attach_internal(access, obj), 0);
	assert_int_equal(iommufd_access_attach_internal(access, obj), -EINVAL);
	iommufd_put_object(b->ctx, &obj->obj);
	assert_int_equal(iommufd_access_pin_pages(access, BASE, PG, NULL, IOMMUFD_ACCESS_RW_WRITE), 0);
	assert_int_equal(unmap(b, ioas, BASE, 4 * PG), -EBUSY);
	iommufd_access_unpin_pages(access, BASE, PG);
	assert_int_equal(unmap(b, ioas, BASE, 4 * PG), 0);
	assert_int_equal(map(b, ioas, BASE, 4), 0);
	user_new(b, &user, &pinning_ops);
	assert_int_equal(iommufd_access_attach(user.access, ioas), 0);
	assert_int_equal(pin(&user, BASE, 1, NULL), 0);
	assert_int_equal(unmap(b, ioas, BASE, 4 * PG), 0); /* only the driver is told */
	assert_true(user.told >= 1);
	iommufd_access_destroy(user.access);
	assert_int_equal(destroy(b, ioas), -EBUSY);
	iommufd_access_destroy_internal(b->ctx, access);
	assert_int_equal(destroy(b, ioas), 0);
}

/* ---- failures everywhere */

#ifdef UVFIO_IOMMUFD_TEST
static struct user sweep_user;
static uint32_t sweep_ioas[2];

static long sweep_create(struct bench *b)
{
	int rc = iommufd_access_create(b->ctx, &pinning_ops, &sweep_user, &sweep_user.access, &sweep_user.id);

	if (!rc)
		iommufd_access_destroy(sweep_user.access);
	return rc;
}

static long sweep_attach(struct bench *b)
{
	(void)b;
	if (sweep_user.access->ioas)
		iommufd_access_detach(sweep_user.access);
	return iommufd_access_attach(sweep_user.access, sweep_ioas[0]);
}

static long sweep_replace(struct bench *b)
{
	struct iommufd_ioas *before = sweep_user.access->ioas;
	long rc = iommufd_access_replace(sweep_user.access, sweep_ioas[1]);

	(void)b;
	if (rc)
		assert_ptr_equal(sweep_user.access->ioas, before);
	return rc;
}

static long sweep_pin(struct bench *b)
{
	struct mm_page pages[4];
	long rc = iommufd_access_pin_pages(sweep_user.access, BASE, 4 * PG, pages, 0);

	(void)b;
	if (!rc)
		iommufd_access_unpin_pages(sweep_user.access, BASE, 4 * PG);
	return rc;
}

static void test_failpoints(void **state)
{
	struct bench *b = *state;

	for (int i = 0; i < 2; i++) {
		sweep_ioas[i] = ioas_new(b);
		assert_int_equal(map(b, sweep_ioas[i], BASE, 2), 0);
		assert_int_equal(map(b, sweep_ioas[i], BASE + 2 * PG, 2), 0);
	}
	sweep(b, sweep_create);
	user_new(b, &sweep_user, &pinning_ops);
	sweep(b, sweep_attach);
	sweep(b, sweep_replace);
	sweep(b, sweep_pin);
	assert_int_equal(unmap(b, sweep_ioas[1], BASE, 4 * PG), 0); /* nothing stayed pinned */
	assert_int_equal(sweep_user.told, 1);                       /* when it was replaced */
	iommufd_access_destroy(sweep_user.access);
	for (int i = 0; i < 2; i++)
		assert_int_equal(destroy(b, sweep_ioas[i]), 0);
}
#endif

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_attach),     T(test_attach_alignment), T(test_keeps_context), T(test_pin),
		T(test_unmap),      T(test_replace_pinned),   T(test_busy),          T(test_groups),
		T(test_rw),         T(test_internal),
#ifdef UVFIO_IOMMUFD_TEST
		T(test_failpoints),
#endif

	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
