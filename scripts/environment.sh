# shellcheck shell=bash
# Sourced by the scripts beside it: where the programs and the settings are, and how a pipeline is stopped.

script_dir=$(cd "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")" && pwd)

# The settings: ORAPIPE_ENV_FILE, else the .env beside the name by which the script was called (a link in the original's
# directory), else that beside the script itself. The tools read the file themselves and the environment wins over it, so
# nothing is sourced here.
for env_dir in "$(cd "$(dirname "$0")" && pwd)" "$script_dir"; do
    if [ -z "${ORAPIPE_ENV_FILE:-}" ] && [ -r "$env_dir/.env" ]; then export ORAPIPE_ENV_FILE="$env_dir/.env"; fi
done

# The programs: ORAPIPE_BIN, else beside the scripts or where install.sh puts them, else what was built here, else PATH.
for orapipe_dir in "$script_dir/../../bin" "$script_dir/../target/debug" "$script_dir/../target/release" "$script_dir/../bin" "${ORAPIPE_BIN:-}"; do
    if [ -n "$orapipe_dir" ] && [ -x "$orapipe_dir/arch-ship" ]; then PATH="$orapipe_dir:$PATH"; fi
done
export PATH

# need TOOL: ends the script when there is no such program.
need() {
    type -P "$1" >/dev/null || {
        printf '%s: error: %s is neither beside the scripts nor built nor in PATH\n' "${0##*/}" "$1" >&2
        printf '%s: hint: cargo build --release in %s, or set ORAPIPE_BIN to the directory that holds it\n' \
            "${0##*/}" "$(dirname "$script_dir")" >&2
        exit 64
    }
}

# is_set NAME: whether the environment or the settings file gives NAME a value. Empty in the environment means none,
# whatever the file says, and so do empty quotes in the file: the tools see it so.
is_set() {
    if [ -n "${!1+x}" ]; then [ -n "${!1}" ]; return; fi
    [ -r "${ORAPIPE_ENV_FILE:-}" ] || return 1
    # The last line with the name counts.
    sed -En "s/^[[:space:]]*(export[[:space:]]+)?$1[[:space:]]*=[[:space:]]*//p" "$ORAPIPE_ENV_FILE" | tail -n 1 |
        grep -Eqv "^(''|\"\")?[[:space:]]*(#.*)?\$"
}

# default_setting NAME VALUE [SECOND_NAME]: sets NAME unless somebody has set it, or its second name, already.
default_setting() {
    is_set "$1" || { [ -n "${3:-}" ] && is_set "$3"; } || export "$1=$2"
}

# wants_report: whether anybody is to hear of a pipeline.
wants_report() { { is_set EMAIL_TO && is_set SMTP_SERVER; } || is_set PROMETHEUS_DIR; }

# reports JOB: fills the array report with what mailreport needs for metrics, where PROMETHEUS_DIR is set: one file per job, and
# a history, for the ages of backups must outlive the runs.
reports() {
    report=()
    local dir state sid
    dir=$(setting PROMETHEUS_DIR "")
    [ -n "$dir" ] || return 0
    sid=$(setting ORACLE_SID db)
    state=$(setting STATE_DIR "${HOME:-/}/.local/state/orapipe")
    mkdir -p "$state"
    # shellcheck disable=SC2034 # for the script that sources this
    report=(--prometheus "$dir/orapipe_${sid}_$1.prom" --history "$state/history.$sid.$1.jsonl")
}

# setting NAME DEFAULT: the value of a setting that the scripts themselves need.
setting() {
    if [ -n "${!1:-}" ]; then
        printf '%s\n' "${!1}"
    elif is_set "$1"; then
        sed -En "s/^[[:space:]]*(export[[:space:]]+)?$1[[:space:]]*=[[:space:]]*//p" "$ORAPIPE_ENV_FILE" |
            tail -n 1 | sed -E "s/\\r\$//; s/^'([^']*)'.*\$/\\1/; t; s/^\"([^\"]*)\".*\$/\\1/; t; s/[[:space:]]+#.*\$//; s/[[:space:]]+\$//"
    else
        printf '%s\n' "$2"
    fi
}

# lock_of_standby: the lock of standby-recover.sh and dr-drill.sh, for one ORACLE_SID. Not in /tmp and for nobody else to open:
# whoever can open it can hold it, and recovery would wait for ever.
lock_of_standby() {
    local state lock
    state=$(setting STATE_DIR "${HOME:-/}/.local/state/orapipe")
    lock=$state/standby-recover.$ORACLE_SID.lock
    if ! mkdir -p "$state" || ! (umask 077 && : >>"$lock") || ! chmod 600 "$lock"; then
        printf '%s: error: cannot make the lock %s\n' "${0##*/}" "$lock" >&2
        printf '%s: hint: it belongs to the owner of the Oracle software; set STATE_DIR to a directory of theirs\n' "${0##*/}" >&2
        return 1
    fi
    printf '%s\n' "$lock"
}

# attend FUNCTION [ARGUMENT…]: the last command of FUNCTION is a pipeline in the background; waits until all of it has ended, and
# has its exit status. A shell that is asked to stop dies at once and leaves its tools to themselves. With this TERM, INT and HUP go,
# as TERM, to the first tool of the pipeline that still runs: it puts back what it has done, and those behind it see its end and
# report it. The first tool needs <&0 to keep standard input.
attend() {
    local status=0 last before line stage='^(\[[0-9]+\][-+ ]*|[[:space:]]+)([0-9]+)[[:space:]]'
    asked=0 attended=()
    trap ask_to_stop TERM INT HUP
    "$@"
    last=$!
    while IFS= read -r line; do
        if [[ "$line" =~ $stage ]]; then attended+=("${BASH_REMATCH[2]}"); fi
    done <<<"$(jobs -l %%)"
    # Somebody was faster.
    if [ "$asked" != 0 ]; then ask_to_stop; fi
    while :; do
        before=$asked status=0
        wait "$last" || status=$?
        # A signal ends wait, and not what it waits for.
        [ "$before" != "$asked" ] || break
    done
    trap - TERM INT HUP
    return "$status"
}

# The trap of attend.
ask_to_stop() {
    local pid about
    asked=$((asked + 1))
    for pid in ${attended[@]+"${attended[@]}"}; do
        read -r about 2>/dev/null <"/proc/$pid/stat" || continue
        # Still a child of this shell, and not one that has ended.
        case "${about##*) }" in
            Z*) ;;
            ?" $BASHPID "*) kill -TERM "$pid" 2>/dev/null || continue; break ;;
        esac
    done
    # Said, for return alone would give the status that wait had, and set -e would end the script.
    return 0
}

# alone COMMAND…: for attend, a tool without a pipeline.
alone() { "$@" <&0 & }
