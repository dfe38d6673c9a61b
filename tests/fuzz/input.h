/* SPDX-License-Identifier: BSD-2-Clause */
/* An input of libFuzzer's, taken from its beginning. Where it ends, zeroes follow. */
#ifndef UVFIO_TESTS_FUZZ_INPUT_H
#define UVFIO_TESTS_FUZZ_INPUT_H

#include <stdint.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct input {
	const uint8_t *at;
	size_t left;
};

static inline void take_bytes(struct input *in, void *out, size_t len)
{
	size_t n = len < in->left ? len : in->left;

	memcpy(out, in->at, n);
	memset((char *)out + n, 0, len - n);
	in->at += n;
	in->left -= n;
}

/* At most 8 bytes. */
static inline uint64_t take(struct input *in, unsigned int bytes)
{
	uint64_t value = 0;

	take_bytes(in, &value, bytes);
	return value;
}

#endif
