#!/usr/bin/env bash
# After a crash or a start of the host: ends backup mode that a run of ours has left on, and puts a standby back that a drill has
# left open. Does nothing where nothing was left. Exit status: the worst of the tools; run it again until it is 0.
set -euo pipefail
# shellcheck source=environment.sh
. "$(dirname "$(readlink -f "$0")")/environment.sh"
case "${1:-}" in -h | --help) sed -n '2,3s/^# \{0,1\}//p' "$0"; exit 0 ;; esac
need ts-hotbackup
need rman-run
worst=0
# Worst first, as the tools themselves have it.
order=" 3 2 124 143 130 5 4 1 64 75 0 "
attempt() {
    local status=0
    attend alone "$@" || status=$?
    local rest=${order#* "$status" } known=${order#* "$worst" }
    if [ ${#rest} -gt ${#known} ]; then worst=$status; fi
    # Stopped: what comes after is for the next run, which has to come.
    if [ "$asked" != 0 ]; then
        [ "$worst" != 0 ] || worst=143
        exit "$worst"
    fi
}
attempt ts-hotbackup --end-backup
if type -P ib-snap >/dev/null && is_set SOURCE_INFINIBOX; then attempt ib-snap --end-backup; fi
attempt rman-run drill --recover
exit "$worst"
