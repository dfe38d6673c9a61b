/* SPDX-License-Identifier: BSD-2-Clause */
/* Between ctl_ops.c (operations and answers) and ctl_change.c (devices that come and go). */
#ifndef UVFIO_CLI_CTL_CHANGE_H
#define UVFIO_CLI_CTL_CHANGE_H

#include "cli/ctl.h"

/* ctl_ops.c */
bool set_add(struct peer_set *set, struct peer *peer);
bool set_remove(struct peer_set *set, const struct peer *peer);
struct op *op_new(struct ctl_server *server, struct peer *client, const char *verb, const char *rest);
void op_send(struct ctl_server *server, struct op *op, unsigned long change);
void op_free(struct op *op);
/* Tell the client when nothing is waited for, by the operation or by the removal that keeps it. */
void op_check(struct ctl_server *server, struct op *op);
/* The answer to a client that may have gone; the connection is closed then. */
void client_error(struct ctl_server *server, struct peer *client, const char *text);
void client_ok(struct ctl_server *server, struct peer *client);

/* ctl_change.c */
void change_add(struct ctl_server *server, struct peer *client, const char *line);
void change_remove(struct ctl_server *server, struct peer *client, const char *bdf, bool surprise);
/* Is there a device at bdf? Otherwise the client has been told. */
bool change_known(struct ctl_server *server, struct peer *client, const char *bdf);
/* Every process has answered: tell the client. */
void change_answered(struct ctl_server *server, struct op *op);
void change_forget_op(struct ctl_server *server, const struct op *op);
/* The removal that keeps the operation's client waiting, or NULL. */
struct removal *removal_of(const struct ctl_server *server, const struct op *op);
/* A process has let go of a device (bdf NULL: of all); or has none there to remove. */
void removal_done(struct ctl_server *server, struct peer *peer, const char *bdf);
void removal_not_needed(struct ctl_server *server, struct peer *peer, const struct op *op);

#endif
