/* SPDX-License-Identifier: BSD-2-Clause */
/* Lines of text over a socket: whole lines out of a stream, none longer than LINE_MAX_LEN. */
#ifndef UVFIO_BASE_LINES_H
#define UVFIO_BASE_LINES_H

#include "base/base.h"

#define LINE_MAX_LEN 16384 /* with its end */

struct line_reader {
	size_t len, used; /* bytes in buf; of them already given out */
	char buf[LINE_MAX_LEN];
};

/* Receive what there is. Bytes; 0: the other side is gone; -EAGAIN; -E2BIG: a line is too long. */
ssize_t lines_receive(struct line_reader *reader, int sock);
/* The next whole line without its end, valid until the next call; NULL: there is none yet. */
char *lines_next(struct line_reader *reader);

/* Send all of it, blocking if the socket does; no SIGPIPE. 0 or -errno. */
int lines_send(int sock, const char *text, size_t len);

/* Connect to the socket name in the directory dir, or listen there (mode 0600): of any length. A descriptor,
 * close-on-exec, or -errno. */
int lines_connect(const char *dir, const char *name);
int lines_listen(const char *dir, const char *name);

#endif
