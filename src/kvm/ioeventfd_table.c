/* SPDX-License-Identifier: BSD-2-Clause */
#include "kvm/ioeventfd.h"

#include <sched.h>
#include <stdlib.h>
#include <string.h>

#define LIVE BIT32(31) /* in users: it is registered */

/* Kinds of nodes: with the length in the low bits. */
#define KIND_ANY     0x10u
#define KIND_MATCH   0x20u
#define KIND_ADDRESS 0x40u /* for who changes things: what there is at an address; never live */

/* Of an address, in its data. */
#define HAS_ANY(i)    BIT64(i)
#define HAS_ANY_LEN   BIT64(4) /* the one without length */

#define FIRST_BUCKETS 64u
#define BLOCK_NODES   255

struct ioeventfd_block {
	struct ioeventfd_block *next;
	struct ioeventfd nodes[BLOCK_NODES];
};

/* ---- hashes and places */

static inline uint64_t hash_of(uint64_t addr, uint64_t data, uint32_t salt)
{
	uint64_t h = (addr + salt) * 0x9e3779b97f4a7c15u;

	h = (h ^ h >> 32 ^ data) * 0xd6e8feb86659fd93u;
	h = (h ^ h >> 32) * 0xd6e8feb86659fd93u;
	return h ^ h >> 29;
}

static inline uint64_t reverse(uint64_t x)
{
	x = (x >> 1 & 0x5555555555555555u) | (x & 0x5555555555555555u) << 1;
	x = (x >> 2 & 0x3333333333333333u) | (x & 0x3333333333333333u) << 2;
	x = (x >> 4 & 0x0f0f0f0f0f0f0f0fu) | (x & 0x0f0f0f0f0f0f0f0fu) << 4;
	return __builtin_bswap64(x);
}

static inline uint64_t order_of(uint64_t hash)
{
	return reverse(hash) | 1;
}

static inline struct ioeventfd *to_node(struct ioeventfd_link *link)
{
	return container_of(link, struct ioeventfd, link);
}

static inline struct ioeventfd_link *next_of(const struct ioeventfd_link *link)
{
	return atomic_load_explicit(&link->next, memory_order_acquire);
}

static inline uint64_t order(const struct ioeventfd_link *link)
{
	return atomic_load_explicit(&link->order, memory_order_relaxed);
}

/* Bucket b has memory: b is below the number of buckets. */
static inline struct ioeventfd_link *bucket_at(const struct ioeventfds *all, uint32_t b)
{
	unsigned int segment = b < FIRST_BUCKETS ? 0 : 26u - (unsigned int)__builtin_clz(b);
	uint32_t first = segment ? FIRST_BUCKETS << (segment - 1) : 0;

	return atomic_load_explicit(&all->segment[segment], memory_order_relaxed) + (b - first);
}

/* Where to begin for a hash: its bucket, or the one that it is still a part of. */
static inline struct ioeventfd_link *bucket_of(const struct ioeventfds *all, uint64_t hash)
{
	uint32_t b = (uint32_t)hash & (atomic_load_explicit(&all->buckets, memory_order_acquire) - 1);
	struct ioeventfd_link *link = bucket_at(all, b);

	while (unlikely(b && !atomic_load_explicit(&link->order, memory_order_acquire))) {
		b &= ~(BIT32(31) >> __builtin_clz(b));
		link = bucket_at(all, b);
	}
	return link;
}

/* ---- lookup */

/* What a probe is for: the node of this kind, or of the other one. */
struct probe {
	uint64_t addr, data;
	uint32_t kind, other;
};

static inline bool is_wanted(const struct ioeventfd *e, const struct probe *want)
{
	uint32_t kind = atomic_load_explicit(&e->kind, memory_order_relaxed);

	return (kind == want->kind || kind == want->other) &&
	       atomic_load_explicit(&e->addr, memory_order_relaxed) == want->addr &&
	       atomic_load_explicit(&e->data, memory_order_relaxed) == want->data;
}

