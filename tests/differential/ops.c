/* SPDX-License-Identifier: BSD-2-Clause */
#include "ops.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define WORDS 24

struct op {
	struct subject *s;
	unsigned int nr;
	char *word[WORDS];
	char *text;
};

static uint64_t number(const struct op *op, unsigned int i)
{
	return i < op->nr ? strtoull(op->word[i], NULL, 0) : 0;
}

static void result(struct op *op, long rc)
{
	if (rc < 0)
		append(op->text, "%s", strerrorname_np((int)-rc));
	else
		append(op->text, "%ld", rc);
}

static int event_of(const struct op *op, unsigned int i)
{
	return i < op->nr && op->word[i][0] == 'e' ? atoi(op->word[i] + 1) % EVENTS : 0;
}

static int null_fd = -1, path_fd = -1;

static int fd_of(const struct op *op, unsigned int i)
{
	const char *word = i < op->nr ? op->word[i] : "none";

	if (null_fd < 0) {
		null_fd = open("/dev/null", O_RDWR | O_CLOEXEC);
		path_fd = open("/", O_PATH | O_CLOEXEC);
	}
	if (*word == 'e')
		return op->s->event[event_of(op, i)];
	if (!strcmp(word, "closed"))
		return 901;
	if (!strcmp(word, "null"))
		return null_fd;
	if (!strcmp(word, "path"))
		return path_fd;
	return strcmp(word, "vm") ? -1 : op->s->vm;
}

/* ---- the bus */

static void op_vm(struct op *op)
{
	const char *kind = op->nr > 1 ? op->word[1] : "";

	result(op, subject_new_vm(op->s, !strcmp(kind, "full")    ? CHIPS_FULL
					 : !strcmp(kind, "split") ? CHIPS_SPLIT
								  : CHIPS_NONE));
}

static void op_io(struct op *op)
{
	struct kvm_ioeventfd io = { .addr = number(op, 2),
				    .len = (uint32_t)number(op, 3),
				    .flags = (uint32_t)number(op, 4),
				    .datamatch = number(op, 5),
				    .fd = fd_of(op, 6) };

	if (!strcmp(op->word[1], "pio"))
		io.flags |= KVM_IOEVENTFD_FLAG_PIO;
	if (!strcmp(op->word[1], "ccw"))
		io.flags |= KVM_IOEVENTFD_FLAG_VIRTIO_CCW_NOTIFY;
	result(op, subject_ioctl(op->s, KVM_IOEVENTFD, &io));
}

static void op_access(struct op *op)
{
	subject_access(op->s, strcmp(op->word[1], "pio") ? BUS_MMIO : BUS_PIO, op->word[0][0] == 'w',
		       number(op, 2), (unsigned int)number(op, 3), number(op, 4), op->text);
	subject_events(op->s, op->text);
}

static void op_zone(struct op *op)
{
	struct kvm_coalesced_mmio_zone zone = { .addr = number(op, 1),
						.size = (uint32_t)number(op, 2),
						.pio = (uint32_t)number(op, 3) };

	result(op, subject_ioctl(op->s,
				 op->word[0][0] == 'z' ? KVM_REGISTER_COALESCED_MMIO
						       : KVM_UNREGISTER_COALESCED_MMIO,
				 &zone));
}

/* As many as there can be: the number, and what the next one gets. */
static void op_many(struct op *op)
{
	bool zones = !strcmp(op->word[1], "zones");
	unsigned int pio = (unsigned int)number(op, 2), nr = (unsigned int)number(op, 3), i;
	long rc = 0;

	for (i = 0; !rc && i < nr; i++) {
		struct kvm_coalesced_mmio_zone zone = { .addr = 0x4000 + 2 * i, .size = 1, .pio = pio };
		struct kvm_ioeventfd io = { .addr = 0x4000 + 2 * i,
					    .len = 1,
					    .flags = pio ? KVM_IOEVENTFD_FLAG_PIO : 0,
					    .fd = op->s->event[0] };

		rc = zones ? subject_ioctl(op->s, KVM_REGISTER_COALESCED_MMIO, &zone)
			   : subject_ioctl(op->s, KVM_IOEVENTFD, &io);
	}
	append(op->text, "%u ", i - (rc != 0));
	result(op, rc);
}

#define RING_ENTRIES ((4096 - sizeof(struct kvm_coalesced_mmio_ring)) / sizeof(struct kvm_coalesced_mmio))

