/* SPDX-License-Identifier: MIT */
/*
 * The structures of a host, shared by the files of the core and by the floors above it.
 *
 *   host ─┬─ modules (by name, for the host's life) ── generation (one image, running somewhere)
 *         │                                              └─ items, edges, publishers, alarms …
 *         └─ topics (by name) ── subscriptions (by pattern and handler; they outlive generations)
 *
 * Locks, in the order in which they may be taken:
 *   admin       one load, unload, reload or restart at a time; held while modules' hooks run
 *   topic_lock  topics and subscriptions; who publishes reads them, as a rule with a mark instead
 *               (runtime/core/topic.h)
 *   last_lock   current values of topics
 *   ring_lock   who waits for whom, in all hosts (runtime/call/ring.h)
 *   lock        the registry: modules, cells, edges, handles, threads and alarms
 *   mail_lock   one module's mailbox
 *   room_lock   senders who wait for room in mailboxes
 *   run_lock    the run queue and the jobs
 *   calls_lock  ids of calls that were started or are kept; after it a call's own
 *   event_lock  the newest events
 *   waits       who waits and may be interrupted (runtime/call/interrupt.h)
 *   blobs.lock  which blobs there are, and who holds them
 *   threads     the list of threads, and what each has counted; nothing is taken after it
 *
 * Module code runs with none of them held but admin (hooks). A frame (runtime/call/thread.h) is
 * what keeps an item, its generation and its code alive without a lock: push the item, then see
 * that it is still the one.
 */
#ifndef RUNTIME_CORE_CORE_H
#define RUNTIME_CORE_CORE_H

#include "runtime/base/error.h"
#include "runtime/base/idmap.h"
#include "runtime/base/list.h"
#include "runtime/base/map.h"
#include "runtime/base/pages.h"
#include "runtime/base/topic_tree.h"
#include "runtime/call/gate.h"
#include "runtime/call/thread.h"
#include "runtime/carrier/carrier.h"
#include "runtime/carrier/zygote.h"
#include "runtime/core/policy.h"
#include "runtime/core/upstream.h"
#include "runtime/image/staging.h"
#include "runtime/loop/restart.h"
#include "runtime/value/fit.h"
#include "runtime/value/invoke.h"
#include "runtime/value/json.h"
#include <berth/host.h>

struct berth_flow;
struct berth_generation;
struct berth_mail;
struct berth_module;
struct berth_parcel;
struct berth_runner;
struct berth_started;

/*
 * Something of a generation that can be invoked. Frames point at it: it lives as long as its
 * generation.
 */
struct berth_item {
    struct berth_generation *generation;
    enum berth_item_kind kind;
    size_t index;
    const struct berth_signature *signature;
    void (*code)(void); /* inline; else NULL */
    bool gated;         /* code of a serial module */
    bool asks;  /* whoever comes must ask: it is gated or timed, or the module has elders; atomic */
    bool async; /* answers later: see kept.h */
    bool any;   /* a handler of messages of any type */
    /*
     * When a call is no more than that, without a copy of anything: how; else NULL: the carrier's.
     */
    const struct berth_invoke *direct;
    uint64_t serial; /* of its generation: no two in a process have the same */
};

/*
 * An exported function's name, for the host's life: callers hold it, whatever module is behind it
 * now.
 */
struct berth_cell {
    struct berth_module *module;
    struct berth_list of_module;
    const char *function;    /* in its name */
    struct berth_item *item; /* atomic; NULL: nothing to call now (absent, or being replaced) */
    int64_t timeout;         /* its own: core/timeout.h; atomic */
    struct berth_list edges;
    struct berth_flow *from_application; /* atomic; NULL before its first call */
    struct berth_list functions;         /* berth_function handles */
    char name[];                         /* module.function */
};

/* One bound call site: an import of a module, or a BERTH_BOUND of the application. */
struct berth_edge {
    struct berth_list of_cell, of_owner;
    struct berth_link *link, own; /* own: for an import of a worker, which has no link here */
    struct berth_cell *cell;
    struct berth_flow *flow;           /* that its calls belong to; NULL in a worker */
    struct berth_generation *importer; /* NULL: BERTH_BOUND */
    size_t import;                     /* index in the importer's manifest */
    const struct berth_signature *signature;
    struct berth_types *types; /* BERTH_BOUND: own the signature; NULL: the application's do */
    enum berth_fit fit;        /* of the callee's signature; atomic */
    bool denied;               /* by the policy; atomic */
    bool upstream;             /* goes to the host that this one serves */
};

