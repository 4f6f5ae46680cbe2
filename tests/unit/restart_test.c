/* SPDX-License-Identifier: MIT */
#include "runtime/loop/restart.h"

#include "tests/support/suite.h"

#define MS INT64_C(1000000)
#define S  (1000 * MS)

/* One with its defaults filled in. */
static const struct berth_restart_policy *policy(const struct berth_restart_policy *given)
{
    static struct berth_restart_policy read;
    struct berth_error error;

    CHECK_CODE(berth_restart_policy_read(given, &read, &error), BERTH_OK, &error);
    return &read;
}

/* Restarts a module that dies `life` after each restart, at most count times. */
static int restarts(struct berth_restart *restart, int64_t *now, int64_t life, int count,
                    int64_t *ret_delays)
{
    for (int i = 0; i < count; i++) {
        *now += life;
        if (!berth_restart_next(restart, *now, &ret_delays[i]))
            return i;
        *now += ret_delays[i];
    }
    return count;
}

static void delays_double(void)
{
    const int64_t expected[] = { 0, 100 * MS, 200 * MS, 400 * MS, 800 * MS };
    struct berth_restart restart;
    int64_t delays[10], now = 12345 * S;

    berth_restart_init(&restart, policy(NULL));
    CHECK_INT(restarts(&restart, &now, 1 * MS, 10, delays), 5);
    for (int i = 0; i < 5; i++)
        CHECK_INT(delays[i], expected[i]);
}

static void giving_up_is_kept_within_the_window(void)
{
    struct berth_restart restart;
    int64_t delays[10], delay = 77, now = 0;

    berth_restart_init(&restart, policy(NULL));
    CHECK_INT(restarts(&restart, &now, 0, 10, delays), 5);
    CHECK(!berth_restart_next(&restart, 29 * S, &delay));
    CHECK_INT(delay, 77); /* untouched */
    CHECK(berth_restart_next(&restart, 30 * S, &delay));
    CHECK_INT(delay, 1600 * MS);
}

/* Five in thirty seconds is a rate, not a count: slow deaths go on for ever, ever more slowly. */
static void slow_deaths_back_off_to_the_last_delay(void)
{
    struct berth_restart restart;
    int64_t delays[20], now = 0;

    berth_restart_init(&restart, policy(NULL));
    CHECK_INT(restarts(&restart, &now, 8 * S, 20, delays), 20);
    CHECK_INT(delays[0], 0);
    CHECK_INT(delays[5], 1600 * MS);
    CHECK_INT(delays[9], 25600 * MS);
    CHECK_INT(delays[10], 30 * S);
    CHECK_INT(delays[19], 30 * S);
}

static void a_long_life_forgives(void)
{
    struct berth_restart restart;
    int64_t delays[4], delay, now = 0;

    berth_restart_init(&restart, policy(NULL));
    CHECK_INT(restarts(&restart, &now, 0, 4, delays), 4);
    CHECK(berth_restart_next(&restart, now + 30 * S, &delay));
    CHECK_INT(delay, 0);
    CHECK(berth_restart_next(&restart, now + 30 * S, &delay));
    CHECK_INT(delay, 100 * MS);
}

static void the_limit_holds_at_any_moment(void)
{
    for (int round = 0; round < 200; round++) {
        struct berth_restart restart;
        int64_t times[400], now = (int64_t)berth_test_random_below(1000) * S, delay;
        int count = 0;

        berth_restart_init(&restart, policy(NULL));
        for (int i = 0; i < 400; i++) {
            now += (int64_t)berth_test_random_below(9000) * MS;
            if (!berth_restart_next(&restart, now, &delay))
                continue;
            CHECK(delay >= 0 && delay <= BERTH_RESTART_LAST_NS);
            times[count++] = now += delay;
            if (count > 5)
                CHECK(times[count - 1] - times[count - 6] >= 30 * S);
        }
        CHECK(count > 5);
    }
}

