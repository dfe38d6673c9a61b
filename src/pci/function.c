/* SPDX-License-Identifier: BSD-2-Clause */
/* A function's life: made from a model and its options, registered with VFIO, opened, closed, removed. */
#include "base/log.h"
#include "base/options.h"
#include "base/why.h"
#include "pci/check.h"
#include "pci/func.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- what VFIO calls */

static int call_open(struct pci_func *func)
{
	char said[MODEL_SAID] = "";
	int rc = 0;

	if (!func->model->ops.open)
		return 0;
	model_opening(&func->host, said);
	IN_MODEL(func, "open", rc = func->model->ops.open(&func->pub));
	model_opening(NULL, NULL);
	return rc ? model_refused("the model's open", rc, said) : 0;
}

static int open_locked(struct pci_func *func)
{
	int rc;

	if (pci_func_gone(func))
		return -ENODEV;
	rc = pci_bars_open(func);
	if (rc)
		return rc;
	pci_config_restore(func);
	rc = model_host_open(&func->host);
	if (rc)
		goto close_bars;
	rc = call_open(func);
	if (rc)
		goto close_host;
	func->opened = true;
	pci_reset_locked(func, "open");
	model_host_release(&func->host);
	return 0;

close_host:
	model_host_close(&func->host);
close_bars:
	pci_bars_close(func);
	return rc;
}

static int open_device(struct vfio_device *vdev)
{
	struct pci_func *func = to_pci_func(vdev);
	int rc;

	pthread_mutex_lock(&func->reset_lock);
	rc = open_locked(func);
	pthread_mutex_unlock(&func->reset_lock);
	return rc;
}

static void close_device(struct vfio_device *vdev)
{
	struct pci_func *func = to_pci_func(vdev);

	pci_ioeventfds_clear(func);
	pthread_mutex_lock(&func->reset_lock);
	pci_reset_locked(func, "close");
	pci_irqs_disable(func);
	pci_low_power_exit(func);
	pci_config_restore(func);
	model_host_hold(&func->host, "close");
	if (func->model->ops.close)
		IN_MODEL(func, "close", func->model->ops.close(&func->pub));
	model_host_close(&func->host);
	pci_bars_close(func);
	func->opened = false;
	pthread_mutex_unlock(&func->reset_lock);
}

static ssize_t read_device(struct vfio_device *vdev, const struct caller *caller, uint64_t buf, size_t len,
			   uint64_t off)
{
	return len ? pci_rw(to_pci_func(vdev), caller, buf, len, off, false) : 0;
}

static ssize_t write_device(struct vfio_device *vdev, const struct caller *caller, uint64_t buf, size_t len,
			    uint64_t off)
{
	return len ? pci_rw(to_pci_func(vdev), caller, buf, len, off, true) : 0;
}

static int mmap_device(struct vfio_device *vdev, struct mmap_plan *plan)
{
	return pci_mmap(to_pci_func(vdev), plan);
}

static int mmio_device(struct vfio_device *vdev, uint64_t off, void *data, unsigned int len, bool write)
{
	return pci_mmio(to_pci_func(vdev), off, data, len, write);
}

/* "BDF", perhaps with options behind a space: there is none that a function without SR-IOV could take. */
static int match_device(struct vfio_device *vdev, const char *name)
{
	size_t len = strlen(vdev->name);

	/* what was pulled out is not found any more, by those who have it open neither */
	if (strncmp(name, vdev->name, len) || pci_func_gone(to_pci_func(vdev)))
		return 0;
	if (name[len] && name[len] != ' ')
		return 0;
	return name[len + strspn(name + len, " ")] ? -EINVAL : 1;
}

/* Tokens are for functions with SR-IOV, and those that it makes. */
static int match_token(struct vfio_device *vdev, const uint8_t *uuid)
{
	return uuid ? WHY(-EINVAL, "%s is no function that takes a VF token", vdev->name) : 0;
}

static void request_device(struct vfio_device *vdev, unsigned int count)
{
	struct pci_func *func = to_pci_func(vdev);

	if (!pci_slot_signal(func, &func->irqs.req, "REQ", 0) && !count && !pci_gone(func))
		uvfio_err("%s: to be removed, but its user has set no REQ interrupt; waiting until it closes "
			  "the device",
			  func->name);
}

static void reset_device(struct vfio_device *vdev)
{
	pci_reset_function(to_pci_func(vdev));
}

const struct vfio_device_ops pci_vfio_device_ops = {
	.name = "vfio-pci",
	.open_device = open_device,
	.close_device = close_device,
	.ioctl = pci_ioctl,
	.read = read_device,
	.write = write_device,
	.mmap = mmap_device,
	.mmio = mmio_device,
	.match = match_device,
	.match_token_uuid = match_token,
	.reset = reset_device,
	.request = request_device,
};

