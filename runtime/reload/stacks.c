/* SPDX-License-Identifier: MIT */
#include "runtime/reload/stacks.h"

#include "runtime/base/error.h"
#include "runtime/loop/loop.h"
#include "runtime/reload/peek.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/syscall.h>
#include <time.h>
#include <ucontext.h>
#include <unistd.h>

#define RED_ZONE    128                    /* below the stack pointer, and in use */
#define STACK_MAX   ((uintptr_t)256 << 20) /* more is no stack, or none that is looked at */
#define RECORD_SIZE 1024 /* behind the list of robust locks, of the record of a thread */
#define TRIES       8
#define PAUSE_NS    50000L    /* and twice as long each time: 13 ms in all */
#define TURNS       3         /* the last tries, which count only if it has run before them */
#define PATIENCE_NS 250000000 /* but only so long: a busy machine has it wait for a processor */
#define ANSWER_NS   20000000  /* it may have to wait for its turn */

/* ---- Words in memory ---- */

static bool is_in(const struct berth_stack_range *range, uintptr_t word)
{
    return word >= range->low && word < range->high;
}

/* It runs in a signal handler, too. */
static enum berth_stack scan(uintptr_t from, uintptr_t to, const struct berth_stack_range *range)
{
    uintptr_t words[512];

    from &= ~(uintptr_t)(sizeof(*words) - 1);
    while (from < to) {
        size_t size = to - from < sizeof(words) ? to - from : sizeof(words);
        const struct iovec there = { (void *)from, size };
        if (berth_peek(&there, 1, words, size) != (ssize_t)size)
            return BERTH_STACK_UNSEEN;
        for (size_t i = 0; i < size / sizeof(*words); i++)
            if (is_in(range, words[i]))
                return BERTH_STACK_INSIDE;
        from += size;
    }
    return BERTH_STACK_CLEAR;
}

/*
 * The end of a thread's own stack. The C library keeps its record of a thread there, and has told
 * the kernel where in it the list of robust locks begins; the function that the thread runs is
 * behind that. The main thread's stack ends in what the kernel has put there. 0: not known.
 */
static uintptr_t stack_end(pid_t thread)
{
    uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE), head = 0;
    size_t size;

    if (thread == getpid())
        return getauxval(AT_EXECFN) & ~(page - 1);
    if (syscall(SYS_get_robust_list, thread, &head, &size) < 0 || head == 0)
        return 0;
    return (head + RECORD_SIZE + page - 1) & ~(page - 1);
}

/* From a thread's stack pointer on. A hole: the pointer is not in its own stack. */
static enum berth_stack scan_stack(uintptr_t pointer, uintptr_t end,
                                   const struct berth_stack_range *range, const char **ret_why)
{
    *ret_why = "has a stack whose end is not known";
    if (end == 0)
        return BERTH_STACK_UNSEEN;
    *ret_why = "runs on another stack than its own";
    if (pointer > end || end - pointer > STACK_MAX)
        return BERTH_STACK_UNSEEN;
    return scan(pointer - RED_ZONE, end, range);
}

/* ---- Asking a thread ---- */

enum { ANSWER_PENDING, ANSWER_CLEAR, ANSWER_INSIDE, ANSWER_UNSEEN, ANSWER_BITS = 2 };

static struct {
    pthread_mutex_t lock; /* one is asked at a time */
    int signal;           /* 0: none is granted; atomic */
    /* what is asked, and read by who answers before it looks at the word again */
    struct berth_stack_range range;
    uintptr_t end;
    uint32_t word; /* number of the question and answer; atomic, a futex */
} asked = { .lock = PTHREAD_MUTEX_INITIALIZER };

static bool registers_lead(const ucontext_t *context, const struct berth_stack_range *range)
{
    bool inside = false;
#if defined __x86_64__
    for (size_t i = 0; i < NGREG; i++)
        inside |= is_in(range, (uintptr_t)context->uc_mcontext.gregs[i]);
#else
    for (size_t i = 0; i < 31; i++)
        inside |= is_in(range, context->uc_mcontext.regs[i]);
    inside |= is_in(range, context->uc_mcontext.pc);
#endif
    return inside;
}

static uintptr_t pointer_of(const ucontext_t *context)
{
#if defined __x86_64__
    return (uintptr_t)context->uc_mcontext.gregs[REG_RSP];
#else
    return context->uc_mcontext.sp;
#endif
}

