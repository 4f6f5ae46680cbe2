/* SPDX-License-Identifier: MIT */
#include "runtime/image/traces.h"

#include "runtime/base/error.h"
#include "runtime/base/list.h"
#include "runtime/base/memory.h"

#include <errno.h>
#include <pthread.h>
#include <stddef.h>
#include <sys/mman.h>
#include <threads.h>
#include <unistd.h>

typedef int (*create_fn)(pthread_t *, const pthread_attr_t *, void *(*)(void *), void *);
typedef int (*thrd_create_fn)(thrd_t *, thrd_start_t, void *);
typedef int (*thread_atexit_fn)(void (*)(void *), void *, void *);

struct berth_traces {
    struct berth_list link;
    uintptr_t low, high;
    struct berth_traces_left left;
};

static struct berth_list all = { &all, &all };
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static void *real[BERTH_CALL_COUNT]; /* what the loader had found for the first image; atomic */

static void *real_of(enum berth_elf_call call)
{
    return __atomic_load_n(&real[call], __ATOMIC_RELAXED);
}

/* The traces of the image that one of some addresses lies in, or NULL. lock held. */
static struct berth_traces *find(const uintptr_t *addresses, size_t count)
{
    berth_list_each(&all, link) {
        struct berth_traces *traces = berth_container(link, struct berth_traces, link);
        for (size_t i = 0; i < count; i++)
            if (addresses[i] >= traces->low && addresses[i] < traces->high)
                return traces;
    }
    return NULL;
}

/* What one of its calls has begun; ended counts it down. */
struct begun {
    struct berth_traces *traces;
    size_t *counter; /* one of traces->left */
    union {
        void *(*thread)(void *);
        thrd_start_t thrd;
        void (*destroy)(void *);
    } run;
    void *argument;
};

/*
 * NULL: nobody's that is known (a call whose caller has left its frame already, of a function of
 * another library), or no memory: then it is not counted, and shows elsewhere.
 */
static struct begun *begin(size_t counter, const uintptr_t *addresses, size_t count)
{
    struct begun *begun = berth_calloc(1, sizeof(*begun));

    pthread_mutex_lock(&lock);
    struct berth_traces *traces = begun ? find(addresses, count) : NULL;
    if (traces) {
        begun->traces = traces;
        begun->counter = (size_t *)(void *)((char *)traces + counter);
        ++*begun->counter;
    }
    pthread_mutex_unlock(&lock);
    if (!traces) {
        berth_free(begun);
        begun = NULL;
    }
    return begun;
}
#define BEGIN(counter, ...)                                                          \
    begin(offsetof(struct berth_traces, left.counter), (uintptr_t[]){ __VA_ARGS__ }, \
          sizeof((uintptr_t[]){ __VA_ARGS__ }) / sizeof(uintptr_t))
#define CALLER ((uintptr_t)__builtin_return_address(0))

static void ended(void *argument)
{
    struct begun *begun = argument;

    pthread_mutex_lock(&lock);
    --*begun->counter;
    pthread_mutex_unlock(&lock);
    berth_free(begun);
}

/* ---- Threads ---- */

/* pthread_exit, too, comes by here once it has left the module's code. */
static void *thread_main(void *argument)
{
    struct begun *begun = argument;
    void *result;

    pthread_cleanup_push(ended, begun);
    result = begun->run.thread(begun->argument);
    pthread_cleanup_pop(1);
    return result;
}

static int traced_pthread_create(pthread_t *thread, const pthread_attr_t *attributes,
                                 void *(*run)(void *), void *argument)
{
    create_fn create = (create_fn)real_of(BERTH_CALL_PTHREAD_CREATE);
    struct begun *begun = BEGIN(threads, (uintptr_t)run, (uintptr_t)argument, CALLER);

    if (!begun)
        return create(thread, attributes, run, argument);
    begun->run.thread = run;
    begun->argument = argument;
    int number = create(thread, attributes, thread_main, begun);
    if (number != 0)
        ended(begun);
    return number;
}

static int thrd_main(void *argument)
{
    struct begun *begun = argument;
    int result;

    pthread_cleanup_push(ended, begun);
    result = begun->run.thrd(begun->argument);
    pthread_cleanup_pop(1);
    return result;
}

