#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# repeat.sh PROGRAM...: runs test programs with one seed after the other until BERTH_SOAK_SECONDS
# (default 60) are over for each. Seeds count up from BERTH_TEST_SEED, or from a random one; the
# first failure ends it, and its seed is the last one that was printed.

set -eu
seconds=${BERTH_SOAK_SECONDS:-60}
seed=${BERTH_TEST_SEED:-$((RANDOM * 32768 + RANDOM))}
said=$(mktemp)
trap 'rm -f "$said"' EXIT

for program; do
    end=$((SECONDS + seconds)) runs=0
    while :; do
        export BERTH_TEST_SEED=$seed
        if ! "./$program" >"$said" 2>&1; then
            cat "$said"
            echo "$program: failed with BERTH_TEST_SEED=$seed" >&2
            exit 1
        fi
        runs=$((runs + 1)) seed=$((seed + 1))
        [ $SECONDS -lt $end ] || break
    done
    echo "$program: $runs runs, seeds $((seed - runs)) to $((seed - 1))"
done
