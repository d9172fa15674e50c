#!/usr/bin/env bash
# The main jobs on a fresh machine, set-up included: a busy (simulated) database is copied to a second host while its redo
# is shipped; then the standby recovers to an SCN and is compared with the truth, block by block. A second database is
# backed up to S3, loses its files, is restored and compared likewise, and is exported as every night.
set -euo pipefail

usage() {
    cat <<'TEXT'
usage: scripts/demo.sh [--no-tmux] [--keep] [--dir DIR] [--loopback] [--files N] [--only PART]… [--quiet]

  --no-tmux   run both tools without the tmux session
  --keep      leave everything in DIR for a look; otherwise it is removed at the end of a run that succeeded
  --dir DIR   where everything goes [default: a new directory below TMPDIR or /tmp]
  --loopback  the DR host is an sshd on a loopback port even where a network namespace could be made
  --files N   datafiles of the primary [default: 40]
  --only PART standby, s3 or export; may be repeated [default: all three]
  --quiet     print only the result

Needs no Oracle. Binds only to the loopback interface or a network namespace of its own. Status 0 only if the standby has
been recovered to the SCN and every block is equal, the second database has been restored from S3 and every block is equal,
and the archive of the export is proven and its mail has arrived.
TEXT
}

# running NAME...: pids of those that the demo has started; they carry its directory in their environment.
running() {
    local process name
    for process in /proc/[0-9]*; do
        read -r name <"$process/comm" || continue
        case " $* " in *" $name "*) ;; *) continue ;; esac
        if tr '\0' '\n' <"$process/environ" | grep -Fxq "ORAPIPE_DEMO=$dir"; then printf '%s\n' "${process##*/}"; fi
    done 2>/dev/null
}

# end_those NAME...: all at once, and waits until they have ended.
end_those() {
    local pids
    pids=$(running "$@")
    # shellcheck disable=SC2086 # one word for each pid
    [ -z "$pids" ] || kill -TERM $pids || true
    for _ in $(seq 300); do
        [ -n "$(running "$@")" ] || break
        sleep 0.1
    done
}
# One of them may wait for another.
pipelines='rman-run s3-put s3-get dp-export zip-rotate mailreport'

# After kill -9 of the demo, which no trap sees: ends what it has started, in the order of leave() below.
if [ "${1:-}" = --after ]; then
    demo=$2 dir=$3 session=$4 remove=$5
    trap '' INT HUP
    while [ -d "/proc/$demo" ]; do sleep 1; done
    if [ "$session" != none ]; then
        DR_SESSION=$session DR_STOP_LIMIT=30 "$(dirname "$0")/orquestra_dr.sh" --stop || tmux kill-session -t "=$session" || true
    fi
    # shellcheck disable=SC2086 # one word for each name
    end_those $pipelines
    for name in arch-ship ts-hotbackup dr-host smtp-sink s3-server orasim; do end_those "$name"; done
    [ "$remove" = no ] || rm -rf "$dir"
    exit 0
fi

tmux=yes keep=no parts='' dir='' loopback=() files=40 quiet=no
while [ $# -gt 0 ]; do
    case "$1" in
        --no-tmux) tmux=no ;;
        --keep) keep=yes ;;
        --loopback) loopback=(--loopback) ;;
        --quiet) quiet=yes ;;
        --dir | --files | --only)
            [ $# -ge 2 ] || { usage >&2; exit 64; }
            case "$1 $2" in
                "--dir "*) dir=$2 ;;
                "--files "*) files=$2 ;;
                "--only standby" | "--only s3" | "--only export") parts="$parts $2 " ;;
                *) usage >&2; exit 64 ;;
            esac
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
current=
after=
proved=()
wanted() { [[ -z "$parts" || "$parts" == *" $1 "* ]]; }

