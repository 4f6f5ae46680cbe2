/* SPDX-License-Identifier: MIT */
#include "runtime/call/thread.h"

#include "runtime/base/error.h"
#include "runtime/base/memory.h"
#include "runtime/base/process.h"
#include "runtime/base/text.h"
#include "runtime/call/stock.h"

#include <linux/membarrier.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

BERTH_I_ASSERT(sizeof(struct berth_thread) <= BERTH_THREAD_HEAD);

/* One berth_host_enter: what berth_leave restores. */
struct berth_scope {
    struct berth_scope *outer;
    berth_ctx *ctx;
    int64_t deadline;
    uint32_t run; /* of the outermost: berth_thread_run; 0: nobody has asked yet */
};

/*
 * The records of this thread, one per host. A host that ends leaves orphans (set == NULL) to their
 * threads, which free them when they next look or end; the mutex orders that against threads that
 * end.
 */
static _Thread_local struct berth_thread *own_threads
    __attribute__((tls_model("initial-exec"))); /* handlers read it, and must not allocate it */
static _Thread_local const struct berth_callout *callouts
    __attribute__((tls_model("initial-exec")));
static pthread_once_t once = PTHREAD_ONCE_INIT;
static pthread_key_t exit_key;
static bool have_exit_key;
static pthread_mutex_t orphan_lock = PTHREAD_MUTEX_INITIALIZER;
static bool have_membarrier;
static uint32_t next_chain;

static void thread_free(struct berth_thread *thread);

static void thread_exit(void *unused)
{
    (void)unused;
    if (berth_process_is_forked())
        return;
    struct berth_thread *thread = own_threads;
    own_threads = NULL;
    while (thread) {
        struct berth_thread *next = thread->sibling;
        thread_free(thread);
        thread = next;
    }
}

static void set_up(void)
{
    have_exit_key = pthread_key_create(&exit_key, thread_exit) == 0;
    long query = syscall(SYS_membarrier, MEMBARRIER_CMD_QUERY, 0, 0);
    have_membarrier = query > 0 && (query & MEMBARRIER_CMD_PRIVATE_EXPEDITED) != 0 &&
                      syscall(SYS_membarrier, MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED, 0, 0) == 0;
}

void berth_frames_barrier(void)
{
    if (!have_membarrier || syscall(SYS_membarrier, MEMBARRIER_CMD_PRIVATE_EXPEDITED, 0, 0) != 0)
        __atomic_thread_fence(__ATOMIC_SEQ_CST); /* berth_threads_init has refused such a kernel */
}

int berth_threads_init(struct berth_threads *set, const struct berth_services *services)
{
    pthread_once(&once, set_up);
    if (!have_exit_key)
        return BERTH_RESOURCE_EXHAUSTED;
    if (!have_membarrier)
        return BERTH_UNIMPLEMENTED;
    pthread_mutex_init(&set->lock, NULL);
    pthread_mutex_init(&set->waits_lock, NULL);
    berth_list_init(&set->list);
    berth_list_init(&set->waits);
    set->marks = NULL;
    set->stocks = NULL;
    set->services = services;
    return BERTH_OK;
}

static void faults_drop(struct berth_thread *thread, const berth_ctx *from)
{
    struct berth_fault **place = &thread->faults;
    while (*place) {
        struct berth_fault *fault = *place;
        if (fault->level >= from) {
            *place = fault->next;
            if (fault != &thread->spare)
                berth_free(fault);
        } else {
            place = &fault->next;
        }
    }
}

/* set->lock held, but at the set's end */
static void thread_ends(struct berth_threads *set, struct berth_thread *thread)
{
    if (set->ends)
        set->ends(set->user, thread);
    thread->mark->taken = false;
    berth_stock_leave(thread);
    berth_list_remove(&thread->link);
}

/* Everything but the block itself. */
static void thread_clear(struct berth_thread *thread)
{
    faults_drop(thread, NULL);
    while (thread->scope) {
        struct berth_scope *outer = thread->scope->outer;
        berth_free(thread->scope);
        thread->scope = outer;
    }
    berth_free(thread->unused);
    thread->unused = NULL;
    berth_arena_deinit(&thread->arena);
    berth_free(thread->names);
    thread->names = NULL;
}

