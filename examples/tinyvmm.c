/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A virtual machine monitor, as small as can be, for the kernel's KVM: it boots a guest of 32-bit code that
 * drives an edu device (edu.c).
 *
 *     tinyvmm 0000:00:01.0
 *
 * The guest finds BAR 0 of the device at BAR. Its accesses leave the guest and are made here, but for the
 * doorbell: storing N to FACTORIAL, where N is one of two values, is taken by KVM (an ioeventfd) and carried
 * out by VFIO (VFIO_DEVICE_IOEVENTFD) without this program. The device's MSI goes from VFIO to the guest's
 * local APIC by an eventfd, too (an irqfd). The guest prints through port 0x3f8.
 *
 * Nothing in it knows of uvfio: it runs on hardware, and with `uvfio run --kvm=host` or `--kvm=soft`.
 */
#include "vfio_driver.h"

#include <linux/kvm.h>
#include <stdbool.h>
#include <stddef.h>

#define BAR       0xd0000000
#define FACTORIAL 0x08
#define RAM       0x20000 /* bytes, from address 0 */
#define GDT       0x0800
#define IDT       0x1000
#define CODE      0x2000
#define STACK     0x8000
#define VECTOR    0x21
#define CONSOLE   0x3f8
#define GSI       5

/*
 * The guest. It switches its local APIC on, looks at the device, and rings the doorbell twice; each time it
 * sleeps until the interrupt has come, acknowledges it, and prints the result.
 */
asm(".pushsection .rodata\n"
    ".globl guest, guest_size, guest_handler\n"
    ".code32\n"
    "guest:\n"
    "	movl $0x1ff, 0xfee000f0\n" /* spurious vector 0xff, enabled */
    "	movl $0x12345678, 0xd0000004\n"
    "	movl 0xd0000004, %eax\n" /* the device inverts it */
    "	call print\n"
    "	movl $0x80, 0xd0000020\n" /* an interrupt when a factorial is done */
    "	movl $5, %ebx\n"
    "	call ring\n"
    "	movl $12, %ebx\n"
    "	call ring\n"
    "	movw $0xf4, %dx\n"
    "	outb %al, %dx\n" /* the end */
    "ring:\n"
    "	xorl %ebp, %ebp\n"
    "	movl %ebx, 0xd0000008\n" /* the doorbell */
    "1:	cli\n"
    "	testl %ebp, %ebp\n"
    "	jnz 2f\n"
    "	sti\n"
    "	hlt\n"
    "	jmp 1b\n"
    "2:	movl 0xd0000008, %eax\n"
    /* falls through */
    "print:\n" /* EAX, 8 digits, and a new line */
    "	movl %eax, %esi\n"
    "	movl $8, %ecx\n"
    "	movw $0x3f8, %dx\n"
    "1:	roll $4, %esi\n"
    "	movl %esi, %eax\n"
    "	andb $15, %al\n"
    "	cmpb $10, %al\n"
    "	jb 2f\n"
    "	addb $39, %al\n" /* 'a' - '0' - 10 */
    "2:	addb $48, %al\n"
    "	outb %al, %dx\n"
    "	loop 1b\n"
    "	movb $10, %al\n"
    "	outb %al, %dx\n"
    "	ret\n"
    "guest_interrupt:\n"
    "	pushl %eax\n"
    "	movl 0xd0000024, %eax\n" /* why */
    "	movl %eax, 0xd0000064\n" /* seen */
    "	movl $1, %ebp\n"
    "	movl $0, 0xfee000b0\n" /* end of interrupt */
    "	popl %eax\n"
    /* what IRET does: a KVM that has no help of the processor lacks it in protected mode */
    "	popl %ecx\n"
    "	addl $4, %esp\n"
    "	popfl\n"
    "	jmp *%ecx\n"
    "guest_end:\n"
    "	.balign 4\n"
    "guest_size: .long guest_end - guest\n"
    "guest_handler: .long guest_interrupt - guest\n"
    ".code64\n"
    ".popsection\n");

extern const char guest[];
extern const uint32_t guest_size, guest_handler;

