/* SPDX-License-Identifier: MIT */
#include "runtime/image/loader_cache.h"

#include "runtime/base/text.h"

#include <stdint.h>
#include <string.h>

/* The format that glibc writes alone since 2.32; offsets of texts count from the header. */
static const char magic[] = "glibc-ld.so.cache1.1";

struct header {
    char magic[sizeof(magic) - 1];
    uint32_t count, text_size;
    uint32_t unused[5];
};

struct entry {
    int32_t flags;
    uint32_t name, path; /* offsets */
    uint32_t system;
    uint64_t capabilities; /* 0: for any processor of the machine */
};

#if defined __x86_64__
#define FLAGS 0x0303
#else
#define FLAGS 0x0a03
#endif

static const char *text_at(const char *bytes, size_t size, uint32_t offset)
{
    return offset < size && memchr(bytes + offset, '\0', size - offset) ? bytes + offset : NULL;
}

const char *berth_loader_cache_find(const void *bytes, size_t size, const char *library)
{
    struct header header;
    struct entry entry;
    const char *found = NULL;

    if (size < sizeof(header))
        return NULL;
    memcpy(&header, bytes, sizeof(header));
    if (memcmp(header.magic, magic, sizeof(header.magic)) != 0 ||
        header.count > (size - sizeof(header)) / sizeof(entry))
        return NULL;
    for (uint32_t i = 0; i < header.count; i++) {
        memcpy(&entry, (const char *)bytes + sizeof(header) + i * sizeof(entry), sizeof(entry));
        const char *name = text_at(bytes, size, entry.name);
        if (entry.flags != FLAGS || !name || !berth_text_equal(name, library))
            continue;
        const char *path = text_at(bytes, size, entry.path);
        if (path && (!found || entry.capabilities == 0))
            found = path;
        if (found && entry.capabilities == 0)
            break;
    }
    return found;
}
