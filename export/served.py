"""A version that is published, compared with its checkpoint once more: as a file, or as a running Triton answers."""

from pathlib import Path
from typing import Any

from export.conversion import SERVED
from export.errors import ExportError
from export.parity import Images
from export.precision import TOLERANCES
from export.proof import Answer, begin_proof
from export.repository.manifest import MANIFEST, MODEL_FILE, Manifest, parse_manifest, verify_files
from export.run import hash_weights
from training.checkpoint import load_checkpoint

TIMEOUT = 60.0  # seconds for an answer; a detector on a busy CPU takes some


def compare_version(version: Path, checkpoint: Path, samples: Images, url: str = "") -> dict[str, Any]:
    """Compares a version with the network it was exported from.

    Args:
        version: folder of the version, with its manifest.
        checkpoint: folder of the checkpoint.
        samples: uint8 [n, height, width, 3], real images to compare on besides random and extreme ones; n may be 0.
        url: host:port of the gRPC port of a server that serves this version; empty compares the file.

    Returns:
        What `export.proof.Proven.parity_figures` gives.

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
    if not len(samples) and not TOLERANCES[manifest.precision].invented:
        raise ExportError(
            f"{version} is in {manifest.precision}, which is compared on real images alone: give some with --data"
        )
    proof = begin_proof(model, info.model, samples, labels=None, max_loss=0.0)
    if url:
        proven = proof.check_answers(_server(url, manifest), manifest.precision)
    else:
        proven = proof.check(version / MODEL_FILE, manifest.precision)
    return proven.parity_figures(manifest.precision)


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


def _server(url: str, manifest: Manifest) -> Answer:
    """Returns a function that asks a server for what a version answers."""
    import tritonclient.grpc as triton
    from tritonclient.utils import InferenceServerException

    tensors = SERVED[manifest.model]
    outputs = [triton.InferRequestedOutput(name) for name in tensors.outputs]

    def ask(images: Images) -> list[Any]:
        tensor = triton.InferInput(tensors.input, images.shape, "UINT8")
        tensor.set_data_from_numpy(images)
        version = str(manifest.version)
        try:
            with triton.InferenceServerClient(url) as client:
                answer = client.infer(
                    manifest.model, [tensor], model_version=version, outputs=outputs, client_timeout=TIMEOUT
                )
        except InferenceServerException as error:
            raise ExportError(
                f"{url} did not answer for {manifest.model} {version} ({error.message() or error}): give host:port of "
                "the gRPC port of a server that serves this version"
            ) from error
        return [answer.as_numpy(name) for name in tensors.outputs]

    return ask
