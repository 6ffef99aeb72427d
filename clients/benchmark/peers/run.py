"""One comparison: everybody is set as well as can be, then loaded in interleaved rounds, one at a time."""

import os
import platform
import random
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import Any

from clients.benchmark.peers import limit
from clients.benchmark.peers.environments import default_home, digest
from clients.benchmark.peers.exchange import TASKS, Task
from clients.benchmark.peers.figures import as_json, compare, over_rounds
from clients.benchmark.peers.generator import Loaded, run_load
from clients.benchmark.peers.models import Work, missing_models, prepare_work
from clients.benchmark.peers.plan import Plan
from clients.benchmark.peers.report import write_report
from clients.benchmark.peers.running import Endpoint
from clients.benchmark.peers.servers import TRITON, Hardware
from clients.benchmark.peers.servers_under_test import ServerUnderTest, described, gather
from export.devices import providers_for
from export.hardware_fit import can_use_gpu
from export.repository.hardware import gpus
from serving.errors import ServingError
from serving.install import Installation, find_or_install
from serving.recognizer.cores import usable_cores
from traffic_sign_client.errors import ClientError

SEED = 0
SETTLE_CLIENTS: dict[Task, int] = {"classify": 32, "recognize": 8}  # that the settings are tried with
MOST_SETTLE_S = 3.0

Say = Callable[[str], None]


def run_comparison(plan: Plan, output: Path, say: Say) -> dict[str, Any]:
    """Compares, and writes the report after each round, so that one that is stopped leaves what it has.

    Args:
        plan: what to compare.
        output: folder of the report.
        say: receives what is happening.

    Returns:
        The content of peers.json.

    Raises:
        ClientError: there is nothing to compare, or nobody could be measured.
        export.errors.ExportError: a model cannot be served, or this process cannot use the GPU.
        serving.errors.ServingError: there is no tritonserver, or none that uses the GPU.
    """
    if not plan.repository.is_dir():
        raise ClientError(f"there is no model repository {plan.repository}: give one with --repository")
    missing = {task: missing_models(plan.repository, task) for task in plan.tasks}
    tasks = [task for task in TASKS if task in plan.tasks and not missing[task]]
    skipped = {
        task: f"{plan.repository} has no {' and no '.join(names)}: publish one with `signs export onnx`"
        for task, names in missing.items()
        if names
    }
    for task, reason in skipped.items():
        say(f"{task} is skipped: {reason}")
    if not tasks:
        raise ClientError("; ".join(skipped.values()))
    if plan.gpu:
        providers_for("cuda")  # for the limit, which is measured in this process
    # Made now: a place that cannot be written must not show after minutes of measuring.
    output.mkdir(parents=True, exist_ok=True)
    installation = _installation(plan, say) if TRITON in plan.servers else None
    summary: dict[str, Any] = {"machine": _machine(plan), "plan": _plan(plan), "skipped": skipped, "tasks": {}}
    for task in tasks:
        work = prepare_work(plan.repository, task, plan.pictures, Hardware(usable_cores(), plan.gpu), plan.crops)
        everybody = gather(plan.servers, work, plan.repository, installation, plan.environments or default_home(), say)
        _run_task(plan, output, work, everybody, say, summary)
    return summary


def _installation(plan: Plan, say: Say) -> Installation:
    installation = find_or_install(plan.home, say)
    if plan.gpu and not can_use_gpu(installation):
        raise ServingError(
            f"--device cuda: {installation.description} computes on CPUs alone: name NVIDIA's with SIGNS_TRITONSERVER, "
            f"or leave {TRITON} out of --servers"
        )
    return installation


def _run_task(
    plan: Plan, output: Path, work: Work, everybody: list[ServerUnderTest], say: Say, summary: dict[str, Any]
) -> None:
    for each in everybody:
        if not each.problem:
            _settle(plan, output, work, each, say)
        if each.problem:
            say(f"{each.title} is out: {each.problem}")
    rates = plan.rates or _rates(plan, everybody)
    way = _best_way(plan, work, say)
    limits: list[float] = []
    rng = random.Random(SEED)
    for number in range(plan.rounds):
        # A machine that grows slower or faster meanwhile does so for all alike.
        order: list[ServerUnderTest | None] = [*(each for each in everybody if not each.problem), None]
        rng.shuffle(order)
        for contender in order:
            if contender is None:
                limits.append(_limit(work, way, plan.seconds))
                continue
            say(f"{work.task}, round {number + 1} of {plan.rounds}: {contender.title}")
            _load(plan, output, work, contender, rates)
            if contender.problem:
                say(f"{contender.title} is out: {contender.problem}")
        summary["tasks"][work.task] = _summarise(work, everybody, rates, way, limits, number + 1)
        summary["machine"]["load_after"] = list(os.getloadavg())
        write_report(output, summary)
    if all(each.problem for each in everybody):
        raise ClientError(f"nobody could be measured: {output}/report.html says why")


