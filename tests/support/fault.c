/* SPDX-License-Identifier: MIT */
#include "tests/support/fault.h"

#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <pthread.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "tests/support/suite.h"

static __thread struct {
    unsigned long seen, nth; /* nth: 0, nothing is armed */
    bool all, hit;
} fault;
static long live; /* atomic */

/* Of all threads, and in a file of all workers. All of it is atomic. */
struct common {
    unsigned long seen, nth;
    bool all, hit;
    long live;
    unsigned born;
};
static struct common here, *followed, *workers;

/* A sanitizer allocates before it can look at what is read, and before there are relocations. */
#define EARLY __attribute__((no_sanitize("address")))

EARLY static struct common *own(void)
{
    return followed ? followed : &here;
}

void berth_fault_arm(unsigned long nth, bool all)
{
    fault.seen = 0;
    fault.hit = false;
    fault.all = all;
    fault.nth = nth;
}

bool berth_fault_disarm(void)
{
    fault.nth = 0;
    return fault.hit;
}

unsigned long berth_fault_seen(void)
{
    return fault.seen;
}

long berth_fault_live(void)
{
    return __atomic_load_n(&live, __ATOMIC_RELAXED);
}

static bool is_hit(unsigned long seen, unsigned long nth, bool all)
{
    return seen == nth || (all && seen > nth);
}

EARLY static bool fails_in_common(void)
{
    struct common *common = own();
    unsigned long nth = __atomic_load_n(&common->nth, __ATOMIC_ACQUIRE);

    if (!nth || !is_hit(__atomic_add_fetch(&common->seen, 1, __ATOMIC_RELAXED), nth,
                        __atomic_load_n(&common->all, __ATOMIC_RELAXED)))
        return false;
    __atomic_store_n(&common->hit, true, __ATOMIC_RELAXED);
    return true;
}

__attribute__((unused)) EARLY static bool fails(void)
{
    bool hit = fault.nth && is_hit(++fault.seen, fault.nth, fault.all);

    fault.hit |= hit;
    if (!hit && !fails_in_common())
        return false;
    errno = ENOMEM;
    return true;
}

/* ---- of several threads or processes ---- */

static struct common *common_of(enum berth_fault_where where)
{
    return where == BERTH_FAULT_HERE ? &here : workers;
}

void berth_fault_arm_all(enum berth_fault_where where, unsigned long nth, bool all)
{
    struct common *armed = common_of(where);

    __atomic_store_n(&armed->seen, 0, __ATOMIC_RELAXED);
    __atomic_store_n(&armed->hit, false, __ATOMIC_RELAXED);
    __atomic_store_n(&armed->all, all, __ATOMIC_RELAXED);
    __atomic_store_n(&armed->nth, nth, __ATOMIC_RELEASE);
}

bool berth_fault_disarm_all(enum berth_fault_where where)
{
    struct common *armed = common_of(where);

    __atomic_store_n(&armed->nth, 0, __ATOMIC_RELEASE);
    return __atomic_load_n(&armed->hit, __ATOMIC_RELAXED);
}

static struct common *map(const char *path, int flags)
{
    int fd = open(path, O_RDWR | O_CLOEXEC | flags, 0600);
    void *memory = MAP_FAILED;

    if (fd >= 0 && ftruncate(fd, sizeof(struct common)) == 0)
        memory = mmap(NULL, sizeof(struct common), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (fd >= 0)
        close(fd);
    return memory == MAP_FAILED ? NULL : memory;
}

/* It is known by its path: the environment of workers is not the test's. */
const char *berth_fault_workers(void)
{
    const char *program = berth_test_format("%s/worker", berth_test_dir());

    REQUIRE(symlink(berth_test_built("tests/support/faulty_worker"), program) == 0);
    if (workers)
        munmap(workers, sizeof(*workers));
    workers = map(berth_test_format("%s.faults", program), O_CREAT);
    REQUIRE(workers);
    return program;
}

long berth_fault_workers_live(unsigned *ret_born)
{
    *ret_born = __atomic_load_n(&workers->born, __ATOMIC_RELAXED);
    return __atomic_load_n(&workers->live, __ATOMIC_RELAXED);
}

static void count_born(void)
{
    __atomic_add_fetch(&own()->born, 1, __ATOMIC_RELAXED);
}

void berth_fault_follow(const char *path)
{
    followed = map(path, 0);
    if (!followed)
        return;
    pthread_atfork(NULL, NULL, count_born);
}

bool berth_fault_works(void)
{
    void *(*volatile allocate)(size_t) = malloc; /* else the compiler knows that nothing changes */
    berth_fault_arm(1, false);
    void *block = allocate(1);
    bool works = berth_fault_disarm() && !block;
    free(block);
    return works;
}

/*
 * Clang links its sanitizers into the program, where two mallocs do not fit. GCC's are libraries,
 * which export theirs under a second name; but ThreadSanitizer's cannot be called as early as the
 * program's are. Without a sanitizer, the C library's have a second name, too.
 */
#ifdef __clang__
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define NO_MALLOC_OF_ITS_OWN
#endif
#elif defined __SANITIZE_THREAD__
#define NO_MALLOC_OF_ITS_OWN
#elif defined __SANITIZE_ADDRESS__
#define NEXT(name) __interceptor_##name
#endif
#ifndef NEXT
#define NEXT(name) __libc_##name
#endif

#ifndef NO_MALLOC_OF_ITS_OWN
#pragma GCC visibility push(default) /* libraries must find them */

void *NEXT(malloc)(size_t size);
void *NEXT(calloc)(size_t count, size_t size);
void *NEXT(realloc)(void *block, size_t size);
void *NEXT(memalign)(size_t alignment, size_t size);
void NEXT(free)(void *block);

EARLY static void count(long blocks)
{
    __atomic_add_fetch(&live, blocks, __ATOMIC_RELAXED);
    __atomic_add_fetch(&own()->live, blocks, __ATOMIC_RELAXED);
}

EARLY static void *counted(void *block)
{
    if (block)
        count(1);
    return block;
}

void *malloc(size_t size)
{
    return fails() ? NULL : counted(NEXT(malloc)(size));
}

void *calloc(size_t count, size_t size)
{
    return fails() ? NULL : counted(NEXT(calloc)(count, size));
}

void *realloc(void *block, size_t size)
{
    if (!block)
        return malloc(size);
    if (size && fails())
        return NULL;
    void *moved = NEXT(realloc)(block, size);
    if (!moved && !size)
        count(-1);
    return moved;
}

void *reallocarray(void *block, size_t count, size_t size)
{
    size_t bytes;
    if (__builtin_mul_overflow(count, size, &bytes)) {
        errno = ENOMEM;
        return NULL;
    }
    return realloc(block, bytes);
}

void *memalign(size_t alignment, size_t size)
{
    return fails() ? NULL : counted(NEXT(memalign)(alignment, size));
}

void *aligned_alloc(size_t alignment, size_t size)
{
    return memalign(alignment, size);
}

int posix_memalign(void **ret_block, size_t alignment, size_t size)
{
    int saved = errno;
    void *block = memalign(alignment, size);
    errno = saved;
    if (!block)
        return ENOMEM;
    *ret_block = block;
    return 0;
}

void free(void *block)
{
    if (block)
        count(-1);
    NEXT(free)(block);
}

#pragma GCC visibility pop
#endif
