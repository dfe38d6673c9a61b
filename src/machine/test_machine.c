/* SPDX-License-Identifier: BSD-2-Clause */
/* Descriptions: what they leave open, what is wrong with them; nodes; the trees that are written. */
#include "machine/impl.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>
#include <dirent.h>
#include <fcntl.h>
#include <ftw.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

static struct machine_config parse(const char *description)
{
	struct machine_config config;
	char err[1024] = "";
	int rc = machine_config_parse(description, &config, err, sizeof(err));

	if (rc)
		fail_msg("%s", err);
	return config;
}

static void assert_wrong(const char *description, const char *message)
{
	struct machine_config config;
	char err[1024] = "";

	assert_int_equal(machine_config_parse(description, &config, err, sizeof(err)), -EINVAL);
	assert_string_equal(err, message);
	assert_null(config.devices);
}

static void assert_device(const struct machine_config *config, unsigned int i, const char *bdf,
			  unsigned int group, const char *options)
{
	char text[16];

	assert_true(i < config->nr_devices);
	pci_format_bdf(&config->devices[i].slot, text);
	assert_string_equal(text, bdf);
	assert_int_equal(config->devices[i].group, group);
	assert_string_equal(config->devices[i].options, options);
}

static void test_open_choices(void **state)
{
	struct machine_config c = parse("device nvme\n# a remark\n\ndevice nvme,size=64M\n");

	(void)state;
	assert_int_equal(c.nr_devices, 2);
	assert_device(&c, 0, "0000:00:01.0", 1, "");
	assert_device(&c, 1, "0000:00:02.0", 2, "size=64M");
	machine_config_free(&c);

	/* What others claim, before or after, is skipped. */
	c = parse(
		"device nvme,addr=00:02.0\ndevice nvme\ndevice nvme\ndevice nvme,addr=0000:00:01.0,group=2\n"
		"device nvme,group=9");
	assert_device(&c, 0, "0000:00:02.0", 1, "");
	assert_device(&c, 1, "0000:00:03.0", 3, "");
	assert_device(&c, 2, "0000:00:04.0", 4, "");
	assert_device(&c, 3, "0000:00:01.0", 2, "");
	assert_device(&c, 4, "0000:00:05.0", 9, "");
	machine_config_free(&c);

	c = parse("");
	assert_int_equal(c.nr_devices, 0);
	machine_config_free(&c);
}

static void test_many_devices(void **state)
{
	struct machine_config c;
	char text[64 * 16] = "device nvme,addr=01:00.0\n";

	(void)state;
	for (unsigned int i = 0; i < 40; i++)
		strcat(text, "device nvme\n");
	c = parse(text);
	assert_device(&c, 31, "0000:00:1f.0", 32, "");
	assert_device(&c, 32, "0000:01:01.0", 33, "");
	assert_device(&c, 40, "0000:01:09.0", 41, "");
	machine_config_free(&c);
}

static void test_common_options(void **state)
{
	struct machine_config c =
		parse("device nvme,file=a,,b,,,noiommu=on,size=1M,group=0,addr=0001:7f:1f.7\n");

	(void)state;
	assert_device(&c, 0, "0001:7f:1f.7", 0, "file=a,,b,,,size=1M");
	assert_true(c.devices[0].noiommu);
	machine_config_free(&c);

	c = parse("device nvme,group=3\ndevice nvme,noiommu=off,group=3\n");
	assert_device(&c, 1, "0000:00:02.0", 3, "");
	assert_false(c.devices[1].noiommu);
	machine_config_free(&c);
}

