/* SPDX-License-Identifier: BSD-2-Clause */
/* Devices that come and go in a machine that nobody uses: numbers, mistakes, trees. */
#include "machine/impl.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>
#include <dirent.h>
#include <ftw.h>
#include <semaphore.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static struct uvfio_machine *make(const char *description)
{
	char err[512] = "";
	struct uvfio_machine *m = machine_new(description, NULL, err, sizeof(err));

	if (!m)
		fail_msg("%s", err);
	return m;
}

static void add(struct uvfio_machine *m, const char *text, const char *complete)
{
	char err[512] = "", *line = NULL;

	if (machine_add_device(m, text, &line, err, sizeof(err)))
		fail_msg("%s", err);
	assert_string_equal(line, complete);
	free(line);
}

static void take(struct uvfio_machine *m, const char *bdf)
{
	char err[512] = "";

	if (machine_remove_device(m, bdf, false, NULL, NULL, err, sizeof(err)))
		fail_msg("%s", err);
	machine_wait_removed(m);
}

static void test_numbers(void **state)
{
	struct uvfio_machine *m = make("device nvme,size=1M\ndevice nvme,size=1M,group=7\n"), *copy;
	char *text, *again;

	(void)state;
	add(m, "device nvme,size=1M", "device@2:2:2 nvme,size=1M,addr=0000:00:03.0,group=2\n");
	take(m, "0000:00:01.0");
	/* Its address, group and minor are free; its number is not used again. */
	add(m, "device nvme,size=2M", "device@3:0:0 nvme,size=2M,addr=0000:00:01.0,group=1\n");
	take(m, "00:01.0");
	add(m, "device nvme,size=3M,addr=0000:01:00.0,group=7",
	    "device@4:1:0 nvme,size=3M,addr=0000:01:00.0,group=7\n");
	text = machine_describe(m);
	assert_string_equal(text, "device@1:1:1 nvme,size=1M,addr=0000:00:02.0,group=7\n"
				  "device@2:2:2 nvme,size=1M,addr=0000:00:03.0,group=2\n"
				  "device@4:1:0 nvme,size=3M,addr=0000:01:00.0,group=7\n");
	copy = make(text);
	again = machine_describe(copy);
	assert_string_equal(again, text);
	free(text);
	free(again);
	machine_free(copy);
	machine_free(m);
}

static void refused(struct uvfio_machine *m, const char *text, const char *why)
{
	char err[512] = "", *before = machine_describe(m), *after;

	assert_true(machine_add_device(m, text, NULL, err, sizeof(err)) < 0);
	assert_string_equal(err, why);
	after = machine_describe(m);
	assert_string_equal(before, after);
	free(before);
	free(after);
}

static void test_mistakes(void **state)
{
	struct uvfio_machine *m = make("device nvme,size=1M\n");
	char err[512] = "";

	(void)state;
	refused(m, "device nvme,size=1M,addr=00:01.0",
		"nvme: two devices at 0000:00:01.0: give one another address with addr=");
	refused(m, "device nvme,size=1M,group=1,noiommu=on",
		"nvme: group=1 has devices with noiommu=on and with noiommu=off: use two groups");
	refused(m, "device@0:5:5 nvme,size=1M", "device@0:5:5 nvme,size=1M: there is a device 0 already");
	refused(m, "device@x nvme", "device@x: numbers are written device@INSTANCE:MINOR:INDEX");
	refused(m, "device nvme,file=/nowhere/at/all",
		"nvme: file=/nowhere/at/all: No such file or directory; make an image first: "
		"truncate -s 256M '/nowhere/at/all'");
	assert_int_equal(machine_add_device(m, "iommu width=40", NULL, err, sizeof(err)), -EINVAL);
	assert_int_equal(machine_add_device(m, "", NULL, err, sizeof(err)), -EINVAL);
	assert_int_equal(machine_remove_device(m, "0000:00:02.0", false, NULL, NULL, err, sizeof(err)),
			 -ENODEV);
	assert_string_equal(err, "there is no device at 0000:00:02.0");
	assert_int_equal(machine_remove_device(m, "x", true, NULL, NULL, err, sizeof(err)), -ENODEV);
	assert_int_equal(machine_reset_device(m, "0000:00:01.0", err, sizeof(err)), -ENODEV);
	assert_string_equal(err, "0000:00:01.0 is not open");
	assert_int_equal(machine_list(m, "everything", stdout), -EINVAL);
	machine_free(m);
}

/* One image behind two devices is refused as in a machine's description: another process could not make it.
 */
