/* SPDX-License-Identifier: BSD-2-Clause */
/* Programs that are started and would not see the devices (exec_check.c). */
#ifndef UVFIO_INTERCEPT_EXEC_H
#define UVFIO_INTERCEPT_EXEC_H

/* The program at path is about to be executed with the environment envp: say so when we cannot get in. */
void exec_check(const char *path, char *const *envp);
/* The same for a name that is looked for in PATH, as execvp() does. */
void exec_check_in_path(const char *file, char *const *envp);

#endif
