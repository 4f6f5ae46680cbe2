/* SPDX-License-Identifier: MIT */
/* modules/control comes, changes and goes: its socket, its peers, and what a reload hands over. */
#include "tests/control/client.h"

#include <errno.h>
#include <grp.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define NOBODY       65534

static berth_host *host;
static struct client *client;

static void begin(const char *placement, const char *options)
{
    host = control_begin(placement, options);
    client = client_new();
}

static const char *held(void)
{
    return berth_test_format("%s/held", berth_test_dir());
}

static void unload(const char *module)
{
    struct berth_error error;
    CHECK_CODE(berth_host_unload(host, module, &error), BERTH_OK, &error);
}

static void reload(void)
{
    struct berth_error error;
    CHECK_CODE(berth_host_reload(host, "control", NULL, NULL, &error), BERTH_OK, &error);
}

/* ---- the socket ----------------------------------------------------------------------------- */

/* A socket that nobody listens at, as a host leaves it that was killed. */
static void leave_stale(const char *path)
{
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    strncpy(address.sun_path, path, sizeof(address.sun_path) - 1);
    REQUIRE(fd >= 0 && bind(fd, (struct sockaddr *)&address, sizeof(address)) == 0);
    close(fd);
}

static void a_stale_socket_is_taken(void)
{
    leave_stale(control_path());
    berth_test_write(berth_test_format("%s.lock", control_path()), "", 0);
    begin("inline", "");
    CHECK_STR(client_call(client, "math.add", "[1,2]"), result_line("3", "1"));
}

static void check_refused(berth_host *other, const char *options, int code, const char *words)
{
    struct berth_error error;
    CHECK_CODE(control_load(other, "inline", options, &error), code, &error);
    CHECK_CONTAINS(error.text, words);
    CHECK_STR(berth_test_module(other, "control", "state"), "");
}

static void a_second_host_is_refused(const char *placement)
{
    begin(placement, "");
    berth_host *other = berth_test_host(NULL);
    check_refused(other, "", BERTH_ALREADY_EXISTS, "another host listens at ");
    CHECK_STR(client_call(client, "math.add", "[1,2]"), result_line("3", "1"));
    unload("control");
    CHECK(!berth_test_exists(control_path()));
    struct berth_error error;
    CHECK_CODE(control_load(other, "inline", "", &error), BERTH_OK, &error);
    client_free(client);
    client = client_new();
    CHECK_CONTAINS(client_call(client, "math.add", "[1,2]"), "module math is not loaded");
    berth_host_free(other);
    CHECK(!berth_test_exists(control_path()));
}

static void a_second_host_is_refused_inline(void)
{
    a_second_host_is_refused("inline");
}

static void a_second_host_is_refused_beside_a_worker(void)
{
    a_second_host_is_refused("process");
}

static void what_is_no_socket_stays(void)
{
    berth_host *other = berth_test_host(NULL);
    berth_test_write(control_path(), "precious", 8);
    check_refused(other, "", BERTH_FAILED_PRECONDITION, "is there and no socket");
    CHECK_STR(berth_test_read(control_path(), NULL), "precious");
    CHECK(!berth_test_exists(berth_test_format("%s.lock", control_path())));
    berth_host_free(other);
}

static void another_listener_stays(void)
{
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    berth_host *other = berth_test_host(NULL);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    strncpy(address.sun_path, control_path(), sizeof(address.sun_path) - 1);
    REQUIRE(bind(fd, (struct sockaddr *)&address, sizeof(address)) == 0 && listen(fd, 1) == 0);
    check_refused(other, "", BERTH_ALREADY_EXISTS, "another host listens at ");
    int connected = client_connect(control_path());
    CHECK(connected >= 0);
    close(connected);
    close(fd);
    berth_host_free(other);
}

