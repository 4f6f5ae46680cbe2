/* SPDX-License-Identifier: MIT */
/* Workers are made and their ends told, and the application sees nothing of it. */
#include "tests/support/suite.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/pidfd.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "runtime/carrier/zygote.h"

#define MS      INT64_C(1000000)
#define PATIENT berth_test_patience()

/* A worker, and how it was said to have ended. */
struct made {
    struct berth_worker *worker;
    int socket;
    int told;
    char how[256];
    bool free_at_end;
    bool hold_end;             /* atomic; its owner is busy with it as long as this is true */
    bool waited, wait_is_over; /* atomic */
};

static struct berth_loop *loop;
static struct berth_zygote *zygote;
static int image; /* a descriptor like an image's */

static void ended(void *owner, const char *how)
{
    struct made *made = owner;

    strncpy(made->how, how, sizeof(made->how) - 1);
    __atomic_add_fetch(&made->told, 1, __ATOMIC_RELEASE);
    while (__atomic_load_n(&made->hold_end, __ATOMIC_ACQUIRE))
        berth_test_pause(1);
    if (made->free_at_end)
        berth_worker_free(made->worker);
}

static void set_up_program(const char *program)
{
    if (berth_test_valgrind())
        berth_skip("valgrind knows no clone with a pidfd");
    image = memfd_create("image", MFD_CLOEXEC);
    REQUIRE(image >= 0);
    REQUIRE(berth_loop_new(&loop, NULL) == BERTH_OK);
    REQUIRE(berth_zygote_new(loop, program, &zygote, NULL) == BERTH_OK);
}

static void set_up(void)
{
    set_up_program(berth_test_built("tests/carrier/fake_worker"));
}

static void tear_down(void)
{
    berth_zygote_free(zygote);
    berth_loop_free(loop);
    close(image);
}

static int try_make(struct made *made, const char *name, struct berth_error *error)
{
    struct berth_worker_end end = { ended, made };
    int ends[2];

    memset(made, 0, sizeof(*made));
    REQUIRE(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) == 0);
    made->socket = ends[0];
    int code = berth_zygote_spawn(zygote, name, ends[1], image, berth_now() + PATIENT, &end,
                                  &made->worker, error);
    close(ends[1]);
    if (code != BERTH_OK)
        close(ends[0]);
    return code;
}

static void make(struct made *made, const char *name)
{
    struct berth_error error = { 0 };

    CHECK_CODE(try_make(made, name, &error), BERTH_OK, &error);
    REQUIRE(error.code == BERTH_OK);
    CHECK(berth_worker_pid(made->worker) > 0);
}

static void drop(struct made *made)
{
    berth_worker_free(made->worker);
    close(made->socket);
}

/* Nobody runs the loop: the one that waits reads. */
static void check_end(struct made *made, const char *how)
{
    CHECK(berth_worker_wait(made->worker, berth_now() + PATIENT));
    CHECK_INT(made->told, 1);
    CHECK_STR(made->how, how);
}

static bool alive(pid_t pid)
{
    return kill(pid, 0) == 0;
}

static bool gone(pid_t pid)
{
    int64_t until = berth_now() + PATIENT;

    while (alive(pid) && berth_now() < until)
        berth_test_pause(1);
    return !alive(pid);
}

/* Has it ended before anybody looks. */
static void kill_unnoticed(pid_t pid)
{
    struct pollfd end = { pidfd_open(pid, 0), POLLIN, 0 };

    REQUIRE(end.fd >= 0);
    kill(pid, SIGKILL);
    CHECK_INT(poll(&end, 1, (int)(PATIENT / MS)), 1);
    close(end.fd);
}

static void run_until_told(struct made *made)
{
    int64_t until = berth_now() + PATIENT;

    while (!__atomic_load_n(&made->told, __ATOMIC_ACQUIRE) && berth_now() < until)
        berth_loop_run(loop, 10 * MS);
    CHECK_INT(__atomic_load_n(&made->told, __ATOMIC_ACQUIRE), 1);
}

/* ---- */

