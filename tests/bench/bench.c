/* SPDX-License-Identifier: MIT */
#include "tests/bench/bench.h"

#include <getopt.h>
#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <time.h>

#define BENCH_RUN_NS 1e7
#ifdef __clang__
#define COMPILER __VERSION__
#else
#define COMPILER "gcc " __VERSION__
#endif

struct ticks {
    double steal, all;
};

double bench_now(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec * 1e9 + (double)now.tv_nsec;
}

void bench_die(const char *format, ...)
{
    va_list arguments;

    fflush(stdout);
    fputs("bench: ", stderr);
    va_start(arguments, format);
    vfprintf(stderr, format, arguments);
    va_end(arguments);
    fputc('\n', stderr);
    exit(1);
}

const char *bench_module(const char *name)
{
    static char path[4096];
    const char *top = getenv("BERTH_TOP_BUILDDIR");

    snprintf(path, sizeof(path), "%s/tests/bench/modules/%s.so", top ? top : ".", name);
    return path;
}

/* ---- processors ------------------------------------------------------------------------------ */

static cpu_set_t allowed; /* at the start, before this program narrows it */

static size_t processor(unsigned which)
{
    for (size_t cpu = 0; cpu < CPU_SETSIZE; cpu++) {
        if (CPU_ISSET(cpu, &allowed) && which-- == 0)
            return cpu;
    }
    bench_die("this needs another processor");
}

void bench_place(pid_t thread, int which)
{
    cpu_set_t set = allowed;

    if (which != BENCH_ANYWHERE) {
        CPU_ZERO(&set);
        CPU_SET(processor((unsigned)which), &set);
    }
    if (sched_setaffinity(thread, sizeof(set), &set) < 0)
        bench_die("cannot stay on processor %d: %m", which);
}

void bench_pin(unsigned which)
{
    bench_place(0, (int)which);
}

/* What the hypervisor took, and everything, over all processors. */
static struct ticks read_ticks(void)
{
    struct ticks ticks = { 0 };
    double value[8] = { 0 };
    FILE *file = fopen("/proc/stat", "re");

    if (!file)
        return ticks;
    if (fscanf(file, "cpu %lf %lf %lf %lf %lf %lf %lf %lf", &value[0], &value[1], &value[2],
               &value[3], &value[4], &value[5], &value[6], &value[7]) == 8) {
        ticks.steal = value[7];
        for (size_t i = 0; i < 8; i++)
            ticks.all += value[i];
    }
    fclose(file);
    return ticks;
}

static void print_machine(FILE *out)
{
    struct utsname name;
    char line[256], model[128] = "unknown processor";
    FILE *file = fopen("/proc/cpuinfo", "re");

    while (file && fgets(line, sizeof(line), file)) {
        if (sscanf(line, "model name : %127[^\n]", model) == 1)
            break;
    }
    if (file)
        fclose(file);
    uname(&name);
    fprintf(out, "%s, %d processors, %s %s, compiled by %s", model, CPU_COUNT(&allowed),
            name.sysname, name.release, COMPILER);
}

/* ---- running --------------------------------------------------------------------------------- */

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

static double median(const double *values, size_t count)
{
    double sorted[BENCH_ROUNDS_MAX];

    memcpy(sorted, values, count * sizeof(*values));
    qsort(sorted, count, sizeof(*sorted), compare);
    return count % 2 ? sorted[count / 2] : (sorted[count / 2 - 1] + sorted[count / 2]) / 2;
}

double bench_p99(double *values, long n)
{
    qsort(values, (size_t)n, sizeof(*values), compare);
    return values[n - 1 - n / 100];
}

/* One that was interrupted for some milliseconds says nothing, however few operations it did. */
static double least_of_three(const struct bench_row *row, bench_fn fn, long n)
{
    double cost = fn(row->user, n);

    for (int again = 0; again < 2 && cost >= BENCH_RUN_NS / 4; again++) {
        double its = fn(row->user, n);
        cost = its < cost ? its : cost;
    }
    return cost;
}

static long calibrate(const struct bench_row *row, bench_fn fn)
{
    double cost = 0;
    long n = 1;

    while (cost < BENCH_RUN_NS / 4 && n < 1L << 40) {
        n *= 4;
        cost = least_of_three(row, fn, n);
    }
    return (long)((double)n * BENCH_RUN_NS / cost) + 1;
}

static bool wanted(const struct bench_row *row, char *const *words)
{
    for (char *const *word = words; *word; word++) {
        if (strstr(row->id, *word))
            return true;
    }
    return !*words;
}

static void run_rows(struct bench_row *rows, size_t count, size_t rounds)
{
    struct counts {
        long limit, run;
    } *n = calloc(count, sizeof(*n));

    if (!n)
        bench_die("no memory");
    for (size_t i = 0; i < count; i++) {
        if (rows[i].skipped)
            continue;
        n[i].limit = rows[i].n || !rows[i].limit ? rows[i].n : calibrate(&rows[i], rows[i].limit);
        n[i].run = rows[i].n ? rows[i].n : calibrate(&rows[i], rows[i].run);
    }
    for (size_t round = 0; round < rounds; round++) {
        for (size_t i = 0; i < count; i++) {
            struct bench_row *row = &rows[i];
            if (row->skipped)
                continue;
            if (row->once && round > 0) {
                row->limits[round] = row->limits[0];
                row->values[round] = row->values[0];
                continue;
            }
            if (row->limit)
                row->limits[round] = row->limit(row->user, n[i].limit) / (double)n[i].limit;
            row->values[round] = row->run(row->user, n[i].run) / (double)n[i].run;
        }
    }
    free(n);
}

/* ---- saying ---------------------------------------------------------------------------------- */

