/* SPDX-License-Identifier: BSD-2-Clause */
/* IO address spaces: the object, and its ioctls around the IO page table in it. */
#include "base/why.h"
#include "iommufd/impl.h"

#include <stdlib.h>

#define MAP_FLAGS (IOMMU_IOAS_MAP_FIXED_IOVA | IOMMU_IOAS_MAP_WRITEABLE | IOMMU_IOAS_MAP_READABLE)

int iommufd_ioas_alloc(struct iommufd_ctx *ctx, struct iommufd_ioas **ioas)
{
	int rc = iommufd_object_alloc(ctx, sizeof(**ioas), IOMMUFD_OBJ_IOAS, ioas);

	if (rc)
		return rc;
	iopt_init(&(*ioas)->iopt);
	(*ioas)->iopt.ioas_id = (*ioas)->obj.id;
	CDS_INIT_LIST_HEAD(&(*ioas)->hwpt_list);
	pthread_mutex_init(&(*ioas)->mutex, NULL);
	return 0;
}

void iommufd_ioas_destroy(struct iommufd_object *obj)
{
	struct iommufd_ioas *ioas = container_of(obj, struct iommufd_ioas, obj);

	iopt_destroy(&ioas->iopt);
	pthread_mutex_destroy(&ioas->mutex);
}

int iommufd_ioas_alloc_ioctl(struct iommufd_ucmd *ucmd)
{
	struct iommu_ioas_alloc *cmd = ucmd->arg;
	struct iommufd_ioas *ioas;
	int rc;

	if (cmd->flags)
		return WHY(-EOPNOTSUPP, "flags 0x%x: none exist", cmd->flags);
	rc = iommufd_ioas_alloc(ucmd->ctx, &ioas);
	if (rc)
		return rc;
	cmd->out_ioas_id = ioas->obj.id;
	rc = iommufd_ucmd_respond(ucmd, sizeof(*cmd));
	if (rc) {
		iommufd_object_abort_and_destroy(ucmd->ctx, &ioas->obj);
		return rc;
	}
	pthread_rwlock_rdlock(&ucmd->ctx->ioas_creation_lock);
	iommufd_object_finalize(ucmd->ctx, &ioas->obj);
	pthread_rwlock_unlock(&ucmd->ctx->ioas_creation_lock);
	return 0;
}

/* ---- IOVA_RANGES, ALLOW_IOVAS */

static int put_ranges(struct iommufd_ucmd *ucmd, const struct iommu_range *ranges, uint32_t nr)
{
	struct iommu_ioas_iova_ranges *cmd = ucmd->arg;
	uint32_t room = cmd->num_iovas;
	int rc;

	for (uint32_t i = 0; i < MIN(nr, room); i++) {
		struct iommu_iova_range range = { ranges[i].start, ranges[i].last };

		rc = copy_out(ucmd->caller, cmd->allowed_iovas + i * sizeof(range), &range, sizeof(range));
		if (rc)
			return WHY(rc, "allowed_iovas 0x%llx is not writable memory",
				   (unsigned long long)cmd->allowed_iovas);
	}
	cmd->num_iovas = nr;
	rc = iommufd_ucmd_respond(ucmd, sizeof(*cmd));
	if (!rc && nr > room)
		rc = WHY(-EMSGSIZE, "there are %u ranges, and num_iovas has room for %u", nr, room);
	return rc;
}

int iommufd_ioas_iova_ranges(struct iommufd_ucmd *ucmd)
{
	struct iommu_ioas_iova_ranges *cmd = ucmd->arg;
	struct iommu_range *ranges;
	struct iommufd_ioas *ioas;
	uint64_t alignment;
	uint32_t nr;
	int rc;

	if (cmd->__reserved)
		return WHY(-EOPNOTSUPP, "__reserved is 0x%x", cmd->__reserved);
	ioas = iommufd_get_ioas(ucmd->ctx, cmd->ioas_id);
	if (!ioas)
		return -ENOENT;
	rc = iopt_iova_ranges(&ioas->iopt, &ranges, &nr, &alignment);
	cmd->out_iova_alignment = alignment;
	if (!rc)
		rc = put_ranges(ucmd, ranges, nr);
	free(ranges);
	iommufd_put_object(ucmd->ctx, &ioas->obj);
	return rc;
}

