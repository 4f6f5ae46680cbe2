/* SPDX-License-Identifier: MIT */
#include <berth/host.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/shell/activation.h"
#include "runtime/shell/config.h"
#include "runtime/shell/crash.h"
#include "runtime/shell/learn.h"
#include "runtime/shell/local.h"
#include "runtime/shell/log.h"
#include "runtime/shell/notify.h"
#include "runtime/shell/options.h"
#include "runtime/shell/output.h"
#include "runtime/shell/place.h"
#include "runtime/shell/reconfigure.h"
#include "runtime/shell/shell.h"
#include "runtime/shell/signals.h"
#include "runtime/shell/terminal.h"
#include "runtime/shell/watch_files.h"
#include "runtime/shell/watchdog.h"

struct run {
    struct berth_options options;
    struct berth_local local;
    struct berth_config config;
    struct berth_reconfigure reconfigure;
    struct berth_offer offer;
    const char *file; /* --config */
    const char *log;  /* --log */
    bool bound;       /* to its terminal */
    struct berth_place place;
    bool hidden; /* --no-control: it listens nowhere */
    bool learn, probe;
    const char *staging; /* --staging; NULL: as the configuration says */
    bool watch;          /* the modules' files */
    char path[PATH_MAX];
    struct berth_notify notify;
    const char *crash_record; /* --crash-record */
    struct berth_crash crash;
};

/* A call of run.reconfigure. */
static int reconfigure(void *user, struct berth_buffer *report, struct berth_error *error)
{
    struct run *run = user;

    berth_log_info("reading %s again, as it is asked to", run->file);
    return berth_reconfigure(&run->reconfigure, false, report, error);
}

/* SIGHUP. True: it is one of the signals that end the host. */
static bool hang_up(struct run *run)
{
    struct berth_error error;

    if (run->file) {
        berth_log_info("SIGHUP: reading %s again", run->file);
        berth_reconfigure(&run->reconfigure, true, NULL, &error);
        return false;
    }
    if (run->bound && berth_terminal_gone())
        return true;
    berth_log_info("SIGHUP: there is no --config to be read again");
    return false;
}

/* Whether the signal is one of those that end the host; the others are dealt with. */
static bool is_end(struct run *run, int number)
{
    if (number == SIGUSR1)
        berth_log_reopen();
    return number == SIGHUP ? hang_up(run) : number == SIGTERM || number == SIGINT;
}

/* Waits for SIGTERM or SIGINT. From then on the next one ends the program at once. */
static int wait_for_end(struct run *run)
{
    struct berth_watchdog watchdog;
    int got;

    berth_watchdog_init(&watchdog, &run->notify, run->local.host);
    do {
        got = berth_signals_wait(berth_watchdog_left(&watchdog));
        berth_watchdog_turn(&watchdog);
    } while (!is_end(run, got));
    berth_signals_release();
    if (run->file)
        berth_reconfigure_close(&run->reconfigure);
    return got;
}

/* A socket that nobody takes would have clients wait for ever. */
static void mind_listener(const struct run *run)
{
    if (run->offer.listener >= 0 && !__atomic_load_n(&run->offer.listener_taken, __ATOMIC_RELAXED))
        berth_log_warning("nobody serves the socket of the service manager: %s",
                          run->hidden ? "there is --no-control"
                                      : "give the module control the option \"listener\": "
                                        "\"" BERTH_OFFER_LISTENER "\"");
}

static int open_log(struct run *run, struct berth_error *error)
{
    const struct berth_config *config = &run->config;
    const struct berth_log_setup setup = {
        .target = run->log ? run->log : config->log_target,
        .format = config->log_format,
        .identifier = run->place.name ? run->place.name : config->host.name,
    };

    return berth_log_open(&setup, error);
}

/* What is wrong: with errors for people, who have to mend them; else as lines of the log. */
static int tell_problems(struct run *run, struct berth_error *error)
{
    struct berth_problems *problems = &run->config.problems;

    if (problems->errors || problems->failed) {
        berth_problems_print(problems);
        return berth_problems_error(problems, error);
    }
    int code = open_log(run, error);
    if (code == BERTH_OK)
        berth_problems_log(problems);
    return code;
}

