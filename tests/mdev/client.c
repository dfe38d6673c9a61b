/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * An ordinary program that makes mediated serial cards, drives them, and removes them, as on a kernel with
 * the sample driver mtty. It is run with `uvfio run --device mtty,ports=4,type=none`.
 */
#define PARENT "mtty"
#include "mdev.h"

#include "uapi/iommufd.h"

#include <dirent.h>
#include <linux/pci_regs.h>
#include <linux/serial_reg.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <sys/socket.h>

/* ---- sysfs */

static bool link_ends(const char *path, const char *end)
{
	char target[256];
	ssize_t n = readlink(path, target, sizeof(target) - 1);

	CHECK(n > 0);
	target[n] = 0;
	return (size_t)n >= strlen(end) && !strcmp(target + n - strlen(end), end);
}

static bool directory_has(const char *path, const char *name, unsigned char type)
{
	DIR *dir = opendir(path);
	struct dirent *entry;
	bool found = false;

	CHECK(dir);
	while ((entry = readdir(dir)))
		found |= !strcmp(entry->d_name, name) && entry->d_type == type;
	closedir(dir);
	return found;
}

static void types_and_attributes(void)
{
	struct stat st;

	CHECK(link_ends("/sys/class/mdev_bus/mtty", "devices/virtual/mtty/mtty"));
	CHECK(file_says(TYPES "mtty-1/name", "Single port serial\n"));
	CHECK(file_says(TYPES "mtty-2/name", "Dual port serial\n"));
	CHECK(file_says(TYPES "mtty-2/device_api", "vfio-pci\n"));
	CHECK(!exists(TYPES "mtty-1/description"));
	CHECK(file_says(TYPES "mtty-1/available_instances", "4\n"));
	CHECK(file_says(TYPES "mtty-2/available_instances", "2\n"));
	CHECK(!stat(TYPES "mtty-1/create", &st));
	CHECK(S_ISREG(st.st_mode) && (st.st_mode & 07777) == 0200 && st.st_size == 4096);
	CHECK(directory_has(TYPES "mtty-1", "create", DT_REG));
	FAILS(open(TYPES "mtty-1/create", O_RDONLY), EACCES);
	FAILS(open(TYPES "mtty-1/create", O_RDWR), EACCES);
	FAILS(open(TYPES "mtty-3/create", O_WRONLY), ENOENT);
}

static void creating(void)
{
	CHECK(create("mtty-1", "") == 0); /* nothing is written */
	CHECK(create("mtty-1", "83b8f4f2") == -EINVAL);
	CHECK(create("mtty-1", "83b8f4f2-509f-382f-3c1e-e6bfe0fa100g") == -EINVAL);
	CHECK(create("mtty-1", "83b8f4f2-509f-382f-3c1e+e6bfe0fa1001") == -EINVAL);
	CHECK(create("mtty-1", ONE "\n\n") == -EINVAL);
	CHECK(create("mtty-1", "83B8F4F2-509F-382F-3C1E-E6BFE0FA1001\n") == 0);
	CHECK(create("mtty-1", ONE) == -EEXIST);
	CHECK(create("mtty-2", ONE "\n") == -EEXIST);
	CHECK(file_says(TYPES "mtty-1/available_instances", "3\n"));
	CHECK(file_says(TYPES "mtty-2/available_instances", "1\n"));
	CHECK(create("mtty-2", TWO "\n") == 0);
	CHECK(create("mtty-2", "83b8f4f2-509f-382f-3c1e-e6bfe0fa1003") == -ENOSPC);
	CHECK(file_says(TYPES "mtty-1/available_instances", "1\n"));
	CHECK(file_says(TYPES "mtty-2/available_instances", "0\n"));
	CHECK(!exists(DEVICES "83b8f4f2-509f-382f-3c1e-e6bfe0fa1003"));
}

