/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Queues of IOMMUFD from which a program reads, as its descriptors show them: poll(), readv(), a child; and
 * memory of a vIOMMU that is mapped. The devices are those of the kernel's selftests.
 */
#include "client.h"

#include "uapi/iommufd_test.h"

#include <poll.h>
#include <sys/uio.h>

struct setting {
	int fd;
	uint32_t ioas, idev, stdev, parent;
};

static struct setting set_up(void)
{
	struct iommu_ioas_alloc ioas = { .size = sizeof(ioas) };
	struct iommu_test_cmd cmd = { .size = sizeof(cmd), .op = IOMMU_TEST_OP_MOCK_DOMAIN };
	struct iommu_hwpt_alloc hwpt = { .size = sizeof(hwpt), .flags = IOMMU_HWPT_ALLOC_NEST_PARENT };
	int fd = open("/dev/iommu", O_RDWR | O_CLOEXEC);

	CHECK(fd >= 0);
	CHECK(!ioctl(fd, IOMMU_IOAS_ALLOC, &ioas));
	cmd.id = hwpt.pt_id = ioas.out_ioas_id;
	CHECK(!ioctl(fd, IOMMU_TEST_CMD, &cmd));
	hwpt.dev_id = cmd.mock_domain.out_idev_id;
	CHECK(!ioctl(fd, IOMMU_HWPT_ALLOC, &hwpt));
	return (struct setting){ fd, ioas.out_ioas_id, hwpt.dev_id, cmd.mock_domain.out_stdev_id,
				 hwpt.out_hwpt_id };
}

static int make_queue(const struct setting *s, uint32_t *id)
{
	struct iommu_fault_alloc cmd = { .size = sizeof(cmd) };

	CHECK(!ioctl(s->fd, IOMMU_FAULT_QUEUE_ALLOC, &cmd));
	*id = cmd.out_fault_id;
	return (int)cmd.out_fault_fd;
}

/* Attach the device to a nested table whose faults go to that queue. */
static void attach(const struct setting *s, uint32_t fault_id)
{
	struct iommu_hwpt_selftest config = { .iotlb = 1 };
	struct iommu_hwpt_alloc hwpt = {
		.size = sizeof(hwpt),
		.flags = IOMMU_HWPT_FAULT_ID_VALID,
		.dev_id = s->idev,
		.pt_id = s->parent,
		.data_type = IOMMU_HWPT_DATA_SELFTEST,
		.data_len = sizeof(config),
		.data_uptr = (uintptr_t)&config,
		.fault_id = fault_id,
	};
	struct iommu_test_cmd cmd = { .size = sizeof(cmd),
				      .op = IOMMU_TEST_OP_MOCK_DOMAIN_REPLACE,
				      .id = s->stdev };

	CHECK(!ioctl(s->fd, IOMMU_HWPT_ALLOC, &hwpt));
	cmd.mock_domain_replace.pt_id = hwpt.out_hwpt_id;
	CHECK(!ioctl(s->fd, IOMMU_TEST_CMD, &cmd));
}

static void trigger(const struct setting *s, uint32_t grpid)
{
	struct iommu_test_cmd cmd = {
		.size = sizeof(cmd),
		.op = IOMMU_TEST_OP_TRIGGER_IOPF,
		.trigger_iopf = { .dev_id = s->idev, .grpid = grpid },
	};

	CHECK(!ioctl(s->fd, IOMMU_TEST_CMD, &cmd));
}

static short polled(int fd)
{
	struct pollfd pfd = { .fd = fd, .events = POLLIN | POLLOUT };

	CHECK(poll(&pfd, 1, 0) >= 0);
	return pfd.revents;
}

static void read_one(int queue, uint32_t grpid)
{
	struct iommu_hwpt_page_response response = { 0 };
	struct iommu_hwpt_pgfault fault;

	CHECK(read(queue, &fault, sizeof(fault)) == sizeof(fault) && fault.grpid == grpid);
	response.cookie = fault.cookie;
	CHECK(write(queue, &response, sizeof(response)) == sizeof(response));
	FAILS(write(queue, &response, sizeof(response)), EINVAL);
}