static void test_one_image(void **state)
{
	char path[] = "/tmp/test-hotplug-image-XXXXXX", text[128], why[256], line[160];
	int fd = mkstemp(path);
	struct uvfio_machine *m;

	(void)state;
	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, 1 << 20), 0);
	close(fd);
	snprintf(text, sizeof(text), "device nvme,file=%s\n", path);
	m = make(text);
	snprintf(why, sizeof(why),
		 "nvme: file=%s is behind two devices: use two images, or readonly=on for both", path);
	snprintf(text, sizeof(text), "device nvme,file=%s", path);
	refused(m, text, why);
	take(m, "0000:00:01.0");
	snprintf(line, sizeof(line), "device@2:0:0 nvme,file=%s,addr=0000:00:01.0,group=1\n", path);
	add(m, text, line);
	machine_free(m);
	unlink(path);
}

static void note_removed(void *arg, const char *bdf)
{
	(void)bdf;
	atomic_fetch_add((_Atomic unsigned int *)arg, 1);
}

struct waiting {
	sem_t told, go_on;
};

static void wait_when_told(void *arg, const char *bdf)
{
	struct waiting *waiting = arg;

	(void)bdf;
	sem_post(&waiting->told);
	sem_wait(&waiting->go_on);
}

/* A child has no use for a removal of which nothing but the telling is left. */
static void fork_and_free(struct uvfio_machine *m)
{
	int status = -1;
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (!pid) {
		alarm(20);
		machine_forked(m);
		machine_free(m);
		_exit(7);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 7);
}

/* While somebody is still being told that a device has gone, another comes, perhaps where its memory was, and
 * goes. */
static void test_take_again(void **state)
{
	struct uvfio_machine *m = make("device nvme,size=1M\n");
	_Atomic unsigned int removed = 0;
	struct waiting waiting;
	char err[512] = "";

	(void)state;
	sem_init(&waiting.told, 0, 0);
	sem_init(&waiting.go_on, 0, 0);
	assert_int_equal(
		machine_remove_device(m, "0000:00:01.0", false, wait_when_told, &waiting, err, sizeof(err)),
		0);
	sem_wait(&waiting.told);
	fork_and_free(m);
	add(m, "device nvme,size=1M", "device@1:0:0 nvme,size=1M,addr=0000:00:01.0,group=1\n");
	if (machine_remove_device(m, "0000:00:01.0", false, note_removed, &removed, err, sizeof(err)))
		fail_msg("%s", err);
	sem_post(&waiting.go_on);
	machine_wait_removed(m);
	assert_int_equal(atomic_load(&removed), 1);
	sem_destroy(&waiting.told);
	sem_destroy(&waiting.go_on);
	machine_free(m);
}

/* How many files, directories and links are there? */
static unsigned int count(const char *dir)
{
	DIR *d = opendir(dir);
	struct dirent *entry;
	unsigned int nr = 0;
	char *path;

	while (d && (entry = readdir(d))) {
		if (entry->d_name[0] == '.')
			continue;
		assert_true(asprintf(&path, "%s/%s", dir, entry->d_name) > 0);
		nr += 1 + (entry->d_type == DT_DIR ? count(path) : 0);
		free(path);
	}
	if (d)
		closedir(d);
	return nr;
}

static int remove_entry(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st, (void)type, (void)ftw;
	return remove(path);
}

static void test_tree(void **state)
{
	struct uvfio_machine *m = make("device nvme,size=1M\n");
	char root[] = "/tmp/test-hotplug-XXXXXX", path[128];
	unsigned int before, with;

	(void)state;
	assert_non_null(mkdtemp(root));
	assert_int_equal(machine_write_tree(m, root), 0);
	before = count(root);
	add(m, "device nvme,size=1M,group=1", "device@1:0:1 nvme,size=1M,addr=0000:00:02.0,group=1\n");
	assert_int_equal(machine_tree_add(m, root, "0000:00:02.0"), 0);
	with = count(root);
	assert_true(with > before + 20);
	add(m, "device nvme,size=1M", "device@2:1:2 nvme,size=1M,addr=0000:00:03.0,group=2\n");
	assert_int_equal(machine_tree_add(m, root, "0000:00:03.0"), 0);
	snprintf(path, sizeof(path), "%s/dev/vfio/2", root);
	assert_int_equal(access(path, F_OK), 0);
	assert_int_equal(machine_tree_remove(m, root, "0000:00:03.0"), 0);
	take(m, "0000:00:03.0");
	assert_int_equal(access(path, F_OK), -1);
	assert_int_equal(count(root), with);
	assert_int_equal(machine_tree_remove(m, root, "0000:00:02.0"), 0);
	assert_int_equal(count(root), before);
	assert_int_equal(machine_tree_remove(m, root, "0000:00:09.0"), -ENODEV);
	machine_free(m);
	assert_int_equal(nftw(root, remove_entry, 16, FTW_DEPTH | FTW_PHYS), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_numbers),   cmocka_unit_test(test_mistakes),
		cmocka_unit_test(test_one_image), cmocka_unit_test(test_take_again),
		cmocka_unit_test(test_tree),
	};

	return cmocka_run_group_tests_name("hotplug", tests, NULL, NULL);
}
