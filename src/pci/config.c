/* SPDX-License-Identifier: BSD-2-Clause */
/* Reading and writing config space, and what a write sets in motion. */
#include "base/trace.h"
#include "pci/func.h"

#include <linux/pci_regs.h>
#include <string.h>

#define PM_STATE_D3HOT 3u

static uint32_t load(const struct pci_config *config, uint32_t offset)
{
	return atomic_load_explicit(&config->words[offset / 4], memory_order_relaxed);
}

static void store(struct pci_config *config, uint32_t offset, uint32_t value)
{
	atomic_store_explicit(&config->words[offset / 4], value, memory_order_relaxed);
}

uint32_t pci_config_word(struct pci_func *func, uint32_t offset)
{
	uint32_t value = load(&func->config, offset);

	if (pci_gone(func))
		return UINT32_MAX;
	if (offset == PCI_COMMAND && pci_intx_pending(func))
		value |= (uint32_t)PCI_STATUS_INTERRUPT << 16;
	return value;
}

void pci_config_update(struct pci_func *func, uint32_t offset, uint32_t clear, uint32_t set)
{
	struct pci_config *config = &func->config;

	pthread_mutex_lock(&config->lock);
	store(config, offset, (load(config, offset) & ~clear) | set);
	pthread_mutex_unlock(&config->lock);
}

/* Called with config.lock held, as all below down to write_word(). In D3hot a function sends nothing. */
static void apply_command(struct pci_func *func)
{
	uint32_t command = load(&func->config, PCI_COMMAND);
	bool asleep = pci_gate(func) & GATE_D3HOT;

	pci_gate_set(func, GATE_DECODE, !(command & PCI_COMMAND_MEMORY));
	atomic_store(&func->iommu.enabled, (command & PCI_COMMAND_MASTER) && !asleep);
	if (pci_func_gone(func)) /* whoever of the two stores last turns it off */
		atomic_store(&func->iommu.enabled, false);
	pci_intx_set_disabled(func, (command & PCI_COMMAND_INTX_DISABLE) != 0);
}

/* PMCSR was written. D1 and D2 do not exist: nothing happens. True: the function has to be reset on its way
 * to D0. */
static bool apply_power_state(struct pci_func *func, uint32_t state)
{
	struct pci_config *config = &func->config;
	uint32_t at = config->pm + PCI_PM_CTRL;
	uint32_t old = load(config, at) & PCI_PM_CTRL_STATE_MASK;

	if (state != 0 && state != PM_STATE_D3HOT)
		return false;
	store(config, at, (load(config, at) & ~(uint32_t)PCI_PM_CTRL_STATE_MASK) | state);
	pci_gate_set(func, GATE_D3HOT, state == PM_STATE_D3HOT);
	apply_command(func);
	return old == PM_STATE_D3HOT && state == 0 && !func->desc.no_soft_reset;
}

/* MSI is enabled by SET_IRQS; a driver can have the enable bit and a number of vectors only within that. */
static void apply_msi_flags(struct pci_func *func)
{
	struct pci_config *config = &func->config;
	uint32_t word = load(config, config->msi), flags = word >> 16;

	if (atomic_load(&func->irqs.mode) != UVFIO_IRQ_MSI)
		flags &= ~(uint32_t)PCI_MSI_FLAGS_ENABLE;
	if ((flags & PCI_MSI_FLAGS_QSIZE) >> 4 > config->msi_qmax)
		flags = (flags & ~(uint32_t)PCI_MSI_FLAGS_QSIZE) | config->msi_qmax << 4;
	store(config, config->msi, (word & 0xffff) | flags << 16);
}

/* The word at offset was written, with the bytes of lanes. True: a reset of the function is due. */
static bool apply_write(struct pci_func *func, uint32_t offset, uint32_t value, uint32_t lanes)
{
	const struct pci_config *config = &func->config;

	if (offset == PCI_COMMAND && (lanes & 0xffff))
		apply_command(func);
	else if (config->pm && offset == config->pm + PCI_PM_CTRL && (lanes & 0xff))
		return apply_power_state(func, value & PCI_PM_CTRL_STATE_MASK);
	else if (config->msi && offset == config->msi && (lanes & 0xff0000))
		apply_msi_flags(func);
	else if (config->exp && offset == config->exp + PCI_EXP_DEVCTL)
		return value & lanes & PCI_EXP_DEVCTL_BCR_FLR;
	return false;
}

