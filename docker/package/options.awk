# options.awk - the options of one help (help.sh) as lines: NAME<tab>SHORT<tab>ARGUMENT<tab>TEXT. SHORT is a letter or -;
# ARGUMENT is "", "=WHAT", or "[=WHAT]" where it may be left out.
/^ +(-., )?--[a-z]/ {
    short = match($0, /^ +-., /) ? substr($0, RLENGTH - 2, 1) : "-"
    sub(/^ +(-., )?--/, "")
    match($0, /^[a-z0-9-]+/)
    name = substr($0, 1, RLENGTH)
    rest = substr($0, RLENGTH + 1)
    cut = match(rest, /  +/)
    argument = cut ? substr(rest, 1, cut - 1) : rest
    printf "%s\t%s\t%s\t%s\n", name, short, argument, cut ? substr(rest, cut + RLENGTH) : ""
}
