"""`signs export config` and `signs export engine` on the command line."""

import json
import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from clients.command.export import app
from export.config import Serving, to_text
from export.errors import ExportError
from export.repository import Manifest, promote, publish
from export.repository.policy import read_config
from tests.export.repository.samples import FACTS, tree
from tests.gpu_machine import set_up_gpus, set_up_trtexec
from tests.network_configs import classifier_config

MODEL = "sign_classifier"


def signs(*arguments: str) -> Result:
    return CliRunner().invoke(app, list(arguments))


def test_what_is_there_is_shown_with_a_reason_for_every_choice(repository: Path, manifest: Manifest) -> None:
    result = signs("config", MODEL, "-r", str(repository))
    assert result.exit_code == 0
    text = (repository / MODEL / "config.pbtxt").read_text()
    assert result.stdout.startswith(f"# {repository}/{MODEL}/config.pbtxt\n{text}")
    reasons = [line for line in result.stdout.removeprefix(text).splitlines() if "  # " in line]
    assert len(reasons) > 8 and all(len(line.partition("  # ")[2]) > 10 for line in reasons)


def test_of_a_folder_too_and_as_json(repository: Path, manifest: Manifest) -> None:
    shown = json.loads(signs("config", str(repository / MODEL / "1"), "--json").stdout)
    assert shown["config"]["max_batch_size"] == 64 and shown["config"]["platform"] == "onnxruntime_onnx"
    assert shown["where"] == str(repository / MODEL / "1" / "config.pbtxt")
    choices = {choice["name"]: choice for choice in shown["choices"]}
    assert choices["max_batch_size"]["value"] == "64" and choices["max_batch_size"]["why"]


def test_a_version_without_its_own_is_served_with_the_one_beside_it(
    repository: Path, manifest: Manifest, tmp_path: Path
) -> None:
    copy = shutil.copytree(repository / MODEL, tmp_path / MODEL)
    (copy / "1" / "config.pbtxt").unlink()
    assert signs("config", str(copy / "1")).stdout.startswith(f"# {copy}/config.pbtxt\n")


def test_of_a_checkpoint_it_shows_what_an_export_would_write(checkpoint: Path, tmp_path: Path) -> None:
    options = ("--target", "gpu", "--response-cache", "on", "--max-queue", "100", "--queue-timeout-ms", "2000")
    result = signs("config", str(checkpoint), "-r", str(tmp_path / "models"), *options)
    text = result.stdout.partition("\n\n")[0].partition("\n")[2]
    serving = Serving(
        64,
        target="gpu",
        instances=2,
        fixed_batches=(64,),
        response_cache=True,
        max_queue=100,
        queue_timeout_ms=2000,
    )
    assert read_config(text.encode(), "") == classifier_config(MODEL, 48, 43, serving)
    assert not (tmp_path / "models").exists(), "nothing is written"


def test_a_configuration_for_other_hardware_is_shown_by_its_name(
    repository: Path, manifest: Manifest, checkpoint: Path, tmp_path: Path
) -> None:
    for what, place in ((MODEL, repository), (str(checkpoint), tmp_path / "models")):
        result = signs("config", what, "-r", str(place), "--configuration", "gpu")
        assert "KIND_GPU" in result.stdout and "default_model_filename = model.gpu.onnx" in result.stdout
        assert "use_tf32" in result.stdout
    result = signs("config", str(checkpoint), "-r", str(tmp_path / "models"), "--configuration", "cpu-int8-4")
    assert "default_model_filename = model.int8.onnx" in result.stdout, "as with --precision int8"
    for what, place in ((MODEL, repository), (str(checkpoint), tmp_path / "models")):
        result = signs("config", what, "-r", str(place), "--configuration", "h100")
        assert isinstance(result.exception, ExportError) and "configs/" in str(result.exception)


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (("nothing",), "there is no .*nothing/config.pbtxt"),
        (("no/folder",), "has no config.pbtxt and is not a checkpoint"),
        (("..",), "cannot name a model"),
    ],
)
def test_what_is_not_there_is_named(tmp_path: Path, arguments: tuple[str, ...], reason: str) -> None:
    result = signs("config", *arguments, "-r", str(tmp_path))
    assert isinstance(result.exception, ExportError)
    with pytest.raises(ExportError, match=reason):
        raise result.exception


def test_a_damaged_configuration_is_named(tmp_path: Path) -> None:
    (tmp_path / "m").mkdir()
    (tmp_path / "m" / "config.pbtxt").write_text("max_batch_size: many")
    for what in ("m", str(tmp_path / "m")):
        assert "cannot be read" in str(signs("config", what, "-r", str(tmp_path)).exception)


def test_wrong_options_are_usage_mistakes(checkpoint: Path, repository: Path, manifest: Manifest) -> None:
    assert signs("config", str(checkpoint), "--target", "tpu").exit_code == 2
    assert signs("config", str(checkpoint), "--max-queue", "-1").exit_code == 2
    assert signs("config", MODEL, "-r", str(repository), "--target", "cpu").exit_code == 2, "it is written already"
    assert signs("engine", MODEL).exit_code == 2
    assert signs("engine", MODEL, "0").exit_code == 2
    result = signs("config", str(checkpoint), "-r", str(repository), "--max-queue", "8")
    assert "a batch of 64 would never fill" in str(result.exception)


@pytest.mark.parametrize("by_folder", [False, True])
def test_an_engine_is_published_and_the_next_step_printed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, by_folder: bool
) -> None:
    set_up_gpus(tmp_path / "bin", monkeypatch)
    trtexec = set_up_trtexec(tmp_path / "bin", monkeypatch)
    config = to_text(classifier_config(MODEL, 48, 43, Serving(64)))
    files = {"model.onnx": b"onnx", "warmup/images-48x48x3.bin": b"pixels"}
    place = tmp_path / "models"
    publish(place, MODEL, files, {"config.pbtxt": config, "labels.txt": "stop\n"}, FACTS)
    promote(place, MODEL, 1, "")
    source = (str(place / MODEL / "1"),) if by_folder else (MODEL, "1", "-r", str(place))
    options = ("--trtexec", str(trtexec), "--timing-cache", str(tmp_path / "t.cache"))
    result = signs("engine", *source, *options)
    assert result.exit_code == 0, result.exception
    assert f"published: {place}/{MODEL}/2" in result.stdout and f"promote {MODEL} 2 -r {place}\n" in result.stdout
    assert "for NVIDIA A100" in result.stdout
    assert tree(place / MODEL / "2")["model.plan"] == b"engine" and (tmp_path / "t.cache").exists()
    shown = json.loads(CliRunner().invoke(app, ["engine", *source, *options, "--json"]).stdout)
    assert shown["version"] == 3 and shown["built_for"]["tensorrt"] == "10.13.3"
