/* SPDX-License-Identifier: BSD-2-Clause */
/* A wrong driver of a copy engine: what it brings up properly, and what it then does with it. */
#include "hostile.h"

#include "clients/ioat/registers.h"

#include <linux/vfio.h>
#include <sched.h>
#include <string.h>
#include <time.h>

#define RING    IOVA_MAIN
#define SLOTS   64u
#define CMP     (IOVA_MAIN + 0x8000)
#define SEDS    (IOVA_MAIN + 0x9000)
#define DATA    (IOVA_MAIN + 0x10000)
#define SECONDS 60

#define SLOT(i) (RING + (i) % SLOTS * sizeof(struct desc))

const char driver_device[] = "ioat,profile=3.4";

static uint16_t count; /* what DMACOUNT may be */

static uint64_t load(uint64_t offset, unsigned int size)
{
	uint64_t value = 0;

	port_load(offset, &value, size);
	return value;
}

static void store(uint64_t offset, uint64_t value, unsigned int size)
{
	port_store(offset, &value, size);
}

/* ---- what a right driver does */

static void put(unsigned int slot, const struct desc *desc)
{
	memcpy(memory_main(SLOT(slot)), desc, sizeof(*desc));
}

static void start(uint64_t chain)
{
	store(CHANCTRL, CTRL_REARM | CTRL_ERR_COMPL | CTRL_ERR_ABORT | CTRL_ERR_INT, 2);
	store(CHAINADDR, chain, 8);
	count = 0;
}

static void run_one(const struct desc *desc)
{
	time_t end = time(NULL) + SECONDS;
	uint64_t status, written;

	put(0, desc);
	memset(memory_main(CMP), 0, 8);
	store(CHANCMP, CMP, 8);
	start(RING);
	status = load(CHANSTS, 8);
	if (status != ARMED)
		die("CHANSTS=%#llx after CHAINADDR was written", (unsigned long long)status);
	count = 1;
	store(DMACOUNT, 1, 2);
	while ((status = load(CHANSTS, 8)) == ARMED || STATE(status) == ACTIVE) {
		if (time(NULL) > end)
			die("hang: CHANSTS=%#llx after %d seconds", (unsigned long long)status, SECONDS);
		sched_yield();
	}
	memcpy(&written, memory_main(CMP), 8);
	if (status != (RING | IDLE) || (written & ~7ull) != RING)
		die("a right descriptor ends with CHANSTS=%#llx, CHANERR=%#llx, written %#llx",
		    (unsigned long long)status, (unsigned long long)load(CHANERR, 4),
		    (unsigned long long)written);
}

static void expect_reset(const char *how)
{
	uint64_t status = load(CHANSTS, 8), error = load(CHANERR, 4), command = load(CHANCMD, 1);

	if (status != HALTED || error || command)
		die("after %s CHANSTS=%#llx, CHANERR=%#llx, CHANCMD=%#llx", how, (unsigned long long)status,
		    (unsigned long long)error, (unsigned long long)command);
}

void driver_bring_up(struct device *dev)
{
	struct desc null = { .size = 8, .ctl = D_NULL | D_COMPL, .next = SLOT(1) };

	port_ioctl(dev->fd, VFIO_DEVICE_RESET, NULL);
	device_master(dev);
	expect_reset("VFIO_DEVICE_RESET");
	run_one(&null);
	store(CHANCMD, CMD_RESET, 1);
	expect_reset("RESET");
	for (unsigned int i = 0; i < SLOTS; i++) {
		null.next = SLOT(i + 1);
		put(i, &null);
	}
	start(RING);
}

/* ---- what this one does */

static uint32_t random_op(void)
{
	static const uint8_t ops[] = { OP_COPY,    OP_COPY, OP_COPY,   OP_FILL,      OP_FILL, OP_XOR,
				       OP_XOR_VAL, OP_PQ,   OP_PQ_VAL, OP_PQ_UPDATE, OP_PQ16, OP_PQ16_VAL };

	return one_in(50) ? random_below(256) : ops[random_below(sizeof(ops))];
}

/* Mostly a right one: one that is wrong ends the chain. */
static uint64_t operand(void)
{
	return one_in(24) ? random_iova() : DATA + random_below((uint32_t)(MAIN_SIZE - 0x20000));
}

/* For an operation with sixteen sources. */
static uint64_t write_extension(void)
{
	uint64_t words[16], at = SEDS + random_below(16) * sizeof(words);

	for (int i = 0; i < 16; i++)
		words[i] = operand();
	memcpy(memory_main(at), words, sizeof(words));
	return at;
}

