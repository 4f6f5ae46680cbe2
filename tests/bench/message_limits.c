/* SPDX-License-Identifier: MIT */
#include "tests/bench/message_limits.h"

#include "tests/bench/bench.h"

#include <linux/futex.h>
#include <pthread.h>
#include <sched.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#define LINE __attribute__((aligned(128)))

static char payload[4096] LINE;

static void relax(void)
{
#if defined __x86_64__
    __builtin_ia32_pause();
#endif
}

/* ---- two threads ----------------------------------------------------------------------------- */

struct pair {
    const struct message_place *place;
    void (*other)(long n); /* what the other thread does */
    long n;
    bool ready; /* atomic */
};

static void *other_main(void *user)
{
    struct pair *pair = user;

    bench_place(0, pair->place->there);
    __atomic_store_n(&pair->ready, true, __ATOMIC_RELEASE);
    pair->other(pair->n);
    return NULL;
}

double message_pair(const struct message_place *place, void (*own)(long n), void (*other)(long n),
                    long n)
{
    struct pair pair = { .place = place, .other = other, .n = n };
    pthread_t thread;
    double start;

    bench_place(0, place->here);
    if (pthread_create(&thread, NULL, other_main, &pair) != 0)
        bench_die("no thread");
    while (!__atomic_load_n(&pair.ready, __ATOMIC_ACQUIRE))
        sched_yield();
    start = bench_now();
    own(n);
    pthread_join(thread, NULL);
    return bench_now() - start;
}

/* ---- there and back: a box for each direction ------------------------------------------------ */

struct box {
    uint32_t number; /* of the newest message; atomic */
    char payload[MESSAGE_SIZE];
} LINE;

static struct box boxes[2];
static bool sleeps;

