/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The KVM-VFIO device on VMs of ours, and drivers that hear of them. Errors are tried by tests/kvm, on every
 * kind of KVM.
 */
#include "vfio/test_util.h"

#include "file/fdtable.h"
#include "kvm/vfio.h"

#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/* Also in threads of the test's own. */
#define must(what)                                                                                           \
	do {                                                                                                 \
		if (!(what)) {                                                                               \
			fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #what);                           \
			abort();                                                                             \
		}                                                                                            \
	} while (0)

#define NR     3u /* devices: 0 and 1 in group 20, 2 in group 21 */
#define ROUNDS 100000u
#define IOVA   0x10000u

/* ---- VMs that are alive */

static pthread_mutex_t live_lock = PTHREAD_MUTEX_INITIALIZER;
static struct kvm *live[64];

static void change_live(struct kvm *from, struct kvm *to)
{
	unsigned int i = 0;

	pthread_mutex_lock(&live_lock);
	while (i < ARRAY_SIZE(live) && live[i] != from)
		i++;
	must(i < ARRAY_SIZE(live));
	live[i] = to;
	pthread_mutex_unlock(&live_lock);
}

/* kvm is the VM of somebody who has been told of it. A sanitizer sees the access when it is gone. */
static void check_live(struct kvm *kvm)
{
	bool found = false;

	__atomic_load_n((volatile char *)kvm, __ATOMIC_RELAXED);
	pthread_mutex_lock(&live_lock);
	for (unsigned int i = 0; i < ARRAY_SIZE(live); i++)
		found |= live[i] == kvm;
	pthread_mutex_unlock(&live_lock);
	must(found);
}

/* ---- who is told */

struct record {
	pthread_mutex_t lock;
	struct kvm *kvm;
	unsigned long sets;
};

static void note(struct record *record, struct kvm *kvm)
{
	pthread_mutex_lock(&record->lock);
	must(!record->kvm == !!kvm);
	check_live(kvm ? kvm : record->kvm);
	record->kvm = kvm;
	record->sets += kvm != NULL;
	pthread_mutex_unlock(&record->lock);
}

/* What a driver does with its VM, in a thread of its own. */
static void use(struct record *record)
{
	pthread_mutex_lock(&record->lock);
	if (record->kvm)
		check_live(record->kvm);
	pthread_mutex_unlock(&record->lock);
}

struct mdev {
	struct vfio_device vdev;
	struct record record;
	bool open;
};

static void mdev_set_kvm(struct vfio_device *vdev, struct kvm *kvm)
{
	note(&container_of(vdev, struct mdev, vdev)->record, kvm);
}

static int mdev_open(struct vfio_device *vdev)
{
	container_of(vdev, struct mdev, vdev)->open = true;
	return 0;
}

static void mdev_close(struct vfio_device *vdev)
{
	container_of(vdev, struct mdev, vdev)->open = false;
}

static void mdev_dma_unmap(struct vfio_device *vdev, uint64_t iova, uint64_t length)
{
	vfio_unpin_pages(vdev, iova, (unsigned int)(length / UVFIO_PAGE_SIZE));
}

static const struct vfio_device_ops mdev_ops = {
	.name = "mdev",
	.dma_unmap = mdev_dma_unmap,
	.open_device = mdev_open,
	.close_device = mdev_close,
	.set_kvm = mdev_set_kvm,
};

struct rig {
	struct bench *b;
	struct mdev mdevs[NR];
	int kvm; /* /dev/kvm */
	int container, group, iommufd;
	_Atomic unsigned int rounds;
	_Atomic bool stop;
};

static int setup(void **state)
{
	struct rig *r = calloc(1, sizeof(*r));
	struct file *file;
	void *b;

	bench_setup(&b);
	r->b = b;
	for (unsigned int i = 0; i < NR; i++) {
		struct mdev *mdev = &r->mdevs[i];

		pthread_mutex_init(&mdev->record.lock, NULL);
		mdev->vdev.ops = &mdev_ops;
		snprintf(mdev->vdev.name, sizeof(mdev->vdev.name), "mdev%u", i);
		assert_int_equal(
			vfio_register_emulated_iommu_dev(r->b->vfio, &mdev->vdev, 20 + i / 2, VFIO_ANY_INDEX),
			0);
	}
	must(!kvm_dev_open(O_RDWR, &file));
	r->kvm = fdtable_install(file, O_CLOEXEC);
	open_all(r->b, 20, VFIO_TYPE1v2_IOMMU, &r->container, &r->group);
	r->iommufd = open_iommufd(r->b);
	*state = r;
	return 0;
}

