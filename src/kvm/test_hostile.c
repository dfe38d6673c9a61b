/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Every ioctl of /dev/kvm, VMs and devices with wrong pointers, structures of noise, descriptors of other
 * kinds and closed ones, from another process, and from threads that close what others use. Nothing is
 * expected of a single call but an answer; in the end everything works, and is free.
 */
#include "kvm/test_util.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#define THREADS 4
#define VMS     6
#define EVENTS  12
#define CALLS   40000u

static const unsigned long requests[] = {
	KVM_IOEVENTFD,
	KVM_IOEVENTFD,
	KVM_IOEVENTFD,
	KVM_IRQFD,
	KVM_IRQFD,
	KVM_IRQ_LINE,
	KVM_IRQ_LINE_STATUS,
	KVM_SIGNAL_MSI,
	KVM_SET_GSI_ROUTING,
	KVM_SET_USER_MEMORY_REGION,
	KVM_SET_USER_MEMORY_REGION,
	KVM_GET_DIRTY_LOG,
	KVM_CLEAR_DIRTY_LOG,
	KVM_REGISTER_COALESCED_MMIO,
	KVM_UNREGISTER_COALESCED_MMIO,
	KVM_CREATE_IRQCHIP,
	KVM_GET_IRQCHIP,
	KVM_SET_IRQCHIP,
	KVM_ENABLE_CAP,
	KVM_CHECK_EXTENSION,
	KVM_SET_DEVICE_ATTR,
	KVM_GET_API_VERSION,
	KVM_GET_VCPU_MMAP_SIZE,
	0x3b64,
};

static _Atomic int vms[VMS];
static int events[EVENTS], others[4];
static pthread_mutex_t vms_lock = PTHREAD_MUTEX_INITIALIZER; /* who replaces one */
static char *readonly, *memory;

struct noise {
	uint64_t seed;
	unsigned char bytes[4096] __attribute__((aligned(16)));
};

static uint32_t draw(struct noise *noise, uint32_t below)
{
	noise->seed = noise->seed * 6364136223846793005 + 1442695040888963407;
	return (uint32_t)(noise->seed >> 33) % below;
}

static int any_fd(struct noise *noise)
{
	switch (draw(noise, 8)) {
	case 0:
		return others[draw(noise, ARRAY_SIZE(others))];
	case 1:
		return vms[draw(noise, VMS)];
	case 2:
		return (int)draw(noise, 1 << 20) - 5;
	default:
		return events[draw(noise, EVENTS)];
	}
}

/* Words that are often small, and sometimes the ends of what there is. */
static uint64_t any_word(struct noise *noise)
{
	static const uint64_t ends[] = { 0x7fffffff,        0x80000000,     UINT32_MAX, INT64_MAX, UINT64_MAX,
					 UINT64_MAX - 4095, 0x7fffffffe000, 0xfec00000, 0xfee00000 };

	switch (draw(noise, 6)) {
	case 0:
		return ends[draw(noise, ARRAY_SIZE(ends))];
	case 1:
		return (uint64_t)draw(noise, 64) << 12;
	case 2:
		return (uintptr_t)memory;
	default:
		return draw(noise, 32);
	}
}

/* A structure of noise, with descriptors and lengths where they belong. */
static void *any_argument(struct noise *noise, unsigned long request)
{
	/* none of them where a sanitizer may have memory of its own */
	static const uint64_t wrong[] = { 1,          0x1000,         0x800000000000, 0xffff800000000000,
					  UINT64_MAX, UINT64_MAX - 63 };
	uint64_t *words = (void *)noise->bytes;
	uint32_t *halves = (void *)noise->bytes;

	switch (draw(noise, 12)) {
	case 0:
		return NULL;
	case 1:
		return (void *)(uintptr_t)wrong[draw(noise, ARRAY_SIZE(wrong))];
	case 2:
		return readonly + 4096 - draw(noise, 64);
	default:
		break;
	}
	for (int i = 0; i < 80; i++)
		words[i] = any_word(noise);
	if (request == KVM_GET_DIRTY_LOG || request == KVM_CLEAR_DIRTY_LOG || !request)
		words[request == KVM_GET_DIRTY_LOG ? 1 : 2] =
			draw(noise, 2) ? (uintptr_t)memory : wrong[draw(noise, ARRAY_SIZE(wrong))];
	if (request == KVM_IOEVENTFD) {
		halves[4] = 1u << draw(noise, 4);
		halves[5] = (uint32_t)any_fd(noise);
		halves[6] = draw(noise, 16);
	} else if (request == KVM_IRQFD) {
		halves[0] = (uint32_t)any_fd(noise);
		halves[2] = draw(noise, 4);
		halves[3] = (uint32_t)any_fd(noise);
	} else if (request == KVM_SET_USER_MEMORY_REGION) {
		halves[0] = draw(noise, 5);
		halves[1] = draw(noise, 4);
		words[1] = (uint64_t)draw(noise, 16) << 12;
		words[2] = (uint64_t)draw(noise, 5) << 12;
		words[3] = draw(noise, 4) ? (uintptr_t)memory + 4096 : 0x1000;
	} else if (request == KVM_SET_GSI_ROUTING) {
		halves[0] = draw(noise, 12);
		halves[1] = 0;
	} else if (request == KVM_ENABLE_CAP) {
		halves[0] = draw(noise, 2) ? KVM_CAP_SPLIT_IRQCHIP : KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2;
		halves[1] = 0;
	}
	return noise->bytes;
}

