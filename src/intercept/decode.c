/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * From bytes to struct insn, with the Zydis library.
 *
 * The library is loaded when the first trapped mapping is made, not linked: a program that maps no register
 * page does not need it. Its decoder allocates nothing, so that it may run in a signal handler. What it said
 * is kept in a cache by address (decode_cache.c); most programs touch registers from a handful of places.
 */
#include "intercept/decode_impl.h"

#include "base/fault.h"
#include "base/log.h"

#include <Zydis/Zydis.h>
#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

static struct {
	ZydisDecoder decoder;
	__typeof__(ZydisDecoderInit) *init;
	__typeof__(ZydisDecoderDecodeFull) *decode;
	__typeof__(ZydisMnemonicGetString) *name;
} zydis;

static atomic_bool ready;

static void *open_library(void)
{
	static const char *const names[] = { "libZydis.so.4.0", "libZydis.so.4", "libZydis.so.4.1" };
	void *handle = NULL;

	for (unsigned int i = 0; !handle && i < ARRAY_SIZE(names); i++)
		handle = dlopen(names[i], RTLD_NOW | RTLD_LOCAL);
	return handle;
}

static void load(void)
{
	void *handle = open_library();

	if (handle) {
		*(void **)&zydis.init = dlsym(handle, "ZydisDecoderInit");
		*(void **)&zydis.decode = dlsym(handle, "ZydisDecoderDecodeFull");
		*(void **)&zydis.name = dlsym(handle, "ZydisMnemonicGetString");
	}
	if (!zydis.init || !zydis.decode || !zydis.name ||
	    ZYAN_FAILED(zydis.init(&zydis.decoder, ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64))) {
		uvfio_err("mapped registers need libZydis.so.4.0 (Debian: libzydis4.0), which cannot be "
			  "loaded: "
			  "mmap() of a BAR fails");
		return;
	}
	vector_init();
	atomic_store_explicit(&ready, true, memory_order_release);
}

int decode_init(void)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;

	pthread_once(&once, load);
	return atomic_load_explicit(&ready, memory_order_acquire) ? 0 : -ENOSYS;
}

static uint8_t between(ZydisRegister reg, ZydisRegister first, ZydisRegister last)
{
	return reg >= first && reg <= last ? (uint8_t)(reg - first) : INSN_NO_REG;
}

/* The number of a general register, with *high for ah, ch, dh, bh. */
static uint8_t general_register(ZydisRegister reg, bool *high)
{
	uint8_t n = between(reg, ZYDIS_REGISTER_RAX, ZYDIS_REGISTER_R15);

	*high = false;
	if (n == INSN_NO_REG)
		n = between(reg, ZYDIS_REGISTER_EAX, ZYDIS_REGISTER_R15D);
	if (n == INSN_NO_REG)
		n = between(reg, ZYDIS_REGISTER_AX, ZYDIS_REGISTER_R15W);
	if (n != INSN_NO_REG)
		return n;
	n = between(reg, ZYDIS_REGISTER_AH, ZYDIS_REGISTER_BH);
	if (n != INSN_NO_REG) {
		*high = true;
		return n;
	}
	/* al cl dl bl, (ah ch dh bh), spl bpl sil dil r8b...: the four high ones stand between */
	n = between(reg, ZYDIS_REGISTER_AL, ZYDIS_REGISTER_BL);
	if (n != INSN_NO_REG)
		return n;
	n = between(reg, ZYDIS_REGISTER_SPL, ZYDIS_REGISTER_R15B);
	return n == INSN_NO_REG ? n : (uint8_t)(n + 4);
}

uint8_t decode_vector_register(ZydisRegister reg)
{
	uint8_t n = between(reg, ZYDIS_REGISTER_XMM0, ZYDIS_REGISTER_XMM31);

	if (n == INSN_NO_REG)
		n = between(reg, ZYDIS_REGISTER_YMM0, ZYDIS_REGISTER_YMM31);
	if (n == INSN_NO_REG)
		n = between(reg, ZYDIS_REGISTER_ZMM0, ZYDIS_REGISTER_ZMM31);
	return n;
}

