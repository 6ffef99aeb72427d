"""The recognizer's own metrics at Triton's endpoint count what was asked, and nothing else."""

import contextlib

import numpy as np
import pytest
from PIL import Image

from serving.recognizer.scene import measure_sharpness
from serving.server import RunningServer
from tests.end_to_end.street import boxes_of, connect, encode, scrape, street
from traffic_sign_client import SignClient
from traffic_sign_client.errors import RefusedError
from traffic_signs.classes import CATEGORIES, CLASS_NAMES

pytestmark = pytest.mark.end_to_end

CELLS = [(2, 2), (9, 5)]
LABEL = '{version="1"}'


def grown(client: SignClient, server: RunningServer, data: bytes) -> dict[str, float]:
    """Asks about an image and returns by how much which of our series grew."""
    before = scrape(server)
    with contextlib.suppress(RefusedError):
        client.recognize(data)
    after = scrape(server)
    return {
        series.removeprefix("sign_recognizer_"): after[series] - before[series]
        for series in after
        if series.startswith("sign_recognizer_") and after[series] != before[series]
    }


def observed(growth: dict[str, float], name: str) -> float:
    """Returns the sum of one histogram, whose buckets must have grown as its count."""
    assert growth[f'{name}_bucket{{version="1",le="+Inf"}}'] == growth[f"{name}_count{LABEL}"]
    return growth[f"{name}_sum{LABEL}"]


def test_every_series_is_there_before_the_first_event(recognizer_server: RunningServer) -> None:
    series = scrape(recognizer_server)
    for number, name in enumerate(CLASS_NAMES):
        assert f'sign_recognizer_signs_total{{class_id="{number}",name="{name}",version="1"}}' in series
    for reason in ("unknown_format", "damaged", "too_large", "bad_request", "sign_detector", "sign_classifier"):
        assert f'sign_recognizer_failures_total{{reason="{reason}",version="1"}}' in series
    assert f"sign_recognizer_scenes_total{LABEL}" in series


def test_signs_are_counted_by_class_with_their_scores_and_sizes(recognizer_server: RunningServer) -> None:
    with connect(recognizer_server) as client:
        data = encode(street(CELLS, factor=2))
        signs = client.recognize(data)
        growth = grown(client, recognizer_server, data)

    assert {sign.box for sign in signs} == boxes_of(CELLS, 2)
    assert growth[f"scenes_total{LABEL}"] == 1
    assert f"empty_scenes_total{LABEL}" not in growth
    by_class = {name: count for name, count in growth.items() if name.startswith("signs_total")}
    assert sum(by_class.values()) == 2
    for sign in signs:
        assert f'signs_total{{class_id="{sign.class_id}",name="{sign.name}",version="1"}}' in by_class
    assert observed(growth, "detection_score") == pytest.approx(sum(sign.score for sign in signs))
    assert observed(growth, "class_score") == pytest.approx(sum(sign.class_score for sign in signs))
    assert observed(growth, "sign_size_pixels") == pytest.approx(2 * 40), "in the detector's pixels, not 80"
    mismatches = sum(sign.class_id not in CATEGORIES[sign.category] for sign in signs)
    assert growth.get(f"category_mismatches_total{LABEL}", 0) == mismatches


def test_unknown_signs_are_counted_beside_their_most_probable_class(recognizer_server: RunningServer) -> None:
    data = encode(street(CELLS))
    with connect(recognizer_server) as client:
        before = scrape(recognizer_server)
        assert {sign.name for sign in client.recognize(data, unknown_threshold=1)} == {"unknown"}
        after = scrape(recognizer_server)

    unknown, signs = f"sign_recognizer_unknown_signs_total{LABEL}", "sign_recognizer_signs_total"
    assert after[unknown] - before[unknown] == 2
    assert sum(after[series] - before[series] for series in after if series.startswith(signs)) == 2


def test_light_and_sharpness_are_those_of_the_photograph(recognizer_server: RunningServer) -> None:
    picture = street(CELLS)
    luma = picture.convert("L")
    with connect(recognizer_server) as client:
        growth = grown(client, recognizer_server, encode(picture))
        dark = grown(client, recognizer_server, encode(Image.new("RGB", (100, 90), (20, 20, 20))))

    assert observed(growth, "scene_brightness") == pytest.approx(np.asarray(luma).mean(), rel=1e-6)
    assert observed(growth, "scene_sharpness") == pytest.approx(measure_sharpness(luma), rel=1e-6)
    assert observed(dark, "scene_brightness") == pytest.approx(20), "the filling around it does not count"
    assert 'scene_brightness_bucket{version="1",le="32"}' in dark
    assert 'scene_brightness_bucket{version="1",le="16"}' not in dark
    assert dark[f"empty_scenes_total{LABEL}"] == 1


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "unknown_format"),
        (b"P6 60000 60000 255\n", "too_large"),
        (encode(street(CELLS))[:500], "damaged"),
    ],
)
def test_a_picture_that_cannot_be_read_is_counted_by_reason_alone(
    data: bytes, reason: str, recognizer_server: RunningServer
) -> None:
    with connect(recognizer_server) as client:
        growth = grown(client, recognizer_server, data)
    assert growth == {f'failures_total{{reason="{reason}",version="1"}}': 1}
