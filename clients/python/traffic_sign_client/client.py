"""The clients: photographs or crops in, named signs out.

`SignClient` runs the methods of `AsyncSignClient` in its own event loop. tritonclient's blocking HTTP client is bound
to the thread that made it, leaks files in others, and has no timeout for a single request.
"""

import asyncio
import contextlib
import functools
import threading
import weakref
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterable, Callable, Coroutine, Generator, Iterable
from concurrent.futures import CancelledError, Future
from typing import Any, Concatenate, ParamSpec, Self, TypeVar, Unpack

import numpy as np
import numpy.typing as npt

from traffic_sign_client.answers import RECOGNIZER_OUTPUTS, Photograph, Prediction, Sign, SignClass, encoded
from traffic_sign_client.connection import Asking, Connection, Options
from traffic_sign_client.errors import ClientError, NotServedError, RefusedError, UnknownModelError

CROPS, PROBABILITIES, PHOTOGRAPH = "images", "probabilities", "image"
MOST_CLASSES = 2**31 - 1  # most that a request can name; Triton answers with as many as there are
CATEGORIES = "class_categories"  # parameter of the recognizer: a line for each class
CONCURRENCY = 8  # concurrent requests, enough for the server to fill batches

Crops = npt.NDArray[np.uint8]
Answer = list[Sign] | RefusedError
P = ParamSpec("P")
T = TypeVar("T")


