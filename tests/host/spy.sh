#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# libberth has no side effects on its application: what the library could call is read from its
# imports, what it does call is noted by a preloaded spy, and what a process shares is compared.
. "$(dirname "$0")/../support/tap.sh"

[ -z "${BERTH_TEST_SANITIZER:-}" ] || tap_skip_all "a sanitizer calls what it likes"
library=$BERTH_TOP_BUILDDIR/.libs/libberth.so
here=$BERTH_TOP_BUILDDIR/tests/host
fixtures=$BERTH_TOP_BUILDDIR/tests/fixtures
worker=${BERTH_WORKER:-$BERTH_TOP_BUILDDIR/berth-worker}
[ -e "$library" ] || tap_skip_all "no $library"
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT

# spied NAME ARGUMENT...: runs the application with the spy; NAME.log has what was noted.
spied()
{
    local name=$1
    shift
    : >"$dir/$name.log"
    BERTH_SPY_LOG=$dir/$name.log LD_PRELOAD=$here/spy.so timeout 500 "$here/spied" "$@"
}

# ---- The spy itself ----

BERTH_SPY_WATCH=main spied provoke provoke >/dev/null 2>&1
tap_empty "the spy notes what a watched program calls" "$(comm -23 <(printf '%s\n' \
    chdir exit fork fprintf getenv printf puts setenv setlocale sigaction signal umask write | sort) \
    <(sort -u "$dir/provoke.log"))"
tap_empty "and nothing of a stream of its own" "$(grep -x fputs "$dir/provoke.log")"
spied innocent provoke >/dev/null 2>&1
tap_empty "nor what a program calls that is not watched" "$(cat "$dir/innocent.log")"

# ---- The library ----

# Assertions, of debug builds only, may end the application.
# sigaction is for the signal that an application grants, and the spy below sees to it that it is not called.
forbidden='signal sigset sigaltstack raise alarm setitimer exit _exit quick_exit abort
    atexit on_exit fork _Fork vfork system popen posix_spawn posix_spawnp setlocale chdir fchdir chroot
    umask getenv secure_getenv setenv unsetenv putenv clearenv setrlimit nice mallopt rand srand
    random srandom drand48 cJSON_InitHooks printf vprintf fprintf vfprintf puts putchar fputs fputc
    fwrite perror __printf_chk __fprintf_chk __vprintf_chk __vfprintf_chk stdin stdout stderr syslog
    warn warnx err errx error'
imports=$(${NM:-nm} -D --undefined-only "$library" | awk '{ sub(/@.*/, "", $NF); print $NF }' | sort -u)
tap_empty "libberth.so imports nothing that it must not call" \
    "$(comm -12 <(tr -s ' \n' '\n' <<<"$forbidden" | sort -u) <(echo "$imports"))"

tap_run "an application finds all as it was, with threads" \
    spied threads 2 "$fixtures" "$worker"
tap_empty "libberth has called nothing behind its back" "$(sort "$dir/threads.log" | uniq -c)"
export BERTH_SPY_NO_THREADS=1
tap_run "an application finds all as it was, without threads" \
    spied polled 0 "$fixtures" "$worker"
tap_empty "libberth has called nothing, and started no thread" "$(sort "$dir/polled.log" | uniq -c)"
tap_done
