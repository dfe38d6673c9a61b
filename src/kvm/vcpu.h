/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A software vCPU: what its files share.
 *
 * Its registers are the engine's. lock is held by every ioctl of the vCPU, KVM_RUN for all of its time;
 * running is held, inside lock, while guest code may use memory, and by who changes memory slots (who holds
 * slots_lock then: no vCPU takes that with running held). What a signal handler or another thread may touch
 * is atomic.
 *
 * An instruction that needs the program does not happen: KVM_RUN returns with RIP at it, and the next KVM_RUN
 * executes it again. Accesses that it has made already are in a log, with what they read, and are not made
 * a second time; the one that the program has answered is the last of them.
 */
#ifndef UVFIO_KVM_VCPU_H
#define UVFIO_KVM_VCPU_H

#include "file/ioctl.h"
#include "kvm/engine.h"
#include "kvm/kvm.h"

#define VCPU_MMAP_SIZE (3 * UVFIO_PAGE_SIZE) /* run structure, data of port accesses, coalesced ring */
#define VCPU_CPUID_MAX 256
#define VCPU_LOG       128

struct vcpu_access {
	bool write, port;
	uint8_t size;
	uint64_t address, value;
	uintptr_t place; /* the engine's; 0: ports */
};

struct vcpu_turn;

struct vcpu {
	struct kvm_vcpu base;
	pthread_mutex_t lock, running;
	struct engine *engine;
	struct kvm_run *run; /* the first two pages, shared with the program */
	int fd;
	struct vcpu_turn *turn;

	/* memory */
	uint64_t slots_seen;
	bool slots_known;
	atomic_bool forget; /* what is known of pages */

	/* accesses of the instruction at which the last run ended, or that is being executed */
	struct vcpu_access log[VCPU_LOG];
	unsigned int nr_log, replayed;
	uint64_t block; /* of code, that the log is of */
	bool replaying, pending;
	uint64_t pending_rip; /* when the program was asked last */

	/* interrupts */
	int irq;          /* to be taken next, by KVM_INTERRUPT without interrupt controllers; -1: none */
	int extint;       /* when interrupts are enabled, by KVM_INTERRUPT with local APICs only; -1: none */
	bool irq_put_off; /* until the instruction that is executed again is over */
	bool nmi_pending;
	enum { INJECTED_NOTHING, INJECTED_EXCEPTION, INJECTED_IRQ, INJECTED_NMI } injected;
	int exception; /* to be raised, -1: none */
	int64_t exception_error;
	uint32_t mp_state;
	atomic_bool interrupted;
	_Atomic uint32_t wake;  /* a futex: counts what a halted vCPU may wake for */
	_Atomic uint32_t asked; /* INIT, and a start-up vector, from another vCPU */

	bool has_mask;
	uint64_t mask;

	struct kvm_cpuid_entry2 cpuid[VCPU_CPUID_MAX];
	uint32_t nr_cpuid;
	uint64_t apic_base, cr8; /* without a local APIC */
};

static inline struct vcpu *to_vcpu(struct kvm_vcpu *base)
{
	return container_of(base, struct vcpu, base);
}

/* vcpu_run.c */
long vcpu_ioctl_run(struct ioctl_call *call, void *arg);
extern const struct engine_ops vcpu_engine_ops;
extern const struct kvm_vcpu_ops vcpu_ops;
void vcpu_wake(struct vcpu *vcpu);
bool vcpu_step(struct vcpu *vcpu); /* execute one instruction; false: it needs the program */

/* vcpu_io.c: lock is held. */
enum engine_io vcpu_out(void *arg, uint16_t port, unsigned int size, uint32_t value);
enum engine_io vcpu_in(void *arg, uint16_t port, unsigned int size, uint32_t *value);
enum engine_io vcpu_read(void *arg, uint64_t gpa, unsigned int size, uint64_t *value, uintptr_t place);
enum engine_io vcpu_write(void *arg, uint64_t gpa, unsigned int size, uint64_t value, uintptr_t place);
void vcpu_take_answer(struct vcpu *vcpu); /* what the program has put into the run structure */
void vcpu_finish_out(struct vcpu *vcpu);  /* an OUT that the program has been told of has happened */
/* A store that the program has been told of has happened: RIP is to be behind it when somebody looks. */
void vcpu_finish_store(struct vcpu *vcpu);

