#!/usr/bin/env bash
# Restores the database from what backup_oracle_s3.sh stored, with the settings of the original (RMAN_TARGET_CONNECT_STRING,
# RESTORE_SOURCE_DIR, LOG_DIR, S3_BUCKET_NAME, S3_BACKUP_PREFIX, AWS_REGION and the AWS credentials):
#   restore_oracle.sh FULL|INCREMENTAL [--until-time T | --until-scn N | --until-sequence S[:THREAD]] [OPTION of rman-run restore…]
# With S3_BUCKET_NAME the pieces that are needed, and no others, are fetched into RESTORE_SOURCE_DIR and proved; without it the
# pieces are those that lie there, as with --local: what the original or somebody's hand has put into it. --plan only says what
# would be fetched and how far it reaches. docs/RESTORE.md has the steps.
set -euo pipefail
# shellcheck source=environment.sh
. "$(dirname "$(readlink -f "$0")")/environment.sh"

usage() { sed -n '2,8s/^# \{0,1\}//p' "$0"; }
mode=${1:-}
mode=${mode^^}
case "$mode" in
    FULL | INCREMENTAL) shift ;;
    -H | --HELP) usage; exit 0 ;;
    *) usage >&2; exit 64 ;;
esac

# Those that say which restore is meant go to the plan and to the restore.
target=() options=() plan_only=no local=no
while [ $# -gt 0 ]; do
    case "$1" in
        --until-time | --until-scn | --until-sequence | --dbid | --without)
            [ $# -ge 2 ] || { usage >&2; exit 64; }
            target+=("$1" "$2"); shift ;;
        --until-time=* | --until-scn=* | --until-sequence=* | --dbid=* | --without=*) target+=("$1") ;;
        --plan) plan_only=yes ;;
        --local) local=yes ;;
        *) options+=("$1") ;;
    esac
    shift
done
need rman-run

if [ $local = yes ] || ! is_set S3_BUCKET_NAME; then
    if ! is_set RESTORE_SOURCE_DIR; then
        printf '%s: error: neither S3_BUCKET_NAME nor RESTORE_SOURCE_DIR is set\n' "${0##*/}" >&2
        printf '%s: hint: name the bucket with the backups, or the directory with the pieces\n' "${0##*/}" >&2
        exit 64
    fi
    [ "$plan_only" = no ] || options+=(--dry-run)
    # From a directory: no records come by standard input.
    exec rman-run restore "$mode" ${target[@]+"${target[@]}"} ${options[@]+"${options[@]}"} </dev/null
fi

need s3-get
dir=$(setting RESTORE_SOURCE_DIR "")
if [ -z "$dir" ]; then
    printf '%s: error: RESTORE_SOURCE_DIR is not set\n' "${0##*/}" >&2
    printf '%s: hint: name a directory with room for the pieces; they are fetched into it\n' "${0##*/}" >&2
    exit 64
fi
if [ "$plan_only" = yes ]; then
    s3-get --manifests | rman-run plan "$mode" ${target[@]+"${target[@]}"}
    exit
fi
mkdir -p "$dir"
# The exit status of the last tool is that of the whole pipeline.
fetch_and_restore() {
    s3-get --manifests <&0 | rman-run plan "$mode" ${target[@]+"${target[@]}"} | s3-get --dest "$dir" |
        rman-run restore "$mode" ${target[@]+"${target[@]}"} ${options[@]+"${options[@]}"} &
}
attend fetch_and_restore
