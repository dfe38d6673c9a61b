/* SPDX-License-Identifier: BSD-2-Clause */
/* Where an IOMMUFD in the place of a container differs from one with type1. */
#include "client.h"

#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define IOVA 0x1000000ull
#define ALL  VFIO_DMA_UNMAP_FLAG_ALL

static long device_info(int fd)
{
	struct vfio_device_info info = { .argsz = sizeof(info) };

	return do_ioctl(fd, VFIO_DEVICE_GET_INFO, &info);
}

static long unset(int group)
{
	return do_ioctl_value(group, VFIO_GROUP_UNSET_CONTAINER, 0);
}

/* ---- groups */

static void test_without_group(struct client *c)
{
	struct vfio_iommu_type1_info info = { .argsz = sizeof(info) };
	int used = c->container, fresh = open_iommufd();
	uint64_t size = PG;

	c->container = fresh;
	assert_int_equal(do_ioctl_value(fresh, VFIO_SET_IOMMU, VFIO_TYPE1v2_IOMMU), -ENODEV);
	assert_int_equal(do_ioctl_value(fresh, VFIO_SET_IOMMU, VFIO_NOIOMMU_IOMMU), -EINVAL);
	assert_int_equal(do_ioctl(fresh, VFIO_IOMMU_GET_INFO, &info), -ENODEV);
	assert_int_equal(do_ioctl(fresh, VFIO_IOMMU_GET_INFO, NULL), -EFAULT);
	assert_int_equal(map(c, RW, c->memory, 0, PG), -ENODEV);
	assert_int_equal(unmap(c, 0, 0, &size), -ENODEV);
	assert_int_equal(do_ioctl(fresh, VFIO_IOMMU_DIRTY_PAGES, NULL), -ENOTTY);
	assert_int_equal(do_ioctl_value(fresh, _IO('x', 10), 0), -ENOTTY);
	c->container = used;
	close_fd(&fresh);
}

/* An IOMMU is there with the group: SET_IOMMU is not waited for, and may be repeated. */
static void test_set_iommu(struct client *c)
{
	static const unsigned long others[] = { 0, 2, 4, 7, 8, 9, 0xffffffff };

	for (size_t i = 0; i < COUNT(others); i++)
		assert_int_equal(do_ioctl_value(c->container, VFIO_SET_IOMMU, others[i]), -EINVAL);
	assert_int_equal(do_ioctl_value(c->container, VFIO_SET_IOMMU, VFIO_TYPE1v2_IOMMU), 0);
	assert_int_equal(do_ioctl_value(c->container, VFIO_SET_IOMMU, VFIO_TYPE1_IOMMU), 0);
	close_fd(&c->container);
	c->container = open_iommufd();
	close_fd(&c->device);
	assert_int_equal(unset(c->group), 0);
	assert_int_equal(set_container(c->group, c->container), 0);
	c->device = get_device(c->group, bdf());
	assert_true(c->device >= 0);
	assert_int_equal(map(c, RW, c->memory, IOVA, PG), 0);
	/* v1 cuts mappings: only those that were made for it */
	assert_int_equal(do_ioctl_value(c->container, VFIO_SET_IOMMU, VFIO_TYPE1_IOMMU), -EINVAL);
	unmap_all(c);
	assert_int_equal(do_ioctl_value(c->container, VFIO_SET_IOMMU, VFIO_TYPE1_IOMMU), 0);
}

/* An open device keeps neither the group in the container, nor the group's file open. */
static void test_group_leaves_an_open_device(struct client *c)
{
	assert_int_equal(unset(c->group), 0);
	assert_int_equal(unset(c->group), -EINVAL);
	assert_int_equal(group_flags(c->group), 0); /* the device is bound: not viable for others */
	assert_int_equal(device_info(c->device), 0);
	assert_int_equal(get_device(c->group, bdf()), -EINVAL);
	close_fd(&c->group);
	c->group = open_group(bdf());
	assert_true(c->group >= 0);
	assert_int_equal(device_info(c->device), 0);
	assert_int_equal(map(c, RW, c->memory, IOVA, PG), 0);
	close_fd(&c->device);
	assert_int_equal(group_flags(c->group), 1);
	/* mappings are the IOMMUFD's */
	assert_int_equal(map(c, RW, c->memory, IOVA, PG), -EEXIST);
	assert_int_equal(set_container(c->group, c->container), 0);
	assert_int_equal(map(c, RW, c->memory, IOVA, PG), -EEXIST);
}

