/* SPDX-License-Identifier: MIT */
/*
 * SipHash-2-4 with 128 bits of output and a fixed key: tells contents apart, at memory's speed.
 * With a key that everybody knows it is no signature.
 */
#ifndef RUNTIME_IMAGE_HASH_H
#define RUNTIME_IMAGE_HASH_H

#include <stddef.h>

#define BERTH_HASH_SIZE 16

void berth_hash(const void *data, size_t size, unsigned char ret_hash[BERTH_HASH_SIZE]);

#endif
