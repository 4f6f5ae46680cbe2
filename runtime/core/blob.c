/* SPDX-License-Identifier: MIT */
#include "runtime/core/blob.h"
#include "runtime/base/memory.h"

#include <string.h>
#include <sys/mman.h>

/* That a generation has a blob, and how often it has said so. Under the lock of blobs. */
struct hold {
    struct berth_list of_blob, of_holder;
    struct berth_blob *blob;
    struct berth_generation *holder;
    size_t count; /* 0: of none */
};

/* It has pages of its own, each of which leads to it. */
struct berth_blob {
    struct berth_host *host;
    char *data;
    size_t size; /* that was asked for */
    size_t refs; /* atomic: messages, and one for each that holds it */
    bool shared; /* atomic: others have it, and it stays as it is */
    struct berth_list holds;
    struct hold first; /* mostly there is no other */
};

void berth_blobs_init(struct berth_blobs *blobs)
{
    pthread_mutex_init(&blobs->lock, NULL);
    berth_pages_init(&blobs->pages);
}

void berth_blobs_deinit(struct berth_blobs *blobs)
{
    berth_pages_deinit(&blobs->pages);
    pthread_mutex_destroy(&blobs->lock);
}

/* ---- life ---- */

/* Whole pages, at least one; 0: more than there can be. */
static size_t room_of(size_t size)
{
    if (size > SIZE_MAX / 2)
        return 0;
    return size ? (size + BERTH_PAGE - 1) & ~(BERTH_PAGE - 1) : BERTH_PAGE;
}

static void add(struct berth_blob_count *to, size_t room)
{
    to->count++;
    to->bytes += room;
}

/* With one reference. */
static struct berth_blob *blob_new(struct berth_host *host, size_t size)
{
    struct berth_blobs *blobs = &host->blobs;
    size_t room = room_of(size);
    struct berth_blob *blob = room ? berth_malloc(sizeof *blob) : NULL;
    if (!blob)
        return NULL;
    *blob = (struct berth_blob){
        .host = host, .data = berth_aligned_alloc(BERTH_PAGE, room), .size = size, .refs = 1
    };
    berth_list_init(&blob->holds);
    pthread_mutex_lock(&blobs->lock);
    bool known = blob->data && berth_pages_set(&blobs->pages, blob->data, room, blob);
    if (known)
        add(&blobs->live, room);
    pthread_mutex_unlock(&blobs->lock);
    if (known)
        return blob;
    berth_aligned_free(blob->data);
    berth_free(blob);
    return NULL;
}

static bool is_checked(const struct berth_blob *blob)
{
    return blob->host->options.flags & BERTH_HOST_CHECK_OWNERSHIP;
}

static void blob_free(struct berth_blob *blob)
{
    struct berth_blobs *blobs = &blob->host->blobs;
    size_t room = room_of(blob->size);
    pthread_mutex_lock(&blobs->lock);
    berth_pages_clear(&blobs->pages, blob->data, room);
    blobs->live.count--;
    blobs->live.bytes -= room;
    pthread_mutex_unlock(&blobs->lock);
    /* at the kernel's limit of mappings it stays as it is, and is of no use to anybody else */
    bool writable = !blob->shared || !is_checked(blob) ||
                    mprotect(blob->data, room, PROT_READ | PROT_WRITE) == 0;
    if (writable)
        berth_aligned_free(blob->data);
    berth_free(blob);
}

void berth_blob_unref(struct berth_blob *blob)
{
    if (blob && __atomic_sub_fetch(&blob->refs, 1, __ATOMIC_ACQ_REL) == 0)
        blob_free(blob);
}

static void blob_ref(struct berth_blob *blob)
{
    __atomic_add_fetch(&blob->refs, 1, __ATOMIC_RELAXED);
}

/* Whoever writes there has not read what it may: the mode that finds such ends it there. */
static void set_shared(struct berth_blob *blob)
{
    if (__atomic_load_n(&blob->shared, __ATOMIC_RELAXED) ||
        __atomic_exchange_n(&blob->shared, true, __ATOMIC_RELAXED))
        return;
    if (is_checked(blob))
        mprotect(blob->data, room_of(blob->size), PROT_READ);
}

/* The blob that all of these bytes lie in, or NULL. Whoever has them sees to it that it stays. */
static struct berth_blob *find(struct berth_host *host, const void *data, size_t size)
{
    struct berth_blob *blob = berth_pages_get(&host->blobs.pages, data);
    if (!blob)
        return NULL;
    size_t at = (size_t)((const char *)data - blob->data);
    return at <= blob->size && size <= blob->size - at ? blob : NULL;
}

struct berth_blob *berth_blob_share(struct berth_host *host, const void *data, size_t size)
{
    struct berth_blob *blob = find(host, data, size);
    if (!blob || size < blob->size / 2)
        return NULL;
    blob_ref(blob);
    set_shared(blob);
    return blob;
}

struct berth_blob *berth_blob_copy(struct berth_host *host, const void *data, size_t size,
                                   const void **ret_data)
{
    struct berth_blob *blob = blob_new(host, size);
    if (!blob)
        return NULL;
    *ret_data = size ? memcpy(blob->data, data, size) : blob->data;
    set_shared(blob);
    return blob;
}

