/* SPDX-License-Identifier: MIT */
/*
 * The reader of ELF files: bounds-checked, over program headers alone, on bytes that may be
 * anything. Nothing of the file runs. All functions are pure: any thread may call them.
 */
#ifndef RUNTIME_IMAGE_ELF_H
#define RUNTIME_IMAGE_ELF_H

#include "runtime/base/arena.h"
#include "runtime/image/manifest.h"

struct berth_elf_segment { /* what is loaded: [low, high), unrelocated */
    uint64_t low, high;
    bool writable, executable;
};

struct berth_risk;
/* Functions of the C library that matter when a module is unloaded; most are watched: traces.h. */
enum berth_elf_call {
    BERTH_CALL_PTHREAD_KEY_CREATE, /* only noted */
    BERTH_CALL_PTHREAD_CREATE,
    BERTH_CALL_THRD_CREATE,
    BERTH_CALL_THREAD_ATEXIT,
    BERTH_CALL_THREAD_ATEXIT_IMPL,
    BERTH_CALL_TIMER_CREATE,
    BERTH_CALL_TIMER_DELETE,
    BERTH_CALL_COUNT
};

struct berth_elf_slot { /* a word that the loader fills with the address of one that is watched */
    uint64_t address;
    enum berth_elf_call call;
};

struct berth_elf {
    uint16_t machine;
    uint64_t low, high;                   /* virtual addresses of what is loaded */
    const char *soname, *runpath, *rpath; /* NULL when absent */
    size_t needed_count, record_count, segment_count;
    const char **needed;
    struct berth_record *records; /* the notes of owner Berth; text points into the bytes */
    struct berth_elf_segment *segments;
    uint64_t relro_low, relro_high; /* read-only once relocated; equal when there is none */
    bool has_constructors;          /* besides the one that every compiler adds */
    bool static_tls, nodelete, text_relocations, executable_stack, has_unique, relro, now, symbolic;
    unsigned calls; /* which of enum berth_elf_call it imports, a bit for each */
    size_t slot_count;
    struct berth_elf_slot *slots;
    uint64_t tls_size;
    uint64_t entry;    /* address of the symbol berth_entry, 0 when there is none */
    char build_id[64]; /* in hexadecimal digits, perhaps cut; "" when there is none */
    uint64_t constructors, destructors; /* how many, those of the compiler included */
    size_t risk_count;
    const struct berth_risk **risks; /* functions that it imports; static (risk.h) */
};

/*
 * Reads size bytes; everything is in the arena, or points into bytes, which must stay as they are.
 * Errors name what is wrong and the cure: not an ELF file, not a shared object (an executable, an
 * object file), another machine (naming both), truncated (naming the bytes missing), a header that
 * lies. An image without a note of Berth is no error here: record_count is 0.
 */
int berth_elf_read(const void *bytes, size_t size, struct berth_arena *arena,
                   struct berth_elf **ret_elf, struct berth_error *error);

/*
 * Walks size bytes of notes that lie at `address` of the image, in a file or in memory. Stores
 * those of owner Berth from records[*count] on, if records is not NULL, and counts them in *count.
 */
int berth_elf_read_notes(const void *bytes, size_t size, uint64_t address,
                         struct berth_record *records, size_t *count, struct berth_error *error);

/*
 * Strict check of what dlopen trusts (headers, segments against the file, dynamic table and its
 * tables inside segments, relocations' targets, init arrays, hash tables, versions, and the section
 * headers, if there are any, against all of it), so that a mutated file is refused instead of
 * killing the process. It is stricter than the loader: text relocations, an executable stack and
 * segments both writable and executable are refused too.
 */
int berth_elf_check(const void *bytes, size_t size, const struct berth_elf *elf,
                    struct berth_error *error);

#endif
