"""The steps of a retraining, without Airflow: what they call, what they pass on, what their settings mean."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import typer

from clients.command.main import app
from retraining import failure, processes, steps
from retraining.errors import StepError, StepSkippedError
from retraining.planning import cooling, entries, make_plan, recipe, require_known, require_same_classes
from retraining.settings import Settings, SettingsError, load_settings
from retraining.steps import Step
from traffic_signs.durations import seconds

STEPS = [each for each in vars(steps).values() if isinstance(each, Step)]
ROOT = Path(__file__).parents[2]
PARAMS: dict[str, Any] = {
    "model": "sign_classifier",
    "data": ["gtsrb=data/gtsrb", "synthetic=20"],
    "evaluation": "gtsdb=data/FullIJCNN2013.zip",
    "feedback": "",
    "epochs": 7,
    "precision": "fp16",
    "dry_run": False,
    "force": False,
    "other_classes": False,
    "if_unclear": "roll back",
}
TIME = datetime(2026, 11, 23, 17, 15, tzinfo=UTC)


def facts(**changes: Any) -> dict[str, Any]:
    params = PARAMS | changes
    plan = make_plan(Settings(), params, "manual__1", TIME, "by hand")
    return {
        "params": params,
        "plan": plan,
        "train": {"checkpoint": f"{plan['folder']}/checkpoint", "run_id": "a1"},
        "fetch_champion": {"version": 3},
        "export": {"version": 4},
        "publish": {"version": 5},
        "before": {"time": 1790000000.5, "revision": 2},
        "roll_back": None,
    }


def arguments(step: Step, facts: dict[str, Any], settings: Settings | None = None) -> list[str]:
    return next(step.work(settings or Settings(), facts))


def passed_on(step: Step, answer: Any, **changes: Any) -> dict[str, Any]:
    """Returns the facts of a step whose command has printed an answer."""
    work = step.work(Settings(), facts(**changes))
    next(work)
    with pytest.raises(StopIteration) as ended:
        work.send(answer)
    returned: dict[str, Any] = ended.value.value
    return returned


@pytest.mark.parametrize("model", ["sign_classifier", "sign_detector"])
@pytest.mark.parametrize("step", STEPS, ids=lambda step: step.name)
def test_the_command_line_knows_every_option_that_a_step_gives(step: Step, model: str) -> None:
    changes: dict[str, Any] = {"model": model, "other_classes": True}
    changes |= {"data": ["gtsdb=x"]} if model == "sign_detector" else {}
    words = arguments(step, facts(**changes), Settings(watch_series='job="triton"'))
    command: Any = typer.main.get_command(app)
    name = "signs"
    while hasattr(command, "commands"):
        name, words = words[0], words[1:]
        command = command.commands[name]
    context = command.make_context(name, words)  # raises where an option or a value is unknown
    assert context.params["as_json"] is True
    for option, value in context.params.items():
        if option in ("window", "duration"):
            assert seconds(value) > 0


def test_every_step_says_what_to_do_where_it_fails() -> None:
    assert len({step.name for step in STEPS}) == len(STEPS)
    assert all(step.about.endswith(".") and step.advice.endswith((".", "`.", "`")) for step in STEPS)


def test_a_dry_run_writes_no_verdict_down() -> None:
    assert "--dry-run" in arguments(steps.gate, facts(dry_run=True))
    assert "--dry-run" not in arguments(steps.gate, facts())


def test_other_classes_are_passed_on_only_where_the_run_allows_them() -> None:
    for step in (steps.export, steps.gate, steps.publish, steps.promote):
        assert "--other-classes" in arguments(step, facts(other_classes=True))
        assert "--other-classes" not in arguments(step, facts())


def test_a_step_with_nothing_to_do_is_skipped() -> None:
    with pytest.raises(StepSkippedError, match="no version"):
        arguments(steps.settle_champion, facts() | {"fetch_champion": {"version": None}})
    with pytest.raises(StepSkippedError, match="nothing was published"):
        arguments(steps.roll_back, facts() | {"publish": None})


def test_other_classes_than_published_end_the_run_before_the_training() -> None:
    last = {"version": 3, "classes": ["stop", "yield"]}
    require_same_classes({}, ["stop"], False)
    require_same_classes(last, ["stop", "yield"], False)
    require_same_classes(last, ["stop"], True)
    with pytest.raises(StepError, match=r"version 3 \(new: tram; missing: yield\).*parameter other_classes") as raised:
        require_same_classes(last, ["stop", "tram"], False)
    assert raised.value.final
    with pytest.raises(StepError, match="another order"):
        require_same_classes(last, ["yield", "stop"], False)


def test_a_run_has_the_same_name_each_time_and_another_run_another() -> None:
    plans = [make_plan(Settings(), PARAMS, run, TIME, "x") for run in ("a", "a", "b")]
    assert plans[0] == plans[1] and plans[0]["name"] != plans[2]["name"]
    assert plans[0]["name"].startswith("classifier-20261123-171500-")
    assert plans[0]["staging"].startswith(plans[0]["folder"] + "/")


def test_feedback_is_learned_from_once_there_is_some(tmp_path: Path) -> None:
    settings = Settings(home=str(tmp_path))
    params = PARAMS | {"feedback": "feedback"}
    assert entries(settings, "feedback") == []
    assert make_plan(settings, params, "a", TIME, "")["data"] == PARAMS["data"]
    for name in ("20261123T171500Z-1f3a9c2b", "20261124T171500Z-00ff00ff", ".partial-20261125T171500Z-00ff00ff"):
        (tmp_path / "feedback" / name).mkdir(parents=True)
    assert make_plan(settings, params, "a", TIME, "")["data"][-1] == "feedback=feedback"
    data = ["synthetic=20", "feedback=feedback"]
    assert make_plan(settings, params | {"data": data}, "a", TIME, "")["data"] == data, "once"
    assert entries(settings, str(tmp_path / "feedback"), "20261123T171500Z-1f3a9c2b") == ["20261124T171500Z-00ff00ff"]


def test_on_kubernetes_feedback_that_pods_alone_can_see_is_learned_from(tmp_path: Path) -> None:
    settings = Settings(run_on="kubernetes", claim="work", home=str(tmp_path))
    params = PARAMS | {"feedback": "feedback"}
    assert make_plan(settings, params, "a", TIME, "")["data"][-1] == "feedback=feedback"
    (tmp_path / "feedback").mkdir()
    assert make_plan(settings, params, "a", TIME, "")["data"] == PARAMS["data"], "it is seen to be empty"


def test_what_decides_a_training_decides_its_mark() -> None:
    plan = facts()["plan"]
    marks = {recipe(plan, PARAMS | change, "f", ()) for change in ({}, {"epochs": 8}, {"precision": "fp32"})}
    assert len(marks | {recipe(plan, PARAMS, "g", ()), recipe(plan, PARAMS, "f", ("--seed", "1"))}) == 5
    assert recipe(plan, PARAMS | {"reason": "other"}, "f", ()) in marks


def test_a_parameter_that_is_misspelt_is_named() -> None:
    require_known({"dry_run": True}, PARAMS)
    with pytest.raises(StepError, match="no parameter dryrun: there are model, data") as raised:
        require_known({"dryrun": True}, PARAMS)
    assert raised.value.final


@pytest.mark.parametrize("change", [{"data": ["gtsdb=x", "synthetic=20"]}, {"evaluation": "gtsrb=y"}])
def test_a_detector_gets_no_data_without_scenes(change: dict[str, Any]) -> None:
    scenes = {"model": "sign_detector", "data": ["gtsdb=x"], "feedback": "", "evaluation": "gtsdb=x"}
    assert facts(**scenes)["plan"]["name"].startswith("detector-")
    with pytest.raises(StepError, match=r"(synthetic=20|gtsrb=y) has none: give gtsdb=PATH") as raised:
        facts(**scenes | change)
    assert raised.value.final


def test_own_classes_are_learned_from_and_evaluated_on() -> None:
    own = load_settings({"SIGNS_DATA": "coco=scenes 'yolo=more scenes'", "SIGNS_EVALUATION": "coco=scenes"})
    assert own.data == ("coco=scenes", "yolo=more scenes")
    scenes = {"model": "sign_detector", "data": list(own.data), "feedback": "", "evaluation": own.evaluation}
    assert facts(**scenes)["plan"]["data"] == list(own.data)
    figures = {"signs": 6, "map50": 0.9, "map50_95": 0.7, "labels": []}
    assert passed_on(steps.evaluate, {"data": "coco=scenes", "categories": figures}) == {
        "data": "coco=scenes",
        "signs": 6,
        "map50": 0.9,
        "map50_95": 0.7,
    }
    with pytest.raises(StepError, match="images=pictures has none: give gtsdb="):
        facts(**scenes | {"data": ["images=pictures"]})


def test_a_version_that_was_taken_back_is_not_rolled_out_and_confirmed_by_who_clears_a_step() -> None:
    back = passed_on(steps.roll_back, {"champion": 3, "notes": []})
    for step in (steps.roll_out, steps.watch):
        with pytest.raises(StepError, match=r"version 3 was restored.*clear the task promote") as raised:
            arguments(step, facts() | {"roll_back": back})
        assert raised.value.final
        promoted_again = {"time": back["time"] + 1, "revision": 2}
        assert arguments(step, facts() | {"roll_back": back, "before": promoted_again})
    assert passed_on(steps.roll_out, {"version": 5}) == {"version": 5}
    with pytest.raises(StepError, match="has version 3 and not 5"):
        passed_on(steps.roll_out, {"version": 3})


def test_the_cool_down_ends() -> None:
    assert cooling(None, TIME, 24) is None
    assert cooling(TIME - timedelta(hours=25), TIME, 24) is None
    assert cooling(TIME - timedelta(hours=23), TIME, 24) == timedelta(hours=1)


def test_broken_data_end_the_run_and_are_named() -> None:
    part = {"fingerprint": "f" * 64}
    whole: dict[str, Any] = {"name": "gtsdb=x", "splits": {"train": part, "test": part}, "broken": [], "bad_boxes": []}
    whole["classes"] = [{"name": "stop"}]
    audit = {"problems": 0, "data_sets": [whole]}
    first = passed_on(steps.audit, audit)
    assert first["data_sets"] == ["gtsdb=x"] and len(first["fingerprint"]) == 64
    assert passed_on(steps.audit, audit, data=["gtsdb=x"])["fingerprint"] != first["fingerprint"], "fewer drawings"
    spoilt = {"left_out": [{"image": "20261123T171500Z-1f", "what": "no picture"}]}
    assert passed_on(steps.audit, {"problems": 1, "data_sets": [whole | spoilt]})["left_out"] == 1, "of feedback"
    broken = [{"image": f"{number}.ppm", "what": "cannot be decoded"} for number in range(9)]
    with pytest.raises(StepError, match=r"9 problems.*gtsdb=x: 0\.ppm: cannot be decoded.*; \.\.\.") as raised:
        passed_on(steps.audit, audit | {"problems": 9, "data_sets": [whole | {"broken": broken}]})
    assert raised.value.final, "to look again would find the same"


def test_a_new_version_that_does_worse_or_cannot_be_evaluated_ends_the_run() -> None:
    fine = {"state": "fine", "reasons": [], "looks": 3}
    assert passed_on(steps.watch, fine)["state"] == "fine"
    with pytest.raises(StepError, match="worse: Slower"):
        passed_on(steps.watch, fine | {"state": "worse", "reasons": ["Slower: by far"]}, if_unclear="keep")
    unclear = fine | {"state": "unclear", "reasons": ["too few requests"]}
    with pytest.raises(StepError, match="unclear"):
        passed_on(steps.watch, unclear)
    assert passed_on(steps.watch, unclear, if_unclear="keep")["state"] == "unclear"


def test_what_is_passed_on_is_small_and_plain() -> None:
    rules = [{"rule": f"rule {number}", "passed": False, "text": "x" * 5000} for number in range(50)]
    verdict = passed_on(steps.gate, {"passed": False, "verdict": "it is refused", "rules": rules})
    assert not verdict["passed"] and len(json.dumps(verdict)) < 3000
    alert = {"labels": {"alertname": "SignsDrift", "feature": "brightness", "version": "1", "area": "quality"}}
    assert passed_on(steps.look_for_drift, {"firing": [alert]})["firing"] == [
        "SignsDrift (feature brightness, version 1)"
    ]


def test_settings_come_from_the_environment_and_wrong_ones_are_named() -> None:
    given = {"SIGNS_DATA": "gtsrb=a 'gtsdb=b c'", "SIGNS_GPUS": "0", "SIGNS_RELEASE": "traffic"}
    settings = load_settings(given)
    assert (settings.data, settings.gpus, settings.release) == (("gtsrb=a", "gtsdb=b c"), 0, "traffic")
    wrong = {
        "SIGNS_RUN_ON": "x",
        "SIGNS_ROLL_OUT": "x",
        "SIGNS_CLAIM": "",
        "SIGNS_GPUS": "two",
        "SIGNS_DATA": "/data",
        "SIGNS_NEW_ENTRIES": "-1",
        "SIGNS_COOL_DOWN_HOURS": "nan",
        "SIGNS_RUNS": "",
        "SIGNS_EPOCHS": "10001",
        "SIGNS_EVALUATION": "synthetic=5",
        "SIGNS_WATCH_FOR": "ten minutes",
        "SIGNS_PROMETHEUS": "prometheus:9090",
        "SIGNS_NOTIFY_URL": "notify.example",
    }
    for name, value in wrong.items():
        with pytest.raises(SettingsError, match=name):
            load_settings({"SIGNS_RUN_ON": "kubernetes", "SIGNS_CLAIM": "work", name: value})


@pytest.mark.parametrize("server", ["http://localhost:8000", "localhost", "localhost:x", "localhost:8000/v2", "a b:1"])
def test_an_address_that_no_server_can_have_is_refused_at_import(server: str) -> None:
    with pytest.raises(SettingsError, match="SIGNS_SERVER"):
        load_settings({"SIGNS_SERVER": server})
    assert load_settings({"SIGNS_SERVER": "[::1]:8000"}).server == "[::1]:8000"


def test_a_tilde_is_the_home_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/anna")
    settings = load_settings(
        {"SIGNS_HOME": "~/signs", "SIGNS_COMMAND": "~/bin/signs", "SIGNS_REPOSITORY": "s3://a/~/b"}
    )
    assert (settings.home, settings.command) == ("/home/anna/signs", ("/home/anna/bin/signs",))
    assert settings.repository == "s3://a/~/b"


def test_a_command_that_was_killed_is_not_blamed_on_its_last_line(tmp_path: Path) -> None:
    with pytest.raises(StepError, match=r"SIGKILL.*memory") as raised:
        processes.run(["sh", "-c", "echo 'note: all is well' >&2; kill -9 $$"], str(tmp_path))
    assert "all is well" not in str(raised.value)


def test_a_command_that_fails_says_why_in_its_last_words(tmp_path: Path) -> None:
    def sh(text: str, **options: Any) -> Any:
        return processes.run(["sh", "-c", text], str(tmp_path), **options)

    assert sh("echo '{\"a\": 1}'") == {"a": 1}
    assert sh("echo no JSON; echo note >&2") is None
    assert sh("echo '[1]'; exit 1", answers=(0, 1)) == [1]
    with pytest.raises(StepError, match=r"^there is no data$") as raised:
        sh("echo 'signs: there is no data' >&2; exit 1", answers=(0, 1))
    assert not raised.value.final
    with pytest.raises(StepError, match="ended with code 3"):
        sh("exit 3")
    with pytest.raises(StepError, match="check SIGNS_COMMAND"):
        processes.run(["/nowhere/signs"], str(tmp_path))


def test_a_command_gets_nothing_of_airflows_environment() -> None:
    own = {"AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": "secret", "_AIRFLOW_X": "", "MLFLOW_TRACKING_URI": "http://m"}
    assert processes.environment(own) == {"MLFLOW_TRACKING_URI": "http://m", "TYPER_USE_RICH": "0"}


def test_an_option_of_signs_that_is_wrong_is_reported_in_one_line(tmp_path: Path) -> None:
    signs = str(Path(sys.executable).with_name("signs"))
    with pytest.raises(StepError, match=r"^Invalid value for '--epochs': .*give a whole number") as raised:
        processes.run([signs, "train", "classifier", "--epochs", "x"], str(tmp_path))
    assert raised.value.final, "called again, it says the same"


def test_a_command_ends_with_the_task_that_is_killed(tmp_path: Path) -> None:
    code = (
        f"from retraining import processes; processes.run(['sh', '-c', 'echo $$ > pid; exec sleep 600'], '{tmp_path}')"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "airflow" / "dags")}
    task = subprocess.Popen([sys.executable, "-c", code], env=environment)
    pid = tmp_path / "pid"
    try:
        for _ in range(1200):
            if pid.exists() and pid.read_text().strip():
                break
            time.sleep(0.05)
        child = int(pid.read_text())
    finally:
        task.send_signal(signal.SIGKILL)
        task.wait()
    for _ in range(1200):
        if not Path(f"/proc/{child}").exists() or "\nState:\tZ" in Path(f"/proc/{child}/status").read_text():
            return
        time.sleep(0.05)
    pytest.fail("the command goes on without its task")


def test_a_failure_says_which_step_why_and_what_to_do_and_is_sent_on(monkeypatch: pytest.MonkeyPatch) -> None:
    received: list[dict[str, str]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            received.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(200)
            self.end_headers()

        def log_message(self, format: str, *arguments: object) -> None:
            pass

    task = SimpleNamespace(task_id="publish", dag_id="retrain_traffic_signs", run_id="manual__1", try_number=3)
    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.handle_request)
        thread.start()
        monkeypatch.setenv("SIGNS_NOTIFY_URL", f"http://127.0.0.1:{server.server_port}/hook")
        failure.explain({"ti": task, "exception": StepError("the disk is full", final=False)})
        thread.join()
    text = received[0]["text"]
    assert "the step publish has failed (attempt 3, run manual__1)" in text and "why: the disk is full" in text
    assert steps.publish.advice in text


def test_a_run_with_parameters_that_do_not_go_together_is_to_be_started_anew() -> None:
    task = SimpleNamespace(task_id="plan", dag_id="retrain_traffic_signs", run_id="manual__1", try_number=1)
    assert "do:  Start a new run with other parameters" in failure.message({"ti": task})


def test_who_cannot_be_reported_is_no_failure(caplog: pytest.LogCaptureFixture) -> None:
    failure.notify("http://127.0.0.1:1/secret", "text")
    assert "SIGNS_NOTIFY_URL" in caplog.text and "secret" not in caplog.text
