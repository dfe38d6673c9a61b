/* SPDX-License-Identifier: BSD-2-Clause */
/* The trap engine: see trap.h. Everything here but trap_init() runs in a signal handler, too. */
#include "intercept/trap.h"

#include "base/fault.h"
#include "base/log.h"
#include "base/trace.h"
#include "base/why.h"
#include "intercept/insn.h"
#include "intercept/io_table.h"
#include "intercept/trap_stack.h"
#include "iommu/mm.h"
#include "pci/region.h"
#include "vfio/vfio.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

/* On x86 what may be written may be read. */
static bool permitted(const struct io_range *range, bool write)
{
	return range->prot & (write ? PROT_WRITE : PROT_READ | PROT_WRITE | PROT_EXEC);
}

/* Up to the next boundary of 8 bytes, unless it is one access of a natural size. */
static unsigned int piece_length(uint64_t va, uint64_t len)
{
	if (len <= 8)
		return (unsigned int)len;
	return (unsigned int)MIN(len, 8 - (va & 7));
}

static int access_range(const struct io_range *range, uint64_t va, char *data, uint64_t len, bool write)
{
	if (!permitted(range, write))
		return -EFAULT;
	while (len) {
		unsigned int n = piece_length(va, len);

		if (range->file->ops->mmio(range->file, range->offset + (va - range->start), data, n, write))
			return -EIO;
		va += n;
		data += n;
		len -= n;
	}
	return 0;
}

/* Within a reader's section. */
static int access_pieces(uint64_t va, char *data, uint64_t len, bool write)
{
	while (len) {
		const struct io_range *range = io_find(va);
		uint64_t end = range ? range->end : align_down(va, UVFIO_PAGE_SIZE) + UVFIO_PAGE_SIZE;
		uint64_t n = MIN(len, end - va);
		void *memory = (void *)(uintptr_t)va;
		int rc;

		if (range && range->trapped)
			rc = access_range(range, va, data, n, write);
		else
			rc = write ? copy_nofault(memory, data, n) : copy_nofault(data, memory, n);
		if (rc)
			return rc;
		va += n;
		data += n;
		len -= n;
	}
	return 0;
}

int trap_access(uint64_t va, void *data, size_t len, bool write)
{
	unsigned int section = io_read_lock();
	int rc = access_pieces(va, data, len, write);

	io_read_unlock(section);
	return rc;
}

/* Where the access began that failed, for the program's signal: not always where the trap began. */
static __thread uint64_t failed_at;

/* The program is about to get a SIGBUS. */
static void report_bus_error(uint64_t va, bool write)
{
	const struct io_range *range = io_find(va);
	const char *why = why_text();
	struct vfio_device *vdev;
	uint64_t offset;

	if (!range || !range->trapped)
		return;
	vdev = vfio_file_device(range->file);
	offset = range->offset + (va - range->start);
	uvfio_err_once(
		(uintptr_t)range->file + strlen(why), "%s: a %s of mapped BAR%u+0x%llx ends in SIGBUS: %s",
		vdev ? vdev->name : range->file->path, write ? "write" : "read",
		(unsigned int)(offset >> PCI_OFFSET_SHIFT), (unsigned long long)(offset & PCI_OFFSET_MASK),
		*why ? why : "the device cannot be reached");
}

static enum access_result access_for_insn(uint64_t va, void *data, unsigned int len, bool write)
{
	int rc = access_pieces(va, data, len, write);

	if (likely(!rc))
		return ACCESS_OK;
	failed_at = va;
	if (rc != -EIO)
		return ACCESS_FAULT;
	report_bus_error(va, write);
	return ACCESS_BUS;
}

static enum fault_verdict carry_out(const struct io_range *range, uint64_t va, ucontext_t *uc)
{
	enum access_result result;
	uint64_t ip = (uint64_t)uc->uc_mcontext.gregs[REG_RIP];
	struct insn insn;
	char unknown[64];

	if (!decode(ip, &insn, unknown, sizeof(unknown))) {
		uvfio_err_once(
			ip,
			"%s: the instruction %s at 0x%llx touches a register (file offset 0x%llx) and is not "
			"one that can be carried out: SIGSEGV",
			range->file->path, unknown, (unsigned long long)ip,
			(unsigned long long)(range->offset + (va - range->start)));
		return FAULT_NOT_OURS;
	}
	stat_add(STAT_MMIO_TRAPS, 1);
	why_clear();
	result = emulate(&insn, uc, access_for_insn);
	return result == ACCESS_OK ? FAULT_DONE : result == ACCESS_BUS ? FAULT_BUS : FAULT_NOT_OURS;
}

struct trap {
	const struct io_range *range;
	uint64_t va;
	ucontext_t *uc;
	enum fault_verdict verdict;
};

/*
 * On a stack of ours the kernel would take the alternate stack for unused, and lay the frame of a second
 * fault (a copy that fails) over ours. So there is none meanwhile; returning from the signal sets it again.
 */
static void run_trap(void *arg)
{
	static const stack_t none = { .ss_flags = SS_DISABLE };
	struct trap *trap = arg;

	if (!(trap->uc->uc_stack.ss_flags & SS_DISABLE))
		sigaltstack(&none, NULL);
	trap->verdict = carry_out(trap->range, trap->va, trap->uc);
}

static enum fault_verdict handle_trap(siginfo_t *info, void *context)
{
	unsigned int section = io_read_lock();
	struct trap trap = { .va = (uint64_t)(uintptr_t)info->si_addr,
			     .uc = context,
			     .verdict = FAULT_NOT_OURS };

	failed_at = trap.va;
	trap.range = io_find(trap.va);
	if (trap.range && trap.range->trapped)
		trap_stack_call(run_trap, &trap);
	io_read_unlock(section);
	if (trap.verdict == FAULT_DONE || !trap.range)
		return trap.verdict;
	info->si_addr = (void *)(uintptr_t)failed_at;
	if (!(trap.uc->uc_stack.ss_flags & SS_DISABLE))
		sigaltstack(&trap.uc->uc_stack, NULL);
	return trap.verdict;
}

int trap_init(void)
{
	const char *preload;
	int rc = decode_init();

	if (!rc)
		rc = trap_stacks_init();
	if (rc)
		return rc;
	preload = getenv("LD_PRELOAD");
	if (preload && strstr(preload, "vgpreload"))
		uvfio_err("valgrind does not let registers be emulated: their values are wrong; "
			  "use AddressSanitizer instead");
	mm_io_access = trap_access;
	return fault_handler_install(handle_trap);
}
