/* SPDX-License-Identifier: BSD-2-Clause */
/* `uvfio ctl`: one command to a running session, and what it answers. */
#include "base/lines.h"
#include "cli/cli.h"
#include "machine/machine.h"
#include "mdev/mdev.h"
#include "pci/pci.h"

#include <getopt.h>
#include <libgen.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#define PATIENCE_MS 1000

enum { OPT_SESSION = 256, OPT_SURPRISE, OPT_HELP };

static const struct cli_option ctl_options[] = {
	{ "session", "PATH", OPT_SESSION,
	  "which session: the path that uvfio run --ctl prints, or its directory. Without it the\n"
	  "one that the command runs in, or else the one that is running" },
	{ "surprise", NULL, OPT_SURPRISE,
	  "remove: pull the device out instead of asking its user to let go of it" },
	{ "help", NULL, OPT_HELP, "show this help" },
	{ NULL, NULL, 0, NULL },
};

struct ctl {
	const char *session; /* NULL: to be found */
	bool surprise, help;
	char **words; /* the command */
	int nr_words;
};

static int ctl_help(void)
{
	printf("usage: uvfio ctl [--session=PATH] COMMAND\n"
	       "\n"
	       "Look at the devices of a session that was started with uvfio run --ctl, and change them "
	       "while\n"
	       "its programs use them.\n"
	       "\n"
	       "commands:\n"
	       "  list                     the sessions of this user\n"
	       "  devices                  the session's devices, and which process has them open\n"
	       "  groups                   its IOMMU groups\n"
	       "  containers               its processes' containers, with the number and bytes of mappings\n"
	       "  mappings                 what is mapped in them for DMA\n"
	       "  memory                   bytes mapped, pinned and charged, by whose memory it is\n"
	       "  add MODEL[,KEY=VALUE...] add a device, as uvfio run --device does; prints its address\n"
	       "  remove ADDRESS           ask the device's user to let go of it (REQ), again every ten\n"
	       "                           seconds, and wait until it is closed\n"
	       "  remove ADDRESS --surprise\n"
	       "                           pull it out: it reads as all ones, its user is told (ERR)\n"
	       "  reset ADDRESS            reset the function\n"
	       "  error ADDRESS            report an error that cannot be corrected (ERR)\n"
	       "\n"
	       "options:\n");
	cli_print_options(ctl_options);
	printf("\n"
	       "example: plug in a second controller, and take it away again\n"
	       "  uvfio ctl add nvme,size=1G,addr=0000:00:05.0\n"
	       "  uvfio ctl remove 0000:00:05.0\n");
	return 0;
}

/* ---- sessions */

struct found {
	unsigned int nr;
	char last[PATH_MAX];
	char all[4096];
	bool print; /* ask each, and print */
};

/* Ask the session at dir/name: rows go to out. 0 or an exit status (complained). */
static int ask(const char *dir, const char *name, const char *command, FILE *out);

static void find_session(void *arg, const char *dir)
{
	struct found *found = arg;
	size_t used = strlen(found->all);
	struct stat st;
	char *row = NULL;
	size_t len;
	int sock;
	FILE *out;

	if (lstat(dir, &st) || st.st_uid != geteuid())
		return;
	sock = lines_connect(dir, "ctl");
	if (sock < 0)
		return; /* without --ctl, or left by one that was killed */
	close(sock);
	found->nr++;
	snprintf(found->last, sizeof(found->last), "%s", dir);
	snprintf(found->all + used, sizeof(found->all) - used, "%s%s", used ? ", " : "", dir);
	if (!found->print)
		return;
	out = open_memstream(&row, &len);
	if (out && !ask(dir, "ctl", "session", out) && !fflush(out))
		printf("%-24s %s", dir, row);
	if (out)
		fclose(out);
	free(row);
}

static void find_sessions(struct found *found)
{
	const char *tmp = getenv("TMPDIR");
	char real[PATH_MAX];

	if (!realpath(tmp && *tmp ? tmp : "/tmp", real))
		return;
	sessions_remove_left(real);
	sessions_each(real, find_session, found);
}

static int list_sessions(void)
{
	struct found found = { .print = true };

	printf("%-24s %-7s %-9s %s\n", "SESSION", "PID", "PROCESSES", "PROGRAM");
	find_sessions(&found);
	return 0;
}

