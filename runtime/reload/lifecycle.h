/* SPDX-License-Identifier: MIT */
/*
 * The life of modules: load, unload, reload, and restart after a worker's death. One of these at a
 * time per host (admin). Each may block as long as the module's own code does.
 */
#ifndef RUNTIME_RELOAD_LIFECYCLE_H
#define RUNTIME_RELOAD_LIFECYCLE_H

#include "runtime/core/core.h"

/*
 * Takes admin for the calling thread; NULL: refused, because this very chain holds it, or the host
 * ends. ctx is for hooks, until leave.
 */
berth_ctx *berth_admin_enter(struct berth_host *host, const char *what, struct berth_error *error);
/* The same, at the host's end, too; or deadline_exceeded. */
berth_ctx *berth_admin_enter_until(struct berth_host *host, const char *what, int64_t deadline,
                                   struct berth_error *error);
void berth_admin_leave(struct berth_host *host, berth_ctx *ctx);

/* name NULL: the manifest's. The image is taken, also on failure. */
struct berth_load {
    struct berth_image *image;
    const char *name, *placement, *options;
    const struct berth_restart_policy *restart;
    bool probe; /* in a worker first, wherever the host does not do so anyway */
};
int berth_module_load(berth_ctx *admin, const struct berth_load *load, struct berth_error *error);
/* force: although others require it (they are being ended, too). */
int berth_module_unload(berth_ctx *admin, struct berth_module *module, bool force,
                        struct berth_error *error);
/* What SAVE has given, or is as good as that. Borrowed. */
struct berth_state {
    uint32_t version;
    berth_bytes bytes;
};
/* What is NULL stays as it is. The image is taken, also on failure. */
struct berth_reload {
    struct berth_module *module;
    struct berth_image *image;
    const char *options, *placement;
    const struct berth_restart_policy *restart;
    const struct berth_state *state; /* for RESTORE, instead of what SAVE gives */
    bool probe;                      /* as of a load */
    struct berth_reload_report *report;
};
/*
 * Replaces different modules, all or none: they are compared with what the others are going to be.
 * dry: only as far as no code runs. The chain must not be inside of any of them.
 */
int berth_modules_reload(berth_ctx *admin, struct berth_reload *reloads, size_t count, bool dry,
                         struct berth_error *error);
/* What SAVE of a module that goes on gives, in the memory of admin; calls wait meanwhile. */
int berth_module_save(berth_ctx *admin, struct berth_module *module, struct berth_state *ret_state,
                      struct berth_error *error);

/* The carrier behind a placement. */
int berth_placement_find(const char *text, const struct berth_carrier_ops **ret_placement,
                         struct berth_error *error);
/*
 * Whether next may be loaded as the module: what it requires and imports is there as it wants it,
 * and granted.
 */
int berth_generation_check(struct berth_generation *next, struct berth_error *error);
/*
 * Whether what the doctor knows of its image lets it run where it is to run, in place of old (NULL:
 * of none). What may harm others is logged when it is loaded.
 */
int berth_generation_examine(const struct berth_generation *next,
                             const struct berth_generation *old, struct berth_error *error);
/*
 * Maps an image that is to run inline in a worker first, where that is wanted and it was not seen
 * before: what became of it is remembered by its content. Under admin. Blocks for as long as its
 * constructors take, and for ten seconds at most.
 */
int berth_generation_probe(const struct berth_generation *next, struct berth_error *error);
void berth_probes_forget(struct berth_host *host); /* all of them; the map is as new */
/* Under admin: restarts that wait for whoever has that are done by this chain, while it waits. */
void berth_restarts_run(berth_ctx *admin, struct berth_host *host);
/* Until when who waits, and has admin, may leave them undone; not after the deadline. */
int64_t berth_restarts_pause(int64_t deadline);
/* Nothing is inside the generation any more, or the deadline has passed (false). */
bool berth_generation_quiet(struct berth_generation *generation, int64_t deadline);
/*
 * The same, and that it has answered all that it has kept or lets a worker do. What that needs may
 * be a module whose worker has died: it is restarted meanwhile.
 */
bool berth_generation_left(berth_ctx *admin, struct berth_generation *generation, int64_t deadline);
bool berth_generation_answered(berth_ctx *admin, struct berth_generation *generation,
                               int64_t deadline);
struct berth_ended {
    char *why;     /* in: room; why it is quarantined, or "" */
    size_t size;   /* in: of the room */
    uint64_t lost; /* as of the generation, in all */
};
/*
 * Halt, STOP if one is owed, close and free of one that nobody calls any more. What is not proved
 * safe to unmap is quarantined (quarantine.h).
 */
void berth_generation_end(berth_ctx *admin, struct berth_generation *generation, int64_t deadline,
                          struct berth_ended *ret_ended); /* or NULL */
/*
 * Until when an unload or reload that begins now waits for what is inside. At the host's end all
 * modules share one stop_timeout; when some have used it up, the others still get a fifth each.
 */
static inline int64_t berth_stop_deadline(const struct berth_host *host)
{
    int64_t now = berth_now(), least = now + host->options.stop_timeout_ns / 5;
    if (!host->end_deadline)
        return now + host->options.stop_timeout_ns;
    return host->end_deadline > least ? host->end_deadline : least;
}
/* Until when what is inside is left alone; then it is told to stop. */
static inline int64_t berth_stop_grace(const struct berth_host *host)
{
    return host->end_grace ? host->end_grace : berth_now() + host->options.stop_timeout_ns / 2;
}
/* host->died. */
void berth_module_died(struct berth_generation *generation, const char *how);
/* What is to be told of the death of a worker whose module served, when no lock is held. */
struct berth_death {
    bool seen, failed; /* failed: it is not restarted any more */
    char how[160], why[256];
};
/* A module that serves from now on: its worker may have died before that. host->lock held. */
void berth_module_see_death(struct berth_module *module, struct berth_death *ret_death);
/* Logs and publishes it, once for each that was seen. Under admin, or in host->died. */
void berth_module_tell_death(const struct berth_generation *generation,
                             const struct berth_death *death);
/* Its mailbox goes on, unless its worker has died: the restart does it then. */
void berth_module_resume(struct berth_module *module);

#endif
