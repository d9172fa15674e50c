#!/usr/bin/env bash
# Copies the tablespaces of the running database to the standby in backup mode: what the original of this name did, with the
# same settings (DEST_HOST, DEST_USER, SSH_OPTIONS, PATH_MAP, PARALLEL_WORKERS, EXCLUDE_TS, CORE_TS, STATE_DIR, LOG_DIR).
# Logs: hot_backup_ts_to_<host>.out, ts_<TABLESPACE>.log. Options and tablespaces are passed on to ts-hotbackup.
set -euo pipefail
# shellcheck source=environment.sh
. "$(dirname "$(readlink -f "$0")")/environment.sh"
default_setting DEST_HOST pamvs0003l DRSERVER
need ts-hotbackup
exec ts-hotbackup "$@"
