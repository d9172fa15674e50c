#!/usr/bin/env bash
# Builds a standby and keeps it fed, in a tmux session with three windows: archivelog, hot_backup, monitor.
set -euo pipefail

usage() {
    cat <<'TEXT'
usage: orquestra_dr.sh [--detached] [--new-cycle]   start, or mend what is not running, and attach
       orquestra_dr.sh --status                     say what runs
       orquestra_dr.sh --stop                       end both tools in order (END BACKUP included) and the session

Session DR_DBPROD (DR_SESSION), windows:
  0 archivelog   arch-ship --follow, by copy_archivelog_to_pamvs0003l.sh
  1 hot_backup   ts-hotbackup, by hot_backup_ts_to_pamvs0003l.sh
  2 monitor      tablespaces done, bytes, redo lag, gaps, last errors

Safe to run again: what runs is left alone, a shipping or a backup that ended badly is started again. A backup that ended
well is not: --new-cycle begins the next one. Settings as for the two tools, from the environment or ORAPIPE_ENV_FILE.
A session that the original script has left is taken over when nothing runs in its windows any more.

Exit status: 0 done; 1 --status found something that does not run; 2 failed; 4 refused: one of the windows runs what this
script has not started; 64 wrong usage
TEXT
}

self=$(readlink -f "$0")
# A window begins here with the environment of whoever started the session: a tmux server that is older than the
# session would give it its own. The file is private and gone at once; tmux's arguments can be seen by everybody.
if [ "${1:-}" = --window ]; then
    window=$2 saved=$3
    keep_tmux=${TMUX:-} keep_pane=${TMUX_PANE:-} keep_term=${TERM:-screen}
    # shellcheck disable=SC1090 # written by this script
    . "$saved"
    rm -f "$saved"
    export TMUX=$keep_tmux TMUX_PANE=$keep_pane TERM=$keep_term
    tmux set-window-option -t "$TMUX_PANE" @orapipe yes >/dev/null
    # The last words of a tool that ends stay on the screen.
    tmux set-window-option -t "$TMUX_PANE" remain-on-exit on >/dev/null
    tmux set-window-option -t "$TMUX_PANE" automatic-rename off >/dev/null
    dir=$(dirname "$self")
    case "$window" in
        archivelog) exec "$dir/copy_archivelog_to_pamvs0003l.sh" ;;
        hot_backup) exec "$dir/hot_backup_ts_to_pamvs0003l.sh" ;;
        new_cycle) exec "$dir/hot_backup_ts_to_pamvs0003l.sh" --new-cycle ;;
        monitor) exec "$dir/monitor_dr.sh" ;;
        *) exit 64 ;;
    esac
fi

# shellcheck source=environment.sh
. "$(dirname "$self")/environment.sh"
session=$(setting DR_SESSION DR_DBPROD)
# How long END BACKUP and the like may take after --stop.
stop_limit=${DR_STOP_LIMIT:-180}

say() { printf 'orquestra_dr: %s\n' "$*"; }
fail() { printf 'orquestra_dr: error: %s\n' "$*" >&2; exit 2; }

command -v tmux >/dev/null 2>&1 || fail "tmux is not installed"

# tmux takes the beginning of a name for the name, so existence is asked of the list.
has_session() { tmux list-sessions -F '#{session_name}' 2>/dev/null | grep -Fxq "$session"; }
has_window() { tmux list-windows -t "$session" -F '#{window_name}' 2>/dev/null | grep -Fxq "$1"; }
pane() { tmux list-panes -t "$session:$1" -F "$2" 2>/dev/null | head -n 1; }

# is_ours WINDOW: whether this script has started what is in it. The original only typed into a shell.
is_ours() {
    [ "$(tmux show-window-options -v -t "$1" @orapipe 2>/dev/null)" = yes ] ||
        tmux list-panes -t "$1" -F '#{pane_start_command}' 2>/dev/null | grep -Fq -- --window
}

# at_work PID: what runs below a shell other than shells that wait for somebody to type.
at_work() {
    local stat pid parent word
    for stat in /proc/[0-9]*/stat; do
        # The name may hold blanks; what follows its parenthesis does not.
        read -r word <"$stat" || continue
        pid=${word%% *} word=${word##*) }
        parent=${word#* } parent=${parent%% *}
        [ "$parent" = "$1" ] || continue
        word=$(tr '\0' ' ' <"/proc/$pid/cmdline")
        case "$word" in
            bash\ | -bash\ | */bash\ | sh\ | -sh\ | */sh\ | ksh\ | -ksh\ | */ksh\ | bash\ -[il]\ | tail\ *) ;;
            '') ;;
            *) printf '%s\n' "${word% }" ;;
        esac
        at_work "$pid"
    done 2>/dev/null
}

# Ends the script when a window of ours is somebody else's and busy: the original in the middle of a tablespace.
refuse_strangers() {
    local pid id name busy
    has_session || return 0
    while read -r pid id name; do
        case "$name" in archivelog | hot_backup | monitor) ;; *) continue ;; esac
        if is_ours "$id"; then continue; fi
        busy=$(at_work "$pid")
        [ -n "$busy" ] || continue
        printf 'orquestra_dr: error: window %s of session %s runs something that this script has not started: %s\n' \
            "$name" "$session" "${busy%%$'\n'*}" >&2
        printf 'orquestra_dr: hint: let it end, or end it there (tmux attach -t %s), see that no tablespace is left in backup mode, and run this again\n' \
            "$session" >&2
        exit 4
    done < <(tmux list-panes -s -t "$session" -F '#{pane_pid} #{window_id} #{window_name}')
}

