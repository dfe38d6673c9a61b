/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Port and memory-mapped accesses of guest code: the VM's buses first, then the program.
 *
 * The log has what the current instruction has accessed so far: an access is of the same instruction as the
 * one before it when it comes from a later place of the same instruction's code, in the same block. Accesses
 * to ports are the only ones of their instruction, and are in the log only while the program answers them.
 */
#include "kvm/vcpu.h"

#include <string.h>

#define RCX         1
#define RFLAGS_TF   BIT64(8)
#define INHIBIT_IRQ BIT32(3) /* of hflags */

/* The beginning of the run structure: a signal handler or another thread may write it at any time. */
#define WRITTEN_BY_PROGRAM offsetof(struct kvm_run, exit_reason)

static void *port_data(struct vcpu *vcpu)
{
	return (char *)vcpu->run + UVFIO_PAGE_SIZE;
}

/* The access has been made already, and is being repeated. */
static bool replay(struct vcpu *vcpu, bool port, bool write, uint64_t address, unsigned int size,
		   uint64_t *value, uintptr_t place)
{
	struct vcpu_access *access = &vcpu->log[vcpu->replayed];

	if (likely(!vcpu->replaying))
		return false;
	if (access->port != port || access->write != write || access->address != address ||
	    access->size != size) {
		/* the program has changed what the instruction does */
		vcpu->replaying = false;
		vcpu->nr_log = 0;
		engine_want(vcpu->engine);
		return false;
	}
	access->place = place;
	vcpu->block = engine_blocks(vcpu->engine);
	if (!write)
		*value = access->value;
	if (++vcpu->replayed == vcpu->nr_log) {
		vcpu->replaying = false;
		if (vcpu->irq_put_off)
			engine_want(vcpu->engine);
		vcpu->irq_put_off = false;
	}
	return true;
}

/* The pieces of an access that is not aligned come from one place, as do the many accesses of an FXSAVE. A
 * block has no loops: a repeated instruction begins another one each time. */
static bool is_next_piece(const struct vcpu *vcpu, uintptr_t place)
{
	return vcpu->nr_log && !vcpu->log[vcpu->nr_log - 1].port &&
	       vcpu->log[vcpu->nr_log - 1].place == place;
}

static void note(struct vcpu *vcpu, bool port, bool write, uint64_t address, unsigned int size,
		 uint64_t value, uintptr_t place)
{
	if (vcpu->nr_log && place < vcpu->log[vcpu->nr_log - 1].place)
		vcpu->nr_log = 0;
	if (vcpu->nr_log == VCPU_LOG)
		vcpu->nr_log = 0;
	vcpu->log[vcpu->nr_log++] = (struct vcpu_access){
		.write = write,
		.port = port,
		.size = (uint8_t)size,
		.address = address,
		.value = value,
		.place = place,
	};
}

/* Forget what is of other instructions than the one at place. */
static void keep_this_instruction(struct vcpu *vcpu, uintptr_t place)
{
	uint64_t rip = engine_rip_of(vcpu->engine, place);
	uintptr_t end = place + is_next_piece(vcpu, place); /* of places that may be of it */
	unsigned int first = vcpu->nr_log;

	while (first && !vcpu->log[first - 1].port && vcpu->log[first - 1].place < end &&
	       engine_rip_of(vcpu->engine, vcpu->log[first - 1].place) == rip)
		end = vcpu->log[--first].place + 1;
	vcpu->nr_log -= first;
	memmove(vcpu->log, vcpu->log + first, vcpu->nr_log * sizeof(vcpu->log[0]));
	engine_rip_of(vcpu->engine, place);
}

static enum engine_io ask_program(struct vcpu *vcpu, bool port, bool write, uint64_t address,
				  unsigned int size, uint64_t value, uintptr_t place)
{
	struct kvm_run *run = vcpu->run;

	if (port) {
		vcpu->nr_log = 0;
		run->exit_reason = KVM_EXIT_IO;
		run->io.direction = write ? KVM_EXIT_IO_OUT : KVM_EXIT_IO_IN;
		run->io.size = (uint8_t)size;
		run->io.port = (uint16_t)address;
		run->io.count = 1;
		run->io.data_offset = UVFIO_PAGE_SIZE;
		if (write)
			memcpy(port_data(vcpu), &value, size);
	} else {
		keep_this_instruction(vcpu, place);
		run->exit_reason = KVM_EXIT_MMIO;
		run->mmio.phys_addr = address;
		run->mmio.len = size;
		run->mmio.is_write = write;
		memset(run->mmio.data, 0, sizeof(run->mmio.data));
		if (write)
			memcpy(run->mmio.data, &value, size);
	}
	note(vcpu, port, write, address, size, value, place);
	vcpu->pending = true;
	return ENGINE_LEAVE;
}

/* How long the instruction at RIP is, when it is an IN or an OUT. 0: it is another, or cannot be read. */
static unsigned int port_instruction_length(struct vcpu *vcpu)
{
	const struct engine_state *state = engine_state(vcpu->engine);
	uint64_t at = state->segs[ENGINE_CS].base + state->rip, gpa;
	uint8_t code[4];
	unsigned int i;

	if ((at & UVFIO_PAGE_MASK) > UVFIO_PAGE_SIZE - sizeof(code) ||
	    !engine_translate(vcpu->engine, at, &gpa) ||
	    kvm_read_guest(vcpu->base.kvm, gpa, code, sizeof(code)))
		return 0;
	i = code[0] == 0x66;
	switch (code[i]) {
	case 0xe4 ... 0xe7:
		return i + 2;
	case 0xec ... 0xef:
		return i + 1;
	default:
		return 0;
	}
}