/* One after the other, as many as the program says there are: it may not have the memory for all of them. */
static int load_range(const struct iommufd_ucmd *ucmd, uint32_t i, struct range_map *map)
{
	const struct iommu_ioas_allow_iovas *cmd = ucmd->arg;
	struct iommu_iova_range range;
	int rc;

	if (copy_in(ucmd->caller, &range, cmd->allowed_iovas + i * sizeof(range), sizeof(range)))
		return WHY(-EFAULT, "range %u is not readable memory", i);
	if (range.start >= range.last)
		return WHY(-EINVAL, "range %u is empty, or a single address", i);
	rc = iommufd_should_fail() ? -ENOMEM : range_map_insert(map, range.start, range.last, NULL);
	return rc == -EEXIST ? WHY(-EINVAL, "range %u overlaps another", i) : rc;
}

static bool list_range(void *arg, struct range *range)
{
	struct iommu_range **next = arg;

	*(*next)++ = (struct iommu_range){ range->start, range->last };
	return true;
}

static int allow(struct io_pagetable *iopt, struct range_map *map, uint32_t nr)
{
	struct iommu_range *ranges = nr ? iommufd_calloc(nr, sizeof(*ranges)) : NULL, *next = ranges;
	int rc;

	if (nr && !ranges)
		return -ENOMEM;
	range_map_each(map, 0, UINT64_MAX, list_range, &next);
	rc = iopt_set_allow_iova(iopt, ranges, nr);
	free(ranges);
	return rc;
}

int iommufd_ioas_allow_iovas(struct iommufd_ucmd *ucmd)
{
	struct iommu_ioas_allow_iovas *cmd = ucmd->arg;
	struct iommufd_ioas *ioas;
	struct range_map map;
	int rc = 0;

	if (cmd->__reserved)
		return WHY(-EOPNOTSUPP, "__reserved is 0x%x", cmd->__reserved);
	ioas = iommufd_get_ioas(ucmd->ctx, cmd->ioas_id);
	if (!ioas)
		return -ENOENT;
	range_map_init(&map);
	for (uint32_t i = 0; i < cmd->num_iovas && !rc; i++)
		rc = load_range(ucmd, i, &map);
	if (!rc)
		rc = allow(&ioas->iopt, &map, cmd->num_iovas);
	range_map_destroy(&map);
	iommufd_put_object(ucmd->ctx, &ioas->obj);
	return rc;
}

/* ---- MAP, MAP_FILE, COPY, UNMAP */

static int check_flags(uint32_t flags)
{
	const uint32_t unknown = flags & ~(uint32_t)MAP_FLAGS;

	return unknown ? WHY(-EOPNOTSUPP, "unknown flags 0x%x: known are FIXED_IOVA, WRITEABLE, READABLE",
			     unknown)
		       : 0;
}

static int check_protection(uint32_t flags)
{
	if (flags & (IOMMU_IOAS_MAP_WRITEABLE | IOMMU_IOAS_MAP_READABLE))
		return 0;
	return WHY(-EINVAL, "neither WRITEABLE nor READABLE");
}

static unsigned int to_prot(uint32_t flags)
{
	return (flags & IOMMU_IOAS_MAP_WRITEABLE ? IOMMU_WRITE : 0) |
	       (flags & IOMMU_IOAS_MAP_READABLE ? IOMMU_READ : 0);
}

static unsigned int to_flags(uint32_t flags)
{
	return flags & IOMMU_IOAS_MAP_FIXED_IOVA ? 0 : IOPT_ALLOC_IOVA;
}

