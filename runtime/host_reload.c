/* SPDX-License-Identifier: MIT */
/* Reload, rollback, history and state, for the application: <berth/host.h>. */
#include <berth/host.h>

#include "runtime/base/base64.h"
#include "runtime/base/memory.h"
#include "runtime/base/process.h"
#include "runtime/base/text.h"
#include "runtime/base/time.h"
#include "runtime/core/log.h"
#include "runtime/core/registry.h"
#include "runtime/host.h"
#include "runtime/reload/history.h"
#include "runtime/reload/lifecycle.h"
#include "runtime/reload/queue.h"
#include "runtime/value/json.h"

#include <stdio.h>
#include <string.h>

/* One of the modules of a request. What is NULL is as in berth_reload_options. */
struct target {
    const char *name;
    struct berth_reload_options how;
    bool rollback;
    unsigned generation;      /* to which; 0: the one before */
    const char *snapshot;     /* a state that it is to get; or NULL */
    struct berth_state state; /* which that is */
    struct berth_reload_report report;
};

/* What is asked for: one transaction. */
struct request {
    struct berth_host *host;
    struct target *targets;
    size_t count;
    int64_t began;
};

/* As much of it as there is room for. */
static void set_text(char *to, size_t size, const char *from)
{
    size_t length = berth_utf8_cut(from, strnlen(from, size - 1));
    memcpy(to, from, length);
    to[length] = '\0';
}

static void report_begin(struct target *target)
{
    memset(&target->report, 0, sizeof target->report);
    target->report.size = sizeof target->report;
    set_text(target->report.step, sizeof target->report.step, "stage");
}

/* As much of it as the caller's header has. */
static void report_give(const struct target *target, struct berth_reload_report *report)
{
    size_t size =
        report->size && report->size < sizeof target->report ? report->size : sizeof target->report;
    memcpy(report, &target->report, size);
    report->size = size;
}

/* ---- a state as text ---- */

/* {"module","version","state_version","bytes","state"}, as berth_host_snapshot prints it. */
static int read_snapshot(struct target *target, const char *name, struct berth_arena *arena,
                         struct berth_error *error)
{
    static const struct berth_text_parameter fields[] = {
        { "string", "module", NULL },     { "string", "version", NULL },
        { "u32", "state_version", NULL }, { "u64", "bytes", NULL },
        { "bytes", "state", NULL },
    };
    const struct berth_signature *signature;
    const void **values = NULL;
    struct berth_types *types = berth_types_new();
    int code = types ? berth_signature_new(types, "void", fields, sizeof fields / sizeof *fields,
                                           &signature, error)
                     : berth_error_nomem(error);
    if (code == BERTH_OK)
        code = berth_json_read_named(signature, target->snapshot, strlen(target->snapshot),
                                     "member", arena, &values, error);
    if (code != BERTH_OK)
        berth_error_prefix(error, "the snapshot: ");
    for (size_t i = 0; i < sizeof fields / sizeof *fields && code == BERTH_OK; i++)
        if (!values[i])
            code = berth_error_set(error, BERTH_INVALID_ARGUMENT, "the snapshot has no %s",
                                   fields[i].name);
    if (code == BERTH_OK && strcmp(*(const char *const *)values[0], name) != 0)
        code = berth_error_set(error, BERTH_INVALID_ARGUMENT,
                               "the snapshot is of module %s, not of %s",
                               *(const char *const *)values[0], name);
    if (code == BERTH_OK) {
        memcpy(&target->state.version, values[2], sizeof target->state.version);
        memcpy(&target->state.bytes, values[4], sizeof target->state.bytes);
    }
    berth_types_free(types);
    return code;
}

