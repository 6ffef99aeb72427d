"""One comparison: the best setting of each server is found, then all are loaded in rounds, one at a time."""

import os
import random
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

from clients.benchmark.config import reported
from clients.benchmark.environment import describe_machine
from clients.benchmark.in_process import calls_per_second
from clients.benchmark.peers.environments import Say, default_home
from clients.benchmark.peers.exchange import TASKS, Task
from clients.benchmark.peers.figures import Point, as_json, compare, over_rounds
from clients.benchmark.peers.generator import run_load
from clients.benchmark.peers.models import Work, missing_models, prepare_work
from clients.benchmark.peers.plan import Plan
from clients.benchmark.peers.preparation import ServerUnderTest, described, prepare_servers
from clients.benchmark.peers.report import write_report
from clients.benchmark.peers.running import Endpoint
from clients.benchmark.peers.servers import TRITON, Hardware
from clients.benchmark.plan import Way, plan_ways
from export.devices import providers_for
from export.hardware_fit import can_use_gpu
from export.repository.manifest import describe
from serving.errors import ServingError
from serving.install import Installation, find_or_install
from traffic_sign_client.errors import ClientError
from traffic_signs.cores import usable_cores

SEED = 0
TRIAL_CLIENTS: dict[Task, int] = {"classify": 32, "recognize": 8}  # while settings are tried
MOST_TRIAL_S = 3.0


