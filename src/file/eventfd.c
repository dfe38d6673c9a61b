/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * References to client eventfds, and the helper thread that watches some of them.
 *
 * All references to one eventfd share a context, found by the number that the kernel gives each eventfd
 * ("eventfd-id" in fdinfo), so that a thousand uses of one eventfd cost one descriptor. What descriptor of
 * this process was last seen to be which context is remembered: whether it still is, is one system call.
 *
 * lock protects the list of contexts, their counts and watches. Callbacks run without it. eventfd_signal()
 * takes no lock.
 */
#include "file/eventfd.h"

#include "base/private_fd.h"
#include "base/thread.h"
#include "base/why.h"
#include "file/fdtable.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/kcmp.h>
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>
#include <urcu/list.h>

struct eventfd_ctx {
	struct eventfd_fast fast;
	bool blocking; /* the client's description lacks O_NONBLOCK */
	uint64_t id;
	unsigned int refs;
	int hint;                              /* the client's descriptor that may stand for it in hints[] */
	_Atomic(struct eventfd_watch *) alone; /* gets all signals; changed with the lock held */
	_Atomic uint32_t signallers;           /* who may be calling it */
	struct cds_list_head node;
	struct cds_list_head watches;
};

struct eventfd_watch {
	struct eventfd_ctx *ctx;
	void (*fn)(void *arg);
	void *arg;
	bool due;       /* to be called in the round that a thread is in */
	uint64_t left;  /* alone: the count that was there at first, and that is not to be taken; or 0 */
	bool left_told; /* epoll has told of that: what it tells next is a signal */
	unsigned int running; /* calls of fn that have not returned */
	struct cds_list_head node;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t idle = PTHREAD_COND_INITIALIZER;
static struct cds_list_head contexts[1024]; /* by id */
static struct eventfd_ctx *hints[1024];     /* by descriptor, of self_caller only */
static int epoll_fd = -1;

/* Called with the lock held. */
static struct cds_list_head *chain(uint64_t id)
{
	struct cds_list_head *head = &contexts[id % ARRAY_SIZE(contexts)];

	if (!head->next)
		CDS_INIT_LIST_HEAD(head);
	return head;
}

/* The number of the eventfd behind a process's fd, and its count: true, or false when it is none. */
static bool eventfd_info_of(pid_t pid, int fd, uint64_t *id, uint64_t *count)
{
	char path[48], text[512];
	const char *line, *counted;
	ssize_t n;
	int info;

	snprintf(path, sizeof(path), "/proc/%d/fdinfo/%d", pid, fd);
	info = open(path, O_RDONLY | O_CLOEXEC);
	if (info < 0)
		return false;
	n = read(info, text, sizeof(text) - 1);
	close(info);
	if (n < 0)
		return false;
	text[n] = 0;
	line = strstr(text, "eventfd-id:");
	counted = strstr(text, "eventfd-count:");
	if (!counted || !line)
		return false;
	*id = strtoull(line + strlen("eventfd-id:"), NULL, 10);
	*count = strtoull(counted + strlen("eventfd-count:"), NULL, 16);
	return true;
}

static bool eventfd_info(int fd, uint64_t *id, uint64_t *count)
{
	return eventfd_info_of(getpid(), fd, id, count);
}

static struct eventfd_ctx *find_context(uint64_t id)
{
	struct eventfd_ctx *ctx;

	cds_list_for_each_entry (ctx, chain(id), node)
		if (ctx->id == id)
			return ctx;
	return NULL;
}

#ifndef F_DUPFD_QUERY
#define F_DUPFD_QUERY 1027
#endif

/* Surely the same open file? Older kernels are asked in a slower way. */
static bool is_same_file(int a, int b)
{
	long rc = syscall(SYS_fcntl, a, F_DUPFD_QUERY, b);
	pid_t pid;

	if (rc >= 0 || errno != EINVAL)
		return rc == 1;
	pid = getpid();
	return syscall(SYS_kcmp, pid, pid, KCMP_FILE, a, b) == 0;
}

/* Called with the lock held. */
static void remember(const struct caller *caller, int fd, struct eventfd_ctx *ctx)
{
	if (caller != &self_caller)
		return;
	hints[(unsigned int)fd % ARRAY_SIZE(hints)] = ctx;
	ctx->hint = fd;
}

static void forget(const struct eventfd_ctx *ctx)
{
	struct eventfd_ctx **hint = &hints[(unsigned int)ctx->hint % ARRAY_SIZE(hints)];

	if (*hint == ctx)
		*hint = NULL;
}

/* The context that fd was the last time, with a reference. */
static struct eventfd_ctx *remembered(const struct caller *caller, int fd)
{
	struct eventfd_ctx *ctx;

