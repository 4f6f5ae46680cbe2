/* SPDX-License-Identifier: MIT */
/*
 * Handles: ids that stand for a module's objects. One table per host, under host->lock; stale and
 * foreign ids fail a lookup.
 */
#include "runtime/core/handle.h"

#include "runtime/base/memory.h"

#include <stdio.h>
#include <string.h>

#define KEY_SIZE 40

/* Workers of two generations count alike. */
static void by_id_key(const struct berth_generation *generation, const void *object,
                      char key[KEY_SIZE])
{
    snprintf(key, KEY_SIZE, "%llx.%llx", (unsigned long long)generation->serial,
             (unsigned long long)(uintptr_t)object);
}

static void handle_free(struct berth_handle *handle)
{
    berth_free(handle->holder);
    berth_free(handle);
}

/* host->lock held */
static uint64_t handle_insert(struct berth_generation *generation, const char *kind, void *object)
{
    struct berth_handle *handle = berth_calloc(1, sizeof *handle);
    if (!handle)
        return 0;
    *handle = (struct berth_handle){ .module = generation->module,
                                     .object = object,
                                     .generation = generation };
    for (const struct berth_type *type = berth_types_declared(generation->image->manifest->types);
         type; type = type->next)
        if (type->kind == BERTH_KIND_HANDLE && strcmp(type->name, kind) == 0)
            handle->kind = type->name;
    uint64_t id = handle->kind ? berth_idmap_add(&generation->host->handles, handle) : 0;
    if (!id)
        handle_free(handle);
    else
        generation->module->handles++;
    return id;
}

uint64_t berth_handle_add(struct berth_generation *generation, const char *kind, void *object,
                          struct berth_error *error)
{
    struct berth_host *host = generation->host;
    if (!object) {
        berth_error_set(error, BERTH_INVALID_ARGUMENT,
                        "a %s handle needs an object that is not NULL", kind);
        return 0;
    }
    pthread_mutex_lock(&host->lock);
    uint64_t id = handle_insert(generation, kind, object);
    pthread_mutex_unlock(&host->lock);
    if (!id)
        berth_error_nomem(error);
    return id;
}

/*
 * host->lock held. The object, or NULL when the id is not a living handle of that kind and module.
 */
static struct berth_handle *handle_lookup(struct berth_generation *generation, const char *kind,
                                          uint64_t id, struct berth_error *error)
{
    struct berth_handle *handle = berth_idmap_get(&generation->host->handles, id);
    if (handle && handle->module == generation->module && handle->generation != generation)
        handle = NULL; /* an object of another generation's, which is ending */
    if (!handle)
        berth_error_set(error, BERTH_NOT_FOUND,
                        "this %s handle is stale: it was closed, or its module has gone", kind);
    else if (handle->module != generation->module || strcmp(handle->kind, kind) != 0) {
        berth_error_set(error, BERTH_NOT_FOUND, "this handle is a %s of %s, not a %s of %s",
                        handle->kind, handle->module->name, kind, generation->module->name);
        handle = NULL;
    }
    return handle;
}

/* host->lock held */
static void key_remove(struct berth_module *module, const struct berth_generation *generation,
                       const void *object)
{
    char key[KEY_SIZE];
    by_id_key(generation, object, key);
    if (generation->placement != &berth_carrier_inline)
        berth_map_remove(&module->handles_by_id, key);
}

/* host->lock held */
static void handle_remove(struct berth_host *host, uint64_t id, struct berth_handle *handle)
{
    key_remove(handle->module, handle->generation, handle->object);
    if (handle->next)
        key_remove(handle->module, handle->next, handle->next_object);
    berth_idmap_remove(&host->handles, id);
    handle->module->handles--;
    handle_free(handle);
}

void *berth_handle_find(struct berth_generation *generation, const char *kind, uint64_t id,
                        bool end, struct berth_error *error)
{
    struct berth_host *host = generation->host;
    pthread_mutex_lock(&host->lock);
    struct berth_handle *handle = handle_lookup(generation, kind, id, error);
    void *object = handle ? handle->object : NULL;
    if (handle && end)
        handle_remove(host, id, handle);
    pthread_mutex_unlock(&host->lock);
    if (object && end && host->upstream)
        host->upstream->handle_ended(host->upstream->user, id);
    return object;
}

