/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The NVM Express controller as a PCI function: options, identity, namespaces, and the model's operations.
 *
 * BAR0 (16 KiB): registers at 0, doorbells at 0x1000, MSI-X table at 0x2000, pending bits at 0x3000.
 */
#include "devices/nvme/nvme.h"
#include "devices/models.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define OPTION(field) offsetof(struct nvme_options, field)

static const struct uvfio_option nvme_options[] = {
	{ "file", UVFIO_OPTION_PATH, OPTION(file), NULL, 0, 0, NULL,
	  "image or block device behind it; default: RAM" },
	{ "size", UVFIO_OPTION_SIZE, OPTION(size), NULL, 512, 1ull << 60, NULL,
	  "bytes behind it; default 256M of RAM, or the file's size; a smaller file grows to it" },
	{ "ns", UVFIO_OPTION_UINT, OPTION(ns), "1", 1, NVME_MAX_NS, NULL,
	  "namespaces; each has an equal part of the file or RAM" },
	{ "readonly", UVFIO_OPTION_BOOL, OPTION(readonly), "off", 0, 0, NULL,
	  "refuse everything that would write" },
	{ "lba", UVFIO_OPTION_SIZE, OPTION(lba), "512", 512, 4096, "512|4096", "bytes per logical block" },
	{ "mdts", UVFIO_OPTION_SIZE, OPTION(mdts), "0", 0, 1ull << 30, NULL,
	  "largest transfer in bytes, a power of two from 8K on; 0: unlimited" },
	{ "queues", UVFIO_OPTION_UINT, OPTION(queues), "64", 1, NVME_MAX_QUEUES, NULL, "I/O queue pairs" },
	{ "threads", UVFIO_OPTION_UINT, OPTION(threads), "0", 0, NVME_MAX_THREADS, NULL,
	  "threads that carry out commands; 0: as many as there are CPUs, at most 2" },
	{ 0 },
};

/* MDTS counts pages as a power of two, and 0 means no limit: one page cannot be said. */
static int check_mdts(struct nvme_ctrl *ctrl, uint64_t mdts, char *err, size_t err_len)
{
	ctrl->mdts = mdts;
	if (!mdts)
		return 0;
	if (mdts < 2 * UVFIO_PAGE_SIZE || mdts & (mdts - 1)) {
		snprintf(err, err_len, "nvme: mdts=%llu: give a power of two from 8K on, or 0 for no limit",
			 (unsigned long long)mdts);
		return -EINVAL;
	}
	ctrl->mdts_shift = (unsigned int)__builtin_ctzll(mdts) - UVFIO_PAGE_SHIFT;
	return 0;
}

/* Equal parts, on 4 KiB boundaries where that leaves anything. */
static int make_namespaces(struct nvme_ctrl *ctrl, const struct nvme_options *opts, char *err, size_t err_len)
{
	uint64_t part = ctrl->media.size / opts->ns;
	uint64_t aligned = align_down(part, MAX(opts->lba, (uint64_t)4096));

	if (opts->ns > 1 && aligned)
		part = aligned;
	else
		part = align_down(part, opts->lba);
	if (!part) {
		snprintf(err, err_len, "nvme: ns=%llu: %llu bytes are not enough for that many namespaces",
			 (unsigned long long)opts->ns, (unsigned long long)ctrl->media.size);
		return -EINVAL;
	}
	ctrl->nr_ns = (unsigned int)opts->ns;
	ctrl->ns = calloc(ctrl->nr_ns, sizeof(*ctrl->ns));
	if (!ctrl->ns)
		return -ENOMEM;
	for (unsigned int i = 0; i < ctrl->nr_ns; i++)
		ctrl->ns[i] = (struct nvme_ns){ i + 1, i * part, part >> ctrl->lba_shift };
	return 0;
}

static unsigned int default_threads(void)
{
	long cpus = sysconf(_SC_NPROCESSORS_ONLN);

	return cpus > 1 ? 2 : 1;
}

static void init_locks(struct nvme_ctrl *ctrl)
{
	pthread_mutex_init(&ctrl->intx_lock, NULL);
	pthread_mutex_init(&ctrl->control_lock, NULL);
	pthread_mutex_init(&ctrl->gate, NULL);
	pthread_cond_init(&ctrl->gate_cond, NULL);
	pthread_mutex_init(&ctrl->admin_lock, NULL);
	pthread_mutex_init(&ctrl->log.lock, NULL);
	nvme_queues_init(ctrl);
}

