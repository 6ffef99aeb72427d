"""The command line: help that teaches, one line for each expected problem, exit codes that scripts can use."""

import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest
from PIL import Image

from clients.command.demo.settings import DemoSettings
from export.repository import Manifest
from tests.signs_here import signs_here

ROOT = Path(__file__).parents[3]
signs = signs_here


def signs_process(*arguments: str, cwd: Path) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-c", "from clients.command.main import main; main()", *arguments]
    return subprocess.run(command, capture_output=True, text=True, cwd=cwd, check=False, timeout=240)


@pytest.mark.parametrize(
    "command",
    [
        [],
        ["demo"],
        ["data"],
        ["data", "fetch"],
        ["data", "check"],
        ["train"],
        ["train", "classifier"],
        ["train", "resume"],
        ["train", "throughput"],
        ["evaluate"],
        ["export"],
        ["export", "onnx"],
        ["export", "gate"],
        ["export", "config"],
        ["export", "engine"],
        ["export", "tune"],
        ["repository"],
        ["repository", "pull"],
        ["export", "recognizer"],
        ["monitor"],
        ["monitor", "drift"],
        ["serve"],
        ["predict"],
        ["gateway"],
        ["bench"],
        ["check-server"],
        ["monitor", "repository"],
    ],
)
def test_help_teaches(command: list[str]) -> None:
    result = signs(*command, "--help")
    assert result.returncode == 0
    assert "Usage" in result.stdout and len(result.stdout) > 300


def test_version_is_that_of_the_package() -> None:
    result = signs("--version")
    assert (result.returncode, result.stdout) == (0, f"signs {version('traffic-sign-mlops')}\n")


def test_help_loads_no_library_of_a_stage() -> None:
    heavy = {"numpy", "torch", "matplotlib", "onnx", "onnxruntime", "mlflow", "tritonclient", "grpc", "cv2", "PIL"}
    code = f"import sys, clients.command.main; found = {heavy} & set(sys.modules); sys.exit(str(found) if found else 0)"
    result = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr


def test_a_usage_mistake_exits_2() -> None:
    assert signs("predict").returncode == 2
    assert signs("serve", "--http-port", "x").returncode == 2
    assert signs("gateway", "--log-level", "loud").returncode == 2
    assert signs("gateway", "--tls-key", "key.pem").returncode == 2
    assert signs("predict", "x.png", "--protocol", "ftp").returncode == 2
    assert signs("predict", "x.png", "--score-threshold", "2").returncode == 2
    assert signs("predict", "x.png", "--crops", "--annotate", "x").returncode == 2
    assert signs("predict", "x.mp4", "--crops").returncode == 2
    assert signs("predict", "x.png", "--top", "3").returncode == 2
    assert signs("predict", "x.png", "--camera", "0").returncode == 2
    assert signs("predict", "x.png", "--json", "--csv").returncode == 2
    assert signs("predict", "x.png", "--concurrency", "0").returncode == 2


def one_line(result: "subprocess.CompletedProcess[str]") -> str:
    assert result.returncode == 1, result.stderr
    lines = result.stderr.strip().splitlines()
    assert len(lines) == 1 and lines[0].startswith("signs: "), result.stderr
    return lines[0]


def test_predict_names_a_crop_that_is_missing_or_no_picture(tmp_path: Path) -> None:
    (tmp_path / "text.jpg").write_text("not a picture")
    (tmp_path / "empty.png").write_bytes(b"")
    assert "No such file" in one_line(signs("predict", "--crops", str(tmp_path / "nothing.png")))
    assert "not an image" in one_line(signs("predict", "--crops", str(tmp_path / "text.jpg")))
    assert "not an image" in one_line(signs("predict", "--crops", str(tmp_path / "empty.png")))


