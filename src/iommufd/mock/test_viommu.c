/* SPDX-License-Identifier: BSD-2-Clause */
/* vIOMMUs: their devices, events, hardware queues, and the memory that can be mapped. */
#include "iommufd/mock/test_rig.h"

#include <poll.h>

#define EVENT_SIZE (sizeof(struct iommufd_vevent_header) + sizeof(struct iommu_viommu_event_selftest))

struct setting {
	struct rig *rig;
	uint32_t idev, stdev, parent, viommu;
};

static long alloc_viommu(struct setting *s, uint32_t type, struct iommu_viommu_selftest *data, uint32_t *id)
{
	struct iommu_viommu_alloc cmd = {
		.size = sizeof(cmd),
		.type = type,
		.dev_id = s->idev,
		.hwpt_id = s->parent,
		.data_len = data ? sizeof(*data) : 0,
		.data_uptr = (uintptr_t)data,
	};
	long rc = rig_ioctl(s->rig, IOMMU_VIOMMU_ALLOC, &cmd);

	*id = cmd.out_viommu_id;
	return rc;
}

static struct setting set_up(void **state)
{
	struct setting s = { .rig = *state };

	assert_int_equal(rig_device(s.rig, s.rig->ioas, 0, &s.stdev, NULL, &s.idev), 0);
	assert_int_equal(rig_hwpt(s.rig, s.idev, s.rig->ioas, IOMMU_HWPT_ALLOC_NEST_PARENT, &s.parent), 0);
	assert_int_equal(alloc_viommu(&s, IOMMU_VIOMMU_TYPE_SELFTEST, NULL, &s.viommu), 0);
	return s;
}

static long alloc_vdevice(struct setting *s, uint64_t virt_id, uint32_t idev, uint32_t *id)
{
	struct iommu_vdevice_alloc cmd = {
		.size = sizeof(cmd), .viommu_id = s->viommu, .dev_id = idev, .virt_id = virt_id
	};
	long rc = rig_ioctl(s->rig, IOMMU_VDEVICE_ALLOC, &cmd);

	*id = cmd.out_vdevice_id;
	return rc;
}

static void test_vdevices(void **state)
{
	struct setting s = set_up(state);
	uint32_t other, vdev, vdev2, nested;

	assert_int_equal(rig_nested(s.rig, s.idev, s.viommu, 0, &nested), 0);
	assert_int_equal(rig_replace(s.rig, s.stdev, nested), -ENOENT); /* not without a vdevice */
	assert_int_equal(alloc_vdevice(&s, 0x99, 0xffff, &vdev), -ENOENT);
	assert_int_equal(alloc_vdevice(&s, 0x99, s.idev, &vdev), 0);
	assert_int_equal(alloc_vdevice(&s, 0x98, s.idev, &vdev2), -EEXIST); /* one for each device */
	assert_int_equal(rig_device(s.rig, s.rig->ioas, 0, NULL, NULL, &other), 0);
	assert_int_equal(alloc_vdevice(&s, 0x99, other, &vdev2), -EEXIST); /* one for each number */
	assert_int_equal(alloc_vdevice(&s, 0x98, other, &vdev2), 0);
	assert_int_equal(rig_replace(s.rig, s.stdev, nested), 0);
	assert_int_equal(rig_destroy(s.rig, s.viommu), -EBUSY);
	assert_int_equal(rig_destroy(s.rig, vdev2), 0);
	assert_int_equal(alloc_vdevice(&s, 0x98, other, &vdev2), 0);
}

/* A device that goes takes its virtual one along, whose id is nobody's from then on. */
static void test_tombstone(void **state)
{
	struct setting s = set_up(state);
	uint32_t vdev, again;

	assert_int_equal(alloc_vdevice(&s, 1, s.idev, &vdev), 0);
	assert_int_equal(rig_destroy(s.rig, s.stdev), 0);
	assert_int_equal(rig_destroy(s.rig, vdev), -ENOENT);
	assert_int_equal(rig_device(s.rig, s.rig->ioas, 0, &s.stdev, NULL, &s.idev), 0);
	assert_int_equal(alloc_vdevice(&s, 1, s.idev, &again), 0);
	assert_int_not_equal(again, vdev);
}

/* ---- events */

static long alloc_veventq(struct setting *s, uint32_t depth, uint32_t *id, int *fd)
{
	struct iommu_veventq_alloc cmd = {
		.size = sizeof(cmd),
		.viommu_id = s->viommu,
		.type = IOMMU_VEVENTQ_TYPE_SELFTEST,
		.veventq_depth = depth,
	};
	long rc = rig_ioctl(s->rig, IOMMU_VEVENTQ_ALLOC, &cmd);

	*id = cmd.out_veventq_id;
	*fd = (int)cmd.out_veventq_fd;
	return rc;
}

