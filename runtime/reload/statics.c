/* SPDX-License-Identifier: MIT */
#include "runtime/reload/statics.h"

#include "runtime/reload/peek.h"

#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <stdio.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

#define PAGE  ((uintptr_t)4096) /* or more, then some is done more often than it need be */
#define PARTS 64
#define WORDS 2048  /* that are read at once */
#define LARGE 16384 /* where it pays to ask first which pages there are */

struct search {
    const struct berth_image *image;
    int pagemap; /* of this process; -1: not opened yet, -2: it cannot be */
    uintptr_t found_at, found;
    int blind;   /* an errno value: nothing can be read at all */
    size_t left; /* to look at of this object, in bytes */
    /* what is to be read next */
    size_t size, count;
    struct iovec parts[PARTS];
};

/* ---- Reading ---- */

/* What lies behind `got` bytes of it and the page after these, which cannot be read. */
static bool skip_page(struct iovec *part, size_t got)
{
    uintptr_t from = (uintptr_t)part->iov_base, to = from + part->iov_len;
    uintptr_t next = ((from + got) | (PAGE - 1)) + 1;

    part->iov_base = (void *)next;
    part->iov_len = next < to ? to - next : 0;
    return next < to;
}

/* Where the word is that has come as number `index` of those from this part on. */
static uintptr_t place_of(const struct iovec *part, size_t index)
{
    size_t offset = index * sizeof(uintptr_t);

    for (; offset >= part->iov_len; part++)
        offset -= part->iov_len;
    return (uintptr_t)part->iov_base + offset;
}

/* Some of it may be protected. */
static void read_parts(struct search *search)
{
    uintptr_t words[WORDS], low = search->image->low, size = search->image->high - low;

    for (size_t first = 0; first < search->count && !search->found;) {
        ssize_t count =
            berth_peek(&search->parts[first], search->count - first, words, sizeof words);
        if (count < 0 && errno != EFAULT) { /* it is no hole: a sandbox does not let us */
            search->blind = errno;
            return;
        }
        size_t got = count > 0 ? (size_t)count : 0;
        for (size_t i = 0; i < got / sizeof *words; i++)
            if (words[i] - low < size) {
                search->found = words[i];
                search->found_at = place_of(&search->parts[first], i);
                return;
            }
        while (first < search->count && got >= search->parts[first].iov_len)
            got -= search->parts[first++].iov_len;
        if (first < search->count && !skip_page(&search->parts[first], got))
            first++;
    }
}

static void flush(struct search *search)
{
    read_parts(search);
    search->count = search->size = 0;
}

/* Whole words. */
static void add(struct search *search, uintptr_t from, uintptr_t to)
{
    const size_t room = WORDS * sizeof(uintptr_t);

    if (to - from > search->left)
        to = from + search->left;
    search->left -= to - from;
    while (from < to && !search->found && !search->blind) {
        size_t size = to - from < room - search->size ? to - from : room - search->size;
        search->parts[search->count++] = (struct iovec){ (void *)from, size };
        search->size += size;
        from += size;
        if (search->size == room || search->count == PARTS)
            flush(search);
    }
}

/* ---- Pages that were never touched ---- */

/*
 * A word for each page from that one on: 0, unless it is in memory or swapped out. What has never
 * been touched has no address, and reading it would make it touched.
 */
static size_t ask_pages(struct search *search, uintptr_t from, uint64_t *pages, size_t count)
{
    const uint64_t is_there = UINT64_C(3) << 62;
    uintptr_t size = (uintptr_t)sysconf(_SC_PAGESIZE);

    if (search->pagemap == -1) {
        search->pagemap = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
        if (search->pagemap < 0)
            search->pagemap = -2;
    }
    ssize_t got = size != PAGE || search->pagemap < 0
                      ? -1
                      : pread(search->pagemap, pages, count * sizeof *pages,
                              (off_t)(from / PAGE * sizeof *pages));
    for (size_t i = 0; got > 0 && i < (size_t)got / sizeof *pages; i++)
        pages[i] &= is_there;
    return got > 0 ? (size_t)got / sizeof *pages : 0;
}

static void add_touched(struct search *search, uintptr_t from, uintptr_t to)
{
    uint64_t pages[256];

    while (from < to && !search->found && !search->blind) {
        uintptr_t page = from & ~(PAGE - 1);
        size_t wanted = (to - page + PAGE - 1) / PAGE;
        size_t count = ask_pages(search, page, pages, wanted < 256 ? wanted : 256);
        if (count == 0) { /* not to be had: all of it */
            add(search, from, to);
            return;
        }
        for (size_t i = 0; i < count; i++, page += PAGE, from = page)
            if (pages[i])
                add(search, from, page + PAGE < to ? page + PAGE : to);
    }
}

