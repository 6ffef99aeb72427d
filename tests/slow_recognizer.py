"""A recognizer that takes as long as the photograph says, and records its requests: a stand-in for a busy one.

A photograph for it ends with `SECONDS NAME` in ASCII; its answer is one sign of that name, and to `bad` a refusal.
"""

import time
from pathlib import Path

from tritonclient.grpc import model_config_pb2 as pb

from export.config import Serving, recognizer_config, to_text

MODEL = """
import time
from pathlib import Path

import numpy as np
import triton_python_backend_utils as pb_utils


class TritonPythonModel:
    def initialize(self, args):
        self.log = Path(args["model_repository"]) / "asked.txt"

    def note(self, what):
        with self.log.open("a") as file:
            file.write(what + "\\n")

    def execute(self, requests):
        return [self.answer(request) for request in requests]

    def answer(self, request):
        seconds, name = pb_utils.get_input_tensor_by_name(request, "image").as_numpy()[0, 0].split()[-2:]
        self.note(f"{name.decode()} begun {request.request_id()}".rstrip())
        time.sleep(float(seconds))
        self.note(f"{name.decode()} done")
        if name == b"bad":
            error = pb_utils.TritonError("the image cannot be read", pb_utils.TritonError.INVALID_ARG)
            return pb_utils.InferenceResponse(error=error)
        outputs = {
            "boxes": np.zeros((1, 1, 4), np.float32),
            "detection_scores": np.ones((1, 1), np.float32),
            "categories": np.array([[b"danger"]], np.object_),
            "class_ids": np.zeros((1, 1), np.int32),
            "class_scores": np.ones((1, 1), np.float32),
            "names": np.array([[name]], np.object_),
        }
        return pb_utils.InferenceResponse([pb_utils.Tensor(*each) for each in outputs.items()])
"""


def write_slow_recognizer(repository: Path, name: str, instances: int, waiting: int = 0) -> None:
    """Writes such a model.

    Args:
        repository: folder of the models.
        name: of the model.
        instances: how many photographs it looks at at once.
        waiting: most requests that may wait for it; any number where it is 0. It then drops those whose time is up.
    """
    config = recognizer_config(name, 0.5, Serving(1, instances=instances))
    if waiting:
        policy = config.dynamic_batching.default_queue_policy
        policy.max_queue_size = waiting
        policy.timeout_action = pb.ModelQueuePolicy.REJECT
        policy.default_timeout_microseconds = 60_000_000
        policy.allow_timeout_override = True
    folder = repository / name
    (folder / "1").mkdir(parents=True)
    (folder / "config.pbtxt").write_text(to_text(config))
    (folder / "1" / "model.py").write_text(MODEL)


def asked(repository: Path, name: str) -> list[str]:
    """Returns what a model was asked since the last call: `NAME begun [REQUEST ID]` and `NAME done`."""
    log = repository / name / "asked.txt"
    lines = log.read_text().splitlines() if log.exists() else []
    log.unlink(missing_ok=True)
    return lines


def wait_until_noted(repository: Path, name: str, line: str) -> None:
    """Waits until a model has noted something."""
    log = repository / name / "asked.txt"
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        if log.exists() and line in log.read_text().splitlines():
            return
        time.sleep(0.01)
    raise AssertionError(f"{name} has not noted {line!r}")
