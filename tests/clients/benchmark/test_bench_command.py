"""The command line of `signs bench` where nothing is measured: wrong use, what is missing, two reports compared."""

import json
import signal
import sys
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from typer.testing import CliRunner, Result

from clients.benchmark.config import BenchmarkConfig, reported
from clients.benchmark.interruption import heeded, held, undisturbed
from clients.command.main import app
from serving.server import free_ports
from tests.clients.benchmark.made_up import GRPC, found, made_up_report
from tests.clients.benchmark.test_perf_analyzer import script
from traffic_sign_client.errors import ClientError, UnavailableError
from training.errors import DataError


def bench(*options: str) -> Result:
    return CliRunner().invoke(app, ["bench", *options])


def fails(error: type[Exception], reason: str, *options: str) -> None:
    result = bench(*options)
    assert isinstance(result.exception, error) and reason in str(result.exception), result.output


@pytest.fixture
def tool(tmp_path: Path) -> str:
    """A program that names its version as perf_analyzer does, where no measurement is reached."""
    (tmp_path / "bin").mkdir()
    return str(script(tmp_path / "bin", "echo 'Perf Analyzer Version 2.60.0 (commit abc)'"))


@pytest.fixture
def picture(tmp_path: Path) -> str:
    Image.new("RGB", (48, 48)).save(tmp_path / "sign.png")
    return str(tmp_path / "sign.png")


@pytest.fixture
def reports(tmp_path: Path) -> tuple[str, str]:
    """Two runs, of which the second is half as fast."""
    for name, rate in (("old", 100.0), ("new", 50.0)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "report.json").write_text(json.dumps(made_up_report(found(rate))))
    return str(tmp_path / "old"), str(tmp_path / "new")


@pytest.mark.parametrize(
    "options",
    [
        ("--batch-sizes", "0"),
        ("--batch-sizes", "1,x"),
        ("--concurrencies", "5000"),
        ("--concurrencies", ""),
        ("--seconds", "0.1"),
        ("--rounds", "0"),
        ("--protocols", "ftp"),
        ("--url", "https://host:1"),
        ("--url", "host"),
        ("--url", "a:1", "--url", "b:1"),
        ("--url", "a:1", "--protocols", "http"),
        ("--max-slowdown", "1.2"),
        ("--compare", "x", "--max-slowdown", "0.5"),
        ("--report", "x"),
        ("--report", "x", "--compare", "y", "--output", "z"),
        ("--onnx", "model.onnx"),
        ("too", "many"),
    ],
)
def test_wrong_use_exits_with_2(options: tuple[str, ...]) -> None:
    result = bench(*options)
    assert result.exit_code == 2, result.output


def test_what_is_missing_is_named_before_anything_is_measured(tool: str, picture: str, tmp_path: Path) -> None:
    common = ("--perf-analyzer", tool, "--images", picture)
    nobody = ("--url", f"localhost:{free_ports().grpc}", *common)
    fails(ClientError, "cannot be run", "--perf-analyzer", str(tmp_path / "nothing"))
    fails(UnavailableError, "no grpc server at localhost", *nobody, "--output", str(tmp_path / "a"))
    http = f"http://localhost:{free_ports().http}"
    fails(UnavailableError, "no http server at localhost", "--url", http, *common, "--output", str(tmp_path / "b"))
    lost = ("--perf-analyzer", tool, "--images", str(tmp_path / "lost"), "--output", str(tmp_path / "c"))
    fails(DataError, "there is no data at", *lost)
    (tmp_path / "damaged.jpg").write_text("x")
    damaged = ("--perf-analyzer", tool, "--images", str(tmp_path / "damaged.jpg"), "--output", str(tmp_path / "d"))
    fails(ClientError, "damaged.jpg cannot be sent", *damaged)
    fails(OSError, "", *nobody, "--output", str(Path(picture) / "below"))
    fails(ClientError, "cannot be read", *nobody, "--compare", str(tmp_path / "lost"))
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "report.json").write_text("{}")
    fails(ClientError, "holds a report already", *nobody, "--output", str(tmp_path / "full"))
    assert (tmp_path / "full" / "report.json").read_text() == "{}"


def test_two_reports_are_compared_without_a_server(reports: tuple[str, str]) -> None:
    old, new = reports
    result = bench("--report", new, "--compare", old)
    assert result.exit_code == 0, result.output
    assert "0.50x" in result.output and "slower" in result.output
    printed = bench("--report", new, "--compare", old, "--json")
    comparison: dict[str, Any] = json.loads(printed.stdout)["comparison"]
    assert comparison["points"][0]["slowdown"] == 2 and "0.50x" in printed.stderr
    slow = f"more than 1.5 times slower than {old}: {GRPC}; sign_classifier, http, batch 8, 16 at a time"
    fails(ClientError, slow, "--report", new, "--compare", old, "--max-slowdown", "1.5")
    assert bench("--report", new, "--compare", old, "--max-slowdown", "2.5").exit_code == 0
    assert bench("--report", old, "--compare", new, "--max-slowdown", "1.01").exit_code == 0


def test_a_signal_that_python_loses_is_heeded_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    class Lost:
        def __del__(self) -> None:
            signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(sys, "unraisablehook", lambda _: None)  # pytest would make an error of what is lost on purpose
    before = signal.getsignal(signal.SIGINT)
    with heeded() as heed:
        heed()
        Lost()
        with pytest.raises(KeyboardInterrupt):
            heed()
    assert signal.getsignal(signal.SIGINT) is before
    done = []
    with pytest.raises(KeyboardInterrupt), held():
        signal.raise_signal(signal.SIGINT)
        done.append("the block to its end")
    assert done and signal.getsignal(signal.SIGINT) is before
    with undisturbed():
        signal.raise_signal(signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is before


def test_the_command_to_repeat_it_names_all_that_counts() -> None:
    request = BenchmarkConfig(
        url=("grpc://a:1", "http://b:2"),
        models=("sign_classifier",),
        batch_sizes=(1, 8),
        concurrencies=(4,),
        seconds=1.5,
        rounds=2,
        images=Path("my pictures"),
        in_process=True,
        onnx=Path("model.onnx"),
    )
    assert request.command() == (
        "signs bench --url grpc://a:1 --url http://b:2 --models sign_classifier --batch-sizes 1,8 --concurrencies 4 "
        "--seconds 1.5 --rounds 2 --images 'my pictures' --in-process --onnx model.onnx"
    )
    assert reported(request)["images"] == "my pictures"
    own = BenchmarkConfig(
        repository=Path("models"),
        protocols=("http",),
        batch_sizes=(1,),
        concurrencies=(1,),
        perf_analyzer=Path("pa"),
    )
    assert own.command() == (
        "signs bench --repository models --protocols http --batch-sizes 1 --concurrencies 1 --seconds 3 --rounds 3 "
        "--perf-analyzer pa"
    )
