/* SPDX-License-Identifier: MIT */
/* What this floor's files share of <berth/host.h>'s functions. */
#ifndef RUNTIME_HOST_H
#define RUNTIME_HOST_H

#include "runtime/core/core.h"

/* As berth_host_new; upstream: the host of a worker, or NULL. */
int berth_host_make(const struct berth_host_options *options, const struct berth_upstream *upstream,
                    berth_host **ret_host, struct berth_error *error);
/* As berth_host_load; ret_name: what it is called now. */
int berth_host_load_as(berth_host *host, const char *file, const struct berth_load_options *options,
                       char ret_name[BERTH_IDENTIFIER_MAX + 1], struct berth_error *error);
/* As berth_call_json; caller: the module that asked for it, "" is the application. */
int berth_call_json_as(berth_ctx *ctx, const char *caller, const char *name, const char *arguments,
                       char **ret_result);
/* Whether the struct is one that this library knows; else ctx is marked. */
int berth_words_check(berth_ctx *ctx, const struct berth_words_call *words);
/* The function of that name; NULL: ctx is marked. */
struct berth_cell *berth_call_find(berth_ctx *ctx, const char *name);
/* As berth_host_unload, for an operator: the log tells. force: although others require it. */
int berth_host_unload_as(berth_host *host, const char *name, bool force, struct berth_error *error);

/* Options as the caller's header has them, which may be shorter than here; what is missing is 0. */
int berth_take_options(const void *given, size_t smallest, void *ret_options, size_t size,
                       const char *name, struct berth_error *error);
/* Tells who watches that a load or reload was refused. module: its name, or "". */
void berth_host_refused(berth_host *host, const char *module, const struct berth_error *error);
/* One that is loaded, or NULL. Under admin. */
struct berth_module *berth_host_find_loaded(berth_host *host, const char *name,
                                            struct berth_error *error);
/* What is no file's is not an operator's to end or to replace. */
int berth_host_check_is_file(const struct berth_module *module, bool application_may,
                             struct berth_error *error);

#endif
