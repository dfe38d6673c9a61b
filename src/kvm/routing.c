/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Where a GSI goes: to pins of controllers, one of each at most, or it is a message. And the calls that raise
 * interrupts.
 *
 * The table is replaced as a whole; readers are in a section of the VM's srcu.
 */
#include "kvm/impl.h"
#include "kvm/irqchip.h"

#include <stdlib.h>
#include <string.h>

#define ENTRIES_AT_ONCE 64u

struct route {
	uint32_t gsi, type;
	unsigned int next; /* of the same GSI, 1 + its place; 0: none */
	union {
		struct {
			uint32_t irqchip, pin; /* pin: of the pair, for the PIC */
		};
		struct {
			uint64_t address;
			uint32_t data;
		};
	};
};

struct kvm_routing {
	unsigned int nr, nr_gsis;
	int gsi_of[KVM_NR_IRQCHIPS][KVM_IOAPIC_NUM_PINS];
	unsigned int *first; /* by GSI: 1 + its place */
	struct route route[];
};

/* ---- raising */

int kvm_routing_gsi_of(struct kvm *kvm, unsigned int irqchip, unsigned int pin)
{
	_Atomic uint32_t *in = srcu_read_lock(&kvm->srcu);
	const struct kvm_routing *routing = atomic_load(&kvm->routing);
	int gsi = routing ? routing->gsi_of[irqchip][pin] : -1;

	srcu_read_unlock(in);
	return gsi;
}

int kvm_send_msi(struct kvm *kvm, uint64_t address, uint32_t data)
{
	struct kvm_intc *chip = kvm_irqchip_of(kvm);
	const struct kvm_lapic_irq irq = { .dest_id = address >> 12 & 0xff,
					   .vector = data & 0xff,
					   .delivery = data >> 8 & 7,
					   .logical = address >> 2 & 1,
					   .redirection_hint = address >> 3 & 1,
					   .level_triggered = data >> 15 & 1,
					   .level = true };
	int rc;

	if (!chip)
		return -EINVAL;
	kvm_irqchip_lock(chip);
	rc = kvm_lapic_deliver(chip, NULL, &irq);
	kvm_irqchip_unlock(chip);
	return rc;
}

static int raise_route(struct kvm *kvm, const struct route *route, uint32_t source, bool level)
{
	struct kvm_intc *chip = kvm_irqchip_of(kvm);
	int rc;

	if (route->type == KVM_IRQ_ROUTING_MSI)
		return level ? kvm_send_msi(kvm, route->address, route->data) : -1;
	kvm_irqchip_lock(chip);
	rc = route->irqchip == KVM_IRQCHIP_IOAPIC ? kvm_ioapic_set_line(chip, source, route->pin, level)
						  : kvm_pic_set_line(chip, source, route->pin, level);
	kvm_irqchip_unlock(chip);
	return rc;
}

int kvm_set_irq(struct kvm *kvm, uint32_t source, uint32_t gsi, bool level)
{
	struct route routes[KVM_NR_IRQCHIPS];
	_Atomic uint32_t *in = srcu_read_lock(&kvm->srcu);
	const struct kvm_routing *routing = atomic_load(&kvm->routing);
	unsigned int nr = 0, at = routing && gsi < routing->nr_gsis ? routing->first[gsi] : 0;
	int rc = -1, one;

	for (; at && nr < ARRAY_SIZE(routes); at = routing->route[at - 1].next)
		routes[nr++] = routing->route[at - 1];
	srcu_read_unlock(in);
	while (nr--) {
		one = raise_route(kvm, &routes[nr], source, level);
		if (one >= 0)
			rc = one + MAX(rc, 0);
	}
	return rc;
}

/* ---- the table */

static struct kvm_routing *routing_new(unsigned int nr, unsigned int nr_gsis)
{
	size_t routes = nr * sizeof(struct route);
	struct kvm_routing *routing = calloc(1, sizeof(*routing) + routes + nr_gsis * sizeof(unsigned int));

