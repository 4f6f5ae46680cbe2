/* SPDX-License-Identifier: MIT */
#include "runtime/reload/queue.h"
#include "runtime/base/memory.h"
#include "runtime/core/registry.h"
#include "runtime/core/schedule.h"

#define LOOK_FIRST_NS INT64_C(500000)
#define LOOK_LAST_NS  INT64_C(50000000)

struct queued {
    struct berth_list link;
    struct berth_timer timer; /* looks whether the chain has left */
    int64_t pause;
    struct berth_module *module;
    uint32_t chain;
    void (*run)(void *argument), (*drop)(void *argument);
    void *argument;
};

static bool chain_inside(const struct queued *queued)
{
    struct berth_host *host = queued->module->host;
    size_t inside = 0;
    pthread_mutex_lock(&host->lock);
    berth_list_each(&host->generations, link) {
        struct berth_generation *generation = berth_container(link, struct berth_generation, all);
        if (generation->module == queued->module)
            inside += berth_frames_count_of(&host->threads, queued->chain, berth_generation_holds,
                                            generation, &generation->stopping);
    }
    pthread_mutex_unlock(&host->lock);
    return inside > 0;
}

static void job(void *argument)
{
    struct queued *queued = argument;
    struct berth_host *host = queued->module->host;
    pthread_mutex_lock(&host->lock);
    berth_list_remove(&queued->link);
    pthread_mutex_unlock(&host->lock);
    berth_timer_remove(&queued->timer); /* it may still be in its callback, which has made us */
    queued->run(queued->argument);
    berth_free(queued);
}

static void look(struct berth_timer *timer)
{
    struct queued *queued = timer->owner;
    struct berth_host *host = queued->module->host;
    if (!chain_inside(queued) && berth_schedule_own_job(host, job, queued) == BERTH_OK)
        return;
    queued->pause = queued->pause < LOOK_LAST_NS ? queued->pause * 2 : LOOK_LAST_NS;
    berth_timer_add(host->loop, timer, berth_now() + queued->pause, NULL);
}

int berth_queue_add(const berth_ctx *ctx, struct berth_module *module, void (*run)(void *argument),
                    void (*drop)(void *argument), void *argument, struct berth_error *error)
{
    struct berth_host *host = module->host;
    struct queued *queued = berth_calloc(1, sizeof *queued);
    if (!queued)
        return berth_error_nomem(error);
    *queued = (struct queued){ .module = module,
                               .chain = berth_block(ctx)->chain,
                               .pause = LOOK_FIRST_NS,
                               .run = run,
                               .drop = drop,
                               .argument = argument };
    queued->timer = (struct berth_timer){ .fire = look, .owner = queued };
    berth_list_init(&queued->link);
    pthread_mutex_lock(&host->lock);
    int code = berth_timer_add(host->loop, &queued->timer, berth_now() + queued->pause, error);
    if (code == BERTH_OK)
        berth_list_append(&host->queued_reloads, &queued->link);
    pthread_mutex_unlock(&host->lock);
    if (code != BERTH_OK)
        berth_free(queued);
    return code;
}

void berth_queue_drop(struct berth_host *host)
{
    berth_list_each_safe(&host->queued_reloads, link) {
        struct queued *queued = berth_container(link, struct queued, link);
        berth_timer_remove(&queued->timer);
        berth_list_remove(&queued->link);
        queued->drop(queued->argument);
        berth_free(queued);
    }
}
