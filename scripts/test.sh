#!/usr/bin/env bash
# Runs every check of the repository, set-up included: what CI runs.
set -euo pipefail

usage() {
    cat <<'TEXT'
usage: scripts/test.sh [TEST…]

Set-up, build, format, shell scripts, lints, generated documents, licences, packages, all tests, the demo. Stops at the first failure.
With TEST only the tests whose names contain it are run, after the build.
TEXT
}
case "${1:-}" in -h | --help) usage; exit 0 ;; -*) usage >&2; exit 64 ;; esac

cd "$(dirname "$0")/.."
PATH="$PATH:/usr/sbin:/sbin:$HOME/.cargo/bin"
export PATH
# The tests wait for time limits and other processes most of the time: two a core are done in little more than half the
# time of one.
export RUST_TEST_THREADS="${RUST_TEST_THREADS:-4}"
# The tools refuse root; in a container the tests often have nobody else.
if [ "$(id -u)" = 0 ]; then export ORAPIPE_ALLOW_ROOT=1; fi

begin=$SECONDS
step=
finish() {
    local status=$?
    if [ $status -eq 0 ]; then
        printf 'test.sh: all passed in %ss\n' $((SECONDS - begin))
    else
        printf 'test.sh: FAILED (status %s) in: %s, after %ss\n' $status "$step" $((SECONDS - begin)) >&2
    fi
}
trap finish EXIT

run() {
    step=$1
    shift
    printf '== %s: %s\n' "$step" "$*"
    local started=$SECONDS
    "$@"
    printf '== %s: ok, %ss\n' "$step" $((SECONDS - started))
}

scripts() {
    find scripts .ci packaging -type f -print0 | while IFS= read -r -d '' file; do
        if [ "$(head -c 2 "$file")" = '#!' ]; then printf '%s\n' "$file"; fi
    done | sort
}

lint_scripts() {
    local list
    mapfile -t list < <(scripts)
    [ ${#list[@]} -gt 0 ]
    shellcheck -x -P SCRIPTDIR "${list[@]}"
}

run set-up scripts/setup.sh
run build cargo build --locked --workspace --bins
if [ $# -gt 0 ]; then
    for name in "$@"; do run "tests named $name" cargo test --locked --workspace -- "$name"; done
    exit 0
fi
run format cargo fmt --all --check
run scripts lint_scripts
run lints cargo clippy --locked --workspace --all-targets -- -D warnings
run documents cargo run --locked -q -p rig --bin docs -- --check
run licences scripts/licences.sh
run packages scripts/package.sh --ci
run tests cargo test --locked --workspace --no-fail-fast
run demo scripts/demo.sh --quiet
