/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Client eventfds. A reference is a duplicate of the client's descriptor, as the kernel holds a reference of
 * its own: a client may close its descriptor at any time.
 */
#ifndef UVFIO_FILE_EVENTFD_H
#define UVFIO_FILE_EVENTFD_H

#include "file/caller.h"

struct eventfd_ctx;

/* 0; -EBADF: no such descriptor; -EINVAL: not an eventfd; -ENOMEM. */
int eventfd_ctx_get(const struct caller *caller, int fd, struct eventfd_ctx **out);
void eventfd_ctx_put(struct eventfd_ctx *ctx); /* NULL is fine */

/* Add n to the counter. Never blocks: at the counter's limit the signal is already pending.
 * Async-signal-safe. */
void eventfd_signal(struct eventfd_ctx *ctx, uint64_t n);

/* What a context begins with. */
struct eventfd_fast {
	int fd;
	_Atomic bool plain; /* one write(2) signals it: that cannot block, and no watch wants all signals */
};

/*
 * eventfd_signal(ctx, 1) for who does nothing else: inline, because behind a system call processors that are
 * on their guard predict no return.
 */
static inline void eventfd_signal_once(struct eventfd_ctx *ctx)
{
	const struct eventfd_fast *fast = (const struct eventfd_fast *)ctx;

#ifdef __x86_64__
	if (likely(atomic_load_explicit(&fast->plain, memory_order_relaxed))) {
		const uint64_t one = 1;
		long rc = 1; /* write */

		__asm__ volatile("syscall"
				 : "+a"(rc)
				 : "D"((long)fast->fd), "S"(&one), "d"(sizeof(one)), "m"(one)
				 : "rcx", "r11", "memory");
		return;
	}
#endif
	(void)fast;
	eventfd_signal(ctx, 1);
}

/* Do two references stand for the same eventfd? */
bool eventfd_ctx_same(const struct eventfd_ctx *a, const struct eventfd_ctx *b);

/*
 * Call fn(arg) on a helper thread each time the client signals the eventfd (and read it): resampling, virqfd.
 * The watch is taken off by eventfd_unwatch, which returns when no callback is running (do not call it from
 * fn).
 */
struct eventfd_watch;
int eventfd_watch(struct eventfd_ctx *ctx, void (*fn)(void *arg), void *arg, struct eventfd_watch **out);
void eventfd_unwatch(struct eventfd_watch *watch);

/*
 * The same for one that wants all signals for itself (irqfd): -EBUSY when there is such a watch already.
 * Signals of eventfd_signal() call fn at once, in the thread that signals, and are not counted in the
 * eventfd. A signal that is pending now calls fn once, and stays. fn may be called by several threads at a
 * time, and in a signal handler.
 */
int eventfd_watch_alone(struct eventfd_ctx *ctx, void (*fn)(void *arg), void *arg,
			struct eventfd_watch **out);
/*
 * Has the client, process pid (0: this one), a descriptor of that eventfd still? The kernel would have
 * forgotten the watch at the last close. What is in flight, or another process's, is not seen.
 */
bool eventfd_watch_has_client(const struct eventfd_watch *watch, pid_t pid);

/* This is the child of a fork: the helper thread is gone; start it again if it is needed. */
void eventfd_forked(void);

#endif
