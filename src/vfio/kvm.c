/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Which VM a device serves, and who is told of that and of unmapping.
 *
 * The VM is cached on the group, or on the device file of a cdev; a device serves its bound cdev's, else its
 * group's. Each notifier remembers what it was told last: bringing one up to date is all that registering
 * (the replay), a change and the end of a registration do, so each is told every change once, in their order,
 * and a VM and none in turn.
 *
 * A group has one turn for that. Its owner alone changes a VM, adds and removes notifiers, and calls set_kvm;
 * it may do so again from inside such a call. lock is held for moments, never during a call.
 *
 * Lock order: vfio_device.lock, a dma_unmap call, the turn, what a driver's set_kvm takes, lock.
 */
#include "vfio/internal.h"

#include "base/log.h"

/* A call that this thread is in. */
struct frame {
	struct vfio_notifier *notifier;
	bool set_kvm; /* not dma_unmap */
	bool gone;    /* it was unregistered in the call: not to be touched any more */
	struct frame *outer;
};

static __thread struct frame *frames;

/* Where somebody is in a chain, whose notifiers may go meanwhile. Under lock. */
struct vfio_cursor {
	struct cds_list_head node;
	struct cds_list_head *next;
};

void vfio_notifiers_init(struct vfio_notifiers *chain)
{
	pthread_mutex_init(&chain->lock, NULL);
	pthread_cond_init(&chain->changed, NULL);
	CDS_INIT_LIST_HEAD(&chain->list);
	CDS_INIT_LIST_HEAD(&chain->cursors);
}

void vfio_notifiers_destroy(struct vfio_notifiers *chain)
{
	pthread_cond_destroy(&chain->changed);
	pthread_mutex_destroy(&chain->lock);
}

void vfio_notifiers_forked(struct vfio_notifiers *chain)
{
	struct vfio_notifier *notifier;

	pthread_mutex_init(&chain->lock, NULL);
	pthread_cond_init(&chain->changed, NULL);
	CDS_INIT_LIST_HEAD(&chain->cursors);
	chain->depth = 0;
	cds_list_for_each_entry (notifier, &chain->list, node)
		notifier->calls = 0;
}

/* ---- the turn */

/* It is free, or this thread's. lock is held. */
static bool may_take(const struct vfio_notifiers *chain)
{
	return !chain->depth || pthread_equal(chain->owner, pthread_self());
}

static void take_turn(struct vfio_notifiers *chain)
{
	pthread_mutex_lock(&chain->lock);
	while (!may_take(chain))
		pthread_cond_wait(&chain->changed, &chain->lock);
	chain->owner = pthread_self();
	chain->depth++;
	pthread_mutex_unlock(&chain->lock);
}

static void give_turn_locked(struct vfio_notifiers *chain)
{
	if (!--chain->depth)
		pthread_cond_broadcast(&chain->changed);
}

static void give_turn(struct vfio_notifiers *chain)
{
	pthread_mutex_lock(&chain->lock);
	give_turn_locked(chain);
	pthread_mutex_unlock(&chain->lock);
}

/* ---- walking a chain. lock is held. */

static void cursor_begin(struct vfio_notifiers *chain, struct vfio_cursor *cursor)
{
	cursor->next = chain->list.next;
	cds_list_add(&cursor->node, &chain->cursors);
}

static struct vfio_notifier *cursor_next(struct vfio_notifiers *chain, struct vfio_cursor *cursor)
{
	struct cds_list_head *at = cursor->next;

	if (at == &chain->list)
		return NULL;
	cursor->next = at->next;
	return cds_list_entry(at, struct vfio_notifier, node);
}

static void cursor_end(struct vfio_cursor *cursor)
{
	cds_list_del(&cursor->node);
}

static void unlink_notifier(struct vfio_notifiers *chain, struct vfio_notifier *notifier)
{
	struct vfio_cursor *cursor;

	cds_list_for_each_entry (cursor, &chain->cursors, node)
		if (cursor->next == &notifier->node)
			cursor->next = notifier->node.next;
	cds_list_del(&notifier->node);
	notifier->registered = false;
}

/* ---- calls. begin with lock held, which is dropped for the call. */

static void call_begin(struct vfio_notifiers *chain, struct vfio_notifier *notifier, struct frame *frame,
		       bool set_kvm)
{
	notifier->calls++;
	pthread_mutex_unlock(&chain->lock);
	*frame = (struct frame){ .notifier = notifier, .set_kvm = set_kvm, .outer = frames };
	frames = frame;
}

/* False: the notifier is unregistered and may not exist any more. lock is held again. */
static bool call_end(struct vfio_notifiers *chain, struct vfio_notifier *notifier, struct frame *frame)
{
	frames = frame->outer;
	pthread_mutex_lock(&chain->lock);
	if (frame->gone)
		return false;
	notifier->calls--;
	if (!notifier->registered) /* who has taken it out waits */
		pthread_cond_broadcast(&chain->changed);
	return notifier->registered;
}

