/* SPDX-License-Identifier: MIT */
#include "tests/bench/rest.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

double rest_number(const char *path, const char *name)
{
    char line[512];
    double number = -1;
    size_t length = strlen(name);
    FILE *file = fopen(path, "re");

    while (file && number < 0 && fgets(line, sizeof(line), file))
        if (strncmp(line, name, length) == 0)
            number = strtod(line + length, NULL);
    if (file)
        fclose(file);
    if (number < 0)
        bench_die("%s has no %s", path, name);
    return number;
}

struct work {
    double ticks;    /* of processor time, of the process and what it has waited for */
    double switches; /* voluntary ones: each is a thread that had something to do */
};

static double ticks_of(pid_t pid)
{
    char path[64], text[1024] = "";
    double user = 0, system = 0;

    snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
    FILE *file = fopen(path, "re");
    const char *rest = file && fgets(text, sizeof(text), file) ? strrchr(text, ')') : NULL;
    if (!rest ||
        sscanf(rest, ") %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lf %lf", &user, &system) != 2)
        bench_die("%s: not what was expected", path);
    fclose(file);
    return user + system;
}

static struct work work_of(pid_t pid)
{
    char path[64], status[512];
    struct work work = { .ticks = ticks_of(pid) };

    snprintf(path, sizeof(path), "/proc/%d/task", (int)pid);
    DIR *tasks = opendir(path);
    for (const struct dirent *task; tasks && (task = readdir(tasks));) {
        if (task->d_name[0] == '.' || atoi(task->d_name) == gettid())
            continue;
        snprintf(status, sizeof(status), "%s/%s/status", path, task->d_name);
        work.switches += rest_number(status, "voluntary_ctxt_switches:");
    }
    if (!tasks)
        bench_die("%s: %m", path);
    closedir(tasks);
    return work;
}

double rest_watch(pid_t pid, unsigned seconds, struct bench_row *row)
{
    struct work before = work_of(pid), after = before;

    for (int i = 0; i < 100; i++, before = after) {
        usleep(100000);
        after = work_of(pid);
        if (after.ticks == before.ticks && after.switches == before.switches)
            break;
    }
    sleep(seconds);
    after = work_of(pid);
    snprintf(row->note, sizeof(row->note), "%.0f ticks, %.0f switches", after.ticks - before.ticks,
             after.switches - before.switches);
    return after.ticks - before.ticks + after.switches - before.switches;
}
