/* SPDX-License-Identifier: BSD-2-Clause */
/* Devices that report, a program that reads and answers, and one that attaches and destroys: all at once. */
#include "iommufd/mock/test_rig.h"

#include <pthread.h>

#define ROUNDS 400

struct setting {
	struct rig *rig;
	uint32_t idev, stdev, nested, viommu;
	int faults, events;
	uint32_t nr_faults, nr_events;
	_Atomic bool end;
};

static uint32_t alloc_viommu(struct rig *rig, uint32_t idev, uint32_t parent)
{
	struct iommu_viommu_alloc cmd = {
		.size = sizeof(cmd), .type = IOMMU_VIOMMU_TYPE_SELFTEST, .dev_id = idev, .hwpt_id = parent
	};

	assert_int_equal(rig_ioctl(rig, IOMMU_VIOMMU_ALLOC, &cmd), 0);
	return cmd.out_viommu_id;
}

static int make_fault_queue(struct rig *rig, uint32_t *id)
{
	struct iommu_fault_alloc cmd = { .size = sizeof(cmd) };

	assert_int_equal(rig_ioctl(rig, IOMMU_FAULT_QUEUE_ALLOC, &cmd), 0);
	*id = cmd.out_fault_id;
	return (int)cmd.out_fault_fd;
}

static int make_event_queue(struct rig *rig, uint32_t viommu)
{
	struct iommu_veventq_alloc cmd = {
		.size = sizeof(cmd),
		.viommu_id = viommu,
		.type = IOMMU_VEVENTQ_TYPE_SELFTEST,
		.veventq_depth = 4,
	};

	assert_int_equal(rig_ioctl(rig, IOMMU_VEVENTQ_ALLOC, &cmd), 0);
	return (int)cmd.out_veventq_fd;
}

static void *device_reports(void *arg)
{
	struct setting *s = arg;

	for (uint32_t i = 0; i < ROUNDS; i++) {
		struct iommu_test_cmd fault = { .trigger_iopf = { .dev_id = s->idev, .grpid = i } };
		struct iommu_test_cmd event = { .trigger_vevent.dev_id = s->idev };

		rig_test(s->rig, &fault, IOMMU_TEST_OP_TRIGGER_IOPF, 0);
		rig_test(s->rig, &event, IOMMU_TEST_OP_TRIGGER_VEVENT, 0);
	}
	return NULL;
}

static void read_faults(struct setting *s)
{
	struct iommu_hwpt_pgfault faults[4];
	ssize_t n = rig_read(s->faults, faults, sizeof(faults));

	assert_true(n >= 0);
	for (ssize_t i = 0; i < n / (ssize_t)sizeof(faults[0]); i++) {
		struct iommu_hwpt_page_response response = { .cookie = faults[i].cookie };
		ssize_t rc = rig_write(s->faults, &response, sizeof(response));

		assert_true(rc == sizeof(response) || rc == -EINVAL); /* or was answered at a detach */
		s->nr_faults++;
	}
}

static void *program_reads(void *arg)
{
	struct setting *s = arg;
	unsigned char buf[256];
	bool last;

	do {
		last = s->end;
		read_faults(s);
		s->nr_events += rig_read(s->events, buf, sizeof(buf)) > 0;
	} while (!last);
	return NULL;
}

static void *program_attaches(void *arg)
{
	struct setting *s = arg;
	struct iommu_vdevice_alloc cmd = {
		.size = sizeof(cmd), .viommu_id = s->viommu, .dev_id = s->idev, .virt_id = 7
	};

	for (int i = 0; i < ROUNDS / 4; i++) {
		assert_int_equal(rig_ioctl(s->rig, IOMMU_VDEVICE_ALLOC, &cmd), 0);
		assert_int_equal(rig_replace(s->rig, s->stdev, s->nested), 0);
		usleep(100);
		assert_int_equal(rig_replace(s->rig, s->stdev, s->rig->ioas), 0);
		assert_int_equal(rig_destroy(s->rig, cmd.out_vdevice_id), 0);
	}
	return NULL;
}

static void test_all_at_once(void **state)
{
	struct setting s = { .rig = *state };
	pthread_t devices[2], attacher, reader;
	uint32_t parent, fault_id;

	assert_int_equal(rig_device(s.rig, s.rig->ioas, 0, &s.stdev, NULL, &s.idev), 0);
	assert_int_equal(rig_hwpt(s.rig, s.idev, s.rig->ioas, IOMMU_HWPT_ALLOC_NEST_PARENT, &parent), 0);
	s.viommu = alloc_viommu(s.rig, s.idev, parent);
	s.faults = make_fault_queue(s.rig, &fault_id);
	s.events = make_event_queue(s.rig, s.viommu);
	assert_int_equal(rig_nested(s.rig, s.idev, s.viommu, fault_id, &s.nested), 0);
	assert_int_equal(pthread_create(&reader, NULL, program_reads, &s), 0);
	assert_int_equal(pthread_create(&attacher, NULL, program_attaches, &s), 0);
	for (int i = 0; i < 2; i++)
		assert_int_equal(pthread_create(&devices[i], NULL, device_reports, &s), 0);
	for (int i = 0; i < 2; i++)
		assert_int_equal(pthread_join(devices[i], NULL), 0);
	assert_int_equal(pthread_join(attacher, NULL), 0);
	s.end = true;
	assert_int_equal(pthread_join(reader, NULL), 0);
	assert_int_equal(rig_poll(s.events), 0);
	assert_int_equal(rig_destroy(s.rig, s.nested), 0); /* nothing of it is in the queue */
	rig_close(s.faults);
	assert_int_equal(rig_destroy(s.rig, fault_id), 0);
	rig_close(s.events);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_all_at_once, rig_setup, rig_teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
