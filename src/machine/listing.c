/* SPDX-License-Identifier: BSD-2-Clause */
/* What a machine has and who uses it, as rows of text; and its description as it is now. */
#include "iommufd/iommufd.h"
#include "machine/mdev.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Nobody reads more of a container's mappings, and a container can have a million. */
#define MAX_MAPPINGS 4096

/* ---- devices. The machine's lock is held. */

static void put_files(unsigned int files, FILE *out)
{
	if (files)
		fprintf(out, "open in process %d\n", (int)getpid());
	else
		fputs("closed\n", out);
}

static void list_device(const struct uvfio_machine *machine, unsigned int i, FILE *out)
{
	const struct device_config *dev = &machine->config.devices[i];
	const char *name = pci_func_name(machine->funcs[i]);
	char node[24] = "-";
	unsigned int files = 0;
	bool leaving = false;

	vfio_device_state(machine->vfio, name, &files, &leaving);
	if (machine_has_cdev(machine, dev))
		snprintf(node, sizeof(node), "vfio%u", dev->index);
	fprintf(out, "%-13s %-9s %-6u %-7s ", name, dev->model->name, dev->group, node);
	if (pci_func_gone(machine->funcs[i]))
		fputs("pulled out, ", out);
	else if (leaving)
		fputs("leaving, ", out);
	put_files(files, out);
}

/* "GROUP VIABLE STATE, CONTAINER, " of a row. All devices of a group are ours: it is always viable. */
static void put_group(const struct vfio_group_info *info, FILE *out)
{
	fprintf(out, "%-6u yes     ", info->id);
	if (info->opened)
		fprintf(out, "open in process %d, ", (int)getpid());
	else if (info->cdev_opened)
		fprintf(out, "bound by cdev in process %d, ", (int)getpid());
	else
		fputs("closed, ", out);
	if (info->container)
		fprintf(out, "container %d.%u, ", (int)getpid(), info->container);
	else if (info->iommufd)
		fputs("an IOMMUFD, ", out);
}

static void list_group(const struct uvfio_machine *machine, unsigned int first, FILE *out)
{
	const struct machine_config *config = &machine->config;
	unsigned int id = config->devices[first].group;
	struct vfio_group_info info = { .id = id };
	char bdf[16];

	vfio_group_state(machine->vfio, id, &info);
	put_group(&info, out);
	for (unsigned int i = first; i < config->nr_devices; i++) {
		if (config->devices[i].group != id)
			continue;
		pci_format_bdf(&config->devices[i].slot, bdf);
		fprintf(out, "%s%s", i == first ? "" : " ", bdf);
	}
	fputc('\n', out);
}

/* Instances of mediated devices, or their groups. */
static void list_mdevs(struct uvfio_machine *machine, bool groups, FILE *out)
{
	const struct machine_mdev *m;

	machine_mdevs_sync(machine);
	pthread_mutex_lock(&machine->mdevs_lock);
	cds_list_for_each_entry (m, &machine->mdevs, node) {
		struct vfio_group_info info = { .id = m->group };
		unsigned int files = 0;
		bool leaving = false;
		char node[24] = "-";

		if (groups) {
			vfio_group_state(machine->vfio, m->group, &info);
			put_group(&info, out);
			fprintf(out, "%s\n", m->uuid);
			continue;
		}
		vfio_device_state(machine->vfio, m->uuid, &files, &leaving);
		if (machine->config.vfio.iommufd)
			snprintf(node, sizeof(node), "vfio%u", m->index);
		fprintf(out, "%-13s %-9s %-6u %-7s %s", m->uuid, mdev_parent_driver(m->parent)->name,
			m->group, node, leaving ? "leaving, " : "");
		put_files(files, out);
	}
	pthread_mutex_unlock(&machine->mdevs_lock);
}

static void list_functions(struct uvfio_machine *machine, bool groups, FILE *out)
{
	pthread_mutex_lock(&machine->lock);
	for (unsigned int i = 0; i < machine->config.nr_devices; i++) {
		if (!machine->funcs[i])
			continue;
		if (!groups)
			list_device(machine, i, out);
		else if (machine_first_of_group(&machine->config, i))
			list_group(machine, i, out);
	}
	pthread_mutex_unlock(&machine->lock);
}

/* ---- containers */

static void put_container(FILE *out, const char *name, const char *type, const unsigned int *ids,
			  unsigned int nr, uint64_t count, uint64_t bytes)
{
	char groups[64] = "-";
	size_t n = 0;

	for (unsigned int i = 0; i < nr && n < sizeof(groups); i++)
		n += (size_t)snprintf(groups + n, sizeof(groups) - n, "%s%u", i ? "," : "", ids[i]);
	fprintf(out, "%-12s %-8s %-12s %-9" PRIu64 " %" PRIu64 "\n", name, type, groups, count, bytes);
}

static void put_mapping(FILE *out, const char *name, uint64_t iova, uint64_t size, uint64_t va,
			unsigned int prot)
{
	fprintf(out, "%-12s 0x%-16" PRIx64 " 0x%-16" PRIx64 " 0x%-16" PRIx64 " %c%c\n", name, iova, size, va,
		prot & IOMMU_READ ? 'r' : '-', prot & IOMMU_WRITE ? 'w' : '-');
}

static void list_container(void *arg, const struct vfio_container_info *info)
{
	char name[32];

	snprintf(name, sizeof(name), "%d.%u", (int)getpid(), info->id);
	put_container(arg, name, info->type, info->groups, info->nr_groups, info->mappings->count,
		      info->mappings->bytes);
}

