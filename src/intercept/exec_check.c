/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Will the program that is about to start see the devices? Nothing of ours gets into one that is statically
 * linked or privileged, or that is given an environment without our library: it would find none, and nobody
 * would know why. So it is told, once for each such program of a session: a file of the session's directory
 * notes that it was, since the process that starts it usually ends with that.
 *
 * Runs in children of fork() and vfork(): takes no lock, allocates nothing.
 */
#include "base/elf_file.h"
#include "base/log.h"
#include "intercept/exec.h"
#include "intercept/intercept.h"

#include <dlfcn.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/statvfs.h>

#define MAX_SCRIPTS 5

/* Our own path as LD_PRELOAD has it; "" when we came by another way, which then needs no LD_PRELOAD. */
static char own_path[PATH_MAX];

__attribute__((constructor)) static void note_own_path(void)
{
	const char *preload = getenv("LD_PRELOAD");
	Dl_info info;

	if (preload && dladdr(&session, &info) && info.dli_fname && strstr(preload, info.dli_fname))
		snprintf(own_path, sizeof(own_path), "%s", info.dli_fname);
}

/* The first time in this session? */
static bool first_time(const char *path, const char *what)
{
	char note[PATH_MAX + 32];
	uint64_t hash = 14695981039346656037u;
	int fd;

	for (const char *s = path; *s; s++)
		hash = (hash ^ (uint64_t)(unsigned char)*s) * 1099511628211u;
	snprintf(note, sizeof(note), "%s/told-%016llx%c", session.dir, (unsigned long long)hash, *what);
	fd = REAL(open)(note, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd < 0)
		return errno != EEXIST;
	REAL(close)(fd);
	return true;
}

static void tell(const char *path, const char *what)
{
	if (first_time(path, what))
		uvfio_err("%s: %s; it does not see the devices", path, what);
}

/* Would it run with other rights than ours? */
static bool gains_rights(int fd, const struct stat *st)
{
	struct statvfs fs;

	if (prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1 || (!fstatvfs(fd, &fs) && (fs.f_flag & ST_NOSUID)))
		return false;
	if (st->st_mode & S_ISUID)
		return st->st_uid != geteuid();
	return st->st_mode & S_ISGID ? st->st_gid != getegid() : geteuid() != 0;
}

/* What keeps us out of the file: NULL: nothing; or a script, and its interpreter is to be looked at. */
static const char *look(int fd, const char *path, char *interpreter, size_t len)
{
	const char *what;
	struct elf_facts elf;
	char head[256] = "";
	struct stat st;

	*interpreter = 0;
	if (REAL(fstat)(fd, &st) || !S_ISREG(st.st_mode) ||
	    REAL(pread)(fd, head, sizeof(head) - 1, 0) < SELFMAG)
		return NULL;
	if (!memcmp(head, "#!", 2)) {
		script_interpreter(head, interpreter, len);
		return NULL;
	}
	if (memcmp(head, ELFMAG, SELFMAG))
		return NULL;
	what = elf_privileges(fd, &st);
	if (what && gains_rights(fd, &st))
		return what;
	/* what obeys LD_PRELOAD itself: "ld.so PROGRAM", and valgrind's tools */
	if (elf_read(fd, &elf) || *elf.loader || !strncmp(base_name(path), "ld", 2) ||
	    strstr(path, "/valgrind/"))
		return NULL;
	return "is statically linked";
}

static bool environment_has_us(char *const *envp)
{
	bool has_session = false, has_preload = !*own_path;

	for (; envp && *envp; envp++) {
		has_session |= !strncmp(*envp, "UVFIO_SESSION=", strlen("UVFIO_SESSION="));
		has_preload |=
			!strncmp(*envp, "LD_PRELOAD=", strlen("LD_PRELOAD=")) && strstr(*envp, own_path);
	}
	return has_session && has_preload;
}

static void check_file(const char *path)
{
	char name[256], interpreter[256];
	const char *what;

	snprintf(name, sizeof(name), "%s", path);
	for (unsigned int i = 0; i < MAX_SCRIPTS && *name; i++) {
		int fd = REAL(open)(i ? name : path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);

		if (fd < 0)
			return;
		what = look(fd, name, interpreter, sizeof(interpreter));
		REAL(close)(fd);
		if (what)
			tell(i ? name : path, what);
		memcpy(name, interpreter, sizeof(name));
	}
}

void exec_check(const char *path, char *const *envp)
{
	int saved_errno = errno;

	if (!session.on || !path || REAL(access)(path, X_OK)) {
		errno = saved_errno;
		return;
	}
	if (environment_has_us(envp))
		check_file(path);
	else
		tell(path, "gets an environment without uvfio's LD_PRELOAD and UVFIO_SESSION");
	errno = saved_errno;
}

void exec_check_in_path(const char *file, char *const *envp)
{
	const char *dirs = getenv("PATH");
	char path[PATH_MAX];
	int saved_errno = errno;

	if (!session.on || !file || !*file)
		return;
	if (strchr(file, '/')) {
		exec_check(file, envp);
		return;
	}
	for (dirs = dirs ? dirs : "/bin:/usr/bin"; *dirs; dirs += *dirs == ':') {
		size_t len = strcspn(dirs, ":");
		int n = snprintf(path, sizeof(path), "%.*s%s%s", (int)len, dirs, len ? "/" : "", file);

		if (n > 0 && (size_t)n < sizeof(path) && !REAL(access)(path, X_OK)) {
			exec_check(path, envp);
			break;
		}
		dirs += len;
	}
	errno = saved_errno;
}