static void ends_are_told_in_words(void)
{
    static const struct {
        const char *name, *how;
    } ends[] = {
        { "now_exit", "exited with status 3" },
        { "now_segv", "was killed by signal 11 (Segmentation fault)" },
        { "now_abort", "was killed by signal 6 (Aborted)" },
        { "state", "exited with status 0" },
    };
    struct made made;

    set_up();
    for (size_t i = 0; i < sizeof(ends) / sizeof(ends[0]); i++) {
        make(&made, ends[i].name);
        check_end(&made, ends[i].how);
        drop(&made);
    }
    make(&made, "stays");
    CHECK(!berth_worker_wait(made.worker, berth_now() + 30 * MS));
    CHECK_INT(made.told, 0);
    berth_worker_kill(made.worker);
    check_end(&made, "was killed by signal 9 (Killed)");
    berth_worker_kill(made.worker); /* nothing */
    drop(&made);
    make(&made, "stays");
    kill(berth_worker_pid(made.worker), SIGTERM);
    check_end(&made, "was killed by signal 15 (Terminated)");
    drop(&made);
    tear_down();
}

static void the_loop_tells_as_well(void)
{
    struct made made;

    set_up();
    make(&made, "now_exit");
    run_until_told(&made);
    CHECK_STR(made.how, "exited with status 3");
    CHECK(berth_worker_wait(made.worker, berth_now()));
    CHECK_INT(made.told, 1);
    drop(&made);
    tear_down();
}

static void *run_loop(void *argument)
{
    run_until_told(argument);
    return NULL;
}

static void *wait_for_end(void *argument)
{
    struct made *made = argument;

    made->waited = berth_worker_wait(made->worker, berth_now() + 2 * PATIENT);
    __atomic_store_n(&made->wait_is_over, true, __ATOMIC_RELEASE);
    return NULL;
}

/* Who begins to wait while the owner is being told hears when that is over. */
static void an_end_that_is_being_told_is_waited_for(void)
{
    struct made made;
    pthread_t loops, waits;

    set_up();
    make(&made, "stays");
    made.hold_end = true;
    kill(berth_worker_pid(made.worker), SIGKILL);
    REQUIRE(pthread_create(&loops, NULL, run_loop, &made) == 0);
    EVENTUALLY(__atomic_load_n(&made.told, __ATOMIC_ACQUIRE) == 1);
    REQUIRE(pthread_create(&waits, NULL, wait_for_end, &made) == 0);
    berth_test_pause(30); /* so that it has begun, mostly */
    __atomic_store_n(&made.hold_end, false, __ATOMIC_RELEASE);
    EVENTUALLY(__atomic_load_n(&made.wait_is_over, __ATOMIC_ACQUIRE));
    pthread_join(waits, NULL);
    pthread_join(loops, NULL);
    CHECK(made.waited);
    drop(&made);
    tear_down();
}

static void a_worker_may_be_freed_by_its_end(void)
{
    struct made made;

    set_up();
    make(&made, "stays");
    made.free_at_end = true;
    kill(berth_worker_pid(made.worker), SIGKILL);
    run_until_told(&made);
    close(made.socket);
    tear_down();
}

static void a_freed_worker_is_killed_and_not_told(void)
{
    struct made made;

    set_up();
    make(&made, "stays");
    pid_t pid = berth_worker_pid(made.worker);
    drop(&made);
    CHECK(gone(pid));
    while (berth_loop_run(loop, 50 * MS))
        ;
    CHECK_INT(made.told, 0);
    tear_down();
}

static volatile sig_atomic_t children;

static void on_child(int number)
{
    (void)number;
    children++;
}

static void check_no_child(void)
{
    int status;

    errno = 0;
    CHECK_INT(waitpid(-1, &status, WNOHANG), -1);
    CHECK_INT(errno, ECHILD);
}

static void the_application_sees_no_child(void)
{
    struct sigaction action = { .sa_handler = on_child }, before;
    struct made made;

    set_up();
    children = 0;
    sigaction(SIGCHLD, &action, &before);
    make(&made, "now_exit");
    check_no_child();
    check_end(&made, "exited with status 3");
    check_no_child();
    drop(&made);
    kill_unnoticed(berth_zygote_pid(zygote));
    check_no_child();
    make(&made, "stays");
    drop(&made);
    tear_down();
    check_no_child();
    sigaction(SIGCHLD, &before, NULL);
    CHECK_INT(children, 0);
}

