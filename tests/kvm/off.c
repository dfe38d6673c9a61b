/* SPDX-License-Identifier: BSD-2-Clause */
/* --kvm=off: there is no /dev/kvm, by whatever road. */
#include "../intercept/client.h"

#include <dirent.h>

static void is_not_listed(void)
{
	DIR *dir = opendir("/dev");
	const struct dirent *entry;
	unsigned int nr = 0;

	CHECK(dir);
	for (; (entry = readdir(dir)); nr++)
		CHECK(strcmp(entry->d_name, "kvm"));
	CHECK(nr > 3);
	closedir(dir);
}

int main(void)
{
	struct client c;
	struct stat st;
	int dev;

	FAILS(open("/dev/kvm", O_RDWR), ENOENT);
	FAILS(access("/dev/kvm", F_OK), ENOENT);
	FAILS(stat("/dev/kvm", &st), ENOENT);
	FAILS(lstat("/dev/kvm", &st), ENOENT);
	is_not_listed();
	CHECK(!chdir("/dev"));
	FAILS(open("kvm", O_RDWR), ENOENT);
	CHECK((dev = open("/dev", O_RDONLY | O_DIRECTORY)) >= 0);
	FAILS(openat(dev, "kvm", O_RDWR), ENOENT);
	c = client_open();
	client_close(&c);
	return 0;
}
