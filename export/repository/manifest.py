"""manifest.json: what a version is, where it comes from, and the sha256 of each of its files."""

import hashlib
import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import Any, get_args, get_origin, get_type_hints

from export.errors import NewerSchemaError, RepositoryError

MANIFEST = "manifest.json"
SCHEMA = 1  # of manifest.json; 1 in a file without it. A field that older releases may ignore needs no new one
MODEL_FILE = "model.onnx"
GPU_FILE = "model.gpu.onnx"  # for GPUs: the network with a batch fixed inside, and the weights of MODEL_FILE
INT8_FILE = "model.int8.onnx"  # for CPUs on which int8 is faster; it has its own weights
LABELS_FILE = "labels.txt"  # class names, one per line
SIGNATURE = "model.sig"  # the name that OpenSSF model signing gives it


def cpu_file(served: str) -> str:
    """Returns the file that answers on a CPU as a served one, given a configuration's `default_model_filename`.

    For the file for GPUs that is the usual one, whose batch is free.
    """
    return INT8_FILE if served == INT8_FILE else MODEL_FILE


def served_file(configured: str) -> str:
    """Returns the ONNX file that a server answers with, given a configuration's `default_model_filename`.

    For an engine that is the one that it was built from.
    """
    return configured if configured in (GPU_FILE, INT8_FILE) else MODEL_FILE


def now() -> str:
    """Returns the time in ISO 8601, UTC."""
    return datetime.now(UTC).isoformat(timespec="seconds")


@dataclass(frozen=True)
class Manifest:
    """Content and source of a version; the file is beside the model file, and Triton ignores it."""

    model: str
    version: int
    files: dict[str, dict[str, Any]]  # for each file of the version, `sha256` and `size` in bytes
    source: dict[str, str] = field(default_factory=dict)  # MLflow run, git commit and checkpoint the weights come from
    data: dict[str, str] = field(default_factory=dict)  # name and fingerprint of the training data
    opset: int = 0  # of the ONNX graph; 0 for other models
    ir_version: int = 0  # of the ONNX file; 0 for other models
    precision: str = ""
    # Operators and bytes of the ONNX graph: traced, simplified (`slim_`) and published.
    graph: dict[str, int] = field(default_factory=dict)
    # Images for the ranges of int8: `data`, `split`, `samples`; and the target, `for`.
    calibration: dict[str, Any] = field(default_factory=dict)
    inputs: list[dict[str, Any]] = field(default_factory=list)  # name, datatype and shape of each; -1 is any
    outputs: list[dict[str, Any]] = field(default_factory=list)  # the same of each output
    parity: dict[str, float] = field(default_factory=dict)  # differences from the trained model
    # Beside the trained model: `measure`, `fp32`, `exported`, `loss`, `data`, `split` and `samples`.
    accuracy: dict[str, Any] = field(default_factory=dict)
    # The file for GPUs beside the one for CPUs: `file`, `fixed_batches`, `precision`, and its own `parity`; {} for a
    # version without one.
    gpu: dict[str, Any] = field(default_factory=dict)
    # The int8 file for CPUs beside that: `file`, `precision`, and its own `parity` and `accuracy`; {} for a version
    # without one.
    int8: dict[str, Any] = field(default_factory=dict)
    metrics: dict[str, float] = field(default_factory=dict)  # evaluation figures by name
    created: str = field(default_factory=now)  # time of publishing, ISO 8601, UTC
    # Of a copy: `repository`, `version`, `manifest_sha256` (empty for none) and the `origin` of that version; {} for a
    # version that was exported into this repository.
    origin: dict[str, Any] = field(default_factory=dict)
    # The best setting of `signs export tune`: `instances`, `threads`, `queue_delay_us`, `max_batch`, `target`, and its
    # measurement, with `from_version` if of an earlier version; {} for the defaults.
    tuning: dict[str, Any] = field(default_factory=dict)
    # GPU, compute capability, driver and TensorRT of an engine; {} for other versions.
    built_for: dict[str, str] = field(default_factory=dict)
    # The last verdict of the promotion gate, `export.gate.verdict.Verdict.as_dict`; {} before any. Only this field
    # changes later.
    gate: dict[str, Any] = field(default_factory=dict)

    @property
    def model_sha256(self) -> str:
        """Digest of the model file, which is the same in every copy; empty for a model without one."""
        return str(self.files.get(MODEL_FILE, {}).get("sha256", ""))

    @property
    def files_sha256(self) -> str:
        """Digest of the names and digests of all files, which is the same in every copy."""
        listed = "".join(f"{entry['sha256']}  {name}\n" for name, entry in sorted(self.files.items()))
        return hashlib.sha256(listed.encode()).hexdigest()

    @property
    def size(self) -> int:
        """Bytes of all files together."""
        return sum(entry["size"] for entry in self.files.values())

    def precision_of(self, file: str) -> str:
        """Returns the precision of one of its ONNX files."""
        beside = {each["file"]: str(each["precision"]) for each in (self.gpu, self.int8) if each}
        return beside.get(file, self.precision)

    def as_origin(self, repository: str, digest: str) -> dict[str, Any]:
        """Returns the `origin` of a copy, given the name of this version's repository and its manifest's sha256."""
        found = {"repository": repository, "version": self.version, "manifest_sha256": digest}
        return found | ({"origin": self.origin} if self.origin else {})

    def to_bytes(self) -> bytes:
        """Returns the content of manifest.json."""
        return (json.dumps({"schema": SCHEMA, **asdict(self)}, indent=2) + "\n").encode()


