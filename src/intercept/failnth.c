/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * /proc/self/fail-nth, /proc/self/task/TID/fail-nth and /proc/self/make-it-fail, which a kernel has that was
 * built to inject failures: a program that tests what follows a failure gets those of our failpoints. Only in
 * builds with the option iommufd_test, and only where the kernel has no such file.
 *
 * A number that is written to fail-nth makes the nth failpoint fail that the thread passes; what is read is
 * what is left of it. Each thread sees to its own: the file of another thread cannot be opened.
 * make-it-fail only keeps what was written, as the kernel does while nobody filters by it.
 */
#include "intercept/intercept.h"

#ifdef UVFIO_IOMMUFD_TEST

#include "base/failpoint.h"
#include "file/fdtable.h"
#include "intercept/section.h"

#include <string.h>

static _Atomic unsigned int make_it_fail;

static ssize_t read_number(const struct caller *caller, unsigned int number, uint64_t buf, size_t len,
			   uint64_t off)
{
	char text[16];
	size_t n = (size_t)snprintf(text, sizeof(text), "%u\n", number);

	if (off >= n)
		return 0;
	n = MIN(n - (size_t)off, len);
	return copy_out(caller, buf, text + off, n) ? -EFAULT : (ssize_t)n;
}

/* As the kernel reads a number: one, with a newline behind it or none. */
static int write_number(const struct caller *caller, uint64_t buf, size_t len, unsigned int *number)
{
	unsigned long value;
	char text[16] = "";
	char *end;

	if (copy_in(caller, text, buf, MIN(len, sizeof(text) - 1)))
		return -EFAULT;
	if (*text < '0' || *text > '9')
		return -EINVAL;
	value = strtoul(text, &end, 0);
	if (strcmp(end, "") && strcmp(end, "\n"))
		return -EINVAL;
	if (value > UINT32_MAX)
		return -ERANGE;
	*number = (unsigned int)value;
	return 0;
}

static bool is_own_thread(const struct file *file, const struct caller *caller)
{
	return caller == &self_caller && (intptr_t)file->priv == gettid();
}

static ssize_t nth_read(struct file *file, const struct caller *caller, uint64_t buf, size_t len,
			uint64_t off)
{
	unsigned int left = failpoint_get();

	return is_own_thread(file, caller) ? read_number(caller, left, buf, len, off) : -ESRCH;
}

static ssize_t nth_write(struct file *file, const struct caller *caller, uint64_t buf, size_t len,
			 uint64_t off)
{
	unsigned int nth;
	int rc = is_own_thread(file, caller) ? write_number(caller, buf, len, &nth) : -ESRCH;

	(void)off;
	if (rc)
		return rc;
	failpoint_set(nth);
	return (ssize_t)len;
}

static ssize_t make_read(struct file *file, const struct caller *caller, uint64_t buf, size_t len,
			 uint64_t off)
{
	(void)file;
	return read_number(caller, atomic_load(&make_it_fail), buf, len, off);
}

static ssize_t make_write(struct file *file, const struct caller *caller, uint64_t buf, size_t len,
			  uint64_t off)
{
	unsigned int value;
	int rc = write_number(caller, buf, len, &value);

	(void)file;
	(void)off;
	if (rc)
		return rc;
	if (value > 1)
		return -EINVAL;
	atomic_store(&make_it_fail, value);
	return (ssize_t)len;
}

static void nothing(struct file *file)
{
	(void)file;
}

static const struct file_ops nth_ops = {
	.name = "fail-nth",
	.release = nothing,
	.read = nth_read,
	.write = nth_write,
};

static const struct file_ops make_ops = {
	.name = "make-it-fail",
	.release = nothing,
	.read = make_read,
	.write = make_write,
};

/* "task/TID/": what follows it, when that thread asks. */
static const char *skip_own_task(const char *p)
{
	char *end;

	if (strncmp(p, "task/", 5))
		return p;
	if (strtol(p + 5, &end, 10) != gettid() || *end != '/')
		return "";
	return end + 1;
}

int failnth_open(const char *path, int oflags)
{
	const char *name = path_in_own_proc(path);
	const struct file_ops *ops = NULL;
	struct file *file;
	int fd = -ENOMEM;

	if (name)
		name = skip_own_task(name);
	if (name && !strcmp(name, "fail-nth"))
		ops = &nth_ops;
	else if (name && !strcmp(name, "make-it-fail"))
		ops = &make_ops;
	if (!ops)
		return -ENOENT;
	section_begin();
	file = file_alloc(ops, (void *)(intptr_t)gettid(), oflags, path);
	if (file)
		fd = fdtable_install(file, oflags);
	section_end();
	return fd;
}

#else

int failnth_open(const char *path, int oflags)
{
	(void)path;
	(void)oflags;
	return -ENOENT;
}

#endif
