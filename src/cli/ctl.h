/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The launcher's side of `uvfio ctl`: connections (ctl_server.c) and what is asked for (ctl_ops.c).
 *
 * A peer says in its first line what it is. "process PID CHANGE": a process of the session, see
 * intercept/control.c. Anything else is a client's command: "session", "list WHAT", "add LINE", "remove BDF",
 * "pull BDF", "reset BDF", "error BDF". A client gets "= ROW" for each row, "note TEXT"
 * when what it waits for does not get on, then "ok" or "error TEXT", and the connection is closed.
 *
 * A change of devices is made in this order. Add: the launcher's own machine, which checks it; the tree; the
 * description; the processes. Removal: the description, the processes; when all of them are done with the
 * device, the tree and the launcher's machine. Changes are numbered, and kept: a process that connects is
 * told those that came after the description that it has read.
 *
 * One thread; nothing blocks: not on a peer that does not read, nor on one that does not answer. (A plug-in
 * that is added is waited for, some seconds at most.) A program
 * that is stopped or dead keeps only a removal waiting, as it would keep the kernel's.
 */
#ifndef UVFIO_CLI_CTL_H
#define UVFIO_CLI_CTL_H

#include "base/lines.h"
#include "cli/cli.h"

#include <stdio.h>
#include <urcu/list.h>

#define ANSWER_NS   ((uint64_t)6000000000) /* how long a process may take to answer, or to say why not */
#define MAX_PEERS   256
#define MAX_OUTPUT  (16 << 20) /* bytes that wait for a peer */
#define PROTOCOL_OK "ok"

struct peer {
	struct cds_list_head node; /* in the server's peers */
	int sock;
	bool greeted, process, closing; /* closing: when its output has gone */
	int pid;
	struct line_reader reader;
	char *out; /* what it has not taken yet */
	size_t out_len;
};

/* Peers that something waits for. */
struct peer_set {
	struct peer **peers;
	unsigned int nr;
};

struct op {
	struct cds_list_head node; /* in the server's ops */
	unsigned long id;
	struct peer *client; /* NULL: it has gone */
	char *command;       /* as sent to the processes */
	struct peer_set waiting;
	uint64_t deadline; /* 0: none */
	bool any_ok;
	char error[512]; /* the first one */
	char *rows;      /* lines */
	size_t rows_len;
	FILE *rows_out; /* to rows */
};

/* A device that is on its way out. */
struct removal {
	struct cds_list_head node; /* in the server's removals */
	char bdf[16];
	struct peer_set waiting;
	struct op *op; /* of the client that waits for its end; NULL */
};

struct change {
	struct cds_list_head node; /* in the server's changes, oldest first */
	unsigned long number;
	char *command;
};

struct ctl_server {
	struct session *session;
	const char *program;
	char *iommu;              /* the lines of the description that are about no device */
	char *path;               /* of the second socket, to be removed; NULL */
	int listener[2], signals; /* -1: none */
	unsigned int nr_peers;
	unsigned long last_id, last_change;
	struct cds_list_head peers, ops, removals, changes;
};

/* ctl_server.c */
/* Queue text for a peer. */
void peer_send(struct ctl_server *server, struct peer *peer, const char *text, size_t len);
void peer_printf(struct ctl_server *server, struct peer *peer, const char *fmt, ...) __printf(3, 4);

/* ctl_ops.c */
void ctl_client_line(struct ctl_server *server, struct peer *peer, const char *line);
void ctl_process_hello(struct ctl_server *server, struct peer *peer, unsigned long seen);
void ctl_process_line(struct ctl_server *server, struct peer *peer, char *line);
void ctl_peer_gone(struct ctl_server *server, struct peer *peer);
void ctl_check_deadlines(struct ctl_server *server, uint64_t now);
uint64_t ctl_next_deadline(const struct ctl_server *server); /* 0: none */
void ctl_ops_free(struct ctl_server *server);
/* Write the description as the devices are now. */
int ctl_describe(struct ctl_server *server);

#endif