static int hold(void *user, const struct berth_type *type, uint64_t *id, struct berth_error *error)
{
    const struct berth_edge *edge = user;
    const struct berth_cell *cell = __atomic_load_n(&edge->cell, __ATOMIC_ACQUIRE);
    if (!cell)
        return BERTH_OK; /* the caller has ended meanwhile, and holds nothing */
    struct berth_host *host = cell->module->host;
    const char *holder = edge->importer ? edge->importer->module->name : "the application";
    (void)type;
    (void)error;
    pthread_mutex_lock(&host->lock);
    struct berth_handle *handle = berth_idmap_get(&host->handles, *id);
    if (handle && (!handle->holder || strcmp(handle->holder, holder) != 0)) {
        berth_free(handle->holder);
        handle->holder = berth_strdup(holder); /* without memory it is held by nobody known */
    }
    pthread_mutex_unlock(&host->lock);
    return BERTH_OK;
}

void berth_handles_hold(struct berth_edge *edge, void *result)
{
    const struct berth_type *type = edge->signature->result;
    struct berth_handle_walk walk = { hold, edge };
    if (!type->plain)
        berth_value_walk(type, result, &walk, NULL);
}

static void handles_end(struct berth_host *host, const struct berth_module *module,
                        const struct berth_generation *generation)
{
    uint32_t position = 0;
    uint64_t id;
    struct berth_handle *handle;
    pthread_mutex_lock(&host->lock);
    while ((handle = berth_idmap_next(&host->handles, &position, &id)))
        if (handle->module == module && (!generation || handle->generation == generation))
            handle_remove(host, id, handle);
    pthread_mutex_unlock(&host->lock);
}

void berth_handles_end(struct berth_generation *generation)
{
    handles_end(generation->host, generation->module, generation);
}

void berth_handles_print(struct berth_module *module, char *buffer, size_t size)
{
    uint32_t position = 0;
    uint64_t id;
    struct berth_handle *handle;
    size_t used = 0;
    unsigned shown = 0;
    buffer[0] = '\0';
    pthread_mutex_lock(&module->host->lock);
    while ((handle = berth_idmap_next(&module->host->handles, &position, &id)) && shown < 4) {
        if (handle->module != module)
            continue;
        int more = snprintf(buffer + used, size - used, "%s%s held by %s", shown ? ", " : "",
                            handle->kind, handle->holder ? handle->holder : "a caller");
        if (more < 0 || (size_t)more >= size - used)
            break;
        used += (size_t)more;
        shown++;
    }
    pthread_mutex_unlock(&module->host->lock);
}

/* ---- what RESTORE brings back ---- */

/* What the generation that is being replaced knows as id; or NULL. host->lock held. */
static struct berth_handle *find_old(struct berth_generation *next, uint64_t *id)
{
    struct berth_module *module = next->module;
    struct berth_generation *old = module->current;
    char key[KEY_SIZE];
    if (module->next != next || !old)
        return NULL;
    if (old->placement != &berth_carrier_inline) { /* its ids are our objects */
        by_id_key(old, (void *)(uintptr_t)*id, key);
        *id = (uint64_t)(uintptr_t)berth_map_get(&module->handles_by_id, key);
    }
    struct berth_handle *handle = *id ? berth_idmap_get(&next->host->handles, *id) : NULL;
    return handle && handle->generation == old && !handle->next ? handle : NULL;
}

/* host->lock held. False: no memory. */
static bool promise(struct berth_handle *handle, uint64_t id, struct berth_generation *next,
                    void *object)
{
    char key[KEY_SIZE];
    by_id_key(next, object, key);
    if (next->placement != &berth_carrier_inline &&
        !berth_map_set(&handle->module->handles_by_id, key, (void *)(uintptr_t)id))
        return false;
    handle->next = next;
    handle->next_object = object;
    return true;
}

uint64_t berth_handle_restore(struct berth_generation *generation, const char *kind, uint64_t id,
                              void *object, struct berth_error *error)
{
    struct berth_host *host = generation->host;
    if (host->upstream) { /* the host of this worker knows the old ones */
        uint64_t added = berth_handle_add(generation, kind, object, error);
        if (added)
            host->upstream->handle_restored(host->upstream->user, id, added);
        return added;
    }
    pthread_mutex_lock(&host->lock);
    struct berth_handle *handle = find_old(generation, &id);
    bool fits = handle && object && strcmp(handle->kind, kind) == 0;
    bool promised = fits && promise(handle, id, generation, object);
    pthread_mutex_unlock(&host->lock);
    if (promised)
        return id;
    if (fits)
        berth_error_nomem(error);
    else
        berth_error_set(error, BERTH_NOT_FOUND,
                        "there is no such %s handle to be brought back: that is for one which is "
                        "alive, once, in BERTH_RESTORE, and for an object that is not NULL",
                        kind);
    return 0;
}

