/* SPDX-License-Identifier: BSD-2-Clause */
/* Making the interrupt controllers, reading and writing their state, and what follows from a change of it. */
#include "kvm/irqchip.h"

#include "kvm/impl.h"

#include <stdlib.h>
#include <string.h>

/* ---- effects */

static void tell_vcpu(struct kvm_vcpu *vcpu, const struct kvm_irq_effects *effects)
{
	uint64_t bit = BIT64(vcpu->index);

	if (effects->init & bit && vcpu->ops->init)
		vcpu->ops->init(vcpu);
	if (effects->startup & bit && vcpu->ops->startup)
		vcpu->ops->startup(vcpu, effects->startup_vector);
	if (effects->nmi & bit && vcpu->ops->nmi)
		vcpu->ops->nmi(vcpu);
	if (effects->kick & bit)
		vcpu->ops->kick(vcpu);
}

static void tell_vcpus(struct kvm *kvm, const struct kvm_irq_effects *effects)
{
	uint64_t left = effects->kick | effects->nmi | effects->init | effects->startup;
	_Atomic uint32_t *in;

	if (!left)
		return;
	in = srcu_read_lock(&kvm->srcu);
	for (; left; left &= left - 1) {
		struct kvm_vcpu *vcpu = atomic_load(&kvm->vcpus[__builtin_ctzll(left)]);

		if (vcpu)
			tell_vcpu(vcpu, effects);
	}
	srcu_read_unlock(in);
}

static void tell_acked(struct kvm *kvm, uint64_t acked)
{
	for (; acked; acked &= acked - 1) {
		unsigned int pin = (unsigned int)__builtin_ctzll(acked);

		if (pin >= ACK_IOAPIC)
			kvm_irqfds_acked(kvm, KVM_IRQCHIP_IOAPIC, pin - ACK_IOAPIC);
		else
			kvm_irqfds_acked(kvm, pin < 8 ? KVM_IRQCHIP_PIC_MASTER : KVM_IRQCHIP_PIC_SLAVE, pin);
	}
}

void kvm_irqchip_unlock(struct kvm_intc *chip)
{
	struct kvm_irq_effects effects = chip->effects;

	memset(&chip->effects, 0, sizeof(chip->effects));
	pthread_mutex_unlock(&chip->lock);
	tell_vcpus(chip->kvm, &effects);
	tell_acked(chip->kvm, effects.acked);
	for (; effects.resample; effects.resample &= effects.resample - 1)
		kvm_irqfds_resample(chip->kvm, KVM_IRQCHIP_IOAPIC,
				    (unsigned int)__builtin_ctz(effects.resample));
}

/* ---- making them */

struct kvm_intc *kvm_irqchip_of(struct kvm *kvm)
{
	return atomic_load_explicit(&kvm->irqchip, memory_order_acquire);
}

bool kvm_has_irqchip(struct kvm *kvm)
{
	return kvm_irqchip_of(kvm);
}

bool kvm_has_pic(struct kvm *kvm)
{
	const struct kvm_intc *chip = kvm_irqchip_of(kvm);

	return chip && !chip->split;
}

static struct kvm_intc *chip_new(struct kvm *kvm, bool split)
{
	struct kvm_intc *chip = calloc(1, sizeof(*chip));

	if (!chip)
		return NULL;
	chip->kvm = kvm;
	chip->split = split;
	pthread_mutex_init(&chip->lock, NULL);
	return chip;
}

static void chip_free(struct kvm_intc *chip)
{
	pthread_mutex_destroy(&chip->lock);
	free(chip);
}

static int put_on_bus(struct kvm *kvm, struct kvm_intc *chip)
{
	struct {
		enum kvm_bus bus;
		uint64_t addr;
		uint32_t len;
		struct kvm_io_device *dev;
	} all[] = {
		{ KVM_PIO_BUS, 0x20, 2, &chip->pic.master },
		{ KVM_PIO_BUS, 0xa0, 2, &chip->pic.slave },
		{ KVM_PIO_BUS, 0x4d0, 2, &chip->pic.elcr },
		{ KVM_MMIO_BUS, chip->ioapic.state.base_address, 0x100, &chip->ioapic.dev },
	};
	unsigned int i;
	int rc = 0;

	for (i = 0; !rc && i < ARRAY_SIZE(all); i++)
		rc = kvm_io_bus_register_dev(kvm, all[i].bus, all[i].addr, all[i].len, all[i].dev);
	if (rc)
		for (i--; i--;)
			kvm_io_bus_unregister_dev(kvm, all[i].bus, all[i].dev);
	return rc;
}

/* vcpus_lock is held. */
static int may_create(struct kvm *kvm)
{
	if (kvm_irqchip_of(kvm))
		return WHY(-EEXIST, "the VM has interrupt controllers");
	return kvm->vcpus_made ? WHY(-EINVAL, "the VM has vCPUs already") : 0;
}

