#!/usr/bin/env bash
# The main job on a fresh machine, set-up included: a busy (simulated) database is copied to a second host while its redo
# is shipped; then the standby recovers to an SCN and is compared with the truth, block by block.
set -euo pipefail

usage() {
    cat <<'TEXT'
usage: scripts/demo.sh [--no-tmux] [--keep] [--dir DIR] [--loopback] [--files N] [--quiet]

  --no-tmux   run both tools without the tmux session
  --keep      leave everything in DIR for a look; otherwise it is removed at the end of a run that succeeded
  --dir DIR   where everything goes [default: a new directory below TMPDIR or /tmp]
  --loopback  the DR host is an sshd on a loopback port even where a network namespace could be made
  --files N   datafiles of the primary [default: 40]
  --quiet     print only the result

Needs no Oracle. Binds only to the loopback interface or a network namespace of its own. Status 0 only if the standby has
been recovered to the SCN and every block is equal.
TEXT
}

# After kill -9 of the demo, which no trap sees: ends what it has started, in the order of leave() below.
if [ "${1:-}" = --after ]; then
    demo=$2 dir=$3 session=$4 remove=$5
    trap '' INT HUP
    while [ -d "/proc/$demo" ]; do sleep 1; done
    # running NAME...: pids of those that the demo has started; they carry its directory in their environment.
    running() {
        local process name
        for process in /proc/[0-9]*; do
            read -r name <"$process/comm" || continue
            case " $* " in *" $name "*) ;; *) continue ;; esac
            if tr '\0' '\n' <"$process/environ" | grep -Fxq "ORAPIPE_DEMO=$dir"; then printf '%s\n' "${process##*/}"; fi
        done 2>/dev/null
    }
    if [ "$session" != none ]; then
        DR_SESSION=$session DR_STOP_LIMIT=30 "$(dirname "$0")/orquestra_dr.sh" --stop || tmux kill-session -t "=$session" || true
    fi
    for name in arch-ship ts-hotbackup dr-host orasim; do
        pids=$(running "$name")
        # shellcheck disable=SC2086 # one word for each pid
        [ -z "$pids" ] || kill -TERM $pids || true
        for _ in $(seq 300); do
            [ -n "$(running "$name")" ] || break
            sleep 0.1
        done
    done
    [ "$remove" = no ] || rm -rf "$dir"
    exit 0
fi

tmux=yes keep=no dir='' loopback=() files=40 quiet=no
while [ $# -gt 0 ]; do
    case "$1" in
        --no-tmux) tmux=no ;;
        --keep) keep=yes ;;
        --loopback) loopback=(--loopback) ;;
        --quiet) quiet=yes ;;
        --dir | --files)
            [ $# -ge 2 ] || { usage >&2; exit 64; }
            if [ "$1" = --dir ]; then dir=$2; else files=$2; fi
            shift
            ;;
        -h | --help) usage; exit 0 ;;
        *) usage >&2; exit 64 ;;
    esac
    shift
done

repository=$(cd "$(dirname "$(readlink -f "$0")")/.." && pwd)
cd "$repository"
PATH="$PATH:/usr/sbin:/sbin:$HOME/.cargo/bin"
begin=$SECONDS
say() { [ "$quiet" = yes ] || printf '%3ss  %s\n' $((SECONDS - begin)) "$*"; }
step=set-up
result=1
followers=()
after=

leave() {
    local status=$? pid
    set +e
    if [ "$tmux" = yes ] && [ -n "${session:-}" ]; then
        DR_STOP_LIMIT=30 scripts/orquestra_dr.sh --stop >/dev/null 2>&1
        tmux kill-session -t "=$session" 2>/dev/null
    fi
    # In this order: the tools, the DR host, the databases.
    for pid in ${followers[@]+"${followers[@]}"}; do kill -TERM "$pid" 2>/dev/null; done
    for pid in ${followers[@]+"${followers[@]}"}; do wait "$pid" 2>/dev/null; done
    if [ "$status" -ne 0 ] || [ "$result" -ne 0 ]; then
        printf 'demo: FAILED during: %s\n' "$step" >&2
        [ -z "$dir" ] || printf 'demo: look in %s (log/, state/, *.log)\n' "$dir" >&2
        [ "$status" -ne 0 ] || status=2
    elif [ "$keep" = yes ]; then
        printf 'demo: everything is in %s (PROD.env, log/, state/, dr/); nothing of it runs any more\n' "$dir"
    else
        rm -rf "$dir"
    fi
    [ -z "$after" ] || { kill "$after"; wait "$after"; } 2>/dev/null
    exit "$status"
}
trap leave EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

if [ "$quiet" = yes ]; then scripts/setup.sh --demo >/dev/null; else scripts/setup.sh --demo; fi
step="the build"
say "building (debug: fast enough here; the first time it takes some minutes)"
cargo build --locked -q -p arch-ship -p ts-hotbackup -p orasim -p rig --bins
bin=${CARGO_TARGET_DIR:-$repository/target}/debug
export ORAPIPE_BIN=$bin
export PATH="$bin:$PATH"

