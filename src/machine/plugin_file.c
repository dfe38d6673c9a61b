/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Can the loader be trusted with this file? It maps what the headers say and looks at it: a file that has
 * been cut short would end the process, and a pipe would keep it waiting.
 */
#include "machine/plugin.h"

#include <elf.h>
#include <fcntl.h>
#include <link.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static bool is_shared_object(const ElfW(Ehdr) * header)
{
	return !memcmp(header->e_ident, ELFMAG, SELFMAG) &&
	       header->e_ident[EI_CLASS] == (sizeof(void *) == 8 ? ELFCLASS64 : ELFCLASS32) &&
	       header->e_type == ET_DYN && header->e_phentsize == sizeof(ElfW(Phdr));
}

static bool segments_complete(int fd, const ElfW(Ehdr) * header, uint64_t size)
{
	for (unsigned int i = 0; i < header->e_phnum; i++) {
		ElfW(Phdr) ph;
		uint64_t end;

		if (pread(fd, &ph, sizeof(ph), (off_t)(header->e_phoff + i * sizeof(ph))) != sizeof(ph) ||
		    add_overflows(ph.p_offset, ph.p_filesz, &end) || end > size)
			return false;
	}
	return true;
}

/* What is wrong with the file, or NULL. */
static const char *judge(int fd)
{
	ElfW(Ehdr) header;
	struct stat st;

	if (fstat(fd, &st))
		return strerror(errno);
	if (!S_ISREG(st.st_mode))
		return "is not a regular file";
	if (pread(fd, &header, sizeof(header), 0) != sizeof(header) || !is_shared_object(&header))
		return "is no shared object: a device is compiled with cc -fPIC -shared";
	if (!segments_complete(fd, &header, (uint64_t)st.st_size))
		return "is a damaged shared object: build it again";
	return NULL;
}

int plugin_check_file(const char *path, char *err, size_t err_len)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	const char *wrong;

	if (fd < 0) {
		snprintf(err, err_len, "plug-in %s: %s", path, strerror(errno));
		return -EINVAL;
	}
	wrong = judge(fd);
	close(fd);
	if (!wrong)
		return 0;
	snprintf(err, err_len, "plug-in %s %s", path, wrong);
	return -EINVAL;
}
