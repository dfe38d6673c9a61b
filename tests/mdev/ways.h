/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The ways in which an ordinary program uses a device, of either kind: by a container and the device's group,
 * or by an IOMMUFD and the device's own node. What fails returns -errno, so that it can be asked for.
 */
#ifndef UVFIO_TESTS_MDEV_WAYS_H
#define UVFIO_TESTS_MDEV_WAYS_H

#include "mdev.h"

#include "uapi/iommufd.h"

#include <dirent.h>

#define PAGE 4096ull

struct way {
	const char *name;
	unsigned long type; /* for SET_IOMMU; 0: an IOMMUFD */
};

static const struct way ways[] = {
	{ "type1", VFIO_TYPE1_IOMMU },
	{ "type1v2", VFIO_TYPE1v2_IOMMU },
	{ "cdev", 0 },
};

/* Does the machine have it? */
static inline bool has_way(const struct way *way)
{
	return exists(way->type ? "/dev/vfio/vfio" : "/dev/iommu");
}

/* What devices share: a container, or an IOAS. */
struct space {
	const struct way *way;
	int fd;
	uint32_t ioas;
	unsigned int members;
};

struct member {
	int group, device; /* group: -1 for a cdev */
};

/* The directory of a device in sysfs: "0000:00:01.0", or a UUID. */
static inline void sysfs_of(const char *device, char *path, size_t len)
{
	snprintf(path, len, "/sys/bus/%s/devices/%.36s", strlen(device) == 36 ? "mdev" : "pci", device);
}

static inline int open_group(const char *device)
{
	char dir[128], path[160], target[256];
	ssize_t n;

	sysfs_of(device, dir, sizeof(dir));
	snprintf(path, sizeof(path), "%s/iommu_group", dir);
	n = readlink(path, target, sizeof(target) - 1);
	CHECK(n > 0);
	target[n] = 0;
	snprintf(path, sizeof(path), "/dev/vfio/%.32s", strrchr(target, '/') + 1);
	return open(path, O_RDWR | O_CLOEXEC);
}

static inline int open_cdev(const char *device)
{
	char dir[128], path[160] = "";
	struct dirent *entry;
	DIR *stream;

	sysfs_of(device, dir, sizeof(dir));
	strcat(dir, "/vfio-dev");
	stream = opendir(dir);
	CHECK(stream);
	while ((entry = readdir(stream)))
		if (!strncmp(entry->d_name, "vfio", 4))
			snprintf(path, sizeof(path), "/dev/vfio/devices/%.40s", entry->d_name);
	closedir(stream);
	return open(path, O_RDWR | O_CLOEXEC);
}

static inline struct space open_space(const struct way *way)
{
	struct space space = { .way = way,
			       .fd = open(way->type ? "/dev/vfio/vfio" : "/dev/iommu", O_RDWR | O_CLOEXEC) };
	struct iommu_ioas_alloc alloc = { .size = sizeof(alloc) };

	CHECK(space.fd >= 0);
	if (!way->type) {
		CHECK(!ioctl(space.fd, IOMMU_IOAS_ALLOC, &alloc));
		space.ioas = alloc.out_ioas_id;
	}
	return space;
}

static inline int join_ioas(struct space *space, struct member *member, const char *device)
{
	struct vfio_device_bind_iommufd bind = { .argsz = sizeof(bind), .iommufd = space->fd };
	struct vfio_device_attach_iommufd_pt attach = { .argsz = sizeof(attach), .pt_id = space->ioas };

	member->device = open_cdev(device);
	if (member->device < 0 || ioctl(member->device, VFIO_DEVICE_BIND_IOMMUFD, &bind) ||
	    ioctl(member->device, VFIO_DEVICE_ATTACH_IOMMUFD_PT, &attach))
		return -errno;
	return 0;
}

static inline int join_container(struct space *space, struct member *member, const char *device)
{
	member->group = open_group(device);
	if (member->group < 0 || ioctl(member->group, VFIO_GROUP_SET_CONTAINER, &space->fd))
		return -errno;
	if (!space->members && ioctl(space->fd, VFIO_SET_IOMMU, space->way->type))
		return -errno;
	member->device = ioctl(member->group, VFIO_GROUP_GET_DEVICE_FD, device);
	return member->device < 0 ? -errno : 0;
}

static inline void leave(struct space *space, struct member *member)
{
	if (member->device >= 0)
		CHECK(!close(member->device));
	if (member->group >= 0)
		CHECK(!close(member->group));
	member->device = member->group = -1;
	space->members--;
}

/* A device comes to the others. 0, or -errno with everything as before. */
static inline int join(struct space *space, struct member *member, const char *device)
{
	int rc;

	*member = (struct member){ -1, -1 };
	rc = space->way->type ? join_container(space, member, device) : join_ioas(space, member, device);
	space->members++;
	if (rc)
		leave(space, member);
	return rc;
}

static inline int map(struct space *space, void *memory, uint64_t iova, uint64_t size)
{
	struct vfio_iommu_type1_dma_map dma = { .argsz = sizeof(dma),
						.flags = VFIO_DMA_MAP_FLAG_READ | VFIO_DMA_MAP_FLAG_WRITE,
						.vaddr = (uintptr_t)memory,
						.iova = iova,
						.size = size };
	struct iommu_ioas_map ioas = { .size = sizeof(ioas),
				       .flags = IOMMU_IOAS_MAP_FIXED_IOVA | IOMMU_IOAS_MAP_READABLE |
						IOMMU_IOAS_MAP_WRITEABLE,
				       .ioas_id = space->ioas,
				       .user_va = (uintptr_t)memory,
				       .iova = iova,
				       .length = size };

	if (space->way->type)
		return ioctl(space->fd, VFIO_IOMMU_MAP_DMA, &dma) ? -errno : 0;
	return ioctl(space->fd, IOMMU_IOAS_MAP, &ioas) ? -errno : 0;
}

static inline int unmap(struct space *space, uint64_t iova, uint64_t size)
{
	struct vfio_iommu_type1_dma_unmap dma = { .argsz = sizeof(dma), .iova = iova, .size = size };
	struct iommu_ioas_unmap ioas = {
		.size = sizeof(ioas), .ioas_id = space->ioas, .iova = iova, .length = size
	};
	int rc = space->way->type ? ioctl(space->fd, VFIO_IOMMU_UNMAP_DMA, &dma)
				  : ioctl(space->fd, IOMMU_IOAS_UNMAP, &ioas);

	if (rc)
		return -errno;
	CHECK((space->way->type ? dma.size : ioas.length) == size);
	return 0;
}

#endif
