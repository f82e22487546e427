#!/bin/sh
# completion.sh - bash completion for the programs, from what they say of themselves.
#
#   usage: completion.sh HELP_DIR               (from help.sh); prints the completion: completion.in with its tables
set -eu
help=$1
here=$(dirname "$0")

# The names that a list in the help of `nasfarm search` has, on one line: names_below TITLE
names_below() {
    awk -v title="$1" '$0 == title {on = 1; next} /^$/ {on = 0} on && /^  [a-z0-9-]+: / {sub(/:$/, "", $1); printf "%s%s", n++ ? " " : "", $1}' "$help/nasfarm.search"
}
one_line() {
    tr '\n' ' ' <"$1" | sed 's/ $//'
}
# What a command takes beside options, from its usage; where there is more than one, the choices of the first word.
words_of() {
    awk '!/^(Usage| +or): / {exit}
        {sub(/^(Usage: | +or:  )nasfarm [a-z-]+ /, ""); sub(/^(list|cost|draw|train) /, ""); gsub(/ ?\[OPTION\.\.\.\] ?/, "");
         n = split($0, word, " "); choices = choices (NR > 1 ? "|" : "") word[1]; rest = ""
         for (i = 2; i <= n; i++) rest = rest " " word[i]; gsub(/^ \[|\]$/, " ", rest)}
        END {sub(/^\[/, "", choices); sub(/\]$/, "", choices); print choices rest}' "$1"
}
tables() {
    echo "_nasfarm_commands=\"$(sed -n '/^Commands:/,/^$/s/^  \([a-z][a-z-]*\) .*/\1/p' "$help/nasfarm" | tr '\n' ' ')\""
    echo "_nasfarm_spaces=\"$(one_line "$help/spaces")\""
    echo "_nasfarm_strategies=\"$(names_below 'Strategies (--strategy):')\""
    echo "_nasfarm_schedules=\"$(names_below 'Schedules (--schedule):')\""
    echo "_nasfarm_tunables=\"$(sed -n 's/^What can be tuned (--tune): \(.*\)\.$/\1/p' "$help/nasfarm.search" | tr -d ',')\""
    echo "_nasfarm_nets=\"$(one_line "$help/nets")\""
    echo "declare -gA _nasfarm_option_table=("
    for file in "$help"/nasfarm.* "$help/nasfarm-broker" "$help/nasfarm-worker"; do
        printf '    ["%s"]="%s"\n' "$(basename "$file" | tr '.' ' ')" \
            "$(awk -f "$here/options.awk" "$file" | awk -F '\t' '{printf "%s%s%s", n++ ? " " : "", $1, $3}')"
    done
    echo ")"
    echo "declare -gA _nasfarm_short_table=(" # of options that take something: LETTER:NAME
    for file in "$help"/nasfarm.* "$help/nasfarm-broker" "$help/nasfarm-worker"; do
        printf '    ["%s"]="%s"\n' "$(basename "$file" | tr '.' ' ')" \
            "$(awk -f "$here/options.awk" "$file" | awk -F '\t' '$2 != "-" && $3 ~ /^=/ {printf "%s%s:%s", n++ ? " " : "", $2, $1}')"
    done
    echo ")"
    echo "declare -gA _nasfarm_word_table=("
    for file in "$help"/nasfarm.*; do
        printf '    ["%s"]="%s"\n' "$(basename "$file" | tr '.' ' ')" "$(words_of "$file")"
    done
    echo '    ["nasfarm help"]="COMMAND"'
    echo ")"
}
while IFS= read -r line; do
    if [ "$line" = @TABLES@ ]; then
        tables
    else
        printf '%s\n' "$line"
    fi
done <"$here/completion.in"
