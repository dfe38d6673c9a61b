/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What two processes of a session say to each other about an open file.
 *
 * The owner is the process whose memory holds the file; a peer is any other one that has a descriptor of it:
 * a forked child, or a process that was sent one. A peer asks, and until the owner is done it answers the
 * owner's questions about the peer's memory and descriptors. One message is one packet: a struct wire_msg, up
 * to WIRE_DATA bytes, up to WIRE_FDS descriptors.
 */
#ifndef UVFIO_INTERCEPT_WIRE_H
#define UVFIO_INTERCEPT_WIRE_H

#include "base/base.h"
#include "file/file.h"

#define WIRE_DATA 32768
#define WIRE_FDS  MMAP_MAX_SEGMENTS

enum wire_kind {
	/* Requests of a peer. dev and ino say which file. */
	WIRE_HELLO = 1, /* data: the token */
	WIRE_LOOKUP,    /* is there such a file? */
	WIRE_OPEN,      /* a node: path, oflags */
	WIRE_IOCTL,     /* cmd, arg */
	WIRE_READ,      /* arg: the peer's buffer; len, off */
	WIRE_WRITE,
	WIRE_MMAP,    /* data: struct mmap_plan, in both directions */
	WIRE_MMIO,    /* data: the register's value; off, len, write */
	WIRE_CHARGES, /* arg: a process id; the answer has arg: pinned, len: locked KiB */
	/* Questions of the owner. */
	WIRE_COPY_IN,  /* arg: from where; len */
	WIRE_COPY_OUT, /* arg: to where; data */
	WIRE_DUP_FD,   /* arg: the descriptor */
	WIRE_GET_FILE, /* arg: the descriptor; the answer has dev and ino */
	/* The answer to either. result: as the call has it, or -errno. */
	WIRE_DONE,
};

struct wire_msg {
	uint32_t kind;
	int32_t oflags;
	int64_t result;
	uint64_t dev, ino;
	uint64_t cmd, arg, len, off;
	bool write;
	bool new_file;  /* an answer: the descriptor is a new file's, with path, oflags, dev and ino */
	uint64_t fd_at; /* and its number is to stand there in the peer's memory; 0: it is the result */
	char path[256];
};

struct wire_packet {
	struct wire_msg msg;
	size_t len; /* of data */
	unsigned int nr_fds;
	int fds[WIRE_FDS];
	char data[WIRE_DATA];
};

/* Send msg with data and descriptors (which stay the caller's). 0 or -errno. */
int wire_send(int sock, const struct wire_msg *msg, const void *data, size_t len, const int *fds,
	      unsigned int nr_fds);

/* Receive; the descriptors are the caller's, and private. 0; -EPIPE when the other side is gone; -EPROTO. */
int wire_receive(int sock, struct wire_packet *packet);

/* Where an owner can be reached. It stands at the beginning of the memfd of each file that may travel. */
struct wire_address {
	char magic[8];
	uint8_t name[16]; /* of the abstract socket */
	uint8_t token[16];
	uint64_t dev, ino; /* of this very memfd, so that a copy of it is none */
};

#define WIRE_MAGIC "uvfio-1"

int wire_listen(const struct wire_address *address);  /* a private descriptor, or -errno */
int wire_connect(const struct wire_address *address); /* the same, the greeting said */

#endif
