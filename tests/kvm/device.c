/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The KVM-VFIO device as a VMM uses it, and as it must not: an ordinary client of /dev/kvm and /dev/vfio.
 * What the answers have to be was measured on a kernel; those that need a VFIO file follow its source.
 */
#include "../intercept/client.h"

#include <linux/kvm.h>
#include <sys/eventfd.h>
#include <sys/resource.h>

#include "uapi/vfio.h"

#define ADD  KVM_DEV_VFIO_GROUP_ADD
#define DEL  KVM_DEV_VFIO_GROUP_DEL
#define SKIP 77
#define BAR0 VFIO_PCI_BAR0_REGION_INDEX

static int kvm;

static int new_vm(void)
{
	int vm = ioctl(kvm, KVM_CREATE_VM, 0);

	CHECK(vm >= 0);
	return vm;
}

/* A KVM-VFIO device: its descriptor, or -1. */
static int new_device(int vm, uint32_t flags)
{
	struct kvm_create_device create = { .type = KVM_DEV_TYPE_VFIO, .fd = 12345, .flags = flags };

	if (ioctl(vm, KVM_CREATE_DEVICE, &create))
		return -1;
	if (!(flags & KVM_CREATE_DEVICE_TEST))
		return (int)create.fd;
	CHECK(create.fd == 12345);
	return 0;
}

static int attr(int device, unsigned long request, uint32_t group, uint64_t which, const void *addr)
{
	struct kvm_device_attr attr = { .group = group, .attr = which, .addr = (uintptr_t)addr, .flags = 7 };

	return ioctl(device, request, &attr);
}

static int change(int device, uint64_t which, int32_t fd)
{
	return attr(device, KVM_SET_DEVICE_ATTR, KVM_DEV_VFIO_GROUP, which, &fd);
}

/* ---- the device as such */

static void create(void)
{
	struct kvm_create_device unknown = { .type = 4711 };
	int vm = new_vm(), device, other;
	char link[64], name[64] = "";

	CHECK(ioctl(kvm, KVM_CHECK_EXTENSION, KVM_CAP_DEVICE_CTRL) > 0);
	CHECK(!new_device(vm, KVM_CREATE_DEVICE_TEST));
	FAILS(ioctl(vm, KVM_CREATE_DEVICE, &unknown), ENODEV);
	FAILS(ioctl(vm, KVM_CREATE_DEVICE, NULL), EFAULT);
	device = new_device(vm, 0);
	CHECK(device >= 0 && fcntl(device, F_GETFD) == FD_CLOEXEC);
	snprintf(link, sizeof(link), "/proc/self/fd/%d", device);
	CHECK(readlink(link, name, sizeof(name) - 1) > 0 && !strcmp(name, "anon_inode:kvm-vfio"));
	FAILS(new_device(vm, 0), EBUSY);
	FAILS(new_device(vm, ~(uint32_t)KVM_CREATE_DEVICE_TEST), EBUSY);
	CHECK(!new_device(vm, KVM_CREATE_DEVICE_TEST));
	other = new_vm();
	CHECK(new_device(other, 0) >= 0);
	CHECK((other = dup(device)) >= 0 && !close(device));
	FAILS(new_device(vm, 0), EBUSY);
	CHECK(!close(other));
	CHECK((device = new_device(vm, 0)) >= 0);
	close(device);
	close(vm);
}

