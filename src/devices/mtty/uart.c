/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The registers of a 16550, with its line looped back. Interrupts follow the sample: each event asks for one
 * when its bit in IER is set, and IIR says all reasons that there are at the moment.
 */
#include "devices/mtty/mtty.h"

#include <linux/serial_reg.h>

#define FIFOS_ENABLED 0xc0 /* of IIR */

void mtty_uart_init(struct mtty_port *port)
{
	*port = (struct mtty_port){ .depth = MTTY_FIFO };
}

static bool dlab(const struct mtty_port *port)
{
	return port->lcr & UART_LCR_DLAB;
}

/* ---- writing */

static bool transmit(struct mtty_port *port, uint8_t value)
{
	if (port->count >= port->depth) {
		port->overrun = true;
		return port->ier & UART_IER_RLSI;
	}
	port->fifo[(port->tail + port->count++) % MTTY_FIFO] = value;
	port->overrun = false;
	return (port->ier & UART_IER_RDI) && port->count == port->trigger;
}

static bool write_ier(struct mtty_port *port, uint8_t value)
{
	port->ier = value;
	return (value & UART_IER_THRI) && !port->count;
}

/* The sample tells at the first character whatever trigger level is asked for: it has no timeout that would
 * tell of less. */
static void write_fcr(struct mtty_port *port, uint8_t value)
{
	if (value & (UART_FCR_CLEAR_RCVR | UART_FCR_CLEAR_XMIT))
		port->count = port->tail = 0;
	port->depth = value & UART_FCR_ENABLE_FIFO ? MTTY_FIFO : 1;
	port->trigger = 1;
}

static void write_lcr(struct mtty_port *port, uint8_t value)
{
	port->lcr = value;
	if (dlab(port))
		port->divisor = 0;
}

static bool write_mcr(struct mtty_port *port, uint8_t value)
{
	port->mcr = value;
	return (port->ier & UART_IER_MSI) && (value & (UART_MCR_OUT2 | UART_MCR_RTS | UART_MCR_DTR));
}

bool mtty_uart_write(struct mtty_port *port, unsigned int reg, uint8_t value)
{
	switch (reg) {
	case UART_TX:
		if (!dlab(port))
			return transmit(port, value);
		port->divisor = (uint16_t)((port->divisor & 0xff00) | value);
		return false;
	case UART_IER:
		if (!dlab(port))
			return write_ier(port, value);
		port->divisor = (uint16_t)((port->divisor & 0x00ff) | value << 8);
		return false;
	case UART_FCR:
		write_fcr(port, value);
		return false;
	case UART_LCR:
		write_lcr(port, value);
		return false;
	case UART_MCR:
		return write_mcr(port, value);
	case UART_SCR:
		port->scr = value;
		return false;
	default: /* LSR and MSR are for reading */
		return false;
	}
}

/* ---- reading */

static bool receive(struct mtty_port *port, uint8_t *value)
{
	if (port->count) {
		*value = port->fifo[port->tail];
		port->tail = (port->tail + 1) % MTTY_FIFO;
		port->count--;
	}
	return !port->count && (port->ier & UART_IER_THRI);
}

static uint8_t read_iir(const struct mtty_port *port)
{
	uint8_t iir = 0;

	if ((port->ier & UART_IER_RLSI) && port->overrun)
		iir |= UART_IIR_RLSI;
	if ((port->ier & UART_IER_RDI) && port->count >= port->trigger)
		iir |= UART_IIR_RDI;
	if ((port->ier & UART_IER_THRI) && !port->count)
		iir |= UART_IIR_THRI;
	if ((port->ier & UART_IER_MSI) && (port->mcr & (UART_MCR_RTS | UART_MCR_DTR)))
		iir |= UART_IIR_MSI;
	return (iir ? iir : UART_IIR_NO_INT) | FIFOS_ENABLED;
}

static uint8_t read_lsr(const struct mtty_port *port)
{
	return (uint8_t)((port->count ? UART_LSR_DR : UART_LSR_TEMT | UART_LSR_THRE) |
			 (port->overrun ? UART_LSR_OE : 0));
}

/* With automatic flow control it is clear to send while there is room. */
static uint8_t read_msr(const struct mtty_port *port)
{
	bool clear = !(port->mcr & UART_MCR_AFE) || port->count < port->depth;

	return (uint8_t)(UART_MSR_DSR | UART_MSR_DDSR | UART_MSR_DCD |
			 (clear ? UART_MSR_CTS | UART_MSR_DCTS : 0));
}

bool mtty_uart_read(struct mtty_port *port, unsigned int reg, uint8_t *value)
{
	switch (reg) {
	case UART_RX:
		if (!dlab(port))
			return receive(port, value);
		*value = (uint8_t)port->divisor;
		return false;
	case UART_IER:
		*value = dlab(port) ? (uint8_t)(port->divisor >> 8) : port->ier & 0x0f;
		return false;
	case UART_IIR:
		*value = read_iir(port);
		return false;
	case UART_LCR:
		*value = port->lcr;
		return false;
	case UART_MCR:
		*value = port->mcr;
		return false;
	case UART_LSR:
		*value = read_lsr(port);
		return false;
	case UART_MSR:
		*value = read_msr(port);
		return false;
	case UART_SCR:
		*value = port->scr;
		return false;
	default:
		return false;
	}
}
