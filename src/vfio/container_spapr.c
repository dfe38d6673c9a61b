/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The sPAPR TCE back end of a container: its ioctls, in front of iommu/spapr.
 *
 * Every call is refused to processes other than the one that the container serves, whatever the argument; so
 * is mapping, before it is enabled. A call of v2's that has to do with memory or windows settles whom it
 * serves. Then come the checks of the argument.
 *
 * EEH: no device of ours has errors, so a PE is fine unless the client itself has asserted its reset.
 */
#include "vfio/internal.h"

#include "base/why.h"
#include "file/ioctl.h"
#include "iommu/spapr/spapr.h"
#include "uapi/type1_text.h"
#include "vfio/spapr.h"

#include <stdio.h>
#include <stdlib.h>

struct spapr_container {
	struct spapr *iommu;
	bool v2;
	_Atomic bool reset; /* EEH: asserted */
};

static struct spapr *iommu_of(struct ioctl_call *call)
{
	return ((struct spapr_container *)vfio_container_data(call->file))->iommu;
}

/* ---- GET_INFO: the caller's structure is either of 16 bytes, or all of it */

#define INFO_MINSZ offsetofend(struct vfio_iommu_spapr_tce_info, dma32_window_size)

static long ioctl_get_info(struct ioctl_call *call, void *arg)
{
	struct vfio_iommu_spapr_tce_info *info = arg;
	const size_t full = offsetofend(struct vfio_iommu_spapr_tce_info, ddw);
	struct spapr_info now;

	spapr_get_info(iommu_of(call), &now);
	*info = (struct vfio_iommu_spapr_tce_info){
		.argsz = info->argsz,
		.dma32_window_start = (uint32_t)now.window_start,
		.dma32_window_size = (uint32_t)now.window_size,
	};
	if (now.max_windows) {
		info->flags = VFIO_IOMMU_SPAPR_INFO_DDW;
		info->ddw.pgsizes = now.pgsizes;
		info->ddw.max_dynamic_windows_supported = now.max_windows;
		info->ddw.levels = now.levels;
	}
	return copy_out(call->caller, call->arg, info, call->argsz >= full ? full : INFO_MINSZ);
}

static void describe_info(const struct ioctl_call *call, const void *arg, char *buf, size_t len)
{
	const struct vfio_iommu_spapr_tce_info *info = arg;

	if (call->rc)
		snprintf(buf, len, "argsz=%u", call->argsz);
	else
		snprintf(buf, len, "argsz=%u dma32_window=0x%x+0x%x pgsizes=0x%llx windows=%u levels=%u",
			 call->argsz, info->dma32_window_start, info->dma32_window_size,
			 (unsigned long long)info->ddw.pgsizes, info->ddw.max_dynamic_windows_supported,
			 info->ddw.levels);
}

/* ---- MAP_DMA, UNMAP_DMA */

static long ioctl_map_dma(struct ioctl_call *call, void *arg)
{
	const struct vfio_iommu_type1_dma_map *map = arg;
	unsigned int prot = 0;

	if (map->flags & VFIO_DMA_MAP_FLAG_READ)
		prot |= IOMMU_READ;
	if (map->flags & VFIO_DMA_MAP_FLAG_WRITE)
		prot |= IOMMU_WRITE;
	return spapr_map(iommu_of(call), call->caller->mm, map->iova, map->vaddr, map->size, prot);
}

static void describe_map(const struct ioctl_call *call, const void *arg, char *buf, size_t len)
{
	(void)call;
	type1_map_text(arg, buf, len);
}

static long ioctl_unmap_dma(struct ioctl_call *call, void *arg)
{
	const struct vfio_iommu_type1_dma_unmap *unmap = arg;

	return spapr_unmap(iommu_of(call), unmap->iova, unmap->size);
}

static void describe_unmap(const struct ioctl_call *call, const void *arg, char *buf, size_t len)
{
	const struct vfio_iommu_type1_dma_unmap *unmap = arg;

	(void)call;
	type1_unmap_text(unmap, unmap->size, NULL, buf, len);
}

/* Before it is enabled, whatever the argument. */
static long ioctl_not_enabled(struct ioctl_call *call, void *arg)
{
	(void)arg;
	return WHY(-EPERM, "%s comes first",
		   ((struct spapr_container *)vfio_container_data(call->file))->v2
			   ? "VFIO_IOMMU_SPAPR_REGISTER_MEMORY"
			   : "VFIO_IOMMU_ENABLE");
}

/* ---- v1: ENABLE, DISABLE */

