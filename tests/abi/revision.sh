#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# A module of another ABI revision can be looked at, but nothing of it runs; and what a newer header writes in
# addition does not hinder an older host, unless it must be understood.
. "$(dirname "$0")/../support/tap.sh"

berth=$BERTH_TOP_BUILDDIR/berth
[ -x "$berth" ] || tap_skip_all "berth is not built"
cc=${BERTH_TEST_CC:-cc}
command -v "${cc%% *}" >/dev/null || tap_skip_all "no compiler"
export BERTH_WORKER=${BERTH_WORKER:-$BERTH_TOP_BUILDDIR/berth-worker}
work=$(mktemp -d) || exit
trap 'rm -rf "$work"' EXIT

# headers NAME SED-SCRIPT: a copy of the headers, changed.
headers()
{
    mkdir -p "$work/$1/berth"
    cp "$BERTH_TOP_SRCDIR"/include/berth/*.h "$BERTH_TOP_BUILDDIR"/include/berth/version.h "$work/$1/berth/" 2>/dev/null
    sed -i "$2" "$work/$1/berth/call.h" "$work/$1/berth/module.h" "$work/$1/berth/version.h"
}
headers now ''
headers next 's/^#define BERTH_ABI 1$/#define BERTH_ABI 2/'
headers newer 's/^#define BERTH_API 1$/#define BERTH_API 2/; s/BERTH_VERSION "[^"]*"/BERTH_VERSION "9.0.0"/
               s/^    BERTH_I_RECORD(module, "module=" name/& "\\0colour=green"/'
headers strict 's/^    BERTH_I_RECORD(module, "module=" name/& "\\0!colour=green"/'

cat >"$work/one.c" <<'M'
#include <berth/module.h>
#include <unistd.h>
BERTH_MODULE("one", "1.0.0", "One.");
BERTH_EXPORT(i32, one, "One.") { return 1; }
__attribute__((constructor)) static void loaded(void) { if (write(2, "LOADED\n", 7) < 0) _exit(9); }
M
cat >"$work/two.c" <<'M'
#include <berth/module.h>
BERTH_EXPORT(i32, two, "Two.") { return 2; }
M
flags=(-std=gnu17 -fPIC -fvisibility=hidden)
build() # HEADERS OUTPUT SOURCE...: an object for each source, of these headers
{
    local source with=$1 out=$2
    shift 2
    for source; do
        # shellcheck disable=SC2086 # the compiler may be several words
        $cc "${flags[@]}" "-I$work/$with" -c "$work/$source.c" -o "$work/$source.$with.o" || return
    done
    # shellcheck disable=SC2086
    [ -z "$out" ] || $cc -shared "${@/%/.$with.o}" -o "$out"
}
cd "$work" || exit
for with in now next newer strict; do
    build $with "$with.so" one two || tap_skip_all "cannot compile"
done
# shellcheck disable=SC2086
$cc -shared one.now.o two.next.o -o mixed.so

says() # WORDS COMMAND...: fails, and what it says holds the words; nothing was loaded
{
    local said words=$1
    shift
    if said=$("$@" 2>&1 </dev/null); then
        echo "it did not fail: $said"
        return 1
    fi
    [[ $said == *"$words"* && $said != *LOADED* ]] || { echo "it said: $said"; return 1; }
}
prints() # WORDS COMMAND...
{
    local said words=$1
    shift
    said=$("$@" 2>&1 </dev/null) && [[ $said == *"$words"* ]] || { echo "it said: $said"; return 1; }
}

for placement in inline process; do
    tap_run "of this revision, $placement: runs" prints 1 "$berth" call --with "./now.so=$placement" one.one
    tap_run "of the next one, $placement: refused, and nothing of it has run" \
        says "ABI revision 2, and this berth has revision 1" "$berth" call --with "./next.so=$placement" one.one
    tap_run "of two revisions, $placement: refused" \
        says "ABI revisions 1 and 2" "$berth" call --with "./mixed.so=$placement" one.one
    tap_run "of a newer header with a new key, $placement: runs" \
        prints 1 "$berth" call --with "./newer.so=$placement" one.one
    tap_run "with a key that must be understood, $placement: refused" \
        says '"!colour"' "$berth" call --with "./strict.so=$placement" one.one
done
tap_run "of the next one: can be looked at" prints "ABI 2" "$berth" show ./next.so
tap_run "of a newer header: shown" prints "9.0.0" "$berth" show ./newer.so
tap_run "what is not known is shown" prints "green" "$berth" show ./newer.so
tap_done
