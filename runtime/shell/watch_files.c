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
#include "runtime/shell/document.h"
#include "runtime/shell/file.h"
#include "runtime/shell/log.h"
#include "runtime/shell/roster.h"
#include "runtime/shell/watched.h"

#define AGAIN_MS 50 /* until a file is looked at again that changed while it was read */

struct module {
    struct module *next;
    char *name, *file;
    struct berth_stamp seen; /* of the file that was taken, or refused, last */
    bool held;               /* refused because of others, which may change as well */
    bool listed;
};

struct berth_watch_files {
    berth_host *host;
    struct module *modules;
    struct berth_watched watched;
    int wake; /* an eventfd */
    bool ending;
    bool again; /* something is to be looked at soon, though nobody will say so */
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

/* ---- what has changed ---- */

static void tell_reloaded(const struct berth_reload_report *report)
{
    berth_log_info("%s is replaced by %s, of a new file", report->from, report->to);
}

static void reload(struct berth_watch_files *watch, struct module *module)
{
    const struct berth_stamp stamp = berth_stamp_of(module->file);
    struct berth_reload_report report = { .size = sizeof(report) };
    struct berth_error error = { 0 };
    int code = berth_host_reload(watch->host, module->name, module->file, &report, &error);

    if (code == BERTH_ABORTED) { /* it changed meanwhile, or another reload goes on */
        watch->again = true;
        return;
    }
    module->seen = stamp;
    module->held = code != BERTH_OK && berth_text_equal(report.step, "compare");
    if (code == BERTH_OK)
        tell_reloaded(&report);
    else
        berth_log_error("%s goes on as it was, for its new file is not taken: %s: %s", module->name,
                        berth_code_name(code), error.text);
}

/* An interface that has changed on both sides: what was refused alone may be taken together. */
static void reload_held(struct berth_watch_files *watch)
{
    size_t count = 0;

    for (struct module *module = watch->modules; module; module = module->next)
        count += module->held;
    const char **names = calloc(count + 1, sizeof(*names));
    struct berth_reload_report *reports = calloc(count + 1, sizeof(*reports));
    if (count > 1 && names && reports) {
        count = 0;
        for (struct module *module = watch->modules; module; module = module->next)
            if (module->held) {
                reports[count].size = sizeof(*reports);
                names[count++] = module->name;
            }
        if (berth_host_reload_all(watch->host, names, NULL, count, reports, NULL) == BERTH_OK)
            for (struct module *module = watch->modules; module; module = module->next)
                if (module->held) {
                    tell_reloaded(&reports[--count]);
                    module->held = false;
                }
    }
    free(names);
    free(reports);
}

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
    bool any = false;

    watch->again = false;
    for (struct module *module = watch->modules; module; module = module->next)
        if (is_new(module) && !__atomic_load_n(&watch->ending, __ATOMIC_ACQUIRE)) {
            reload(watch, module);
            any = true;
        }
    if (any)
        reload_held(watch);
}

/* Until there is something to look at. */
static void wait_for_change(struct berth_watch_files *watch)
{
    struct pollfd fds[] = { { .fd = watch->wake, .events = POLLIN },
                            { .fd = watch->watched.fd, .events = POLLIN } };
    eventfd_t count;

    for (;;) {
        int ready = poll(fds, 2, watch->again ? AGAIN_MS : -1);
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
