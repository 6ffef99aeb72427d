"""Whatever was altered, lost or added is found and named."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from clients.command.repository_output import print_list
from export.errors import RepositoryError
from export.repository import promote, publish
from export.repository.comparison import compare_versions
from export.repository.listing import list_versions
from export.repository.verification import check_served, verify
from tests.export.repository.samples import FACTS, publish_once, shared


def problems(place: str | Path, *arguments: object) -> list[str]:
    return [text for check in verify(place, *arguments) for text in check.problems]  # type: ignore[arg-type]


def test_each_kind_of_damage_is_named(tmp_path: Path) -> None:
    for _ in range(5):
        publish_once(tmp_path)
    folder = tmp_path / "m"
    (folder / "1" / "model.onnx").write_bytes(b"Weights")
    (folder / "2" / "model.onnx").unlink()
    (folder / "3" / "new.bin").touch()
    (folder / "4" / "manifest.json").write_text("{")
    found = problems(tmp_path)
    assert len(found) == 4
    for text, part in zip(
        found,
        ("1/model.onnx is not the file", "2/model.onnx cannot be read: No such file", "3/new.bin was not published",
         "4/manifest.json cannot be read"),
        strict=True,
    ):  # fmt: skip
        assert part in text
    assert len(problems(tmp_path, "m", 2)) == 1
    assert problems(tmp_path, "m", 5) == []


def test_a_bucket_is_checked_too(new_bucket: Callable[[], str]) -> None:
    from export.repository.store import open_store

    place = new_bucket()
    publish_once(place)
    open_store(place).replace("m/1/model.onnx", b"Weights")
    (text,) = problems(place)
    assert text.startswith(f"{place}/m/1/model.onnx is not the file that was published")


def test_what_is_not_there_is_refused(place: str) -> None:
    publish_once(place)
    for arguments in (("n",), ("m", 2), ("n", 1), ("../m",)):
        with pytest.raises(RepositoryError, match=r"there is no|cannot name"):
            verify(place, *arguments)
    with pytest.raises(RepositoryError, match="of which model"):
        verify(place, version=1)


def test_a_place_without_any_model_is_refused(new_bucket: Callable[[], str], tmp_path: Path) -> None:
    for place in (str(tmp_path), new_bucket()):
        with pytest.raises(RepositoryError, match=r"there is no model in .*: nothing was verified"):
            verify(place)


def test_a_model_made_by_hand_is_a_notice(tmp_path: Path) -> None:
    (tmp_path / "h" / "1").mkdir(parents=True)
    (tmp_path / "h" / "1" / "model.py").touch()
    (tmp_path / "h" / "config.pbtxt").write_text('name: "h"\n')
    checks = verify(tmp_path)
    assert [check.problems for check in checks] == [[], []]
    assert "made by hand" in checks[0].notices[0]
    assert "made by hand" in check_served(tmp_path)[0]
    with pytest.raises(RepositoryError, match="made by hand"):
        check_served(tmp_path, tmp_path / "key.pub")


def test_a_configuration_that_serves_nothing_or_is_damaged_is_a_problem(tmp_path: Path) -> None:
    publish_once(tmp_path)
    promote(tmp_path, "m", 1, "")
    path = tmp_path / "m" / "config.pbtxt"
    path.write_text('name: "m" version_policy { specific { versions: 7 } }')
    assert "serves no existing version" in problems(tmp_path)[0]
    path.write_text("nonsense")
    assert "cannot be read" in problems(tmp_path)[0]
    shutil.rmtree(tmp_path / "m" / "1")
    assert any("is the champion, but it is missing" in text for text in problems(tmp_path))


def test_only_what_a_server_would_load_keeps_it_from_starting(tmp_path: Path) -> None:
    publish_once(tmp_path)
    publish_once(tmp_path)
    (tmp_path / "m" / "1" / "model.onnx").write_bytes(b"x")
    assert check_served(tmp_path) == []
    promote(tmp_path, "m", 2, "")
    publish_once(tmp_path)
    (tmp_path / "m" / "3" / "model.onnx").write_bytes(b"x")
    assert check_served(tmp_path) == []
    (tmp_path / "m" / "2" / "model.onnx").write_bytes(b"x")
    with pytest.raises(RepositoryError, match=r"m/2/model\.onnx is not the file .*: it is not served"):
        check_served(tmp_path)


def test_an_extra_file_is_reported_and_does_not_keep_a_server_from_starting(tmp_path: Path) -> None:
    """Python writes its cache beside a served model.py."""
    publish(tmp_path, "m", {"model.py": b""}, shared(), FACTS)
    (tmp_path / "m" / "1" / "__pycache__").mkdir()
    (tmp_path / "m" / "1" / "__pycache__" / "model.pyc").touch()
    assert ["was not published" in notice for notice in check_served(tmp_path)] == [True]


def test_an_empty_repository_is_not_the_matter_of_this_check(tmp_path: Path) -> None:
    assert check_served(tmp_path) == []


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("source", None),
        ("source", {"run_id": 7}),
        ("created", []),
        ("precision", 1),
        ("built_for", "a GPU"),
        ("tuning", [1]),
        ("metrics", {"accuracy": "high"}),
        ("inputs", ["images"]),
        ("gate", "passed"),
    ],
)
def test_a_manifest_with_something_else_in_a_field_is_damaged_and_no_fault_of_ours(
    tmp_path: Path, field: str, value: object
) -> None:
    publish_once(tmp_path)
    publish_once(tmp_path)
    path = tmp_path / "m" / "2" / "manifest.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {field: value}))
    (problem,) = problems(tmp_path)
    assert f"m/2/manifest.json cannot be read ({field} is not what it should be)" in problem
    print_list(list_versions(tmp_path), str(tmp_path))
    with pytest.raises(RepositoryError, match="cannot be read"):
        compare_versions(tmp_path, "m", 1, 2)
    with pytest.raises(RepositoryError, match="it is not served"):
        check_served(tmp_path)
