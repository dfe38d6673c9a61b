/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A mediated device driver written in C.
 *
 * A parent is one device that is shared out: it offers types, and a user makes instances of them, each with a
 * UUID. Every VFIO program is the driver of an instance, as if it were a device of its own. A driver
 * describes itself in a struct uvfio_mdev_driver: its types with their regions and interrupts, options of the
 * parent, and a few callbacks. uvfio makes of it what the kernel makes of a mediated driver: the parent's
 * directory in sysfs with mdev_supported_types, instances that come and go by writing to create and remove, a
 * group and a node for each, information ioctls, region access, interrupts.
 *
 *     uvfio run --device mtty -- sh -c 'uvfio mdev create mtty-1; ls /sys/bus/mdev/devices'
 *
 * There is no IOMMU behind an instance: it does no DMA by itself. Its driver reaches the memory that the
 * program has mapped in the instance's container or IOAS with the calls below.
 *
 * Log, trace and workers are those of <uvfio/device.h>, on &mdev->dev; its DMA calls are for devices behind
 * an IOMMU: an instance gets -EFAULT from all of them. All callbacks here run in threads of the program or of
 * uvfio, never in a signal handler, so they may take locks of the driver's; they may not wait for the
 * program. access    read and write. Several at once. control   all others. One at a time for each instance,
 * or parent; no worker of the instance is running.
 */
#ifndef UVFIO_MDEV_H
#define UVFIO_MDEV_H

#include <errno.h>
#include <uvfio/device.h>

