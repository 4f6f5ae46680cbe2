/* SPDX-License-Identifier: MIT */
/*
 * Who runs what: a fixed pool of threads takes modules with mail from the run queue, a batch per
 * turn; one thread waits in the loop. Jobs, which may block on modules, get threads of their own
 * when no thread of the pool is idle, so that they never wait for each other; and when a thread of
 * the pool waits for somebody else, another one works in its place. A host without threads does all
 * of it in berth_host_dispatch.
 */
#include "runtime/core/schedule.h"
#include "runtime/base/memory.h"
#include "runtime/core/mailbox.h"
#include "runtime/core/runner.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#define JOB_THREADS 64 /* at most, besides the pool */
#define OWN_THREADS 4  /* more of them for the host's own jobs: modules cannot take those */

static void set_queued(struct berth_host *host, size_t count)
{
    __atomic_store_n(&host->queued, count, __ATOMIC_RELAXED);
}

/*
 * Who keeps calls of a module waiting, since it is replaced or unloaded, begins no turn meanwhile:
 * what that calls there would not wait, but come from inside of the reload. One that has gone on
 * elsewhere and is over may be what is waited for.
 */
static bool may_run(struct berth_host *host, const struct berth_module *module)
{
    uint32_t chain = __atomic_load_n(&host->shut_chain, __ATOMIC_RELAXED);
    if (!chain || host->pool_size)
        return true;
    const berth_ctx *ctx = berth_thread_current(&host->threads);
    return !ctx || berth_block(ctx)->chain != chain ||
           __atomic_load_n(&module->back, __ATOMIC_RELAXED);
}

static struct berth_module *take_module(struct berth_host *host)
{
    while (!berth_list_empty(&host->run_queue)) {
        struct berth_module *module =
            berth_container(host->run_queue.next, struct berth_module, run_link);
        berth_list_remove(&module->run_link);
        if (may_run(host, module)) {
            set_queued(host, host->queued - 1);
            return module;
        }
        berth_list_append(&host->kept_out, &module->run_link);
    }
    return NULL;
}

static struct berth_job *take_job(struct berth_host *host)
{
    if (berth_list_empty(&host->jobs))
        return NULL;
    struct berth_job *job = berth_container(host->jobs.next, struct berth_job, link);
    berth_list_remove(&job->link);
    set_queued(host, host->queued - 1);
    return job;
}

static void run_job(struct berth_job *job)
{
    bool lent = job->lent;
    job->run(job->argument);
    if (!lent)
        berth_free(job);
}

/* run_lock held; given up and taken again when something was run: true. */
static bool run_one(struct berth_host *host)
{
    struct berth_job *job = take_job(host);
    struct berth_module *module = job ? NULL : take_module(host);
    if (!job && !module)
        return false;
    pthread_mutex_unlock(&host->run_lock);
    if (job)
        run_job(job);
    else
        berth_mailbox_run(module);
    pthread_mutex_lock(&host->run_lock);
    return true;
}

/* The application's signal handlers run on its own threads. */
static void block_signals(sigset_t *old)
{
    sigset_t all;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, old);
}

struct start {
    struct berth_host *host;
    void *(*run)(void *);
    void *argument;
    char name[16];
};

/* It names itself: for another thread the C library opens a file, which a fork would inherit. */
static void *start_main(void *argument)
{
    struct start start = *(struct start *)argument;
    const struct berth_host_options *options = &start.host->options;
    berth_free(argument);
    pthread_setname_np(pthread_self(), start.name);
    if (options->thread) {
        struct berth_callout callout;
        berth_callout_begin(&callout, &start.host->threads);
        options->thread(options->thread_user);
        berth_callout_end(&callout);
    }
    berth_ctx *ctx = berth_thread_enter(&start.host->threads);
    if (ctx) /* from here on its frames tell where it is: no unload looks at its stack */
        berth_thread_leave(ctx);
    return start.run(start.argument);
}

int berth_thread_spawn(struct berth_host *host, pthread_t *ret_thread, void *(*run)(void *),
                       void *argument, const char *name)
{
    struct start *start = berth_malloc(sizeof *start);
    sigset_t old;
    if (!start)
        return ENOMEM;
    *start = (struct start){ .host = host, .run = run, .argument = argument };
    strncpy(start->name, name, sizeof start->name - 1);
    block_signals(&old);
    int number = pthread_create(ret_thread, NULL, start_main, start);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    if (number != 0)
        berth_free(start);
    return number;
}

