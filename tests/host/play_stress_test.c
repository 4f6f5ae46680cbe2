/* SPDX-License-Identifier: MIT */
/*
 * Modules that say things to each other and call each other, all at random, by a seed: with every
 * policy, priority and group, handlers that fail, deadlines and cancelled calls, while modules are
 * reloaded, move between placements, go and come back. Senders and receivers keep a ledger outside
 * of the host (tests/fixtures/player.h), with which its report must agree: every message has ended
 * in one way, and in order; every call was answered once; nobody was inside of a serial module
 * twice.
 */
#include "runtime/core/core.h"
#include "runtime/core/mailbox.h"
#include "tests/fixtures/player.h"
#include "tests/support/hosting.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cjson/cJSON.h>

enum { VOICES = 3, STEPS = 60, MANY = 2 };

static const char *const topics[] = { "play.left", "play.right", "play.team", "play.urgent",
                                      "play.now" };
static const char *const fixtures[] = { "player", "player_block", "player_drop" };

static struct {
    berth_host *host;
    struct play_ledger *ledger;
    const char *path;
    unsigned players;
    bool workers;                              /* players may run in them */
    unsigned going;                            /* voices; atomic */
    bool dropping[LISTENERS], away[LISTENERS]; /* it may drop; it was not there all the time */
    bool remote[LISTENERS];                    /* it was in a worker */
} play;

struct ear {
    uint32_t index, tries;
    uint64_t id;
};
static struct ear ears[EARS];
static uint64_t dead, dead_missed; /* letters; the ear has one turn at a time */

static const char *name_of(unsigned player)
{
    static const char *const names[PLAYERS] = { "p0", "p1", "p2", "p3", "p4", "p5" };
    return names[player];
}

/* ---- the application's part ---- */

static void hear(berth_ctx *ctx, const struct berth_message *message, void *user)
{
    const struct ear *ear = user;
    uint32_t speaker, line;
    if (sscanf(message->fields, "{\"speaker\":%u,\"line\":%u", &speaker, &line) != 2)
        play_wrong(play.ledger, "an ear heard %s", message->fields);
    else if (play_hear(play.ledger, ear->index, SPEAKERS, speaker, line, ear->tries))
        berth_fail(ctx, BERTH_UNKNOWN, "told to");
}

static double number_of(const cJSON *fields, const char *name)
{
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(fields, name);
    return cJSON_IsNumber(item) ? item->valuedouble : -1;
}

static void bury(berth_ctx *ctx, const struct berth_message *message, void *user)
{
    cJSON *letter = cJSON_Parse(message->fields);
    const cJSON *fields = cJSON_GetObjectItemCaseSensitive(letter, "fields");
    const char *receiver =
        cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(letter, "receiver"));
    double speaker = number_of(fields, "speaker"), line = number_of(fields, "line");
    (void)ctx;
    (void)user;
    dead++;
    dead_missed += message->dropped;
    if (!receiver || speaker < 0 || speaker >= SPEAKERS || line < 0 || line >= LINES)
        play_wrong(play.ledger, "a dead letter is %s", message->fields);
    else if (receiver[0] == 'p')
        play.ledger->heard[receiver[1] - '0'][(int)speaker][(int)line].buried = true;
    cJSON_Delete(letter);
}

static void publish(berth_ctx *ctx, uint32_t me)
{
    char fields[64];
    enum play_what what = play_draw(play.ledger, me, PLAY_TOPICS);
    uint32_t line = play_say(play.ledger, me, what, berth_time_left(ctx) != INT64_MAX);
    if (line == PLAY_NOBODY)
        return;
    snprintf(fields, sizeof fields, "[%u,%u,2]", me, line);
    int code = berth_publish_json(ctx, topics[what], fields);
    play_said(play.ledger, me, line, code, berth_error_text(ctx));
}