def _settle(plan: Plan, output: Path, work: Work, each: ServerUnderTest, say: Say) -> None:
    """Chooses the setting of the highest throughput, of those that work."""
    best = 0.0
    for setting in each.settings[:1] if plan.first_settings else each.settings:
        tried: dict[str, Any] = {"setting": described(setting)}
        try:
            with _served(output, work, each, setting) as endpoint:
                seconds = min(plan.seconds, MOST_SETTLE_S)
                loaded = _noted(each, run_load(endpoint, each.exchange, work, seconds, SETTLE_CLIENTS[work.task]))
            tried["throughput"] = loaded.point.throughput
            if loaded.point.throughput > best:
                best, each.setting = loaded.point.throughput, setting
        except (ClientError, ServingError) as error:
            tried["problem"] = str(error)
        outcome = tried.get("problem") or f"{tried['throughput']:,.0f} a second"
        say(f"{each.title}, {tried['setting']}: {outcome}")
        each.tried.append(tried)
    if each.setting is None:
        each.problem = next((tried["problem"] for tried in each.tried if "problem" in tried), "no request was answered")


def _load(plan: Plan, output: Path, work: Work, each: ServerUnderTest, rates: Sequence[float]) -> None:
    """Loads one server for one round; what it cannot do is its problem."""
    loads = [(clients, 0.0) for clients in plan.clients] + [(0, rate) for rate in rates]
    try:
        with _served(output, work, each, each.setting) as endpoint:
            for clients, rate in loads:
                loaded = _noted(each, run_load(endpoint, each.exchange, work, plan.seconds, clients, rate))
                each.points.append(loaded.point)
    except (ClientError, ServingError) as error:
        each.problem = str(error)


def _noted(each: ServerUnderTest, loaded: Loaded) -> Loaded:
    each.checked += loaded.checked
    each.difference = max(each.difference, loaded.difference)
    return loaded


@contextmanager
def _served(output: Path, work: Work, each: ServerUnderTest, setting: Any) -> Iterator[Endpoint]:
    """Runs a server in a folder of its own, whose log is kept."""
    with tempfile.TemporaryDirectory(prefix="signs-peer-") as folder:
        try:
            with each.serve(setting, Path(folder)) as endpoint:
                yield endpoint
        except (ClientError, ServingError) as error:
            kept = output / f"{work.task}-{each.name}.log"
            if (Path(folder) / "server.log").is_file():
                shutil.copy(Path(folder) / "server.log", kept)
            raise ClientError(str(error).replace(str(Path(folder) / "server.log"), str(kept))) from error


def _rates(plan: Plan, everybody: Sequence[ServerUnderTest]) -> list[float]:
    """Returns shares of the best of all others, or of ours where it is alone: one rate for all, or they say nothing."""
    others = [each for each in everybody if each.name != TRITON] or list(everybody)
    best = max((tried.get("throughput", 0.0) for each in others for tried in each.tried), default=0.0)
    return [round(share * best, 1) for share in plan.shares if best]


def _best_way(plan: Plan, work: Work, say: Say) -> limit.Way:
    seconds = min(plan.seconds, MOST_SETTLE_S)
    say("ONNX Runtime in process")
    tried = {way: _limit(work, way, seconds) for way in limit.ways(work.hardware, (1, work.largest_batch))}
    return max(tried, key=lambda way: tried[way])


def _limit(work: Work, way: limit.Way, seconds: float) -> float:
    return limit.measure(work.task, work.fitting, work.images, way, seconds, work.hardware.device)


def _summarise(
    work: Work,
    everybody: Sequence[ServerUnderTest],
    rates: Sequence[float],
    way: limit.Way,
    limits: Sequence[float],
    rounds: int,
) -> dict[str, Any]:
    medians = {each.name: over_rounds(each.points) for each in everybody if each.points and not each.problem}
    others = {name: points for name, points in medians.items() if name != TRITON}
    highest = float(median(limits))
    return {
        "models": {
            name: {"version": work.versions[name], "sha256": digest(path)} for name, path in work.models.items()
        },
        "images": work.described,
        "rounds": rounds,
        "rates": list(rates),
        "limit": {"throughput": highest, "way": str(way), "rounds": list(limits)},
        "servers": {
            each.name: {
                "title": each.title,
                "versions": each.versions,
                "setting": None if each.setting is None else described(each.setting),
                "tried": each.tried,
                "problem": each.problem,
                "checked": each.checked,
                "difference": each.difference,
                "medians": [as_json(one) for one in medians.get(each.name, [])],
                "rounds": [as_json(one) for one in each.points],
            }
            for each in everybody
        },
        "comparison": compare(medians.get(TRITON, []), others, highest),
    }


def _machine(plan: Plan) -> dict[str, Any]:
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").is_file() else []
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return {
        "cores": usable_cores(),
        "processor": models[0] if models else platform.machine(),
        "gpu": f"{gpus()[0].name}, driver {gpus()[0].driver}" if plan.gpu else "",
        "python": platform.python_version(),
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
        "load_before": list(os.getloadavg()),
    }


def _plan(plan: Plan) -> dict[str, Any]:
    return {
        "servers": list(plan.servers),
        "crops": plan.crops,
        "clients": list(plan.clients),
        "shares": list(plan.shares),
        "seconds": plan.seconds,
        "rounds": plan.rounds,
        "settings_tried": not plan.first_settings,
    }