static void instance_in_sysfs(void)
{
	CHECK(link_ends(DEVICES ONE, "devices/virtual/mtty/mtty/" ONE));
	CHECK(link_ends(DEVICES ONE "/mdev_type", "mdev_supported_types/mtty-1"));
	CHECK(link_ends(DEVICES ONE "/driver", "bus/mdev/drivers/mtty"));
	CHECK(link_ends(DEVICES ONE "/subsystem", "bus/mdev"));
	CHECK(link_ends(TYPES "mtty-2/devices/" TWO, "../../../" TWO));
	CHECK(file_says(DEVICES ONE "/uevent", "DRIVER=mtty\n"));
	CHECK(file_says(DEVICES ONE "/iommu_group/type", "unknown\n"));
	CHECK(file_says(DEVICES ONE "/iommu_group/name", "vfio-noiommu\n"));
	CHECK(file_says(DEVICES ONE "/iommu_group/reserved_regions", ""));
	CHECK(exists(DEVICES ONE "/iommu_group/devices/" ONE));
	CHECK(exists("/sys/bus/mdev/drivers/mtty/" TWO));
	CHECK(write_file(DEVICES ONE "/remove", "0", 1) == 0);
	CHECK(write_file(DEVICES ONE "/remove", "x", 1) == -EINVAL);
	CHECK(exists(DEVICES ONE));
}

static uint8_t get(int device, unsigned int port, unsigned int reg)
{
	uint8_t value = 0xee;

	CHECK(pread(device, &value, 1, AT(port, reg)) == 1);
	return value;
}

static void put(int device, unsigned int port, unsigned int reg, uint8_t value)
{
	CHECK(pwrite(device, &value, 1, AT(port, reg)) == 1);
}

static uint32_t config(int device, unsigned int offset, unsigned int size)
{
	uint32_t value = 0;

	CHECK(pread(device, &value, size, AT(VFIO_PCI_CONFIG_REGION_INDEX, offset)) == (ssize_t)size);
	return value;
}

/* ---- what it says of itself */

static void information(int device, unsigned int ports)
{
	struct vfio_device_info info = { .argsz = sizeof(info) };
	struct vfio_irq_info irq = { .argsz = sizeof(irq) };

	CHECK(!ioctl(device, VFIO_DEVICE_GET_INFO, &info));
	CHECK(info.flags == VFIO_DEVICE_FLAGS_PCI && info.num_regions == VFIO_PCI_NUM_REGIONS &&
	      info.num_irqs == VFIO_PCI_NUM_IRQS);
	for (uint32_t i = 0; i < VFIO_PCI_NUM_REGIONS; i++) {
		struct vfio_region_info region = { .argsz = sizeof(region), .index = i };

		CHECK(!ioctl(device, VFIO_DEVICE_GET_REGION_INFO, &region));
		CHECK(region.size == (i == VFIO_PCI_CONFIG_REGION_INDEX ? 255 : i < ports ? 8 : 0));
		CHECK(region.offset == (uint64_t)i << 40);
		CHECK(region.flags == (VFIO_REGION_INFO_FLAG_READ | VFIO_REGION_INFO_FLAG_WRITE));
	}
	CHECK(!ioctl(device, VFIO_DEVICE_GET_IRQ_INFO, &irq) && irq.count == 1);
	CHECK(irq.flags == (VFIO_IRQ_INFO_EVENTFD | VFIO_IRQ_INFO_MASKABLE | VFIO_IRQ_INFO_AUTOMASKED));
	irq.index = VFIO_PCI_MSI_IRQ_INDEX;
	CHECK(!ioctl(device, VFIO_DEVICE_GET_IRQ_INFO, &irq) && irq.count == 1);
	CHECK(irq.flags == (VFIO_IRQ_INFO_EVENTFD | VFIO_IRQ_INFO_NORESIZE));
	irq.index = VFIO_PCI_MSIX_IRQ_INDEX;
	FAILS(ioctl(device, VFIO_DEVICE_GET_IRQ_INFO, &irq), EINVAL);
	CHECK(!ioctl(device, VFIO_DEVICE_RESET));
	FAILS(ioctl(device, VFIO_DEVICE_GET_PCI_HOT_RESET_INFO, &info), ENOTTY);
	FAILS((long)mmap(NULL, 4096, PROT_READ, MAP_SHARED, device, 0), EINVAL);
}

