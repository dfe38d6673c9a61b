/* SPDX-License-Identifier: BSD-2-Clause */
/* Notifiers: what is told to whom and when, and what may be done in a callback. */
#include "vfio/internal.h"
#include "vfio/test_kvm_rig.h"

#include <pthread.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

struct recorder {
	struct vfio_notifier notifier;
	struct rig *r;
	char told[64];
	/* what to do in a callback, once */
	struct recorder *unregister, *enroll;
	unsigned int unmaps;
	bool *running;
	int rc;
	int fd; /* whose VM it takes away */
	struct kvm *kvm;
};

static void act(struct recorder *rec)
{
	struct recorder *gone = rec->unregister, *come = rec->enroll;
	struct vfio_device *vdev = &rec->r->mdevs[0].vdev;

	rec->unregister = rec->enroll = NULL;
	if (come)
		assert_int_equal(vfio_register_notifier(vdev, &come->notifier), 0);
	if (gone) {
		assert_int_equal(vfio_unregister_notifier(vdev, &gone->notifier), 0);
		memset(&gone->notifier, 0x5a, sizeof(gone->notifier)); /* nobody looks there */
	}
}

static void record(struct vfio_notifier *notifier, struct kvm *kvm)
{
	struct recorder *rec = container_of(notifier, struct recorder, notifier);

	note(rec->told, kvm);
	act(rec);
}

static void record_unmap(struct vfio_notifier *notifier, uint64_t iova, uint64_t length)
{
	struct recorder *rec = container_of(notifier, struct recorder, notifier);

	assert_true(iova == 0x10000 && length == 0x1000);
	rec->unmaps++;
	act(rec);
}

static void recorder_init(struct recorder *rec, struct rig *r)
{
	*rec = (struct recorder){ .notifier = { .set_kvm = record }, .r = r };
}

static int enrol(struct recorder *rec)
{
	return vfio_register_notifier(&rec->r->mdevs[0].vdev, &rec->notifier);
}

static int leave(struct recorder *rec)
{
	return vfio_unregister_notifier(&rec->r->mdevs[0].vdev, &rec->notifier);
}

static void test_replay(void **state)
{
	struct rig *r = *state;
	struct recorder rec;
	int group = open_group(r->b, 20);

	recorder_init(&rec, r);
	assert_int_equal(enrol(&rec), 0);
	assert_int_equal(enrol(&rec), -EEXIST);
	assert_string_equal(rec.told, "");
	set_kvm(group, &vm_a);
	assert_string_equal(rec.told, "A");
	assert_int_equal(leave(&rec), 0);
	assert_int_equal(leave(&rec), -ENOENT);
	assert_string_equal(rec.told, "A-");
	assert_int_equal(enrol(&rec), 0);
	assert_string_equal(rec.told, "A-A");
	set_kvm(group, NULL);
	assert_int_equal(leave(&rec), 0);
	set_kvm(group, &vm_b);
	assert_string_equal(rec.told, "A-A-");
	set_kvm(group, NULL);
	close_fd(group);
}

static void test_registered_in_open(void **state)
{
	struct rig *r = *state;
	struct recorder rec;
	int container, group, device;

	recorder_init(&rec, r);
	r->mdevs[0].late = &rec.notifier;
	open_all(r->b, 20, VFIO_TYPE1v2_IOMMU, &container, &group);
	set_kvm(group, &vm_a);
	device = get_device(group, "mdev0");
	assert_string_equal(rec.told, "A");
	close_fd(device);
	assert_string_equal(rec.told, "A-");
	device = get_device(group, "mdev0");
	set_kvm(group, NULL);
	close_fd(device);
	assert_string_equal(rec.told, "A-A-");
	close_fd(group);
	close_fd(container);
}

