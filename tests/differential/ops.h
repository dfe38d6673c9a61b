/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Operations in words: a line of the table is one, and its result is what stands behind "=".
 *
 *   vm [full|split]                        a new VM, new eventfds e0 to e15
 *   io BUS ADDR LEN FLAGS DATA FD          KVM_IOEVENTFD; BUS mmio, pio, ccw; FLAGS without the bus's
 *   w|r BUS ADDR LEN [VALUE]               an access of the guest, and which eventfds have what then
 *   zone|unzone ADDR SIZE PIO              KVM_(UN)REGISTER_COALESCED_MMIO
 *   many zones|ioeventfds PIO NR           so many of them, with nothing between
 *   ring                                   take what is in the ring
 *   ringlast N                             write its index
 *   slot ID FLAGS GPA SIZE HVA             HVA: a number, or m+OFFSET of the memory for it
 *   dirty ID | clear ID FIRST NR           KVM_GET_DIRTY_LOG, KVM_CLEAR_DIRTY_LOG of all bits
 *   peek OFFSET                            8 bytes of the memory
 *   cap N FLAGS ARG | ext N                KVM_ENABLE_CAP, KVM_CHECK_EXTENSION
 *   irqfd FD GSI FLAGS [FD]                KVM_IRQFD
 *   route FLAGS [GSI:TYPE:FLAGS:A:B:C]...  KVM_SET_GSI_ROUTING
 *   line GSI LEVEL                         KVM_IRQ_LINE_STATUS
 *   msi LO HI DATA FLAGS                   KVM_SIGNAL_MSI
 *   chip N                                 KVM_GET_IRQCHIP
 *   device TYPE FLAGS                      KVM_CREATE_DEVICE
 *   irqchip                                KVM_CREATE_IRQCHIP
 *   signal|take|poll eN [VALUE]            write(2), read(2), poll(2)
 *   dup eN eM | close eN | sem eN          descriptors; sem: a semaphore eventfd
 *   bad REQUEST null|hole|kernel           an ioctl with such a pointer
 *
 * FD: eN; none (-1), closed, null (/dev/null), path (O_PATH), vm (the VM itself).
 */
#ifndef UVFIO_TEST_DIFFERENTIAL_OPS_H
#define UVFIO_TEST_DIFFERENTIAL_OPS_H

#include "subject.h"

/* Carry out line; the result goes to text, of TEXT bytes. False: there is no such operation. */
bool op_run(struct subject *s, const char *line, char *text);

#endif
