"""The OpenAPI description: what each route takes and answers, every problem included."""

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from clients.gateway import schema
from clients.gateway.problems import KINDS, MEDIA_TYPE, ProblemError, body

SUMMARY = "Finds and names traffic signs."
ABOUT = """Send a photograph, get its signs:

    curl --data-binary @street.jpg -H 'Content-Type: image/jpeg' HOST/v1/recognize

Several in one request, as a form:

    curl -F image=@street.jpg -F image=@crossing.png HOST/v1/recognize

A picture that one sign fills, with its three most probable classes:

    curl --data-binary @sign.png -H 'Content-Type: image/png' 'HOST/v1/classify?k=3'

Say what is really in a photograph, for the next training:

    curl -F image=@street.jpg -F 'feedback={"signs": [{"box": [102, 80, 134, 112], "class_id": 14}]}' HOST/v1/feedback

Every error is JSON as in RFC 9457 and says what to do; each answer has the header X-Request-ID, which the caller may
choose (1 to 128 of A-Z a-z 0-9 . _ -) and under which the logs of the gateway and of Triton have it.
"""
_FILE = {"type": "string", "format": "binary"}
_TYPES = ("image/jpeg", "image/png", "image/webp", "image/bmp", "image/x-portable-pixmap", "application/octet-stream")
IMAGES: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "description": "One picture as it is, or one or more as the parts `image` of a form.",
        "content": {
            **{kind: {"schema": _FILE} for kind in _TYPES},
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": ["image"],
                    "additionalProperties": False,
                    "properties": {"image": {"type": "array", "minItems": 1, "items": _FILE}},
                }
            },
        },
    }
}
FEEDBACK: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": ["image", "feedback"],
                    "additionalProperties": False,
                    "properties": {"image": _FILE, "feedback": {"$ref": "#/components/schemas/Feedback"}},
                },
                "encoding": {"feedback": {"contentType": "application/json"}},
            }
        },
    }
}


def answers(model: Any, *problems: int, status: int = 200) -> dict[int | str, dict[str, Any]]:
    """Returns what a route under /v1 may answer: JSON of a model, or problems of so many statuses; 401 and 500 too."""
    told: dict[int | str, dict[str, Any]] = {status: {"model": model, "description": "Answered."}}
    return told | {each: problem_answer(each) for each in sorted({401, *problems, 500})}


def problem_answer(status: int) -> dict[str, Any]:
    """Returns what the description says of the problems of a status."""
    kinds = [kind for kind in KINDS if kind.status == status]
    told: dict[str, Any] = {
        "description": "; ".join(f"{kind.title} (`{kind.name}`)" for kind in kinds),
        "content": {
            MEDIA_TYPE: {
                "schema": {"$ref": "#/components/schemas/Problem"},
                "example": body(ProblemError(kinds[0], "what is wrong with this request, and what to do"), "7d1f0c9a"),
            }
        },
        "headers": {},
    }
    if kinds[0].retry_after:
        told["headers"]["Retry-After"] = {
            "description": "Seconds after which asking again may help.",
            "schema": {"type": "integer"},
        }
    if status == 401:
        told["headers"]["WWW-Authenticate"] = {"schema": {"type": "string"}}
    return told


def describe(app: FastAPI, keys: bool) -> dict[str, Any]:
    """Returns the OpenAPI description of an app.

    Args:
        app: whose routes are described.
        keys: whether callers need API keys.
    """
    from clients.gateway.feedback import Feedback

    told = get_openapi(title=app.title, version=app.version, summary=SUMMARY, description=ABOUT, routes=app.routes)
    schemas = told.setdefault("components", {}).setdefault("schemas", {})
    for model in (schema.Problem, Feedback):
        described = model.model_json_schema(ref_template="#/components/schemas/{model}")
        schemas.update(described.pop("$defs", {}))
        schemas[model.__name__] = described
    request_id = {"description": "As the logs have it.", "schema": {"type": "string"}}
    for path, operations in told["paths"].items():
        for operation in operations.values():
            for answer in operation["responses"].values():
                answer.setdefault("headers", {})["X-Request-ID"] = request_id
            if keys and path.startswith("/v1/"):
                operation["security"] = [{"bearer": []}, {"header": []}]
    if keys:
        told["components"]["securitySchemes"] = {
            "bearer": {"type": "http", "scheme": "bearer"},
            "header": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
        }
    return told
