/* SPDX-License-Identifier: MIT */
/* Words that stand for more: @FILE and - as the arguments of a call. */
#ifndef RUNTIME_SHELL_CONTENTS_H
#define RUNTIME_SHELL_CONTENTS_H

#include <berth/host.h>

/* What the words of one call have brought. Zero before use, but for limit. */
struct berth_contents {
    size_t limit; /* of the bytes of one word: no call takes more */
    char **pieces;
    size_t count;
    bool input_read;
};
void berth_contents_deinit(struct berth_contents *contents);

/*
 * For berth_call_words, with a struct berth_contents as user: @FILE becomes what is in the file, -
 * what comes on standard input (once), @@x the word @x. Other words stay as they are.
 */
int berth_contents_expand(void *user, const char *parameter, struct berth_word *word,
                          struct berth_error *error);

#endif
