/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The few macros and types that every file uses.
 *
 * Errors: an internal function returns 0 or a negative errno; where it returns a value, the value is
 * positive or zero and a negative number is still an errno.
 */
#ifndef UVFIO_BASE_BASE_H
#define UVFIO_BASE_BASE_H

#include <errno.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define UVFIO_PAGE_SHIFT                12
#define UVFIO_PAGE_SIZE                 ((uint64_t)1 << UVFIO_PAGE_SHIFT)
#define UVFIO_PAGE_MASK                 (UVFIO_PAGE_SIZE - 1) /* the offset bits */

#define ARRAY_SIZE(a)                   (sizeof(a) / sizeof((a)[0]))
#define BIT32(n)                        ((uint32_t)1 << (n))
#define BIT64(n)                        ((uint64_t)1 << (n))

#define likely(x)                       __builtin_expect(!!(x), 1)
#define unlikely(x)                     __builtin_expect(!!(x), 0)

#define container_of(ptr, type, member) ((type *)(void *)((char *)(ptr)-offsetof(type, member)))

#define MIN(a, b)                                                                                            \
	({                                                                                                   \
		__typeof__(a) a_ = (a);                                                                      \
		__typeof__(b) b_ = (b);                                                                      \
		a_ < b_ ? a_ : b_;                                                                           \
	})
#define MAX(a, b)                                                                                            \
	({                                                                                                   \
		__typeof__(a) a_ = (a);                                                                      \
		__typeof__(b) b_ = (b);                                                                      \
		a_ > b_ ? a_ : b_;                                                                           \
	})

/* a and the alignment are uint64_t; the alignment is a power of two. */
static inline uint64_t align_down(uint64_t a, uint64_t alignment)
{
	return a & ~(alignment - 1);
}

static inline uint64_t align_up(uint64_t a, uint64_t alignment)
{
	return (a + alignment - 1) & ~(alignment - 1);
}

static inline bool is_aligned(uint64_t a, uint64_t alignment)
{
	return (a & (alignment - 1)) == 0;
}

/* True when a + b does not fit; *sum is the wrapped sum then. */
#define add_overflows(a, b, sum) __builtin_add_overflow(a, b, sum)

#define __printf(fmt, args)      __attribute__((format(printf, fmt, args)))

#endif
