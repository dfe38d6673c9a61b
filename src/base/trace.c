/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Trace sinks and counters.
 *
 * Each event is formatted on the stack and written by one write(2) per sink, so events of several threads and
 * processes never mix within a line; the JSON file is opened with O_APPEND for the same reason. The sinks are
 * set up once, before the first event, and never change: no lock is needed.
 */
#include "base/trace.h"

#include "base/private_fd.h"

#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

_Atomic uint32_t trace_mask;
uint32_t trace_commands;

static uint32_t text_categories, json_categories;
static int json_fd = -1;
static uint64_t trace_epoch;

#define SLOTS 256

struct counters {
	_Atomic uint64_t stats[STAT_COUNT];
	struct stat_slot slots[SLOTS];
};

static struct counters private_counters;
static struct counters *counters = &private_counters;
_Atomic uint64_t *stats = private_counters.stats;

static const struct {
	const char *name;
	uint32_t cat;
} category_names[] = {
	{ "ioctl", TRACE_IOCTL }, { "file", TRACE_FILE },   { "config", TRACE_CONFIG },
	{ "bar", TRACE_BAR },     { "dma", TRACE_DMA },     { "irq", TRACE_IRQ },
	{ "cmd", TRACE_CMD },     { "fault", TRACE_FAULT }, { "all", TRACE_ALL },
};

uint64_t trace_now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

static const char *category_name(uint32_t cat)
{
	for (size_t i = 0; i < ARRAY_SIZE(category_names); i++)
		if (category_names[i].cat == cat)
			return category_names[i].name;
	return "?";
}

int trace_parse_categories(const char *list, uint32_t *mask, const char **bad)
{
	*mask = 0;
	while (*list) {
		size_t len = strcspn(list, ",");
		size_t i;

		for (i = 0; i < ARRAY_SIZE(category_names); i++)
			if (strlen(category_names[i].name) == len &&
			    !strncmp(category_names[i].name, list, len))
				break;
		if (i == ARRAY_SIZE(category_names)) {
			*bad = list;
			return -EINVAL;
		}
		*mask |= category_names[i].cat;
		list += len + (list[len] == ',');
	}
	return 0;
}

int trace_start(uint32_t text_mask, uint32_t json_mask, const char *json_path)
{
	if (json_path) {
		int fd = private_fd(open(json_path, O_WRONLY | O_APPEND | O_CLOEXEC));

		if (fd < 0)
			return -errno;
		json_fd = fd;
		json_categories = json_mask;
	}
	text_categories = text_mask;
	trace_epoch = trace_now();
	atomic_store(&trace_mask, text_mask | (json_path ? json_mask : 0));
	__atomic_store_n(&trace_commands, atomic_load(&trace_mask) & TRACE_CMD, __ATOMIC_RELAXED);
	return 0;
}

int trace_json_create(const char *path)
{
	static const char opening[] = "[\n";
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	int rc = 0;

	if (fd < 0)
		return -errno;
	if (write(fd, opening, sizeof(opening) - 1) < 0)
		rc = -errno;
	close(fd);
	return rc;
}

/* Each event ends in ",\n": of the last one the comma goes. Only a regular file can be changed so. */
static int finish_file(int fd, off_t size)
{
	char last[2] = "";

	if (size >= 2 && pread(fd, last, 2, size - 2) != 2)
		return -errno;
	if (last[0] == ',' && pwrite(fd, "\n]\n", 3, size - 2) != 3)
		return -errno;
	if (last[0] != ',' && pwrite(fd, "]\n", 2, size) != 2)
		return -errno;
	return 0;
}

/* Into a pipe goes one more event: who wrote it all. */
static int finish_pipe(const char *path)
{
	int fd = open(path, O_WRONLY | O_APPEND | O_CLOEXEC), rc = 0;

	if (fd < 0)
		return -errno;
	if (dprintf(fd,
		    "{\"ph\":\"M\",\"pid\":%d,\"name\":\"process_name\",\"args\":{\"name\":\"uvfio\"}}\n]\n",
		    (int)getpid()) < 0)
		rc = -errno;
	close(fd);
	return rc;
}

