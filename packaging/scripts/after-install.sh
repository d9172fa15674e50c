#!/bin/sh
# Makes systemd see the units. Starts and enables nothing.
set -e
if [ -d /run/systemd/system ]; then systemctl daemon-reload >/dev/null 2>&1 || true; fi
exit 0