/* Everything about the configuration is told before anything is loaded. */
static int configure(struct run *run, struct berth_error *error)
{
    int code = berth_config_open(&run->config, run->file, &run->local.search, error);

    if (code == BERTH_OK)
        code = tell_problems(run, error);
    if (code == BERTH_OK)
        code = berth_reconfigure_init(&run->reconfigure, &run->local, &run->config, &run->notify,
                                      error);
    return code;
}

/* A configuration may have a control of its own, which says where it listens. */
static bool has_control(const struct berth_local *local)
{
    for (size_t i = 0; i < local->count; i++)
        if (local->modules[i].name && !strcmp(local->modules[i].name, "control"))
            return true;
    return false;
}

/* The host's name, and where it listens. */
static int name_host(struct run *run, struct berth_error *error)
{
    if (!run->place.name)
        run->place.name = run->file ? run->config.host.name : BERTH_PLACE_NAME;
    if (run->hidden || has_control(&run->local))
        return BERTH_OK;
    run->local.socket = run->path;
    return run->offer.listener >= 0 ? BERTH_OK : berth_place_socket(&run->place, run->path, error);
}

/* Tells how the last run has ended, and has this one's end recorded. */
static int look_at_crash(struct run *run, struct berth_error *error)
{
    struct berth_crash *crash = &run->crash;
    int code = berth_crash_open(crash, run->crash_record, run->place.name, error);

    if (code != BERTH_OK)
        return code;
    berth_crash_tell(crash);
    if (*crash->module && run->config.after_crash == BERTH_AFTER_CRASH_ISOLATE &&
        berth_local_isolate(&run->local, crash->module, crash->version))
        berth_log_warning("%s %s is loaded in a process of its own", crash->module, crash->version);
    berth_crash_arm(crash);
    return BERTH_OK;
}

/* All that is to be known before there is a host. */
static int prepare(struct run *run, struct berth_error *error)
{
    int code;

    run->local.offer = &run->offer;
    run->offer.search = &run->local.search;
    run->offer.user = run;
    run->offer.reconfigure = run->file ? reconfigure : NULL;
    if (!run->file)
        berth_host_options_init(&run->config.host);
    code = run->file ? configure(run, error) : open_log(run, error);
    if (code == BERTH_OK && !run->file)
        code = berth_search_add_standard(&run->local.search, error);
    if (code == BERTH_OK)
        code = berth_local_find(&run->local, error);
    if (code == BERTH_OK && run->file)
        code = berth_local_add_config(&run->local, &run->config, error);
    if (code == BERTH_OK)
        code = name_host(run, error);
    if (code == BERTH_OK && (run->file || run->learn))
        code = berth_config_permit(&run->config, run->learn, run->local.socket != NULL, error);
    if (code == BERTH_OK)
        code = look_at_crash(run, error);
    return code;
}

/* Where named copies go; NULL: there are none. */
static const char *staging_directory(const struct run *run)
{
    const char *how = run->staging ? run->staging : berth_stagings[run->config.staging];
    const char *named = secure_getenv("TMPDIR");

    if (strcmp(how, "file") != 0)
        return NULL;
    return named && *named == '/' ? named : "/tmp";
}

