/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What there is, for those who look from outside: see iommufd.h. An IOAS that is being looked at is in use
 * like in any call: it cannot be destroyed for that moment.
 */
#include "iommufd/iopt_private.h"

#include <stdlib.h>

/* ---- contexts: those whose files are open */

struct files {
	struct file **file;
	unsigned int nr, room;
};

static void count_file(struct file *file, void *arg)
{
	struct files *files = arg;

	files->room += iommufd_file_is(file);
}

/* Under the lock of all files: none becomes another meanwhile, but one may just be closed. */
static void keep_file(struct file *file, void *arg)
{
	struct files *files = arg;

	if (files->nr < files->room && iommufd_file_is(file) && file_get_if_live(file))
		files->file[files->nr++] = file;
}

/* ---- one IOAS */

struct ids {
	uint32_t *id;
	unsigned int nr;
	bool no_memory;
};

static void add_id(struct ids *ids, uint32_t id)
{
	uint32_t *more = reallocarray(ids->id, ids->nr + 1, sizeof(*more));

	ids->no_memory |= !more;
	if (!more)
		return;
	ids->id = more;
	ids->id[ids->nr++] = id;
}

/* That of a driver that does without an IOMMU. */
static void note_access_group(void *arg, struct iommufd_object *obj)
{
	const struct iommufd_access *access = container_of(obj, struct iommufd_access, obj);

	if (obj->type == IOMMUFD_OBJ_ACCESS && access->ops && access->ops->group)
		add_id(arg, access->ops->group(access->data));
}

static void list_groups(struct iommufd_ctx *ctx, struct ids *ids)
{
	struct iommufd_group *igroup;

	pthread_mutex_lock(&ctx->groups_lock);
	cds_list_for_each_entry (igroup, &ctx->groups, node)
		add_id(ids, igroup->group->id);
	pthread_mutex_unlock(&ctx->groups_lock);
	iommufd_each_object(ctx, note_access_group, ids);
}

struct copy {
	struct iommufd_ioas_info *info;
	struct iommufd_mapping *mappings;
	unsigned int max;
};

static void copy_area(struct copy *copy, const struct range *range)
{
	const struct iopt_area *area = range->value;

	copy->info->count++;
	copy->info->bytes += range->last - range->start + 1;
	if (copy->info->nr < copy->max)
		copy->mappings[copy->info->nr++] = (struct iommufd_mapping){
			.iova = range->start,
			.size = range->last - range->start + 1,
			.va = area->pages->type == IOPT_PAGES_USER ? area_va(area) : 0,
			.prot = area->prot,
		};
}

static int copy_areas(struct iommufd_ioas *ioas, struct iommufd_ioas_info *info, unsigned int max)
{
	struct copy copy = { .info = info, .max = max };
	struct range range;

	copy.mappings = calloc(MAX(max, 1u), sizeof(*copy.mappings));
	if (!copy.mappings)
		return -ENOMEM;
	pthread_rwlock_rdlock(&ioas->iopt.lock);
	for (uint64_t at = 0; range_map_first(&ioas->iopt.areas, at, UINT64_MAX, &range);
	     at = range.last + 1) {
		copy_area(&copy, &range);
		if (range.last == UINT64_MAX)
			break;
	}
	pthread_rwlock_unlock(&ioas->iopt.lock);
	info->mappings = copy.mappings;
	return 0;
}

/* ---- a context's */

static void note_ioas(void *arg, struct iommufd_object *obj)
{
	if (obj->type == IOMMUFD_OBJ_IOAS)
		add_id(arg, obj->id);
}

static bool is_compat(struct iommufd_ctx *ctx, const struct iommufd_ioas *ioas)
{
	bool is;

	iommufd_ids_lock(ctx);
	is = ctx->vfio_ioas == ioas;
	iommufd_ids_unlock(ctx);
	return is;
}

static int show(struct iommufd_ctx *ctx, uint32_t id, unsigned int max, iommufd_ioas_fn *fn, void *arg)
{
	struct iommufd_ioas_info info = { .ctx = ctx->number, .id = id };
	struct iommufd_ioas *ioas = iommufd_get_ioas(ctx, id);
	struct ids groups = { .id = NULL };
	int rc;

	if (!ioas)
		return 0; /* gone meanwhile */
	info.compat = is_compat(ctx, ioas);
	rc = copy_areas(ioas, &info, max);
	iommufd_put_object(ctx, &ioas->obj);
	list_groups(ctx, &groups);
	info.groups = groups.id;
	info.nr_groups = groups.nr;
	if (groups.no_memory)
		rc = -ENOMEM;
	if (!rc)
		fn(arg, &info);
	free(groups.id);
	free((void *)(uintptr_t)info.mappings);
	return rc;
}