/* Most accesses to ports need not be executed again. */
static bool finish_port(struct vcpu *vcpu, const struct vcpu_access *access)
{
	struct engine_state *state = engine_state(vcpu->engine);
	unsigned int len = access->port ? port_instruction_length(vcpu) : 0;

	if (!len)
		return false;
	if (!access->write && access->size == 4)
		state->regs[0] = (uint32_t)access->value;
	else if (!access->write)
		memcpy(&state->regs[0], &access->value, access->size);
	state->rip += len;
	state->hflags &= ~INHIBIT_IRQ;
	vcpu->nr_log = 0;
	vcpu->pending = false;
	return true;
}

void vcpu_finish_out(struct vcpu *vcpu)
{
	if (vcpu->pending && vcpu->log[vcpu->nr_log - 1].write)
		finish_port(vcpu, &vcpu->log[vcpu->nr_log - 1]);
}

void vcpu_take_answer(struct vcpu *vcpu)
{
	struct vcpu_access *access;

	if (!vcpu->pending)
		return;
	access = &vcpu->log[vcpu->nr_log - 1];
	vcpu->pending = false;
	if (engine_state(vcpu->engine)->rip != vcpu->pending_rip) {
		vcpu->nr_log = 0;
		return;
	}
	if (!access->write) {
		access->value = 0;
		memcpy(&access->value, access->port ? port_data(vcpu) : (void *)vcpu->run->mmio.data,
		       access->size);
	}
	vcpu->replaying = !finish_port(vcpu, access);
	vcpu->replayed = 0;
}

/* The instruction may have more accesses that the program is to be asked about: then RIP stays where it is.
 */
void vcpu_finish_store(struct vcpu *vcpu)
{
	struct engine_state *state = engine_state(vcpu->engine);
	uint64_t rip = state->rip, rcx = state->regs[RCX], data;
	struct kvm_run saved;
	bool port;

	if (!vcpu->pending || !vcpu->log[vcpu->nr_log - 1].write || (state->rflags & RFLAGS_TF))
		return;
	port = vcpu->log[vcpu->nr_log - 1].port;
	memcpy(&saved, vcpu->run, sizeof(saved));
	memcpy(&data, port_data(vcpu), sizeof(data));
	vcpu_take_answer(vcpu);
	if (!vcpu_step(vcpu)) {
		vcpu->nr_log--; /* it is asked about again */
		vcpu->replaying = vcpu->nr_log;
		vcpu->replayed = 0;
	} else if (port && state->regs[RCX] != rcx) {
		state->rip = rip; /* a repeated instruction's end is seen when it is executed once more */
	}
	vcpu->pending = false;
	memcpy(&vcpu->run->exit_reason, &saved.exit_reason, sizeof(saved) - WRITTEN_BY_PROGRAM);
	memcpy(port_data(vcpu), &data, sizeof(data));
}

enum engine_io vcpu_out(void *arg, uint16_t port, unsigned int size, uint32_t value)
{
	struct vcpu *vcpu = arg;
	uint64_t wide = value;

	if (unlikely(vcpu->replaying) && replay(vcpu, true, true, port, size, &wide, 0))
		return ENGINE_DONE;
	if (!kvm_io_bus_write(vcpu->base.kvm, &vcpu->base, KVM_PIO_BUS, port, size, &value))
		return ENGINE_DONE;
	return ask_program(vcpu, true, true, port, size, value, 0);
}

enum engine_io vcpu_in(void *arg, uint16_t port, unsigned int size, uint32_t *value)
{
	struct vcpu *vcpu = arg;
	uint64_t wide = 0;

	*value = 0;
	if (replay(vcpu, true, false, port, size, &wide, 0)) {
		*value = (uint32_t)wide;
		return ENGINE_DONE;
	}
	if (!kvm_io_bus_read(vcpu->base.kvm, &vcpu->base, KVM_PIO_BUS, port, size, value))
		return ENGINE_DONE;
	return ask_program(vcpu, true, false, port, size, 0, 0);
}

/* Another block is another instruction, or the same one once more. */
static void forget_other_blocks(struct vcpu *vcpu)
{
	uint64_t block = engine_blocks(vcpu->engine);

	if (vcpu->block != block)
		vcpu->nr_log = 0;
	vcpu->block = block;
}

static enum engine_io memory_access(struct vcpu *vcpu, bool write, uint64_t gpa, unsigned int size,
				    uint64_t *value, uintptr_t place)
{
	if (unlikely(vcpu->replaying) && replay(vcpu, false, write, gpa, size, value, place))
		return ENGINE_DONE;
	forget_other_blocks(vcpu);
	if (kvm_io(vcpu->base.kvm, &vcpu->base, KVM_MMIO_BUS, write, gpa, size, value) != size)
		return ask_program(vcpu, false, write, gpa, size, *value, place);
	note(vcpu, false, write, gpa, size, *value, place);
	return ENGINE_DONE;
}

enum engine_io vcpu_read(void *arg, uint64_t gpa, unsigned int size, uint64_t *value, uintptr_t place)
{
	*value = 0;
	return memory_access(arg, false, gpa, size, value, place);
}

enum engine_io vcpu_write(void *arg, uint64_t gpa, unsigned int size, uint64_t value, uintptr_t place)
{
	return memory_access(arg, true, gpa, size, &value, place);
}