	if (caller != &self_caller || fd < 0)
		return NULL;
	pthread_mutex_lock(&lock);
	ctx = hints[(unsigned int)fd % ARRAY_SIZE(hints)];
	if (ctx && ctx->hint == fd && is_same_file(fd, ctx->fast.fd))
		ctx->refs++;
	else
		ctx = NULL;
	pthread_mutex_unlock(&lock);
	return ctx;
}

int eventfd_ctx_get(const struct caller *caller, int fd, struct eventfd_ctx **out)
{
	struct eventfd_ctx *ctx, *have;
	uint64_t count;
	int rc;

	*out = remembered(caller, fd);
	if (*out)
		return 0;
	ctx = calloc(1, sizeof(*ctx));
	if (!ctx)
		return -ENOMEM;
	ctx->fast.fd = caller->ops->dup_fd(caller, fd);
	if (ctx->fast.fd < 0) {
		rc = WHY(ctx->fast.fd, "%d is no open descriptor", fd);
		goto free_ctx;
	}
	if (!eventfd_info(ctx->fast.fd, &ctx->id, &count)) {
		rc = WHY(-EINVAL, "descriptor %d is no eventfd", fd);
		goto close_fd;
	}
	pthread_mutex_lock(&lock);
	have = find_context(ctx->id);
	if (have) {
		have->refs++;
		if (is_same_file(ctx->fast.fd, have->fast.fd)) {
			forget(have);
			remember(caller, fd, have);
		}
		pthread_mutex_unlock(&lock);
		*out = have;
		rc = 0;
		goto close_fd;
	}
	ctx->blocking = !(fcntl(ctx->fast.fd, F_GETFL) & O_NONBLOCK);
	atomic_store(&ctx->fast.plain, !ctx->blocking);
	ctx->refs = 1;
	CDS_INIT_LIST_HEAD(&ctx->watches);
	cds_list_add(&ctx->node, chain(ctx->id));
	remember(caller, fd, ctx);
	pthread_mutex_unlock(&lock);
	*out = ctx;
	return 0;

close_fd:
	private_fd_close(ctx->fast.fd);
free_ctx:
	free(ctx);
	return rc;
}

void eventfd_ctx_put(struct eventfd_ctx *ctx)
{
	bool last;

	if (!ctx)
		return;
	pthread_mutex_lock(&lock);
	last = --ctx->refs == 0;
	if (last) {
		cds_list_del(&ctx->node);
		forget(ctx);
	}
	pthread_mutex_unlock(&lock);
	if (last) {
		private_fd_close(ctx->fast.fd);
		free(ctx);
	}
}

static bool has_room(int fd)
{
	struct pollfd p = { .fd = fd, .events = POLLOUT };

	return poll(&p, 1, 0) == 1 && (p.revents & POLLOUT);
}

static __attribute__((noinline)) bool signal_alone(struct eventfd_ctx *ctx)
{
	struct eventfd_watch *watch;

	atomic_fetch_add(&ctx->signallers, 1);
	watch = atomic_load(&ctx->alone);
	if (watch)
		watch->fn(watch->arg);
	atomic_fetch_sub(&ctx->signallers, 1);
	return watch;
}

void eventfd_signal(struct eventfd_ctx *ctx, uint64_t n)
{
	int saved_errno = errno;

	if (unlikely(atomic_load_explicit(&ctx->alone, memory_order_relaxed)) && signal_alone(ctx))
		return;
	if (!ctx->blocking || has_room(ctx->fast.fd)) {
		/* write() is a cancellation point, which costs in a process with threads */
		if (syscall(SYS_write, ctx->fast.fd, &n, sizeof(n)) < 0) {
			/* at its limit: a signal is pending already */
		}
	}
	errno = saved_errno;
}

bool eventfd_ctx_same(const struct eventfd_ctx *a, const struct eventfd_ctx *b)
{
	return a == b;
}

static struct eventfd_watch *next_due(struct eventfd_ctx *ctx)
{
	struct eventfd_watch *watch;

