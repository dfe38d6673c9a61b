/* SPDX-License-Identifier: BSD-2-Clause */
/* The library's calls for VMs. Thin: the core does the work. */
#include "uvfio/kvm.h"

#include "file/fdtable.h"
#include "iommu/client.h"
#include "kvm/dispatch.h"

#include <stdlib.h>

static struct kvm *to_kvm(struct uvfio_kvm *vm)
{
	return (struct kvm *)vm;
}

int uvfio_kvm_open(int flags)
{
	struct file *file;
	int rc;

	client_is_self();
	rc = kvm_dev_open(flags, &file);
	return rc ? rc : fdtable_install(file, flags);
}

struct uvfio_kvm *uvfio_kvm_get(int fd)
{
	struct file *file = fdtable_get(fd);
	struct kvm *kvm;

	if (!file)
		return NULL;
	kvm = kvm_of_file(file);
	file_put(file);
	return (struct uvfio_kvm *)kvm;
}

void uvfio_kvm_put(struct uvfio_kvm *vm)
{
	if (vm)
		kvm_put(to_kvm(vm));
}

static enum kvm_bus bus_of(enum uvfio_kvm_bus bus)
{
	return bus == UVFIO_KVM_PIO ? KVM_PIO_BUS : KVM_MMIO_BUS;
}

unsigned int uvfio_kvm_io(struct uvfio_kvm *vm, enum uvfio_kvm_bus bus, bool write, uint64_t addr,
			  unsigned int len, void *data)
{
	if (likely(write && kvm_is_one_access(addr, len)))
		return kvm_dispatch_write(to_kvm(vm), NULL, bus_of(bus), addr, len, data) ? 0 : len;
	return kvm_io(to_kvm(vm), NULL, bus_of(bus), write, addr, len, data);
}

/* ---- devices */

struct uvfio_kvm_range {
	struct kvm_io_device dev;
	const struct uvfio_kvm_io_ops *ops;
	void *arg;
	struct kvm *kvm;
	enum kvm_bus bus;
};

static int range_read(struct kvm_io_device *dev, struct kvm_vcpu *vcpu, uint64_t addr, unsigned int len,
		      void *data)
{
	struct uvfio_kvm_range *range = container_of(dev, struct uvfio_kvm_range, dev);

	(void)vcpu;
	return range->ops->read && range->ops->read(range->arg, addr, len, data) ? 0 : -EOPNOTSUPP;
}

static int range_write(struct kvm_io_device *dev, struct kvm_vcpu *vcpu, uint64_t addr, unsigned int len,
		       const void *data)
{
	struct uvfio_kvm_range *range = container_of(dev, struct uvfio_kvm_range, dev);

	(void)vcpu;
	return range->ops->write && range->ops->write(range->arg, addr, len, data) ? 0 : -EOPNOTSUPP;
}

static void range_free(struct kvm_io_device *dev)
{
	free(container_of(dev, struct uvfio_kvm_range, dev));
}

static const struct kvm_io_device_ops range_ops = {
	.read = range_read,
	.write = range_write,
	.destructor = range_free,
};

int uvfio_kvm_register(struct uvfio_kvm *vm, enum uvfio_kvm_bus bus, uint64_t addr, uint32_t len,
		       const struct uvfio_kvm_io_ops *ops, void *arg, struct uvfio_kvm_range **out)
{
	struct uvfio_kvm_range *range;
	int rc;

	if ((bus != UVFIO_KVM_MMIO && bus != UVFIO_KVM_PIO) || !len || addr + len < addr)
		return -EINVAL;
	range = malloc(sizeof(*range));
	if (!range)
		return -ENOMEM;
	*range = (struct uvfio_kvm_range){
		.dev.ops = &range_ops, .ops = ops, .arg = arg, .kvm = to_kvm(vm), .bus = bus_of(bus)
	};
	rc = kvm_io_bus_register_dev(range->kvm, range->bus, addr, len, &range->dev);
	if (rc)
		free(range);
	else
		*out = range;
	return rc;
}

int uvfio_kvm_unregister(struct uvfio_kvm_range *range)
{
	return kvm_io_bus_unregister_dev(range->kvm, range->bus, &range->dev);
}

/* ---- memory */

