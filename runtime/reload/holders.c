/* SPDX-License-Identifier: MIT */
#include "runtime/reload/holders.h"

#include <limits.h>
#include <link.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

struct search {
    const struct berth_image *image;
    char *text;
    size_t size;
};

static bool is_in(const struct berth_image *image, uintptr_t address)
{
    return address >= image->low && address < image->high;
}

static bool is_code(const struct berth_image *image, uintptr_t address)
{
    for (size_t i = 0; i < image->elf->segment_count; i++) {
        const struct berth_elf_segment *segment = &image->elf->segments[i];
        if (segment->executable && address - image->base >= segment->low &&
            address - image->base < segment->high)
            return true;
    }
    return false;
}

/* ---- signals ---- */

/* As the kernel has it: sigaction refuses to tell of those that the C library uses. */
struct kernel_action {
    uintptr_t handler;
    unsigned long flags;
    uintptr_t restorer, mask;
};

static bool signal_finds(const struct search *search)
{
    for (int number = 1; number < _NSIG; number++) {
        struct kernel_action action = { 0 };
        if (syscall(SYS_rt_sigaction, number, NULL, &action, sizeof action.mask) < 0 ||
            !is_in(search->image, action.handler))
            continue;
        const char *name = sigabbrev_np(number);
        snprintf(search->text, search->size,
                 "it handles signal %d (%s): its STOP must give it back", number,
                 name ? name : "real-time");
        return true;
    }
    return false;
}

/* ---- pthread keys ---- */

struct key {
    uintptr_t turn; /* odd: in use */
    uintptr_t destructor;
};

static void probe(void *unused)
{
    (void)unused;
}

/* The C library's table, if it is as we think: a key of our own says so. */
static const struct key *find_keys(void)
{
    static const struct key *keys; /* atomic */
    const struct key *found = __atomic_load_n(&keys, __ATOMIC_ACQUIRE);
    pthread_key_t own;

    if (found)
        return found;
    found = berth_loader_find("__pthread_keys");
    if (!found || pthread_key_create(&own, probe) != 0)
        return NULL;
    bool used = found[own].turn % 2 == 1 && found[own].destructor == (uintptr_t)probe;
    pthread_key_delete(own);
    if (!used || found[own].turn % 2 == 1)
        return NULL;
    __atomic_store_n(&keys, found, __ATOMIC_RELEASE);
    return found;
}

static bool key_finds(const struct search *search)
{
    const struct key *keys = find_keys();

    for (size_t i = 0; keys && i < PTHREAD_KEYS_MAX; i++) {
        const struct key key = { __atomic_load_n(&keys[i].turn, __ATOMIC_RELAXED),
                                 __atomic_load_n(&keys[i].destructor, __ATOMIC_RELAXED) };
        if (key.turn % 2 == 0 || !is_in(search->image, key.destructor))
            continue;
        snprintf(search->text, search->size,
                 "a pthread key with a destructor of its has not been deleted: its STOP must");
        return true;
    }
    if (keys || !(search->image->elf->calls & 1u << BERTH_CALL_PTHREAD_KEY_CREATE))
        return false;
    snprintf(search->text, search->size,
             "it may have pthread keys, which cannot be looked at in this C library");
    return true;
}

/* ---- the environment ---- */

/* putenv takes the text itself. */
static bool environment_finds(const struct search *search)
{
    for (char **each = environ; each && *each; each++) {
        if (!is_in(search->image, (uintptr_t)*each))
            continue;
        snprintf(search->text, search->size,
                 "the environment has its %.*s: use setenv, which copies, instead of putenv",
                 (int)strcspn(*each, "="), *each);
        return true;
    }
    return false;
}

/* ---- static data of others ---- */

#define DATA_MAX ((size_t)16 << 20) /* of one object */
#define PIECES   64

/*
 * libc and ld.so have addresses of data of each object that has destructors, and let go of these
 * when it is unmapped. Addresses of code they keep only scrambled, but for what is found above.
 */
