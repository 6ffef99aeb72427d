"""Protects the classes of a repository from replacement by a network with others."""

from pathlib import Path

from export.config import LABELS_FILE
from export.errors import ExportError
from export.kinds import find_kind
from export.repository import champion
from export.repository.store import Store, open_store
from training.checkpoint import CheckpointInfo


def require_same_names(repository: str | Path, info: CheckpointInfo) -> None:
    """Refuses a network whose class names differ from those of the champion, or before any promotion of the newest.

    Kinds without labels.txt, such as detectors, and versions without one are not checked.

    Raises:
        ExportError: the names differ, or the repository cannot be read.
    """
    if not any(output.labelled for output in find_kind(info.model).outputs):
        return
    store = open_store(repository)
    present = store.versions(info.model)
    if not present:
        return
    number = champion(store, info.model) or present[-1]
    there = _class_names(store, info.model, number)
    if there is not None and there != info.class_names:
        raise ExportError(
            f"{info.model} {number} in {store.name} has {len(there)} classes, and the checkpoint has "
            f"{len(info.class_names)} with other names: give a separate --repository, or replace them with "
            "--other-classes"
        )


def _class_names(store: Store, model: str, number: int) -> list[str] | None:
    """Returns the names in a version's labels.txt, else in the model's; None for neither."""
    for folder in (f"{model}/{number}", model):
        try:
            return store.read(f"{folder}/{LABELS_FILE}").decode().splitlines()
        except FileNotFoundError:
            continue
        except (OSError, UnicodeDecodeError) as error:
            raise ExportError(f"{store.name}/{folder}/{LABELS_FILE} cannot be read: {error}") from error
    return None
