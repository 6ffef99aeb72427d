"""`signs repository` as people and scripts call it."""

import functools
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from export.gate.recording import record_verdict
from export.repository import promote
from tests.export.repository.samples import publish_once, tree
from tests.fixture_types import Signs


@pytest.fixture
def signs(signs: Signs) -> Signs:
    """Runs `signs repository ...`."""
    return functools.partial(signs, "repository")


@pytest.mark.parametrize(
    "command",
    ["", "list", "show", "verify", "diff", "publish", "sign", "promote", "rollback", "prune", "pull", "push"],
)
def test_help_teaches(signs: Signs, command: str) -> None:
    code, out, _ = signs(*([command] if command else []), "--help")
    assert code == 0 and "Usage" in out
    assert not command or f"signs repository {command}" in out, "with an example"


def test_a_walk_from_staging_to_production_and_back(signs: Signs, tmp_path: Path, keys: Path) -> None:
    for number in (1, 2):
        publish_once(tmp_path / "staging", bytes([number]), metrics={"accuracy": number / 4})
    key, public = str(keys / "release.pem"), str(keys / "release.pub")
    for text in ("1", "2"):
        code, out, _ = signs("publish", f"staging/m/{text}", "--private-key", key)
        assert code == 0 and f"published: model_repository/m/{text}" in out
    code, out, _ = signs("list", "--json")
    assert [(row["version"], row["served"], row["signed"]) for row in json.loads(out)] == [
        (1, False, True),
        (2, True, True),
    ]
    assert signs("promote", "m", "1")[:2] == (0, "m 1 is the champion\n")
    assert signs("promote", "m", "1")[:2] == (0, "m 1 is the champion already\n")
    code, out, _ = signs("promote", "m", "2", "--reason", "better", "--json")
    assert json.loads(out)["entry"]["reason"] == "better"
    assert "champion, served, signed" in signs("list", "m")[1]
    code, out, _ = signs("show", "m")
    assert "promoted 2 (better)" in out and "a rollback goes to  1" in out
    assert json.loads(signs("show", "m", "--json")[1])["champion"] == 2
    code, out, _ = signs("show", "m", "2")
    assert "metrics.accuracy" in out and "origin.repository" in out
    assert json.loads(signs("show", "m", "2", "--json")[1])["metrics"] == {"accuracy": 0.5}
    code, out, _ = signs("diff", "m", "1", "2")
    assert "+0.25" in out
    assert any(row["delta"] == 0.25 for row in json.loads(signs("diff", "m", "1", "2", "--json")[1]))
    code, out, _ = signs("verify", "--public-key", public)
    assert code == 0 and "signature valid" in out and "no problems" in out
    assert signs("pull", "model_repository", "served", "--version", "m=2", "--public-key", public)[0] == 0
    assert json.loads(signs("pull", "model_repository", "served", "--version", "m", "--json")[1]) == [
        {"model": "m", "version": 2, "fetched": False}
    ]
    assert signs("rollback", "m", "--reason", "worse")[1] == "m 1 is the champion again\n"
    assert signs("prune", "m", "--keep", "0", "--dry-run")[1] == "would remove: 2\nkept: 1\n"
    assert json.loads(signs("prune", "m", "--keep", "0", "--json")[1])["removed"] == [2]


def test_sign_and_verify(signs: Signs, tmp_path: Path, keys: Path) -> None:
    publish_once(tmp_path / "model_repository")
    public = str(keys / "release.pub")
    code, out, _ = signs("verify", "m", "1", "--public-key", public)
    assert code == 1 and "is not signed" in out
    signed = signs("sign", "m", "1", "--private-key", str(keys / "release.pem"), "--json")
    assert json.loads(signed[1]) == {"model": "m", "version": 1}
    code, out, _ = signs("verify", "m", "1", "--public-key", public, "--json")
    assert code == 0 and json.loads(out)[0]["signature"] == "valid"
    (tmp_path / "model_repository" / "m" / "1" / "model.onnx").write_bytes(b"x")
    code, out, _ = signs("verify", "--json")
    assert code == 1 and "model.onnx" in json.loads(out)[0]["problems"][0]


def test_promote_reports_a_missing_gate_or_insists_on_it(signs: Signs, tmp_path: Path) -> None:
    place = tmp_path / "model_repository"
    first, second = publish_once(place, b"one"), publish_once(place, b"two", source={"run_id": "a1"})
    code, out, err = signs("promote", "m", "1")
    assert (code, out) == (0, "m 1 is the champion\n") and "note: m 1 has not been through the gate" in err
    code, _, err = signs("promote", "m", "2", "--gated")
    assert code == 1 and "signs export gate m --data DATA --challenger 2" in err
    assert len(err.splitlines()) == 1
    sides = {"challenger": {"sha256": second.model_sha256}, "champion": {"sha256": first.model_sha256}}
    rules = [{"rule": "size", "passed": True, "text": "as large as before"}]
    record_verdict(place, second, {"passed": True, "verdict": "it may", **sides, "rules": rules})
    assert "gate passed" in signs("list")[1]
    shown = signs("show", "m", "2")[1]
    assert "gate.verdict" in shown and "passed: as large as before" in shown
    code, out, err = signs("promote", "m", "2", "--gated")
    assert (code, out, err) == (0, "m 2 is the champion\n", "")


