/* SPDX-License-Identifier: BSD-2-Clause */
#include "base/elf_file.h"

#include <elf.h>
#include <stdio.h>
#include <string.h>
#include <sys/xattr.h>
#include <unistd.h>

static int read_segments(int fd, struct elf_facts *elf)
{
	for (unsigned int i = 0; i < elf->header.e_phnum; i++) {
		ElfW(Phdr) ph;
		off_t at = (off_t)(elf->header.e_phoff + (uint64_t)i * sizeof(ph));

		if (pread(fd, &ph, sizeof(ph), at) != sizeof(ph))
			return -ENOEXEC;
		if (ph.p_type == PT_DYNAMIC)
			elf->has_dynamic = true;
		if (ph.p_type != PT_INTERP)
			continue;
		if (!ph.p_filesz || ph.p_filesz > sizeof(elf->loader) ||
		    pread(fd, elf->loader, ph.p_filesz, (off_t)ph.p_offset) != (ssize_t)ph.p_filesz)
			return -ENOEXEC;
		elf->loader[ph.p_filesz - 1] = 0;
	}
	return 0;
}

int elf_read(int fd, struct elf_facts *elf)
{
	*elf = (struct elf_facts){ .has_dynamic = false };
	if (pread(fd, &elf->header, sizeof(elf->header), 0) != sizeof(elf->header))
		return -ENOEXEC;
	if (elf->header.e_ident[EI_CLASS] != (sizeof(void *) == 8 ? ELFCLASS64 : ELFCLASS32))
		return -EXDEV;
	if (elf->header.e_phentsize != sizeof(ElfW(Phdr)))
		return -ENOEXEC;
	return read_segments(fd, elf);
}

const char *elf_privileges(int fd, const struct stat *st)
{
	if (st->st_mode & S_ISUID)
		return "is a set-user-ID program";
	if ((st->st_mode & (S_ISGID | S_IXGRP)) == (S_ISGID | S_IXGRP))
		return "is a set-group-ID program";
	if (fgetxattr(fd, "security.capability", NULL, 0) > 0)
		return "has file capabilities";
	return NULL;
}

void script_interpreter(const char *head, char *buf, size_t len)
{
	const char *start = head + 2 + strspn(head + 2, " \t");

	snprintf(buf, len, "%.*s", (int)MIN(strcspn(start, " \t\n"), len), start);
}

const char *base_name(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? slash + 1 : path;
}
