/* SPDX-License-Identifier: MIT */
/*
 * A carrier is the code behind a placement: it makes an image runnable somewhere, and invokes what
 * the image has. The one seam between "what a module does" and "where it runs": everything above it
 * treats all placements alike.
 *
 * Whatever can be invoked is an item of the manifest with a signature: an export, a handler, a
 * hook. One verb serves all of them.
 */
#ifndef RUNTIME_CARRIER_CARRIER_H
#define RUNTIME_CARRIER_CARRIER_H

#include "runtime/base/window.h"
#include "runtime/image/image.h"
#include "runtime/loop/loop.h"
#include "runtime/value/value.h"

/* Where a call is made from. */
struct berth_place {
    /* the caller's; calls that come back from the callee run under it, on this thread */
    berth_ctx *ctx;
    struct berth_arena *arena; /* the thread's: results go here */
    int64_t deadline;          /* of berth_now(), or BERTH_FOREVER */
    const char *topic;         /* of the message that is being handled, or "" */
    bool echo;                 /* it comes of a line of the log (core/log.h) */
    bool single;               /* nobody takes one of several replies */
};

/*
 * Who is told what comes of a call that nobody waits for. Once with more false: result is the
 * value, or code and error say why there is none; before that for each of several replies, of which
 * no more come than fit into a window (`several` of the setup) until `taken` gives some back, with
 * the sizes of them. No lock is held; must not block.
 */
struct berth_carrier_answer {
    void (*came)(void *user, bool more, int code, const void *result, size_t size,
                 const struct berth_error *error);
    /* For each request of the module's under the call; hold may be called under locks. */
    void (*hold)(void *user);
    void (*release)(void *user);
    void *user;
};

/*
 * Who is told what a module gets that has started a call: packed, and its size. False: there is no
 * room for one of several replies, until `taken` is called.
 */
struct berth_carrier_reply {
    /* The call is about to begin: it may be cancelled from now on. */
    void (*begin)(void *user, void *started);
    bool (*came)(void *user, bool more, int code, const char *packed, size_t size,
                 const struct berth_error *error);
    /*
     * The i-th chain that has to go on before the module takes some of several replies, as far as
     * is known; 0: there are no more. From begin until the last of came; called with locks.
     */
    uint32_t (*taker)(void *user, size_t i);
    void *user;
};

/* Who is told of a call that may be cancelled, from begin to end. */
struct berth_carrier_running {
    void (*begin)(void *user, void *started);
    void (*end)(void *user);
    void *user;
};

/* What a request of the module's came up under. Without both it came out of the blue. */
struct berth_origin {
    berth_ctx *under; /* of the berth_place: the thread is the one that waits in invoke; or NULL */
    void *of;         /* a call that nobody waits for: the user of its answer, held; or NULL */
    int64_t deadline;
};

/*
 * What a carrier asks of the host. All of it may be called on any thread; none is called after fini
 * has begun, nor with a lock of the carrier held. What nobody waits for is called from a thread of
 * `submit`.
 */
