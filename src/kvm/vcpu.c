/* SPDX-License-Identifier: BSD-2-Clause */
/* A vCPU: its making and its end, its file, and the table of its ioctls. */
#include "kvm/vcpu.h"

#include "base/private_fd.h"
#include "base/why.h"
#include "kvm/describe.h"
#include "kvm/soft.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

typedef long (*vcpu_fn)(struct vcpu *vcpu, struct ioctl_call *call);

/* All but KVM_RUN: one at a time. */
static long locked(struct ioctl_call *call, void *arg)
{
	struct vcpu *vcpu = call->file->priv;
	long rc;

	(void)arg;
	pthread_mutex_lock(&vcpu->lock);
	rc = ((vcpu_fn)call->row->data)(vcpu, call);
	pthread_mutex_unlock(&vcpu->lock);
	return rc;
}

#define ROW(request, fn)                                                                                     \
	{                                                                                                    \
		.cmd = request, .name = #request, .row_flags = IOC_VALUE, .handler = locked,                 \
		.data = (const void *)fn                                                                     \
	}

/* What is called in a loop comes first. */
static const struct ioctl_row rows[] = {
	{ .cmd = KVM_RUN,
	  .name = "KVM_RUN",
	  .row_flags = IOC_VALUE,
	  .handler = vcpu_ioctl_run,
	  .describe = vcpu_describe_run },
	ROW(KVM_GET_REGS, vcpu_get_regs),
	ROW(KVM_SET_REGS, vcpu_set_regs),
	ROW(KVM_INTERRUPT, vcpu_interrupt),
	ROW(KVM_GET_SREGS, vcpu_get_sregs),
	ROW(KVM_SET_SREGS, vcpu_set_sregs),
	ROW(KVM_GET_FPU, vcpu_get_fpu),
	ROW(KVM_SET_FPU, vcpu_set_fpu),
	ROW(KVM_GET_XSAVE, vcpu_get_xsave),
	ROW(KVM_SET_XSAVE, vcpu_set_xsave),
	ROW(KVM_GET_XCRS, vcpu_get_xcrs),
	ROW(KVM_SET_XCRS, vcpu_set_xcrs),
	ROW(KVM_GET_MSRS, vcpu_get_msrs),
	ROW(KVM_SET_MSRS, vcpu_set_msrs),
	ROW(KVM_GET_CPUID2, vcpu_get_cpuid),
	ROW(KVM_SET_CPUID2, vcpu_set_cpuid),
	ROW(KVM_GET_DEBUGREGS, vcpu_get_debugregs),
	ROW(KVM_SET_DEBUGREGS, vcpu_set_debugregs),
	ROW(KVM_GET_VCPU_EVENTS, vcpu_get_events),
	ROW(KVM_SET_VCPU_EVENTS, vcpu_set_events),
	ROW(KVM_GET_MP_STATE, vcpu_get_mp_state),
	ROW(KVM_SET_MP_STATE, vcpu_set_mp_state),
	ROW(KVM_GET_LAPIC, vcpu_get_lapic),
	ROW(KVM_SET_LAPIC, vcpu_set_lapic),
	ROW(KVM_NMI, vcpu_nmi),
	ROW(KVM_SET_SIGNAL_MASK, vcpu_set_signal_mask),
	ROW(KVM_TRANSLATE, vcpu_translate),
	ROW(KVM_GET_TSC_KHZ, vcpu_tsc_khz),
	ROW(KVM_SET_TSC_KHZ, vcpu_tsc_khz),
};

static bool is_known(uint32_t cmd)
{
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		if (rows[i].cmd == cmd)
			return true;
	return false;
}

static long vcpu_ioctl(struct file *file, const struct caller *caller, uint32_t cmd, uint64_t arg)
{
	struct vcpu *vcpu = file->priv;
	int rc = kvm_check_mm(vcpu->base.kvm, caller);

	if (unlikely(rc))
		return rc;
	if (unlikely(!is_known(cmd)))
		return kvm_unknown_request(file, cmd, -EINVAL);
	return ioctl_dispatch(rows, ARRAY_SIZE(rows), file, caller, cmd, arg);
}

static int vcpu_mmap(struct file *file, struct mmap_plan *plan)
{
	struct vcpu *vcpu = file->priv;
	uint64_t end = plan->offset + plan->length, ring_at = 2 * UVFIO_PAGE_SIZE;
	int ring = kvm_coalesced_ring_fd(vcpu->base.kvm);

	if (ring < 0)
		return ring;
	if (plan->offset < ring_at)
		plan->segments[plan->nr++] = (struct mmap_segment){
			.length = MIN(end, ring_at) - plan->offset,
			.fd = vcpu->fd,
			.fd_offset = plan->offset,
		};
	if (end > ring_at && plan->offset < VCPU_MMAP_SIZE)
		plan->segments[plan->nr++] = (struct mmap_segment){
			.offset = MAX(plan->offset, ring_at) - plan->offset,
			.length = UVFIO_PAGE_SIZE,
			.fd = ring,
		};
	if (end > VCPU_MMAP_SIZE) { /* can be mapped, and behind the end of a file is SIGBUS */
		uint64_t from = MAX(plan->offset, VCPU_MMAP_SIZE);

		plan->segments[plan->nr++] = (struct mmap_segment){
			.offset = from - plan->offset,
			.length = end - from,
			.fd = vcpu->fd,
			.fd_offset = from,
		};
	}
	return 0;
}

/* ---- life */

static void vcpu_free(struct vcpu *vcpu)
{
	engine_free(vcpu->engine);
	if (vcpu->run)
		munmap(vcpu->run, 2 * UVFIO_PAGE_SIZE);
	private_fd_close(vcpu->fd);
	pthread_mutex_destroy(&vcpu->lock);
	pthread_mutex_destroy(&vcpu->running);
	free(vcpu);
}

