/* SPDX-License-Identifier: BSD-2-Clause */
/* The uvfio command: picks a subcommand; what all of them share. */
#include "base/crash.h"
#include "cli/cli.h"

#include <fcntl.h>
#include <getopt.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { OPT_HELP = 256, OPT_VERSION };

static const struct cli_option main_options[] = {
	{ "help", NULL, OPT_HELP, "show this help" },
	{ "version", NULL, OPT_VERSION, "show the version" },
	{ NULL, NULL, 0, NULL },
};

void complain(const char *fmt, ...)
{
	char line[8192];
	va_list args;
	int n;

	va_start(args, fmt);
	n = vsnprintf(line, sizeof(line), fmt, args);
	va_end(args);
	if (n > 0)
		fprintf(stderr, "uvfio: %s\n", line);
}

static void complain_option(const char *command, char **argv, int result)
{
	const char *word = argv[optind - 1], *space = command ? " " : "";
	char prefix[32] = "", letter[3] = "-?";

	if (command)
		snprintf(prefix, sizeof(prefix), "%s: ", command);
	else
		command = "";
	if (optopt && optopt < 256) {
		letter[1] = (char)optopt;
		word = letter;
	}
	if (result == ':')
		complain("%s%s needs a value: see uvfio%s%s --help", prefix, word, space, command);
	else if (optopt >= 256)
		complain("%s%s takes no value: see uvfio%s%s --help", prefix, word, space, command);
	else
		complain("%sthere is no option %s: see uvfio%s%s --help", prefix, word, space, command);
}

/* "--container -- PROGRAM": what was taken for the value is the next option, or the end of them. */
static bool took_option(char **argv)
{
	return optarg && optarg == argv[optind - 1] && !strncmp(optarg, "--", 2);
}

int cli_getopt(int argc, char **argv, const struct cli_option *table, const char *command)
{
	struct option longopts[CLI_MAX_OPTIONS + 1] = { { 0 } };
	int c;

	for (unsigned int i = 0; table[i].name && i < CLI_MAX_OPTIONS; i++) {
		int has_arg = !table[i].arg          ? no_argument
			      : *table[i].arg == '[' ? optional_argument
						     : required_argument;

		longopts[i] =
			(struct option){ .name = table[i].name, .has_arg = has_arg, .val = table[i].value };
	}
	opterr = 0;
	c = getopt_long(argc, argv, "+:", longopts, NULL);
	if (c >= 256 && took_option(argv)) {
		optind--;
		optopt = c;
		c = ':';
	}
	if (c != '?' && c != ':')
		return c;
	complain_option(command, argv, c);
	return '?';
}

void cli_print_options(const struct cli_option *table)
{
	for (; table->name; table++) {
		const char *arg = table->arg ? table->arg : "", *line = table->help;

		printf("  --%s%s%s\n", table->name, *arg && *arg != '[' ? "=" : "", arg);
		while (*line) {
			size_t len = strcspn(line, "\n");

			printf("        %.*s\n", (int)len, line);
			line += len + (line[len] == '\n');
		}
	}
}

static int main_help(void)
{
	printf("usage: uvfio run [OPTIONS] -- PROGRAM [ARGS...]\n"
	       "       uvfio devices [MODEL]\n"
	       "       uvfio ctl [OPTIONS] COMMAND\n"
	       "       uvfio mdev [OPTIONS] COMMAND\n"
	       "       uvfio --help | --version\n"
	       "\n"
	       "uvfio is Linux device assignment (VFIO) in user space: a program written for /dev/vfio runs\n"
	       "unmodified against emulated PCI devices, without hardware, IOMMU, kernel module or root.\n"
	       "\n"
	       "commands:\n"
	       "  run      run a program against devices; uvfio run --help lists the options\n"
	       "  devices  list the device models, or one, with every option and its default\n"
	       "  ctl      look at a running program's devices, add and remove some\n"
	       "  mdev     make, remove and list mediated devices\n"
	       "\n"
	       "options:\n");
	cli_print_options(main_options);
	printf("\nexample: read the first block of an emulated NVMe controller with QEMU's own driver\n"
	       "  uvfio run -- qemu-io -r -c 'read 0 4096' nvme://0000:00:01.0/1\n"
	       "\nMore is in uvfio(1).\n");
	return 0;
}

static int run_main(int argc, char **argv)
{
	int c = cli_getopt(argc, argv, main_options, NULL);

	if (c == OPT_HELP)
		return main_help();
	if (c == OPT_VERSION) {
		printf("uvfio " UVFIO_VERSION "\n");
		return 0;
	}
	if (c == '?')
		return EXIT_USAGE;
	if (optind == argc) {
		complain("no command: use uvfio run, uvfio devices, uvfio ctl or uvfio mdev; uvfio --help "
			 "tells more");
		return EXIT_USAGE;
	}
	argc -= optind;
	argv += optind;
	optind = 0; /* getopt starts anew */
	if (!strcmp(argv[0], "run"))
		return run_command(argc, argv);
	if (!strcmp(argv[0], "devices"))
		return devices_command(argc, argv);
	if (!strcmp(argv[0], "ctl"))
		return ctl_command(argc, argv);
	if (!strcmp(argv[0], "mdev"))
		return mdev_command(argc, argv);
	complain("there is no command %s: use run, devices, ctl or mdev", argv[0]);
	return EXIT_USAGE;
}

/* Closed standard descriptors: no file of ours may take their place. The program finds them closed again. */
static void occupy_standard_descriptors(void)
{
	for (int fd = 0; fd <= STDERR_FILENO; fd++)
		if (fcntl(fd, F_GETFD) < 0 && open("/dev/null", O_RDWR | O_CLOEXEC) < 0)
			return;
}

int main(int argc, char **argv)
{
	int status;

	occupy_standard_descriptors();
	crash_naming = true;
	status = run_main(argc, argv);

	if (fflush(stdout) && !status) {
		complain("cannot write to standard output: %s", strerror(errno));
		return EXIT_ERROR;
	}
	return status;
}
