/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A mediated device driver written in C. docs/writing-devices.md, section 6, is the tutorial,
 * examples/checksum.c a driver to start from; mtty, inside uvfio, uses this interface and no other.
 *
 * A parent is one device that is shared out: it offers types, and a user makes instances of them, each with a
 * UUID. Every VFIO program is the driver of an instance, as if it were a device of its own. A driver
 * describes itself in a struct uvfio_mdev_driver: its types with their regions and interrupts, options of the
 * parent, and a few callbacks. uvfio makes of it what the kernel makes of a mediated driver: the parent's
 * directory in sysfs with mdev_supported_types, instances that come and go by writing to create and remove, a
 * group and a node for each, information ioctls, region access, interrupts. Nothing is mapped into the
 * program: it reaches regions with pread() and pwrite().
 *
 *     uvfio run --device ./checksum.so -- PROGRAM       (with an instance at /sys/bus/mdev/devices/UUID)
 *     uvfio run --device ./checksum.so,type=none -- sh -c 'uvfio mdev create checksum-1; PROGRAM'
 *     uvfio devices ./checksum.so                       (checks the description)
 *
 * There is no IOMMU behind an instance: it does no DMA by itself. Its driver reaches the memory that the
 * program has mapped in the instance's container or IOAS with uvfio_mdev_pin_pages(), _unpin_pages() and
 * _dma_rw().
 *
 * Log, trace and workers are those of <uvfio/device.h>, on &mdev->dev, and so are its rules for a guest in
 * someone else's process. Its DMA calls are for devices behind an IOMMU: an instance gets -EFAULT from all of
 * them; uvfio_unplug() does nothing here. Where code runs:
 *
 *   access    read and write: any thread of the program, several at once. Never a signal handler, so they may
 *             take locks and allocate; they may not wait for the program.
 *   unmap     dma_unmap: any thread of the program that is inside of an unmap, several at once. It may not
 *             map or unmap.
 *   control   all others. One at a time for each instance, or parent; no worker of the instance is running,
 *             and of the parent's callbacks none runs beside create and destroy of its instances.
 *
 * A crash in a callback, and one that has not returned for five seconds, are told in a line that names the
 * instance and the callback.
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
#define UVFIO_MDEV_MSIX    2

/* A parent as its driver sees it. All fields but priv, and what it points to, are read-only. */
struct uvfio_mdev_parent {
	const char *name;          /* its directory's in sysfs: the driver's name */
	const char *driver_name;   /* types are called DRIVER-TYPE */
	const void *options;       /* the options structure, parsed; valid to the end of parent_destroy */
	void *priv;                /* the driver's: parent_priv_size bytes of zeroes at parent_create */
	unsigned int nr_instances; /* that exist: of all types, and in this process */
	void *host;                /* not the driver's */
};

/* An instance as its driver sees it. Read-only, but for what dev.priv points to. */
struct uvfio_mdev {
	/*
	 * dev.name: the UUID. dev.priv: the driver's, priv_size bytes of zeroes at create; it stays from open
	 * to open. dev.options: the parent's. dev.instance, dev.state_dir: see <uvfio/device.h>.
	 */
	struct uvfio_device dev;
	const struct uvfio_mdev_calls *calls;
	struct uvfio_mdev_parent *parent;
	const struct uvfio_mdev_type *type; /* in the driver's table */
};

/* ---- The description */

struct uvfio_mdev_region {
	uint64_t size; /* bytes, at most 2^40; 0: there is none, and accesses fail with EFAULT */
};

struct uvfio_mdev_irq {
	unsigned int count; /* vectors: at most 1, of MSI 32, of MSI-X 2048; 0: there is no such interrupt */
	bool maskable;      /* the program may MASK and UNMASK it */
	bool automasked;    /* masked by being signalled, until it is unmasked: a level-triggered line */
	bool noresize;      /* tells programs that vectors are not added while it is enabled */
};

/* One kind of instance. Names are words of letters, digits, - and _; with the driver's at most 60 letters. */
struct uvfio_mdev_type {
	const char *name;        /* "1": sysfs has it as DRIVER-1. NULL ends the table */
	const char *pretty_name; /* what the file name says; NULL: the name */
	const char *description; /* the file description; NULL: there is none */
	unsigned int data;       /* the driver's: a number that tells its types apart */
	struct uvfio_mdev_region regions[UVFIO_MDEV_REGIONS];
	struct uvfio_mdev_irq irqs[UVFIO_MDEV_IRQS]; /* one kind is enabled at a time */
};