static void test_refused(void **state)
{
	struct rig *r = *state;
	struct vfio_notifier none = { 0 }, unmap = { .dma_unmap = record_unmap }, set = { .set_kvm = record };
	struct vfio_device unknown = { 0 };

	assert_int_equal(vfio_register_notifier(&r->mdevs[0].vdev, &none), -EINVAL);
	assert_int_equal(vfio_register_notifier(&r->b->fake[0].vdev, &unmap), -EOPNOTSUPP);
	assert_int_equal(vfio_register_notifier(&unknown, &set), -ENODEV);
	assert_int_equal(vfio_unregister_notifier(&unknown, &set), -ENOENT);
	assert_int_equal(vfio_register_notifier(&r->mdevs[0].vdev, &set), 0);
	assert_int_equal(vfio_unregister_notifier(&r->mdevs[2].vdev, &set), -ENOENT);
	assert_int_equal(vfio_unregister_notifier(&r->mdevs[0].vdev, &set), 0);
}

/* A device with an IOMMU can serve a VM, too. */
static void test_hardware(void **state)
{
	struct rig *r = *state;
	struct recorder rec;
	int group = open_group(r->b, 1);

	recorder_init(&rec, r);
	set_kvm(group, &vm_a);
	assert_int_equal(vfio_register_notifier(&r->b->fake[0].vdev, &rec.notifier), 0);
	assert_int_equal(vfio_unregister_notifier(&r->b->fake[0].vdev, &rec.notifier), 0);
	assert_string_equal(rec.told, "A-");
	set_kvm(group, NULL);
	close_fd(group);
}

/* One of four unregisters one of them in its callback: whoever it is, those left are told once. */
static void test_unregister_inside(void **state)
{
	struct rig *r = *state;
	struct recorder rec[4];
	int group = open_group(r->b, 20);

	for (int who = 0; who < 4; who++)
		for (int whom = 0; whom < 4; whom++) {
			for (int i = 0; i < 4; i++) {
				recorder_init(&rec[i], r);
				assert_int_equal(enrol(&rec[i]), 0);
			}
			rec[who].unregister = &rec[whom];
			set_kvm(group, &vm_a);
			for (int i = 0; i < 4; i++) {
				const char *gone = whom < who ? "A-" : whom == who ? "A" : "";

				assert_string_equal(rec[i].told, i == whom ? gone : "A");
				if (i != whom)
					assert_int_equal(leave(&rec[i]), 0);
			}
			set_kvm(group, NULL);
		}
	close_fd(group);
}

static void test_register_inside(void **state)
{
	struct rig *r = *state;
	struct recorder a, b, c;
	int group = open_group(r->b, 20);

	recorder_init(&a, r);
	recorder_init(&b, r);
	recorder_init(&c, r);
	a.enroll = &b;
	b.enroll = &c;
	c.unregister = &a; /* whose call this is all inside of */
	assert_int_equal(enrol(&a), 0);
	set_kvm(group, &vm_a);
	assert_string_equal(a.told, "A");
	assert_string_equal(b.told, "A");
	assert_string_equal(c.told, "A");
	set_kvm(group, &vm_b);
	assert_string_equal(a.told, "A");
	assert_string_equal(b.told, "A-B");
	assert_string_equal(c.told, "A-B");
	assert_int_equal(leave(&b), 0);
	assert_int_equal(leave(&c), 0);
	set_kvm(group, NULL);
	close_fd(group);
}

static void leave_twice(struct vfio_notifier *notifier, struct kvm *kvm)
{
	struct recorder *rec = container_of(notifier, struct recorder, notifier);

	note(rec->told, kvm);
	if (rec->rc++)
		return;
	assert_int_equal(leave(rec), 0);
	assert_int_equal(enrol(rec), 0);
	assert_int_equal(leave(rec), 0);
}

