/* SPDX-License-Identifier: MIT */
/*
 * How a call is made: types, the call context, the inlined call path, and what the host gives.
 * <berth/module.h> and <berth/host.h> both include this header; it emits no record and no symbol.
 * A program includes one of those two.
 *
 * The structs from `struct berth_ctx` to `struct berth_entry`, and the head of `struct
 * berth_block`, are inlined into other people's binaries: they are frozen as ABI revision 1, see
 * doc/abi.md. `struct berth_services` grows at its end.
 */
#ifndef BERTH_CALL_H
#define BERTH_CALL_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <berth/error.h>
#include <berth/version.h>
#if defined __cplusplus && defined __cpp_exceptions
#include <exception>
#endif

#ifndef BERTH_NO_SYSTEM_HEADER
#pragma GCC system_header /* errors point at the author's line, without the chain of macros */
#endif

/* The level of the interface that this header offers; a module's manifest records it. */
#define BERTH_API 1
/* The revision of the frozen part. */
#define BERTH_ABI 1

/* ---- attributes ----------------------------------------------------------------------------- */

#ifdef __cplusplus
#define BERTH_I_C extern "C"
#define BERTH_I_ZERO \
    {                \
    }
#else
#define BERTH_I_C extern
#define BERTH_I_ZERO \
    {                \
        0            \
    }
#endif
#define BERTH_I_RETAIN
#define BERTH_I_PLAIN
#define BERTH_I_NOT_A_TYPE(t, hint) struct berth_ctx
#ifdef __has_attribute
#if __has_attribute(retain)
#undef BERTH_I_RETAIN
#define BERTH_I_RETAIN , retain
#endif
#ifdef __clang__
#undef BERTH_I_PLAIN
#define BERTH_I_PLAIN \
    , no_sanitize("address") /* clang's ASan would put red zones between the notes */
#endif
#if __has_attribute(unavailable)
#undef BERTH_I_NOT_A_TYPE
#define BERTH_I_NOT_A_TYPE(t, hint) \
    typedef char berth_##t __attribute__((unavailable("not a Berth type: write " hint)))
#endif
#endif
#define BERTH_I_UNUSED      __attribute__((unused))
#define BERTH_I_INLINE      __attribute__((unused, always_inline)) static inline
#define BERTH_I_UNLIKELY(e) __builtin_expect(!!(e), 0)
#if defined __cplusplus
#define BERTH_I_ASSERT(e) static_assert(e, #e)
#else
#define BERTH_I_ASSERT(e) _Static_assert(e, #e)
#endif

/* ---- types ---------------------------------------------------------------------------------- */

typedef struct berth_ctx berth_ctx;

typedef void berth_void;
typedef bool berth_bool;
typedef int8_t berth_i8;
typedef int16_t berth_i16;
typedef int32_t berth_i32;
typedef int64_t berth_i64;
typedef uint8_t berth_u8;
typedef uint16_t berth_u16;
typedef uint32_t berth_u32;
typedef uint64_t berth_u64;
typedef float berth_f32;
typedef double berth_f64;
typedef const char *berth_string; /* UTF-8, ends with NUL, never NULL */
typedef const char *berth_json;   /* the same, holding one JSON text */
typedef struct berth_bytes {
    const void *data; /* may be NULL when size is 0 */
    size_t size;
} berth_bytes;
/*
 * What a C programmer writes first. Where a name cannot carry a message, an unknown type's name is
 * one: every compiler shows that first.
 */
BERTH_I_NOT_A_TYPE(int, "i32 or i64");
BERTH_I_NOT_A_TYPE(size_t, "u64");
BERTH_I_NOT_A_TYPE(float, "f32");
BERTH_I_NOT_A_TYPE(double, "f64");
BERTH_I_NOT_A_TYPE(char, "string for text, u8 for a number");
BERTH_I_NOT_A_TYPE(int8_t, "i8");
BERTH_I_NOT_A_TYPE(int16_t, "i16");
BERTH_I_NOT_A_TYPE(int32_t, "i32");
BERTH_I_NOT_A_TYPE(int64_t, "i64");
BERTH_I_NOT_A_TYPE(uint8_t, "u8");
BERTH_I_NOT_A_TYPE(uint16_t, "u16");
BERTH_I_NOT_A_TYPE(uint32_t, "u32");
BERTH_I_NOT_A_TYPE(uint64_t, "u64");
#define berth_const                berth_ERROR_write_string_for_text_and_bytes_for_data
#define berth_struct               berth_ERROR_write_a_struct_by_its_name_alone
#define berth_unsigned             berth_ERROR_write_u8_u16_u32_or_u64
#define berth_signed               berth_ERROR_write_i8_i16_i32_or_i64
#define berth_long                 berth_ERROR_write_i64
#define berth_short                berth_ERROR_write_i16
#define berth_array_array(t)       berth_ERROR_arrays_nest_only_through_a_struct
#define berth_array_optional(t)    berth_ERROR_arrays_nest_only_through_a_struct
#define berth_optional_array(t)    berth_ERROR_optionals_nest_only_through_a_struct
#define berth_optional_optional(t) berth_ERROR_optionals_nest_only_through_a_struct

#define BERTH_I_ARRAY(t)             \
    typedef struct berth_array_##t { \
        const berth_##t *data;       \
        size_t count;                \
    } berth_array_##t
#define BERTH_I_OPTIONAL(t)             \
    typedef struct berth_optional_##t { \
        bool present;                   \
        berth_##t value;                \
    } berth_optional_##t
