/* SPDX-License-Identifier: BSD-2-Clause */
/* The arguments of a VM's ioctls in words, for traces. */
#include "kvm/describe.h"

#include "base/trace.h"
#include "kvm/impl.h"

#include <stdio.h>

static const char *bus_name(uint32_t flags)
{
	if (flags & KVM_IOEVENTFD_FLAG_PIO)
		return "pio";
	return flags & KVM_IOEVENTFD_FLAG_VIRTIO_CCW_NOTIFY ? "ccw" : "mmio";
}

void kvm_describe_ioeventfd(const struct ioctl_call *call, const void *arg, char *buf, size_t len)
{
	const struct kvm_ioeventfd *in = arg;
	int n = snprintf(buf, len, "%s%s addr=0x%llx len=%u fd=%d",
			 in->flags & KVM_IOEVENTFD_FLAG_DEASSIGN ? "DEASSIGN " : "", bus_name(in->flags),
			 in->addr, in->len, in->fd);

	(void)call;
	if (in->flags & KVM_IOEVENTFD_FLAG_DATAMATCH && n > 0 && (size_t)n < len)
		snprintf(buf + n, len - (size_t)n, " datamatch=0x%llx", in->datamatch);
}

void kvm_describe_irqfd(const struct ioctl_call *call, const void *arg, char *buf, size_t len)
{
	const struct kvm_irqfd *in = arg;
	int n = snprintf(buf, len, "%sfd=%d gsi=%u", in->flags & KVM_IRQFD_FLAG_DEASSIGN ? "DEASSIGN " : "",
			 (int)in->fd, in->gsi);

	(void)call;
	if (in->flags & KVM_IRQFD_FLAG_RESAMPLE && n > 0 && (size_t)n < len)
		snprintf(buf + n, len - (size_t)n, " resamplefd=%d", (int)in->resamplefd);
}

void kvm_describe_slot(const struct ioctl_call *call, const void *arg, char *buf, size_t len)
{
	const struct kvm_userspace_memory_region *in = arg;

	(void)call;
	snprintf(buf, len, "slot=%u gpa=0x%llx size=0x%llx hva=0x%llx%s%s", in->slot, in->guest_phys_addr,
		 in->memory_size, in->userspace_addr,
		 in->flags & KVM_MEM_LOG_DIRTY_PAGES ? " LOG_DIRTY_PAGES" : "",
		 in->flags & KVM_MEM_READONLY ? " READONLY" : "");
}

void kvm_describe_dirty(const struct ioctl_call *call, const void *arg, char *buf, size_t len)
{
	const struct kvm_dirty_log *in = arg;

	(void)call;
	snprintf(buf, len, "slot=%u", in->slot);
}

void kvm_describe_zone(const struct ioctl_call *call, const void *arg, char *buf, size_t len)
{
	const struct kvm_coalesced_mmio_zone *in = arg;

	(void)call;
	snprintf(buf, len, "%s addr=0x%llx size=%u", in->pio ? "pio" : "mmio", in->addr, in->size);
}

void kvm_describe_line(const struct ioctl_call *call, const void *arg, char *buf, size_t len)
{
	const struct kvm_irq_level *in = call->in ? call->in : arg;

	snprintf(buf, len, "gsi=%u level=%u", in->irq, in->level);
}

void kvm_describe_msi(const struct ioctl_call *call, const void *arg, char *buf, size_t len)
{
	const struct kvm_msi *in = arg;

	(void)call;
	snprintf(buf, len, "address=0x%x%08x data=0x%x", in->address_hi, in->address_lo, in->data);
}

void kvm_describe_routing(const struct ioctl_call *call, const void *arg, char *buf, size_t len)
{
	const struct kvm_irq_routing *in = arg;

	(void)call;
	snprintf(buf, len, "entries=%u", in->nr);
}

void kvm_describe_device(const struct ioctl_call *call, const void *arg, char *buf, size_t len)
{
	const struct kvm_create_device *in = arg;
	bool made = !call->rc && !(in->flags & KVM_CREATE_DEVICE_TEST);
	int n = snprintf(buf, len, "type=%u%s", in->type, in->flags & KVM_CREATE_DEVICE_TEST ? " TEST" : "");

	if (made && n > 0 && (size_t)n < len)
		snprintf(buf + n, len - (size_t)n, " fd=%u", in->fd);
}

void kvm_describe_cap(const struct ioctl_call *call, const void *arg, char *buf, size_t len)
{
	const struct kvm_enable_cap *in = arg;

	(void)call;
	snprintf(buf, len, "cap=%u args[0]=0x%llx", in->cap, in->args[0]);
}

void kvm_describe_value(const struct ioctl_call *call, const void *arg, char *buf, size_t len)
{
	(void)arg;
	snprintf(buf, len, "%llu", (unsigned long long)call->arg);
}

long kvm_unknown_request(const struct file *file, uint32_t cmd, long rc)
{
	const char *why =
		kvm_cpu_type ? "it is not there with --kvm=soft" : "it is not there without the kernel's KVM";

	if (trace_on(TRACE_IOCTL))
		ioctl_trace_foreign(file, cmd, trace_now(), rc, _IOC_TYPE(cmd) == KVMIO ? why : NULL);
	return rc;
}
