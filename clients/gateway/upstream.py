"""Asks Triton for the gateway: in time, a bounded number of questions at once, every failure counted."""

import asyncio
import logging
import time
from collections.abc import AsyncIterator
from contextlib import AbstractContextManager, asynccontextmanager, nullcontext
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from clients.gateway.limits import LATER, Limits
from clients.gateway.metrics import Metrics
from clients.gateway.problems import (
    NOT_SERVED,
    OVERLOADED,
    TIMEOUT,
    TOO_LARGE,
    UNAVAILABLE,
    UNREADABLE,
    UPSTREAM,
    ProblemError,
)
from clients.gateway.settings import Settings
from traffic_sign_client import AsyncSignClient, SignClass
from traffic_sign_client.connection import Asking
from traffic_sign_client.errors import (
    ClientError,
    OverloadedError,
    RefusedError,
    TimedOutError,
    UnavailableError,
    UnknownModelError,
)

if TYPE_CHECKING:
    from clients.gateway.tracing import Tracing

READY_TIMEOUT_S = 2.0
FRESH_S = 10.0  # how long the versions count that Triton has told of
UNREADABLE_IMAGE = "the image cannot be read"  # as the recognizer begins
LARGE_IMAGE = f"{UNREADABLE_IMAGE}: it is too large"
logger = logging.getLogger(__name__)


@dataclass
class Timed:
    """What was answered, and the milliseconds it took to get a turn and to be answered."""

    answer: Any = None
    queue_ms: float = 0.0
    triton_ms: float = 0.0


