/* SPDX-License-Identifier: BSD-2-Clause */
/* VFIO_DEVICE_FEATURE: the checks that all features share. What a feature does is its bus's business. */
#ifndef UVFIO_VFIO_FEATURE_H
#define UVFIO_VFIO_FEATURE_H

#include "base/base.h"

/*
 * The flags of struct vfio_device_feature, before the feature is looked up: 0, or -EINVAL for unknown bits,
 * and for GET with SET without PROBE.
 */
int vfio_feature_check_flags(uint32_t flags);

/*
 * A feature that is known. flags: of struct vfio_device_feature. argsz: bytes behind that structure (argsz -
 * 8). supported_ops: VFIO_DEVICE_FEATURE_GET | VFIO_DEVICE_FEATURE_SET. minsz: bytes of data that GET or SET
 * needs. 1: go on with GET or SET; 0: it was a probe, and the answer is yes; -EINVAL: an operation that is
 * not supported, neither operation nor probe, or too little room.
 */
int vfio_feature_check(uint32_t flags, size_t argsz, uint32_t supported_ops, size_t minsz);

/*
 * A feature that belongs to VFIO's core and that no device of ours offers (migration, dirty logging of
 * devices): true and *err, what the ioctl returns for it. False: the bus decides.
 */
bool vfio_feature_core(uint32_t flags, int *err);

#endif
