"""A connection to a Triton server over gRPC or HTTP; every problem is a ClientError that names the fix."""

import re
from collections.abc import Callable, Mapping, Sequence
from types import TracebackType
from typing import Any, Literal, Self

import numpy as np
import numpy.typing as npt

from clients.errors import ClientError, RefusedError, UnknownModelError

Protocol = Literal["grpc", "http"]
REFUSED = ("StatusCode.INVALID_ARGUMENT", "400")  # what Triton says of an input it does not take


class Connection:
    """Asks one server, whichever protocol it is asked over.

    Args:
        url: host:port of the server, without a scheme.
        protocol: "grpc" or "http"; each has its own port.
        timeout: seconds to wait for an answer.

    Raises:
        ClientError: the address makes no sense. Whether a server is there shows with the first call.
    """

    def __init__(self, url: str, protocol: Protocol, timeout: float) -> None:
        self.url, self.protocol, self.timeout = url, protocol, timeout
        if not re.fullmatch(r"[^\s/:]+:\d{1,5}|\[[0-9a-fA-F:]+\]:\d{1,5}", url):
            raise ClientError(f"{url!r}: give host:port without a scheme, such as localhost:8001")
        if protocol == "grpc":
            import tritonclient.grpc as triton

            self._client: Any = triton.InferenceServerClient(url)
            self._options: dict[str, Any] = {"client_timeout": timeout}
        else:
            import tritonclient.http as triton

            self._client = triton.InferenceServerClient(url, connection_timeout=timeout, network_timeout=timeout)
            self._options = {}
        self._triton = triton

    def close(self) -> None:
        """Closes the connection."""
        self._client.close()

    def tensor(self, name: str, values: npt.NDArray[Any], datatype: str) -> Any:
        """Returns an input for `infer`; values of the datatype BYTES are objects of the type bytes."""
        tensor = self._triton.InferInput(name, values.shape, datatype)
        tensor.set_data_from_numpy(values)
        return tensor

    def output(self, name: str, class_count: int = 0) -> Any:
        """Returns an output for `infer`; with `class_count` the best classes with their labels, not the numbers."""
        return self._triton.InferRequestedOutput(name, class_count=class_count)

    def infer(
        self,
        model: str,
        version: str,
        inputs: Sequence[Any],
        outputs: Sequence[Any],
        parameters: Mapping[str, str] | None = None,
    ) -> Any:
        """Returns a model's answer, whose `as_numpy` gives each output.

        Raises:
            UnknownModelError: the server has no such model.
            RefusedError: the model refuses this input; another one may do.
            ClientError: the server cannot be reached, failed or did not answer in time.
        """
        return self._call(
            lambda: self._client.infer(
                model,
                list(inputs),
                model_version=version,
                outputs=list(outputs),
                parameters=dict(parameters or {}),
                **self._options,
            )
        )

    def model_config(self, model: str, version: str) -> dict[str, Any]:
        """Returns the content of a model's config.pbtxt. Errors are those of `infer`."""
        as_json = {"as_json": True} if self.protocol == "grpc" else {}
        config: dict[str, Any] = self._call(lambda: self._client.get_model_config(model, version, **as_json))
        inner: dict[str, Any] = config.get("config", config)
        return inner

    def _call(self, request: Callable[[], Any]) -> Any:
        from tritonclient.utils import InferenceServerException

        try:
            return request()
        except InferenceServerException as error:
            reason = error.message() or str(error)
            if "unknown model" in reason:
                raise UnknownModelError(f"{self.url} answers: {reason}") from error
            if error.status() in REFUSED:
                raise RefusedError(f"{self.url} answers: {reason}") from error
            raise ClientError(self._explain(reason)) from error
        except Exception as error:  # the HTTP client lets errors of sockets and of its parser through
            raise ClientError(self._explain(str(error))) from error

    def _explain(self, reason: str) -> str:
        lowered = reason.lower()
        if "deadline" in lowered or "timed out" in lowered or "timeout" in lowered:
            return f"no answer from {self.url} within {self.timeout:g} s: the server is busy or gone"
        if any(sign in lowered for sign in ("connect", "unavailable", "refused", "resolution", "name or service")):
            return f"no {self.protocol} server at {self.url}: start one with `signs serve`, or give its --url"
        if "Expected HTTP/" in reason:
            return f"{self.url} does not speak HTTP: give the server's HTTP port, or --protocol grpc"
        return f"{self.url} answers: {reason}"


class ModelClient:
    """What the clients of all models share: one model on one server, over a connection that ends with a block.

    Args:
        url: host:port of the server, without a scheme.
        protocol: "grpc" or "http"; each has its own port.
        model: its name on the server.
        version: of the model; the server's choice where it is empty.
        timeout: seconds to wait for an answer.

    Raises:
        ClientError: the address makes no sense.
    """

    def __init__(self, url: str, protocol: Protocol, model: str, version: str, timeout: float) -> None:
        self.model, self.version = model, version
        self._connection = Connection(url, protocol, timeout)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Closes the connection."""
        self._connection.close()


def encoded(data: bytes) -> npt.NDArray[np.object_]:
    """Returns one value of the datatype BYTES in a batch of one: shape [1, 1]."""
    values = np.empty((1, 1), dtype=np.object_)
    values[0, 0] = data
    return values
