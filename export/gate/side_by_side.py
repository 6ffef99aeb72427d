"""Champion and challenger on one tritonserver, each checked, and with its own configuration for this machine.

Each becomes a model, named after its role, because Triton has one configuration for all versions of a model and the two
may differ in input size and batching. If the challenger fails to load, the champion still serves.
"""

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from export.arrays import Images, Outputs
from export.gate.verdict import Role, UnusableError
from export.hardware_fit import fitting_arguments
from export.kinds import ModelKind, kind_of_inputs
from export.predictor import TritonPredictor
from export.repository.class_names import class_difference, read_class_names
from export.repository.local import LocalStore
from export.repository.manifest import MANIFEST, Manifest, parse_manifest, served_file
from export.repository.policy import CONFIG, to_bytes
from export.repository.promotion import present_configs
from export.repository.pull import pull
from export.repository.store import Store
from serving.exit_reason import last_error
from serving.install import Installation
from serving.server import KEEP_GOING, running_server, unavailable_models
from traffic_sign_client.errors import ClientError
from traffic_signs.atomic_write import write_synced
from traffic_signs.progress import ProgressCallback

WARM_UP = 10  # pairs of requests that are not timed
BUDGET_S = 30.0
MIN_PAIRS, MAX_PAIRS = 100, 1000  # with fewer p99 is the slowest request; more hardly narrow it


@dataclass(frozen=True)
class Staged:
    """A version in a folder for the server; its role names its model there, its size is height and width in pixels."""

    role: Role
    manifest: Manifest
    kind: ModelKind
    size: tuple[int, int]
    folder: Path

    @property
    def name(self) -> str:
        """Model and version, for messages."""
        return f"{self.manifest.model} {self.manifest.version}"

    def class_difference(self, expected: Sequence[str]) -> str:
        """Describes how its class names differ from the expected ones; empty if they do not, or it has no names."""
        names = read_class_names(lambda file: (self.folder / file).read_bytes(), self.name)
        return class_difference(names, expected)


class ServedVersion(TritonPredictor):
    """A version on the server at a gRPC `host:port`."""

    def __init__(self, staged: Staged, url: str) -> None:
        # A retry would look like a slow answer.
        super().__init__(url, "grpc", f"{staged.role}/{staged.manifest.version}", retries=0)
        self.staged = staged

    @property
    def model_file(self) -> Path:
        """The ONNX file that answers; that for GPUs answers the same on a CPU."""
        return self.staged.folder / served_file(self.file)

    @property
    def precision(self) -> str:
        """The precision of the file that answers."""
        return self.staged.manifest.precision_of(served_file(self.file))

    def _run(self, images: Images) -> Outputs:
        """See `Predictor`; raises UnusableError if the challenger does not answer."""
        try:
            return super()._run(images)
        except ClientError as error:
            if self.staged.role == "challenger":
                raise UnusableError(str(error)) from error
            raise


def stage(
    store: Store,
    model: str,
    version: int,
    role: Role,
    scratch: Path,
    public_key: Path | None,
    progress: ProgressCallback,
) -> Staged:
    """Pulls and checks a version into `scratch/models`, under the name of its role.

    Raises:
        RepositoryError: it is missing, has no manifest, is damaged or not signed with the key.
        ClientError: the gate does not compare its kind.
    """
    pulled = scratch / role
    pull(store, pulled, {model: [version]}, public_key, progress)
    configs = present_configs(LocalStore(pulled), model)
    config = configs[CONFIG]
    inputs = [each.name for each in config.input]
    kind = kind_of_inputs(inputs)
    if kind is None:
        raise ClientError(
            f"{model} {version} takes {', '.join(inputs) or 'nothing'}: the gate compares classifiers and detectors; "
            "for a recognizer, gate the two models that it calls"
        )
    dims = config.input[0].dims
    if len(dims) != 3 or min(dims) < 1:
        raise ClientError(f"{model} {version} takes images of {list(dims)}: the gate needs a height, a width and 3")
    for path, each in configs.items():
        each.name = role
        write_synced(pulled / model / path, to_bytes(each))
    folder = scratch / "models" / role
    folder.parent.mkdir(exist_ok=True)
    (pulled / model).rename(folder)
    manifest = parse_manifest((folder / str(version) / MANIFEST).read_bytes(), f"{model} {version}")
    return Staged(role, manifest, kind, (dims[0], dims[1]), folder / str(version))


@contextmanager
def serve_side_by_side(
    installation: Installation, staged: Mapping[Role, Staged], log: Path, store: Store
) -> Iterator[dict[Role, ServedVersion]]:
    """Serves both versions, which are in one folder, until the block ends.

    Raises:
        UnusableError: Triton cannot load the challenger; the message is the reason.
        ClientError: it cannot load the champion.
        serving.errors.ServingError: the server does not start.
    """
    repository = staged["challenger"].folder.parents[1]
    arguments = (*KEEP_GOING, *fitting_arguments(installation, repository))
    with running_server(installation, repository, log, extra_arguments=arguments) as server, ExitStack() as clients:
        reasons = unavailable_models(server)
        for role in [each for each in staged if each in reasons]:  # the champion comes first
            one = staged[role]
            reason = reasons[role].partition("\n")[0].strip() or last_error(server.log)
            reason = reason.replace(f"{repository}/{role}/", f"{store.name}/{one.manifest.model}/")
            if role == "challenger":
                raise UnusableError(reason)
            raise ClientError(f"Triton cannot load the champion, {one.name} ({reason}): promote another version first")
        yield {role: clients.enter_context(ServedVersion(each, server.grpc_url)) for role, each in staged.items()}


def time_requests(
    versions: dict[Role, ServedVersion], images: dict[Role, Images], pairs: int | None, progress: ProgressCallback
) -> dict[Role, npt.NDArray[np.float64]]:
    """Times requests for one image each over gRPC, of both versions alternately, so that a busy machine slows both.

    Args:
        images: what to send to each, uint8 [n, height, width, 3].
        pairs: how many to time, the order changes from one to the next; what BUDGET_S allows for None.

    Returns:
        By role float64 [pairs], milliseconds.
    """
    roles = list(versions)

    def ask(role: Role, number: int) -> float:
        image = images[role][number % len(images[role])][None]
        start = time.perf_counter()
        versions[role](image)
        return 1000 * (time.perf_counter() - start)

    warm = [sum(ask(role, number) for role in roles) for number in range(WARM_UP)]
    wanted = pairs or int(np.clip(1000 * BUDGET_S / np.median(warm), MIN_PAIRS, MAX_PAIRS))
    times = {role: np.empty(wanted) for role in roles}
    for number in range(wanted):
        for role in roles if number % 2 else reversed(roles):
            times[role][number] = ask(role, number)
        progress("timing requests", number + 1, wanted)
    return times
