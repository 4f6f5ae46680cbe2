/* SPDX-License-Identifier: MIT */
#include "runtime/core/runner.h"
#include "runtime/loop/loop.h"

#define WATCH_FIRST 50000   /* ns between two looks: what it takes to be woken */
#define WATCH_LAST  1000000 /* while nothing is found */
#define WATCH_IDLE  4       /* looks in a row at nobody who works, and nobody looks any more */

static _Thread_local struct berth_runner *own __attribute__((tls_model("initial-exec")));

struct berth_runner *berth_runner_own(const struct berth_host *host)
{
    return own && own->host == host ? own : NULL;
}

void berth_runner_begin(struct berth_runner *runner)
{
    own = runner;
}

struct berth_module *berth_runner_take(struct berth_runner *runner)
{
    if (!__atomic_load_n(&runner->next, __ATOMIC_RELAXED))
        return NULL;
    return __atomic_exchange_n(&runner->next, NULL, __ATOMIC_ACQ_REL);
}

bool berth_runner_withdraw(struct berth_host *host, struct berth_module *module)
{
    for (size_t i = 0; i < host->pool_size; i++) {
        struct berth_module *expected = module;
        if (__atomic_compare_exchange_n(&host->pool[i].next, &expected, NULL, false,
                                        __ATOMIC_ACQ_REL, __ATOMIC_RELAXED))
            return true;
    }
    return false;
}

/* ---- who is idle; run_lock held -------------------------------------------------------------- */

static void set_idle(struct berth_host *host, size_t count)
{
    __atomic_store_n(&host->idle_threads, count, __ATOMIC_SEQ_CST);
}

static void set_watcher(struct berth_host *host, struct berth_runner *runner)
{
    __atomic_store_n(&host->watcher, runner, __ATOMIC_SEQ_CST);
}

static void leave_idle(struct berth_runner *runner)
{
    struct berth_host *host = runner->host;
    berth_list_remove(&runner->idle);
    set_idle(host, host->idle_threads - 1);
    if (host->watcher == runner)
        set_watcher(host, NULL);
}

struct berth_runner *berth_runner_pop(struct berth_host *host)
{
    struct berth_runner *found = NULL;
    berth_list_each(&host->idle_runners, link) {
        found = berth_container(link, struct berth_runner, idle);
        if (found != host->watcher) /* the others watch nothing */
            break;
    }
    if (found)
        leave_idle(found);
    return found;
}

static bool anything_put(const struct berth_host *host)
{
    for (size_t i = 0; i < host->pool_size; i++)
        if (__atomic_load_n(&host->pool[i].next, __ATOMIC_SEQ_CST))
            return true;
    return false;
}

/* One that is to be woken, as it watches from now on; NULL: there is one, or nobody is idle. */
static struct berth_runner *appoint(struct berth_host *host)
{
    if (host->watcher || berth_list_empty(&host->idle_runners))
        return NULL;
    set_watcher(host, berth_container(host->idle_runners.next, struct berth_runner, idle));
    return host->watcher;
}

/* ---- watching -------------------------------------------------------------------------------- */

/*
 * No place is forgotten: whoever puts something into one reads afterwards who is idle and whether
 * one of them watches; whoever becomes idle, or ends watching, says so and reads the places
 * afterwards.
 */
bool berth_runner_put(struct berth_runner *runner, struct berth_module *module)
{
    struct berth_host *host = runner->host;
    struct berth_module *nothing = NULL;
    if (!__atomic_compare_exchange_n(&runner->next, &nothing, module, false, __ATOMIC_SEQ_CST,
                                     __ATOMIC_RELAXED))
        return false;
    if (__atomic_load_n(&host->watcher, __ATOMIC_SEQ_CST) ||
        !__atomic_load_n(&host->idle_threads, __ATOMIC_SEQ_CST))
        return true;
    pthread_mutex_lock(&host->run_lock);
    struct berth_runner *watcher = appoint(host);
    pthread_mutex_unlock(&host->run_lock);
    if (watcher)
        berth_park_wake(&watcher->park);
    return true;
}

/* What has been a thread's next one since the last look, in which that has begun nothing. */
static struct berth_module *find_stuck(struct berth_host *host)
{
    for (size_t i = 0; i < host->pool_size; i++) {
        struct berth_runner *runner = &host->pool[i];
        uint64_t turns = __atomic_load_n(&runner->turns, __ATOMIC_RELAXED);
        struct berth_module *next = __atomic_load_n(&runner->next, __ATOMIC_RELAXED);
        bool stuck = next && next == runner->seen && turns == runner->seen_turns;
        runner->seen = next;
        runner->seen_turns = turns;
        if (stuck && __atomic_compare_exchange_n(&runner->next, &next, NULL, false,
                                                 __ATOMIC_ACQ_REL, __ATOMIC_RELAXED))
            return next;
    }
    return NULL;
}

/* Until it is not the watcher any more, or has found something. run_lock as in rest. */
static struct berth_module *watch(struct berth_runner *runner)
{
    struct berth_host *host = runner->host;
    struct berth_module *found = NULL;
    int64_t interval = WATCH_FIRST;
    int idle = 0;
    while (host->watcher == runner && !found) {
        pthread_mutex_unlock(&host->run_lock);
        berth_park_sleep(&runner->park, berth_now() + interval);
        pthread_mutex_lock(&host->run_lock);
        if (host->watcher == runner && !host->ending)
            found = find_stuck(host);
        interval = interval < WATCH_LAST / 2 ? interval * 2 : WATCH_LAST;
        idle = host->idle_threads == host->pool_size ? idle + 1 : 0;
        if (host->watcher == runner && idle == WATCH_IDLE) {
            set_watcher(host, NULL);
            if (anything_put(host))
                set_watcher(host, runner);
        }
        if (host->ending)
            break;
    }
    return found;
}

struct berth_module *berth_runner_rest(struct berth_runner *runner)
{
    struct berth_host *host = runner->host;
    struct berth_module *found = NULL;
    berth_list_insert(host->idle_runners.next, &runner->idle);
    set_idle(host, host->idle_threads + 1);
    if (!host->watcher && anything_put(host))
        set_watcher(host, runner);
    while (!berth_list_empty(&runner->idle) && !found && !host->ending) {
        if (host->watcher == runner) {
            found = watch(runner);
        } else {
            pthread_mutex_unlock(&host->run_lock);
            berth_park_wait(&runner->park, BERTH_FOREVER);
            pthread_mutex_lock(&host->run_lock);
        }
    }
    if (!berth_list_empty(&runner->idle))
        leave_idle(runner);
    struct berth_runner *watcher = anything_put(host) ? appoint(host) : NULL;
    if (watcher)
        berth_park_wake(&watcher->park);
    return found;
}
