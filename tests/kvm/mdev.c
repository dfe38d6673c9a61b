/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A mediated device whose driver (needy.c) wants a VM: the group is added before the device is opened, after
 * that has failed, taken away while it is open, moved; and the same by its cdev.
 */
#define PARENT "needy"
#include "../mdev/mdev.h"

#include <linux/kvm.h>

#include "uapi/iommufd.h"

#define SKIP 77

static int kvm;

struct vm {
	int fd, device;
};

static struct vm new_vm(void)
{
	struct kvm_create_device create = { .type = KVM_DEV_TYPE_VFIO };
	struct vm vm = { .fd = ioctl(kvm, KVM_CREATE_VM, 0) };

	CHECK(vm.fd >= 0 && !ioctl(vm.fd, KVM_CREATE_DEVICE, &create));
	vm.device = (int)create.fd;
	return vm;
}

static void end_vm(struct vm *vm)
{
	CHECK(!close(vm->fd) && !close(vm->device));
}

static int change(const struct vm *vm, uint64_t which, int32_t fd)
{
	struct kvm_device_attr attr = { .group = KVM_DEV_VFIO_GROUP, .attr = which, .addr = (uintptr_t)&fd };

	return ioctl(vm->device, KVM_SET_DEVICE_ATTR, &attr);
}

static uint32_t get(int device, unsigned int reg)
{
	uint32_t value = 0;

	CHECK(pread(device, &value, 4, 4 * reg) == 4);
	return value;
}

static uint32_t seen[2];

/* Is there a VM; how often one came, and went, since the last time. */
static void told(int device, uint32_t now, uint32_t came, uint32_t went)
{
	CHECK(get(device, 0) == now);
	CHECK(get(device, 1) - seen[0] == came);
	CHECK(get(device, 2) - seen[1] == went);
	seen[0] += came;
	seen[1] += went;
}

static void by_group(const char *uuid)
{
	struct vm a = new_vm(), b = new_vm();
	int container = open("/dev/vfio/vfio", O_RDWR), group = open(group_of(uuid), O_RDWR), device;

	CHECK(!ioctl(group, VFIO_GROUP_SET_CONTAINER, &container));
	CHECK(!ioctl(container, VFIO_SET_IOMMU, VFIO_TYPE1v2_IOMMU));
	FAILS(ioctl(group, VFIO_GROUP_GET_DEVICE_FD, uuid), ESRCH);
	CHECK(!change(&a, KVM_DEV_VFIO_GROUP_ADD, group));
	CHECK((device = ioctl(group, VFIO_GROUP_GET_DEVICE_FD, uuid)) >= 0);
	told(device, 1, 1, 0);
	CHECK(!change(&b, KVM_DEV_VFIO_GROUP_ADD, group));
	told(device, 1, 1, 1);
	CHECK(!change(&a, KVM_DEV_VFIO_GROUP_DEL, group));
	told(device, 1, 0, 0);
	end_vm(&b);
	told(device, 0, 0, 1);
	CHECK(!change(&a, KVM_DEV_VFIO_GROUP_ADD, group));
	told(device, 1, 1, 0);
	for (uint32_t i = 0; i < 5; i++) {
		close(device);
		CHECK((device = ioctl(group, VFIO_GROUP_GET_DEVICE_FD, uuid)) >= 0);
		told(device, 1, 1, 1);
	}
	close(group);
	CHECK(!close(a.device));
	told(device, 0, 0, 1);
	close(device);
	close(a.fd);
	close(container);
	CHECK((group = open(group_of(uuid), O_RDWR)) >= 0);
	close(group);
	memset(seen, 0, sizeof(seen)); /* the next one's */
}

static void unmapped(int device, int container)
{
	void *memory = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	uint32_t iova = 0x10000, one = 1;

	CHECK(!client_map(container, memory, iova, 4096));
	CHECK(pwrite(device, &iova, 4, 12) == 4 && get(device, 3) == 1);
	CHECK(client_unmap(container, iova, 4096) == 4096 && get(device, 3) == 0);
	CHECK(!client_map(container, memory, iova, 4096));
	CHECK(pwrite(device, &one, 4, 16) == 4);
	told(device, 0, 0, 1);
	FAILS(pwrite(device, &iova, 4, 12), EFAULT); /* who is told of no unmap cannot pin */
	FAILS(pwrite(device, &one, 4, 16), EFAULT);
	CHECK(client_unmap(container, iova, 4096) == 4096);
	munmap(memory, 4096);
}

static void by_late_notifier(void)
{
	struct vm vm = new_vm();
	int container = open("/dev/vfio/vfio", O_RDWR), group = open(group_of(TWO), O_RDWR), device;

	CHECK(!ioctl(group, VFIO_GROUP_SET_CONTAINER, &container));
	CHECK(!ioctl(container, VFIO_SET_IOMMU, VFIO_TYPE1v2_IOMMU));
	CHECK(!change(&vm, KVM_DEV_VFIO_GROUP_ADD, group));
	CHECK((device = ioctl(group, VFIO_GROUP_GET_DEVICE_FD, TWO)) >= 0);
	told(device, 1, 1, 0);
	unmapped(device, container);
	close(device);
	end_vm(&vm);
	close(group);
	close(container);
}

static int open_cdev(const char *uuid)
{
	char link[128], dev[32] = "", path[64];
	unsigned int group;
	int fd;

	CHECK(sscanf(group_of(uuid), "/dev/vfio/%u", &group) == 1);
	snprintf(link, sizeof(link), DEVICES "%s/vfio-dev/vfio%u/dev", uuid, group);
	fd = open(link, O_RDONLY);
	CHECK(fd >= 0 && read(fd, dev, sizeof(dev) - 1) > 0 && !close(fd));
	snprintf(path, sizeof(path), "/dev/vfio/devices/vfio%u", group);
	return open(path, O_RDWR);
}

static void by_cdev(void)
{
	struct vfio_device_bind_iommufd bind = { .argsz = sizeof(bind),
						 .iommufd = open("/dev/iommu", O_RDWR) };
	struct vm vm = new_vm();
	int device = open_cdev(ONE);

	CHECK(device >= 0 && bind.iommufd >= 0);
	FAILS(ioctl(device, VFIO_DEVICE_BIND_IOMMUFD, &bind), ESRCH);
	CHECK(!change(&vm, KVM_DEV_VFIO_GROUP_ADD, device));
	CHECK(!ioctl(device, VFIO_DEVICE_BIND_IOMMUFD, &bind));
	CHECK(get(device, 0) == 1);
	CHECK(!change(&vm, KVM_DEV_VFIO_GROUP_DEL, device));
	CHECK(get(device, 0) == 0);
	CHECK(!change(&vm, KVM_DEV_VFIO_GROUP_ADD, device));
	CHECK(get(device, 0) == 1);
	end_vm(&vm);
	CHECK(get(device, 0) == 0);
	close(device);
	close(bind.iommufd);
}

int main(void)
{
	kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC);
	if (kvm < 0 || ioctl(kvm, KVM_GET_API_VERSION, 0) != KVM_API_VERSION) {
		printf("SKIP: /dev/kvm does not work here (%s)\n", strerror(errno));
		return SKIP;
	}
	CHECK(!create("needy-op", ONE) && !create("needy-late", TWO));
	by_group(ONE);
	by_late_notifier();
	by_cdev();
	CHECK(!remove_mdev(ONE) && !remove_mdev(TWO));
	return 0;
}
