/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Interrupts of mediated devices: eventfds in vectors, of one kind at a time. What may be asked, and which
 * error says that it may not, is as the kernel's sample driver mtty has it.
 */
#include "base/trace.h"
#include "base/why.h"
#include "mdev/impl.h"
#include "uapi/vfio.h"

#include <stdlib.h>

int mdev_irqs_init(struct mdev_device *mdev)
{
	struct mdev_irqs *irqs = &mdev->irqs;

	for (unsigned int i = 0; i < UVFIO_MDEV_IRQS; i++)
		irqs->nr = MAX(irqs->nr, mdev->pub.type->irqs[i].count);
	irqs->vectors = calloc(MAX(irqs->nr, 1u), sizeof(*irqs->vectors));
	if (!irqs->vectors)
		return -ENOMEM;
	irqs->mode = -1;
	mdev_irqs_init_locks(irqs);
	return 0;
}

void mdev_irqs_init_locks(struct mdev_irqs *irqs)
{
	pthread_mutex_init(&irqs->setting, NULL);
	pthread_mutex_init(&irqs->lock, NULL);
}

void mdev_irqs_destroy(struct mdev_device *mdev)
{
	pthread_mutex_destroy(&mdev->irqs.lock);
	pthread_mutex_destroy(&mdev->irqs.setting);
	free(mdev->irqs.vectors);
}

/* ---- raising. The lock is held. */

static const char *irq_name(int index)
{
	static const char *const names[] = { "INTx", "MSI", "MSI-X", "ERR", "REQ" };

	return names[index];
}

static void trigger(struct mdev_device *mdev, unsigned int vector)
{
	struct mdev_vector *v = &mdev->irqs.vectors[vector];
	int mode = mdev->irqs.mode;

	if (!v->trigger || v->masked)
		return;
	stat_add(STAT_IRQS, 1);
	if (trace_on(TRACE_IRQ))
		trace_emit(TRACE_IRQ, mdev->vdev.name, "irq", 0, "%s vector=%u", irq_name(mode), vector);
	v->masked = mdev->pub.type->irqs[mode].automasked;
	eventfd_signal(v->trigger, 1);
}

void mdev_irq(struct uvfio_mdev *pub, unsigned int vector)
{
	struct mdev_device *mdev = container_of(pub, struct mdev_device, pub);
	struct mdev_irqs *irqs = &mdev->irqs;

	pthread_mutex_lock(&irqs->lock);
	if (irqs->mode >= 0 && vector < pub->type->irqs[irqs->mode].count)
		trigger(mdev, vector);
	pthread_mutex_unlock(&irqs->lock);
}

int mdev_irq_mode(struct uvfio_mdev *pub)
{
	struct mdev_device *mdev = container_of(pub, struct mdev_device, pub);
	int mode;

	pthread_mutex_lock(&mdev->irqs.lock);
	mode = mdev->irqs.mode;
	pthread_mutex_unlock(&mdev->irqs.lock);
	return mode;
}

void mdev_irqs_disable(struct mdev_device *mdev)
{
	struct mdev_irqs *irqs = &mdev->irqs;

	pthread_mutex_lock(&irqs->lock);
	for (unsigned int i = 0; i < irqs->nr; i++) {
		eventfd_ctx_put(irqs->vectors[i].trigger);
		irqs->vectors[i] = (struct mdev_vector){ .trigger = NULL };
	}
	irqs->mode = -1;
	pthread_mutex_unlock(&irqs->lock);
}

/* ---- SET_IRQS. Setting is held, so mode stays. */

/* Interrupts are enabled as long as one vector has an eventfd. */
static void settle_mode(struct mdev_irqs *irqs, uint32_t index)
{
	irqs->mode = -1;
	for (unsigned int i = 0; i < irqs->nr; i++)
		if (irqs->vectors[i].trigger)
			irqs->mode = (int)index;
}

/* Up to the first one that is none, in whose place there is NULL. *nr: how many that are. */
static int get_eventfds(const struct caller *caller, const int32_t *fds, uint32_t count,
			struct eventfd_ctx **ctxs, uint32_t *nr)
{
	int rc = 0;

	for (*nr = 0; *nr < count && !rc; ++*nr) {
		struct eventfd_ctx **ctx = &ctxs[*nr];

		if (fds[*nr] >= 0)
			rc = eventfd_ctx_get(caller, fds[*nr], ctx);
		if (rc) {
			*ctx = NULL;
			rc = WHY(rc, "%d is no eventfd", fds[*nr]);
		}
	}
	return rc;
}

