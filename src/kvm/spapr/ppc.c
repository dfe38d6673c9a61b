/* SPDX-License-Identifier: BSD-2-Clause */
/* VMs of type KVM_VM_PPC_HV: their table of operations. */
#include "base/why.h"
#include "kvm/spapr/spapr_tce.h"

#include <stdio.h>
#include <stdlib.h>

extern const struct kvm_arch_ops kvm_ppc_ops;

static int create(struct kvm *kvm, void **arch)
{
	struct spapr_vm *vm = aligned_alloc(_Alignof(struct spapr_vm), sizeof(*vm));

	if (!vm)
		return -ENOMEM;
	*vm = (struct spapr_vm){ .kvm = kvm };
	pthread_mutex_init(&vm->lock, NULL);
	CDS_INIT_LIST_HEAD(&vm->all);
	*arch = vm;
	return 0;
}

/* Tables hold the VM: there are none any more. */
static void destroy(void *arch)
{
	struct spapr_vm *vm = arch;

	pthread_mutex_destroy(&vm->lock);
	free(vm);
}

static long check_extension(uint32_t cap)
{
	switch (cap) {
	case KVM_CAP_SPAPR_TCE:
	case KVM_CAP_SPAPR_TCE_64:
	case KVM_CAP_SPAPR_MULTITCE:
	case KVM_CAP_SPAPR_TCE_VFIO:
	case KVM_CAP_PPC_ENABLE_HCALL:
		return 1;
	default:
		return 0;
	}
}

/* Controllers of a PC, and what is routed to them. XICS and XIVE are devices. */
static const uint32_t without_ioctls[] = { KVM_CREATE_IRQCHIP, (uint32_t)KVM_GET_IRQCHIP,
					   KVM_SET_IRQCHIP,    KVM_SET_GSI_ROUTING,
					   KVM_SIGNAL_MSI,     0 };
static const uint32_t without_caps[] = { KVM_CAP_IRQCHIP,    KVM_CAP_IRQ_INJECT_STATUS, KVM_CAP_IRQ_ROUTING,
					 KVM_CAP_SIGNAL_MSI, KVM_CAP_SPLIT_IRQCHIP,     KVM_ARCH_NO_CAP };

static int enable_cap(void *arch, const struct kvm_enable_cap *in)
{
	if (in->flags)
		return WHY(-EINVAL, "there are no flags");
	if (in->cap != KVM_CAP_PPC_ENABLE_HCALL)
		return WHY(-EINVAL, "capability %u is none that is enabled", in->cap);
	if (in->args[1] > 1)
		return WHY(-EINVAL, "args[1] is 0 or 1");
	return spapr_enable_hcall(arch, in->args[0], in->args[1]);
}

static void describe(const struct ioctl_call *call, const void *arg, char *buf, size_t len)
{
	const struct kvm_create_spapr_tce *in = arg;

	(void)call;
	snprintf(buf, len, "liobn=0x%llx window_size=0x%x", (unsigned long long)in->liobn, in->window_size);
}

static void describe_64(const struct ioctl_call *call, const void *arg, char *buf, size_t len)
{
	const struct kvm_create_spapr_tce_64 *in = arg;

	(void)call;
	snprintf(buf, len, "liobn=0x%llx page_shift=%u flags=0x%x offset=0x%llx size=0x%llx",
		 (unsigned long long)in->liobn, in->page_shift, in->flags, (unsigned long long)in->offset,
		 (unsigned long long)in->size);
}

static const struct ioctl_row rows[] = {
	{ .cmd = (uint32_t)KVM_CREATE_SPAPR_TCE,
	  .name = "KVM_CREATE_SPAPR_TCE",
	  .minsz = sizeof(struct kvm_create_spapr_tce),
	  .row_flags = IOC_PLAIN,
	  .handler = spapr_ioctl_create,
	  .describe = describe },
	{ .cmd = (uint32_t)KVM_CREATE_SPAPR_TCE_64,
	  .name = "KVM_CREATE_SPAPR_TCE_64",
	  .minsz = sizeof(struct kvm_create_spapr_tce_64),
	  .row_flags = IOC_PLAIN,
	  .handler = spapr_ioctl_create_64,
	  .describe = describe_64 },
};

const struct kvm_arch_ops kvm_ppc_ops = {
	.type = KVM_VM_PPC_HV,
	.create = create,
	.destroy = destroy,
	.rows = rows,
	.nr_rows = ARRAY_SIZE(rows),
	.check_extension = check_extension,
	.without_ioctls = without_ioctls,
	.without_caps = without_caps,
	.enable_cap = enable_cap,
	.has_file_attr = spapr_has_file_attr,
	.set_file_attr = spapr_set_file_attr,
	.file_removed = spapr_file_removed,
	.hcall = spapr_hcall,
	.hcall_counts = spapr_get_counts,
};