/* Is this program in a session that can be asked? */
static bool own_session(char path[PATH_MAX])
{
	const char *inside = getenv("UVFIO_SESSION");
	int sock = inside ? lines_connect(inside, "ctl") : -1;

	if (sock < 0)
		return false;
	close(sock);
	snprintf(path, PATH_MAX, "%s", inside);
	return true;
}

static int choose_session(char path[PATH_MAX])
{
	struct found found = { 0 };

	if (own_session(path))
		return 0;
	find_sessions(&found);
	if (!found.nr) {
		complain("ctl: no session is running: start one with uvfio run --ctl");
		return EXIT_ERROR;
	}
	if (found.nr > 1) {
		complain("ctl: several sessions are running: choose one with --session: %s", found.all);
		return EXIT_ERROR;
	}
	snprintf(path, PATH_MAX, "%s", found.last);
	return 0;
}

/* ---- asking */

/* 0: there is more to come; otherwise 1 + the exit status. */
static int take_line(const char *line, FILE *out)
{
	if (!strncmp(line, "= ", 2)) {
		fprintf(out, "%s\n", line + 2);
		return 0;
	}
	if (!strncmp(line, "note ", 5)) {
		complain("ctl: %s", line + 5);
		return 0;
	}
	if (!strcmp(line, "ok"))
		return 1;
	complain("ctl: %s", strncmp(line, "error ", 6) ? line : line + 6);
	return 1 + EXIT_ERROR;
}

static int read_answer(int sock, FILE *out)
{
	struct line_reader *reader = calloc(1, sizeof(*reader));
	int result = 0;
	char *line;

	while (reader && !result && lines_receive(reader, sock) > 0)
		while (!result && (line = lines_next(reader)))
			result = take_line(line, out);
	free(reader);
	if (result)
		return result - 1;
	complain("ctl: the session has ended");
	return EXIT_ERROR;
}

/* "open in process 12" of the device's row in a list, or "in use". */
static void who_has(const char *rows, const char *bdf, char *who, size_t size)
{
	const char *row = rows ? strstr(rows, bdf) : NULL, *open = row ? strstr(row, "open in ") : NULL;

	snprintf(who, size, "%.*s", open ? (int)strcspn(open, "\n") : 6, open ? open : "in use");
}

/* A removal that does not come to its end soon: tell somebody who sits there what it is that lasts. */
static void explain_wait(const char *dir, const char *name, int sock, const char *bdf)
{
	struct pollfd answer = { .fd = sock, .events = POLLIN };
	char *rows = NULL, who[64];
	size_t len;
	FILE *out;

	if (!isatty(STDERR_FILENO) || poll(&answer, 1, PATIENCE_MS))
		return;
	out = open_memstream(&rows, &len);
	if (!out || ask(dir, name, "list devices", out)) {
		if (out)
			fclose(out);
		free(rows);
		return;
	}
	fclose(out);
	who_has(rows, bdf, who, sizeof(who));
	free(rows);
	complain("ctl: %s is %s: asked to let go of it, and waiting until it is closed; remove --surprise "
		 "pulls "
		 "it out",
		 bdf, who);
}

static int ask(const char *dir, const char *name, const char *command, FILE *out)
{
	int sock = lines_connect(dir, name), status;
	char *line;
	int n;

	if (sock < 0) {
		complain("ctl: %s/%s: %s: is that a session that was started with --ctl?", dir, name,
			 strerror(-sock));
		return EXIT_ERROR;
	}
	n = asprintf(&line, "%s\n", command);
	if (n < 0 || n > LINE_MAX_LEN) {
		complain("ctl: the command is too long");
		status = EXIT_ERROR;
	} else {
		lines_send(sock, line, (size_t)n); /* a failure shows in the answer */
		if (!strncmp(command, "remove ", 7))
			explain_wait(dir, name, sock, command + 7);
		status = read_answer(sock, out);
	}
	if (n >= 0)
		free(line);
	close(sock);
	return status;
}

static int ask_session(const struct ctl *ctl, const char *command)
{
	char path[PATH_MAX], copy[PATH_MAX];
	struct stat st;
	int status = 0;

	if (ctl->session)
		snprintf(path, sizeof(path), "%s", ctl->session);
	else
		status = choose_session(path);
	if (status)
		return status;
	if (!stat(path, &st) && S_ISDIR(st.st_mode))
		return ask(path, "ctl", command, stdout);
	snprintf(copy, sizeof(copy), "%s", path);
	return ask(dirname(path), basename(copy), command, stdout);
}

