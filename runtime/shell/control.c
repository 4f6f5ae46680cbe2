/* SPDX-License-Identifier: MIT */
#include "runtime/shell/control.h"

#include <string.h>
#include <unistd.h>

#include "runtime/base/error.h"
#include "runtime/base/text.h"
#include "runtime/shell/log.h"
#include "runtime/shell/piece.h"
#include "runtime/shell/place.h"

static int load(berth_host *host, const char *path, struct berth_error *error)
{
    struct berth_load_options how = { .size = sizeof(how) };
    struct berth_buffer options;
    char file[PATH_MAX];

    berth_place_module("control", file);
    if (access(file, R_OK) < 0)
        return berth_error_set(error, BERTH_NOT_FOUND,
                               "%s is not there, so the host cannot listen: install it, or use "
                               "--no-control",
                               file);
    berth_buffer_init(&options, 0);
    berth_buffer_text(&options, "{\"socket\":");
    berth_piece_quote(path, strlen(path), &options);
    berth_buffer_text(&options, "}");
    how.options = options.data;
    int code = berth_buffer_check(&options, error);
    if (code == BERTH_OK)
        code = berth_host_load(host, file, &how, error);
    berth_buffer_deinit(&options);
    return code;
}

int berth_control_load(berth_host *host, const char *path, struct berth_error *error)
{
    int code = BERTH_OK;

    if (!berth_utf8_valid(path, strlen(path), NULL))
        code = berth_error_set(error, BERTH_INVALID_ARGUMENT,
                               "%s: the path of a host's socket is UTF-8", path);
    if (code == BERTH_OK)
        code = berth_place_prepare(path, error);
    if (code == BERTH_OK)
        code = load(host, path, error);
    if (code == BERTH_ALREADY_EXISTS)
        code = berth_error_set(error, code,
                               "another host listens at %s: end it, or give this one another "
                               "--name or --socket",
                               path);
    if (code == BERTH_OK)
        berth_log_info("listens at %s", path);
    return code;
}
