/* SPDX-License-Identifier: MIT */
#include "runtime/core/parcel.h"
#include "runtime/base/memory.h"
#include "runtime/call/stock.h"
#include "runtime/core/blob.h"
#include "runtime/core/started.h"
#include "runtime/value/plan.h"

#include <string.h>

_Static_assert(BERTH_PLAN_TAKEN <= UINT8_MAX, "or blob_count is too small");

static struct berth_blob **blobs_of(const struct berth_parcel *parcel)
{
    return (struct berth_blob **)(void *)parcel->places - parcel->blob_count;
}

/* What most parcels have nothing of. */
__attribute__((noinline)) static void let_go(const struct berth_parcel *parcel)
{
    if (parcel->cause)
        berth_started_unref(parcel->cause);
    for (size_t i = 0; i < parcel->blob_count; i++)
        berth_blob_unref(blobs_of(parcel)[i]);
    if (parcel->json)
        berth_free(parcel->json);
}

void berth_parcel_free(struct berth_parcel *parcel)
{
    if (BERTH_I_UNLIKELY(parcel->cause || parcel->blob_count || parcel->json))
        let_go(parcel);
    berth_stock_give(parcel, parcel->chunk);
}

/* Blobs on their way into a parcel. */
struct load {
    struct berth_host *host;
    struct berth_blob *blobs[BERTH_PLAN_TAKEN];
    size_t count, bytes;
};

static void unload(struct load *load)
{
    while (load->count)
        berth_blob_unref(load->blobs[--load->count]);
}

static int take(void *user, const void *data, size_t size, const void **ret_data,
                struct berth_error *error)
{
    struct load *load = user;
    size_t most = load->host->options.max_message;
    size_t left = load->bytes < most ? most - load->bytes : 0;
    struct berth_blob *blob = berth_blob_share(load->host, data, size);
    if (blob)
        *ret_data = data;
    else if (size < BERTH_BLOB_COPIED || size > left) /* or too large: that is said later */
        return BERTH_OK;
    else if (!(blob = berth_blob_copy(load->host, data, size, ret_data)))
        return berth_error_nomem(error);
    load->blobs[load->count++] = blob;
    load->bytes += size;
    return BERTH_OK;
}

static int add_json(struct berth_parcel *parcel, const struct berth_host *host,
                    const struct berth_signature *signature, struct berth_error *error)
{
    struct berth_buffer buffer;
    size_t size = 0;
    berth_buffer_init(&buffer, host->options.max_message);
    int code = berth_json_write_arguments(signature, parcel->arguments, &buffer, error);
    if (code == BERTH_OK && !(parcel->json = berth_buffer_take(&buffer, &size)))
        code = berth_error_nomem(error);
    berth_buffer_deinit(&buffer);
    parcel->size += size;
    return code;
}

/* With the arguments, as they are planned. NULL: no memory. */
static struct berth_parcel *parcel_make(const struct berth_parcel_setup *setup,
                                        const void *const *arguments, struct berth_plan *plan,
                                        const struct load *load)
{
    size_t blobs = load->count * sizeof(struct berth_blob *);
    size_t before = (plan->room + blobs + 15) & ~(size_t)15; /* as places are to be aligned */
    size_t places = setup->receivers < BERTH_PARCEL_PLACES ? setup->receivers : BERTH_PARCEL_PLACES;
    struct berth_chunk *chunk;
    struct berth_parcel *parcel =
        berth_stock_take(setup->thread, sizeof *parcel + before + places * setup->place, &chunk);
    if (!parcel)
        return NULL;
    const void *const *placed =
        berth_arguments_place(setup->signature, arguments, plan, parcel + 1);
    *parcel = (struct berth_parcel){
        .refs = (uint32_t)setup->receivers,
        .blob_count = (uint8_t)load->count,
        .arguments = placed,
        .chunk = chunk,
        .size = sizeof *parcel + before + load->bytes,
        .places = (char *)(parcel + 1) + before,
    };
    if (blobs)
        memcpy(blobs_of(parcel), load->blobs, blobs);
    return parcel;
}

int berth_parcel_new(struct berth_host *host, const struct berth_parcel_setup *setup,
                     const void *const *arguments, struct berth_parcel **ret_parcel,
                     struct berth_error *error)
{
    size_t most = host->options.max_message;
    struct load load; /* most of both is room */
    struct berth_plan plan;
    struct berth_parcel *parcel = NULL;
    load.host = host;
    load.count = load.bytes = 0;
    plan.least = BERTH_BLOB_SHARED;
    plan.take = take;
    plan.user = &load;
    int code = berth_arguments_plan(setup->signature, arguments, &plan, error);
    if (code == BERTH_OK && (load.bytes > most || plan.room > most - load.bytes))
        code = berth_error_set(error, BERTH_RESOURCE_EXHAUSTED,
                               "larger than the limit of %zu bytes", most);
    if (code == BERTH_OK && !(parcel = parcel_make(setup, arguments, &plan, &load)))
        code = berth_error_nomem(error);
    if (!parcel) {
        unload(&load);
        return code;
    }
    if (setup->any)
        code = add_json(parcel, host, setup->signature, error);
    if (code == BERTH_OK)
        *ret_parcel = parcel;
    else
        berth_parcel_free(parcel);
    return code;
}