static void print_snapshot(const struct berth_module *module, const struct berth_state *state,
                           struct berth_buffer *buffer)
{
    const char *version = module->current->image->manifest->version;
    size_t length = berth_base64_length(state->bytes.size);
    berth_buffer_text(buffer, "{\"module\":");
    berth_json_write_string(module->current->image->manifest->name,
                            strlen(module->current->image->manifest->name), buffer);
    berth_buffer_text(buffer, ",\"version\":");
    berth_json_write_string(version, strlen(version), buffer);
    berth_buffer_format(buffer, ",\"state_version\":%u,\"bytes\":%zu,\"state\":\"", state->version,
                        state->bytes.size);
    if (berth_buffer_reserve(buffer, length)) {
        berth_base64_encode(state->bytes.data, state->bytes.size, buffer->data + buffer->size);
        buffer->size += length;
    }
    berth_buffer_text(buffer, "\"}");
}

/* ---- a request, under admin ---- */

/* Its image, from its file or from the history. */
static int stage(struct target *target, struct berth_reload *reload, struct berth_error *error)
{
    struct berth_module *module = reload->module;
    const char *file = target->how.file ? target->how.file : module->current->image->file;
    unsigned number = module->generations + 1;
    const struct berth_image *current = module->current->image;
    const struct berth_known known = { current, berth_history_spare(module) };
    if (target->snapshot) /* the very same code */
        return berth_image_stage_copy(current->copy, current->file, number, &known, &reload->image,
                                      error);
    if (!target->rollback)
        return berth_image_stage(file, number, &known, &reload->image, error);
    const struct berth_past *past;
    struct berth_copy *copy;
    int code = berth_history_find(module, target->generation, &past, &copy, error);
    if (code != BERTH_OK)
        return code;
    reload->options = past->options ? past->options : "{}";
    return berth_image_stage_copy(copy, past->file, number, NULL, &reload->image, error);
}

static int prepare(berth_ctx *admin, struct target *target, struct berth_reload *reload,
                   struct berth_error *error)
{
    struct berth_reload_report *report = &target->report;
    struct berth_module *module = berth_host_find_loaded(
        berth_container(berth_thread_of(admin)->set, struct berth_host, threads), target->name,
        error);
    if (!module)
        return BERTH_NOT_FOUND;
    berth_module_label(module->current, report->from, sizeof report->from);
    int code = berth_host_check_is_file(module, false, error);
    if (code != BERTH_OK)
        return code;
    *reload = (struct berth_reload){ .module = module,
                                     .options = target->how.options,
                                     .placement = target->how.placement,
                                     .restart = target->how.restart,
                                     .probe = (target->how.flags & BERTH_RELOAD_PROBE) != 0,
                                     .report = report };
    set_text(report->from_build, sizeof report->from_build, module->current->image->elf->build_id);
    code = stage(target, reload, error);
    if (code == BERTH_OK)
        set_text(report->to_build, sizeof report->to_build, reload->image->elf->build_id);
    if (code == BERTH_OK && target->snapshot) {
        code = read_snapshot(target, module->current->image->manifest->name,
                             &berth_thread_of(admin)->arena, error);
        reload->state = &target->state;
    }
    return code;
}

static int same_twice(const struct request *request, struct berth_error *error)
{
    for (size_t i = 0; i < request->count; i++)
        for (size_t k = 0; k < i; k++)
            if (strcmp(request->targets[i].name, request->targets[k].name) == 0)
                return berth_error_set(error, BERTH_INVALID_ARGUMENT, "%s is there twice",
                                       request->targets[i].name);
    return BERTH_OK;
}

static int run_staged(berth_ctx *admin, struct request *request, struct berth_reload *reloads,
                      struct berth_error *error)
{
    bool dry = false;
    int code = same_twice(request, error);
    for (size_t i = 0; i < request->count && code == BERTH_OK; i++) {
        dry |= request->targets[i].how.flags & BERTH_RELOAD_DRY_RUN;
        code = prepare(admin, &request->targets[i], &reloads[i], error);
        if (code != BERTH_OK && request->count > 1)
            berth_error_prefix(error, "%s (refused in step stage): ", request->targets[i].name);
    }
    if (code == BERTH_OK)
        return berth_modules_reload(admin, reloads, request->count, dry, error);
    for (size_t i = 0; i < request->count; i++)
        berth_image_free(reloads[i].image);
    return code;
}

