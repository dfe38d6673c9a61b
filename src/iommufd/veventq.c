/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Event queues of vIOMMUs: events of one type, each behind a header with its number in the sequence.
 *
 * At most depth events wait. What comes on top of them is lost, but its number is not: a header alone, with
 * IOMMU_VEVENTQ_FLAG_LOST_EVENTS, stands behind the last event and has the number of the last that was lost.
 * The next event that finds room shows the gap by its own number, and takes that header away.
 *
 * Locks: the vIOMMU's veventqs_lock for the list of queues; inside it the queue's own.
 */
#include "base/why.h"
#include "iommufd/eventq.h"

#include <stdlib.h>
#include <string.h>

#define VEVENTQ_MAX_DEPTH (1u << 19)
#define SEQUENCE_MASK     0x7fffffffu

struct iommufd_vevent {
	struct cds_list_head node;
	struct iommufd_vevent_header header;
	size_t len;
	unsigned char data[];
};

struct iommufd_veventq {
	struct iommufd_eventq common;
	struct iommufd_viommu *viommu;
	struct cds_list_head node; /* in viommu->veventqs */
	uint32_t type;
	uint32_t depth;
	/* Under common.lock: */
	uint32_t nr; /* events that wait, or are being read */
	uint32_t sequence;
	bool lost; /* events, after all that wait */
	uint32_t lost_sequence;
};

static struct iommufd_veventq *veventq_of(struct iommufd_object *obj)
{
	return container_of(obj, struct iommufd_veventq, common.obj);
}

static struct iommufd_veventq *find_veventq(struct iommufd_viommu *viommu, uint32_t type)
{
	struct iommufd_veventq *veventq;

	cds_list_for_each_entry (veventq, &viommu->veventqs, node)
		if (veventq->type == type)
			return veventq;
	return NULL;
}

/* viommu->veventqs_lock is held for writing. */
void iommufd_veventq_abort(struct iommufd_object *obj)
{
	struct iommufd_veventq *veventq = veventq_of(obj);
	struct iommufd_vevent *vevent, *next;

	cds_list_for_each_entry_safe (vevent, next, &veventq->common.deliver, node)
		free(vevent);
	iommufd_object_unuse(&veventq->viommu->obj);
	cds_list_del(&veventq->node);
}

void iommufd_veventq_destroy(struct iommufd_object *obj)
{
	struct iommufd_viommu *viommu = veventq_of(obj)->viommu;

	pthread_rwlock_wrlock(&viommu->veventqs_lock);
	iommufd_veventq_abort(obj);
	pthread_rwlock_unlock(&viommu->veventqs_lock);
}

/* ---- the driver reports */

/* Under common.lock. vevent: NULL: it is lost. */
static void add_event(struct iommufd_veventq *veventq, struct iommufd_vevent *vevent)
{
	uint32_t sequence = veventq->sequence;

	veventq->sequence = (sequence + 1) & SEQUENCE_MASK;
	veventq->lost = !vevent;
	veventq->lost_sequence = sequence;
	if (vevent) {
		vevent->header.sequence = sequence;
		cds_list_add_tail(&vevent->node, &veventq->common.deliver);
		veventq->nr++;
	}
	iommufd_eventq_ring(&veventq->common);
}

static int report(struct iommufd_veventq *veventq, const void *event, size_t len)
{
	struct iommufd_vevent *vevent = iommufd_zalloc(sizeof(*vevent) + len);
	int rc = vevent ? 0 : -ENOMEM;

	if (vevent) {
		vevent->len = len;
		memcpy(vevent->data, event, len);
	}
	pthread_mutex_lock(&veventq->common.lock);
	if (vevent && veventq->nr >= veventq->depth) {
		free(vevent);
		vevent = NULL;
	}
	add_event(veventq, vevent);
	pthread_mutex_unlock(&veventq->common.lock);
	return rc;
}

int iommufd_viommu_report_event(struct iommufd_viommu *viommu, uint32_t type, const void *event, size_t len)
{
	struct iommufd_veventq *veventq;
	int rc = -EOPNOTSUPP;

	pthread_rwlock_rdlock(&viommu->veventqs_lock);
	veventq = find_veventq(viommu, type);
	if (veventq)
		rc = report(veventq, event, len);
	pthread_rwlock_unlock(&viommu->veventqs_lock);
	return rc;
}

/* ---- user space reads */

/* What comes next, taken off: an event, or (NULL) the header of lost ones. False: nothing. */
static bool fetch(struct iommufd_veventq *veventq, struct iommufd_vevent **vevent,
		  struct iommufd_vevent_header *header)
{
	struct iommufd_eventq *eventq = &veventq->common;
	bool found = true;

	*vevent = NULL;
	pthread_mutex_lock(&eventq->lock);
	if (!cds_list_empty(&eventq->deliver)) {
		*vevent = cds_list_first_entry(&eventq->deliver, struct iommufd_vevent, node);
		*header = (*vevent)->header;
		cds_list_del(&(*vevent)->node);
	} else if (veventq->lost) {
		*header = (struct iommufd_vevent_header){
			.flags = IOMMU_VEVENTQ_FLAG_LOST_EVENTS,
			.sequence = veventq->lost_sequence,
		};
		veventq->lost = false;
	} else {
		iommufd_eventq_hush(eventq);
		found = false;
	}
	pthread_mutex_unlock(&eventq->lock);
	return found;
}

