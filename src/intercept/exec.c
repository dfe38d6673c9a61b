/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Hooks: a program that takes this one's place. They only look at it; the C library's functions of this
 * family call each other within the library, so each of them is here.
 */
#include "intercept/exec.h"
#include "intercept/intercept.h"

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

/* The arguments before the NULL, with the first, which is not in the list. */
static size_t count_arguments(va_list *ap)
{
	va_list copy;
	size_t n = 1;

	va_copy(copy, *ap);
	while (va_arg(copy, char *))
		n++;
	va_end(copy);
	return n;
}

/* All of them and the NULL; *ap is behind it then. */
static void take_arguments(const char *first, va_list *ap, char **argv, size_t n)
{
	argv[0] = (char *)(uintptr_t)first;
	for (size_t i = 1; i <= n; i++)
		argv[i] = va_arg(*ap, char *);
}

/* In this frame: the child of vfork() may not allocate. */
#define ARGUMENTS(argv, first, ap)                                                                           \
	size_t argc_;                                                                                        \
                                                                                                             \
	va_start(ap, first);                                                                                 \
	argc_ = count_arguments(&(ap));                                                                      \
	char *argv[argc_ + 1];                                                                               \
	take_arguments(first, &(ap), argv, argc_)

EXPORT int execl(const char *path, const char *first, ...)
{
	va_list ap;
	ARGUMENTS(argv, first, ap);

	va_end(ap);
	exec_check(path, environ);
	return REAL(execv)(path, argv);
}

EXPORT int execlp(const char *file, const char *first, ...)
{
	va_list ap;
	ARGUMENTS(argv, first, ap);

	va_end(ap);
	exec_check_in_path(file, environ);
	return REAL(execvp)(file, argv);
}

EXPORT int execle(const char *path, const char *first, ...)
{
	char *const *envp;
	va_list ap;
	ARGUMENTS(argv, first, ap);

	envp = va_arg(ap, char *const *);
	va_end(ap);
	exec_check(path, envp);
	return REAL(execve)(path, argv, envp);
}
