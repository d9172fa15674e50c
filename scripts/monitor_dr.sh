#!/usr/bin/env bash
# Shows how the standby is doing: tablespaces done, bytes, redo lag, gaps, last errors. Fits 80 columns by 24 lines.
#
#   monitor_dr.sh          for ever, a new look every DR_MONITOR_INTERVAL seconds (10)
#   monitor_dr.sh --once   one look, for a mail or a test; no cursor movement
#
# It only shows what `ts-hotbackup --status` and `arch-ship --status` say and the last errors of their logs.
set -euo pipefail
# shellcheck source=environment.sh
. "$(dirname "$(readlink -f "$0")")/environment.sh"

once=no
case "${1:-}" in
    '') ;;
    --once) once=yes ;;
    *) echo "usage: monitor_dr.sh [--once]" >&2; exit 64 ;;
esac

interval=${DR_MONITOR_INTERVAL:-10}
session=$(setting DR_SESSION DR_DBPROD)
default_setting DEST_HOST pamvs0003l DRSERVER
host=$(setting DEST_HOST "$(setting DRSERVER local)")
state_dir=$(setting STATE_DIR "${XDG_STATE_HOME:-$HOME/.local/state}/orapipe")
log_dir=$(setting LOG_DIR "$state_dir")

colour=no
if [ -t 1 ]; then colour=yes; fi
look=$(mktemp -d "${TMPDIR:-/tmp}/monitor_dr.XXXXXX")
pause=
leave() {
    rm -rf "$look"
    if [ -n "$pause" ]; then kill "$pause" 2>/dev/null || true; fi
    if [ "$once" = no ] && [ -t 1 ]; then printf '\033[?25h\033[0m\n'; fi
}
trap leave EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

# What the two tools say; a tool that cannot answer says why in its last record. Neither may stop the other.
ask() {
    local tool=$1
    shift
    timeout 60 "$tool" --status --json "$@" >"$look/$tool.new" 2>"$look/$tool.err" || true
    if [ ! -s "$look/$tool.new" ]; then
        printf '{"tool":"%s","type":"run_end","status":"error","message":"%s gave no answer within a minute"}\n' \
            "$tool" "$tool" >"$look/$tool.new"
    fi
    mv "$look/$tool.new" "$look/$tool"
}

last_errors() {
    local file
    for file in "$log_dir"/*.log "$log_dir"/*.out; do
        [ -f "$file" ] || continue
        tail -n 400 "$file" | grep -aE '^[0-9]{4}-[0-9]{2}-[0-9]{2} [0-9:.]+ (error|warning) ' || true
    done | sort -u | tail -n 4
}

draw() {
    local columns=80 lines=24 size unicode=no
    if [ "$once" = no ] && size=$(stty size 2>/dev/null </dev/tty) && [ -n "$size" ] && [ "$size" != "0 0" ]; then
        lines=${size% *} columns=${size#* }
    fi
    case "${LC_ALL:-${LC_CTYPE:-${LANG:-}}}" in *UTF-8* | *utf8*) unicode=yes ;; esac
    last_errors >"$look/errors"
    # Byte semantics: every awk cuts and pads alike then.
    LC_ALL=C awk -v columns="$columns" -v lines="$lines" -v colour=$colour -v unicode=$unicode \
        -v session="$session" -v host="$host" -v now="$(date '+%Y-%m-%d %H:%M:%S')" -v interval="$interval" \
        -v once="$once" -f "$script_dir/monitor_dr.awk" "$look/ts-hotbackup" "$look/arch-ship" "$look/errors"
}

if [ "$once" = yes ]; then
    ask ts-hotbackup
    ask arch-ship
    draw
    exit 0
fi

if [ -t 1 ]; then printf '\033[?25l\033[2J'; fi
: >"$look/ts-hotbackup"
: >"$look/arch-ship"
while :; do
    draw >"$look/screen" || true
    # The whole picture in one write, over the old one: no flicker.
    if [ -t 1 ]; then printf '\033[H%s\033[J' "$(cat "$look/screen")"; else cat "$look/screen"; fi
    if [ -n "${asked:-}" ]; then
        # A signal is heard while waiting, not after it.
        sleep "$interval" &
        pause=$!
        wait "$pause" || true
        pause=
    fi
    asked=yes
    ask ts-hotbackup
    ask arch-ship
done