/* Whatever becomes of it, the call is answered once. */
static void take(berth_ctx *ctx, uint32_t me, uint32_t line, berth_pending call)
{
    char *result = NULL;
    if (play_draw(play.ledger, me, 6) == 0) {
        play.ledger->speaker[me].line[line].cancelled = true;
        berth_call_cancel(ctx, call);
    }
    if (play_draw(play.ledger, me, 8) == 0) {
        berth_call_drop(ctx, call);
        CHECK_INT(berth_call_take_json(ctx, call, NULL), BERTH_NOT_FOUND);
        berth_clear(ctx);
        play_answered(play.ledger, me, line, BERTH_CANCELLED, 0);
        return;
    }
    int code = berth_call_take_json(ctx, call, &result);
    play_answered(play.ledger, me, line, code, result ? strtoull(result, NULL, 10) : 0);
    berth_free(result);
}

/* A call that somebody is to be told of; a line is one once. */
struct due {
    uint32_t me, line;
};
static struct due dues[SPEAKERS][LINES];

static void on_reply(berth_ctx *ctx, berth_pending call, void *user)
{
    const struct due *due = user;
    play_told(play.ledger, due->me, due->line, berth_call_done(ctx, call));
    take(ctx, due->me, due->line, call);
    berth_clear(ctx);
}

static void see_to(berth_ctx *ctx, uint32_t me, uint32_t line, berth_pending call, bool single)
{
    struct due *due = &dues[me][line];
    if (!single || play_draw(play.ledger, me, 3)) {
        take(ctx, me, line, call);
        return;
    }
    *due = (struct due){ me, line };
    berth_call_then(ctx, call, on_reply, due);
}

static void call(berth_ctx *ctx, uint32_t me)
{
    static const char *const functions[] = { "work", "later", [MANY] = "many" };
    const struct berth_call_options options = {
        .size = sizeof options,
        .timeout_ns = play_draw(play.ledger, me, 3) ? 0 : 2000000,
        .full = play_draw(play.ledger, me, 2) ? BERTH_FULL_BLOCK : BERTH_FULL_REJECT
    };
    bool one_way = play_draw(play.ledger, me, 3) == 0;
    uint32_t what = one_way ? 0 : play_draw(play.ledger, me, 3);
    uint32_t to = play_draw(play.ledger, me, play.players);
    uint32_t line = play_say(play.ledger, me, one_way ? PLAY_SEND : PLAY_CALL,
                             options.timeout_ns || berth_time_left(ctx) != INT64_MAX);
    char name[32], arguments[64];
    berth_pending pending;
    if (line == PLAY_NOBODY)
        return;
    struct play_line *said = &play.ledger->speaker[me].line[line];
    said->to = (uint8_t)to;
    snprintf(name, sizeof name, "p%u.%s", to, functions[what]);
    snprintf(arguments, sizeof arguments, "[%u,%u]", me, line);
    if (one_way) {
        int code = berth_send_json(ctx, name, arguments, &options);
        play_said(play.ledger, me, line, code, berth_error_text(ctx));
        return;
    }
    said->started = true;
    int code = berth_call_start_json(ctx, name, arguments, &options, &pending);
    if (code == BERTH_OK)
        see_to(ctx, me, line, pending, what < MANY);
    else
        play_answered(play.ledger, me, line, code, 0);
}

static void *speak(void *argument)
{
    uint32_t me = *(uint32_t *)argument;
    for (int i = 0; i < STEPS; i++) {
        berth_ctx *ctx = berth_host_enter(play.host);
        char name[32], times[32];
        if (play_draw(play.ledger, me, 5) == 0)
            berth_set_timeout(ctx, 100000 * (int64_t)(1 + play_draw(play.ledger, me, 50)));
        switch (play_draw(play.ledger, me, 4)) {
        case 0:
            call(ctx, me);
            break;
        case 1:
            publish(ctx, me);
            break;
        default:
            snprintf(name, sizeof name, "p%u.play", play_draw(play.ledger, me, play.players));
            snprintf(times, sizeof times, "[%u]", 1 + play_draw(play.ledger, me, 3));
            berth_call_json(ctx, name, times, NULL);
        }
        berth_clear(ctx);
        berth_leave(ctx);
    }
    __atomic_sub_fetch(&play.going, 1, __ATOMIC_RELEASE);
    return NULL;
}

/* ---- what happens to modules meanwhile ---- */

