/* SPDX-License-Identifier: BSD-2-Clause */
/* The mediated driver around the ports: types, instances, configuration space. */
#include "devices/mtty/mtty.h"

#include "base/base.h"
#include "devices/models.h"

#include <linux/pci_regs.h>
#include <string.h>

struct mtty_options {
	uint64_t ports;
};

struct mtty_parent {
	unsigned int free_ports;
};

static const struct uvfio_option options[] = {
	{ .key = "ports",
	  .type = UVFIO_OPTION_UINT,
	  .offset = offsetof(struct mtty_options, ports),
	  .preset = "24",
	  .min = 1,
	  .max = 1024,
	  .help = "serial ports that all instances can have together" },
	{ .key = NULL },
};

static int parent_create(struct uvfio_mdev_parent *pub, char *err, size_t err_len)
{
	const struct mtty_options *opts = pub->options;
	struct mtty_parent *parent = pub->priv;

	(void)err;
	(void)err_len;
	parent->free_ports = (unsigned int)opts->ports;
	return 0;
}

static unsigned int get_available(struct uvfio_mdev_parent *pub, const struct uvfio_mdev_type *type)
{
	const struct mtty_parent *parent = pub->priv;

	return parent->free_ports / type->data;
}

/* ---- configuration space */

static void put_le(uint8_t *at, uint32_t value, unsigned int size)
{
	for (unsigned int i = 0; i < size; i++)
		at[i] = (uint8_t)(value >> 8 * i);
}

static void init_config(struct mtty *mtty, unsigned int ports)
{
	static const uint8_t text[] = "PCI Serial/UART";
	uint8_t *config = mtty->config;

	put_le(config + PCI_VENDOR_ID, 0x4348, 2);
	put_le(config + PCI_DEVICE_ID, 0x3253, 2);
	put_le(config + PCI_COMMAND, PCI_COMMAND_IO, 2);
	put_le(config + PCI_STATUS, PCI_STATUS_DEVSEL_MEDIUM, 2);
	config[PCI_REVISION_ID] = 0x10;
	config[PCI_CLASS_PROG] = 0x02; /* compatible with a 16550 */
	put_le(config + PCI_CLASS_DEVICE, 0x0700, 2);
	for (unsigned int i = 0; i < ports; i++)
		put_le(config + PCI_BASE_ADDRESS_0 + 4 * i, PCI_BASE_ADDRESS_SPACE_IO, 4);
	put_le(config + PCI_SUBSYSTEM_VENDOR_ID, 0x4348, 2);
	put_le(config + PCI_SUBSYSTEM_ID, 0x3253, 2);
	config[PCI_INTERRUPT_PIN] = 1;
	put_le(config + 0x40, 0x80000023, 4); /* the sample's "vendor specific data" */
	for (unsigned int i = 0x44; i <= 0x4c; i += 4)
		config[i] = 0x23;
	memcpy(config + 0x60, text, sizeof(text) - 1);
}

static void write_bar(struct mtty *mtty, unsigned int ports, unsigned int bar, uint32_t value)
{
	uint8_t *at = mtty->config + PCI_BASE_ADDRESS_0 + 4 * bar;

	if (bar >= ports)
		value = 0;
	else if (value == UINT32_MAX)
		value = (uint32_t)-MTTY_PORT_SIZE | PCI_BASE_ADDRESS_SPACE_IO;
	else
		value |= PCI_BASE_ADDRESS_SPACE_IO;
	put_le(at, value, 4);
}

/* Everything else cannot be written. */
static void write_config(struct mtty *mtty, unsigned int ports, uint64_t offset, const void *buf,
			 unsigned int size)
{
	uint32_t value = 0;

	memcpy(&value, buf, size);
	if (offset == PCI_INTERRUPT_LINE)
		mtty->config[offset] = (uint8_t)value;
	else if (offset >= PCI_BASE_ADDRESS_0 && offset <= PCI_BASE_ADDRESS_4 && !(offset % 4))
		write_bar(mtty, ports, (unsigned int)(offset - PCI_BASE_ADDRESS_0) / 4, value);
}

