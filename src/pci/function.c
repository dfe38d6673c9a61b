/* SPDX-License-Identifier: BSD-2-Clause */
/* A function's life: made from a model and its options, registered with VFIO, opened, closed, removed. */
#include "base/log.h"
#include "pci/func.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- what VFIO calls */

static int open_locked(struct pci_func *func)
{
	int rc;

	rc = pci_bars_open(func);
	if (rc)
		return rc;
	pci_config_restore(func);
	rc = func->model->ops->open ? func->model->ops->open(func->priv) : 0;
	if (rc) {
		pci_bars_close(func);
		return rc;
	}
	pci_reset_locked(func);
	return 0;
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
	pci_reset_locked(func);
	pci_irqs_disable(func);
	pci_low_power_exit(func);
	pci_config_restore(func);
	if (func->model->ops->close)
		func->model->ops->close(func->priv);
	pci_bars_close(func);
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

	if (strncmp(name, vdev->name, len))
		return 0;
	if (name[len] && name[len] != ' ')
		return 0;
	return name[len + strspn(name + len, " ")] ? -EINVAL : 1;
}

static void request_device(struct vfio_device *vdev, unsigned int count)
{
	struct pci_func *func = to_pci_func(vdev);

	if (!pci_slot_signal(func, &func->irqs.req, "REQ", 0) && !count)
		uvfio_err("%s: to be removed, but its user has set no REQ interrupt; waiting until it closes "
			  "the device",
			  func->name);
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
	.request = request_device,
};

/* ---- what the machine calls */

static int check_desc(const struct pci_func *func, char *err, size_t err_len)
{
	const struct pci_desc *desc = &func->desc;
	unsigned int msi = desc->msi_vectors;

	if (desc->intx > 4 || msi > 32 || (msi & (msi - 1)) || desc->class_code >> 24) {
		snprintf(err, err_len, "%s: the model %s describes its function badly", func->name,
			 func->model->name);
		return -EINVAL;
	}
	return 0;
}

static int make_model(struct pci_func *func, const struct pci_func_config *config, char *err, size_t err_len)
{
	const struct pci_model *model = func->model;
	const struct pci_create how = { .bdf = func->name,
					.state_dir = config->state_dir,
					.instance = config->instance };
	int rc;

	rc = options_parse(model->options, model->name, config->options, func->opts, err, err_len);
	if (rc < 0)
		return rc;
	rc = model->create(func, &how, func->opts, &func->desc, &func->priv, err, err_len);
	if (rc)
		options_free(model->options, func->opts);
	return rc;
}

/* Everything that follows from the description. */
static int build(struct pci_func *func, unsigned int instance, char *err, size_t err_len)
{
	int rc;

	rc = check_desc(func, err, err_len);
	if (!rc)
		rc = pci_bars_init(func, instance, err, err_len);
	if (rc)
		return rc;
	rc = pci_irqs_init(func);
	if (rc) {
		snprintf(err, err_len, "%s: out of memory", func->name);
		return rc;
	}
	pci_config_init(func);
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
	rc = vfio_register_device(vfio, &func->vdev, config->group_id, config->noiommu);
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

static void free_model(struct pci_func *func)
{
	if (func->model->ops->destroy)
		func->model->ops->destroy(func->priv);
	options_free(func->model->options, func->opts);
}

int pci_func_create(struct vfio *vfio, const struct pci_model *model, const struct pci_func_config *config,
		    struct pci_func **out, char *err, size_t err_len)
{
	struct pci_func *func = calloc(1, sizeof(*func));
	void *opts = calloc(1, MAX(model->options_size, (size_t)1));
	int rc = -ENOMEM;

	if (!func || !opts) {
		snprintf(err, err_len, "%s: out of memory", model->name);
		goto free_func;
	}
	func->model = model;
	func->opts = opts;
	func->slot = config->slot;
	pci_format_bdf(&func->slot, func->name);
	iommu_dev_init(&func->iommu, func->name);
	rc = make_model(func, config, err, err_len);
	if (rc)
		goto destroy_iommu;
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
destroy_iommu:
	iommu_dev_destroy(&func->iommu);
free_func:
	free(opts);
	free(func);
	return rc;
}

void pci_func_destroy(struct pci_func *func)
{
	vfio_unregister_device(&func->vdev);
	pci_irqs_destroy(func);
	free_model(func);
	iommu_dev_destroy(&func->iommu);
	free(func->opts);
	free(func);
}

void pci_func_forked(struct pci_func *func)
{
	pthread_mutex_init(&func->config.lock, NULL);
	pthread_mutex_init(&func->ioeventfds.lock, NULL);
	pthread_mutex_init(&func->reset_lock, NULL);
	pci_irqs_forked(func);
	if (func->model->ops->forked)
		func->model->ops->forked(func->priv);
}

const struct pci_desc *pci_func_desc(const struct pci_func *func)
{
	return &func->desc;
}

const struct pci_slot *pci_func_slot(const struct pci_func *func)
{
	return &func->slot;
}

unsigned int pci_func_vfio_index(const struct pci_func *func)
{
	return func->vdev.index;
}

const char *pci_name(const struct pci_func *func)
{
	return func->name;
}

struct iommu_dev *pci_iommu_dev(struct pci_func *func)
{
	return &func->iommu;
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
