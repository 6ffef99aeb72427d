"""A challenger's pods, its Service and its weight in a route, in each state that an upgrade brings."""

import pytest

from tests.helm.helm_chart import Object, find_helm, labels_match, merged, named, of_kind, pods, render
from tests.helm.value_cases import LEAST, RUNNING

BY_ROUTE = {
    "canary": {**RUNNING, "split": "route"},
    "route": {"enabled": True, "grpcHost": "b.example.com", "parentRefs": [{"name": "public"}]},
}


@pytest.mark.parametrize(
    ("replicas", "weight", "pods_wanted"), [(2, 10, 1), (9, 10, 1), (10, 10, 2), (4, 20, 1), (3, 50, 3)]
)
@pytest.mark.parametrize("split", ["replicas", "route"])
def test_the_challengers_pods_make_its_share(replicas: int, weight: int, pods_wanted: int, split: str) -> None:
    """Behind a route, which leads nowhere without one, there are two at least."""
    values = merged(merged(LEAST, BY_ROUTE), {"triton": {"replicas": replicas}})
    values = merged(values, {"canary": {"weight": weight, "split": split}})
    pods_wanted = max(pods_wanted, 2) if split == "route" else pods_wanted
    assert named(render(find_helm("helm"), values), "Deployment", "-canary")["spec"]["replicas"] == pods_wanted


def test_a_route_weighs_exactly(rendered: dict[str, list[Object]]) -> None:
    objects = rendered["canary by route"]
    for kind in ("HTTPRoute", "GRPCRoute"):
        backends = named(objects, kind)["spec"]["rules"][0]["backendRefs"]
        assert {each["name"]: each["weight"] for each in backends} == {
            "demo-traffic-signs-triton": 90,
            "demo-traffic-signs-triton-canary": 10,
        }
    labels = {name: pod["metadata"]["labels"] for name, pod in pods(objects)}
    tracks = {
        each["metadata"]["name"]: {
            found["track"]
            for found in labels.values()
            if labels_match({"matchLabels": each["spec"]["selector"]}, found)
        }
        for each in of_kind(objects, "Service")
    }
    assert tracks == {
        "demo-traffic-signs-triton": {"stable"},
        "demo-traffic-signs-triton-headless": {"stable"},
        "demo-traffic-signs-triton-canary": {"canary"},
    }
    shared = named(rendered["canary by replicas"], "Service", "-triton")["spec"]["selector"]
    assert "track" not in shared


def services_of(objects: list[Object]) -> dict[str, str | None]:
    """The track that each Service of Triton leads to, by the last part of its name."""
    return {
        each["metadata"]["name"].removeprefix("demo-traffic-signs-"): each["spec"]["selector"].get("track")
        for each in of_kind(objects, "Service")
        if "-triton" in each["metadata"]["name"]
    }


def test_no_backend_of_a_route_is_without_pods_while_a_challenger_comes_and_goes() -> None:
    """What an old route leads to is there in each state; a new one gives a challenger no weight at first."""
    coming, weighed, promoted, dropped = (
        render(find_helm("helm"), merged(merged(LEAST, BY_ROUTE), {"canary": change}))
        for change in ({"weight": 0}, {}, {"state": "promoted"}, {"state": "none"})
    )
    weights = [
        {each["name"].removeprefix("demo-traffic-signs-"): each.get("weight") for each in rule["backendRefs"]}
        for objects in (coming, weighed, promoted, dropped)
        for rule in named(objects, "GRPCRoute")["spec"]["rules"]
    ]
    alone = {"triton": None}
    assert weights == [{"triton": 100, "triton-canary": 0}, {"triton": 90, "triton-canary": 10}, alone, alone]
    for objects in (coming, weighed):
        assert named(objects, "Deployment", "-triton-canary")["spec"]["replicas"] == 2
        assert services_of(objects) == {"triton": "stable", "triton-headless": "stable", "triton-canary": "canary"}
    for objects in (promoted, dropped):
        assert set(services_of(objects).values()) == {"stable"} and "triton-canary" in services_of(objects)
