"""Downloads one file over HTTP, resumes after a broken connection, and checks the file before it gets its name.

The bytes so far are in `NAME.partial`; `NAME.partial.json` has the version of the file that they belong to. A later
call requests the rest with `Range` and `If-Range`, so that a server whose file has changed sends the whole new file
(RFC 9110, sections 13.1.5 and 14). If a server ignores `Range`, the download starts again.
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
from urllib.error import HTTPError
from urllib.parse import urlsplit

from traffic_signs.progress import ProgressCallback
from training.errors import DataError

CHUNK = 64 * 1024  # bytes
TIMEOUT = 60.0  # seconds without a byte
RETRY_DELAYS = (1.0, 3.0, 9.0)  # seconds; start again after every connection that has received data
PASSING = (HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_EARLY, HTTPStatus.TOO_MANY_REQUESTS)


class _BrokenError(Exception):
    """The connection broke or the server is temporarily unavailable: a retry may help."""


@dataclass(frozen=True)
class _Version:
    """The version of a file that a partial download belongs to."""

    size: int  # of the whole file in bytes
    validator: str  # its strong ETag, else its date; empty if the server sends neither


def download(address: str, path: Path, check: Callable[[Path], None], progress: ProgressCallback) -> None:
    """Downloads a file; it appears at `path` only if `check` accepts it.

    Broken connections are retried a few times. After any error the received bytes stay for the next call, except those
    that `check` refuses.

    Args:
        address: http or https URL.
        path: file to write, in an existing folder; no other process may download into it.
        check: raises DataError if the file is not the right one.
        progress: receives the megabytes, rounded up.

    Raises:
        DataError: the address is invalid, the server fails or has no such file, the disk has too little space, or
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
                    f"it resumes after the first {_size(partial) / 1e6:.1f} MB"
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
    """Raises DataError if an address is not an http or https URL."""
    try:
        parts = urlsplit(address)
        if parts.scheme in ("http", "https") and parts.hostname and parts.port != 0:
            return
    except ValueError:  # an invalid port or an unclosed bracket
        pass
    raise DataError(f"{address!r} is not a web address: give one that starts with https:// or http://")


def require_space(folder: Path, needed: int, what: str) -> None:
    """Raises DataError if a folder's disk has fewer than `needed` free bytes."""
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise DataError(
            f"{what} needs {needed / 1e6:,.2f} MB and {folder} has {free / 1e6:,.2f} MB left: "
            "free some space or give another --to"
        )


def _receive(address: str, partial: Path, progress: ProgressCallback) -> None:
    """Downloads the missing rest of a file into `partial`, in one request."""
    version = _read_version(partial)
    done = _size(partial) if version else 0
    if version and done == version.size:
        return  # complete: an earlier call stopped before the check
    with _open(address, version, done) as response:
        if response.status == HTTPStatus.PARTIAL_CONTENT and version:
            if not _continues(response, version, done):
                _forget(partial)
                raise _BrokenError("the file changed while it was fetched")
        else:
            version, done = _version_of(address, response), 0
        require_space(partial.parent, version.size - done, address)
        if done == 0:
            # Remove the old bytes first: they must never be beside the version of the new file.
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
            reason = " ".join(str(error.reason).split())  # the reason of a circular redirect has three lines
            answer = f"the server answers {error.code} {reason}"
        if error.code >= 500 or error.code in PASSING:
            raise _BrokenError(answer) from error
        if error.code == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE and "Range" in headers:
            # The partial file is larger than the server's file: the next request starts again.
            return _open(address, None, 0)
        raise DataError(
            f"{address} cannot be fetched ({answer}): check the address, or give a mirror as --from"
        ) from error
    except (InvalidURL, ValueError) as error:
        raise DataError(f"{address!r} is not a web address ({error}): check it") from error
    except (OSError, HTTPException) as error:
        raise _BrokenError(str(getattr(error, "reason", error)) or type(error).__name__) from error
    assert isinstance(response, HTTPResponse)
    return response


def _opener() -> urllib.request.OpenerDirector:
    """Returns an opener for http and https only; urllib's default would follow a redirect to ftp."""
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
    """Returns whether a partial response is the rest of the partial file."""
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
    # Files with the same weak ETag may differ in bytes; If-Range does not allow it.
    return etag if etag.startswith('"') else str(headers.get("Last-Modified", ""))


def _read_version(partial: Path) -> _Version | None:
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
