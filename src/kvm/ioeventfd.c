/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * KVM_IOEVENTFD. Assigning checks everything, in the kernel's order; deassigning checks the descriptor only:
 * what is wrong with the rest of it was never registered.
 */
#include "kvm/impl.h"

#define VALID_FLAGS 0x1fu /* KVM_IOEVENTFD_FLAG_*, and the bit behind them, which the kernel lets pass */

static enum kvm_bus bus_of(uint32_t flags)
{
	if (flags & KVM_IOEVENTFD_FLAG_PIO)
		return KVM_PIO_BUS;
	return flags & KVM_IOEVENTFD_FLAG_VIRTIO_CCW_NOTIFY ? KVM_VIRTIO_CCW_NOTIFY_BUS : KVM_MMIO_BUS;
}

static int check_assign(const struct kvm_ioeventfd *in)
{
	if (in->len > 8 || (in->len & (in->len - 1)))
		return WHY(-EINVAL, "len %u is not 0, 1, 2, 4 or 8", in->len);
	if (in->addr + in->len < in->addr)
		return WHY(-EINVAL, "0x%llx + %u is beyond the end", in->addr, in->len);
	if (in->flags & ~VALID_FLAGS)
		return WHY(-EINVAL, "unknown flags 0x%x", in->flags & ~VALID_FLAGS);
	if (!in->len && in->flags & KVM_IOEVENTFD_FLAG_DATAMATCH)
		return WHY(-EINVAL, "len 0 is any length, and has no value to match");
	return 0;
}

static struct ioeventfd_key key_of(const struct kvm_ioeventfd *in)
{
	return (struct ioeventfd_key){ .addr = in->addr,
				       .data = in->datamatch,
				       .len = in->len,
				       .match = in->flags & KVM_IOEVENTFD_FLAG_DATAMATCH };
}

static int assign(struct kvm_io_bus *bus, const struct ioeventfd_key *key, struct eventfd_ctx *ctx)
{
	int rc;

	pthread_mutex_lock(&bus->lock);
	if (ioeventfd_is_taken(&bus->ioeventfds, key))
		rc = WHY(-EEXIST, "a write of %u bytes to 0x%llx signals an eventfd already", key->len,
			 (unsigned long long)key->addr);
	else if (!kvm_io_bus_has_room(bus))
		rc = WHY(-ENOSPC, "the bus has %d devices and zones, the most", KVM_NR_IOBUS_DEVS);
	else
		rc = ioeventfd_add(&bus->ioeventfds, key, ctx, bus->seq++);
	pthread_mutex_unlock(&bus->lock);
	return rc;
}

/* The lock is not held while writes that have found it are waited for. */
static int deassign(struct kvm_io_bus *bus, const struct ioeventfd_key *key, struct eventfd_ctx *ctx)
{
	struct ioeventfd *e;

	pthread_mutex_lock(&bus->lock);
	e = ioeventfd_remove(&bus->ioeventfds, key, ctx);
	pthread_mutex_unlock(&bus->lock);
	if (!e)
		return WHY(-ENOENT, "no write of %u bytes to 0x%llx signals this eventfd", key->len,
			   (unsigned long long)key->addr);
	ioeventfd_wait(e);
	eventfd_ctx_put(e->ctx);
	pthread_mutex_lock(&bus->lock);
	ioeventfd_free(&bus->ioeventfds, e);
	pthread_mutex_unlock(&bus->lock);
	return 0;
}

long kvm_ioctl_ioeventfd(struct ioctl_call *call, void *arg)
{
	const struct kvm_ioeventfd *in = arg;
	bool remove = in->flags & KVM_IOEVENTFD_FLAG_DEASSIGN;
	struct kvm_io_bus *bus = &kvm_of_call(call)->buses[bus_of(in->flags)];
	struct ioeventfd_key key = key_of(in);
	struct eventfd_ctx *ctx;
	int rc = remove ? 0 : check_assign(in);

	if (!rc)
		rc = eventfd_ctx_get(call->caller, in->fd, &ctx);
	if (rc)
		return rc;
	rc = remove ? deassign(bus, &key, ctx) : assign(bus, &key, ctx);
	if (remove || rc)
		eventfd_ctx_put(ctx);
	return rc;
}