/* A handle of the application's to a function, as it was when it was found. */
struct berth_function {
    struct berth_list of_cell;
    struct berth_cell *cell;
    uint64_t serial; /* atomic: of the generation whose signature was last seen to be this one */
    size_t count;    /* of parameters */
    char identity[];
};

/* A subscription that a topic's messages go to. */
struct berth_match {
    struct berth_list of_topic; /* of those that are in no group */
    struct berth_subscription *subscription;
    struct berth_module *module; /* of that */
    struct berth_flow *flow;     /* of the last sender; atomic; NULL before the first message */
    struct berth_topic *topic;
    struct berth_list of_subscription;
    struct berth_group *group; /* one of which gets a message; or NULL */
    size_t place;              /* in the group */
};

/* The members of a queue group that match a topic: each message goes to one of them. */
struct berth_group {
    struct berth_list link; /* of the topic */
    struct berth_match **members;
    size_t count, capacity, users; /* users: members, and those that will be */
    size_t turn;                   /* whose it is; atomic */
    char name[];
};

/* A topic that is, or was, declared: for the host's life. */
struct berth_topic {
    char *name;
    struct berth_list matches, groups; /* subscriptions, in order of subscribing */
    size_t receivers;                  /* of a message: matches, and one for each group */
    size_t untyped;                    /* subscriptions for messages of any type */
    struct berth_parcel *last;         /* its current value, or NULL; under host->last_lock */
    bool of_log;                       /* its messages are lines of the log */
    struct berth_list
        publishers; /* that declare it now; its type is theirs, and the same for all */
    struct berth_topic_entry entry; /* in host->topic_tree */
};

/* How a subscription gets its messages. */
struct berth_receipt {
    enum berth_full full; /* what a full mailbox does */
    unsigned tries;       /* turns that a message gets whose handler fails */
    const char *group;    /* a queue group, or NULL */
};

/*
 * A module's (or the application's) interest in topics. It outlives generations: they are matched
 * by pattern, handler and group.
 */
struct berth_subscription {
    struct berth_module *module;
    struct berth_receipt how;
    uint64_t dropped; /* by its policy, or by the host itself, and not told yet; atomic */
    bool active;      /* gets messages; under topic_lock */
    bool gone;        /* atomic; ended: queued messages for it are dropped */
    bool denied;      /* by the policy: gets nothing; under topic_lock */
    struct berth_topic_entry entry; /* in host->patterns */
    struct berth_list link;         /* in host->subscriptions */
    struct berth_list of_module;    /* in module->subscriptions */
    struct berth_list matches;      /* one for each topic */
    char *pattern, *handler;
    char *identity; /* of the handler's type; NULL: any */
    char *holder;   /* the module that asked host.subscribe for it, handler being the function */
    /*
     * References that were taken, and that were given back: the host's, its generation's, and
     * messages'. One number would go to and fro between who sends them and who handles them. From
     * its end on, given is below 0 by those that have not been given back (core/topic.c).
     */
    char apart[64];
    size_t taken; /* atomic, as the next one */
    char apart_too[56];
    size_t given;
};

/* What a publisher's link leads to. */
struct berth_publisher {
    struct berth_list link; /* of the topic */
    struct berth_generation *generation;
    struct berth_topic *topic; /* NULL in a worker */
    const struct berth_signature *signature;
    const struct berth_manifest_topic *declared;
    size_t index; /* in the manifest */
    bool denied;  /* by the policy; under topic_lock */
};

/* How a mail left its mailbox. */
enum berth_mail_end {
    BERTH_MAIL_HANDLED,   /* its turn has been */
    BERTH_MAIL_DROPPED,   /* for the sake of a newer one, or there was none to make room for it */
    BERTH_MAIL_WITHDRAWN, /* berth_mailbox_withdraw */
    BERTH_MAIL_LEFT,      /* its module has ended or failed, or its generation has ended */
};
/* What is to be done with a mail after its turn. */
enum berth_mail_next {
    BERTH_MAIL_DONE,
    BERTH_MAIL_RETRY, /* another turn at mail->due; what its sender has sent later waits for it */
    BERTH_MAIL_AWAY,  /* its turn goes on elsewhere, until berth_mailbox_back: then resume */
    BERTH_MAIL_AGAIN, /* it could not be handled now, and stays first */
};

