/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * libuvfio: Linux device assignment (VFIO) as a library.
 *
 * A machine is a set of emulated PCI devices behind an emulated IOMMU, with the device nodes that Linux would
 * have for them: /dev/vfio/vfio, one /dev/vfio/N for each IOMMU group, /dev/iommu, and one
 * /dev/vfio/devices/vfioN for each device. A program opens nodes, and uses them, through the calls below with
 * the ioctl requests and structures of <linux/vfio.h> and <linux/iommufd.h>; what they do, their arguments
 * and their errors are those of the Linux kernel's VFIO and IOMMUFD.
 *
 *     struct uvfio_machine *m = uvfio_machine_new("device nvme,size=64M\n", err, sizeof(err));
 *     int container = uvfio_open(m, "/dev/vfio/vfio", O_RDWR);
 *     int group = uvfio_open(m, "/dev/vfio/1", O_RDWR);
 *     uvfio_ioctl(group, VFIO_GROUP_SET_CONTAINER, &container);
 *     uvfio_ioctl(container, VFIO_SET_IOMMU, (void *)VFIO_TYPE1v2_IOMMU);
 *     int device = uvfio_ioctl(group, VFIO_GROUP_GET_DEVICE_FD, "0000:00:01.0");
 *     ...
 *     uvfio_close(device); uvfio_close(group); uvfio_close(container);
 *     uvfio_machine_free(m);
 *
 * Errors: a call returns a negative errno value (-EINVAL, ...); errno itself is left alone.
 *
 * Descriptors are real descriptor numbers of this process, so that they can stand in an ioctl's structure and
 * never collide with others. Only the calls below work on them: not ioctl(), read() or mmap(), and to close
 * one takes uvfio_close(). dup() of one gives a number that these calls do not know. That goes for those that
 * an ioctl returns in its structure, too: the queue of IOMMU_FAULT_QUEUE_ALLOC is read with uvfio_pread() and
 * answered with uvfio_pwrite(), at offset 0; a plain read() of it would wait for ever.
 *
 * Threads: every call may be made by any thread at any time, except that a machine's last call is
 * uvfio_machine_free(). The devices do their work in threads of their own, which block all signals; they are
 * started when a device is opened.
 *
 * Memory: devices reach what the program has mapped in this process, with VFIO_IOMMU_MAP_DMA, or on
 * /dev/iommu with IOMMU_IOAS_MAP and IOMMU_IOAS_MAP_FILE, and what it has mapped of others with uvfio_map().
 * When the program takes such memory away while it is mapped, a device access fails and is reported on
 * standard error; it is no crash.
 */
