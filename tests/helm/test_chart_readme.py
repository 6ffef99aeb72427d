"""The chart's README and its pages in docs/, command for command, as one would follow them; there is no cluster, so
readme_tools.py stands in for what leads to one.

The pages come before the README's last section, which uninstalls, and each runs in a shell of its own. What pods of the
release name, images, claims, Secrets and ConfigMaps, must have been made by an earlier command.
"""

import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from export.repository.artifact import opened
from export.repository.pull import pull
from tests.helm.helm_chart import (
    CHART,
    Object,
    at_path,
    containers,
    find_helm,
    merged,
    named,
    of_kind,
    pods,
    render,
    run_helm,
)
from tests.helm.kubernetes_schemas import problems
from tests.running_proxies import CONFIG
from tests.running_registry import RunningRegistry, running_registry
from tests.running_s3 import running_s3

ROOT = CHART.parents[1]
README = (CHART / "README.md").read_text()
INSTALLED, _, UNINSTALLED = README.partition("## Uninstall")
PAGES = {link: (CHART / link).read_text() for link in re.findall(r"\]\((docs/[\w-]+\.md)\)", README)}
ALL = [INSTALLED, *PAGES.values(), UNINSTALLED]
TOOLS = ("helm", "kubectl", "docker", "make", "curl", "signs")


def blocks(language: str, *texts: str) -> list[str]:
    """Returns the blocks of a language, by default of all pages."""
    return [block for text in texts or ALL for block in re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)]


def files() -> dict[str, str]:
    """Returns the files that one is asked to save, by name."""
    return dict(re.findall(r"the file `([\w-]+\.yaml)`[^\n]*:\n\n```yaml\n(.*?)```", "".join(ALL), re.DOTALL))


def first_values() -> dict[str, Any]:
    """Returns the values of the first installation."""
    values: dict[str, Any] = yaml.safe_load(files()["values.yaml"])
    return values


@dataclass(frozen=True)
class Followed:
    """What the commands did: their calls, and the objects they made, in order; and the folders that they left."""

    calls: list[list[str]]
    objects: list[Object]
    checkout: Path
    claim: Path

    def called(self, *words: str) -> list[list[str]]:
        """The calls that have all of these words."""
        return [call for call in self.calls if set(words) <= set(call)]


@pytest.fixture(scope="module")
def bucket() -> Iterator[dict[str, str]]:
    """Variables that lead to the bucket s3://models of a real S3 server."""
    with running_s3("models") as variables:
        yield variables


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningRegistry]:
    with running_registry(tmp_path_factory.mktemp("registry")) as running:
        yield running


@pytest.fixture(scope="module")
def followed(bucket: dict[str, str], registry: RunningRegistry, tmp_path_factory: pytest.TempPathFactory) -> Followed:
    """Runs all blocks of commands, in a copy of the checkout as far as they need it."""
    kubectl = shutil.which("kubectl")
    if kubectl is None:
        pytest.skip("no helm on the PATH: install kubectl beside it")
    folder = tmp_path_factory.mktemp("readme")
    checkout, tools = folder / "checkout", folder / "bin"
    shutil.copytree(ROOT / "model_repository", checkout / "model_repository")
    for name in ("helm", "monitoring", "Makefile", "pyproject.toml"):
        (checkout / name).symlink_to(ROOT / name)
    for name, text in files().items():
        (checkout / name).write_text(text)
    tools.mkdir()
    for name in TOOLS:
        (tools / name).write_text(f"#!{sys.executable}\n" + (ROOT / "tests/helm/readme_tools.py").read_text())
        (tools / name).chmod(0o755)
    for name in ("calls", "objects"):
        (folder / name).touch()
    variables = {
        "REAL_HELM": find_helm("helm"),
        "REAL_KUBECTL": kubectl,
        "REAL_MAKE": shutil.which("make") or "",
        "CALLS": str(folder / "calls"),
        "OBJECTS": str(folder / "objects"),
        "CLAIM": str(folder / "claim"),
        "REGISTRY": registry.host,
        "DOCKER_CONFIG": str(folder / "docker"),
        "REGISTRY_USER": "me",
        "REGISTRY_PASSWORD": "secret",
        "PYTHONPATH": str(ROOT),
        "PATH": f"{tools}:{os.environ['PATH']}",
    }
    environment = {**os.environ, **bucket, **variables}
    for text in ALL:
        script = "set -euo pipefail\n" + "\n".join(blocks("bash", text)) + "\nwait\n"
        done = subprocess.run(
            ["bash", "-c", script], cwd=checkout, env=environment, capture_output=True, text=True, timeout=400
        )
        assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
    made = [each for each in yaml.load_all((folder / "objects").read_text(), yaml.CSafeLoader) if each]
    calls = [json.loads(line) for line in (folder / "calls").read_text().splitlines()]
    return Followed(calls, made, checkout, folder / "claim")


