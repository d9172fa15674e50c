#!/usr/bin/env bash
# Measures our tools beside what they replace, in one run, and prints one table. No part of the tests.
#   scripts/bench.sh ship|hotbackup|start|zip|s3 [--quick|--full] [--check] [--only TEXT] [--dir DIR]
set -euo pipefail
cd "$(dirname "$0")/.."
PATH="$PATH:$HOME/.cargo/bin"

case " $* " in
    *' -h '* | *' --help '*) ;;
    *' s3 '*) cargo build --locked -q --release -p s3-put -p s3server ;;
    *) cargo build --locked -q --release -p arch-ship -p ts-hotbackup -p zip-rotate ;;
esac
cargo build --locked -q -p rig --bin bench
cargo build --locked -q -p orasim --bins
exec "${CARGO_TARGET_DIR:-target}/debug/bench" "$@"
