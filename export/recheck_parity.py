"""Compares a published version with its checkpoint again, as a file or through a running Triton."""

from pathlib import Path
from typing import Any

from export.arrays import Images
from export.devices import providers_for
from export.errors import ExportError
from export.precision import INT8, TOLERANCES
from export.predictor import TorchPredictor, TritonPredictor
from export.proof import Proof
from export.repository.manifest import MANIFEST, MODEL_FILE, Manifest, parse_manifest, served_file, verify_files
from export.repository.policy import CONFIG, read_config
from export.run import hash_weights
from traffic_sign_client.errors import ClientError
from training.checkpoint import load_checkpoint


def compare_version(
    version: Path, checkpoint: Path, samples: Images, url: str = "", device: str = "cpu"
) -> dict[str, Any]:
    """Compares a version with the network that it was exported from.

    Args:
        samples: uint8 [n, height, width, 3], real images besides random and extreme ones; n may be 0.
        url: gRPC host:port of a server of this version; empty compares the file.
        device: cpu or cuda, where the file runs.

    Returns:
        `export.proof.Proven.parity_figures`; of a server also the `precision` that answers; of a file also `device`
        and, if there are such files beside it, the figures of `gpu` and `int8`, which is None without real images.

    Raises:
        ParityError: they differ by more than the tolerance of the version's precision.
        ExportError: the version is damaged or of another checkpoint, or the server does not answer.
        training.errors.CheckpointError: the checkpoint cannot be read.
    """
    providers_for(device)  # first, because it may fail
    manifest = _manifest(version)
    model, info = load_checkpoint(checkpoint, manifest.model)
    if manifest.source.get("weights_sha256") != hash_weights(checkpoint):
        raise ExportError(
            f"{version} was exported from other weights than those of {checkpoint}: give its own checkpoint "
            f"({manifest.source.get('checkpoint') or 'its manifest names none'})"
        )
    network = TorchPredictor(model, info)
    if url:
        return _compare_served(url, manifest, network, samples)
    _require_comparable(str(version), manifest.precision, samples)
    proof = Proof(network, samples, largest=_largest_batch(version))
    proven = proof.check(version / MODEL_FILE, manifest.precision, device)
    figures: dict[str, Any] = {**proven.parity_figures(manifest.precision), "device": device}
    if manifest.gpu:
        precision, sizes = manifest.gpu["precision"], manifest.gpu["fixed_batches"]
        proven = proof.check(version / manifest.gpu["file"], precision, device, sizes[-1])
        figures["gpu"] = proven.parity_figures(precision)
    if manifest.int8:
        figures["int8"] = None
        if len(samples):
            figures["int8"] = proof.check(version / manifest.int8["file"], INT8).parity_figures(INT8)
    return figures


def _require_comparable(what: str, precision: str, samples: Images) -> None:
    """Raises ExportError for a precision without a tolerance, or with one for real images where there are none."""
    if precision not in TOLERANCES:
        raise ExportError(f"{what} has the precision {precision!r}, which has no tolerance: export it again")
    if not len(samples) and not TOLERANCES[precision].invented:
        raise ExportError(f"{what} is in {precision}, which is compared only on real images: give them with --data")


def _compare_served(url: str, manifest: Manifest, network: TorchPredictor, samples: Images) -> dict[str, Any]:
    try:
        with TritonPredictor(url, "grpc", f"{manifest.model}/{manifest.version}") as served:
            precision = manifest.precision_of(served_file(served.file))
            _require_comparable(f"what {url} serves of {manifest.model} {manifest.version}", precision, samples)
            proof = Proof(network, samples, largest=served.max_batch)
            return {**proof.check_network(served, precision).parity_figures(precision), "precision": precision}
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
    for path in (version / CONFIG, version.parent / CONFIG):
        if path.is_file():
            return max(int(read_config(path.read_bytes(), str(path)).max_batch_size), 1)
    raise ExportError(f"{version} has no {CONFIG}, which has the largest batch that is served: export it again")