def test_every_command_can_be_followed(followed: Followed) -> None:
    """Each exits with 0, and what is made in the cluster is right there."""
    wrong = {problem for each in followed.objects for problem in problems(each, "1.35")}
    assert not wrong
    assert len(followed.called("helm", "upgrade")) >= 6
    for words in (["helm", "test", "--logs"], ["helm", "rollback"], ["helm", "uninstall"], ["signs", "predict"]):
        assert followed.called(*words), words


def test_what_pods_name_has_been_made(followed: Followed) -> None:
    """By commands before, or by the release itself: claims, Secrets, ConfigMaps, and logins of registries."""
    made = {(each["kind"], each["metadata"]["name"]) for each in followed.objects}
    seen = set()
    for name, pod in pods(followed.objects):
        spec = pod["spec"]
        references = [("Secret", each["name"]) for each in spec.get("imagePullSecrets", [])]
        for volume in spec["volumes"]:
            for kind, key, field in (
                ("PersistentVolumeClaim", "persistentVolumeClaim", "claimName"),
                ("ConfigMap", "configMap", "name"),
                ("Secret", "secret", "secretName"),
            ):
                references += [(kind, volume[key][field])] if key in volume else []
        for each in containers(pod):
            sources = [entry["valueFrom"] for entry in each.get("env", []) if "valueFrom" in entry]
            references += [("Secret", source["secretKeyRef"]["name"]) for source in sources if "secretKeyRef" in source]
            references += [("Secret", entry["secretRef"]["name"]) for entry in each.get("envFrom", [])]
        assert set(references) <= made, f"{name}: {set(references) - made}"
        seen |= set(references)
    by_hand = {"models-bucket", "release-key", "model-repository", "registry", "gateway-keys", "feedback"}
    assert by_hand <= {name for _, name in seen}


def test_every_pod_with_an_image_of_the_registry_has_a_login_for_it(followed: Followed) -> None:
    """And so has whoever pushes there."""
    with_images = [
        (name, pod)
        for name, pod in pods(followed.objects)
        if any(each["image"].startswith("registry.example.com/") for each in containers(pod))
    ]
    assert "Pod repository" in {name for name, _ in with_images} and len(with_images) > 5
    for name, pod in with_images:
        assert pod["spec"].get("imagePullSecrets") == [{"name": "registry"}], name
    words = [call[1] for call in followed.calls if call[0] == "docker"]
    assert words.index("login") < words.index("push")


def test_what_is_served_with_the_public_key_is_signed(
    followed: Followed, registry: RunningRegistry, tmp_path: Path
) -> None:
    """On the claim; and in the registry, by the digests with which the chart pulls."""
    key = followed.checkout / "release.pub"
    wanted = {model: [1] for model in first_values()["models"]["versions"]}
    assert len(pull(followed.claim, tmp_path / "of_claim", wanted, key)) == len(wanted) == 3
    (call,) = [call for call in followed.called("helm", "upgrade") if "models.source.type=oci" in call]
    digests = re.findall(r"oci\.digests\.(\w+)\.1=(sha256:[0-9a-f]{64})", " ".join(call))
    assert {model for model, _ in digests} == set(wanted)
    for model, digest in digests:
        with opened(f"oci://{registry.host}/team/models@{digest}", {}) as store:
            assert [each.model for each in pull(store, tmp_path / model, {model: [1]}, key)] == [model]


def test_the_extras_of_the_command_are_there() -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    (named_extras,) = re.findall(r"pip install '\.\[([\w,]+)\]'", README)
    assert set(named_extras.split(",")) <= set(extras)


def test_images_of_pods_have_been_pushed(followed: Followed) -> None:
    pushed = {call[2] for call in followed.called("docker", "push")}
    assert {each["image"] for _, pod in pods(followed.objects) for each in containers(pod)} == pushed
    tagged = {call[3]: call[2] for call in followed.called("docker", "tag")}
    assert set(tagged) == pushed
    (build,) = followed.called("make")
    assert {f"image-{name.split('/')[1].split(':')[0]}" for name in tagged.values()} <= set(build)


def test_what_is_served_is_in_the_checkout() -> None:
    """Of the first values and of all examples: each version, but those that a challenger is to have."""
    given = [first_values(), *(yaml.safe_load(path.read_text()) for path in (CHART / "examples").glob("*.yaml"))]
    versions = [
        (model, number) for each in given for model, number in each.get("models", {}).get("versions", {}).items()
    ]
    assert len(versions) >= 10
    for model, number in versions:
        assert (ROOT / "model_repository" / model / str(number) / "manifest.json").is_file(), f"{model} {number}"


