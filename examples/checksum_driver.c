/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A driver for checksum.c, an ordinary VFIO program for a mediated device: has it checksum memory, and takes
 * the ring away while it is at work.
 *
 *     checksum_driver 75766669-6f00-4000-8000-000000000001
 */
#include "vfio_driver.h"

enum { RING = 0x00, RING_HIGH = 0x04, TAIL = 0x08, STATE = 0x0c };
enum { PENDING, DONE, ERROR };
#define RING_IOVA 0x200000000 /* above 4 GiB */
#define DATA_IOVA 0x100000
#define DATA_SIZE 0x10000
#define JOBS      128u

struct job {
	uint64_t address;
	uint32_t length, sum, status, unused[3];
};

static struct vfio_driver driver;
static off_t registers;

static uint32_t get(unsigned int offset)
{
	uint32_t value;

	check(pread(driver.device, &value, 4, registers + offset) == 4, "reading a register");
	return value;
}

static void put(unsigned int offset, uint32_t value)
{
	check(pwrite(driver.device, &value, 4, registers + offset) == 4, "writing a register");
}

static void give_ring(void)
{
	put(RING_HIGH, RING_IOVA >> 32);
	put(RING, (uint32_t)RING_IOVA);
	expect(get(STATE) == 1, "the state with a ring");
}

static void wait_job(const volatile struct job *job, int irq)
{
	while (__atomic_load_n(&job->status, __ATOMIC_ACQUIRE) == PENDING)
		expect(vfio_irq_wait(irq, 10000) > 0, "an interrupt");
}

static uint32_t adler32(const uint8_t *data, size_t len)
{
	uint32_t a = 1, b = 0;

	for (size_t i = 0; i < len; i++) {
		a = (a + data[i]) % 65521;
		b = (b + a) % 65521;
	}
	return b << 16 | a;
}

/* Many jobs, some at the ring's end and back at its beginning. */
static void sum_up(volatile struct job *ring, const uint8_t *data, int irq)
{
	for (uint32_t i = 0; i < 1000; i++) {
		volatile struct job *job = &ring[i % JOBS];

		job->address = DATA_IOVA + i;
		job->length = i * 50;
		job->status = PENDING;
		put(TAIL, i + 1);
		wait_job(job, irq);
		expect(job->status == DONE && job->sum == adler32(data + i, i * 50), "the sum of job %u", i);
	}
}

int main(int argc, char **argv)
{
	volatile struct job *ring;
	uint8_t *data;
	int irq;

	if (argc != 2) {
		fprintf(stderr, "usage: checksum_driver UUID\n");
		return 2;
	}
	vfio_driver_open(&driver, argv[1]);
	expect(vfio_pci_id(&driver) == 0xc55c1234, "%s is a checksum engine", argv[1]);
	registers = (off_t)vfio_region(&driver, VFIO_PCI_BAR0_REGION_INDEX).offset;
	ring = vfio_dma_memory(&driver, RING_IOVA, 4096);
	data = vfio_dma_memory(&driver, DATA_IOVA, DATA_SIZE);
	irq = vfio_irq_enable(&driver, VFIO_PCI_MSI_IRQ_INDEX);

	for (unsigned int i = 0; i < DATA_SIZE; i++)
		data[i] = (uint8_t)(i * 7 ^ i >> 8);
	give_ring();
	sum_up(ring, data, irq);
	printf("1000 checksums are right\n");

	ring[1000 % JOBS].address = 0x40000000;
	ring[1000 % JOBS].length = 8;
	ring[1000 % JOBS].status = PENDING;
	put(TAIL, 1001);
	wait_job(&ring[1000 % JOBS], irq);
	expect(ring[1000 % JOBS].status == ERROR, "the status of memory that is not there");
	printf("memory that is not mapped has none\n");

	/* The engine lets go of the ring when it is unmapped, also with work to do. */
	for (unsigned int i = 0; i < 100; i++) {
		ring[0].address = DATA_IOVA;
		ring[0].length = DATA_SIZE;
		put(TAIL, get(TAIL) + 1);
		usleep(2 * i); /* or in the middle of it */
		vfio_dma_free(&driver, RING_IOVA, (void *)(uintptr_t)ring, 4096);
		expect(get(STATE) == 0, "the state without a ring");
		ring = vfio_dma_memory(&driver, RING_IOVA, 4096);
		give_ring();
		usleep(1000); /* what was at work has ended */
		for (unsigned int j = 0; j < JOBS; j++)
			expect(ring[j].status == PENDING, "the status of job %u, which has not been given",
			       j);
	}
	printf("the ring can be taken away\n");

	vfio_irq_disable(&driver, VFIO_PCI_MSI_IRQ_INDEX, irq);
	vfio_driver_close(&driver);
	return 0;
}
