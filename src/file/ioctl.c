/* SPDX-License-Identifier: BSD-2-Clause */
#include "file/ioctl.h"

#include "base/trace.h"
#include "base/why.h"
#include "uapi/requests.h"

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

static int not_readable(const struct ioctl_call *call)
{
	return WHY(-EFAULT, "the argument at 0x%llx is not readable memory", (unsigned long long)call->arg);
}

static int unknown_flags(const struct ioctl_row *row, uint32_t flags)
{
	uint32_t unknown = flags & ~row->known_flags;

	if (row->flag_names)
		return WHY(-EINVAL, "unknown flags 0x%x: known are %s (0x%x)", unknown, row->flag_names,
			   row->known_flags);
	return WHY(-EINVAL, "unknown flags 0x%x: known are 0x%x", unknown, row->known_flags);
}

static int read_argsz(struct ioctl_call *call, void *arg)
{
	const struct ioctl_row *row = call->row;
	const struct arg_head *head = arg;

	if (copy_in(call->caller, arg, call->arg, row->minsz))
		return not_readable(call);
	call->argsz = head->argsz;
	call->read = true;
	if (head->argsz < row->minsz)
		return WHY(-EINVAL, "argsz %u, at least %u", head->argsz, row->minsz);
	if (row->check_flags && (head->flags & ~row->known_flags))
		return unknown_flags(row, head->flags);
	return 0;
}

/* The caller knows more of the structure than we do: it must not use it. */
static int check_rest_is_zero(const struct ioctl_call *call)
{
	unsigned char rest[64];
	size_t len;

	for (uint64_t at = call->row->fullsz; at < call->argsz; at += len) {
		len = MIN(call->argsz - at, sizeof(rest));
		if (copy_in(call->caller, rest, call->arg + at, len))
			return not_readable(call);
		for (size_t i = 0; i < len; i++)
			if (rest[i])
				return WHY(-E2BIG, "size %u: %u are known, and byte %llu is not 0",
					   call->argsz, call->row->fullsz, (unsigned long long)at + i);
	}
	return 0;
}

static int read_sized(struct ioctl_call *call, void *arg)
{
	const struct ioctl_row *row = call->row;
	int rc;

	if (copy_in(call->caller, &call->argsz, call->arg, sizeof(call->argsz)))
		return not_readable(call);
	if (call->argsz < row->minsz)
		return WHY(-EINVAL, "size %u, at least %u", call->argsz, row->minsz);
	rc = check_rest_is_zero(call);
	if (rc)
		return rc;
	if (copy_in(call->caller, arg, call->arg, MIN(call->argsz, row->fullsz)))
		return not_readable(call);
	call->read = true;
	return 0;
}

static int read_plain(struct ioctl_call *call, void *arg)
{
	if (copy_in(call->caller, arg, call->arg, call->row->minsz))
		return not_readable(call);
	call->argsz = call->row->minsz;
	call->read = true;
	return 0;
}

static int read_structure(struct ioctl_call *call, void *arg)
{
	if (call->row->row_flags & IOC_PLAIN)
		return read_plain(call, arg);
	return call->row->row_flags & IOC_SIZED ? read_sized(call, arg) : read_argsz(call, arg);
}

static long run_structured(struct ioctl_call *call, void *arg)
{
	const struct ioctl_row *row = call->row;
	long rc = read_structure(call, arg);

	if (unlikely(call->in && call->read))
		memcpy(call->in, arg, IOC_ARG_MAX);
	if (rc)
		return rc;
	rc = row->handler(call, arg);
	if (rc >= 0 && (row->row_flags & (IOC_OUT | IOC_OUT_FIXED))) {
		size_t len = row->outsz;

		if (!(row->row_flags & IOC_OUT_FIXED))
			len = MIN(len, (size_t)call->argsz);
		if (copy_out(call->caller, call->arg, arg, len))
			return WHY(-EFAULT, "the argument at 0x%llx is not writable memory",
				   (unsigned long long)call->arg);
	}
	return rc;
}

