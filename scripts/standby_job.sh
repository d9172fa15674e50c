#!/usr/bin/env bash
# The jobs of a standby as systemd and cron run them, with ORACLE_HOME from /etc/oratab and the places from the settings:
#   standby_job.sh recover    applies what has arrived (standby-recover.sh, for a standby without managed recovery)
#   standby_job.sh drill      the monthly drill (dr-drill.sh)
# ORACLE_SID must be set. DEST_STANDBY_DIR and DEST_ARCHLOG_DIR name where ts-hotbackup and arch-ship deliver.
set -euo pipefail
# shellcheck source=environment.sh
. "$(dirname "$(readlink -f "$0")")/environment.sh"
case "${1:-}" in
    recover | drill) ;;
    -h | --help) sed -n '2,5s/^# \{0,1\}//p' "$0"; exit 0 ;;
    *) printf 'usage: %s recover|drill [OPTION…]\n' "${0##*/}" >&2; exit 64 ;;
esac
job=$1
shift
[ -n "${ORACLE_SID:-}" ] || {
    printf '%s: error: ORACLE_SID is not set\n%s: hint: it is the name of the standby instance\n' "${0##*/}" "${0##*/}" >&2
    exit 64
}
if ! is_set ORACLE_HOME; then
    oratab=${ORATAB:-/etc/oratab}
    ORACLE_HOME=$(awk -F: -v sid="$ORACLE_SID" '$1 == sid { print $2; exit }' "$oratab" 2>/dev/null || true)
    [ -n "$ORACLE_HOME" ] || {
        printf '%s: error: %s is not in %s\n' "${0##*/}" "$ORACLE_SID" "$oratab" >&2
        printf '%s: hint: set ORACLE_HOME in the settings\n' "${0##*/}" >&2
        exit 64
    }
else
    ORACLE_HOME=$(setting ORACLE_HOME "")
fi
export ORACLE_HOME
if [ "$job" = drill ]; then
    exec "$script_dir/dr-drill.sh" "$@"
fi
for name in DEST_STANDBY_DIR DEST_ARCHLOG_DIR; do
    value=$(setting "$name" "")
    [ -z "$value" ] || export "$name=$value"
done
exec "$script_dir/standby-recover.sh" "$@"
