"""A classifier that needs no training, in the form of the real one, and signs that it distinguishes.

It knows the four colours of `tests.training.tiny_gtsdb`: the colour that a crop's mean is nearest to is its class.
"""

import io
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from PIL import Image

from export.config import Serving, to_text, warm_up_path
from export.repository import Manifest, publish
from export.repository.manifest import LABELS_FILE
from tests.network_configs import classifier_config
from tests.training.tiny_gtsdb import COLOURS
from traffic_signs.classes import CLASS_NAMES, NUM_CLASSES

SCENES, SIGNS = 20, 5  # a scene
SIDE, STEP, TOP = 24, 27, 30  # pixels
PARITY = {"samples": 100, "max_difference": 1e-6, "mean_difference": 1e-7, "disagreements": 0, "real_samples": 100}


def colour_classifier(size: int = 48, wrong: tuple[int, ...] = (), classes: int = NUM_CLASSES) -> bytes:
    """Returns the ONNX file of such a classifier.

    Args:
        size: side of the crops in pixels.
        wrong: classes that it never names.
        classes: how many it distinguishes.
    """
    prototypes = np.full((1, classes, 3), 9000, np.float32)
    for class_id, colour in COLOURS.items():
        if class_id not in wrong and class_id < classes:
            prototypes[0, class_id] = colour
    constants: dict[str, Any] = {
        "sides": np.array([1, 2], np.int64),
        "one": np.array([1], np.int64),
        "two": np.array([2], np.int64),
        "prototypes": prototypes,
        "factor": np.array(-1e-3, np.float32),
    }
    nodes = [
        helper.make_node("Cast", ["images"], ["float"], to=TensorProto.FLOAT),
        helper.make_node("ReduceMean", ["float", "sides"], ["colour"], keepdims=0),
        helper.make_node("Unsqueeze", ["colour", "one"], ["column"]),
        helper.make_node("Sub", ["column", "prototypes"], ["difference"]),
        helper.make_node("Mul", ["difference", "difference"], ["squares"]),
        helper.make_node("ReduceSum", ["squares", "two"], ["distance"], keepdims=0),
        helper.make_node("Mul", ["distance", "factor"], ["logits"]),
        helper.make_node("Softmax", ["logits"], ["probabilities"], axis=1),
    ]
    graph = helper.make_graph(
        nodes,
        "colour_classifier",
        [helper.make_tensor_value_info("images", TensorProto.UINT8, ["batch", size, size, 3])],
        [helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, ["batch", classes])],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    onnx.checker.check_model(model, full_check=True)
    return bytes(model.SerializeToString())


def publish_colours(
    repository: Path, content: bytes, size: int = 48, classes: int = NUM_CLASSES, **facts: Any
) -> Manifest:
    """Publishes such a classifier; `facts` are fields of its manifest."""
    config = classifier_config("sign_classifier", size, classes, Serving(64))
    shared = {"config.pbtxt": to_text(config), LABELS_FILE: "\n".join(CLASS_NAMES[:classes]) + "\n"}
    files = {"model.onnx": content, warm_up_path(config): bytes(size * size * 3)}
    facts = {"precision": "fp32", "opset": 20, "ir_version": 10, "parity": PARITY, **facts}
    return publish(repository, "sign_classifier", files, shared, facts, other_classes=True)


def write_colours(folder: Path) -> Path:
    """Writes a GTSDB whose test scenes show 100 signs, 25 of each colour; returns its folder."""
    folder.mkdir(parents=True)
    class_ids, lines = list(COLOURS), []
    for scene in range(SCENES):
        name = f"{600 + scene:05}"
        pixels = np.random.default_rng(scene).integers(90, 150, (90, STEP * SIGNS, 3), dtype=np.uint8)
        for number in range(SIGNS):
            class_id = class_ids[(scene * SIGNS + number) % len(class_ids)]
            left = STEP * number + 1
            pixels[TOP : TOP + SIDE, left : left + SIDE] = COLOURS[class_id]
            lines.append(f"{name}.ppm;{left};{TOP};{left + SIDE - 1};{TOP + SIDE - 1};{class_id}\n")
        buffer = io.BytesIO()
        Image.fromarray(pixels).save(buffer, "JPEG", quality=95)
        (folder / f"{name}.jpg").write_bytes(buffer.getvalue())
    (folder / "gt.txt").write_text("".join(lines))
    return folder
