/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Coalesced zones: writes there are put into a ring that the VMM empties when it comes by.
 *
 * The ring is one page of a VM, in a memfd that vCPUs map. The VMM writes into it at any time: its indices
 * are checked at each use.
 */
#include "kvm/impl.h"

#include "base/private_fd.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/* As the kernel's macro, which counts in pages of its own. */
#define RING_ENTRIES                                                                                         \
	((UVFIO_PAGE_SIZE - sizeof(struct kvm_coalesced_mmio_ring)) / sizeof(struct kvm_coalesced_mmio))

struct zone {
	struct kvm_io_device dev;
	struct kvm *kvm;
	struct kvm_coalesced_mmio_zone zone;
	struct cds_list_head node;
};

/* ---- the ring */

/* slots_lock is held. */
static int make_ring(struct kvm_coalesced *coalesced)
{
	void *ring;
	int fd;

	if (coalesced->ring)
		return 0;
	fd = private_fd(memfd_create("uvfio-coalesced", MFD_CLOEXEC));
	if (fd < 0)
		return -errno;
	ring = ftruncate(fd, UVFIO_PAGE_SIZE)
		       ? MAP_FAILED
		       : mmap(NULL, UVFIO_PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (ring == MAP_FAILED) {
		private_fd_close(fd);
		return -ENOMEM;
	}
	coalesced->fd = fd;
	coalesced->ring = ring;
	return 0;
}

int kvm_coalesced_ring_fd(struct kvm *kvm)
{
	int rc;

	pthread_mutex_lock(&kvm->slots_lock);
	rc = make_ring(&kvm->coalesced);
	pthread_mutex_unlock(&kvm->slots_lock);
	return rc ? rc : kvm->coalesced.fd;
}

struct kvm_coalesced_mmio_ring *kvm_coalesced_ring(struct kvm *kvm)
{
	return kvm_coalesced_ring_fd(kvm) < 0 ? NULL : kvm->coalesced.ring;
}

/* One entry stays free: a full ring is not an empty one. */
static bool put(struct kvm_coalesced_mmio_ring *ring, const struct kvm_coalesced_mmio *entry)
{
	uint32_t last = __atomic_load_n(&ring->last, __ATOMIC_RELAXED);
	uint32_t next = (last + 1) % RING_ENTRIES;

	if (last >= RING_ENTRIES || next == __atomic_load_n(&ring->first, __ATOMIC_ACQUIRE))
		return false;
	ring->coalesced_mmio[last] = *entry;
	__atomic_store_n(&ring->last, next, __ATOMIC_RELEASE);
	return true;
}

/* ---- zones */

/* Is [addr, addr + len) in the zone? With the kernel's arithmetic: a size of 2 GiB is negative, one that
 * wraps has no end. */
static bool in_zone(const struct kvm_coalesced_mmio_zone *zone, uint64_t addr, int len)
{
	uint64_t end = addr + (uint64_t)(int64_t)len;

	return len >= 0 && end >= addr && addr >= zone->addr && end <= zone->addr + zone->size;
}

static int zone_write(struct kvm_io_device *dev, struct kvm_vcpu *vcpu, uint64_t addr, unsigned int len,
		      const void *data)
{
	struct zone *zone = container_of(dev, struct zone, dev);
	struct kvm_coalesced *coalesced = &zone->kvm->coalesced;
	struct kvm_coalesced_mmio entry = { .phys_addr = addr, .len = len, .pio = zone->zone.pio };
	bool done;

	(void)vcpu;
	if (!in_zone(&zone->zone, addr, (int)len) || len > sizeof(entry.data))
		return -EOPNOTSUPP;
	memcpy(entry.data, data, len);
	pthread_mutex_lock(&coalesced->ring_lock);
	done = put(coalesced->ring, &entry);
	pthread_mutex_unlock(&coalesced->ring_lock);
	return done ? 0 : -EOPNOTSUPP;
}

static void zone_free(struct kvm_io_device *dev)
{
	struct zone *zone = container_of(dev, struct zone, dev);

	cds_list_del(&zone->node);
	free(zone);
}

static const struct kvm_io_device_ops zone_ops = { .write = zone_write, .destructor = zone_free };

static enum kvm_bus bus_of(const struct kvm_coalesced_mmio_zone *zone)
{
	return zone->pio ? KVM_PIO_BUS : KVM_MMIO_BUS;
}

long kvm_ioctl_register_zone(struct ioctl_call *call, void *arg)
{
	const struct kvm_coalesced_mmio_zone *in = arg;
	struct kvm *kvm = kvm_of_call(call);
	struct zone *zone;
	int rc;

	if (in->pio > 1)
		return WHY(-EINVAL, "pio is 0 or 1, not %u", in->pio);
	zone = malloc(sizeof(*zone));
	if (!zone)
		return -ENOMEM;
	*zone = (struct zone){ .dev.ops = &zone_ops, .kvm = kvm, .zone = *in };
	pthread_mutex_lock(&kvm->slots_lock);
	rc = make_ring(&kvm->coalesced);
	if (!rc)
		rc = kvm_io_bus_register_dev(kvm, bus_of(in), in->addr, in->size, &zone->dev);
	if (!rc)
		cds_list_add_tail(&zone->node, &kvm->coalesced.zones);
	pthread_mutex_unlock(&kvm->slots_lock);
	if (rc)
		free(zone);
	return rc;
}

/* Every zone that has all of the range goes. */
long kvm_ioctl_unregister_zone(struct ioctl_call *call, void *arg)
{
	const struct kvm_coalesced_mmio_zone *in = arg;
	struct kvm *kvm = kvm_of_call(call);
	struct zone *zone, *next;

	if (in->pio > 1)
		return WHY(-EINVAL, "pio is 0 or 1, not %u", in->pio);
	pthread_mutex_lock(&kvm->slots_lock);
	cds_list_for_each_entry_safe (zone, next, &kvm->coalesced.zones, node)
		if (zone->zone.pio == in->pio && in_zone(&zone->zone, in->addr, (int)in->size))
			kvm_io_bus_unregister_dev(kvm, bus_of(in), &zone->dev);
	pthread_mutex_unlock(&kvm->slots_lock);
	return 0;
}

/* ---- life */

void kvm_coalesced_init(struct kvm *kvm)
{
	pthread_mutex_init(&kvm->coalesced.ring_lock, NULL);
	kvm->coalesced.fd = -1;
	CDS_INIT_LIST_HEAD(&kvm->coalesced.zones);
}

void kvm_coalesced_destroy(struct kvm *kvm)
{
	if (kvm->coalesced.ring)
		munmap(kvm->coalesced.ring, UVFIO_PAGE_SIZE);
	private_fd_close(kvm->coalesced.fd);
	pthread_mutex_destroy(&kvm->coalesced.ring_lock);
}
