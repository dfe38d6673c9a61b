/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Making a machine from its description.
 *
 * A machine is made completely or not at all. Devices that come and go later: hotplug.c.
 */
#include "devices/models.h"
#include "iommufd/iommufd.h"
#include "machine/impl.h"
#include "machine/mdev.h"
#include "machine/plugin.h"
#include "machine/tree.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

void machine_group_of(const struct device_config *dev, struct machine_group *group)
{
	*group = (struct machine_group){ .id = dev->group, .noiommu = dev->noiommu, .minor = dev->minor };
	snprintf(group->name, sizeof(group->name), "%s%u", dev->noiommu ? "noiommu-" : "", dev->group);
}

bool machine_first_of_group(const struct machine_config *config, unsigned int index)
{
	for (unsigned int i = 0; i < index; i++)
		if (config->devices[i].group == config->devices[index].group)
			return false;
	return true;
}

bool machine_has_noiommu(const struct machine_config *config)
{
	for (unsigned int i = 0; i < config->nr_devices; i++)
		if (config->devices[i].noiommu)
			return true;
	return false;
}

/* What the user has called the device, for complaints about a plug-in; allocated. NULL: a model of ours,
 * which says itself what it is about. */
static char *words_of(const struct device_config *dev)
{
	char *words = NULL;

	if (plugin_named(dev->name) &&
	    asprintf(&words, "plug-in %s%s%s", dev->name, *dev->options ? "," : "", dev->options) < 0)
		return NULL;
	return words;
}

int machine_make_function(struct uvfio_machine *machine, const struct device_config *dev,
			  struct pci_func **func, char *err, size_t err_len)
{
	char *words = words_of(dev);
	struct pci_func_config how = {
		.slot = dev->slot,
		.group_id = dev->group,
		.noiommu = dev->noiommu,
		.state_dir = machine->state_dir,
		.instance = dev->instance,
		.vfio_index = dev->index,
		.options = dev->options,
		.device = words,
		.plugin = plugin_named(dev->name) ? dev->name : NULL,
	};
	int rc = pci_func_create(machine->vfio, dev->model, &how, func, err, err_len);

	free(words);
	return rc;
}

static int make_functions(struct uvfio_machine *machine, char *err, size_t err_len)
{
	machine->funcs = calloc(machine->config.nr_devices + 1, sizeof(struct pci_func *));
	if (!machine->funcs) {
		snprintf(err, err_len, "out of memory");
		return -ENOMEM;
	}
	for (unsigned int i = 0; i < machine->config.nr_devices; i++) {
		int rc = machine_make_function(machine, &machine->config.devices[i], &machine->funcs[i], err,
					       err_len);

		if (rc)
			return rc;
	}
	return 0;
}

struct uvfio_machine *machine_new(const char *description, const char *state_dir, char *err, size_t err_len)
{
	struct uvfio_machine *machine = calloc(1, sizeof(*machine));

	if (!machine) {
		snprintf(err, err_len, "out of memory");
		return NULL;
	}
	pthread_mutex_init(&machine->adding, NULL);
	pthread_mutex_init(&machine->lock, NULL);
	CDS_INIT_LIST_HEAD(&machine->removals);
	pthread_mutex_init(&machine->mdevs_lock, NULL);
	CDS_INIT_LIST_HEAD(&machine->mdevs);
	if (machine_config_parse(description, &machine->config, err, err_len) ||
	    machine_check_images(&machine->config, err, err_len))
		goto fail;
	machine->state_dir = state_dir ? strdup(state_dir) : NULL;
	if (state_dir && !machine->state_dir) {
		snprintf(err, err_len, "out of memory");
		goto fail;
	}
	machine->vfio = vfio_new(&machine->config.iommu, machine_has_noiommu(&machine->config));
	if (!machine->vfio) {
		snprintf(err, err_len, "out of memory");
		goto fail;
	}
	if (make_functions(machine, err, err_len) || machine_make_parents(machine, err, err_len))
		goto fail;
	if (!state_dir && machine_make_mdevs(machine, true, err, err_len))
		goto fail;
	return machine;
fail:
	machine_free(machine);
	return NULL;
}

void machine_free(struct uvfio_machine *machine)
{
	removals_end(machine);
	machine_free_parents(machine);
	for (unsigned int i = machine->config.nr_devices; machine->funcs && i-- > 0;)
		if (machine->funcs[i])
			pci_func_destroy(machine->funcs[i]);
	if (machine->vfio)
		vfio_free(machine->vfio);
	free(machine->funcs);
	free(machine->state_dir);
	machine_config_free(&machine->config);
	pthread_mutex_destroy(&machine->mdevs_lock);
	pthread_mutex_destroy(&machine->lock);
	pthread_mutex_destroy(&machine->adding);
	free(machine);
}

static void iommufd_file_forked(struct file *file, void *arg)
{
	(void)arg;
	iommufd_forked(file);
}

void machine_forked(struct uvfio_machine *machine)
{
	pthread_mutex_init(&machine->adding, NULL);
	pthread_mutex_init(&machine->lock, NULL);
	for (unsigned int i = machine->config.nr_devices; i-- > 0;)
		if (machine->funcs[i])
			pci_func_forked(machine->funcs[i]);
	machine_mdevs_forked(machine);
	vfio_forked(machine->vfio);
	file_for_each(iommufd_file_forked, NULL);
	removals_forked(machine);
}

void machine_take_over(struct uvfio_machine *machine)
{
	machine_forked(machine);
	for (unsigned int i = machine->config.nr_devices; i-- > 0;)
		if (machine->funcs[i])
			pci_func_take_over(machine->funcs[i]);
	machine_mdevs_take_over(machine);
}

int machine_write_tree(struct uvfio_machine *machine, const char *dir)
{
	struct tree tree = { .root = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC) };

	if (tree.root < 0)
		return -errno;
	for (unsigned int i = 0; i < machine->config.nr_devices; i++)
		write_pci_function(machine, i, &tree);
	write_vfio_nodes(machine, &tree);
	write_mdev_parents(machine, &tree);
	write_debugfs(&tree);
	close(tree.root);
	return tree.error;
}
