#!/usr/bin/env bash
# Runs on the standby: mounts it, takes in what was shipped and applies the redo, to an SCN or as far as it goes.
set -euo pipefail
# shellcheck source=environment.sh
. "$(dirname "$(readlink -f "$0")")/environment.sh"

usage() {
    cat <<'TEXT'
usage: standby-recover.sh [--until-scn N] [--scripts DIR] [--logs DIR]... [--pfile FILE]
       standby-recover.sh --status

  --until-scn N   apply everything below SCN N and stop there; without it apply all that has arrived
  --scripts DIR   where ts-hotbackup put the standby control file and its scripts (DEST_STANDBY_DIR)
  --logs DIR      where archived logs arrive; may be repeated (DEST_ARCHLOG_DIR, ARCHLOG_DIR)
  --pfile FILE    parameter file for STARTUP NOMOUNT, when the instance has no spfile
  --status        say how far the standby is; change nothing

ORACLE_HOME and ORACLE_SID are those of the standby. Safe to run again: what is mounted, renamed or catalogued already is
left alone, and recovery goes on where it stopped. It never ends backup mode of a copy and never opens the database.

Exit status:
  0    done: recovered to the SCN, or all that has arrived is applied and the standby is consistent
  2    failed
  4    refused: not a standby, open, or already beyond the SCN
  5    finding: redo is missing or damaged, or the copy needs more redo to be consistent
  64   wrong usage
  75   another recovery of this standby runs
TEXT
}

say() { printf 'standby-recover: %s\n' "$*"; }
stop_with() {
    local status=$1 what=$2
    shift 2
    printf 'standby-recover: error: %s\n' "$what" >&2
    for hint in "$@"; do printf 'standby-recover: hint: %s\n' "$hint" >&2; done
    exit "$status"
}

until_scn='' scripts=${DEST_STANDBY_DIR:-} pfile='' status_only=no
logs=()
while [ $# -gt 0 ]; do
    case "$1" in
        --until-scn | --scripts | --logs | --pfile)
            [ $# -ge 2 ] || { usage >&2; exit 64; }
            case "$1" in
                --until-scn) until_scn=$2 ;;
                --scripts) scripts=$2 ;;
                --logs) logs+=("$2") ;;
                --pfile) pfile=$2 ;;
            esac
            shift 2
            ;;
        --status) status_only=yes; shift ;;
        -h | --help) usage; exit 0 ;;
        *) usage >&2; exit 64 ;;
    esac