#ifndef UVFIO_MACHINE_H
#define UVFIO_MACHINE_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#ifdef __cplusplus
extern "C" {
#endif

#define UVFIO_PUBLIC __attribute__((visibility("default")))

struct uvfio_machine;

/**
 * uvfio_machine_new() - make a machine.
 * @description: lines "device MODEL[,key=value...]" and "iommu key=value[,key=value...]", with the words of
 *   `uvfio run --device` and `--iommu` (see uvfio(1) and `uvfio devices`), and "vfio key=value", with
 *   nodes=legacy or iommufd for `--legacy-only` and `--iommufd-only` (nodes=all: neither), and
 * container=type1 or iommufd, unless there is no /dev/vfio/vfio. Empty lines and lines that begin with # do
 * not count. Relative paths are relative to the working directory. NULL: one NVMe controller with 256 MiB of
 * RAM behind it at 0000:00:01.0, in group 1.
 * @err: where to write one line, without a line break, that says what is wrong and what would be right. May
 *   be NULL.
 * @err_len: size of @err in bytes.
 *
 * Images are opened and checked. No thread is started.
 *
 * Return: the machine, to be ended with uvfio_machine_free(), or NULL when the description is wrong, an image
 *   cannot be used, or memory is short.
 */
UVFIO_PUBLIC struct uvfio_machine *uvfio_machine_new(const char *description, char *err, size_t err_len);

/**
 * uvfio_machine_free() - end a machine.
 * @machine: from uvfio_machine_new(), all of its descriptors closed; NULL does nothing.
 *
 * Memory behind devices is lost; files behind devices keep what was written.
 */
UVFIO_PUBLIC void uvfio_machine_free(struct uvfio_machine *machine);

/**
 * uvfio_open() - open a device node.
 * @machine: the machine.
 * @path: "/dev/vfio/vfio" for a container, "/dev/vfio/N" for group N, "/dev/vfio/noiommu-N" for a group of
 *   devices with noiommu=on, "/dev/iommu" for an IOMMUFD, "/dev/vfio/devices/vfioN" for a device: N counts
 * the devices of the description, from 0.
 * @flags: as for open(2): O_RDWR, O_CLOEXEC, ...
 *
 * Return: a descriptor (0 or greater), or
 *   -ENOENT	the machine has no such node
 *   -EBUSY	the group is open already, or a device of it by its own node
 *   -EMFILE, -ENFILE, -ENOMEM	as open(2)
 */
UVFIO_PUBLIC int uvfio_open(struct uvfio_machine *machine, const char *path, int flags);

/**
 * uvfio_ioctl() - an ioctl of <linux/vfio.h>, <linux/iommufd.h> or <linux/kvm.h>.
 * @fd: a descriptor from uvfio_open(), from uvfio_kvm_open() (<uvfio/kvm.h>), or from an ioctl that makes
 * one: VFIO_GROUP_GET_DEVICE_FD, KVM_CREATE_VM, ...
 * @request: VFIO_GET_API_VERSION, VFIO_IOMMU_MAP_DMA, KVM_IOEVENTFD, ...
 * @arg: the third argument of ioctl(2): a structure, or a number cast to a pointer.
 *
 * VFIO_GROUP_GET_DEVICE_FD returns a descriptor for these calls. The eventfds of VFIO_DEVICE_SET_IRQS are
 * ordinary ones of this process.
 *
 * Return: what the kernel's ioctl returns (0 or greater), or its error as a negative number; -EBADF: @fd is
 * not from these calls.
 */
UVFIO_PUBLIC long uvfio_ioctl(int fd, unsigned long request, void *arg);

/*
 * Memory of others. A program that serves a virtual machine or a client often maps memory that is not its
 * own: another process's, or a file that it shares with it.
 */
struct uvfio_memory;

/**
 * uvfio_memory_of_process() - the memory of a process.
 * @pidfd: of the process, from pidfd_open(2) or clone3(2); it may be closed afterwards.
 * @memory: to be given back with uvfio_memory_put(), also when the process has exited.
 *
 * Devices reach it by process_vm_readv(2) and process_vm_writev(2), which needs the permission of ptrace(2):
 * for a child, or a process of the same user. What is mapped stays mapped, and is charged to the process,
 * when it exits: a device access to it fails then and is reported, but for memory that the process shared
 * with this one.
 *
 * Return: 0, or
 *   -EBADF	@pidfd is no descriptor
 *   -EINVAL	it is not a process's
 *   -ESRCH	the process has exited
 *   -ENOMEM
 */
UVFIO_PUBLIC int uvfio_memory_of_process(int pidfd, struct uvfio_memory **memory);

/**
 * uvfio_memory_of_file() - the contents of a file, whose offsets are the addresses.
 * @fd: of a memfd, or of a file on tmpfs or hugetlbfs; it may be closed afterwards. Memory of a descriptor
 * for reading only is for reading only.
 * @memory: to be given back with uvfio_memory_put(). It has the size that the file has now.
 *
 * What is pinned of it is charged to this process.
 *
 * Return: 0, or
 *   -EBADF	@fd is no descriptor
 *   -EINVAL	it is another kind of file, or empty
 *   -ENOMEM
 */
UVFIO_PUBLIC int uvfio_memory_of_file(int fd, struct uvfio_memory **memory);

/**
 * uvfio_memory_put() - give back what uvfio_memory_of_process() or uvfio_memory_of_file() returned.
 * @memory: NULL does nothing. What is mapped of it stays mapped.
 */
UVFIO_PUBLIC void uvfio_memory_put(struct uvfio_memory *memory);

/**
 * uvfio_map() - map memory of others, or let them be charged.
 * @memory: whose memory.
 * @fd: a container, or an IOMMUFD, from uvfio_open().
 * @request: VFIO_IOMMU_MAP_DMA, IOMMU_IOAS_MAP: the vaddr or user_va in the structure is an address in
 * @memory; IOMMU_IOAS_MAP_FILE: the process of @memory is charged; IOMMU_IOAS_CHANGE_PROCESS: is charged from
 * now on.
 * @arg: the request's structure, in this process.
 *
 * With VFIO_DMA_MAP_FLAG_VADDR, a mapping moves to @memory, as when a program is replaced under a running
 * machine.
 *
 * Return: as uvfio_ioctl(); -EINVAL also for every other request.
 */
UVFIO_PUBLIC long uvfio_map(struct uvfio_memory *memory, int fd, unsigned long request, void *arg);

/**
 * uvfio_pread() - read from a region of a device.
 * @fd: a device descriptor.
 * @buf: where to.
 * @len: bytes.
 * @offset: bytes; the region's offset (VFIO_DEVICE_GET_REGION_INFO) plus the place in it.
 *
 * Return: bytes read, or
 *   -EBADF	@fd is not from these calls
 *   -EINVAL	not a device, no such region, or beyond its end
 *   -EFAULT	@buf is not memory that can be written
 *   -EIO	the device does not answer (memory decoding is off, or it sleeps)
 */
UVFIO_PUBLIC ssize_t uvfio_pread(int fd, void *buf, size_t len, off_t offset);

/**
 * uvfio_pwrite() - write to a region of a device.
 * @fd: a device descriptor.
 * @buf: where from.
 * @len: bytes.
 * @offset: bytes, as for uvfio_pread().
 *
 * Return: bytes written, or an error as uvfio_pread().
 */
UVFIO_PUBLIC ssize_t uvfio_pwrite(int fd, const void *buf, size_t len, off_t offset);

/**
 * uvfio_mmio_read() - one load from a BAR, as from its mapping.
 * @fd: a device descriptor.
 * @offset: bytes, as for uvfio_pread(); a region with VFIO_REGION_INFO_FLAG_MMAP.
 * @data: where to put the value, in the device's byte order (little endian).
 * @len: bytes: 1, 2, 4 or 8; up to 64 are split as a processor would split them.
 *
 * This is what a load through mmap() of the region does, without a mapping: it is cheaper than uvfio_pread(),
 * and fails where the load would have met a bus error.
 *
 * Return: 0, or
 *   -EBADF	@fd is not from these calls
 *   -EINVAL	@len is 0 or above 64
 *   -ENODEV	not a device
 *   -EIO	a bus error: no such register, memory decoding off, or the device sleeps
 */
UVFIO_PUBLIC int uvfio_mmio_read(int fd, uint64_t offset, void *data, unsigned int len);

/**
 * uvfio_mmio_write() - one store to a BAR, as to its mapping.
 * @fd: a device descriptor.
 * @offset: bytes, as for uvfio_pread().
 * @data: the value, in the device's byte order (little endian).
 * @len: bytes, as for uvfio_mmio_read().
 *
 * Return: 0, or an error as uvfio_mmio_read().
 */
UVFIO_PUBLIC int uvfio_mmio_write(int fd, uint64_t offset, const void *data, unsigned int len);

/**
 * uvfio_close() - close a descriptor.
 * @fd: from uvfio_open() or VFIO_GROUP_GET_DEVICE_FD.
 *
 * The order in which a program closes its device, group and container does not matter.
 *
 * Return: 0, or -EBADF: @fd is not from these calls.
 */
UVFIO_PUBLIC int uvfio_close(int fd);

/**
 * uvfio_catch_faults() - let the library handle SIGSEGV and SIGBUS.
 *
 * Devices and drivers reach the program's memory with care, since it may be gone. Without this the kernel
 * does that for the library, at the price of a system call for each copy; with it, short copies and pins of
 * mediated drivers are ten times as fast, and lists of TCE hypercalls are read without waiting. A fault of
 * the program's own goes to the action that it has set before. It must set none for these signals afterwards,
 * nor block them. Not in a program that uses `uvfio run`, too.
 *
 * Return: 0, or a negative errno. It cannot be undone.
 */
UVFIO_PUBLIC int uvfio_catch_faults(void);

/**
 * uvfio_set_trace() - say on standard error what happens, and why a call fails.
 * @categories: as for `uvfio run --trace=`: "all", or some of ioctl, file, config, bar, dma, irq, cmd and
 *   fault, with commas. "": nothing any more.
 *
 * For all machines and VMs of the process, from now on. TCE hypercalls (<uvfio/kvm.h>) are among the ioctls.
 *
 * Return: 0, or -EINVAL: one of the words is none of these.
 */
UVFIO_PUBLIC int uvfio_set_trace(const char *categories);

/**
 * uvfio_version() - the library's version, "0.1.0".
 */
UVFIO_PUBLIC const char *uvfio_version(void);

#ifdef __cplusplus
}
#endif

#endif