static void config_space(int device, unsigned int ports)
{
	uint32_t ones = UINT32_MAX, address = 0xe000;
	uint8_t all[255], line = 11;
	void *volatile nowhere = (void *)8;

	CHECK(config(device, PCI_VENDOR_ID, 4) == 0x32534348);
	CHECK(config(device, PCI_CLASS_REVISION, 4) == 0x07000210);
	CHECK(config(device, PCI_COMMAND, 2) == PCI_COMMAND_IO);
	CHECK(config(device, PCI_INTERRUPT_PIN, 1) == 1);
	CHECK(config(device, PCI_BASE_ADDRESS_0, 4) == 1);
	CHECK(config(device, PCI_BASE_ADDRESS_1, 4) == (ports > 1));
	for (unsigned int i = 0; i < 2; i++) {
		CHECK(pwrite(device, &ones, 4, AT(VFIO_PCI_CONFIG_REGION_INDEX, 0x10 + 4 * i)) == 4);
		CHECK(config(device, 0x10 + 4 * i, 4) == (i < ports ? 0xfffffff9 : 0));
	}
	CHECK(pwrite(device, &address, 4, AT(VFIO_PCI_CONFIG_REGION_INDEX, PCI_BASE_ADDRESS_0)) == 4);
	CHECK(config(device, PCI_BASE_ADDRESS_0, 4) == 0xe001);
	CHECK(pwrite(device, &line, 1, AT(VFIO_PCI_CONFIG_REGION_INDEX, PCI_INTERRUPT_LINE)) == 1);
	CHECK(config(device, PCI_INTERRUPT_LINE, 1) == 11);
	CHECK(pread(device, all, sizeof(all), AT(VFIO_PCI_CONFIG_REGION_INDEX, 0)) == sizeof(all));
	CHECK(!memcmp(all + 0x60, "PCI Serial/UART", 15));
	CHECK(config(device, 0xfc, 4) == 0);
	FAILS(pread(device, all, 1, AT(VFIO_PCI_CONFIG_REGION_INDEX, 255)), EFAULT);
	FAILS(pread(device, all, 1, AT(VFIO_PCI_ROM_REGION_INDEX, 0)), EFAULT);
	FAILS(pread(device, all, 1, AT(20, 0)), EFAULT);
	FAILS(pread(device, all, 9, AT(0, 0)), EFAULT);
	FAILS(pread(device, nowhere, 1, AT(0, 0)), EFAULT);
}

/* ---- the ports */

static void echo(int device, unsigned int port)
{
	CHECK(get(device, port, UART_LSR) == (UART_LSR_TEMT | UART_LSR_THRE));
	CHECK(get(device, port, UART_IIR) == (UART_IIR_NO_INT | 0xc0));
	CHECK(get(device, port, UART_MSR) & UART_MSR_CTS);
	put(device, port, UART_TX, 'h');
	put(device, port, UART_TX, 'i');
	CHECK(get(device, port, UART_LSR) == UART_LSR_DR);
	CHECK(get(device, port, UART_RX) == 'h');
	CHECK(get(device, port, UART_RX) == 'i');
	CHECK(get(device, port, UART_LSR) == (UART_LSR_TEMT | UART_LSR_THRE));
	CHECK(get(device, port, UART_RX) == 0);
}

static void fifo(int device)
{
	put(device, 0, UART_FCR, UART_FCR_ENABLE_FIFO | UART_FCR_CLEAR_RCVR);
	put(device, 0, UART_IER, UART_IER_RLSI);
	for (uint8_t i = 0; i < 16; i++)
		put(device, 0, UART_TX, i);
	CHECK(!(get(device, 0, UART_LSR) & UART_LSR_OE));
	put(device, 0, UART_TX, 16);
	CHECK(get(device, 0, UART_LSR) & UART_LSR_OE);
	CHECK((get(device, 0, UART_IIR) & 0x0f) == UART_IIR_RLSI);
	for (uint8_t i = 0; i < 16; i++)
		CHECK(get(device, 0, UART_RX) == i);
	put(device, 0, UART_TX, 1);
	CHECK(!(get(device, 0, UART_LSR) & UART_LSR_OE));
	put(device, 0, UART_FCR, UART_FCR_CLEAR_XMIT); /* without a FIFO: one character */
	CHECK(!(get(device, 0, UART_LSR) & UART_LSR_DR));
	put(device, 0, UART_TX, 1);
	put(device, 0, UART_MCR, UART_MCR_AFE);
	CHECK(!(get(device, 0, UART_MSR) & UART_MSR_CTS));
	put(device, 0, UART_TX, 2);
	CHECK(get(device, 0, UART_LSR) & UART_LSR_OE);
	put(device, 0, UART_FCR, UART_FCR_ENABLE_FIFO | UART_FCR_CLEAR_XMIT);
	put(device, 0, UART_TX, 3);
	CHECK(get(device, 0, UART_RX) == 3);
	put(device, 0, UART_MCR, 0);
	put(device, 0, UART_IER, 0);
}

