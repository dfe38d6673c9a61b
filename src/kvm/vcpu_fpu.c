/* SPDX-License-Identifier: BSD-2-Clause */
/* Floating point and vector registers, in the three forms that programs ask for. */
#include "base/why.h"
#include "kvm/vcpu.h"

#include <stdlib.h>
#include <string.h>

#define XSTATE_LEGACY 3 /* x87 and SSE */
#define MXCSR_MASK    0xffff

long vcpu_get_fpu(struct vcpu *vcpu, struct ioctl_call *call)
{
	struct engine_fpu state;
	struct kvm_fpu fpu = { 0 };

	vcpu_finish_store(vcpu);
	engine_get_fpu(vcpu->engine, &state);
	memcpy(fpu.fpr, state.st, sizeof(fpu.fpr));
	memcpy(fpu.xmm, state.xmm, sizeof(fpu.xmm));
	fpu.fcw = state.fcw;
	fpu.fsw = state.fsw;
	fpu.ftwx = state.tags;
	fpu.last_opcode = state.fop;
	fpu.last_ip = state.fip;
	fpu.last_dp = state.fdp;
	fpu.mxcsr = state.mxcsr;
	return vcpu_copy_out(call, &fpu, sizeof(fpu));
}

long vcpu_set_fpu(struct vcpu *vcpu, struct ioctl_call *call)
{
	struct engine_fpu state = { 0 };
	struct kvm_fpu fpu;
	long rc = vcpu_copy_in(call, &fpu, sizeof(fpu));

	if (rc)
		return rc;
	memcpy(state.st, fpu.fpr, sizeof(fpu.fpr));
	memcpy(state.xmm, fpu.xmm, sizeof(fpu.xmm));
	state.fcw = fpu.fcw;
	state.fsw = fpu.fsw;
	state.tags = fpu.ftwx;
	state.fop = fpu.last_opcode;
	state.fip = fpu.last_ip;
	state.fdp = fpu.last_dp;
	state.mxcsr = fpu.mxcsr & MXCSR_MASK;
	vcpu_finish_store(vcpu);
	engine_set_fpu(vcpu->engine, &state);
	return 0;
}

/* FXSAVE's form in long mode, and behind it XSAVE's header. */
struct fxsave {
	uint16_t fcw, fsw;
	uint8_t tags, reserved;
	uint16_t fop;
	uint64_t fip, fdp;
	uint32_t mxcsr, mxcsr_mask;
	uint8_t st[8][16], xmm[16][16];
	uint8_t unused[96];
	uint64_t xstate_bv, xcomp_bv;
};

long vcpu_get_xsave(struct vcpu *vcpu, struct ioctl_call *call)
{
	struct kvm_xsave *xsave = calloc(1, sizeof(*xsave));
	struct engine_fpu state;
	struct fxsave *fx;
	long rc;

	if (!xsave)
		return -ENOMEM;
	fx = (struct fxsave *)(void *)xsave->region;
	vcpu_finish_store(vcpu);
	engine_get_fpu(vcpu->engine, &state);
	fx->fcw = state.fcw;
	fx->fsw = state.fsw;
	fx->tags = state.tags;
	fx->fop = state.fop;
	fx->fip = state.fip;
	fx->fdp = state.fdp;
	fx->mxcsr = state.mxcsr;
	fx->mxcsr_mask = MXCSR_MASK;
	memcpy(fx->st, state.st, sizeof(fx->st));
	memcpy(fx->xmm, state.xmm, sizeof(fx->xmm));
	fx->xstate_bv = XSTATE_LEGACY;
	rc = vcpu_copy_out(call, xsave, sizeof(*xsave));
	free(xsave);
	return rc;
}

/* A part that XSTATE_BV has not is as after a reset. */
static void take_xsave(const struct fxsave *fx, struct engine_fpu *state)
{
	state->fcw = 0x37f;
	state->mxcsr = fx->mxcsr;
	if (fx->xstate_bv & 1) {
		state->fcw = fx->fcw;
		state->fsw = fx->fsw;
		state->tags = fx->tags;
		state->fop = fx->fop;
		state->fip = fx->fip;
		state->fdp = fx->fdp;
		memcpy(state->st, fx->st, sizeof(fx->st));
	}
	if (fx->xstate_bv & 2)
		memcpy(state->xmm, fx->xmm, sizeof(fx->xmm));
}

long vcpu_set_xsave(struct vcpu *vcpu, struct ioctl_call *call)
{
	struct engine_fpu state = { 0 };
	struct fxsave fx;
	long rc = vcpu_copy_in(call, &fx, sizeof(fx));

	if (rc)
		return rc;
	if ((fx.xstate_bv & ~(uint64_t)XSTATE_LEGACY) || (fx.mxcsr & ~(uint32_t)MXCSR_MASK))
		return WHY(-EINVAL, "a software vCPU has x87 and SSE registers");
	take_xsave(&fx, &state);
	vcpu_finish_store(vcpu);
	engine_set_fpu(vcpu->engine, &state);
	return 0;
}

long vcpu_get_xcrs(struct vcpu *vcpu, struct ioctl_call *call)
{
	struct kvm_xcrs xcrs = { .nr_xcrs = 1, .xcrs = { { .xcr = 0, .value = 1 } } };

	(void)vcpu;
	return vcpu_copy_out(call, &xcrs, sizeof(xcrs));
}

long vcpu_set_xcrs(struct vcpu *vcpu, struct ioctl_call *call)
{
	struct kvm_xcrs xcrs;
	long rc = vcpu_copy_in(call, &xcrs, sizeof(xcrs));

	(void)vcpu;
	if (rc)
		return rc;
	if (xcrs.nr_xcrs > KVM_MAX_XCRS || xcrs.flags)
		return WHY(-EINVAL, "%d registers, without flags", KVM_MAX_XCRS);
	for (uint32_t i = 0; i < xcrs.nr_xcrs; i++)
		if (xcrs.xcrs[i].xcr == 0 && xcrs.xcrs[i].value != 1)
			return WHY(-EINVAL, "XCR0 is 1: a software vCPU has no XSAVE");
	return 0;
}