static long ioctl_enable(struct ioctl_call *call, void *arg)
{
	(void)arg;
	return spapr_enable(iommu_of(call), call->caller->mm);
}

static long ioctl_disable(struct ioctl_call *call, void *arg)
{
	(void)arg;
	spapr_disable(iommu_of(call));
	return 0;
}

/* ---- v2: registered memory, windows */

static long ioctl_register(struct ioctl_call *call, void *arg)
{
	const struct vfio_iommu_spapr_register_memory *reg = arg;

	return spapr_register(iommu_of(call), call->caller->mm, reg->vaddr, reg->size);
}

static long ioctl_unregister(struct ioctl_call *call, void *arg)
{
	const struct vfio_iommu_spapr_register_memory *reg = arg;

	return spapr_unregister(iommu_of(call), reg->vaddr, reg->size);
}

/* For an address space that nobody has set, whatever the argument. */
static long ioctl_unregister_early(struct ioctl_call *call, void *arg)
{
	(void)call;
	(void)arg;
	return WHY(-EPERM, "nothing has been registered, and no window made or removed");
}

static void describe_register(const struct ioctl_call *call, const void *arg, char *buf, size_t len)
{
	const struct vfio_iommu_spapr_register_memory *reg = arg;

	(void)call;
	snprintf(buf, len, "vaddr=0x%llx size=0x%llx", (unsigned long long)reg->vaddr,
		 (unsigned long long)reg->size);
}

static long ioctl_create(struct ioctl_call *call, void *arg)
{
	struct vfio_iommu_spapr_tce_create *create = arg;
	uint64_t start = 0;
	int rc = spapr_create(iommu_of(call), call->caller->mm, create->page_shift, create->window_size,
			      create->levels, &start);

	if (!rc)
		create->start_addr = start;
	return rc;
}

static void describe_create(const struct ioctl_call *call, const void *arg, char *buf, size_t len)
{
	const struct vfio_iommu_spapr_tce_create *create = arg;
	int n = snprintf(buf, len, "page_shift=%u window_size=0x%llx levels=%u", create->page_shift,
			 (unsigned long long)create->window_size, create->levels);

	if (!call->rc && n > 0 && (size_t)n < len)
		snprintf(buf + n, len - (size_t)n, " start_addr=0x%llx",
			 (unsigned long long)create->start_addr);
}

static long ioctl_remove(struct ioctl_call *call, void *arg)
{
	const struct vfio_iommu_spapr_tce_remove *remove = arg;

	return spapr_remove(iommu_of(call), call->caller->mm, remove->start_addr);
}

static void describe_remove(const struct ioctl_call *call, const void *arg, char *buf, size_t len)
{
	const struct vfio_iommu_spapr_tce_remove *remove = arg;

	(void)call;
	snprintf(buf, len, "start_addr=0x%llx", (unsigned long long)remove->start_addr);
}

/* ---- EEH */

/* EEH_ERR_FUNC_MAX and EEH_ERR_TYPE_64 of <asm/eeh.h> on POWER. */
#define LAST_ERROR_FUNCTION 19
#define LAST_ERROR_TYPE     1

/* As a platform that could, whose firmware cannot. */
static long inject_error(struct ioctl_call *call)
{
	struct vfio_eeh_pe_op op;

	if (call->argsz < offsetofend(struct vfio_eeh_pe_op, err.mask))
		return WHY(-EINVAL, "argsz %u, at least %zu with INJECT_ERR", call->argsz,
			   offsetofend(struct vfio_eeh_pe_op, err.mask));
	if (copy_in(call->caller, &op, call->arg, offsetofend(struct vfio_eeh_pe_op, err.mask)))
		return -EFAULT;
	if (op.err.func > LAST_ERROR_FUNCTION)
		return WHY(-EINVAL, "func %u: there are 0 to %u", op.err.func, LAST_ERROR_FUNCTION);
	if (op.err.type > LAST_ERROR_TYPE)
		return WHY(-ERANGE, "type %u: there are 0 and 1", op.err.type);
	return WHY(-ENXIO, "errors cannot be injected");
}

