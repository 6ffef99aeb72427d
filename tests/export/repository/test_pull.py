"""A pull brings exactly what was asked for, checked, or changes nothing."""

import json
from pathlib import Path

import pytest

from export.errors import RepositoryError
from export.repository import promote, publish
from export.repository.local import staging_parent
from export.repository.policy import read_config, served
from export.repository.pull import Pulled, parse_wanted, pull
from export.repository.signing import Signer
from export.repository.store import open_store
from export.repository.verification import verify
from tests.export.repository.samples import FACTS, names, publish_once, shared, tree


def numbers_served(folder: Path, model: str = "m") -> list[int]:
    config = read_config((folder / model / "config.pbtxt").read_bytes(), "")
    return served(config, open_store(folder).versions(model))


def test_exactly_the_versions_asked_for_are_there_and_served(place: str, tmp_path: Path) -> None:
    for number in range(1, 5):
        publish_once(place, bytes([number]))
    pulled = pull(place, tmp_path / "here", {"m": [3, 1]})
    assert pulled == [Pulled("m", 1, True), Pulled("m", 3, True)]
    assert names(tmp_path / "here" / "m") == ["1", "3", "config.pbtxt", "labels.txt"]
    assert numbers_served(tmp_path / "here") == [1, 3]
    assert tree(tmp_path / "here" / "m" / "3")["model.onnx"] == b"\x03"
    assert not any(check.problems for check in verify(tmp_path / "here"))
    assert [name for name in names(tmp_path) if name.startswith(".staging")] == []


def test_a_model_alone_is_its_champion_and_before_any_promotion_its_newest(place: str, tmp_path: Path) -> None:
    publish_once(place, b"1")
    publish_once(place, b"2")
    assert pull(place, tmp_path / "a", {"m": []}) == [Pulled("m", 2, True)]
    promote(place, "m", 1, "")
    assert pull(place, tmp_path / "b", {"m": []}) == [Pulled("m", 1, True)]
    assert pull(place, tmp_path / "c", {}) == [Pulled("m", 1, True)], "without names, all models"


def test_what_is_there_and_whole_is_not_fetched_again(place: str, tmp_path: Path) -> None:
    publish_once(place, b"1")
    publish_once(place, b"2")
    here = tmp_path / "here"
    pull(place, here, {"m": [1]})
    before = (here / "m" / "1" / "model.onnx").stat().st_ino
    assert pull(place, here, {"m": [1, 2]}) == [Pulled("m", 1, False), Pulled("m", 2, True)]
    assert (here / "m" / "1" / "model.onnx").stat().st_ino == before
    assert pull(place, here, {"m": [2]}) == [Pulled("m", 2, False)]
    assert numbers_served(here) == [2], "1 stays, and is no longer served"
    (here / "m" / "2" / "model.onnx").write_bytes(b"rotten")
    assert pull(place, here, {"m": [2]}) == [Pulled("m", 2, True)]
    assert (here / "m" / "2" / "model.onnx").read_bytes() == b"2"


def test_files_that_were_not_published_do_not_come_along(tmp_path: Path) -> None:
    publish_once(tmp_path / "source")
    (tmp_path / "source" / "m" / "1" / "evil.py").write_text("")
    pull(tmp_path / "source", tmp_path / "here", {"m": [1]})
    assert "evil.py" not in names(tmp_path / "here" / "m" / "1")