static void test_wrong_devices(void **state)
{
	(void)state;
	assert_wrong("device nvm", "there is no device model nvm: known are nvme, ioat, mtty, and plug-ins "
				   "by their path, ./NAME.so");
	assert_wrong("device ", "there is no device model \"\": known are nvme, ioat, mtty, and plug-ins by "
				"their path, ./NAME.so");
	assert_wrong("device nvme,siz=1M", "nvme: there is no option siz: did you mean size?");
	assert_wrong("device nvme,adr=00:01.0", "nvme: there is no option adr: did you mean addr?");
	assert_wrong("device nvme,addr=1", "nvme: addr=1 is not possible: use a PCI address like "
					   "0000:00:01.0 or 00:01.0, device 00 to 1f, function 0 to 7");
	assert_wrong("device nvme,addr", "nvme: \"addr\" has no value: write it as key=value; a comma within "
					 "a value is written twice");
	assert_wrong("device nvme,group=x",
		     "nvme: group=x is not possible: use a number from 0 to 2147483647");
	assert_wrong("device nvme,noiommu=yes", "nvme: noiommu=yes is not possible: use on or off");
	assert_wrong("device nvme,addr=00:05.0\ndevice nvme,addr=0000:00:05.0",
		     "nvme: two devices at 0000:00:05.0: give one another address with addr=");
	assert_wrong("device nvme,group=4\ndevice nvme,group=4,noiommu=on",
		     "nvme: group=4 has devices with noiommu=on and with noiommu=off: use two groups");
	assert_wrong(
		"divice nvme",
		"a description has lines \"device ...\", \"iommu ...\" and \"vfio ...\", not \"divice\"");
}

static void test_wrong_interfaces(void **state)
{
	(void)state;
	assert_wrong("vfio nodes=foo", "vfio: nodes=foo is not possible: use legacy, iommufd or all");
	assert_wrong("vfio container=foo", "vfio: container=foo is not possible: use type1 or iommufd");
	assert_wrong("vfio nodes=iommufd,container=type1",
		     "vfio: with nodes=iommufd there is no /dev/vfio/vfio: leave container out");
	assert_wrong("device nvme,noiommu=on\nvfio nodes=iommufd",
		     "nvme: noiommu=on: only a group gives such a device, and there are none with "
		     "--iommufd-only (nodes=iommufd): leave one of the two out");
}

static void test_far_option(void **state)
{
	struct machine_config config;
	char err[1024];

	(void)state;
	assert_int_equal(machine_config_parse("device nvme,quux=1", &config, err, sizeof(err)), -EINVAL);
	assert_memory_equal(err, "nvme: there is no option quux: known are ", 41);
	assert_non_null(strstr(err, " size,"));
	assert_non_null(strstr(err, " addr, group, noiommu"));
	/* A message that does not fit is cut, not written past its end. */
	memset(err, 'x', sizeof(err));
	assert_int_equal(machine_config_parse("device nvme,quux=1", &config, err, 50), -EINVAL);
	assert_int_equal(strlen(err), 49);
	assert_int_equal(err[50], 'x');
}

static void test_iommu(void **state)
{
	struct machine_config c = parse("");

	(void)state;
	assert_int_equal(c.iommu.width, 48);
	assert_int_equal(c.iommu.pgsizes, 0x40201000);
	assert_int_equal(c.iommu.dma_entries, 1048576);
	assert_false(c.iommu.memlock_rlimit);
	assert_true(c.iommu.memlock_pages == UINT64_MAX);
	assert_false(c.iommu.coherent);
	assert_true(c.iommu.dirty_tracking);
	assert_int_equal(c.iommu.nr_reserved, 1);
	assert_int_equal(c.iommu.reserved[0].start, 0xfee00000);
	assert_int_equal(c.iommu.reserved[0].last, 0xfeefffff);
	assert_string_equal(c.iommu.reserved_type[0], "msi");
	machine_config_free(&c);

	c = parse("iommu memlock=64M,pgsizes=4K\niommu dma-entries=65535,coherent=on,width=40\n"
		  "iommu dirty-tracking=off\n");
	assert_int_equal(c.iommu.width, 40);
	assert_int_equal(c.iommu.pgsizes, 4096);
	assert_int_equal(c.iommu.dma_entries, 65535);
	assert_int_equal(c.iommu.memlock_pages, 64 << 8);
	assert_true(c.iommu.coherent);
	assert_false(c.iommu.dirty_tracking);
	machine_config_free(&c);

	c = parse("iommu memlock=rlimit,reserved=none");
	assert_true(c.iommu.memlock_rlimit);
	assert_int_equal(c.iommu.nr_reserved, 0);
	machine_config_free(&c);
}

