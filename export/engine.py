"""Compiles a version for the GPU of this machine: model.onnx becomes model.plan, which runs on such machines only.

The options are those of trtexec of TensorRT 10 and 11. TensorRT 11 types every network strongly and has no flags for
precision; 10 gets a flag for it, so that both take the precision from the graph.
"""

import importlib.util
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path

from tritonclient.grpc import model_config_pb2 as pb

from export.config import ENGINE, KINDS, profile
from export.errors import ExportError, RepositoryError
from export.repository import Manifest
from export.repository.configuration import ONNX
from export.repository.derived import publish_derived
from export.repository.fetching import fetch_version
from export.repository.hardware import Gpu, find_trtexec, gpus, version_of_trtexec
from export.repository.manifest import GPU_FILE, INT8_FILE
from export.repository.policy import CONFIG
from export.repository.promotion import own_configs
from export.repository.store import RepositoryLike, open_store
from serving.exit_reason import describe_code

MODEL, PLAN = "model.onnx", "model.plan"
OLDEST = 10  # version of TensorRT: earlier ones have no --skipInference and type differently
LOG_LINES = 12
# They do not describe the kernels that TensorRT has chosen, nor the best settings for them.
FACTS_OF_ONNX = ("opset", "ir_version", "graph", "parity", "accuracy", "tuning", "gpu", "int8")
WHERE = (
    "run it on the machine that is to serve, in an image with TensorRT: nvcr.io/nvidia/tritonserver or "
    "nvcr.io/nvidia/tensorrt has trtexec, or pip install tensorrt"
)

Say = Callable[[str], None]


@dataclass(frozen=True)
class Builder:
    """TensorRT's trtexec, None for its Python package, and the version of TensorRT, such as `10.13.3`."""

    trtexec: Path | None
    version: str

    def command(self, onnx: Path, plan: Path, shapes: dict[str, str], timing_cache: Path) -> list[str]:
        """Returns the command that compiles `onnx` into `plan`.

        Args:
            shapes: of the optimisation profile, by `min`, `opt` and `max`.
            timing_cache: file of what TensorRT measured of kernels; made if it is missing.
        """
        options = [
            f"--onnx={onnx}",
            f"--saveEngine={plan}",
            *(f"--{which}Shapes={shape}" for which, shape in shapes.items()),
            f"--timingCacheFile={timing_cache}",
        ]
        if self.trtexec is None:
            # -P: the modules beside that file must not be taken for those that TensorRT imports.
            return [sys.executable, "-P", str(Path(__file__).with_name("tensorrt_build.py")), *options]
        typed = ["--stronglyTyped"] if int(self.version.partition(".")[0]) == OLDEST else []
        return [str(self.trtexec), *options, *typed, "--skipInference"]


def find_builder(trtexec: Path | None) -> Builder:
    """Returns the trtexec given or found, or the package `tensorrt`; raises ExportError for none or an old one."""
    trtexec = trtexec or find_trtexec()
    if trtexec is not None:
        builder = Builder(trtexec, version_of_trtexec(trtexec))
    elif importlib.util.find_spec("tensorrt") is not None:
        builder = Builder(None, _version_of_package())
    else:
        raise ExportError(f"there is no TensorRT on this machine, neither trtexec nor its Python package: {WHERE}")
    if int(builder.version.partition(".")[0]) < OLDEST:
        raise ExportError(f"TensorRT {builder.version} is too old: give one of {OLDEST} or newer, as the server's")
    return builder