def test_predict_names_a_folder_without_pictures_and_a_camera_that_is_not_there(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("x")
    assert "the folder holds no picture" in one_line(signs("predict", str(tmp_path)))
    assert "the folder holds no picture" in one_line(signs("predict", "--crops", str(tmp_path)))
    assert "no file matches" in one_line(signs("predict", str(tmp_path / "*.jpg")))
    assert "no such camera" in one_line(signs("predict", "--camera", "99"))


def test_a_name_that_the_terminal_cannot_show_is_shown_with_escapes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Bytes that are no UTF-8 in a UTF-8 locale, letters in a terminal of ASCII."""
    for encoding, name in (("utf-8:strict", "stra\udcdfe.jpg"), ("ascii:strict", "straße.jpg")):
        monkeypatch.setenv("PYTHONIOENCODING", encoding)
        result = signs_process("predict", name, cwd=tmp_path)
        assert "No such file" in one_line(result) and "not read" in result.stdout


def test_predict_without_a_server_says_how_to_start_one(tmp_path: Path) -> None:
    Image.new("RGB", (60, 60)).save(tmp_path / "sign.png")
    for kind in ([], ["--crops"]):
        message = one_line(signs("predict", *kind, str(tmp_path / "sign.png"), "--url", "127.0.0.1:1"))
        assert "signs serve" in message


def test_export_names_a_missing_checkpoint(tmp_path: Path) -> None:
    assert "not a checkpoint" in one_line(signs("export", "onnx", str(tmp_path), "--repository", str(tmp_path / "r")))
    assert not (tmp_path / "r").exists()


@pytest.mark.parametrize("data", ["nowhere", "empty", "broken.zip", "other.zip"])
def test_the_demo_refuses_data_that_is_not_gtsdb(tmp_path: Path, data: str) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "broken.zip").write_bytes(b"PK\x03\x04 not a zip")
    import zipfile

    with zipfile.ZipFile(tmp_path / "other.zip", "w") as archive:
        archive.writestr("holiday.txt", "sun")
    message = one_line(signs("demo", "--data", str(tmp_path / data), cwd=tmp_path))
    assert any(hint in message for hint in ("give a folder", "FullIJCNN2013", "download it again"))
    assert not (tmp_path / "model_repository").exists()


def test_the_demo_takes_data_as_a_path_or_as_a_kind_and_a_path(tmp_path: Path) -> None:
    (tmp_path / "gtsdb=scenes").mkdir()
    for given, meant in (
        ("gtsdb=a.zip", "a.zip"),
        ("a.zip", "a.zip"),
        (f"{tmp_path}/gtsdb=scenes", f"{tmp_path}/gtsdb=scenes"),
    ):
        assert DemoSettings(data=Path(given)).data_path == Path(meant)
    assert DemoSettings().data_path is None


def test_serve_names_an_empty_repository(tmp_path: Path) -> None:
    result = signs("serve", "--repository", str(tmp_path), "--home", str(ROOT / ".tritonserver"), cwd=tmp_path)
    assert "no model in" in result.stderr and result.returncode == 1


def test_serve_looks_at_the_repository_before_it_installs_a_server(tmp_path: Path) -> None:
    home = tmp_path / "home"
    assert "no model in" in one_line(signs("serve", "-r", str(tmp_path / "typo"), "--home", str(home), cwd=tmp_path))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "arguments",
    [
        ("demo", "--runs", "FILE"),
        ("demo", "--home", "FILE/x"),
        ("demo", "--repository", "FILE"),
        ("demo", "--name", "../elsewhere"),
        ("serve", "--log", "FILE/x"),
        ("serve", "--home", "FILE/x"),
        ("serve", "--host", "8.8.8.8"),
        ("serve", "--host", "8.8.8.8", "--unsafe-old-server"),
        ("predict", "PICTURE", "--url", "localhost:abc", "--protocol", "http"),
        ("predict", "PICTURE", "--url", ""),
        ("predict", "PICTURE", "--annotate", "FILE"),
        ("export", "onnx", "FILE"),
        ("train", "classifier", "--data", "gtsdb=FILE"),
    ],
)
def test_whatever_is_wrong_with_a_path_or_an_address_is_one_line(
    arguments: tuple[str, ...], tmp_path: Path, repository: Path, manifest: Manifest
) -> None:
    (tmp_path / "file").write_text("x")
    Image.new("RGB", (60, 60)).save(tmp_path / "sign.png")
    words = {"FILE": str(tmp_path / "file"), "PICTURE": str(tmp_path / "sign.png")}
    given = [
        words.get(word, word.replace("FILE/", f"{words['FILE']}/").replace("=FILE", f"={words['FILE']}"))
        for word in arguments
    ]
    home = ["--home", str(ROOT / ".tritonserver")] if given[0] in ("demo", "serve") and "--home" not in given else []
    served = ["--repository", str(repository)] if given[0] == "serve" else []
    message = one_line(signs(*given, *home, *served, cwd=tmp_path))
    assert len(message) > 30
    assert not list(tmp_path.rglob("checkpoint")) and not list(tmp_path.rglob("drawn-scenes*"))


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (("export", "onnx", "x", "--precision", "fp8"), "'fp8': choose fp32 or fp16 or int8 or auto"),
        (("export", "onnx", "x", "--int8-for", "gpu"), "'gpu': choose cpu or tensorrt"),
        (("export", "tune", "m", "--latency-budget-ms", "9", "--instances", ""), "it is empty: give at least one"),
        (("export", "gate", "m", "--data", "x", "--fingerprint", "xyz"), "'xyz': give hexadecimal digits"),
    ],
)
def test_a_value_that_no_option_has_is_a_usage_mistake(arguments: tuple[str, ...], reason: str) -> None:
    result = signs(*arguments)
    assert result.returncode == 2
    assert reason in " ".join(result.stderr.replace("│", " ").split())


def test_export_refuses_a_file_as_the_repository(checkpoint: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    message = one_line(signs("export", "onnx", str(checkpoint), "-r", str(tmp_path / "file"), cwd=tmp_path))
    assert "is a file: give the folder of a repository" in message


def test_make_mlflow_names_runs_that_are_not_there(tmp_path: Path) -> None:
    (tmp_path / ".venv").mkdir()
    (tmp_path / ".venv" / "installed").touch()
    command = ["make", "-f", str(ROOT / "Makefile"), "-o", ".venv/installed", "mlflow", "RUNS=no where"]
    result = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, check=False)
    assert result.returncode == 2 and "there is no folder no where: train first" in result.stderr


@pytest.mark.parametrize("seed", ["-1", str(2**32), "x"])
def test_a_seed_that_numpy_cannot_take_is_a_usage_mistake(seed: str) -> None:
    assert signs("demo", "--seed", seed).returncode == 2
