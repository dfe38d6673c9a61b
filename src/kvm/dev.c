/* SPDX-License-Identifier: BSD-2-Clause */
/* /dev/kvm: what can be asked of it, and making VMs. */
#include "kvm/describe.h"
#include "kvm/impl.h"
#include "kvm/irqchip.h"

#include <fcntl.h>

const struct kvm_cpu_type *kvm_cpu_type;
void (*kvm_created)(void);

void kvm_set_cpu_type(const struct kvm_cpu_type *type)
{
	kvm_cpu_type = type;
}

/* ---- capabilities */

static const struct {
	uint32_t cap;
	int value;
} capabilities[] = {
	{ KVM_CAP_USER_MEMORY, 1 },
	{ KVM_CAP_DESTROY_MEMORY_REGION_WORKS, 1 },
	{ KVM_CAP_JOIN_MEMORY_REGIONS_WORKS, 1 },
	{ KVM_CAP_SYNC_MMU, 1 },
	{ KVM_CAP_INTERNAL_ERROR_DATA, 1 },
	{ KVM_CAP_READONLY_MEM, 1 },
	{ KVM_CAP_NR_MEMSLOTS, 32764 },
	{ KVM_CAP_NR_VCPUS, KVM_MAX_VCPU_COUNT },
	{ KVM_CAP_MAX_VCPUS, KVM_MAX_VCPU_COUNT },
	{ KVM_CAP_MAX_VCPU_ID, KVM_MAX_VCPU_IDS },
	{ KVM_CAP_IRQCHIP, 1 },
	{ KVM_CAP_IRQ_INJECT_STATUS, 1 },
	{ KVM_CAP_IRQ_ROUTING, KVM_MAX_IRQ_ROUTES },
	{ KVM_CAP_IRQFD, 1 },
	{ KVM_CAP_IRQFD_RESAMPLE, 1 },
	{ KVM_CAP_SIGNAL_MSI, 1 },
	{ KVM_CAP_SPLIT_IRQCHIP, 1 },
	{ KVM_CAP_IOEVENTFD, 1 },
	{ KVM_CAP_IOEVENTFD_NO_LENGTH, 1 },
	{ KVM_CAP_IOEVENTFD_ANY_LENGTH, 1 },
	{ KVM_CAP_COALESCED_MMIO, 2 /* the page of the ring in a vCPU's mapping */ },
	{ KVM_CAP_COALESCED_PIO, 1 },
	{ KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2,
	  KVM_DIRTY_LOG_MANUAL_PROTECT_ENABLE | KVM_DIRTY_LOG_INITIALLY_SET },
	{ KVM_CAP_DEVICE_CTRL, 1 },
	{ KVM_CAP_CHECK_EXTENSION_VM, 1 },
	{ KVM_CAP_ENABLE_CAP_VM, 1 },
};

long kvm_check_extension(const struct kvm *kvm, uint32_t cap)
{
	const struct kvm_arch_ops *arch_ops = kvm ? kvm->arch_ops : NULL;
	long value = 0;

	if (kvm && kvm_arch_is_without_cap(kvm, cap))
		return 0;
	for (size_t i = 0; i < ARRAY_SIZE(capabilities); i++)
		if (capabilities[i].cap == cap)
			return capabilities[i].value;
	if (arch_ops)
		value = arch_ops->check_extension(cap);
	else if (!kvm)
		value = kvm_archs_check_extension(cap);
	if (!value && kvm_cpu_type && kvm_cpu_type->check_extension)
		value = kvm_cpu_type->check_extension(cap);
	return value;
}

/* ---- ioctls */

static long get_api_version(struct ioctl_call *call, void *arg)
{
	(void)arg;
	return call->arg ? WHY(-EINVAL, "the argument is %llu, must be 0", (unsigned long long)call->arg)
			 : KVM_API_VERSION;
}

static long create_vm(struct ioctl_call *call, void *arg)
{
	struct file *file;
	struct kvm *kvm;
	int rc;

	(void)arg;
	rc = kvm_create(call->caller, call->arg, &kvm);
	if (rc)
		return rc;
	rc = kvm_vm_file(kvm, &file);
	if (rc) {
		kvm_put(kvm);
		return rc;
	}
	if (kvm_created)
		kvm_created();
	return call->caller->ops->install(call->caller, file, O_RDWR | O_CLOEXEC);
}

static long check_extension(struct ioctl_call *call, void *arg)
{
	(void)arg;
	return kvm_check_extension(NULL, (uint32_t)call->arg);
}

static long get_vcpu_mmap_size(struct ioctl_call *call, void *arg)
{
	(void)arg;
	if (call->arg)
		return WHY(-EINVAL, "the argument is %llu, must be 0", (unsigned long long)call->arg);
	/* the run structure, the data of port accesses, the coalesced ring */
	return kvm_cpu_type ? (long)kvm_cpu_type->mmap_size : (long)(3 * UVFIO_PAGE_SIZE);
}

#define VALUE(request, fn)                                                                                   \
	{                                                                                                    \
		.cmd = request, .name = #request, .row_flags = IOC_VALUE, .handler = fn                      \
	}

static const struct ioctl_row rows[] = {
	VALUE(KVM_GET_API_VERSION, get_api_version),
	VALUE(KVM_CREATE_VM, create_vm),
	VALUE(KVM_CHECK_EXTENSION, check_extension),
	VALUE(KVM_GET_VCPU_MMAP_SIZE, get_vcpu_mmap_size),
};

static bool has(const struct ioctl_row *table, size_t nr, uint32_t cmd)
{
	for (size_t i = 0; i < nr; i++)
		if (table[i].cmd == cmd)
			return true;
	return false;
}

/* What it does not know is EINVAL here, where other files have ENOTTY. */
static long dev_ioctl(struct file *file, const struct caller *caller, uint32_t cmd, uint64_t arg)
{
	const struct kvm_cpu_type *type = kvm_cpu_type;

	if (has(rows, ARRAY_SIZE(rows), cmd))
		return ioctl_dispatch(rows, ARRAY_SIZE(rows), file, caller, cmd, arg);
	if (type && has(type->system_rows, type->nr_system_rows, cmd))
		return ioctl_dispatch(type->system_rows, type->nr_system_rows, file, caller, cmd, arg);
	return kvm_unknown_request(file, cmd, -EINVAL);
}

static void dev_release(struct file *file)
{
	(void)file;
}

static const struct file_ops dev_file_ops = {
	.name = "kvm-system",
	.release = dev_release,
	.ioctl = dev_ioctl,
};

int kvm_dev_open(int oflags, struct file **file)
{
	*file = file_alloc(&dev_file_ops, NULL, oflags, "/dev/kvm");
	return *file ? 0 : -ENOMEM;
}