/* It was not read after all. A loss that newer events or losses stand for already is not said again. */
static void restore(struct iommufd_veventq *veventq, struct iommufd_vevent *vevent)
{
	struct iommufd_eventq *eventq = &veventq->common;

	pthread_mutex_lock(&eventq->lock);
	if (vevent)
		cds_list_add(&vevent->node, &eventq->deliver);
	else if (cds_list_empty(&eventq->deliver))
		veventq->lost = true;
	pthread_mutex_unlock(&eventq->lock);
}

static void was_read(struct iommufd_veventq *veventq, struct iommufd_vevent *vevent)
{
	if (!vevent)
		return;
	pthread_mutex_lock(&veventq->common.lock);
	veventq->nr--;
	pthread_mutex_unlock(&veventq->common.lock);
	free(vevent);
}

/* Bytes read, 0 when there is nothing (any more), or -errno. */
static ssize_t read_event(struct iommufd_veventq *veventq, const struct caller *caller, uint64_t buf,
			  size_t room)
{
	struct iommufd_vevent_header header;
	struct iommufd_vevent *vevent;
	ssize_t rc;

	if (!fetch(veventq, &vevent, &header))
		return 0;
	rc = (ssize_t)(sizeof(header) + (vevent ? vevent->len : 0));
	if ((size_t)rc > room)
		rc = -EINVAL;
	else if (copy_out(caller, buf, &header, sizeof(header)) ||
		 (vevent && copy_out(caller, buf + sizeof(header), vevent->data, vevent->len)))
		rc = -EFAULT;
	if (rc < 0)
		restore(veventq, vevent);
	else
		was_read(veventq, vevent);
	return rc;
}

static ssize_t veventq_read(struct file *file, const struct caller *caller, uint64_t buf, size_t len,
			    uint64_t off)
{
	struct iommufd_veventq *veventq = container_of(file->priv, struct iommufd_veventq, common);
	size_t done = 0;
	ssize_t rc;

	if (off)
		return -ESPIPE;
	if (len < sizeof(struct iommufd_vevent_header))
		return -EINVAL;
	do {
		rc = read_event(veventq, caller, buf + done, len - done);
		if (rc > 0)
			done += (size_t)rc;
	} while (rc > 0);
	return done ? (ssize_t)done : rc;
}

static const struct file_ops veventq_file_ops = {
	.name = "iommufd-viommu-event",
	.release = iommufd_eventq_release,
	.read = veventq_read,
	.descriptor = iommufd_eventq_descriptor_readable,
	.asked_for_nothing = true,
};

/* viommu->veventqs_lock is held for writing. */
static int new_veventq(struct iommufd_ucmd *ucmd, struct iommufd_viommu *viommu)
{
	struct iommu_veventq_alloc *cmd = ucmd->arg;
	struct iommufd_veventq *veventq;
	int rc;

	if (find_veventq(viommu, cmd->type))
		return WHY(-EEXIST, "vIOMMU %u has a queue of type 0x%x", cmd->viommu_id, cmd->type);
	rc = iommufd_object_alloc(ucmd->ctx, sizeof(*veventq), IOMMUFD_OBJ_VEVENTQ, &veventq);
	if (rc)
		return rc;
	veventq->type = cmd->type;
	veventq->viommu = viommu;
	iommufd_object_use(&viommu->obj);
	veventq->depth = cmd->veventq_depth;
	cds_list_add_tail(&veventq->node, &viommu->veventqs);
	rc = iommufd_eventq_init(&veventq->common, ucmd->ctx, &veventq_file_ops,
				 "anon_inode:[iommufd-viommu-event]");
	cmd->out_veventq_id = veventq->common.obj.id;
	if (!rc)
		rc = iommufd_eventq_respond(&veventq->common, ucmd,
					    offsetof(struct iommu_veventq_alloc, out_veventq_fd),
					    sizeof(*cmd));
	if (rc)
		iommufd_object_abort_and_destroy(ucmd->ctx, &veventq->common.obj);
	else
		iommufd_object_finalize(ucmd->ctx, &veventq->common.obj);
	return rc;
}

int iommufd_veventq_alloc(struct iommufd_ucmd *ucmd)
{
	struct iommu_veventq_alloc *cmd = ucmd->arg;
	struct iommufd_viommu *viommu;
	int rc;

	if (cmd->flags || cmd->__reserved || cmd->type == IOMMU_VEVENTQ_TYPE_DEFAULT)
		return WHY(-EOPNOTSUPP, "flags 0x%x, type 0x%x: no flags, a type", cmd->flags, cmd->type);
	if (!cmd->veventq_depth || cmd->veventq_depth > VEVENTQ_MAX_DEPTH)
		return WHY(-EINVAL, "depth %u: 1 to %u", cmd->veventq_depth, VEVENTQ_MAX_DEPTH);
	viommu = iommufd_get_viommu(ucmd->ctx, cmd->viommu_id);
	if (!viommu)
		return WHY(-ENOENT, "no vIOMMU has id %u", cmd->viommu_id);
	pthread_rwlock_wrlock(&viommu->veventqs_lock);
	rc = new_veventq(ucmd, viommu);
	pthread_rwlock_unlock(&viommu->veventqs_lock);
	iommufd_put_object(ucmd->ctx, &viommu->obj);
	return rc;
}
