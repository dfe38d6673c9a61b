/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What bench_pins asks of the mediated driver pinner.c, which measures what its calls cost it: a job stands
 * in memory that is mapped for the device. Its IOVA is written to registers 0 and 4 (low, high), and then
 * anything to register 8. When that write returns the job is done, and its results are there.
 */
#ifndef UVFIO_BENCH_PINNER_H
#define UVFIO_BENCH_PINNER_H

#include <stdint.h>

#define PINNER_PARENT "pinner"
#define PINNER_TYPE   "pinner-1"

enum pinner_what {
	PINNER_PIN = 1, /* all pages but each gap'th, until n are pinned */
	PINNER_UNPIN,   /* the same */
	PINNER_PAIRS,   /* times: a gap'th page below span at random; pin n pages from there on, unpin them */
	PINNER_READ,    /* times: n bytes, from 64 places */
};

struct pinner_job {
	uint64_t what;
	uint64_t base; /* IOVA of page 0 */
	uint64_t gap;  /* a power of two */
	uint64_t span, n, times;
	/* results */
	int64_t error; /* 0 or negative errno */
	double ns;     /* for each time */
};

#endif