def test_the_server_that_is_built_passes_helm_test() -> None:
    """The stand-in is older than the chart asks for: whoever builds it needs to say so in the values."""
    assert not any("TRITON=standin" in block for block in blocks("bash"))
    (least,) = re.findall(r'TRITON=standin`.*`tests: {minimumServerVersion: "([0-9.]+)"}`', README, re.DOTALL)
    in_kind = yaml.safe_load((ROOT / ".ci/kind-values.yaml").read_text())["tests"]["minimumServerVersion"]
    assert in_kind == f"{least}.0"


def test_no_example_names_a_runtime_that_few_clusters_have() -> None:
    for path in (CHART / "examples").glob("*.yaml"):
        values = yaml.safe_load(path.read_text())
        assert not values.get("gpu", {}).get("runtimeClassName"), path.name
        assert path.stem == "prometheus-adapter" or isinstance(values["gpu"]["enabled"], bool), path.name


def test_cpu_or_gpu_is_asked_for() -> None:
    """Neither is a silent default: where GPUs are taken for granted, pods of other clusters stay pending."""
    values = first_values()
    helm = find_helm("helm")
    triton = named(render(helm, values, release="signs"), "Deployment", "-triton")["spec"]["template"]
    assert "nvidia" not in str(triton)
    on_gpus = render(helm, merged(values, at_path("gpu.enabled", True)), release="signs")
    assert "nvidia.com/gpu" in str(named(on_gpus, "Deployment", "-triton")["spec"]["template"])
    del values["gpu"]
    done = run_helm(helm, "template", "signs", str(CHART), values=values)
    assert done.returncode
    assert "gpu.enabled: say true to serve on GPUs, or false to serve on CPUs" in done.stderr


def test_snippets_for_controllers_name_what_is_there() -> None:
    values = merged(first_values(), at_path("canary.analysis.argoRollouts.enabled", True))
    values = merged(values, at_path("canary.analysis.flagger.enabled", True))
    values = merged(values, at_path("canary.analysis.prometheusUrl", "http://prometheus:9090"))
    objects = render(find_helm("helm"), values, release="signs")
    (rollout,) = [yaml.safe_load(block) for block in blocks("yaml") if "podTemplateHashValue" in block]
    (canary,) = [yaml.safe_load(block) for block in blocks("yaml") if "thresholdRange" in block]
    template = named(objects, "AnalysisTemplate")
    step = rollout[0]["analysis"]
    assert step["templates"] == [{"templateName": template["metadata"]["name"]}]
    assert [each["name"] for each in step["args"]] == [each["name"] for each in template["spec"]["args"]]
    metrics = {each["metadata"]["name"] for each in of_kind(objects, "MetricTemplate")}
    assert canary[0]["templateRef"]["name"] in metrics


def test_every_snippet_of_values_is_taken() -> None:
    """Each over the first ones."""
    values = [each for each in map(yaml.safe_load, blocks("yaml")) if isinstance(each, dict)]
    assert len(values) > 1
    for each in values:
        render(find_helm("helm"), merged(first_values(), each), release="signs")


def test_the_least_drain_of_the_page_is_the_charts() -> None:
    """And the default, and the five seconds and the tenth of its sum."""
    page = PAGES["docs/updates.md"]
    noticed, longest, grace, total = map(int, *re.findall(r"(\d+) \+ (\d+) \+ (\d+) = (\d+) seconds", page))
    values = yaml.safe_load((CHART / "values.yaml").read_text())["triton"]
    assert (noticed, grace) == (5, values["grpcConnectionGraceSeconds"])
    assert longest == round(1.1 * values["grpcConnectionAgeSeconds"])
    assert noticed + longest + grace == total
    (least,) = map(int, re.findall(r"so (\d+) is the\s+least\s+`triton.drain.delaySeconds`", page))
    assert least > total
    assert f"the default is {values['drain']['delaySeconds']}." in page
    first = first_values()
    render(find_helm("helm"), merged(first, at_path("triton.drain.delaySeconds", least)))
    less = merged(first, at_path("triton.drain.delaySeconds", least - 1))
    assert run_helm(find_helm("helm"), "template", "demo", str(CHART), values=less).returncode


def test_the_proxy_of_the_page_is_the_one_under_which_servers_are_killed() -> None:
    """The client's README has the lines that repeat requests in tests/end_to_end/test_rolls.py, and only these."""
    (block,) = blocks("haproxy", (ROOT / "clients" / "python" / "README.md").read_text())
    named_lines = {line.partition("#")[0].strip() for line in block.splitlines()}
    lines = {line.strip() for line in CONFIG.splitlines()}
    assert named_lines <= lines
    decisive = ("tune.", "retries", "retry-on", "option redispatch", "option http-buffer")
    assert {line for line in lines if line.startswith(decisive)} <= named_lines
