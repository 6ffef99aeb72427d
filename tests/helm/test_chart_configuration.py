"""Which configuration the chart's servers take: the same that `signs serve` would choose for the limits of a pod."""

import pytest

from export.hardware_fit import name_for
from tests.helm.helm_chart import container, find_helm, merged, named, render
from tests.helm.value_cases import LEAST


def arguments(values: dict[str, object]) -> tuple[list[str], list[str]]:
    """Returns the arguments of the container that pulls and of the one that serves."""
    pod = named(render(find_helm("helm"), merged(LEAST, values)), "Deployment", "triton")["spec"]["template"]
    return container(pod, "pull-models")["args"], container(pod, "tritonserver")["args"]


@pytest.mark.parametrize(
    ("limit", "cores"),
    [("500m", 1), ("1", 1), (2, 2), ("2500m", 3), (3.5, 4), (5, 5), ("6", 6), (11, 11), ("23500m", 24), (96, 96)],
)
def test_on_cpus_it_fits_the_limit(limit: object, cores: int) -> None:
    resources = {"limits": {"cpu": limit, "memory": "4Gi"}}
    pull, serve = arguments({"gpu": {"enabled": False}, "triton": {"resources": resources}})
    assert f"--model-config-name={name_for(cores)}" in serve
    assert f"--configuration={name_for(cores)}" in pull


def test_where_the_nodes_are_known_to_gain_int8_is_served() -> None:
    pull, serve = arguments({"gpu": {"enabled": False}, "triton": {"int8": True, "resources": {"limits": {"cpu": 6}}}})
    assert f"--model-config-name={name_for(6, int8=True)}" in serve and "--configuration=cpu-int8-8" in pull


def test_with_gpus_it_is_theirs_and_what_is_named_comes_first() -> None:
    assert "--model-config-name=gpu" in arguments({"gpu": {"enabled": True}})[1]
    assert "--model-config-name=mine" in arguments({"triton": {"configuration": "mine"}})[1]


def test_threads_of_grpc_are_passed_where_they_are_given() -> None:
    assert not [each for each in arguments({})[1] if each.startswith("--grpc-infer-thread-count")]
    assert "--grpc-infer-thread-count=8" in arguments({"triton": {"grpcThreads": 8}})[1]
