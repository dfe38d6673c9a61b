/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * VFIO_DEVICE_IOEVENTFD: when a client signals an eventfd, a fixed value is written to a register.
 *
 * Each is an eventfd watch of its own; the write happens on the helper thread that serves them, as if the
 * client had written. Removing one returns when no write of it is under way.
 */
#include "base/why.h"
#include "file/ioctl.h"
#include "pci/func.h"

#include <linux/vfio.h>
#include <stdlib.h>

#define IOEVENTFD_MAX 1000u

struct pci_ioeventfd {
	struct pci_func *func;
	unsigned int bar, size;
	uint64_t pos, data;
	struct eventfd_watch *watch;
	struct cds_list_head node;
};

void pci_ioeventfds_init(struct pci_ioeventfds *all)
{
	pthread_mutex_init(&all->lock, NULL);
	CDS_INIT_LIST_HEAD(&all->list);
	all->nr = 0;
}

static void signalled(void *arg)
{
	struct pci_ioeventfd *io = arg;

	if (!(pci_gate(io->func) & GATE_RW))
		pci_bar_store(io->func, io->bar, io->pos, io->data, io->size);
}

/* The kernel writes a register at any offset; models are asked for aligned ones only. */
static void signalled_unaligned(void *arg)
{
	struct pci_ioeventfd *io = arg;

	for (unsigned int i = 0; i < io->size && !(pci_gate(io->func) & GATE_RW); i++)
		pci_bar_store(io->func, io->bar, io->pos + i, io->data >> (i * 8) & 0xff, 1);
}

static struct pci_ioeventfd *find(struct pci_ioeventfds *all, const struct pci_ioeventfd *key)
{
	struct pci_ioeventfd *io;

	cds_list_for_each_entry (io, &all->list, node)
		if (io->bar == key->bar && io->pos == key->pos && io->size == key->size &&
		    io->data == key->data)
			return io;
	return NULL;
}

static void remove_one(struct pci_ioeventfds *all, struct pci_ioeventfd *io)
{
	eventfd_unwatch(io->watch);
	cds_list_del(&io->node);
	all->nr--;
	free(io);
}

/* Called with the lock held. */
static long add_one(struct pci_ioeventfds *all, const struct pci_ioeventfd *key, const struct caller *caller,
		    int fd)
{
	struct eventfd_ctx *ctx;
	struct pci_ioeventfd *io;
	int rc;

	if (all->nr >= IOEVENTFD_MAX)
		return -ENOSPC;
	io = malloc(sizeof(*io));
	if (!io)
		return -ENOMEM;
	*io = *key;
	rc = eventfd_ctx_get(caller, fd, &ctx);
	if (rc)
		goto free_io;
	rc = eventfd_watch(ctx, is_aligned(io->pos, io->size) ? signalled : signalled_unaligned, io,
			   &io->watch);
	eventfd_ctx_put(ctx);
	if (rc)
		goto free_io;
	cds_list_add(&io->node, &all->list);
	all->nr++;
	return 0;

free_io:
	free(io);
	return rc;
}

static bool touches_msix(const struct pci_func *func, const struct pci_ioeventfd *io)
{
	const struct pci_span *table = &func->bars[io->bar].msix_table;

	return io->pos + io->size > table->start && io->pos < table->end;
}

long pci_ioctl_ioeventfd(struct ioctl_call *call, void *arg)
{
	const struct vfio_device_ioeventfd *in = arg;
	struct pci_func *func = pci_call_func(call);
	struct pci_ioeventfds *all = &func->ioeventfds;
	uint64_t index = in->offset >> PCI_OFFSET_SHIFT;
	struct pci_ioeventfd key = { .func = func,
				     .bar = (unsigned int)index,
				     .size = in->flags,
				     .pos = in->offset & PCI_OFFSET_MASK,
				     .data = in->data };
	struct pci_ioeventfd *have;
	long rc;

	if (__builtin_popcount(key.size) != 1 || in->fd < -1)
		return WHY(-EINVAL,
			   "flags 0x%x are one size of 1, 2 or 4 bytes, and fd %d is a descriptor or -1",
			   in->flags, in->fd);
	if (index >= UVFIO_PCI_BARS || key.pos + key.size > func->desc.bar[index].size ||
	    touches_msix(func, &key) || key.size == 8)
		return WHY(-EINVAL, "1, 2 or 4 bytes within a BAR, and not in the MSI-X table");
	pthread_mutex_lock(&all->lock);
	have = find(all, &key);
	if (have && in->fd >= 0) {
		rc = WHY(-EEXIST, "an eventfd writes this value there already");
	} else if (have) {
		remove_one(all, have);
		rc = 0;
	} else {
		rc = in->fd < 0 ? -ENODEV : add_one(all, &key, call->caller, in->fd);
	}
	pthread_mutex_unlock(&all->lock);
	return rc;
}

void pci_ioeventfds_clear(struct pci_func *func)
{
	struct pci_ioeventfds *all = &func->ioeventfds;
	struct pci_ioeventfd *io, *next;

	pthread_mutex_lock(&all->lock);
	cds_list_for_each_entry_safe (io, next, &all->list, node)
		remove_one(all, io);
	pthread_mutex_unlock(&all->lock);
}
