"""Writes the verdict of the gate into the challenger's manifest, so that copies have it and signatures cover it."""

import tempfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from export.errors import RepositoryError
from export.repository.fetching import fetch_version
from export.repository.manifest import MANIFEST, SIGNATURE, Manifest, clear_errors, is_same_version
from export.repository.promotion import require_version
from export.repository.signing import Signer
from export.repository.store import RepositoryLike, Store, open_store
from traffic_signs.atomic_write import write_synced


def require_recordable(repository: RepositoryLike, model: str, version: int, signer: Signer | None) -> None:
    """Checks, before the evaluation, that a verdict can be written into a version.

    Raises:
        RepositoryError: there is no such version, it is signed and there is no key, or the repository is read-only.
    """
    store = open_store(repository)
    _require_signable(store, model, version, signer)
    with clear_errors(f"write a verdict of {model} {version} to {store.name}"), store.locked():
        pass  # a read-only folder takes no lock either


def _require_signable(store: Store, model: str, version: int, signer: Signer | None) -> None:
    with clear_errors(f"read {model} {version} in {store.name}"):
        require_version(store, model, version)
        if signer is None and SIGNATURE in store.files(model, version):
            raise RepositoryError(
                f"{model} {version} in {store.name} is signed, and the signature must cover the verdict: give "
                "--private-key to sign it again, or --dry-run to evaluate alone"
            )
    if signer is not None:
        signer.check()


def record_verdict(
    repository: RepositoryLike, evaluated: Manifest, verdict: Mapping[str, Any], signer: Signer | None = None
) -> None:
    """Writes a verdict into a manifest in one step, and then signs the version if there is a key.

    Between the two steps a signed version has no valid signature, and a check refuses it.

    Raises:
        RepositoryError: the version is missing, has changed, or cannot be written; it is unchanged.
    """
    store, model, version = open_store(repository), evaluated.model, evaluated.version
    doing = f"write the verdict of {model} {version} to {store.name}"
    with clear_errors(doing), store.locked(), tempfile.TemporaryDirectory() as scratch:
        _require_signable(store, model, version, signer)
        present = require_version(store, model, version)
        if present is None or not is_same_version(present.to_bytes(), evaluated.to_bytes()):
            raise RepositoryError(
                f"{model} {version} in {store.name} has changed since it was evaluated: run the gate again"
            )
        content = replace(present, gate=dict(verdict)).to_bytes()
        signature = b""
        if signer is not None:
            folder = Path(scratch) / str(version)
            fetch_version(store, model, version, folder)
            write_synced(folder / MANIFEST, content)
            (folder / SIGNATURE).unlink(missing_ok=True)
            signer.sign(folder)
            signature = (folder / SIGNATURE).read_bytes()
        store.replace(f"{model}/{version}/{MANIFEST}", content)
        if signature:
            store.replace(f"{model}/{version}/{SIGNATURE}", signature)