/* ---- commands */

static int bad_usage(const char *what)
{
	complain("ctl: %s: see uvfio ctl --help", what);
	return EXIT_USAGE;
}

static int add(const struct ctl *ctl)
{
	struct description description = { NULL };
	int status = describe(&description, "device", ctl->words[1]);
	char *command;

	if (status)
		return status;
	description.text[strcspn(description.text, "\n")] = 0;
	if (asprintf(&command, "add %s", description.text) < 0) {
		complain("out of memory");
		status = EXIT_ERROR;
	} else {
		status = ask_session(ctl, command);
		free(command);
	}
	free(description.text);
	return status;
}

static int on_device(const struct ctl *ctl, const char *verb)
{
	char command[32], bdf[16], uuid[UUID_STRING_LEN + 1];
	const char *word = ctl->words[1];
	struct pci_slot slot;

	if (strlen(word) == UUID_STRING_LEN && !mdev_parse_uuid(word, UUID_STRING_LEN, uuid)) {
		complain("ctl: %s is a mediated device%s%s", uuid,
			 strcmp(verb, "remove") ? ", for which there is no " : ": use uvfio mdev remove ",
			 strcmp(verb, "remove") ? ctl->words[0] : uuid);
		return EXIT_ERROR;
	}
	if (pci_parse_bdf(ctl->words[1], &slot)) {
		complain("ctl: %s is no PCI address: use one like 0000:00:01.0 or 00:01.0", ctl->words[1]);
		return EXIT_ERROR;
	}
	pci_format_bdf(&slot, bdf);
	snprintf(command, sizeof(command), "%s %s", verb, bdf);
	return ask_session(ctl, command);
}

static int look(const struct ctl *ctl, const char *what)
{
	char command[32];

	snprintf(command, sizeof(command), "list %s", what);
	return ask_session(ctl, command);
}

static int carry_out(const struct ctl *ctl)
{
	static const char *const on_devices[] = { "remove", "reset", "error" };
	const char *verb = ctl->words[0];
	bool listing = !strcmp(verb, "list") || machine_list_heading(verb);

	if (ctl->surprise && strcmp(verb, "remove"))
		return bad_usage("--surprise goes with remove");
	if (listing && ctl->nr_words > 1)
		return bad_usage("too many words");
	if (!strcmp(verb, "list"))
		return list_sessions();
	if (listing)
		return look(ctl, verb);
	if (!strcmp(verb, "add"))
		return ctl->nr_words == 2 ? add(ctl) : bad_usage("add needs one MODEL[,KEY=VALUE...]");
	for (unsigned int i = 0; i < ARRAY_SIZE(on_devices); i++)
		if (!strcmp(verb, on_devices[i]) && ctl->nr_words != 2)
			return bad_usage("this command needs one ADDRESS");
		else if (!strcmp(verb, on_devices[i]))
			return on_device(ctl, ctl->surprise ? "pull" : verb);
	complain("ctl: there is no command %s: see uvfio ctl --help", verb);
	return EXIT_USAGE;
}

static int take_option(struct ctl *ctl, int option)
{
	switch (option) {
	case OPT_SESSION:
		ctl->session = optarg;
		return 0;
	case OPT_SURPRISE:
		ctl->surprise = true;
		return 0;
	case OPT_HELP:
		ctl->help = true;
		return 0;
	}
	return EXIT_USAGE;
}

/* Options may stand before, between and after the words of the command. */
static int parse(struct ctl *ctl, int argc, char **argv)
{
	int status = 0, option;

	ctl->words = argv;
	for (;;) {
		while (!status && (option = cli_getopt(argc, argv, ctl_options, "ctl")) != -1)
			status = take_option(ctl, option);
		if (status || optind >= argc)
			return status;
		ctl->words[ctl->nr_words++] = argv[optind++];
	}
}

int ctl_command(int argc, char **argv)
{
	struct ctl ctl = { .session = NULL };
	int status = parse(&ctl, argc, argv);

	if (status)
		return status;
	if (ctl.help)
		return ctl_help();
	if (!ctl.nr_words)
		return bad_usage("no command");
	return carry_out(&ctl);
}
