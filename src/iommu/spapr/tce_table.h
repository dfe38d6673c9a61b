/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * TCE tables: what translates the addresses of one DMA window.
 *
 * A window is a stretch of bus addresses: 2^n pages of 2^page_shift bytes from start on, and one entry (TCE)
 * stands for each page. Entries are numbered from 0, the first page of the window. They stand in one array,
 * or below one to four levels of arrays of pointers, all of the same number of places. An array is made when
 * an entry in it, or below it, is first asked for with alloc, and stays until the table goes: a pointer to an
 * entry is good for as long as one holds the table.
 *
 * An entry is a word, and the user-space view of it: the address that user space gave for it. They stand side
 * by side, since who changes one changes both. The word is 0 for nothing, else laid out as a leaf of
 * iommu/pgtable.h: the address in the memory of table->mm that devices get to, what they may do there, and
 * the index of that mm. Entries hold no references; the table holds its mm. Anyone changes a word by
 * exchanging it (tce_xchg()), without a lock: who takes a word out has to undo what was done for putting it
 * in (tce_release()), so that each is undone once, however many change the same entry. What a window permits
 * for writing it permits for reading, as the hardware does.
 *
 * Three kinds of callers, and what each may do:
 *
 * - who must not allocate, lock or sleep: tce_put(), tce_put_registered() and tce_take() without alloc, then
 *   tce_try_finish(). Any of them may ask for the next kind of caller (-EAGAIN): an entry in that array was
 *   never used, somebody is unregistering that memory, or a device may still be using what was taken out. Who
 * is called then does all of it again: the same entry can be put, and taken out, any number of times.
 * - who may: the same with alloc, then tce_finish(), which waits for devices.
 * - devices: tce_table_walk(), from DMA sections.
 *
 * A table ends twice. tce_table_kill(): its window is removed; from then on no device gets to it, and nobody
 * puts anything in it: who has put an entry looks at tce_table_is_dead() afterwards, and takes it out again
 * when that says so. Then the last reference goes.
 */
#ifndef UVFIO_IOMMU_SPAPR_TCE_TABLE_H
#define UVFIO_IOMMU_SPAPR_TCE_TABLE_H

#include "iommu/pgtable.h"
#include "iommu/spapr/tce_counters.h"
#include "iommu/spapr/tce_memory.h"

#define TCE_MAX_LEVELS 5
/* The largest array that can be had: as the kernel's page allocator. Wider tables need more levels. */
#define TCE_ARRAY_MAX ((uint64_t)16 << 20)

struct tce {
	_Atomic uint64_t word;
	_Atomic uint64_t ua; /* means something while word is not 0 */
};

struct tce_table {
	unsigned int page_shift;
	unsigned int levels, level_bits; /* 2^level_bits entries in each array */
	_Atomic bool dead;
	uint64_t start;        /* bus address */
	uint64_t size;         /* entries */
	uint64_t bytes;        /* what is charged for it: as if all of it were there */
	struct mm *mm;         /* a reference */
	struct tce_mm *memory; /* its registered memory: a reference; NULL: entries are for any memory */
	struct iommu_domain *domain; /* whose devices it is for: a reference; NULL: none */
	_Atomic uint64_t top;        /* address of the topmost array; 0: there is none yet */

	/* What changes while others use what stands above. */
	_Alignas(64) _Atomic uint32_t refs;
	_Atomic uint64_t arrays; /* bytes that there really are */
	uint64_t puts, clears;   /* entries, by the owner's calls so far; under the owner's lock */
	uint64_t mappings;       /* of them, what statistics have as existing; under that lock */
	struct tce_sources calls;
};

/*
 * What a table of a window takes: with its user-space view and all arrays. 0: there is no such table: the
 * size is no power of two or less than a page, levels is none of 1 to 5, or it needs too many address bits.
 */
uint64_t tce_table_bytes(unsigned int page_shift, uint64_t window_size, unsigned int levels);

/*
 * A table with nothing in it, for addresses of mm, and for registered memory only when memory is not NULL.
 * NULL: no memory, or the arrays are too large. The arguments are some that tce_table_bytes() knows.
 */
struct tce_table *tce_table_new(struct mm *mm, struct tce_mm *memory, uint64_t start, unsigned int page_shift,
				uint64_t window_size, unsigned int levels);
