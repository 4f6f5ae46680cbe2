/* SPDX-License-Identifier: MIT */
/*
 * What a module's author includes: declare where you define.
 *
 *     #include <berth/module.h>
 *
 *     BERTH_MODULE("greet", "1.0.0", "Says hello.");
 *     BERTH_IMPORT(void, audit, note, (string, what));
 *
 *     BERTH_EXPORT(string, hello, "Greets by name.", (string, name, "whom"))
 *     {
 *         audit_note(ctx, name);
 *         return berth_printf(ctx, "Hello, %s", name);
 *     }
 *
 *     cc -o greet.so greet.c $(pkg-config --cflags --libs berth-module)
 *
 * Each macro writes the C declaration and a record of the module's manifest from the same words.
 * Records are ELF notes, so they are read without running any code of the module. A module links
 * to nothing of Berth.
 *
 * Types: void bool i8…i64 u8…u64 f32 f64; string and json (const char *, UTF-8, never NULL); bytes
 * {data, size}; array(T) {data, count}; optional(T) {present, value}, of string and json: NULL is
 * absent; structs by BERTH_STRUCT; handles. Arrays and optionals nest only through a struct.
 *
 * Ownership: what you are given (arguments; results of calls that you make) is valid until your
 * function returns: copy what you keep, free nothing. What you return must be valid when you
 * return.
 *
 * Errors: a failed call leaves its error in its caller's frame: berth_failed(ctx) asks,
 * berth_clear(ctx) handles it. An error that is still there when your function returns is your
 * call's error. The result of a failed call is zero; "" for a string, "null" for json.
 *
 * Threads: a module is serial unless it says BERTH_PARALLEL or BERTH_REENTRANT: one thread is
 * inside at a time, over calls, messages, timers and watches alike, and a chain of calls that comes
 * back into it is refused. ctx is for this call and this thread: do not keep it.
 *
 * In C++ include this header outside of extern "C"; what a function throws becomes an `internal`
 * error. The whole story: berth-module(3) and doc/module-author.md.
 */
#ifndef BERTH_MODULE_H
#define BERTH_MODULE_H

#include <berth/call.h>

#ifndef BERTH_NO_SYSTEM_HEADER
#pragma GCC system_header
#endif

/* ---- records: ELF notes, owner "Berth", type 1; the text is NUL-ended key=value strings ----- */

struct berth_note {
    uint32_t namesz, descsz, type;
    char name[8];
};
#define BERTH_I_RECORD(id, text)                                                                   \
    static const struct berth_defined_twice_##id {                                                 \
        struct berth_note head;                                                                    \
        char body[sizeof(text)];                                                                   \
    } berth_record_##id                                                                            \
        __attribute__((section(".note.berth"), used, aligned(4) BERTH_I_RETAIN BERTH_I_PLAIN)) = { \
            { 6, sizeof(text), 1, "Berth" }, text                                                  \
        }
#define BERTH_I_RECORD_X(id, text) BERTH_I_RECORD(id, text) /* with an id that is itself a macro */
/* Not const: the host writes here; and clang++ would take (T)fn for a dynamic initialiser. */
#define BERTH_I_LINK(id, fn)                                                         \
    static struct berth_link berth_link_##id __attribute__((                         \
        section("berth_links"), used, aligned(32) BERTH_I_RETAIN BERTH_I_PLAIN)) = { \
        &berth_record_##id, (void (*)(void))fn, BERTH_CHECK_SLOW, (void *)0          \
    }

/* One a file. The host stores here: how to find the thread's ctx, and whose file this is. */
BERTH_I_RECORD(unit, "unit=\0abi=" BERTH_I_STR(BERTH_ABI) "\0api=" BERTH_I_STR(
                         BERTH_API) "\0header=" BERTH_VERSION);
BERTH_I_LINK(unit, 0);

/* Not inlined, or gcc would warn of every use of a ctx that it sees might be NULL. */
BERTH_I_UNUSED __attribute__((noinline)) static berth_ctx *berth_i_unit(int what)
{
    void (*code)(void) = berth_link_unit.code;
    return code ? ((berth_ctx * (*)(struct berth_link *, int)) code)(&berth_link_unit, what)
                : (berth_ctx *)0;
}

/* ---- through ctx ---------------------------------------------------------------------------- */

/*
 * The ctx of the function that runs on this thread, for callbacks of other libraries (qsort,
 * SQLite) that lose it. NULL on a thread that is not inside a call.
 */
BERTH_I_UNUSED static inline berth_ctx *berth_current(void)
{
    return berth_i_unit(0);
}

/*
 * For a thread of the module's own: makes it one of the host's until berth_leave(ctx), so that it
 * can call. NULL without memory, or while the module is being stopped, which berth_stopping(ctx)
 * tells those that have entered before. The module must end such threads before its BERTH_STOP
 * returns; threads of berth_thread are joined for it.
 */
BERTH_I_UNUSED static inline berth_ctx *berth_enter(void)
{
    return berth_i_unit(1);
}

/* A line for the host's log, at BERTH_LOG_ERROR … BERTH_LOG_DEBUG. Never fails the call. */
BERTH_I_UNUSED __attribute__((format(printf, 3, 4))) static void berth_log(
    berth_ctx *ctx, enum berth_log_level level, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    BERTH_I_SERVICES(ctx)->log(ctx, &berth_link_unit, (int)level, format, arguments);
    va_end(arguments);
}

/*
 * Calls fn(ctx, user) after delay_ns, and then every period_ns if that is not 0, without drift;
 * runs that the module was too busy for are left out. In the module's turn: a serial one is never
 * entered twice. Ends with the generation: the START of the next one begins its own. Returns an id
 * for berth_cancel, or 0 with the call failed.
 */
