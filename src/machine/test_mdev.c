/* SPDX-License-Identifier: BSD-2-Clause */
/* Mediated devices of a machine without a session: what a description may say, making and removing. */
#include "devices/models.h"
#include "file/fdtable.h"
#include "machine/impl.h"
#include "machine/mdev.h"
#include "machine/plugin.h"
#include "mdev/impl.h"
#include "uapi/vfio.h"

#include <fcntl.h>
#include <ftw.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <cmocka.h>

#define ONE    "83b8f4f2-509f-382f-3c1e-e6bfe0fa1001"
#define TWO    "83b8f4f2-509f-382f-3c1e-e6bfe0fa1002"
#define CREATE "/sys/devices/virtual/mtty/mtty/mdev_supported_types/mtty-2/create"

static struct uvfio_machine *machine_of(const char *description)
{
	char err[512] = "";
	struct uvfio_machine *machine = machine_new(description, NULL, err, sizeof(err));

	assert_string_equal(err, "");
	assert_non_null(machine);
	return machine;
}

static void expect_wrong(const char *description, const char *why)
{
	char err[512] = "";

	assert_null(machine_new(description, NULL, err, sizeof(err)));
	assert_string_equal(err, why);
}

static int create(struct uvfio_machine *machine, const char *type, const char *uuid)
{
	return machine_mdev_create(machine, type, uuid, strlen(uuid));
}

static char *list(struct uvfio_machine *machine, bool types)
{
	char *text = NULL;
	size_t size;
	FILE *out = open_memstream(&text, &size);

	assert_non_null(out);
	machine_mdev_list(machine, types, out);
	fclose(out);
	return text;
}

static void expect_description(const char *description, const char *complete)
{
	struct uvfio_machine *machine = machine_of(description);
	char *text = machine_describe(machine);

	assert_string_equal(text, complete);
	free(text);
	machine_free(machine);
}

static void test_descriptions(void **state)
{
	struct uvfio_machine *machine = machine_of("device mtty,type=none\n");
	char err[512] = "";

	(void)state;
	assert_int_equal(machine_add_device(machine, "device mtty", NULL, err, sizeof(err)), -EINVAL);
	assert_string_equal(
		err, "mtty is a parent of mediated devices: parents are there from the start, uvfio run "
		     "--device mtty; uvfio mdev create makes instances");
	machine_free(machine);
	expect_description("device mtty,ports=3,type=none\n", "device mtty,ports=3,type=none\n");
	expect_description("device mtty,ports=5,type=mtty-2\ndevice mtty\ndevice mtty,uuid=" ONE "\n",
			   "device mtty,ports=5,type=none\n"
			   "device mtty,type=mtty-2,uuid=75766669-6f00-4000-8000-000000000001\n"
			   "device mtty,type=mtty-1,uuid=75766669-6f00-4000-8000-000000000002\n"
			   "device mtty,type=mtty-1,uuid=" ONE "\n");
	expect_wrong("device mtty,ports=0\n", "mtty: ports=0 is not possible: use a number from 1 to 1024");
	expect_wrong(
		"device mtty\ndevice mtty,ports=2\n",
		"mtty: ports=2: options of the parent go with the first --device mtty: there is one parent");
	expect_wrong("device mtty,type=mtty-3\n",
		     "mtty: type=mtty-3 is not possible: use mtty-1, mtty-2, or none");
	expect_wrong("device mtty,type=1\n", "mtty: type=1 is not possible: use mtty-1, mtty-2, or none");
	expect_wrong("device mtty,uuid=" ONE "0\n", "mtty: uuid=" ONE "0 is not possible: use a UUID like "
						    "75766669-6f00-4000-8000-000000000001");
	expect_wrong("device mtty,uuid=" ONE "\ndevice mtty,uuid=83B8F4F2-509F-382F-3C1E-E6BFE0FA1001\n",
		     "mtty: two instances with uuid=" ONE ": give one another");
	expect_wrong("device mtty,type=none,uuid=" ONE "\n",
		     "mtty: uuid=" ONE " with type=none: there is no instance to have it");
	expect_wrong("device mtty,ports=1,type=mtty-2\n",
		     "mtty: an instance of mtty-2 cannot be made: there can be no more of this type");
	expect_wrong("device mtty,typ=mtty-2\n", "mtty: there is no option typ: did you mean type?");
	expect_wrong("device mtty,addr=0000:00:01.0\n",
		     "mtty: there is no option addr: known are ports, type, uuid");
}