static int teardown(void **state)
{
	struct rig *r = *state;
	void *b = r->b;

	close_fd(r->group);
	close_fd(r->container);
	close_fd(r->iommufd);
	close_fd(r->kvm);
	for (unsigned int i = 0; i < NR; i++) {
		must(!r->mdevs[i].record.kvm);
		must(!r->mdevs[i].open);
		vfio_unregister_device(&r->mdevs[i].vdev);
		pthread_mutex_destroy(&r->mdevs[i].record.lock);
	}
	bench_teardown(&b);
	free(r);
	return 0;
}

/* ---- a VMM */

struct vm {
	int fd, device;
	struct kvm *kvm;
};

static int new_device(int vm)
{
	struct kvm_create_device create = { .type = KVM_DEV_TYPE_VFIO };

	must(!call_ptr(vm, KVM_CREATE_DEVICE, &create));
	return (int)create.fd;
}

static struct vm vm_new(struct rig *r)
{
	struct vm vm;
	struct file *file;

	vm.fd = (int)call(r->kvm, KVM_CREATE_VM, 0);
	must(vm.fd >= 0);
	file = fdtable_get(vm.fd);
	vm.kvm = kvm_of_file(file);
	must(vm.kvm);
	kvm_put(vm.kvm);
	file_put(file);
	change_live(NULL, vm.kvm);
	vm.device = new_device(vm.fd);
	return vm;
}

static void vm_close(struct vm *vm, bool vm_first)
{
	close_fd(vm_first ? vm->fd : vm->device);
	/* from here on nobody knows it, or when the other is closed */
	if (!vm_first)
		change_live(vm->kvm, NULL);
	close_fd(vm_first ? vm->device : vm->fd);
	if (vm_first)
		change_live(vm->kvm, NULL);
}

static long change(const struct vm *vm, uint64_t which, int32_t fd)
{
	struct kvm_device_attr attr = { .group = KVM_DEV_VFIO_FILE, .attr = which, .addr = (uintptr_t)&fd };

	return call_ptr(vm->device, KVM_SET_DEVICE_ATTR, &attr);
}

static bool is_noncoherent(const struct vm *vm)
{
	struct file *file = fdtable_get(vm->device);
	struct kvm_device *dev = kvm_device_of_file(file, &kvm_vfio_ops);
	bool noncoherent;

	must(dev);
	noncoherent = kvm_vfio_noncoherent(dev->private);
	file_put(file);
	return noncoherent;
}

/* ---- */

static void test_association(void **state)
{
	struct rig *r = *state;
	struct record *record = &r->mdevs[0].record;
	struct vm a = vm_new(r), b = vm_new(r);
	int device;

	must(!change(&a, KVM_DEV_VFIO_FILE_ADD, r->group));
	must(!record->kvm);
	device = get_device(r->group, "mdev0");
	must(record->kvm == a.kvm);
	must(!change(&b, KVM_DEV_VFIO_FILE_ADD, r->group));
	must(record->kvm == b.kvm);
	must(!change(&a, KVM_DEV_VFIO_FILE_DEL, r->group));
	must(record->kvm == b.kvm);
	vm_close(&b, true);
	must(!record->kvm);
	must(!change(&a, KVM_DEV_VFIO_FILE_ADD, r->group));
	must(record->kvm == a.kvm);
	close_fd(a.device);
	must(!record->kvm);
	a.device = new_device(a.fd);
	must(!change(&a, KVM_DEV_VFIO_FILE_ADD, r->group));
	must(record->kvm == a.kvm);
	close_fd(device);
	must(!record->kvm);
	vm_close(&a, false);
}