/* Call fn for each context with these params. */
static int each_ctx(const struct iommu_params *params, int (*fn)(struct iommufd_ctx *ctx, void *arg),
		    void *arg)
{
	struct files files = { .file = NULL };
	int rc = 0;

	file_for_each(count_file, &files);
	files.file = calloc(files.room + 1, sizeof(struct file *));
	if (!files.file)
		return -ENOMEM;
	file_for_each(keep_file, &files);
	for (unsigned int i = 0; i < files.nr; i++) {
		struct iommufd_ctx *ctx = files.file[i]->priv;

		if (!rc && ctx->params == params)
			rc = fn(ctx, arg);
		file_put(files.file[i]);
	}
	free(files.file);
	return rc;
}

struct showing {
	unsigned int max;
	iommufd_ioas_fn *fn;
	iommufd_usage_fn *usage_fn;
	void *arg;
};

static int show_all(struct iommufd_ctx *ctx, void *arg)
{
	const struct showing *showing = arg;
	struct ids ids = { .id = NULL };
	int rc;

	iommufd_each_object(ctx, note_ioas, &ids);
	rc = ids.no_memory ? -ENOMEM : 0;
	for (unsigned int i = 0; i < ids.nr && !rc; i++)
		rc = show(ctx, ids.id[i], showing->max, showing->fn, showing->arg);
	free(ids.id);
	return rc;
}

int iommufd_each_ioas(const struct iommu_params *params, unsigned int max, iommufd_ioas_fn *fn, void *arg)
{
	struct showing showing = { .max = max, .fn = fn, .arg = arg };

	return each_ctx(params, show_all, &showing);
}

/* ---- what is charged */

struct tables {
	struct iommufd_ioas **ioas;
	struct io_pagetable **iopts;
	struct mm_usages *usages;
	unsigned int nr;
};

static int get_tables(struct iommufd_ctx *ctx, const struct ids *ids, struct tables *tables)
{
	tables->ioas = calloc(ids->nr + 1, sizeof(*tables->ioas));
	tables->iopts = calloc(ids->nr + 1, sizeof(*tables->iopts));
	tables->usages = calloc(ids->nr + 1, sizeof(*tables->usages));
	if (!tables->ioas || !tables->iopts || !tables->usages)
		return -ENOMEM;
	for (unsigned int i = 0; i < ids->nr; i++) {
		struct iommufd_ioas *ioas = iommufd_get_ioas(ctx, ids->id[i]);

		if (!ioas)
			continue; /* gone meanwhile */
		tables->ioas[tables->nr] = ioas;
		tables->iopts[tables->nr++] = &ioas->iopt;
	}
	return 0;
}

static void put_tables(struct iommufd_ctx *ctx, struct tables *tables)
{
	for (unsigned int i = 0; i < tables->nr; i++) {
		iommufd_put_object(ctx, &tables->ioas[i]->obj);
		mm_usages_free(&tables->usages[i]);
	}
	free(tables->ioas);
	free(tables->iopts);
	free(tables->usages);
}

static int show_usages(struct iommufd_ctx *ctx, void *arg)
{
	const struct showing *showing = arg;
	struct tables tables = { 0 };
	struct ids ids = { .id = NULL };
	int rc;

	iommufd_each_object(ctx, note_ioas, &ids);
	rc = ids.no_memory ? -ENOMEM : get_tables(ctx, &ids, &tables);
	free(ids.id);
	if (!rc)
		rc = iopt_get_usages(tables.iopts, tables.nr, tables.usages);
	for (unsigned int i = 0; !rc && i < tables.nr; i++)
		showing->usage_fn(showing->arg, ctx->number, tables.ioas[i]->obj.id, &tables.usages[i]);
	put_tables(ctx, &tables);
	return rc;
}

int iommufd_each_usage(const struct iommu_params *params, iommufd_usage_fn *fn, void *arg)
{
	struct showing showing = { .usage_fn = fn, .arg = arg };

	return each_ctx(params, show_usages, &showing);
}
