/* SPDX-License-Identifier: MIT */
/*
 * A thread as a host sees it: its block of frames, its errors, its memory, its deadline. Made when
 * the thread first enters, kept until the thread ends. The owner writes its frames without any
 * lock; others read them to see what code may still run.
 */
#ifndef RUNTIME_CALL_THREAD_H
#define RUNTIME_CALL_THREAD_H

#include "runtime/base/arena.h"
#include "runtime/base/list.h"
#include "runtime/call/mark.h"
#include <berth/call.h>
#include <pthread.h>

struct berth_scope;
struct berth_serving;
struct berth_stock;
struct berth_subscription;
struct berth_tally;
struct berth_thread;

/*
 * An error that is not handled yet. level: the innermost activation that still has to deal with it.
 */
struct berth_fault {
    struct berth_fault *next;
    berth_ctx *level;
    const char *text; /* behind the struct, or static */
    int code;
};

/* Who is inside of something is to stop: call/interrupt.h. */
struct berth_telling {
    bool (*inside)(void *user, uintptr_t word);
    void *user;
    const bool *except; /* threads whose berth_stopping asks this are told by that */
    const char *why;    /* the end of a sentence; static */
    struct berth_telling *next;
};

/* The threads of one host. */
struct berth_threads {
    pthread_mutex_t lock;
    struct berth_list list;
    struct berth_mark *marks;   /* of all threads that have been; changed under the lock, atomic */
    struct berth_stock *stocks; /* the same; under the lock */
    const struct berth_services *services;
    /*
     * A frame's word in words ("math.divide"), or NULL for one that is nobody's. Called without the
     * lock.
     */
    const char *(*describe)(void *user, uintptr_t word, char *buffer, size_t size);
    /* One of the threads ends, or the set does; or NULL. Called with the lock. */
    void (*ends)(void *user, struct berth_thread *thread);
    void *user;
    pthread_mutex_t waits_lock;    /* nothing but locks of carriers is taken after it */
    struct berth_list waits;       /* that may be interrupted: call/interrupt.h */
    struct berth_telling *telling; /* the newest one, or NULL; changed under the lock, atomic */
};

/*
 * Whose call a frame is, where its word does not say so: code that lies outside of its module's
 * image, or a worker's thread that nobody waits for.
 */
struct berth_acting {
    const berth_ctx *frame;
    const void *generation;
};

#define BERTH_THREAD_HEAD  320 /* bytes of a block before its frames */
#define BERTH_NAMES_CACHED 1024

struct berth_thread {
    struct berth_block block;     /* frozen; must be first */
    struct berth_threads *set;    /* NULL: its host is gone */
    struct berth_thread *sibling; /* the same thread's record in another host */
    struct berth_list link;
    struct berth_mark *mark;
    struct berth_stock *stock; /* NULL before it is needed */
    pid_t number;              /* the kernel's */
    bool echo;                 /* what it does comes of a line of the log (core/log.h) */
    uint16_t waiting;          /* its first frames, which wait while it does others' work */
    struct berth_arena arena;
    struct berth_fault *faults;  /* newest first */
    struct berth_scope *scope;   /* of the newest enter */
    struct berth_scope *unused;  /* one that was left, for the next enter; or NULL */
    const berth_ctx *chain_from; /* errors name the frames from here on; NULL: all */
    int64_t deadline;            /* berth_now() based, INT64_MAX: none */
    const char *topic;           /* of the message that is being handled, or "" */
    void **names;                /* cache of looked-up names, or NULL */
    struct berth_tally *tally;   /* what it has counted, or NULL; changed under the set's lock */
    const bool *stopping;  /* what berth_stopping asks besides the deadline, or NULL; atomic */
    const bool *cancelled; /* of the call that it runs, or NULL */
    struct berth_acting acting;
    struct berth_started *cause;         /* of the message that it handles, or NULL */
    const struct berth_serving *serving; /* the call that it runs (core/started.h), or NULL */
    /* whose messages it has handled last, and how many references are to be given back for that */
    struct berth_subscription *handled;
    size_t handled_count;
    struct berth_fault spare; /* for when there is no memory */
};

int berth_threads_init(struct berth_threads *set, const struct berth_services *services);
void berth_threads_deinit(struct berth_threads *set);

static inline struct berth_thread *berth_thread_of(const berth_ctx *ctx)
{
    return (struct berth_thread *)(void *)berth_block(ctx);
}
static inline berth_ctx *berth_thread_base(struct berth_thread *thread)
{
    return (berth_ctx *)(void *)((char *)thread + BERTH_THREAD_HEAD);
}

/*
 * The calling thread's ctx, one level above what it is inside of; NULL without memory, when too
 * deep, or in a child of fork.
 */
berth_ctx *berth_thread_enter(struct berth_threads *set);
void berth_thread_leave(berth_ctx *ctx);
/* As leave and enter, for the ctx of the newest enter, between two things that are done there. */
void berth_thread_renew(berth_ctx *ctx);
/* The deadline that a new one for ctx may not go beyond. */
int64_t berth_thread_outer_deadline(const berth_ctx *ctx);
/* The calling thread's record, if it has one, else NULL. */
struct berth_thread *berth_thread_mine(const struct berth_threads *set);
/* The ctx of the innermost function that runs on the calling thread, or NULL. */
berth_ctx *berth_thread_current(struct berth_threads *set);

