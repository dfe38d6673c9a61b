/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What an emulator of a POWER machine does with <uvfio/kvm.h>: a PAPR guest maps memory for a device by
 * hypercalls, and the device, an edu (edu.c), copies a page of the guest's to another one.
 *
 *     cc -o papr papr.c $(pkg-config --cflags --libs uvfio)
 *     ./papr ./edu.so
 *
 * The guest is three functions here, where an emulator would execute code until it finds a hypercall (sc 1).
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <linux/vfio.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#include <uvfio/kvm.h>

#define RAM     0x100000ul /* bytes, from guest address 0 */
#define PAGE    0x1000ul
#define LIOBN   0x80000001ul
#define WINDOW  RAM /* bytes of bus addresses, from 0 */
#define READ    1ul
#define WRITE   2ul
#define REGION  40 /* its number stands above this bit of an offset */
#define COMMAND ((7ul << REGION) + 4)

static struct uvfio_kvm_cpu *cpu;
static unsigned char *ram;
static int device;

static long check(long rc, const char *what)
{
	if (rc >= 0)
		return rc;
	fprintf(stderr, "%s: %s\n", what, strerror((int)-rc));
	exit(1);
}

#define CHECK_IOCTL(fd, request, arg) check(uvfio_ioctl(fd, request, arg), #request)

/* ---- the machine: a container with a window of 4 KiB pages, and the guest's memory registered */

static int make_container(struct uvfio_machine *machine, int *group)
{
	struct vfio_iommu_spapr_register_memory memory = { .argsz = sizeof(memory) };
	struct vfio_iommu_spapr_tce_remove remove = { .argsz = sizeof(remove) };
	struct vfio_iommu_spapr_tce_create create = { .argsz = sizeof(create) };
	int container = (int)check(uvfio_open(machine, "/dev/vfio/vfio", O_RDWR), "/dev/vfio/vfio");

	*group = (int)check(uvfio_open(machine, "/dev/vfio/1", O_RDWR), "/dev/vfio/1");
	CHECK_IOCTL(*group, VFIO_GROUP_SET_CONTAINER, &container);
	CHECK_IOCTL(container, VFIO_SET_IOMMU, (void *)VFIO_SPAPR_TCE_v2_IOMMU);
	memory.vaddr = (uintptr_t)ram;
	memory.size = RAM;
	CHECK_IOCTL(container, VFIO_IOMMU_SPAPR_REGISTER_MEMORY, &memory);
	CHECK_IOCTL(container, VFIO_IOMMU_SPAPR_TCE_REMOVE, &remove); /* the default one, at 0 */
	create.page_shift = 12;
	create.window_size = WINDOW;
	create.levels = 1;
	CHECK_IOCTL(container, VFIO_IOMMU_SPAPR_TCE_CREATE, &create);
	return container;
}

/* ---- the VM: memory, a processor, and the guest's table, tied to the group's window */

static int make_vm(struct uvfio_kvm **vm)
{
	struct kvm_userspace_memory_region slot = { .memory_size = RAM, .userspace_addr = (uintptr_t)ram };
	int kvm = (int)check(uvfio_kvm_open(O_RDWR), "KVM"), fd;

	fd = (int)CHECK_IOCTL(kvm, KVM_CREATE_VM, (void *)KVM_VM_PPC_HV);
	uvfio_close(kvm);
	CHECK_IOCTL(fd, KVM_SET_USER_MEMORY_REGION, &slot);
	*vm = uvfio_kvm_get(fd);
	check(uvfio_kvm_cpu_new(*vm, 0, NULL, NULL, &cpu), "a processor");
	return fd;
}

