/* SPDX-License-Identifier: BSD-2-Clause */
/* The bench of test_rig.h. */
#include "devices/ioat/test_rig.h"

#include <sched.h>
#include <stdlib.h>
#include <string.h>

/* Driver and device share memory by design, as with hardware: ThreadSanitizer looks at everything else. */
const char *__tsan_default_suppressions(void);
const char *__tsan_default_suppressions(void)
{
	return "race:rig_copy_bytes\n";
}

static struct rig *rig_of(struct uvfio_device *dev)
{
	return container_of(dev, struct rig, func.dev);
}

/* ---- DMA */

/* How many of the bytes are accessible from the first on. */
static uint64_t reach(struct rig *rig, uint64_t iova, uint64_t len, unsigned int access)
{
	uint64_t at = iova;

	while (at - iova < len && at < RIG_MEMORY && rig->access[at / 4096] & access)
		at = align_down(at, 4096) + 4096;
	return at == iova ? 0 : MIN(at - iova, len);
}

__attribute__((noinline)) static void rig_copy_bytes(void *to, const void *from, size_t len)
{
	if (len == 8 && is_aligned((uintptr_t)to, 8) && is_aligned((uintptr_t)from, 8))
		__atomic_store_n((uint64_t *)to, *(const uint64_t *)from, __ATOMIC_RELEASE);
	else
		memmove(to, from, len);
}

static void before_write(struct rig *rig, uint64_t iova)
{
	if (rig->before_write)
		rig->before_write(rig, iova);
	atomic_fetch_add(&rig->pieces, 1);
}

static int dma_read(struct uvfio_dma *dma, uint64_t iova, void *buf, size_t len, const char *what)
{
	struct rig *rig = rig_of(dma->dev);
	uint64_t n = reach(rig, iova, len, RIG_R);

	assert_non_null(what);
	rig_copy_bytes(buf, rig->memory + iova % RIG_MEMORY, n);
	return n == len ? 0 : -EFAULT;
}

static int dma_write(struct uvfio_dma *dma, uint64_t iova, const void *buf, size_t len, const char *what)
{
	struct rig *rig = rig_of(dma->dev);
	uint64_t n = reach(rig, iova, len, RIG_W);

	assert_non_null(what);
	before_write(rig, iova);
	rig_copy_bytes(rig->memory + iova % RIG_MEMORY, buf, n);
	return n == len ? 0 : -EFAULT;
}

static int dma_copy(struct uvfio_dma *dma, uint64_t dst, uint64_t src, size_t len, const char *what,
		    bool *dst_failed)
{
	struct rig *rig = rig_of(dma->dev);
	uint64_t in, out;

	assert_non_null(what);
	before_write(rig, dst);
	in = reach(rig, src, len, RIG_R);
	out = reach(rig, dst, len, RIG_W);
	rig_copy_bytes(rig->memory + dst % RIG_MEMORY, rig->memory + src % RIG_MEMORY, MIN(in, out));
	*dst_failed = out < in;
	return MIN(in, out) == len ? 0 : -EFAULT;
}

static int dma_fill(struct uvfio_dma *dma, uint64_t iova, uint64_t pattern, size_t len, const char *what)
{
	struct rig *rig = rig_of(dma->dev);
	uint64_t n = reach(rig, iova, len, RIG_W);

	assert_non_null(what);
	before_write(rig, iova);
	for (uint64_t i = 0; i < n; i++)
		rig->memory[iova + i] = (uint8_t)(pattern >> i % 8 * 8);
	return n == len ? 0 : -EFAULT;
}

/* ---- workers */

static struct uvfio_worker *worker_new(struct uvfio_device *dev, const char *name,
				       void (*run)(struct uvfio_worker *), void *arg)
{
	struct rig *rig = rig_of(dev);

	assert_true(strlen(name) <= 8);
	assert_true(run == ioat_run);
	rig->dma.dev = dev;
	rig->worker = (struct uvfio_worker){ dev, &rig->dma, arg };
	return &rig->worker;
}

static void worker_kick(struct uvfio_worker *worker)
{
	struct rig *rig = rig_of(worker->dev);

	atomic_store(&rig->kicked, true);
	if (rig->threaded) {
		pthread_mutex_lock(&rig->lock);
		pthread_cond_signal(&rig->cond);
		pthread_mutex_unlock(&rig->lock);
	}
}

