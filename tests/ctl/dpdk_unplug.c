/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A DPDK application that copies with a DMA device until the device is to go (an RTE_DEV_EVENT_REMOVE, which
 * comes of the REQ interrupt), then removes it from DPDK and goes on without it to the end of its input.
 */
#include <rte_bus.h>
#include <rte_dev.h>
#include <rte_dmadev.h>
#include <rte_eal.h>
#include <rte_malloc.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define BLOCK 4096

static atomic_bool leaving;

static void on_event(const char *name, enum rte_dev_event_type event, void *arg)
{
	(void)arg;
	if (event != RTE_DEV_EVENT_REMOVE)
		return;
	printf("event: remove %s\n", name);
	fflush(stdout);
	atomic_store(&leaving, true);
}

static int fail(const char *what, int rc)
{
	printf("%s: %d\n", what, rc);
	fflush(stdout);
	return 1;
}

static int start(int16_t id)
{
	struct rte_dma_conf conf = { .nb_vchans = 1 };
	struct rte_dma_vchan_conf vchan = { .direction = RTE_DMA_DIR_MEM_TO_MEM, .nb_desc = 64 };
	int rc = rte_dma_configure(id, &conf);

	if (!rc)
		rc = rte_dma_vchan_setup(id, 0, &vchan);
	return rc ? rc : rte_dma_start(id);
}

/* One copy: 0 when it was done and is right. */
static int copy(int16_t id, char *src, char *dst, unsigned char value)
{
	bool failed = false;
	uint16_t last;

	memset(src, value, BLOCK);
	if (rte_dma_copy(id, 0, rte_malloc_virt2iova(src), rte_malloc_virt2iova(dst), BLOCK,
			 RTE_DMA_OP_FLAG_SUBMIT) < 0)
		return -1;
	for (unsigned int i = 0; i < 100000 && !atomic_load(&leaving); i++) {
		if (rte_dma_completed(id, 0, 1, &last, &failed) == 1)
			return memcmp(src, dst, BLOCK) ? -1 : 0;
		if (failed)
			return -1;
		usleep(10);
	}
	return -1;
}

static int remove_device(const char *name)
{
	struct rte_dev_iterator it;
	struct rte_device *dev;

	RTE_DEV_FOREACH(dev, "bus=pci", &it)
	if (!strcmp(rte_dev_name(dev), name))
		return rte_dev_remove(dev);
	return -1;
}

/* The name of the DMA device's PCI function, before it is gone. */
static void name_of(int16_t id, char *name, size_t len)
{
	struct rte_dma_info info;

	if (rte_dma_info_get(id, &info))
		info.dev_name = "";
	snprintf(name, len, "%s", info.dev_name);
}

int main(int argc, char **argv)
{
	unsigned char value = 1;
	char *src, *dst, name[64];
	int rc = rte_eal_init(argc, argv);
	int16_t id;

	if (rc < 0)
		return fail("rte_eal_init", rc);
	id = rte_dma_next_dev(0);
	src = rte_malloc(NULL, BLOCK, BLOCK);
	dst = rte_malloc(NULL, BLOCK, BLOCK);
	if (id < 0 || !src || !dst)
		return fail("no DMA device", id);
	name_of(id, name, sizeof(name));
	rc = rte_dev_event_callback_register(NULL, on_event, NULL);
	if (!rc)
		rc = start(id);
	if (!rc)
		rc = copy(id, src, dst, 0xa5);
	if (rc)
		return fail("the first copy", rc);
	puts("ready");
	fflush(stdout);
	while (!atomic_load(&leaving))
		if (copy(id, src, dst, value++))
			usleep(1000); /* it may have gone already: the event is to come */
	rc = remove_device(name);
	printf("rte_dev_remove %d\n", rc);
	fflush(stdout);
	getchar();
	rte_eal_cleanup();
	return rc ? 1 : 0;
}
