#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# berth check, and berth run with a configuration; berth.conf(5) and the JSON Schema tell the same.
. "$(dirname "$0")/shell.sh"

exec </dev/null
export HOME=$work/home
unset BERTH_PATH
corpus=$BERTH_TOP_SRCDIR/tests/corpus/config
schema=$BERTH_TOP_SRCDIR/doc/berth.conf.schema.json
math=$modules/math.so

# said NAME STATUS ERR: the last run's status, and all lines of standard error, as an exact text.
said()
{
    local wrong=0
    [ "$status" = "$2" ] && [ ! -s out ] && diff <(printf '%s' "$3") err >difference || wrong=1
    tap_result $wrong "$1" < <(echo "exit status $status (wanted $2)"; cat difference)
}

# ---- Configurations that are checked ----

mkdir conf lib && cp "$modules"/{math,options,requirer}.so lib/
cat >conf/berth.conf <<'CONF'
// comments of both kinds
{
    "path": ["../lib"], /* from where this file is */
    "modules": {
        "math": {"version": "^1.2", "placement": "process"},
        "requirer": {},
        "third": {"file": "../lib/options.so", "options": {"limit": 5, "title": {"$env": "TITLE"}}},
        "gone": {"optional": true}
    }
}
CONF
berth check conf/berth.conf
tap_run "what is fine is said in a line" test "$status" = 0 -a "$(cat out)" = "conf/berth.conf: fine (4 modules)"
tap_run "what an optional module lacks is a warning" \
    grep -qxE 'conf/berth.conf:8:9: warning: modules.gone: gone: no such module: searched conf/../lib, .*' err
berth check --json conf/berth.conf
tap_run "the same as JSON" grep -qE \
    '^\{"file":"conf/berth.conf","kind":"configuration","fine":true,"problems":\[\{"line":8,"column":9,"level":"warning","text":"[^"]*"\}\]\}$' out
tap_run "which leaves standard error empty" test "$status" = 0 -a ! -s err

cat >bad.conf <<'CONF'
{
    "nam": "x",
    "threads": 0, "threads": 3,
    "modules": {
        "math": {"file": "lib/math.so", "version": "^9", "placement": "proces"},
        "options": {"file": "./lib/options.so", "options": {"limt": 5, "level": {"$env": "X"}, "note": {"$file": "no"}}},
        "requirer": {"file": "lib/requirer.so"}
    },
    "limits": {"call_timeout": 5, "call_timeouts": {"math.sum": "soon", "Math": "1s"}},
    "permission": {}
}
CONF
berth check bad.conf
said "every error is told, in the order of the file" 1 \
    'bad.conf:2:5: unknown key "nam"; did you mean "name"?
bad.conf:3:16: threads: 0 is not a whole number from 1 to 1024
bad.conf:3:19: the key "threads" is there twice: keep one of them
bad.conf:5:52: modules.math: lib/math.so is of version 1.2.0, which is not in ^9: give another file or range
bad.conf:5:71: modules.math.placement: "proces" is not one of "inline", "process"; did you mean "process"?
bad.conf:6:61: modules.options: options 1.0.0 has no option "limt"; did you mean "limit"?
bad.conf:6:81: modules.options: option level is of type u8, and a reference stands for a string
bad.conf:6:114: modules.options: option note: $file ./no: No such file or directory
bad.conf:9:32: limits.call_timeout: 5 is not a time like "200ms", "5s" or "1m", from 1ms to 8760h
bad.conf:9:65: limits.call_timeouts.math.sum: "soon" is not a time like "200ms", "5s" or "1m", from 1ms to 8760h
bad.conf:9:73: "Math" cannot be a module'\''s name: write [a-z][a-z0-9_]*, at most 64 characters
bad.conf:10:5: unknown key "permission"; did you mean "permissions"?
berth: invalid_argument: bad.conf: 12 errors
'
berth check bad.conf --json
tap_run "the same as JSON, on standard output" test "$status" = 1 -a ! -s err -a \
    "$(grep -o '"level":"error"' out | wc -l)" = 12