static void list_mappings(void *arg, const struct vfio_container_info *info)
{
	const struct vfio_mapping_list *list = info->mappings;
	char name[32];

	snprintf(name, sizeof(name), "%d.%u", (int)getpid(), info->id);
	for (unsigned int i = 0; i < list->nr; i++)
		put_mapping(arg, name, list->mappings[i].iova, list->mappings[i].size, list->mappings[i].va,
			    list->mappings[i].prot);
	if (list->count > list->nr)
		fprintf(arg, "%-12s and %" PRIu64 " more\n", name, list->count - list->nr);
}

static void put_report(void *arg, unsigned int id, const char *text)
{
	char name[32];

	snprintf(name, sizeof(name), "%d.%u", (int)getpid(), id);
	fprintf(arg, "%-12s %s\n", name, text);
}

/* ---- IO address spaces: "PROCESS.iIOMMUFD.ID" */

static void name_ioas(const struct iommufd_ioas_info *info, char *name, size_t len)
{
	snprintf(name, len, "%d.i%u.%u", (int)getpid(), info->ctx, info->id);
}

static void list_ioas(void *arg, const struct iommufd_ioas_info *info)
{
	char name[48];

	name_ioas(info, name, sizeof(name));
	put_container(arg, name, info->compat ? "compat" : "iommufd", info->groups, info->nr_groups,
		      info->count, info->bytes);
}

static void list_ioas_mappings(void *arg, const struct iommufd_ioas_info *info)
{
	char name[48];

	name_ioas(info, name, sizeof(name));
	for (unsigned int i = 0; i < info->nr; i++)
		put_mapping(arg, name, info->mappings[i].iova, info->mappings[i].size, info->mappings[i].va,
			    info->mappings[i].prot);
	if (info->count > info->nr)
		fprintf(arg, "%-12s and %" PRIu64 " more\n", name, info->count - info->nr);
}

static int list_containers(struct uvfio_machine *machine, FILE *out)
{
	int rc = vfio_each_container(machine->vfio, 0, list_container, out);

	return rc ? rc : iommufd_each_ioas(&machine->config.iommu, 0, list_ioas, out);
}

static int list_all_mappings(struct uvfio_machine *machine, FILE *out)
{
	int rc = vfio_each_container(machine->vfio, MAX_MAPPINGS, list_mappings, out);

	return rc ? rc : iommufd_each_ioas(&machine->config.iommu, MAX_MAPPINGS, list_ioas_mappings, out);
}

/* ---- all of them */

static const struct {
	const char *what, *heading, *none;
} kinds[] = {
	{ "devices", "ADDRESS       MODEL     GROUP  NODE    STATE", NULL },
	{ "groups", "GROUP  VIABLE  STATE, CONTAINER, DEVICES", NULL },
	{ "containers", "CONTAINER    TYPE     GROUPS       MAPPINGS  BYTES", NULL },
	{ "mappings", "CONTAINER    IOVA               SIZE               ADDRESS            ACCESS", NULL },
	{ "memory", "CONTAINER    MAPPED       BY-DOMAINS   BY-DRIVERS   CHARGED      MEMORY-OF", NULL },
	{ "tce", "CONTAINER    DMA WINDOWS, REGISTERED MEMORY, CALLS", "no sPAPR TCE containers" },
};

const char *machine_list_heading(const char *what)
{
	for (unsigned int i = 0; i < ARRAY_SIZE(kinds); i++)
		if (!strcmp(kinds[i].what, what))
			return kinds[i].heading;
	return NULL;
}

const char *machine_list_none(const char *what)
{
	for (unsigned int i = 0; i < ARRAY_SIZE(kinds); i++)
		if (!strcmp(kinds[i].what, what))
			return kinds[i].none;
	return NULL;
}

int machine_list(struct uvfio_machine *machine, const char *what, FILE *out)
{
	if (!machine_list_heading(what))
		return -EINVAL;
	if (!strcmp(what, "containers"))
		return list_containers(machine, out);
	if (!strcmp(what, "mappings"))
		return list_all_mappings(machine, out);
	if (!strcmp(what, "memory"))
		return machine_list_memory(machine, out);
	if (!strcmp(what, "tce"))
		return vfio_each_container_report(machine->vfio, put_report, out);
	list_functions(machine, !strcmp(what, "groups"), out);
	list_mdevs(machine, !strcmp(what, "groups"), out);
	return 0;
}

/* ---- the description */

/* Instances stand in lines of their own. */
static void describe_mdevs(const struct machine_config *config, FILE *out)
{
	for (unsigned int i = 0; i < config->nr_parents; i++)
		fprintf(out, "device %s%s%s,type=none\n", config->parents[i].name,
			*config->parents[i].options ? "," : "", config->parents[i].options);
	for (unsigned int i = 0; i < config->nr_instances; i++) {
		const struct mdev_instance_config *instance = &config->instances[i];
		const struct mdev_parent_config *parent = &config->parents[instance->parent];

		fprintf(out, "device %s,type=%s-%s,uuid=%s\n", parent->name, parent->driver->name,
			instance->type->name, instance->uuid);
	}
}

char *machine_describe(struct uvfio_machine *machine)
{
	char *text = NULL, *line;
	size_t size = 0;
	FILE *out = open_memstream(&text, &size);

	if (!out)
		return NULL;
	describe_mdevs(&machine->config, out);
	pthread_mutex_lock(&machine->lock);
	for (unsigned int i = 0; i < machine->config.nr_devices; i++) {
		line = machine_config_line(&machine->config.devices[i]);
		fputs(line ? line : "", out);
		free(line);
	}
	pthread_mutex_unlock(&machine->lock);
	return fclose(out) ? (free(text), NULL) : text;
}
