/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Devices that come and go while the machine is in use.
 *
 * A device that is being added stands in the description without a function, so that its place is taken; it
 * can be found only when it has one. A removal is a thread that waits for the device's last file, as the
 * kernel does; only then is the device taken out of the description and freed.
 */
#include "machine/impl.h"

#include "base/thread.h"
#include "machine/tree.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct removal {
	struct cds_list_head node; /* in the machine's removals */
	struct uvfio_machine *machine;
	char bdf[16];
	pthread_t thread;
	/* under the machine's lock */
	struct pci_func *func; /* NULL: taken out of the description; its memory may be another's */
	bool finished;         /* the thread does nothing any more */
	void (*done)(void *arg, const char *bdf);
	void *arg;
};

/* ---- finding. The machine's lock is held. */

static int find_instance(const struct uvfio_machine *machine, unsigned int instance)
{
	for (unsigned int i = 0; i < machine->config.nr_devices; i++)
		if (machine->config.devices[i].instance == instance)
			return (int)i;
	return -1;
}

int machine_find(const struct uvfio_machine *machine, const char *bdf)
{
	struct pci_slot slot;
	char name[16];

	if (pci_parse_bdf(bdf, &slot))
		return -1;
	pci_format_bdf(&slot, name);
	for (unsigned int i = 0; i < machine->config.nr_devices; i++)
		if (machine->funcs[i] && !strcmp(pci_func_name(machine->funcs[i]), name))
			return (int)i;
	return -1;
}

static struct removal *find_removal(const struct uvfio_machine *machine, const struct pci_func *func)
{
	struct removal *removal;

	cds_list_for_each_entry (removal, &machine->removals, node)
		if (removal->func == func)
			return removal;
	return NULL;
}

static int no_device(const char *bdf, char *err, size_t err_len)
{
	snprintf(err, err_len, "there is no device at %s", bdf);
	return -ENODEV;
}

/* The device, kept from going away: *vdev is to be given back. NULL: there is none. */
static struct pci_func *get_function(struct uvfio_machine *machine, const char *bdf,
				     struct vfio_device **vdev)
{
	struct pci_func *func = NULL;
	int i;

	pthread_mutex_lock(&machine->lock);
	i = machine_find(machine, bdf);
	*vdev = i < 0 ? NULL : vfio_device_get(machine->vfio, pci_func_name(machine->funcs[i]));
	if (*vdev)
		func = machine->funcs[i];
	pthread_mutex_unlock(&machine->lock);
	return func;
}

/* ---- adding */

/* Take a place for the device: *dev is a copy, good as long as the device has no function. */
static int reserve(struct uvfio_machine *machine, const char *text, struct device_config *dev, char *err,
		   size_t err_len)
{
	unsigned int nr = machine->config.nr_devices;
	struct pci_func **funcs = reallocarray(machine->funcs, nr + 2, sizeof(*funcs));
	int rc;

	if (!funcs) {
		snprintf(err, err_len, "out of memory");
		return -ENOMEM;
	}
	machine->funcs = funcs;
	rc = machine_config_add(&machine->config, text, err, err_len);
	if (rc)
		return rc;
	if (machine->config.nr_devices == nr) {
		snprintf(err, err_len, "\"%s\" describes no device", text);
		return -EINVAL;
	}
	funcs[nr] = NULL;
	*dev = machine->config.devices[nr];
	return 0;
}

static void forget(struct uvfio_machine *machine, unsigned int i)
{
	machine_config_remove(&machine->config, i);
	memmove(&machine->funcs[i], &machine->funcs[i + 1],
		(machine->config.nr_devices - i) * sizeof(struct pci_func *));
}

/* Does the device that has just been reserved go with the others? What machine_new() would refuse is refused
 * here, so that every process of a session can make the machine anew. */