static void worker_kick_after(struct uvfio_worker *worker, uint64_t ns)
{
	struct timespec ts = { (time_t)(ns / 1000000000), (long)(ns % 1000000000) };

	nanosleep(&ts, NULL);
	atomic_fetch_add(&rig_of(worker->dev)->delays, 1);
	worker_kick(worker);
}

static bool worker_stopping(const struct uvfio_worker *worker)
{
	return atomic_load(&rig_of(worker->dev)->stopping);
}

static void *worker_main(void *arg)
{
	struct rig *rig = arg;

	for (;;) {
		pthread_mutex_lock(&rig->lock);
		while (!atomic_load(&rig->kicked) && !atomic_load(&rig->stopping))
			pthread_cond_wait(&rig->cond, &rig->lock);
		pthread_mutex_unlock(&rig->lock);
		if (atomic_load(&rig->stopping))
			return NULL;
		atomic_store(&rig->kicked, false);
		ioat_run(&rig->worker);
	}
}

void rig_start(struct rig *rig)
{
	rig->threaded = true;
	assert_int_equal(pthread_create(&rig->thread, NULL, worker_main, rig), 0);
}

void rig_stop(struct rig *rig)
{
	pthread_mutex_lock(&rig->lock);
	atomic_store(&rig->stopping, true);
	pthread_cond_signal(&rig->cond);
	pthread_mutex_unlock(&rig->lock);
	pthread_join(rig->thread, NULL);
	atomic_store(&rig->stopping, false);
	rig->threaded = false;
}

void rig_run(struct rig *rig)
{
	while (atomic_exchange(&rig->kicked, false))
		ioat_run(&rig->worker);
}

/* ---- the rest of the host */

static void host_trace(struct uvfio_device *dev, const char *name, uint64_t start, const char *fmt,
		       va_list ap)
{
	char text[256];

	assert_non_null(name);
	assert_true(start > 0);
	assert_true(vsnprintf(text, sizeof(text), fmt, ap) < (int)sizeof(text));
	atomic_fetch_add(&rig_of(dev)->traces, 1);
}

static void count_command(struct uvfio_device *dev, bool failed)
{
	atomic_fetch_add(failed ? &rig_of(dev)->failed : &rig_of(dev)->done, 1);
}

static const struct uvfio_device_calls device_calls = {
	.dma_read = dma_read,
	.dma_write = dma_write,
	.dma_copy = dma_copy,
	.dma_fill = dma_fill,
	.worker_new = worker_new,
	.worker_kick = worker_kick,
	.worker_kick_after = worker_kick_after,
	.worker_stopping = worker_stopping,
	.trace = host_trace,
	.count_command = count_command,
};

static void irq(struct uvfio_pci_func *func, unsigned int vector)
{
	assert_int_equal(vector, 0);
	atomic_fetch_add(&container_of(func, struct rig, func)->irqs, 1);
}

static void intx(struct uvfio_pci_func *func, bool level)
{
	atomic_store(&container_of(func, struct rig, func)->line, level);
}

static enum uvfio_irq_mode irq_mode(struct uvfio_pci_func *func)
{
	return container_of(func, struct rig, func)->mode;
}

static uint32_t config_read(struct uvfio_pci_func *func, unsigned int offset)
{
	struct rig *rig = container_of(func, struct rig, func);

	assert_int_equal(offset, IOAT_CFG_CHANERRMSK_INT);
	return atomic_load(&rig->chanerrmsk_int);
}

static void config_update(struct uvfio_pci_func *func, unsigned int offset, uint32_t clear, uint32_t set)
{
	struct rig *rig = container_of(func, struct rig, func);

	assert_int_equal(offset, IOAT_CFG_CHANERR_INT);
	assert_int_equal(clear, 0);
	atomic_fetch_or(&rig->chanerr_int, set);
}

static const struct uvfio_pci_calls pci_calls = {
	.irq = irq,
	.intx = intx,
	.irq_mode = irq_mode,
	.config_read = config_read,
	.config_update = config_update,
};

/* ---- making one */

