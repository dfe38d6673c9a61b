/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The session directory: what the program's preload library reads, and memory that its processes share.
 *
 *   machine      the description: "device ..." and "iommu ..." lines
 *   dev/, sys/   the trees that stand for /dev and /sys
 *   stats        counters (base/trace.h)
 *   owner        locked as long as the launcher lives
 *   mdevs        the mediated devices, and who removes one (machine/mdev.h); mdevs.lock for who changes them
 *   ctl          with --ctl, the socket of `uvfio ctl` (ctl_server.c)
 *   preload.so   a link to the preload library, when its own path cannot be written into LD_PRELOAD
 *
 * It is made below TMPDIR with mode 0700, and removed when the program has ended. A launcher that was killed
 * with SIGKILL takes the program with it but leaves the directory: the next one of the same user, or uvfio
 * ctl, removes it.
 */
#include "cli/cli.h"

#include "base/trace.h"
#include "machine/machine.h"

#include <dirent.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define PREFIX  "uvfio-"
#define DEEPEST 256 /* the longest path within a session */

static void session_path(const struct session *session, const char *name, char path[PATH_MAX])
{
	snprintf(path, PATH_MAX, "%.*s/%s", PATH_MAX - DEEPEST, session->dir, name);
}

/* The lock comes into being locked, so that nobody takes a session that is being made for one that was left.
 */