def run_comparison(plan: Plan, output: Path, say: Say) -> dict[str, Any]:
    """Compares the servers, writes the report into `output` after each round, and returns the content of peers.json.

    Raises:
        ClientError: there is nothing to compare, or no server could be measured.
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
        providers_for("cuda")  # raises if this process, which measures the limit, cannot use the GPU
    output.mkdir(parents=True, exist_ok=True)  # raises if it cannot be written, before minutes of measuring
    installation = _installation(plan, say) if TRITON in plan.servers else None
    summary: dict[str, Any] = {
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": describe_machine(),
        "plan": reported(plan),
        "skipped": skipped,
        "tasks": {},
    }
    for name in tasks:
        work = prepare_work(plan.repository, name, plan.pictures, Hardware(usable_cores(), plan.gpu), plan.crops)
        home = plan.environments or default_home()
        servers = prepare_servers(plan.servers, work, plan.repository, installation, home, say)
        _TaskRun(plan, output, say, work, servers).run(summary)
    return summary


def _installation(plan: Plan, say: Say) -> Installation:
    installation = find_or_install(plan.home, say)
    if plan.gpu and not can_use_gpu(installation):
        raise ServingError(
            f"--device cuda: {installation.description} computes only on CPUs: name NVIDIA's with SIGNS_TRITONSERVER, "
            f"or leave {TRITON} out of --servers"
        )
    return installation


@dataclass
class _TaskRun:
    """The comparison in one task."""

    plan: Plan
    output: Path
    say: Say
    work: Work
    servers: list[ServerUnderTest]
    limits: list[float] = field(default_factory=list)

    @property
    def measurable(self) -> list[ServerUnderTest]:
        return [server for server in self.servers if not server.problem]

    def run(self, summary: dict[str, Any]) -> None:
        """Measures all rounds; adds the results to `summary`."""
        for measurable in self.measurable:
            self._try_settings(measurable)
        for tried in self.servers:
            self._report_problem(tried)
        rates = self.plan.rates or choose_rates(self.plan.shares, self.servers)
        way = self._best_way()
        rng = random.Random(SEED)
        for number in range(1, self.plan.rounds + 1):
            # In a new order: if the machine becomes slower or faster, it does so for all.
            order: list[ServerUnderTest | None] = [*self.measurable, None]
            rng.shuffle(order)
            for turn in order:
                if turn is None:
                    self.limits.append(self._limit(way, self.plan.seconds))
                    continue
                self.say(f"{self.work.task}, round {number} of {self.plan.rounds}: {turn.title}")
                self._load(turn, rates)
                self._report_problem(turn)
            summary["tasks"][self.work.task] = self._summarise(rates, way, number)
            summary["machine"]["load_after"] = round(os.getloadavg()[0], 2)
            write_report(self.output, summary)
        if not self.measurable:
            raise ClientError(f"no server could be measured: {self.output}/report.html has the reasons")

    def _report_problem(self, server: ServerUnderTest) -> None:
        if server.problem:
            self.say(f"{server.title} is excluded: {server.problem}")

    def _try_settings(self, server: ServerUnderTest) -> None:
        """Chooses the setting with the highest throughput."""
        best = 0.0
        for setting in server.settings[:1] if self.plan.first_settings else server.settings:
            tried: dict[str, Any] = {"setting": described(setting)}
            try:
                with self._served(server, setting) as endpoint:
                    seconds = min(self.plan.seconds, MOST_TRIAL_S)
                    point = self._run_load(server, endpoint, seconds, TRIAL_CLIENTS[self.work.task], 0.0)
                tried["throughput"] = point.throughput
                if point.throughput > best:
                    best, server.setting = point.throughput, setting
            except (ClientError, ServingError) as error:
                tried["problem"] = str(error)
            outcome = tried.get("problem") or f"{tried['throughput']:,.0f} a second"
            self.say(f"{server.title}, {tried['setting']}: {outcome}")
            server.tried.append(tried)
        if server.setting is None:
            problems = [tried["problem"] for tried in server.tried if "problem" in tried]
            server.problem = problems[0] if problems else "no request was answered"

    def _load(self, server: ServerUnderTest, rates: Sequence[float]) -> None:
        """Loads one server for one round; an error becomes its problem."""
        loads = [(clients, 0.0) for clients in self.plan.clients] + [(0, rate) for rate in rates]
        try:
            with self._served(server, server.setting) as endpoint:
                for clients, rate in loads:
                    server.points.append(self._run_load(server, endpoint, self.plan.seconds, clients, rate))
        except (ClientError, ServingError) as error:
            server.problem = str(error)

    def _run_load(
        self, server: ServerUnderTest, endpoint: Endpoint, seconds: float, clients: int, rate: float
    ) -> Point:
        loaded = run_load(endpoint, server.exchange, self.work, seconds, clients, rate)
        server.checked += loaded.checked
        server.difference = max(server.difference, loaded.difference)
        return loaded.point

    @contextmanager
    def _served(self, server: ServerUnderTest, setting: Any) -> Iterator[Endpoint]:
        """Runs a server in a temporary folder; keeps its log if it fails."""
        with tempfile.TemporaryDirectory(prefix="signs-peer-") as folder:
            try:
                with server.serve(setting, Path(folder)) as endpoint:
                    yield endpoint
            except (ClientError, ServingError) as error:
                log, kept = Path(folder) / "server.log", self.output / f"{self.work.task}-{server.name}.log"
                if log.is_file():
                    shutil.copy(log, kept)
                raise ClientError(str(error).replace(str(log), str(kept))) from error

    def _best_way(self) -> Way:
        self.say("ONNX Runtime in process")
        seconds = min(self.plan.seconds, MOST_TRIAL_S)
        ways = plan_ways(self.work.hardware.cores, (1, self.work.largest_batch), self.work.hardware.gpu)
        return max(ways, key=lambda way: self._limit(way, seconds))

    def _limit(self, way: Way, seconds: float) -> float:
        """Returns the requests a second that ONNX Runtime answers in this process."""
        images = self.work.images
        batch = [images[number % len(images)] for number in range(way.batch)]
        runs = [partial(self.work.open_answer(way.threads), batch) for _ in range(way.sessions)]
        return way.batch * calls_per_second(runs, seconds)

    def _summarise(self, rates: Sequence[float], way: Way, rounds: int) -> dict[str, Any]:
        medians = {each.name: over_rounds(each.points) for each in self.measurable if each.points}
        others = {name: points for name, points in medians.items() if name != TRITON}
        highest = float(median(self.limits))
        return {
            "models": {
                name: {"version": self.work.versions[name], "sha256": describe(path)["sha256"]}
                for name, path in self.work.models.items()
            },
            "images": self.work.described,
            "rounds": rounds,
            "rates": list(rates),
            "limit": {"throughput": highest, "way": str(way), "rounds": list(self.limits)},
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
                for each in self.servers
            },
            "comparison": compare(medians.get(TRITON, []), others, highest),
        }


def choose_rates(shares: Sequence[float], servers: Sequence[ServerUnderTest]) -> list[float]:
    """Returns shares of the highest throughput of all others, or of ours if it is alone; the same rates for all."""
    others = [each for each in servers if each.name != TRITON] or list(servers)
    best = max((tried.get("throughput", 0.0) for each in others for tried in each.tried), default=0.0)
    return [round(share * best, 1) for share in shares if best]
