/* SPDX-License-Identifier: MIT */
#include <berth/host.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "runtime/base/buffer.h"
#include "runtime/shell/config.h"
#include "runtime/shell/options.h"
#include "runtime/shell/output.h"
#include "runtime/shell/search.h"
#include "runtime/shell/shell.h"
#include "runtime/shell/summary.h"
#include "runtime/value/json.h"

struct check {
    struct berth_options options;
    struct berth_search search;
    bool schema;
    const char *file;
};

static bool ends_with(const char *text, const char *end)
{
    size_t length = strlen(text), size = strlen(end);
    return length >= size && !strcmp(text + length - size, end);
}

/* By its name, else by its content: a configuration has no reason to begin as an ELF file does. */
static bool is_configuration(const char *file)
{
    struct stat status;
    char head[4] = "";

    if (ends_with(file, ".conf") || ends_with(file, ".json"))
        return true;
    if (ends_with(file, ".so") || stat(file, &status) < 0)
        return false;
    if (!S_ISREG(status.st_mode))
        return !S_ISDIR(status.st_mode);
    int fd = open(file, O_RDONLY | O_CLOEXEC);
    ssize_t got = fd >= 0 ? read(fd, head, sizeof(head)) : -1;
    if (fd >= 0)
        close(fd);
    return got < 4 || memcmp(head, "\177ELF", 4) != 0;
}

/* ---- what is said ---- */

static void put_head(const struct check *check, const char *kind, bool fine,
                     struct berth_buffer *buffer)
{
    berth_buffer_text(buffer, "{\"file\":");
    berth_json_write_string(check->file, strlen(check->file), buffer);
    berth_buffer_format(buffer, ",\"kind\":\"%s\",\"fine\":%s,\"problems\":", kind,
                        fine ? "true" : "false");
}

/* Takes what is in the buffer. status is the answer, if it can be written. */
static int print_report(struct berth_buffer *buffer, int status)
{
    struct berth_error error;
    int written;

    if (berth_buffer_check(buffer, &error) != BERTH_OK)
        written = berth_output_error(true, &error);
    else
        written = berth_output_json(buffer->data);
    berth_buffer_deinit(buffer);
    return written == BERTH_EXIT_OK ? status : written;
}

static int print_fine(const struct check *check, const char *what)
{
    struct berth_buffer line;

    berth_buffer_init(&line, 0);
    berth_buffer_format(&line, "%s: fine (%s)\n", check->file, what);
    int status = line.failed ? berth_output_fail(false, BERTH_RESOURCE_EXHAUSTED, "out of memory")
                             : berth_output_text(false, line.data);
    berth_buffer_deinit(&line);
    return status;
}

/* ---- a module ---- */

static int check_module(const struct check *check)
{
    struct berth_summary summary;
    struct berth_buffer buffer;
    struct berth_error error = { 0 };
    char what[256];
    int code = berth_summary_init(&summary, check->file, &error);

    if (check->options.json) {
        berth_buffer_init(&buffer, 0);
        put_head(check, "module", code == BERTH_OK, &buffer);
        berth_buffer_text(&buffer, code == BERTH_OK ? "[" : "[{\"level\":\"error\",\"text\":");
        if (code != BERTH_OK)
            berth_json_write_string(error.text, strlen(error.text), &buffer);
        berth_buffer_text(&buffer, code == BERTH_OK ? "]}" : "}]}");
        if (code == BERTH_OK)
            berth_summary_deinit(&summary);
        return print_report(&buffer, code == BERTH_OK ? BERTH_EXIT_OK : BERTH_EXIT_FAILED);
    }
    if (code != BERTH_OK)
        return berth_output_error(false, &error);
    snprintf(what, sizeof(what), "module %s %s", summary.module, summary.version);
    berth_summary_deinit(&summary);
    return print_fine(check, what);
}

/* ---- a configuration ---- */

static int read_configuration(struct check *check, struct berth_config *config,
                              struct berth_error *error)
{
    int code = berth_config_read(config, check->file, error);
    const char *const *directories = config->path.items;

    for (size_t i = 0; i < config->path.count && code == BERTH_OK; i++)
        code = berth_search_add(&check->search, directories[i], "path", error);
    if (code == BERTH_OK)
        code = berth_search_add_standard(&check->search, error);
    return code == BERTH_OK ? berth_config_check(config, &check->search, false, error) : code;
}

