"""What the gateway answers, for its OpenAPI description; the answers themselves are built in routes.py."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, JsonValue

Box = Annotated[
    tuple[float, float, float, float],
    Field(description="Left, top, right, bottom in pixels of the upright picture, exclusive on the right and bottom."),
]
Score = Annotated[float, Field(ge=0, le=1)]
ClassId = Annotated[int, Field(ge=0, description="Which class; see /v1/classes.")]
# Names come from people's data: so long are a folder's at most.
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


class Problem(BaseModel):
    """What went wrong (RFC 9457), as application/problem+json."""

    type: Annotated[str, Field(description="Where /docs explains the kind of problem.")]
    title: str
    status: Annotated[int, Field(ge=400, le=599)]
    detail: Annotated[str, Field(description="What is wrong with this request, and what to do.")]
    request_id: str


class FoundSign(BaseModel):
    """One sign of a photograph."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False, json_schema_extra={"examples": [SIGN]})

    box: Box
    score: Annotated[Score, Field(description="How sure the detector is that there is a sign.")]
    category: Annotated[Name, Field(description="What the detector takes it for.")]
    class_id: Annotated[int, Field(ge=-1, description="Which class; see /v1/classes. -1: none that is sure enough.")]
    class_score: Annotated[Score, Field(description="How sure the classifier is of the most probable class.")]
    name: Annotated[Name, Field(description="Of that class, or `unknown`.")]


class Timings(BaseModel):
    """Milliseconds, measured by the gateway."""

    total_ms: Annotated[float, Field(description="From the request's arrival to its answer.")]
    read_ms: Annotated[float, Field(description="Reading the upload.")]
    queue_ms: Annotated[float, Field(description="Waiting in the gateway for a turn.")]
    triton_ms: Annotated[float, Field(description="From the question to Triton to its answer.")]


class _Answer(BaseModel):
    width: Annotated[int, Field(ge=1, description="Of the upright picture in pixels.")]
    height: Annotated[int, Field(ge=1)]
    timings: Timings
    models: Annotated[dict[str, str], Field(description="The newest version of each model that Triton serves.")]
    request_id: str


class Recognition(_Answer):
    """The signs of one photograph."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "image": "street.jpg",
                    "signs": [SIGN],
                    "width": 1360,
                    "height": 800,
                    "timings": TIMINGS,
                    "models": VERSIONS,
                    "request_id": REQUEST_ID,
                }
            ]
        }
    )

    image: Annotated[str | None, Field(description="Name of the file, where the sender gave one.")]
    signs: Annotated[list[FoundSign], Field(description="The surest first; none is an answer too.")]


class Guess(BaseModel):
    """A class that a picture of one sign may show."""

    class_id: ClassId
    score: Score
    name: str


class Classification(_Answer):
    """The most probable classes of one picture."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "image": "sign.png",
                    "classes": [{"class_id": 14, "score": 0.99, "name": "stop"}],
                    "width": 64,
                    "height": 62,
                    "timings": TIMINGS,
                    "models": VERSIONS,
                    "request_id": REQUEST_ID,
                }
            ]
        }
    )

    image: str | None
    classes: Annotated[list[Guess], Field(description="Best first.")]


class Unread(BaseModel):
    """One picture of many that has no answer."""

    image: str | None
    error: Problem
    request_id: str


class Recognitions(BaseModel):
    """The answers to many photographs, in their order."""

    results: list[Recognition | Unread]
    request_id: str


class Classifications(BaseModel):
    """The answers to many pictures, in their order."""

    results: list[Classification | Unread]
    request_id: str


class SignClass(BaseModel):
    """A class that the served models tell apart."""

    class_id: ClassId
    name: str
    category: Annotated[str, Field(description="What the detector takes such a sign for; empty where it is unknown.")]
    drawing: Annotated[
        str | None, Field(description="Address of a drawing of the sign, below the page's own; null: there is none.")
    ]


class Stored(BaseModel):
    """Feedback that is stored."""

    id: Annotated[str, Field(examples=["20261123T171500Z-1f3a9c2b"])]


class Health(BaseModel):
    """How the gateway is."""

    status: str
    models: dict[str, bool] = {}
