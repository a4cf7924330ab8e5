"""The program that runs in the pod: makes calls, and writes what came of each as a line of JSON.

It is passed to Python as text, and needs nothing but the standard library of any version that is supported:
the image in a member may be of another version than the command.
"""

import http.client
import json
import sys
import time
from concurrent.futures import ThreadPoolExecutor

_WORKERS = 8
_UNSERVED = "x-towpath-unserved"
"""By this header a gateway marks its own answers, which no pod gave."""


def call(target: str, seconds: float) -> dict[str, object]:
    """Make a call: ``GET gateway path``, or ``CONNECT gateway host`` for a tunnel."""
    method, place, rest = target.split(" ", 2)
    answer: dict[str, object] = {"target": target, "status": 0, "unserved": "", "error": ""}
    began = time.monotonic()
    connection = http.client.HTTPConnection(place, timeout=seconds)
    headers = {"User-Agent": "towpath-verify", "Connection": "close"}
    if method == "CONNECT":
        headers = {"Host": rest}
    try:
        connection.request(method, rest, headers=headers)
        response = connection.getresponse()
        answer["status"], answer["unserved"] = response.status, response.getheader(_UNSERVED) or ""
    except (OSError, http.client.HTTPException) as error:
        answer["error"] = str(error) or type(error).__name__
    finally:
        connection.close()
    return {**answer, "seconds": round(time.monotonic() - began, 4)}


def main(arguments: list[str]) -> None:
    """Make all calls; the first argument is how long each may take."""
    seconds, targets = float(arguments[0]), arguments[1:]
    with ThreadPoolExecutor(_WORKERS) as pool:
        for answer in pool.map(lambda target: call(target, seconds), targets):
            sys.stdout.write(json.dumps(answer) + "\n")


if __name__ == "__main__":
    main(sys.argv[1:])
