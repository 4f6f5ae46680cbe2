/* SPDX-License-Identifier: MIT */
/*
 * A number for some bytes: the same in every process, quick to make, and for telling apart what
 * nobody has made to be alike.
 */
#ifndef RUNTIME_BASE_DIGEST_H
#define RUNTIME_BASE_DIGEST_H

#include <stddef.h>
#include <stdint.h>

uint64_t berth_digest(const void *bytes, size_t size);

#endif
