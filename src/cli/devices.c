/* SPDX-License-Identifier: BSD-2-Clause */
/* `uvfio devices`: the models and every option, from the tables that parse them. */
#include "cli/cli.h"
#include "devices/models.h"
#include "machine/config.h"
#include "machine/machine.h"
#include "machine/plugin.h"

#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

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

static const char *placeholder(const struct uvfio_option *opt)
{
	switch (opt->type) {
	case UVFIO_OPTION_STRING:
		return "TEXT";
	case UVFIO_OPTION_PATH:
		return "PATH";
	case UVFIO_OPTION_SIZE:
		return opt->choices ? opt->choices : "SIZE";
	case UVFIO_OPTION_UINT:
		return opt->choices ? opt->choices : "N";
	case UVFIO_OPTION_BOOL:
		return "on|off";
	}
	return "";
}

static void print_number(enum uvfio_option_type type, uint64_t value)
{
	static const char suffixes[] = "KMGT";
	unsigned int i = 0;

	if (type != UVFIO_OPTION_SIZE || !value || value % 1024) {
		printf("%" PRIu64, value);
		return;
	}
	for (value /= 1024; value % 1024 == 0 && suffixes[i + 1]; i++)
		value /= 1024;
	printf("%" PRIu64 "%c", value, suffixes[i]);
}

/* "  key=VALUE   help (1 to 64; default 64)" */
static void print_option(const struct uvfio_option *opt)
{
	bool bounds = opt->max && !opt->choices;
	char head[96];

	snprintf(head, sizeof(head), "%s=%s", opt->key, placeholder(opt));
	printf("  %-22s %s%s", head, opt->help ? opt->help : "", bounds || opt->preset ? " (" : "\n");
	if (bounds) {
		print_number(opt->type, opt->min);
		printf(" to ");
		print_number(opt->type, opt->max);
		printf("%s", opt->preset ? "; " : ")\n");
	}
	if (opt->preset)
		printf("default %s)\n", opt->preset);
}

static void print_options(const struct uvfio_option *table)
{
	for (; table->key; table++)
		print_option(table);
}

static void print_model(const struct uvfio_pci_model *model)
{
	printf("%s: %s\n", model->name, model->summary);
	print_options(model_options(model));
	printf("\n");
}

static void print_type(const struct uvfio_mdev_driver *driver, const struct uvfio_mdev_type *type)
{
	char name[64];

	snprintf(name, sizeof(name), "%s-%s", driver->name, type->name);
	if (!type->pretty_name && !type->description)
		printf("    %s\n", name);
	else
		printf("    %-20s %s%s%s\n", name, type->pretty_name ? type->pretty_name : "",
		       type->pretty_name && type->description ? ": " : "",
		       type->description ? type->description : "");
}

static void print_driver(const struct uvfio_mdev_driver *driver)
{
	static const struct uvfio_option none[] = { { .key = NULL } };

	printf("%s: %s\n", driver->name, driver->summary);
	print_options(driver->options ? driver->options : none);
	printf("  types of instances:\n");
	for (const struct uvfio_mdev_type *type = driver->types; type->name; type++)
		print_type(driver, type);
	printf("\n");
}

static void print_common(bool mediated)
{
	printf(mediated ? "every mediated device:\n" : "every device:\n");
	print_options(mediated ? machine_instance_options() : machine_common_device_options());
}

/* One model; an exit status (complained). */
static int print_named(const char *name)
{
	const struct uvfio_pci_model *model;
	char err[1024];

	if (strchr(name, ',') && access(name, F_OK)) {
		complain("devices: %s: give a model without options: uvfio devices %.*s", name,
			 (int)strcspn(name, ","), name);
		return EXIT_USAGE;
	}
	if (mdev_driver_of(name)) {
		print_driver(mdev_driver_of(name));
		print_common(true);
		return 0;
	}
	if (model_find(name, &model, err, sizeof(err))) {
		complain("%s", err);
		return EXIT_ERROR;
	}
	print_model(model);
	print_common(false);
	return 0;
}

int devices_command(int argc, char **argv)
{
	int option = cli_getopt(argc, argv, devices_options, "devices");

	if (option == OPT_HELP)
		return devices_help();
	if (option != -1)
		return EXIT_USAGE;
	if (argc - optind > 1) {
		complain("devices: at most one MODEL: see uvfio devices --help");
		return EXIT_USAGE;
	}
	if (argv[optind])
		return print_named(argv[optind]);
	for (const struct uvfio_pci_model *const *m = builtin_models; *m; m++)
		print_model(*m);
	for (const struct uvfio_mdev_driver *const *d = builtin_mdev_drivers; *d; d++)
		print_driver(*d);
	print_common(false);
	printf("\n");
	print_common(true);
	for (const struct iommu_type *const *t = iommu_types; *t; t++) {
		printf("\n--iommu type=%s:\n", (*t)->name);
		print_options((*t)->options);
	}
	return 0;
}