/* The call that it has left is none of what it is registered for anew. */
static void test_register_again_inside(void **state)
{
	struct rig *r = *state;
	struct recorder rec;
	int group = open_group(r->b, 20);

	recorder_init(&rec, r);
	rec.notifier.set_kvm = leave_twice;
	assert_int_equal(enrol(&rec), 0);
	set_kvm(group, &vm_a);
	assert_string_equal(rec.told, "AA-");
	set_kvm(group, NULL);
	assert_string_equal(rec.told, "AA-");
	close_fd(group);
}

/* Two devices of a group: an unmap is told to the notifiers of its device. */
static void test_unmap_of_device(void **state)
{
	struct rig *r = *state;
	struct recorder rec[2];

	for (int i = 0; i < 2; i++) {
		recorder_init(&rec[i], r);
		rec[i].notifier.dma_unmap = record_unmap;
		assert_int_equal(vfio_register_notifier(&r->mdevs[i].vdev, &rec[i].notifier), 0);
	}
	vfio_notify_unmap(&r->mdevs[1].vdev, 0x10000, 0x1000);
	for (int i = 0; i < 2; i++)
		assert_int_equal(vfio_unregister_notifier(&r->mdevs[i].vdev, &rec[i].notifier), 0);
	assert_int_equal(rec[0].unmaps, 0);
	assert_int_equal(rec[1].unmaps, 1);
}

static void take_away(struct vfio_notifier *notifier, struct kvm *kvm)
{
	struct recorder *rec = container_of(notifier, struct recorder, notifier);

	note(rec->told, kvm);
	if (kvm)
		unset_kvm(rec->fd, rec->kvm);
}

/* Whoever ends a VM inside a callback may count on it, too: nobody knows the VM any more behind that. */
static void test_change_inside(void **state)
{
	struct rig *r = *state;
	struct recorder first, second, third;
	int group = open_group(r->b, 20);

	recorder_init(&first, r);
	recorder_init(&second, r);
	recorder_init(&third, r);
	second.notifier.set_kvm = take_away;
	second.fd = group;
	second.kvm = &vm_a;
	assert_int_equal(enrol(&first), 0);
	assert_int_equal(enrol(&second), 0);
	assert_int_equal(enrol(&third), 0);
	set_kvm(group, &vm_a);
	assert_string_equal(first.told, "A-");
	assert_string_equal(second.told, "A-");
	assert_string_equal(third.told, "");
	assert_int_equal(leave(&first), 0);
	assert_int_equal(leave(&second), 0);
	assert_int_equal(leave(&third), 0);
	close_fd(group);
}

static void end_the_old(struct vfio_notifier *notifier, struct kvm *kvm)
{
	struct recorder *rec = container_of(notifier, struct recorder, notifier);

	note(rec->told, kvm);
	if (kvm)
		return;
	unset_kvm(rec->fd, rec->kvm);
	rec->rc = !strchr(rec->enroll->told, '-');
}

/* The same of one VM, while the group is on its way to another. */
static void test_end_during_move(void **state)
{
	struct rig *r = *state;
	struct recorder first, second;
	int group = open_group(r->b, 20);

	recorder_init(&first, r);
	recorder_init(&second, r);
	first.notifier.set_kvm = end_the_old;
	first.fd = group;
	first.kvm = &vm_a;
	first.enroll = &second;
	assert_int_equal(enrol(&first), 0);
	assert_int_equal(enrol(&second), 0);
	set_kvm(group, &vm_a);
	set_kvm(group, &vm_b);
	first.notifier.set_kvm = record;
	first.enroll = NULL;
	assert_int_equal(leave(&first), 0);
	assert_int_equal(leave(&second), 0);
	set_kvm(group, NULL);
	close_fd(group);
	assert_int_equal(first.rc, 0);
	assert_string_equal(first.told, "A-B-");
	assert_string_equal(second.told, "A-B-");
}

/* ---- threads */

static _Atomic int step;

static void wait_for(int value)
{
	while (step != value)
		usleep(100);
}

