"""Finds a tritonserver, or installs one without a container.

The wheel nvidia-pytriton carries a real tritonserver 2.51 with the Python backend. It is unpacked into a folder
of its own, together with the interpreter-bound packages its Python models need and our stand-in for the ONNX
Runtime backend. Nothing of it is imported by this process.

The server's Python models run in a stub that is bound to one Python version and wants NumPy 1, which exists for
Python 3.12 and older: so the server may use another interpreter than this one.
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
from dataclasses import asdict, dataclass
from pathlib import Path

from serving.ending import describe_code
from serving.errors import ServingError
from serving.lifetime import die_with_parent
from serving.own_server import examine, find_program
from serving.paths import SafePaths

WHEEL = "nvidia-pytriton==0.7.0"  # the last release
VERSION = "2.51.0"  # of the tritonserver that it carries
PACKAGES = (
    "numpy>=1.26,<2",  # with NumPy 2 the stub hands over empty tensors
    "onnxruntime==1.27.0",  # of the oldest server allowed on a network, so that a model it cannot read fails here
    "pillow>=12,<14",  # sign_recognizer decodes photographs; 12 is the last for Python 3.10, 13 the project's own
    "protobuf>=6.30,<7",  # onnxruntime's; kept equal to the project's own
)
STUB_VERSIONS = ((3, 12), (3, 11), (3, 10))  # that both the wheel has a stub for and NumPy 1.26 a wheel
# Without any of these the server cannot start; where one is gone, all of it is installed anew.
PARTS = (
    "tritonserver/bin/tritonserver",
    "tritonserver/backends/python/libtriton_python.so",
    "tritonserver/backends/python/triton_python_backend_stub",
    "nvidia_pytriton.libs",
    "python/bin/python3",
)
# Bumped when the layout below changes, so that an older installation is made anew.
LAYOUT = 1
# Python would leave its caches beside the models, among files that are published with their checksums.
NO_CACHES = "import sys; sys.dont_write_bytecode = True\n"

Say = Callable[[str], None]


@dataclass(frozen=True)
class Installation:
    """A tritonserver that can be started.

    Attributes:
        binary: the program.
        environment: variables it needs on top of the caller's.
        arguments: command-line arguments it needs.
        description: what it is, for a person.
        home: folder that all of it is in, where it is our own.
        version: of the server, as it names itself.
        has_standin: its ONNX Runtime backend is the stand-in, whose latency is not Triton's.
    """

    binary: Path
    environment: dict[str, str]
    arguments: list[str]
    description: str
    home: Path | None = None
    version: str = VERSION
    has_standin: bool = False


@dataclass(frozen=True)
class Interpreter:
    """A Python that Triton's stub can run: its program, its version and the folder of its libpython."""

    executable: str
    version: tuple[int, int]
    library_folder: str


def find_or_install(
    home: Path, say: Say, tritonserver: Path | None = None, backends: Path | None = None
) -> Installation:
    """Returns the tritonserver that is asked for or that the machine has, else ours, installed on first use.

    Args:
        home: folder of our installation; made in one rename, so that a killed installation leaves none.
        say: receives what is happening.
        tritonserver: a program of one's own; SIGNS_TRITONSERVER names one as well.
        backends: folder of its backends, where that is not beside it; SIGNS_TRITON_BACKENDS names one as well.

    Raises:
        ServingError: what is asked for is no tritonserver, there is none for this platform or interpreter, or the
            package index cannot be reached.
    """
    program = find_program(tritonserver)
    if program is not None:
        own = examine(program, backends)
        return Installation(
            program, {}, own.arguments, own.description, version=own.version, has_standin=own.has_standin
        )
    if backends is not None:
        raise ServingError("--backends is for a server of one's own: give its program with --tritonserver")
    if not is_installed(home):
        install(home, say)
    return _describe(home.resolve(), lambda path: path)


def located(installation: Installation, paths: SafePaths) -> Installation:
    """Returns an installation whose paths Triton can use."""
    return _describe(installation.home, paths.safe) if installation.home else installation


def check_home(home: Path) -> None:
    """Refuses what `find_or_install` would refuse, before any other work is done; installs nothing.

    Raises:
        ServingError: there is no tritonserver and can be none on this machine, or none in this folder.
    """
    if find_program() or is_installed(home):
        return
    check_machine()
    nearest = next(folder for folder in (home.absolute(), *home.absolute().parents) if folder.exists())
    if not nearest.is_dir() or not os.access(nearest, os.W_OK):
        problem = "cannot be written to" if nearest.is_dir() else "is a file"
        raise ServingError(f"cannot install tritonserver into {home}: {nearest} {problem}. Choose another --home")


def is_installed(home: Path) -> bool:
    """Tells whether `home` holds an installation of this layout and these packages with all its parts."""
    try:
        record = json.loads((home / "installation.json").read_text())
        version = ".".join(map(str, record["interpreter"]["version"]))
        parts = [home / part for part in PARTS] + [Path(record["interpreter"]["executable"])]
        parts += [home / f"python/lib/python{version}/site-packages" / name for name in ("numpy", "onnxruntime", "PIL")]
        is_current = record["layout"] == LAYOUT and record["packages"] == list(PACKAGES)
        return is_current and all(part.exists() for part in parts)
    except (OSError, ValueError, KeyError, TypeError):
        return False


