/* SPDX-License-Identifier: BSD-2-Clause */
/* What happened in a session, from the counters that its processes shared. */
#include "base/trace.h"
#include "cli/cli.h"

#include <inttypes.h>
#include <stdio.h>

static uint64_t count(enum stat_id id)
{
	return stat_total(id);
}

/* What a process had mapped when it ended, even one that was killed: nobody but the kernel closes anything
 * then. */
void summary_mappings_left(void)
{
	if (count(STAT_MAPPINGS))
		complain("%" PRIu64 " of %" PRIu64 " mappings were left at exit", count(STAT_MAPPINGS),
			 count(STAT_MAPS));
}

/* "12.3 MiB" */
static const char *human(uint64_t bytes, char buf[32])
{
	static const char *const units[] = { "KiB", "MiB", "GiB", "TiB" };
	double value = (double)bytes;
	unsigned int i = 0;

	if (bytes < 1024) {
		snprintf(buf, 32, "%" PRIu64 " bytes", bytes);
		return buf;
	}
	for (value /= 1024; value >= 1024 && i + 1 < ARRAY_SIZE(units); i++)
		value /= 1024;
	snprintf(buf, 32, "%.1f %s", value, units[i]);
	return buf;
}

void summary_print(int status, const char *trace_out)
{
	char in[32], out[32];

	fprintf(stderr, "uvfio: summary (exit status %d)\n", status);
	fprintf(stderr, "  ioctls      %" PRIu64 "\n", count(STAT_IOCTLS));
	fprintf(stderr,
		"  mappings    %" PRIu64 " made, %" PRIu64 " unmapped by the program, %" PRIu64
		" left to the container, %" PRIu64 " left at exit\n",
		count(STAT_MAPS), count(STAT_UNMAPS) - count(STAT_LEFT_MAPPINGS), count(STAT_LEFT_MAPPINGS),
		count(STAT_MAPPINGS));
	fprintf(stderr, "  commands    %" PRIu64 ", %" PRIu64 " of them with an error status\n",
		count(STAT_COMMANDS), count(STAT_COMMAND_ERRORS));
	fprintf(stderr, "  bytes       %s read from memory by devices, %s written to it\n",
		human(count(STAT_DMA_READ_BYTES), in), human(count(STAT_DMA_WRITE_BYTES), out));
	fprintf(stderr, "  interrupts  %" PRIu64 "\n", count(STAT_IRQS));
	fprintf(stderr,
		"  registers   %" PRIu64 " accesses, %" PRIu64 " of them MMIO traps; %" PRIu64
		" to config space\n",
		count(STAT_BAR_ACCESSES), count(STAT_MMIO_TRAPS), count(STAT_CONFIG_ACCESSES));
	fprintf(stderr, "  faults      %" PRIu64 "\n", count(STAT_FAULTS));
	if (trace_out)
		fprintf(stderr, "  trace       %s\n", trace_out);
}
