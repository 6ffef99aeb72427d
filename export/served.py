"""A version that is published, compared with its checkpoint once more: as a file, or as a running Triton answers."""

from pathlib import Path
from typing import Any

from export.conversion import FOUND, INPUT_NAME, OUTPUT_NAME, SCENES
from export.detection_parity import (
    MOST_SCENES,
    Answers,
    Detect,
    find_in_batches,
    onnxruntime_detector,
    pytorch_detector,
    require_same_signs,
)
from export.errors import ExportError
from export.parity import (
    Images,
    Parity,
    Predict,
    onnxruntime_predictor,
    predict_in_batches,
    probe_images,
    pytorch_predictor,
    require_parity,
)
from export.precision import TOLERANCES
from export.repository.manifest import MANIFEST, Manifest, parse_manifest, verify_files
from export.run import hash_weights
from training.checkpoint import load_checkpoint
from training.models import detector

TIMEOUT = 60.0  # seconds for an answer; a detector on a busy CPU takes some


def compare_version(version: Path, checkpoint: Path, samples: Images, url: str = "") -> dict[str, Any]:
    """Compares a version with the network it was exported from.

    Args:
        version: folder of the version, with its manifest.
        checkpoint: folder of the checkpoint.
        samples: uint8 [n, height, width, 3], real images to compare on besides random and extreme ones; n may be 0.
        url: host:port of the gRPC port of a server that serves this version; empty compares the file.

    Returns:
        The figures of `export.parity.Parity`, with how many samples were `real_samples`, and the `tolerance`.

    Raises:
        ParityError: they are apart by more than the tolerance of the version's precision.
        ExportError: the version is damaged or of another checkpoint, or the server does not answer.
        training.errors.CheckpointError: the checkpoint cannot be read.
    """
    manifest = _manifest(version)
    model, info = load_checkpoint(checkpoint, manifest.model)
    if manifest.source.get("weights_sha256") != hash_weights(checkpoint):
        raise ExportError(
            f"{version} was exported from other weights than those of {checkpoint}: give its own checkpoint "
            f"({manifest.source.get('checkpoint') or 'its manifest names none'})"
        )
    if manifest.precision not in TOLERANCES:
        raise ExportError(
            f"{version} has the precision {manifest.precision!r}, which has no tolerance: export it again"
        )
    tolerance = TOLERANCES[manifest.precision]
    path = version / "model.onnx"
    parity: Parity
    if info.model == detector.MODEL_NAME:
        samples = samples[:MOST_SCENES]
        scenes = probe_images(samples, noises=2)
        reference = find_in_batches(pytorch_detector(model), scenes)
        found = find_in_batches(_served_detector(url, manifest) if url else onnxruntime_detector(path), scenes)
        parity = require_same_signs(reference, found, len(samples), tolerance)
    else:
        images = probe_images(samples)
        predict = _served_predictor(url, manifest) if url else onnxruntime_predictor(path)
        answers = predict_in_batches(predict, images)
        parity = require_parity(pytorch_predictor(model)(images), answers, len(samples), tolerance)
    return parity.as_dict() | {"real_samples": len(samples), "tolerance": tolerance.difference}


def _manifest(version: Path) -> Manifest:
    path = version / MANIFEST
    try:
        manifest = parse_manifest(path.read_bytes(), str(path))
    except OSError as error:
        raise ExportError(
            f"{path} cannot be read ({error.strerror}): give the folder of a version, such as "
            "model_repository/sign_classifier/3"
        ) from error
    verify_files(version, manifest)
    return manifest


def _served_predictor(url: str, manifest: Manifest) -> Predict:
    """Returns a function that asks a server's classifier."""
    return lambda images: _ask(url, manifest, INPUT_NAME, images, [OUTPUT_NAME])[0]


def _served_detector(url: str, manifest: Manifest) -> Detect:
    """Returns a function that asks a server's detector."""
    return lambda scenes: Answers(*_ask(url, manifest, SCENES, scenes, list(FOUND)))


def _ask(url: str, manifest: Manifest, name: str, images: Images, outputs: list[str]) -> list[Any]:
    import tritonclient.grpc as triton
    from tritonclient.utils import InferenceServerException

    tensor = triton.InferInput(name, images.shape, "UINT8")
    tensor.set_data_from_numpy(images)
    try:
        with triton.InferenceServerClient(url) as client:
            answer = client.infer(
                manifest.model,
                [tensor],
                model_version=str(manifest.version),
                outputs=[triton.InferRequestedOutput(output) for output in outputs],
                client_timeout=TIMEOUT,
            )
    except InferenceServerException as error:
        raise ExportError(
            f"{url} did not answer for {manifest.model} {manifest.version} ({error.message() or error}): give "
            "host:port of the gRPC port of a server that serves this version"
        ) from error
    return [answer.as_numpy(output) for output in outputs]
