#!/usr/bin/env bash
# Puts the database into backup mode, takes snapshots of its data volumes on the InfiniBox, ends backup mode, archives the
# redo and takes snapshots of the archive volumes, with the settings of orasync.py (ORACLE_SERVER,
# SQLPLUS_CONNECTION_STRING, ORACLE_HOME, REPLICATED_DATA_VOLUMES, REPLICATED_ARCHIVE_VOLUMES, SOURCE_INFINIBOX,
# SOURCE_INFINIBOX_USER, SOURCE_INFINIBOX_PASSWORD):
#   orasync.sh [options of ib-snap]
# With EMAIL_TO and SMTP_SERVER there is a mail. remove_old_snaps.sh deletes what is too old.
set -euo pipefail
# shellcheck source=environment.sh
. "$(dirname "$(readlink -f "$0")")/environment.sh"
case "${1:-}" in
    -h | --help) sed -n '2,7s/^# \{0,1\}//p' "$0"; exit 0 ;;
esac
need ib-snap

# The exit status of the last tool is that of the whole pipeline.
if wants_report; then
    need mailreport
    reports snap
    snap() { ib-snap "$@" <&0 | mailreport --expect ib-snap ${report[@]+"${report[@]}"} & }
    attend snap "$@"
else
    exec ib-snap "$@"
fi
