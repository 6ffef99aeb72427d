"""Versions with other class names do not replace those that are served, unless that is asked for."""

from pathlib import Path

import pytest
from onnx import TensorProto, helper

from export.errors import RepositoryError
from export.repository import Manifest, promote, publish, publish_copy, rollback, versions
from export.repository.class_names import class_difference, read_class_names, version_class_names
from export.repository.promotion import gate_failure_reason
from export.repository.store import Store, open_store
from tests.export.repository.samples import FACTS, publish_once, shared, tree
from tests.fixture_types import Signs


def onnx_with_names(names: str) -> bytes:
    """A network that answers its input, with class names in its metadata."""
    value = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n"]) for name in ("x", "y")]
    graph = helper.make_graph([helper.make_node("Identity", ["x"], ["y"])], "same", value[:1], value[1:])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    helper.set_model_props(model, {"class_names": names})
    return bytes(model.SerializeToString())


def publish_detector(place: str | Path | Store, names: str, other_classes: bool = False) -> Manifest:
    """Publishes a version whose names are in its ONNX file alone."""
    files = {"model.onnx": onnx_with_names(names)}
    config = {"config.pbtxt": 'name: "m"\nbackend: "none"\nmax_batch_size: 4\n'}
    return publish(place, "m", files, config, FACTS, other_classes=other_classes)


def publish_named(place: str | Path, labels: str, other_classes: bool = False) -> Manifest:
    """Publishes a version with a labels.txt."""
    return publish(
        place, "m", {"model.onnx": labels.encode()}, shared(labels=labels), FACTS, other_classes=other_classes
    )


def test_a_difference_names_the_first_class_that_differs() -> None:
    assert class_difference(["a", "b"], ["a", "b"]) == "" == class_difference(None, ["a"])
    assert class_difference(["a"], ["a", "b"]) == "1 classes instead of 2"
    assert class_difference(["b", "a"], ["a", "b"]) == "class 0 is 'b' instead of 'a'"


def test_labels_that_are_no_text_are_an_error() -> None:
    with pytest.raises(RepositoryError, match=r"m 1/labels\.txt cannot be read"):
        read_class_names(lambda name: b"\xff", "m 1")


def test_other_names_are_refused_wherever_a_version_comes_in(place: str, tmp_path: Path) -> None:
    """In a folder and in a bucket, of a classifier's labels.txt and of a detector's ONNX file."""
    publish_detector(place, "red\nblue")
    with pytest.raises(RepositoryError, match=r"m 1 in .* \(class 0 is 'blue' instead of 'red'\).*--other-classes"):
        publish_detector(place, "blue\nred")
    staging = tmp_path / "staging"
    publish_detector(staging, "red\nblue\ngreen")
    with pytest.raises(RepositoryError, match=r"\(3 classes instead of 2\)"):
        publish_copy(f"{staging}/m/1", place)
    assert versions(place, "m") == [1]
    assert publish_copy(f"{staging}/m/1", place, other_classes=True).version == 2
    with pytest.raises(RepositoryError, match=r"m 2 in .* \(2 classes instead of 3\)"):
        publish_detector(place, "red\nblue")


def test_the_champion_decides_which_names_are_the_right_ones(tmp_path: Path) -> None:
    publish_named(tmp_path, "a\nb\n")
    promote(tmp_path, "m", 1, "")
    publish_named(tmp_path, "a\nc\n", other_classes=True)
    assert publish_named(tmp_path, "a\nb\n").version == 3
    before = tree(tmp_path)
    with pytest.raises(RepositoryError, match=r"m 1 in .* \(class 1 is 'c' instead of 'b'\)"):
        promote(tmp_path, "m", 2, "")
    assert tree(tmp_path) == before
    promote(tmp_path, "m", 2, "", other_classes=True)
    assert (entry := rollback(tmp_path, "m", "back")) and entry.version == 1


def test_a_version_without_names_of_its_own_has_those_beside_it(tmp_path: Path) -> None:
    publish_named(tmp_path, "a\nb\n")
    (tmp_path / "m" / "1" / "labels.txt").unlink()
    assert version_class_names(open_store(tmp_path), "m", 1) == ["a", "b"]
    (tmp_path / "m" / "labels.txt").unlink()
    assert version_class_names(open_store(tmp_path), "m", 1) is None
    publish_named(tmp_path, "c\n")  # nothing says that its classes are others


def test_a_verdict_by_the_floors_is_enough_where_the_champion_has_other_classes(tmp_path: Path) -> None:
    publish_named(tmp_path, "a\nb\n")
    promote(tmp_path, "m", 1, "")
    for number, labels in ((2, "a\nc\n"), (3, "a\nb\n")):
        verdict = {"passed": True, "champion": None, "challenger": {"sha256": ""}}
        manifest = publish(
            tmp_path, "m", {"weights": b""}, shared(labels=labels), FACTS | {"gate": verdict}, other_classes=True
        )
        assert manifest.version == number
    assert gate_failure_reason(tmp_path, "m", 2) == ""
    assert "has not been compared with version 1" in gate_failure_reason(tmp_path, "m", 3)
    promote(tmp_path, "m", 2, "", gated=True, other_classes=True)


def test_the_command_that_is_missing_has_the_option_for_other_classes(tmp_path: Path) -> None:
    publish_named(tmp_path, "a\nb\n")
    promote(tmp_path, "m", 1, "")
    for labels, options in (("a\nc\n", "--challenger 2 --other-classes"), ("a\nb\n", "--challenger 3")):
        version = publish_named(tmp_path, labels, other_classes=True).version
        lack = gate_failure_reason(tmp_path, "m", version)
        assert f"`signs export gate m --data DATA {options} -r {tmp_path}`" in lack


def test_the_list_shows_a_served_version_that_the_gate_refused(signs: Signs, tmp_path: Path) -> None:
    publish_once(tmp_path, b"old")
    publish_once(tmp_path, b"new", gate={"passed": False})
    code, out, _ = signs("repository", "list", "--repository", tmp_path)
    assert code == 0 and next(line for line in out.splitlines() if "served (gate refused)" in line).split()[1] == "2"
    promote(tmp_path, "m", 1, "")
    code, out, _ = signs("repository", "list", "--repository", tmp_path)
    assert "served (gate refused)" not in out and "gate refused" in out


def test_the_command_publishes_and_promotes_other_classes_on_request(signs: Signs, tmp_path: Path) -> None:
    place = tmp_path / "models"
    publish_named(place, "a\nb\n")
    publish_named(tmp_path / "staging", "a\nc\n")
    promote(place, "m", 1, "")
    for command in (("publish", tmp_path / "staging" / "m" / "1"), ("promote", "m", 2)):
        code, _, err = signs("repository", *command, "--repository", place)
        assert code == 1 and "--other-classes" in err.splitlines()[-1]
        code, out, _ = signs("repository", *command, "--repository", place, "--other-classes")
        assert code == 0
        if command[0] == "publish":
            assert out.splitlines()[-1] == f"next: signs repository promote m 2 --other-classes -r {place}"
