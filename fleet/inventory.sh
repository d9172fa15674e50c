#!/usr/bin/env bash
# Makes an inventory from a list of databases.
set -euo pipefail

usage() {
    cat <<'TEXT'
usage: inventory.sh [LIST]
       inventory.sh --example DATABASES HOSTS

Reads lines "HOST SID [JOB,JOB…]" (from standard input without LIST) and prints an inventory for the playbooks. Without jobs a
database gets arch-ship, status, backup-full, backup-incremental, mail and reconcile. Lines with # are skipped.

  for host in db01 db02; do ssh "$host" cat /etc/oratab | awk -F: -v host="$host" '/^[A-Za-z]/ { print host, $1 }'; done | inventory.sh

--example prints one for so many databases on so many hosts, with the addresses that RFC 5737 keeps for examples.
TEXT
}

list() {
    local databases=$1 hosts=$2 n
    for ((n = 1; n <= databases; n++)); do printf 'db%02d ORA%02d\n' $(((n - 1) * hosts / databases + 1)) "$n"; done
}

case "${1:-}" in
    -h | --help) usage; exit 0 ;;
    --example)
        [[ ${2:-} =~ ^[1-9][0-9]{0,2}$ && ${3:-} =~ ^[1-9][0-9]?$ ]] || { usage >&2; exit 64; }
        exec < <(list "$2" "$3")
        example=yes
        ;;
    -*) usage >&2; exit 64 ;;
    "") ;;
    *) exec <"$1" ;;
esac

# By host, in the order of the list.
awk -v example="${example:-no}" '
    function bad(what) { printf "inventory: error: line %d: %s\n", NR, what > "/dev/stderr"; failed = 1; exit 64 }
    /^[ \t]*(#|$)/ { next }
    $1 !~ /^[A-Za-z0-9._-]+$/ { bad("no host name: " $1) }
    $2 !~ /^[A-Za-z0-9_+]+$/ { bad("no ORACLE_SID: " $2) }
    ($1, $2) in seen { bad($2 " is there twice for " $1) }
    {
        seen[$1, $2] = 1
        if (!($1 in lines)) order[++hosts] = $1
        jobs = $3 != "" ? $3 : "arch-ship,status,backup-full,backup-incremental,mail,reconcile"
        gsub(/,/, ", ", jobs)
        lines[$1] = lines[$1] sprintf("        - sid: %s\n%s          jobs: [%s]\n", $2, \
            example == "yes" ? "          settings: {DEST_HOST: dr01.example.com}\n" : "", jobs)
    }
    END {
        if (failed) exit 64
        if (!hosts) { print "inventory: error: no database was named" > "/dev/stderr"; exit 64 }
        print "# Made by inventory.sh. Settings and secrets of each database are added to it: docs/FLEET.md."
        print "orapipe:\n  hosts:"
        for (i = 1; i <= hosts; i++) {
            printf "    %s:\n", order[i]
            if (example == "yes") printf "      ansible_host: 192.0.2.%d\n", i
            printf "      orapipe_databases:\n%s", lines[order[i]]
        }
    }'
