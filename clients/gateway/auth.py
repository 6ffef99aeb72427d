"""API keys: generated here, stored as hashes, compared in constant time.

A key has 256 random bits and cannot be guessed, so SHA-256 is enough; slow hashes are for passwords of people.
"""

import hashlib
import hmac
import logging
import re
import secrets
from pathlib import Path

from starlette.requests import Request

from clients.gateway.problems import UNAUTHORIZED, ProblemError
from traffic_sign_client.errors import ClientError

LINE = re.compile(r"(?P<name>[A-Za-z0-9_.@-]{1,64}) sha256:(?P<hash>[0-9a-f]{64})")
ADVICE = "add a line with `signs gateway --new-key NAME >> FILE`"
logger = logging.getLogger(__name__)


def new_key() -> str:
    """Returns a new key."""
    return f"signs_{secrets.token_urlsafe(32)}"


def line_of(name: str, key: str) -> str:
    """Returns the key file's line for a key; raises ClientError if the name is too long or has other characters."""
    line = f"{name} sha256:{_hash(key).hex()}"
    if not LINE.fullmatch(line):
        raise ClientError(f"{name!r} cannot be the name of a key: use 1 to 64 of A-Z a-z 0-9 _ . @ -")
    return line


class Keys:
    """The keys of a file, reloaded when it changes, so that a key can be revoked at once.

    The file has lines `NAME sha256:HASH`, empty lines and comments with #.

    Raises:
        ClientError: the file cannot be read, or has an invalid line or no key.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._seen = self._state()
        self._hashes = self._read()

    def check(self, request: Request) -> str:
        """Returns the name of a request's key; raises ProblemError if it has no key, or an unknown one."""
        self._reload()
        offered = _offered(request)
        if not offered:
            raise ProblemError(UNAUTHORIZED, "send a key in the header `Authorization: Bearer KEY` or `X-API-Key: KEY`")
        digest, found = _hash(offered), ""
        for name, known in self._hashes.items():  # all of them, so that the time does not depend on the key
            if hmac.compare_digest(digest, known):
                found = name
        if not found:
            raise ProblemError(UNAUTHORIZED, "the key is unknown: ask the operator of this gateway for one")
        return found

    def _reload(self) -> None:
        """Reads the file again if it has changed; if it is invalid or missing, the old keys stay."""
        state = self._state()
        if state != self._seen:
            self._seen = state
            try:
                self._hashes = self._read()
            except ClientError as error:
                logger.error("the old keys stay valid: %s", error)

    def _state(self) -> tuple[int, ...]:
        """Returns values that change with the file; () if there is no file."""
        try:
            state = self._path.stat()
        except OSError:
            return ()
        return state.st_mtime_ns, state.st_size, state.st_ino

    def _read(self) -> dict[str, bytes]:
        try:
            lines = self._path.read_text(encoding="utf-8").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise ClientError(f"{self._path} cannot be read ({error}): {ADVICE}") from error
        hashes: dict[str, bytes] = {}
        for number, line in enumerate(map(str.strip, lines), start=1):
            if not line or line.startswith("#"):
                continue
            match = LINE.fullmatch(line)
            if match is None or match["name"] in hashes:  # the line itself is not shown: it may be a key
                raise ClientError(
                    f"{self._path}, line {number}: this is not `NAME sha256:HASH` with a unique name: {ADVICE}"
                )
            hashes[match["name"]] = bytes.fromhex(match["hash"])
        if not hashes:
            raise ClientError(f"{self._path} has no key: {ADVICE}")
        return hashes


def _offered(request: Request) -> str:
    scheme, _, key = request.headers.get("authorization", "").partition(" ")
    return key.strip() if scheme.lower() == "bearer" else request.headers.get("x-api-key", "").strip()


def _hash(key: str) -> bytes:
    return hashlib.sha256(key.encode()).digest()