static void test_coherency(void **state)
{
	struct rig *r = *state;
	struct vm vm = vm_new(r);
	int real = open_group(r->b, 1);

	r->b->params.coherent = true;
	must(!is_noncoherent(&vm));
	must(!change(&vm, KVM_DEV_VFIO_FILE_ADD, real));
	must(!is_noncoherent(&vm));
	must(!change(&vm, KVM_DEV_VFIO_FILE_ADD, r->group));
	must(is_noncoherent(&vm));
	/* whichever is the last */
	must(!change(&vm, KVM_DEV_VFIO_FILE_DEL, real));
	must(is_noncoherent(&vm));
	must(!change(&vm, KVM_DEV_VFIO_FILE_ADD, real));
	must(is_noncoherent(&vm));
	must(!change(&vm, KVM_DEV_VFIO_FILE_DEL, r->group));
	must(!is_noncoherent(&vm));
	r->b->params.coherent = false;
	must(!change(&vm, KVM_DEV_VFIO_FILE_ADD, r->group));
	must(is_noncoherent(&vm));
	close_fd(real);
	vm_close(&vm, true);
}

/* ---- all of it at once */

struct thread {
	struct rig *r;
	unsigned int seed;
	pthread_t id;
	unsigned long done;
};

static unsigned int any(struct thread *t, unsigned int n)
{
	t->seed = t->seed * 1103515245 + 12345;
	return (t->seed >> 16) % n;
}

static bool next_round(struct thread *t)
{
	t->done++;
	return atomic_fetch_add(&t->r->rounds, 1) < ROUNDS;
}

/* VMs that come and go, with the group of 0 and 1; two of these threads take it from one another. */
static void *vms(void *arg)
{
	struct thread *t = arg;

	while (next_round(t)) {
		struct vm vm = vm_new(t->r);

		for (unsigned int i = any(t, 6); i; i--) {
			long rc = change(&vm, i & 1 ? KVM_DEV_VFIO_FILE_ADD : KVM_DEV_VFIO_FILE_DEL,
					 t->r->group);

			must(!rc || rc == -EEXIST || rc == -ENOENT);
		}
		vm_close(&vm, any(t, 2));
	}
	return NULL;
}

static void *opens(void *arg)
{
	struct thread *t = arg;

	while (next_round(t)) {
		int fd = get_device(t->r->group, any(t, 2) ? "mdev0" : "mdev1");

		must(fd >= 0);
		use(&t->r->mdevs[any(t, 2)].record);
		if (any(t, 2))
			sched_yield();
		close_fd(fd);
	}
	return NULL;
}

struct recorder {
	struct vfio_notifier notifier;
	struct record record;
	bool leaves; /* when it is told of the next VM */
	bool gone;
	unsigned long unmaps;
};

static void record_kvm(struct vfio_notifier *notifier, struct kvm *kvm)
{
	struct recorder *rec = container_of(notifier, struct recorder, notifier);

	note(&rec->record, kvm);
	if (!kvm || !rec->leaves)
		return;
	rec->leaves = false;
	must(!vfio_unregister_notifier(notifier->vdev, notifier));
	pthread_mutex_lock(&rec->record.lock);
	rec->record.kvm = NULL; /* it is told no more, and its VM is not to be used behind this */
	rec->gone = true;
	pthread_mutex_unlock(&rec->record.lock);
}

static void record_unmap(struct vfio_notifier *notifier, uint64_t iova, uint64_t length)
{
	struct recorder *rec = container_of(notifier, struct recorder, notifier);

	must(iova == IOVA && length == UVFIO_PAGE_SIZE);
	pthread_mutex_lock(&rec->record.lock);
	must(!rec->gone);
	rec->unmaps++;
	pthread_mutex_unlock(&rec->record.lock);
}

static bool is_gone(struct recorder *rec)
{
	bool gone;

	pthread_mutex_lock(&rec->record.lock);
	gone = rec->gone;
	pthread_mutex_unlock(&rec->record.lock);
	return gone;
}

static void enrol(struct recorder *rec, struct vfio_device *vdev, bool leaves)
{
	rec->gone = false;
	rec->leaves = leaves;
	must(!vfio_register_notifier(vdev, &rec->notifier));
}

/* It may be leaving by itself at this moment. */
static void leave(struct recorder *rec)
{
	int rc = vfio_unregister_notifier(rec->notifier.vdev, &rec->notifier);

	must(!rc || rc == -ENOENT);
	while (rc && !is_gone(rec))
		sched_yield();
	rec->gone = true;
	must(!rec->record.kvm);
}

