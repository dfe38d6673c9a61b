/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * An emulator's loop around <uvfio/kvm.h>: the processor is this program's own, all that KVM does beside it
 * the library's. It needs no machine, no /dev/kvm and no rights:
 *
 *     cc -o emulator emulator.c $(pkg-config --cflags --libs uvfio)
 *     ./emulator
 *
 * The processor is a toy with instructions of eight bytes. Its guest prints what a device's register says,
 * rings a doorbell, and sleeps until the device's interrupt comes. The doorbell is an ioeventfd, the
 * interrupt an MSI that another thread sends; the register and the console are this program's, one in each of
 * the two ways.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#include <uvfio/kvm.h>

#define RAM_SIZE  0x10000u
#define REGISTER  0xfe000000u
#define DOORBELL  0xfe001000u
#define APIC_EOI  0xfee000b0u
#define APIC_SPIV 0xfee000f0u
#define CONSOLE   0xe9
#define VECTOR    0x41
#define HANDLER   0x800 /* where an interrupt leads to */

enum op { LOAD, STORE, SET, OUT, ENABLE, SLEEP, STOP };

struct insn {
	uint8_t op, unused[3];
	uint32_t value; /* an address, a port or a number */
};

struct processor {
	struct uvfio_kvm *vm;
	struct uvfio_kvm_cpu *cpu;
	unsigned char *ram;
	uint32_t pc, accumulator;
	bool enabled; /* interrupts */
	pthread_mutex_t lock;
	pthread_cond_t wake;
	bool kicked; /* under lock */
};

static const struct insn program[] = {
	{ SET, { 0 }, 0x1ff },     { STORE, { 0 }, APIC_SPIV }, /* the local APIC is on */
	{ LOAD, { 0 }, REGISTER }, { OUT, { 0 }, CONSOLE },     /* prints what the register says */
	{ STORE, { 0 }, 0x4000 },  { STORE, { 0 }, DOORBELL },  { ENABLE, { 0 }, 0 },
	{ SLEEP, { 0 }, 0 },       { STOP, { 0 }, 0 },
};

static const struct insn handler[] = {
	{ OUT, { 0 }, CONSOLE },
	{ SET, { 0 }, 0 },
	{ STORE, { 0 }, APIC_EOI },
	{ STOP, { 0 }, 0 },
};

static void check(long rc, const char *what)
{
	if (rc >= 0)
		return;
	fprintf(stderr, "%s: %s\n", what, strerror((int)-rc));
	exit(1);
}

/* ---- the processor */

/* By any thread, also from within the calls below: say so, and do no more. */
static void kick(void *arg)
{
	struct processor *p = arg;

	pthread_mutex_lock(&p->lock);
	p->kicked = true;
	pthread_cond_signal(&p->wake);
	pthread_mutex_unlock(&p->lock);
}

/* RAM is the emulator's own to find quickly; for a dirty log there is uvfio_kvm_mark_dirty(). */
static void memory(struct processor *p, bool write, uint32_t address)
{
	if (address <= RAM_SIZE - 4) {
		memcpy(write ? p->ram + address : (void *)&p->accumulator,
		       write ? (void *)&p->accumulator : p->ram + address, 4);
		if (write)
			uvfio_kvm_mark_dirty(p->vm, address, 4);
	} else if (uvfio_kvm_cpu_io(p->cpu, UVFIO_KVM_MMIO, write, address, 4, &p->accumulator) < 4) {
		printf("nobody has 0x%x\n", address);
		if (!write)
			p->accumulator = ~0u;
	}
}

/* The console is nobody's on the bus: the access comes back, as KVM_EXIT_IO does from KVM_RUN. */
static void out(struct processor *p, uint16_t port)
{
	if (uvfio_kvm_cpu_io(p->cpu, UVFIO_KVM_PIO, true, port, 4, &p->accumulator) == 4)
		return;
	if (port == CONSOLE)
		printf("the guest says 0x%x\n", p->accumulator);
}

static void sleep_until_kicked(struct processor *p)
{
	pthread_mutex_lock(&p->lock);
	while (!p->kicked)
		pthread_cond_wait(&p->wake, &p->lock);
	pthread_mutex_unlock(&p->lock);
}

static void take_interrupt(struct processor *p)
{
	int vector;

	pthread_mutex_lock(&p->lock);
	p->kicked = false; /* before it is asked for: whoever comes now kicks again */
	pthread_mutex_unlock(&p->lock);
	vector = uvfio_kvm_interrupt(p->cpu);
	if (vector < 0)
		return;
	p->enabled = false;
	p->accumulator = (uint32_t)vector;
	p->pc = HANDLER;
}