BERTH_I_UNUSED static inline uint64_t berth_timer(berth_ctx *ctx, int64_t delay_ns,
                                                  int64_t period_ns, berth_timer_fn fn, void *user)
{
    return BERTH_I_SERVICES(ctx)->timer(ctx, &berth_link_unit, delay_ns, period_ns, fn, user);
}

/*
 * Calls fn(ctx, fd, events, user) whenever fd is ready, `events` being EPOLLIN, EPOLLOUT, … of
 * <sys/epoll.h>. The descriptor stays the module's: cancel the watch before closing it. As a timer
 * otherwise.
 */
BERTH_I_UNUSED static inline uint64_t berth_watch(berth_ctx *ctx, int fd, uint32_t events,
                                                  berth_watch_fn fn, void *user)
{
    return BERTH_I_SERVICES(ctx)->watch(ctx, &berth_link_unit, fd, events, fn, user);
}

/*
 * No callback of this timer or watch begins after it returns; it waits for one that runs, unless
 * that is the caller, or waits for the caller. An id that has ended is no error.
 */
BERTH_I_UNUSED static inline void berth_cancel(berth_ctx *ctx, uint64_t id)
{
    BERTH_I_SERVICES(ctx)->cancel(ctx, &berth_link_unit, id);
}

/*
 * Runs fn(ctx, user) on a thread that the host owns. It runs beside the module's calls even in a
 * serial module, and ends when berth_stopping(ctx) says so: a stop or reload waits for it, at most
 * the host's stop_timeout; then it keeps its image. Returns an id, or 0 with the call failed.
 */
BERTH_I_UNUSED static inline uint64_t berth_thread(berth_ctx *ctx, const char *name,
                                                   berth_thread_fn fn, void *user)
{
    return BERTH_I_SERVICES(ctx)->thread(ctx, &berth_link_unit, name, fn, user);
}

/*
 * A descriptor that poll(2) finds readable once the module is being stopped: for a thread of
 * berth_thread that waits for other descriptors, and could not ask berth_stopping meanwhile. It is
 * the host's: neither read nor close it. -1 with the call failed.
 */
BERTH_I_UNUSED static inline int berth_stopping_fd(berth_ctx *ctx)
{
    return BERTH_I_SERVICES(ctx)->stopping_fd(ctx, &berth_link_unit);
}

/*
 * The name that this module has in its host: its manifest's, unless it was loaded under another.
 * Valid as long as the module.
 */
BERTH_I_UNUSED static inline berth_string berth_module_name(berth_ctx *ctx)
{
    return BERTH_I_SERVICES(ctx)->module_name(ctx, &berth_link_unit);
}

/* ---- blobs ---------------------------------------------------------------------------------- */

/*
 * A blob is memory of the host's that values are passed on in without a copy: bytes, or what a
 * string, json or array of numbers points at, 4 KiB or more and at least half of its blob,
 * published from one. Its receivers see the very memory, so nobody writes there once it has been
 * passed to anybody. It lives until the last message that it is in has been handled, and the last
 * module that has it has released it, or is gone: its maker's reload or unload changes nothing.
 *
 *     char *pixels = berth_blob_new(ctx, size);
 *     …
 *     publish_frame(ctx, (berth_bytes){ pixels, size });
 *     berth_blob_release(ctx, pixels);
 *
 * Not zeroed, and aligned to 4096; a size of 0 gives an address, too. NULL, with the call failed
 * (resource_exhausted), without memory. What a generation has not released goes with it.
 */
BERTH_I_UNUSED __attribute__((malloc, alloc_size(2))) static inline void *berth_blob_new(
    berth_ctx *ctx, size_t size)
{
    return BERTH_I_HAS(ctx, blob_new) ? BERTH_I_SERVICES(ctx)->blob_new(ctx, &berth_link_unit, size)
                                      : (void *)0;
}

/*
 * Bytes to have after this function has returned, until berth_blob_release of their data: the same
 * that are given if they lie in a blob, as large ones do that came with a message, wherever they
 * came from; else a copy, in a new one. They may be any part of a blob. Each keep needs a release
 * of its own. No data, with the call failed (resource_exhausted), without memory.
 */
BERTH_I_UNUSED static inline berth_bytes berth_blob_keep(berth_ctx *ctx, berth_bytes bytes)
{
    berth_bytes kept = { (void *)0, 0 };
    if (BERTH_I_HAS(ctx, blob_keep))
        kept.data = BERTH_I_SERVICES(ctx)->blob_keep(ctx, &berth_link_unit, bytes.data, bytes.size);
    if (kept.data)
        kept.size = bytes.size;
    return kept;
}

/*
 * This module needs what is at that address no more, as often as it has made or kept it. NULL does
 * nothing; what it does not have fails the call (failed_precondition), and nothing changes.
 */
BERTH_I_UNUSED static inline void berth_blob_release(berth_ctx *ctx, const void *data)
{
    if (data && BERTH_I_HAS(ctx, blob_release))
        BERTH_I_SERVICES(ctx)->blob_release(ctx, &berth_link_unit, data);
}

/* ---- the module ----------------------------------------------------------------------------- */

/* BERTH_MODULE("name", "1.2.3", "What it does."): once in a module; a semantic version. */
#define BERTH_MODULE(name, version, doc)                                                     \
    BERTH_I_RECORD(module, "module=" name "\0version=" version "\0doc=" doc);                \
    BERTH_I_C __attribute__((visibility("hidden"))) struct berth_link __start_berth_links[], \
        __stop_berth_links[];                                                                \
    BERTH_I_C __attribute__((visibility("default"))) const struct berth_entry berth_entry;   \
    const struct berth_entry berth_entry = { sizeof(struct berth_entry), BERTH_ABI,          \
                                             __start_berth_links, __stop_berth_links }