/* A question that is not asked any more, or any other sender's signal, is not answered. */
static void answer(int number, siginfo_t *info, void *context)
{
    uint32_t pending = (uint32_t)info->si_value.sival_int;
    int saved = errno;
    const char *why;

    (void)number;
    const struct berth_stack_range range = asked.range;
    uintptr_t end = asked.end;
    __atomic_thread_fence(__ATOMIC_ACQUIRE);
    if (info->si_code == SI_QUEUE && info->si_pid == getpid() &&
        __atomic_load_n(&asked.word, __ATOMIC_RELAXED) == pending) {
        enum berth_stack found = registers_lead(context, &range)
                                     ? BERTH_STACK_INSIDE
                                     : scan_stack(pointer_of(context), end, &range, &why);
        uint32_t answered = pending + (found == BERTH_STACK_CLEAR    ? ANSWER_CLEAR
                                       : found == BERTH_STACK_INSIDE ? ANSWER_INSIDE
                                                                     : ANSWER_UNSEEN);
        if (__atomic_compare_exchange_n(&asked.word, &pending, answered, false, __ATOMIC_ACQ_REL,
                                        __ATOMIC_RELAXED))
            syscall(SYS_futex, &asked.word, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
    }
    errno = saved;
}

static bool send_question(pid_t thread, uint32_t pending)
{
    siginfo_t info;

    memset(&info, 0, sizeof(info));
    info.si_code = SI_QUEUE;
    info.si_pid = getpid();
    info.si_uid = getuid();
    info.si_value.sival_int = (int)pending;
    return syscall(SYS_rt_tgsigqueueinfo, getpid(), thread,
                   __atomic_load_n(&asked.signal, __ATOMIC_RELAXED), &info) == 0;
}

/* UNSEEN, also when it does not answer: it may block the signal, or have no time. */
static enum berth_stack ask(pid_t thread, const struct berth_stack_range *range)
{
    const struct timespec patience = { 0, ANSWER_NS };

    pthread_mutex_lock(&asked.lock);
    uint32_t pending = (__atomic_load_n(&asked.word, __ATOMIC_RELAXED) | ANSWER_UNSEEN) + 1;
    __atomic_store_n(&asked.word, pending, __ATOMIC_RELAXED);
    __atomic_thread_fence(__ATOMIC_RELEASE); /* an answer to the last question is void by now */
    asked.range = *range;
    asked.end = stack_end(thread);
    __atomic_thread_fence(__ATOMIC_RELEASE);
    uint32_t word = pending;
    if (send_question(thread, pending))
        while ((word = __atomic_load_n(&asked.word, __ATOMIC_ACQUIRE)) == pending &&
               syscall(SYS_futex, &asked.word, FUTEX_WAIT_PRIVATE, pending, &patience, NULL, 0) ==
                   0)
            ;
    /* whoever still looks finds another number there */
    __atomic_compare_exchange_n(&asked.word, &pending, pending + ANSWER_UNSEEN, false,
                                __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE);
    word = __atomic_load_n(&asked.word, __ATOMIC_ACQUIRE) & ANSWER_UNSEEN;
    pthread_mutex_unlock(&asked.lock);
    return word == ANSWER_CLEAR    ? BERTH_STACK_CLEAR
           : word == ANSWER_INSIDE ? BERTH_STACK_INSIDE
                                   : BERTH_STACK_UNSEEN;
}

int berth_stacks_take_signal(int number, struct berth_error *error)
{
    struct sigaction old,
        action = { .sa_sigaction = answer, .sa_flags = SA_SIGINFO | SA_RESTART | SA_ONSTACK };
    int code = BERTH_OK;

    if (number < SIGRTMIN || number > SIGRTMAX)
        return berth_error_set(error, BERTH_INVALID_ARGUMENT,
                               "scan_signal is %d: a real-time signal is from %d to %d", number,
                               SIGRTMIN, SIGRTMAX);
    sigfillset(&action.sa_mask);
    pthread_mutex_lock(&asked.lock);
    if (asked.signal && asked.signal != number)
        code = berth_error_set(error, BERTH_FAILED_PRECONDITION,
                               "scan_signal is %d, but this process has granted %d before", number,
                               asked.signal);
    else if (!asked.signal && (sigaction(number, NULL, &old) < 0 || old.sa_handler != SIG_DFL))
        code = berth_error_set(error, BERTH_FAILED_PRECONDITION,
                               "scan_signal is %d, which has a handler already: grant one that "
                               "nobody uses",
                               number);
    else if (!asked.signal && sigaction(number, &action, NULL) < 0)
        code = berth_error_errno(error, errno, "scan_signal cannot be installed");
    if (code == BERTH_OK)
        __atomic_store_n(&asked.signal, number, __ATOMIC_RELAXED);
    pthread_mutex_unlock(&asked.lock);
    return code;
}

/* ---- Looking at a thread ---- */

enum look { LOOK_CLEAR, LOOK_INSIDE, LOOK_UNSEEN, LOOK_AWAKE };

static int open_file(int tasks, pid_t thread, const char *name)
{
    char path[48];

    snprintf(path, sizeof(path), "%d/%s", (int)thread, name);
    return openat(tasks, path, O_RDONLY | O_CLOEXEC);
}

/* What a small file says now; false: it cannot be read, or the thread has ended. */
static bool read_file(int file, char text[256])
{
    ssize_t got = file < 0 ? -1 : pread(file, text, 255, 0);

    text[got > 0 ? got : 0] = '\0';
    return got > 0;
}

/*
 * A thread that has left user mode for good (PF_EXITING) is listed for a while: one that has been
 * joined, for example.
 */
static bool is_ending(int tasks, pid_t thread)
{
    char text[256];
    int file = open_file(tasks, thread, "stat");
    bool lives = read_file(file, text);
    const char *at = strrchr(text, ')'); /* behind the name: state and 5 numbers, then the flags */

    for (unsigned i = 0; at && i < 7; i++)
        at = strchr(at + 1, ' ');
    if (file >= 0)
        close(file);
    return !lives || (at && strtoul(at, NULL, 10) & 4);
}

/* "number argument*6 sp pc", or "-1 sp pc" when it sleeps outside of a call (a page is fetched). */
static enum look look_at_text(const char *text, pid_t thread, const struct berth_stack_range *range,
                              const char **ret_why)
{
    uintptr_t words[9];
    size_t count = 0;
    char *end;

    if (strncmp(text, "running", 7) == 0)
        return LOOK_AWAKE;
    for (const char *at = text; count < 9; at = end) {
        words[count] = strtoul(at, &end, 0);
        if (end == at)
            break;
        count++;
    }
    if (count != 9 && count != 3)
        return LOOK_AWAKE;
    if (words[count - 2] == 0) /* it has no stack any more */
        return LOOK_CLEAR;
    for (size_t i = 1; i < count; i++) /* what it waits for may lie in the image */
        if (is_in(range, words[i]))
            return LOOK_INSIDE;
    switch (scan_stack(words[count - 2], stack_end(thread), range, ret_why)) {
    case BERTH_STACK_CLEAR:
        return LOOK_CLEAR;
    case BERTH_STACK_INSIDE:
        return LOOK_INSIDE;
    default:
        return LOOK_UNSEEN;
    }
}

/* It has not run meanwhile, says how often it was given a processor: then what was seen is so. */
static enum look look_once(int tasks, pid_t thread, const struct berth_stack_range *range,
                           const char **ret_why)
{
    char before[256], after[256], text[256];
    enum look look = LOOK_UNSEEN;
    int turns = open_file(tasks, thread, "schedstat");
    bool lives = read_file(turns, before);
    int call = lives ? open_file(tasks, thread, "syscall") : -1;

    *ret_why = errno == EACCES || errno == EPERM
                   ? "cannot be looked at: this process is not dumpable"
                   : "cannot be looked at";
    if (!lives) {
        look = errno == ENOENT || errno == ESRCH ? LOOK_CLEAR : LOOK_UNSEEN;
    } else if (read_file(call, text)) {
        look = look_at_text(text, thread, range, ret_why);
        if (!read_file(turns, after) || strcmp(before, after) != 0)
            look = LOOK_AWAKE;
    } else if (errno == ENOENT || errno == ESRCH) {
        look = LOOK_CLEAR;
    }
    if (call >= 0)
        close(call);
    if (turns >= 0)
        close(turns);
    return look;
}

/*
 * It may be about to sleep, or to end. false: it has not run, as far as the kernel has counted. One
 * that has just been started, or has been woken, cannot get anywhere before a processor is free.
 */
static bool let_run(int tasks, pid_t thread, long pause)
{
    char before[256], after[256];
    int turns = open_file(tasks, thread, "schedstat");
    bool lives = read_file(turns, before);

    nanosleep(&(struct timespec){ 0, pause }, NULL);
    bool ran = !lives || !read_file(turns, after) || strcmp(before, after) != 0;
    if (turns >= 0)
        close(turns);
    return ran;
}

enum berth_stack berth_stack_look(int tasks, pid_t thread, const struct berth_stack_range *range,
                                  const char **ret_why)
{
    int64_t end = berth_now() + PATIENCE_NS;
    enum look look;

    for (unsigned tries = 0;;) {
        look = look_once(tasks, thread, range, ret_why);
        if (look == LOOK_AWAKE && is_ending(tasks, thread))
            return BERTH_STACK_CLEAR;
        if (look != LOOK_AWAKE || tries == TRIES)
            break;
        if (tries == 0 && __atomic_load_n(&asked.signal, __ATOMIC_RELAXED)) {
            enum berth_stack answered = ask(thread, range);
            if (answered != BERTH_STACK_UNSEEN)
                return answered;
        }
        bool ran = let_run(tasks, thread, PAUSE_NS << tries);
        if (ran || tries < TRIES - TURNS || berth_now() >= end)
            tries++;
    }
    if (look == LOOK_AWAKE)
        *ret_why = __atomic_load_n(&asked.signal, __ATOMIC_RELAXED)
                       ? "runs, and does not answer"
                       : "runs, and the application has granted no signal (scan_signal) to ask it";
    return look == LOOK_CLEAR    ? BERTH_STACK_CLEAR
           : look == LOOK_INSIDE ? BERTH_STACK_INSIDE
                                 : BERTH_STACK_UNSEEN;
}
