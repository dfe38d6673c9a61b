/* SPDX-License-Identifier: BSD-2-Clause */
/* Parents and instances of mediated devices: see mdev.h. */
#include "machine/mdev.h"

#include "base/log.h"
#include "base/trace.h"
#include "base/why.h"
#include "machine/plugin.h"
#include "machine/tree.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* ---- parents */

int machine_make_parents(struct uvfio_machine *machine, char *err, size_t err_len)
{
	const struct machine_config *config = &machine->config;
	int rc = 0;

	machine->parents = calloc(config->nr_parents + 1, sizeof(struct mdev_parent *));
	if (!machine->parents) {
		snprintf(err, err_len, "out of memory");
		return -ENOMEM;
	}
	for (unsigned int i = 0; i < config->nr_parents && !rc; i++)
		rc = mdev_parent_create(config->parents[i].driver, config->parents[i].options,
					plugin_named(config->parents[i].name) ? config->parents[i].name
									      : NULL,
					&machine->parents[i], err, err_len);
	return rc;
}

void machine_free_parents(struct uvfio_machine *machine)
{
	struct machine_mdev *m, *next;

	cds_list_for_each_entry_safe (m, next, &machine->mdevs, node) {
		machine_mdev_unregister(m);
		machine_mdev_drop(machine, m);
	}
	for (unsigned int i = machine->config.nr_parents; machine->parents && i-- > 0;)
		mdev_parent_free(machine->parents[i]);
	free(machine->parents);
}

const struct uvfio_mdev_type *machine_mdev_type(const struct uvfio_machine *machine, const char *name,
						struct mdev_parent **parent)
{
	const struct uvfio_mdev_type *type = NULL;

	for (unsigned int i = 0; i < machine->config.nr_parents && !type; i++) {
		*parent = machine->parents[i];
		type = mdev_find_type(*parent, name);
	}
	return type;
}

/* ---- instances. mdevs_lock is held. */

struct machine_mdev *machine_mdev_find(const struct uvfio_machine *machine, const char *uuid)
{
	struct machine_mdev *m;

	cds_list_for_each_entry (m, &machine->mdevs, node)
		if (!strcmp(m->uuid, uuid))
			return m;
	return NULL;
}

static int make_device(struct uvfio_machine *machine, struct machine_mdev *m)
{
	struct mdev_config config = { .uuid = m->uuid,
				      .group_id = m->group,
				      .vfio_index = m->index,
				      .instance = m->index,
				      .state_dir = machine->state_dir };
	int rc = mdev_device_create(machine->vfio, m->parent, m->type, &config, &m->dev);

	if (rc)
		m->dev = NULL;
	else if (m->remover)
		mdev_device_set_leaving(m->dev, true);
	return rc;
}

int machine_mdev_make(struct uvfio_machine *machine, const struct machine_mdev *as)
{
	struct machine_mdev *m = malloc(sizeof(*m));
	int rc;

	if (!m)
		return -ENOMEM;
	*m = *as;
	rc = make_device(machine, m);
	if (rc)
		free(m);
	else
		cds_list_add_tail(&m->node, &machine->mdevs);
	return rc;
}

void machine_mdev_retry(struct uvfio_machine *machine, struct machine_mdev *m)
{
	int rc = m->dev ? 0 : make_device(machine, m);

	if (rc)
		uvfio_err_once(m->group, "%s: cannot be made in process %d: %s", m->uuid, (int)getpid(),
			       strerror(-rc));
}

void machine_mdev_take(struct uvfio_machine *machine, const struct machine_mdev *as)
{
	struct machine_mdev *m = malloc(sizeof(*m));

	if (!m)
		return;
	*m = *as;
	m->dev = NULL;
	cds_list_add_tail(&m->node, &machine->mdevs);
	machine_mdev_retry(machine, m);
}

void machine_mdev_set_leaving(struct machine_mdev *m)
{
	if (m->dev && !m->unregistered)
		mdev_device_set_leaving(m->dev, true);
}

void machine_mdev_unregister(struct machine_mdev *m)
{
	if (m->dev && !m->unregistered)
		mdev_device_unregister(m->dev);
	m->unregistered = true;
}

