"""Finds a tritonserver, or installs one without a container.

The wheel nvidia-pytriton contains a real tritonserver 2.51 with the Python backend. It is unpacked into a separate
folder, together with the packages of its Python models and our stand-in for the ONNX Runtime backend. This process
imports none of them.

The server's Python models run in a stub that is built for one Python version and needs NumPy 1, which supports
Python 3.12 and older. The server may therefore use another interpreter than this process.
"""

import contextlib
import json
import os
import platform
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from serving.errors import ServingError
from serving.exit_reason import describe_code
from serving.lifetime import ending_with_this
from serving.own_server import examine, find_program, home_of
from serving.paths import SafePaths
from traffic_signs.atomic_write import atomic_folder, atomic_write, write_whole

WHEEL = "nvidia-pytriton==0.7.0"  # the last release
VERSION = "2.51.0"  # of the tritonserver in the wheel
PACKAGES = (
    "numpy>=1.26,<2",  # with NumPy 2 the stub passes empty tensors
    "onnxruntime==1.27.0",  # that of the oldest server allowed on a network: a model it cannot read fails here
    "pillow>=12,<14",  # sign_recognizer decodes photographs; 12 is the last for Python 3.10, 13 the project's own
    "protobuf>=6.30,<7",  # onnxruntime's; kept equal to the project's own
)
STUB_VERSIONS = ((3, 12), (3, 11), (3, 10))  # the wheel has a stub for these, and NumPy 1.26 a wheel
# The server needs all of these; if one is missing, the installation is repeated.
PARTS = (
    "tritonserver/bin/tritonserver",
    "tritonserver/backends/python/libtriton_python.so",
    "tritonserver/backends/python/triton_python_backend_stub",
    "nvidia_pytriton.libs",
    "python/bin/python3",
)
# Increase it when the layout below changes, so that older installations are replaced.
LAYOUT = 1
# Python would write __pycache__ beside the models, among files that are published with their checksums.
NO_CACHES = "import sys; sys.dont_write_bytecode = True\n"

Say = Callable[[str], None]


@dataclass(frozen=True)
class Installation:
    """A tritonserver that can be started."""

    binary: Path
    environment: dict[str, str]  # that it needs in addition to the caller's
    arguments: list[str]  # that it needs
    description: str  # one line for users
    home: Path | None = None  # of our own installation; None for another server
    version: str = VERSION  # that the server reports
    has_standin: bool = False  # its ONNX Runtime backend is the stand-in, which is slower than the real one


@dataclass(frozen=True)
class Interpreter:
    """A Python that Triton's stub can run: its program, its version and the folder of its libpython."""

    executable: str
    version: tuple[int, int]
    library_folder: str


def find_or_install(
    home: Path, say: Say, tritonserver: Path | None = None, backends: Path | None = None
) -> Installation:
    """Returns the given tritonserver, else that of the machine, else our own, which it installs on first use.

    Args:
        home: folder of our installation; it appears in one rename, so an interrupted installation leaves nothing.
        say: receives a sentence about each step.
        tritonserver: path of a server to use; SIGNS_TRITONSERVER is the default.
        backends: folder of its backends, if not beside it; SIGNS_TRITON_BACKENDS is the default.

    Raises:
        ServingError: the given program is not a tritonserver, there is no wheel for this platform or interpreter, or
            the package index cannot be reached.
    """
    program = find_program(tritonserver)
    if program is not None:
        return _describe_other(program, *examine(program, backends))
    if backends is not None:
        raise ServingError("--backends needs a server of your own: give its program with --tritonserver")
    if not is_installed(home):
        install(home, say)
    return _describe(home.resolve(), lambda path: path)


def _describe_other(program: Path, version: str, backends: Path) -> Installation:
    caches, is_standin = home_of(program) / "caches", has_standin(backends)
    is_native = (backends / "onnxruntime" / "libtriton_onnxruntime.so").exists()
    backend = "ONNX Runtime backend" if is_native else f"no ONNX Runtime backend in {backends}"
    backend = "ONNX Runtime stand-in backend" if is_standin else backend
    arguments = [f"--backend-directory={backends}", *([f"--cache-directory={caches}"] if caches.is_dir() else [])]
    description = f"tritonserver {version} ({program}, {backend})"
    return Installation(program, {}, arguments, description, version=version, has_standin=is_standin)


def has_standin(backends: Path) -> bool:
    """Returns whether the ONNX Runtime backend in a folder is the stand-in: Triton prefers a library to a model.py."""
    folder = backends / "onnxruntime"
    return (folder / "model.py").exists() and not (folder / "libtriton_onnxruntime.so").exists()


