/* SPDX-License-Identifier: BSD-2-Clause */
#include "base/why.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

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

const char *why_error(long error, char *buf, size_t len)
{
	snprintf(buf, len, "%s%s%s", strerrorname_np((int)-error), *text ? ": " : "", text);
	return buf;
}

const char *why_text(void)
{
	return text;
}
