/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Trying plug-ins in a child of the launcher, where a create that crashes or hangs does no harm.
 *
 * The child says how it went in one message on a pipe: when fn has returned, or in the handler of the signal
 * that kills it, or of that of its alarm. Without one it was killed. Signals that end the launcher are
 * blocked there and not in the child; they stay pending, for who called.
 */
#include "base/crash.h"
#include "base/inside.h"
#include "base/trace.h"
#include "cli/cli.h"
#include "machine/plugin.h"
#include "model/model.h"

#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#define PATIENCE_S 5
#define TRIAL_NS   ((uint64_t)6000000000) /* the child says so before */

struct message {
	int rc;
	char text[1024];
};

/* ---- in the child */

static int to_launcher;

static void say(int rc, const char *text)
{
	struct message message = { .rc = rc };

	snprintf(message.text, sizeof(message.text), "%s", text);
	if (write(to_launcher, &message, sizeof(message)) < 0)
		_exit(EXIT_ERROR);
}

static void tell_crash(const char *line)
{
	say(-ECHILD, line);
}

static void tell_hang(int sig)
{
	char line[512];

	(void)sig;
	snprintf(line, sizeof(line), "%s: its %s has not returned for %d seconds: it has to, soon",
		 inside_now.who ? inside_now.who : "a plug-in", inside_now.who ? inside_now.what : "code",
		 PATIENCE_S);
	say(-ECHILD, line);
	_exit(EXIT_ERROR);
}

static void in_child(pid_t launcher, int (*fn)(void *arg, char *err, size_t err_len), void *arg)
{
	struct sigaction alarmed = { .sa_handler = tell_hang, .sa_flags = SA_RESTART };
	static char stack[65536];
	stack_t other = { .ss_sp = stack, .ss_size = sizeof(stack) };
	char err[sizeof(((struct message *)0)->text)] = "";
	sigset_t set;
	int rc;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != launcher)
		_exit(EXIT_ERROR);
	spawn_unblock_signals();
	sigaltstack(&other, NULL); /* so that endless recursion is told, too */
	crash_told = tell_crash;
	model_patience = 2 * TRIAL_NS; /* the alarm comes before: one line is enough */
	sigaction(SIGALRM, &alarmed, NULL);
	sigemptyset(&set);
	sigaddset(&set, SIGALRM);
	sigprocmask(SIG_UNBLOCK, &set, NULL);
	alarm(PATIENCE_S);
	rc = fn(arg, err, sizeof(err));
	alarm(0);
	say(rc, err);
	_exit(0);
}

/* ---- in the launcher */

static int ending_signals(void)
{
	sigset_t set;

	spawn_signals(&set);
	sigdelset(&set, SIGCHLD);
	return signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
}

/* 0: there is a message, or there will be none. */
static int wait_message(int from_child)
{
	struct pollfd polls[2] = { { .fd = from_child, .events = POLLIN },
				   { .fd = ending_signals(), .events = POLLIN } };
	int rc;

	do
		rc = poll(polls, 2, (int)(TRIAL_NS / 1000000));
	while (rc < 0 && errno == EINTR);
	if (polls[1].fd >= 0)
		close(polls[1].fd);
	if (rc == 0)
		return -ETIMEDOUT;
	return polls[1].revents ? -EINTR : 0;
}

static bool is_plugin(const char *line, size_t len, char *name, size_t size)
{
	size_t word = strcspn(line, " \n");

	if (word >= len || strncmp(line, "device", 6))
		return false;
	line += word + 1;
	snprintf(name, size, "%.*s", (int)MIN(strcspn(line, ",\n"), len - word - 1), line);
	return plugin_named(name);
}

/* "/x.so, /y.so": those of a description. */
static void plugins_of(const char *description, char *names, size_t size)
{
	char name[PATH_MAX];
	size_t used = 0;

	*names = 0;
	while (*description && used < size) {
		size_t len = strcspn(description, "\n");

		if (is_plugin(description, len, name, sizeof(name)))
			used += (size_t)snprintf(names + used, size - used, "%s%s", used ? ", " : "", name);
		description += len + (description[len] == '\n');
	}
}

static void explain(const char *description, int rc, int status, char *err, size_t err_len)
{
	char names[PATH_MAX];

	plugins_of(description, names, sizeof(names));
	if (rc == -EINTR)
		snprintf(err, err_len, "a signal came before the plug-in's create had returned");
	else if (rc == -ETIMEDOUT)
		snprintf(err, err_len, "%s: its create does not return", names);
	else if (WIFSIGNALED(status))
		snprintf(err, err_len,
			 "%s: making the device ended in SIG%s, not in a callback: has it written beyond its "
			 "memory, of priv_size bytes?",
			 names, sigabbrev_np(WTERMSIG(status)));
	else
		snprintf(err, err_len, "%s: its create ended the process: it has to return", names);
}

/* What ends us, the terminal's ^C, ends the child, too: perhaps before it has reached us. */
static bool ended_like_us(int status)
{
	sigset_t set;

	spawn_signals(&set);
	return WIFSIGNALED(status) && WTERMSIG(status) != SIGKILL && sigismember(&set, WTERMSIG(status)) == 1;
}

/* The child is over in a moment, or is to be. */
static int hear(const char *description, pid_t pid, int from_child, char *err, size_t err_len)
{
	struct message message;
	int status = 0, rc = wait_message(from_child);
	bool said = !rc && read(from_child, &message, sizeof(message)) == sizeof(message);

	if (rc)
		kill(pid, SIGKILL);
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		continue;
	if (said) {
		message.text[sizeof(message.text) - 1] = 0;
		snprintf(err, err_len, "%s", message.text);
		return message.rc;
	}
	if (!rc && ended_like_us(status))
		rc = -EINTR;
	explain(description, rc, status, err, err_len);
	return rc == -EINTR ? rc : -ECHILD;
}

int trial(const char *description, int (*fn)(void *arg, char *err, size_t err_len), void *arg, char *err,
	  size_t err_len)
{
	pid_t launcher = getpid(), pid;
	int pipes[2], rc;

	fflush(NULL);
	if (pipe2(pipes, O_CLOEXEC)) {
		rc = -errno;
		goto fail;
	}
	pid = fork();
	if (!pid) {
		to_launcher = pipes[1];
		in_child(launcher, fn, arg);
	}
	rc = pid < 0 ? -errno : 0;
	close(pipes[1]);
	if (!rc)
		rc = hear(description, pid, pipes[0], err, err_len);
	close(pipes[0]);
	if (pid >= 0)
		return rc;
fail:
	snprintf(err, err_len, "a plug-in cannot be tried: %s", strerror(-rc));
	return rc;
}

bool trial_needed(const char *description)
{
	char names[2];

	plugins_of(description, names, sizeof(names));
	return *names;
}
