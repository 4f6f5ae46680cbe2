/* SPDX-License-Identifier: MIT */
#include "runtime/core/parcel.h"
#include "runtime/base/memory.h"
#include "runtime/core/started.h"

void berth_parcel_unref(struct berth_parcel *parcel)
{
    if (!parcel || __atomic_sub_fetch(&parcel->refs, 1, __ATOMIC_ACQ_REL) > 0)
        return;
    if (parcel->cause)
        berth_started_unref(parcel->cause);
    berth_free(parcel->json);
    berth_free(parcel);
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

int berth_parcel_new(struct berth_host *host, const struct berth_parcel_setup *setup,
                     const void *const *arguments, struct berth_parcel **ret_parcel,
                     struct berth_error *error)
{
    size_t room, most = host->options.max_message;
    int code = berth_arguments_room(setup->signature, arguments, &room, error);
    if (code != BERTH_OK)
        return code;
    if (room > most)
        return berth_error_set(error, BERTH_RESOURCE_EXHAUSTED,
                               "larger than the limit of %zu bytes", most);
    struct berth_parcel *parcel = berth_malloc(sizeof *parcel + room);
    if (!parcel)
        return berth_error_nomem(error);
    *parcel = (struct berth_parcel){
        .refs = 1,
        .size = sizeof *parcel + room,
        .topic = setup->topic,
        .sender = setup->sender,
        .arguments = berth_arguments_place(setup->signature, arguments, parcel + 1),
        .deadline = setup->deadline,
        .cause = setup->cause,
        .priority = (uint8_t)setup->priority,
        .echo = setup->echo,
    };
    if (parcel->cause)
        berth_started_ref(parcel->cause);
    if (setup->any)
        code = add_json(parcel, host, setup->signature, error);
    if (code == BERTH_OK)
        *ret_parcel = parcel;
    else
        berth_parcel_unref(parcel);
    return code;
}
