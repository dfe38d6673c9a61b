/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Deliberately wrong drivers: of an NVMe controller (driver_nvme.c), of a copy engine (driver_ioat.c).
 *
 * One knows how to bring its device up, so that its nonsense reaches every part of it, and then does
 * everything a driver must not do: random registers, doorbells, queue entries, descriptors and data pointers,
 * memory that is unmapped under the device, queues that lie over each other. What must never happen: a crash,
 * a hang, or a byte written to memory that the device has not been given, or no longer has.
 */
#ifndef UVFIO_TESTS_HOSTILE_H
#define UVFIO_TESTS_HOSTILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* How the device is reached: system calls (port_client.c), or the library (port_core.c). Results are 0.. or
 * -errno. */
int port_open(const char *path);
long port_ioctl(int fd, unsigned long request, void *arg);
ssize_t port_pread(int fd, void *buf, size_t len, uint64_t offset);
ssize_t port_pwrite(int fd, const void *buf, size_t len, uint64_t offset);
void port_close(int fd);
void port_map_bar(int fd, uint64_t size); /* BAR0 is at offset 0 */
void port_unmap_bar(void);
void port_load(uint64_t offset, void *data, unsigned int size);
void port_store(uint64_t offset, const void *data, unsigned int size);
void port_setup(void);
void port_teardown(void);

/* random.c */
void random_seed(uint64_t seed);
uint64_t random64(void);
uint32_t random_below(uint32_t n);
bool one_in(uint32_t n);
uint64_t random_odd_value(void); /* small, large, all ones, near powers of two */

/* memory.c: what the device may reach, and what it must leave alone */
#define IOVA_MAIN   0x10000ull /* readable and writable */
#define MAIN_SIZE   (4ull << 20)
#define IOVA_RO     0x1000000ull /* readable only */
#define RO_SIZE     (256ull << 10)
#define IOVA_WINDOW 0x2000000ull /* windows that come and go */
#define WINDOW_SIZE (64ull << 10)
#define NR_WINDOWS  16

void memory_make(void);
void memory_map(int container);
void memory_toggle_window(int container);
void memory_check(void); /* dies when a byte has changed that must not */
void memory_free(void);
uint8_t *memory_main(uint64_t iova);
uint64_t random_iova(void); /* of all kinds: ours, forbidden, nowhere */

/* device.c */
struct device {
	int container, group, fd;
	uint64_t config;
	int events[4];
};
void device_open(struct device *dev);
void device_close(struct device *dev);
void device_random_config(struct device *dev);
void device_random_irqs(struct device *dev);
void device_master(struct device *dev);

/* driver_*.c */
extern const char driver_device[]; /* as for --device */
/* Reset, enable, make queues; dies when the device does not follow. */
void driver_bring_up(struct device *dev);
void driver_operation(struct device *dev);
void driver_final_check(struct device *dev); /* after all that, it must work */

/* main.c */
void die(const char *fmt, ...) __attribute__((format(printf, 1, 2), noreturn));

#endif
