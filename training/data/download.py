"""Downloads one file over HTTP: goes on after a broken connection, and names it only when it has been checked.

What has come so far lies in `NAME.partial`; `NAME.partial.json` says which version of the file it belongs to. A later
call asks for the rest with `Range`, and with `If-Range`, so that a server whose file has changed sends all of the new
one (RFC 9110, sections 13.1.5 and 14). Servers that ignore `Range` are read from the start.
"""

import json
import re
import shutil
import time
import urllib.request
from collections.abc import Callable
from dataclasses import asdict, dataclass
from email.message import Message
from http import HTTPStatus
from http.client import HTTPException, HTTPResponse, InvalidURL
from pathlib import Path
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit

from traffic_signs.progress import ProgressCallback
from training.errors import DataError

CHUNK = 64 * 1024  # bytes
TIMEOUT = 60.0  # seconds without a byte
RETRY_DELAYS = (1.0, 3.0, 9.0)  # seconds; counted anew whenever a connection has brought the file further
PASSING = (HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_EARLY, HTTPStatus.TOO_MANY_REQUESTS)


class _BrokenError(Exception):
    """The connection broke, or the server cannot answer now: another try may help."""


@dataclass(frozen=True)
class _Version:
    """Which version of a file a partial download belongs to.

    Attributes:
        size: of the whole file, in bytes.
        validator: its strong ETag, else its date; empty where the server gives neither.
    """

    size: int
    validator: str


def download(address: str, path: Path, check: Callable[[Path], None], progress: ProgressCallback) -> None:
    """Downloads a file; it gets its name only when `check` has nothing against it.

    A broken connection is tried again a few times. Whatever stops this function, what has come stays for the next
    call; only bytes that `check` refuses are removed.

    Args:
        address: http or https.
        path: name of the file; its folder exists, and nobody else downloads into it.
        check: raises DataError where the file that it is given is not the right one.
        progress: told the megabytes, rounded up.

    Raises:
        DataError: the address is wrong, the server fails or has no such file, the disk has too little space, or
            `check` refused the file.
    """
    require_web_address(address)
    partial = path.with_name(path.name + ".partial")
    furthest = _size(partial)
    delays = list(RETRY_DELAYS)
    while True:
        try:
            _receive(address, partial, progress)
            break
        except _BrokenError as problem:
            if _size(partial) > furthest:
                furthest, delays = _size(partial), list(RETRY_DELAYS)
            if not delays:
                raise DataError(
                    f"{address} cannot be fetched ({problem}): check the network and run the same command again; "
                    f"it goes on after the {_size(partial) / 1e6:.1f} MB that have come"
                ) from problem
            time.sleep(delays.pop(0))
    try:
        check(partial)
    except DataError as problem:
        _forget(partial)
        raise DataError(f"{address} is not the right file ({problem}): removed; try again or another --from") from None
    partial.replace(path)
    _version_file(partial).unlink()


def require_web_address(address: str) -> None:
    """Raises DataError where an address is not http or https."""
    try:
        parts = urlsplit(address)
        if parts.scheme in ("http", "https") and parts.hostname and parts.port != 0:
            return
    except ValueError:  # a port that is no number, a bracket that is not closed
        pass
    raise DataError(f"{address!r} is no web address: give one that starts with https:// or http://")


def require_space(folder: Path, needed: int, what: str) -> None:
    """Raises DataError where a folder's disk has fewer than `needed` bytes left."""
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise DataError(
            f"{what} needs {needed / 1e6:,.2f} MB and {folder} has {free / 1e6:,.2f} MB left: "
            "free some space or give another --to"
        )


def _receive(address: str, partial: Path, progress: ProgressCallback) -> None:
    """Reads what is missing of a file into `partial`, in one request."""
    version = _read_version(partial)
    done = _size(partial) if version else 0
    if version and done == version.size:
        return  # stopped between the last byte and the check
    with _open(address, version, done) as response:
        if response.status == HTTPStatus.PARTIAL_CONTENT and version:
            if not _continues(response, version, done):
                _forget(partial)
                raise _BrokenError("the file changed while it was fetched")
        else:
            version, done = _version_of(address, response), 0
        require_space(partial.parent, version.size - done, address)
        if done == 0:
            # The old bytes go first: they must never lie beside the version of the new file.
            partial.write_bytes(b"")
            _version_file(partial).write_text(json.dumps(asdict(version)))
        _append(response, partial, done, version.size, progress)