/* ---- instances */

static int create(struct uvfio_mdev *mdev)
{
	struct mtty_parent *parent = mdev->parent->priv;
	struct mtty *mtty = mdev->dev.priv;

	if (parent->free_ports < mdev->type->data)
		return -ENOSPC;
	parent->free_ports -= mdev->type->data;
	pthread_mutex_init(&mtty->lock, NULL);
	for (unsigned int i = 0; i < MTTY_PORTS; i++)
		mtty_uart_init(&mtty->ports[i]);
	init_config(mtty, mdev->type->data);
	return 0;
}

static void destroy(struct uvfio_mdev *mdev)
{
	struct mtty_parent *parent = mdev->parent->priv;
	struct mtty *mtty = mdev->dev.priv;

	parent->free_ports += mdev->type->data;
	pthread_mutex_destroy(&mtty->lock);
}

static void forked(struct uvfio_mdev *mdev)
{
	struct mtty *mtty = mdev->dev.priv;

	pthread_mutex_init(&mtty->lock, NULL);
}

/* The ports keep what they have, as the sample's do. */
static int reset(struct uvfio_mdev *mdev)
{
	(void)mdev;
	return 0;
}

static int read_region(struct uvfio_mdev *mdev, unsigned int region, uint64_t offset, void *buf,
		       unsigned int size)
{
	struct mtty *mtty = mdev->dev.priv;
	bool irq = false;

	pthread_mutex_lock(&mtty->lock);
	if (region == UVFIO_MDEV_CONFIG)
		memcpy(buf, mtty->config + offset, size);
	else
		irq = mtty_uart_read(&mtty->ports[region], (unsigned int)offset, buf);
	if (irq)
		uvfio_mdev_irq(mdev, 0);
	pthread_mutex_unlock(&mtty->lock);
	return 0;
}

static int write_region(struct uvfio_mdev *mdev, unsigned int region, uint64_t offset, const void *buf,
			unsigned int size)
{
	struct mtty *mtty = mdev->dev.priv;
	bool irq = false;

	pthread_mutex_lock(&mtty->lock);
	if (region == UVFIO_MDEV_CONFIG)
		write_config(mtty, mdev->type->data, offset, buf, size);
	else
		irq = mtty_uart_write(&mtty->ports[region], (unsigned int)offset, *(const uint8_t *)buf);
	if (irq)
		uvfio_mdev_irq(mdev, 0);
	pthread_mutex_unlock(&mtty->lock);
	return 0;
}

#define IRQS                                                                                                 \
	.irqs = {                                                                                            \
		[UVFIO_MDEV_INTX] = { .count = 1, .maskable = true, .automasked = true },                    \
		[UVFIO_MDEV_MSI] = { .count = 1, .noresize = true },                                         \
	}

static const struct uvfio_mdev_type types[] = {
	{ .name = "1",
	  .pretty_name = "Single port serial",
	  .data = 1,
	  .regions = { [0] = { MTTY_PORT_SIZE }, [UVFIO_MDEV_CONFIG] = { MTTY_CONFIG_SIZE } },
	  IRQS },
	{ .name = "2",
	  .pretty_name = "Dual port serial",
	  .data = 2,
	  .regions = { [0] = { MTTY_PORT_SIZE },
		       [1] = { MTTY_PORT_SIZE },
		       [UVFIO_MDEV_CONFIG] = { MTTY_CONFIG_SIZE } },
	  IRQS },
	{ .name = NULL },
};

const struct uvfio_mdev_driver mtty_driver = {
	.name = "mtty",
	.summary = "mediated PCI serial card, 16550 ports looped back (the kernel's sample mtty)",
	.options = options,
	.options_size = sizeof(struct mtty_options),
	.parent_priv_size = sizeof(struct mtty_parent),
	.priv_size = sizeof(struct mtty),
	.device_api = "vfio-pci",
	.types = types,
	.ops = {
		.parent_create = parent_create,
		.get_available = get_available,
		.create = create,
		.destroy = destroy,
		.reset = reset,
		.read = read_region,
		.write = write_region,
		.forked = forked,
	},
};
