#!/usr/bin/env bash
# Looks at the standby and at backup mode, and tells Prometheus (PROMETHEUS_DIR/orapipe_<SID>_status.prom).
# With EMAIL_TO and SMTP_SERVER a mail comes only when the verdict changes. Exit status: 0, or what is wrong (5: a gap).
set -euo pipefail
# shellcheck source=environment.sh
. "$(dirname "$(readlink -f "$0")")/environment.sh"
case "${1:-}" in -h | --help) sed -n '2,3s/^# \{0,1\}//p' "$0"; exit 0 ;; esac
need arch-ship
need ts-hotbackup
need mailreport
look() {
    # Each says in its records how it ended; mailreport ends with the worst of them.
    attend alone arch-ship --status </dev/null || true
    [ "$asked" = 0 ] || return 0
    attend alone ts-hotbackup --status </dev/null || true
}
reports status
if [ ${#report[@]} -eq 0 ]; then
    wants_report || {
        printf '%s: error: nobody is to hear of it: neither PROMETHEUS_DIR nor EMAIL_TO with SMTP_SERVER is set\n' "${0##*/}" >&2
        printf '%s: hint: set one of them, or run arch-ship --status\n' "${0##*/}" >&2
        exit 64
    }
    state=$(setting STATE_DIR "${HOME:-/}/.local/state/orapipe")
    mkdir -p "$state"
    report=(--history "$state/history.$(setting ORACLE_SID db).status.jsonl")
fi
if is_set EMAIL_TO && is_set SMTP_SERVER; then report+=(--only change); fi
status_of_both() { look | mailreport --expect arch-ship,ts-hotbackup "${report[@]}" & }
attend status_of_both
