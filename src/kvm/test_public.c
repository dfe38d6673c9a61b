/* SPDX-License-Identifier: BSD-2-Clause */
/* <uvfio/kvm.h> as a VMM uses it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "uvfio/kvm.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

static int new_vm(int *kvm, struct uvfio_kvm **vm)
{
	int fd;

	*kvm = uvfio_kvm_open(O_RDWR | O_CLOEXEC);
	assert_true(*kvm >= 0);
	assert_int_equal(uvfio_ioctl(*kvm, KVM_GET_API_VERSION, NULL), KVM_API_VERSION);
	fd = (int)uvfio_ioctl(*kvm, KVM_CREATE_VM, NULL);
	assert_true(fd >= 0);
	*vm = uvfio_kvm_get(fd);
	assert_non_null(*vm);
	return fd;
}

static uint64_t count_of(int fd)
{
	uint64_t count;

	return read(fd, &count, sizeof(count)) == sizeof(count) ? count : 0;
}

static void test_descriptors(void **state)
{
	struct uvfio_kvm *vm;
	int kvm, fd = new_vm(&kvm, &vm);
	uint32_t value = 1;

	(void)state;
	assert_null(uvfio_kvm_get(kvm));
	assert_null(uvfio_kvm_get(-1));
	assert_null(uvfio_kvm_get(0));
	assert_int_equal(uvfio_ioctl(kvm, KVM_IOEVENTFD, &value), -EINVAL); /* a VM's */
	assert_int_equal(uvfio_ioctl(fd, KVM_GET_API_VERSION, NULL), -ENOTTY);
	assert_int_equal(uvfio_close(kvm), 0);
	assert_int_equal(uvfio_close(fd), 0);
	assert_null(uvfio_kvm_get(fd));
	assert_int_equal(uvfio_kvm_io(vm, UVFIO_KVM_MMIO, true, 0, 4, &value), 0); /* it lives on */
	uvfio_kvm_put(vm);
	uvfio_kvm_put(NULL);
}

/* Which parts of a wide access are whose. */
static bool refuse(void *arg, uint64_t addr, unsigned int len, const void *data)
{
	(void)addr, (void)len, (void)data;
	++*(int *)arg;
	return false;
}

static void test_pieces(void **state)
{
	static const struct uvfio_kvm_io_ops refuses = { .write = refuse };
	struct uvfio_kvm_range *range;
	struct uvfio_kvm *vm;
	int kvm, fd = new_vm(&kvm, &vm), event = eventfd(0, EFD_NONBLOCK);
	struct kvm_ioeventfd io = { .addr = 0x1ff8, .len = 8, .fd = event };
	unsigned char data[64] = { 0 };
	int refused = 0;

	(void)state;
	assert_int_equal(uvfio_ioctl(fd, KVM_IOEVENTFD, &io), 0);
	assert_int_equal(uvfio_kvm_io(vm, UVFIO_KVM_MMIO, true, 0x1ff8, 16, data), 8);
	assert_int_equal(uvfio_kvm_io(vm, UVFIO_KVM_MMIO, true, 0x1ff0, 16, data), 0);
	assert_int_equal(uvfio_kvm_io(vm, UVFIO_KVM_MMIO, true, 0x1ff8, 8, data), 8);
	assert_int_equal(uvfio_kvm_io(vm, UVFIO_KVM_MMIO, true, 0x1ff8, 4, data), 0);
	assert_int_equal(uvfio_kvm_io(vm, UVFIO_KVM_MMIO, false, 0x1ff8, 8, data), 0);
	assert_int_equal(uvfio_kvm_io(vm, UVFIO_KVM_PIO, true, 0x1ff8, 8, data), 0);
	io.addr = 0x2000;
	assert_int_equal(uvfio_ioctl(fd, KVM_IOEVENTFD, &io), 0);
	assert_int_equal(uvfio_kvm_io(vm, UVFIO_KVM_MMIO, true, 0x1ff8, 16, data), 16);
	assert_int_equal(uvfio_kvm_io(vm, UVFIO_KVM_MMIO, true, 0x1ff8, 40, data), 16);
	assert_int_equal(uvfio_kvm_io(vm, UVFIO_KVM_MMIO, true, 0x1ff8, 0, data), 0);
	assert_int_equal(count_of(event), 6);
	/* who refuses a piece is not asked again */
	assert_int_equal(uvfio_kvm_register(vm, UVFIO_KVM_MMIO, 0x2008, 8, &refuses, &refused, &range), 0);
	assert_int_equal(uvfio_kvm_io(vm, UVFIO_KVM_MMIO, true, 0x2000, 16, data), 8);
	assert_int_equal(refused, 1);
	uvfio_kvm_unregister(range);
	uvfio_kvm_put(vm);
	uvfio_close(fd);
	uvfio_close(kvm);
	close(event);
}