static void put(struct box *box, uint32_t number)
{
    memcpy(box->payload, payload, sizeof(box->payload));
    __atomic_store_n(&box->number, number, __ATOMIC_RELEASE);
    if (sleeps)
        syscall(SYS_futex, &box->number, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
}

static void get(struct box *box, uint32_t number)
{
    uint32_t seen;

    while ((seen = __atomic_load_n(&box->number, __ATOMIC_ACQUIRE)) != number) {
        if (sleeps)
            syscall(SYS_futex, &box->number, FUTEX_WAIT_PRIVATE, seen, NULL, NULL, 0);
        else
            relax();
    }
    message_touch(box->payload, sizeof(box->payload));
}

static void ask(long n)
{
    for (uint32_t i = 1; i <= (uint32_t)n; i++) {
        put(&boxes[0], i);
        get(&boxes[1], i);
    }
}

static void answer(long n)
{
    for (uint32_t i = 1; i <= (uint32_t)n; i++) {
        get(&boxes[0], i);
        put(&boxes[1], i);
    }
}

double limit_spin(void *place, long n)
{
    memset(boxes, 0, sizeof(boxes));
    sleeps = false;
    return message_pair(place, ask, answer, n);
}

double limit_futex(void *place, long n)
{
    memset(boxes, 0, sizeof(boxes));
    sleeps = true;
    return message_pair(place, ask, answer, n);
}

/* ---- one way --------------------------------------------------------------------------------- */

#define PLACES 1024

static struct {
    uint64_t head LINE, tail LINE; /* atomic */
    char places[PLACES][MESSAGE_SIZE] LINE;
    bool yields;
} ring;

static void ring_wait(void)
{
    if (ring.yields)
        sched_yield();
    else
        relax();
}

static void fill(long n)
{
    uint64_t tail = ring.tail, head = __atomic_load_n(&ring.head, __ATOMIC_ACQUIRE);

    for (long i = 0; i < n; i++) {
        while (tail - head == PLACES) {
            ring_wait();
            head = __atomic_load_n(&ring.head, __ATOMIC_ACQUIRE);
        }
        memcpy(ring.places[tail++ % PLACES], payload, MESSAGE_SIZE);
        __atomic_store_n(&ring.tail, tail, __ATOMIC_RELEASE);
    }
}

static void drain(long n)
{
    uint64_t head = ring.head;

    for (long i = 0; i < n;) {
        uint64_t tail = __atomic_load_n(&ring.tail, __ATOMIC_ACQUIRE);
        if (tail == head)
            ring_wait();
        for (; head < tail; i++) {
            message_touch(ring.places[head++ % PLACES], MESSAGE_SIZE);
            if (head % 64 == 0)
                __atomic_store_n(&ring.head, head, __ATOMIC_RELEASE);
        }
        __atomic_store_n(&ring.head, head, __ATOMIC_RELEASE);
    }
}

double limit_ring(void *user, long n)
{
    const struct message_place *place = user;

    ring.yields = place->here == place->there;
    return message_pair(place, fill, drain, n);
}

/* ---- one way, with what a mailbox promises --------------------------------------------------- */

/* Who runs a handler: what it is inside of, and until when. */
struct context {
    const void *frame; /* atomic */
    int64_t deadline;
    uint64_t delivered; /* atomic */
};
struct kept {
    void (*handler)(struct context *context, const char *data, size_t size);
    const void *sender;
    int64_t deadline;
    size_t size;
    char data[MESSAGE_SIZE];
} LINE;

static struct {
    struct kept places[PLACES];
    /* the senders' */
    pthread_mutex_t lock LINE;
    uint64_t tail; /* atomic */
    size_t bytes;
    uint64_t sent LINE; /* atomic; of one sender */
    /* the receiver's; atomic */
    uint64_t head LINE;
    size_t bytes_done;
} box = { .lock = PTHREAD_MUTEX_INITIALIZER };

static void on_kept(struct context *context, const char *data, size_t size)
{
    (void)context;
    message_touch(data, size);
}

/* Not so long ago there was room, as a rule, and the receiver's numbers are not looked at. */
static bool box_put(const char *data, size_t size, uint64_t *head, size_t *bytes_done)
{
    struct kept *kept;
    bool fits;

    pthread_mutex_lock(&box.lock);
    fits = box.tail - *head < PLACES && box.bytes - *bytes_done + size <= PLACES * MESSAGE_SIZE;
    if (!fits) {
        *head = __atomic_load_n(&box.head, __ATOMIC_ACQUIRE);
        *bytes_done = __atomic_load_n(&box.bytes_done, __ATOMIC_RELAXED);
        pthread_mutex_unlock(&box.lock);
        return false;
    }
    kept = &box.places[box.tail % PLACES];
    kept->handler = on_kept;
    kept->sender = &box;
    kept->deadline = INT64_MAX;
    kept->size = size;
    memcpy(kept->data, data, size);
    box.bytes += size;
    __atomic_store_n(&box.tail, box.tail + 1, __ATOMIC_RELEASE);
    pthread_mutex_unlock(&box.lock);
    __atomic_store_n(&box.sent, box.sent + 1, __ATOMIC_RELAXED);
    return true;
}

static void fill_box(long n)
{
    uint64_t head = __atomic_load_n(&box.head, __ATOMIC_ACQUIRE);
    size_t bytes_done = __atomic_load_n(&box.bytes_done, __ATOMIC_RELAXED);

    for (long i = 0; i < n; i++)
        while (!box_put(payload, MESSAGE_SIZE, &head, &bytes_done))
            ring_wait();
}

static void handle(struct context *context, const struct kept *kept)
{
    context->deadline = kept->deadline;
    __atomic_store_n(&context->frame, kept, __ATOMIC_RELEASE);
    kept->handler(context, kept->data, kept->size);
    __atomic_store_n(&context->frame, NULL, __ATOMIC_RELEASE);
    __atomic_store_n(&context->delivered, context->delivered + 1, __ATOMIC_RELAXED);
}

static void drain_box(long n)
{
    struct context context = { NULL, 0, 0 };
    uint64_t head = box.head;

    for (long i = 0; i < n;) {
        uint64_t tail = __atomic_load_n(&box.tail, __ATOMIC_ACQUIRE);
        if (tail == head)
            ring_wait();
        for (; head < tail; i++) {
            const struct kept *kept = &box.places[head++ % PLACES];
            handle(&context, kept);
            __atomic_store_n(&box.bytes_done, box.bytes_done + kept->size, __ATOMIC_RELAXED);
            __atomic_store_n(&box.head, head, __ATOMIC_RELEASE);
        }
    }
}

double limit_box(void *user, long n)
{
    const struct message_place *place = user;

    ring.yields = place->here == place->there;
    return message_pair(place, fill_box, drain_box, n);
}

/* ---- one to many ----------------------------------------------------------------------------- */

#define SUBSCRIBERS 8

struct shared {
    uint64_t refs; /* atomic */
    char data[sizeof(payload)];
};

static struct {
    struct shared *places[64];
    uint64_t head, tail;
} LINE subscribers[SUBSCRIBERS];

static void publish(void)
{
    struct shared *shared = malloc(sizeof(*shared));

    if (!shared)
        bench_die("no memory");
    memcpy(shared->data, payload, sizeof(shared->data));
    __atomic_store_n(&shared->refs, SUBSCRIBERS, __ATOMIC_RELAXED);
    for (int i = 0; i < SUBSCRIBERS; i++) {
        uint64_t tail = subscribers[i].tail;
        subscribers[i].places[tail % 64] = shared;
        __atomic_store_n(&subscribers[i].tail, tail + 1, __ATOMIC_RELEASE);
    }
}

static void receive(int i)
{
    struct shared *shared = subscribers[i].places[subscribers[i].head++ % 64];

    message_touch(shared->data, sizeof(shared->data));
    if (__atomic_sub_fetch(&shared->refs, 1, __ATOMIC_ACQ_REL) == 0)
        free(shared);
}

double limit_fan(void *user, long n)
{
    const struct message_place *place = user;
    double start;

    bench_place(0, place->here);
    start = bench_now();
    for (long i = 0; i < n; i++) {
        publish();
        for (int k = 0; k < SUBSCRIBERS; k++)
            receive(k);
    }
    return bench_now() - start;
}
