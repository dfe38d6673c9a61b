/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The description's lines, and what they leave open: see config.h.
 *
 * Options that every device has are taken out of its option text here, so that a model's table holds its own
 * only.
 */
#include "machine/config.h"

#include "base/options.h"
#include "machine/machine.h"
#include "machine/plugin.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct common_options {
	char *addr;
	uint64_t group;
	bool noiommu;
};

static const struct uvfio_option common_options[] = {
	{ .key = "addr",
	  .type = UVFIO_OPTION_STRING,
	  .offset = offsetof(struct common_options, addr),
	  .help = "PCI address, DDDD:BB:DD.F or BB:DD.F; without it the first free one from 0000:00:01.0 "
		  "on" },
	{ .key = "group",
	  .type = UVFIO_OPTION_UINT,
	  .offset = offsetof(struct common_options, group),
	  .min = 0,
	  .max = INT_MAX,
	  .help = "IOMMU group number; devices with the same number share a group; without it a group of its "
		  "own" },
	{ .key = "noiommu",
	  .type = UVFIO_OPTION_BOOL,
	  .offset = offsetof(struct common_options, noiommu),
	  .preset = "off",
	  .help = "on: no IOMMU in front of the device, its group is /dev/vfio/noiommu-N" },
	{ .key = NULL },
};

const struct uvfio_option *machine_common_device_options(void)
{
	return common_options;
}

const struct uvfio_option *model_options(const struct uvfio_pci_model *model)
{
	static const struct uvfio_option none[] = { { .key = NULL } };

	return model->options ? model->options : none;
}

static int parse_common(struct device_config *dev, const char *text, char *err, size_t err_len)
{
	struct common_options opts;
	int rc = options_parse(common_options, dev->model->name, text, &opts, err, err_len);

	if (rc)
		return rc;
	dev->has_addr = opts.addr;
	dev->has_group = option_given(text, "group");
	dev->group = (unsigned int)opts.group;
	dev->noiommu = opts.noiommu;
	if (opts.addr && pci_parse_bdf(opts.addr, &dev->slot)) {
		snprintf(
			err, err_len,
			"%s: addr=%s is not possible: use a PCI address like 0000:00:01.0 or 00:01.0, device "
			"00 to 1f, function 0 to 7",
			dev->model->name, opts.addr);
		rc = -EINVAL;
	}
	options_free(common_options, &opts);
	return rc;
}

/* "./a,b.so" where "./a,,b.so" is meant: say so. */
static void explain_comma(const char *text, char *err, size_t err_len)
{
	char *path = option_text(text, strlen(text));

	if (path && strchr(path, ',') && plugin_named(path) && !access(path, F_OK))
		snprintf(err, err_len, "plug-in %s: a comma in its path is written twice", path);
	free(path);
}

/* The model that the text begins with. */
static int find_model(struct device_config *dev, const char *text, char *err, size_t err_len)
{
	char *name = option_text(dev->name, strlen(dev->name));
	int rc = -ENOMEM;

	if (name)
		rc = model_find(name, &dev->model, err, err_len);
	else
		snprintf(err, err_len, "out of memory");
	if (rc)
		explain_comma(text, err, err_len);
	free(name);
	return rc;
}

/* "MODEL[,key=value...]" */
static int parse_device(const char *text, struct device_config *dev, char *err, size_t err_len)
{
	const char *rest = text, *start = text;
	size_t len = 0, size = strlen(text) + 1;
	char *common = calloc(1, size);
	int rc = -ENOMEM;

	option_item(&rest, &start, &len);
	dev->name = strndup(start, len);
	dev->options = calloc(1, size);
	if (!dev->name || !common || !dev->options) {
		snprintf(err, err_len, "out of memory");
		goto out;
	}
	rc = find_model(dev, text, err, err_len);
	if (rc)
		goto out;
	rc = options_split(
		&(struct option_tables){ dev->model->name, model_options(dev->model), common_options }, rest,
		common, dev->options, err, err_len);
	if (!rc)
		rc = parse_common(dev, common, err, err_len);
out:
	free(common);
	if (rc) {
		free(dev->name);
		free(dev->options);
	}
	return rc;
}

/* What stands behind "device": nothing, or "@INSTANCE:MINOR:INDEX". */
static int parse_numbers(const char *text, struct device_config *dev, char *err, size_t err_len)
{
	int end = 0;

	dev->instance = dev->minor = dev->index = NOT_GIVEN;
	if (!*text)
		return 0;
	if (sscanf(text, "@%9u:%9u:%6u%n", &dev->instance, &dev->minor, &dev->index, &end) == 3 && !text[end])
		return 0;
	snprintf(err, err_len, "device%s: numbers are written device@INSTANCE:MINOR:INDEX", text);
	return -EINVAL;
}

