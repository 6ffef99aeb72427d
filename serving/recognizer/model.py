"""sign_recognizer: an encoded photograph in, the signs it shows out (Triton Python backend).

It decodes the photograph, calls sign_detector for the boxes and sign_classifier for the classes, and updates the
metrics. Waiting requests are decoded in parallel and share one call of each model; a bad request does not affect the
others.

It runs in the server's environment and imports only the files that are published beside it. A request holds one
photograph: the number of signs differs between photographs, so their answers do not fit into one tensor.

Model parameters: `score_threshold`, the lowest detection score that counts, and `unknown_threshold`, the class score
below which a sign is answered as unknown; a request may override both with parameters of the same names.
`detector_version` and `classifier_version` are a number or "latest".
"""

import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import triton_python_backend_utils as pb_utils

from .cores import usable_cores
from .metrics import Metrics
from .preprocessing import ImageError
from .recognition import UNKNOWN, UNKNOWN_ID, Signs, recognize
from .scene import Scene, claimed_pixels, in_groups, read_scene
from .settings import load_settings
from .submodel import SubModel, SubModelError

MOST_THREADS = 8


class RequestError(ValueError):
    """An invalid request; the message names the fix."""


@dataclass(frozen=True)
class Job:
    """A request to answer."""

    place: int  # position in the batch
    data: bytes  # the encoded image
    threshold: float  # lowest detection score that counts
    unknown_threshold: float  # class score below which a sign is unknown
    trace: Any  # Triton's trace of the request


