/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * `uvfio mdev`: mediated devices of a session, from inside or outside of it. What it does is what writing to
 * the files in sysfs does: this process makes the session's machine, as its programs do, and follows and
 * changes the session's list of instances.
 */
#include "mdev/mdev.h"
#include "cli/cli.h"
#include "machine/machine.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define PATIENCE_MS 1000

enum { OPT_SESSION = 256, OPT_HELP };

static const struct cli_option mdev_options[] = {
	{ "session", "DIRECTORY", OPT_SESSION,
	  "which session: its directory. Without it the one that this program runs in, or else the one\n"
	  "that is running" },
	{ "help", NULL, OPT_HELP, "show this help" },
	{ NULL, NULL, 0, NULL },
};

struct mdev {
	char dir[PATH_MAX];
	bool given, help;
	unsigned int found; /* sessions */
	char all[4096];     /* their names */
};

static int mdev_help(void)
{
	printf("usage: uvfio mdev [--session=DIRECTORY] COMMAND\n"
	       "\n"
	       "Make, remove and list mediated devices in a session that has a parent of some (uvfio run "
	       "--device mtty).\n"
	       "Programs of the session can as well write to the files create and remove in sysfs.\n"
	       "\n"
	       "commands:\n"
	       "  types               what can be made, and how many more of it\n"
	       "  create TYPE [UUID]  make an instance; prints its UUID, a random one if none is given\n"
	       "  remove UUID         remove it; waits until nobody has it open\n"
	       "  list                the instances: UUID, type, group, node\n"
	       "\n"
	       "options:\n");
	cli_print_options(mdev_options);
	printf("\n"
	       "example: a serial card with two ports for a VFIO program\n"
	       "  uvfio run --device mtty -- sh -c 'uvfio mdev create mtty-2; PROGRAM'\n");
	return 0;
}

/* ---- the session */

static bool has_machine(const char *dir)
{
	char path[PATH_MAX + 16];

	snprintf(path, sizeof(path), "%s/machine", dir);
	return !access(path, R_OK);
}

static void found_session(void *arg, const char *dir)
{
	struct mdev *mdev = arg;
	size_t used = strlen(mdev->all);
	struct stat st;

	if (lstat(dir, &st) || st.st_uid != geteuid() || !has_machine(dir))
		return;
	snprintf(mdev->all + used, sizeof(mdev->all) - used, "%s%s", used ? ", " : "", dir);
	mdev->found++;
	snprintf(mdev->dir, sizeof(mdev->dir), "%s", dir);
}

/* Also the path that uvfio run --ctl prints. */
static void without_socket(char *dir)
{
	char *last = strrchr(dir, '/');

	if (last && last > dir && !strcmp(last, "/ctl"))
		*last = 0;
}

static int choose_session(struct mdev *mdev)
{
	const char *inside = getenv("UVFIO_SESSION"), *tmp = getenv("TMPDIR");
	char real[PATH_MAX];

	if (mdev->given || (inside && *inside)) {
		if (!mdev->given)
			snprintf(mdev->dir, sizeof(mdev->dir), "%s", inside);
		if (!has_machine(mdev->dir))
			without_socket(mdev->dir);
		if (has_machine(mdev->dir))
			return 0;
		complain("mdev: %s is no session's directory", mdev->dir);
		return EXIT_ERROR;
	}
	if (realpath(tmp && *tmp ? tmp : "/tmp", real)) {
		sessions_remove_left(real);
		sessions_each(real, found_session, mdev);
	}
	if (mdev->found == 1)
		return 0;
	if (mdev->found)
		complain("mdev: several sessions are running: choose one with --session: %s", mdev->all);
	else
		complain("mdev: no session is running: use it in uvfio run --device mtty -- ...");
	return EXIT_ERROR;
}

static char *read_description(const char *dir)
{
	char path[PATH_MAX + 16], *text = NULL;
	size_t size = 0;
	FILE *in;

	snprintf(path, sizeof(path), "%s/machine", dir);
	in = fopen(path, "re");
	if (in && getdelim(&text, &size, 0, in) < 0) {
		free(text);
		text = NULL;
	}
	if (in)
		fclose(in);
	return text;
}

static struct uvfio_machine *make_machine(const struct mdev *mdev)
{
	char *description = read_description(mdev->dir), err[PATH_MAX + 64] = "";
	struct uvfio_machine *machine = NULL;

	if (description)
		machine = machine_new(description, mdev->dir, err, sizeof(err));
	else
		snprintf(err, sizeof(err), "%s/machine: cannot be read", mdev->dir);
	if (!machine)
		complain("mdev: %s", err);
	free(description);
	return machine;
}

/* ---- commands */

static int new_uuid(char uuid[40])
{
	FILE *in = fopen("/proc/sys/kernel/random/uuid", "re");
	bool got = in && fgets(uuid, 40, in);

	if (in)
		fclose(in);
	if (got)
		uuid[strcspn(uuid, "\n")] = 0;
	else
		complain("mdev: there is no /proc to get a UUID from: give one");
	return got ? 0 : EXIT_ERROR;
}