static void an_application_may_ignore_its_children(void)
{
    struct sigaction action = { .sa_handler = SIG_IGN }, before;
    struct made made;

    set_up();
    sigaction(SIGCHLD, &action, &before);
    make(&made, "now_exit");
    check_end(&made, "exited with status 3");
    drop(&made);
    tear_down();
    sigaction(SIGCHLD, &before, NULL);
}

static char *read_report(int socket)
{
    char *report = berth_test_alloc(16384);
    size_t size = 0;

    for (ssize_t got; size < 16000 && (got = read(socket, report + size, 16000 - size)) > 0;)
        size += (size_t)got;
    return report;
}

static void a_worker_has_nothing_of_the_application(void)
{
    struct sigaction action = { .sa_handler = SIG_IGN }, before;
    sigset_t mask, old;
    struct made made;
    int leaked[20];

    set_up();
    for (int i = 0; i < 20; i++) /* not close-on-exec: the application's carelessness */
        leaked[i] = open("/dev/zero", O_RDONLY);
    setenv("BERTH_TEST_SECRET", "xyzzy", 1);
    sigaction(SIGUSR1, &action, &before);
    sigemptyset(&mask);
    sigaddset(&mask, SIGUSR2);
    pthread_sigmask(SIG_BLOCK, &mask, &old);
    make(&made, "state");
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    sigaction(SIGUSR1, &before, NULL);
    unsetenv("BERTH_TEST_SECRET");
    for (int i = 0; i < 20; i++)
        close(leaked[i]);

    CHECK_STR(read_report(made.socket), "fd 0 /dev/null\n"
                                        "fd 1 /dev/null\n"
                                        "fd 2 stderr\n"
                                        "fd 3 socket\n"
                                        "fd 4 /memfd:image (deleted)\n"
                                        "name state\n"
                                        "blocked 0\n"
                                        "ignored 0\n"
                                        "new privileges no\n"
                                        "session the zygote's\n"
                                        "environment PATH=/usr/local/bin:/usr/bin:/bin\n"
                                        "environment LANG=C\n");
    drop(&made);
    tear_down();
}

static void a_zygote_that_dies_is_replaced(void)
{
    struct made made[3], another;
    char how[256];

    set_up();
    for (int i = 0; i < 3; i++)
        make(&made[i], "stays");
    pid_t first = berth_zygote_pid(zygote), worker = berth_worker_pid(made[0].worker);
    kill(first, SIGKILL);
    snprintf(how, sizeof(how), "ended with process %d, which had made it", (int)first);
    for (int i = 0; i < 3; i++)
        check_end(&made[i], how);
    CHECK(gone(worker));
    CHECK_INT(berth_zygote_pid(zygote), 0);
    make(&another, "now_exit");
    CHECK(berth_zygote_pid(zygote) != first);
    check_end(&another, "exited with status 3");
    drop(&another);

    /* Nobody has noticed yet. */
    make(&another, "stays");
    kill_unnoticed(berth_zygote_pid(zygote));
    struct made next;
    make(&next, "now_exit");
    check_end(&next, "exited with status 3");
    CHECK_INT(another.told, 1);
    drop(&next);
    drop(&another);
    for (int i = 0; i < 3; i++)
        drop(&made[i]);
    tear_down();
}

static void a_zygote_that_stands_still_is_not_waited_for(void)
{
    struct berth_worker_end end = { ended, NULL };
    struct berth_worker *worker;
    struct berth_error error;
    struct made made;
    int ends[2];

    set_up();
    make(&made, "stays");
    kill(berth_zygote_pid(zygote), SIGSTOP);
    REQUIRE(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) == 0);
    CHECK_CODE(berth_zygote_spawn(zygote, "stays", ends[1], image, berth_now() + 50 * MS, &end,
                                  &worker, &error),
               BERTH_DEADLINE_EXCEEDED, &error);
    CHECK_CONTAINS(error.text, "did not answer in time");
    kill(berth_zygote_pid(zygote), SIGCONT);
    close(ends[1]);
    /* The worker that was asked for is made now, and ended: nobody wants it. */
    struct pollfd hung_up = { ends[0], POLLIN, 0 };
    int64_t until = berth_now() + PATIENT;
    while (poll(&hung_up, 1, 0) == 0 && berth_now() < until)
        berth_loop_run(loop, 10 * MS);
    CHECK_INT(poll(&hung_up, 1, 0), 1);
    close(ends[0]);
    kill(berth_zygote_pid(zygote), SIGSTOP);
    drop(&made);
    tear_down(); /* does not wait for it either */
}