static bool call_set_kvm(struct vfio_notifiers *chain, struct vfio_notifier *notifier, struct kvm *kvm)
{
	struct frame frame;

	notifier->kvm = kvm;
	call_begin(chain, notifier, &frame, true);
	notifier->set_kvm(notifier, kvm);
	return call_end(chain, notifier, &frame);
}

/* The VM that a device serves. The turn is this thread's. */
static struct kvm *kvm_of(const struct vfio_device *vdev)
{
	return vdev->kvm_file ? vdev->kvm_file->kvm : vdev->group->notifiers.kvm;
}

/* A call may change what is to be told, so it is asked for again behind each. lock is held. */
static void bring_up_to_date(struct vfio_notifiers *chain, struct vfio_notifier *notifier)
{
	struct kvm *kvm;

	do {
		kvm = kvm_of(notifier->vdev);
		if (!notifier->set_kvm || notifier->kvm == kvm)
			return;
	} while (call_set_kvm(chain, notifier, notifier->kvm ? NULL : kvm));
}

/* Something that kvm_of() looks at has changed. The turn is this thread's. */
static void deliver(struct vfio_notifiers *chain)
{
	struct vfio_notifier *notifier;
	struct vfio_cursor cursor;

	pthread_mutex_lock(&chain->lock);
	cursor_begin(chain, &cursor);
	while ((notifier = cursor_next(chain, &cursor)))
		bring_up_to_date(chain, notifier);
	cursor_end(&cursor);
	pthread_mutex_unlock(&chain->lock);
}

bool vfio_device_told_of_unmaps(const struct vfio_device *vdev)
{
	return vdev->ops->dma_unmap || atomic_load_explicit(&vdev->unmap_notifiers, memory_order_relaxed);
}

void vfio_notify_unmap(struct vfio_device *vdev, uint64_t iova, uint64_t length)
{
	struct vfio_notifiers *chain = &vdev->group->notifiers;
	struct vfio_notifier *notifier;
	struct vfio_cursor cursor;
	struct frame frame;

	if (vdev->ops->dma_unmap)
		vdev->ops->dma_unmap(vdev, iova, length);
	if (!atomic_load_explicit(&vdev->unmap_notifiers, memory_order_relaxed))
		return;
	pthread_mutex_lock(&chain->lock);
	cursor_begin(chain, &cursor);
	while ((notifier = cursor_next(chain, &cursor))) {
		if (notifier->vdev != vdev || !notifier->dma_unmap)
			continue;
		call_begin(chain, notifier, &frame, false);
		notifier->dma_unmap(notifier, iova, length);
		call_end(chain, notifier, &frame);
	}
	cursor_end(&cursor);
	pthread_mutex_unlock(&chain->lock);
}

/* ---- registering */

/* lock is held, and the turn is this thread's. */
static int add(struct vfio_notifiers *chain, struct vfio_device *vdev, struct vfio_notifier *notifier)
{
	if (notifier->registered)
		return -EEXIST;
	notifier->vdev = vdev;
	notifier->kvm = NULL;
	notifier->calls = 0;
	notifier->registered = true;
	if (notifier->dma_unmap)
		atomic_fetch_add(&vdev->unmap_notifiers, 1);
	cds_list_add_tail(&notifier->node, &chain->list);
	return 0;
}

int vfio_register_notifier(struct vfio_device *vdev, struct vfio_notifier *notifier)
{
	struct vfio_notifiers *chain;
	int rc;

	if (!vdev->group)
		return -ENODEV;
	if (!notifier->set_kvm && !notifier->dma_unmap)
		return -EINVAL;
	if (notifier->dma_unmap && !vdev->group->emulated)
		return -EOPNOTSUPP;
	chain = &vdev->group->notifiers;
	take_turn(chain);
	pthread_mutex_lock(&chain->lock);
	rc = add(chain, vdev, notifier);
	if (!rc)
		bring_up_to_date(chain, notifier);
	give_turn_locked(chain);
	pthread_mutex_unlock(&chain->lock);
	return rc;
}

static unsigned int calls_by_this_thread(const struct vfio_notifier *notifier, bool set_kvm_only)
{
	unsigned int nr = 0;

	for (const struct frame *frame = frames; frame; frame = frame->outer)
		nr += frame->notifier == notifier && !frame->gone && (frame->set_kvm || !set_kvm_only);
	return nr;
}

static void leave_frames(struct vfio_notifier *notifier)
{
	for (struct frame *frame = frames; frame; frame = frame->outer)
		frame->gone |= frame->notifier == notifier;
}

static bool is_there(const struct vfio_device *vdev, const struct vfio_notifier *notifier)
{
	return notifier->registered && notifier->vdev == vdev;
}

/* The turn, or false: somebody else has removed the notifier. lock is held. */
static bool take_turn_to_remove(struct vfio_notifiers *chain, const struct vfio_device *vdev,
				const struct vfio_notifier *notifier)
{
	while (is_there(vdev, notifier) && !may_take(chain))
		pthread_cond_wait(&chain->changed, &chain->lock);
	if (!is_there(vdev, notifier))
		return false;
	chain->owner = pthread_self();
	chain->depth++;
	return true;
}