static const char *any_placement(unsigned player)
{
    if (!play.workers || berth_test_random_below(2))
        return "inline";
    play.remote[player] = true;
    return "process";
}

static const char *any_file(unsigned player)
{
    size_t i = berth_test_random_below(3);
    play.dropping[player] |= i == 2;
    return berth_test_fixture(fixtures[i]);
}

static void load(unsigned player)
{
    struct berth_error error;
    const struct berth_load_options options = { .size = sizeof options,
                                                .name = name_of(player),
                                                .placement = any_placement(player),
                                                .options = berth_test_format("{\"ledger\":\"%s\"}",
                                                                             play.path) };
    CHECK_CODE(berth_host_load(play.host, any_file(player), &options, &error), BERTH_OK, &error);
}

/* Into any of the other kinds, and anywhere. */
static void reload(unsigned player)
{
    struct berth_error error;
    const struct berth_reload_options how = { .size = sizeof how,
                                              .file = any_file(player),
                                              .placement = any_placement(player) };
    if (berth_host_reload_with(play.host, name_of(player), &how, NULL, &error) != BERTH_OK)
        if (error.code != BERTH_UNAVAILABLE && error.code != BERTH_ABORTED)
            CHECK_CODE(error.code, BERTH_DEADLINE_EXCEEDED, &error);
}

static void listen(unsigned i)
{
    static const char *const patterns[] = { "play.left", "play.*", "play.>", "play.urgent",
                                            "play.now" };
    struct berth_error error;
    const struct berth_subscribe_options options = {
        .size = sizeof options,
        .full = (enum berth_full)berth_test_random_below(3),
        .tries = 1 + (int)berth_test_random_below(3),
        .group = berth_test_random_below(4) ? NULL : "ears"
    };
    ears[i] = (struct ear){ .index = PLAYERS + i, .tries = (uint32_t)options.tries };
    play.dropping[PLAYERS + i] |= options.full == BERTH_FULL_DROP_OLDEST;
    CHECK_CODE(berth_host_subscribe_with(play.host, patterns[berth_test_random_below(5)], &options,
                                         hear, &ears[i], &ears[i].id, &error),
               BERTH_OK, &error);
}

static void disturb(bool gently)
{
    unsigned player = (unsigned)berth_test_random_below(play.players);
    struct berth_error error;
    unsigned i;
    if (__atomic_load_n(&play.ledger->speakers, __ATOMIC_RELAXED) > SPEAKERS - 10)
        return;
    switch (berth_test_random_below(gently ? 2 : 5)) {
    case 0:
    case 1:
        reload(player);
        return;
    case 2:
        play.away[player] = true;
        if (berth_host_unload(play.host, name_of(player), &error) == BERTH_OK)
            load(player);
        else /* who is inside waits for its end */
            CHECK_CODE(error.code, BERTH_ABORTED, &error);
        return;
    default: /* an ear has one life, or it could hear twice */
        for (i = 0; i < EARS && (play.away[PLAYERS + i] || !ears[i].id); i++)
            ;
        if (i == EARS)
            return;
        play.away[PLAYERS + i] = true;
        berth_host_unsubscribe(play.host, ears[i].id);
        ears[i].id = 0;
    }
}

/* ---- whether the books agree ---- */

struct sums {
    uint64_t delivered, dead, unsettled;
};

static bool is_whole(void)
{
    for (unsigned i = 0; i < LISTENERS; i++)
        if (play.away[i])
            return false;
    return true;
}

static void check_heard(const struct play_speaker *speaker, unsigned s, unsigned l,
                        struct sums *sums)
{
    const struct play_line *said = &speaker->line[l];
    for (unsigned r = 0; r < LISTENERS; r++) {
        const struct play_heard *heard = &play.ledger->heard[r][s][l];
        sums->delivered += heard->done;
        sums->dead += heard->failed;
        bool missed = r < PLAYERS && said->ended && (said->missed & 1 << r);
        if (missed && heard->turns && said->what != PLAY_NOW) {
            berth_note("listener %u has heard line %u of %u, which it has missed", r, l, s);
            CHECK(!heard->turns);
        }
        /* all kinds of players subscribe to these two */
        bool always = r < play.players && (said->what == PLAY_LEFT || said->what == PLAY_URGENT);
        if (always && said->ended && said->code == BERTH_OK && !heard->turns) {
            bool excused = play.dropping[r] || play.away[r] || heard->buried || dead_missed;
            sums->unsettled++;
            if (!excused)
                berth_note("listener %u has not heard line %u of %u, a message to %s", r, l, s,
                           topics[said->what]);
            CHECK(excused);
        }
    }
}

