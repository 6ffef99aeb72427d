"""The names of a version's classes, of a detector its categories. Others replace those served only when asked to."""

from collections.abc import Callable, Sequence
from contextlib import suppress

from export.errors import RepositoryError
from export.repository.manifest import LABELS_FILE, MODEL_FILE
from export.repository.store import Store

METADATA_PROPS = 14  # of ONNX's ModelProto
CLASS_NAMES = "class_names"  # key in the metadata of an ONNX file; one name per line


def version_class_names(store: Store, model: str, version: int) -> list[str] | None:
    """Returns the class names of a version; those beside the versions for one that has none of its own.

    None for a version that does not name its classes, such as a recognizer or the engine of a detector. Raises
    RepositoryError if its file of names is not text.
    """
    name = f"{store.name}/{model}/{version}"
    own = read_class_names(lambda file: store.read(f"{model}/{version}/{file}"), name)
    return own or read_class_names(lambda file: store.read(f"{model}/{file}"), name)


def read_class_names(read: Callable[[str], bytes], name: str) -> list[str] | None:
    """Returns the class names in labels.txt, else in the metadata of the ONNX file, in order; None without both.

    Args:
        read: returns a file of the version by its path, or raises FileNotFoundError.
        name: of the version, for the RepositoryError if labels.txt is not text.
    """
    with suppress(FileNotFoundError):
        try:
            return read(LABELS_FILE).decode().splitlines()
        except UnicodeDecodeError as error:
            raise RepositoryError(f"{name}/{LABELS_FILE} cannot be read: {error}") from error
    with suppress(FileNotFoundError):
        return _onnx_class_names(read(MODEL_FILE))
    return None


def _onnx_class_names(content: bytes) -> list[str] | None:
    """Returns the class names in the metadata of an ONNX file; None if it has none or is damaged.

    protobuf reads the fields by number, so that the library `onnx` is not needed to promote a version.
    """
    from google.protobuf.empty_pb2 import Empty
    from google.protobuf.message import DecodeError
    from google.protobuf.unknown_fields import UnknownFieldSet

    with suppress(DecodeError):
        for field in UnknownFieldSet(Empty.FromString(content)):
            if (field.field_number, field.wire_type) == (METADATA_PROPS, 2):
                entry = {each.field_number: each.data for each in UnknownFieldSet(Empty.FromString(field.data))}
                if entry.get(1) == CLASS_NAMES.encode():  # 1 is the key, 2 the value
                    return str(entry.get(2, b"").decode(errors="replace")).split("\n")
    return None


def version_difference(store: Store, model: str, version: int, other: int) -> str:
    """Describes how the class names of a version differ from those of another version; empty if they do not."""
    return class_difference(version_class_names(store, model, version), version_class_names(store, model, other))


def other_classes_option(store: Store, model: str, version: int, champion: int | None) -> str:
    """Returns ` --other-classes` if a version needs this option to replace the champion, else an empty string."""
    needed = champion is not None and version_difference(store, model, version, champion)
    return " --other-classes" if needed else ""


def class_difference(names: Sequence[str] | None, expected: Sequence[str] | None) -> str:
    """Describes how class names differ from the expected ones; empty if they are equal, or one side is unknown."""
    if names is None or expected is None:
        return ""
    if len(names) != len(expected):
        return f"{len(names)} classes instead of {len(expected)}"
    pairs = zip(names, expected, strict=True)
    return next((f"class {i} is {a!r} instead of {b!r}" for i, (a, b) in enumerate(pairs) if a != b), "")


def require_same_class_names(store: Store, model: str, names: Sequence[str] | None, version: int | None = None) -> None:
    """Raises RepositoryError unless a new version has the class names of the one that it replaces, in the same order.

    Args:
        names: of the new version; None if it does not name them.
        version: the version to compare with; None takes the newest.
    """
    present = store.versions(model) if names is not None else []
    if not present:
        return
    version = version or present[-1]
    if difference := class_difference(names, version_class_names(store, model, version)):
        raise RepositoryError(
            f"its classes differ from those of {model} {version} in {store.name} ({difference}): use a separate "
            "--repository, or replace them with --other-classes"
        )