static bool is_loaders(const char *name)
{
    const char *slash = strrchr(name, '/');
    const char *base = slash ? slash + 1 : name;

    return strncmp(base, "libc.so", 7) == 0 || strncmp(base, "ld-", 3) == 0 ||
           strncmp(base, "linux-vdso", 10) == 0;
}

/* Pieces of data that are read at once, as a host with many modules has many small ones. */
struct reading {
    const struct search *search;
    bool closely; /* object by object, to say which */
    size_t count, size;
    struct iovec pieces[PIECES];
    uintptr_t words[2048];
};

/* As another process would, as some of it may be protected: what could be read. */
static size_t read_pieces(const struct iovec *pieces, size_t count, uintptr_t *words, size_t size)
{
    const struct iovec here = { words, size };
    ssize_t got = process_vm_readv(getpid(), &here, 1, pieces, count, 0);
    return got > 0 ? (size_t)got : 0;
}

static uintptr_t find_word(const struct search *search, const uintptr_t *words, size_t size)
{
    for (size_t i = 0; i < size / sizeof *words; i++)
        if (is_in(search->image, words[i]))
            return words[i];
    return 0;
}

/* Reads what has been collected. 0: none of it leads into the image. */
static uintptr_t read_collected(struct reading *reading)
{
    size_t got = read_pieces(reading->pieces, reading->count, reading->words, reading->size);
    uintptr_t found = find_word(reading->search, reading->words, got);
    bool whole = got == reading->size;

    for (size_t i = 0; i < reading->count && !whole && !found; i++) {
        got = read_pieces(&reading->pieces[i], 1, reading->words, reading->pieces[i].iov_len);
        found = find_word(reading->search, reading->words, got);
    }
    reading->count = reading->size = 0;
    return found;
}

static uintptr_t collect(struct reading *reading, uintptr_t from, uintptr_t to)
{
    uintptr_t found = 0;

    from = (from + sizeof(uintptr_t) - 1) & ~(uintptr_t)(sizeof(uintptr_t) - 1);
    to &= ~(uintptr_t)(sizeof(uintptr_t) - 1);
    if (from < to && to - from > DATA_MAX)
        to = from + DATA_MAX;
    while (from < to && !found) {
        size_t room = sizeof reading->words - reading->size;
        size_t size = to - from < room ? to - from : room;
        reading->pieces[reading->count++] = (struct iovec){ (void *)from, size };
        reading->size += size;
        from += size;
        if (reading->size == sizeof reading->words || reading->count == PIECES)
            found = read_collected(reading);
    }
    return found;
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

static int object_finds(struct dl_phdr_info *info, size_t size, void *user)
{
    struct reading *reading = user;
    const struct search *search = reading->search;
    uintptr_t found = 0;
    char name[64];

    (void)size;
    if (is_loaders(info->dlpi_name) || info->dlpi_addr == search->image->base ||
        is_object_of(info, (uintptr_t)object_finds))
        return 0;
    for (size_t i = 0; i < info->dlpi_phnum && !found; i++) {
        const Elf64_Phdr *header = &info->dlpi_phdr[i];
        if (header->p_type == PT_LOAD && (header->p_flags & PF_W))
            found = collect(reading, begin_of(info, header),
                            info->dlpi_addr + header->p_vaddr + header->p_memsz);
    }
    if (reading->closely && !found)
        found = read_collected(reading);
    if (!reading->closely || !found)
        return found != 0;
    name_object(info->dlpi_name, name, sizeof name);
    snprintf(search->text, search->size,
             "static data of %s lead into its %s: its STOP must end that", name,
             is_code(search->image, found) ? "code" : "data");
    return 1;
}

static bool data_find(const struct search *search)
{
    struct reading reading;

    reading.search = search;
    reading.closely = false;
    reading.count = reading.size = 0;
    if (!dl_iterate_phdr(object_finds, &reading) && !read_collected(&reading))
        return false;
    reading.closely = true;
    reading.count = reading.size = 0;
    return dl_iterate_phdr(object_finds, &reading) != 0;
}

bool berth_holders_find(const struct berth_image *image, char *text, size_t size)
{
    struct search search = { image, text, size };

    return signal_finds(&search) || key_finds(&search) || environment_finds(&search) ||
           data_find(&search);
}
