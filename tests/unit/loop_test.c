/* SPDX-License-Identifier: MIT */
#include "runtime/loop/loop.h"

#include "tests/support/suite.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define MS           INT64_C(1000000)
#define LONG         berth_test_patience() /* never reached by a test that passes */

static struct berth_loop *loop_new(void)
{
    struct berth_loop *loop = NULL;
    struct berth_error error;

    CHECK_CODE(berth_loop_new(&loop, &error), BERTH_OK, &error);
    REQUIRE(loop);
    return loop;
}

static bool readable(int fd)
{
    struct pollfd polled = { .fd = fd, .events = POLLIN };
    return poll(&polled, 1, 0) == 1;
}

/* ---- An order in which things happened ---- */

static struct {
    const void *what[64];
    size_t count;
} happened;

static void note(const void *what)
{
    if (happened.count < COUNT(happened.what))
        happened.what[happened.count] = what;
    happened.count++;
}

static void note_timer(struct berth_timer *timer)
{
    note(timer);
}

static void note_source(struct berth_source *source, uint32_t events)
{
    (void)events;
    note(source);
}

static void add_timer(struct berth_loop *loop, struct berth_timer *timer, int64_t due)
{
    struct berth_error error;
    CHECK_CODE(berth_timer_add(loop, timer, due, &error), BERTH_OK, &error);
}

static void add_source(struct berth_loop *loop, struct berth_source *source)
{
    struct berth_error error;
    CHECK_CODE(berth_source_add(loop, source, &error), BERTH_OK, &error);
}

/* Runs what is due until there is nothing. */
static int drain(struct berth_loop *loop)
{
    int all = 0, ran;
    while ((ran = berth_loop_run(loop, 0)) > 0)
        all += ran;
    return all;
}

/* ---- Timers ---- */

static void timers_fire_in_order_and_when_due(void)
{
    struct berth_loop *loop = loop_new();
    struct berth_timer timers[200] = { 0 };
    int64_t start = berth_now();
    size_t late = 0;

    happened.count = 0;
    for (size_t i = 0; i < COUNT(timers); i++) {
        timers[i].fire = note_timer;
        add_timer(loop, &timers[i], start + (int64_t)berth_test_random_below(1000) * 1000);
    }
    for (size_t i = 0; i < COUNT(timers); i += 3) /* move some, remove some */
        add_timer(loop, &timers[i], start + (int64_t)berth_test_random_below(1000) * 1000);
    for (size_t i = 0; i < COUNT(timers); i += 5) {
        berth_timer_remove(&timers[i]);
        late++;
    }
    add_timer(loop, &timers[0], start + LONG);
    while (berth_now() < start + 2 * MS)
        sched_yield();
    CHECK_INT(drain(loop), COUNT(timers) - late);
    for (size_t i = 1; i < COUNT(happened.what) && i < happened.count; i++)
        CHECK(((const struct berth_timer *)happened.what[i - 1])->due <=
              ((const struct berth_timer *)happened.what[i])->due);
    CHECK_INT(timers[0].position, 1);
    berth_timer_remove(&timers[0]);
    berth_timer_remove(&timers[0]);
    CHECK_INT(drain(loop), 0);
    berth_loop_free(loop);
}

static void running_waits_for_a_timer_and_no_longer(void)
{
    struct berth_loop *loop = loop_new();
    struct berth_timer timer = { .fire = note_timer };
    int64_t start = berth_now();

    CHECK_INT(berth_loop_run(loop, 5 * MS), 0);
    CHECK(berth_now() >= start + 5 * MS);
    start = berth_now();
    add_timer(loop, &timer, start + LONG);
    CHECK_INT(berth_loop_run(loop, 0), 0);
    add_timer(loop, &timer, start + 5 * MS);
    CHECK_INT(berth_loop_run(loop, LONG), 1);
    CHECK(berth_now() >= start + 5 * MS);
    CHECK(berth_now() < start + LONG);
    berth_loop_free(loop);
}

static void again_and_again(struct berth_timer *timer)
{
    struct berth_loop *loop = timer->owner;
    note(timer);
    add_timer(loop, timer, timer->due + MS / 10);
}

