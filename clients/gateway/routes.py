"""The routes under /v1."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import asdict
from typing import Annotated, Any, TypeVar

import numpy as np
from fastapi import APIRouter, Depends, Query, Request
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect
from starlette.responses import JSONResponse, Response

from clients.gateway import pictures, schema
from clients.gateway.auth import Keys
from clients.gateway.description import FEEDBACK, IMAGES, answers
from clients.gateway.feedback import Store, parse, with_names
from clients.gateway.limits import Limits
from clients.gateway.problems import NO_FEEDBACK, TOO_LARGE, UNFITTING, UNREADABLE, ProblemError, body
from clients.gateway.settings import Settings
from clients.gateway.uploads import Upload, Uploads
from clients.gateway.upstream import Timed, Upstream, milliseconds
from traffic_sign_client import SignClass
from traffic_signs.classes import GERMAN_SIGNS

T = TypeVar("T")
OF_TRITON = (404, 422, 429, 502, 503, 504)  # statuses of the problems
OF_UPLOADS = (400, 408, 413, 415, *OF_TRITON)
Result = dict[str, Any] | BaseException  # for one picture
# We have drawings of the German signs; a class of the same name has one, whatever its id.
DRAWINGS = {name: f"static/pictograms/{number}.svg" for number, name in enumerate(GERMAN_SIGNS.names)}


class Api:
    """The routes of one gateway; without `store` it takes no feedback, without `keys` no key is needed."""

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

        async def check_key(request: Request) -> None:
            if keys is not None:
                request.state.key = keys.check(request)

        self.router = APIRouter(prefix="/v1", dependencies=[Depends(check_key), Depends(_check_query)])
        self.router.post(
            "/recognize",
            summary="Find and name the signs of photographs",
            openapi_extra=IMAGES,
            responses=answers(schema.Recognition | schema.Recognitions, *OF_UPLOADS),
        )(self.recognize)
        self.router.post(
            "/classify",
            summary="Name the sign of each picture of one sign",
            openapi_extra=IMAGES,
            responses=answers(schema.Classification | schema.Classifications, *OF_UPLOADS),
        )(self.classify)
        self.router.post(
            "/feedback",
            status_code=201,
            summary="Send the true signs of a photograph",
            openapi_extra=FEEDBACK,
            responses=answers(schema.Stored, *OF_UPLOADS, 507, status=201),
        )(self.feedback)
        self.router.get(
            "/classes",
            summary="The classes of the served models",
            responses=answers(list[schema.SignClass], *OF_TRITON),
        )(self.classes)
        self.router.get(
            "/models",
            summary="The served versions of the models",
            responses=answers(schema.Offered, 422, 503),
        )(self.models)

    async def recognize(
        self,
        request: Request,
        score_threshold: Annotated[
            float | None,
            Query(ge=0, le=1, allow_inf_nan=False, description="Lowest detection score; default: the model's own."),
        ] = None,
    ) -> Response:
        """Answers a photograph with its signs, or several with a result for each, in their order.

        Of several, one that cannot be read has `error` instead of `signs`.
        """

        async def one(upload: Upload, request_id: str, deadline: float) -> dict[str, Any]:
            # The size after the answer: the recognizer reports and counts what cannot be read.
            timed = await self._upstream.recognize(upload.data, score_threshold, request_id, deadline)
            return _result("signs", timed.answer, await pictures.size_of(upload.data), timed)

        async def work(uploads: Sequence[Upload], deadline: float) -> list[Result]:
            base, count = request.state.request_id, len(uploads)
            ids = [base] if count == 1 else [f"{base}.{number}" for number in range(count)]
            ones = (one(*each, deadline) for each in zip(uploads, ids, strict=True))
            return await asyncio.gather(*ones, return_exceptions=True)

        return await self._answer(request, work)

    async def classify(
        self,
        request: Request,
        k: Annotated[int, Query(ge=1, description="Number of classes per picture, at most all.")] = 5,
    ) -> Response:
        """Answers a picture of one sign with its most probable classes, or several with a result for each."""

        async def work(uploads: Sequence[Upload], deadline: float) -> list[Result]:
            request_id = request.state.request_id
            side = await self._upstream.crop_size(request_id, deadline)
            reads = (pictures.crop_of(upload.data, side) for upload in uploads)
            read = await asyncio.gather(*reads, return_exceptions=True)
            crops = [each[0] for each in read if not isinstance(each, BaseException)]
            if not crops:
                return [each for each in read if isinstance(each, BaseException)]
            timed = await self._upstream.classify(np.stack(crops), k, request_id, deadline)
            rows = iter(timed.answer)
            return [
                each if isinstance(each, BaseException) else _result("classes", next(rows), each[1], timed)
                for each in read
            ]

        return await self._answer(request, work)

    async def feedback(self, request: Request) -> Response:
        """Stores a photograph and its true signs, all or none, for the next training.

        After the answer 201 both are on disk.
        """
        if self._store is None:
            raise ProblemError(NO_FEEDBACK, "its operator has to start it with --feedback FOLDER")
        with self._limits.admitted() as hold:
            files, fields = await self._uploads.form(request, hold, most=2)
            image, text = _parts(files, fields)
            form, (width, height) = await pictures.check(image)
            feedback = parse(text, width, height)
            classes = await self._classes(request) if feedback.signs else []
            feedback = with_names(feedback, classes)
            return JSONResponse({"id": await run_in_threadpool(self._store.add, image, form, feedback, classes)}, 201)

    async def classes(self, request: Request) -> Response:
        """Lists the classes of the served models by their ids."""
        found = [asdict(each) | {"drawing": DRAWINGS.get(each.name)} for each in await self._classes(request)]
        return JSONResponse(found)

    async def models(self) -> Response:
        """Returns which models are served, and so whether photographs, or only pictures of one sign, are answered."""
        return JSONResponse(await self._upstream.offered())

    async def _classes(self, request: Request) -> list[SignClass]:
        return await self._upstream.classes(request.state.request_id, self._deadline())

    def _deadline(self) -> float:
        return asyncio.get_running_loop().time() + self._settings.timeout

    async def _answer(
        self, request: Request, work: Callable[[Sequence[Upload], float], Awaitable[list[Result]]]
    ) -> Response:
        """Reads the pictures of a request and answers with the results of `work`, which gets them and the deadline."""
        started = time.perf_counter()
        with self._limits.admitted() as hold:
            uploads = await self._uploads.images(request, hold)
            read_ms = milliseconds(time.perf_counter() - started)
            both = asyncio.gather(work(uploads, self._deadline()), self._upstream.versions())
            found, versions = await _while_connected(request, both)
        request_id, results = request.state.request_id, []
        for upload, each in zip(uploads, found, strict=True):
            if isinstance(each, BaseException):
                if len(uploads) == 1 or not isinstance(each, ProblemError) or each.kind not in (UNREADABLE, TOO_LARGE):
                    raise each
                results.append({"image": upload.name, "error": body(each, request_id), "request_id": request_id})
                continue
            total_ms = milliseconds(time.perf_counter() - started)
            each["timings"] = {"total_ms": total_ms, "read_ms": read_ms, **each["timings"]}
            results.append({"image": upload.name, **each, "models": versions, "request_id": request_id})
        request.state.pictures = len(uploads)
        return JSONResponse(results[0] if len(results) == 1 else {"results": results, "request_id": request_id})


async def _check_query(request: Request) -> None:
    """Raises ProblemError for a parameter that the route does not have, or twice: one would have no effect."""
    known = [each.alias for each in request.scope["route"].dependant.query_params]
    for name in request.query_params:
        if name not in known:
            advice = f"use {' or '.join(known)}" if known else "leave it out"
            raise ProblemError(UNFITTING, f"query.{name[:100]}: there is no such parameter here: {advice}; see /docs")
        if len(request.query_params.getlist(name)) > 1:
            raise ProblemError(UNFITTING, f"query.{name}: it is there more than once: give one")


def _parts(files: Sequence[tuple[str, Upload]], fields: Sequence[tuple[str, str]]) -> tuple[bytes, str]:
    """Returns the image and the JSON of feedback; the JSON may be a field or a file."""
    images = [upload.data for name, upload in files if name == "image"]
    texts = [text for name, text in fields if name == "feedback"]
    texts += [upload.data.decode(errors="replace") for name, upload in files if name == "feedback"]
    if len(images) != 1 or len(texts) != 1 or len(files) + len(fields) != 2:
        raise ProblemError(
            UNREADABLE, "send a form of two parts: `image`, a file with a filename, and `feedback`, its JSON"
        )
    return images[0], texts[0]


def _result(name: str, answer: Any, size: tuple[int, int], timed: Timed) -> dict[str, Any]:
    timings = {"queue_ms": timed.queue_ms, "triton_ms": timed.triton_ms}
    return {name: answer, "width": size[0], "height": size[1], "timings": timings}


async def _while_connected(request: Request, work: Awaitable[T]) -> T:
    """Returns the result of `work`; cancels it and raises ClientDisconnect if the caller disconnects."""
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
