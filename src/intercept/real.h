/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The functions that we interpose, as the next library (the C library, or another preloaded one) has them.
 *
 * REAL(name) is the function pointer. It may be used at any time: before our constructor has run, and by the
 * constructors of other libraries, the first use looks all of them up. A symbol that the C library does not
 * have is NULL; the few for which that can happen say so at their hook.
 */
#ifndef UVFIO_INTERCEPT_REAL_H
#define UVFIO_INTERCEPT_REAL_H

#include "base/base.h"

#include <dirent.h>
#include <fcntl.h>
#include <ftw.h>
#include <glob.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/inotify.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/select.h>
#include <sys/sendfile.h>
#include <sys/shm.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/statvfs.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <sys/xattr.h>
#include <unistd.h>

/* Entry points of the C library's binary interface that its headers do not declare. */
int __open_2(const char *path, int flags);
int __open64_2(const char *path, int flags);
int __openat_2(int dirfd, const char *path, int flags);
int __openat64_2(int dirfd, const char *path, int flags);
int __dprintf_chk(int fd, int flag, const char *format, ...);
int __vdprintf_chk(int fd, int flag, const char *format, va_list ap);
ssize_t __read_chk(int fd, void *buf, size_t len, size_t buf_len);
ssize_t __pread_chk(int fd, void *buf, size_t len, off_t off, size_t buf_len);
ssize_t __pread64_chk(int fd, void *buf, size_t len, off64_t off, size_t buf_len);
ssize_t __readlink_chk(const char *path, char *buf, size_t len, size_t buf_len);
ssize_t __readlinkat_chk(int dirfd, const char *path, char *buf, size_t len, size_t buf_len);
char *__realpath_chk(const char *path, char *resolved, size_t resolved_len);
char *__getcwd_chk(char *buf, size_t len, size_t buf_len);
int __xstat(int version, const char *path, struct stat *st);
int __xstat64(int version, const char *path, struct stat64 *st);
int __lxstat(int version, const char *path, struct stat *st);
int __lxstat64(int version, const char *path, struct stat64 *st);
int __fxstat(int version, int fd, struct stat *st);
int __fxstat64(int version, int fd, struct stat64 *st);
int __fxstatat(int version, int dirfd, const char *path, struct stat *st, int flags);
int __fxstatat64(int version, int dirfd, const char *path, struct stat64 *st, int flags);
sighandler_t bsd_signal(int sig, sighandler_t handler);
sighandler_t __sysv_signal(int sig, sighandler_t handler);

/* X(name): by group, memory and signals at the end. */
/* clang-format off */
#define REAL_FUNCTIONS(X)                                                                                    \
	X(open) X(open64) X(openat) X(openat64) X(__open_2) X(__open64_2) X(__openat_2) X(__openat64_2)      \
	X(creat) X(creat64) X(fopen) X(fopen64) X(freopen) X(freopen64)                                      \
	X(close) X(close_range) X(closefrom) X(fclose) X(fflush) X(fflush_unlocked)                          \
	X(dup) X(dup2) X(dup3) X(fcntl) X(fcntl64) X(ioctl)                                                  \
	X(read) X(write) X(pread) X(pread64) X(pwrite) X(pwrite64) X(__read_chk) X(__pread_chk)              \
	X(__pread64_chk) X(readv) X(writev) X(preadv) X(preadv64) X(pwritev) X(pwritev64)                    \
	X(preadv2) X(preadv64v2) X(pwritev2) X(pwritev64v2) X(lseek) X(lseek64)                              \
	X(dprintf) X(vdprintf) X(__dprintf_chk) X(__vdprintf_chk)                                            \
	X(opendir) X(readdir) X(readdir64) X(readdir_r) X(readdir64_r) X(scandir) X(scandir64)      \
	X(glob) X(glob64)                                                                                    \
	X(readlink) X(readlinkat) X(__readlink_chk) X(__readlinkat_chk) X(realpath) X(__realpath_chk)        \
	X(canonicalize_file_name) X(getcwd) X(__getcwd_chk) X(get_current_dir_name) X(chdir) X(fchdir)       \
	X(stat) X(stat64) X(lstat) X(lstat64) X(fstat) X(fstat64) X(fstatat) X(fstatat64) X(statx)           \
	X(__xstat) X(__xstat64) X(__lxstat) X(__lxstat64) X(__fxstat) X(__fxstat64) X(__fxstatat)            \
	X(__fxstatat64) X(access) X(faccessat) X(euidaccess) X(eaccess)                                      \
	X(ftw) X(ftw64) X(nftw) X(nftw64)                                                                    \
	X(chmod) X(fchmodat) X(chown) X(lchown) X(fchownat) X(getxattr) X(lgetxattr) X(listxattr)            \
	X(llistxattr) X(statfs) X(statfs64) X(fstatfs) X(fstatfs64) X(statvfs) X(statvfs64) X(inotify_add_watch)                     \
	X(truncate) X(truncate64) X(utimes) X(utimensat)                                                     \
	X(mkdir) X(mkdirat) X(mknod) X(mknodat) X(symlink) X(symlinkat) X(unlink) X(unlinkat) X(rmdir)       \
	X(remove) X(rename) X(renameat) X(renameat2) X(link) X(linkat)                                       \
	X(fsync) X(fdatasync) X(ftruncate) X(ftruncate64) X(fallocate) X(fallocate64) X(posix_fallocate)     \
	X(posix_fallocate64) X(sendfile) X(sendfile64) X(copy_file_range)                                    \
	X(execve) X(execv) X(execvp) X(execvpe)                                                              \
	X(posix_spawn) X(posix_spawnp) X(system) X(popen)                                                    \
	X(sendmsg) X(recvmsg) X(sendmmsg) X(recvmmsg)                                                        \
	X(mmap) X(mmap64) X(munmap) X(mremap) X(mprotect) X(pkey_mprotect) X(madvise) X(mlock) X(mlock2)     \
	X(shmat) X(shmdt)                                                                                    \
	X(sigaction) X(signal) X(ssignal) X(bsd_signal) X(sysv_signal) X(__sysv_signal) X(sigset)            \
	X(sigprocmask) X(pthread_sigmask) X(sigsuspend) X(ppoll) X(pselect) X(epoll_pwait)
/* clang-format on */

/* sigset() is marked as deprecated. */
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wdeprecated-declarations"
#define X(name) extern __typeof__(name) *real_##name;
REAL_FUNCTIONS(X)
#undef X
#pragma GCC diagnostic pop

/* Look all of them up. Idempotent; called by REAL() when needed. */
void real_resolve(void);

#define REAL(name) (*(likely(real_##name) ? real_##name : (real_resolve(), real_##name)))

#endif
