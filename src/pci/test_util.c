/* SPDX-License-Identifier: BSD-2-Clause */
#include "pci/test_util.h"

#include "file/fdtable.h"

#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

struct uvfio_pci_desc fake_desc;

static const struct uvfio_register fake_registers[] = {
	{ 0x0, 8, "CAP", 1, 0, NULL },
	{ 0x1000, 4, "DOORBELL%u", 16, 8, NULL },
	{ .name = NULL },
};

void fake_desc_default(void)
{
	fake_desc = (struct uvfio_pci_desc){
		.vendor = 0x1b36,
		.device = 0x0010,
		.subsys_vendor = 0x1af4,
		.subsys_device = 0x1100,
		.class_code = 0x010802,
		.revision = 2,
		.intx = 1,
		.msix_vectors = 65,
		.msix_bar = 0,
		.msix_table = 0x2000,
		.msix_pba = 0x3000,
		.pcie = true,
		.aer = true,
		.pm = true,
		.no_soft_reset = true,
		.bar[0] = { .size = 0x4000, .mem64 = true, .registers = fake_registers },
		.bar[2] = { .size = 0x2000, .plain[0] = { 0x1000, 0x1000 } },
		.bar[3] = { .size = 0x100 },
	};
}

/* One thread at a time; whoever has seen nr sees the access. */
static void note(struct fake *fake, const struct fake_access *access)
{
	fake->access[fake->nr % ARRAY_SIZE(fake->access)] = *access;
	fake->nr++;
}

static uint64_t fake_read(struct uvfio_pci_func *pub, unsigned int bar, uint64_t offset, unsigned int size)
{
	note(pub->dev.priv, &(struct fake_access){ .bar = bar, .size = size, .offset = offset });
	return FAKE_VALUE;
}

static void fake_write(struct uvfio_pci_func *pub, unsigned int bar, uint64_t offset, uint64_t value,
		       unsigned int size)
{
	struct fake *fake = pub->dev.priv;

	note(fake, &(struct fake_access){ bar, size, offset, value, true });
	atomic_fetch_add(&fake->sum, value);
}

static void fake_reset(struct uvfio_pci_func *pub)
{
	struct fake *fake = pub->dev.priv;

	fake->master = atomic_load(&to_func(pub)->iommu.enabled);
	atomic_fetch_add(&fake->resets, 1);
}

static int fake_open(struct uvfio_pci_func *pub)
{
	struct fake *fake = pub->dev.priv;

	fake->opened++;
	return fake->open_rc;
}

static void fake_close(struct uvfio_pci_func *pub)
{
	((struct fake *)pub->dev.priv)->closed++;
}

static int fake_create(struct uvfio_pci_func *pub, struct uvfio_pci_desc *desc, char *err, size_t err_len)
{
	(void)pub, (void)err, (void)err_len;
	*desc = fake_desc;
	return 0;
}

static const struct uvfio_pci_model fake_model = {
	.name = "fake",
	.summary = "for tests",
	.priv_size = sizeof(struct fake),
	.ops = { .create = fake_create,
		 .read = fake_read,
		 .write = fake_write,
		 .reset = fake_reset,
		 .open = fake_open,
		 .close = fake_close },
};

struct fake *fake_of(struct pci_func *func)
{
	return func->pub.dev.priv;
}

struct pci_func *add_function(struct rig *r, const char *bdf, unsigned int group)
{
	struct pci_func_config config = { .group_id = group, .vfio_index = VFIO_ANY_INDEX };
	struct pci_func *func = NULL;
	char err[128] = "";

	assert_int_equal(pci_parse_bdf(bdf, &config.slot), 0);
	config.instance = config.slot.fn;
	if (pci_func_create(r->vfio, &fake_model, &config, &func, err, sizeof(err)))
		fail_msg("%s", err);
	return func;
}

static long call(int fd, unsigned long cmd, uint64_t arg)
{
	struct file *file = fdtable_get(fd);
	long rc;

	if (!file)
		return -EBADF;
	rc = file_ioctl(file, &self_caller, cmd, arg);
	file_put(file);
	return rc;
}

static void close_fd(int fd)
{
	fdtable_close(fd);
	close(fd);
}

static int install(struct file *file)
{
	int fd = self_caller.ops->install(&self_caller, file, O_CLOEXEC);

	assert_true(fd >= 0);
	return fd;
}

void open_device_again(struct rig *r)
{
	r->device = (int)call(r->group, VFIO_GROUP_GET_DEVICE_FD, (uintptr_t)r->func->name);
	assert_true(r->device >= 0);
}

