/* SPDX-License-Identifier: MIT */
#include "runtime/shell/watch_files.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include "runtime/base/digest.h"
#include "runtime/base/error.h"
#include "runtime/base/text.h"
#include "runtime/shell/client.h"
#include "runtime/shell/document.h"
#include "runtime/shell/file.h"
#include "runtime/shell/log.h"
#include "runtime/shell/roster.h"
#include "runtime/shell/watched.h"

#define AGAIN_MS 50                  /* until a file is looked at again that changed meanwhile */
#define HOLD_NS  INT64_C(2000000000) /* until one that does not fit to the others is told of */

struct module {
    struct module *next;
    char *name, *file;
    struct berth_stamp seen; /* of the file that was taken, or refused, last */
    bool held;               /* does not fit to others, which may change as well */
    bool told;               /* that it is held */
    bool listed;
};

struct berth_watch_files {
    berth_host *host;
    struct module *modules;
    struct berth_watched watched;
    int wake; /* an eventfd */
    bool ending;
    bool again;      /* something is to be looked at soon, though nobody will say so */
    int64_t tell_at; /* of what is held; 0: of nothing */
    uint64_t subscription;
    pthread_t thread;
};

/* ---- what is loaded ---- */

static void module_free(struct module *module)
{
    free(module->name);
    free(module->file);
    free(module);
}

static struct module *find(struct berth_watch_files *watch, const char *name, const char *file)
{
    struct module *module = watch->modules;

    while (module && (!berth_text_equal(module->name, name) || strcmp(module->file, file) != 0))
        module = module->next;
    return module;
}

