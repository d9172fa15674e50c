#!/usr/bin/env bash
# Ships archived logs to the standby without end, from an SCN cut-off that is taken once and kept: what the original of
# this name did, with the same settings (DEST_HOST, DEST_USER, SSH_OPTIONS, DEST_ARCHLOG_DIR, SLEEP_INTERVAL, STATE_DIR, LOG_DIR).
# Log: copy_archivelog_to_<host>.log. Options are passed on to arch-ship.
set -euo pipefail
# shellcheck source=environment.sh
. "$(dirname "$(readlink -f "$0")")/environment.sh"
default_setting DEST_HOST pamvs0003l DRSERVER
default_setting DISCOVER database
default_setting SCN_CUTOFF capture
need arch-ship
exec arch-ship --follow "$@"
