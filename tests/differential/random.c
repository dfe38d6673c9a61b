/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Random sequences of operations, the same ones each time: the library's results against those of /dev/kvm,
 * or, where there is none and for what is too much for it, against the recorded sums of its results.
 *
 *   random FILE [OPERATIONS]            compare; FILE: the recorded sums; OPERATIONS with the real KVM,
 * 50,000 random --record FILE OPERATIONS     write them
 *
 * A sequence has its own VM, and ROUND operations. In every other one ranges overlap; then the writes for
 * which the kernel's search misses what is there are not compared (model.h).
 */
#include "chips.h"
#include "model.h"
#include "ops.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ROUND 500u
#define LIVE  100u /* entries whose removal is tried */

struct sequence {
	uint64_t seed;
	bool overlapping;
	struct model model;
	unsigned int nr_live;
	struct {
		enum bus bus;
		struct model_entry entry;
	} live[LIVE];
	/* what the last operation changes when it succeeds */
	enum { NOTHING, ADD, REMOVE, ADD_ZONE, REMOVE_ZONES } change;
	enum bus bus;
	struct model_entry entry;
	bool masked;
};

static bool chips;

static uint32_t draw(struct sequence *q, uint32_t below)
{
	q->seed ^= q->seed << 13;
	q->seed ^= q->seed >> 7;
	q->seed ^= q->seed << 17;
	return (uint32_t)(q->seed >> 33) % below;
}

static const char *name_of(enum bus bus)
{
	return bus == BUS_PIO ? "pio" : "mmio";
}

static uint64_t draw_addr(struct sequence *q, enum bus bus)
{
	uint64_t base = bus == BUS_PIO ? 0x500 : 0x10fc0;

	return base + (q->overlapping ? draw(q, 24) + (bus == BUS_PIO ? 0 : 0x38) : draw(q, 8) * 16);
}

static uint32_t draw_len(struct sequence *q, bool any)
{
	static const uint32_t lens[] = { 1, 2, 4, 8, 0 };

	return lens[draw(q, any ? 5 : 4)];
}

/* ---- operations */

static void draw_assign(struct sequence *q, char *line)
{
	q->entry = (struct model_entry){ .addr = draw_addr(q, q->bus),
					 .len = draw_len(q, q->overlapping || !draw(q, 8)) };
	if (draw(q, 2)) {
		q->entry.flags = KVM_IOEVENTFD_FLAG_DATAMATCH;
		q->entry.data = draw(q, 4);
	}
	q->entry.event = (int)draw(q, 6);
	q->change = ADD;
	sprintf(line, "io %s 0x%" PRIx64 " %u %u %" PRIu64 " e%d", name_of(q->bus), q->entry.addr,
		q->entry.len, q->entry.flags, q->entry.data, q->entry.event);
}

static void draw_deassign(struct sequence *q, char *line)
{
	unsigned int i = q->nr_live ? draw(q, q->nr_live) : 0;

	if (q->nr_live && draw(q, 8)) {
		q->bus = q->live[i].bus;
		q->entry = q->live[i].entry;
	} else {
		draw_assign(q, line);
	}
	q->change = REMOVE;
	sprintf(line, "io %s 0x%" PRIx64 " %u %u %" PRIu64 " e%d", name_of(q->bus), q->entry.addr,
		q->entry.len, q->entry.flags | KVM_IOEVENTFD_FLAG_DEASSIGN, q->entry.data, q->entry.event);
}

static void draw_zone(struct sequence *q, char *line, bool remove)
{
	q->entry = (struct model_entry){ .addr = draw_addr(q, q->bus), .len = 1u << draw(q, 6), .event = -1 };
	q->change = remove ? REMOVE_ZONES : ADD_ZONE;
	sprintf(line, "%s 0x%" PRIx64 " %u %d", remove ? "unzone" : "zone", q->entry.addr, q->entry.len,
		q->bus == BUS_PIO);
}