struct berth_mail_ops {
    /*
     * In the module's turn, the gate of a serial one being held. generation: whose turn it is; NULL
     * for the application's. A failure is left in ctx by none of them.
     */
    enum berth_mail_next (*run)(berth_ctx *ctx, struct berth_generation *generation,
                                struct berth_mail *mail);
    /* The rest of a turn that has been away. NULL: none goes. */
    enum berth_mail_next (*resume)(berth_ctx *ctx, struct berth_generation *generation,
                                   struct berth_mail *mail);
    /* Of one that is away: the call that it waits for, with a reference. mail_lock held. */
    struct berth_started *(*awaits)(const struct berth_mail *mail);
    /*
     * Once for each time that it was posted, whatever has become of it. No lock is held. ctx:
     * HANDLED, that of its turn; else NULL.
     */
    void (*end)(berth_ctx *ctx, struct berth_mail *mail, enum berth_mail_end how);
    /* Whether somebody waits for its answer. NULL: nobody ever does. mail_lock held. */
    bool (*awaited)(const struct berth_mail *mail);
    void (*foresee)(struct berth_mail *mail); /* plain: its turn is the next but one */
    bool counted;                             /* the mailbox's bounds hold for it */
    bool beside; /* in a parallel module inline others have their turn meanwhile */
    bool plain;  /* posted once, for any generation, never withdrawn: taken many at a time */
};

/*
 * What waits for a module's turn: the head of a message, of an alarm that is due, of a call that
 * was started. The mailbox knows none of them. It belongs to whoever posts it; after `end` the
 * mailbox does not touch it any more.
 */
struct berth_mail {
    /* what each turn looks at: under mail_lock, as far as it is the mailbox's and not atomic */
    struct berth_list link;
    const struct berth_mail_ops *ops;
    struct berth_generation
        *generation;  /* whose turn it needs; NULL: of the one that serves then */
    size_t size;      /* bytes that the mailbox counts */
    uint8_t priority; /* enum berth_priority */
    bool waiting;     /* in the mailbox */
    bool withdrawn;   /* and is not posted any more; atomic */
    int turn;         /* enum berth_mail_turn: of the turn that it has; atomic */
    /* what others do */
    const void *sender;     /* order holds among those of one sender and priority; NULL: nobody's */
    int64_t due;            /* RETRY: when; as berth_now() */
    struct berth_list age;  /* among those that may be dropped, or by itself */
    struct berth_list held; /* RETRY: later ones of its sender */
};

/* How a mail is put into a mailbox. */
struct berth_room;
struct berth_delivery {
    enum berth_full full;    /* what is done when there is no room */
    struct berth_room *room; /* BLOCK: where it waits for some; NULL: it is rejected instead */
    size_t *taken;           /* one more, with the lock, if it is taken, or waits; or NULL */
};

/* What a module's mailbox holds of one priority. */
struct berth_box {
    struct berth_list *mails;    /* those that may have a turn now, in order: one of heads */
    struct berth_list heads[2];  /* the other one is the batch's */
    size_t messages, bytes;      /* waiting and in turns, of those that count */
    size_t waiting;              /* of these, without those in turns */
    size_t special;              /* in mails: those that are not plain */
    size_t room_count;           /* of rooms; atomic */
    struct berth_list rooms;     /* of senders who wait, the first first; under host->room_lock */
    struct berth_list retrying;  /* those that had one and get another, with what they hold up */
    struct berth_list droppable; /* of all of them, the oldest first */
};
#define BERTH_PRIORITIES 2

/* Something that may be worth its time: what was in vain is done less often. */
struct berth_trial {
    uint8_t in_vain; /* times in a row */
    uint32_t skip;   /* so often it is not done now */
};

/*
 * Plain mails that a turn has taken at once, and has not begun. Only the turn touches them; it need
 * not lock from one to the next.
 */
struct berth_batch {
    bool begins;              /* one after the other: there is one */
    struct berth_list *mails; /* those before next have gone */
    struct berth_list *next;
    size_t begun, done, bytes; /* of them, which count in module->batch_of still; atomic */
    bool stirred;              /* what is left is to go back, or something has come; atomic */
    bool gathers;              /* has done so before the next batch */
    struct berth_trial gathering, lingering;
};

/* A module's timer or watch. */
struct berth_alarm {
    struct berth_generation *generation;
    struct berth_list link;
    struct berth_mail mail;
    struct berth_timer timer;
    struct berth_source source;
    bool is_watch;
    unsigned refs; /* atomic */
    uint32_t events, ready;
    int64_t period;
    uint64_t id;
    void (*fn)(void);
    void *user;
};

