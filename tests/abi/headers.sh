#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# What is inlined into other people's programs keeps to what all of their compilers know and agree on.
. "$(dirname "$0")/../support/tap.sh"

cd "$BERTH_TOP_SRCDIR/include/berth" || exit

# <stdatomic.h> is no C++17, std::atomic is no C; __sync is a full barrier.
tap_empty "only __atomic builtins" "$(grep -nE 'stdatomic|_Atomic|std::atomic|__sync_|\bvolatile\b' ./*.h)"
tap_empty "no thread-local storage and no assembly" "$(grep -nwE '__thread|_Thread_local|thread_local|asm|__asm__' ./*.h)"
# No header here may need a feature macro that its user has not set.
allowed='<(berth/[a-z]+\.h|stdarg\.h|stdbool\.h|stddef\.h|stdint\.h|exception)>'
tap_empty "only freestanding headers, and <exception> for C++" "$(grep -nE '^ *# *include' ./*.h | grep -vE "$allowed")"
# An argument of a macro may be empty only where the standard of 2011 lets it: after a comma.
tap_empty "no GNU comma, no __VA_OPT__" "$(grep -nE ',[ ]*##|__VA_OPT__' ./*.h)"
# All other names are the user's.
names=$(grep -hoE '^ *# *define +[A-Za-z_][A-Za-z0-9_]*' ./*.h | awk '{ print $NF }' | grep -vE '^(BERTH|berth)_')
tap_empty "every macro begins with BERTH_ or berth_" "$names"
tap_done