echo '{"modules": {"requirer": {"file": "lib/requirer.so"}}}' >alone.conf
fails "what is required has to be there" 1 \
    'alone.conf:1:14: modules.requirer requires math *, which is not among the modules: add it*' check alone.conf
echo '{"modules": {"math": {"file": "lib/math.so"}, "m": {"file": "lib/requirer.so"}}}' >both.conf
ok "and then it is fine" $'both.conf: fine (2 modules)\n' check both.conf
printf '{"nam": 1,\n"log": [' >cut.conf
berth check cut.conf
said "what stands before an error of syntax is told, too" 1 \
    'cut.conf:1:2: unknown key "nam"; did you mean "name"?
cut.conf:2:8: log is not an object: write {…}
cut.conf:2:9: expected a value, not the end of the text
berth: invalid_argument: cut.conf: 3 errors
'
cat >names.conf <<'CONF'
{"modules": {"math": {"file": "lib/math.so"}, "run": {"file": "lib/math.so"}, "host": {"file": "lib/math.so"}},
 "log": {"target": "none/x.log", "levels": {"host": "info", "control": "info", "math": "info", "mth": "debug"}},
 "limits": {"call_timeouts": {"control.x": "1s", "math": "1s", "math.sum": "1s", "math.dvide": "1s", "mth.sum": "1s"}}}
CONF
berth check names.conf
said "names that are taken; a log that has no place, levels and timeouts of nobody" 1 \
    'names.conf:1:47: modules.run: this name has what berth run offers: choose another one
names.conf:1:79: modules.host: this name has the host itself: choose another one
names.conf:2:20: warning: log.target: there is no directory none/: make it
names.conf:2:96: warning: log.levels.mth: no module "mth" is configured; did you mean "math"?
names.conf:3:82: warning: limits.call_timeouts.math.dvide: math 1.2.0 has no function "dvide"; did you mean "divide"?
names.conf:3:102: warning: limits.call_timeouts.mth.sum: no module "mth" is configured; did you mean "math"?
berth: invalid_argument: names.conf: 2 errors
'
head -c 1048577 /dev/zero | tr '\0' ' ' >large.conf
fails "too large a file" 1 "berth: resource_exhausted: large.conf: *1 MiB*" check large.conf
fails "an endless one" 1 "berth: resource_exhausted: /dev/zero: *1 MiB*" check /dev/zero
fails "a missing one" 1 "berth: not_found: no.conf: No such file*" check no.conf
fails "a directory" 1 "berth: *lib/*" check lib/
"$berth" check /dev/stdin <both.conf >out 2>err
status=$?
check "a pipe is fine" 1 "" "*lib/math.so*" # relative to /dev
printf '{"n\x1b[31m": 1}' >escape.conf
berth check escape.conf
tap_run "control characters do not reach the terminal" test -z "$(tr -d '\n' <err | LC_ALL=C tr -dc '\000-\037\177')"

# ---- Modules that are checked ----

ok "a module is fine" "$math: fine (module math 1.2.0)"$'\n' check "$math"
berth check "$math" --json
check "the same as JSON" 0 "{\"file\":\"$math\",\"kind\":\"module\",\"fine\":true,\"problems\":[]}"$'\n' ""
echo text >text.so
fails "what is none" 1 "berth: invalid_argument: text.so: *ELF*" check text.so
berth check text.so --json
tap_run "the same as JSON" grep -qE '^\{"file":"text.so","kind":"module","fine":false,"problems":\[\{"level":"error","text":"text.so: .*"\}\]\}$' out
fails "an executable" 1 "berth: invalid_argument: /bin/true: *" check /bin/true
ok "a module by its name" "lib/math.so: fine (module math 1.2.0)"$'\n' check --path lib math
cp both.conf plain
ok "a configuration of any name" $'./plain: fine (2 modules)\n' check ./plain
fails "whose name needs a /" 1 "berth: not_found: plain: *write ./plain" check plain
fails "nothing to check" 2 "berth: invalid_argument: check: CONFIG or FILE is missing*" check
fails "two files" 2 "berth: invalid_argument: check: one file at a time*" check a b
fails "--schema with a file" 2 "berth: invalid_argument: check: --schema takes no file*" check --schema a

