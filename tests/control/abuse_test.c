/* SPDX-License-Identifier: MIT */
/*
 * Everything at once, for some seconds: clients that keep to nothing, messages, reloads, and one
 * client that only wants its answers, and gets them. Afterwards the host is as it was before:
 * descriptors, threads, memory. `make soak` runs it again and again.
 */
#include "tests/control/client.h"

#include <malloc.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define SECOND       INT64_C(1000000000)
#define SLACK        ((size_t)4 << 20) /* heaps breathe */

enum { ABUSERS = 6, OPEN = 6 };

static struct {
    berth_host *host;
    const char *path;
    bool begun, over; /* atomic */
    uint64_t asked;   /* by the good one */
} abuse;

struct abuser {
    pthread_t thread;
    uint64_t state;
    int fds[OPEN];
};

static bool is_over(void)
{
    return __atomic_load_n(&abuse.over, __ATOMIC_ACQUIRE);
}

static uint64_t draw(struct abuser *abuser, uint64_t limit)
{
    abuser->state ^= abuser->state << 13;
    abuser->state ^= abuser->state >> 7;
    abuser->state ^= abuser->state << 17;
    return (abuser->state >> 11) % limit;
}

static const char *const lines[] = {
    "{\"jsonrpc\":\"2.0\",\"method\":\"math.add\",\"params\":[1,2],\"id\":1}\n",
    "{\"jsonrpc\":\"2.0\",\"method\":\"host.list\",\"id\":\"list\"}\n",
    "{\"jsonrpc\":\"2.0\",\"method\":\"rpc.discover\",\"id\":2}\n",
    "{\"jsonrpc\":\"2.0\",\"method\":\"subscribe\",\"params\":{\"topics\":[\"news.>\",\"host.>\"]},"
    "\"id\":3}\n",
    "{\"jsonrpc\":\"2.0\",\"method\":\"unsubscribe\",\"params\":[1],\"id\":4}\n",
    "{\"jsonrpc\":\"2.0\",\"method\":\"publisher.burst\",\"params\":[50]}\n",
    "{\"jsonrpc\":\"2.0\",\"method\":\"publish\",\"params\":[\"news.text\",[\"x\",1]],\"id\":5}\n",
    "{\"jsonrpc\":\"2.0\",\"method\":\"sleeper_parallel.nap\",\"params\":[3],\"id\":6}\n",
    "{\"jsonrpc\":\"2.0\",\"method\":\"call\",\"params\":[\"sleeper.nap\",[2],1],\"id\":7}\n",
    "[{\"jsonrpc\":\"2.0\",\"method\":\"math.add\",\"params\":[1,2],\"id\":1},{\"jsonrpc\":\"2.0\","
    "\"method\":\"subscribe\",\"params\":[[\"news.*\"]],\"id\":8},[],1,{}]\n",
    "[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[\n",
    "{\"jsonrpc\":\"2.0\",\"method\":\"nix.nix\",\"id\":9}\n",
    "\xff\xfe\n",
    "\n",
};

static void send_now(int fd, const char *data, size_t size)
{
    if (send(fd, data, size, MSG_NOSIGNAL | MSG_DONTWAIT) < 0)
        return; /* full, or gone: all the same here */
}

static void read_some(struct abuser *abuser, int fd)
{
    char data[4096];
    size_t times = draw(abuser, 50);
    while (times-- && recv(fd, data, sizeof(data), MSG_DONTWAIT) > 0)
        ;
}

static void do_something(struct abuser *abuser, int *fd)
{
    const char *line = lines[draw(abuser, COUNT(lines))];
    if (*fd < 0)
        *fd = client_connect(abuse.path);
    switch (*fd < 0 ? 9 : draw(abuser, 9)) {
    case 0:
        close(*fd);
        *fd = -1;
        break;
    case 1:
        shutdown(*fd, SHUT_WR);
        break;
    case 2:
        send_now(*fd, line, draw(abuser, strlen(line)));
        break;
    case 3:
        for (int i = 0; i < 100; i++)
            send_now(*fd, line, strlen(line));
        break;
    case 4:
        read_some(abuser, *fd);
        break;
    case 9:
        break;
    default:
        send_now(*fd, line, strlen(line));
        break;
    }
}

static void *abuse_on(void *argument)
{
    struct abuser *abuser = argument;
    for (size_t i = 0; i < OPEN; i++)
        abuser->fds[i] = -1;
    while (!is_over())
        do_something(abuser, &abuser->fds[draw(abuser, OPEN)]);
    for (size_t i = 0; i < OPEN; i++)
        if (abuser->fds[i] >= 0)
            close(abuser->fds[i]);
    return NULL;
}

/* false: nothing came in time. */
static bool hear(int fd, char *line, size_t size)
{
    struct pollfd wait = { fd, POLLIN, 0 };
    size_t got = 0;
    while (got == 0 || line[got - 1] != '\n') {
        if (poll(&wait, 1, (int)(berth_test_patience() / 1000000)) <= 0)
            return false;
        ssize_t some = recv(fd, line + got, size - 1 - got, 0);
        if (some <= 0)
            return false;
        got += (size_t)some;
    }
    line[got] = '\0';
    return true;
}