static void test_iommu_windows(void **state)
{
	struct machine_config c = parse("iommu reserved=0xfee00000-0xfeefffff:msi+0x1000-0x1fff\niommu "
					"reserved=1G-0x7fffffff:direct");

	(void)state;
	assert_int_equal(c.iommu.nr_reserved, 3);
	assert_int_equal(c.iommu.reserved[0].start, 0x1000);
	assert_string_equal(c.iommu.reserved_type[0], "reserved");
	assert_int_equal(c.iommu.reserved[1].start, 0x40000000);
	assert_int_equal(c.iommu.reserved[1].last, 0x7fffffff);
	assert_string_equal(c.iommu.reserved_type[1], "direct");
	assert_int_equal(c.iommu.reserved[2].start, 0xfee00000);
	assert_string_equal(c.iommu.reserved_type[2], "msi");
	machine_config_free(&c);
}

static void test_wrong_iommu(void **state)
{
	static const char windows[] = "use FIRST-LAST[:msi|direct|reserved] of whole pages, like "
				      "0xfee00000-0xfeefffff:msi, or none";
	static const char *const bad[] = {
		"1", "0x1000-0x1ffe", "0x1001-0x1fff", "0x2000-0x1fff", "0x1000", "0x1000-0x1fff:msx",
		"",  "0x1000-0x1fff+"
	};
	char line[128], message[256];

	(void)state;
	for (unsigned int i = 0; i < ARRAY_SIZE(bad); i++) {
		const char *shown = strchr(bad[i], '+') ? "" : bad[i];

		snprintf(line, sizeof(line), "iommu reserved=%s", bad[i]);
		snprintf(message, sizeof(message), "--iommu: reserved=%s is not possible: %s", shown,
			 windows);
		assert_wrong(line, message);
	}
	assert_wrong("iommu reserved=0x1000-0x2fff+0x2000-0x3fff",
		     "--iommu: reserved=0x2000-0x3fff is not possible: use windows that do not overlap");
	assert_wrong("iommu width=58", "--iommu: width=58 is not possible: use a number from 12 to 57");
	assert_wrong("iommu width=11", "--iommu: width=11 is not possible: use a number from 12 to 57");
	assert_wrong("iommu dma-entries=0",
		     "--iommu: dma-entries=0 is not possible: use a number from 1 to 4294967295");
	assert_wrong("iommu pgsizes=4K+3K", "--iommu: pgsizes=4K+3K is not possible: use powers of two from "
					    "4K on, joined by +, like 4K+2M+1G");
	assert_wrong("iommu memlock=much",
		     "--iommu: memlock=much is not possible: use unlimited, rlimit, or a size like 64M");
	assert_wrong(
		"iommu with=3",
		"--iommu: there is no option with: known are type, width, reserved, pgsizes, dma-entries, "
		"memlock, coherent, dirty-tracking");
}

static void test_too_many_windows(void **state)
{
	char line[1024] = "iommu reserved=", word[64];
	struct machine_config config;
	char err[256];

	(void)state;
	for (unsigned int i = 1; i <= 17; i++) {
		snprintf(word, sizeof(word), "%s0x%x000-0x%xfff", i > 1 ? "+" : "", 2 * i, 2 * i);
		strcat(line, word);
	}
	assert_int_equal(machine_config_parse(line, &config, err, sizeof(err)), -EINVAL);
	assert_non_null(strstr(err, "use at most 16 windows"));
}

/* ---- the machine */