	if (!routing)
		return NULL;
	routing->nr_gsis = nr_gsis;
	routing->first = (void *)((char *)routing->route + routes);
	memset(routing->gsi_of, -1, sizeof(routing->gsi_of));
	return routing;
}

static int parse_irqchip(const struct kvm_irq_routing_irqchip *in, struct route *route)
{
	uint32_t pins = in->irqchip == KVM_IRQCHIP_IOAPIC ? KVM_IOAPIC_NUM_PINS : 8;

	if (in->irqchip >= KVM_NR_IRQCHIPS || in->pin >= pins)
		return WHY(-EINVAL, "controller %u has no pin %u", in->irqchip, in->pin);
	route->irqchip = in->irqchip;
	route->pin = in->pin + (in->irqchip == KVM_IRQCHIP_PIC_SLAVE ? 8 : 0);
	return 0;
}

static int parse(const struct kvm_intc *chip, const struct kvm_irq_routing_entry *in, struct route *route)
{
	route->gsi = in->gsi;
	route->type = in->type;
	switch (in->type) {
	case KVM_IRQ_ROUTING_IRQCHIP:
		if (in->flags || chip->split)
			return WHY(-EINVAL, "flags 0x%x, or no such controllers", in->flags);
		return parse_irqchip(&in->u.irqchip, route);
	case KVM_IRQ_ROUTING_MSI:
		if (in->flags & ~(uint32_t)KVM_MSI_VALID_DEVID)
			return WHY(-EINVAL, "unknown flags 0x%x", in->flags);
		route->address = in->u.msi.address_lo | (uint64_t)in->u.msi.address_hi << 32;
		route->data = in->u.msi.data;
		return 0;
	default:
		return WHY(-EINVAL, "type %u is not IRQCHIP or MSI", in->type);
	}
}

static bool go_together(const struct route *a, const struct route *b)
{
	return a->type == KVM_IRQ_ROUTING_IRQCHIP && b->type == KVM_IRQ_ROUTING_IRQCHIP &&
	       a->irqchip != b->irqchip;
}

/* There is room for it. */
static int add(struct kvm_routing *routing, const struct route *route)
{
	unsigned int *first = &routing->first[route->gsi];

	for (unsigned int at = *first; at; at = routing->route[at - 1].next)
		if (!go_together(&routing->route[at - 1], route))
			return WHY(-EINVAL, "GSI %u is routed twice", route->gsi);
	if (route->type == KVM_IRQ_ROUTING_IRQCHIP)
		routing->gsi_of[route->irqchip][route->pin] = (int)route->gsi;
	routing->route[routing->nr] = *route;
	routing->route[routing->nr].next = *first;
	*first = ++routing->nr;
	return 0;
}

static void publish(struct kvm *kvm, struct kvm_routing *routing)
{
	struct kvm_routing *old = atomic_exchange(&kvm->routing, routing);

	srcu_synchronize(&kvm->srcu);
	free(old);
}

int kvm_routing_set_default(struct kvm *kvm)
{
	struct kvm_routing *routing = routing_new(16 + KVM_IOAPIC_NUM_PINS, KVM_IOAPIC_NUM_PINS);
	struct route route = { .type = KVM_IRQ_ROUTING_IRQCHIP };

	if (!routing)
		return -ENOMEM;
	for (unsigned int gsi = 0; gsi < KVM_IOAPIC_NUM_PINS; gsi++) {
		route.gsi = route.pin = gsi;
		route.irqchip = KVM_IRQCHIP_IOAPIC;
		add(routing, &route);
		route.irqchip = gsi < 8 ? KVM_IRQCHIP_PIC_MASTER : KVM_IRQCHIP_PIC_SLAVE;
		if (gsi < PIC_PINS)
			add(routing, &route);
	}
	publish(kvm, routing);
	return 0;
}

void kvm_routing_clear(struct kvm *kvm)
{
	publish(kvm, NULL);
}

void kvm_routing_destroy(struct kvm *kvm)
{
	free(atomic_load(&kvm->routing));
}

/* ---- KVM_SET_GSI_ROUTING */