struct device {
	uint32_t value;
	bool handles;
	struct uvfio_kvm_range *range;
	int unregister_said;
};

static bool device_read(void *arg, uint64_t addr, unsigned int len, void *data)
{
	const struct device *device = arg;

	memcpy(data, (const char *)&device->value + (addr & 3), len);
	return device->handles;
}

static bool device_write(void *arg, uint64_t addr, unsigned int len, const void *data)
{
	struct device *device = arg;

	memcpy((char *)&device->value + (addr & 3), data, len);
	device->unregister_said = uvfio_kvm_unregister(device->range);
	return device->handles;
}

static void test_devices(void **state)
{
	static const struct uvfio_kvm_io_ops ops = { device_read, device_write }, nothing = { NULL, NULL };
	struct device device = { .handles = true };
	struct uvfio_kvm_range *other;
	struct uvfio_kvm *vm;
	int kvm, fd = new_vm(&kvm, &vm);
	uint32_t value = 0x11223344;

	(void)state;
	assert_int_equal(uvfio_kvm_register(vm, UVFIO_KVM_PIO, 0x60, 4, &ops, &device, &device.range), 0);
	assert_int_equal(uvfio_kvm_register(vm, UVFIO_KVM_PIO, 0x60, 4, &nothing, NULL, &other), 0);
	assert_int_equal(uvfio_kvm_io(vm, UVFIO_KVM_PIO, true, 0x60, 4, &value), 4);
	assert_int_equal(device.unregister_said, -EDEADLK);
	value = 0;
	assert_int_equal(uvfio_kvm_io(vm, UVFIO_KVM_PIO, false, 0x62, 1, &value), 1);
	assert_int_equal(value, 0x22);
	assert_int_equal(uvfio_kvm_io(vm, UVFIO_KVM_PIO, false, 0x62, 4, &value), 0);
	assert_int_equal(uvfio_kvm_io(vm, UVFIO_KVM_MMIO, false, 0x60, 4, &value), 0);
	other = NULL;
	assert_int_equal(uvfio_kvm_register(vm, UVFIO_KVM_PIO, 0x70, 0, &ops, &device, &other), -EINVAL);
	assert_int_equal(uvfio_kvm_register(vm, (enum uvfio_kvm_bus)9, 0x70, 4, &ops, &device, &other),
			 -EINVAL);
	assert_int_equal(uvfio_kvm_register(vm, UVFIO_KVM_MMIO, UINT64_MAX - 2, 4, &ops, &device, &other),
			 -EINVAL);
	assert_null(other);
	device.handles = false;
	assert_int_equal(uvfio_kvm_io(vm, UVFIO_KVM_PIO, true, 0x60, 4, &value), 0);
	assert_int_equal(uvfio_kvm_unregister(device.range), 0);
	assert_int_equal(uvfio_kvm_io(vm, UVFIO_KVM_PIO, false, 0x60, 4, &value), 0);
	uvfio_kvm_put(vm); /* the other one ends with it */
	uvfio_close(fd);
	uvfio_close(kvm);
}

struct neighbour {
	struct uvfio_kvm_range *range;
	int calls, unregister_said;
};

static bool unregister_neighbour(void *arg, uint64_t addr, unsigned int len, const void *data)
{
	struct neighbour *neighbour = arg;

	(void)addr, (void)len, (void)data;
	if (neighbour->range)
		neighbour->unregister_said = uvfio_kvm_unregister(neighbour->range);
	neighbour->range = NULL;
	return false;
}

static bool count_write(void *arg, uint64_t addr, unsigned int len, const void *data)
{
	(void)addr, (void)len, (void)data;
	++((struct neighbour *)arg)->calls;
	return true;
}

/* A handler unregisters the one who would be asked next; and the last of all hears of the access. */
static void test_neighbours(void **state)
{
	static const struct uvfio_kvm_io_ops first = { NULL, unregister_neighbour },
					     next = { NULL, count_write };
	struct neighbour gone = { .unregister_said = -1 }, stays = { 0 };
	struct uvfio_kvm_range *range;
	struct uvfio_kvm *vm;
	int kvm, fd = new_vm(&kvm, &vm);
	uint32_t value = 0;

	(void)state;
	assert_int_equal(uvfio_kvm_register(vm, UVFIO_KVM_PIO, 0x60, 4, &first, &gone, &range), 0);
	assert_int_equal(uvfio_kvm_register(vm, UVFIO_KVM_PIO, 0x60, 4, &next, &gone, &gone.range), 0);
	assert_int_equal(uvfio_kvm_register(vm, UVFIO_KVM_PIO, 0x60, 8, &next, &stays, &stays.range), 0);
	assert_int_equal(uvfio_kvm_io(vm, UVFIO_KVM_PIO, true, 0x60, 4, &value), 4);
	assert_int_equal(gone.unregister_said, 0);
	assert_int_equal(gone.calls, 0);
	assert_int_equal(stays.calls, 1);
	uvfio_kvm_put(vm);
	uvfio_close(fd);
	uvfio_close(kvm);
}