static void slow(struct vfio_notifier *notifier, struct kvm *kvm)
{
	struct recorder *rec = container_of(notifier, struct recorder, notifier);

	note(rec->told, kvm);
	if (!kvm)
		return;
	step = 1;
	wait_for(2);
	usleep(20000);
	rec->running = NULL;
}

static void *set_a(void *group)
{
	set_kvm(*(int *)group, &vm_a);
	return NULL;
}

static void test_unregister_waits(void **state)
{
	struct rig *r = *state;
	struct recorder rec;
	bool running;
	int group = open_group(r->b, 20);
	pthread_t thread;

	recorder_init(&rec, r);
	rec.notifier.set_kvm = slow;
	rec.running = &running;
	step = 0;
	assert_int_equal(enrol(&rec), 0);
	pthread_create(&thread, NULL, set_a, &group);
	wait_for(1);
	step = 2;
	assert_int_equal(leave(&rec), 0);
	assert_null(rec.running);
	assert_string_equal(rec.told, "A-");
	pthread_join(thread, NULL);
	set_kvm(group, NULL);
	close_fd(group);
}

static void *unset_a(void *group)
{
	unset_kvm(*(int *)group, &vm_a);
	step = 3;
	return NULL;
}

/* A VM ends only when the callback that brings it is over. */
static void test_end_waits(void **state)
{
	struct rig *r = *state;
	struct recorder rec;
	bool running;
	int group = open_group(r->b, 20);
	pthread_t setter, unsetter;

	recorder_init(&rec, r);
	rec.notifier.set_kvm = slow;
	rec.running = &running;
	step = 0;
	assert_int_equal(enrol(&rec), 0);
	pthread_create(&setter, NULL, set_a, &group);
	wait_for(1);
	pthread_create(&unsetter, NULL, unset_a, &group);
	usleep(10000);
	assert_int_equal(step, 1);
	step = 2;
	wait_for(3);
	assert_null(rec.running);
	assert_string_equal(rec.told, "A-");
	pthread_join(setter, NULL);
	pthread_join(unsetter, NULL);
	assert_int_equal(leave(&rec), 0);
	close_fd(group);
}

/* ---- unmaps */