class AsyncSignClient(Options):
    """Client for one event loop; any number of tasks may share it.

    >>> import asyncio
    >>> from traffic_sign_client import AsyncSignClient
    >>> async def names(path):
    ...     async with AsyncSignClient("localhost:8001") as client:
    ...         return [sign.name for sign in await client.recognize(path)]
    >>> print(asyncio.run(names("street.jpg")))

    Arguments and errors are those of `SignClient`. Tasks may be cancelled.
    """

    def __post_init__(self) -> None:
        self._server = Connection(**vars(self))
        self._side = self._batch = 0  # of the classifier's input in pixels, and how many it takes at once

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exception: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Frees shared memory and ends the connection; a caller that still waits for an answer gets a ClientError."""
        await self._server.close()

    async def ready(self, model: str = "") -> bool:
        """Returns whether the server, or one of its models, is ready; False also if there is no answer."""
        return await self._server.ready(model)

    async def metadata(self, model: str = "") -> dict[str, Any]:
        """Returns the metadata of the server, or of a model: its versions, inputs and outputs."""
        metadata = await self._server.describe("metadata", model)
        for tensor in [*metadata.get("inputs", ()), *metadata.get("outputs", ())]:
            tensor["shape"] = [int(side) for side in tensor["shape"]]  # over gRPC large numbers are strings
        return metadata

    async def input_size(self) -> int:
        """Returns the height and width in pixels of the classifier's input."""
        config = await self._server.describe("config", self.classifier)
        if [entry["name"] for entry in config.get("input", ())] != [CROPS]:
            raise ClientError(f"{self.classifier} at {self.url} is not a sign classifier: name one")
        self._side, self._batch = int(config["input"][0]["dims"][0]), max(1, int(config.get("max_batch_size", 0)))
        return self._side

    async def classes(self, **asking: Unpack[Asking]) -> list[SignClass]:
        """Returns the served classes in the order of their ids.

        It classifies a black crop, because Triton gives the labels only with answers. The categories are a parameter of
        the recognizer; without one they are empty. Arguments and errors are those of `probabilities`.
        """
        side = await self.input_size()
        (best,) = await self.classify(np.zeros((1, side, side, 3), np.uint8), MOST_CLASSES, **asking)
        categories = await self._categories()
        if len(categories) != len(best):  # a recognizer of other classes, or without the parameter
            categories = [""] * len(best)
        ordered = sorted(best, key=lambda each: each.class_id)
        return [
            SignClass(each.class_id, each.name, category) for each, category in zip(ordered, categories, strict=True)
        ]

    async def _categories(self) -> list[str]:
        try:
            config = await self._server.describe("config", self.recognizer)
        except UnknownModelError:
            return []
        parameter: str = config.get("parameters", {}).get(CATEGORIES, {}).get("string_value", "")
        return parameter.split("\n")

    async def probabilities(self, images: Crops, **asking: Unpack[Asking]) -> npt.NDArray[np.float32]:
        """Classifies crops and returns every class's probability.

        Args:
            images: uint8 [n, input_size, input_size, 3], RGB; any n, sent in batches of the server's size.
            asking: `request_id` in the server's log and traces; `timeout` of a batch in seconds, instead of the
                client's; `headers` in addition to the client's, such as `traceparent`.

        Returns:
            float32 [n, classes].

        Raises:
            RefusedError: the images have another shape or type.
            ClientError: there is no answer; its subclass says why.
        """
        return await self._classified(images, 0, **asking)

    async def classify(self, images: Crops, top: int = 3, **asking: Unpack[Asking]) -> list[list[Prediction]]:
        """Classifies crops and returns the `top` most probable classes of each, best first, with the server's names.

        Arguments and errors are those of `probabilities`.
        """
        if top < 1:
            raise RefusedError(f"top is {top}: give 1 or more")
        answer = await self._classified(images, min(top, MOST_CLASSES), **asking)
        return [[Prediction.read(entry) for entry in row] for row in answer]

    async def recognize(
        self,
        image: Photograph,
        score_threshold: float | None = None,
        unknown_threshold: float | None = None,
        **asking: Unpack[Asking],
    ) -> list[Sign]:
        """Finds and names the signs of a photograph.

        Args:
            image: content or path of a JPEG, PNG, PPM, WebP or BMP file, or uint8 [height, width, 3], RGB.
            score_threshold: lowest detection score that counts, 0 to 1; None for the server's.
            unknown_threshold: class score below which a sign is unknown, 0 to 1; None for the server's.
            asking: see `probabilities`.

        Returns:
            The signs, by descending detection score; may be empty.

        Raises:
            RefusedError: the file cannot be read or decoded, or a threshold is not from 0 to 1.
            ClientError: there is no answer; its subclass says why.
        """
        values = encoded(image) if isinstance(image, bytes) else await asyncio.to_thread(encoded, image)
        thresholds = {"score_threshold": score_threshold, "unknown_threshold": unknown_threshold}
        parameters = {name: f"{value:g}" for name, value in thresholds.items() if value is not None}
        try:
            answer = await self._server.infer(
                self.recognizer, PHOTOGRAPH, values, RECOGNIZER_OUTPUTS, 0, parameters, **asking
            )
        except UnknownModelError as error:
            kind = "" if isinstance(error, NotServedError) else "it is not a sign recognizer; "
            raise type(error)(
                f"{error}: {kind}publish a recognizer with `signs export recognizer` and start the "
                "server again, or ask its classifier about pictures of one sign each with `signs predict --crops`"
            ) from error
        return [Sign.read(*each) for each in zip(*(rows[0] for rows in answer), strict=True)]

    async def stream(
        self,
        images: Iterable[Photograph] | AsyncIterable[Photograph],
        score_threshold: float | None = None,
        concurrency: int = CONCURRENCY,
    ) -> AsyncGenerator[Answer, None]:
        """Recognizes any number of photographs, `concurrency` at once, and yields their answers in their order.

        It reads only as many photographs ahead. For a photograph that is refused it yields the RefusedError and
        continues; other errors are raised.
        """
        waiting: deque[asyncio.Task[Answer]] = deque()
        try:
            async for image in images if isinstance(images, AsyncIterable) else _awaited(images):
                waiting.append(asyncio.create_task(self._attempt(image, score_threshold)))
                if len(waiting) >= concurrency:
                    yield await waiting.popleft()
            while waiting:
                yield await waiting.popleft()
        finally:
            for task in waiting:
                task.cancel()
            await asyncio.gather(*waiting, return_exceptions=True)

    async def _attempt(self, image: Photograph, score_threshold: float | None) -> Answer:
        """Like `recognize`, but returns a RefusedError instead of raising it."""
        try:
            return await self.recognize(image, score_threshold)
        except RefusedError as error:
            return error

    async def _classified(self, images: Crops, class_count: int, **asking: Unpack[Asking]) -> npt.NDArray[Any]:
        if not isinstance(images, np.ndarray):
            raise RefusedError(f"images are a {type(images).__name__}: give one array, such as numpy.stack returns")
        if images.shape[1:2] != (self._side,):
            await self.input_size()  # for the first time, or because it may have changed with a new version
        shape = (self._side, self._side, 3)
        if images.ndim != 4 or images.shape[1:] != shape or images.dtype != np.uint8 or not len(images):
            given = f"{images.dtype} {list(images.shape)}"
            raise RefusedError(f"images are {given}; the model takes uint8 {['n', *shape]} with n of 1 or more")
        answers = []
        for start in range(0, len(images), self._batch):
            part = images[start : start + self._batch]
            answers += await self._server.infer(self.classifier, CROPS, part, [PROBABILITIES], class_count, **asking)
        return np.concatenate(answers)


async def _awaited(images: Iterable[Photograph]) -> AsyncGenerator[Photograph, None]:
    for image in images:
        yield image