/* run_lock held */
static void give_pulse(struct berth_host *host, uint64_t *pulse)
{
    if (*pulse == host->pulse_asked)
        return;
    __atomic_store_n(pulse, host->pulse_asked, __ATOMIC_RELAXED);
    pthread_cond_broadcast(&host->idle);
}

static bool pool_is_asked(const struct berth_host *host)
{
    return __atomic_load_n(&host->pulse_asked, __ATOMIC_RELAXED) !=
           __atomic_load_n(&host->pool_pulse, __ATOMIC_RELAXED);
}

/* Something from the queue, or what another thread did not come to, or rest. */
static void pool_look(struct berth_runner *runner)
{
    struct berth_host *host = runner->host;
    struct berth_module *found = NULL;
    pthread_mutex_lock(&host->run_lock);
    give_pulse(host, &host->pool_pulse);
    if (!host->ending && !run_one(host))
        found = berth_runner_rest(runner);
    pthread_mutex_unlock(&host->run_lock);
    if (found)
        berth_mailbox_run(found);
}

static void *pool_main(void *argument)
{
    struct berth_runner *runner = argument;
    const struct berth_host *host = runner->host;
    berth_runner_begin(runner);
    while (!__atomic_load_n(&host->ending, __ATOMIC_ACQUIRE)) {
        struct berth_module *module = pool_is_asked(host) ? NULL : berth_runner_take(runner);
        __atomic_store_n(&runner->turns, runner->turns + 1, __ATOMIC_RELAXED);
        if (module)
            berth_mailbox_run(module);
        else
            pool_look(runner);
    }
    return NULL;
}

static void *loop_main(void *argument)
{
    struct berth_host *host = argument;
    while (!__atomic_load_n(&host->ending, __ATOMIC_ACQUIRE)) {
        berth_loop_run(host->loop, BERTH_FOREVER);
        pthread_mutex_lock(&host->run_lock);
        give_pulse(host, &host->loop_pulse);
        pthread_mutex_unlock(&host->run_lock);
    }
    return NULL;
}

const char *berth_schedule_check(struct berth_host *host, int64_t deadline)
{
    const struct timespec at = { deadline / 1000000000, deadline % 1000000000 };
    if (!host->pool_size)
        return NULL;
    pthread_mutex_lock(&host->run_lock);
    uint64_t asked = host->pulse_asked + 1;
    __atomic_store_n(&host->pulse_asked, asked, __ATOMIC_RELAXED);
    struct berth_runner *idle = berth_runner_pop(host);
    if (idle)
        berth_park_wake(&idle->park);
    berth_loop_wake(host->loop);
    int number = 0;
    while ((host->pool_pulse < asked || host->loop_pulse < asked) && number != ETIMEDOUT)
        number = pthread_cond_timedwait(&host->idle, &host->run_lock, &at);
    const char *missing = host->pool_pulse < asked   ? "no thread of the pool is free"
                          : host->loop_pulse < asked ? "the loop does not turn"
                                                     : NULL;
    pthread_mutex_unlock(&host->run_lock);
    return missing;
}

/* run_lock held; host->job_threads counts it already. */
static void job_thread_ends(struct berth_host *host)
{
    host->job_threads--;
    pthread_cond_broadcast(&host->idle);
}

/* A thread for jobs: works as long as there are some. */
static void *job_main(void *argument)
{
    struct berth_host *host = argument;
    pthread_mutex_lock(&host->run_lock);
    struct berth_job *job;
    while ((job = take_job(host))) {
        pthread_mutex_unlock(&host->run_lock);
        run_job(job);
        pthread_mutex_lock(&host->run_lock);
    }
    job_thread_ends(host);
    pthread_mutex_unlock(&host->run_lock);
    return NULL;
}

/*
 * In the place of a thread of the pool that waits: as long as there are modules, and it waits. Then
 * a few stay for a while, since who waits for one answer often waits for the next one soon.
 */
#define SPARES_RESTING 2
#define SPARE_REST_NS  20000000

static _Thread_local const struct berth_host *spare_of __attribute__((tls_model("initial-exec")));