/* vcpu_memory.c */
int vcpu_update_memory(struct vcpu *vcpu); /* 0, -EFAULT (more slots than can be) */
void vcpu_dirty(void *arg, uint64_t gpa);
void vcpu_slots_stop(struct kvm_vcpu *base);
void vcpu_slots_changed(struct kvm_vcpu *base);

/* vcpu_turn.c: vCPUs of one VM execute guest code in turns, so that locked instructions are. */
int vcpu_turn_join(struct vcpu *vcpu);
void vcpu_turn_leave(struct vcpu *vcpu);
void vcpu_turn_take(struct vcpu *vcpu);
void vcpu_turn_give(struct vcpu *vcpu);

/* vcpu_regs.c, vcpu_fpu.c, vcpu_msrs.c, vcpu_events.c, vcpu_cpuid.c: lock is held by vcpu.c */
long vcpu_get_regs(struct vcpu *vcpu, struct ioctl_call *call);
long vcpu_set_regs(struct vcpu *vcpu, struct ioctl_call *call);
long vcpu_get_sregs(struct vcpu *vcpu, struct ioctl_call *call);
long vcpu_set_sregs(struct vcpu *vcpu, struct ioctl_call *call);
long vcpu_get_fpu(struct vcpu *vcpu, struct ioctl_call *call);
long vcpu_set_fpu(struct vcpu *vcpu, struct ioctl_call *call);
long vcpu_get_xsave(struct vcpu *vcpu, struct ioctl_call *call);
long vcpu_set_xsave(struct vcpu *vcpu, struct ioctl_call *call);
long vcpu_get_xcrs(struct vcpu *vcpu, struct ioctl_call *call);
long vcpu_set_xcrs(struct vcpu *vcpu, struct ioctl_call *call);
long vcpu_get_msrs(struct vcpu *vcpu, struct ioctl_call *call);
long vcpu_set_msrs(struct vcpu *vcpu, struct ioctl_call *call);
long vcpu_get_debugregs(struct vcpu *vcpu, struct ioctl_call *call);
long vcpu_set_debugregs(struct vcpu *vcpu, struct ioctl_call *call);
long vcpu_get_events(struct vcpu *vcpu, struct ioctl_call *call);
long vcpu_set_events(struct vcpu *vcpu, struct ioctl_call *call);
long vcpu_get_mp_state(struct vcpu *vcpu, struct ioctl_call *call);
long vcpu_set_mp_state(struct vcpu *vcpu, struct ioctl_call *call);
long vcpu_interrupt(struct vcpu *vcpu, struct ioctl_call *call);
long vcpu_nmi(struct vcpu *vcpu, struct ioctl_call *call);
long vcpu_set_signal_mask(struct vcpu *vcpu, struct ioctl_call *call);
long vcpu_get_cpuid(struct vcpu *vcpu, struct ioctl_call *call);
long vcpu_set_cpuid(struct vcpu *vcpu, struct ioctl_call *call);
long vcpu_get_lapic(struct vcpu *vcpu, struct ioctl_call *call);
long vcpu_set_lapic(struct vcpu *vcpu, struct ioctl_call *call);
long vcpu_translate(struct vcpu *vcpu, struct ioctl_call *call);
long vcpu_tsc_khz(struct vcpu *vcpu, struct ioctl_call *call);
void vcpu_cpuid(void *arg, uint32_t regs[4]);
void vcpu_reset(struct vcpu *vcpu);
uint64_t vcpu_apic_base(struct vcpu *vcpu);
long vcpu_set_apic_base(struct vcpu *vcpu, uint64_t base);
uint64_t vcpu_cr8(struct vcpu *vcpu);
void vcpu_set_cr8(struct vcpu *vcpu, uint64_t cr8);
/* The whole argument of an ioctl. 0 or -EFAULT. */
long vcpu_copy_in(const struct ioctl_call *call, void *to, size_t len);
long vcpu_copy_out(const struct ioctl_call *call, const void *from, size_t len);

/* what is asked of /dev/kvm */
long soft_get_supported_cpuid(struct ioctl_call *call, void *arg);
long soft_get_msr_index_list(struct ioctl_call *call, void *arg);
long soft_get_feature_msrs(struct ioctl_call *call, void *arg);

#endif
