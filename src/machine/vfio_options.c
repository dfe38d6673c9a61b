/* SPDX-License-Identifier: BSD-2-Clause */
/* What the lines "vfio ..." of a description mean: which of VFIO's interfaces the machine has. */
#include "machine/config.h"

#include "base/options.h"

#include <stdio.h>
#include <string.h>

struct vfio_options {
	char *nodes;
	char *container;
	char *kvm;
};

static const struct uvfio_option vfio_options[] = {
	{ .key = "nodes",
	  .type = UVFIO_OPTION_STRING,
	  .offset = offsetof(struct vfio_options, nodes),
	  .preset = "all",
	  .help = "legacy: containers and groups; iommufd: /dev/iommu and cdevs; all: both" },
	{ .key = "container",
	  .type = UVFIO_OPTION_STRING,
	  .offset = offsetof(struct vfio_options, container),
	  .help = "what /dev/vfio/vfio is: type1, without this option, or iommufd" },
	{ .key = "kvm",
	  .type = UVFIO_OPTION_STRING,
	  .offset = offsetof(struct vfio_options, kvm),
	  .preset = "host",
	  .help = "what /dev/kvm is: host, soft or off" },
	{ .key = NULL },
};

static int check_kvm(const struct vfio_options *opts, struct vfio_config *vfio, char *err, size_t err_len)
{
	static const char *const names[] = {
		[MACHINE_KVM_HOST] = "host", [MACHINE_KVM_SOFT] = "soft", [MACHINE_KVM_OFF] = "off"
	};

	for (unsigned int i = 0; i < ARRAY_SIZE(names); i++)
		if (!strcmp(opts->kvm, names[i])) {
			vfio->kvm = (enum machine_kvm)i;
			return 0;
		}
	snprintf(err, err_len, "vfio: kvm=%s is not possible: use host, soft or off", opts->kvm);
	return -EINVAL;
}

static int check(const struct vfio_options *opts, struct vfio_config *vfio, char *err, size_t err_len)
{
	bool legacy = !strcmp(opts->nodes, "legacy"), iommufd = !strcmp(opts->nodes, "iommufd");
	const char *container = opts->container ? opts->container : "type1";

	if (!legacy && !iommufd && strcmp(opts->nodes, "all")) {
		snprintf(err, err_len, "vfio: nodes=%s is not possible: use legacy, iommufd or all",
			 opts->nodes);
		return -EINVAL;
	}
	vfio->legacy = !iommufd;
	vfio->iommufd = !legacy;
	vfio->iommufd_container = !strcmp(container, "iommufd");
	if (!vfio->iommufd_container && strcmp(container, "type1")) {
		snprintf(err, err_len, "vfio: container=%s is not possible: use type1 or iommufd", container);
		return -EINVAL;
	}
	if (iommufd && opts->container) {
		snprintf(err, err_len,
			 "vfio: with nodes=iommufd there is no /dev/vfio/vfio: leave container out");
		return -EINVAL;
	}
	return 0;
}

int vfio_config_parse(const char *text, struct vfio_config *vfio, char *err, size_t err_len)
{
	struct vfio_options opts;
	int rc = options_parse(vfio_options, "vfio", text, &opts, err, err_len);

	if (rc)
		return rc;
	rc = check(&opts, vfio, err, err_len);
	if (!rc)
		rc = check_kvm(&opts, vfio, err, err_len);
	options_free(vfio_options, &opts);
	return rc;
}