def located(installation: Installation, paths: SafePaths) -> Installation:
    """Returns the installation with paths that Triton can use."""
    if installation.home:
        return _describe(installation.home, paths.safe)
    folders = (each.partition("=") for each in installation.arguments)  # each is an option and a folder
    arguments = [f"{option}={paths.safe(Path(folder))}" for option, _, folder in folders]
    return replace(installation, arguments=arguments)


def check_home(home: Path) -> None:
    """Checks, without installing, that `find_or_install` can succeed; raises ServingError if it cannot."""
    if find_program() or is_installed(home):
        return
    check_machine()
    _check_writable(home)


def _check_writable(home: Path) -> None:
    nearest = next(folder for folder in (home.absolute(), *home.absolute().parents) if folder.exists())
    if not nearest.is_dir() or not os.access(nearest, os.W_OK):
        problem = "cannot be written to" if nearest.is_dir() else "is a file"
        raise ServingError(f"cannot install tritonserver into {home}: {nearest} {problem}. Choose another --home")


def is_installed(home: Path) -> bool:
    """Returns whether `home` holds a complete installation of the current layout and packages."""
    try:
        record = json.loads((home / "installation.json").read_text())
        version = ".".join(map(str, record["interpreter"]["version"]))
        parts = [home / part for part in PARTS] + [Path(record["interpreter"]["executable"])]
        parts += [_packages(home / "python", version) / name for name in ("numpy", "onnxruntime", "PIL")]
        is_current = record["layout"] == LAYOUT and record["packages"] == list(PACKAGES)
        return is_current and all(part.exists() for part in parts)
    except (OSError, ValueError, KeyError, TypeError):
        return False


def install(home: Path, say: Say) -> None:
    """Installs tritonserver into `home`, replacing what is there; raises ServingError as `find_or_install` does."""
    interpreter = check_machine()
    _check_writable(home)
    try:
        with atomic_folder(home) as staging:
            _fill(staging, interpreter, say)
            if is_installed(home):
                shutil.rmtree(staging)  # another process was faster and may already serve from it
            elif home.exists():
                shutil.rmtree(home)
    except (OSError, subprocess.CalledProcessError) as error:
        raise ServingError(
            f"cannot install tritonserver into {home} ({error}): check its rights and the free space (400 MB)"
        ) from error


def _fill(staging: Path, interpreter: Interpreter, say: Say) -> None:
    """Makes the installation in an empty folder."""
    say("downloading tritonserver (55 MB)")
    _pip("download", "--no-deps", "--only-binary=:all:", "--dest", str(staging), WHEEL)
    (wheel,) = staging.glob("*.whl")
    _unpack(wheel, staging, interpreter)
    say("installing ONNX Runtime and Pillow for it")
    version = f"{interpreter.version[0]}.{interpreter.version[1]}"
    environment = staging / "python"
    # Without pip: the interpreter may have none, and the environment can be moved afterwards.
    command = [interpreter.executable, "-m", "venv", "--without-pip", "--symlinks", str(environment)]
    subprocess.run(command, check=True, capture_output=True)
    target = _packages(environment, version)
    _pip("install", "--only-binary=:all:", "--python-version", version, "--target", str(target), *PACKAGES)
    _forbid_caches(environment, version)
    record = {"layout": LAYOUT, "wheel": WHEEL, "packages": PACKAGES, "interpreter": asdict(interpreter)}
    (staging / "installation.json").write_text(json.dumps(record, indent=2) + "\n")


def check_machine() -> Interpreter:
    """Returns the interpreter that a tritonserver installed here would use.

    Raises:
        ServingError: there is no wheel for this platform, or no interpreter that fits it.
    """
    if sys.platform != "linux" or platform.machine() != "x86_64":
        raise ServingError(
            f"there is no tritonserver wheel for {sys.platform} on {platform.machine()}: use Linux on x86-64, or "
            "run the official tritonserver image and point the clients at it with --url"
        )
    return find_interpreter()


def find_interpreter() -> Interpreter:
    """Returns this interpreter if Triton's stub can run it, else another one; raises ServingError if none fits."""
    for executable in (sys.executable, *_other_pythons()):
        found = _probe(executable)
        if found is not None:
            return found
    wanted = ", ".join(f"3.{minor}" for _, minor in STUB_VERSIONS)
    raise ServingError(
        f"tritonserver needs a Python {wanted} with its shared library (libpython3.X.so.1.0), and this machine "
        "has none. If python3 --version is one of them, on Debian and Ubuntu: apt-get install python3-venv "
        "libpython3.11 (or .10, .12); else install one beside it, with uv: uv python install 3.12"
    )


