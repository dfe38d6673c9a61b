/* SPDX-License-Identifier: BSD-2-Clause */
#include "client.h"

#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

/* In the order of the bits of test.modes. */
static struct mode modes[] = {
	{ "type1", "/dev/vfio/vfio", VFIO_TYPE1_IOMMU, false, false, false },
	{ "type1v2", "/dev/vfio/vfio", VFIO_TYPE1v2_IOMMU, true, false, false },
	{ "compat type1", "/dev/iommu", VFIO_TYPE1_IOMMU, false, true, false },
	{ "compat type1v2", "/dev/iommu", VFIO_TYPE1v2_IOMMU, true, true, false },
	{ "iommufd", "/dev/iommu", 0, true, false, true },
};

static const char *from_env(const char *name, const char *preset)
{
	const char *value = getenv(name);

	return value && *value ? value : preset;
}

const char *bdf(void)
{
	return from_env("UVFIO_TEST_BDF", "0000:00:01.0");
}

const char *sibling(void)
{
	return from_env("UVFIO_TEST_SIBLING", "0000:00:02.0");
}

const char *peer(void)
{
	return from_env("UVFIO_TEST_PEER", "0000:00:03.0");
}

int open_container(const struct mode *mode)
{
	int fd = open(mode->container, O_RDWR | O_CLOEXEC);

	return fd < 0 ? -errno : fd;
}

int open_group_flags(const char *device, int oflags)
{
	char link[PATH_MAX], target[PATH_MAX], node[PATH_MAX];
	ssize_t n;
	int fd;

	snprintf(link, sizeof(link), "/sys/bus/pci/devices/%s/iommu_group", device);
	n = readlink(link, target, sizeof(target) - 1);
	if (n < 0)
		return -errno;
	target[n] = 0;
	snprintf(node, sizeof(node), "/dev/vfio/%s", strrchr(target, '/') + 1);
	fd = open(node, oflags | O_CLOEXEC);
	if (fd < 0 && errno == ENOENT) {
		snprintf(node, sizeof(node), "/dev/vfio/noiommu-%s", strrchr(target, '/') + 1);
		fd = open(node, oflags | O_CLOEXEC);
	}
	return fd < 0 ? -errno : fd;
}

int open_group(const char *device)
{
	return open_group_flags(device, O_RDWR);
}

long do_ioctl(int fd, unsigned long request, const void *arg)
{
	int rc = ioctl(fd, request, arg);

	return rc < 0 ? -errno : rc;
}

long do_ioctl_value(int fd, unsigned long request, unsigned long value)
{
	int rc = ioctl(fd, request, value);

	return rc < 0 ? -errno : rc;
}

int get_device(int group, const char *name)
{
	return (int)do_ioctl(group, VFIO_GROUP_GET_DEVICE_FD, name);
}

/* ---- native mode */

int open_iommufd(void)
{
	int fd = open("/dev/iommu", O_RDWR | O_CLOEXEC);

	return fd < 0 ? -errno : fd;
}

int open_cdev(const char *device, int oflags)
{
	char dir[PATH_MAX], node[PATH_MAX];
	struct dirent *entry;
	int fd = -ENOENT;
	DIR *d;

	snprintf(dir, sizeof(dir), "/sys/bus/pci/devices/%s/vfio-dev", device);
	d = opendir(dir);
	while (d && fd == -ENOENT && (entry = readdir(d))) {
		if (strncmp(entry->d_name, "vfio", 4))
			continue;
		snprintf(node, sizeof(node), "/dev/vfio/devices/%.32s", entry->d_name);
		fd = open(node, oflags | O_CLOEXEC);
		fd = fd < 0 ? -errno : fd;
	}
	if (d)
		closedir(d);
	return fd;
}

long bind_cdev(int cdev, int iommufd, uint32_t *devid)
{
	struct {
		uint32_t argsz, flags;
		int32_t iommufd;
		uint32_t devid;
	} arg = { sizeof(arg), 0, iommufd, 0 };
	long rc = do_ioctl(cdev, VFIO_DEVICE_BIND_IOMMUFD, &arg);

	if (devid)
		*devid = arg.devid;
	return rc;
}

long attach_pt(int cdev, uint32_t *pt_id)
{
	struct vfio_device_attach_iommufd_pt arg = { .argsz = 12, .pt_id = *pt_id };
	long rc = do_ioctl(cdev, VFIO_DEVICE_ATTACH_IOMMUFD_PT, &arg);

	*pt_id = arg.pt_id;
	return rc;
}