def _waiting(
    method: Callable[Concatenate[AsyncSignClient, P], Coroutine[Any, Any, T]],
) -> Callable[Concatenate["SignClient", P], T]:
    """Returns a method that waits for one of AsyncSignClient."""

    @functools.wraps(method)
    def wait(self: "SignClient", /, *arguments: P.args, **options: P.kwargs) -> T:
        return _result(self._start(method, self._client, *arguments, **options))

    return wait


class SignClient(Options):
    """Client for synchronous code; any number of threads may share it.

    >>> from traffic_sign_client import SignClient
    >>> with SignClient("localhost:8001") as client:
    ...     for sign in client.recognize("street.jpg"):
    ...         print(f"{sign.name}: {sign.class_score:.0%}, at {sign.box}")

    It connects at the first request, and the server needs only the models that are used.

    Args:
        url: host:port of the server, without a scheme; over gRPC also its address of several servers, such as
            ipv4:10.0.0.1:8001,10.0.0.2:8001.
        protocol: "grpc" or "http"; each has its own port.
        classifier: name of the model for crops, or name/version.
        recognizer: name of the model for photographs, or name/version.
        timeout: seconds for a request, including retries; see the README for the server's part.
        retries: retries if the server does not answer or is overloaded, after growing random pauses. While a server
            ends, the client retries for longer: see the README.
        tls: True for the well-known authorities, or the path of an authority's certificate (PEM).
        client_certificate: paths of the client's certificate and its key (PEM).
        headers: headers of each request, such as {"authorization": "Bearer ..."}; messages never contain their values.
        shared_memory: pass inputs through the shared memory of this machine, on which the server must run.

    Raises:
        ClientError: an option is invalid.
    """

    def __post_init__(self) -> None:
        self._client = AsyncSignClient(**vars(self))
        self._loop, ended = asyncio.new_event_loop(), asyncio.Event()
        thread = threading.Thread(target=_serve, args=(self._client, self._loop, ended), daemon=True)
        thread.start()
        self._end = weakref.finalize(self, _end, self._loop, ended, thread)
        self._lock = threading.Lock()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def close(self) -> None:
        """Frees shared memory and ends the connection; a caller that still waits for an answer gets a ClientError."""
        with self._lock:
            self._end()

    ready = _waiting(AsyncSignClient.ready)
    metadata = _waiting(AsyncSignClient.metadata)
    input_size = _waiting(AsyncSignClient.input_size)
    classes = _waiting(AsyncSignClient.classes)
    probabilities = _waiting(AsyncSignClient.probabilities)
    classify = _waiting(AsyncSignClient.classify)
    recognize = _waiting(AsyncSignClient.recognize)

    def stream(
        self, images: Iterable[Photograph], score_threshold: float | None = None, concurrency: int = CONCURRENCY
    ) -> Generator[Answer, None, None]:
        """See `AsyncSignClient.stream`; it reads the photographs in the caller's thread."""
        waiting: deque[Future[Answer]] = deque()
        try:
            for image in images:
                waiting.append(self._start(self._client._attempt, image, score_threshold))
                if len(waiting) >= concurrency:
                    yield _result(waiting.popleft())
            while waiting:
                yield _result(waiting.popleft())
        finally:
            for future in waiting:
                future.cancel()

    def _start(self, method: Callable[P, Coroutine[Any, Any, T]], *arguments: P.args, **options: P.kwargs) -> Future[T]:
        with self._lock:  # so that nothing starts after the end
            if not self._end.alive:
                raise ClientError("the client is closed: make a new one")
            coroutine = method(*arguments, **options)
            try:
                return asyncio.run_coroutine_threadsafe(coroutine, self._loop)
            except BaseException:  # Ctrl-C before the loop has the coroutine, or when it has just begun
                with contextlib.suppress(ValueError):
                    coroutine.close()
                raise


def _result(future: Future[T]) -> T:
    try:
        return future.result()
    except CancelledError:
        raise ClientError("the client was closed before there was an answer") from None
    finally:
        future.cancel()  # if the wait was interrupted, such as by Ctrl-C


def _serve(client: AsyncSignClient, loop: asyncio.AbstractEventLoop, ended: asyncio.Event) -> None:
    """Runs the event loop of a SignClient in its thread, without a reference to it, so that it can be collected."""

    async def serve() -> None:
        await ended.wait()
        await client.close()

    with asyncio.Runner(loop_factory=lambda: loop) as runner:
        runner.run(serve())


def _end(loop: asyncio.AbstractEventLoop, ended: asyncio.Event, thread: threading.Thread) -> None:
    """Ends the event loop of a SignClient; also called when it is collected, in any thread."""
    loop.call_soon_threadsafe(ended.set)
    if threading.current_thread() is not thread:
        thread.join()
