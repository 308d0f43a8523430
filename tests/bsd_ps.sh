#!/bin/sh
# ps(1) as the BSDs read its options, with what it tells from a /proc that only it knows.
#
# All that follows the first "=" of an -o argument is one heading, as POSIX allows and the BSDs do:
# "pid=,ppid=" is the column pid under the heading ",ppid=".  What it does not know, it refuses.

fail() {
    echo "ps: $1" >&2
    exit 1
}

columns= headings= all= pids=
add_columns() {
    names=${1%%=*}
    IFS=", "
    for name in $names; do
        case $name in
        pid | ppid | stat | state) ;;
        *) fail "$name: keyword not found" ;;
        esac
        columns="$columns $name"
        last=$name
    done
    unset IFS
    # A heading line is left out only if every column has an empty heading of its own.
    [ "$1" = "$names=" ] && [ "$names" = "$last" ] || headings=yes
}
echo "$*" >>"$PS_RUNS"
while [ $# -gt 0 ]; do
    case $1 in
    -ax) all=yes ;;
    -o) add_columns "$2"; shift ;;
    -p)
        IFS=", "
        for pid in $2; do
            case $pid in
            *[!0-9]*) fail "invalid process id: $pid" ;;
            esac
            pids="$pids $pid"
        done
        unset IFS
        shift
        ;;
    *) fail "illegal option -- $1" ;;
    esac
    shift
done
[ "$columns" ] || fail "without -o it would tell what nobody reads"
[ "$all$pids" ] || fail "without -ax or -p it would tell of a terminal"
[ "$headings" ] && echo "$columns"
if [ "$all" ]; then
    cd "$PS_PROC" || fail "no processes to tell of"
    pids=$(echo [0-9]*)
fi

found=1
for pid in $pids; do
    { read -r line <"$PS_PROC/$pid/stat"; } 2>/dev/null || continue
    set -- ${line##*) }
    flags=
    [ "$4" = "$pid" ] && flags=s
    [ "$1" = X ] && continue
    told=
    for column in $columns; do
        case $column in
        pid) told="$told $pid" ;;
        ppid) told="$told $2" ;;
        stat | state) told="$told $1$flags" ;;
        esac
    done
    echo "$told"
    found=0
done
exit $found
