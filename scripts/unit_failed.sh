#!/usr/bin/env bash
# Mails that a systemd unit has failed, with the last lines of its journal; called by orapipe-failed@.service.
#   unit_failed.sh UNIT          as in orapipe-arch-ship@PROD.service: the settings are those of PROD
set -euo pipefail
# shellcheck source=environment.sh
. "$(dirname "$(readlink -f "$0")")/environment.sh"
unit=${1:-}
case "$unit" in
    orapipe-*@?*.service) ;;
    -h | --help) sed -n '2,3s/^# \{0,1\}//p' "$0"; exit 0 ;;
    *) printf 'usage: %s orapipe-JOB@DATABASE.service\n' "${0##*/}" >&2; exit 64 ;;
esac
db=${unit#*@}
export ORACLE_SID=${db%.service}
if [ -z "${ORAPIPE_ENV_FILE:-}" ] && [ -e "/etc/orapipe/$ORACLE_SID.env" ]; then
    export ORAPIPE_ENV_FILE="/etc/orapipe/$ORACLE_SID.env"
fi
need mailreport
if ! is_set EMAIL_TO || ! is_set SMTP_SERVER; then
    printf '%s: %s has failed, and neither EMAIL_TO nor SMTP_SERVER is set: nobody is told\n' "${0##*/}" "$unit" >&2
    exit 0
fi
stamp=$(date -u +%Y-%m-%dT%H:%M:%S.000Z)
text() { tr -d '\000-\037\177' | sed 's/\\/\\\\/g; s/"/\\"/g'; }
line() { printf '{"v":1,"type":"%s","tool":"systemd","run":"%s","ts":"%s",%s}\n' "$1" "$(text <<<"$unit")" "$stamp" "$2"; }
{
    line run_begin "\"version\":\"1\",\"host\":\"$(uname -n | text)\",\"db\":\"$(text <<<"$ORACLE_SID")\""
    { journalctl -u "$unit" -n 50 -o cat --no-pager 2>/dev/null || true; } | while IFS= read -r said; do
        line log "\"level\":\"info\",\"message\":\"$(printf '%s' "$said" | text)\""
    done
    line run_end "\"status\":\"failed\",\"exit\":2,\"seconds\":0,\"counts\":{},\"message\":\"the unit $(text <<<"$unit") has failed: systemctl status $(text <<<"$unit")\""
} | mailreport >/dev/null || [ $? -eq 2 ]
