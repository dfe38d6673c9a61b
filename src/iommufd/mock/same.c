/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Where memory is the same: at one address of one process, or at one place of a file that two stretches of
 * memory map. /proc/PID/maps tells.
 */
#include "iommufd/mock/mock.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/sysmacros.h>

static bool parse(const char *line, struct mock_vma *vma)
{
	unsigned int major_nr, minor_nr;

	if (sscanf(line, "%" SCNx64 "-%" SCNx64 " %*s %" SCNx64 " %x:%x %" SCNu64, &vma->start, &vma->end,
		   &vma->offset, &major_nr, &minor_nr, &vma->inode) != 6)
		return false;
	vma->dev = makedev(major_nr, minor_nr);
	return true;
}

/* The stretch around va, in *vma. False: there is none. */
static bool find_vma(struct mm *mm, uint64_t va, struct mock_vma *vma)
{
	char path[32] = "/proc/self/maps", *line = NULL;
	bool found = false;
	size_t room = 0;
	FILE *maps;

	if (vma->mm == mm && va >= vma->start && va < vma->end)
		return true;
	if (!mm->self)
		snprintf(path, sizeof(path), "/proc/%d/maps", (int)mm->pid);
	maps = fopen(path, "re");
	if (!maps)
		return false;
	while (!found && getline(&line, &room, maps) > 0)
		found = parse(line, vma) && va >= vma->start && va < vma->end;
	free(line);
	fclose(maps);
	vma->mm = found ? mm : NULL;
	return found;
}

bool mock_same_byte(const struct mm_page *page, struct mock_vma *a, struct mm *mm, uint64_t va,
		    struct mock_vma *b)
{
	if (page->mm == mm && page->va == va)
		return true;
	if (!find_vma(page->mm, page->va, a) || !find_vma(mm, va, b))
		return false;
	return a->inode && a->inode == b->inode && a->dev == b->dev &&
	       page->va - a->start + a->offset == va - b->start + b->offset;
}