@pytest.mark.parametrize("fresh", [True, False])
def test_on_failure_nothing_changes(place: str, tmp_path: Path, fresh: bool, keys: Path) -> None:
    publish_once(place, b"1", signer=Signer(keys / "release.pem"))
    publish_once(place, b"2", batch=2)
    publish_once(place, b"3")
    here = tmp_path / "here"
    if not fresh:
        pull(place, here, {"m": [1]})
    before = tree(here)
    store = open_store(place)
    store.replace("m/3/model.onnx", b"x")
    for wanted, key, reason in (
        ({"m": [9]}, None, "no version 9 of m"),
        ({"m": [1], "n": [1]}, None, "no model n"),
        ({"../m": [1]}, None, "cannot name a model"),
        ({"m": [1, 3]}, None, r"m/3/model\.onnx is not the file that was published"),
        ({"m": [1, 2]}, None, "different configurations"),
        ({"m": [2]}, keys / "release.pub", "is not signed"),
        ({"m": [1]}, keys / "other.pub", "signature of .* does not hold"),
        ({"m": [1]}, keys / "nothing.pub", r"no signature can be checked with .*nothing\.pub"),
    ):
        with pytest.raises(RepositoryError, match=reason):
            pull(place, here, wanted, key)
        assert tree(here) == before
        assert here.exists() != fresh
    assert [name for name in names(tmp_path) if name.startswith(".staging")] == []


def test_a_file_that_is_missing_in_the_source_is_named(place: str, tmp_path: Path) -> None:
    publish_once(place)
    open_store(place).discard("m/1/model.onnx")
    with pytest.raises(RepositoryError, match=r"m/1/model\.onnx cannot be read: No such file"):
        pull(place, tmp_path / "here", {"m": [1]})
    assert not (tmp_path / "here").exists()


