/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * One image behind two devices, one of which writes: each has its own idea of what is in it, and whoever
 * reads the other's half-done work has a damaged image. Refused, unless all of them only read.
 *
 * By convention the options of a model that say so are called "file" and "readonly".
 */
#include "machine/impl.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

/* The value of key, doubled commas undone. */
static bool option_value(const char *text, const char *key, char *buf, size_t size)
{
	size_t key_len = strlen(key), len, n;
	const char *item;
	bool found = false;

	while (option_item(&text, &item, &len)) {
		if (len <= key_len || item[key_len] != '=' || memcmp(item, key, key_len))
			continue;
		n = 0;
		for (size_t i = key_len + 1; i < len && n + 1 < size; i++) {
			buf[n++] = item[i];
			i += item[i] == ',';
		}
		buf[n] = 0;
		found = true;
	}
	return found;
}

struct image {
	char path[PATH_MAX];
	dev_t dev, rdev;
	ino_t ino;
	bool readonly;
};

/* False when there is none; what is wrong with it, the model says. */
static bool find_image(const struct device_config *dev, struct image *image)
{
	char readonly[8];
	struct stat st;

	if (!option_value(dev->options, "file", image->path, sizeof(image->path)) || stat(image->path, &st))
		return false;
	image->dev = st.st_dev;
	image->ino = st.st_ino;
	image->rdev = S_ISBLK(st.st_mode) ? st.st_rdev : 0;
	image->readonly =
		option_value(dev->options, "readonly", readonly, sizeof(readonly)) && !strcmp(readonly, "on");
	return true;
}

static bool same_image(const struct image *a, const struct image *b)
{
	if (a->rdev || b->rdev)
		return a->rdev == b->rdev;
	return a->dev == b->dev && a->ino == b->ino;
}

int machine_check_images(const struct machine_config *config, char *err, size_t err_len)
{
	struct image a, b;

	for (unsigned int i = 0; i < config->nr_devices; i++) {
		if (!find_image(&config->devices[i], &a))
			continue;
		for (unsigned int k = i + 1; k < config->nr_devices; k++) {
			if (!find_image(&config->devices[k], &b) || !same_image(&a, &b) ||
			    (a.readonly && b.readonly))
				continue;
			snprintf(err, err_len,
				 "%s: file=%s is behind two devices: use two images, or readonly=on for both",
				 config->devices[k].model->name, b.path);
			return -EINVAL;
		}
	}
	return 0;
}