# ---- The search ----

mkdir -p one two home/.local/lib/berth && cp "$math" one/ && cp "$math" two/math-1.2.0.so
cp "$math" home/.local/lib/berth/math.so
ok "--path" $'3\n' call --path one --with math math.add 1 2
ok "in a worker" $'3\n' call --path one --with math=process math.add 1 2
ok "one's own directory" $'3\n' call --with math math.add 1 2
fails "none of them has it" 1 \
    "berth: not_found: nomath: no such module: searched one, two, $work/home/.local/lib/berth, /*/berth/modules" \
    call --path one --path two --with nomath math.add 1 2
fails "--path needs a directory" 2 'berth: invalid_argument: call: --path: "" is no directory*' call --path "" a.b
BERTH_PATH=one:two berth show math
tap_run "show tells which file it is" grep -qx 'one/math.so (\$BERTH_PATH)' out
tap_run "and why none of the others" test "$(grep '^not ' out)" = \
    "not two/math-1.2.0.so: one/math.so comes first
not $work/home/.local/lib/berth/math.so: one/math.so comes first"
tap_run "and then what it is" grep -q '^math 1\.2\.0' out
BERTH_PATH=one berth show --path two math
tap_run "--path comes before BERTH_PATH" grep -qx 'two/math-1.2.0.so (--path)' out
cp "$modules/options.so" one/math-2.0.0.so && cp "$modules/options.so" one/math-1.0.0.so
echo text >one/math-3.0.0.so
berth show --path one math
tap_run "what its name does not keep is passed over" \
    grep -qx 'not one/math-2.0.0.so: its name says 2.0.0, but its manifest 1.0.0' out
tap_run "and what is no module" grep -qE '^not one/math-3.0.0.so: .*ELF' out
tap_run "a lower version, too" grep -qx 'not one/math-1.0.0.so: one/math.so has a higher version' out
berth show --json --path one math
tap_run "show --json has the file and the candidates" grep -qE \
    '^\{"file":"one/math.so","candidates":\[\{"file":"one/math-1.0.0.so","version":"1.0.0","why_not":"[^"]*"\},.*"why_not":null\}.*\],"berth":1,"module":"math",' out
cp "$math" maths
fails "a file without a / is no file" 1 "berth: not_found: maths: *; for the file here write ./maths" show maths
fails "what cannot be a name" 1 "berth: invalid_argument: Maths: a module's name is *" show Maths
ok "a file with a / is one" $'3\n' call --with ./maths math.add 1 2
fails "run searches, too" 1 "berth: not_found: nomath: *" run nomath

# ---- Configurations that are run ----