static void test_container_waits_for_the_device(struct client *c)
{
	int container = open("/dev/vfio/vfio", O_RDWR | O_CLOEXEC);

	assert_int_equal(unset(c->group), 0);
	assert_int_equal(set_container(c->group, container), -EPERM);
	close_fd(&c->device);
	assert_int_equal(set_container(c->group, container), 0);
	close_fd(&container);
}

static void test_last_reference(struct client *c)
{
	int container = dup(c->container);

	close_fd(&c->container);
	assert_int_equal(device_info(c->device), 0);
	c->container = container;
	assert_int_equal(map(c, RW, c->memory, IOVA, PG), 0);
	close_fd(&c->container);
	assert_int_equal(group_flags(c->group), 3);
	close_fd(&c->group);
	assert_int_equal(device_info(c->device), 0);
	c->group = open_group(bdf());
	assert_true(c->group >= 0);
}

/* The device is opened for one IOMMUFD; more files of it do not care which one the group uses now. */
static void test_second_file_through_another(struct client *c)
{
	int other = open_iommufd(), second;

	assert_int_equal(unset(c->group), 0);
	assert_int_equal(set_container(c->group, other), 0);
	second = get_device(c->group, bdf());
	assert_true(second >= 0);
	/* the sibling would have to be bound to the other: the group's devices belong to the first */
	assert_int_equal(get_device(c->group, sibling()), -EPERM);
	close_fd(&c->device);
	assert_int_equal(device_info(second), 0);
	assert_int_equal(get_device(c->group, sibling()), -EPERM);
	close_fd(&second);
	second = get_device(c->group, sibling());
	assert_true(second >= 0);
	close_fd(&second);
	close_fd(&other);
}

static void test_devices_of_a_group(struct client *c)
{
	int second = get_device(c->group, sibling());

	assert_true(second >= 0);
	assert_int_equal(map(c, RW, c->memory, IOVA, PG), 0);
	close_fd(&c->device);
	assert_int_equal(device_info(second), 0);
	close_fd(&second);
}

/* ---- IOMMU_VFIO_IOAS */

static long vfio_ioas(int iommufd, uint16_t op, uint32_t *id)
{
	struct iommu_vfio_ioas arg = { .size = sizeof(arg), .op = op, .ioas_id = *id };
	long rc = do_ioctl(iommufd, IOMMU_VFIO_IOAS, &arg);

	*id = arg.ioas_id;
	return rc;
}

static void test_vfio_ioas(struct client *c)
{
	uint32_t compat = 0, other, id = 0;

	assert_int_equal(vfio_ioas(c->container, IOMMU_VFIO_IOAS_GET, &compat), 0);
	assert_int_not_equal(compat, 0);
	assert_int_equal(map(c, RW, c->memory, IOVA, PG), 0);
	assert_int_equal(ioas_alloc(c->container, &other), 0);
	id = other;
	assert_int_equal(vfio_ioas(c->container, IOMMU_VFIO_IOAS_SET, &id), 0);
	assert_int_equal(map(c, RW, c->memory, IOVA, PG), 0);       /* in the other */
	assert_int_equal(destroy_id(c->container, compat), -EBUSY); /* the device is attached to it */
	assert_int_equal(destroy_id(c->container, other), 0);
	assert_int_equal(vfio_ioas(c->container, IOMMU_VFIO_IOAS_GET, &id), -ENODEV);
	assert_int_equal(map(c, RW, c->memory, IOVA, PG), -ENODEV);
	id = 0x1234;
	assert_int_equal(vfio_ioas(c->container, IOMMU_VFIO_IOAS_SET, &id), -ENOENT);
	assert_int_equal(vfio_ioas(c->container, IOMMU_VFIO_IOAS_SET, &compat), 0);
	assert_int_equal(map(c, RW, c->memory, IOVA, PG), -EEXIST);
	assert_int_equal(vfio_ioas(c->container, IOMMU_VFIO_IOAS_CLEAR, &id), 0);
	assert_int_equal(vfio_ioas(c->container, IOMMU_VFIO_IOAS_GET, &id), -ENODEV);
	assert_int_equal(vfio_ioas(c->container, 3, &id), -EOPNOTSUPP);
}

