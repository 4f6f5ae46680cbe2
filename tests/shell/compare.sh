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
host_end
tap_done
