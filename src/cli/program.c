/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Is PROGRAM something that the preload library can be loaded into?
 *
 * It has to be a dynamically linked ELF file for our architecture and C library, without set-user-ID,
 * set-group-ID or file capabilities (the loader ignores LD_PRELOAD there), or a script whose interpreter is
 * such a file.
 */
#include "base/elf_file.h"
#include "cli/cli.h"

#include <elf.h>
#include <fcntl.h>
#include <limits.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#define MAX_SCRIPTS 5 /* a script's interpreter may be a script, so often */

/* What we are ourselves: the architecture and loader that a program has to share with the preload library. */
static const struct elf_facts *own_elf(void)
{
	static struct elf_facts own;
	int fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);

	if (fd < 0 || elf_read(fd, &own))
		own = (struct elf_facts){ .has_dynamic = true };
	if (fd >= 0)
		close(fd);
	return &own;
}

static int check_elf(int fd, const char *path)
{
	const struct elf_facts *own = own_elf();
	struct elf_facts elf;
	int rc = elf_read(fd, &elf);

	if (rc == -EXDEV || (!rc && *own->loader && elf.header.e_machine != own->header.e_machine)) {
		complain("%s: is built for another architecture: use a %u-bit program for this machine", path,
			 (unsigned int)(8 * sizeof(void *)));
		return EXIT_ERROR;
	}
	if (rc) {
		complain("%s: is a damaged ELF file: build or install it again", path);
		return EXIT_NOT_EXECUTABLE;
	}
	if (!*elf.loader && elf.has_dynamic && *own->loader &&
	    !strcmp(base_name(path), base_name(own->loader)))
		return 0; /* the loader itself: "ld.so PROGRAM" obeys LD_PRELOAD */
	if (!*elf.loader || !elf.has_dynamic) {
		complain("%s: is statically linked: uvfio can only run a dynamically linked program", path);
		return EXIT_ERROR;
	}
	if (*own->loader && strcmp(base_name(elf.loader), base_name(own->loader))) {
		complain("%s: is built for another C library (its loader is %s): use a program that is "
			 "linked with %s",
			 path, elf.loader, base_name(own->loader));
		return EXIT_ERROR;
	}
	return 0;
}

static int check_privileges(int fd, const char *path)
{
	struct stat st;
	const char *what = fstat(fd, &st) ? NULL : elf_privileges(fd, &st);

	if (!what)
		return 0;
	complain("%s: %s: the loader would not let uvfio in; run a copy of it (cp drops that)", path, what);
	return EXIT_ERROR;
}

static int check_file(const char *path, unsigned int depth, bool *shell_script);

/* "#!INTERPRETER [ARGUMENT]" in head. */
static int check_script(const char *head, const char *path, unsigned int depth)
{
	char interpreter[256];
	bool shell_script = false;

	script_interpreter(head, interpreter, sizeof(interpreter));
	if (depth >= MAX_SCRIPTS || !*interpreter) {
		complain("%s: its first line names no interpreter that can run it", path);
		return EXIT_NOT_EXECUTABLE;
	}
	if (access(interpreter, X_OK)) {
		complain("%s: its interpreter %s cannot be run: %s", path, interpreter, strerror(errno));
		return EXIT_NOT_EXECUTABLE;
	}
	return check_file(interpreter, depth + 1, &shell_script);
}

static int check_file(const char *path, unsigned int depth, bool *shell_script)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC), status;
	char head[256] = "";
	ssize_t n;

	if (fd < 0) {
		/* Executable but not readable: nothing to look at. The loader drops LD_PRELOAD for none of
		 * these. */
		if (errno == EACCES)
			return 0;
		complain("%s: cannot be read: %s", path, strerror(errno));
		return EXIT_NOT_EXECUTABLE;
	}
	n = pread(fd, head, sizeof(head) - 1, 0);
	if (n >= SELFMAG && !memcmp(head, ELFMAG, SELFMAG)) {
		status = check_privileges(fd, path);
		if (!status)
			status = check_elf(fd, path);
	} else if (n >= 2 && !memcmp(head, "#!", 2)) {
		status = check_script(head, path, depth);
	} else if (n > 0 && memchr(head, 0, (size_t)n)) {
		complain("%s: is not a program: neither ELF nor a script", path);
		status = EXIT_NOT_EXECUTABLE;
	} else if (depth) {
		complain("%s: is an interpreter that cannot be executed itself: neither ELF nor a script "
			 "with #!",
			 path);
		status = EXIT_NOT_EXECUTABLE;
	} else {
		*shell_script = true;
		status = check_file("/bin/sh", 1, &(bool){ false });
	}
	close(fd);
	return status;
}

/* Copy "DIR/NAME" and say whether a program could be there: 0, -ENOENT, -EACCES. */
static int try_path(const char *dir, size_t dir_len, const char *name, char path[PATH_MAX])
{
	struct stat st;
	int n = snprintf(path, PATH_MAX, "%.*s%s%s", (int)dir_len, dir, dir_len ? "/" : "", name);

	if (n < 0 || n >= PATH_MAX || stat(path, &st))
		return -ENOENT;
	return S_ISREG(st.st_mode) && !access(path, X_OK) ? 0 : -EACCES;
}

static int search_path(const char *name, char path[PATH_MAX])
{
	const char *dirs = getenv("PATH");
	int rc = -ENOENT;

	if (!dirs)
		dirs = "/usr/local/bin:/usr/bin:/bin";
	for (;;) {
		size_t len = strcspn(dirs, ":");
		char candidate[PATH_MAX];
		int found = try_path(dirs, len, name, candidate);

		if (found != -ENOENT && rc == -ENOENT)
			strcpy(path, candidate); /* to name it when nothing better comes */
		if (found == -EACCES)
			rc = -EACCES;
		if (!found) {
			strcpy(path, candidate);
			return 0;
		}
		if (!dirs[len])
			return rc;
		dirs += len + 1;
	}
}

static int not_executable(const char *path)
{
	const struct passwd *owner;
	struct statvfs fs;
	struct stat st;

	if (stat(path, &st)) {
		complain("%s: cannot be executed: %s", path, strerror(errno));
	} else if (S_ISDIR(st.st_mode)) {
		complain("%s: is a directory: name a program", path);
	} else if (!(st.st_mode & (S_IXUSR | S_IXGRP | S_IXOTH))) {
		complain("%s: is not executable: chmod +x makes it so", path);
	} else if (!statvfs(path, &fs) && (fs.f_flag & ST_NOEXEC)) {
		complain("%s: lies on a file system that is mounted noexec: copy it to another", path);
	} else {
		owner = getpwuid(st.st_uid);
		complain("%s: may not be executed by this user: it is %s's and has mode %03o", path,
			 owner ? owner->pw_name : "somebody else", st.st_mode & 0777);
	}
	return EXIT_NOT_EXECUTABLE;
}

int program_find(const char *name, struct program *program)
{
	bool has_slash = strchr(name, '/');
	int rc;

	program->shell_script = false;
	rc = has_slash ? try_path("", 0, name, program->path)
	     : *name   ? search_path(name, program->path)
		       : -ENOENT;
	if (rc == -ENOENT) {
		if (has_slash)
			complain("%s: there is no such program", name);
		else
			complain("%s: there is no such program in PATH", *name ? name : "\"\"");
		return EXIT_NOT_FOUND;
	}
	if (rc)
		return not_executable(program->path);
	return check_file(program->path, 0, &program->shell_script);
}