done
case "$until_scn" in *[!0-9]*) stop_with 64 "--until-scn takes an SCN in digits, not $until_scn" ;; esac
if [ ${#logs[@]} -eq 0 ]; then
    [ -z "${ARCHLOG_DIR:-}" ] || logs+=("$ARCHLOG_DIR")
    [ -z "${DEST_ARCHLOG_DIR:-}" ] || [ "${DEST_ARCHLOG_DIR:-}" = "${ARCHLOG_DIR:-}" ] || logs+=("$DEST_ARCHLOG_DIR")
fi
[ -n "${ORACLE_SID:-}" ] || stop_with 64 "ORACLE_SID is not set" \
    "export ORACLE_SID and ORACLE_HOME of the standby; cron and ssh do not read your profile"
[ -n "${ORACLE_HOME:-}" ] || stop_with 64 "ORACLE_HOME is not set" \
    "export ORACLE_SID and ORACLE_HOME of the standby; cron and ssh do not read your profile"
sqlplus=$ORACLE_HOME/bin/sqlplus rman=$ORACLE_HOME/bin/rman
[ -x "$sqlplus" ] || stop_with 64 "$sqlplus is not there"
# Messages are matched by their codes, numbers and dates must not depend on whose shell this is.
export NLS_LANG=AMERICAN_AMERICA.AL32UTF8
unset SQLPATH ORACLE_PATH

work=$(mktemp -d "${TMPDIR:-/tmp}/standby-recover.XXXXXX")
trap 'rm -rf "$work"' EXIT

# sql TEXT: what SQL*Plus prints, errors included. Its exit status means nothing; the text is looked at.
sql() {
    {
        printf '%s\n' 'set echo off feedback off heading off pagesize 0 linesize 32767 trimout on tab off verify off sqlprompt ""'
        printf '%s\n' 'connect / as sysdba' "$1" 'exit'
    } | "$sqlplus" -S /nolog 2>&1 9>&-
}

# query SELECT: rows that begin with R|, without that mark. Any error is fatal, for it would look like "no rows".
query() {
    local answer
    answer=$(sql "$1;")
    if grep -Eq '^(ORA|SP2|TNS)-[0-9]+' <<<"$answer"; then
        stop_with 2 "ask the standby $ORACLE_SID: $(grep -Em1 '^(ORA|SP2|TNS)-[0-9]+' <<<"$answer")" "the query was: $1"
    fi
    sed -n 's/^R|//p' <<<"$answer"
}

# must WHAT TEXT: runs statements that have to succeed.
must() {
    local answer
    answer=$(sql "$2")
    if grep -Eq '^(ORA|SP2|TNS)-[0-9]+' <<<"$answer"; then
        printf '%s\n' "$answer" >&2
        stop_with 2 "$1: $(grep -Em1 '^(ORA|SP2|TNS)-[0-9]+' <<<"$answer")"
    fi
}

instance_state() {
    local answer
    # shellcheck disable=SC2016 # a view, not a variable
    answer=$(sql 'select '\''R|'\''||status from v$instance;')
    if grep -q '^ORA-01034' <<<"$answer"; then
        echo DOWN
    elif grep -q '^R|' <<<"$answer"; then
        sed -n 's/^R|//p' <<<"$answer"
    else
        stop_with 2 "ask the instance $ORACLE_SID for its state: $(grep -Em1 '^(ORA|SP2|TNS)-[0-9]+' <<<"$answer" || echo 'no answer')"
    fi
}

# Files that recovery must bring forward: online and read write by the control file. RECOVER of V$DATAFILE is offline too.
recovering="h.status='ONLINE' and d.enabled='READ WRITE'"

# positions: lowest and highest checkpoint SCN, number of fuzzy files, number of files
positions() {
    query "select 'R|'||to_char(min(h.checkpoint_change#))||' '||to_char(max(h.checkpoint_change#))||' '||to_char(sum(decode(h.fuzzy,'YES',1,0)))||' '||to_char(count(*)) from v\$datafile_header h, v\$datafile d where h.file#=d.file# and $recovering"
}

state=$(instance_state)
if [ "$status_only" = yes ]; then
    case "$state" in
        DOWN | STARTED) say "$ORACLE_SID is ${state,,}; nothing can be said before it is mounted"; exit 0 ;;
    esac
    read -r low high fuzzy count <<<"$(positions)"
    say "$ORACLE_SID is ${state,,}: $count files at SCN $low to $high, $fuzzy of them need more redo to be consistent"
    exit 0
fi

# Oracle's programs do not get it (9>&-): the processes of an instance that is started here would hold it for ever.
lock=$(lock_of_standby) || exit 2
exec 9>>"$lock"
flock -n 9 || stop_with 75 "another recovery of $ORACLE_SID runs"
# SQL*Plus and RMAN end what they have begun before this script does: the lock must not be free while they are at work.
trap 'exit 130' INT
trap 'exit 143' TERM HUP

# What ts-hotbackup says about the copy: where the control file is, how far recovery has to go at least.
installed='' STANDBY_CONTROLFILE_SHA256='' STANDBY_CONTROLFILE='' RECOVER_SQL='' RECOVER_RMAN='' UNTIL_SCN=0
if [ -n "$scripts" ]; then
    facts=$(find "$scripts" -maxdepth 1 -name 'recover_standby_*.env' | sort)
    [ "$(grep -c . <<<"$facts")" = 1 ] || stop_with 2 "in $scripts there is not one recover_standby_*.env: ${facts:-none}" \
        "run ts-hotbackup to the end of its cycle, or name its directory with --scripts"
    COMPLETE=no
    # shellcheck disable=SC1090 # written by ts-hotbackup
    . "$facts"
    [ "$COMPLETE" = yes ] || stop_with 4 "a cycle of ts-hotbackup is under way: the copies do not belong together yet" \
        "run ts-hotbackup again until it ends with status 0"
    if [ -n "$until_scn" ] && [ "$until_scn" -lt "$UNTIL_SCN" ]; then
        stop_with 4 "the copy is not consistent before SCN $UNTIL_SCN, and $until_scn is asked for" \
            "choose a later SCN, or restore an older copy"
    fi
    installed=$scripts/installed.$ORACLE_SID
fi
is_installed() { [ -z "$installed" ] || [ "$(cat "$installed" 2>/dev/null)" = "$STANDBY_CONTROLFILE_SHA256" ]; }

if [ "$state" = MOUNTED ] && ! is_installed; then
    say "a new copy has come since $ORACLE_SID was mounted: taking its control file"
    # A mounted standby has no users and nothing in memory that counts.
    sql 'shutdown abort' >"$work/shutdown"
    state=$(instance_state)
    [ "$state" = DOWN ] || stop_with 2 "shut down $ORACLE_SID: $(tail -n 1 "$work/shutdown")"
fi
if [ "$state" = DOWN ]; then
    say "starting $ORACLE_SID"
    if [ -n "$pfile" ]; then must "start $ORACLE_SID" "startup nomount pfile='$pfile'"; else must "start $ORACLE_SID" "startup nomount"; fi
    state=STARTED
fi
if [ "$state" = STARTED ] && ! is_installed; then
    [ "$(sha256sum <"$STANDBY_CONTROLFILE" | cut -d ' ' -f 1)" = "$STANDBY_CONTROLFILE_SHA256" ] ||
        stop_with 5 "$STANDBY_CONTROLFILE is not the control file that ts-hotbackup shipped" "run ts-hotbackup again"
    query "select 'R|'||value from v\$parameter where name='control_files'" | tr ',' '\n' | sed 's/^ *//; s/ *$//' >"$work/places"
    grep -q . "$work/places" || stop_with 2 "the instance $ORACLE_SID has no control_files parameter"
    while IFS= read -r place; do
        [ -n "$place" ] || continue
        if [ -e "$place" ] && [ "$place" -ef "$STANDBY_CONTROLFILE" ]; then
            stop_with 2 "control_files of $ORACLE_SID names $place, which is the shipped copy itself" "let control_files name another path"
        fi
        if [ -e "$place" ]; then mv -f "$place" "$place.before"; fi
        cp "$STANDBY_CONTROLFILE" "$place.new"
        sync "$place.new" 2>/dev/null || sync
        mv "$place.new" "$place"
        say "control file: $place"
    done <"$work/places"
    printf '%s\n' "$STANDBY_CONTROLFILE_SHA256" >"$installed"
fi
if [ "$state" = STARTED ]; then
    say "mounting $ORACLE_SID as a standby"
    must "mount $ORACLE_SID" "alter database mount standby database;"
    state=MOUNTED
fi
[ "$state" = MOUNTED ] || stop_with 4 "$ORACLE_SID is ${state,,}; recovery needs it mounted" "shutdown immediate, then run this again"
kind=$(query "select 'R|'||controlfile_type from v\$database")
[ "$kind" = STANDBY ] || stop_with 4 "the control file of $ORACLE_SID is ${kind:-unknown}, not STANDBY" \
    "this would recover a primary; check ORACLE_SID and the control_files parameter"

# The standby control file knows the primary's names. Those that are not changed yet are changed.
if [ -n "$RECOVER_SQL" ]; then
    [ -r "$RECOVER_SQL" ] || stop_with 2 "$RECOVER_SQL is not there"
    query "select 'R|'||name from v\$datafile" >"$work/names"
    while IFS= read -r line; do
        from=${line#*FILE \'} from=${from%%\' TO \'*}
        if grep -Fxq -- "${from//\'\'/\'}" "$work/names"; then printf '%s\n' "$line"; fi
    done < <(grep '^ALTER DATABASE RENAME FILE ' "$RECOVER_SQL" || true) >"$work/renames.sql"
    if [ -s "$work/renames.sql" ]; then
        say "$(wc -l <"$work/renames.sql") datafiles get their places here"
        management=$(query "select 'R|'||value from v\$parameter where name='standby_file_management'")
        if [ "$management" = AUTO ]; then must "allow renames" "alter system set standby_file_management = manual;"; fi
        must "rename the datafiles" "set define off
$(cat "$work/renames.sql")"
        if [ "$management" = AUTO ]; then must "set standby_file_management back" "alter system set standby_file_management = auto;"; fi
    fi
fi

for dir in ${logs[@]+"${logs[@]}"}; do
    [ -d "$dir" ] || stop_with 2 "the directory of archived logs $dir is not there"
    # With the slash: START WITH takes a prefix, and /arch would also take /arch2.
    printf "catalog start with '%s/' noprompt;\n" "${dir%/}" | "$rman" target / >"$work/catalog" 2>&1 9>&- || true
    # Files that are no whole logs are listed as not catalogued, which is no error: arch-ship has some under way.
    if grep -q 'ERROR MESSAGE STACK' "$work/catalog"; then
        cat "$work/catalog" >&2
        stop_with 2 "catalogue the logs in $dir: $(grep -E '^(RMAN|ORA)-[0-9]+: ' "$work/catalog" | tail -n 1)"
    fi
done

read -r low high fuzzy count <<<"$(positions)"
say "$count files at SCN $low to $high"
if [ -n "$until_scn" ] && [ "$high" -gt "$until_scn" ]; then
    stop_with 4 "the standby is at SCN $high already, beyond $until_scn" "redo goes only forward: restore the copy to stop earlier"
fi
if [ "$low" = "$until_scn" ] && [ "$high" = "$until_scn" ] && [ "$fuzzy" = 0 ]; then
    say "recovered to SCN $until_scn already"
    exit 0
fi

# RMAN finds catalogued logs whatever their names; RECOVER of SQL*Plus only those named as log_archive_format says.
recover="recover database${until_scn:+ until scn $until_scn}"
if [ -n "$RECOVER_RMAN" ] && [ -r "$RECOVER_RMAN" ]; then
    # Tablespaces that were left out of the copy on purpose.
    recover=$recover$(sed -n 's/^RECOVER DATABASE .*\( SKIP FOREVER TABLESPACE .*\);$/\1/p' "$RECOVER_RMAN")
fi
say "recovering${until_scn:+ to SCN $until_scn}"
printf '%s;\n' "$recover" | "$rman" target / >"$work/recover" 2>&1 9>&- || true
# When a log is missing that the control file knows, RMAN applies nothing at all: what is there goes in up to that log.
missing=$(sed -n 's/^RMAN-06025: .*thread \([0-9]*\) with sequence \([0-9]*\) and starting SCN of \([0-9]*\).*/\3 \1 \2/p' \
    "$work/recover" | sort -n | head -n 1)
if [ -n "$missing" ] && [ -z "$until_scn" ] && [ "${missing%% *}" -gt "$low" ]; then
    say "a log is missing; recovering to its first SCN ${missing%% *}"
    printf '%s;\n' "${recover/recover database/recover database until scn ${missing%% *}}" | "$rman" target / >>"$work/recover" 2>&1 9>&- || true
fi

read -r low high fuzzy count <<<"$(positions)"
lost=$(query "select 'R|'||name from v\$datafile where name like '%UNNAMED%'")
[ -z "$lost" ] || stop_with 5 "recovery stopped at a datafile that was added at the primary: $(head -n 1 <<<"$lost")" \
    "alter database create datafile '<that name>' as '<its path here>', then run this again; STANDBY_FILE_MANAGEMENT=AUTO does it alone"

why=$(grep -E '^(ORA|RMAN)-[0-9]+: ' "$work/recover" | grep -Ev '^RMAN-(00569|00571|03002|03015|06025|06053|06054|06094):' | head -n 3 | tr '\n' ' ' || true)
needed=$(sed -n 's/^RMAN-06054: .*thread \([0-9]*\) with sequence \([0-9]*\).*/\1 \2/p' "$work/recover" | tail -n 1)
[ -z "$missing" ] || needed=${missing#* }
if [ -z "$needed" ]; then
    needed=$(sed -n 's/^ORA-00280: .*thread \([0-9]*\) is in sequence #\([0-9]*\).*/\1 \2/p' "$work/recover" | tail -n 1)
fi

if [ -n "$until_scn" ]; then
    if [ "$low" = "$until_scn" ] && [ "$high" = "$until_scn" ] && [ "$fuzzy" = 0 ]; then
        say "recovered to SCN $until_scn: $count files, all consistent"
        exit 0
    fi
    [ -z "$needed" ] || why="it needs thread ${needed% *} sequence ${needed#* }${why:+; $why}"
    tail -n 20 "$work/recover" >&2
    stop_with 5 "the standby is at SCN $low to $high, not at $until_scn${why:+: $why}" \
        "ship the missing logs (arch-ship --status names them) and run this again"
fi

if [ -n "$needed" ]; then
    thread=${needed% *} sequence=${needed#* }
    later=$(query "select 'R|'||nvl(to_char(min(sequence#)),'none') from v\$archived_log where thread#=$thread and sequence#>=$sequence and name is not null and deleted='NO' and resetlogs_change#=(select resetlogs_change# from v\$database)")
    if [ "$later" != none ]; then
        stop_with 5 "stopped at thread $thread sequence $sequence although sequence $later has arrived${why:+: $why}" \
            "ship sequence $sequence again (arch-ship --verify finds damaged logs) and run this again"
    fi
elif [ -n "$why" ]; then
    tail -n 20 "$work/recover" >&2
    stop_with 5 "recovery stopped: $why"
fi
if [ "$fuzzy" != 0 ]; then
    stop_with 5 "$fuzzy of $count files need more redo to be consistent; the standby is at SCN $low to $high" \
        "${needed:+ship thread ${needed% *} from sequence ${needed#* } on and run this again}"
fi
say "applied all that has arrived: $count files at SCN $low, all consistent${needed:+; next is thread ${needed% *} sequence ${needed#* }}"