/* The instances of a description can be opened and removed like others. */
static void test_instances_at_the_start(void **state)
{
	struct uvfio_machine *machine = machine_of("device mtty,type=mtty-2,uuid=" TWO "\ndevice mtty\n");
	char *text = list(machine, false);
	struct file *file;

	(void)state;
	assert_string_equal(text,
			    TWO " mtty-2       256    vfio256   \n"
				"75766669-6f00-4000-8000-000000000001 mtty-1       257    vfio257   \n");
	free(text);
	assert_int_equal(machine_open(machine, "/dev/vfio/devices/vfio257", O_RDWR, &file), 0);
	file_put(file);
	assert_int_equal(machine_open(machine, "/dev/vfio/devices/vfio258", O_RDWR, &file), -ENOENT);
	assert_int_equal(create(machine, "mtty-1", TWO), -EEXIST);
	assert_int_equal(machine_mdev_remove(machine, TWO), 0);
	assert_int_equal(machine_open(machine, "/dev/vfio/devices/vfio256", O_RDWR, &file), -ENOENT);
	machine_free(machine);
}

static void test_uuids(void **state)
{
	char uuid[UUID_STRING_LEN + 1];

	(void)state;
	assert_int_equal(mdev_parse_uuid("83B8F4F2-509F-382F-3C1E-E6BFE0FA1001", 36, uuid), 0);
	assert_string_equal(uuid, ONE);
	assert_int_equal(mdev_parse_uuid(ONE "\n", 37, uuid), 0);
	assert_int_equal(mdev_parse_uuid(ONE "\n\n", 38, uuid), -EINVAL);
	assert_int_equal(mdev_parse_uuid(ONE, 35, uuid), -EINVAL);
	assert_int_equal(mdev_parse_uuid("83b8f4f2-509f-382f-3c1e+e6bfe0fa1001", 36, uuid), -EINVAL);
	assert_int_equal(mdev_parse_uuid("83b8f4f2-509f-382f-3c1e-e6bfe0fa100g", 36, uuid), -EINVAL);
}

static void test_instances(void **state)
{
	struct uvfio_machine *machine = machine_of("device mtty,ports=3,type=none\n");
	struct file *file;
	char *text;

	(void)state;
	assert_int_equal(create(machine, "mtty-3", ONE), -ENOENT);
	assert_int_equal(create(machine, "tty-1", ONE), -ENOENT);
	assert_int_equal(create(machine, "mtty-2", ONE), 0);
	assert_int_equal(create(machine, "mtty-1", ONE), -EEXIST);
	assert_int_equal(create(machine, "mtty-2", TWO), -ENOSPC);
	assert_int_equal(create(machine, "mtty-1", TWO), 0); /* the last port */
	assert_int_equal(machine_mdev_remove(machine, TWO), 0);
	text = list(machine, false);
	assert_string_equal(text, ONE " mtty-2       256    vfio256   \n");
	free(text);
	text = list(machine, true);
	assert_non_null(strstr(text, "mtty-1       mtty       1          vfio-pci   Single port serial\n"));
	assert_non_null(strstr(text, "mtty-2       mtty       0          vfio-pci   Dual port serial\n"));
	free(text);
	assert_int_equal(machine_open(machine, "/dev/vfio/256", O_RDWR, &file), 0);
	file_put(file);
	assert_int_equal(machine_mdev_remove(machine, TWO), -ENODEV);
	assert_int_equal(machine_mdev_remove(machine, ONE), 0);
	assert_int_equal(machine_mdev_remove(machine, ONE), -ENODEV);
	assert_int_equal(machine_open(machine, "/dev/vfio/256", O_RDWR, &file), -ENOENT);
	assert_int_equal(create(machine, "mtty-1", TWO), 0);
	machine_free(machine); /* with the instance */
}

