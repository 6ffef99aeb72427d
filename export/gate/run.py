"""Runs the gate: chooses the versions, serves them, evaluates their answers, applies the rules, records the verdict."""

import tempfile
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from export.arrays import Images
from export.errors import RepositoryError
from export.evaluation.run import leaks
from export.gate.config import GateConfig, GateLimits
from export.gate.recording import record_verdict, require_recordable
from export.gate.rules import check_latency, check_parity, check_recorded_accuracy, check_size
from export.gate.side_by_side import ServedVersion, Staged, serve_side_by_side, stage, time_requests
from export.gate.verdict import Finding, Role, Side, UnusableError, Verdict
from export.model_kind import EvaluationSet
from export.precision import FP32, INT8, SAME_FILE, TOLERANCES
from export.predictor import OnnxPredictor
from export.repository import load_manifest
from export.repository.class_names import version_difference
from export.repository.manifest import Manifest, check_model_name
from export.repository.promotion import champion, require_version
from export.repository.signing import load_signer
from export.repository.store import Store, open_store
from serving.install import find_or_install
from traffic_sign_client.errors import ClientError
from traffic_signs.console import Console
from traffic_signs.progress import ProgressCallback, progress_bars
from training.data.load import load_data
from training.data.records import Split
from training.registry import CHALLENGER, RegistryError, set_alias


@dataclass(frozen=True)
class Outcome:
    """The verdict, and where it is recorded."""

    verdict: Verdict
    in_manifest: bool = False
    in_mlflow: str = ""  # number of the version in MLflow's registry that has it; empty for none
    unrecorded: str = ""  # why MLflow could not record it


def run_gate(config: GateConfig, console: Console) -> Outcome:
    """Evaluates a challenger, and writes the verdict into its manifest and MLflow's registry.

    Raises:
        ClientError, export.errors.ExportError, serving.errors.ServingError, training.errors.TrainingError: it could
            not be evaluated, or the verdict not recorded; the repository is unchanged.
    """
    store = open_store(config.repository)
    challenger, best = choose_versions(store, config.model, config.challenger, config.champion)
    if best is not None and (difference := version_difference(store, config.model, challenger, best)):
        if not config.other_classes:
            raise ClientError(
                f"{config.model} {challenger} has other classes than version {best} ({difference}): compare versions "
                "of the same classes, or apply only the absolute limits with --other-classes"
            )
        best = None
    signer = load_signer(config.private_key)
    if not config.dry_run:
        require_recordable(store, config.model, challenger, signer)
    with tempfile.TemporaryDirectory(prefix="signs-gate-") as scratch, progress_bars(console) as progress:
        verdict, manifest = _evaluate(config, store, challenger, best, Path(scratch), console, progress)
    if config.dry_run:
        return Outcome(verdict)
    record_verdict(store, manifest, verdict.as_dict(), signer)
    try:
        run_id = manifest.source.get("run_id", "")
        return Outcome(verdict, True, set_alias(config.runs, manifest.model, run_id, CHALLENGER, _tags(verdict)))
    except RegistryError as error:
        return Outcome(verdict, True, unrecorded=str(error))


def choose_versions(store: Store, model: str, challenger: int | None, best: int | None) -> tuple[int, int | None]:
    """Returns the number of the version to evaluate and of the one to compare it with.

    Args:
        challenger: the newest for None.
        best: the version to compare with; for None the champion, before any promotion the newest one before the
            challenger that the gate has not refused, if there is one.

    Raises:
        RepositoryError: there is no such model or version.
        ClientError: there is nothing to compare.
    """
    present = store.versions(check_model_name(model))
    if not present:
        require_version(store, model, challenger or 1)  # says that there is none
    evaluated = challenger or present[-1]
    promoted = champion(store, model)
    other = best or promoted
    if other is None:
        earlier = (each for each in reversed(present) if each < evaluated)
        other = next((each for each in earlier if not _is_refused(store, model, each)), None)
    require_version(store, model, evaluated)
    if evaluated == other:
        raise ClientError(
            f"{model} {evaluated} is the champion, and there is no other version to evaluate: publish one, or name it "
            "with --challenger"
            if challenger is None
            else f"{model} {evaluated} cannot be compared with itself: name another --challenger or --champion"
        )
    if other is not None:
        require_version(store, model, other)
    return evaluated, other


def _is_refused(store: Store, model: str, version: int) -> bool:
    with suppress(RepositoryError):  # made by hand, or damaged: it has no verdict
        return load_manifest(store, model, version).gate.get("passed") is False
    return False