/* The same in any host, or NULL: what a wait of the calling thread is a wait of (call/ring.h). */
berth_ctx *berth_thread_anywhere(void);

/*
 * A number for what the calling thread is in, from its outermost entering on: its chain may be in
 * something else next. Never BERTH_CHAIN_OTHER; 0: it is in nothing.
 */
uint32_t berth_thread_run(struct berth_thread *thread);

/* The number of the calling thread's chain, in all hosts; one for a chain that no thread runs. */
uint32_t berth_chain_own(void);
uint32_t berth_chain_new(void);

/*
 * The application's code that runs outside of any frame: a line of the log, the first steps of a
 * thread. On the caller's stack; may be nested.
 */
struct berth_callout {
    const struct berth_threads *set;
    const struct berth_callout *outer;
};
void berth_callout_begin(struct berth_callout *callout, const struct berth_threads *set);
void berth_callout_end(const struct berth_callout *callout);
/* Whether the calling thread has entered, or is in such code: the host cannot end under it. */
bool berth_thread_is_inside(struct berth_threads *set);

/*
 * Frames. push is visible to others before whatever is read next; a word must stay valid memory or
 * code while it is there.
 */
static inline void berth_frame_push(berth_ctx *ctx, uintptr_t word)
{
    __atomic_store_n(&ctx[1].frame, word, __ATOMIC_RELEASE);
    __atomic_signal_fence(__ATOMIC_SEQ_CST);
}
static inline void berth_frame_pop(berth_ctx *ctx)
{
    __atomic_store_n(&ctx[1].frame, 0, __ATOMIC_RELEASE);
}
#define BERTH_FRAME_WORD(word) ((word) & ~BERTH_FRAME_FAILED)
/*
 * After it, frames that were pushed before are seen, and pushes that were not see what this thread
 * has stored.
 */
void berth_frames_barrier(void);
/*
 * How many frames of all threads are inside: inside(user, word) says of each. except: threads whose
 * berth_stopping asks this do not count, or NULL.
 */
size_t berth_frames_count(struct berth_threads *set, bool (*inside)(void *user, uintptr_t word),
                          void *user, const bool *except);
/* The same of the one thread whose chain it is. */
size_t berth_frames_count_of(struct berth_threads *set, uint32_t chain,
                             bool (*inside)(void *user, uintptr_t word), void *user,
                             const bool *except);
/* The chain of the *index-th thread with such frames; 0: none, and as many less in *index. */
uint32_t berth_frames_chain(struct berth_threads *set, bool (*inside)(void *user, uintptr_t word),
                            void *user, const bool *except, size_t *index);
/*
 * The kernel's numbers of the threads that have a record: room for so many. Returns how many there
 * are, which may be more.
 */
size_t berth_threads_numbers(struct berth_threads *set, pid_t *numbers, size_t room);
/* Whether a thread has a record by now. */
bool berth_threads_know(struct berth_threads *set, pid_t number);
/* Whether a chain is that of a thread that has not ended. */
bool berth_threads_have(struct berth_threads *set, uint32_t chain);

bool berth_frames_inside(const berth_ctx *ctx, bool (*inside)(void *user, uintptr_t word),
                         void *user);
/*
 * Why ctx, of the calling thread, is to stop, as the end of a sentence; NULL: it is not. What lies
 * above it is not looked at: who waits for an answer is not inside of who is to give it.
 */
const char *berth_frames_told(const berth_ctx *ctx);

/*
 * Every frame of the calling thread, the innermost one of each host first. Takes no lock and no
 * memory: a signal handler may call it.
 */
void berth_frames_visit(void (*visit)(void *user, const struct berth_threads *set, uintptr_t word),
                        void *user);

/* What names of functions are printed with, and in. */
#define BERTH_ARROW      " \xe2\x86\x92 "
#define BERTH_FRAME_NAME 160
const berth_ctx *berth_frames_base(const berth_ctx *ctx);
/*
 * "math.divide", or NULL for a frame that is nobody's, or none. Of a thread that cannot go on
 * meanwhile: the calling one, or one that waits. Calls set->describe.
 */
const char *berth_frame_name(const berth_ctx *at, char *buffer, size_t size);
/* The names from one frame to another, joined, as far as it fits. Returns how many. */
size_t berth_frames_print(const berth_ctx *from, const berth_ctx *to, char *buffer, size_t size);
/*
 * "greet.hello → math.divide", innermost last, as far as it fits: what runs on ctx's thread (in a
 * worker, from its module's own function on). Returns how many names. Calls set->describe.
 */
size_t berth_chain_print(const berth_ctx *ctx, char *buffer, size_t size);

/* Errors: see <berth/call.h>. */
/* One that comes from another process: its text begins with the rest of the chain. */
void berth_fault_pass_on(berth_ctx *ctx, int code, const char *text);
void berth_fault_raise_va(berth_ctx *ctx, int code, const char *format, va_list arguments)
    __attribute__((format(printf, 3, 0)));
void berth_fault_raise_format(berth_ctx *ctx, int code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* text: static. Takes no memory and no lock, and does not tell the chain. */
void berth_fault_raise_static(berth_ctx *ctx, int code, const char *text);
void berth_fault_clear(berth_ctx *ctx);
int berth_fault_get(berth_ctx *ctx, const char **ret_text);
/* Moves the newest error of ctx's frame to *error and clears; returns its code. */
int berth_fault_take(berth_ctx *ctx, struct berth_error *error);

#endif
