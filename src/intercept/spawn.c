/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Hooks: starting programs without a fork() that we would hear of. A new program of this session that
 * inherits descriptors of ours finds out where they are served when it starts (session.c).
 *
 * Not covered: vfork() and exec by hand, unless FD_CLOEXEC was cleared with fcntl() before.
 */
#include "intercept/exec.h"
#include "intercept/intercept.h"
#include "intercept/share.h"

EXPORT int posix_spawn(pid_t *restrict pid, const char *restrict path,
		       const posix_spawn_file_actions_t *restrict actions,
		       const posix_spawnattr_t *restrict attr, char *const argv[restrict],
		       char *const envp[restrict])
{
	intercept_share_files();
	exec_check(path, envp);
	return REAL(posix_spawn)(pid, path, actions, attr, argv, envp);
}

EXPORT int posix_spawnp(pid_t *restrict pid, const char *restrict file,
			const posix_spawn_file_actions_t *restrict actions,
			const posix_spawnattr_t *restrict attr, char *const argv[restrict],
			char *const envp[restrict])
{
	intercept_share_files();
	exec_check_in_path(file, envp);
	return REAL(posix_spawnp)(pid, file, actions, attr, argv, envp);
}

/* These start their shell without passing by the hooks above. */
EXPORT int system(const char *command)
{
	intercept_share_files();
	if (command)
		exec_check("/bin/sh", environ);
	return REAL(system)(command);
}

EXPORT FILE *popen(const char *command, const char *mode)
{
	intercept_share_files();
	exec_check("/bin/sh", environ);
	return REAL(popen)(command, mode);
}
