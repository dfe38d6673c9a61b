/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The only program of a Linux guest (PID 1, linked statically): it says what the kernel has found of a PCI
 * serial card, sends a line through each port that the kernel's driver has made of it, and turns the guest
 * off. Each line of its own begins with "guest: ".
 */
#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/stat.h>
#include <termios.h>
#include <unistd.h>

#define DEVICES "/sys/bus/pci/devices"
#define CARD    "0x4348\n" /* its vendor */

__attribute__((format(printf, 1, 2))) static void say(const char *format, ...)
{
	char line[512] = "guest: ";
	size_t len = strlen(line);
	va_list args;

	va_start(args, format);
	vsnprintf(line + len, sizeof(line) - len - 1, format, args);
	va_end(args);
	strcat(line, "\n");
	if (write(1, line, strlen(line)) < 0)
		_exit(1);
}

static void be_init(void)
{
	int console;

	mkdir("/proc", 0755);
	mkdir("/sys", 0755);
	mkdir("/dev", 0755);
	if (mount("proc", "/proc", "proc", 0, NULL) || mount("sysfs", "/sys", "sysfs", 0, NULL) ||
	    mount("devtmpfs", "/dev", "devtmpfs", 0, NULL))
		_exit(1);
	console = open("/dev/console", O_RDWR);
	for (int fd = 0; fd < 3; fd++)
		dup2(console, fd);
}

static ssize_t read_file(const char *device, const char *name, void *buf, size_t len)
{
	char path[300];
	ssize_t n;
	int fd;

	snprintf(path, sizeof(path), DEVICES "/%s/%s", device, name);
	fd = open(path, O_RDONLY);
	n = fd < 0 ? -1 : read(fd, buf, len - 1);
	close(fd);
	((char *)buf)[n < 0 ? 0 : n] = 0;
	return n;
}

static void tell_attributes(const char *device)
{
	static const char *const names[] = { "vendor",   "device",           "class",
					     "revision", "subsystem_vendor", "irq" };
	unsigned char config[257];
	char text[4096];
	ssize_t n;

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		read_file(device, names[i], text, sizeof(text));
		text[strcspn(text, "\n")] = 0;
		say("%s %s", names[i], text);
	}
	read_file(device, "resource", text, sizeof(text));
	for (char *line = strtok(text, "\n"); line; line = strtok(NULL, "\n")) {
		unsigned long long start, end, flags;

		if (sscanf(line, "%llx %llx %llx", &start, &end, &flags) == 3 && start)
			say("resource of %llu bytes, flags %llx", end - start + 1, flags);
	}
	n = read_file(device, "config", config, sizeof(config));
	say("config space of %zd bytes: %02x%02x %02x%02x, text '%.15s'", n, config[1], config[0], config[3],
	    config[2], (const char *)config + 0x60);
}

/* Is what was sent what comes back? */
static bool echoes(int tty)
{
	static const char sent[] = "what a guest sends through a card that is none\n";
	struct pollfd poll_in = { .fd = tty, .events = POLLIN };
	char got[sizeof(sent)] = "";
	size_t len = 0;

	if (write(tty, sent, sizeof(sent) - 1) != (ssize_t)sizeof(sent) - 1)
		return false;
	while (len < sizeof(sent) - 1 && poll(&poll_in, 1, 20000) == 1) {
		ssize_t n = read(tty, got + len, sizeof(sent) - 1 - len);

		if (n <= 0)
			break;
		len += (size_t)n;
	}
	say("came back: %.*s", (int)strcspn(got, "\n"), got);
	return !strcmp(got, sent);
}

static void drive_port(const char *name)
{
	struct termios raw;
	char path[300];
	int tty;

	snprintf(path, sizeof(path), "/dev/%s", name);
	tty = open(path, O_RDWR | O_NOCTTY);
	if (tty < 0 || tcgetattr(tty, &raw)) {
		say("%s cannot be opened: %m", name);
		return;
	}
	cfmakeraw(&raw);
	tcsetattr(tty, TCSANOW, &raw);
	say("port %s", echoes(tty) ? "echoes" : "is silent");
	close(tty);
}

static void drive_ports(const char *device)
{
	char path[300];
	struct dirent *entry;
	DIR *dir;

	snprintf(path, sizeof(path), DEVICES "/%s/tty", device);
	dir = opendir(path);
	if (!dir) {
		say("no driver has made a port of it");
		return;
	}
	while ((entry = readdir(dir)))
		if (entry->d_name[0] != '.')
			drive_port(entry->d_name);
	closedir(dir);
}

/* What the NVMe controller beside the card has in its first block: a line of text. */
static void read_disk(void)
{
	int disk = open("/dev/nvme0n1", O_RDONLY);
	char block[512];

	if (disk < 0)
		return;
	block[read(disk, block, sizeof(block) - 1) > 0 ? sizeof(block) - 1 : 0] = 0;
	say("disk: %.*s", (int)strcspn(block, "\n"), block);
	close(disk);
}

/* The first card's name, or an empty one. */
static void find_card(char *name, size_t len)
{
	struct dirent *entry;
	DIR *dir = opendir(DEVICES);

	*name = 0;
	while (dir && (entry = readdir(dir))) {
		char vendor[32];

		if (entry->d_name[0] != '.' &&
		    read_file(entry->d_name, "vendor", vendor, sizeof(vendor)) > 0 && !strcmp(vendor, CARD))
			snprintf(name, len, "%s", entry->d_name);
	}
	if (dir)
		closedir(dir);
}

/* Until there is a card, or none: a minute at most. */
static void wait_for_card(bool there, char *name, size_t len)
{
	for (int i = 0; i < 600; i++) {
		find_card(name, len);
		if (!!*name == there)
			return;
		usleep(100000);
	}
}

int main(void)
{
	bool plug = getenv("plug");
	char card[256];

	be_init();
	if (plug) {
		read_disk();
		say("waiting");
		wait_for_card(true, card, sizeof(card));
		sleep(1); /* the driver is coming */
	} else {
		find_card(card, sizeof(card));
	}
	if (*card) {
		tell_attributes(card);
		drive_ports(card);
	}
	read_disk();
	if (plug) {
		say("driven");
		wait_for_card(false, card, sizeof(card));
		say("%s", *card ? "it is still there" : "it is gone");
		read_disk();
	}
	say("done");
	tcdrain(1);
	reboot(RB_POWER_OFF);
	return 1;
}