static long ioctl_eeh(struct ioctl_call *call, void *arg)
{
	struct spapr_container *sc = vfio_container_data(call->file);
	const struct vfio_eeh_pe_op *op = arg;

	switch (op->op) {
	case VFIO_EEH_PE_DISABLE:
	case VFIO_EEH_PE_ENABLE:
	case VFIO_EEH_PE_UNFREEZE_IO:
	case VFIO_EEH_PE_UNFREEZE_DMA:
	case VFIO_EEH_PE_CONFIGURE:
		return 0;
	case VFIO_EEH_PE_GET_STATE:
		return atomic_load(&sc->reset) ? VFIO_EEH_PE_STATE_RESET : VFIO_EEH_PE_STATE_NORMAL;
	case VFIO_EEH_PE_RESET_HOT:
	case VFIO_EEH_PE_RESET_FUNDAMENTAL:
		atomic_store(&sc->reset, true);
		vfio_container_reset_devices(call->file);
		return 0;
	case VFIO_EEH_PE_RESET_DEACTIVATE:
		atomic_store(&sc->reset, false);
		return 0;
	case VFIO_EEH_PE_INJECT_ERR:
		return inject_error(call);
	default:
		return WHY(-EINVAL, "there is no such operation");
	}
}

static void describe_eeh(const struct ioctl_call *call, const void *arg, char *buf, size_t len)
{
	static const char *const names[] = {
		[VFIO_EEH_PE_DISABLE] = "DISABLE",
		[VFIO_EEH_PE_ENABLE] = "ENABLE",
		[VFIO_EEH_PE_UNFREEZE_IO] = "UNFREEZE_IO",
		[VFIO_EEH_PE_UNFREEZE_DMA] = "UNFREEZE_DMA",
		[VFIO_EEH_PE_GET_STATE] = "GET_STATE",
		[VFIO_EEH_PE_RESET_DEACTIVATE] = "RESET_DEACTIVATE",
		[VFIO_EEH_PE_RESET_HOT] = "RESET_HOT",
		[VFIO_EEH_PE_RESET_FUNDAMENTAL] = "RESET_FUNDAMENTAL",
		[VFIO_EEH_PE_CONFIGURE] = "CONFIGURE",
		[VFIO_EEH_PE_INJECT_ERR] = "INJECT_ERR",
	};
	const struct vfio_eeh_pe_op *op = arg;

	(void)call;
	snprintf(buf, len, "op=%u %s", op->op, op->op < ARRAY_SIZE(names) ? names[op->op] : "?");
}

/* ---- for KVM */

struct tce_table *vfio_spapr_get_table(struct file *group_file, uint64_t start, uint64_t size,
				       unsigned int page_shift)
{
	struct vfio_group *group = vfio_file_group(group_file);
	struct tce_table *table = NULL;
	struct vfio_container *container;

	if (!group)
		return NULL;
	pthread_mutex_lock(&group->lock);
	container = group->container;
	if (container) {
		pthread_rwlock_rdlock(&container->lock);
		if (container->driver == &vfio_spapr_driver)
			table = spapr_get_table(((struct spapr_container *)container->data)->iommu, start,
						size, page_shift);
		pthread_rwlock_unlock(&container->lock);
	}
	pthread_mutex_unlock(&group->lock);
	return table;
}

/* ---- the tables */

/* checked: without flags, or with those that the row knows. */
#define ROW(request, structure, last, checked, function, text)                                               \
	.cmd = request, .name = #request, .minsz = offsetofend(structure, last), .check_flags = checked,     \
	.handler = function, .describe = text

#define VALUE(request, function) .cmd = request, .name = #request, .row_flags = IOC_VALUE, .handler = function

static const struct ioctl_row common_rows[] = {
	{ ROW(VFIO_IOMMU_SPAPR_TCE_GET_INFO, struct vfio_iommu_spapr_tce_info, dma32_window_size, false,
	      ioctl_get_info, describe_info) },
	{ ROW(VFIO_IOMMU_MAP_DMA, struct vfio_iommu_type1_dma_map, size, true, ioctl_map_dma, describe_map),
	  .known_flags = VFIO_DMA_MAP_FLAG_READ | VFIO_DMA_MAP_FLAG_WRITE, .flag_names = "READ, WRITE" },
	{ ROW(VFIO_IOMMU_UNMAP_DMA, struct vfio_iommu_type1_dma_unmap, size, true, ioctl_unmap_dma,
	      describe_unmap) },
	{ ROW(VFIO_EEH_PE_OP, struct vfio_eeh_pe_op, op, true, ioctl_eeh, describe_eeh) },
};

static const struct ioctl_row v1_rows[] = {
	{ VALUE(VFIO_IOMMU_ENABLE, ioctl_enable) },
	{ VALUE(VFIO_IOMMU_DISABLE, ioctl_disable) },
};