#ifdef __cplusplus
extern "C" {
#endif

struct uvfio_mdev_calls;
struct uvfio_mdev_type;

#define UVFIO_MDEV_REGIONS 9 /* as VFIO counts those of PCI: BARs 0 to 5, ROM, configuration space, VGA */
#define UVFIO_MDEV_IRQS    5 /* INTx, MSI, MSI-X, ERR, REQ */
#define UVFIO_MDEV_CONFIG  7 /* the region that is the configuration space */
#define UVFIO_MDEV_INTX    0
#define UVFIO_MDEV_MSI     1

/* A parent as its driver sees it. All fields but priv are read-only. */
struct uvfio_mdev_parent {
	const char *name;          /* its directory's: "mtty" */
	const char *driver_name;   /* types are called DRIVER-TYPE */
	const void *options;       /* the options structure, parsed; valid to the end of parent_destroy */
	void *priv;                /* the driver's: parent_priv_size bytes of zeroes at parent_create */
	unsigned int nr_instances; /* that exist */
	void *host;                /* not the driver's */
};

/* An instance as its driver sees it. */
struct uvfio_mdev {
	struct uvfio_device dev; /* dev.name is the UUID; dev.priv is the driver's */
	const struct uvfio_mdev_calls *calls;
	struct uvfio_mdev_parent *parent;
	const struct uvfio_mdev_type *type;
};

/* ---- The description */

struct uvfio_mdev_region {
	uint64_t size; /* bytes; 0: there is none */
};

struct uvfio_mdev_irq {
	unsigned int count; /* vectors; 0: there is no such interrupt */
	bool maskable;      /* MASK and UNMASK */
	bool automasked;    /* masked by being signalled, until it is unmasked: a level-triggered line */
	bool noresize;      /* vectors are not added while it is enabled */
};

struct uvfio_mdev_type {
	const char *name;        /* "1": sysfs has it as DRIVER-1. NULL ends the table */
	const char *pretty_name; /* what the file name says; NULL: the name */
	const char *description; /* the file description; NULL: there is none */
	unsigned int data;       /* the driver's */
	struct uvfio_mdev_region regions[UVFIO_MDEV_REGIONS];
	struct uvfio_mdev_irq irqs[UVFIO_MDEV_IRQS]; /* one kind is enabled at a time */
};

struct uvfio_mdev_ops {
	/* The parent: check options, allocate. 0, or -errno with a line in err. NULL: nothing to do. */
	int (*parent_create)(struct uvfio_mdev_parent *parent, char *err, size_t err_len);
	void (*parent_destroy)(struct uvfio_mdev_parent *parent); /* no instance left. NULL: nothing */
	/*
	 * How many more instances of type there can be. NULL: max_instances less those that exist, of all
	 * types.
	 */
	unsigned int (*get_available)(struct uvfio_mdev_parent *parent, const struct uvfio_mdev_type *type);
	/*
	 * A new instance: make its workers, take what it uses of the parent. 0 or -errno, which who writes to
	 * the file create gets: -ENOSPC when the parent has not enough left. It is called in every process
	 * that uses the session.
	 */
	int (*create)(struct uvfio_mdev *mdev);
	/* Its end; not after a create that has failed. NULL: nothing to do. */
	void (*destroy)(struct uvfio_mdev *mdev);
	/* The first open: 0 or -errno. NULL: nothing to do. */
	int (*open)(struct uvfio_mdev *mdev);
	/* The last close. NULL: nothing to do. */
	void (*close)(struct uvfio_mdev *mdev);
	/* VFIO_DEVICE_RESET. 0 or -errno. NULL: the ioctl is -ENOTTY. */
	int (*reset)(struct uvfio_mdev *mdev);
	/*
	 * An access of 1, 2 or 4 bytes, naturally aligned, that begins inside the region; where the size is
	 * no multiple of 4 it may reach beyond, to the next one. A read starts with zeroes in buf. 0;
	 * anything else makes the program's call fail with -EFAULT.
	 */
	int (*read)(struct uvfio_mdev *mdev, unsigned int region, uint64_t offset, void *buf,
		    unsigned int size);
	int (*write)(struct uvfio_mdev *mdev, unsigned int region, uint64_t offset, const void *buf,
		     unsigned int size);
	/*
	 * The instance is to be removed while it is open; count: how often this has been asked, every ten
	 * seconds. NULL: its removal waits for the program without a word to it.
	 */
	void (*request)(struct uvfio_mdev *mdev, unsigned int count);
	/*
	 * What is mapped at [iova, iova + length) is going to be unmapped: unpin the pages there, before this
	 * returns or soon after it; the unmap waits. Needed by drivers that pin. Not called by two threads at
	 * once, and never while the driver is inside uvfio_mdev_pin_pages(). NULL: the driver does not pin.
	 */
	void (*dma_unmap)(struct uvfio_mdev *mdev, uint64_t iova, uint64_t length);
	/* This is the child of a fork: locks of the driver's may be held by threads that are not there. */
	void (*forked)(struct uvfio_mdev *mdev);
	void (*parent_forked)(struct uvfio_mdev_parent *parent);
	/*
	 * The VM that the instance serves, or NULL; see uvfio_notifier in <uvfio/device.h>, also for what may
	 * be done here. Called before open when there is a VM by then, whenever that changes while the
	 * instance is open, and with NULL behind close. A driver that cannot do without has its open fail
	 * while it knows none. NULL: the driver does not care.
	 */
	void (*set_kvm)(struct uvfio_mdev *mdev, struct kvm *kvm);
};

struct uvfio_mdev_driver {
	const char *name;                   /* "mtty" */
	const char *summary;                /* one line for `uvfio devices` */
	const struct uvfio_option *options; /* of the parent; or NULL */
	size_t options_size;
	size_t parent_priv_size, priv_size; /* bytes for parent->priv, mdev->dev.priv */
	const char *device_api;             /* "vfio-pci" */
	unsigned int max_instances;         /* without get_available */
	const struct uvfio_mdev_type *types;
	struct uvfio_mdev_ops ops;
};

/**
 * UVFIO_MDEV_PLUGIN() - make a shared object a plug-in; once in it, at the end of a file.
 * @driver: a struct uvfio_mdev_driver.
 *
 * uvfio run --device ./mydriver.so,key=value -- PROGRAM
 */
#define UVFIO_MDEV_PLUGIN(driver)                                                                            \
	__attribute__((visibility("default"))) extern const struct uvfio_plugin uvfio_plugin;                \
	const struct uvfio_plugin uvfio_plugin = { UVFIO_DEVICE_MAJOR, UVFIO_DEVICE_MINOR, NULL, &(driver) }

/* ---- Calls */

/* The functions below call through this table; drivers do not. */
struct uvfio_mdev_calls {
	void (*irq)(struct uvfio_mdev *, unsigned int);
	int (*irq_mode)(struct uvfio_mdev *);
	int (*pin_pages)(struct uvfio_mdev *, uint64_t, unsigned int, unsigned int, void **);
	int (*unpin_pages)(struct uvfio_mdev *, uint64_t, unsigned int);
	int (*dma_rw)(struct uvfio_mdev *, uint64_t, void *, size_t, bool);
};

/**
 * uvfio_mdev_irq() - raise an interrupt.
 * @mdev: the instance.
 * @vector: of the kind that the program has enabled; 0 for INTx.
 *
 * Nothing happens while none is enabled, or it is masked. Context: any.
 */
static inline void uvfio_mdev_irq(struct uvfio_mdev *mdev, unsigned int vector)
{
	mdev->calls->irq(mdev, vector);
}

/** uvfio_mdev_irq_mode() - which kind of interrupt is enabled: its index, or -1. Context: any. */
static inline int uvfio_mdev_irq_mode(struct uvfio_mdev *mdev)
{
	return mdev->calls->irq_mode(mdev);
}

/* ---- Memory
 *
 * What the program has mapped for DMA, by I/O address (IOVA), while the instance is open. In any thread but
 * not with a lock held that the driver's dma_unmap takes.
 */

#define UVFIO_MDEV_PAGE_SIZE 4096u
#define UVFIO_MDEV_PIN_MAX   512u /* pages of one call */
#define UVFIO_MDEV_PIN_READ  1u
#define UVFIO_MDEV_PIN_WRITE 2u

/**
 * uvfio_mdev_pin_pages() - keep pages where they are, to use them without a copy.
 * @mdev: the instance.
 * @iova: I/O address in the first page.
 * @npage: how many pages, contiguous in I/O addresses; mappings may change between them.
 * @prot: UVFIO_MDEV_PIN_READ, _WRITE, or both: what the program must have mapped them for.
 * @pages: where each page is; NULL for one that is not in this process: reach it with uvfio_mdev_dma_rw().
 *
 * Each call is to be undone; a page may be pinned several times. The driver must have a dma_unmap.
 *
 * Return: @npage, or with nothing pinned
 *   -EINVAL	nothing is mapped somewhere there, no pages, no dma_unmap, the instance is not open
 *   -ENOENT	nothing is mapped there, when the instance is on an IOAS
 *   -E2BIG	more than UVFIO_MDEV_PIN_MAX
 *   -EPERM	the program has not mapped it for that
 *   -EFAULT	the program has taken the memory away
 *   -ENOMEM	no memory, or none that may be locked
 *   others	see vfio_pin_pages() in the kernel's documentation
 */
static inline int uvfio_mdev_pin_pages(struct uvfio_mdev *mdev, uint64_t iova, unsigned int npage,
				       unsigned int prot, void **pages)
{
	return mdev->calls->pin_pages(mdev, iova, npage, prot, pages);
}

/**
 * uvfio_mdev_unpin_pages() - undo one pin of each of these pages.
 * @mdev: the instance.
 * @iova: I/O address in the first page.
 * @npage: how many pages.
 *
 * What is left at the last close is unpinned then. Return: 0, or -EINVAL: one of them is not pinned by this
 * instance (nothing is unpinned then); -E2BIG.
 */
static inline int uvfio_mdev_unpin_pages(struct uvfio_mdev *mdev, uint64_t iova, unsigned int npage)
{
	return mdev->calls->unpin_pages(mdev, iova, npage);
}

/**
 * uvfio_mdev_dma_rw() - copy from the program's memory, or to it.
 * @mdev: the instance.
 * @iova: I/O address, of any alignment.
 * @data: where to, or from.
 * @len: bytes; may cross pages and mappings.
 * @write: to the program's memory.
 *
 * Return: 0, or -EINVAL, -ENOENT, -EPERM, -EFAULT as uvfio_mdev_pin_pages(); a part may have been copied.
 */
static inline int uvfio_mdev_dma_rw(struct uvfio_mdev *mdev, uint64_t iova, void *data, size_t len,
				    bool write)
{
	return mdev->calls->dma_rw(mdev, iova, data, len, write);
}

#ifdef __cplusplus
}
#endif

#endif
