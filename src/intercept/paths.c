/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Which paths are ours, and what stands for them in the session directory.
 *
 * A path is made absolute and normalised as text. As soon as its beginning is a root of ours (the table
 * below) the rest belongs to the session; a rest with ".." is left to the kernel, which knows where links
 * lead. A path of the kind OVERLAY is ours only where the tree has it: the directory is shared with the host.
 *
 * Relative paths: a working directory in the session needs no translation as long as the path stays inside;
 * one that leaves it with "..", and one from "/" or "/sys" that enters it, does.
 */
#include "intercept/intercept.h"

#include "file/fdtable.h"

#include <string.h>

enum root_kind {
	ROOT_NONE,
	ROOT_WHOLE,   /* everything below is ours, and hides what the host has there */
	ROOT_ENTRIES, /* an entry is ours when the tree has it; the directory itself is the host's */
	ROOT_PCI, /* /sys/devices/pciDDDD:BB, /dev/kvm and others: it and its entries are ours when the tree
		     has them */
};

#define ROOT(path, kind)                                                                                     \
	{                                                                                                    \
		path, sizeof(path) - 1, false, kind                                                          \
	}
#define PREFIX(path, kind)                                                                                   \
	{                                                                                                    \
		path, sizeof(path) - 1, true, kind                                                           \
	}

static const struct root {
	const char *path;
	size_t len;
	bool prefix; /* the last component may go on */
	enum root_kind kind;
} roots[] = {
	ROOT("/dev/vfio", ROOT_WHOLE),
	ROOT("/dev/iommu", ROOT_WHOLE),
	ROOT("/dev/kvm", ROOT_PCI),
	ROOT("/dev/char", ROOT_ENTRIES),
	ROOT("/sys/bus/pci", ROOT_WHOLE),
	ROOT("/sys/bus/mdev", ROOT_WHOLE),
	ROOT("/sys/class/vfio", ROOT_WHOLE),
	ROOT("/sys/class/vfio-dev", ROOT_WHOLE),
	ROOT("/sys/class/iommu", ROOT_WHOLE),
	ROOT("/sys/class/mdev_bus", ROOT_WHOLE),
	ROOT("/sys/class/misc/vfio", ROOT_WHOLE),
	ROOT("/sys/class/misc/iommu", ROOT_WHOLE),
	ROOT("/sys/dev/char", ROOT_ENTRIES),
	PREFIX("/sys/devices/pci", ROOT_PCI),
	ROOT("/sys/devices/virtual/vfio", ROOT_WHOLE),
	ROOT("/sys/devices/virtual/iommu", ROOT_WHOLE),
	ROOT("/sys/devices/virtual/misc/vfio", ROOT_WHOLE),
	ROOT("/sys/devices/virtual/misc/iommu", ROOT_WHOLE),
	ROOT("/sys/kernel/iommu_groups", ROOT_WHOLE),
#ifdef UVFIO_IOMMUFD_TEST
	ROOT("/sys/kernel/debug", ROOT_PCI),
#endif
	PREFIX("/sys/module/vfio", ROOT_WHOLE),
	ROOT("/sys/module/mdev", ROOT_WHOLE),
	ROOT("/sys/module/iommufd", ROOT_WHOLE),
	/* parents of mediated devices, and their classes; the host's directories stay its own */
	ROOT("/sys/class/misc", ROOT_NONE),
	ROOT("/sys/devices/virtual/misc", ROOT_NONE),
	PREFIX("/sys/class/", ROOT_PCI),
	PREFIX("/sys/devices/virtual/", ROOT_PCI),
};

enum cwd_kind {
	CWD_FAR,     /* relative paths without ".." are not ours */
	CWD_NEAR,    /* "/", or in /dev or /sys */
	CWD_SESSION, /* in the session directory */
};

static _Atomic int cwd_kind;

/* A path under construction. text[0..len) has no final slash; it is empty for "/". */
struct walk {
	char *text;
	size_t len, size;
	enum root_kind kind;
	size_t root_len;  /* how much of text is the root */
	const char *rest; /* what followed the root in the string that was being read */
	bool dotdot;      /* the rest has ".." */
	bool left;        /* it was in a root once and is no longer: the host may not have that root */
	bool too_long;
};

static bool root_is(const struct root *root, const char *text, size_t len)
{
	return (root->prefix ? len >= root->len : len == root->len) && !memcmp(text, root->path, root->len);
}

