/* SPDX-License-Identifier: BSD-2-Clause */
/* Registers of a processor that are not in struct engine_state. */
#include "kvm/engine_impl.h"

#include <string.h>

#define LIB engine_library

uint64_t engine_msr(struct engine *engine, uint32_t number)
{
	uc_x86_msr msr = { .rid = number };

	LIB.uc_reg_read(engine->uc, UC_X86_REG_MSR, &msr);
	return msr.value;
}

void engine_set_msr(struct engine *engine, uint32_t number, uint64_t value)
{
	uc_x86_msr msr = { .rid = number, .value = value };

	LIB.uc_reg_write(engine->uc, UC_X86_REG_MSR, &msr);
}

uint64_t engine_efer(const struct engine *engine)
{
	uint64_t efer;

	memcpy(&efer, (const char *)engine->state + LIB.efer, sizeof(efer));
	return efer;
}

void engine_set_efer(struct engine *engine, uint64_t efer)
{
	memcpy((char *)engine->state + LIB.efer, &efer, sizeof(efer));
}

uint64_t engine_debug_register(struct engine *engine, unsigned int n)
{
	uint64_t value = 0;

	LIB.uc_reg_read(engine->uc, UC_X86_REG_DR0 + (int)n, &value);
	return value;
}

void engine_set_debug_register(struct engine *engine, unsigned int n, uint64_t value)
{
	struct engine *outer = engine_running;

	engine_running = engine; /* for engine_patch.c */
	LIB.uc_reg_write(engine->uc, UC_X86_REG_DR0 + (int)n, &value);
	engine_running = outer;
}

void engine_get_fpu(struct engine *engine, struct engine_fpu *fpu)
{
	uint16_t tags = 0xffff;

	memset(fpu, 0, sizeof(*fpu));
	for (int i = 0; i < 8; i++)
		LIB.uc_reg_read(engine->uc, UC_X86_REG_ST0 + i, fpu->st[i]);
	for (int i = 0; i < 16; i++)
		LIB.uc_reg_read(engine->uc, UC_X86_REG_XMM0 + i, fpu->xmm[i]);
	LIB.uc_reg_read(engine->uc, UC_X86_REG_FPCW, &fpu->fcw);
	LIB.uc_reg_read(engine->uc, UC_X86_REG_FPSW, &fpu->fsw);
	LIB.uc_reg_read(engine->uc, UC_X86_REG_FPTAG, &tags);
	LIB.uc_reg_read(engine->uc, UC_X86_REG_MXCSR, &fpu->mxcsr);
	for (unsigned int i = 0; i < 8; i++)
		if (((tags >> (2 * i)) & 3) != 3)
			fpu->tags |= (uint8_t)(1 << i);
	LIB.uc_reg_read(engine->uc, UC_X86_REG_FOP, &fpu->fop);
	LIB.uc_reg_read(engine->uc, UC_X86_REG_FIP, &fpu->fip);
	LIB.uc_reg_read(engine->uc, UC_X86_REG_FDP, &fpu->fdp);
}

void engine_set_fpu(struct engine *engine, const struct engine_fpu *fpu)
{
	uint16_t tags = 0;

	for (unsigned int i = 0; i < 8; i++)
		if (!(fpu->tags & (1 << i)))
			tags |= (uint16_t)(3 << (2 * i));
	LIB.uc_reg_write(engine->uc, UC_X86_REG_FPCW, &fpu->fcw);
	LIB.uc_reg_write(engine->uc, UC_X86_REG_FPSW, &fpu->fsw);
	LIB.uc_reg_write(engine->uc, UC_X86_REG_FPTAG, &tags);
	LIB.uc_reg_write(engine->uc, UC_X86_REG_MXCSR, &fpu->mxcsr);
	LIB.uc_reg_write(engine->uc, UC_X86_REG_FOP, &fpu->fop);
	LIB.uc_reg_write(engine->uc, UC_X86_REG_FIP, &fpu->fip);
	LIB.uc_reg_write(engine->uc, UC_X86_REG_FDP, &fpu->fdp);
	for (int i = 0; i < 8; i++)
		LIB.uc_reg_write(engine->uc, UC_X86_REG_ST0 + i, fpu->st[i]);
	for (int i = 0; i < 16; i++)
		LIB.uc_reg_write(engine->uc, UC_X86_REG_XMM0 + i, fpu->xmm[i]);
}