struct berth_upcalls {
    /*
     * The module calls its import number `import`. Unpacks the arguments, packs the result. On
     * failure error tells. running: NULL under a call that waits, with which this one is cancelled.
     */
    int (*call)(void *user, const struct berth_origin *from, size_t import,
                const struct berth_carrier_running *running, struct berth_reader *arguments,
                struct berth_buffer *result, struct berth_error *error);
    /*
     * The same, and reply tells what comes of it, once more after this has returned BERTH_OK; NULL:
     * it is one way. A started call is kept by `hold`, which may be called under locks, for
     * `cancel`.
     */
    int (*start)(void *user, const struct berth_origin *from, size_t import,
                 struct berth_reader *arguments, const struct berth_carrier_reply *reply,
                 struct berth_error *error);
    void (*hold)(void *started);
    void (*cancel)(void *started);
    /*
     * Of one that is held, and let go of: whoever gets its several replies has taken some, or none:
     * takes no more.
     */
    void (*taken)(void *started, bool none);
    /*
     * The chain that has to go on before one that is held is answered, or BERTH_CHAIN_OTHER, and
     * its function's name, for the host's life. Lets go of it. Called with the finder's lock, too.
     */
    uint32_t (*runner)(void *started, const char **ret_name);
    /*
     * Of a call that nobody waits for, held as for `from`, and let go of: the i-th chain that has
     * to go on before some of its several replies are taken, or BERTH_CHAIN_OTHER; 0: there are no
     * more. Called with the finder's lock, too.
     */
    uint32_t (*taker)(void *of, size_t i);
    /* Of the same: the names of its function, and of the module that takes them; or NULL. */
    void (*stream)(void *of, const char **ret_name, const char **ret_taker);
    int (*publish)(void *user, const struct berth_origin *from, size_t topic,
                   struct berth_reader *fields, struct berth_error *error);
    /* echo: as in struct berth_place. */
    void (*log)(void *user, int level, const char *chain, const char *text, bool echo);
    void (*handle_ended)(void *user, uint64_t id); /* the module has ended this handle of its own */
    /* Its RESTORE has brought back a handle that the old generation knew as old. */
    void (*handle_restored)(void *user, uint64_t old, uint64_t id);
    /*
     * Handles in values that go to the module, and in those that come from it: translated between
     * the host's ids and the module's.
     */
    struct berth_handle_walk to_module, from_module;
    /*
     * Runs run(argument) once on a thread that may block; also fails by returning an error code
     * (then it is not run).
     */
    int (*submit)(void *user, void (*run)(void *argument), void *argument);
    /*
     * This thread has waited in invoke for a while, and goes on to; then, that it does no more.
     * NULL: nobody wants to know.
     */
    void (*waits)(void *user, bool waits);
    /*
     * In a host without threads, while ctx waits in invoke: does what there is to do, which may be
     * what is waited for, until then or once something was done. since: berth_loop_woken, from
     * before it was looked whether there is something to wait for. NULL: others do.
     */
    void (*work)(void *user, berth_ctx *ctx, uint64_t since, int64_t until);
    /*
     * The module cannot be invoked any more. Once; how: "was killed by signal 9 (Killed)". Not
     * called for an asked-for stop.
     */
    void (*died)(void *user, const char *how);
    void *user;
};

struct berth_carrier_setup {
    struct berth_image *image; /* borrowed; staged, not mapped; stays alive until fini */
    const char *name;          /* the module's in this host */
    /* checked values for all of the module's options, as one JSON object */
    const char *options_json;
    const struct berth_upcalls *upcalls;
    struct berth_loop *loop;
    struct berth_zygote *zygote; /* process: who makes workers; NULL for inline */
    int64_t stop_timeout;        /* ns */
    size_t max_message;
    struct berth_window several; /* replies to one call that may be under way */
    int log_level;               /* the most detailed lines that the host wants */
};

/* What is inside of a module is to stop, because of: */
enum berth_ending {
    BERTH_ENDING_NOT, /* nothing, or not any more */
    BERTH_ENDING_MODULE,
    BERTH_ENDING_HOST
};

struct berth_carrier;
struct berth_invoke;