	cds_list_for_each_entry (watch, &ctx->watches, node)
		if (watch->due)
			return watch;
	return NULL;
}

/* Has fd been signalled? A client may read it, too, and at the same time: never wait for another signal. */
static bool take_signal(int fd)
{
	uint64_t count;
	struct iovec iov = { &count, sizeof(count) };

	return preadv2(fd, &iov, 1, -1, RWF_NOWAIT) == sizeof(count);
}

/*
 * Is there nothing but what was there before there was a watch? told: epoll says that there is something. A
 * client may have read that, and signalled as much again. Called with the lock held.
 */
static bool is_leftover(struct eventfd_ctx *ctx, bool told)
{
	struct eventfd_watch *watch = atomic_load(&ctx->alone);
	uint64_t id, count;

	if (!watch || !watch->left)
		return false;
	if ((told && watch->left_told) || !eventfd_info(ctx->fast.fd, &id, &count) || count != watch->left)
		watch->left = 0;
	watch->left_told |= told;
	return watch->left;
}

/* Called with the lock held; drops it around the callbacks. The context is found anew each time: it may go.
 */
static void run_watches(uint64_t id, bool told)
{
	struct eventfd_ctx *ctx = find_context(id);
	struct eventfd_watch *watch;

	if (ctx && !is_leftover(ctx, told) && take_signal(ctx->fast.fd))
		cds_list_for_each_entry (watch, &ctx->watches, node)
			watch->due = true;
	while ((ctx = find_context(id)) && (watch = next_due(ctx))) {
		void (*fn)(void *) = watch->fn;
		void *arg = watch->arg;

		watch->due = false;
		watch->running++;
		pthread_mutex_unlock(&lock);
		fn(arg);
		pthread_mutex_lock(&lock);
		watch->running--;
		pthread_cond_broadcast(&idle);
	}
}

static void *watch_thread(void *arg)
{
	int fd = (int)(intptr_t)arg;
	struct epoll_event event;

	for (;;) {
		if (epoll_wait(fd, &event, 1, -1) != 1)
			continue;
		pthread_mutex_lock(&lock);
		run_watches(event.data.u64, true);
		pthread_mutex_unlock(&lock);
	}
	return NULL;
}

/* Called with the lock held. */
static int start_watching(void)
{
	pthread_t thread;
	int fd, rc;

	if (epoll_fd >= 0)
		return 0;
	fd = private_fd(epoll_create1(EPOLL_CLOEXEC));
	if (fd < 0)
		return -errno;
	rc = thread_start(&thread, "uvfio-eventfd", watch_thread, (void *)(intptr_t)fd);
	if (rc) {
		private_fd_close(fd);
		return rc;
	}
	pthread_detach(thread);
	epoll_fd = fd;
	return 0;
}

/* How much is there, which is not to be taken. */
static uint64_t pending_count(int fd)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };
	uint64_t id, count = 0;

	if (poll(&p, 1, 0) == 1 && p.revents & (POLLIN | POLLERR) && !eventfd_info(fd, &id, &count))
		count = 0;
	return count;
}

static int watch_ctx(struct eventfd_ctx *ctx, void (*fn)(void *arg), void *arg, bool alone, bool *pending,
		     struct eventfd_watch **out)
{
	struct epoll_event event = { .events = EPOLLIN, .data.u64 = ctx->id };
	struct eventfd_watch *watch = calloc(1, sizeof(*watch));
	int rc;

