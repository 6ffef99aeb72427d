"""A version as an OCI artifact: a layer with a repository of that version, stored under its digest.

It has the form of an image, with a tar layer and a configuration, so that Kubernetes can mount it as a volume. The same
version has the same digest, whoever pushes it.
"""

import json
import shutil
import tarfile
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from export.errors import RepositoryError
from export.repository.local import LocalStore
from export.repository.manifest import (
    MANIFEST,
    clear_errors,
    is_same_version,
    parse_manifest,
    stays_inside,
    version_number,
)
from export.repository.pull import choose_versions, pull
from export.repository.registry import MANIFEST_TYPE, SCHEME, Address, Registry
from export.repository.store import RepositoryLike, Store, open_store
from traffic_signs.progress import ProgressCallback, counting, silent

ARTIFACT_TYPE = "application/vnd.traffic-signs.model-version.v1"
LAYER_TYPE = "application/vnd.oci.image.layer.v1.tar"
CONFIG_TYPE = "application/vnd.oci.image.config.v1+json"
# Annotations of a manifest. One is the version's manifest.json, which is then readable without the layer.
MODEL, VERSION, DESCRIPTION = "traffic-signs.model", "org.opencontainers.image.version", "traffic-signs.manifest"
CREATED, TITLE = "org.opencontainers.image.created", "org.opencontainers.image.title"


@dataclass(frozen=True)
class Pushed:
    """One version that is in the registry now; `sent` is False if it was there before."""

    model: str
    version: int
    address: str
    sent: bool


def push(
    repository: RepositoryLike,
    target: str,
    wanted: Mapping[str, Sequence[int]],
    public_key: Path | None = None,
    plain_http: bool | None = None,
    progress: ProgressCallback = silent,
) -> list[Pushed]:
    """Pushes versions into a registry, each as an artifact with the tag MODEL-N, after the checks of a pull.

    Args:
        target: oci://HOST[:PORT]/NAME.
        wanted: numbers by model; an empty list is the champion, or the newest before any; an empty mapping all models.

    Raises:
        RepositoryError: a version is missing, damaged or not signed with the key, the registry has another one with its
            number, or cannot be written.
    """
    address = Address.parse(target)
    if address.digest:
        raise RepositoryError(f"{target} names a digest, which a push makes: give it without @{address.digest}")
    store = open_store(repository)
    with clear_errors(f"push to {target}"):
        chosen = choose_versions(store, wanted, any_gpu=True)
        registry = Registry(address, plain_http)
        pushed = []
        for model, version in [(model, number) for model, numbers in chosen.items() for number in numbers]:
            with tempfile.TemporaryDirectory(prefix="signs-push-") as scratch:
                pull(store, Path(scratch) / "alone", {model: [version]}, public_key, progress, any_gpu=True)
                digest, sent = _send(registry, Path(scratch), Path(scratch) / "alone" / model, version)
            pushed.append(Pushed(model, version, f"{address}@{digest}", sent))
        return pushed


def _send(registry: Registry, scratch: Path, folder: Path, number: int) -> tuple[str, bool]:
    """Sends the folder of a model with one version, the manifest last; returns the digest, and whether it is new."""
    content = (folder / str(number) / MANIFEST).read_bytes()
    version, tag = parse_manifest(content, MANIFEST), f"{folder.name}-{number}"
    there = registry.manifest(tag)
    described = there and there[1]["annotations"].get(DESCRIPTION, "")
    if there and not is_same_version(str(described).encode(), content):
        raise RepositoryError(
            f"{registry.name} has another version under the tag {tag}: a number is never reused, publish it again"
        )
    layer = scratch / f"{tag}.tar"
    _pack(folder, layer)
    described_layer = registry.put_blob(layer, LAYER_TYPE)
    described_layer["annotations"] = {TITLE: layer.name}
    config = scratch / f"{tag}.json"
    image = {
        "architecture": "amd64",  # of most nodes; the files run on any
        "os": "linux",
        "created": version.created,
        "config": {},
        "rootfs": {"type": "layers", "diff_ids": [described_layer["digest"]]},
    }
    config.write_text(json.dumps(image, sort_keys=True))
    manifest = {
        "schemaVersion": 2,
        "mediaType": MANIFEST_TYPE,
        "artifactType": ARTIFACT_TYPE,
        "config": registry.put_blob(config, CONFIG_TYPE),
        "layers": [described_layer],
        "annotations": {
            MODEL: version.model,
            VERSION: str(version.version),
            CREATED: version.created,
            DESCRIPTION: content.decode(),
        },
    }
    if there and there[1] == manifest:
        return there[0], False
    return registry.put_manifest(tag, manifest), True


