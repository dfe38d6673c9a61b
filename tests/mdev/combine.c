/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * An ordinary program with backed and mediated devices on one container or IOAS, in all combinations, and
 * what is charged to it after each step. The mediated devices' driver is the plug-in tally.c, which pins what
 * it is told to; they are made as they come and removed as they go.
 *
 * What is charged is seen from outside, as any program can see it: in /proc/self/status; and when locked
 * memory is limited, a second backed device on a container or IOAS of its own (the meter) can map what is
 * left and not a page more.
 */
#define PARENT "tally"
#include "ways.h"

#include <linux/capability.h>
#include <spawn.h>
#include <sys/resource.h>
#include <sys/syscall.h>

#define NVME           "0000:00:01.0"
#define METER          "0000:00:02.0"
#define PLUGGED        "0000:00:05.0" /* in place of the first when there is a command to plug it in with */

#define LIMIT          16 /* pages that may be locked */
#define MAX_STEPS      21

#define NOTHING_MAPPED (-10000) /* as a result: the errno for that */

/* Memory that is mapped: where, and how many pages. B follows on A; C is A's memory once more. */
enum { A, B, C, SLOTS };
static const struct slot {
	uint64_t iova;
	unsigned int pages, memory; /* memory: its first page in ours */
} slots[SLOTS] = {
	[A] = { 0x100000, 8, 0 },
	[B] = { 0x108000, 4, 8 },
	[C] = { 0x300000, 8, 0 },
};

/* One device has numbers 0 and 1 for the mediated ones; a pin has a device, a place, and how many pages. */
enum action { END, ADD_BACKED, DEL_BACKED, ADD_MDEV, DEL_MDEV, MAP, UNMAP, PIN, UNPIN, HOLD, LET_GO };

struct step {
	enum action action;
	unsigned int which; /* mediated device, or slot; HOLD: pages that the meter takes for itself */
	uint64_t iova;
	unsigned int pages;
	int charge; /* pages after it */
	int result; /* 0, or -errno */
};

struct script {
	const char *name;
	struct step steps[MAX_STEPS];
};

struct bench {
	struct space space, meter_space;
	struct member nvme, mdevs[2], meter;
	uint8_t *memory, *other;
	unsigned int held; /* pages that the meter has mapped */
	int mapped;        /* pages, in space */
	bool closed;       /* space is */
};

static const char *const uuids[2] = { ONE, TWO };
static bool compat;       /* /dev/vfio/vfio is an IOMMUFD */
static const char *uvfio; /* the command, or NULL */
static int null;          /* /dev/null */

static bool is_iommufd(const struct space *space)
{
	return compat || !space->way->type;
}

/* ---- what is charged */

#define METER_IOVA 0x100000ull
#define HELD_IOVA  0x900000ull

/* Can the meter have so many pages? */
static int measure(struct bench *b, unsigned int pages)
{
	int rc = map(&b->meter_space, b->other, METER_IOVA, pages * PAGE);

	if (!rc)
		CHECK(!unmap(&b->meter_space, METER_IOVA, pages * PAGE));
	return rc;
}

/* In pages. */
static int in_status(const char *name)
{
	FILE *status = fopen("/proc/self/status", "re");
	char line[128];
	int kib = -1;

	CHECK(status);
	while (fgets(line, sizeof(line), status))
		if (!strncmp(line, name, strlen(name)))
			kib = atoi(line + strlen(name));
	fclose(status);
	return kib / 4;
}

/* `uvfio ctl` with one or two words, and its output to a file. */
static void ctl(int to, const char *word, const char *argument)
{
	const char *words[] = { uvfio, "ctl", word, argument, NULL };
	posix_spawn_file_actions_t actions;
	int status;
	pid_t pid;

	CHECK(!posix_spawn_file_actions_init(&actions) && !posix_spawn_file_actions_adddup2(&actions, to, 1));
	CHECK(!posix_spawn(&pid, uvfio, &actions, NULL, (char **)(uintptr_t)words, environ));
	posix_spawn_file_actions_destroy(&actions);
	CHECK(waitpid(pid, &status, 0) == pid && !status);
}