/* Take the notifier out, and wait for its calls in other threads. lock is held; the turn is given back. */
static void take_out(struct vfio_notifiers *chain, struct vfio_notifier *notifier)
{
	unsigned int own = calls_by_this_thread(notifier, false);

	unlink_notifier(chain, notifier);
	if (notifier->dma_unmap)
		atomic_fetch_sub(&notifier->vdev->unmap_notifiers, 1);
	give_turn_locked(chain);
	pthread_cond_broadcast(&chain->changed); /* who waits to remove it, too */
	while (notifier->calls > own)
		pthread_cond_wait(&chain->changed, &chain->lock);
	leave_frames(notifier);
}

int vfio_unregister_notifier(struct vfio_device *vdev, struct vfio_notifier *notifier)
{
	struct vfio_notifiers *chain;
	bool turn, there;

	if (!vdev->group)
		return -ENOENT;
	chain = &vdev->group->notifiers;
	pthread_mutex_lock(&chain->lock);
	turn = there = take_turn_to_remove(chain, vdev, notifier);
	if (there && notifier->kvm && !calls_by_this_thread(notifier, true))
		there = call_set_kvm(chain, notifier, NULL);
	if (there)
		take_out(chain, notifier);
	else if (turn)
		give_turn_locked(chain);
	pthread_mutex_unlock(&chain->lock);
	return turn ? 0 : -ENOENT;
}

/* The device is unregistered; a driver that has left something behind is not called any more. */
void vfio_notifiers_end(struct vfio_device *vdev)
{
	struct vfio_notifiers *chain = &vdev->group->notifiers;
	struct vfio_notifier *notifier;
	struct vfio_cursor cursor;

	take_turn(chain);
	pthread_mutex_lock(&chain->lock);
	cursor_begin(chain, &cursor);
	while ((notifier = cursor_next(chain, &cursor))) {
		if (notifier->vdev != vdev)
			continue;
		uvfio_err("%s: its driver has not unregistered a notifier", vdev->name);
		unlink_notifier(chain, notifier);
	}
	cursor_end(&cursor);
	give_turn_locked(chain);
	pthread_mutex_unlock(&chain->lock);
}

/* ---- the driver's own, around open and close. The device is locked. */

static void tell_driver(struct vfio_notifier *notifier, struct kvm *kvm)
{
	notifier->vdev->ops->set_kvm(notifier->vdev, kvm);
}

static void set_kvm_file(struct vfio_device *vdev, struct vfio_device_file *df)
{
	struct vfio_notifiers *chain = &vdev->group->notifiers;

	take_turn(chain);
	vdev->kvm_file = df;
	deliver(chain);
	give_turn(chain);
}

void vfio_kvm_open(struct vfio_device_file *df)
{
	struct vfio_device *vdev = df->vdev;

	if (df->cdev)
		set_kvm_file(vdev, df);
	if (!vdev->ops->set_kvm)
		return;
	vdev->driver_notifier.set_kvm = tell_driver;
	vfio_register_notifier(vdev, &vdev->driver_notifier);
}

void vfio_kvm_close(struct vfio_device *vdev)
{
	if (vdev->ops->set_kvm)
		vfio_unregister_notifier(vdev, &vdev->driver_notifier);
	if (vdev->kvm_file)
		set_kvm_file(vdev, NULL);
}

/* ---- what the KVM-VFIO device calls */

/* Where file keeps its VM, and the chain that hears of it. NULL: it is no file of VFIO's. */
static struct kvm **kvm_slot(struct file *file, struct vfio_notifiers **chain)
{
	struct vfio_group *group = vfio_file_group(file);
	struct vfio_device_file *df = group ? NULL : vfio_df_from_file(file);

	if (!group && !df)
		return NULL;
	*chain = group ? &group->notifiers : &df->group->notifiers;
	return group ? &group->notifiers.kvm : &df->kvm;
}

bool vfio_file_is_valid(struct file *file)
{
	struct vfio_notifiers *chain;

	return kvm_slot(file, &chain) != NULL;
}

void vfio_file_set_kvm(struct file *file, struct kvm *kvm)
{
	struct vfio_notifiers *chain;
	struct kvm **slot = kvm_slot(file, &chain);

	if (!slot)
		return;
	take_turn(chain);
	*slot = kvm;
	deliver(chain);
	give_turn(chain);
}

void vfio_file_unset_kvm(struct file *file, const struct kvm *kvm)
{
	struct vfio_notifiers *chain;
	struct kvm **slot = kvm_slot(file, &chain);

	if (!slot)
		return;
	take_turn(chain);
	if (*slot == kvm)
		*slot = NULL;
	deliver(chain); /* also when it was replaced just now, by who has called this */
	give_turn(chain);
}

bool vfio_file_enforced_coherent(struct file *file)
{
	struct vfio_group *group = vfio_file_group(file);
	struct vfio_device_file *df = group ? NULL : vfio_df_from_file(file);

	if (df)
		group = df->group;
	return !group || (!group->noiommu && !group->emulated && group->vfio->params->coherent);
}
