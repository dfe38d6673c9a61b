/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The switches of the kernel's failure injection below /sys/kernel/debug, for programs that look for them
 * before they write to fail-nth (intercept/failnth.c). They have no effect: our failpoints obey fail-nth
 * alone. In builds with the option iommufd_test, and where the kernel has none itself.
 */
#include "machine/impl.h"
#include "machine/tree.h"

#include <stdio.h>
#include <unistd.h>

void write_debugfs(struct tree *tree)
{
#ifdef UVFIO_IOMMUFD_TEST
	static const char *const kinds[] = { "failslab", "fail_page_alloc", "fail_iommufd" };
	static const struct {
		const char *name, *value;
	} files[] = {
		{ "ignore-gfp-wait", "N" }, { "ignore-gfp-highmem", "N" },
		{ "interval", "1" },        { "probability", "0" },
		{ "space", "0" },           { "task-filter", "N" },
		{ "times", "1" },           { "verbose", "2" },
	};
	char path[80];

	if (!access("/sys/kernel/debug/failslab", F_OK))
		return;
	for (unsigned int i = 0; i < ARRAY_SIZE(kinds); i++) {
		for (unsigned int j = 0; j < ARRAY_SIZE(files); j++) {
			snprintf(path, sizeof(path), "sys/kernel/debug/%s/%s", kinds[i], files[j].name);
			tree_text(tree, path, 0600, "%s", files[j].value);
		}
	}
#else
	(void)tree;
#endif
}