/* What `uvfio ctl memory` says of all containers and IOASes together, in pages. */
struct listed {
	int mapped, by_domains, by_drivers, charged;
};

static struct listed listed(void)
{
	struct listed all = { 0 };
	char line[256];
	FILE *list = tmpfile();

	CHECK(list);
	ctl(fileno(list), "memory", NULL);
	rewind(list);
	while (fgets(line, sizeof(line), list)) {
		unsigned long mapped, by_domains, by_drivers, charged;

		if (sscanf(line, "%*s %lu %lu %lu %lu", &mapped, &by_domains, &by_drivers, &charged) != 4)
			continue;
		all.mapped += (int)(mapped / PAGE);
		all.by_domains += (int)(by_domains / PAGE);
		all.by_drivers += (int)(by_drivers / PAGE);
		all.charged += (int)(charged / PAGE);
	}
	fclose(list);
	return all;
}

static bool listed_is(const struct bench *b, int charge)
{
	int held = (int)b->held, mapped = b->space.members ? b->mapped : 0;
	bool backed = b->nvme.device >= 0;
	struct listed all = listed();

	if (!b->space.members && !b->closed && is_iommufd(&b->space)) /* an IOAS keeps its mappings */
		mapped = b->mapped;
	if (all.mapped == mapped + held && all.by_domains == (backed ? mapped : 0) + held &&
	    all.charged == charge + held && (backed || all.by_drivers == charge))
		return true;
	fprintf(stderr, "uvfio ctl memory: %d pages mapped of %d, %d by domains, %d by drivers, %d charged\n",
		all.mapped, mapped + held, all.by_domains, all.by_drivers, all.charged);
	return false;
}

static bool charged_is(struct bench *b, int charge)
{
	int all = charge + (int)b->held, left = LIMIT - all;
	int shown;

	if (uvfio && !listed_is(b, charge))
		return false;
	shown = in_status(is_iommufd(&b->space) ? "VmPin:" : "VmLck:");
	if (shown != all) {
		fprintf(stderr, "/proc/self/status: %d pages\n", shown - (int)b->held);
		return false;
	}
	return (!left || !measure(b, (unsigned int)left)) && measure(b, (unsigned int)left + 1) == -ENOMEM;
}

/* ---- steps */

static int command(const struct bench *b, const struct step *step)
{
	enum { PIN_PAGES = 1, UNPIN_PAGES };
	const struct member *mdev = &b->mdevs[step->which];
	uint32_t iova = (uint32_t)step->iova, what = step->action == PIN ? PIN_PAGES : UNPIN_PAGES;
	int32_t result;

	CHECK(pwrite(mdev->device, &iova, 4, 0) == 4 && pwrite(mdev->device, &step->pages, 4, 20) == 4);
	CHECK(pwrite(mdev->device, &what, 4, 4) == 4 && pread(mdev->device, &result, 4, 8) == 4);
	return result > 0 ? 0 : result;
}

/* Without the command the device has been there from the start. */
static int add_backed(struct bench *b)
{
	int rc;

	if (uvfio)
		ctl(null, "add", "nvme,size=16M,addr=" PLUGGED);
	rc = join(&b->space, &b->nvme, uvfio ? PLUGGED : NVME);
	if (rc && uvfio)
		ctl(null, "remove", PLUGGED);
	return rc;
}

static int del_backed(struct bench *b)
{
	leave(&b->space, &b->nvme);
	if (uvfio)
		ctl(null, "remove", PLUGGED);
	return 0;
}

static int add_mdev(struct bench *b, unsigned int which)
{
	CHECK(!create("tally-page", uuids[which]));
	return join(&b->space, &b->mdevs[which], uuids[which]);
}

static int del_mdev(struct bench *b, unsigned int which)
{
	leave(&b->space, &b->mdevs[which]);
	return remove_mdev(uuids[which]);
}

