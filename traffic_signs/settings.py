"""Settings whose fields say once what they mean and which values they take.

    @dataclass(frozen=True)
    class LoopConfig(BaseSettings):
        epochs: Annotated[int, Setting("Passes over the training crops.", min=1)] = 10

A value out of its bounds is refused wherever it comes from: Python, the file of an interrupted run, or the command
line, which makes its options of the fields (`traffic_signs.options`).
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, get_args, get_origin, get_type_hints

from traffic_signs.errors import SignsError


@dataclass(frozen=True)
class Setting:
    """What the `Annotated` type of a field says of its values. A field without one is not for the command line."""

    help: str  # a sentence for a person who sets it
    min: float | None = None  # of a tuple, that of each item
    max: float | None = None
    show_default: str = ""  # words for a default that is chosen later; an empty one is not shown
    flags: tuple[str, ...] = ()  # if they are not the field's name alone; a bool has no `--no-` form by itself
    metavar: str = ""  # what stands for the value in the help; empty for the type
    argument: bool = False  # it has a place on the command line, and no flag
    repeatable: bool = False  # the items of a tuple are given one by one, not with commas
    choices: tuple[str, ...] = ()  # all values, where the type does not list them
    envvars: tuple[str, ...] = ()  # environment variables that set it
    check: Callable[[Any], object] | None = None  # raises a SignsError for a value that it does not take


class SettingError(SignsError, ValueError):
    """A setting has a value that it does not take."""


class Described(NamedTuple):
    """A type without its metadata, and what its `Setting` says."""

    kind: Any
    setting: Setting

    @property
    def choices(self) -> tuple[str, ...]:
        """All values, where they can be listed."""
        return self.setting.choices or _literals(self.kind)

    @property
    def is_numeric(self) -> bool:
        """Whether it is a tuple of numbers."""
        return get_args(self.kind)[:1] in ((int,), (float,))

    def require(self, value: Any) -> None:
        """Raises SettingError for a value, or one item of a tuple, that is none of the choices or out of bounds."""
        if value is None:
            return
        low, high = self.setting.min, self.setting.max
        if self.choices and value not in self.choices:
            raise SettingError(f"{value!r}: choose {' or '.join(self.choices)}")
        if (low is not None and not value >= low) or (high is not None and not value <= high):
            bounds = [f"at least {low:.10g}"] if low is not None else []
            bounds += [f"at most {high:.10g}"] if high is not None else []
            raise SettingError(f"{value!r}: give {' and '.join(bounds)}")
        if self.setting.check is not None:
            try:
                self.setting.check(value)
            except SignsError as error:
                raise SettingError(str(error)) from error

    def parse_list(self, text: str) -> tuple[Any, ...]:
        """Reads `1,2,4`, smallest first, or names, each once; raises SettingError if one is not allowed or empty."""
        kind, items = get_args(self.kind)[0], []
        if not text.strip():
            raise SettingError("it is empty: give at least one")
        for word in map(str.strip, text.split(",")):
            try:
                items.append(kind(word) if self.is_numeric else word)
            except ValueError as error:
                kinds = "whole numbers" if kind is int else "numbers"
                raise SettingError(f"{word!r}: give {kinds} with commas between them") from error
            self.require(items[-1])
            if not word:
                raise SettingError("a name is empty: give names with commas between them")
        return tuple(sorted(set(items)) if self.is_numeric else dict.fromkeys(items))


class BaseSettings:
    """Base of the dataclasses of settings: each refuses what its fields do not take."""

    def __post_init__(self) -> None:
        for name, hint in get_type_hints(type(self), include_extras=True).items():
            if described := describe(hint):
                value = getattr(self, name)
                if value == () and getattr(type(self), name, ()):
                    raise SettingError(f"{name} is empty: give at least one")
                try:
                    for each in value if isinstance(value, tuple) else (value,):
                        described.require(each)
                except SettingError as error:
                    raise SettingError(f"{name} is {error}") from error


def describe(hint: Any) -> Described | None:
    """Returns what an `Annotated` type says, or None if it has no `Setting`."""
    if get_origin(hint) is Annotated:
        kind, *metadata = get_args(hint)
        return next((Described(kind, each) for each in metadata if isinstance(each, Setting)), None)
    return None


def _literals(kind: Any) -> tuple[str, ...]:
    if get_origin(kind) is Literal:
        return get_args(kind)
    return tuple(choice for part in get_args(kind) for choice in _literals(part))


# What several commands and stages are set with: an option of one name means the same in each.

# Where things are.
DEFAULT_REPOSITORY = "model_repository"
REPOSITORY_FLAGS = ("--repository", "-r")
Repository = Annotated[
    str,
    Setting(
        "Model repository: a folder, or an s3://, gs:// or az:// address.", flags=REPOSITORY_FLAGS, metavar="PATH|URL"
    ),
]
RepositoryFolder = Annotated[Path, Setting("Model repository, a folder of this machine.", flags=REPOSITORY_FLAGS)]
Model = Annotated[str, Setting("Name of a model, such as sign_classifier.", argument=True)]
AnyModel = Annotated[str | None, Setting("Only this model.", argument=True)]
Version = Annotated[int, Setting("Number of a version.", min=1, argument=True)]
MODEL_PATH = Setting("A checkpoint (PyTorch), or a version's folder or .onnx file (ONNX Runtime).", argument=True)
SERVED_MODEL = Setting("Name of the model on the server.", flags=("--model",), metavar="NAME")
Runs = Annotated[Path, Setting("Folder of all runs and of MLflow's database.")]
Home = Annotated[Path, Setting("Where tritonserver is installed, or will be.")]
OUTPUT = Setting("Folder for the report and its pictures.")
PRIVATE_KEY = Setting("PEM file of the key to sign with.")
PrivateKey = Annotated[Path | None, PRIVATE_KEY]
PublicKey = Annotated[Path | None, Setting("PEM file of a public key: every version must have its signature.")]

# What is measured.
DATA_METAVAR = "KIND=PATH"
DATA_SET = (
    "gtsdb=PATH, gtsrb=PATH, feedback=PATH, or your own: images=PATH (a folder of pictures for each class), coco=PATH, "
    "yolo=PATH; PATH is a folder or a zip."
)
Data = Annotated[str, Setting(f"Data set: {DATA_SET}", metavar=DATA_METAVAR)]
SCENES = "gtsdb=PATH, feedback=PATH, or your own: coco=PATH, yolo=PATH."
Split = Annotated[Literal["train", "test"], Setting("Split of the data: test or train.")]
Seed = Annotated[int, Setting("Seed of all random choices.", min=0, max=2**32 - 1)]
Device = Annotated[Literal["cpu", "cuda"], Setting("Device that runs the model: cpu, or cuda without TF32.")]
SCORE_THRESHOLD = Setting("Lowest score of a detection that counts.", min=0, max=1)
ScoreThreshold = Annotated[float, SCORE_THRESHOLD]
UnknownThreshold = Annotated[
    float | None,
    Setting(
        "Class score below which a sign is unknown; 0: never.",
        min=0,
        max=1,
        show_default="calibrated in the classifier's training",
    ),
]
Rounds = Annotated[int, Setting("Rounds; each measures everything once, in a new order.", min=1, max=100)]

# Servers: one that is asked, and one that is started.
HOST_PORT = "HOST:PORT"
Url = Annotated[str, Setting("Address of the server; gRPC is usually on 8001, HTTP on 8000.", metavar=HOST_PORT)]
GRPC_URL = Setting("Address of the server's gRPC, usually on 8001.", metavar=HOST_PORT)
GrpcUrl = Annotated[str, GRPC_URL]
HttpUrl = Annotated[str, Setting("Address of the server's HTTP, usually on 8000.", metavar=HOST_PORT)]
Protocol = Annotated[Literal["grpc", "http"], Setting("grpc or http; each has its own port.")]
Timeout = Annotated[float, Setting("Seconds to wait for an answer.", min=0.001, max=86_400)]
CONCURRENCY = Setting("Requests in flight at the same time.", min=1, max=4096)
Concurrency = Annotated[int, CONCURRENCY]
Host = Annotated[str, Setting("Address to listen on; 0.0.0.0 is all of them.", metavar="HOST")]
Port = Annotated[int, Setting("Port to listen on; 0 takes a free one.", min=0, max=65535, metavar="PORT")]
CONFIGURATION = Setting("Configuration of a model: NAME of configs/NAME.pbtxt, such as gpu or cpu-8.", metavar="NAME")
Configuration = Annotated[str, CONFIGURATION]
FittingConfiguration = Annotated[str, replace(CONFIGURATION, show_default="what fits this machine")]
GrpcThreads = Annotated[
    int, Setting("Threads of the server that take gRPC requests; 0: the server's default.", min=0, max=128)
]
TRACES = Setting(
    "OpenTelemetry collector (OTLP over HTTP) that receives traces, such as http://localhost:4318.", metavar="URL"
)

# What a command prints and does.
Json = Annotated[bool, Setting("Print the result as JSON.", flags=("--json",))]
DryRun = Annotated[bool, Setting("Only print the result: change nothing.")]
OtherClasses = Annotated[bool, Setting("Allow class names that differ from those in the repository.")]
IfNew = Annotated[bool, Setting("If the same version is published already, print it and publish nothing.")]


@dataclass(frozen=True)
class ServerAddress(BaseSettings):
    """A running server, and how long it may take to answer."""

    url: Url = "localhost:8001"
    protocol: Protocol = "grpc"
    timeout: Timeout = 30.0
