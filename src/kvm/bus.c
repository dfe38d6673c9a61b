/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The I/O buses: who gets an access.
 *
 * The kernel keeps one array of everything on a bus, inserts by a comparison that is no order where ranges
 * overlap, and searches it by halving: an entry may be there and not be found. Here everything that is there
 * is found. What of it comes first is what stands first in the kernel's array when nothing but the entries
 * in question is in it: kept as an array for ranges, of which there are few, and computed for the one
 * ioeventfd that a write can have.
 *
 * Ranges are replaced as a whole; readers are in a section of the VM's srcu.
 */
#include "kvm/impl.h"

#include <stdlib.h>
#include <string.h>

/* How deep in handlers this thread is. */
static __thread unsigned int inside __attribute__((tls_model("initial-exec")));

/* ---- the kernel's comparison */

struct extent {
	uint64_t addr;
	int64_t len;
};

static int compare(struct extent a, struct extent b)
{
	if (a.addr < b.addr)
		return -1;
	if (b.len) {
		a.addr += (uint64_t)a.len;
		b.addr += (uint64_t)b.len;
	}
	return a.addr > b.addr;
}

static inline struct extent extent_of(const struct kvm_io_range *range)
{
	return (struct extent){ range->addr, range->len };
}

static inline bool contains(const struct kvm_io_range *range, uint64_t addr, unsigned int len)
{
	return addr >= range->addr && !compare((struct extent){ addr, len }, extent_of(range));
}

/* Does the ioeventfd come before range? Who is registered later goes in front of the first that is greater.
 */
static bool comes_first(const struct ioeventfd *e, const struct kvm_io_range *range)
{
	struct extent own = { atomic_load(&e->addr), (int64_t)ioeventfd_len(e) };

	if (e->seq < range->seq)
		return compare(own, extent_of(range)) <= 0;
	return compare(extent_of(range), own) > 0;
}

/* ---- accesses */

static int signal_used(struct ioeventfd *e)
{
	eventfd_signal(e->ctx, 1);
	ioeventfd_put(e);
	return 0;
}

/* e: the ioeventfd of this write, if any, which this puts. */
static int write_ranges(const struct kvm_io_ranges *ranges, struct ioeventfd *e, struct kvm_vcpu *vcpu,
			uint64_t addr, unsigned int len, const void *data)
{
	for (unsigned int i = 0; ranges && i < ranges->nr; i++) {
		const struct kvm_io_range *range = &ranges->range[i];

		if (!contains(range, addr, len))
			continue;
		if (e && comes_first(e, range))
			break;
		if (range->dev->ops->write && !range->dev->ops->write(range->dev, vcpu, addr, len, data)) {
			if (e)
				ioeventfd_put(e);
			return 0;
		}
	}
	return e ? signal_used(e) : -EOPNOTSUPP;
}

static __attribute__((noinline)) int write_among_ranges(struct kvm *kvm, struct kvm_io_bus *bus,
							struct ioeventfd *e, struct kvm_vcpu *vcpu,
							uint64_t addr, unsigned int len, const void *data)
{
	_Atomic uint32_t *in = srcu_read_lock(&kvm->srcu);
	int rc;

	inside++;
	rc = write_ranges(atomic_load(&bus->ranges), e, vcpu, addr, len, data);
	inside--;
	srcu_read_unlock(in);
	return rc;
}

int kvm_io_bus_write(struct kvm *kvm, struct kvm_vcpu *vcpu, enum kvm_bus index, uint64_t addr,
		     unsigned int len, const void *data)
{
	struct kvm_io_bus *bus = &kvm->buses[index];
	struct ioeventfd *e = ioeventfd_find(&bus->ioeventfds, addr, len, data);

	if (unlikely(atomic_load_explicit(&bus->ranges, memory_order_relaxed)))
		return write_among_ranges(kvm, bus, e, vcpu, addr, len, data);
	return e ? signal_used(e) : -EOPNOTSUPP;
}

static int read_ranges(const struct kvm_io_ranges *ranges, struct kvm_vcpu *vcpu, uint64_t addr,
		       unsigned int len, void *data)
{
	for (unsigned int i = 0; ranges && i < ranges->nr; i++) {
		const struct kvm_io_range *range = &ranges->range[i];

		if (range->dev->ops->read && contains(range, addr, len) &&
		    !range->dev->ops->read(range->dev, vcpu, addr, len, data))
			return 0;
	}
	return -EOPNOTSUPP;
}

int kvm_io_bus_read(struct kvm *kvm, struct kvm_vcpu *vcpu, enum kvm_bus index, uint64_t addr,
		    unsigned int len, void *data)
{
	struct kvm_io_bus *bus = &kvm->buses[index];
	_Atomic uint32_t *in;
	int rc;

	if (likely(!atomic_load_explicit(&bus->ranges, memory_order_relaxed)))
		return -EOPNOTSUPP;
	in = srcu_read_lock(&kvm->srcu);
	inside++;
	rc = read_ranges(atomic_load(&bus->ranges), vcpu, addr, len, data);
	inside--;
	srcu_read_unlock(in);
	return rc;
}

/* ---- changes */

bool kvm_io_bus_has_room(const struct kvm_io_bus *bus)
{
	const struct kvm_io_ranges *ranges = atomic_load_explicit(&bus->ranges, memory_order_relaxed);

	return !ranges || ranges->nr < KVM_NR_IOBUS_DEVS;
}

