/* SPDX-License-Identifier: MIT */
/* The limit of a start: loads the files that it is given, and says that it is ready. */
#include "tests/bench/many.h"

#include <stdio.h>
#include <unistd.h>

int main(int argc, char **argv)
{
    for (int i = 1; i < argc; i++)
        many_load_plain(argv[i]);
    fputs("ready\n", stderr);
    pause();
    return 0;
}
