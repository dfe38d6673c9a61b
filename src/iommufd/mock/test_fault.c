/* SPDX-License-Identifier: BSD-2-Clause */
/* Fault queues: what is read from one, what may be written, what poll() says, and who answers at the end. */
#include "iommufd/mock/test_rig.h"

#include <poll.h>
#include <sys/epoll.h>

struct setting {
	struct rig *rig;
	uint32_t idev, stdev, parent, nested;
	uint32_t fault_id;
	int fd;
};

static void make_queue(struct setting *s)
{
	struct iommu_fault_alloc cmd = { .size = sizeof(cmd) };

	assert_int_equal(rig_ioctl(s->rig, IOMMU_FAULT_QUEUE_ALLOC, &cmd), 0);
	s->fault_id = cmd.out_fault_id;
	s->fd = (int)cmd.out_fault_fd;
}

static struct setting set_up(void **state)
{
	struct setting s = { .rig = *state };

	make_queue(&s);
	assert_int_equal(rig_device(s.rig, s.rig->ioas, MOCK_FLAGS_DEVICE_PASID, &s.stdev, NULL, &s.idev), 0);
	assert_int_equal(rig_hwpt(s.rig, s.idev, s.rig->ioas, IOMMU_HWPT_ALLOC_NEST_PARENT, &s.parent), 0);
	assert_int_equal(rig_nested(s.rig, s.idev, s.parent, s.fault_id, &s.nested), 0);
	assert_int_equal(rig_replace(s.rig, s.stdev, s.nested), 0);
	return s;
}

static void trigger(struct setting *s, uint32_t pasid, uint32_t grpid)
{
	struct iommu_test_cmd cmd = {
		.trigger_iopf = {
			.dev_id = s->idev,
			.pasid = pasid,
			.grpid = grpid,
			.perm = IOMMU_PGFAULT_PERM_READ,
			.addr = 0xdeadb000 + grpid,
		},
	};

	assert_int_equal(rig_test(s->rig, &cmd, IOMMU_TEST_OP_TRIGGER_IOPF, 0), 0);
}

/* A fault as a device reports it, with the flags that the test operation has not. */
static int report(struct setting *s, uint32_t flags, uint32_t grpid)
{
	const struct iopf_fault fault = { .flags = flags, .grpid = grpid, .addr = grpid };
	struct iommufd_ctx *ctx = iommufd_ctx_from_file(s->rig->file);
	struct iommufd_device *idev = iommufd_get_device(ctx, s->idev);
	int rc = iommufd_report_fault(idev, &fault);

	iommufd_put_object(ctx, &idev->obj);
	iommufd_ctx_put(ctx);
	return rc;
}

static ssize_t respond(struct setting *s, uint32_t cookie, uint32_t code)
{
	const struct iommu_hwpt_page_response response = { .cookie = cookie, .code = code };

	return rig_write(s->fd, &response, sizeof(response));
}