static int lock_session(struct session *session)
{
	char unlocked[PATH_MAX], path[PATH_MAX];

	session_path(session, "owner.new", unlocked);
	session_path(session, "owner", path);
	session->owner = open(unlocked, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (session->owner < 0)
		return -errno;
	if (flock(session->owner, LOCK_EX | LOCK_NB)) /* a file system without locks: then without */
		return unlink(unlocked) ? -errno : 0;
	return rename(unlocked, path) ? -errno : 0;
}

/* Is dir a session of ours whose launcher is gone? Then *fd has its lock. */
static bool was_left(const char *dir, int *fd)
{
	char path[PATH_MAX];
	struct stat st;

	*fd = -1;
	if (lstat(dir, &st) || !S_ISDIR(st.st_mode) || st.st_uid != geteuid())
		return false;
	if ((size_t)snprintf(path, sizeof(path), "%s/owner", dir) >= sizeof(path))
		return false;
	*fd = open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	return *fd >= 0 && !flock(*fd, LOCK_EX | LOCK_NB);
}

void sessions_each(const char *tmp, void (*fn)(void *arg, const char *dir), void *arg)
{
	DIR *dir = opendir(tmp);
	struct dirent *entry;
	char path[PATH_MAX];

	while (dir && (entry = readdir(dir)))
		if (!strncmp(entry->d_name, PREFIX, strlen(PREFIX)) &&
		    strlen(entry->d_name) == strlen(PREFIX) + 6 &&
		    (size_t)snprintf(path, sizeof(path), "%s/%s", tmp, entry->d_name) < sizeof(path))
			fn(arg, path);
	if (dir)
		closedir(dir);
}

static void remove_if_left(void *arg, const char *dir)
{
	struct session left = { .owner = -1 };
	int fd;

	(void)arg;
	snprintf(left.dir, sizeof(left.dir), "%s", dir);
	if (was_left(dir, &fd))
		session_remove(&left);
	if (fd >= 0)
		close(fd);
}

void sessions_remove_left(const char *tmp)
{
	sessions_each(tmp, remove_if_left, NULL);
}

static int make_directory(struct session *session)
{
	const char *tmp = getenv("TMPDIR");
	char real[PATH_MAX];

	if (!tmp || !*tmp)
		tmp = "/tmp";
	if (!realpath(tmp, real)) {
		complain("temporary directory %s: %s: set TMPDIR to a directory that can be written", tmp,
			 strerror(errno));
		return EXIT_ERROR;
	}
	if (strlen(real) + DEEPEST >= PATH_MAX) {
		complain("temporary directory %.64s...: the path is too long: set TMPDIR to a shorter one",
			 real);
		return EXIT_ERROR;
	}
	sessions_remove_left(real);
	snprintf(session->dir, sizeof(session->dir), "%.*s/" PREFIX "XXXXXX",
		 (int)sizeof(session->dir) - DEEPEST, strcmp(real, "/") ? real : "");
	if (!mkdtemp(session->dir)) {
		complain("temporary directory %s: %s: set TMPDIR to a directory that can be written", tmp,
			 strerror(errno));
		return EXIT_ERROR;
	}
	return 0;
}

/* Who reads it meanwhile reads the old one or the new one. */
int session_describe(const struct session *session, const char *description)
{
	char fresh[PATH_MAX], path[PATH_MAX];
	FILE *f;

	session_path(session, "machine.new", fresh);
	session_path(session, "machine", path);
	f = fopen(fresh, "we");
	if (!f)
		return -errno;
	fputs(description, f);
	if (fclose(f))
		return -errno;
	return rename(fresh, path) ? -errno : 0;
}

struct making {
	struct session *session;
	const char *description;
	bool keep, write; /* the machine itself; the trees */
};

/* Make the machine, which checks everything that the description names, and write what it looks like. */
static int make_machine(void *arg, char *err, size_t err_len)
{
	struct making *making = arg;
	struct session *session = making->session;
	struct uvfio_machine *machine = machine_new(making->description, session->dir, err, err_len);
	int rc = 0;

	if (!machine)
		return -EINVAL;
	if (making->write)
		rc = machine_write_tree(machine, session->dir);
	if (rc)
		snprintf(err, err_len, "session directory %s: cannot be filled: %s", session->dir,
			 strerror(-rc));
	else
		rc = machine_make_mdevs(machine, making->write, err, err_len);
	if (making->keep && !rc)
		session->machine = machine;
	else
		machine_free(machine);
	return rc;
}

/* With ctl the machine is needed here, too; without, a plug-in never runs in the launcher. */
static int check_machine(struct session *session, const char *description)
{
	struct making making = { .session = session, .description = description, .write = !session->ctl };
	bool plugins = trial_needed(description);
	char err[1024] = "";
	int rc = plugins ? trial(description, make_machine, &making, err, sizeof(err)) : 0;

	making.keep = session->ctl;
	making.write = true;
	if (!rc && (!plugins || session->ctl))
		rc = make_machine(&making, err, sizeof(err));
	if (!rc)
		return 0;
	complain("%s", err);
	return rc == -EINTR ? spawn_ended_early() : EXIT_ERROR;
}

/* LD_PRELOAD is a list divided by spaces and colons: a library with such a path is reached through a link. */
static int place_preload(struct session *session)
{
	char link[PATH_MAX];

	if (!strpbrk(session->preload, " :\t\n"))
		return 0;
	session_path(session, "preload.so", link);
	if (strpbrk(link, " :\t\n")) {
		complain("LD_PRELOAD can name neither %s nor %s: set TMPDIR to a path without spaces and "
			 "colons",
			 session->preload, link);
		return EXIT_ERROR;
	}
	if (symlink(session->preload, link)) {
		complain("session directory %s: %s", session->dir, strerror(errno));
		return EXIT_ERROR;
	}
	strcpy(session->preload, link);
	return 0;
}

static int fill(struct session *session, const char *description)
{
	char path[PATH_MAX];
	int rc = lock_session(session), status = rc ? 0 : check_machine(session, description);

	if (!rc && !status)
		status = place_preload(session);
	if (status)
		return status;
	session_path(session, "stats", path);
	if (!rc)
		rc = session_describe(session, description);
	if (!rc)
		rc = stats_attach(path);
	if (rc) {
		complain("session directory %s: cannot be filled: %s", session->dir, strerror(-rc));
		return EXIT_ERROR;
	}
	return 0;
}

int session_create(struct session *session, const char *description)
{
	int status = preload_find(session->preload);
	mode_t mask;

	session->machine = NULL;
	if (!status)
		status = make_directory(session);
	if (status)
		return status;
	mask = umask(077); /* the user's may keep even the user out */
	status = fill(session, description);
	umask(mask);
	if (status)
		session_remove(session);
	return status;
}

static int remove_entry(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st;
	(void)ftw;
	if (type == FTW_DNR || type == FTW_DP || type == FTW_D)
		rmdir(path);
	else
		unlink(path);
	return 0;
}

void session_remove(struct session *session)
{
	if (session->machine)
		machine_free(session->machine);
	if (nftw(session->dir, remove_entry, 16, FTW_DEPTH | FTW_PHYS | FTW_MOUNT) ||
	    !access(session->dir, F_OK))
		complain("session directory %s: cannot be removed: remove it yourself", session->dir);
}
