/* SPDX-License-Identifier: BSD-2-Clause */
/* The session's list of mediated devices, and its locks: see mdev.h. */
#include "base/log.h"
#include "base/private_fd.h"
#include "machine/mdev.h"

#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

/* ---- locks: of an open file description, so that they end with the process. Released explicitly: the child
 * of a fork shares them. */

static int lock_file(const struct uvfio_machine *machine, const char *name, int how)
{
	char path[PATH_MAX];
	int fd, rc;

	if (!machine->state_dir)
		return -ENOENT;
	snprintf(path, sizeof(path), "%s/%s", machine->state_dir, name);
	fd = private_fd(open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600));
	if (fd < 0)
		return -errno;
	do
		rc = flock(fd, how) ? -errno : 0;
	while (rc == -EINTR);
	if (rc != -EAGAIN)
		return fd; /* on a file system without locks: as it is */
	private_fd_close(fd);
	return rc;
}

int mdevs_lock_session(const struct uvfio_machine *machine)
{
	return lock_file(machine, "mdevs.lock", LOCK_EX);
}

static int lock_group(const struct uvfio_machine *machine, unsigned int group, int how)
{
	char name[40];

	snprintf(name, sizeof(name), "group-%u.lock", group);
	return lock_file(machine, name, how);
}

int mdevs_claim_group(const struct uvfio_machine *machine, unsigned int group)
{
	return lock_group(machine, group, LOCK_EX);
}

int mdevs_try_claim_group(const struct uvfio_machine *machine, unsigned int group)
{
	return lock_group(machine, group, LOCK_EX | LOCK_NB);
}

void mdevs_group_holder(const struct uvfio_machine *machine, unsigned int group, char *text, size_t len)
{
	char path[PATH_MAX], comm[32] = "";
	int pid = 0;
	FILE *in;

	snprintf(text, len, "another process");
	snprintf(path, sizeof(path), "%s/group-%u.lock", machine->state_dir, group);
	in = fopen(path, "re");
	if (!in || fscanf(in, "%d", &pid) != 1)
		pid = 0;
	if (in)
		fclose(in);
	snprintf(path, sizeof(path), "/proc/%d/comm", pid);
	in = pid > 0 ? fopen(path, "re") : NULL;
	if (!in)
		return; /* it has gone, and a child of it has the file */
	if (fgets(comm, sizeof(comm), in))
		comm[strcspn(comm, "\n")] = 0;
	fclose(in);
	snprintf(text, len, "process %d (%s)", pid, comm);
}

void mdevs_unlock_session(int fd)
{
	if (fd < 0)
		return;
	flock(fd, LOCK_UN);
	private_fd_close(fd);
}

/* ---- reading */

/* False: there is no such instance here. */
static bool note_line(struct uvfio_machine *machine, const char *line, struct machine_mdev *as)
{
	struct machine_mdev *m;
	char type[64];

	*as = (struct machine_mdev){ .listed = true };
	if (sscanf(line, "%36s %63s %u %u %d", as->uuid, type, &as->group, &as->index, &as->remover) != 5)
		return true;
	as->type = machine_mdev_type(machine, type, &as->parent);
	m = machine_mdev_find(machine, as->uuid);
	if (!m || m->group != as->group || m->type != as->type)
		return !as->type;
	m->listed = true;
	if (as->remover && !m->remover)
		machine_mdev_set_leaving(m);
	m->remover = as->remover;
	return true;
}

/* Instances that another process has removed. One whose cdev is still open here goes with the next reading.
 */
static void drop_unlisted(struct uvfio_machine *machine)
{
	struct machine_mdev *m, *next;
	unsigned int files;
	bool leaving;

	cds_list_for_each_entry_safe (m, next, &machine->mdevs, node) {
		if (m->listed || m->ours)
			continue;
		machine_mdev_set_leaving(m);
		if (vfio_device_state(machine->vfio, m->uuid, &files, &leaving) && files)
			continue;
		machine_mdev_unregister(m);
		machine_mdev_drop(machine, m);
	}
}

/* Those that are gone make room for those that are new. */
void mdevs_read(struct uvfio_machine *machine)
{
	char path[PATH_MAX], line[256];
	struct machine_mdev *m, as;
	FILE *in;

	if (!machine->state_dir)
		return;
	snprintf(path, sizeof(path), "%s/mdevs", machine->state_dir);
	in = fopen(path, "re");
	if (!in && errno != ENOENT)
		return;
	cds_list_for_each_entry (m, &machine->mdevs, node)
		m->listed = false;
	while (in && fgets(line, sizeof(line), in))
		note_line(machine, line, &as);
	drop_unlisted(machine);
	cds_list_for_each_entry (m, &machine->mdevs, node)
		if (m->listed)
			machine_mdev_retry(machine, m);
	if (in)
		rewind(in);
	while (in && fgets(line, sizeof(line), in))
		if (!note_line(machine, line, &as))
			machine_mdev_take(machine, &as);
	if (in)
		fclose(in);
}

/* ---- writing */

int mdevs_write(const struct uvfio_machine *machine)
{
	char path[PATH_MAX], fresh[PATH_MAX], type[64];
	const struct machine_mdev *m;
	FILE *out;

	if (!machine->state_dir)
		return 0;
	snprintf(path, sizeof(path), "%s/mdevs", machine->state_dir);
	snprintf(fresh, sizeof(fresh), "%s/mdevs.new", machine->state_dir);
	out = fopen(fresh, "we");
	if (!out)
		return -errno;
	cds_list_for_each_entry (m, &machine->mdevs, node) {
		if (!m->listed)
			continue;
		mdev_type_name(m->parent, m->type, type, sizeof(type));
		fprintf(out, "%s %s %u %u %d\n", m->uuid, type, m->group, m->index, (int)m->remover);
	}
	if (fclose(out))
		return -errno;
	return rename(fresh, path) ? -errno : 0;
}
