/* SPDX-License-Identifier: MIT */
#include "runtime/reload/holders.h"

#include "runtime/reload/statics.h"

#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

struct search {
    const struct berth_image *image;
    uint64_t caught;
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
        if (!(search->caught >> (number - 1) & 1) ||
            syscall(SYS_rt_sigaction, number, NULL, &action, sizeof action.mask) < 0 ||
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

/* putenv takes the text itself; and the table may be replaced as a whole. */
static bool environment_finds(const struct search *search)
{
    if (is_in(search->image, (uintptr_t)environ)) {
        snprintf(search->text, search->size,
                 "environ is a table of its: use setenv, which makes one that stays");
        return true;
    }
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

static bool statics_find(const struct search *search)
{
    struct berth_statics_find find;

    if (!berth_statics_find(search->image, &find))
        return false;
    if (find.blind) {
        snprintf(search->text, search->size,
                 "not proved: static data of others cannot be read (%s): let this process call "
                 "process_vm_readv, or read /proc/self/mem",
                 strerror(find.blind));
        return true;
    }
    snprintf(search->text, search->size,
             "static data of %s lead into its %s: its STOP must end that", find.owner,
             is_code(search->image, find.address) ? "code" : "data");
    return true;
}

bool berth_holders_find(const struct berth_image *image, uint64_t caught, char *text, size_t size)
{
    struct search search = { image, caught, text, size };

    return signal_finds(&search) || key_finds(&search) || environment_finds(&search) ||
           statics_find(&search);
}