static bool set_memory(const ZydisDecodedInstruction *zi, const ZydisDecodedOperand *mem, struct insn *insn)
{
	bool high;

	insn->width = (uint8_t)(mem->size / 8);
	insn->base = insn->index = INSN_NO_REG;
	insn->address32 = zi->address_width == 32;
	if (mem->mem.segment == ZYDIS_REGISTER_FS)
		insn->segment = 'f';
	if (mem->mem.segment == ZYDIS_REGISTER_GS)
		insn->segment = 'g';
	if (mem->mem.base == ZYDIS_REGISTER_RIP || mem->mem.base == ZYDIS_REGISTER_EIP)
		insn->base = INSN_RIP;
	else if (mem->mem.base != ZYDIS_REGISTER_NONE)
		insn->base = general_register(mem->mem.base, &high);
	if (mem->mem.index != ZYDIS_REGISTER_NONE) {
		insn->index = general_register(mem->mem.index, &high);
		if (insn->index == INSN_NO_REG)
			return false; /* gather, scatter */
	}
	insn->scale = mem->mem.scale;
	insn->disp = mem->mem.disp.has_displacement ? mem->mem.disp.value : 0;
	return mem->mem.type == ZYDIS_MEMOP_TYPE_MEM && mem->size / 8 <= 64;
}

/* The other operand of an integer instruction. */
static bool set_other(const ZydisDecodedOperand *op, struct insn *insn)
{
	bool high = false;

	insn->reg = insn->reg2 = INSN_NO_REG;
	if (!op)
		return true;
	if (op->type == ZYDIS_OPERAND_TYPE_IMMEDIATE) {
		insn->imm = op->imm.value.s;
		return true;
	}
	if (op->type != ZYDIS_OPERAND_TYPE_REGISTER)
		return false;
	insn->reg = general_register(op->reg.value, &high);
	insn->reg_width = (uint8_t)(op->size / 8);
	insn->high = high;
	return insn->reg != INSN_NO_REG;
}

static bool translate(const ZydisDecodedInstruction *zi, const ZydisDecodedOperand *ops, struct insn *insn)
{
	const ZydisDecodedOperand *mem = NULL, *other = NULL;
	unsigned int at = 0;

	memset(insn, 0, sizeof(*insn));
	insn->length = zi->length;
	insn->op = INSN_UNKNOWN;
	if (decode_string(zi, ops, insn))
		return true;
	for (unsigned int i = 0; i < zi->operand_count_visible; i++) {
		if (ops[i].type == ZYDIS_OPERAND_TYPE_MEMORY && !mem) {
			mem = &ops[i];
			at = i;
		} else if (!other) {
			other = &ops[i];
		}
	}
	if (!mem || !set_memory(zi, mem, insn))
		return false;
	if (decode_vector(zi, ops, at, insn))
		return true;
	insn->to_memory = at == 0;
	return set_other(other, insn) && decode_integer(zi, ops, insn);
}

/* The bytes at ip, as many as there are, at most max. */
static unsigned int fetch(uint64_t ip, uint8_t *bytes, unsigned int max)
{
	unsigned int first = (unsigned int)MIN(max, UVFIO_PAGE_SIZE - (ip & UVFIO_PAGE_MASK));

	if (copy_nofault(bytes, (const void *)(uintptr_t)ip, first))
		return 0;
	if (first < max && !copy_nofault(bytes + first, (const void *)(uintptr_t)(ip + first), max - first))
		return max;
	return first;
}

static void describe(const uint8_t *bytes, unsigned int n, const char *name, char *text, size_t len)
{
	size_t at = 0;

	for (unsigned int i = 0; i < n && at + 3 < len; i++)
		at += (size_t)snprintf(text + at, len - at, "%02x", bytes[i]);
	snprintf(text + at, len - at, "%s%s", n ? " " : "", name);
}

bool decode(uint64_t ip, struct insn *insn, char *unknown, size_t len)
{
	uint8_t bytes[ZYDIS_MAX_INSTRUCTION_LENGTH];
	ZydisDecodedInstruction zi;
	ZydisDecodedOperand ops[ZYDIS_MAX_OPERAND_COUNT];
	unsigned int n;

	if (decode_cache_find(ip, insn))
		return true;
	n = fetch(ip, bytes, sizeof(bytes));
	if (ZYAN_FAILED(zydis.decode(&zydis.decoder, bytes, n, &zi, ops))) {
		describe(bytes, n, "(no instruction)", unknown, len);
		return false;
	}
	if (!translate(&zi, ops, insn)) {
		describe(bytes, zi.length, zydis.name(zi.mnemonic), unknown, len);
		return false;
	}
	decode_cache_add(ip, bytes, insn);
	return true;
}