static void test_memory(void **state)
{
	struct uvfio_kvm *vm;
	int kvm, fd = new_vm(&kvm, &vm);
	char *memory = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct kvm_userspace_memory_region slot = { .flags = KVM_MEM_LOG_DIRTY_PAGES,
						    .guest_phys_addr = 0x10000,
						    .memory_size = 8192,
						    .userspace_addr = (uintptr_t)memory };
	struct kvm_coalesced_mmio_zone zone = { .addr = 0x1000, .size = 16 };
	uint64_t bits = 0;
	struct kvm_dirty_log log = { .dirty_bitmap = &bits };
	struct kvm_coalesced_mmio_ring *ring;
	char text[8] = "";
	uint32_t value = 5;

	(void)state;
	assert_int_equal(uvfio_ioctl(fd, KVM_SET_USER_MEMORY_REGION, &slot), 0);
	assert_int_equal(uvfio_kvm_write_memory(vm, 0x10ffe, "guest", 6), 0);
	assert_string_equal(memory + 0xffe, "guest");
	assert_int_equal(uvfio_kvm_read_memory(vm, 0x10ffe, text, 6), 0);
	assert_string_equal(text, "guest");
	assert_int_equal(uvfio_kvm_write_memory(vm, 0x11ffe, "guest", 6), -EFAULT);
	assert_int_equal(uvfio_ioctl(fd, KVM_GET_DIRTY_LOG, &log), 0);
	assert_int_equal(bits, 3);
	uvfio_kvm_mark_dirty(vm, 0x11fff, 100);
	assert_int_equal(uvfio_ioctl(fd, KVM_GET_DIRTY_LOG, &log), 0);
	assert_int_equal(bits, 2);
	uvfio_kvm_mark_dirty(vm, 0x10ff0, 16);
	assert_int_equal(uvfio_ioctl(fd, KVM_GET_DIRTY_LOG, &log), 0);
	assert_int_equal(bits, 1);
	munmap(memory, 8192);
	assert_int_equal(uvfio_kvm_read_memory(vm, 0x10000, text, 1), -EFAULT);
	assert_int_equal(uvfio_ioctl(fd, KVM_REGISTER_COALESCED_MMIO, &zone), 0);
	assert_int_equal(uvfio_kvm_io(vm, UVFIO_KVM_MMIO, true, 0x1004, 4, &value), 4);
	ring = uvfio_kvm_coalesced_ring(vm);
	assert_non_null(ring);
	assert_int_equal(ring->last, 1);
	assert_int_equal(ring->coalesced_mmio[0].phys_addr, 0x1004);
	assert_int_equal(ring->coalesced_mmio[0].data[0], 5);
	uvfio_kvm_put(vm);
	uvfio_close(fd);
	uvfio_close(kvm);
}

static void kick(void *arg)
{
	++*(int *)arg;
}

static void test_processors(void **state)
{
	static const struct uvfio_kvm_cpu_ops ops = { .kick = kick };
	struct uvfio_kvm *vm;
	int kvm, fd = new_vm(&kvm, &vm), kicks = 0;
	struct kvm_msi msi = { .address_lo = 0xfee00000, .data = 0x41 };
	struct uvfio_kvm_cpu *cpu, *other;
	uint32_t value = 0x1ff;

	(void)state;
	assert_int_equal(uvfio_ioctl(fd, KVM_CREATE_VCPU, NULL), -ENODEV);
	assert_int_equal(uvfio_ioctl(fd, KVM_CREATE_IRQCHIP, NULL), 0);
	assert_int_equal(uvfio_ioctl(fd, KVM_SIGNAL_MSI, &msi), -EPERM);
	assert_int_equal(uvfio_kvm_cpu_new(vm, 0, &ops, &kicks, &cpu), 0);
	assert_int_equal(uvfio_kvm_cpu_new(vm, 0, &ops, &kicks, &other), -EEXIST);
	assert_int_equal(uvfio_kvm_cpu_io(cpu, UVFIO_KVM_MMIO, true, 0xfee000f0, 4, &value), 4);
	assert_int_equal(uvfio_kvm_io(vm, UVFIO_KVM_MMIO, true, 0xfee000f0, 4, &value), 0);
	assert_int_equal(uvfio_kvm_interrupt(cpu), -1);
	assert_int_equal(uvfio_ioctl(fd, KVM_SIGNAL_MSI, &msi), 1);
	assert_int_equal(kicks, 1);
	assert_int_equal(uvfio_kvm_interrupt(cpu), 0x41);
	assert_int_equal(uvfio_kvm_interrupt(cpu), -1);
	uvfio_kvm_put(vm);
	uvfio_close(fd);
	uvfio_kvm_cpu_free(cpu);
	uvfio_close(kvm);
}

