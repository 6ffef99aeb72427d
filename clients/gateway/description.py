"""The OpenAPI description: requests and answers of each route, with all problems."""

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

A picture of one sign, with its three most probable classes:

    curl --data-binary @sign.png -H 'Content-Type: image/png' 'HOST/v1/classify?k=3'

Send the true signs of a photograph, for the next training:

    curl -F image=@street.jpg -F 'feedback={"signs": [{"box": [102, 80, 134, 112], "class_id": 14}]}' HOST/v1/feedback

Every error is JSON as in RFC 9457 and names the fix. Each answer has the header X-Request-ID, which identifies the
request in the logs of the gateway and of Triton; the caller may choose it (1 to 128 of A-Z a-z 0-9 . _ -).
"""
_FILE = {"type": "string", "format": "binary"}
_TYPES = ("image/jpeg", "image/png", "image/webp", "image/bmp", "image/x-portable-pixmap", "application/octet-stream")


def _form(**parts: Any) -> dict[str, Any]:
    """Returns the schema of a form with these parts and no others."""
    return {"type": "object", "required": [*parts], "additionalProperties": False, "properties": parts}


IMAGES: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "description": "The bytes of one picture, or a form with one or more parts `image`.",
        "content": {
            **{kind: {"schema": _FILE} for kind in _TYPES},
            "multipart/form-data": {"schema": _form(image={"type": "array", "minItems": 1, "items": _FILE})},
        },
    }
}
FEEDBACK: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": _form(image=_FILE, feedback={"$ref": "#/components/schemas/Feedback"}),
                "encoding": {"feedback": {"contentType": "application/json"}},
            }
        },
    }
}


def answers(model: Any, *problems: int, status: int = 200) -> dict[int | str, dict[str, Any]]:
    """Returns the answers of a route under /v1: JSON of a model, or problems of the given statuses, 401 and 500."""
    success: dict[int | str, dict[str, Any]] = {status: {"model": model, "description": "Answered."}}
    return success | {each: problem_answer(each) for each in sorted({401, *problems, 500})}


def problem_answer(status: int) -> dict[str, Any]:
    """Describes the problems of a status."""
    kinds = [kind for kind in KINDS if kind.status == status]
    headers: dict[str, Any] = {}
    if kinds[0].retry_after:
        headers["Retry-After"] = {
            "description": "Seconds after which a retry may succeed.",
            "schema": {"type": "integer"},
        }
    if status == 401:
        headers["WWW-Authenticate"] = {"schema": {"type": "string"}}
    return {
        "description": "; ".join(f"{kind.title} (`{kind.name}`)" for kind in kinds),
        "content": {
            MEDIA_TYPE: {
                "schema": {"$ref": "#/components/schemas/Problem"},
                "example": body(ProblemError(kinds[0], "what is wrong with this request, and the fix"), "7d1f0c9a"),
            }
        },
        "headers": headers,
    }


def describe(app: FastAPI, keys: bool) -> dict[str, Any]:
    """Returns the OpenAPI description of an app; `keys` is whether callers need API keys."""
    from clients.gateway.feedback import Feedback

    described = get_openapi(title=app.title, version=app.version, summary=SUMMARY, description=ABOUT, routes=app.routes)
    schemas = described.setdefault("components", {}).setdefault("schemas", {})
    for model in (schema.Problem, Feedback):
        definition = model.model_json_schema(ref_template="#/components/schemas/{model}")
        schemas.update(definition.pop("$defs", {}))
        schemas[model.__name__] = definition
    request_id = {"description": "Identifies the request in the logs.", "schema": {"type": "string"}}
    for path, operations in described["paths"].items():
        for operation in operations.values():
            for answer in operation["responses"].values():
                answer.setdefault("headers", {})["X-Request-ID"] = request_id
            if keys and path.startswith("/v1/"):
                operation["security"] = [{"bearer": []}, {"header": []}]
    if keys:
        described["components"]["securitySchemes"] = {
            "bearer": {"type": "http", "scheme": "bearer"},
            "header": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
        }
    return described
