"""Checks the answers of a server with the bundled models, and of a gateway; exits with 1 if one is wrong.

python ask_bundled.py PICTURES GRPC HTTP GATEWAY BACKEND: a folder with example.jpg and sign.png, three times host:port,
and the backend of the networks (onnxruntime, or stand-in for the project's own). Needs the package with its client.
"""

import asyncio
import json
import sys
import time
import urllib.request
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from clients.command.check_server import examine_server
from serving.versions import MINIMUM
from traffic_sign_client import SignClient
from traffic_sign_client.connection import Connection
from traffic_sign_client.errors import ClientError
from traffic_signs.direct import open_url

# Signs in the gateway page's example; sign.png of the chart is a stop sign.
STREET = {"road works", "speed limit 50", "stop", "give way", "keep right"}
SIGN = "stop"
STAND_IN = "stand-in"
START_S = 60.0


class WrongAnswerError(Exception):
    """An answer is not the one that it must be."""


def expect(what: str, found: Any, wanted: Any) -> None:
    """Prints what was found; raises WrongAnswerError if it differs from what is wanted."""
    if found != wanted:
        raise WrongAnswerError(f"{what}: {found}, and it should be {wanted}")
    print(f"{what}: {found}", flush=True)


def ask_server(pictures: Path, url: str, protocol: Any) -> None:
    """Asks all three models over a protocol."""
    street, sign = (pictures / name for name in ("example.jpg", "sign.png"))
    with SignClient(url, protocol, timeout=120) as client:
        expect(f"recognizer, {protocol}", {each.name for each in client.recognize(street.read_bytes())}, STREET)
        side = client.input_size()
        crop = np.asarray(Image.open(sign).convert("RGB").resize((side, side)))[None]
        expect(f"classifier, {protocol}", client.classify(crop)[0][0].name, SIGN)
    scores = asyncio.run(find_signs(street, url, protocol))
    expect(f"detector, {protocol}", int((scores >= 0.5).sum()), len(STREET))


async def find_signs(street: Path, url: str, protocol: Any) -> Any:
    """Returns the scores of the signs that the detector finds in a picture."""
    server = Connection(url, protocol, timeout=120)
    try:
        config = await server.describe("config", "sign_detector")
        height, width = (int(side) for side in config["input"][0]["dims"][:2])
        scene = np.asarray(Image.open(street).convert("RGB").resize((width, height)))[None]
        (scores,) = await server.infer("sign_detector", "scenes", scene, ["scores"])
        return scores[0]
    finally:
        await server.close()


def ask_gateway(pictures: Path, url: str) -> None:
    """Asks a gateway about the street and the sign, once it is ready."""
    deadline = time.monotonic() + START_S
    while True:
        try:
            _open(f"http://{url}/readyz")
            break
        except OSError as error:
            if time.monotonic() > deadline:
                raise WrongAnswerError(f"the gateway is not ready after {START_S:g} s: {error}") from error
            time.sleep(0.5)
    found = json.loads(_open(f"http://{url}/v1/recognize", (pictures / "example.jpg").read_bytes(), "image/jpeg"))
    expect("gateway, recognize", {each["name"] for each in found["signs"]}, STREET)
    found = json.loads(_open(f"http://{url}/v1/classify", (pictures / "sign.png").read_bytes(), "image/png"))
    expect("gateway, classify", found["classes"][0]["name"], SIGN)


def _open(url: str, body: bytes | None = None, kind: str = "") -> Any:
    request = urllib.request.Request(url, body, {"Content-Type": kind} if kind else {})
    with open_url(request, timeout=60, is_ours=True) as answer:
        return answer.read()


def ask_backends(url: str, backend: str) -> None:
    """Asks which server it is, and what runs its models."""
    found = examine_server(url, "grpc", MINIMUM)
    print(f"tritonserver {found.version}", flush=True)
    if backend != STAND_IN:  # it exists only for an older server
        expect("may be on a network", found.is_safe, True)
    networks = dict.fromkeys(("sign_classifier", "sign_detector"), backend)
    expect("models", found.models, networks | {"sign_recognizer": "python"})


def main(pictures: str, grpc: str, http: str, gateway: str, backend: str) -> None:
    """Sends all requests, and compares the answers."""
    ask_backends(grpc, backend)
    ask_server(Path(pictures), grpc, "grpc")
    ask_server(Path(pictures), http, "http")
    ask_gateway(Path(pictures), gateway)


if __name__ == "__main__":
    try:
        main(*sys.argv[1:])
    except (WrongAnswerError, ClientError, OSError) as problem:
        sys.exit(f"ask_bundled: {problem}")