static struct uvfio_machine *make(const char *description)
{
	char err[1024] = "";
	struct uvfio_machine *machine = machine_new(description, NULL, err, sizeof(err));

	if (!machine)
		fail_msg("%s", err);
	return machine;
}

static unsigned int count_fds(void)
{
	DIR *dir = opendir("/proc/self/fd");
	unsigned int n = 0;

	while (readdir(dir))
		n++;
	closedir(dir);
	return n;
}

static void test_nodes(void **state)
{
	struct uvfio_machine *m = make("device nvme,size=1M,group=1\ndevice nvme,size=1M,group=1\ndevice "
				       "nvme,size=1M,noiommu=on,group=12");
	struct file *file = NULL;
	mode_t mode;
	dev_t rdev;

	(void)state;
	assert_int_equal(machine_node_rdev(m, "/dev/vfio/vfio", &rdev, &mode), 0);
	assert_true(rdev == makedev(10, 196) && mode == 0666);
	assert_int_equal(machine_node_rdev(m, "/dev/vfio/1", &rdev, &mode), 0);
	assert_true(rdev == makedev(252, 0) && mode == 0600);
	assert_int_equal(machine_node_rdev(m, "/dev/vfio/noiommu-12", &rdev, &mode), 0);
	assert_true(rdev == makedev(252, 1) && mode == 0600);
	assert_int_equal(machine_node_rdev(m, "/dev/vfio/12", &rdev, &mode), -ENOENT);
	assert_int_equal(machine_node_rdev(m, "/dev/vfio/01", &rdev, &mode), -ENOENT);
	assert_int_equal(machine_node_rdev(m, "/dev/vfio/", &rdev, &mode), -ENOENT);
	assert_int_equal(machine_node_rdev(m, "/dev/null", &rdev, &mode), -ENOENT);
	assert_int_equal(machine_open(m, "/dev/vfio/7", O_RDWR, &file), -ENOENT);
	assert_int_equal(machine_open(m, "/dev/vfio/vfio", O_RDWR | O_DIRECTORY, &file), -ENOTDIR);
	assert_int_equal(machine_open(m, "/dev/vfio/1", O_RDWR, &file), 0);
	file_put(file);
	machine_free(m);
}

static void test_failure_leaves_nothing(void **state)
{
	unsigned int before = count_fds();
	char err[1024];

	(void)state;
	assert_null(
		machine_new("device nvme,size=1M\ndevice nvme,file=/nonexistent/x", NULL, err, sizeof(err)));
	assert_non_null(strstr(err, "/nonexistent/x"));
	machine_free(make("device nvme,size=1M\ndevice nvme,size=2M"));
	assert_int_equal(count_fds(), before);
}

/* ---- the trees */

static char tree_root[64];

static void assert_text(const char *path, const char *expected)
{
	char full[256], text[2048];
	ssize_t n;
	int fd;

	snprintf(full, sizeof(full), "%s/%s", tree_root, path);
	fd = open(full, O_RDONLY);
	if (fd < 0)
		fail_msg("%s: %s", path, strerror(errno));
	n = read(fd, text, sizeof(text) - 1);
	close(fd);
	assert_true(n >= 0);
	text[n] = 0;
	assert_string_equal(text, expected);
}

static void assert_link(const char *path, const char *expected)
{
	char full[256], target[256];
	struct stat st;
	ssize_t n;

	snprintf(full, sizeof(full), "%s/%s", tree_root, path);
	n = readlink(full, target, sizeof(target) - 1);
	if (n < 0)
		fail_msg("%s: %s", path, strerror(errno));
	target[n] = 0;
	assert_string_equal(target, expected);
	assert_int_equal(stat(full, &st), 0); /* it leads somewhere */
}

static void assert_mode(const char *path, mode_t mode)
{
	char full[256];
	struct stat st;

	snprintf(full, sizeof(full), "%s/%s", tree_root, path);
	if (lstat(full, &st))
		fail_msg("%s: %s", path, strerror(errno));
	assert_int_equal(st.st_mode, mode);
}

