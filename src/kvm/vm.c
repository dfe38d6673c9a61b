/* SPDX-License-Identifier: BSD-2-Clause */
/* A VM: its life, its file, and the table of its ioctls. */
#include "kvm/describe.h"
#include "kvm/impl.h"
#include "kvm/irqchip.h"
#include "kvm/irqfd.h"

#include <fcntl.h>
#include <stdlib.h>

/* ---- life */

static void free_kvm(struct kvm *kvm, unsigned int buses)
{
	if (kvm->arch)
		kvm->arch_ops->destroy(kvm->arch);
	while (buses--)
		kvm_io_bus_destroy(&kvm->buses[buses]);
	kvm_irqfds_destroy(kvm);
	kvm_irqchip_destroy(kvm);
	kvm_coalesced_destroy(kvm);
	kvm_memslots_destroy(kvm);
	srcu_destroy(&kvm->srcu);
	pthread_mutex_destroy(&kvm->slots_lock);
	pthread_mutex_destroy(&kvm->vcpus_lock);
	mm_put(kvm->mm);
	free(kvm);
}

int kvm_create(const struct caller *caller, uint64_t type, struct kvm **out)
{
	const struct kvm_arch_ops *arch_ops = kvm_arch_of_type(type);
	unsigned int buses = 0;
	struct kvm *kvm;
	int rc = 0;

	if (type && !arch_ops)
		return WHY(-EINVAL, "there is no machine type %llu", (unsigned long long)type);
	kvm = aligned_alloc(_Alignof(struct kvm), sizeof(*kvm));
	if (!kvm)
		return -ENOMEM;
	*kvm = (struct kvm){ .refs = 1, .mm = mm_get(caller->mm), .arch_ops = arch_ops };
	pthread_mutex_init(&kvm->slots_lock, NULL);
	pthread_mutex_init(&kvm->vcpus_lock, NULL);
	srcu_init(&kvm->srcu);
	CDS_INIT_LIST_HEAD(&kvm->devices);
	kvm_coalesced_init(kvm);
	kvm_irqfds_init(kvm);
	kvm_irqchip_init(kvm);
	for (; !rc && buses < KVM_NR_BUSES; buses++)
		rc = kvm_io_bus_init(&kvm->buses[buses]);
	if (!rc && arch_ops)
		rc = arch_ops->create(kvm, &kvm->arch);
	if (rc) {
		free_kvm(kvm, buses);
		return rc;
	}
	*out = kvm;
	return 0;
}

void kvm_get(struct kvm *kvm)
{
	atomic_fetch_add_explicit(&kvm->refs, 1, memory_order_relaxed);
}

void kvm_put(struct kvm *kvm)
{
	if (atomic_fetch_sub_explicit(&kvm->refs, 1, memory_order_acq_rel) == 1)
		free_kvm(kvm, KVM_NR_BUSES);
}

int kvm_check_mm(const struct kvm *kvm, const struct caller *caller)
{
	return likely(caller->mm == kvm->mm) ? 0 : WHY(-EIO, "the VM belongs to process %d", kvm->mm->pid);
}

/* ---- ioctls */

static long create_vcpu(struct ioctl_call *call, void *arg)
{
	(void)arg;
	if (!kvm_cpu_type)
		return WHY(-ENODEV, "nothing here executes guest code");
	if (call->arg >= KVM_MAX_VCPU_IDS)
		return WHY(-EINVAL, "vCPU %llu, the last is %u", (unsigned long long)call->arg,
			   KVM_MAX_VCPU_IDS - 1);
	return kvm_cpu_type->create(kvm_of_call(call), call->caller, (uint32_t)call->arg);
}

static long check_extension(struct ioctl_call *call, void *arg)
{
	(void)arg;
	return kvm_check_extension(kvm_of_call(call), (uint32_t)call->arg);
}

static int enable_manual_protect(struct kvm *kvm, const struct kvm_enable_cap *in)
{
	uint64_t known = KVM_DIRTY_LOG_MANUAL_PROTECT_ENABLE;

	if (in->args[0] & KVM_DIRTY_LOG_MANUAL_PROTECT_ENABLE)
		known |= KVM_DIRTY_LOG_INITIALLY_SET;
	if (in->flags || in->args[0] & ~known)
		return WHY(-EINVAL, "unknown flags 0x%llx of the dirty log", in->args[0] & ~known);
	pthread_mutex_lock(&kvm->slots_lock);
	kvm->manual_dirty_protect = in->args[0];
	pthread_mutex_unlock(&kvm->slots_lock);
	return 0;
}

static long enable_cap(struct ioctl_call *call, void *arg)
{
	const struct kvm_enable_cap *in = arg;
	struct kvm *kvm = kvm_of_call(call);

	if (kvm_arch_is_without_cap(kvm, in->cap))
		return WHY(-EINVAL, "capability %u is none of this architecture's", in->cap);
	switch (in->cap) {
	case KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2:
		return enable_manual_protect(kvm, in);
	case KVM_CAP_SPLIT_IRQCHIP:
		return in->flags ? -EINVAL : kvm_irqchip_create_split(kvm, in->args[0]);
	default:
		if (kvm->arch_ops)
			return kvm->arch_ops->enable_cap(kvm->arch, in);
		return WHY(-EINVAL, "capability %u is none that is enabled", in->cap);
	}
}