static void attributes(void)
{
	int vm = new_vm(), device = new_device(vm, 0);

	CHECK(!attr(device, KVM_HAS_DEVICE_ATTR, KVM_DEV_VFIO_GROUP, ADD, NULL));
	CHECK(!attr(device, KVM_HAS_DEVICE_ATTR, KVM_DEV_VFIO_GROUP, DEL, NULL));
	FAILS(attr(device, KVM_HAS_DEVICE_ATTR, KVM_DEV_VFIO_GROUP, 0, NULL), ENXIO);
	FAILS(attr(device, KVM_HAS_DEVICE_ATTR, KVM_DEV_VFIO_GROUP, 3, NULL), ENXIO);
	FAILS(attr(device, KVM_HAS_DEVICE_ATTR, 2, ADD, NULL), ENXIO);
	FAILS(attr(device, KVM_SET_DEVICE_ATTR, 0, ADD, NULL), ENXIO);
	FAILS(attr(device, KVM_SET_DEVICE_ATTR, KVM_DEV_VFIO_GROUP, 3, NULL), ENXIO);
	FAILS(attr(device, KVM_GET_DEVICE_ATTR, KVM_DEV_VFIO_GROUP, ADD, NULL), EPERM);
	FAILS(ioctl(device, KVM_GET_DEVICE_ATTR, NULL), EPERM);
	FAILS(ioctl(device, KVM_HAS_DEVICE_ATTR, NULL), EFAULT);
	FAILS(ioctl(device, KVM_SET_DEVICE_ATTR, NULL), EFAULT);
	FAILS(ioctl(device, KVM_CREATE_VCPU, 0), ENOTTY);
	FAILS(ioctl(device, VFIO_GET_API_VERSION), ENOTTY);
	FAILS(attr(vm, KVM_SET_DEVICE_ATTR, KVM_DEV_VFIO_GROUP, ADD, NULL), ENOTTY);
	FAILS(attr(vm, KVM_HAS_DEVICE_ATTR, KVM_DEV_VFIO_GROUP, ADD, NULL), ENOTTY);
	close(device);
	close(vm);
}

/* ---- files */

static void no_files_of_vfio(void)
{
	int vm = new_vm(), device = new_device(vm, 0);
	int others[] = { eventfd(0, 0),
			 open("/dev/null", O_RDWR),
			 open("/dev/vfio/vfio", O_RDWR),
			 open("/dev/iommu", O_RDWR),
			 vm,
			 device };
	int closed = dup(vm);
	struct rlimit limit, low;

	close(closed);
	FAILS(attr(device, KVM_SET_DEVICE_ATTR, KVM_DEV_VFIO_GROUP, ADD, NULL), EFAULT);
	FAILS(attr(device, KVM_SET_DEVICE_ATTR, KVM_DEV_VFIO_GROUP, DEL, (void *)-4096l), EFAULT);
	for (int which = ADD; which <= DEL; which++) {
		FAILS(change(device, (uint64_t)which, -1), EBADF);
		FAILS(change(device, (uint64_t)which, closed), EBADF);
		FAILS(change(device, (uint64_t)which, 1000000), EBADF);
		for (size_t i = 0; i < sizeof(others) / sizeof(*others); i++)
			FAILS(change(device, (uint64_t)which, others[i]), which == ADD ? EINVAL : ENOENT);
	}
	/* nothing of them is kept */
	CHECK(!getrlimit(RLIMIT_NOFILE, &limit));
	low = (struct rlimit){ .rlim_cur = 256, .rlim_max = limit.rlim_max };
	CHECK(!setrlimit(RLIMIT_NOFILE, &low));
	for (int i = 0; i < 1000; i++)
		FAILS(change(device, ADD, others[0]), EINVAL);
	CHECK(!setrlimit(RLIMIT_NOFILE, &limit));
	for (int i = 0; i < 4; i++)
		close(others[i]);
	close(device);
	close(vm);
}

/* A process that has inherited the descriptors. */
static void child(void)
{
	int vm = new_vm(), device = new_device(vm, 0), status;
	pid_t pid = fork();

	if (!pid) {
		FAILS(attr(device, KVM_SET_DEVICE_ATTR, KVM_DEV_VFIO_GROUP, ADD, &vm), EIO);
		FAILS(attr(device, KVM_HAS_DEVICE_ATTR, KVM_DEV_VFIO_GROUP, ADD, NULL), EIO);
		_exit(0);
	}
	CHECK(pid > 0 && waitpid(pid, &status, 0) == pid && !status);
	CHECK(!attr(device, KVM_HAS_DEVICE_ATTR, KVM_DEV_VFIO_GROUP, ADD, NULL));
	close(device);
	close(vm);
}

static void files(void)
{
	int vm = new_vm(), device = new_device(vm, 0), copy;
	struct client c = client_open();

	FAILS(change(device, DEL, c.group), ENOENT);
	CHECK(!change(device, ADD, c.group));
	FAILS(change(device, ADD, c.group), EEXIST);
	CHECK((copy = dup(c.group)) >= 0);
	FAILS(change(device, ADD, copy), EEXIST);
	CHECK(!change(device, ADD, c.device));
	FAILS(change(device, ADD, c.device), EEXIST);
	CHECK(!change(device, DEL, copy));
	FAILS(change(device, DEL, c.group), ENOENT);
	CHECK(!change(device, DEL, c.device));
	CHECK(!change(device, ADD, c.group) && !change(device, DEL, c.group));
	close(copy);
	client_close(&c);
	close(device);
	close(vm);
}