static long hcall(struct uvfio_kvm_cpu *cpu, uint64_t number, uint64_t ioba, uint64_t tce, uint64_t *ret)
{
	uint64_t args[] = { 5, ioba, tce, 1 }, rets[] = { 0, 0, 0, 0 };
	long rc = uvfio_kvm_hcall(cpu, number, args, rets);

	*ret = rets[0];
	return rc;
}

static void test_hypercalls(void **state)
{
	static const struct uvfio_kvm_cpu_ops ops = { .kick = kick };
	struct kvm_create_spapr_tce_64 in = { .liobn = 5, .page_shift = 16, .size = 8 };
	struct uvfio_kvm *vm[2];
	struct uvfio_kvm_cpu *cpu[2];
	int kvm, plain = new_vm(&kvm, &vm[0]), fd, table;
	struct uvfio_kvm_hcall_counts counts;
	unsigned int kicks = 0;
	uint64_t ret;

	(void)state;
	fd = (int)uvfio_ioctl(kvm, KVM_CREATE_VM, (void *)KVM_VM_PPC_HV);
	vm[1] = uvfio_kvm_get(fd);
	for (unsigned int i = 0; i < 2; i++)
		assert_int_equal(uvfio_kvm_cpu_new(vm[i], 0, &ops, &kicks, &cpu[i]), 0);
	assert_int_equal(uvfio_ioctl(plain, KVM_CREATE_SPAPR_TCE_64, &in), -ENOTTY);
	table = (int)uvfio_ioctl(fd, KVM_CREATE_SPAPR_TCE_64, &in);
	assert_true(table >= 0);
	assert_int_equal(hcall(cpu[0], UVFIO_H_PUT_TCE, 0, 0x50000, &ret), UVFIO_H_TOO_HARD);
	assert_int_equal(hcall(cpu[1], UVFIO_H_PUT_TCE, 0x70000, 0x50000, &ret), UVFIO_H_SUCCESS);
	assert_int_equal(hcall(cpu[1], UVFIO_H_PUT_TCE, 0x80000, 0x50000, &ret), UVFIO_H_PARAMETER);
	assert_int_equal(hcall(cpu[1], UVFIO_H_GET_TCE, 0x70000, 0, &ret), UVFIO_H_SUCCESS);
	assert_int_equal(ret, 0x50000);
	assert_int_equal(hcall(cpu[1], UVFIO_H_STUFF_TCE, 0x70000, 0, &ret), UVFIO_H_SUCCESS);
	assert_int_equal(hcall(cpu[1], 4, 0, 0, &ret), UVFIO_H_TOO_HARD);
	assert_int_equal(uvfio_kvm_get_hcall_counts(vm[1], &in.liobn, &counts), 0);
	assert_int_equal(counts.slow, 1);
	assert_int_equal(counts.fast, 3);
	assert_int_equal(counts.user, 0);
	assert_int_equal(uvfio_kvm_get_hcall_counts(vm[0], NULL, &counts), -EINVAL);
	uvfio_close(fd); /* before its table */
	uvfio_kvm_put(vm[1]);
	assert_int_equal(hcall(cpu[1], UVFIO_H_GET_TCE, 0x70000, 0, &ret), UVFIO_H_SUCCESS);
	uvfio_close(table);
	assert_int_equal(hcall(cpu[1], UVFIO_H_GET_TCE, 0x70000, 0, &ret), UVFIO_H_TOO_HARD);
	uvfio_kvm_put(vm[0]);
	uvfio_kvm_cpu_free(cpu[0]);
	uvfio_kvm_cpu_free(cpu[1]);
	uvfio_close(plain);
	uvfio_close(kvm);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_descriptors), cmocka_unit_test(test_pieces),
		cmocka_unit_test(test_devices),     cmocka_unit_test(test_memory),
		cmocka_unit_test(test_processors),  cmocka_unit_test(test_neighbours),
		cmocka_unit_test(test_hypercalls),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