static int serve(struct run *run)
{
    struct berth_host_options options = run->config.host;
    struct berth_local *local = &run->local;
    struct berth_watch_files *watch = NULL;
    struct berth_error error = { 0 };

    options.name = run->place.name;
    options.log = berth_log_print;
    options.staging = staging_directory(run);
    options.flags |= run->probe ? BERTH_HOST_PROBE : 0;
    if (run->crash.fd >= 0)
        options.thread = berth_crash_thread;
    options.scan_signal = SIGRTMIN; /* nobody else uses it in this program */
    int status = berth_local_open(local, options, &error);
    if (status != BERTH_EXIT_OK) {
        berth_output_error(false, &error);
        return status;
    }
    berth_reconfigure_started(&run->reconfigure);
    mind_listener(run);
    if (run->watch && berth_watch_files_begin(local->host, &watch, &error) != BERTH_OK)
        return berth_output_error(false, &error);
    berth_log_info("ready, with %zu module%s", local->loaded, local->loaded == 1 ? "" : "s");
    berth_notify_ready(&run->notify, "%zu module%s", local->loaded, local->loaded == 1 ? "" : "s");
    int signal_number = wait_for_end(run);
    berth_watch_files_end(watch);
    berth_log_info("SIG%s: stopping", sigabbrev_np(signal_number));
    berth_notify_stopping(&run->notify, "stopping after SIG%s", sigabbrev_np(signal_number));
    return run->learn ? berth_learn_print(local->host, local->socket ? &run->config : NULL)
                      : BERTH_EXIT_OK;
}

/* Nothing is said of messages that have all been delivered, nor of blobs that have been released. */
static void end_host(struct berth_local *local)
{
    struct berth_shutdown_report report = { .size = sizeof(report) };

    berth_local_end(local, &report);
    if (report.blobs)
        berth_log_info("modules ended without having released %llu blobs of %llu bytes",
                       (unsigned long long)report.blobs, (unsigned long long)report.blob_bytes);
    if (report.sent == report.delivered)
        return;
    berth_log_info("of %llu messages %llu were delivered, %llu rejected, %llu dropped, %llu "
                   "expired, %llu dead-lettered and %llu left",
                   (unsigned long long)report.sent, (unsigned long long)report.delivered,
                   (unsigned long long)report.rejected, (unsigned long long)report.dropped,
                   (unsigned long long)report.expired, (unsigned long long)report.dead_lettered,
                   (unsigned long long)report.left);
}

/* Prepares, and serves with the signals blocked that end it. */
static int run_host(struct run *run)
{
    struct berth_error error = { 0 };

    run->bound = berth_terminal_binds();
    run->offer.listener = berth_activation_fd();
    if (prepare(run, &error) != BERTH_OK)
        return berth_output_error(false, &error);
    berth_notify_init(&run->notify);
    berth_notify_status(&run->notify, "loading modules");
    berth_signals_block();
    return serve(run);
}

static void read_option(struct run *run, int option)
{
    struct berth_error error = { 0 };

    switch (option) {
    case 'p':
        if (berth_search_add(&run->local.search, optarg, "--path", &error) != BERTH_OK)
            berth_options_problem(&run->options, "%s", error.text);
        break;
    case 'c':
        if (run->file)
            berth_options_problem(&run->options, "--config: one configuration at a time");
        run->file = optarg;
        break;
    case 'l':
        if (!*optarg)
            berth_options_problem(&run->options, "--log: write stderr, journal or a file");
        run->log = optarg;
        break;
    case 'r':
        run->crash_record = optarg;
        break;
    case 'n':
        run->place.name = optarg;
        run->place.name_first = true;
        break;
    case 's':
        run->place.socket = optarg;
        break;
    case 'C':
        run->hidden = true;
        break;
    case 'L':
        run->learn = true;
        break;
    case 'S':
        run->staging = optarg;
        if (strcmp(optarg, "memory") != 0 && strcmp(optarg, "file") != 0)
            berth_options_problem(&run->options, "--staging: write memory or file");
        break;
    case 'b':
        run->probe = true;
        break;
    case 'w':
        run->watch = run->probe = true;
        break;
    }
}

static void read_words(struct run *run, int argc, char **argv)
{
    struct berth_error error = { 0 };
    int option;

    while ((option = berth_options_next(&run->options, argc, argv)) != -1)
        read_option(run, option);
    if (run->hidden && run->place.socket)
        berth_options_problem(&run->options, "--socket makes no sense with --no-control");
    for (char **word = argv + optind; *word; word++)
        if (berth_local_add(&run->local, *word, &error) != BERTH_OK)
            berth_options_problem(&run->options, "%s", error.text);
}

