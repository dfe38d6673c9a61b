/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What is compared: the real KVM behind /dev/kvm, and the library's. Both are asked through this interface,
 * and say what happened in the same words.
 */
#ifndef UVFIO_TEST_DIFFERENTIAL_SUBJECT_H
#define UVFIO_TEST_DIFFERENTIAL_SUBJECT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <linux/kvm.h>
#include <uvfio/kvm.h>

#define EVENTS      16
#define MEMORY_SIZE (64u << 20) /* that slots are made of */
#define CODE_SLOT   32763u      /* of the guest that makes accesses */
#define CODE_GPA    0x7ff00000u
#define END_PORT    0xf4u /* written by the guest when it is done */
#define TEXT        1024

enum bus { BUS_MMIO, BUS_PIO };

enum chips { CHIPS_NONE, CHIPS_FULL, CHIPS_SPLIT };

struct subject {
	bool real;
	int kvm, vm, vcpu;   /* descriptors, or -1; vcpu: the real one's */
	struct kvm_run *run; /* the real one's */
	struct uvfio_kvm *handle;
	struct uvfio_kvm_cpu *cpu;
	unsigned char *memory, *code;
	int event[EVENTS];  /* eventfds; -1: closed */
	bool quiet[EVENTS]; /* irqfds and what is not to be read */
	void *ring;
};

/* False: there is no usable KVM here. */
bool subject_open(struct subject *s, bool real);
void subject_close(struct subject *s);

/* A new VM in the old one's place. 0 or -errno. */
long subject_new_vm(struct subject *s, enum chips chips);
void subject_end_vm(struct subject *s);

/* On the VM's descriptor; the result, or -errno. */
long subject_ioctl(struct subject *s, unsigned long request, void *arg);

/*
 * One store or load of the guest, of 1, 2, 4, 8 or 16 bytes (8 and 16: to memory only, stores only). What
 * became of it, without a signal of eventfds, is appended to text: "handled", or the accesses that the VMM is
 * asked for.
 */
void subject_access(struct subject *s, enum bus bus, bool write, uint64_t addr, unsigned int len,
		    uint64_t value, char *text);

/* Take what the eventfds have: " e3=2" for each that has something. */
void subject_events(struct subject *s, char *text);
/* Wait until an irqfd has taken what was written. */
void subject_settle(struct subject *s, int event);

/* Is this the kernel whose results are recorded? Others may differ from it, which is told and no mistake of
 * ours. */
bool subject_is_recorded_kernel(void);
#define RECORDED_KERNEL "6.18"

struct kvm_coalesced_mmio_ring *subject_ring(struct subject *s);

void append(char *text, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

#endif