/* What an instance has taken from its parent is given back when VFIO refuses it. */
static void test_not_registered(void **state)
{
	struct uvfio_machine *machine = machine_of("device mtty,ports=3,type=mtty-1,uuid=" ONE "\n");
	struct mdev_config config = { .uuid = TWO, .group_id = 257, .vfio_index = 256 };
	const struct uvfio_mdev_type *type;
	struct mdev_parent *parent;
	struct mdev_device *dev;

	(void)state;
	type = machine_mdev_type(machine, "mtty-1", &parent);
	assert_int_equal(mdev_available(parent, type), 2);
	assert_int_equal(mdev_device_create(machine->vfio, parent, type, &config, &dev), -EBUSY);
	assert_int_equal(mdev_available(parent, type), 2);
	machine_free(machine);
}

static int remove_entry(const char *path, const struct stat *st, int flag, struct FTW *ftw)
{
	(void)st;
	(void)flag;
	(void)ftw;
	return remove(path);
}

/* What cannot be written down in the session has not been made, nor removed. */
static void test_not_written(void **state)
{
	char dir[] = "/tmp/uvfio-mdev-XXXXXX", fresh[64], err[512] = "", *text;
	struct uvfio_machine *machine;

	(void)state;
	assert_non_null(mkdtemp(dir));
	machine = machine_new("device mtty,ports=2,type=none\n", dir, err, sizeof(err));
	assert_non_null(machine);
	snprintf(fresh, sizeof(fresh), "%s/mdevs.new", dir);
	assert_int_equal(create(machine, "mtty-1", ONE), 0);
	assert_int_equal(mkdir(fresh, 0700), 0);
	assert_int_equal(create(machine, "mtty-1", TWO), -EISDIR);
	assert_false(machine_mdev_has_group(machine, 257));
	assert_int_equal(machine_mdev_remove(machine, ONE), -EISDIR);
	text = list(machine, false);
	assert_string_equal(text, ONE " mtty-1       256    vfio256   \n");
	free(text);
	assert_int_equal(rmdir(fresh), 0);
	assert_int_equal(machine_mdev_remove(machine, ONE), 0);
	assert_int_equal(create(machine, "mtty-2", TWO), 0); /* all ports are free */
	machine_free(machine);
	assert_int_equal(nftw(dir, remove_entry, 16, FTW_DEPTH | FTW_PHYS), 0);
}