	if (!watch)
		return -ENOMEM;
	*watch = (struct eventfd_watch){ .ctx = ctx, .fn = fn, .arg = arg };
	pthread_mutex_lock(&lock);
	rc = alone && atomic_load(&ctx->alone) ? -EBUSY : start_watching();
	if (alone) { /* what is there stays: who waits is told of what comes */
		watch->left = pending_count(ctx->fast.fd);
		event.events |= EPOLLET;
	}
	*pending = watch->left;
	if (!rc && cds_list_empty(&ctx->watches) &&
	    epoll_ctl(epoll_fd, EPOLL_CTL_ADD, ctx->fast.fd, &event) < 0)
		rc = -errno;
	if (!rc) {
		ctx->refs++;
		cds_list_add_tail(&watch->node, &ctx->watches);
		if (alone) {
			atomic_store(&ctx->alone, watch);
			atomic_store(&ctx->fast.plain, false);
		}
	}
	pthread_mutex_unlock(&lock);
	if (rc)
		free(watch);
	else
		*out = watch;
	return rc;
}

int eventfd_watch(struct eventfd_ctx *ctx, void (*fn)(void *arg), void *arg, struct eventfd_watch **out)
{
	bool pending;

	return watch_ctx(ctx, fn, arg, false, &pending, out);
}

int eventfd_watch_alone(struct eventfd_ctx *ctx, void (*fn)(void *arg), void *arg, struct eventfd_watch **out)
{
	bool pending;
	int rc = watch_ctx(ctx, fn, arg, true, &pending, out);

	if (!rc && pending)
		fn(arg);
	return rc;
}

bool eventfd_watch_has_client(const struct eventfd_watch *watch, pid_t pid)
{
	char path[32];
	struct dirent *entry;
	bool found = false;
	uint64_t id, count;
	DIR *dir;

	pid = pid ? pid : getpid();
	snprintf(path, sizeof(path), "/proc/%d/fd", pid);
	dir = opendir(path);
	if (!dir)
		return true;
	while (!found && (entry = readdir(dir))) {
		int fd = atoi(entry->d_name);

		if (*entry->d_name == '.' || (pid == getpid() && private_fd_is(fd)))
			continue;
		found = eventfd_info_of(pid, fd, &id, &count) && id == watch->ctx->id;
	}
	closedir(dir);
	return found;
}

void eventfd_unwatch(struct eventfd_watch *watch)
{
	struct eventfd_ctx *ctx = watch->ctx;

	pthread_mutex_lock(&lock);
	/* a signal given before this call still counts, as where signalling itself calls the watch */
	if (is_leftover(ctx, false))
		take_signal(ctx->fast.fd);
	else
		run_watches(ctx->id, false);
	cds_list_del(&watch->node);
	if (atomic_load(&ctx->alone) == watch) {
		atomic_store(&ctx->alone, NULL);
		atomic_store(&ctx->fast.plain, !ctx->blocking);
	}
	if (cds_list_empty(&ctx->watches))
		epoll_ctl(epoll_fd, EPOLL_CTL_DEL, ctx->fast.fd, NULL);
	while (watch->running)
		pthread_cond_wait(&idle, &lock);
	pthread_mutex_unlock(&lock);
	while (atomic_load(&ctx->signallers))
		sched_yield();
	free(watch);
	eventfd_ctx_put(ctx);
}

void eventfd_forked(void)
{
	struct eventfd_ctx *ctx;
	struct eventfd_watch *watch;

	pthread_mutex_init(&lock, NULL);
	pthread_cond_init(&idle, NULL);
	private_fd_close(epoll_fd);
	epoll_fd = -1;
	for (uint64_t i = 0; i < ARRAY_SIZE(contexts); i++) {
		cds_list_for_each_entry (ctx, chain(i), node) {
			struct epoll_event event = { .events = EPOLLIN, .data.u64 = ctx->id };

			atomic_store(&ctx->signallers, 0);
			cds_list_for_each_entry (watch, &ctx->watches, node) {
				watch->running = 0;
				watch->left_told = false;
			}
			if (atomic_load(&ctx->alone))
				event.events |= EPOLLET;
			if (!cds_list_empty(&ctx->watches) && !start_watching())
				epoll_ctl(epoll_fd, EPOLL_CTL_ADD, ctx->fast.fd, &event);
		}
	}
}