leave() {
    local status=$? pid
    set +e
    if [ "$tmux" = yes ] && [ -n "${session:-}" ]; then
        DR_STOP_LIMIT=30 scripts/orquestra_dr.sh --stop >/dev/null 2>&1
        tmux kill-session -t "=$session" 2>/dev/null
    fi
    # In this order: the tools, the servers, the databases.
    if [ -n "$current" ]; then
        kill -TERM "$current" 2>/dev/null
        # shellcheck disable=SC2086 # one word for each name
        end_those $pipelines
    fi
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
# As test.sh does, so that one does not build what the other has built.
cargo build --locked -q --workspace --bins
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
wanted standby || tmux=no
[ "$tmux" = no ] || session=DR_DBPROD_DEMO_$$
# From here on: without it a stop would be meant for the session of a real pair.
export DR_SESSION=${session:-DR_DBPROD_DEMO_$$} ORAPIPE_DEMO=$dir
setsid "$repository/scripts/demo.sh" --after $$ "$dir" "${session:-none}" $remove </dev/null >/dev/null 2>&1 &
after=$!
# Root is usual in a container; the tools ask for a word about it.
if [ "$(id -u)" = 0 ]; then export ORAPIPE_ALLOW_ROOT=1; fi
unset ORACLE_HOME ORACLE_SID TWO_TASK STATE_DIR LOG_DIR DEST_HOST DEST_USER SSH_OPTIONS PATH_MAP DEST_ARCHLOG_DIR \
    RMAN_TARGET_CONNECT_STRING RMAN_CATALOG_CONNECT_STRING TEMP_BACKUP_DIR RESTORE_SOURCE_DIR S3_BUCKET_NAME S3_BACKUP_PREFIX \
    S3_LOG_PREFIX AWS_PROFILE AWS_REGION AWS_SESSION_TOKEN AWS_CONFIG_FILE AWS_SHARED_CREDENTIALS_FILE ORACLE_USERS \
    ORACLE_DIRECTORY ORACLE_SERVICE DB_FOLDER CLOUD_FOLDER RETENTION_DAYS KEEP_MINIMUM_BACKUPS MAX_TOTAL_BACKUPS \
    SQLPLUS_CONNECTION_STRING SMTP_SERVER SMTP_PORT SMTP_TLS SMTP_CA_FILE SMTP_USERNAME SMTP_PASSWORD SMTP_PASSWORD_FILE \
    EMAIL_FROM EMAIL_TO http_proxy https_proxy all_proxy HTTP_PROXY HTTPS_PROXY ALL_PROXY
dr-world "$dir" --files "$files"
export ORACLE_HOME=$dir/home
primary=$dir/primary standby=$dir/standby shop=$dir/loja

# query SQL [SID]: rows of a database, the primary's by default, through the same sqlplus that the tools use.
query() {
    {
        printf '%s\n' 'set echo off feedback off heading off pagesize 0 linesize 32767 trimout on tab off sqlprompt ""'
        printf '%s\n' 'connect / as sysdba' "$1;" 'exit'
    } | ORACLE_SID=${2:-DBPROD} NLS_LANG=AMERICAN_AMERICA.AL32UTF8 "$ORACLE_HOME/bin/sqlplus" -S /nolog | sed -n 's/^R|//p'
}
is_open() { [ "$(query "select 'R|'||status from v\$instance" "$1")" = OPEN ]; }
until_open() {
    for _ in $(seq 100); do
        if is_open "$1"; then return; fi
        sleep 0.1
    done
    cat "$dir/orasim.log" >&2
    exit 2
}

# run NAME COMMAND...: its records go to NAME.jsonl and its messages to NAME.err. A signal does not wait for its end.
run() {
    local name=$1 status=0
    shift
    "$@" >"$dir/$name.jsonl" 2>"$dir/$name.err" </dev/null &
    current=$!
    wait "$current" || status=$?
    current=
    [ "$status" -ne 0 ] || return 0
    cat "$dir/$name.err" >&2
    echo "demo: $* ended with status $status" >&2
    exit 2
}

# serve PROGRAM DIR: starts a server that prints settings and READY; the settings, secrets among them, go to the
# environment and nowhere else.
serve() {
    local line ready=no
    mkfifo "$dir/$1.settings"
    "$1" "$2" >"$dir/$1.settings" 2>"$dir/$1.log" </dev/null &
    followers+=($!)
    while IFS= read -r -t 20 line; do
        if [ "$line" = READY ]; then ready=yes; break; fi
        export "${line?}"
    done <"$dir/$1.settings"
    [ $ready = yes ] || { cat "$dir/$1.log" >&2; exit 2; }
}

# count TEXT FILE: lines of FILE that have TEXT.
count() { grep -c -e "$1" "$2" || true; }

part_standby() {
    orasim create --dir "$standby" --spec "$dir/standby.json" >"$dir/orasim.log"
    orasim create --dir "$primary" --spec "$dir/primary.json" >>"$dir/orasim.log"
    orasim home --dir "$ORACLE_HOME" --sid "DBPROD=$primary" --sid "DBPRODSB=$standby"
    orasim start --dir "$standby" >>"$dir/orasim.log" 2>&1 &
    followers+=($!)
    orasim start --dir "$primary" >>"$dir/orasim.log" 2>&1 &
    followers+=($!)

    until_open DBPROD

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
    on_dr_host "TMPDIR='$dir' STATE_DIR='$dir/dr/state' ORACLE_HOME='$ORACLE_HOME' ORACLE_SID=DBPRODSB '$repository/scripts/standby-recover.sh' \
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
    # What follows has the machine to itself.
    orasim writer --dir "$primary" --pause >/dev/null
    proved+=(
        "copied     $files datafiles of $copied tablespaces, $((bytes / 1048576)) MiB, while the database was writing: $torn torn blocks"
        "           in the copies, healed by recovery ($left_out files of an offline tablespace left out, as asked)"
        "shipped    $logs archived logs, $redo MiB, each verified at the DR host; gaps: $gaps"
        "recovered  the standby to SCN $scn, by redo alone; no END BACKUP on copies"
        "compared   $blocks blocks with what the primary had at that SCN: all equal"
        "left       no tablespace in backup mode"
    )
}

# The second database, once.
shop_database() {
    [ ! -e "$shop/db" ] || return 0
    step="making the second database"
    orasim create --dir "$shop/db" --spec "$shop/spec.json" --front "$shop/front.json" >>"$dir/orasim.log"
    cp -p "$shop/datapump.json" "$shop/db/"
    orasim home --dir "$ORACLE_HOME" --sid "DBLOJA=$shop/db" --alias loja=DBLOJA
    orasim start --dir "$shop/db" >>"$dir/orasim.log" 2>&1 &
    followers+=($!)
    until_open DBLOJA
    # Not nearly empty.
    orasim writer --dir "$shop/db" --batch 1200 >/dev/null
    export ORACLE_SID=DBLOJA ORAPIPE_ENV_FILE=$shop/LOJA.env
}

part_s3() {
    local last stored fetched files=0 blocks=0 reached=0 equal=false
    shop_database
    step="backing up to S3"
    serve s3-server "$shop/bucket"
    export AWS_EC2_METADATA_DISABLED=true
    say "second database DBLOJA is open, writer at work; S3 at $AWS_ENDPOINT_URL, bucket $S3_BUCKET_NAME"
    run full scripts/backup_oracle_s3.sh FULL
    say "level 0 is in S3"
    sleep 1
    run incremental scripts/backup_oracle_s3.sh INCREMENTAL
    say "level 1 is in S3"
    [ -z "$(find "$shop/rman" -type f)" ] || { echo "demo: pieces are left in $shop/rman" >&2; exit 2; }
    # What is written now is in no backup.
    sleep 1
    last=$(query "select 'R|'||to_char(current_scn) from v\$database" DBLOJA)
    [ -n "$last" ] || { echo "demo: the second database did not tell its SCN" >&2; exit 2; }

    step="the disaster"
    query 'shutdown abort' DBLOJA >/dev/null
    [ "$(orasim state --dir "$shop/db")" = Down ] || { echo "demo: the second database is not down" >&2; exit 2; }
    rm -f "$shop"/data/* "$shop"/control/* "$shop/db/in-flight.blocks"
    say "shutdown abort; all datafiles and the control file are gone"

    step="restoring from S3"
    # Not opened yet: an open database has changed since.
    run restore scripts/restore_oracle.sh INCREMENTAL --controlfile --no-resetlogs
    dr-compare restored "$shop/db" >"$dir/restored.env" 2>"$dir/restored.log" ||
        { cat "$dir/restored.log" "$dir/restored.env" >&2; exit 2; }
    eval "$(cat "$dir/restored.env")"
    [ "$equal" = true ] || exit 2
    [ "$reached" -ge "$last" ] || { echo "demo: restored to SCN $reached, the last transaction was at $last" >&2; exit 2; }
    stored=$(cat "$dir/full.jsonl" "$dir/incremental.jsonl" | sed -n 's/.*"type":"object".*"bytes":\([0-9]*\).*"status":"uploaded".*/\1/p' |
        awk '{n += 1; s += $1} END {printf "%d objects, %.1f MiB", n, s / 1048576}')
    fetched=$(sed -n 's/.*"type":"run_end","tool":"s3-get".*"fetched":\([0-9]*\).*/\1/p' "$dir/restore.jsonl")
    [ "${fetched:-0}" -gt 0 ] || { echo "demo: nothing was fetched from S3" >&2; exit 2; }
    query 'alter database open resetlogs' DBLOJA >/dev/null
    is_open DBLOJA || { echo "demo: the restored database does not open" >&2; exit 2; }
    say "restored to SCN $reached, compared, opened"
    proved+=(
        "backed up  a second database, level 0 and level 1, while it was writing, to S3: $stored, each proven there"
        "restored   that database after its datafiles and control file were lost, by the $fetched pieces that the plan chose and"
        "           the redo, to SCN $reached (the last one before the disaster: $last)"
        "compared   $blocks blocks of $files datafiles with what was there at that SCN: all equal"
    )
}