static void a_timer_may_be_added_again_where_it_fires(void)
{
    struct berth_loop *loop = loop_new();
    struct berth_timer timer = { .fire = again_and_again, .owner = loop }, other = { 0 };

    other.fire = note_timer;
    happened.count = 0;
    add_timer(loop, &timer, 1); /* due for ages, and always again */
    add_timer(loop, &other, 2);
    CHECK_INT(berth_loop_run(loop, 0), 2);
    CHECK_INT(other.position, 0);
    for (int i = 0; i < 10; i++)
        CHECK_INT(berth_loop_run(loop, LONG), 1);
    berth_timer_remove(&timer);
    CHECK_INT(happened.count, 12);
    berth_loop_free(loop);
}

static void free_timer(struct berth_timer *timer)
{
    note(timer);
    free(timer);
}

static void a_timer_may_be_freed_where_it_fires(void)
{
    struct berth_loop *loop = loop_new();

    for (int i = 0; i < 10; i++) {
        struct berth_timer *timer = calloc(1, sizeof(*timer));
        timer->fire = free_timer;
        add_timer(loop, timer, i);
    }
    CHECK_INT(drain(loop), 10);
    berth_loop_free(loop);
}

static void a_removed_timer_wakes_nobody(void)
{
    struct berth_loop *loop = loop_new();
    struct berth_timer timer = { .fire = note_timer };
    int64_t start = berth_now();

    add_timer(loop, &timer, start + MS);
    berth_timer_remove(&timer);
    CHECK_INT(berth_loop_run(loop, 10 * MS), 0);
    CHECK(berth_now() >= start + 10 * MS);
    berth_loop_free(loop);
}

static void extreme_times_are_fine(void)
{
    struct berth_loop *loop = loop_new();
    struct berth_timer first = { .fire = note_timer }, last = { .fire = note_timer };

    add_timer(loop, &last, BERTH_FOREVER);
    CHECK_INT(berth_loop_run(loop, 2 * MS), 0);
    add_timer(loop, &first, INT64_MIN);
    CHECK_INT(berth_loop_run(loop, BERTH_FOREVER), 1);
    CHECK_INT(berth_loop_run(loop, -1), 0);
    berth_timer_remove(&last);
    berth_loop_free(loop);
}

/* ---- Sources ---- */

static void sources_say_when_they_are_ready(void)
{
    struct berth_loop *loop = loop_new();
    struct berth_source source = { .ready = note_source, .events = EPOLLIN };

    source.fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    add_source(loop, &source);
    happened.count = 0;
    CHECK_INT(berth_loop_run(loop, 0), 0);
    eventfd_write(source.fd, 1);
    CHECK_INT(berth_loop_run(loop, LONG), 1);
    CHECK_INT(berth_loop_run(loop, LONG), 1); /* still: what is not read stays */
    berth_source_modify(&source, EPOLLIN | EPOLLONESHOT);
    CHECK_INT(berth_loop_run(loop, LONG), 1);
    CHECK_INT(berth_loop_run(loop, 0), 0); /* once */
    berth_source_modify(&source, EPOLLOUT | EPOLLONESHOT);
    CHECK_INT(berth_loop_run(loop, LONG), 1);
    CHECK_INT(happened.count, 4);
    berth_source_remove(&source);
    berth_source_remove(&source);
    berth_source_modify(&source, EPOLLIN);
    CHECK_INT(berth_loop_run(loop, 0), 0);
    add_source(loop, &source);
    CHECK_INT(berth_loop_run(loop, 0), 1);
    berth_source_remove(&source);
    close(source.fd);
    berth_loop_free(loop);
}

static void what_cannot_be_watched_is_refused(void)
{
    struct berth_loop *loop = loop_new();
    struct berth_source source = { .ready = note_source, .events = EPOLLIN, .fd = -1 };
    struct berth_error error;

    CHECK(berth_source_add(loop, &source, &error) != BERTH_OK);
    CHECK_CONTAINS(error.text, "-1");
    source.fd = open(berth_test_source("LICENSE"), O_RDONLY | O_CLOEXEC);
    CHECK_CODE(berth_source_add(loop, &source, &error), BERTH_FAILED_PRECONDITION, &error);
    CHECK(!source.loop);
    berth_source_remove(&source);
    close(source.fd);
    berth_loop_free(loop);
}