static int check_new(const struct uvfio_machine *machine, const char *text, char *err, size_t err_len)
{
	const struct device_config *dev = &machine->config.devices[machine->config.nr_devices - 1];
	unsigned int nr = 0;

	for (unsigned int i = 0; i < machine->config.nr_devices; i++)
		nr += machine->config.devices[i].instance == dev->instance;
	if (nr > 1) { /* that comes of a description that was not written by us */
		snprintf(err, err_len, "%s: there is a device %u already", text, dev->instance);
		return -EEXIST;
	}
	return machine_check_images(&machine->config, err, err_len);
}

int machine_add_device(struct uvfio_machine *machine, const char *text, char **line, char *err,
		       size_t err_len)
{
	struct pci_func *func = NULL;
	struct device_config dev;
	int rc;

	pthread_mutex_lock(&machine->adding);
	pthread_mutex_lock(&machine->lock);
	rc = reserve(machine, text, &dev, err, err_len);
	if (!rc) {
		rc = check_new(machine, text, err, err_len);
		if (rc)
			forget(machine, machine->config.nr_devices - 1);
	}
	pthread_mutex_unlock(&machine->lock);
	if (rc)
		goto out;
	if (dev.noiommu)
		vfio_allow_noiommu(machine->vfio);
	rc = machine_make_function(machine, &dev, &func, err, err_len);
	pthread_mutex_lock(&machine->lock);
	if (!rc && line)
		*line = machine_config_line(&dev);
	if (rc)
		forget(machine, (unsigned int)find_instance(machine, dev.instance));
	else
		machine->funcs[find_instance(machine, dev.instance)] = func;
	pthread_mutex_unlock(&machine->lock);
out:
	pthread_mutex_unlock(&machine->adding);
	return rc;
}

/* ---- removing */

/* The device is not registered any more. */
static void take_out(struct removal *removal)
{
	struct uvfio_machine *machine = removal->machine;
	struct pci_func *func = removal->func;

	pthread_mutex_lock(&machine->lock);
	for (unsigned int i = 0; i < machine->config.nr_devices; i++)
		if (machine->funcs[i] == func)
			forget(machine, i);
	removal->func = NULL;
	pthread_mutex_unlock(&machine->lock);
	pci_func_free(func);
}

static void *remove_main(void *arg)
{
	struct removal *removal = arg;
	struct uvfio_machine *machine = removal->machine;

	pci_func_unregister(removal->func);
	take_out(removal);
	if (removal->done)
		removal->done(removal->arg, removal->bdf);
	pthread_mutex_lock(&machine->lock);
	removal->finished = true;
	pthread_mutex_unlock(&machine->lock);
	return NULL;
}

/* Join threads: those that have finished, or all. */
static void reap(struct uvfio_machine *machine, bool all)
{
	struct removal *removal, *found;

	do {
		found = NULL;
		pthread_mutex_lock(&machine->lock);
		cds_list_for_each_entry (removal, &machine->removals, node)
			if (all || removal->finished)
				found = removal;
		if (found)
			cds_list_del(&found->node);
		pthread_mutex_unlock(&machine->lock);
		if (found)
			pthread_join(found->thread, NULL);
		free(found);
	} while (found);
}

void removals_end(struct uvfio_machine *machine)
{
	reap(machine, true);
}

void machine_wait_removed(struct uvfio_machine *machine)
{
	reap(machine, true);
}

/* The threads are gone: those whose device is still there start anew. */
void removals_forked(struct uvfio_machine *machine)
{
	struct removal *removal, *next;

	cds_list_for_each_entry_safe (removal, next, &machine->removals, node) {
		removal->done = NULL;
		if (removal->func && !vfio_find_device(machine->vfio, removal->bdf))
			take_out(removal); /* the fork came between the two */
		if (removal->func && !thread_start(&removal->thread, "uvfio-remove", remove_main, removal))
			continue;
		cds_list_del(&removal->node);
		free(removal);
	}
}