static void line_control(int device)
{
	put(device, 0, UART_SCR, 0x5a);
	CHECK(get(device, 0, UART_SCR) == 0x5a);
	put(device, 0, UART_LCR, UART_LCR_DLAB | UART_LCR_WLEN8);
	put(device, 0, UART_DLL, 0x0c);
	put(device, 0, UART_DLM, 0x01);
	CHECK(get(device, 0, UART_DLL) == 0x0c && get(device, 0, UART_DLM) == 0x01);
	put(device, 0, UART_LCR, UART_LCR_DLAB | UART_LCR_WLEN8); /* clears it, as the sample does */
	CHECK(!get(device, 0, UART_DLL) && !get(device, 0, UART_DLM));
	put(device, 0, UART_LCR, UART_LCR_WLEN8);
	CHECK(get(device, 0, UART_LCR) == UART_LCR_WLEN8);
	CHECK(get(device, 0, UART_IER) == 0);
	put(device, 0, UART_IER, 0xff);
	CHECK(get(device, 0, UART_IER) == 0x0f);
	put(device, 0, UART_IER, 0);
}

/* ---- interrupts */

static int set_irqs(int device, uint32_t index, uint32_t flags, uint32_t start, uint32_t count, int value)
{
	struct {
		struct vfio_irq_set set;
		int32_t data;
	} arg = { .set = { .flags = flags, .index = index, .start = start, .count = count }, .data = value };

	arg.set.argsz = sizeof(arg);
	return ioctl(device, VFIO_DEVICE_SET_IRQS, &arg);
}

#define TRIGGER VFIO_IRQ_SET_ACTION_TRIGGER
#define MASK    VFIO_IRQ_SET_ACTION_MASK
#define UNMASK  VFIO_IRQ_SET_ACTION_UNMASK
#define NONE    VFIO_IRQ_SET_DATA_NONE
#define BOOL    VFIO_IRQ_SET_DATA_BOOL
#define EVENTFD VFIO_IRQ_SET_DATA_EVENTFD
#define INTX    VFIO_PCI_INTX_IRQ_INDEX
#define MSI     VFIO_PCI_MSI_IRQ_INDEX

/* How often has it been signalled? */
static uint64_t signals(int event)
{
	uint64_t n = 0;

	return read(event, &n, sizeof(n)) == sizeof(n) ? n : 0;
}

static void intx(int device)
{
	int event = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);

	FAILS(set_irqs(device, INTX, NONE | TRIGGER, 0, 1, 0), EINVAL); /* not enabled */
	FAILS(set_irqs(device, INTX, NONE | MASK, 0, 1, 0), EINVAL);
	FAILS(set_irqs(device, INTX, EVENTFD | TRIGGER, 0, 1, device), EINVAL);
	FAILS(set_irqs(device, INTX, EVENTFD | TRIGGER, 0, 1, 1000), EBADF);
	CHECK(!set_irqs(device, INTX, EVENTFD | TRIGGER, 0, 1, event));
	FAILS(set_irqs(device, INTX, EVENTFD | MASK, 0, 1, event), ENOTTY);
	FAILS(set_irqs(device, INTX, NONE | TRIGGER, 0, 2, 0), EINVAL);
	FAILS(set_irqs(device, INTX, NONE | MASK, 0, 2, 0), EINVAL);
	FAILS(set_irqs(device, MSI, EVENTFD | TRIGGER, 0, 1, event), EINVAL); /* one kind at a time */
	CHECK(!set_irqs(device, INTX, NONE | TRIGGER, 0, 1, 0) && signals(event) == 1);
	CHECK(!set_irqs(device, INTX, NONE | TRIGGER, 0, 1, 0) && signals(event) == 0); /* masked by that */
	CHECK(!set_irqs(device, INTX, BOOL | UNMASK, 0, 1, 1));
	put(device, 0, UART_IER, UART_IER_THRI);
	CHECK(signals(event) == 1 && (get(device, 0, UART_IIR) & 0x0f) == UART_IIR_THRI);
	put(device, 0, UART_IER, UART_IER_THRI);
	CHECK(signals(event) == 0);
	CHECK(!set_irqs(device, INTX, NONE | UNMASK, 0, 1, 0));
	put(device, 0, UART_IER, UART_IER_RDI);
	put(device, 0, UART_TX, 'x');
	CHECK(signals(event) == 1 && (get(device, 0, UART_IIR) & 0x0f) == UART_IIR_RDI);
	CHECK(get(device, 0, UART_RX) == 'x');
	CHECK(!set_irqs(device, INTX, NONE | TRIGGER, 3, 0, 0)); /* off */
	FAILS(set_irqs(device, INTX, NONE | TRIGGER, 0, 1, 0), EINVAL);
	close(event);
}

