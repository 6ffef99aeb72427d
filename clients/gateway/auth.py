"""API keys: made here, kept as hashes, compared in constant time.

A key is 256 bits of chance, so that no one finds it by trying, and one plain SHA-256 guards it as well as a slow hash
would: those are for passwords, which people think up.
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
ADVICE = "make lines for it with `signs gateway --new-key NAME >> FILE`"
logger = logging.getLogger(__name__)


def new_key() -> str:
    """Returns a new key."""
    return f"signs_{secrets.token_urlsafe(32)}"


def line_of(name: str, key: str) -> str:
    """Returns what the file of keys says of a key.

    Raises:
        ClientError: the name makes no such line.
    """
    line = f"{name} sha256:{_hash(key).hex()}"
    if not LINE.fullmatch(line):
        raise ClientError(f"{name!r} is no name for a key: take 1 to 64 of A-Z a-z 0-9 _ . @ -")
    return line


class Keys:
    """The keys of a file, read again when it changes, so that a key can be taken back at once.

    Args:
        path: of the file: lines `NAME sha256:HASH`, empty ones and comments with #.

    Raises:
        ClientError: the file cannot be read, holds something else or no key.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._seen = self._state()
        self._hashes = self._read()

    def check(self, request: Request) -> str:
        """Returns the name of the key that a request comes with.

        Raises:
            ProblemError: it has none that is known.
        """
        self._follow()
        offered = _offered(request)
        if not offered:
            raise ProblemError(UNAUTHORIZED, "send a key in the header `Authorization: Bearer KEY` or `X-API-Key: KEY`")
        digest, found = _hash(offered), ""
        for name, known in self._hashes.items():  # to the end: the time tells nothing of which fits
            if hmac.compare_digest(digest, known):
                found = name
        if not found:
            raise ProblemError(UNAUTHORIZED, "the key is not known here: ask whoever runs this gateway for one")
        return found

    def _follow(self) -> None:
        """Reads the file again where it has changed; one that is broken or gone changes nothing."""
        state = self._state()
        if state != self._seen:
            self._seen = state
            try:
                self._hashes = self._read()
            except ClientError as error:
                logger.error("the old keys go on: %s", error)

    def _state(self) -> tuple[int, ...]:
        """Returns what changes with the file; nothing where there is none."""
        try:
            told = self._path.stat()
        except OSError:
            return ()
        return told.st_mtime_ns, told.st_size, told.st_ino

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
                    f"{self._path}, line {number}: no `NAME sha256:HASH` with a name of its own: {ADVICE}"
                )
            hashes[match["name"]] = bytes.fromhex(match["hash"])
        if not hashes:
            raise ClientError(f"{self._path} holds no key: {ADVICE}")
        return hashes


def _offered(request: Request) -> str:
    scheme, _, key = request.headers.get("authorization", "").partition(" ")
    return key.strip() if scheme.lower() == "bearer" else request.headers.get("x-api-key", "").strip()


def _hash(key: str) -> bytes:
    return hashlib.sha256(key.encode()).digest()