void machine_mdev_drop(struct uvfio_machine *machine, struct machine_mdev *m)
{
	(void)machine;
	cds_list_del(&m->node);
	if (m->dev)
		mdev_device_free(m->dev);
	free(m);
}

static bool number_taken(struct uvfio_machine *machine, unsigned int number)
{
	const struct machine_mdev *m;
	bool taken = false;

	cds_list_for_each_entry (m, &machine->mdevs, node)
		taken |= m->group == number || m->index == number;
	pthread_mutex_lock(&machine->lock);
	for (unsigned int i = 0; i < machine->config.nr_devices; i++)
		taken |= machine->config.devices[i].group == number ||
			 machine->config.devices[i].index == number ||
			 machine->config.devices[i].minor == number;
	pthread_mutex_unlock(&machine->lock);
	return taken;
}

/* Whose instance may be gone: its file stays open as long as its process likes. */
static bool group_is_open(const struct uvfio_machine *machine, unsigned int group)
{
	int claim = mdevs_try_claim_group(machine, group);

	mdevs_unlock_session(claim);
	return claim == -EAGAIN;
}

/* ---- the tree. Without one (the library) nothing happens. */

static int open_tree(const struct uvfio_machine *machine, struct tree *tree)
{
	tree->error = 0;
	tree->root = machine->state_dir ? open(machine->state_dir, O_PATH | O_DIRECTORY | O_CLOEXEC) : -1;
	return tree->root >= 0;
}

static void close_tree(struct tree *tree)
{
	close(tree->root);
	if (tree->error)
		uvfio_err("the session directory cannot be changed: %s", strerror(-tree->error));
}

/* What is left of an instance, here and in the session. */
static void take_away(struct uvfio_machine *machine, struct machine_mdev *m)
{
	struct mdev_parent *parent = m->parent;
	struct tree tree;

	if (open_tree(machine, &tree)) {
		erase_mdev(m, &tree);
		machine_mdev_drop(machine, m);
		update_mdev_available(parent, &tree);
		close_tree(&tree);
	} else {
		machine_mdev_drop(machine, m);
	}
	mdevs_write(machine);
}

/* Its remover was killed while it waited; and nobody has it open. */
static void end_abandoned(struct uvfio_machine *machine, struct machine_mdev *m)
{
	unsigned int files = 0;
	bool leaving;
	int claim;

	if (!m->listed || !m->remover || m->ours || !kill(m->remover, 0) || errno != ESRCH)
		return;
	vfio_device_state(machine->vfio, m->uuid, &files, &leaving);
	claim = files ? -EAGAIN : mdevs_try_claim_group(machine, m->group);
	if (claim < 0)
		return;
	machine_mdev_unregister(m);
	take_away(machine, m);
	mdevs_unlock_session(claim);
}

/* Follow what the other processes of the session have made and removed. The session is locked. */
static void follow(struct uvfio_machine *machine)
{
	struct machine_mdev *m, *next;

	mdevs_read(machine);
	cds_list_for_each_entry_safe (m, next, &machine->mdevs, node)
		end_abandoned(machine, m);
}

/* ---- making */

static int create_locked(struct uvfio_machine *machine, const char *type, const char *uuid, bool publish)
{
	struct machine_mdev as = { .listed = true }, *m;
	struct tree tree;
	int rc;

	as.type = machine_mdev_type(machine, type, &as.parent);
	if (!as.type)
		return -ENOENT;
	if (machine_mdev_find(machine, uuid))
		return -EEXIST;
	snprintf(as.uuid, sizeof(as.uuid), "%s", uuid);
	for (as.group = MDEV_FIRST; number_taken(machine, as.group) || group_is_open(machine, as.group);)
		as.group++;
	as.index = as.group;
	rc = machine_mdev_make(machine, &as);
	if (rc || !publish)
		return rc;
	m = machine_mdev_find(machine, uuid);
	rc = mdevs_write(machine);
	if (rc) {
		machine_mdev_unregister(m);
		machine_mdev_drop(machine, m);
		return rc;
	}
	if (!open_tree(machine, &tree))
		return 0;
	write_mdev(machine, m, &tree);
	update_mdev_available(as.parent, &tree);
	close_tree(&tree);
	return 0;
}

