/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A PCI function written in C.
 *
 * A model describes its function in a struct uvfio_pci_model: ids, BARs, vectors, capabilities, options, and
 * a few callbacks. uvfio makes of it what a driver finds behind VFIO: configuration space, regions,
 * interrupts, resets, sysfs. As a plug-in, a shared object, it is used by its file's name:
 *
 *     uvfio run --device ./mydevice.so,key=value -- PROGRAM
 *
 * The contexts (access, worker, control) are those of <uvfio/device.h>, which says what may be done in each.
 */
#ifndef UVFIO_PCI_H
#define UVFIO_PCI_H

#include <errno.h>
#include <stdio.h>
#include <uvfio/device.h>

#ifdef __cplusplus
extern "C" {
#endif

struct uvfio_pci_calls;

/* A function as its model sees it. */
struct uvfio_pci_func {
	struct uvfio_device dev;
	const struct uvfio_pci_calls *calls;
};

/* ---- Registers: what traces say about them
 *
 * Declared registers are named in traces with their fields; accesses work without, and are traced as
 * "undeclared", or "memory" in plain areas.
 */

/* A stretch of bits of a register. */
struct uvfio_field {
	uint8_t first, last;       /* bit numbers, both included; fields do not overlap */
	const char *name;          /* NULL ends a table */
	const char *const *values; /* names of the values 0, 1, ..., ended by NULL; or NULL */
};

struct uvfio_register {
	uint64_t offset;     /* aligned to size, or to 8 */
	unsigned int size;   /* bytes: 1, 2, 4 or 8; more for a block of them */
	const char *name;    /* with count > 1 with one %u for the index: "SQ%uTDBL"; a percent sign is
				written twice. NULL ends a table */
	unsigned int count;  /* an array of registers: how many (0 is 1) */
	unsigned int stride; /* and bytes from one to the next */
	const struct uvfio_field *fields;
};

/* ---- The description
 *
 * It is checked when a plug-in is loaded (`uvfio devices ./mydevice.so` does no more than that), and, when it
 * has a create callback, again after that. Only sizes of BARs and the vendor may be left 0 until then; all
 * else has to be possible as it stands. What cannot be found is a table without its end.
 */

#define UVFIO_PCI_BARS  6
#define UVFIO_PCI_AREAS 4

/* A stretch of a BAR that is plain memory: accesses have no side effect and make no callback. */
struct uvfio_pci_area {
	uint64_t offset, size; /* bytes, multiples of 8; whole pages can be mapped without traps */
};

struct uvfio_pci_bar {
	uint64_t size; /* bytes, a power of two from 16 on; 0: there is no such BAR */
	bool mem64;    /* a 64-bit BAR: takes the next one's place too */
	bool prefetch;
	bool no_mmap; /* not to be mapped by programs: pread and pwrite only */
	struct uvfio_pci_area plain[UVFIO_PCI_AREAS]; /* size 0 ends */
	/* Sorted by offset, none over another; arrays may be interleaved. NULL: not declared */
	const struct uvfio_register *registers;
};

/* A register of the model's own in configuration space, outside all capabilities. */
struct uvfio_pci_config_register {
	uint16_t offset; /* bytes, aligned to size */
	uint8_t size;    /* 1, 2 or 4 bytes; 0 ends a table */
	const char *name;
	uint32_t initial;
	uint32_t writable; /* bits that a driver writes */
	uint32_t clear;    /* bits that a driver clears by writing 1 */
};

/* A vendor-specific capability (id 0x09). */
struct uvfio_pci_vendor_cap {
	uint8_t len;             /* bytes, the header of 3 among them; 0 ends a table */
	const uint8_t *body;     /* len - 3 bytes */
	const uint8_t *writable; /* as many: bits that a driver writes; NULL: none */
};

struct uvfio_pci_desc {
	uint16_t vendor, device, subsys_vendor, subsys_device;
	uint32_t class_code; /* 24 bits: 0x010802 is an NVMe controller */
	uint8_t revision;
	struct uvfio_pci_bar bar[UVFIO_PCI_BARS];
	unsigned int intx;             /* 0: no INTx; 1 to 4: INTA to INTD */
	unsigned int msi_vectors;      /* 0: no MSI; 1, 2, 4, 8, 16 or 32 */
	unsigned int msix_vectors;     /* 0: no MSI-X; up to 2048 */
	unsigned int msix_bar;         /* the BAR with the MSI-X table and pending bits, */
	uint32_t msix_table, msix_pba; /* and where in it; multiples of 8; taken out of the model's registers,
					  with the rest of their pages when the BAR's registers are
					  declared and none of them is there.
					  Both 0: in a BAR of their own, the first that is free */
	bool pcie;          /* PCI Express, with function level reset and 4096 bytes of configuration space */
	bool aer;           /* advanced error reporting; with pcie */
	bool pm;            /* power management */
	bool no_soft_reset; /* with pm: D3hot keeps the function's state */
	const struct uvfio_pci_vendor_cap *vendor_caps;
	const struct uvfio_pci_config_register *config;
};

struct uvfio_pci_ops {
	/*
	 * Finish the device: check options, allocate. desc holds the model's description, to be changed where
	 * options ask for it. 0, or -errno after uvfio_create_error(). NULL: nothing to do. It is called in
	 * every process that makes the machine, and before that in one that tries it. Context: control.
	 */
	int (*create)(struct uvfio_pci_func *func, struct uvfio_pci_desc *desc, char *err, size_t err_len);
	/* The end. Also after a create that has failed. NULL: nothing to do. Context: control. */
	void (*destroy)(struct uvfio_pci_func *func);
	/* The first open, before reset: 0 or -errno, which the program gets; say why with uvfio_log(). NULL:
	 * nothing. Context: control. */
	int (*open)(struct uvfio_pci_func *func);
	/* The last close, after reset. NULL: nothing to do. Context: control. */
	void (*close)(struct uvfio_pci_func *func);
	/*
	 * Back to the state after power-on: at open, close, function level and hot reset, and leaving D3hot
	 * without no_soft_reset. No worker runs meanwhile; nothing of before may have an effect afterwards.
	 * Context: control.
	 */
	void (*reset)(struct uvfio_pci_func *func);
	/*
	 * A register access: offset in the BAR; size 1, 2, 4 or 8 bytes, naturally aligned. Not called for
	 * plain areas and the MSI-X table. Values are numbers: byte order is done. Context: access.
	 */
	uint64_t (*read)(struct uvfio_pci_func *func, unsigned int bar, uint64_t offset, unsigned int size);
	void (*write)(struct uvfio_pci_func *func, unsigned int bar, uint64_t offset, uint64_t value,
		      unsigned int size);
	/* The driver has enabled INTx. For a model that drives the line only then. NULL: nothing to do.
	 * Context: access. */
	void (*intx_enabled)(struct uvfio_pci_func *func);
	/*
	 * This is the child of a fork: threads of the model's own, and what the workers were at, are gone.
	 * When the device is open and this process goes on with it, its workers run again after this, and
	 * find the kicks that are made here. NULL: nothing to do. Context: control.
	 */
	void (*forked)(struct uvfio_pci_func *func);
};

struct uvfio_pci_model {
	const char *name;                   /* "nvme" */
	const char *summary;                /* one line for `uvfio devices` */
	const struct uvfio_option *options; /* or NULL */
	size_t options_size;                /* bytes of the options structure */
	size_t priv_size;                   /* bytes for func->dev.priv */
	struct uvfio_pci_desc desc;
	struct uvfio_pci_ops ops;
};

/* ---- A plug-in's entry */

/**
 * UVFIO_PCI_PLUGIN() - make a shared object a plug-in; once in it, at the end of a file.
 * @model: a struct uvfio_pci_model.
 */
#define UVFIO_PCI_PLUGIN(model)                                                                              \
	__attribute__((visibility("default"))) extern const struct uvfio_plugin uvfio_plugin;                \
	const struct uvfio_plugin uvfio_plugin = { UVFIO_DEVICE_MAJOR, UVFIO_DEVICE_MINOR, &(model), NULL }

/* ---- Calls */

enum uvfio_irq_mode { UVFIO_IRQ_NONE, UVFIO_IRQ_INTX, UVFIO_IRQ_MSI, UVFIO_IRQ_MSIX };

/* The functions below call through this table; models do not. */
struct uvfio_pci_calls {
	void (*irq)(struct uvfio_pci_func *, unsigned int);
	void (*intx)(struct uvfio_pci_func *, bool);
	enum uvfio_irq_mode (*irq_mode)(struct uvfio_pci_func *);
	void (*report_error)(struct uvfio_pci_func *);
	void *(*memory)(struct uvfio_pci_func *, unsigned int, uint64_t);
	uint32_t (*config_read)(struct uvfio_pci_func *, unsigned int);
	void (*config_update)(struct uvfio_pci_func *, unsigned int, uint32_t, uint32_t);
};

/**
 * uvfio_pci_irq() - raise an MSI-X or MSI vector.
 * @func: the function.
 * @vector: 0 to the number of vectors less one; what is above is reported once for the device, and ignored.
 *
 * Edge triggered. While the driver has not enabled the vector, or bus mastering, nothing happens.
 * Context: any.
 */
static inline void uvfio_pci_irq(struct uvfio_pci_func *func, unsigned int vector)
{
	func->calls->irq(func, vector);
}

/**
 * uvfio_pci_intx() - drive the INTx line.
 * @func: the function.
 * @level: true: asserted. Reported once, and ignored, when the function has no INTx.
 *
 * Level triggered: the driver is told when the line rises, and when it unmasks while it is high. Context:
 * any.
 */
static inline void uvfio_pci_intx(struct uvfio_pci_func *func, bool level)
{
	func->calls->intx(func, level);
}

/** uvfio_pci_irq_mode() - which kind of interrupt has the driver enabled? Context: any. */
static inline enum uvfio_irq_mode uvfio_pci_irq_mode(struct uvfio_pci_func *func)
{
	return func->calls->irq_mode(func);
}

/**
 * uvfio_pci_report_error() - an error that the driver cannot have corrected: the ERR interrupt, and the
 * status of advanced error reporting.
 * @func: the function.
 *
 * Context: any.
 */
static inline void uvfio_pci_report_error(struct uvfio_pci_func *func)
{
	func->calls->report_error(func);
}

/**
 * uvfio_pci_memory() - the memory of a plain area.
 * @func: the function.
 * @bar: the BAR's number.
 * @offset: in the BAR, bytes.
 *
 * The driver reads and writes it at any time: use atomic accesses. Valid from open to close; the contents are
 * zero at open and are the model's to keep or clear at reset. Context: any between open and close.
 *
 * Return: where it is, or NULL: that is no plain area, or the function is not open.
 */
static inline void *uvfio_pci_memory(struct uvfio_pci_func *func, unsigned int bar, uint64_t offset)
{
	return func->calls->memory(func, bar, offset);
}

/**
 * uvfio_pci_config_read() - a declared register of configuration space.
 * @func: the function.
 * @offset: the register's.
 *
 * Context: any. Return: its value; 0 when there is no such register.
 */
static inline uint32_t uvfio_pci_config_read(struct uvfio_pci_func *func, unsigned int offset)
{
	return func->calls->config_read(func, offset);
}

/**
 * uvfio_pci_config_update() - change a declared register of configuration space.
 * @func: the function.
 * @offset: the register's.
 * @clear: bits to clear,
 * @set: and then bits to set.
 *
 * Takes a lock, so not from access: a register callback may be running in a signal handler. Kick a worker,
 * and call this there. Context: worker, control.
 */
static inline void uvfio_pci_config_update(struct uvfio_pci_func *func, unsigned int offset, uint32_t clear,
					   uint32_t set)
{
	func->calls->config_update(func, offset, clear, set);
}

#ifdef __cplusplus
}
#endif

#endif
