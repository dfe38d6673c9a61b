/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Running the program and waiting for it.
 *
 * The signals that would end us are blocked from before the session exists and taken one by one while the
 * program runs: each is passed on to the program, and its end is ours. What the terminal sends (^C) the
 * program has got already, as a member of the same foreground group.
 */
#include "cli/cli.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

static sigset_t original_mask;
static struct sigaction original_chld;

/* Every signal that somebody may send and that would end us, and that of the program's end. */
static void signals_taken(sigset_t *set)
{
	static const int others[] = { SIGCONT, SIGTSTP, SIGTTIN, SIGTTOU, SIGURG,  SIGWINCH, SIGPIPE,
				      SIGSEGV, SIGBUS,  SIGFPE,  SIGILL,  SIGTRAP, SIGABRT,  SIGSYS };

	sigfillset(set);
	for (unsigned int i = 0; i < ARRAY_SIZE(others); i++)
		sigdelset(set, others[i]);
}

void spawn_block_signals(void)
{
	struct sigaction chld = { .sa_handler = SIG_DFL };
	sigset_t set;

	sigaction(SIGCHLD, &chld, &original_chld); /* ignored, it would take the exit status away */
	signals_taken(&set);
	sigaddset(&set, SIGPIPE); /* a complaint nobody reads must not keep the session from being removed */
	sigprocmask(SIG_BLOCK, &set, &original_mask);
}

void spawn_signals(sigset_t *set)
{
	signals_taken(set);
}

int spawn_ended_early(void)
{
	static const struct timespec moment = { .tv_nsec = 100000000 };
	sigset_t set;
	int sig;

	signals_taken(&set);
	sigdelset(&set, SIGCHLD);
	sig = sigtimedwait(&set, NULL, &moment);
	return sig > 0 ? 128 + sig : EXIT_ERROR;
}

void spawn_unblock_signals(void)
{
	sigaction(SIGCHLD, &original_chld, NULL);
	sigprocmask(SIG_SETMASK, &original_mask, NULL);
}

static void set_or_unset(const char *name, const char *value)
{
	if (value)
		setenv(name, value, 1);
	else
		unsetenv(name);
}

/* Ours first, then what was there. In a run within a run it is there already. */
static void set_preload(const char *library)
{
	const char *old = getenv("LD_PRELOAD");
	size_t len = strlen(library);
	char *both;

	if (old && !strncmp(old, library, len) && (!old[len] || old[len] == ':' || old[len] == ' '))
		return;
	if (!old || !*old)
		setenv("LD_PRELOAD", library, 1);
	else if (asprintf(&both, "%s:%s", library, old) >= 0)
		setenv("LD_PRELOAD", both, 1);
}

static void execute(const struct launch *launch)
{
	size_t argc = 0;
	char **args;

	if (!launch->program->shell_script) {
		execv(launch->program->path, launch->argv);
		return;
	}
	while (launch->argv[argc])
		argc++;
	args = calloc(argc + 2, sizeof(*args));
	if (!args)
		return;
	args[0] = (char *)"/bin/sh";
	args[1] = (char *)launch->program->path;
	memcpy(args + 2, launch->argv + 1, argc * sizeof(*args));
	execv(args[0], args);
}

/* In the child. Writes errno to report when the program cannot be executed. */
static void child(const struct launch *launch, pid_t launcher, int report)
{
	int error;

	/* Without the launcher nobody would remove the session: its sudden end is the program's, too. */
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != launcher)
		_exit(EXIT_ERROR);
	set_preload(launch->session->preload);
	setenv("UVFIO_SESSION", launch->session->dir, 1);
	set_or_unset("UVFIO_TRACE", launch->trace);
	set_or_unset("UVFIO_TRACE_OUT", launch->trace_out);
	spawn_unblock_signals();
	execute(launch);
	error = errno;
	if (write(report, &error, sizeof(error)) < 0)
		_exit(EXIT_NOT_EXECUTABLE);
	_exit(EXIT_NOT_EXECUTABLE);
}

/* A signal from the terminal's driver reaches the whole foreground group, the program with us. */
static bool program_has_it(const siginfo_t *info, pid_t pid)
{
	return info->si_code == SI_KERNEL && getpgid(pid) == getpgrp();
}

/* As a shell does: for the signals that mean a mistake of the program, not somebody's wish. */
static void report_crash(const char *name, int status)
{
	static const int crashes[] = { SIGSEGV, SIGBUS, SIGABRT, SIGILL, SIGFPE, SIGSYS, SIGTRAP };
	int sig = WTERMSIG(status);

	for (unsigned int i = 0; i < ARRAY_SIZE(crashes); i++)
		if (sig == crashes[i])
			complain("%s: ended by signal %d (SIG%s)%s", name, sig, sigabbrev_np(sig),
				 WCOREDUMP(status) ? " (core dumped)" : "");
}

static int wait_and_forward(pid_t pid, const char *name, struct ctl_server *ctl)
{
	sigset_t set;
	int status;

	signals_taken(&set);
	for (;;) {
		siginfo_t info;
		pid_t ended = waitpid(pid, &status, WNOHANG);

		if (ended == pid && WIFEXITED(status))
			return WEXITSTATUS(status);
		if (ended == pid) {
			report_crash(name, status);
			return 128 + WTERMSIG(status);
		}
		if (ended < 0) {
			complain("lost the program: %s", strerror(errno));
			return EXIT_ERROR;
		}
		if (ctl)
			ctl_server_wait(ctl, &set);
		if (sigwaitinfo(&set, &info) > 0 && info.si_signo != SIGCHLD && !program_has_it(&info, pid))
			kill(pid, info.si_signo);
	}
}

int spawn_and_wait(const struct launch *launch)
{
	pid_t launcher = getpid(), pid;
	int report[2], error;

	if (pipe2(report, O_CLOEXEC)) {
		complain("cannot start the program: %s", strerror(errno));
		return EXIT_ERROR;
	}
	pid = fork();
	if (pid < 0) {
		complain("cannot start the program: %s", strerror(errno));
		close(report[0]);
		close(report[1]);
		return EXIT_ERROR;
	}
	if (!pid)
		child(launch, launcher, report[1]);
	close(report[1]);
	if (read(report[0], &error, sizeof(error)) == sizeof(error))
		complain("%s: cannot be executed: %s", launch->program->path, strerror(error));
	close(report[0]);
	return wait_and_forward(pid, launch->argv[0], launch->ctl);
}