static void msi(int device)
{
	int event = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);

	CHECK(!set_irqs(device, MSI, EVENTFD | TRIGGER, 0, 1, event));
	FAILS(set_irqs(device, MSI, NONE | MASK, 0, 1, 0), ENOTTY);
	FAILS(set_irqs(device, MSI, NONE | MASK, 0, 2, 0), ENOTTY);
	CHECK(!set_irqs(device, MSI, NONE | TRIGGER, 0, 1, 0) && signals(event) == 1);
	CHECK(!set_irqs(device, MSI, BOOL | TRIGGER, 0, 1, 0) && signals(event) == 0);
	put(device, 0, UART_IER, UART_IER_MSI);
	put(device, 0, UART_MCR, UART_MCR_RTS);
	put(device, 0, UART_MCR, UART_MCR_OUT2);
	CHECK(signals(event) == 2); /* not masked by the first */
	put(device, 0, UART_IER, 0);
	CHECK(!set_irqs(device, MSI, EVENTFD | TRIGGER, 0, 1, -1)); /* off */
	FAILS(set_irqs(device, MSI, NONE | TRIGGER, 0, 1, 0), EINVAL);
	FAILS(set_irqs(device, VFIO_PCI_MSIX_IRQ_INDEX, EVENTFD | TRIGGER, 0, 1, event), ENOTTY);
	FAILS(set_irqs(device, VFIO_PCI_REQ_IRQ_INDEX, EVENTFD | TRIGGER, 0, 1, event), ENOTTY);
	FAILS(set_irqs(device, 9, EVENTFD | TRIGGER, 0, 1, event), EINVAL);
	close(event);
}

static void by_group(void)
{
	struct client c = open_mdev(ONE), d;

	FAILS(open(group_of(ONE), O_RDWR), EBUSY);
	information(c.device, 1);
	config_space(c.device, 1);
	echo(c.device, 0);
	fifo(c.device);
	line_control(c.device);
	intx(c.device);
	msi(c.device);
	d = open_mdev(TWO);
	information(d.device, 2);
	config_space(d.device, 2);
	echo(d.device, 0);
	echo(d.device, 1);
	put(d.device, 1, UART_SCR, 7);
	CHECK(get(d.device, 0, UART_SCR) == 0 && get(c.device, 0, UART_SCR) == 0x5a);
	close_mdev(&d);
	close_mdev(&c);
	c = open_mdev(ONE); /* the card stays as it was */
	CHECK(get(c.device, 0, UART_SCR) == 0x5a);
	close_mdev(&c);
}

/* ---- the cdev */

static void cdev_path(const char *uuid, char *path, size_t len)
{
	char name[128];
	struct dirent *entry;
	DIR *dir;

	snprintf(name, sizeof(name), DEVICES "%s/vfio-dev", uuid);
	dir = opendir(name);
	CHECK(dir);
	*path = 0;
	while ((entry = readdir(dir)))
		if (!strncmp(entry->d_name, "vfio", 4))
			snprintf(path, len, "/dev/vfio/devices/%.40s", entry->d_name);
	closedir(dir);
	CHECK(*path);
}

