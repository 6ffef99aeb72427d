"""How a Triton server is asked over gRPC or HTTP: time limits, retries, TLS, shared memory, and what went wrong."""

import asyncio
import contextlib
import importlib
import itertools
import math
import random
import re
import ssl
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, TypedDict, TypeVar

import numpy.typing as npt

from clients.errors import ClientError, UnavailableError, explained
from clients.shared_memory import Regions

Protocol = Literal["grpc", "http"]
Files = tuple[str | Path, str | Path]
T = TypeVar("T")

FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.1, 2.0  # at most so much before a retry, by chance; doubled each time
GRPC_OPTIONS = [
    ("grpc.max_send_message_length", -1),
    ("grpc.max_receive_message_length", -1),
    # So that a retry finds a server that is back: left alone, gRPC looks again after up to two minutes.
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 1000),
    # A name that stands for several servers, such as a headless Service: left alone, one of them would get everything.
    ("grpc.lb_policy_name", "round_robin"),
]


class Options(TypedDict, total=False):
    """How a server is asked; `clients.SignClient` explains them."""

    timeout: float
    retries: int
    tls: bool | str | Path
    client_certificate: Files | None
    headers: Mapping[str, str] | None
    shared_memory: bool


class Connection:
    """Asks one server, in one event loop; opens nothing before the first question.

    A model is a name, or name/version. Every problem is a ClientError whose class says of what kind it is.
    """

    def __init__(
        self,
        url: str,
        protocol: Protocol,
        timeout: float = 30.0,
        retries: int = 2,
        tls: bool | str | Path = False,
        client_certificate: Files | None = None,
        headers: Mapping[str, str] | None = None,
        shared_memory: bool = False,
    ) -> None:
        address = re.fullmatch(r"(?:[^\s/:]+|\[[0-9a-fA-F:]+\]):(\d{1,5})", url)
        if not address or not 0 < int(address[1]) < 1 << 16:
            raise ClientError(f"{url!r}: give host:port without a scheme, such as localhost:8001")
        if protocol not in ("grpc", "http") or not 0 < timeout < math.inf or retries < 0:
            raise ClientError(f"{protocol}, {timeout} s, {retries} retries: give grpc or http, over 0 s, 0 or more")
        self.url, self.protocol, self.timeout, self.retries = url, protocol, timeout, retries
        self._headers = _checked(headers or {})
        if client_certificate and not tls:
            raise ClientError("a client certificate is shown over TLS only: give `tls` too")
        self._authority, self._certificate = None if isinstance(tls, bool) else tls, client_certificate
        try:
            self._context = ssl.create_default_context(cafile=self._authority) if tls else None
            if self._context and client_certificate:
                self._context.load_cert_chain(*client_certificate)
        except OSError as error:
            raise ClientError(f"no TLS with {tls} and {client_certificate} ({error}): give PEM files") from error
        self._triton = importlib.import_module(f"tritonclient.{protocol}.aio")
        self._regions = Regions(self._call) if shared_memory else None
        self._client: Any = None
        self._closed = False

    async def close(self) -> None:
        """Frees shared memory and ends the connection; who still waits for an answer is told that there is none."""
        if self._regions is not None:
            await self._regions.close()
        self._closed = True
        if self._client is not None:
            await self._client.close()

    async def ready(self, model: str) -> bool:
        """Returns whether a model, or the server where it is empty, takes requests; False too if nobody answers."""
        try:
            question = ("is_model_ready", *_split(model)) if model else ("is_server_ready",)
            return bool(await self._call(self.timeout, *question))
        except ClientError:
            return False

    async def describe(self, what: str, model: str) -> dict[str, Any]:
        """Returns the `config` or the `metadata` of a model, or of the server where it is empty."""
        question = (f"get_model_{what}", *_split(model)) if model else (f"get_server_{what}",)
        answer: dict[str, Any] = await self._retried(lambda seconds: self._call(seconds, *question))
        inner: dict[str, Any] = answer.get("config", answer)  # gRPC wraps it
        return inner

    async def infer(
        self,
        model: str,
        tensor_name: str,
        values: npt.NDArray[Any],
        outputs: Sequence[str],
        class_count: int = 0,
        parameters: Mapping[str, str] | None = None,
        request_id: str = "",
        timeout: float | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Any:
        """Returns what a model answers to its one input; `as_numpy` of that gives each output.

        Values that are objects of the type bytes are sent as BYTES. With `class_count` so many of the best classes are
        answered with their labels, and not all numbers. `timeout` takes the place of the connection's own; `headers`
        are sent beside the connection's own and go before them.
        """
        from tritonclient.utils import np_to_triton_dtype

        if timeout is not None and not math.isfinite(timeout):
            raise ClientError(f"a timeout of {timeout} s: give a number of seconds")
        tensor = self._triton.InferInput(tensor_name, list(values.shape), np_to_triton_dtype(values.dtype))
        wanted = [self._triton.InferRequestedOutput(each, class_count=class_count) for each in outputs]
        name, version = _split(model)
        options = {
            "model_version": version,
            "outputs": wanted,
            "parameters": parameters,
            "request_id": request_id,
            "headers": _checked(headers or {}),
        }

        async def attempt(seconds: float) -> Any:
            shared = self._regions.holding(values, seconds) if self._regions else contextlib.nullcontext()
            async with shared as region:
                if region is None:
                    tensor.set_data_from_numpy(values)
                else:
                    tensor.set_shared_memory(region.name, region.filled)
                limit = int(seconds * 1_000_000)  # as Triton's scheduler wants to know it
                return await self._call(seconds, "infer", name, [tensor], given=timeout, timeout=limit, **options)

        return await self._retried(attempt, timeout)

    async def _retried(self, attempt: Callable[[float], Awaitable[T]], timeout: float | None = None) -> T:
        """Returns what an attempt does that is given the seconds left; asking twice changes nothing on a server."""
        deadline = time.monotonic() + (self.timeout if timeout is None else timeout)
        for tries in itertools.count():
            try:
                return await attempt(deadline - time.monotonic())
            except UnavailableError:
                pause = random.uniform(0, min(LONGEST_PAUSE_S, FIRST_PAUSE_S * 2**tries))
                if tries >= self.retries or time.monotonic() + pause >= deadline:
                    raise
            await asyncio.sleep(pause)
        raise AssertionError("unreachable")

    async def _call(
        self, seconds: float, method: str, *arguments: Any, given: float | None = None, **options: Any
    ) -> Any:
        """Calls a method of tritonclient's client; `given` is what a message says of the time there was."""
        if self._closed:
            raise ClientError(f"the client of {self.url} is closed: make a new one")
        self._client = self._client or self._open()
        options["headers"] = self._headers | options.get("headers", {})
        if self.protocol == "grpc":
            options |= {"client_timeout": seconds} | ({"as_json": True} if method.startswith("get_") else {})
        try:
            async with asyncio.timeout(seconds):
                return await getattr(self._client, method)(*arguments, **options)
        except Exception as error:  # the HTTP client lets errors of sockets and of its parser through
            raise explained(error, self.url, self.protocol, self.timeout if given is None else given) from error

    def _open(self) -> Any:
        if self.protocol == "http":
            return self._triton.InferenceServerClient(
                self.url, conn_timeout=None, ssl=self._context is not None, ssl_context=self._context
            )
        certificate, key = self._certificate or (None, None)
        return self._triton.InferenceServerClient(
            self.url,
            ssl=self._context is not None,
            root_certificates=self._authority,
            private_key=key,
            certificate_chain=certificate,
            channel_args=GRPC_OPTIONS,
        )


def _checked(headers: Mapping[str, str]) -> dict[str, str]:
    """Returns headers with names in lower case; raises ClientError where one cannot be sent."""
    lowered = {name.lower(): value for name, value in headers.items()}
    for name, value in lowered.items():  # the libraries would print the value of one that cannot be sent
        if not re.fullmatch(r"[a-z0-9_.-]+(?<!-bin)", name) or not re.fullmatch(r"[ -~]+", value):
            raise ClientError(f"header {name!r} cannot be sent: give a name and a value of printable ASCII")
    return lowered


def _split(model: str) -> tuple[str, str]:
    name, _, version = model.partition("/")
    if not name or (version and not version.isdecimal()):  # Triton would blame the input
        raise ClientError(f"{model!r} is no model: give its name, or name/version such as sign_classifier/3")
    return name, version