# state WINDOW: absent, idle (a shell that somebody else has left), running, or ended STATUS
state() {
    local ended='' look
    if ! has_session || ! has_window "$1"; then
        echo absent
    elif ! is_ours "$session:$1"; then
        echo idle
    elif [ "$(pane "$1" '#{pane_dead}')" = 1 ]; then
        # The screen is closed a moment before the status is there.
        for look in 1 2 3 4 5; do
            ended=$(pane "$1" '#{pane_dead_status}#{?pane_dead_signal,signal #{pane_dead_signal},}')
            [ -z "$ended" ] || break
            # tmux 3.3 sometimes overlooks that the program has ended, until another child of its own ends.
            tmux run-shell true 2>/dev/null || true
            [ "$look" = 5 ] || sleep 0.1
        done
        echo "ended $ended"
    else
        echo running
    fi
}

saved_environment() {
    local file
    file=$(umask 077 && mktemp "${TMPDIR:-/tmp}/orquestra_dr.XXXXXX")
    export -p >"$file"
    printf '%s\n' "$file"
}

quoted() { printf '%q ' "$@"; }

# open INDEX NAME [JOB]: makes the window, or starts its job again.
open() {
    local index=$1 name=$2 job=${3:-$2} command
    command=$(quoted "$self" --window "$job" "$(saved_environment)")
    if ! has_session; then
        tmux new-session -d -s "$session" -n "$name" -x 200 -y 50 "$command"
        # Wherever base-index put it.
        tmux move-window -s "$session:$name" -t "$session:$index" 2>/dev/null || true
    elif has_window "$name"; then
        tmux respawn-window -k -t "$session:$name" "$command"
    else
        tmux new-window -d -t "$session:$index" -n "$name" "$command"
    fi
    tmux set-window-option -t "$session:$name" @orapipe yes >/dev/null
}

ensure() {
    local index=$1 name=$2 now
    now=$(state "$name")
    case "$now" in
        running) say "$name: runs already" ;;
        absent) open "$index" "$name"; say "$name: started" ;;
        idle) open "$index" "$name"; say "$name: started in the window that was there" ;;
        *) open "$index" "$name"; say "$name: had ended with status ${now#ended }; started again" ;;
    esac
}

start() {
    local new_cycle=$1 attach=$2 now
    refuse_strangers
    ensure 2 monitor
    ensure 0 archivelog
    now=$(state hot_backup)
    case "$now" in
        running) say "hot_backup: runs already" ;;
        # An old tmux does not know the status: better not to begin a new cycle unasked.
        'ended 0' | 'ended ')
            if [ "$new_cycle" = yes ]; then
                open 1 hot_backup new_cycle
                say "hot_backup: began a new cycle"
            else
                say "hot_backup: this cycle is done; --new-cycle begins the next"
            fi
            ;;
        *)
            if [ "$new_cycle" = yes ]; then open 1 hot_backup new_cycle; else open 1 hot_backup; fi
            if [ "$now" = absent ] || [ "$now" = idle ]; then say "hot_backup: started"; else say "hot_backup: had ended with status ${now#ended }; started again"; fi
            ;;
    esac
    if [ "$attach" = yes ] && [ -t 0 ] && [ -t 1 ]; then
        tmux select-window -t "$session:monitor"
        if [ -n "${TMUX:-}" ]; then exec tmux switch-client -t "$session"; else exec tmux attach-session -t "$session"; fi
    fi
    say "look: tmux attach -t $session"
}

status() {
    local name now worst=0
    for name in archivelog hot_backup monitor; do
        now=$(state "$name")
        case "$now" in
            running) say "$name: runs" ;;
            absent | idle) say "$name: not started"; worst=1 ;;
            'ended 0') say "$name: done" ;;
            'ended ') say "$name: ended" ;;
            *) say "$name: ended with status ${now#ended }"; worst=1 ;;
        esac
    done
    return $worst
}

stop() {
    local name pid limit=$((SECONDS + stop_limit))
    if ! has_session; then
        say "nothing runs"
        return 0
    fi
    refuse_strangers
    for name in hot_backup archivelog; do
        if [ "$(state $name)" = running ]; then
            pid=$(pane $name '#{pane_pid}')
            kill -TERM "$pid" 2>/dev/null || true
            say "$name: asked to end (pid $pid)"
        fi
    done
    for name in hot_backup archivelog; do
        while [ "$(state $name)" = running ]; do
            [ $SECONDS -lt $limit ] || fail "$name has not ended after ${stop_limit}s; the session is left as it is"
            sleep 0.2
        done
        say "$name: $(state $name)"
    done
    tmux kill-session -t "$session"
    say "session $session ended"
}

new_cycle=no attach=yes action=start
while [ $# -gt 0 ]; do
    case "$1" in
        --detached) attach=no ;;
        --new-cycle) new_cycle=yes ;;
        --status) action=status ;;
        --stop) action=stop ;;
        -h | --help) usage; exit 0 ;;
        *) usage >&2; exit 64 ;;
    esac
    shift
done
case $action in
    start) start $new_cycle $attach ;;
    status) status ;;
    stop) stop ;;
esac
