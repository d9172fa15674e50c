"""How the Python script before arch-ship did it: five threads, and for each log one ssh to look whether a file of that
name is there, a sleep to see whether its size is stable, and one rsync with a connection of its own. Nothing is proved.

Standard input: paths of the logs, one to a line. Environment: SSH (command with options), HOST, DEST, STABLE (seconds).
"""

import os
import shlex
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

SSH = os.environ["SSH"]
HOST = os.environ["HOST"]
DEST = os.environ["DEST"]
STABLE = float(os.environ["STABLE"])


def remote(command):
    argv = shlex.split(SSH) + [HOST, command]
    done = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60)
    return done.stdout.strip()


def ship(path):
    name = os.path.basename(path)
    if remote(f"[ -f '{DEST}/{name}' ] && echo EXISTS || echo NOT_EXISTS") == "EXISTS":
        return True
    if STABLE:
        size = os.path.getsize(path)
        time.sleep(STABLE)
        if os.path.getsize(path) != size:
            return False
    command = ["rsync", "-avz", "-e", SSH, path, f"{HOST}:{DEST}/"]
    return subprocess.run(command, capture_output=True, text=True, timeout=300).returncode == 0


def main():
    remote(f"mkdir -p '{DEST}'")
    with ThreadPoolExecutor(max_workers=5) as pool:
        shipped = list(pool.map(ship, sys.stdin.read().splitlines()))
    sys.exit(0 if all(shipped) else 1)


main()
