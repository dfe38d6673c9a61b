/* SPDX-License-Identifier: BSD-2-Clause */
#include "base/log.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define LINE_MAX_LEN 800

void text_clean(char *text)
{
	for (unsigned char *c = (unsigned char *)text; *c; c++)
		if (*c < ' ' || *c == 0x7f)
			*c = '?';
}

static void write_line(const char *fmt, va_list ap)
{
	char line[LINE_MAX_LEN] = "uvfio: ";
	size_t len = strlen(line);
	int saved_errno = errno;
	int n = vsnprintf(line + len, sizeof(line) - len - 1, fmt, ap);

	if (n > 0)
		len = MIN(len + (size_t)n, sizeof(line) - 2);
	line[len] = 0;
	text_clean(line);
	line[len++] = '\n';
	if (write(STDERR_FILENO, line, len) < 0) {
		/* standard error is gone: there is nobody to tell */
	}
	errno = saved_errno;
}

void uvfio_err(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	write_line(fmt, ap);
	va_end(ap);
}

/* A set of places that only grows until it is full, then starts anew; a lost race prints a line twice. */
#define PLACES 1024
static _Atomic uint64_t places[PLACES];
static _Atomic unsigned int nr_places;

static bool place_is_new(uint64_t key)
{
	unsigned int i = (unsigned int)((key * 0x9e3779b97f4a7c15u) >> 54) % PLACES;

	if (atomic_load(&nr_places) > PLACES / 2) {
		for (unsigned int j = 0; j < PLACES; j++)
			atomic_store_explicit(&places[j], 0, memory_order_relaxed);
		atomic_store(&nr_places, 0);
	}
	for (;; i = (i + 1) % PLACES) {
		uint64_t old = 0;

		if (atomic_compare_exchange_strong(&places[i], &old, key)) {
			atomic_fetch_add(&nr_places, 1);
			return true;
		}
		if (old == key)
			return false;
	}
}

bool uvfio_err_once(uint64_t place, const char *fmt, ...)
{
	uint64_t key = (place ^ ((uint64_t)(uintptr_t)fmt << 16)) | 1;
	va_list ap;

	if (!place_is_new(key))
		return false;
	va_start(ap, fmt);
	write_line(fmt, ap);
	va_end(ap);
	return true;
}