/* In small letters, as sysfs has it; an exit status (complained). */
static int parse_uuid(const char *given, char uuid[40])
{
	if (strlen(given) == UUID_STRING_LEN && !mdev_parse_uuid(given, UUID_STRING_LEN, uuid))
		return 0;
	complain("mdev: %s is no UUID, like 83b8f4f2-509f-382f-3c1e-e6bfe0fa1001", given);
	return EXIT_ERROR;
}

static int create(struct uvfio_machine *machine, const char *type, const char *given)
{
	char uuid[40] = "";
	int rc = given ? parse_uuid(given, uuid) : new_uuid(uuid);

	if (rc)
		return rc;
	rc = machine_mdev_create(machine, type, uuid, strlen(uuid));
	if (rc) {
		complain("mdev: %s %s: cannot be made: %s", type, uuid, machine_mdev_why(rc));
		return EXIT_ERROR;
	}
	printf("%s\n", uuid);
	return 0;
}

static int remove_one(struct uvfio_machine *machine, const char *given)
{
	char uuid[40];
	int rc = parse_uuid(given, uuid);

	if (rc)
		return rc;
	machine_mdev_patience = PATIENCE_MS; /* somebody sits there */
	rc = machine_mdev_remove(machine, uuid);
	if (!rc)
		return 0;
	if (rc == -ENODEV)
		complain("mdev: there is no %s: see uvfio mdev list", uuid);
	else if (rc == -EALREADY)
		complain("mdev: %s: is being removed already: it goes when it is closed", uuid);
	else
		complain("mdev: %s: cannot be removed: %s", uuid, strerror(-rc));
	return EXIT_ERROR;
}

static int list(struct uvfio_machine *machine, bool types)
{
	if (types)
		printf("%-12s %-10s %-10s %-10s %s\n", "TYPE", "PARENT", "AVAILABLE", "API", "NAME");
	else
		printf("%-36s %-12s %-6s %s\n", "UUID", "TYPE", "GROUP", "NODE");
	machine_mdev_list(machine, types, stdout);
	return 0;
}

static int carry_out(struct uvfio_machine *machine, int argc, char **argv)
{
	if (!strcmp(argv[0], "create"))
		return create(machine, argv[1], argc > 2 ? argv[2] : NULL);
	if (!strcmp(argv[0], "remove"))
		return remove_one(machine, argv[1]);
	return list(machine, !strcmp(argv[0], "types"));
}

/* An exit status (complained). */
static int check_usage(int argc, char **argv)
{
	static const struct {
		const char *name;
		int least, most;
	} commands[] = { { "types", 1, 1 }, { "list", 1, 1 }, { "create", 2, 3 }, { "remove", 2, 2 } };

	for (unsigned int i = 0; argc && i < ARRAY_SIZE(commands); i++) {
		if (strcmp(argv[0], commands[i].name))
			continue;
		if (argc >= commands[i].least && argc <= commands[i].most)
			return 0;
		complain("mdev: too %s words for %s: see uvfio mdev --help",
			 argc < commands[i].least ? "few" : "many", argv[0]);
		return EXIT_USAGE;
	}
	if (argc)
		complain("mdev: there is no command %s: see uvfio mdev --help", argv[0]);
	else
		complain("mdev: no command: see uvfio mdev --help");
	return EXIT_USAGE;
}

static int parse(struct mdev *mdev, int argc, char **argv)
{
	int option;

	while ((option = cli_getopt(argc, argv, mdev_options, "mdev")) != -1) {
		if (option == OPT_HELP)
			mdev->help = true;
		else if (option != OPT_SESSION)
			return EXIT_USAGE;
		else if (!realpath(optarg, mdev->dir)) {
			complain("mdev: %s: %s", optarg, strerror(errno));
			return EXIT_ERROR;
		} else {
			mdev->given = true;
		}
	}
	return 0;
}

/* In a session our calls would meet the preload library, which lets nobody change sysfs: start anew without
 * it. */
static void leave_preload(int argc, char **argv)
{
	char **again = calloc((size_t)argc + 2, sizeof(*again));

	if (!getenv("UVFIO_SESSION") || !getenv("LD_PRELOAD") || !again) {
		free(again);
		return;
	}
	again[0] = (char *)(uintptr_t) "uvfio";
	memcpy(again + 1, argv, (size_t)argc * sizeof(*again));
	unsetenv("LD_PRELOAD");
	syscall(SYS_execve, "/proc/self/exe", again, environ); /* the library would warn of its absence */
	free(again);
}

int mdev_command(int argc, char **argv)
{
	struct mdev mdev = { .dir = "" };
	struct uvfio_machine *machine;
	int status;

	leave_preload(argc, argv);
	status = parse(&mdev, argc, argv);
	if (status)
		return status;
	if (mdev.help)
		return mdev_help();
	argc -= optind;
	argv += optind;
	status = check_usage(argc, argv);
	if (!status)
		status = choose_session(&mdev);
	if (status)
		return status;
	machine = make_machine(&mdev);
	if (!machine)
		return EXIT_ERROR;
	status = carry_out(machine, argc, argv);
	machine_free(machine);
	return status;
}
