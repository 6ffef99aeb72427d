"""The champion, its history, and the config.pbtxt that follows it."""

import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from export.errors import RepositoryError
from export.repository import champion, promote, rollback, withdraw
from export.repository.policy import read_config, served
from export.repository.promotion import history
from export.repository.store import Store, open_store
from export.repository.verification import verify
from tests.export.repository.samples import publish_once, shared, tree


def what_is_served(place: str | Path) -> list[int]:
    store = open_store(place)
    return served(read_config(store.read("m/config.pbtxt"), ""), store.versions("m"))


def batch_size(place: str | Path) -> int:
    size: int = read_config(open_store(place).read("m/config.pbtxt"), "").max_batch_size
    return size


def test_the_newest_is_served_until_one_is_promoted_and_then_that_one(place: str) -> None:
    publish_once(place, batch=1)
    publish_once(place, batch=2)
    assert what_is_served(place) == [2] and batch_size(place) == 2
    assert champion(open_store(place), "m") is None
    entry = promote(place, "m", 1, "older is better")
    assert entry is not None and entry.reason == "older is better"
    assert what_is_served(place) == [1] and batch_size(place) == 1, "with its own configuration"
    publish_once(place, batch=3)
    assert what_is_served(place) == [1] and batch_size(place) == 1, "a challenger changes nothing"
    promote(place, "m", 3, "")
    assert what_is_served(place) == [3] and batch_size(place) == 3
    assert not any(check.problems for check in verify(place))


def test_labels_follow_too(tmp_path: Path) -> None:
    from export.repository import publish
    from tests.export.repository.samples import FACTS

    for labels in ("a\n", "b\n"):
        publish(tmp_path, "m", {"model.onnx": b"x"}, shared(labels=labels), FACTS, other_classes=True)
    promote(tmp_path, "m", 1, "")
    assert (tmp_path / "m" / "labels.txt").read_text() == "a\n"


