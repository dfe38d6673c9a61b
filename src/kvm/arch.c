/* SPDX-License-Identifier: BSD-2-Clause */
/* VMs of other architectures: which there are. */
#include "kvm/arch.h"

#include "kvm/describe.h"
#include "kvm/impl.h"

extern const struct kvm_arch_ops kvm_ppc_ops; /* src/kvm/spapr */

static const struct kvm_arch_ops *const archs[] = { &kvm_ppc_ops };

const struct kvm_arch_ops *kvm_arch_of_type(uint64_t type)
{
	for (size_t i = 0; !kvm_cpu_type && i < ARRAY_SIZE(archs); i++)
		if (archs[i]->type == type)
			return archs[i];
	return NULL;
}

long kvm_archs_check_extension(uint32_t cap)
{
	long value = 0;

	for (size_t i = 0; !kvm_cpu_type && !value && i < ARRAY_SIZE(archs); i++)
		value = archs[i]->check_extension(cap);
	return value;
}

static bool is_in(const uint32_t *list, uint32_t which, uint32_t end)
{
	while (*list != end && *list != which)
		list++;
	return *list != end;
}

int kvm_arch_ioctl(struct kvm *kvm, struct file *file, const struct caller *caller, uint32_t cmd,
		   uint64_t arg, long *rc)
{
	for (unsigned int i = 0; kvm->arch_ops && i < kvm->arch_ops->nr_rows; i++)
		if (kvm->arch_ops->rows[i].cmd == cmd) {
			*rc = ioctl_dispatch(&kvm->arch_ops->rows[i], 1, file, caller, cmd, arg);
			return 0;
		}
	if (kvm->arch_ops && is_in(kvm->arch_ops->without_ioctls, cmd, 0)) {
		*rc = kvm_unknown_request(file, cmd, -ENOTTY);
		return 0;
	}
	return -1;
}

bool kvm_arch_is_without_cap(const struct kvm *kvm, uint32_t cap)
{
	return kvm->arch_ops && is_in(kvm->arch_ops->without_caps, cap, KVM_ARCH_NO_CAP);
}

long kvm_hcall(struct kvm *kvm, uint64_t number, const uint64_t *args, uint64_t *rets)
{
	return likely(kvm->arch_ops) ? kvm->arch_ops->hcall(kvm->arch, number, args, rets) : KVM_HCALL_USER;
}

int kvm_hcall_counts(struct kvm *kvm, const uint64_t *which, uint64_t counts[KVM_HCALL_COUNTS])
{
	return kvm->arch_ops ? kvm->arch_ops->hcall_counts(kvm->arch, which, counts) : -EINVAL;
}