int iommufd_ioas_map(struct iommufd_ucmd *ucmd)
{
	struct iommu_ioas_map *cmd = ucmd->arg;
	struct iommufd_ioas *ioas;
	uint64_t iova = cmd->iova;
	int rc;

	rc = check_flags(cmd->flags);
	if (rc)
		return rc;
	if (cmd->__reserved)
		return WHY(-EOPNOTSUPP, "__reserved is 0x%x", cmd->__reserved);
	if (cmd->iova == UINT64_MAX || cmd->length == UINT64_MAX)
		return WHY(-EOVERFLOW, "iova or length is 2^64 - 1");
	rc = check_protection(cmd->flags);
	if (rc)
		return rc;
	ioas = iommufd_get_ioas(ucmd->ctx, cmd->ioas_id);
	if (!ioas)
		return -ENOENT;
	rc = iopt_map_user_pages(ucmd->ctx, &ioas->iopt, ucmd->caller->mm, &iova, cmd->user_va, cmd->length,
				 to_prot(cmd->flags), to_flags(cmd->flags));
	if (!rc) {
		cmd->iova = iova;
		rc = iommufd_ucmd_respond(ucmd, sizeof(*cmd));
	}
	iommufd_put_object(ucmd->ctx, &ioas->obj);
	return rc;
}

int iommufd_ioas_map_file(struct iommufd_ucmd *ucmd)
{
	struct iommu_ioas_map_file *cmd = ucmd->arg;
	struct iommufd_ioas *ioas;
	uint64_t iova = cmd->iova;
	int rc;

	rc = check_flags(cmd->flags);
	if (rc)
		return rc;
	if (cmd->iova == UINT64_MAX || cmd->length == UINT64_MAX)
		return WHY(-EOVERFLOW, "iova or length is 2^64 - 1");
	rc = check_protection(cmd->flags);
	if (rc)
		return rc;
	ioas = iommufd_get_ioas(ucmd->ctx, cmd->ioas_id);
	if (!ioas)
		return -ENOENT;
	rc = iopt_map_file_pages(ucmd->ctx, &ioas->iopt, ucmd->caller, &iova, cmd->fd, cmd->start,
				 cmd->length, to_prot(cmd->flags), to_flags(cmd->flags));
	if (!rc) {
		cmd->iova = iova;
		rc = iommufd_ucmd_respond(ucmd, sizeof(*cmd));
	}
	iommufd_put_object(ucmd->ctx, &ioas->obj);
	return rc;
}

int iommufd_ioas_copy(struct iommufd_ucmd *ucmd)
{
	struct iommu_ioas_copy *cmd = ucmd->arg;
	struct iommufd_ioas *src, *dst;
	uint64_t iova = cmd->dst_iova;
	int rc;

	rc = check_flags(cmd->flags);
	if (rc)
		return rc;
	if (cmd->length == UINT64_MAX || cmd->src_iova == UINT64_MAX || cmd->dst_iova == UINT64_MAX)
		return WHY(-EOVERFLOW, "length, src_iova or dst_iova is 2^64 - 1");
	rc = check_protection(cmd->flags);
	if (rc)
		return rc;
	src = iommufd_get_ioas(ucmd->ctx, cmd->src_ioas_id);
	if (!src)
		return -ENOENT;
	dst = iommufd_get_ioas(ucmd->ctx, cmd->dst_ioas_id); /* that there is none shows later */
	rc = iopt_copy(dst ? &dst->iopt : NULL, &iova, &src->iopt, cmd->src_iova, cmd->length,
		       to_prot(cmd->flags), to_flags(cmd->flags));
	if (!rc) {
		cmd->dst_iova = iova;
		rc = iommufd_ucmd_respond(ucmd, sizeof(*cmd));
	}
	if (dst)
		iommufd_put_object(ucmd->ctx, &dst->obj);
	iommufd_put_object(ucmd->ctx, &src->obj);
	return rc;
}

static int unmap(struct io_pagetable *iopt, const struct iommu_ioas_unmap *cmd, uint64_t *unmapped)
{
	int rc;

	if (!cmd->iova && cmd->length == UINT64_MAX)
		return iopt_unmap_all(iopt, unmapped);
	if (cmd->iova == UINT64_MAX || cmd->length == UINT64_MAX)
		return WHY(-EOVERFLOW, "iova or length is 2^64 - 1");
	rc = iopt_unmap_iova(iopt, cmd->iova, cmd->length, unmapped);
	if (!rc && !*unmapped)
		rc = WHY(-ENOENT, "nothing is mapped there");
	return rc;
}

