/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * ioeventfds against a simple model, and while threads dispatch: what stays is found by every write, and what
 * has been deassigned is signalled by none. What each call says is compared with the kernel in
 * tests/differential.
 */
#include "kvm/ioeventfd_find.h"
#include "kvm/test_util.h"

#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>

#define MATCH    KVM_IOEVENTFD_FLAG_DATAMATCH
#define DEASSIGN KVM_IOEVENTFD_FLAG_DEASSIGN

static uint32_t draw(uint64_t *seed, uint32_t below)
{
	*seed = *seed * 6364136223846793005 + 1442695040888963407;
	return (uint32_t)(*seed >> 33) % below;
}

/* ---- one thread */

#define ADDRESSES 512u
#define VALUES    8u

/* At each address, for lengths 0, 1, 2, 4, 8: which values; bit VALUES is any. */
static uint16_t model[ADDRESSES][5];

static const uint32_t lens[] = { 0, 1, 2, 4, 8 };

static bool is_taken(uint32_t addr, uint32_t len, uint32_t bit)
{
	for (uint32_t i = 0; !len && i < 5; i++)
		if (model[addr][i])
			return true;
	return model[addr][0] || model[addr][len] & bit || model[addr][len] & 1u << VALUES ||
	       (bit == 1u << VALUES && model[addr][len]);
}

static void step(struct test_vm *vm, uint64_t *seed, int fd)
{
	uint32_t addr = draw(seed, ADDRESSES), len = draw(seed, 5), value = draw(seed, VALUES), bit;
	bool match = len && draw(seed, 3), taken;

	bit = match ? 1u << value : 1u << VALUES;
	switch (draw(seed, 3)) {
	case 0:
		taken = is_taken(addr, len, bit);
		assert_int_equal(test_ioeventfd(vm, addr, lens[len], match ? MATCH : 0, value, fd),
				 taken ? -EEXIST : 0);
		if (!taken)
			model[addr][len] |= (uint16_t)bit;
		break;
	case 1:
		assert_int_equal(
			test_ioeventfd(vm, addr, lens[len], DEASSIGN | (match ? MATCH : 0), value, fd),
			model[addr][len] & bit ? 0 : -ENOENT);
		model[addr][len] &= (uint16_t)~bit;
		break;
	default:
		len = MAX(len, 1u);
		taken = model[addr][0] || model[addr][len] & (1u << value | 1u << VALUES);
		assert_int_equal(test_write(vm, addr, lens[len], value), taken);
		assert_int_equal(test_take(fd), taken);
	}
}

static void test_model(void **state)
{
	struct test_vm vm;
	uint64_t seed = 1;
	int fd = test_eventfd();

	(void)state;
	test_vm_open(&vm);
	for (int i = 0; i < 300000; i++)
		step(&vm, &seed, fd);
	test_vm_close(&vm);
	close(fd);
}

/* Up to many, and down to none, twice: all are found on the way, and memory is used again. */
static void test_many(void **state)
{
	const uint32_t nr = 40000;
	struct test_vm vm;
	int fd = test_eventfd();

	(void)state;
	test_vm_open(&vm);
	for (int round = 0; round < 2; round++) {
		for (uint32_t i = 0; i < nr; i++) {
			assert_int_equal(test_ioeventfd(&vm, i % 100, 4, MATCH, i, fd), 0);
			assert_true(test_write(&vm, i / 2 % 100, 4, i / 2));
			assert_false(test_write(&vm, i % 100, 4, i + 1));
		}
		assert_int_equal(test_take(fd), nr);
		for (uint32_t i = 0; i < nr; i++) {
			assert_int_equal(test_ioeventfd(&vm, i % 100, 4, MATCH | DEASSIGN, i, fd), 0);
			assert_false(test_write(&vm, i % 100, 4, i));
		}
		assert_int_equal(vm.kvm->buses[KVM_MMIO_BUS].ioeventfds.nr, 0);
	}
	test_vm_close(&vm);
	close(fd);
}

/* The entry outlives the descriptor, and the VM's file. */
static void test_lifetime(void **state)
{
	struct test_vm vm;
	int fd = test_eventfd(), copy = dup(fd);

	(void)state;
	test_vm_open(&vm);
	assert_int_equal(test_ioeventfd(&vm, 0x1000, 4, 0, 0, fd), 0);
	close(fd);
	assert_true(test_write(&vm, 0x1000, 4, 1));
	test_vm_close_file(&vm);
	assert_true(test_write(&vm, 0x1000, 4, 1));
	assert_int_equal(test_take(copy), 2);
	test_vm_close(&vm);
	close(copy);
}