static int new_vm(void)
{
	struct file *file;
	int dev, vm;

	if (kvm_dev_open(O_RDWR, &file))
		return -1;
	dev = fdtable_install(file, O_CLOEXEC);
	vm = (int)test_ioctl(dev, KVM_CREATE_VM, NULL);
	test_close(dev);
	return vm;
}

static void replace_vm(struct noise *noise)
{
	unsigned int i = draw(noise, VMS);

	pthread_mutex_lock(&vms_lock);
	test_close(vms[i]);
	vms[i] = new_vm();
	if (draw(noise, 2))
		test_ioctl(vms[i], KVM_CREATE_IRQCHIP, NULL);
	pthread_mutex_unlock(&vms_lock);
}

static void access_vm(struct noise *noise, int fd)
{
	struct file *file = fdtable_get(fd);
	struct kvm *kvm = file ? kvm_of_file(file) : NULL;
	uint64_t addr = any_word(noise) + draw(noise, 16);
	unsigned char data[64] = { 0 };

	if (file)
		file_put(file);
	if (!kvm)
		return;
	kvm_io(kvm, NULL, draw(noise, 2) ? KVM_PIO_BUS : KVM_MMIO_BUS, draw(noise, 4), addr, draw(noise, 33),
	       data);
	if (kvm_write_guest(kvm, addr, data, draw(noise, 64)))
		kvm_mark_dirty(kvm, addr, draw(noise, 10000));
	kvm_put(kvm);
}

static void create_device(struct noise *noise, int fd)
{
	struct kvm_create_device in = { .type = draw(noise, 12),
					.flags = draw(noise, 8) ? draw(noise, 2) : UINT32_MAX };

	if (!test_ioctl(fd, KVM_CREATE_DEVICE, &in) && !(in.flags & KVM_CREATE_DEVICE_TEST)) {
		for (int i = 0; i < 4; i++)
			test_ioctl((int)in.fd,
				   KVM_SET_DEVICE_ATTR +
					   (unsigned int)i % 3 * (KVM_HAS_DEVICE_ATTR - KVM_GET_DEVICE_ATTR),
				   any_argument(noise, 0));
		test_close((int)in.fd);
	}
}

static void *hostile(void *arg)
{
	struct noise *noise = arg;

	for (unsigned int i = 0; i < CALLS; i++) {
		int fd = draw(noise, 50) ? vms[draw(noise, VMS)] : any_fd(noise);
		unsigned long request = requests[draw(noise, ARRAY_SIZE(requests))];

		switch (draw(noise, 64)) {
		case 0:
			replace_vm(noise);
			break;
		case 1:
			create_device(noise, fd);
			break;
		case 2:
			if (write(events[draw(noise, EVENTS)], &(uint64_t){ draw(noise, 3) }, 8) < 0)
				sched_yield();
			break;
		default:
			if (draw(noise, 3))
				test_ioctl(fd, request, any_argument(noise, request));
			else
				access_vm(noise, fd);
		}
	}
	return NULL;
}