/* In ctxs is what the vectors had then. */
static void put_in_vectors(struct mdev_irqs *irqs, uint32_t index, uint32_t start, struct eventfd_ctx **ctxs,
			   uint32_t nr)
{
	pthread_mutex_lock(&irqs->lock);
	for (uint32_t i = 0; i < nr; i++) {
		struct mdev_vector *v = &irqs->vectors[start + i];
		struct eventfd_ctx *before = v->trigger;

		*v = (struct mdev_vector){ .trigger = ctxs[i] };
		ctxs[i] = before;
	}
	settle_mode(irqs, index);
	pthread_mutex_unlock(&irqs->lock);
}

/* The caller may be another process, which takes its time: interrupts are raised meanwhile. */
static int set_eventfds(struct mdev_device *mdev, const struct caller *caller, uint32_t index, uint32_t start,
			uint32_t count, const int32_t *fds)
{
	struct eventfd_ctx **ctxs = calloc(count, sizeof(*ctxs));
	uint32_t nr;
	int rc;

	if (!ctxs)
		return -ENOMEM;
	rc = get_eventfds(caller, fds, count, ctxs, &nr);
	put_in_vectors(&mdev->irqs, index, start, ctxs, nr);
	while (nr--)
		eventfd_ctx_put(ctxs[nr]);
	free(ctxs);
	return rc;
}

static bool chosen(uint32_t flags, const void *data, uint32_t i)
{
	return (flags & VFIO_IRQ_SET_DATA_NONE) || ((const uint8_t *)data)[i];
}

static int set_mask(struct mdev_device *mdev, uint32_t flags, uint32_t index, uint32_t start, uint32_t count,
		    const void *data)
{
	struct mdev_irqs *irqs = &mdev->irqs;
	bool mask = flags & VFIO_IRQ_SET_ACTION_MASK;

	if (!mdev->pub.type->irqs[index].maskable)
		return WHY(-ENOTTY, "%s cannot be masked", irq_name((int)index));
	if (irqs->mode != (int)index || !count)
		return WHY(-EINVAL, "%s is not enabled", irq_name((int)index));
	if (flags & VFIO_IRQ_SET_DATA_EVENTFD)
		return WHY(-ENOTTY, "no eventfd masks or unmasks");
	pthread_mutex_lock(&irqs->lock);
	for (uint32_t i = 0; i < count; i++)
		if (chosen(flags, data, i))
			irqs->vectors[start + i].masked = mask;
	pthread_mutex_unlock(&irqs->lock);
	return 0;
}

static int set_trigger(struct mdev_device *mdev, const struct caller *caller, uint32_t flags, uint32_t index,
		       uint32_t start, uint32_t count, const void *data)
{
	struct mdev_irqs *irqs = &mdev->irqs;
	bool enabled = irqs->mode == (int)index;

	if (enabled && !count && (flags & VFIO_IRQ_SET_DATA_NONE)) {
		mdev_irqs_disable(mdev);
		return 0;
	}
	if ((!enabled && irqs->mode >= 0) || !count)
		return WHY(-EINVAL, "%s", count ? "another kind of interrupt is enabled" : "count is 0");
	if (flags & VFIO_IRQ_SET_DATA_EVENTFD)
		return set_eventfds(mdev, caller, index, start, count, data);
	if (!enabled)
		return WHY(-EINVAL, "%s is not enabled", irq_name((int)index));
	pthread_mutex_lock(&irqs->lock);
	for (uint32_t i = 0; i < count; i++)
		if (chosen(flags, data, i))
			trigger(mdev, start + i);
	pthread_mutex_unlock(&irqs->lock);
	return 0;
}

int mdev_set_irqs(struct mdev_device *mdev, const struct caller *caller, uint32_t flags, uint32_t index,
		  uint32_t start, uint32_t count, const void *data)
{
	unsigned int nr = mdev->pub.type->irqs[index].count;
	int rc = 0;

	if (!nr)
		return WHY(-ENOTTY, "the device has no such kind of interrupt");
	/* count 0 with no data: off, wherever it starts */
	if (count && (start > nr || count > nr - start)) /* that it cannot be masked at all is said first */
		return (flags & VFIO_IRQ_SET_ACTION_TRIGGER) || mdev->pub.type->irqs[index].maskable
			       ? -EINVAL
			       : -ENOTTY;
	pthread_mutex_lock(&mdev->irqs.setting);
	switch (flags & VFIO_IRQ_SET_ACTION_TYPE_MASK) {
	case VFIO_IRQ_SET_ACTION_MASK:
	case VFIO_IRQ_SET_ACTION_UNMASK:
		rc = set_mask(mdev, flags, index, start, count, data);
		break;
	case VFIO_IRQ_SET_ACTION_TRIGGER:
		rc = set_trigger(mdev, caller, flags, index, start, count, data);
		break;
	}
	pthread_mutex_unlock(&mdev->irqs.setting);
	return rc;
}