static void thread_free(struct berth_thread *thread)
{
    pthread_mutex_lock(&orphan_lock);
    struct berth_threads *set = thread->set;
    if (set) {
        pthread_mutex_lock(&set->lock);
        thread_ends(set, thread);
        pthread_mutex_unlock(&set->lock);
    }
    pthread_mutex_unlock(&orphan_lock);
    if (set)
        thread_clear(thread);
    berth_aligned_free(thread);
}

void berth_threads_deinit(struct berth_threads *set)
{
    pthread_mutex_lock(&orphan_lock);
    berth_list_each_safe(&set->list, link) {
        struct berth_thread *thread = berth_container(link, struct berth_thread, link);
        thread_ends(set, thread);
        thread_clear(thread);
        __atomic_store_n(&thread->set, NULL, __ATOMIC_RELEASE);
    }
    berth_marks_free(set);
    berth_stocks_free(set);
    pthread_mutex_unlock(&orphan_lock);
    pthread_mutex_destroy(&set->waits_lock);
    pthread_mutex_destroy(&set->lock);
}

uint32_t berth_chain_new(void)
{
    uint32_t chain = 0;
    while (chain == 0)
        chain = __atomic_add_fetch(&next_chain, 2, __ATOMIC_RELAXED);
    return chain;
}

uint32_t berth_thread_run(struct berth_thread *thread)
{
    static uint32_t last; /* atomic */
    struct berth_scope *scope = thread->scope;
    while (scope && scope->outer)
        scope = scope->outer;
    while (scope && scope->run == 0)
        scope->run = __atomic_add_fetch(&last, 2, __ATOMIC_RELAXED);
    return scope ? scope->run : 0;
}

/* A thread is one chain, in whatever hosts it is: else rings over several would not be seen. */
uint32_t berth_chain_own(void)
{
    static _Thread_local uint32_t own __attribute__((tls_model("initial-exec")));
    if (own == 0)
        own = berth_chain_new();
    return own;
}

static bool thread_joins(struct berth_threads *set, struct berth_thread *thread)
{
    pthread_mutex_lock(&set->lock);
    thread->mark = berth_mark_take(set);
    if (thread->mark)
        berth_list_append(&set->list, &thread->link);
    pthread_mutex_unlock(&set->lock);
    return thread->mark;
}

static struct berth_thread *thread_new(struct berth_threads *set)
{
    struct berth_thread *thread = berth_aligned_alloc(BERTH_BLOCK, BERTH_BLOCK);
    if (!thread)
        return NULL;
    memset(thread, 0, BERTH_BLOCK);
    thread->block = (struct berth_block){ sizeof(struct berth_block), BERTH_ABI, set->services,
                                          berth_chain_own(), 0 };
    thread->set = set;
    thread->number = gettid();
    thread->deadline = INT64_MAX;
    thread->topic = "";
    berth_arena_init(&thread->arena);
    if (pthread_setspecific(exit_key, thread) != 0 || !thread_joins(set, thread)) {
        berth_aligned_free(thread);
        return NULL;
    }
    thread->sibling = own_threads;
    own_threads = thread;
    return thread;
}

struct berth_thread *berth_thread_mine(const struct berth_threads *set)
{
    for (struct berth_thread *thread = own_threads; thread; thread = thread->sibling)
        if (__atomic_load_n(&thread->set, __ATOMIC_RELAXED) == set)
            return thread;
    return NULL;
}

/* This thread's record, or NULL; frees orphans on its way. */
static struct berth_thread *thread_find(struct berth_threads *set)
{
    struct berth_thread **place = &own_threads;
    while (*place) {
        struct berth_thread *thread = *place;
        struct berth_threads *its = __atomic_load_n(&thread->set, __ATOMIC_ACQUIRE);
        if (its == set)
            return thread;
        if (its) {
            place = &thread->sibling;
        } else {
            *place = thread->sibling;
            thread_free(thread);
        }
    }
    return NULL;
}

