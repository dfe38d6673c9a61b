/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the benchmark programs share: time, medians, and the line that bench/run reads.
 *
 * Each figure is the median of RUNS runs; what is compared is measured in turns, so that a change of the
 * machine's speed meets both.
 */
#ifndef UVFIO_BENCH_BENCH_H
#define UVFIO_BENCH_BENCH_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define RUNS 9

static inline double bench_now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec * 1e9 + (double)ts.tv_nsec;
}

static inline int bench_compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

/* Sorts values. */
static inline double bench_median(double *values, size_t nr)
{
	qsort(values, nr, sizeof(*values), bench_compare);
	return nr % 2 ? values[nr / 2] : (values[nr / 2 - 1] + values[nr / 2]) / 2;
}

/*
 * name, value, unit, compared with, ratio, target, met or not. target NULL: a figure without a target. floor
 * 0: compared with nothing.
 */
static inline void bench_row(const char *name, double value, const char *unit, const char *compared_with,
			     double floor, const char *target, bool met)
{
	printf("%s\t%.4g\t%s\t%s\t", name, value, unit, compared_with ? compared_with : "-");
	if (floor > 0)
		printf("%.2f", value / floor);
	else
		printf("-");
	printf("\t%s\t%s\n", target ? target : "-", !target ? "-" : met ? "met" : "not met");
	fflush(stdout);
}

#endif
