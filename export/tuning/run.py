"""Tunes a version: fetches it, measures settings, chooses, reports, and publishes the best as a new version."""

from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from export.config import target_of
from export.hardware_fit import Fit, can_use_gpu, find_fit, share_out, stored_name
from export.repository.configuration import GPU, require_name
from export.repository.manifest import check_model_name
from export.repository.promotion import champion, own_configs
from export.repository.store import Store, open_store
from export.tuning.config import Load, TuningConfig
from export.tuning.plan import Outcome, choose, grid, grpc_threads_in
from export.tuning.report import draw_outcomes, print_outcomes, write_report
from export.tuning.sweep import Candidate, check_batches, fetched, sweep
from serving.install import Installation, find_or_install
from traffic_sign_client.errors import ClientError
from traffic_signs.console import Console
from traffic_signs.cores import usable_cores
from traffic_signs.progress import progress_bars, silent


def run_tuning(config: TuningConfig, folder: Path, may_publish: Callable[[], bool], console: Console) -> dict[str, Any]:
    """Measures all settings, and publishes the best as the next version if it is a new one and `may_publish` agrees.

    `folder` is for tuning.json, tuning.png and the server's log.

    Returns:
        The content of tuning.json: `outcomes` of all settings, `present` and `chosen` settings, and `published`, the
        number of the new version or None.

    Raises:
        ClientError: no setting is within the budget; the repository is unchanged.
        export.errors.ExportError: there is no such version, it cannot be tuned, or the best cannot be published.
        serving.errors.ServingError: the server does not start, or ends by itself.
        OSError: a file cannot be written.
    """
    store = open_store(config.repository)
    versions = store.versions(check_model_name(config.model))
    if not versions:
        raise ClientError(f"there is no model {config.model} in {store.name}: `signs repository list` names them")
    best = champion(store, config.model)
    installation = find_or_install(config.home, lambda what: console.print(f"{what} ...", style="dim"))
    number = config.version or best or versions[-1]
    fit = _configuration(store, config, number, installation)
    with fetched(store, config.model, number, silent, fit.name) as candidate:
        present = candidate.present
        batches = config.max_batch or sorted({max(present.max_batch // part, 1) for part in (8, 2, 1)})
        check_batches(candidate, batches)
        on_gpu, cores = target_of(candidate.config) == "gpu", usable_cores()
        most, each = share_out(cores)
        instances = config.instances or ((1, 2, 4) if on_gpu else sorted({1, 2, most}))
        threads = config.threads or ((0,) if on_gpu else sorted({1, each, cores}))
        settings = grid(instances, threads, config.queue_delay_us, batches, present)
        # Now, so that an error comes before minutes of measuring.
        folder.mkdir(parents=True, exist_ok=True)
        _announce(console, candidate, len(settings), config.load, installation)
        with progress_bars(console) as progress:
            log = folder / "tritonserver.log"
            for outcomes in sweep(candidate, settings, config.load, installation, progress, log):
                chosen = choose(outcomes, config.latency_budget_ms, present)
                summary = _summarise(config, candidate, installation, outcomes, chosen)
                write_report(folder, summary)  # a stopped run keeps its whole rounds
        _show(config, folder, candidate, installation, outcomes, chosen, console)
        if chosen is None:
            raise ClientError(_nothing_fits(outcomes, config.latency_budget_ms))
        if chosen.setting == present:
            console.print("the present setting is the best: nothing to publish")
        elif may_publish():
            tuning = _facts(config, candidate, installation, chosen)
            summary["published"] = candidate.publish(store, chosen.setting, tuning).version
            write_report(folder, summary)
            console.print(f"published: {store.name}/{config.model}/{summary['published']}", soft_wrap=True)
            if options := grpc_threads_in(tuning):
                console.print(f"start the server as it was tuned: {options}", soft_wrap=True)
            if best is not None:
                console.print(f"next: signs repository promote {config.model} {summary['published']}", soft_wrap=True)
    return summary


def _configuration(store: Store, config: TuningConfig, version: int, installation: Installation) -> Fit:
    """Returns the configuration that is tuned: the requested one, which must exist, or the one for this machine."""
    models = {config.model: own_configs(store, config.model, version)}
    fit = find_fit(can_use_gpu(installation), models)
    if config.configuration == GPU and not fit.gpu:
        raise ClientError("the configuration gpu is tuned on a server with a GPU, and this one has none")
    if stored_name(config.configuration):
        require_name(models, config.configuration)
    return Fit(config.configuration, "as asked for", fit.gpu) if config.configuration else fit


def _announce(console: Console, candidate: Candidate, settings: int, load: Load, installation: Installation) -> None:
    manifest, precision = candidate.manifest, " in int8" if candidate.is_int8 else ""
    minutes = settings * load.rounds * (1.25 * load.seconds + 2) / 60
    lines = [
        f"{manifest.model} {manifest.version}{precision}: {settings} settings, {load.rounds} rounds of "
        f"{load.seconds:g} s each, about {max(minutes, 1):.0f} min, on {installation.description}"
    ]
    if installation.has_standin:
        lines.append("note: the stand-in is slower than Triton's own backend: tune again with that backend")
    console.print("\n".join(lines), soft_wrap=True)


def _show(
    config: TuningConfig,
    folder: Path,
    candidate: Candidate,
    installation: Installation,
    outcomes: Sequence[Outcome],
    chosen: Outcome | None,
    console: Console,
) -> None:
    budget, present = config.latency_budget_ms, candidate.present
    print_outcomes(console, outcomes, budget, present, chosen)
    title = (
        f"{config.model} {candidate.manifest.version}, {config.load.concurrency} requests at a time\n"
        f"{installation.description}, {usable_cores()} cores"
    )
    draw_outcomes(folder / "tuning.png", outcomes, budget, present, chosen, title)
    if chosen is not None:
        best = f"{chosen.throughput:,.0f} images/s, p99 {chosen.p99_ms:.1f} ms"
        console.print(f"best: {chosen.setting}: {best}", soft_wrap=True)


def _summarise(
    config: TuningConfig,
    candidate: Candidate,
    installation: Installation,
    outcomes: Sequence[Outcome],
    chosen: Outcome | None,
) -> dict[str, Any]:
    return {
        "model": config.model,
        "version": candidate.manifest.version,
        "repository": config.repository,
        "latency_budget_ms": config.latency_budget_ms,
        "server": installation.description,
        "cores": usable_cores(),
        "fixed_batch": candidate.is_fixed,
        "load": asdict(config.load),
        "outcomes": [each.as_dict() for each in outcomes],
        "present": asdict(candidate.present),
        "chosen": asdict(chosen.setting) if chosen else None,
        "published": None,
    }


def _facts(config: TuningConfig, candidate: Candidate, installation: Installation, chosen: Outcome) -> dict[str, Any]:
    """Returns the field `tuning` of the new manifest."""
    return {
        **asdict(chosen.setting),
        "target": target_of(candidate.config),
        "latency_budget_ms": config.latency_budget_ms,
        "concurrency": config.load.concurrency,
        "channels": config.load.channels,
        "grpc_threads": config.load.grpc_threads,
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
