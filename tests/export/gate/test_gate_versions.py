"""Which versions the gate compares: the challenger, and what it has to be as good as."""

from pathlib import Path
from typing import Any

from export.gate.recording import record_verdict
from export.gate.run import choose_versions
from export.repository import promote
from export.repository.store import open_store
from tests.export.repository.samples import publish_once

REFUSED: dict[str, Any] = {"passed": False}


def test_a_refused_version_is_no_reference_before_any_promotion(tmp_path: Path) -> None:
    first, second = publish_once(tmp_path, b"one"), publish_once(tmp_path, b"two")
    store = open_store(tmp_path)
    assert choose_versions(store, "m", None, None) == (2, 1), "the gate has not seen version 1"

    record_verdict(tmp_path, first, REFUSED)
    assert choose_versions(store, "m", None, None) == (2, None), "only the floors are left"
    assert choose_versions(store, "m", None, 1) == (2, 1), "whoever names it gets it"

    record_verdict(tmp_path, second, {"passed": True})
    third = publish_once(tmp_path, b"three")
    record_verdict(tmp_path, third, REFUSED)
    publish_once(tmp_path, b"four")
    assert choose_versions(store, "m", None, None) == (4, 2)
    assert choose_versions(store, "m", 3, None) == (3, 2)


def test_a_promoted_version_is_the_reference_even_if_it_was_refused(tmp_path: Path) -> None:
    first = publish_once(tmp_path, b"one")
    record_verdict(tmp_path, first, REFUSED)
    publish_once(tmp_path, b"two")
    promote(tmp_path, "m", 1, "")
    assert choose_versions(open_store(tmp_path), "m", None, None) == (2, 1)


def test_a_version_without_a_manifest_has_no_verdict(tmp_path: Path) -> None:
    publish_once(tmp_path, b"one")
    publish_once(tmp_path, b"two")
    (tmp_path / "m" / "1" / "manifest.json").unlink()
    assert choose_versions(open_store(tmp_path), "m", None, None) == (2, 1)