/* The first that is called removes and frees all others, whose events have been fetched already. */
struct crowd {
    struct berth_source *members[16];
};

static void only_one_remains(struct berth_source *source, uint32_t events)
{
    struct crowd *crowd = source->owner;

    (void)events;
    note(source);
    for (size_t i = 0; i < COUNT(crowd->members); i++) {
        struct berth_source *member = crowd->members[i];
        int fd = member->fd;
        crowd->members[i] = NULL;
        berth_source_remove(member); /* itself, too */
        free(member);
        close(fd);
    }
}

static void a_late_event_calls_nobody(void)
{
    struct berth_loop *loop = loop_new();
    struct crowd crowd;

    happened.count = 0;
    for (size_t i = 0; i < COUNT(crowd.members); i++) {
        struct berth_source *source = crowd.members[i] = calloc(1, sizeof(*source));
        *source = (struct berth_source){ .ready = only_one_remains, .events = EPOLLIN };
        source->owner = &crowd;
        source->fd = eventfd(1, EFD_CLOEXEC);
        add_source(loop, source);
    }
    CHECK_INT(drain(loop), 1);
    CHECK_INT(happened.count, 1);
    berth_loop_free(loop);
}

static void silence_the_other(struct berth_source *source, uint32_t events)
{
    (void)events;
    note(source);
    berth_source_modify(source->owner, 0);
}

static void a_changed_wish_counts_for_fetched_events(void)
{
    struct berth_loop *loop = loop_new();
    struct berth_source a = { .ready = silence_the_other, .events = EPOLLIN }, b = a;

    a.owner = &b;
    b.owner = &a;
    a.fd = eventfd(1, EFD_CLOEXEC);
    b.fd = eventfd(1, EFD_CLOEXEC);
    add_source(loop, &a);
    add_source(loop, &b);
    CHECK_INT(berth_loop_run(loop, 0), 1);
    berth_source_remove(&a);
    berth_source_remove(&b);
    close(a.fd);
    close(b.fd);
    berth_loop_free(loop);
}

/* ---- Removal and running callbacks ---- */

struct gate {
    struct berth_loop *loop;
    int inside, open; /* atomic */
};

static void *run_until_one(void *loop)
{
    while (berth_loop_run(loop, LONG) == 0)
        ;
    return NULL;
}

static void wait_at_gate(struct berth_timer *timer)
{
    struct gate *gate = timer->owner;

    __atomic_store_n(&gate->inside, 1, __ATOMIC_SEQ_CST);
    while (!__atomic_load_n(&gate->open, __ATOMIC_SEQ_CST))
        usleep(100);
    add_timer(gate->loop, timer, 1); /* due: would run again at once */
    usleep(2000);
    __atomic_store_n(&gate->inside, 0, __ATOMIC_SEQ_CST);
}

static void *open_gate(void *argument)
{
    struct gate *gate = argument;
    usleep(5000);
    __atomic_store_n(&gate->open, 1, __ATOMIC_SEQ_CST);
    return NULL;
}

static void removal_waits_for_the_callback(void)
{
    struct berth_loop *loop = loop_new();
    struct gate gate = { .loop = loop };
    struct berth_timer timer = { .fire = wait_at_gate, .owner = &gate };
    pthread_t runner, opener;

    add_timer(loop, &timer, 1);
    pthread_create(&runner, NULL, run_until_one, loop);
    while (!__atomic_load_n(&gate.inside, __ATOMIC_SEQ_CST))
        usleep(100);
    pthread_create(&opener, NULL, open_gate, &gate);
    berth_timer_remove(&timer);
    CHECK_INT(__atomic_load_n(&gate.inside, __ATOMIC_SEQ_CST), 0);
    CHECK_INT(timer.position, 0); /* although the callback had put it back */
    pthread_join(opener, NULL);
    pthread_join(runner, NULL);
    CHECK_INT(berth_loop_run(loop, 0), 0);
    berth_loop_free(loop);
}