static int run(int argc, char **argv)
{
    static const struct option known[] = {
        { "config", required_argument, NULL, 'c' },
        { "crash-record", required_argument, NULL, 'r' },
        { "learn", no_argument, NULL, 'L' },
        { "log", required_argument, NULL, 'l' },
        { "name", required_argument, NULL, 'n' },
        { "no-control", no_argument, NULL, 'C' },
        { "path", required_argument, NULL, 'p' },
        { "probe", no_argument, NULL, 'b' },
        { "socket", required_argument, NULL, 's' },
        { "staging", required_argument, NULL, 'S' },
        { "watch", no_argument, NULL, 'w' },
        BERTH_OPTION_HELP,
        { 0 },
    };
    struct run run = { .notify = BERTH_NOTIFY_NOBODY,
                       .offer = { .listener = -1 },
                       .crash = { .fd = -1 },
                       .options = { .command = &berth_command_run, .known = known } };
    int status;

    berth_local_init(&run.local);
    read_words(&run, argc, argv);
    if (!berth_options_end(&run.options, &status))
        status = run_host(&run);
    end_host(&run.local);
    berth_local_deinit(&run.local); /* modules' options lie in the configuration */
    berth_crash_close(&run.crash);
    berth_notify_deinit(&run.notify);
    berth_log_close();
    berth_reconfigure_deinit(&run.reconfigure);
    berth_config_deinit(&run.config);
    return status;
}

const struct berth_command berth_command_run = {
    .name = "run",
    .synopsis = "[--name NAME] [--socket PATH | --no-control]\n"
                "          [--config CONFIG] [--learn] [--path DIR]... [--log TARGET]\n"
                "          [--crash-record FILE] [--probe] [--staging memory|file] [--watch]\n"
                "          [FILE|NAME[=inline|process]]...",
    .help = "Runs a host with these modules, in the foreground, until SIGTERM or SIGINT.\n"
            "\n"
            "The modules are loaded in an order that satisfies what they require: all of\n"
            "them, or none. The host listens on a socket, where the other commands find it.\n"
            "\n"
            "  --config CONFIG  starts what berth.conf(5) describes, and the modules that are\n"
            "                   named here as well\n"
            "  --learn          allows everything, and prints at the end which permissions\n"
            "                   were needed, for a configuration\n"
            "  --path DIR       searches names here first; may be repeated\n"
            "  --log TARGET     where the log goes: stderr (the default), journal, or a file\n"
            "  --crash-record FILE\n"
            "                   where a crash of the host is recorded\n"
            "  --probe          maps an image that was never seen in a worker first, which\n"
            "                   its constructors may crash\n"
            "  --staging WHAT   file maps images from copies with names, for perf; else from\n"
            "                   memory\n"
            "  --watch          reloads a module when its file is built anew; has --probe.\n"
            "                   A broken build is told once, and the code before goes on\n"
            "  --name NAME      the host's name, else \"berth\"\n"
            "  --socket PATH    listens there; else, without --name, at $BERTH_SOCKET; or as\n"
            "                   NAME.sock in $XDG_RUNTIME_DIR/berth or, for root, /run/berth\n"
            "  --no-control     listens nowhere\n"
            "  FILE, NAME       a file has a / in its name or ends in .so; a name is searched\n"
            "                   in the directories of berth(1)\n"
            "  FILE=inline      runs in the host's own process, which is the default\n"
            "  FILE=process     runs in a worker of its own, and its crash is only an error\n"
            "\n"
            "What the modules and the host log are lines TIME LEVEL MODULE TEXT. The first\n"
            "one says where the host listens, the line \"ready\" that all modules are serving.\n"
            "At SIGTERM or SIGINT (Ctrl-C) every module is stopped in order, and the exit\n"
            "status is 0; a second signal ends the host at once. SIGHUP reads CONFIG again,\n"
            "and has the host become what it says, all of it or nothing. At SIGUSR1 the log's\n"
            "file is opened anew.\n"
            "\n"
            "Examples:\n"
            "  berth run ./greet.so ./math.so=process\n"
            "  berth run --name backup ./greet.so\n"
            "  berth run --config berth.conf\n",
    .run = run,
};
