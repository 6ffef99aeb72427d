"""The routes under /v1: photographs and crops in, signs out; feedback."""

import asyncio
import time
from collections.abc import Coroutine, Sequence
from dataclasses import asdict
from typing import Annotated, Any, TypeVar

import numpy as np
from fastapi import APIRouter, Depends, Query, Request
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect
from starlette.responses import JSONResponse, Response

from clients.gateway import pictures, problems, schema
from clients.gateway.auth import Keys
from clients.gateway.description import FEEDBACK, IMAGES, answers
from clients.gateway.feedback import Store, parse, with_names
from clients.gateway.limits import Limits
from clients.gateway.problems import NO_FEEDBACK, UNREADABLE, ProblemError
from clients.gateway.settings import Settings
from clients.gateway.uploads import Upload, Uploads
from clients.gateway.upstream import Upstream, milliseconds
from traffic_sign_client import SignClass
from traffic_signs.classes import GERMAN_SIGNS

T = TypeVar("T")
# We have drawings of the German signs; a class of that name has one, whatever its id.
DRAWINGS = {name: f"static/pictograms/{number}.svg" for number, name in enumerate(GERMAN_SIGNS.names)}


class Api:
    """The routes of one gateway.

    Args:
        settings: of the gateway.
        limits: of what is in work.
        uploads: read the bodies.
        upstream: asks Triton.
        store: takes feedback; None takes none.
        keys: of those who may ask; None lets everybody in.
    """

    def __init__(
        self,
        settings: Settings,
        limits: Limits,
        uploads: Uploads,
        upstream: Upstream,
        store: Store | None,
        keys: Keys | None,
    ) -> None:
        self._settings, self._limits, self._uploads = settings, limits, uploads
        self._upstream, self._store = upstream, store

        async def let_in(request: Request) -> None:
            if keys is not None:
                request.state.key = keys.check(request)

        self.router = APIRouter(prefix="/v1", dependencies=[Depends(let_in)])
        add = self.router.add_api_route
        add(
            "/recognize",
            self.recognize,
            methods=["POST"],
            summary="Find and name the signs of photographs",
            openapi_extra=IMAGES,
            responses=answers(schema.Recognition | schema.Recognitions, 400, 408, 413, 415, 422, 429, 502, 503, 504),
        )
        add(
            "/classify",
            self.classify,
            methods=["POST"],
            summary="Name the sign that fills each picture",
            openapi_extra=IMAGES,
            responses=answers(
                schema.Classification | schema.Classifications, 400, 408, 413, 415, 422, 429, 502, 503, 504
            ),
        )
        add(
            "/feedback",
            self.feedback,
            methods=["POST"],
            status_code=201,
            summary="Say what is really in a photograph",
            openapi_extra=FEEDBACK,
            responses=answers(schema.Stored, 400, 404, 408, 413, 415, 422, 429, 502, 503, 504, 507, status=201),
        )
        add(
            "/classes",
            self.classes,
            methods=["GET"],
            summary="The classes that the served models tell apart",
            responses=answers(list[schema.SignClass], 429, 502, 503, 504),
        )

    async def recognize(
        self,
        request: Request,
        threshold: Annotated[
            float | None,
            Query(ge=0, le=1, allow_inf_nan=False, description="Lowest detection score that counts; the model's own."),
        ] = None,
    ) -> Response:
        """Answers one photograph with its signs, many with a result for each, in their order.

        Of many, one that cannot be read has `error` in place of `signs`, and the others are answered.
        """
        started = time.perf_counter()
        with self._limits.admitted() as held:
            uploads = await self._uploads.images(request, held)
            read_ms = milliseconds(time.perf_counter() - started)
            deadline = asyncio.get_running_loop().time() + self._settings.timeout

            async def one(upload: Upload, request_id: str) -> dict[str, Any] | ProblemError:
                try:
                    # The size after the answer: what cannot be read is for the recognizer to judge and to count.
                    timed = await self._upstream.recognize(upload.data, threshold, request_id, deadline)
                    width, height = await pictures.size_of(upload.data)
                except ProblemError as problem:
                    return problem
                timings = {"read_ms": read_ms, "queue_ms": timed.queue_ms, "triton_ms": timed.triton_ms}
                return {"signs": timed.answer, "width": width, "height": height, "timings": timings}

            async def work() -> list[dict[str, Any] | ProblemError]:
                ids = _ids_of(request, len(uploads))
                return await asyncio.gather(*map(one, uploads, ids))

            found, versions = await _while_awaited(request, self._with_versions(work()))
            return _answer(request, uploads, found, versions, started)

    async def classify(
        self,
        request: Request,
        k: Annotated[int, Query(ge=1, description="How many classes of each picture; all, where there are fewer.")] = 5,
    ) -> Response:
        """Answers one picture of one sign with its most probable classes, many with a result for each."""
        started = time.perf_counter()
        with self._limits.admitted() as held:
            uploads = await self._uploads.images(request, held)
            read_ms = milliseconds(time.perf_counter() - started)
            deadline = asyncio.get_running_loop().time() + self._settings.timeout
            request_id = request.state.request_id

            async def work() -> list[dict[str, Any] | ProblemError]:
                side = await self._upstream.crop_size(request_id, deadline)
                read = await asyncio.gather(*(self._crop(upload, side) for upload in uploads))
                crops = [each[0] for each in read if not isinstance(each, ProblemError)]
                if not crops:
                    return [each for each in read if isinstance(each, ProblemError)]
                timed = await self._upstream.classify(np.stack(crops), k, request_id, deadline)
                timings = {"read_ms": read_ms, "queue_ms": timed.queue_ms, "triton_ms": timed.triton_ms}
                rows = iter(timed.answer)
                return [
                    each
                    if isinstance(each, ProblemError)
                    else {"classes": next(rows), "width": each[1][0], "height": each[1][1], "timings": dict(timings)}
                    for each in read
                ]

            found, versions = await _while_awaited(request, self._with_versions(work()))
            return _answer(request, uploads, found, versions, started)

    async def feedback(self, request: Request) -> Response:
        """Stores a photograph and its true signs for the next training: all that are in it, or none.

        When it answers 201, both are on the disk.
        """
        if self._store is None:
            raise ProblemError(
                NO_FEEDBACK, "tell whoever runs it what is wrong; with --feedback FOLDER it would store it"
            )
        with self._limits.admitted() as held:
            files, fields = await self._uploads.form(request, held, most=2)
            image, text = _parts(files, fields)
            form, (width, height) = await pictures.check(image)
            feedback = parse(text, width, height)
            classes = await self._classes(request) if feedback.signs else []
            feedback = with_names(feedback, classes)
            return JSONResponse({"id": await run_in_threadpool(self._store.add, image, form, feedback, classes)}, 201)

    async def classes(self, request: Request) -> Response:
        """Lists the classes by their ids, as the models that are served now have them."""
        found = [asdict(each) | {"drawing": DRAWINGS.get(each.name)} for each in await self._classes(request)]
        return JSONResponse(found)

    async def _classes(self, request: Request) -> list[SignClass]:
        deadline = asyncio.get_running_loop().time() + self._settings.timeout
        return await self._upstream.classes(request.state.request_id, deadline)

    async def _with_versions(self, work: Coroutine[Any, Any, T]) -> tuple[T, dict[str, str]]:
        """Returns what work returns, and the versions that Triton serves, asked for at the same time."""
        found, versions = await asyncio.gather(work, self._upstream.versions())
        return found, versions

    async def _crop(self, upload: Upload, side: int) -> tuple[Any, tuple[int, int]] | ProblemError:
        try:
            return await pictures.crop_of(upload.data, side)
        except ProblemError as problem:
            return problem


