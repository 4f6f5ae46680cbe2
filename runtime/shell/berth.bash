# SPDX-License-Identifier: MIT
# Completion for bash: commands, options, files, and the modules and functions of a running host.

# _berth_host ARG...: asks the host that the words so far name, and never for long.
_berth_host()
{
    local i arguments=()
    for ((i = 2; i < COMP_CWORD; i++)); do
        case ${COMP_WORDS[i]} in
        --host | --socket) arguments+=("${COMP_WORDS[i]}" "${COMP_WORDS[i + 1]}") ;;
        esac
    done
    command berth "$1" --timeout 500ms "${arguments[@]}" "${@:2}" 2>/dev/null
}

_berth_modules()
{
    _berth_host list | cut -f 1
}

# _berth_functions WORD: MODULE. for each, and MODULE.FUNCTION behind a module's dot.
_berth_functions()
{
    local module=${1%%.*}
    if [[ $1 == *.* ]]; then
        _berth_host show "$module" | sed -n "/^Functions/,/^\$/s/^  \([a-z][a-z0-9_]*\)(.*/$module.\1/p"
    else
        _berth_modules | sed 's/$/./'
    fi
}

# _berth_from WORDS: what of them begins as the current word does.
_berth_from()
{
    mapfile -t COMPREPLY < <(compgen -W "$1" -- "${COMP_WORDS[COMP_CWORD]}")
}

_berth_files()
{
    compopt -o filenames 2>/dev/null
    mapfile -t COMPREPLY < <(compgen -f -- "${COMP_WORDS[COMP_CWORD]}")
}

# What a command takes that is no option.
_berth_operand()
{
    local word=${COMP_WORDS[COMP_CWORD]}
    case $1 in
    help) _berth_from "$_berth_commands" ;;
    call)
        _berth_from "$(_berth_functions "$word")"
        [[ ${COMPREPLY[*]} == *. ]] && compopt -o nospace 2>/dev/null
        ;;
    move)
        ((COMP_CWORD == 2)) && _berth_from "$(_berth_modules)" || _berth_from "inline process"
        ;;
    log | unload) _berth_from "$(_berth_modules)" ;;
    reload | show)
        [[ $word == */* || $word == .* ]] || _berth_from "$(_berth_modules)"
        ((${#COMPREPLY[@]})) || _berth_files
        ;;
    load | run | check) _berth_files ;;
    esac
}

_berth_commands="show call run list load unload reload move reconfigure publish subscribe events stats log check help"

_berth()
{
    local word=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD - 1]} command=${COMP_WORDS[1]}
    local host="--host --socket --timeout --json --help"
    local -A options=(
        [list]=$host [publish]=$host [reconfigure]=$host [move]=$host
        [reload]="--option --options $host"
        [show]="--path $host"
        [call]="--with --path --args $host"
        [run]="--name --socket --no-control --log --crash-record --config --learn --path --help"
        [check]="--path --schema --json --help"
        [load]="--as --placement --option --options $host"
        [unload]="--force $host"
        [subscribe]="--count $host"
        [events]="--follow $host"
        [stats]="--watch --prometheus --count $host"
        [log]="--level --set $host"
        [help]="--help"
    )
    COMPREPLY=()
    if ((COMP_CWORD == 1)); then
        _berth_from "$_berth_commands --help --version"
        return
    fi
    case $before in
    --with | --socket | --path | --config | --log | --crash-record) _berth_files ;;
    --placement) _berth_from "inline process" ;;
    --level) _berth_from "error warning info debug" ;;
    --set) _berth_from "error warning info debug default" ;;
    --host | --name | --timeout | --args | --as | --option | --options | --count) ;;
    *)
        if [[ $word == -* ]]; then
            _berth_from "${options[$command]-}"
        else
            _berth_operand "$command"
        fi
        ;;
    esac
}

complete -F _berth berth
