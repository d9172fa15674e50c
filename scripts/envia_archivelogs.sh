#!/usr/bin/env bash
# Ships the archived logs that the standby lacks, once: what envia_archivelogs.py did, with the same settings.
#
#   envia_archivelogs.sh            all that are needed (cron)
#   envia_archivelogs.sh FILE…      these only
#
# SOURCEBASEDIR, DESTBASEDIR, DESTBASEDIR_U15, DRSERVER, SSHUSER, MAXWORKERS, SEQ_FILTER_MIN, SEQ_FILTER_MAX from the
# environment or the .env beside this script. Log: archivelog_replication.log.
set -euo pipefail
# shellcheck source=environment.sh
. "$(dirname "$(readlink -f "$0")")/environment.sh"
need arch-ship
exec arch-ship "$@"
