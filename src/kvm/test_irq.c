/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Interrupts on their way from an eventfd, a line or a message to a vCPU that takes them, and back as end of
 * interrupt. What the calls say, and the registers, are compared with the kernel in tests/differential; here
 * the vCPU is ours.
 */
#include "kvm/irqfd.h"
#include "kvm/test_util.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define APIC      0xfee00000u
#define APIC_EOI  (APIC + 0xb0)
#define APIC_LDR  (APIC + 0xd0)
#define APIC_SPIV (APIC + 0xf0)
#define APIC_ICR  (APIC + 0x300)
#define APIC_ICR2 (APIC + 0x310)
#define APIC_LVT0 (APIC + 0x350)
#define IOAPIC    0xfec00000u
#define MSI       0xfee00000u /* to APIC 0 */
#define LEVEL     0x8000u

struct cpu {
	struct kvm_vcpu vcpu;
	_Atomic uint32_t kicks, nmis, inits, startups;
};

static struct cpu *to_cpu(struct kvm_vcpu *vcpu)
{
	return container_of(vcpu, struct cpu, vcpu);
}

static void kick(struct kvm_vcpu *vcpu)
{
	atomic_fetch_add(&to_cpu(vcpu)->kicks, 1);
}

static void nmi(struct kvm_vcpu *vcpu)
{
	atomic_fetch_add(&to_cpu(vcpu)->nmis, 1);
}

static void init(struct kvm_vcpu *vcpu)
{
	atomic_fetch_add(&to_cpu(vcpu)->inits, 1);
}

static void startup(struct kvm_vcpu *vcpu, uint8_t vector)
{
	atomic_store(&to_cpu(vcpu)->startups, vector);
}

static const struct kvm_vcpu_ops cpu_ops = { .kick = kick, .nmi = nmi, .init = init, .startup = startup };

static void store(struct cpu *cpu, enum kvm_bus bus, uint64_t addr, unsigned int len, uint32_t value)
{
	assert_int_equal(kvm_io(cpu->vcpu.kvm, &cpu->vcpu, bus, true, addr, len, &value), len);
}

static void cpu_open(struct test_vm *vm, struct cpu *cpu, uint32_t id)
{
	memset(cpu, 0, sizeof(*cpu));
	cpu->vcpu.kvm = vm->kvm;
	cpu->vcpu.id = id;
	cpu->vcpu.ops = &cpu_ops;
	assert_int_equal(kvm_vcpu_add(&cpu->vcpu), 0);
	store(cpu, KVM_MMIO_BUS, APIC_SPIV, 4, 0x1ff);
	store(cpu, KVM_MMIO_BUS, APIC_LDR, 4, 1u << (24 + id));
}

static void open_all(struct test_vm *vm, struct cpu *cpu)
{
	test_vm_open(vm);
	assert_int_equal(test_ioctl(vm->fd, KVM_CREATE_IRQCHIP, NULL), 0);
	cpu_open(vm, cpu, 0);
}

static void close_all(struct test_vm *vm, struct cpu *cpu)
{
	kvm_vcpu_del(&cpu->vcpu);
	test_vm_close(vm);
}

/* Take an interrupt, and end it. */
static int take(struct cpu *cpu)
{
	int vector;

	if (!kvm_cpu_has_interrupt(&cpu->vcpu))
		return -1;
	vector = kvm_cpu_get_interrupt(&cpu->vcpu);
	store(cpu, KVM_MMIO_BUS, APIC_EOI, 4, 0);
	return vector;
}

static int take_in_time(struct cpu *cpu)
{
	for (int i = 0; i < 5000 && !kvm_cpu_has_interrupt(&cpu->vcpu); i++)
		usleep(1000);
	return take(cpu);
}

static long route_msi(struct test_vm *vm, uint32_t gsi, uint32_t data)
{
	struct {
		struct kvm_irq_routing head;
		struct kvm_irq_routing_entry entry;
	} in = { { .nr = 1 }, { .gsi = gsi, .type = KVM_IRQ_ROUTING_MSI } };

	in.entry.u.msi.address_lo = MSI;
	in.entry.u.msi.data = data;
	return test_ioctl(vm->fd, KVM_SET_GSI_ROUTING, &in);
}