static long trigger(struct setting *s)
{
	struct iommu_test_cmd cmd = { .trigger_vevent.dev_id = s->idev };

	return rig_test(s->rig, &cmd, IOMMU_TEST_OP_TRIGGER_VEVENT, 0);
}

static void attach_with_vdevice(struct setting *s, uint64_t virt_id)
{
	uint32_t vdev, nested;

	assert_int_equal(alloc_vdevice(s, virt_id, s->idev, &vdev), 0);
	assert_int_equal(rig_nested(s->rig, s->idev, s->viommu, 0, &nested), 0);
	assert_int_equal(rig_replace(s->rig, s->stdev, nested), 0);
}

static void assert_header(const void *at, uint32_t flags, uint32_t sequence)
{
	struct iommufd_vevent_header header;

	memcpy(&header, at, sizeof(header));
	assert_int_equal(header.flags, flags);
	assert_int_equal(header.sequence, sequence);
}

static void test_events(void **state)
{
	struct setting s = set_up(state);
	unsigned char buf[4 * EVENT_SIZE];
	uint32_t id, virt_id;
	int fd;

	assert_int_equal(trigger(&s), -ENOENT); /* no virtual device */
	attach_with_vdevice(&s, 0x55);
	assert_int_equal(trigger(&s), -EOPNOTSUPP); /* no queue */
	assert_int_equal(alloc_veventq(&s, 0, &id, &fd), -EINVAL);
	assert_int_equal(alloc_veventq(&s, (1 << 19) + 1, &id, &fd), -EINVAL);
	assert_int_equal(alloc_veventq(&s, 2, &id, &fd), 0);
	assert_int_equal(rig_poll(fd), 0);
	assert_int_equal(rig_read(fd, buf, sizeof(buf)), 0);
	assert_int_equal(rig_read(fd, buf, 0), -EINVAL);
	assert_int_equal(rig_read(fd, buf, sizeof(struct iommufd_vevent_header) - 1), -EINVAL);
	assert_int_equal(trigger(&s), 0);
	assert_int_equal(rig_poll(fd), POLLIN);
	assert_int_equal(rig_read(fd, buf, EVENT_SIZE - 1), -EINVAL);
	assert_int_equal(rig_read(fd, NULL, EVENT_SIZE), -EFAULT);
	assert_int_equal(rig_poll(fd), POLLIN);
	assert_int_equal(rig_read(fd, buf, sizeof(buf)), EVENT_SIZE);
	assert_header(buf, 0, 0);
	memcpy(&virt_id, buf + sizeof(struct iommufd_vevent_header), sizeof(virt_id));
	assert_int_equal(virt_id, 0x55);
	assert_int_equal(rig_poll(fd), 0);
	assert_int_equal(rig_write(fd, buf, 8), -EINVAL);
	assert_int_equal(rig_destroy(s.rig, id), -EBUSY);
	rig_close(fd);
	assert_int_equal(rig_destroy(s.rig, id), 0);
}

static void test_lost_events(void **state)
{
	struct setting s = set_up(state);
	unsigned char buf[4 * EVENT_SIZE];
	uint32_t id;
	int fd;

	attach_with_vdevice(&s, 0x55);
	assert_int_equal(alloc_veventq(&s, 2, &id, &fd), 0);
	for (int i = 0; i < 4; i++)
		assert_int_equal(trigger(&s), 0);
	/* Two, and the header of what was lost. */
	assert_int_equal(rig_read(fd, buf, EVENT_SIZE), EVENT_SIZE);
	assert_header(buf, 0, 0);
	assert_int_equal(rig_read(fd, buf, sizeof(buf)), EVENT_SIZE + sizeof(struct iommufd_vevent_header));
	assert_header(buf, 0, 1);
	assert_header(buf + EVENT_SIZE, IOMMU_VEVENTQ_FLAG_LOST_EVENTS, 3);
	assert_int_equal(rig_poll(fd), 0);
	/* The next event stands for the gap. */
	for (int i = 0; i < 3; i++)
		assert_int_equal(trigger(&s), 0);
	assert_int_equal(rig_read(fd, buf, EVENT_SIZE), EVENT_SIZE);
	assert_header(buf, 0, 4);
	assert_int_equal(trigger(&s), 0);
	assert_int_equal(rig_read(fd, buf, sizeof(buf)), 2 * EVENT_SIZE);
	assert_header(buf, 0, 5);
	assert_header(buf + EVENT_SIZE, 0, 7);
	rig_close(fd);
}