static int run(struct request *request, struct berth_error *error)
{
    struct berth_reload only = { 0 };
    struct berth_reload *reloads =
        request->count == 1 ? &only : berth_calloc(request->count, sizeof *reloads);
    berth_ctx *admin = reloads ? berth_admin_enter(request->host, "a reload", error) : NULL;
    int code = admin     ? run_staged(admin, request, reloads, error)
               : reloads ? error->code
                         : berth_error_nomem(error);
    if (admin)
        berth_admin_leave(request->host, admin);
    if (reloads != &only)
        berth_free(reloads);
    return code;
}

static void log_it(berth_host *host, const struct target *target, int code)
{
    const struct berth_reload_report *report = &target->report;
    char took[BERTH_TIME_MAX];
    if (code != BERTH_OK && *report->from)
        berth_host_log(host, NULL, BERTH_LOG_WARNING,
                       "%s goes on as it was: refused in step %s: %s", report->from, report->step,
                       report->why);
    else if (code != BERTH_OK) /* there may be none of that name */
        berth_host_log(host, NULL, BERTH_LOG_WARNING,
                       "a reload of %.64s was refused in step %s: %s", target->name, report->step,
                       report->why);
    else if (strcmp(report->step, "done") == 0)
        berth_host_log(host, NULL, BERTH_LOG_INFO, "%s is %s %s (%s ms)", report->from,
                       target->rollback ? "rolled back to" : "replaced by", report->to,
                       berth_time_print(report->total_ns, BERTH_MILLISECOND, took));
}

/* How it went, in each report, and for who watches. */
static void tell(struct request *request, int code, const struct berth_error *error)
{
    for (size_t i = 0; i < request->count; i++) {
        struct target *target = &request->targets[i];
        target->report.total_ns = berth_now() - request->began;
        if (code != BERTH_OK)
            set_text(target->report.why, sizeof target->report.why, error->text);
        if (target->how.flags & BERTH_RELOAD_DRY_RUN)
            continue;
        log_it(request->host, target, code);
        if (code != BERTH_OK)
            berth_host_refused(request->host, target->name, error);
    }
}

/* ---- a request from inside of what it is about ---- */

/* The first of its modules that this chain is inside of, or NULL. */
static struct berth_module *inside_of(struct request *request)
{
    struct berth_host *host = request->host;
    struct berth_module *found = NULL;
    const berth_ctx *ctx = berth_thread_current(&host->threads);
    if (!ctx)
        return NULL;
    pthread_mutex_lock(&host->lock);
    for (size_t i = 0; i < request->count && !found; i++) {
        struct berth_module *module = berth_module_find(host, request->targets[i].name);
        if (module && module->current && !module->current->image->own_links &&
            berth_generation_inside(ctx, module->current))
            found = module;
        if (found)
            berth_module_label(found->current, request->targets[i].report.from,
                               sizeof request->targets[i].report.from);
    }
    pthread_mutex_unlock(&host->lock);
    return found;
}

static char *copy(const char *text, bool *ok)
{
    char *own = text ? berth_strdup(text) : NULL;
    *ok &= !text || own;
    return own;
}

static void request_free(void *argument)
{
    struct request *request = argument;
    for (size_t i = 0; request && request->targets && i < request->count; i++) {
        struct target *target = &request->targets[i];
        const char *const texts[] = { target->name, target->how.file, target->how.options,
                                      target->how.placement, target->snapshot };
        for (size_t k = 0; k < sizeof texts / sizeof *texts; k++)
            berth_free((char *)(uintptr_t)texts[k]);
        berth_free((void *)(uintptr_t)target->how.restart);
    }
    if (request)
        berth_free(request->targets);
    berth_free(request);
}

