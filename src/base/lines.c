/* SPDX-License-Identifier: BSD-2-Clause */
#include "base/lines.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

ssize_t lines_receive(struct line_reader *reader, int sock)
{
	ssize_t n;

	memmove(reader->buf, reader->buf + reader->used, reader->len - reader->used);
	reader->len -= reader->used;
	reader->used = 0;
	if (reader->len == sizeof(reader->buf))
		return -E2BIG;
	do
		n = recv(sock, reader->buf + reader->len, sizeof(reader->buf) - reader->len, 0);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return -errno;
	reader->len += (size_t)n;
	return n;
}

char *lines_next(struct line_reader *reader)
{
	char *start = reader->buf + reader->used;
	char *end = memchr(start, '\n', reader->len - reader->used);

	if (!end)
		return NULL;
	*end = 0;
	reader->used = (size_t)(end + 1 - reader->buf);
	return start;
}

int lines_send(int sock, const char *text, size_t len)
{
	while (len) {
		ssize_t n = send(sock, text, len, MSG_NOSIGNAL);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		text += n;
		len -= (size_t)n;
	}
	return 0;
}

/* A socket's address has room for 108 bytes: so the directory goes by a descriptor. Returns that. */
static int make_address(const char *dir, const char *name, struct sockaddr_un *address)
{
	int fd = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
	int n;

	if (fd < 0)
		return -errno;
	*address = (struct sockaddr_un){ .sun_family = AF_UNIX };
	n = snprintf(address->sun_path, sizeof(address->sun_path), "/proc/self/fd/%d/%s", fd, name);
	if (n > 0 && (size_t)n < sizeof(address->sun_path))
		return fd;
	close(fd);
	return -ENAMETOOLONG;
}

static int make_socket(const char *dir, const char *name, bool to_listen)
{
	struct sockaddr_un address;
	int where = make_address(dir, name, &address), sock, rc = 0;
	const struct sockaddr *to = (const struct sockaddr *)&address;
	mode_t mask;

	if (where < 0)
		return where;
	sock = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | (to_listen ? SOCK_NONBLOCK : 0), 0);
	if (sock < 0) {
		rc = -errno;
		goto out;
	}
	if (!to_listen) {
		rc = connect(sock, to, sizeof(address)) ? -errno : 0;
		goto out;
	}
	mask = umask(0177);
	rc = bind(sock, to, sizeof(address)) ? -errno : 0;
	umask(mask);
	if (!rc && listen(sock, 16))
		rc = -errno;
out:
	close(where);
	if (rc && sock >= 0)
		close(sock);
	return rc ? rc : sock;
}

int lines_connect(const char *dir, const char *name)
{
	return make_socket(dir, name, false);
}

int lines_listen(const char *dir, const char *name)
{
	return make_socket(dir, name, true);
}
