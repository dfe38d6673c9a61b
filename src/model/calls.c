/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The table behind the functions of <uvfio/device.h>.
 *
 * DMA is refused here to all but the worker that it belongs to: what is below counts on one thread.
 */
#include "base/log.h"
#include "base/private_fd.h"
#include "base/trace.h"
#include "base/why.h"
#include "model/model.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* While this thread opens a model its last words are kept: they may be the reason why it refuses. */
static _Thread_local struct {
	const struct model_host *host;
	char *said;
} opening;

void model_opening(const struct model_host *host, char *said)
{
	opening.host = host;
	opening.said = said;
}

static void keep(const struct uvfio_device *dev, const char *text)
{
	if (!opening.said || opening.host != dev->host)
		return;
	snprintf(opening.said, MODEL_SAID, "%.*s", MODEL_SAID - 1, text);
	text_clean(opening.said);
}

static void log_line(struct uvfio_device *dev, const char *fmt, va_list ap)
{
	char text[512];

	vsnprintf(text, sizeof(text), fmt, ap);
	keep(dev, text);
	uvfio_err("%s: %s", dev->name, text);
}

static void log_once(struct uvfio_device *dev, uint64_t place, const char *fmt, va_list ap)
{
	char text[512];

	vsnprintf(text, sizeof(text), fmt, ap);
	keep(dev, text);
	uvfio_err_once(place ^ (uintptr_t)fmt ^ (uintptr_t)dev, "%s: %s", dev->name, text);
}

static void trace(struct uvfio_device *dev, const char *name, uint64_t start_ns, const char *fmt, va_list ap)
{
	char text[512];

	vsnprintf(text, sizeof(text), fmt, ap);
	text_clean(text);
	trace_emit(TRACE_CMD, dev->name, name, start_ns, "%s", text);
}

static void count_command(struct uvfio_device *dev, bool failed)
{
	(void)dev;
	stat_add(STAT_COMMANDS, 1);
	if (failed)
		stat_add(STAT_COMMAND_ERRORS, 1);
}

/* ---- DMA, for the worker alone */

static bool own(const struct uvfio_dma *dma, const char *call)
{
	if (likely(dma == worker_dma))
		return true;
	uvfio_err_once((uintptr_t)dma,
		       "%s: %s() with the dma of a worker that is not the caller: memory is reached from a "
		       "worker's function, with its own worker->dma",
		       dma->dev->name, call);
	return false;
}

static int call_read(struct uvfio_dma *dma, uint64_t iova, void *buf, size_t len, const char *what)
{
	return own(dma, "uvfio_dma_read") ? dma_read(dma, iova, buf, len, what) : -EPERM;
}

static int call_write(struct uvfio_dma *dma, uint64_t iova, const void *buf, size_t len, const char *what)
{
	return own(dma, "uvfio_dma_write") ? dma_write(dma, iova, buf, len, what) : -EPERM;
}

static int call_copy(struct uvfio_dma *dma, uint64_t dst, uint64_t src, size_t len, const char *what,
		     bool *dst_failed)
{
	return own(dma, "uvfio_dma_copy") ? dma_copy(dma, dst, src, len, what, dst_failed) : -EPERM;
}

static int call_fill(struct uvfio_dma *dma, uint64_t iova, uint64_t pattern, size_t len, const char *what)
{
	return own(dma, "uvfio_dma_fill") ? dma_fill(dma, iova, pattern, len, what) : -EPERM;
}

static void call_begin(struct uvfio_dma *dma)
{
	if (own(dma, "uvfio_dma_begin"))
		dma_begin(dma);
}

static void call_end(struct uvfio_dma *dma)
{
	if (own(dma, "uvfio_dma_end"))
		dma_end(dma);
}

static int call_map(struct uvfio_dma *dma, uint64_t iova, size_t len, bool write, struct iovec *iov,
		    unsigned int *nr, unsigned int max, const char *what)
{
	return own(dma, "uvfio_dma_map") ? dma_map(dma, iova, len, write, iov, nr, max, what) : -EPERM;
}

static void call_report_lost(struct uvfio_dma *dma, uint64_t iova, size_t len, bool write, const char *what)
{
	if (own(dma, "uvfio_dma_report_lost"))
		dma_report_lost(dma, iova, len, write, what);
}

void model_blame(const char *whose, char *text, size_t len)
{
	size_t whose_len = strlen(whose), start = strspn(text, " \t\r\n");
	char *copy = strdup(text + start);

	if (copy && *copy && (strncmp(copy, whose, whose_len) || copy[whose_len] != ':'))
		snprintf(text, len, "%s: %s", whose, copy);
	free(copy);
	for (char *c = text + strlen(text); c-- > text;)
		if (*c == '\n' || *c == '\r')
			*c = c[1] ? ' ' : 0;
	text_clean(text);
}

int model_refused(const char *callback, int rc, const char *said)
{
	if (rc > 0 || rc < -4095) { /* a mistake, not a descriptor for the program: said, traced or not */
		why_clear();
		why_say("%s returned %d, which is neither 0 nor a negative errno%s%s", callback, rc,
			*said ? ": " : "", said);
		return -EIO;
	}
	return WHY(rc, "%s returned %d (%s)%s%s", callback, rc, strerrordesc_np(-rc), *said ? ": " : "",
		   said);
}

static void unplug(struct uvfio_device *dev)
{
	struct model_host *host = dev->host;

	host->unplug(dev);
}

const struct uvfio_device_calls model_calls = {
	.dma_read = call_read,
	.dma_write = call_write,
	.dma_copy = call_copy,
	.dma_fill = call_fill,
	.dma_begin = call_begin,
	.dma_end = call_end,
	.dma_map = call_map,
	.dma_report_lost = call_report_lost,
	.worker_new = worker_new,
	.worker_kick = worker_kick,
	.worker_kick_after = worker_kick_after,
	.worker_stopping = worker_stopping,
	.log = log_line,
	.log_once = log_once,
	.trace = trace,
	.count_command = count_command,
	.private_fd = private_fd,
	.private_fd_close = private_fd_close,
	.unplug = unplug,
	.register_notifier = notifier_register,
	.unregister_notifier = notifier_unregister,
};
