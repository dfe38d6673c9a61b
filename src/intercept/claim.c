/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * One process of a session has a group open at a time: a lock on a file of the session for each open group.
 *
 * The file says which process it is. The lock belongs to an open file description, so it goes when the
 * process does, however it ends. A forked child shares the description; releasing therefore unlocks
 * explicitly. A child that has lost its parent, and the files with it, only closes its descriptors: another
 * child may have taken over.
 *
 * lock protects the list of claims.
 */
#include "intercept/intercept.h"

#include <pthread.h>
#include <sys/file.h>
#include <urcu/list.h>

struct claim {
	unsigned int group;
	bool noiommu;
	int fd;
	struct cds_list_head node;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static CDS_LIST_HEAD(claims);

/* For who waits for us. */
static void sign(int fd)
{
	char pid[16];
	int n = snprintf(pid, sizeof(pid), "%-11d\n", (int)getpid());

	if (pwrite(fd, pid, (size_t)n, 0) != n)
		return; /* it is not known who we are, then */
}

static int take_lock(const struct claim *claim)
{
	char path[PATH_MAX + 32];
	int fd, rc;

	snprintf(path, sizeof(path), "%s/group-%s%u.lock", session.dir, claim->noiommu ? "noiommu-" : "",
		 claim->group);
	fd = private_fd(open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600));
	if (fd < 0)
		return -errno;
	if (!flock(fd, LOCK_EX | LOCK_NB)) {
		sign(fd);
		return fd;
	}
	rc = errno == EWOULDBLOCK ? -EBUSY : -errno;
	private_fd_close(fd);
	return rc;
}

static int add_claim(unsigned int group, bool noiommu)
{
	struct claim *claim = malloc(sizeof(*claim));
	int fd;

	if (!claim)
		return -ENOMEM;
	*claim = (struct claim){ .group = group, .noiommu = noiommu };
	fd = take_lock(claim);
	if (fd < 0) {
		free(claim);
		return fd;
	}
	claim->fd = fd;
	pthread_mutex_lock(&lock);
	cds_list_add(&claim->node, &claims);
	pthread_mutex_unlock(&lock);
	return 0;
}

static void drop_claim(unsigned int group, bool noiommu)
{
	struct claim *claim, *found = NULL;

	pthread_mutex_lock(&lock);
	cds_list_for_each_entry (claim, &claims, node)
		if (claim->group == group && claim->noiommu == noiommu)
			found = claim;
	if (found)
		cds_list_del(&found->node);
	pthread_mutex_unlock(&lock);
	if (!found)
		return;
	flock(found->fd, LOCK_UN);
	private_fd_close(found->fd);
	free(found);
}

int claim_group(unsigned int group, bool noiommu, bool claim)
{
	if (claim)
		return add_claim(group, noiommu);
	drop_claim(group, noiommu);
	return 0;
}

void claims_forget(void)
{
	struct claim *claim, *next;

	pthread_mutex_lock(&lock);
	cds_list_for_each_entry_safe (claim, next, &claims, node) {
		cds_list_del(&claim->node);
		private_fd_close(claim->fd);
		free(claim);
	}
	pthread_mutex_unlock(&lock);
}

void claims_forked(void)
{
	pthread_mutex_init(&lock, NULL);
}