static void never_is_never(void)
{
    const struct berth_restart_policy never = { .size = sizeof(never),
                                                .limit = BERTH_RESTART_NEVER };
    struct berth_restart restart;
    int64_t delay = 77;

    berth_restart_init(&restart, policy(&never));
    CHECK(!berth_restart_next(&restart, 0, &delay));
    CHECK(!berth_restart_next(&restart, 1000000 * S, &delay));
    CHECK_INT(delay, 77);
}

static void limits_and_delays_are_those_of_the_policy(void)
{
    const struct berth_restart_policy own = {
        .size = sizeof(own), .limit = 7, .window_ns = 60 * S, .first_ns = 1 * S, .last_ns = 5 * S
    };
    const int64_t expected[] = { 0, 1 * S, 2 * S, 4 * S, 5 * S, 5 * S, 5 * S };
    struct berth_restart restart;
    int64_t delays[10], delay, now = 0;

    berth_restart_init(&restart, policy(&own));
    CHECK_INT(restarts(&restart, &now, 0, 10, delays), 7);
    for (int i = 0; i < 7; i++)
        CHECK_INT(delays[i], expected[i]);
    CHECK(!berth_restart_next(&restart, 59 * S, &delay)); /* the first one was at 0 */
    CHECK(berth_restart_next(&restart, 60 * S, &delay));
    CHECK_INT(delay, 5 * S);
    CHECK(berth_restart_next(&restart, 130 * S, &delay)); /* a life of a window */
    CHECK_INT(delay, 0);
}

static void one_and_the_most_are_limits(void)
{
    for (int limit = 1; limit <= BERTH_RESTART_LIMIT_MAX; limit++) {
        const struct berth_restart_policy own = {
            .size = sizeof(own), .limit = limit, .window_ns = INT64_MAX, .first_ns = 1, .last_ns = 1
        };
        struct berth_restart restart;
        int64_t delays[BERTH_RESTART_LIMIT_MAX + 1], now = 5 * S;

        berth_restart_init(&restart, policy(&own));
        CHECK_INT(restarts(&restart, &now, 1, BERTH_RESTART_LIMIT_MAX + 1, delays), limit);
    }
}

static void a_policy_is_checked(void)
{
    static const struct {
        struct berth_restart_policy given;
        const char *part;
    } bad[] = {
        { { .size = 8 }, "size" },
        { { .size = sizeof(struct berth_restart_policy), .limit = -2 }, "limit" },
        { { .size = sizeof(struct berth_restart_policy), .limit = 33 }, "limit" },
        { { .size = sizeof(struct berth_restart_policy), .window_ns = -1 }, "times" },
        { { .size = sizeof(struct berth_restart_policy), .first_ns = -1 }, "times" },
        { { .size = sizeof(struct berth_restart_policy), .last_ns = -1 }, "times" },
        { { .size = sizeof(struct berth_restart_policy), .first_ns = 2, .last_ns = 1 }, "last" },
        { { .size = sizeof(struct berth_restart_policy), .first_ns = 31 * S }, "last" },
    };
    struct berth_restart_policy read = { .limit = 77 };
    struct berth_error error;

    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        CHECK_CODE(berth_restart_policy_read(&bad[i].given, &read, &error), BERTH_INVALID_ARGUMENT,
                   &error);
        CHECK_CONTAINS(error.text, bad[i].part);
        CHECK_INT(read.limit, 77);
    }
}

static const struct berth_test tests[] = {
    { "delays_double", delays_double },
    { "giving_up_is_kept_within_the_window", giving_up_is_kept_within_the_window },
    { "slow_deaths_back_off_to_the_last_delay", slow_deaths_back_off_to_the_last_delay },
    { "a_long_life_forgives", a_long_life_forgives },
    { "the_limit_holds_at_any_moment", the_limit_holds_at_any_moment },
    { "never_is_never", never_is_never },
    { "limits_and_delays_are_those_of_the_policy", limits_and_delays_are_those_of_the_policy },
    { "one_and_the_most_are_limits", one_and_the_most_are_limits },
    { "a_policy_is_checked", a_policy_is_checked },
};

int main(int argc, char **argv)
{
    return berth_suite_main("restart", tests, sizeof(tests) / sizeof(tests[0]), argc, argv);
}
