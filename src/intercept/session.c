/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The session, and this process's machine.
 *
 * Our constructor only reads the environment. The machine is made at the first call that needs it: many
 * programs of a session (the shell between two clients) never do.
 *
 * making protects the making of the machine; nothing of ours is called with it held but machine_new(), which
 * calls nothing of the program's.
 */
#include "base/crash.h"
#include "base/failpoint.h"
#include "base/fault.h"
#include "base/log.h"
#include "base/trace.h"
#include "file/eventfd.h"
#include "file/fdtable.h"
#include "intercept/control.h"
#include "intercept/intercept.h"
#include "intercept/io_table.h"
#include "intercept/section.h"
#include "intercept/share.h"
#include "intercept/trap.h"
#include "iommu/dma.h"
#include "iommu/mm.h"
#include "machine/machine.h"
#include "vfio/vfio.h"

#include <dirent.h>
#include <pthread.h>
#include <string.h>

struct session session;

static pthread_mutex_t making = PTHREAD_MUTEX_INITIALIZER;
static _Atomic(struct uvfio_machine *) the_machine;
static bool machine_failed;
static pid_t owner; /* the process whose memory this is */

bool intercept_foreign_process(void)
{
	return getpid() != owner;
}

/* A file of the session as text, allocated; NULL and errno. */
static char *read_session_file(const char *name)
{
	char path[PATH_MAX + 16];
	size_t len = 0, size = 4096;
	char *text = NULL, *bigger;
	ssize_t n;
	int fd;

	snprintf(path, sizeof(path), "%s/%s", session.dir, name);
	fd = REAL(open)(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return NULL;
	for (;;) {
		bigger = realloc(text, size);
		if (!bigger)
			break;
		text = bigger;
		n = REAL(read)(fd, text + len, size - len - 1);
		if (n <= 0)
			break;
		len += (size_t)n;
		size += (size_t)n;
	}
	REAL(close)(fd);
	if (text)
		text[len] = 0;
	return text;
}

/* What the launcher wants to see and count. Failing is no reason not to run. */
static void start_reports(void)
{
	const char *text = getenv("UVFIO_TRACE"), *out = getenv("UVFIO_TRACE_OUT");
	char path[PATH_MAX + 16];
	uint32_t mask = 0;
	const char *bad;
	int rc;

	snprintf(path, sizeof(path), "%s/stats", session.dir);
	rc = stats_attach(path);
	if (rc)
		uvfio_err("%s: cannot be shared: %s", path, strerror(-rc));
	if (text && *text && trace_parse_categories(text, &mask, &bad))
		uvfio_err("UVFIO_TRACE: unknown category: %s", bad);
	if (out && !*out)
		out = NULL;
	rc = trace_start(mask, out ? TRACE_ALL : 0, out);
	if (rc)
		uvfio_err("%s: cannot be written: %s", out ? out : "trace", strerror(-rc));
}

/* *description: what it was made from, to be freed. */
static struct uvfio_machine *make_machine(char **description_out)
{
	struct uvfio_machine *machine;
	char err[512] = "";
	char *description = read_session_file("machine");

	if (!description) {
		uvfio_err("%s/machine: cannot be read: %s", session.dir, strerror(errno));
		return NULL;
	}
	start_reports();
	self_caller.pid = getpid();
	self_caller.mm = mm_self();
	vfio_group_claim = claim_group;
	memory_notes_start();
	machine = machine_new(description, session.dir, err, sizeof(err));
	if (!machine)
		uvfio_err("the devices of this session cannot be made: %s", err);
	*description_out = description;
	return machine;
}

struct uvfio_machine *intercept_machine(void)
{
	struct uvfio_machine *machine = atomic_load_explicit(&the_machine, memory_order_acquire);
	int saved_errno = errno;
	char *description = NULL;

	if (likely(machine) || !session.on)
		return machine;
	section_begin();
	pthread_mutex_lock(&making);
	machine = atomic_load(&the_machine);
	if (!machine && !machine_failed) {
		machine = make_machine(&description);
		machine_failed = !machine;
		atomic_store_explicit(&the_machine, machine, memory_order_release);
		if (machine)
			control_start(description);
	}
	pthread_mutex_unlock(&making);
	free(description);
	section_end();
	errno = saved_errno;
	return machine;
}

struct uvfio_machine *intercept_machine_if_made(void)
{
	return atomic_load_explicit(&the_machine, memory_order_acquire);
}

void intercept_forget_machine(void)
{
	claims_forget();
	atomic_store(&the_machine, NULL);
}

void intercept_take_over(void)
{
	eventfd_forked();
	machine_take_over(intercept_machine_if_made());
	control_resume();
}

static void note_local(struct file *file, void *found)
{
	if (!remote_is(file))
		*(bool *)found = true;
}

static bool has_local_files(void)
{
	bool found = false;

	if (intercept_machine_if_made())
		file_for_each(note_local, &found);
	return found;
}

static void share_file(int fd, struct file *file, void *error)
{
	int rc = remote_is(file) ? 0 : hold_file(file, fd);

	if (rc && rc != -EBADF)
		*(int *)error = -rc;
}

bool intercept_share_files(void)
{
	int saved_errno = errno, error = 0;
	bool any;

	section_begin();
	any = has_local_files() && serve_address();
	if (any)
		fdtable_for_each(share_file, &error);
	section_end();
	if (error)
		uvfio_err("other processes will not be able to use every open VFIO file: %s",
			  strerror(error));
	errno = saved_errno;
	return any;
}

/* Does the child of the fork under way ask us? The forking thread alone reads it. */
static __thread bool sharing;

static void before_fork(void)
{
	section_begin();
	remote_before_fork();
	sharing = intercept_share_files();
}

static void after_fork(void)
{
	section_end();
}

/* Locks that another thread held at the fork are held by nobody in the child. */
static void in_child(void)
{
	struct uvfio_machine *machine = intercept_machine_if_made();
	const struct wire_address *address;

	owner = getpid();
	failpoint_set(0);
	pthread_mutex_init(&making, NULL);
	self_caller.pid = owner;
	fault_forked();
	file_forked();
	claims_forked();
	mm_forked();
	dma_forked();
	address = serve_forked();
	remote_forked(sharing ? address : NULL);
	hold_forked();
	control_forked();
	if (machine && !sharing) {
		eventfd_forked();
		machine_forked(machine);
	}
	section_end();
}

/* Descriptors that the program before us in this process, or the one that started us, has left open. */
static void adopt_inherited(void)
{
	DIR *dir = opendir("/proc/self/fd");
	struct dirent *entry;

	while (dir && (entry = readdir(dir))) {
		int fd = atoi(entry->d_name);

		if (*entry->d_name == '.' || fd == dirfd(dir))
			continue;
		if (fd > 2)
			remote_inherit(fd);
		node_inherit(fd);
	}
	if (dir)
		closedir(dir);
}

__attribute__((constructor)) static void start(void)
{
	const char *dir = getenv("UVFIO_SESSION");
	struct stat st;

	real_resolve();
	owner = getpid();
	if (!dir || !*dir || !REAL(realpath)(dir, session.dir) || REAL(stat)(session.dir, &st) < 0)
		return;
	session.dir_len = strlen(session.dir);
	session.dev = st.st_dev;
	if (session.dir_len > sizeof(session.dir) / 2)
		return;
	io_table_prepare(); /* so that its lock is taken within the section that spans a fork */
	if (pthread_atfork(before_fork, after_fork, in_child))
		return;
	crash_naming = true;
	section_init();
	fault_handler_offer();
	session.on = true;
	path_note_cwd();
	adopt_inherited();
}

__attribute__((destructor)) static void end(void)
{
	if (!atomic_load(&the_machine) || intercept_foreign_process())
		return;
	section_begin();
	streams_end(); /* the C library would do it later */
	machine_attributes_end();
	section_end();
}
