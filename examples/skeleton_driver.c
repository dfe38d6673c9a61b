/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A driver for skeleton.c: has it add up bytes of memory, and checks the sum.
 *
 *     skeleton_driver 0000:00:01.0
 */
#include "vfio_driver.h"

enum { ADDR = 0x00, LEN = 0x08, SUM = 0x10 };
#define IOVA 0x100000

int main(int argc, char **argv)
{
	struct vfio_driver driver;
	volatile uint8_t *regs;
	uint8_t *memory;
	uint64_t expected = 0;
	int irq;

	if (argc != 2) {
		fprintf(stderr, "usage: skeleton_driver DDDD:BB:DD.F\n");
		return 2;
	}
	vfio_driver_open(&driver, argv[1]);
	expect(vfio_pci_id(&driver) == 0x5e1e1234, "%s is a skeleton", argv[1]);
	vfio_enable_dma(&driver);
	regs = vfio_map_bar(&driver, 0);
	memory = vfio_dma_memory(&driver, IOVA, 4096);
	irq = vfio_irq_enable(&driver, VFIO_PCI_MSIX_IRQ_INDEX);

	for (unsigned int i = 0; i < 1000; i++)
		expected += memory[i] = (uint8_t)(i * 7);
	writeq(IOVA, regs + ADDR);
	writeq(1000, regs + LEN);
	expect(vfio_irq_wait(irq, 10000) == 1, "one interrupt");
	expect(readq(regs + SUM) == expected, "the sum of 1000 bytes");
	printf("1000 bytes add up to %llu\n", (unsigned long long)expected);

	/* Nothing is mapped there: the device reports it, and so does uvfio (or the IOMMU's driver). */
	writeq(0x40000000, regs + ADDR);
	writeq(8, regs + LEN);
	expect(vfio_irq_wait(irq, 10000) == 1, "one interrupt");
	expect(readq(regs + SUM) == UINT64_MAX, "the sum of memory that is not there");
	printf("memory that is not mapped cannot be added up\n");

	vfio_irq_disable(&driver, VFIO_PCI_MSIX_IRQ_INDEX, irq);
	vfio_dma_free(&driver, IOVA, memory, 4096);
	vfio_driver_close(&driver);
	return 0;
}
