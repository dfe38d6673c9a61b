/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Writing a tree of files and links: the shadow of /dev and /sys.
 *
 * The first error sticks: later calls do nothing, and the writer looks at tree.error once, at the end. Paths
 * are relative to the root; directories on the way are made.
 */
#ifndef UVFIO_MACHINE_TREE_H
#define UVFIO_MACHINE_TREE_H

#include "base/base.h"

struct tree {
	int root;  /* directory descriptor */
	int error; /* 0 or -errno of the first failure */
};

void tree_dir(struct tree *tree, const char *path);

/* A file with exactly these permission bits, whatever the umask. */
void tree_data(struct tree *tree, const char *path, mode_t mode, const void *data, size_t len);

/* The same with text; the final newline is added. */
void tree_text(struct tree *tree, const char *path, mode_t mode, const char *fmt, ...) __printf(4, 5);

/* The same for one that may be there already: whoever reads it reads the old text or the new one. */
void tree_replace(struct tree *tree, const char *path, mode_t mode, const char *fmt, ...) __printf(4, 5);

/* A socket: what stands for a device node. */
void tree_node(struct tree *tree, const char *path, mode_t mode);

/* Take path away, and what is below it. That it is not there is no error. */
void tree_erase(struct tree *tree, const char *path);

/* A link from path to target, another path of the tree, written relative as sysfs does. */
void tree_link(struct tree *tree, const char *path, const char *target);

#endif
