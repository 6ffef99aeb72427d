"""Does the exported model answer as the trained one does? Measured, not assumed."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime
import torch
from torch import nn

from export.devices import Providers, providers_for, require_device
from export.errors import ExportError, ParityError
from export.precision import FP32, TOLERANCES, Tolerance
from export.tensors import INPUT_NAME, OUTPUT_NAME
from training.models.classifier import predict_probabilities

Images = npt.NDArray[np.uint8]
Probabilities = npt.NDArray[np.float32]
Predict = Callable[[Images], Probabilities]

TOLERANCE = TOLERANCES[FP32].difference  # on probabilities
MAX_BATCH = 64  # of the server, unless it was tuned
FEW = 7  # crops of the batch between one and the largest
EXTREMES = ("black", "white", "checkerboard", "red", "green", "blue")


@dataclass(frozen=True)
class Parity:
    """How far two implementations of one model are apart.

    Attributes:
        samples: how many images were compared.
        max_difference: largest absolute difference of a probability.
        mean_difference: mean absolute difference.
        disagreements: images of which the two name different classes.
    """

    samples: int
    max_difference: float
    mean_difference: float
    disagreements: int

    def as_dict(self) -> dict[str, float]:
        """Returns the figures by name."""
        return asdict(self)


def open_session(
    model: Path | bytes, device: str = "cpu", providers: Providers | None = None
) -> onnxruntime.InferenceSession:
    """Loads an ONNX file into ONNX Runtime.

    Args:
        model: path of the file, or its content.
        device: cpu or cuda, where it must run.
        providers: of ONNX Runtime, in place of those of the device; the first one that works is taken.

    Raises:
        ExportError: ONNX Runtime cannot load the file, or cannot run it on the device.
    """
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    chosen = providers_for(device) if providers is None else providers
    try:
        session = onnxruntime.InferenceSession(model, options, providers=list(chosen))
    except Exception as error:  # onnxruntime's exceptions have no common base of their own
        name = "the network" if isinstance(model, bytes) else model
        raise ExportError(f"ONNX Runtime cannot load {name}: {error}") from error
    require_device(session, device)
    return session


def onnxruntime_predictor(path: Path, device: str = "cpu") -> Predict:
    """Returns a function that runs an ONNX classifier in process; raises as `open_session` does."""
    session = open_session(path, device)

    def predict(images: Images) -> Probabilities:
        result: Probabilities = session.run([OUTPUT_NAME], {INPUT_NAME: images})[0]
        return result

    return predict


def input_names(path: Path) -> list[str]:
    """Returns the names of an ONNX file's inputs.

    Raises:
        ExportError: it cannot be read.
    """
    return [value.name for value in _load_graph(path).input]


def input_size(path: Path) -> tuple[int, int]:
    """Returns height and width in pixels of the images that an ONNX network takes.

    Raises:
        ExportError: it cannot be read, or takes something else than uint8 [batch, height, width, 3].
    """
    (value, *others) = _load_graph(path).input
    shape = [dim.dim_value for dim in value.type.tensor_type.shape.dim]
    is_image = value.type.tensor_type.elem_type == onnx.TensorProto.UINT8 and len(shape) == 4 and shape[3] == 3
    if others or not is_image or not shape[1] or not shape[2]:
        raise ExportError(f"{path} does not take one uint8 [batch, height, width, 3]: give a file of `signs export`")
    return shape[1], shape[2]


def _load_graph(path: Path) -> onnx.GraphProto:
    try:
        graph = onnx.load(path, load_external_data=False).graph
    except Exception as error:  # protobuf's errors have no common base with the others
        raise ExportError(f"{path} is not an ONNX file ({error}): give one that `signs export` wrote") from error
    if not graph.input:
        raise ExportError(f"{path} is not an ONNX file of a network: give one that `signs export` wrote")
    return graph


def pytorch_predictor(model: nn.Module) -> Predict:
    """Returns a function that runs a classifier in PyTorch."""
    return lambda images: predict_probabilities(model, torch.from_numpy(images)).numpy()


def probe_images(real: Images, noises: int = 16) -> Images:
    """Returns the real images, [n, h, w, 3], followed by random and extreme ones.

    These are noise, and then EXTREMES; `probe_names` says which is which.
    """
    height, width = real.shape[1:3]
    size = (height, width, 3)
    noise = np.random.default_rng(0).integers(0, 256, (noises, *size), dtype=np.uint8)
    checker = (np.indices((height, width)).sum(axis=0) % 2 * 255).astype(np.uint8)
    extreme = np.stack(
        [
            np.zeros(size, np.uint8),
            np.full(size, 255, np.uint8),
            np.repeat(checker[..., None], 3, axis=2),
            *(np.full(size, color, np.uint8) for color in ((255, 0, 0), (0, 255, 0), (0, 0, 255))),
        ]
    )
    return np.concatenate([real, noise, extreme])


def probe_names(real: int, count: int) -> list[str]:
    """Returns what each of so many images of `probe_images` shows: `real image 3`, `noise 0`, `black`."""
    noises = range(count - real - len(EXTREMES))
    return [*(f"real image {each}" for each in range(real)), *(f"noise {each}" for each in noises), *EXTREMES][:count]


def batch_sizes(largest: int = MAX_BATCH, few: int = FEW) -> tuple[int, ...]:
    """Returns the batches that parity is proved in, smallest first: of one image, of a few, as many as are served."""
    return tuple(sorted({1, min(few, largest), largest}))


def noises_for(sizes: Sequence[int], real: int, fewest: int) -> int:
    """Returns how many images of noise it takes beside so many real ones to fill a batch of each size."""
    return max(fewest, sum(sizes) - real - len(EXTREMES))


def predict_in_batches(predict: Predict, images: Images, sizes: Sequence[int]) -> Probabilities:
    """Runs a predictor with batches of these sizes in turn, so that each is exercised."""
    results, start = [], 0
    for step in range(len(images)):
        if start >= len(images):
            break
        size = sizes[step % len(sizes)]
        results.append(predict(images[start : start + size]))
        start += size
    return np.concatenate(results)


def compare(reference: Probabilities, candidate: Probabilities) -> Parity:
    """Compares the answers of two implementations, each [n, classes]."""
    difference = np.abs(reference.astype(np.float64) - candidate)
    disagreements = int((reference.argmax(axis=1) != candidate.argmax(axis=1)).sum())
    return Parity(len(reference), float(difference.max()), float(difference.mean()), disagreements)


def require_parity(
    reference: Probabilities, candidate: Probabilities, real: int, tolerance: Tolerance = TOLERANCES[FP32]
) -> Parity:
    """Compares two implementations and refuses a difference that matters.

    Args:
        reference: what the trained model answers, [n, classes].
        candidate: what the exported model answers, [n, classes].
        real: how many of them, from the first on, are real images; of these few classes or none may differ.
        tolerance: how far they may be apart.

    Raises:
        ParityError: a probability is not a number or differs by more than the tolerance, or too many real images are
            classified otherwise; the message says which images.
    """
    if candidate.shape != reference.shape:
        raise ParityError(f"the exported model answers {candidate.shape}, PyTorch {reference.shape}")
    names = probe_names(real, len(reference))
    unknown = np.flatnonzero(~np.isfinite(candidate).all(axis=1))
    if len(unknown):
        raise ParityError(
            f"the exported model answers {len(unknown)} of {len(reference)} images with numbers that are not finite: "
            f"{_some(names, unknown)}"
        )
    judged = len(reference) if tolerance.invented else real
    worst = np.abs(reference[:judged].astype(np.float64) - candidate[:judged]).max(axis=1)
    differ = reference[:real].argmax(axis=1) != candidate[:real].argmax(axis=1)
    far = worst > tolerance.difference
    too_many = int(differ.sum()) > tolerance.changed * real
    bad = sorted({*np.flatnonzero(far), *(np.flatnonzero(differ) if too_many else ())})
    if bad:
        raise ParityError(
            f"the exported model differs from PyTorch on {len(bad)} of {judged} images ({_some(names, bad)}; "
            f"largest difference {worst.max():.2g}, allowed {tolerance.difference:g}; {differ.sum()} of {real} real "
            f"images change their class, allowed {tolerance.changed:.1%})"
        )
    return compare(reference[:judged], candidate[:judged])


def _some(names: Sequence[str], chosen: Iterable[int]) -> str:
    """Returns ten of the images chosen by name, and says where there are more."""
    shown = [names[index] for index in chosen]
    return ", ".join(shown[:10]) + (" and others" if len(shown) > 10 else "")
