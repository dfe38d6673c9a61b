/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Everything at once: descriptors that are closed, replaced and reused while other threads call them,
 * processes that are forked in the middle of it, and files that travel. Nobody may crash, hang, or be left
 * with a file open.
 */
#include "client.h"

#include <pthread.h>
#include <stdatomic.h>
#include <time.h>

/* AddressSanitizer forks while other threads hold its allocator's locks: the child waits for ever. */
#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define NO_CHILDREN
#endif
#endif

#define SLOT 300 /* a descriptor number that is ours at one time and foreign at another */

static atomic_bool stop;
static struct client shared;

static void *open_and_close(void *arg)
{
	(void)arg;
	while (!atomic_load(&stop)) {
		int fd = open("/dev/vfio/vfio", O_RDWR), copy;

		CHECK(fd >= 0);
		copy = dup(fd);
		CHECK(copy >= 0 && !close(fd));
		CHECK(ioctl(copy, VFIO_CHECK_EXTENSION, VFIO_TYPE1_IOMMU) == 1);
		CHECK(!close(copy));
	}
	return NULL;
}

static void *replace(void *arg)
{
	int null = open("/dev/null", O_RDWR), ours = open("/dev/vfio/vfio", O_RDWR);

	(void)arg;
	CHECK(null >= 0 && ours >= 0);
	while (!atomic_load(&stop)) {
		CHECK(dup2(ours, SLOT) == SLOT);
		CHECK(dup2(null, SLOT) == SLOT);
		CHECK(!close(SLOT));
	}
	close(null);
	close(ours);
	return NULL;
}

static void *call_slot(void *arg)
{
	(void)arg;
	while (!atomic_load(&stop)) {
		int r = ioctl(SLOT, VFIO_GET_API_VERSION);

		CHECK(r == VFIO_API_VERSION || errno == EBADF || errno == ENOTTY);
	}
	return NULL;
}

static void *call_shared(void *arg)
{
	uint64_t cfg = client_config(shared.device);
	char *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	uint64_t iova = (uint64_t)(uintptr_t)arg << 20;
	uint32_t ids;

	while (!atomic_load(&stop)) {
		CHECK(pread(shared.device, &ids, 4, (off_t)cfg) == 4 && ids != 0xffffffff);
		CHECK(!client_map(shared.container, page, iova, 4096));
		CHECK(client_unmap(shared.container, iova, 4096) == 4096);
	}
	munmap(page, 4096);
	return NULL;
}

#ifndef NO_CHILDREN
static void child(void *arg)
{
	uint32_t ids;

	(void)arg;
	CHECK(pread(shared.device, &ids, 4, (off_t)client_config(shared.device)) == 4 && ids != 0xffffffff);
	CHECK(ioctl(shared.container, VFIO_GET_API_VERSION) == VFIO_API_VERSION);
}

static void *make_children(void *arg)
{
	(void)arg;
	while (!atomic_load(&stop))
		in_child(child, NULL);
	return NULL;
}
#endif

static void *map_while_cancelled(void *arg)
{
	static char page[4096] __attribute__((aligned(4096)));

	pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, NULL);
	while (!atomic_load((atomic_bool *)arg))
		;
	pthread_setcancelstate(PTHREAD_CANCEL_ENABLE, NULL);
	CHECK(!client_map(shared.container, page, 1 << 20, 4096));
	pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, NULL);
	return (void *)1;
}

/* An ioctl() is no cancellation point, whatever is done in it. */
static void cancelled(void)
{
	static atomic_bool go;
	pthread_t thread;
	void *end;

	CHECK(!pthread_create(&thread, NULL, map_while_cancelled, &go));
	usleep(10000);
	CHECK(!pthread_cancel(thread));
	atomic_store(&go, true);
	CHECK(!pthread_join(thread, &end) && end == (void *)1);
	CHECK(client_unmap(shared.container, 1 << 20, 4096) == 4096);
}

int main(void)
{
	void *(*const what[])(void *) = {
		open_and_close, open_and_close, replace, call_slot, call_shared, call_shared,
#ifndef NO_CHILDREN
		make_children,  make_children,
#endif
	};
	const size_t nr = sizeof(what) / sizeof(what[0]);
	pthread_t threads[8];
	int fd;

	shared = client_open();
	alarm(50);
	cancelled();
	for (size_t i = 0; i < nr; i++)
		CHECK(!pthread_create(&threads[i], NULL, what[i], (void *)(i + 1)));
	nanosleep(&(struct timespec){ .tv_sec = 2 }, NULL);
	atomic_store(&stop, true);
	for (size_t i = 0; i < nr; i++)
		CHECK(!pthread_join(threads[i], NULL));
	client_close(&shared);
	CHECK((fd = open(group_path(), O_RDWR)) >= 0);
	close(fd);
	return 0;
}
