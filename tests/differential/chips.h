/* SPDX-License-Identifier: BSD-2-Clause */
/* Random operations on interrupt controllers, for random.c. */
#ifndef UVFIO_TEST_DIFFERENTIAL_CHIPS_H
#define UVFIO_TEST_DIFFERENTIAL_CHIPS_H

#include <stdint.h>

/* below: a random number that is less. */
void draw_chip_op(uint32_t (*below)(void *arg, uint32_t n), void *arg, char *line);

#endif