static void test_files(void **state)
{
	struct uvfio_machine *machine = machine_of("device mtty,type=none\n");
	static const char *const no_numbers[] = { "-",  "-1",    " 1", "+-1",
						  "1 ", "1\n\n", "0x", "18446744073709551616" };
	const char *text = ONE "\n";
	struct file *file;
	mode_t mode;
	dev_t rdev;

	(void)state;
	assert_int_equal(machine_open(machine, "/sys/devices/virtual/mtty/mtty/power", O_WRONLY, &file),
			 -ENOENT);
	assert_int_equal(machine_open(machine, "/sys/bus/mdev", O_WRONLY, &file), -ENOENT);
	assert_int_equal(machine_open(machine, CREATE, O_RDWR, &file), -EACCES);
	assert_int_equal(machine_node_rdev(machine, CREATE, &rdev, &mode), 0);
	assert_int_equal(mode, S_IFREG | 0200);
	assert_int_equal(machine_open(machine, CREATE, O_WRONLY, &file), 0);
	assert_int_equal(file_write(file, &self_caller, (uintptr_t)text, 37, 0), 37);
	assert_int_equal(file_write(file, &self_caller, (uintptr_t)text, 37, 37), -EEXIST);
	assert_int_equal(file_write(file, &self_caller, (uintptr_t)text, 200, 0), -EINVAL);
	file_put(file);
	assert_int_equal(
		machine_open(machine, "/sys/devices/virtual/mtty/mtty/" ONE "/remove", O_WRONLY, &file), 0);
	assert_int_equal(file_write(file, &self_caller, (uintptr_t) "0", 1, 0), 1);
	assert_int_equal(create(machine, "mtty-2", ONE), -EEXIST);
	for (unsigned int i = 0; i < ARRAY_SIZE(no_numbers); i++)
		assert_int_equal(
			file_write(file, &self_caller, (uintptr_t)no_numbers[i], strlen(no_numbers[i]), 0),
			-EINVAL);
	assert_int_equal(create(machine, "mtty-2", ONE), -EEXIST);
	assert_int_equal(file_write(file, &self_caller, (uintptr_t) "+0x1\n", 5, 0), 5);
	assert_int_equal(file_write(file, &self_caller, (uintptr_t) "1\n", 2, 0), -ENODEV);
	file_put(file);
	assert_int_equal(create(machine, "mtty-2", ONE), 0);
	machine_free(machine);
}

/* ---- interrupts */

static struct mdev_device *asked;

/* A caller that takes its time with its descriptors: meanwhile the driver raises an interrupt. */
static int dup_and_raise(const struct caller *caller, int fd)
{
	mdev_irq(&asked->pub, 0);
	return self_caller.ops->dup_fd(caller, fd);
}

static long set_msi(struct file *file, const struct caller *caller, int fd)
{
	struct {
		struct vfio_irq_set head;
		int32_t fd;
	} set = { { .argsz = sizeof(set),
		    .flags = VFIO_IRQ_SET_DATA_EVENTFD | VFIO_IRQ_SET_ACTION_TRIGGER,
		    .index = VFIO_PCI_MSI_IRQ_INDEX,
		    .count = 1 },
		  fd };

	return file_ioctl(file, caller, VFIO_DEVICE_SET_IRQS, (uintptr_t)&set);
}

static struct file *bind(struct uvfio_machine *machine, const char *path)
{
	struct vfio_device_bind_iommufd arg = { .argsz = sizeof(arg) };
	struct file *device, *iommufd;

	assert_int_equal(machine_open(machine, path, O_RDWR, &device), 0);
	assert_int_equal(machine_open(machine, "/dev/iommu", O_RDWR, &iommufd), 0);
	arg.iommufd = fdtable_install(iommufd, O_CLOEXEC);
	assert_true(arg.iommufd >= 0);
	assert_int_equal(file_ioctl(device, &self_caller, VFIO_DEVICE_BIND_IOMMUFD, (uintptr_t)&arg), 0);
	fdtable_close(arg.iommufd);
	close(arg.iommufd);
	return device;
}

static void expect_count(int event, uint64_t want)
{
	uint64_t count = 0;

	assert_int_equal(read(event, &count, sizeof(count)), want ? (ssize_t)sizeof(count) : -1);
	assert_int_equal(count, want);
}

/* What is wrong with a call is said before what is wrong with its place, and the count first. */
static void test_pin_arguments(void **state)
{
	struct uvfio_machine *machine = machine_of("device mtty,type=mtty-1,uuid=" ONE "\n");
	struct file *file = bind(machine, "/dev/vfio/devices/vfio256");
	struct uvfio_mdev *mdev = &to_mdev(vfio_file_device(file))->pub;
	void *page;

	(void)state;
	assert_int_equal(mdev_pin_pages(mdev, 0, UVFIO_MDEV_PIN_MAX + 1, 4, &page), -E2BIG);
	assert_int_equal(mdev_pin_pages(mdev, 0, 1, 4, &page), -EPERM);
	assert_int_equal(mdev_pin_pages(mdev, 0, 1, UVFIO_MDEV_PIN_READ, &page), -EINVAL); /* no dma_unmap */
	file_put(file);
	machine_free(machine);
}