static void op_ring(struct op *op)
{
	struct kvm_coalesced_mmio_ring *ring = subject_ring(op->s);
	unsigned int nr = 0;

	for (; ring->first != ring->last && ring->first < RING_ENTRIES; nr++) {
		const struct kvm_coalesced_mmio *entry = &ring->coalesced_mmio[ring->first];
		uint64_t value = 0;

		memcpy(&value, entry->data, entry->len <= 8 ? entry->len : 8);
		if (nr < 8)
			append(op->text, "%s 0x%llx/%u=0x%llx", entry->pio ? " pio" : " mmio",
			       (unsigned long long)entry->phys_addr, entry->len, (unsigned long long)value);
		ring->first = (ring->first + 1) % RING_ENTRIES;
	}
	append(op->text, " (%u)", nr);
}

static void op_ringlast(struct op *op)
{
	struct kvm_coalesced_mmio_ring *ring = subject_ring(op->s);

	ring->last = (uint32_t)number(op, 1);
	ring->first = ring->last < RING_ENTRIES ? ring->last : 0;
	append(op->text, "set");
}

/* ---- memory slots */

static void op_slot(struct op *op)
{
	struct kvm_userspace_memory_region in = { .slot = (uint32_t)number(op, 1),
						  .flags = (uint32_t)number(op, 2),
						  .guest_phys_addr = number(op, 3),
						  .memory_size = number(op, 4),
						  .userspace_addr = number(op, 5) };

	if (op->nr > 5 && op->word[5][0] == 'm')
		in.userspace_addr = (uintptr_t)op->s->memory + strtoull(op->word[5] + 2, NULL, 0);
	result(op, subject_ioctl(op->s, KVM_SET_USER_MEMORY_REGION, &in));
}

static void op_dirty(struct op *op)
{
	static uint64_t bits[4096];
	struct kvm_dirty_log log = { .slot = (uint32_t)number(op, 1), .dirty_bitmap = bits };
	long rc;

	memset(bits, 0, sizeof(bits));
	rc = subject_ioctl(op->s, KVM_GET_DIRTY_LOG, &log);
	result(op, rc);
	for (unsigned int i = 0; !rc && i < 4; i++)
		if (bits[i])
			append(op->text, " %u:0x%llx", i, (unsigned long long)bits[i]);
}

static void op_clear(struct op *op)
{
	static uint64_t bits[4096];
	struct kvm_clear_dirty_log log = { .slot = (uint32_t)number(op, 1),
					   .first_page = number(op, 2),
					   .num_pages = (uint32_t)number(op, 3),
					   .dirty_bitmap = bits };

	memset(bits, 0xff, sizeof(bits));
	result(op, subject_ioctl(op->s, KVM_CLEAR_DIRTY_LOG, &log));
}

static void op_peek(struct op *op)
{
	uint64_t value;

	memcpy(&value, op->s->memory + number(op, 1) % MEMORY_SIZE, sizeof(value));
	append(op->text, "0x%llx", (unsigned long long)value);
}

static void op_cap(struct op *op)
{
	struct kvm_enable_cap in = { .cap = (uint32_t)number(op, 1),
				     .flags = (uint32_t)number(op, 2),
				     .args = { number(op, 3) } };

	result(op, subject_ioctl(op->s, KVM_ENABLE_CAP, &in));
}

static void op_ext(struct op *op)
{
	result(op, subject_ioctl(op->s, KVM_CHECK_EXTENSION, (void *)(uintptr_t)number(op, 1)));
}

/* ---- interrupts */

static void op_irqfd(struct op *op)
{
	struct kvm_irqfd in = { .fd = (uint32_t)fd_of(op, 1),
				.gsi = (uint32_t)number(op, 2),
				.flags = (uint32_t)number(op, 3),
				.resamplefd = (uint32_t)fd_of(op, 4) };
	long rc = subject_ioctl(op->s, KVM_IRQFD, &in);

	if (!rc && op->word[1][0] == 'e')
		op->s->quiet[event_of(op, 1)] = !(in.flags & KVM_IRQFD_FLAG_DEASSIGN);
	usleep(2000);
	result(op, rc);
}

