/* SPDX-License-Identifier: BSD-2-Clause */
/* The sockets of a session with --ctl: see ctl.h. */
#include "cli/ctl.h"

#include "base/trace.h"

#include <fcntl.h>
#include <libgen.h>
#include <poll.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <unistd.h>

/* ---- output */

static void flush(struct peer *peer)
{
	ssize_t n = send(peer->sock, peer->out, peer->out_len, MSG_NOSIGNAL | MSG_DONTWAIT);

	if (n < 0 && errno != EAGAIN && errno != EINTR) {
		peer->closing = true;
		n = (ssize_t)peer->out_len;
	}
	if (n <= 0)
		return;
	peer->out_len -= (size_t)n;
	memmove(peer->out, peer->out + n, peer->out_len);
}

void peer_send(struct ctl_server *server, struct peer *peer, const char *text, size_t len)
{
	char *out;

	(void)server;
	out = peer->out_len + len > MAX_OUTPUT ? NULL : realloc(peer->out, peer->out_len + len + 1);
	if (!out) {
		peer->closing = true; /* it does not read: it is not worth the memory */
		peer->out_len = 0;
		return;
	}
	memcpy(out + peer->out_len, text, len);
	peer->out = out;
	peer->out_len += len;
	flush(peer);
}

void peer_printf(struct ctl_server *server, struct peer *peer, const char *fmt, ...)
{
	char *text;
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vasprintf(&text, fmt, ap);
	va_end(ap);
	if (n < 0)
		return;
	peer_send(server, peer, text, (size_t)n);
	free(text);
}

/* ---- peers */

static void drop_peer(struct ctl_server *server, struct peer *peer)
{
	cds_list_del(&peer->node);
	server->nr_peers--;
	ctl_peer_gone(server, peer);
	close(peer->sock);
	free(peer->out);
	free(peer);
}

static void accept_peer(struct ctl_server *server, int listener)
{
	int sock = accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	struct peer *peer = sock < 0 || server->nr_peers >= MAX_PEERS ? NULL : calloc(1, sizeof(*peer));

	if (!peer) {
		if (sock >= 0)
			close(sock);
		return;
	}
	peer->sock = sock;
	server->nr_peers++;
	cds_list_add_tail(&peer->node, &server->peers);
}

static void take_line(struct ctl_server *server, struct peer *peer, char *line)
{
	unsigned long change;

	if (peer->process) {
		ctl_process_line(server, peer, line);
	} else if (peer->greeted) {
		peer->closing = true; /* a client says one thing */
	} else if (sscanf(line, "process %d %lu", &peer->pid, &change) == 2) {
		peer->process = peer->greeted = true;
		ctl_process_hello(server, peer, change);
	} else {
		peer->greeted = true;
		ctl_client_line(server, peer, line);
	}
}

static void hear(struct ctl_server *server, struct peer *peer)
{
	ssize_t n = lines_receive(&peer->reader, peer->sock);
	char *line;

	if (n <= 0 && n != -EAGAIN) {
		peer->closing = true;
		peer->out_len = 0;
	}
	while (n > 0 && !peer->closing && (line = lines_next(&peer->reader)))
		take_line(server, peer, line);
}

/* ---- the loop */

static unsigned int fill_polls(const struct ctl_server *server, struct pollfd *polls, struct peer **peers)
{
	struct peer *peer;
	unsigned int nr = 3;

	polls[0] = (struct pollfd){ .fd = server->signals, .events = POLLIN };
	polls[1] = (struct pollfd){ .fd = server->listener[0], .events = POLLIN };
	polls[2] = (struct pollfd){ .fd = server->listener[1], .events = POLLIN };
	cds_list_for_each_entry (peer, &server->peers, node) {
		short events = peer->out_len ? POLLIN | POLLOUT : POLLIN;

		peers[nr] = peer;
		polls[nr++] = (struct pollfd){ .fd = peer->sock, .events = events };
	}
	return nr;
}

static int poll_timeout(const struct ctl_server *server)
{
	uint64_t deadline = ctl_next_deadline(server), now = trace_now();

	if (!deadline)
		return -1;
	return deadline <= now ? 0 : (int)((deadline - now) / 1000000 + 1);
}

static void drop_closing(struct ctl_server *server)
{
	struct peer *peer, *next;

	cds_list_for_each_entry_safe (peer, next, &server->peers, node)
		if (peer->closing && !peer->out_len)
			drop_peer(server, peer);
}

