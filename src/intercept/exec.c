/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Hooks: a program that takes this one's place. They only look at it; the C library's functions of this
 * family call each other within the library, so each of them is here.
 */
#include "intercept/exec.h"
#include "intercept/intercept.h"

#include <alloca.h>
#include <stdarg.h>

EXPORT int execve(const char *path, char *const argv[], char *const envp[])
{
	exec_check(path, envp);
	return REAL(execve)(path, argv, envp);
}

EXPORT int execv(const char *path, char *const argv[])
{
	exec_check(path, environ);
	return REAL(execv)(path, argv);
}

EXPORT int execvp(const char *file, char *const argv[])
{
	exec_check_in_path(file, environ);
	return REAL(execvp)(file, argv);
}

EXPORT int execvpe(const char *file, char *const argv[], char *const envp[])
{
	exec_check_in_path(file, envp);
	return REAL(execvpe)(file, argv, envp);
}

/* The arguments from first on as an array in the caller's frame; ap is left behind the NULL. */
#define COLLECT(first, ap, argv)                                                                             \
	do {                                                                                                 \
		va_list count_;                                                                              \
		size_t n_ = 1;                                                                               \
                                                                                                             \
		va_copy(count_, ap);                                                                         \
		while (va_arg(count_, char *))                                                               \
			n_++;                                                                                \
		va_end(count_);                                                                              \
		argv = alloca((n_ + 1) * sizeof(*argv));                                                     \
		argv[0] = (char *)(uintptr_t)first;                                                          \
		for (size_t i_ = 1; i_ <= n_; i_++)                                                          \
			argv[i_] = va_arg(ap, char *);                                                       \
	} while (0)

EXPORT int execl(const char *path, const char *first, ...)
{
	char **argv;
	va_list ap;

	va_start(ap, first);
	COLLECT(first, ap, argv);
	va_end(ap);
	exec_check(path, environ);
	return REAL(execv)(path, argv);
}

EXPORT int execlp(const char *file, const char *first, ...)
{
	char **argv;
	va_list ap;

	va_start(ap, first);
	COLLECT(first, ap, argv);
	va_end(ap);
	exec_check_in_path(file, environ);
	return REAL(execvp)(file, argv);
}

EXPORT int execle(const char *path, const char *first, ...)
{
	char *const *envp;
	char **argv;
	va_list ap;

	va_start(ap, first);
	COLLECT(first, ap, argv);
	envp = va_arg(ap, char *const *);
	va_end(ap);
	exec_check(path, envp);
	return REAL(execve)(path, argv, envp);
}