/* One that needs nothing of the caller's. NULL: no memory. */
static struct request *request_copy(const struct request *from)
{
    struct request *request = berth_calloc(1, sizeof *request);
    bool ok = request != NULL;
    if (!ok)
        return NULL;
    *request = *from;
    request->targets = berth_calloc(from->count, sizeof *request->targets);
    for (size_t i = 0; request->targets && i < from->count; i++) {
        struct target *target = &request->targets[i];
        const struct berth_restart_policy *restart = from->targets[i].how.restart;
        struct berth_restart_policy *own = restart ? berth_malloc(restart->size) : NULL;
        *target = from->targets[i];
        target->name = copy(target->name, &ok);
        target->how.file = copy(target->how.file, &ok);
        target->how.options = copy(target->how.options, &ok);
        target->how.placement = copy(target->how.placement, &ok);
        target->snapshot = copy(target->snapshot, &ok);
        target->how.restart = own ? memcpy(own, restart, restart->size) : NULL;
        ok &= !restart || own;
    }
    if (request->targets && ok)
        return request;
    request_free(request);
    return NULL;
}

static void run_later(void *argument)
{
    struct request *request = argument;
    struct berth_error error = { 0 };
    request->began = berth_now();
    for (size_t i = 0; i < request->count; i++)
        report_begin(&request->targets[i]);
    int code = run(request, &error);
    tell(request, code, &error);
    request_free(request);
}

static int queue(const struct request *request, struct berth_module *module,
                 struct berth_error *error)
{
    struct request *later = request_copy(request);
    int code = later ? berth_queue_add(berth_thread_current(&request->host->threads), module,
                                       run_later, request_free, later, error)
                     : berth_error_nomem(error);
    if (code != BERTH_OK)
        request_free(later);
    for (size_t i = 0; i < request->count && code == BERTH_OK; i++)
        set_text(request->targets[i].report.step, sizeof request->targets[i].report.step, "queued");
    return code;
}

static int serve(struct request *request, struct berth_error *error)
{
    struct berth_error why = { 0 };
    request->began = berth_now();
    struct berth_module *inside = inside_of(request);
    int code = inside ? queue(request, inside, &why) : run(request, &why);
    tell(request, code, &why);
    if (code != BERTH_OK && error)
        *error = why;
    return code;
}

static int serve_one(berth_host *host, struct target *target, struct berth_reload_report *report,
                     struct berth_error *error)
{
    struct request request = { .host = host, .targets = target, .count = 1 };
    if (berth_process_is_forked())
        return berth_process_refuse(error);
    report_begin(target);
    int code = serve(&request, error);
    if (report)
        report_give(target, report);
    return code;
}

/* ---- <berth/host.h> ---- */

static int take_how(const struct berth_reload_options *how, struct berth_reload_options *ret_how,
                    struct berth_error *error)
{
    int code = berth_take_options(how, offsetof(struct berth_reload_options, restart), ret_how,
                                  sizeof *ret_how, "berth_reload_options", error);
    if (code == BERTH_OK &&
        (ret_how->flags & ~(unsigned)(BERTH_RELOAD_DRY_RUN | BERTH_RELOAD_PROBE)))
        code = berth_error_set(error, BERTH_INVALID_ARGUMENT,
                               "flags are %#x: this library does not know all of them",
                               ret_how->flags);
    return code;
}

int berth_host_reload_with(berth_host *host, const char *name,
                           const struct berth_reload_options *how,
                           struct berth_reload_report *report, struct berth_error *error)
{
    struct target target = { .name = name };
    struct berth_error why = { 0 };
    int code = how ? take_how(how, &target.how, &why) : BERTH_OK;
    if (code == BERTH_OK)
        return serve_one(host, &target, report, error);
    report_begin(&target);
    set_text(target.report.why, sizeof target.report.why, why.text);
    if (report)
        report_give(&target, report);
    if (error)
        *error = why;
    return code;
}

int berth_host_reload(berth_host *host, const char *name, const char *file,
                      struct berth_reload_report *report, struct berth_error *error)
{
    const struct berth_reload_options how = { .size = sizeof how, .file = file };
    return berth_host_reload_with(host, name, &how, report, error);
}

/* The caller's arrays have the strides that its header has. */
static const void *at(const void *array, size_t stride, size_t i)
{
    return (const char *)array + stride * i;
}

