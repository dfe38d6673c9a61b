/* SPDX-License-Identifier: BSD-2-Clause */
/* libuvfio as a program that links it sees it: nothing but its headers and the kernel's. */
#include <uvfio/kvm.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/vfio.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#define BDF "0000:00:01.0"

struct client {
	struct uvfio_machine *machine;
	int container, group, device;
};

/* What is said of a call that fails. */
static void test_trace(void **state)
{
	int err = dup(STDERR_FILENO), file = memfd_create("stderr", MFD_CLOEXEC), container;
	struct uvfio_machine *machine = uvfio_machine_new(NULL, NULL, 0);
	char said[512] = "";

	(void)state;
	assert_int_equal(uvfio_set_trace("ioctl,nonsense"), -EINVAL);
	container = uvfio_open(machine, "/dev/vfio/vfio", O_RDWR);
	dup2(file, STDERR_FILENO);
	assert_int_equal(uvfio_set_trace("ioctl"), 0);
	assert_int_equal(uvfio_ioctl(container, VFIO_SET_IOMMU, (void *)99), -EINVAL);
	assert_int_equal(uvfio_set_trace(""), 0);
	assert_int_equal(uvfio_ioctl(container, VFIO_SET_IOMMU, (void *)98), -EINVAL);
	dup2(err, STDERR_FILENO);
	assert_true(pread(file, said, sizeof(said) - 1, 0) > 0);
	assert_non_null(strstr(said, "VFIO_SET_IOMMU /dev/vfio/vfio 99 = -1 EINVAL: "));
	assert_null(strstr(said, "98"));
	uvfio_close(container);
	uvfio_machine_free(machine);
	close(err);
	close(file);
}

static int count_fds(void)
{
	DIR *dir = opendir("/proc/self/fd");
	int n = 0;

	while (readdir(dir))
		n++;
	closedir(dir);
	return n;
}

static struct uvfio_machine *make(const char *description)
{
	char err[512];
	struct uvfio_machine *machine = uvfio_machine_new(description, err, sizeof(err));

	if (!machine)
		fail_msg("%s", err);
	assert_string_equal(err, "");
	return machine;
}

static void open_client(struct client *c)
{
	c->machine = make("device nvme,size=1M\n");
	c->container = uvfio_open(c->machine, "/dev/vfio/vfio", O_RDWR);
	c->group = uvfio_open(c->machine, "/dev/vfio/1", O_RDWR | O_CLOEXEC);
	assert_true(c->container >= 0 && c->group >= 0);
	assert_int_equal(uvfio_ioctl(c->group, VFIO_GROUP_SET_CONTAINER, &c->container), 0);
	assert_int_equal(uvfio_ioctl(c->container, VFIO_SET_IOMMU, (void *)VFIO_TYPE1v2_IOMMU), 0);
	c->device = (int)uvfio_ioctl(c->group, VFIO_GROUP_GET_DEVICE_FD, (void *)BDF);
	assert_true(c->device >= 0);
}

static void close_client(struct client *c)
{
	assert_int_equal(uvfio_close(c->device), 0);
	assert_int_equal(uvfio_close(c->group), 0);
	assert_int_equal(uvfio_close(c->container), 0);
	uvfio_machine_free(c->machine);
}

static void test_machines(void **state)
{
	char err[128] = "left alone";

	(void)state;
	assert_null(uvfio_machine_new("device nvm\n", err, sizeof(err)));
	assert_string_equal(err, "there is no device model nvm: known are nvme, ioat, mtty, and plug-ins by "
				 "their path, ./NAME.so");
	assert_null(uvfio_machine_new("device nvm\n", err, 8));
	assert_string_equal(err, "there i");
	assert_null(uvfio_machine_new("device nvm\n", NULL, 0));
	uvfio_machine_free(make(NULL));
	uvfio_machine_free(make(""));
	uvfio_machine_free(NULL);
	assert_string_equal(uvfio_version(), UVFIO_VERSION);
}