/* Whose devices it is for: before anything is put in it. */
void tce_table_set_domain(struct tce_table *table, struct iommu_domain *domain);
struct tce_table *tce_table_get(struct tce_table *table);
/* The last one takes out what is left in it. No device is in it any more. */
void tce_table_put(struct tce_table *table);

/* Nobody puts anything in it from now on; what is in it stays until it is taken out. */
static inline void tce_table_kill(struct tce_table *table)
{
	atomic_store(&table->dead, true);
	atomic_thread_fence(memory_order_seq_cst); /* then who clears it loads entries */
}

static inline bool tce_table_is_dead(struct tce_table *table)
{
	return unlikely(atomic_load(&table->dead));
}

/* Entry number n < size, or NULL: its array is not there, with alloc for want of memory. */
struct tce *tce_entry(struct tce_table *table, uint64_t n, bool alloc);

/* The word for user address ua, a whole page of the table's. prot: IOMMU_READ, IOMMU_WRITE; not 0. */
static inline uint64_t tce_word(const struct tce_table *table, uint64_t ua, unsigned int prot)
{
	return ua | PTE_LEAF | PTE_READ | (prot & PTE_WRITE) | (uint64_t)table->mm->index << PTE_MM_SHIFT;
}

/* Put word (0: nothing) in, and get what was there. */
static inline uint64_t tce_xchg(struct tce *entry, uint64_t word)
{
	return atomic_exchange(&entry->word, word);
}

static inline uint64_t tce_address(uint64_t word)
{
	return word & PTE_ADDR;
}

/* A word that tce_xchg() has given back: its memory has one user less. */
static inline void tce_release(const struct tce_table *table, uint64_t word)
{
	if (table->memory)
		tce_memory_unmapped(table->memory, tce_address(word));
}

/* ---- changing entries (tce_put.c). *taken is set when something was taken out that devices could use,
 * or memory that nobody uses may go: tce_finish() or tce_try_finish() comes next. */

/*
 * Entry n points to ua from now on. 0; -EAGAIN: its array is not there, and alloc is false; -ENOMEM; -ENXIO:
 * the table is dead.
 */
int tce_put(struct tce_table *table, uint64_t n, uint64_t ua, unsigned int prot, bool alloc, bool *taken);
/*
 * The same, when ua is registered for a page of the table's. Also -EINVAL: it is not, or not for such pages;
 * -EAGAIN: alloc is false, and that is about to change.
 * *hint: where it was last time; NULL at first.
 */
int tce_put_registered(struct tce_table *table, uint64_t n, uint64_t ua, unsigned int prot, bool alloc,
		       struct tce_memory **hint, bool *taken);
/*
 * Entries from n on are words[0] to words[count-1] from now on, those of tce_word() for registered memory, or
 * 0: nothing. As tce_put_registered(); after an error any part of them has been done.
 */
int tce_put_words(struct tce_table *table, uint64_t n, const uint64_t *words, unsigned int count, bool alloc,
		  struct tce_memory **hint, bool *taken);
/* Nothing is in entry n from now on. */
void tce_take(struct tce_table *table, uint64_t n, bool *taken);
/* No device uses what was taken out of the table until now. */
void tce_finish(struct tce_table *table);
/* The same without waiting: 0, or -EAGAIN: some may. Nothing is to be done when nothing was taken. */
int tce_try_finish(struct tce_table *table);

/*
 * Take out count entries from n on; absent arrays are passed over. Returns how many there were. Neither
 * allocates, locks nor waits: tce_finish() or tce_try_finish() comes next.
 */
uint64_t tce_table_clear(struct tce_table *table, uint64_t n, uint64_t count);

/*
 * Entry n, or NULL: its array is not there; *left: how many from n on, up to end, stand in the same array, or
 * in none because the same one above them is not there.
 */
struct tce *tce_entries_from(struct tce_table *table, uint64_t n, uint64_t end, uint64_t *left);

/* Call fn for each entry that is not 0, in order, until it says no. */
void tce_table_each(struct tce_table *table, bool (*fn)(void *arg, uint64_t n, uint64_t word), void *arg);

/* Is the bus address in this window? */
static inline bool tce_table_has(const struct tce_table *table, uint64_t address)
{
	return address >= table->start && (address - table->start) >> table->page_shift < table->size;
}

/* What translates the bus address, which is in this window: true and *leaf, or false. In a DMA section. */
bool tce_table_walk(struct tce_table *table, uint64_t address, struct pt_leaf *leaf);

#endif
