"""The roll-out by Helm, up to the very command lines and what the chart makes of them: there is no cluster here."""

from pathlib import Path

import pytest
import yaml

from retraining import helm
from retraining.errors import StepError
from retraining.processes import run
from retraining.settings import Settings
from tests.airflow.unreachable_cluster import write_kubeconfig
from tests.helm.helm_chart import CHART, container, find_helm, merged, named, run_helm
from tests.helm.value_cases import LEAST

STATUS = "status r --namespace n --output json"
UPGRADE = (
    "upgrade r chart --namespace n --reset-then-reuse-values --set models.versions.sign_classifier=5 --wait "
    "--timeout 20m"
)
ROLL_BACK = "rollback r 2 --namespace n --wait --timeout 20m"


def test_the_version_is_pinned_and_the_revision_before_comes_back(tmp_path: Path) -> None:
    """A script stands in for Helm, for want of a cluster: it writes down how it is called."""
    script, written = tmp_path / "helm", tmp_path / "calls"
    script.write_text(
        '#!/bin/sh\necho "$*" >> calls\n'
        'case $1 in status) printf \'{"version": %s, "info": {"status": "%s"}}\' $(cat revision) $(cat state) ;;\n'
        "upgrade) echo 3 > revision; echo deployed > state ;; esac\n"
    )
    script.chmod(0o755)
    settings = Settings(helm=(str(script),), home=str(tmp_path), namespace="n", chart="chart", release="r")

    def calls() -> list[str]:
        lines = written.read_text().splitlines()
        written.unlink()
        return lines

    (tmp_path / "revision").write_text("2")
    (tmp_path / "state").write_text("deployed")
    assert helm.upgrade(settings, "sign_classifier", 5, before=2) == {"version": 5, "revision": 3, "state": "deployed"}
    assert calls() == [STATUS, UPGRADE, STATUS]
    helm.restore(settings, before=2)
    assert calls() == [STATUS, ROLL_BACK, STATUS]
    helm.restore(settings, before=3)
    assert calls() == [STATUS, STATUS], "it is there still"

    (tmp_path / "state").write_text("pending-upgrade")
    helm.upgrade(settings, "sign_classifier", 5, before=2)
    assert calls() == [STATUS, ROLL_BACK, UPGRADE, STATUS], "the upgrade before was killed"


@pytest.mark.parametrize("name", ["helm", "helm3"])
def test_both_helms_take_these_command_lines_and_lack_nothing_but_the_cluster(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KUBECONFIG", str(write_kubeconfig(tmp_path)))
    settings = Settings(helm=(find_helm(name),), chart=str(CHART))
    upgrade, rollback = helm.upgrade_command(settings, "sign_classifier", 5), helm.rollback_command(settings, 2)
    for call in (
        lambda: run(upgrade, str(tmp_path)),
        lambda: run(rollback, str(tmp_path)),
        lambda: helm.status(settings),
    ):
        with pytest.raises(StepError, match=r"(?i)kubernetes cluster unreachable") as raised:
            call()
        assert not raised.value.final, "the next try may find it"


@pytest.mark.parametrize("name", ["helm", "helm3"])
@pytest.mark.parametrize("before", [5, [5, 6]], ids=str)
def test_the_chart_pulls_what_is_pinned_and_leaves_the_other_models(name: str, before: object) -> None:
    command = helm.upgrade_command(Settings(), "sign_detector", 7)
    pinned = command[command.index("--set") :][:2]
    values = merged(LEAST, {"models": {"versions": {"sign_detector": before}}})
    done = run_helm(find_helm(name), "template", "signs", str(CHART), *pinned, values=values)
    assert done.returncode == 0, done.stderr
    triton = named([each for each in yaml.safe_load_all(done.stdout) if each], "Deployment", "-triton")
    arguments = container(triton["spec"]["template"], "pull-models")["args"]
    assert [each for each in arguments if "--version" in each] == [
        "--version=sign_classifier=1",
        "--version=sign_detector=7",
    ]


def test_what_helm_reports_of_a_release_is_understood(tmp_path: Path) -> None:
    """Of one that it would install: it needs no cluster for that, and says the same of those that are there."""
    script = tmp_path / "helm"
    values = CHART / "examples" / "cpu.yaml"
    described = f"install signs {CHART} --values {values} --dry-run=client --output json"
    script.write_text(f"#!/bin/sh\nexec {find_helm('helm')} {described}\n")
    script.chmod(0o755)
    settings = Settings(helm=(str(script),), home=str(tmp_path))
    assert helm.status(settings) == {"revision": 1, "state": "pending-install"}
