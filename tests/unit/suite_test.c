/* SPDX-License-Identifier: MIT */
/* The test support itself: what a failing test prints is seen by running this program once more. */
#include "tests/support/suite.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* ---- Played in a second run of this program ---- */

static void play_pass(void)
{
    CHECK(true);
}

static void play_fail(void)
{
    CHECK_INT(1 + 1, 3);
    CHECK_STR("abc", "abd");
    CHECK_CONTAINS("no such file", "directory");
    CU_ASSERT(2 < 1);
}

static void play_require(void)
{
    REQUIRE(1 > 2);
    berth_note("not reached");
}

static void play_skip(void)
{
    berth_skip("needs %s", "the moon");
}

static void play_crash(void)
{
    CHECK(1 > 2);
    raise(SIGKILL);
}

static void play_hang(void)
{
    pause();
}

static void play_dir(void)
{
    berth_test_write(berth_test_format("%s/file", berth_test_dir()), "x", 1);
    berth_note("dir=%s", berth_test_dir());
}

static void play_random(void)
{
    berth_note("random=%llx", (unsigned long long)berth_test_random());
}

static const struct berth_test plays[] = {
    { "pass", play_pass }, { "fail", play_fail },     { "require", play_require },
    { "skip", play_skip }, { "crash", play_crash },   { "hang", play_hang },
    { "dir", play_dir },   { "random", play_random },
};

static struct berth_test_command play_for(const char *name, const char *seconds)
{
    struct berth_test_command command = { 0 };
    char self[4096] = "";
    const char *timeout = berth_test_format("BERTH_TEST_TIMEOUT=%s", seconds);

    REQUIRE(readlink("/proc/self/exe", self, sizeof(self) - 1) > 0);
    berth_test_run(&command,
                   (const char *const[]){ "env", "-u", "BERTH_TEST_HARNESS", "BERTH_SUITE_PLAY=1",
                                          "BERTH_TEST_SEED=7", timeout, self, name, NULL });
    return command;
}

static struct berth_test_command play(const char *name)
{
    return play_for(name, "60");
}

/* ---- What the suite reports ---- */

static void passing_is_reported(void)
{
    struct berth_test_command run = play("pass");
    CHECK_STR(run.out, "1..1\nok 1 - pass\n");
    CHECK_INT(run.status, 0);
}

static void failing_is_reported(void)
{
    struct berth_test_command run = play("fail");
    CHECK_CONTAINS(run.out, "suite_test.c:");
    CHECK_CONTAINS(run.out, ": 1 + 1 == 3: got 2, expected 3\n");
    CHECK_CONTAINS(run.out, ": \"abc\" == \"abd\":\n#   got      abc\n#   expected abd\n");
    CHECK_CONTAINS(run.out, "#   lacks    directory\n");
    CHECK_CONTAINS(run.out, ": 2 < 1\n");
    CHECK_CONTAINS(run.out, "# repeat with: BERTH_TEST_SEED=7 ");
    CHECK_CONTAINS(run.out, "\nnot ok 1 - fail\n");
    CHECK_INT(run.status, 1);
}

static void require_ends_the_test(void)
{
    struct berth_test_command run = play("require");
    CHECK_CONTAINS(run.out, "1 > 2 (required)\n");
    CHECK_CONTAINS(run.out, "\nnot ok 1 - require\n");
    CHECK(!strstr(run.out, "not reached"));
}

static void skipping_gives_the_reason(void)
{
    struct berth_test_command run = play("skip");
    CHECK_STR(run.out, "1..1\nok 1 - skip # SKIP needs the moon\n");
    CHECK_INT(run.status, 0);
}

static void a_crash_loses_no_diagnosis(void)
{
    struct berth_test_command run = play("crash");
    CHECK_CONTAINS(run.out, "1 > 2");
    CHECK_INT(run.status, 128 + SIGKILL);
}

static void a_hanging_test_is_ended(void)
{
    struct berth_test_command run = play_for("hang", "1");
    CHECK_CONTAINS(run.out, "# hang took more than 1 seconds");
    CHECK_INT(run.status, 128 + SIGABRT);
}

static void tests_are_chosen_by_pattern(void)
{
    CHECK_CONTAINS(play("?ass").out, "1..1\nok 1 - pass\n");
    CHECK_CONTAINS(play("--list").out, "require\nskip\n");
    struct berth_test_command none = play("nothing");
    CHECK_CONTAINS(none.err, "no test has that name");
    CHECK_INT(none.status, 1);
}