int trace_json_finish(const char *path)
{
	int fd = open(path, O_RDWR | O_CLOEXEC | O_NONBLOCK), rc;
	struct stat st;

	if (fd < 0 || fstat(fd, &st) || !S_ISREG(st.st_mode))
		rc = finish_pipe(path);
	else
		rc = finish_file(fd, st.st_size);
	if (fd >= 0)
		close(fd);
	return rc;
}

static size_t append(char *buf, size_t len, size_t size, const char *fmt, ...) __printf(4, 5);
static size_t append(char *buf, size_t len, size_t size, const char *fmt, ...)
{
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(buf + len, size - len, fmt, ap);
	va_end(ap);
	return n < 0 ? len : MIN(len + (size_t)n, size - 1);
}

static size_t append_json_string(char *buf, size_t len, size_t size, const char *s)
{
	for (; *s && len + 8 < size; s++) {
		unsigned char c = (unsigned char)*s;

		if (c == '"' || c == '\\')
			len = append(buf, len, size, "\\%c", c);
		else if (c < 0x20)
			len = append(buf, len, size, "\\u%04x", c);
		else
			buf[len++] = (char)c;
	}
	return len;
}

static void write_all_or_nothing(int fd, const char *buf, size_t len)
{
	if (write(fd, buf, len) < 0) {
		/* the sink is gone; the program must not notice */
	}
}

/* The time in front is that of the end: so lines stand in the order of their times. */
static void emit_text(uint32_t cat, const char *track, const char *name, uint64_t start, uint64_t now,
		      const char *details)
{
	char line[800];
	uint64_t us = (now - trace_epoch) / 1000;
	size_t n = append(line, 0, sizeof(line) - 1, "[%5u.%06u] %-6s ", (unsigned int)(us / 1000000),
			  (unsigned int)(us % 1000000), category_name(cat));

	if (track)
		n = append(line, n, sizeof(line) - 1, "%s ", track);
	n = append(line, n, sizeof(line) - 1, "%s %s", name, details);
	if (start)
		n = append(line, n, sizeof(line) - 1, " (%u.%u us)", (unsigned int)((now - start) / 1000),
			   (unsigned int)((now - start) % 1000 / 100));
	line[n++] = '\n';
	write_all_or_nothing(STDERR_FILENO, line, n);
}

/* A track of its own for each device: a thread number made from its name, outside of the kernel's range of
 * ids. */
static uint32_t track_id(const char *track)
{
	uint32_t h = 2166136261u;

	for (; *track; track++)
		h = (h ^ (uint32_t)(unsigned char)*track) * 16777619u;
	return 0x40000000u | (h & 0x3fffffffu);
}

/* The tracks that have a name in this process; void in a forked child. */
static _Atomic pid_t named_process;
static __thread pid_t named_thread;
static _Atomic uint32_t named_tracks[64];

static size_t append_name(char *buf, size_t n, size_t size, const char *what, uint32_t tid, const char *name)
{
	n = append(buf, n, size, "{\"ph\":\"M\",\"pid\":%d,\"tid\":%u,\"name\":\"%s\",\"args\":{\"name\":\"",
		   (int)getpid(), tid, what);
	n = append_json_string(buf, n, size, name);
	return append(buf, n, size, "\"}},\n");
}

static size_t append_process_name(char *buf, size_t n, size_t size)
{
	pid_t pid = getpid(), old = atomic_load(&named_process);

	if (likely(old == pid) || !atomic_compare_exchange_strong(&named_process, &old, pid))
		return n;
	for (size_t i = 0; i < ARRAY_SIZE(named_tracks); i++)
		atomic_store(&named_tracks[i], 0);
	return append_name(buf, n, size, "process_name", (uint32_t)pid, program_invocation_short_name);
}

