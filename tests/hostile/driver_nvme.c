/* SPDX-License-Identifier: BSD-2-Clause */
/* A wrong NVMe driver: what it brings up properly, and what it then does with it. */
#include "hostile.h"

#include <linux/vfio.h>
#include <nvme/types.h>
#include <string.h>
#include <time.h>

#define NR_QUEUES 5 /* with the admin queue */
#define QUEUE(q)  (IOVA_MAIN + (q)*0x10000ull)
#define DATA      (IOVA_MAIN + 0x100000)
#define SECONDS   60

struct queue {
	uint32_t sq_size, cq_size;
	uint32_t tail, head;
	uint8_t phase;
	uint16_t cid;
};

const char driver_device[] = "nvme,size=16M,ns=2,threads=3";

static struct queue queues[NR_QUEUES];

static uint32_t load32(uint64_t offset)
{
	uint32_t value;

	port_load(offset, &value, 4);
	return value;
}

static void store32(uint64_t offset, uint32_t value)
{
	port_store(offset, &value, 4);
}

static void store64(uint64_t offset, uint64_t value)
{
	port_store(offset, &value, 8);
}

/* ---- what a right driver does */

static void wait_status(uint32_t mask, uint32_t value, const char *what)
{
	time_t end = time(NULL) + SECONDS;
	uint32_t csts;

	while (((csts = load32(NVME_REG_CSTS)) & mask) != value)
		if (time(NULL) > end)
			die("hang: the controller is not %s after %d seconds, CSTS=%#x", what, SECONDS, csts);
}

static void ring_tail(unsigned int q)
{
	store32(0x1000 + q * 8, queues[q].tail);
}

static void submit(unsigned int q, const uint32_t sqe[16])
{
	struct queue *queue = &queues[q];

	memcpy(memory_main(QUEUE(q)) + queue->tail * 64, sqe, 64);
	queue->tail = (queue->tail + 1) % queue->sq_size;
	ring_tail(q);
}

/* Take a completion if there is one: its status and cid. */
static bool consume(unsigned int q, uint32_t *last)
{
	struct queue *queue = &queues[q];
	uint8_t *at = memory_main(QUEUE(q) + 0x8000) + queue->head * 16;
	uint32_t word;

	__atomic_load((uint32_t *)(void *)(at + 12), &word, __ATOMIC_ACQUIRE);
	if ((word >> 16 & 1) != queue->phase)
		return false;
	if (++queue->head == queue->cq_size) {
		queue->head = 0;
		queue->phase ^= 1;
	}
	store32(0x1000 + q * 8 + 4, queue->head);
	*last = word;
	return true;
}

static uint32_t run_command(unsigned int q, uint32_t sqe[16])
{
	time_t end = time(NULL) + SECONDS;
	uint32_t last;

	sqe[0] = (sqe[0] & 0xffff) | (uint32_t)++queues[q].cid << 16;
	submit(q, sqe);
	while (!consume(q, &last) || (last & 0xffff) != queues[q].cid)
		if (time(NULL) > end)
			die("hang: a command is not completed after %d seconds, CSTS=%#x", SECONDS,
			    load32(NVME_REG_CSTS));
	return last >> 17;
}

static void reset_queue(unsigned int q, uint32_t sq_size, uint32_t cq_size)
{
	queues[q] = (struct queue){ .sq_size = sq_size, .cq_size = cq_size, .phase = 1 };
	memset(memory_main(QUEUE(q)), 0, 0x10000);
}

static void create_queues(unsigned int q)
{
	uint32_t cq[16] = { nvme_admin_create_cq }, sq[16] = { nvme_admin_create_sq };
	uint32_t status;

	reset_queue(q, 2 + random_below(300), 2 + random_below(300));
	cq[6] = (uint32_t)QUEUE(q) + 0x8000;
	cq[10] = (queues[q].cq_size - 1) << 16 | q;
	cq[11] = q << 16 | 3;
	sq[6] = (uint32_t)QUEUE(q);
	sq[10] = (queues[q].sq_size - 1) << 16 | q;
	sq[11] = q << 16 | 1;
	status = run_command(0, cq);
	if (!status)
		status = run_command(0, sq);
	if (status)
		die("queue pair %u cannot be made: status %#x", q, status);
}

void driver_bring_up(struct device *dev)
{
	port_ioctl(dev->fd, VFIO_DEVICE_RESET, NULL);
	device_master(dev);
	store32(NVME_REG_CC, 0);
	wait_status(1, 0, "disabled");
	reset_queue(0, 2 + random_below(200), 2 + random_below(200));
	store32(NVME_REG_AQA, (queues[0].cq_size - 1) << 16 | (queues[0].sq_size - 1));
	store64(NVME_REG_ASQ, QUEUE(0));
	store64(NVME_REG_ACQ, QUEUE(0) + 0x8000);
	store32(NVME_REG_CC, 0x00460001);
	wait_status(3, 1, "ready");
	for (unsigned int q = 1; q < NR_QUEUES; q++)
		create_queues(q);
}

/* ---- what this one does */

static void make_list(uint64_t iova)
{
	uint64_t entries[64];

	iova = IOVA_MAIN + iova % (MAIN_SIZE - sizeof(entries));
	for (unsigned int i = 0; i < 64; i++)
		entries[i] = random_iova();
	if (one_in(2)) /* mostly right */
		for (unsigned int i = 0; i < 64; i++)
			entries[i] = DATA + (i * 4096ull) % (1 << 20);
	memcpy(memory_main(iova), entries, sizeof(entries));
}