const char *machine_mdev_why(int rc)
{
	switch (rc) {
	case -ENOENT:
		return "there is no such type: uvfio mdev types lists them";
	case -EEXIST:
		return "there is one of that UUID";
	case -ENOSPC:
	case -EUSERS:
		return "there can be no more of this type";
	default:
		return *why_text() ? why_text() : strerror(-rc);
	}
}

int machine_mdev_create(struct uvfio_machine *machine, const char *type, const char *uuid, size_t len)
{
	char name[UUID_STRING_LEN + 1];
	int rc = mdev_parse_uuid(uuid, len, name), lock;

	if (rc)
		return rc;
	why_clear();
	pthread_mutex_lock(&machine->mdevs_lock);
	lock = mdevs_lock_session(machine);
	follow(machine);
	rc = create_locked(machine, type, name, true);
	mdevs_unlock_session(lock);
	pthread_mutex_unlock(&machine->mdevs_lock);
	return rc;
}

int machine_make_mdevs(struct uvfio_machine *machine, bool publish, char *err, size_t err_len)
{
	const struct machine_config *config = &machine->config;
	int rc = 0;

	pthread_mutex_lock(&machine->mdevs_lock);
	for (unsigned int i = 0; i < config->nr_instances && !rc; i++) {
		const struct mdev_instance_config *instance = &config->instances[i];
		char type[64];

		mdev_type_name(machine->parents[instance->parent], instance->type, type, sizeof(type));
		why_clear();
		rc = create_locked(machine, type, instance->uuid, publish);
		if (rc)
			snprintf(err, err_len, "%s: an instance of %s cannot be made: %s",
				 config->parents[instance->parent].driver->name, type, machine_mdev_why(rc));
	}
	pthread_mutex_unlock(&machine->mdevs_lock);
	return rc;
}

/* ---- removing */

/* The session is locked. */
static int set_remover(struct uvfio_machine *machine, struct machine_mdev *m)
{
	struct tree tree;
	int rc;

	m->remover = getpid();
	rc = mdevs_write(machine);
	if (rc) {
		m->remover = 0;
		return rc;
	}
	m->ours = true;
	machine_mdev_set_leaving(m);
	if (open_tree(machine, &tree)) {
		erase_mdev_leaving(m, &tree);
		close_tree(&tree);
	}
	return 0;
}

/* Nobody opens it any more. *m: the instance, which only we take away. */
static int begin_removal(struct uvfio_machine *machine, const char *uuid, struct machine_mdev **m)
{
	int lock, rc = -ENODEV;

	pthread_mutex_lock(&machine->mdevs_lock);
	lock = mdevs_lock_session(machine);
	mdevs_read(machine);
	*m = machine_mdev_find(machine, uuid);
	if (*m)
		rc = (*m)->remover ? -EALREADY : set_remover(machine, *m);
	mdevs_unlock_session(lock);
	pthread_mutex_unlock(&machine->mdevs_lock);
	return rc;
}

static void end_removal(struct uvfio_machine *machine, struct machine_mdev *m)
{
	int lock;

	pthread_mutex_lock(&machine->mdevs_lock);
	lock = mdevs_lock_session(machine);
	mdevs_read(machine);
	take_away(machine, m);
	mdevs_unlock_session(lock);
	pthread_mutex_unlock(&machine->mdevs_lock);
}

/* Then no other process has it, and nobody here but who has the group's file, which is left with nothing. */
static bool group_is_ours(const struct uvfio_machine *machine, const struct machine_mdev *m)
{
	struct vfio_group_info info;

	return vfio_group_state(machine->vfio, m->group, &info) && info.opened;
}

unsigned int machine_mdev_patience = 10000;

/* Wait until no process has it open. The user may want to know why, as the kernel thinks, too. */
static int claim_group(const struct uvfio_machine *machine, const struct machine_mdev *m)
{
	uint64_t end = trace_now() + machine_mdev_patience * (uint64_t)1000000;
	struct timespec pause = { .tv_nsec = 100000 };
	int claim = mdevs_try_claim_group(machine, m->group);
	char who[64];

	while (claim == -EAGAIN && trace_now() < end) {
		nanosleep(&pause, NULL);
		pause.tv_nsec = MIN(2 * pause.tv_nsec, 20000000L);
		claim = mdevs_try_claim_group(machine, m->group);
	}
	if (claim != -EAGAIN)
		return claim;
	mdevs_group_holder(machine, m->group, who, sizeof(who));
	uvfio_err("%s: to be removed; %s has it open, waiting until it is closed", m->uuid, who);
	return mdevs_claim_group(machine, m->group);
}

