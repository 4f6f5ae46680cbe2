/* SPDX-License-Identifier: MIT */
/* A module's options in a configuration: JSON, in which a string may be a reference instead. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "runtime/base/error.h"
#include "runtime/base/text.h"
#include "runtime/shell/config.h"
#include "runtime/shell/file.h"
#include "runtime/value/json.h"

/* No message here says what a reference stands for: it may be a secret. */
static void write_secret(struct berth_config *config, const char *prefix,
                         const struct berth_node *reference, const char *what, const char *data,
                         size_t size, struct berth_buffer *buffer)
{
    if (memchr(data, '\0', size) || !berth_utf8_valid(data, size, NULL))
        berth_problems_add(&config->problems, false, reference->at,
                           "%s%s: it is not a text (UTF-8 without NUL), which a string is", prefix,
                           what);
    else
        berth_json_write_string(data, size, buffer);
}

static void cannot_read(struct berth_config *config, const char *prefix,
                        const struct berth_node *reference, const char *file, int number)
{
    struct berth_error error;

    if (number == EFBIG)
        berth_error_set(&error, BERTH_RESOURCE_EXHAUSTED, "%s: it has more than 1 MiB", file);
    else
        berth_error_errno(&error, number, "%s", file);
    berth_problems_add(&config->problems, false, reference->at, "%s$file %s", prefix, error.text);
}

/* Without the newline at its end, if there is one: editors and echo put it there. */
static void write_file(struct berth_config *config, const char *prefix,
                       const struct berth_node *reference, const char *file,
                       struct berth_buffer *buffer)
{
    size_t size;
    char *data = berth_file_read(file, BERTH_SECRET_SIZE_MAX, &size);

    if (!data) {
        cannot_read(config, prefix, reference, file, errno);
        return;
    }
    if (size > 0 && data[size - 1] == '\n')
        size--;
    write_secret(config, prefix, reference, file, data, size, buffer);
    explicit_bzero(data, size);
    free(data);
}

static void write_variable(struct berth_config *config, const char *prefix,
                           const struct berth_node *reference, struct berth_buffer *buffer)
{
    const char *value = secure_getenv(reference->text);

    if (!value)
        berth_problems_add(&config->problems, false, reference->at,
                           "%s$%s is not set in the environment", prefix, reference->text);
    else
        write_secret(config, prefix, reference, reference->text, value, strlen(value), buffer);
}

/* Who only checks a configuration may not be allowed to read the secret; but it has to be there. */
static void check_file(struct berth_config *config, const char *prefix,
                       const struct berth_node *reference, const char *file)
{
    struct stat status;

    if (stat(file, &status) < 0 && errno != EACCES)
        cannot_read(config, prefix, reference, file, errno);
}

static void write_reference(struct berth_config *config, const char *prefix,
                            const struct berth_node *reference, bool resolve,
                            struct berth_buffer *buffer)
{
    const char *name = berth_node_text(reference);
    const char *file = NULL;

    if (!resolve)
        berth_buffer_text(buffer, "\"\"");
    if (!name || !*name) /* was refused when it was read */
        return;
    if (reference->key[1] == 'f') {
        file = berth_file_beside(config->file, name, &config->arena);
        if (!file)
            buffer->failed = true;
        else if (resolve)
            write_file(config, prefix, reference, file, buffer);
        else
            check_file(config, prefix, reference, file);
    } else if (resolve) {
        write_variable(config, prefix, reference, buffer);
    }
}

static void write_list(struct berth_config *config, const char *prefix,
                       const struct berth_node *node, bool resolve, struct berth_buffer *buffer)
{
    bool object = node->kind == BERTH_NODE_OBJECT;

    berth_buffer_text(buffer, object ? "{" : "[");
    berth_node_each(node, child)
    {
        if (child != node->first)
            berth_buffer_text(buffer, ",");
        if (object) {
            berth_json_write_string(child->key, strlen(child->key), buffer);
            berth_buffer_text(buffer, ":");
        }
        berth_config_write_options(config, prefix, child, resolve, buffer);
    }
    berth_buffer_text(buffer, object ? "}" : "]");
}

void berth_config_write_options(struct berth_config *config, const char *prefix,
                                const struct berth_node *node, bool resolve,
                                struct berth_buffer *buffer)
{
    const struct berth_node *reference = berth_config_reference(node);

    if (reference)
        write_reference(config, prefix, reference, resolve, buffer);
    else if (node->kind == BERTH_NODE_OBJECT || node->kind == BERTH_NODE_ARRAY)
        write_list(config, prefix, node, resolve, buffer);
    else
        berth_buffer_append(buffer, node->at, node->size);
}