static void run(struct processor *p)
{
	struct insn insn;

	for (;;) {
		if (p->enabled)
			take_interrupt(p);
		check(uvfio_kvm_read_memory(p->vm, p->pc, &insn, sizeof(insn)), "an instruction");
		p->pc += sizeof(insn);
		switch ((enum op)insn.op) {
		case LOAD:
		case STORE:
			memory(p, insn.op == STORE, insn.value);
			break;
		case SET:
			p->accumulator = insn.value;
			break;
		case OUT:
			out(p, (uint16_t)insn.value);
			break;
		case ENABLE:
			p->enabled = true;
			break;
		case SLEEP:
			sleep_until_kicked(p);
			break;
		case STOP:
			return;
		}
	}
}

/* ---- the device */

static bool register_read(void *arg, uint64_t addr, unsigned int len, void *data)
{
	(void)addr;
	memcpy(data, arg, len <= 4 ? len : 4);
	return len <= 4; /* else it is not ours */
}

struct device {
	int doorbell, vm;
};

static void *device(void *arg)
{
	const struct device *d = arg;
	struct kvm_msi msi = { .address_lo = 0xfee00000, .data = VECTOR };
	uint64_t rings = 0;

	if (read(d->doorbell, &rings, sizeof(rings)) == sizeof(rings))
		check(uvfio_ioctl(d->vm, KVM_SIGNAL_MSI, &msi), "KVM_SIGNAL_MSI");
	return NULL;
}

/* ---- the VM */

static void make_ram(struct processor *p, int fd)
{
	void *ram = mmap(NULL, RAM_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct kvm_userspace_memory_region slot = { .memory_size = RAM_SIZE,
						    .userspace_addr = (uintptr_t)ram };

	check(ram == MAP_FAILED ? -ENOMEM : 0, "memory");
	check(uvfio_ioctl(fd, KVM_SET_USER_MEMORY_REGION, &slot), "KVM_SET_USER_MEMORY_REGION");
	p->ram = ram;
	memcpy(p->ram, program, sizeof(program));
	memcpy(p->ram + HANDLER, handler, sizeof(handler));
}

int main(void)
{
	static const struct uvfio_kvm_cpu_ops cpu_ops = { .kick = kick };
	static const struct uvfio_kvm_io_ops register_ops = { .read = register_read };
	static uint32_t id = 0x1234;
	struct processor p = { .lock = PTHREAD_MUTEX_INITIALIZER, .wake = PTHREAD_COND_INITIALIZER };
	struct device d = { .doorbell = eventfd(0, EFD_CLOEXEC) };
	struct kvm_ioeventfd doorbell = { .addr = DOORBELL, .len = 4, .fd = d.doorbell };
	struct uvfio_kvm_range *range;
	pthread_t thread;
	int kvm = uvfio_kvm_open(O_RDWR | O_CLOEXEC);

	check(kvm, "uvfio_kvm_open");
	d.vm = (int)uvfio_ioctl(kvm, KVM_CREATE_VM, NULL);
	check(d.vm, "KVM_CREATE_VM");
	p.vm = uvfio_kvm_get(d.vm);
	make_ram(&p, d.vm);
	check(uvfio_ioctl(d.vm, KVM_CREATE_IRQCHIP, NULL), "KVM_CREATE_IRQCHIP"); /* before the processors */
	check(uvfio_kvm_cpu_new(p.vm, 0, &cpu_ops, &p, &p.cpu), "uvfio_kvm_cpu_new");
	check(uvfio_ioctl(d.vm, KVM_IOEVENTFD, &doorbell), "KVM_IOEVENTFD");
	check(uvfio_kvm_register(p.vm, UVFIO_KVM_MMIO, REGISTER, 4, &register_ops, &id, &range),
	      "uvfio_kvm_register");
	check(-pthread_create(&thread, NULL, device, &d), "a thread");

	run(&p);

	pthread_join(thread, NULL);
	check(uvfio_kvm_unregister(range), "uvfio_kvm_unregister");
	uvfio_kvm_cpu_free(p.cpu);
	uvfio_kvm_put(p.vm);
	uvfio_close(d.vm);
	uvfio_close(kvm);
	close(d.doorbell);
	munmap(p.ram, RAM_SIZE);
	return 0;
}