/* The first free word; the ones above it may hold rests of a longjmp. */
static berth_ctx *first_free(struct berth_thread *thread)
{
    berth_ctx *ctx = berth_thread_base(thread);
    while (ctx->frame && !berth_too_deep(ctx))
        ctx++;
    return ctx;
}

/* A thread of the pool enters for each batch of messages, which may be of one. */
static struct berth_scope *scope_take(struct berth_thread *thread)
{
    struct berth_scope *scope = thread->unused;
    thread->unused = NULL;
    return scope ? scope : berth_malloc(sizeof *scope);
}

static void scope_give(struct berth_thread *thread, struct berth_scope *scope)
{
    berth_free(thread->unused);
    thread->unused = scope;
}

berth_ctx *berth_thread_enter(struct berth_threads *set)
{
    if (berth_process_is_forked())
        return NULL;
    struct berth_thread *thread = thread_find(set);
    if (!thread)
        thread = thread_new(set);
    if (!thread)
        return NULL;
    berth_ctx *ctx = first_free(thread);
    struct berth_scope *scope = berth_too_deep(ctx) ? NULL : scope_take(thread);
    if (!scope)
        return NULL;
    *scope = (struct berth_scope){ thread->scope, ctx, thread->deadline, 0 };
    thread->scope = scope;
    __atomic_store_n(&ctx[1].frame, (uintptr_t)0, __ATOMIC_RELAXED); /* others read it */
    __atomic_store_n(&ctx->frame, BERTH_FRAME_OBJECT | (uintptr_t)set, __ATOMIC_RELEASE);
    return ctx;
}

/* Nothing is left of what was done at the base. */
static inline void base_clear(struct berth_thread *thread)
{
    if (BERTH_I_UNLIKELY(thread->faults != NULL))
        faults_drop(thread, NULL);
    if (berth_arena_mark(&thread->arena))
        berth_arena_reset(&thread->arena);
    thread->topic = "";
    thread->echo = false;
    __atomic_store_n(&thread->stopping, NULL, __ATOMIC_RELAXED);
}

void berth_thread_renew(berth_ctx *ctx)
{
    struct berth_thread *thread = berth_thread_of(ctx);
    if (BERTH_I_UNLIKELY(thread->faults != NULL))
        faults_drop(thread, ctx);
    thread->deadline = thread->scope->deadline;
    thread->scope->run = 0;
    if (ctx == berth_thread_base(thread))
        base_clear(thread);
}

void berth_thread_leave(berth_ctx *ctx)
{
    struct berth_thread *thread = berth_thread_of(ctx);
    if (berth_process_is_forked())
        return;
    faults_drop(thread, ctx);
    while (thread->scope && thread->scope->ctx >= ctx) {
        struct berth_scope *scope = thread->scope;
        thread->deadline = scope->deadline;
        thread->scope = scope->outer;
        scope_give(thread, scope);
    }
    __atomic_store_n(&ctx->frame, 0, __ATOMIC_RELEASE);
    if (ctx == berth_thread_base(thread)) {
        base_clear(thread);
        thread->deadline = INT64_MAX;
    }
}

int64_t berth_thread_outer_deadline(const berth_ctx *ctx)
{
    const struct berth_thread *thread = berth_thread_of(ctx);
    return thread->scope && thread->scope->ctx == ctx ? thread->scope->deadline : thread->deadline;
}

static berth_ctx *innermost(struct berth_thread *thread)
{
    berth_ctx *ctx = first_free(thread);
    return ctx == berth_thread_base(thread) ? NULL : ctx - 1;
}

berth_ctx *berth_thread_current(struct berth_threads *set)
{
    struct berth_thread *thread = thread_find(set);
    return thread ? innermost(thread) : NULL;
}

berth_ctx *berth_thread_anywhere(void)
{
    berth_ctx *found = NULL;
    for (struct berth_thread *thread = own_threads; thread && !found; thread = thread->sibling)
        if (__atomic_load_n(&thread->set, __ATOMIC_ACQUIRE))
            found = innermost(thread);
    return found;
}

void berth_callout_begin(struct berth_callout *callout, const struct berth_threads *set)
{
    *callout = (struct berth_callout){ set, callouts };
    callouts = callout;
}

