/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What every device model may call: DMA, workers, log, trace. A model is a device written in C: a PCI
 * function (<uvfio/pci.h>), or a mediated device (<uvfio/mdev.h>), that any VFIO program drives as if it were
 * hardware. docs/writing-devices.md is
 * the tutorial, examples/ has models to start from; the models inside uvfio use this interface and no other.
 *
 * A model lives inside the program that drives it, so it is a guest there:
 *   - it prints nothing by itself (uvfio_log), changes no signal and no global state of the process;
 *   - it makes no thread in its create callback, and keeps descriptors of its own out of the program's way
 *     (uvfio_private_fd);
 *   - it takes everything that the driver wrote for hostile.
 *
 * Where code runs, and what it may do there. Each function below says which of these it may be called from.
 *
 *   access    register callbacks (read, write). Any thread of the program, several at once, and, when a BAR
 *             is mapped, a signal handler: no malloc, no lock that is held for long or that other callbacks
 *             wait for while they hold it, nothing that blocks. Store atomically, and kick a worker. The
 *             stack may be a small one of uvfio's: at most 16 KiB of local variables, and no deep recursion.
 *   worker    a worker's function. May block. Must return soon when uvfio_worker_stopping() is true: a
 *             reset, a close and a removal wait for it. The stack has 256 KiB.
 *   control   create, reset, open, close, destroy. One at a time for each device, no worker of the device is
 *             running. May block, not for long: the program waits.
 *
 * No callback ends the process or its thread, leaves by longjmp() or an exception, or changes what a signal
 * does. A callback that waits for something of the driver (a register, an interrupt that is served) waits
 * for ever: it runs in the driver's own thread. Nothing ends a callback but its return; meanwhile signals
 * that the program handles have to wait, those that it leaves to their default action, as ^C, end the
 * program. Of a plug-in's callback that has not returned for five seconds a line on standard error tells,
 * and one tells which callback it was when it crashes.
 *
 * Versions. A plug-in built against another major version, or a later minor version, is refused when it is
 * loaded. Within a major version structures keep their layout and call tables only grow.
 */
#ifndef UVFIO_DEVICE_H
#define UVFIO_DEVICE_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/uio.h>
#include <time.h>

#include <uvfio/option.h>