static void vcpu_release(struct file *file)
{
	struct vcpu *vcpu = file->priv;

	vcpu_turn_leave(vcpu);
	kvm_vcpu_del(&vcpu->base);
	vcpu_free(vcpu);
}

static const struct file_ops vcpu_file_ops = {
	.name = "kvm-vcpu",
	.release = vcpu_release,
	.ioctl = vcpu_ioctl,
	.mmap = vcpu_mmap,
};

static int map_run(struct vcpu *vcpu)
{
	void *at;

	vcpu->fd = private_fd(memfd_create("kvm-vcpu", MFD_CLOEXEC));
	if (vcpu->fd < 0)
		return -EMFILE;
	if (ftruncate(vcpu->fd, 2 * UVFIO_PAGE_SIZE))
		return -ENOMEM;
	at = mmap(NULL, 2 * UVFIO_PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, vcpu->fd, 0);
	if (at == MAP_FAILED)
		return -ENOMEM;
	vcpu->run = at;
	return 0;
}

static int vcpu_new(struct kvm *kvm, uint32_t id, struct vcpu **out)
{
	const struct engine_fpu fpu = { .fcw = 0x37f, .mxcsr = 0x1f80 };
	struct vcpu *vcpu = calloc(1, sizeof(*vcpu));
	int rc;

	if (!vcpu)
		return -ENOMEM;
	vcpu->base = (struct kvm_vcpu){ .kvm = kvm, .id = id, .ops = &vcpu_ops };
	vcpu->fd = -1;
	pthread_mutex_init(&vcpu->lock, NULL);
	pthread_mutex_init(&vcpu->running, NULL);
	rc = map_run(vcpu);
	if (!rc)
		rc = engine_new(&vcpu_engine_ops, vcpu, &vcpu->engine);
	if (!rc)
		rc = kvm_vcpu_add(&vcpu->base);
	if (rc) {
		vcpu_free(vcpu);
		return rc;
	}
	vcpu_reset(vcpu);
	engine_set_fpu(vcpu->engine, &fpu); /* INIT leaves it as it is */
	rc = vcpu_turn_join(vcpu);
	if (rc) {
		kvm_vcpu_del(&vcpu->base);
		vcpu_free(vcpu);
		return rc;
	}
	*out = vcpu;
	return 0;
}

static long create(struct kvm *kvm, const struct caller *caller, uint32_t id)
{
	struct vcpu *vcpu;
	struct file *file;
	char name[48];
	int rc = vcpu_new(kvm, id, &vcpu);

	if (rc)
		return rc;
	snprintf(name, sizeof(name), "anon_inode:kvm-vcpu:%u", id);
	file = file_alloc(&vcpu_file_ops, vcpu, O_RDWR, name);
	if (!file) {
		vcpu_turn_leave(vcpu);
		kvm_vcpu_del(&vcpu->base);
		vcpu_free(vcpu);
		return -ENOMEM;
	}
	return caller->ops->install(caller, file, O_RDWR | O_CLOEXEC);
}

/* ---- the type */

#define SYSTEM_ROW(request, fn)                                                                              \
	{                                                                                                    \
		.cmd = request, .name = #request, .row_flags = IOC_VALUE, .handler = fn                      \
	}

static const struct ioctl_row system_rows[] = {
	SYSTEM_ROW(KVM_GET_SUPPORTED_CPUID, soft_get_supported_cpuid),
	SYSTEM_ROW(KVM_GET_EMULATED_CPUID, soft_get_supported_cpuid),
	SYSTEM_ROW(KVM_GET_MSR_INDEX_LIST, soft_get_msr_index_list),
	SYSTEM_ROW(KVM_GET_MSR_FEATURE_INDEX_LIST, soft_get_msr_index_list),
	SYSTEM_ROW(KVM_GET_MSRS, soft_get_feature_msrs),
};

/* Addresses in guest memory that only a processor without real mode needs: noted by nobody. */
static long ignore(struct ioctl_call *call, void *arg)
{
	(void)call;
	(void)arg;
	return 0;
}

static const struct ioctl_row vm_rows[] = {
	SYSTEM_ROW(KVM_SET_TSS_ADDR, ignore),
	SYSTEM_ROW(KVM_SET_IDENTITY_MAP_ADDR, ignore),
};

static long check_extension(uint32_t cap)
{
	switch (cap) {
	case KVM_CAP_HLT:
	case KVM_CAP_EXT_CPUID:
	case KVM_CAP_SET_TSS_ADDR:
	case KVM_CAP_SET_IDENTITY_MAP_ADDR:
	case KVM_CAP_USER_NMI:
	case KVM_CAP_MP_STATE:
	case KVM_CAP_VCPU_EVENTS:
	case KVM_CAP_DEBUGREGS:
	case KVM_CAP_XSAVE:
	case KVM_CAP_XCRS:
	case KVM_CAP_GET_TSC_KHZ:
	case KVM_CAP_IMMEDIATE_EXIT:
	case KVM_CAP_NOP_IO_DELAY:
		return 1;
	default:
		return 0;
	}
}

static const struct kvm_cpu_type soft_type = {
	.create = create,
	.mmap_size = VCPU_MMAP_SIZE,
	.system_rows = system_rows,
	.nr_system_rows = ARRAY_SIZE(system_rows),
	.vm_rows = vm_rows,
	.nr_vm_rows = ARRAY_SIZE(vm_rows),
	.check_extension = check_extension,
};

int soft_cpu_init(char *why, size_t len)
{
	int rc = engine_load(why, len);

	if (!rc)
		kvm_set_cpu_type(&soft_type);
	return rc;
}
