/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * An ordinary driver of a serial card with two looped back ports, a mediated one: it finds out what the card
 * is, sizes its BARs, and sends data through the ports, with and without interrupts. It does so in each way
 * that the machine has to open the card. Run with `uvfio run --device mtty,type=mtty-2`; its
 * argument compat says that containers are IOMMUFDs.
 */
#define PARENT "mtty"
#include "ways.h"

#include <linux/pci_regs.h>
#include <linux/serial_reg.h>
#include <poll.h>
#include <sys/eventfd.h>

#define PORTS 2
#define FIFO  16

static bool compat; /* /dev/vfio/vfio is an IOMMUFD */

/* A port with its driver's state. */
struct port {
	int device;
	off_t base;     /* of its registers, in the file */
	int event, irq; /* irq: VFIO_PCI_INTX_IRQ_INDEX or MSI */
	unsigned int events;
};

static uint8_t in(const struct port *port, unsigned int reg)
{
	uint8_t value;

	CHECK(pread(port->device, &value, 1, port->base + reg) == 1);
	return value;
}

static void out(const struct port *port, unsigned int reg, uint8_t value)
{
	CHECK(pwrite(port->device, &value, 1, port->base + reg) == 1);
}

static struct vfio_region_info region_of(int device, uint32_t index)
{
	struct vfio_region_info region = { .argsz = sizeof(region), .index = index };

	CHECK(!ioctl(device, VFIO_DEVICE_GET_REGION_INFO, &region));
	return region;
}

/* ---- what it is */

static void probe(int device)
{
	struct vfio_device_info info = { .argsz = sizeof(info) };
	off_t config = region_of(device, VFIO_PCI_CONFIG_REGION_INDEX).offset;
	uint32_t ids, class, ones = UINT32_MAX, bar, address;

	CHECK(!ioctl(device, VFIO_DEVICE_GET_INFO, &info) && (info.flags & VFIO_DEVICE_FLAGS_PCI));
	CHECK(pread(device, &ids, 4, config + PCI_VENDOR_ID) == 4 && ids == 0x32534348);
	CHECK(pread(device, &class, 4, config + PCI_CLASS_REVISION) == 4 && class >> 8 == 0x070002);
	for (uint32_t i = 0; i < PORTS; i++) {
		off_t at = config + PCI_BASE_ADDRESS_0 + 4 * i;

		CHECK(region_of(device, i).size == 8);
		CHECK(pread(device, &address, 4, at) == 4 && (address & PCI_BASE_ADDRESS_SPACE_IO));
		CHECK(pwrite(device, &ones, 4, at) == 4 && pread(device, &bar, 4, at) == 4);
		CHECK(~(bar & (uint32_t)PCI_BASE_ADDRESS_IO_MASK) + 1 == 8);
		CHECK(pwrite(device, &address, 4, at) == 4);
	}
}

/* ---- memory: there is no IOMMU that could refuse it, or charge it */

/* The only range of IOVAs that a container can say there is: the IOMMUFD's, which is all of them. */
static void container_info(const struct space *space)
{
	struct {
		struct vfio_iommu_type1_info info;
		uint8_t caps[1024];
	} all = { .info = { .argsz = sizeof(all) } };
	const struct vfio_iommu_type1_info_cap_iova_range *range = NULL;
	const struct vfio_info_cap_header *cap;

	CHECK(!ioctl(space->fd, VFIO_IOMMU_GET_INFO, &all.info));
	CHECK((all.info.flags & VFIO_IOMMU_INFO_PGSIZES) && (all.info.iova_pgsizes & PAGE));
	for (uint32_t at = all.info.cap_offset; at; at = cap->next) {
		cap = (const void *)((const uint8_t *)&all + at);
		if (cap->id == VFIO_IOMMU_TYPE1_INFO_CAP_IOVA_RANGE)
			range = (const void *)cap;
	}
	CHECK(!!range == compat);
	if (range)
		CHECK(range->nr_iovas == 1 && !range->iova_ranges[0].start &&
		      range->iova_ranges[0].end == UINT64_MAX);
}

static void ioas_info(const struct space *space)
{
	struct iommu_iova_range ranges[4];
	struct iommu_ioas_iova_ranges arg = { .size = sizeof(arg),
					      .ioas_id = space->ioas,
					      .num_iovas = 4,
					      .allowed_iovas = (uintptr_t)ranges };

	CHECK(!ioctl(space->fd, IOMMU_IOAS_IOVA_RANGES, &arg));
	CHECK(arg.num_iovas == 1 && !ranges[0].start && ranges[0].last == UINT64_MAX);
	CHECK(arg.out_iova_alignment == PAGE);
}

static void memory(struct space *space)
{
	void *page = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	static const uint64_t iovas[] = { 0, 0xfee00000, 1ull << 39, 1ull << 60, UINT64_MAX - 2 * PAGE + 1 };

	if (space->way->type)
		container_info(space);
	else
		ioas_info(space);
	for (size_t i = 0; i < sizeof(iovas) / sizeof(iovas[0]); i++)
		CHECK(!map(space, page, iovas[i], PAGE));
	CHECK(map(space, page, 0, PAGE) == -EEXIST);
	for (size_t i = 0; i < sizeof(iovas) / sizeof(iovas[0]); i++)
		CHECK(!unmap(space, iovas[i], PAGE));
	munmap(page, PAGE);
}

/* ---- without interrupts */