static void assert_absent(const char *path)
{
	char full[256];

	snprintf(full, sizeof(full), "%s/%s", tree_root, path);
	assert_int_equal(access(full, F_OK), -1);
}

static int remove_entry(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st;
	(void)type;
	(void)ftw;
	return remove(path);
}

static void write_tree(const char *description)
{
	struct uvfio_machine *m = make(description);
	mode_t old = umask(077);

	strcpy(tree_root, "/tmp/test-machine-XXXXXX");
	assert_non_null(mkdtemp(tree_root));
	assert_int_equal(machine_write_tree(m, tree_root), 0);
	assert_int_equal(machine_write_tree(m, tree_root), -EEXIST);
	umask(old);
	machine_free(m);
}

static void remove_tree(void)
{
	assert_int_equal(nftw(tree_root, remove_entry, 16, FTW_DEPTH | FTW_PHYS), 0);
}

static void test_tree_function(void **state)
{
	(void)state;
	write_tree("device nvme,size=1M,group=9");
	assert_link("sys/bus/pci/devices/0000:00:01.0", "../../../devices/pci0000:00/0000:00:01.0");
	assert_link("sys/devices/pci0000:00/0000:00:01.0/driver", "../../../bus/pci/drivers/vfio-pci");
	assert_link("sys/devices/pci0000:00/0000:00:01.0/iommu_group", "../../../kernel/iommu_groups/9");
	assert_link("sys/devices/pci0000:00/0000:00:01.0/iommu", "../../virtual/iommu/dmar0");
	assert_link("sys/devices/pci0000:00/0000:00:01.0/subsystem", "../../../bus/pci");
	assert_link("sys/bus/pci/drivers/vfio-pci/0000:00:01.0",
		    "../../../../devices/pci0000:00/0000:00:01.0");
	assert_text("sys/devices/pci0000:00/0000:00:01.0/class", "0x010802\n");
	assert_mode("sys/devices/pci0000:00/0000:00:01.0/class", S_IFREG | 0444);
	assert_mode("sys/devices/pci0000:00/0000:00:01.0/remove", S_IFREG | 0220);
	assert_mode("sys/devices/pci0000:00", S_IFDIR | 0755);
	assert_mode("sys/devices/pci0000:00/0000:00:01.0/aer", S_IFDIR | 0755);
	assert_mode("sys/devices/virtual/vfio/9/power/autosuspend_delay_ms", S_IFREG | 0644);
	assert_mode("sys/bus/pci/drivers/vfio-pci/bind", S_IFREG | 0200);
	assert_absent("sys/devices/pci0000:00/0000:00:01.0/physfn");
	remove_tree();
}

static void test_tree_cdev(void **state)
{
	(void)state;
	write_tree("device nvme,size=1M\ndevice nvme,size=1M,noiommu=on\ndevice nvme,size=1M");
	assert_text("sys/devices/pci0000:00/0000:00:01.0/vfio-dev/vfio0/dev", "251:0\n");
	assert_text("sys/devices/pci0000:00/0000:00:03.0/vfio-dev/vfio2/uevent",
		    "MAJOR=251\nMINOR=2\nDEVNAME=vfio/devices/vfio2\n");
	assert_link("sys/devices/pci0000:00/0000:00:03.0/vfio-dev/vfio2/device", "../../../0000:00:03.0");
	assert_link("sys/devices/pci0000:00/0000:00:03.0/vfio-dev/vfio2/subsystem",
		    "../../../../../class/vfio-dev");
	assert_link("sys/class/vfio-dev/vfio2", "../../devices/pci0000:00/0000:00:03.0/vfio-dev/vfio2");
	assert_link("sys/dev/char/251:2", "../../devices/pci0000:00/0000:00:03.0/vfio-dev/vfio2");
	assert_link("dev/char/251:2", "../vfio/devices/vfio2");
	assert_mode("dev/vfio/devices/vfio2", S_IFSOCK | 0600);
	assert_mode("dev/iommu", S_IFSOCK | 0660);
	assert_text("sys/devices/virtual/misc/iommu/uevent",
		    "MAJOR=10\nMINOR=127\nDEVNAME=iommu\nDEVMODE=0660\n");
	/* without an IOMMU there is a directory, but no node */
	assert_link("sys/class/vfio-dev/vfio1", "../../devices/pci0000:00/0000:00:02.0/vfio-dev/vfio1");
	assert_absent("sys/class/vfio-dev/vfio1/dev");
	assert_absent("dev/vfio/devices/vfio1");
	remove_tree();
}

