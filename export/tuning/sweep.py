"""Measures settings of one version on a real server, each as a separate model, one loaded at a time."""

import asyncio
import contextlib
import shutil
import tempfile
import time
from collections.abc import Iterator, Sequence
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from tritonclient.grpc import model_config_pb2 as pb

from export.config import ENGINE, target_of
from export.gpu_file import compare_with_cpu_file, write_gpu_file
from export.kinds import CLASSIFIER, ModelKind, kind_of_inputs
from export.repository import Manifest
from export.repository.configuration import GPU, effective
from export.repository.derived import publish_derived
from export.repository.fetching import fetch_version
from export.repository.manifest import GPU_FILE, INT8_FILE, MODEL_FILE
from export.repository.policy import CONFIG, companions, config_path, to_bytes
from export.repository.promotion import own_configs
from export.repository.store import Store
from export.tuning.config import Load
from export.tuning.plan import Outcome, Setting, in_rounds, measured, retuned, setting_of
from serving.install import Installation
from serving.server import RunningServer, grpc_thread_arguments, running_server
from traffic_sign_client.connection import channel_options
from traffic_sign_client.errors import ClientError
from traffic_signs.progress import ProgressCallback

IMAGES = 16  # of different content, sent in turn
SEED = 0
LOAD_TIMEOUT_S = 900.0  # for TensorRT to build an engine; on a CPU loading takes a second
ANSWER_TIMEOUT_S = 120.0
WARM_UP = 0.25  # share of the measured time, before it: connections, threads, the first batches
EXPLICIT = ("--model-control-mode=explicit",)


@dataclass(frozen=True)
class Candidate:
    """The version that is tuned, in a temporary folder, with its `config` for this machine.

    `beside` has the files that Triton reads beside that, by name, and `configs` all configurations, by path.
    """

    manifest: Manifest
    folder: Path
    config: pb.ModelConfig
    beside: dict[str, bytes]
    configs: dict[str, pb.ModelConfig]

    @property
    def present(self) -> Setting:
        """Its present setting."""
        return setting_of(self.config)

    @property
    def kind(self) -> ModelKind:
        """Its kind of network; other models with one picture get the images of a classifier."""
        return kind_of_inputs([self.config.input[0].name]) or CLASSIFIER

    @property
    def is_fixed(self) -> bool:
        """Whether its file is the one for GPUs, of which each largest batch needs another."""
        return str(self.config.default_model_filename) == GPU_FILE

    @property
    def is_int8(self) -> bool:
        """Whether its file is the int8 one for CPUs."""
        return str(self.config.default_model_filename) == INT8_FILE

    def files_for(self, max_batch: int, folder: Path) -> Path:
        """Returns a folder with the files of the version for a largest batch, within `folder` if made anew.

        Raises ExportError if the file for GPUs cannot be made again.
        """
        if not self.is_fixed or max_batch == self.present.max_batch:
            return self.folder
        made = folder / f"batch-{max_batch}"
        if not made.exists():
            # Copies, because ONNX Runtime reads no weights through a link.
            shutil.copytree(self.folder, made)
            sizes = self.kind.fixed_batches(max_batch)
            write_gpu_file(made / MODEL_FILE, made, sizes, self.manifest.precision)
        return made

    def publish(self, store: Store, setting: Setting, tuning: dict[str, Any]) -> Manifest:
        """Publishes the version again, with another setting and this field `tuning`."""
        tuned = retuned(self.config, setting)
        gpu_path = config_path(GPU)
        if target_of(self.config) == "gpu":
            path = gpu_path if gpu_path in self.configs else CONFIG
            configs = self.configs | {path: tuned}
        else:
            configs = self._on_all_cpus(tuned) | {p: each for p, each in self.configs.items() if p == gpu_path}
        with tempfile.TemporaryDirectory(prefix="signs-tune-") as scratch:
            folder = self.files_for(setting.max_batch, Path(scratch))
            facts: dict[str, Any] = {"tuning": tuning}
            instead = {}
            if folder != self.folder:
                sizes = self.kind.fixed_batches(setting.max_batch)
                instead = {GPU_FILE: (folder / GPU_FILE).read_bytes()}
                facts["gpu"] = self.manifest.gpu | compare_with_cpu_file(folder, self.manifest, sizes)
            return publish_derived(store, self.manifest, self.folder, configs, instead=instead, **facts)

    def _on_all_cpus(self, tuned: pb.ModelConfig) -> dict[str, pb.ModelConfig]:
        """Returns the tuned configuration for any number of cores, with the usual file and with the int8 file."""
        configs = {}
        for path, each in self.configs.items():
            if path == CONFIG or each.default_model_filename == INT8_FILE:
                configs[path] = deepcopy(tuned)
                configs[path].default_model_filename = each.default_model_filename
        return configs