static void by_cdev(void)
{
	struct vfio_device_bind_iommufd bind = { .argsz = sizeof(bind) };
	struct vfio_device_attach_iommufd_pt attach = { .argsz = sizeof(attach) };
	struct vfio_device_detach_iommufd_pt detach = { .argsz = sizeof(detach) };
	struct iommu_ioas_alloc alloc = { .size = sizeof(alloc) };
	int iommufd = open("/dev/iommu", O_RDWR | O_CLOEXEC), device;
	char path[64];

	cdev_path(TWO, path, sizeof(path));
	device = open(path, O_RDWR | O_CLOEXEC);
	CHECK(iommufd >= 0 && device >= 0);
	FAILS(pread(device, path, 1, 0), EINVAL);
	bind.iommufd = iommufd;
	CHECK(!ioctl(device, VFIO_DEVICE_BIND_IOMMUFD, &bind));
	FAILS(open(group_of(TWO), O_RDWR), EBUSY);
	information(device, 2);
	CHECK(!ioctl(iommufd, IOMMU_IOAS_ALLOC, &alloc));
	attach.pt_id = alloc.out_ioas_id;
	CHECK(!ioctl(device, VFIO_DEVICE_ATTACH_IOMMUFD_PT, &attach));
	echo(device, 1);
	CHECK(!ioctl(device, VFIO_DEVICE_DETACH_IOMMUFD_PT, &detach));
	CHECK(!close(device) && !close(iommufd));
}

/* ---- removing */

static void *remove_one(void *arg)
{
	return (void *)(intptr_t)remove_mdev(arg);
}

/* A removal waits for who has it open; meanwhile nobody opens it anew. */
static void remove_in_use(void)
{
	struct client c = open_mdev(ONE);
	char node[64], cdev[64];
	pthread_t thread;
	void *result;

	snprintf(node, sizeof(node), "%s", group_of(ONE));
	cdev_path(ONE, cdev, sizeof(cdev));
	CHECK(!pthread_create(&thread, NULL, remove_one, (void *)(uintptr_t)ONE));
	while (exists(DEVICES ONE "/remove"))
		usleep(1000);
	usleep(20000);
	CHECK(exists(DEVICES ONE) && exists(node));
	CHECK(!exists(cdev) && !exists(TYPES "mtty-1/devices/" ONE));
	FAILS(open(cdev, O_RDWR), ENOENT);
	FAILS(open(DEVICES ONE "/remove", O_WRONLY), ENOENT);
	CHECK(create("mtty-1", ONE) == -EEXIST);
	FAILS(ioctl(c.group, VFIO_GROUP_GET_DEVICE_FD, ONE), ENODEV);
	CHECK(pthread_tryjoin_np(thread, &result) == EBUSY);
	echo(c.device, 0); /* it works to the end */
	CHECK(!close(c.device));
	CHECK(!close(c.group) && !close(c.container));
	CHECK(!pthread_join(thread, &result) && !result);
	CHECK(!exists(DEVICES ONE) && !exists(node));
	CHECK(file_says(TYPES "mtty-1/available_instances", "2\n"));
}

/* The group's file keeps nothing: it is left without a device, and what is made then is another group. */
static void remove_below_group(void)
{
	struct vfio_group_status status = { .argsz = sizeof(status) };
	struct client c, d;

	CHECK(!create("mtty-1", ONE));
	c = open_mdev(ONE);
	CHECK(!close(c.device));
	CHECK(!remove_mdev(ONE) && !exists(DEVICES ONE));
	FAILS(ioctl(c.group, VFIO_GROUP_GET_STATUS, &status), ENODEV);
	FAILS(ioctl(c.group, VFIO_GROUP_GET_DEVICE_FD, ONE), ENODEV);
	CHECK(!create("mtty-1", ONE));
	d = open_mdev(ONE);
	echo(d.device, 0);
	close_mdev(&d);
	CHECK(!close(c.group) && !close(c.container));
	CHECK(!remove_mdev(ONE));
}