/* ---- what the model calls */

static uint32_t config_read(struct uvfio_pci_func *pub, unsigned int offset)
{
	struct pci_func *func = to_func(pub);
	const struct uvfio_pci_config_register *reg = pci_config_register(func, offset);

	return reg ? pci_config_word(func, offset & ~3u) >> (offset & 3) * 8 & pci_config_mask(reg->size) : 0;
}

static void config_update(struct uvfio_pci_func *pub, unsigned int offset, uint32_t clear, uint32_t set)
{
	struct pci_func *func = to_func(pub);
	const struct uvfio_pci_config_register *reg = pci_config_register(func, offset);
	unsigned int shift = (offset & 3) * 8;

	if (reg)
		pci_config_update(func, offset & ~3u, (clear & pci_config_mask(reg->size)) << shift,
				  (set & pci_config_mask(reg->size)) << shift);
}

static const struct uvfio_pci_calls pci_calls = {
	.irq = pci_irq,
	.intx = pci_intx,
	.irq_mode = pci_irq_mode,
	.report_error = pci_report_error,
	.memory = pci_memory,
	.config_read = config_read,
	.config_update = config_update,
};

/* ---- what the machine calls */

static void unplug(struct uvfio_device *dev)
{
	struct pci_func *func = container_of(dev, struct pci_func, pub.dev);

	pci_surprise_removal(func);
}

static void free_model(struct pci_func *func)
{
	if (func->model->ops.destroy)
		IN_MODEL(func, "destroy", func->model->ops.destroy(&func->pub));
	options_free(func->options, func->opts);
}

static int call_create(struct pci_func *func, const char *device, char *err, size_t err_len)
{
	int rc;

	IN_MODEL(func, "create", rc = func->model->ops.create(&func->pub, &func->desc, err, err_len));
	if (!rc)
		return 0;
	model_blame(device, err, err_len);
	if (!*err)
		snprintf(err, err_len, "%s: cannot be made: %s", device, strerror(rc < 0 ? -rc : EINVAL));
	return rc < 0 ? rc : -EINVAL;
}

/* The model's device, and what it is given. */
static int make_model(struct pci_func *func, const struct pci_func_config *config, const char *device,
		      char *err, size_t err_len)
{
	const struct uvfio_pci_model *model = func->model;
	struct uvfio_device *dev = &func->pub.dev;
	int rc;

	dev->name = func->name;
	dev->state_dir = config->state_dir;
	dev->instance = config->instance;
	dev->options = func->opts;
	func->pub.calls = &pci_calls;
	func->desc = model->desc;
	rc = options_parse(func->options, model->name, config->options, func->opts, err, err_len);
	if (rc < 0)
		return rc;
	*err = 0;
	rc = model->ops.create ? call_create(func, device, err, err_len) : 0;
	model_host_created(&func->host);
	if (!rc) {
		rc = pci_check_desc(&func->desc, true, err, err_len);
		if (rc)
			model_blame(device, err, err_len);
	}
	if (rc)
		free_model(func);
	return rc;
}

/* Everything that follows from the description. */
static int build(struct pci_func *func, unsigned int instance, char *err, size_t err_len)
{
	int rc;

	pci_bars_init(func, instance);
	pci_config_init(func);
	rc = pci_irqs_init(func);
	if (rc) {
		snprintf(err, err_len, "%s: out of memory", func->name);
		return rc;
	}
	pci_ioeventfds_init(&func->ioeventfds);
	pthread_mutex_init(&func->reset_lock, NULL);
	return 0;
}

static int register_func(struct pci_func *func, struct vfio *vfio, const struct pci_func_config *config,
			 char *err, size_t err_len)
{
	int rc;

	func->vdev.ops = &pci_vfio_device_ops;
	func->vdev.iommu_dev = &func->iommu;
	snprintf(func->vdev.name, sizeof(func->vdev.name), "%s", func->name);
	rc = vfio_register_device(vfio, &func->vdev, config->group_id, config->noiommu, config->vfio_index);
	if (rc == -EEXIST)
		snprintf(err, err_len, "addr=%s: there is a device at that address already", func->name);
	else if (rc == -EINVAL)
		snprintf(err, err_len,
			 "%s: group %u has devices with and without an IOMMU; give one of them another group",
			 func->name, config->group_id);
	else if (rc)
		snprintf(err, err_len, "%s: %s", func->name, strerror(-rc));
	return rc;
}

