/* SPDX-License-Identifier: BSD-2-Clause */
/* What clients ask for, and what the processes answer: see ctl.h. */
#include "cli/ctl.h"

#include "base/trace.h"
#include "cli/ctl_change.h"
#include "machine/machine.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MAX_ROWS (8 << 20) /* bytes of one answer */

/* ---- sets of peers */

bool set_add(struct peer_set *set, struct peer *peer)
{
	struct peer **peers = reallocarray(set->peers, set->nr + 1, sizeof(*peers));

	if (!peers)
		return false;
	set->peers = peers;
	peers[set->nr++] = peer;
	return true;
}

bool set_remove(struct peer_set *set, const struct peer *peer)
{
	for (unsigned int i = 0; i < set->nr; i++)
		if (set->peers[i] == peer) {
			set->peers[i] = set->peers[--set->nr];
			return true;
		}
	return false;
}

/* ---- operations */

void op_free(struct op *op)
{
	if (op->rows_out)
		fclose(op->rows_out);
	free(op->rows);
	free(op->waiting.peers);
	free(op->command);
	cds_list_del(&op->node);
	free(op);
}

/* NULL: no memory; the client has been told. */
struct op *op_new(struct ctl_server *server, struct peer *client, const char *verb, const char *rest)
{
	struct op *op = calloc(1, sizeof(*op));

	if (op) {
		op->id = ++server->last_id;
		op->client = client;
		op->rows_out = open_memstream(&op->rows, &op->rows_len);
		if (asprintf(&op->command, "%s %s", verb, rest) < 0)
			op->command = NULL;
		cds_list_add_tail(&op->node, &server->ops);
	}
	if (op && op->rows_out && op->command)
		return op;
	if (op)
		op_free(op);
	client_error(server, client, "out of memory");
	return NULL;
}

/* Every process is to carry out the operation. change: its number, 0 when it changes no device. */
void op_send(struct ctl_server *server, struct op *op, unsigned long change)
{
	struct peer *peer;

	op->deadline = trace_now() + ANSWER_NS;
	cds_list_for_each_entry (peer, &server->peers, node)
		if (peer->process && !peer->closing && set_add(&op->waiting, peer))
			peer_printf(server, peer, "%lu %lu %s\n", op->id, change, op->command);
}

void client_error(struct ctl_server *server, struct peer *client, const char *text)
{
	if (!client)
		return;
	peer_printf(server, client, "error %s\n", text);
	client->closing = true;
}

void client_ok(struct ctl_server *server, struct peer *client)
{
	if (!client)
		return;
	peer_send(server, client, "ok\n", 3);
	client->closing = true;
}

/* ---- answers */

static bool same_key(const char *a, const char *b)
{
	size_t len = strcspn(a, " ");

	return len == strcspn(b, " ") && !strncmp(a, b, len);
}

/* What a process says of a device or group: worth more than what another, or the launcher, does? */
static bool says_more(const char *row)
{
	return !strstr(row, "closed");
}

/* Our own rows, each replaced by that of a process that has more to say of it. */
static void send_merged(struct ctl_server *server, struct op *op, const char *what)
{
	char *own = NULL, *rest, *row;
	size_t len = 0;
	FILE *out = open_memstream(&own, &len);

	if (!out)
		return;
	machine_list(server->session->machine, what, out);
	fclose(out);
	rest = own;
	while ((row = strsep(&rest, "\n"))) {
		const char *best = row;

		for (const char *line = op->rows; *row && line && *line; line = strchr(line, '\n') + 1)
			if (same_key(line, row) && says_more(best) <= says_more(line))
				best = line;
		if (*row)
			peer_printf(server, op->client, "= %.*s\n", (int)strcspn(best, "\n"), best);
	}
	free(own);
}

static void send_list(struct ctl_server *server, struct op *op)
{
	const char *what = op->command + strlen("list "), *line = op->rows;

	peer_printf(server, op->client, "= %s\n", machine_list_heading(what));
	if (!strcmp(what, "devices") || !strcmp(what, "groups")) {
		send_merged(server, op, what);
		return;
	}
	if (machine_list_none(what) && (!line || !*line))
		peer_printf(server, op->client, "= %s\n", machine_list_none(what));
	for (; line && *line; line = strchr(line, '\n') + 1)
		peer_printf(server, op->client, "= %.*s\n", (int)strcspn(line, "\n"), line);
}

/* Every process has answered, or has had its time. */
static void op_answered(struct ctl_server *server, struct op *op)
{
	bool list = !strncmp(op->command, "list ", 5);

	fclose(op->rows_out); /* rows is complete now */
	op->rows_out = NULL;
	if (op->waiting.nr)
		snprintf(op->error, sizeof(op->error), "process %d does not answer: is it stopped?",
			 op->waiting.peers[0]->pid);
	if (list && op->client)
		send_list(server, op);
	if (op->waiting.nr)
		client_error(server, op->client, op->error);
	else
		change_answered(server, op);
	change_forget_op(server, op);
	op_free(op);
}

void op_check(struct ctl_server *server, struct op *op)
{
	if (!op->waiting.nr && !removal_of(server, op))
		op_answered(server, op);
}