static enum root_kind find_root(const char *text, size_t len)
{
	for (size_t i = 0; i < ARRAY_SIZE(roots); i++)
		if (root_is(&roots[i], text, len))
			return roots[i].kind;
	return ROOT_NONE;
}

static void walk_up(struct walk *walk)
{
	while (walk->len && walk->text[--walk->len] != '/') {
	}
	if (walk->kind && walk->len < walk->root_len) {
		walk->kind = ROOT_NONE;
		walk->dotdot = false;
		walk->left = true;
	} else if (walk->kind) {
		walk->dotdot = true;
	}
}

static void walk_down(struct walk *walk, const char *name, size_t n)
{
	if (walk->len + n + 2 > walk->size) {
		walk->too_long = true;
		return;
	}
	walk->text[walk->len++] = '/';
	memcpy(walk->text + walk->len, name, n);
	walk->len += n;
	if (!walk->kind) {
		walk->kind = find_root(walk->text, walk->len);
		walk->root_len = walk->len;
		walk->rest = name + n;
	}
}

static void walk_path(struct walk *walk, const char *path)
{
	while (*path && !walk->too_long) {
		size_t n = strcspn(path, "/");

		if (n == 2 && path[0] == '.' && path[1] == '.')
			walk_up(walk);
		else if (n && !(n == 1 && path[0] == '.'))
			walk_down(walk, path, n);
		path += n;
		path += strspn(path, "/");
	}
}

/* Where a relative path starts, as the program knows it. *inside: in the session. False: unknown. */
static bool base_of(int dirfd, struct path_buf *base, bool *inside)
{
	char link[32];
	const char *name;
	ssize_t n;

	if (dirfd == AT_FDCWD) {
		if (!REAL(getcwd)(base->text, sizeof(base->text)))
			return false;
	} else {
		snprintf(link, sizeof(link), "/proc/self/fd/%d", dirfd);
		n = REAL(readlink)(link, base->text, sizeof(base->text) - 1);
		if (n < 0)
			return false;
		base->text[n] = 0;
	}
	name = path_to_program(base->text);
	*inside = name;
	if (name)
		memmove(base->text, name, strlen(name) + 1);
	return base->text[0] == '/';
}

static bool tree_has(const char *host)
{
	struct stat st;

	return !REAL(lstat)(host, &st);
}

/* --kvm=off: /dev/kvm is ours, and not there, neither here nor the host's. */
static bool is_hidden(struct walk *walk, const char *host)
{
	bool hidden;

	if (strcmp(walk->text, "/dev/kvm") != 0)
		return false;
	memcpy(walk->text + walk->root_len, ".off", 5); /* there is room: it has that of any path */
	hidden = tree_has(host);
	walk->text[walk->root_len] = 0;
	return hidden;
}

/* For the shared kinds: is it in the tree? The entry below the root decides for all that is below it. */
static bool overlay_is_ours(struct walk *walk, const char *host)
{
	char *entry = walk->text + walk->root_len;
	char *end;
	char saved;
	bool has;

	if (!*entry)
		return walk->kind == ROOT_PCI && (tree_has(host) || is_hidden(walk, host));
	end = entry + 1 + strcspn(entry + 1, "/");
	saved = *end;
	*end = 0;
	has = tree_has(host);
	*end = saved;
	return has;
}

/* The rest as the program wrote it: base's (when the root lies in it), then path's. False: too long. */
static bool append_rest(struct walk *walk, const char *base, const char *path)
{
	bool in_base = base && walk->rest >= base && walk->rest <= base + strlen(base);
	size_t room = walk->size - walk->root_len;
	int n;

	n = in_base ? snprintf(walk->text + walk->root_len, room, "%s/%s", walk->rest, path)
		    : snprintf(walk->text + walk->root_len, room, "%s", walk->rest);
	return n >= 0 && (size_t)n < room;
}

