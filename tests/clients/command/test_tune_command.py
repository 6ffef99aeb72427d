"""`signs export tune` before any server runs: wrong options, what it stages, what it shows and keeps."""

import json
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx
import pytest
from PIL import Image
from typer.testing import CliRunner, Result

from clients.command.main import app
from export.devices import open_session
from export.engine import engine_config
from export.errors import ExportError
from export.hardware_fit import CORES
from export.repository import Manifest
from export.repository.onnx_file import check_onnx
from export.repository.policy import read_config
from export.repository.promotion import own_configs
from export.repository.publishing import publish_copy
from export.repository.store import open_store
from export.tuning.plan import Outcome, Setting, setting_of
from export.tuning.report import draw_outcomes, print_outcomes, write_report
from export.tuning.sweep import check_batches, fetched, stage
from serving.install import Installation
from tests.export.repository.samples import tree
from traffic_sign_client.errors import ClientError
from traffic_signs.console import Console
from traffic_signs.progress import silent

ROOT = Path(__file__).parents[3]
MODEL = "sign_classifier"
PRESENT, OTHER, BROKEN = Setting(1, 0, 200, 64), Setting(2, 1, 0, 8), Setting(64, 1, 0, 8)
OUTCOMES = [
    Outcome(PRESENT, (100.0, 110.0), 9.0, 20.0, 30.0, 210),
    Outcome(OTHER, (150.0, 170.0), 5.0, 8.0, 9.5, 320),
    Outcome(BROKEN, problem="it cannot be loaded: no [memory]"),
]


def tune(repository: Path, *options: str) -> Result:
    home = ("--home", str(ROOT / ".tritonserver"))
    return CliRunner().invoke(app, ["export", "tune", MODEL, "-r", str(repository), *home, *options])


@pytest.mark.parametrize(
    "options",
    [
        ("--yes",),
        ("--yes", "--latency-budget-ms", "0"),
        ("--yes", "--latency-budget-ms", "-5"),
        ("--yes", "--latency-budget-ms", "nan"),
        ("--yes", "--latency-budget-ms", "20", "--instances", "0"),
        ("--yes", "--latency-budget-ms", "20", "--instances", "1,x"),
        ("--yes", "--latency-budget-ms", "20", "--threads", "-1"),
        ("--yes", "--latency-budget-ms", "20", "--max-batch", "5000"),
        ("--yes", "--latency-budget-ms", "20", "--queue-delay-us", "1.5"),
        ("--yes", "--latency-budget-ms", "20", "--concurrency", "0"),
        ("--yes", "--latency-budget-ms", "20", "--rounds", "0"),
        ("--yes", "--latency-budget-ms", "20", "--channels", "0"),
        ("--yes", "--latency-budget-ms", "20", "--grpc-threads", "-1"),
    ],
)
def test_a_wrong_option_is_a_usage_mistake(tmp_path: Path, options: tuple[str, ...]) -> None:
    result = tune(tmp_path, *options)
    assert result.exit_code == 2 and "Error" in result.stderr


def test_what_cannot_be_tuned_is_named_and_nothing_changes(
    installation: Installation, repository: Path, manifest: Manifest, tmp_path: Path
) -> None:
    budget = ("--latency-budget-ms", "20")
    before = tree(repository)
    (tmp_path / "file").write_text("x")
    for options, place, error, reason in (
        (budget, repository, ClientError, "cannot ask before publishing"),
        ((*budget, "--yes"), tmp_path, ClientError, "there is no model sign_classifier"),
        (("9", *budget, "--yes"), repository, ExportError, "no version 9"),
        ((*budget, "--yes", "--configuration", "h100"), repository, ExportError, "no model has a configuration"),
        ((*budget, "--yes", "--configuration", "gpu"), repository, ClientError, "and this one has none"),
        ((*budget, "--yes", "--output", str(tmp_path / "file")), repository, FileExistsError, "File exists"),
    ):
        result = tune(place, *options)
        assert isinstance(result.exception, error) and reason in str(result.exception)
    assert tree(repository) == before


def test_a_setting_is_staged_as_a_model_of_its_own(repository: Path, manifest: Manifest, tmp_path: Path) -> None:
    with fetched(open_store(repository), MODEL, 1, silent) as candidate:
        assert candidate.present == setting_of(candidate.config)
        candidate.config.response_cache.enable = True
        names = stage(candidate, [PRESENT, OTHER], tmp_path)
        assert len(set(names.values())) == 2
        for setting, name in names.items():
            config = read_config((tmp_path / "models" / name / "config.pbtxt").read_bytes(), "")
            assert config.name == name and setting_of(config) == setting
            assert not config.HasField("response_cache"), "or the cache would be measured"
            assert (tmp_path / "models" / name / "1" / "model.onnx").stat().st_size == manifest.files["model.onnx"][
                "size"
            ]
            for companion in ("labels.txt", "warmup/images-48x48x3.bin"):
                content = (tmp_path / "models" / name / companion).read_bytes()
                assert content == (repository / MODEL / companion).read_bytes()
        folder = candidate.folder
    assert not folder.exists(), "the copy goes with the block"