/* An event for which there is no memory is lost, too, and the driver is told. */
static void test_no_memory_for_event(void **state)
{
	struct setting s = set_up(state);
	unsigned char buf[4 * EVENT_SIZE];
	uint32_t id;
	int fd;

	attach_with_vdevice(&s, 0x55);
	assert_int_equal(alloc_veventq(&s, 2, &id, &fd), 0);
	failpoint_set(2); /* the first is the look-up of the device */
	assert_int_equal(trigger(&s), -ENOMEM);
	assert_int_equal(rig_poll(fd), POLLIN);
	assert_int_equal(rig_read(fd, NULL, sizeof(buf)), -EFAULT);
	assert_int_equal(rig_read(fd, buf, sizeof(buf)), sizeof(struct iommufd_vevent_header));
	assert_header(buf, IOMMU_VEVENTQ_FLAG_LOST_EVENTS, 0);
	rig_close(fd);
}

/* ---- memory */

static int plan(struct setting *s, uint64_t offset, uint64_t length, int flags, int prot,
		struct mmap_plan *plan)
{
	*plan = (struct mmap_plan){ .offset = offset, .length = length, .flags = flags, .prot = prot };
	return file_mmap(s->rig->file, plan);
}

static void test_mmap(void **state)
{
	struct setting s = set_up(state);
	struct iommu_viommu_selftest data = { .in_data = 0x12345678 };
	struct mmap_plan p;
	uint32_t id, word;

	assert_int_equal(alloc_viommu(&s, IOMMU_VIOMMU_TYPE_SELFTEST, &data, &id), 0);
	assert_int_equal(data.out_data, 0x12345678);
	assert_int_equal(data.out_mmap_length, 8192);
	assert_int_not_equal(data.out_mmap_offset, 0);
	assert_int_equal(plan(&s, 0, 8192, MAP_SHARED, PROT_READ, &p), -ENXIO);
	assert_int_equal(plan(&s, data.out_mmap_offset, 4096, MAP_SHARED, PROT_READ, &p), -ENXIO);
	assert_int_equal(plan(&s, data.out_mmap_offset + 4096, 4096, MAP_SHARED, PROT_READ, &p), -ENXIO);
	assert_int_equal(plan(&s, data.out_mmap_offset, 8192, MAP_PRIVATE, PROT_READ, &p), -EINVAL);
	assert_int_equal(plan(&s, data.out_mmap_offset, 8192, MAP_SHARED, PROT_EXEC, &p), -EPERM);
	assert_int_equal(plan(&s, data.out_mmap_offset, 8192, MAP_SHARED, PROT_READ, &p), 0);
	assert_int_equal(p.nr, 1);
	assert_int_equal(p.segments[0].length, 8192);
	assert_int_equal(pread(p.segments[0].fd, &word, sizeof(word), (off_t)p.segments[0].fd_offset), 4);
	assert_int_equal(word, 0x12345678);
	assert_int_equal(rig_destroy(s.rig, id), -EBUSY);
	file_put(p.holder); /* as the end of the mapping does */
	assert_int_equal(rig_destroy(s.rig, id), 0);
	assert_int_equal(plan(&s, data.out_mmap_offset, 8192, MAP_SHARED, PROT_READ, &p), -ENXIO);
}

/* ---- hardware queues */

static long alloc_queue(struct setting *s, uint32_t index, uint64_t base, uint64_t length, uint32_t *id)
{
	struct iommu_hw_queue_alloc cmd = {
		.size = sizeof(cmd),
		.viommu_id = s->viommu,
		.type = IOMMU_HW_QUEUE_TYPE_SELFTEST,
		.index = index,
		.nesting_parent_iova = base,
		.length = length,
	};
	long rc = rig_ioctl(s->rig, IOMMU_HW_QUEUE_ALLOC, &cmd);

	*id = cmd.out_hw_queue_id;
	return rc;
}

