"""What is served: the ONNX files of a model repository, and the images that are asked about."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from clients.benchmark.inputs import draw_pictures, read_pictures
from clients.benchmark.onnx_network import OnnxNetwork
from clients.benchmark.peers.common.signs_models import Answer, open_answer
from clients.benchmark.peers.exchange import Task
from clients.benchmark.peers.servers import Hardware, fixed_files
from export.drift_reference import served_version
from export.kinds import find_kind
from export.repository.manifest import MODEL_FILE
from export.repository.verification import check_folder
from traffic_sign_client.errors import ClientError
from training.models.classifier import MODEL_NAME as CLASSIFIER
from training.models.detector import MODEL_NAME as DETECTOR

ONE_CORE = Hardware(1)
CROPS, SCENES = 64, 16  # different images, sent in turn
SIGNS = 2  # signs in a drawn scene
NEEDED: dict[Task, tuple[str, ...]] = {"classify": (CLASSIFIER,), "recognize": (DETECTOR, CLASSIFIER)}
LARGEST_BATCH: dict[Task, int] = {"classify": 32, "recognize": 8}  # on a CPU; on a GPU it is the file's fixed batch


@dataclass(frozen=True)
class Work:
    """What all servers are asked in one task."""

    task: Task
    models: dict[str, Path]  # the ONNX files for CPUs, by name of the model
    versions: dict[str, int]
    images: Sequence[bytes]  # the content of each request: crops as they lie in memory, or an image file
    expected: list[bytes]  # ONNX Runtime's answer to each, in this process on the CPU
    described: str  # the images, for people
    shape: tuple[int, ...] = ()  # of a request's crops, [n, height, width, 3]; () for image files
    largest_batch: int = 1  # most requests that a server puts into one batch
    hardware: Hardware = ONE_CORE

    @property
    def slowest(self) -> str:
        """The model that takes most of the time."""
        return NEEDED[self.task][0]

    @property
    def fitting(self) -> dict[str, Path]:
        """Paths of the ONNX files for the hardware, by name of the model."""
        return fixed_files(self.models) if self.hardware.gpu else self.models

    def open_answer(self, threads: int) -> Answer:
        """Returns what answers the images in this process, with so many threads for a run of a network."""
        return open_answer(self.fitting[CLASSIFIER], self.fitting.get(DETECTOR), threads, self.hardware.device)


def missing_models(repository: Path, task: Task) -> list[str]:
    """Returns the models that a task needs and a repository does not have."""
    return [name for name in NEEDED[task] if not (repository / name / "config.pbtxt").is_file()]


def prepare_work(
    repository: Path, task: Task, pictures: Path | None, hardware: Hardware = ONE_CORE, crops: int = 1
) -> Work:
    """Finds the models of a task, reads or draws its images and answers them in process.

    Without `pictures`, a folder, zip or file, it draws them. A request to classify holds `crops` crops.

    Raises:
        ClientError: a version is damaged or has no file for GPUs, or a picture cannot be read.
        training.errors.DataError: there is nothing at `pictures`.
        export.errors.ExportError: the repository serves no version of a model.
    """
    versions = {name: served_version(repository, name) for name in NEEDED[task]}
    models = {}
    for name, version in versions.items():
        folder = repository / name / str(version)
        check = check_folder(folder, name, version)
        if check.problems:
            raise ClientError("; ".join(check.problems))
        models[name] = folder / MODEL_FILE
    largest = _fixed_batch(models, task) if hardware.gpu else LARGEST_BATCH[task]
    shape: tuple[int, ...] = ()
    images: Sequence[bytes]
    if task == "classify":
        side = OnnxNetwork(models[CLASSIFIER], 1).size[0]
        cut = (
            read_pictures(pictures, CROPS).crops(side)[:CROPS]
            if pictures
            else find_kind(CLASSIFIER).draw_samples((side, side), CROPS)
        )
        images, shape = _together([each.tobytes() for each in cut], crops), (crops, side, side, 3)
        largest = max(1, largest // crops)
    else:
        images = (read_pictures(pictures, SCENES) if pictures else draw_pictures(SIGNS)).photographs
    described = f"{len(images)} {'crops' if shape else 'scenes'}, {'read' if pictures else 'drawn'}"
    expected = answer_in_process(models, images)
    return Work(task, models, versions, images, expected, described, shape, largest, hardware)


def answer_in_process(models: dict[str, Path], images: Sequence[bytes]) -> list[bytes]:
    """Returns ONNX Runtime's answers, one image at a time with one thread: what all servers must answer."""
    model = open_answer(models[CLASSIFIER], models.get(DETECTOR), threads=1)
    return [answer for image in images for answer in model([image])]


def _fixed_batch(models: dict[str, Path], task: Task) -> int:
    """Returns the largest fixed batch of the slowest network."""
    files = fixed_files(models)
    for model, path in files.items():
        if not path.is_file():
            raise ClientError(f"{path.parent} has no file for GPUs: export {model} again, or leave out --device cuda")
    return OnnxNetwork(files[NEEDED[task][0]], 1).largest


def _together(crops: Sequence[bytes], count: int) -> list[bytes]:
    """Returns as many bodies as there are crops, each with the next `count` of them."""
    around = [*crops, *crops] * (1 + count // len(crops))
    return [b"".join(around[first : first + count]) for first in range(len(crops))]
