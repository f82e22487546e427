#!/bin/sh
# help.sh - what the programs say of themselves, for the makers of the man pages and of the completion.
#
#   usage: help.sh NASFARM BROKER WORKER DIR
#
# Writes DIR/nasfarm (the list of commands), DIR/nasfarm.COMMAND, DIR/nasfarm.COMMAND.WHAT where a command has more than one
# help, DIR/nasfarm-broker, DIR/nasfarm-worker: the text of --help, every option on one line; DIR/nets, DIR/spaces: names.
set -eu
nasfarm=$1 broker=$2 worker=$3 dir=$4
export LC_ALL=C ARGP_HELP_FMT=rmargin=30000,opt-doc-col=60
mkdir -p "$dir"
rm -f "$dir"/nasfarm* "$dir/nets" "$dir/spaces"

"$nasfarm" help >"$dir/nasfarm"
"$broker" --help >"$dir/nasfarm-broker"
"$worker" --help >"$dir/nasfarm-worker"
for command in $(sed -n '/^Commands:/,/^$/s/^  \([a-z][a-z-]*\) .*/\1/p' "$dir/nasfarm"); do
    [ "$command" != help ] || continue
    "$nasfarm" "$command" --help >"$dir/nasfarm.$command"
    # `Usage: nasfarm net list|cost|draw|train ...`: each has its own options.
    for what in $(sed -n '1s/^Usage: nasfarm [a-z-]* \([a-z]*|[a-z|]*\).*/\1/p' "$dir/nasfarm.$command" | tr '|' ' '); do
        "$nasfarm" "$command" "$what" --help >"$dir/nasfarm.$command.$what"
    done
done
"$nasfarm" net list | sed '1d; s/ .*//; /^$/d' >"$dir/nets"
"$nasfarm" space list | sed '1d; s/ .*//; /^$/d' >"$dir/spaces"