/* ---- who holds it; the lock of blobs is held ---- */

static struct hold *hold_find(const struct berth_blob *blob, const struct berth_generation *holder)
{
    berth_list_each(&blob->holds, link) {
        struct hold *hold = berth_container(link, struct hold, of_blob);
        if (hold->holder == holder)
            return hold;
    }
    return NULL;
}

static struct hold *hold_new(struct berth_blob *blob, struct berth_generation *holder)
{
    struct hold *hold = blob->first.count ? berth_malloc(sizeof *hold) : &blob->first;
    if (!hold)
        return NULL;
    *hold = (struct hold){ .blob = blob, .holder = holder };
    berth_list_append(&blob->holds, &hold->of_blob);
    berth_list_append(&holder->blobs, &hold->of_holder);
    blob_ref(blob);
    return hold;
}

/* Its reference is the caller's now. */
static void hold_end(struct hold *hold)
{
    berth_list_remove(&hold->of_blob);
    berth_list_remove(&hold->of_holder);
    hold->count = 0;
    if (hold != &hold->blob->first)
        berth_free(hold);
}

/* ---- holding ---- */

static int add_hold(struct berth_generation *holder, struct berth_blob *blob,
                    struct berth_error *error)
{
    pthread_mutex_lock(&holder->host->blobs.lock);
    struct hold *hold = hold_find(blob, holder);
    if (!hold)
        hold = hold_new(blob, holder);
    if (hold)
        hold->count++;
    pthread_mutex_unlock(&holder->host->blobs.lock);
    return hold ? BERTH_OK : berth_error_nomem(error);
}

void *berth_blob_new(struct berth_generation *holder, size_t size, struct berth_error *error)
{
    struct berth_blob *blob = blob_new(holder->host, size);
    if (!blob) {
        berth_error_set(error, BERTH_RESOURCE_EXHAUSTED, "no memory for a blob of %zu bytes", size);
        return NULL;
    }
    void *data = add_hold(holder, blob, error) == BERTH_OK ? blob->data : NULL;
    berth_blob_unref(blob);
    return data;
}

int berth_blob_hold(struct berth_generation *holder, const void **data, size_t size,
                    struct berth_error *error)
{
    struct berth_blob *blob = find(holder->host, *data, size);
    if (blob) {
        set_shared(blob);
        return add_hold(holder, blob, error);
    }
    if (size && !*data)
        return berth_error_set(error, BERTH_INVALID_ARGUMENT,
                               "the bytes have a size of %zu and data that is NULL", size);
    const void *copy;
    blob = berth_blob_copy(holder->host, *data, size, &copy);
    if (!blob)
        return berth_error_set(error, BERTH_RESOURCE_EXHAUSTED, "no memory for a blob of %zu bytes",
                               size);
    int code = add_hold(holder, blob, error);
    berth_blob_unref(blob);
    if (code == BERTH_OK)
        *data = copy;
    return code;
}

int berth_blob_release(struct berth_generation *holder, const void *data, struct berth_error *error)
{
    struct berth_blobs *blobs = &holder->host->blobs;
    struct berth_blob *last = NULL;
    pthread_mutex_lock(&blobs->lock); /* what is found under it is not freed meanwhile */
    struct berth_blob *blob = find(holder->host, data, 0);
    struct hold *held = blob ? hold_find(blob, holder) : NULL;
    bool holds = held != NULL;
    if (holds && --held->count == 0) {
        hold_end(held);
        last = blob;
    }
    pthread_mutex_unlock(&blobs->lock);
    berth_blob_unref(last);
    return holds ? BERTH_OK
                 : berth_error_set(error, BERTH_FAILED_PRECONDITION,
                                   "%s holds no blob at %p: it has released it as often as it made "
                                   "or kept it, or that is the address of something else",
                                   holder->module->name, data);
}

void berth_blobs_leave(struct berth_generation *holder)
{
    struct berth_blobs *blobs = &holder->host->blobs;
    struct berth_blob *blob;
    do {
        blob = NULL;
        pthread_mutex_lock(&blobs->lock);
        if (!berth_list_empty(&holder->blobs)) {
            struct hold *held = berth_container(holder->blobs.next, struct hold, of_holder);
            blob = held->blob;
            if (holder->host->end_deadline)
                add(&blobs->left, room_of(blob->size));
            hold_end(held);
        }
        pthread_mutex_unlock(&blobs->lock);
        berth_blob_unref(blob);
    } while (blob);
}

struct berth_blob_count berth_blobs_held(const struct berth_generation *holder)
{
    struct berth_blobs *blobs = &holder->host->blobs;
    struct berth_blob_count count = { 0, 0 };
    pthread_mutex_lock(&blobs->lock);
    berth_list_each(&holder->blobs, link) {
        const struct hold *hold = berth_container(link, struct hold, of_holder);
        add(&count, room_of(hold->blob->size));
    }
    pthread_mutex_unlock(&blobs->lock);
    return count;
}

struct berth_blob_count berth_blobs_live(struct berth_blobs *blobs)
{
    pthread_mutex_lock(&blobs->lock);
    struct berth_blob_count count = blobs->live;
    pthread_mutex_unlock(&blobs->lock);
    return count;
}