static void test_read_and_answer(void **state)
{
	struct setting s = set_up(state);
	struct iommu_hwpt_pgfault faults[3];

	assert_int_equal(rig_poll(s.fd), POLLOUT);
	assert_int_equal(rig_read(s.fd, faults, sizeof(faults)), 0);
	assert_int_equal(rig_read(s.fd, faults, 0), 0);
	trigger(&s, 0, 7);
	trigger(&s, 1, 8);
	trigger(&s, 0, 9);
	assert_int_equal(rig_poll(s.fd), POLLIN | POLLOUT);
	assert_int_equal(rig_read(s.fd, faults, 0), -EINVAL); /* the first does not fit */
	assert_int_equal(rig_read(s.fd, faults, sizeof(faults[0]) + 1), -ESPIPE);
	assert_int_equal(rig_read(s.fd, faults, 2 * sizeof(faults[0])), 2 * sizeof(faults[0]));
	assert_int_equal(faults[0].flags, IOMMU_PGFAULT_FLAGS_LAST_PAGE);
	assert_int_equal(faults[0].dev_id, s.idev);
	assert_int_equal(faults[0].grpid, 7);
	assert_int_equal(faults[0].perm, IOMMU_PGFAULT_PERM_READ);
	assert_int_equal(faults[0].addr, 0xdeadb007);
	assert_int_equal(faults[0].length, 0);
	assert_int_equal(faults[0].cookie, 1);
	/* No table of PASID 1: the guest has it. */
	assert_int_equal(faults[1].flags, IOMMU_PGFAULT_FLAGS_LAST_PAGE | IOMMU_PGFAULT_FLAGS_PASID_VALID);
	assert_int_equal(faults[1].pasid, 1);
	assert_int_equal(faults[1].cookie, 2);
	assert_int_equal(rig_poll(s.fd), POLLIN | POLLOUT);
	assert_int_equal(respond(&s, 1, IOMMUFD_PAGE_RESP_SUCCESS), 8);
	assert_int_equal(respond(&s, 1, IOMMUFD_PAGE_RESP_SUCCESS), -EINVAL); /* once */
	assert_int_equal(rig_read(s.fd, faults, sizeof(faults)), sizeof(faults[0]));
	assert_int_equal(faults[0].grpid, 9);
	assert_int_equal(faults[0].cookie, 1); /* the lowest that is free */
	assert_int_equal(rig_poll(s.fd), POLLOUT);
	rig_close(s.fd);
}

static void test_bad_answers(void **state)
{
	struct setting s = set_up(state);
	struct iommu_hwpt_page_response both[2] = { { 1, 0 }, { 77, 0 } };
	struct iommu_hwpt_pgfault fault;

	trigger(&s, 0, 1);
	assert_int_equal(respond(&s, 1, IOMMUFD_PAGE_RESP_SUCCESS), -EINVAL); /* not read yet */
	assert_int_equal(rig_read(s.fd, NULL, sizeof(fault)), -EFAULT);
	assert_int_equal(rig_read(s.fd, &fault, sizeof(fault)), sizeof(fault));
	assert_int_equal(respond(&s, 1, 2), -EINVAL);
	assert_int_equal(respond(&s, 2, IOMMUFD_PAGE_RESP_INVALID), -EINVAL);
	assert_int_equal(rig_write(s.fd, both, 7), -ESPIPE);
	assert_int_equal(rig_write(s.fd, NULL, 8), -EFAULT);
	assert_int_equal(rig_write(s.fd, both, 0), 0);
	assert_int_equal(rig_write(s.fd, both, sizeof(both)), 8); /* up to the wrong one */
	rig_close(s.fd);
}

/* Faults of a group come out together, when the last has come. */
static void test_groups(void **state)
{
	struct setting s = set_up(state);
	struct iommu_hwpt_pgfault faults[4];

	assert_int_equal(report(&s, 0, 5), 0);
	assert_int_equal(report(&s, 0, 6), 0);
	assert_int_equal(report(&s, 0, 5), 0);
	assert_int_equal(rig_read(s.fd, faults, sizeof(faults)), 0);
	assert_int_equal(rig_poll(s.fd), POLLOUT);
	assert_int_equal(report(&s, IOMMU_PGFAULT_FLAGS_LAST_PAGE, 5), 0);
	assert_int_equal(rig_read(s.fd, faults, 2 * sizeof(faults[0])), -EINVAL);
	assert_int_equal(rig_read(s.fd, faults, sizeof(faults)), 3 * sizeof(faults[0]));
	for (int i = 0; i < 3; i++) {
		assert_int_equal(faults[i].grpid, 5);
		assert_int_equal(faults[i].cookie, 1);
		assert_int_equal(faults[i].flags, i == 2 ? IOMMU_PGFAULT_FLAGS_LAST_PAGE : 0);
	}
	assert_int_equal(respond(&s, 1, IOMMUFD_PAGE_RESP_INVALID), 8);
	rig_close(s.fd);
}

