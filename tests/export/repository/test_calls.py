"""Whoever promotes another detector sees that the recognizer was exported with the one before."""

import functools
import json
from pathlib import Path

import pytest

from export.repository import load_manifest, promote, publish, publish_copy
from export.repository.calls import calls_around, changed_calls, describe_call
from export.repository.policy import CONFIG
from export.repository.store import open_store
from export.repository.verification import verify
from tests.export.repository.samples import FACTS
from tests.fixture_types import Signs

CALLER, CALLED = "sign_recognizer", "sign_detector"
CONFIGURATION = 'name: "m"\nbackend: "none"\nmax_batch_size: 4\n'


def publish_called(place: str | Path, content: bytes = b"weights") -> int:
    return publish(place, CALLED, {"model.onnx": content}, {CONFIG: CONFIGURATION}, FACTS).version


def publish_caller(place: str | Path, version: int, pin: str = "latest") -> int:
    pinned = f'parameters {{ key: "detector_version" value {{ string_value: "{pin}" }} }}\n'
    source = {"git_commit": "c" * 40} | describe_call(open_store(place), CALLED, version)
    return publish(place, CALLER, {"model.py": b""}, {CONFIG: CONFIGURATION + pinned}, {"source": source}).version


def test_the_versions_it_was_exported_with_are_no_news(place: str) -> None:
    publish_called(place)
    publish_caller(place, 1)
    promote(place, CALLED, 1, "")
    store = open_store(place)
    assert list(changed_calls(store, CALLER)) == calls_around(store, CALLED) == []
    assert load_manifest(place, CALLER, 1).source[CALLED] == "version 1"


def test_another_champion_is_reported_by_both_names_until_the_caller_is_exported_again(place: str) -> None:
    publish_called(place)
    publish_caller(place, 1)
    publish_called(place, b"others")
    promote(place, CALLED, 2, "")
    store = open_store(place)

    (text,) = changed_calls(store, CALLER)

    assert text.startswith(f"{CALLER} 1 was exported with {CALLED} 1, and now calls {CALLED} 2: ")
    assert calls_around(store, CALLED) == calls_around(store, CALLER) == [text]
    assert calls_around(store, "sign_classifier") == list(changed_calls(store, CALLER, "sign_classifier")) == []
    notices = {check.model: check.notices for check in verify(place) if check.version is None}
    assert notices == {CALLER: [text], CALLED: []}
    assert not any(check.problems for check in verify(place))
    publish_caller(place, 2)
    assert list(changed_calls(store, CALLER)) == [], "only what is served counts"


def test_a_pinned_version_must_be_served(tmp_path: Path) -> None:
    publish_called(tmp_path)
    publish_called(tmp_path, b"others")
    publish_caller(tmp_path, 1, pin="1")
    promote(tmp_path, CALLED, 2, "")
    expected = f"{CALLER} 1 was exported with {CALLED} 1, and calls {CALLED} 1, which is not served here"
    assert calls_around(open_store(tmp_path), CALLED) == [expected]
    promote(tmp_path, CALLED, 1, "")
    assert calls_around(open_store(tmp_path), CALLED) == []


def test_copies_are_recognised_by_their_files_and_not_by_their_numbers(tmp_path: Path) -> None:
    staging, place = tmp_path / "staging", tmp_path / "place"
    for content in (b"first", b"second"):
        publish_called(staging, content)
    publish_caller(staging, 2)
    for source in (f"{CALLED}/2", f"{CALLED}/1", f"{CALLER}/1"):
        publish_copy(f"{staging}/{source}", place)
    store = open_store(place)
    promote(place, CALLED, 1, "")  # which is version 2 of staging
    assert calls_around(store, CALLED) == []
    promote(place, CALLED, 2, "")
    (text,) = calls_around(store, CALLED)
    assert f"was exported with {CALLED} 2 of {staging}, and now calls {CALLED} 2" in text


def test_a_manifest_without_digests_is_compared_by_number_where_it_was_exported(tmp_path: Path) -> None:
    for content in (b"first", b"second"):
        publish_called(tmp_path / "old", content)
    source = {CALLED: "version 1"}
    publish(tmp_path / "old", CALLER, {"model.py": b""}, {CONFIG: CONFIGURATION}, {"source": source})
    assert len(calls_around(open_store(tmp_path / "old"), CALLED)) == 1
    for copied in (f"{CALLED}/2", f"{CALLER}/1"):
        publish_copy(f"{tmp_path / 'old'}/{copied}", tmp_path / "new")
    assert calls_around(open_store(tmp_path / "new"), CALLED) == [], "nothing says what it is"


def test_a_model_that_is_not_there_is_reported_and_damage_is_left_to_others(tmp_path: Path) -> None:
    publish_called(tmp_path)
    publish_caller(tmp_path, 1)
    (tmp_path / CALLED).rename(tmp_path / "elsewhere")
    (text,) = changed_calls(open_store(tmp_path), CALLER)
    assert text == f"{CALLER} 1 was exported with {CALLED} 1, and calls {CALLED}, which is not served here"
    (tmp_path / CALLER / "1" / "manifest.json").write_text("{")
    assert list(changed_calls(open_store(tmp_path), CALLER)) == []
    (tmp_path / CALLER / CONFIG).write_text("{")
    assert list(changed_calls(open_store(tmp_path), CALLER)) == []


@pytest.fixture
def signs(signs: Signs) -> Signs:
    """Runs `signs repository ...`."""
    return functools.partial(signs, "repository")


def test_the_commands_tell_of_it(signs: Signs, tmp_path: Path) -> None:
    place = tmp_path / "model_repository"
    publish_called(place)
    publish_caller(place, 1)
    publish_called(place, b"others")
    assert signs("promote", CALLED, "1")[2].count("was exported with") == 0
    code, _, err = signs("promote", CALLED, "2")
    assert code == 0 and f"note: {CALLER} 1 was exported with {CALLED} 1, and now calls {CALLED} 2" in err
    (note,) = [each for each in json.loads(signs("promote", CALLED, "2", "--json")[1])["notes"] if "exported" in each]
    assert f"note: {note}" in signs("verify")[1]
    assert "was exported with" not in signs("rollback", CALLED)[2]