struct berth_module_thread {
    struct berth_list link;
    struct berth_generation *generation;
    pthread_t thread;
    berth_thread_fn fn;
    void *user;
    enum berth_thread_start {
        BERTH_THREAD_STARTED,
        BERTH_THREAD_BEGUN,
        BERTH_THREAD_FAILED
    } *
        start;  /* of who waits for it to begin; under lock */
    bool ended; /* it runs no code of the module any more; under lock */
};

struct berth_option_value {
    const struct berth_type *type;
    uint64_t address; /* of its record */
    void *value;
};

/* How long what keeps an old image mapped may do so. */
enum berth_doubt_lasts {
    BERTH_DOUBT_WHILE,   /* until somebody ends it */
    BERTH_DOUBT_MOMENT,  /* it could not be seen just now */
    BERTH_DOUBT_FOR_GOOD /* looking again is of no use */
};

/* One image of a module, running somewhere, and what it holds. */
struct berth_generation {
    /* what each turn looks at, in one line of the cache */
    struct berth_module *module;
    struct berth_host *host;
    struct berth_item *handlers;
    struct berth_subscription **subscriptions; /* one per handler; NULL before the switch */
    size_t handler_count;
    size_t turns; /* mails being handled; under mail_lock */
    bool gated;   /* a serial module, inline: its turns take the gate */
    bool stopping;
    bool serving; /* its alarms have turns: not before START, and RESTORE; under mail_lock */

    struct berth_image *image;
    size_t export_count;
    struct berth_item *exports, hooks[BERTH_HOOK_COUNT];
    unsigned number;
    uint64_t serial; /* no two in a process have the same */
    const struct berth_carrier_ops *placement;
    struct berth_carrier *carrier; /* NULL while a worker is away */
    struct berth_upcalls upcalls;
    struct berth_edge *edges; /* one per import link */
    size_t edge_count;
    struct berth_publisher *publishers;
    size_t publisher_count;
    struct berth_option_value *options;
    char *options_json;  /* values for all of them */
    char *options_given; /* what the operator gave, for the next generation; or NULL */
    struct berth_list alarms, threads;
    struct berth_list blobs; /* that it holds; under blobs.lock */
    int stopping_fd;         /* an eventfd, once somebody has asked for it; else -1 */
    bool probe;              /* its image is mapped in a worker before */
    bool owed_stop;          /* its START has gone well, and STOP has not run yet; under admin */
    bool dead;               /* its worker has died; under lock */
    bool restarts;           /* who restarts it tells of the new one's death; under lock */
    bool closed;             /* STOP has run, and nothing leads to it any more; under admin */
    /* replaced or unloaded, and not proved safe to unmap: reload/quarantine.h; under lock */
    bool quarantined;
    enum berth_doubt_lasts lasts; /* what keeps it */
    char why[160];                /* it stays; or, dead, how its worker has ended */
    bool elder; /* replaced, and chains that are inside of it come back into it; under lock */
    /* calls that it has let in, and that neither it nor its carrier has answered; atomic */
    uint64_t lost;
    size_t inside;                /* kept calls, and those in a worker that no thread waits for */
    size_t framed;                /* of the latter, those that call back here; both atomic */
    size_t posting;               /* threads that post what is for it alone; atomic */
    size_t readers;               /* starts that read its signatures: it stays for these; atomic */
    bool leaving;                 /* who keeps a call should answer it; atomic */
    struct berth_telling telling; /* what is inside to stop: berth_generation_tell */
    enum berth_ending ending;     /* why it is to: it is not replaced; under admin, atomic, */
    int64_t ending_grace;         /* and from when on */
    struct berth_list all;        /* in host->generations: every one that is not freed */
    struct berth_crash_slot *crash_slot; /* or NULL */
    struct berth_arena arena;
};

/* Of an application's subscription whose messages are for somebody else. */
struct berth_listener {
    /*
     * Starts what handles the message, if no thread need wait for that; for berth_started_watch.
     * NULL: the function is to be called, unless ctx is marked.
     */
    struct berth_started *(*start)(berth_ctx *ctx, const struct berth_message *message, void *user);
    /* That, or the function, has failed: ctx is marked. It may end the subscription, and clear. */
    void (*failed)(berth_ctx *ctx, void *user);
};