/* Until it is called, and counts among the spares again (true). run_lock held. */
static bool spare_rest(struct berth_host *host)
{
    const int64_t until = berth_now() + SPARE_REST_NS;
    const struct timespec at = { until / 1000000000, until % 1000000000 };
    int number = host->spares_resting < SPARES_RESTING ? 0 : ETIMEDOUT;
    host->spares_resting++;
    while (!host->spares_called && !host->ending && number == 0)
        number = pthread_cond_timedwait(&host->spare_called, &host->run_lock, &at);
    host->spares_resting--;
    bool called = host->spares_called > 0;
    host->spares_called -= called;
    return called;
}

static void *spare_main(void *argument)
{
    struct berth_host *host = argument;
    spare_of = host;
    pthread_mutex_lock(&host->run_lock);
    do {
        while (!host->ending && host->blocked >= host->spares && run_one(host))
            ;
        host->spares--;
    } while (spare_rest(host));
    job_thread_ends(host);
    pthread_mutex_unlock(&host->run_lock);
    return NULL;
}

/* Besides the pool. false: a thread of that will come to it. run_lock held. */
static bool add_thread(struct berth_host *host, void *(*run)(void *), const char *name)
{
    pthread_t thread;
    host->job_threads++;
    if (berth_thread_spawn(host, &thread, run, host, name) == 0) {
        pthread_detach(thread);
        return true;
    }
    host->job_threads--;
    return false;
}

/* Somebody is to work in the place of a thread that waits. run_lock held. */
static void add_spare(struct berth_host *host)
{
    bool rests = host->spares_resting > host->spares_called;
    host->spares++;
    if (rests) {
        host->spares_called++;
        pthread_cond_signal(&host->spare_called);
    } else if (host->job_threads >= JOB_THREADS + OWN_THREADS ||
               !add_thread(host, spare_main, "berth-spare")) {
        host->spares--;
    }
}

/* There is something new to do. run_lock held, and given up. */
static void wake_one(struct berth_host *host)
{
    struct berth_runner *idle = berth_runner_pop(host);
    if (!idle && host->blocked > host->spares && !host->ending && host->queued)
        add_spare(host);
    bool dispatched = !host->pool_size;
    pthread_mutex_unlock(&host->run_lock);
    if (idle)
        berth_park_wake(&idle->park);
    else if (dispatched)
        berth_loop_wake(host->loop);
}

void berth_schedule_module(struct berth_module *module)
{
    struct berth_host *host = module->host;
    struct berth_runner *own = berth_runner_own(host);
    if (own && !__atomic_load_n(&host->queued, __ATOMIC_RELAXED) && berth_runner_put(own, module))
        return;
    pthread_mutex_lock(&host->run_lock);
    bool waits = module->kept_out && !host->pool_size; /* it would be tried without a pause */
    berth_list_append(waits ? &host->kept_out : &host->run_queue, &module->run_link);
    set_queued(host, host->queued + 1);
    if (waits)
        pthread_mutex_unlock(&host->run_lock);
    else
        wake_one(host);
}

bool berth_schedule_is_free(const struct berth_host *host)
{
    const struct berth_runner *own = berth_runner_own(host);
    return own && !__atomic_load_n(&own->next, __ATOMIC_RELAXED) &&
           !__atomic_load_n(&host->queued, __ATOMIC_RELAXED) && !pool_is_asked(host) &&
           !__atomic_load_n(&host->ending, __ATOMIC_RELAXED);
}

void berth_schedule_let_in(struct berth_host *host)
{
    if (host->pool_size)
        return;
    pthread_mutex_lock(&host->run_lock);
    bool any = !berth_list_empty(&host->kept_out);
    berth_list_each_safe(&host->kept_out, link) {
        berth_list_remove(link);
        berth_list_append(&host->run_queue, link);
    }
    pthread_mutex_unlock(&host->run_lock);
    if (any)
        berth_loop_wake(host->loop);
}

bool berth_schedule_cancel(struct berth_module *module)
{
    struct berth_host *host = module->host;
    pthread_mutex_lock(&host->run_lock);
    bool waiting = !berth_list_empty(&module->run_link);
    if (waiting) {
        berth_list_remove(&module->run_link);
        set_queued(host, host->queued - 1);
    } else {
        waiting = berth_runner_withdraw(host, module);
    }
    pthread_mutex_unlock(&host->run_lock);
    return waiting;
}