/* One round: true when a signal is pending. */
static bool serve(struct ctl_server *server)
{
	struct pollfd polls[3 + MAX_PEERS];
	struct peer *peers[3 + MAX_PEERS];
	unsigned int nr = fill_polls(server, polls, peers);

	if (poll(polls, nr, poll_timeout(server)) < 0)
		return errno != EINTR;
	for (unsigned int i = 3; i < nr; i++) {
		if (polls[i].revents & POLLOUT)
			flush(peers[i]);
		if (polls[i].revents & (POLLIN | POLLHUP | POLLERR))
			hear(server, peers[i]);
	}
	for (unsigned int i = 1; i < 3; i++)
		if (polls[i].revents & POLLIN)
			accept_peer(server, polls[i].fd);
	ctl_check_deadlines(server, trace_now());
	drop_closing(server);
	return polls[0].revents;
}

void ctl_server_wait(struct ctl_server *server, const sigset_t *set)
{
	if (server->signals < 0)
		server->signals = signalfd(-1, set, SFD_CLOEXEC | SFD_NONBLOCK);
	while (server->signals >= 0 && !serve(server))
		continue;
}

/* ---- making */

static int listen_at(struct ctl_server *server, const char *path)
{
	char *dir = strdup(path), *name = strdup(path);
	int rc = -ENOMEM;

	server->path = realpath(dirname(dir), NULL);
	if (server->path && name) {
		char *full = NULL;

		rc = lines_listen(server->path, basename(name));
		free(name);
		name = strdup(path);
		if (asprintf(&full, "%s/%s", server->path, basename(name)) < 0)
			full = NULL;
		free(server->path);
		server->path = rc >= 0 ? full : NULL;
		if (rc < 0)
			free(full);
	} else if (!server->path) {
		rc = -errno;
	}
	free(dir);
	free(name);
	server->listener[1] = rc;
	return MIN(rc, 0);
}

static int keep_iommu_lines(struct ctl_server *server, const char *description)
{
	char *text = strdup(description), *rest = text, *line;
	size_t size;
	FILE *out = open_memstream(&server->iommu, &size);

	while (text && out && (line = strsep(&rest, "\n")))
		if (*line && strncmp(line, "device", 6))
			fprintf(out, "%s\n", line);
	if (out)
		fclose(out);
	free(text);
	return text && server->iommu ? 0 : -ENOMEM;
}

struct ctl_server *ctl_server_new(struct session *session, const char *description, const char *path,
				  const char *program)
{
	struct ctl_server *server = calloc(1, sizeof(*server));
	int rc = -ENOMEM;

	if (!server)
		goto fail;
	*server = (struct ctl_server){ .session = session, .program = program, .signals = -1 };
	server->listener[0] = server->listener[1] = -1;
	CDS_INIT_LIST_HEAD(&server->peers);
	CDS_INIT_LIST_HEAD(&server->ops);
	CDS_INIT_LIST_HEAD(&server->removals);
	CDS_INIT_LIST_HEAD(&server->changes);
	rc = keep_iommu_lines(server, description);
	if (!rc)
		rc = ctl_describe(server);
	if (!rc)
		rc = server->listener[0] = lines_listen(session->dir, "ctl");
	if (rc >= 0 && path)
		rc = listen_at(server, path);
	if (rc < 0)
		goto fail;
	if (server->path)
		fprintf(stderr, "uvfio: ctl: %s\n", server->path);
	else
		fprintf(stderr, "uvfio: ctl: %s/ctl\n", session->dir);
	return server;
fail:
	if (path && rc == -EADDRINUSE)
		complain("--ctl: %s exists already: give a path where nothing is, or remove it", path);
	else
		complain("--ctl: %s%ssocket cannot be made: %s", path ? path : "", path ? ": " : "",
			 strerror(-rc));
	ctl_server_free(server);
	return NULL;
}

void ctl_server_free(struct ctl_server *server)
{
	struct peer *peer, *next;

	if (!server)
		return;
	/* The program's end may be what a client waits for: it is told. */
	cds_list_for_each_entry_safe (peer, next, &server->peers, node)
		if (peer->process)
			drop_peer(server, peer);
	cds_list_for_each_entry_safe (peer, next, &server->peers, node)
		drop_peer(server, peer);
	ctl_ops_free(server);
	for (unsigned int i = 0; i < 2; i++)
		if (server->listener[i] >= 0)
			close(server->listener[i]);
	if (server->signals >= 0)
		close(server->signals);
	if (server->path)
		unlink(server->path);
	free(server->path);
	free(server->iommu);
	free(server);
}
