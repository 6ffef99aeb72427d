"""The reference at /docs, generated from the OpenAPI description, without scripts.

FastAPI's own page loads Swagger UI from another site, which fails offline and under our Content-Security-Policy. Such
tools read /openapi.json.
"""

import json
import re
from html import escape
from textwrap import dedent
from typing import Any

from fastapi import FastAPI
from starlette.responses import HTMLResponse, Response

from clients.gateway.problems import KINDS

POLICY = "default-src 'none'; style-src 'self'"


def answer(app: FastAPI) -> Response:
    """Returns the reference of an app."""
    return HTMLResponse(_written(app.openapi()), headers={"Content-Security-Policy": POLICY})


def _written(described: dict[str, Any]) -> str:
    """Returns the reference of an OpenAPI description as HTML."""
    title = escape(described["info"]["title"])
    parts = [
        "<!doctype html><html lang='en'><meta charset='utf-8'>",
        "<meta name='viewport' content='width=device-width, initial-scale=1'>",
        f"<title>{title}</title><link rel='stylesheet' href='static/docs.css'>",
        f"<h1>{title} {escape(described['info']['version'])}</h1>",
        _text(described["info"]["description"]),
        "<p>For tools: <a href='openapi.json'>openapi.json</a></p>",
    ]
    for path, operations in described["paths"].items():
        parts += [_operation(path, method, operation, described) for method, operation in operations.items()]
    rows = "".join(
        f"<tr id='{kind.name}'><td>{kind.status}<td><code>{kind.name}</code><td>{escape(kind.title)}"
        f"<td>{f'after {kind.retry_after} s' if kind.retry_after else 'no'}"
        for kind in KINDS
    )
    head = "<tr><th>status<th>type<th>title<th>retry"
    return "".join([*parts, f"<h2 id='problems'>Problems</h2><table>{head}{rows}</table></html>"])


def _operation(path: str, method: str, operation: dict[str, Any], described: dict[str, Any]) -> str:
    parts = [f"<h2><code>{method.upper()} {escape(path)}</code></h2><p><b>{escape(operation['summary'])}</b></p>"]
    parts.append(_text(operation.get("description", "")))
    if operation.get("parameters"):
        rows = "".join(
            f"<tr><td><code>{escape(each['name'])}</code><td>{escape(each.get('description', ''))}"
            f"<td><code>{escape(_limits(each['schema']))}</code>"
            for each in operation["parameters"]
        )
        parts.append(f"<h3>Query</h3><table>{rows}</table>")
    if "requestBody" in operation:
        kinds = ", ".join(f"<code>{escape(each)}</code>" for each in operation["requestBody"]["content"])
        parts.append(f"<h3>Takes</h3><p>{_marked(operation['requestBody'].get('description', ''))} {kinds}</p>")
    parts.append("<h3>Answers</h3><table>")
    for status, answer in operation["responses"].items():
        parts.append(f"<tr><td>{status}<td>{_marked(answer['description'])}")
    parts.append("</table>")
    for answer in operation["responses"].values():
        for example in _examples(answer.get("content", {}).get("application/json", {}).get("schema", {}), described):
            parts.append(f"<pre>{escape(json.dumps(example, indent=1))}</pre>")
    return "".join(parts)


def _examples(schema: dict[str, Any], described: dict[str, Any]) -> list[Any]:
    """Returns the examples of a schema and of its alternatives."""
    if "$ref" in schema:
        schema = described["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
    found = list(schema.get("examples", []))
    for each in schema.get("anyOf", []):
        found += _examples(each, described)
    return found


def _limits(schema: dict[str, Any]) -> str:
    """Returns the type and bounds of a parameter, in one line."""
    kinds = [each for each in schema.get("anyOf", [schema]) if each.get("type") != "null"]
    return "; ".join(
        ", ".join(f"{name} {value}" for name, value in each.items() if name not in ("title", "description"))
        for each in kinds
    )


def _text(markdown: str) -> str:
    """Returns paragraphs as HTML; indented blocks stay preformatted."""
    blocks = [each for each in markdown.split("\n\n") if each.strip()]
    return "".join(
        f"<pre>{escape(dedent(block))}</pre>" if block.startswith("    ") else f"<p>{_marked(block)}</p>"
        for block in blocks
    )


def _marked(text: str) -> str:
    """Returns text as HTML, with code in backticks."""
    return re.sub(r"`([^`]+)`", r"<code>\1</code>", escape(text))
