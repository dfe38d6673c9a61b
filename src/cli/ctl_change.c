/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Devices that come and go in a session: the launcher's machine, the description and the tree follow.
 *
 * A removal is over when every process that was told of it has said so, or has gone. The client that asked
 * for it waits for that; should it go away, the removal is not taken back: who has seen REQ may have begun to
 * let go, and the kernel does not take an unbind back either.
 */
#include "cli/ctl_change.h"

#include "machine/machine.h"
#include "pci/pci.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static struct removal *find_removal(const struct ctl_server *server, const char *bdf)
{
	struct removal *removal;

	cds_list_for_each_entry (removal, &server->removals, node)
		if (!strcmp(removal->bdf, bdf))
			return removal;
	return NULL;
}

struct removal *removal_of(const struct ctl_server *server, const struct op *op)
{
	struct removal *removal;

	cds_list_for_each_entry (removal, &server->removals, node)
		if (removal->op == op)
			return removal;
	return NULL;
}

void change_forget_op(struct ctl_server *server, const struct op *op)
{
	struct removal *removal = removal_of(server, op);

	if (removal)
		removal->op = NULL;
}

/* ---- the description */

/* The address in a complete line: it always has one. */
static void bdf_of_line(const char *line, char bdf[16])
{
	const char *addr = line, *next;

	while ((next = strstr(addr + 1, ",addr=")))
		addr = next;
	snprintf(bdf, 16, "%.*s", (int)strcspn(addr + 6, ",\n"), addr + 6);
}

int ctl_describe(struct ctl_server *server)
{
	char *devices = machine_describe(server->session->machine), *rest = devices, *line, *text = NULL;
	char bdf[16];
	size_t size;
	FILE *out = open_memstream(&text, &size);
	int rc = -ENOMEM;

	if (out) {
		fprintf(out, "# change %lu\n%s", server->last_change, server->iommu);
		while ((line = strsep(&rest, "\n"))) {
			bdf_of_line(*line ? line : ",addr=", bdf);
			if (*line && !find_removal(server, bdf))
				fprintf(out, "%s\n", line);
		}
		fclose(out);
	}
	if (devices && text)
		rc = session_describe(server->session, text);
	free(devices);
	free(text);
	return rc;
}

/* A change has been made, or is going to be: its number. 0: no memory. */
static unsigned long note_change(struct ctl_server *server, const char *command)
{
	struct change *change = calloc(1, sizeof(*change));

	if (change)
		change->command = strdup(command);
	if (!change || !change->command) {
		free(change);
		return 0;
	}
	change->number = ++server->last_change;
	cds_list_add_tail(&change->node, &server->changes);
	return change->number;
}

void ctl_process_hello(struct ctl_server *server, struct peer *peer, unsigned long seen)
{
	struct change *change;

	cds_list_for_each_entry (change, &server->changes, node) {
		const char *bdf = strchr(change->command, ' ') + 1;
		struct removal *removal = find_removal(server, bdf);

		if (change->number <= seen)
			continue;
		if (removal)
			set_add(&removal->waiting, peer);
		peer_printf(server, peer, "0 %lu %s\n", change->number, change->command);
	}
}

static void refuse(struct ctl_server *server, struct peer *client, const char *bdf, const char *why)
{
	char text[256];

	snprintf(text, sizeof(text), why, bdf);
	client_error(server, client, text);
}

/* ---- adding */

struct adding {
	struct uvfio_machine *machine;
	const char *line;
};

static int try_add(void *arg, char *err, size_t err_len)
{
	const struct adding *adding = arg;

	return machine_add_device(adding->machine, adding->line, NULL, err, err_len);
}

/* A plug-in is tried in a child first: the session has to go on. */
static int add_device(struct uvfio_machine *machine, const char *line, char **full, char *err, size_t err_len)
{
	struct adding adding = { machine, line };
	int rc = trial_needed(line) ? trial(line, try_add, &adding, err, err_len) : 0;

	return rc ? rc : machine_add_device(machine, line, full, err, err_len);
}

static int add_here(struct ctl_server *server, const char *line, char **full, char *err, size_t err_len)
{
	struct uvfio_machine *machine = server->session->machine;
	char bdf[16], ignored[64];
	mode_t mask = umask(077);
	int rc = add_device(machine, line, full, err, err_len);

	if (!rc && !*full) {
		snprintf(err, err_len, "out of memory");
		rc = -ENOMEM;
	} else if (!rc) {
		bdf_of_line(*full, bdf);
		rc = machine_tree_add(machine, server->session->dir, bdf);
		if (rc) {
			snprintf(err, err_len, "the session directory cannot be changed: %s", strerror(-rc));
			machine_tree_remove(machine, server->session->dir, bdf);
			machine_remove_device(machine, bdf, false, NULL, NULL, ignored, sizeof(ignored));
			machine_wait_removed(machine);
		}
	}
	umask(mask);
	return rc;
}

/* The address that a user's line asks for, as we write it; false: none, or none that can be. */
static bool wanted_bdf(const char *line, char bdf[16])
{
	const char *addr = strstr(line, ",addr=");
	struct pci_slot slot;
	char word[16];

	if (!addr)
		return false;
	snprintf(word, sizeof(word), "%.*s", (int)strcspn(addr + 6, ",\n"), addr + 6);
	if (pci_parse_bdf(word, &slot))
		return false;
	pci_format_bdf(&slot, bdf);
	return true;
}

