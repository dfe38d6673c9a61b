/* SPDX-License-Identifier: BSD-2-Clause */
/* Writing a tree of files and links: see tree.h. */
#include "machine/tree.h"

#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static void make_dir(struct tree *tree, const char *path)
{
	if (!mkdirat(tree->root, path, 0755))
		fchmodat(tree->root, path, 0755, 0);
	else if (errno != EEXIST)
		tree->error = -errno;
}

/* Make every directory that path goes through, not path itself. */
static void make_parents(struct tree *tree, const char *path)
{
	char part[PATH_MAX];

	for (const char *slash = strchr(path, '/'); slash && !tree->error; slash = strchr(slash + 1, '/')) {
		if ((size_t)(slash - path) >= sizeof(part)) {
			tree->error = -ENAMETOOLONG;
			return;
		}
		memcpy(part, path, (size_t)(slash - path));
		part[slash - path] = 0;
		make_dir(tree, part);
	}
}

void tree_dir(struct tree *tree, const char *path)
{
	make_parents(tree, path);
	if (!tree->error)
		make_dir(tree, path);
}

static int write_all(int fd, const char *data, size_t len)
{
	while (len) {
		ssize_t n = write(fd, data, len);

		if (n < 0)
			return -errno;
		data += n;
		len -= (size_t)n;
	}
	return 0;
}

void tree_data(struct tree *tree, const char *path, mode_t mode, const void *data, size_t len)
{
	int fd, rc;

	make_parents(tree, path);
	if (tree->error)
		return;
	fd = openat(tree->root, path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0) {
		tree->error = -errno;
		return;
	}
	rc = write_all(fd, data, len);
	if (!rc && fchmod(fd, mode))
		rc = -errno;
	close(fd);
	if (rc)
		tree->error = rc;
}

void tree_text(struct tree *tree, const char *path, mode_t mode, const char *fmt, ...)
{
	char text[2048];
	va_list args;
	int n;

	va_start(args, fmt);
	n = vsnprintf(text, sizeof(text) - 1, fmt, args);
	va_end(args);
	if (n < 0 || (size_t)n >= sizeof(text) - 1) {
		if (!tree->error)
			tree->error = -EOVERFLOW;
		return;
	}
	text[n] = '\n';
	tree_data(tree, path, mode, text, (size_t)n + 1);
}

/* The new file is not seen below /dev and /sys before it has its name. */
#define FRESH "tree.new"

void tree_replace(struct tree *tree, const char *path, mode_t mode, const char *fmt, ...)
{
	char text[256];
	va_list args;

	va_start(args, fmt);
	vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	make_parents(tree, path);
	tree_text(tree, FRESH, mode, "%s", text);
	if (!tree->error && renameat(tree->root, FRESH, tree->root, path))
		tree->error = -errno;
}

void tree_node(struct tree *tree, const char *path, mode_t mode)
{
	make_parents(tree, path);
	if (tree->error)
		return;
	if (mknodat(tree->root, path, S_IFSOCK | mode, 0) || fchmodat(tree->root, path, mode, 0))
		tree->error = -errno;
}

static int erase_below(int fd);

/* A directory that changes while it is read may not show every entry: then once more. */
#define ERASE_ROUNDS 8

static int erase_entry(int dir, const char *name)
{
	int fd, rc;

	if (!unlinkat(dir, name, 0) || errno == ENOENT)
		return 0;
	if (errno != EISDIR && errno != EPERM)
		return -errno;
	for (int round = 0; round < ERASE_ROUNDS; round++) {
		fd = openat(dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		if (fd < 0)
			return -errno;
		rc = erase_below(fd);
		if (rc)
			return rc;
		if (!unlinkat(dir, name, AT_REMOVEDIR))
			return 0;
		if (errno != ENOTEMPTY)
			return -errno;
	}
	return -ENOTEMPTY;
}

/* Takes fd. */
static int erase_below(int fd)
{
	DIR *dir = fdopendir(fd);
	struct dirent *entry;
	int rc = 0;

	if (!dir) {
		close(fd);
		return -ENOMEM;
	}
	while (!rc && (entry = readdir(dir)))
		if (strcmp(entry->d_name, ".") && strcmp(entry->d_name, ".."))
			rc = erase_entry(fd, entry->d_name);
	closedir(dir);
	return rc;
}

void tree_erase(struct tree *tree, const char *path)
{
	int rc = erase_entry(tree->root, path);

	if (rc && !tree->error)
		tree->error = rc;
}

void tree_link(struct tree *tree, const char *path, const char *target)
{
	char relative[PATH_MAX] = "";
	size_t common = 0, n = 0;

	for (size_t i = 0; path[i] && path[i] == target[i]; i++)
		if (path[i] == '/')
			common = i + 1;
	for (const char *p = strchr(path + common, '/'); p && n < sizeof(relative); p = strchr(p + 1, '/'))
		n += (size_t)snprintf(relative + n, sizeof(relative) - n, "../");
	if (n < sizeof(relative))
		n += (size_t)snprintf(relative + n, sizeof(relative) - n, "%s", target + common);
	if (n >= sizeof(relative)) {
		if (!tree->error)
			tree->error = -ENAMETOOLONG;
		return;
	}
	make_parents(tree, path);
	if (!tree->error && symlinkat(relative, tree->root, path))
		tree->error = -errno;
}