static void test_nodes(void **state)
{
	struct uvfio_machine *m = make(NULL);
	int fd, other;

	(void)state;
	errno = 0;
	assert_int_equal(uvfio_open(m, "/dev/vfio/2", O_RDWR), -ENOENT);
	assert_int_equal(uvfio_open(m, "/dev/null", O_RDWR), -ENOENT);
	fd = uvfio_open(m, "/dev/vfio/1", O_RDWR | O_CLOEXEC);
	assert_true(fd >= 0);
	assert_int_equal(fcntl(fd, F_GETFD), FD_CLOEXEC);
	assert_int_equal(uvfio_open(m, "/dev/vfio/1", O_RDWR), -EBUSY);
	assert_int_equal(uvfio_close(fd), 0);
	assert_int_equal(uvfio_close(fd), -EBADF);
	assert_int_equal(uvfio_ioctl(fd, VFIO_GET_API_VERSION, NULL), -EBADF);

	/* Containers are opened as often as one likes. */
	fd = uvfio_open(m, "/dev/vfio/vfio", O_RDWR);
	other = uvfio_open(m, "/dev/vfio/vfio", O_RDWR);
	assert_true(fd >= 0 && other >= 0 && fd != other);
	assert_int_equal(fcntl(fd, F_GETFD), 0);
	assert_int_equal(uvfio_ioctl(fd, VFIO_GET_API_VERSION, NULL), VFIO_API_VERSION);
	assert_int_equal(uvfio_ioctl(other, VFIO_CHECK_EXTENSION, (void *)VFIO_TYPE1v2_IOMMU), 1);
	assert_int_equal(uvfio_close(fd), 0);
	assert_int_equal(uvfio_close(other), 0);
	uvfio_machine_free(m);
	assert_int_equal(errno, 0);
}

#ifndef VFIO_DEVICE_BIND_IOMMUFD
#define VFIO_DEVICE_BIND_IOMMUFD _IO(VFIO_TYPE, VFIO_BASE + 18)
#endif

static void test_cdev(void **state)
{
	struct uvfio_machine *m = make("device nvme,size=1M\nvfio nodes=iommufd\n");
	struct vfio_device_info info = { .argsz = sizeof(info) };
	int iommufd = uvfio_open(m, "/dev/iommu", O_RDWR),
	    device = uvfio_open(m, "/dev/vfio/devices/vfio0", O_RDWR);
	uint32_t bind[4] = { sizeof(bind), 0, (uint32_t)iommufd, 0 };

	(void)state;
	assert_true(iommufd >= 0 && device >= 0);
	assert_int_equal(uvfio_open(m, "/dev/vfio/vfio", O_RDWR), -ENOENT);
	assert_int_equal(uvfio_open(m, "/dev/vfio/1", O_RDWR), -ENOENT);
	assert_int_equal(uvfio_open(m, "/dev/vfio/devices/vfio1", O_RDWR), -ENOENT);
	assert_int_equal(uvfio_ioctl(device, VFIO_DEVICE_GET_INFO, &info), -EINVAL);
	assert_int_equal(uvfio_ioctl(device, VFIO_DEVICE_BIND_IOMMUFD, bind), 0);
	assert_int_equal(uvfio_ioctl(device, VFIO_DEVICE_GET_INFO, &info), 0);
	assert_int_equal(uvfio_close(iommufd), 0);
	assert_int_equal(uvfio_close(device), 0);
	uvfio_machine_free(m);
	m = make("device nvme,size=1M\nvfio nodes=legacy\n");
	assert_int_equal(uvfio_open(m, "/dev/iommu", O_RDWR), -ENOENT);
	assert_int_equal(uvfio_open(m, "/dev/vfio/devices/vfio0", O_RDWR), -ENOENT);
	uvfio_machine_free(m);
	m = make("device nvme,size=1M,noiommu=on\nvfio nodes=all\n");
	assert_int_equal(uvfio_open(m, "/dev/vfio/devices/vfio0", O_RDWR), -ENOENT);
	uvfio_machine_free(m);
}

static void test_foreign_descriptors(void **state)
{
	int fd = eventfd(0, 0);
	char byte = 0;

	(void)state;
	assert_int_equal(uvfio_ioctl(fd, VFIO_GET_API_VERSION, NULL), -EBADF);
	assert_int_equal(uvfio_pread(fd, &byte, 1, 0), -EBADF);
	assert_int_equal(uvfio_pwrite(fd, &byte, 1, 0), -EBADF);
	assert_int_equal(uvfio_mmio_read(fd, 0, &byte, 1), -EBADF);
	assert_int_equal(uvfio_mmio_write(fd, 0, &byte, 1), -EBADF);
	assert_int_equal(uvfio_close(fd), -EBADF);
	assert_int_equal(uvfio_close(-1), -EBADF);
	assert_int_equal(close(fd), 0);
}