int uvfio_kvm_read_memory(struct uvfio_kvm *vm, uint64_t gpa, void *data, size_t len)
{
	return kvm_read_guest(to_kvm(vm), gpa, data, len);
}

int uvfio_kvm_write_memory(struct uvfio_kvm *vm, uint64_t gpa, const void *data, size_t len)
{
	return kvm_write_guest(to_kvm(vm), gpa, data, len);
}

void uvfio_kvm_mark_dirty(struct uvfio_kvm *vm, uint64_t gpa, uint64_t len)
{
	kvm_mark_dirty(to_kvm(vm), gpa, len);
}

struct kvm_coalesced_mmio_ring *uvfio_kvm_coalesced_ring(struct uvfio_kvm *vm)
{
	return kvm_coalesced_ring(to_kvm(vm));
}

/* ---- processors */

struct uvfio_kvm_cpu {
	struct kvm_vcpu vcpu;
	const struct uvfio_kvm_cpu_ops *ops;
	void *arg;
};

static struct uvfio_kvm_cpu *to_cpu(struct kvm_vcpu *vcpu)
{
	return container_of(vcpu, struct uvfio_kvm_cpu, vcpu);
}

static void cpu_kick(struct kvm_vcpu *vcpu)
{
	to_cpu(vcpu)->ops->kick(to_cpu(vcpu)->arg);
}

static void cpu_nmi(struct kvm_vcpu *vcpu)
{
	if (to_cpu(vcpu)->ops->nmi)
		to_cpu(vcpu)->ops->nmi(to_cpu(vcpu)->arg);
}

static void cpu_init(struct kvm_vcpu *vcpu)
{
	if (to_cpu(vcpu)->ops->init)
		to_cpu(vcpu)->ops->init(to_cpu(vcpu)->arg);
}

static void cpu_startup(struct kvm_vcpu *vcpu, uint8_t vector)
{
	if (to_cpu(vcpu)->ops->startup)
		to_cpu(vcpu)->ops->startup(to_cpu(vcpu)->arg, vector);
}

static const struct kvm_vcpu_ops cpu_ops = {
	.kick = cpu_kick,
	.nmi = cpu_nmi,
	.init = cpu_init,
	.startup = cpu_startup,
};

int uvfio_kvm_cpu_new(struct uvfio_kvm *vm, unsigned int id, const struct uvfio_kvm_cpu_ops *ops, void *arg,
		      struct uvfio_kvm_cpu **out)
{
	struct uvfio_kvm_cpu *cpu = calloc(1, sizeof(*cpu));
	int rc;

	if (!cpu)
		return -ENOMEM;
	cpu->vcpu.kvm = to_kvm(vm);
	cpu->vcpu.id = id;
	cpu->vcpu.ops = &cpu_ops;
	cpu->ops = ops;
	cpu->arg = arg;
	rc = kvm_vcpu_add(&cpu->vcpu);
	if (rc)
		free(cpu);
	else
		*out = cpu;
	return rc;
}

void uvfio_kvm_cpu_free(struct uvfio_kvm_cpu *cpu)
{
	if (!cpu)
		return;
	kvm_vcpu_del(&cpu->vcpu);
	free(cpu);
}

unsigned int uvfio_kvm_cpu_io(struct uvfio_kvm_cpu *cpu, enum uvfio_kvm_bus bus, bool write, uint64_t addr,
			      unsigned int len, void *data)
{
	return kvm_io(cpu->vcpu.kvm, &cpu->vcpu, bus_of(bus), write, addr, len, data);
}

long uvfio_kvm_hcall(struct uvfio_kvm_cpu *cpu, uint64_t number, const uint64_t args[], uint64_t rets[])
{
	return kvm_hcall(cpu->vcpu.kvm, number, args, rets);
}

int uvfio_kvm_get_hcall_counts(struct uvfio_kvm *vm, const uint64_t *liobn,
			       struct uvfio_kvm_hcall_counts *counts)
{
	uint64_t tiers[KVM_HCALL_COUNTS];
	int rc = kvm_hcall_counts(to_kvm(vm), liobn, tiers);

	if (!rc)
		*counts = (struct uvfio_kvm_hcall_counts){ tiers[0], tiers[1], tiers[2] };
	return rc;
}

int uvfio_kvm_interrupt(struct uvfio_kvm_cpu *cpu)
{
	return kvm_cpu_get_interrupt(&cpu->vcpu);
}
