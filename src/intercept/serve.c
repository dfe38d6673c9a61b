/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The owner's side of shared files: a listening thread, and a thread for each process that asks.
 *
 * A peer is a caller like any other (file/caller.h): its memory and its descriptors are reached by asking it
 * over the connection, while it waits for its request to be done. Memory that it maps for DMA is reached
 * directly.
 *
 * lock protects the making of the address and the listening thread, and the list of peers.
 */
#include "base/thread.h"
#include "file/fdtable.h"
#include "intercept/control.h"
#include "intercept/intercept.h"
#include "intercept/share.h"
#include "iommu/mm.h"
#include "machine/machine.h"

#include <poll.h>
#include <string.h>
#include <sys/random.h>
#include <urcu/list.h>

struct peer {
	struct caller caller;
	int sock;
	int new_fd;            /* made by the request under way, for the peer; -1 */
	struct file *new_file; /* its file, with a reference */
	uint64_t new_fd_at;    /* where the peer wants its number; 0: as the result */
	struct cds_list_head node;
	struct wire_packet packet; /* the request */
	struct wire_packet answer; /* to a question */
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static CDS_LIST_HEAD(peers);
static struct wire_address own_address;
static int listener = -1;

static struct peer *peer_of(const struct caller *caller)
{
	return container_of(caller, struct peer, caller);
}

/* Ask the peer, and wait for its answer in peer->answer: its result. */
static int ask(struct peer *peer, const struct wire_msg *msg, const void *data, size_t len)
{
	int rc = wire_send(peer->sock, msg, data, len, NULL, 0);

	if (!rc)
		rc = wire_receive(peer->sock, &peer->answer);
	if (!rc && peer->answer.msg.kind != WIRE_DONE)
		rc = -EPROTO;
	return rc ? rc : (int)peer->answer.msg.result;
}

static int peer_copy_in(const struct caller *caller, void *dst, uint64_t src, size_t len)
{
	struct peer *peer = peer_of(caller);
	char *to = dst;

	while (len) {
		size_t n = MIN(len, (size_t)WIRE_DATA);
		struct wire_msg msg = { .kind = WIRE_COPY_IN, .arg = src, .len = n };

		if (ask(peer, &msg, NULL, 0) || peer->answer.len != n)
			return -EFAULT;
		memcpy(to, peer->answer.data, n);
		to += n;
		src += n;
		len -= n;
	}
	return 0;
}

static int peer_copy_out(const struct caller *caller, uint64_t dst, const void *src, size_t len)
{
	const char *from = src;

	while (len) {
		size_t n = MIN(len, (size_t)WIRE_DATA);
		struct wire_msg msg = { .kind = WIRE_COPY_OUT, .arg = dst };

		if (ask(peer_of(caller), &msg, from, n))
			return -EFAULT;
		from += n;
		dst += n;
		len -= n;
	}
	return 0;
}

static int peer_dup_fd(const struct caller *caller, int fd)
{
	struct wire_msg msg = { .kind = WIRE_DUP_FD, .arg = (uint64_t)fd };
	struct peer *peer = peer_of(caller);
	int rc = ask(peer, &msg, NULL, 0);

	if (rc < 0)
		return rc;
	return peer->answer.nr_fds == 1 ? peer->answer.fds[0] : -EBADF;
}

static int peer_get_file(const struct caller *caller, int fd, struct file **file)
{
	struct wire_msg msg = { .kind = WIRE_GET_FILE, .arg = (uint64_t)fd };
	struct peer *peer = peer_of(caller);
	int rc = ask(peer, &msg, NULL, 0);

	if (rc < 0)
		return rc;
	*file = file_by_inode(peer->answer.msg.dev, peer->answer.msg.ino);
	return *file ? 0 : -EBADFD;
}

/* The descriptor is made here and travels with the answer; what the handler returns is replaced by its number
 * there. */
static int peer_install(const struct caller *caller, struct file *file, int oflags)
{
	struct peer *peer = peer_of(caller);
	int fd, rc;

	file_get(file);
	fd = fdtable_install(file, O_CLOEXEC);
	if (fd < 0) {
		file_put(file);
		return fd;
	}
	rc = hold_file(file, fd);
	if (rc) {
		fdtable_close(fd);
		close(fd);
		file_put(file);
		return rc;
	}
	peer->new_fd = fd;
	peer->new_file = file;
	peer->packet.msg.oflags = oflags;
	return 0;
}

static int peer_install_at(const struct caller *caller, struct file *file, int oflags, uint64_t at)
{
	peer_of(caller)->new_fd_at = at;
	return peer_install(caller, file, oflags);
}

static const struct caller_ops peer_ops = {
	.copy_in = peer_copy_in,
	.copy_out = peer_copy_out,
	.dup_fd = peer_dup_fd,
	.get_file = peer_get_file,
	.install = peer_install,
	.install_at = peer_install_at,
};

static long open_node(struct peer *peer)
{
	struct uvfio_machine *machine = intercept_machine();
	int oflags = peer->packet.msg.oflags;
	struct file *file;
	int rc;

	if (!machine)
		return -ENXIO;
	control_resume();
	hold_reap();
	rc = machine_open(machine, peer->packet.msg.path, oflags, &file);
	return rc ? rc : peer_install(&peer->caller, file, oflags);
}

/* A mapping's plain parts are descriptors here; the answer carries them. */
static long plan_mapping(struct file *file, struct wire_packet *packet, struct wire_packet *answer)
{
	struct mmap_plan plan; /* a packet's data is not aligned for it */
	int rc;

	if (packet->len != sizeof(plan))
		return -EPROTO;
	memcpy(&plan, packet->data, sizeof(plan));
	rc = file_mmap(file, &plan);
	if (rc)
		return rc;
	if (plan.holder) { /* the peer cannot say when its mapping goes */
		file_put(plan.holder);
		plan.holder = NULL;
	}
	memcpy(answer->data, &plan, sizeof(plan));
	answer->len = sizeof(plan);
	for (unsigned int i = 0; i < plan.nr; i++)
		if (plan.segments[i].fd >= 0)
			answer->fds[answer->nr_fds++] = plan.segments[i].fd;
	return 0;
}

static long access_register(struct file *file, struct wire_packet *packet, struct wire_packet *answer)
{
	const struct wire_msg *msg = &packet->msg;

	if (!file->ops->mmio || !msg->len || msg->len > 64 || packet->len != msg->len)
		return -EIO;
	memcpy(answer->data, packet->data, packet->len);
	answer->len = packet->len;
	return file->ops->mmio(file, msg->off, answer->data, (unsigned int)msg->len, msg->write);
}

static long run_on_file(struct peer *peer, struct file *file)
{
	const struct wire_msg *msg = &peer->packet.msg;

	switch (msg->kind) {
	case WIRE_IOCTL:
		return file_ioctl(file, &peer->caller, msg->cmd, msg->arg);
	case WIRE_READ:
		return file_read(file, &peer->caller, msg->arg, msg->len, msg->off);
	case WIRE_WRITE:
		return file_write(file, &peer->caller, msg->arg, msg->len, msg->off);
	case WIRE_MMAP:
		return plan_mapping(file, &peer->packet, &peer->answer);
	case WIRE_MMIO:
		return access_register(file, &peer->packet, &peer->answer);
	default:
		return -EPROTO;
	}
}

static void describe_file(struct wire_msg *msg, const struct file *file)
{
	msg->dev = file->dev;
	msg->ino = file->ino;
	memcpy(msg->path, file->path, sizeof(msg->path));
}

static long report_charges(const struct peer *peer, struct wire_msg *done)
{
	struct status_charges charges = { 0 };

	status_charges((pid_t)peer->packet.msg.arg, &charges);
	done->arg = charges.pinned;
	done->len = charges.locked;
	return 0;
}

static long run_request(struct peer *peer, struct wire_msg *done)
{
	struct wire_msg *msg = &peer->packet.msg;
	struct file *file;
	long rc;

	if (msg->kind == WIRE_OPEN)
		return open_node(peer);
	if (msg->kind == WIRE_CHARGES)
		return report_charges(peer, done);
	file = file_by_inode(msg->dev, msg->ino);
	if (!file)
		return -EBADF;
	if (msg->kind == WIRE_LOOKUP) {
		describe_file(done, file);
		done->oflags = file->oflags;
		rc = 0;
	} else {
		rc = run_on_file(peer, file);
	}
	file_put(file);
	return rc;
}

/* One request, from its arrival to the answer. */
static int serve_one(struct peer *peer)
{
	struct wire_msg done = { .kind = WIRE_DONE };
	struct wire_packet *answer = &peer->answer;
	int rc;

	peer->new_fd = -1;
	peer->new_fd_at = 0;
	answer->len = 0;
	answer->nr_fds = 0;
	done.result = run_request(peer, &done);
	if (peer->packet.msg.kind != WIRE_MMAP && peer->packet.msg.kind != WIRE_MMIO) {
		answer->len = 0;
		answer->nr_fds = 0;
	}
	if (peer->new_fd >= 0) {
		describe_file(&done, peer->new_file);
		done.oflags = peer->new_file->oflags | (peer->packet.msg.oflags & O_CLOEXEC);
		done.new_file = true;
		done.fd_at = peer->new_fd_at;
		answer->fds[answer->nr_fds++] = peer->new_fd;
	}
	if (peer->new_fd < 0)
		return wire_send(peer->sock, &done, answer->data, answer->len, answer->fds, answer->nr_fds);
	hold_settle_begin();
	rc = wire_send(peer->sock, &done, answer->data, answer->len, answer->fds, answer->nr_fds);
	fdtable_close(peer->new_fd);
	close(peer->new_fd);
	file_put(peer->new_file);
	hold_settle_end();
	return rc;
}

static void drop_fds(struct wire_packet *packet)
{
	while (packet->nr_fds)
		private_fd_close(packet->fds[--packet->nr_fds]);
}

/* Anyone may connect to an abstract socket; who does not know the token is sent away, and who says nothing,
 * too. */
static bool greeted(struct peer *peer)
{
	struct pollfd said = { .fd = peer->sock, .events = POLLIN };

	return poll(&said, 1, 5000) == 1 && !wire_receive(peer->sock, &peer->packet) &&
	       peer->packet.msg.kind == WIRE_HELLO && peer->packet.len == sizeof(own_address.token) &&
	       !memcmp(peer->packet.data, own_address.token, sizeof(own_address.token));
}

static void end_peer(struct peer *peer)
{
	pthread_mutex_lock(&lock);
	cds_list_del(&peer->node);
	pthread_mutex_unlock(&lock);
	private_fd_close(peer->sock);
	free(peer);
}

static void *serve_peer(void *arg)
{
	struct peer *peer = arg;
	struct ucred who;
	socklen_t len = sizeof(who);

	if (!greeted(peer) || getsockopt(peer->sock, SOL_SOCKET, SO_PEERCRED, &who, &len) ||
	    mm_of_pid(who.pid, &peer->caller.mm))
		goto end;
	peer->caller.pid = who.pid;
	while (!wire_receive(peer->sock, &peer->packet)) {
		drop_fds(&peer->packet);
		if (serve_one(peer))
			break;
	}
	mm_put(peer->caller.mm);
end:
	end_peer(peer);
	hold_reap();
	return NULL;
}

static void start_peer(int sock)
{
	struct peer *peer = calloc(1, sizeof(*peer));
	pthread_t thread;

	if (!peer) {
		private_fd_close(sock);
		return;
	}
	peer->sock = sock;
	peer->caller.ops = &peer_ops;
	pthread_mutex_lock(&lock);
	cds_list_add(&peer->node, &peers);
	pthread_mutex_unlock(&lock);
	if (!thread_start(&thread, "uvfio-peer", serve_peer, peer))
		pthread_detach(thread);
	else
		end_peer(peer);
}

static void *listen_for_peers(void *arg)
{
	int sock = (int)(intptr_t)arg;

	for (;;) {
		int peer = private_fd(accept4(sock, NULL, NULL, SOCK_CLOEXEC));

		if (peer >= 0)
			start_peer(peer);
		else if (errno != EINTR && errno != ECONNABORTED)
			usleep(10000); /* out of descriptors: it may pass */
	}
	return NULL;
}

/* Under lock. */
static int start_serving(void)
{
	struct wire_address address = { .magic = WIRE_MAGIC };
	pthread_t thread;
	int sock, rc;

	if (getrandom(address.name, sizeof(address.name), 0) != sizeof(address.name) ||
	    getrandom(address.token, sizeof(address.token), 0) != sizeof(address.token))
		return -EIO;
	sock = wire_listen(&address);
	if (sock < 0)
		return sock;
	rc = thread_start(&thread, "uvfio-serve", listen_for_peers, (void *)(intptr_t)sock);
	if (rc) {
		private_fd_close(sock);
		return rc;
	}
	pthread_detach(thread);
	own_address = address;
	listener = sock;
	return 0;
}

const struct wire_address *serve_address(void)
{
	int rc = 0;

	pthread_mutex_lock(&lock);
	if (listener < 0)
		rc = start_serving();
	pthread_mutex_unlock(&lock);
	errno = -rc;
	return rc ? NULL : &own_address;
}

const struct wire_address *serve_forked(void)
{
	bool was_serving = listener >= 0;
	struct peer *peer, *next;

	pthread_mutex_init(&lock, NULL);
	cds_list_for_each_entry_safe (peer, next, &peers, node) {
		private_fd_close(peer->sock);
		free(peer);
	}
	CDS_INIT_LIST_HEAD(&peers);
	private_fd_close(listener);
	listener = -1;
	return was_serving ? &own_address : NULL;
}
