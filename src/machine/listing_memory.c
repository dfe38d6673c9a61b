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