step="making the databases"
remove=no
if [ -z "$dir" ]; then
    dir=$(mktemp -d "${TMPDIR:-/tmp}/orapipe-demo.XXXXXX")
    [ "$keep" = yes ] || remove=yes
else
    mkdir -p "$dir"
    if [ -e "$dir/PROD.env" ]; then
        echo "demo: $dir holds an earlier demo: remove it, or name another directory" >&2
        dir=
        exit 64
    fi
fi
dir=$(cd "$dir" && pwd)
session=
[ "$tmux" = no ] || session=DR_DBPROD_DEMO_$$
# From here on: without it a stop would be meant for the session of a real pair.
export DR_SESSION=${session:-DR_DBPROD_DEMO_$$} ORAPIPE_DEMO=$dir
setsid "$repository/scripts/demo.sh" --after $$ "$dir" "${session:-none}" $remove </dev/null >/dev/null 2>&1 &
after=$!
# Root is usual in a container; the tools ask for a word about it.
if [ "$(id -u)" = 0 ]; then export ORAPIPE_ALLOW_ROOT=1; fi
unset ORACLE_HOME ORACLE_SID TWO_TASK STATE_DIR LOG_DIR DEST_HOST DEST_USER SSH_OPTIONS PATH_MAP DEST_ARCHLOG_DIR
dr-world "$dir" --files "$files"
export ORACLE_HOME=$dir/home
primary=$dir/primary standby=$dir/standby

orasim create --dir "$standby" --spec "$dir/standby.json" >"$dir/orasim.log"
orasim create --dir "$primary" --spec "$dir/primary.json" >>"$dir/orasim.log"
orasim home --dir "$ORACLE_HOME" --sid "DBPROD=$primary" --sid "DBPRODSB=$standby"
orasim start --dir "$standby" >>"$dir/orasim.log" 2>&1 &
followers+=($!)
orasim start --dir "$primary" >>"$dir/orasim.log" 2>&1 &
followers+=($!)

# query SQL: rows of the primary, through the same sqlplus that the tools use.
query() {
    {
        printf '%s\n' 'set echo off feedback off heading off pagesize 0 linesize 32767 trimout on tab off sqlprompt ""'
        printf '%s\n' 'connect / as sysdba' "$1;" 'exit'
    } | ORACLE_SID=DBPROD NLS_LANG=AMERICAN_AMERICA.AL32UTF8 "$ORACLE_HOME/bin/sqlplus" -S /nolog | sed -n 's/^R|//p'
}
is_open() { [ "$(query "select 'R|'||status from v\$instance")" = OPEN ]; }
for _ in $(seq 100); do
    if is_open; then break; fi
    sleep 0.1
done
is_open || { cat "$dir/orasim.log" >&2; exit 2; }

step="starting the DR host"
mkfifo "$dir/dr-host.hold"
dr-host --settings "$dir/host.env" ${loopback[@]+"${loopback[@]}"} <"$dir/dr-host.hold" >"$dir/dr-host.log" 2>&1 &
followers+=($!)
# As long as this shell lives, and no longer.
exec 8>"$dir/dr-host.hold"
for _ in $(seq 100); do
    [ ! -s "$dir/host.env" ] || break
    sleep 0.1
done
[ -s "$dir/host.env" ] || { cat "$dir/dr-host.log" >&2; exit 2; }
cat "$dir/host.env" >>"$dir/PROD.env"
export ORAPIPE_ENV_FILE=$dir/PROD.env
host=$(sed -n 's/^DEST_HOST=//p' "$dir/host.env")
user=$(sed -n 's/^DEST_USER=//p' "$dir/host.env")
tablespaces=$(query "select 'R|'||count(*) from v\$tablespace")
say "primary DBPROD is open: $tablespaces tablespaces, $files datafiles, writer at full speed"
say "DR host is a real sshd at $host $(sed -n 's/^# //p' "$dir/host.env")"

step="copying and shipping"
if [ "$tmux" = yes ]; then
    scripts/orquestra_dr.sh --detached >"$dir/orquestra.log"
    say "both tools run in tmux; look: tmux attach -t $session"
else
    scripts/copy_archivelog_to_pamvs0003l.sh >"$dir/arch-ship.jsonl" 2>"$dir/arch-ship.err" &
    ship=$!
    followers+=("$ship")
    scripts/hot_backup_ts_to_pamvs0003l.sh >"$dir/ts-hotbackup.jsonl" 2>"$dir/ts-hotbackup.err" &
    copy=$!
    followers+=("$copy")
fi

backup_state() {
    if [ "$tmux" = yes ]; then
        scripts/orquestra_dr.sh --status | sed -n 's/^orquestra_dr: hot_backup: //p'
    elif kill -0 "$copy" 2>/dev/null; then
        echo runs
    elif wait "$copy"; then
        echo "done"
    else
        echo "ended with status $?"
    fi
}