static long irqfd(struct test_vm *vm, int fd, uint32_t gsi, uint32_t flags, int resample)
{
	struct kvm_irqfd in = {
		.fd = (uint32_t)fd, .gsi = gsi, .flags = flags, .resamplefd = (uint32_t)resample
	};

	return test_ioctl(vm->fd, KVM_IRQFD, &in);
}

static void signal_inside(int fd)
{
	struct eventfd_ctx *ctx;

	assert_int_equal(eventfd_ctx_get(&self_caller, fd, &ctx), 0);
	eventfd_signal(ctx, 1);
	eventfd_signal_once(ctx);
	eventfd_ctx_put(ctx);
}

/* ---- tests */

static void test_priorities(void **state)
{
	struct test_vm vm;
	struct cpu cpu;

	(void)state;
	open_all(&vm, &cpu);
	assert_int_equal(kvm_cpu_get_interrupt(&cpu.vcpu), -1);
	assert_int_equal(kvm_send_msi(vm.kvm, MSI, 0x41), 1);
	assert_int_equal(kvm_send_msi(vm.kvm, MSI, 0x51), 1);
	assert_int_equal(kvm_send_msi(vm.kvm, MSI, 0x52), 1);
	assert_int_equal(cpu.kicks, 3);
	assert_int_equal(kvm_cpu_get_interrupt(&cpu.vcpu), 0x52);
	assert_int_equal(kvm_cpu_get_interrupt(&cpu.vcpu), -1); /* 0x51 is of the same class */
	assert_int_equal(kvm_send_msi(vm.kvm, MSI, 0x60), 1);
	assert_int_equal(kvm_cpu_get_interrupt(&cpu.vcpu), 0x60);
	store(&cpu, KVM_MMIO_BUS, APIC_EOI, 4, 0);
	store(&cpu, KVM_MMIO_BUS, APIC_EOI, 4, 0);
	assert_int_equal(kvm_cpu_get_interrupt(&cpu.vcpu), 0x51);
	store(&cpu, KVM_MMIO_BUS, APIC_EOI, 4, 0);
	kvm_lapic_set_cr8(&cpu.vcpu, 4);
	assert_false(kvm_cpu_has_interrupt(&cpu.vcpu));
	kvm_lapic_set_cr8(&cpu.vcpu, 3);
	assert_int_equal(take(&cpu), 0x41);
	assert_int_equal(take(&cpu), -1);
	close_all(&vm, &cpu);
}

/* From inside at once, and nothing is left in the eventfd; from the program in a moment. */
static void test_irqfd(void **state)
{
	struct test_vm vm, other;
	struct cpu cpu;
	int fd = test_eventfd();
	uint64_t one = 1;

	(void)state;
	open_all(&vm, &cpu);
	test_vm_open(&other);
	assert_int_equal(test_ioctl(other.fd, KVM_CREATE_IRQCHIP, NULL), 0);
	assert_int_equal(route_msi(&vm, 5, 0x41), 0);
	assert_int_equal(irqfd(&vm, fd, 5, 0, -1), 0);
	assert_int_equal(irqfd(&other, fd, 5, 0, -1), -EBUSY);
	signal_inside(fd);
	assert_int_equal(test_take(fd), 0);
	assert_int_equal(take(&cpu), 0x41);
	assert_int_equal(take(&cpu), -1);
	assert_int_equal(write(fd, &one, sizeof(one)), sizeof(one));
	assert_int_equal(take_in_time(&cpu), 0x41);
	assert_int_equal(test_take(fd), 0);
	assert_int_equal(route_msi(&vm, 5, 0x42), 0);
	signal_inside(fd);
	assert_int_equal(take(&cpu), 0x42);
	assert_int_equal(irqfd(&vm, fd, 5, KVM_IRQFD_FLAG_DEASSIGN, -1), 0);
	signal_inside(fd);
	assert_int_equal(test_take(fd), 2);
	assert_int_equal(take(&cpu), -1);
	assert_int_equal(irqfd(&other, fd, 5, 0, -1), 0);
	/* the VM's file is closed, the VM lives on: its irqfds do not */
	test_vm_close_file(&other);
	assert_int_equal(irqfd(&vm, fd, 5, 0, -1), 0);
	test_vm_close(&other);
	close_all(&vm, &cpu);
	signal_inside(fd);
	assert_int_equal(test_take(fd), 2);
	close(fd);
}