/* ---- mappings */

static void test_map_order(struct client *c)
{
	const uint8_t *const m = c->memory, *const top = (void *)-PG;
	const struct {
		uint32_t flags;
		const uint8_t *memory;
		uint64_t iova, size;
		long result;
	} cases[] = {
		{ 8 | RW, m, -PG, 2 * PG, -EINVAL },  { RW, m, IOVA, 0, -EINVAL },
		{ RW, m, -PG, 2 * PG, -EOVERFLOW },   { RW, top, IOVA, 2 * PG, -EOVERFLOW },
		{ 0, m, -PG, 2 * PG, -EOVERFLOW },    { 0, m, IOVA, PG, -EINVAL },
		{ RW, m, IOVA, PG - 1, -EINVAL },     { RW, m, IOVA + 1, PG, -EINVAL },
		{ RW, m + 0x800, IOVA, PG, -EINVAL }, { RW, m, -PG, PG, -EINVAL },
	};

	for (size_t i = 0; i < COUNT(cases); i++)
		assert_int_equal(map(c, cases[i].flags, cases[i].memory, cases[i].iova, cases[i].size),
				 cases[i].result);
}

/* As in unmap.c. v1 cuts mappings; v2 stops with ENOENT at the first that would be cut, with the earlier ones
 * gone. */
struct picture {
	const char *before;
	int first, count;
	const char *after_v1;
	const char *after_v2;
	bool v2_fails;
};

static const struct picture pictures[] = {
	{ "....", 0, 4, "....", "....", false },
	{ "AAAA", 0, 4, "....", "....", false },
	{ "AA", 0, 1, ".A", "AA", true },
	{ "AA", 1, 1, "A.", "AA", true },
	{ "AAAA", 1, 2, "A..A", "AAAA", true },
	{ ".AA.", 0, 2, "..A.", ".AA.", true },
	{ ".AA.", 2, 2, ".A..", ".AA.", true },
	{ "AABB", 0, 3, "...B", "..BB", true },
	{ "AABB", 1, 2, "A..B", "AABB", true },
	{ "AABB", 0, 2, "..BB", "..BB", false },
	{ "A.B.C", 1, 2, "A...C", "A...C", false },
	{ "A.BB.CC", 0, 6, "......C", ".....CC", true },
	{ "AA.B.CC", 1, 6, "A......", "AA.B.CC", true },
	{ "AAAABBBB", -4, 32, "........", "........", false },
};

static uint64_t lay(struct client *c, const char *picture)
{
	uint64_t pages = 0;

	unmap_all(c);
	for (size_t i = 0, n; picture[i]; i += n) {
		n = strspn(picture + i, (char[]){ picture[i], 0 });
		if (picture[i] == '.')
			continue;
		assert_int_equal(map(c, RW, c->memory + i * PG, IOVA + i * PG, n * PG), 0);
		pages += n;
	}
	return pages;
}

/* Each page of the picture is mapped or not; returns how many are. */
static uint64_t check_left(struct client *c, const char *picture)
{
	uint64_t pages = 0;

	for (size_t i = 0; picture[i]; i++) {
		uint64_t size = PG;

		pages += picture[i] != '.';
		assert_int_equal(map(c, RW, c->memory, IOVA + i * PG, PG), picture[i] == '.' ? 0 : -EEXIST);
		if (picture[i] == '.')
			assert_int_equal(unmap(c, 0, IOVA + i * PG, &size), 0);
	}
	return pages;
}

