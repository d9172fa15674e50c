#!/usr/bin/env bash
# Backs the database up with RMAN and stores it in S3, with the settings of the original (RMAN_TARGET_CONNECT_STRING,
# TEMP_BACKUP_DIR, LOG_DIR, S3_BUCKET_NAME, S3_BACKUP_PREFIX, S3_LOG_PREFIX, AWS_REGION and the AWS credentials):
#   backup_oracle_s3.sh FULL|INCREMENTAL [OPTION of rman-run…]
# The local pieces go when all of them are proven in S3. With EMAIL_TO and SMTP_SERVER a mail tells what happened.
set -euo pipefail
# shellcheck source=environment.sh
. "$(dirname "$(readlink -f "$0")")/environment.sh"
type=${1:-}
case "${type^^}" in
    FULL | INCREMENTAL) shift ;;
    -H | --HELP) sed -n '2,5s/^# \{0,1\}//p' "$0"; exit 0 ;;
    *) printf 'usage: %s FULL|INCREMENTAL [OPTION…]\n' "${0##*/}" >&2; exit 64 ;;
esac
need rman-run
need s3-put
# The exit status of the last tool is that of the whole pipeline.
if wants_report; then
    need mailreport
    reports rman
    backup() { rman-run "$@" <&0 | s3-put --delete-source | mailreport --expect rman-run,s3-put ${report[@]+"${report[@]}"} & }
else
    backup() { rman-run "$@" <&0 | s3-put --delete-source & }
fi
attend backup "${type^^}" "$@"
