/* SPDX-License-Identifier: BSD-2-Clause */
/* `uvfio run`: from the command line to the program's exit status. */
#include "base/trace.h"
#include "cli/cli.h"
#include "kvm/soft.h"
#include "machine/config.h"
#include "machine/machine.h"

#include <fcntl.h>
#include <getopt.h>
#include <linux/kvm.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

enum {
	OPT_DEVICE = 256,
	OPT_IOMMU,
	OPT_LEGACY_ONLY,
	OPT_IOMMUFD_ONLY,
	OPT_CONTAINER,
	OPT_KVM,
	OPT_TRACE,
	OPT_TRACE_OUT,
	OPT_SUMMARY,
	OPT_CTL,
	OPT_HELP,
};

static const struct cli_option run_options[] = {
	{ "device", "MODEL[,KEY=VALUE...]", OPT_DEVICE,
	  "add a device; may be given several times. uvfio devices lists models and options.\n"
	  "Without --device: one NVMe controller with 256 MiB of RAM behind it at 0000:00:01.0.\n"
	  "A comma within a value or a path is written twice." },
	{ "iommu", "KEY=VALUE[,KEY=VALUE...]", OPT_IOMMU,
	  "what the IOMMU is like: its type, and what types have (below); uvfio devices shows\n"
	  "their meaning and defaults" },
	{ "legacy-only", NULL, OPT_LEGACY_ONLY,
	  "only VFIO's groups and containers: no /dev/iommu, no /dev/vfio/devices" },
	{ "iommufd-only", NULL, OPT_IOMMUFD_ONLY,
	  "only /dev/iommu and /dev/vfio/devices: no /dev/vfio/vfio, no groups" },
	{ "container", "type1|iommufd", OPT_CONTAINER,
	  "what /dev/vfio/vfio is: a container with a type1 IOMMU (the default), or an IOMMUFD that\n"
	  "takes the requests of containers, as on kernels that have IOMMUFD_VFIO_CONTAINER" },
	{ "kvm", "host|soft|off", OPT_KVM,
	  "what /dev/kvm is: the host's (the default), whose VMs can use the devices; one in software,\n"
	  "which needs no /dev/kvm; or nothing" },
	{ "trace", "[=CATEGORIES]", OPT_TRACE,
	  "print decoded events on standard error. CATEGORIES: ioctl, file, config, bar, dma, irq,\n"
	  "cmd, fault, joined by commas, or all (the default)" },
	{ "trace-out", "FILE", OPT_TRACE_OUT,
	  "write all events to FILE (JSON) for Perfetto or chrome://tracing" },
	{ "summary", NULL, OPT_SUMMARY, "after the program's end, print on standard error what happened" },
	{ "ctl", "[=PATH]", OPT_CTL,
	  "let uvfio ctl add and remove devices while the program runs; prints on standard error\n"
	  "the path of the socket for that: one in the session directory, or PATH" },
	{ "help", NULL, OPT_HELP, "show this help" },
	{ NULL, NULL, 0, NULL },
};

struct run {
	struct description description;
	bool has_device;
	bool legacy_only, iommufd_only;
	const char *container; /* or NULL */
	const char *kvm;       /* or NULL */
	const char *trace;
	bool trace_bare; /* without =CATEGORIES */
	char trace_out[PATH_MAX];
	bool summary;
	bool ctl;
	const char *ctl_path; /* or NULL */
	bool help;
};

/* Of each type. */
static void print_iommu_keys(void)
{
	printf("\nkeys of --iommu:\n");
	for (const struct iommu_type *const *t = iommu_types; *t; t++) {
		const char *before = t == iommu_types ? " (the default): " : ": ";

		printf("  type=%s", (*t)->name);
		for (const struct uvfio_option *opt = (*t)->options; opt->key; opt++) {
			if (!strcmp(opt->key, "type"))
				continue;
			printf("%s%s", before, opt->key);
			before = ", ";
		}
		printf("\n");
	}
}

