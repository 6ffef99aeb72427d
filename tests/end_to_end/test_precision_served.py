"""Versions in half precision and in integers, in the release of ONNX Runtime that the serving image carries."""

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from tritonclient.grpc import model_config_pb2 as pb

from export.config import to_text
from export.precision import FP16, INT8, TOLERANCES
from export.recheck_parity import compare_version
from export.repository import Manifest
from export.repository.policy import read_config
from export.run import export_checkpoint
from export.samples import Labels
from export.settings import PrecisionRequest
from serving.install import Installation
from serving.server import RunningServer, running_server
from traffic_signs.classes import NUM_CLASSES

pytestmark = [pytest.mark.end_to_end, pytest.mark.kernels]

Crops = npt.NDArray[np.uint8]


def test_a_running_triton_answers_as_pytorch(
    server: RunningServer, manifest: Manifest, repository: Path, checkpoint: Path, random_crops: Crops
) -> None:
    version = repository / manifest.model / str(manifest.version)
    figures = compare_version(version, checkpoint, random_crops, server.grpc_url)
    assert figures["real_samples"] == len(random_crops) < figures["samples"]
    assert figures["mean_difference"] <= figures["max_difference"] <= 1e-4 and figures["disagreements"] == 0


def test_triton_serves_every_precision_within_its_tolerance(
    installation: Installation, checkpoint: Path, tmp_path: Path, random_crops: Crops
) -> None:
    labels = Labels(np.arange(len(random_crops)) % NUM_CLASSES, random_crops[:16], "blocks")
    models = tmp_path / "models"
    for precision in (FP16, INT8):
        export_checkpoint(checkpoint, models, random_crops, PrecisionRequest(precision, max_loss=0.05), labels)
    path = models / "sign_classifier" / "config.pbtxt"
    config = read_config(path.read_bytes(), str(path))
    config.max_batch_size = 5  # fewer than the versions were proved with: the server is asked for no more
    config.dynamic_batching.ClearField("preferred_batch_size")
    config.model_warmup.pop()
    config.version_policy.CopyFrom(pb.ModelVersionPolicy(all=pb.ModelVersionPolicy.All()))
    path.write_text(to_text(config))
    with running_server(installation, models, tmp_path / "log") as running:
        for number, precision in enumerate((FP16, INT8), start=1):
            version = models / "sign_classifier" / str(number)
            figures = compare_version(version, checkpoint, random_crops, running.grpc_url)
            assert 0 < figures["max_difference"] <= figures["tolerance"] == TOLERANCES[precision].difference
