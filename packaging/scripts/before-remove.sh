#!/bin/sh
# Ends what runs from the package before its programs go; not at an upgrade. dpkg says "remove", rpm the number of
# packages that stay.
set -e
case "${1:-}" in
    remove | deconfigure | 0) ;;
    *) exit 0 ;;
esac
if [ -d /run/systemd/system ]; then
    # shellcheck disable=SC2043 # scripts/package.sh puts the names of all units here
    for unit in @UNITS@; do
        # The instances of a template as well: "arch-ship@.service" stands for "arch-ship@*.service".
        case "$unit" in
            *@.*) systemctl stop "${unit%%@.*}@*.${unit##*@.}" >/dev/null 2>&1 || true ;;
            *) systemctl stop "$unit" >/dev/null 2>&1 || true ;;
        esac
        systemctl disable "$unit" >/dev/null 2>&1 || true
    done
fi
exit 0