static void set_up(const struct port *port)
{
	out(port, UART_IER, 0);
	out(port, UART_LCR, UART_LCR_DLAB);
	out(port, UART_DLL, 1); /* 115200 baud */
	out(port, UART_DLM, 0);
	out(port, UART_LCR, UART_LCR_WLEN8);
	out(port, UART_MCR, UART_MCR_DTR | UART_MCR_RTS | UART_MCR_OUT2);
	out(port, UART_FCR, UART_FCR_ENABLE_FIFO | UART_FCR_CLEAR_RCVR | UART_FCR_CLEAR_XMIT);
	CHECK((in(port, UART_IIR) & 0xc0) == 0xc0); /* a 16550A */
	out(port, UART_SCR, 0xa5);
	CHECK(in(port, UART_SCR) == 0xa5);
}

static void polled(const struct port *port)
{
	for (unsigned int i = 0; i < 1000; i++) {
		CHECK(in(port, UART_LSR) & UART_LSR_THRE);
		out(port, UART_TX, (uint8_t)i);
		CHECK((in(port, UART_LSR) & (UART_LSR_DR | UART_LSR_OE)) == UART_LSR_DR);
		CHECK(in(port, UART_RX) == (uint8_t)i);
	}
}

/* ---- with interrupts */

static int set_irq(const struct port *port, uint32_t flags, int event)
{
	struct {
		struct vfio_irq_set set;
		int32_t event;
	} arg = { .set = { .argsz = sizeof(arg), .flags = flags, .index = port->irq, .count = 1 },
		  .event = event };

	return ioctl(port->device, VFIO_DEVICE_SET_IRQS, &arg);
}

/* Which reasons are there, when the card has asked? INTx is masked by that, as a level has to be. */
static uint8_t await(struct port *port)
{
	struct pollfd wait = { .fd = port->event, .events = POLLIN };
	uint64_t n = 0;

	CHECK(poll(&wait, 1, 10000) == 1);
	CHECK(read(port->event, &n, sizeof(n)) == sizeof(n));
	port->events += (unsigned int)n;
	if (port->irq == VFIO_PCI_INTX_IRQ_INDEX) {
		CHECK(n == 1);
		CHECK(!set_irq(port, VFIO_IRQ_SET_DATA_NONE | VFIO_IRQ_SET_ACTION_UNMASK, 0));
	}
	return in(port, UART_IIR) & UART_IIR_ID;
}

static size_t drain(const struct port *port, uint8_t *data)
{
	size_t n = 0;

	while (n < FIFO && (in(port, UART_LSR) & UART_LSR_DR))
		data[n++] = in(port, UART_RX);
	return n;
}

static void interrupted(struct port *port)
{
	uint8_t sent[100 * FIFO], got[sizeof(sent)];
	size_t done = 0;

	for (size_t i = 0; i < sizeof(sent); i++)
		sent[i] = (uint8_t)(i * 7 + (size_t)port->base);
	out(port, UART_IER, UART_IER_RDI | UART_IER_THRI);
	while (done < sizeof(sent)) {
		CHECK(await(port) == UART_IIR_THRI); /* there is room */
		for (unsigned int i = 0; i < FIFO; i++)
			out(port, UART_TX, sent[done + i]);
		CHECK(await(port) == UART_IIR_RDI);
		CHECK(drain(port, got + done) == FIFO);
		done += FIFO;
	}
	CHECK(await(port) == UART_IIR_THRI);
	out(port, UART_IER, 0);
	CHECK(!memcmp(got, sent, sizeof(sent)));
	CHECK(port->events == 2 * 100 + 1);
}

static void with_irq(struct port port, int irq)
{
	port.irq = irq;
	port.event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	CHECK(port.event >= 0);
	CHECK(!set_irq(&port, VFIO_IRQ_SET_DATA_EVENTFD | VFIO_IRQ_SET_ACTION_TRIGGER, port.event));
	interrupted(&port);
	CHECK(!set_irq(&port, VFIO_IRQ_SET_DATA_EVENTFD | VFIO_IRQ_SET_ACTION_TRIGGER, -1));
	out(&port, UART_IER, UART_IER_THRI); /* to nobody */
	out(&port, UART_IER, 0);
	CHECK(read(port.event, &(uint64_t){ 0 }, 8) < 0 && errno == EAGAIN);
	close(port.event);
}

/* ---- all of it, in one way */

static void drive(const struct way *way, const char *card)
{
	struct space space = open_space(way);
	struct member member;
	uint32_t value = 0;

	CHECK(!join(&space, &member, card));
	probe(member.device);
	memory(&space);
	for (uint32_t i = 0; i < PORTS; i++) {
		struct port port = { .device = member.device,
				     .base = (off_t)region_of(member.device, i).offset };

		set_up(&port);
		polled(&port);
		with_irq(port, VFIO_PCI_INTX_IRQ_INDEX);
		with_irq(port, VFIO_PCI_MSI_IRQ_INDEX);
	}
	CHECK(!ioctl(member.device, VFIO_DEVICE_RESET));
	CHECK(pread(member.device, &value, 1, (off_t)region_of(member.device, 1).offset + UART_SCR) == 1);
	CHECK(value == 0xa5);
	leave(&space, &member);
	CHECK(!close(space.fd));
	printf("%s\n", way->name);
}

int main(int argc, char **argv)
{
	DIR *cards = opendir("/sys/bus/mdev/devices");
	struct dirent *entry;

	compat = argc > 1 && !strcmp(argv[1], "compat");
	CHECK(cards);
	while ((entry = readdir(cards)))
		for (size_t i = 0; entry->d_name[0] != '.' && i < sizeof(ways) / sizeof(ways[0]); i++)
			if (has_way(&ways[i]))
				drive(&ways[i], entry->d_name);
	closedir(cards);
	return 0;
}
