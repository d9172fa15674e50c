#!/bin/sh
# last-runs.sh LOG_DIR SID/JOB:HOURS...
# Prints the records of the last run of each job that began less than HOURS ago, byte for byte, from
# LOG_DIR/SID/JOB.jsonl. One that is running now is left out and the one before it is printed; one that died is printed as
# far as it came. Reads only.
set -eu
export LC_ALL=C

dir=$1
shift
[ -d "$dir" ] || { echo "no records: $dir is not there; was install.yml run for this host?" >&2; exit 2; }

# Prints "ended FROM TO TIME" of the last run that has ended, and "open FROM TO TIME TOOL:PID..." of one after it that has
# not. A pipeline is one run: it begins when no tool is open and ends when none is any more. A tool that begins while it is
# open has died before.
# shellcheck disable=SC2016 # awk's own
bounds='
function field(name,    from) {
    from = index($0, "\"" name "\":\"")
    if (!from) return ""
    from += length(name) + 4
    return substr($0, from, index(substr($0, from), "\"") - 1)
}
/^\{"v":[0-9]+,"type":"run_begin",/ {
    tool = field("tool"); run = field("run")
    if (open == 0 || (tool in tools)) {
        split("", tools); split("", runs); open = 0
        from = NR; at = field("ts"); pids = ""
    }
    tools[tool] = 1; runs[tool " " run] = 1; open++
    pid = run; sub(/.*-/, "", pid); pids = pids " " tool ":" pid
}
/^\{"v":[0-9]+,"type":"run_end",/ {
    key = field("tool") " " field("run")
    if (key in runs) {
        delete runs[key]; open--
        if (open == 0) ended = from " " NR " " at
    }
}
END {
    if (ended != "") print "ended " ended
    if (open > 0) print "open " from " " NR " " at pids
}'

show() {
    sid_job=${1%:*} hours=${1##*:}
    file=$dir/$sid_job.jsonl
    cutoff=$(date -u -d "$hours hours ago" +%Y-%m-%dT%H:%M:%S)
    # The file before the rotation first: the last run may be there, or have begun there.
    lines=$work/lines
    cat "$file.1" "$file" 2>/dev/null >"$lines" || [ -s "$lines" ] || return 0
    ended='' running=no
    awk "$bounds" "$lines" >"$work/bounds"
    while read -r state from to at tools; do
        case "$state" in
            ended) ended="$from $to $at" ;;
            open)
                for tool in $tools; do
                    if [ "$(cat "/proc/${tool#*:}/comm" 2>/dev/null)" = "${tool%:*}" ]; then running=yes; fi
                done
                [ "$running" = yes ] || ended="$from $to $at"
                ;;
        esac
    done <"$work/bounds"
    [ -n "$ended" ] || return 0
    # shellcheck disable=SC2086 # three words
    set -- $ended
    # Both times are UTC in one form, so their order as text is that in time.
    if [ "$(printf '%s\n%s\n' "$cutoff" "$3" | sort | head -n 1)" = "$cutoff" ]; then
        sed -n "$1,$2p;$2q" "$lines"
    fi
}

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
for wanted; do show "$wanted"; done
