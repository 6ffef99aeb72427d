"""The clients of the traffic signs: photographs or crops in, named signs out.

What is asked is written once, to be awaited; `SignClient` waits for it in an event loop of its own. tritonclient's own
blocking HTTP client would not do: it belongs to the thread that made it, leaks files in others, and has no time limit
for a single request.
"""

import asyncio
import contextlib
import functools
import threading
import weakref
from collections import deque
from collections.abc import (
    AsyncGenerator,
    AsyncIterable,
    AsyncIterator,
    Callable,
    Coroutine,
    Generator,
    Iterable,
    Mapping,
)
from concurrent.futures import CancelledError, Future
from typing import Any, Concatenate, ParamSpec, Self, TypeVar, Unpack

import numpy as np
import numpy.typing as npt

from clients.answers import FOUND, Photograph, Prediction, Sign, encoded
from clients.connection import Connection, Options, Protocol
from clients.errors import ClientError, RefusedError, UnknownModelError

CROPS, PROBABILITIES, PHOTOGRAPH = "images", "probabilities", "image"
CONCURRENCY = 8  # requests at once: enough for the server to fill batches

Crops = npt.NDArray[np.uint8]
P = ParamSpec("P")
T = TypeVar("T")


class AsyncSignClient:
    """Asks a Triton server about traffic signs, in one event loop, where any number of tasks may share a client.

    >>> import asyncio
    >>> from clients import AsyncSignClient
    >>> async def names(path):
    ...     async with AsyncSignClient("localhost:8001") as client:
    ...         return [sign.name for sign in await client.recognize(path)]
    >>> print(asyncio.run(names("street.jpg")))

    Arguments and errors are those of `SignClient`. A task that is cancelled leaves nothing behind.
    """

    def __init__(
        self,
        url: str = "localhost:8001",
        protocol: Protocol = "grpc",
        classifier: str = "sign_classifier",
        recognizer: str = "sign_recognizer",
        **options: Unpack[Options],
    ) -> None:
        self._server = Connection(url, protocol, **options)
        self._classifier, self._recognizer = classifier, recognizer
        self._crops: tuple[int, int] | None = None  # the side of the classifier's input in pixels, and its batches
        self._recognizes = False

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exception: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Frees shared memory and ends the connection; who still waits for an answer is told that there is none."""
        await self._server.close()

    async def ready(self, model: str = "") -> bool:
        """Returns whether the server, or one of its models, takes requests; False too where nobody answers."""
        return await self._server.ready(model)

    async def metadata(self, model: str = "") -> dict[str, Any]:
        """Returns what the server says of itself, or of a model: its versions, inputs and outputs."""
        told = await self._server.describe("metadata", model)
        for tensor in [*told.get("inputs", ()), *told.get("outputs", ())]:
            tensor["shape"] = [int(side) for side in tensor["shape"]]  # over gRPC JSON has no numbers so large
        return told

    async def input_size(self) -> int:
        """Asks for the height and width in pixels of the crops that the classifier takes."""
        config = await self._described(self._classifier, CROPS, "classifier")
        size, batch = int(config["input"][0]["dims"][0]), max(1, int(config.get("max_batch_size", 0)))
        self._crops = size, batch
        return size

    async def probabilities(
        self,
        images: Crops,
        request_id: str = "",
        timeout: float | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> npt.NDArray[np.float32]:
        """Classifies crops and returns every class's probability.

        Args:
            images: uint8 [n, input_size, input_size, 3], RGB; any n, sent in batches the server takes.
            request_id: for the server's log and traces.
            timeout: seconds to wait for the answer to a batch, in place of the client's own.
            headers: sent with these requests beside the client's own, such as `traceparent`.

        Returns:
            float32 [n, classes].

        Raises:
            RefusedError: the images have another shape or type.
            ClientError: there is no answer; its subclass says why.
        """
        return np.concatenate([rows async for rows in self._classified(images, 0, request_id, timeout, headers)])

    async def classify(
        self,
        images: Crops,
        top: int = 3,
        request_id: str = "",
        timeout: float | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> list[list[Prediction]]:
        """Classifies crops and returns the `top` most probable classes of each, best first, with the server's names.

        Arguments and errors are those of `probabilities`.
        """
        if top < 1:
            raise RefusedError(f"top is {top}: give 1 or more")
        answers = [rows async for rows in self._classified(images, top, request_id, timeout, headers)]
        return [[Prediction.read(entry) for entry in row] for rows in answers for row in rows]

    async def recognize(
        self,
        image: Photograph,
        score_threshold: float | None = None,
        request_id: str = "",
        timeout: float | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> list[Sign]:
        """Finds and names the signs of a photograph.

        Args:
            image: content or path of a JPEG, PNG, PPM, WebP or BMP file, or uint8 [height, width, 3], RGB.
            score_threshold: lowest detection score that counts, 0 to 1; the server's own where it is None.
            request_id: for the server's log and traces.
            timeout: seconds to wait for the answer, in place of the client's own.
            headers: sent with this request beside the client's own, such as `traceparent`.

        Returns:
            The signs, the surest detection first; none is an answer too.

        Raises:
            RefusedError: the file cannot be read, the server cannot decode it, or the threshold is no score.
            ClientError: there is no answer; its subclass says why.
        """
        if not self._recognizes:
            try:
                await self._described(self._recognizer, PHOTOGRAPH, "recognizer")
            except UnknownModelError as error:
                raise UnknownModelError(
                    f"{self._server.url} has no {self._recognizer}: publish one with `signs export recognizer` and "
                    "start the server again, or ask its classifier about pictures of one sign each with "
                    "`signs predict --crops`"
                ) from error
            self._recognizes = True
        values = encoded(image) if isinstance(image, bytes) else await asyncio.to_thread(encoded, image)
        parameters = {} if score_threshold is None else {"score_threshold": f"{score_threshold:g}"}
        answer = await self._server.infer(
            self._recognizer, PHOTOGRAPH, values, FOUND, 0, parameters, request_id, timeout, headers
        )
        return [Sign.read(*each) for each in zip(*(answer.as_numpy(name)[0] for name in FOUND), strict=True)]

    async def stream(
        self,
        images: Iterable[Photograph] | AsyncIterable[Photograph],
        score_threshold: float | None = None,
        concurrency: int = CONCURRENCY,
    ) -> AsyncGenerator[list[Sign] | RefusedError, None]:
        """Recognizes any number of photographs, `concurrency` at once, and yields their answers in their order.

        It takes no more of them than are in work; those that must be waited for come from an asynchronous iterable.
        For a photograph that is refused it yields the RefusedError and goes on; other problems are raised.
        """
        waiting: deque[asyncio.Task[list[Sign] | RefusedError]] = deque()
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

    async def _attempt(self, image: Photograph, score_threshold: float | None) -> list[Sign] | RefusedError:
        """Does what `recognize` does, but returns a RefusedError and does not raise it."""
        try:
            return await self.recognize(image, score_threshold)
        except RefusedError as error:
            return error

    async def _classified(
        self,
        images: Crops,
        class_count: int,
        request_id: str,
        timeout: float | None,
        headers: Mapping[str, str] | None,
    ) -> AsyncIterator[npt.NDArray[Any]]:
        """Yields the answers to the batches."""
        if not isinstance(images, np.ndarray):
            raise RefusedError(f"images are a {type(images).__name__}: give one array, as of numpy.stack")
        if self._crops is None or images.shape[1:2] != self._crops[:1]:
            await self.input_size()  # for the first time, or because it may have changed with a new version
        size, batch = self._crops or (0, 0)
        if images.ndim != 4 or images.shape[1:] != (size, size, 3) or images.dtype != np.uint8 or not len(images):
            raise RefusedError(
                f"images are {images.dtype} {list(images.shape)}; the model takes uint8 [n, {size}, {size}, 3] with n "
                "of 1 or more"
            )
        for start in range(0, len(images), batch):
            part = np.ascontiguousarray(images[start : start + batch])
            answer = await self._server.infer(
                self._classifier, CROPS, part, [PROBABILITIES], class_count, None, request_id, timeout, headers
            )
            yield answer.as_numpy(PROBABILITIES)

    async def _described(self, model: str, wanted: str, kind: str) -> dict[str, Any]:
        config = await self._server.describe("config", model)
        inputs = [str(entry["name"]) for entry in config.get("input", ())]
        if inputs != [wanted]:
            raise ClientError(f"{model} at {self._server.url} takes {', '.join(inputs)}: it is not a sign {kind}")
        return config


async def _awaited(images: Iterable[Photograph]) -> AsyncIterator[Photograph]:
    for image in images:
        yield image


def _waiting(
    method: Callable[Concatenate[AsyncSignClient, P], Coroutine[Any, Any, T]],
) -> Callable[Concatenate["SignClient", P], T]:
    """Returns a method that waits for one of AsyncSignClient."""

    def wait(self: "SignClient", /, *arguments: P.args, **options: P.kwargs) -> T:
        return _result(self._start(method(self._client, *arguments, **options)))

    functools.update_wrapper(wait, method)
    return wait


class SignClient:
    """Asks a Triton server about traffic signs; any number of threads may share a client.

    >>> from clients import SignClient
    >>> with SignClient("localhost:8001") as client:
    ...     for sign in client.recognize("street.jpg"):
    ...         print(f"{sign.name}: {sign.class_score:.0%}, at {sign.box}")

    Nothing is opened before the first question, and a model is needed only where it is asked.

    Args:
        url: host:port of the server, without a scheme.
        protocol: "grpc" or "http"; each has its own port.
        classifier: name of the model on the server, or name/version.
        recognizer: likewise.
        timeout: seconds to wait for the answer to a request, retries included; 30. The server is told: see the README.
        retries: how often to ask again, after growing, random pauses, where nobody answers or too many ask; 2.
        tls: True to trust the usual authorities (gRPC brings its own list), or the path of one's certificate (PEM).
        client_certificate: paths of the client's own certificate and of its key (PEM), where the server asks for one.
        headers: sent with each request, such as {"authorization": "Bearer ..."}; no message shows their values.
        shared_memory: hand inputs over in this machine's memory; the server must run on it.

    Raises:
        ClientError: an option makes no sense.
    """

    def __init__(
        self,
        url: str = "localhost:8001",
        protocol: Protocol = "grpc",
        classifier: str = "sign_classifier",
        recognizer: str = "sign_recognizer",
        **options: Unpack[Options],
    ) -> None:
        self._client = AsyncSignClient(url, protocol, classifier, recognizer, **options)
        self._loop = asyncio.new_event_loop()
        thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        thread.start()
        self._end = weakref.finalize(self, _end, self._client, self._loop, thread)
        self._lock = threading.Lock()  # so that nothing is started which the end does not see

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def close(self) -> None:
        """Frees shared memory and ends the connection; who still waits for an answer is told that there is none."""
        with self._lock:
            self._end()

    ready = _waiting(AsyncSignClient.ready)
    metadata = _waiting(AsyncSignClient.metadata)
    input_size = _waiting(AsyncSignClient.input_size)
    probabilities = _waiting(AsyncSignClient.probabilities)
    classify = _waiting(AsyncSignClient.classify)
    recognize = _waiting(AsyncSignClient.recognize)

    def stream(
        self, images: Iterable[Photograph], score_threshold: float | None = None, concurrency: int = CONCURRENCY
    ) -> Generator[list[Sign] | RefusedError, None, None]:
        """See `AsyncSignClient.stream`; the photographs are taken in the thread of the caller."""
        waiting: deque[Future[list[Sign] | RefusedError]] = deque()
        try:
            for image in images:
                waiting.append(self._start(self._client._attempt(image, score_threshold)))
                if len(waiting) >= concurrency:
                    yield _result(waiting.popleft())
            while waiting:
                yield _result(waiting.popleft())
        finally:
            for future in waiting:
                future.cancel()

    def _start(self, coroutine: Coroutine[Any, Any, T]) -> Future[T]:
        try:
            with self._lock:
                if not self._end.alive:
                    raise ClientError("the client is closed: make a new one")
                return asyncio.run_coroutine_threadsafe(coroutine, self._loop)
        except BaseException:  # also Ctrl-C, which may come before the loop has it, or when it just began
            with contextlib.suppress(ValueError):
                coroutine.close()
            raise


def _result(future: Future[T]) -> T:
    try:
        return future.result()
    except CancelledError:
        raise ClientError("the client was closed before there was an answer") from None
    finally:
        future.cancel()  # where the wait was broken off, as by Ctrl-C


def _end(client: AsyncSignClient, loop: asyncio.AbstractEventLoop, thread: threading.Thread) -> None:
    """Ends the event loop of a SignClient; called too where it was forgotten."""

    async def close() -> None:
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await client.close()
        await loop.shutdown_default_executor()

    if threading.current_thread() is thread:  # the garbage collector came by here, where nobody may wait for the loop
        loop.stop()
        return
    asyncio.run_coroutine_threadsafe(close(), loop).result()
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    loop.close()
