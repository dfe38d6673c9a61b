/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The NVM Express controller: what its files share.
 *
 * Client threads touch registers only (regs.c): they store atomically, note what is to be done, and wake a
 * worker. Workers (worker.c) do everything else. A worker enters the controller before it works and leaves it
 * afterwards; a controller that is frozen has no worker inside, which is how resets are made.
 *
 * Vocabulary
 *   kick      a client tells the workers that there is something to do
 *   section   a stretch in which a worker uses client memory (iommu/dma.h)
 *   reserve   to set aside a free completion queue entry before a command is taken, so that no completion is
 * ever lost stalled   a completion queue has run full; its head doorbell kicks the submission queues that
 * wait for it long      an operation that may block: another worker is put on guard meanwhile
 *
 * Lock order: control_lock, gate; admin_lock, then intx_lock, nvme_sq.lock, nvme_cq.lock, log.lock. gate and
 * log.lock are innermost. No lock is held while file or client memory is accessed, except a queue's own lock
 * for the queue's own entries and admin_lock for the data of admin commands; none but intx_lock and
 * admin_lock while an interrupt is raised.
 */
#ifndef UVFIO_DEVICES_NVME_NVME_H
#define UVFIO_DEVICES_NVME_NVME_H

#include "base/base.h"
#include "devices/nvme/spec.h"

#include <pthread.h>
#include <uvfio/pci.h>

#define NVME_MAX_QUEUES  64                    /* I/O queue pairs */
#define NVME_QIDS        (NVME_MAX_QUEUES + 1) /* with the admin queue */
#define NVME_VECTORS     NVME_QIDS
#define NVME_MQES        4095 /* largest queue, zero-based */
#define NVME_MAX_THREADS 16
#define NVME_MAX_NS      256
#define NVME_AERL        3 /* zero-based: outstanding Asynchronous Event Requests */
#define NVME_ACL         3
#define NVME_ERROR_LOG   64
#define NVME_TEMPERATURE 313 /* kelvin */

#define NVME_CHUNK       (1u << 20)  /* bytes moved in one section */
#define NVME_LONG        (64u << 10) /* a transfer from here on is long */
#define NVME_BOUNCE      (128u << 10)
#define NVME_MAX_IOV     288 /* a page-wise fragmented chunk that begins amid a page fits */
#define NVME_PRP_BATCH   512

struct nvme_ctrl;
struct nvme_worker;

struct nvme_options {
	char *file;
	uint64_t size;
	uint64_t ns;
	bool readonly;
	uint64_t lba;
	uint64_t mdts;
	uint64_t queues;
	uint64_t threads;
};

/* ---- media.c: the bytes behind the namespaces, always a file: the user's, or one that stands for RAM */

struct nvme_media {
	struct uvfio_device *dev;
	int fd;
	bool readonly;
	uint64_t size;
	char *name;                                      /* for messages */
	_Atomic bool no_nowait, no_zero_range, no_punch; /* what this file cannot do, once found out */
};

int nvme_media_open(struct nvme_media *media, const struct nvme_options *opts, struct uvfio_device *dev,
		    char *err, size_t err_len);
void nvme_media_close(struct nvme_media *media);
/*
 * Move the whole of iov at offset. nowait: -EAGAIN instead of waiting for the disk, with nothing moved.
 * *moved: bytes before an error. -EFAULT: client memory is gone; -EIO also for a file that ends too early;
 * else the system call's error.
 */
int nvme_media_read(struct nvme_media *media, struct iovec *iov, unsigned int nr, uint64_t offset,
		    bool nowait, size_t *moved);
int nvme_media_write(struct nvme_media *media, struct iovec *iov, unsigned int nr, uint64_t offset, bool sync,
		     size_t *moved);
int nvme_media_flush(struct nvme_media *media);
/* Make the range read as zeroes. deallocate: give the space back where the file system can. */
int nvme_media_zero(struct nvme_media *media, uint64_t offset, uint64_t len, bool deallocate);
/* A hint: -EOPNOTSUPP is not an error. */
int nvme_media_deallocate(struct nvme_media *media, uint64_t offset, uint64_t len);
/* Bytes of [offset, offset+len) that occupy space. */
uint64_t nvme_media_used(struct nvme_media *media, uint64_t offset, uint64_t len);