shown=' '
progress() {
    local mark name
    for mark in "$dir"/state/ts_*.done; do
        [ -e "$mark" ] || continue
        name=${mark##*/ts_} name=${name%.done}
        case "$shown" in *" $name "*) continue ;; esac
        shown="$shown$name "
        # Marks write characters that no file name should have as %20 and the like.
        say "tablespace $(printf '%b' "${name//%/\\x}") is at the DR host"
    done
}
limit=$((SECONDS + 600))
while state=$(backup_state) && [ "$state" = runs ]; do
    progress
    [ $SECONDS -lt $limit ] || { echo "demo: the backup has not ended after 10 minutes" >&2; exit 2; }
    sleep 0.3
done
progress
if [ "$state" != "done" ]; then
    echo "demo: ts-hotbackup $state" >&2
    tail -n 20 "$dir"/log/hot_backup_ts_to_*.out >&2 || true
    exit 2
fi
say "the hot backup is complete"

step="shipping the rest"
# Some more work, so that recovery has to go beyond the end of the backup; then a point in the middle of the writing.
sleep 2
scn=$(query "select 'R|'||to_char(current_scn) from v\$database")
[ -n "$scn" ] || { echo "demo: the primary did not tell its SCN" >&2; exit 2; }
sleep 1
query 'alter system archive log current' >/dev/null
if [ "$tmux" = yes ]; then
    scripts/monitor_dr.sh --once >"$dir/monitor.txt" || true
    scripts/orquestra_dr.sh --stop >>"$dir/orquestra.log"
    session=
else
    kill -TERM "$ship"
    wait "$ship" || true
fi
export ORACLE_SID=DBPROD
arch-ship --discover database --json >"$dir/rest.jsonl" 2>"$dir/rest.err" || { cat "$dir/rest.err" >&2; exit 2; }
arch-ship --discover database --status --json >"$dir/status.jsonl" 2>"$dir/status.err" || { cat "$dir/status.jsonl" >&2; exit 2; }
gaps=$(grep -c '"type":"gap"' "$dir/status.jsonl" || true)
say "all redo is there; the point to recover to is SCN $scn"

# What was copied, before recovery touches it.
copies=() torn=0
while IFS= read -r -d '' file; do copies+=("$file"); done < <(find "$dir"/dr/u1? -type f -name '*.dbf' -print0)
eval "$(dr-compare torn "${copies[@]}")"

step="recovering the standby"
options=()
eval "options=($(sed -n 's/^SSH_OPTIONS="\(.*\)"$/\1/p' "$dir/host.env"))"
# shellcheck disable=SC2029 # expanded here on purpose: the DR host has no settings of its own
on_dr_host() { ssh "${options[@]}" "$user@$host" "$@" </dev/null; }
on_dr_host "TMPDIR='$dir' ORACLE_HOME='$ORACLE_HOME' ORACLE_SID=DBPRODSB '$repository/scripts/standby-recover.sh' \
    --until-scn $scn --scripts '$dir/dr/control' --logs '$dir/dr/arch'" >"$dir/recover.log" 2>&1 ||
    { cat "$dir/recover.log" >&2; exit 2; }
say "$(tail -n 1 "$dir/recover.log" | sed 's/^standby-recover: //')"

step="comparing with the truth"
dr-compare truth --primary "$primary" --standby "$standby" --scn "$scn" >"$dir/compare.env" 2>"$dir/compare.log" ||
    { cat "$dir/compare.log" "$dir/compare.env" >&2; exit 2; }
files=0 blocks=0 bytes=0 left_out=0 equal=false
eval "$(cat "$dir/compare.env")"
[ "$equal" = true ] || exit 2
logs=$(find "$dir/dr/arch" -type f ! -name '.*' | wc -l)
redo=$(find "$dir/dr/arch" -type f ! -name '.*' -printf '%s\n' | awk '{s += $1} END {printf "%.1f", s / 1048576}')
copied=$(ts-hotbackup --status --json 2>/dev/null | grep -c '"type":"tablespace".*"status":"copied"' || true)
active=$(query "select 'R|'||count(*) from v\$backup where status='ACTIVE'")
[ "$active" = 0 ] || { echo "demo: $active datafiles are still in backup mode" >&2; exit 2; }
[ "$gaps" = 0 ] || { cat "$dir/status.jsonl" >&2; exit 2; }

result=0
step="the end"
cat <<TEXT

What was proved (in $((SECONDS - begin)) s):
  copied     $files datafiles of $copied tablespaces, $((bytes / 1048576)) MiB, while the database was writing: $torn torn blocks
             in the copies, healed by recovery ($left_out files of an offline tablespace left out, as asked)
  shipped    $logs archived logs, $redo MiB, each verified at the DR host; gaps: $gaps
  recovered  the standby to SCN $scn, by redo alone; no END BACKUP on copies
  compared   $blocks blocks with what the primary had at that SCN: all equal
  left       no tablespace in backup mode
TEXT
