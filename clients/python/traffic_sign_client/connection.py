"""A connection to a Triton server over gRPC or HTTP: timeouts, retries, TLS, shared memory and errors."""

import asyncio
import contextlib
import importlib
import math
import random
import re
import ssl
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Self, TypedDict

import numpy.typing as npt

from traffic_sign_client.direct import is_loopback
from traffic_sign_client.errors import (
    ClientError,
    NotServedError,
    OverloadedError,
    StoppingError,
    TimedOutError,
    UnavailableError,
    explained,
)
from traffic_sign_client.shared_memory import Regions

Protocol = Literal["grpc", "http"]

FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.1, 2.0  # upper bounds of the random pause before a retry; doubled each time
# Seconds of retries if a model that has answered does not answer any more: enough to reach another server, and less
# than the timeout if there is none.
FAILOVER_S = 5.0
GRPC_OPTIONS = [
    ("grpc.max_send_message_length", -1),
    ("grpc.max_receive_message_length", -1),
    # So that a retry finds a restarted server: by default gRPC waits up to two minutes.
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 1000),
    # For a name of several servers, such as a headless Service: by default one of them gets all requests.
    ("grpc.lb_policy_name", "round_robin"),
    # So that a new client opens its own connections: by default it shares those of a client whose server is ending.
    ("grpc.use_local_subchannel_pool", 1),
]
ADDRESS = re.compile(r"(?:[^\s/:]+|\[[0-9a-fA-F:]+\]):(\d{1,5})")
# gRPC's other addresses, such as ipv4:10.0.0.1:8001,10.0.0.2:8001 for two servers; gRPC reports invalid ones.
GRPC_TARGET = re.compile(r"(?:ipv4|ipv6|dns):\S+")


@dataclass(eq=False, repr=False)  # headers are secret
class Options:
    """The options of a client; `traffic_sign_client.SignClient` explains them."""

    url: str = "localhost:8001"
    protocol: Protocol = "grpc"
    classifier: str = "sign_classifier"
    recognizer: str = "sign_recognizer"
    timeout: float = 30.0
    retries: int = 2
    tls: bool | str | Path = False
    client_certificate: tuple[str | Path, str | Path] | None = None
    headers: Mapping[str, str] | None = None
    shared_memory: bool = False

    def __post_init__(self) -> None:
        """Initialises the subclass."""


class Asking(TypedDict, total=False):
    """Options of one request; `traffic_sign_client.AsyncSignClient.probabilities` explains them."""

    request_id: str
    timeout: float | None
    headers: Mapping[str, str] | None