/* The same when another process has it: this program once more, with the instance's name. */
static void remove_of_another(const char *self)
{
	int to_child[2], from_child[2];
	pthread_t thread;
	char byte = 0;
	void *result;
	pid_t child;
	int status;

	CHECK(!pipe(to_child) && !pipe(from_child));
	child = fork();
	CHECK(child >= 0);
	if (!child) {
		dup2(to_child[0], 0);
		dup2(from_child[1], 1);
		close(to_child[1]);
		close(from_child[0]);
		execl(self, self, TWO, (char *)NULL);
		_exit(1);
	}
	CHECK(read(from_child[0], &byte, 1) == 1);
	FAILS(open(group_of(TWO), O_RDWR), EBUSY);
	CHECK(!pthread_create(&thread, NULL, remove_one, (void *)(uintptr_t)TWO));
	while (exists(DEVICES TWO "/remove"))
		usleep(1000);
	usleep(20000);
	CHECK(pthread_tryjoin_np(thread, &result) == EBUSY);
	CHECK(exists(DEVICES TWO));
	CHECK(write(to_child[1], &byte, 1) == 1);
	CHECK(!pthread_join(thread, &result) && !result);
	CHECK(!exists(DEVICES TWO));
	CHECK(waitpid(child, &status, 0) == child && !status);
	CHECK(file_says(TYPES "mtty-2/available_instances", "2\n"));
	close(to_child[0]);
	close(to_child[1]);
	close(from_child[0]);
	close(from_child[1]);
}

static int hold(const char *uuid)
{
	struct client c = open_mdev(uuid);
	char byte = 1;

	echo(c.device, 0);
	CHECK(write(1, &byte, 1) == 1);
	CHECK(read(0, &byte, 1) == 1);
	close_mdev(&c);
	return 0;
}

/* Removes ONE; its child is forked meanwhile, and goes on when it is told to. */
static void remover(int sock)
{
	pthread_t thread;
	char byte;

	CHECK(read(sock, &byte, 1) == 1);
	CHECK(!pthread_create(&thread, NULL, remove_one, (void *)(uintptr_t)ONE));
	while (exists(DEVICES ONE "/remove"))
		usleep(1000);
	usleep(20000);
	if (fork()) {
		CHECK(write(sock, &byte, 1) == 1);
		pause();
	}
	CHECK(read(sock, &byte, 1) == 1);
	CHECK(!create("mtty-1", TWO) && !remove_mdev(TWO) && !exists(DEVICES ONE));
	_exit(0);
}

/* A removal whose process is killed while it waits is brought to its end by another: by its own child. */
static void remover_is_killed(void)
{
	struct client c;
	int status, socks[2];
	pid_t child;
	char byte = 0;

	CHECK(!create("mtty-2", ONE));
	CHECK(!socketpair(AF_UNIX, SOCK_STREAM, 0, socks) && !prctl(PR_SET_CHILD_SUBREAPER, 1));
	child = fork(); /* it has nothing open */
	CHECK(child >= 0);
	if (!child)
		remover(socks[1]);
	c = open_mdev(ONE);
	CHECK(write(socks[0], &byte, 1) == 1);
	CHECK(read(socks[0], &byte, 1) == 1);
	CHECK(!kill(child, SIGKILL) && waitpid(child, &status, 0) == child);
	CHECK(create("mtty-2", ONE) == -EEXIST);
	echo(c.device, 1);
	close_mdev(&c);
	CHECK(write(socks[0], &byte, 1) == 1);
	CHECK(waitpid(-1, &status, 0) > 0 && !status);
	close(socks[0]);
	close(socks[1]);
	CHECK(!create("mtty-2", ONE));
	CHECK(!remove_mdev(ONE) && !exists(DEVICES ONE));
}

/* A child that has nothing open makes one; its parent finds it. */
static void made_by_child(void)
{
	struct client c;
	int status;
	pid_t child = fork();

	CHECK(child >= 0);
	if (!child)
		_exit(create("mtty-2", ONE) != 0);
	CHECK(waitpid(child, &status, 0) == child && !status);
	c = open_mdev(ONE);
	information(c.device, 2);
	close_mdev(&c);
	CHECK(!remove_mdev(ONE));
	CHECK(!exists(DEVICES ONE));
}

int main(int argc, char **argv)
{
	if (argc > 1)
		return hold(argv[1]);
	types_and_attributes();
	creating();
	instance_in_sysfs();
	by_group();
	by_cdev();
	remove_in_use();
	remove_below_group();
	remove_of_another(argv[0]);
	made_by_child();
	remover_is_killed();
	return 0;
}
