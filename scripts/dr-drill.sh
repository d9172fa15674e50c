#!/usr/bin/env bash
# Runs on the standby, once a month: opens it read only, asks the test queries, puts it back into recovery, leaves evidence.
#   dr-drill.sh [OPTION of rman-run drill…]       the drill, with --queries FILE or DRILL_QUERIES, --logs DIR or DEST_ARCHLOG_DIR
#   dr-drill.sh --recover                         puts back what a drill has left that was killed; for @reboot
#   dr-drill.sh --verify-evidence                 checks that no line of the evidence was changed, removed or moved
# The standby may be managed by Data Guard or recovered by standby-recover.sh (Standard Edition), whose runs wait meanwhile.
# With EMAIL_TO and SMTP_SERVER a mail tells what happened. Exit status: that of rman-run drill (0 done, 1 recovery runs again and
# no new redo came to prove it, 4 refused, 5 the standby does not open or answers something else, 75 another drill runs).
set -euo pipefail
# shellcheck source=environment.sh
. "$(dirname "$(readlink -f "$0")")/environment.sh"
mail=yes
for argument; do
    case "$argument" in
        -h | --help) sed -n '2,8s/^# \{0,1\}//p' "$0"; exit 0 ;;
        # These ask, or are called every few minutes and have nothing to tell.
        --verify-evidence | --recover | -n | --dry-run | --show-config | --explain*) mail=no ;;
    esac
done
need rman-run

# Recovery by cron must not start what the drill has just shut down. The programs must not inherit the lock: the instance that
# they start would hold it for ever.
if [ -n "${ORACLE_SID:-}" ]; then
    lock=$(lock_of_standby) || exit 2
    exec 9>>"$lock"
    flock -w "${DRILL_LOCK_WAIT:-600}" 9 || {
        printf '%s: error: standby-recover.sh is still at work on %s\n' "${0##*/}" "$ORACLE_SID" >&2
        printf '%s: hint: run it again when that has ended\n' "${0##*/}" >&2
        exit 75
    }
fi
# The exit status of the last tool is that of the whole pipeline.
if [ "$mail" = yes ] && wants_report; then
    need mailreport
    reports drill
    drill() { rman-run drill "$@" <&0 9>&- | mailreport --expect rman-run ${report[@]+"${report[@]}"} 9>&- & }
else
    drill() { rman-run drill "$@" <&0 9>&- & }
fi
attend drill "$@"