def _parts(files: Sequence[tuple[str, Upload]], fields: Sequence[tuple[str, str]]) -> tuple[bytes, str]:
    """Returns the two parts of feedback; the JSON may come as a field or as a file."""
    images = [upload.data for name, upload in files if name == "image"]
    texts = [text for name, text in fields if name == "feedback"]
    texts += [upload.data.decode(errors="replace") for name, upload in files if name == "feedback"]
    if len(images) != 1 or len(texts) != 1 or len(files) + len(fields) != 2:
        raise ProblemError(
            UNREADABLE, "send a form of two parts: `image`, a file with a filename, and `feedback`, its JSON"
        )
    return images[0], texts[0]


def _answer(
    request: Request,
    uploads: Sequence[Upload],
    found: Sequence[dict[str, Any] | ProblemError],
    versions: dict[str, str],
    started: float,
) -> Response:
    """Returns the answer to one picture, or to many; a problem of the server's ends the request as a whole."""
    request_id, results = request.state.request_id, []
    for upload, each in zip(uploads, found, strict=True):
        if isinstance(each, ProblemError):
            if len(uploads) == 1 or each.kind not in (UNREADABLE, problems.TOO_LARGE):
                raise each
            results.append({"image": upload.name, "error": problems.body(each, request_id), "request_id": request_id})
            continue
        each["timings"] = {"total_ms": milliseconds(time.perf_counter() - started), **each["timings"]}
        results.append({"image": upload.name, **each, "models": versions, "request_id": request_id})
    request.state.pictures = len(uploads)
    return JSONResponse(results[0] if len(results) == 1 else {"results": results, "request_id": request_id})


def _ids_of(request: Request, count: int) -> list[str]:
    """Returns what Triton is to call the pictures of a request."""
    base = request.state.request_id
    return [base] if count == 1 else [f"{base}.{number}" for number in range(count)]


async def _while_awaited(request: Request, work: Coroutine[Any, Any, T]) -> T:
    """Returns what work returns; ends it where the caller goes away, so that Triton has no work for nobody.

    Raises:
        ClientDisconnect: the caller went away.
    """
    task = asyncio.ensure_future(work)
    gone = asyncio.ensure_future(_disconnect(request))
    try:
        await asyncio.wait({task, gone}, return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            raise ClientDisconnect
        return task.result()
    finally:
        for each in (task, gone):
            each.cancel()
        await asyncio.gather(task, gone, return_exceptions=True)


async def _disconnect(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
