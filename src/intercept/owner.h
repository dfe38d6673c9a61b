/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Asking the owner of a file (share.h): connections, and the questions that come back before the answer.
 *
 * One lock is held, with signals blocked, from owners_lock() to owners_unlock(): one connection serves all
 * threads. Everything here is under it.
 */
#ifndef UVFIO_INTERCEPT_OWNER_H
#define UVFIO_INTERCEPT_OWNER_H

#include "intercept/wire.h"

#include <signal.h>
#include <urcu/list.h>

struct owner {
	struct wire_address address;
	int sock; /* -1: not connected (yet) */
	bool dead;
	bool answered; /* it has done something for us */
	struct cds_list_head node;
};

/* The last answer. */
extern struct wire_packet owner_answer;

void owners_lock(sigset_t *saved);
void owners_unlock(const sigset_t *saved);

/* The owner at this address, made when it is new. NULL: out of memory. */
struct owner *owner_at(const struct wire_address *address);

/* Ask, and wait. 0: the answer is in owner_answer. -EPIPE: the owner is gone. */
int owner_request(struct owner *owner, const struct wire_msg *msg, const void *data, size_t len);

void owner_hang_up(struct owner *owner);
void owners_forked(void); /* the connections are the parent's */

#endif