static void parse_route(const char *word, struct kvm_irq_routing_entry *entry)
{
	unsigned int v[6] = { 0 };

	sscanf(word, "%i:%i:%i:%i:%i:%i", (int *)&v[0], (int *)&v[1], (int *)&v[2], (int *)&v[3],
	       (int *)&v[4], (int *)&v[5]);
	*entry = (struct kvm_irq_routing_entry){ .gsi = v[0], .type = v[1], .flags = v[2] };
	entry->u.msi.address_lo = v[3]; /* and irqchip */
	entry->u.msi.address_hi = v[4]; /* and pin */
	entry->u.msi.data = v[5];
}

static void op_route(struct op *op)
{
	struct {
		struct kvm_irq_routing head;
		struct kvm_irq_routing_entry entries[WORDS];
	} in = { { .nr = op->nr - 2, .flags = (uint32_t)number(op, 1) }, { { 0 } } };

	for (unsigned int i = 2; i < op->nr; i++)
		parse_route(op->word[i], &in.entries[i - 2]);
	result(op, subject_ioctl(op->s, KVM_SET_GSI_ROUTING, &in));
}

static void op_line(struct op *op)
{
	struct kvm_irq_level in = { .irq = (uint32_t)number(op, 1), .level = (uint32_t)number(op, 2) };

	result(op, subject_ioctl(op->s, KVM_IRQ_LINE_STATUS, &in));
	append(op->text, " status %d", (int)in.status);
}

static void op_msi(struct op *op)
{
	struct kvm_msi in = { .address_lo = (uint32_t)number(op, 1),
			      .address_hi = (uint32_t)number(op, 2),
			      .data = (uint32_t)number(op, 3),
			      .flags = (uint32_t)number(op, 4) };

	result(op, subject_ioctl(op->s, KVM_SIGNAL_MSI, &in));
}

static void append_pic(struct op *op, const struct kvm_pic_state *pic)
{
	append(op->text,
	       " irr=%02x last=%02x imr=%02x isr=%02x prio=%u base=%02x init=%u elcr=%02x mask=%02x",
	       pic->irr, pic->last_irr, pic->imr, pic->isr, pic->priority_add, pic->irq_base, pic->init_state,
	       pic->elcr, pic->elcr_mask);
}

static void append_ioapic(struct op *op, const struct kvm_ioapic_state *ioapic)
{
	append(op->text, " base=0x%llx sel=%u id=%u irr=%x", (unsigned long long)ioapic->base_address,
	       ioapic->ioregsel, ioapic->id, ioapic->irr);
	for (unsigned int i = 0; i < KVM_IOAPIC_NUM_PINS; i++)
		if (ioapic->redirtbl[i].bits != 0x10000)
			append(op->text, " %u:0x%llx", i, (unsigned long long)ioapic->redirtbl[i].bits);
}

static void op_chip(struct op *op)
{
	struct kvm_irqchip in = { .chip_id = (uint32_t)number(op, 1) };
	long rc = subject_ioctl(op->s, KVM_GET_IRQCHIP, &in);

	result(op, rc);
	if (!rc && in.chip_id == KVM_IRQCHIP_IOAPIC)
		append_ioapic(op, &in.chip.ioapic);
	else if (!rc)
		append_pic(op, &in.chip.pic);
}

static void op_irqchip(struct op *op)
{
	result(op, subject_ioctl(op->s, KVM_CREATE_IRQCHIP, NULL));
}

static void op_device(struct op *op)
{
	struct kvm_create_device in = { .type = (uint32_t)number(op, 1), .flags = (uint32_t)number(op, 2) };

	result(op, subject_ioctl(op->s, KVM_CREATE_DEVICE, &in));
}

/* ---- descriptors */

static void op_signal(struct op *op)
{
	uint64_t value = number(op, 2);

	if (write(fd_of(op, 1), &value, sizeof(value)) != sizeof(value))
		append(op->text, "%s", strerrorname_np(errno));
	subject_settle(op->s, event_of(op, 1));
}

static void op_take(struct op *op)
{
	uint64_t value;

	if (read(fd_of(op, 1), &value, sizeof(value)) == sizeof(value))
		append(op->text, "0x%llx", (unsigned long long)value);
	else
		append(op->text, "%s", strerrorname_np(errno));
}

static void op_poll(struct op *op)
{
	struct pollfd fd = { .fd = fd_of(op, 1), .events = POLLIN | POLLOUT };

	poll(&fd, 1, 0);
	append(op->text, "%s%s%s", fd.revents & POLLIN ? "in " : "", fd.revents & POLLOUT ? "out " : "",
	       fd.revents & POLLERR ? "err" : "");
}

