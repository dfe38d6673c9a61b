/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * /dev/iommu: an open of it is a context; here are its life, the table of its ioctls, and that of the types
 * of its objects. The context lives as long as its file; who needs it keeps the file open.
 */
#include "base/trace.h"
#include "base/why.h"
#include "iommufd/describe.h"
#include "iommufd/impl.h"
#include "uapi/iommufd_test.h"

#include <stdlib.h>

/* ---- ioctls */

#ifdef UVFIO_IOMMUFD_TEST
#define LAST_CMD _IOC_NR(IOMMU_TEST_CMD)
#else
#define LAST_CMD IOMMUFD_CMD_HW_QUEUE_ALLOC
#endif

_Static_assert(sizeof(struct iommu_test_cmd) <= IOC_ARG_MAX, "the largest one fits into the engine's buffer");

struct iommufd_op {
	int (*execute)(struct iommufd_ucmd *ucmd);
};

int iommufd_ucmd_respond(struct iommufd_ucmd *ucmd, size_t len)
{
	if (copy_out(ucmd->caller, ucmd->uptr, ucmd->arg, MIN(len, (size_t)ucmd->user_size)))
		return WHY(-EFAULT, "the argument at 0x%llx is not writable memory",
			   (unsigned long long)ucmd->uptr);
	return 0;
}

static long execute(struct ioctl_call *call, void *arg)
{
	const struct iommufd_op *op = call->row->data;
	struct iommufd_ucmd ucmd = {
		.ctx = call->file->priv,
		.caller = call->caller,
		.file = call->file,
		.uptr = call->arg,
		.user_size = call->argsz,
		.arg = arg,
	};
	int rc = op->execute(&ucmd);

	if (ucmd.new_obj && rc < 0)
		iommufd_object_abort_and_destroy(ucmd.ctx, ucmd.new_obj);
	else if (ucmd.new_obj)
		iommufd_object_finalize(ucmd.ctx, ucmd.new_obj);
	return rc;
}

static int iommufd_destroy(struct iommufd_ucmd *ucmd)
{
	const struct iommu_destroy *cmd = ucmd->arg;

	return iommufd_object_destroy_id(ucmd->ctx, cmd->id);
}

/* last: the last member that the first version of the structure has. */
#define ROW(request, structure, last, fn)                                                                    \
	{                                                                                                    \
		.cmd = request, .name = #request,                                                            \
		.minsz = offsetof(struct structure, last) + sizeof(((struct structure *)NULL)->last),        \
		.fullsz = sizeof(struct structure), .row_flags = IOC_SIZED,                                  \
		.data = &(const struct iommufd_op){ fn }, .handler = execute, .describe = iommufd_describe   \
	}