static void free_func(struct pci_func *func)
{
	free(func->pub.dev.priv);
	free(func->opts);
	free(func->who);
	free(func);
}

static char *describe_model(const struct pci_func *func, const char *plugin)
{
	char *who;

	return asprintf(&who, plugin ? "%s (%s)" : "%s", func->name, plugin) < 0 ? NULL : who;
}

/* A function with nothing in it. NULL: no memory. */
static struct pci_func *alloc_func(const struct uvfio_pci_model *model, const struct pci_func_config *config)
{
	static const struct uvfio_option no_options[] = { { .key = NULL } };
	struct pci_func *func = calloc(1, sizeof(*func));

	if (!func)
		return NULL;
	func->model = model;
	func->options = model->options ? model->options : no_options;
	func->opts = calloc(1, MAX(model->options_size, (size_t)1));
	func->pub.dev.priv = calloc(1, MAX(model->priv_size, (size_t)1));
	func->slot = config->slot;
	pci_format_bdf(&func->slot, func->name);
	func->who = describe_model(func, config->plugin);
	if (!func->opts || !func->pub.dev.priv || !func->who) {
		free_func(func);
		return NULL;
	}
	return func;
}

int pci_func_create(struct vfio *vfio, const struct uvfio_pci_model *model,
		    const struct pci_func_config *config, struct pci_func **out, char *err, size_t err_len)
{
	struct pci_func *func = alloc_func(model, config);
	int rc;

	if (!func) {
		snprintf(err, err_len, "%s: out of memory", model->name);
		return -ENOMEM;
	}
	iommu_dev_init(&func->iommu, func->name);
	model_host_init(&func->host, &func->pub.dev, &func->iommu);
	func->host.vdev = &func->vdev;
	func->host.unplug = unplug;
	func->host.who = func->who;
	func->host.watch.wanted = config->plugin;
	rc = make_model(func, config, config->device ? config->device : model->name, err, err_len);
	if (rc)
		goto destroy_host;
	rc = build(func, config->instance, err, err_len);
	if (rc)
		goto destroy_model;
	rc = register_func(func, vfio, config, err, err_len);
	if (rc)
		goto destroy_irqs;
	*out = func;
	return 0;

destroy_irqs:
	pci_irqs_destroy(func);
destroy_model:
	free_model(func);
destroy_host:
	model_host_destroy(&func->host);
	iommu_dev_destroy(&func->iommu);
	free_func(func);
	return rc;
}

void pci_func_unregister(struct pci_func *func)
{
	vfio_unregister_device(&func->vdev);
}

void pci_func_set_leaving(struct pci_func *func, bool leaving)
{
	vfio_device_set_leaving(&func->vdev, leaving);
}

void pci_func_free(struct pci_func *func)
{
	pci_irqs_destroy(func);
	free_model(func);
	model_host_destroy(&func->host);
	iommu_dev_destroy(&func->iommu);
	free_func(func);
}

void pci_func_destroy(struct pci_func *func)
{
	pci_func_unregister(func);
	pci_func_free(func);
}

void pci_func_forked(struct pci_func *func)
{
	pthread_mutex_init(&func->config.lock, NULL);
	pthread_mutex_init(&func->ioeventfds.lock, NULL);
	pthread_mutex_init(&func->reset_lock, NULL);
	pci_irqs_forked(func);
	model_host_forked(&func->host);
	if (func->model->ops.forked)
		IN_MODEL(func, "forked", func->model->ops.forked(&func->pub));
}

void pci_func_take_over(struct pci_func *func)
{
	pthread_mutex_lock(&func->reset_lock);
	if (func->opened && model_host_open(&func->host))
		uvfio_err("%s: its threads cannot be started", func->name);
	else if (func->opened && !pci_func_gone(func))
		model_host_release(&func->host);
	pthread_mutex_unlock(&func->reset_lock);
}

const struct uvfio_pci_desc *pci_func_desc(const struct pci_func *func)
{
	return &func->desc;
}

const struct pci_slot *pci_func_slot(const struct pci_func *func)
{
	return &func->slot;
}

const char *pci_func_name(const struct pci_func *func)
{
	return func->name;
}

unsigned int pci_func_vfio_index(const struct pci_func *func)
{
	return func->vdev.index;
}

size_t pci_func_config_image(struct pci_func *func, uint8_t *buf, size_t len)
{
	len = MIN(len, (size_t)func->config.size);
	for (size_t at = 0; at < len; at += 4) {
		uint32_t word = pci_config_word(func, (uint32_t)at);

		memcpy(buf + at, &word, MIN(len - at, sizeof(word)));
	}
	return len;
}