/* ---- namespaces */

struct nvme_ns {
	uint32_t nsid;
	uint64_t start;  /* bytes into the media */
	uint64_t blocks; /* of 1 << lba_shift bytes */
};

/* ---- queue.c */

struct nvme_cq {
	pthread_mutex_t lock;
	_Atomic bool live;
	uint16_t qid;
	_Atomic uint32_t size;
	_Atomic uint32_t head; /* the doorbell; may hold nonsense for a moment while the queue is made anew */
	_Atomic uint32_t tail; /* written under lock */
	uint64_t base;
	bool phase;
	uint32_t reserved;
	unsigned int users; /* submission queues; under admin_lock */
	uint16_t vector;
	bool irq_enabled;
	_Atomic bool stalled;
};

struct nvme_sq {
	pthread_mutex_t lock;
	pthread_cond_t drained; /* inflight has become 0 */
	_Atomic bool live;
	uint16_t qid;
	_Atomic uint32_t size;
	_Atomic uint32_t tail; /* the doorbell */
	_Atomic uint32_t head; /* written under lock */
	uint64_t base;
	struct nvme_cq *cq;
	uint32_t inflight; /* taken and not completed; without parked event requests */
};

/* A command that a worker has taken: its entry was copied once and is never read again. */
struct nvme_cmd {
	struct nvme_sqe sqe;
	struct nvme_sq *sq;
	uint32_t result;
	uint64_t start_ns; /* for the trace; 0 when off */
};

void nvme_queues_init(struct nvme_ctrl *ctrl);
void nvme_queues_destroy(struct nvme_ctrl *ctrl);
void nvme_queues_drop(struct nvme_ctrl *ctrl); /* frozen */
void nvme_cq_create(struct nvme_ctrl *ctrl, uint16_t qid, uint32_t size, uint64_t base, uint16_t vector,
		    bool irq_enabled);
void nvme_sq_create(struct nvme_ctrl *ctrl, uint16_t qid, uint32_t size, uint64_t base, struct nvme_cq *cq);
void nvme_sq_delete(struct nvme_sq *sq); /* waits for commands under way */
void nvme_cq_delete(struct nvme_cq *cq);
/* Client context: a doorbell has been written. */
void nvme_sq_doorbell(struct nvme_ctrl *ctrl, unsigned int qid, uint32_t value);
void nvme_cq_doorbell(struct nvme_ctrl *ctrl, unsigned int qid, uint32_t value);
/* Take the next command: true and *cmd, or false. */
bool nvme_sq_take(struct nvme_worker *w, struct nvme_sq *sq, struct nvme_cmd *cmd);
/* How many entries wait in the queue now. */
uint32_t nvme_sq_pending(const struct nvme_sq *sq);
void nvme_complete(struct nvme_worker *w, struct nvme_cmd *cmd, uint16_t status);
/* A parked command holds no entry of its completion queue; wake it with unpark (false: queue full), then
 * complete it. */
void nvme_park(struct nvme_cmd *cmd);
bool nvme_unpark(struct nvme_cmd *cmd);
void nvme_irq_flush(struct nvme_worker *w); /* signal what has been posted */
void nvme_intx_update(struct nvme_ctrl *ctrl);

/* ---- worker.c */

struct nvme_segment {
	uint64_t iova;
	uint64_t len;
};

struct nvme_worker {
	struct nvme_ctrl *ctrl;
	struct uvfio_worker *worker;
	struct uvfio_dma *dma;
	_Atomic bool busy; /* in an operation that may block */
	/* completions posted and not yet signalled */
	bool irq_due;
	uint16_t irq_vector;
	uint32_t irq_cost;
	/* buffers for one command */
	uint8_t *bounce[2]; /* NVME_BOUNCE bytes each */
	struct iovec iov[NVME_MAX_IOV];
	struct nvme_segment segs[NVME_MAX_IOV];
	uint64_t prps[NVME_PRP_BATCH];
};

