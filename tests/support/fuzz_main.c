/* SPDX-License-Identifier: MIT */
/*
 * The main() of a fuzz target that was built without libFuzzer: gives it every seed once, and the
 * empty input, as tests. It stands in the support library, so that a program with a main() of its
 * own, or libFuzzer's, never links it.
 */
#include <dirent.h>
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/support/scratch.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int visible(const struct dirent *entry)
{
    return entry->d_name[0] != '.';
}

int main(int argc, char **argv)
{
    /* .../elf_fuzz -> tests/corpus/elf */
    int length = (int)strcspn(program_invocation_short_name, "_");
    const char *corpus = argc > 1
                             ? argv[1]
                             : berth_test_source(berth_test_format("tests/corpus/%.*s", length,
                                                                   program_invocation_short_name));
    struct dirent **seeds;
    int count = scandir(corpus, &seeds, visible, alphasort);
    if (count < 0) {
        fprintf(stderr, "%s: %s\n", corpus, strerror(errno));
        return EXIT_FAILURE;
    }

    printf("1..%d\n", count + 1);
    fflush(stdout);
    LLVMFuzzerTestOneInput(NULL, 0);
    printf("ok 1 - nothing\n");
    for (int i = 0; i < count; i++) {
        size_t size;
        char *data = berth_test_read(berth_test_format("%s/%s", corpus, seeds[i]->d_name), &size);
        /* An exact copy: reading one byte too far is then an error that ASan and valgrind see. */
        uint8_t *input = malloc(size);
        if (size)
            memcpy(input, data, size);
        LLVMFuzzerTestOneInput(input, size);
        free(input);
        printf("ok %d - %s\n", i + 2, seeds[i]->d_name);
        fflush(stdout);
        free(seeds[i]);
    }
    free(seeds);
    berth_scratch_clear();
    return EXIT_SUCCESS;
}