static size_t append_thread_name(char *buf, size_t n, size_t size, uint32_t tid)
{
	char name[32] = "";

	if (named_thread == (pid_t)tid || prctl(PR_GET_NAME, name))
		return n;
	named_thread = (pid_t)tid;
	return append_name(buf, n, size, "thread_name", tid, name);
}

static size_t append_track_name(char *buf, size_t n, size_t size, const char *track, uint32_t id)
{
	for (size_t i = 0; i < ARRAY_SIZE(named_tracks); i++) {
		uint32_t old = 0;

		if (atomic_load(&named_tracks[i]) == id)
			return n;
		if (atomic_compare_exchange_strong(&named_tracks[i], &old, id))
			break;
	}
	return append_name(buf, n, size, "thread_name", id, track);
}

static void emit_json(uint32_t cat, const char *track, const char *name, uint64_t start, uint64_t now,
		      const char *details)
{
	char line[2048];
	size_t size = sizeof(line) - 16, n = append_process_name(line, 0, size);
	uint64_t begin = start ? start : now;
	uint32_t tid = track ? track_id(track) : (uint32_t)syscall(SYS_gettid);

	n = track ? append_track_name(line, n, size, track, tid) : append_thread_name(line, n, size, tid);
	n = append(line, n, size,
		   "{\"name\":\"%s\",\"cat\":\"%s\",\"ph\":\"%s\",\"pid\":%d,\"tid\":%u,\"ts\":%llu.%03u",
		   name, category_name(cat), start ? "X" : "i", (int)getpid(), tid,
		   (unsigned long long)(begin / 1000), (unsigned int)(begin % 1000));
	if (start)
		n = append(line, n, size, ",\"dur\":%llu.%03u", (unsigned long long)((now - start) / 1000),
			   (unsigned int)((now - start) % 1000));
	else
		n = append(line, n, size, ",\"s\":\"t\"");
	n = append(line, n, size, ",\"args\":{\"details\":\"");
	n = append_json_string(line, n, size, details);
	memcpy(line + n, "\"}},\n", 5);
	write_all_or_nothing(json_fd, line, n + 5);
}

void trace_emit(enum trace_category cat, const char *track, const char *name, uint64_t start_ns,
		const char *fmt, ...)
{
	int saved_errno = errno;
	uint64_t now = trace_now();
	char details[576];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(details, sizeof(details), fmt, ap);
	va_end(ap);
	if (text_categories & (uint32_t)cat)
		emit_text((uint32_t)cat, track, name, start_ns, now, details);
	if (json_fd >= 0 && (json_categories & (uint32_t)cat))
		emit_json((uint32_t)cat, track, name, start_ns, now, details);
	errno = saved_errno;
}

struct stat_slot *stat_slot_take(void)
{
	for (unsigned int i = 0; i < SLOTS; i++) {
		uint64_t taken = 0;

		if (atomic_compare_exchange_strong(&counters->slots[i].taken, &taken, 1))
			return &counters->slots[i];
	}
	return NULL;
}

void stat_slot_give(struct stat_slot *slot)
{
	if (slot)
		atomic_store(&slot->taken, 0);
}

uint64_t stat_total(enum stat_id id)
{
	uint64_t sum = atomic_load_explicit(&stats[id], memory_order_relaxed);

	if (id != STAT_DMA_READ_BYTES && id != STAT_DMA_WRITE_BYTES)
		return sum;
	for (unsigned int i = 0; i < SLOTS; i++)
		sum += atomic_load_explicit(id == STAT_DMA_READ_BYTES ? &counters->slots[i].read
								      : &counters->slots[i].written,
					    memory_order_relaxed);
	return sum;
}

int stats_attach(const char *path)
{
	size_t size = sizeof(*counters);
	int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	void *p;
	int rc = 0;

	if (fd < 0)
		return -errno;
	if (ftruncate(fd, (off_t)size) < 0) {
		rc = -errno;
	} else {
		p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
		if (p == MAP_FAILED) {
			rc = -errno;
		} else {
			counters = p;
			stats = counters->stats;
		}
	}
	close(fd);
	return rc;
}