static void remove_itself(struct berth_source *source, uint32_t events)
{
    struct gate *gate = source->owner;

    (void)events;
    berth_source_remove(source);
    __atomic_store_n(&gate->inside, 1, __ATOMIC_SEQ_CST);
    while (!__atomic_load_n(&gate->open, __ATOMIC_SEQ_CST))
        usleep(100);
    usleep(2000);
    __atomic_store_n(&gate->inside, 0, __ATOMIC_SEQ_CST);
}

static void removal_waits_even_for_one_that_has_removed_itself(void)
{
    struct berth_loop *loop = loop_new();
    struct gate gate = { .loop = loop };
    struct berth_source source = { .ready = remove_itself, .events = EPOLLIN, .owner = &gate };
    pthread_t runner, opener;

    source.fd = eventfd(1, EFD_CLOEXEC);
    add_source(loop, &source);
    pthread_create(&runner, NULL, run_until_one, loop);
    while (!__atomic_load_n(&gate.inside, __ATOMIC_SEQ_CST))
        usleep(100);
    pthread_create(&opener, NULL, open_gate, &gate);
    berth_source_remove(&source);
    CHECK_INT(__atomic_load_n(&gate.inside, __ATOMIC_SEQ_CST), 0);
    pthread_join(opener, NULL);
    pthread_join(runner, NULL);
    close(source.fd);
    berth_loop_free(loop);
}

/* ---- Running ---- */

static void the_descriptor_tells_what_is_to_do(void)
{
    struct berth_loop *loop = loop_new();
    struct berth_timer timer = { .fire = note_timer };
    struct berth_source source = { .ready = note_source, .events = EPOLLIN };
    int fd = berth_loop_fd(loop);
    uint64_t value;

    CHECK(!readable(fd));
    CHECK(fcntl(fd, F_GETFD) & FD_CLOEXEC);
    add_timer(loop, &timer, berth_now() + LONG);
    CHECK(!readable(fd));
    add_timer(loop, &timer, berth_now() + 2 * MS);
    CHECK_INT(poll(&(struct pollfd){ .fd = fd, .events = POLLIN }, 1, (int)(LONG / MS)), 1);
    CHECK_INT(berth_loop_run(loop, 0), 1);
    CHECK(!readable(fd));

    source.fd = eventfd(0, EFD_CLOEXEC);
    add_source(loop, &source);
    CHECK(!readable(fd));
    eventfd_write(source.fd, 1);
    CHECK(readable(fd));
    eventfd_read(source.fd, &value);
    CHECK(!readable(fd));
    berth_source_remove(&source);
    close(source.fd);

    berth_loop_wake(loop);
    CHECK(readable(fd));
    CHECK_INT(berth_loop_run(loop, LONG), 0);
    CHECK(!readable(fd));
    berth_loop_free(loop);
}

static void *wake_later(void *loop)
{
    usleep(3000);
    berth_loop_wake(loop);
    return NULL;
}

static void a_wake_ends_one_wait(void)
{
    struct berth_loop *loop = loop_new();
    int64_t start = berth_now();
    pthread_t thread;

    pthread_create(&thread, NULL, wake_later, loop);
    CHECK_INT(berth_loop_run(loop, LONG), 0);
    pthread_join(thread, NULL);
    berth_loop_wake(loop); /* before: it is remembered, and not counted */
    berth_loop_wake(loop);
    CHECK_INT(berth_loop_run(loop, LONG), 0);
    CHECK(berth_now() < start + LONG);
    start = berth_now();
    CHECK_INT(berth_loop_run(loop, 5 * MS), 0);
    CHECK(berth_now() >= start + 5 * MS);
    berth_loop_free(loop);
}

static void run_inside(struct berth_timer *timer)
{
    note(timer);
    CHECK_INT(berth_loop_run(timer->owner, LONG), 0);
    CHECK_INT(berth_loop_run(timer->owner, 0), 0);
}

static void running_inside_a_callback_does_nothing(void)
{
    struct berth_loop *loop = loop_new();
    struct berth_timer a = { .fire = run_inside, .owner = loop }, b = a;

    add_timer(loop, &a, 1);
    add_timer(loop, &b, 1);
    CHECK_INT(berth_loop_run(loop, 0), 2);
    berth_loop_free(loop);
}

