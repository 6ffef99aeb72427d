"""`signs repository roll-out`: has a running server serve the version that its repository names as the champion."""

import json
import time
import urllib.error
import urllib.request
from typing import Annotated, Any

import typer

from traffic_sign_client.errors import ClientError, UnavailableError
from traffic_signs.direct import open_url

ASK_TIMEOUT_S = 10.0


def roll_out(
    model: Annotated[str, typer.Argument(help="Name of a model, such as sign_classifier.", show_default=False)],
    repository: Annotated[
        str, typer.Option("--repository", "-r", help="The folder that the server serves, or its address.")
    ] = "model_repository",
    url: Annotated[str, typer.Option(help="host:port of the server's HTTP.")] = "localhost:8000",
    timeout: Annotated[float, typer.Option(min=1, help="Seconds that the new version may take to answer.")] = 120,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """Have a running server load the champion, and wait until it answers; requests meanwhile go to the old version.

    For a server of this machine, `signs serve --reloadable`; on Kubernetes a roll-out is `helm upgrade`. Where the
    version cannot be loaded, the server keeps serving the old one, and the code is 1.

    \b
    signs repository promote sign_classifier 3 && signs repository roll-out sign_classifier
    """
    from export.repository.promotion import champion
    from export.repository.store import open_store

    best = champion(open_store(repository), model)
    if best is None:
        raise ClientError(f"{model} has no champion in {repository}: `signs repository promote {model} N` first")
    load(url, model, best, timeout)
    if as_json:
        typer.echo(json.dumps({"model": model, "version": best, "url": url}))
    else:
        typer.echo(f"{model} {best} is served at {url}")


def load(url: str, model: str, version: int, timeout: float) -> None:
    """Has a server load a model as its configuration says, and waits until a version of it is ready.

    Args:
        url: host:port of its HTTP.
        model: name of the model.
        version: that must be ready then.
        timeout: seconds for all of it.

    Raises:
        UnavailableError: the server does not answer, or the version is not ready in time.
        ClientError: the server refuses, or cannot load it; it keeps serving what it had.
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
            raise UnavailableError(f"{model} {version} is not ready at {url} after {timeout:g} s ({said})")
        time.sleep(0.2)


def _post(url: str, what: str, timeout: float) -> Any:
    request = urllib.request.Request(f"http://{url}/v2/{what}", data=b"{}", method="POST")
    try:
        with open_url(request, timeout) as response:
            return json.loads(response.read() or b"null")
    except urllib.error.HTTPError as error:
        raise ClientError(_refusal(url, error)) from error
    except (OSError, ValueError) as error:
        raise UnavailableError(
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