@contextmanager
def opened(
    source: str,
    wanted: Mapping[str, Sequence[int]],
    plain_http: bool | None = None,
    progress: ProgressCallback = silent,
) -> Iterator[Store]:
    """Opens the source of a pull; versions from a registry exist until the block ends.

    Args:
        source: folder or address of all models; oci://HOST[:PORT]/NAME, with @sha256:DIGEST exactly that version.
        wanted: numbers by model, as for `pull`; models that the registry lacks are missing in the store.

    Raises:
        RepositoryError: the registry cannot be read, lacks a version of a model that it has, or sends other bytes than
            the digest names.
    """
    if not source.startswith(SCHEME):
        yield open_store(source)
        return
    address = Address.parse(source)
    registry = Registry(address, plain_http)
    references = [address.digest] if address.digest else _tags(registry, wanted)
    with tempfile.TemporaryDirectory(prefix="signs-pull-") as scratch, clear_errors(f"pull from {source}"):
        store = LocalStore(Path(scratch) / "versions")
        store.root.mkdir()
        store.name = source
        for reference in references:
            found = registry.manifest(reference)
            if found is None:
                raise RepositoryError(f"{registry.name} has no {reference}: push the version, or give another digest")
            _fetch(registry, found[1], reference, store.root, progress)
        yield store


def _tags(registry: Registry, wanted: Mapping[str, Sequence[int]]) -> list[str]:
    """Returns the tags of the wanted versions, or else the newest; raises RepositoryError for a missing version."""
    present: dict[str, list[int]] = {}
    for tag in registry.tags():
        model, _, text = tag.rpartition("-")
        number = version_number(text)
        if model and number is not None:
            present.setdefault(model, []).append(number)
    chosen = []
    for model in wanted or present:
        there = sorted(present.get(model, []))
        if not there:
            continue
        numbers = wanted.get(model) or there[-1:]
        if lacking := set(numbers).difference(there):
            raise RepositoryError(
                f"there is no version {min(lacking)} of {model} in {registry.name}: it has {', '.join(map(str, there))}"
            )
        chosen += [f"{model}-{number}" for number in numbers]
    return chosen


def _fetch(
    registry: Registry, manifest: Mapping[str, Any], reference: str, root: Path, progress: ProgressCallback
) -> None:
    try:
        (layer,) = manifest["layers"]
        model, size = str(manifest["annotations"][MODEL]), int(layer["size"])
        if layer["mediaType"] != LAYER_TYPE:
            raise ValueError(layer["mediaType"])
    except (ValueError, LookupError, TypeError) as error:
        raise RepositoryError(f"{registry.name} has at {reference} no version that was pushed by signs") from error
    packed = root.parent / "layer.tar"
    registry.fetch_blob(layer, packed, counting(progress, f"fetching {model}", size))
    _unpack(packed, root, f"{registry.name} at {reference}")
    packed.unlink()


def _pack(folder: Path, target: Path) -> None:
    """Writes a tar file of a folder that depends only on its names and bytes."""

    def plain(entry: tarfile.TarInfo) -> tarfile.TarInfo:
        entry.uid = entry.gid = 0
        entry.uname = entry.gname = ""
        entry.mtime, entry.mode = 0, 0o755 if entry.isdir() else 0o644
        return entry

    with tarfile.open(target, "w", format=tarfile.PAX_FORMAT) as tar:
        tar.add(folder, folder.name, filter=plain)  # in the order of the names


def _unpack(packed: Path, root: Path, where: str) -> None:
    """Writes the files of a tar file below a folder; raises RepositoryError for other entries."""
    try:
        with tarfile.open(packed, "r:") as tar:
            for entry in tar:
                if not stays_inside(entry.name) or not (entry.isreg() or entry.isdir()):
                    raise RepositoryError(f"{where} has an entry {entry.name!r} that is not a file of a version")
                if content := tar.extractfile(entry):
                    target = root / entry.name
                    target.parent.mkdir(parents=True, exist_ok=True)
                    with content, target.open("wb") as file:
                        shutil.copyfileobj(content, file)
    except tarfile.TarError as error:
        raise RepositoryError(f"{where} is not a tar file ({error}): push the version again") from error
