/* SPDX-License-Identifier: BSD-2-Clause */
#include "kvm/ioeventfd_find.h"

#include <sched.h>
#include <stdlib.h>
#include <string.h>

/* Of an address, in its data. */
#define HAS_ANY(i)  BIT64(i)
#define HAS_ANY_LEN BIT64(4) /* the one without length */

#define BLOCK_NODES 255

struct ioeventfd_block {
	struct ioeventfd_block *next;
	struct ioeventfd nodes[BLOCK_NODES];
};

/* ---- memory */

static struct ioeventfd *node_alloc(struct ioeventfds *all)
{
	struct ioeventfd *e = all->free;
	struct ioeventfd_block *block;

	if (!e) {
		block = aligned_alloc(_Alignof(struct ioeventfd_block), sizeof(*block));
		if (!block)
			return NULL;
		memset(block, 0, sizeof(*block));
		block->next = all->blocks;
		all->blocks = block;
		for (unsigned int i = BLOCK_NODES; i--;) {
			block->nodes[i].free = all->free;
			all->free = &block->nodes[i];
		}
		e = all->free;
	}
	all->free = e->free;
	return e;
}

void ioeventfd_free(struct ioeventfds *all, struct ioeventfd *e)
{
	e->free = all->free;
	all->free = e;
}

/* ---- changes */

/* Put link behind the last one that is not above its order. */
static void insert_link(struct ioeventfd_link *from, struct ioeventfd_link *link, uint64_t at)
{
	struct ioeventfd_link *next;

	while ((next = ioeventfd_next(from)) && ioeventfd_order(next) <= at)
		from = next;
	/* who comes here by an older link of a node that is used again sees all.changes, too */
	atomic_store_explicit(&link->next, next, memory_order_release);
	atomic_store_explicit(&link->order, at, memory_order_release);
	atomic_store_explicit(&from->next, link, memory_order_release);
}

static void ready_bucket(struct ioeventfds *all)
{
	uint32_t b = all->ready++;

	insert_link(ioeventfd_bucket(all, b), ioeventfd_bucket_at(all, b), ioeventfd_reverse(b));
}

/* Without memory it stays as it is, and becomes slower. */
static void grow(struct ioeventfds *all)
{
	uint32_t buckets = atomic_load(&all->buckets);
	unsigned int segment = (unsigned int)__builtin_ctz(buckets / IOEVENTFD_FIRST_BUCKETS) + 1;
	struct ioeventfd_link *links;

	if (all->ready < buckets || segment >= 26)
		return;
	links = calloc(buckets, sizeof(*links));
	if (!links)
		return;
	atomic_store(&all->segment[segment], links);
	atomic_store(&all->buckets, 2 * buckets);
}

static struct ioeventfd *insert(struct ioeventfds *all, const struct ioeventfd_probe *as,
				struct eventfd_ctx *ctx, uint64_t seq)
{
	uint64_t hash = ioeventfd_hash(as->addr, as->data, as->kind & (IOEVENTFD_MATCH | IOEVENTFD_ADDRESS));
	struct ioeventfd *e = node_alloc(all);

	if (!e)
		return NULL;
	atomic_store_explicit(&e->addr, as->addr, memory_order_relaxed);
	atomic_store_explicit(&e->data, as->data, memory_order_relaxed);
	atomic_store_explicit(&e->kind, as->kind, memory_order_relaxed);
	e->ctx = ctx;
	e->seq = seq;
	if (ctx)
		atomic_fetch_or(&e->users, IOEVENTFD_LIVE);
	insert_link(ioeventfd_bucket(all, hash), &e->link, ioeventfd_order_of(hash));
	if (++all->nr > atomic_load(&all->buckets))
		grow(all);
	for (int i = 0; i < 2 && all->ready < atomic_load(&all->buckets); i++)
		ready_bucket(all);
	return e;
}

static void unlink_node(struct ioeventfds *all, struct ioeventfd *e, uint64_t hash)
{
	struct ioeventfd_link *from = ioeventfd_bucket(all, hash);

	while (ioeventfd_next(from) != &e->link)
		from = ioeventfd_next(from);
	atomic_store_explicit(&from->next, ioeventfd_next(&e->link), memory_order_release);
	atomic_fetch_add(&all->changes, 1);
	all->nr--;
}

static struct ioeventfd_probe probe_of(const struct ioeventfd_key *key)
{
	uint32_t kind = (key->match ? IOEVENTFD_MATCH : IOEVENTFD_ANY) | key->len;

	return (struct ioeventfd_probe){ key->addr, key->match ? key->data : 0, kind, kind };
}

static struct ioeventfd *find_address(const struct ioeventfds *all, uint64_t addr)
{
	uint64_t hash = ioeventfd_hash(addr, 0, IOEVENTFD_ADDRESS), target = ioeventfd_order_of(hash);
	struct ioeventfd_link *link = ioeventfd_next(ioeventfd_bucket(all, hash));