def _other_pythons() -> Iterator[str]:
    for major, minor in STUB_VERSIONS:
        for candidate in (
            shutil.which(f"python{major}.{minor}"),
            *sorted(map(str, Path.home().glob(f".pyenv/versions/{major}.{minor}.*/bin/python"))),
            *sorted(map(str, Path.home().glob(f".local/share/uv/python/cpython-{major}.{minor}*/bin/python3"))),
        ):
            if candidate:
                yield candidate


def _probe(executable: str) -> Interpreter | None:
    code = (
        "import json,sys,sysconfig as s;print(json.dumps([sys.version_info[:2],sys.base_prefix,"
        "s.get_config_var('LIBDIR'),getattr(sys,'_base_executable',sys.executable)]))"
    )
    try:
        result = subprocess.run([executable, "-c", code], capture_output=True, text=True, check=True, timeout=30)
        (major, minor), prefix, libdir, base = json.loads(result.stdout)
    except (OSError, subprocess.SubprocessError, ValueError):
        return None  # such as a pyenv shim of a version that is not installed
    if (major, minor) not in STUB_VERSIONS:
        return None
    for folder in (libdir, f"{prefix}/lib", f"/usr/lib/{platform.machine()}-linux-gnu"):
        if folder and (Path(folder) / f"libpython{major}.{minor}.so.1.0").exists():
            return Interpreter(base or executable, (major, minor), folder)
    return None


def _unpack(wheel: Path, staging: Path, interpreter: Interpreter) -> None:
    with zipfile.ZipFile(wheel) as archive:
        for name in archive.namelist():
            if name.startswith(("pytriton/tritonserver/", "nvidia_pytriton.libs/")):
                archive.extract(name, staging)
    wheel.unlink()
    shutil.move(staging / "pytriton" / "tritonserver", staging / "tritonserver")
    shutil.rmtree(staging / "pytriton")
    triton = staging / "tritonserver"
    version = f"{interpreter.version[0]}.{interpreter.version[1]}"
    stub = triton / "backends" / "python" / "triton_python_backend_stub"
    shutil.copy(triton / "python_backend_stubs" / version / stub.name, stub)
    shutil.rmtree(triton / "python_backend_stubs")
    for program in (stub, triton / "bin" / "tritonserver"):
        program.chmod(0o755)


def _describe(home: Path, named: Callable[[Path], Path]) -> Installation:
    """Describes our installation in `home`; `named` returns the path under which Triton opens a folder."""
    record = json.loads((home / "installation.json").read_text())
    interpreter = record["interpreter"]
    place = named(home)
    triton = place / "tritonserver"
    # A link, not a copy, so that an update of the project updates the backend.
    link = triton / "backends" / "onnxruntime"
    ours = Path(__file__).parent / "backends" / "onnxruntime"
    if not link.exists() or link.resolve() != ours.resolve():
        with atomic_write(link) as staging:  # another process may do the same now
            staging.symlink_to(ours)
    version = ".".join(map(str, interpreter["version"]))
    with contextlib.suppress(OSError):  # another user's older installation; caches do no harm
        _forbid_caches(home / "python", version)
    environment = {
        # The libraries of the wheel, and the libpython of exactly the interpreter whose packages are used: another
        # build of the same version crashes.
        "LD_LIBRARY_PATH": f"{place / 'nvidia_pytriton.libs'}:{named(Path(interpreter['library_folder']))}",
        # The stub embeds Python in isolated mode: it ignores PYTHONPATH and PYTHONHOME and uses the environment of the
        # first python3 on PATH.
        "PATH": f"{place / 'python' / 'bin'}:{os.environ.get('PATH', '')}",
    }
    arguments = [f"--backend-directory={triton / 'backends'}", f"--cache-directory={triton / 'caches'}"]
    description = f"tritonserver {VERSION} (wheel, Python {version}, ONNX Runtime stand-in backend)"
    binary = triton / "bin" / "tritonserver"
    return Installation(binary, environment, arguments, description, home, has_standin=True)


def _packages(environment: Path, version: str) -> Path:
    return environment / "lib" / f"python{version}" / "site-packages"


def _forbid_caches(environment: Path, version: str) -> None:
    """Stops the models' Python from writing bytecode by a .pth file: the stub ignores environment variables."""
    rule = _packages(environment, version) / "no_caches.pth"
    if not rule.exists():
        write_whole(rule, NO_CACHES)


def _pip(*arguments: str) -> None:
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", *arguments, "--quiet"]
    result = subprocess.run(ending_with_this(command), capture_output=True, text=True)
    if result.returncode:
        lines = [line for line in result.stderr.splitlines() if "ERROR" in line] or result.stderr.splitlines()
        reason = lines[0].removeprefix("ERROR: ") if lines else f"pip ended with {describe_code(result.returncode)}"
        raise ServingError(
            f"cannot fetch tritonserver for this machine ({reason}): check the free space, the connection to your "
            "package index, and that it has wheels for this platform"
        )