static int create(struct rig *rig, const char *profile, unsigned int xfercap, char *err, size_t err_len)
{
	rig->options.profile = (char *)(uintptr_t)profile;
	rig->options.xfercap = xfercap;
	rig->func.calls = &pci_calls;
	rig->func.dev.calls = &device_calls;
	rig->func.dev.name = "0000:00:01.0";
	rig->func.dev.options = &rig->options;
	rig->func.dev.trace_on = &rig->trace_on;
	rig->func.dev.priv = calloc(1, ioat_model.priv_size);
	assert_non_null(rig->func.dev.priv);
	rig->ioat = rig->func.dev.priv;
	rig->desc = ioat_model.desc;
	return ioat_model.ops.create(&rig->func, &rig->desc, err, err_len);
}

struct rig *rig_new(const char *profile, unsigned int xfercap)
{
	struct rig *rig = calloc(1, sizeof(*rig));
	char err[128] = "";

	assert_non_null(rig);
	rig->memory = calloc(1, RIG_MEMORY);
	assert_non_null(rig->memory);
	memset(rig->access + 1, RIG_R | RIG_W, RIG_PAGES - 1);
	pthread_mutex_init(&rig->lock, NULL);
	pthread_cond_init(&rig->cond, NULL);
	rig->mode = UVFIO_IRQ_MSIX;
	if (create(rig, profile, xfercap, err, sizeof(err)))
		fail_msg("%s", err);
	ioat_model.ops.reset(&rig->func);
	rig_write(rig, IOAT_REG_CHANCMP, RIG_CMP, 8);
	return rig;
}

void rig_free(struct rig *rig)
{
	if (rig->threaded)
		rig_stop(rig);
	ioat_model.ops.destroy(&rig->func);
	pthread_cond_destroy(&rig->cond);
	pthread_mutex_destroy(&rig->lock);
	free(rig->func.dev.priv);
	free(rig->memory);
	free(rig);
}

int rig_try(const char *profile, char *err, size_t err_len)
{
	struct rig *rig = calloc(1, sizeof(*rig));
	int rc;

	assert_non_null(rig);
	rc = create(rig, profile, 20, err, err_len);
	ioat_model.ops.destroy(&rig->func);
	free(rig->func.dev.priv);
	free(rig);
	return rc;
}

/* ---- what a driver does */

uint64_t rig_read(struct rig *rig, uint64_t offset, unsigned int size)
{
	return ioat_model.ops.read(&rig->func, 0, offset, size);
}

void rig_write(struct rig *rig, uint64_t offset, uint64_t value, unsigned int size)
{
	ioat_model.ops.write(&rig->func, 0, offset, value, size);
}

void rig_access(struct rig *rig, uint64_t iova, uint64_t size, unsigned int access)
{
	memset(rig->access + iova / 4096, (int)access, size / 4096);
}

struct ioat_desc *rig_desc(struct rig *rig, unsigned int i, uint32_t op, uint32_t flags, uint32_t size,
			   uint64_t src, uint64_t dst)
{
	struct ioat_desc *desc = (void *)(rig->memory + SLOT(i));

	*desc = (struct ioat_desc){
		.size = size, .ctl = op << 24 | flags, .src = src, .dst = dst, .next = SLOT(i + 1)
	};
	return desc;
}

void rig_go(struct rig *rig, uint16_t count)
{
	rig_write(rig, IOAT_REG_CHANCTRL, CTRL_ALL, 2);
	rig_write(rig, IOAT_REG_CHAINADDR, SLOT(0), 8);
	rig_write(rig, IOAT_REG_DMACOUNT, count, 2);
}

uint64_t rig_completion(struct rig *rig)
{
	return __atomic_load_n((uint64_t *)(void *)(rig->memory + RIG_CMP), __ATOMIC_ACQUIRE);
}

void rig_await(struct rig *rig, unsigned int state)
{
	uint64_t end = uvfio_now() + 10000000000u;

	while ((rig_sts(rig) & 7) != state) {
		assert_true(uvfio_now() < end);
		sched_yield();
	}
}

void rig_pattern(uint8_t *buf, size_t len, unsigned int seed)
{
	uint32_t x = seed * 2654435761u + 1;

	for (size_t i = 0; i < len; i++) {
		x = x * 1664525u + 1013904223u;
		buf[i] = (uint8_t)(x >> 24);
	}
}
