/* SPDX-License-Identifier: BSD-2-Clause */
/* Why KVM_RUN returned, for traces. */
#include "kvm/describe.h"
#include "kvm/vcpu.h"

#include <stdio.h>

static const char *const reasons[] = {
	[KVM_EXIT_UNKNOWN] = "UNKNOWN",
	[KVM_EXIT_IO] = "IO",
	[KVM_EXIT_HLT] = "HLT",
	[KVM_EXIT_MMIO] = "MMIO",
	[KVM_EXIT_IRQ_WINDOW_OPEN] = "IRQ_WINDOW_OPEN",
	[KVM_EXIT_SHUTDOWN] = "SHUTDOWN",
	[KVM_EXIT_FAIL_ENTRY] = "FAIL_ENTRY",
	[KVM_EXIT_INTR] = "INTR",
	[KVM_EXIT_INTERNAL_ERROR] = "INTERNAL_ERROR",
};

/* The structure is the program's, too: what is read may be anything. */
void vcpu_describe_run(const struct ioctl_call *call, const void *arg, char *buf, size_t len)
{
	const struct vcpu *vcpu = call->file->priv;
	const struct kvm_run *run = vcpu->run;
	uint32_t reason = run->exit_reason;

	(void)arg;
	if (call->rc)
		return;
	switch (reason) {
	case KVM_EXIT_IO:
		snprintf(buf, len, "exit=IO %s port=0x%x size=%u count=%u",
			 run->io.direction == KVM_EXIT_IO_OUT ? "OUT" : "IN", run->io.port, run->io.size,
			 run->io.count);
		break;
	case KVM_EXIT_MMIO:
		snprintf(buf, len, "exit=MMIO %s gpa=0x%llx len=%u", run->mmio.is_write ? "WRITE" : "READ",
			 run->mmio.phys_addr, run->mmio.len);
		break;
	case KVM_EXIT_INTERNAL_ERROR:
		snprintf(buf, len, "exit=INTERNAL_ERROR suberror=%u", run->internal.suberror);
		break;
	default:
		if (reason < ARRAY_SIZE(reasons) && reasons[reason])
			snprintf(buf, len, "exit=%s", reasons[reason]);
		else
			snprintf(buf, len, "exit=%u", reason);
	}
}
