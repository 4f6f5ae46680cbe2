/* SPDX-License-Identifier: MIT */
/* Where a thread that has never called a host is; tests/host/unload.sh has whole modules. */
#include "runtime/reload/stacks.h"

#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "tests/support/suite.h"

/* A thread that sleeps until there is a byte to read, and then sleeps again. */
struct sleeper {
    pthread_t thread;
    int pipe[2];
    size_t processor;
    pid_t number; /* atomic */
};

static bool stay_on(size_t processor)
{
    cpu_set_t set;

    CPU_ZERO(&set);
    CPU_SET(processor, &set);
    return sched_setaffinity(0, sizeof(set), &set) == 0;
}

static void *sleeper_main(void *argument)
{
    struct sleeper *sleeper = argument;
    char byte;

    CHECK(stay_on(sleeper->processor));
    __atomic_store_n(&sleeper->number, (pid_t)syscall(SYS_gettid), __ATOMIC_RELEASE);
    while (read(sleeper->pipe[0], &byte, 1) > 0)
        ;
    return NULL;
}

static void sleeper_begin(struct sleeper *sleeper, size_t processor)
{
    *sleeper = (struct sleeper){ .processor = processor };
    REQUIRE(pipe2(sleeper->pipe, O_CLOEXEC) == 0);
    REQUIRE(pthread_create(&sleeper->thread, NULL, sleeper_main, sleeper) == 0);
    EVENTUALLY(__atomic_load_n(&sleeper->number, __ATOMIC_ACQUIRE) != 0);
}

static void sleeper_end(struct sleeper *sleeper)
{
    close(sleeper->pipe[1]);
    pthread_join(sleeper->thread, NULL);
    close(sleeper->pipe[0]);
}

/* Two processors that this process may use; false: it has only one. */
static bool two_processors(size_t ret_processors[2])
{
    cpu_set_t set;
    size_t count = 0;

    REQUIRE(sched_getaffinity(0, sizeof(set), &set) == 0);
    for (size_t i = 0; i < CPU_SETSIZE && count < 2; i++)
        if (CPU_ISSET(i, &set))
            ret_processors[count++] = i;
    return count == 2;
}

/* Nobody else runs on the processor for 50 ms. In a child; says 'y' when it begins. */
__attribute__((noreturn)) static void keep_busy(size_t processor, int told)
{
    const struct sched_param first = { .sched_priority = 1 };
    struct timespec began, now;

    bool may = stay_on(processor) && sched_setscheduler(0, SCHED_FIFO, &first) == 0;
    if (write(told, may ? "y" : "n", 1) != 1 || !may)
        _exit(1);
    clock_gettime(CLOCK_MONOTONIC, &began);
    do
        clock_gettime(CLOCK_MONOTONIC, &now);
    while ((now.tv_sec - began.tv_sec) * 1000000000L + now.tv_nsec - began.tv_nsec < 50000000);
    _exit(0);
}

static pid_t busy_begin(size_t processor)
{
    int told[2];
    char answer = 'n';

    REQUIRE(pipe2(told, O_CLOEXEC) == 0);
    pid_t child = fork();
    if (child == 0)
        keep_busy(processor, told[1]);
    REQUIRE(child > 0 && read(told[0], &answer, 1) == 1);
    close(told[0]);
    close(told[1]);
    if (answer == 'y')
        return child;
    waitpid(child, NULL, 0);
    return 0;
}

static enum berth_stack look_at(pid_t thread)
{
    int tasks = open("/proc/self/task", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    void *image = mmap(NULL, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    struct berth_stack_range range = { (uintptr_t)image, (uintptr_t)image + 4096 };
    const char *why = "";

    REQUIRE(tasks >= 0 && image != MAP_FAILED);
    enum berth_stack found = berth_stack_look(tasks, thread, &range, &why);
    if (found == BERTH_STACK_UNSEEN)
        berth_note("it %s", why);
    munmap(image, 4096);
    close(tasks);
    return found;
}

static void a_thread_that_waits_for_a_processor_is_waited_for(void)
{
    struct sleeper sleeper;
    size_t processors[2];
    cpu_set_t before;

    if (getenv("BERTH_TEST_NO_STACK_SCAN") && *getenv("BERTH_TEST_NO_STACK_SCAN"))
        berth_skip("this berth does not look at stacks");
    if (berth_test_valgrind())
        berth_skip("valgrind has one thread run at a time");
    if (!two_processors(processors))
        berth_skip("there is one processor only");
    REQUIRE(sched_getaffinity(0, sizeof(before), &before) == 0);
    sleeper_begin(&sleeper, processors[1]);
    CHECK(stay_on(processors[0]));
    pid_t child = busy_begin(processors[1]);
    if (child) {
        CHECK(write(sleeper.pipe[1], "x", 1) == 1);
        CHECK_INT(look_at(sleeper.number), BERTH_STACK_CLEAR);
        waitpid(child, NULL, 0);
    }
    CHECK(sched_setaffinity(0, sizeof(before), &before) == 0);
    sleeper_end(&sleeper);
    if (!child)
        berth_skip("no right to have a processor alone (SCHED_FIFO)");
}

static const struct berth_test tests[] = {
    { "a_thread_that_waits_for_a_processor_is_waited_for",
      a_thread_that_waits_for_a_processor_is_waited_for },
};

int main(int argc, char **argv)
{
    return berth_suite_main("stacks", tests, sizeof(tests) / sizeof(tests[0]), argc, argv);
}