#define PLAIN(request, structure, fn, what)                                                                  \
	{                                                                                                    \
		.cmd = request, .name = #request, .minsz = sizeof(struct structure), .row_flags = IOC_PLAIN, \
		.handler = fn, .describe = kvm_describe_##what                                               \
	}
#define PLAIN_OUT(request, structure, fn, what)                                                              \
	{                                                                                                    \
		.cmd = request, .name = #request, .minsz = sizeof(struct structure),                         \
		.outsz = sizeof(struct structure), .row_flags = IOC_PLAIN | IOC_OUT_FIXED, .handler = fn,    \
		.describe = kvm_describe_##what                                                              \
	}
#define VALUE(request, fn, what)                                                                             \
	{                                                                                                    \
		.cmd = request, .name = #request, .row_flags = IOC_VALUE, .handler = fn, .describe = what    \
	}

_Static_assert(sizeof(struct kvm_enable_cap) <= IOC_ARG_MAX, "the largest one fits into the engine's buffer");

/* What is called in a loop comes first. */
static const struct ioctl_row rows[] = {
	PLAIN(KVM_IOEVENTFD, kvm_ioeventfd, kvm_ioctl_ioeventfd, ioeventfd),
	PLAIN(KVM_IRQ_LINE, kvm_irq_level, kvm_ioctl_irq_line, line),
	PLAIN_OUT(KVM_IRQ_LINE_STATUS, kvm_irq_level, kvm_ioctl_irq_line, line),
	PLAIN(KVM_SIGNAL_MSI, kvm_msi, kvm_ioctl_signal_msi, msi),
	PLAIN(KVM_IRQFD, kvm_irqfd, kvm_ioctl_irqfd, irqfd),
	PLAIN(KVM_SET_USER_MEMORY_REGION, kvm_userspace_memory_region, kvm_ioctl_set_memory, slot),
	PLAIN(KVM_GET_DIRTY_LOG, kvm_dirty_log, kvm_ioctl_get_dirty_log, dirty),
	PLAIN(KVM_CLEAR_DIRTY_LOG, kvm_clear_dirty_log, kvm_ioctl_clear_dirty_log, dirty),
	PLAIN(KVM_REGISTER_COALESCED_MMIO, kvm_coalesced_mmio_zone, kvm_ioctl_register_zone, zone),
	PLAIN(KVM_UNREGISTER_COALESCED_MMIO, kvm_coalesced_mmio_zone, kvm_ioctl_unregister_zone, zone),
	PLAIN(KVM_SET_GSI_ROUTING, kvm_irq_routing, kvm_ioctl_set_gsi_routing, routing),
	PLAIN_OUT(KVM_CREATE_DEVICE, kvm_create_device, kvm_ioctl_create_device, device),
	PLAIN(KVM_ENABLE_CAP, kvm_enable_cap, enable_cap, cap),
	VALUE(KVM_CREATE_VCPU, create_vcpu, kvm_describe_value),
	VALUE(KVM_CHECK_EXTENSION, check_extension, kvm_describe_value),
	VALUE(KVM_CREATE_IRQCHIP, kvm_ioctl_create_irqchip, NULL),
	VALUE(KVM_GET_IRQCHIP, kvm_ioctl_get_irqchip, NULL),
	VALUE(KVM_SET_IRQCHIP, kvm_ioctl_set_irqchip, NULL),
};

static bool has(const struct ioctl_row *table, size_t nr, uint32_t cmd)
{
	for (size_t i = 0; i < nr; i++)
		if (table[i].cmd == cmd)
			return true;
	return false;
}

static long vm_ioctl(struct file *file, const struct caller *caller, uint32_t cmd, uint64_t arg)
{
	int rc = kvm_check_mm(file->priv, caller);
	long answer;

	if (unlikely(rc))
		return rc;
	if (!kvm_arch_ioctl(file->priv, file, caller, cmd, arg, &answer))
		return answer;
	if (kvm_cpu_type && has(kvm_cpu_type->vm_rows, kvm_cpu_type->nr_vm_rows, cmd))
		return ioctl_dispatch(kvm_cpu_type->vm_rows, kvm_cpu_type->nr_vm_rows, file, caller, cmd,
				      arg);
	if (!has(rows, ARRAY_SIZE(rows), cmd))
		return kvm_unknown_request(file, cmd, -ENOTTY);
	return ioctl_dispatch(rows, ARRAY_SIZE(rows), file, caller, cmd, arg);
}

/* ---- the file */

static void vm_release(struct file *file)
{
	kvm_irqfds_release(file->priv);
	kvm_put(file->priv);
}

static const struct file_ops vm_file_ops = {
	.name = "kvm-vm",
	.release = vm_release,
	.ioctl = vm_ioctl,
};

int kvm_vm_file(struct kvm *kvm, struct file **file)
{
	*file = file_alloc(&vm_file_ops, kvm, O_RDWR, "anon_inode:kvm-vm");
	return *file ? 0 : -ENOMEM;
}

struct kvm *kvm_of_file(struct file *file)
{
	if (file->ops != &vm_file_ops)
		return NULL;
	kvm_get(file->priv);
	return file->priv;
}
