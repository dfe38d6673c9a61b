/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Open files that other processes have descriptors of: forked children, and who got one through a socket.
 *
 * The process that opened a file owns it: the file, its device, the mappings live in that process's memory.
 * The others ask it (remote.c; the owner's side is serve.c). That works as long as the owner lives; a child
 * whose parent ends with nothing done since the fork (daemon()) goes on with the copy that it inherited.
 *
 * A file that may have descriptors elsewhere is held (hold.c): it stays open after our last descriptor has
 * gone, until the last one in any process, or under way in a socket, has. The kernel tells when that is: the
 * file's open file description has a lock on the memfd, which it loses at its very end.
 */
#ifndef UVFIO_INTERCEPT_SHARE_H
#define UVFIO_INTERCEPT_SHARE_H

#include "file/file.h"
#include "intercept/wire.h"

/* ---- hold.c */

/* fd is a descriptor of file: keep it open as long as anyone has one. Idempotent. 0 or -errno;
 * -EBADF: fd has been closed meanwhile. */
int hold_file(struct file *file, int fd);
/*
 * Let go of files that nobody has a descriptor of any more, and wait for whoever is just doing so. Costs a
 * load when nothing is held. Not to be called by a thread that is settling.
 */
void hold_reap(void);
/* A thread that is about to give up a reference or a descriptor of a file of others: between these two. */
void hold_settle_begin(void);
void hold_settle_end(void);
/* The child of a fork holds nothing. After remote_forked(): what it held is its parent's then. */
void hold_forked(void);

/* ---- serve.c */

/* Where this process can be asked. NULL when it cannot be (errno). Starts listening at the first call. */
const struct wire_address *serve_address(void);
/* The child of a fork no longer serves. Where its parent did, valid until serve_address(); NULL. */
const struct wire_address *serve_forked(void);

/* ---- remote.c */

/* In the forking process, before. */
void remote_before_fork(void);
/*
 * The child of a fork. address: every file that was the parent's own is asked for there from now on; NULL:
 * the parent had none.
 */
void remote_forked(const struct wire_address *address);
bool remote_is(const struct file *file);
/* A descriptor arrived that is not in our table: true when it is another process's file, and known now. */
bool remote_adopt(int fd);
/* Must nodes be opened by another process? Then *fd is the descriptor, or -errno. */
bool remote_open(const char *name, int oflags, int *fd);

/* The same for a descriptor that the program was started with: nodes are opened by that process, too, from
 * now on. */
void remote_inherit(int fd);

/* ---- status.c, remote.c */

/* What is charged to a process for pinned memory, in KiB. */
struct status_charges {
	uint64_t pinned, locked;
};
void status_charges(pid_t pid, struct status_charges *charges);
/* The same as another process knows it. False: we know it ourselves. */
bool remote_charges(pid_t pid, struct status_charges *charges);

/* ---- session.c */

/* Hold every file of this process, and be there for whoever inherits it. False when there is none. */
bool intercept_share_files(void);

/* The parent is gone: its machine, as we inherited it, is ours; or is of no use, and the next one will be
 * new. */
void intercept_take_over(void);
void intercept_forget_machine(void);

#endif
