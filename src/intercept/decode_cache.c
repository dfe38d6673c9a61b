/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Decoded instructions by address. A slot is read and written in signal handlers of several threads: a
 * sequence counter, odd while the slot changes, tells a reader that it got a mixture; a writer that meets
 * another one lets it be.
 */
#include "intercept/decode_impl.h"

#include "base/fault.h"

#include <string.h>

#define SLOTS 256u

struct entry {
	uint64_t ip;
	uint8_t bytes[ZYDIS_MAX_INSTRUCTION_LENGTH + 1];
	struct insn insn;
};

#define WORDS (sizeof(struct entry) / sizeof(uint64_t))
_Static_assert(sizeof(struct entry) % sizeof(uint64_t) == 0, "slots are copied by words");

static struct slot {
	_Alignas(64) _Atomic uint32_t seq;
	_Atomic uint64_t words[WORDS];
} slots[SLOTS];

static struct slot *slot_of(uint64_t ip)
{
	return &slots[(ip * 0x9e3779b97f4a7c15u) >> 56];
}

static bool same_code(const struct entry *entry)
{
	uint8_t now[ZYDIS_MAX_INSTRUCTION_LENGTH];

	return !copy_nofault(now, (const void *)(uintptr_t)entry->ip, entry->insn.length) &&
	       !memcmp(now, entry->bytes, entry->insn.length);
}

bool decode_cache_find(uint64_t ip, struct insn *insn)
{
	struct slot *slot = slot_of(ip);
	uint64_t words[WORDS];
	struct entry entry;
	uint32_t seq = atomic_load_explicit(&slot->seq, memory_order_acquire);

	if (seq & 1)
		return false;
	for (unsigned int i = 0; i < WORDS; i++)
		words[i] = atomic_load_explicit(&slot->words[i], memory_order_acquire);
	if (atomic_load_explicit(&slot->seq, memory_order_relaxed) != seq)
		return false;
	memcpy(&entry, words, sizeof(entry));
	if (entry.ip != ip || !entry.insn.length || !same_code(&entry))
		return false;
	*insn = entry.insn;
	return true;
}

void decode_cache_add(uint64_t ip, const uint8_t *bytes, const struct insn *insn)
{
	struct slot *slot = slot_of(ip);
	uint64_t words[WORDS];
	struct entry entry = { .ip = ip, .insn = *insn };
	uint32_t seq = atomic_load_explicit(&slot->seq, memory_order_relaxed);

	memcpy(entry.bytes, bytes, insn->length);
	memcpy(words, &entry, sizeof(words));
	if ((seq & 1) || !atomic_compare_exchange_strong(&slot->seq, &seq, seq + 1))
		return;
	for (unsigned int i = 0; i < WORDS; i++)
		atomic_store_explicit(&slot->words[i], words[i], memory_order_release);
	atomic_store_explicit(&slot->seq, seq + 2, memory_order_release);
}