#ifdef __cplusplus
extern "C" {
#endif

#define UVFIO_DEVICE_MAJOR 1
#define UVFIO_DEVICE_MINOR 1

struct uvfio_device_calls;
struct uvfio_notifier;
struct kvm; /* a VM: an opaque pointer */

/* A device as its model sees it. All fields but priv are read-only. */
struct uvfio_device {
	const struct uvfio_device_calls *calls;
	const char *name;      /* where it is: "0000:00:01.0" */
	const char *state_dir; /* a directory that the programs of a session share, for files that stand for
				  memory behind the device; NULL: no other program will look for them */
	unsigned int instance; /* 0, 1, ... counts the devices of the machine */
	const void *options;   /* the model's options structure, parsed; valid to the end of destroy */
	void *priv;            /* the model's: priv_size bytes of zeroes at create */
	const uint32_t *trace_on; /* see uvfio_trace_on() */
	void *host;               /* not the model's */
};

/* A thread's way to memory: see "DMA" below. */
struct uvfio_dma {
	struct uvfio_device *dev;
};

/* A thread of the device: see "Workers" below. */
struct uvfio_worker {
	struct uvfio_device *dev;
	struct uvfio_dma *dma; /* for the worker's function alone */
	void *arg;
};

/* The functions below call through this table; models do not. */
struct uvfio_device_calls {
	int (*dma_read)(struct uvfio_dma *, uint64_t, void *, size_t, const char *);
	int (*dma_write)(struct uvfio_dma *, uint64_t, const void *, size_t, const char *);
	int (*dma_copy)(struct uvfio_dma *, uint64_t, uint64_t, size_t, const char *, bool *);
	int (*dma_fill)(struct uvfio_dma *, uint64_t, uint64_t, size_t, const char *);
	void (*dma_begin)(struct uvfio_dma *);
	void (*dma_end)(struct uvfio_dma *);
	int (*dma_map)(struct uvfio_dma *, uint64_t, size_t, bool, struct iovec *, unsigned int *,
		       unsigned int, const char *);
	void (*dma_report_lost)(struct uvfio_dma *, uint64_t, size_t, bool, const char *);
	struct uvfio_worker *(*worker_new)(struct uvfio_device *, const char *,
					   void (*)(struct uvfio_worker *), void *);
	void (*worker_kick)(struct uvfio_worker *);
	void (*worker_kick_after)(struct uvfio_worker *, uint64_t);
	bool (*worker_stopping)(const struct uvfio_worker *);
	void (*log)(struct uvfio_device *, const char *, va_list);
	void (*log_once)(struct uvfio_device *, uint64_t, const char *, va_list);
	void (*trace)(struct uvfio_device *, const char *, uint64_t, const char *, va_list);
	void (*count_command)(struct uvfio_device *, bool);
	int (*private_fd)(int);
	void (*private_fd_close)(int);
	void (*unplug)(struct uvfio_device *);
	/* since 1.1 */
	int (*register_notifier)(struct uvfio_device *, struct uvfio_notifier *);
	int (*unregister_notifier)(struct uvfio_device *, struct uvfio_notifier *);
};

/* ---- DMA
 *
 * A device reaches memory only by I/O addresses (IOVA), through the mappings that its driver has made. Each
 * access that the IOMMU refuses is reported to the user in one line, once per place; the model need not.
 *
 * A struct uvfio_dma belongs to one thread: a worker's is worker->dma. There is no way to memory from access
 * or control context: kick a worker. Calls by another thread do nothing, say so in a line, and return -EPERM.
 *
 * what: names the access for reports and traces: "descriptor", "SQ entry". A constant string.
 */

/**
 * uvfio_dma_read() - copy from memory to the device.
 * @dma: the calling worker's.
 * @iova: I/O address, of any alignment.
 * @buf: where to.
 * @len: bytes; may cross pages and mappings.
 * @what: what this is.
 *
 * An aligned access of 1, 2, 4 or 8 bytes is one load. Context: worker.
 *
 * Return: 0, or -EFAULT: something there is not mapped or may not be read, the driver has not enabled bus
 *   mastering, or the program has taken the memory away. What lies before that has been copied. -EPERM: the
 *   caller is not the worker that @dma is of.
 */
static inline int uvfio_dma_read(struct uvfio_dma *dma, uint64_t iova, void *buf, size_t len,
				 const char *what)
{
	return dma->dev->calls->dma_read(dma, iova, buf, len, what);
}

/**
 * uvfio_dma_write() - copy from the device to memory.
 * @dma: the calling worker's.
 * @iova: I/O address, of any alignment.
 * @buf: where from.
 * @len: bytes; may cross pages and mappings.
 * @what: what this is.
 *
 * An aligned access of 1, 2, 4 or 8 bytes is one store. Writes are seen in the order in which they were made,
 * and before an interrupt that is raised after them. Context: worker.
 *
 * Return: as uvfio_dma_read().
 */
static inline int uvfio_dma_write(struct uvfio_dma *dma, uint64_t iova, const void *buf, size_t len,
				  const char *what)
{
	return dma->dev->calls->dma_write(dma, iova, buf, len, what);
}

/**
 * uvfio_dma_copy() - copy from memory to memory.
 * @dma: the calling worker's.
 * @dst: I/O address to write.
 * @src: I/O address to read.
 * @len: bytes.
 * @what: what this is.
 * @dst_failed: where to say, on -EFAULT, that it was the destination and not the source.
 *
 * Goes straight from one to the other. Ranges that overlap are copied in an order that is not specified.
 * Context: worker.
 *
 * Return: as uvfio_dma_read().
 */
static inline int uvfio_dma_copy(struct uvfio_dma *dma, uint64_t dst, uint64_t src, size_t len,
				 const char *what, bool *dst_failed)
{
	return dma->dev->calls->dma_copy(dma, dst, src, len, what, dst_failed);
}

/**
 * uvfio_dma_fill() - fill memory with a pattern.
 * @dma: the calling worker's.
 * @iova: I/O address, of any alignment.
 * @pattern: eight bytes, repeated from @iova on, the least significant first.
 * @len: bytes, not only multiples of eight.
 * @what: what this is.
 *
 * Context: worker.
 *
 * Return: as uvfio_dma_write().
 */
static inline int uvfio_dma_fill(struct uvfio_dma *dma, uint64_t iova, uint64_t pattern, size_t len,
				 const char *what)
{
	return dma->dev->calls->dma_fill(dma, iova, pattern, len, what);
}

/**
 * uvfio_dma_begin() - begin a DMA section.
 * @dma: the calling worker's.
 *
 * What uvfio_dma_map() gives is valid to the end of the section: an unmap by the driver waits for it. So a
 * section is short, and waits for nothing that the program or another thread of the device does. Sections
 * nest. The calls above make one of their own. Context: worker.
 */
static inline void uvfio_dma_begin(struct uvfio_dma *dma)
{
	dma->dev->calls->dma_begin(dma);
}

/** uvfio_dma_end() - end a DMA section. */
static inline void uvfio_dma_end(struct uvfio_dma *dma)
{
	dma->dev->calls->dma_end(dma);
}

/**
 * uvfio_dma_map() - the memory behind an I/O range, for I/O without a copy.
 * @dma: the calling worker's, inside a section.
 * @iova: I/O address.
 * @len: bytes.
 * @write: the device is going to write there.
 * @iov: pieces of the process's own memory, to be used with system calls (preadv(2), pwritev(2), ...), which
 *   survive that the program takes memory away. Reading or writing them directly does not.
 * @nr: how many of @iov are used; pieces are appended there.
 * @max: how many there are in @iov.
 * @what: what this is.
 *
 * Valid to the end of the section. Context: worker.
 *
 * Return: 0, or
 *   -EFAULT	as uvfio_dma_read()
 *   -E2BIG	more pieces than @max
 *   -EPERM	as uvfio_dma_read()
 *   -EREMOTE	not memory of this process: use uvfio_dma_read() and uvfio_dma_write()
 */
static inline int uvfio_dma_map(struct uvfio_dma *dma, uint64_t iova, size_t len, bool write,
				struct iovec *iov, unsigned int *nr, unsigned int max, const char *what)
{
	return dma->dev->calls->dma_map(dma, iova, len, write, iov, nr, max, what);
}

/**
 * uvfio_dma_report_lost() - a system call on pieces from uvfio_dma_map() has failed with EFAULT.
 * @dma: the calling worker's.
 * @iova: I/O address, as for uvfio_dma_map().
 * @len: bytes.
 * @write: as for uvfio_dma_map().
 * @what: what this is.
 *
 * Reports which page the program has taken away. Context: worker.
 */
static inline void uvfio_dma_report_lost(struct uvfio_dma *dma, uint64_t iova, size_t len, bool write,
					 const char *what)
{
	dma->dev->calls->dma_report_lost(dma, iova, len, write, what);
}

/* ---- Workers
 *
 * A worker is a thread of the device that runs a function each time it has been kicked. It exists while the
 * device is open: it is started before open is called and ended after close, and starts anew in the child of
 * a fork. During open, reset and close it does not run, and kicks from before are forgotten.
 */

/**
 * uvfio_worker_new() - a worker.
 * @dev: the device.
 * @name: for debuggers and traces: at most 8 characters.
 * @run: its function. Called once for one or several kicks; a kick that comes while it runs makes it run
 *   again.
 * @arg: for worker->arg.
 *
 * Ends with the device. Context: create.
 *
 * Return: the worker, or NULL and in errno
 *   ENOMEM	no memory
 *   EINVAL	no name or no function
 *   EPERM	create is over: make all workers there, and kick them when there is work
 */
static inline struct uvfio_worker *uvfio_worker_new(struct uvfio_device *dev, const char *name,
						    void (*run)(struct uvfio_worker *worker), void *arg)
{
	return dev->calls->worker_new(dev, name, run, arg);
}

/**
 * uvfio_worker_kick() - run the worker's function soon.
 * @worker: the worker.
 *
 * What was stored before the kick is seen by the function. Context: any, signal handlers among them.
 */
static inline void uvfio_worker_kick(struct uvfio_worker *worker)
{
	worker->dev->calls->worker_kick(worker);
}

/**
 * uvfio_worker_kick_after() - a timer: kick the worker once, later.
 * @worker: the worker.
 * @ns: nanoseconds from now on; 0 takes back what was set. A later call replaces an earlier one.
 *
 * The worker is not early; on a busy machine it is late. Context: worker (its own), access.
 */
static inline void uvfio_worker_kick_after(struct uvfio_worker *worker, uint64_t ns)
{
	worker->dev->calls->worker_kick_after(worker, ns);
}

/**
 * uvfio_worker_stopping() - should the worker's function return now?
 * @worker: the calling worker.
 *
 * True when a reset, close or removal waits for the function, which must return soon then: ask in every loop
 * that can take long. Work that is left is not to be done. Who waits for longer than five seconds says so in
 * a line on standard error, with the worker's name.
 * Context: worker.
 */
static inline bool uvfio_worker_stopping(const struct uvfio_worker *worker)
{
	return worker->dev->calls->worker_stopping(worker);
}

/* ---- Log and trace */

/**
 * uvfio_log() - one line on standard error, about something that the user should mend.
 * @dev: the device; its name stands in front.
 * @fmt: what is wrong and what would be right; no line break (control characters are printed as '?').
 *
 * While open is called, what is logged last is the reason that traces of ioctls give if it fails.
 *
 * A driver can make a device say the same thing a million times: see uvfio_log_once(). Context: any.
 */
__attribute__((format(printf, 2, 3))) static inline void uvfio_log(struct uvfio_device *dev, const char *fmt,
								   ...)
{
	va_list ap;

	va_start(ap, fmt);
	dev->calls->log(dev, fmt, ap);
	va_end(ap);
}

/**
 * uvfio_log_once() - the same, once for each place.
 * @dev: the device.
 * @place: any number that stands for what it is about: a register's offset, a queue's number.
 * @fmt: as for uvfio_log().
 *
 * Context: any.
 */
__attribute__((format(printf, 3, 4))) static inline void uvfio_log_once(struct uvfio_device *dev,
									uint64_t place, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	dev->calls->log_once(dev, place, fmt, ap);
	va_end(ap);
}

/** uvfio_now() - nanoseconds of CLOCK_MONOTONIC. Context: any. */
static inline uint64_t uvfio_now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

/**
 * uvfio_trace_on() - does anybody look at the device's commands (--trace=cmd)?
 * @dev: the device.
 *
 * Costs next to nothing. Ask before uvfio_trace(). Context: any.
 */
static inline bool uvfio_trace_on(const struct uvfio_device *dev)
{
	return __builtin_expect(__atomic_load_n(dev->trace_on, __ATOMIC_RELAXED) != 0, 0);
}

/**
 * uvfio_trace() - something happened in the device.
 * @dev: the device: the event's track on the timeline.
 * @name: short and constant: "copy".
 * @start_ns: uvfio_now() when it began; 0: it took no time.
 * @fmt: details, "key=value key=value".
 *
 * Register accesses, DMA and interrupts are traced without this. Context: any.
 */
__attribute__((format(printf, 4, 5))) static inline void
uvfio_trace(struct uvfio_device *dev, const char *name, uint64_t start_ns, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	dev->calls->trace(dev, name, start_ns, fmt, ap);
	va_end(ap);
}

/**
 * uvfio_count_command() - a command of the device is done, for `uvfio run --summary`.
 * @dev: the device.
 * @failed: it ended in an error that the driver is told of.
 *
 * Context: any.
 */
static inline void uvfio_count_command(struct uvfio_device *dev, bool failed)
{
	dev->calls->count_command(dev, failed);
}

/* ---- Notifiers: the virtual machine that a device serves, and memory that is being unmapped
 *
 * A VMM ties its VM to a device by the KVM-VFIO device (KVM_DEV_VFIO_FILE_ADD), before it opens the device,
 * later, or never; it may tie it to another VM. Who registers late is told at once what is so already.
 *
 * The VM is valid from the call of set_kvm that brings it to the return of the call with NULL: the VM's end
 * waits for that. It is told apart from others by its address, and else nothing is known of it here.
 *
 * Where callbacks run, beside the contexts above:
 *
 *   set_kvm    A thread that makes an ioctl, opens or closes the device, or registers. One at a time for all
 *              devices of an IOMMU group; others that change a VM, register or unregister there wait. Workers
 *              of the device run. It may block, not for long; it may call everything that control context may
 *              call, and both functions below, also for its own notifier.
 *   dma_unmap  A thread that unmaps. Several notifiers at once, and at the same time as set_kvm. It may
 *              unpin, and unregister its own notifier.
 *
 * Neither opens, closes or maps anything by ioctls. Do not register or unregister while you hold a lock that
 * one of your callbacks takes; and two callbacks must not unregister each other's notifiers.
 */

/* To be zeroed, but for the callbacks; one of them may be NULL. */
struct uvfio_notifier {
	/* The device serves kvm from now on; NULL: the one of which it was told before is not to be used any
	 * more. Always in turn: a VM, NULL, a VM, ... */
	void (*set_kvm)(struct uvfio_notifier *notifier, struct kvm *kvm);
	/* What is mapped at [iova, iova + length) is going to be unmapped: unpin the pages there. */
	void (*dma_unmap)(struct uvfio_notifier *notifier, uint64_t iova, uint64_t length);
	struct uvfio_device *dev; /* set by registering */
	void *host;               /* not the model's; NULL: it is not registered */
};

/**
 * uvfio_register_notifier() - be told of a device's VM, and of unmaps.
 * @dev: the device.
 * @notifier: lives until it is unregistered.
 *
 * When the device serves a VM, set_kvm is called with it before this returns. To be unregistered before the
 * end of the device; mediated drivers that only need this while they are open have set_kvm in their ops.
 * Context: control but create and destroy, worker, set_kvm.
 *
 * Return: 0, or
 *   -EINVAL	no callback
 *   -EEXIST	it is registered already
 *   -EOPNOTSUPP dma_unmap for a device that has an IOMMU: its DMA needs no pinned pages
 *   -ENODEV	the device is in create
 *   -ENOMEM	no memory
 */
static inline int uvfio_register_notifier(struct uvfio_device *dev, struct uvfio_notifier *notifier)
{
	return dev->calls->register_notifier(dev, notifier);
}

/**
 * uvfio_unregister_notifier() - the end of that.
 * @dev: the device.
 * @notifier: may be freed, or registered again, when this returns.
 *
 * When it has been told of a VM it is told NULL first, unless this is called from inside its own set_kvm: its
 * VM is then valid to the end of that. When this returns none of its callbacks runs but the one that this is
 * called from. Context: control but create, worker, set_kvm, dma_unmap.
 *
 * Return: 0, or -ENOENT: it is not registered, or another thread is unregistering it.
 */
static inline int uvfio_unregister_notifier(struct uvfio_device *dev, struct uvfio_notifier *notifier)
{
	return dev->calls->unregister_notifier(dev, notifier);
}

/* ---- The rest */

/**
 * uvfio_private_fd() - move a descriptor out of the program's way.
 * @dev: the device.
 * @fd: a descriptor that the model has opened; negative: nothing happens.
 *
 * Programs count on getting low numbers, and close what they do not know. Context: control, worker.
 *
 * Return: the descriptor's new number, close-on-exec; @fd when it is negative. To be closed with
 *   uvfio_private_fd_close().
 */
static inline int uvfio_private_fd(struct uvfio_device *dev, int fd)
{
	return dev->calls->private_fd(fd);
}

/** uvfio_private_fd_close() - close a descriptor from uvfio_private_fd(); negative: nothing happens. */
static inline void uvfio_private_fd_close(struct uvfio_device *dev, int fd)
{
	dev->calls->private_fd_close(fd);
}

/**
 * uvfio_unplug() - the device vanishes: a surprise removal.
 * @dev: the device.
 *
 * From now on registers read as all ones, writes and DMA go nowhere, no interrupt comes but ERR, which is
 * raised once. The device's callbacks are called no more but reset and close; its workers still are. Returns
 * at once; what is left happens when the program closes the device. Context: any but control, while the
 * device is open.
 */
static inline void uvfio_unplug(struct uvfio_device *dev)
{
	dev->calls->unplug(dev);
}

/**
 * uvfio_create_error() - why a device cannot be made.
 * @err: from create (of a mediated driver: parent_create).
 * @err_len: from create.
 * @error: a positive errno.
 * @fmt: one line that names the option and says what would be right; no line break. uvfio says in front which
 *   device it is about.
 *
 * Return: -@error, for create to return. Context: create.
 */
#define uvfio_create_error(err, err_len, error, ...) ((void)snprintf(err, err_len, __VA_ARGS__), -(error))

/* ---- A plug-in's entry: made by UVFIO_PCI_PLUGIN() or UVFIO_MDEV_PLUGIN() */

struct uvfio_pci_model;
struct uvfio_mdev_driver;

struct uvfio_plugin {
	uint16_t major, minor;
	const struct uvfio_pci_model *pci;    /* one of the two */
	const struct uvfio_mdev_driver *mdev; /* since 1.1 */
};

#ifdef __cplusplus
}
#endif

#endif