build_module shows <<'C'
#include <berth/module.h>
BERTH_MODULE("shows", "1.0.0", "Says what its options are.");
BERTH_OPTION(string, title, "none", "A text.");
BERTH_OPTION(array(string), words, ([]), "A list.");
BERTH_START
{
    berth_array(string) words = option_words(ctx);
    berth_log(ctx, BERTH_LOG_WARNING, "title=%s words=%zu %s", option_title(ctx), words.count,
              words.count ? words.data[0] : "-");
}
C
build_module needs <<'C'
#include <berth/module.h>
BERTH_MODULE("needs", "1.0.0", "Needs another one.");
BERTH_REQUIRES("late", "^1");
BERTH_START
{
    berth_log(ctx, BERTH_LOG_WARNING, "is there");
}
C
mkdir secrets && printf 'of the file\n' >secrets/title && printf 'garbage\xff' >secrets/bad
cat >run.conf <<'CONF'
{
    "name": "test", "threads": 1,
    "modules": {
        "needs": {"file": "needs.so", "optional": true},
        "late": {"file": "lib/math.so", "optional": true},
        "fails": {"file": "bad_start.so", "optional": true},
        "gone": {"optional": true},
        "shown": {"file": "shows.so", "placement": "process",
            "options": {"title": {"$file": "secrets/title"}, "words": [{"$env": "WORD"}]}}
    },
    "log": {"level": "warning"}
}
CONF
cp "$modules/bad_start.so" .
export WORD=ofthere
begin --config run.conf "$modules/greet.so"
cp err log
end
tap_run "a host by its configuration, and by the command line" grep -q ' info host ready, with 4 modules$' log
tap_run "its options' references are resolved" grep -q ' warning shown@1.0.0#1 title=of the file words=1 ofthere$' log
tap_run "optional ones are loaded after those that they require" grep -q ' warning needs@1.0.0#1 is there$' log
tap_run "one that does not start is left out, with a warning" \
    grep -q ' warning host fails is optional, and is left out: .*START failed' log
tap_run "one that is not there as well, with its place" \
    grep -q ' warning host run.conf:7:9: modules.gone: gone: no such module' log
tap_run "the log has the level of the configuration" test "$(grep -c ' debug ' log)" = 0
tap_run "every line of it has its form" test -z \
    "$(grep -vE '^[0-9T:.-]+Z (error|warning|info|debug) [a-z0-9_@.#]+ .+' log)"
tap_run "it ends as any host does" test "$status" = 0
unset WORD
fails "a variable that is not set" 1 '*run.conf:9:*: $WORD is not set in the environment*1 error' run --config run.conf
WORD=x && export WORD
sed 's,secrets/title,secrets/bad,' run.conf >secret.conf
berth run --config secret.conf
tap_run "what a reference stands for is never told" \
    test "$status" = 1 -a "$(grep -c 'secrets/bad: it is not a text' err)" = 1 -a "$(grep -c garbage err)" = 0
fails "all errors before anything is loaded" 1 "*unknown key*bad.conf: 12 errors" run --config bad.conf
echo '{"modules": {"math": {"file": "lib/math.so"}, "no": {"file": "./bad_start.so"}}}' >needed.conf
fails "one that is not optional has to start" 1 "*berth: *START failed*" run --config needed.conf
fails "two configurations" 2 "berth: invalid_argument: run: --config: one configuration at a time*" \
    run --config a.conf --config b.conf
fails "a configuration that is not there" 1 "berth: not_found: no.conf: *" run --config no.conf
begin --config alone.conf lib/math.so
end
tap_run "the command line brings what the configuration requires" test "$status" = 0
fails "else the load says what is missing" 1 "*berth: *requires*math*" run --config alone.conf

# ---- The schema tells good files from bad ones as the reader does ----

berth check --schema
tap_run "check --schema prints the one that is installed" diff out "$schema"
if command -v python3 >/dev/null; then
    (cd "$corpus" && python3 "$BERTH_TOP_SRCDIR/tests/shell/schema.py" "$schema" *) >taken 2>difference
    tap_run "the schema takes what the reader takes, and what only it can refuse" diff taken \
        <(cd "$corpus" && ls -- good_* deep_* | LC_ALL=C sort)
else
    tap_skip "the schema takes what the reader takes" "no python3"
fi
for file in "$corpus"/*; do
    berth check --json "$file"
    grep -oE '"level":"error","text":"[^"]*' out | grep -vcE 'no such module|No such file' >count
    case ${file##*/} in
    good_*) [ "$(cat count)" = 0 ] || echo "$file is refused" ;;
    *) [ "$(cat count)" != 0 ] || echo "$file is taken" ;;
    esac
done >wrong
tap_empty "so does berth check" "$(cat wrong)"

tap_done