/* Whether a file is what was loaded: another one may have come into its place since. */
static bool has_content(const char *file, const char *content)
{
    int fd = open(file, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    char text[32] = "", *bytes = NULL;
    struct stat status;
    size_t size;

    if (fd >= 0 && fstat(fd, &status) == 0 && S_ISREG(status.st_mode))
        bytes = berth_file_read_all(fd, SIZE_MAX / 2, &size);
    if (bytes)
        snprintf(text, sizeof(text), "%016llx", (unsigned long long)berth_digest(bytes, size));
    free(bytes);
    if (fd >= 0)
        close(fd);
    return strcmp(text, content) == 0;
}

static int add(struct berth_watch_files *watch, const char *name, const char *file,
               const char *content, struct berth_error *error)
{
    struct module *module = calloc(1, sizeof(*module));

    if (module)
        *module = (struct module){ .next = watch->modules,
                                   .name = strdup(name),
                                   .file = strdup(file),
                                   .seen = berth_stamp_of(file),
                                   .listed = true };
    if (module && !has_content(file, content)) /* the stamp is older than what was looked at */
        module->seen = (struct berth_stamp){ 0 };
    if (!module || !module->name || !module->file) {
        if (module)
            module_free(module);
        return berth_error_nomem(error);
    }
    watch->modules = module;
    return BERTH_OK;
}

static void forget_unlisted(struct berth_watch_files *watch)
{
    for (struct module **at = &watch->modules; *at;) {
        struct module *module = *at;
        if (module->listed) {
            at = &module->next;
            continue;
        }
        *at = module->next;
        module_free(module);
    }
}

/* Watches come first: what changes after them is told, what has changed before is seen. */
static int take(struct berth_watch_files *watch, const struct berth_node *list,
                struct berth_error *error)
{
    int code = berth_watched_reset(&watch->watched, error);

    for (struct module *module = watch->modules; module; module = module->next)
        module->listed = false;
    berth_node_each(berth_node_find(list, "modules"), node)
    {
        const char *name = berth_node_text(berth_node_find(node, "name"));
        const char *file = berth_node_text(berth_node_find(node, "file"));
        const char *content = berth_node_text(berth_node_find(node, "content"));
        if (!name || !file || *file != '/' || !content || code != BERTH_OK)
            continue;
        code = berth_watched_add(&watch->watched, file, error);
        struct module *module = find(watch, name, file);
        if (module)
            module->listed = true;
        else if (code == BERTH_OK)
            code = add(watch, name, file, content, error);
    }
    forget_unlisted(watch);
    return code;
}

static int refresh(struct berth_watch_files *watch, struct berth_error *error)
{
    struct berth_problems problems;
    struct berth_arena arena;
    const struct berth_node *list = NULL;
    char *json;
    bool whole;

    if (berth_host_list(watch->host, &json, error) != BERTH_OK)
        return error->code;
    berth_arena_init(&arena);
    berth_problems_init(&problems, "", json, strlen(json));
    int code = berth_document_read(&problems, false, &arena, &list, &whole, error);
    if (code == BERTH_OK)
        code = take(watch, list, error);
    berth_problems_deinit(&problems);
    berth_arena_deinit(&arena);
    berth_free(json);
    return code;
}

/* ---- what is taken ---- */

/* Some modules, in one transaction: each from its file as it is now. */
struct attempt {
    struct module **modules; /* room for all */
    const char **names;
    struct berth_reload_options *how;
    struct berth_reload_report *reports;
    size_t count;
    bool fits; /* as far as can be told without running it */
    struct berth_error error;
};

static bool attempt_init(struct attempt *attempt, const struct berth_watch_files *watch)
{
    size_t room = 1;

    for (const struct module *module = watch->modules; module; module = module->next)
        room++;
    *attempt = (struct attempt){ .modules = calloc(room, sizeof(*attempt->modules)),
                                 .names = calloc(room, sizeof(*attempt->names)),
                                 .how = calloc(room, sizeof(*attempt->how)),
                                 .reports = calloc(room, sizeof(*attempt->reports)) };
    return attempt->modules && attempt->names && attempt->how && attempt->reports;
}

static void attempt_deinit(struct attempt *attempt)
{
    free(attempt->modules);
    free(attempt->names);
    free(attempt->how);
    free(attempt->reports);
}

static void add_to(struct attempt *attempt, struct module *module)
{
    attempt->modules[attempt->count] = module;
    attempt->names[attempt->count++] = module->name;
}

static int run(struct berth_watch_files *watch, struct attempt *attempt, unsigned flags)
{
    for (size_t i = 0; i < attempt->count; i++) {
        attempt->how[i] = (struct berth_reload_options){ .size = sizeof(*attempt->how),
                                                         .file = attempt->modules[i]->file,
                                                         .flags = flags };
        attempt->reports[i] = (struct berth_reload_report){ .size = sizeof(*attempt->reports) };
    }
    return berth_host_reload_all(watch->host, attempt->names, attempt->how, attempt->count,
                                 attempt->reports, &attempt->error);
}

/* What was not even tried: of all else the host tells. */
static void tell(const struct attempt *attempt, int code)
{
    for (size_t i = 0; i < attempt->count; i++)
        berth_log_error("%s goes on as it was, for its new file is not taken: %s: %s",
                        attempt->names[i], berth_code_name(code), attempt->error.text);
}

/* Those that do not fit to the others are not told of: these may be built anew as well. */
static int take_all_of(struct berth_watch_files *watch, struct attempt *attempt)
{
    int code = run(watch, attempt, BERTH_RELOAD_DRY_RUN);

    attempt->fits = code == BERTH_OK;
    if (attempt->fits)
        code = run(watch, attempt, 0);
    if (code == BERTH_ABORTED) /* it changed meanwhile, or another reload goes on */
        watch->again = true;
    for (size_t i = 0; attempt->fits && i < attempt->count; i++)
        attempt->modules[i]->held = code == BERTH_ABORTED;
    return code;
}

static int take_one(struct berth_watch_files *watch, struct attempt *attempt, struct module *module)
{
    attempt->count = 0;
    add_to(attempt, module);
    return take_all_of(watch, attempt);
}

static void take_new(struct berth_watch_files *watch, struct attempt *attempt,
                     struct module *module)
{
    const struct berth_stamp stamp = berth_stamp_of(module->file);
    int code = take_one(watch, attempt, module);

    if (code == BERTH_ABORTED)
        return;
    module->seen = stamp;
    module->held = !attempt->fits && berth_text_equal(attempt->reports[0].step, "compare");
    module->told = false;
    if (module->held)
        watch->tell_at = berth_client_now() + HOLD_NS;
    else if (!attempt->fits)
        tell(attempt, code);
}

/* ---- what does not fit alone ---- */

static bool take_held_alone(struct berth_watch_files *watch, struct attempt *attempt)
{
    bool taken = false;

    for (struct module *module = watch->modules; module; module = module->next)
        taken |= module->held && take_one(watch, attempt, module) == BERTH_OK;
    return taken;
}

static bool take_held_together(struct berth_watch_files *watch, struct attempt *attempt)
{
    attempt->count = 0;
    for (struct module *module = watch->modules; module; module = module->next)
        if (module->held)
            add_to(attempt, module);
    return attempt->count > 1 && take_all_of(watch, attempt) == BERTH_OK;
}

/* Where one fits to nothing, all of them do not. */
static bool take_held_pair(struct berth_watch_files *watch, struct attempt *attempt)
{
    for (struct module *one = watch->modules; one; one = one->next)
        for (struct module *other = one->next; other; other = other->next) {
            attempt->count = 0;
            add_to(attempt, one);
            add_to(attempt, other);
            if (one->held && other->held && take_all_of(watch, attempt) == BERTH_OK)
                return true;
        }
    return false;
}

/* An interface that has changed on both sides, or was changed first where it is used. */
static void take_held(struct berth_watch_files *watch, struct attempt *attempt)
{
    while (take_held_alone(watch, attempt) || take_held_together(watch, attempt) ||
           take_held_pair(watch, attempt))
        ;
}

/* The others had their time. */
static void tell_held(struct berth_watch_files *watch, struct attempt *attempt)
{
    watch->tell_at = 0;
    for (struct module *module = watch->modules; module; module = module->next) {
        if (!module->held || module->told)
            continue;
        attempt->count = 0;
        add_to(attempt, module);
        module->held = run(watch, attempt, 0) != BERTH_OK; /* the host tells, also by an event */
        module->told = true;
    }
}

/* ---- what has changed ---- */

/* A file that is gone comes back, and then it is seen whether it is another one. */
static bool is_new(const struct module *module)
{
    static const struct berth_stamp none;
    const struct berth_stamp now = berth_stamp_of(module->file);

    return !berth_stamp_equal(&now, &none) && !berth_stamp_equal(&now, &module->seen) &&
           !berth_watched_is_written(module->file);
}

static void look(struct berth_watch_files *watch)
{
    struct attempt attempt;

    watch->again = !attempt_init(&attempt, watch);
    if (!watch->again) {
        for (struct module *module = watch->modules; module; module = module->next)
            if (is_new(module) && !__atomic_load_n(&watch->ending, __ATOMIC_ACQUIRE))
                take_new(watch, &attempt, module);
        take_held(watch, &attempt);
        if (watch->tell_at && watch->tell_at <= berth_client_now())
            tell_held(watch, &attempt);
    }
    attempt_deinit(&attempt);
}

/* In milliseconds; -1: for ever. */
static int patience(const struct berth_watch_files *watch)
{
    int64_t left = (watch->tell_at - berth_client_now() + 999999) / 1000000;

    if (watch->again)
        return AGAIN_MS;
    return watch->tell_at ? (int)(left > 0 ? left : 0) : -1;
}

/* Until there is something to look at. */
static void wait_for_change(struct berth_watch_files *watch)
{
    struct pollfd fds[] = { { .fd = watch->wake, .events = POLLIN },
                            { .fd = watch->watched.fd, .events = POLLIN } };
    eventfd_t count;

    for (;;) {
        int ready = poll(fds, 2, patience(watch));
        if (ready == 0 || (fds[0].revents && eventfd_read(watch->wake, &count) == 0))
            return;
        if (fds[1].revents && berth_watched_read(&watch->watched))
            return;
    }
}

static void *watch_main(void *user)
{
    struct berth_watch_files *watch = user;
    struct berth_error error = { 0 };

    while (!__atomic_load_n(&watch->ending, __ATOMIC_ACQUIRE)) {
        if (refresh(watch, &error) != BERTH_OK)
            berth_log_error("not all files are watched: %s", error.text);
        look(watch);
        wait_for_change(watch);
    }
    return NULL;
}

/* ---- beginning and end ---- */

/* Something was loaded, reloaded or unloaded. */
static void on_event(berth_ctx *ctx, const struct berth_message *message, void *user)
{
    const struct berth_watch_files *watch = user;

    (void)ctx, (void)message;
    eventfd_write(watch->wake, 1);
}

static void watch_free(struct berth_watch_files *watch)
{
    for (struct module *module = watch->modules, *next; module; module = next) {
        next = module->next;
        module_free(module);
    }
    berth_watched_deinit(&watch->watched);
    if (watch->wake >= 0)
        close(watch->wake);
    free(watch);
}

int berth_watch_files_begin(berth_host *host, struct berth_watch_files **ret_watch,
                            struct berth_error *error)
{
    struct berth_watch_files *watch = calloc(1, sizeof(*watch));

    if (!watch)
        return berth_error_nomem(error);
    watch->host = host;
    berth_watched_init(&watch->watched);
    watch->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    int code = watch->wake < 0 ? berth_error_errno(error, errno, "files cannot be watched")
                               : refresh(watch, error);
    if (code == BERTH_OK)
        code = berth_host_subscribe(host, "host.module.>", on_event, watch, &watch->subscription,
                                    error);
    int number = code == BERTH_OK ? pthread_create(&watch->thread, NULL, watch_main, watch) : 0;
    if (number) {
        berth_host_unsubscribe(host, watch->subscription);
        code = berth_error_errno(error, number, "files cannot be watched");
    }
    if (code == BERTH_OK)
        *ret_watch = watch;
    else
        watch_free(watch);
    return code;
}

void berth_watch_files_end(struct berth_watch_files *watch)
{
    if (!watch)
        return;
    berth_host_unsubscribe(watch->host, watch->subscription);
    __atomic_store_n(&watch->ending, true, __ATOMIC_RELEASE);
    eventfd_write(watch->wake, 1);
    pthread_join(watch->thread, NULL);
    watch_free(watch);
}
