"""Malformed requests by the gateway's own OpenAPI description, at a real gateway before a real tritonserver.

SIGNS_FUZZ_REQUESTS sets how many there are at least. With 10,000 it takes long: `pytest -s` prints after each round how
many were answered and how much memory the gateway has.
"""

import os
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from serving.server import RunningServer
from tests.end_to_end.street import encode, street
from tests.running_gateway import RunningGateway, running_gateway

pytestmark = [pytest.mark.end_to_end, pytest.mark.long]

REQUESTS = int(os.environ.get("SIGNS_FUZZ_REQUESTS", "400"))
OPERATIONS = 8
ROUND = 200  # examples for each operation; after each round the memory is looked at
CHECKS = (
    "not_a_server_error,status_code_conformance,content_type_conformance,response_headers_conformance,"
    "response_schema_conformance,unsupported_method"
)
GROWTH = 64 << 20  # bytes that the process may have more after than before; caches and pools fill at first


def memory(gateway: RunningGateway) -> int:
    """Returns the memory that the gateway has now, in bytes."""
    status = Path(f"/proc/{gateway.process.pid}/status").read_text()
    return int(re.findall(r"VmRSS:\s+(\d+) kB", status)[0]) << 10


def fuzz(gateway: RunningGateway, folder: Path, examples: int, seed: int) -> None:
    """Sends malformed and well-formed requests; fails where an answer is none that the description has."""
    command = [
        *(sys.executable, "-m", "schemathesis.cli", "run", f"{gateway.url}/openapi.json"),
        *("--checks", CHECKS, "--phases", "examples,coverage,fuzzing", "--mode", "all", "--no-shrink"),
        *("--max-examples", str(examples), "--seed", str(seed), "--workers", "4", "--request-timeout", "60"),
        *("--suppress-health-check", "all", "--continue-on-failure", "--warnings", "off"),
    ]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]


@pytest.mark.timeout(7200 if REQUESTS > 1000 else 900)
def test_it_answers_whatever_is_sent_and_stays(recognizer_server: RunningServer, tmp_path: Path) -> None:
    options = ("--timeout", "60", "--feedback", str(tmp_path / "feedback"), "--feedback-reserve", "0")
    picture, png = encode(street([(2, 2)])), {"Content-Type": "image/png"}
    with running_gateway(recognizer_server.grpc_url, *options) as gateway:
        for path in ("/v1/recognize", "/v1/classify") * 4:
            assert gateway.ask(path, picture, png).status == 200
        before, seed = memory(gateway), 0
        while seed == 0 or len(answered(gateway)) < REQUESTS:
            seed += 1
            fuzz(gateway, tmp_path, max(1, min(ROUND, REQUESTS // OPERATIONS)), seed)
            now = memory(gateway)
            print(f"{len(answered(gateway))} requests; memory {before >> 20} -> {now >> 20} MiB", flush=True)
            assert now < before + GROWTH
        statuses = Counter(int(line["status"]) for line in answered(gateway))
        print(dict(statuses))
        assert {200, 400, 405, 415, 422} <= set(statuses) and not any(status >= 500 for status in statuses)
        assert gateway.process.poll() is None and gateway.ask("/readyz").status == 200
        assert gateway.ask("/v1/recognize", picture, png).status == 200


def answered(gateway: RunningGateway) -> list[dict[str, str]]:
    """Returns the lines of the log about requests that were answered."""
    return [line for line in gateway.log() if line["message"] == "answered"]
