"""Files that Triton reads beside the versions, as its warm-up's data, follow what is served and are checked too."""

import json
from pathlib import Path

import pytest

from export.errors import RepositoryError
from export.repository import Manifest, promote, publish, rollback
from export.repository.manifest import parse_manifest
from export.repository.policy import companions, read_config
from export.repository.pruning import prune
from export.repository.pull import pull
from export.repository.signing import Signer
from export.repository.store import open_store
from export.repository.verification import check_served, verify
from tests.export.repository.samples import FACTS, LABELS, tree

WARM_UP = "warmup/{}.bin"


def config(sample: str) -> str:
    return (
        'name: "m"\nplatform: "onnxruntime_onnx"\nmax_batch_size: 4\n'
        f'output {{ name: "p" data_type: TYPE_FP32 dims: 2 label_filename: "{LABELS}" }}\n'
        'model_warmup { name: "one" batch_size: 1 inputs { key: "images" value { data_type: TYPE_UINT8 dims: 2 '
        f'input_data_file: "{sample}.bin" }} }} }}\n'
    )


def publish_with(place: str | Path, sample: str, signer: Signer | None = None) -> Manifest:
    files = {"model.onnx": sample.encode(), WARM_UP.format(sample): f"pixels of {sample}".encode()}
    return publish(place, "m", files, {"config.pbtxt": config(sample), LABELS: "a\nb\n"}, FACTS, signer)


def test_they_follow_publication_promotion_and_rollback(place: str) -> None:
    store = open_store(place)
    publish_with(place, "first")
    assert store.read("m/warmup/first.bin") == store.read("m/1/warmup/first.bin") == b"pixels of first"
    publish_with(place, "second")
    assert store.read("m/warmup/second.bin") == b"pixels of second", "the newest is served before any promotion"
    store.replace("m/warmup/first.bin", b"overwritten")
    promote(place, "m", 1, "")
    assert store.read("m/warmup/first.bin") == b"pixels of first"
    promote(place, "m", 2, "")
    rollback(place, "m", "")
    assert not any(check.problems for check in verify(place))


def test_pull_brings_them_and_undoes_them_on_failure(
    place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish_with(place, "first")
    publish_with(place, "second")
    here = tmp_path / "here"
    pull(place, here, {"m": [1]})
    assert (here / "m" / "warmup" / "first.bin").read_bytes() == b"pixels of first"
    assert not any(check.problems for check in verify(here))
    (here / "m" / "warmup" / "first.bin").unlink()
    (here / "m" / "warmup").rmdir()
    before = tree(here)

    def fail(folder: Path) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch, pytest.raises(RepositoryError, match="No space left"):
        patch.setattr("export.repository.pull.sync_folder", fail)
        pull(place, here, {"m": [2]})
    assert tree(here) == before and not (here / "m" / "warmup").exists()
    pull(place, here, {"m": [2]})
    assert (here / "m" / "warmup" / "second.bin").read_bytes() == b"pixels of second"


def test_a_signature_covers_them(tmp_path: Path, keys: Path) -> None:
    publish_with(tmp_path / "r", "first", Signer(keys / "release.pem"))
    check_served(tmp_path / "r", keys / "release.pub")
    (tmp_path / "r" / "m" / "warmup" / "first.bin").write_bytes(b"other pixels")
    with pytest.raises(RepositoryError, match=r"warmup/first\.bin .*signed"):
        check_served(tmp_path / "r", keys / "release.pub")


@pytest.mark.parametrize("name", [LABELS, WARM_UP.format("first")])
def test_a_server_does_not_start_on_one_that_is_not_the_version_s(place: str, tmp_path: Path, name: str) -> None:
    publish_with(place, "first")
    here = tmp_path / "here"
    pull(place, here, {})
    assert check_served(here) == []
    (here / "m" / name).write_bytes(b"others\n")
    with pytest.raises(RepositoryError, match=rf"m/{name} is not that of version 1: it is not served"):
        check_served(here)
    (found,) = [check for check in verify(here) if check.version is None]
    assert f"m/{name} is not that of version 1" in found.problems[0]
    pull(place, here, {})
    assert check_served(here) == [], "pulling mends it"
    (here / "m" / name).write_bytes(b"others\n")
    promote(here, "m", 1, "")
    assert check_served(here) == [], "and so does promoting"


def test_a_configuration_that_was_changed_by_hand_is_reported_and_served(tmp_path: Path) -> None:
    publish_with(tmp_path, "first")
    path = tmp_path / "m" / "config.pbtxt"
    path.write_text(path.read_text().replace("max_batch_size: 4", "max_batch_size: 3"))
    assert check_served(tmp_path) == [f"{path} is not that of version 1"]


def test_verify_names_one_that_is_missing(place: str) -> None:
    publish_with(place, "first")
    store = open_store(place)
    store.replace("m/config.pbtxt", config("nowhere").encode())
    (found,) = [check for check in verify(place) if check.version is None]
    assert any("m/warmup/nowhere.bin" in text for text in found.problems)


@pytest.mark.parametrize("name", ["../../../etc/passwd", "/etc/passwd"])
def test_a_configuration_cannot_point_out_of_its_folder(place: str, tmp_path: Path, name: str) -> None:
    text = config("x").replace("x.bin", name)
    with pytest.raises(RepositoryError, match="give a name inside its folder"):
        companions(read_config(text.encode(), ""))
    with pytest.raises(RepositoryError, match="inside its folder"):
        publish(place, "m", {"model.onnx": b"x"}, {"config.pbtxt": text}, FACTS)
    text = config("x").replace(LABELS, name)
    with pytest.raises(RepositoryError, match="inside its folder"):
        companions(read_config(text.encode(), ""))


def test_prune_sweeps_what_a_killed_writer_left_among_them(tmp_path: Path) -> None:
    publish_with(tmp_path, "first")
    left = tmp_path / "m" / "warmup" / ".staging-x"
    left.write_bytes(b"")
    assert prune(tmp_path, "m", 1, leftover_age_s=0).swept == [str(left)]


def test_manifests_of_before_have_neither_tuning_nor_hardware() -> None:
    manifest = parse_manifest(b'{"model": "m", "version": 1, "files": {}}', "")
    assert manifest.tuning == {} and manifest.built_for == {}


def test_a_manifest_without_a_schema_is_of_the_first(tmp_path: Path) -> None:
    publish_with(tmp_path, "first")
    path = tmp_path / "m" / "1" / "manifest.json"
    written = json.loads(path.read_bytes())
    assert written.pop("schema") == 1

    yesterday = parse_manifest(json.dumps(written).encode(), "")

    assert yesterday == parse_manifest(path.read_bytes(), "")


@pytest.mark.parametrize(
    ("schema", "reason"),
    [(2, "is of schema 2, and this release reads up to 1: install a newer release"), ("1", "schema is '1'"), (0, "0")],
)
def test_a_manifest_of_another_schema_is_refused(schema: object, reason: str) -> None:
    content = json.dumps({"schema": schema, "model": "m", "version": 1, "files": {}, "shape": [1]}).encode()
    with pytest.raises(RepositoryError, match=reason):
        parse_manifest(content, "m/1/manifest.json")
