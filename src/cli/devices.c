/* SPDX-License-Identifier: BSD-2-Clause */
/* `uvfio devices`: the models and every option, from the tables that parse them. */
#include "cli/cli.h"
#include "devices/models.h"
#include "machine/machine.h"

#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum { OPT_HELP = 256 };

static const struct cli_option devices_options[] = {
	{ "help", NULL, OPT_HELP, "show this help" },
	{ NULL, NULL, 0, NULL },
};

static int devices_help(void)
{
	printf("usage: uvfio devices [MODEL]\n"
	       "\n"
	       "List the device models, or one, with every option, its default and its meaning; then the "
	       "options that\n"
	       "all devices have, and those of the IOMMU.\n"
	       "\n"
	       "options:\n");
	cli_print_options(devices_options);
	return 0;
}

static const char *placeholder(const struct option_desc *opt)
{
	switch (opt->type) {
	case OPTION_STRING:
		return strcmp(opt->key, "file") ? "TEXT" : "PATH";
	case OPTION_SIZE:
		return opt->choices ? opt->choices : "SIZE";
	case OPTION_UINT:
		return opt->choices ? opt->choices : "N";
	case OPTION_BOOL:
		return "on|off";
	}
	return "";
}

static void print_number(enum option_type type, uint64_t value)
{
	static const char suffixes[] = "KMGT";
	unsigned int i = 0;

	if (type != OPTION_SIZE || !value || value % 1024) {
		printf("%" PRIu64, value);
		return;
	}
	for (value /= 1024; value % 1024 == 0 && suffixes[i + 1]; i++)
		value /= 1024;
	printf("%" PRIu64 "%c", value, suffixes[i]);
}

/* "  key=VALUE   help (1 to 64; default 64)" */
static void print_option(const struct option_desc *opt)
{
	bool bounds = opt->max && !opt->choices;
	char head[96];

	snprintf(head, sizeof(head), "%s=%s", opt->key, placeholder(opt));
	printf("  %-22s %s%s", head, opt->help, bounds || opt->preset ? " (" : "\n");
	if (bounds) {
		print_number(opt->type, opt->min);
		printf(" to ");
		print_number(opt->type, opt->max);
		printf("%s", opt->preset ? "; " : ")\n");
	}
	if (opt->preset)
		printf("default %s)\n", opt->preset);
}

static void print_options(const struct option_desc *table)
{
	for (; table->key; table++)
		print_option(table);
}

int devices_command(int argc, char **argv)
{
	const char *name;
	bool found = false;
	int option = cli_getopt(argc, argv, devices_options, "devices");

	if (option == OPT_HELP)
		return devices_help();
	if (option != -1)
		return EXIT_USAGE;
	if (argc - optind > 1) {
		complain("devices: at most one MODEL: see uvfio devices --help");
		return EXIT_USAGE;
	}
	name = argv[optind];
	for (const struct pci_model *const *m = builtin_models; *m; m++) {
		if (name && strcmp((*m)->name, name))
			continue;
		found = true;
		printf("%s: %s\n", (*m)->name, (*m)->summary);
		print_options((*m)->options);
		printf("\n");
	}
	if (!found) {
		complain("there is no device model %s: uvfio devices lists them", name);
		return EXIT_ERROR;
	}
	printf("every device:\n");
	print_options(machine_common_device_options());
	if (!name) {
		printf("\n--iommu:\n");
		print_options(machine_iommu_options());
	}
	return 0;
}
