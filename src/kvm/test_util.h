/* SPDX-License-Identifier: BSD-2-Clause */
/* What the tests of this directory share: VMs, and their ioctls as a program makes them. */
#ifndef UVFIO_KVM_TEST_UTIL_H
#define UVFIO_KVM_TEST_UTIL_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "file/fdtable.h"
#include "kvm/impl.h"
#include "kvm/irqchip.h"

struct test_vm {
	int fd;
	struct kvm *kvm; /* a reference */
};

void test_vm_open(struct test_vm *vm);
void test_vm_close_file(struct test_vm *vm);
void test_vm_close(struct test_vm *vm); /* also the file, if that is open */

long test_ioctl(int fd, unsigned long request, void *arg);
long test_close(int fd);

int test_eventfd(void);
uint64_t test_take(int fd); /* what it has; 0: nothing */
/* Wait until *at is value: for at most five seconds. */
bool test_wait_for(_Atomic uint32_t *at, uint32_t value);

long test_ioeventfd(struct test_vm *vm, uint64_t addr, uint32_t len, uint32_t flags, uint64_t data, int fd);
bool test_write(struct test_vm *vm, uint64_t addr, unsigned int len, uint64_t value);

#endif
