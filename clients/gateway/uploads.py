"""Reads uploads within the limits."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from starlette.datastructures import UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import Request

from clients.gateway.limits import Hold
from clients.gateway.metrics import Metrics
from clients.gateway.problems import SLOW_UPLOAD, TOO_LARGE, UNREADABLE, WRONG_TYPE, ProblemError
from clients.gateway.settings import MEBIBYTE, Settings

IMAGE, FORM, BYTES = "image/", "multipart/form-data", "application/octet-stream"
IMAGE_PART = "image"
MOST_FIELDS, FIELD_BYTES = 4, 256 << 10


@dataclass(frozen=True)
class Upload:
    """The bytes of a file, and its name if the sender gave one."""

    data: bytes
    name: str | None = None


class Uploads:
    """Reads the bodies of requests."""

    def __init__(self, settings: Settings, metrics: Metrics) -> None:
        self._settings, self._metrics = settings, metrics
        self._most = settings.max_upload * MEBIBYTE

    async def images(self, request: Request, hold: Hold) -> list[Upload]:
        """Reads a picture, or a form's parts `image`; raises ProblemError if it is none, too large or too slow."""
        kind = _type_of(request)
        if kind.startswith(IMAGE) or kind == BYTES:
            async with self._in_time():
                data = b"".join([chunk async for chunk in self._body(request, hold)])
            if not data:
                raise ProblemError(UNREADABLE, "the body is empty: send the bytes of an image file")
            return [Upload(data)]
        if kind != FORM:
            raise ProblemError(
                WRONG_TYPE,
                f"Content-Type is {kind[:100] or 'missing'}: send an image file as image/jpeg (or png, webp, bmp, "
                f"x-portable-pixmap) or {BYTES}, or a form as {FORM} with the part `image`",
            )
        files, fields = await self.form(request, hold, self._settings.max_images)
        if fields or not files or any(name != IMAGE_PART for name, _ in files):
            raise ProblemError(
                UNREADABLE, "send each picture as a file in a part named `image`, with a filename, and nothing else"
            )
        return [upload for _, upload in files]

    async def form(
        self, request: Request, hold: Hold, most: int
    ) -> tuple[list[tuple[str, Upload]], list[tuple[str, str]]]:
        """Reads a form; returns its files and its other fields, each with the name of the part.

        Raises:
            ProblemError: the upload is not a form, has more than `most` files, or is too large or too slow.
        """
        if (kind := _type_of(request)) != FORM:
            raise ProblemError(WRONG_TYPE, f"Content-Type is {kind[:100] or 'missing'}: send a form as {FORM}")
        parser = MultiPartParser(
            request.headers,
            self._body(request, hold),
            max_files=most,
            max_fields=MOST_FIELDS,
            max_part_size=FIELD_BYTES,
        )
        parser.spool_max_size = self._most + 1  # in memory: the disk may be full or missing
        try:
            async with self._in_time():
                parsed = await parser.parse()
        except MultiPartException as error:
            problem, advice = UNREADABLE, "send it as multipart/form-data with a boundary"
            if error.message.startswith(("Too many", "Part exceeded")):
                problem, advice = TOO_LARGE, f"send at most {most} files, and no more fields than /docs shows"
            raise ProblemError(problem, f"{error.message} {advice}") from None
        except (LookupError, ValueError) as error:  # of an unknown charset
            raise ProblemError(UNREADABLE, f"the form cannot be read ({error}): send it as UTF-8") from None
        files: list[tuple[str, Upload]] = []
        fields: list[tuple[str, str]] = []
        for name, value in parsed.multi_items():
            if isinstance(value, UploadFile):
                files.append((name, Upload(await value.read(), _shown(value.filename))))
                await value.close()
            else:
                fields.append((name, value))
        return files, fields

    async def _body(self, request: Request, hold: Hold) -> AsyncGenerator[bytes, None]:
        declared, most, received = request.headers.get("content-length", ""), self._most, 0
        if declared.isdecimal() and int(declared) > most:
            raise _too_large(most)
        try:
            async for chunk in request.stream():
                received += len(chunk)
                if received > most:
                    raise _too_large(most)
                hold(len(chunk))
                yield chunk
        finally:
            self._metrics.uploads.observe(received)

    @asynccontextmanager
    async def _in_time(self) -> AsyncIterator[None]:
        try:
            async with asyncio.timeout(self._settings.upload_timeout):
                yield
        except TimeoutError:
            seconds = f"{self._settings.upload_timeout:g}"
            raise ProblemError(
                SLOW_UPLOAD, f"the upload took more than {seconds} s: send smaller pictures, or use a faster connection"
            ) from None


def _type_of(request: Request) -> str:
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


def _too_large(most: int) -> ProblemError:
    return ProblemError(
        TOO_LARGE, f"the body is larger than {most} bytes: send smaller pictures, or fewer in one request"
    )


def _shown(name: str | None) -> str | None:
    """Returns a file's name that can be sent back: valid UTF-8 of at most 255 characters."""
    return name.encode(errors="replace").decode()[:255] if name else None