class Connection(Options):
    """A connection for one event loop, opened at the first request.

    A model is a name, or name/version. Every error is a ClientError; its subclass is the kind of error.
    """

    def __post_init__(self) -> None:
        address = ADDRESS.fullmatch(self.url)
        is_valid = address and 0 < int(address[1]) < 1 << 16
        if not is_valid and not (self.protocol == "grpc" and GRPC_TARGET.fullmatch(self.url)):
            raise ClientError(f"{self.url!r}: give host:port without a scheme, such as localhost:8001")
        if self.protocol not in ("grpc", "http"):
            raise ClientError(f"the protocol is {self.protocol!r}: give grpc or http")
        if not 0 < self.timeout < math.inf:
            raise ClientError(f"the timeout is {self.timeout} s: give more than 0, and an end")
        if self.retries < 0:
            raise ClientError(f"retries is {self.retries}: give 0 or more")
        self._headers = _checked(self.headers or {})
        if self.client_certificate and not self.tls:
            raise ClientError("a client certificate needs TLS: give `tls` too")
        authority, certificates = None if isinstance(self.tls, bool) else self.tls, self.client_certificate
        try:
            context = ssl.create_default_context(cafile=authority) if self.tls else None
            if context and certificates:
                context.load_cert_chain(*certificates)
        except OSError as error:
            raise ClientError(f"no TLS with {self.tls} and {certificates} ({error}): give PEM files") from error
        self._opening: dict[str, Any] = {"ssl": bool(self.tls), "ssl_context": context, "conn_timeout": None}
        if self.protocol == "grpc":
            self._opening = {
                "ssl": bool(self.tls),
                "root_certificates": authority,
                "channel_args": channel_options(self.url),
            }
            self._opening["certificate_chain"], self._opening["private_key"] = certificates or (None, None)
        self._triton = importlib.import_module(f"tritonclient.{self.protocol}.aio")
        self._regions = Regions(self._call) if self.shared_memory else None
        self._client: Any = None
        self._calls: Counter[Any] = Counter()  # in flight, by tritonclient's client
        self._answered: set[str] = set()  # models that have answered, or were ready
        self._closed = False

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exception: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Frees shared memory and ends the connection; a caller that still waits for an answer gets a ClientError."""
        self._closed = True
        if self._regions is not None:
            await self._regions.close()
        for client in {self._client, *self._calls} - {None}:
            await client.close()

    async def ready(self, model: str) -> bool:
        """Returns whether a model, or the server if it is empty, is ready; False also if there is no answer."""
        try:
            question = ("is_model_ready", *_split(model)) if model else ("is_server_ready",)
            ready = bool(await self._retried(lambda seconds: self._call(seconds, *question), "", self.timeout, 0))
        except ClientError:
            return False
        if ready and model:
            self._answered.add(model)
        return ready

    async def describe(self, what: str, model: str) -> dict[str, Any]:
        """Returns `config`, `metadata` or `statistics` of a model; without a model the `metadata` of the server."""
        name = "get_inference_statistics" if what == "statistics" else f"get_model_{what}"
        question = (name, *_split(model)) if model else (f"get_server_{what}",)
        answer = await self._retried(lambda seconds: self._call(seconds, *question), model, self.timeout, self.retries)
        described: dict[str, Any] = answer.get("config", answer)  # gRPC wraps it
        return described

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
    ) -> list[npt.NDArray[Any]]:
        """Returns the named outputs of a model with one input.

        Values of dtype object are sent as BYTES. With `class_count` the answer is as many of the best classes with
        their labels, instead of all numbers. `timeout` replaces the connection's; `headers` are added to, and override,
        the connection's.
        """
        from tritonclient.utils import np_to_triton_dtype

        given = self.timeout if timeout is None else timeout
        if not math.isfinite(given):
            raise ClientError(f"a timeout of {given} s: give a number of seconds")
        name, version = _split(model)
        tensor = self._triton.InferInput(tensor_name, list(values.shape), np_to_triton_dtype(values.dtype))
        if self._regions is None:
            tensor.set_data_from_numpy(values)
        options: dict[str, Any] = {
            "outputs": [self._triton.InferRequestedOutput(each, class_count=class_count) for each in outputs],
            "parameters": parameters,
            "request_id": request_id,
            "headers": _checked(headers or {}),
        }

        async def attempt(seconds: float) -> Any:
            options["timeout"] = int(seconds * 1_000_000)  # microseconds, for Triton's scheduler
            async with self._regions.holding(tensor, values, seconds) if self._regions else contextlib.nullcontext():
                return await self._call(seconds, "infer", name, [tensor], version, given=given, **options)

        answer = await self._retried(attempt, model, given, self.retries)
        return [answer.as_numpy(each) for each in outputs]

    async def _retried(
        self, attempt: Callable[[float], Awaitable[Any]], model: str, timeout: float, retries: int
    ) -> Any:
        """Returns the result of `attempt`, which gets the seconds left, with retries; requests are idempotent.

        The last attempt begins just before the timeout, to reach a server that has restarted by then.
        """
        begun, longest, tries = time.monotonic(), FIRST_PAUSE_S, 0
        reserve = min(FIRST_PAUSE_S, timeout / 10)  # for that attempt
        has_answered = retries > 0 and model in self._answered
        before: ClientError | None = None
        while True:
            if self._closed:
                raise ClientError(f"the client of {self.url} is closed: make a new one")
            seconds = begun + timeout - time.monotonic()
            try:
                answer = await attempt(seconds)
            except TimedOutError as error:
                if before is None or not (isinstance(before, NotServedError) or seconds <= reserve):
                    raise
                self._give_up(model, timeout)
                raise before from error  # the reason for the timeout
            except (UnavailableError, NotServedError) as error:
                before, waited = error, time.monotonic() - begun
                elsewhere = _elsewhere_s(error, timeout) if has_answered else 0.0
                left = (timeout if tries < retries and isinstance(error, UnavailableError) else elsewhere) - waited
                if left <= reserve:
                    self._give_up(model, waited + reserve)
                    raise
            else:
                self._answered.add(model)
                return answer
            await asyncio.sleep(min(random.uniform(0, longest), left - reserve))
            longest, tries = min(2 * longest, LONGEST_PAUSE_S), tries + 1

    def _give_up(self, model: str, waited: float) -> None:
        """Stops the longer retries for a model that was missing for so many seconds."""
        if waited >= FAILOVER_S:
            self._answered.discard(model)

    async def _call(
        self, seconds: float, name: str, *arguments: Any, given: float | None = None, **options: Any
    ) -> Any:
        """Calls a method of tritonclient's client; `given` is the timeout for the message."""
        client = self._client = self._client or self._triton.InferenceServerClient(self.url, **self._opening)
        options["headers"] = self._headers | options.get("headers", {})
        if self.protocol == "grpc":
            options |= {"client_timeout": seconds} | ({"as_json": True} if name.startswith("get_") else {})
        self._calls[client] += 1
        try:
            async with asyncio.timeout(seconds):
                return await getattr(client, name)(*arguments, **options)
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if not self._closed or task is None or task.cancelling():
                raise
            raise ClientError("the client was closed before there was an answer") from None  # as gRPC cancelled it
        except Exception as error:  # the HTTP client also raises errors of sockets and of its parser
            problem = explained(error, self.url, self.protocol, self.timeout if given is None else given)
            gone = isinstance(problem, UnavailableError | NotServedError) and not isinstance(problem, OverloadedError)
            if gone and client is self._client:
                self._client = None  # only a new connection may reach another server
            raise problem from error
        finally:
            self._calls[client] -= 1
            if not self._calls[client]:
                del self._calls[client]
                if client is not self._client:
                    await client.close()