enum berth_module_state {
    BERTH_MODULE_ABSENT, /* known by name only: something imports it */
    BERTH_MODULE_RUNNING,
    BERTH_MODULE_WAITING, /* its worker died; restarted later */
    BERTH_MODULE_FAILED,  /* its worker died too often */
};

struct berth_job {
    struct berth_list link;
    void (*run)(void *argument);
    void *argument;
    bool lent; /* it is its owner's, who may free it in run */
};

struct berth_module {
    struct berth_host *host;
    const char *name; /* behind this struct */
    struct berth_generation *current;
    /*
     * mailbox: what each message looks at, in as few lines of the cache as it takes. What senders
     * write is apart from what turns look at without the lock, and from what these write.
     */
    char apart[64];
    pthread_mutex_t mail_lock;
    bool closed;                /* nothing is taken any more; */
    bool fails_calls;           /* nor what is awaited: there is no worker, and will be none */
    bool paused, queued;        /* paused: no turns now; queued: in the run queue or having one */
    bool lingers;               /* the turn has nothing, and looks for something */
    bool retired;               /* freed after its turn */
    bool kept_out;              /* its last turn could not begin: who would do it is inside */
    bool back;                  /* what was away does no more; atomic */
    struct berth_box *batch_of; /* what the batch is from, and still counts in; or NULL */
    struct berth_box boxes[BERTH_PRIORITIES];
    struct berth_mail *away; /* whose turn goes on elsewhere, and holds no thread; or NULL */
    struct berth_generation *away_from;
    int64_t away_since;
    struct berth_list run_link;
    pthread_cond_t turn_ended;
    char apart_too[64];
    struct berth_batch batch;
    uint64_t delivered;  /* messages; atomic, but written in its turns alone */
    uint32_t turn_chain; /* whose turn goes on; 0: none does; atomic */
    pthread_t runner;    /* of the current turn, while queued; under mail_lock */
    struct berth_gate gate;

    struct berth_list link; /* in host->order, while it is loaded */
    enum berth_module_state state;
    char why[256];                 /* WAITING, FAILED: what happened */
    struct berth_generation *next; /* in a reload: what is to take its place; under lock */
    size_t elders;                 /* generations before it that are; atomic */
    unsigned generations;          /* opened so far */
    int log_level;                 /* enum berth_log_level + 1; 0: the host's. Atomic */
    int64_t call_timeout;          /* of functions without one: core/timeout.h; atomic */
    bool swapping;                 /* callers wait for host->changed */
    uint32_t swap_chain;           /* who swaps */
    struct berth_list cells;
    struct berth_list subscriptions; /* active ones; under topic_lock */
    struct berth_map handles_by_id;
    size_t handles; /* alive */
    struct berth_restart restart;
    struct berth_timer restart_timer;
    struct berth_job restart_job;
    bool restart_pending, restart_due; /* due: its time has come */
    bool restart_queued;               /* the job is */
    struct berth_list early;           /* mails for generations that do not serve yet */
    struct berth_timer retry_timer;
    /* an application's subscription is a module of its own, without a name or a generation */
    berth_message_fn app_fn;
    const struct berth_listener *app_listener; /* or NULL */
    void *app_user;
    struct berth_subscription *app_subscription;
    size_t requirers; /* modules that are loaded and require it; under lock */
    size_t importers; /* at the host's end: of it, that are still there */
    /* counted for the report */
    uint64_t waited;                  /* atomic, as the next two */
    int64_t longest_wait, swap_began; /* swap_began: since when new calls have been kept out */
};

struct berth_handle {
    struct berth_module *module; /* whose object it is */
    const char *kind;            /* of its manifest: copied */
    void *object;                /* inline: the module's own; process: the worker's id */
    struct berth_generation *generation;
    struct berth_generation *next; /* whose RESTORE has brought it back, in a reload; or NULL */
    void *next_object;
    char *holder; /* the module that got it last, or NULL */
};

struct berth_blob_count {
    size_t count, bytes; /* of whole pages */
};
/* Memory that values are passed on in (blob.h). */
struct berth_blobs {
    pthread_mutex_t lock;
    struct berth_pages pages; /* to the blobs; read without the lock */
    struct berth_blob_count live;
    struct berth_blob_count left; /* that modules held which ended with the host */
};

