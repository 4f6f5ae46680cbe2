/* SPDX-License-Identifier: MIT */
/*
 * An application that unloads one module, for tests/host/unload.sh, and says what became of it:
 *
 *     unload [-s] goes|stays|later DIRECTORY MODULE [tidy]
 *
 * It prints the verdict: "unmapped", or "quarantined: " and why. goes: waits until it is unmapped,
 * stays: sees that it is not. later: it is quarantined, and unmapped once the thread that has
 * loaded it has ended. -s grants a signal, and waits until it is answered. Then the application
 * comes to its end, as any other.
 */
#include <berth/host.h>

#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define PATIENCE 100 /* seconds, for what should happen in a moment */

static struct {
    berth_host *host;
    const char *directory, *module;
    bool tidy, signalled;
    char why[256]; /* after the unload; "": none */
} run;

static void fail(const char *what, const struct berth_error *error)
{
    printf("%s: %s\n", what, error->text);
    exit(1);
}

static void load(const char *module, const char *options)
{
    struct berth_load_options how = { .size = sizeof(how), .options = options };
    struct berth_error error;
    char file[4096];

    snprintf(file, sizeof(file), "%s/%s.so", run.directory, module);
    if (berth_host_load(run.host, file, &how, &error) != BERTH_OK)
        fail(module, &error);
}

/* Why the only image of the quarantine is there; false: it is empty. */
static bool look(char *why, size_t size)
{
    struct berth_error error;
    char *list;

    if (berth_host_list(run.host, &list, &error) != BERTH_OK)
        fail("list", &error);
    const char *at = strstr(list, "\"quarantined\":[{");
    at = at ? strstr(at, "\"why\":\"") : NULL;
    if (at)
        snprintf(why, size, "%.*s", (int)strcspn(at + 7, "\""), at + 7);
    free(list);
    return at != NULL;
}

static void *load_and_unload(void *unused)
{
    struct berth_error error;
    char name[64];

    load(run.module, run.tidy ? "{\"tidy\":true}" : NULL);
    snprintf(name, sizeof(name), "left_%s", run.module);
    if (berth_host_unload(run.host, name, &error) != BERTH_OK)
        fail("unload", &error);
    look(run.why, sizeof(run.why));
    return unused;
}

static bool is_mapped(void)
{
    FILE *maps = fopen("/proc/self/maps", "re");
    char line[4096], name[80];
    bool found = false;

    snprintf(name, sizeof(name), "/memfd:left_%s@", run.module);
    while (maps && fgets(line, sizeof(line), maps))
        found |= strstr(line, name) != NULL;
    if (maps)
        fclose(maps);
    return found;
}

static void wait_until_it_goes(void)
{
    char why[256];
    time_t end = time(NULL) + PATIENCE;

    while (look(why, sizeof(why)) && time(NULL) < end)
        nanosleep(&(struct timespec){ 0, 1000000 }, NULL);
    if (look(why, sizeof(why)))
        printf("it does not go: %s\n", why);
    else if (is_mapped())
        printf("it is said to have gone, and is mapped\n");
}

/* With each load and unload the host looks again. */
static void have_it_looked_at(void)
{
    struct berth_error error;

    load("delete", NULL);
    if (berth_host_unload(run.host, "left_delete", &error) != BERTH_OK)
        fail("unload", &error);
}

/* What others do meanwhile must not reach it, or find it there. */
static void see_that_it_stays(void)
{
    struct sigaction action;
    char why[256];
    time_t end = time(NULL) + PATIENCE;

    sigaction(SIGUSR1, NULL, &action);
    if (action.sa_handler != SIG_DFL)
        raise(SIGUSR1);
    for (int i = 0; i < 3; i++)
        have_it_looked_at();
    /* a thread that had no time to answer */
    while (run.signalled && strstr(run.why, "does not answer") && time(NULL) < end &&
           look(run.why, sizeof(run.why)))
        have_it_looked_at();
    if (!look(why, sizeof(why)) || !is_mapped())
        printf("it does not stay\n");
}

int main(int argc, char **argv)
{
    struct berth_host_options options;
    struct berth_error error;
    pthread_t loader;

    berth_host_options_init(&options);
    options.threads = 1;
    options.stop_timeout_ns = 100000000;
    if (argc > 1 && strcmp(argv[1], "-s") == 0) {
        options.scan_signal = SIGRTMIN;
        run.signalled = true;
        argv++;
        argc--;
    }
    if (argc < 4)
        return 2;
    run.directory = argv[2];
    run.module = argv[3];
    run.tidy = argc > 4;
    if (berth_host_new(&options, &run.host, &error) != BERTH_OK)
        fail("host", &error);
    if (berth_host_check(run.host, PATIENCE * 1000, &error) !=
        BERTH_OK) /* its threads have begun */
        fail("check", &error);
    load("keeper", NULL);
    if (pthread_create(&loader, NULL, load_and_unload, NULL) != 0)
        return 2;
    pthread_join(loader, NULL);
    if (strcmp(argv[1], "stays") == 0)
        see_that_it_stays();
    else
        wait_until_it_goes();
    if (strcmp(argv[1], "goes") != 0)
        printf("quarantined: %s\n", run.why);
    if (strcmp(argv[1], "stays") != 0)
        printf("unmapped\n");
    berth_host_free(run.host);
    return 0;
}