static void wrong_options_are_refused(void)
{
    static const struct {
        const char *options, *words;
    } table[] = {
        { "\"mode\":\"x\"", "the option \"mode\" is \"x\": give octal digits, like 0600" },
        { "\"mode\":\"1777\"", "give octal digits" },
        { "\"group\":\"no such group\"", "there is no such group" },
        { "\"connections\":0", "must be at least 1" },
        { "\"connections\":100000", "at most 65536" },
        { "\"threads\":0", "must be at least 1" },
        { "\"socke\":\"\"", "socke" },
    };
    struct berth_error error;
    berth_host *other = berth_test_host(NULL);
    for (size_t i = 0; i < COUNT(table); i++) {
        CHECK(control_load(other, "inline", table[i].options, &error) != BERTH_OK);
        CHECK_CONTAINS(error.text, table[i].words);
    }
    CHECK(berth_host_load(other, berth_test_built("modules/control/control.so"), NULL, &error) ==
          BERTH_INVALID_ARGUMENT);
    CHECK_CONTAINS(error.text, "where to listen? Give the option \"socket\"");
    const struct berth_load_options nowhere = { .size = sizeof(nowhere),
                                                .options = "{\"socket\":\"/no/such/place\"}" };
    CHECK(berth_host_load(other, berth_test_built("modules/control/control.so"), &nowhere,
                          &error) == BERTH_FAILED_PRECONDITION);
    CHECK_CONTAINS(error.text, "/no/such/place: its directory is not there: make it");
    char longer[200];
    memset(longer, 'x', sizeof(longer));
    longer[0] = '/';
    longer[108] = '\0';
    const struct berth_load_options load = { .size = sizeof(load),
                                             .options =
                                                 berth_test_format("{\"socket\":\"%s\"}", longer) };
    CHECK(berth_host_load(other, berth_test_built("modules/control/control.so"), &load, &error) ==
          BERTH_INVALID_ARGUMENT);
    CHECK_CONTAINS(error.text, "longer than 107 bytes");
    berth_host_free(other);
}

static void the_mode_is_as_wanted(void)
{
    struct stat status;
    begin("inline", "");
    CHECK(stat(control_path(), &status) == 0 && (status.st_mode & 07777) == 0600);
    begin("inline", "\"mode\":\"0660\"");
    CHECK(stat(control_path(), &status) == 0 && (status.st_mode & 07777) == 0660);
}

static void a_name_that_is_not_ours_any_more_stays(void)
{
    begin("inline", "");
    remove(control_path());
    berth_test_write(control_path(), "another's", 9);
    unload("control");
    CHECK_STR(berth_test_read(control_path(), NULL), "another's");
}

/* ---- peers ---------------------------------------------------------------------------------- */

