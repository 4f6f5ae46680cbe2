/* SPDX-License-Identifier: MIT */
#include "runtime/image/risk.h"

#include "runtime/base/text.h"

#define ENDS                                                                          \
    BERTH_FINDING_WARNING, "it ends the whole application, all its modules included", \
        "let the call fail with berth_fail, or have the module run in a process"
#define FORKS                                                                                    \
    BERTH_FINDING_WARNING,                                                                       \
        "the child has but one thread of the application's, and locks that nobody will release", \
        "use posix_spawn"
#define EXECUTES                                                                 \
    BERTH_FINDING_WARNING, "it puts another program in the application's place", \
        "start a program with posix_spawn, or have the module run in a process"
#define HANDLES                                                                                   \
    BERTH_FINDING_WARNING,                                                                        \
        "a handler belongs to the whole application, and crashes it once the module is unloaded", \
        "have BERTH_STOP set back what was before; berth_watch a signalfd"
#define OPENS                                                                             \
    BERTH_FINDING_WARNING,                                                                \
        "what it opens stays until it is closed, and may keep the module's image mapped", \
        "link with the library; or close it in BERTH_STOP"
#define SETS_LOCALE                                                                         \
    BERTH_FINDING_WARNING, "the whole application writes and reads numbers otherwise then", \
        "use newlocale, and uselocale around what needs it"
#define MOVES                                                                              \
    BERTH_FINDING_WARNING,                                                                 \
        "the working directory is the whole application's, and so are all relative names", \
        "use absolute names, or openat and its like"
#define SETS_MASK                                                                  \
    BERTH_FINDING_WARNING, "files of the whole application get other rights then", \
        "give the rights to open, or set them with fchmod"
#define SETS_ENVIRONMENT                                                                        \
    BERTH_FINDING_WARNING,                                                                      \
        "the environment is the whole application's, and threads that read it meanwhile crash", \
        "take an option of the module; give a program its environment with posix_spawn"
#define KEEPS_KEY                                                                              \
    BERTH_FINDING_WARNING,                                                                     \
        "its destructor runs at a thread's end: once the module is unloaded, that is a crash", \
        "delete the key in BERTH_STOP; or use a variable that is _Thread_local"
#define STAYS_FOR_THREADS                                                                        \
    BERTH_FINDING_WARNING,                                                                       \
        "thread-local data with a destructor keep the image mapped until each thread has ended", \
        "use data without a destructor"
#define CHANGES_USER                                                  \
    BERTH_FINDING_WARNING, "it changes who the whole application is", \
        "have the module run in a process"
#define ALARMS                                                                                  \
    BERTH_FINDING_WARNING, "its signal comes to the whole application, and ends it by default", \
        "use berth_timer, or a timerfd"
#define REAPS                                                                          \
    BERTH_FINDING_WARNING, "it takes the ends of the application's own children away", \
        "wait for one process, by waitpid with its number or by a pidfd"
#define KEEPS_TIMER                                                                  \
    BERTH_FINDING_NOTE, "its timers must have been deleted when BERTH_STOP returns", \
        "use berth_timer, which the host ends"
#define STARTS_THREADS                                                                 \
    BERTH_FINDING_NOTE, "a thread of its own must have ended when BERTH_STOP returns", \
        "use berth_thread, which the host ends and joins"

static const struct berth_risk risks[] = {
    { "on_exit", BERTH_FINDING_ERROR,
      "its function runs when the process ends, and crashes it if the module is unloaded by then",
      "use atexit, whose functions run when the module is unloaded; or BERTH_STOP" },
    { "exit", ENDS },
    { "_exit", ENDS },
    { "_Exit", ENDS },
    { "quick_exit", ENDS },
    { "abort", ENDS },
    { "fork", FORKS },
    { "vfork", FORKS },
    { "_Fork", FORKS },
    { "daemon", FORKS },
    { "forkpty", FORKS },
    { "execl", EXECUTES },
    { "execle", EXECUTES },
    { "execlp", EXECUTES },
    { "execv", EXECUTES },
    { "execve", EXECUTES },
    { "execveat", EXECUTES },
    { "execvp", EXECUTES },
    { "execvpe", EXECUTES },
    { "fexecve", EXECUTES },
    { "signal", HANDLES },
    { "bsd_signal", HANDLES },
    { "sysv_signal", HANDLES },
    { "__sysv_signal", HANDLES },
    { "sigaction", HANDLES },
    { "sigset", HANDLES },
    { "sigignore", HANDLES },
    { "siginterrupt", HANDLES },
    { "dlopen", OPENS },
    { "dlmopen", OPENS },
    { "setlocale", SETS_LOCALE },
    { "chdir", MOVES },
    { "fchdir", MOVES },
    { "chroot", MOVES },
    { "umask", SETS_MASK },
    { "setenv", SETS_ENVIRONMENT },
    { "putenv", SETS_ENVIRONMENT },
    { "unsetenv", SETS_ENVIRONMENT },
    { "clearenv", SETS_ENVIRONMENT },
    { "pthread_key_create", KEEPS_KEY },
    { "tss_create", KEEPS_KEY },
    { "__cxa_thread_atexit", STAYS_FOR_THREADS },
    { "__cxa_thread_atexit_impl", STAYS_FOR_THREADS },
    { "setuid", CHANGES_USER },
    { "setgid", CHANGES_USER },
    { "seteuid", CHANGES_USER },
    { "setegid", CHANGES_USER },
    { "setreuid", CHANGES_USER },
    { "setregid", CHANGES_USER },
    { "setresuid", CHANGES_USER },
    { "setresgid", CHANGES_USER },
    { "setgroups", CHANGES_USER },
    { "initgroups", CHANGES_USER },
    { "alarm", ALARMS },
    { "ualarm", ALARMS },
    { "setitimer", ALARMS },
    { "wait", REAPS },
    { "wait3", REAPS },
    { "timer_create", KEEPS_TIMER },
    { "pthread_create", STARTS_THREADS },
    { "thrd_create", STARTS_THREADS },
};

const struct berth_risk *berth_risk_find(const char *name)
{
    for (size_t i = 0; i < sizeof(risks) / sizeof(risks[0]); i++)
        if (berth_text_equal(risks[i].name, name))
            return &risks[i];
    return NULL;
}
