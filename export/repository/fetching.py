"""Fetches one version and checks all of it."""

from pathlib import Path

from export.errors import RepositoryError
from export.repository.manifest import MANIFEST, SIGNATURE, Manifest
from export.repository.promotion import require_version
from export.repository.store import Store
from export.repository.verification import check_folder
from traffic_signs.progress import ProgressCallback, counting, silent


def fetch_version(
    store: Store,
    model: str,
    version: int,
    target: Path,
    public_key: Path | None = None,
    progress: ProgressCallback = silent,
) -> Manifest:
    """Copies the files that the manifest of a version names, the manifest and the signature; returns the manifest.

    Raises:
        RepositoryError: the version is not there, has no manifest, is damaged or not signed so.
        OSError: the target cannot be written.
    """
    manifest, where = require_version(store, model, version), f"{store.name}/{model}/{version}"
    if manifest is None:
        raise RepositoryError(
            f"{where} has no {MANIFEST}, so nothing can be checked: `signs repository publish {where}` gives it one"
        )
    present = store.files(model, version)
    # What is missing is found below.
    names = [name for name in (MANIFEST, SIGNATURE, *manifest.files) if name in present]
    advance = counting(progress, f"fetching {model} {version}", sum(present[name] for name in names))
    target.mkdir(parents=True, exist_ok=True)
    for name in names:
        store.fetch(f"{model}/{version}/{name}", target / name, advance)
    for problem in check_folder(target, model, version, public_key).problems:
        raise RepositoryError(f"{problem.replace(str(target), where)}: publish the version again")
    return manifest
