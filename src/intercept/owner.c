/* SPDX-License-Identifier: BSD-2-Clause */
/* Asking the owner of a file: see owner.h. */
#include "intercept/owner.h"

#include "base/fault.h"
#include "file/fdtable.h"
#include "intercept/intercept.h"

#include <pthread.h>
#include <string.h>

struct wire_packet owner_answer;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static CDS_LIST_HEAD(owners);

void owners_lock(sigset_t *saved)
{
	sigset_t set;

	fault_thread_sigmask(&set);
	pthread_sigmask(SIG_SETMASK, &set, saved);
	pthread_mutex_lock(&lock);
}

void owners_unlock(const sigset_t *saved)
{
	pthread_mutex_unlock(&lock);
	pthread_sigmask(SIG_SETMASK, saved, NULL);
}

struct owner *owner_at(const struct wire_address *address)
{
	struct owner *owner;

	cds_list_for_each_entry (owner, &owners, node)
		if (!memcmp(owner->address.name, address->name, sizeof(address->name)))
			return owner;
	owner = calloc(1, sizeof(*owner));
	if (!owner)
		return NULL;
	owner->address = *address;
	owner->sock = -1;
	cds_list_add(&owner->node, &owners);
	return owner;
}

/* Answer a question of the owner's that is in owner_answer. */
static int answer_question(int sock)
{
	struct wire_msg *msg = &owner_answer.msg, done = { .kind = WIRE_DONE };
	const void *data = NULL;
	struct file *file;
	size_t len = 0;
	int fd = -1, rc;

	switch (msg->kind) {
	case WIRE_COPY_IN:
		if (msg->len > sizeof(owner_answer.data))
			return -EPROTO;
		done.result = copy_nofault(owner_answer.data, (const void *)(uintptr_t)msg->arg, msg->len);
		data = owner_answer.data;
		len = done.result ? 0 : msg->len;
		break;
	case WIRE_COPY_OUT:
		done.result = copy_nofault((void *)(uintptr_t)msg->arg, owner_answer.data, owner_answer.len);
		break;
	case WIRE_DUP_FD:
		fd = self_caller.ops->dup_fd(&self_caller, (int)msg->arg);
		done.result = MIN(fd, 0);
		break;
	case WIRE_GET_FILE:
		done.result = self_caller.ops->get_file(&self_caller, (int)msg->arg, &file);
		if (done.result)
			break;
		done.dev = file->dev;
		done.ino = file->ino;
		file_put(file);
		break;
	default:
		return -EPROTO;
	}
	rc = wire_send(sock, &done, data, len, &fd, fd >= 0);
	private_fd_close(fd);
	return rc;
}

int owner_request(struct owner *owner, const struct wire_msg *msg, const void *data, size_t len)
{
	int rc;

	if (owner->dead)
		return -EPIPE;
	if (owner->sock < 0)
		owner->sock = wire_connect(&owner->address);
	if (owner->sock < 0)
		return -EPIPE;
	rc = wire_send(owner->sock, msg, data, len, NULL, 0);
	while (!rc) {
		rc = wire_receive(owner->sock, &owner_answer);
		if (!rc && owner_answer.msg.kind == WIRE_DONE) {
			owner->answered = true;
			return 0;
		}
		if (!rc)
			rc = answer_question(owner->sock);
	}
	return -EPIPE;
}

void owner_hang_up(struct owner *owner)
{
	private_fd_close(owner->sock);
	owner->sock = -1;
}

void owners_forked(void)
{
	struct owner *owner;

	pthread_mutex_init(&lock, NULL);
	cds_list_for_each_entry (owner, &owners, node)
		owner_hang_up(owner);
}