def parse_manifest(content: bytes, where: str) -> Manifest:
    """Reads the content of a manifest.json; unknown fields are ignored.

    Raises:
        NewerSchemaError: it is of a newer schema.
        RepositoryError: it is damaged, or names a file outside its version.
    """
    try:
        values = json.loads(content)
        schema = values.get("schema", 1)
        if type(schema) is not int or schema < 1:
            raise ValueError(f"schema is {schema!r}")
        if schema > SCHEMA:
            raise NewerSchemaError(
                f"{where} is of schema {schema}, and this release reads up to {SCHEMA}: install a newer release"
            )
        kinds = get_type_hints(Manifest)
        manifest = Manifest(**{name: value for name, value in values.items() if name in kinds})
        for name, kind in kinds.items():
            if not _is_of(getattr(manifest, name), kind):
                raise ValueError(f"{name} is not what it should be")
        for name, entry in manifest.files.items():
            if not stays_inside(name) or name in (MANIFEST, SIGNATURE):
                raise ValueError(f"{name!r} cannot be a file of a version")
            if not re.fullmatch("[0-9a-f]{64}", entry["sha256"]) or type(entry["size"]) is not int:
                raise ValueError(f"its entry {name!r} is not a sha256 and a size")
    except (ValueError, TypeError, LookupError, AttributeError) as error:
        raise RepositoryError(
            f"{where} cannot be read ({error}): publish the version again, or remove its folder"
        ) from error
    return manifest


def _is_of(value: Any, kind: Any) -> bool:
    """Returns whether a value from JSON has the type of a field, such as `dict[str, float]`."""
    inner = get_args(kind)
    if kind is Any:
        return True
    if kind is float:
        return type(value) in (int, float)
    if type(value) is not (get_origin(kind) or kind):
        return False
    parts = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return all(_is_of(part, inner[-1]) for part in parts)


def is_same_version(first: bytes, second: bytes) -> bool:
    """Returns whether two manifests are of one version; verdicts of the gate may differ."""
    try:
        both = [replace(parse_manifest(content, MANIFEST), gate={}) for content in (first, second)]
    except RepositoryError:
        return False
    return both[0] == both[1]


def check_model_name(name: str) -> str:
    """Returns the name of a model; raises RepositoryError for others, such as `../x`."""
    if not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_.-]*", name):
        raise RepositoryError(f"{name!r} cannot name a model: use letters, digits, '.', '-' and '_'")
    return name


def version_number(name: str) -> int | None:
    """Returns the number in a folder's name, without leading zeros as in Triton, or None."""
    return int(name) if re.fullmatch("[1-9][0-9]{0,17}", name) else None


def describe(path: Path) -> dict[str, Any]:
    """Returns sha256 and size in bytes of a file."""
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256")
        return {"sha256": digest.hexdigest(), "size": file.tell()}


def files_in(folder: Path) -> list[str]:
    """Returns the files of a version, by their paths inside its folder, without manifest and signature."""
    paths = (path for path in folder.rglob("*") if not path.is_dir())
    names = sorted(path.relative_to(folder).as_posix() for path in paths)
    return [name for name in names if name not in (MANIFEST, SIGNATURE)]


def damage(folder: Path, manifest: Manifest) -> Iterator[str]:
    """Yields a sentence for each file of a version that is missing or altered."""
    for name, expected in manifest.files.items():
        try:
            found = describe(folder / name)
        except OSError as error:
            yield f"{folder / name} cannot be read: {error.strerror}"
            continue
        if found["sha256"] != expected["sha256"] or found["size"] != expected["size"]:
            yield (
                f"{folder / name} is not the file that was published (sha256 {found['sha256'][:12]}, "
                f"the manifest says {expected['sha256'][:12]})"
            )


def verify_files(folder: Path, manifest: Manifest) -> None:
    """Raises RepositoryError if a file of a version is missing or differs from its manifest."""
    for problem in damage(folder, manifest):
        raise RepositoryError(f"{problem}: publish the model again")


@contextmanager
def clear_errors(doing: str) -> Iterator[None]:
    """Turns an error of the operating system into a RepositoryError: "cannot <doing> (<reason>)"."""
    try:
        yield
    except OSError as error:
        raise RepositoryError(
            f"cannot {doing} ({error.strerror or error}): check the path, its rights and the free space"
        ) from error


def stays_inside(name: str) -> bool:
    """Returns whether a relative path stays below its folder."""
    path = PurePosixPath(name)
    return bool(path.parts) and not path.is_absolute() and ".." not in path.parts and "\\" not in name
