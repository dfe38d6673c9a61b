/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The host's KVM and our devices.
 *
 * VMs, vCPUs, irqfds and ioeventfds are the kernel's. Two things of it we see. A VM that is made: from then
 * on what the program maps may be a guest's memory. And KVM_CREATE_DEVICE of a KVM-VFIO device, which knows
 * none of our files: the program gets a file of ours in front of the kernel's device. That one says yes or no
 * (one device for each VM, TEST, capabilities), keeps the VM alive, and gets all that is not about our files,
 * so real groups can be added beside ours.
 *
 * A VM is known to VFIO, and to drivers, by the address of what stands for it here.
 */
#include "intercept/kvm_host.h"

#include "base/why.h"
#include "file/fdtable.h"
#include "file/ioctl.h"
#include "intercept/intercept.h"
#include "intercept/section.h"
#include "iommu/mm.h"
#include "kvm/device_attr.h"
#include "kvm/vfio.h"
#include "machine/machine.h"
#include "pci/pci.h"

#include <string.h>

struct host_vfio {
	int fd; /* the kernel's device; private */
	struct mm *mm;
	pid_t pid;
	struct kvm_vfio *kv;
};

/* ---- the device's file */

/* The kernel's answer. */
static int ask(const struct host_vfio *host, unsigned long request, const struct kvm_device_attr *attr)
{
	return REAL(ioctl)(host->fd, request, attr) < 0 ? -errno : 0;
}

/* A descriptor that is not ours, in the kernel's device. */
static int set_foreign(const struct host_vfio *host, const struct caller *caller,
		       const struct kvm_device_attr *attr, int foreign)
{
	int32_t fd = caller->ops->dup_fd(caller, foreign);
	struct kvm_device_attr own = *attr;
	int rc;

	if (fd < 0)
		return fd;
	own.addr = (uintptr_t)&fd;
	rc = ask(host, KVM_SET_DEVICE_ATTR, &own);
	private_fd_close(fd);
	return rc ? WHY(rc, "the kernel's KVM-VFIO device refuses descriptor %d", foreign) : 0;
}

static long set_attr(const struct host_vfio *host, const struct caller *caller,
		     const struct kvm_device_attr *attr)
{
	int foreign = -1, rc = kvm_vfio_set(host->kv, caller, attr, &foreign);

	return rc && foreign >= 0 ? set_foreign(host, caller, attr, foreign) : rc;
}

static long attr_ioctl(struct ioctl_call *call, void *arg)
{
	struct host_vfio *host = call->file->priv;
	struct kvm_device_attr attr;
	int rc;

	(void)arg;
	if (call->row->cmd == KVM_GET_DEVICE_ATTR)
		return WHY(-EPERM, "a KVM-VFIO device has nothing to be read");
	rc = kvm_attr_read(call, &attr);
	if (rc)
		return rc;
	return call->row->cmd == KVM_SET_DEVICE_ATTR ? set_attr(host, call->caller, &attr)
						     : ask(host, KVM_HAS_DEVICE_ATTR, &attr);
}

static const struct ioctl_row rows[] = { KVM_ATTR_ROWS(attr_ioctl) };

static long device_ioctl(struct file *file, const struct caller *caller, uint32_t cmd, uint64_t arg)
{
	const struct host_vfio *host = file->priv;

	if (caller->mm != host->mm || caller->pid != host->pid)
		return WHY(-EIO, "the VM belongs to another process");
	return ioctl_dispatch(rows, ARRAY_SIZE(rows), file, caller, cmd, arg);
}

/* The kernel's device goes last: with it perhaps the VM. */
static void host_vfio_free(struct host_vfio *host)
{
	kvm_vfio_free(host->kv);
	private_fd_close(host->fd);
	mm_put(host->mm);
	free(host);
}

static void device_release(struct file *file)
{
	host_vfio_free(file->priv);
}

static const struct file_ops device_fops = {
	.name = "kvm-device",
	.release = device_release,
	.ioctl = device_ioctl,
};

/* ---- making it */

/* fd: the kernel's device, which is closed on failure. */
static struct host_vfio *host_vfio_new(int fd)
{
	struct host_vfio *host = calloc(1, sizeof(*host));

	if (host)
		host->kv = kvm_vfio_new((struct kvm *)host);
	if (!host || !host->kv) {
		close(fd);
		free(host);
		return NULL;
	}
	host->fd = private_fd(fd);
	host->mm = mm_get(self_caller.mm);
	host->pid = self_caller.pid;
	return host;
}

/* The kernel's device fd is the program's as a file of ours: 0, with the number at at, or -errno. */
static int give_device(int fd, unsigned long at)
{
	struct host_vfio *host = host_vfio_new(fd);
	struct file *file;

	if (!host)
		return -ENOMEM;
	file = file_alloc(&device_fops, host, O_RDWR, "anon_inode:kvm-vfio");
	if (!file) {
		host_vfio_free(host);
		return -ENOMEM;
	}
	return self_caller.ops->install_at(&self_caller, file, O_RDWR | O_CLOEXEC, at);
}

static bool is_host(void)
{
	struct uvfio_machine *machine = intercept_machine();

	return machine && machine_kvm(machine) == MACHINE_KVM_HOST;
}

static int create_device(int fd, unsigned long arg)
{
	int saved_errno = errno, rc;
	struct kvm_create_device create;

	if (!is_host() || copy_in(&self_caller, &create, arg, sizeof(create)) ||
	    create.type != KVM_DEV_TYPE_VFIO || (create.flags & KVM_CREATE_DEVICE_TEST))
		return REAL(ioctl)(fd, KVM_CREATE_DEVICE, arg);
	if (REAL(ioctl)(fd, KVM_CREATE_DEVICE, &create) < 0)
		return -1;
	section_begin();
	rc = give_device((int)create.fd, arg + offsetof(struct kvm_create_device, fd));
	section_end();
	return (int)ret_errno_or(rc, saved_errno);
}

static bool is_vm(int fd)
{
	char link[32], name[64];
	ssize_t n;

	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	n = REAL(readlink)(link, name, sizeof(name) - 1);
	name[MAX(n, 0)] = 0;
	return !strcmp(name, "anon_inode:kvm-vm");
}

static int create_vm(int fd, unsigned long arg)
{
	int vm = REAL(ioctl)(fd, KVM_CREATE_VM, arg), saved_errno = errno;

	if (vm >= 0 && is_vm(vm) && is_host())
		pci_map_for_guests();
	errno = saved_errno;
	return vm;
}

int kvm_host_ioctl(int fd, unsigned long request, unsigned long arg)
{
	if (!session.on || intercept_foreign_process())
		return REAL(ioctl)(fd, request, arg);
	switch ((uint32_t)request) {
	case KVM_CREATE_VM:
		return create_vm(fd, arg);
	case KVM_CREATE_DEVICE:
		return create_device(fd, arg);
	default:
		return REAL(ioctl)(fd, request, arg);
	}
}
