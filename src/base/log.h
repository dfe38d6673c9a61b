/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * One line on standard error, and only when something is wrong: this code lives in someone else's process.
 * Each call makes one write(2) of one line "uvfio: ...". Safe in a signal handler; allocates nothing.
 */
#ifndef UVFIO_BASE_LOG_H
#define UVFIO_BASE_LOG_H

#include "base/base.h"

/* Something the user should mend: what is wrong and what would be right, without a final newline. */
void uvfio_err(const char *fmt, ...) __printf(1, 2);

/*
 * The same, at most once per place: place is any stable number (an IOVA page, a register offset) mixed with
 * the format's address. Returns whether the line was printed. Forgets old places when there are very many.
 */
bool uvfio_err_once(uint64_t place, const char *fmt, ...) __printf(2, 3);

/* Make one line of text that somebody else wrote: control characters become '?'. What the calls above print
 * is that already. */
void text_clean(char *text);

#endif
