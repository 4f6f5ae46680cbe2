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

# Those that an operator may change.
_berth_changeable()
{
    _berth_modules | grep -vxE 'host|run'
}

# _berth_offered MODULE: its functions, of what berth show says of it on standard input.
_berth_offered()
{
    sed -n "/^Functions/,/^\$/s/^  \([a-z][a-z0-9_]*\)(.*/$1.\1/p"
}

# _berth_with: the functions of the files that --with names.
_berth_with()
{
    local i file
    for ((i = 2; i < COMP_CWORD - 1; i++)); do
        [[ ${COMP_WORDS[i]} == --with ]] || continue
        file=${COMP_WORDS[i + 1]%=*}
        command berth show "$file" 2>/dev/null | _berth_offered "$(
            command berth show --json "$file" 2>/dev/null | sed -n 's/.*"module":"\([^"]*\)".*/\1/p')"
    done
}

# _berth_functions WORD: MODULE. for each, and MODULE.FUNCTION behind a module's dot.
_berth_functions()
{
    local module=${1%%.*}
    if [[ " ${COMP_WORDS[*]} " == *" --with "* ]]; then
        _berth_with
    elif [[ $1 == *.* ]]; then
        _berth_host show "$module" | _berth_offered "$module"
    else
        _berth_modules | sed 's/$/./'
    fi
}

# Whether there is a function among the words so far: what comes behind it are its arguments.
_berth_has_function()
{
    local i
    for ((i = 2; i < COMP_CWORD; i++)); do
        case ${COMP_WORDS[i]} in
        --with | --path | --args | --host | --socket | --timeout) ((i++)) ;;
        -* | = | inline | process) ;;
        *) return 0 ;;
        esac
    done
    return 1
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

_berth_module_files()
{
    compopt -o filenames 2>/dev/null
    mapfile -t COMPREPLY < <(compgen -f -X '!*.so' -- "${COMP_WORDS[COMP_CWORD]}"
        compgen -d -- "${COMP_WORDS[COMP_CWORD]}")
}

# What a command takes that is no option.
_berth_operand()
{
    local word=${COMP_WORDS[COMP_CWORD]}
    case $1 in
    help) _berth_from "$_berth_commands" ;;
    call)
        _berth_has_function && return
        _berth_from "$(_berth_functions "$word")"
        [[ ${COMPREPLY[*]} == *. ]] && compopt -o nospace 2>/dev/null
        ;;
    move)
        ((COMP_CWORD == 2)) && _berth_from "$(_berth_changeable)" || _berth_from "inline process"
        ;;
    log | stats) _berth_from "$(_berth_modules)" ;;
    unload | rollback | history | snapshot) _berth_from "$(_berth_changeable)" ;;
    reload)
        [[ $word == */* || $word == .* ]] || _berth_from "$(_berth_changeable)"
        ((${#COMPREPLY[@]})) || _berth_module_files
        ;;
    show)
        [[ $word == */* || $word == .* ]] || _berth_from "$(_berth_modules)"
        ((${#COMPREPLY[@]})) || _berth_module_files
        ;;
    doctor | load | run) _berth_module_files ;;
    check) _berth_files ;;
    esac
}

_berth_commands="show call run list load unload reload rollback history snapshot move reconfigure publish subscribe events stats log check doctor help"

_berth()
{
    local word=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD - 1]} command=${COMP_WORDS[1]}
    local host="--host --socket --timeout --json --help"
    local -A options=(
        [list]="--quarantined $host" [publish]=$host [reconfigure]=$host [move]=$host
        [reload]="--dry-run --probe --option --options $host"
        [rollback]="--to $host"
        [history]=$host
        [snapshot]="--save --restore $host"
        [show]="--path $host"
        [call]="--with --path --args $host"
        [run]="--name --socket --no-control --log --crash-record --config --learn --path --probe --staging --watch --help"
        [check]="--path --schema --json --help"
        [doctor]="--program --strict --json --help"
        [load]="--as --placement --probe --option --options $host"
        [unload]="--force $host"
        [subscribe]="--count --group $host"
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
    --with) _berth_module_files ;;
    --socket | --path | --config | --log | --crash-record | --program | --save | --restore) _berth_files ;;
    --placement) _berth_from "inline process" ;;
    --staging) _berth_from "memory file" ;;
    --level) _berth_from "error warning info debug" ;;
    --set) _berth_from "error warning info debug default" ;;
    --host | --name | --timeout | --args | --as | --option | --options | --count | --group | --to) ;;
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
