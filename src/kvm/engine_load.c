/* SPDX-License-Identifier: BSD-2-Clause */
/* Loading the library of guest code's engine, once, and the functions of it that are used. */
#include "kvm/engine_impl.h"

#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

struct engine_library engine_library;

static const struct {
	const char *name;
	size_t slot;
} inner[] = { { "memory_mapping", offsetof(struct engine_library, memory_mapping) },
	      { "memory_map_ptr_x86_64", offsetof(struct engine_library, memory_map_ptr) },
	      { "memory_unmap_x86_64", offsetof(struct engine_library, memory_unmap) },
	      { "memory_region_get_ram_addr_x86_64", offsetof(struct engine_library, region_ram_address) },
	      { "tb_invalidate_phys_range_x86_64", offsetof(struct engine_library, invalidate_range) },
	      { "g_free", offsetof(struct engine_library, g_free) },
	      { "x86_cpu_tlb_fill_x86_64", offsetof(struct engine_library, tlb_fill) },
	      { "tlb_set_page_with_attrs_x86_64", offsetof(struct engine_library, tlb_set_page) },
	      { "raise_exception_err_ra_x86_64", offsetof(struct engine_library, raise_error_at) },
	      { "cpu_restore_state_x86_64", offsetof(struct engine_library, restore_state) },
	      { "cpu_loop_exit_restore_x86_64", offsetof(struct engine_library, loop_exit_restore) },
	      { "cpu_loop_exit_noexc_x86_64", offsetof(struct engine_library, loop_exit) },
	      { "x86_cpu_do_interrupt_x86_64", offsetof(struct engine_library, do_interrupt) },
	      { "do_interrupt_x86_hardirq_x86_64", offsetof(struct engine_library, do_hardirq) },
	      { "raise_exception_x86_64", offsetof(struct engine_library, raise) },
	      { "raise_exception_err_x86_64", offsetof(struct engine_library, raise_error) },
	      { "x86_cpu_exec_enter_x86_64", offsetof(struct engine_library, exec_enter) },
	      { "x86_cpu_exec_interrupt_x86_64", offsetof(struct engine_library, exec_interrupt) },
	      { "x86_update_hflags_x86_64", offsetof(struct engine_library, update_hflags) },
	      { "tlb_flush_x86_64", offsetof(struct engine_library, tlb_flush) },
#define X(function) { #function, offsetof(struct engine_library, function) },
	      ENGINE_FUNCTIONS(X)
#undef X
};

static bool find(void *library, const char *name, size_t slot, char *why, size_t len)
{
	void *at = dlsym(library, name);

	if (!at) {
		snprintf(why, len, "libunicorn.so.2 has no %s; uvfio needs Unicorn 2.0 as Debian 12 has it",
			 name);
		return false;
	}
	memcpy((char *)&engine_library + slot, &at, sizeof(at));
	return true;
}

static bool find_all(void *unicorn, void *unwinder, char *why, size_t len)
{
	for (size_t i = 0; i < ARRAY_SIZE(inner); i++)
		if (!find(unicorn, inner[i].name, inner[i].slot, why, len))
			return false;
	return find(unwinder, "_Unwind_Backtrace", offsetof(struct engine_library, unwind_backtrace), why,
		    len) &&
	       find(unwinder, "_Unwind_GetIP", offsetof(struct engine_library, unwind_ip), why, len) &&
	       find(unwinder, "_Unwind_GetGR", offsetof(struct engine_library, unwind_register), why, len);
}

static int load(char *why, size_t len)
{
	void *unicorn = dlopen("libunicorn.so.2", RTLD_NOW | RTLD_LOCAL), *unwinder;

	if (!unicorn) {
		snprintf(why, len,
			 "a software vCPU needs libunicorn.so.2 (Debian: libunicorn2), which cannot be "
			 "loaded");
		return -ENOENT;
	}
	unwinder = dlopen("libgcc_s.so.1", RTLD_NOW | RTLD_LOCAL);
	if (!unwinder) {
		snprintf(why, len,
			 "a software vCPU needs libgcc_s.so.1 (Debian: libgcc-s1), which cannot be loaded");
		return -ENOENT;
	}
	if (!find_all(unicorn, unwinder, why, len))
		return -ENOEXEC;
	return engine_probe(why, len) ?: engine_patch(unicorn, why, len) ?: engine_trial(why, len);
}

int engine_load(char *why, size_t len)
{
	static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
	static char reason[160];
	static int result = 1;
	int rc;

	pthread_mutex_lock(&lock);
	if (result > 0)
		result = load(reason, sizeof(reason));
	rc = result;
	snprintf(why, len, "%s", reason);
	pthread_mutex_unlock(&lock);
	return rc;
}