#define BERTH_I_BOTH(t) \
    BERTH_I_ARRAY(t);   \
    BERTH_I_OPTIONAL(t)
BERTH_I_ARRAY(bool); /* at this level, before C11's macro makes _Bool of it */
BERTH_I_OPTIONAL(bool);
BERTH_I_BOTH(i8);
BERTH_I_BOTH(i16);
BERTH_I_BOTH(i32);
BERTH_I_BOTH(i64);
BERTH_I_BOTH(u8);
BERTH_I_BOTH(u16);
BERTH_I_BOTH(u32);
BERTH_I_BOTH(u64);
BERTH_I_BOTH(f32);
BERTH_I_BOTH(f64);
BERTH_I_BOTH(bytes);
BERTH_I_ARRAY(string);
BERTH_I_ARRAY(json);
typedef berth_string berth_optional_string; /* NULL is absent */
typedef berth_json berth_optional_json;
typedef berth_bool berth__Bool; /* C11: bool has become _Bool by the time that it is pasted */
typedef berth_array_bool berth_array__Bool;
typedef berth_optional_bool berth_optional__Bool;
#define berth_array(t)    berth_array_##t
#define berth_optional(t) berth_optional_##t

/* ---- frozen: ABI revision 1 ----------------------------------------------------------------- */

/*
 * A call context is one word of its thread's block: the frame of the function that got it. It is
 * valid until that function returns, on that thread only; what the function calls gets the next
 * word. Other threads read the words to see what code may still be running, which is why they are
 * in one array and written before a call's last check.
 */
struct berth_ctx {
    uintptr_t frame; /* 0: free; else the address of the code that runs, and the marks below */
};
#define BERTH_FRAME_FAILED \
    ((uintptr_t)1 << 62) /* an error in or below this activation is not handled yet */
#define BERTH_FRAME_OBJECT \
    ((uintptr_t)1 << 63) /* the rest is the address of an object of the host, not of code */

/*
 * The head of a thread's block, at ctx rounded down to BERTH_BLOCK; the words fill it up to its
 * end.
 */
#define BERTH_BLOCK ((uintptr_t)4096)
struct berth_services;
struct berth_block {
    uint32_t size, abi;
    const struct berth_services *services;
    uint32_t chain; /* this call chain, as gates know it: never 0, bit 0 clear */
    uint32_t reserved;
};

/*
 * The gate of a serial module, and how a chain of calls gets in: as the owner, by an atomic
 * exchange, or with the pass, by plain stores. The host gives the pass to a chain that calls again
 * and again while nobody else does, and takes it back when somebody else comes; runtime/call/gate.h
 * says why that is safe. Both are in the host's memory.
 */
struct berth_pass {
    uint32_t chain;  /* whose it is, | 1 when it is taken back; 0: nobody's. The host writes it */
    uint32_t inside; /* 1: that chain is inside; only that chain writes it. Nobody's stays 0 */
};
struct berth_gate {
    struct berth_pass *pass; /* that is given, or nobody's; never NULL */
    uint32_t owner;          /* 0, or the owner's chain, | 1 when somebody waits */
    /* the rest is the host's, and may change */
    uint32_t last, streak;
    struct berth_pass nobodys;
    struct berth_gate_pass *passes;
};

/*
 * One line of a module's table: it ties a record of the manifest to its code, or to the place
 * where the host binds a callee. An import is called directly while check equals code. Otherwise
 * bit 0 of check is set, and the rest is the gate of a serial callee, or 0: ask the host.
 */
struct berth_link {
    const void *record; /* the note in this image */
    void (*code)(void); /* export, hook, handler: set by the compiler; import: by the host */
    uintptr_t check;
    void *edge; /* the host's */
} __attribute__((aligned(32)));
#define BERTH_CHECK_SLOW ((uintptr_t)1)

/* What a module exports, as `berth_entry`. */
struct berth_entry {
    uint32_t size, abi;
    struct berth_link *links, *links_end;
};

#ifdef __LP64__
BERTH_I_ASSERT(sizeof(struct berth_ctx) == 8 && sizeof(struct berth_pass) == 8);
BERTH_I_ASSERT(offsetof(struct berth_pass, inside) == 4 && offsetof(struct berth_gate, owner) == 8);
BERTH_I_ASSERT(sizeof(struct berth_link) == 32 && offsetof(struct berth_link, code) == 8);
BERTH_I_ASSERT(offsetof(struct berth_link, check) == 16 && offsetof(struct berth_link, edge) == 24);
BERTH_I_ASSERT(sizeof(struct berth_entry) == 24 && offsetof(struct berth_entry, links) == 8);
BERTH_I_ASSERT(offsetof(struct berth_block, services) == 8 &&
               offsetof(struct berth_block, chain) == 16);
#else
#error "Berth needs a 64-bit machine"
#endif

/* ---- what the host gives -------------------------------------------------------------------- */

enum berth_log_level { BERTH_LOG_ERROR, BERTH_LOG_WARNING, BERTH_LOG_INFO, BERTH_LOG_DEBUG };

/* What is done with a message for a mailbox that is full. */
enum berth_full {
    BERTH_FULL_REJECT, /* whoever sends it fails: resource_exhausted */
    BERTH_FULL_BLOCK,  /* whoever sends it waits for room, at most until its deadline */
    /* the oldest message there that was sent so makes room, else this one goes; it is counted */
    BERTH_FULL_DROP_OLDEST
};
/* What is of priority control has its turn before what is of priority data. */
enum berth_priority { BERTH_PRIORITY_DATA, BERTH_PRIORITY_CONTROL };