static struct op *find_op(struct ctl_server *server, unsigned long id)
{
	struct op *op;

	cds_list_for_each_entry (op, &server->ops, node)
		if (op->id == id)
			return op;
	return NULL;
}

static void take_answer(struct ctl_server *server, struct peer *peer, struct op *op, const char *text)
{
	unsigned long id = op->id;

	if (text[0] == '=' && text[1] == ' ') {
		if (op->rows_out && ftell(op->rows_out) < MAX_ROWS)
			fprintf(op->rows_out, "%s\n", text + 2);
		return;
	}
	set_remove(&op->waiting, peer);
	if (strncmp(text, "error ", 6)) {
		op->any_ok = true;
		op_check(server, op);
		return;
	}
	if (!*op->error)
		snprintf(op->error, sizeof(op->error), "%s", text + 6);
	removal_not_needed(server, peer, op); /* which may be the end of it */
	op = find_op(server, id);
	if (op)
		op_check(server, op);
}

/* "BDF TEXT": tell those who wait for that device. They know then, and can go on waiting. */
static void pass_on(struct ctl_server *server, const char *line)
{
	size_t len = strcspn(line, " ");
	struct op *op;

	if (!line[len])
		return;
	cds_list_for_each_entry (op, &server->ops, node) {
		const char *bdf = strchr(op->command, ' ') + 1;

		if (!op->client || strncmp(bdf, line, len) || bdf[len])
			continue;
		peer_printf(server, op->client, "note %s\n", line + len + 1);
		op->deadline = 0;
	}
}

void ctl_process_line(struct ctl_server *server, struct peer *peer, char *line)
{
	unsigned long id;
	struct op *op;
	int at = 0;

	if (!strncmp(line, "removed ", 8)) {
		removal_done(server, peer, line + 8);
		return;
	}
	if (!strncmp(line, "waits ", 6)) {
		pass_on(server, line + 6);
		return;
	}
	if (sscanf(line, "%lu %n", &id, &at) != 1 || !at)
		return;
	op = find_op(server, id);
	if (op)
		take_answer(server, peer, op, line + at);
}

void ctl_peer_gone(struct ctl_server *server, struct peer *peer)
{
	struct op *op, *next;

	removal_done(server, peer, NULL);
	cds_list_for_each_entry_safe (op, next, &server->ops, node) {
		if (op->client == peer)
			op->client = NULL;
		if (set_remove(&op->waiting, peer)) {
			op->any_ok = true; /* what it was told may have ended it */
			op_check(server, op);
		}
	}
}

/* ---- time */

void ctl_check_deadlines(struct ctl_server *server, uint64_t now)
{
	struct op *op, *next;

	cds_list_for_each_entry_safe (op, next, &server->ops, node)
		if (op->waiting.nr && op->deadline && op->deadline <= now && !removal_of(server, op))
			op_answered(server, op);
}

uint64_t ctl_next_deadline(const struct ctl_server *server)
{
	uint64_t next = 0;
	struct op *op;

	cds_list_for_each_entry (op, &server->ops, node)
		if (op->waiting.nr && op->deadline && !removal_of(server, op) &&
		    (!next || op->deadline < next))
			next = op->deadline;
	return next;
}

/* ---- clients */

static void tell_session(struct ctl_server *server, struct peer *client)
{
	unsigned int processes = 0;
	struct peer *peer;

	cds_list_for_each_entry (peer, &server->peers, node)
		processes += peer->process;
	peer_printf(server, client, "= %-7d %-9u %s\n", (int)getpid(), processes, server->program);
	client_ok(server, client);
}

static void list(struct ctl_server *server, struct peer *client, const char *what)
{
	struct op *op;

	if (!machine_list_heading(what)) {
		client_error(server, client,
			     "there are devices, groups, containers, mappings, memory and tce to list");
		return;
	}
	op = op_new(server, client, "list", what);
	if (!op)
		return;
	op_send(server, op, 0);
	op_check(server, op);
}

static void on_device(struct ctl_server *server, struct peer *client, const char *verb, const char *bdf)
{
	struct op *op;

	if (!change_known(server, client, bdf))
		return;
	op = op_new(server, client, verb, bdf);
	if (!op)
		return;
	op_send(server, op, 0);
	op_check(server, op);
}

void ctl_client_line(struct ctl_server *server, struct peer *peer, const char *line)
{
	size_t len = strcspn(line, " ");
	const char *rest = line + len + (line[len] == ' ');
	char verb[16];

	snprintf(verb, sizeof(verb), "%.*s", (int)MIN(len, sizeof(verb)), line);
	if (!strcmp(verb, "session"))
		tell_session(server, peer);
	else if (!strcmp(verb, "list"))
		list(server, peer, rest);
	else if (!strcmp(verb, "add"))
		change_add(server, peer, rest);
	else if (!strcmp(verb, "remove") || !strcmp(verb, "pull"))
		change_remove(server, peer, rest, *verb == 'p');
	else if (!strcmp(verb, "reset") || !strcmp(verb, "error"))
		on_device(server, peer, verb, rest);
	else
		client_error(server, peer, "there is no such command");
}