/* A call under which it was said has failed, or was cancelled: this has perhaps gone, too. */
static bool is_recalled(const struct play_line *said)
{
    while (said->under) {
        said = &play.ledger->speaker[said->by].line[said->of];
        if (said->started && (said->cancelled || said->code != BERTH_OK || !said->answered))
            return true;
    }
    return false;
}

static void check_call(const struct play_speaker *speaker, unsigned s, unsigned l)
{
    const struct play_line *said = &speaker->line[l];
    bool open = said->started && !said->answered && !speaker->ended;
    bool excused =
        said->what == PLAY_SEND && (said->limited || play.away[said->to] || is_recalled(said));
    bool lost = said->ended && said->code == BERTH_OK && !said->entered && !excused;
    if (open || lost)
        berth_note("%s %u of speaker %u (p%d) to p%u: answered %u, entered %u, code %u",
                   said->what == PLAY_SEND ? "sent call" : "call", l, s, speaker->player, said->to,
                   said->answered, said->entered, said->code);
    CHECK(!open && !lost);
}

static struct sums check_ledger(bool quiet)
{
    struct sums sums = { 0 };
    for (unsigned s = 0; s < play.ledger->speakers && s < SPEAKERS; s++) {
        const struct play_speaker *speaker = &play.ledger->speaker[s];
        for (unsigned l = 0; l < speaker->lines && l < LINES; l++) {
            if (speaker->line[l].what >= PLAY_TOPICS && quiet)
                check_call(speaker, s, l);
            else if (speaker->line[l].what < PLAY_TOPICS && quiet)
                check_heard(speaker, s, l, &sums);
            else if (speaker->line[l].what < PLAY_TOPICS)
                for (unsigned r = 0; r < LISTENERS; r++)
                    sums.delivered += play.ledger->heard[r][s][l].done;
        }
    }
    if (play.ledger->wrongs)
        berth_note("%u wrongs, the first: %s", play.ledger->wrongs, play.ledger->wrong);
    CHECK_INT(play.ledger->wrongs, 0);
    return sums;
}

static size_t waiting(struct berth_module *module)
{
    return module ? berth_mailbox_count(module).messages : 0;
}

static bool answered(void)
{
    for (unsigned s = 0; s < play.ledger->speakers && s < SPEAKERS; s++) {
        const struct play_speaker *speaker = &play.ledger->speaker[s];
        for (unsigned l = 0; l < speaker->lines && l < LINES; l++)
            if (speaker->line[l].started && !speaker->ended &&
                !__atomic_load_n(&speaker->line[l].answered, __ATOMIC_ACQUIRE))
                return false;
    }
    return true;
}

/* Nothing is on its way any more. */
static bool is_quiet(uint64_t dead_ear)
{
    size_t mails = 0;
    pthread_mutex_lock(&play.host->lock);
    for (unsigned i = 0; i < play.players; i++)
        mails += waiting(berth_map_get(&play.host->modules, name_of(i)));
    for (unsigned i = 0; i < EARS; i++)
        mails +=
            ears[i].id ? waiting(berth_idmap_get(&play.host->app_subscriptions, ears[i].id)) : 0;
    mails += waiting(berth_idmap_get(&play.host->app_subscriptions, dead_ear));
    pthread_mutex_unlock(&play.host->lock);
    return mails == 0 && answered();
}

