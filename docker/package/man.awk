# man.awk - one help (help.sh) as a part of a man page: usage, text, options, and what stands behind them.
# Lines that begin with blanks, and are neither options nor entries of a list, are shown as they are. With -v inner=1 it leaves
# out --help and --usage, which the page tells once.
function prose(text,   out, parts, n, i) {
    gsub(/\\/, "\\e", text)
    gsub(/-/, "\\-", text)
    gsub(/~/, "\\(ti", text)
    gsub(/\^/, "\\(ha", text)
    n = split(text, parts, "`")
    if (n % 2 == 0)
        n = 1
    for (i = 1; i <= n; i++)
        out = out (i % 2 ? parts[i] : "\\fB" parts[i] "\\fP")
    if (n == 1)
        out = text
    return out ~ /^[.']/ ? "\\&" out : out
}
function verbatim(text) {
    text = prose(text)
    gsub(/'/, "\\(aq", text)
    gsub(/`/, "\\(ga", text)
    return text
}
function leave_example() {
    if (example)
        print ".EE"
    example = 0
}
/^(Usage| +or): / {
    sub(/^(Usage: | +or:  )/, "")
    print (usages++ ? ".br" : ".P")
    print ".B " prose($0)
    next
}
/^Mandatory or optional arguments/ { next }
/^ +(-., )?--[a-z]/ {
    leave_example()
    if (inner && /--(help|usage) /)
        next
    match($0, /^ +/)
    option = substr($0, RLENGTH + 1)
    text = ""
    if (match(option, /  +/)) {
        text = substr(option, RSTART + RLENGTH)
        option = substr(option, 1, RSTART - 1)
    }
    print ".TP\n.B " prose(option)
    print prose(text)
    next
}
/^ [A-Z].*:$/ { # the title of a group of options
    leave_example()
    sub(/^ /, "")
    print ".P\n.I " prose($0)
    next
}
/^  [a-z0-9-]+: / { # an entry of a list
    leave_example()
    sub(/^  /, "")
    cut = index($0, ": ")
    print ".TP\n.B " prose(substr($0, 1, cut - 1))
    print prose(substr($0, cut + 2))
    next
}
/^ / {
    if (!example)
        print ".P\n.EX"
    example = 1
    print verbatim($0)
    next
}
/^$/ { leave_example(); paragraph = 1; next }
{
    leave_example()
    if (paragraph || NR > 1 && usages == NR - 1)
        print ".P"
    paragraph = 0
    print prose($0)
}
END { leave_example() }
