/* SPDX-License-Identifier: BSD-2-Clause */
#include "subject.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "guest.h"

void append(char *text, const char *fmt, ...)
{
	size_t used = strlen(text);
	va_list args;

	va_start(args, fmt);
	vsnprintf(text + used, TEXT - used, fmt, args);
	va_end(args);
}

/* ---- life */

bool subject_open(struct subject *s, bool real)
{
	*s = (struct subject){ .real = real, .vm = -1, .vcpu = -1 };
	for (int i = 0; i < EVENTS; i++)
		s->event[i] = -1;
	s->memory = mmap(NULL, MEMORY_SIZE, PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	s->code = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	guest_write_code(s->code);
	s->kvm = real ? open("/dev/kvm", O_RDWR | O_CLOEXEC) : uvfio_kvm_open(O_RDWR | O_CLOEXEC);
	return s->kvm >= 0 && !subject_new_vm(s, CHIPS_NONE);
}

static void close_fd(struct subject *s, int *fd)
{
	if (*fd >= 0 && s->real)
		close(*fd);
	else if (*fd >= 0)
		uvfio_close(*fd);
	*fd = -1;
}

void subject_end_vm(struct subject *s)
{
	if (s->run)
		munmap(s->run, 3 * 4096);
	s->run = NULL;
	close_fd(s, &s->vcpu);
	close_fd(s, &s->vm);
	uvfio_kvm_cpu_free(s->cpu);
	uvfio_kvm_put(s->handle);
	s->cpu = NULL;
	s->handle = NULL;
	for (int i = 0; i < EVENTS; i++) {
		if (s->event[i] >= 0)
			close(s->event[i]);
		s->event[i] = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
		s->quiet[i] = false;
	}
}

void subject_close(struct subject *s)
{
	subject_end_vm(s);
	for (int i = 0; i < EVENTS; i++)
		close(s->event[i]);
	close_fd(s, &s->kvm);
	munmap(s->memory, MEMORY_SIZE);
	munmap(s->code, 4096);
}

long subject_ioctl(struct subject *s, unsigned long request, void *arg)
{
	long rc = s->real ? ioctl(s->vm, request, arg) : uvfio_ioctl(s->vm, request, arg);

	return s->real && rc < 0 ? -errno : rc;
}

static void no_kick(void *arg)
{
	(void)arg;
}

static const struct uvfio_kvm_cpu_ops cpu_ops = { .kick = no_kick };

static long new_processor(struct subject *s)
{
	if (!s->real) {
		s->handle = uvfio_kvm_get(s->vm);
		return uvfio_kvm_cpu_new(s->handle, 0, &cpu_ops, NULL, &s->cpu);
	}
	s->vcpu = ioctl(s->vm, KVM_CREATE_VCPU, 0);
	if (s->vcpu < 0)
		return -errno;
	s->run = mmap(NULL, 3 * 4096, PROT_READ | PROT_WRITE, MAP_SHARED, s->vcpu, 0);
	return guest_prepare(s);
}

long subject_new_vm(struct subject *s, enum chips chips)
{
	struct kvm_userspace_memory_region code = { .slot = CODE_SLOT,
						    .guest_phys_addr = CODE_GPA,
						    .memory_size = 4096,
						    .userspace_addr = (uintptr_t)s->code };
	struct kvm_enable_cap split = { .cap = KVM_CAP_SPLIT_IRQCHIP, .args = { 24 } };
	long rc;

	subject_end_vm(s);
	madvise(s->memory, MEMORY_SIZE, MADV_DONTNEED);
	rc = s->real ? ioctl(s->kvm, KVM_CREATE_VM, 0) : uvfio_ioctl(s->kvm, KVM_CREATE_VM, NULL);
	if (rc < 0)
		return s->real ? -errno : rc;
	s->vm = (int)rc;
	rc = subject_ioctl(s, KVM_SET_USER_MEMORY_REGION, &code);
	if (!rc && chips == CHIPS_FULL)
		rc = subject_ioctl(s, KVM_CREATE_IRQCHIP, NULL);
	if (!rc && chips == CHIPS_SPLIT)
		rc = subject_ioctl(s, KVM_ENABLE_CAP, &split);
	return rc ? rc : new_processor(s);
}

/* ---- accesses of the library's guest */

static void append_exit(char *text, enum bus bus, bool write, uint64_t addr, unsigned int len,
			const unsigned char *data)
{
	append(text, "%sexit %s 0x%llx/%u", *text ? ", " : "", bus == BUS_PIO ? "pio" : "mmio",
	       (unsigned long long)addr, len);
	for (unsigned int i = 0; write && i < len; i++)
		append(text, "%c%02x", i ? ' ' : '=', data[i]);
}

/* The part of an access within a page. */
static void access_page(struct subject *s, bool write, uint64_t addr, unsigned int len, unsigned char *data,
			char *text)
{
	unsigned int done;

	if (!(write ? uvfio_kvm_write_memory(s->handle, addr, data, len)
		    : uvfio_kvm_read_memory(s->handle, addr, data, len)))
		return;
	done = uvfio_kvm_cpu_io(s->cpu, UVFIO_KVM_MMIO, write, addr, len, data);
	for (unsigned int n; done < len; done += n) {
		n = len - done < 8 ? len - done : 8;
		append_exit(text, BUS_MMIO, write, addr + done, n, data + done);
		memset(data + done, write ? data[done] : 0, write ? 0 : n);
	}
}

static void access_ours(struct subject *s, enum bus bus, bool write, uint64_t addr, unsigned int len,
			unsigned char *data, char *text)
{
	if (bus == BUS_PIO) {
		if (uvfio_kvm_cpu_io(s->cpu, UVFIO_KVM_PIO, write, addr, len, data) == len)
			return;
		append_exit(text, bus, write, addr, len, data);
		memset(data, write ? *data : 0, write ? 0 : len);
		return;
	}
	for (unsigned int done = 0, n; done < len; done += n) {
		n = 4096 - ((addr + done) & 4095);
		n = n < len - done ? n : len - done;
		access_page(s, write, addr + done, n, data + done, text);
	}
}

/* ---- both */

void subject_access(struct subject *s, enum bus bus, bool write, uint64_t addr, unsigned int len,
		    uint64_t value, char *text)
{
	unsigned char data[16] = { 0 };
	char what[TEXT] = "";

	memcpy(data, &value, sizeof(value));
	if (s->real)
		guest_access(s, bus, write, addr, len, data, what);
	else
		access_ours(s, bus, write, addr, len, data, what);
	append(text, "%s", *what ? what : "handled");
	if (!write) {
		value = 0;
		memcpy(&value, data, len < 8 ? len : 8);
		append(text, " = 0x%llx", (unsigned long long)value);
	}
}

void subject_exit(char *text, enum bus bus, bool write, uint64_t addr, unsigned int len,
		  const unsigned char *data)
{
	append_exit(text, bus, write, addr, len, data);
}

void subject_events(struct subject *s, char *text)
{
	struct pollfd fds[EVENTS];
	uint64_t count;

	for (int i = 0; i < EVENTS; i++)
		fds[i] = (struct pollfd){ .fd = s->quiet[i] ? -1 : s->event[i], .events = POLLIN };
	if (poll(fds, EVENTS, 0) <= 0)
		return;
	for (int i = 0; i < EVENTS; i++)
		if (fds[i].revents && read(s->event[i], &count, sizeof(count)) == sizeof(count))
			append(text, " e%d=%llu", i, (unsigned long long)count);
}

void subject_settle(struct subject *s, int event)
{
	struct pollfd fd = { .fd = s->event[event], .events = POLLIN };

	if (!s->quiet[event])
		return;
	for (int i = 0; !s->real && i < 200 && poll(&fd, 1, 0) == 1; i++)
		usleep(500);
	usleep(2000); /* the kernel has a work queue for what is no message */
}

struct kvm_coalesced_mmio_ring *subject_ring(struct subject *s)
{
	if (s->real)
		return (struct kvm_coalesced_mmio_ring *)((char *)s->run + 2 * 4096);
	return uvfio_kvm_coalesced_ring(s->handle);
}

bool subject_is_recorded_kernel(void)
{
	struct utsname name;

	return !uname(&name) && !strncmp(name.release, RECORDED_KERNEL ".", strlen(RECORDED_KERNEL "."));
}
