#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Every row of the table in doc/reload.md: both versions, and who is there, are built as modules, and a reload is
# tried.
. "$(dirname "$0")/hosts.sh"

# parameters TEXT: "u64 n, f64 x" as arguments of a macro, each with a comma before it.
parameters()
{
    [ -z "$1" ] || sed 's/, /\n/g' <<<"$1" | sed 's/^\(.*\) \([a-z]*\)$/, (\1, \2)/' | tr -d '\n'
}

# signature MACRO MODULE TEXT: "u64 add(u64 n)" as a declaration of that macro.
signature()
{
    local result=${3%% *} rest=${3#* } name inner
    name=${rest%%(*}
    inner=${rest#*(}
    inner=${inner%)}
    if [ "$1" = export ]; then
        echo "BERTH_EXPORT($result, $name, \"words\"$(parameters "$inner"))"
        [ "$result" = void ] && echo "{ }" || echo "{ static berth_$result zero; return zero; }"
    else
        echo "BERTH_IMPORT($result, $2, $name$(parameters "$inner"));"
    fi
}

# declare_one TEXT: one thing that a module declares, in C.
declare_one()
{
    local words=${1#* } name inner
    inner=${1#*(}
    inner=${inner%)}
    case $1 in
    '' | name\ * | version\ * | given\ *) ;;
    import-of\ *) signature import "$(cut -d ' ' -f 2 <<<"$1")" "$(cut -d ' ' -f 3- <<<"$1")" ;;
    import\ *) signature import subject "$words" ;;
    struct\ *)
        name=$(cut -d ' ' -f 2 <<<"$1")
        echo "BERTH_STRUCT($name$(parameters "$inner"));"
        ;;
    topic\ *)
        serial=$((serial + 1))
        echo "BERTH_TOPIC(\"$(cut -d ' ' -f 2 <<<"$1")\", t$serial$(parameters "$inner"));"
        ;;
    subscribe\ *)
        serial=$((serial + 1))
        echo "BERTH_SUBSCRIBE(\"$(cut -d ' ' -f 2 <<<"$1")\", h$serial$(parameters "$inner")) { }"
        ;;
    requires\ *) echo "BERTH_REQUIRES(\"$(cut -d ' ' -f 2 <<<"$1")\", \"$(cut -d ' ' -f 3- <<<"$1")\");" ;;
    option\ *)
        name=${1##* }
        case $1 in
        *string*) echo "BERTH_OPTION(string, $name, \"x\", \"words\");" ;;
        *bool*) echo "BERTH_OPTION(bool, $name, true, \"words\");" ;;
        *) echo "BERTH_OPTION(i64, $name, 1, \"words\");" ;;
        esac
        ;;
    save\ *) echo "BERTH_SAVE($words) { berth_bytes state = { \"x\", 1 }; return state; }" ;;
    restores\ *) echo "BERTH_RESTORES($words);" ;;
    restore) echo "BERTH_RESTORE { (void)version; (void)state; }" ;;
    parallel) echo "BERTH_PARALLEL;" ;;
    *) signature export '' "$1" ;;
    esac
}

# build FILE NAME VERSION TEXT: a module of these declarations, unless it is there.
build()
{
    local name=$2 version=$3 text each
    while read -r each; do
        case $each in
        name\ *) name=${each#* } ;;
        version\ *) version=${each#* } ;;
        esac
    done < <(sed 's/; /\n/g' <<<"$4")
    {
        echo '#include <berth/module.h>'
        echo "BERTH_MODULE(\"$name\", \"$version\", \"words\");"
        while read -r each; do declare_one "$each"; done < <(sed 's/; /\n/g' <<<"$4")
    } >text.c
    text=$(cksum <text.c | tr -d ' ')
    [ -e "made-$text.so" ] || build_module "made-$text" <text.c
    cp "made-$text.so" "$1.so" # another file, or it would be the same image
}

# code CELL: what stands in it as code, or nothing.
code()
{
    sed -n 's/^[^`]*`\([^`]*\)`.*$/\1/p' <<<"$1"
}