void berth_callout_end(const struct berth_callout *callout)
{
    callouts = callout->outer;
}

bool berth_thread_is_inside(struct berth_threads *set)
{
    for (const struct berth_callout *callout = callouts; callout; callout = callout->outer)
        if (callout->set == set)
            return true;
    return berth_thread_current(set) != NULL;
}

static size_t frames_of(struct berth_thread *thread, bool (*inside)(void *user, uintptr_t word),
                        void *user)
{
    size_t count = 0;
    berth_ctx *ctx = berth_thread_base(thread);
    for (;; ctx++) {
        uintptr_t word = __atomic_load_n(&ctx->frame, __ATOMIC_ACQUIRE);
        if (!word)
            break;
        if (inside(user, BERTH_FRAME_WORD(word)))
            count++;
        if ((((uintptr_t)ctx + sizeof *ctx) & (BERTH_BLOCK - 1)) == 0)
            break;
    }
    return count;
}

size_t berth_frames_count(struct berth_threads *set, bool (*inside)(void *user, uintptr_t word),
                          void *user, const bool *except)
{
    size_t count = 0;
    pthread_mutex_lock(&set->lock);
    berth_list_each(&set->list, link) {
        struct berth_thread *thread = berth_container(link, struct berth_thread, link);
        if (!except || __atomic_load_n(&thread->stopping, __ATOMIC_RELAXED) != except)
            count += frames_of(thread, inside, user);
    }
    pthread_mutex_unlock(&set->lock);
    return count;
}

size_t berth_frames_count_of(struct berth_threads *set, uint32_t chain,
                             bool (*inside)(void *user, uintptr_t word), void *user,
                             const bool *except)
{
    size_t count = 0;
    pthread_mutex_lock(&set->lock);
    berth_list_each(&set->list, link) {
        struct berth_thread *thread = berth_container(link, struct berth_thread, link);
        if (thread->block.chain == chain &&
            (!except || __atomic_load_n(&thread->stopping, __ATOMIC_RELAXED) != except))
            count += frames_of(thread, inside, user);
    }
    pthread_mutex_unlock(&set->lock);
    return count;
}

uint32_t berth_frames_chain(struct berth_threads *set, bool (*inside)(void *user, uintptr_t word),
                            void *user, const bool *except, size_t *index)
{
    uint32_t chain = 0;
    pthread_mutex_lock(&set->lock);
    berth_list_each(&set->list, link) {
        struct berth_thread *thread = berth_container(link, struct berth_thread, link);
        if (chain || __atomic_load_n(&thread->stopping, __ATOMIC_RELAXED) == except ||
            frames_of(thread, inside, user) == 0)
            continue;
        if (*index == 0)
            chain = thread->block.chain;
        else
            (*index)--;
    }
    pthread_mutex_unlock(&set->lock);
    return chain;
}

size_t berth_threads_numbers(struct berth_threads *set, pid_t *numbers, size_t room)
{
    size_t count = 0;
    pthread_mutex_lock(&set->lock);
    berth_list_each(&set->list, link) {
        if (count < room)
            numbers[count] = berth_container(link, struct berth_thread, link)->number;
        count++;
    }
    pthread_mutex_unlock(&set->lock);
    return count;
}

bool berth_threads_know(struct berth_threads *set, pid_t number)
{
    bool found = false;
    pthread_mutex_lock(&set->lock);
    berth_list_each(&set->list, link)
        found |= berth_container(link, struct berth_thread, link)->number == number;
    pthread_mutex_unlock(&set->lock);
    return found;
}

bool berth_threads_have(struct berth_threads *set, uint32_t chain)
{
    bool found = false;
    pthread_mutex_lock(&set->lock);
    berth_list_each(&set->list, link)
        found |= berth_container(link, struct berth_thread, link)->block.chain == chain;
    pthread_mutex_unlock(&set->lock);
    return found;
}

bool berth_frames_inside(const berth_ctx *ctx, bool (*inside)(void *user, uintptr_t word),
                         void *user)
{
    return frames_of(berth_thread_of(ctx), inside, user) > 0;
}