/* What another user gets, as the status of a process: 0 an answer, 1 a refusal, 2 neither. */
static int as_nobody(gid_t group)
{
    char answer[512] = "";
    static const char line[] = "{\"jsonrpc\":\"2.0\",\"method\":\"math.add\",\"params\":[1,2],"
                               "\"id\":1}\n";
    const char *path = control_path();
    if (berth_test_valgrind())
        berth_skip("a child ends with what its parent has not freed");
    pid_t child = fork();
    if (child == 0) {
        if (setgroups(0, NULL) || setresgid(group, group, group) ||
            setresuid(NOBODY, NOBODY, NOBODY))
            _exit(3);
        int fd = client_connect(path);
        if (fd < 0)
            _exit(4);
        send(fd, line, sizeof(line) - 1, MSG_NOSIGNAL);
        if (recv(fd, answer, sizeof(answer) - 1, 0) < 0)
            _exit(5);
        _exit(strstr(answer, "\"result\":3") ? 0 : strstr(answer, "-32007") ? 1 : 2);
    }
    int status;
    while (waitpid(child, &status, 0) < 0 && errno == EINTR)
        ;
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static void other_users_are_refused(void)
{
    if (geteuid() != 0)
        berth_skip("only root can be another user");
    begin("inline", "\"mode\":\"0666\"");
    chmod(berth_test_dir(), 0755);
    CHECK_INT(as_nobody(NOBODY), 1);
    CHECK_STR(client_call(client, "math.add", "[1,2]"), result_line("3", "1"));
}

static void a_group_may_be_let_in(void)
{
    if (geteuid() != 0)
        berth_skip("only root can be another user");
    begin("inline", "\"mode\":\"0666\",\"group\":\"65533\"");
    chmod(berth_test_dir(), 0755);
    CHECK_INT(as_nobody(65533), 0);
    CHECK_INT(as_nobody(65532), 1);
}

/* ---- unload --------------------------------------------------------------------------------- */

static void *unload_it(void *unused)
{
    unload("control");
    return unused;
}

/* What is inside is finished, answered, and then comes the end. */
static void unload_with_clients_and_calls(const char *placement)
{
    pthread_t thread;
    begin(placement, "");
    struct client *idle = client_new();
    CHECK_STR(client_call(idle, "subscribe", "[[\"news.>\"]]"), result_line("1", "1"));
    client_send(client, berth_test_format("{\"jsonrpc\":\"2.0\",\"method\":\"sleeper.hold\","
                                          "\"params\":[\"%s\"],\"id\":\"slow\"}\n{\"jsonr",
                                          held()));
    EVENTUALLY(berth_test_exists(held()));
    REQUIRE(pthread_create(&thread, NULL, unload_it, NULL) == 0);
    berth_test_pause(20);
    remove(held());
    pthread_join(thread, NULL);
    CHECK_STR(client_line(client), result_line("null", "\"slow\""));
    CHECK_STR(client_line(client), "{\"jsonrpc\":\"2.0\",\"method\":\"goodbye\",\"params\":{}}");
    CHECK(client_is_at_end(client));
    CHECK_CONTAINS(client_line(idle), "goodbye");
    CHECK(client_is_at_end(idle));
    CHECK(!berth_test_exists(control_path()));
    CHECK_CALL(host, "publisher.ring", "[]", "null");
    struct berth_error error;
    CHECK_CODE(control_load(host, placement, "", &error), BERTH_OK, &error);
    client = client_new();
    CHECK_STR(client_call(client, "math.add", "[1,2]"), result_line("3", "1"));
}

static void unload_with_clients_and_calls_inline(void)
{
    unload_with_clients_and_calls("inline");
}

static void unload_with_clients_and_calls_in_a_worker(void)
{
    unload_with_clients_and_calls("process");
}

static void it_does_not_end_itself(const char *placement)
{
    begin(placement, "");
    CHECK_CONTAINS(client_call(client, "host.unload", "[\"control\"]"),
                   "control cannot be unloaded from inside of a call of its own");
    CHECK_STR(client_call(client, "math.add", "[1,2]"), result_line("3", "1"));
    reload();
    CHECK_STR(client_call(client, "math.add", "[1,2]"), result_line("3", "1"));
}

/* What asks for it is inside of it: it is done once that has been answered. */
static void it_reloads_itself(const char *placement)
{
    begin(placement, "");
    CHECK_CONTAINS(client_call(client, "host.reload", "[\"control\"]"), "\"step\":\"queued\"");
    UNTIL(host, !strcmp(berth_test_module(host, "control", "generation"), "2"));
    CHECK_STR(client_call(client, "math.add", "[1,2]"), result_line("3", "1"));
}

static void it_reloads_itself_inline(void)
{
    it_reloads_itself("inline");
}

static void it_reloads_itself_in_a_worker(void)
{
    it_reloads_itself("process");
}

static void it_does_not_end_itself_inline(void)
{
    it_does_not_end_itself("inline");
}

static void it_does_not_end_itself_in_a_worker(void)
{
    it_does_not_end_itself("process");
}

/* One that the host wants for the module's own end while the module is in a load. */
static void an_unload_meets_a_load(const char *placement)
{
    pthread_t thread;
    for (int i = 0; i < 5; i++) {
        begin(placement, "");
        CHECK_STR(client_call(client, "math.add", "[1,2]"), result_line("3", "1"));
        for (int j = 0; j < 4; j++)
            client_send(client, berth_test_format("{\"jsonrpc\":\"2.0\",\"method\":\"host.load\","
                                                  "\"params\":[\"%s\",\"c%d\"],\"id\":1}\n",
                                                  berth_test_fixture("counter"), j));
        REQUIRE(pthread_create(&thread, NULL, unload_it, NULL) == 0);
        pthread_join(thread, NULL);
        const char *line, *last = "";
        while ((line = client_line(client)))
            last = line;
        CHECK_CONTAINS(last, "goodbye");
        if (!*last)
            berth_note("%s", berth_test_log());
    }
}

static void an_unload_meets_a_load_inline(void)
{
    an_unload_meets_a_load("inline");
}

static void an_unload_meets_a_load_in_a_worker(void)
{
    an_unload_meets_a_load("process");
}

/* ---- reload --------------------------------------------------------------------------------- */

static void *reload_it(void *unused)
{
    reload();
    return unused;
}

/* Clients, halves of lines, subscriptions, and a call that is inside: all of it goes on. */
static void clients_do_not_notice_a_reload(const char *placement)
{
    pthread_t thread;
    struct stat before, after;
    begin(placement, "");
    CHECK_STR(client_call(client, "subscribe", "[[\"news.>\"]]"), result_line("1", "1"));
    CHECK(stat(control_path(), &before) == 0);
    client_send(client, berth_test_format("{\"jsonrpc\":\"2.0\",\"method\":\"sleeper.hold\","
                                          "\"params\":[\"%s\"],\"id\":\"slow\"}\n"
                                          "{\"jsonrpc\":\"2.0\",\"method\":\"math.add\",\"par",
                                          held()));
    EVENTUALLY(berth_test_exists(held()));
    REQUIRE(pthread_create(&thread, NULL, reload_it, NULL) == 0);
    EVENTUALLY(!strcmp(berth_test_module(host, "control", "generation"), "2"));
    client_send(client, "ams\":[1,2],\"id\":\"half\"}\n");
    CHECK_STR(client_line(client), result_line("3", "\"half\""));
    CHECK_CALL(host, "publisher.ring", "[]", "null");
    CHECK_CONTAINS(client_line(client), "\"subscription\":1,\"topic\":\"news.bell\"");
    struct client *other = client_new();
    CHECK_STR(client_call(other, "math.add", "[1,2]"), result_line("3", "1"));
    remove(held());
    pthread_join(thread, NULL);
    CHECK_STR(client_line(client), result_line("null", "\"slow\""));
    CHECK_CONTAINS(client_call(client, "subscribe", "[[\"news.>\"]]"), "\"result\":");
    CHECK_STR(client_call(client, "unsubscribe", "[1]"), result_line("null", "1"));
    CHECK(stat(control_path(), &after) == 0 && after.st_ino == before.st_ino);
    control_end();
    CHECK(!berth_test_exists(control_path()));
    CHECK(!berth_test_exists(berth_test_format("%s.lock", control_path())));
}

static void clients_do_not_notice_a_reload_inline(void)
{
    clients_do_not_notice_a_reload("inline");
}

static void clients_do_not_notice_a_reload_in_a_worker(void)
{
    clients_do_not_notice_a_reload("process");
}

struct asker {
    pthread_t thread;
    struct client *client;
    bool *over;
    uint64_t asked, wrong;
};

static void *ask_on(void *argument)
{
    struct asker *asker = argument;
    while (!__atomic_load_n(asker->over, __ATOMIC_ACQUIRE)) {
        const char *id = berth_test_format("%llu", (unsigned long long)asker->asked);
        const char *answer = client_ask(
            asker->client, berth_test_format("{\"jsonrpc\":\"2.0\",\"method\":\"math.add\","
                                             "\"params\":[%s,1],\"id\":%s}",
                                             id, id));
        asker->asked++;
        if (!answer ||
            strcmp(answer,
                   result_line(berth_test_format("%llu", (unsigned long long)asker->asked), id)))
            asker->wrong++, berth_note("to %s: %s", id, answer ? answer : "the end");
        if (!answer)
            break;
    }
    return NULL;
}

/* No answer is lost, none comes twice. */
static void reloads_under_load(const char *placement)
{
    struct asker askers[4] = { { 0 } };
    bool over = false;
    size_t descriptors;
    begin(placement, "");
    CHECK_STR(client_call(client, "math.add", "[1,2]"), result_line("3", "1"));
    for (size_t i = 0; i < COUNT(askers); i++) {
        askers[i].client = client_new();
        askers[i].over = &over;
        CHECK_STR(client_call(askers[i].client, "math.add", "[1,2]"), result_line("3", "1"));
    }
    reload();
    /* once all of them are served again, none of their sockets is on its way */
    CHECK_STR(client_call(client, "math.add", "[1,2]"), result_line("3", "1"));
    for (size_t i = 0; i < COUNT(askers); i++)
        CHECK_STR(client_call(askers[i].client, "math.add", "[1,2]"), result_line("3", "1"));
    descriptors = berth_test_descriptors();
    for (size_t i = 0; i < COUNT(askers); i++)
        REQUIRE(pthread_create(&askers[i].thread, NULL, ask_on, &askers[i]) == 0);
    for (int i = 0; i < 20; i++)
        reload();
    __atomic_store_n(&over, true, __ATOMIC_RELEASE);
    for (size_t i = 0; i < COUNT(askers); i++) {
        pthread_join(askers[i].thread, NULL);
        CHECK(askers[i].asked > 0);
        CHECK_INT(askers[i].wrong, 0);
    }
    /* a few come and go with the threads; under a sanitizer each image stays, with its own */
    if (!berth_test_instrumented())
        EVENTUALLY(berth_test_descriptors() <= descriptors + 5);
}

static void reloads_under_load_inline(void)
{
    reloads_under_load("inline");
}

static void reloads_under_load_in_a_worker(void)
{
    reloads_under_load("process");
}

static void ignore(berth_ctx *ctx, const struct berth_message *message, void *user)
{
    (void)ctx;
    (void)message;
    (void)user;
}

#define FREE 1024

/* Which of the host's subscriptions are this test's, and whether it has all that were free. */
struct numbers {
    bool full, ours[2 * FREE];
};

/*
 * How many of the host's subscriptions are not this function's: it takes what numbers are free, up
 * to where new ones are made, and then those that have become free since.
 */
static size_t subscriptions_of_others(struct numbers *numbers)
{
    size_t count = 0, more = 64;
    uint64_t id = 0;
    struct berth_error error;
    while (!numbers->full || more--) {
        CHECK_CODE(berth_host_subscribe(host, "a.b", ignore, NULL, &id, &error), BERTH_OK, &error);
        numbers->full |= (uint32_t)id >= FREE;
        if ((uint32_t)id < COUNT(numbers->ours))
            numbers->ours[(uint32_t)id] = true;
    }
    for (size_t i = 0; i < FREE; i++)
        count += !numbers->ours[i];
    return count;
}

/* Subscribes, and goes without waiting for the answer. */
static void *subscribe_and_go(void *over)
{
    useconds_t delay = 0;
    char line[1200];
    int size = snprintf(line, sizeof(line),
                        "{\"jsonrpc\":\"2.0\",\"method\":\"subscribe\",\"id\":1,\"params\":[[");
    for (int i = 0; i < 60; i++)
        size += snprintf(line + size, sizeof(line) - (size_t)size, "%s\"a.x%d\"", i ? "," : "", i);
    size += snprintf(line + size, sizeof(line) - (size_t)size, "]]}\n");
    while (!__atomic_load_n((bool *)over, __ATOMIC_ACQUIRE)) {
        int fd = client_connect(control_path());
        if (fd < 0)
            continue;
        send(fd, line, (size_t)size, MSG_NOSIGNAL);
        usleep(delay = (delay + 50) % 500); /* to go before, while and after it is executed */
        close(fd);
    }
    return NULL;
}

/* Whenever a client goes, and whichever generation has its subscription by then, that ends. */
static void check_none_is_left_behind(const struct berth_host_options *how, const char *placement,
                                      int reloads)
{
    struct numbers numbers = { 0 };
    pthread_t threads[3];
    bool over = false;
    host = control_begin_in(how, placement, "\"connections\":8");
    for (size_t i = 0; i < COUNT(threads); i++)
        REQUIRE(pthread_create(&threads[i], NULL, subscribe_and_go, &over) == 0);
    for (int i = 0; i < reloads; i++)
        reload();
    __atomic_store_n(&over, true, __ATOMIC_RELEASE);
    for (size_t i = 0; i < COUNT(threads); i++)
        pthread_join(threads[i], NULL);
    EVENTUALLY(subscriptions_of_others(&numbers) == 0);
}

static void no_subscription_is_left_behind(void)
{
    check_none_is_left_behind(NULL, "inline", 100);
}

static void no_subscription_is_left_behind_in_workers(void)
{
    check_none_is_left_behind(NULL, "process", 20);
}

/* The old generation is still at it when the next one goes, too. */
static void no_subscription_is_left_behind_in_a_hurry(void)
{
    struct berth_host_options how = berth_test_host_options();
    how.stop_timeout_ns = 1;
    check_none_is_left_behind(&how, "inline", 50);
}

static void a_large_rest_is_handed_over(void)
{
    begin("inline", "");
    size_t size = 1000000;
    char *big = berth_test_alloc(size + 1);
    memset(big, 'x', size);
    client_send(client, "{\"jsonrpc\":\"2.0\",\"method\":\"math.nothing\",\"x\":\"");
    client_send(client, big);
    reload();
    client_send(client, "\",\"id\":7}\n");
    CHECK_STR(client_line(client), result_line("null", "7"));
}

/* START of the next one fails: the old one goes on with everything. */
/* As with any option, and with those who are connected. */
static void a_reload_may_listen_elsewhere(const char *placement)
{
    struct berth_error error;
    struct stat status;
    const char *elsewhere = berth_test_format("%s/elsewhere", berth_test_dir());
    const struct berth_reload_options how = {
        .size = sizeof(how),
        .options = berth_test_format("{\"socket\":\"%s\",\"mode\":\"0640\"}", elsewhere),
    };
    begin(placement, "");
    const char *before = control_path();
    CHECK_STR(client_call(client, "subscribe", "[[\"news.>\"]]"), result_line("1", "1"));
    CHECK_CODE(berth_host_reload_with(host, "control", &how, NULL, &error), BERTH_OK, &error);
    int fd = client_connect(elsewhere);
    CHECK(fd >= 0);
    close(fd);
    CHECK(!stat(elsewhere, &status) && (status.st_mode & 07777) == 0640);
    CHECK_STR(client_call(client, "math.add", "[1,2]"), result_line("3", "1"));
    CHECK_CALL(host, "publisher.ring", "[]", "null");
    CHECK_CONTAINS(client_line(client), "\"subscription\":1,\"topic\":\"news.bell\"");
    CHECK(!berth_test_exists(before));
    CHECK(!berth_test_exists(berth_test_format("%s.lock", before)));
    unload("control");
    CHECK(!berth_test_exists(elsewhere));
}

static void a_reload_may_listen_elsewhere_inline(void)
{
    a_reload_may_listen_elsewhere("inline");
}

static void a_reload_may_listen_elsewhere_in_a_worker(void)
{
    if (berth_test_valgrind())
        berth_skip("valgrind cannot follow workers");
    a_reload_may_listen_elsewhere("process");
}

/* Nor is another host's lock in the way of the reload taken from it. */
static void a_reload_does_not_listen_at_anothers(void)
{
    struct berth_error error;
    begin("inline", "");
    const char *anothers = berth_test_format("%s/another", berth_test_dir());
    const struct berth_reload_options how = {
        .size = sizeof(how), .options = berth_test_format("{\"socket\":\"%s\"}", anothers)
    };
    berth_host *other = berth_test_host(NULL);
    const struct berth_load_options there = { .size = sizeof(there), .options = how.options };
    CHECK_CODE(
        berth_host_load(other, berth_test_built("modules/control/control.so"), &there, &error),
        BERTH_OK, &error);
    CHECK_CODE(berth_host_reload_with(host, "control", &how, NULL, &error), BERTH_ALREADY_EXISTS,
               &error);
    CHECK_CONTAINS(error.text, "another host listens at ");
    CHECK(berth_test_exists(anothers));
    CHECK(berth_test_exists(berth_test_format("%s.lock", anothers)));
    CHECK_STR(client_call(client, "math.add", "[1,2]"), result_line("3", "1"));
    berth_host_free(other);
}

static void the_mode_may_change_with_a_reload(void)
{
    struct berth_error error;
    struct stat status;
    begin("inline", "");
    const struct berth_reload_options how = {
        .size = sizeof(how),
        .options = berth_test_format("{\"socket\":\"%s\",\"mode\":\"0660\"}", control_path()),
    };
    CHECK_CODE(berth_host_reload_with(host, "control", &how, NULL, &error), BERTH_OK, &error);
    CHECK_STR(client_call(client, "math.add", "[1,2]"), result_line("3", "1"));
    EVENTUALLY(!stat(control_path(), &status) && (status.st_mode & 07777) == 0660);
}

static void a_reload_that_fails_changes_nothing(void)
{
    struct berth_error error;
    begin("inline", "");
    CHECK_STR(client_call(client, "subscribe", "[[\"news.>\"]]"), result_line("1", "1"));
    for (int i = 0; i < 3; i++)
        CHECK_CODE(berth_host_reload(host, "control", berth_test_fixture("math"), NULL, &error),
                   BERTH_FAILED_PRECONDITION, &error);
    CALL(host, "control.heir", "[\"\",\"\"]"); /* as far as one came that was given up then */
    CHECK_STR(client_call(client, "math.add", "[1,2]"), result_line("3", "1"));
    reload();
    CHECK_CALL(host, "publisher.ring", "[]", "null");
    CHECK_CONTAINS(client_line(client), "news.bell");
}

/* A worker that dies takes its clients with it; the next one takes the socket. */
static void a_worker_that_dies_comes_back(void)
{
    begin("process", "");
    const char *pid = berth_test_module(host, "control", "pid");
    kill((pid_t)atoi(pid), SIGKILL);
    CHECK(client_is_at_end(client));
    UNTIL(host, berth_test_runs_again(host, "control", pid));
    client = client_new();
    CHECK_STR(client_call(client, "math.add", "[1,2]"), result_line("3", "1"));
}

static const struct berth_test tests[] = {
    { "a_stale_socket_is_taken", a_stale_socket_is_taken },
    { "a_second_host_is_refused_inline", a_second_host_is_refused_inline },
    { "a_second_host_is_refused_beside_a_worker", a_second_host_is_refused_beside_a_worker },
    { "what_is_no_socket_stays", what_is_no_socket_stays },
    { "another_listener_stays", another_listener_stays },
    { "wrong_options_are_refused", wrong_options_are_refused },
    { "the_mode_is_as_wanted", the_mode_is_as_wanted },
    { "a_name_that_is_not_ours_any_more_stays", a_name_that_is_not_ours_any_more_stays },
    { "other_users_are_refused", other_users_are_refused },
    { "a_group_may_be_let_in", a_group_may_be_let_in },
    { "unload_with_clients_and_calls_inline", unload_with_clients_and_calls_inline },
    { "unload_with_clients_and_calls_in_a_worker", unload_with_clients_and_calls_in_a_worker },
    { "it_reloads_itself_inline", it_reloads_itself_inline },
    { "it_reloads_itself_in_a_worker", it_reloads_itself_in_a_worker },
    { "it_does_not_end_itself_inline", it_does_not_end_itself_inline },
    { "it_does_not_end_itself_in_a_worker", it_does_not_end_itself_in_a_worker },
    { "an_unload_meets_a_load_inline", an_unload_meets_a_load_inline },
    { "an_unload_meets_a_load_in_a_worker", an_unload_meets_a_load_in_a_worker },
    { "clients_do_not_notice_a_reload_inline", clients_do_not_notice_a_reload_inline },
    { "clients_do_not_notice_a_reload_in_a_worker", clients_do_not_notice_a_reload_in_a_worker },
    { "reloads_under_load_inline", reloads_under_load_inline },
    { "reloads_under_load_in_a_worker", reloads_under_load_in_a_worker },
    { "a_large_rest_is_handed_over", a_large_rest_is_handed_over },
    { "no_subscription_is_left_behind", no_subscription_is_left_behind },
    { "no_subscription_is_left_behind_in_workers", no_subscription_is_left_behind_in_workers },
    { "no_subscription_is_left_behind_in_a_hurry", no_subscription_is_left_behind_in_a_hurry },
    { "a_reload_may_listen_elsewhere_inline", a_reload_may_listen_elsewhere_inline },
    { "a_reload_may_listen_elsewhere_in_a_worker", a_reload_may_listen_elsewhere_in_a_worker },
    { "a_reload_does_not_listen_at_anothers", a_reload_does_not_listen_at_anothers },
    { "the_mode_may_change_with_a_reload", the_mode_may_change_with_a_reload },
    { "a_reload_that_fails_changes_nothing", a_reload_that_fails_changes_nothing },
    { "a_worker_that_dies_comes_back", a_worker_that_dies_comes_back },
    { "the_end", control_end },
};

int main(int argc, char **argv)
{
    return berth_suite_main("control_life", tests, COUNT(tests), argc, argv);
}
