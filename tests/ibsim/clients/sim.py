"""The simulator as the tests reach it: its addresses from the environment, and the tests' own door."""

import json
import os
import sys
import traceback
import urllib.error
import urllib.request

HTTP = os.environ["IBSIM_HTTP"]
HTTPS = os.environ["IBSIM_HTTPS"]
CA_FILE = os.environ["IBSIM_CA_FILE"]
PASSWORD = os.environ["IBSIM_PASSWORD"]
RELEASE = os.environ["IBSIM_RELEASE"]


def address(of=HTTP):
    host, port = of.split(":")
    return host, int(port)


def door(method, path, body=None):
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(f"http://{HTTP}/_sim/{path}", data=data, method=method)
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return json.load(answer)
    except urllib.error.HTTPError as error:
        raise AssertionError(f"{method} {path}: {error.read().decode()}") from error


def raises(kind, work):
    """The exception, which must come."""
    try:
        result = work()
    except kind as error:
        return error
    raise AssertionError(f"{kind.__name__} did not come, but {result!r}")


def requests(method, contains):
    return [r for r in door("GET", "log") if r["method"] == method and contains in r["path"] + "?" + r["query"]]


def run(tests):
    """Runs every test and exits non-zero when one fails."""
    failed = 0
    for test in tests:
        try:
            test()
            print(f"ok {test.__name__}")
        except Exception:  # noqa: BLE001 -- the next test tells more
            failed += 1
            print(f"FAILED {test.__name__}")
            print("".join(traceback.format_exc().splitlines(keepends=True)[-40:]))
    if failed:
        print(f"{failed} of {len(tests)} failed on InfiniBox {RELEASE}")
    sys.exit(1 if failed else 0)
