/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The ioeventfds of one bus: which of them a write signals is found in constant time, without a lock,
 * however many there are and whatever they have in common.
 *
 * Nodes are in one list, sorted by the reversed bits of their hash; buckets are places in it, and growing
 * only adds places (a split-ordered list). The hash is of the address, and of the value for those that match
 * one. At one address there is a node without length, or for each length either one that takes any value or
 * any number that match one: so a write has at most one node, which takes two probes.
 *
 * Nodes are type-stable: their memory is used for nodes of this bus until the bus ends. Who has found one
 * counts himself as its user, and then looks again whether it is live and still the one he wanted; who
 * removes one takes the mark of life off and waits for its users, of this node only. A node that is used
 * again may lead a reader astray: so who finds nothing starts again if nodes were removed meanwhile. This is
 * why nothing here waits for a grace period.
 *
 * Changes are the owner's to order, by the bus's lock.
 */
#ifndef UVFIO_KVM_IOEVENTFD_H
#define UVFIO_KVM_IOEVENTFD_H

#include "base/base.h"
#include "file/eventfd.h"

#define IOEVENTFD_SEGMENTS 32

struct ioeventfd_link {
	_Atomic uint64_t order;
	_Atomic(struct ioeventfd_link *) next;
};

/* Which writes: exactly addr, and len bytes (0: any); match: only the value data. */
struct ioeventfd_key {
	uint64_t addr, data;
	uint32_t len;
	bool match;
};

struct ioeventfd {
	struct ioeventfd_link link;
	_Atomic uint64_t addr, data;
	_Atomic uint32_t kind;  /* IOEVENTFD_* and the length */
	_Atomic uint32_t users; /* and IOEVENTFD_LIVE */
	union {
		struct {
			struct eventfd_ctx *ctx;
			uint64_t seq; /* of its registration */
		};
		uint32_t matching[4]; /* of an address: how many match a value, for 1, 2, 4 and 8 bytes */
		struct ioeventfd *free;
	};
} __attribute__((aligned(64)));

struct ioeventfd_block;

struct ioeventfds {
	_Atomic uint32_t any, matching; /* nodes of these kinds: a probe that can be left out */
	_Atomic uint64_t changes;       /* removals */
	_Atomic uint32_t buckets;       /* a power of two */
	uint32_t ready;                 /* of them have a place of their own, at least */
	uint32_t nr;                    /* nodes */
	_Atomic(struct ioeventfd_link *) segment[IOEVENTFD_SEGMENTS];
	struct ioeventfd *free;
	struct ioeventfd_block *blocks;
};

int ioeventfds_init(struct ioeventfds *all);
void ioeventfds_destroy(struct ioeventfds *all); /* lets go of the eventfds */

/* Of one that is used. */
static inline unsigned int ioeventfd_len(const struct ioeventfd *e)
{
	return atomic_load_explicit(&e->kind, memory_order_relaxed) & 0xf;
}

static inline void ioeventfd_put(struct ioeventfd *e)
{
	atomic_fetch_sub_explicit(&e->users, 1, memory_order_release);
}

/* Does one have writes that key would have? key->len is 0, 1, 2, 4 or 8. Owner's lock. */
bool ioeventfd_is_taken(const struct ioeventfds *all, const struct ioeventfd_key *key);
/* Not taken. Takes over ctx on success. 0; -ENOMEM. Owner's lock. */
int ioeventfd_add(struct ioeventfds *all, const struct ioeventfd_key *key, struct eventfd_ctx *ctx,
		  uint64_t seq);
/* Found no more; the owner drops its lock and calls ioeventfd_wait(), then ioeventfd_free() with the lock.
 * NULL: there is none. Owner's lock. */
struct ioeventfd *ioeventfd_remove(struct ioeventfds *all, const struct ioeventfd_key *key,
				   const struct eventfd_ctx *ctx);
void ioeventfd_wait(struct ioeventfd *e);
void ioeventfd_free(struct ioeventfds *all, struct ioeventfd *e);

#endif
