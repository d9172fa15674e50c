#!/usr/bin/env bash
# Exports the schemas, packs the dumps into one archive, copies it, rotates, and sends a mail, with the settings of the original
# (ORACLE_USERS, ORACLE_DIRECTORY, ORACLE_SERVICE, DB_FOLDER, CLOUD_FOLDER, LOG_DIR, RETENTION_DAYS, KEEP_MINIMUM_BACKUPS,
# MAX_TOTAL_BACKUPS, SMTP_…, EMAIL_FROM, EMAIL_TO):
#   backup_oracle.sh [FILE with one schema per line, as JSON]
# Without FILE the schemas are those of ORACLE_USERS. Log: backup_completo_<date>.log in LOG_DIR, with begin, end, and what went
# wrong; kept for 30 days. The steps are in dp-export.log, zip-rotate.log and the expdp_*.log beside it.
# shellcheck disable=SC2317 # what attend calls
set -euo pipefail
# shellcheck source=environment.sh
. "$(dirname "$(readlink -f "$0")")/environment.sh"
case "${1:-}" in
    -h | --help) sed -n '2,9s/^# \{0,1\}//p' "$0"; exit 0 ;;
    -*) printf 'usage: %s [SCHEMAS.jsonl]\n' "${0##*/}" >&2; exit 64 ;;
esac
schemas=${1:-}
if [ -n "$schemas" ] && [ ! -r "$schemas" ]; then
    printf '%s: error: cannot read %s\n' "${0##*/}" "$schemas" >&2
    printf '%s: hint: name a file with one schema per line; without a file the schemas are those of ORACLE_USERS\n' "${0##*/}" >&2
    exit 64
fi
if [ -z "$schemas" ] && ! is_set ORACLE_USERS; then
    printf '%s: error: neither ORACLE_USERS nor a file of schemas\n' "${0##*/}" >&2
    printf '%s: hint: %s schemas.jsonl, with lines such as {"user":"GOLD","password_env":"GOLD_PW"}\n' "${0##*/}" "$0" >&2
    exit 64
fi
need dp-export
need zip-rotate

exports() {
    # In its place, so that it is the tool that is asked to stop.
    if [ -n "$schemas" ]; then exec dp-export - <"$schemas"; else exec dp-export </dev/null; fi
}
# The exit status of the last tool is that of the whole pipeline.
if wants_report; then
    need mailreport
    reports export
    steps() { exports | zip-rotate --remove-dumps | mailreport --expect dp-export,zip-rotate ${report[@]+"${report[@]}"} & }
else
    steps() { exports | zip-rotate --remove-dumps & }
fi

log_dir=$(setting LOG_DIR "")
# A directory that cannot be made is the tools' to tell.
if [ -z "$log_dir" ] || ! mkdir -p "$log_dir" 2>/dev/null; then
    status=0
    attend steps || status=$?
    exit "$status"
fi
log=$log_dir/backup_completo_$(date +%F).log
# What must not end a backup: a log that cannot be written.
note() { printf '[%s] [%s] %s\n' "$(date '+%F %T')" "$1" "$2" >>"$log" || true; }
note INFO "backup begins"
status=0
if [ -t 2 ]; then
    attend steps || status=$?
else
    # Messages go to both places, records to standard output alone. A log that cannot be written is no failure.
    messages() { attend steps 2>&1 >&3 3>&- | { tee -a "$log" >&2 3>&- || true; } & }
    attend messages 3>&1 || status=$?
fi
case $status in
    0) note INFO "backup ended with status 0" ;;
    *) note ERROR "backup ended with status $status; dp-export --explain $status says what it means" ;;
esac
find "$log_dir" -maxdepth 1 -type f -name 'backup_completo_*.log' -mtime +30 -delete || true
exit "$status"
