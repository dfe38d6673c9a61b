/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What is mapped, pinned and charged, in bytes: a row for each container and IOAS, and in it for each address
 * space that it has memory of.
 */
#include "iommu/mm_usage.h"
#include "iommufd/iommufd.h"
#include "machine/impl.h"

#include <inttypes.h>
#include <unistd.h>

static void put_usage(FILE *out, const char *name, const struct mm_usage *usage, const char *whose)
{
	fprintf(out, "%-12s %-12" PRIu64 " %-12" PRIu64 " %-12" PRIu64 " %-12" PRIu64 " %s\n", name,
		usage->mapped, usage->pinned_by_domains * UVFIO_PAGE_SIZE,
		usage->pinned_by_drivers * UVFIO_PAGE_SIZE, usage->charged * UVFIO_PAGE_SIZE, whose);
}

static void put_usages(FILE *out, const char *name, const struct mm_usages *usages)
{
	static const struct mm_usage nothing;
	char whose[48];

	if (!usages->nr)
		put_usage(out, name, &nothing, "-");
	for (unsigned int i = 0; i < usages->nr; i++) {
		mm_describe(usages->usage[i].mm, whose, sizeof(whose));
		put_usage(out, name, &usages->usage[i], whose);
	}
}

static void list_container(void *arg, unsigned int id, const struct mm_usages *usages)
{
	char name[32];

	snprintf(name, sizeof(name), "%d.%u", (int)getpid(), id);
	put_usages(arg, name, usages);
}

static void list_ioas(void *arg, unsigned int ctx, uint32_t id, const struct mm_usages *usages)
{
	char name[48];

	snprintf(name, sizeof(name), "%d.i%u.%u", (int)getpid(), ctx, id);
	put_usages(arg, name, usages);
}

int machine_list_memory(struct uvfio_machine *machine, FILE *out)
{
	int rc = vfio_each_container_usage(machine->vfio, list_container, out);

	return rc ? rc : iommufd_each_usage(&machine->config.iommu, list_ioas, out);
}

struct locked {
	const struct mm *mm;
	uint64_t pages;
};

static void add_locked(void *arg, unsigned int id, const struct mm_usages *usages)
{
	struct locked *locked = arg;

	(void)id;
	for (unsigned int i = 0; i < usages->nr; i++)
		if (mm_payer(usages->usage[i].mm) == locked->mm)
			locked->pages += usages->usage[i].charged;
}

uint64_t machine_locked_pages(struct uvfio_machine *machine, struct mm *mm)
{
	struct locked locked = { .mm = mm };

	vfio_each_container_usage(machine->vfio, add_locked, &locked);
	return locked.pages + atomic_load(&mm->vmlck_pages);
}