static void data_pointer(uint32_t sqe[16])
{
	uint64_t prp1 = random_iova(), prp2 = random_iova();

	if (one_in(2))
		make_list(prp2);
	memcpy(&sqe[6], &prp1, 8);
	memcpy(&sqe[8], &prp2, 8);
}

static void almost_right_io(uint32_t sqe[16])
{
	static const uint8_t opcodes[] = { nvme_cmd_read,         nvme_cmd_read,  nvme_cmd_write,
					   nvme_cmd_write,        nvme_cmd_flush, nvme_cmd_compare,
					   nvme_cmd_write_zeroes, nvme_cmd_dsm,   nvme_cmd_verify };

	sqe[0] = opcodes[random_below(sizeof(opcodes))] | random_below(1 << 16) << 16;
	sqe[1] = one_in(20) ? (uint32_t)random_odd_value() : 1 + random_below(2);
	data_pointer(sqe);
	sqe[10] = random_below(20000);
	sqe[11] = one_in(20) ? (uint32_t)random_odd_value() : 0;
	sqe[12] = random_below(one_in(50) ? 65536 : 64) | random_below(16) << 28;
	if ((sqe[0] & 0xff) == nvme_cmd_dsm) {
		sqe[10] = random_below(256);
		sqe[11] = random_below(8);
	}
}

static void almost_right_admin(uint32_t sqe[16])
{
	static const uint8_t opcodes[] = { nvme_admin_delete_sq,    nvme_admin_create_sq,
					   nvme_admin_get_log_page, nvme_admin_delete_cq,
					   nvme_admin_create_cq,    nvme_admin_identify,
					   nvme_admin_abort_cmd,    nvme_admin_set_features,
					   nvme_admin_get_features, nvme_admin_async_event };

	sqe[0] = opcodes[random_below(sizeof(opcodes))] | random_below(1 << 16) << 16;
	sqe[1] = one_in(3) ? (uint32_t)random_odd_value() : random_below(4);
	data_pointer(sqe);
	sqe[10] = random_below(20) | random_below(one_in(2) ? 16 : 65536) << 16;
	sqe[11] = one_in(3) ? (uint32_t)random_odd_value() : random_below(8) << 16 | random_below(4);
	sqe[12] = one_in(4) ? (uint32_t)random_odd_value() : 0;
}

static void send_entry(void)
{
	unsigned int q = one_in(6) ? 0 : random_below(NR_QUEUES);
	uint32_t sqe[16] = { 0 };

	if (q)
		almost_right_io(sqe);
	else
		almost_right_admin(sqe);
	if (one_in(5)) /* one word is wrong */
		sqe[random_below(16)] = (uint32_t)random_odd_value();
	if (one_in(10))
		for (unsigned int i = 0; i < 16; i++)
			sqe[i] = (uint32_t)random64();
	submit(q, sqe);
}

static void take_completions(void)
{
	unsigned int q = random_below(NR_QUEUES);
	uint32_t last;

	for (unsigned int n = random_below(64); n && consume(q, &last); n--)
		;
}

static void store_anywhere(void)
{
	uint64_t value = random_odd_value();
	unsigned int size = 1u << random_below(4);
	uint64_t offset = one_in(3)   ? 0x1000 + random_below(0x250)
			  : one_in(3) ? random_below(0x4000)
				      : random_below(0x40);

	/* Not off by accident all the time. */
	if (offset >= NVME_REG_CC - 7 && offset < NVME_REG_CC + 4 && !one_in(10))
		return;
	port_store(offset & ~(uint64_t)(size - 1), &value, size);
}

static void load_anywhere(void)
{
	unsigned int size = 1u << random_below(4);
	uint64_t offset = random_below(one_in(3) ? 0x4000 : 0x60), value = 0;

	port_load(offset & ~(uint64_t)(size - 1), &value, size);
}

static void ring_anything(void)
{
	uint32_t value = one_in(4) ? (uint32_t)random_odd_value() : random_below(310);

	store32(0x1000 + random_below(one_in(10) ? 70 : NR_QUEUES) * 8 + random_below(2) * 4, value);
}

static void scribble(void)
{
	uint64_t value = one_in(2) ? random_iova() : random_odd_value();
	uint64_t at =
		IOVA_MAIN + (random_below((uint32_t)(one_in(2) ? NR_QUEUES * 0x10000 : MAIN_SIZE)) & ~7u);

	memcpy(memory_main(at), &value, 8);
}

void driver_operation(struct device *dev)
{
	uint32_t n = random_below(1000);

	if (n < 350)
		send_entry();
	else if (n < 500)
		take_completions();
	else if (n < 620)
		ring_anything();
	else if (n < 740)
		store_anywhere();
	else if (n < 820)
		load_anywhere();
	else if (n < 920)
		scribble();
	else if (n < 970)
		memory_toggle_window(dev->container);
	else if (n < 980)
		device_random_irqs(dev);
	else if (n < 985)
		device_random_config(dev);
	else if (n < 986)
		port_ioctl(dev->fd, VFIO_DEVICE_RESET, NULL);
	else if (n < 990)
		driver_bring_up(dev);
	else
		send_entry();
}

void driver_final_check(struct device *dev)
{
	uint32_t write[16] = { nvme_cmd_write, 1 }, read[16] = { nvme_cmd_read, 1 };
	uint8_t *out, *in;

	driver_bring_up(dev);
	out = memory_main(DATA);
	in = memory_main(DATA + 4096);
	for (unsigned int i = 0; i < 4096; i++)
		out[i] = (uint8_t)random64();
	write[6] = (uint32_t)DATA;
	read[6] = (uint32_t)DATA + 4096;
	write[12] = read[12] = 7;
	if (run_command(1, write) || run_command(1, read) || memcmp(in, out, 4096))
		die("what was written is not read back");
}