/* An ioeventfd signals an eventfd that is an irqfd: a guest interrupts itself. */
static void test_loop(void **state)
{
	struct test_vm vm;
	struct cpu cpu;
	int fd = test_eventfd();

	(void)state;
	open_all(&vm, &cpu);
	assert_int_equal(route_msi(&vm, 5, 0x41), 0);
	assert_int_equal(irqfd(&vm, fd, 5, 0, -1), 0);
	assert_int_equal(test_ioeventfd(&vm, 0x1000, 4, 0, 0, fd), 0);
	store(&cpu, KVM_MMIO_BUS, 0x1000, 4, 0);
	assert_int_equal(take(&cpu), 0x41);
	close_all(&vm, &cpu);
	close(fd);
}

static void ioapic_entry(struct cpu *cpu, uint32_t pin, uint32_t low)
{
	store(cpu, KVM_MMIO_BUS, IOAPIC, 4, 0x10 + 2 * pin);
	store(cpu, KVM_MMIO_BUS, IOAPIC + 0x10, 4, low);
}

/* Two devices on one line: both hear of the end, and who is not done asserts again. */
static void test_resample(void **state)
{
	struct test_vm vm;
	struct cpu cpu;
	int a = test_eventfd(), b = test_eventfd(), done_a = test_eventfd(), done_b = test_eventfd();

	(void)state;
	open_all(&vm, &cpu);
	ioapic_entry(&cpu, 20, LEVEL | 0x61);
	assert_int_equal(irqfd(&vm, a, 20, KVM_IRQFD_FLAG_RESAMPLE, done_a), 0);
	assert_int_equal(irqfd(&vm, b, 20, KVM_IRQFD_FLAG_RESAMPLE, done_b), 0);
	signal_inside(a);
	signal_inside(b);
	assert_int_equal(take(&cpu), 0x61);
	assert_int_equal(test_take(done_a), 1);
	assert_int_equal(test_take(done_b), 1);
	assert_int_equal(take(&cpu), -1);
	signal_inside(b);
	assert_int_equal(take(&cpu), 0x61);
	/* it fell while it was masked: looked at again, not delivered again */
	signal_inside(a);
	assert_int_equal(take(&cpu), 0x61);
	test_take(done_a);
	ioapic_entry(&cpu, 20, LEVEL | 0x10061);
	signal_inside(a);
	ioapic_entry(&cpu, 20, LEVEL | 0x61);
	assert_int_equal(test_take(done_a), 1);
	assert_int_equal(take(&cpu), -1);
	assert_int_equal(irqfd(&vm, a, 20, KVM_IRQFD_FLAG_DEASSIGN, -1), 0);
	assert_int_equal(irqfd(&vm, b, 20, KVM_IRQFD_FLAG_DEASSIGN, -1), 0);
	assert_int_equal(vm.kvm->irqfds.resamplers == NULL, true);
	close_all(&vm, &cpu);
	close(a);
	close(b);
	close(done_a);
	close(done_b);
}

/*
 * One that leaves a line, or does not get to it, takes nothing from the others. The line has fallen when the
 * resamplefd is signalled: who raises it again in that moment is heard.
 */
static void test_resamplers(void **state)
{
	const uint32_t flags = KVM_IRQFD_FLAG_RESAMPLE;
	int a = test_eventfd(), b = test_eventfd(), done = test_eventfd();
	struct test_vm vm;
	struct cpu cpu;

	(void)state;
	open_all(&vm, &cpu);
	ioapic_entry(&cpu, 20, LEVEL | 0x10061);
	assert_int_equal(irqfd(&vm, a, 20, flags, b), 0);
	assert_int_equal(irqfd(&vm, b, 20, flags, done), 0);
	assert_int_equal(irqfd(&vm, a, 21, flags, done), -EBUSY);
	assert_false(kvm_irqfds_resamples(vm.kvm, KVM_IRQCHIP_IOAPIC, 21));
	signal_inside(b);
	ioapic_entry(&cpu, 20, LEVEL | 0x10062);
	assert_int_equal(test_take(done), 0);
	assert_int_equal(irqfd(&vm, a, 20, KVM_IRQFD_FLAG_DEASSIGN, -1), 0);
	ioapic_entry(&cpu, 20, LEVEL | 0x61);
	assert_int_equal(test_take(done), 1);
	assert_int_equal(irqfd(&vm, a, 20, flags, b), 0);
	signal_inside(a);
	assert_int_equal(take(&cpu), 0x61);
	assert_int_equal(take(&cpu), 0x61);
	assert_int_equal(test_take(done), 2);
	/* ICW1 ends what is pending, if somebody listens to the PIC */
	assert_int_equal(irqfd(&vm, b, 20, KVM_IRQFD_FLAG_DEASSIGN, -1), 0);
	assert_int_equal(irqfd(&vm, b, 5, flags, done), 0);
	for (uint32_t listens = 0; listens < 2; listens++) {
		store(&cpu, KVM_MMIO_BUS, APIC_LVT0, 4, listens ? 0x700 : 0x10700);
		signal_inside(b);
		store(&cpu, KVM_PIO_BUS, 0x20, 1, 0x11);
		assert_int_equal(test_take(done), listens);
	}
	close_all(&vm, &cpu);
	close(a);
	close(b);
	close(done);
}