static int create_full(struct kvm *kvm)
{
	struct kvm_intc *chip;
	int rc = may_create(kvm);

	if (rc)
		return rc;
	chip = chip_new(kvm, false);
	if (!chip)
		return -ENOMEM;
	chip->pic.master.ops = &kvm_pic_master_ops;
	chip->pic.slave.ops = &kvm_pic_slave_ops;
	chip->pic.elcr.ops = &kvm_pic_elcr_ops;
	chip->ioapic.dev.ops = &kvm_ioapic_ops;
	kvm_pic_reset(chip);
	kvm_ioapic_reset(chip);
	rc = kvm_routing_set_default(kvm);
	if (!rc)
		rc = put_on_bus(kvm, chip);
	if (rc) {
		kvm_routing_clear(kvm);
		chip_free(chip);
		return rc;
	}
	atomic_store(&kvm->irqchip, chip);
	return 0;
}

long kvm_ioctl_create_irqchip(struct ioctl_call *call, void *arg)
{
	struct kvm *kvm = kvm_of_call(call);
	int rc;

	(void)arg;
	pthread_mutex_lock(&kvm->vcpus_lock);
	rc = create_full(kvm);
	pthread_mutex_unlock(&kvm->vcpus_lock);
	return rc;
}

int kvm_irqchip_create_split(struct kvm *kvm, uint64_t reserved_pins)
{
	struct kvm_intc *chip = NULL;
	int rc;

	if (reserved_pins > KVM_MAX_IRQ_ROUTES)
		return WHY(-EINVAL, "%llu pins, the most are %u", (unsigned long long)reserved_pins,
			   KVM_MAX_IRQ_ROUTES);
	pthread_mutex_lock(&kvm->vcpus_lock);
	rc = may_create(kvm);
	if (rc == -EINVAL) /* here the kernel calls that EEXIST */
		rc = -EEXIST;
	if (!rc && !(chip = chip_new(kvm, true)))
		rc = -ENOMEM;
	if (!rc)
		atomic_store(&kvm->irqchip, chip);
	pthread_mutex_unlock(&kvm->vcpus_lock);
	return rc;
}

void kvm_irqchip_init(struct kvm *kvm)
{
	atomic_store(&kvm->irqchip, NULL);
	atomic_store(&kvm->routing, NULL);
}

void kvm_irqchip_destroy(struct kvm *kvm)
{
	struct kvm_intc *chip = kvm_irqchip_of(kvm);

	kvm_routing_destroy(kvm);
	if (chip)
		chip_free(chip);
}

/* ---- their state */

static int get_state(struct kvm_intc *chip, struct kvm_irqchip *out)
{
	int rc = 0;

	kvm_irqchip_lock(chip);
	switch (out->chip_id) {
	case KVM_IRQCHIP_PIC_MASTER:
	case KVM_IRQCHIP_PIC_SLAVE:
		out->chip.pic = chip->pic.chip[out->chip_id];
		break;
	case KVM_IRQCHIP_IOAPIC:
		kvm_ioapic_get_state(chip, &out->chip.ioapic);
		break;
	default:
		rc = WHY(-EINVAL, "there is no controller %u", out->chip_id);
	}
	kvm_irqchip_unlock(chip);
	return rc;
}

static int set_state(struct kvm_intc *chip, const struct kvm_irqchip *in)
{
	int rc = 0;

	kvm_irqchip_lock(chip);
	switch (in->chip_id) {
	case KVM_IRQCHIP_PIC_MASTER:
	case KVM_IRQCHIP_PIC_SLAVE:
		chip->pic.chip[in->chip_id] = in->chip.pic;
		break;
	case KVM_IRQCHIP_IOAPIC:
		kvm_ioapic_set_state(chip, &in->chip.ioapic);
		break;
	default:
		rc = WHY(-EINVAL, "there is no controller %u", in->chip_id);
	}
	kvm_pic_update(chip);
	kvm_irqchip_unlock(chip);
	return rc;
}

/* The structure is larger than what the engine copies. */
static int state_of_call(struct ioctl_call *call, struct kvm_irqchip *state, struct kvm_intc **chip)
{
	if (copy_in(call->caller, state, call->arg, sizeof(*state)))
		return WHY(-EFAULT, "the argument at 0x%llx is not readable memory",
			   (unsigned long long)call->arg);
	*chip = kvm_irqchip_of(kvm_of_call(call));
	return *chip && !(*chip)->split ? 0 : WHY(-ENXIO, "the VM has no such controllers");
}

long kvm_ioctl_get_irqchip(struct ioctl_call *call, void *arg)
{
	struct kvm_irqchip state;
	struct kvm_intc *chip;
	int rc = state_of_call(call, &state, &chip);

	(void)arg;
	if (!rc)
		rc = get_state(chip, &state);
	if (!rc && copy_out(call->caller, call->arg, &state, sizeof(state)))
		rc = WHY(-EFAULT, "the argument at 0x%llx is not writable memory",
			 (unsigned long long)call->arg);
	return rc;
}

long kvm_ioctl_set_irqchip(struct ioctl_call *call, void *arg)
{
	struct kvm_irqchip state;
	struct kvm_intc *chip;
	int rc = state_of_call(call, &state, &chip);

	(void)arg;
	return rc ? rc : set_state(chip, &state);
}