/* Answers of services->enter. */
enum { BERTH_ENTER_REFUSED, BERTH_ENTER_CALL, BERTH_ENTER_GENERAL };

typedef void (*berth_timer_fn)(berth_ctx *ctx, void *user);
typedef void (*berth_watch_fn)(berth_ctx *ctx, int fd, uint32_t events, void *user);
typedef void (*berth_thread_fn)(berth_ctx *ctx, void *user);

/* A call that has been started, as its caller has it; 0: there was no memory for one. */
typedef struct berth_pending {
    uint64_t id;
} berth_pending;
/* A call that its callee answers later; 0: none. */
typedef struct berth_kept {
    uint64_t id;
} berth_kept;
typedef void (*berth_reply_fn)(berth_ctx *ctx, berth_pending pending, void *user);

/* Use the functions below instead. Grows at its end; `size` tells how far it reaches. */
struct berth_services {
    uint32_t size, abi;
    /* calls: enter waits while the callee is busy or replaced; pushes ctx[1] if it answers CALL */
    int (*enter)(berth_ctx *ctx, struct berth_link *link, void (**ret_code)(void));
    void (*leave)(berth_ctx *ctx, struct berth_link *link);
    void (*leave_gate)(berth_ctx *ctx, struct berth_gate *gate);
    void (*call)(berth_ctx *ctx, struct berth_link *link, const void *const *arguments,
                 void *result);
    void (*keep)(berth_ctx *ctx, struct berth_link *link, void *result);
    void (*publish)(berth_ctx *ctx, struct berth_link *link, const void *const *arguments);
    /* errors */
    void (*fail)(berth_ctx *ctx, int code, const char *format, va_list arguments);
    void (*clear)(berth_ctx *ctx);
    int (*error)(berth_ctx *ctx, const char **ret_text);
    /* memory */
    void *(*alloc)(berth_ctx *ctx, size_t size);
    char *(*format)(berth_ctx *ctx, const char *format, va_list arguments);
    uint64_t (*mark)(berth_ctx *ctx);
    void (*rewind)(berth_ctx *ctx, uint64_t mark);
    /* the module's own: unit is a link of the calling image */
    void (*log)(berth_ctx *ctx, struct berth_link *unit, int level, const char *format,
                va_list arguments);
    void (*option)(berth_ctx *ctx, struct berth_link *unit, const void *record, void *ret_value);
    uint64_t (*handle_new)(berth_ctx *ctx, struct berth_link *unit, const char *kind, void *object);
    void *(*handle_get)(berth_ctx *ctx, struct berth_link *unit, const char *kind, uint64_t id,
                        int end);
    uint64_t (*timer)(berth_ctx *ctx, struct berth_link *unit, int64_t delay_ns, int64_t period_ns,
                      berth_timer_fn, void *user);
    uint64_t (*watch)(berth_ctx *ctx, struct berth_link *unit, int fd, uint32_t events,
                      berth_watch_fn, void *user);
    uint64_t (*thread)(berth_ctx *ctx, struct berth_link *unit, const char *name, berth_thread_fn,
                       void *user);
    void (*cancel)(berth_ctx *ctx, struct berth_link *unit, uint64_t id); /* a timer, a watch */
    /* the call */
    int64_t (*time_left)(berth_ctx *ctx);
    int (*stopping)(berth_ctx *ctx);
    const char *(*topic)(berth_ctx *ctx);
    void (*leave_thread)(berth_ctx *ctx);
    int (*stopping_fd)(berth_ctx *ctx, struct berth_link *unit);
    const char *(*module_name)(berth_ctx *ctx, struct berth_link *unit);
    /* calls that are started: link is the import's */
    berth_pending (*call_start)(berth_ctx *ctx, struct berth_link *link,
                                const void *const *arguments);
    void (*call_send)(berth_ctx *ctx, struct berth_link *link, const void *const *arguments);
    /* more: one of several replies, 1, or none any more, 0; else the last one */
    int (*call_take)(berth_ctx *ctx, struct berth_link *link, berth_pending pending, void *result,
                     int more);
    /* all: 1 or 0; else the index of one, or -1 */
    int (*call_wait)(berth_ctx *ctx, const berth_pending *pendings, size_t count, int64_t timeout,
                     int all);
    void (*call_then)(berth_ctx *ctx, berth_pending pending, berth_reply_fn, void *user);
    void (*call_limit)(berth_ctx *ctx, berth_pending pending, int64_t timeout);
    void (*call_end)(berth_ctx *ctx, berth_pending pending, int drop); /* else: cancel */
    /* calls that are kept: link is the export's */
    berth_kept (*call_keep)(berth_ctx *ctx);
    int (*kept_reply)(berth_ctx *ctx, struct berth_link *link, berth_kept kept, const void *value,
                      int more);
    void (*kept_fail)(berth_ctx *ctx, berth_kept kept, int code, const char *format,
                      va_list arguments);
    int (*kept_stopping)(berth_ctx *ctx, berth_kept kept);
    uint64_t (*handle_restore)(berth_ctx *ctx, struct berth_link *unit, const char *kind,
                               uint64_t id, void *object);
    /* blobs: unit is a link of the calling image */
    void *(*blob_new)(berth_ctx *ctx, struct berth_link *unit, size_t size);
    const void *(*blob_keep)(berth_ctx *ctx, struct berth_link *unit, const void *data,
                             size_t size);
    void (*blob_release)(berth_ctx *ctx, struct berth_link *unit, const void *data);
};

BERTH_I_UNUSED static inline struct berth_block *berth_block(const berth_ctx *ctx)
{
    return (struct berth_block *)((uintptr_t)ctx & ~(BERTH_BLOCK - 1));
}

