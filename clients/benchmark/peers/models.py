"""What is served: the ONNX files of a model repository, and the images that are asked about."""

import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from clients.benchmark.peers.common.signs_models import Answer, Classifier, OnnxNetwork, Recognizer
from clients.benchmark.peers.exchange import Task
from clients.benchmark.peers.servers import Hardware, fixed_files
from export.drift_reference import served_version
from export.kinds import find_kind
from export.repository.manifest import MODEL_FILE
from export.repository.verification import check_folder
from traffic_sign_client.errors import ClientError
from traffic_signs.pictures import find
from traffic_signs.preprocessing import ImageError, decode, resize
from training.data.pictograms import CLASS_COUNT
from training.data.synthetic import draw_scene
from training.models.classifier import MODEL_NAME as CLASSIFIER
from training.models.detector import MODEL_NAME as DETECTOR

ONE_CORE = Hardware(1)
CROPS, SCENES = 64, 16  # of different content, asked about in turn
SCENE_SIZE = (1360, 800)  # width and height in pixels, as GTSDB's photographs have
NEEDED: dict[Task, tuple[str, ...]] = {"classify": (CLASSIFIER,), "recognize": (DETECTOR, CLASSIFIER)}
LARGEST_BATCH: dict[Task, int] = {"classify": 32, "recognize": 8}  # on a CPU; on a GPU it is the file's fixed batch


@dataclass(frozen=True)
class Work:
    """What all servers are asked in one task.

    Attributes:
        task: its name.
        models: paths of the ONNX files for CPUs, by name of the model.
        versions: of these models.
        images: what is sent in one request each: crops as they lie in memory, or an image file.
        expected: what ONNX Runtime in process answers to each, on the CPU.
        described: what the images are, for people.
        shape: of the crops of a request, [n, height, width, 3]; () for image files.
        largest_batch: requests that a server is to put together at most.
        hardware: that it computes on.
    """

    task: Task
    models: dict[str, Path]
    versions: dict[str, int]
    images: list[bytes]
    expected: list[bytes]
    described: str
    shape: tuple[int, ...] = ()
    largest_batch: int = 1
    hardware: Hardware = ONE_CORE

    @property
    def fitting(self) -> dict[str, Path]:
        """Paths of the ONNX files for the hardware, by name of the model."""
        return fixed_files(self.models) if self.hardware.gpu else self.models


def missing_models(repository: Path, task: Task) -> list[str]:
    """Returns the models that a task needs and a repository does not have."""
    return [name for name in NEEDED[task] if not (repository / name / "config.pbtxt").is_file()]


def prepare_work(
    repository: Path, task: Task, pictures: Path | None, hardware: Hardware = ONE_CORE, crops: int = 1
) -> Work:
    """Finds the models of a task, reads or draws its images and answers them in process.

    Args:
        repository: folder of the Triton models.
        task: to be measured.
        pictures: folder or file of pictures to ask about; they are drawn where it is None.
        hardware: that servers compute on.
        crops: in each request to classify.

    Raises:
        ClientError: a version is damaged or has no file for GPUs, or a picture cannot be read.
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
    side = OnnxNetwork(models[CLASSIFIER], 1).size[0]
    images = _drawn(task, side) if pictures is None else _read(task, side, pictures)
    described = (
        f"{len(images)} {'crops' if task == 'classify' else 'scenes'}, {'drawn' if pictures is None else 'read'}"
    )
    largest = _fixed_batch(models, task) if hardware.gpu else LARGEST_BATCH[task]
    shape: tuple[int, ...] = ()
    if task == "classify":
        images, shape = _together(images, crops), (crops, side, side, 3)
        largest = max(1, largest // crops)
    expected = answer_in_process(task, models, images)
    return Work(task, models, versions, images, expected, described, shape, largest, hardware)


def answer_in_process(task: Task, models: dict[str, Path], images: Sequence[bytes]) -> list[bytes]:
    """Returns ONNX Runtime's answers, one image at a time with one thread: what all servers must answer."""
    model = open_answer(task, models, threads=1)
    return [answer for image in images for answer in model([image])]


def open_answer(task: Task, models: dict[str, Path], threads: int, device: str = "cpu") -> Answer:
    """Returns what answers images of a task in this process.

    Args:
        task: to be answered.
        models: paths of the ONNX files that fit the device, by name of the model.
        threads: of one run of a network.
        device: that computes.
    """
    classifier = OnnxNetwork(models[CLASSIFIER], threads, device)
    if task == "classify":
        return Classifier(classifier)
    return Recognizer(OnnxNetwork(models[DETECTOR], threads, device), classifier)


def _fixed_batch(models: dict[str, Path], task: Task) -> int:
    """Returns the largest fixed batch of the network that takes most of the time."""
    files = fixed_files(models)
    for model, path in files.items():
        if not path.is_file():
            raise ClientError(f"{path.parent} has no file for GPUs: export {model} again, or leave out --device cuda")
    return OnnxNetwork(files[NEEDED[task][0]], 1).largest


def _together(crops: Sequence[bytes], count: int) -> list[bytes]:
    """Returns as many bodies as there are crops, each with the next `count` of them."""
    around = [*crops, *crops] * (1 + count // len(crops))
    return [b"".join(around[first : first + count]) for first in range(len(crops))]


def _drawn(task: Task, side: int) -> list[bytes]:
    if task == "classify":
        return [crop.tobytes() for crop in find_kind(CLASSIFIER).draw_samples((side, side), CROPS)]
    rng = np.random.default_rng(0)
    scenes = (
        draw_scene([number * 7 % CLASS_COUNT, number * 11 % CLASS_COUNT], rng, *SCENE_SIZE)[0]
        for number in range(SCENES)
    )
    return [_jpeg(scene) for scene in scenes]


def _jpeg(scene: npt.NDArray[np.uint8]) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(scene).save(buffer, "JPEG", quality=90)
    return buffer.getvalue()


def _read(task: Task, side: int, pictures: Path) -> list[bytes]:
    """Reads pictures: the first of the folder, in order."""
    contents = []
    for each in find([pictures])[: CROPS if task == "classify" else SCENES]:
        try:
            if each.problem:
                raise ClientError(each.problem)
            data = each.path.read_bytes()
            picture = decode(data)
        except OSError as error:
            raise ClientError(f"{each.path} cannot be read: {error.strerror}") from error
        except ImageError as error:
            raise ClientError(f"{each.path} cannot be read: {error}") from error
        contents.append(resize(picture, side).tobytes() if task == "classify" else data)
    return contents