def _elsewhere_s(error: ClientError, timeout: float) -> float:
    """Returns for how many seconds to look for another server after an error, at most `timeout`."""
    if isinstance(error, NotServedError | StoppingError):
        return timeout
    return 0.0 if isinstance(error, OverloadedError) else min(FAILOVER_S, timeout)


def channel_options(url: str) -> list[tuple[str, Any]]:
    """Returns the options of a gRPC channel to host:port, without a proxy on this machine."""
    return [*GRPC_OPTIONS, ("grpc.enable_http_proxy", int(not is_loopback(url)))]


def _checked(headers: Mapping[str, str]) -> dict[str, str]:
    """Returns headers with names in lower case; raises ClientError if one is invalid."""
    lowered = {name.lower(): value for name, value in headers.items()}
    for name, value in lowered.items():  # the libraries would print the value of an invalid one
        if not re.fullmatch(r"[a-z0-9_.-]+(?<!-bin)", name) or not re.fullmatch(r"[ -~]+", value):
            raise ClientError(f"header {name!r} cannot be sent: give a name and a value of printable ASCII")
    return lowered


def _split(model: str) -> tuple[str, str]:
    name, _, version = model.partition("/")
    if not name or (version and not version.isdecimal()):  # Triton's error would name the input
        raise ClientError(f"{model!r} is not a model: give its name, or name/version such as sign_classifier/3")
    return name, version
