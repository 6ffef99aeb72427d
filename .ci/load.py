"""Asks a served sign_classifier without pause, each time over a new connection, until a file says stop.

python load.py URL STOP_FILE [VERSION...]: prints how many requests were answered by which version, as JSON, and ends
with 1 where one failed or a VERSION never answered. Needs the standard library alone.
"""

import collections
import json
import random
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

SIZE = 48  # pixels of the classifier's input


def ask(url: str) -> str:
    """Sends one crop of noise and returns the version that answered.

    Raises:
        OSError: it was not answered.
        ValueError: the answer makes no sense.
    """
    crop = {"name": "images", "datatype": "UINT8", "shape": [1, SIZE, SIZE, 3]}
    crop["data"] = list(random.randbytes(SIZE * SIZE * 3))
    body = json.dumps({"inputs": [crop]}).encode()
    request = urllib.request.Request(f"http://{url}/v2/models/sign_classifier/infer", body, method="POST")
    with urllib.request.urlopen(request, timeout=10) as response:
        answer = json.load(response)
    (output,) = answer["outputs"]
    if not 0.99 < sum(output["data"]) < 1.01:
        raise ValueError(f"the probabilities add up to {sum(output['data'])}")
    return str(answer["model_version"])


def main(url: str, stop: Path, *wanted: str) -> int:
    """Asks until `stop` exists, at least once; returns the exit code."""
    answered: collections.Counter[str] = collections.Counter()
    failures: list[str] = []
    while not (stop.exists() and (answered or failures)):
        try:
            answered[ask(url)] += 1
        except (OSError, ValueError, KeyError) as error:
            reason = error.read().decode(errors="replace") if isinstance(error, urllib.error.HTTPError) else ""
            failures.append(f"{time.strftime('%H:%M:%S')} {error} {reason}".strip())
        time.sleep(0.02)
    print(json.dumps({"answered": answered, "failed": len(failures), "failures": failures[:20]}, indent=2))
    return int(bool(failures) or not set(wanted) <= set(answered))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], Path(sys.argv[2]), *sys.argv[3:]))
