/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A thread that carries out commands of `uvfio ctl`, which the launcher passes on. There is one only in a
 * session with --ctl: then there is SESSION/ctl.
 *
 * We say "process PID CHANGE", CHANGE being the number of the last change of devices that our machine has
 * seen. The launcher sends the later ones, and commands: "ID CHANGE COMMAND" (CHANGE 0: it changes no
 * device). The answer: "ID = ROW" for each row, then "ID ok" or "ID error TEXT". Later, for a device that was
 * to be removed: "removed BDF". And "waits BDF TEXT" when a reset or a close of a device does not get on.
 *
 * The child of a fork connects when it opens a node: until then it has nothing to be asked about, and most
 * children never do.
 *
 * sending is held while an answer is written, by this thread and by those that end a removal; sock is -1 when
 * there is nobody to talk to.
 */
#include "intercept/control.h"

#include "base/lines.h"
#include "base/thread.h"
#include "intercept/intercept.h"
#include "machine/machine.h"
#include "model/model.h"

#include <pthread.h>
#include <string.h>

_Atomic bool control_due;

static pthread_mutex_t sending = PTHREAD_MUTEX_INITIALIZER;
static int sock = -1;              /* written by who connects; under sending */
static _Atomic unsigned long seen; /* the last change that our machine has */

static void say(const char *text, size_t len)
{
	pthread_mutex_lock(&sending);
	if (sock >= 0 && lines_send(sock, text, len))
		shutdown(sock, SHUT_RDWR); /* the thread closes it */
	pthread_mutex_unlock(&sending);
}

static void removed(void *arg, const char *bdf)
{
	char line[32];
	int n = snprintf(line, sizeof(line), "removed %s\n", bdf);

	(void)arg;
	say(line, (size_t)n);
}

/* What waits may be what somebody has asked for: a reset, or the close that a removal waits for. */
static void waits(const char *device, const char *line)
{
	char text[256];
	int n = snprintf(text, sizeof(text), "waits %s %s\n", device, line);

	say(text, MIN((size_t)n, sizeof(text) - 1));
}

/* rows: lines; each gets the command's number in front. */
static void answer(unsigned long id, char *rows, int rc, const char *err)
{
	char *text = NULL, *row;
	size_t len = 0;
	FILE *out = open_memstream(&text, &len);

	if (!out)
		return;
	while ((row = strsep(&rows, "\n")))
		if (*row)
			fprintf(out, "%lu = %s\n", id, row);
	if (rc)
		fprintf(out, "%lu error %s\n", id, err);
	else
		fprintf(out, "%lu ok\n", id);
	fclose(out);
	if (text)
		say(text, len);
	free(text);
}

static void carry_out(const char *line)
{
	unsigned long id, change;
	char err[512] = "", *rows = NULL;
	size_t len = 0;
	FILE *out;
	int at = 0, rc;

	if (sscanf(line, "%lu %lu %n", &id, &change, &at) < 2 || !at)
		return;
	out = open_memstream(&rows, &len);
	if (!out)
		return;
	rc = machine_control(intercept_machine_if_made(), line + at, removed, NULL, out, err, sizeof(err));
	fclose(out);
	if (change)
		atomic_store(&seen, change);
	answer(id, rows, rc, err);
	free(rows);
}

static void *control_main(void *arg)
{
	int fd = (int)(intptr_t)arg;
	struct line_reader *reader = calloc(1, sizeof(*reader));
	char *line;

	while (reader && lines_receive(reader, fd) > 0)
		while ((line = lines_next(reader)))
			carry_out(line);
	free(reader);
	pthread_mutex_lock(&sending);
	private_fd_close(fd);
	sock = -1;
	pthread_mutex_unlock(&sending);
	return NULL;
}

static void start(void)
{
	char hello[64];
	pthread_t thread;
	int fd = private_fd(lines_connect(session.dir, "ctl"));
	int n = snprintf(hello, sizeof(hello), "process %d %lu\n", (int)getpid(), atomic_load(&seen));

	if (fd < 0)
		return;
	pthread_mutex_lock(&sending);
	sock = fd;
	pthread_mutex_unlock(&sending);
	say(hello, (size_t)n);
	if (thread_start(&thread, "uvfio-control", control_main, (void *)(intptr_t)fd)) {
		pthread_mutex_lock(&sending);
		private_fd_close(sock);
		sock = -1;
		pthread_mutex_unlock(&sending);
		return;
	}
	pthread_detach(thread);
}

void control_start(const char *description)
{
	unsigned long change;

	if (sscanf(description, "# change %lu", &change) != 1)
		return;
	model_waits = waits;
	atomic_store(&seen, change);
	atomic_store(&control_due, false); /* the machine may follow one that a fork has left us */
	start();
}

/* The connection is the parent's. */
void control_forked(void)
{
	pthread_mutex_init(&sending, NULL);
	if (sock < 0)
		return;
	private_fd_close(sock);
	sock = -1;
	atomic_store(&control_due, true);
}

void control_resume_slow(void)
{
	if (atomic_exchange(&control_due, false))
		start();
}