def test_a_rename_that_fails_is_undone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The failing rename stands in for a volume that goes away between two of them, which cannot be had here."""
    for model in ("m", "n"):
        for number in (b"1", b"2"):
            publish(tmp_path / "source", model, {"model.onnx": number}, shared(), FACTS)
    here = tmp_path / "here"
    pull(tmp_path / "source", here, {"m": [1]})
    before = tree(here)
    real = Path.rename
    for failing in range(1, 4):
        count = iter(range(1, 100))

        def rename(self: Path, target: Path, failing: int = failing, count: "object" = count) -> Path:
            if next(count) == failing:  # type: ignore[call-overload]
                raise OSError(5, "Input/output error")
            return real(self, target)

        monkeypatch.setattr(Path, "rename", rename)
        if failing < 3:
            with pytest.raises(RepositoryError, match="Input/output error"):
                pull(tmp_path / "source", here, {"m": [2], "n": [1]})
            assert tree(here) == before
        else:
            pull(tmp_path / "source", here, {"m": [2], "n": [1]})
    assert numbers_served(here) == [2] and numbers_served(here, "n") == [1]


def test_another_version_under_the_same_number_is_not_overwritten(tmp_path: Path) -> None:
    publish_once(tmp_path / "a", b"1")
    publish_once(tmp_path / "b", b"other")
    pull(tmp_path / "a", tmp_path / "here", {"m": [1]})
    with pytest.raises(RepositoryError, match="is not the version 1 of"):
        pull(tmp_path / "b", tmp_path / "here", {"m": [1]})
    assert tree(tmp_path / "here" / "m" / "1")["model.onnx"] == b"1"


def test_a_repository_with_a_champion_of_its_own_is_not_pulled_into(tmp_path: Path) -> None:
    publish_once(tmp_path / "source")
    publish_once(tmp_path / "here")
    promote(tmp_path / "here", "m", 1, "")
    before = tree(tmp_path / "here")
    with pytest.raises(RepositoryError, match="has promoted versions of m itself"):
        pull(tmp_path / "source", tmp_path / "here", {"m": [1]})
    assert tree(tmp_path / "here") == before


def test_with_a_key_no_unsigned_configuration_comes_along(place: str, tmp_path: Path, keys: Path) -> None:
    publish_once(place, signer=Signer(keys / "release.pem"))
    open_store(place).replace("m/config.pbtxt", shared(batch=666)["config.pbtxt"].encode())
    pull(place, tmp_path / "here", {"m": [1]}, keys / "release.pub")
    assert b"666" not in tree(tmp_path / "here")["m/config.pbtxt"]
    publish(place, "m", {"model.onnx": b"2"}, {}, FACTS, Signer(keys / "release.pem"))
    with pytest.raises(RepositoryError, match=r"config\.pbtxt.*signature"):
        pull(place, tmp_path / "here", {"m": [2]}, keys / "release.pub")
    assert [each.version for each in pull(place, tmp_path / "there", {"m": [2]})] == [2]


def test_a_version_without_a_manifest_is_not_pulled(tmp_path: Path) -> None:
    (tmp_path / "source" / "m" / "1").mkdir(parents=True)
    (tmp_path / "source" / "m" / "1" / "model.py").touch()
    with pytest.raises(RepositoryError, match=r"no manifest\.json.*signs repository publish"):
        pull(tmp_path / "source", tmp_path / "here", {"m": [1]})


def test_a_destination_or_source_that_cannot_be_is_named(tmp_path: Path) -> None:
    publish_once(tmp_path / "source")
    (tmp_path / "file").touch()
    for destination in (tmp_path / "file", tmp_path / "file" / "x", Path("/proc/x")):
        with pytest.raises(RepositoryError, match=r"is a file|cannot pull"):
            pull(tmp_path / "source", destination, {"m": [1]})
    with pytest.raises(RepositoryError, match="there is no repository"):
        pull(tmp_path / "nowhere", tmp_path / "here", {})
    (tmp_path / "empty").mkdir()
    with pytest.raises(RepositoryError, match="no model in"):
        pull(tmp_path / "empty", tmp_path / "here", {})


def test_a_mount_of_its_own_is_staged_inside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A mount that may be written to cannot be made here without rights, so the finding is put in for the pull."""
    assert staging_parent(Path("/proc")) is None, "a mount: nothing can be renamed into it from beside it"
    assert staging_parent(tmp_path / "here") == tmp_path
    publish_once(tmp_path / "source", b"1")
    publish_once(tmp_path / "source", b"2")
    for module in ("export.repository.pull", "export.repository.local"):
        monkeypatch.setattr(f"{module}.staging_parent", lambda root: None)
    here = tmp_path / "here"
    here.mkdir()
    (here / ".staging-here-dead" / "m" / "1").mkdir(parents=True)  # Triton would not start on it
    for number in (1, 2):
        pull(tmp_path / "source", here, {"m": [number]})
    assert names(here) == [".lock", "m"] and numbers_served(here) == [2]
    assert names(here / "m") == ["1", "2", "config.pbtxt", "labels.txt"]
    for number in (1, 2):
        assert publish_once(tmp_path / "published").version == number
    assert names(tmp_path / "published" / "m") == [".last-version", "1", "2", "config.pbtxt", "labels.txt"]
    assert not any(check.problems for check in verify(tmp_path / "published"))
    outside = {"config.pbtxt": 'output { name: "p" label_filename: "../x" }'}
    for name in ("published", "new"):
        with pytest.raises(RepositoryError, match="inside its folder"):
            publish(tmp_path / name, "n", {"model.onnx": b"x"}, outside, FACTS)
    assert names(tmp_path / "published") == [".lock", "m"], "a model without a version would keep Triton from starting"
    assert names(tmp_path / "new") == []


def test_what_is_wanted_is_read_from_options_and_a_file(tmp_path: Path) -> None:
    assert parse_wanted(["m=3", "n", "m=4,5"]) == {"m": [3, 4, 5], "n": []}
    file = tmp_path / "versions.json"
    file.write_text(json.dumps({"m": 3, "n": None, "o": [1, 2]}))
    assert parse_wanted([], file) == {"m": [3], "n": [], "o": [1, 2]}
    for option in ("m=", "m=x", "m=0", "m=1,", "m=-1", "m=1.5", "m=²"):
        with pytest.raises(RepositoryError, match="names no version"):
            parse_wanted([option])
    for name in ("../m=1", "=1", ""):
        with pytest.raises(RepositoryError, match="cannot name a model"):
            parse_wanted([name])
    for content in ("", "[]", '{"m": "3"}', '{"m": 0}', '{"m": true}', '{"m": {}}', '{"m": 1.5}'):
        file.write_text(content)
        with pytest.raises(RepositoryError, match=r"versions\.json cannot be read"):
            parse_wanted([], file)
    with pytest.raises(RepositoryError, match="cannot be read"):
        parse_wanted([], tmp_path / "nowhere.json")