static void write_word(struct pci_func *func, uint32_t offset, uint32_t value, uint32_t lanes)
{
	struct pci_config *config = &func->config;
	uint32_t writable = config->wmask[offset / 4] & lanes;
	bool reset;

	if (pci_gone(func))
		return;
	pthread_mutex_lock(&config->lock);
	store(config, offset,
	      ((load(config, offset) & ~writable) | (value & writable)) &
		      ~(value & lanes & config->w1c[offset / 4]));
	reset = apply_write(func, offset, value, lanes);
	pthread_mutex_unlock(&config->lock);
	if (reset)
		pci_reset_function(func);
}

void pci_config_restore(struct pci_func *func)
{
	struct pci_config *config = &func->config;

	pthread_mutex_lock(&config->lock);
	for (uint32_t i = 0; i < PCI_CONFIG_WORDS; i++)
		store(config, i * 4, config->initial[i]);
	config->msi_qmax = 0;
	pci_gate_set(func, GATE_D3HOT, false);
	apply_command(func);
	pthread_mutex_unlock(&config->lock);
}

void pci_config_resume(struct pci_func *func)
{
	struct pci_config *config = &func->config;

	pthread_mutex_lock(&config->lock);
	if (config->pm)
		apply_power_state(func, 0);
	apply_command(func);
	pthread_mutex_unlock(&config->lock);
}

static void trace_access(const struct pci_func *func, bool write, uint32_t pos, size_t len,
			 const uint8_t *bytes)
{
	uint32_t value = 0;
	char name[32];

	if (len > 4) {
		trace_emit(TRACE_CONFIG, func->name, write ? "config write" : "config read", 0,
			   "0x%03x len=%zu", pos, len);
		return;
	}
	memcpy(&value, bytes, len);
	pci_config_name(func, pos, name, sizeof(name));
	trace_emit(TRACE_CONFIG, func->name, write ? "config write" : "config read", 0,
		   "%s 0x%03x/%zu = 0x%x", name, pos, len, value);
}

ssize_t pci_config_read(struct pci_func *func, const struct caller *caller, uint64_t buf, size_t len,
			uint64_t pos)
{
	uint32_t chunk[64];
	uint32_t at = (uint32_t)pos;

	if (pos >= func->config.size || len > func->config.size - pos)
		return -EFAULT;
	stat_add(STAT_CONFIG_ACCESSES, 1);
	for (size_t done = 0, n; done < len; done += n, at += (uint32_t)n) {
		uint32_t skip = at & 3;

		n = MIN(len - done, sizeof(chunk) - skip);
		for (uint32_t i = 0; i * 4 < skip + n; i++)
			chunk[i] = pci_config_word(func, (at & ~3u) + i * 4);
		if (copy_out(caller, buf + done, (const uint8_t *)chunk + skip, n))
			return -EFAULT;
		if (trace_on(TRACE_CONFIG) && !done)
			trace_access(func, false, at, len, (const uint8_t *)chunk + skip);
	}
	return (ssize_t)len;
}

ssize_t pci_config_write(struct pci_func *func, const struct caller *caller, uint64_t buf, size_t len,
			 uint64_t pos)
{
	uint32_t at = (uint32_t)pos;

	if (pos >= func->config.size || len > func->config.size - pos)
		return -EFAULT;
	stat_add(STAT_CONFIG_ACCESSES, 1);
	for (size_t done = 0, n; done < len; done += n, at += (uint32_t)n) {
		unsigned int shift = (at & 3) * 8;
		uint32_t value = 0, lanes;

		n = MIN(len - done, (size_t)(4 - (at & 3)));
		if (copy_in(caller, &value, buf + done, n))
			return -EFAULT;
		if (trace_on(TRACE_CONFIG) && (!done || len <= 4))
			trace_access(func, true, at, len > 4 ? len : n, (const uint8_t *)&value);
		lanes = (n == 4 ? UINT32_MAX : BIT32(n * 8) - 1) << shift;
		write_word(func, at & ~3u, value << shift, lanes);
	}
	return (ssize_t)len;
}
