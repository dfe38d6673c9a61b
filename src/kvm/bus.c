/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The I/O buses: who gets an access.
 *
 * The kernel keeps one array of everything on a bus, inserts by a comparison that is no order where ranges
 * overlap, and searches it by halving: an entry may be there and not be found. Here everything that is there
 * is found. What of it comes first is what would stand first in the kernel's array with nothing in it but
 * the entries that have the access: the ranges that contain it, of which there are few, and the one ioeventfd
 * that a write can have.
 *
 * Ranges are in the order of their registration. They are replaced as a whole; who looks for one is in a
 * section of the VM's srcu, and leaves it with a count in the device that he calls: a handler can do what
 * waits for sections, a change of memory slots for instance.
 */
#include "kvm/dispatch.h"

#include <sched.h>
#include <stdlib.h>
#include <string.h>

/* The handlers that this thread is in. */
struct frame {
	const struct kvm_io_device *dev;
	const struct frame *outer;
};

static __thread const struct frame *inside __attribute__((tls_model("initial-exec")));

static bool is_inside(const struct kvm_io_device *dev)
{
	const struct frame *frame = inside;

	while (frame && frame->dev != dev)
		frame = frame->outer;
	return frame;
}

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

/* ---- accesses */

/* Who has an access, in the order in which they are asked. */
struct claimants {
	unsigned int nr;
	struct kvm_io_device *first; /* with a count; NULL: the ioeventfd is first */
	union {
		const struct kvm_io_range *range; /* in a section */
		uint64_t seq;                     /* behind it */
	} who[KVM_NR_IOBUS_DEVS + 1];
};

/* The next one registered goes in front of the first that is greater. */
static void claim(struct claimants *all, const struct kvm_io_range *range)
{
	unsigned int i = 0;

	while (i < all->nr && compare(extent_of(all->who[i].range), extent_of(range)) <= 0)
		i++;
	memmove(&all->who[i + 1], &all->who[i], (all->nr - i) * sizeof(all->who[0]));
	all->who[i].range = range;
	all->nr++;
}

/* own: as what the ioeventfd of this write stands on the bus; or NULL. */
static void find_ranges(const struct kvm_io_ranges *ranges, const struct kvm_io_range *own, uint64_t addr,
			unsigned int len, struct claimants *all)
{
	all->nr = 0;
	for (unsigned int i = 0; ranges && i < ranges->nr; i++) {
		const struct kvm_io_range *range = &ranges->range[i];

		if (!contains(range, addr, len))
			continue;
		if (own && own->seq < range->seq) {
			claim(all, own);
			own = NULL;
		}
		claim(all, range);
	}
	if (own)
		claim(all, own);
}

static struct kvm_io_device *use(struct kvm_io_device *dev)
{
	if (dev)
		atomic_fetch_add(&dev->users, 1);
	return dev;
}

static void find_claimants(struct kvm *kvm, const struct kvm_io_bus *bus, const struct kvm_io_range *own,
			   uint64_t addr, unsigned int len, struct claimants *all)
{
	_Atomic uint32_t *in = srcu_read_lock(&kvm->srcu);

	find_ranges(atomic_load(&bus->ranges), own, addr, len, all);
	all->first = all->nr ? use(all->who[0].range->dev) : NULL;
	for (unsigned int i = 0; i < all->nr; i++)
		all->who[i].seq = all->who[i].range->seq;
	srcu_read_unlock(in);
}

/* With a count; NULL: it has been unregistered meanwhile, perhaps by who was asked before. */
static struct kvm_io_device *find_registered(struct kvm *kvm, const struct kvm_io_bus *bus, uint64_t seq)
{
	_Atomic uint32_t *in = srcu_read_lock(&kvm->srcu);
	const struct kvm_io_ranges *ranges = atomic_load(&bus->ranges);
	struct kvm_io_device *dev = NULL;

	for (unsigned int i = 0; ranges && !dev && i < ranges->nr; i++)
		if (ranges->range[i].seq == seq)
			dev = use(ranges->range[i].dev);
	srcu_read_unlock(in);
	return dev;
}

/* An access, for those who are asked. */
struct access {
	struct kvm_vcpu *vcpu;
	uint64_t addr;
	unsigned int len;
	void *data;
	bool write;
};

static int ask(struct kvm_io_device *dev, const struct access *access)
{
	const struct frame frame = { dev, inside };
	int rc = -EOPNOTSUPP;

	inside = &frame;
	if (access->write && dev->ops->write)
		rc = dev->ops->write(dev, access->vcpu, access->addr, access->len, access->data);
	else if (!access->write && dev->ops->read)
		rc = dev->ops->read(dev, access->vcpu, access->addr, access->len, access->data);
	inside = frame.outer;
	return rc;
}