def test_where_mlflow_is_in_use_and_cannot_be_asked_a_note_says_so(
    signs: Signs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = tmp_path / "model_repository"
    for content in (b"one", b"two"):
        publish_once(place, content, source={"run_id": "a1"})
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "ftp://nowhere")
    code, out, _ = signs("promote", "m", "1", "--json")
    lack, alias = json.loads(out)["notes"]
    assert code == 0 and "through the gate" in lack and "the alias champion stays where it is: MLflow" in alias
    promote(place, "m", 2, "")
    code, out, err = signs("rollback", "m")
    assert (code, out) == (0, "m 1 is the champion again\n") and "note: the alias champion stays" in err


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (("list", "--repository", "nowhere"), "there is no repository at nowhere"),
        (("list", "--repository", "model_repository/m/1/manifest.json"), "is a file: give the folder of a repository"),
        (("show", "m", "1", "--repository", "nowhere"), "there is no repository at nowhere"),
        (("show", "n", "1"), "there is no model n"),
        (("list", "n"), "there is no model n"),
        (("show", "../m"), "cannot name a model"),
        (("show", "m", "9"), "no version 9"),
        (("show", "n"), "there is no model n"),
        (("verify", "m", "9"), "no version 9"),
        (("verify", "--public-key", "nowhere.pub"), ""),
        (("diff", "m", "1", "9"), "no version 9"),
        (("publish", "m"), "is not a version"),
        (("publish", "model_repository/m/1"), "these very files already"),
        (("publish", "model_repository/m/1", "--private-key", "nowhere.pem"), "nowhere.pem cannot sign"),
        (("sign", "m", "9", "--private-key", "KEY"), "no version 9"),
        (("promote", "m", "9"), "no version 9"),
        (("rollback", "m"), "no earlier champion"),
        (("prune", "n"), "there is no model n"),
        (("pull", "model_repository", "here", "--version", "m=9"), "no version 9"),
        (("pull", "model_repository", "here", "--version", "m=x"), "names no version"),
        (("pull", "nowhere", "here"), "there is no repository"),
        (("pull", "ftp://x/y", "here"), "cannot be a repository"),
    ],
)
def test_a_problem_is_one_line_and_changes_nothing(
    signs: Signs, tmp_path: Path, keys: Path, arguments: tuple[str, ...], reason: str
) -> None:
    publish_once(tmp_path / "model_repository")
    promote(tmp_path / "model_repository", "m", 1, "")
    before = tree(tmp_path)
    code, _out, err = signs(*(str(keys / "release.pem") if word == "KEY" else word for word in arguments))
    assert code == 1
    if reason:
        last = err.splitlines()[-1]  # progress may stand before it
        assert last.startswith("signs: ") and reason in last
    assert tree(tmp_path) == before


def test_steps_that_are_repeated_are_done_once(signs: Signs, tmp_path: Path) -> None:
    for content in (b"one", b"two"):
        publish_once(tmp_path / "staging", content)
    place = tmp_path / "model_repository"
    first = [signs("publish", "staging/m/1", "--if-new", "--json") for _ in range(2)]
    assert [json.loads(out)["version"] for _, out, _ in first] == [1, 1]
    assert signs("publish", "staging/m/1")[0] == 1, "without it that is a mistake"
    assert signs("publish", "staging/m/1", "--if-new", "--again")[0] == 2
    assert signs("promote", "m", "1", "--if-no-champion", "--json")[0] == 0
    assert json.loads(signs("publish", "staging/m/2", "--if-new", "--json")[1])["version"] == 2
    code, out, _ = signs("promote", "m", "2", "--if-no-champion", "--json")
    assert code == 0 and json.loads(out) == {"model": "m", "champion": 1, "entry": None, "notes": []}
    promote(place, "m", 2, "")
    assert json.loads(signs("rollback", "m", "--if-champion", "2", "--json")[1])["entry"]["action"] == "rollback"
    before = tree(place)
    code, out, _ = signs("rollback", "m", "--if-champion", "2")
    assert code == 0 and out == "m 2 is not the champion: 1 stays\n" and tree(place) == before


def test_pull_may_leave_out_what_is_not_there_yet(signs: Signs, tmp_path: Path) -> None:
    publish_once(tmp_path / "model_repository")
    wanted = ("--version", "m", "--version", "n", "--json")
    assert signs("pull", "model_repository", "here", *wanted)[0] == 1
    code, out, _ = signs("pull", "model_repository", "here", "--missing-ok", *wanted)
    assert code == 0 and [each["model"] for each in json.loads(out)] == ["m"]
    code, out, _ = signs("pull", "nowhere", "there", "--missing-ok", "--version", "m", "--json")
    assert (code, json.loads(out)) == (0, []) and not (tmp_path / "there").exists()


@pytest.mark.parametrize(
    "arguments", [("promote", "m"), ("promote", "m", "0"), ("prune", "m", "--keep", "-1"), ("diff", "m", "1")]
)
def test_a_usage_mistake_exits_2(signs: Signs, arguments: tuple[str, ...]) -> None:
    assert signs(*arguments)[0] == 2


def test_an_empty_bucket_is_reported(signs: Signs, new_bucket: Callable[[], str]) -> None:
    code, out, _ = signs("list", "--repository", new_bucket())
    assert code == 0 and "publish one first" in out