@pytest.mark.parametrize("how", ["promote", "rollback", "publish"])
def test_what_config_pbtxt_cannot_follow_is_undone(place: str, how: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk that is full for the last of the files, and then no longer, cannot be had without rights: it is put in."""
    for number in (1, 2):
        publish_once(place, batch=number)
    if how != "publish":
        for number in (1, 2) if how == "rollback" else (1,):
            promote(place, "m", number, "")
    store = open_store(place)
    real, left = store.replace, 1
    before = content(store)

    def full_once(path: str, text: bytes) -> None:
        nonlocal left
        if path == "m/config.pbtxt" and text != store.read(path):
            left -= 1 if how != "publish" or store.versions("m") == [1, 2, 3] else 0  # not when what is served is held
            if left == 0:
                left = -1
                raise OSError(28, "No space left on device")
        real(path, text)

    monkeypatch.setattr(store, "replace", full_once)
    with pytest.raises(RepositoryError, match="No space left on device"):
        if how == "promote":
            promote(store, "m", 2, "")
        elif how == "rollback":
            rollback(store, "m", "")
        else:
            publish_once(store, batch=3)
    assert left == -1 and content(store) == before
    assert not any(check.problems for check in verify(place))


def content(store: Store) -> dict[str, bytes]:
    """Returns the files of all versions and those beside them, but what says that a number is spent."""
    paths = [f"m/{number}/{name}" for number in store.versions("m") for name in store.files("m", number)]
    paths += [f"m/{name}" for name in store.shared_files("m") if not re.match(r"claim-|\.last-version", name)]
    return {path: store.read(path) for path in paths}


def test_a_rollback_goes_back_one_promotion_at_a_time(place: str) -> None:
    for number in range(1, 5):
        publish_once(place, batch=number)
    for number in (2, 4, 3):
        promote(place, "m", number, "")
    assert (entry := rollback(place, "m", "bad")) and entry.version == 4
    assert (entry := rollback(place, "m", "bad too")) and entry.version == 2, "not to 3, which was bad"
    assert what_is_served(place) == [2]
    with pytest.raises(RepositoryError, match="no earlier champion"):
        rollback(place, "m", "")
    promote(place, "m", 1, "")
    assert (entry := rollback(place, "m", "")) and entry.version == 2
    entries = history(open_store(place), "m")
    assert [(entry.action, entry.version) for entry in entries] == [
        ("promote", 2),
        ("promote", 4),
        ("promote", 3),
        ("rollback", 4),
        ("rollback", 2),
        ("promote", 1),
        ("rollback", 2),
    ]
    assert entries[3].reason == "bad"


def test_promoting_the_champion_again_mends_the_configuration_and_records_nothing(place: str) -> None:
    publish_once(place, batch=1)
    publish_once(place, batch=2)
    promote(place, "m", 1, "")
    open_store(place).replace("m/config.pbtxt", shared(batch=9)["config.pbtxt"].encode())
    (problem,) = [text for check in verify(place) for text in check.problems]
    assert "promote m 1 " in problem
    assert promote(place, "m", 1, "") is None
    assert len(history(open_store(place), "m")) == 1
    assert not any(check.problems for check in verify(place))


def test_what_is_not_there_or_damaged_is_not_promoted(tmp_path: Path) -> None:
    publish_once(tmp_path)
    publish_once(tmp_path)
    (tmp_path / "m" / "2" / "model.onnx").write_bytes(b"other")
    before = tree(tmp_path)
    for model, version, reason in (
        ("m", 3, "no version 3 of m .* it has 1, 2"),
        ("n", 1, "there is no model n in"),
        ("../m", 1, "cannot name a model"),
        ("m", 2, "not the file that was published"),
    ):
        with pytest.raises(RepositoryError, match=reason):
            promote(tmp_path, model, version, "")
    assert tree(tmp_path) == before


def test_a_folder_copied_by_hand_under_another_number_is_refused(tmp_path: Path) -> None:
    import shutil

    publish_once(tmp_path)
    shutil.copytree(tmp_path / "m" / "1", tmp_path / "m" / "2")
    with pytest.raises(RepositoryError, match="is of m 1"):
        promote(tmp_path, "m", 2, "")


def test_a_rollback_to_what_was_removed_is_refused(tmp_path: Path) -> None:
    for _ in range(3):
        publish_once(tmp_path)
    promote(tmp_path, "m", 1, "")
    promote(tmp_path, "m", 2, "")
    withdraw(tmp_path, "m", 1)
    with pytest.raises(RepositoryError, match="version 1 of m, the previous champion, is no longer"):
        rollback(tmp_path, "m", "")
    assert what_is_served(tmp_path) == [2]


def test_the_champion_is_not_withdrawn(tmp_path: Path) -> None:
    publish_once(tmp_path)
    promote(tmp_path, "m", 1, "")
    with pytest.raises(RepositoryError, match="is the champion"):
        withdraw(tmp_path, "m", 1)


def test_a_damaged_history_is_named(tmp_path: Path) -> None:
    publish_once(tmp_path)
    promote(tmp_path, "m", 1, "")
    for content in ("{", "{}", '{"model": "m", "version": "1", "action": "promote", "reason": "", "time": ""}'):
        (tmp_path / "m" / "promotion-1.json").write_text(content)
        with pytest.raises(RepositoryError, match=r"promotion-1\.json cannot be read"):
            promote(tmp_path, "m", 1, "")


def test_promoters_at_once_are_recorded_one_after_the_other(place: str) -> None:
    for number in range(1, 5):
        publish_once(place, batch=number)

    def attempt(number: int) -> bool:
        try:
            promote(place, "m", number, "")
        except RepositoryError as error:
            assert "at the same time" in str(error)
            return False
        return True

    with ThreadPoolExecutor(4) as pool:
        done = list(pool.map(attempt, range(1, 5)))
    entries = history(open_store(place), "m")
    assert len(entries) == sum(done) >= 1
    assert what_is_served(place) == [entries[-1].version], "the last word is the history's"
    assert batch_size(place) == entries[-1].version


def test_versions_without_a_configuration_of_their_own_can_be_promoted(tmp_path: Path) -> None:
    """As those were that earlier releases published."""
    from export.repository import publish
    from tests.export.repository.samples import FACTS

    publish_once(tmp_path, batch=5)
    publish(tmp_path, "m", {"model.onnx": b"2"}, {}, FACTS)
    promote(tmp_path, "m", 2, "")
    assert what_is_served(tmp_path) == [2] and batch_size(tmp_path) == 5