/* What is called in a loop comes first. */
static const struct ioctl_row rows[] = {
	ROW(IOMMU_IOAS_MAP, iommu_ioas_map, iova, iommufd_ioas_map),
	ROW(IOMMU_IOAS_UNMAP, iommu_ioas_unmap, length, iommufd_ioas_unmap),
	ROW(IOMMU_IOAS_COPY, iommu_ioas_copy, src_iova, iommufd_ioas_copy),
	ROW(IOMMU_IOAS_MAP_FILE, iommu_ioas_map_file, iova, iommufd_ioas_map_file),
	ROW(IOMMU_IOAS_ALLOC, iommu_ioas_alloc, out_ioas_id, iommufd_ioas_alloc_ioctl),
	ROW(IOMMU_DESTROY, iommu_destroy, id, iommufd_destroy),
	ROW(IOMMU_HWPT_INVALIDATE, iommu_hwpt_invalidate, __reserved, iommufd_hwpt_invalidate),
	ROW(IOMMU_HWPT_GET_DIRTY_BITMAP, iommu_hwpt_get_dirty_bitmap, data, iommufd_hwpt_get_dirty_bitmap),
	ROW(IOMMU_HWPT_SET_DIRTY_TRACKING, iommu_hwpt_set_dirty_tracking, __reserved,
	    iommufd_hwpt_set_dirty_tracking),
	ROW(IOMMU_HWPT_ALLOC, iommu_hwpt_alloc, __reserved, iommufd_hwpt_alloc),
	ROW(IOMMU_GET_HW_INFO, iommu_hw_info, __reserved, iommufd_get_hw_info),
	ROW(IOMMU_IOAS_IOVA_RANGES, iommu_ioas_iova_ranges, out_iova_alignment, iommufd_ioas_iova_ranges),
	ROW(IOMMU_IOAS_ALLOW_IOVAS, iommu_ioas_allow_iovas, allowed_iovas, iommufd_ioas_allow_iovas),
	ROW(IOMMU_IOAS_CHANGE_PROCESS, iommu_ioas_change_process, __reserved, iommufd_ioas_change_process),
	ROW(IOMMU_OPTION, iommu_option, val64, iommufd_option),
	ROW(IOMMU_VFIO_IOAS, iommu_vfio_ioas, __reserved, iommufd_vfio_ioas),
	ROW(IOMMU_FAULT_QUEUE_ALLOC, iommu_fault_alloc, out_fault_fd, iommufd_fault_alloc),
	ROW(IOMMU_VIOMMU_ALLOC, iommu_viommu_alloc, out_viommu_id, iommufd_viommu_alloc_ioctl),
	ROW(IOMMU_VDEVICE_ALLOC, iommu_vdevice_alloc, virt_id, iommufd_vdevice_alloc_ioctl),
	ROW(IOMMU_VEVENTQ_ALLOC, iommu_veventq_alloc, out_veventq_fd, iommufd_veventq_alloc),
	ROW(IOMMU_HW_QUEUE_ALLOC, iommu_hw_queue_alloc, length, iommufd_hw_queue_alloc_ioctl),
#ifdef UVFIO_IOMMUFD_TEST
	ROW(IOMMU_TEST_CMD, iommu_test_cmd, last, iommufd_test),
#endif
};

static bool is_known(uint32_t cmd)
{
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		if (rows[i].cmd == cmd)
			return true;
	return false;
}

/* Every structure begins with its size, which is read before the request is looked up. */
static long unknown(struct file *file, const struct caller *caller, uint32_t cmd, uint64_t arg)
{
	uint64_t start = trace_on(TRACE_IOCTL) ? trace_now() : 0;
	uint32_t size;
	long rc = copy_in(caller, &size, arg, sizeof(size)) ? -EFAULT : -ENOTTY;

	if (start)
		ioctl_trace_foreign(file, cmd, start, rc, NULL);
	return rc;
}

/* What is not in the range of the numbers is VFIO's, whatever its type. */
static long iommufd_ioctl(struct file *file, const struct caller *caller, uint32_t cmd, uint64_t arg)
{
	uint32_t nr = _IOC_NR(cmd);

	if (nr < IOMMUFD_CMD_BASE || nr > LAST_CMD)
		return iommufd_vfio_ioctl(file->priv, file, caller, cmd, arg);
	if (!is_known(cmd))
		return unknown(file, caller, cmd, arg);
	return ioctl_dispatch(rows, ARRAY_SIZE(rows), file, caller, cmd, arg);
}

/* ---- objects */

const struct iommufd_object_ops iommufd_object_ops[IOMMUFD_OBJ_MAX] = {
	[IOMMUFD_OBJ_DEVICE] = { .pre_destroy = iommufd_device_pre_destroy,
				 .destroy = iommufd_device_destroy },
	[IOMMUFD_OBJ_HWPT_PAGING] = { .destroy = iommufd_hwpt_paging_destroy,
				      .abort = iommufd_hwpt_paging_abort },
	[IOMMUFD_OBJ_HWPT_NESTED] = { .destroy = iommufd_hwpt_nested_destroy },
	[IOMMUFD_OBJ_IOAS] = { .destroy = iommufd_ioas_destroy },
	[IOMMUFD_OBJ_ACCESS] = { .destroy = iommufd_access_destroy_object },
	[IOMMUFD_OBJ_FAULT] = { .destroy = iommufd_fault_destroy },
	[IOMMUFD_OBJ_VIOMMU] = { .destroy = iommufd_viommu_destroy },
	[IOMMUFD_OBJ_VDEVICE] = { .destroy = iommufd_vdevice_destroy, .abort = iommufd_vdevice_abort },
	[IOMMUFD_OBJ_VEVENTQ] = { .destroy = iommufd_veventq_destroy, .abort = iommufd_veventq_abort },
	[IOMMUFD_OBJ_HW_QUEUE] = { .destroy = iommufd_hw_queue_destroy },
#ifdef UVFIO_IOMMUFD_TEST
	[IOMMUFD_OBJ_SELFTEST] = { .destroy = iommufd_selftest_destroy },
#endif
};

