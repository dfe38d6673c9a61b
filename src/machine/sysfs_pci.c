/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A PCI function in sysfs, as a machine shows it that has the function bound to vfio-pci.
 *
 * Contents are those of a function at rest, not open: a file is written once. resourceN are left out: they
 * are windows to registers, and a file that only looks like one would answer wrongly.
 */
#include "machine/impl.h"
#include "machine/tree.h"

#include <inttypes.h>
#include <limits.h>
#include <linux/pci_regs.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Resource flags as <linux/ioport.h> inside the kernel has them. */
#define IORESOURCE_MEM       0x00000200u
#define IORESOURCE_PREFETCH  0x00002000u
#define IORESOURCE_SIZEALIGN 0x00040000u
#define IORESOURCE_MEM_64    0x00100000u

#define RESOURCE_LINES       13 /* six BARs, ROM, and what bridges and SR-IOV would have */

struct writer {
	struct tree *tree;
	const struct uvfio_pci_desc *desc;
	const char *dir;
};

static __printf(4, 5) void attr(const struct writer *w, const char *name, mode_t mode, const char *fmt, ...)
{
	char path[256], text[1600];
	va_list args;

	snprintf(path, sizeof(path), "%s/%s", w->dir, name);
	va_start(args, fmt);
	vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	tree_text(w->tree, path, mode, "%s", text);
}

static void sink(const struct writer *w, const char *name, mode_t mode)
{
	char path[256];

	snprintf(path, sizeof(path), "%s/%s", w->dir, name);
	tree_data(w->tree, path, mode, "", 0);
}

static void directory(const struct writer *w, const char *name)
{
	char path[256];

	snprintf(path, sizeof(path), "%s/%s", w->dir, name);
	tree_dir(w->tree, path);
}

static void link_to(const struct writer *w, const char *name, const char *target)
{
	char path[256];

	snprintf(path, sizeof(path), "%s/%s", w->dir, name);
	tree_link(w->tree, path, target);
}

void pci_function_path(const struct pci_slot *slot, char *buf, size_t len)
{
	char bdf[16];

	pci_format_bdf(slot, bdf);
	snprintf(buf, len, "sys/devices/pci%04x:%02x/%s", slot->domain, slot->bus, bdf);
}

static void write_resources(const struct writer *w, const struct pci_func *func)
{
	char text[RESOURCE_LINES * 60];
	size_t n = 0;

	for (unsigned int i = 0; i < RESOURCE_LINES; i++) {
		uint64_t start = 0, end = 0;
		uint32_t flags = 0;

		if (i < UVFIO_PCI_BARS && w->desc->bar[i].size) {
			const struct uvfio_pci_bar *bar = &w->desc->bar[i];

			start = pci_func_bar_address(func, i);
			end = start + bar->size - 1;
			flags = IORESOURCE_MEM | IORESOURCE_SIZEALIGN;
			if (bar->mem64)
				flags |= IORESOURCE_MEM_64 | PCI_BASE_ADDRESS_MEM_TYPE_64;
			if (bar->prefetch)
				flags |= IORESOURCE_PREFETCH | PCI_BASE_ADDRESS_MEM_PREFETCH;
		}
		n += (size_t)snprintf(text + n, sizeof(text) - n,
				      "%s0x%016" PRIx64 " 0x%016" PRIx64 " 0x%016x", i ? "\n" : "", start,
				      end, flags);
	}
	attr(w, "resource", 0444, "%s", text);
}

static void write_ids(const struct writer *w, const char *bdf)
{
	const struct uvfio_pci_desc *d = w->desc;
	char modalias[80];

	snprintf(modalias, sizeof(modalias), "pci:v%08Xd%08Xsv%08Xsd%08Xbc%02Xsc%02Xi%02X", d->vendor,
		 d->device, d->subsys_vendor, d->subsys_device, (d->class_code >> 16) & 0xff,
		 (d->class_code >> 8) & 0xff, d->class_code & 0xff);
	attr(w, "vendor", 0444, "0x%04x", d->vendor);
	attr(w, "device", 0444, "0x%04x", d->device);
	attr(w, "subsystem_vendor", 0444, "0x%04x", d->subsys_vendor);
	attr(w, "subsystem_device", 0444, "0x%04x", d->subsys_device);
	attr(w, "class", 0444, "0x%06x", d->class_code);
	attr(w, "revision", 0444, "0x%02x", d->revision);
	attr(w, "modalias", 0444, "%s", modalias);
	attr(w, "uevent", 0644,
	     "DRIVER=vfio-pci\nPCI_CLASS=%X\nPCI_ID=%04X:%04X\nPCI_SUBSYS_ID=%04X:%04X\nPCI_SLOT_NAME=%"
	     "s\nMODALIAS=%s",
	     d->class_code, d->vendor, d->device, d->subsys_vendor, d->subsys_device, bdf, modalias);
}

