/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The notifiers of <uvfio/device.h>: each is one of VFIO's, which exists while it is registered. A callback
 * may end its own, so nothing is touched behind it.
 */
#include "base/inside.h"
#include "model/model.h"
#include "vfio/vfio.h"

#include <stdlib.h>

struct notifier {
	struct vfio_notifier vfio;
	struct uvfio_notifier *pub;
	struct model_host *host;
};

static void tell_kvm(struct vfio_notifier *vfio, struct kvm *kvm)
{
	struct notifier *notifier = container_of(vfio, struct notifier, vfio);
	struct inside before = inside_begin(notifier->host->who, "set_kvm callback");

	notifier->pub->set_kvm(notifier->pub, kvm);
	inside_end(&before);
}

static void tell_unmap(struct vfio_notifier *vfio, uint64_t iova, uint64_t length)
{
	struct notifier *notifier = container_of(vfio, struct notifier, vfio);
	struct inside before = inside_begin(notifier->host->who, "dma_unmap callback");

	notifier->pub->dma_unmap(notifier->pub, iova, length);
	inside_end(&before);
}

int notifier_register(struct uvfio_device *dev, struct uvfio_notifier *pub)
{
	struct model_host *host = dev->host;
	struct notifier *notifier;
	int rc;

	if (pub->host)
		return -EEXIST;
	notifier = calloc(1, sizeof(*notifier));
	if (!notifier)
		return -ENOMEM;
	notifier->vfio.set_kvm = pub->set_kvm ? tell_kvm : NULL;
	notifier->vfio.dma_unmap = pub->dma_unmap ? tell_unmap : NULL;
	notifier->pub = pub;
	notifier->host = host;
	pub->dev = dev;
	pub->host = notifier;
	rc = vfio_register_notifier(host->vdev, &notifier->vfio);
	if (!rc) /* its callback may have ended it: nothing is touched */
		return 0;
	pub->host = NULL;
	free(notifier);
	return rc;
}

int notifier_unregister(struct uvfio_device *dev, struct uvfio_notifier *pub)
{
	struct model_host *host = dev->host;
	struct notifier *notifier = pub->host;
	int rc;

	if (!notifier)
		return -ENOENT;
	rc = vfio_unregister_notifier(host->vdev, &notifier->vfio);
	if (rc)
		return rc;
	pub->host = NULL;
	free(notifier);
	return 0;
}