const char *path_to_host_slow(int dirfd, const char *path, struct path_buf *buf)
{
	struct walk walk = { .text = buf->text + session.dir_len,
			     .size = sizeof(buf->text) - session.dir_len - 2 };
	int saved_errno = errno;
	struct path_buf base;
	bool relative = path[0] != '/', inside = false, known = true, ours;
	size_t n = strlen(path);

	if (relative)
		known = base_of(dirfd, &base, &inside);
	if (known && relative)
		walk_path(&walk, base.text);
	if (known)
		walk_path(&walk, path);
	errno = saved_errno;
	if (!known || walk.too_long)
		return NULL;
	if (n && path[n - 1] == '/')
		walk.text[walk.len++] = '/';
	walk.text[walk.len] = 0;
	memcpy(buf->text, session.dir, session.dir_len);

	ours = walk.kind == ROOT_WHOLE || (walk.kind && overlay_is_ours(&walk, buf->text));
	errno = saved_errno;
	if (!ours)
		return inside || walk.left ? (walk.len ? walk.text : "/") : NULL;
	if (walk.dotdot && !append_rest(&walk, relative ? base.text : NULL, path))
		return NULL;
	return buf->text;
}

static bool has_dotdot(const char *path)
{
	return strstr(path, "..");
}

bool path_may_be_ours(int dirfd, const char *path)
{
	if (path[0] == '/') {
		if (path[1] == 'd' || path[1] == 's')
			return !strncmp(path, "/dev", 4) || !strncmp(path, "/sys", 4) || has_dotdot(path);
		return path[1] == '/' || path[1] == '.' || has_dotdot(path);
	}
	if (!path[0])
		return false;
	if (dirfd == AT_FDCWD)
		return atomic_load_explicit(&cwd_kind, memory_order_relaxed) != CWD_FAR || has_dotdot(path);
	return strstr(path, "vfio") || strstr(path, "pci") || strstr(path, "iommu") || strstr(path, "mdev") ||
	       strstr(path, "kvm");
}

const char *path_to_program(const char *host)
{
	const char *name = host + session.dir_len;

	if (!session.on || strncmp(host, session.dir, session.dir_len))
		return NULL;
	if (strncmp(name, "/dev", 4) && strncmp(name, "/sys", 4))
		return NULL;
	return name[4] == '/' || !name[4] ? name : NULL;
}

bool path_of_fd(int fd, struct path_buf *buf)
{
	int saved_errno = errno;
	const char *name = NULL;
	char link[32];
	ssize_t n;

	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	n = REAL(readlink)(link, buf->text, sizeof(buf->text) - 1);
	errno = saved_errno;
	if (n > 0) {
		buf->text[n] = 0;
		name = path_to_program(buf->text);
	}
	if (name)
		memmove(buf->text, name, strlen(name) + 1);
	return name;
}

void path_note_cwd(void)
{
	int saved_errno = errno;
	char cwd[PATH_MAX];
	int kind = CWD_FAR;

	if (REAL(getcwd)(cwd, sizeof(cwd))) {
		if (path_to_program(cwd))
			kind = CWD_SESSION;
		else if (!cwd[1] || !strncmp(cwd, "/dev", 4) || !strncmp(cwd, "/sys", 4))
			kind = CWD_NEAR;
	}
	atomic_store(&cwd_kind, kind);
	errno = saved_errno;
}

/* Skip one path component that is "self", "thread-self" or our own process id. */
static const char *skip_self(const char *p)
{
	char *end;

	if (!strncmp(p, "self/", 5))
		return p + 5;
	if (!strncmp(p, "thread-self/", 12))
		return p + 12;
	if (*p < '1' || *p > '9' || strtol(p, &end, 10) != getpid() || *end != '/')
		return NULL;
	return end + 1;
}

const char *path_in_own_proc(const char *path)
{
	return strncmp(path, "/proc/", 6) ? NULL : skip_self(path + 6);
}

int path_own_fd_slow(const char *path, const char *dir)
{
	size_t n = strlen(dir);
	const char *p;
	char *end;
	long fd;

	if (!strncmp(path, "/dev/fd/", 8) && n == 2) {
		p = path + 8;
	} else if ((p = path_in_own_proc(path))) {
		if (!strncmp(p, "task/", 5)) {
			p += 5 + strcspn(p + 5, "/");
			p += *p == '/';
		}
		if (strncmp(p, dir, n) || p[n] != '/')
			return -1;
		p += n + 1;
	} else {
		return -1;
	}
	if (*p < '0' || *p > '9')
		return -1;
	fd = strtol(p, &end, 10);
	return *end || fd > INT_MAX || !fdtable_is_ours((int)fd) ? -1 : (int)fd;
}
