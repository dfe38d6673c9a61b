/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A table of operations, each with what the real KVM said to it: run against the library, and against
 * /dev/kvm where there is one, line by line.
 *
 *   table FILE            compare; a test, which speaks TAP
 *   table --record FILE   print the table with what /dev/kvm says now
 *
 * "OP = RESULT"; where the library differs on purpose "| ours RESULT" follows. "# TITLE" begins a test case;
 * ";" a remark.
 */
#include "ops.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct line {
	char op[512], result[TEXT], ours[TEXT];
};

static char *trim(char *text)
{
	char *end = text + strlen(text);

	while (end > text && strchr(" \t\n", end[-1]))
		*--end = 0;
	return text + strspn(text, " \t");
}

static void parse(char *text, struct line *line)
{
	char *bar = strstr(text, " | ours "), *equals;

	*line = (struct line){ 0 };
	if (bar) {
		snprintf(line->ours, sizeof(line->ours), "%s", trim(bar + strlen(" | ours ")));
		*bar = 0;
	}
	equals = strstr(text, " = ");
	if (equals) {
		snprintf(line->result, sizeof(line->result), "%s", trim(equals + 3));
		*equals = 0;
	}
	if (!bar)
		memcpy(line->ours, line->result, sizeof(line->ours));
	snprintf(line->op, sizeof(line->op), "%s", trim(text));
}

static void say(struct subject *s, const char *op, char *text)
{
	char raw[TEXT];

	if (!op_run(s, op, raw)) {
		fprintf(stderr, "table: what is \"%s\"?\n", op);
		exit(2);
	}
	strcpy(text, *raw ? trim(raw) : "-");
}

static void record(struct subject *real, struct subject *ours, char *text)
{
	struct line line;
	char result[TEXT], mine[TEXT];

	if (strchr("#;\n", *text)) {
		fputs(text, stdout);
		return;
	}
	parse(text, &line);
	say(real, line.op, result);
	say(ours, line.op, mine);
	printf("%s = %s", line.op, result);
	if (strcmp(result, mine))
		printf(" | ours %s", mine);
	printf("\n");
}

/* ---- as a test */

static unsigned int cases, lines, failures, other;
static char title[256];

static void end_case(void)
{
	if (*title)
		printf("%sok %u - %s\n", failures ? "not " : "", cases, title);
	failures = 0;
}

static void compare(struct subject *real, struct subject *ours, char *text, unsigned int number)
{
	struct line line;
	char result[TEXT], mine[TEXT];

	parse(text, &line);
	lines++;
	say(ours, line.op, mine);
	if (strcmp(mine, line.ours)) {
		printf("# line %u: %s: ours \"%s\", expected \"%s\"\n", number, line.op, mine, line.ours);
		failures++;
	}
	if (!real)
		return;
	say(real, line.op, result);
	if (!strcmp(result, line.result))
		return;
	other++;
	printf("# line %u: %s: this kernel says \"%s\", recorded is \"%s\"\n", number, line.op, result,
	       line.result);
	failures += strcmp(mine, result) != 0 && subject_is_recorded_kernel();
}

static int run(struct subject *real, struct subject *ours, FILE *file, bool recording)
{
	unsigned int number = 0, bad = 0;
	char text[2048];

	while (fgets(text, sizeof(text), file)) {
		number++;
		if (recording) {
			record(real, ours, text);
		} else if (*text == '#') {
			bad += failures;
			end_case();
			cases++;
			snprintf(title, sizeof(title), "%s", trim(text + 1));
		} else if (*text != ';' && *text != '\n') {
			compare(real, ours, text, number);
		}
		fflush(stdout);
	}
	bad += failures;
	if (recording)
		return 0;
	end_case();
	printf("1..%u\n# %u operations, %s\n", cases, lines,
	       real ? "compared with the real KVM"
		    : "no usable /dev/kvm: compared with the recorded results of Linux " RECORDED_KERNEL);
	if (other)
		printf("# %u results of this kernel are not the recorded ones\n", other);
	return bad ? 1 : 0;
}

int main(int argc, char **argv)
{
	bool recording = argc > 2 && !strcmp(argv[1], "--record"), has_real;
	FILE *file = argc > 1 ? fopen(argv[argc - 1], "re") : NULL;
	static struct subject real, ours;
	int rc;

	if (!file || !subject_open(&ours, false)) {
		fprintf(stderr, "table: cannot begin\n");
		return 2;
	}
	has_real = !getenv("UVFIO_NO_KVM") && subject_open(&real, true);
	if (recording && !has_real) {
		fprintf(stderr, "table: /dev/kvm cannot be used\n");
		return 2;
	}
	rc = run(has_real ? &real : NULL, &ours, file, recording);
	if (has_real)
		subject_close(&real);
	subject_close(&ours);
	fclose(file);
	return rc;
}
