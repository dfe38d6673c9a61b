/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The files create and remove of mediated devices, below /sys/devices/virtual: what is written to them is
 * carried out, one call one command. In the tree they are sockets, like nodes.
 *
 * Standard output of some programs (bash's) reaches a descriptor by no call that could be interposed: what is
 * found in the descriptor's memory is carried out when the program flushes the stream, which hears of an
 * error then; or else when the last descriptor is closed, or the process ends, and a line on standard error
 * tells.
 *
 * A shell opens such a file in a child that another program, cat, takes the place of: the descriptor's memory
 * is named after the file, so that the other program knows what it has.
 */
#include "base/log.h"
#include "base/private_fd.h"
#include "machine/mdev.h"

#include <ctype.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define ATTRIBUTE_MODE 0200
#define MAX_TEXT       128 /* no command is longer */
#define MAX_UNSEEN     4095
#define MEMORY         "uvfio:"
#define SHOWN          "/memfd:" MEMORY /* how a link to it in /proc begins */

enum attribute { ATTRIBUTE_NONE, ATTRIBUTE_CREATE, ATTRIBUTE_REMOVE };

struct attribute_file {
	struct uvfio_machine *machine;
	enum attribute what;
	char name[64]; /* the type, or the UUID */
	int memory;    /* behind the descriptor, private; -1: none */
};

/* ".../TYPE/create", ".../UUID/remove" */
static enum attribute parse_path(const char *path, char *name, size_t len)
{
	const char *last = strrchr(path, '/'), *before = last;

	if (strncmp(path, "/sys/devices/virtual/", 21))
		return ATTRIBUTE_NONE;
	while (before > path && before[-1] != '/')
		before--;
	snprintf(name, len, "%.*s", (int)(last - before), before);
	if (!strcmp(last, "/create"))
		return ATTRIBUTE_CREATE;
	return strcmp(last, "/remove") ? ATTRIBUTE_NONE : ATTRIBUTE_REMOVE;
}

int machine_attribute_mode(const char *path, mode_t *mode)
{
	char name[64];

	*mode = S_IFREG | ATTRIBUTE_MODE;
	return parse_path(path, name, sizeof(name)) ? 0 : -ENOENT;
}

/* As the kernel reads numbers from such a file: no blank, no minus, no overflow. */
static int parse_number(const char *text, unsigned long *value)
{
	const char *digits = text + (*text == '+');
	char *end;

	if (!isdigit((unsigned char)*digits))
		return -EINVAL;
	errno = 0;
	*value = strtoul(digits, &end, 0);
	return errno || (*end && strcmp(end, "\n")) ? -EINVAL : 0;
}

/* -ENODEV: the file had gone by then, with its instance or ahead of it. */
static int store_remove(struct attribute_file *attr, const char *text)
{
	unsigned long value;
	int rc = parse_number(text, &value);

	return rc || !value ? rc : machine_mdev_remove(attr->machine, attr->name);
}

static int store(struct attribute_file *attr, const char *text, size_t len)
{
	int rc = attr->what == ATTRIBUTE_REMOVE ? store_remove(attr, text)
						: machine_mdev_create(attr->machine, attr->name, text, len);

	return rc == -ENOENT || rc == -EALREADY ? -ENODEV : rc;
}

static ssize_t attribute_write(struct file *file, const struct caller *caller, uint64_t buf, size_t len,
			       uint64_t off)
{
	char text[MAX_TEXT + 1] = "";
	int rc;

	(void)off;
	if (len > MAX_TEXT)
		return -EINVAL;
	if (copy_in(caller, text, buf, len))
		return -EFAULT;
	rc = store(file->priv, text, len);
	return rc ? rc : (ssize_t)len;
}

/* What came by a road that we do not see. It is taken away: another process may have a descriptor of the same
 * memory. */
static size_t take_unseen(const struct attribute_file *attr, char text[MAX_UNSEEN + 1])
{
	ssize_t len = attr->memory < 0 ? 0 : pread(attr->memory, text, MAX_UNSEEN, 0);

	if (len <= 0 || ftruncate(attr->memory, 0))
		return 0;
	text[len] = 0;
	return (size_t)len;
}

static int store_line(struct attribute_file *attr, const char *line, size_t len)
{
	char text[MAX_TEXT + 1];

	if (len > MAX_TEXT)
		return -EINVAL;
	memcpy(text, line, len);
	text[len] = 0;
	return store(attr, text, len);
}

/* Line by line, as such programs write; up to one that is refused. In front of a line there is nothing where
 * another program of the same descriptor has written by calls that we see. 1: there was something. */
static int carry_out_unseen(const struct file *file)
{
	struct attribute_file *attr = file->priv;
	char text[MAX_UNSEEN + 1], *line = text;
	const char *end = text + take_unseen(attr, text);
	int rc = 0;

	for (size_t len; line < end && !rc; line += MAX(len, (size_t)1)) {
		len = strcspn(line, "\n");
		len += line[len] == '\n';
		rc = len ? store_line(attr, line, len) : 0;
	}
	return rc ? rc : line > text;
}

static void carry_out_last(const struct file *file)
{
	int rc = carry_out_unseen(file);

	if (rc < 0)
		uvfio_err("%s: what was written is refused: %s", file->path, strerror(-rc));
}

static void attribute_release(struct file *file)
{
	struct attribute_file *attr = file->priv;

	carry_out_last(file);
	if (attr->memory >= 0)
		private_fd_close(attr->memory);
	free(attr);
}

/* The memory behind fd once more, by a description of its own: fd's ends with the last descriptor of the
 * program's. */
static int private_memory(int fd)
{
	char path[32];

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	return private_fd(open(path, O_RDWR | O_CLOEXEC));
}

static int attribute_descriptor(struct file *file, int oflags)
{
	struct attribute_file *attr = file->priv;
	char name[sizeof(file->path) + sizeof(MEMORY)];
	int fd;

	snprintf(name, sizeof(name), MEMORY "%s", file->path);
	fd = memfd_create(name, oflags & O_CLOEXEC ? MFD_CLOEXEC : 0);
	if (fd < 0)
		return -errno;
	attr->memory = private_memory(fd);
	return fd;
}

static const struct file_ops attribute_ops = {
	.name = "sysfs",
	.release = attribute_release,
	.write = attribute_write,
	.descriptor = attribute_descriptor,
};

int machine_attribute_open(struct uvfio_machine *machine, const char *path, int oflags, struct file **file)
{
	struct attribute_file *attr;
	char name[64];
	enum attribute what = parse_path(path, name, sizeof(name));

	if (!what)
		return -ENOENT;
	if ((oflags & O_ACCMODE) != O_WRONLY)
		return -EACCES;
	attr = calloc(1, sizeof(*attr));
	if (!attr)
		return -ENOMEM;
	*attr = (struct attribute_file){ .machine = machine, .what = what, .memory = -1 };
	snprintf(attr->name, sizeof(attr->name), "%s", name);
	*file = file_alloc(&attribute_ops, attr, oflags, path);
	if (*file)
		return 0;
	free(attr);
	return -ENOMEM;
}

int machine_attribute_flush(struct file *file)
{
	return file->ops == &attribute_ops ? carry_out_unseen(file) : 0;
}

/* ---- the process's end: files that are still open */

struct open_attributes {
	struct file *files[16];
	unsigned int nr;
};

static void note_open(struct file *file, void *arg)
{
	struct open_attributes *open = arg;

	if (file->ops == &attribute_ops && open->nr < ARRAY_SIZE(open->files) && file_get_if_live(file))
		open->files[open->nr++] = file;
}

void machine_attributes_end(void)
{
	struct open_attributes open = { .nr = 0 };

	file_for_each(note_open, &open);
	for (unsigned int i = 0; i < open.nr; i++)
		carry_out_last(open.files[i]); /* the reference stays: nothing is released any more */
}

bool machine_inherits(const char *name)
{
	return !strncmp(name, SHOWN "/sys/", sizeof(SHOWN "/sys/") - 1);
}

int machine_inherit(struct uvfio_machine *machine, int fd, const char *name, struct file **file)
{
	char path[sizeof((*file)->path)];
	struct attribute_file *attr;
	struct stat st;
	int rc;

	if (!machine_inherits(name))
		return -ENOENT;
	name += sizeof(SHOWN) - 1;
	snprintf(path, sizeof(path), "%.*s", (int)strcspn(name, " "), name);
	rc = machine_attribute_open(machine, path, O_WRONLY, file);
	if (rc)
		return rc;
	attr = (*file)->priv;
	if (!fstat(fd, &st) && !st.st_size) /* otherwise it is not this program's alone to carry out */
		attr->memory = private_memory(fd);
	return 0;
}
