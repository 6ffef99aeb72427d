"""One tuning from the version to the version that is better served: fetch, measure, choose, show, publish."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rich.console import Console

from export.config import target_of
from export.hardware_fit import Fit, can_use_gpu, find_fit
from export.repository.configuration import GPU, require_name
from export.repository.manifest import check_model_name
from export.repository.promotion import champion, own_configs
from export.repository.store import Store, open_store
from export.tuning.load import Load
from export.tuning.plan import Outcome, choose, grid, grpc_threads_in
from export.tuning.report import draw_outcomes, print_outcomes, write_report
from export.tuning.sweep import Candidate, check_batches, fetched, sweep
from serving.install import Installation, find_or_install
from serving.recognizer.cores import usable_cores
from traffic_sign_client.errors import ClientError
from traffic_signs.progress import progress_bars, silent


@dataclass(frozen=True)
class Request:
    """What is to be tuned, and how.

    Attributes:
        model: its name.
        version: its number; the one that is served where it is None.
        repository: folder or address of all models.
        latency_budget_ms: 99 of 100 requests must be answered in these milliseconds.
        instances: to try; where empty 1, 2 and on a CPU as many as there are cores.
        threads: to try; where empty 1 and as many as there are cores, on a GPU what ONNX Runtime takes.
        queue_delays_us: to try.
        max_batches: to try, each with a file of that fixed batch on a GPU; an eighth, half and all of the present one
            where it is empty.
        load: on each setting.
        folder: takes tuning.json, tuning.png and the server's log.
        home: where tritonserver is, or is to be installed.
        configuration: name of the one that is tuned; what fits this machine where it is empty.
        publish: is asked whether the best is to be published.
    """

    model: str
    version: int | None
    repository: str
    latency_budget_ms: float
    instances: Sequence[int]
    threads: Sequence[int]
    queue_delays_us: Sequence[int]
    max_batches: Sequence[int]
    load: Load
    folder: Path
    home: Path
    configuration: str
    publish: Callable[[], bool]


def run_tuning(request: Request, console: Console) -> dict[str, Any]:
    """Measures all settings, and publishes the best as the next version where that is wanted.

    Returns:
        The content of tuning.json: `outcomes` of all settings, `present` and `chosen` settings, and `published`, the
        number of the new version or None.

    Raises:
        ClientError: no setting is within the budget; the repository is as it was.
        export.errors.ExportError: there is no such version, it cannot be tuned, or the best cannot be published.
        serving.errors.ServingError: the server does not start, or ends by itself.
        OSError: a file cannot be written.
    """
    store = open_store(request.repository)
    versions = store.versions(check_model_name(request.model))
    if not versions:
        raise ClientError(f"there is no model {request.model} in {store.name}: `signs repository list` names them")
    best = champion(store, request.model)
    installation = find_or_install(request.home, lambda what: console.print(f"[dim]{what} ...[/dim]"))
    number = request.version or best or versions[-1]
    fit = _configuration(store, request, number, installation)
    with fetched(store, request.model, number, silent, fit.name) as candidate:
        present = candidate.present
        batches = request.max_batches or sorted({max(present.max_batch // part, 1) for part in (8, 2, 1)})
        check_batches(candidate, batches)
        on_gpu, cores = target_of(candidate.config) == "gpu", usable_cores()
        instances = request.instances or ((1, 2, 4) if on_gpu else sorted({1, 2, cores}))
        threads = request.threads or ((0,) if on_gpu else sorted({1, cores}))
        settings = grid(instances, threads, request.queue_delays_us, batches, present)
        # Made now: a place that cannot be written must not show after minutes of measuring.
        request.folder.mkdir(parents=True, exist_ok=True)
        _announce(console, candidate, len(settings), request.load, installation)
        with progress_bars(console) as progress:
            log = request.folder / "tritonserver.log"
            outcomes = sweep(candidate, settings, request.load, installation, progress, log)
        chosen = choose(outcomes, request.latency_budget_ms, present)
        summary = _summarise(request, candidate, installation, outcomes, chosen)
        _show(request, candidate, installation, outcomes, chosen, console)
        write_report(request.folder, summary)
        if chosen is None:
            raise ClientError(_nothing_fits(outcomes, request.latency_budget_ms))
        if chosen.setting == present:
            console.print("it is served so now, or as well: nothing to publish")
        elif request.publish():
            tuning = _facts(request, candidate, installation, chosen)
            summary["published"] = candidate.publish(store, chosen.setting, tuning).version
            write_report(request.folder, summary)
            console.print(f"published: {store.name}/{request.model}/{summary['published']}", soft_wrap=True)
            if grpc_threads_in(tuning):
                console.print(f"start the server as it was tuned: {grpc_threads_in(tuning)}", soft_wrap=True)
            if best is not None:
                console.print(f"next: signs repository promote {request.model} {summary['published']}", soft_wrap=True)
    return summary


def _configuration(store: Store, request: Request, version: int, installation: Installation) -> Fit:
    """Returns the configuration that is tuned: the one asked for, which must be there, or what fits this machine."""
    fit = find_fit(can_use_gpu(installation))
    if request.configuration == GPU and not fit.gpu:
        raise ClientError("the configuration gpu is tuned on a server with a GPU, and this one has none")
    if request.configuration:
        require_name({request.model: own_configs(store, request.model, version)}, request.configuration)
        return Fit(request.configuration, "as asked for", fit.gpu)
    return fit


def _announce(console: Console, candidate: Candidate, settings: int, load: Load, installation: Installation) -> None:
    manifest = candidate.manifest
    minutes = settings * load.rounds * (1.25 * load.seconds + 2) / 60
    console.print(
        f"{manifest.model} {manifest.version}: {settings} settings, {load.rounds} rounds of {load.seconds:g} s each, "
        f"about {max(minutes, 1):.0f} min, on {installation.description}",
        highlight=False,
        soft_wrap=True,
    )
    if installation.has_standin:
        note = "note: the stand-in is slower than Triton's own backend: tune again where that one serves"
        console.print(note, soft_wrap=True)


def _show(
    request: Request,
    candidate: Candidate,
    installation: Installation,
    outcomes: Sequence[Outcome],
    chosen: Outcome | None,
    console: Console,
) -> None:
    budget, present = request.latency_budget_ms, candidate.present
    print_outcomes(console, outcomes, budget, present, chosen)
    title = (
        f"{request.model} {candidate.manifest.version}, {request.load.concurrency} requests at a time\n"
        f"{installation.description}, {usable_cores()} cores"
    )
    draw_outcomes(request.folder / "tuning.png", outcomes, budget, present, chosen, title)
    if chosen is not None:
        best = f"{chosen.throughput:,.0f} images/s, p99 {chosen.p99_ms:.1f} ms"
        console.print(f"best: {chosen.setting}: {best}", highlight=False, soft_wrap=True)


def _summarise(
    request: Request,
    candidate: Candidate,
    installation: Installation,
    outcomes: Sequence[Outcome],
    chosen: Outcome | None,
) -> dict[str, Any]:
    return {
        "model": request.model,
        "version": candidate.manifest.version,
        "repository": request.repository,
        "latency_budget_ms": request.latency_budget_ms,
        "server": installation.description,
        "cores": usable_cores(),
        "fixed_batch": candidate.is_fixed,
        "load": asdict(request.load),
        "outcomes": [each.as_dict() for each in outcomes],
        "present": asdict(candidate.present),
        "chosen": asdict(chosen.setting) if chosen else None,
        "published": None,
    }


def _facts(request: Request, candidate: Candidate, installation: Installation, chosen: Outcome) -> dict[str, Any]:
    """Returns what the manifest of the new version says of the measurement."""
    return {
        **asdict(chosen.setting),
        "target": target_of(candidate.config),
        "latency_budget_ms": request.latency_budget_ms,
        "concurrency": request.load.concurrency,
        "channels": request.load.channels,
        "grpc_threads": request.load.grpc_threads,
        "images_per_second": round(chosen.throughput, 1),
        "p50_ms": round(chosen.p50_ms, 3),
        "p95_ms": round(chosen.p95_ms, 3),
        "p99_ms": round(chosen.p99_ms, 3),
        "server": installation.description,
        "cores": usable_cores(),
    }


def _nothing_fits(outcomes: Sequence[Outcome], budget_ms: float) -> str:
    working = [each for each in outcomes if not each.problem]
    if not working:
        return f"no setting works ({outcomes[0].problem}): nothing was published"
    best = min(working, key=lambda each: each.p99_ms)
    return (
        f"no setting answers 99 of 100 requests within {budget_ms:g} ms; the best p99 was {best.p99_ms:.1f} ms, with "
        f"{best.setting}. Give a higher --latency-budget-ms or a lower --concurrency; nothing was published"
    )