#define BERTH_I_SERVICES(ctx) (berth_block(ctx)->services)

/* ---- errors --------------------------------------------------------------------------------- */

/*
 * Fails the running function with `code`, in words. The function goes on until it returns (`return
 * berth_fail(ctx, …), 0;`); its caller then sees the failure, with the chain of calls. A second
 * berth_fail wins, the first becomes its cause.
 */
BERTH_I_UNUSED __attribute__((cold, noinline, format(printf, 3, 4))) static void berth_fail(
    berth_ctx *ctx, int code, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    BERTH_I_SERVICES(ctx)->fail(ctx, code, format, arguments);
    va_end(arguments);
}

/*
 * Whether something that this function called has failed, or it has itself, and it has not called
 * berth_clear since.
 */
BERTH_I_UNUSED static inline bool berth_failed(const berth_ctx *ctx)
{
    return BERTH_I_UNLIKELY(ctx->frame & BERTH_FRAME_FAILED);
}

/* The error is handled: the caller will not see it. Without an error it does nothing. */
BERTH_I_UNUSED static inline void berth_clear(berth_ctx *ctx)
{
    if (berth_failed(ctx))
        BERTH_I_SERVICES(ctx)->clear(ctx);
}

/* The newest error's enum berth_code, or BERTH_OK. */
BERTH_I_UNUSED static inline int berth_error_code(berth_ctx *ctx)
{
    return berth_failed(ctx) ? BERTH_I_SERVICES(ctx)->error(ctx, (const char **)0) : BERTH_OK;
}

/*
 * Its words with the chain of calls, or "". Valid until berth_clear, the next error, or the
 * function's return: copy what must last (berth_printf).
 */
BERTH_I_UNUSED static inline const char *berth_error_text(berth_ctx *ctx)
{
    const char *text = "";
    if (berth_failed(ctx))
        BERTH_I_SERVICES(ctx)->error(ctx, &text);
    return text;
}

/* ---- memory --------------------------------------------------------------------------------- */

/*
 * `size` bytes, zeroed, aligned for any type, that live until the outermost call of this chain
 * ends: what a function returns may be made of them. Never NULL for a size of 0; NULL, with the
 * call failed (resource_exhausted), without memory.
 */
BERTH_I_UNUSED __attribute__((malloc, alloc_size(2))) static inline void *berth_alloc(
    berth_ctx *ctx, size_t size)
{
    return BERTH_I_SERVICES(ctx)->alloc(ctx, size);
}

/* A formatted string in such memory. Never NULL: "" without memory, with the call failed. */
BERTH_I_UNUSED __attribute__((format(printf, 2, 3))) static berth_string berth_printf(
    berth_ctx *ctx, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    berth_string text = BERTH_I_SERVICES(ctx)->format(ctx, format, arguments);
    va_end(arguments);
    return text;
}

/*
 * For long loops: what was allocated, or returned by calls, since berth_mark is given back by
 * berth_rewind. Only the function that took the mark may rewind to it.
 */
BERTH_I_UNUSED static inline uint64_t berth_mark(berth_ctx *ctx)
{
    return BERTH_I_SERVICES(ctx)->mark(ctx);
}
BERTH_I_UNUSED static inline void berth_rewind(berth_ctx *ctx, uint64_t mark)
{
    BERTH_I_SERVICES(ctx)->rewind(ctx, mark);
}

/* ---- the running call ----------------------------------------------------------------------- */

/* Nanoseconds until the call's deadline: 0 when it has passed, INT64_MAX when there is none. */
BERTH_I_UNUSED static inline int64_t berth_time_left(berth_ctx *ctx)
{
    return BERTH_I_SERVICES(ctx)->time_left(ctx);
}

/*
 * Whether to stop early: the caller has given up; on a thread of berth_thread or berth_enter, the
 * module is being stopped; or an unload, or the host's end, has waited half of the stop_timeout for
 * what is inside of a module that this call is inside of. A reload only waits.
 */
BERTH_I_UNUSED static inline bool berth_stopping(berth_ctx *ctx)
{
    return BERTH_I_SERVICES(ctx)->stopping(ctx) != 0;
}

/* Inside a handler: the topic that the message was published to; elsewhere "". */
BERTH_I_UNUSED static inline berth_string berth_topic(berth_ctx *ctx)
{
    return BERTH_I_SERVICES(ctx)->topic(ctx);
}

/*
 * Ends what berth_enter or berth_host_enter began, on the same thread; results of its calls end
 * here.
 */
BERTH_I_UNUSED static inline void berth_leave(berth_ctx *ctx)
{
    BERTH_I_SERVICES(ctx)->leave_thread(ctx);
}

/* ---- calls that are started ----------------------------------------------------------------- */

/* A host that is older than this header may lack the newest services: then the call has failed. */
#define BERTH_I_HAS(ctx, service) \
    (BERTH_I_SERVICES(ctx)->size > offsetof(struct berth_services, service) || berth_i_lacks(ctx))
BERTH_I_UNUSED __attribute__((cold, noinline)) static bool berth_i_lacks(berth_ctx *ctx)
{
    berth_fail(ctx, BERTH_UNIMPLEMENTED,
               "the host is older than this code, and cannot do what it asks for");
    return false;
}

/*
 * Waits until one of them has been answered, at most for timeout_ns, and not beyond the running
 * call's deadline: its index, or -1. An answer is the last reply of a call: its result, a failure,
 * that it was cancelled, or that its deadline has passed. What is no pending call counts as
 * answered: taking it fails at once; and so does one with so many replies before its answer that
 * its callee waits for some to be taken. -1 with the call failed (cancelled, aborted): waiting is
 * over.
 */
