"""What `signs bench` sends: pictures out of folders, zips and files, or drawn, in the form that perf_analyzer reads."""

import base64
import json
import struct
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from clients.benchmark.config import BenchmarkConfig
from clients.benchmark.inputs import PICTURES, draw_pictures, read_pictures, tensors, write_input
from clients.benchmark.plan import Point, in_rounds, plan_points, plan_ways
from clients.benchmark.statistics import Statistics, mean_batch, read_statistics, waited_inside
from clients.benchmark.target import Model, Takes, runs_on_gpu
from traffic_sign_client.errors import ClientError
from traffic_signs.settings import SettingError
from training.errors import DataError

ROOT = Path(__file__).parents[3]


def model(takes: Takes, name: str, shape: tuple[int, ...]) -> Model:
    return Model("a_model", takes, name, shape, 8, ("1",), False, {})


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Forty pictures of different grey in folders, and what is no picture."""
    place = tmp_path / "pictures"
    for number in range(40):
        path = place / f"{number % 3}" / f"{number:02d}.{'PNG' if number % 2 else 'jpg'}"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (64, 40), (6 * number,) * 3).save(path)
    (place / ".hidden.png").write_text("no picture")
    (place / "notes.txt").write_text("no picture")
    return place


def test_of_many_pictures_some_are_sent_from_everywhere(folder: Path) -> None:
    pictures = read_pictures(folder)
    assert len(pictures.photographs) == PICTURES == len(set(pictures.photographs))
    greys = [int(np.asarray(scene).mean()) for scene in pictures.scenes]
    assert max(greys) - min(greys) > 180
    facts = pictures.facts()
    assert facts["signs"] == PICTURES and facts["sizes"] == ["64x40"] and len(facts["fingerprint"]) == 64


def test_a_zip_and_a_single_file_do_as_well(folder: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "all.zip", "w") as archive:
        for path in sorted(folder.rglob("*")):
            archive.write(path, path.relative_to(folder))
    packed = read_pictures(tmp_path / "all.zip")
    assert packed.facts()["fingerprint"] == read_pictures(folder).facts()["fingerprint"]
    (single,) = read_pictures(folder / "0" / "00.jpg").photographs
    assert single == (folder / "0" / "00.jpg").read_bytes()


def test_what_cannot_be_sent_is_named(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="nothing"):
        read_pictures(tmp_path / "nothing")
    (tmp_path / "empty").mkdir()
    with pytest.raises(ClientError, match=r"holds no picture \(.*\.png"):
        read_pictures(tmp_path / "empty")
    (folder / "0" / "00.jpg").write_bytes(b"\xff\xd8 half a picture")
    with pytest.raises(ClientError, match=r"0/00\.jpg cannot be sent: it is"):
        read_pictures(folder)
    (tmp_path / "text").write_text("x")
    with pytest.raises(DataError, match="zip"):
        read_pictures(tmp_path / "text")


def test_of_gtsdb_the_signs_are_cut_out(tmp_path: Path) -> None:
    scene = np.full((60, 100, 3), 255, np.uint8)
    scene[10:30, 20:40] = (200, 0, 0)
    Image.fromarray(scene).save(tmp_path / "00000.ppm")
    Image.fromarray(scene).save(tmp_path / "00001.ppm")
    (tmp_path / "gt.txt").write_text("00000.ppm;20;10;39;29;3\n")
    pictures = read_pictures(tmp_path)
    assert len(pictures.photographs) == 1, "a scene without signs has none to cut out"
    (sign,) = pictures.crops(48)
    assert sign.shape == (48, 48, 3) and sign[24, 24].tolist() == [200, 0, 0]


def test_pictures_are_written_as_the_models_take_them(folder: Path, tmp_path: Path) -> None:
    pictures = read_pictures(folder)
    path = tmp_path / "in.json"

    def written(what: Model) -> list[tuple[bytes, list[int]]]:
        write_input(path, what, pictures)
        steps = [step[what.input_name] for step in json.loads(path.read_text())["data"]]
        return [(base64.b64decode(step["content"]["b64"]), step["shape"]) for step in steps]

    signs = written(model("signs", "images", (48, 48, 3)))
    assert len(signs) == PICTURES and all(len(content) == 48 * 48 * 3 for content, _ in signs)
    assert signs[0][1] == [48, 48, 3]
    scenes = model("scenes", "scenes", (80, 160, 3))
    assert [len(content) for content, _ in written(scenes)] == [80 * 160 * 3] * PICTURES
    assert tensors(scenes, pictures).shape == (PICTURES, 80, 160, 3)
    content, shape = written(model("photographs", "image", (1,)))[0]
    assert shape == [1] and struct.unpack("<I", content[:4])[0] == len(content) - 4
    assert content[4:] == pictures.photographs[0]


def test_the_drawn_ones_are_always_the_same_and_need_no_pytorch() -> None:
    pictures = draw_pictures()
    assert len(pictures.photographs) == PICTURES and pictures.facts()["signs"] == 5 * PICTURES
    assert pictures.crops(48).shape == (5 * PICTURES, 48, 48, 3)
    code = (
        "import sys; from clients.benchmark import run; from clients.benchmark.inputs import draw_pictures; "
        "print(draw_pictures().facts()['fingerprint'], {'torch', 'mlflow', 'onnx'} & set(sys.modules))"
    )
    again = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True)
    assert again.stdout.split(maxsplit=1) == [pictures.facts()["fingerprint"], "set()\n"]


def test_addresses_say_their_protocol() -> None:
    assert BenchmarkConfig(url=("grpc://a:1", "http://b.c:2/")).urls == {"grpc": "a:1", "http": "b.c:2"}
    assert BenchmarkConfig(url=("localhost:8001",)).urls == {"grpc": "localhost:8001"}
    assert BenchmarkConfig(url=("http://[::1]:8000",)).urls == {"http": "[::1]:8000"}
    for wrong in (("a",), ("https://a:1",), ("a:1", "b:2"), ("http://a:1/path",), ("",), ("a:b",)):
        with pytest.raises(SettingError, match=r"give host:port|already"):
            BenchmarkConfig(url=wrong)


def test_the_grid_holds_what_the_models_take() -> None:
    points = plan_points({"small": 4, "single": 0}, ["grpc", "http"], [1, 4, 8], [1, 2])
    assert len(points) == 8 + 4 == len(set(points))
    assert {point.batch for point in points if point.model == "single"} == {1}
    assert Point("small", "http", 4, 2) in points and not any(point.batch == 8 for point in points)
    assert len(plan_ways(1, [1, 8])) == 2 and len(plan_ways(4, [1, 8])) == 4


def test_each_round_has_all_jobs_in_another_order() -> None:
    jobs = list(range(20))
    drawn = list(in_rounds(jobs, 3))
    rounds = [[job for number, job in drawn if number == each] for each in (1, 2, 3)]
    assert all(sorted(each) == jobs for each in rounds)
    assert len({tuple(each) for each in rounds}) == 3 and drawn == list(in_rounds(jobs, 3))


def test_statistics_are_read_over_both_protocols() -> None:
    stages = {"queue": {"count": "2", "ns": "3000000"}, "compute_infer": {"ns": "1000000"}, "fail": {"ns": "9"}}
    over_grpc = {"model_stats": [{"inference_count": "6", "execution_count": "2", "inference_stats": stages}]}
    before = read_statistics(over_grpc)
    assert before == Statistics(6, 2, 4.0)
    assert read_statistics({"model_stats": []}) == Statistics(0, 0, 0.0)
    after = Statistics(16, 7, 24.0)
    assert mean_batch(before, after) == 2 and mean_batch(after, after) == 0
    waited = waited_inside({"a": before, "b": before}, {"a": after, "b": Statistics(9, 9, 14.0)}, "a", ["b"])
    assert waited == {"b": 2.0}


def test_the_configuration_of_a_model_says_whether_it_runs_on_a_gpu() -> None:
    assert runs_on_gpu({"instance_group": [{"kind": "KIND_CPU"}, {"kind": "KIND_GPU", "count": 2}]})
    assert not runs_on_gpu({"instance_group": [{"kind": "KIND_CPU"}]}) and not runs_on_gpu({})
