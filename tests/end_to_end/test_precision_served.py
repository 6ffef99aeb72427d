"""Files in half precision and in integers, in the release of ONNX Runtime that the serving image carries."""

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from clients.benchmark.target import look_at
from export.config import to_text
from export.errors import ExportError
from export.precision import FP16, FP32, INT8, TOLERANCES
from export.recheck_parity import compare_version
from export.repository import Manifest
from export.repository.policy import read_config
from export.run import export_checkpoint
from export.settings import PrecisionRequest
from serving.install import Installation
from serving.server import RunningServer, running_server

pytestmark = [pytest.mark.end_to_end, pytest.mark.kernels]

MODEL = "sign_classifier"
Crops = npt.NDArray[np.uint8]


def test_a_running_triton_answers_as_pytorch(
    server: RunningServer, manifest: Manifest, repository: Path, checkpoint: Path, random_crops: Crops
) -> None:
    version = repository / manifest.model / str(manifest.version)
    figures = compare_version(version, checkpoint, random_crops, server.grpc_url)
    assert figures["real_samples"] == len(random_crops) < figures["samples"]
    assert figures["mean_difference"] <= figures["max_difference"] <= 1e-4 and figures["disagreements"] == 0


def test_triton_serves_half_precision_within_its_tolerance(
    installation: Installation, checkpoint: Path, tmp_path: Path, random_crops: Crops
) -> None:
    models = tmp_path / "models"
    export_checkpoint(checkpoint, models, random_crops, PrecisionRequest(FP16))
    path = models / "sign_classifier" / "config.pbtxt"
    config = read_config(path.read_bytes(), str(path))
    config.max_batch_size = 5  # fewer than the versions were proved with: the server is asked for no more
    config.dynamic_batching.ClearField("preferred_batch_size")
    config.model_warmup.pop()
    path.write_text(to_text(config))
    with running_server(installation, models, tmp_path / "log") as running:
        figures = compare_version(models / MODEL / "1", checkpoint, random_crops, running.grpc_url)
        assert 0 < figures["max_difference"] <= figures["tolerance"] == TOLERANCES[FP16].difference


@pytest.mark.parametrize(("name", "precision"), [("cpu-2", FP32), ("cpu-int8-2", INT8)])
def test_the_configuration_decides_whether_int8_answers(
    installation: Installation,
    int8_repository: Path,
    checkpoint: Path,
    tmp_path: Path,
    random_crops: Crops,
    name: str,
    precision: str,
) -> None:
    arguments, version = (f"--model-config-name={name}",), int8_repository / MODEL / "1"
    with running_server(installation, int8_repository, tmp_path / "log", extra_arguments=arguments) as running:
        url = running.grpc_url
        figures = compare_version(version, checkpoint, random_crops, url)
        assert (figures["precision"], figures["tolerance"]) == (precision, TOLERANCES[precision].difference)
        assert 0 < figures["max_difference"] <= figures["tolerance"]
        assert look_at({"grpc": url}, [MODEL]).in_int8 == ((MODEL,) if precision == INT8 else ())
        if precision == INT8:
            with pytest.raises(ExportError, match="is in int8, which is compared only on real images"):
                compare_version(version, checkpoint, random_crops[:0], url)