static bool is_told(const struct berth_telling *telling, const berth_ctx *ctx)
{
    struct berth_thread *thread = berth_thread_of(ctx);
    const berth_ctx *from = berth_thread_base(thread) + thread->waiting;
    if (__atomic_load_n(&thread->stopping, __ATOMIC_RELAXED) == telling->except)
        return false;
    while (from <= ctx && !telling->inside(telling->user, BERTH_FRAME_WORD(from->frame)))
        from++;
    return from <= ctx;
}

const char *berth_frames_told(const berth_ctx *ctx)
{
    struct berth_threads *set = berth_thread_of(ctx)->set;
    if (!__atomic_load_n(&set->telling, __ATOMIC_ACQUIRE))
        return NULL;
    pthread_mutex_lock(&set->lock); /* as long as it is held, they are */
    const struct berth_telling *telling = set->telling;
    while (telling && !is_told(telling, ctx))
        telling = telling->next;
    const char *why = telling ? telling->why : NULL;
    pthread_mutex_unlock(&set->lock);
    return why;
}

void berth_frames_visit(void (*visit)(void *user, const struct berth_threads *set, uintptr_t word),
                        void *user)
{
    for (struct berth_thread *thread = own_threads; thread; thread = thread->sibling) {
        const struct berth_threads *set = __atomic_load_n(&thread->set, __ATOMIC_ACQUIRE);
        const berth_ctx *base = berth_thread_base(thread), *end = base;
        if (!set)
            continue;
        while (end->frame && !berth_too_deep(end))
            end++;
        for (; end >= base; end--)
            if (end->frame)
                visit(user, set, BERTH_FRAME_WORD(end->frame));
    }
}

/* ---- errors ---- */

/*
 * An error is raised at a level, and marks the frames from there down to the base: all of those
 * activations have it in or below them. A push rewrites the word, so an activation that began later
 * has no mark: what is left of the marks tells which activation the error belongs to now. So a call
 * that ends needs to do nothing about errors.
 */
static void faults_settle(struct berth_thread *thread)
{
    berth_ctx *base = berth_thread_base(thread);
    for (struct berth_fault *fault = thread->faults; fault; fault = fault->next)
        while (fault->level > base && !(fault->level->frame & BERTH_FRAME_FAILED))
            fault->level--;
}

static void faults_mark(struct berth_thread *thread, berth_ctx *from)
{
    berth_ctx *base = berth_thread_base(thread), *level = NULL;
    for (struct berth_fault *fault = thread->faults; fault; fault = fault->next)
        if (!level || fault->level > level)
            level = fault->level;
    for (berth_ctx *ctx = base; ctx <= from && ctx->frame; ctx++) {
        uintptr_t word =
            BERTH_FRAME_WORD(ctx->frame) | (level && ctx <= level ? BERTH_FRAME_FAILED : 0);
        __atomic_store_n(&ctx->frame, word, __ATOMIC_RELEASE);
    }
}

const berth_ctx *berth_frames_base(const berth_ctx *ctx)
{
    return berth_thread_base(berth_thread_of(ctx));
}

const char *berth_frame_name(const berth_ctx *at, char *buffer, size_t size)
{
    uintptr_t word = __atomic_load_n(&at->frame, __ATOMIC_ACQUIRE);
    const struct berth_threads *set = berth_thread_of(at)->set;
    return word && set->describe ? set->describe(set->user, BERTH_FRAME_WORD(word), buffer, size)
                                 : NULL;
}

size_t berth_frames_print(const berth_ctx *from, const berth_ctx *to, char *buffer, size_t size)
{
    size_t used = 0;
    unsigned names = 0;
    buffer[0] = '\0';
    for (const berth_ctx *at = from; at <= to && at->frame; at++) {
        char name[BERTH_FRAME_NAME];
        const char *text = berth_frame_name(at, name, sizeof name);
        if (!text)
            continue;
        int more = snprintf(buffer + used, size - used, "%s%s", names ? BERTH_ARROW : "", text);
        if (more < 0 || (size_t)more >= size - used) {
            buffer[used] = '\0';
            break;
        }
        used += (size_t)more;
        names++;
    }
    return names;
}

