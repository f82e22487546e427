#!/bin/sh
# page.sh - a man page: a written part, with the programs' own words where it says so.
#
#   usage: page.sh PAGE.in HELP_DIR VERSION             (HELP_DIR: from help.sh); prints the page
#
# A line `@help NAME@` becomes what NAME says by --help; `@summaries@`, nasfarm's list of commands; `@commands@`, a section
# for each of them.
set -eu
page=$1 help=$2 version=$3
here=$(dirname "$0")

commands() {
    sed -n '/^Commands:/,/^$/s/^  \([a-z][a-z-]*\) .*/\1/p' "$help/nasfarm" | while read -r command; do
        [ -f "$help/nasfarm.$command" ] || continue
        for file in "$help/nasfarm.$command" "$help/nasfarm.$command".*; do
            [ -f "$file" ] || continue
                printf '.SS %s\n' "$(basename "$file" | tr '.' ' ')"
            awk -v inner=1 -f "$here/man.awk" "$file"
        done
    done
}
summaries() {
    awk '/^Commands:/ {on = 1; next} /^$/ {on = 0} on {print ".TP\n.B " $1 "\n" substr($0, 39)}' "$help/nasfarm"
}
while IFS= read -r line; do
    case $line in
    '@help '*) name=${line#@help }; awk -f "$here/man.awk" "$help/${name%@}" ;;
    @summaries@) summaries ;;
    @commands@) commands ;;
    *) printf '%s\n' "$line" | sed "s/@VERSION@/$version/g" ;;
    esac
done <"$page"
