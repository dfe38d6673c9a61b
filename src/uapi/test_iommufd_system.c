/* SPDX-License-Identifier: BSD-2-Clause */
/* What the system's own header says. */
#include <linux/version.h>

#if defined(__has_include) && LINUX_VERSION_CODE >= KERNEL_VERSION(7, 2, 0)
#if __has_include(<linux/iommufd.h>)
#include <linux/iommufd.h>
#define HAS_HEADER
#endif
#endif

#ifdef HAS_HEADER
#include "uapi/test_iommufd_figures.h"

const struct figure *const system_figures = figures;
const size_t system_figures_nr = sizeof(figures) / sizeof(figures[0]);
#else
#include <stddef.h>

struct figure;
extern const struct figure *const system_figures;
extern const size_t system_figures_nr;

const struct figure *const system_figures = NULL;
const size_t system_figures_nr = 0;
#endif