static void op_dup(struct op *op)
{
	int *to = &op->s->event[event_of(op, 2)];

	close(*to);
	*to = fcntl(fd_of(op, 1), F_DUPFD_CLOEXEC, 0);
	op->s->quiet[event_of(op, 2)] = true;
	append(op->text, "0");
}

static void op_close(struct op *op)
{
	int i = event_of(op, 1);

	close(op->s->event[i]);
	op->s->event[i] = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	append(op->text, "0");
}

static void op_sem(struct op *op)
{
	int *fd = &op->s->event[event_of(op, 1)];

	close(*fd);
	*fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC | EFD_SEMAPHORE);
	append(op->text, "0");
}

/* ---- pointers */

static const struct {
	const char *name;
	unsigned long request;
} requests[] = {
	{ "ioeventfd", KVM_IOEVENTFD },
	{ "irqfd", KVM_IRQFD },
	{ "slot", KVM_SET_USER_MEMORY_REGION },
	{ "dirty", KVM_GET_DIRTY_LOG },
	{ "clear", KVM_CLEAR_DIRTY_LOG },
	{ "zone", KVM_REGISTER_COALESCED_MMIO },
	{ "unzone", KVM_UNREGISTER_COALESCED_MMIO },
	{ "route", KVM_SET_GSI_ROUTING },
	{ "line", KVM_IRQ_LINE },
	{ "linestatus", KVM_IRQ_LINE_STATUS },
	{ "msi", KVM_SIGNAL_MSI },
	{ "getchip", KVM_GET_IRQCHIP },
	{ "setchip", KVM_SET_IRQCHIP },
	{ "device", KVM_CREATE_DEVICE },
	{ "cap", KVM_ENABLE_CAP },
	{ "unknown", _IO(KVMIO, 0xff) },
	{ "setattr", KVM_SET_DEVICE_ATTR },
	{ "vfio", 0x3b64 },
};

static void op_bad(struct op *op)
{
	uint64_t at = !strcmp(op->word[2], "null")   ? 0
		      : !strcmp(op->word[2], "hole") ? 0x1000
						     : 0xffff800000000000;

	for (size_t i = 0; i < sizeof(requests) / sizeof(requests[0]); i++)
		if (!strcmp(requests[i].name, op->word[1]))
			result(op, subject_ioctl(op->s, requests[i].request, (void *)(uintptr_t)at));
}

/* ---- which it is */

static const struct {
	const char *name;
	void (*run)(struct op *op);
	unsigned int words; /* at least */
} ops[] = {
	{ "vm", op_vm, 1 },         { "io", op_io, 7 },
	{ "w", op_access, 4 },      { "r", op_access, 4 },
	{ "zone", op_zone, 4 },     { "unzone", op_zone, 4 },
	{ "ring", op_ring, 1 },     { "ringlast", op_ringlast, 2 },
	{ "slot", op_slot, 6 },     { "dirty", op_dirty, 2 },
	{ "clear", op_clear, 4 },   { "peek", op_peek, 2 },
	{ "cap", op_cap, 3 },       { "ext", op_ext, 2 },
	{ "irqfd", op_irqfd, 4 },   { "route", op_route, 2 },
	{ "line", op_line, 3 },     { "msi", op_msi, 5 },
	{ "chip", op_chip, 2 },     { "device", op_device, 3 },
	{ "signal", op_signal, 3 }, { "take", op_take, 2 },
	{ "poll", op_poll, 2 },     { "dup", op_dup, 3 },
	{ "close", op_close, 2 },   { "sem", op_sem, 2 },
	{ "bad", op_bad, 3 },       { "irqchip", op_irqchip, 1 },
	{ "many", op_many, 4 },
};

bool op_run(struct subject *s, const char *line, char *text)
{
	char copy[512], *save, *word;
	struct op op = { .s = s, .text = text };

	snprintf(copy, sizeof(copy), "%s", line);
	*text = 0;
	for (word = strtok_r(copy, " \t", &save); word && op.nr < WORDS; word = strtok_r(NULL, " \t", &save))
		op.word[op.nr++] = word;
	for (size_t i = 0; op.nr && i < sizeof(ops) / sizeof(ops[0]); i++) {
		if (strcmp(ops[i].name, op.word[0]) || op.nr < ops[i].words)
			continue;
		ops[i].run(&op);
		return true;
	}
	return false;
}
