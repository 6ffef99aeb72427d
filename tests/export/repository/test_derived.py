"""A version made out of another one: its files and provenance, its own configuration, and the other untouched."""

from pathlib import Path

import pytest

from export.errors import RepositoryError
from export.repository import load_manifest, promote, publish
from export.repository.derived import publish_derived
from export.repository.fetching import fetch_version
from export.repository.policy import read_config
from export.repository.store import open_store
from export.repository.verification import verify
from tests.export.repository.samples import FACTS, config, publish_once
from traffic_signs.progress import silent


def test_weights_and_provenance_stay_and_the_configuration_is_new(place: str, tmp_path: Path) -> None:
    publish_once(place, b"weights")
    promote(place, "m", 1, "")
    store = open_store(place)
    original = fetch_version(store, "m", 1, tmp_path / "1", None, silent)
    new = read_config(config(batch=8).encode(), "")
    manifest = publish_derived(
        place,
        original,
        tmp_path / "1",
        {"config.pbtxt": new},
        {"extra.bin": b"x"},
        forget=["metrics"],
        tuning={"max_batch": 8},
    )
    assert manifest == load_manifest(place, "m", 2)
    assert (manifest.source, manifest.data, manifest.metrics) == (original.source, original.data, {})
    assert manifest.tuning == {"max_batch": 8}
    assert manifest.origin["version"] == 1 and len(manifest.origin["manifest_sha256"]) == 64
    assert store.read("m/2/model.onnx") == b"weights" and store.read("m/2/extra.bin") == b"x"
    assert read_config(store.read("m/2/config.pbtxt"), "") == new
    assert read_config(store.read("m/config.pbtxt"), "").max_batch_size == 64, "the champion is served as before"
    promote(place, "m", 2, "")
    assert read_config(store.read("m/config.pbtxt"), "").max_batch_size == 8
    assert not any(check.problems for check in verify(place))


def test_a_version_published_without_its_own_labels_gets_those_beside_it(tmp_path: Path) -> None:
    place = tmp_path / "models"
    publish(place, "m", {"model.onnx": b"weights"}, {}, FACTS)
    original = fetch_version(open_store(place), "m", 1, tmp_path / "1", None, silent)
    configs = {"config.pbtxt": read_config(config().encode(), "")}
    with pytest.raises(RepositoryError, match=r"labels\.txt.*config\.pbtxt"):
        publish_derived(place, original, tmp_path / "1", configs)
    (place / "m" / "labels.txt").write_text("a\nb\n")
    manifest = publish_derived(place, original, tmp_path / "1", configs)
    assert set(manifest.files) == {"model.onnx", "labels.txt", "config.pbtxt"}
