/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Reading and writing the regions of a mediated device: an access is cut into naturally aligned pieces of 4,
 * 2 and 1 bytes, as the kernel's sample drivers do. What cannot be done makes the whole call fail with
 * -EFAULT, after the pieces before it have had their effect.
 */
#include "base/trace.h"
#include "mdev/impl.h"

#include <inttypes.h>
#include <stdio.h>

static unsigned int piece_size(uint64_t pos, size_t len)
{
	for (unsigned int size = 4; size > 1; size /= 2)
		if (len >= size && is_aligned(pos, size))
			return size;
	return 1;
}

static void trace_access(const struct mdev_device *mdev, unsigned int region, uint64_t pos, uint32_t value,
			 unsigned int size, bool write)
{
	bool config = region == UVFIO_MDEV_CONFIG;
	char name[16] = "config";

	if (!config)
		snprintf(name, sizeof(name), "region%u", region);
	trace_emit(config ? TRACE_CONFIG : TRACE_BAR, mdev->vdev.name, write ? "write" : "read", 0,
		   "%s+0x%" PRIx64 " size=%u value=0x%x", name, pos, size, value);
}

static int access_piece(struct mdev_device *mdev, unsigned int region, uint64_t pos, uint32_t *value,
			unsigned int size, bool write)
{
	const struct uvfio_mdev_ops *ops = mdev_ops(mdev);
	int rc;

	stat_add(region == UVFIO_MDEV_CONFIG ? STAT_CONFIG_ACCESSES : STAT_BAR_ACCESSES, 1);
	if (write)
		IN_DRIVER(mdev, "write", rc = ops->write(&mdev->pub, region, pos, value, size));
	else
		IN_DRIVER(mdev, "read", rc = ops->read(&mdev->pub, region, pos, value, size));
	if (trace_on(region == UVFIO_MDEV_CONFIG ? TRACE_CONFIG : TRACE_BAR))
		trace_access(mdev, region, pos, *value, size, write);
	return rc;
}

static int rw_piece(struct mdev_device *mdev, const struct caller *caller, unsigned int region, uint64_t pos,
		    uint64_t buf, unsigned int size, bool write)
{
	uint32_t value = 0;

	if (write && copy_in(caller, &value, buf, size))
		return -EFAULT;
	if (pos >= mdev->pub.type->regions[region].size)
		return -EFAULT;
	if (access_piece(mdev, region, pos, &value, size, write))
		return -EFAULT;
	return !write && copy_out(caller, buf, &value, size) ? -EFAULT : 0;
}

ssize_t mdev_rw(struct mdev_device *mdev, const struct caller *caller, uint64_t buf, size_t len, uint64_t off,
		bool write)
{
	uint64_t region = off >> MDEV_OFFSET_SHIFT, pos = off & MDEV_OFFSET_MASK;
	unsigned int size;

	if (len && region >= UVFIO_MDEV_REGIONS)
		return -EFAULT;
	for (size_t done = 0; done < len; done += size) {
		size = piece_size(pos + done, len - done);
		if (rw_piece(mdev, caller, (unsigned int)region, pos + done, buf + done, size, write))
			return -EFAULT;
	}
	return (ssize_t)len;
}