static void *run_once(void *argument)
{
    struct gate *gate = argument;
    __atomic_store_n(&gate->inside, 1, __ATOMIC_SEQ_CST);
    berth_loop_run(gate->loop, LONG);
    return NULL;
}

static void one_thread_runs_at_a_time(void)
{
    struct berth_loop *loop = loop_new();
    struct gate gate = { .loop = loop };
    struct berth_timer timer = { .fire = wait_at_gate, .owner = &gate };
    int64_t start = berth_now();
    pthread_t runner, next;

    add_timer(loop, &timer, 1);
    pthread_create(&runner, NULL, run_until_one, loop);
    while (!__atomic_load_n(&gate.inside, __ATOMIC_SEQ_CST))
        usleep(100);
    CHECK_INT(berth_loop_run(loop, 0), 0);
    CHECK_INT(berth_loop_run(loop, 5 * MS), 0); /* waits for its turn, and gets none */
    CHECK(berth_now() >= start + 5 * MS);
    __atomic_store_n(&gate.inside, 0, __ATOMIC_SEQ_CST);
    pthread_create(&next, NULL, run_once, &gate);
    while (!__atomic_load_n(&gate.inside, __ATOMIC_SEQ_CST))
        usleep(100);
    __atomic_store_n(&gate.open, 1, __ATOMIC_SEQ_CST);
    pthread_join(runner, NULL);
    pthread_join(next, NULL); /* has had its turn: ran the timer that was put back */
    CHECK(berth_now() < start + LONG);
    berth_timer_remove(&timer);
    berth_loop_free(loop);
}

static void on_signal(int number)
{
    (void)number;
}

static void *interrupt(void *argument)
{
    pthread_t *thread = argument;
    for (int i = 0; i < 5; i++) {
        usleep(1000);
        pthread_kill(*thread, SIGUSR1);
    }
    return NULL;
}

static void a_signal_is_no_event(void)
{
    struct berth_loop *loop = loop_new();
    struct sigaction action = { .sa_handler = on_signal }, before;
    pthread_t self = pthread_self(), thread;
    int64_t start = berth_now();

    sigaction(SIGUSR1, &action, &before);
    pthread_create(&thread, NULL, interrupt, &self);
    CHECK_INT(berth_loop_run(loop, 30 * MS), 0);
    CHECK(berth_now() >= start + 30 * MS);
    pthread_join(thread, NULL);
    sigaction(SIGUSR1, &before, NULL);
    berth_loop_free(loop);
}

static void loops_leave_nothing_behind(void)
{
    size_t before = berth_test_descriptors();

    berth_loop_free(NULL);
    for (int i = 0; i < 100; i++)
        berth_loop_free(loop_new());
    CHECK_INT(berth_test_descriptors(), before);
}

/* ---- Many threads ---- */

enum { RUNNERS = 2, MEMBERS = 3, ITEMS = 4, ROUNDS = 2000 };

/* What a member owns. Freed after each removal, so that a late callback is a use after free. */
struct item {
    struct berth_timer timer;
    struct berth_source source;
    int alive; /* not atomic: TSan sees a callback that runs beside the removal */
    unsigned seed;
};

static struct {
    struct berth_loop *loop;
    int stop, callbacks; /* atomic */
} stress;

static unsigned draw(unsigned *seed)
{
    *seed = *seed * 1103515245 + 12345;
    return *seed >> 16;
}

static void stress_fire(struct berth_timer *timer)
{
    struct item *item = timer->owner;

    CHECK(item->alive == 1);
    __atomic_fetch_add(&stress.callbacks, 1, __ATOMIC_RELAXED);
    if (draw(&item->seed) % 2)
        berth_timer_add(stress.loop, timer, berth_now() + draw(&item->seed) % 50000, NULL);
}

static void stress_ready(struct berth_source *source, uint32_t events)
{
    struct item *item = source->owner;

    (void)events;
    CHECK(item->alive == 1);
    __atomic_fetch_add(&stress.callbacks, 1, __ATOMIC_RELAXED);
    switch (draw(&item->seed) % 8) {
    case 0:
        berth_source_remove(source);
        break;
    case 1:
        berth_source_remove(source);
        berth_source_add(stress.loop, source, NULL);
        break;
    case 2:
        berth_source_modify(source, EPOLLIN | EPOLLONESHOT);
        break;
    default:
        break;
    }
}

