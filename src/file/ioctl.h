/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The ioctl engine: one table row per ioctl. A row says what is copied in, which size and flags are legal,
 * and what is copied out; the handler sees only arguments that passed. This is the one place that checks
 * argsz and flags.
 *
 * Order of the checks, as the kernel's handlers have it: copy in minsz bytes (EFAULT); argsz < minsz
 * (EINVAL); unknown flags (EINVAL); handler; copy out. Where a handler of the kernel deviates, the row has
 * no check_flags and the handler checks its flags at the right place.
 *
 * IOMMUFD's structures begin with a u32 size, and are open to both sides' growth (IOC_SIZED): size not
 * readable (EFAULT); size < minsz (EINVAL); bytes behind what this row knows are not zero (E2BIG) or not
 * readable (EFAULT); then the structure is copied in, and what the caller's lacks is zero. The handler copies
 * out.
 */
#ifndef UVFIO_FILE_IOCTL_H
#define UVFIO_FILE_IOCTL_H

#include "file/file.h"

/* The kernel's header has a macro of the same name, of which nobody here has a use. */
#include <linux/ioctl.h>
#undef IOC_OUT

/* The largest fixed part of any argument. What follows it the handler copies itself. */
#define IOC_ARG_MAX 128

struct ioctl_call {
	struct file *file;
	const struct caller *caller;
	uint64_t arg;   /* the raw third argument: a number, or the caller's address */
	uint32_t argsz; /* as given (IOC_SIZED: size); 0 for rows without a structure */
	bool read;      /* the structure has been copied in */
	void *in;       /* what was copied in, while ioctls are traced: the handler writes over it */
	long rc;        /* for describe: what the handler said */
	const struct ioctl_row *row;
};

enum ioctl_row_flags {
	IOC_VALUE = 1 << 0,     /* the argument is a number (or ignored): nothing is copied */
	IOC_OUT = 1 << 1,       /* on success copy out min(argsz, outsz) bytes */
	IOC_OUT_FIXED = 1 << 2, /* on success copy out outsz bytes, whatever argsz says */
	IOC_SIZED = 1 << 3,     /* the structure begins with its size; fullsz of it are known */
	IOC_PLAIN = 1 << 4, /* the structure is minsz bytes, and says nothing of its size or flags (KVM's) */
};

struct ioctl_row {
	uint32_t cmd;     /* the request number */
	const char *name; /* for traces: "VFIO_IOMMU_MAP_DMA" */
	uint16_t minsz;   /* copied in, and the least argsz */
	uint16_t outsz;
	uint16_t fullsz; /* IOC_SIZED: the most that is copied in */
	uint16_t row_flags;
	bool check_flags; /* structure is { u32 argsz, u32 flags, ... } and flags outside known_flags are
			     EINVAL */
	uint32_t known_flags;
	const char *flag_names; /* of known_flags, in words; may be NULL */
	const void *data;       /* the handler's */
	/* arg: IOC_ARG_MAX zeroed bytes, the first minsz copied in; NULL for IOC_VALUE. */
	long (*handler)(struct ioctl_call *call, void *arg);
	/* Decoded arguments for the trace, "iova=0x1000 size=0x1000 READ|WRITE"; after the handler, may be
	 * NULL. call->in is the structure as it came, arg as the handler left it: results are in it only when
	 * call->rc says so. Why it failed is said with WHY() where that is found. */
	void (*describe)(const struct ioctl_call *call, const void *arg, char *buf, size_t len);
};

/* Find cmd in rows and run it. -ENOTTY when there is none. The rows are sorted as the owner likes (few). */
long ioctl_dispatch(const struct ioctl_row *rows, size_t nr, struct file *file, const struct caller *caller,
		    uint32_t cmd, uint64_t arg);

/*
 * Trace a request that file has no row for, and that fails with rc (while ioctls are traced): its name, and
 * what kind of descriptor takes it. why: a better reason, when the request is for this kind of file; or NULL.
 */
void ioctl_trace_foreign(const struct file *file, uint32_t cmd, uint64_t start, long rc, const char *why);
/* The same for one whose name is known. */
void ioctl_trace_refused(const struct file *file, const char *name, uint32_t cmd, uint64_t start, long rc,
			 const char *why);

#endif
