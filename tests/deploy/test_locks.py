"""Tests of the locks that images are installed from: whole, with hashes, and in line with what they were made from."""

import re
import tomllib
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from serving.install import PACKAGES, WHEEL
from tests.deploy.linters import ROOT

LOCKS = sorted(path.relative_to(ROOT) for folder in ("[a-z]*", ".ci") for path in ROOT.glob(f"{folder}/**/[a-z]*.lock"))
STORES = ("s3", "gcs", "azure", "oci", "sign")
# What `make locks` makes of pyproject.toml, and the extras that are in it.
EXTRAS = {
    Path("clients/gateway/requirements.lock"): ("gateway", "tracing"),
    Path("export/requirements.lock"): ("client", "publish", *STORES),
    Path("training/requirements-cpu.lock"): ("train", "export", "client", *STORES),
    Path("training/requirements-cuda.lock"): ("train", "gpu", "client", *STORES),
}


def read(lock: Path) -> dict[str, list[Version]]:
    """Returns the versions of each package of a lock; there are two where they differ between platforms."""
    versions: dict[str, list[Version]] = {}
    for line in (ROOT / lock).read_text().splitlines():
        found = re.match(r"([A-Za-z0-9._-]+)==([^\s;]+)", line)
        if found:
            versions.setdefault(canonicalize_name(found[1]), []).append(Version(found[2]))
    return versions


def constraints() -> dict[str, Version]:
    lines = (ROOT / "constraints.txt").read_text().split()
    return {canonicalize_name(name): Version(version) for name, version in (line.split("==") for line in lines)}


def wanted(path: str) -> list[str]:
    return [line.partition(" #")[0].strip() for line in (ROOT / path).read_text().splitlines() if line[:1] != "#"]


@pytest.mark.parametrize("lock", LOCKS, ids=str)
def test_every_line_is_one_version_with_hashes(lock: Path) -> None:
    text = re.sub(r"(?m)^ *#.*\n", "", (ROOT / lock).read_text())
    requirements = text.replace("\\\n", " ").splitlines()

    assert requirements
    for each in requirements:
        assert re.fullmatch(r"[\w.-]+==[\w.+!]+(?: ;[^\\]+?)?(?:\s+--hash=sha256:[0-9a-f]{64})+", each.strip()), each


@pytest.mark.parametrize("lock", EXTRAS, ids=str)
def test_versions_are_those_of_the_constraints(lock: Path) -> None:
    known = constraints()
    for name, versions in read(lock).items():
        for version in versions:
            # PyTorch's CPU build has a local label, which constraints.txt leaves out.
            assert known.get(name) in (None, version, Version(version.public)), f"{name}: make locks"


@pytest.mark.parametrize(("lock", "extras"), EXTRAS.items(), ids=[str(lock) for lock in EXTRAS])
def test_locks_hold_what_pyproject_asks_for(lock: Path, extras: tuple[str, ...]) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    asked = [*project["dependencies"], *(line for extra in extras for line in project["optional-dependencies"][extra])]
    locked = read(lock)

    for requirement in map(Requirement, asked):
        versions = locked.get(canonicalize_name(requirement.name), [])
        assert versions, f"{requirement} is not in the lock: make locks"
        assert all(requirement.specifier.contains(Version(version.public)) for version in versions), "make locks"


def test_makefile_writes_each_lock_with_these_extras() -> None:
    makefile = (ROOT / "Makefile").read_text().replace("\\\n", " ")
    makefile = makefile.replace("$(STORES)", " ".join(f"--extra {store}" for store in STORES))

    for lock in LOCKS:
        (line,) = re.findall(rf"^\t\$\(COMPILE.*--output-file {re.escape(str(lock))}$", makefile, re.MULTILINE)
        assert set(re.findall(r"--extra (\S+)", line)) == set(EXTRAS.get(lock, ()))


def test_what_runs_without_pytorch_has_none() -> None:
    for image in ("export", "clients/gateway"):
        assert not {"torch", "mlflow", "onnxruntime"} & set(read(Path(image, "requirements.lock")))
    assert "onnx" in read(Path("export/requirements.lock")), "publishing reads the graph"
    assert "onnx" not in read(Path("clients/gateway/requirements.lock"))
    assert set(read(Path("serving/requirements.lock"))) == {"numpy", "pillow"}


def test_cpu_build_of_pytorch_brings_no_cuda() -> None:
    locked = read(Path("training/requirements-cpu.lock"))

    assert [version.local for version in locked["torch"]] == ["cpu"]
    assert not any(name.startswith("nvidia-") for name in locked)
    assert any(name.startswith("nvidia-cudnn") for name in read(Path("training/requirements-cuda.lock")))


def test_each_training_image_has_one_onnx_runtime() -> None:
    """Both builds are one module: whichever is installed last has written the files."""
    builds = {"onnxruntime", "onnxruntime-gpu"}

    assert builds & set(read(Path("training/requirements-cpu.lock"))) == {"onnxruntime"}
    assert builds & set(read(Path("training/requirements-cuda.lock"))) == {"onnxruntime-gpu"}


def test_the_extra_for_gpus_takes_the_place_of_export() -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    builds = {"onnxruntime", "onnxruntime-gpu", "nvidia-ml-py"}
    others = [{line for line in extras[name] if Requirement(line).name not in builds} for name in ("export", "gpu")]

    assert others[0] == others[1]


def test_servers_packages_are_those_that_signs_serve_installs() -> None:
    assert wanted("serving/standin/requirements.in") == list(PACKAGES)
    assert wanted("serving/standin/tritonserver.in") == [WHEEL]
    assert set(wanted("serving/requirements.in")) <= set(PACKAGES)
    for path in ("serving/standin/requirements", "serving/requirements"):
        locked = read(Path(f"{path}.lock"))
        for requirement in map(Requirement, wanted(f"{path}.in")):
            assert all(requirement.specifier.contains(version) for version in locked[requirement.name])


def test_build_backend_is_that_of_pyproject() -> None:
    system = tomllib.loads((ROOT / "pyproject.toml").read_text())["build-system"]

    assert wanted(".ci/build.in") == system["requires"]


def test_licences_are_permissive() -> None:
    """Of what of the locks is installed here: who passes an image on takes on no duty beyond the notices."""
    names = {name for lock in LOCKS for name in read(lock)}
    places = [
        str(each) for folder in (".venv", ".airflow") for each in (ROOT / folder).glob("lib/python*/site-packages")
    ]
    seen, copyleft = 0, []
    for package in metadata.distributions(path=places):
        if canonicalize_name(package.name) in names:
            seen += 1
            described = package.metadata
            lines = [*described.get_all("License-Expression", []), *described.get_all("License", [])]
            lines += [each for each in described.get_all("Classifier", []) if each.startswith("License ::")]
            text = " ".join(each.partition("\n")[0] for each in lines)
            # Some are under one of several licences, at the user's choice.
            if "GPL" in text and not re.search("MIT|BSD|Apache|Artistic", text):
                copyleft.append(f"{package.name}: {text}")

    assert seen > 100 and copyleft == []