static void test_regions(void **state)
{
	struct vfio_region_info info = { .argsz = sizeof(info), .index = VFIO_PCI_CONFIG_REGION_INDEX };
	uint32_t id = 0, low = 0, all = ~0u;
	uint64_t cap = 0, again = 0;
	struct client c;

	(void)state;
	open_client(&c);
	assert_int_equal(uvfio_ioctl(c.device, VFIO_DEVICE_GET_REGION_INFO, &info), 0);
	assert_int_equal(uvfio_pread(c.device, &id, 4, (off_t)info.offset), 4);
	assert_true(id && id != all);
	assert_int_equal(uvfio_pread(c.device, &id, 4, -1), -EINVAL);
	assert_int_equal(uvfio_pwrite(c.device, &id, 4, -1), -EINVAL);
	/* BAR 0 takes a size probe and shows only its address bits. */
	assert_int_equal(uvfio_pwrite(c.device, &all, 4, (off_t)info.offset + 0x10), 4);
	assert_int_equal(uvfio_pread(c.device, &low, 4, (off_t)info.offset + 0x10), 4);
	assert_true(low != all && (low & 0xf) == 4);

	info = (struct vfio_region_info){ .argsz = sizeof(info), .index = VFIO_PCI_BAR0_REGION_INDEX };
	assert_int_equal(uvfio_ioctl(c.device, VFIO_DEVICE_GET_REGION_INFO, &info), 0);
	assert_int_equal(uvfio_pread(c.device, &cap, 8, (off_t)info.offset), 8);
	assert_int_equal(uvfio_mmio_read(c.device, info.offset, &again, 8), 0);
	assert_true(cap && cap == again);
	assert_int_equal(uvfio_mmio_read(c.device, info.offset, &again, 0), -EINVAL);
	assert_int_equal(uvfio_mmio_write(c.device, info.offset, &again, 65), -EINVAL);
	assert_int_equal(uvfio_mmio_read(c.group, 0, &again, 4), -ENODEV);
	close_client(&c);
}

/* ---- a controller that is brought up, and reads and writes this process's memory */

#define REG_CC   0x14
#define REG_CSTS 0x1c
#define REG_AQA  0x24
#define REG_ASQ  0x28
#define REG_ACQ  0x30
#define REG_DB   0x1000

static void poke(const struct client *c, uint64_t reg, uint64_t value, unsigned int size)
{
	assert_int_equal(uvfio_mmio_write(c->device, reg, &value, size), 0);
}

static void wait_ready(const struct client *c)
{
	for (int i = 0; i < 2000; i++) {
		uint32_t csts = 0;

		assert_int_equal(uvfio_mmio_read(c->device, REG_CSTS, &csts, 4), 0);
		if (csts & 1)
			return;
		usleep(1000);
	}
	fail_msg("the controller does not become ready");
}

/* Identify controller with the queues in page 0 and 1 and the answer in page 2 of memory at iova. */
static void identify(const struct client *c, uint8_t *memory, uint64_t iova)
{
	volatile uint16_t *status = (volatile uint16_t *)(memory + 4096 + 14);
	uint64_t prp = iova + 8192;

	poke(c, REG_AQA, 0x00070007, 4);
	poke(c, REG_ASQ, iova, 8);
	poke(c, REG_ACQ, iova + 4096, 8);
	poke(c, REG_CC, 0x00460001, 4);
	wait_ready(c);
	memory[0] = 0x06;
	memory[2] = 42;
	memcpy(memory + 24, &prp, sizeof(prp));
	memory[40] = 1;
	poke(c, REG_DB, 1, 4);
	for (int i = 0; i < 2000 && !*status; i++)
		usleep(1000);
	assert_int_equal(*status, 1); /* the phase bit, and success */
}