/* Controllers for which a bus has no room leave nothing behind. */
static void test_no_room(void **state)
{
	struct kvm_coalesced_mmio_zone zone = { .addr = 0x1000, .size = 4, .pio = 1 };
	struct test_vm vm;

	(void)state;
	test_vm_open(&vm);
	for (int i = 0; i < 998; i++)
		assert_int_equal(test_ioctl(vm.fd, KVM_REGISTER_COALESCED_MMIO, &zone), 0);
	assert_int_equal(test_ioctl(vm.fd, KVM_CREATE_IRQCHIP, NULL), -ENOSPC);
	assert_false(kvm_has_irqchip(vm.kvm));
	assert_int_equal(kvm_set_irq(vm.kvm, IRQ_SOURCE_USER, 5, true), -1);
	assert_int_equal(test_ioctl(vm.fd, KVM_UNREGISTER_COALESCED_MMIO, &zone), 0);
	assert_int_equal(test_ioctl(vm.fd, KVM_CREATE_IRQCHIP, NULL), 0);
	test_vm_close(&vm);
}

static void line(struct test_vm *vm, uint32_t gsi, uint32_t level)
{
	struct kvm_irq_level in = { .irq = gsi, .level = level };

	assert_int_equal(test_ioctl(vm->fd, KVM_IRQ_LINE, &in), 0);
}

/* A level that stays is delivered again after each end; with two sources it stays until both are down. */
static void test_levels(void **state)
{
	struct test_vm vm;
	struct cpu cpu;

	(void)state;
	open_all(&vm, &cpu);
	ioapic_entry(&cpu, 21, LEVEL | 0x62);
	line(&vm, 21, 1);
	assert_int_equal(take(&cpu), 0x62);
	assert_int_equal(take(&cpu), 0x62);
	kvm_set_irq(vm.kvm, IRQ_SOURCE_RESAMPLE, 21, true);
	line(&vm, 21, 0);
	assert_int_equal(take(&cpu), 0x62);
	assert_int_equal(take(&cpu), 0x62);
	kvm_set_irq(vm.kvm, IRQ_SOURCE_RESAMPLE, 21, false);
	assert_int_equal(take(&cpu), 0x62); /* was pending already */
	assert_int_equal(take(&cpu), -1);
	ioapic_entry(&cpu, 22, 0x63);
	line(&vm, 22, 1);
	assert_int_equal(take(&cpu), 0x63);
	line(&vm, 22, 1);
	assert_int_equal(take(&cpu), -1);
	line(&vm, 22, 0);
	line(&vm, 22, 1);
	assert_int_equal(take(&cpu), 0x63);
	close_all(&vm, &cpu);
}

static void start_pics(struct cpu *cpu)
{
	static const uint16_t words[][2] = { { 0x20, 0x11 }, { 0x21, 0x20 }, { 0x21, 4 },    { 0x21, 1 },
					     { 0x21, 0 },    { 0xa0, 0x11 }, { 0xa1, 0x28 }, { 0xa1, 2 },
					     { 0xa1, 1 },    { 0xa1, 0 } };

	for (size_t i = 0; i < ARRAY_SIZE(words); i++)
		store(cpu, KVM_PIO_BUS, words[i][0], 1, words[i][1]);
}