BERTH_I_UNUSED static inline int berth_call_any(berth_ctx *ctx, const berth_pending *pendings,
                                                size_t count, int64_t timeout_ns)
{
    return BERTH_I_HAS(ctx, call_wait)
               ? BERTH_I_SERVICES(ctx)->call_wait(ctx, pendings, count, timeout_ns, 0)
               : -1;
}
/* The same until all of them have been; false: not yet. */
BERTH_I_UNUSED static inline bool berth_call_all(berth_ctx *ctx, const berth_pending *pendings,
                                                 size_t count, int64_t timeout_ns)
{
    return BERTH_I_HAS(ctx, call_wait) &&
           BERTH_I_SERVICES(ctx)->call_wait(ctx, pendings, count, timeout_ns, 1) == 1;
}
/*
 * Whether it has been answered, so that taking it does not wait; or its callee waits for replies to
 * be taken, as above.
 */
BERTH_I_UNUSED static inline bool berth_call_done(berth_ctx *ctx, berth_pending pending)
{
    return berth_call_any(ctx, &pending, 1, 0) == 0;
}

/*
 * Has fn(ctx, pending, user) called when there is something new to take: replies of several, and
 * the answer; at once if there is. It may come once for several of them. A module's fn runs in the
 * module's turn, as a timer does, and not after the end of its generation; the application's on a
 * thread of the host. fn has to take, or drop, the call once it is answered.
 */
BERTH_I_UNUSED static inline void berth_call_then(berth_ctx *ctx, berth_pending pending,
                                                  berth_reply_fn fn, void *user)
{
    if (BERTH_I_HAS(ctx, call_then))
        BERTH_I_SERVICES(ctx)->call_then(ctx, pending, fn, user);
}

/*
 * The call is answered with deadline_exceeded after timeout_ns from now, unless it has been before.
 * It has the deadline of the call that started it, or of the callee's default; this only makes that
 * earlier.
 */
BERTH_I_UNUSED static inline void berth_call_limit(berth_ctx *ctx, berth_pending pending,
                                                   int64_t timeout_ns)
{
    if (BERTH_I_HAS(ctx, call_limit))
        BERTH_I_SERVICES(ctx)->call_limit(ctx, pending, timeout_ns);
}

/*
 * The call is answered with cancelled, if it has not been answered. Its callee, and all that work
 * for it in turn, in workers as well, find berth_stopping true; whatever one of them waits for (a
 * worker's function, a serial module, room in a mailbox, what it has started) ends with cancelled.
 * The call is still to be taken or dropped.
 */
BERTH_I_UNUSED static inline void berth_call_cancel(berth_ctx *ctx, berth_pending pending)
{
    if (BERTH_I_HAS(ctx, call_end))
        BERTH_I_SERVICES(ctx)->call_end(ctx, pending, 0);
}
/* Cancels it, and nobody wants to know its answer. An id that has ended is no error. */
BERTH_I_UNUSED static inline void berth_call_drop(berth_ctx *ctx, berth_pending pending)
{
    if (BERTH_I_HAS(ctx, call_end))
        BERTH_I_SERVICES(ctx)->call_end(ctx, pending, 1);
}

/* ---- the call path -------------------------------------------------------------------------- */

/* The last word but one: a call from here would leave no room for its callee's own calls. */
BERTH_I_UNUSED static inline bool berth_too_deep(const berth_ctx *ctx)
{
    return (((uintptr_t)ctx + 2 * sizeof *ctx) & (BERTH_BLOCK - 1)) == 0;
}

/*
 * Publish what will run, then see that it is still what should run. The side that replaces a
 * module unsets every check, issues membarrier, and reads the frames: either it sees this frame,
 * or this thread sees its change. Compiler barriers suffice here, but the accesses must be atomic.
 * The order of the two tests is measured: the other way round, or as one expression, costs a cycle
 * with gcc or with clang (doc/decisions/call-path.md).
 */
#define BERTH_I_PUSH                                                           \
    void (*berth_c)(void) = __atomic_load_n(&berth_l->code, __ATOMIC_ACQUIRE); \
    __atomic_store_n(&ctx[1].frame, (uintptr_t)berth_c, __ATOMIC_RELEASE);     \
    __atomic_signal_fence(__ATOMIC_SEQ_CST);                                   \
    if (BERTH_I_UNLIKELY(__atomic_load_n(&berth_l->check, __ATOMIC_ACQUIRE) != \
                         (uintptr_t)berth_c) ||                                \
        BERTH_I_UNLIKELY(berth_too_deep(ctx)))
#define BERTH_I_POP(ctx) __atomic_store_n(&(ctx)[1].frame, (uintptr_t)0, __ATOMIC_RELEASE)

/*
 * By the pass into a serial module; false: not by the pass. `inside` is written first and `chain`
 * is read again after it, by berth_pass_holds, as a frame and `check` are: whoever takes the pass
 * back changes `chain`, issues membarrier and reads `inside`. Until it holds, nothing of the
 * module may be touched, and if it does not, berth_pass_leave is due.
 */
