"""How a Triton server is asked over gRPC or HTTP: time limits, retries, TLS, shared memory, and what went wrong."""

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
from typing import Any, Literal, TypedDict

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

FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.1, 2.0  # at most so much before a retry, by chance; doubled each time
# Seconds for which a model that has answered is asked for again where nobody answers: a killed server's neighbours are
# found sooner, and whoever has no other server is not kept waiting for the whole timeout.
FAILOVER_S = 5.0
GRPC_OPTIONS = [
    ("grpc.max_send_message_length", -1),
    ("grpc.max_receive_message_length", -1),
    # So that a retry finds a server that is back: left alone, gRPC looks again after up to two minutes.
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 1000),
    # A name that stands for several servers, such as a headless Service: left alone, one of them would get everything.
    ("grpc.lb_policy_name", "round_robin"),
    # So that a new client opens connections of its own: left alone, it shares those of the one whose server is ending.
    ("grpc.use_local_subchannel_pool", 1),
]
ADDRESS = re.compile(r"(?:[^\s/:]+|\[[0-9a-fA-F:]+\]):(\d{1,5})")
# What gRPC itself takes besides, as ipv4:10.0.0.1:8001,10.0.0.2:8001 for two servers; it says what is wrong with one.
GRPC_TARGET = re.compile(r"(?:ipv4|ipv6|dns):\S+")


@dataclass(eq=False, repr=False)  # headers are secret
class Options:
    """What is asked, and how; `traffic_sign_client.SignClient` explains it."""

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
        """Makes of them what each class is."""


class Asking(TypedDict, total=False):
    """How one question is asked; `traffic_sign_client.AsyncSignClient.probabilities` explains it."""

    request_id: str
    timeout: float | None
    headers: Mapping[str, str] | None


class Connection(Options):
    """Asks one server, in one event loop; opens nothing before the first question.

    A model is a name, or name/version. Every problem is a ClientError whose class says of what kind it is.
    """

    def __post_init__(self) -> None:
        address = ADDRESS.fullmatch(self.url)
        is_valid = address and 0 < int(address[1]) < 1 << 16
        if not is_valid and not (self.protocol == "grpc" and GRPC_TARGET.fullmatch(self.url)):
            raise ClientError(f"{self.url!r}: give host:port without a scheme, such as localhost:8001")
        if self.protocol not in ("grpc", "http") or not 0 < self.timeout < math.inf or self.retries < 0:
            given = f"{self.protocol}, {self.timeout} s, {self.retries} retries"
            raise ClientError(f"{given}: give grpc or http, over 0 s, 0 or more")
        self._headers = _checked(self.headers or {})
        if self.client_certificate and not self.tls:
            raise ClientError("a client certificate is shown over TLS only: give `tls` too")
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
        self._answered: set[str] = set()  # models that have, or were ready
        self._closed = False

    async def close(self) -> None:
        """Frees shared memory and ends the connection; a caller that still waits for an answer gets a ClientError."""
        self._closed = True
        if self._regions is not None:
            await self._regions.close()
        for client in {self._client, *self._calls} - {None}:
            await client.close()

    async def ready(self, model: str) -> bool:
        """Returns whether a model, or the server where it is empty, takes requests; False too if nobody answers."""
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
        """Returns the outputs with which a model answers its one input, in the order of their names given.

        Values that are objects of the type bytes are sent as BYTES. With `class_count` so many of the best classes are
        answered with their labels, and not all numbers. `timeout` takes the place of the connection's own; `headers`
        are sent beside the connection's own and go before them.
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
            options["timeout"] = int(seconds * 1_000_000)  # as Triton's scheduler wants to know it
            async with self._regions.holding(tensor, values, seconds) if self._regions else contextlib.nullcontext():
                return await self._call(seconds, "infer", name, [tensor], version, given=given, **options)

        answer = await self._retried(attempt, model, given, self.retries)
        return [answer.as_numpy(each) for each in outputs]

    async def _retried(
        self, attempt: Callable[[float], Awaitable[Any]], model: str, timeout: float, retries: int
    ) -> Any:
        """Returns what an attempt does that is given the seconds left; asking twice changes nothing on a server.

        The last attempt begins just before the time is up, so that a server which is back by then is found.
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
                raise before from error  # which is why the time ran out
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
        """Has nobody else wait for a model that stayed away for so many seconds."""
        if waited >= FAILOVER_S:
            self._answered.discard(model)

    async def _call(
        self, seconds: float, name: str, *arguments: Any, given: float | None = None, **options: Any
    ) -> Any:
        """Calls a method of tritonclient's client; `given` is what a message says of the time there was."""
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
        except Exception as error:  # the HTTP client lets errors of sockets and of its parser through
            problem = explained(error, self.url, self.protocol, self.timeout if given is None else given)
            gone = isinstance(problem, UnavailableError | NotServedError) and not isinstance(problem, OverloadedError)
            if gone and client is self._client:
                self._client = None  # a new connection may lead to another server, a kept one never does
            raise problem from error
        finally:
            self._calls[client] -= 1
            if not self._calls[client]:
                del self._calls[client]
                if client is not self._client:
                    await client.close()


def _elsewhere_s(error: ClientError, timeout: float) -> float:
    """Returns for how many seconds a model that has answered may do so again, as one server takes another's place.

    Args:
        error: why it did not answer now.
        timeout: seconds that there are.
    """
    if isinstance(error, NotServedError | StoppingError):
        return timeout
    return 0.0 if isinstance(error, OverloadedError) else min(FAILOVER_S, timeout)


def channel_options(url: str) -> list[tuple[str, Any]]:
    """Returns the options of a gRPC channel to host:port; on this machine it goes through no proxy."""
    return [*GRPC_OPTIONS, ("grpc.enable_http_proxy", int(not is_loopback(url)))]


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