static void test_hw_queues(void **state)
{
	const uint64_t iova = MOCK_APERTURE_START;
	struct setting s = set_up(state);
	char *memory = rig_memory(4 * 4096);
	uint32_t first, second, other;

	assert_int_equal(alloc_queue(&s, 0, iova, 0, &first), -EINVAL);
	assert_int_equal(alloc_queue(&s, 0, UINT64_MAX, 4096, &first), -EOVERFLOW);
	assert_int_equal(alloc_queue(&s, 0, 1, UINT64_MAX, &first), -ERANGE);
	assert_int_equal(alloc_queue(&s, 0, iova, 4096, &first), -ENOENT);
	assert_int_equal(rig_map(s.rig, memory, 2 * 4096, iova), 0);
	assert_int_equal(rig_map(s.rig, memory + 3 * 4096, 4096, iova + 2 * 4096), 0);
	assert_int_equal(alloc_queue(&s, 0, iova + 4096, 2 * 4096, &first), -EFAULT); /* in two places */
	assert_int_equal(alloc_queue(&s, 1, iova, 4096, &first), -EIO);               /* not the first */
	assert_int_equal(alloc_queue(&s, 2, iova, 4096, &first), -EINVAL);
	assert_int_equal(alloc_queue(&s, 0, iova + 4000, 200, &first), 0);
	assert_int_equal(alloc_queue(&s, 0, iova, 4096, &other), -EEXIST);
	assert_int_equal(alloc_queue(&s, 1, iova, 4096, &second), 0);
	assert_int_equal(rig_destroy(s.rig, first), -EBUSY); /* the second needs it */
	assert_int_equal(rig_unmap(s.rig, iova, 2 * 4096), -EBUSY);
	assert_int_equal(rig_destroy(s.rig, second), 0);
	assert_int_equal(rig_destroy(s.rig, first), 0);
	assert_int_equal(rig_unmap(s.rig, iova, 2 * 4096), 0);
	munmap(memory, 4 * 4096);
}

/* ---- */

static void test_alloc(void **state)
{
	struct setting s = set_up(state);
	uint32_t plain, id;

	assert_int_equal(alloc_viommu(&s, IOMMU_VIOMMU_TYPE_DEFAULT, NULL, &id), -EOPNOTSUPP);
	assert_int_equal(alloc_viommu(&s, 0xdead, NULL, &id), -EOPNOTSUPP);
	assert_int_equal(rig_hwpt(s.rig, s.idev, s.rig->ioas, 0, &plain), 0);
	s.parent = plain;
	assert_int_equal(alloc_viommu(&s, IOMMU_VIOMMU_TYPE_SELFTEST, NULL, &id), -EINVAL);
	s.parent = 0xffff;
	assert_int_equal(alloc_viommu(&s, IOMMU_VIOMMU_TYPE_SELFTEST, NULL, &id), -ENOENT);
}

/* Every failure on the way leaves nothing behind: the same call succeeds at last. */
static void test_failures(void **state)
{
	struct setting s = set_up(state);
	struct iommu_viommu_selftest data = { .in_data = 1 };
	char *memory = rig_memory(4096);
	uint32_t id, vdev, queue;
	unsigned int nth;
	int fd;

	assert_int_equal(rig_map(s.rig, memory, 4096, MOCK_APERTURE_START), 0);
	for (nth = 1; failpoint_set(nth), alloc_viommu(&s, IOMMU_VIOMMU_TYPE_SELFTEST, &data, &id); nth++)
		assert_int_equal(failpoint_get(), 0);
	assert_true(nth > 4);
	for (nth = 1; failpoint_set(nth), alloc_vdevice(&s, 1, s.idev, &vdev); nth++)
		assert_int_equal(failpoint_get(), 0);
	assert_true(nth > 4);
	for (nth = 1; failpoint_set(nth), alloc_veventq(&s, 1, &id, &fd); nth++)
		assert_int_equal(failpoint_get(), 0);
	assert_true(nth > 3);
	rig_close(fd);
	for (nth = 1; failpoint_set(nth), alloc_queue(&s, 0, MOCK_APERTURE_START, 4096, &queue); nth++)
		assert_int_equal(failpoint_get(), 0);
	assert_true(nth > 4);
	failpoint_set(0);
	assert_int_equal(rig_destroy(s.rig, queue), 0);
	assert_int_equal(rig_unmap(s.rig, MOCK_APERTURE_START, 4096), 0);
	munmap(memory, 4096);
}

#define RIG_TEST(f) cmocka_unit_test_setup_teardown(f, rig_setup, rig_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		RIG_TEST(test_alloc),  RIG_TEST(test_vdevices),    RIG_TEST(test_tombstone),
		RIG_TEST(test_events), RIG_TEST(test_lost_events), RIG_TEST(test_no_memory_for_event),
		RIG_TEST(test_mmap),   RIG_TEST(test_hw_queues),   RIG_TEST(test_failures),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