long detach_pt(int cdev)
{
	struct vfio_device_detach_iommufd_pt arg = { .argsz = 8 };

	return do_ioctl(cdev, VFIO_DEVICE_DETACH_IOMMUFD_PT, &arg);
}

long ioas_alloc(int iommufd, uint32_t *id)
{
	struct iommu_ioas_alloc arg = { .size = sizeof(arg) };
	long rc = do_ioctl(iommufd, IOMMU_IOAS_ALLOC, &arg);

	*id = arg.out_ioas_id;
	return rc;
}

long destroy_id(int iommufd, uint32_t id)
{
	struct iommu_destroy arg = { .size = sizeof(arg), .id = id };

	return do_ioctl(iommufd, IOMMU_DESTROY, &arg);
}

static long ioas_map(struct client *client, uint32_t flags, const void *memory, uint64_t iova, uint64_t size)
{
	struct iommu_ioas_map arg = {
		.size = sizeof(arg),
		.flags = IOMMU_IOAS_MAP_FIXED_IOVA,
		.ioas_id = client->ioas,
		.user_va = (uintptr_t)memory,
		.length = size,
		.iova = iova,
	};

	if (flags & VFIO_DMA_MAP_FLAG_READ)
		arg.flags |= IOMMU_IOAS_MAP_READABLE;
	if (flags & VFIO_DMA_MAP_FLAG_WRITE)
		arg.flags |= IOMMU_IOAS_MAP_WRITEABLE;
	return do_ioctl(client->container, IOMMU_IOAS_MAP, &arg);
}

static long ioas_unmap(struct client *client, uint32_t flags, uint64_t iova, uint64_t *size)
{
	struct iommu_ioas_unmap arg = {
		.size = sizeof(arg),
		.ioas_id = client->ioas,
		.iova = iova,
		.length = flags & VFIO_DMA_UNMAP_FLAG_ALL ? UINT64_MAX : *size,
	};
	long rc = do_ioctl(client->container, IOMMU_IOAS_UNMAP, &arg);

	*size = arg.length;
	return rc;
}

/* ---- */

