"""A version that is published, compared with its checkpoint once more: as a file, or as a running Triton answers."""

from pathlib import Path
from typing import Any

from export.arrays import Images
from export.devices import providers_for
from export.errors import ExportError
from export.precision import TOLERANCES
from export.predictor import TorchPredictor, TritonPredictor
from export.proof import Proof
from export.repository.manifest import MANIFEST, MODEL_FILE, Manifest, parse_manifest, verify_files
from export.repository.policy import CONFIG, read_config
from export.run import hash_weights
from traffic_sign_client.errors import ClientError
from training.checkpoint import load_checkpoint


def compare_version(
    version: Path, checkpoint: Path, samples: Images, url: str = "", device: str = "cpu"
) -> dict[str, Any]:
    """Compares a version with the network it was exported from.

    Args:
        samples: uint8 [n, height, width, 3], real images to compare on besides random and extreme ones; n may be 0.
        url: host:port of the gRPC port of a server that serves this version; empty compares the file.
        device: cpu or cuda, where the file runs; a server has chosen its own.

    Returns:
        What `export.proof.Proven.parity_figures` gives, and the `device` of a file; of a version that has a file for
        GPUs also that file's, as `gpu`.

    Raises:
        ParityError: they are apart by more than the tolerance of the version's precision.
        ExportError: the version is damaged or of another checkpoint, or the server does not answer.
        training.errors.CheckpointError: the checkpoint cannot be read.
    """
    providers_for(device)  # first: without a GPU nothing needs to be read
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
    network = TorchPredictor(model, info)
    if url:
        return _compare_served(url, manifest, network, samples)
    proof = Proof(network, samples, largest=_largest_batch(version))
    proven = proof.check(version / MODEL_FILE, manifest.precision, device)
    figures: dict[str, Any] = {**proven.parity_figures(manifest.precision), "device": device}
    if manifest.gpu:
        precision, sizes = manifest.gpu["precision"], manifest.gpu["fixed_batches"]
        proven = proof.check(version / manifest.gpu["file"], precision, device, sizes[-1])
        figures["gpu"] = proven.parity_figures(precision)
    return figures


def _compare_served(url: str, manifest: Manifest, network: TorchPredictor, samples: Images) -> dict[str, Any]:
    """Returns the parity figures of what a server answers, in batches up to the largest that it takes."""
    try:
        with TritonPredictor(url, "grpc", f"{manifest.model}/{manifest.version}") as served:
            proof = Proof(network, samples, largest=served.max_batch)
            return proof.check_network(served, manifest.precision).parity_figures(manifest.precision)
    except ClientError as error:
        raise ExportError(
            f"{url} did not answer for {manifest.model} {manifest.version} ({error}): give "
            "host:port of the gRPC port of a server that serves this version"
        ) from error


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


def _largest_batch(version: Path) -> int:
    """Returns the largest batch that a version is served in, by its own config.pbtxt or the one beside it."""
    for path in (version / CONFIG, version.parent / CONFIG):
        if path.is_file():
            return max(int(read_config(path.read_bytes(), str(path)).max_batch_size), 1)
    raise ExportError(f"{version} has no {CONFIG}, so nothing says in what batches it is served: export it again")