/* ---- the file */

static void init_locks(struct iommufd_ctx *ctx)
{
	pthread_mutex_init(&ctx->groups_lock, NULL);
	pthread_rwlock_init(&ctx->ioas_creation_lock, NULL);
	pthread_mutex_init(&ctx->mmaps_lock, NULL);
}

static void ctx_free(struct iommufd_ctx *ctx)
{
	range_map_destroy(&ctx->mmaps);
	pthread_mutex_destroy(&ctx->mmaps_lock);
	pthread_rwlock_destroy(&ctx->ioas_creation_lock);
	pthread_mutex_destroy(&ctx->groups_lock);
	iommufd_ids_destroy(ctx);
	free(ctx);
}

static _Atomic unsigned int last_number;

static struct iommufd_ctx *ctx_new(const struct iommu_params *params, bool as_container)
{
	struct iommufd_ctx *ctx = iommufd_zalloc(sizeof(*ctx));

	if (!ctx)
		return NULL;
	if (iommufd_ids_init(ctx)) {
		free(ctx);
		return NULL;
	}
	ctx->params = params;
	ctx->number = atomic_fetch_add(&last_number, 1) + 1;
	ctx->account_mode = as_container ? IOPT_ACCOUNT_MM : IOPT_ACCOUNT_USER;
	init_locks(ctx);
	CDS_INIT_LIST_HEAD(&ctx->groups);
	range_map_init(&ctx->mmaps);
	return ctx;
}

static void iommufd_release(struct file *file)
{
	struct iommufd_ctx *ctx = file->priv;

	iommufd_objects_destroy_all(ctx);
	ctx_free(ctx);
}

static int iommufd_file_mmap(struct file *file, struct mmap_plan *plan)
{
	return iommufd_mmap(file->priv, plan);
}

static const struct file_ops iommufd_fops = {
	.name = "iommufd",
	.release = iommufd_release,
	.ioctl = iommufd_ioctl,
	.mmap = iommufd_file_mmap,
};

bool iommufd_file_is(const struct file *file)
{
	return file->ops == &iommufd_fops;
}

int iommufd_open(const struct iommu_params *params, bool as_container, int oflags, struct file **file)
{
	struct iommufd_ctx *ctx = ctx_new(params, as_container);

	if (!ctx)
		return -ENOMEM;
	ctx->file = file_alloc(&iommufd_fops, ctx, oflags, as_container ? "/dev/vfio/vfio" : "/dev/iommu");
	if (!ctx->file) {
		ctx_free(ctx);
		return -ENOMEM;
	}
	*file = ctx->file;
	return 0;
}

void iommufd_forked(struct file *file)
{
	struct iommufd_ctx *ctx;

	if (file->ops != &iommufd_fops)
		return;
	ctx = file->priv;
	init_locks(ctx);
	iommufd_ids_forked(ctx);
	iommufd_each_object(ctx, iommufd_object_forked, NULL);
}

struct iommufd_ctx *iommufd_ctx_from_file(struct file *file)
{
	if (file->ops != &iommufd_fops)
		return NULL;
	file_get(file);
	return file->priv;
}

void iommufd_ctx_get(struct iommufd_ctx *ctx)
{
	file_get(ctx->file);
}

void iommufd_ctx_put(struct iommufd_ctx *ctx)
{
	file_put(ctx->file);
}