static void draw_access(struct sequence *q, char *line, bool write)
{
	uint64_t addr = draw_addr(q, q->bus) + (draw(q, 8) ? 0 : draw(q, 8)), value = draw(q, 4);
	uint32_t len = 1u << draw(q, write && q->bus == BUS_MMIO ? 5 : 3);

	sprintf(line, "%c %s 0x%" PRIx64 " %u %" PRIu64, write ? 'w' : 'r', name_of(q->bus), addr, len,
		value);
	q->masked = write && model_search_misses(&q->model, q->bus, addr, len, value);
}

/* Two slots: memory at some of the addresses that ioeventfds are at, and where it can be only read. */
static void draw_slot(struct sequence *q, char *line)
{
	static const char *slots[] = { "slot 1 1 0x11000 0x1000 m+0",
				       "slot 1 0 0x11000 0 m+0",
				       "slot 2 2 0x10000 0x1000 m+0x10000",
				       "slot 2 2 0x10000 0 m+0x10000",
				       "slot 1 0 0x11000 0x1000 m+0",
				       "dirty 1",
				       "peek 8",
				       "peek 0" };

	strcpy(line, slots[draw(q, 8)]);
}

static uint32_t draw_for_chips(void *q, uint32_t below)
{
	return draw(q, below);
}

static void draw_op(struct sequence *q, char *line)
{
	uint32_t kind = draw(q, 1000);

	q->change = NOTHING;
	q->masked = false;
	if (chips) {
		draw_chip_op(draw_for_chips, q, line);
		return;
	}
	q->bus = draw(q, 2) ? BUS_PIO : BUS_MMIO;
	if (kind < 180)
		draw_assign(q, line);
	else if (kind < 200)
		draw_deassign(q, line);
	else if (kind < 220)
		draw_zone(q, line, kind < 204);
	else if (kind < 224)
		draw_slot(q, line);
	else
		draw_access(q, line, kind >= 260);
}

/* ---- what they change */

static void forget(struct sequence *q, unsigned int i)
{
	q->live[i] = q->live[--q->nr_live];
}

static bool is_same(const struct model_entry *a, const struct model_entry *b)
{
	return a->addr == b->addr && a->data == b->data && a->len == b->len && a->flags == b->flags &&
	       a->event == b->event;
}

static void remove_live(struct sequence *q)
{
	model_remove(&q->model, q->bus, &q->entry);
	for (unsigned int i = 0; i < q->nr_live; i++)
		if (q->live[i].bus == q->bus && is_same(&q->live[i].entry, &q->entry))
			forget(q, i--);
}

static void succeeded(struct sequence *q)
{
	switch (q->change) {
	case ADD:
		model_add(&q->model, q->bus, &q->entry);
		if (q->nr_live < LIVE) {
			q->live[q->nr_live].bus = q->bus;
			q->live[q->nr_live++].entry = q->entry;
		}
		break;
	case REMOVE:
		remove_live(q);
		break;
	case ADD_ZONE:
		model_add(&q->model, q->bus, &q->entry);
		break;
	case REMOVE_ZONES:
		model_remove_zones(&q->model, q->bus, q->entry.addr, q->entry.len);
		break;
	case NOTHING:
		break;
	}
}

/* ---- rounds */

static unsigned long masked, done;

static void run_op(struct subject *s, const char *line, char *text)
{
	char ring[TEXT];

	if (!op_run(s, line, text)) {
		fprintf(stderr, "random: what is \"%s\"?\n", line);
		exit(2);
	}
	if (*line == 'w' && !chips && op_run(s, "ring", ring))
		append(text, "; %s", ring);
}

static uint64_t add_to_sum(uint64_t sum, const char *text)
{
	for (; *text; text++)
		sum = (sum ^ (unsigned char)*text) * 0x100000001b3;
	return sum;
}

/*
 * The sum of a round's results, of real if there is one, else of ours. Where both are there and say different
 * things it is told, and *bad counted.
 */