@pytest.mark.parametrize("batch", [8, 64])
def test_each_largest_batch_on_a_gpu_has_a_file_of_that_fixed_batch(
    repository: Path, manifest: Manifest, tmp_path: Path, batch: int, random_crops: npt.NDArray[np.uint8]
) -> None:
    place = tmp_path / "place"
    publish_copy(repository / MODEL / "1", place)
    with fetched(open_store(place), MODEL, 1, silent, "gpu") as candidate:
        assert candidate.is_fixed and candidate.present.max_batch == 64
        setting = Setting(4, 0, 0, batch)
        name = stage(candidate, [setting], tmp_path / "staged")[setting]
        assert fixed_batches_in(tmp_path / "staged" / "models" / name / "1" / "model.gpu.onnx") == str(batch)
        tuned = candidate.publish(open_store(place), setting, {"target": "gpu"})
    folder = place / MODEL / str(tuned.version)
    assert tuned.gpu["fixed_batches"] == [batch] and fixed_batches_in(folder / "model.gpu.onnx") == str(batch)
    config = read_config((folder / "configs" / "gpu.pbtxt").read_bytes(), "")
    assert (config.max_batch_size, config.instance_group[0].count) == (batch, 4)
    assert (folder / "config.pbtxt").read_bytes() == (place / MODEL / "1" / "config.pbtxt").read_bytes()
    predict = open_session(folder / "model.gpu.onnx")
    expected = open_session(folder / "model.onnx").run(None, {"images": random_crops[:batch]})[0]
    np.testing.assert_allclose(predict.run(None, {"images": random_crops[:batch]})[0], expected, atol=1e-6)


def test_what_was_tuned_on_cpus_holds_for_all_of_them(repository: Path, manifest: Manifest, tmp_path: Path) -> None:
    publish_copy(repository / MODEL / "1", tmp_path)
    with fetched(open_store(tmp_path), MODEL, 1, silent, "cpu-4") as candidate:
        assert candidate.present.instances == 4
        candidate.publish(open_store(tmp_path), Setting(3, 1, 0, 32), {"target": "cpu"})
    names = {path.name for path in (tmp_path / MODEL / "2" / "configs").iterdir()}
    config = read_config((tmp_path / MODEL / "2" / "config.pbtxt").read_bytes(), "")
    assert names == {"gpu.pbtxt"} and setting_of(config) == Setting(3, 1, 0, 32)


@pytest.mark.parametrize("name", ["cpu-4", "cpu-int8-4"])
def test_what_was_tuned_on_cpus_holds_with_and_without_int8(int8_repository: Path, tmp_path: Path, name: str) -> None:
    publish_copy(int8_repository / MODEL / "1", tmp_path)
    with fetched(open_store(tmp_path), MODEL, 1, silent, name) as candidate:
        assert candidate.is_int8 == (name == "cpu-int8-4")
        candidate.publish(open_store(tmp_path), Setting(3, 1, 0, 32), {"target": "cpu"})
    configs = own_configs(open_store(tmp_path), MODEL, 2)
    files = {path: config.default_model_filename for path, config in configs.items()}
    int8 = {f"configs/cpu-int8-{cores}.pbtxt": "model.int8.onnx" for cores in CORES}
    assert files == {"config.pbtxt": "", "configs/gpu.pbtxt": "model.gpu.onnx"} | int8
    for path in ("config.pbtxt", *int8):
        assert setting_of(configs[path]) == Setting(3, 1, 0, 32)
    check_onnx(tmp_path / MODEL / "2", "here")


def fixed_batches_in(path: Path) -> str:
    """Returns the fixed batches that the metadata of a file for GPUs names."""
    model = onnx.load(path, load_external_data=False)
    return str(next(entry.value for entry in model.metadata_props if entry.key == "fixed_batches"))


def test_an_engine_is_not_tried_with_batches_it_cannot_take(repository: Path, manifest: Manifest) -> None:
    with fetched(open_store(repository), MODEL, 1, silent) as candidate:
        check_batches(candidate, [4096])
        candidate.config.CopyFrom(engine_config(candidate.config))
        check_batches(candidate, [1, 64])
        with pytest.raises(ClientError, match="built for batches of 64 at most"):
            check_batches(candidate, [65])


def test_the_recognizer_is_not_tuned(tmp_path: Path) -> None:
    from export.config import Serving, recognizer_config, to_text
    from export.repository import publish

    config = to_text(recognizer_config("sign_recognizer", 0.3, Serving(8)))
    publish(tmp_path, "sign_recognizer", {"model.py": b""}, {"config.pbtxt": config}, {})
    with pytest.raises(ExportError, match="tune networks"), fetched(open_store(tmp_path), "sign_recognizer", 1, silent):
        pass


def test_the_table_shows_every_setting_and_why_one_is_out(capsys: pytest.CaptureFixture[str]) -> None:
    print_outcomes(Console(width=100), OUTCOMES, 20, PRESENT, OUTCOMES[1])
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[-1] for line in lines[1:3]] == ["chosen", "now"] and "over" in lines[2]
    assert "160.0" in lines[1] and "fails" in lines[3]
    assert "no [memory]" in lines[4]


@pytest.mark.parametrize("chosen", [OUTCOMES[1], None])
def test_the_picture_shows_all_settings(tmp_path: Path, chosen: Outcome | None) -> None:
    draw_outcomes(tmp_path / "deep" / "tuning.png", OUTCOMES, 20, PRESENT, chosen, "sign_classifier 1")
    pixels = np.asarray(Image.open(tmp_path / "deep" / "tuning.png").convert("RGB")).reshape(-1, 3)
    assert len(pixels) > 300_000 and len(np.unique(pixels, axis=0)) > 20
    draw_outcomes(tmp_path / "nothing.png", [OUTCOMES[2]], 20, PRESENT, None, "nothing works")
    assert (tmp_path / "nothing.png").exists()


def test_the_figures_are_kept_as_json(tmp_path: Path) -> None:
    write_report(tmp_path / "out", {"outcomes": [each.as_dict() for each in OUTCOMES]})
    found = json.loads((tmp_path / "out" / "tuning.json").read_text())["outcomes"]
    assert found[1]["setting"] == {"instances": 2, "threads": 1, "queue_delay_us": 0, "max_batch": 8}
    assert (found[1]["throughput"], found[2]["p99_ms"]) == (160.0, None)
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["tuning.json"]
