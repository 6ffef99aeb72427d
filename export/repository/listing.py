"""Lists the versions of a repository."""

from contextlib import suppress
from dataclasses import asdict
from typing import Any

from export.errors import NewerSchemaError, RepositoryError
from export.repository.manifest import SIGNATURE, Manifest, check_model_name, clear_errors
from export.repository.policy import CONFIG, read_config, served
from export.repository.promotion import champion, champions, history, require_version
from export.repository.store import RepositoryLike, Store, open_store


def list_versions(repository: RepositoryLike, model: str | None = None) -> list[dict[str, Any]]:
    """Returns a row for each version: `model`, `version`, `champion`, `served`, `signed`, and its manifest.

    A manifest that cannot be read is reported in `problem`; if a newer release wrote it, `newer` is true.

    Raises:
        RepositoryError: the repository cannot be read, or has no such model.
    """
    store = open_store(repository)
    with clear_errors(f"list {store.name}"):
        models = store.models() if model is None else [check_model_name(model)]
        rows = [row for each in models for row in _rows(store, each)]
        if model is not None and not rows:
            raise RepositoryError(f"there is no model {model} in {store.name}")
        return rows


def show_version(repository: RepositoryLike, model: str, version: int) -> dict[str, Any]:
    """Returns the manifest of a version, which must be whole, with `champion`, `served` and `signed`."""
    store = open_store(repository)
    with clear_errors(f"read {store.name}"):
        require_version(store, model, version)  # says what is damaged, which a row of the list only notes
        row = next(row for row in _rows(store, model) if row["version"] == version)
        return {name: value for name, value in row.items() if name not in ("manifest", "problem", "newer")}


def show_model(repository: RepositoryLike, model: str) -> dict[str, Any]:
    """Returns `versions`, `served`, `champion`, `rollback` (the version that it restores) and `history`.

    Raises:
        RepositoryError: there is no such model, or its history is damaged.
    """
    store = open_store(repository)
    with clear_errors(f"read {store.name}"):
        present = store.versions(check_model_name(model))
        entries = history(store, model)
        if not present and not entries:
            raise RepositoryError(f"there is no model {model} in {store.name}")
        line = champions(entries)
        return {
            "model": model,
            "versions": present,
            "served": served_versions(store, model),
            "champion": line[-1] if line else None,
            "rollback": line[-2] if len(line) > 1 else None,
            "history": [asdict(entry) for entry in entries],
        }


def _rows(store: Store, model: str) -> list[dict[str, Any]]:
    present = store.versions(model)
    best, now_served = champion(store, model), served_versions(store, model)
    rows = []
    for version in present:
        files = store.files(model, version)
        manifest, problem, newer = None, "", False
        try:
            manifest = require_version(store, model, version)
        except RepositoryError as error:
            problem, newer = str(error), isinstance(error, NewerSchemaError)
        facts = asdict(manifest or Manifest(model, version, {}, created=""))
        rows.append(
            {
                **facts,
                "model": model,
                "version": version,
                "size": manifest.size if manifest else sum(files.values()),
                "manifest": manifest is not None,
                "champion": version == best,
                "served": version in now_served,
                "signed": SIGNATURE in files,
                "problem": problem,
                "newer": newer,
            }
        )
    return rows


def served_versions(store: Store, model: str) -> list[int]:
    """Returns the versions that config.pbtxt serves; none if it is missing or damaged."""
    with suppress(FileNotFoundError, RepositoryError):  # `verify` reports what is wrong with it
        path = f"{model}/{CONFIG}"
        return served(read_config(store.read(path), f"{store.name}/{path}"), store.versions(model))
    return []