static int run_help(void)
{
	printf("usage: uvfio run [OPTIONS] -- PROGRAM [ARGS...]\n"
	       "\n"
	       "Run a dynamically linked program that uses /dev/vfio or /dev/iommu against emulated "
	       "devices.\n"
	       "\n"
	       "options:\n");
	cli_print_options(run_options);
	print_iommu_keys();
	printf("\n"
	       "exit status:\n"
	       "  the program's; 128 + n when signal n ended it; before it runs: 1 something is wrong with\n"
	       "  the machine that --device and --iommu describe, or with the program, 2 wrong usage,\n"
	       "  126 program cannot be executed, 127 program not found\n"
	       "\n"
	       "environment:\n"
	       "  TMPDIR         where the session directory is made (default /tmp)\n"
	       "  UVFIO_PRELOAD  the preload library, when it is not where uvfio expects it\n"
	       "\n"
	       "examples:\n"
	       "  uvfio run --device nvme,file=disk.img -- qemu-img convert -O raw nvme://0000:00:01.0/1 "
	       "copy.img\n"
	       "  uvfio run --trace=ioctl,cmd --summary -- qemu-io -c 'write 0 1M' nvme://0000:00:01.0/1\n");
	return 0;
}

static int set_trace(struct run *run, const char *categories)
{
	const char *bad = NULL;
	uint32_t mask;

	if (!*categories || trace_parse_categories(categories, &mask, &bad)) {
		complain("run: --trace: there is no category %.*s: use all, or some of ioctl, file, config, "
			 "bar, dma, irq, cmd, fault",
			 *categories ? (int)strcspn(bad, ",") : 2, *categories ? bad : "\"\"");
		return EXIT_USAGE;
	}
	run->trace = categories;
	return 0;
}

/* The program may change its directory. */
static int set_trace_out(struct run *run, const char *path)
{
	char cwd[PATH_MAX] = "";
	int n;

	if (!*path) {
		complain("run: --trace-out: there is no file name: write --trace-out=FILE");
		return EXIT_USAGE;
	}
	if (*path != '/' && !getcwd(cwd, sizeof(cwd))) {
		complain("--trace-out: %s: the working directory has no path: %s", path, strerror(errno));
		return EXIT_ERROR;
	}
	n = snprintf(run->trace_out, sizeof(run->trace_out), "%s%s%s", cwd, *cwd ? "/" : "", path);
	if (n < 0 || (size_t)n >= sizeof(run->trace_out)) {
		complain("--trace-out: %s: the path is too long", path);
		return EXIT_ERROR;
	}
	return 0;
}

static int parse_option(struct run *run, int option)
{
	switch (option) {
	case OPT_DEVICE:
		run->has_device = true;
		return describe(&run->description, "device", optarg);
	case OPT_IOMMU:
		return describe(&run->description, "iommu", optarg);
	case OPT_LEGACY_ONLY:
		run->legacy_only = true;
		return 0;
	case OPT_IOMMUFD_ONLY:
		run->iommufd_only = true;
		return 0;
	case OPT_CONTAINER:
		run->container = optarg;
		return 0;
	case OPT_KVM:
		run->kvm = optarg;
		return 0;
	case OPT_TRACE:
		run->trace_bare = !optarg;
		return set_trace(run, optarg ? optarg : "all");
	case OPT_TRACE_OUT:
		return set_trace_out(run, optarg);
	case OPT_SUMMARY:
		run->summary = true;
		return 0;
	case OPT_CTL:
		run->ctl = true;
		run->ctl_path = optarg;
		return 0;
	case OPT_HELP:
		run->help = true;
		return 0;
	}
	return EXIT_USAGE;
}

/* "--trace ioctl -- PROGRAM": the categories would be the program. */
static bool categories_apart(const struct run *run, char **argv)
{
	const char *bad;
	uint32_t mask;

	if (!run->trace_bare || !strcmp(argv[-1], "--") || !*argv[0] ||
	    trace_parse_categories(argv[0], &mask, &bad))
		return false;
	for (char **arg = argv + 1; *arg; arg++)
		if (!strcmp(*arg, "--"))
			return true;
	return false;
}

/* Which of VFIO's interfaces there are, as lines of the description. */
static int describe_interfaces(struct run *run)
{
	bool iommufd = run->container && !strcmp(run->container, "iommufd");
	int status = 0;

	if (run->legacy_only && run->iommufd_only) {
		complain("run: --legacy-only and --iommufd-only leave nothing: give one of them");
		return EXIT_USAGE;
	}
	if (run->container && !iommufd && strcmp(run->container, "type1")) {
		complain("run: --container=%s: there are type1 and iommufd", run->container);
		return EXIT_USAGE;
	}
	if (run->container && run->iommufd_only) {
		complain("run: with --iommufd-only there is no /dev/vfio/vfio: leave --container out");
		return EXIT_USAGE;
	}
	if (run->legacy_only || run->iommufd_only)
		status = describe(&run->description, "vfio",
				  run->legacy_only ? "nodes=legacy" : "nodes=iommufd");
	if (!status && iommufd)
		status = describe(&run->description, "vfio", "container=iommufd");
	return status;
}