struct berth_carrier_ops {
    const char *name; /* "inline", "process" */
    /*
     * Makes the image ready to be invoked; START has not run yet. Blocks for as long as
     * constructors take (process: at most until the deadline). On failure nothing is left.
     */
    int (*open)(const struct berth_carrier_setup *setup, int64_t deadline,
                struct berth_carrier **ret_carrier, struct berth_error *error);
    /*
     * Invokes an item and waits for it: kind EXPORT, SUBSCRIBE or HOOK (index: enum berth_hook),
     * arguments and result as its signature says (hooks: start, stop ()void; save ()bytes; restore
     * (u32,bytes)void). Any number of threads. The caller holds a pin. A failure of the callee is
     * returned with its code and text; a carrier whose callee runs on this very thread and has
     * marked ctx returns BERTH_INVOKED_FAILED instead. A call that the callee will never answer,
     * because it has gone or is not let in any more, is BERTH_INVOKED_LOST, with code and text in
     * error: these are counted. Results point into place->arena.
     */
    int (*invoke)(struct berth_carrier *carrier, const struct berth_place *place,
                  enum berth_item_kind kind, size_t index, const void *const *arguments,
                  void *result, struct berth_error *error);
    /*
     * The same for an export or a handler, without waiting: answer tells, unless this fails; its
     * code may be BERTH_INVOKED_LOST, or BERTH_INVOKED_UNSENT. *ret_id is for cancel. Both are NULL
     * where the callee runs on the caller's thread. Neither blocks.
     */
    int (*start)(struct berth_carrier *carrier, const struct berth_place *place,
                 enum berth_item_kind kind, size_t index, const void *const *arguments,
                 const struct berth_carrier_answer *answer, uint64_t *ret_id,
                 struct berth_error *error);
    void (*cancel)(struct berth_carrier *carrier, uint64_t id);
    /*
     * So many of its several replies have been taken, or none: nobody takes any more. Does not
     * block. False: the callee could not be told, and may wait for that.
     */
    bool (*taken)(struct berth_carrier *carrier, uint64_t id, const struct berth_window *taken,
                  bool none);
    /*
     * The chain that has to go on before a started one is answered, as far as that waits for
     * anybody; else 0. NULL with start.
     */
    uint32_t (*runner)(struct berth_carrier *carrier, uint64_t id);
    /*
     * The module serves from now on, after START and RESTORE, or again after a SAVE in vain: until
     * here its timers and watches have had no turns. Does not block. NULL: they are the host's own.
     */
    void (*serve)(struct berth_carrier *carrier);
    /*
     * The most detailed lines that the host wants from now on. False: it cannot be told now. Does
     * not block; one at a time. NULL: the host looks at each line itself.
     */
    bool (*set_log_level)(struct berth_carrier *carrier, int level);
    /*
     * Tells what is inside to stop, or that it need not. Does not block. NULL: the host tells it.
     */
    void (*tell)(struct berth_carrier *carrier, enum berth_ending ending);
    /*
     * Refuse new invokes from now on, with unavailable; those that are inside go on. Idempotent,
     * does not block.
     */
    void (*close)(struct berth_carrier *carrier);
    /*
     * Nothing is inside: let go of the module (a worker ends). Blocks at most stop_timeout, then
     * kills; and as long again for what the module has asked for and nobody waits for any more.
     * False: that still runs, somewhere else. Idempotent; after died, too.
     */
    bool (*stop)(struct berth_carrier *carrier);
    /*
     * Ends the process that it runs in at once: what is inside is lost, and died is called. Does
     * not block. NULL: that is this one.
     */
    void (*kill)(struct berth_carrier *carrier);
    /* Frees. After stop or died; waits for what stop says still runs. NULL is fine. */
    void (*fini)(struct berth_carrier *carrier);
    /* The process it runs in: 0 for this one. */
    int (*pid)(const struct berth_carrier *carrier);
    /*
     * How to call an item's code right here; belongs to the carrier. NULL: only by invoke. The
     * member itself is NULL when the code is not in this process.
     */
    const struct berth_invoke *(*direct)(struct berth_carrier *carrier, enum berth_item_kind kind,
                                         size_t index);
};
#define BERTH_INVOKED_FAILED (-1)
#define BERTH_INVOKED_LOST   (-2)
#define BERTH_INVOKED_UNSENT (-3) /* it had gone before this could be sent */

struct berth_carrier { /* the head of each carrier's own struct */
    const struct berth_carrier_ops *ops;
    struct berth_image *image;
};

extern const struct berth_carrier_ops berth_carrier_inline, berth_carrier_process;

/* The signature of an invocable item. Static for hooks. */
const struct berth_signature *berth_item_signature(const struct berth_manifest *manifest,
                                                   enum berth_item_kind kind, size_t index);

#endif