struct vmm {
	struct vfio_driver vfio;
	off_t regs; /* of the device: where BAR 0 is in its file */
	int kvm, vm, vcpu;
	struct kvm_run *run;
	uint8_t *ram;
	unsigned int accesses, doorbells; /* of the device, that came here */
};

static void set_up_memory(struct vmm *vmm)
{
	struct kvm_userspace_memory_region region = { .memory_size = RAM };
	uint32_t handler = CODE + guest_handler;
	uint64_t gate =
		(handler & 0xffff) | 0x08ull << 16 | 0x8e00ull << 32 | (uint64_t)(handler & 0xffff0000) << 32;
	const uint64_t gdt[3] = { 0, 0x00cf9b000000ffff, 0x00cf93000000ffff };

	vmm->ram = mmap(NULL, RAM, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	check(vmm->ram != MAP_FAILED, "memory for the guest");
	memcpy(vmm->ram + GDT, gdt, sizeof(gdt));
	memcpy(vmm->ram + IDT + 8 * VECTOR, &gate, sizeof(gate));
	memcpy(vmm->ram + CODE, guest, guest_size);
	region.userspace_addr = (uintptr_t)vmm->ram;
	check(!ioctl(vmm->vm, KVM_SET_USER_MEMORY_REGION, &region), "KVM_SET_USER_MEMORY_REGION");
}

/* Protected mode with flat segments, without paging. */
static void set_up_vcpu(struct vmm *vmm)
{
	struct kvm_segment flat = { .limit = 0xffffffff, .present = 1, .db = 1, .s = 1, .g = 1 };
	struct kvm_regs regs = { .rip = CODE, .rsp = STACK, .rflags = 2 };
	struct kvm_sregs sregs;
	int size;

	vmm->vcpu = ioctl(vmm->vm, KVM_CREATE_VCPU, 0);
	check(vmm->vcpu >= 0, "KVM_CREATE_VCPU");
	size = ioctl(vmm->kvm, KVM_GET_VCPU_MMAP_SIZE, 0);
	vmm->run = mmap(NULL, (size_t)size, PROT_READ | PROT_WRITE, MAP_SHARED, vmm->vcpu, 0);
	check(vmm->run != MAP_FAILED, "mapping the vCPU");
	check(!ioctl(vmm->vcpu, KVM_GET_SREGS, &sregs), "KVM_GET_SREGS");
	flat.selector = 0x10;
	flat.type = 3;
	sregs.ds = sregs.es = sregs.fs = sregs.gs = sregs.ss = flat;
	flat.selector = 0x08;
	flat.type = 11;
	sregs.cs = flat;
	sregs.gdt.base = GDT;
	sregs.gdt.limit = 23;
	sregs.idt.base = IDT;
	sregs.idt.limit = 8 * 256 - 1;
	sregs.cr0 |= 1;
	check(!ioctl(vmm->vcpu, KVM_SET_SREGS, &sregs), "KVM_SET_SREGS");
	check(!ioctl(vmm->vcpu, KVM_SET_REGS, &regs), "KVM_SET_REGS");
}

/* A store of value to FACTORIAL: from the guest to an eventfd, from there to the device. */
static void connect_doorbell(struct vmm *vmm, uint32_t value)
{
	struct vfio_device_ioeventfd to = { .argsz = sizeof(to), .flags = VFIO_DEVICE_IOEVENTFD_32 };
	struct kvm_ioeventfd from = {
		.addr = BAR + FACTORIAL, .len = 4, .datamatch = value, .flags = KVM_IOEVENTFD_FLAG_DATAMATCH
	};

	from.fd = to.fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	check(to.fd >= 0, "eventfd");
	to.offset = (uint64_t)vmm->regs + FACTORIAL;
	to.data = value;
	check(!ioctl(vmm->vm, KVM_IOEVENTFD, &from), "KVM_IOEVENTFD");
	check(!ioctl(vmm->vfio.device, VFIO_DEVICE_IOEVENTFD, &to), "VFIO_DEVICE_IOEVENTFD");
}

static void connect_interrupt(struct vmm *vmm)
{
	union {
		struct kvm_irq_routing table;
		char bytes[sizeof(struct kvm_irq_routing) + sizeof(struct kvm_irq_routing_entry)];
	} routing = { .table = { .nr = 1 } };
	struct kvm_irq_routing_entry msi = { .gsi = GSI,
					     .type = KVM_IRQ_ROUTING_MSI,
					     .u.msi = { .address_lo = 0xfee00000, .data = VECTOR } };
	struct kvm_irqfd irqfd = { .gsi = GSI };

	memcpy(routing.bytes + sizeof(routing.table), &msi, sizeof(msi));
	check(!ioctl(vmm->vm, KVM_SET_GSI_ROUTING, &routing), "KVM_SET_GSI_ROUTING");
	irqfd.fd = (uint32_t)vfio_irq_enable(&vmm->vfio, VFIO_PCI_MSI_IRQ_INDEX);
	check(!ioctl(vmm->vm, KVM_IRQFD, &irqfd), "KVM_IRQFD");
}

/* An access of the guest to the device. */
static void forward(struct vmm *vmm)
{
	uint64_t at = vmm->run->mmio.phys_addr - BAR;
	size_t len = vmm->run->mmio.len;
	ssize_t n;

	expect(vmm->run->mmio.phys_addr >= BAR && at < 4096, "the guest accesses 0x%llx",
	       (unsigned long long)vmm->run->mmio.phys_addr);
	vmm->accesses++;
	if (vmm->run->mmio.is_write)
		n = pwrite(vmm->vfio.device, vmm->run->mmio.data, len, vmm->regs + (off_t)at);
	else
		n = pread(vmm->vfio.device, vmm->run->mmio.data, len, vmm->regs + (off_t)at);
	check(n == (ssize_t)len, "an access to the device");
	if (vmm->run->mmio.is_write && at == FACTORIAL)
		vmm->doorbells++;
}

static bool run(struct vmm *vmm)
{
	check(!ioctl(vmm->vcpu, KVM_RUN, 0), "KVM_RUN");
	switch (vmm->run->exit_reason) {
	case KVM_EXIT_MMIO:
		forward(vmm);
		return true;
	case KVM_EXIT_IO:
		if (vmm->run->io.port == CONSOLE)
			putchar(*((char *)vmm->run + vmm->run->io.data_offset));
		return vmm->run->io.port == CONSOLE;
	default:
		expect(false, "exit %u of the guest", vmm->run->exit_reason);
		return false;
	}
}

int main(int argc, char **argv)
{
	struct vmm vmm = { 0 };

	if (argc != 2) {
		fprintf(stderr, "usage: tinyvmm DDDD:BB:DD.F\n");
		return 2;
	}
	vmm.kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC);
	check(vmm.kvm >= 0, "/dev/kvm");
	expect(ioctl(vmm.kvm, KVM_GET_API_VERSION, 0) == KVM_API_VERSION, "the version of KVM");
	vmm.vm = ioctl(vmm.kvm, KVM_CREATE_VM, 0);
	check(vmm.vm >= 0, "KVM_CREATE_VM");
	check(!ioctl(vmm.vm, KVM_CREATE_IRQCHIP, 0), "KVM_CREATE_IRQCHIP");
	vfio_driver_open(&vmm.vfio, argv[1]);
	expect(vfio_pci_id(&vmm.vfio) == 0x11e81234, "%s is an edu device", argv[1]);
	vfio_enable_dma(&vmm.vfio);
	vmm.regs = (off_t)vfio_region(&vmm.vfio, VFIO_PCI_BAR0_REGION_INDEX).offset;
	set_up_memory(&vmm);
	set_up_vcpu(&vmm);
	connect_doorbell(&vmm, 5);
	connect_doorbell(&vmm, 12);
	connect_interrupt(&vmm);
	while (run(&vmm))
		;
	printf("%u accesses to the device came here, of them %u to the doorbell\n", vmm.accesses,
	       vmm.doorbells);
	vfio_driver_close(&vmm.vfio);
	return 0;
}