/* One game: all that happens in one host. */
static void game(bool gently, bool quiet)
{
    struct berth_host_options options = berth_test_host_options();
    struct berth_shutdown_report report = { .size = sizeof report };
    const struct berth_subscribe_options letters = { .size = sizeof letters,
                                                     .full = BERTH_FULL_DROP_OLDEST };
    pthread_t threads[VOICES];
    uint32_t voices[VOICES];
    uint64_t dead_ear;
    struct berth_error error;

    memset(&play.dropping, 0, sizeof play.dropping);
    memset(&play.away, 0, sizeof play.away);
    memset(&play.remote, 0, sizeof play.remote);
    memset(ears, 0, sizeof ears);
    memset(play.ledger, 0, sizeof *play.ledger);
    play.ledger->seed = berth_test_random();
    play.ledger->process = getpid();
    dead = dead_missed = 0;
    options.threads = 1 + (int)berth_test_random_below(3);
    options.mailbox_messages = 3 + berth_test_random_below(30);
    options.log_level = BERTH_LOG_ERROR;
    options.log = NULL;
    play.host = berth_test_host(&options);
    play.players = 2 + (unsigned)berth_test_random_below(PLAYERS - 1);
    for (unsigned i = 0; i < play.players; i++)
        load(i);
    for (unsigned i = 0; i < EARS; i++)
        if (berth_test_random_below(2))
            listen(i);
    CHECK_CODE(berth_host_subscribe_with(play.host, "host.dead_letter", &letters, bury, NULL,
                                         &dead_ear, &error),
               BERTH_OK, &error);
    play.going = VOICES;
    for (unsigned i = 0; i < VOICES; i++) {
        voices[i] = play_join(play.ledger, -1);
        REQUIRE(pthread_create(&threads[i], NULL, speak, &voices[i]) == 0);
    }
    while (__atomic_load_n(&play.going, __ATOMIC_ACQUIRE)) {
        disturb(gently);
        berth_test_pause(2);
    }
    for (unsigned i = 0; i < VOICES; i++)
        pthread_join(threads[i], NULL);
    if (quiet)
        EVENTUALLY(is_quiet(dead_ear));
    CHECK_INT(berth_host_end(play.host, &report), BERTH_OK);
    struct sums sums = check_ledger(quiet);
    CHECK_INT(report.delivered + report.rejected + report.dropped + report.expired +
                  report.dead_lettered + report.left,
              report.sent);
    berth_note("%u players, %u speakers: %llu sent, %llu delivered, %llu rejected, %llu dropped, "
               "%llu expired, %llu dead, %llu left",
               play.players, play.ledger->speakers, (unsigned long long)report.sent,
               (unsigned long long)report.delivered, (unsigned long long)report.rejected,
               (unsigned long long)report.dropped, (unsigned long long)report.expired,
               (unsigned long long)report.dead_lettered, (unsigned long long)report.left);
    if (!play.workers)
        CHECK_INT(report.delivered, sums.delivered + dead);
    if (quiet) {
        CHECK_INT(dead + dead_missed, report.dead_lettered + report.expired);
        if (gently && is_whole() && !play.workers)
            CHECK(report.dead_lettered <= sums.dead &&
                  sums.dead <= report.dead_lettered + report.left + report.expired);
    }
}

static void games(bool workers)
{
    struct play_ledger *ledger;
    play.path = berth_test_format("%s/ledger", berth_test_dir());
    int fd = open(play.path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    REQUIRE(fd >= 0 && ftruncate(fd, sizeof *ledger) == 0);
    ledger = mmap(NULL, sizeof *ledger, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    close(fd);
    REQUIRE(ledger != MAP_FAILED);
    play.ledger = ledger;
    play.workers = workers;
    berth_note("by the seed %llu", (unsigned long long)berth_test_seed());
    for (int i = 0; i < (berth_test_instrumented() ? 4 : 8); i++)
        game(i % 2 == 0, i % 4 != 3);
    munmap(ledger, sizeof *ledger);
}

static void all_inline(void)
{
    games(false);
}

static void in_both_placements(void)
{
    if (berth_test_valgrind())
        berth_skip("valgrind cannot follow workers");
    games(true);
}

static const struct berth_test tests[] = {
    { "all inline", all_inline },
    { "in both placements", in_both_placements },
};

int main(int argc, char **argv)
{
    setenv("BERTH_TEST_SEED", "1", 0);
    return berth_suite_main("play_stress", tests, sizeof tests / sizeof *tests, argc, argv);
}
