/* SPDX-License-Identifier: MIT */
#include "runtime/reload/history.h"
#include "runtime/base/memory.h"
#include "runtime/core/registry.h"
#include "runtime/value/json.h"

#include <string.h>
#include <time.h>

static struct berth_past *past_of(struct berth_list *link)
{
    return berth_container(link, struct berth_past, link);
}

void berth_history_free(struct berth_past *past)
{
    if (!past)
        return;
    berth_list_remove(&past->link);
    berth_copy_unref(past->copy);
    berth_free(past->options);
    berth_free(past->version);
    berth_free(past->build_id);
    berth_free(past->file);
    berth_free(past);
}

/* Who has the image of such bytes; NULL: nobody. */
static struct berth_past *find_image(const struct berth_module *module, uint64_t digest,
                                     size_t size)
{
    berth_list_each(&module->host->history, link) {
        struct berth_past *past = past_of(link);
        if (past->module == module && past->copy && past->digest == digest && past->size == size)
            return past;
    }
    return NULL;
}

/* Its image goes to the next one of the same bytes, or is let go of. */
static void forget(struct berth_past *past)
{
    struct berth_list *head = &past->module->host->history;
    for (struct berth_list *at = past->link.next; past->copy && at != head; at = at->next) {
        struct berth_past *other = past_of(at);
        if (other->module == past->module && other->digest == past->digest &&
            other->size == past->size && !other->copy) {
            other->copy = past->copy;
            past->copy = NULL;
        }
    }
    berth_history_free(past);
}

/* So many of this module, and so many bytes of all. */
static void trim(struct berth_host *host, const struct berth_module *module)
{
    size_t count = 0, bytes = 0;
    struct berth_list *at = host->history.previous, *before;
    for (; at != &host->history; at = before) { /* the newest first */
        struct berth_past *past = past_of(at);
        before = at->previous;
        count += past->module == module;
        bytes += past->copy ? past->size : 0;
        if ((past->module == module && count > host->options.history) ||
            bytes > host->options.history_bytes)
            forget(past);
    }
}

static char *copy(const char *text, bool *ok)
{
    char *own = text ? berth_strdup(text) : NULL;
    *ok &= !text || own;
    return own;
}

int berth_history_new(const struct berth_generation *old, struct berth_past **ret_past,
                      struct berth_error *error)
{
    const struct berth_image *image = old->image;
    if (old->host->options.history == 0 || old->host->upstream || !image->copy) {
        *ret_past = NULL;
        return BERTH_OK;
    }
    struct berth_past *past = berth_calloc(1, sizeof *past);
    bool ok = past != NULL;
    if (!ok)
        return berth_error_nomem(error);
    *past = (struct berth_past){ .module = old->module,
                                 .generation = old->number,
                                 .digest = image->digest,
                                 .size = image->size,
                                 .copy = berth_copy_ref(image->copy),
                                 .placement = old->placement->name };
    berth_list_init(&past->link);
    past->options = copy(old->options_given, &ok);
    past->version = copy(image->manifest->version, &ok);
    past->build_id = copy(image->elf->build_id, &ok);
    past->file = copy(image->file, &ok);
    if (ok)
        *ret_past = past;
    else
        berth_history_free(past);
    return ok ? BERTH_OK : berth_error_nomem(error);
}

void berth_history_add(struct berth_past *past)
{
    struct timespec now;
    if (!past)
        return;
    clock_gettime(CLOCK_REALTIME, &now);
    past->ended = now.tv_sec * INT64_C(1000000000) + now.tv_nsec;
    /* Its own copy is soon a spare one; from what there is the current image may be mapped. */
    struct berth_past *other = find_image(past->module, past->digest, past->size);
    if (other) {
        berth_copy_unref(other->copy);
        other->copy = past->copy;
        past->copy = NULL;
    }
    berth_list_append(&past->module->host->history, &past->link);
    trim(past->module->host, past->module);
}

void berth_history_drop(struct berth_host *host, const struct berth_module *module)
{
    berth_list_each_safe(&host->history, link) {
        struct berth_past *past = past_of(link);
        if (!module || past->module == module)
            berth_history_free(past);
    }
}

