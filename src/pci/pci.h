/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A PCI function as vfio-pci presents it, made from what a model describes by <uvfio/pci.h>: config space,
 * regions, interrupts, resets and the VFIO ioctls. This is what the machine sees of it.
 */
#ifndef UVFIO_PCI_PCI_H
#define UVFIO_PCI_PCI_H

#include "base/base.h"

#include <uvfio/pci.h>

struct pci_func;
struct vfio;

struct pci_slot {
	uint16_t domain;
	uint8_t bus, dev, fn;
};
int pci_parse_bdf(const char *text, struct pci_slot *slot); /* "0000:00:01.0" or "00:01.0"; -EINVAL */
void pci_format_bdf(const struct pci_slot *slot, char buf[16]);

struct pci_func_config {
	struct pci_slot slot;
	unsigned int group_id;
	bool noiommu;
	unsigned int vfio_index; /* of its node, or VFIO_ANY_INDEX */
	const char *state_dir;
	unsigned int instance;
	const char *options; /* the text behind "model," without addr= and group= */
	const char *device;  /* what complaints about the model begin with; NULL: the model's name */
	const char *plugin;  /* the model's file; NULL: built in */
};

/* Make the function and register it with VFIO. -errno with a line in err. */
int pci_func_create(struct vfio *vfio, const struct uvfio_pci_model *model,
		    const struct pci_func_config *config, struct pci_func **out, char *err, size_t err_len);
void pci_func_destroy(struct pci_func *func); /* both of what follows */
/* Ask the user to let go, and wait until the last file is closed. Nothing finds the function afterwards. */
void pci_func_unregister(struct pci_func *func);
void pci_func_free(struct pci_func *func);
/* Nobody opens it any more; or again, when it is not unregistered after all. */
void pci_func_set_leaving(struct pci_func *func, bool leaving);

/*
 * From outside, on a function that does not go away meanwhile. Unplug: it is pulled out; when that returns,
 * it does no DMA and raises no interrupt any more. Reset: as by the reset file in sysfs. Error: as when the
 * bus reports one that cannot be corrected. -ENODEV: nobody has it open (and nothing is done).
 */
void pci_func_unplug(struct pci_func *func);
int pci_func_reset(struct pci_func *func);
int pci_func_error(struct pci_func *func);
bool pci_func_gone(const struct pci_func *func);
const char *pci_func_name(const struct pci_func *func);
void pci_func_forked(struct pci_func *func); /* this is the child of a fork: no worker runs */
/* After that: who had the function open is gone, and this process goes on with it. Its workers start. */
void pci_func_take_over(struct pci_func *func);

const struct uvfio_pci_desc *pci_func_desc(const struct pci_func *func);
const struct pci_slot *pci_func_slot(const struct pci_func *func);
unsigned int pci_func_vfio_index(const struct pci_func *func);
uint64_t pci_func_bar_address(const struct pci_func *func,
			      unsigned int bar); /* what sysfs `resource` shows */
/*
 * From now on what this process maps may become a guest's memory: BARs with side effects are offered for
 * mapping no more, in any function, since what a guest does there would be no trap of ours.
 */
void pci_map_for_guests(void);
/* The config space as it is now, for sysfs `config`: 256 or 4096 bytes. Returns how many. */
size_t pci_func_config_image(struct pci_func *func, uint8_t *buf, size_t len);

#endif
