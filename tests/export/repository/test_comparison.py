"""What differs between two versions, and by how much."""

from pathlib import Path

import pytest

from export.errors import RepositoryError
from export.repository.comparison import compare_versions
from tests.export.repository.samples import publish_once


def test_figures_stand_side_by_side_and_of_the_rest_what_differs(place: str) -> None:
    publish_once(place, b"1", metrics={"accuracy": 0.5, "ece": 0.1}, precision="fp32")
    publish_once(place, b"22", metrics={"accuracy": 0.75, "ece": 0.1, "new": 1}, precision="int8", data={"name": "x"})
    rows = {row.name: row for row in compare_versions(place, "m", 1, 2)}
    assert (rows["metrics.accuracy"].first, rows["metrics.accuracy"].second) == (0.5, 0.75)
    assert rows["metrics.accuracy"].delta == 0.25
    assert rows["metrics.ece"].delta == 0, "a figure is shown also where it is the same"
    assert (rows["metrics.new"].first, rows["metrics.new"].delta) == (None, None)
    assert rows["size"].delta == 1
    assert (rows["precision"].first, rows["precision"].second) == ("fp32", "int8")
    assert rows["data.fingerprint"].second is None
    assert "files.model.onnx" in rows and "files.labels.txt" not in rows
    assert "opset" not in rows and "source.git_commit" not in rows


def test_a_version_that_is_not_there_or_says_nothing_is_refused(tmp_path: Path) -> None:
    publish_once(tmp_path)
    with pytest.raises(RepositoryError, match="no version 2 of m"):
        compare_versions(tmp_path, "m", 1, 2)
    (tmp_path / "m" / "2").mkdir()
    with pytest.raises(RepositoryError, match="cannot be read"):
        compare_versions(tmp_path, "m", 1, 2)