/* ---- The helpers ---- */

static void a_directory_goes_with_its_test(void)
{
    struct berth_test_command run = play("dir");
    const char *dir = strstr(run.out, "dir=/");
    REQUIRE(dir);
    const char *name = berth_test_format("%.*s", (int)strcspn(dir + 4, "\n"), dir + 4);
    CHECK(access(name, F_OK) != 0);
}

static void commands_get_input_and_give_outputs(void)
{
    struct berth_test_command command = { .input = "hello" };
    CHECK_INT(berth_test_shell(&command, "cat; echo oops >&2; exit 5"), 5);
    CHECK_STR(command.out, "hello");
    CHECK_STR(command.err, "oops\n");
    CHECK(!command.timed_out);

    CHECK_INT(berth_test_shell(NULL, "kill -TERM $$"), 128 + SIGTERM);
    CHECK_INT(berth_test_run(NULL, (const char *const[]){ "no-such-program", NULL }), 127);
}

static void large_streams_do_not_deadlock(void)
{
    size_t size = 1 << 20;
    char *input = berth_test_alloc(size + 1);
    for (size_t i = 0; i < size; i++)
        input[i] = (char)('a' + berth_test_random_below(26));
    struct berth_test_command command = { .input = input, .input_size = size };

    CHECK_INT(berth_test_shell(&command, "tee /dev/stderr"), 0);
    CHECK_INT(command.out_size, size);
    CHECK_INT(command.err_size, size);
    CHECK(memcmp(command.out, input, size) == 0);
}

static void late_commands_are_killed(void)
{
    struct berth_test_command command = { .out_size = 0 };

    /* On a slow machine the time may be over before there is a shell. */
    for (unsigned time = 100; !command.out_size && time < 60000; time *= 2) {
        command = (struct berth_test_command){ .timeout = time };
        CHECK_INT(berth_test_shell(&command, "echo begun; sleep 100"), 128 + SIGKILL);
        CHECK(command.timed_out);
    }
    CHECK_STR(command.out, "begun\n");
}

static void files_are_copied(void)
{
    const char data[] = "one\0two";
    const char *path = berth_test_format("%s/a", berth_test_dir());
    size_t size;

    berth_test_write(path, data, sizeof(data));
    const char *copy = berth_test_read(berth_test_copy(path, "b"), &size);
    CHECK_INT(size, sizeof(data));
    CHECK(memcmp(copy, data, size) == 0);
}

static void descriptors_are_counted(void)
{
    size_t before = berth_test_descriptors();
    int fd = dup(STDOUT_FILENO);
    CHECK_INT(berth_test_descriptors(), before + 1);
    close(fd);
    CHECK_INT(berth_test_descriptors(), before);
}

static void randomness_repeats(void)
{
    /* The same alone as after others. */
    const char *among = strstr(play("[dr]*").out, "random=");
    REQUIRE(among);
    CHECK_CONTAINS(play("random").out, berth_test_format("%.*s", (int)strcspn(among, "\n"), among));
    CHECK(berth_test_random() != berth_test_random());
    for (int i = 0; i < 1000; i++)
        CHECK(berth_test_random_below(6) < 6);
}

static const struct berth_test tests[] = {
    { "passing_is_reported", passing_is_reported },
    { "failing_is_reported", failing_is_reported },
    { "require_ends_the_test", require_ends_the_test },
    { "skipping_gives_the_reason", skipping_gives_the_reason },
    { "a_crash_loses_no_diagnosis", a_crash_loses_no_diagnosis },
    { "a_hanging_test_is_ended", a_hanging_test_is_ended },
    { "tests_are_chosen_by_pattern", tests_are_chosen_by_pattern },
    { "a_directory_goes_with_its_test", a_directory_goes_with_its_test },
    { "commands_get_input_and_give_outputs", commands_get_input_and_give_outputs },
    { "large_streams_do_not_deadlock", large_streams_do_not_deadlock },
    { "late_commands_are_killed", late_commands_are_killed },
    { "files_are_copied", files_are_copied },
    { "descriptors_are_counted", descriptors_are_counted },
    { "randomness_repeats", randomness_repeats },
};

int main(int argc, char **argv)
{
    if (getenv("BERTH_SUITE_PLAY"))
        return berth_suite_main("play", plays, COUNT(plays), argc, argv);
    return berth_suite_main("suite", tests, COUNT(tests), argc, argv);
}