/* ---- threads */

#define THREADS  4
#define CHANGING 16u /* addresses that come and go */
#define STAYING  0x10000u
#define REMOVALS 20000u

struct race {
	struct test_vm vm;
	atomic_bool stop;
	_Atomic uint64_t lost, writes;
};

static void *dispatcher(void *arg)
{
	struct race *race = arg;
	uint64_t seed = (uintptr_t)&seed, n = 0;

	while (!atomic_load(&race->stop)) {
		test_write(&race->vm, draw(&seed, CHANGING), 4, draw(&seed, 4));
		if (!test_write(&race->vm, STAYING + draw(&seed, 64) * 4, 4, 0))
			atomic_fetch_add(&race->lost, 1);
		n++;
	}
	atomic_fetch_add(&race->writes, n);
	return NULL;
}

/* Each has an eventfd that nobody else has: a signal behind its end would stay in it. */
static void remove_in_race(struct race *race, uint64_t *seed, int fds[CHANGING])
{
	uint32_t addr = draw(seed, CHANGING);
	uint32_t flags = addr % 2 ? MATCH : 0;

	assert_int_equal(test_ioeventfd(&race->vm, addr, 4, flags | DEASSIGN, 1, fds[addr]), 0);
	test_take(fds[addr]);
	for (int i = 0; i < 50; i++)
		atomic_thread_fence(memory_order_seq_cst);
	assert_int_equal(test_take(fds[addr]), 0);
	assert_int_equal(test_ioeventfd(&race->vm, addr, 4, flags, 1, fds[addr]), 0);
}

static void test_race(void **state)
{
	static struct race race;
	pthread_t threads[THREADS];
	int fds[CHANGING], staying = test_eventfd();
	uint64_t seed = 7;

	(void)state;
	test_vm_open(&race.vm);
	for (uint32_t i = 0; i < 64; i++)
		assert_int_equal(test_ioeventfd(&race.vm, STAYING + i * 4, 4, 0, 0, staying), 0);
	for (uint32_t i = 0; i < CHANGING; i++) {
		fds[i] = test_eventfd();
		assert_int_equal(test_ioeventfd(&race.vm, i, 4, i % 2 ? MATCH : 0, 1, fds[i]), 0);
	}
	for (int i = 0; i < THREADS; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, dispatcher, &race), 0);
	for (uint32_t i = 0; i < REMOVALS; i++) {
		remove_in_race(&race, &seed, fds);
		if (i < 2000) /* the table grows meanwhile */
			assert_int_equal(test_ioeventfd(&race.vm, 0x100000 + i, 1, 0, 0, staying), 0);
	}
	atomic_store(&race.stop, true);
	for (int i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	assert_int_equal(race.lost, 0);
	assert_true(race.writes);
	test_vm_close(&race.vm);
	for (uint32_t i = 0; i < CHANGING; i++)
		close(fds[i]);
	close(staying);
}

/* ---- devices on the bus */

struct counted {
	struct kvm_io_device dev;
	_Atomic uint32_t inside, calls, ended;
	struct kvm *kvm;
	int unregister_said;
};

static int counted_write(struct kvm_io_device *dev, struct kvm_vcpu *vcpu, uint64_t addr, unsigned int len,
			 const void *data)
{
	struct counted *counted = container_of(dev, struct counted, dev);

	(void)vcpu, (void)addr, (void)len, (void)data;
	atomic_fetch_add(&counted->inside, 1);
	if (atomic_load(&counted->ended))
		abort();
	if (!atomic_fetch_add(&counted->calls, 1))
		counted->unregister_said = kvm_io_bus_unregister_dev(counted->kvm, KVM_MMIO_BUS, dev);
	atomic_fetch_sub(&counted->inside, 1);
	return 0;
}

static void counted_end(struct kvm_io_device *dev)
{
	struct counted *counted = container_of(dev, struct counted, dev);

	if (atomic_load(&counted->inside))
		abort();
	atomic_fetch_add(&counted->ended, 1);
}

static const struct kvm_io_device_ops counted_ops = { .write = counted_write, .destructor = counted_end };

static void *device_writer(void *arg)
{
	struct race *race = arg;

	while (!atomic_load(&race->stop))
		test_write(&race->vm, 0x2000, 4, 0);
	return NULL;
}

