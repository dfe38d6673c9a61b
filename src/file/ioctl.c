/* SPDX-License-Identifier: BSD-2-Clause */
#include "file/ioctl.h"

#include "base/trace.h"

#include <stdalign.h>
#include <stdio.h>
#include <string.h>

/* What every structured argument begins with. */
struct arg_head {
	uint32_t argsz;
	uint32_t flags;
};

static const struct ioctl_row *find_row(const struct ioctl_row *rows, size_t nr, uint32_t cmd)
{
	for (size_t i = 0; i < nr; i++)
		if (rows[i].cmd == cmd)
			return &rows[i];
	return NULL;
}

static long run_structured(struct ioctl_call *call, void *arg)
{
	const struct ioctl_row *row = call->row;
	const struct arg_head *head = arg;
	long rc;

	if (copy_in(call->caller, arg, call->arg, row->minsz))
		return -EFAULT;
	call->argsz = head->argsz;
	if (head->argsz < row->minsz)
		return -EINVAL;
	if (row->check_flags && (head->flags & ~row->known_flags))
		return -EINVAL;
	rc = row->handler(call, arg);
	if (rc >= 0 && (row->row_flags & (IOC_OUT | IOC_OUT_FIXED))) {
		size_t len = row->outsz;

		if (!(row->row_flags & IOC_OUT_FIXED))
			len = MIN(len, (size_t)call->argsz);
		if (copy_out(call->caller, call->arg, arg, len))
			return -EFAULT;
	}
	return rc;
}

static void trace_call(const struct ioctl_call *call, const void *arg, uint64_t start, long rc)
{
	const struct ioctl_row *row = call->row;
	char what[256] = "";

	if (row->describe)
		row->describe(call, arg, what, sizeof(what));
	else if (row->row_flags & IOC_VALUE)
		snprintf(what, sizeof(what), "arg=%llu", (unsigned long long)call->arg);
	if (rc < 0)
		trace_emit(TRACE_IOCTL, NULL, row->name, start, "%s %s = -1 %s", call->file->path, what,
			   strerrorname_np((int)-rc));
	else
		trace_emit(TRACE_IOCTL, NULL, row->name, start, "%s %s = %ld", call->file->path, what, rc);
}

long ioctl_dispatch(const struct ioctl_row *rows, size_t nr, struct file *file, const struct caller *caller,
		    uint32_t cmd, uint64_t arg)
{
	alignas(16) unsigned char buf[IOC_ARG_MAX];
	struct ioctl_call call = {
		.file = file,
		.caller = caller,
		.arg = arg,
		.row = find_row(rows, nr, cmd),
	};
	uint64_t start = trace_on(TRACE_IOCTL) ? trace_now() : 0;
	long rc;

	if (!call.row) {
		rc = -ENOTTY;
		if (start)
			trace_emit(TRACE_IOCTL, NULL, "ioctl", start, "%s request=0x%x = -1 ENOTTY",
				   file->path, cmd);
		return rc;
	}
	if (call.row->row_flags & IOC_VALUE) {
		rc = call.row->handler(&call, NULL);
	} else {
		memset(buf, 0, sizeof(buf));
		rc = run_structured(&call, buf);
	}
	if (start)
		trace_call(&call, buf, start, rc);
	return rc;
}