@contextlib.contextmanager
def fetched(
    store: Store, model: str, version: int, progress: ProgressCallback, configuration: str = ""
) -> Iterator[Candidate]:
    """Yields a checked copy of a version, with the named configuration or else config.pbtxt.

    Raises:
        ExportError: the version is missing, damaged, or cannot be tuned.
    """
    with tempfile.TemporaryDirectory(prefix="signs-tune-") as scratch:
        folder = Path(scratch) / str(version)
        manifest = fetch_version(store, model, version, folder, None, progress)
        configs = own_configs(store, model, version)
        config = effective(configs, configuration)
        if config is None:
            raise ClientError(f"{store.name}/{model}/{version} has no {CONFIG}: export the model again")
        setting_of(config)
        if len(config.input) != 1 or config.input[0].data_type != pb.TYPE_UINT8 or len(config.input[0].dims) != 3:
            raise ClientError(f"{model} does not take one picture in bytes, so it cannot be tuned with drawn pictures")
        beside = {}
        for name in companions(config):
            inside = folder / name
            beside[name] = inside.read_bytes() if inside.exists() else store.read(f"{model}/{name}")
        yield Candidate(manifest, folder, config, beside, configs)


def check_batches(candidate: Candidate, batches: Sequence[int]) -> None:
    """Raises ClientError for batches that an engine was not built for, or that no file can be made for."""
    present, manifest = candidate.present.max_batch, candidate.manifest
    if candidate.is_fixed and set(batches) != {present} and manifest.gpu.get("precision") != manifest.precision:
        raise ClientError(
            f"the file for GPUs is in {manifest.gpu.get('precision')} and the one for CPUs in {manifest.precision}, so "
            f"no other fixed batch can be made of it: give --max-batch {present}"
        )
    largest = candidate.config.max_batch_size
    if candidate.config.platform == ENGINE and max(batches) > largest:
        raise ClientError(f"this engine was built for batches of {largest} at most: give no larger --max-batch")


def sweep(
    candidate: Candidate,
    settings: Sequence[Setting],
    load: Load,
    installation: Installation,
    progress: ProgressCallback,
    log: Path,
) -> Iterator[list[Outcome]]:
    """Measures settings in interleaved rounds on a temporary server; yields all outcomes so far after each round.

    Raises:
        ServingError: the server does not start, or ends by itself.
        OSError: a file cannot be written.
    """
    height, width = candidate.config.input[0].dims[:2]
    images = candidate.kind.draw_samples((height, width), IMAGES)
    found: dict[Setting, list[tuple[float, npt.NDArray[np.float64]]]] = {setting: [] for setting in settings}
    problems: dict[Setting, str] = {}
    with tempfile.TemporaryDirectory(prefix="signs-tune-") as scratch:
        names = stage(candidate, settings, Path(scratch))
        arguments = (*EXPLICIT, *grpc_thread_arguments(installation, load.grpc_threads))
        with running_server(installation, Path(scratch) / "models", log, extra_arguments=arguments) as server:
            done, total = 0, len(settings) * load.rounds
            for order in in_rounds(settings, load.rounds, SEED):
                for setting in order:
                    if setting not in problems:
                        try:
                            found[setting].append(_measure(server, names[setting], candidate, images, load))
                        except ClientError as error:
                            problems[setting] = str(error)
                    done += 1
                    progress("measuring", done, total)
                yield [
                    Outcome(each, problem=problems[each]) if each in problems else measured(each, found[each])
                    for each in settings
                ]


def stage(candidate: Candidate, settings: Sequence[Setting], folder: Path) -> dict[Setting, str]:
    """Writes a repository with a model for each setting, without response cache; returns their names."""
    names = {}
    for number, setting in enumerate(settings):
        names[setting] = f"{candidate.config.name}_{number}"
        config = retuned(candidate.config, setting)
        config.name = names[setting]
        config.ClearField("response_cache")
        config.version_policy.latest.num_versions = 1
        model = folder / "models" / names[setting]
        for name, content in {**candidate.beside, CONFIG: to_bytes(config)}.items():
            (model / name).parent.mkdir(parents=True, exist_ok=True)
            (model / name).write_bytes(content)
        files = candidate.files_for(setting.max_batch, folder)
        (model / "1").symlink_to(files, target_is_directory=True)
    return names