static int hold(struct bench *b, unsigned int pages)
{
	int rc = pages ? map(&b->meter_space, b->other, HELD_IOVA, pages * PAGE)
		       : unmap(&b->meter_space, HELD_IOVA, b->held * PAGE);

	if (!rc)
		b->held = pages;
	return rc;
}

static int act(struct bench *b, const struct step *step)
{
	const struct slot *slot = &slots[step->which % SLOTS];
	int rc;

	switch (step->action) {
	case ADD_BACKED:
		return add_backed(b);
	case DEL_BACKED:
		return del_backed(b);
	case ADD_MDEV:
		return add_mdev(b, step->which);
	case DEL_MDEV:
		return del_mdev(b, step->which);
	case MAP:
		rc = map(&b->space, b->memory + slot->memory * PAGE, slot->iova, slot->pages * PAGE);
		b->mapped += rc ? 0 : (int)slot->pages;
		return rc;
	case UNMAP:
		rc = unmap(&b->space, slot->iova, slot->pages * PAGE);
		b->mapped -= rc ? 0 : (int)slot->pages;
		return rc;
	case HOLD:
		return hold(b, step->which);
	case LET_GO:
		return hold(b, 0);
	default:
		return command(b, step);
	}
}

/* ---- scripts: what is done; after it how many pages are charged */

#define ADD_B              .action = ADD_BACKED
#define DEL_B              .action = DEL_BACKED
#define ADD_M(n)           .action = ADD_MDEV, .which = (n)
#define DEL_M(n)           .action = DEL_MDEV, .which = (n)
#define MAP_S(slot)        .action = MAP, .which = (slot)
#define UNMAP_S(slot)      .action = UNMAP, .which = (slot)
#define PIN_P(n, at, nr)   .action = PIN, .which = (n), .iova = 0x100000 + (at)*PAGE, .pages = (nr)
#define UNPIN_P(n, at, nr) .action = UNPIN, .which = (n), .iova = 0x100000 + (at)*PAGE, .pages = (nr)
#define IN_C               0x200 /* pages from A's start to C's */
#define CHARGE(n)          .charge = (n)
#define REFUSED(code)      .result = -(code)

