"""The DAGs as Airflow reads them: they import, have no cycles, and say who looks after them and what to do."""

import json
import subprocess
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from tests.airflow.airflow_environment import DAGS, airflow_environment, settings_of_airflow

SCRIPT = Path(__file__).with_name("describe_dags.py")
MAIN = "retrain_traffic_signs"


def describe(home: Path, **settings: str) -> dict[str, Any]:
    environment = settings_of_airflow(home) | settings
    command = [str(airflow_environment() / "bin" / "python"), str(SCRIPT), str(DAGS)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=280)
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return describe(tmp_path_factory.mktemp("airflow"))


def test_all_dags_import_without_error_or_warning(found: dict[str, Any]) -> None:
    assert found["errors"] == {} and found["warnings"] == []
    assert sorted(found["dags"]) == [MAIN, "watch_drift", "watch_feedback"]


def test_each_dag_and_task_reports_what_it_is_and_who_looks_after_it(found: dict[str, Any]) -> None:
    for name, dag in found["dags"].items():
        assert {"traffic-signs", "mlops"} <= set(dag["tags"]) and len(dag["doc"]) > 100, name
        assert (dag["max_active_runs"], dag["catchup"]) == (1, False), name
        for task, facts in dag["tasks"].items():
            assert facts["owner"] == "traffic-signs" and facts["doc"], f"{name}.{task}"
            assert facts["timeout"] and facts["callbacks"] == 1, f"{name}.{task}"
            assert facts["retries"] >= 1 and facts["backoff"] > 1, f"{name}.{task}"


def test_the_graph_goes_as_the_loop_does(found: dict[str, Any]) -> None:
    tasks = found["dags"][MAIN]["tasks"]

    def before(task: str) -> set[str]:
        above = set(tasks[task]["upstream"])
        return above.union(*(before(each) for each in above))

    order = ["plan", "audit", "train", "export", "parity", "gate", "publish", "promote", "roll_out", "watch", "confirm"]
    for earlier, later in pairwise(order):
        assert earlier in before(later)
    assert "evaluate" in before("gate")
    assert tasks["keep_champion"]["upstream"] == ["verdict"]
    assert set(tasks["roll_back"]["upstream"]) == {"promote", "before", "roll_out", "watch"}
    assert tasks["roll_back"]["rule"] == "one_failed" and tasks["restore"]["upstream"] == ["roll_back"]
    assert tasks["confirm"]["outlets"] == ["traffic_signs_published"]


def test_the_form_checks_what_is_typed(found: dict[str, Any]) -> None:
    form = found["dags"][MAIN]["params"]
    assert {"data", "feedback", "evaluation", "epochs", "precision", "dry_run", "force"} <= set(form)
    assert {"other_classes", "if_unclear"} <= set(form)
    assert form["epochs"]["type"] == "integer" and form["epochs"]["minimum"] == 0
    assert form["precision"]["enum"] == ["fp32", "fp16", "int8", "auto"]
    assert form["data"]["items"]["pattern"] and form["dry_run"]["type"] == "boolean"
    assert all(each.get("description") and each.get("title") for each in form.values())
    empty = {name for name, each in form.items() if each["default"] in ("", None)}
    assert {name for name, each in form.items() if "null" in each["type"]} == empty == {"feedback", "reason"}, (
        "the form takes an empty field of one type for one that was forgotten, and starts nothing"
    )


def test_a_setting_that_makes_no_sense_is_an_import_error_that_names_it(tmp_path: Path) -> None:
    wrong = describe(tmp_path, SIGNS_RUN_ON="mars")
    assert wrong["dags"] == {} and all("SIGNS_RUN_ON=mars" in error for error in wrong["errors"].values())
    wrong = describe(tmp_path, SIGNS_SCHEDULE="now and then")
    assert MAIN not in wrong["dags"] and "SIGNS_SCHEDULE=now and then" in " ".join(wrong["errors"].values())