static struct item *item_new(unsigned seed)
{
    struct item *item = calloc(1, sizeof(*item));

    *item = (struct item){ .alive = 1, .seed = seed };
    item->timer = (struct berth_timer){ .fire = stress_fire, .owner = item };
    item->source = (struct berth_source){ .ready = stress_ready, .owner = item };
    item->source.fd = eventfd(1, EFD_CLOEXEC | EFD_NONBLOCK);
    item->source.events = EPOLLIN | (seed % 2 ? EPOLLONESHOT : 0);
    if (seed % 4)
        berth_source_add(stress.loop, &item->source, NULL);
    if (seed % 5)
        berth_timer_add(stress.loop, &item->timer, berth_now() + seed % 20000, NULL);
    return item;
}

static void item_free(struct item *item)
{
    berth_source_remove(&item->source);
    berth_timer_remove(&item->timer);
    CHECK(item->alive == 1);
    item->alive = 0;
    close(item->source.fd);
    free(item);
}

static void *stress_member(void *argument)
{
    unsigned seed = (unsigned)(uintptr_t)argument;
    struct item *items[ITEMS] = { 0 };

    int rounds = berth_test_instrumented() ? ROUNDS / 4 : ROUNDS;

    /* Or longer, where the runners get no turn. */
    for (int round = 0; round < rounds || !__atomic_load_n(&stress.callbacks, __ATOMIC_RELAXED);
         round++) {
        size_t i = draw(&seed) % ITEMS;
        if (!items[i]) {
            items[i] = item_new(draw(&seed));
        } else if (draw(&seed) % 2) {
            berth_source_modify(&items[i]->source, EPOLLIN | EPOLLONESHOT);
        } else {
            item_free(items[i]);
            items[i] = NULL;
        }
        if (draw(&seed) % 16 == 0)
            berth_loop_wake(stress.loop);
        if (draw(&seed) % 8 == 0)
            sched_yield();
    }
    for (size_t i = 0; i < ITEMS; i++)
        if (items[i])
            item_free(items[i]);
    return NULL;
}

static void *stress_runner(void *argument)
{
    (void)argument;
    while (!__atomic_load_n(&stress.stop, __ATOMIC_SEQ_CST))
        berth_loop_run(stress.loop, LONG);
    berth_loop_wake(stress.loop); /* the next one */
    return NULL;
}

static void adding_and_removing_from_many_threads(void)
{
    pthread_t runners[RUNNERS], members[MEMBERS];
    size_t descriptors = berth_test_descriptors();

    stress.loop = loop_new();
    stress.stop = stress.callbacks = 0;
    for (size_t i = 0; i < RUNNERS; i++)
        pthread_create(&runners[i], NULL, stress_runner, NULL);
    for (size_t i = 0; i < MEMBERS; i++)
        pthread_create(&members[i], NULL, stress_member, (void *)(uintptr_t)berth_test_random());
    for (size_t i = 0; i < MEMBERS; i++)
        pthread_join(members[i], NULL);
    __atomic_store_n(&stress.stop, 1, __ATOMIC_SEQ_CST);
    berth_loop_wake(stress.loop);
    for (size_t i = 0; i < RUNNERS; i++)
        pthread_join(runners[i], NULL);
    CHECK(stress.callbacks > 0);
    berth_loop_free(stress.loop);
    CHECK_INT(berth_test_descriptors(), descriptors);
}

/* A timer that is added while another thread waits in the loop must end that wait. */
static void count_down(struct berth_timer *timer)
{
    __atomic_store_n((int *)timer->owner, 1, __ATOMIC_SEQ_CST);
}

