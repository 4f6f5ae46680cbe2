/* SPDX-License-Identifier: MIT */
#include "runtime/shell/contents.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "runtime/base/error.h"
#include "runtime/shell/file.h"

/* Takes over what was read, so that the word may point at it. */
static int keep(struct berth_contents *contents, char *data)
{
    char **more = realloc(contents->pieces, (contents->count + 1) * sizeof(*more));
    if (!more)
        return -1;
    contents->pieces = more;
    contents->pieces[contents->count++] = data;
    return 0;
}

void berth_contents_deinit(struct berth_contents *contents)
{
    for (size_t i = 0; i < contents->count; i++)
        free(contents->pieces[i]);
    free(contents->pieces);
    *contents = (struct berth_contents){ 0 };
}

static int take(struct berth_contents *contents, int fd, struct berth_word *word)
{
    size_t size;
    char *data = berth_file_read_all(fd, contents->limit, &size);
    if (!data)
        return -1;
    if (keep(contents, data) < 0) {
        free(data);
        errno = ENOMEM;
        return -1;
    }
    word->data = data;
    word->size = size;
    return 0;
}

static int too_large(const struct berth_contents *contents, const char *parameter, const char *what,
                     struct berth_error *error)
{
    return berth_error_set(error, BERTH_RESOURCE_EXHAUSTED,
                           "argument %s: %s has more than the %zu bytes that a call takes",
                           parameter, what, contents->limit);
}

static int take_input(struct berth_contents *contents, const char *parameter,
                      struct berth_word *word, struct berth_error *error)
{
    if (contents->input_read)
        return berth_error_set(error, BERTH_INVALID_ARGUMENT,
                               "argument %s: standard input is there once; use a file", parameter);
    contents->input_read = true;
    if (take(contents, STDIN_FILENO, word) == 0)
        return BERTH_OK;
    if (errno == EFBIG)
        return too_large(contents, parameter, "standard input", error);
    return berth_error_errno(error, errno, "argument %s: cannot read standard input", parameter);
}

static int take_file(struct berth_contents *contents, const char *parameter, const char *file,
                     struct berth_word *word, struct berth_error *error)
{
    int fd = open(file, O_RDONLY | O_CLOEXEC);
    int code = BERTH_OK;

    if (fd < 0 || take(contents, fd, word) < 0)
        code = errno == EFBIG
                   ? too_large(contents, parameter, file, error)
                   : berth_error_errno(error, errno,
                                       "argument %s: cannot read %s (@@%s is the word itself)",
                                       parameter, file, file);
    if (fd >= 0)
        close(fd);
    return code;
}

int berth_contents_expand(void *user, const char *parameter, struct berth_word *word,
                          struct berth_error *error)
{
    struct berth_contents *contents = user;

    if (word->size == 1 && word->data[0] == '-')
        return take_input(contents, parameter, word, error);
    if (word->size < 1 || word->data[0] != '@')
        return BERTH_OK;
    if (word->size == 1)
        return berth_error_set(error, BERTH_INVALID_ARGUMENT,
                               "argument %s: no file's name after @ (@@ is the word itself)",
                               parameter);
    if (word->data[1] != '@')
        return take_file(contents, parameter, word->data + 1, word, error);
    word->data++;
    word->size--;
    return BERTH_OK;
}