/* Twelve, so that some go while others are being told. */
static void *registers(void *arg)
{
	struct thread *t = arg;
	struct recorder recs[12] = { 0 };

	for (unsigned int i = 0; i < ARRAY_SIZE(recs); i++) {
		recs[i].notifier.set_kvm = record_kvm;
		recs[i].notifier.dma_unmap = record_unmap;
		pthread_mutex_init(&recs[i].record.lock, NULL);
		recs[i].gone = true;
	}
	while (!atomic_load(&t->r->stop)) {
		t->done++;
		struct recorder *rec = &recs[any(t, ARRAY_SIZE(recs))];

		use(&rec->record);
		if (is_gone(rec))
			enrol(rec, &t->r->mdevs[any(t, NR)].vdev, !any(t, 4));
		else
			leave(rec);
	}
	for (unsigned int i = 0; i < ARRAY_SIZE(recs); i++) {
		if (!is_gone(&recs[i]))
			leave(&recs[i]);
		must(recs[i].unmaps);
		pthread_mutex_destroy(&recs[i].record.lock);
	}
	return NULL;
}

static void *unmaps(void *arg)
{
	struct thread *t = arg;
	struct vfio_device *vdev = &t->r->mdevs[0].vdev;
	int device = get_device(t->r->group, "mdev0");
	struct mm_page page;
	uint64_t size;
	void *memory =
		mmap(NULL, UVFIO_PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	must(device >= 0 && memory != MAP_FAILED);
	while (!atomic_load(&t->r->stop)) {
		t->done++;
		must(!map(t->r->container, IOVA, memory, UVFIO_PAGE_SIZE, 3));
		must(vfio_pin_pages(vdev, IOVA, 1, IOMMU_READ, &page) == 1);
		size = UVFIO_PAGE_SIZE;
		must(!unmap(t->r->container, IOVA, &size, 0) && size == UVFIO_PAGE_SIZE);
	}
	close_fd(device);
	munmap(memory, UVFIO_PAGE_SIZE);
	return NULL;
}

/* The cdev of 2: added before it is bound, or then, and let go of in any order. */
static void *cdevs(void *arg)
{
	struct thread *t = arg;

	while (next_round(t)) {
		struct vm vm = vm_new(t->r);
		int cdev = open_index(t->r->b, t->r->mdevs[2].vdev.index);
		bool late = any(t, 2);

		if (!late)
			must(!change(&vm, KVM_DEV_VFIO_FILE_ADD, cdev));
		must(!bind_to(cdev, t->r->iommufd));
		must(t->r->mdevs[2].record.kvm == (late ? NULL : vm.kvm));
		if (late)
			must(!change(&vm, KVM_DEV_VFIO_FILE_ADD, cdev));
		must(t->r->mdevs[2].record.kvm == vm.kvm);
		if (any(t, 2))
			must(!change(&vm, KVM_DEV_VFIO_FILE_DEL, cdev));
		if (any(t, 2)) {
			close_fd(cdev);
			vm_close(&vm, any(t, 2));
		} else {
			vm_close(&vm, any(t, 2));
			close_fd(cdev);
		}
		must(!t->r->mdevs[2].record.kvm);
		must(!t->r->mdevs[2].open);
	}
	return NULL;
}

static void test_threads(void **state)
{
	static void *(*const bodies[])(
		void *) = { registers, registers, unmaps, vms, vms, opens, opens, cdevs };
	struct rig *r = *state;
	struct thread threads[ARRAY_SIZE(bodies)];

	for (unsigned int i = 0; i < ARRAY_SIZE(bodies); i++) {
		threads[i] = (struct thread){ .r = r, .seed = 7 * i + 1 };
		must(!pthread_create(&threads[i].id, NULL, bodies[i], &threads[i]));
	}
	for (unsigned int i = ARRAY_SIZE(bodies); i--;) {
		if (bodies[i] == unmaps)
			atomic_store(&r->stop, true);
		pthread_join(threads[i].id, NULL);
		must(threads[i].done > ROUNDS / 1000);
	}
	for (unsigned int i = 0; i < NR; i++)
		must(r->mdevs[i].record.sets > ROUNDS / 1000);
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_association),
		TEST(test_coherency),
		TEST(test_threads),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