static void *remove_one(void *arg)
{
	return (void *)(intptr_t)machine_mdev_remove(arg, ONE);
}

static bool is_leaving(struct uvfio_machine *machine)
{
	char *text = list(machine, false);
	bool is = strstr(text, " leaving");

	free(text);
	return is;
}

/* Removed while it is open: its cdev has gone, it has not, and nobody removes it a second time. */
static void test_leaving(void **state)
{
	struct uvfio_machine *machine = machine_of("device mtty,type=mtty-1,uuid=" ONE "\n");
	struct file *file = bind(machine, "/dev/vfio/devices/vfio256"), *other;
	pthread_t thread;
	void *rc;

	(void)state;
	pthread_create(&thread, NULL, remove_one, machine);
	while (!is_leaving(machine))
		usleep(100);
	assert_int_equal(machine_open(machine, "/dev/vfio/devices/vfio256", O_RDWR, &other), -ENOENT);
	assert_int_equal(machine_mdev_remove(machine, ONE), -EALREADY);
	assert_int_equal(create(machine, "mtty-1", ONE), -EEXIST);
	file_put(file);
	pthread_join(thread, &rc);
	assert_null(rc);
	assert_int_equal(create(machine, "mtty-1", ONE), 0);
	machine_free(machine);
}

static void test_interrupts(void **state)
{
	struct uvfio_machine *machine = machine_of("device mtty,type=mtty-1,uuid=" ONE "\n");
	struct file *file = bind(machine, "/dev/vfio/devices/vfio256");
	struct caller_ops ops = *self_caller.ops;
	struct caller slow = self_caller;
	int first = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK), second = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);

	(void)state;
	asked = to_mdev(vfio_file_device(file));
	ops.dup_fd = dup_and_raise;
	slow.ops = &ops;
	alarm(60); /* what waits for itself */
	assert_int_equal(set_msi(file, &slow, first), 0);
	expect_count(first, 0);
	assert_int_equal(set_msi(file, &slow, second), 0);
	expect_count(first, 1); /* until the other has its place */
	expect_count(second, 0);
	assert_int_equal(set_msi(file, &slow, 0), -EINVAL);
	expect_count(second, 1);
	mdev_irq(&asked->pub, 0);
	expect_count(second, 0);
	assert_int_equal(mdev_irq_mode(&asked->pub), -1);
	alarm(0);
	close(first);
	close(second);
	file_put(file);
	machine_free(machine);
}

static void expect_driver(const struct uvfio_mdev_driver *driver, const char *why)
{
	char err[512] = "";

	assert_int_equal(mdev_driver_check(driver, err, sizeof(err)), -EINVAL);
	assert_string_equal(err, why);
}

static int access_nothing(struct uvfio_mdev *mdev, unsigned int region, uint64_t offset, void *buf,
			  unsigned int size)
{
	(void)mdev;
	(void)region;
	(void)offset;
	(void)buf;
	(void)size;
	return 0;
}

