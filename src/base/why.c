/* SPDX-License-Identifier: BSD-2-Clause */
#include "base/why.h"

#include <stdarg.h>
#include <stdio.h>

static __thread char text[200];

__attribute__((cold)) void why_say(const char *fmt, ...)
{
	va_list ap;

	if (*text)
		return;
	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
}

void why_clear(void)
{
	*text = 0;
}

const char *why_text(void)
{
	return text;
}
