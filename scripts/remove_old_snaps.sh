#!/usr/bin/env bash
# Deletes snapshots of orasync.sh on the InfiniBox that are too old, with the settings of remove_old_snaps.py
# (SOURCE_INFINIBOX, SOURCE_INFINIBOX_USER, SOURCE_INFINIBOX_PASSWORD):
#   remove_old_snaps.sh [options of ib-prune]
# Without options: what is older than 14 days, but never the newest complete set of a database. Try it with --dry-run.
# With EMAIL_TO and SMTP_SERVER there is a mail when it was no success.
set -euo pipefail
# shellcheck source=environment.sh
. "$(dirname "$(readlink -f "$0")")/environment.sh"
case "${1:-}" in
    -h | --help) sed -n '2,6s/^# \{0,1\}//p' "$0"; exit 0 ;;
esac
need ib-prune

# The exit status of the last tool is that of the whole pipeline.
if wants_report; then
    need mailreport
    reports prune
    prune() { ib-prune "$@" <&0 | mailreport --expect ib-prune --only failure ${report[@]+"${report[@]}"} & }
    attend prune "$@"
else
    exec ib-prune "$@"
fi