/* What is asked for has to be there. */
static int check_host_kvm(void)
{
	int kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC), version;

	if (kvm < 0) {
		complain("run: --kvm=host: /dev/kvm: %s (%s--kvm=soft needs none)", strerror(errno),
			 errno == EACCES ? "it is for the group kvm; " : "");
		return EXIT_ERROR;
	}
	version = ioctl(kvm, KVM_GET_API_VERSION, 0);
	close(kvm);
	if (version == KVM_API_VERSION)
		return 0;
	if (version < 0)
		complain("run: --kvm=host: /dev/kvm is something else than KVM (--kvm=soft needs none)");
	else
		complain("run: --kvm=host: /dev/kvm has version %d of KVM's interface, not %d (--kvm=soft "
			 "needs none)",
			 version, KVM_API_VERSION);
	return EXIT_ERROR;
}

static int check_soft_kvm(void)
{
	char why[256];

	if (!soft_cpu_init(why, sizeof(why)))
		return 0;
	complain("run: --kvm=soft: %s", why);
	return EXIT_ERROR;
}

static int describe_kvm(struct run *run)
{
	if (!run->kvm)
		return 0;
	if (!strcmp(run->kvm, "off"))
		return describe(&run->description, "vfio", "kvm=off");
	if (!strcmp(run->kvm, "soft"))
		return check_soft_kvm() ?: describe(&run->description, "vfio", "kvm=soft");
	if (!strcmp(run->kvm, "host"))
		return check_host_kvm();
	complain("run: --kvm=%s: there are host, soft and off", run->kvm);
	return EXIT_USAGE;
}

static int parse_options(struct run *run, int argc, char **argv)
{
	int option, status = 0;

	while (!status && (option = cli_getopt(argc, argv, run_options, "run")) != -1)
		status = parse_option(run, option);
	if (status || run->help)
		return status;
	if (optind == argc) {
		complain("run: no program: write uvfio run [OPTIONS] -- PROGRAM [ARGS...]");
		return EXIT_USAGE;
	}
	if (categories_apart(run, argv + optind)) {
		complain("run: --trace takes its categories after a =: write --trace=%s", argv[optind]);
		return EXIT_USAGE;
	}
	if (!run->has_device)
		status = describe(&run->description, "device", MACHINE_DEFAULT_DEVICE);
	if (!status)
		status = describe_interfaces(run);
	return status ? status : describe_kvm(run);
}

/* The session exists: run the program in it. */
static int run_in_session(const struct run *run, struct launch *launch)
{
	int status, rc;

	if (*run->trace_out) {
		rc = trace_json_create(run->trace_out);
		if (rc) {
			complain("--trace-out: %s cannot be written: %s", run->trace_out, strerror(-rc));
			return EXIT_ERROR;
		}
		launch->trace_out = run->trace_out;
	}
	status = spawn_and_wait(launch);
	if (launch->trace_out) {
		rc = trace_json_finish(run->trace_out);
		if (rc)
			complain("--trace-out: %s is not complete: %s", run->trace_out, strerror(-rc));
	}
	return status;
}

static int run(const struct run *run, char **argv)
{
	struct program program;
	struct session session = { .ctl = run->ctl };
	struct launch launch = {
		.program = &program, .argv = argv, .session = &session, .trace = run->trace
	};
	int status = program_find(argv[0], &program);

	if (status)
		return status;
	spawn_block_signals();
	status = session_create(&session, run->description.text);
	if (status)
		return status;
	if (run->ctl) {
		launch.ctl = ctl_server_new(&session, run->description.text, run->ctl_path, argv[0]);
		status = launch.ctl ? 0 : EXIT_ERROR;
	}
	if (!status)
		status = run_in_session(run, &launch);
	ctl_server_free(launch.ctl);
	session_remove(&session);
	if (run->summary)
		summary_print(status, launch.trace_out);
	else if (run->trace)
		summary_mappings_left();
	return status;
}

int run_command(int argc, char **argv)
{
	struct run options = { .description = { NULL } };
	int status = parse_options(&options, argc, argv);

	if (!status)
		status = options.help ? run_help() : run(&options, argv + optind);
	free(options.description.text);
	return status;
}
