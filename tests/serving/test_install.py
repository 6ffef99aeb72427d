"""The tritonserver installation is whole or absent, and says what is missing."""

import json
import os
import platform
import subprocess
import sys
from pathlib import Path

import pytest

from serving import install as module
from serving.errors import ServingError
from serving.install import Installation, find_interpreter, is_installed

SITE = "python/lib/python3.11/site-packages"


@pytest.mark.end_to_end
def test_the_binary_runs_and_is_the_version_it_claims(installation: Installation) -> None:
    environment = {**os.environ, **installation.environment}
    result = subprocess.run(
        [str(installation.binary), "--help"], env=environment, capture_output=True, text=True, check=False
    )
    assert "--model-repository" in result.stdout + result.stderr
    assert "2.51.0" in installation.description


@pytest.mark.end_to_end
def test_the_backend_in_use_is_the_one_of_this_checkout(installation: Installation) -> None:
    backends = Path(next(a for a in installation.arguments if "backend-dir" in a).partition("=")[2])
    ours = Path(module.__file__).parent / "backends" / "onnxruntime"
    assert (backends / "onnxruntime").resolve() == ours.resolve()


@pytest.mark.end_to_end
def test_its_own_python_decodes_pictures(installation: Installation) -> None:
    python = Path(installation.environment["PATH"].partition(":")[0]) / "python3"
    code = "from PIL import Image, features; import numpy, onnxruntime; assert features.check('webp')"
    result = subprocess.run([str(python), "-c", code], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr


@pytest.mark.end_to_end
def test_its_own_python_leaves_no_caches(installation: Installation, tmp_path: Path) -> None:
    """In isolated mode, as Triton's stub runs it: variables count for nothing."""
    python = Path(installation.environment["PATH"].partition(":")[0]) / "python3"
    (tmp_path / "model.py").touch()
    code = f"import sys; sys.path.insert(0, {str(tmp_path)!r}); import model"
    subprocess.run([str(python), "-I", "-c", code], check=True)
    assert [path.name for path in tmp_path.iterdir()] == ["model.py"]


def test_an_installation_without_its_packages_on_record_does_not_count(whole: Path) -> None:
    record = json.loads((whole / "installation.json").read_text())
    del record["packages"]  # as it was before it was written down
    (whole / "installation.json").write_text(json.dumps(record))
    assert not is_installed(whole)


def test_the_interpreter_has_a_stub_and_its_library() -> None:
    interpreter = find_interpreter()
    assert interpreter.version in module.STUB_VERSIONS
    major, minor = interpreter.version
    assert (Path(interpreter.library_folder) / f"libpython{major}.{minor}.so.1.0").exists()


def test_another_platform_is_refused_with_the_way_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "machine", lambda: "aarch64")
    with pytest.raises(ServingError, match=r"aarch64.*official tritonserver image"):
        module.install(tmp_path / "home", print)


def test_no_interpreter_names_the_packages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_probe", lambda executable: None)
    with pytest.raises(ServingError, match=r"libpython.*apt-get install"):
        find_interpreter()


def test_an_interpreter_that_does_not_run_is_passed_over(tmp_path: Path) -> None:
    assert module._probe(str(tmp_path / "python3")) is None
    broken = tmp_path / "broken"
    broken.write_text("#!/bin/sh\nexit 1\n")
    broken.chmod(0o755)
    assert module._probe(str(broken)) is None


def test_an_unreachable_package_index_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:1/simple")
    monkeypatch.setenv("PIP_NO_INDEX", "")
    monkeypatch.setenv("PIP_FIND_LINKS", "")
    monkeypatch.setenv("PIP_EXTRA_INDEX_URL", "")
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_NO_CACHE_DIR", "1")
    monkeypatch.setenv("PIP_RETRIES", "0")
    with pytest.raises(ServingError, match="check the free space, the connection"):
        module.install(tmp_path / "home", print)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("home", ["file", "file/x", "file/x/y"])
def test_a_home_that_cannot_be_is_refused_before_any_work(
    home: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "find_program", lambda: None)
    (tmp_path / "file").write_text("x")
    with pytest.raises(ServingError, match=r"cannot install tritonserver into .*file is a file. Choose another --home"):
        module.check_home(tmp_path / home)
    with pytest.raises(ServingError, match=r"file is a file\. Choose another --home"):
        module.install(tmp_path / home, lambda step: pytest.fail(f"nothing is to be fetched: {step}"))
    module.check_home(tmp_path / "new" / "home")
    assert [path.name for path in tmp_path.iterdir()] == ["file"], "looked at, and nothing made"


@pytest.fixture
def whole(tmp_path: Path) -> Path:
    """The outline of a whole installation: its record and an empty file for each part."""
    interpreter = {"executable": sys.executable, "version": [3, 11]}
    record = {"layout": module.LAYOUT, "packages": list(module.PACKAGES), "interpreter": interpreter}
    (tmp_path / "installation.json").write_text(json.dumps(record))
    for part in (*module.PARTS, f"{SITE}/numpy", f"{SITE}/onnxruntime", f"{SITE}/PIL"):
        (tmp_path / part).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / part).touch()
    return tmp_path


def test_a_whole_installation_counts(whole: Path) -> None:
    assert is_installed(whole)


@pytest.mark.parametrize("part", [*module.PARTS, f"{SITE}/numpy", f"{SITE}/PIL", "installation.json"])
def test_without_any_of_its_parts_it_does_not_count(whole: Path, part: str) -> None:
    (whole / part).unlink()
    assert not is_installed(whole)


@pytest.mark.parametrize(
    "change",
    [
        {"layout": module.LAYOUT + 1},
        {"packages": [package for package in module.PACKAGES if "pillow" not in package]},
        {"interpreter": {"executable": "/gone"}},
        None,
    ],
)
def test_a_foreign_or_damaged_record_does_not_count(whole: Path, change: dict[str, object] | None) -> None:
    record = whole / "installation.json"
    record.write_text("{" if change is None else json.dumps(json.loads(record.read_text()) | change))
    assert not is_installed(whole)