def build_engine(
    repository: RepositoryLike,
    model: str,
    version: int,
    trtexec: Path | None = None,
    timing_cache: Path | None = None,
    say: Say = print,
) -> Manifest:
    """Compiles a version, publishes the engine as the next version of the same model, and returns its manifest.

    Promoting the engine, or rolling back to ONNX, then changes only which version answers. Each version has its own
    configuration, and so its own platform. The engine's answers are not compared here: evaluate it on a server before
    its promotion.

    Args:
        trtexec: TensorRT's tool; found if it is None.
        timing_cache: file of TensorRT's timing cache; one below `runs` by GPU and TensorRT if it is None.

    Raises:
        ExportError: there is no GPU, no TensorRT or no such version in ONNX, or TensorRT fails; nothing is published.
    """
    store = open_store(repository)
    with tempfile.TemporaryDirectory(prefix="signs-engine-") as scratch:
        folder = Path(scratch) / str(version)
        original = fetch_version(store, model, version, folder)
        config = own_configs(store, model, version).get(CONFIG)
        if config is None or config.platform != ONNX or MODEL not in original.files:
            raise ExportError(
                f"{model} {version} in {store.name} is not in ONNX: give a version of `signs export onnx`"
            )
        gpu = _gpu_of_this_machine()
        builder = find_builder(trtexec)
        name = re.sub("[^0-9A-Za-z]", "-", gpu.name)
        cache = timing_cache or Path(f"runs/tensorrt/{name}-{builder.version}.cache")
        cache.parent.mkdir(parents=True, exist_ok=True)
        plan = Path(scratch) / PLAN
        command = builder.command(folder / MODEL, plan, profile(config), cache.resolve())
        say(f"TensorRT {builder.version} compiles {model} {version} for {gpu.name}; this can take minutes")
        _run(command, Path(scratch) / "log", plan)
        return publish_derived(
            store,
            original,
            folder,
            {CONFIG: engine_config(config)},  # for every name, since it has no other configuration
            instead={PLAN: plan.read_bytes()},
            leave_out=[MODEL, GPU_FILE, INT8_FILE],
            forget=FACTS_OF_ONNX,
            built_for={
                "gpu": gpu.name,
                "compute_capability": gpu.compute_capability,
                "driver": gpu.driver,
                "tensorrt": builder.version,
            },
        )


def engine_config(config: pb.ModelConfig) -> pb.ModelConfig:
    """Returns the configuration for the engine of a version in ONNX."""
    new = deepcopy(config)
    new.platform = ENGINE
    new.ClearField("parameters")  # those of ONNX Runtime
    new.ClearField("default_model_filename")
    new.ClearField("optimization")
    for group in new.instance_group or [new.instance_group.add(count=1)]:
        group.kind = KINDS["gpu"]
    return new


def _gpu_of_this_machine() -> Gpu:
    try:
        found = set(gpus())
    except RepositoryError as error:
        raise ExportError(f"{error}. An engine is built on the GPU it is to run on: {WHERE}") from error
    if len(found) > 1:
        names = ", ".join(sorted(gpu.name for gpu in found))
        raise ExportError(f"this machine has different GPUs ({names}), and Triton puts the engine on each: {WHERE}")
    return found.pop()


def _run(command: list[str], log: Path, plan: Path) -> None:
    with log.open("wb") as output:
        try:
            code = subprocess.run(
                command, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT, check=False
            ).returncode
        except OSError as error:
            raise ExportError(
                f"{command[0]} cannot be run ({error.strerror}): give TensorRT's with --trtexec"
            ) from error
    if code or not plan.exists() or not plan.stat().st_size:
        lines = [line for line in log.read_text(errors="replace").splitlines() if line.strip()]
        raise ExportError(
            f"TensorRT cannot compile this network ({describe_code(code)}); nothing was published. The command was\n"
            f"  {' '.join(command)}\nand its last lines are\n"
            + "\n".join(f"  {line}" for line in lines[-LOG_LINES:] or ["(it printed nothing)"])
        )


def _version_of_package() -> str:
    # In a process of its own: importing it loads libraries that may not fit this machine.
    ask = [sys.executable, "-c", "import tensorrt; print(tensorrt.__version__)"]
    result = subprocess.run(ask, capture_output=True, text=True, check=False)
    if result.returncode:
        reason = (result.stderr.strip().splitlines() or ["it printed nothing"])[-1]
        raise ExportError(f"the Python package tensorrt cannot be imported ({reason}): {WHERE}")
    return ".".join(result.stdout.strip().split(".")[:3])
