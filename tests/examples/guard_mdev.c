/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A mediated driver that makes the mistake that BUG names: "create-crash", "read-loop", "dma_unmap-keep", ...
 * Where it loops it says so first, on standard output. A write pins the page at IOVA 0.
 */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <uvfio/mdev.h>

static volatile int zero;
static volatile char *volatile nowhere;

/* The mistake, when it is to be made in this callback: -1 for the caller to return, 0 for none. */
static int mistake(const char *callback)
{
	size_t len = strlen(callback);
	const char *what = BUG + len + 1;

	if (strncmp(BUG, callback, len) || BUG[len] != '-')
		return 0;
	if (!strcmp(what, "crash"))
		*nowhere = 1;
	if (!strcmp(what, "divide"))
		zero = 10 / zero;
	if (!strcmp(what, "abort"))
		abort();
	if (!strcmp(what, "plus"))
		return 7;
	if (!strcmp(what, "refuse"))
		return -EBUSY;
	if (!strcmp(what, "loop")) {
		if (write(STDOUT_FILENO, "looping\n", 8) != 8)
			return -EIO;
		for (;;)
			zero++;
	}
	return 0;
}

static int parent_create(struct uvfio_mdev_parent *parent, char *err, size_t err_len)
{
	(void)parent;
	if (!strcmp(BUG, "parent_create-text"))
		return uvfio_create_error(err, err_len, EINVAL, "two\nlines \033[31m");
	return mistake("parent_create");
}

static void parent_destroy(struct uvfio_mdev_parent *parent)
{
	(void)parent;
	mistake("parent_destroy");
}

static unsigned int get_available(struct uvfio_mdev_parent *parent, const struct uvfio_mdev_type *type)
{
	(void)type;
	mistake("get_available");
	return 4 - parent->nr_instances;
}

static int create(struct uvfio_mdev *mdev)
{
	if (!strcmp(BUG, "create-overrun"))
		((size_t *)mdev->dev.priv)[-1] = 0;
	return mistake("create");
}

static void destroy(struct uvfio_mdev *mdev)
{
	(void)mdev;
	mistake("destroy");
}

static int open_device(struct uvfio_mdev *mdev)
{
	(void)mdev;
	return mistake("open");
}

static void close_device(struct uvfio_mdev *mdev)
{
	(void)mdev;
	mistake("close");
}

static int reset(struct uvfio_mdev *mdev)
{
	(void)mdev;
	return mistake("reset");
}

static int read_region(struct uvfio_mdev *mdev, unsigned int region, uint64_t offset, void *buf,
		       unsigned int size)
{
	(void)mdev, (void)region, (void)offset, (void)buf, (void)size;
	return mistake("read");
}

static int write_region(struct uvfio_mdev *mdev, unsigned int region, uint64_t offset, const void *buf,
			unsigned int size)
{
	void *page;

	(void)buf, (void)size;
	if (!region && !offset)
		uvfio_mdev_pin_pages(mdev, 0, 1, UVFIO_MDEV_PIN_READ, &page);
	return mistake("write");
}

static void request(struct uvfio_mdev *mdev, unsigned int count)
{
	uvfio_log(&mdev->dev, "request %u", count);
	mistake("request");
}

static void dma_unmap(struct uvfio_mdev *mdev, uint64_t iova, uint64_t length)
{
	(void)length;
	mistake("dma_unmap");
	if (strcmp(BUG, "dma_unmap-keep"))
		uvfio_mdev_unpin_pages(mdev, iova, 1);
}

static const struct uvfio_mdev_type types[] = {
	{ .name = "1", .regions = { [0] = { 64 }, [UVFIO_MDEV_CONFIG] = { 64 } } },
	{ .name = NULL },
};

static const struct uvfio_mdev_driver driver = {
	.name = "guard",
	.summary = "makes mistakes",
	.device_api = "vfio-pci",
	.types = types,
	.ops = {
		.parent_create = parent_create,
		.parent_destroy = parent_destroy,
		.get_available = get_available,
		.create = create,
		.destroy = destroy,
		.open = open_device,
		.close = close_device,
		.reset = reset,
		.read = read_region,
		.write = write_region,
		.request = request,
		.dma_unmap = dma_unmap,
	},
};
UVFIO_MDEV_PLUGIN(driver);
