/* SPDX-License-Identifier: BSD-2-Clause */
/* The guest of the real KVM: a few instructions in real mode, with segments of 4 GiB. */
#ifndef UVFIO_TEST_DIFFERENTIAL_GUEST_H
#define UVFIO_TEST_DIFFERENTIAL_GUEST_H

#include "subject.h"

void guest_write_code(unsigned char *page);
long guest_prepare(struct subject *s);
void guest_access(struct subject *s, enum bus bus, bool write, uint64_t addr, unsigned int len,
		  unsigned char *data, char *text);

/* For it: the VMM is asked. */
void subject_exit(char *text, enum bus bus, bool write, uint64_t addr, unsigned int len,
		  const unsigned char *data);

#endif