def _append(response: HTTPResponse, partial: Path, done: int, size: int, progress: ProgressCallback) -> None:
    what = f"downloading {partial.name.removesuffix('.partial')} (MB)"
    with partial.open("ab") as file:
        while done < size:
            try:
                chunk = response.read(min(CHUNK, size - done))
            except (OSError, HTTPException) as error:
                raise _BrokenError(str(error) or type(error).__name__) from error
            if not chunk:
                raise _BrokenError(f"the connection ended after {done} of {size} bytes")
            file.write(chunk)
            done += len(chunk)
            progress(what, _megabytes(done), _megabytes(size))


def _open(address: str, version: _Version | None, done: int) -> HTTPResponse:
    headers = {"User-Agent": "traffic-sign-mlops", "Accept-Encoding": "identity"}
    if version and done:
        headers["Range"] = f"bytes={done}-"
        if version.validator:
            headers["If-Range"] = version.validator
    try:
        response = _opener().open(urllib.request.Request(address, headers=headers), timeout=TIMEOUT)
    except HTTPError as error:
        with error:
            reason = " ".join(str(error.reason).split())  # urllib's of a redirect in a circle has three lines
            answer = f"the server answers {error.code} {reason}"
        if error.code >= 500 or error.code in PASSING:
            raise _BrokenError(answer) from error
        if error.code == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE and "Range" in headers:
            # More lies here than the server has: next time without Range, as no version fits.
            return _open(address, None, 0)
        raise DataError(
            f"{address} cannot be fetched ({answer}): check the address, or give a mirror as --from"
        ) from error
    except (InvalidURL, ValueError) as error:
        raise DataError(f"{address!r} is no web address ({error}): check it") from error
    except URLError as error:
        raise _BrokenError(str(error.reason)) from error
    except (OSError, HTTPException) as error:
        raise _BrokenError(str(error) or type(error).__name__) from error
    assert isinstance(response, HTTPResponse)
    return response


def _opener() -> urllib.request.OpenerDirector:
    """Returns an opener of web addresses; urllib's own would follow a redirect to ftp."""
    opener = urllib.request.OpenerDirector()
    for handler in (
        urllib.request.ProxyHandler(),
        urllib.request.UnknownHandler(),
        urllib.request.HTTPHandler(),
        urllib.request.HTTPSHandler(),
        urllib.request.HTTPRedirectHandler(),
        urllib.request.HTTPDefaultErrorHandler(),
        urllib.request.HTTPErrorProcessor(),
    ):
        opener.add_handler(handler)
    return opener


def _continues(response: HTTPResponse, version: _Version, done: int) -> bool:
    """Tells whether a partial answer is the rest of the file that has begun to come."""
    match = re.fullmatch(r"bytes (\d+)-\d+/(\d+|\*)", response.headers.get("Content-Range", ""))
    if match is None or int(match[1]) != done or match[2] not in ("*", str(version.size)):
        return False
    return (_validator(response.headers) or version.validator) == version.validator


def _version_of(address: str, response: HTTPResponse) -> _Version:
    length = response.headers.get("Content-Length", "")
    if response.status != HTTPStatus.OK or not length.isdecimal():
        raise DataError(
            f"{address} cannot be fetched (status {response.status}, length {length or 'unknown'}): "
            "the server does not say how long the file is; give another address as --from"
        )
    return _Version(int(length), _validator(response.headers))


def _validator(headers: Message) -> str:
    etag = str(headers.get("ETag", ""))
    # A weak ETag calls files the same whose bytes differ, and must not stand in If-Range.
    return etag if etag.startswith('"') else str(headers.get("Last-Modified", ""))


def _read_version(partial: Path) -> _Version | None:
    """Returns the version that `partial` belongs to; None where there is none, or where it cannot be trusted."""
    try:
        record = json.loads(_version_file(partial).read_text())
        version = _Version(int(record["size"]), str(record["validator"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return version if _size(partial) <= version.size else None


def _version_file(partial: Path) -> Path:
    return partial.with_name(partial.name + ".json")


def _forget(partial: Path) -> None:
    partial.unlink(missing_ok=True)
    _version_file(partial).unlink(missing_ok=True)


def _size(partial: Path) -> int:
    return partial.stat().st_size if partial.exists() else 0


def _megabytes(size: int) -> int:
    return -(-size // 1_000_000)