static void a_program_that_is_none_is_named(void)
{
    const char *text = berth_test_format("%s/text", berth_test_dir());
    const struct {
        const char *program;
        int code;
        const char *part;
    } programs[] = {
        { "/nowhere/berth-worker", BERTH_NOT_FOUND, "/nowhere/berth-worker" },
        { text, BERTH_PERMISSION_DENIED, text },
        { "/bin/true", BERTH_UNAVAILABLE, "/bin/true ended" },
    };
    struct berth_error error;
    struct made made;

    berth_test_write(text, "not a program", 13);
    for (size_t i = 0; i < sizeof(programs) / sizeof(programs[0]); i++) {
        set_up_program(programs[i].program);
        size_t before = berth_test_descriptors();
        CHECK_CODE(try_make(&made, "any", &error), programs[i].code, &error);
        CHECK_CONTAINS(error.text, programs[i].part);
        CHECK_INT(berth_test_descriptors(), before);
        check_no_child();
        tear_down();
    }
}

/* The first worker for which there is a socket, but no descriptor that tells of its end. */
static void without_descriptors_there_is_no_worker(void)
{
    struct rlimit before, few;
    struct berth_error error = { 0 };
    struct made made, other;
    int taken[64], count = 0;

    set_up();
    make(&made, "stays");
    REQUIRE(getrlimit(RLIMIT_NOFILE, &before) == 0);
    few = (struct rlimit){ 64, before.rlim_max };
    REQUIRE(setrlimit(RLIMIT_NOFILE, &few) == 0);
    while (count < 64 && (taken[count] = fcntl(image, F_DUPFD_CLOEXEC, 0)) >= 0)
        count++;
    REQUIRE(count > 3);
    close(taken[--count]);
    close(taken[--count]);
    CHECK_CODE(try_make(&other, "open_stay", &error), BERTH_RESOURCE_EXHAUSTED, &error);
    CHECK_CONTAINS(error.text, "Too many open files");
    close(taken[--count]);
    make(&other, "now_exit");
    check_end(&other, "exited with status 3");
    drop(&other);
    while (count > 0)
        close(taken[--count]);
    setrlimit(RLIMIT_NOFILE, &before);
    drop(&made);
    tear_down();
}

static void nothing_leaks(void)
{
    int rounds = berth_test_instrumented() ? 100 : 1000;
    struct made made;

    set_up();
    make(&made, "now_exit");
    check_end(&made, "exited with status 3");
    drop(&made);
    size_t before = berth_test_descriptors();
    for (int i = 0; i < rounds; i++) {
        make(&made, i % 2 ? "now_exit" : "stays");
        if (i % 4 == 0)
            kill(berth_worker_pid(made.worker), SIGKILL);
        if (i % 4 != 2)
            CHECK(berth_worker_wait(made.worker, berth_now() + PATIENT));
        if (i % 50 == 49)
            kill(berth_zygote_pid(zygote), SIGKILL);
        drop(&made);
    }
    int64_t until = berth_now() + PATIENT;
    while (berth_test_descriptors() > before && berth_now() < until)
        berth_loop_run(loop, 10 * MS);
    CHECK(berth_test_descriptors() <= before);
    tear_down();
    CHECK(berth_test_descriptors() <= before);
}

static void *crowd_main(void *argument)
{
    (void)argument;
    for (int i = 0; i < 40; i++) {
        struct made made;
        make(&made, i % 3 ? "now_exit" : "stays");
        if (i % 3 == 0)
            berth_worker_kill(made.worker);
        check_end(&made, i % 3 ? "exited with status 3" : "was killed by signal 9 (Killed)");
        drop(&made);
    }
    return NULL;
}

static bool leaving;

static void *loop_main(void *argument)
{
    (void)argument;
    while (!__atomic_load_n(&leaving, __ATOMIC_ACQUIRE))
        berth_loop_run(loop, BERTH_FOREVER);
    return NULL;
}