static void test_tree_of_one_interface(void **state)
{
	(void)state;
	write_tree("device nvme,size=1M\nvfio nodes=legacy");
	assert_mode("dev/vfio/1", S_IFSOCK | 0600);
	assert_absent("dev/iommu");
	assert_absent("dev/vfio/devices");
	assert_absent("sys/class/misc/iommu");
	assert_absent("sys/class/vfio-dev/vfio0/dev");
	remove_tree();
	write_tree("device nvme,size=1M\nvfio nodes=iommufd");
	assert_mode("dev/iommu", S_IFSOCK | 0660);
	assert_mode("dev/vfio/devices/vfio0", S_IFSOCK | 0600);
	assert_absent("dev/vfio/vfio");
	assert_absent("dev/vfio/1");
	assert_absent("sys/class/vfio");
	assert_link("sys/bus/pci/devices/0000:00:01.0/iommu_group", "../../../kernel/iommu_groups/1");
	remove_tree();
}

static void test_tree_resource(void **state)
{
	char full[256], line[80];
	unsigned int lines = 0;
	FILE *f;

	(void)state;
	write_tree("device nvme,size=1M");
	snprintf(full, sizeof(full), "%s/sys/bus/pci/devices/0000:00:01.0/resource", tree_root);
	f = fopen(full, "r");
	assert_non_null(f);
	while (fgets(line, sizeof(line), f)) {
		uint64_t field[3];
		char *at = line;

		for (unsigned int i = 0; i < 3; i++) {
			assert_memory_equal(at + (i > 0), "0x", 2);
			field[i] = strtoull(at, &at, 16);
			assert_int_equal(at - line, 19 * i + 18);
			assert_int_equal(*at, i < 2 ? ' ' : '\n');
		}
		if (!lines++) {
			assert_int_equal(field[2], 0x140204);
			assert_true(field[0] && field[1] > field[0]);
			assert_int_equal((field[1] + 1 - field[0]) & (field[1] - field[0]), 0);
		} else {
			assert_true(!field[0] && !field[1] && !field[2]);
		}
	}
	fclose(f);
	assert_int_equal(lines, 13);
	snprintf(full, sizeof(full), "%s/sys/bus/pci/devices/0000:00:01.0/config", tree_root);
	f = fopen(full, "r");
	assert_non_null(f);
	assert_int_equal(fseek(f, 0, SEEK_END), 0);
	assert_int_equal(ftell(f), 4096);
	fclose(f);
	remove_tree();
}