def _measure(
    server: RunningServer, name: str, candidate: Candidate, images: npt.NDArray[np.uint8], load: Load
) -> tuple[float, npt.NDArray[np.float64]]:
    """Returns the seconds and latencies in ms of one round of a setting; raises ClientError if it does not work."""
    with _loaded(server, name):
        asking = _closed_loop(server.grpc_url, name, candidate.config.input[0].name, images, load)
        latencies, failures = asyncio.run(asking)
    server.check_alive()
    if failures:
        raise ClientError(f"{len(failures)} requests were refused: {failures[0]}")
    return load.seconds, latencies


async def _closed_loop(
    url: str, model: str, input_name: str, images: npt.NDArray[np.uint8], load: Load
) -> tuple[npt.NDArray[np.float64], list[str]]:
    """Loads a model for one round with concurrent requests of one of the images each, uint8, over gRPC.

    perf_analyzer needs glibc 2.38, which Debian 12, Ubuntu 22.04 and Red Hat 9 lack, and measures until its windows
    agree, while interleaved rounds have one length. Python adds about 0.3 ms of processor time to every request of all
    settings.

    Returns:
        Milliseconds of the requests answered in the measured time, float64 [n]; the server's reason for each failure.
    """
    import tritonclient.grpc.aio as triton
    from tritonclient.utils import InferenceServerException

    requests = []
    for image in images:
        tensor = triton.InferInput(input_name, [1, *image.shape], "UINT8")
        tensor.set_data_from_numpy(image[None])
        requests.append([tensor])
    latencies: list[float] = []
    reasons: list[str] = []
    start = time.perf_counter() + WARM_UP * load.seconds
    end = start + load.seconds

    async def keep_asking(client: Any, first: int) -> None:
        number = first
        while (sent := time.perf_counter()) < end:
            try:
                await client.infer(model, requests[number % len(requests)], client_timeout=ANSWER_TIMEOUT_S)
            except InferenceServerException as error:
                reasons.append(error.message() or str(error))
                await asyncio.sleep(0.01)  # no tight loop on a server that refuses at once
                continue
            done = time.perf_counter()
            if start <= done < end:
                latencies.append(1000 * (done - sent))
            number += load.concurrency

    async with contextlib.AsyncExitStack() as stack:
        clients = []
        for number in range(load.channels):
            # Clients with equal settings would share a connection.
            options = [*channel_options(url), ("grpc.use_local_subchannel_pool", 1), ("signs.channel", number)]
            client = triton.InferenceServerClient(url, channel_args=options)
            clients.append(await stack.enter_async_context(client))
        asking = (keep_asking(clients[number % load.channels], number) for number in range(load.concurrency))
        await asyncio.gather(*asking)
    return np.asarray(latencies, np.float64), reasons


@contextlib.contextmanager
def _loaded(server: RunningServer, name: str) -> Iterator[None]:
    """Loads a model until the block ends."""
    import tritonclient.grpc as triton
    from tritonclient.utils import InferenceServerException

    client = triton.InferenceServerClient(server.grpc_url, channel_args=channel_options(server.grpc_url))
    try:
        try:
            client.load_model(name, client_timeout=LOAD_TIMEOUT_S)
        except InferenceServerException as error:
            server.check_alive()
            raise ClientError(f"it cannot be loaded: {(error.message() or str(error)).splitlines()[0]}") from error
        yield
        try:
            client.unload_model(name)
            deadline = time.monotonic() + LOAD_TIMEOUT_S
            # A model that is unloading would compute beside the next setting.
            while _state(client, name) != ("UNAVAILABLE", "unloaded") and time.monotonic() < deadline:
                time.sleep(0.02)
        except InferenceServerException as error:
            server.check_alive()
            raise ClientError(f"it cannot be unloaded: {error.message()}") from error
    finally:
        client.close()


def _state(client: Any, name: str) -> tuple[str, str]:
    models = client.get_model_repository_index().models
    return next(((each.state, each.reason) for each in models if each.name == name), ("", ""))
