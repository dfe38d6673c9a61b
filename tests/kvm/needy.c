/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A mediated driver, for the tests, that cannot be opened without a VM. Type "op" is told of it by its
 * set_kvm; type "late" registers in open, and its notifier tells it of unmaps, too, so it can pin.
 *
 *   0x00  is there a VM now?
 *   0x04  how often a VM came, 0x08  how often it went
 *   0x0c  a write pins the page at this IOVA; reads how many are pinned
 *   0x10  a write unregisters a late instance's notifier
 */
#include <string.h>
#include <uvfio/mdev.h>

enum { HAS_VM, CAME, WENT, PINNED, LEAVE, NR_REGISTERS };

struct needy {
	struct uvfio_notifier notifier;
	struct uvfio_mdev *mdev;
	struct kvm *kvm;
	uint32_t registers[NR_REGISTERS];
};

/* A VM and none come in turn; what does not is counted as a hundred. */
static void note(struct needy *needy, struct kvm *kvm)
{
	uint32_t step = !needy->kvm == !!kvm ? 1 : 100;

	needy->kvm = kvm;
	needy->registers[kvm ? CAME : WENT] += step;
	needy->registers[HAS_VM] = kvm != NULL;
}

static void needy_set_kvm(struct uvfio_mdev *mdev, struct kvm *kvm)
{
	if (!mdev->type->data)
		note(mdev->dev.priv, kvm);
}

static void late_set_kvm(struct uvfio_notifier *notifier, struct kvm *kvm)
{
	struct needy *needy = notifier->dev->priv;

	note(needy, kvm);
}

static void late_unmap(struct uvfio_notifier *notifier, uint64_t iova, uint64_t length)
{
	struct needy *needy = notifier->dev->priv;

	(void)length;
	while (needy->registers[PINNED] && !uvfio_mdev_unpin_pages(needy->mdev, iova, 1))
		needy->registers[PINNED]--;
}

static int needy_open(struct uvfio_mdev *mdev)
{
	struct needy *needy = mdev->dev.priv;
	struct uvfio_notifier *notifier = &needy->notifier;
	int rc = 0;

	needy->mdev = mdev;
	if (mdev->type->data) {
		notifier->set_kvm = late_set_kvm;
		notifier->dma_unmap = late_unmap;
		rc = uvfio_register_notifier(&mdev->dev, notifier);
		if (!rc && uvfio_register_notifier(&mdev->dev, notifier) != -EEXIST)
			rc = -EBADE;
		if (!rc && !needy->kvm)
			uvfio_unregister_notifier(&mdev->dev, notifier);
	}
	return rc ? rc : needy->kvm ? 0 : -ESRCH;
}

static void needy_close(struct uvfio_mdev *mdev)
{
	struct needy *needy = mdev->dev.priv;

	if (mdev->type->data)
		uvfio_unregister_notifier(&mdev->dev, &needy->notifier);
}

static int needy_read(struct uvfio_mdev *mdev, unsigned int region, uint64_t offset, void *buf,
		      unsigned int size)
{
	struct needy *needy = mdev->dev.priv;

	(void)region;
	memcpy(buf, &needy->registers[offset / 4], size);
	return 0;
}

static int needy_write(struct uvfio_mdev *mdev, unsigned int region, uint64_t offset, const void *buf,
		       unsigned int size)
{
	struct needy *needy = mdev->dev.priv;
	uint32_t iova = 0;
	void *page;

	(void)region;
	memcpy(&iova, buf, size);
	if (offset == 4 * LEAVE)
		return uvfio_unregister_notifier(&mdev->dev, &needy->notifier);
	if (offset != 4 * PINNED || uvfio_mdev_pin_pages(mdev, iova, 1, UVFIO_MDEV_PIN_READ, &page) != 1)
		return -EINVAL;
	needy->registers[PINNED]++;
	return 0;
}

static const struct uvfio_mdev_type types[] = {
	{ .name = "op", .regions = { [0] = { 4 * NR_REGISTERS } } },
	{ .name = "late", .data = 1, .regions = { [0] = { 4 * NR_REGISTERS } } },
	{ .name = NULL },
};

static const struct uvfio_mdev_driver driver = {
	.name = "needy",
	.summary = "a card that works for VMs only",
	.priv_size = sizeof(struct needy),
	.device_api = "vfio-pci",
	.max_instances = 2,
	.types = types,
	.ops = {
		.open = needy_open,
		.close = needy_close,
		.read = needy_read,
		.write = needy_write,
		.set_kvm = needy_set_kvm,
	},
};

UVFIO_MDEV_PLUGIN(driver);
