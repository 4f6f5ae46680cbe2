/* SPDX-License-Identifier: MIT */
/*
 * A configuration, as anybody may write one. Where nothing is wrong with it, its options must be
 * JSON when they are written without comments, and what is read must be within the table's bounds.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/shell/config.h"
#include "runtime/value/json.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool condition)
{
    if (!condition)
        abort();
}

static void check_options(struct berth_config *config, const struct berth_node *options)
{
    struct berth_buffer buffer;
    struct berth_error error;

    berth_buffer_init(&buffer, 0);
    berth_config_write_options(config, "", options, false, &buffer);
    require(!buffer.failed);
    require(berth_json_check(buffer.data, buffer.size, &error) == BERTH_OK);
    berth_buffer_deinit(&buffer);
}

/* What the host is told is JSON, whatever the configuration says. */
static void check_permissions(struct berth_config *config)
{
    struct berth_error error;

    require(config->permissions.mode >= 0 && config->permissions.mode <= 2);
    require(berth_config_permit(config, false, false, &error) == BERTH_OK);
    require(berth_json_check(config->host.permissions, strlen(config->host.permissions), &error) ==
            BERTH_OK);
}

static void check_values(struct berth_config *config)
{
    const struct berth_config_module *modules = config->modules.items;

    require(config->whole && config->host.name && *config->host.name);
    require(config->host.threads == -1 ||
            (config->host.threads >= 1 && config->host.threads <= 1024));
    require(config->host.max_message >= 1024 && config->host.max_message <= 1 << 30);
    for (size_t i = 0; i < config->modules.count; i++)
        if (modules[i].options)
            check_options(config, modules[i].options);
    check_permissions(config);
}

static void check_problems(struct berth_config *config)
{
    const struct berth_problem *list = berth_problems_sort(&config->problems);

    for (size_t i = 0; i < config->problems.count; i++)
        require(list[i].line >= 1 && list[i].column >= 1 && *list[i].text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct berth_config config;
    struct berth_error error;
    char *text = malloc(size ? size : 1); /* ends where the text ends */

    require(text != NULL);
    if (size)
        memcpy(text, data, size);
    require(berth_config_parse(&config, "berth.conf", text, size, &error) == BERTH_OK);
    check_problems(&config);
    if (config.problems.errors == 0)
        check_values(&config);
    berth_config_deinit(&config);
    free(text);
    return 0;
}
