"""What the chart asks of tritonserver: a version that may be on a network, and no shared memory of its clients."""

import pytest

from tests.helm.helm_chart import find_helm, merged, render
from tests.helm.value_cases import CASES, LEAST, kube_of


def test_helm_test_checks_the_version_of_the_server() -> None:
    values = merged(LEAST, {"tests": {"minimumServerVersion": "2.73"}})
    (pod,) = [each for each in render(find_helm("helm"), values) if each["metadata"]["name"].endswith("-test-version")]
    assert pod["metadata"]["annotations"]["helm.sh/hook"] == "test"
    (container,) = pod["spec"]["containers"]
    assert container["command"] == ["signs"]
    assert container["args"][0] == "check-server" and container["args"][-1] == "--minimum=2.73"
    assert ":8001" in container["args"][1]


def test_no_tests_are_rendered_where_they_are_off() -> None:
    objects = render(find_helm("helm"), merged(LEAST, {"tests": {"enabled": False}}))
    assert not any("-test-" in each["metadata"]["name"] for each in objects)


@pytest.mark.parametrize("case", CASES)
def test_clients_hand_over_no_shared_memory(case: str) -> None:
    """Triton allows it from 26.04 on only where it is asked for."""
    assert "allow-client-shm" not in str(render(find_helm("helm"), CASES[case], kube_of(case)))