void berth_handle_restored(struct berth_generation *generation, uint64_t old_id, uint64_t worker_id)
{
    struct berth_host *host = generation->host;
    pthread_mutex_lock(&host->lock);
    struct berth_handle *handle = find_old(generation, &old_id);
    if (handle) /* else, or without memory, it is missing, which refuses the reload */
        promise(handle, old_id, generation, (void *)(uintptr_t)worker_id);
    pthread_mutex_unlock(&host->lock);
}

size_t berth_handles_missing(const struct berth_module *module, const struct berth_generation *next)
{
    uint32_t position = 0;
    struct berth_handle *handle;
    size_t missing = 0;
    while ((handle = berth_idmap_next(&module->host->handles, &position, NULL)))
        missing += handle->module == module && handle->generation != next && handle->next != next;
    return missing;
}

void berth_handles_switch(struct berth_module *module, struct berth_generation *next, bool done)
{
    uint32_t position = 0;
    struct berth_handle *handle;
    if (module->handles == 0)
        return;
    while ((handle = berth_idmap_next(&module->host->handles, &position, NULL))) {
        if (handle->module != module || !handle->next || handle->next != next)
            continue;
        if (done) {
            key_remove(module, handle->generation, handle->object);
            handle->generation = next;
            handle->object = handle->next_object;
        } else {
            key_remove(module, next, handle->next_object);
        }
        handle->next = NULL;
    }
}

/* ---- a worker's handles: its ids are the objects of ours ---- */

static bool is_own(const struct berth_generation *generation, const struct berth_type *type)
{
    return strcmp(type->module, generation->image->manifest->name) == 0;
}

static int to_module(void *user, const struct berth_type *type, uint64_t *id,
                     struct berth_error *error)
{
    struct berth_generation *generation = user;
    if (*id == 0 || !is_own(generation, type))
        return BERTH_OK;
    struct berth_error why = { 0 };
    pthread_mutex_lock(&generation->host->lock);
    struct berth_handle *handle = handle_lookup(generation, type->name, *id, &why);
    if (handle)
        *id = (uint64_t)(uintptr_t)handle->object;
    pthread_mutex_unlock(&generation->host->lock);
    return handle ? BERTH_OK : berth_error_set(error, why.code, "%s", why.text);
}

static int from_module(void *user, const struct berth_type *type, uint64_t *id,
                       struct berth_error *error)
{
    struct berth_generation *generation = user;
    struct berth_host *host = generation->host;
    if (*id == 0 || !is_own(generation, type))
        return BERTH_OK;
    char key[KEY_SIZE];
    by_id_key(generation, (void *)(uintptr_t)*id, key);
    pthread_mutex_lock(&host->lock);
    uint64_t known = (uint64_t)(uintptr_t)berth_map_get(&generation->module->handles_by_id, key);
    if (!known) {
        known = handle_insert(generation, type->name, (void *)(uintptr_t)*id);
        if (known &&
            !berth_map_set(&generation->module->handles_by_id, key, (void *)(uintptr_t)known)) {
            handle_remove(host, known, berth_idmap_get(&host->handles, known));
            known = 0;
        }
    }
    pthread_mutex_unlock(&host->lock);
    if (!known)
        return berth_error_nomem(error);
    *id = known;
    return BERTH_OK;
}

struct berth_handle_walk berth_handles_to(struct berth_generation *generation)
{
    return (struct berth_handle_walk){ to_module, generation };
}

struct berth_handle_walk berth_handles_from(struct berth_generation *generation)
{
    return (struct berth_handle_walk){ from_module, generation };
}

void berth_handle_ended(struct berth_generation *generation, uint64_t worker_id)
{
    struct berth_host *host = generation->host;
    char key[KEY_SIZE];
    by_id_key(generation, (void *)(uintptr_t)worker_id, key);
    pthread_mutex_lock(&host->lock);
    uint64_t id = (uint64_t)(uintptr_t)berth_map_get(&generation->module->handles_by_id, key);
    struct berth_handle *handle = id ? berth_idmap_get(&host->handles, id) : NULL;
    if (handle)
        handle_remove(host, id, handle);
    pthread_mutex_unlock(&host->lock);
}