static const struct ioctl_row v2_rows[] = {
	{ ROW(VFIO_IOMMU_SPAPR_REGISTER_MEMORY, struct vfio_iommu_spapr_register_memory, size, true,
	      ioctl_register, describe_register) },
	{ ROW(VFIO_IOMMU_SPAPR_UNREGISTER_MEMORY, struct vfio_iommu_spapr_register_memory, size, true,
	      ioctl_unregister, describe_register) },
	{ ROW(VFIO_IOMMU_SPAPR_TCE_CREATE, struct vfio_iommu_spapr_tce_create, start_addr, true, ioctl_create,
	      describe_create),
	  .outsz = sizeof(struct vfio_iommu_spapr_tce_create), .row_flags = IOC_OUT },
	{ ROW(VFIO_IOMMU_SPAPR_TCE_REMOVE, struct vfio_iommu_spapr_tce_remove, start_addr, true, ioctl_remove,
	      describe_remove) },
};

/* What is refused whatever the argument, while nothing can be mapped, and while nobody is served. */
static const struct ioctl_row disabled_rows[] = {
	{ VALUE(VFIO_IOMMU_MAP_DMA, ioctl_not_enabled) },
	{ VALUE(VFIO_IOMMU_UNMAP_DMA, ioctl_not_enabled) },
};

static const struct ioctl_row early_rows[] = {
	{ VALUE(VFIO_IOMMU_SPAPR_UNREGISTER_MEMORY, ioctl_unregister_early) },
};

/* What is for containers of the other version, with what would be right. */
static long ioctl_other_version(struct ioctl_call *call, void *arg)
{
	(void)arg;
	return WHY(-ENOTTY, "%s %s", call->row->name, (const char *)call->row->data);
}

#define NOT_HERE(request, what)                                                                              \
	{                                                                                                    \
		.cmd = request, .name = #request, .row_flags = IOC_VALUE, .handler = ioctl_other_version,    \
		.data = what                                                                                 \
	}
#define FOR_V2 "is for SPAPR_TCE_v2_IOMMU; this container is v1"
#define FOR_V1 "is for SPAPR_TCE_IOMMU (v1); this container is v2"

static const struct ioctl_row not_v1_rows[] = {
	NOT_HERE(VFIO_IOMMU_SPAPR_REGISTER_MEMORY, FOR_V2 ": VFIO_IOMMU_ENABLE does instead"),
	NOT_HERE(VFIO_IOMMU_SPAPR_UNREGISTER_MEMORY, FOR_V2 ": VFIO_IOMMU_DISABLE does instead"),
	NOT_HERE(VFIO_IOMMU_SPAPR_TCE_CREATE, FOR_V2 ", which has the default window only"),
	NOT_HERE(VFIO_IOMMU_SPAPR_TCE_REMOVE, FOR_V2 ", whose default window stays"),
};

static const struct ioctl_row not_v2_rows[] = {
	NOT_HERE(VFIO_IOMMU_ENABLE, FOR_V1 ", which registers memory instead"),
	NOT_HERE(VFIO_IOMMU_DISABLE, FOR_V1 ", which unregisters memory instead"),
};

/* ---- which of them */

struct rows {
	const struct ioctl_row *rows;
	size_t nr;
};

#define ROWS(array)                                                                                          \
	{                                                                                                    \
		array, ARRAY_SIZE(array)                                                                     \
	}

static const struct rows common = ROWS(common_rows), disabled = ROWS(disabled_rows), early = ROWS(early_rows),
			 own[] = { ROWS(v1_rows), ROWS(v2_rows) },
			 others[] = { ROWS(not_v1_rows), ROWS(not_v2_rows) };

static const struct ioctl_row *find(const struct rows *in, uint32_t cmd)
{
	for (const struct ioctl_row *row = in->rows; row < in->rows + in->nr; row++)
		if (row->cmd == cmd)
			return row;
	return NULL;
}

static const struct rows *rows_for(struct spapr_container *sc, uint32_t cmd)
{
	if (sc->v2 && find(&early, cmd) && !spapr_has_mm(sc->iommu))
		return &early;
	if (find(&disabled, cmd) && !spapr_is_enabled(sc->iommu))
		return &disabled;
	if (find(&own[sc->v2], cmd))
		return &own[sc->v2];
	return find(&others[sc->v2], cmd) ? &others[sc->v2] : &common;
}

static const char *spapr_request(uint32_t cmd)
{
	const struct ioctl_row *row = find(&common, cmd);

	for (unsigned int v = 0; v < ARRAY_SIZE(own) && !row; v++)
		row = find(&own[v], cmd);
	return row ? row->name : NULL;
}

