/* SPDX-License-Identifier: BSD-2-Clause */
#include "model.h"

#include <linux/kvm.h>
#include <string.h>

struct extent {
	uint64_t addr, len;
};

static int compare(struct extent a, struct extent b)
{
	if (a.addr < b.addr)
		return -1;
	if (b.len) {
		a.addr += a.len;
		b.addr += b.len;
	}
	return a.addr > b.addr;
}

static struct extent extent_of(const struct model_entry *entry)
{
	return (struct extent){ entry->addr, entry->len };
}

/* In front of the first that is greater. */
static void insert(struct model_entry *all, unsigned int nr, const struct model_entry *entry)
{
	unsigned int i = 0;

	while (i < nr && compare(extent_of(&all[i]), extent_of(entry)) <= 0)
		i++;
	memmove(all + i + 1, all + i, (nr - i) * sizeof(*all));
	all[i] = *entry;
}

void model_add(struct model *model, enum bus bus, const struct model_entry *entry)
{
	struct model_entry new = *entry;

	new.seq = model->seq++;
	if (model->nr[bus] < MODEL_ENTRIES)
		insert(model->entry[bus], model->nr[bus]++, &new);
}

static void take_out(struct model *model, enum bus bus, unsigned int i)
{
	struct model_entry *all = model->entry[bus];

	model->nr[bus]--;
	memmove(all + i, all + i + 1, (model->nr[bus] - i) * sizeof(*all));
}

void model_remove(struct model *model, enum bus bus, const struct model_entry *entry)
{
	for (unsigned int i = 0; i < model->nr[bus]; i++) {
		const struct model_entry *other = &model->entry[bus][i];
		bool match = entry->flags & KVM_IOEVENTFD_FLAG_DATAMATCH;

		if (other->event < 0 || other->addr != entry->addr || other->len != entry->len ||
		    match != !!(other->flags & KVM_IOEVENTFD_FLAG_DATAMATCH) ||
		    (match && other->data != entry->data))
			continue;
		take_out(model, bus, i);
		return;
	}
}

void model_remove_zones(struct model *model, enum bus bus, uint64_t addr, uint32_t size)
{
	for (unsigned int i = 0; i < model->nr[bus];) {
		const struct model_entry *zone = &model->entry[bus][i];

		if (zone->event < 0 && addr >= zone->addr && addr + size <= zone->addr + zone->len)
			take_out(model, bus, i);
		else
			i++;
	}
}

static bool takes(const struct model_entry *entry, struct extent access, uint64_t value)
{
	if (entry->event < 0)
		return access.addr >= entry->addr && access.addr + access.len <= entry->addr + entry->len;
	if (access.addr != entry->addr || (entry->len && entry->len != access.len))
		return false;
	return !(entry->flags & KVM_IOEVENTFD_FLAG_DATAMATCH) || entry->data == value;
}

/* Who takes it by the kernel's search: its number, or -1. */
static int64_t search(const struct model *model, enum bus bus, struct extent access, uint64_t value)
{
	const struct model_entry *all = model->entry[bus];
	unsigned int base = 0, nr = model->nr[bus];
	int at = -1;

	for (; nr && at < 0; nr >>= 1) {
		unsigned int pivot = base + (nr >> 1);
		int order = compare(access, extent_of(&all[pivot]));

		if (!order)
			at = (int)pivot;
		if (order > 0) {
			base = pivot + 1;
			nr--;
		}
	}
	if (at < 0)
		return -1;
	while (at > 0 && !compare(access, extent_of(&all[at - 1])))
		at--;
	for (; at < (int)model->nr[bus] && !compare(access, extent_of(&all[at])); at++)
		if (takes(&all[at], access, value))
			return (int64_t)all[at].seq;
	return -1;
}

/* The next registered one that takes it. */
static const struct model_entry *next_taker(const struct model *model, enum bus bus, struct extent access,
					    uint64_t value, int64_t after)
{
	const struct model_entry *found = NULL;

	for (unsigned int i = 0; i < model->nr[bus]; i++) {
		const struct model_entry *entry = &model->entry[bus][i];

		if ((int64_t)entry->seq > after && takes(entry, access, value) &&
		    (!found || entry->seq < found->seq))
			found = entry;
	}
	return found;
}

/* Who takes it when nothing is on the bus but those that do. */
static int64_t first(const struct model *model, enum bus bus, struct extent access, uint64_t value)
{
	static struct model_entry takers[MODEL_ENTRIES];
	const struct model_entry *next = next_taker(model, bus, access, value, -1);
	unsigned int nr = 0;

	for (; next; next = next_taker(model, bus, access, value, (int64_t)next->seq))
		insert(takers, nr++, next);
	return nr ? (int64_t)takers[0].seq : -1;
}

/* Which zone it is does not matter. */
static bool same_taker(const struct model *model, enum bus bus, int64_t a, int64_t b)
{
	bool zone_a = false, zone_b = false;

	for (unsigned int i = 0; i < model->nr[bus]; i++) {
		const struct model_entry *entry = &model->entry[bus][i];

		zone_a |= (int64_t)entry->seq == a && entry->event < 0;
		zone_b |= (int64_t)entry->seq == b && entry->event < 0;
	}
	return a == b || (zone_a && zone_b);
}

bool model_search_misses(const struct model *model, enum bus bus, uint64_t addr, unsigned int len,
			 uint64_t value)
{
	unsigned char data[16] = { 0 };

	memcpy(data, &value, sizeof(value));
	for (unsigned int done = 0, n; done < len; done += n) {
		struct extent access = { addr + done, 0 };

		n = 4096 - ((addr + done) & 4095);
		n = n < len - done ? n : len - done;
		n = n < 8 ? n : 8;
		access.len = n;
		value = 0;
		memcpy(&value, data + done, n);
		if (!same_taker(model, bus, search(model, bus, access, value),
				first(model, bus, access, value)))
			return true;
	}
	return false;
}
