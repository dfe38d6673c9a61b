/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A model that makes the mistake that BUG names: "create-crash", "read-loop", ... Where it loops it says so
 * first, on standard output.
 */
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <uvfio/pci.h>

static struct uvfio_worker *worker;
static volatile int zero;
static volatile char *volatile nowhere;
static int (*volatile deeper)(int depth);

static bool is(const char *bug)
{
	return !strcmp(BUG, bug);
}

static int recurse(int depth)
{
	volatile char room[4096] = { (char)depth };

	return deeper(depth + 1) + room[depth % 2];
}

/* The mistake, when it is to be made in this callback. */
static void mistake(const char *callback)
{
	size_t len = strlen(callback);
	const char *what = BUG + len + 1;

	if (strncmp(BUG, callback, len) || BUG[len] != '-')
		return;
	if (!strcmp(what, "crash"))
		*nowhere = 1;
	if (!strcmp(what, "divide"))
		zero = 10 / zero;
	if (!strcmp(what, "abort"))
		abort();
	if (!strcmp(what, "recurse")) {
		deeper = recurse;
		recurse(0);
	}
	if (!strcmp(what, "exit"))
		_exit(0);
	if (!strcmp(what, "loop")) {
		if (write(STDOUT_FILENO, "looping\n", 8) != 8)
			return;
		for (;;)
			zero++;
	}
}

__attribute__((constructor)) static void loaded(void)
{
	mistake("load");
}

static void run(struct uvfio_worker *w)
{
	mistake("worker");
	if (!is("section-loop"))
		return;
	uvfio_dma_begin(w->dma);
	mistake("section");
}

static void no_worker(struct uvfio_pci_func *func, const char *when)
{
	errno = 0;
	if (!uvfio_worker_new(&func->dev, "late", run, NULL))
		uvfio_log(&func->dev, "%s: errno %d", when, errno);
}

static void no_memory(struct uvfio_pci_func *func, const char *when)
{
	bool dst_failed;
	char byte;

	uvfio_log(&func->dev, "%s: read %d write %d copy %d", when,
		  uvfio_dma_read(worker->dma, 0x1000, &byte, 1, "byte"),
		  uvfio_dma_write(worker->dma, 0x1000, &byte, 1, "byte"),
		  uvfio_dma_copy(worker->dma, 0, 0x1000, 1, "byte", &dst_failed));
	uvfio_dma_begin(worker->dma);
	uvfio_dma_end(worker->dma);
}

static int create(struct uvfio_pci_func *func, struct uvfio_pci_desc *desc, char *err, size_t err_len)
{
	(void)desc;
	if (is("create-text"))
		return uvfio_create_error(err, err_len, EINVAL, "guard: two\nlines \033[31m");
	if (is("worker-null"))
		return uvfio_worker_new(&func->dev, "null", NULL, NULL) ? 0 : -errno;
	mistake("create");
	worker = uvfio_worker_new(&func->dev, "busy", run, func);
	if (is("create-dma"))
		no_memory(func, "create");
	return worker ? 0 : uvfio_create_error(err, err_len, ENOMEM, "out of memory");
}

static void destroy(struct uvfio_pci_func *func)
{
	(void)func;
	mistake("destroy");
}

static int open_device(struct uvfio_pci_func *func)
{
	mistake("open");
	if (is("late-worker"))
		no_worker(func, "open");
	if (is("log-text"))
		uvfio_log(&func->dev, "one\nuvfio: two\033[31m\r");
	if (is("refuse-said"))
		uvfio_log(&func->dev, "the moon is full");
	return is("refuse-plus") ? 7 : is("refuse") || is("refuse-said") ? -EBUSY : 0;
}

static void close_device(struct uvfio_pci_func *func)
{
	(void)func;
	mistake("close");
}

static void reset(struct uvfio_pci_func *func)
{
	(void)func;
	mistake("reset");
}

static uint64_t read_register(struct uvfio_pci_func *func, unsigned int bar, uint64_t offset,
			      unsigned int size)
{
	(void)bar, (void)size;
	mistake("read");
	if (is("access-dma"))
		no_memory(func, "read");
	return offset;
}

static void write_register(struct uvfio_pci_func *func, unsigned int bar, uint64_t offset, uint64_t value,
			   unsigned int size)
{
	(void)func, (void)bar, (void)offset, (void)value, (void)size;
	mistake("write");
	uvfio_worker_kick(worker);
}

static const struct uvfio_pci_model guard = {
	.name = "guard",
	.summary = "makes mistakes",
	.desc = { .vendor = 0x1234, .device = 0x0808, .bar[0] = { .size = 4096 } },
	.ops = { .create = create,
		 .destroy = destroy,
		 .open = open_device,
		 .close = close_device,
		 .reset = reset,
		 .read = read_register,
		 .write = write_register },
};
UVFIO_PCI_PLUGIN(guard);