BERTH_I_INLINE bool berth_pass_claim(struct berth_pass *pass, uint32_t chain)
{
    if (__atomic_load_n(&pass->chain, __ATOMIC_RELAXED) != chain ||
        __atomic_load_n(&pass->inside, __ATOMIC_RELAXED)) /* a chain is never inside twice */
        return false;
    __atomic_store_n(&pass->inside, 1, __ATOMIC_RELEASE);
    __atomic_signal_fence(__ATOMIC_SEQ_CST);
    return true;
}
BERTH_I_INLINE bool berth_pass_holds(const struct berth_pass *pass, uint32_t chain)
{
    return __atomic_load_n(&pass->chain, __ATOMIC_ACQUIRE) == chain;
}
/* false: somebody may wait for it: the service leave_gate is due. */
BERTH_I_INLINE bool berth_pass_leave(struct berth_pass *pass, uint32_t chain)
{
    __atomic_store_n(&pass->inside, 0, __ATOMIC_RELEASE);
    __atomic_signal_fence(__ATOMIC_SEQ_CST);
    return berth_pass_holds(pass, chain);
}

/*
 * After a call. While a chain is inside, the gate's pass is its own, or nobody's: it is the owner.
 */
BERTH_I_INLINE void berth_gate_leave(berth_ctx *ctx, struct berth_gate *gate)
{
    struct berth_pass *pass = __atomic_load_n(&gate->pass, __ATOMIC_RELAXED);
    BERTH_I_POP(ctx);
    if (BERTH_I_UNLIKELY(!berth_pass_leave(pass, berth_block(ctx)->chain)))
        BERTH_I_SERVICES(ctx)->leave_gate(ctx, gate);
}

/*
 * A serial callee whose frame the fast path has pushed: goes in with the pass, if this chain has
 * it, or as the owner, if there is none and nobody has the pass.
 *
 * NULL: ask the host. If this chain has gone in and must go out again, the frame names the gate,
 * and the service enter sees to it: with a call to another service in here the arguments would be
 * moved out of their registers, and back, on the way that is always taken.
 */
BERTH_I_INLINE struct berth_gate *berth_gate_enter(berth_ctx *ctx, struct berth_link *link,
                                                   void (**ret_code)(void))
{
    uintptr_t check = __atomic_load_n(&link->check, __ATOMIC_ACQUIRE);
    if ((check & BERTH_CHECK_SLOW) && check != BERTH_CHECK_SLOW && !berth_too_deep(ctx)) {
        struct berth_gate *gate = (struct berth_gate *)(check - BERTH_CHECK_SLOW);
        struct berth_pass *pass = __atomic_load_n(&gate->pass, __ATOMIC_ACQUIRE);
        uint32_t chain = berth_block(ctx)->chain, nobody = 0;
        bool mine = berth_pass_claim(pass, chain);
        if (!BERTH_I_UNLIKELY(!mine) ||
            (__atomic_load_n(&pass->chain, __ATOMIC_RELAXED) == 0 &&
             __atomic_compare_exchange_n(&gate->owner, &nobody, chain, 0, __ATOMIC_ACQUIRE,
                                         __ATOMIC_RELAXED))) {
            *ret_code = (void (*)(void))ctx[1].frame;
            /*
             * A reload takes the gate, so that check and code stay so. An unload does not: it sees
             * the frame, or check is not the same, unless the next module has come, and then code
             * is not. In this order: the host writes code before check.
             */
            if ((mine ? berth_pass_holds(pass, chain)
                      : __atomic_load_n(&gate->pass, __ATOMIC_ACQUIRE) == pass) &&
                __atomic_load_n(&link->check, __ATOMIC_ACQUIRE) == check &&
                __atomic_load_n(&link->code, __ATOMIC_RELAXED) == *ret_code)
                return gate;
            __atomic_store_n(&pass->inside, 0, __ATOMIC_RELEASE);
            __atomic_store_n(&ctx[1].frame, BERTH_FRAME_OBJECT | (uintptr_t)gate, __ATOMIC_RELEASE);
            return (struct berth_gate *)0;
        }
    }
    BERTH_I_POP(ctx);
    return (struct berth_gate *)0;
}

/* ---- macro machinery: no macro ever gets zero variadic arguments ---------------------------- */

#define BERTH_I_CAT(a, b)          BERTH_I_CAT_(a, b)
#define BERTH_I_CAT_(a, b)         a##b
#define BERTH_I_STR(...)           BERTH_I_STR_(__VA_ARGS__)
#define BERTH_I_STR_(...)          #__VA_ARGS__
#define BERTH_I_FIRST(...)         BERTH_I_FIRST_(__VA_ARGS__, )
#define BERTH_I_FIRST_(a, ...)     a
#define BERTH_I_SECOND(...)        BERTH_I_SECOND_(__VA_ARGS__, , )
#define BERTH_I_SECOND_(a, b, ...) b
#define BERTH_I_PROBE(...)         ~, 1
#define BERTH_I_PAREN(p)           BERTH_I_SECOND(BERTH_I_PROBE p, 0) /* 1: p is in parentheses */
/*
 * how a call gives its result back: VOID; VALUE, nothing in it can point anywhere; KEEP, all the
 * rest
 */
#define BERTH_I_GIVES_void  ~, VOID
#define BERTH_I_GIVES_bool  ~, VALUE
#define BERTH_I_GIVES__Bool ~, VALUE
#define BERTH_I_GIVES_i8    ~, VALUE
#define BERTH_I_GIVES_i16   ~, VALUE
#define BERTH_I_GIVES_i32   ~, VALUE
#define BERTH_I_GIVES_i64   ~, VALUE
#define BERTH_I_GIVES_u8    ~, VALUE
#define BERTH_I_GIVES_u16   ~, VALUE
#define BERTH_I_GIVES_u32   ~, VALUE
#define BERTH_I_GIVES_u64   ~, VALUE
#define BERTH_I_GIVES_f32   ~, VALUE
#define BERTH_I_GIVES_f64   ~, VALUE
#define BERTH_I_KIND(...)   BERTH_I_SECOND(__VA_ARGS__, KEEP)
/* how many follow the first argument */
#define BERTH_I_ARGC(...)                                                                          \
    BERTH_I_ARGC_(__VA_ARGS__, MANY, MANY, MANY, MANY, MANY, MANY, MANY, MANY, 16, 15, 14, 13, 12, \
                  11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0, )
