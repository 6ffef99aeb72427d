"""The gateway's answers, for its OpenAPI description; routes.py builds them."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, JsonValue

Box = Annotated[
    tuple[float, float, float, float],
    Field(description="Left, top, right, bottom in pixels of the upright picture, exclusive on the right and bottom."),
]
Score = Annotated[float, Field(ge=0, le=1)]
ClassId = Annotated[int, Field(ge=0, description="Id of the class in /v1/classes.")]
# The names come from users' data, such as folders, whose names have at most 255 bytes.
Name = Annotated[str, Field(max_length=255)]
SIGN: dict[str, JsonValue] = {
    "box": [102.5, 80.0, 134.0, 111.5],
    "score": 0.93,
    "category": "other",
    "class_id": 14,
    "class_score": 0.99,
    "name": "stop",
}
REQUEST_ID = "7d1f0c9a52e84b6e"
VERSIONS: dict[str, JsonValue] = {"sign_recognizer": "1", "sign_detector": "1", "sign_classifier": "2"}
TIMINGS: dict[str, JsonValue] = {"total_ms": 61.3, "read_ms": 8.1, "queue_ms": 0.1, "triton_ms": 52.4}


def _example(image: str, width: int, height: int, **answer: JsonValue) -> ConfigDict:
    facts: dict[str, JsonValue] = {"timings": TIMINGS, "models": VERSIONS, "request_id": REQUEST_ID}
    example: dict[str, JsonValue] = {"image": image, **answer, "width": width, "height": height, **facts}
    return ConfigDict(json_schema_extra={"examples": [example]})


class Problem(BaseModel):
    """What went wrong (RFC 9457), as application/problem+json."""

    type: Annotated[str, Field(description="Address of the kind of problem in /docs.")]
    title: str
    status: Annotated[int, Field(ge=400, le=599)]
    detail: Annotated[str, Field(description="What is wrong with this request, and the fix.")]
    request_id: str


class FoundSign(BaseModel):
    """One sign of a photograph."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False, json_schema_extra={"examples": [SIGN]})

    box: Box
    score: Annotated[Score, Field(description="The detector's score.")]
    category: Annotated[Name, Field(description="The detector's category.")]
    class_id: Annotated[
        int, Field(ge=-1, description="Id of the class in /v1/classes; -1 if the class score is too low.")
    ]
    class_score: Annotated[Score, Field(description="The classifier's probability of the most probable class.")]
    name: Annotated[Name, Field(description="Name of that class, or `unknown`.")]


class Timings(BaseModel):
    """Milliseconds, measured by the gateway."""

    total_ms: Annotated[float, Field(description="From the request's arrival to its answer.")]
    read_ms: Annotated[float, Field(description="Reading the upload.")]
    queue_ms: Annotated[float, Field(description="Waiting in the gateway for a turn.")]
    triton_ms: Annotated[float, Field(description="From the call of Triton to its answer.")]


class _Answer(BaseModel):
    width: Annotated[int, Field(ge=1, description="Width of the upright picture in pixels.")]
    height: Annotated[int, Field(ge=1)]
    timings: Timings
    models: Annotated[dict[str, str], Field(description="The newest version of each model that Triton serves.")]
    request_id: str


class Recognition(_Answer):
    """The signs of one photograph."""

    model_config = _example("street.jpg", 1360, 800, signs=[SIGN])

    image: Annotated[str | None, Field(description="Name of the file, if the sender gave one.")]
    signs: Annotated[list[FoundSign], Field(description="By descending score; may be empty.")]


class Guess(BaseModel):
    """A class that a picture of one sign may show."""

    class_id: ClassId
    score: Score
    name: str


class Classification(_Answer):
    """The most probable classes of one picture."""

    model_config = _example("sign.png", 64, 62, classes=[{"class_id": 14, "score": 0.99, "name": "stop"}])

    image: str | None
    classes: Annotated[list[Guess], Field(description="Best first.")]


class Unread(BaseModel):
    """One of several pictures, that cannot be read."""

    image: str | None
    error: Problem
    request_id: str


class Recognitions(BaseModel):
    """The answers to several photographs, in their order."""

    results: list[Recognition | Unread]
    request_id: str


class Classifications(BaseModel):
    """The answers to several pictures, in their order."""

    results: list[Classification | Unread]
    request_id: str


class SignClass(BaseModel):
    """A class of the served models."""

    class_id: ClassId
    name: str
    category: Annotated[str, Field(description="The detector's category of the class; empty if unknown.")]
    drawing: Annotated[
        str | None, Field(description="Address of a drawing of the sign, relative to the page; null for none.")
    ]


class Offered(BaseModel):
    """The newest served version of the models that the gateway calls; null for one that is not served."""

    recognizer: Annotated[str | None, Field(description="For /v1/recognize.", examples=["1"])]
    classifier: Annotated[str | None, Field(description="For /v1/classify and /v1/classes.", examples=["2"])]


class Stored(BaseModel):
    """Stored feedback."""

    id: Annotated[str, Field(examples=["20261123T171500Z-1f3a9c2b"])]


class Health(BaseModel):
    """The gateway's health."""

    status: str
    models: dict[str, bool] = {}