def install(home: Path, say: Say) -> None:
    """Installs tritonserver into `home`, replacing what is there.

    Raises:
        ServingError: see find_or_install.
    """
    interpreter = check_machine()
    staging = home.with_name(f"{home.name}.partial-{os.getpid()}")
    try:
        _remove_leftovers(home)
        staging.mkdir(parents=True)
        say("downloading tritonserver (55 MB)")
        _pip("download", "--no-deps", "--only-binary=:all:", "--dest", str(staging), WHEEL)
        (wheel,) = staging.glob("*.whl")
        _unpack(wheel, staging, interpreter)
        say("installing ONNX Runtime and Pillow for it")
        version = f"{interpreter.version[0]}.{interpreter.version[1]}"
        environment = staging / "python"
        # Without pip, an environment can be made by an interpreter that lacks it, and moved afterwards.
        command = [interpreter.executable, "-m", "venv", "--without-pip", "--symlinks", str(environment)]
        subprocess.run(command, check=True, capture_output=True)
        target = str(environment / "lib" / f"python{version}" / "site-packages")
        _pip("install", "--only-binary=:all:", "--python-version", version, "--target", target, *PACKAGES)
        _forbid_caches(environment, version)
        record = {"layout": LAYOUT, "wheel": WHEEL, "packages": PACKAGES, "interpreter": asdict(interpreter)}
        (staging / "installation.json").write_text(json.dumps(record, indent=2) + "\n")
        if is_installed(home):
            return  # another process was faster, and may be serving from it already
        if home.exists():
            shutil.rmtree(home)
        staging.rename(home)
    except (OSError, subprocess.CalledProcessError) as error:
        raise ServingError(
            f"cannot install tritonserver into {home} ({error}): check its rights and the free space (400 MB)"
        ) from error
    finally:
        shutil.rmtree(staging, ignore_errors=True)


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


def _remove_leftovers(home: Path) -> None:
    """Removes what installations that were killed outright have left beside `home`."""
    for leftover in home.parent.glob(f"{home.name}.partial-*"):
        try:
            os.kill(int(leftover.name.rpartition("-")[2]), 0)
        except (ValueError, ProcessLookupError):
            shutil.rmtree(leftover, ignore_errors=True)
        except PermissionError:
            pass  # somebody else's installation, still going on


def find_interpreter() -> Interpreter:
    """Returns this interpreter where Triton's stub can run it, else another one of this machine.

    Raises:
        ServingError: there is none.
    """
    for executable in (sys.executable, *_other_pythons()):
        found = _probe(executable)
        if found is not None:
            return found
    wanted = ", ".join(f"3.{minor}" for _, minor in STUB_VERSIONS)
    raise ServingError(
        f"tritonserver needs a Python {wanted} with its shared library (libpython3.X.so.1.0), and this machine "
        "has none. On Debian and Ubuntu: apt-get install python3-venv libpython3.11 (or .12, as python3 "
        "--version says); with uv: uv python install 3.12"
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
    """Describes an installation of ours.

    Args:
        home: its folder.
        named: gives the name under which Triton is to know a folder.
    """
    record = json.loads((home / "installation.json").read_text())
    interpreter = record["interpreter"]
    place = named(home)
    triton = place / "tritonserver"
    # Linked, not copied: the backend in use is always this checkout's, also after an update of the project.
    link = triton / "backends" / "onnxruntime"
    ours = Path(__file__).parent / "backends" / "onnxruntime"
    if not link.exists() or link.resolve() != ours.resolve():
        staged = link.with_name(f"{link.name}.{os.getpid()}")  # another process may be about to do the same
        staged.symlink_to(ours)
        staged.replace(link)
    version = ".".join(map(str, interpreter["version"]))
    with contextlib.suppress(OSError):  # of an older installation of somebody else's: a nuisance, and no more
        _forbid_caches(home / "python", version)
    environment = {
        # The libraries of the wheel, and the libpython of the very interpreter whose packages are used:
        # another one of the same version fails in odd ways.
        "LD_LIBRARY_PATH": f"{place / 'nvidia_pytriton.libs'}:{named(Path(interpreter['library_folder']))}",
        # The stub embeds Python in isolated mode: it heeds neither PYTHONPATH nor PYTHONHOME and takes the
        # environment of the first python3 on the PATH.
        "PATH": f"{place / 'python' / 'bin'}:{os.environ.get('PATH', '')}",
    }
    arguments = [f"--backend-directory={triton / 'backends'}", f"--cache-directory={triton / 'caches'}"]
    description = f"tritonserver {VERSION} (wheel, Python {version}, ONNX Runtime stand-in backend)"
    binary = triton / "bin" / "tritonserver"
    return Installation(binary, environment, arguments, description, home, has_standin=True)


def _forbid_caches(environment: Path, version: str) -> None:
    """Has the Python of the models write no bytecode. No variable would: the stub heeds none."""
    rule = environment / "lib" / f"python{version}" / "site-packages" / "no_caches.pth"
    if not rule.exists():
        staged = rule.with_name(f"{rule.name}.{os.getpid()}")  # as with the link
        staged.write_text(NO_CACHES)
        staged.replace(rule)


def _pip(*arguments: str) -> None:
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", *arguments, "--quiet"]
    result = subprocess.run(command, capture_output=True, text=True, preexec_fn=die_with_parent(os.getpid()))
    if result.returncode:
        lines = [line for line in result.stderr.splitlines() if "ERROR" in line] or result.stderr.splitlines()
        reason = lines[0].removeprefix("ERROR: ") if lines else f"pip ended with {describe_code(result.returncode)}"
        raise ServingError(
            f"cannot fetch tritonserver for this machine ({reason}): check the free space, the connection to your "
            "package index, and that it has wheels for this platform"
        )
