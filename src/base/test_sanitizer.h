/* SPDX-License-Identifier: BSD-2-Clause */
/* For tests that ask too much of a sanitizer: which one is this built with? */
#ifndef UVFIO_BASE_TEST_SANITIZER_H
#define UVFIO_BASE_TEST_SANITIZER_H

#if defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define THREAD_SANITIZER 1
#endif
#elif defined(__SANITIZE_THREAD__)
#define THREAD_SANITIZER 1
#endif
#ifndef THREAD_SANITIZER
#define THREAD_SANITIZER 0
#endif

#endif