/* Legacy vectors: by the PIC through the first local APIC. */
static void test_pic(void **state)
{
	struct test_vm vm;
	struct cpu cpu;

	(void)state;
	open_all(&vm, &cpu);
	start_pics(&cpu);
	line(&vm, 3, 1);
	line(&vm, 10, 1);
	assert_true(cpu.kicks > 0);
	assert_int_equal(kvm_cpu_get_interrupt(&cpu.vcpu), 0x2a); /* by way of line 2 */
	assert_false(kvm_cpu_has_interrupt(&cpu.vcpu));
	store(&cpu, KVM_PIO_BUS, 0xa0, 1, 0x20);
	store(&cpu, KVM_PIO_BUS, 0x20, 1, 0x20);
	assert_int_equal(kvm_cpu_get_interrupt(&cpu.vcpu), 0x23);
	line(&vm, 1, 1);
	assert_int_equal(kvm_cpu_get_interrupt(&cpu.vcpu), 0x21); /* goes first, though 3 is in service */
	store(&cpu, KVM_PIO_BUS, 0x20, 1, 0x61);
	store(&cpu, KVM_PIO_BUS, 0x20, 1, 0x63);
	assert_int_equal(kvm_cpu_get_interrupt(&cpu.vcpu), -1);
	/* the local APIC's own come behind */
	assert_int_equal(kvm_send_msi(vm.kvm, MSI, 0xf1), 1);
	line(&vm, 3, 0);
	line(&vm, 3, 1);
	assert_int_equal(kvm_cpu_get_interrupt(&cpu.vcpu), 0x23);
	assert_int_equal(kvm_cpu_get_interrupt(&cpu.vcpu), 0xf1);
	close_all(&vm, &cpu);
}

static void test_processors(void **state)
{
	struct test_vm vm;
	struct cpu a, b;
	struct cpu again = { .vcpu.ops = &cpu_ops };

	(void)state;
	open_all(&vm, &a);
	cpu_open(&vm, &b, 1);
	again.vcpu.kvm = vm.kvm;
	again.vcpu.id = 1;
	assert_int_equal(kvm_vcpu_add(&again.vcpu), -EEXIST);
	again.vcpu.id = 256;
	assert_int_equal(kvm_vcpu_add(&again.vcpu), -EINVAL);
	assert_int_equal(kvm_send_msi(vm.kvm, MSI | 1 << 12, 0x41), 1);
	assert_int_equal(take(&a), -1);
	assert_int_equal(take(&b), 0x41);
	assert_int_equal(kvm_send_msi(vm.kvm, MSI | 0xff << 12, 0x42), 2);
	assert_int_equal(take(&a), 0x42);
	assert_int_equal(take(&b), 0x42);
	assert_int_equal(kvm_send_msi(vm.kvm, MSI | 2 << 12 | 4, 0x43), 1); /* logical */
	assert_int_equal(take(&b), 0x43);
	assert_int_equal(kvm_send_msi(vm.kvm, MSI | 3 << 12 | 4, 0x144), 1); /* one of them */
	assert_int_equal(take(&a), 0x44);
	store(&a, KVM_MMIO_BUS, APIC_ICR2, 4, 1 << 24);
	store(&a, KVM_MMIO_BUS, APIC_ICR, 4, 0x45);
	assert_int_equal(take(&b), 0x45);
	store(&a, KVM_MMIO_BUS, APIC_ICR, 4, 0x4500); /* INIT, then STARTUP */
	store(&a, KVM_MMIO_BUS, APIC_ICR, 4, 0x4699);
	assert_int_equal(b.inits, 1);
	assert_int_equal(b.startups, 0x99);
	store(&a, KVM_MMIO_BUS, APIC_ICR, 4, 0xc4400); /* NMI to all others */
	assert_int_equal(a.nmis, 0);
	assert_int_equal(b.nmis, 1);
	assert_int_equal(kvm_send_msi(vm.kvm, MSI | 4 << 12 | 4, 0x46), 0); /* nobody */
	store(&b, KVM_MMIO_BUS, APIC_LDR, 4, 1u << 24);
	assert_int_equal(kvm_send_msi(vm.kvm, MSI | 4 << 12 | 4, 0x46), -1); /* IDs are not one's own */
	kvm_vcpu_del(&b.vcpu);
	assert_int_equal(kvm_send_msi(vm.kvm, MSI | 1 << 12, 0x41), 0);
	close_all(&vm, &a);
}

/* Signals from threads while it is assigned and deassigned: none arrives behind the deassigning. */
struct race {
	struct eventfd_ctx *ctx;
	atomic_bool stop;
};

