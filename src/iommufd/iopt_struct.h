/* SPDX-License-Identifier: BSD-2-Clause */
/* struct io_pagetable, which others embed and only the iopt files look into. */
#ifndef UVFIO_IOMMUFD_IOPT_STRUCT_H
#define UVFIO_IOMMUFD_IOPT_STRUCT_H

struct io_pagetable {
	pthread_mutex_t lock;
	struct range_map areas;
};

#endif
