/* SPDX-License-Identifier: MIT */
/* What a service manager is told, and the sockets that it passes on. */
#include "runtime/shell/activation.h"
#include "runtime/shell/notify.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "tests/support/scratch.h"
#include "tests/support/suite.h"

/* ---- notify ---- */

static int manager(void)
{
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);

    snprintf(address.sun_path, sizeof(address.sun_path), "%s/notify", berth_test_dir());
    REQUIRE(!bind(fd, (const struct sockaddr *)&address, sizeof(address)));
    setenv("NOTIFY_SOCKET", address.sun_path, 1);
    return fd;
}

static const char *heard(int fd)
{
    static char text[2048];
    ssize_t size = recv(fd, text, sizeof(text) - 1, MSG_DONTWAIT);

    text[size > 0 ? size : 0] = '\0';
    return text;
}

static void states_are_told_with_a_status(void)
{
    int fd = manager();
    struct berth_notify notify;

    berth_notify_init(&notify);
    CHECK(!getenv("NOTIFY_SOCKET"));
    CHECK_INT(notify.watchdog, -1);
    berth_notify_status(&notify, "a %s of\n%d lines", "text", 2);
    CHECK_STR(heard(fd), "STATUS=a text of 2 lines");
    berth_notify_ready(&notify, "ready");
    CHECK_STR(heard(fd), "READY=1\nSTATUS=ready");
    berth_notify_stopping(&notify, "stops");
    CHECK_STR(heard(fd), "STOPPING=1\nSTATUS=stops");
    berth_notify_alive(&notify);
    CHECK_STR(heard(fd), "WATCHDOG=1");
    berth_notify_deinit(&notify);
    berth_notify_ready(&notify, "ready");
    CHECK_STR(heard(fd), "");
    close(fd);
}

static void a_reload_is_told_with_its_time(void)
{
    int fd = manager();
    struct berth_notify notify;
    struct timespec before, after;
    long long when = 0;

    berth_notify_init(&notify);
    clock_gettime(CLOCK_MONOTONIC, &before);
    berth_notify_reloading(&notify, "reads it");
    clock_gettime(CLOCK_MONOTONIC, &after);
    const char *text = heard(fd);
    CHECK(sscanf(text, "RELOADING=1\nMONOTONIC_USEC=%lld\n", &when) == 1);
    CHECK_CONTAINS(text, "\nSTATUS=reads it");
    CHECK(when >= before.tv_sec * 1000000LL + before.tv_nsec / 1000);
    CHECK(when <= after.tv_sec * 1000000LL + after.tv_nsec / 1000);
    berth_notify_deinit(&notify);
    close(fd);
}

static int64_t watchdog(const char *usec, const char *pid)
{
    struct berth_notify notify;

    setenv("NOTIFY_SOCKET", "@nobody", 1);
    setenv("WATCHDOG_USEC", usec, 1);
    unsetenv("WATCHDOG_PID");
    if (pid)
        setenv("WATCHDOG_PID", pid, 1);
    berth_notify_init(&notify);
    int64_t interval = notify.watchdog;
    CHECK(!getenv("WATCHDOG_USEC") && !getenv("WATCHDOG_PID"));
    berth_notify_deinit(&notify);
    return interval;
}

static void signs_of_life_are_due_at_half_of_the_time(void)
{
    CHECK_INT(watchdog("3000000", NULL), 1500000000);
    CHECK_INT(watchdog("3000000", berth_test_format("%d", (int)getpid())), 1500000000);
    CHECK_INT(watchdog("3000000", "1"), -1);
    CHECK_INT(watchdog("3000000", "x"), -1);
    CHECK_INT(watchdog("0", NULL), -1);
    CHECK_INT(watchdog("-5", NULL), -1);
    CHECK_INT(watchdog("5s", NULL), -1);
    CHECK_INT(watchdog("99999999999999999999", NULL), -1);
}

static void what_is_no_address_is_nobody(void)
{
    static const char *const wrong[] = { "", "/", "@", "relative", "vsock:2:1" };
    struct berth_notify notify;

    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        setenv("NOTIFY_SOCKET", wrong[i], 1);
        berth_notify_init(&notify);
        CHECK_INT(notify.fd, -1);
        berth_notify_ready(&notify, "nobody hears it");
        berth_notify_deinit(&notify);
    }
}

/* ---- activation ---- */

static int stream(const char *name)
{
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);

    snprintf(address.sun_path, sizeof(address.sun_path), "%s/%s", berth_test_dir(), name);
    REQUIRE(!bind(fd, (const struct sockaddr *)&address, sizeof(address)) && !listen(fd, 1));
    return fd;
}

/* In a process of its own: a datagram socket at 3, and two that will do at 4 and 5. */
static int take(bool ours, const char *count)
{
    int files[] = { socket(AF_UNIX, SOCK_DGRAM, 0), stream("one"), stream("two") };

    for (int i = 0; i < 3; i++) /* out of the way of the places that they are to have */
        files[i] = fcntl(files[i], F_DUPFD, 100);
    for (int i = 0; i < 3; i++)
        dup2(files[i], 3 + i);
    setenv("LISTEN_PID", berth_test_format("%d", ours ? (int)getpid() : 1), 1);
    setenv("LISTEN_FDS", count, 1);
    int fd = berth_activation_fd();
    if (fd >= 0 && (fcntl(fd, F_GETFD) != FD_CLOEXEC || fcntl(3, F_GETFD) >= 0 ||
                    fcntl(5, F_GETFD) >= 0 || berth_activation_fd() != -1))
        return 99;
    return getenv("LISTEN_FDS") || getenv("LISTEN_PID") ? 98 : fd < 0 ? 97 : fd;
}

static int taken(bool ours, const char *count)
{
    int status = -1;
    pid_t child = fork();

    if (child == 0)
        _exit(take(ours, count));
    waitpid(child, &status, 0);
    unlink(berth_test_format("%s/one", berth_test_dir()));
    unlink(berth_test_format("%s/two", berth_test_dir()));
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static void a_listening_socket_is_passed_on(void)
{
    CHECK_INT(taken(true, "3"), 4);
    CHECK_INT(taken(true, "1"), 97); /* which is the datagrams' */
    CHECK_INT(taken(true, "x"), 97);
    CHECK_INT(taken(true, "99999"), 97);
    CHECK_INT(taken(false, "3"), 97);
}

static const struct berth_test tests[] = {
    { "states_are_told_with_a_status", states_are_told_with_a_status },
    { "a_reload_is_told_with_its_time", a_reload_is_told_with_its_time },
    { "signs_of_life_are_due_at_half_of_the_time", signs_of_life_are_due_at_half_of_the_time },
    { "what_is_no_address_is_nobody", what_is_no_address_is_nobody },
    { "a_listening_socket_is_passed_on", a_listening_socket_is_passed_on },
};

int main(int argc, char **argv)
{
    return berth_suite_main("service", tests, sizeof(tests) / sizeof(tests[0]), argc, argv);
}