/* " = 0", " = -1 EINVAL: size is 0" behind the arguments. */
static void emit(const struct file *file, const char *name, uint64_t start, const char *what, long rc)
{
	const char *space = *what ? " " : "";
	char error[256];

	if (rc >= 0)
		trace_emit(TRACE_IOCTL, NULL, name, start, "%s%s%s = %ld", file->path, space, what, rc);
	else
		trace_emit(TRACE_IOCTL, NULL, name, start, "%s%s%s = -1 %s", file->path, space, what,
			   why_error(rc, error, sizeof(error)));
}

static void trace_call(const struct ioctl_call *call, const void *arg, uint64_t start)
{
	const struct ioctl_row *row = call->row;
	bool structured = !(row->row_flags & IOC_VALUE);
	char what[256] = "";
	size_t n = 0;

	if (structured && call->read && call->argsz < row->minsz)
		n = (size_t)snprintf(what, sizeof(what), "argsz=%u", call->argsz);
	if (row->describe && (!structured || call->read)) {
		if (n)
			what[n++] = ' ';
		row->describe(call, arg, what + n, sizeof(what) - n);
	}
	emit(call->file, row->name, start, what, call->rc);
}

/* "vfio-group" takes what is for "a group". */
static bool takes(const struct file *file, const struct vfio_request *request)
{
	const char *dash = strchr(file->ops->name, '-');

	return dash && !strncmp(request->kind + strlen("a "), dash + 1, strlen(dash + 1));
}

static const struct vfio_request *find_request(const struct file *file, uint32_t cmd)
{
	const struct vfio_request *first = vfio_request_next(cmd, NULL), *request = first;

	while (request && !takes(file, request))
		request = vfio_request_next(cmd, request);
	return request ? request : first;
}

void ioctl_trace_foreign(const struct file *file, uint32_t cmd, uint64_t start, long rc, const char *why)
{
	const struct vfio_request *request = find_request(file, cmd), *each = NULL;
	char kinds[256] = "", what[32];
	size_t n = 0;

	why_clear();
	snprintf(what, sizeof(what), "request=0x%x", cmd);
	if (!request)
		why_say("no request of %s has this number%s%s",
			strncmp(file->ops->name, "kvm-", 4) ? "VFIO or IOMMUFD" : "KVM", why ? "; " : "",
			why ? why : "");
	while ((each = vfio_request_next(cmd, each)) && n < sizeof(kinds))
		n += (size_t)snprintf(kinds + n, sizeof(kinds) - n, "%s%s is for %s", n ? ", " : "",
				      each->name, each->kind);
	if (why && request && takes(file, request))
		why_say("%s", why);
	else if (request)
		why_say("%s; this is %s", kinds, *file->path == '/' ? file->path : file->ops->name);
	emit(file, request ? request->name : "ioctl", start, what, rc);
}

void ioctl_trace_refused(const struct file *file, const char *name, uint32_t cmd, uint64_t start, long rc,
			 const char *why)
{
	char what[32];

	why_clear();
	if (why)
		why_say("%s", why);
	snprintf(what, sizeof(what), "request=0x%x", cmd);
	emit(file, name, start, what, rc);
}

static inline long run(struct ioctl_call *call, unsigned char *buf)
{
	if (call->row->row_flags & IOC_VALUE)
		return call->row->handler(call, NULL);
	memset(buf, 0, IOC_ARG_MAX);
	return run_structured(call, buf);
}

static __attribute__((noinline, cold)) long run_traced(struct ioctl_call *call, uint32_t cmd,
						       unsigned char *buf)
{
	alignas(16) unsigned char in[IOC_ARG_MAX];
	uint64_t start = trace_now();

	if (!call->row) {
		ioctl_trace_foreign(call->file, cmd, start, -ENOTTY, NULL);
		return -ENOTTY;
	}
	why_clear();
	call->in = in;
	call->rc = run(call, buf);
	trace_call(call, buf, start);
	call->in = NULL;
	return call->rc;
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

	if (trace_on(TRACE_IOCTL))
		return run_traced(&call, cmd, buf);
	return likely(call.row) ? run(&call, buf) : -ENOTTY;
}