int machine_mdev_remove(struct uvfio_machine *machine, const char *uuid)
{
	struct machine_mdev *m;
	int rc = begin_removal(machine, uuid, &m), claim;
	bool ours;

	if (rc)
		return rc;
	ours = group_is_ours(machine, m);
	machine_mdev_unregister(m);
	claim = ours ? -EBUSY : claim_group(machine, m);
	end_removal(machine, m);
	mdevs_unlock_session(claim);
	return 0;
}

/* ---- what the machine does with all of them */

void machine_mdevs_sync(struct uvfio_machine *machine)
{
	int lock;

	if (!machine->config.nr_parents || !machine->state_dir)
		return;
	pthread_mutex_lock(&machine->mdevs_lock);
	lock = mdevs_lock_session(machine);
	follow(machine);
	mdevs_unlock_session(lock);
	pthread_mutex_unlock(&machine->mdevs_lock);
}

bool machine_mdev_has_group(struct uvfio_machine *machine, unsigned int group)
{
	const struct machine_mdev *m;
	bool found = false;

	pthread_mutex_lock(&machine->mdevs_lock);
	cds_list_for_each_entry (m, &machine->mdevs, node)
		found |= m->group == group;
	pthread_mutex_unlock(&machine->mdevs_lock);
	return found;
}

bool machine_mdev_has_cdev(struct uvfio_machine *machine, unsigned int index)
{
	const struct machine_mdev *m;
	bool found = false;

	pthread_mutex_lock(&machine->mdevs_lock);
	cds_list_for_each_entry (m, &machine->mdevs, node)
		found |= m->index == index && !m->remover;
	pthread_mutex_unlock(&machine->mdevs_lock);
	return found;
}

void machine_mdevs_forked(struct uvfio_machine *machine)
{
	struct machine_mdev *m;

	pthread_mutex_init(&machine->mdevs_lock, NULL);
	cds_list_for_each_entry (m, &machine->mdevs, node) {
		m->ours = false;
		if (m->dev)
			mdev_device_forked(m->dev);
	}
	for (unsigned int i = 0; i < machine->config.nr_parents; i++)
		mdev_parent_forked(machine->parents[i]);
}

void machine_mdevs_take_over(struct uvfio_machine *machine)
{
	struct machine_mdev *m;

	cds_list_for_each_entry (m, &machine->mdevs, node)
		if (m->dev && !m->unregistered)
			mdev_device_take_over(m->dev);
}

static void list_types(struct mdev_parent *parent, FILE *out)
{
	const struct uvfio_mdev_driver *driver = mdev_parent_driver(parent);
	char name[64];

	for (const struct uvfio_mdev_type *type = driver->types; type->name; type++) {
		mdev_type_name(parent, type, name, sizeof(name));
		fprintf(out, "%-12s %-10s %-10u %-10s %s\n", name, mdev_parent_name(parent),
			mdev_available(parent, type), driver->device_api,
			type->pretty_name ? type->pretty_name : type->name);
	}
}

void machine_mdev_list(struct uvfio_machine *machine, bool types, FILE *out)
{
	const struct machine_mdev *m;
	char name[64];

	machine_mdevs_sync(machine);
	pthread_mutex_lock(&machine->mdevs_lock);
	for (unsigned int i = 0; types && i < machine->config.nr_parents; i++)
		list_types(machine->parents[i], out);
	cds_list_for_each_entry (m, &machine->mdevs, node) {
		if (types)
			break;
		mdev_type_name(m->parent, m->type, name, sizeof(name));
		fprintf(out, "%s %-12s %-6u vfio%-6u%s\n", m->uuid, name, m->group, m->index,
			m->remover ? " leaving" : "");
	}
	pthread_mutex_unlock(&machine->mdevs_lock);
}