static int traced_thrd_create(thrd_t *thread, thrd_start_t run, void *argument)
{
    thrd_create_fn create = (thrd_create_fn)real_of(BERTH_CALL_THRD_CREATE);
    struct begun *begun = BEGIN(threads, (uintptr_t)run, (uintptr_t)argument, CALLER);

    if (!begun)
        return create(thread, run, argument);
    begun->run.thrd = run;
    begun->argument = argument;
    int result = create(thread, thrd_main, begun);
    if (result != thrd_success)
        ended(begun);
    return result;
}

/* ---- Functions for later ---- */

static void destroy(void *argument)
{
    struct begun *begun = argument;

    begun->run.destroy(begun->argument);
    ended(begun);
}

/* object is the one of whose data it is: the loader counts for it as well. */
static int thread_atexit(enum berth_elf_call call, void (*run)(void *), void *argument,
                         void *object)
{
    thread_atexit_fn add = (thread_atexit_fn)real_of(call);
    struct begun *begun = BEGIN(destructors, (uintptr_t)object, (uintptr_t)run);

    if (!begun)
        return add(run, argument, object);
    begun->run.destroy = run;
    begun->argument = argument;
    int result = add(destroy, begun, object);
    if (result != 0)
        ended(begun);
    return result;
}

static int traced_thread_atexit(void (*run)(void *), void *argument, void *object)
{
    return thread_atexit(BERTH_CALL_THREAD_ATEXIT, run, argument, object);
}

static int traced_thread_atexit_impl(void (*run)(void *), void *argument, void *object)
{
    return thread_atexit(BERTH_CALL_THREAD_ATEXIT_IMPL, run, argument, object);
}

/* ---- The slots ---- */

static void (*const traced[BERTH_CALL_COUNT])(void) = {
    [BERTH_CALL_PTHREAD_CREATE] = (void (*)(void))traced_pthread_create,
    [BERTH_CALL_THRD_CREATE] = (void (*)(void))traced_thrd_create,
    [BERTH_CALL_THREAD_ATEXIT] = (void (*)(void))traced_thread_atexit,
    [BERTH_CALL_THREAD_ATEXIT_IMPL] = (void (*)(void))traced_thread_atexit_impl,
};

/* The pages that the loader has made read-only; what is writable stays so. */
static bool protect(const struct berth_image *image, int protection)
{
    uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
    uintptr_t low = (image->base + image->elf->relro_low) & ~(page - 1);
    uintptr_t high = (image->base + image->elf->relro_high) & ~(page - 1);

    return low >= high || mprotect((void *)low, high - low, protection) == 0;
}

/* One that leads elsewhere than all others', to a wrapper of its own or nowhere, is left alone. */
static void redirect(const struct berth_image *image, const struct berth_elf_slot *slot)
{
    void **word = (void **)(image->base + slot->address);
    void *first = NULL;

    if (!*word)
        return;
    if (__atomic_compare_exchange_n(&real[slot->call], &first, *word, false, __ATOMIC_RELAXED,
                                    __ATOMIC_RELAXED) ||
        first == *word)
        __atomic_store_n(word, (void *)traced[slot->call], __ATOMIC_RELEASE);
}

int berth_traces_begin(struct berth_image *image, struct berth_error *error)
{
    const struct berth_elf *elf = image->elf;

    if (!elf->slot_count || berth_image_keeps(image))
        return BERTH_OK;
    struct berth_traces *traces = berth_calloc(1, sizeof(*traces));
    if (!traces)
        return berth_error_nomem(error);
    traces->low = image->low;
    traces->high = image->high;
    pthread_mutex_lock(&lock);
    berth_list_append(&all, &traces->link);
    pthread_mutex_unlock(&lock);
    image->traces = traces;
    if (!protect(image, PROT_READ | PROT_WRITE))
        return berth_error_errno(error, errno, "its table of addresses cannot be written");
    for (size_t i = 0; i < elf->slot_count; i++)
        redirect(image, &elf->slots[i]);
    protect(image, PROT_READ);
    return BERTH_OK;
}

void berth_traces_end(struct berth_image *image)
{
    if (!image->traces)
        return;
    pthread_mutex_lock(&lock);
    berth_list_remove(&image->traces->link);
    bool used = image->traces->left.threads || image->traces->left.destructors;
    pthread_mutex_unlock(&lock);
    if (!used) /* else it was unmapped unproved, and something may still come by here */
        berth_free(image->traces);
    image->traces = NULL;
}

struct berth_traces_left berth_traces_get(const struct berth_image *image)
{
    struct berth_traces_left left = { 0 };

    pthread_mutex_lock(&lock);
    if (image->traces)
        left = image->traces->left;
    pthread_mutex_unlock(&lock);
    return left;
}
