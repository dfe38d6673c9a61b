/* SPDX-License-Identifier: BSD-2-Clause */
/* --kvm=off: there is no /dev/kvm, by whatever road. */
#include "../intercept/client.h"

int main(void)
{
	struct client c;
	struct stat st;
	int dev;

	FAILS(open("/dev/kvm", O_RDWR), ENOENT);
	FAILS(access("/dev/kvm", F_OK), ENOENT);
	FAILS(stat("/dev/kvm", &st), ENOENT);
	CHECK(!chdir("/dev"));
	FAILS(open("kvm", O_RDWR), ENOENT);
	CHECK((dev = open("/dev", O_RDONLY | O_DIRECTORY)) >= 0);
	FAILS(openat(dev, "kvm", O_RDWR), ENOENT);
	c = client_open();
	client_close(&c);
	return 0;
}