int iommufd_ioas_unmap(struct iommufd_ucmd *ucmd)
{
	struct iommu_ioas_unmap *cmd = ucmd->arg;
	struct iommufd_ioas *ioas = iommufd_get_ioas(ucmd->ctx, cmd->ioas_id);
	uint64_t unmapped;
	int rc;

	if (!ioas)
		return -ENOENT;
	rc = unmap(&ioas->iopt, cmd, &unmapped);
	if (!rc) {
		cmd->length = unmapped;
		rc = iommufd_ucmd_respond(ucmd, sizeof(*cmd));
	}
	iommufd_put_object(ucmd->ctx, &ioas->obj);
	return rc;
}

/* ---- CHANGE_PROCESS, and the option */

struct tables {
	struct io_pagetable **iopts;
	unsigned int nr, room;
};

static void add_table(void *arg, struct iommufd_object *obj)
{
	struct tables *tables = arg;

	if (obj->type != IOMMUFD_OBJ_IOAS)
		return;
	if (tables->iopts && tables->nr == tables->room)
		return;
	if (tables->iopts) {
		tables->iopts[tables->nr] = &container_of(obj, struct iommufd_ioas, obj)->iopt;
		iommufd_object_use(obj);
	}
	tables->nr++;
}

/* Under ioas_creation_lock, held for writing: no table is added. */
static int change_process(struct iommufd_ucmd *ucmd)
{
	struct tables tables = { 0 };
	int rc;

	iommufd_each_object(ucmd->ctx, add_table, &tables);
	if (!tables.nr)
		return 0;
	tables.room = tables.nr;
	tables.nr = 0;
	tables.iopts = iommufd_calloc(tables.room, sizeof(*tables.iopts));
	if (!tables.iopts)
		return -ENOMEM;
	iommufd_each_object(ucmd->ctx, add_table, &tables);
	rc = iopt_change_process(tables.iopts, tables.nr, ucmd->caller->mm);
	for (unsigned int i = 0; i < tables.nr; i++)
		iommufd_object_unuse(&container_of(tables.iopts[i], struct iommufd_ioas, iopt)->obj);
	free(tables.iopts);
	return rc;
}

int iommufd_ioas_change_process(struct iommufd_ucmd *ucmd)
{
	const struct iommu_ioas_change_process *cmd = ucmd->arg;
	int rc;

	if (cmd->__reserved)
		return WHY(-EOPNOTSUPP, "__reserved is 0x%x", cmd->__reserved);
	pthread_rwlock_wrlock(&ucmd->ctx->ioas_creation_lock);
	rc = change_process(ucmd);
	pthread_rwlock_unlock(&ucmd->ctx->ioas_creation_lock);
	return rc;
}

static int option_huge_pages(struct io_pagetable *iopt, struct iommu_option *cmd)
{
	switch (cmd->op) {
	case IOMMU_OPTION_OP_GET:
		cmd->val64 = !iopt_large_pages_disabled(iopt);
		return 0;
	case IOMMU_OPTION_OP_SET:
		if (!cmd->val64)
			return iopt_disable_large_pages(iopt);
		if (cmd->val64 != 1)
			return WHY(-EINVAL, "HUGE_PAGES is 0 or 1");
		iopt_enable_large_pages(iopt);
		return 0;
	default:
		return WHY(-EOPNOTSUPP, "op %u: 0 is SET, 1 is GET", cmd->op);
	}
}

int iommufd_ioas_option(struct iommufd_ucmd *ucmd)
{
	struct iommu_option *cmd = ucmd->arg;
	struct iommufd_ioas *ioas = iommufd_get_ioas(ucmd->ctx, cmd->object_id);
	int rc;

	if (!ioas)
		return -ENOENT;
	rc = option_huge_pages(&ioas->iopt, cmd);
	iommufd_put_object(ucmd->ctx, &ioas->obj);
	return rc;
}