/* What a kick asks for. */
enum nvme_control {
	NVME_CONTROL_RESET = 1,
	NVME_CONTROL_ENABLE = 2,
	NVME_CONTROL_SHUTDOWN = 4,
};

void nvme_kick(struct nvme_ctrl *ctrl);                            /* client context */
void nvme_kick_sq(struct nvme_ctrl *ctrl, unsigned int qid);       /* client context */
void nvme_kick_control(struct nvme_ctrl *ctrl, unsigned int what); /* client context */
int nvme_workers_new(struct nvme_ctrl *ctrl);
void nvme_workers_free(struct nvme_ctrl *ctrl);
bool nvme_worker_pass(struct nvme_worker *w); /* do what there is to do; false: there was nothing */
void nvme_freeze(struct nvme_ctrl *ctrl);     /* control_lock held: wait until no worker is inside */
void nvme_thaw(struct nvme_ctrl *ctrl);
/* Around an operation that may block, and in which this worker takes no further command. sq: where more may
 * wait. */
void nvme_long_begin(struct nvme_worker *w, struct nvme_sq *sq);
void nvme_long_end(struct nvme_worker *w);
bool nvme_stopping(const struct nvme_worker *w); /* a reset waits: end long commands early */

/* ---- prp.c: the data pointer of a command, as a sequence of stretches of IOVA */

struct nvme_prp {
	struct nvme_worker *w;
	uint64_t iova, len; /* the current stretch */
	uint64_t left;      /* bytes behind it */
	uint64_t page;
	uint64_t list;       /* where the next entry of the list is read */
	unsigned int at, nr; /* in w->prps */
};

/* 0, or a status. */
uint16_t nvme_prp_init(struct nvme_prp *it, struct nvme_worker *w, const struct nvme_sqe *sqe, uint64_t len);
/* Make the current stretch as long as it goes, at most max; its len is 0 at the end. 0, or a status. */
uint16_t nvme_prp_fill(struct nvme_prp *it, uint64_t max);
void nvme_prp_advance(struct nvme_prp *it, uint64_t n);
/* Copy len bytes to or from the command's data pointer. 0, or a status. */
uint16_t nvme_to_host(struct nvme_worker *w, const struct nvme_sqe *sqe, const void *buf, uint64_t len);
uint16_t nvme_from_host(struct nvme_worker *w, const struct nvme_sqe *sqe, void *buf, uint64_t len);

/* ---- admin.c, identify.c, features.c, log.c, io.c: each returns a status */

#define NVME_PARKED 0xffff /* "status" of a command that completes later */

uint16_t nvme_admin(struct nvme_worker *w, struct nvme_cmd *cmd); /* admin_lock held */
uint16_t nvme_io(struct nvme_worker *w, struct nvme_cmd *cmd);
uint16_t nvme_identify(struct nvme_worker *w, struct nvme_cmd *cmd);
uint16_t nvme_set_features(struct nvme_worker *w, struct nvme_cmd *cmd);
uint16_t nvme_get_features(struct nvme_worker *w, struct nvme_cmd *cmd);
uint16_t nvme_get_log_page(struct nvme_worker *w, struct nvme_cmd *cmd);

struct nvme_features {
	uint32_t arbitration;
	uint32_t power;
	uint32_t temp_over, temp_under; /* kelvin */
	uint32_t error_recovery;
	_Atomic bool write_cache;
	uint32_t irq_coalesce;
	uint32_t irq_config[NVME_VECTORS]; /* CD only */
	uint32_t write_atomic;
	uint32_t async_event;
};

void nvme_features_reset(struct nvme_ctrl *ctrl);

/* Asynchronous events wait as bits until a request is there to carry them. */
enum nvme_event {
	NVME_EVENT_INVALID_DB_REG,
	NVME_EVENT_INVALID_DB_VAL,
	NVME_EVENT_TEMPERATURE,
	NVME_EVENTS,
};
void nvme_event_raise(struct nvme_ctrl *ctrl, enum nvme_event event); /* any context */
void nvme_events_deliver(struct nvme_worker *w);                      /* admin_lock held */
uint16_t nvme_async_event(struct nvme_worker *w, struct nvme_cmd *cmd);
uint16_t nvme_abort(struct nvme_worker *w, struct nvme_cmd *cmd);
void nvme_events_reset(struct nvme_ctrl *ctrl);