void berth_schedule_blocks(struct berth_host *host)
{
    struct berth_runner *own = berth_runner_own(host);
    if (!own && spare_of != host)
        return;
    struct berth_module *next = own ? berth_runner_take(own) : NULL;
    pthread_mutex_lock(&host->run_lock);
    host->blocked++;
    if (next) {
        berth_list_insert(host->run_queue.next, &next->run_link);
        set_queued(host, host->queued + 1);
    }
    wake_one(host);
}

void berth_schedule_goes_on(struct berth_host *host)
{
    if (!berth_runner_own(host) && spare_of != host)
        return;
    pthread_mutex_lock(&host->run_lock);
    host->blocked--;
    pthread_mutex_unlock(&host->run_lock);
}

/* A thread counts as idle until it has taken its job. run_lock held. */
static bool too_few_idle(const struct berth_host *host)
{
    size_t queued = 0;
    berth_list_each(&host->jobs, link)
        queued++;
    return queued > host->idle_threads;
}

static void put_job(struct berth_host *host, struct berth_job *job, bool own)
{
    size_t most = JOB_THREADS + (own ? OWN_THREADS : 0);
    pthread_mutex_lock(&host->run_lock);
    berth_list_insert(own ? host->jobs.next : &host->jobs, &job->link);
    set_queued(host, host->queued + 1);
    if (host->pool_size && host->job_threads < most && too_few_idle(host))
        add_thread(host, job_main, "berth-job");
    wake_one(host);
}

static int add_job(struct berth_host *host, void (*run)(void *argument), void *argument, bool own)
{
    struct berth_job *job = berth_malloc(sizeof *job);
    if (!job)
        return BERTH_RESOURCE_EXHAUSTED;
    *job = (struct berth_job){ .run = run, .argument = argument };
    put_job(host, job, own);
    return BERTH_OK;
}

void berth_schedule_lent(struct berth_host *host, struct berth_job *job)
{
    job->lent = true;
    put_job(host, job, false);
}

void berth_schedule_own_lent(struct berth_host *host, struct berth_job *job)
{
    job->lent = true;
    put_job(host, job, true);
}

int berth_schedule_job(struct berth_host *host, void (*run)(void *argument), void *argument)
{
    return add_job(host, run, argument, false);
}

int berth_schedule_own_job(struct berth_host *host, void (*run)(void *argument), void *argument)
{
    return add_job(host, run, argument, true);
}

/* Others look at the first pool_size of them, under run_lock. */
static int add_runner(struct berth_host *host, struct berth_runner *runner)
{
    runner->host = host;
    berth_park_init(&runner->park);
    berth_list_init(&runner->idle);
    pthread_mutex_lock(&host->run_lock);
    int number = berth_thread_spawn(host, &runner->thread, pool_main, runner, "berth-pool");
    if (number == 0)
        host->pool_size++;
    pthread_mutex_unlock(&host->run_lock);
    return number;
}

int berth_schedule_start(struct berth_host *host, struct berth_error *error)
{
    int wanted = host->options.threads;
    if (wanted < 0) {
        long processors = sysconf(_SC_NPROCESSORS_ONLN);
        wanted = processors > 0 && processors < 1024 ? (int)processors : 1;
    }
    if (wanted == 0)
        return BERTH_OK;
    size_t size = (size_t)wanted * sizeof *host->pool;
    host->pool = berth_aligned_alloc(_Alignof(struct berth_runner), size);
    if (!host->pool)
        return berth_error_nomem(error);
    memset(host->pool, 0, size);
    int number = berth_thread_spawn(host, &host->loop_thread, loop_main, host, "berth-loop");
    host->loop_started = number == 0;
    for (int i = 0; number == 0 && i < wanted; i++)
        number = add_runner(host, &host->pool[i]);
    return number == 0 ? BERTH_OK : berth_error_errno(error, number, "cannot start a thread");
}

static void end_threads(struct berth_host *host)
{
    __atomic_store_n(&host->ending, true, __ATOMIC_RELEASE);
    for (size_t i = 0; i < host->pool_size; i++)
        berth_park_wake(&host->pool[i].park);
    pthread_cond_broadcast(&host->spare_called);
}

static void wait_for_job_threads(struct berth_host *host)
{
    pthread_mutex_lock(&host->run_lock);
    while (host->job_threads)
        pthread_cond_wait(&host->idle, &host->run_lock);
    pthread_mutex_unlock(&host->run_lock);
}

