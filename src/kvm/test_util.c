/* SPDX-License-Identifier: BSD-2-Clause */
#include "kvm/test_util.h"

#include "iommu/client.h"

#include <fcntl.h>
#include <sys/eventfd.h>
#include <unistd.h>

long test_ioctl(int fd, unsigned long request, void *arg)
{
	struct file *file = fdtable_get(fd);
	long rc;

	if (!file)
		return -EBADF;
	rc = file_ioctl(file, &self_caller, request, (uintptr_t)arg);
	file_put(file);
	return rc;
}

long test_close(int fd)
{
	if (!fdtable_is_ours(fd))
		return -EBADF;
	fdtable_close(fd);
	return close(fd);
}

void test_vm_open(struct test_vm *vm)
{
	struct file *file;
	int dev;

	client_is_self();
	assert_int_equal(kvm_dev_open(O_RDWR, &file), 0);
	dev = fdtable_install(file, O_CLOEXEC);
	vm->fd = (int)test_ioctl(dev, KVM_CREATE_VM, NULL);
	assert_true(vm->fd >= 0);
	file = fdtable_get(vm->fd);
	vm->kvm = kvm_of_file(file);
	file_put(file);
	assert_non_null(vm->kvm);
	assert_int_equal(test_close(dev), 0);
}

void test_vm_close_file(struct test_vm *vm)
{
	assert_int_equal(test_close(vm->fd), 0);
	vm->fd = -1;
}

void test_vm_close(struct test_vm *vm)
{
	if (vm->fd >= 0)
		test_vm_close_file(vm);
	kvm_put(vm->kvm);
}

int test_eventfd(void)
{
	int fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);

	assert_true(fd >= 0);
	return fd;
}

uint64_t test_take(int fd)
{
	uint64_t count;

	return read(fd, &count, sizeof(count)) == sizeof(count) ? count : 0;
}

bool test_wait_for(_Atomic uint32_t *at, uint32_t value)
{
	for (int i = 0; i < 5000 && atomic_load(at) != value; i++)
		usleep(1000);
	return atomic_load(at) == value;
}

long test_ioeventfd(struct test_vm *vm, uint64_t addr, uint32_t len, uint32_t flags, uint64_t data, int fd)
{
	struct kvm_ioeventfd io = { .datamatch = data, .addr = addr, .len = len, .fd = fd, .flags = flags };

	return test_ioctl(vm->fd, KVM_IOEVENTFD, &io);
}

bool test_write(struct test_vm *vm, uint64_t addr, unsigned int len, uint64_t value)
{
	return kvm_io(vm->kvm, NULL, KVM_MMIO_BUS, true, addr, len, &value) == len;
}