static struct kvm_io_ranges *ranges_alloc(unsigned int nr)
{
	struct kvm_io_ranges *ranges = malloc(sizeof(*ranges) + nr * sizeof(ranges->range[0]));

	if (ranges)
		ranges->nr = nr;
	return ranges;
}

/* Publish, and free what was there when nobody looks at it any more. The bus's lock is held. */
static void publish(struct kvm *kvm, struct kvm_io_bus *bus, struct kvm_io_ranges *ranges)
{
	struct kvm_io_ranges *old = atomic_exchange(&bus->ranges, ranges);

	if (old)
		srcu_synchronize(&kvm->srcu);
	free(old);
}

/* Where a new range goes: in front of the first that is greater. */
static unsigned int place_of(const struct kvm_io_ranges *ranges, struct extent extent)
{
	unsigned int i = 0;

	while (ranges && i < ranges->nr && compare(extent_of(&ranges->range[i]), extent) <= 0)
		i++;
	return i;
}

static int register_locked(struct kvm *kvm, struct kvm_io_bus *bus, uint64_t addr, int len,
			   struct kvm_io_device *dev)
{
	struct kvm_io_ranges *old = atomic_load(&bus->ranges), *ranges;
	unsigned int nr = old ? old->nr : 0;
	unsigned int i = place_of(old, (struct extent){ addr, len });

	if (!kvm_io_bus_has_room(bus))
		return WHY(-ENOSPC, "the bus has %d devices and zones, the most", KVM_NR_IOBUS_DEVS);
	ranges = ranges_alloc(nr + 1);
	if (!ranges)
		return -ENOMEM;
	if (old) {
		memcpy(ranges->range, old->range, i * sizeof(ranges->range[0]));
		memcpy(ranges->range + i + 1, old->range + i, (nr - i) * sizeof(ranges->range[0]));
	}
	ranges->range[i] = (struct kvm_io_range){ addr, bus->seq++, len, dev };
	publish(kvm, bus, ranges);
	return 0;
}

int kvm_io_bus_register_dev(struct kvm *kvm, enum kvm_bus index, uint64_t addr, uint32_t len,
			    struct kvm_io_device *dev)
{
	struct kvm_io_bus *bus = &kvm->buses[index];
	int rc;

	if (inside)
		return -EDEADLK;
	pthread_mutex_lock(&bus->lock);
	rc = register_locked(kvm, bus, addr, (int)len, dev);
	pthread_mutex_unlock(&bus->lock);
	return rc;
}

/* Without memory the range stays, with nobody behind it. */
static int no_access(struct kvm_io_device *dev, struct kvm_vcpu *vcpu, uint64_t addr, unsigned int len,
		     void *data)
{
	(void)dev, (void)vcpu, (void)addr, (void)len, (void)data;
	return -EOPNOTSUPP;
}

static const struct kvm_io_device_ops nobody_ops = { .read = no_access };
static struct kvm_io_device nobody = { &nobody_ops };

static int unregister_locked(struct kvm *kvm, struct kvm_io_bus *bus, const struct kvm_io_device *dev)
{
	struct kvm_io_ranges *old = atomic_load(&bus->ranges), *ranges = NULL;
	unsigned int i = 0;

	while (old && i < old->nr && old->range[i].dev != dev)
		i++;
	if (!old || i == old->nr)
		return -ENOENT;
	if (old->nr > 1) {
		ranges = ranges_alloc(old->nr - 1);
		if (!ranges) {
			__atomic_store_n(&old->range[i].dev, &nobody, __ATOMIC_SEQ_CST);
			srcu_synchronize(&kvm->srcu);
			return 0;
		}
		memcpy(ranges->range, old->range, i * sizeof(ranges->range[0]));
		memcpy(ranges->range + i, old->range + i + 1, (old->nr - i - 1) * sizeof(ranges->range[0]));
	}
	publish(kvm, bus, ranges);
	return 0;
}

int kvm_io_bus_unregister_dev(struct kvm *kvm, enum kvm_bus index, struct kvm_io_device *dev)
{
	struct kvm_io_bus *bus = &kvm->buses[index];
	int rc;

	if (inside)
		return -EDEADLK;
	pthread_mutex_lock(&bus->lock);
	rc = unregister_locked(kvm, bus, dev);
	pthread_mutex_unlock(&bus->lock);
	if (!rc && dev->ops->destructor)
		dev->ops->destructor(dev);
	return rc;
}

/* ---- life */

int kvm_io_bus_init(struct kvm_io_bus *bus)
{
	pthread_mutex_init(&bus->lock, NULL);
	return ioeventfds_init(&bus->ioeventfds);
}

void kvm_io_bus_destroy(struct kvm_io_bus *bus)
{
	struct kvm_io_ranges *ranges = atomic_load(&bus->ranges);

	for (unsigned int i = 0; ranges && i < ranges->nr; i++)
		if (ranges->range[i].dev->ops->destructor)
			ranges->range[i].dev->ops->destructor(ranges->range[i].dev);
	free(ranges);
	ioeventfds_destroy(&bus->ioeventfds);
	pthread_mutex_destroy(&bus->lock);
}
