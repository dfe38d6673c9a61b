/* SPDX-License-Identifier: BSD-2-Clause */
/* The lookup of ioeventfd.h, for who dispatches writes: inline. */
#ifndef UVFIO_KVM_IOEVENTFD_FIND_H
#define UVFIO_KVM_IOEVENTFD_FIND_H

#include "kvm/ioeventfd.h"

#include <string.h>

#define IOEVENTFD_LIVE BIT32(31) /* in users: it is registered */

/* Kinds of nodes: with the length in the low bits. */
#define IOEVENTFD_ANY           0x10u
#define IOEVENTFD_MATCH         0x20u
#define IOEVENTFD_ADDRESS       0x40u /* for who changes things: what there is at an address; never live */

#define IOEVENTFD_FIRST_BUCKETS 64u

/* ---- hashes and places */

static inline uint64_t ioeventfd_hash(uint64_t addr, uint64_t data, uint32_t salt)
{
	uint64_t h = (addr + salt) * 0x9e3779b97f4a7c15u;

	h = (h ^ h >> 32 ^ data) * 0xd6e8feb86659fd93u;
	h = (h ^ h >> 32) * 0xd6e8feb86659fd93u;
	return h ^ h >> 29;
}

static inline uint64_t ioeventfd_reverse(uint64_t x)
{
	x = (x >> 1 & 0x5555555555555555u) | (x & 0x5555555555555555u) << 1;
	x = (x >> 2 & 0x3333333333333333u) | (x & 0x3333333333333333u) << 2;
	x = (x >> 4 & 0x0f0f0f0f0f0f0f0fu) | (x & 0x0f0f0f0f0f0f0f0fu) << 4;
	return __builtin_bswap64(x);
}

static inline uint64_t ioeventfd_order_of(uint64_t hash)
{
	return ioeventfd_reverse(hash) | 1;
}

static inline struct ioeventfd *ioeventfd_of_link(struct ioeventfd_link *link)
{
	return container_of(link, struct ioeventfd, link);
}

static inline struct ioeventfd_link *ioeventfd_next(const struct ioeventfd_link *link)
{
	return atomic_load_explicit(&link->next, memory_order_acquire);
}

static inline uint64_t ioeventfd_order(const struct ioeventfd_link *link)
{
	return atomic_load_explicit(&link->order, memory_order_relaxed);
}

/* Bucket b has memory: b is below the number of buckets. */
static inline struct ioeventfd_link *ioeventfd_bucket_at(const struct ioeventfds *all, uint32_t b)
{
	unsigned int segment = b < IOEVENTFD_FIRST_BUCKETS ? 0 : 26u - (unsigned int)__builtin_clz(b);
	uint32_t first = segment ? IOEVENTFD_FIRST_BUCKETS << (segment - 1) : 0;

	return atomic_load_explicit(&all->segment[segment], memory_order_relaxed) + (b - first);
}

/* Where to begin for a hash: its bucket, or the one that it is still a part of. */
static inline struct ioeventfd_link *ioeventfd_bucket(const struct ioeventfds *all, uint64_t hash)
{
	uint32_t b = (uint32_t)hash & (atomic_load_explicit(&all->buckets, memory_order_acquire) - 1);
	struct ioeventfd_link *link = ioeventfd_bucket_at(all, b);

	while (unlikely(b && !atomic_load_explicit(&link->order, memory_order_acquire))) {
		b &= ~(BIT32(31) >> __builtin_clz(b));
		link = ioeventfd_bucket_at(all, b);
	}
	return link;
}

/* ---- lookup */

/* What a probe is for: the node of this kind, or of the other one. */
struct ioeventfd_probe {
	uint64_t addr, data;
	uint32_t kind, other;
};

static inline bool ioeventfd_is_wanted(const struct ioeventfd *e, const struct ioeventfd_probe *want)
{
	uint32_t kind = atomic_load_explicit(&e->kind, memory_order_relaxed);

	return (kind == want->kind || kind == want->other) &&
	       atomic_load_explicit(&e->addr, memory_order_relaxed) == want->addr &&
	       atomic_load_explicit(&e->data, memory_order_relaxed) == want->data;
}

static inline struct ioeventfd *ioeventfd_walk(const struct ioeventfds *all, uint64_t hash,
					       const struct ioeventfd_probe *want)
{
	uint64_t target = ioeventfd_order_of(hash);

	for (struct ioeventfd_link *link = ioeventfd_next(ioeventfd_bucket(all, hash)); link;
	     link = ioeventfd_next(link)) {
		uint64_t at = ioeventfd_order(link);

		if (at > target)
			return NULL;
		if (at == target && ioeventfd_is_wanted(ioeventfd_of_link(link), want))
			return ioeventfd_of_link(link);
	}
	return NULL;
}

/* Count the caller as its user, if it is what was found. */
static inline bool ioeventfd_use(struct ioeventfd *e, const struct ioeventfd_probe *want)
{
	if (likely(atomic_fetch_add(&e->users, 1) & IOEVENTFD_LIVE && ioeventfd_is_wanted(e, want)))
		return true;
	ioeventfd_put(e);
	return false;
}

static inline struct ioeventfd *ioeventfd_find_used(struct ioeventfds *all,
						    const struct ioeventfd_probe *want)
{
	uint64_t hash = ioeventfd_hash(want->addr, want->data, want->kind & IOEVENTFD_MATCH);
	uint64_t changes;
	struct ioeventfd *e;

	do {
		changes = atomic_load_explicit(&all->changes, memory_order_acquire);
		e = ioeventfd_walk(all, hash, want);
		if (e && ioeventfd_use(e, want))
			return e;
		atomic_thread_fence(memory_order_acquire);
	} while (unlikely(e || changes != atomic_load_explicit(&all->changes, memory_order_relaxed)));
	return NULL;
}

/* The value as the kernel reads it: zero-extended. Lengths that no instruction has match no value. */
static inline bool ioeventfd_value(const void *data, unsigned int len, uint64_t *value)
{
	if (len != 1 && len != 2 && len != 4 && len != 8)
		return false;
	*value = 0;
	memcpy(value, data, len);
	return true;
}

/*
 * The ioeventfd of a write of at most 8 bytes, marked as used until ioeventfd_put(); NULL: none.
 */
static inline struct ioeventfd *ioeventfd_find(struct ioeventfds *all, uint64_t addr, unsigned int len,
					       const void *data)
{
	struct ioeventfd_probe want = { .addr = addr,
					.kind = IOEVENTFD_ANY | (len & 0xf),
					.other = IOEVENTFD_ANY };
	struct ioeventfd *e = NULL;

	if (atomic_load_explicit(&all->any, memory_order_relaxed))
		e = ioeventfd_find_used(all, &want);
	if (!e && atomic_load_explicit(&all->matching, memory_order_relaxed) &&
	    ioeventfd_value(data, len, &want.data)) {
		want.kind = want.other = IOEVENTFD_MATCH | len;
		e = ioeventfd_find_used(all, &want);
	}
	return e;
}

#endif
