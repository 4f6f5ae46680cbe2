/* SPDX-License-Identifier: MIT */
#include "runtime/shell/control.h"

#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "runtime/base/error.h"
#include "runtime/base/text.h"
#include "runtime/shell/log.h"
#include "runtime/shell/offer.h"
#include "runtime/shell/piece.h"
#include "runtime/shell/place.h"

static int load(berth_host *host, const char *option, const char *value, struct berth_error *error)
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
    berth_buffer_format(&options, "{\"%s\":", option);
    berth_piece_quote(value, strlen(value), &options);
    berth_buffer_text(&options, "}");
    how.options = options.data;
    int code = berth_buffer_check(&options, error);
    if (code == BERTH_OK)
        code = berth_host_load(host, file, &how, error);
    berth_buffer_deinit(&options);
    return code;
}

/* What is in the way at the path; a socket that nobody listens at is not, but is removed. */
static int check_place(const char *path, struct berth_error *error)
{
    struct stat status;

    if (!berth_utf8_valid(path, strlen(path), NULL))
        return berth_error_set(error, BERTH_INVALID_ARGUMENT,
                               "%s: the path of a host's socket is UTF-8", path);
    if (lstat(path, &status) == 0 && !S_ISSOCK(status.st_mode))
        return berth_error_set(error, BERTH_FAILED_PRECONDITION,
                               "%s is there and no socket: remove it, or choose another place with "
                               "--socket",
                               path);
    return berth_place_prepare(path, error);
}

static int load_listening(berth_host *host, const char *path, struct berth_error *error)
{
    int code = check_place(path, error);

    if (code == BERTH_OK)
        code = load(host, "socket", path, error);
    if (code == BERTH_ALREADY_EXISTS)
        code = berth_error_set(error, code,
                               "another host listens at %s: end it, or give this one another "
                               "--name or --socket",
                               path);
    if (code == BERTH_OK)
        berth_log_info("listens at %s", path);
    return code;
}

int berth_control_load(berth_host *host, const char *path, bool handed, struct berth_error *error)
{
    if (!handed)
        return load_listening(host, path, error);
    int code = load(host, "listener", BERTH_OFFER_LISTENER, error);
    if (code == BERTH_OK)
        berth_log_info("listens at the socket of the service manager");
    return code;
}