void change_add(struct ctl_server *server, struct peer *client, const char *line)
{
	char err[1024] = "", bdf[16], *full = NULL;
	unsigned long change;
	struct op *op;

	if (wanted_bdf(line, bdf) && find_removal(server, bdf)) {
		refuse(server, client, bdf,
		       "%s is still taken by a device that is being removed: its user has not closed it yet");
		return;
	}
	if (add_here(server, line, &full, err, sizeof(err))) {
		client_error(server, client, err);
		free(full);
		return;
	}
	bdf_of_line(full, bdf);
	full[strcspn(full, "\n")] = 0;
	op = op_new(server, client, "add", full);
	free(full);
	change = op ? note_change(server, op->command) : 0;
	if (op && !change) {
		client_error(server, client, "out of memory");
		op_free(op);
	}
	if (!change)
		return;
	ctl_describe(server);
	fprintf(op->rows_out, "%s\n", bdf);
	op_send(server, op, change);
	op_check(server, op);
}

/* ---- removing */

static bool exists(struct ctl_server *server, const char *bdf)
{
	char *devices = machine_describe(server->session->machine), *rest = devices, *line, at[16];
	bool found = false;

	while ((line = strsep(&rest, "\n")))
		if (*line) {
			bdf_of_line(line, at);
			found |= !strcmp(at, bdf);
		}
	free(devices);
	return found;
}

bool change_known(struct ctl_server *server, struct peer *client, const char *bdf)
{
	char text[256];

	if (exists(server, bdf))
		return true;
	snprintf(text, sizeof(text), "there is no device at %.32s: uvfio ctl devices lists them", bdf);
	client_error(server, client, text);
	return false;
}

/* No process has the device any more: the launcher's own part. */
static void removal_end(struct ctl_server *server, struct removal *removal)
{
	struct uvfio_machine *machine = server->session->machine;
	struct op *op = removal->op;
	char err[256] = "";
	int tree = machine_tree_remove(machine, server->session->dir, removal->bdf);
	int rc = machine_remove_device(machine, removal->bdf, false, NULL, NULL, err, sizeof(err));

	machine_wait_removed(machine);
	if (rc)
		complain("ctl: %s", err);
	else if (tree)
		complain("ctl: the session directory cannot be changed: %s", strerror(-tree));
	cds_list_del(&removal->node);
	free(removal->waiting.peers);
	free(removal);
	if (op) {
		client_ok(server, op->client);
		op_free(op);
	}
}

void removal_done(struct ctl_server *server, struct peer *peer, const char *bdf)
{
	struct removal *removal, *next;

	cds_list_for_each_entry_safe (removal, next, &server->removals, node) {
		if (bdf && strcmp(removal->bdf, bdf))
			continue;
		if (!set_remove(&removal->waiting, peer))
			continue;
		if (removal->op)
			set_remove(&removal->op->waiting, peer);
		if (!removal->waiting.nr)
			removal_end(server, removal);
	}
}

void removal_not_needed(struct ctl_server *server, struct peer *peer, const struct op *op)
{
	if (!strncmp(op->command, "remove ", 7) || !strncmp(op->command, "pull ", 5))
		removal_done(server, peer, strchr(op->command, ' ') + 1);
}

static struct removal *begin_removal(struct ctl_server *server, const char *bdf)
{
	struct removal *removal = calloc(1, sizeof(*removal));
	struct peer *peer;

	if (!removal)
		return NULL;
	snprintf(removal->bdf, sizeof(removal->bdf), "%s", bdf);
	cds_list_for_each_entry (peer, &server->peers, node)
		if (peer->process && !peer->closing)
			set_add(&removal->waiting, peer);
	cds_list_add_tail(&removal->node, &server->removals);
	return removal;
}

void change_remove(struct ctl_server *server, struct peer *client, const char *bdf, bool surprise)
{
	struct removal *removal;
	unsigned long change = 0;
	struct op *op;

	if (!change_known(server, client, bdf))
		return;
	removal = find_removal(server, bdf);
	if (removal && !surprise) {
		refuse(server, client, bdf, "%s is being removed already: its user has not closed it yet");
		return;
	}
	op = op_new(server, client, surprise ? "pull" : "remove", bdf);
	if (!op)
		return;
	if (!removal) {
		removal = begin_removal(server, bdf);
		change = removal ? note_change(server, op->command) : 0;
		if (removal && !surprise)
			removal->op = op;
		ctl_describe(server);
	}
	op_send(server, op, change);
	if (removal && !removal->waiting.nr)
		removal_end(server, removal);
	if (surprise)
		op_check(server, op);
}

/* ---- answers */

void change_answered(struct ctl_server *server, struct op *op)
{
	bool add = !strncmp(op->command, "add ", 4);

	if (add && op->client && !*op->error)
		peer_printf(server, op->client, "= %.*s\n", (int)strcspn(op->rows, "\n"), op->rows);
	if (!strncmp(op->command, "error ", 6) && !op->any_ok)
		refuse(server, op->client, op->command + 6, "%s is not open: there is nobody to tell");
	else if (!add || !*op->error)
		client_ok(server,
			  op->client); /* where a device is not open there is nothing to list or reset */
	else
		client_error(server, op->client, op->error);
}

void ctl_ops_free(struct ctl_server *server)
{
	struct removal *removal, *next_removal;
	struct change *change, *next_change;
	struct op *op, *next_op;

	cds_list_for_each_entry_safe (op, next_op, &server->ops, node)
		op_free(op);
	cds_list_for_each_entry_safe (removal, next_removal, &server->removals, node) {
		free(removal->waiting.peers);
		free(removal);
	}
	cds_list_for_each_entry_safe (change, next_change, &server->changes, node) {
		free(change->command);
		free(change);
	}
}
