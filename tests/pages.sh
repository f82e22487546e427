#!/bin/bash
# pages.sh - the man pages and the bash completion know what the programs know: every command, every option, every variable.
#
#   usage: pages.sh NASFARM BROKER WORKER MADE         (MADE: the build's docker/package folder)
set -uo pipefail
nasfarm=$1 broker=$2 worker=$3 made=$4
source=$(cd "$(dirname "$0")/.." && pwd)
export LC_ALL=C
failed=0 checked=0
fail() {
    echo "pages.sh: $*" >&2
    failed=$((failed + 1))
}
expect() { # expect SENTENCE COMMAND...: the sentence must be true
    checked=$((checked + 1))
    "${@:2}" >/dev/null || fail "not so: $1"
}
has() { # has TEXT WORD: as a word of its own
    [[ " ${1//$'\n'/ } " == *" $2 "* ]]
}

# What a program says by --help as people read it, not as the makers of the pages did: NAME or NAME= where it takes something.
options_of() {
    "$@" --help | sed -n 's/^ \{2,6\}\(-., \)\?--\([a-z0-9-]*\)\(\[\?=\?\).*/\2\3/p' | sed 's/\[=$//' | grep -v '^help$\|^usage$'
}
# "nasfarm search" and so on, a command line each.
command_lines() {
    local command what
    for command in $("$nasfarm" help | sed -n '/^Commands:/,/^$/s/^  \([a-z-]*\) .*/\1/p'); do
        case $command in
        help) continue ;;
        net) for what in list cost draw train; do echo "nasfarm net $what"; done ;;
        *) echo "nasfarm $command" ;;
        esac
    done
    echo nasfarm-broker
    echo nasfarm-worker
}
run() { # run WORD...: the program of that name
    local program=$1
    shift
    case $program in
    nasfarm) "$nasfarm" "$@" ;;
    nasfarm-broker) "$broker" "$@" ;;
    nasfarm-worker) "$worker" "$@" ;;
    esac
}

# ---- the pages
section() { # section PAGE "nasfarm search": that part of the page; of the others, all of it
    if [[ $2 == nasfarm\ * ]]; then
        sed -n "/^\.SS $2\$/,/^\.S[SH] /p" "$1"
    else
        cat "$1"
    fi | sed 's/\\-/-/g'
}
while read -r line; do
    page=$made/${line%% *}.1
    text=$(section "$page" "$line")
    options=$(options_of run $line)
    [[ $line != *search && $line != *-* ]] || expect "$line has options" test "$(wc -w <<<"$options")" -gt 10
    for option in $options; do
        expect "$page tells --${option%=} of $line" grep -qE -- "^\.B .*--${option%=}([=[]|\$)" <<<"$text"
    done
done < <(command_lines)
for variable in $(grep -rhoE 'getenv\("[A-Z_]+"\)' "$source"/{proto,broker,worker,controller} --include=*.c | grep -oE '(NASFARM|OPENBLAS)_[A-Z_]+' | sort -u); do
    expect "a page tells what $variable is" grep -q "^\.B $variable\$" "$made"/nasfarm*.1
done
for page in "$made"/nasfarm*.1; do
    if command -v groff >/dev/null; then
        expect "$page is without a warning" test -z "$(groff -ww -man -Tutf8 -z "$page" 2>&1)"
    else
        echo "pages.sh: NOT TESTED: no groff here, so nobody has read $page" >&2
    fi
done

# ---- the completion
# shellcheck disable=SC1091
source "$made/completion"
typed() { # typed LINE: what one could go on with, a word a line
    COMP_LINE=$1 COMP_POINT=${#1}
    _nasfarm "${1%% *}"
    printf '%s\n' "${COMPREPLY[@]-}"
}
offers() { has "$(typed "$1")" "$2"; }
while read -r line; do
    offered=$(typed "$line --")
    for option in $(options_of run $line); do
        expect "'$line --' is completed to --$option" has "$offered" "--$option"
    done
done < <(command_lines)
for command in $("$nasfarm" help | sed -n '/^Commands:/,/^$/s/^  \([a-z-]*\) .*/\1/p'); do
    expect "'nasfarm ' is completed to $command" offers "nasfarm " "$command"
done
for space in $("$nasfarm" space list | sed '1d; s/ .*//'); do
    expect "--space=$space is offered" offers "nasfarm search --space=" "$space"
done
known() { # known KIND: what a program says there is when it is asked for what there is not
    "$nasfarm" search "--$1" nothing-of-this-name --evaluator synthetic --out /nonexistent 2>&1 | sed -n 's/.*known are //p' | tr -d ','
}
for kind in strategy schedule; do
    names=$(known $kind)
    expect "there are names of --$kind" test "$(wc -w <<<"$names")" -gt 4
    for name in $names; do
        expect "--$kind $name is offered" offers "nasfarm search --$kind " "$name"
    done
done
# Words that stand in the completion itself must still be in the help of their option.
for option in "${!_nasfarm_values[@]}"; do
    help=$(for line in "$nasfarm search" "$worker" "$broker" "$nasfarm keygen"; do
        ARGP_HELP_FMT=rmargin=30000,opt-doc-col=60 $line --help | grep -E -- "--$option([ =]|\[)"
    done)
    for word in ${_nasfarm_values[$option]}; do
        expect "the help of --$option knows '$word'" grep -qF -- "${word%:}" <<<"$help"
    done
done
cd "$source" || exit 1
while IFS='|' read -r line word; do
    expect "'$line' is completed to '$word'" offers "$line" "$word"
done <<'END'
nasfarm se|search
nasfarm search --strategy=rein|reinforce-lstm
nasfarm search --space d|darts
nasfarm search --space do|docs
nasfarm search --data idx:do|docs
nasfarm search --data=idx:do|docs
nasfarm search --continue=|yes
nasfarm search --objective accuracy,-m|accuracy,-macs
nasfarm search --prefilter zen|zen:
nasfarm search --tune lr,b|lr,batch
nasfarm resume d|docs
nasfarm export docs b|best
nasfarm export docs best -o READ|README.md
nasfarm net |train
nasfarm net train --data digits res|resnet20
nasfarm space show |darts
nasfarm help ver|verify
nasfarm compare random ev|evolution
nasfarm-worker --broker tcp:|//127.0.0.1:5555
nasfarm-broker --allow=doc|docs
END
expect "nothing is offered where nothing is expected" test -z "$(typed "nasfarm best docs more ")"
expect "nothing is offered of a command that is none" test -z "$(typed "nasfarm frobnicate --")"

expect "there is something to look at" test $checked -gt 500
[ $failed -eq 0 ] && echo "$checked passed, 0 failed"
[ $failed -eq 0 ]
