"""Loads a version in a running server that was started with `signs serve --reloadable`."""

import json
import time
import urllib.error
import urllib.request
from typing import Any

from serving.errors import ServingError
from traffic_signs.direct import open_url

ASK_TIMEOUT_S = 10.0


def load(url: str, model: str, version: int, timeout: float) -> None:
    """Makes a server load a model by its configuration, and waits until a version of it is ready.

    `url` is the host:port of its HTTP, and the timeout the seconds for loading and waiting together.

    Raises:
        ServingError: the server does not answer, refuses, or fails to load the version, or the version is not ready in
            time; the server keeps serving the versions that it had.
    """
    deadline = time.monotonic() + timeout
    _post(url, f"repository/models/{model}/load", timeout)
    while True:
        index = _post(url, "repository/index", ASK_TIMEOUT_S)
        entry: dict[str, str] = next(
            (each for each in index if (each["name"], each.get("version")) == (model, str(version))), {}
        )
        if entry.get("state") == "READY":
            return
        if time.monotonic() >= deadline:
            said = entry.get("reason") or entry.get("state") or "it serves another folder"
            raise ServingError(f"{model} {version} is not ready at {url} after {timeout:g} s ({said})")
        time.sleep(0.2)


def _post(url: str, what: str, timeout: float) -> Any:
    request = urllib.request.Request(f"http://{url}/v2/{what}", data=b"{}", method="POST")
    try:
        with open_url(request, timeout) as response:
            return json.loads(response.read() or b"null")
    except urllib.error.HTTPError as error:
        raise ServingError(_refusal(url, error)) from error
    except (OSError, ValueError) as error:
        raise ServingError(
            f"no server answers at http://{url} ({getattr(error, 'reason', error)}): start one with "
            "`signs serve --reloadable`, or give the --url of its HTTP"
        ) from error


def _refusal(url: str, error: urllib.error.HTTPError) -> str:
    with error:
        said = error.read().decode(errors="replace")
    try:
        said = str(json.loads(said)["error"])
    except (ValueError, LookupError, TypeError):
        said = said[:500] or str(error)
    if "explicit" in said:  # "... not allowed when polling is enabled", "... model control is disabled"
        said += ": start the server with `signs serve --reloadable`"
    return f"{url} answers: {said}"
