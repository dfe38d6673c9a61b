/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The vCPUs of a VM, as interrupts and memory slots see them.
 *
 * Places are filled and emptied under vcpus_lock, and under slots_lock: none comes or goes between being
 * stopped and being told that slots have changed. Who calls a vCPU is in a section of the VM's srcu, which
 * taking one out waits for.
 */
#include "kvm/impl.h"
#include "kvm/irqchip.h"

static int check(const struct kvm *kvm, const struct kvm_vcpu *vcpu, unsigned int *place)
{
	bool taken = false;

	*place = KVM_MAX_VCPU_COUNT;
	for (unsigned int i = KVM_MAX_VCPU_COUNT; i--;) {
		const struct kvm_vcpu *other = atomic_load(&kvm->vcpus[i]);

		taken |= other && other->id == vcpu->id;
		if (!other)
			*place = i;
	}
	if (*place == KVM_MAX_VCPU_COUNT)
		return WHY(-EINVAL, "%d vCPUs are the most", KVM_MAX_VCPU_COUNT);
	return taken ? WHY(-EEXIST, "there is a vCPU %u", vcpu->id) : 0;
}

int kvm_vcpu_add(struct kvm_vcpu *vcpu)
{
	struct kvm *kvm = vcpu->kvm;
	int rc;

	if (vcpu->id >= KVM_MAX_VCPU_IDS)
		return WHY(-EINVAL, "vCPU %u, the last is %u", vcpu->id, KVM_MAX_VCPU_IDS - 1);
	pthread_mutex_lock(&kvm->slots_lock);
	pthread_mutex_lock(&kvm->vcpus_lock);
	rc = check(kvm, vcpu, &vcpu->index);
	if (!rc)
		rc = kvm_lapic_create(vcpu);
	if (!rc) {
		kvm_get(kvm);
		kvm->vcpus_made = true;
		atomic_store(&kvm->vcpus[vcpu->index], vcpu);
	}
	pthread_mutex_unlock(&kvm->vcpus_lock);
	pthread_mutex_unlock(&kvm->slots_lock);
	return rc;
}

void kvm_vcpu_del(struct kvm_vcpu *vcpu)
{
	struct kvm *kvm = vcpu->kvm;
	struct kvm_intc *chip = kvm_irqchip_of(kvm);

	pthread_mutex_lock(&kvm->slots_lock);
	pthread_mutex_lock(&kvm->vcpus_lock);
	atomic_store(&kvm->vcpus[vcpu->index], NULL);
	pthread_mutex_unlock(&kvm->vcpus_lock);
	pthread_mutex_unlock(&kvm->slots_lock);
	if (chip) { /* who delivers an interrupt holds the lock, not a section */
		kvm_irqchip_lock(chip);
		kvm_irqchip_unlock(chip);
	}
	srcu_synchronize(&kvm->srcu);
	kvm_lapic_free(vcpu);
	kvm_put(kvm);
}

void kvm_vcpus_stop(struct kvm *kvm)
{
	_Atomic uint32_t *in = srcu_read_lock(&kvm->srcu);

	for (unsigned int i = 0; i < KVM_MAX_VCPU_COUNT; i++) {
		struct kvm_vcpu *vcpu = atomic_load(&kvm->vcpus[i]);

		if (vcpu && vcpu->ops->slots_stop)
			vcpu->ops->slots_stop(vcpu);
	}
	srcu_read_unlock(in);
}

void kvm_vcpus_slots_changed(struct kvm *kvm)
{
	_Atomic uint32_t *in = srcu_read_lock(&kvm->srcu);

	for (unsigned int i = 0; i < KVM_MAX_VCPU_COUNT; i++) {
		struct kvm_vcpu *vcpu = atomic_load(&kvm->vcpus[i]);

		if (vcpu && vcpu->ops->slots_changed)
			vcpu->ops->slots_changed(vcpu);
	}
	srcu_read_unlock(in);
}