struct result {
    double limit, value, factor, low, high; /* medians; the factor's range */
    bool met;
};

static struct result summarize(const struct bench_row *row, size_t rounds)
{
    struct result result = { 0 };
    double factors[BENCH_ROUNDS_MAX];

    for (size_t i = 0; i < rounds; i++) {
        factors[i] = row->difference ? row->values[i] - row->limits[i]
                     : row->limit    ? row->values[i] / row->limits[i]
                                     : row->values[i];
        if (i == 0 || factors[i] < result.low)
            result.low = factors[i];
        if (i == 0 || factors[i] > result.high)
            result.high = factors[i];
    }
    result.limit = median(row->limits, rounds);
    result.value = median(row->values, rounds);
    result.factor = median(factors, rounds);
    /* the table shows two places */
    result.met =
        row->at_least ? result.factor >= row->goal - 0.005 : result.factor <= row->goal + 0.005;
    return result;
}

static void print_row(const struct bench_row *row, const struct result *result)
{
    const char *sign = row->difference ? "+" : "";
    char goal[32] = "", limit[16] = "";

    if (row->skipped) {
        printf("  %-50s skipped: %s\n", row->what, row->skipped);
        return;
    }
    if (row->goal > 0)
        snprintf(goal, sizeof(goal), "%s%s%.2f %s", row->at_least ? ">" : "", sign, row->goal,
                 result->met ? "met" : "MISSED");
    if (row->limit)
        snprintf(limit, sizeof(limit), "%.2f", result->limit);
    printf("  %-50s %9s %9.2f %1s%6.2f  %6.2f..%-6.2f  %-11s %s%s%s\n", row->what, limit,
           result->value, sign, result->factor, result->low, result->high, goal,
           row->unit ? row->unit : "", row->unit && row->note[0] ? ", " : "", row->note);
}

/* Our own identifiers and notes only: nothing in them needs escaping. */
static void write_row(FILE *out, const char *title, const struct bench_row *row,
                      const struct result *result, size_t rounds, double steal)
{
    fprintf(out, "{\"bench\":\"%s\",\"row\":\"%s\",\"unit\":\"%s\",", title, row->id,
            row->unit ? row->unit : "ns");
    if (row->skipped)
        fprintf(out, "\"skipped\":\"%s\"}\n", row->skipped);
    else
        fprintf(out,
                "\"limit\":%.3f,\"value\":%.3f,\"%s\":%.4f,\"low\":%.4f,\"high\":%.4f,"
                "\"goal\":%.2f,\"met\":%s,\"rounds\":%zu,\"steal\":%.2f,\"note\":\"%s\"}\n",
                result->limit, result->value,
                row->difference ? "difference"
                : row->limit    ? "ratio"
                                : "median",
                result->factor, result->low, result->high, row->goal,
                row->goal <= 0 ? "null" : (result->met ? "true" : "false"), rounds, steal,
                row->note);
}

struct arguments {
    size_t rounds;
    const char *output;
    bool gate;
};

static void parse(int argc, char **argv, struct arguments *arguments)
{
    int option;

    while ((option = getopt(argc, argv, "r:o:g")) != -1) {
        if (option == 'r')
            arguments->rounds = strtoul(optarg, NULL, 10);
        else if (option == 'o')
            arguments->output = optarg;
        else if (option == 'g')
            arguments->gate = true;
        else
            exit(2);
    }
    if (arguments->rounds < 1 || arguments->rounds > BENCH_ROUNDS_MAX)
        bench_die("-r takes 1 to %d", BENCH_ROUNDS_MAX);
}

int bench_main(int argc, char **argv, const char *title, struct bench_row *rows, size_t count)
{
    struct arguments arguments = { .rounds = 11 };
    size_t met = 0, missed = 0;
    double start = bench_now();
    struct ticks before = read_ticks();
    FILE *json = NULL;

    parse(argc, argv, &arguments);
    for (size_t i = 0; i < count; i++) {
        if (!wanted(&rows[i], argv + optind))
            rows[i].skipped = "not asked for";
        else if (rows[i].two_cores && CPU_COUNT(&allowed) < 2 && !rows[i].skipped)
            rows[i].skipped = "one processor";
    }
    if (arguments.output && !(json = fopen(arguments.output, "ae")))
        bench_die("%s: %m", arguments.output);

    printf("%s\n# ", title);
    print_machine(stdout);
    run_rows(rows, count, arguments.rounds);

    struct ticks after = read_ticks();
    double all = after.all - before.all;
    double steal = all > 0 ? 100 * (after.steal - before.steal) / all : 0;
    printf("\n# %zu rounds, taken in turns; steal %.1f %%%s; %.1f s\n", arguments.rounds, steal,
           steal > 3 ? ": too much, repeat" : "", (bench_now() - start) / 1e9);
    printf("  %-50s %9s %9s %7s  %6s..%-6s  %s\n", "", "limit", "value", "median", "low", "high",
           "goal");
    for (size_t i = 0; i < count; i++) {
        struct result result = { 0 };
        if (!rows[i].skipped)
            result = summarize(&rows[i], arguments.rounds);
        if (!rows[i].skipped && rows[i].goal > 0)
            result.met ? met++ : missed++;
        if (!rows[i].skipped || strcmp(rows[i].skipped, "not asked for") != 0) {
            print_row(&rows[i], &result);
            if (json)
                write_row(json, title, &rows[i], &result, arguments.rounds, steal);
        }
    }
    printf("# %zu goals met, %zu missed\n\n", met, missed);
    if (json && fclose(json) != 0)
        bench_die("%s: %m", arguments.output);
    return arguments.gate && missed;
}

__attribute__((constructor)) static void remember_processors(void)
{
    sched_getaffinity(0, sizeof(allowed), &allowed);
}