static inline struct ioeventfd *walk(const struct ioeventfds *all, uint64_t hash, const struct probe *want)
{
	uint64_t target = order_of(hash);

	for (struct ioeventfd_link *link = next_of(bucket_of(all, hash)); link; link = next_of(link)) {
		uint64_t at = order(link);

		if (at > target)
			return NULL;
		if (at == target && is_wanted(to_node(link), want))
			return to_node(link);
	}
	return NULL;
}

/* Count the caller as its user, if it is what was found. */
static inline bool use(struct ioeventfd *e, const struct probe *want)
{
	if (likely(atomic_fetch_add(&e->users, 1) & LIVE && is_wanted(e, want)))
		return true;
	ioeventfd_put(e);
	return false;
}

static inline struct ioeventfd *find_used(struct ioeventfds *all, const struct probe *want)
{
	uint64_t hash = hash_of(want->addr, want->data, want->kind & KIND_MATCH);
	uint64_t changes;
	struct ioeventfd *e;

	do {
		changes = atomic_load_explicit(&all->changes, memory_order_acquire);
		e = walk(all, hash, want);
		if (e && use(e, want))
			return e;
		atomic_thread_fence(memory_order_acquire);
	} while (unlikely(e || changes != atomic_load_explicit(&all->changes, memory_order_relaxed)));
	return NULL;
}

/* The value as the kernel reads it: zero-extended. Lengths that no instruction has match no value. */
static inline bool value_of(const void *data, unsigned int len, uint64_t *value)
{
	if (len != 1 && len != 2 && len != 4 && len != 8)
		return false;
	*value = 0;
	memcpy(value, data, len);
	return true;
}

struct ioeventfd *ioeventfd_find(struct ioeventfds *all, uint64_t addr, unsigned int len, const void *data)
{
	struct probe want = { .addr = addr, .kind = KIND_ANY | (len & 0xf), .other = KIND_ANY };
	struct ioeventfd *e = NULL;

	if (atomic_load_explicit(&all->any, memory_order_relaxed))
		e = find_used(all, &want);
	if (!e && atomic_load_explicit(&all->matching, memory_order_relaxed) &&
	    value_of(data, len, &want.data)) {
		want.kind = want.other = KIND_MATCH | len;
		e = find_used(all, &want);
	}
	return e;
}

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

	while ((next = next_of(from)) && order(next) <= at)
		from = next;
	atomic_store_explicit(&link->next, next, memory_order_relaxed);
	atomic_store_explicit(&link->order, at, memory_order_release);
	atomic_store_explicit(&from->next, link, memory_order_release);
}

static void ready_bucket(struct ioeventfds *all)
{
	uint32_t b = all->ready++;

	insert_link(bucket_of(all, b), bucket_at(all, b), reverse(b));
}

/* Without memory it stays as it is, and becomes slower. */
static void grow(struct ioeventfds *all)
{
	uint32_t buckets = atomic_load(&all->buckets);
	unsigned int segment = (unsigned int)__builtin_ctz(buckets / FIRST_BUCKETS) + 1;
	struct ioeventfd_link *links;

	if (all->ready < buckets || segment >= 26)
		return;
	links = calloc(buckets, sizeof(*links));
	if (!links)
		return;
	atomic_store(&all->segment[segment], links);
	atomic_store(&all->buckets, 2 * buckets);
}

static struct ioeventfd *insert(struct ioeventfds *all, const struct probe *as, struct eventfd_ctx *ctx,
				uint64_t seq)
{
	uint64_t hash = hash_of(as->addr, as->data, as->kind & (KIND_MATCH | KIND_ADDRESS));
	struct ioeventfd *e = node_alloc(all);

	if (!e)
		return NULL;
	atomic_store_explicit(&e->addr, as->addr, memory_order_relaxed);
	atomic_store_explicit(&e->data, as->data, memory_order_relaxed);
	atomic_store_explicit(&e->kind, as->kind, memory_order_relaxed);
	e->ctx = ctx;
	e->seq = seq;
	if (ctx)
		atomic_fetch_or(&e->users, LIVE);
	insert_link(bucket_of(all, hash), &e->link, order_of(hash));
	if (++all->nr > atomic_load(&all->buckets))
		grow(all);
	for (int i = 0; i < 2 && all->ready < atomic_load(&all->buckets); i++)
		ready_bucket(all);
	return e;
}

