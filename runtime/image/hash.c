/* SPDX-License-Identifier: MIT */
/* After Aumasson and Bernstein, "SipHash: a fast short-input PRF" (2012). */
#include "runtime/image/hash.h"

#include <stdint.h>
#include <string.h>

/* The key of the paper's own test vectors: bytes 00 to 0f. */
#define KEY_0 UINT64_C(0x0706050403020100)
#define KEY_1 UINT64_C(0x0f0e0d0c0b0a0908)

struct state {
    uint64_t a, b, c, d;
};

static inline uint64_t rotate(uint64_t word, unsigned bits)
{
    return word << bits | word >> (64 - bits);
}

static inline void mix(struct state *s)
{
    s->a += s->b;
    s->c += s->d;
    s->b = rotate(s->b, 13) ^ s->a;
    s->d = rotate(s->d, 16) ^ s->c;
    s->a = rotate(s->a, 32);
    s->c += s->b;
    s->a += s->d;
    s->b = rotate(s->b, 17) ^ s->c;
    s->d = rotate(s->d, 21) ^ s->a;
    s->c = rotate(s->c, 32);
}

static inline void absorb(struct state *s, uint64_t word)
{
    s->d ^= word;
    mix(s);
    mix(s);
    s->a ^= word;
}

static uint64_t squeeze(struct state *s)
{
    for (int i = 0; i < 4; i++)
        mix(s);
    return s->a ^ s->b ^ s->c ^ s->d;
}

void berth_hash(const void *data, size_t size, unsigned char ret_hash[BERTH_HASH_SIZE])
{
    struct state s = {
        .a = KEY_0 ^ UINT64_C(0x736f6d6570736575),
        .b = KEY_1 ^ UINT64_C(0x646f72616e646f6d) ^ 0xee,
        .c = KEY_0 ^ UINT64_C(0x6c7967656e657261),
        .d = KEY_1 ^ UINT64_C(0x7465646279746573),
    };
    const unsigned char *p = data;
    uint64_t word;

    for (size_t left = size / 8; left; left--, p += 8) {
        memcpy(&word, p, sizeof(word));
        absorb(&s, word);
    }
    word = (uint64_t)size << 56;
    for (size_t i = 0; i < size % 8; i++)
        word |= (uint64_t)p[i] << 8 * i;
    absorb(&s, word);

    s.c ^= 0xee;
    word = squeeze(&s);
    memcpy(ret_hash, &word, sizeof(word));
    s.b ^= 0xdd;
    word = squeeze(&s);
    memcpy(ret_hash + sizeof(word), &word, sizeof(word));
}