/* Who closes first? What has been added stays open until it is removed, or the device is closed. */
static void closed_in_order(const int *order)
{
	int vm = new_vm(), device = new_device(vm, 0), group = open(group_path(), O_RDWR), again;
	int fds[3] = { vm, device, group };
	unsigned int gone = 0;

	CHECK(group >= 0 && !change(device, ADD, group));
	for (int i = 0; i < 3; i++) {
		CHECK(!close(fds[order[i]]));
		gone |= 1u << order[i];
		again = open(group_path(), O_RDWR);
		CHECK((again >= 0) == ((gone & 6) == 6));
		if (again >= 0)
			close(again);
		else
			CHECK(errno == EBUSY);
	}
}

static void closed_in_any_order(void)
{
	static const int orders[6][3] = { { 0, 1, 2 }, { 0, 2, 1 }, { 1, 0, 2 },
					  { 1, 2, 0 }, { 2, 0, 1 }, { 2, 1, 0 } };

	for (int i = 0; i < 6; i++)
		closed_in_order(orders[i]);
}

static void two_vms(void)
{
	int a = new_vm(), b = new_vm(), in_a = new_device(a, 0), in_b = new_device(b, 0);
	struct client c = client_open();

	CHECK(!change(in_a, ADD, c.group) && !change(in_b, ADD, c.group));
	CHECK(!change(in_a, DEL, c.group) && !change(in_b, DEL, c.group));
	CHECK(!change(in_a, ADD, c.group));
	close(a);
	close(in_a);
	CHECK(!change(in_b, ADD, c.group));
	client_close(&c);
	close(in_b);
	close(b);
	c = client_open();
	client_close(&c);
}

static void cdev(void)
{
	struct vfio_device_bind_iommufd bind = { .argsz = sizeof(bind) };
	int vm = new_vm(), device = new_device(vm, 0), iommufd = open("/dev/iommu", O_RDWR);
	int file = open("/dev/vfio/devices/vfio0", O_RDWR);

	CHECK(iommufd >= 0 && file >= 0);
	CHECK(!change(device, ADD, file));
	FAILS(change(device, ADD, file), EEXIST);
	bind.iommufd = iommufd;
	CHECK(!ioctl(file, VFIO_DEVICE_BIND_IOMMUFD, &bind));
	CHECK(!change(device, DEL, file));
	FAILS(change(device, DEL, file), ENOENT);
	CHECK(!change(device, ADD, file));
	close(file);
	FAILS(open(group_path(), O_RDWR), EBUSY); /* it is bound until the device lets it go */
	close(device);
	CHECK((file = open(group_path(), O_RDWR)) >= 0);
	close(file);
	close(iommufd);
	close(vm);
}

/* ---- from elsewhere */

static void foreign(void *arg)
{
	const int *fds = arg;

	FAILS(attr(fds[0], KVM_HAS_DEVICE_ATTR, KVM_DEV_VFIO_GROUP, ADD, NULL), EIO);
	FAILS(attr(fds[0], KVM_SET_DEVICE_ATTR, 99, ADD, NULL), EIO);
	FAILS(change(fds[0], ADD, fds[1]), EIO);
	FAILS(ioctl(fds[0], KVM_CREATE_VCPU, 0), EIO);
	FAILS(new_device(fds[2], 0), EIO);
}

static void another_process(void)
{
	int vm = new_vm(), device = new_device(vm, 0), group = open(group_path(), O_RDWR);
	int fds[3] = { device, group, vm };

	in_child(foreign, fds);
	CHECK(!change(device, ADD, group));
	in_child(foreign, fds);
	FAILS(change(device, ADD, group), EEXIST);
	close(device);
	CHECK((device = new_device(vm, 0)) >= 0);
	close(device);
	close(group);
	close(vm);
}