/* What is in the queue of the table that a device leaves is not to be answered any more. */
static void test_detached(void **state)
{
	struct setting s = set_up(state);
	struct iommu_hwpt_pgfault faults[2];

	trigger(&s, 0, 1);
	assert_int_equal(rig_read(s.fd, faults, sizeof(faults)), sizeof(faults[0]));
	trigger(&s, 0, 2);
	assert_int_equal(rig_destroy(s.rig, s.fault_id), -EBUSY);
	assert_int_equal(rig_replace(s.rig, s.stdev, s.rig->ioas), 0);
	assert_int_equal(rig_poll(s.fd), POLLOUT);
	assert_int_equal(rig_read(s.fd, faults, sizeof(faults)), 0);
	assert_int_equal(respond(&s, 1, IOMMUFD_PAGE_RESP_SUCCESS), -EINVAL);
	trigger(&s, 0, 3); /* nobody listens */
	assert_int_equal(report(&s, IOMMU_PGFAULT_FLAGS_LAST_PAGE, 3), -EINVAL);
	assert_int_equal(rig_read(s.fd, faults, sizeof(faults)), 0);
	assert_int_equal(rig_destroy(s.rig, s.nested), 0);
	assert_int_equal(rig_destroy(s.rig, s.fault_id), -EBUSY); /* its file is open */
	rig_close(s.fd);
	assert_int_equal(rig_destroy(s.rig, s.fault_id), 0);
}

/* The queue goes on without its file. */
static void test_closed(void **state)
{
	struct setting s = set_up(state);

	trigger(&s, 0, 1);
	rig_close(s.fd);
	trigger(&s, 0, 2);
	assert_int_equal(rig_destroy(s.rig, s.fault_id), -EBUSY);
}

/* Who waits for an edge hears of each fault. */
static void test_edges(void **state)
{
	struct setting s = set_up(state);
	struct epoll_event event = { .events = EPOLLIN | EPOLLET };
	int epoll = epoll_create1(0);

	assert_int_equal(epoll_ctl(epoll, EPOLL_CTL_ADD, s.fd, &event), 0);
	assert_int_equal(epoll_wait(epoll, &event, 1, 0), 0);
	for (uint32_t i = 0; i < 3; i++) {
		trigger(&s, 0, i);
		assert_int_equal(epoll_wait(epoll, &event, 1, 0), 1);
		assert_int_equal(epoll_wait(epoll, &event, 1, 0), 0);
	}
	close(epoll);
	rig_close(s.fd);
}

static void test_alloc(void **state)
{
	struct iommu_fault_alloc cmd = { .size = sizeof(cmd), .flags = 1 };
	uint32_t hwpt, idev;
	struct setting s = { .rig = *state };

	assert_int_equal(rig_ioctl(*state, IOMMU_FAULT_QUEUE_ALLOC, &cmd), -EOPNOTSUPP);
	make_queue(&s);
	assert_true(fcntl(s.fd, F_GETFD) & FD_CLOEXEC);
	assert_int_equal(fcntl(s.fd, F_GETFL) & O_ACCMODE, O_RDWR);
	rig_close(s.fd);
	assert_int_equal(rig_device(*state, s.rig->ioas, 0, NULL, NULL, &idev), 0);
	assert_int_equal(rig_nested(*state, idev, s.rig->ioas, 0xffff, &hwpt), -ENOENT);
	for (unsigned int nth = 1;; nth++) {
		long rc;

		cmd = (struct iommu_fault_alloc){ .size = sizeof(cmd) };
		failpoint_set(nth);
		rc = rig_ioctl(*state, IOMMU_FAULT_QUEUE_ALLOC, &cmd);
		if (!rc)
			break;
		assert_int_equal(rc, -ENOMEM);
	}
	assert_int_not_equal(failpoint_get(), 0);
	failpoint_set(0);
	rig_close((int)cmd.out_fault_fd);
	assert_int_equal(rig_destroy(*state, cmd.out_fault_id), 0);
}

#define RIG_TEST(f) cmocka_unit_test_setup_teardown(f, rig_setup, rig_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		RIG_TEST(test_read_and_answer), RIG_TEST(test_bad_answers), RIG_TEST(test_groups),
		RIG_TEST(test_detached),        RIG_TEST(test_closed),      RIG_TEST(test_edges),
		RIG_TEST(test_alloc),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
