/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The host's side of <uvfio/device.h>: what is behind a device model's calls, whatever kind of device it is.
 *
 * A host belongs to one device. pci/ embeds one in each function, opens and closes it with the device, and
 * holds the device's workers still while it calls the model's control callbacks.
 */
#ifndef UVFIO_MODEL_MODEL_H
#define UVFIO_MODEL_MODEL_H

#include "iommu/dma.h"

#include <pthread.h>
#include <urcu/list.h>
#include <uvfio/device.h>

struct vfio_device;

#define MODEL_SAID    128

#define MODEL_SLOTS   32u
#define MODEL_NO_SLOT UINT32_MAX

/* The callbacks under way: see watch.c. */
struct model_watch {
	bool wanted;  /* set by the owner before the first open, with who */
	bool started; /* between open and close */
	bool end;     /* under lock */
	pthread_t thread;
	pthread_mutex_t lock;
	pthread_cond_t cond;
	_Atomic uint32_t busy; /* a bit for each slot */
	struct {
		_Atomic uint64_t number;
		_Atomic(const char *) what;
	} calls[MODEL_SLOTS];
};

/* gate and what it protects: see worker.c. */
struct model_host {
	struct uvfio_device *dev;
	struct iommu_dev *iommu;
	struct vfio_device *vdev; /* set by the owner: whose notifiers the model registers */
	/* The device vanishes: called from any thread, must not block. */
	void (*unplug)(struct uvfio_device *dev);
	const char *who; /* the device and its model's file, for reports; NULL: there are none */
	bool created;    /* no worker is made any more */
	struct model_watch watch;
	struct cds_list_head workers;
	pthread_mutex_t gate;
	pthread_cond_t gate_cond;
	unsigned int holds;    /* under gate: nobody may run */
	_Atomic bool stopping; /* somebody holds, or waits to */
	_Atomic bool spinning; /* a worker spins before it sleeps */
};

/* Fill in the model's device and its host. The rest of dev is the caller's. */
void model_host_init(struct model_host *host, struct uvfio_device *dev, struct iommu_dev *iommu);
void model_host_destroy(struct model_host *host); /* closed */
/* The model's create is over. */
void model_host_created(struct model_host *host);

/* Start the workers, held. 0 or -errno, with none started. */
int model_host_open(struct model_host *host);
/* End them. Held before or not, they are gone then. */
void model_host_close(struct model_host *host);

/*
 * Wait until no worker runs, and let none run; forget kicks. Nests. what: who waits, "reset": after
 * model_patience a line on standard error names the worker.
 */
void model_host_hold(struct model_host *host, const char *what);
void model_host_release(struct model_host *host);

/* Make one line "WHOSE: TEXT" of what a model wrote to text, which has len bytes; of nothing, nothing. */
void model_blame(const char *whose, char *text, size_t len);

/* What the model logs in this thread goes to said, too, of MODEL_SAID bytes, until it is NULL. */
void model_opening(const struct model_host *host, char *said);

/*
 * What the program gets when a callback ("the model's open") returned rc instead of 0: a negative errno that
 * the trace explains; said: what was logged meanwhile.
 */
int model_refused(const char *callback, int rc, const char *said);

/* This is the child of a fork: the workers are gone. For a device that is open and this
 * process's now they start with model_host_open() again; kicks from here on are kept. */
void model_host_forked(struct model_host *host);

/* watch.c. Around a callback: what begin returns is for end. */
unsigned int model_call_slot(struct model_watch *watch, const char *what);
void model_call_over(struct model_watch *watch, unsigned int slot);

static inline unsigned int model_call_begin(struct model_host *host, const char *what)
{
	return unlikely(host->watch.started) ? model_call_slot(&host->watch, what) : MODEL_NO_SLOT;
}

static inline void model_call_end(struct model_host *host, unsigned int slot)
{
	if (unlikely(slot != MODEL_NO_SLOT))
		model_call_over(&host->watch, slot);
}

/* For waits that end at a time of CLOCK_MONOTONIC. */
void model_cond_init(pthread_cond_t *cond);

void model_watch_init(struct model_host *host);
void model_watch_start(struct model_host *host);
void model_watch_stop(struct model_host *host);

extern uint64_t model_patience; /* ns; tests want less */
/* Called with that line, too, with no more locks held than for the wait; NULL at first. */
extern void (*model_waits)(const char *device, const char *line);

extern const struct uvfio_device_calls model_calls;

/* notify.c, for model_calls */
int notifier_register(struct uvfio_device *dev, struct uvfio_notifier *pub);
int notifier_unregister(struct uvfio_device *dev, struct uvfio_notifier *pub);

/* worker.c, for model_calls */
/* The dma of the worker that is the calling thread; NULL. */
extern __thread struct uvfio_dma *worker_dma __attribute__((tls_model("initial-exec"), visibility("hidden")));
struct uvfio_worker *worker_new(struct uvfio_device *dev, const char *name,
				void (*run)(struct uvfio_worker *worker), void *arg);
void worker_kick(struct uvfio_worker *worker);
void worker_kick_after(struct uvfio_worker *worker, uint64_t ns);
bool worker_stopping(const struct uvfio_worker *worker);

#endif