/* The KVM-VFIO device stays open: what it ties is untied when it is closed. */
static int make_table(int vm, int group, int *vfio_fd)
{
	struct kvm_create_spapr_tce_64 create = { .liobn = LIOBN, .page_shift = 12, .size = WINDOW / PAGE };
	struct kvm_create_device vfio = { .type = KVM_DEV_TYPE_VFIO };
	struct kvm_vfio_spapr_tce tie = { .groupfd = group };
	struct kvm_device_attr attr = { .group = KVM_DEV_VFIO_GROUP,
					.attr = KVM_DEV_VFIO_GROUP_ADD,
					.addr = (uintptr_t)&group };

	tie.tablefd = (int)CHECK_IOCTL(vm, KVM_CREATE_SPAPR_TCE_64, &create);
	CHECK_IOCTL(vm, KVM_CREATE_DEVICE, &vfio);
	CHECK_IOCTL((int)vfio.fd, KVM_SET_DEVICE_ATTR, &attr);
	attr.attr = KVM_DEV_VFIO_GROUP_SET_SPAPR_TCE;
	attr.addr = (uintptr_t)&tie;
	CHECK_IOCTL((int)vfio.fd, KVM_SET_DEVICE_ATTR, &attr);
	*vfio_fd = (int)vfio.fd;
	return tie.tablefd;
}

/* ---- the guest */

static void put_tce(uint64_t ioba, uint64_t tce)
{
	const uint64_t args[] = { LIOBN, ioba, tce };
	long answer = uvfio_kvm_hcall(cpu, UVFIO_H_PUT_TCE, args, NULL);

	printf("H_PUT_TCE 0x%lx at 0x%lx: %ld\n", (unsigned long)tce, (unsigned long)ioba, answer);
}

static void store(uint64_t reg, uint64_t value)
{
	check(uvfio_pwrite(device, &value, sizeof(value), (off_t)reg), "a register");
}

/* The device has a buffer at 0x40000, as it calls it. */
static void copy_page(uint64_t from, uint64_t to, uint64_t command)
{
	const struct timespec ms = { .tv_nsec = 1000000 };
	uint64_t status = 1;

	store(0x80, from);
	store(0x88, to);
	store(0x90, PAGE);
	store(0x98, command | 1);
	for (int i = 0; i < 5000 && status & 1; i++) {
		check(uvfio_pread(device, &status, sizeof(status), 0x98), "a register");
		nanosleep(&ms, NULL);
	}
}

static void guest(void)
{
	strcpy((char *)ram + 0x5000, "written by the guest");
	put_tce(0x0000, 0x5000 | READ);
	put_tce(0x1000, 0x9000 | READ | WRITE);
	put_tce(0x2000, 0x500000 | READ); /* it has no memory there: the emulator's, if anyone's */
	copy_page(0x0000, 0x40000, 0);
	copy_page(0x40000, 0x1000, 2);
	printf("at 0x9000: %s\n", (char *)ram + 0x9000);
	put_tce(0x0000, 0);
	put_tce(0x1000, 0);
}

int main(int argc, char **argv)
{
	struct uvfio_kvm_hcall_counts counts;
	struct uvfio_machine *machine;
	uint16_t command = 2 | 4; /* memory, bus master */
	char description[4096], error[512];
	int container, group, vm, table, vfio;
	struct uvfio_kvm *kvm;

	if (argc != 2) {
		fprintf(stderr, "usage: %s EDU.SO\n", argv[0]);
		return 2;
	}
	snprintf(description, sizeof(description), "device %s\niommu type=spapr\n", argv[1]);
	machine = uvfio_machine_new(description, error, sizeof(error));
	if (!machine) {
		fprintf(stderr, "%s\n", error);
		return 1;
	}
	ram = mmap(NULL, RAM, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	container = make_container(machine, &group);
	vm = make_vm(&kvm);
	table = make_table(vm, group, &vfio);
	device = (int)CHECK_IOCTL(group, VFIO_GROUP_GET_DEVICE_FD, "0000:00:01.0");
	check(uvfio_pwrite(device, &command, sizeof(command), (off_t)COMMAND), "the command register");
	guest();
	check(uvfio_kvm_get_hcall_counts(kvm, NULL, &counts), "the counts");
	printf("fast: %lu, slow: %lu, the program's: %lu\n", (unsigned long)counts.fast,
	       (unsigned long)counts.slow, (unsigned long)counts.user);
	uvfio_kvm_cpu_free(cpu);
	uvfio_kvm_put(kvm);
	uvfio_close(device);
	uvfio_close(vfio);
	uvfio_close(table);
	uvfio_close(vm);
	uvfio_close(group);
	uvfio_close(container);
	uvfio_machine_free(machine);
	return 0;
}
