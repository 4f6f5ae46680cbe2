/* SPDX-License-Identifier: MIT */
#include "runtime/base/digest.h"

#include <string.h>

#define ODD_A UINT64_C(0x9e3779b97f4a7c15)
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

/* Four lanes, as multiplications wait for each other. */
uint64_t berth_digest(const void *bytes, size_t size)
{
    uint64_t lanes[4] = { ODD_A, ODD_B, ~ODD_A, ~ODD_B };
    const unsigned char *at = bytes;
    size_t left = size;
    for (; left >= sizeof lanes; left -= sizeof lanes)
        for (int i = 0; i < 4; i++, at += 8) {
            lanes[i] = (lanes[i] ^ load(at)) * ODD_A;
            lanes[i] ^= lanes[i] >> 31;
        }
    unsigned char rest[sizeof lanes] = { 0 };
    if (left)
        memcpy(rest, at, left);
    uint64_t sum = size;
    for (int i = 0; i < 4; i++)
        sum = mix(sum ^ mix(lanes[i] ^ load(rest + (size_t)i * 8)));
    return sum;
}
