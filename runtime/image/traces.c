/* SPDX-License-Identifier: MIT */
#include "runtime/image/traces.h"

#include "runtime/base/error.h"
#include "runtime/base/list.h"
#include "runtime/base/memory.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stddef.h>
#include <sys/mman.h>
#include <threads.h>
#include <time.h>
#include <unistd.h>

typedef int (*create_fn)(pthread_t *, const pthread_attr_t *, void *(*)(void *), void *);
typedef int (*thrd_create_fn)(thrd_t *, thrd_start_t, void *);
typedef int (*thread_atexit_fn)(void (*)(void *), void *, void *);
typedef int (*timer_create_fn)(clockid_t, struct sigevent *, timer_t *);
typedef int (*timer_delete_fn)(timer_t);

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

/* ---- POSIX timers ---- */

/*
 * One that has not been deleted. The C library has the function of SIGEV_THREAD in memory that
 * nobody else can look at, and has a thread for each time call it: it is given a function of ours
 * and a number, which is nobody's any more once the timer is deleted. So what is late goes nowhere.
 */
struct timer {
    struct berth_list link;
    struct berth_traces *traces;
    timer_t timer;
    uintptr_t number;
    void (*notify)(union sigval); /* NULL: it sends a signal */
    union sigval value;
};

static struct berth_list timers = { &timers, &timers };

static void notify_ended(void *argument)
{
    struct berth_traces *traces = argument;

    pthread_mutex_lock(&lock);
    traces->left.threads--;
    pthread_mutex_unlock(&lock);
}

static void notify(union sigval number)
{
    struct timer found = { .traces = NULL };

    pthread_mutex_lock(&lock);
    berth_list_each(&timers, link) {
        const struct timer *timer = berth_container(link, struct timer, link);
        if (timer->number == (uintptr_t)number.sival_ptr)
            found = *timer;
    }
    if (found.traces)
        found.traces->left.threads++;
    pthread_mutex_unlock(&lock);
    if (!found.traces)
        return;
    pthread_cleanup_push(notify_ended, found.traces);
    found.notify(found.value);
    pthread_cleanup_pop(1);
}

/* NULL: it is nobody's that is known, or does nothing, or there is no memory: it is not counted. */
static struct timer *timer_new(const struct sigevent *event, uintptr_t caller)
{
    static uintptr_t last; /* under the lock */
    bool calls = event && event->sigev_notify == SIGEV_THREAD;
    const uintptr_t addresses[] = { caller, calls ? (uintptr_t)event->sigev_notify_function : 0 };
    struct timer *timer = NULL;

    if (!event || event->sigev_notify != SIGEV_NONE)
        timer = berth_calloc(1, sizeof(*timer));
    if (!timer)
        return NULL;
    pthread_mutex_lock(&lock);
    timer->traces = find(addresses, sizeof(addresses) / sizeof(*addresses));
    timer->number = ++last;
    pthread_mutex_unlock(&lock);
    if (calls) {
        timer->notify = event->sigev_notify_function;
        timer->value = event->sigev_value;
    }
    if (timer->traces)
        return timer;
    berth_free(timer);
    return NULL;
}

static int traced_timer_create(clockid_t clock, struct sigevent *event, timer_t *ret_timer)
{
    timer_create_fn create = (timer_create_fn)real_of(BERTH_CALL_TIMER_CREATE);
    struct timer *timer = timer_new(event, CALLER);
    struct sigevent own;

    if (!timer)
        return create(clock, event, ret_timer);
    if (timer->notify) {
        own = *event;
        own.sigev_notify_function = notify;
        own.sigev_value.sival_ptr = (void *)timer->number;
    }
    int result = create(clock, timer->notify ? &own : event, &timer->timer);
    if (result != 0) {
        berth_free(timer);
        return result;
    }
    *ret_timer = timer->timer;
    pthread_mutex_lock(&lock);
    berth_list_append(&timers, &timer->link);
    timer->traces->left.timers++;
    pthread_mutex_unlock(&lock);
    return result;
}

/* Forgets a timer, or NULL: all of them, of some traces, or NULL: of anybody's. */
static void forget(const timer_t *which, const struct berth_traces *whose)
{
    pthread_mutex_lock(&lock);
    berth_list_each_safe(&timers, link) {
        struct timer *timer = berth_container(link, struct timer, link);
        if ((which && timer->timer != *which) || (whose && timer->traces != whose))
            continue;
        timer->traces->left.timers--;
        berth_list_remove(&timer->link);
        berth_free(timer);
    }
    pthread_mutex_unlock(&lock);
}

/* First, since another one may be made at once that has the same name. */
static int traced_timer_delete(timer_t timer)
{
    forget(&timer, NULL);
    return ((timer_delete_fn)real_of(BERTH_CALL_TIMER_DELETE))(timer);
}

/* ---- The slots ---- */

static void (*const traced[BERTH_CALL_COUNT])(void) = {
    [BERTH_CALL_PTHREAD_CREATE] = (void (*)(void))traced_pthread_create,
    [BERTH_CALL_THRD_CREATE] = (void (*)(void))traced_thrd_create,
    [BERTH_CALL_THREAD_ATEXIT] = (void (*)(void))traced_thread_atexit,
    [BERTH_CALL_THREAD_ATEXIT_IMPL] = (void (*)(void))traced_thread_atexit_impl,
    [BERTH_CALL_TIMER_CREATE] = (void (*)(void))traced_timer_create,
    [BERTH_CALL_TIMER_DELETE] = (void (*)(void))traced_timer_delete,
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
    forget(NULL, image->traces);
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
