/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A PCI function as vfio-pci presents it, and what a device model sees of it.
 *
 * A model describes its function (ids, BARs, capabilities, vectors) in a struct pci_desc; pci/ makes config
 * space, regions, interrupts, resets and the VFIO ioctls from it. A model is called back for accesses to
 * registers, for reset, and when it is opened and closed. It knows neither descriptors nor ioctls.
 *
 * Threads: bar_read and bar_write come from any client thread and, for a mapped BAR, from a signal handler:
 * they must not block, allocate, or take a lock that another thread holds for long. They store, and wake the
 * model's own threads. reset, open and close come with no lock of pci/ held that the model's threads could
 * need; they may wait for those threads.
 */
#ifndef UVFIO_PCI_PCI_H
#define UVFIO_PCI_PCI_H

#include "base/base.h"
#include "base/options.h"
#include "iommu/dma.h"

struct pci_func;

#define PCI_NUM_BARS  6
#define PCI_MAX_AREAS 4

/* A stretch of a BAR that is plain memory: no side effect at all. Everything else is register space. */
struct pci_area {
	uint64_t offset, size; /* page aligned to be mappable without traps */
};

/* For traces: the name of a register. Sorted by offset. An array of registers has count and stride. */
struct pci_register {
	uint64_t offset;
	unsigned int size; /* bytes */
	const char *name;  /* "CAP"; with count > 1 printf-style "SQ%uTDBL" */
	unsigned int count;
	unsigned int stride; /* bytes */
};

struct pci_bar_desc {
	uint64_t size; /* power of two, at least 16; 0: no BAR */
	bool mem64;    /* takes the next BAR's slot too */
	bool prefetch;
	bool no_mmap;                         /* do not offer MMAP */
	struct pci_area plain[PCI_MAX_AREAS]; /* size 0 ends */
	const struct pci_register *registers;
	unsigned int nr_registers;
};

struct pci_desc {
	uint16_t vendor, device, subsys_vendor, subsys_device;
	uint32_t class_code; /* 24 bits, e.g. 0x010802 */
	uint8_t revision;
	struct pci_bar_desc bar[PCI_NUM_BARS];
	unsigned int intx;         /* 0 none, 1..4 INTA..INTD */
	unsigned int msi_vectors;  /* 0 none, else 1,2,4..32 */
	unsigned int msix_vectors; /* 0 none, else up to 2048 */
	unsigned int msix_bar;
	uint32_t msix_table, msix_pba; /* offsets in msix_bar */
	bool pcie;          /* PCIe capability with FLR, 4 KiB config space; else conventional, 256 bytes */
	bool aer;           /* AER extended capability at 0x100 */
	bool pm;            /* power management capability */
	bool no_soft_reset; /* PM: D3hot keeps state */
};

struct pci_model_ops {
	/* Register access at a BAR offset. size 1, 2, 4 or 8, naturally aligned. See "Threads" above. */
	uint64_t (*bar_read)(void *priv, unsigned int bar, uint64_t offset, unsigned int size);
	void (*bar_write)(void *priv, unsigned int bar, uint64_t offset, uint64_t value, unsigned int size);
	/* Back to power-on state. When it returns nothing of before may touch memory or raise an interrupt.
	 */
	void (*reset)(void *priv);
	/* First open: start what is needed (threads are made here or later, never before). 0 or -errno. Last
	 * close: stop. */
	int (*open)(void *priv);
	void (*close)(void *priv);
	void (*destroy)(void *priv);
	/* The process has forked and this is the child: threads are gone. NULL: nothing to do. */
	void (*forked)(void *priv);
};

/* Where a model's persistent state may live and what the session gives it. */
struct pci_create {
	const char *bdf;       /* "0000:00:01.0" */
	const char *state_dir; /* directory for files that stand for volatile memory, shared by the session;
				  may be NULL */
	unsigned int instance; /* 0, 1, ... counts devices of the machine */
	const struct pci_desc *desc_override; /* unused by most */
};

struct pci_model {
	const char *name;    /* "nvme" */
	const char *summary; /* one line for `uvfio devices` */
	const struct option_desc *options;
	size_t options_size;
	/*
	 * Check options, fill *desc and make the device: *priv. On error -errno and one line in err that
	 * names the option and what would be right. Starts no thread. func is valid to keep; it is complete
	 * before open().
	 */
	int (*create)(struct pci_func *func, const struct pci_create *how, const void *opts,
		      struct pci_desc *desc, void **priv, char *err, size_t err_len);
	const struct pci_model_ops *ops;
};

/* ---- what a model calls */

/* Raise MSI-X or MSI vector: edge. It is lost while the driver has not enabled it, or has bus mastering off.
 * Any thread. */
void pci_irq(struct pci_func *func, unsigned int vector);
/* Drive the INTx line. Any thread. Level: the eventfd is signalled when it rises or is unmasked while high.
 */
void pci_intx(struct pci_func *func, bool level);
/* Which kind of interrupt is enabled now? */
enum pci_irq_mode { PCI_IRQ_NONE, PCI_IRQ_INTX, PCI_IRQ_MSI, PCI_IRQ_MSIX };
enum pci_irq_mode pci_irq_mode(struct pci_func *func);

struct iommu_dev *pci_iommu_dev(struct pci_func *func);
const char *pci_name(const struct pci_func *func); /* the BDF */
void *pci_plain_memory(struct pci_func *func, unsigned int bar,
		       uint64_t offset); /* of a plain area, or NULL */

/* Report an uncorrectable error to the driver (ERR interrupt, AER status). Any thread. */
void pci_report_error(struct pci_func *func);

/* ---- what the machine calls */

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
	const char *state_dir;
	unsigned int instance;
	const char *options; /* the text behind "model," without addr= and group= */
};

/* Make the function and register it with VFIO. -errno with a line in err. */
int pci_func_create(struct vfio *vfio, const struct pci_model *model, const struct pci_func_config *config,
		    struct pci_func **out, char *err, size_t err_len);
void pci_func_destroy(struct pci_func *func); /* unregisters first */
void pci_func_forked(struct pci_func *func);

const struct pci_desc *pci_func_desc(const struct pci_func *func);
const struct pci_slot *pci_func_slot(const struct pci_func *func);
unsigned int pci_func_vfio_index(const struct pci_func *func);
uint64_t pci_func_bar_address(const struct pci_func *func,
			      unsigned int bar); /* what sysfs `resource` shows */
/* The config space as it is now, for sysfs `config`: 256 or 4096 bytes. Returns how many. */
size_t pci_func_config_image(struct pci_func *func, uint8_t *buf, size_t len);

#endif