static void test_drivers(void **state)
{
	static const struct uvfio_mdev_type types[] = { { .name = "1" }, { .name = NULL } };
	struct uvfio_mdev_driver driver = { .name = NULL };

	(void)state;
	expect_driver(&driver, "its driver has no name: give one line");
	driver.name = "a/b";
	driver.summary = "one";
	driver.device_api = "vfio-pci";
	expect_driver(&driver, "its driver's name is a/b: it becomes a directory's, give one word of "
			       "letters, digits, - and _");
	driver.name = "ab";
	expect_driver(&driver, "its driver has no callback read: every driver has read and write");
	driver.ops.read = access_nothing;
	expect_driver(&driver, "its driver has no callback write: every driver has read and write");
	driver.ops.write = (int (*)(struct uvfio_mdev *, unsigned int, uint64_t, const void *, unsigned int))(
		void (*)(void))access_nothing;
	expect_driver(&driver, "its driver has neither get_available nor max_instances");
	driver.max_instances = 1;
	expect_driver(&driver, "its driver has no types: give one");
	driver.types = types;
	assert_int_equal(mdev_driver_check(&driver, NULL, 0), 0);
	driver.name = "vfio";
	expect_driver(&driver, "its driver's name is vfio, and /sys/class/vfio is something else: rename it");
	driver.name = "ab";
	driver.device_api = "vfio-platform";
	expect_driver(&driver, "its driver's device_api is vfio-platform: there is vfio-pci");
}

static void expect_type(struct uvfio_mdev_type type, const char *why)
{
	struct uvfio_mdev_type types[] = { { .name = "1" }, type, { .name = NULL } };
	struct uvfio_mdev_driver driver = *builtin_mdev_drivers[0];

	driver.types = types;
	expect_driver(&driver, why);
}

static void test_types(void **state)
{
	struct uvfio_mdev_driver driver = *builtin_mdev_drivers[0];
	struct uvfio_option options[] = { { .key = "uuid", .help = "help" }, { .key = NULL } };

	(void)state;
	for (const struct uvfio_mdev_driver *const *d = builtin_mdev_drivers; *d; d++)
		assert_int_equal(mdev_driver_check(*d, NULL, 0), 0);
	expect_type(
		(struct uvfio_mdev_type){ .name = "a b" },
		"type \"a b\": its name becomes a directory's, give one word of letters, digits, - and _");
	expect_type((struct uvfio_mdev_type){ .name = "1" }, "type 1: there are two of them: rename one");
	expect_type((struct uvfio_mdev_type){ .name = "2", .pretty_name = "a\nb" },
		    "type 2 has a line break in its pretty_name: give one line");
	expect_type((struct uvfio_mdev_type){ .name = "2", .description = "" },
		    "type 2 has an empty description: leave it NULL");
	expect_type((struct uvfio_mdev_type){ .name = "2", .regions = { [3] = { UINT64_MAX } } },
		    "type 2: region 3 has more than 2^40 bytes");
	expect_type((struct uvfio_mdev_type){ .name = "2", .irqs = { [1] = { .count = 33 } } },
		    "type 2: irqs[1] has 33 vectors: there can be 32");
	expect_type(
		(struct uvfio_mdev_type){ .name = "2", .irqs = { [0] = { .count = 1, .automasked = true } } },
		"type 2: irqs[0] is automasked and not maskable: nobody could unmask it");
	expect_type(
		(struct uvfio_mdev_type){
			.name = "123456789012345678901234567890123456789012345678901234567890" },
		"type 123456789012345678901234567890123456789012345678901234567890: "
		"mtty-123456789012345678901234567890123456789012345678901234567890 is longer than 60 "
		"letters: "
		"shorten one of the names");
	driver.options = options;
	expect_driver(&driver, "option uuid is one that every device has: rename it");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_descriptions),   cmocka_unit_test(test_instances_at_the_start),
		cmocka_unit_test(test_uuids),          cmocka_unit_test(test_instances),
		cmocka_unit_test(test_not_registered), cmocka_unit_test(test_not_written),
		cmocka_unit_test(test_leaving),        cmocka_unit_test(test_pin_arguments),
		cmocka_unit_test(test_files),          cmocka_unit_test(test_drivers),
		cmocka_unit_test(test_types),          cmocka_unit_test(test_interrupts),
	};

	self_caller.mm = mm_self();
	return cmocka_run_group_tests_name("mdev", tests, NULL, NULL);
}