void close_device_fd(struct rig *r)
{
	close_fd(r->device);
	r->device = -1;
}

static int setup(void **state)
{
	struct rig *r = calloc(1, sizeof(*r));
	struct file *file;

	assert_non_null(r);
	if (!self_caller.mm)
		self_caller.mm = mm_self();
	iommu_params_default(&r->params);
	r->vfio = vfio_new(&r->params, false);
	assert_non_null(r->vfio);
	r->func = add_function(r, "0000:00:01.0", 7);
	r->fake = fake_of(r->func);
	assert_int_equal(vfio_container_open(r->vfio, O_RDWR, &file), 0);
	r->container = install(file);
	assert_int_equal(vfio_group_open(r->vfio, 7, false, O_RDWR, &file), 0);
	r->group = install(file);
	assert_int_equal(call(r->group, VFIO_GROUP_SET_CONTAINER, (uintptr_t)&r->container), 0);
	assert_int_equal(call(r->container, VFIO_SET_IOMMU, VFIO_TYPE1v2_IOMMU), 0);
	open_device_again(r);
	*state = r;
	return 0;
}

int rig_setup(void **state)
{
	fake_desc_default();
	return setup(state);
}

int rig_setup_msi(void **state)
{
	fake_desc_default();
	fake_desc.pcie = false;
	fake_desc.aer = false;
	fake_desc.no_soft_reset = false;
	fake_desc.msix_vectors = 0;
	fake_desc.msi_vectors = 4;
	return setup(state);
}

int rig_teardown(void **state)
{
	struct rig *r = *state;

	if (r->device >= 0)
		close_fd(r->device);
	close_fd(r->group);
	close_fd(r->container);
	pci_func_destroy(r->func);
	vfio_free(r->vfio);
	free(r);
	return 0;
}

long dev_ioctl(struct rig *r, unsigned long cmd, const void *arg)
{
	return call(r->device, cmd, (uintptr_t)arg);
}

ssize_t dev_read(struct rig *r, unsigned int region, uint64_t pos, void *buf, size_t len)
{
	struct file *file = fdtable_get(r->device);
	ssize_t rc = file_read(file, &self_caller, (uintptr_t)buf, len, ((uint64_t)region << 40) + pos);

	file_put(file);
	return rc;
}

ssize_t dev_write(struct rig *r, unsigned int region, uint64_t pos, const void *buf, size_t len)
{
	struct file *file = fdtable_get(r->device);
	ssize_t rc = file_write(file, &self_caller, (uintptr_t)buf, len, ((uint64_t)region << 40) + pos);

	file_put(file);
	return rc;
}

uint32_t cfg_read(struct rig *r, uint32_t pos, unsigned int size)
{
	uint32_t value = 0;

	assert_int_equal(dev_read(r, CFG, pos, &value, size), size);
	return value;
}

void cfg_write(struct rig *r, uint32_t pos, uint32_t value, unsigned int size)
{
	assert_int_equal(dev_write(r, CFG, pos, &value, size), size);
}

uint32_t find_cap(struct rig *r, uint8_t id)
{
	uint32_t pos = cfg_read(r, PCI_CAPABILITY_LIST, 1);

	for (int n = 0; pos && n < 48; n++) {
		if (cfg_read(r, pos, 1) == id)
			return pos;
		pos = cfg_read(r, pos + 1, 1);
	}
	return 0;
}

long set_irqs(struct rig *r, uint32_t flags, uint32_t index, uint32_t start, uint32_t count, const void *data)
{
	union {
		struct vfio_irq_set set;
		uint8_t bytes[512];
	} arg = { .bytes = { 0 } };
	size_t size = flags & EVFD ? 4 * count : flags & BOOL ? count : 0;

	arg.set.argsz = (uint32_t)(sizeof(arg.set) + size);
	arg.set.flags = flags;
	arg.set.index = index;
	arg.set.start = start;
	arg.set.count = count;
	if (data)
		memcpy(arg.set.data, data, size);
	return dev_ioctl(r, VFIO_DEVICE_SET_IRQS, &arg);
}

int new_eventfd(void)
{
	int fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);

	assert_true(fd >= 0);
	return fd;
}

long eventfd_count(int fd, int ms)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };
	uint64_t count;

	if (ms)
		poll(&p, 1, ms);
	return read(fd, &count, sizeof(count)) == sizeof(count) ? (long)count : 0;
}
