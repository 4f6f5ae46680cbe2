/* SPDX-License-Identifier: MIT */
#include "runtime/base/digest.h"

#include <string.h>

#define ODD_A UINT64_C(0x9e3779b97f4a7c15)
#define LANES 8
#define ODD_B UINT64_C(0xff51afd7ed558ccd)

static uint64_t mix(uint64_t value)
{
    value = (value ^ value >> 32) * ODD_A;
    value = (value ^ value >> 29) * ODD_B;
    return value ^ value >> 32;
}

/* Little-endian, so that all machines get the same. */
static uint64_t load(const unsigned char *at)
{
    uint64_t word;
    memcpy(&word, at, sizeof word);
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    word = __builtin_bswap64(word);
#endif
    return word;
}

/* In lanes, as multiplications wait for each other. */
uint64_t berth_digest(const void *bytes, size_t size)
{
    uint64_t lanes[LANES];
    const unsigned char *at = bytes;
    size_t left = size;
    for (uint64_t i = 0; i < LANES; i++)
        lanes[i] = mix(i + 1);
    for (; left >= sizeof lanes; left -= sizeof lanes, at += sizeof lanes)
        for (size_t i = 0; i < LANES; i++) {
            lanes[i] = (lanes[i] ^ load(at + 8 * i)) * ODD_A;
            lanes[i] ^= lanes[i] >> 31;
        }
    unsigned char rest[sizeof lanes] = { 0 };
    if (left)
        memcpy(rest, at, left);
    uint64_t sum = size;
    for (size_t i = 0; i < LANES; i++)
        sum = mix(sum ^ mix(lanes[i] ^ load(rest + 8 * i)));
    return sum;
}