#define BERTH_I_ARGC_(z, a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p, q, r, s, t, u, v, w, x, \
                      N, ...)                                                                    \
    N
#define BERTH_I_EACH(f, ...) BERTH_I_CAT(BERTH_I_EACH_, BERTH_I_ARGC(__VA_ARGS__))(f, __VA_ARGS__)
#define BERTH_I_EACH_0(f, z)
#define BERTH_I_EACH_1(f, z, a)       f(a)
#define BERTH_I_EACH_2(f, z, a, b)    f(a) f(b)
#define BERTH_I_EACH_3(f, z, a, b, c) f(a) f(b) f(c)
#define BERTH_I_EACH_4(f, z, a, ...)  f(a) BERTH_I_EACH_3(f, z, __VA_ARGS__)
#define BERTH_I_EACH_5(f, z, a, ...)  f(a) BERTH_I_EACH_4(f, z, __VA_ARGS__)
#define BERTH_I_EACH_6(f, z, a, ...)  f(a) BERTH_I_EACH_5(f, z, __VA_ARGS__)
#define BERTH_I_EACH_7(f, z, a, ...)  f(a) BERTH_I_EACH_6(f, z, __VA_ARGS__)
#define BERTH_I_EACH_8(f, z, a, ...)  f(a) BERTH_I_EACH_7(f, z, __VA_ARGS__)
#define BERTH_I_EACH_9(f, z, a, ...)  f(a) BERTH_I_EACH_8(f, z, __VA_ARGS__)
#define BERTH_I_EACH_10(f, z, a, ...) f(a) BERTH_I_EACH_9(f, z, __VA_ARGS__)
#define BERTH_I_EACH_11(f, z, a, ...) f(a) BERTH_I_EACH_10(f, z, __VA_ARGS__)
#define BERTH_I_EACH_12(f, z, a, ...) f(a) BERTH_I_EACH_11(f, z, __VA_ARGS__)
#define BERTH_I_EACH_13(f, z, a, ...) f(a) BERTH_I_EACH_12(f, z, __VA_ARGS__)
#define BERTH_I_EACH_14(f, z, a, ...) f(a) BERTH_I_EACH_13(f, z, __VA_ARGS__)
#define BERTH_I_EACH_15(f, z, a, ...) f(a) BERTH_I_EACH_14(f, z, __VA_ARGS__)
#define BERTH_I_EACH_16(f, z, a, ...) f(a) BERTH_I_EACH_15(f, z, __VA_ARGS__)
#define BERTH_I_EACH_MANY(f, ...)     f((ERROR_at_most_16_parameters, berth_e))
/* a parameter is (type, name) or (type, name, "words") */
#define BERTH_I_TUPLE(f, p)   BERTH_I_CAT(BERTH_I_TUPLE_, BERTH_I_PAREN(p))(f, p)
#define BERTH_I_TUPLE_1(f, p) f p
#define BERTH_I_TUPLE_0(f, p) f(ERROR_write_each_parameter_or_field_as_type_comma_name, berth_e)
/* 1 without a name, else 0; what is no name, or a macro like errno, does not even paste */
#define BERTH_I_NAMELESS(name)          BERTH_I_NAMELESS_(name)
#define BERTH_I_NAMELESS_(name)         BERTH_I_SECOND_X(berth_ERROR_no_name_or_a_macro_##name, 0)
#define BERTH_I_SECOND_X(...)           BERTH_I_SECOND(__VA_ARGS__)
#define berth_ERROR_no_name_or_a_macro_ ~, 1
#define BERTH_I_NAMED(t, name)          BERTH_I_CAT(BERTH_I_NAMED_, BERTH_I_NAMELESS(name))(t, name)
#define BERTH_I_NAMED_0(t, name)        t name
#define BERTH_I_NAMED_1(t, name) \
    berth_ERROR_write_each_parameter_or_field_as_type_comma_name berth_e
#define BERTH_I_DECL(p)        BERTH_I_TUPLE(BERTH_I_DECL_, p)
#define BERTH_I_DECL_(t, ...)  , BERTH_I_NAMED(berth_##t, BERTH_I_FIRST(__VA_ARGS__))
#define BERTH_I_TYPE(p)        BERTH_I_TUPLE(BERTH_I_TYPE_, p)
#define BERTH_I_TYPE_(t, ...)  , berth_##t
#define BERTH_I_NAME(p)        BERTH_I_TUPLE(BERTH_I_NAME_, p)
#define BERTH_I_NAME_(t, ...)  , BERTH_I_FIRST(__VA_ARGS__)
#define BERTH_I_PLACE(p)       BERTH_I_TUPLE(BERTH_I_PLACE_, p)
#define BERTH_I_PLACE_(t, ...) (const void *)&BERTH_I_FIRST(__VA_ARGS__),
#define BERTH_I_TEXT(p)        BERTH_I_TUPLE(BERTH_I_TEXT_, p)
#define BERTH_I_TEXT_(t, ...) \
    "param=" #t ":" BERTH_I_STR(BERTH_I_FIRST(__VA_ARGS__)) ":" BERTH_I_SECOND(__VA_ARGS__) "\0"