static int add_device(struct machine_config *config, const char *numbers, const char *text, char *err,
		      size_t err_len)
{
	struct device_config *devices =
		reallocarray(config->devices, config->nr_devices + 1, sizeof(*devices));
	int rc;

	if (!devices) {
		snprintf(err, err_len, "out of memory");
		return -ENOMEM;
	}
	config->devices = devices;
	devices[config->nr_devices] = (struct device_config){ 0 };
	rc = parse_numbers(numbers, &devices[config->nr_devices], err, err_len);
	if (!rc)
		rc = parse_device(text, &devices[config->nr_devices], err, err_len);
	if (!rc)
		config->nr_devices++;
	return rc;
}

/* The text of all lines of a kind but "device", joined by commas. */
struct other_lines {
	char *iommu, *vfio;
};

static int parse_line(struct machine_config *config, char *line, const struct other_lines *others, char *err,
		      size_t err_len)
{
	size_t len = strcspn(line, " ");
	const char *rest = line + len + (line[len] == ' ');

	if (!*line || *line == '#')
		return 0;
	line[len] = 0;
	if (!strncmp(line, "device", 6) && (!line[6] || line[6] == '@'))
		return mdev_driver_of(rest) ? machine_config_add_parent(config, rest, err, err_len)
					    : add_device(config, line + 6, rest, err, err_len);
	if (!strcmp(line, "iommu") || !strcmp(line, "vfio")) {
		option_append(*line == 'i' ? others->iommu : others->vfio, rest, strlen(rest));
		return 0;
	}
	snprintf(err, err_len,
		 "a description has lines \"device ...\", \"iommu ...\" and \"vfio ...\", not \"%s\"", line);
	return -EINVAL;
}

int machine_config_add(struct machine_config *config, const char *line, char *err, size_t err_len)
{
	unsigned int before = config->nr_devices;
	char *text = strdup(line);
	int rc = -ENOMEM;

	if (!text)
		snprintf(err, err_len, "out of memory");
	else if (strncmp(text, "device", 6))
		rc = -EINVAL;
	else if (mdev_driver_of(text + strcspn(text, " ") + (strchr(text, ' ') != NULL)))
		snprintf(err, err_len,
			 "%s is a parent of mediated devices: parents are there from the start, uvfio run "
			 "--device %s; uvfio mdev create makes instances",
			 text + strcspn(text, " ") + 1, text + strcspn(text, " ") + 1),
			rc = -EINVAL;
	else
		rc = parse_line(config, text, NULL, err, err_len);
	free(text);
	if (!rc)
		rc = machine_config_fill(config, err, err_len);
	if (rc && config->nr_devices > before)
		machine_config_remove(config, before);
	return rc;
}

void machine_config_remove(struct machine_config *config, unsigned int index)
{
	struct device_config *dev = &config->devices[index];

	free(dev->name);
	free(dev->options);
	config->nr_devices--;
	memmove(dev, dev + 1, (config->nr_devices - index) * sizeof(*dev));
}

char *machine_config_line(const struct device_config *dev)
{
	char bdf[16], *line;

	pci_format_bdf(&dev->slot, bdf);
	if (asprintf(&line, "device@%u:%u:%u %s%s%s,addr=%s,group=%u%s\n", dev->instance, dev->minor,
		     dev->index, dev->name, *dev->options ? "," : "", dev->options, bdf, dev->group,
		     dev->noiommu ? ",noiommu=on" : "") < 0)
		return NULL;
	return line;
}

int machine_config_parse(const char *description, struct machine_config *config, char *err, size_t err_len)
{
	const size_t size = strlen(description) + 1;
	struct other_lines others = { calloc(1, size), calloc(1, size) };
	char *text = strdup(description), *rest = text;
	int rc = 0;

	*config = (struct machine_config){ 0 };
	if (!text || !others.iommu || !others.vfio) {
		snprintf(err, err_len, "out of memory");
		rc = -ENOMEM;
	}
	while (!rc && rest)
		rc = parse_line(config, strsep(&rest, "\n"), &others, err, err_len);
	if (!rc)
		rc = iommu_config_parse(others.iommu, &config->iommu, err, err_len);
	if (!rc)
		rc = vfio_config_parse(others.vfio, &config->vfio, err, err_len);
	if (!rc)
		rc = machine_config_fill(config, err, err_len);
	if (rc)
		machine_config_free(config);
	free(text);
	free(others.iommu);
	free(others.vfio);
	return rc;
}

void machine_config_free(struct machine_config *config)
{
	while (config->nr_devices)
		machine_config_remove(config, config->nr_devices - 1);
	free(config->devices);
	machine_config_free_parents(config);
	*config = (struct machine_config){ 0 };
}