static uint32_t random_size(void)
{
	switch (random_below(20)) {
	case 0:
		return (uint32_t)random_odd_value();
	case 1:
		return random_below(2 << 20);
	case 2:
	case 3:
		return random_below(1 << 16);
	default:
		return 1 + random_below(4096);
	}
}

static void write_descriptor(void)
{
	uint32_t op = random_op(), slot = random_below(SLOTS);
	struct desc desc = { .size = random_size(), .ctl = D_OP(op), .next = SLOT(slot + 1) };
	uint32_t words[16];

	desc.ctl |= random_below(one_in(30) ? 1 << 24 : op < OP_XOR && !one_in(8) ? 32 : 256);
	desc.src = operand();
	desc.dst = operand();
	for (int i = 0; i < 4; i++)
		desc.arg[i] = operand();
	if (op >= OP_PQ16 && !one_in(8))
		desc.arg[1] = write_extension();
	if (one_in(12)) /* to itself, back, or anywhere */
		desc.next = one_in(2) ? SLOT(random_below(SLOTS)) : random_iova();
	memcpy(words, &desc, sizeof(words));
	if (one_in(20))
		words[random_below(16)] = (uint32_t)random_odd_value();
	if (one_in(50))
		for (int i = 0; i < 16; i++)
			words[i] = (uint32_t)random64();
	memcpy(memory_main(SLOT(slot)), words, sizeof(words));
}

static void append(void)
{
	count = (uint16_t)(count + 1 + random_below(one_in(20) ? 4000 : 16));
	if (one_in(40))
		count = (uint16_t)random_odd_value();
	store(DMACOUNT, count, 2);
}

static void command(void)
{
	static const uint8_t commands[] = { CMD_RESET, CMD_SUSPEND, CMD_RESUME, CMD_ABORT, CMD_START };

	store(CHANCMD, one_in(4) ? random_below(256) : commands[random_below(sizeof(commands))], 1);
}

/* As after an error: mostly the whole of it. */
static void recover(void)
{
	if (one_in(2))
		store(CHANCMD, CMD_RESET, 1);
	if (!one_in(4))
		store(CHANERR, load(CHANERR, 4), 4);
	if (!one_in(4))
		store(CHANCMP, one_in(3) ? random_iova() : CMP, 8);
	if (one_in(10))
		store(CHANCTRL, random_odd_value(), 2);
	start(one_in(8) ? random_iova() : SLOT(random_below(SLOTS)));
	append();
}

/* Nonsense goes nowhere in an engine that has no time to work. */
static void let_it_work(void)
{
	for (unsigned int n = random_below(200); n && STATE(load(CHANSTS, 8)) == ACTIVE; n--)
		sched_yield();
}

static void store_anywhere(void)
{
	uint64_t value = one_in(3) ? random_iova() : random_odd_value();
	unsigned int size = 1u << random_below(4);
	uint64_t offset = one_in(4)   ? random_below(0x4000)
			  : one_in(3) ? random_below(0x150)
				      : 0x80 + random_below(0x40);

	port_store(offset & ~(uint64_t)(size - 1), &value, size);
}

static void load_anywhere(void)
{
	unsigned int size = 1u << random_below(4);

	load(random_below(one_in(3) ? 0x4000 : 0x150) & ~(uint64_t)(size - 1), size);
}

static void scribble(void)
{
	uint64_t value = one_in(2) ? random_iova() : random_odd_value();
	uint64_t at = IOVA_MAIN + (random_below(one_in(2) ? SLOTS * 64 : (uint32_t)MAIN_SIZE) & ~7u);

	memcpy(memory_main(at), &value, 8);
}

void driver_operation(struct device *dev)
{
	uint32_t n = random_below(1000);

	if (n < 350)
		write_descriptor();
	else if (n < 500)
		append();
	else if (n < 560)
		recover();
	else if (n < 710)
		let_it_work();
	else if (n < 740)
		command();
	else if (n < 790)
		store_anywhere();
	else if (n < 840)
		load_anywhere();
	else if (n < 900)
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
		let_it_work();
}

void driver_final_check(struct device *dev)
{
	struct desc copy = {
		.size = 65536, .ctl = D_COMPL, .src = DATA, .dst = DATA + 0x40000, .next = SLOT(0)
	};
	uint8_t *from = memory_main(DATA), *to = memory_main(DATA + 0x40000);

	driver_bring_up(dev);
	for (unsigned int i = 0; i < 65536; i++)
		from[i] = (uint8_t)random64();
	run_one(&copy);
	if (memcmp(from, to, 65536))
		die("a copy is not one");
}