static void *signaller(void *arg)
{
	struct race *race = arg;

	while (!atomic_load(&race->stop))
		eventfd_signal(race->ctx, 1);
	return NULL;
}

static void test_irqfd_race(void **state)
{
	struct test_vm vm;
	struct cpu cpu;
	static struct race race;
	pthread_t threads[3];
	int fd = test_eventfd();

	(void)state;
	open_all(&vm, &cpu);
	assert_int_equal(route_msi(&vm, 5, 0x41), 0);
	assert_int_equal(eventfd_ctx_get(&self_caller, fd, &race.ctx), 0);
	for (size_t i = 0; i < ARRAY_SIZE(threads); i++)
		assert_int_equal(pthread_create(&threads[i], NULL, signaller, &race), 0);
	for (int i = 0; i < 500; i++) {
		assert_int_equal(irqfd(&vm, fd, 5, i % 2 ? KVM_IRQFD_FLAG_RESAMPLE : 0, fd), 0);
		assert_int_equal(route_msi(&vm, 5, 0x41 + i % 2), 0);
		assert_int_equal(irqfd(&vm, fd, 5, KVM_IRQFD_FLAG_DEASSIGN, -1), 0);
		while (take(&cpu) >= 0)
			;
		sched_yield();
		assert_int_equal(take(&cpu), -1);
	}
	atomic_store(&race.stop, true);
	for (size_t i = 0; i < ARRAY_SIZE(threads); i++)
		pthread_join(threads[i], NULL);
	eventfd_ctx_put(race.ctx);
	close_all(&vm, &cpu);
	close(fd);
}

/* Slots change while vCPUs come and go: each is told that they have changed as often as it was stopped. */
static _Atomic uint32_t not_stopped;

struct stoppable {
	struct kvm_vcpu vcpu;
	_Atomic uint32_t stopped;
};

static void slots_stop(struct kvm_vcpu *vcpu)
{
	atomic_fetch_add(&container_of(vcpu, struct stoppable, vcpu)->stopped, 1);
}

static void slots_changed(struct kvm_vcpu *vcpu)
{
	if (atomic_fetch_sub(&container_of(vcpu, struct stoppable, vcpu)->stopped, 1) != 1)
		atomic_fetch_add(&not_stopped, 1);
	if (!vcpu->id)
		usleep(100);
}

static const struct kvm_vcpu_ops stop_ops = {
	.kick = kick,
	.slots_stop = slots_stop,
	.slots_changed = slots_changed,
};

static void *change_slots(void *arg)
{
	struct test_vm *vm = arg;
	struct kvm_userspace_memory_region slot = { .guest_phys_addr = 0x10000, .userspace_addr = 0x10000 };

	for (int i = 0; i < 1000; i++) {
		slot.memory_size = i % 2 ? 0 : 0x1000;
		assert_int_equal(test_ioctl(vm->fd, KVM_SET_USER_MEMORY_REGION, &slot), 0);
	}
	return NULL;
}

static void test_slots_and_processors(void **state)
{
	struct stoppable first = { .vcpu.ops = &stop_ops };
	struct test_vm vm;
	pthread_t thread;

	(void)state;
	test_vm_open(&vm);
	first.vcpu.kvm = vm.kvm;
	assert_int_equal(kvm_vcpu_add(&first.vcpu), 0);
	assert_int_equal(pthread_create(&thread, NULL, change_slots, &vm), 0);
	for (int i = 0; i < 1000; i++) {
		struct stoppable cpu = { .vcpu = { .kvm = vm.kvm, .id = 1, .ops = &stop_ops } };

		assert_int_equal(kvm_vcpu_add(&cpu.vcpu), 0);
		sched_yield();
		kvm_vcpu_del(&cpu.vcpu);
		assert_int_equal(cpu.stopped, 0);
	}
	pthread_join(thread, NULL);
	assert_int_equal(not_stopped, 0);
	kvm_vcpu_del(&first.vcpu);
	test_vm_close(&vm);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_priorities), cmocka_unit_test(test_irqfd),
		cmocka_unit_test(test_loop),       cmocka_unit_test(test_resample),
		cmocka_unit_test(test_levels),     cmocka_unit_test(test_pic),
		cmocka_unit_test(test_processors), cmocka_unit_test(test_irqfd_race),
		cmocka_unit_test(test_resamplers),

		cmocka_unit_test(test_no_room),    cmocka_unit_test(test_slots_and_processors),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