static void write_cpus(const struct writer *w)
{
	long cpus = MIN(sysconf(_SC_NPROCESSORS_CONF), 64L);
	uint64_t mask = cpus > 0 ? UINT64_MAX >> (64 - cpus) : 1;

	if (mask >> 32)
		attr(w, "local_cpus", 0444, "%x,%08x", (uint32_t)(mask >> 32), (uint32_t)mask);
	else
		attr(w, "local_cpus", 0444, "%x", (uint32_t)mask);
	if (cpus > 1)
		attr(w, "local_cpulist", 0444, "0-%ld", cpus - 1);
	else
		attr(w, "local_cpulist", 0444, "0");
	attr(w, "numa_node", 0644, "-1");
}

static void write_state(const struct writer *w)
{
	attr(w, "ari_enabled", 0444, "0");
	attr(w, "broken_parity_status", 0644, "0");
	attr(w, "consistent_dma_mask_bits", 0444, "32");
	attr(w, "dma_mask_bits", 0444, "32");
	attr(w, "d3cold_allowed", 0644, "%u", w->desc->pcie);
	attr(w, "driver_override", 0644, "vfio-pci");
	attr(w, "enable", 0644, "0");
	attr(w, "irq", 0444, "%u", w->desc->intx ? 9 + w->desc->intx : 0);
	attr(w, "msi_bus", 0644, "1");
	attr(w, "power_state", 0444, "%s", w->desc->pm ? "D3hot" : "D0");
	attr(w, "power/control", 0644, "auto");
	attr(w, "power/runtime_status", 0444, "suspended");
	attr(w, "power/runtime_active_time", 0444, "0");
	attr(w, "power/runtime_suspended_time", 0444, "0");
	sink(w, "power/autosuspend_delay_ms", 0644);
	sink(w, "remove", 0220);
	sink(w, "rescan", 0200);
	directory(w, "link");
	if (!w->desc->pcie)
		return;
	directory(w, "aer");
	attr(w, "current_link_speed", 0444, "2.5 GT/s PCIe");
	attr(w, "current_link_width", 0444, "1");
	attr(w, "max_link_speed", 0444, "2.5 GT/s PCIe");
	attr(w, "max_link_width", 0444, "1");
	attr(w, "link/l0s_aspm", 0644, "0");
	attr(w, "reset_method", 0644, "flr");
	sink(w, "reset", 0200);
}

static void write_links(const struct writer *w, const struct device_config *dev, const char *bdf)
{
	char path[128];

	link_to(w, "driver", "sys/bus/pci/drivers/vfio-pci");
	link_to(w, "subsystem", "sys/bus/pci");
	snprintf(path, sizeof(path), "sys/bus/pci/devices/%s", bdf);
	tree_link(w->tree, path, w->dir);
	snprintf(path, sizeof(path), "sys/bus/pci/drivers/vfio-pci/%s", bdf);
	tree_link(w->tree, path, w->dir);
	snprintf(path, sizeof(path), "sys/kernel/iommu_groups/%u", dev->group);
	link_to(w, "iommu_group", path);
	snprintf(path, sizeof(path), "sys/kernel/iommu_groups/%u/devices/%s", dev->group, bdf);
	tree_link(w->tree, path, w->dir);
	if (dev->noiommu)
		return;
	link_to(w, "iommu", "sys/devices/virtual/iommu/dmar0");
	snprintf(path, sizeof(path), "sys/devices/virtual/iommu/dmar0/devices/%s", bdf);
	tree_link(w->tree, path, w->dir);
}

void erase_pci_function(const struct device_config *dev, struct tree *tree)
{
	char bdf[16], path[128];

	pci_format_bdf(&dev->slot, bdf);
	erase_cdev(dev, tree);
	snprintf(path, sizeof(path), "sys/bus/pci/devices/%s", bdf);
	tree_erase(tree, path);
	snprintf(path, sizeof(path), "sys/bus/pci/drivers/vfio-pci/%s", bdf);
	tree_erase(tree, path);
	snprintf(path, sizeof(path), "sys/kernel/iommu_groups/%u/devices/%s", dev->group, bdf);
	tree_erase(tree, path);
	snprintf(path, sizeof(path), "sys/devices/virtual/iommu/dmar0/devices/%s", bdf);
	tree_erase(tree, path);
	pci_function_path(&dev->slot, path, sizeof(path));
	tree_erase(tree, path);
}

void write_pci_function(const struct uvfio_machine *machine, unsigned int index, struct tree *tree)
{
	struct pci_func *func = machine->funcs[index];
	char dir[64], bdf[16], path[80];
	struct writer w = { .tree = tree, .desc = pci_func_desc(func), .dir = dir };
	uint8_t config[4096];
	size_t len;

	pci_format_bdf(pci_func_slot(func), bdf);
	pci_function_path(pci_func_slot(func), dir, sizeof(dir));
	write_ids(&w, bdf);
	write_resources(&w, func);
	write_cpus(&w);
	write_state(&w);
	len = pci_func_config_image(func, config, sizeof(config));
	snprintf(path, sizeof(path), "%s/config", dir);
	tree_data(tree, path, 0644, config, len);
	write_cdev(machine, &machine->config.devices[index], tree);
	write_links(&w, &machine->config.devices[index], bdf); /* who finds it by them finds all of it */
}