#define BERTH_I_SEMICOLON struct berth_ctx /* takes the author's semicolon */

/* ---- the bodies of an import ---------------------------------------------------------------- */

/*
 * FAST is what is inlined at the call site. SLOW, once per import, is for a serial callee; it
 * takes no address of an argument, so that they stay in registers. COLD, once per import, is for
 * everything else: a callee that is busy, being replaced, counted, refused, in another process.
 */
#define BERTH_I_FN(ret, code, ...) \
    ((ret(*)(berth_ctx * BERTH_I_EACH(BERTH_I_TYPE, __VA_ARGS__))) code)

#define BERTH_I_FAST_VOID(ret, slow, slowargs, ...)                                         \
    BERTH_I_PUSH                                                                            \
    {                                                                                       \
        slow slowargs;                                                                      \
        return;                                                                             \
    }                                                                                       \
    BERTH_I_FN(ret, berth_c, __VA_ARGS__)(ctx + 1 BERTH_I_EACH(BERTH_I_NAME, __VA_ARGS__)); \
    BERTH_I_POP(ctx);
#define BERTH_I_FAST_VALUE(ret, slow, slowargs, ...)                                            \
    BERTH_I_PUSH return slow slowargs;                                                          \
    ret berth_r =                                                                               \
        BERTH_I_FN(ret, berth_c, __VA_ARGS__)(ctx + 1 BERTH_I_EACH(BERTH_I_NAME, __VA_ARGS__)); \
    BERTH_I_POP(ctx);                                                                           \
    return berth_r;
#define BERTH_I_FAST_KEEP(ret, slow, slowargs, ...)                                             \
    BERTH_I_PUSH return slow slowargs;                                                          \
    ret berth_r =                                                                               \
        BERTH_I_FN(ret, berth_c, __VA_ARGS__)(ctx + 1 BERTH_I_EACH(BERTH_I_NAME, __VA_ARGS__)); \
    BERTH_I_SERVICES(ctx)->keep(ctx, berth_l, &berth_r); /* before the pin ends */              \
    BERTH_I_POP(ctx);                                                                           \
    return berth_r;

#define BERTH_I_NATIVE_VOID(ret, ...) \
    BERTH_I_FN(ret, berth_c, __VA_ARGS__)(ctx + 1 BERTH_I_EACH(BERTH_I_NAME, __VA_ARGS__))
#define BERTH_I_NATIVE_VALUE(ret, ...) berth_r = BERTH_I_NATIVE_VOID(ret, __VA_ARGS__)
#define BERTH_I_NATIVE_KEEP(ret, ...)       \
    BERTH_I_NATIVE_VALUE(ret, __VA_ARGS__); \
    BERTH_I_SERVICES(ctx)->keep(ctx, berth_l, &berth_r)
#define BERTH_I_RESULT_VOID(ret)
#define BERTH_I_RESULT_VALUE(ret) ret berth_r = BERTH_I_ZERO;
#define BERTH_I_RESULT_KEEP(ret)  ret berth_r = BERTH_I_ZERO;
#define BERTH_I_ADDRESS_VOID      (void *)0
#define BERTH_I_ADDRESS_VALUE     &berth_r
#define BERTH_I_ADDRESS_KEEP      &berth_r
#define BERTH_I_RETURN_VOID       return
#define BERTH_I_RETURN_VALUE      return berth_r
#define BERTH_I_RETURN_KEEP       return berth_r

#define BERTH_I_TAKE_VOID(e)  e
#define BERTH_I_TAKE_VALUE(e) berth_r = e
#define BERTH_I_TAKE_KEEP(e)  berth_r = e

#define BERTH_I_SLOW(how, ret, cold, coldargs, ...)                        \
    BERTH_I_CAT(BERTH_I_RESULT_, how)(ret) void (*berth_c)(void) = 0;      \
    struct berth_gate *berth_g = berth_gate_enter(ctx, berth_l, &berth_c); \
    if (berth_g) {                                                         \
        BERTH_I_CAT(BERTH_I_NATIVE_, how)(ret, __VA_ARGS__);               \
        berth_gate_leave(ctx, berth_g);                                    \
    } else {                                                               \
        BERTH_I_CAT(BERTH_I_TAKE_, how)(cold coldargs);                    \
    }                                                                      \
    BERTH_I_CAT(BERTH_I_RETURN_, how);

#define BERTH_I_COLD(how, ret, ...)                                                             \
    BERTH_I_CAT(BERTH_I_RESULT_, how)(ret) void (*berth_c)(void) = 0;                           \
    switch (BERTH_I_SERVICES(ctx)->enter(ctx, berth_l, &berth_c)) {                             \
    case BERTH_ENTER_CALL:                                                                      \
        BERTH_I_CAT(BERTH_I_NATIVE_, how)(ret, __VA_ARGS__);                                    \
        BERTH_I_SERVICES(ctx)->leave(ctx, berth_l);                                             \
        break;                                                                                  \
    case BERTH_ENTER_GENERAL: {                                                                 \
        const void *const berth_a[] = { BERTH_I_EACH(BERTH_I_PLACE,                             \
                                                     __VA_ARGS__)(const void *) 0 };            \
        BERTH_I_SERVICES(ctx)->call(ctx, berth_l, berth_a, BERTH_I_CAT(BERTH_I_ADDRESS_, how)); \
        break;                                                                                  \
    }                                                                                           \
    default:                                                                                    \
        break;                                                                                  \
    }                                                                                           \
    BERTH_I_CAT(BERTH_I_RETURN_, how);

#endif