static void many_threads(void)
{
    pthread_t threads[5];

    set_up();
    leaving = false;
    for (int i = 0; i < 5; i++)
        REQUIRE(pthread_create(&threads[i], NULL, i ? crowd_main : loop_main, NULL) == 0);
    for (int i = 1; i < 5; i++)
        pthread_join(threads[i], NULL);
    __atomic_store_n(&leaving, true, __ATOMIC_RELEASE);
    berth_loop_wake(loop);
    pthread_join(threads[0], NULL);
    tear_down();
}

/*
 * An application that is killed, perhaps leaving a child of its own that holds all of its
 * descriptors: its workers go. The child's report comes through a pipe; it goes, and so does its
 * own child, when the other end of a pipe is closed.
 */
static void workers_go_with(bool orphan, bool without_stdio)
{
    int report[2], go[2], stay[2];
    pid_t pids[2] = { 0 };
    char none;

    if (berth_test_instrumented())
        berth_skip("forks, which sanitizers do not like");
    set_up();
    REQUIRE(pipe2(report, O_CLOEXEC) == 0);
    REQUIRE(pipe2(go, O_CLOEXEC) == 0);
    REQUIRE(pipe2(stay, O_CLOEXEC) == 0);
    pid_t application = fork();
    if (application == 0) {
        struct made made;
        close(go[1]);
        close(stay[1]);
        if (without_stdio)
            close_range(0, 2, 0);
        alarm((unsigned)(PATIENT / (1000 * MS)));
        make(&made, "stays");
        pids[0] = berth_worker_pid(made.worker);
        pids[1] = berth_zygote_pid(zygote);
        if (write(report[1], pids, sizeof(pids)) != sizeof(pids))
            _exit(1);
        if (orphan && fork() == 0) {
            close(report[1]);
            _exit((int)read(stay[0], &none, 1));
        }
        if (read(go[0], &none, 1) == 0)
            raise(SIGKILL);
        _exit(1);
    }
    CHECK_INT(read(report[0], pids, sizeof(pids)), sizeof(pids));
    CHECK(pids[0] > 0 && alive(pids[0]) && alive(pids[1]));
    close(go[1]);
    waitpid(application, NULL, 0);
    CHECK(gone(pids[0]));
    CHECK(gone(pids[1]));
    close(stay[1]); /* only now may a child of it go */
    close(stay[0]);
    close(go[0]);
    close(report[0]);
    close(report[1]);
    tear_down();
}

static void workers_go_with_the_application(void)
{
    workers_go_with(false, false);
}

static void workers_go_although_a_child_of_it_stays(void)
{
    workers_go_with(true, false);
}

static void an_application_may_have_no_standard_descriptors(void)
{
    workers_go_with(false, true);
}

static const struct berth_test tests[] = {
    { "ends_are_told_in_words", ends_are_told_in_words },
    { "the_loop_tells_as_well", the_loop_tells_as_well },
    { "an_end_that_is_being_told_is_waited_for", an_end_that_is_being_told_is_waited_for },
    { "a_worker_may_be_freed_by_its_end", a_worker_may_be_freed_by_its_end },
    { "a_freed_worker_is_killed_and_not_told", a_freed_worker_is_killed_and_not_told },
    { "the_application_sees_no_child", the_application_sees_no_child },
    { "an_application_may_ignore_its_children", an_application_may_ignore_its_children },
    { "a_worker_has_nothing_of_the_application", a_worker_has_nothing_of_the_application },
    { "a_zygote_that_dies_is_replaced", a_zygote_that_dies_is_replaced },
    { "a_zygote_that_stands_still_is_not_waited_for",
      a_zygote_that_stands_still_is_not_waited_for },
    { "a_program_that_is_none_is_named", a_program_that_is_none_is_named },
    { "without_descriptors_there_is_no_worker", without_descriptors_there_is_no_worker },
    { "nothing_leaks", nothing_leaks },
    { "many_threads", many_threads },
    { "workers_go_with_the_application", workers_go_with_the_application },
    { "workers_go_although_a_child_of_it_stays", workers_go_although_a_child_of_it_stays },
    { "an_application_may_have_no_standard_descriptors",
      an_application_may_have_no_standard_descriptors },
};

int main(int argc, char **argv)
{
    return berth_suite_main("zygote", tests, sizeof(tests) / sizeof(tests[0]), argc, argv);
}
