/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A PCI function from the inside: what the files of pci/ share.
 *
 *   config   config space: the words a driver sees, and which of their bits it may write
 *   bars     the BARs: address, and the memory that stands behind plain areas and the MSI-X structures
 *   irqs     eventfds of all interrupts, and the state of the INTx line
 *   ioeventfds
 *
 * gate: why the BARs cannot be reached at the moment (GATE_*). Zero: they can.
 *
 * Lock order: reset_lock, irqs.lock, config.lock. config.lock is innermost. Reading config space, BAR
 * accesses and raising interrupts take no lock. reset_lock is held across resets, opening and closing,
 * because a hot reset takes functions with it that another thread opens or closes: the model's reset, open
 * and close run under it (and the device lock of VFIO), and under nothing else; nothing that a model calls
 * takes either.
 */
#ifndef UVFIO_PCI_FUNC_H
#define UVFIO_PCI_FUNC_H

#include "base/inside.h"
#include "model/model.h"
#include "pci/config.h"
#include "pci/irq.h"
#include "pci/pci.h"
#include "pci/region.h"
#include "vfio/vfio.h"

#include <pthread.h>

#define GATE_DECODE    1u /* COMMAND: memory decode is off */
#define GATE_D3HOT     2u /* PMCSR: not in D0 */
#define GATE_LOW_POWER 4u /* VFIO_DEVICE_FEATURE_LOW_POWER_ENTRY: mappings only */
#define GATE_RW        (GATE_DECODE | GATE_D3HOT)

struct pci_ioeventfd;

struct pci_ioeventfds {
	pthread_mutex_t lock; /* held across adding and removing; the callbacks do not take it */
	struct cds_list_head list;
	unsigned int nr;
};

struct pci_func {
	struct vfio_device vdev;
	struct iommu_dev iommu;
	struct uvfio_pci_func pub; /* what the model knows it by */
	struct model_host host;
	struct uvfio_pci_desc desc;
	const struct uvfio_pci_model *model;
	const struct uvfio_option *options; /* the model's */
	void *opts;                         /* parsed options; the model may keep pointers to their strings */
	struct pci_slot slot;
	char name[16];
	char *who; /* for reports about the model: name, and its file */
	_Atomic uint32_t gate;
	_Atomic bool gone; /* removed by surprise: everything reads as ones */
	bool opened;       /* under reset_lock */
	struct pci_config config;
	struct pci_bar bars[UVFIO_PCI_BARS];
	struct pci_irqs irqs;
	struct pci_ioeventfds ioeventfds;
	pthread_mutex_t reset_lock;
};

static inline struct pci_func *to_pci_func(struct vfio_device *vdev)
{
	return container_of(vdev, struct pci_func, vdev);
}

static inline struct pci_func *to_func(struct uvfio_pci_func *pub)
{
	return container_of(pub, struct pci_func, pub);
}

/* Evaluate a call of the model's callback of that name. */
#define IN_MODEL(func, name, call)                                                                           \
	do {                                                                                                 \
		struct inside before_ = inside_begin((func)->who, name " callback");                         \
		unsigned int slot_ = model_call_begin(&(func)->host, name " callback");                      \
                                                                                                             \
		(call);                                                                                      \
		model_call_end(&(func)->host, slot_);                                                        \
		inside_end(&before_);                                                                        \
	} while (0)

static inline uint32_t pci_gate(const struct pci_func *func)
{
	return atomic_load_explicit(&func->gate, memory_order_relaxed);
}

static inline bool pci_gone(const struct pci_func *func)
{
	return unlikely(atomic_load_explicit(&func->gone, memory_order_relaxed));
}

static inline void pci_gate_set(struct pci_func *func, uint32_t reason, bool closed)
{
	if (closed)
		atomic_fetch_or(&func->gate, reason);
	else
		atomic_fetch_and(&func->gate, ~reason);
}

/* irq.c, bar.c: for the model, as <uvfio/pci.h> has it */
void pci_irq(struct uvfio_pci_func *pub, unsigned int vector);
void pci_intx(struct uvfio_pci_func *pub, bool level);
enum uvfio_irq_mode pci_irq_mode(struct uvfio_pci_func *pub);
void pci_report_error(struct uvfio_pci_func *pub);
void *pci_memory(struct uvfio_pci_func *pub, unsigned int bar, uint64_t offset);

/*
 * removal.c: the function vanishes. By one of its workers, or in an access to it: somebody who keeps it open.
 * Takes config.lock only.
 */
void pci_surprise_removal(struct pci_func *func);
/* The BARs' memory reads as ones. The function is open, or reset_lock is held. */
void pci_fill_ones(struct pci_func *func);

/* function.c */
extern const struct vfio_device_ops pci_vfio_device_ops;

/* ioctl.c */
long pci_ioctl(struct vfio_device *vdev, struct file *file, const struct caller *caller, uint32_t cmd,
	       uint64_t arg);

/* reset.c: a function level reset. Config space stays as it is, as after the kernel's save and restore. */
struct ioctl_call;
void pci_reset_function(struct pci_func *func);
/* reset_lock held. what: see model_host_hold() */
void pci_reset_locked(struct pci_func *func, const char *what);
long pci_ioctl_reset(struct ioctl_call *call, void *arg);
long pci_ioctl_hot_reset_info(struct ioctl_call *call, void *arg);
long pci_ioctl_hot_reset(struct ioctl_call *call, void *arg);

/* feature.c */
long pci_ioctl_feature(struct ioctl_call *call, void *arg);
/* The driver uses the device: leave a low power state that has a wakeup eventfd. */
void pci_wake(struct pci_func *func);
void pci_low_power_exit(struct pci_func *func);

/* ioeventfd.c */
long pci_ioctl_ioeventfd(struct ioctl_call *call, void *arg);
void pci_ioeventfds_init(struct pci_ioeventfds *all);
void pci_ioeventfds_clear(struct pci_func *func);

/* The function behind a device file. */
struct pci_func *pci_call_func(const struct ioctl_call *call);

#endif