size_t berth_chain_print(const berth_ctx *ctx, char *buffer, size_t size)
{
    const berth_ctx *from = berth_thread_of(ctx)->chain_from;
    return berth_frames_print(from ? from : berth_frames_base(ctx), ctx, buffer, size);
}

static void fault_put(struct berth_thread *thread, struct berth_fault *fault, berth_ctx *ctx,
                      int code)
{
    fault->code = berth_code_of_failure(code);
    fault->level = ctx;
    fault->next = thread->faults;
    thread->faults = fault;
    faults_mark(thread, ctx);
}

void berth_fault_raise_static(berth_ctx *ctx, int code, const char *text)
{
    struct berth_thread *thread = berth_thread_of(ctx);
    faults_settle(thread);
    for (struct berth_fault *fault = thread->faults; fault; fault = fault->next)
        if (fault == &thread->spare) { /* there is one already: it says enough */
            fault->level = ctx;
            faults_mark(thread, ctx);
            return;
        }
    thread->spare.text = text;
    fault_put(thread, &thread->spare, ctx, code);
}

/* joint: what stands between the chain of calls and the text. */
static void fault_add(berth_ctx *ctx, int code, const char *text, const char *joint)
{
    struct berth_thread *thread = berth_thread_of(ctx);
    char chain[512];
    const char *cause = NULL;
    faults_settle(thread);
    for (struct berth_fault *fault = thread->faults; fault && !cause; fault = fault->next)
        if (fault->level >= ctx)
            cause = fault->text;
    size_t names = berth_chain_print(ctx, chain, sizeof chain);
    size_t size = strlen(text) + (names ? strlen(chain) + strlen(joint) : 0) +
                  (cause ? strlen(cause) + 16 : 0) + 1;
    if (size > 4096)
        size = 4096;
    struct berth_fault *fault = berth_malloc(sizeof *fault + size);
    if (!fault) {
        faults_drop(thread, ctx);
        berth_fault_raise_static(ctx, code ? code : BERTH_RESOURCE_EXHAUSTED, "out of memory");
        return;
    }
    char *words = (char *)(fault + 1);
    snprintf(words, size, "%s%s%s%s%s%s", names ? chain : "", names ? joint : "", text,
             cause ? " (because: " : "", cause ? cause : "", cause ? ")" : "");
    words[berth_utf8_cut(words, strlen(words))] = '\0';
    berth_utf8_repair(words, strlen(words)); /* a module may have written anything */
    fault->text = words;
    faults_drop(thread, ctx);
    fault_put(thread, fault, ctx, code);
}

void berth_fault_raise_va(berth_ctx *ctx, int code, const char *format, va_list arguments)
{
    char text[2048];
    vsnprintf(text, sizeof text, format, arguments);
    text[berth_utf8_cut(text, strlen(text))] = '\0';
    fault_add(ctx, code, text, ": ");
}

void berth_fault_pass_on(berth_ctx *ctx, int code, const char *text)
{
    fault_add(ctx, code, text, BERTH_ARROW);
}

void berth_fault_raise_format(berth_ctx *ctx, int code, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    berth_fault_raise_va(ctx, code, format, arguments);
    va_end(arguments);
}

void berth_fault_clear(berth_ctx *ctx)
{
    struct berth_thread *thread = berth_thread_of(ctx);
    faults_settle(thread);
    faults_drop(thread, ctx);
    faults_mark(thread, ctx);
}

int berth_fault_get(berth_ctx *ctx, const char **ret_text)
{
    struct berth_thread *thread = berth_thread_of(ctx);
    faults_settle(thread);
    for (struct berth_fault *fault = thread->faults; fault; fault = fault->next)
        if (fault->level >= ctx) {
            if (ret_text)
                *ret_text = fault->text;
            return fault->code;
        }
    if (ret_text)
        *ret_text = "";
    return BERTH_OK;
}

int berth_fault_take(berth_ctx *ctx, struct berth_error *error)
{
    const char *text;
    int code = berth_fault_get(ctx, &text);
    if (code != BERTH_OK)
        berth_error_set(error, code, "%s", text);
    berth_fault_clear(ctx);
    return code;
}
