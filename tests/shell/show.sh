#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# berth show: what it prints of a module, and of files that are none.
. "$(dirname "$0")/shell.sh"

exec </dev/null
math=$modules/math.so

berth show "$math"
tap_run "shows name, version and words" grep -q '^math 1\.2\.0' out
tap_run "shows functions with parameters and result" grep -q 'divide.*f64.*a.*f64.*b.*f64' out
tap_run "shows what parameters are" grep -q 'not zero' out
tap_run "ends with a newline, and is fine" test "$status" = 0 -a -z "$(tail -c 1 out)" -a ! -s err
tap_run "is aligned with blanks, not tabs" test "$(grep -c $'\t' out)" = 0

berth show "$math" --json
tap_run "--json after the file" grep -q '^{.*"divide".*}$' out
cp out after
berth show --json "$math"
tap_run "--json before the file" cmp after out
if command -v python3 >/dev/null; then
    for module in "$modules"/*.so; do
        berth show --json "$module"
        tap_run "valid JSON: ${module##*/}" python3 -c 'import json, sys; json.load(open("out"))'
    done
fi

# ---- Files that nobody should load ----

build_module aborts <<'C'
#include <berth/module.h>
#include <stdlib.h>
BERTH_MODULE("aborts", "1.0.0", "Aborts when loaded.");
BERTH_EXPORT(i64, one, "1")
{
    return 1;
}
__attribute__((constructor)) static void die(void)
{
    abort();
}
C
berth show aborts.so
tap_run "a module whose constructor aborts can be shown" grep -q '^aborts 1\.0\.0' out

cp "$math" stripped.so
if ${STRIP:-strip} --strip-all stripped.so 2>/dev/null; then
    berth show stripped.so
    tap_run "a stripped one" grep -q divide out
fi
if command -v llvm-objcopy llvm-objcopy-14 >/dev/null; then
    "$(command -v llvm-objcopy llvm-objcopy-14 | head -n 1)" --strip-sections "$math" bare.so
    berth show bare.so
    tap_run "one without section headers" grep -q divide out
fi

build_module escapes <<'C'
#include <berth/module.h>
BERTH_MODULE("escapes", "1.0.0", "Red: \033[31m, DEL: \177, bell: \a, C1: \302\233, \303\251t\303\251.");
BERTH_EXPORT(void, nothing, "a\rb")
{
}
C
berth show escapes.so
tap_run "control characters of a file do not reach the terminal" \
    test "$status" = 0 -a -z "$(tr -d '\n' <out | LC_ALL=C tr -dc '\000-\037\177')" -a "$(grep -c $'\xc2\x9b' out)" = 0
berth show escapes.so --json
tap_run "nor as JSON" \
    test "$status" = 0 -a -z "$(tr -d '\n' <out | LC_ALL=C tr -dc '\000-\037\177')" -a "$(grep -c $'\xc2\x9b' out)" = 0
tap_run "which has all of them" grep -qF 'Red: \u001b[31m, DEL: \u007f, bell: \u0007, C1: \u009b, \u00e9t\u00e9.' \
    <(sed 's/\xc3\xa9/\\u00e9/g' out)
fails "nor does an error of theirs" 1 '{"error":{"code":"not_found","text":"*a\\u009bb*"}}' show $'./a\xc2\x9bb' --json

echo 'int x;' | ${BERTH_TEST_CC:-cc} -shared -o plain.so -x c -
fails "a shared object that is no module" 1 "berth: *plain.so*berth/module.h*" show plain.so
echo text >text
fails "a text" 1 "berth: invalid_argument: *text*ELF*" show ./text
: >empty
fails "an empty file" 1 "berth: invalid_argument: *empty*" show ./empty
fails "no name at all" 1 "berth: invalid_argument: the file's name is empty" show ""
fails "a directory" 1 "berth: *" show .
fails "a device" 1 "berth: *" show /dev/zero
mkfifo fifo
fails "a pipe, without waiting for it" 1 "berth: *" show ./fifo
fails "a missing file" 1 "berth: not_found: *nofile*" show ./nofile
fails "a missing file, as JSON" 1 '{"error":{"code":"not_found","text":"*nofile*"}}' show ./nofile --json
fails "an executable" 1 "berth: *" show /bin/true
for size in 1 16 63 64 200 1000 4096 8192; do
    head -c "$size" "$math" >cut.so
    fails "$size bytes of a module" 1 "berth: *cut.so*" show cut.so
done
cp "$math" other.so && printf '\x08\x00' | dd of=other.so bs=1 seek=18 conv=notrunc status=none
fails "a module for another machine" 1 "berth: *other.so*" show other.so

# ---- Usage and output ----

fails "no file" 2 "berth: invalid_argument: show: FILE or NAME is missing*" show
fails "two files" 2 "berth: invalid_argument: show: one module at a time*" show a b
fails "an unknown option" 2 "berth: invalid_argument: *--text: no such option*" show --text "$math"
fails "unknown letters, behind an option" 2 '*"show: -x: no such option (*' show --json -xy "$math"
fails "and an option with a value that it does not take" 2 "berth: *: show: --js=1: this option takes no value*" \
    show --js=1 "$math"
"$berth" show "$math" >/dev/full 2>err
status=$? && : >out
check "a full disk is an error" 1 "" "berth: resource_exhausted: cannot write the output: *"
"$berth" show "$math" 2>err | :
status=${PIPESTATUS[0]} && : >out
tap_run "a reader that goes away ends it silently" test \( "$status" = 141 -o "$status" = 0 \) -a ! -s err

tap_done