/*
 * What a driver does. Only read and write are needed; NULL: nothing to do, but where it says something else.
 * A callback that returns 0 or -errno and returns something else makes the program's call fail with EIO.
 */
struct uvfio_mdev_ops {
	/* The parent: check options, allocate. 0, or -errno after uvfio_create_error(), which ends `uvfio
	 * run`. */
	int (*parent_create)(struct uvfio_mdev_parent *parent, char *err, size_t err_len);
	/* Its end; not after a parent_create that has failed. No instance is left. */
	void (*parent_destroy)(struct uvfio_mdev_parent *parent);
	/*
	 * How many more instances of type there can be. NULL: max_instances less those that exist, of all
	 * types. What it says is what available_instances shows; create is what decides.
	 */
	unsigned int (*get_available)(struct uvfio_mdev_parent *parent, const struct uvfio_mdev_type *type);
	/*
	 * A new instance: make its workers, take what it uses of the parent. 0 or -errno, which who writes to
	 * the file create gets: -ENOSPC when the parent has not enough left. It is called in every process
	 * that uses the session, at the latest when that opens a node.
	 */
	int (*create)(struct uvfio_mdev *mdev);
	/* Its end; not after a create that has failed. It is closed. */
	void (*destroy)(struct uvfio_mdev *mdev);
	/* The first open: 0 or -errno, which the program gets; say why with uvfio_log(). */
	int (*open)(struct uvfio_mdev *mdev);
	/* The last close. Pages still pinned are unpinned after it, and a line says so; interrupts are off
	 * then. */
	void (*close)(struct uvfio_mdev *mdev);
	/*
	 * VFIO_DEVICE_RESET: 0 or -errno, which the program gets. Accesses may go on beside it. NULL: the
	 * ioctl fails with ENOTTY.
	 */
	int (*reset)(struct uvfio_mdev *mdev);
	/*
	 * An access of size 1, 2 or 4 bytes, naturally aligned, that begins inside the region (offset is less
	 * than its size); where the size of the region is no multiple of 4 it may reach beyond, to the next
	 * one. What the program reads or writes at once is cut into such pieces. buf: in the order of memory,
	 * size bytes; a read starts with zeroes there. 0; anything else makes the program's call fail with
	 * EFAULT.
	 */
	int (*read)(struct uvfio_mdev *mdev, unsigned int region, uint64_t offset, void *buf,
		    unsigned int size);
	int (*write)(struct uvfio_mdev *mdev, unsigned int region, uint64_t offset, const void *buf,
		     unsigned int size);
	/*
	 * This process removes the instance while it has it open; ask the program to let go of it, by an
	 * interrupt for instance. When another process removes it, nobody is asked. count: how often this has
	 * been asked before, every ten seconds. It may run beside accesses. NULL: its removal waits for the
	 * program without a word to it.
	 */
	void (*request)(struct uvfio_mdev *mdev, unsigned int count);
	/*
	 * What is mapped at [iova, iova + length) is going to be unmapped: unpin the pages there, before this
	 * returns or soon after it, by a worker for instance; the unmap waits, and asks again, for about a
	 * second. One that has asked in vain (10 times, on an IOAS 100 times) fails with EBUSY (on an IOAS:
	 * EDEADLK), unmaps nothing, and a line names the instance. It is called when anything of a mapping is
	 * pinned, by whichever instance, with iova and length of the mapping, and with 0 and UINT64_MAX when
	 * the instance is detached from its IOAS: what is still pinned when that returns is unpinned then, a
	 * line says so, and the driver must not touch these pages any more. Several threads may be in it at
	 * once, and others in uvfio_mdev_pin_pages() meanwhile: it is asked again for what one of those has
	 * pinned and not yet noted. NULL: the driver does not pin.
	 */
	void (*dma_unmap)(struct uvfio_mdev *mdev, uint64_t iova, uint64_t length);
	/*
	 * This is the child of a fork, before it goes on: locks of the driver's may be held by threads that
	 * are not there. Make them anew. Workers are uvfio's affair.
	 */
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
	const char *name;                   /* "mtty": a word, which becomes a directory's */
	const char *summary;                /* one line for `uvfio devices` */
	const struct uvfio_option *options; /* of the parent: see <uvfio/option.h>; or NULL. Not type, uuid */
	size_t options_size;                /* bytes of the options structure */
	size_t parent_priv_size;            /* bytes for parent->priv */
	size_t priv_size;                   /* bytes for mdev->dev.priv */
	const char *device_api;             /* "vfio-pci": regions and interrupts are those of PCI */
	unsigned int max_instances;         /* without get_available */
	const struct uvfio_mdev_type *types; /* ends with a name of NULL */
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
 * Nothing happens while none is enabled, that vector has no eventfd, there is no such vector, or it is
 * masked: it is not kept for later. Context: any, also with locks of the driver's held.
 */
static inline void uvfio_mdev_irq(struct uvfio_mdev *mdev, unsigned int vector)
{
	mdev->calls->irq(mdev, vector);
}

/**
 * uvfio_mdev_irq_mode() - which kind of interrupt is enabled.
 * @mdev: the instance.
 *
 * Context: any. Return: its index, UVFIO_MDEV_INTX for instance, or -1.
 */
static inline int uvfio_mdev_irq_mode(struct uvfio_mdev *mdev)
{
	return mdev->calls->irq_mode(mdev);
}

/* ---- Memory
 *
 * What the program has mapped for DMA, by I/O address (IOVA), while the instance is open and in a container,
 * or attached to an IOAS. In any thread. A lock that the driver's dma_unmap takes may be held to pin and to
 * unpin, which wait for no callback, but not to copy, which may wait for the program (userfaultfd(2)).
 *
 * To copy (dma_rw) costs nothing but the copy, and is right for what is used once. A pin is for what is used
 * again and again: the host's address stays good, and may be used without asking, until the page is unpinned.
 * A call that fails is reported in a line on standard error, once for each place; --trace=dma shows all
 * calls.
 */

#define UVFIO_MDEV_PAGE_SIZE 4096u
#define UVFIO_MDEV_PIN_MAX   512u /* pages of one call */
#define UVFIO_MDEV_PIN_READ  1u
#define UVFIO_MDEV_PIN_WRITE 2u

/**
 * uvfio_mdev_pin_pages() - keep pages where they are, to use them without a copy.
 * @mdev: the instance.
 * @iova: I/O address in the first page; what it is within the page does not matter.
 * @npage: how many pages, contiguous in I/O addresses; mappings may change between them.
 * @prot: UVFIO_MDEV_PIN_READ, _WRITE, or both: what the program must have mapped them for. 0: in a container
 *   anything will do, on an IOAS it is UVFIO_MDEV_PIN_READ, as in Linux. Other bits: -EPERM.
 * @pages: room for @npage: where each page is in this process; NULL for one that is not, which
 *   uvfio_mdev_dma_rw() reaches. Valid in callbacks and workers until the page is unpinned: where the program
 *   has unmapped the memory itself meanwhile, there are zeroes. It is the program's memory: what the program
 *   writes there is seen at once, and what it protects with mprotect() must not be touched.
 *
 * Each call is to be undone; a page may be pinned several times, and is charged once. The driver must have a
 * dma_unmap. To a program that asks its container for dirty pages, a page is one while it is pinned.
 *
 * Return: @npage, or with nothing pinned
 *   -EINVAL	@npage is 0; no dma_unmap; the instance is not open; nothing is mapped somewhere there; on an
 *		IOAS: a file is mapped there, and has become shorter, or is no memory
 *   -ENOENT	nothing is mapped there, or it is not attached, when the instance is on an IOAS
 *   -E2BIG	more than UVFIO_MDEV_PIN_MAX
 *   -EOVERFLOW	the range leaves the 64 bits of I/O addresses
 *   -EPERM	the program has not mapped it for that
 *   -EFAULT	the memory is not there: the program has taken it away
 *   -ENODEV	the process whose memory it is has exited
 *   -EACCES	the container is of type1, version 1
 *   -EBUSY	mappings have lost their virtual addresses (VFIO_DMA_UNMAP_FLAG_VADDR) and not got new ones
 *		yet
 *   -ENOMEM	no memory, or more would be locked than the program may
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
 * @npage: how many pages; not necessarily those of one uvfio_mdev_pin_pages().
 *
 * What is left at the last close, or when the instance is detached from its IOAS, is unpinned then, and a
 * line says how much that was.
 *
 * Return: 0, or with nothing unpinned
 *   -EINVAL	@npage is 0; the instance is not open; it has not pinned all of them
 *   -E2BIG, -EOVERFLOW	as uvfio_mdev_pin_pages()
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
 * A driver without dma_unmap may call it, too.
 *
 * Return: 0, or when a part may have been copied
 *   -EINVAL	@len is 0; the instance is not open; nothing is mapped somewhere there; a file as above
 *   -ENOENT	the same, when the instance is on an IOAS
 *   -EPERM	not mapped for writing; in a container also: not for reading, which writing needs, too, or its
 *		process has exited
 *   -EFAULT	the memory is not there; on an IOAS also: its process has exited
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
