"""Calls Triton for the gateway: with deadlines, limited concurrency and counted failures."""

import asyncio
import logging
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, nullcontext
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from clients.gateway.limits import LATER, Limits
from clients.gateway.metrics import Metrics
from clients.gateway.problems import (
    NOT_OFFERED,
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
FRESH_S = 10.0  # how long the list of served versions is reused
UNREADABLE_IMAGE = "the image cannot be read"  # start of the recognizer's message
LARGE_IMAGE = f"{UNREADABLE_IMAGE}: it is too large"
logger = logging.getLogger(__name__)


@dataclass
class Timed:
    """A call of Triton: the client's options for it, its answer, and the milliseconds in the queue and in Triton."""

    asking: Asking = field(default_factory=Asking)
    answer: Any = None
    queue_ms: float = 0.0
    triton_ms: float = 0.0


class Upstream:
    """The model server behind a gateway, called over one gRPC channel; without `tracing` calls have no spans."""

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
        self._crop_size, self._asked, self._looking = 0, -FRESH_S, asyncio.Lock()
        self._classes: list[SignClass] = []
        self._classes_of: dict[str, str] | None = None  # the served versions that the classes belong to

    async def close(self) -> None:
        """Ends the connection."""
        await self._client.close()

    async def ready(self) -> dict[str, bool]:
        """Returns whether each needed model is ready.

        The server's own readiness does not count: it is false while any version of any model has failed to load.
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
            threshold: lowest detection score that counts; None for the model's own.
            request_id: request id in Triton's log and traces.
            deadline: deadline for queue and answer, by the event loop's clock.

        Raises:
            ProblemError: there is no answer.
        """
        async with self._asking("infer", self._settings.recognizer, request_id, deadline) as timed:
            found = await self._client.recognize(data, threshold, **timed.asking)
            timed.answer = [asdict(sign) for sign in found]
        return timed

    async def classify(self, crops: npt.NDArray[np.uint8], best: int, request_id: str, deadline: float) -> Timed:
        """Returns the `best` most probable classes of each crop, uint8 [n, size, size, 3], RGB; see `recognize`."""
        async with self._asking("infer", self._settings.classifier, request_id, deadline) as timed:
            found = await self._client.classify(crops, best, **timed.asking)
            timed.answer = [[asdict(each) for each in classes] for classes in found]
        return timed

    async def crop_size(self, request_id: str, deadline: float) -> int:
        """Returns the side of the classifier's input in pixels; raises ProblemError."""
        if not self._crop_size:
            async with self._asking("describe", self._settings.classifier, request_id, deadline):
                self._crop_size = await self._client.input_size()
        return self._crop_size

    async def classes(self, request_id: str, deadline: float) -> list[SignClass]:
        """Returns the classes of the served models, by id; raises ProblemError.

        Triton is called once per version.
        """
        versions = await self.versions()
        if versions != self._classes_of:
            async with self._asking("describe", self._settings.classifier, request_id, deadline) as timed:
                self._classes = await self._client.classes(**timed.asking)
            self._classes_of = dict(versions)
        return self._classes

    async def versions(self) -> dict[str, str]:
        """Returns the newest served version of each model that is needed or called, at most FRESH_S old.

        A model that Triton does not serve is missing; without an answer of Triton the versions are the last known ones.
        """
        now = time.monotonic()
        if now - self._asked >= FRESH_S:
            self._asked = now  # before the answer, so that only one request calls Triton
            async with self._looking:
                await self._look()
        elif not self._versions:
            async with self._looking:  # until that request knows the first ones
                pass
        return self._versions

    async def _look(self) -> None:
        self._crop_size = 0  # it may change with the version
        models = dict.fromkeys((*self._settings.need, self._settings.recognizer, self._settings.classifier))
        try:
            async with asyncio.timeout(READY_TIMEOUT_S):
                versions = await asyncio.gather(*map(self._version, models))
            self._versions = {name: version for name, version in versions if version}
        except (ClientError, TimeoutError) as error:
            logger.warning("versions unknown: %s", error)
            if not self._versions:
                self._asked = -FRESH_S  # the next request asks again

    async def offered(self) -> dict[str, str | None]:
        """Returns the served version of the `recognizer` and of the `classifier`, None for one that is not served.

        Raises:
            ProblemError: neither is served, as far as Triton answers.
        """
        versions = await self.versions()
        called = {"recognizer": self._settings.recognizer, "classifier": self._settings.classifier}
        offered = {role: versions.get(_name_of(model)) for role, model in called.items()}
        if not any(offered.values()):
            raise ProblemError(NOT_SERVED, "no model is known to be served: start Triton with one, and try again")
        return offered

    async def _version(self, model: str) -> tuple[str, str]:
        name, _, pinned = model.partition("/")
        try:
            numbers = (await self._client.metadata(name)).get("versions", [])
        except UnknownModelError:  # the versions of the other models are still known
            return name, ""
        if pinned:
            return name, pinned if pinned in numbers else ""
        return name, str(max(map(int, numbers))) if numbers else ""

    @asynccontextmanager
    async def _asking(self, what: str, model: str, request_id: str, deadline: float) -> AsyncIterator[Timed]:
        """Waits for a turn, measures the call and turns errors into problems."""
        timed, begun = Timed(), time.perf_counter()
        async with self._limits.turn(deadline):
            started = time.perf_counter()
            timed.queue_ms = milliseconds(started - begun)
            try:
                with self._tracing.question(what, model, request_id) if self._tracing else nullcontext():
                    headers = self._tracing.headers() if self._tracing else {}
                    left = deadline - asyncio.get_running_loop().time()
                    timed.asking = {"request_id": request_id, "timeout": left, "headers": headers}
                    async with asyncio.timeout_at(deadline):
                        yield timed
            except (ClientError, TimeoutError) as error:
                raise self._problem(error, model, request_id) from error
            finally:
                timed.triton_ms = milliseconds(time.perf_counter() - started)

    def _problem(self, error: ClientError | TimeoutError, model: str, request_id: str) -> ProblemError:
        """Returns the problem for an error; it hides the address of Triton, which is in the log."""
        said = str(error).partition(" answers: ")[2] or str(error)
        if isinstance(error, RefusedError) and said.startswith(UNREADABLE_IMAGE):
            if said.startswith(LARGE_IMAGE):
                return ProblemError(TOO_LARGE, f"{said}: scale it down")
            return ProblemError(UNREADABLE, said)
        if isinstance(error, UnknownModelError) and _name_of(model) not in map(_name_of, self._settings.need):
            # Without it the gateway is complete, so this is no failure of ours.
            return ProblemError(
                NOT_OFFERED, "the model is not served here: use one in /v1/models, or ask for its release"
            )
        logger.warning("Triton failed: %s", error or "no answer in time", extra={"request_id": request_id})
        if isinstance(error, TimedOutError | TimeoutError):
            reason, kind = "deadline_exceeded", TIMEOUT
            detail = f"the models did not answer within {self._settings.timeout:g} s: {LATER}"
        elif isinstance(error, OverloadedError):
            reason, kind, detail = "overloaded", OVERLOADED, f"the queues of the models are full: {LATER}"
        elif isinstance(error, UnknownModelError):
            reason, kind = "unknown_model", NOT_SERVED
            detail = "the model for this request is not served: publish it and try again"
            detail += "; a picture of one sign needs only the classifier"
        elif isinstance(error, UnavailableError):
            reason, kind = "unavailable", UNAVAILABLE
            detail = "the model server does not answer: try again after the seconds in Retry-After"
        else:
            reason, kind = "other", UPSTREAM
            detail = "the model server answered with an error: see its log and the gateway's"
        self._metrics.failures.labels(reason).inc()
        return ProblemError(kind, detail)


def _name_of(model: str) -> str:
    """Returns the name of a model without its version."""
    return model.partition("/")[0]


def milliseconds(seconds: float) -> float:
    """Returns a duration in milliseconds, with two decimals."""
    return round(seconds * 1000, 2)