static void test_noise(void **state)
{
	static struct noise noise[THREADS];
	pthread_t threads[THREADS];
	struct test_vm vm;

	(void)state;
	test_vm_open(&vm);
	readonly = mmap(NULL, 8192, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	mprotect(readonly + 4096, 4096, PROT_NONE);
	memory = mmap(NULL, 1 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	for (int i = 0; i < VMS; i++)
		vms[i] = new_vm();
	for (int i = 0; i < EVENTS; i++)
		events[i] = test_eventfd();
	others[0] = open("/dev/null", O_RDWR);
	others[1] = open("/", O_PATH);
	others[2] = memfd_create("x", 0);
	others[3] = 900;
	for (int i = 0; i < THREADS; i++) {
		noise[i].seed = 1000003u * (unsigned int)(i + 1);
		assert_int_equal(pthread_create(&threads[i], NULL, hostile, &noise[i]), 0);
	}
	for (int i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	for (int i = 0; i < VMS; i++)
		test_close(vms[i]);
	/* all of it let go: each eventfd can be an irqfd */
	assert_int_equal(test_ioctl(vm.fd, KVM_CREATE_IRQCHIP, NULL), 0);
	for (int i = 0; i < EVENTS; i++) {
		struct kvm_irqfd in = { .fd = (uint32_t)events[i], .gsi = 5 };

		assert_int_equal(test_ioctl(vm.fd, KVM_IRQFD, &in), 0);
		assert_int_equal(test_ioeventfd(&vm, (uint64_t)i * 8, 4, 0, 0, events[i]), 0);
		assert_true(test_write(&vm, (uint64_t)i * 8, 4, 0));
	}
	test_vm_close(&vm);
	for (int i = 0; i < EVENTS; i++)
		close(events[i]);
	for (int i = 0; i < 3; i++)
		close(others[i]);
}

/* Whatever the call, and before anything else is looked at. */
static void test_other_process(void **state)
{
	struct caller caller;
	struct mm other = { .self = false };
	struct test_vm vm;
	struct file *file;

	(void)state;
	test_vm_open(&vm);
	caller = self_caller;
	caller.mm = &other;
	file = fdtable_get(vm.fd);
	for (size_t i = 0; i < ARRAY_SIZE(requests); i++)
		assert_int_equal(file_ioctl(file, &caller, requests[i], 0), -EIO);
	assert_int_equal(file_ioctl(file, &caller, KVM_CREATE_DEVICE, 0), -EIO);
	file_put(file);
	test_vm_close(&vm);
}

/* Descriptors that cannot be had: nothing is left behind. */
static void test_no_descriptors(void **state)
{
	struct test_vm vm;
	struct rlimit limit, low;
	int fds[256], nr = 0, dev, fd;
	struct file *file;

	(void)state;
	test_vm_open(&vm);
	assert_int_equal(kvm_dev_open(O_RDWR, &file), 0);
	dev = fdtable_install(file, O_CLOEXEC);
	fd = test_eventfd();
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
	low = (struct rlimit){ .rlim_cur = 256, .rlim_max = limit.rlim_max };
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &low), 0);
	while (nr < (int)ARRAY_SIZE(fds) && (fds[nr] = dup(fd)) >= 0)
		nr++;
	assert_int_equal(test_ioctl(dev, KVM_CREATE_VM, NULL), -EMFILE);
	assert_int_equal(test_ioeventfd(&vm, 0, 4, 0, 0, fd), -EMFILE);
	while (nr)
		close(fds[--nr]);
	assert_int_equal(test_ioeventfd(&vm, 0, 4, 0, 0, fd), 0);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
	close(fd);
	assert_int_equal(test_close(dev), 0);
	test_vm_close(&vm);
}

/* More entries than are copied at once. */
static void test_many_routes(void **state)
{
	static struct {
		struct kvm_irq_routing head;
		struct kvm_irq_routing_entry entry[144];
	} in = { { .nr = 144 }, { { 0 } } };
	struct test_vm vm;

	(void)state;
	test_vm_open(&vm);
	assert_int_equal(test_ioctl(vm.fd, KVM_CREATE_IRQCHIP, NULL), 0);
	for (uint32_t i = 0; i < 144; i++)
		in.entry[i] = (struct kvm_irq_routing_entry){ .gsi = i, .type = KVM_IRQ_ROUTING_MSI };
	for (uint32_t pin = 0; pin < KVM_IOAPIC_NUM_PINS; pin++) {
		in.entry[120 + pin].type = KVM_IRQ_ROUTING_IRQCHIP;
		in.entry[120 + pin].u.irqchip.irqchip = KVM_IRQCHIP_IOAPIC;
		in.entry[120 + pin].u.irqchip.pin = pin;
	}
	assert_int_equal(test_ioctl(vm.fd, KVM_SET_GSI_ROUTING, &in), 0);
	for (uint32_t pin = 0; pin < KVM_IOAPIC_NUM_PINS; pin++)
		assert_int_equal(kvm_routing_gsi_of(vm.kvm, KVM_IRQCHIP_IOAPIC, pin), 120 + pin);
	test_vm_close(&vm);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_many_routes),
		cmocka_unit_test(test_noise),
		cmocka_unit_test(test_other_process),
		cmocka_unit_test(test_no_descriptors),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