/* A place for the good one: those of the round before may take a moment to end. */
static int connect_good(void)
{
    char answer[512] = "";
    int fd = -1;
    for (bool served = false; !served && !is_over();) {
        if (fd >= 0)
            close(fd);
        fd = client_connect(abuse.path);
        send(fd, lines[0], strlen(lines[0]), MSG_NOSIGNAL);
        served = hear(fd, answer, sizeof(answer)) && strstr(answer, "\"result\":3");
    }
    return fd;
}

static void *ask_on(void *unused)
{
    int fd = connect_good();
    char question[128], answer[512], wanted[128];
    __atomic_store_n(&abuse.begun, true, __ATOMIC_RELEASE);
    while (!is_over()) {
        unsigned long long n = abuse.asked++;
        snprintf(question, sizeof(question),
                 "{\"jsonrpc\":\"2.0\",\"method\":\"math.add\",\"params\":[%llu,1],\"id\":%llu}\n",
                 n, n);
        snprintf(wanted, sizeof(wanted), "{\"jsonrpc\":\"2.0\",\"result\":%llu,\"id\":%llu}\n",
                 n + 1, n);
        send(fd, question, strlen(question), MSG_NOSIGNAL);
        if (!hear(fd, answer, sizeof(answer)) || strcmp(answer, wanted)) {
            CHECK_STR(answer, wanted);
            break;
        }
    }
    close(fd);
    return unused;
}

static void run_for(int64_t ns, uint64_t seed, bool reloads)
{
    struct abuser abusers[ABUSERS];
    struct berth_error error;
    pthread_t good;
    int64_t end = berth_test_now() + ns;
    __atomic_store_n(&abuse.over, false, __ATOMIC_RELEASE);
    __atomic_store_n(&abuse.begun, false, __ATOMIC_RELEASE);
    REQUIRE(pthread_create(&good, NULL, ask_on, NULL) == 0);
    EVENTUALLY(__atomic_load_n(&abuse.begun, __ATOMIC_ACQUIRE)); /* before the others come */
    for (size_t i = 0; i < ABUSERS; i++) {
        abusers[i].state = (seed + i) * 2654435761u + 1;
        REQUIRE(pthread_create(&abusers[i].thread, NULL, abuse_on, &abusers[i]) == 0);
    }
    while (berth_test_now() < end) {
        berth_test_pause(50);
        if (reloads)
            CHECK_CODE(berth_host_reload(abuse.host, "control", NULL, NULL, &error), BERTH_OK,
                       &error);
    }
    __atomic_store_n(&abuse.over, true, __ATOMIC_RELEASE);
    for (size_t i = 0; i < ABUSERS; i++)
        pthread_join(abusers[i].thread, NULL);
    pthread_join(good, NULL);
}

static size_t memory(void)
{
    malloc_trim(0);
    return mallinfo2().uordblks;
}

static void run(const char *placement)
{
    uint64_t seed = berth_test_random();
    abuse.host = control_begin(placement, "\"unread_seconds\":1,\"line_seconds\":1,"
                                          "\"unsent_bytes\":100000,\"connections\":40");
    abuse.path = control_path();
    struct client *client = client_new();
    CHECK_STR(client_call(client, "math.add", "[1,2]"), result_line("3", "1"));
    struct berth_error error; /* from the first reload on an older image is kept, to go back to */
    CHECK_CODE(berth_host_reload(abuse.host, "control", NULL, NULL, &error), BERTH_OK, &error);
    /* who answers has got all that the generation before has handed over, and counts */
    CHECK_STR(client_call(client, "math.add", "[1,2]"), result_line("3", "1"));
    size_t descriptors = berth_test_descriptors();
    run_for(SECOND / 2, seed, true); /* what is allocated once, is then */
    if (!berth_test_instrumented())  /* else each image stays, with its descriptor */
        EVENTUALLY(berth_test_descriptors() <= descriptors);
    size_t before = memory();
    run_for(2 * SECOND, seed + ABUSERS, true);
    if (!berth_test_instrumented()) /* else each image stays, with its descriptor */
        EVENTUALLY(berth_test_descriptors() <= descriptors);
    EVENTUALLY(threads_named("control") <= 2);
    CHECK(abuse.asked > 0);
    if (!berth_test_instrumented())
        EVENTUALLY(memory() < before + SLACK);
    CHECK_STR(client_call(client, "math.add", "[1,2]"), result_line("3", "1"));
    if (!berth_test_instrumented())
        CHECK_CONTAINS(client_call(client, "host.list", "[]"), "\"quarantined\":[]");
}

static void everything_at_once_inline(void)
{
    run("inline");
}

static void everything_at_once_in_a_worker(void)
{
    run("process");
}

static const struct berth_test tests[] = {
    { "everything_at_once_inline", everything_at_once_inline },
    { "everything_at_once_in_a_worker", everything_at_once_in_a_worker },
    { "the_end", control_end },
};

int main(int argc, char **argv)
{
    return berth_suite_main("control_abuse", tests, COUNT(tests), argc, argv);
}
