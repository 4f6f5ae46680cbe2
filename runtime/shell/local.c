/* SPDX-License-Identifier: MIT */
#include "runtime/shell/local.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "runtime/base/error.h"
#include "runtime/shell/shell.h"

int berth_local_init(struct berth_local *local, int argc, struct berth_error *error)
{
    *local = (struct berth_local){
        .files = calloc((size_t)argc, sizeof(*local->files)),
        .options = calloc((size_t)argc, sizeof(*local->options)),
    };
    if (local->files && local->options)
        return BERTH_OK;
    return berth_error_nomem(error);
}

void berth_local_deinit(struct berth_local *local)
{
    berth_host_free(local->host);
    free(local->files);
    free(local->options);
    *local = (struct berth_local){ 0 };
}

int berth_local_add(struct berth_local *local, char *word, struct berth_error *error)
{
    const char *placement = NULL;
    char *equals = strrchr(word, '=');

    if (!*word || equals == word)
        return berth_error_set(error, BERTH_INVALID_ARGUMENT, "\"%s\" names no module's file",
                               word);

    if (equals && (!strcmp(equals + 1, "inline") || !strcmp(equals + 1, "process"))) {
        *equals = '\0';
        placement = equals + 1;
    } else if (equals && !strpbrk(equals, "./")) {
        return berth_error_set(error, BERTH_INVALID_ARGUMENT,
                               "%s: there is no placement \"%s\", only inline and process", word,
                               equals + 1);
    }
    local->files[local->count] = word;
    local->options[local->count].size = sizeof(local->options[0]);
    local->options[local->count].placement = placement;
    local->count++;
    return BERTH_OK;
}

/*
 * The worker's program: BERTH_WORKER names it; a shell in a build tree takes the one that was built
 * with it; NULL leaves it to libberth, which knows the installed one.
 */
static const char *find_worker(char path[PATH_MAX])
{
    static const char hidden[] = "/.libs", beside[] = "/berth-worker"; /* hidden: libtool's way */
    const char *named = secure_getenv("BERTH_WORKER");
    if (named && *named)
        return named;

    ssize_t length = readlink("/proc/self/exe", path, PATH_MAX - sizeof(beside));
    if (length < 0)
        return NULL;
    path[length] = '\0';
    char *end = strrchr(path, '/') - strlen(hidden);
    if (end < path || strncmp(end, hidden, strlen(hidden)) != 0)
        return NULL;
    strcpy(end, beside);
    return access(path, X_OK) == 0 ? path : NULL;
}

int berth_local_open(struct berth_local *local, struct berth_host_options options,
                     struct berth_error *error)
{
    const char *worker = find_worker(local->worker);
    if (worker)
        options.worker = worker;

    if (berth_host_new(&options, &local->host, error) != BERTH_OK)
        return BERTH_EXIT_NO_HOST;
    if (local->count && berth_host_load_all(local->host, local->files, local->options, local->count,
                                            error) != BERTH_OK)
        return BERTH_EXIT_FAILED;
    return BERTH_EXIT_OK;
}
