#!/usr/bin/env bash
# How the shell scripts before arch-ship did it: for each log one ssh to look whether a file of that name is there, and
# one rsync with a connection of its own; four at once. Nothing is proved.
# Standard input: paths of the logs, one to a line. Environment: SSH (command with options), HOST, DEST.
set -uo pipefail
export SSH HOST DEST

one() {
    local name=${1##*/}
    if [ "$(eval "$SSH $HOST" "\"[ -f '$DEST/$name' ] && echo EXISTS || echo NOT_EXISTS\"" </dev/null)" = EXISTS ]; then
        return 0
    fi
    rsync -avz -e "$SSH" "$1" "$HOST:$DEST/"
}
export -f one

eval "$SSH $HOST" "\"mkdir -p '$DEST'\"" </dev/null || exit 1
# shellcheck disable=SC2016 # the inner shell expands it
xargs -d '\n' -P 4 -I '{}' bash -c 'one "$1"' one '{}'