/*
 * BERTH_REQUIRES("log", "^1.2"): loading fails unless such a module is there. Ranges: ^ ~ >= < =,
 * joined by blanks.
 */
#define BERTH_REQUIRES(module, range) \
    BERTH_I_RECORD_X(BERTH_I_CAT(requires_, __COUNTER__), "requires=" module "\0range=" range)

/* Several threads may be inside at once; the author takes care of what they share. */
#define BERTH_PARALLEL BERTH_I_RECORD(parallel, "concurrency=parallel")

/*
 * Serial, but the chain of calls that is inside may come back in, over whatever it calls: the
 * author takes care that the functions that may be in the middle of something bear it. Without it
 * such a call fails (aborted).
 */
#define BERTH_REENTRANT BERTH_I_RECORD(reentrant, "concurrency=reentrant")

/*
 * BERTH_OPTION(i64, limit, 1000, "words");  gives option_limit(ctx). The default is a JSON value:
 * "text" for a string, true, null; one with a comma in it goes into parentheses, ([1, 2]). What
 * the operator gives is checked before START.
 */
#define BERTH_OPTION(type, name, value, doc)                                          \
    BERTH_I_RECORD(option_##name,                                                     \
                   "option=" #name "\0type=" #type "\0default=" #value "\0doc=" doc); \
    BERTH_I_OPTION(berth_##type, option_##name)
#define BERTH_I_OPTION(type, id)                                                            \
    BERTH_I_UNUSED static inline type id(berth_ctx *ctx)                                    \
    {                                                                                       \
        type berth_r = BERTH_I_ZERO;                                                        \
        BERTH_I_SERVICES(ctx)->option(ctx, &berth_link_unit, &berth_record_##id, &berth_r); \
        return berth_r;                                                                     \
    }                                                                                       \
    BERTH_I_SEMICOLON

/* BERTH_STRUCT(point, (f64, x), (f64, y, "upwards"));  gives berth_point, passed by value. */
#define BERTH_STRUCT(name, ...) \
    BERTH_I_STRUCT(name, struct_##name, "struct=" #name "\0", 0, __VA_ARGS__)
#define BERTH_I_STRUCT(name, id, text, ...)      \
    typedef struct berth_##name {                \
        BERTH_I_EACH(BERTH_I_FIELD, __VA_ARGS__) \
    } berth_##name;                              \
    BERTH_I_BOTH(name);                          \
    BERTH_I_RECORD(id, text BERTH_I_EACH(BERTH_I_FTEXT, __VA_ARGS__))
#define BERTH_I_FIELD(p)       BERTH_I_TUPLE(BERTH_I_FIELD_, p)
#define BERTH_I_FIELD_(t, ...) BERTH_I_NAMED(berth_##t, BERTH_I_FIRST(__VA_ARGS__));
#define BERTH_I_FTEXT(p)       BERTH_I_TUPLE(BERTH_I_FTEXT_, p)
#define BERTH_I_FTEXT_(t, ...) \
    "field=" #t ":" BERTH_I_STR(BERTH_I_FIRST(__VA_ARGS__)) ":" BERTH_I_SECOND(__VA_ARGS__) "\0"

/*
 * BERTH_HANDLE(cursor, close, "words");  gives the type berth_cursor, an id that stands for the
 * author's `struct cursor` and is safe to hand out; `close` is the exported function that ends
 * one. The author makes one with cursor_new(ctx, object), looks it up with cursor_get(ctx,
 * handle), and ends it with cursor_end(ctx, handle), which gives the object back. A stale or
 * foreign handle gives NULL, with the call failed (not_found). In BERTH_RESTORE,
 * cursor_restore(ctx, handle, object) has a handle of the old generation stand for a new object; it
 * returns the handle by which the module knows it from now on, and whoever holds it goes on.
 */
#define BERTH_HANDLE(kind, release, doc)                                                          \
    BERTH_I_RECORD(handle_##kind, "handle=" #kind "\0release=" #release "\0doc=" doc);            \
    BERTH_I_HANDLE(kind);                                                                         \
    struct kind;                                                                                  \
    BERTH_I_UNUSED static inline berth_##kind kind##_new(berth_ctx *ctx, struct kind *object)     \
    {                                                                                             \
        berth_##kind berth_r = { BERTH_I_SERVICES(ctx)->handle_new(ctx, &berth_link_unit, #kind,  \
                                                                   object) };                     \
        return berth_r;                                                                           \
    }                                                                                             \
    BERTH_I_UNUSED static inline struct kind *kind##_get(berth_ctx *ctx, berth_##kind handle)     \
    {                                                                                             \
        return (struct kind *)BERTH_I_SERVICES(ctx)->handle_get(ctx, &berth_link_unit, #kind,     \
                                                                handle.id, 0);                    \
    }                                                                                             \
    BERTH_I_UNUSED static inline struct kind *kind##_end(berth_ctx *ctx, berth_##kind handle)     \
    {                                                                                             \
        return (struct kind *)BERTH_I_SERVICES(ctx)->handle_get(ctx, &berth_link_unit, #kind,     \
                                                                handle.id, 1);                    \
    }                                                                                             \
    BERTH_I_UNUSED static inline berth_##kind kind##_restore(berth_ctx *ctx, berth_##kind handle, \
                                                             struct kind *object)                 \
    {                                                                                             \
        berth_##kind berth_r = { BERTH_I_SERVICES(ctx)->handle_restore(                           \
            ctx, &berth_link_unit, #kind, handle.id, object) };                                   \
        return berth_r;                                                                           \
    }                                                                                             \
    BERTH_I_SEMICOLON
/* BERTH_HANDLE_OF(store, cursor);  gives the type store_cursor: another module's handle. */
#define BERTH_HANDLE_OF(module, kind)                                      \
    BERTH_I_RECORD(handle_##module##_##kind,                               \
                   "handle=" #module "_" #kind "\0of=" #module "." #kind); \
    BERTH_I_HANDLE(module##_##kind)
#define BERTH_I_HANDLE(kind)       \
    typedef struct berth_##kind {  \
        uint64_t id; /* 0: none */ \
    } berth_##kind;                \
    BERTH_I_BOTH(kind)

/* ---- functions that the host calls ---------------------------------------------------------- */

#define BERTH_I_HEAD(ret, fn, ...) \
    ret fn(berth_ctx *ctx BERTH_I_UNUSED BERTH_I_EACH(BERTH_I_DECL, __VA_ARGS__))
#if defined __cplusplus && defined __cpp_exceptions
/* The author's body becomes berth_body_NAME; what it throws does not cross the boundary. */
#define BERTH_I_DEFINE(ret, fn, body, ...)                                        \
    static BERTH_I_HEAD(ret, body, __VA_ARGS__);                                  \
    BERTH_I_HEAD(ret, fn, __VA_ARGS__)                                            \
    {                                                                             \
        try {                                                                     \
            return body(ctx BERTH_I_EACH(BERTH_I_NAME, __VA_ARGS__));             \
        } catch (const std::exception &berth_e) {                                 \
            berth_fail(ctx, BERTH_INTERNAL, "C++ exception: %s", berth_e.what()); \
        } catch (...) {                                                           \
            berth_fail(ctx, BERTH_INTERNAL, "C++ exception of an unknown type");  \
        }                                                                         \
        return ret();                                                             \
    }                                                                             \
    static BERTH_I_HEAD(ret, body, __VA_ARGS__)
#else
#define BERTH_I_DEFINE(ret, fn, body, ...) BERTH_I_HEAD(ret, fn, __VA_ARGS__)
#endif
/* aligned: -Os puts functions anywhere, and bit 0 of a link's check tells code from a gate. */
#define BERTH_I_FUNCTION(ret, id, text, ...)     \
    BERTH_I_DECLARE(ret, id, text, __VA_ARGS__); \
    BERTH_I_DEFINE(ret, berth_##id, berth_body_##id, __VA_ARGS__)
#define BERTH_I_DECLARE(ret, id, text, ...)                           \
    BERTH_I_C __attribute__((visibility("hidden"), aligned(2)))       \
    BERTH_I_HEAD(ret, berth_##id, __VA_ARGS__);                       \
    BERTH_I_RECORD(id, text BERTH_I_EACH(BERTH_I_TEXT, __VA_ARGS__)); \
    BERTH_I_LINK(id, berth_##id)
#define BERTH_I_FUNCTION_X(...) BERTH_I_FUNCTION(__VA_ARGS__)

/*
 * BERTH_EXPORT(ret, name, "words", (type, parameter [, "words"])...) { body }: a function for the
 * other modules. The C function is berth_export_NAME and hidden, so that write, open or delete are
 * good names. `ctx` is its first argument.
 */
#define BERTH_EXPORT(ret, name, ...)                                                             \
    BERTH_I_EXPORT(BERTH_I_SECOND_X(berth_ERROR_no_name_or_a_macro_##name, 0),                   \
                   BERTH_I_UNDOCUMENTED(BERTH_I_FIRST(__VA_ARGS__)), berth_##ret, export_##name, \
                   "export=" #name "\0returns=" #ret "\0", __VA_ARGS__)
#define BERTH_I_EXPORT(nameless, undocumented, ret, id, text, ...)                                \
    BERTH_I_FUNCTION(BERTH_I_CAT(BERTH_I_RETURNS_, BERTH_I_CAT(nameless, undocumented))(ret), id, \
                     text BERTH_I_CAT(BERTH_I_DOC_, undocumented)(BERTH_I_FIRST(__VA_ARGS__)),    \
                     __VA_ARGS__)
#define BERTH_I_RETURNS_00(ret) ret
#define BERTH_I_RETURNS_01(ret) berth_ERROR_a_documentation_string_comes_before_the_parameters
#define BERTH_I_RETURNS_10(ret) berth_ERROR_the_name_comes_after_the_result
#define BERTH_I_RETURNS_11(ret) berth_ERROR_the_name_comes_after_the_result
#define BERTH_I_DOC_0(doc)      "doc=" doc "\0"
#define BERTH_I_DOC_1(doc)      ""
/* 1 when there is nothing, or a parameter already */
#define BERTH_I_UNDOCUMENTED(doc)   BERTH_I_CAT(BERTH_I_UNDOCUMENTED_, BERTH_I_PAREN(doc))(doc)
#define BERTH_I_UNDOCUMENTED_0(doc) BERTH_I_SECOND(BERTH_I_PROBE doc(), 0)
#define BERTH_I_UNDOCUMENTED_1(doc) 1

/*
 * BERTH_EXPORT_ASYNC(ret, name, "words", (type, parameter)...) { body }: a function that answers
 * when it likes, from any thread that has a ctx. Its body keeps the call (berth_call_keep), or
 * fails; what it returns says nothing. Then name_reply(ctx, call, value), or without a value for
 * void, answers it. Before that name_more(ctx, call, value) sends one of several replies. As many
 * as fit into a mailbox may lie there; then it waits until the caller takes some, at most until the
 * call's deadline, or the running function's. false: nobody wants more; or the running function has
 * failed: deadline_exceeded, cancelled, aborted when the caller waits for this module; in a host
 * without threads resource_exhausted at once. Each may stand behind the macro only.
 */
#define BERTH_EXPORT_ASYNC(ret, name, ...)                                             \
    BERTH_I_EXPORT_ASYNC(BERTH_I_SECOND_X(berth_ERROR_no_name_or_a_macro_##name, 0),   \
                         BERTH_I_UNDOCUMENTED(BERTH_I_FIRST(__VA_ARGS__)),             \
                         BERTH_I_KIND(BERTH_I_GIVES_##ret), berth_##ret, name##_reply, \
                         name##_more, export_##name,                                   \
                         "export=" #name "\0!async=1\0returns=" #ret "\0", __VA_ARGS__)
#define BERTH_I_EXPORT_ASYNC(nameless, undocumented, how, ret, reply, more, id, text, ...)       \
    BERTH_I_ASYNC(BERTH_I_CAT(BERTH_I_RETURNS_, BERTH_I_CAT(nameless, undocumented))(void), how, \
                  ret, reply, more, id,                                                          \
                  text BERTH_I_CAT(BERTH_I_DOC_, undocumented)(BERTH_I_FIRST(__VA_ARGS__)),      \
                  __VA_ARGS__)
#define BERTH_I_ASYNC(none, how, ret, reply, more, id, text, ...) \
    BERTH_I_DECLARE(none, id, text, __VA_ARGS__);                 \
    BERTH_I_CAT(BERTH_I_REPLIES_, how)                            \
    (ret, reply, more, id) BERTH_I_DEFINE(none, berth_##id, berth_body_##id, __VA_ARGS__)
#define BERTH_I_REPLIES_VOID(ret, reply, more, id)                                        \
    BERTH_I_UNUSED static inline void reply(berth_ctx *ctx, berth_kept call)              \
    {                                                                                     \
        if (BERTH_I_HAS(ctx, kept_reply))                                                 \
            BERTH_I_SERVICES(ctx)->kept_reply(ctx, &berth_link_##id, call, (void *)0, 0); \
    }
#define BERTH_I_REPLIES_VALUE(ret, reply, more, id)                                       \
    BERTH_I_UNUSED static inline void reply(berth_ctx *ctx, berth_kept call, ret value)   \
    {                                                                                     \
        if (BERTH_I_HAS(ctx, kept_reply))                                                 \
            BERTH_I_SERVICES(ctx)->kept_reply(ctx, &berth_link_##id, call, &value, 0);    \
    }                                                                                     \
    BERTH_I_UNUSED static inline bool more(berth_ctx *ctx, berth_kept call, ret value)    \
    {                                                                                     \
        return BERTH_I_HAS(ctx, kept_reply) &&                                            \
               BERTH_I_SERVICES(ctx)->kept_reply(ctx, &berth_link_##id, call, &value, 1); \
    }
#define BERTH_I_REPLIES_KEEP BERTH_I_REPLIES_VALUE

/*
 * The call that runs this function, which must be of BERTH_EXPORT_ASYNC, is answered later. Until
 * then it keeps the module loaded: an unload or reload waits for it as for a call that is inside,
 * and ends it in the end.
 */
BERTH_I_UNUSED static inline berth_kept berth_call_keep(berth_ctx *ctx)
{
    berth_kept none = { 0 };
    return BERTH_I_HAS(ctx, call_keep) ? BERTH_I_SERVICES(ctx)->call_keep(ctx) : none;
}
/* Answers a kept call with a failure. */
BERTH_I_UNUSED __attribute__((cold, noinline, format(printf, 4, 5))) static void berth_kept_fail(
    berth_ctx *ctx, berth_kept call, int code, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    if (BERTH_I_HAS(ctx, kept_fail))
        BERTH_I_SERVICES(ctx)->kept_fail(ctx, call, code, format, arguments);
    va_end(arguments);
}
/*
 * Whether nobody waits for the answer any more: the caller has cancelled it, its deadline has
 * passed, or this module is being replaced or unloaded. It is still to be answered.
 */
BERTH_I_UNUSED static inline bool berth_kept_stopping(berth_ctx *ctx, berth_kept call)
{
    return !BERTH_I_HAS(ctx, kept_stopping) || BERTH_I_SERVICES(ctx)->kept_stopping(ctx, call);
}

/*
 * BERTH_SUBSCRIBE("clock.>", handler, (type, name)...) { body }: called with each message to a
 * topic that matches (`*` one token, `>` the rest); the parameters are the topic's.
 * BERTH_SUBSCRIBE_ANY("a.>", handler) takes topics of every type, as (string topic, json fields).
 */
#define BERTH_SUBSCRIBE(pattern, ...) \
    BERTH_I_SUBSCRIBE(pattern, "", BERTH_I_CAT(handler_, BERTH_I_FIRST(__VA_ARGS__)), __VA_ARGS__)
#define BERTH_SUBSCRIBE_ANY(pattern, handler)                                      \
    BERTH_I_SUBSCRIBE(pattern, "any=1\0", BERTH_I_CAT(handler_, handler), handler, \
                      (string, topic), (json, fields))
/*
 * The same with attributes, one or more, without commas:
 *
 *     BERTH_SUBSCRIBE_WITH("jobs.>", BERTH_FULL(block) BERTH_TRIES(3), on_job, (string, what))
 *     { … }
 *
 * BERTH_FULL(reject | block | drop_oldest): what happens to a message when this module's mailbox
 * is full. reject, the default: its sender fails, resource_exhausted. block: its sender waits for
 * room, at most until its deadline. drop_oldest: the oldest message that may go does, and is
 * counted.
 * BERTH_TRIES(n): how often a message is handled whose handler fails, 1 by default: after 100 ms,
 * then twice as long each time, at most 10 s, and meanwhile later messages of that sender wait.
 * After the last one it goes to the topic host.dead_letter.
 * BERTH_QUEUE_GROUP("name"): of all subscriptions of this group, in whichever modules, one gets it.
 */
#define BERTH_SUBSCRIBE_WITH(pattern, attributes, ...)                                        \
    BERTH_I_SUBSCRIBE(pattern, attributes, BERTH_I_CAT(handler_, BERTH_I_FIRST(__VA_ARGS__)), \
                      __VA_ARGS__)
#define BERTH_SUBSCRIBE_ANY_WITH(pattern, attributes, handler)                                \
    BERTH_I_SUBSCRIBE(pattern, "any=1\0" attributes, BERTH_I_CAT(handler_, handler), handler, \
                      (string, topic), (json, fields))
#define BERTH_FULL(policy)       BERTH_I_FULL_##policy
#define BERTH_I_FULL_reject      "full=reject\0"
#define BERTH_I_FULL_block       "full=block\0"
#define BERTH_I_FULL_drop_oldest "full=drop_oldest\0"
#define BERTH_TRIES(count)       "tries=" BERTH_I_STR(count) "\0"
#define BERTH_QUEUE_GROUP(name)  "group=" name "\0"
#define BERTH_I_SUBSCRIBE(pattern, attributes, id, ...)                                      \
    BERTH_I_FUNCTION_X(void, id,                                                             \
                       "subscribe=" pattern                                                  \
                       "\0handler=" BERTH_I_STR(BERTH_I_FIRST(__VA_ARGS__)) "\0" attributes, \
                       __VA_ARGS__)

/*
 * BERTH_START { … }: once, before anything else; berth_fail there refuses the load. In a process
 * it has 30 seconds.
 * BERTH_STOP { … }: the last call.
 */
#define BERTH_START BERTH_I_FUNCTION(void, hook_start, "hook=start\0", 0)
#define BERTH_STOP  BERTH_I_FUNCTION(void, hook_stop, "hook=stop\0", 0)
/*
 * The state that a reload hands over. BERTH_SAVE(2) { return bytes; }: 2 is the version of its
 * format. BERTH_RESTORE { … }: in the new generation, after its START, with (u32 version, bytes
 * state); berth_fail there keeps the old generation, whose state SAVE must therefore leave as it
 * is.
 */
#define BERTH_SAVE(version) \
    BERTH_I_FUNCTION(berth_bytes, hook_save, "hook=save\0version=" BERTH_I_STR(version) "\0", 0)
#define BERTH_RESTORE \
    BERTH_I_FUNCTION(void, hook_restore, "hook=restore\0", 0, (u32, version), (bytes, state))

/*
 * BERTH_RESTORES(1, 2); which versions of a state BERTH_RESTORE reads, besides that of the module's
 * own BERTH_SAVE. A reload from any other is then refused before anything runs.
 */
#define BERTH_RESTORES(...) BERTH_I_RECORD(restores, "restores=" BERTH_I_STR(__VA_ARGS__))

/*
 * BERTH_RESTORES_HANDLES: BERTH_RESTORE brings back every handle that is alive, by cursor_restore;
 * SAVE must tell it which there are. Without this a reload is refused while there are any.
 */
#define BERTH_RESTORES_HANDLES BERTH_I_RECORD(restores_handles, "restores_handles=1")

/* ---- functions and topics that the module calls --------------------------------------------- */

/*
 * BERTH_IMPORT(ret, module, function, (type, name)...);  gives module_function(ctx, …). It is
 * bound when that module is there, and fails with `unavailable` until then. BERTH_IMPORT_AS(alias,
 * ret, module, function, …) gives alias(ctx, …).
 */
#define BERTH_IMPORT(ret, module, ...)                                                             \
    BERTH_I_IMPORT(BERTH_I_KIND(BERTH_I_GIVES_##ret), berth_##ret,                                 \
                   BERTH_I_CAT(module##_, BERTH_I_FIRST(__VA_ARGS__)),                             \
                   "import=" #module "." BERTH_I_STR(BERTH_I_FIRST(__VA_ARGS__)) "\0returns=" #ret \
                                                                                 "\0",             \
                   __VA_ARGS__)
#define BERTH_IMPORT_AS(alias, ret, module, ...)                                                   \
    BERTH_I_IMPORT(BERTH_I_KIND(BERTH_I_GIVES_##ret), berth_##ret, alias,                          \
                   "import=" #module "." BERTH_I_STR(BERTH_I_FIRST(__VA_ARGS__)) "\0returns=" #ret \
                                                                                 "\0alias=" #alias \
                                                                                 "\0",             \
                   __VA_ARGS__)
#define BERTH_I_IMPORT(how, ret, fn, text, ...)                                            \
    BERTH_I_IMPORT_X(how, ret, fn, BERTH_I_CAT(import_, fn), BERTH_I_CAT(berth_slow_, fn), \
                     BERTH_I_CAT(berth_cold_, fn), text, __VA_ARGS__)
#define BERTH_I_IMPORT_X(...) BERTH_I_IMPORT_Y(__VA_ARGS__)
#define BERTH_I_IMPORT_Y(how, ret, fn, id, slow_fn, cold_fn, text, ...)                         \
    BERTH_I_RECORD(id, text BERTH_I_EACH(BERTH_I_TEXT, __VA_ARGS__));                           \
    BERTH_I_LINK(id, 0);                                                                        \
    BERTH_I_UNUSED __attribute__((noinline, cold)) static ret cold_fn(                          \
        berth_ctx *ctx BERTH_I_EACH(BERTH_I_DECL, __VA_ARGS__))                                 \
    {                                                                                           \
        struct berth_link *berth_l = &berth_link_##id;                                          \
        BERTH_I_COLD(how, ret, __VA_ARGS__)                                                     \
    }                                                                                           \
    BERTH_I_UNUSED __attribute__((noinline)) static ret slow_fn(                                \
        berth_ctx *ctx BERTH_I_EACH(BERTH_I_DECL, __VA_ARGS__))                                 \
    {                                                                                           \
        struct berth_link *berth_l = &berth_link_##id;                                          \
        BERTH_I_SLOW(how, ret, cold_fn, (ctx BERTH_I_EACH(BERTH_I_NAME, __VA_ARGS__)),          \
                     __VA_ARGS__)                                                               \
    }                                                                                           \
    BERTH_I_UNUSED static inline ret fn(berth_ctx *ctx BERTH_I_EACH(BERTH_I_DECL, __VA_ARGS__)) \
    {                                                                                           \
        struct berth_link *berth_l = &berth_link_##id;                                          \
        BERTH_I_CAT(BERTH_I_FAST_, how)                                                         \
        (ret, slow_fn, (ctx BERTH_I_EACH(BERTH_I_NAME, __VA_ARGS__)), __VA_ARGS__)              \
    }                                                                                           \
    BERTH_I_SEMICOLON

/*
 * BERTH_IMPORT_ASYNC(ret, module, function, (type, name)...);  gives, for calls that are not waited
 * for at once,
 *     berth_pending module_function_start(ctx, …)      what fails is the call, when it is taken
 *     ret           module_function_take(ctx, pending) waits for the answer, gives it, and ends it
 *     bool          module_function_next(ctx, pending, &value)
 *                                    waits for one of several replies; false: there are no more, or
 *                                    waiting has failed; the answer is still to be taken. Who takes
 *                                    that alone wants no replies: the callee's more is false
 *     void          module_function_send(ctx, …)       one way: returns when it is in the mailbox
 * and berth_call_any, _all, _done, _then, _limit, _cancel and _drop take the pending call. What the
 * generation has started ends with it. BERTH_IMPORT_ASYNC_AS(alias, ret, module, function, …) gives
 * alias_start, and so on.
 */
#define BERTH_IMPORT_ASYNC(ret, module, ...)                                                 \
    BERTH_I_IMPORT_ASYNC(BERTH_I_KIND(BERTH_I_GIVES_##ret), berth_##ret,                     \
                         BERTH_I_CAT(module##_, BERTH_I_FIRST(__VA_ARGS__)),                 \
                         "import=" #module                                                   \
                         "." BERTH_I_STR(BERTH_I_FIRST(__VA_ARGS__)) "\0returns=" #ret "\0", \
                         __VA_ARGS__)
#define BERTH_IMPORT_ASYNC_AS(alias, ret, module, ...)                                       \
    BERTH_I_IMPORT_ASYNC(BERTH_I_KIND(BERTH_I_GIVES_##ret), berth_##ret, alias,              \
                         "import=" #module                                                   \
                         "." BERTH_I_STR(BERTH_I_FIRST(__VA_ARGS__)) "\0returns=" #ret       \
                                                                     "\0alias=" #alias "\0", \
                         __VA_ARGS__)
/*
 * The same with attributes, behind the first argument:
 *
 *     BERTH_IMPORT_ASYNC_WITH(void, BERTH_FULL(block), audit, note, (string, what));
 *
 * BERTH_FULL(reject | block | drop_oldest): what happens when the callee's mailbox is full. reject,
 * the default: the call fails, resource_exhausted. block: whoever starts or sends it waits for
 * room, at most until its deadline. drop_oldest: of what is sent so, the oldest there goes, and is
 * counted; what is started is rejected. All imports of one function that say it say the same.
 */
#define BERTH_IMPORT_ASYNC_WITH(ret, attributes, module, ...)                          \
    BERTH_I_IMPORT_ASYNC(BERTH_I_KIND(BERTH_I_GIVES_##ret), berth_##ret,               \
                         BERTH_I_CAT(module##_, BERTH_I_FIRST(__VA_ARGS__)),           \
                         "import=" #module                                             \
                         "." BERTH_I_STR(BERTH_I_FIRST(__VA_ARGS__)) "\0returns=" #ret \
                                                                     "\0" attributes,  \
                         __VA_ARGS__)
#define BERTH_IMPORT_ASYNC_AS_WITH(alias, attributes, ret, module, ...)                         \
    BERTH_I_IMPORT_ASYNC(BERTH_I_KIND(BERTH_I_GIVES_##ret), berth_##ret, alias,                 \
                         "import=" #module "." BERTH_I_STR(BERTH_I_FIRST(                       \
                             __VA_ARGS__)) "\0returns=" #ret "\0alias=" #alias "\0" attributes, \
                         __VA_ARGS__)
#define BERTH_I_IMPORT_ASYNC(how, ret, fn, text, ...)                                              \
    BERTH_I_IMPORT_ASYNC_X(how, ret, BERTH_I_CAT(start_, fn), BERTH_I_CAT(fn, _start),             \
                           BERTH_I_CAT(fn, _take), BERTH_I_CAT(fn, _next), BERTH_I_CAT(fn, _send), \
                           text, __VA_ARGS__)
#define BERTH_I_IMPORT_ASYNC_X(...) BERTH_I_IMPORT_ASYNC_Y(__VA_ARGS__)
#define BERTH_I_IMPORT_ASYNC_Y(how, ret, id, start, take, next, send, text, ...)                   \
    BERTH_I_RECORD(id, text BERTH_I_EACH(BERTH_I_TEXT, __VA_ARGS__));                              \
    BERTH_I_LINK(id, 0);                                                                           \
    BERTH_I_UNUSED static inline berth_pending start(                                              \
        berth_ctx *ctx BERTH_I_EACH(BERTH_I_DECL, __VA_ARGS__))                                    \
    {                                                                                              \
        berth_pending none = { 0 };                                                                \
        const void *const berth_a[] = { BERTH_I_EACH(BERTH_I_PLACE,                                \
                                                     __VA_ARGS__)(const void *) 0 };               \
        return BERTH_I_HAS(ctx, call_start)                                                        \
                   ? BERTH_I_SERVICES(ctx)->call_start(ctx, &berth_link_##id, berth_a)             \
                   : none;                                                                         \
    }                                                                                              \
    BERTH_I_UNUSED static inline void send(berth_ctx *ctx BERTH_I_EACH(BERTH_I_DECL, __VA_ARGS__)) \
    {                                                                                              \
        const void *const berth_a[] = { BERTH_I_EACH(BERTH_I_PLACE,                                \
                                                     __VA_ARGS__)(const void *) 0 };               \
        if (BERTH_I_HAS(ctx, call_send))                                                           \
            BERTH_I_SERVICES(ctx)->call_send(ctx, &berth_link_##id, berth_a);                      \
    }                                                                                              \
    BERTH_I_UNUSED static inline ret take(berth_ctx *ctx, berth_pending pending)                   \
    {                                                                                              \
        BERTH_I_CAT(BERTH_I_RESULT_, how)                                                          \
        (ret) if (BERTH_I_HAS(ctx, call_take)) BERTH_I_SERVICES(ctx)->call_take(                   \
            ctx, &berth_link_##id, pending, BERTH_I_CAT(BERTH_I_ADDRESS_, how), 0);                \
        BERTH_I_CAT(BERTH_I_RETURN_, how);                                                         \
    }                                                                                              \
    BERTH_I_CAT(BERTH_I_NEXT_, how)(ret, id, next) BERTH_I_SEMICOLON
#define BERTH_I_NEXT_VOID(ret, id, next)
#define BERTH_I_NEXT_VALUE(ret, id, next)                                                     \
    BERTH_I_UNUSED static inline bool next(berth_ctx *ctx, berth_pending pending, ret *value) \
    {                                                                                         \
        return BERTH_I_HAS(ctx, call_take) &&                                                 \
               BERTH_I_SERVICES(ctx)->call_take(ctx, &berth_link_##id, pending, value, 1);    \
    }
#define BERTH_I_NEXT_KEEP BERTH_I_NEXT_VALUE

/*
 * BERTH_TOPIC("a.b", name, (type, field)...);  declares the topic's type and gives
 * publish_name(ctx, …). It returns when every subscriber's mailbox has the message, as each of them
 * wants that (BERTH_FULL), and fails naming those whose has not; the others have got it.
 */
#define BERTH_TOPIC(topic, ...) BERTH_I_TOPIC(topic, "", BERTH_I_FIRST(__VA_ARGS__), __VA_ARGS__)
/*
 * The same with attributes: BERTH_TOPIC_WITH("clock.now", BERTH_LAST_VALUE, now, (i64, unix_ns));
 *
 * BERTH_LAST_VALUE: the message is the topic's current value, which who subscribes later gets at
 * once, and a subscriber that is loaded anew, too. It stays when its publisher goes.
 * BERTH_PRIORITY(data | control): of all messages to a module those of control are handled first,
 * and have a mailbox of their own. Order holds within a priority.
 */
#define BERTH_TOPIC_WITH(topic, attributes, ...) \
    BERTH_I_TOPIC(topic, attributes, BERTH_I_FIRST(__VA_ARGS__), __VA_ARGS__)
#define BERTH_LAST_VALUE         "last=1\0"
#define BERTH_PRIORITY(priority) BERTH_I_PRIORITY_##priority
#define BERTH_I_PRIORITY_data    "priority=data\0"
#define BERTH_I_PRIORITY_control "priority=control\0"
#define BERTH_I_TOPIC(topic, attributes, name, ...)                         \
    BERTH_I_TOPIC_X(BERTH_I_CAT(publish_, name), BERTH_I_CAT(topic_, name), \
                    "topic=" topic "\0name=" BERTH_I_STR(name) "\0" attributes, __VA_ARGS__)
#define BERTH_I_TOPIC_X(...) BERTH_I_TOPIC_Y(__VA_ARGS__)
#define BERTH_I_TOPIC_Y(fn, id, text, ...)                                                       \
    BERTH_I_RECORD(id, text BERTH_I_EACH(BERTH_I_TEXT, __VA_ARGS__));                            \
    BERTH_I_LINK(id, 0);                                                                         \
    BERTH_I_UNUSED static inline void fn(berth_ctx *ctx BERTH_I_EACH(BERTH_I_DECL, __VA_ARGS__)) \
    {                                                                                            \
        const void *const berth_a[] = { BERTH_I_EACH(BERTH_I_PLACE,                              \
                                                     __VA_ARGS__)(const void *) 0 };             \
        BERTH_I_SERVICES(ctx)->publish(ctx, &berth_link_##id, berth_a);                          \
    }                                                                                            \
    BERTH_I_SEMICOLON

#endif