/* Only its own device is in use while a handler runs: it may unregister the others. */
static int ask_claimant(struct kvm *kvm, const struct kvm_io_bus *bus, const struct claimants *all,
			unsigned int i, const struct access *access)
{
	struct kvm_io_device *dev = i ? find_registered(kvm, bus, all->who[i].seq) : all->first;
	int rc;

	if (!dev)
		return -EOPNOTSUPP;
	rc = ask(dev, access);
	atomic_fetch_sub_explicit(&dev->users, 1, memory_order_release);
	return rc;
}

static int signal_used(struct ioeventfd *e)
{
	if (!e)
		return -EOPNOTSUPP;
	eventfd_signal(e->ctx, 1);
	ioeventfd_put(e);
	return 0;
}

/* Its ioeventfd is not in use while a handler runs, which may deassign it. */
int kvm_io_bus_write_among_ranges(struct kvm *kvm, struct kvm_vcpu *vcpu, enum kvm_bus index, uint64_t addr,
				  unsigned int len, const void *data)
{
	const struct access access = { vcpu, addr, len, (void *)(uintptr_t)data, true };
	struct kvm_io_bus *bus = &kvm->buses[index];
	struct ioeventfd *e = ioeventfd_find(&bus->ioeventfds, addr, len, data);
	struct kvm_io_range own = { .addr = addr };
	struct claimants all;
	int rc = -EOPNOTSUPP;
	bool is_own;

	if (e) {
		own.seq = e->seq;
		own.len = (int)ioeventfd_len(e);
	}
	find_claimants(kvm, bus, e ? &own : NULL, addr, len, &all);
	is_own = e;
	if (e && all.first) {
		ioeventfd_put(e);
		e = NULL;
	}
	for (unsigned int i = 0; rc && i < all.nr; i++) {
		if (!is_own || all.who[i].seq != own.seq)
			rc = ask_claimant(kvm, bus, &all, i, &access);
		else
			rc = signal_used(e ? e : ioeventfd_find(&bus->ioeventfds, addr, len, data));
	}
	return rc;
}

int kvm_io_bus_write(struct kvm *kvm, struct kvm_vcpu *vcpu, enum kvm_bus index, uint64_t addr,
		     unsigned int len, const void *data)
{
	return kvm_dispatch_write(kvm, vcpu, index, addr, len, data);
}

int kvm_io_bus_read(struct kvm *kvm, struct kvm_vcpu *vcpu, enum kvm_bus index, uint64_t addr,
		    unsigned int len, void *data)
{
	const struct access access = { vcpu, addr, len, data, false };
	struct kvm_io_bus *bus = &kvm->buses[index];
	struct claimants all;
	int rc = -EOPNOTSUPP;

	if (likely(!atomic_load_explicit(&bus->ranges, memory_order_relaxed)))
		return -EOPNOTSUPP;
	find_claimants(kvm, bus, NULL, addr, len, &all);
	for (unsigned int i = 0; rc && i < all.nr; i++)
		rc = ask_claimant(kvm, bus, &all, i, &access);
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

static int register_locked(struct kvm *kvm, struct kvm_io_bus *bus, uint64_t addr, int len,
			   struct kvm_io_device *dev)
{
	struct kvm_io_ranges *old = atomic_load(&bus->ranges), *ranges;
	unsigned int nr = old ? old->nr : 0;

	if (!kvm_io_bus_has_room(bus))
		return WHY(-ENOSPC, "the bus has %d devices and zones, the most", KVM_NR_IOBUS_DEVS);
	ranges = ranges_alloc(nr + 1);
	if (!ranges)
		return -ENOMEM;
	if (old)
		memcpy(ranges->range, old->range, nr * sizeof(ranges->range[0]));
	ranges->range[nr] = (struct kvm_io_range){ addr, bus->seq++, len, dev };
	publish(kvm, bus, ranges);
	return 0;
}

int kvm_io_bus_register_dev(struct kvm *kvm, enum kvm_bus index, uint64_t addr, uint32_t len,
			    struct kvm_io_device *dev)
{
	struct kvm_io_bus *bus = &kvm->buses[index];
	int rc;

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
static struct kvm_io_device nobody = { .ops = &nobody_ops };

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

	if (is_inside(dev))
		return -EDEADLK;
	pthread_mutex_lock(&bus->lock);
	rc = unregister_locked(kvm, bus, dev);
	pthread_mutex_unlock(&bus->lock);
	if (rc)
		return rc;
	for (unsigned int spins = 0; atomic_load(&dev->users); spins++)
		if (spins > 100)
			sched_yield();
	if (dev->ops->destructor)
		dev->ops->destructor(dev);
	return 0;
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