static void unlink_node(struct ioeventfds *all, struct ioeventfd *e, uint64_t hash)
{
	struct ioeventfd_link *from = bucket_of(all, hash);

	while (next_of(from) != &e->link)
		from = next_of(from);
	atomic_store_explicit(&from->next, next_of(&e->link), memory_order_release);
	atomic_fetch_add(&all->changes, 1);
	all->nr--;
}

static struct probe probe_of(const struct ioeventfd_key *key)
{
	uint32_t kind = (key->match ? KIND_MATCH : KIND_ANY) | key->len;

	return (struct probe){ key->addr, key->match ? key->data : 0, kind, kind };
}

static struct ioeventfd *find_address(const struct ioeventfds *all, uint64_t addr)
{
	uint64_t hash = hash_of(addr, 0, KIND_ADDRESS), target = order_of(hash);
	struct ioeventfd_link *link = next_of(bucket_of(all, hash));

	for (; link && order(link) <= target; link = next_of(link))
		if (order(link) == target && atomic_load(&to_node(link)->kind) == KIND_ADDRESS &&
		    atomic_load(&to_node(link)->addr) == addr)
			return to_node(link);
	return NULL;
}

bool ioeventfd_is_taken(const struct ioeventfds *all, const struct ioeventfd_key *key)
{
	const struct ioeventfd *address = find_address(all, key->addr);
	unsigned int i = key->len ? (unsigned int)__builtin_ctz(key->len) : 0;
	struct probe want = probe_of(key);

	if (!address)
		return false;
	if (!key->len || atomic_load(&address->data) & (HAS_ANY_LEN | HAS_ANY(i)))
		return true;
	return key->match ? walk(all, hash_of(want.addr, want.data, KIND_MATCH), &want) != NULL
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
	unlink_node(all, address, hash_of(atomic_load(&address->addr), 0, KIND_ADDRESS));
	ioeventfd_free(all, address);
}

int ioeventfd_add(struct ioeventfds *all, const struct ioeventfd_key *key, struct eventfd_ctx *ctx,
		  uint64_t seq)
{
	struct ioeventfd *address = find_address(all, key->addr);
	struct probe as = probe_of(key);

	if (!address)
		address = insert(all, &(struct probe){ key->addr, 0, KIND_ADDRESS, 0 }, NULL, 0);
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
	struct probe want = probe_of(key);
	uint64_t hash = hash_of(want.addr, want.data, want.kind & KIND_MATCH);
	struct ioeventfd *e = key->len <= 8 ? walk(all, hash, &want) : NULL, *address;

	if (!e || !eventfd_ctx_same(e->ctx, ctx))
		return NULL;
	unlink_node(all, e, hash);
	atomic_fetch_and(&e->users, ~LIVE);
	address = find_address(all, key->addr);
	count(all, address, key, -1);
	drop_if_empty(all, address);
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
	struct ioeventfd_link *links = calloc(FIRST_BUCKETS, sizeof(*links));

	if (!links)
		return -ENOMEM;
	atomic_store(&all->segment[0], links);
	atomic_store(&all->buckets, FIRST_BUCKETS);
	for (all->ready = 1; all->ready < FIRST_BUCKETS;)
		ready_bucket(all);
	return 0;
}

void ioeventfds_destroy(struct ioeventfds *all)
{
	struct ioeventfd_block *block, *next;

	for (block = all->blocks; block; block = next) {
		next = block->next;
		for (unsigned int i = 0; i < BLOCK_NODES; i++)
			if (atomic_load(&block->nodes[i].users) & LIVE)
				eventfd_ctx_put(block->nodes[i].ctx);
		free(block);
	}
	for (unsigned int i = 0; i < IOEVENTFD_SEGMENTS; i++)
		free(atomic_load(&all->segment[i]));
}
