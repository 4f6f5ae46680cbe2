#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# A crash of berth run: what is recorded of it, that it ends as without that, and the next start.
. "$(dirname "$0")/shell.sh"

[ -z "${BERTH_TEST_SANITIZER:-}" ] || tap_skip_all "a sanitizer has handlers of its own"
exec </dev/null
unset BERTH_SOCKET
export XDG_RUNTIME_DIR=$work
unset XDG_STATE_HOME
ulimit -c 0
build_module crashes <<'C'
#include <berth/module.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
BERTH_MODULE("crashes", "1.2.3", "Crashes in many ways.");
BERTH_OPTION(string, way, "none", "How.");
static int *volatile nowhere;
static volatile int depth;
__attribute__((noinline)) static int fall(int by)
{
    volatile char room[4096];
    memset((char *)room, by, sizeof room);
    return by < 0 ? room[0] : fall(by + 1) + room[1] + depth;
}
static int threads, crashing;
static void other(berth_ctx *ctx, void *user)
{
    (void)ctx;
    __atomic_add_fetch(&threads, 1, __ATOMIC_ACQ_REL);
    while (!__atomic_load_n(&crashing, __ATOMIC_ACQUIRE))
        ;
    usleep((unsigned)(uintptr_t)user); /* while the other crash is being recorded */
    *nowhere = 1;
}
static void crash(berth_ctx *ctx)
{
    const char *way = option_way(ctx);
    if (!strcmp(way, "segv"))
        *nowhere = 1;
    if (!strcmp(way, "abort"))
        abort();
    if (!strcmp(way, "fpe"))
        raise(SIGFPE);
    if (!strcmp(way, "overflow"))
        fall(0);
    if (!strcmp(way, "kill"))
        kill(getpid(), SIGSEGV);
    if (!strcmp(way, "several")) {
        for (uintptr_t delay = 50; delay < 300; delay += 50)
            berth_thread(ctx, "other", other, (void *)delay);
        while (__atomic_load_n(&threads, __ATOMIC_ACQUIRE) < 5)
            usleep(1000);
        __atomic_store_n(&crashing, 1, __ATOMIC_RELEASE);
        *nowhere = 1;
    }
}
BERTH_EXPORT(void, boom, "Crashes.")
{
    crash(ctx);
}
C
build_module calls <<'C'
#include <berth/module.h>
BERTH_MODULE("calls", "1.0.0", "Calls it.");
BERTH_IMPORT(void, crashes, boom);
static void tick(berth_ctx *ctx, void *user)
{
    (void)user;
    crashes_boom(ctx);
}
BERTH_START
{
    berth_timer(ctx, 0, 0, tick, 0);
}
C

# crash WAY: a host that ends by it.
crash()
{
    echo "{\"modules\": {\"calls\": {\"file\": \"./calls.so\"}, \"crashes\": {\"file\": \"./crashes.so\", \"options\": {\"way\": \"$1\"}}}${2:-}}" >crash.conf
    start --config crash.conf --crash-record record
    finish 2>/dev/null
}

crash segv
tap_run "a crash ends it as without a record" test "$status" = 139
tap_run "the record tells what it was" grep -qx 'signal SIGSEGV' record
tap_run "and where" grep -qx 'address 0x0' record
tap_run "the calls, the innermost first" test "$(grep '^in ' record | tr '\n' ' ')" = \
    'in crashes@1.2.3#1 boom in calls@1.0.0#1 callback '
tap_run "the code, from the beginning of its image" grep -m1 -qxE 'at 0x[0-9a-f]+ crashes@1\.2\.3#1\+0x[0-9a-f]+' record
tap_run "and those that have called it" grep -qE '^at 0x[0-9a-f]+ calls@1\.0\.0#1\+0x' record
tap_run "it is whole" test "$(head -n 1 record) $(tail -n 1 record)" = "berth crash 1 end"
if command -v addr2line >/dev/null; then
    offset=$(sed -n 's/^at .* crashes@1.2.3#1+//p' record | head -n 1)
    tap_run "which addr2line understands" grep -qE '^(crash|boom|call_boom|berth_f_boom|.*boom.*)$' \
        <(addr2line -f -e crashes.so "$offset")
else
    tap_skip "which addr2line understands" "no addr2line"
fi
mv record first

crash several
tap_run "of several threads at once one is recorded, and whole" test "$status" = 139 -a \
    "$(grep -c '^signal SIGSEGV$' record) $(tail -n 1 record)" = "1 end"
crash abort
tap_run "abort" test "$status" = 134 -a "$(grep -c '^signal SIGABRT$' record)" = 1
crash fpe
tap_run "a signal that is raised" test "$status" = 136 -a "$(grep -c '^signal SIGFPE$' record)" = 1
crash kill
tap_run "a signal from outside" test "$status" = 139 -a "$(grep -c '^signal SIGSEGV$' record)" = 1
crash overflow
tap_run "a stack that is used up" test "$status" = 139
tap_run "has a record, too" grep -qx 'in crashes@1.2.3#1 boom' record
tap_run "which holds the last crash only" test "$(grep -c '^berth crash' record)" = 1

# ---- The next start ----

cp first record
begin --crash-record record
tap_run "the next start tells of it" grep -qE \
    ' warning host the last run ended with SIGSEGV at [0-9T:-]+Z in crashes 1\.2\.3: calls\.callback → crashes\.boom; record tells' err
end
tap_run "and leaves the record as it is" cmp first record
echo '{"modules": {"crashes": {"file": "./crashes.so", "options": {"way": "segv"}}, "calls": {"file": "./calls.so"}}, "after_crash": "isolate"}' >isolate.conf
start --config isolate.conf --crash-record record
wait_for 'its worker was killed by signal 11'
tap_run "isolate has the module run in a worker" grep -q ' warning host crashes 1.2.3 is loaded in a process of its own' err
end
tap_run "whose crash is not the host's" test "$status" = 0
tap_run "nor recorded" cmp first record
sed 's/1\.2\.3/1.2.2/' first >record
sed 's/"segv"/"none"/' isolate.conf >fine.conf
begin --config fine.conf --crash-record record
end
tap_run "a new version has a new chance" test "$(grep -c 'process of its own' err)" = 0
echo garbage >record
begin --crash-record record
end
tap_run "what is no record is nothing" test "$status" = 0 -a "$(grep -c warning err)" = 0

# ---- Places ----

export XDG_STATE_HOME=$work/state
mkdir state
sed 's/^{/{"name": "shop", /' crash.conf >named.conf
sed -i 's/"way": "[a-z]*"/"way": "segv"/' named.conf
start --config named.conf
finish 2>/dev/null
tap_run "it is kept under the name of the host" grep -q '^in crashes' state/berth/shop.crash
fails "a place that cannot be written" 1 "*berth: not_found: the crash record no/record: *" run --crash-record no/record

tap_done
