"""Aliases and tags in MLflow's registry, on a database of its own."""

from pathlib import Path

import mlflow
import pytest

from training.registry import CHALLENGER, CHAMPION, RegistryError, is_in_use, set_alias
from training.tracking import tracked_run

MODEL = "sign_classifier"


def _fail(notice: str) -> None:
    pytest.fail(f"unexpected notice: {notice}")


@pytest.fixture
def run_ids(runs: Path, tmp_path: Path) -> list[str]:
    """Runs that each registered a version: 1 and 2."""
    (tmp_path / "checkpoint").mkdir()
    (tmp_path / "checkpoint" / "weights.safetensors").write_bytes(b"weights")
    ids = []
    for name in ("first", "second"):
        with tracked_run(name, runs, {}, _fail) as tracker:
            tracker.log_files(tmp_path / "checkpoint")
            tracker.register_checkpoint(MODEL, {"test_accuracy": 0.5})
            ids.append(tracker.run_id)
    return ids


def aliases(runs: Path) -> dict[str, str]:
    model = mlflow.MlflowClient(f"sqlite:///{runs / 'mlflow.db'}").get_registered_model(MODEL)
    return {alias: str(version) for alias, version in model.aliases.items()}


def test_the_verdict_and_the_champion_are_found_by_the_run(runs: Path, run_ids: list[str]) -> None:
    assert set_alias(runs, MODEL, run_ids[0], CHAMPION) == "1"
    assert (
        set_alias(runs, MODEL, run_ids[1], CHALLENGER, {"gate": "passed", "gate.p": "0.5", "gate.reasons": "x" * 9000})
        == "2"
    )
    assert aliases(runs) == {"champion": "1", "challenger": "2"}
    version = mlflow.MlflowClient(f"sqlite:///{runs / 'mlflow.db'}").get_model_version(MODEL, "2")
    assert version.tags["gate"] == "passed" and version.tags["gate.p"] == "0.5"
    assert version.tags["test_accuracy"] == "0.500000", "what it had stays"
    assert set_alias(runs, MODEL, run_ids[1], CHAMPION) == "2"
    assert aliases(runs) == {"champion": "2"}, "it challenges no longer"
    set_alias(runs, MODEL, run_ids[1], CHALLENGER)
    assert set_alias(runs, MODEL, run_ids[0], CHAMPION) == "1"
    assert aliases(runs) == {"champion": "1", "challenger": "2"}, "after a rollback another is the challenger still"


def test_what_cannot_be_recorded_is_reported(
    runs: Path, run_ids: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(RegistryError, match=f"has no {MODEL} of the run abc123"):
        set_alias(runs, MODEL, "abc123", CHALLENGER)
    with pytest.raises(RegistryError, match="has no other of the run"):
        set_alias(runs, "other", run_ids[0], CHALLENGER)
    for run_id in ("", "x' or run_id != '"):
        with pytest.raises(RegistryError, match="names no MLflow run"):
            set_alias(runs, MODEL, run_id, CHALLENGER)
    with pytest.raises(RegistryError, match=r"there is no .*nowhere.*--runs"):
        set_alias(tmp_path / "nowhere", MODEL, run_ids[0], CHAMPION)
    assert not (tmp_path / "nowhere").exists(), "asking makes no database"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://user:secret@127.0.0.1:1")
    assert is_in_use(tmp_path / "nowhere")
    with pytest.raises(RegistryError, match=r"MLflow at http://127\.0\.0\.1:1 has failed") as error:
        set_alias(runs, MODEL, run_ids[0], CHALLENGER)
    assert "secret" not in str(error.value)
