/* SPDX-License-Identifier: BSD-2-Clause */
/* The table behind the functions of <uvfio/device.h>. */
#include "base/log.h"
#include "base/private_fd.h"
#include "base/trace.h"
#include "model/model.h"

#include <stdio.h>

static void log_line(struct uvfio_device *dev, const char *fmt, va_list ap)
{
	char text[512];

	vsnprintf(text, sizeof(text), fmt, ap);
	uvfio_err("%s: %s", dev->name, text);
}

static void log_once(struct uvfio_device *dev, uint64_t place, const char *fmt, va_list ap)
{
	char text[512];

	vsnprintf(text, sizeof(text), fmt, ap);
	uvfio_err_once(place ^ (uintptr_t)fmt ^ (uintptr_t)dev, "%s: %s", dev->name, text);
}

static void trace(struct uvfio_device *dev, const char *name, uint64_t start_ns, const char *fmt, va_list ap)
{
	char text[512];

	vsnprintf(text, sizeof(text), fmt, ap);
	trace_emit(TRACE_CMD, dev->name, name, start_ns, "%s", text);
}

static void count_command(struct uvfio_device *dev, bool failed)
{
	(void)dev;
	stat_add(STAT_COMMANDS, 1);
	if (failed)
		stat_add(STAT_COMMAND_ERRORS, 1);
}

static void unplug(struct uvfio_device *dev)
{
	struct model_host *host = dev->host;

	host->unplug(dev);
}

const struct uvfio_device_calls model_calls = {
	.dma_read = dma_read,
	.dma_write = dma_write,
	.dma_copy = dma_copy,
	.dma_fill = dma_fill,
	.dma_begin = dma_begin,
	.dma_end = dma_end,
	.dma_map = dma_map,
	.dma_report_lost = dma_report_lost,
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
};