static void no_wake_up_is_missed(void)
{
    struct berth_timer timer = { .fire = count_down };
    pthread_t runner;
    int fired;
    int64_t end = berth_now() + LONG; /* a slow machine does fewer of them */

    stress.loop = loop_new();
    stress.stop = 0;
    timer.owner = &fired;
    pthread_create(&runner, NULL, stress_runner, NULL);
    for (int i = 0; i < (berth_test_instrumented() ? 2000 : 20000) && berth_now() < end; i++) {
        int64_t start = berth_now();
        __atomic_store_n(&fired, 0, __ATOMIC_SEQ_CST);
        berth_timer_add(stress.loop, &timer, start + (i % 7) * 1000, NULL);
        while (!__atomic_load_n(&fired, __ATOMIC_SEQ_CST) && berth_now() < start + LONG / 2)
            sched_yield();
        CHECK(fired);
        if (!fired)
            break;
    }
    __atomic_store_n(&stress.stop, 1, __ATOMIC_SEQ_CST);
    berth_loop_wake(stress.loop);
    pthread_join(runner, NULL);
    berth_timer_remove(&timer);
    berth_loop_free(stress.loop);
}

/* Each waits for something of its own, and cannot know whom a wake is for. */
static void *waiter_main(void *returned)
{
    uint64_t since = berth_loop_woken(stress.loop);
    __atomic_add_fetch(&stress.callbacks, 1, __ATOMIC_SEQ_CST); /* it has looked: nothing yet */
    berth_loop_run_since(stress.loop, since, BERTH_FOREVER);
    __atomic_add_fetch((int *)returned, 1, __ATOMIC_SEQ_CST);
    return NULL;
}

static void a_wake_is_for_all_who_wait(void)
{
    pthread_t waiters[RUNNERS];
    int returned = 0;

    stress.loop = loop_new();
    stress.callbacks = 0;
    for (size_t i = 0; i < RUNNERS; i++)
        pthread_create(&waiters[i], NULL, waiter_main, &returned);
    EVENTUALLY(__atomic_load_n(&stress.callbacks, __ATOMIC_SEQ_CST) == RUNNERS);
    berth_loop_wake(stress.loop);
    EVENTUALLY(__atomic_load_n(&returned, __ATOMIC_SEQ_CST) == RUNNERS);
    for (size_t i = 0; i < RUNNERS; i++)
        pthread_join(waiters[i], NULL);
    berth_loop_free(stress.loop);
}

static const struct berth_test tests[] = {
    { "timers_fire_in_order_and_when_due", timers_fire_in_order_and_when_due },
    { "running_waits_for_a_timer_and_no_longer", running_waits_for_a_timer_and_no_longer },
    { "a_timer_may_be_added_again_where_it_fires", a_timer_may_be_added_again_where_it_fires },
    { "a_timer_may_be_freed_where_it_fires", a_timer_may_be_freed_where_it_fires },
    { "a_removed_timer_wakes_nobody", a_removed_timer_wakes_nobody },
    { "extreme_times_are_fine", extreme_times_are_fine },
    { "sources_say_when_they_are_ready", sources_say_when_they_are_ready },
    { "what_cannot_be_watched_is_refused", what_cannot_be_watched_is_refused },
    { "a_late_event_calls_nobody", a_late_event_calls_nobody },
    { "a_changed_wish_counts_for_fetched_events", a_changed_wish_counts_for_fetched_events },
    { "removal_waits_for_the_callback", removal_waits_for_the_callback },
    { "removal_waits_even_for_one_that_has_removed_itself",
      removal_waits_even_for_one_that_has_removed_itself },
    { "the_descriptor_tells_what_is_to_do", the_descriptor_tells_what_is_to_do },
    { "a_wake_ends_one_wait", a_wake_ends_one_wait },
    { "running_inside_a_callback_does_nothing", running_inside_a_callback_does_nothing },
    { "one_thread_runs_at_a_time", one_thread_runs_at_a_time },
    { "a_signal_is_no_event", a_signal_is_no_event },
    { "loops_leave_nothing_behind", loops_leave_nothing_behind },
    { "adding_and_removing_from_many_threads", adding_and_removing_from_many_threads },
    { "no_wake_up_is_missed", no_wake_up_is_missed },
    { "a_wake_is_for_all_who_wait", a_wake_is_for_all_who_wait },
};

int main(int argc, char **argv)
{
    return berth_suite_main("loop", tests, COUNT(tests), argc, argv);
}