/* Who unregisters a device finds nobody inside; from inside it is refused. */
static void test_devices(void **state)
{
	static struct race race;
	pthread_t threads[THREADS];

	(void)state;
	test_vm_open(&race.vm);
	for (int i = 0; i < THREADS; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, device_writer, &race), 0);
	for (int round = 0; round < 300; round++) {
		struct counted counted = { .dev.ops = &counted_ops, .kvm = race.vm.kvm };

		assert_int_equal(
			kvm_io_bus_register_dev(race.vm.kvm, KVM_MMIO_BUS, 0x1000, 0x2000, &counted.dev), 0);
		assert_true(test_write(&race.vm, 0x1000, 4, 0));
		assert_int_equal(kvm_io_bus_unregister_dev(race.vm.kvm, KVM_MMIO_BUS, &counted.dev), 0);
		assert_int_equal(counted.ended, 1);
		assert_int_equal(counted.unregister_said, -EDEADLK);
		assert_int_equal(kvm_io_bus_unregister_dev(race.vm.kvm, KVM_MMIO_BUS, &counted.dev), -ENOENT);
	}
	atomic_store(&race.stop, true);
	for (int i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	test_vm_close(&race.vm);
}

/* What a device model does in a handler: everything that the VM can do. */
struct busy {
	struct kvm_io_device dev;
	struct test_vm *vm;
	struct kvm_io_device *other;
	int fd;
	bool handles;
};

static int busy_write(struct kvm_io_device *dev, struct kvm_vcpu *vcpu, uint64_t addr, unsigned int len,
		      const void *data)
{
	struct busy *busy = container_of(dev, struct busy, dev);
	struct kvm_userspace_memory_region slot = { .slot = 3,
						    .guest_phys_addr = 0x100000,
						    .memory_size = 0x1000 };
	struct kvm_irq_routing routing = { 0 };
	struct kvm_coalesced_mmio_zone zone = { .addr = 0x8000, .size = 16 };
	uint64_t value = 0;

	(void)vcpu, (void)len, (void)data;
	slot.userspace_addr = (uintptr_t)busy & ~(uintptr_t)0xfff;
	assert_int_equal(test_ioctl(busy->vm->fd, KVM_SET_USER_MEMORY_REGION, &slot), 0);
	slot.memory_size = 0;
	assert_int_equal(test_ioctl(busy->vm->fd, KVM_SET_USER_MEMORY_REGION, &slot), 0);
	assert_int_equal(test_ioctl(busy->vm->fd, KVM_SET_GSI_ROUTING, &routing), 0);
	assert_int_equal(test_ioctl(busy->vm->fd, KVM_REGISTER_COALESCED_MMIO, &zone), 0);
	assert_int_equal(kvm_io(busy->vm->kvm, NULL, KVM_MMIO_BUS, true, 0x8000, 4, &value), 4);
	assert_int_equal(test_ioctl(busy->vm->fd, KVM_UNREGISTER_COALESCED_MMIO, &zone), 0);
	assert_int_equal(test_ioeventfd(busy->vm, addr, 4, DEASSIGN, 0, busy->fd), 0);
	assert_int_equal(test_ioeventfd(busy->vm, addr, 4, 0, 0, busy->fd), 0);
	assert_int_equal(kvm_io_bus_register_dev(busy->vm->kvm, KVM_MMIO_BUS, 0x9000, 4, busy->other), 0);
	assert_int_equal(kvm_io_bus_unregister_dev(busy->vm->kvm, KVM_MMIO_BUS, busy->other), 0);
	assert_int_equal(kvm_io_bus_unregister_dev(busy->vm->kvm, KVM_MMIO_BUS, dev), -EDEADLK);
	return busy->handles ? 0 : -EOPNOTSUPP;
}

static const struct kvm_io_device_ops busy_ops = { .write = busy_write };
static const struct kvm_io_device_ops no_ops = { 0 };