class Upstream:
    """The model server behind a gateway, asked over one gRPC channel.

    Args:
        settings: say where it is and which models are asked.
        limits: give turns.
        metrics: count what fails.
        tracing: makes a span of each question; None makes none.
    """

    def __init__(self, settings: Settings, limits: Limits, metrics: Metrics, tracing: "Tracing | None") -> None:
        self._settings, self._limits, self._metrics, self._tracing = settings, limits, metrics, tracing
        self._client = AsyncSignClient(
            settings.url,
            classifier=settings.classifier,
            recognizer=settings.recognizer,
            timeout=settings.timeout,
            retries=settings.retries,
            tls=settings.tls_authority or settings.tls,
            client_certificate=settings.client_certificate,
        )
        self._versions: dict[str, str] = {}
        self._crop_size, self._asked = 0, -FRESH_S
        self._classes: list[SignClass] = []
        self._classes_of: dict[str, str] | None = None  # the versions that were served when the classes were asked for

    async def close(self) -> None:
        """Ends the connection."""
        await self._client.close()

    async def ready(self) -> dict[str, bool]:
        """Asks for each model that is needed whether it takes requests.

        The server's own readiness is not asked: it stays false for as long as any version of any model has failed to
        load, while the others answer.
        """
        names = self._settings.need

        async def asked(name: str) -> bool:
            try:
                async with asyncio.timeout(READY_TIMEOUT_S):
                    return await self._client.ready(name)
            except TimeoutError:
                return False

        return dict(zip(names, await asyncio.gather(*map(asked, names)), strict=True))

    async def recognize(self, data: bytes, threshold: float | None, request_id: str, deadline: float) -> Timed:
        """Returns the signs of a photograph, as `signs predict --json` prints them.

        Args:
            data: an image file.
            threshold: lowest detection score that counts, or None for the model's own.
            request_id: for Triton's log and traces.
            deadline: of the event loop's clock, for the wait and the answer.

        Raises:
            ProblemError: there is no answer.
        """
        async with self._asking("infer", self._settings.recognizer, request_id, deadline) as timed:
            found = await self._client.recognize(data, threshold, **self._how(request_id, deadline))
            timed.answer = [asdict(sign) for sign in found]
        return timed

    async def classify(self, crops: npt.NDArray[np.uint8], best: int, request_id: str, deadline: float) -> Timed:
        """Returns the most probable classes of pictures of one sign each.

        Args:
            crops: uint8 [n, size, size, 3], RGB.
            best: how many classes of each.
            request_id: see `recognize`.
            deadline: likewise.

        Raises:
            ProblemError: there is no answer.
        """
        async with self._asking("infer", self._settings.classifier, request_id, deadline) as timed:
            found = await self._client.classify(crops, best, **self._how(request_id, deadline))
            timed.answer = [[asdict(each) for each in classes] for classes in found]
        return timed

    async def crop_size(self, request_id: str, deadline: float) -> int:
        """Returns the side of the classifier's input in pixels; raises ProblemError."""
        if not self._crop_size:
            async with self._asking("describe", self._settings.classifier, request_id, deadline):
                self._crop_size = await self._client.input_size()
        return self._crop_size

    async def classes(self, request_id: str, deadline: float) -> list[SignClass]:
        """Returns the classes that the served models tell apart, by id; raises ProblemError.

        Triton is asked once for each version: without it, those that are known count on.
        """
        versions = await self.versions()
        if versions != self._classes_of:
            async with self._asking("describe", self._settings.classifier, request_id, deadline):
                self._classes = await self._client.classes(**self._how(request_id, deadline))
            self._classes_of = dict(versions)
        return self._classes

    async def versions(self) -> dict[str, str]:
        """Returns the newest version of each needed model that Triton serves, as it was in the last seconds."""
        now = time.monotonic()
        if now - self._asked >= FRESH_S:
            self._asked = now  # before the answer is there, so that one request asks and not all
            self._crop_size = 0  # it may change with the version
            try:
                async with asyncio.timeout(READY_TIMEOUT_S):
                    told = await asyncio.gather(*(self._version(name) for name in self._settings.need))
                self._versions = {name: version for name, version in told if version}
            except (ClientError, TimeoutError) as error:
                logger.warning("versions unknown: %s", error)
        return self._versions

    async def _version(self, model: str) -> tuple[str, str]:
        name, _, version = model.partition("/")
        if version:
            return name, version
        try:
            numbers = (await self._client.metadata(name)).get("versions", [])
        except UnknownModelError:  # where only the classifier is served, its version is known all the same
            return name, ""
        return name, str(max(map(int, numbers))) if numbers else ""

    @asynccontextmanager
    async def _asking(self, what: str, model: str, request_id: str, deadline: float) -> AsyncIterator[Timed]:
        """Waits for a turn and explains what goes wrong in it."""
        timed, begun = Timed(), time.perf_counter()
        async with self._limits.turn(deadline):
            started = time.perf_counter()
            timed.queue_ms = milliseconds(started - begun)
            try:
                with self._span(what, model, request_id):
                    async with asyncio.timeout_at(deadline):
                        yield timed
            except (ClientError, TimeoutError) as error:
                raise self._problem(error, request_id) from error
            finally:
                timed.triton_ms = milliseconds(time.perf_counter() - started)

    def _span(self, what: str, model: str, request_id: str) -> AbstractContextManager[None]:
        return self._tracing.question(what, model, request_id) if self._tracing else nullcontext()

    def _how(self, request_id: str, deadline: float) -> Asking:
        left = deadline - asyncio.get_running_loop().time()
        headers = self._tracing.headers() if self._tracing else {}
        return {"request_id": request_id, "timeout": left, "headers": headers}

    def _problem(self, error: ClientError | TimeoutError, request_id: str) -> ProblemError:
        """Returns what to tell of a failure: nothing of where Triton is, which the log has."""
        said = str(error).partition(" answers: ")[2] or str(error)
        if isinstance(error, RefusedError) and said.startswith(UNREADABLE_IMAGE):
            if said.startswith(LARGE_IMAGE):
                return ProblemError(TOO_LARGE, f"{said}: scale it down")
            return ProblemError(UNREADABLE, said)
        self._metrics.failed(error)
        logger.warning("Triton failed: %s", error or "no answer in time", extra={"request_id": request_id})
        if isinstance(error, TimedOutError | TimeoutError):
            return ProblemError(TIMEOUT, f"the models did not answer within {self._settings.timeout:g} s: {LATER}")
        if isinstance(error, OverloadedError):
            return ProblemError(OVERLOADED, f"the models have as many requests waiting as they take: {LATER}")
        if isinstance(error, UnknownModelError):
            return ProblemError(
                NOT_SERVED,
                "the model that answers this is not served: have it published and ask later; for a picture that one "
                "sign fills the classifier is enough",
            )
        if isinstance(error, UnavailableError):
            return ProblemError(UNAVAILABLE, "the model server does not answer: ask again after the seconds given")
        return ProblemError(UPSTREAM, "the model server answered with an error: its log and the gateway's have it")


def milliseconds(seconds: float) -> float:
    """Returns a duration as answers give it."""
    return round(seconds * 1000, 2)
