#!/usr/bin/env bash
# A check for Nagios, Icinga or NRPE: one line with performance data, and 0 to 3.
#   check_orapipe.sh standby|protected|backup-mode|evidence DB
#   standby      holes in the redo and lag of the standby (arch-ship --status)
#   protected    age of the backups, and whether the database can be restored (rman-run status)
#   backup-mode  files in backup mode (ts-hotbackup --status)
#   evidence     the chain of evidence of the drills, on the standby (rman-run drill --verify-evidence)
# DB is the ORACLE_SID; the settings are /etc/orapipe/DB.env, or those of ORAPIPE_ENV_FILE.
set -euo pipefail
# shellcheck source=environment.sh
. "$(dirname "$(readlink -f "$0")")/environment.sh"
unknown() { printf 'ORAPIPE UNKNOWN - %s\n' "$1"; exit 3; }
[ $# -eq 2 ] || unknown "usage: check_orapipe.sh standby|protected|backup-mode|evidence DB"
check=$1
export ORACLE_SID=$2
case "$ORACLE_SID" in '' | *[!A-Za-z0-9_\$#+-]*) unknown "$ORACLE_SID is no name of an instance" ;; esac
if [ -z "${ORAPIPE_ENV_FILE:-}" ] && [ -e "/etc/orapipe/$ORACLE_SID.env" ]; then
    export ORAPIPE_ENV_FILE="/etc/orapipe/$ORACLE_SID.env"
fi
case "$check" in
    standby) tool=(arch-ship --status) ;;
    protected) tool=(rman-run status) ;;
    backup-mode) tool=(ts-hotbackup --status) ;;
    evidence) tool=(rman-run drill --verify-evidence) ;;
    *) unknown "$check is no check: standby, protected, backup-mode, evidence" ;;
esac
for program in "${tool[0]}" mailreport; do type -P "$program" >/dev/null || unknown "$program is not in PATH"; done
# Nothing is mailed and nothing is written from here. mailreport turns the status of the tool into that of Nagios.
"${tool[@]}" </dev/null 2>/dev/null | mailreport --nagios --expect "${tool[0]}"