static void nvme_destroy(struct uvfio_pci_func *func)
{
	struct nvme_ctrl *ctrl = func->dev.priv;

	nvme_queues_destroy(ctrl);
	pthread_mutex_destroy(&ctrl->log.lock);
	pthread_mutex_destroy(&ctrl->admin_lock);
	pthread_cond_destroy(&ctrl->gate_cond);
	pthread_mutex_destroy(&ctrl->gate);
	pthread_mutex_destroy(&ctrl->control_lock);
	pthread_mutex_destroy(&ctrl->intx_lock);
	nvme_workers_free(ctrl);
	nvme_media_close(&ctrl->media);
	free(ctrl->media.name);
	free(ctrl->ns);
}

static int set_up(struct nvme_ctrl *ctrl, const struct nvme_options *opts, char *err, size_t err_len)
{
	int rc;

	ctrl->queues = (unsigned int)opts->queues;
	ctrl->nr_workers = opts->threads ? (unsigned int)opts->threads : default_threads();
	ctrl->lba_shift = (unsigned int)__builtin_ctzll(opts->lba);
	ctrl->media.name = strdup(opts->file ? opts->file : "the memory behind it");
	if (!ctrl->media.name)
		return -ENOMEM;
	rc = check_mdts(ctrl, opts->mdts, err, err_len);
	if (!rc)
		rc = nvme_media_open(&ctrl->media, opts, &ctrl->func->dev, err, err_len);
	if (!rc)
		rc = make_namespaces(ctrl, opts, err, err_len);
	if (!rc)
		rc = nvme_workers_new(ctrl);
	return rc;
}

static int nvme_create(struct uvfio_pci_func *func, struct uvfio_pci_desc *desc, char *err, size_t err_len)
{
	struct nvme_ctrl *ctrl = func->dev.priv;
	int rc;

	(void)desc;
	snprintf(err, err_len, "nvme: out of memory");
	ctrl->func = func;
	ctrl->media.fd = -1;
	init_locks(ctrl);
	rc = set_up(ctrl, func->dev.options, err, err_len);
	if (!rc)
		nvme_features_reset(ctrl);
	return rc;
}

static void nvme_reset(struct uvfio_pci_func *func)
{
	nvme_full_reset(func->dev.priv);
}

/* Completions may be waiting already. */
static void nvme_intx_enabled(struct uvfio_pci_func *func)
{
	struct nvme_ctrl *ctrl = func->dev.priv;

	atomic_store(&ctrl->intx_check, true);
	nvme_kick(ctrl);
}

/* The workers of before are gone, with the kicks that they had taken: the new ones look at every queue. */
static void nvme_forked(struct uvfio_pci_func *func)
{
	struct nvme_ctrl *ctrl = func->dev.priv;

	ctrl->active = 0;
	atomic_store(&ctrl->frozen, 0);
	for (unsigned int i = 0; i < ctrl->nr_workers; i++)
		atomic_store(&ctrl->workers[i].busy, false);
	init_locks(ctrl);
	atomic_store(&ctrl->unstall, true);
	nvme_kick(ctrl);
}

const struct uvfio_pci_model nvme_model = {
	.name = "nvme",
	.summary = "NVM Express 1.4 controller backed by RAM or a file",
	.options = nvme_options,
	.options_size = sizeof(struct nvme_options),
	.priv_size = sizeof(struct nvme_ctrl),
	.desc = {
		.vendor = 0x1b36,
		.device = 0x0010,
		.subsys_vendor = 0x1af4,
		.subsys_device = 0x1100,
		.class_code = 0x010802,
		.revision = 2,
		.bar[0] = { .size = 0x4000, .mem64 = true, .registers = nvme_registers },
		.intx = 1,
		.msix_vectors = NVME_VECTORS,
		.msix_bar = 0,
		.msix_table = 0x2000,
		.msix_pba = 0x3000,
		.pcie = true,
		.aer = true,
		.pm = true,
		.no_soft_reset = true,
	},
	.ops = {
		.create = nvme_create,
		.destroy = nvme_destroy,
		.reset = nvme_reset,
		.read = nvme_bar_read,
		.write = nvme_bar_write,
		.intx_enabled = nvme_intx_enabled,
		.forked = nvme_forked,
	},
};