static void trace_refused(const struct file *file, uint32_t cmd, int rc)
{
	const char *name = spapr_request(cmd);
	const char *why = rc == -EPERM ? "the container serves another process" : NULL;

	if (name)
		ioctl_trace_refused(file, name, cmd, trace_now(), rc, why);
	else
		ioctl_trace_foreign(file, cmd, trace_now(), rc, why);
}

static long spapr_ioctl(void *data, struct file *file, const struct caller *caller, uint32_t cmd,
			uint64_t arg)
{
	struct spapr_container *sc = data;
	const struct rows *rows = rows_for(sc, cmd);
	int rc = spapr_check_mm(sc->iommu, caller->mm);

	if (!rc && rows == &own[1])
		rc = spapr_serve(sc->iommu, caller->mm);
	if (rc) {
		if (trace_on(TRACE_IOCTL))
			trace_refused(file, cmd, rc);
		return rc;
	}
	return ioctl_dispatch(rows->rows, rows->nr, file, caller, cmd, arg);
}

/* ---- the driver */

static long spapr_check_extension(struct vfio_container *container, void *data, uint64_t ext)
{
	(void)container;
	(void)data;
	switch (ext) {
	case VFIO_SPAPR_TCE_IOMMU:
	case VFIO_SPAPR_TCE_v2_IOMMU:
	case VFIO_EEH:
		return 1;
	default:
		return 0;
	}
}

static int spapr_open(struct vfio_container *container, uint64_t type, struct mm *mm, void **data)
{
	const struct iommu_params *params = vfio_container_params(container);
	struct spapr_container *sc;

	(void)mm;
	if (type != VFIO_SPAPR_TCE_IOMMU && type != VFIO_SPAPR_TCE_v2_IOMMU)
		return WHY(-EINVAL, "%llu is an extension, but no type of IOMMU", (unsigned long long)type);
	sc = calloc(1, sizeof(*sc));
	if (!sc)
		return -ENOMEM;
	sc->v2 = type == VFIO_SPAPR_TCE_v2_IOMMU;
	sc->iommu = spapr_new(params, sc->v2);
	if (!sc->iommu) {
		free(sc);
		return -ENOMEM;
	}
	*data = sc;
	return 0;
}

static void spapr_release(void *data)
{
	struct spapr_container *sc = data;

	spapr_free(sc->iommu);
	free(sc);
}

static void spapr_container_forked(void *data)
{
	struct spapr_container *sc = data;

	spapr_forked(sc->iommu);
}

static int spapr_attach_group(void *data, struct iommu_dev *const *devs, unsigned int nr)
{
	struct spapr_container *sc = data;

	return spapr_attach(sc->iommu, devs, nr);
}

static void spapr_detach_group(void *data, struct iommu_dev *const *devs, unsigned int nr)
{
	struct spapr_container *sc = data;

	spapr_detach(sc->iommu, devs, nr);
}

static const char *spapr_type(void *data)
{
	struct spapr_container *sc = data;

	return sc->v2 ? "spaprv2" : "spapr";
}

static void add_mapping(void *arg, const struct spapr_mapping *mapping)
{
	struct vfio_mapping_list *list = arg;

	list->mappings[list->nr++] =
		(struct vfio_mapping){ mapping->iova, mapping->va, mapping->size, mapping->prot };
}

static int spapr_list(void *data, struct vfio_mapping_list *list, unsigned int max)
{
	struct spapr_container *sc = data;

	list->mappings = calloc(MAX(max, 1u), sizeof(*list->mappings));
	if (!list->mappings)
		return -ENOMEM;
	spapr_each_mapping(sc->iommu, max, add_mapping, list, &list->count, &list->bytes);
	return 0;
}

static void spapr_usages(void *data, struct mm_usages *usages)
{
	struct spapr_container *sc = data;

	spapr_get_usages(sc->iommu, usages);
}

static void spapr_container_report(void *data, void (*line)(void *arg, const char *text), void *arg)
{
	struct spapr_container *sc = data;

	spapr_report(sc->iommu, line, arg);
}

const struct vfio_iommu_driver vfio_spapr_driver = {
	.name = "vfio-spapr",
	.iommu = "spapr",
	.types = "there are SPAPR_TCE_IOMMU (2) and SPAPR_TCE_v2_IOMMU (7)",
	.check_extension = spapr_check_extension,
	.open = spapr_open,
	.release = spapr_release,
	.attach_group = spapr_attach_group,
	.detach_group = spapr_detach_group,
	.ioctl = spapr_ioctl,
	.request = spapr_request,
	.forked = spapr_container_forked,
	.type = spapr_type,
	.list = spapr_list,
	.usages = spapr_usages,
	.report = spapr_container_report,
};