/* ---- Objects ---- */

/*
 * libc and ld.so have addresses of data of each object that has destructors, and let go of these
 * when it is unmapped. Addresses of code they keep only scrambled, but for what is found elsewhere.
 */
static bool is_loaders(const char *name)
{
    const char *slash = strrchr(name, '/');
    const char *base = slash ? slash + 1 : name;

    return strncmp(base, "libc.so", 7) == 0 || strncmp(base, "ld-", 3) == 0 ||
           strncmp(base, "linux-vdso", 10) == 0;
}

static bool is_object_of(const struct dl_phdr_info *info, uintptr_t address)
{
    for (size_t i = 0; i < info->dlpi_phnum; i++) {
        const Elf64_Phdr *header = &info->dlpi_phdr[i];
        if (header->p_type == PT_LOAD && address - info->dlpi_addr >= header->p_vaddr &&
            address - info->dlpi_addr < header->p_vaddr + header->p_memsz)
            return true;
    }
    return false;
}

/*
 * Where what may have been written since the object was loaded begins: what the loader has made
 * read-only after it leads to what it has found then, and no image is found by the others.
 */
static uintptr_t begin_of(const struct dl_phdr_info *info, const Elf64_Phdr *segment)
{
    uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE), from = info->dlpi_addr + segment->p_vaddr;

    for (size_t i = 0; i < info->dlpi_phnum; i++) {
        const Elf64_Phdr *header = &info->dlpi_phdr[i];
        uintptr_t low = (info->dlpi_addr + header->p_vaddr) & ~(page - 1);
        uintptr_t high = (info->dlpi_addr + header->p_vaddr + header->p_memsz) & ~(page - 1);
        if (header->p_type == PT_GNU_RELRO && low <= from && high > from)
            from = high;
    }
    return from;
}

static int look_at_object(struct dl_phdr_info *info, size_t size, void *user)
{
    struct search *search = user;
    const uintptr_t part = sizeof(uintptr_t) - 1;

    (void)size;
    if (is_loaders(info->dlpi_name) || info->dlpi_addr == search->image->base ||
        is_object_of(info, (uintptr_t)look_at_object))
        return 0;
    search->left = BERTH_STATICS_MAX;
    for (size_t i = 0; i < info->dlpi_phnum && !search->found; i++) {
        const Elf64_Phdr *header = &info->dlpi_phdr[i];
        if (header->p_type != PT_LOAD || !(header->p_flags & PF_W))
            continue;
        uintptr_t from = (begin_of(info, header) + part) & ~part;
        uintptr_t to = (info->dlpi_addr + header->p_vaddr + header->p_memsz) & ~part;
        if (from < to && to - from >= LARGE)
            add_touched(search, from, to);
        else if (from < to)
            add(search, from, to);
    }
    return search->found || search->blind;
}

/* ---- Names ---- */

/* Whose data is a staged copy's, its descriptor's link says: "/memfd:NAME (deleted)". */
static void name_object(const char *path, char *name, size_t size)
{
    char target[128];
    ssize_t length =
        strncmp(path, "/proc/", 6) == 0 ? readlink(path, target, sizeof target - 1) : -1;

    if (length > 7 && strncmp(target, "/memfd:", 7) == 0) {
        target[length] = '\0';
        snprintf(name, size, "%.*s", (int)strcspn(target + 7, " "), target + 7);
    } else {
        const char *slash = strrchr(path, '/');
        snprintf(name, size, "%s", *path ? slash ? slash + 1 : path : "the application");
    }
}

struct naming {
    uintptr_t place;
    struct berth_statics_find *find;
};

static int name_if_there(struct dl_phdr_info *info, size_t size, void *user)
{
    const struct naming *naming = user;

    (void)size;
    if (!is_object_of(info, naming->place))
        return 0;
    name_object(info->dlpi_name, naming->find->owner, sizeof naming->find->owner);
    return 1;
}

bool berth_statics_find(const struct berth_image *image, struct berth_statics_find *ret_find)
{
    struct search search = { .image = image, .pagemap = -1 };

    dl_iterate_phdr(look_at_object, &search);
    if (!search.found && !search.blind)
        flush(&search); /* what is gone meanwhile cannot be read, or is something new */
    if (search.pagemap >= 0)
        close(search.pagemap);
    ret_find->blind = search.blind;
    if (!search.found)
        return search.blind != 0;
    struct naming naming = { search.found_at, ret_find };
    snprintf(ret_find->owner, sizeof ret_find->owner, "an object that is gone");
    dl_iterate_phdr(name_if_there, &naming);
    ret_find->address = search.found;
    return true;
}