def _evaluate(
    config: GateConfig,
    store: Store,
    challenger: int,
    best: int | None,
    scratch: Path,
    console: Console,
    progress: ProgressCallback,
) -> tuple[Verdict, Manifest]:
    """Returns the verdict and the challenger's manifest."""
    dataset = load_data(config.data)  # first, so that a wrong path is reported at once
    numbers: dict[Role, int] = {} if best is None else {"champion": best}
    numbers["challenger"] = challenger
    staged: dict[Role, Staged] = {
        role: stage(store, config.model, number, role, scratch, config.public_key, progress)
        for role, number in numbers.items()
    }
    kind = staged["challenger"].kind
    if names := {one.kind.name for one in staged.values()} - {kind.name}:
        raise ClientError(f"{config.model} has versions of two kinds ({kind.name}, {names.pop()}): name another one")
    for one in staged.values():
        if difference := one.class_difference(kind.label_names(dataset.classes)):
            raise ClientError(
                f"{one.name} has other classes than {dataset.name} ({difference}): give data of its own classes"
            )
    limits = replace(config.limits, min_score=kind.min_score if config.min_score is None else config.min_score)
    evaluation_set = kind.load_evaluation_set(dataset, config.split, staged, config.score_threshold, progress)
    if not evaluation_set.data["fingerprint"].startswith(config.fingerprint.lower()):
        raise ClientError(
            f"{dataset.name} has the fingerprint {evaluation_set.data['fingerprint']} in its {config.split} split, not "
            f"{config.fingerprint}: it is not the frozen evaluation set"
        )
    installation = find_or_install(config.home, lambda what: console.print(f"{what} ...", style="dim"))
    server = installation.description
    log = config.runs / f"tritonserver-gate-{config.model}-{challenger}.log"
    findings: list[Finding] = []
    try:
        with serve_side_by_side(installation, staged, log, store) as served:
            server += "".join(f"; {role} in {each.precision}" for role, each in served.items() if each.precision)
            findings += evaluation_set.evaluate(served, limits, progress)
            findings.append(compare_served_answers(served["challenger"], evaluation_set.images["challenger"]))
            times = time_requests(served, evaluation_set.images, config.requests, progress)
            findings.append(check_latency(times["challenger"], times.get("champion"), limits))
    except UnusableError as error:
        findings.append(Finding("loading", False, str(error)))
    findings += _on_paper(staged, limits)
    notices = _notices(dataset.kind, config.split, evaluation_set, staged, champion(store, config.model))
    sides = {role: Side(one.manifest.version, one.manifest.model_sha256) for role, one in staged.items()}
    verdict = Verdict(
        model=config.model,
        challenger=sides["challenger"],
        champion=sides.get("champion"),
        data=evaluation_set.data,
        server=server,
        findings=findings,
        limits=limits,
        notices=[*dataset.notices, *notices],
    )
    return verdict, staged["challenger"].manifest


def compare_served_answers(challenger: ServedVersion, images: Images) -> Finding:
    """Compares the server's answers with those of the same file in ONNX Runtime on this machine's CPU."""
    kind, precision = challenger.kind, challenger.precision
    tolerances = TOLERANCES if challenger.on_gpu else SAME_FILE
    tolerance = tolerances.get(precision, tolerances[FP32])
    reference = OnnxPredictor(challenger.model_file)(images)
    figures = asdict(kind.compare(reference, challenger(images), tolerance))
    compared = kind.count_compared(reference, tolerance)
    return check_parity("served answers", precision, figures, "ONNX Runtime in process", compared, tolerances)


def _on_paper(staged: Mapping[Role, Staged], limits: GateLimits) -> list[Finding]:
    """Returns the findings that need no server."""
    manifest = staged["challenger"].manifest
    other = staged["champion"].manifest.size if "champion" in staged else None
    trained = "the trained network"
    findings = [check_parity("parity", manifest.precision, manifest.parity, trained)]
    if manifest.gpu:
        precision, figures = str(manifest.gpu.get("precision")), manifest.gpu.get("parity", {})
        findings.append(check_parity("parity (GPU file)", precision, figures, trained))
    if manifest.int8:
        parity, accuracy = manifest.int8.get("parity", {}), manifest.int8.get("accuracy", {})
        findings.append(check_parity("parity (int8 file)", INT8, parity, trained))
        findings.append(check_recorded_accuracy("accuracy (int8 file)", accuracy, limits))
    return [*findings, check_size(manifest.size, other, limits)]


def _notices(
    kind: str, split: Split, evaluation_set: EvaluationSet, staged: Mapping[Role, Staged], promoted: int | None
) -> list[str]:
    """Returns what limits the comparison, a sentence each."""
    notices = []
    if "champion" not in staged:
        lacking = "of the same classes " if promoted is not None else ""
        notices.append(
            f"there is no other version {lacking}to compare with, or the gate refused it: only absolute limits apply"
        )
    elif staged["champion"].manifest.version != promoted:
        state = "nothing is promoted yet" if promoted is None else f"version {promoted} is the champion"
        notices.append(f"it is compared with version {staged['champion'].manifest.version}, but {state}")
    if len({one.manifest.model_sha256 for one in staged.values()}) < len(staged):
        notices.append("both versions have the same network")
    fingerprint = evaluation_set.data["fingerprint"]
    for one in staged.values():
        name = f"version {one.manifest.version}"
        if one.manifest.data.get("fingerprint") == fingerprint:
            notices.append(f"{name} has learned from these data: the comparison means nothing")
        if split == "test":
            notices += [f"{name}: {leak}" for leak in leaks(kind, split, [one.manifest.data])]
    if split == "train":
        notices += leaks(kind, split, [])
    earlier = staged["champion"].manifest.gate.get("data", {}) if "champion" in staged else {}
    if earlier and earlier.get("fingerprint") != fingerprint:
        notices.append(f"the champion passed the gate on other data ({earlier.get('name')}, {earlier.get('split')})")
    return notices


def _tags(verdict: Verdict) -> dict[str, str]:
    chance = next((each.figures["p"] for each in verdict.findings if "p" in each.figures), None)  # overall
    return {
        "gate": "passed" if verdict.passed else "refused",
        "gate.verdict": verdict.sentence,
        "gate.reasons": "\n".join(f"{each.rule}: {each.text}" for each in verdict.findings if not each.passed),
        "gate.version": str(verdict.challenger.version),
        "gate.champion": str(verdict.champion.version) if verdict.champion else "",
        "gate.p": "" if chance is None else f"{chance:.4g}",
        "gate.data": f"{verdict.data['name']} {verdict.data['split']} {verdict.data['fingerprint']}",
        "gate.time": verdict.time,
    }