class TritonPythonModel:
    """One instance of the recognizer."""

    def initialize(self, args: dict[str, str]) -> None:
        """Reads the settings and opens the metrics.

        Raises:
            TritonModelException: the settings or a parameter are invalid; Triton then refuses the version.
        """
        config = json.loads(args["model_config"])
        parameters = {key: value["string_value"] for key, value in config.get("parameters", {}).items()}
        try:
            self.settings = load_settings(Path(__file__).parent)
            self.thresholds = {
                name: parse_threshold(name, parameters.get(name, default))
                for name, default in (("score_threshold", "0.3"), ("unknown_threshold", "0"))
            }
            self.detector = SubModel(
                "sign_detector",
                parameters.get("detector_version", "latest"),
                self.settings.detector_max_batch,
                "scenes",
                {"boxes": (-1, 4), "scores": (-1,), "categories": (-1,)},
            )
            self.classifier = SubModel(
                "sign_classifier",
                parameters.get("classifier_version", "latest"),
                self.settings.classifier_max_batch,
                "images",
                {"probabilities": (len(self.settings.class_names),)},
            )
        except ValueError as error:
            raise pb_utils.TritonModelException(str(error)) from error
        self.metrics = open_metrics(args["model_version"], self.settings)
        # The instances share the cores: each is a process with its own threads.
        instances = sum(group.get("count", 1) for group in config.get("instance_group", [])) or 1
        threads = max(1, min(MOST_THREADS, usable_cores() // instances))
        self.pool = ThreadPoolExecutor(threads, thread_name_prefix="recognizer")

    def execute(self, requests: list[Any]) -> list[Any]:
        """Answers waiting requests, each with its signs or an error."""
        answers: list[Any] = [None] * len(requests)
        jobs = []
        for place, request in enumerate(requests):
            try:
                jobs.append(self._job(place, request))
            except Exception as error:
                answers[place] = self._failure(error)
        for group in in_groups(jobs, lambda job: claimed_pixels(job.data)):
            for job, answer in zip(group, self._answer(group), strict=True):
                answers[job.place] = answer
        return answers

    def finalize(self) -> None:
        """Stops the threads."""
        self.pool.shutdown()

    def _job(self, place: int, request: Any) -> Job:
        images = pb_utils.get_input_tensor_by_name(request, "image").as_numpy()
        if images.size != 1:
            raise RequestError(
                f"the request holds {images.size} images: send one image a request, many requests at once "
                "(the server answers them side by side)"
            )
        asked = json.loads(request.parameters() or "{}")
        detected, known = (
            default if asked.get(name) is None else parse_threshold(name, asked[name])
            for name, default in self.thresholds.items()
        )
        return Job(place, images.item(), detected, known, request.trace())

    def _answer(self, jobs: list[Job]) -> list[Any]:
        """Answers requests whose decoded images fit in memory together."""
        results: list[Any] = list(self.pool.map(self._read, jobs))
        good = [index for index, result in enumerate(results) if isinstance(result, Scene)]
        scenes = [results[index] for index in good]
        thresholds = [jobs[index].threshold for index in good]
        try:
            # One call serves all requests but can have only one trace: the first one.
            traces = [jobs[index].trace for index in good]
            trace = next((each for each in traces if each.get_context()), traces[0]) if traces else None
            detect, classify = partial(self._detect, trace=trace), partial(self._classify, trace=trace)
            found = recognize(scenes, thresholds, detect, classify, self.settings.crop_size, self.pool)
            for index, scene, signs in zip(good, scenes, found, strict=True):
                results[index] = self._respond(scene, signs, signs.known(jobs[index].unknown_threshold))
        except Exception as error:
            for index in good:
                results[index] = error
        return [self._failure(result) if isinstance(result, Exception) else result for result in results]

    def _read(self, job: Job) -> Scene | Exception:
        try:
            return read_scene(job.data, self.settings.scene_height, self.settings.scene_width)
        except Exception as error:
            return error

    def _detect(self, scenes: Any, trace: Any) -> tuple[Any, Any, Any]:
        boxes, scores, categories = self.detector(scenes, trace)
        return boxes, scores, categories

    def _classify(self, crops: Any, trace: Any) -> Any:
        return self.classifier(crops, trace)[0]

    def _respond(self, scene: Scene, signs: Signs, known: Any) -> Any:
        class_ids = np.where(known, signs.class_ids, UNKNOWN_ID).astype(np.int32)
        names = [UNKNOWN if each == UNKNOWN_ID else self.settings.class_names[each] for each in class_ids]
        categories = [self.settings.category_names[each] for each in signs.categories]
        outputs = {
            "boxes": signs.boxes,
            "detection_scores": signs.detection_scores,
            "categories": np.array([each.encode() for each in categories], dtype=np.object_),
            "class_ids": class_ids,
            "class_scores": signs.class_scores,
            "names": np.array([each.encode() for each in names], dtype=np.object_),
        }
        # [None] adds the batch dimension that Triton expects.
        response = pb_utils.InferenceResponse([pb_utils.Tensor(name, each[None]) for name, each in outputs.items()])
        if self.metrics:
            self.metrics.answered(scene, signs, known)
        return response

    def _failure(self, error: Exception) -> Any:
        code = pb_utils.TritonError.INVALID_ARG
        if isinstance(error, ImageError):
            reason, message = error.reason, f"the image cannot be read: {error}"
        elif isinstance(error, RequestError):
            reason, message = "bad_request", str(error)
        elif isinstance(error, SubModelError):
            reason, message, code = error.model, str(error), pb_utils.TritonError.UNAVAILABLE
        else:
            reason, message, code = "internal", f"{type(error).__name__}: {error}", pb_utils.TritonError.INTERNAL
            pb_utils.Logger.log_error(f"sign_recognizer: {message}")
        if self.metrics:
            self.metrics.failed(reason)
        return pb_utils.InferenceResponse(error=pb_utils.TritonError(message, code))


def parse_threshold(name: str, value: object) -> float:
    """Reads a threshold from a parameter; raises RequestError if `value` is not a number from 0 to 1."""
    try:
        threshold = float(str(value))
    except ValueError:
        threshold = -1.0
    if not 0 <= threshold <= 1:
        raise RequestError(f"{name} is {value!r}: give a number from 0 to 1")
    return threshold


def open_metrics(version: str, settings: Any) -> Metrics | None:
    """Returns the metrics, or None if the server has metrics switched off."""
    try:
        return Metrics(version, settings)
    except pb_utils.TritonModelException as error:
        pb_utils.Logger.log_warn(f"sign_recognizer publishes no metrics: {error}")
        return None
