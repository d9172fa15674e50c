#!/usr/bin/env bash
# Checks licence and origin of every crate that is built in, and its advisories where the database can be had.
set -euo pipefail
cd "$(dirname "$0")/.."
PATH="$PATH:$HOME/.cargo/bin"

# cargo-deny reads the whole policy (deny.toml) when it is here; the rig's own check of licences and origins always runs.
cargo run --locked -q -p rig --bin licences

if ! cargo deny --version >/dev/null 2>&1; then
    echo "advisories: not checked: cargo-deny is not installed"
    exit 0
fi
if timeout 60 cargo deny fetch db >/dev/null 2>&1; then
    cargo deny check advisories bans sources licenses
else
    echo "advisories: not checked: the advisory database cannot be reached"
    cargo deny --offline check bans sources licenses
fi