void berth_schedule_stop(struct berth_host *host)
{
    pthread_mutex_lock(&host->run_lock);
    end_threads(host);
    pthread_mutex_unlock(&host->run_lock);
    wait_for_job_threads(host);
    if (host->loop_started) {
        berth_loop_wake(host->loop);
        pthread_join(host->loop_thread, NULL);
    }
    for (size_t i = 0; i < host->pool_size; i++)
        pthread_join(host->pool[i].thread, NULL);
    wait_for_job_threads(host); /* these may have begun one at their own end */
    berth_aligned_free(host->pool);
    host->pool = NULL;
    host->pool_size = 0;
    struct berth_job *job;
    while ((job = take_job(host))) /* their work is void: run() sees that its module has gone */
        run_job(job);
}

void berth_schedule_leave(struct berth_host *host)
{
    pthread_mutex_lock(&host->run_lock);
    end_threads(host);
    pthread_mutex_unlock(&host->run_lock);
    if (host->loop_started) {
        berth_loop_wake(host->loop);
        pthread_detach(host->loop_thread);
    }
    for (size_t i = 0; i < host->pool_size; i++)
        pthread_detach(host->pool[i].thread);
}

int berth_schedule_run(struct berth_host *host, int64_t timeout)
{
    return berth_schedule_run_since(host, berth_loop_woken(host->loop), timeout);
}

int berth_schedule_run_since(struct berth_host *host, uint64_t since, int64_t timeout)
{
    int done = 0;
    pthread_mutex_lock(&host->run_lock);
    bool ready = !berth_list_empty(&host->run_queue) || !berth_list_empty(&host->jobs);
    pthread_mutex_unlock(&host->run_lock);
    done += berth_loop_run_since(host->loop, since, ready ? 0 : timeout);
    pthread_mutex_lock(&host->run_lock);
    for (int i = 0; i < 64 && run_one(host); i++)
        done++;
    if (!berth_list_empty(&host->run_queue) || !berth_list_empty(&host->jobs))
        berth_loop_wake(host->loop); /* the descriptor stays readable */
    pthread_mutex_unlock(&host->run_lock);
    return done;
}

/* A turn needs a frame of this thread's; berth_mailbox_run tries it again without end. */
static bool can_work(struct berth_host *host)
{
    berth_ctx *inner = berth_thread_enter(&host->threads);
    if (inner)
        berth_thread_leave(inner);
    return inner != NULL;
}

/* What runs meanwhile is not part of what ctx is in. Returns how much was done. */
static int run_apart(berth_ctx *ctx, struct berth_host *host, uint64_t since, int64_t until)
{
    struct berth_thread *thread = berth_thread_of(ctx);
    const struct berth_serving *serving = thread->serving;
    struct berth_started *cause = thread->cause;
    int64_t deadline = thread->deadline, left = until - berth_now();
    const bool *stopping = thread->stopping, *cancelled = thread->cancelled;
    const char *topic = thread->topic;
    bool echo = thread->echo;
    uint16_t others = thread->waiting;
    thread->waiting =
        (uint16_t)(berth_thread_current(&host->threads) + 1 - berth_thread_base(thread));
    thread->serving = NULL;
    thread->cause = NULL;
    thread->cancelled = NULL;
    thread->deadline = BERTH_FOREVER;
    __atomic_store_n(&thread->stopping, NULL, __ATOMIC_RELAXED); /* others look at it, too */
    int done = berth_schedule_run_since(host, since, left > 0 ? left : 0);
    thread->waiting = others;
    thread->serving = serving;
    thread->cause = cause;
    thread->cancelled = cancelled;
    thread->deadline = deadline;
    __atomic_store_n(&thread->stopping, stopping, __ATOMIC_RELAXED);
    thread->topic = topic;
    thread->echo = echo;
    return done;
}

bool berth_schedule_work(berth_ctx *ctx, struct berth_host *host, uint64_t since, int64_t until)
{
    run_apart(ctx, host, since, until);
    return !__atomic_load_n(&host->queued, __ATOMIC_RELAXED) || can_work(host);
}

bool berth_schedule_help(struct berth_host *host)
{
    berth_ctx *ctx = berth_thread_current(&host->threads);
    if (host->pool_size)
        return false;
    if (!ctx)
        return berth_schedule_run(host, 0) > 0;
    return run_apart(ctx, host, berth_loop_woken(host->loop), 0) > 0;
}
