#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# What modules leave behind when they are unloaded, each in an application of its own: who leaves
# something is quarantined with the right reason, its twin, which cleans up, is unmapped, and neither
# ends the application, then or at its end.
. "$(dirname "$0")/../support/tap.sh"

here=$BERTH_TOP_BUILDDIR/tests/host
left=$BERTH_TOP_BUILDDIR/tests/fixtures/left
out=$(mktemp)
trap 'rm -f "$out"' EXIT

# run ARGUMENT...: its verdict is in $out, and its end in $status.
run()
{
    timeout 300 "$here/unload" "$@" >"$out" 2>&1
    status=$?
}

# verdict NAME TEXT: the last run came to a good end, and said just that; ... in it is anything.
verdict()
{
    if [ -n "${BERTH_TEST_SANITIZER:-}" ]; then # all images stay mapped
        tap_run "$1: it comes to its end" test "$status" = 0
        return
    fi
    local said wanted=${2//.../*}
    said=$(cat "$out")
    # shellcheck disable=SC2053 # a pattern
    if [ "$status" = 0 ] && [[ $said == $wanted ]]; then
        tap_result 0 "$1" </dev/null
    else
        tap_result 1 "$1" <<<"status $status: $said"
    fi
}

exists()
{
    [ -e "$left/$1.so" ] || { tap_skip "$1" "not built, for want of a C++ compiler that makes it"; return 1; }
}

# Under a sanitizer nothing goes, and nothing is waited for.
expect()
{
    if [ -n "${BERTH_TEST_SANITIZER:-}" ]; then echo stays; else echo "$1"; fi
}

# stays MODULE WHY: it does so; its tidy twin, or TWIN, is unmapped.
stays()
{
    exists "$1" || return
    run stays "$left" "$1"
    verdict "$1 is quarantined" "quarantined: $2"
    run "$(expect goes)" "$left" "${3:-$1}" tidy
    verdict "its twin${3:+, $3,} is unmapped" unmapped
}

# goes MODULE: it leaves nothing that matters.
goes()
{
    exists "$1" || return
    run "$(expect goes)" "$left" "$1"
    verdict "$1 is unmapped" unmapped
}

# ---- Threads ----

modules="thread detached blocked busy exiting"
[[ ${BERTH_TEST_SANITIZER:-} == *thread* ]] || modules+=" c11_thread" # its threads it does not know
for module in $modules; do
    stays $module "1 of the threads that it has started has not ended: its STOP must join them"
done
asleep="the stack of thread ... leads into it"
awake="not proved: thread ... runs, and the application has granted no signal (scan_signal) to ask it"
answered=$asleep
if [ -n "${BERTH_TEST_NO_STACK_SCAN:-}" ]; then # what is lost is the proof, and so the reason
    asleep="not proved: thread ... may be anywhere, as this berth does not look at stacks"
    awake=$asleep answered=$asleep
fi
stays early_thread "$asleep"
stays std_thread "$asleep"
stays early_busy "$awake"
stays entered "a thread that it has made is still inside: its STOP must end that"
stays host_thread "a thread of its own has not ended: it must ask berth_stopping"

run -s stays "$left" early_busy
verdict "a thread that runs is asked, and says that it is inside" "quarantined: $answered"
run -s "$(expect goes)" "$left" early_busy tidy
verdict "and nothing keeps its twin" unmapped

# ---- What the process calls ----

stays signal "it handles signal 10 (USR1): its STOP must give it back"
stays realtime "it handles signal 64 (real-time): its STOP must give it back"
for module in key early_key tss; do
    stays $module "a pthread key with a destructor of its has not been deleted: its STOP must"
done
goes plain_key
run stays "$left" on_exit
tap_run "on_exit is refused, as nothing can take it back" grep -q 'it calls on_exit' "$out"
goes atexit
goes local_static
stays environment "the environment has its BERTH_LEFT: ..."
stays environ "environ is a table of its: use setenv, which makes one that stays"

# ---- What others have ----

stays table "static data of left_keeper@1.0.0#1 lead into its code: ..."
stays operations "static data of left_keeper@1.0.0#1 lead into its data: ..."
stays terminate "static data of libstdc++.so.6... lead into its code: ..."
modules=signal_timer
[[ ${BERTH_TEST_SANITIZER:-} == *thread* ]] || modules+=" notifier" # its thread it does not know
for module in $modules; do
    stays $module "1 of the POSIX timers that it has created has not been deleted: its STOP must"
done
goes timer
goes handle

# ---- What the loader keeps ----

stays nodelete "it is linked with -z nodelete" delete
stays unique "it has static data of C++ templates or inline functions ..." not_unique
stays itself "... another handle, still holds it"
goes static_tls
goes tls
if exists tls_destructor; then
    run "$(expect later)" "$left" tls_destructor
    verdict "tls_destructor is quarantined until its thread has ended" \
        "quarantined: 1 destructor of its thread-local data is to run ...
unmapped"
    run "$(expect goes)" "$left" tls_destructor tidy
    verdict "its twin is unmapped" unmapped
fi

# ---- Where reports would have no names ----

if [ -z "${BERTH_TEST_SANITIZER:-}" ] && command -v valgrind >/dev/null; then
    timeout 300 valgrind --quiet "$here/unload" stays "$left" key tidy >"$out" 2>&1
    status=$?
    if grep -q 'debuginfo reader:.*corrupted' "$out"; then
        tap_skip "under valgrind images stay mapped" "it cannot read this compiler's debug information"
    else
        verdict "under valgrind images stay mapped" \
            "...quarantined: images stay mapped, as under valgrind and sanitizers"
    fi
else
    tap_skip "under valgrind images stay mapped" "no valgrind, or a sanitizer"
fi

tap_done