static void test_dma(void **state)
{
	struct vfio_iommu_type1_dma_map map = { .argsz = sizeof(map), .iova = 1 << 20, .size = 3 * 4096 };
	struct vfio_iommu_type1_dma_unmap unmap = { .argsz = sizeof(unmap),
						    .iova = 1 << 20,
						    .size = 3 * 4096 };
	uint8_t *memory = mmap(NULL, 3 * 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	uint16_t command = 6; /* memory decoding and bus mastering */
	struct client c;

	(void)state;
	open_client(&c);
	assert_int_equal(uvfio_pwrite(c.device, &command, 2, (VFIO_PCI_CONFIG_REGION_INDEX * 1ll << 40) + 4),
			 2);
	map.vaddr = (uintptr_t)memory;
	map.flags = VFIO_DMA_MAP_FLAG_READ | VFIO_DMA_MAP_FLAG_WRITE;
	assert_int_equal(uvfio_ioctl(c.container, VFIO_IOMMU_MAP_DMA, &map), 0);
	assert_int_equal(uvfio_ioctl(c.container, VFIO_IOMMU_MAP_DMA, &map), -EEXIST);
	identify(&c, memory, map.iova);
	assert_memory_equal(memory + 8192 + 768, "nqn.", 4);
	assert_int_equal(uvfio_ioctl(c.container, VFIO_IOMMU_UNMAP_DMA, &unmap), 0);
	assert_int_equal(unmap.size, 3 * 4096);
	close_client(&c);
	munmap(memory, 3 * 4096);
}

static void test_nothing_is_left(void **state)
{
	struct client c;
	int before, round;

	(void)state;
	open_client(&c); /* what is made once is made now */
	close_client(&c);
	before = count_fds();
	for (round = 0; round < 10; round++) {
		open_client(&c);
		/* Any order of closing will do. */
		assert_int_equal(uvfio_close(c.container), 0);
		assert_int_equal(uvfio_close(round & 1 ? c.group : c.device), 0);
		assert_int_equal(uvfio_close(round & 1 ? c.device : c.group), 0);
		uvfio_machine_free(c.machine);
	}
	assert_int_equal(count_fds(), before);
}

static void test_two_machines(void **state)
{
	struct client a, b;

	(void)state;
	open_client(&a);
	open_client(&b);
	assert_int_equal(uvfio_ioctl(a.container, VFIO_GET_API_VERSION, NULL), 0);
	close_client(&a);
	assert_int_equal(uvfio_ioctl(b.group, VFIO_GROUP_UNSET_CONTAINER, NULL), -EBUSY);
	close_client(&b);
}

static sigjmp_buf crash;

static void jump_out(int sig)
{
	siglongjmp(crash, sig);
}

/* In a child: the library's copies are its own affair, the program's faults the program's. */
static int catch_faults(void)
{
	struct sigaction own = { .sa_handler = jump_out }, old;
	char *gone = mmap(NULL, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct client c;

	open_client(&c);
	if (sigaction(SIGSEGV, &own, &old) || uvfio_catch_faults() || uvfio_catch_faults())
		return 1;
	if (uvfio_pread(c.device, gone, 4, VFIO_PCI_CONFIG_REGION_INDEX * (1LL << 40)) != -EFAULT)
		return 2;
	if (!sigsetjmp(crash, 1)) {
		*(volatile char *)gone = 1;
		return 3;
	}
	return 0;
}

static void test_catch_faults(void **state)
{
	pid_t pid = fork();
	int status;

	(void)state;
	if (!pid)
		_exit(catch_faults());
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
}

/* A VM of the library's, and a group of a machine's. */
static void test_kvm_vfio(void **state)
{
	struct kvm_create_device create = { .type = KVM_DEV_TYPE_VFIO };
	struct kvm_device_attr attr = { .group = KVM_DEV_VFIO_GROUP, .attr = KVM_DEV_VFIO_GROUP_ADD };
	struct client c;
	int kvm = uvfio_kvm_open(O_RDWR), vm = (int)uvfio_ioctl(kvm, KVM_CREATE_VM, NULL);

	(void)state;
	open_client(&c);
	assert_true(vm >= 0);
	assert_int_equal(uvfio_ioctl(vm, KVM_CREATE_DEVICE, &create), 0);
	attr.addr = (uintptr_t)&c.group;
	assert_int_equal(uvfio_ioctl((int)create.fd, KVM_SET_DEVICE_ATTR, &attr), 0);
	assert_int_equal(uvfio_ioctl((int)create.fd, KVM_SET_DEVICE_ATTR, &attr), -EEXIST);
	attr.addr = (uintptr_t)&c.container;
	assert_int_equal(uvfio_ioctl((int)create.fd, KVM_SET_DEVICE_ATTR, &attr), -EINVAL);
	uvfio_close(vm);
	uvfio_close((int)create.fd);
	close_client(&c);
	uvfio_close(kvm);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_trace),
		cmocka_unit_test(test_machines),
		cmocka_unit_test(test_nodes),
		cmocka_unit_test(test_cdev),
		cmocka_unit_test(test_foreign_descriptors),
		cmocka_unit_test(test_regions),
		cmocka_unit_test(test_dma),
		cmocka_unit_test(test_nothing_is_left),
		cmocka_unit_test(test_two_machines),
		cmocka_unit_test(test_catch_faults),
		cmocka_unit_test(test_kvm_vfio),
	};

	return cmocka_run_group_tests_name("public", tests, NULL, NULL);
}