static void test_unmap(void **state)
{
	struct rig *r = *state;
	struct recorder rec[3];
	struct mm_page page;
	uint64_t size = 0x1000;
	void *memory = mmap(NULL, 0x1000, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	int container, group, device;

	open_all(r->b, 20, VFIO_TYPE1v2_IOMMU, &container, &group);
	device = get_device(group, "mdev0");
	for (int i = 0; i < 3; i++) {
		recorder_init(&rec[i], r);
		rec[i].notifier.dma_unmap = record_unmap;
	}
	rec[1].notifier.set_kvm = NULL;
	assert_int_equal(map(container, 0x10000, memory, 0x1000, 3), 0);
	assert_int_equal(vfio_pin_pages(&r->mdevs[0].vdev, 0x10000, 1, IOMMU_READ, &page), -EINVAL);
	for (int i = 0; i < 3; i++)
		assert_int_equal(enrol(&rec[i]), 0);
	set_kvm(group, &vm_a);
	assert_int_equal(vfio_pin_pages(&r->mdevs[0].vdev, 0x10000, 1, IOMMU_READ, &page), 1);
	rec[0].unregister = &rec[0];
	/* They leave the page pinned: it stays mapped, which is said in a line. */
	assert_int_equal(unmap(container, 0x10000, &size, 0), -EBUSY);
	assert_int_equal(rec[0].unmaps, 1);
	assert_true(rec[1].unmaps > 1);
	assert_int_equal(rec[1].unmaps, rec[2].unmaps);
	assert_string_equal(rec[0].told, "A-");
	assert_string_equal(rec[1].told, "");
	assert_int_equal(leave(&rec[1]), 0);
	assert_int_equal(leave(&rec[2]), 0);
	assert_int_equal(vfio_unpin_pages(&r->mdevs[0].vdev, 0x10000, 1), 0);
	set_kvm(group, NULL);
	close_fd(device);
	close_fd(group);
	close_fd(container);
	munmap(memory, 0x1000);
}

static void slow_unmap(struct vfio_notifier *notifier, uint64_t iova, uint64_t length)
{
	struct recorder *rec = container_of(notifier, struct recorder, notifier);

	(void)length;
	step = 1;
	wait_for(2);
	usleep(20000); /* who waits for this is waiting by now */
	if (rec->unregister)
		rec->rc = leave(rec);
	vfio_unpin_pages(notifier->vdev, iova, 1);
	rec->running = NULL;
}

struct unmapper {
	pthread_t thread;
	int container;
	long rc;
};

static void *unmap_it(void *arg)
{
	struct unmapper *unmapper = arg;
	uint64_t size = 0x1000;

	unmapper->rc = unmap(unmapper->container, 0x10000, &size, 0);
	return NULL;
}

/* Who unregisters waits for calls in other threads, also for one that wants to do the same. */
static void unregister_while_told(struct rig *r, bool inside)
{
	struct unmapper unmapper;
	struct recorder rec;
	struct mm_page page;
	bool running;
	void *memory = mmap(NULL, 0x1000, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	int group, device;

	open_all(r->b, 20, VFIO_TYPE1v2_IOMMU, &unmapper.container, &group);
	device = get_device(group, "mdev0");
	recorder_init(&rec, r);
	rec.notifier.dma_unmap = slow_unmap;
	rec.running = &running;
	rec.unregister = inside ? &rec : NULL;
	assert_int_equal(enrol(&rec), 0);
	assert_int_equal(map(unmapper.container, 0x10000, memory, 0x1000, 3), 0);
	assert_int_equal(vfio_pin_pages(&r->mdevs[0].vdev, 0x10000, 1, IOMMU_READ, &page), 1);
	step = 0;
	pthread_create(&unmapper.thread, NULL, unmap_it, &unmapper);
	wait_for(1);
	step = 2;
	assert_int_equal(leave(&rec), 0);
	assert_null(rec.running);
	assert_int_equal(rec.rc, inside ? -ENOENT : 0);
	pthread_join(unmapper.thread, NULL);
	assert_int_equal(unmapper.rc, 0);
	close_fd(device);
	close_fd(group);
	close_fd(unmapper.container);
	munmap(memory, 0x1000);
}

static void test_unregister_waits_for_unmap(void **state)
{
	unregister_while_told(*state, false);
	unregister_while_told(*state, true);
}

/* ---- cost: nobody is looked for */

static void test_linear(void **state)
{
	struct rig *r = *state;
	struct recorder *recs = calloc(1000, sizeof(*recs));
	int group = open_group(r->b, 20);

	for (int i = 0; i < 1000; i++) {
		recorder_init(&recs[i], r);
		assert_int_equal(enrol(&recs[i]), 0);
	}
	set_kvm(group, &vm_a);
	set_kvm(group, &vm_b);
	for (int i = 0; i < 1000; i++) {
		assert_string_equal(recs[i].told, "A-B");
		assert_int_equal(leave(&recs[i]), 0);
	}
	set_kvm(group, NULL);
	free(recs);
	close_fd(group);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		RIG_TEST(test_replay),
		RIG_TEST(test_registered_in_open),
		RIG_TEST(test_refused),
		RIG_TEST(test_hardware),
		RIG_TEST(test_unregister_inside),
		RIG_TEST(test_register_again_inside),
		RIG_TEST(test_unmap_of_device),
		RIG_TEST(test_register_inside),
		RIG_TEST(test_end_during_move),
		RIG_TEST(test_change_inside),
		RIG_TEST(test_unregister_waits),
		RIG_TEST(test_end_waits),
		RIG_TEST(test_unmap),
		RIG_TEST(test_unregister_waits_for_unmap),
		RIG_TEST(test_linear),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
