/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Threads that do to VMs' KVM-VFIO devices, and to the descriptors that these are given, whatever comes to
 * their minds. Nothing is expected of a single call; in the end everything works, and is free.
 */
#include "../intercept/client.h"

#include <linux/kvm.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/eventfd.h>

#define SKIP    77
#define THREADS 4
#define ROUNDS  6000
#define SLOTS   24

/* Where what is kept, four of each. */
enum kind { VM, DEVICE, FILE_OF_VFIO, CONTAINER, OTHER };

static int kvm;
/* Descriptors that threads exchange; -1: none. Another thread may close what one has just taken out. */
static _Atomic int slots[SLOTS];
static char *pages; /* one that is readable, one that is not */

struct thread {
	pthread_t id;
	unsigned int seed;
};

static unsigned int any(struct thread *t, unsigned int n)
{
	t->seed = t->seed * 1103515245 + 12345;
	return (t->seed >> 16) % n;
}

/* Mostly one that is right. */
static int any_fd(struct thread *t, enum kind kind)
{
	static const int odd[] = { -1, 0x7fffffff, 1 << 20 };

	if (any(t, 4))
		return slots[4 * kind + any(t, 4)];
	return any(t, 8) ? slots[any(t, SLOTS)] : odd[any(t, 3)];
}

static void keep(struct thread *t, enum kind kind, int fd)
{
	int old = fd >= 0 ? atomic_exchange(&slots[4 * kind + any(t, 4)], fd) : -1;

	if (old > 2)
		close(old);
}

static uint64_t any_pointer(struct thread *t, const void *good)
{
	switch (any(t, 12)) {
	case 0:
		return 0;
	case 1:
		return (uintptr_t)pages + 4096 - 2; /* across the end */
	case 2:
		return (uintptr_t)pages + 4096;
	case 3:
		return UINT64_MAX - any(t, 8);
	default:
		return (uintptr_t)good;
	}
}

static void create_device(struct thread *t)
{
	struct kvm_create_device create = { .type = any(t, 8) ? KVM_DEV_TYPE_VFIO : any(t, 20),
					    .flags = any(t, 4) ? 0 : any(t, 4) };
	uint64_t at = any_pointer(t, &create);

	if (!ioctl(any_fd(t, VM), KVM_CREATE_DEVICE, at) && at == (uintptr_t)&create && !(create.flags & 1))
		keep(t, DEVICE, (int)create.fd);
}

static void set_attr(struct thread *t)
{
	int32_t fd = any_fd(t, FILE_OF_VFIO);
	struct kvm_device_attr attr = { .flags = any(t, 3),
					.group = any(t, 8) ? KVM_DEV_VFIO_GROUP : any(t, 4),
					.attr = any(t, 8) ? 1 + any(t, 2) : any(t, 5),
					.addr = any_pointer(t, &fd) };
	static const unsigned long requests[] = { KVM_SET_DEVICE_ATTR, KVM_SET_DEVICE_ATTR,
						  KVM_HAS_DEVICE_ATTR, KVM_GET_DEVICE_ATTR };

	ioctl(any_fd(t, DEVICE), requests[any(t, 4)], any_pointer(t, &attr));
}

static void open_device(struct thread *t)
{
	int group = any_fd(t, FILE_OF_VFIO), container = any_fd(t, CONTAINER);

	ioctl(group, VFIO_GROUP_SET_CONTAINER, &container);
	ioctl(container, VFIO_SET_IOMMU, VFIO_TYPE1v2_IOMMU);
	keep(t, FILE_OF_VFIO, ioctl(group, VFIO_GROUP_GET_DEVICE_FD, BDF));
}

static void *hostile(void *arg)
{
	struct thread *t = arg;

	for (int i = 0; i < ROUNDS; i++)
		switch (any(t, 12)) {
		case 0:
			keep(t, OTHER, any(t, 4) ? dup(any_fd(t, OTHER)) : eventfd(0, EFD_CLOEXEC));
			break;
		case 1:
			if (any(t, 2))
				keep(t, FILE_OF_VFIO, open(group_path(), O_RDWR | O_CLOEXEC));
			else
				keep(t, CONTAINER, open("/dev/vfio/vfio", O_RDWR | O_CLOEXEC));
			break;
		case 2:
			keep(t, FILE_OF_VFIO, open("/dev/vfio/devices/vfio0", O_RDWR | O_CLOEXEC));
			break;
		case 3:
			keep(t, VM, any(t, 4) ? dup(any_fd(t, VM)) : ioctl(kvm, KVM_CREATE_VM, 0));
			break;
		case 4:
		case 5:
			create_device(t);
			break;
		case 6:
			open_device(t);
			break;
		default:
			set_attr(t);
		}
	return NULL;
}

/* The kernel frees a VM that another one's descriptor held up a little later. */
static void all_is_free(void)
{
	struct kvm_create_device create = { .type = KVM_DEV_TYPE_VFIO };
	struct kvm_device_attr attr = { .group = KVM_DEV_VFIO_GROUP, .attr = KVM_DEV_VFIO_GROUP_ADD };
	struct client c = client_open();
	int vm = ioctl(kvm, KVM_CREATE_VM, 0);

	CHECK(vm >= 0 && !ioctl(vm, KVM_CREATE_DEVICE, &create));
	attr.addr = (uintptr_t)&c.group;
	CHECK(!ioctl((int)create.fd, KVM_SET_DEVICE_ATTR, &attr));
	client_close(&c);
	close((int)create.fd);
	close(vm);
}

int main(void)
{
	struct thread threads[THREADS];

	kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC);
	if (kvm < 0 || ioctl(kvm, KVM_GET_API_VERSION, 0) != KVM_API_VERSION) {
		printf("SKIP: /dev/kvm does not work here (%s)\n", strerror(errno));
		return SKIP;
	}
	group_path(); /* its buffer is filled once */
	pages = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	CHECK(pages != MAP_FAILED && !mprotect(pages + 4096, 4096, PROT_NONE));
	for (int i = 0; i < SLOTS; i++)
		slots[i] = -1;
	for (unsigned int i = 0; i < THREADS; i++) {
		threads[i].seed = i + 1;
		CHECK(!pthread_create(&threads[i].id, NULL, hostile, &threads[i]));
	}
	for (int i = 0; i < THREADS; i++)
		CHECK(!pthread_join(threads[i].id, NULL));
	for (int i = 0; i < SLOTS; i++)
		if (slots[i] > 2)
			close(slots[i]);
	all_is_free();
	return 0;
}
