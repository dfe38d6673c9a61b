/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The uvfio command. Its parts, in the order in which `uvfio run` uses them:
 *   main.c     picks the command; describe.c  command line -> machine description
 *   program.c  is PROGRAM something that the preload library can be loaded into?
 *   preload.c  where is the preload library?  session.c  the session directory
 *   trial.c    plug-ins are tried in a child first
 *   spawn.c    runs the program, passes signals on   summary.c  what happened
 *   ctl_*.c    lets others look at and change what the program has: `uvfio ctl`
 *
 * Exit status: the program's own, 128 + n when signal n ended it; before the program runs 1 for anything
 * wrong with the machine, the program or the system, 2 for wrong usage, 126 program cannot be executed, 127
 * program not found. Every complaint is one line on standard error that begins with "uvfio: ".
 */
#ifndef UVFIO_CLI_CLI_H
#define UVFIO_CLI_CLI_H

#include "base/base.h"

#include <limits.h>
#include <signal.h>

#define EXIT_ERROR          1
#define EXIT_USAGE          2
#define EXIT_NOT_EXECUTABLE 126
#define EXIT_NOT_FOUND      127

/* One line "uvfio: ..." on standard error. */
void complain(const char *fmt, ...) __printf(1, 2);

/* An option of a command: for getopt_long() and for --help. The table ends with a NULL name. */
struct cli_option {
	const char *name;
	const char *arg; /* of --name=ARG; "[...]" when it may be left out; NULL: none */
	int value;
	const char *help; /* lines, indented by the printer */
};
#define CLI_MAX_OPTIONS 16
/*
 * getopt_long() over such a table, stopping at the first word that is no option: the option's value, -1 at
 * the end,
 * '?' when it was wrong and has been complained about. command: NULL for uvfio itself.
 */
int cli_getopt(int argc, char **argv, const struct cli_option *table, const char *command);
void cli_print_options(const struct cli_option *table);

int run_command(int argc, char **argv);
int devices_command(int argc, char **argv);
int ctl_command(int argc, char **argv);
int mdev_command(int argc, char **argv);

/* ---- describe.c */

/* A growing description. */
struct description {
	char *text;
};
/* Add "device TEXT" or "iommu TEXT"; relative file= paths become absolute. 0 or an exit status (complained).
 */
int describe(struct description *description, const char *kind, const char *text);

/* ---- program.c */

struct program {
	char path[PATH_MAX]; /* what to execute */
	bool shell_script;   /* a script without "#!": /bin/sh is to run it */
};
/* Find the program as a shell would and check that it can be intercepted. 0 or an exit status (complained).
 */
int program_find(const char *name, struct program *program);

/* ---- preload.c */

/* Find libuvfio-preload.so. 0 or an exit status (complained). */
int preload_find(char path[PATH_MAX]);

/* ---- session.c */

struct session {
	char dir[PATH_MAX];     /* absolute */
	int owner;              /* descriptor: its lock says that the launcher lives; open to the end */
	char preload[PATH_MAX]; /* a path to the preload library that LD_PRELOAD can hold */
	bool ctl;               /* set before it is made: devices can change */
	struct uvfio_machine *machine; /* what is there now; NULL without ctl */
};
/*
 * Make the session directory, the machine in it to check everything, and the files that the program needs.
 * 0 or an exit status (complained, nothing left behind).
 */
int session_create(struct session *session, const char *description);
void session_remove(struct session *session);
/* Replace SESSION/machine. 0 or -errno. */
int session_describe(const struct session *session, const char *description);
/* Remove the sessions in tmp whose launcher was killed. */
void sessions_remove_left(const char *tmp);
/* Call fn for every directory in tmp that is named like a session. */
void sessions_each(const char *tmp, void (*fn)(void *arg, const char *dir), void *arg);

/* ---- trial.c */

/*
 * Carry out fn in a child, so that a plug-in's create which crashes or never returns does neither here. The
 * child ends with it; err is what fn has written there, or a line about its crash or that it takes more than
 * five seconds. description: who may be to blame.
 *
 * What fn returns; -ECHILD: it did not return; -EINTR: a signal of those that end us is pending.
 */
int trial(const char *description, int (*fn)(void *arg, char *err, size_t err_len), void *arg, char *err,
	  size_t err_len);
/* Does a description have plug-ins? */
bool trial_needed(const char *description);

/* ---- ctl_server.c: the launcher's side of `uvfio ctl` */

struct ctl_server;
/* Listen in the session, and at path when it is not empty. NULL: complained. */
struct ctl_server *ctl_server_new(struct session *session, const char *description, const char *path,
				  const char *program);
void ctl_server_free(struct ctl_server *server);
/* Serve until a signal of the set is pending. */
void ctl_server_wait(struct ctl_server *server, const sigset_t *set);

/* ---- spawn.c */

struct launch {
	const struct program *program;
	char **argv;
	const struct session *session;
	const char *trace;      /* categories, or NULL */
	const char *trace_out;  /* absolute path, or NULL */
	struct ctl_server *ctl; /* or NULL */
};
/* Block the signals that are passed on, from before the session exists to after it is gone. */
void spawn_block_signals(void);
/* A signal that ends us is pending before the program runs: the exit status. */
int spawn_ended_early(void);
/* In a child that is not the program: as before that. */
void spawn_unblock_signals(void);
/* The signals that would end us, SIGCHLD among them: those that are blocked. */
void spawn_signals(sigset_t *set);
/* Run the program to its end. Its exit status, 128 + signal, or 126/127 (complained). */
int spawn_and_wait(const struct launch *launch);

/* ---- summary.c */

void summary_print(int status, const char *trace_out);
/* One line about mappings that were left at exit, when there are any. */
void summary_mappings_left(void);

#endif
