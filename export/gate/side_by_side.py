"""Champion and challenger on one tritonserver, each checked against its manifest and served as it would be.

Each becomes a model of its own, named after its role: Triton takes one configuration for all versions of a model, and
two that are compared may differ in input size and batching. And where the challenger cannot be loaded, the champion is
there all the same.
"""

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
import numpy.typing as npt

from export.evaluation.model_ref import CLASSIFIER, DETECTOR, KIND_OF_INPUT, RECOGNIZER
from export.evaluation.served_model import ServedModel
from export.repository.local import write
from export.repository.manifest import MANIFEST, MODEL_FILE, Manifest, parse_manifest
from export.repository.policy import CONFIG, read_config, to_bytes
from export.repository.pull import pull
from export.repository.store import Store
from export.tensors import DETECTOR_OUTPUTS, OUTPUT_NAME
from serving.exit_reason import last_error
from serving.install import Installation
from serving.server import KEEP_GOING, RunningServer, running_server, unavailable_models
from traffic_sign_client.errors import ClientError
from traffic_signs.progress import ProgressCallback

Role = Literal["champion", "challenger"]
OUTPUTS = {CLASSIFIER: (OUTPUT_NAME,), DETECTOR: DETECTOR_OUTPUTS}


class UnusableError(ClientError):
    """Triton cannot load the challenger, or gets no answer out of it: it is refused."""


@dataclass(frozen=True)
class Staged:
    """A version that lies ready for a server.

    Attributes:
        role: the name of its model there.
        manifest: what it is.
        kind: CLASSIFIER or DETECTOR.
        size: height and width of the input in pixels.
        folder: of the version.
    """

    role: Role
    manifest: Manifest
    kind: str
    size: tuple[int, int]
    folder: Path

    @property
    def model_file(self) -> Path:
        """The ONNX file."""
        return self.folder / MODEL_FILE


class ServedVersion:
    """A version on the server, asked over one connection until its block ends.

    Args:
        staged: which.
        url: host:port of the server's gRPC.

    Raises:
        ClientError: the server cannot be reached.
    """

    def __init__(self, staged: Staged, url: str) -> None:
        self.staged = staged
        # A retry would count as slowness.
        self._served = ServedModel(url, "grpc", f"{staged.role}/{staged.manifest.version}", retries=0)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self._served.close()

    def ask(self, images: npt.NDArray[np.uint8]) -> list[npt.NDArray[Any]]:
        """Returns each output for images, uint8 [n, height, width, 3], in batches that the model takes.

        Raises:
            UnusableError: the challenger does not answer.
            ClientError: the champion does not.
        """
        try:
            return self._served.ask(images, OUTPUTS[self.staged.kind])
        except ClientError as error:
            if self.staged.role == "challenger":
                raise UnusableError(str(error)) from error
            raise


def stage(
    store: Store, model: str, version: int, role: Role, scratch: Path, public_key: Path | None, tell: ProgressCallback
) -> Staged:
    """Brings a version into `scratch/models`, checked, under the name of its role.

    Args:
        store: repository it is in.
        model: name of the model.
        version: its number.
        role: what it is here.
        scratch: folder of the gate.
        public_key: it must be signed with it.
        tell: shows how much is done.

    Raises:
        RepositoryError: it is not there, has no manifest, is damaged or not signed so.
        ClientError: it is not of a kind that the gate can judge.
    """
    pulled = scratch / role
    pull(store, pulled, {model: [version]}, public_key, tell)
    config = read_config((pulled / model / CONFIG).read_bytes(), f"{CONFIG} of {model} {version}")
    inputs = [each.name for each in config.input]
    kind = KIND_OF_INPUT.get(inputs[0], "") if len(inputs) == 1 else ""
    if not kind or kind == RECOGNIZER:
        raise ClientError(
            f"{model} {version} takes {', '.join(inputs) or 'nothing'}: the gate judges classifiers and detectors; a "
            "recognizer is as good as the two that it calls, so gate those"
        )
    dims = config.input[0].dims
    if len(dims) != 3 or min(dims) < 1:
        raise ClientError(f"{model} {version} takes images of {list(dims)}: the gate needs a height, a width and 3")
    config.name = role
    write(pulled / model / CONFIG, to_bytes(config))
    folder = scratch / "models" / role
    folder.parent.mkdir(exist_ok=True)
    (pulled / model).rename(folder)
    manifest = parse_manifest((folder / str(version) / MANIFEST).read_bytes(), f"{model} {version}")
    return Staged(role, manifest, kind, (dims[0], dims[1]), folder / str(version))


@contextmanager
def served(
    installation: Installation, staged: Mapping[Role, Staged], log: Path, store: Store
) -> Iterator[dict[Role, ServedVersion]]:
    """Serves both side by side; the server ends with the block.

    Args:
        installation: which tritonserver.
        staged: the versions by role, all in one folder.
        log: file that takes what the server prints.
        store: repository they come from, for messages.

    Raises:
        UnusableError: Triton cannot load the challenger; the message is its reason.
        ClientError: it cannot load the champion.
        serving.errors.ServingError: the server does not start.
    """
    repository = staged["challenger"].folder.parents[1]
    with running_server(installation, repository, log, extra_arguments=KEEP_GOING) as server, ExitStack() as clients:
        reasons = unavailable_models(server)
        for role in [each for each in staged if each in reasons]:  # the champion comes first
            one = staged[role].manifest
            reason = _reason(server, reasons[role]).replace(f"{repository}/{role}/", f"{store.name}/{one.model}/")
            if role == "challenger":
                raise UnusableError(reason)
            raise ClientError(
                f"Triton cannot load the champion, {one.model} {one.version} ({reason}): promote another version first"
            )
        yield {role: clients.enter_context(ServedVersion(each, server.grpc_url)) for role, each in staged.items()}


def _reason(server: RunningServer, told: str) -> str:
    return told.partition("\n")[0].strip() or last_error(server.log)