part_export() {
    local exported rows copy archives subject
    shop_database
    step="the nightly export"
    serve smtp-sink "$shop/mails"
    run export scripts/backup_oracle.sh "$shop/schemas.jsonl"
    exported=$(count '"type":"export".*"status":"success"' "$dir/export.jsonl")
    [ "$exported" = "$(wc -l <"$shop/schemas.jsonl")" ] || { echo "demo: $exported schemas were exported" >&2; exit 2; }
    rows=$(sed -n 's/.*"type":"export".*"rows":\([0-9]*\).*/\1/p' "$dir/export.jsonl" | awk '{s += $1} END {print s}')
    # Both copies are read again, every byte, and there is one in each directory.
    for copy in "$shop/dumps" "$shop/network"; do
        archives=("$copy"/*.zip)
        if [ ${#archives[@]} != 1 ] || [ ! -s "${archives[0]}" ]; then echo "demo: not one archive in $copy" >&2; exit 2; fi
        run verify zip-rotate --json --verify "$copy"
    done
    cmp "$shop"/dumps/*.zip "$shop"/network/*.zip || exit 2
    for _ in $(seq 100); do
        [ ! -s "$shop/mails/1.eml" ] || break
        sleep 0.1
    done
    [ -s "$shop/mails/1.eml" ] || { echo "demo: no mail has arrived" >&2; exit 2; }
    # A header may go on in the next line.
    subject=$(tr -d '\r' <"$shop/mails/1.eml" | sed -n '/^$/q; /^Subject: /,/^[^ S]/{s/^Subject: //p; s/^ / /p}' | tr -d '\n')
    case "$subject" in SUCCESS*) ;; *) echo "demo: the mail says: $subject" >&2; exit 2 ;; esac
    say "mail arrived: $subject"
    proved+=(
        "exported   $exported schemas with $rows rows; archive ${archives[0]##*/} proven in both places,"
        "           mail \"$subject\" arrived"
    )
}

if wanted standby; then part_standby; fi
if wanted s3; then part_s3; fi
if wanted export; then part_export; fi

result=0
step="the end"
printf '\nWhat was proved (in %s s):\n' $((SECONDS - begin))
printf '  %s\n' "${proved[@]}"