serial=0
rows=0
host_begin
while IFS='|' read -r _ change before after there verdict _; do
    case $change in *'what changes'* | *---*) continue ;; esac
    [[ $verdict == *'goes on'* || $verdict == *refused:* ]] || continue # of another table
    rows=$((rows + 1))
    before=$(code "$before") after=$(code "$after") there=$(code "$there") why=$(code "$verdict")
    name="row $rows:${change% }"
    given=()
    [[ $there != given\ * ]] || given=(--options "${there#given }")
    build "before$rows" subject 1.0.0 "$before" 2>said || { tap_result 1 "$name" <said; continue; }
    build "after$rows" subject 1.1.0 "$after" 2>said || { tap_result 1 "$name" <said; continue; }
    build "user$rows" user 1.0.0 "$there" 2>said || { tap_result 1 "$name" <said; continue; }
    berth load "./before$rows.so" "${given[@]}"
    cat err >said
    [ -z "$there" ] || berth load "./user$rows.so"
    cat err >>said
    berth reload subject "./after$rows.so"
    if [ -n "$why" ]; then
        grep -q "subject@1\.0\.0#[0-9]* goes on as it was (refused in step compare): " err && grep -qF -- "$why" err && [ "$status" = 1 ]
    else
        [ "$status" = 0 ]
    fi
    tap_result $? "$name" < <(cat said out err)
    berth unload user
    berth unload subject --force
done <"$BERTH_TOP_SRCDIR/doc/reload.md"
tap_run "these are the rows" test "$rows" -ge 40

# Of two that are replaced together the one is refused that has changed, whichever is named first.
blames() # NAME WHO WHY SUBJECT NEXT-SUBJECT USER NEXT-USER
{
    local pair ok=0
    build subject subject 1.0.0 "$4" && build next_subject subject 1.1.0 "$5"
    build user user 1.0.0 "$6" && build next_user user 1.0.1 "$7"
    berth load ./subject.so
    berth load ./user.so
    for pair in "subject=./next_subject.so user=./next_user.so" "user=./next_user.so subject=./next_subject.so"; do
        # shellcheck disable=SC2086
        berth reload $pair
        grep -qF -- "$2 (refused in step compare): $3" err || ok=1
    done
    tap_result $ok "$1" < <(cat out err)
    berth unload user
    berth unload subject --force
}
blames "what one calls has changed" subject 'user calls subject.add, whose parameter n is u64, but in version 1.1.0 it is f64' \
    'u64 add(u64 n)' 'u64 add(f64 n)' 'import u64 add(u64 n)' 'import u64 add(u64 n)'
blames "who calls has changed" user 'user imports subject.add(f64 n) -> u64, but subject 1.1.0 has subject.add(u64 n) -> u64' \
    'u64 add(u64 n)' 'u64 add(u64 n)' 'import u64 add(u64 n)' 'import u64 add(f64 n)'
blames "what one requires has changed" subject 'user requires subject ^1, but the new version is 2.0.0' \
    'version 1.0.0' 'version 2.0.0' 'requires subject ^1' 'requires subject ^1'
blames "who requires has changed" user 'user requires subject ^2, but subject 1.1.0 is loaded' \
    'version 1.0.0' 'version 1.1.0' 'requires subject ^1' 'requires subject ^2'
blames "who publishes has changed" subject 'topic a.b: subject publishes (f64 n), but user has (u64 n)' \
    'topic a.b (u64 n)' 'topic a.b (f64 n)' 'subscribe a.b (u64 n)' 'subscribe a.> (u64 n)'
blames "who subscribes has changed" user 'topic a.b: subject publishes (u64 n), but user has (f64 n)' \
    'topic a.b (u64 n)' 'topic a.b (u64 n)' 'subscribe a.b (u64 n)' 'subscribe a.b (f64 n)'
blames "structs that differ and are called alike" subject 'topic a.b: subject publishes ({y:f64})void, but user has ({x:f64})void' \
    'struct point (f64 x); topic a.b (point p)' 'struct point (f64 y); topic a.b (point p)' \
    'struct point (f64 x); subscribe a.b (point p)' 'struct point (f64 x); subscribe a.b (point p)'

# What a handler takes is what the version takes that serves.
for type in u64 f64; do
    build_module "hears_$type" <<C
#include <berth/module.h>
BERTH_MODULE("user", "1.0.0", "words");
BERTH_SUBSCRIBE("a.b", heard, ($type, n)) { (void)n; }
C
done
build subject subject 1.0.0 'topic a.b (u64 n)' && build next_subject subject 1.1.0 'topic a.b (f64 n)'
berth load ./hears_u64.so
berth reload user ./hears_f64.so
fails "a publisher of the type that was" 1 '*: topic a.b: subject publishes (u64 n), but user has (f64 n)' load ./subject.so
berth load ./next_subject.so
tap_run "and one of the type that is" test "$status" = 0
host_end
tap_done
