/* SPDX-License-Identifier: BSD-2-Clause */
/* The functions behind the hooks: see real.h. */
#include "intercept/real.h"

#include <dlfcn.h>

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wdeprecated-declarations"
#define X(name) __typeof__(name) *real_##name;
REAL_FUNCTIONS(X)
#undef X
#pragma GCC diagnostic pop

void real_resolve(void)
{
	/* Twice by two threads at once does no harm: both find the same. */
#define X(name) *(void **)&real_##name = dlsym(RTLD_NEXT, #name);
	REAL_FUNCTIONS(X)
#undef X
}