/* ---- asking ---- */

static int no_such(const struct berth_module *module, unsigned generation,
                   struct berth_error *error)
{
    if (module->host->options.history == 0)
        return berth_error_set(error, BERTH_FAILED_PRECONDITION,
                               "%s cannot go back: this host keeps no images (history is 0)",
                               module->name);
    if (generation)
        return berth_error_set(error, BERTH_NOT_FOUND,
                               "%s has no generation %u that is kept: berth history %s lists them",
                               module->name, generation, module->name);
    return berth_error_set(error, BERTH_FAILED_PRECONDITION,
                           "%s has had no other image than the one that serves, or it is not kept "
                           "any more",
                           module->name);
}

int berth_history_find(const struct berth_module *module, unsigned generation,
                       const struct berth_past **ret_past, struct berth_copy **ret_copy,
                       struct berth_error *error)
{
    const struct berth_image *current = module->current->image;
    const struct berth_past *found = NULL;
    berth_list_each(&module->host->history, link) {
        const struct berth_past *past = past_of(link);
        if (past->module == module &&
            (generation ? past->generation == generation
                        : past->digest != current->digest || past->size != current->size))
            found = past;
    }
    const struct berth_past *holder = found ? find_image(module, found->digest, found->size) : NULL;
    if (!holder)
        return no_such(module, generation, error);
    *ret_past = found;
    *ret_copy = holder->copy;
    return BERTH_OK;
}

struct berth_copy *berth_history_spare(const struct berth_module *module)
{
    const struct berth_image *current = module->current->image;
    const struct berth_past *holder = find_image(module, current->digest, current->size);
    return holder ? holder->copy : NULL;
}

struct line {
    unsigned generation;
    const char *version, *build_id, *placement, *file;
    uint64_t digest;
    size_t size;
    bool current, kept;
    int64_t ended;
};

static void print_text(struct berth_buffer *buffer, const char *name, const char *text)
{
    berth_buffer_format(buffer, ",\"%s\":", name);
    berth_json_write_string(text, strlen(text), buffer);
}

static void print_line(const struct line *line, struct berth_buffer *buffer)
{
    berth_buffer_format(buffer, "{\"generation\":%u", line->generation);
    print_text(buffer, "version", line->version);
    print_text(buffer, "build_id", line->build_id);
    if (*line->file)
        berth_buffer_format(buffer, ",\"content\":\"%016llx\"", (unsigned long long)line->digest);
    else /* built in, or the application's */
        berth_buffer_text(buffer, ",\"content\":\"\"");
    berth_buffer_format(buffer, ",\"bytes\":%zu", line->size);
    print_text(buffer, "placement", line->placement);
    print_text(buffer, "file", line->file);
    berth_buffer_format(buffer, ",\"current\":%s,\"kept\":%s,\"ended_ns\":",
                        line->current ? "true" : "false", line->kept ? "true" : "false");
    if (line->current)
        berth_buffer_text(buffer, "null}");
    else
        berth_buffer_format(buffer, "%lld}", (long long)line->ended);
}

void berth_history_print(const struct berth_module *module, struct berth_buffer *buffer)
{
    const struct berth_generation *current = module->current;
    const struct berth_image *image = current->image;
    berth_buffer_text(buffer, "[");
    berth_list_each(&module->host->history, link) {
        const struct berth_past *past = past_of(link);
        if (past->module != module)
            continue;
        print_line(&(struct line){ past->generation, past->version, past->build_id, past->placement,
                                   past->file, past->digest, past->size, false,
                                   find_image(module, past->digest, past->size) != NULL,
                                   past->ended },
                   buffer);
        berth_buffer_text(buffer, ",");
    }
    print_line(&(struct line){ current->number, image->manifest->version,
                               image->elf ? image->elf->build_id : "",
                               berth_generation_placement(current), image->file, image->digest,
                               image->size, true, true, 0 },
               buffer);
    berth_buffer_text(buffer, "]");
}
