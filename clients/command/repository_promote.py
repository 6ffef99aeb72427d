"""`signs repository promote` and `rollback`: which version is the champion."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from clients.command.output import print_note, print_result
from traffic_signs.options import with_options
from traffic_signs.settings import DEFAULT_REPOSITORY, Json, Model, OtherClasses, Repository, Runs, Setting, Version

if TYPE_CHECKING:
    from export.repository.promotion import Promotion

Reason = Annotated[str, Setting("Reason, for the history.")]


@with_options
def promote(
    model: Model,
    version: Version,
    repository: Repository = DEFAULT_REPOSITORY,
    reason: Reason = "",
    gated: Annotated[bool, Setting("Only if it has passed the gate against the present champion.")] = False,
    if_no_champion: Annotated[
        bool, Setting("Only if the model has no champion yet, so that a rollback has a target.")
    ] = False,
    other_classes: OtherClasses = False,
    runs: Runs = Path("runs"),
    as_json: Json = False,
) -> None:
    """Make a version the champion: Triton then serves it and no other version of the model.

    Without --gated a version that has not passed the gate is promoted too, with a note; another note names a
    recognizer that was exported with another version. If MLflow is in use, its alias champion moves too.

    Examples:
        signs repository promote sign_classifier 3 --reason "better at night"
        signs repository promote sign_classifier 3 --gated
    """
    from export.repository.calls import find_stale_dependents
    from export.repository.promotion import champion, gate_failure_reason
    from export.repository.promotion import promote as make_champion
    from export.repository.store import open_store

    best = champion(open_store(repository), model) if if_no_champion else None
    if best is not None:
        _print(model, best, None, [], f"{model} {best} is the champion already", as_json)
        return
    lack = gate_failure_reason(repository, model, version)
    entry = make_champion(repository, model, version, reason, gated, other_classes=other_classes)
    notes = [lack] if lack and _can_be_gated(repository, model, version) else []
    notes += find_stale_dependents(repository, model, version, runs)
    _print(model, version, entry, notes, f"{model} {version} is the champion" + ("" if entry else " already"), as_json)


@with_options
def rollback(
    model: Model,
    repository: Repository = DEFAULT_REPOSITORY,
    reason: Reason = "",
    if_champion: Annotated[
        int | None, Setting("Only if this version is the champion, so that a repeated step rolls back once.", min=1)
    ] = None,
    runs: Runs = Path("runs"),
    as_json: Json = False,
) -> None:
    """Make the previous champion the champion again; a second rollback goes one further back.

    Examples:
        signs repository rollback sign_classifier --reason "wrong on lorry signs"
        signs repository rollback sign_classifier --if-champion 4
    """
    from export.repository.calls import find_stale_dependents
    from export.repository.promotion import champion
    from export.repository.promotion import rollback as roll_back
    from export.repository.store import open_store

    entry = roll_back(repository, model, reason, if_champion)
    if entry is None:
        best = champion(open_store(repository), model)
        _print(model, best, None, [], f"{model} {if_champion} is not the champion: {best} stays", as_json)
        return
    notes = find_stale_dependents(repository, model, entry.version, runs)
    _print(model, entry.version, entry, notes, f"{model} {entry.version} is the champion again", as_json)


def _print(
    model: str, champion: int | None, entry: "Promotion | None", notes: list[str], sentence: str, as_json: bool
) -> None:
    """Prints which version is the champion now, and the notes about it."""
    print_result({"model": model, "champion": champion, "entry": entry, "notes": notes}, as_json, sentence)
    for note in notes if not as_json else ():
        print_note(note)


def _can_be_gated(repository: str, model: str, version: int) -> bool:
    """Returns whether a version is a network; the gate takes nothing else."""
    from export.repository.promotion import require_version
    from export.repository.store import open_store

    manifest = require_version(open_store(repository), model, version)
    return manifest is not None and bool(manifest.model_sha256)
