"""What `signs export` shows a person."""

import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from clients.command.output import print_lines
from export.precision_search import Candidate, fastest
from export.repository import Manifest
from export.repository.class_names import other_classes_option
from export.repository.manifest import GPU_FILE, INT8_FILE
from export.repository.promotion import champion
from export.repository.store import open_store, repository_flag
from export.tuning.plan import grpc_threads_in, setting_in
from traffic_signs.console import Console, plain_table


def print_candidates(candidates: Sequence[Candidate]) -> None:
    """Prints the precisions that a choice was made among."""
    chosen = fastest(candidates)
    numbers = ("images/s", "ratio", "size", "largest difference", "accuracy")
    table = plain_table("precision", *numbers, right=numbers)
    for each in candidates:
        proven, speed = each.proven, each.speed
        table.add_row(
            each.precision + (" (taken)" if each is chosen else ""),
            f"{speed.images_per_second:,.1f}" if speed else "-",
            f"{speed.ratio:.2f}" if speed else "-",
            f"{each.size / 1e6:.2f} MB" if proven else "-",
            f"{proven.parity.max_difference:.2g}" if proven else "-",
            f"{proven.accuracy.exported:.2%}" if proven and proven.accuracy else "-",
        )
    Console().print(table)
    measured = next(each.speed for each in candidates if each.speed)
    print_lines(
        *(f"{each.precision} left out: {each.problem}" for each in candidates if each.problem),
        f"timed on this machine's {measured.provider.removesuffix('ExecutionProvider')} in ONNX Runtime, in turn, "
        f"batch {measured.batch}; another machine may differ",
    )


def print_export(manifest: Manifest, repository: str | Path) -> None:
    """Prints what was published."""
    graph, accuracy = manifest.graph, manifest.accuracy
    lines = [
        f"graph: {graph['nodes']} operators in {manifest.precision}, {manifest.files['model.onnx']['size'] / 1e6:.2f} "
        f"MB; simplified from {graph['traced_nodes']} to {graph['slim_nodes']}",
        describe_parity(manifest.parity),
    ]
    if manifest.gpu:
        sizes = " and ".join(map(str, manifest.gpu["fixed_batches"]))
        lines.append(
            f"file for GPUs: batch fixed at {sizes}, {manifest.gpu['precision']}, "
            f"{manifest.files[GPU_FILE]['size'] / 1e6:.2f} MB; {describe_parity(manifest.gpu['parity'])}"
        )
    if accuracy:
        lines.append(_describe_accuracy(accuracy))
    if manifest.int8:
        lines.append(
            f"int8 file for CPUs: {manifest.files[INT8_FILE]['size'] / 1e6:.2f} MB; "
            f"{describe_parity(manifest.int8['parity'])}\n{_describe_accuracy(manifest.int8['accuracy'])}"
        )
    if manifest.tuning:
        lines.append(f"tuned on version {manifest.tuning['from_version']}: {setting_in(manifest.tuning)}")
        if grpc_threads_in(manifest.tuning):
            lines.append(f"start the server as it was tuned: {grpc_threads_in(manifest.tuning)}")
    lines.append(f"published: {repository}/{manifest.model}/{manifest.version}")
    lines.append(f"next: {_next(manifest, repository)}")
    print_lines(*lines)


def _describe_accuracy(accuracy: Mapping[str, Any]) -> str:
    return (
        f"{accuracy['measure']}: {accuracy['exported']:.2%} beside {accuracy['fp32']:.2%} in PyTorch, on "
        f"{accuracy['samples']} {accuracy['split']} images of {accuracy['data']}"
    )


def _next(manifest: Manifest, repository: str | Path) -> str:
    """Returns the command that comes next: to serve the version, or to run the gate if that serves another."""
    store = open_store(repository)
    best = champion(store, manifest.model)
    if best is not None:
        others = other_classes_option(store, manifest.model, manifest.version, best)
        return f"signs export gate {manifest.model} --data DATA{others}{repository_flag(repository)}"
    if "://" in str(repository):
        return f"signs repository pull {shlex.quote(str(repository))} FOLDER, then signs serve --repository FOLDER"
    return f"signs serve{repository_flag(repository, '--repository')}"


def describe_parity(parity: Mapping[str, Any]) -> str:
    """Returns a line on how far two implementations are apart."""
    boxes = f", boxes up to {parity['max_box_difference']:.2g} pixels" if "max_box_difference" in parity else ""
    where = " on the GPU" if parity.get("device") == "cuda" else ""
    where += f" in {parity['precision']}" if "precision" in parity else ""
    text = (
        f"parity{where}: {parity['samples']:.0f} images ({parity['real_samples']:.0f} real), largest difference "
        f"{parity['max_difference']:.2g}, mean {parity['mean_difference']:.2g} (allowed {parity['tolerance']:g}), "
        f"{parity['disagreements']:.0f} disagreements{boxes}"
    )
    text += f"\nfile for GPUs, {describe_parity(parity['gpu'])}" if "gpu" in parity else ""
    if "int8" in parity:
        found = parity["int8"]
        text += f"\nint8 file, {describe_parity(found) if found else 'not compared: give real images with --data'}"
    return text