static void faults(const struct setting *s)
{
	struct iommu_hwpt_pgfault two[2];
	struct iovec parts[] = { { &two[0], sizeof(two[0]) }, { &two[1], sizeof(two[1]) } };
	uint32_t id;
	int queue = make_queue(s, &id);
	char link[64] = "", path[32];
	struct stat st;

	attach(s, id);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", queue);
	CHECK(readlink(path, link, sizeof(link) - 1) > 0 && !strcmp(link, "anon_inode:[iommufd-pgfault]"));
	CHECK(!fstat(queue, &st) && !S_ISFIFO(st.st_mode));
	FAILS(lseek(queue, 0, SEEK_SET), ESPIPE);
	CHECK(polled(queue) == POLLOUT);
	CHECK(read(queue, two, sizeof(two)) == 0); /* it does not wait */
	trigger(s, 1);
	trigger(s, 2);
	CHECK(polled(queue) == (POLLIN | POLLOUT));
	FAILS(read(queue, two, 0), EINVAL); /* nothing is not enough for the first */
	CHECK(readv(queue, parts, 2) == sizeof(two) && two[0].grpid == 1 && two[1].grpid == 2);
	CHECK(polled(queue) == POLLOUT);
	CHECK(!close(queue));
}

/* A child reads, and makes a queue: the number of its descriptor is the child's. */
static void with_child(const struct setting *s)
{
	uint32_t id;
	int queue = make_queue(s, &id), status, before = dup(0);
	pid_t child;

	attach(s, id);
	trigger(s, 3);
	child = fork();
	CHECK(child >= 0);
	if (!child) {
		int own = dup(0), made;

		CHECK(polled(queue) == (POLLIN | POLLOUT));
		read_one(queue, 3);
		CHECK(polled(queue) == POLLOUT);
		made = make_queue(s, &id);
		CHECK(made > own && polled(made) == POLLOUT && fcntl(made, F_GETFD) == FD_CLOEXEC);
		CHECK(read(made, NULL, 0) == 0);
		CHECK(!close(made));
		trigger(s, 4);
		_exit(0);
	}
	CHECK(waitpid(child, &status, 0) == child && !status);
	CHECK(polled(queue) == (POLLIN | POLLOUT));
	read_one(queue, 4);
	CHECK(!close(queue) && !close(before));
}

static long destroy(const struct setting *s, uint32_t id)
{
	struct iommu_destroy cmd = { .size = sizeof(cmd), .id = id };

	return ioctl(s->fd, IOMMU_DESTROY, &cmd);
}

/* The vIOMMU is in use until the last piece of the mapping is gone. */
static void mapping(const struct setting *s)
{
	struct iommu_viommu_selftest data = { .in_data = 0xbeef };
	struct iommu_viommu_alloc cmd = {
		.size = sizeof(cmd),
		.type = IOMMU_VIOMMU_TYPE_SELFTEST,
		.dev_id = s->idev,
		.hwpt_id = s->parent,
		.data_uptr = (uintptr_t)&data,
		.data_len = sizeof(data),
	};
	uint32_t *word;

	CHECK(!ioctl(s->fd, IOMMU_VIOMMU_ALLOC, &cmd));
	FAILS(mmap(NULL, data.out_mmap_length, PROT_READ, MAP_SHARED, s->fd, 0), ENXIO);
	FAILS(mmap(NULL, data.out_mmap_length, PROT_READ, MAP_PRIVATE, s->fd, (off_t)data.out_mmap_offset),
	      EINVAL);
	word = mmap(NULL, data.out_mmap_length, PROT_READ | PROT_WRITE, MAP_SHARED, s->fd,
		    (off_t)data.out_mmap_offset);
	CHECK(word != MAP_FAILED && *word == 0xbeef);
	FAILS(destroy(s, cmd.out_viommu_id), EBUSY);
	CHECK(!munmap((char *)word + 4096, data.out_mmap_length - 4096));
	FAILS(destroy(s, cmd.out_viommu_id), EBUSY);
	*word = 1;
	CHECK(!munmap(word, 4096));
	CHECK(!destroy(s, cmd.out_viommu_id));
}

int main(void)
{
	struct setting s = set_up();

	faults(&s);
	with_child(&s);
	mapping(&s);
	CHECK(!close(s.fd));
	return 0;
}