static int highest_gsi(const struct kvm_irq_routing_entry *entries, uint32_t nr, uint32_t *highest)
{
	*highest = 0;
	for (uint32_t i = 0; i < nr; i++) {
		if (entries[i].gsi >= KVM_MAX_IRQ_ROUTES)
			return WHY(-EINVAL, "GSI %u, the last is %u", entries[i].gsi, KVM_MAX_IRQ_ROUTES - 1);
		*highest = MAX(*highest, entries[i].gsi);
	}
	return 0;
}

static int build(const struct kvm_intc *chip, const struct kvm_irq_routing_entry *entries, uint32_t nr,
		 struct kvm_routing **out)
{
	struct kvm_routing *routing;
	uint32_t highest;
	int rc = highest_gsi(entries, nr, &highest);

	if (rc)
		return rc;
	routing = routing_new(nr, highest + 1);
	if (!routing)
		return -ENOMEM;
	for (uint32_t i = 0; !rc && i < nr; i++) {
		struct route route = { 0 };

		rc = parse(chip, &entries[i], &route);
		if (!rc)
			rc = add(routing, &route);
	}
	if (rc)
		free(routing);
	else
		*out = routing;
	return rc;
}

static int set_routing(struct ioctl_call *call, uint32_t nr)
{
	struct kvm *kvm = kvm_of_call(call);
	struct kvm_irq_routing_entry *entries = malloc(nr * sizeof(*entries) + 1);
	struct kvm_routing *routing;
	int rc = 0;

	if (!entries)
		return -ENOMEM;
	for (uint32_t i = 0, n; !rc && i < nr; i += n) {
		uint64_t at = call->arg + sizeof(struct kvm_irq_routing) + i * sizeof(*entries);

		n = MIN(nr - i, ENTRIES_AT_ONCE);
		if (copy_in(call->caller, entries + i, at, n * sizeof(*entries)))
			rc = WHY(-EFAULT, "the entries are not readable memory");
	}
	if (!rc)
		rc = build(kvm_irqchip_of(kvm), entries, nr, &routing);
	free(entries);
	if (rc)
		return rc;
	pthread_mutex_lock(&kvm->vcpus_lock);
	publish(kvm, routing);
	pthread_mutex_unlock(&kvm->vcpus_lock);
	return 0;
}

long kvm_ioctl_set_gsi_routing(struct ioctl_call *call, void *arg)
{
	const struct kvm_irq_routing *in = arg;

	if (!kvm_irqchip_of(kvm_of_call(call)))
		return WHY(-EINVAL, "the VM has no interrupt controllers");
	if (in->nr > KVM_MAX_IRQ_ROUTES || in->flags)
		return WHY(-EINVAL, "%u entries, flags 0x%x: at most %u, and no flags", in->nr, in->flags,
			   KVM_MAX_IRQ_ROUTES);
	return set_routing(call, in->nr);
}

/* ---- KVM_IRQ_LINE, KVM_SIGNAL_MSI */

long kvm_ioctl_irq_line(struct ioctl_call *call, void *arg)
{
	struct kvm_irq_level *in = arg;
	struct kvm *kvm = kvm_of_call(call);

	if (!kvm_irqchip_of(kvm))
		return WHY(-ENXIO, "the VM has no interrupt controllers");
	in->status = kvm_set_irq(kvm, IRQ_SOURCE_USER, in->irq, in->level);
	return 0;
}

long kvm_ioctl_signal_msi(struct ioctl_call *call, void *arg)
{
	const struct kvm_msi *in = arg;

	if (!kvm_irqchip_of(kvm_of_call(call)))
		return WHY(-EINVAL, "the VM has no interrupt controllers");
	if (in->flags & ~(uint32_t)KVM_MSI_VALID_DEVID)
		return WHY(-EINVAL, "unknown flags 0x%x", in->flags & ~(uint32_t)KVM_MSI_VALID_DEVID);
	return kvm_send_msi(kvm_of_call(call), in->address_lo | (uint64_t)in->address_hi << 32, in->data);
}