static void test_tree_groups(void **state)
{
	(void)state;
	write_tree(
		"iommu dma-entries=65535,width=39\ndevice nvme,size=1M,group=9\ndevice nvme,size=1M,group=4");
	assert_text("sys/kernel/iommu_groups/9/type", "DMA\n");
	assert_mode("sys/kernel/iommu_groups/9/type", S_IFREG | 0644);
	assert_text("sys/kernel/iommu_groups/9/reserved_regions",
		    "0x00000000fee00000 0x00000000feefffff msi\n");
	assert_link("sys/kernel/iommu_groups/9/devices/0000:00:01.0",
		    "../../../../devices/pci0000:00/0000:00:01.0");
	assert_text("sys/devices/virtual/vfio/9/dev", "252:0\n");
	assert_text("sys/devices/virtual/vfio/4/dev", "252:1\n");
	assert_text("sys/devices/virtual/vfio/9/uevent", "MAJOR=252\nMINOR=0\nDEVNAME=vfio/9\n");
	assert_link("sys/class/vfio/9", "../../devices/virtual/vfio/9");
	assert_link("sys/devices/virtual/vfio/9/subsystem", "../../../../class/vfio");
	assert_link("sys/dev/char/252:1", "../../devices/virtual/vfio/4");
	assert_text("sys/devices/virtual/misc/vfio/uevent",
		    "MAJOR=10\nMINOR=196\nDEVNAME=vfio/vfio\nDEVMODE=0666\n");
	assert_text("sys/module/vfio/parameters/enable_unsafe_noiommu_mode", "N\n");
	assert_text("sys/module/vfio_iommu_type1/parameters/dma_entry_limit", "65535\n");
	assert_text("sys/devices/virtual/iommu/dmar0/intel-iommu/cap", "c9008c20660206\n");
	assert_text("sys/devices/virtual/iommu/dmar0/intel-iommu/ecap", "68000000501b\n");
	assert_mode("dev/vfio/vfio", S_IFSOCK | 0666);
	assert_mode("dev/vfio/9", S_IFSOCK | 0600);
	assert_link("dev/char/10:196", "../vfio/vfio");
	remove_tree();
}

static void test_tree_noiommu(void **state)
{
	(void)state;
	write_tree("device nvme,size=1M,noiommu=on,group=3,addr=0001:40:00.1");
	assert_text("sys/module/vfio/parameters/enable_unsafe_noiommu_mode", "Y\n");
	assert_link("sys/bus/pci/devices/0001:40:00.1", "../../../devices/pci0001:40/0001:40:00.1");
	assert_absent("sys/devices/pci0001:40/0001:40:00.1/iommu");
	assert_link("sys/devices/pci0001:40/0001:40:00.1/iommu_group", "../../../kernel/iommu_groups/3");
	assert_text("sys/kernel/iommu_groups/3/name", "vfio-noiommu\n");
	assert_text("sys/kernel/iommu_groups/3/reserved_regions", "");
	assert_mode("dev/vfio/noiommu-3", S_IFSOCK | 0600);
	assert_link("sys/class/vfio/noiommu-3", "../../devices/virtual/vfio/noiommu-3");
	remove_tree();
}

static void test_empty_machine(void **state)
{
	(void)state;
	write_tree("");
	assert_mode("sys/bus/pci/devices", S_IFDIR | 0755);
	assert_mode("sys/kernel/iommu_groups", S_IFDIR | 0755);
	assert_mode("dev/vfio/vfio", S_IFSOCK | 0666);
	remove_tree();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_open_choices),
		cmocka_unit_test(test_many_devices),
		cmocka_unit_test(test_common_options),
		cmocka_unit_test(test_wrong_devices),
		cmocka_unit_test(test_wrong_interfaces),
		cmocka_unit_test(test_far_option),
		cmocka_unit_test(test_iommu),
		cmocka_unit_test(test_iommu_windows),
		cmocka_unit_test(test_wrong_iommu),
		cmocka_unit_test(test_too_many_windows),
		cmocka_unit_test(test_nodes),
		cmocka_unit_test(test_failure_leaves_nothing),
		cmocka_unit_test(test_tree_function),
		cmocka_unit_test(test_tree_cdev),
		cmocka_unit_test(test_tree_of_one_interface),
		cmocka_unit_test(test_tree_resource),
		cmocka_unit_test(test_tree_groups),
		cmocka_unit_test(test_tree_noiommu),
		cmocka_unit_test(test_empty_machine),
	};

	return cmocka_run_group_tests_name("machine", tests, NULL, NULL);
}
