/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * An ordinary program that has the driver of its device, the plug-in clumsy.c, make mistakes: WAY, and what
 * is to be done, "IOVA COMMAND RESULT" or "detach", "unmap RESULT", "join BDF RESULT", "wait RESULT", "ask",
 * "file".
 */
#define PARENT "clumsy"
#include "ways.h"

static struct space space;
static struct member member;

static int command(uint32_t iova, uint32_t what)
{
	uint32_t words[2] = { iova, what };
	int result = 0;

	CHECK(pwrite(member.device, words, 8, 0) == 8);
	CHECK(pread(member.device, &result, 4, 8) == 4);
	return result;
}

static void detach(void)
{
	struct vfio_device_detach_iommufd_pt arg = { .argsz = sizeof(arg) };

	CHECK(!ioctl(member.device, VFIO_DEVICE_DETACH_IOMMUFD_PT, &arg));
}

/* A worker's result. */
static void wait_for(int wanted)
{
	int result = 0;

	while (result != wanted) {
		usleep(1000);
		CHECK(pread(member.device, &result, 4, 8) == 4);
	}
}

/* At 0x30000 is a page of a file, which becomes shorter. */
static void map_file(void)
{
	struct iommu_ioas_map_file arg = {
		.size = sizeof(arg),
		.flags = IOMMU_IOAS_MAP_FIXED_IOVA | IOMMU_IOAS_MAP_READABLE | IOMMU_IOAS_MAP_WRITEABLE,
		.ioas_id = space.ioas,
		.fd = memfd_create("file", MFD_CLOEXEC),
		.length = PAGE,
		.iova = 0x30000,
	};

	CHECK(arg.fd >= 0 && !ftruncate(arg.fd, PAGE));
	CHECK(!ioctl(space.fd, IOMMU_IOAS_MAP_FILE, &arg));
	CHECK(!ftruncate(arg.fd, 0) && !close(arg.fd));
}

/* The requests that all devices have. */
static void ask(void)
{
	struct vfio_device_info info = { .argsz = sizeof(info) };
	struct vfio_region_info region = { .argsz = sizeof(region) };
	struct vfio_irq_info irq = { .argsz = sizeof(irq) };
	struct vfio_irq_set set = { .argsz = sizeof(set),
				    .flags = VFIO_IRQ_SET_DATA_NONE | VFIO_IRQ_SET_ACTION_TRIGGER,
				    .index = VFIO_PCI_MSI_IRQ_INDEX };
	struct vfio_device_feature feature = { .argsz = sizeof(feature), .flags = VFIO_DEVICE_FEATURE_GET };

	CHECK(!ioctl(member.device, VFIO_DEVICE_GET_INFO, &info));
	CHECK(!ioctl(member.device, VFIO_DEVICE_GET_REGION_INFO, &region));
	FAILS(ioctl(member.device, VFIO_DEVICE_GET_IRQ_INFO, &irq), EINVAL);
	FAILS(ioctl(member.device, VFIO_DEVICE_SET_IRQS, &set), ENOTTY);
	FAILS(ioctl(member.device, VFIO_DEVICE_FEATURE, &feature), ENOTTY);
}

static void step(char **words)
{
	struct member other;

	if (!strcmp(words[0], "detach"))
		return detach();
	if (!strcmp(words[0], "ask"))
		return ask();
	if (!strcmp(words[0], "file"))
		return map_file();
	if (!strcmp(words[0], "wait"))
		return wait_for(atoi(words[1]));
	if (!strcmp(words[0], "unmap"))
		CHECK(unmap(&space, 0x10000, 2 * PAGE) == atoi(words[2]));
	else if (!strcmp(words[0], "join"))
		CHECK(join(&space, &other, words[1]) == atoi(words[2]));
	else
		CHECK(command((uint32_t)strtoul(words[0], NULL, 0), (uint32_t)atoi(words[1])) ==
		      atoi(words[2]));
}

int main(int argc, char **argv)
{
	char *memory = mmap(NULL, 4 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	space = open_space(strcmp(argv[1], "cdev") ? &ways[1] : &ways[2]);
	CHECK(!create("clumsy-1", ONE));
	CHECK(!join(&space, &member, ONE));
	CHECK(!map(&space, memory, 0x10000, 2 * PAGE));
	CHECK(!map(&space, memory + 2 * PAGE, 0x20000, 2 * PAGE));
	CHECK(!munmap(memory + 3 * PAGE, PAGE));
	for (int i = 2; i + 2 < argc; i += 3)
		step(argv + i);
	leave(&space, &member);
	return 0;
}
