"""What an upgrade changes: a new version changes the pods' template and nothing else; a challenger comes and goes."""

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.helm.helm_chart import CHART, Object, container, find_helm, merged, named, of_kind, render, without
from tests.helm.value_cases import LEAST, RUNNING

FULL = merged(
    LEAST, {"models": {"versions": {"sign_detector": 2}}, "monitoring": {"serviceMonitor": {"enabled": True}}}
)


def rendered_with(more: dict[str, Any], chart: Path = CHART) -> list[Object]:
    return render(find_helm("helm"), merged(FULL, more), chart=chart)


def by_name(objects: Sequence[Object]) -> dict[str, Object]:
    return {f"{each['kind']} {each['metadata']['name']}": each for each in objects}


def changed(before: Sequence[Object], after: Sequence[Object]) -> set[str]:
    """Returns the names of the objects that are new, gone or different."""
    old, new = by_name(before), by_name(after)
    return {name for name in old.keys() | new.keys() if old.get(name) != new.get(name)}


def differences(old: Any, new: Any, path: str = "") -> list[str]:
    """Returns the paths at which two objects differ."""
    if isinstance(old, dict) and isinstance(new, dict):
        keys = sorted(old.keys() | new.keys())
        return [path_ for key in keys for path_ in differences(old.get(key), new.get(key), f"{path}.{key}")]
    if isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        return [found for place in range(len(old)) for found in differences(old[place], new[place], f"{path}.{place}")]
    return [] if old == new else [path.removeprefix(".")]


def test_a_new_version_changes_the_pods_template_and_nothing_else() -> None:
    before = rendered_with({})
    after = rendered_with({"models": {"versions": {"sign_classifier": 3}}})
    assert changed(before, after) == {"Deployment demo-traffic-signs-triton"}
    found = differences(named(before, "Deployment", "-triton"), named(after, "Deployment", "-triton"))
    assert found == [
        "spec.template.metadata.annotations.traffic-signs/versions",
        "spec.template.spec.initContainers.0.args.4",
    ]
    pull = container(named(after, "Deployment", "-triton")["spec"]["template"], "pull-models")
    assert pull["args"][4] == "--version=sign_classifier=3"


def test_a_new_public_key_starts_the_pods_anew() -> None:
    """Otherwise they would serve versions that the new key has not signed."""
    one, other = (f"-----BEGIN PUBLIC KEY-----\n{text}\n-----END PUBLIC KEY-----" for text in ("abc", "def"))
    found = changed(rendered_with({"models": {"publicKey": one}}), rendered_with({"models": {"publicKey": other}}))
    assert found == {"Deployment demo-traffic-signs-triton", "ConfigMap demo-traffic-signs-public-key"}


def test_a_new_chart_leaves_the_pods_alone(tmp_path: Path) -> None:
    chart = tmp_path / "traffic-signs"
    shutil.copytree(CHART, chart)
    text = (chart / "Chart.yaml").read_text()
    (chart / "Chart.yaml").write_text(text.replace("\nversion: 0.1.0", "\nversion: 0.9.9"))
    before, after = rendered_with({}), rendered_with({}, chart)
    assert changed(before, after), "the label of the chart"
    for ending in ("-triton", "-gateway"):
        assert named(before, "Deployment", ending)["spec"] == named(after, "Deployment", ending)["spec"]


def test_a_challenger_comes_and_is_dropped_by_one_value() -> None:
    before = rendered_with({})
    running = rendered_with({"canary": RUNNING})
    new = {
        "ConfigMap demo-traffic-signs-canary-checks",
        "Deployment demo-traffic-signs-triton-canary",
        "Pod demo-traffic-signs-test-canary",
    }
    # The pods of the tests may call Prometheus then.
    assert changed(before, running) - {"NetworkPolicy demo-traffic-signs-test"} == new
    dropped = rendered_with({"canary": {**RUNNING, "state": "none"}})
    assert changed(before, without(dropped, "NetworkPolicy")) <= {
        name for name in by_name(before) if "NetworkPolicy" in name
    }

    champion = named(running, "Deployment", "-triton")["spec"]["template"]
    challenger = named(running, "Deployment", "-canary")["spec"]["template"]
    assert differences(champion, challenger) == [
        "metadata.annotations.traffic-signs/versions",
        "metadata.labels.track",
        "spec.initContainers.0.args.4",
        "spec.topologySpreadConstraints.0.labelSelector.matchLabels.track",
    ]
    assert challenger["metadata"]["annotations"]["traffic-signs/versions"] == "sign_classifier=2 sign_detector=2"


def test_a_promoted_challenger_is_what_its_versions_would_be() -> None:
    """So writing them into models.versions afterwards rolls nothing out."""
    promoted = rendered_with({"canary": {**RUNNING, "state": "promoted", "analysis": {}}})
    written = rendered_with({"models": {"versions": {"sign_classifier": 2}}})
    assert not changed(promoted, written)
    assert not [each for each in of_kind(promoted, "Deployment") if "canary" in each["metadata"]["name"]]


def test_rendering_again_changes_nothing() -> None:
    assert json.dumps(rendered_with({})) == json.dumps(rendered_with({}))
