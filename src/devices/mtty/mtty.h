/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * mtty: a PCI serial card of one or two 16550 ports as a mediated device, like the sample driver of that name
 * in the kernel. What is sent on a port comes back on it: the transmitter fills the FIFO that the receiver
 * empties.
 *
 * ports are protected by lock, the configuration space, too.
 */
#ifndef UVFIO_DEVICES_MTTY_MTTY_H
#define UVFIO_DEVICES_MTTY_MTTY_H

#include <pthread.h>
#include <uvfio/mdev.h>

#define MTTY_FIFO        16u
#define MTTY_PORTS       2u
#define MTTY_PORT_SIZE   8u   /* registers, bytes */
#define MTTY_CONFIG_SIZE 255u /* so the sample has it; what it stores is whole */

struct mtty_port {
	uint8_t ier, lcr, mcr, scr;
	uint16_t divisor;
	bool overrun;
	unsigned int depth, trigger; /* of the FIFO: how much it takes, when it tells */
	unsigned int count, tail;    /* characters in it, and where the oldest is */
	uint8_t fifo[MTTY_FIFO];
};

struct mtty {
	pthread_mutex_t lock;
	struct mtty_port ports[MTTY_PORTS];
	uint8_t config[MTTY_CONFIG_SIZE + 1];
};

/* uart.c: an access to a register; the lock is held. True: there is reason for an interrupt. */
bool mtty_uart_write(struct mtty_port *port, unsigned int reg, uint8_t value);
bool mtty_uart_read(struct mtty_port *port, unsigned int reg, uint8_t *value);
void mtty_uart_init(struct mtty_port *port);

#endif
