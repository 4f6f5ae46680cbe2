#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# What a debugger and other tools see of modules: the source lines of every generation, and names.
. "$(dirname "$0")/hosts.sh"

[ -z "${BERTH_TEST_SANITIZER:-}" ] || tap_skip_all "the plain build does this"

cat >inside.h <<'C'
#include <fcntl.h>
#include <unistd.h>
/* Says that somebody is inside of a version. */
static unsigned inside(const char *version)
{
    close(open(version, O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
    return 1;
}
C

# build VERSION: told-VERSION.c, whose function waits; in line 6 of it.
build()
{
    cat >"told-$1.c" <<C
#include <berth/module.h>
#include "inside.h"
BERTH_MODULE("told", "$1", "Is looked at.");
BERTH_PARALLEL;
static int64_t wait_in_$1(int64_t seconds) {
    while (seconds-- > 0) sleep(inside("$1"));
    return 1;
}
BERTH_EXPORT(i64, linger, "Waits.", (i64, seconds)) { return wait_in_$1(seconds) + inside("$1"); }
C
    sed -i "s/wait_in_$1/wait_in_${1//./_}/" "told-$1.c"
    ${BERTH_TEST_CC:-cc} -g -O0 -fPIC -shared -fvisibility=hidden -Wl,-z,now \
        -I"$BERTH_TOP_SRCDIR/include" -I"$BERTH_TOP_BUILDDIR/include" -o told.so "told-$1.c"
}

# linger VERSION: has a thread inside of it.
linger()
{
    rm -f "$1"
    "$berth" call told.linger 600 >/dev/null 2>&1 &
    started+=($!)
    until_so test -e "$1"
}

is_current()
{
    "$berth" list 2>/dev/null | grep -q "told.*$1"
}

# two_generations ARG...: a host where one thread is in the first generation, and another in the second.
two_generations()
{
    build 1.0.0
    host_begin "$@" ./told.so
    linger 1.0.0
    build 2.0.0
    timeout 60 "$berth" reload told >report 2>&1 &
    started+=($!)
    until_so is_current 2.0.0
    linger 2.0.0
}

# backtraces: of all threads, in the file out.
backtraces()
{
    timeout -k 5 120 gdb -nx -batch -p "$host" -ex 'set pagination off' -ex 'thread apply all bt' \
        </dev/null >out 2>err
}

may_debug()
{
    command -v gdb >/dev/null || return 1
    sleep 600 &
    started+=($!)
    timeout -k 5 60 gdb -nx -batch -p $! -ex 'info threads' 2>/dev/null | grep -q 'Thread\|process\|LWP'
}

if may_debug; then
    two_generations
    backtraces
    tap_run "gdb shows the source lines of the current generation" grep -q 'wait_in_2_0_0 .*told-2\.0\.0\.c:6' out
    tap_run "and those of the old one" grep -q 'wait_in_1_0_0 .*told-1\.0\.0\.c:6' out
    tap_run "and of what the macros have made" grep -q 'berth_export_linger .*told-[12]\.0\.0\.c:9' out
    tap_run "memory is named by module and version" grep -q 'memfd:told@1\.0\.0#1' "/proc/$host/maps"
    tap_run "each generation" grep -q 'memfd:told@2\.0\.0#2' "/proc/$host/maps"
    kill -KILL "$host"
    until_so is_gone "$host"
else
    tap_skip "gdb" "no gdb that may look at another process"
fi

# ---- Copies with names ----

mkdir tmp
export TMPDIR=$work/tmp
two_generations --staging file
copies=$(find tmp -name '*.so' | sort)
tap_run "--staging file: copies with names" \
    test "$(basename -a $copies | tr '\n' ' ' | sed 's/control@[0-9.]*#1.so //')" = "told@1.0.0#1.so told@2.0.0#2.so "
tap_run "in a directory for this user alone" test "$(stat -c %a tmp/berth-*)" = 700
tap_run "which nobody writes to" test "$(stat -c %a tmp/berth-*/told@1.0.0#1.so)" = 400
tap_run "are what is mapped" grep -q "$work/tmp/berth-.*/told@1\.0\.0#1\.so" "/proc/$host/maps"
if may_debug; then
    backtraces
    tap_run "gdb shows lines of these, too" grep -q 'wait_in_2_0_0 .*told-2\.0\.0\.c:6' out
fi
"$berth" load ./told.so --as other >/dev/null
tap_run "the same image once more has another name" test "$(find tmp -name 'told@2.0.0#1.so' | wc -l)" = 1
"$berth" unload other
"$berth" load ./told.so --as other >/dev/null
"$berth" reload other >/dev/null
tap_run "and no name comes again" test "$(find tmp -name 'told@2.0.0#*' | wc -l)" -ge 4
kill -KILL "$host"
until_so is_gone "$host"
rm -rf tmp/*

build 1.0.0
cat >a.conf <<'CONF'
{"staging": "file", "modules": {"told": {"file": "told.so"}}}
CONF
host_begin --config a.conf
tap_run "\"staging\" in a configuration" test "$(find tmp -name 'told@1.0.0#1.so' | wc -l)" = 1
build 2.0.0
"$berth" reload told >/dev/null
tap_run "what was replaced keeps its name" test "$(find tmp -name 'told@1.0.0#1.so' | wc -l)" = 1
host_end
tap_run "at the end nothing is left" test "$status" = 0 -a -z "$(ls -A tmp)"
host_begin --staging memory --config a.conf
tap_run "--staging memory comes before it" test -z "$(ls -A tmp)"
host_end

# profile SECONDS: what perf has seen of the host while a module counted for so long, in the file out.
profile()
{
    timeout -k 5 120 perf record -q -e cpu-clock -o data -p "$host" -- "$berth" call counts.count "$1" &&
        timeout -k 5 120 perf report -i data --stdio
} </dev/null >out 2>err

build_module counts <<'C'
#include <berth/module.h>
#include <time.h>
BERTH_MODULE("counts", "1.2.3", "Counts.");
__attribute__((noinline)) static int64_t count_on(void)
{
    volatile int64_t n = 0;
    while (n < 1000000) n++;
    return n;
}
BERTH_EXPORT(i64, count, "Counts for so long.", (i64, seconds))
{
    clock_t end = clock() + seconds * CLOCKS_PER_SEC;
    int64_t n = 0;
    while (clock() < end) n += count_on();
    return n;
}
C
host_begin --staging file ./counts.so
if perf record -q -e cpu-clock -o data -p "$host" -- true >/dev/null 2>&1; then
    profile 1
    tap_run "perf names functions, and whose they are" grep -q 'counts@1\.2\.3#1\.so .*count_on' out
else
    tap_skip "perf" "no perf that may look at another process"
fi
host_end
TMPDIR=$work/none fails "a directory that is not there" 3 "berth: not_found: no directory for named copies can be made in $work/none: *" run --no-control --staging file ./told.so
fails "what is neither" 2 "berth: *--staging: write memory or file*" run --staging disk ./told.so

tap_done