/* The machine's lock is held, so that the thread does not get ahead of us. */
static int start_removal(struct uvfio_machine *machine, struct pci_func *func,
			 void (*done)(void *arg, const char *bdf), void *arg)
{
	struct removal *removal = calloc(1, sizeof(*removal));
	int rc;

	if (!removal)
		return -ENOMEM;
	*removal = (struct removal){ .machine = machine, .func = func, .done = done, .arg = arg };
	snprintf(removal->bdf, sizeof(removal->bdf), "%s", pci_func_name(func));
	cds_list_add_tail(&removal->node, &machine->removals);
	pci_func_set_leaving(func, true);
	rc = thread_start(&removal->thread, "uvfio-remove", remove_main, removal);
	if (rc) {
		pci_func_set_leaving(func, false);
		cds_list_del(&removal->node);
		free(removal);
	}
	return rc;
}

static void pull_out(struct uvfio_machine *machine, const char *bdf)
{
	struct vfio_device *vdev;
	struct pci_func *func = get_function(machine, bdf, &vdev);

	if (!func)
		return;
	pci_func_set_leaving(func, true); /* before its user hears of it */
	pci_func_unplug(func);
	vfio_device_put(vdev);
}

int machine_remove_device(struct uvfio_machine *machine, const char *bdf, bool surprise,
			  void (*done)(void *arg, const char *bdf), void *arg, char *err, size_t err_len)
{
	int rc = 0, i;

	reap(machine, false);
	if (surprise)
		pull_out(machine, bdf);
	pthread_mutex_lock(&machine->lock);
	i = machine_find(machine, bdf);
	if (i < 0) {
		rc = no_device(bdf, err, err_len);
	} else if (!find_removal(machine, machine->funcs[i])) {
		rc = start_removal(machine, machine->funcs[i], done, arg);
		if (rc)
			snprintf(err, err_len, "%s: cannot be removed: %s", bdf, strerror(-rc));
	} else if (!surprise) {
		snprintf(err, err_len, "%s is being removed already: its user has not closed it yet", bdf);
		rc = -EALREADY;
	}
	pthread_mutex_unlock(&machine->lock);
	return rc;
}

/* ---- from outside */

static int on_function(struct uvfio_machine *machine, const char *bdf, int (*fn)(struct pci_func *func),
		       char *err, size_t err_len)
{
	struct vfio_device *vdev;
	struct pci_func *func = get_function(machine, bdf, &vdev);
	int rc;

	if (!func)
		return no_device(bdf, err, err_len);
	rc = fn(func);
	vfio_device_put(vdev);
	if (rc)
		snprintf(err, err_len, "%s is not open", bdf);
	return rc;
}

int machine_reset_device(struct uvfio_machine *machine, const char *bdf, char *err, size_t err_len)
{
	return on_function(machine, bdf, pci_func_reset, err, err_len);
}

int machine_raise_error(struct uvfio_machine *machine, const char *bdf, char *err, size_t err_len)
{
	return on_function(machine, bdf, pci_func_error, err, err_len);
}

/* ---- the tree */

static int change_tree(struct uvfio_machine *machine, const char *dir, const char *bdf, bool add)
{
	struct tree tree = { .root = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC) };
	struct machine_group group;
	unsigned int members = 0;
	int i;

	if (tree.root < 0)
		return -errno;
	pthread_mutex_lock(&machine->lock);
	i = machine_find(machine, bdf);
	for (unsigned int k = 0; i >= 0 && k < machine->config.nr_devices; k++)
		members += machine->config.devices[k].group == machine->config.devices[i].group;
	if (i >= 0)
		machine_group_of(&machine->config.devices[i], &group);
	if (i >= 0 && add) {
		if (members == 1)
			write_group(machine, &group, &tree);
		write_pci_function(machine, (unsigned int)i, &tree);
	} else if (i >= 0) {
		erase_pci_function(&machine->config.devices[i], &tree);
		if (members == 1)
			erase_group(&group, &tree);
	}
	pthread_mutex_unlock(&machine->lock);
	close(tree.root);
	return i < 0 ? -ENODEV : tree.error;
}

int machine_tree_add(struct uvfio_machine *machine, const char *dir, const char *bdf)
{
	return change_tree(machine, dir, bdf, true);
}

int machine_tree_remove(struct uvfio_machine *machine, const char *dir, const char *bdf)
{
	return change_tree(machine, dir, bdf, false);
}