static const struct script scripts[] = {
	{ "backed only",
	  {
		  { ADD_B, CHARGE(0) },
		  { MAP_S(A), CHARGE(8) },
		  { MAP_S(B), CHARGE(12) },
		  { MAP_S(C), CHARGE(12), REFUSED(ENOMEM) },
		  { UNMAP_S(A), CHARGE(4) },
		  { MAP_S(C), CHARGE(12) },
		  { UNMAP_S(C), CHARGE(4) },
		  { MAP_S(A), CHARGE(12) },
		  { DEL_B, CHARGE(0) },
	  } },
	{ "mediated only",
	  {
		  { ADD_M(0), CHARGE(0) },
		  { MAP_S(A), CHARGE(0) },
		  { MAP_S(B), CHARGE(0) },
		  { PIN_P(0, 0, 1), CHARGE(1) },
		  { PIN_P(0, 0, 1), CHARGE(1) },                            /* twice */
		  { PIN_P(0, 6, 4), CHARGE(5) },                            /* from A into B */
		  { PIN_P(0, 10, 4), CHARGE(5), .result = NOTHING_MAPPED }, /* beyond B */
		  { UNPIN_P(0, 0, 1), CHARGE(5) },
		  { UNPIN_P(0, 0, 1), CHARGE(4) },
		  { UNPIN_P(0, 0, 1), CHARGE(4), REFUSED(EINVAL) },
		  { UNMAP_S(A), CHARGE(2) }, /* the driver lets go of two pages */
		  { MAP_S(A), CHARGE(2) },
		  { PIN_P(0, 0, 8), CHARGE(10) },
		  { UNMAP_S(B), CHARGE(8) },
		  { DEL_M(0), CHARGE(0) }, /* what was left */
	  } },
	{ "one each",
	  {
		  { ADD_B, CHARGE(0) },
		  { ADD_M(0), CHARGE(0) },
		  { MAP_S(A), CHARGE(8) },
		  { PIN_P(0, 0, 4), CHARGE(8) },
		  { PIN_P(0, 2, 2), CHARGE(8) },
		  { MAP_S(B), CHARGE(12) },
		  { PIN_P(0, 7, 3), CHARGE(12) },
		  { UNPIN_P(0, 2, 2), CHARGE(12) },
		  { UNMAP_S(A), CHARGE(4) },
		  { MAP_S(A), CHARGE(12) },
		  { UNMAP_S(B), CHARGE(8) },
		  { PIN_P(0, 1, 1), CHARGE(8) },
		  { DEL_B, CHARGE(1) },
		  { DEL_M(0), CHARGE(0) },
	  } },
	{ "a mediated device comes and goes beside a backed one",
	  {
		  { ADD_B, CHARGE(0) },
		  { MAP_S(A), CHARGE(8) },
		  { ADD_M(0), CHARGE(8) },
		  { PIN_P(0, 0, 8), CHARGE(8) },
		  { ADD_M(1), CHARGE(8) },
		  { PIN_P(1, 4, 2), CHARGE(8) },
		  { MAP_S(B), CHARGE(12) },
		  { DEL_M(0), CHARGE(12) },
		  { ADD_M(0), CHARGE(12) },
		  { UNPIN_P(0, 0, 1), CHARGE(12), REFUSED(EINVAL) },
		  { UNMAP_S(A), CHARGE(4) },
		  { DEL_M(1), CHARGE(4) },
		  { DEL_M(0), CHARGE(4) },
		  { UNMAP_S(B), CHARGE(0) },
		  { MAP_S(A), CHARGE(8) },
		  { DEL_B, CHARGE(0) },
	  } },
	{ "a backed device comes and goes beside a mediated one",
	  {
		  { ADD_M(0), CHARGE(0) },
		  { MAP_S(A), CHARGE(0) },
		  { MAP_S(B), CHARGE(0) },
		  { PIN_P(0, 0, 1), CHARGE(1) },
		  { PIN_P(0, 9, 1), CHARGE(2) },
		  { ADD_B, CHARGE(12) },
		  { PIN_P(0, 1, 2), CHARGE(12) },
		  { UNPIN_P(0, 0, 1), CHARGE(12) },
		  { DEL_B, CHARGE(3) },
		  { UNPIN_P(0, 2, 1), CHARGE(2) },
		  { ADD_B, CHARGE(12) },
		  { UNMAP_S(A), CHARGE(4) },
		  { MAP_S(A), CHARGE(12) },
		  { DEL_B, CHARGE(1) },
		  { ADD_B, CHARGE(12) },
		  { DEL_M(0), CHARGE(12) },
		  { DEL_B, CHARGE(0) },
	  } },
	{ "two drivers, and memory that is mapped twice",
	  {
		  { ADD_M(0), CHARGE(0) },
		  { ADD_M(1), CHARGE(0) },
		  { MAP_S(A), CHARGE(0) },
		  { MAP_S(C), CHARGE(0) },
		  { PIN_P(0, 3, 1), CHARGE(1) },
		  { PIN_P(1, 3, 1), CHARGE(1) },
		  { PIN_P(1, IN_C + 3, 1), CHARGE(2) },
		  { UNPIN_P(0, IN_C + 3, 1), CHARGE(2), REFUSED(EINVAL) }, /* that is the other's */
		  { UNPIN_P(0, 3, 1), CHARGE(2) },
		  { ADD_B, CHARGE(16) },
		  { UNMAP_S(C), CHARGE(8) },
		  { PIN_P(0, 3, 1), CHARGE(8) },
		  { DEL_M(1), CHARGE(8) },
		  { DEL_B, CHARGE(1) },
		  { UNMAP_S(A), CHARGE(0) },
		  { DEL_M(0), CHARGE(0) },
	  } },
	{ "too much",
	  {
		  { ADD_M(0), CHARGE(0) },
		  { MAP_S(A), CHARGE(0) },
		  { MAP_S(B), CHARGE(0) },
		  { MAP_S(C), CHARGE(0) },
		  { PIN_P(0, 2, 3), CHARGE(3) },
		  { ADD_B, CHARGE(3), REFUSED(ENOMEM) },
		  { UNMAP_S(C), CHARGE(3) },
		  { .action = HOLD, .which = 5, CHARGE(3) },
		  { ADD_B, CHARGE(3), REFUSED(ENOMEM) },
		  { PIN_P(0, 0, 12), CHARGE(3),
		    REFUSED(ENOMEM) }, /* nine more, and there is room for eight */
		  { PIN_P(0, 0, 11), CHARGE(11) },
		  { PIN_P(0, 0, 11), CHARGE(11) },
		  { PIN_P(0, 11, 1), CHARGE(11), REFUSED(ENOMEM) },
		  { .action = LET_GO, CHARGE(11) },
		  { ADD_B, CHARGE(12) },
		  { MAP_S(C), CHARGE(12), REFUSED(ENOMEM) },
		  { UNMAP_S(A), CHARGE(4) },
		  { DEL_B, CHARGE(3) },
		  { DEL_M(0), CHARGE(0) },
	  } },
};