	for (; link && ioeventfd_order(link) <= target; link = ioeventfd_next(link))
		if (ioeventfd_order(link) == target &&
		    atomic_load(&ioeventfd_of_link(link)->kind) == IOEVENTFD_ADDRESS &&
		    atomic_load(&ioeventfd_of_link(link)->addr) == addr)
			return ioeventfd_of_link(link);
	return NULL;
}

bool ioeventfd_is_taken(const struct ioeventfds *all, const struct ioeventfd_key *key)
{
	const struct ioeventfd *address = find_address(all, key->addr);
	unsigned int i = key->len ? (unsigned int)__builtin_ctz(key->len) : 0;
	struct ioeventfd_probe want = probe_of(key);

	if (!address)
		return false;
	if (!key->len || atomic_load(&address->data) & (HAS_ANY_LEN | HAS_ANY(i)))
		return true;
	return key->match ? ioeventfd_walk(all, ioeventfd_hash(want.addr, want.data, IOEVENTFD_MATCH),
					   &want) != NULL
			  : address->matching[i] != 0;
}

/* Count key at its address, or (by < 0) no more. */
static void count(struct ioeventfds *all, struct ioeventfd *address, const struct ioeventfd_key *key, int by)
{
	unsigned int i = key->len ? (unsigned int)__builtin_ctz(key->len) : 0;

	if (key->match) {
		address->matching[i] += (uint32_t)by;
		atomic_fetch_add(&all->matching, (uint32_t)by);
	} else {
		atomic_fetch_xor(&address->data, key->len ? HAS_ANY(i) : HAS_ANY_LEN);
		atomic_fetch_add(&all->any, (uint32_t)by);
	}
}

static void drop_if_empty(struct ioeventfds *all, struct ioeventfd *address)
{
	const uint32_t *n = address->matching;

	if (atomic_load(&address->data) || n[0] || n[1] || n[2] || n[3])
		return;
	unlink_node(all, address, ioeventfd_hash(atomic_load(&address->addr), 0, IOEVENTFD_ADDRESS));
	ioeventfd_free(all, address);
}

int ioeventfd_add(struct ioeventfds *all, const struct ioeventfd_key *key, struct eventfd_ctx *ctx,
		  uint64_t seq)
{
	struct ioeventfd *address = find_address(all, key->addr);
	struct ioeventfd_probe as = probe_of(key);

	if (!address)
		address =
			insert(all, &(struct ioeventfd_probe){ key->addr, 0, IOEVENTFD_ADDRESS, 0 }, NULL, 0);
	if (!address)
		return -ENOMEM;
	count(all, address, key, 1);
	if (insert(all, &as, ctx, seq))
		return 0;
	count(all, address, key, -1);
	drop_if_empty(all, address);
	return -ENOMEM;
}

struct ioeventfd *ioeventfd_remove(struct ioeventfds *all, const struct ioeventfd_key *key,
				   const struct eventfd_ctx *ctx)
{
	struct ioeventfd_probe want = probe_of(key);
	uint64_t hash = ioeventfd_hash(want.addr, want.data, want.kind & IOEVENTFD_MATCH);
	struct ioeventfd *e = key->len <= 8 ? ioeventfd_walk(all, hash, &want) : NULL, *address;

	if (!e || !eventfd_ctx_same(e->ctx, ctx))
		return NULL;
	unlink_node(all, e, hash);
	atomic_fetch_and(&e->users, ~IOEVENTFD_LIVE);
	address = find_address(all, key->addr);
	if (address) {
		count(all, address, key, -1);
		drop_if_empty(all, address);
	}
	return e;
}

void ioeventfd_wait(struct ioeventfd *e)
{
	for (unsigned int spins = 0; atomic_load(&e->users); spins++)
		if (spins > 100)
			sched_yield();
}

/* ---- life */

int ioeventfds_init(struct ioeventfds *all)
{
	struct ioeventfd_link *links = calloc(IOEVENTFD_FIRST_BUCKETS, sizeof(*links));

	if (!links)
		return -ENOMEM;
	atomic_store(&all->segment[0], links);
	atomic_store(&all->buckets, IOEVENTFD_FIRST_BUCKETS);
	for (all->ready = 1; all->ready < IOEVENTFD_FIRST_BUCKETS;)
		ready_bucket(all);
	return 0;
}

void ioeventfds_destroy(struct ioeventfds *all)
{
	struct ioeventfd_block *block, *next;

	for (block = all->blocks; block; block = next) {
		next = block->next;
		for (unsigned int i = 0; i < BLOCK_NODES; i++)
			if (atomic_load(&block->nodes[i].users) & IOEVENTFD_LIVE)
				eventfd_ctx_put(block->nodes[i].ctx);
		free(block);
	}
	for (unsigned int i = 0; i < IOEVENTFD_SEGMENTS; i++)
		free(atomic_load(&all->segment[i]));
}
