/* SPDX-License-Identifier: BSD-2-Clause */
/* PROCMAP_QUERY, the ioctl of /proc/PID/maps since Linux 6.11, for older headers. */
#ifndef UVFIO_UAPI_PROCMAP_H
#define UVFIO_UAPI_PROCMAP_H

#include <linux/fs.h>
#include <linux/types.h>

#ifndef PROCMAP_QUERY
struct procmap_query {
	__u64 size; /* of this structure */
	__u64 query_flags;
	__u64 query_addr;
	__u64 vma_start;
	__u64 vma_end;
	__u64 vma_flags;
	__u64 vma_page_size;
	__u64 vma_offset;
	__u64 inode; /* 0: no file */
	__u32 dev_major;
	__u32 dev_minor;
	__u32 vma_name_size;
	__u32 build_id_size;
	__u64 vma_name_addr;
	__u64 build_id_addr;
};

#define PROCMAP_QUERY              _IOWR('f', 17, struct procmap_query)
#define PROCMAP_QUERY_VMA_READABLE 0x01
#define PROCMAP_QUERY_VMA_WRITABLE 0x02
#define PROCMAP_QUERY_VMA_SHARED   0x08
#endif

#endif