static void test_pictures(struct client *c)
{
	for (size_t i = 0; i < COUNT(pictures); i++) {
		const struct picture *p = &pictures[i];
		bool fails = c->mode->v2 && p->v2_fails;
		uint64_t size = (uint64_t)p->count * PG, before = lay(c, p->before), left;

		assert_int_equal(unmap(c, 0, IOVA + (uint64_t)(p->first * (long)PG), &size),
				 fails ? -ENOENT : 0);
		left = check_left(c, c->mode->v2 ? p->after_v2 : p->after_v1);
		assert_int_equal(size, (before - left) * PG);
	}
}

static void test_unmap_arguments(struct client *c)
{
	const struct {
		uint32_t flags;
		uint64_t iova, size, after;
		long result;
	} cases[] = {
		{ 8, IOVA, PG, PG, -EINVAL },
		{ VFIO_DMA_UNMAP_FLAG_GET_DIRTY_BITMAP, IOVA, PG, PG, -EINVAL },
		{ VFIO_DMA_UNMAP_FLAG_VADDR, IOVA, PG, PG, -EINVAL },
		{ ALL, 0, PG, PG, -EINVAL },
		{ ALL, IOVA, 0, 0, -EINVAL },
		{ 0, IOVA, 0, 0, -EINVAL },
		{ 0, -PG, 2 * PG, 0, -EOVERFLOW },
		{ 0, -PG, PG, 0, 0 },
	};

	assert_int_equal(map(c, RW, c->memory, IOVA, PG), 0);
	for (size_t i = 0; i < COUNT(cases); i++) {
		uint64_t size = cases[i].size;

		assert_int_equal(unmap(c, cases[i].flags, cases[i].iova, &size), cases[i].result);
		assert_int_equal(size, cases[i].after);
	}
	assert_int_equal(map(c, RW, c->memory, IOVA, PG), -EEXIST);
}

/* ---- GET_INFO: each capability comes as soon as there is room for it */

static void test_info(struct client *c)
{
	const uint32_t avail_end = 24 + 12, ranges_at = 24 + 16;
	static uint8_t buf[1024] __attribute__((aligned(8)));
	struct vfio_iommu_type1_info *info = (void *)buf;
	uint32_t full, extent;

	info->argsz = sizeof(buf);
	assert_int_equal(do_ioctl(c->container, VFIO_IOMMU_GET_INFO, info), 0);
	full = info->argsz;
	assert_true(full > ranges_at + 16 && (full - ranges_at) % 16 == 0);
	for (uint32_t argsz = 16; argsz <= full + 8; argsz++) {
		memset(buf, 0xa5, sizeof(buf));
		info->argsz = argsz;
		info->flags = 0;
		assert_int_equal(do_ioctl(c->container, VFIO_IOMMU_GET_INFO, info), 0);
		assert_int_equal(info->argsz, full);
		assert_int_equal(info->flags, VFIO_IOMMU_INFO_PGSIZES | VFIO_IOMMU_INFO_CAPS);
		assert_true(info->iova_pgsizes & PG);
		for (extent = sizeof(buf); buf[extent - 1] == 0xa5; extent--)
			continue;
		if (argsz < avail_end)
			assert_int_equal(extent, argsz < 24 ? argsz : 24);
		else if (argsz < ranges_at + 32)
			assert_int_equal(extent, avail_end);
		else
			assert_int_equal(extent,
					 argsz >= full ? full : (argsz - ranges_at) / 16 * 16 + ranges_at);
		if (argsz >= 20)
			assert_int_equal(info->cap_offset, argsz >= full ? 24 : 0);
	}
}

int main(void)
{
	static const struct test tests[] = {
		T_COMPAT(test_without_group),
		T_IN(COMPAT_TYPE1V2, test_set_iommu),
		T_COMPAT(test_group_leaves_an_open_device),
		T_COMPAT(test_container_waits_for_the_device),
		T_COMPAT(test_last_reference),
		T_COMPAT(test_second_file_through_another),
		T_COMPAT(test_devices_of_a_group),
		T_COMPAT(test_vfio_ioas),
		T_COMPAT(test_map_order),
		T_COMPAT(test_pictures),
		T_COMPAT(test_unmap_arguments),
		T_COMPAT(test_info),
	};

	return run_in_modes("compat", tests, COUNT(tests));
}