static void test_handlers(void **state)
{
	struct test_vm vm;
	struct kvm_io_device other = { .ops = &no_ops };
	struct busy busy = { .dev.ops = &busy_ops, .vm = &vm, .other = &other, .fd = test_eventfd() };

	(void)state;
	test_vm_open(&vm);
	assert_int_equal(test_ioctl(vm.fd, KVM_CREATE_IRQCHIP, NULL), 0);
	assert_int_equal(kvm_io_bus_register_dev(vm.kvm, KVM_MMIO_BUS, 0x1000, 0x100, &busy.dev), 0);
	assert_int_equal(test_ioeventfd(&vm, 0x1010, 4, 0, 0, busy.fd), 0);
	assert_true(test_write(&vm, 0x1010, 4, 0)); /* the device refuses: it is the ioeventfd's */
	assert_int_equal(test_take(busy.fd), 1);
	busy.handles = true;
	assert_true(test_write(&vm, 0x1010, 4, 0));
	assert_int_equal(test_take(busy.fd), 0);
	test_vm_close(&vm);
	close(busy.fd);
}

/* ---- who takes something away waits for who is using it */

struct removal {
	struct test_vm vm;
	struct kvm_io_device dev;
	pthread_t thread;
	int fd;
	_Atomic uint32_t removed;
	bool early;
};

static void *deassign_it(void *arg)
{
	struct removal *removal = arg;

	assert_int_equal(test_ioeventfd(&removal->vm, 0x1000, 4, DEASSIGN, 0, removal->fd), 0);
	atomic_store(&removal->removed, 1);
	return NULL;
}

static void *unregister_it(void *arg)
{
	struct removal *removal = arg;

	assert_int_equal(kvm_io_bus_unregister_dev(removal->vm.kvm, KVM_MMIO_BUS, &removal->dev), 0);
	atomic_store(&removal->removed, 1);
	return NULL;
}

static void test_deassign_waits(void **state)
{
	struct removal removal = { .fd = test_eventfd() };
	const uint32_t data = 0;
	struct ioeventfds *all;
	struct ioeventfd *e;
	uint64_t changes;

	(void)state;
	test_vm_open(&removal.vm);
	assert_int_equal(test_ioeventfd(&removal.vm, 0x1000, 4, 0, 0, removal.fd), 0);
	all = &removal.vm.kvm->buses[KVM_MMIO_BUS].ioeventfds;
	changes = atomic_load(&all->changes);
	e = ioeventfd_find(all, 0x1000, 4, &data);
	assert_non_null(e);
	assert_int_equal(pthread_create(&removal.thread, NULL, deassign_it, &removal), 0);
	while (test_write(&removal.vm, 0x1000, 4, 0)) /* until it is out of the table */
		usleep(1000);
	usleep(20000);
	assert_int_equal(removal.removed, 0);
	test_take(removal.fd);
	eventfd_signal(e->ctx, 1);
	ioeventfd_put(e);
	pthread_join(removal.thread, NULL);
	assert_int_equal(test_take(removal.fd), 1);
	assert_true(atomic_load(&all->changes) > changes); /* who was on the way through it begins anew */
	test_vm_close(&removal.vm);
	close(removal.fd);
}

/* Its device is being unregistered by another thread, and is not found any more. */
static int slow_write(struct kvm_io_device *dev, struct kvm_vcpu *vcpu, uint64_t addr, unsigned int len,
		      const void *data)
{
	struct removal *removal = container_of(dev, struct removal, dev);

	(void)vcpu, (void)addr, (void)len, (void)data;
	assert_int_equal(pthread_create(&removal->thread, NULL, unregister_it, removal), 0);
	while (atomic_load(&removal->vm.kvm->buses[KVM_MMIO_BUS].ranges))
		usleep(1000);
	usleep(20000);
	removal->early = atomic_load(&removal->removed);
	return 0;
}

static void test_unregister_waits(void **state)
{
	static const struct kvm_io_device_ops ops = { .write = slow_write };
	struct removal removal = { .dev.ops = &ops };

	(void)state;
	test_vm_open(&removal.vm);
	assert_int_equal(kvm_io_bus_register_dev(removal.vm.kvm, KVM_MMIO_BUS, 0x1000, 4, &removal.dev), 0);
	assert_true(test_write(&removal.vm, 0x1000, 4, 0));
	pthread_join(removal.thread, NULL);
	assert_false(removal.early);
	assert_int_equal(removal.removed, 1);
	test_vm_close(&removal.vm);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_model),          cmocka_unit_test(test_many),
		cmocka_unit_test(test_lifetime),       cmocka_unit_test(test_race),
		cmocka_unit_test(test_devices),        cmocka_unit_test(test_handlers),

		cmocka_unit_test(test_deassign_waits), cmocka_unit_test(test_unregister_waits),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