int berth_host_reload_all(berth_host *host, const char *const *names,
                          const struct berth_reload_options *how, size_t count,
                          struct berth_reload_report *reports, struct berth_error *error)
{
    struct berth_error why = { 0 };
    if (berth_process_is_forked())
        return berth_process_refuse(error);
    if (count == 0)
        return BERTH_OK;
    struct request request = { .host = host,
                               .targets = berth_calloc(count, sizeof *request.targets),
                               .count = count };
    int code = request.targets ? BERTH_OK : berth_error_nomem(&why);
    size_t stride = reports ? reports->size : 0;
    for (size_t i = 0; i < count && code == BERTH_OK; i++) {
        struct target *target = &request.targets[i];
        target->name = names[i];
        report_begin(target);
        code = how ? take_how(at(how, how->size, i), &target->how, &why) : BERTH_OK;
    }
    if (code == BERTH_OK)
        code = serve(&request, &why);
    for (size_t i = 0; reports && request.targets && i < count; i++)
        report_give(&request.targets[i],
                    (struct berth_reload_report *)(uintptr_t)at(reports, stride, i));
    berth_free(request.targets);
    if (code != BERTH_OK && error)
        *error = why;
    return code;
}

int berth_host_rollback(berth_host *host, const char *name, unsigned generation,
                        struct berth_reload_report *report, struct berth_error *error)
{
    struct target target = { .name = name, .rollback = true, .generation = generation };
    return serve_one(host, &target, report, error);
}

int berth_host_restore(berth_host *host, const char *name, const char *snapshot,
                       struct berth_reload_report *report, struct berth_error *error)
{
    struct target target = { .name = name, .snapshot = snapshot };
    return serve_one(host, &target, report, error);
}

/* Prints something of a loaded module, under admin. */
static int print_of(berth_host *host, const char *name, const char *what,
                    int (*print)(berth_ctx *admin, struct berth_module *module,
                                 struct berth_buffer *buffer, struct berth_error *error),
                    char **ret_json, struct berth_error *error)
{
    struct berth_error why = { 0 };
    struct berth_buffer buffer;
    if (berth_process_is_forked())
        return berth_process_refuse(error);
    berth_buffer_init(&buffer, 0);
    berth_ctx *admin = berth_admin_enter(host, what, &why);
    struct berth_module *module = admin ? berth_host_find_loaded(host, name, &why) : NULL;
    int code = module ? print(admin, module, &buffer, &why) : why.code;
    if (admin)
        berth_admin_leave(host, admin);
    if (code == BERTH_OK)
        code = berth_buffer_check(&buffer, &why);
    char *text = code == BERTH_OK ? berth_buffer_take(&buffer, NULL) : NULL;
    berth_buffer_deinit(&buffer);
    if (code == BERTH_OK)
        *ret_json = text;
    else if (error)
        *error = why;
    return code;
}

static int print_history(berth_ctx *admin, struct berth_module *module, struct berth_buffer *buffer,
                         struct berth_error *error)
{
    (void)admin;
    (void)error;
    berth_history_print(module, buffer);
    return BERTH_OK;
}

int berth_host_history(berth_host *host, const char *name, char **ret_json,
                       struct berth_error *error)
{
    return print_of(host, name, "a look at the history", print_history, ret_json, error);
}

static int print_state(berth_ctx *admin, struct berth_module *module, struct berth_buffer *buffer,
                       struct berth_error *error)
{
    struct berth_state state;
    if (berth_generation_inside(admin, module->current))
        return berth_error_set(error, BERTH_ABORTED,
                               "the state of %s cannot be had from inside of a call of its own",
                               module->name);
    int code = berth_module_save(admin, module, &state, error);
    if (code == BERTH_OK)
        print_snapshot(module, &state, buffer);
    return code;
}

int berth_host_snapshot(berth_host *host, const char *name, char **ret_json,
                        struct berth_error *error)
{
    return print_of(host, name, "a snapshot", print_state, ret_json, error);
}
