/* SPDX-License-Identifier: MIT */
#include "runtime/core/timeout.h"

#include "runtime/core/registry.h"
#include "runtime/loop/loop.h"

#include <stdio.h>
#include <string.h>

int64_t berth_call_deadline(int64_t deadline, const struct berth_host *host,
                            const struct berth_cell *cell)
{
    int64_t timeout = cell ? berth_cell_timeout(cell) : 0;
    if (!timeout && deadline == BERTH_FOREVER)
        timeout = berth_host_timeout(host);
    if (timeout <= 0)
        return deadline;
    timeout += berth_now();
    return timeout < deadline ? timeout : deadline;
}

static int set_module(struct berth_host *host, const char *name, int64_t ns,
                      struct berth_error *error)
{
    struct berth_module *module = berth_module_obtain(host, name);
    if (!module)
        return berth_error_nomem(error);
    __atomic_store_n(&module->call_timeout, ns, __ATOMIC_RELAXED);
    berth_module_ask(module);
    return BERTH_OK;
}

static int set_function(struct berth_host *host, const char *name, int64_t ns,
                        struct berth_error *error)
{
    struct berth_cell *cell = berth_cell_obtain(host, name);
    if (!cell)
        return berth_error_nomem(error);
    __atomic_store_n(&cell->timeout, ns, __ATOMIC_RELAXED);
    berth_module_ask(cell->module);
    return BERTH_OK;
}

int berth_timeout_name_check(const char *of, struct berth_error *error)
{
    if (!*of || berth_function_name_valid(of) || berth_identifier_valid(of))
        return BERTH_OK;
    return berth_error_set(error, BERTH_INVALID_ARGUMENT,
                           "\"%.80s\" has no calls: a timeout is that of a module, of "
                           "module.function, or, of \"\", the host's",
                           of);
}

int berth_timeout_set(struct berth_host *host, const char *of, int64_t ns,
                      struct berth_error *error)
{
    bool function = berth_function_name_valid(of);
    int code = berth_timeout_name_check(of, error);
    if (code != BERTH_OK)
        return code;
    if (ns < 0 || (!*of && ns > BERTH_TIMEOUT_MAX))
        ns = 0;
    if (ns > BERTH_TIMEOUT_MAX) /* far away, and yet a deadline: the host's own is not needed */
        ns = BERTH_TIMEOUT_MAX;
    pthread_mutex_lock(&host->lock);
    if (!*of)
        __atomic_store_n(&host->options.call_timeout_ns, ns, __ATOMIC_RELAXED);
    else
        code = function ? set_function(host, of, ns, error) : set_module(host, of, ns, error);
    pthread_mutex_unlock(&host->lock);
    return code;
}

int64_t berth_timeout_get(struct berth_host *host, const char *of)
{
    char name[BERTH_IDENTIFIER_MAX + 1];
    int64_t timeout = 0;
    snprintf(name, sizeof name, "%.*s", (int)strcspn(of, "."), of);
    pthread_mutex_lock(&host->lock);
    const struct berth_cell *cell = berth_map_get(&host->cells, of);
    const struct berth_module *module = berth_module_find(host, name);
    if (cell)
        timeout = berth_cell_timeout(cell);
    else if (module)
        timeout = module->call_timeout;
    pthread_mutex_unlock(&host->lock);
    return timeout ? timeout : berth_host_timeout(host);
}

void berth_timeouts_print(const struct berth_module *module, struct berth_buffer *buffer)
{
    const char *before = ",\"call_timeouts\":{";
    if (module->call_timeout)
        berth_buffer_format(buffer, ",\"call_timeout_ns\":%lld", (long long)module->call_timeout);
    berth_list_each(&module->cells, link) {
        const struct berth_cell *cell = berth_container(link, struct berth_cell, of_module);
        if (!cell->timeout)
            continue;
        berth_buffer_format(buffer, "%s\"%s\":%lld", before, cell->function,
                            (long long)cell->timeout);
        before = ",";
    }
    if (*before == ',' && !before[1])
        berth_buffer_text(buffer, "}");
}