static void full_table(void)
{
	struct rlimit limit, before;
	int vm = new_vm(), device, last;

	CHECK(!getrlimit(RLIMIT_NOFILE, &before));
	CHECK((last = dup(vm)) >= 0 && !close(last));
	limit = (struct rlimit){ (rlim_t)last, before.rlim_max };
	CHECK(!setrlimit(RLIMIT_NOFILE, &limit));
	FAILS(new_device(vm, 0), EMFILE);
	CHECK(!setrlimit(RLIMIT_NOFILE, &before));
	CHECK((device = new_device(vm, 0)) >= 0);
	close(device);
	close(vm);
}

/* ---- interrupts: from the device into the VM, past the program */

static void route(int vm)
{
	struct {
		struct kvm_irq_routing head;
		struct kvm_irq_routing_entry entry;
	} table = { .head = { .nr = 1 },
		    .entry = { .gsi = 40,
			       .type = KVM_IRQ_ROUTING_MSI,
			       .u.msi = { .address_lo = 0xfee00000, .data = 0x41 } } };

	CHECK(!ioctl(vm, KVM_SET_GSI_ROUTING, &table));
}

static void set_irqs(const struct client *c, uint32_t flags, int32_t data)
{
	struct {
		struct vfio_irq_set head;
		int32_t data;
	} set = { .head = { .argsz = sizeof(set),
			    .flags = flags | VFIO_IRQ_SET_ACTION_TRIGGER,
			    .index = VFIO_PCI_MSIX_IRQ_INDEX,
			    .count = 1 },
		  .data = data };

	CHECK(!ioctl(c->device, VFIO_DEVICE_SET_IRQS, &set));
}

/* A message of the device's is taken by the VM: the eventfd that it went through is empty at once. */
static void irqfd(void)
{
	int vm = new_vm(), event = eventfd(0, EFD_NONBLOCK);
	struct kvm_irqfd irqfd = { .fd = (uint32_t)event, .gsi = 40 };
	struct client c = client_open();
	uint64_t count;

	CHECK(!ioctl(vm, KVM_CREATE_IRQCHIP));
	route(vm);
	set_irqs(&c, VFIO_IRQ_SET_DATA_EVENTFD, event);
	set_irqs(&c, VFIO_IRQ_SET_DATA_BOOL, 1);
	CHECK(read(event, &count, sizeof(count)) == sizeof(count) && count == 1);
	CHECK(!ioctl(vm, KVM_IRQFD, &irqfd));
	set_irqs(&c, VFIO_IRQ_SET_DATA_BOOL, 1);
	FAILS(read(event, &count, sizeof(count)), EAGAIN);
	irqfd.flags = KVM_IRQFD_FLAG_DEASSIGN;
	CHECK(!ioctl(vm, KVM_IRQFD, &irqfd));
	set_irqs(&c, VFIO_IRQ_SET_DATA_BOOL, 1);
	CHECK(read(event, &count, sizeof(count)) == sizeof(count) && count == 1);
	client_close(&c);
	close(event);
	close(vm);
}

/* ---- what a guest must not reach directly */

static bool mappable(const struct client *c)
{
	struct vfio_region_info info = { .argsz = sizeof(info), .index = BAR0 };
	bool flag;
	void *at;

	CHECK(!ioctl(c->device, VFIO_DEVICE_GET_REGION_INFO, &info));
	CHECK(info.size >= 0x2000 && (info.flags & VFIO_REGION_INFO_FLAG_READ));
	flag = info.flags & VFIO_REGION_INFO_FLAG_MMAP;
	at = mmap(NULL, 0x1000, PROT_READ, MAP_SHARED, c->device, (off_t)info.offset);
	CHECK(flag == (at != MAP_FAILED));
	if (at != MAP_FAILED)
		munmap(at, 0x1000);
	else
		CHECK(errno == EINVAL);
	return flag;
}

static void registers_of_a_guest(bool vm_made)
{
	struct client c = client_open();

	CHECK(mappable(&c) == !vm_made);
	client_close(&c);
}

int main(void)
{
	kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC);
	if (kvm < 0 || ioctl(kvm, KVM_GET_API_VERSION, 0) != KVM_API_VERSION) {
		printf("SKIP: /dev/kvm does not work here (%s)\n", strerror(errno));
		return SKIP;
	}
	registers_of_a_guest(false);
	create();
	registers_of_a_guest(true);
	attributes();
	no_files_of_vfio();
	child();
	files();
	closed_in_any_order();
	two_vms();
	cdev();
	another_process();
	full_table();
	irqfd();
	return 0;
}