void close_fd(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

long set_container(int group, int container)
{
	return do_ioctl(group, VFIO_GROUP_SET_CONTAINER, &container);
}

uint32_t group_flags(int group)
{
	struct vfio_group_status status = { .argsz = sizeof(status) };

	assert_int_equal(do_ioctl(group, VFIO_GROUP_GET_STATUS, &status), 0);
	return status.flags;
}

long map(struct client *client, uint32_t flags, const void *memory, uint64_t iova, uint64_t size)
{
	struct vfio_iommu_type1_dma_map arg = {
		.argsz = sizeof(arg),
		.flags = flags,
		.vaddr = (uintptr_t)memory,
		.iova = iova,
		.size = size,
	};

	if (client->mode && client->mode->native)
		return ioas_map(client, flags, memory, iova, size);
	return do_ioctl(client->container, VFIO_IOMMU_MAP_DMA, &arg);
}

long unmap(struct client *client, uint32_t flags, uint64_t iova, uint64_t *size)
{
	struct vfio_iommu_type1_dma_unmap arg = {
		.argsz = sizeof(arg),
		.flags = flags,
		.iova = iova,
		.size = *size,
	};
	long rc;

	if (client->mode && client->mode->native)
		return ioas_unmap(client, flags, iova, size);
	rc = do_ioctl(client->container, VFIO_IOMMU_UNMAP_DMA, &arg);
	*size = arg.size;
	return rc;
}

void unmap_all(struct client *client)
{
	uint64_t size = 0;

	assert_int_equal(unmap(client, VFIO_DMA_UNMAP_FLAG_ALL, 0, &size), 0);
}

/* ---- sizes */

/* One call whose argument of len bytes ends at end, with the byte behind the structure set. */
static long sweep_one(struct client *client, const struct sweep *sweep, uint8_t *end, uint32_t argsz,
		      int behind)
{
	uint32_t len = argsz > sweep->size ? argsz : sweep->size;
	uint8_t full[256] = { 0 };
	long rc;

	assert_true(len <= sizeof(full));
	sweep->fill(client, full);
	memcpy(full, &argsz, sizeof(argsz));
	memset(full + sweep->size, behind, sizeof(full) - sweep->size);
	memcpy(end - len, full, len);
	rc = do_ioctl(sweep->fd, sweep->request, end - len);
	if (rc >= 0 && sweep->undo)
		sweep->undo(client);
	return rc;
}

void sweep_argsz(struct client *client, const struct sweep *sweep)
{
	uint8_t *two = mmap(NULL, 2 * PG, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	uint8_t *end = two + PG;

	assert_ptr_not_equal(two, MAP_FAILED);
	assert_int_equal(mprotect(end, PG, PROT_NONE), 0);
	assert_int_equal(do_ioctl(sweep->fd, sweep->request, NULL), -EFAULT);
	assert_int_equal(do_ioctl(sweep->fd, sweep->request, end), -EFAULT);
	assert_int_equal(do_ioctl(sweep->fd, sweep->request, end - sweep->fixed + 1), -EFAULT);
	assert_int_equal(sweep_one(client, sweep, end, 0, 0), -EINVAL);
	assert_int_equal(sweep_one(client, sweep, end, sweep->size - 1, 0), -EINVAL);
	assert_int_equal(sweep_one(client, sweep, end, sweep->size, 0), sweep->result);
	assert_int_equal(sweep_one(client, sweep, end, sweep->size + 1, 0), sweep->result);
	assert_int_equal(sweep_one(client, sweep, end, sweep->size + 1, 0xff), sweep->result);
	munmap(two, 2 * PG);
}

/* ---- the runner */

struct run {
	const struct mode *mode;
	const struct test *test;
	struct client client;
};

static void native_device(struct client *client)
{
	uint32_t pt = client->ioas;

	client->device = open_cdev(bdf(), O_RDWR);
	assert_true(client->device >= 0);
	assert_int_equal(bind_cdev(client->device, client->container, NULL), 0);
	assert_int_equal(attach_pt(client->device, &pt), 0);
}

void reopen_device(struct client *client)
{
	close_fd(&client->device);
	if (client->mode->native)
		native_device(client);
	else
		client->device = get_device(client->group, bdf());
	assert_true(client->device >= 0);
}

static void client_open(struct client *client)
{
	if (client->mode->native) {
		client->container = open_iommufd();
		assert_true(client->container >= 0);
		assert_int_equal(ioas_alloc(client->container, &client->ioas), 0);
		native_device(client);
		return;
	}
	client->container = open_container(client->mode);
	assert_true(client->container >= 0);
	client->group = open_group(bdf());
	assert_true(client->group >= 0);
	assert_int_equal(set_container(client->group, client->container), 0);
	assert_int_equal(do_ioctl_value(client->container, VFIO_SET_IOMMU, client->mode->type), 0);
	client->device = get_device(client->group, bdf());
	assert_true(client->device >= 0);
}

static int set_up(void **state)
{
	struct run *run = *state;

	run->client = (struct client){ .mode = run->mode, .container = -1, .group = -1, .device = -1 };
	run->client.memory = mmap(NULL, MEMORY_PAGES * PG, PROT_READ | PROT_WRITE,
				  MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
	return run->client.memory == MAP_FAILED;
}

static int tear_down(void **state)
{
	struct run *run = *state;

	close_fd(&run->client.device);
	close_fd(&run->client.group);
	close_fd(&run->client.container);
	munmap(run->client.memory, MEMORY_PAGES * PG);
	return 0;
}

static void run_one(void **state)
{
	struct run *run = *state;

	client_open(&run->client);
	run->test->fn(&run->client);
}

/* Where /dev/vfio/vfio is an IOMMUFD, those modes that want one are run with it, and no others. */
static unsigned int choose_modes(void)
{
	if (!getenv("UVFIO_TEST_CONTAINER_IS_IOMMUFD"))
		return ~0u;
	modes[2].container = modes[3].container = "/dev/vfio/vfio";
	return COMPAT;
}

int run_in_modes(const char *suite, const struct test *tests, size_t nr)
{
	struct CMUnitTest *units = calloc(nr * COUNT(modes), sizeof(*units));
	struct run *runs = calloc(nr * COUNT(modes), sizeof(*runs));
	unsigned int which = choose_modes();
	size_t n = 0;
	int failed;

	for (size_t m = 0; m < COUNT(modes); m++) {
		for (size_t i = 0; i < nr; i++) {
			char *name = NULL;

			if (!(tests[i].modes & which & 1u << m))
				continue;
			if (asprintf(&name, "%s [%s]", tests[i].name, modes[m].name) < 0)
				return 1;
			runs[n].mode = &modes[m];
			runs[n].test = &tests[i];
			units[n].name = name;
			units[n].test_func = run_one;
			units[n].setup_func = set_up;
			units[n].teardown_func = tear_down;
			units[n].initial_state = &runs[n];
			n++;
		}
	}
	failed = _cmocka_run_group_tests(suite, units, n, NULL, NULL);
	for (size_t i = 0; i < n; i++)
		free((char *)(uintptr_t)units[i].name);
	free(units);
	free(runs);
	return failed;
}