static uint64_t run_round(struct subject *real, struct subject *ours, unsigned long number, unsigned int *bad)
{
	static struct sequence q;
	enum chips kind = chips ? CHIPS_FULL : CHIPS_NONE;
	uint64_t sum = 0xcbf29ce484222325;
	char line[256], text[TEXT], other[TEXT];

	memset(&q, 0, sizeof(q));
	q.seed = 0x9e3779b97f4a7c15 * (number + 1);
	q.overlapping = number % 2;
	if ((ours && subject_new_vm(ours, kind)) || (real && subject_new_vm(real, kind))) {
		fprintf(stderr, "random: no VM\n");
		exit(2);
	}
	for (unsigned int i = 0; i < ROUND; i++, done++) {
		draw_op(&q, line);
		run_op(real ? real : ours, line, text);
		if (real && ours)
			run_op(ours, line, other);
		masked += q.masked;
		if (!q.masked)
			sum = add_to_sum(sum, text);
		if (real && ours && !q.masked && strcmp(text, other) && (*bad)++ < 20)
			printf("# round %lu, %u: %s: kernel \"%s\", ours \"%s\"\n", number, i, line, text,
			       other);
		if (!strcmp(text, "0"))
			succeeded(&q);
	}
	return sum;
}

static int record(struct subject *real, const char *path, unsigned long rounds)
{
	FILE *file = fopen(path, "we");
	unsigned int bad = 0;

	if (!file || !real) {
		fprintf(stderr, "random: cannot record\n");
		return 2;
	}
	for (unsigned long i = 0; i < rounds; i++)
		fprintf(file, "%016" PRIx64 "\n", run_round(real, NULL, i, &bad));
	return fclose(file) ? 2 : 0;
}

static unsigned int against_real(struct subject *real, struct subject *ours, unsigned long rounds)
{
	unsigned int bad = 0;

	masked = done = 0;
	for (unsigned long i = 0; i < rounds; i++)
		run_round(real, ours, i, &bad);
	printf("%sok 1 - %lu operations against the real KVM # %lu writes not compared: its search misses "
	       "what is there\n",
	       bad ? "not " : "", done, masked);
	return bad;
}

static unsigned int against_record(struct subject *ours, const char *path, unsigned int number)
{
	FILE *file = fopen(path, "re");
	unsigned int bad = 0, none = 0;
	char text[64];

	masked = done = 0;
	for (unsigned long i = 0; file && fgets(text, sizeof(text), file); i++) {
		if (run_round(NULL, ours, i, &none) == strtoull(text, NULL, 16))
			continue;
		if (bad++ < 20)
			printf("# round %lu differs\n", i);
	}
	if (file)
		fclose(file);
	printf("%sok %u - %lu operations against the recorded results of Linux " RECORDED_KERNEL
	       " # %lu not compared\n",
	       bad || !done ? "not " : "", number, done, masked);
	return bad || !done;
}

int main(int argc, char **argv)
{
	bool is_chips = argc > 2 && !strcmp(argv[argc - 1], "--chips");
	bool recording = argc > 2 && !strcmp(argv[1], "--record"), has_real;
	unsigned long operations =
		argc - is_chips > 2 + recording ? strtoul(argv[2 + recording], NULL, 0) : 50000;
	static struct subject real, ours;
	unsigned int bad = 0;

	if (argc < 2)
		return 2;
	chips = is_chips;
	has_real = !getenv("UVFIO_NO_KVM") && subject_open(&real, true);
	if (recording)
		return record(has_real ? &real : NULL, argv[2], operations / ROUND);
	if (!subject_open(&ours, false))
		return 2;
	if (has_real)
		bad = against_real(&real, &ours, operations / ROUND);
	else
		printf("ok 1 - # SKIP no usable /dev/kvm\n");
	fflush(stdout);
	bad += against_record(&ours, argv[1], 2);
	printf("1..2\n");
	if (has_real)
		subject_close(&real);
	subject_close(&ours);
	return bad != 0;
}
