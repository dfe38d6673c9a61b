/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Can a preload library get into a program file? What the launcher asks before it runs one, and the preload
 * library when the program starts another. Nothing here allocates or takes a lock.
 */
#ifndef UVFIO_BASE_ELF_FILE_H
#define UVFIO_BASE_ELF_FILE_H

#include "base/base.h"

#include <link.h>
#include <sys/stat.h>

struct elf_facts {
	ElfW(Ehdr) header;
	bool has_dynamic;
	char loader[256]; /* PT_INTERP, or "" */
};

/* -ENOEXEC: a damaged file; -EXDEV: another architecture or word size. */
int elf_read(int fd, struct elf_facts *elf);

/* "is a set-user-ID program" and the like, for which the loader ignores LD_PRELOAD; NULL. */
const char *elf_privileges(int fd, const struct stat *st);

/* The interpreter that the script's beginning ("#!...", ending in a NUL) names. */
void script_interpreter(const char *head, char *buf, size_t len);

const char *base_name(const char *path);

#endif