static int report(const struct check *check, struct berth_config *config)
{
    struct berth_error error;
    struct berth_buffer buffer;
    char what[64];
    int code = berth_problems_error(&config->problems, &error);

    if (check->options.json) {
        berth_buffer_init(&buffer, 0);
        put_head(check, "configuration", code == BERTH_OK, &buffer);
        berth_problems_json(&config->problems, &buffer);
        berth_buffer_text(&buffer, "}");
        return print_report(&buffer, code == BERTH_OK ? BERTH_EXIT_OK : BERTH_EXIT_FAILED);
    }
    berth_problems_print(&config->problems);
    if (code != BERTH_OK)
        return berth_output_error(false, &error);
    snprintf(what, sizeof(what), "%zu module%s", config->modules.count,
             config->modules.count == 1 ? "" : "s");
    return print_fine(check, what);
}

static int check_configuration(struct check *check)
{
    struct berth_config config;
    struct berth_error error = { 0 };
    int code = read_configuration(check, &config, &error);
    int status =
        code == BERTH_OK ? report(check, &config) : berth_output_error(check->options.json, &error);

    berth_config_deinit(&config);
    return status;
}

/* ---- the command ---- */

static int print_schema(void)
{
    struct berth_buffer buffer;

    berth_buffer_init(&buffer, 0);
    berth_config_schema(&buffer);
    return print_report(&buffer, BERTH_EXIT_OK);
}

static int check_word(struct check *check, const char *word)
{
    struct berth_error error = { 0 };
    int code = BERTH_OK;

    check->file = word;
    if (!berth_search_is_file(word) && !ends_with(word, ".conf") && !ends_with(word, ".json")) {
        code = berth_search_add_standard(&check->search, &error);
        if (code == BERTH_OK)
            code = berth_search_file(&check->search, word, &check->file, &error);
    }
    if (code != BERTH_OK)
        return berth_output_error(check->options.json, &error);
    return is_configuration(check->file) ? check_configuration(check) : check_module(check);
}

static void read_options(struct check *check, int argc, char **argv)
{
    struct berth_error error = { 0 };
    int option;

    while ((option = berth_options_next(&check->options, argc, argv)) != -1) {
        check->schema |= option == 's';
        if (option == 'p' && berth_search_add(&check->search, optarg, "--path", &error) != BERTH_OK)
            berth_options_problem(&check->options, "%s", error.text);
    }
    if (check->schema && optind < argc)
        berth_options_problem(&check->options, "--schema takes no file");
    else if (!check->schema && argc - optind != 1)
        berth_options_problem(&check->options,
                              optind == argc ? "CONFIG or FILE is missing" : "one file at a time");
}

static int run(int argc, char **argv)
{
    static const struct option known[] = {
        { "path", required_argument, NULL, 'p' },
        { "schema", no_argument, NULL, 's' },
        BERTH_OPTION_JSON,
        BERTH_OPTION_HELP,
        { 0 },
    };
    struct check check = { .options = { .command = &berth_command_check, .known = known } };
    int status;

    berth_search_init(&check.search);
    read_options(&check, argc, argv);
    if (!berth_options_end(&check.options, &status))
        status = check.schema ? print_schema() : check_word(&check, argv[optind]);
    berth_search_deinit(&check.search);
    return status;
}

const struct berth_command berth_command_check = {
    .name = "check",
    .synopsis = "CONFIG|FILE|NAME [--path DIR]... [--json]\n"
                "berth check --schema",
    .help = "Checks a configuration, or a module's file, and runs no code of any module.\n"
            "\n"
            "A configuration, berth.conf(5), is any file that is no module. All that is\n"
            "wrong is told, one line each: FILE:LINE:COLUMN: TEXT. Its modules are looked at,\n"
            "too: whether they are there and satisfy the version, whether their options are\n"
            "right, and whether what they require is among them.\n"
            "\n"
            "  --path DIR  searches names here first; may be repeated\n"
            "  --json      prints what it has found as one JSON object\n"
            "  --schema    prints the JSON Schema of a configuration instead\n"
            "\n"
            "Examples:\n"
            "  berth check berth.conf\n"
            "  berth check ./greet.so\n",
    .run = run,
};