/* ---- running them */

static void run(const struct way *way, const struct script *script)
{
	struct bench b = { .space = open_space(way), .meter_space = open_space(way), .nvme = { -1, -1 } };

	b.memory = mmap(NULL, 32 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	CHECK(b.memory != MAP_FAILED);
	b.other = b.memory + 12 * PAGE;
	CHECK(!join(&b.meter_space, &b.meter, METER));
	for (unsigned int i = 0; script->steps[i].action != END; i++) {
		int rc = act(&b, &script->steps[i]), expected = script->steps[i].result;

		if (expected == NOTHING_MAPPED)
			expected = is_iommufd(&b.space) ? -ENOENT : -EINVAL;
		if (rc != expected || !charged_is(&b, script->steps[i].charge)) {
			fprintf(stderr, "%s, %s, step %u: %d (%s), expected %d and %d pages\n", way->name,
				script->name, i, rc, strerror(-rc), script->steps[i].result,
				script->steps[i].charge);
			exit(1);
		}
	}
	CHECK(!close(b.space.fd) && !b.space.members);
	b.closed = true;
	CHECK(charged_is(&b, 0));
	leave(&b.meter_space, &b.meter);
	CHECK(!close(b.meter_space.fd) && !munmap(b.memory, 32 * PAGE));
}

/* A container of the first version lets no driver pin. */
static bool can_pin(const struct way *way)
{
	return has_way(way) && (compat || way->type != VFIO_TYPE1_IOMMU);
}

/* RLIMIT_MEMLOCK is for those who have not the capability to ignore it. */
static void limit_self(void)
{
	struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3];
	struct rlimit limit = { LIMIT * PAGE, LIMIT * PAGE };

	CHECK(!setrlimit(RLIMIT_MEMLOCK, &limit));
	CHECK(!syscall(SYS_capget, &header, data));
	data[0].effective &= ~(1u << CAP_IPC_LOCK);
	CHECK(!syscall(SYS_capset, &header, data));
}

int main(int argc, char **argv)
{
	CHECK(argc > 2);
	if (!strcmp(argv[1], "rlimit"))
		limit_self();
	compat = !strcmp(argv[2], "compat");
	uvfio = argv[3]; /* or the NULL at the end */
	null = open("/dev/null", O_WRONLY | O_CLOEXEC);
	for (size_t i = 0; i < sizeof(ways) / sizeof(ways[0]); i++)
		for (size_t k = 0; can_pin(&ways[i]) && k < sizeof(scripts) / sizeof(scripts[0]); k++)
			run(&ways[i], &scripts[k]);
	return 0;
}
