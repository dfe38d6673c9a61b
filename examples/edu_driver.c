/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A driver for QEMU's educational device: tries everything that its specification promises.
 *
 *     edu_driver 0000:00:01.0
 */
#include "vfio_driver.h"

enum {
	IDENT = 0x00,
	LIVENESS = 0x04,
	FACTORIAL = 0x08,
	STATUS = 0x20,
	IRQ_STATUS = 0x24,
	IRQ_RAISE = 0x60,
	IRQ_ACK = 0x64,
	DMA_SRC = 0x80,
	DMA_DST = 0x88,
	DMA_COUNT = 0x90,
	DMA_CMD = 0x98,
};

#define COMPUTING      0x01
#define STATUS_IRQ     0x80
#define FACTORIAL_DONE 0x001
#define RUN            0x01
#define FROM_DEVICE    0x02
#define CMD_IRQ        0x04
#define DMA_DONE       0x100
#define BUFFER         0x40000
#define IOVA           0x100000 /* the device has 28 bits of address */
#define TIMEOUT        10000    /* milliseconds */

struct edu {
	struct vfio_driver vfio;
	volatile uint8_t *regs;
	uint32_t irq_index;
	int irq;
};

/* An interrupt handler: it must come once, for this reason, and no more after it is acknowledged. */
static void handle_irq(struct edu *edu, uint32_t reason)
{
	expect(vfio_irq_wait(edu->irq, TIMEOUT) == 1, "an interrupt");
	expect(readl(edu->regs + IRQ_STATUS) == reason, "IRQ_STATUS");
	writel(reason, edu->regs + IRQ_ACK);
	expect(readl(edu->regs + IRQ_STATUS) == 0, "IRQ_STATUS after IRQ_ACK");
	if (edu->irq_index == VFIO_PCI_INTX_IRQ_INDEX)
		vfio_intx_unmask(&edu->vfio);
	expect(vfio_irq_wait(edu->irq, 0) == 0, "no interrupt after IRQ_ACK");
}

static void identify(struct edu *edu)
{
	uint32_t ident = readl(edu->regs + IDENT);

	expect((ident & 0xffff) == 0xed, "IDENT");
	printf("edu version %u.%u\n", ident >> 24, ident >> 16 & 0xff);
	writel(0x12345678, edu->regs + LIVENESS);
	expect(readl(edu->regs + LIVENESS) == ~0x12345678u, "LIVENESS");
}

static void factorials(struct edu *edu)
{
	writel(0, edu->regs + STATUS);
	writel(10, edu->regs + FACTORIAL);
	while (readl(edu->regs + STATUS) & COMPUTING)
		;
	expect(readl(edu->regs + FACTORIAL) == 3628800, "10!");
	writel(STATUS_IRQ, edu->regs + STATUS);
	writel(12, edu->regs + FACTORIAL);
	handle_irq(edu, FACTORIAL_DONE);
	expect(readl(edu->regs + STATUS) == STATUS_IRQ, "STATUS");
	expect(readl(edu->regs + FACTORIAL) == 479001600, "12!");
	writel(0, edu->regs + STATUS);
	printf("  10! by polling, 12! by interrupt\n");
}

/* A line that is not acknowledged stays up: the next unmask signals again. */
static void raised_irqs(struct edu *edu)
{
	writel(0x4000, edu->regs + IRQ_RAISE);
	handle_irq(edu, 0x4000);
	if (edu->irq_index == VFIO_PCI_INTX_IRQ_INDEX) {
		writel(0x10, edu->regs + IRQ_RAISE);
		expect(vfio_irq_wait(edu->irq, TIMEOUT) == 1, "INTx");
		vfio_intx_unmask(&edu->vfio);
		handle_irq(edu, 0x10);
	}
	printf("  an interrupt raised by hand\n");
}

static void start_dma(struct edu *edu, uint64_t src, uint64_t dst, uint64_t count, uint32_t cmd)
{
	writeq(src, edu->regs + DMA_SRC);
	writeq(dst, edu->regs + DMA_DST);
	writeq(count, edu->regs + DMA_COUNT);
	expect(readq(edu->regs + DMA_SRC) == src && readq(edu->regs + DMA_DST) == dst &&
		       readq(edu->regs + DMA_COUNT) == count,
	       "DMA registers");
	writel(cmd | RUN, edu->regs + DMA_CMD);
}

static void dma(struct edu *edu, uint8_t *memory)
{
	for (unsigned int i = 0; i < 4096; i++)
		memory[i] = (uint8_t)(i * i >> 4);
	memset(memory + 4096, 0, 4096);
	start_dma(edu, IOVA, BUFFER, 4096, 0);
	while (readl(edu->regs + DMA_CMD) & RUN)
		;
	start_dma(edu, BUFFER + 100, IOVA + 4096 + 3, 3996, FROM_DEVICE | CMD_IRQ);
	handle_irq(edu, DMA_DONE);
	expect(!memcmp(memory + 4096 + 3, memory + 100, 3996), "what came back");
	expect(!memory[4096 + 2] && !memory[4096 + 3 + 3996], "the bytes around it");
	printf("  4096 bytes to the device, 3996 of them back\n");
}

static void try_all(struct edu *edu, uint8_t *memory, uint32_t irq_index, const char *name)
{
	printf("with %s:\n", name);
	edu->irq_index = irq_index;
	edu->irq = vfio_irq_enable(&edu->vfio, irq_index);
	factorials(edu);
	raised_irqs(edu);
	dma(edu, memory);
	vfio_irq_disable(&edu->vfio, irq_index, edu->irq);
}

int main(int argc, char **argv)
{
	struct edu edu;
	uint8_t *memory;

	if (argc != 2) {
		fprintf(stderr, "usage: edu_driver DDDD:BB:DD.F\n");
		return 2;
	}
	vfio_driver_open(&edu.vfio, argv[1]);
	expect(vfio_pci_id(&edu.vfio) == 0x11e81234, "%s is an edu device", argv[1]);
	vfio_enable_dma(&edu.vfio);
	edu.regs = vfio_map_bar(&edu.vfio, 0);
	memory = vfio_dma_memory(&edu.vfio, IOVA, 8192);
	identify(&edu);
	try_all(&edu, memory, VFIO_PCI_INTX_IRQ_INDEX, "INTx");
	try_all(&edu, memory, VFIO_PCI_MSI_IRQ_INDEX, "MSI");
	vfio_dma_free(&edu.vfio, IOVA, memory, 8192);
	vfio_driver_close(&edu.vfio);
	printf("everything works\n");
	return 0;
}
