/* SPDX-License-Identifier: MIT */
/*
 * What an application includes that embeds Berth:   cc app.c $(pkg-config --cflags --libs berth)
 *
 * An application makes a host, loads modules into it, calls their functions and offers its own. It
 * may have several hosts. The library changes nothing behind the application's back: no signal
 * handlers, no output, no environment, no fork, no exit; descriptors are close-on-exec. Logging is
 * a callback.
 *
 * Every function that can fail returns an enum berth_code (0, BERTH_OK, is success) and describes
 * the failure in *error, which may be NULL. Unless said otherwise functions may be called from any
 * thread, and inside a call.
 *
 * After a fork the child may only exec or _exit. What it calls of a host is failed_precondition or
 * does nothing, berth_host_free included, and the parent notices none of it. Only bound calls are
 * not asked, for the sake of their path. A child of a process that has no host may make one.
 *
 * All of it is since 0.1.
 */
#ifndef BERTH_HOST_H
#define BERTH_HOST_H

#include <berth/call.h>

#ifndef BERTH_NO_SYSTEM_HEADER
#pragma GCC system_header
#endif

#ifdef __cplusplus
extern "C" {
#endif

#define BERTH_PUBLIC __attribute__((visibility("default")))

typedef struct berth_host berth_host;

/* ---- memory --------------------------------------------------------------------------------- */

/*
 * Where the library takes its memory from, in the whole process, instead of malloc. All three are
 * called from any thread, several at once, and until the process ends: a thread that ends gives
 * memory back. They must not call the library.
 */
struct berth_allocator {
    size_t size; /* sizeof(struct berth_allocator) */
    /* size is never 0. Aligned for any type; NULL: there is none, which is an error of the call. */
    void *(*allocate)(void *user, size_t size);
    /* As realloc. memory is never NULL; on failure it stays as it is. */
    void *(*reallocate)(void *user, void *memory, size_t size);
    void (*release)(void *user, void *memory); /* memory is never NULL */
    void *user;
};

/*
 * Once, before the first host is made and any manifest read; else failed_precondition. Modules have
 * their own malloc; doc/embedding.md says what else does not come through here.
 */
BERTH_PUBLIC int berth_set_allocator(const struct berth_allocator *allocator,
                                     struct berth_error *error);
/*
 * Gives back what a function of this header has made "the caller's to berth_free()". NULL does
 * nothing. Without an allocator of the application's own it is free().
 */
BERTH_PUBLIC void berth_free(void *memory);

/* ---- a host --------------------------------------------------------------------------------- */

/* One line of a log. Everything is borrowed, for the time of the callback. */
struct berth_log_line {
    size_t size;        /* of this struct: later versions add to its end */
    int level;          /* enum berth_log_level */
    int64_t time_ns;    /* CLOCK_REALTIME */
    const char *module; /* module@version#generation, or "" for the host itself */
    const char *text;   /* UTF-8, without a newline */
    /*
     * The calls in which a module has logged it, "greet.hello → math.divide", or "". In a worker,
     * those since the host has called it.
     */
    const char *chain;
};

enum berth_host_flags {
    /*
     * Every argument and result is copied into memory that is freed at once, so that
     * AddressSanitizer finds who keeps one.
     */
    BERTH_HOST_CHECK_OWNERSHIP = 1,
    /*
     * Images are never unmapped, so that reports of sanitizers and valgrind keep their symbols. Set
     * by itself in a process that runs under one of these.
     */
    BERTH_HOST_KEEP_IMAGES = 2,
    /*
     * As BERTH_LOAD_PROBE, at each load and reload.   since 0.1
     */
    BERTH_HOST_PROBE = 4
};

struct berth_host_options {
    size_t size;      /* sizeof(struct berth_host_options); berth_host_options_init sets it */
    const char *name; /* for logs; default "berth" */
    /*
     * Threads that run messages, timers and watches. -1: as many as there are processors. 0: none,
     * the application polls berth_host_fd and calls berth_host_dispatch.
     */
    int threads;
    unsigned flags; /* enum berth_host_flags */
    /*
     * Gets what the host and its modules log; NULL: nothing is logged. Called from any thread,
     * several at once; must not call back into the host.
     */
    void (*log)(void *user, const struct berth_log_line *line);
    void *log_user;
    int log_level;           /* the most detailed level that is passed on; default BERTH_LOG_INFO */
    const char *worker;      /* the berth-worker program; default: the installed one */
    size_t max_message;      /* bytes of a JSON text or packed call, below 4 GiB; default 16 MiB */
    size_t mailbox_messages; /* of each module; default 1,024 */
    size_t mailbox_bytes;    /* of each module; default 1 MiB */
    int64_t call_timeout_ns; /* of a call without a deadline of its own; 0, the default: none */
    int64_t stop_timeout_ns; /* how long an unload or reload waits for calls to end; default 5 s */
    /*
     * Called first on every thread that the host makes, all signals being blocked there; NULL: not.
     * For an alternate signal stack, say. Must not call the host.
     */
    void (*thread)(void *user);
    void *thread_user;
    const char *permissions; /* what modules may do, see berth_host_permit; default: declared */
    size_t history;          /* generations before the current one that are remembered with their
                                images, of each module; default 8, 0: none */
    size_t history_bytes;    /* of all these images; default 64 MiB */
    /*
     * How much may be quarantined (see berth_host_unload) before reloads are refused: images, and
     * bytes of address space. 0: the defaults, 64 and 256 MiB.
     */
    size_t quarantine_images, quarantine_bytes;
    /*
     * A real-time signal that is the library's from now on, to be installed by it and left alone by
     * the application: an unload asks threads that run, and have never called a host, where they
     * are. SIGRTMIN to SIGRTMAX; 0, the default: none, and such a thread keeps an old image
     * quarantined until it is seen asleep.
     */
    int scan_signal;
    /*
     * An absolute directory: images that run inline are mapped from copies with names,
     * module@version#generation.so, for perf and others that look for files. They lie in a new
     * directory in it, mode 0700, and are removed at the host's end. NULL, the default: from sealed
     * memory files, which is safer. What is checked are these in both cases.   since 0.1
     */
    const char *staging;
};

/* Fills in the defaults. */
BERTH_PUBLIC void berth_host_options_init(struct berth_host_options *options);

/* options may be NULL. *ret_host is ended by berth_host_free. */
BERTH_PUBLIC int berth_host_new(const struct berth_host_options *options, berth_host **ret_host,
                                struct berth_error *error);

/*
 * Stops every module, each before those that it requires or imports and otherwise in the reverse
 * order of loading; ends the threads and workers, and frees the host. Any thread may do so, unless
 * it has entered the host or is in something that the host has called: a function, a handler, a
 * line of the log. That is failed_precondition, and nothing has changed. No other thread may be
 * using the host. NULL does nothing.
 *
 * Loads, changes, and calls that modules pass on from outside, as control does, are refused with
 * unavailable, at once. It waits for a load or reload that is going on, for calls that are inside
 * of modules and for callbacks of subscriptions; all of that shares one stop_timeout_ns, of which
 * each module gets a fifth at least. After half of it what is inside is told to stop, as by an
 * unload. Beyond it are only what modules do in STOP and in destructors in this process,
 * which nothing can end. What could not be finished is logged, by module and number of calls, and
 * then all that it can reach, the host too, stays in memory: deadline_exceeded. It stays told to
 * stop, for whenever it asks. Nothing of it calls the application any more, and the application
 * must not use it, either.
 */
BERTH_PUBLIC int berth_host_free(berth_host *host);

/*
 * What has become of all messages. A message counts once for each receiver, or queue group, that it
 * was published for; sent is the sum of all that follow.
 */
struct berth_shutdown_report {
    size_t size; /* sizeof(struct berth_shutdown_report), set by the caller */
    uint64_t sent;
    uint64_t delivered; /* a handler has dealt with it */
    uint64_t rejected;  /* its sender was told that it could not be delivered */
    uint64_t dropped;   /* from, or at, a mailbox that was full and may drop */
    uint64_t expired;   /* before its turn its sender's deadline had passed, or its sender's call
                               been cancelled */
    uint64_t dead_lettered; /* its handler failed, as often as it may */
    uint64_t left;          /* its receiver, or this host, has ended before its turn */
    /* that modules in this process had made or kept, and not released when they ended with it */
    uint64_t blobs, blob_bytes;
};
/*
 * berth_host_free, which also tells that; report may be NULL. It is filled in unless the host stays
 * as it is (failed_precondition); after deadline_exceeded it tells what is known.
 */
BERTH_PUBLIC int berth_host_end(berth_host *host, struct berth_shutdown_report *report);

/*
 * How detailed the lines of a module may be that are passed on: an enum berth_log_level, or -1, as
 * those of module "", which is every module that has no level of its own; that one begins with
 * log_level. Module "host" is the host itself. A module need not be loaded yet, and its level stays
 * when it is replaced. Fails with unavailable when a worker cannot be told now.
 */
BERTH_PUBLIC int berth_host_set_log_level(berth_host *host, const char *module, int level,
                                          struct berth_error *error);

/*
 * How long calls may take: of a function ("math.divide"), or of all functions of a module ("math")
 * that have no timeout of their own. No such call that goes through the host, or is bound, takes
 * longer, whatever deadline its caller has: of the two the earlier one holds. Of "" it is
 * call_timeout_ns, which is only for calls of chains without a deadline, where neither function nor
 * module has a timeout. 0: as if it had never been set; INT64_MAX: no end, whatever the module's
 * is. Nothing needs to be loaded yet, and a timeout stays when a module is replaced. Bound calls of
 * a function with a timeout go through the host, and cost what a call by handle does.   since 0.1
 */
BERTH_PUBLIC int berth_host_set_call_timeout(berth_host *host, const char *of, int64_t ns,
                                             struct berth_error *error);

/*
 * Whether the host's threads still answer, within timeout_ms: the loop's, and one of those that run
 * messages, timers and watches. Else unavailable, which says what does not: for a watchdog. Without
 * threads nothing is asked.
 */
BERTH_PUBLIC int berth_host_check(berth_host *host, int timeout_ms, struct berth_error *error);

/*
 * threads = 0: readable when there is something to do. It stays the host's; poll it for POLLIN.
 */
BERTH_PUBLIC int berth_host_fd(const berth_host *host);
/*
 * Does what is to do now: messages, timers, watches, ends of workers; waits at most timeout_ms for
 * it (0: not at all, -1: without limit). Returns the number of things done, or -1, and does
 * nothing, on a thread that is inside: it has entered, or runs what the host has called. Works
 * beside threads, too.
 */
BERTH_PUBLIC int berth_host_dispatch(berth_host *host, int timeout_ms);

/* ---- modules -------------------------------------------------------------------------------- */

/*
 * When a module whose worker has died comes back: at once, then after first_ns, then after twice
 * as long each time, up to last_ns; and not more than limit times within window_ns: then it is
 * "failed", until it is reloaded. Having lived for window_ns forgives what was before.
 */
#define BERTH_RESTART_NEVER (-1)
struct berth_restart_policy {
    size_t size;       /* sizeof(struct berth_restart_policy); zero the rest for the defaults */
    int limit;         /* 1 to 32, or BERTH_RESTART_NEVER; default 5 */
    int64_t window_ns; /* default 30 s */
    int64_t first_ns;  /* default 100 ms */
    int64_t last_ns;   /* not less than first_ns; default 30 s */
};

struct berth_load_options {
    size_t size;           /* sizeof(struct berth_load_options); zero the rest for the defaults */
    const char *name;      /* the name in this host; default: the manifest's */
    const char *placement; /* "inline" (default) or "process" */
    const char *options;   /* a JSON object with values for the module's options; default: none */
    const struct berth_restart_policy *restart; /* of a worker; default: all at its defaults */
    unsigned flags;                             /* enum berth_load_flags */
};
enum berth_load_flags {
    /*
     * An image that is to run inline, and whose content this host has not seen before, is mapped in
     * a worker first, which then ends. So a constructor that crashes, or has not ended after ten
     * seconds, is an error of the load, and what became of it is remembered. START does not run.
     */
    BERTH_LOAD_PROBE = 1
};

/*
 * Loads a module and starts it. options may be NULL. Imports of modules that are not there yet are
 * bound when those come; what BERTH_REQUIRES names must be there. On failure nothing has changed,
 * and the error says at which file, record, symbol or function it failed. Blocks for as long as
 * the module's constructors and its START do; in a process each of them may take 30 seconds.
 */
BERTH_PUBLIC int berth_host_load(berth_host *host, const char *file,
                                 const struct berth_load_options *options,
                                 struct berth_error *error);
/*
 * Loads several, in an order that satisfies their BERTH_REQUIRES, and where that can be each after
 * what it imports. All or none: a cycle or something missing is named. options has count entries,
 * one for each file, or is NULL.
 */
BERTH_PUBLIC int berth_host_load_all(berth_host *host, const char *const *files,
                                     const struct berth_load_options *options, size_t count,
                                     struct berth_error *error);

/*
 * Calls that are inside finish, then STOP runs and the module is gone. What has not finished after
 * half of stop_timeout_ns is told to stop: berth_stopping is true there, and what it waits for ends
 * with cancelled. After all of it a worker is killed; inline this fails with deadline_exceeded, and
 * the module goes on.
 * Refused while a loaded module requires it (naming it), and inside a call of the module itself. A
 * thread of the module's own that has not ended by then keeps its image, and STOP runs when a later
 * look finds it ended. What is not proved safe to unmap, for this or other reasons, is quarantined:
 * it is logged, stays mapped, and berth_host_list names it; the host looks again, and unmaps it
 * once it can. doc/embedding.md tells what is looked at.
 */
BERTH_PUBLIC int berth_host_unload(berth_host *host, const char *name, struct berth_error *error);

struct berth_reload_report {
    size_t size;   /* sizeof(struct berth_reload_report), set by the caller */
    char step[16]; /* "done", "queued", or stage, compare, start, handover: it failed there */
    char from[96], to[96]; /* module@version#generation */
    uint64_t in_flight;    /* calls that were inside the old generation at the switch */
    uint64_t waited;       /* calls that waited at the gate */
    uint64_t messages;     /* that were in the mailbox, and stay */
    uint64_t state_bytes;
    uint32_t state_version;
    uint32_t unmapped; /* 1: the old image is gone; 0: see quarantined */
    int64_t longest_wait_ns;
    int64_t total_ns;
    char quarantined[160]; /* why the old image is still mapped, or "" */
    /*
     * Of the calls in_flight: those that have ended in the old generation by the end of the drain.
     * What is neither drained nor dropped is still inside (see quarantined).
     */
    uint64_t drained;
    uint64_t dropped; /* calls that were let into the old generation and got no answer of it */
    char from_build[64], to_build[64]; /* build-ids, in hexadecimal digits; "" without one */
    char why[256];                     /* a reload that failed: the error's text, perhaps cut */
};

struct berth_reload_options {
    size_t size;           /* sizeof(struct berth_reload_options); zero the rest for the defaults */
    const char *file;      /* default: the file that it was loaded from */
    const char *options;   /* "{}": all at their defaults; default: those that were given last */
    const char *placement; /* "inline" or "process"; default: where it is */
    const struct berth_restart_policy *restart; /* default: as it is */
    unsigned flags;                             /* enum berth_reload_flags */
};
enum berth_reload_flags {
    /* Stage and compare alone: no code of the file runs, and nothing changes. */
    BERTH_RELOAD_DRY_RUN = 1,
    BERTH_RELOAD_PROBE = 2 /* as BERTH_LOAD_PROBE */
};

/*
 * Replaces a module's code by that of file (NULL: the file that it was loaded from) while
 * everything else goes on: calls that are inside finish in the old generation, new ones wait or go
 * to the new one, state is handed over by SAVE and RESTORE. Any failure leaves the old generation
 * serving. report may be NULL; it is filled in both cases. Inside a call of the module itself it is
 * queued (report.step) until that call has left; how it then went is logged, and published.
 */
BERTH_PUBLIC int berth_host_reload(berth_host *host, const char *name, const char *file,
                                   struct berth_reload_report *report, struct berth_error *error);
/*
 * The same, with other values for the module's options, or into another placement. Any failure
 * leaves the old generation serving, with its own options and where it is. how may be NULL.
 */
BERTH_PUBLIC int berth_host_reload_with(berth_host *host, const char *name,
                                        const struct berth_reload_options *how,
                                        struct berth_reload_report *report,
                                        struct berth_error *error);

/*
 * Replaces several modules at once, all or none: an interface that has changed on both sides. Each
 * is compared with what the others are going to be, and nobody calls a new one and then an old one.
 * how has count entries, one for each name, or is NULL; reports likewise, each with its size set.
 */
BERTH_PUBLIC int berth_host_reload_all(berth_host *host, const char *const *names,
                                       const struct berth_reload_options *how, size_t count,
                                       struct berth_reload_report *reports,
                                       struct berth_error *error);
/*
 * Goes back to the image of an earlier generation, as berth_host_history numbers them (0: the
 * newest that was another one), with the options that it had: a reload, so RESTORE of the old code
 * must accept the state that the present one saves. report may be NULL.
 */
BERTH_PUBLIC int berth_host_rollback(berth_host *host, const char *name, unsigned generation,
                                     struct berth_reload_report *report, struct berth_error *error);
/*
 * The generations that a module has had, oldest first, as JSON: [{"generation","version",
 * "build_id","content","bytes","placement","file","current","kept","ended_ns"}]. *ret_json is the
 * caller's to berth_free().
 */
BERTH_PUBLIC int berth_host_history(berth_host *host, const char *name, char **ret_json,
                                    struct berth_error *error);
/*
 * The state of a module, as its BERTH_SAVE gives it: {"module","version","state_version","bytes",
 * "state"}, the last in base64. Calls wait meanwhile. *ret_json is the caller's to berth_free().
 */
BERTH_PUBLIC int berth_host_snapshot(berth_host *host, const char *name, char **ret_json,
                                     struct berth_error *error);
/*
 * Replaces a module by a new generation of the same image, with this state instead of its own: a
 * reload, so a failure leaves the module as it is. report may be NULL.
 */
BERTH_PUBLIC int berth_host_restore(berth_host *host, const char *name, const char *snapshot,
                                    struct berth_reload_report *report, struct berth_error *error);

/*
 * The application as a module: offers what it declares with the macros of <berth/module.h>, under
 * its BERTH_MODULE name: berth_host_provide(host, &berth_entry, &error). An entry belongs to one
 * host at a time.
 */
BERTH_PUBLIC int berth_host_provide(berth_host *host, const struct berth_entry *entry,
                                    struct berth_error *error);

/*
 * What is there, as JSON:
 * {"modules":[{"name","version","generation","placement","state","pid","file","content",…}]}, or
 * one module's manifest when name is given. *ret_json is the caller's to berth_free().
 */
BERTH_PUBLIC int berth_host_list(berth_host *host, char **ret_json, struct berth_error *error);
BERTH_PUBLIC int berth_host_show(berth_host *host, const char *name, char **ret_json,
                                 struct berth_error *error);
/*
 * What has been counted since the host was made, as JSON: {"host":{"counting","uptime_ns","pid",
 * "cpu_ns","memory"},"modules":[{"name","calls","messages","failed","dropped","mailbox",…}],
 * "calls":[{"from","to","calls","estimated","errors","p50_ns",…}],"messages":[{"from","topic","to",
 * "messages","dropped","errors","p50_ns",…}]}. "calls" and "messages" have one entry for each pair
 * that has had any ("from" is "" for the application); doc/host-module.md tells what each member
 * means. Any thread; does not block. *ret_json is the caller's to berth_free().   since 0.1
 */
BERTH_PUBLIC int berth_host_stats(berth_host *host, char **ret_json, struct berth_error *error);
/*
 * Bound calls that are made very often are sampled, and their number is an estimate, so that they
 * stay as fast as they are. With all every call is counted, which makes such a bound call several
 * times slower; without it, as at the beginning, they are sampled again. Any thread; does not
 * block.   since 0.1
 */
BERTH_PUBLIC void berth_host_count_all(berth_host *host, bool all);
/*
 * The manifest of a file, as JSON, and as `berth show` prints it. Either may be NULL; with neither
 * it only says whether the file is a module. No code of the file runs.
 */
BERTH_PUBLIC int berth_manifest_read(const char *file, char **ret_json, char **ret_text,
                                     struct berth_error *error);

/*
 * All that can be said of a file before it is loaded: errors (it cannot be loaded, or calls of it
 * would go astray), warnings (it may harm others, or not be replaced) and notes, as JSON and as
 * `berth doctor` prints them; berth-doctor(1) has the schema. Reads the file and the libraries that
 * it needs; no code of them runs. That the file is bad, or not there, is one of the errors told.
 *   since 0.1
 */
struct berth_doctor_options {
    size_t size; /* sizeof(struct berth_doctor_options) */
    /* an application's program, whose exported names come before a module's own; default: this */
    const char *program;
};
struct berth_doctor_report {
    size_t size; /* sizeof(struct berth_doctor_report), set by the caller */
    size_t errors, warnings, notes;
    char *json, *text; /* the caller's to berth_free() */
};
BERTH_PUBLIC int berth_doctor(const char *file, const struct berth_doctor_options *options,
                              struct berth_doctor_report *report, struct berth_error *error);

/* ---- permissions ---------------------------------------------------------------------------- */

/*
 * What the host's modules may do, from now on; NULL is {"mode":"declared"}. JSON:
 *
 *     {"mode": "listed", "grants": {
 *         "greet":    {"call": ["math.*", "audit.note"], "publish": ["greet.>"]},
 *         "*":        {"subscribe": ["clock.>"]},
 *         "control":  {"as": "operator", "call": ["host.call"]},
 *         "operator": {"call": ["*", "host.reload"]}}}
 *
 * open: everything. declared: what a module's manifest declares, be it to call the module host. In
 * a listed host that has to be granted as well, or the module is refused when it is loaded or
 * reloaded (permission_denied, with the rules that are missing); so has all that it does through
 * the module host. `*` as a caller is every module; as a function, all but those of host, as with
 * topics. A module that acts "as" the operator needs grants of its own for its links, and what it
 * does through the module host is asked in the operator's name. With "record": true the host notes
 * which grants were needed.
 *
 * Links are bound anew: one that is not allowed any more is shut. A call or publication through it
 * fails with permission_denied, naming the rule; a subscription gets no new messages. Calls that
 * are inside go on. On failure nothing has changed. Not inside a load or reload. The application
 * itself, its own module and BERTH_BOUND included, may do everything.
 */
BERTH_PUBLIC int berth_host_permit(berth_host *host, const char *policy_json,
                                   struct berth_error *error);
/*
 * {"mode","grants","allowed","missing"}, the last two as grants: what the manifests of the loaded
 * modules declare, and whether they may. "needed", likewise, is what has been noted. *ret_json is
 * the caller's to berth_free().
 */
BERTH_PUBLIC int berth_host_permissions(berth_host *host, char **ret_json,
                                        struct berth_error *error);

/* ---- calls ---------------------------------------------------------------------------------- */

/*
 * Makes this thread one of the host's, until berth_leave(ctx): ctx is for the calls below, on this
 * thread. Results and memory of berth_alloc live until then. May be nested, and inside a call of
 * another host. NULL without memory, and in a child of fork.
 */
BERTH_PUBLIC berth_ctx *berth_host_enter(berth_host *host);

/*
 * Calls made with ctx fail with deadline_exceeded after ns nanoseconds from now; INT64_MAX: never.
 * An earlier deadline of the caller's stays.
 */
BERTH_PUBLIC void berth_set_timeout(berth_ctx *ctx, int64_t ns);

/*
 * A bound call: the same inlined path as in a module, checked once.
 *
 *     BERTH_BOUND(f64, divide, (f64, a), (f64, b));    gives the type divide_bound, and divide_call
 *     divide_bound divide;
 *     if (berth_bind(host, "math.divide", divide, &divide, &error)) …
 *     berth_ctx *ctx = berth_host_enter(host);
 *     double q = divide_call(&divide, ctx, 6, 4);
 *     if (berth_failed(ctx)) …
 *     berth_leave(ctx);
 *     berth_unbind(host, &divide);
 *
 * Binding needs the module to be there, with this signature (else not_found, failed_precondition).
 * It follows the module through reloads; while the module is away calls fail with unavailable. The
 * bound object must stay in place until berth_unbind, or the host's end, and is bound once until
 * then; no thread may be in a call through it then. A struct in the signature must be declared by
 * the application's own module (berth_host_provide), which cannot be unloaded meanwhile.
 */
#define BERTH_BOUND(ret, ...)                                                                \
    BERTH_I_BOUND(BERTH_I_KIND(BERTH_I_GIVES_##ret), berth_##ret,                            \
                  BERTH_I_CAT(BERTH_I_FIRST(__VA_ARGS__), _bound),                           \
                  BERTH_I_CAT(BERTH_I_FIRST(__VA_ARGS__), _call),                            \
                  BERTH_I_CAT(BERTH_I_FIRST(__VA_ARGS__), _slow),                            \
                  BERTH_I_CAT(BERTH_I_FIRST(__VA_ARGS__), _cold),                            \
                  BERTH_I_CAT(BERTH_I_FIRST(__VA_ARGS__), _signature), "returns=" #ret "\0", \
                  __VA_ARGS__)
#define BERTH_I_BOUND(...) BERTH_I_BOUND_X(__VA_ARGS__)
/* clang-format off */
#define BERTH_I_BOUND_X(how, ret, type, fn, slow_fn, cold_fn, signature, text, ...)                \
    typedef struct type {                                                                          \
        struct berth_link link;                                                                    \
    } type;                                                                                        \
    BERTH_I_UNUSED static const char signature[] = text BERTH_I_EACH(BERTH_I_TEXT, __VA_ARGS__);   \
    BERTH_I_UNUSED __attribute__((noinline, cold)) static ret cold_fn(                             \
        struct berth_link *berth_l, berth_ctx *ctx BERTH_I_EACH(BERTH_I_DECL, __VA_ARGS__))        \
    {                                                                                              \
        BERTH_I_COLD(how, ret, __VA_ARGS__)                                                        \
    }                                                                                              \
    BERTH_I_UNUSED __attribute__((noinline)) static ret slow_fn(                                   \
        struct berth_link *berth_l, berth_ctx *ctx BERTH_I_EACH(BERTH_I_DECL, __VA_ARGS__))        \
    {                                                                                              \
        BERTH_I_SLOW(how, ret, cold_fn, (berth_l, ctx BERTH_I_EACH(BERTH_I_NAME, __VA_ARGS__)),    \
                     __VA_ARGS__)                                                                  \
    }                                                                                              \
    BERTH_I_UNUSED static inline ret fn(                                                           \
        type *berth_b, berth_ctx *ctx BERTH_I_EACH(BERTH_I_DECL, __VA_ARGS__))                     \
    {                                                                                              \
        struct berth_link *berth_l = &berth_b->link;                                               \
        BERTH_I_CAT(BERTH_I_FAST_, how)                                                            \
        (ret, slow_fn, (berth_l, ctx BERTH_I_EACH(BERTH_I_NAME, __VA_ARGS__)), __VA_ARGS__)        \
    }                                                                                              \
    BERTH_I_SEMICOLON
/* clang-format on */
#define berth_bind(host, name, what, bound, error)                                             \
    berth_host_bind(host, name, what##_signature, sizeof what##_signature - 1, &(bound)->link, \
                    error)
#define berth_unbind(host, bound) berth_host_unbind(host, &(bound)->link)
BERTH_PUBLIC int berth_host_bind(berth_host *host, const char *name, const char *signature,
                                 size_t size, struct berth_link *link, struct berth_error *error);
BERTH_PUBLIC void berth_host_unbind(berth_host *host, struct berth_link *link);

/* One argument or result of a call by name. */
enum berth_value_kind {
    BERTH_VALUE_VOID,
    BERTH_VALUE_BOOL,
    BERTH_VALUE_I64, /* for every signed type; the range is checked */
    BERTH_VALUE_U64, /* for every unsigned type */
    BERTH_VALUE_F64, /* for f32, too */
    BERTH_VALUE_STRING,
    BERTH_VALUE_JSON,
    BERTH_VALUE_BYTES,
    BERTH_VALUE_HANDLE,
    BERTH_VALUE_MEMORY /* array, optional, struct: as.memory is the C value's address */
};
struct berth_value {
    uint32_t kind; /* enum berth_value_kind */
    uint32_t reserved;
    union {
        bool boolean;
        int64_t i64;
        uint64_t u64;
        double f64;
        const char *string; /* and json */
        berth_bytes bytes;
        const void *memory;
    } as;
};

/*
 * Calls module.function with count values. An integer of either kind goes into any integer type
 * that can hold it, and into a decimal one. *ret_result (may be NULL) is valid until berth_leave.
 * Returns the code of the failure, which is also in ctx as of any call: berth_error_text(ctx)
 * tells it, and berth_clear(ctx) must follow if it is handled.
 */
BERTH_PUBLIC int berth_call(berth_ctx *ctx, const char *name, const struct berth_value *arguments,
                            size_t count, struct berth_value *ret_result);

/*
 * The same, prepared once. Follows the module through reloads; calls fail with unavailable while
 * it is away. Ended by berth_function_free, before the host.
 */
typedef struct berth_function berth_function;
BERTH_PUBLIC int berth_function_find(berth_host *host, const char *name,
                                     berth_function **ret_function, struct berth_error *error);
BERTH_PUBLIC void berth_function_free(berth_function *function);
BERTH_PUBLIC int berth_function_call(berth_function *function, berth_ctx *ctx,
                                     const struct berth_value *arguments, size_t count,
                                     struct berth_value *ret_result);
/*
 * By the addresses of C values, one each, of exactly the parameters' types; result likewise, NULL
 * for void or to drop it.
 */
BERTH_PUBLIC int berth_function_invoke(berth_function *function, berth_ctx *ctx,
                                       const void *const *arguments, void *result);

/*
 * Arguments as a JSON array or object (NULL: none), the result as a JSON text, "null" for void,
 * that is the caller's to berth_free().
 */
BERTH_PUBLIC int berth_call_json(berth_ctx *ctx, const char *name, const char *arguments,
                                 char **ret_result);

/*
 * Starts a call and does not wait for it: *ret_pending is for berth_call_take, and for
 * berth_call_any, _all, _done, _then, _limit, _cancel and _drop of <berth/call.h>, on any thread.
 * It runs in the callee's turn, on a thread of the host; threads = 0: in berth_host_dispatch, or
 * while somebody waits for it. What fails later is the call; what fails here has started nothing:
 * arguments that do not fit the function as it is now, too. Arguments are copied.
 */
struct berth_call_options {
    size_t size;        /* sizeof(struct berth_call_options); zero the rest for the defaults */
    int64_t timeout_ns; /* 0, the default: as of any call */
    /*
     * What happens when the callee's mailbox is full: BERTH_FULL_REJECT, the default, fails;
     * BERTH_FULL_BLOCK waits for room, at most until the deadline (threads = 0: fails).
     * BERTH_FULL_DROP_OLDEST is for berth_send: the oldest that was sent so goes, and is counted.
     */
    enum berth_full full;
};
/* options may be NULL. */
BERTH_PUBLIC int berth_call_start(berth_ctx *ctx, const char *name,
                                  const struct berth_value *arguments, size_t count,
                                  const struct berth_call_options *options,
                                  berth_pending *ret_pending);
/*
 * Waits for the answer, not beyond the deadline of ctx, and ends the pending call. *ret_result (may
 * be NULL) is valid until berth_leave. Replies before it that have not been taken are dropped, and
 * the callee hears that nobody wants more.
 */
BERTH_PUBLIC int berth_call_take(berth_ctx *ctx, berth_pending pending,
                                 struct berth_value *ret_result);
/*
 * Waits for one of several replies, which the function sends before its answer; BERTH_VALUE_VOID:
 * there are no more, and the answer is to be taken, which may be a failure. This one's own failure,
 * as that the deadline of ctx has passed, ends nothing: the call is still to be taken or dropped.
 * When as many lie there as fit into a mailbox (mailbox_messages, mailbox_bytes), the callee waits.
 */
BERTH_PUBLIC int berth_call_next(berth_ctx *ctx, berth_pending pending,
                                 struct berth_value *ret_value);
/*
 * A call that nobody waits for: in the callee's mailbox when this returns, else it has failed. That
 * the function fails then is logged. The timeout limits the wait for room as well as the call.
 */
BERTH_PUBLIC int berth_send(berth_ctx *ctx, const char *name, const struct berth_value *arguments,
                            size_t count, const struct berth_call_options *options);

/*
 * The same with JSON, as berth_call_json has it: what is started so is taken so. The arguments are
 * read in the callee's turn: that they do not fit is a failure of the call. *ret_result and
 * *ret_value are the caller's to berth_free(); *ret_value NULL: there are no more.
 */
BERTH_PUBLIC int berth_call_start_json(berth_ctx *ctx, const char *name, const char *arguments,
                                       const struct berth_call_options *options,
                                       berth_pending *ret_pending);
BERTH_PUBLIC int berth_call_take_json(berth_ctx *ctx, berth_pending pending, char **ret_result);
BERTH_PUBLIC int berth_call_next_json(berth_ctx *ctx, berth_pending pending, char **ret_value);
BERTH_PUBLIC int berth_send_json(berth_ctx *ctx, const char *name, const char *arguments,
                                 const struct berth_call_options *options);

/*
 * Arguments as people type them, one word each: a word is itself for a string or bytes, and JSON
 * for any other type; NAME=VALUE is the argument of that name, if the function has such a
 * parameter. The result as people want to see it: a string or bytes raw, nothing for void, else
 * JSON.
 */
struct berth_word {
    const char *data;
    size_t size;
};
struct berth_words_call {
    size_t size; /* sizeof(struct berth_words_call) */
    const struct berth_word *words;
    size_t count;
    const char *json; /* instead of words: a JSON array or object; or NULL */
    /*
     * Called for each word that is to be a string or bytes (may be NULL): may let *word point at
     * something else, which must stay until the call has ended, or refuse with a code and *error.
     * Must not call the host.
     */
    int (*expand)(void *user, const char *parameter, struct berth_word *word,
                  struct berth_error *error);
    void *user;
    bool as_json; /* the result always as JSON */
};
struct berth_words_result {
    enum berth_value_kind kind; /* BERTH_VALUE_STRING, _BYTES, _VOID or _JSON */
    char *data;                 /* NUL-ended beyond size; the caller's to berth_free() */
    size_t size;
};
BERTH_PUBLIC int berth_call_words(berth_ctx *ctx, const char *name,
                                  const struct berth_words_call *words,
                                  struct berth_words_result *ret_result);
/*
 * The same, started: as berth_call_start, _next and _take. expand is called before the first of
 * them returns. ret_value->data NULL: there are no more.
 */
BERTH_PUBLIC int berth_call_start_words(berth_ctx *ctx, const char *name,
                                        const struct berth_words_call *words,
                                        const struct berth_call_options *options,
                                        berth_pending *ret_pending);
BERTH_PUBLIC int berth_call_next_words(berth_ctx *ctx, berth_pending pending,
                                       struct berth_words_result *ret_value);
BERTH_PUBLIC int berth_call_take_words(berth_ctx *ctx, berth_pending pending,
                                       struct berth_words_result *ret_result);

/* ---- messages ------------------------------------------------------------------------------- */

/*
 * Publishes to a topic that some loaded module (or the application) declares: fields as a JSON
 * object or array. Fails with not_found when nobody declares it, and with resource_exhausted,
 * naming them, when mailboxes are full: the others have got it.
 */
BERTH_PUBLIC int berth_publish_json(berth_ctx *ctx, const char *topic, const char *fields);

/*
 * Calls fn for each message to a topic that matches pattern, on a thread of the host (or in
 * berth_host_dispatch), one at a time and in order. What it gets is borrowed for the call. *ret_id
 * (may be NULL) is for berth_host_unsubscribe, after which fn is not called any more. It waits for
 * one that runs, unless that is the caller, or waits for the caller. If a topic has a current value
 * (BERTH_LAST_VALUE), that is the first message.
 */
struct berth_message {
    size_t size;
    const char *topic;
    const char *fields; /* a JSON object */
    const char *sender; /* the publishing module; "" for the application without one */
    uint64_t dropped;   /* the host's own messages that were lost since the one before this */
};
typedef void (*berth_message_fn)(berth_ctx *ctx, const struct berth_message *message, void *user);
BERTH_PUBLIC int berth_host_subscribe(berth_host *host, const char *pattern, berth_message_fn fn,
                                      void *user, uint64_t *ret_id, struct berth_error *error);
BERTH_PUBLIC void berth_host_unsubscribe(berth_host *host, uint64_t id);

/* How a subscription gets its messages; <berth/module.h> tells more of each. */
struct berth_subscribe_options {
    size_t size; /* sizeof(struct berth_subscribe_options); zero the rest for the defaults */
    enum berth_full full; /* what its mailbox does when it is full; default BERTH_FULL_REJECT */
    int tries;            /* turns of a message whose fn fails (berth_fail); default 1 */
    const char *group;    /* a queue group, one of which gets a message; default: none */
};
/* The same with options, which may be NULL. */
BERTH_PUBLIC int berth_host_subscribe_with(berth_host *host, const char *pattern,
                                           const struct berth_subscribe_options *options,
                                           berth_message_fn fn, void *user, uint64_t *ret_id,
                                           struct berth_error *error);

/* ---- crashes -------------------------------------------------------------------------------- */

/*
 * For a signal handler of the application's own: whose code the calling thread is in, as lines
 * "math@1.2.0#1 divide\n", the innermost call first; "callback" is what has no name, as a timer.
 * Whole lines, as many as fit into size bytes, without a NUL. Returns how many bytes that were; 0:
 * no module's function runs on this thread. Async-signal-safe: no lock, no memory, no errno.
 */
BERTH_PUBLIC size_t berth_crash_describe(void *buffer, size_t size);

/* ---- words ---------------------------------------------------------------------------------- */

/* "invalid_argument" for BERTH_INVALID_ARGUMENT; "unknown" for what is no code. Static. */
BERTH_PUBLIC const char *berth_code_name(int code);
/* The library's version, which may be newer than the header's BERTH_VERSION. Static. */
BERTH_PUBLIC const char *berth_version(void);

#ifdef __cplusplus
}
#endif
#endif
