/* SPDX-License-Identifier: BSD-2-Clause */
/* Without the preload library signals are not put off: a handler has run by the time it could be asked for.
 */
#include "base/interruption.h"

#include <signal.h>
#include <string.h>

__thread struct interruption interruption;

static const struct interruption_ops *installed;

void interruption_set_ops(const struct interruption_ops *ops)
{
	installed = ops;
}

bool interruption_due(void)
{
	return installed && installed->due();
}

void interruption_set_mask(uint64_t set, uint64_t *old)
{
	sigset_t new, was;

	if (installed) {
		installed->set_mask(set, old);
		return;
	}
	sigemptyset(&new);
	memcpy(&new, &set, sizeof(set));
	pthread_sigmask(SIG_SETMASK, &new, &was);
	memcpy(old, &was, sizeof(*old));
}