struct nvme_log {
	pthread_mutex_t lock;                              /* log_lock: the error log */
	struct nvme_error_log_page errors[NVME_ERROR_LOG]; /* a ring */
	uint64_t error_count;
	_Atomic uint64_t blocks_read, blocks_written; /* of 512 bytes */
	_Atomic uint64_t reads, writes, media_errors;
};

void nvme_log_error(struct nvme_ctrl *ctrl, const struct nvme_cmd *cmd, uint16_t status);

/* ---- names.c: for traces */

const char *nvme_opcode_name(bool admin, uint8_t opcode);
const char *nvme_status_name(uint16_t status);
void nvme_trace_command(struct nvme_ctrl *ctrl, const struct nvme_cmd *cmd, uint16_t status);
extern const struct uvfio_register nvme_registers[];

/* ---- the controller */

struct nvme_ctrl {
	struct uvfio_pci_func *func;
	unsigned int queues; /* I/O queue pairs */
	uint64_t mdts;       /* bytes, 0 unlimited */
	unsigned int mdts_shift;
	unsigned int lba_shift;
	unsigned int nr_ns;
	struct nvme_ns *ns; /* nsid 1 .. nr_ns at [0 .. nr_ns - 1] */
	struct nvme_media media;

	/* registers: written by clients, anywhere, at any time */
	_Atomic uint32_t cc, csts, intms, aqa;
	_Atomic uint32_t asq[2], acq[2]; /* low, high */

	/* kicks */
	_Atomic uint32_t control;     /* enum nvme_control */
	_Atomic uint32_t event_kicks; /* bits of enum nvme_event, just raised */
	_Atomic uint64_t kicks[2];    /* one bit per submission queue */
	_Atomic bool unstall;         /* a stalled completion queue has got room */
	_Atomic bool intx_check;      /* the INTx line may be lowered */
	_Atomic bool line;

	/* workers */
	struct nvme_worker *workers;
	unsigned int nr_workers;
	pthread_mutex_t intx_lock;    /* computing and driving the line */
	pthread_mutex_t control_lock; /* enable, reset and shutdown, one at a time */
	pthread_mutex_t gate;
	pthread_cond_t gate_cond;
	unsigned int active;         /* workers inside; under gate */
	_Atomic unsigned int frozen; /* under gate */

	/* while enabled */
	uint64_t page; /* CC.MPS in bytes */
	struct nvme_sq sq[NVME_QIDS];
	struct nvme_cq cq[NVME_QIDS];
	pthread_mutex_t admin_lock; /* all that follows; and admin commands run one at a time */
	struct nvme_features features;
	unsigned int nr_parked;
	struct nvme_cmd parked[NVME_AERL + 1];
	uint32_t events;        /* bits of enum nvme_event that wait for a request */
	uint32_t events_masked; /* types whose log page has not been read */
	bool temperature_warned;
	struct nvme_log log;
};

/* ---- regs.c, control.c */

uint64_t nvme_bar_read(struct uvfio_pci_func *func, unsigned int bar, uint64_t offset, unsigned int size);
void nvme_bar_write(struct uvfio_pci_func *func, unsigned int bar, uint64_t offset, uint64_t value,
		    unsigned int size);
void nvme_regs_reset(struct nvme_ctrl *ctrl);
uint64_t nvme_cap(void);
#define NVME_VERSION 0x00010400u

void nvme_do_control(struct nvme_ctrl *ctrl); /* worker, outside */
void nvme_full_reset(struct nvme_ctrl *ctrl); /* power-on state */
void nvme_fatal(struct nvme_ctrl *ctrl);      /* CSTS.CFS: nothing more is done until a reset */
bool nvme_running(struct nvme_ctrl *ctrl);    /* ready, and no fatal status */

static inline struct nvme_ns *nvme_find_ns(struct nvme_ctrl *ctrl, uint32_t nsid)
{
	return nsid && nsid <= ctrl->nr_ns ? &ctrl->ns[nsid - 1] : NULL;
}

#endif