struct berth_host {
    /* A worker died; the floor above decides what becomes of its module. */
    void (*died)(struct berth_generation *generation, const char *how);
    struct berth_host_options options;
    char *name, *worker;
    const struct berth_upstream *upstream; /* a worker's host */
    struct berth_threads threads;
    struct berth_loop *loop;
    struct berth_zygote *zygote;
    struct berth_staging staging;
    struct berth_map probed; /* content to struct berth_error, what became of it; under admin */
    int64_t ready_timeout; /* ns that a worker may take for its constructors, and then for START */
    pthread_mutex_t admin;
    bool ends;            /* nothing new is let in; atomic */
    int64_t end_grace;    /* what is inside is left alone until then; as the next one */
    int64_t end_deadline; /* of the host's end, which all modules share; 0 before. Under admin */
    uint32_t admin_chain; /* who holds it, 0: nobody; atomic */
    uint32_t shut_chain;  /* the same while it keeps calls of a module's waiting; atomic */
    pthread_rwlock_t topic_lock;
    bool topics_change; /* who reads them takes topic_lock; atomic */
    pthread_mutex_t lock;
    pthread_cond_t changed;
    struct berth_map modules, cells, topics;
    struct berth_topic_tree topic_tree, patterns; /* of topics, and of subscriptions */
    pthread_mutex_t last_lock;
    struct berth_list order; /* loaded modules, in order of loading */
    struct berth_list subscriptions;
    size_t log_readers;      /* of them, that match host.log; changed under topic_lock, atomic */
    struct berth_list bound; /* edges of BERTH_BOUND */
    struct berth_list generations;    /* all of them: current, being made, quarantined */
    size_t quarantined;               /* how many of them are; under admin */
    int status_file;                  /* for looks at the process: reload/status.h; under admin */
    struct berth_timer look_timer;    /* looks whether they can go */
    int64_t look_delay;               /* before the next look; under admin */
    struct berth_list history;        /* what modules were before: reload/history.h; under admin */
    struct berth_list queued_reloads; /* that wait for a chain: reload/queue.h; under lock */
    struct berth_idmap handles, alarms, app_subscriptions;
    int own_log_level; /* of the host's own lines, as berth_module.log_level; atomic */
    /* what has become of messages: core/flow.h; atomic */
    uint64_t fates[5];
    uint64_t uncounted; /* messages that no flow counts, for want of memory */
    uint64_t delivered; /* to those who have unsubscribed since */
    pthread_mutex_t room_lock;
    pthread_mutex_t calls_lock;
    struct berth_blobs blobs;
    struct berth_idmap pendings, kept; /* calls that were started, and that are kept */
    pthread_mutex_t event_lock;
    struct berth_buffer events;    /* JSON, a line each, the newest last */
    struct berth_host_module *own; /* what the built-in module holds; NULL in a worker */
    struct berth_map flows;        /* from, topic and to, joined -> struct berth_flow */
    struct berth_list sampled;     /* those that are; under lock, and so are the next four */
    struct berth_timer sample_timer;
    bool sample_open;           /* their windows are, and the timer closes them */
    int64_t sample_period;      /* ns from then to the next ones */
    bool count_all;             /* none is to be; atomic */
    int64_t since;              /* when this host was made */
    struct berth_policy policy; /* changed under topic_lock and lock: read under either */
    struct berth_grants needed; /* what was asked for while the policy records; under lock */
    bool needed_lost;           /* and there was no memory for all of it */

    /* running */
    pthread_mutex_t run_lock;
    pthread_cond_t idle; /* a thread for jobs has ended, or given its sign of life */
    struct berth_list run_queue, jobs;
    struct berth_list kept_out; /* without threads: modules that a wait's work cannot be about */
    size_t queued;              /* in both; changed under run_lock, atomic */
    struct berth_list idle_runners; /* of the pool, who slept last first */
    size_t idle_threads;            /* how many; atomic */
    struct berth_runner *watcher;   /* of them, who watches those that work, or NULL; atomic */
    size_t job_threads;             /* besides the pool */
    size_t blocked;                 /* threads of the pool that wait for somebody else */
    size_t spares;                  /* threads that work in their place; */
    size_t spares_resting;          /* that have done so, and stay for a while; */
    size_t spares_called;           /* of these, that are to do so again */
    pthread_cond_t spare_called;
    /* signs of life: the newest that is asked for (atomic), and the newest that each has given */
    uint64_t pulse_asked, pool_pulse, loop_pulse;
    struct berth_runner *pool;
    size_t pool_size;
    pthread_t loop_thread;
    bool loop_started, ending;
    pthread_condattr_t cond_clock;
    struct berth_host *left; /* the next one of those that could not be freed */
};

#endif
