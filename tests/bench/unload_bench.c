/* SPDX-License-Identifier: MIT */
/*
 * What it costs to prove that an image can go: an unload in a process with a hundred threads that
 * sleep and have never called the host, against one in a process without them.
 */
#include "tests/bench/bench.h"

#include <berth/host.h>
#include <pthread.h>
#include <semaphore.h>
#include <time.h>

#define THREADS 100

static berth_host *host;
static sem_t end;

static void make_host(void)
{
    struct berth_host_options options;
    struct berth_error error;

    berth_host_options_init(&options);
    options.threads = 0;
    if (berth_host_new(&options, &host, &error) != BERTH_OK)
        bench_die("%s", error.text);
}

/* Of n unloads, without the loads. */
static double time_unloads(void *user, long n)
{
    const struct berth_load_options how = { .size = sizeof(how), .name = "small" };
    struct berth_error error;
    double sum = 0;

    (void)user;
    for (long i = 0; i < n; i++) {
        if (berth_host_load(host, bench_module("small"), &how, &error) != BERTH_OK)
            bench_die("%s", error.text);
        double began = bench_now();
        if (berth_host_unload(host, "small", &error) != BERTH_OK)
            bench_die("%s", error.text);
        sum += bench_now() - began;
    }
    return sum;
}

static void *sleep_until_the_end(void *unused)
{
    sem_wait(&end);
    return unused;
}

static double time_among_threads(void *user, long n)
{
    pthread_t threads[THREADS];

    sem_init(&end, 0, 0);
    for (size_t i = 0; i < THREADS; i++)
        if (pthread_create(&threads[i], NULL, sleep_until_the_end, NULL) != 0)
            bench_die("no thread");
    nanosleep(&(struct timespec){ 0, 20000000 }, NULL); /* all of them sleep by then */
    double sum = time_unloads(user, n);
    for (size_t i = 0; i < THREADS; i++)
        sem_post(&end);
    for (size_t i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    return sum;
}

static struct bench_row rows[] = {
    { .id = "unload.control",
      .what = "an unload against itself",
      .limit = time_unloads,
      .run = time_unloads,
      .n = 100 },
    { .id = "unload.threads",
      .what = "an unload among 100 threads - the same without them",
      .limit = time_unloads,
      .run = time_among_threads,
      .goal = 2000000,
      .difference = true,
      .n = 100 },
};

int main(int argc, char **argv)
{
    make_host();
    int status = bench_main(argc, argv, "unload", rows, sizeof(rows) / sizeof(rows[0]));
    berth_host_free(host);
    return status;
}
