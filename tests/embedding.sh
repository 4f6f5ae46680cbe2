#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# The pieces of C in doc/embedding.md are one program: it builds as C and as C++ without a warning,
# and prints what the page promises.
. "$(dirname "$0")/support/tap.sh"

page=$BERTH_TOP_SRCDIR/doc/embedding.md
libraries=$BERTH_TOP_BUILDDIR/.libs
cc=${BERTH_TEST_CC:-cc}
[ -e "$libraries/libberth.so" ] || tap_skip_all "no $libraries/libberth.so"
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT

awk '/^```c$/ { code = 1; next } /^```/ { code = 0 } code' "$page" >"$dir/app.c"
tap_run "the page has a program" grep -q 'int main' "$dir/app.c"

# build NAME COMPILER OPTION...: the program, as a warning-free NAME.
build()
{
    local name=$1 compiler=$2
    shift 2
    # shellcheck disable=SC2086
    "$compiler" "$@" -D_GNU_SOURCE -Wall -Wextra -Wshadow -Wconversion -Werror \
        ${BERTH_TEST_SANITIZER:-} -I"$BERTH_TOP_SRCDIR/include" -I"$BERTH_TOP_BUILDDIR/include" \
        -o "$dir/$name" "$dir/app.c" -L"$libraries" -lberth
}

cat >"$dir/expected" <<'TEXT'
"Hello, World"
note: greeted you
Hello, you
note: greeted again
note: greeted again
note: greeted again
note: greeted bound
Hello, bound
greet.hello: name is empty: say whom to greet
note: greeted prepared
Hello, prepared
note: greeted in time
"Hello, in time"
note: greeted Ann
note: greeted Bob
"Hello, Ann"
"Hello, Bob"
cancelled
note: greeted a function
"Hello, a function"
invalid_argument
not_found
not_found
greet@1.0.0#1 is now greet@1.0.0#2
greet.summary: {"guests":10}
0 bytes
libberth has memory of ours
TEXT

# runs NAME: prints what is expected.
runs()
{
    LD_LIBRARY_PATH=$libraries timeout 300 "$dir/$1" "$dir/greet.so" >"$dir/said" 2>"$dir/errors" ||
        { cat "$dir/errors"; return 1; }
    diff "$dir/expected" "$dir/said"
}

# The module of the examples, as its first lines say.
tap_run "the module builds" "$cc" -shared -fPIC -fvisibility=hidden -Wl,-z,now -Wall -Wextra -Werror \
    -I"$BERTH_TOP_SRCDIR/include" -I"$BERTH_TOP_BUILDDIR/include" \
    -o "$dir/greet.so" "$BERTH_TOP_SRCDIR/doc/examples/greet.c"

for compiler in "$cc" gcc clang; do
    command -v "${compiler%% *}" >/dev/null || continue
    [ "$compiler" = "$cc" ] || [ -z "${BERTH_TEST_SANITIZER:-}" ] || continue
    tap_run "it builds with $compiler" build app "$compiler" -std=gnu11 && tap_run "and runs" runs app
done
for compiler in ${BERTH_TEST_CXX:-g++} clang++; do
    command -v "$compiler" >/dev/null || continue
    [ -z "${BERTH_TEST_SANITIZER:-}" ] || continue
    tap_run "it builds with $compiler" build app++ "$compiler" -std=c++17 -x c++ && tap_run "and runs" runs app++
done
tap_done
